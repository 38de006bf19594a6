"""Every op of `fastnn.ops` beside the same op written carefully in NumPy, with rates.

    python -m benchmarks.ops --only dense,softmax

Both allocate their results, but the optimizers, which work in place. A rate is
GFLOP/s for products and else GB/s, each array read or written once. How a whole
training step compares is for `train_step.py` to say.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks import formulas, machine
from benchmarks.markdown import microseconds, table, times
from benchmarks.timer import Contestant, measure, repeated
from benchmarks.workloads import Floats

PRODUCTS = ((32, 4, 10), (32, 784, 128), (128, 784, 512), (1024, 256, 256), (1024, 2048, 2048))
ELEMENTS = 1 << 18  # of the other ops: 1 MiB an array
ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh")
Call = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One line of the table: what to call, and what it must at least do."""

    name: str
    fastnn: Call
    numpy: Call | None
    moved: int
    """bytes read and written"""
    flops: int = 0
    """of products alone"""


def normal(*shape: int) -> Floats:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def dense() -> Iterator[Case]:
    from fastnn import ops

    for n, i, o in PRODUCTS:
        x, w, b, dy = normal(n, i), normal(i, o), normal(o), normal(n, o)
        y = ops.dense_forward(x, w, b, "relu")
        flops = 2 * n * i * o
        moved = x.nbytes + w.nbytes + y.nbytes
        yield Case(
            f"dense_forward relu {n}x{i}x{o}",
            partial(ops.dense_forward, x, w, b, "relu"),
            partial(formulas.dense_forward, x, w, b),
            moved,
            flops,
        )
        yield Case(
            f"dense_backward relu {n}x{i}x{o}",
            partial(ops.dense_backward, dy, x, w, y, "relu"),
            partial(formulas.dense_backward, dy, x, w, y),
            2 * moved,
            2 * flops,
        )


def activation() -> Iterator[Case]:
    from fastnn import ops

    x, dy = normal(ELEMENTS), normal(ELEMENTS)
    for name in ACTIVATIONS:
        y = ops.activation_forward(x, name)
        forward, slope = formulas.ACTIVATIONS.get(name, (None, None))
        yield Case(
            f"activation_forward {name}",
            partial(ops.activation_forward, x, name),
            forward and partial(forward, x),
            2 * x.nbytes,
        )
        yield Case(
            f"activation_backward {name}",
            partial(ops.activation_backward, dy, x, y, name),
            slope and partial(lambda slope, y: dy * slope(x, y), slope, y),
            3 * x.nbytes,
        )


def loss() -> Iterator[Case]:
    from fastnn import ops

    for columns in (10, 1024):
        z, other = normal(ELEMENTS // columns, columns), normal(ELEMENTS // columns, columns)
        labels = np.arange(len(z), dtype=np.int32) % columns
        shape = f"{len(z)}x{columns}"
        arguments = {
            "softmax": (z,),
            "softmax_cross_entropy": (z, labels),
            "sigmoid_cross_entropy": (z, (other > 0).astype(np.float32)),
            "mean_squared_error": (z, other),
        }
        for name, given in arguments.items():
            ours, theirs = getattr(ops, name), getattr(formulas, name)
            moved = sum(array.nbytes for array in given) + z.nbytes
            yield Case(f"{name} {shape}", partial(ours, *given), partial(theirs, *given), moved)


def optimizer() -> Iterator[Case]:
    from fastnn import ops

    for size in (ELEMENTS // 8, 16 * ELEMENTS):
        grad = normal(size)
        state = [np.zeros_like(grad) for _ in range(6)]
        p, velocity, m, v, q, other = state
        yield Case(
            f"sgd_step momentum {size}",
            partial(ops.sgd_step, p, grad, velocity, learning_rate=1e-6, momentum=0.9),
            partial(formulas.sgd_step, q, grad, other),
            5 * grad.nbytes,
        )
        yield Case(
            f"adam_step {size}",
            partial(ops.adam_step, p, grad, m, v, step=1000, learning_rate=1e-6),
            partial(formulas.adam_step, q, grad, np.zeros_like(m), np.zeros_like(v)),
            7 * grad.nbytes,
        )


FAMILIES = {"dense": dense, "activation": activation, "loss": loss, "optimizer": optimizer}


def line(case: Case, floors: machine.Floors, asked: argparse.Namespace) -> list[str]:
    """Times one op; the cells of its row."""
    contestants: dict[str, Contestant] = {"fastnn": repeated(case.fastnn)}
    if case.numpy:
        contestants["NumPy"] = repeated(case.numpy)
    taken = measure(contestants, rounds=asked.rounds, seconds=asked.seconds)
    ours, theirs = taken["fastnn"].median, taken.get("NumPy")
    floor, by = floors.floor(case.flops, case.moved, case.moved)
    rate, unit = (case.flops, "GFLOP/s") if case.flops else (case.moved, "GB/s")
    return [
        case.name,
        microseconds(ours),
        f"{rate / ours / 1e9:.3g} {unit}",
        f"{times(ours / floor)} {by}",
        microseconds(theirs.median) if theirs else "-",
        times(theirs.median / ours) if theirs else "-",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ops",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default=",".join(FAMILIES), help="some of %(default)s")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.02, help="for an op in a round")
    asked = parser.parse_args()
    families = asked.only.split(",")
    if unknown := set(families) - set(FAMILIES):
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(FAMILIES)}")
    machine.limit_threads(asked.threads)
    floors = machine.floors(asked.threads)
    print(*machine.describe(asked.threads), floors.describe(), sep="\n")
    if formulas.erf is None:
        print("gelu in NumPy left out (SciPy, which has erf, is not installed)")
    rows = []
    for family in families:
        for case in FAMILIES[family]():
            rows.append(line(case, floors, asked))
            print(".", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)
    print(table(("op", "fastnn us", "rate", "over floor", "NumPy us", "NumPy/fastnn"), rows))


if __name__ == "__main__":
    main()
