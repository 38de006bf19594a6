"""Work for a device, beside the same on the CPU: all ops at odd sizes, and training.

`python device_work.py PART..`, of "ops" and the sessions; prints a digest of all results, so
that two runs can be compared to the bit. Fails where a result is not the CPU's.
"""

from __future__ import annotations

import hashlib
import os
import sys
from typing import Any

import calls
import networks
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
# Seven tiles down; pieces in whole blocks of 32 rows, and one row more; as many as warps.
LARGE += ((110, 9, 20), (1100, 32, 6), (1100, 33, 6), (4096, 2, 3))


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
        dy[0, -1], dy[1] = 1000, dy[1] - 1000  # nothing is left of them but for the right top
        weights, labels = rng.random(n).astype(dtype), rng.integers(0, c, n)
        weights[2] = 0  # its loss and gradient are 0
        bad, bad_z = dy.copy(), z.copy()
        bad[2], bad_z[2] = np.nan, np.nan
        same(ops.softmax, z, family="softmax")
        same(ops.softmax_cross_entropy, bad, labels, family="loss", sample_weight=weights)
        same(ops.softmax_cross_entropy, dy, labels, family="loss", label_smoothing=0.1)
        same(ops.softmax_cross_entropy, bad, ops.softmax(z), family="loss", sample_weight=weights)
        labels[0] = -1  # an index before all memory, were the row not left out
        same(ops.softmax_cross_entropy, dy, labels, family="loss", ignore_class=-1)
        targets = rng.integers(0, 2, (n, c)).astype(dtype)
        targets[3 % n, 1] = np.nan
        b = rng.random(c).astype(dtype)
        words = {"sample_weight": weights, "pos_weight": b}
        same(ops.sigmoid_cross_entropy, bad_z, targets, family="loss", **words)
        same(ops.mean_squared_error, bad, np.ones_like(bad), family="loss", sample_weight=weights)
    wide = rng.normal(size=(2, 9001)).astype(dtype)
    same(ops.softmax, wide, family="softmax")


def many_rows(rng: np.random.Generator) -> None:
    """So many that blocks take more than one turn."""
    many = rng.normal(size=(131301, 2)).astype("float32")
    same(ops.softmax, many, family="softmax")
    same(ops.softmax_cross_entropy, many, rng.integers(0, 2, len(many)), family="loss")


def elements(dtype: str, rng: np.random.Generator) -> None:
    for n in (1, 255, 1027):
        x, dy = (rng.normal(size=n).astype(dtype) for _ in range(2))
        for name in ("relu", "gelu", "tanh", "elu", "silu"):
            same(ops.activation_forward, x, name=name, family="activation")
            y = ops.activation_forward(x, name)
            same(ops.activation_backward, dy, x, y, name=name, family="activation gradient")
        for step in calls.STEPS.values():
            here, words = step.arguments(rng, dtype, n, 1, 1)
            there = [None if a is None else ops.DeviceArray(a) for a in here]
            step(here, words)
            step(there, words)
            for want, got in zip(here, there, strict=True):
                if want is not None:
                    keep(got.numpy())
                    tolerances.check(got.numpy(), want, "optimizer", dtype)


def all_ops() -> None:
    for dtype in ("float32", "float64"):
        rng = np.random.default_rng(7)
        for work in (products, rows, elements):
            work(dtype, rng)
    many_rows(np.random.default_rng(8))


SPARSE = "sparse_categorical_crossentropy"
LEFT_OUT = -(10**6)  # as an index, beyond all memory
LOSSES = {
    "ignores": lambda: fastnn.losses.SparseCategoricalCrossentropy(ignore_class=LEFT_OUT),
    "smooth": lambda: fastnn.losses.CategoricalCrossentropy(label_smoothing=0.1),
    "unknown": lambda: fastnn.losses.BinaryCrossentropy(label_smoothing=0.1, pos_weight=2),
}
M = fastnn.metrics
METRICS = {
    SPARSE: ("sparse_categorical_accuracy", SPARSE, M.SparseTopKCategoricalAccuracy(2)),
    "smooth": ("categorical_accuracy", "categorical_crossentropy", M.TopKCategoricalAccuracy(2)),
    "mean_squared_error": ("mean_absolute_error",),
    "binary_crossentropy": ("binary_accuracy", "binary_crossentropy", M.ExactMatch()),
    "unknown": ("mean_squared_error", "binary_accuracy", "binary_crossentropy", M.ExactMatch()),
}
METRICS["ignores"] = METRICS[SPARSE]

