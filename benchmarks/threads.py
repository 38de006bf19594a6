"""The gain from a second thread, on an idle machine and beside a process that keeps a core busy.

    python -m benchmarks.threads --rows iris,tabular --against torch

Each row has three interleaved times: one thread on one core, two threads on two cores, and two threads
while a child of this program spins on one of the cores. The aims for fastnn: two threads are at least 1.8
times as fast as one from `tabular` on and never slower than one; beside the spinner, they never take more
than 1.3 times the time of one.
"""

import argparse
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from benchmarks import machine, records
from benchmarks.contest import HERE, PEERS, Unavailable, Worker
from benchmarks.growth import ENTRIES
from benchmarks.markdown import microseconds, table, times
from benchmarks.timer import Contestant, Timing, measure
from benchmarks.workloads import WORKLOADS, Workload

SPEEDUP, SPEEDUP_FROM = 1.8, ("tabular", "narrow", "image", "large")
NOISE = 0.97  # of a ratio that should be one: some rows use a single thread only
BUSY_COST = 1.3
# It ends when its parent ends, even if the parent is killed between two turns.
SPIN = """
import os
parent = os.getppid()
print("spinning", flush=True)
while os.getppid() == parent:
    for _ in range(100000):
        pass
"""


@contextlib.contextmanager
def busy(core: int) -> Iterator[None]:
    """A child that spins on one core for as long as this lasts."""
    with machine.kept_to([core]):
        child = subprocess.Popen([sys.executable, "-S", "-c", SPIN], stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        child.stdout.readline()
        yield
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def beside_spinner(one: Contestant, core: int) -> Contestant:
    """The same contestant beside the spinner. It is timed in its worker, without the spinner's start."""

    def run(repeats: int) -> float:
        with busy(core):
            return one.run(repeats)

    return Contestant(run, one.steps)


def measured(
    work: Workload, workers: dict[int, Worker], core: int, asked: argparse.Namespace
) -> dict[str, Timing]:
    """The three times of one library on one row."""
    contestants = {}
    for threads, worker in workers.items():
        (contestants[str(threads)],) = worker.prepare(work, threads).contestants.values()
    contestants["busy"] = beside_spinner(contestants["2"], core)
    return measure(contestants, rounds=asked.rounds, seconds=asked.seconds, threads=2)


def line(name: str, library: str, taken: dict[str, Timing]) -> list[str]:
    one, two, beside = (taken[key].median for key in ("1", "2", "busy"))
    wanted = SPEEDUP if name in SPEEDUP_FROM else 1.0
    missed = [one / two < (wanted if wanted > 1 else NOISE), beside / one > BUSY_COST]
    speedup, cost = (
        text + " missed" if library == "fastnn" and is_missed else text
        for text, is_missed in zip((times(one / two), times(beside / one)), missed, strict=True)
    )
    return [
        *(name, library, microseconds(one), microseconds(two), microseconds(beside)),
        *(speedup, times(wanted), cost, times(BUSY_COST)),
    ]


HEAD = (
    *("row", "library", "one us", "two us", "two, a core busy us"),
    *("one/two", "at least", "busy/one", "at most"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.threads",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", default=",".join(WORKLOADS), help="some of %(default)s")
    parser.add_argument("--against", default="", help=f"some of {','.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.2, help="for a time in a round")
    parser.add_argument(
        "--peer-python", default=sys.executable, help="the Python that has the peers installed"
    )
    records.add_option(parser)
    asked = parser.parse_args()
    cores = machine.cores(2)
    print(*machine.describe(2), f"the spinner runs on core {cores[-1]} of {cores}", sep="\n")
    workers: dict[str, dict[int, Worker]] = {}
    for name in ("fastnn", *filter(None, asked.against.split(","))):
        python = sys.executable if name in HERE else asked.peer_python
        start = partial(Worker, f"{name}_steps", python, ENTRIES[name])
        try:
            workers[name] = {threads: start(threads=threads) for threads in (1, 2)}
        except Unavailable as reason:
            print(f"{name} left out ({reason})")
    rows: list[list[str]] = []
    kept: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name in asked.rows.split(","):
        for library, pair in workers.items():
            taken = measured(WORKLOADS[name], pair, cores[-1], asked)
            rows.append(line(name, library, taken))
            kept.setdefault(name, {})[library] = {key: list(t.rounds) for key, t in taken.items()}
        print(f"{name}: done", file=sys.stderr)
    for pair in workers.values():
        for worker in pair.values():
            worker.close()
    print(table(HEAD, rows))
    records.save(asked.save, "threads", {"rows": kept}, threads=2)


if __name__ == "__main__":
    main()
