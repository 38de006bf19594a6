"""The time of a prediction for one row from Python: a NumPy row in, a NumPy array of outputs out.

    python -m benchmarks.predict_one --against torch,onnx,sklearn --rows mnist-32

fastnn predicts with `model.predictor()` and with `model.predict`. A peer gets the row in its
fastest form, prepared beforehand. All contestants have the same weights and must agree on the
outputs before the timing. ONNX Runtime takes part twice: with `--threads` threads, and with the
settings that it has if none is given. With `--threads 1` the two differ little, since all
contestants are kept to one core; `--threads 2` shows what the second one does.
"""

import argparse
import sys
from collections.abc import Mapping

import numpy as np

from benchmarks import machine
from benchmarks.contest import TOLERANCE, Unavailable, Worker
from benchmarks.markdown import microseconds, table, times
from benchmarks.timer import Contestant, Timing, measure
from benchmarks.workloads import WORKLOADS as TRAINED
from benchmarks.workloads import Floats, Workload

# A network as services have it for a table of numbers, in addition to the rows of the other tables.
WORKLOADS = {**TRAINED, "table-row": Workload("table-row", (20, 64, 64, 3), 32, "softmax")}
PEERS = ("onnx", "torch", "sklearn")
OURS = "fastnn predictor"
RIVAL = "ONNX Runtime"  # of the aims; its settings by default have a name that begins so
ROWS = ("iris", "table-row", "binary", "mnist-32", "multilabel", "mnist-wide")
AIMS = {"mnist-32": 0.6, "table-row": 0.4}  # shares of the rival's time


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.predict_one",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--against", default=",".join(PEERS), help="some of %(default)s; or none")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"some of {','.join(WORKLOADS)}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--seconds", type=float, default=0.05, help="for a contestant in a round")
    parser.add_argument(
        "--peer-python", default=sys.executable, help="the Python that has the peers installed"
    )
    asked = parser.parse_args()
    asked.against = [name for name in asked.against.split(",") if name not in ("", "none")]
    asked.rows = asked.rows.split(",")
    for words, known in ((asked.against, PEERS), (asked.rows, WORKLOADS)):
        if unknown := [word for word in words if word not in known]:
            parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(known)}")
    return asked


def start(names: list[str], peer_python: str) -> dict[str, Worker]:
    """The workers that started; prints a line about each name."""
    workers = {}
    for name in names:
        python = sys.executable if name == "fastnn" else peer_python
        try:
            workers[name] = Worker(f"{name}_predict", python)
            print(f"- {name} {workers[name].version}")
        except Unavailable as reason:
            print(f"- {name} left out ({reason})")
    return workers


def prepare(name: str, workers: dict[str, Worker], threads: int) -> dict[str, Contestant]:
    """The contestants of one row; workers that cannot take part are removed from `workers`."""
    contestants: dict[str, Contestant] = {}
    outputs: dict[str, Floats] = {}
    for peer, worker in list(workers.items()):
        try:
            row = worker.prepare(WORKLOADS[name], threads)
        except Unavailable as reason:
            print(f"{peer} left out from {name} on ({reason})", file=sys.stderr)
            del workers[peer]
            continue
        contestants |= row.contestants
        outputs |= {one: np.array(values, np.float32) for one, values in row.losses.items()}
    check_agreement(outputs)
    return contestants


def check_agreement(outputs: Mapping[str, Floats]) -> None:
    """Ends the program if the outputs differ."""
    (first, wanted), *others = outputs.items()
    for name, found in others:
        if not np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max():
            sys.exit(f"the contestants do not compute the same: {first} {wanted}, {name} {found}")


def aims(results: Mapping[str, Mapping[str, Timing]]) -> list[str]:
    """A line for each aim whose row was timed beside the rival."""
    return [
        f"{name}: {timings[OURS].median / timing.median:.2f} of the time of {one}, "
        f"aim {AIMS[name]:.2f}"
        for name, timings in results.items()
        if name in AIMS
        for one, timing in timings.items()
        if one.startswith(RIVAL)
    ]


def main() -> None:
    asked = arguments()
    machine.limit_threads(asked.threads)
    print(*(f"- {line}" for line in machine.describe(asked.threads)), sep="\n")
    workers = start(["fastnn", *asked.against], asked.peer_python)
    if "fastnn" not in workers:
        sys.exit("there is nothing to compare with: fastnn did not start")
    print(f"- microseconds, medians of {asked.rounds} interleaved rounds (least-greatest)\n")
    results: dict[str, dict[str, Timing]] = {}
    for name in asked.rows:
        contestants = prepare(name, workers, asked.threads)
        results[name] = measure(
            contestants, rounds=asked.rounds, seconds=asked.seconds, threads=asked.threads
        )
    for worker in workers.values():
        worker.close()

    names = list(next(iter(results.values())))

    def cell(timing: Timing | None, ours: float) -> str:
        if timing is None:
            return "-"
        spread = f"{microseconds(timing.low)}-{microseconds(timing.high)}"
        return f"{microseconds(timing.median)} ({spread}) {times(timing.median / ours)}"

    print(
        table(
            ("row", "layers", *names),
            [
                (name, WORKLOADS[name].layers)
                + tuple(cell(timings.get(one), timings[OURS].median) for one in names)
                for name, timings in results.items()
            ],
        )
    )
    print("", *(f"- {line}" for line in aims(results)), sep="\n")


if __name__ == "__main__":
    main()
