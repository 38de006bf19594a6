"""Runs every op and every session once on the device, in small sizes, for compute-sanitizer.

    python scripts/gpu_exercise.py

Each result is compared with the CPU's within coarse tolerances, because a race may pass the
tests. A session that cannot train a network is reported and skipped.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import fastnn
from fastnn import activation_words, layers, ops, registry, rows

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
        for name in dict.fromkeys(activation_words.elementwise().values()):
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
        yield f"softmax {dtype}", lambda dy=dy: ops.softmax(dy)
        yield (
            f"layer_normalization {dtype}",
            lambda z=x @ w, b=b, dy=dy: (
                ops.layer_normalization(z, b, b),
                *ops.layer_normalization_backward(dy, z, b),
            ),
        )
        labels, weight = rng.integers(0, 9, 33), rng.random(33).astype(dtype)
        yield (
            f"embedding {dtype}",
            lambda w=w, dy=dy, labels=labels: (
                ops.embedding(labels, w),
                ops.embedding_backward(dy, labels, 17),
            ),
        )
        for name, row in rows.losses().items():
            for options in ({}, {key: other(option) for key, option in row.options.items()}):
                yield (
                    f"{name} {options or ''} {dtype}",
                    lambda dy=dy, name=name, row=row, weight=weight, options=options: getattr(
                        ops, name
                    )(*compared_by(row, dy), sample_weight=weight, **options),
                )
        for name, rule in rows.optimizers().items():
            for options in ({}, {key: other(option) for key, option in rule.options.items()}):
                yield (
                    f"{name}_step {options or ''} {dtype}",
                    lambda dy=dy, name=name, rule=rule, options=options: stepped(
                        dy, name, len(rule.slots), options
                    ),
                )


def other(option: rows.Option) -> float | bool:
    """A value of an option's range that is not its default."""
    if option.is_flag:
        return not option.default
    low, high = max(option.low, 0.0), min(option.high, 4.0)
    return low + 0.4 * (high - low)


def targets(row: rows.LossRow, n: int, columns: int) -> np.ndarray:
    """Targets of a kind that a loss takes."""
    rng = np.random.default_rng(4)
    numbers = rng.standard_normal((n, columns))
    kinds: dict[str, Callable[[], np.ndarray]] = {
        "classes": lambda: rng.integers(0, columns, n),
        "unit_or_missing": lambda: (numbers > 0).astype(np.float32),
        "numbers": lambda: numbers,
        "not_negative": lambda: np.abs(numbers),
        "positive": lambda: np.abs(numbers) + 0.1,
        "signs": lambda: np.sign(numbers),
    }
    return kinds[row.targets]()


def outputs(row: rows.LossRow, z: np.ndarray) -> np.ndarray:
    """Outputs that a loss of these targets may have."""
    return np.abs(z) + z.dtype.type(0.1) if row.targets in ("not_negative", "positive") else z


