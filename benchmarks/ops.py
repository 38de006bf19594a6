"""Every op of `fastnn.ops`: products against the multiply-add peak, all others against bandwidth.

    python -m benchmarks.ops --only dense,softmax --sizes L2

An op that is limited by memory is compared with a loop that reads and writes the same number of arrays and
computes almost nothing (`yardstick.c`). Both are timed in turn, in arrays that fit in the L2 cache and in arrays
that fit in no cache; more than 1.3 times the time of the loop is too slow. The call overhead, measured on two
elements, is subtracted from both. NumPy's time is that of careful code (`formulas.py`). Everything runs on one
thread. All ops except the optimizers allocate their results, from memory that was used before.
"""

import argparse
import ctypes
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from benchmarks import formulas, machine, yardstick
from benchmarks.markdown import microseconds, percent, table, times
from benchmarks.timer import Timing, measure, repeated
from benchmarks.workloads import Floats

PRODUCTS = ((32, 4, 10), (32, 784, 128), (128, 784, 512), (1024, 256, 256), (1024, 2048, 2048))
SIZES = {"L2": 1 << 15, "memory": 1 << 24}  # elements of an array: 128 KiB, 64 MiB
NOTHING = 2  # elements: only the call takes time
MOST = 1.3  # times the stream's time
COLUMNS = (10, 1024)  # of logits
Call = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """An op with its arguments, the same in NumPy, and the stream that moves as many bytes."""

    name: str
    fastnn: Call
    numpy: Call | None
    stream: yardstick.Stream


@cache
def normal(*shape: int) -> Floats:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def activation(size: int) -> Iterator[Case]:
    from fastnn import activation_words, ops

    x, dy = normal(size), normal(size)[::-1].copy()
    for name in dict.fromkeys(activation_words.elementwise().values()):
        y = ops.activation_forward(x, name)
        forward, slope = formulas.ACTIVATIONS.get(name, (None, None))
        yield Case(
            f"activation_forward {name}",
            partial(ops.activation_forward, x, name),
            forward and partial(forward, x),
            "read_1_write_1",
        )
        yield Case(
            f"activation_backward {name}",
            partial(ops.activation_backward, dy, x, y, name),
            slope and partial(lambda slope, y: dy * slope(x, y), slope, y),
            "read_2_write_1",
        )