ONCE = {"optimizer": "sgd", "epochs": 1, "held_out": 0.0}

# Widths, rows of a batch, loss, optimizer and precision; widths of the last make steps wide.
# Losses of LOSSES leave out some rows, or targets; "hot" rows come near the largest number.
NETS: dict[str, list[dict[str, Any]]] = {
    "plain": [
        {"widths": (7, 33, 5), "dropout": True},
        {"widths": (7, 33, 5), "loss": "ignores", "batch": 65, "hot": True},
        {"widths": (5, 8, 3), "loss": "unknown"},
        {"widths": (5, 8, 40), "loss": "smooth", **ONCE},
    ],
    "generic": [
        {"widths": (7, 33, 17, 5), "dropout": True},
        {"widths": (33, 1985, 33), "batch": 33, "rows": 33, "precision": "high", **ONCE},
        {"widths": (9, 20, 3), "loss": "binary_crossentropy", "rows": 1300, **ONCE},
        # Sums over the rows of whole tiles, and of many.
        {"widths": (2, 256, 3), "batch": 384, "rows": 384, **ONCE},
        {"widths": (3, 4, 2), "batch": 4230, "rows": 4230, **ONCE},
    ],
    "resident": [
        {"widths": (7, 33, 17, 5)},
        {"widths": (4, 10, 3), "batch": 30},
        {"widths": (6, 5, 3), "loss": "binary_crossentropy", "optimizer": "sgd", "bias": False},
        {"widths": (11, 13, 24, 2), "loss": "mean_squared_error", "batch": 50, "head": "gelu"},
        {"widths": (7, 44, 5), "loss": "ignores", "batch": 16, "hot": True},  # lanes beyond a warp
        {"widths": (4, 7), "loss": "smooth", "batch": 100, "hot": True},  # rows in two turns
        {"widths": (9, 30, 3), "loss": "unknown", "optimizer": "momentum", "hot": True},
        {"widths": (5, 9, 2), "loss": "mean_squared_error", "hot": True},
        # More rows than threads, and more steps than rates are kept for.
        {"widths": (5, 6), "loss": "unknown", "batch": 270, "rows": 600, "hot": True},
        {"widths": (3, 2), "loss": "ignores", "batch": 1, "rows": 300, "epochs": 1},
    ],
    "wide": [
        {"widths": (40, 72, 64, 33, 5), "batch": 48, "dropout": True},
        {"widths": (40, 72, 64, 33, 5), "batch": 48, "precision": "high", **ONCE},
    ],
}
if os.environ.get("FASTNN_CUBLASLT") != "none":  # without, these are products like others
    NETS["wide"] += [{"widths": (40, 136, 66, 33, 5), "batch": 80, "precision": "medium", **ONCE}]


