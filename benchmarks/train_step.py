"""How long one training step takes, beside the peers, on the ten networks of `workloads.py`.

    python -m benchmarks.train_step --against numpy,torch,jax,sklearn --rows iris,mnist-32

fastnn's time is that of `fit` over whole epochs divided by its steps, shuffle,
gather and checks of the input included; each peer steps through ready batches
in order, in the fastest form that we know (see `workers/`). All contestants
must agree on the losses of the first two steps before any is timed.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks import machine
from benchmarks.contest import Unavailable, Worker, disagreement
from benchmarks.markdown import microseconds, table, times
from benchmarks.timer import Contestant, Timing, measure
from benchmarks.workloads import WORKLOADS, Workload

PEERS = ("numpy", "torch", "jax", "sklearn")
OURS = "fastnn"
USUAL = ("PyTorch eager", "JAX step")  # the loops that people write
HEAD = (
    *("row", "layers", "batch", "best peer", "usual loop", "NumPy", OURS),
    *("best/fastnn", "usual/fastnn", "NumPy/fastnn", "floor", "fastnn/floor"),
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train_step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--against", default=",".join(PEERS), help="some of %(default)s; or none")
    parser.add_argument("--rows", default=",".join(WORKLOADS), help="some of %(default)s")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.2, help="for a contestant in a round")
    parser.add_argument("--peer-python", default=sys.executable, help="where the peers live")
    parser.add_argument("--markdown", type=Path, help="a file to write to as well")
    asked = parser.parse_args()
    asked.against = [name for name in asked.against.split(",") if name not in ("", "none")]
    asked.rows = asked.rows.split(",")
    for words, known in ((asked.against, PEERS), (asked.rows, WORKLOADS)):
        if unknown := [word for word in words if word not in known]:
            parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(known)}")
    return asked


def start(names: list[str], peer_python: str) -> tuple[dict[str, Worker], list[str]]:
    """The workers that could start, and a line about each name."""
    workers: dict[str, Worker] = {}
    lines = []
    for name in names:
        python = sys.executable if name in (OURS, "numpy") else peer_python
        try:
            workers[name] = Worker(f"{name}_steps", python)
            lines.append(f"{name} {workers[name].version}")
        except Unavailable as reason:
            lines.append(f"{name} left out ({reason})")
    return workers, lines


def contest(
    work: Workload, workers: Mapping[str, Worker], asked: argparse.Namespace
) -> tuple[dict[str, Timing], list[str]]:
    """The timings of one row by contestant, and what there is to say about them."""
    contestants: dict[str, Contestant] = {}
    losses: dict[str, list[float]] = {}
    notes = []
    for name, worker in workers.items():
        try:
            row = worker.prepare(work.name, asked.threads)
        except Unavailable as reason:
            notes.append(f"{work.name}: {name} left out ({reason})")
            continue
        contestants |= row.contestants
        losses |= row.losses
        notes += [f"{work.name}: {entry} is {note}" for entry, note in row.notes.items()]
    if line := disagreement(losses):
        sys.exit(f"{work.name}: the contestants do not compute the same: {line}")
    return measure(contestants, rounds=asked.rounds, seconds=asked.seconds), notes


def summary(work: Workload, timings: Mapping[str, Timing], floors: machine.Floors) -> list[str]:
    """The cells of a row of the first table."""

    def cell(name: str | None) -> str:
        return f"{microseconds(timings[name].median)} {name}" if name else "-"

    def fastest(names: list[str]) -> str | None:
        return min(names, key=lambda name: timings[name].median, default=None)

    def ratio(name: str | None) -> str:
        known = name in timings and OURS in timings
        return times(timings[name].median / timings[OURS].median) if name and known else "-"

    best = fastest([name for name in timings if name != OURS])
    usual = fastest([name for name in timings if name in USUAL])
    floor, by = floors.floor(work.flops, work.bytes, work.working_set)
    return [
        *(work.name, work.layers, str(work.batch), cell(best), cell(usual)),
        *(
            microseconds(timings[name].median) if name in timings else "-"
            for name in ("NumPy", OURS)
        ),
        *(ratio(best), ratio(usual), ratio("NumPy")),
        f"{microseconds(floor)} {by}",
        times(timings[OURS].median / floor) if OURS in timings else "-",
    ]


def details(results: Mapping[str, Mapping[str, Timing]]) -> str:
    """Every contestant: median (least-greatest), so that noise can be seen."""
    names = list(dict.fromkeys(name for timings in results.values() for name in timings))

    def cell(timing: Timing | None) -> str:
        if timing is None:
            return "-"
        low, high = microseconds(timing.low), microseconds(timing.high)
        return f"{microseconds(timing.median)} ({low}-{high})"

    return table(
        ("row", *names),
        [(row, *(cell(timings.get(name)) for name in names)) for row, timings in results.items()],
    )


def main() -> None:
    asked = arguments()
    machine.limit_threads(asked.threads)
    floors = machine.floors(asked.threads)
    workers, versions = start([OURS, *asked.against], asked.peer_python)
    results: dict[str, dict[str, Timing]] = {}
    rows, notes = [], []
    for name in asked.rows:
        work = WORKLOADS[name]
        results[name], said = contest(work, workers, asked)
        workers = {name: one for name, one in workers.items() if one.alive}
        rows.append(summary(work, results[name], floors))
        notes += said
        print(f"{name}: done", file=sys.stderr)
    for worker in workers.values():
        worker.close()
    lines = [
        "# One training step, microseconds",
        "",
        *(f"- {line}" for line in machine.describe(asked.threads)),
        f"- {floors.describe()}",
        f"- {', '.join(versions)}",
        f"- medians of {asked.rounds} interleaved rounds",
        "- floor: flops at the peak, or bytes at the bandwidth where the weights live, if slower",
        "",
        table(HEAD, rows),
        "",
        "All contestants, median (least-greatest):",
        "",
        details(results),
        "",
        *(f"- {note}" for note in notes),
    ]
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if asked.markdown:
        asked.markdown.write_text(text)


if __name__ == "__main__":
    main()
