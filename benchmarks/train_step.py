"""The time of one training step, next to the peers', on the ten networks of `workloads.py`.

    python -m benchmarks.train_step --against numpy,torch,jax,sklearn --rows iris,mnist-32 --save

fastnn's time is the time of `fit` over whole epochs divided by its steps, including shuffle,
gather and checks of the input. Each peer steps through prepared batches in order, in the
fastest known form (see `workers/`). All contestants must agree on the losses of the first
two steps before the timing.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks import machine, records, yardstick
from benchmarks.contest import PEERS, Row, Unavailable, Worker, disagreement, start
from benchmarks.markdown import times
from benchmarks.steps import OURS, ROUNDED_AIM, ROUNDED_AIMS, bounds, details, summary
from benchmarks.steps import Row as Measured
from benchmarks.timer import Contestant, measure
from benchmarks.workloads import WORKLOADS, Workload


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train_step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--against", default=",".join(PEERS), help="some of %(default)s; or none")
    parser.add_argument("--rows", default=",".join(WORKLOADS), help="some of %(default)s")
    parser.add_argument("--precisions", default=",".join(OURS), help="some of %(default)s")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.2, help="for a contestant in a round")
    parser.add_argument(
        "--peer-python", default=sys.executable, help="the Python that has the peers installed"
    )
    parser.add_argument("--markdown", type=Path, help="a file for the tables")
    records.add_option(parser)
    asked = parser.parse_args()
    asked.against = [name for name in asked.against.split(",") if name not in ("", "none")]
    asked.rows, asked.precisions = asked.rows.split(","), asked.precisions.split(",")
    for words, known in (
        (asked.against, PEERS),
        (asked.rows, WORKLOADS),
        (asked.precisions, OURS),
    ):
        if unknown := [word for word in words if word not in known]:
            parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(known)}")
    return asked


def contest(
    work: Workload,
    workers: Mapping[str, Worker],
    floors: machine.Floors,
    asked: argparse.Namespace,
) -> tuple[Measured, list[str]]:
    """The results of one network, and notes about it."""
    rows: list[Row] = []
    notes = []
    for name, worker in workers.items():
        try:
            row = worker.prepare(work, asked.threads)
        except Unavailable as reason:
            notes.append(f"{work.name}: {name} left out ({reason})")
            continue
        rows.append(row)
        notes += [f"{work.name}: {entry} is {note}" for entry, note in row.notes.items()]
    if line := disagreement(rows):
        sys.exit(f"{work.name}: the contestants do not compute the same: {line}")
    contestants: dict[str, Contestant] = {}
    for row in rows:
        contestants |= row.contestants
    # The clock rate of a core changes within minutes: its peak is measured next to the row.
    peaks = [yardstick.peak(asked.threads)]
    timings = measure(
        contestants, rounds=asked.rounds, seconds=asked.seconds, threads=asked.threads
    )
    peaks.append(yardstick.peak(asked.threads))
    peak = max((one for one in peaks if one), default=floors.flops)
    floor, by = replace(floors, flops=peak).floor(work.flops, work.bytes, work.working_set)
    rounded, rounded_by = None, ""
    if rate := yardstick.rounded_peak(asked.threads):
        rounded, rounded_by = replace(floors, flops=rate).floor(
            work.flops, work.bytes, work.working_set
        )
    measured = Measured(
        layers=work.layers,
        batch=work.batch,
        flops=work.flops,
        peak=peak,
        floor=floor,
        floor_by=by,
        seconds={name: list(timing.rounds) for name, timing in timings.items()},
        rounded_floor=rounded,
        rounded_floor_by=rounded_by,
    )
    return measured, notes


def main() -> None:
    asked = arguments()
    machine.limit_threads(asked.threads)
    floors = machine.floors(asked.threads)
    ours = [OURS[word] for word in asked.precisions]
    workers, missing = start(["fastnn", *asked.against], asked.peer_python, {"fastnn": ours})
    versions = {name: worker.version for name, worker in workers.items()}
    rows: dict[str, Measured] = {}
    notes: list[str] = []
    for name in asked.rows:
        rows[name], said = contest(WORKLOADS[name], workers, floors, asked)
        workers = {name: one for name, one in workers.items() if one.alive}
        notes += said
        kept = {
            "rounds": asked.rounds,
            "floors": asdict(floors),
            "rows": {name: asdict(row) for name, row in rows.items()},
            "notes": missing + notes,
        }  # saved after each row, since a run is long
        records.save(asked.save, "train_step", kept, threads=asked.threads, versions=versions)
        print(f"{name}: done", file=sys.stderr)
    for worker in workers.values():
        worker.close()
    lines = [
        "# One training step, microseconds",
        "",
        *(f"- {line}" for line in machine.describe(asked.threads)),
        f"- {floors.describe()}",
        f"- {', '.join([f'{name} {version}' for name, version in versions.items()] + missing)}",
        f"- medians of {asked.rounds} interleaved rounds",
        "- floor: flops at the peak or, if slower, bytes at the bandwidth of the weights' memory",
        "- of peak: flops of the products, over the multiply-add peak measured next to the row",
        f"- aim: of best/highest by row; of bfloat16/medium {times(ROUNDED_AIM)}, "
        + ", ".join(f"{times(aim)} on {name}" for name, aim in ROUNDED_AIMS.items()),
        "",
        summary(rows),
        "",
        "The floor of each row, and the ratios of the row and of its aim to it:",
        "",
        bounds(rows),
        "",
        "All contestants, median (least-greatest):",
        "",
        details(rows),
        "",
        *(f"- {note}" for note in notes),
    ]
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if asked.markdown:
        asked.markdown.write_text(text)


if __name__ == "__main__":
    main()
