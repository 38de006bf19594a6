"""The time of one training step in a loop by hand, beside PyTorch eager and Keras on JAX.

    python -m benchmarks.tape_step --against torch,keras --save

A step of fastnn is `loss(y, model(x, training=True))` under a GradientTape, `tape.gradient` and
`optimizer.apply_gradients`; the peers' loops are those of their guides. The row "own loop" is the
network of examples/iris_own_loop.py. Batches are cut beforehand, and all contestants must agree
on the losses of the first two steps. In the same rounds `fit` of the network as a Sequential and
as a class with `call` is timed: both are the same native run.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks import machine, records
from benchmarks.contest import Unavailable, Worker, disagreement
from benchmarks.markdown import microseconds, table, times
from benchmarks.timer import measure
from benchmarks.workloads import WORKLOADS, Workload

PEERS = ("torch", "keras")
OURS = "fastnn tape"
OWN = Workload("own loop", (4, 10, 8, 3), 32, "softmax", most_batches=4)
ROWS = {**{name: WORKLOADS[name] for name in ("iris", "mnist-32")}, OWN.name: OWN}
SETTING = (
    "a step of a training loop by hand, in microseconds, and how often fastnn's time it is. Such a "
    "loop has a tape, its gradient and `apply_gradients`; those of the peers are written as their "
    'guides write them. "own loop" is the network of [examples/iris_own_loop.py]'
    "(../examples/iris_own_loop.py)"
)
LOOPS = (OURS, "PyTorch eager", "PyTorch eager, fused Adam", "Keras on JAX")
FITS = ("fastnn Model.fit", "fastnn Sequential.fit")


def ratio(seconds: Mapping[str, list[float]], name: str, to: str) -> float:
    """The median over rounds of the ratio of two contestants' times in one round."""
    return statistics.median(a / b for a, b in zip(seconds[name], seconds[to], strict=True))


def lines(section: Mapping[str, Any]) -> str:
    """A table of the loops, in microseconds."""
    rows = section["rows"]
    names = [name for name in LOOPS if any(name in row["seconds"] for row in rows.values())]

    def cell(row: Mapping[str, Any], name: str) -> str:
        seconds = row["seconds"].get(name)
        if seconds is None:
            return "-"
        time = microseconds(statistics.median(seconds))
        return time if name == OURS else f"{time} ({times(ratio(row['seconds'], name, OURS))})"

    return table(
        ("row", "layers", *names),
        [(name, row["layers"], *(cell(row, one) for one in names)) for name, row in rows.items()],
    )


def fits(section: Mapping[str, Any]) -> str:
    """How `fit` of a class compares with that of a Sequential, in words."""
    found = [
        f"{ratio(row['seconds'], *FITS):.3f} ({name})"
        for name, row in section["rows"].items()
        if all(one in row["seconds"] for one in FITS)
    ]
    return f"`fit` of a class with `call`, over that of a `Sequential`: {', '.join(found)}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tape_step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--against", default=",".join(PEERS), help="some of %(default)s; or none")
    parser.add_argument("--rows", default=",".join(ROWS), help="some of %(default)s")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--seconds", type=float, default=0.1, help="for a contestant in a round")
    for name in PEERS:
        parser.add_argument(
            f"--{name}-python", default=sys.executable, help=f"the Python that has {name}"
        )
    records.add_option(parser)
    asked = parser.parse_args()
    asked.against = [name for name in asked.against.split(",") if name not in ("", "none")]
    asked.rows = asked.rows.split(",")
    for words, known in ((asked.against, PEERS), (asked.rows, ROWS)):
        if unknown := [word for word in words if word not in known]:
            parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(known)}")
    return asked


def start(asked: argparse.Namespace) -> dict[str, Worker]:
    """The workers that started; prints a line about each."""
    workers = {}
    for name in ("fastnn", *asked.against):
        python = sys.executable if name == "fastnn" else getattr(asked, f"{name}_python")
        try:
            workers[name] = Worker(f"{name}_tape", python, threads=asked.threads)
            print(f"- {name} {workers[name].version}")
        except Unavailable as reason:
            print(f"- {name} left out ({reason})")
    return workers


def main() -> None:
    asked = arguments()
    machine.limit_threads(asked.threads)
    print(*(f"- {line}" for line in machine.describe(asked.threads)), sep="\n")
    workers = start(asked)
    print(f"- microseconds, medians of {asked.rounds} interleaved rounds\n")
    rows: dict[str, Any] = {}
    for name in asked.rows:
        work = ROWS[name]
        prepared = [worker.prepare(work, asked.threads) for worker in workers.values()]
        if wrong := disagreement(prepared):
            sys.exit(f"the contestants do not compute the same: {wrong}")
        contestants = {one: c for row in prepared for one, c in row.contestants.items()}
        timings = measure(
            contestants, rounds=asked.rounds, seconds=asked.seconds, threads=asked.threads
        )
        seconds = {one: list(timing.rounds) for one, timing in timings.items()}
        rows[name] = {"layers": work.layers, "batch": work.batch, "seconds": seconds}
    versions = {name: worker.version for name, worker in workers.items()}
    for worker in workers.values():
        worker.close()
    content = {"versions": versions, "rows": rows}
    print(lines(content), f"\n{fits(content)}.", sep="\n")
    records.save(asked.save, "tape_step", content, threads=asked.threads)


if __name__ == "__main__":
    main()
