"""Runs every op and every session once on the device, in small sizes, for compute-sanitizer.

    python scripts/gpu_exercise.py

Each result is compared with the CPU's within coarse tolerances, because a race may pass the
tests. A session that cannot train a network is reported and skipped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fastnn
from fastnn import activations, layers, ops

SESSIONS = ("plain", "generic", "resident", "wide", "auto")
PRECISIONS = ("highest", "high", "medium")
CLOSE = {"highest": 1e-4, "high": 1e-3, "medium": 3e-2}  # of losses
OPS_CLOSE = 1e-4  # of the largest value
ROWS, BATCH = 75, 32  # the last batch is a short one

Work = Callable[[], Any]


def here(device: str, work: Work) -> Any:
    os.environ["FASTNN_DEVICE"] = device
    return work()


def numbers(value: Any) -> Iterator[np.ndarray]:
    for one in value if isinstance(value, tuple | list) else [value]:
        yield np.asarray(one, np.float64)


def every_op() -> Iterator[tuple[str, Work]]:
    """The name and the call of each op, in both types."""
    for dtype in ("float32", "float64"):
        rng = np.random.default_rng(0)

        def normal(*shape: int, rng: Any = rng, dtype: str = dtype) -> np.ndarray:
            return rng.standard_normal(shape).astype(dtype)

        x, w, b, dy = normal(33, 17), normal(17, 9), normal(9), normal(33, 9)
        for name in dict.fromkeys(activations.elementwise().values()):
            z = x @ w + b
            y = ops.activation_forward(z, name)
            yield (
                f"dense {name} {dtype}",
                lambda z=z, y=y, name=name, x=x, w=w, b=b, dy=dy: (
                    ops.dense_forward(x, w, b, name),
                    *ops.dense_backward(dy, x, w, y, name, z=z),
                    ops.activation_forward(z, name),
                    ops.activation_backward(dy, z, y, name),
                ),
            )
        labels, weight = rng.integers(0, 9, 33), rng.random(33).astype(dtype)
        target = (dy > 0).astype(dtype)
        yield f"softmax {dtype}", lambda dy=dy: ops.softmax(dy)
        yield (
            f"layer_normalization {dtype}",
            lambda z=x @ w, b=b, dy=dy: (
                ops.layer_normalization(z, b, b),
                *ops.layer_normalization_backward(dy, z, b),
            ),
        )
        yield (
            f"embedding {dtype}",
            lambda w=w, dy=dy, labels=labels: (
                ops.embedding(labels, w),
                ops.embedding_backward(dy, labels, 17),
            ),
        )
        yield (
            f"softmax_cross_entropy {dtype}",
            lambda dy=dy, labels=labels, target=target, weight=weight: (
                *ops.softmax_cross_entropy(dy, labels, sample_weight=weight, label_smoothing=0.1),
                *ops.softmax_cross_entropy(dy, ops.softmax(target)),
            ),
        )
        yield (
            f"sigmoid_cross_entropy {dtype}",
            lambda dy=dy, target=target, weight=weight: ops.sigmoid_cross_entropy(
                dy, target, sample_weight=weight, pos_weight=2.0
            ),
        )
        yield (
            f"mean_squared_error {dtype}",
            lambda dy=dy, target=target, weight=weight: ops.mean_squared_error(
                dy, target, sample_weight=weight
            ),
        )
        yield f"sgd_step {dtype}", lambda dy=dy: stepped(dy, ops.sgd_step, 1, momentum=0.9)
        yield f"adam_step {dtype}", lambda dy=dy: stepped(dy, ops.adam_step, 2, step=3)


def stepped(
    grad: np.ndarray, update: Callable[..., None], states: int, **options: Any
) -> list[Any]:
    """The parameters and states after a step in place."""
    arrays = [np.ones_like(grad), *(np.full_like(grad, 0.5) for _ in range(states))]
    update(arrays[0], grad, *arrays[1:], learning_rate=0.01, **options)
    return arrays


def networks() -> dict[str, tuple[list[Any], str, np.ndarray]]:
    """Layers, loss and targets by name."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 5, ROWS)

    def dense(*args: Any, **given: Any) -> Any:
        return layers.Dense(*args, **given)

    return {
        "labels": (
            [dense(33, activation="relu"), dense(17, activation="relu"), dense(5)],
            "sparse_categorical_crossentropy",
            labels,
        ),
        "multi-label": (
            [dense(32, activation="tanh"), dense(7)],
            "binary_crossentropy",
            rng.integers(0, 2, (ROWS, 7)).astype(np.float32),
        ),
        "regression": (
            [dense(64, activation="gelu"), layers.Dropout(0.25), dense(1)],
            "mean_squared_error",
            rng.standard_normal((ROWS, 1)).astype(np.float32),
        ),
        "wide": (
            [dense(256, activation="relu"), dense(256, activation="relu"), dense(128), dense(5)],
            "sparse_categorical_crossentropy",
            labels,
        ),
    }