def logits(size: int, most: int) -> tuple[Floats, Floats]:
    """Two arrays of about `size` numbers in rows of limited length."""
    columns = min(most, size)
    shape = (size // columns, columns)
    return normal(*shape), normal(*shape)[::-1].copy()


def softmax(size: int) -> Iterator[Case]:
    from fastnn import ops

    for columns in COLUMNS:
        z, _ = logits(size, columns)
        yield Case(
            f"softmax of {columns}",
            partial(ops.softmax, z),
            partial(formulas.softmax, z),
            "read_1_write_1",
        )


def normalization(size: int) -> Iterator[Case]:
    from fastnn import ops

    for columns in COLUMNS:
        x, dy = logits(size, columns)
        gamma, beta = normal(x.shape[1]), normal(x.shape[1])
        yield Case(
            f"layer_normalization of {columns}",
            partial(ops.layer_normalization, x, gamma, beta),
            partial(formulas.layer_normalization, x, gamma, beta),
            "read_1_write_1",
        )
        yield Case(
            f"layer_normalization_backward of {columns}",
            partial(ops.layer_normalization_backward, dy, x, gamma),
            None,
            "read_2_write_1",
        )


def training(size: int) -> Iterator[Case]:
    """Layers that draw numbers, and normalizations with statistics, as training calls them."""
    from fastnn import GradientTape, layers
    from fastnn.keras.ops import convert_to_tensor

    made = (
        layers.Dropout(0.5),
        layers.GaussianNoise(0.5),
        layers.GaussianDropout(0.5),
        layers.AlphaDropout(0.5),
        layers.BatchNormalization(),
        layers.LayerNormalization(),
        layers.RMSNormalization(),
        layers.GroupNormalization(-1 if size == NOTHING else 32),
    )
    x, dy = logits(size, COLUMNS[-1])
    for layer in made:
        kind = type(layer).__name__
        with GradientTape(persistent=True) as tape:
            tape.watch(given := convert_to_tensor(x))
            y = layer(given, training=True)
        yield Case(f"{kind} of 1024", partial(layer, x, training=True), None, "read_1_write_1")
        yield Case(
            f"{kind} of 1024, gradient",
            partial(tape.gradient, y, given, dy),
            None,
            "read_2_write_1",
        )


def embedding(size: int) -> Iterator[Case]:
    from fastnn import ops

    for columns in COLUMNS:
        dy, table = logits(size, columns)
        rows = (np.arange(len(table)) * 7 % len(table)).astype(np.float32)
        integers = rows.astype(np.int64)
        yield Case(
            f"embedding of {columns}",
            partial(ops.embedding, rows, table),
            partial(np.take, table, integers, axis=0),
            "read_1_write_1",
        )
        yield Case(
            f"embedding_backward of {columns}",
            partial(ops.embedding_backward, dy, rows, len(table)),
            None,
            "update_1",
        )


def loss(size: int) -> Iterator[Case]:
    from fastnn import ops

    for columns in COLUMNS:
        z, target = logits(size, columns)
        labels = np.arange(len(z), dtype=np.int32) % z.shape[1]
        yield Case(
            f"softmax_cross_entropy of {columns}",
            partial(ops.softmax_cross_entropy, z, labels),
            partial(formulas.softmax_cross_entropy, z, labels),
            "read_1_write_1",
        )
    binary = (target > 0).astype(np.float32)
    yield Case(
        "sigmoid_cross_entropy",
        partial(ops.sigmoid_cross_entropy, z, binary),
        partial(formulas.sigmoid_cross_entropy, z, binary),
        "read_2_write_1",
    )
    yield Case(
        "mean_squared_error",
        partial(ops.mean_squared_error, z, target),
        partial(formulas.mean_squared_error, z, target),
        "read_2_write_1",
    )


def optimizer(size: int) -> Iterator[Case]:
    from fastnn import ops

    grad = normal(size)
    p, m, v, q, other, another = (np.zeros_like(grad) for _ in range(6))
    yield Case(
        "sgd_step",
        partial(ops.sgd_step, p, grad, None, learning_rate=1e-6),
        partial(formulas.sgd_step, q, grad),
        "update_1",
    )
    yield Case(
        "sgd_step momentum",
        partial(ops.sgd_step, p, grad, m, learning_rate=1e-6, momentum=0.9),
        partial(formulas.momentum_step, q, grad, other),
        "update_2",
    )
    m[:] = 0
    yield Case(
        "adam_step",
        partial(ops.adam_step, p, grad, m, v, step=1000, learning_rate=1e-6),
        partial(formulas.adam_step, q, grad, other, another),
        "update_3",
    )


FAMILIES = {
    "activation": activation,
    "softmax": softmax,
    "normalization": normalization,
    "training": training,
    "embedding": embedding,
    "loss": loss,
    "optimizer": optimizer,
}


def products(asked: argparse.Namespace, peak: float) -> Iterator[list[str]]:
    """The table rows of the dense layers."""
    from fastnn import ops

    for n, i, o in PRODUCTS:
        x, w, b, dy = normal(n, i), normal(i, o), normal(o), normal(n, o)
        y = ops.dense_forward(x, w, b, "relu")
        for name, flops, ours, numpys in (
            (
                "dense_forward",
                2 * n * i * o,
                partial(ops.dense_forward, x, w, b, "relu"),
                partial(formulas.dense_forward, x, w, b),
            ),
            (
                "dense_backward",
                4 * n * i * o,
                partial(ops.dense_backward, dy, x, w, y, "relu"),
                partial(formulas.dense_backward, dy, x, w, y),
            ),
        ):
            contestants = {"fastnn": repeated(ours), "NumPy": repeated(numpys)}
            taken = measure(contestants, rounds=asked.rounds, seconds=asked.seconds)
            fastnn, numpy = (taken[who].median for who in ("fastnn", "NumPy"))
            yield [
                *(f"{name} relu {n}x{i}x{o}", microseconds(fastnn)),
                *(f"{flops / fastnn / 1e9:.3g}", percent(flops / fastnn / peak)),
                *(microseconds(numpy), times(numpy / fastnn)),
            ]


def line(case: Case, nothing: Case, size: str, asked: argparse.Namespace) -> list[str]:
    """Times one op and its stream; returns the cells of its row."""
    calls = {
        "fastnn": case.fastnn,
        "call": nothing.fastnn,
        "stream": yardstick.stream(case.stream, SIZES[size]),
        "stream call": yardstick.stream(case.stream, NOTHING),
        "NumPy": case.numpy if size == "L2" else None,  # elsewhere its temporaries dominate
    }
    contestants = {name: repeated(call) for name, call in calls.items() if call}
    taken = measure(contestants, rounds=asked.rounds, seconds=asked.seconds)
    ours, call = taken["fastnn"].median, taken["call"].median
    numpy = taken["NumPy"].median if "NumPy" in taken else None
    return [
        *(case.name, size, microseconds(ours), microseconds(call)),
        *against(taken, 4 * SIZES[size] * yardstick.STREAMS[case.stream].moves),
        *((microseconds(numpy), times(numpy / ours)) if numpy else ("-", "-")),
    ]


def against(taken: dict[str, Timing], moved: int) -> list[str]:
    """GB/s of the op and of its stream without call overhead, and their ratio.

    They come from the least times: the noise in the median of a short call exceeds the call.
    The variation of the call's time is not counted against the op.
    """

    def rate(seconds: float) -> str:
        return f"{moved / seconds / 1e9:.3g}" if seconds > 0 else "-"

    ours = taken["fastnn"].low - taken["call"].low
    if "stream" not in taken:
        return [rate(ours), "-", "-"]
    stream = taken["stream"].low - taken["stream call"].low
    doubt = taken["call"].median - taken["call"].low
    slow = " slow" if ours > MOST * stream + doubt else ""
    return [rate(ours), rate(stream), times(max(ours, 0) / stream) + slow]


def keep_freed_memory() -> None:
    """Tells glibc to keep the memory of large arrays. Otherwise each result would cost page faults,
    and the benchmark would measure the operating system."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_max = -1, -4
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_max, 0)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ops",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = ("dense", *FAMILIES)
    parser.add_argument("--only", default=",".join(known), help="some of %(default)s")
    parser.add_argument("--sizes", default=",".join(SIZES), help="some of %(default)s")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.02, help="for an op in a round")
    asked = parser.parse_args()
    families, sizes = asked.only.split(","), asked.sizes.split(",")
    for words, choices in ((families, known), (sizes, SIZES)):
        if unknown := [word for word in words if word not in choices]:
            parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(choices)}")
    machine.limit_threads(1)
    keep_freed_memory()
    floors = machine.floors(1)
    print(*machine.describe(1), floors.describe(), sep="\n")
    if formulas.erf is None:
        print("gelu in NumPy left out (SciPy, which provides erf, is not installed)")
    if "dense" in families:
        head = ("op", "fastnn us", "GFLOP/s", "of peak", "NumPy us", "NumPy/fastnn")
        print("", table(head, list(products(asked, floors.flops))), sep="\n")
    rows = []
    for family in (FAMILIES[name] for name in families if name in FAMILIES):
        for size in sizes:
            for case, nothing in zip(family(SIZES[size]), family(NOTHING), strict=True):
                rows.append(line(case, nothing, size, asked))
                print(".", end="", flush=True, file=sys.stderr)
            normal.cache_clear()
    if rows:
        first = ("op", "arrays in", "fastnn us", "of it call", "GB/s", "stream GB/s", "over stream")
        print(file=sys.stderr)
        print("", table((*first, "NumPy us", "NumPy/fastnn"), rows), sep="\n")


if __name__ == "__main__":
    main()