def compared_by(row: rows.LossRow, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outputs, as many as a loss can have of these numbers, and its targets."""
    n, columns = len(z), z.shape[1] // row.outputs_of_target
    given = outputs(row, z[:, : columns * row.outputs_of_target])
    return np.ascontiguousarray(given), targets(row, n, columns)


def stepped(grad: np.ndarray, name: str, states: int, options: dict[str, Any]) -> list[Any]:
    """The parameters and states after a step in place."""
    update = getattr(ops, f"{name}_step")
    taken = inspect.signature(update).parameters
    # The step of a matrix has neither the state nor the options of vectors.
    states = min(states, sum(one.kind is one.POSITIONAL_OR_KEYWORD for one in taken.values()) - 2)
    arrays = [np.ones_like(grad), *(np.full_like(grad, 0.5) for _ in range(states))]
    given = {key: value for key, value in options.items() if key in taken}
    if "ns_steps" in given:
        given["ns_steps"] = round(given["ns_steps"])
    given |= {"step": 3} if "step" in taken else {}
    update(arrays[0], grad, *arrays[1:], learning_rate=0.01, **given)
    return arrays


class Network(NamedTuple):
    """What to train: what layers make of an Input, the loss, its targets and the optimizer."""

    outputs: Callable[[Any], Any]
    loss: Any
    y: np.ndarray
    optimizer: Any = "adam"
    x: np.ndarray | None = None


def chain(*parts: Any) -> Callable[[Any], Any]:
    """Layers one after the other."""
    return lambda x: functools.reduce(lambda h, layer: layer(h), parts, x)


def networks() -> dict[str, Callable[[], Network]]:
    """Networks for every session and precision, by name."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 5, ROWS)
    several = rng.integers(0, 2, (ROWS, 7)).astype(np.float32)
    number = rng.standard_normal((ROWS, 1)).astype(np.float32)
    dense = layers.Dense
    return {
        "labels": lambda: Network(
            chain(dense(33, "relu"), dense(17, "relu"), dense(5)),
            "sparse_categorical_crossentropy",
            labels,
        ),
        "multi-label": lambda: Network(
            chain(dense(32, "tanh"), dense(7)), "binary_crossentropy", several
        ),
        "regression": lambda: Network(
            chain(dense(64, "gelu"), layers.Dropout(0.25), dense(1)), "mse", number
        ),
        "wide": lambda: Network(
            chain(dense(256, "relu"), dense(256, "relu"), dense(128), dense(5)),
            "sparse_categorical_crossentropy",
            labels,
        ),
    }


# How layers are made, between rows of 12 columns, that need arguments.
MADE: dict[str, Callable[[], Any]] = {
    "Activation": lambda: layers.Activation("silu"),
    "AlphaDropout": lambda: layers.AlphaDropout(0.3),
    "Dense": lambda: layers.Dense(12, "tanh"),
    "Discretization": lambda: layers.Discretization([-0.5, 0.0, 0.5]),
    "Dot": lambda: layers.Dot(1, normalize=True),
    "Dropout": lambda: layers.Dropout(0.3),
    "CategoryEncoding": lambda: layers.CategoryEncoding(9, output_mode="count"),
    "ColumnEncoding": lambda: layers.ColumnEncoding(bins=3, missing=True),
    "Embedding": lambda: layers.Embedding(9, 4),
    "GaussianDropout": lambda: layers.GaussianDropout(0.3),
    "GaussianNoise": lambda: layers.GaussianNoise(0.1),
    "GroupNormalization": lambda: layers.GroupNormalization(3),
    "GroupedDense": lambda: layers.GroupedDense(2, 4),
    "Normalization": lambda: layers.Normalization(mean=0.1, variance=2.0),
    "Permute": lambda: layers.Permute((1,)),
    "RepeatVector": lambda: layers.RepeatVector(2),
    "Rescaling": lambda: layers.Rescaling(0.5, 0.1),
    "Reshape": lambda: layers.Reshape((3, 4)),
    "Slice": lambda: layers.Slice(2, 7),
}


def rows_of_tables() -> dict[str, Callable[[], Network]]:
    """A small network for each loss, optimizer and layer that there is, by name."""
    number = np.random.default_rng(1).standard_normal((ROWS, 1)).astype(np.float32)
    dense = layers.Dense

    def of_loss(cls: type[Any], row: rows.LossRow) -> Network:
        y = targets(row, ROWS, 5)
        if row.targets == "classes" and not cls.__name__.startswith("Sparse"):
            y = np.eye(5, dtype=np.float32)[y]
        last = "softplus" if row.targets in ("not_negative", "positive") else "linear"
        width = 5 * row.outputs_of_target
        return Network(chain(dense(12, "tanh"), dense(width, last)), cls(), y)

    def of_layer(cls: type[Any]) -> Network:
        layer = MADE.get(cls.__name__, cls)()
        if cls in (layers.CategoryEncoding, layers.Embedding):  # of categories
            x = np.random.default_rng(3).integers(0, 9, (ROWS, 21)).astype(np.float32)
            return Network(chain(layer, layers.Flatten(), dense(1)), "mse", number, x=x)

        def made(x: Any) -> Any:
            h = dense(12, "tanh")(x)
            h = layer([h, dense(12)(x)]) if layer.merges else layer(h)
            return dense(1)(layers.Flatten()(h))

        return Network(made, "mse", number)

    found: dict[str, Callable[[], Network]] = {}
    for name, loss in registry.FAMILIES["loss"].classes.items():
        row = rows.losses().get(getattr(loss, "native", ""))
        if row is not None:
            found[f"loss {name}"] = functools.partial(of_loss, loss, row)
    for name, optimizer in registry.FAMILIES["optimizer"].classes.items():
        if optimizer.full_batch:  # which trains over the tape
            continue
        found[f"optimizer {name}"] = lambda optimizer=optimizer: Network(
            chain(dense(12, "tanh"), dense(1)), "mse", number, optimizer()
        )
    for cls in registry.FAMILIES["layer"].classes.values():
        # An operation of a table is computed over the tape.
        if cls not in (layers.InputLayer, layers.Operation):
            found[f"layer {cls.__name__}"] = functools.partial(of_layer, cls)
    return found


def trained(
    make: Callable[[], Network], session: str, precision: Any, device: Any, optimizer: Any = None
) -> tuple[list[float], str]:
    """The losses of two epochs and of an evaluation after them, and the session that was used."""
    os.environ["FASTNN_SESSION"] = session
    fastnn.utils.set_random_seed(3)
    network = make()
    x = np.random.default_rng(2).standard_normal((ROWS, 21)).astype(np.float32)
    if network.x is not None:
        x = network.x
    inputs = fastnn.Input((21,))
    model = fastnn.Model(inputs, network.outputs(inputs))
    model.compile(
        optimizer or network.optimizer, network.loss, device=device, matmul_precision=precision
    )
    history = model.fit(x, network.y, batch_size=BATCH, epochs=2, verbose=0)
    model.predict(x[:3])
    losses = [*history.history["loss"], float(model.evaluate(x, network.y, verbose=0))]
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
    """Every session and precision with networks of its kind."""
    wrong = []
    for name, make in networks().items():
        for optimizer in ("adam", "sgd"):
            wanted, _ = trained(make, "auto", "highest", "cpu", optimizer)
            for session in SESSIONS:
                # The other precisions run with one optimizer: they differ only in products.
                for precision in PRECISIONS if optimizer == "adam" else PRECISIONS[:1]:
                    what = f"{name}, {session}, {precision}, {optimizer}"
                    wrong += compared(what, wanted, make, session, precision, optimizer)
    return wrong


def check_tables() -> list[str]:
    """Every loss, optimizer and layer, in the session that each gets and in the plain one."""
    wrong = []
    for name, make in rows_of_tables().items():
        wanted, _ = trained(make, "auto", "highest", "cpu")
        for session in ("auto", "plain"):
            wrong += compared(f"{name}, {session}", wanted, make, session, "highest")
    return wrong


def compared(
    what: str,
    wanted: list[float],
    make: Callable[[], Network],
    session: str,
    precision: str,
    optimizer: Any = None,
) -> list[str]:
    """What is wrong with the losses on the device; prints a line of how far they are away."""
    try:
        found, used = trained(make, session, precision, "cuda", optimizer)
    except ValueError as reason:
        print(f"{what}: not served ({reason})")
        return []
    except Exception as reason:  # noqa: BLE001 - after any error, the others go on
        return [f"{what}: {type(reason).__name__}: {reason}"]
    away = np.max(np.abs(np.subtract(found, wanted)) / np.abs(wanted))
    print(f"{what}: {used}, {away:.2g} away from the CPU", flush=True)
    return [] if away <= CLOSE[precision] else [f"{what}: losses {found}, on the CPU {wanted}"]


def main() -> None:
    state = (fastnn.show_config("dicts") or {})["cuda"]
    if not state["usable"]:
        sys.exit(f"FAILED: CUDA cannot be used: {state['reason']}")
    wrong = check_ops() + check_sessions() + check_tables()
    for line in wrong:
        print("FAILED", line)
    if wrong:
        sys.exit(f"FAILED: {len(wrong)} in all")
    print("all is well")


if __name__ == "__main__":
    main()