def trained(
    name: str, session: str, precision: Any, device: Any, optimizer: Any
) -> tuple[list[float], str]:
    """The losses of two epochs and of an evaluation after them, and the session that was used."""
    os.environ["FASTNN_SESSION"] = session
    fastnn.utils.set_random_seed(3)
    chain, loss, y = networks()[name]
    x = np.random.default_rng(2).standard_normal((ROWS, 21)).astype(np.float32)
    model = fastnn.Sequential([fastnn.Input((21,)), *chain])
    model.compile(optimizer, loss, device=device, matmul_precision=precision)
    history = model.fit(x, y, batch_size=BATCH, epochs=2, verbose=0)
    model.predict(x[:3])
    losses = [*history.history["loss"], float(model.evaluate(x, y, verbose=0))]
    return losses, model.session(BATCH)


def check_ops() -> list[str]:
    wrong = []
    os.environ["FASTNN_DEVICE"] = "cpu"
    for name, work in list(every_op()):
        try:
            wanted = list(numbers(here("cpu", work)))
            found = list(numbers(here("cuda", work)))
        except Exception as reason:  # noqa: BLE001 - after any error, the others go on
            wrong.append(f"{name}: {type(reason).__name__}: {reason}")
            continue
        pairs = zip(wanted, found, strict=True)
        away = max(np.max(np.abs(a - b)) / max(1.0, np.max(np.abs(a))) for a, b in pairs)
        if not away <= OPS_CLOSE:
            wrong.append(f"{name}: {away:.2g} away from the CPU")
    return wrong


def check_sessions() -> list[str]:
    wrong = []
    for name in networks():
        for optimizer in ("adam", "sgd"):
            wanted, _ = trained(name, "auto", "highest", "cpu", optimizer)
            for session in SESSIONS:
                # The other precisions run with one optimizer: they differ only in products.
                for precision in PRECISIONS if optimizer == "adam" else PRECISIONS[:1]:
                    what = f"{name}, {session}, {precision}, {optimizer}"
                    try:
                        found, used = trained(name, session, precision, "cuda", optimizer)
                    except ValueError as reason:
                        print(f"{what}: not served ({reason})")
                        continue
                    except Exception as reason:  # noqa: BLE001 - as above
                        wrong.append(f"{what}: {type(reason).__name__}: {reason}")
                        continue
                    away = np.max(np.abs(np.subtract(found, wanted)) / np.abs(wanted))
                    print(f"{what}: {used}, {away:.2g} away from the CPU", flush=True)
                    if not away <= CLOSE[precision]:
                        wrong.append(f"{what}: losses {found}, on the CPU {wanted}")
    return wrong


def main() -> None:
    state = (fastnn.show_config("dicts") or {})["cuda"]
    if not state["usable"]:
        sys.exit(f"FAILED: CUDA cannot be used: {state['reason']}")
    wrong = check_ops() + check_sessions()
    for line in wrong:
        print("FAILED", line)
    if wrong:
        sys.exit(f"FAILED: {len(wrong)} in all")
    print("all is well")


if __name__ == "__main__":
    main()
