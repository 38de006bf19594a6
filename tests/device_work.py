"""Work for a device, beside the same on the CPU: all ops at odd sizes, and training.

`python device_work.py PART..`, of "ops" and the sessions; prints a digest of all results, so
that two runs can be compared to the bit. Fails where a result is not the CPU's.
"""

from __future__ import annotations

import hashlib
import os
import sys
from typing import Any

import numpy as np
import tolerances

import fastnn
from fastnn import layers, ops

DIGEST = hashlib.sha256()


def keep(*arrays: Any) -> None:
    for array in arrays:
        DIGEST.update(np.ascontiguousarray(array).tobytes())


def same(op: Any, *arrays: Any, family: str, scale: float = 1.0, **words: Any) -> None:
    on_host = op(*arrays, **words)
    there = {k: ops.DeviceArray(v) if isinstance(v, np.ndarray) else v for k, v in words.items()}
    on_device = op(*map(ops.DeviceArray, arrays), **there)
    if not isinstance(on_host, tuple):
        on_host, on_device = (on_host,), (on_device,)
    for want, got in zip(on_host, on_device, strict=True):
        got = got if isinstance(got, float) else got.numpy()
        keep(got)
        what = f"{op.__name__} of {[a.shape for a in arrays]}"
        tolerances.check(got, want, family, arrays[0].dtype.name, scale=scale, what=what)


# (n, i, o): all kinds of tiles, in pieces of k and in one, whole and with edges.
PRODUCTS = ((33, 7, 5), (1, 1, 1), (130, 65, 129), (67, 1030, 20), (1100, 3, 6), (520, 320, 36))
LARGE = ((1300, 20, 1170), (6200, 5, 7), (700, 33, 650))


def products(dtype: str, rng: np.random.Generator) -> None:
    for n, i, o in PRODUCTS + (LARGE if dtype == "float32" else ()):
        x, w, b = (rng.normal(size=s).astype(dtype) for s in ((n, i), (i, o), (o,)))
        dy, y = (rng.normal(size=(n, o)).astype(dtype) for _ in range(2))
        words = {"family": "dense", "scale": n + i + o}
        same(ops.dense_forward, x, w, b, activation="tanh", **words)
        same(ops.dense_backward, dy, x, w, np.tanh(y), activation="tanh", **words)


def rows(dtype: str, rng: np.random.Generator) -> None:
    for n, c in ((33, 5), (300, 16), (257, 17), (70, 24), (700, 64), (5, 100), (3, 515), (3, 1030)):
        z, dy = (3 * rng.normal(size=(n, c)).astype(dtype) for _ in range(2))
        z[0, 0], z[1, 1], z[2] = 90, -np.inf, 3
        weights, labels = rng.random(n).astype(dtype), rng.integers(0, c, n)
        weights[2] = 0
        same(ops.softmax, z, family="softmax")
        same(ops.softmax_cross_entropy, dy, labels, family="loss", sample_weight=weights)
        same(ops.softmax_cross_entropy, dy, labels, family="loss", label_smoothing=0.1)
        same(ops.softmax_cross_entropy, dy, ops.softmax(z), family="loss", sample_weight=weights)
        labels[0] = -1  # an index before all memory, were the row not left out
        same(ops.softmax_cross_entropy, dy, labels, family="loss", ignore_class=-1)
        targets = rng.integers(0, 2, (n, c)).astype(dtype)
        targets[3 % n, 1] = np.nan
        b = rng.random(c).astype(dtype)
        words = {"sample_weight": weights, "pos_weight": b}
        same(ops.sigmoid_cross_entropy, z, targets, family="loss", **words)
        same(ops.mean_squared_error, dy, targets * 0 + 1, family="loss", sample_weight=weights)
    wide = rng.normal(size=(2, 9001)).astype(dtype)
    same(ops.softmax, wide, family="softmax")


def many_rows(rng: np.random.Generator) -> None:
    """So many that blocks take more than one turn."""
    many = rng.normal(size=(131300, 2)).astype("float32")
    same(ops.softmax, many, family="softmax")
    same(ops.softmax_cross_entropy, many, rng.integers(0, 2, len(many)), family="loss")