def data(net: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Rows, targets and weights."""
    draw = np.random.default_rng(3)
    n, c = net.get("rows", 190), net["widths"][-1]
    loss = net.get("loss", SPARSE)
    x = draw.normal(size=(n, net["widths"][0])).astype("f4")
    y = draw.integers(0, c, n)
    if loss not in (SPARSE, "ignores"):
        y = draw.integers(0, 2, (n, c)).astype("f4")
    if loss == "smooth":
        y = draw.dirichlet(np.ones(c), n).astype("f4")
        y[::4] = 1 / c
    weights = draw.uniform(0.5, 2, n)
    if net.get("hot"):  # rows whose loss is infinite, and counts nothing
        weights[::5] = 0
        x[::15] = 2e37 if len(net["widths"]) > 2 else 3e38
        x[1::15] *= 100  # whose exponentials would be, were the top not right
    if loss == "ignores":
        y[::7] = LEFT_OUT
    if loss == "unknown":
        y[::3, 1] = y[::7, 1:] = y[::11] = np.nan
    return x, y, weights


def trained(net: dict[str, Any], device: str, session: str) -> list[Any]:
    os.environ["FASTNN_SESSION"] = session
    fastnn.utils.set_random_seed(5)
    x, y, weights = data(net)
    widths, loss = net["widths"], net.get("loss", SPARSE)
    hidden = [
        layers.Dense(w, activation=a, use_bias=net.get("bias", True))
        for w, a in zip(widths[1:-1], ("relu", "gelu", "tanh"), strict=False)
    ]
    dropped = [layers.Dropout(0.2)] if net.get("dropout") else []
    model = fastnn.Sequential(
        [fastnn.Input((widths[0],)), *hidden[:1], *dropped, *hidden[1:]]
        + [layers.Dense(widths[-1], activation=net.get("head"))]
    )
    if net.get("hot"):
        model.set_weights([4 * w for w in model.get_weights()])
    optimizer = net.get("optimizer", "adam")
    if optimizer == "momentum":
        optimizer = fastnn.optimizers.SGD(0.001, momentum=0.9, nesterov=True)
    metrics = METRICS[loss][: net["metrics"]]
    model.compile(
        optimizer,
        LOSSES[loss]() if loss in LOSSES else loss,
        metrics=[] if net.get("hot") else metrics,
        weighted_metrics=metrics,
        device=device,
        matmul_precision=net.get("precision", "highest"),
    )
    batch = net.get("batch", 64)
    assert model.session(batch) == session, model.session(batch)
    past = model.fit(
        x,
        y,
        sample_weight=weights,
        batch_size=batch,
        epochs=net.get("epochs", 2),
        validation_split=net.get("held_out", 0.1),
        verbose=0,
    )
    numbers = [value for values in past.history.values() for value in values]
    return [np.array(numbers), *model.get_weights(), model.predict(x[weights > 0][:200])]


def stopped(net: dict[str, Any], device: str, session: str) -> list[Any]:
    """Where a bad loss ends training, and the weights that are left."""
    os.environ["FASTNN_SESSION"] = session
    widths = net["widths"]
    x, y, _ = data(net)
    fastnn.utils.set_random_seed(5)
    model = networks.sequential(widths, ["relu"] * (len(widths) - 2) + [None])
    model.compile("adam", SPARSE, metrics=["accuracy"], device=device)
    model.set_weights([np.abs(w) + 1 for w in model.get_weights()])
    x[100] = 1e38  # infinite behind the first layer, NaN behind the second
    try:
        model.fit(x, y, batch_size=48, epochs=2, shuffle=False, verbose=0)
    except fastnn.TrainingDiverged as error:
        return [np.array([error.epoch, error.step]), *model.get_weights()]
    raise AssertionError(f"{net}: a loss of NaN did not end it")


def train(session: str) -> None:
    found = stopped(NETS[session][0], "cuda", session)
    keep(*found)
    for want, got in zip(stopped(NETS[session][0], "cpu", "plain"), found, strict=True):
        np.testing.assert_allclose(got, want, rtol=3e-4, atol=3e-5, err_msg="stopped")
    for net in NETS[session]:
        net = {**net, "metrics": 4 if session == "plain" else 1}  # the resident has no others
        expected = trained({**net, "precision": "highest"}, "cpu", "plain")
        found = trained(net, "cuda", session)
        keep(*found)
        rtol, atol = (2e-2, 2e-3) if net.get("precision") == "medium" else (3e-4, 3e-5)
        for want, got in zip(expected, found, strict=True):
            np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=str(net))


if __name__ == "__main__":
    for part in sys.argv[1:]:
        all_ops() if part == "ops" else train(part)
    print(DIGEST.hexdigest())
