"""The growth of time with batch, width, depth and threads, for fastnn and the peers, and its jumps.

    python -m benchmarks.growth --save --plot growth.png
    python -m benchmarks.growth --quick --axes batch --against numpy

Along each axis one number of a network grows. A cliff is a point that takes more than
2.3 times the time of the point before it for each doubling of the products' work; 1000
units must not take over 15 % longer than 1024. A contestant leaves an axis if its next
step would take too long; all peers leave when the time is up. Both are reported.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import growth_plot, machine, records
from benchmarks.contest import HERE, PEERS, Unavailable, Worker
from benchmarks.markdown import microseconds, table
from benchmarks.timer import Contestant, Timing, measure
from benchmarks.workloads import Workload

ENTRIES = {
    "fastnn": ("fastnn highest",),
    "numpy": ("NumPy",),
    "torch": ("PyTorch eager, fused Adam",),
    "jax": ("JAX scan",),
    "sklearn": ("scikit-learn",),
}
DOUBLING = 2.3  # limit of the time ratio for twice the work
UNEVEN, EVEN, UNEVEN_COST = 1000, 1024, 1.15
EPOCH_FLOPS = 2e9  # an epoch of about this much work, in two batches at least
FLOPS = 50e9  # a second; a cautious guess for the very first step


@dataclass(frozen=True)
class Axis:
    """One axis: the network (or the threads) at a value, and the values."""

    network: Callable[[int], tuple[tuple[int, ...], int]]
    """layer widths and batch at a value"""
    values: tuple[int, ...]
    quick: tuple[int, ...]
    said: str

    def work(self, value: int) -> Workload:
        widths, batch = self.network(value)
        once = Workload("growth", widths, batch, "softmax")
        batches = min(once.most_batches, max(2, int(EPOCH_FLOPS / once.flops)))
        return Workload("growth", widths, batch, "softmax", batches)


def powers(low: int, high: int, by: int = 1) -> tuple[int, ...]:
    """Powers of two from 2^low to 2^high, each `by`-th."""
    return tuple(2**k for k in range(low, high + 1, by))


AXES = {
    "batch": Axis(
        lambda n: ((64, 256, 256, 10), n),
        powers(0, 16),
        powers(0, 16, 4),
        "64-256-256-10, batch on the axis",
    ),
    "width": Axis(
        lambda n: ((64, n, n, 10), 128),
        tuple(sorted((*powers(3, 12), UNEVEN))),
        (8, 64, 256, UNEVEN, EVEN),
        "64-width-width-10, batch 128",
    ),
    "depth": Axis(
        lambda n: ((64, *[128] * n, 10), 128),
        powers(0, 4),
        powers(0, 4, 2),
        "64-128-...-128-10, hidden layers on the axis, batch 128",
    ),
    "threads": Axis(
        lambda _: ((64, 256, 256, 256, 10), 1024),
        (),
        (),
        "64-256-256-256-10, batch 1024",
    ),
}


@dataclass
class Limits:
    """Limits of the time of points, and the contestants left out because of them."""

    rounds: int
    seconds: float
    longest_step: float
    deadline: float
    said: list[str] = field(default_factory=list)

    def allow(self, name: str, point: str, step: float) -> bool:
        """Whether to measure a step of about `step` seconds."""
        if step > self.longest_step:
            self.said.append(f"{name} left out from {point} on: a step of about {step:.2g} s")
            return False
        if name != "fastnn" and time.monotonic() > self.deadline:
            self.said.append(f"{name} left out from {point} on: the time is up")
            return False
        return True


Curves = dict[str, dict[int, Timing]]


def measured(
    workers: Mapping[str, Worker], work: Workload, threads: int, limits: Limits
) -> dict[str, Timing]:
    """One point: the times of the contestants that could prepare it."""
    contestants: dict[str, Contestant] = {}
    for name, worker in workers.items():
        if not worker.alive:
            continue
        try:
            contestants |= worker.prepare(work, threads).contestants
        except Unavailable as reason:
            limits.said.append(f"{name} left out of {work.layers}, batch {work.batch}: {reason}")
    return measure(contestants, rounds=limits.rounds, seconds=limits.seconds, threads=threads)


def along(
    name: str, values: Sequence[int], workers: Mapping[str, Worker], limits: Limits
) -> Curves:
    """The curves of one axis, with one thread."""
    axis, curves = AXES[name], Curves()
    going = dict(workers)
    last: tuple[float, dict[str, float]] | None = None
    for value in values:
        work = axis.work(value)
        for one in list(going):
            before = last[1].get(ENTRIES[one][0].partition(",")[0]) if last else None
            guess = before * work.flops / last[0] if last and before else work.flops / FLOPS
            if not limits.allow(one, f"{name} {value}", guess):
                del going[one]
        timings = measured(going, work, 1, limits)
        for entry, timing in timings.items():
            curves.setdefault(entry, {})[value] = timing
        last = work.flops, {entry: timing.median for entry, timing in timings.items()}
        print(f"{name} {value}: done", file=sys.stderr)
    return curves


def over_threads(
    names: Iterable[str], counts: Sequence[int], python: str, limits: Limits
) -> Curves:
    """The curves of the last axis, with new processes for each number of threads."""
    work, curves = AXES["threads"].work(1), Curves()
    for threads in counts:
        going = [name for name in names if limits.allow(name, f"threads {threads}", 0.0)]
        workers = started(going, python, threads, limits)
        for entry, timing in measured(workers, work, threads, limits).items():
            curves.setdefault(entry, {})[threads] = timing
        for worker in workers.values():
            worker.close()
        print(f"threads {threads}: done", file=sys.stderr)
    return curves


def started(
    names: Iterable[str], peer_python: str, threads: int, limits: Limits
) -> dict[str, Worker]:
    workers = {}
    for name in names:
        python = sys.executable if name in HERE else peer_python
        try:
            workers[name] = Worker(f"{name}_steps", python, ENTRIES[name], threads=threads)
        except Unavailable as reason:
            limits.said.append(f"{name} left out ({reason})")
    return workers


def cliffs(name: str, curve: Mapping[int, Timing]) -> list[str]:
    """The cliffs of a curve, in words."""
    if name == "threads":
        return []
    axis, found = AXES[name], []
    for a, b in pairwise(value for value in curve if value != UNEVEN):
        work = axis.work(b).flops / axis.work(a).flops
        cost, allowed = curve[b].median / curve[a].median, DOUBLING ** math.log2(work)
        if cost > allowed:
            found.append(f"{name} {a} to {b}: {cost:.2f}x the time for {work:.2f}x the work")
    if name == "width" and UNEVEN in curve and EVEN in curve:
        cost = curve[UNEVEN].median / curve[EVEN].median
        if cost > UNEVEN_COST:
            found.append(f"{name} {UNEVEN} takes {cost:.2f}x the time of {EVEN}")
    return found


def report(name: str, curves: Curves) -> str:
    """Microseconds of a step, and nanoseconds of a row, for each contestant."""
    values = list(dict.fromkeys(value for curve in curves.values() for value in curve))

    def cell(timing: Timing | None, batch: int) -> str:
        if timing is None:
            return "-"
        return f"{microseconds(timing.median)} ({1e9 * timing.median / batch:.4g})"

    rows = []
    for value in values:
        batch = AXES[name].network(value)[1]
        rows.append([str(value), *(cell(curve.get(value), batch) for curve in curves.values())])
    return table((name, *curves), rows)


def points(results: Mapping[str, Curves]) -> dict[str, dict[str, Any]]:
    """The data to keep and draw: [value, batch, seconds of a step] for each point."""
    return {
        name: {
            "said": AXES[name].said,
            "curves": {
                entry: [
                    [value, AXES[name].network(value)[1], timing.median]
                    for value, timing in curve.items()
                ]
                for entry, curve in curves.items()
            },
        }
        for name, curves in results.items()
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--axes", default=",".join(AXES), help="some of %(default)s")
    parser.add_argument("--against", default=",".join(PEERS), help="some of %(default)s; or none")
    parser.add_argument("--quick", action="store_true", help="few short points: about a minute")
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="minutes after which no peer starts"
    )
    parser.add_argument(
        "--peer-python", default=sys.executable, help="the Python that has the peers installed"
    )
    parser.add_argument("--plot", type=Path, help="a PNG to draw; needs matplotlib")
    records.add_option(parser)
    asked = parser.parse_args()
    asked.axes = asked.axes.split(",")
    asked.against = [name for name in asked.against.split(",") if name not in ("", "none")]
    for words, known in ((asked.axes, AXES), (asked.against, PEERS)):
        if unknown := [word for word in words if word not in known]:
            parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(known)}")
    return asked


def main() -> None:
    asked = arguments()
    most = machine.allowed()
    names = ["fastnn", *asked.against]
    minutes = min(asked.minutes, 0.7) if asked.quick else asked.minutes
    limits = Limits(
        rounds=3 if asked.quick else 5,
        seconds=0.01 if asked.quick else 0.05,
        longest_step=0.1 if asked.quick else 1.5,
        deadline=time.monotonic() + 60 * minutes,
    )
    print(*machine.describe(most), sep="\n")
    workers = started(names, asked.peer_python, 1, limits)
    versions = {name: worker.version for name, worker in workers.items()}
    results: dict[str, Curves] = {}
    for name in asked.axes:
        axis = AXES[name]
        if name == "threads":
            counts = sorted({*powers(0, int(math.log2(most))), most})
            results[name] = over_threads(versions, counts, asked.peer_python, limits)
        else:
            results[name] = along(name, axis.quick if asked.quick else axis.values, workers, limits)
    for worker in workers.values():
        worker.close()
    for name, curves in results.items():
        print(f"\n{AXES[name].said}; us a step (ns a row):\n\n{report(name, curves)}\n")
        found = [
            f"cliff: {entry}, {line}"
            for entry, curve in curves.items()
            for line in cliffs(name, curve)
        ]
        print("\n".join(found or ["no cliff"]))
    print("", *limits.said, sep="\n")
    drawn = points(results)
    records.save(asked.save, "growth", {"axes": drawn}, threads=most, versions=versions)
    if asked.plot:
        growth_plot.draw(drawn, machine.describe(most)[:2], asked.plot)


if __name__ == "__main__":
    main()