def elements(dtype: str, rng: np.random.Generator) -> None:
    for n in (1, 255, 1027):
        x, dy = (rng.normal(size=n).astype(dtype) for _ in range(2))
        for name in ("relu", "gelu", "tanh", "elu", "silu"):
            same(ops.activation_forward, x, name=name, family="activation")
            y = ops.activation_forward(x, name)
            same(ops.activation_backward, dy, x, y, name=name, family="activation gradient")
        for step, count, words in (
            (ops.sgd_step, 3, {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
            (ops.adam_step, 4, {"step": 3}),
        ):
            here = [np.abs(rng.normal(size=n)).astype(dtype) for _ in range(count)]
            there = [ops.DeviceArray(a) for a in here]
            step(*here, **words)
            step(*there, **words)
            for want, got in zip(here, there, strict=True):
                keep(got.numpy())
                tolerances.check(got.numpy(), want, "optimizer", dtype)


def all_ops() -> None:
    for dtype in ("float32", "float64"):
        rng = np.random.default_rng(7)
        for work in (products, rows, elements):
            work(dtype, rng)
    many_rows(np.random.default_rng(8))


# Widths, rows of a batch, loss, optimizer and precision; widths of the last make steps wide.
NETS: dict[str, list[dict[str, Any]]] = {
    "plain": [{"widths": (7, 33, 5), "dropout": True}],
    "generic": [
        {"widths": (7, 33, 17, 5), "dropout": True},
        {"widths": (70, 136, 72, 5), "precision": "high", "batch": 136},
        {"widths": (9, 20, 3), "loss": "binary_crossentropy", "optimizer": "sgd", "rows": 1300},
    ],
    "resident": [
        {"widths": (7, 33, 17, 5)},
        {"widths": (4, 10, 3), "batch": 30},
        {"widths": (6, 5, 3), "loss": "binary_crossentropy", "optimizer": "sgd"},
        {"widths": (11, 13, 24, 2), "loss": "mean_squared_error", "batch": 50},
    ],
    "wide": [
        {"widths": (40, 72, 64, 33, 5), "batch": 48, "dropout": True},
        {"widths": (40, 72, 64, 33, 5), "batch": 48, "precision": "high", "optimizer": "sgd"},
    ],
}


def trained(net: dict[str, Any], device: str, session: str) -> list[Any]:
    os.environ["FASTNN_SESSION"] = session
    fastnn.utils.set_random_seed(5)
    draw = np.random.default_rng(3)
    n, widths = net.get("rows", 190), net["widths"]
    loss = net.get("loss", "sparse_categorical_crossentropy")
    x = draw.normal(size=(n, widths[0])).astype("f4")
    y = draw.integers(0, widths[-1], n) if loss.startswith("sparse") else None
    y = draw.integers(0, 2, (n, widths[-1])).astype("f4") if y is None else y
    hidden = [
        layers.Dense(w, activation=a)
        for w, a in zip(widths[1:-1], ("relu", "gelu", "tanh"), strict=False)
    ]
    dropped = [layers.Dropout(0.2)] if net.get("dropout") else []
    model = fastnn.Sequential(
        [fastnn.Input((widths[0],)), *hidden[:1], *dropped, *hidden[1:], layers.Dense(widths[-1])]
    )
    metric = {"b": "binary_accuracy", "m": "mean_absolute_error"}
    model.compile(
        net.get("optimizer", "adam"),
        loss,
        metrics=[metric.get(loss[0], "sparse_categorical_accuracy")],
        device=device,
        matmul_precision=net.get("precision", "highest"),
    )
    batch = net.get("batch", 64)
    assert model.session(batch) == session, model.session(batch)
    weights = draw.uniform(0.5, 2, n)
    past = model.fit(
        x, y, sample_weight=weights, batch_size=batch, epochs=2, validation_split=0.1, verbose=0
    )
    numbers = [value for values in past.history.values() for value in values]
    return [np.array(numbers), *model.get_weights(), model.predict(x)]


def train(session: str) -> None:
    for net in NETS[session]:
        expected = trained({**net, "precision": "highest"}, "cpu", "plain")
        found = trained(net, "cuda", session)
        keep(*found)
        for want, got in zip(expected, found, strict=True):
            np.testing.assert_allclose(got, want, rtol=3e-4, atol=3e-5, err_msg=str(net))


if __name__ == "__main__":
    for part in sys.argv[1:]:
        all_ops() if part == "ops" else train(part)
    print(DIGEST.hexdigest())
