"""The time of a training step on a GPU, next to the time of PyTorch.

    python -m benchmarks.gpu --json gpu.json --markdown gpu.md --limit 120

fastnn trains with `fit`, with the session that it chooses and with each session that can be
forced. PyTorch trains eagerly, in a CUDA graph and compiled, with its fused Adam and the data on
the device (see `workers/`). All contestants must agree on the losses of the first two steps; one
that does not is left out and reported. Rows, aims and tables are in `gpu_rows.py`.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import contest, gpu_rows, machine
from benchmarks.contest import Unavailable, Worker
from benchmarks.gpu_rows import PRECISIONS, ROWS, SESSIONS, contestant
from benchmarks.timer import PAUSE, Contestant, calibrate
from benchmarks.workloads import Workload

REFERENCE = ("PyTorch eager highest, fused Adam", contestant("plain", "highest"))
LONG_TURN = 1.0  # seconds: a contestant with a longer turn gets only one


@dataclass(frozen=True)
class Entrant:
    """A process that trains: fastnn with one session, or PyTorch."""

    worker: Worker
    session: str | None  # None: a peer

    def prepare(self, work: Workload) -> contest.Row:
        """Prepares the worker; uses the names of `gpu_rows.py`, and leaves out fastnn's first epoch."""
        row = self.worker.prepare(work, machine.allowed())
        if self.session is None:
            return row
        names = {f"fastnn {word}": contestant(self.session, word) for word in PRECISIONS}
        return contest.Row(
            {names[name]: later(one) for name, one in row.contestants.items()},
            {names[name]: losses for name, losses in row.losses.items()},
            [names[name] for name in row.rounded],
            {names[name]: note for name, note in row.notes.items()},
        )


def later(one: Contestant) -> Contestant:
    """The time of the given number of repeats after a first one."""
    return Contestant(lambda repeats: one.run(1 + repeats) - one.run(1), one.steps)


def start(session: str | None, device: str) -> Entrant:
    if session is None:
        return Entrant(Worker("torch_gpu"), None)
    entries = [f"fastnn {word}" for word in PRECISIONS]
    environment = {"FASTNN_SESSION": session, "FASTNN_DEVICE": device}
    return Entrant(Worker("fastnn_gpu", entries=entries, environment=environment), session)


class Contest:
    """All processes, which are restarted if they end, and the messages about them."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.wrong: list[str] = []
        self.notes: list[str] = []
        self.entrants: dict[str | None, Entrant] = {}
        self.peers = asked.against != "none"

    def begin(self) -> None:
        """Starts the processes that are not running."""
        wanted = [*self.asked.sessions, *([None] if self.peers else [])]
        missing = [
            who for who in wanted if who not in self.entrants or not self.entrants[who].worker.alive
        ]
        with ThreadPoolExecutor(max(1, len(missing))) as pool:
            started = [(who, pool.submit(start, who, self.asked.device)) for who in missing]
        for who, one in started:
            self.entrants.pop(who, None)
            try:
                self.entrants[who] = one.result()
            except Unavailable as reason:
                if who is None:
                    self.peers = False
                    self.notes.append(f"PyTorch left out ({reason})")
                else:
                    self.wrong.append(f"fastnn, {who}: does not start ({reason})")

    def prepared(self, work: Workload) -> list[tuple[Entrant, contest.Row]]:
        """Each process with its contestants for a row; a process that fails is reported."""
        with ThreadPoolExecutor(max(1, len(self.entrants))) as pool:
            asked = [(one, pool.submit(one.prepare, work)) for one in self.entrants.values()]
        found = []
        for one, row in asked:
            try:
                found.append((one, row.result()))
            except Unavailable as reason:
                self.wrong.append(f"{work.name}: {name_of(one)} ended ({reason})")
        return found

    def row(self, work: Workload, until: float) -> gpu_rows.Row:
        """Everything about one network."""
        self.begin()
        found = [row for _, row in self.prepared(work)]
        odd = disagreeing(found)
        self.wrong += [f"{work.name}: {line}" for line in odd.values()]
        contestants = {
            name: one
            for row in found
            for name, one in row.contestants.items()
            if not any(who == name or who.startswith(f"{name}, ") for who in odd)
        }
        seconds = self.measure(work, contestants, until)
        return gpu_rows.Row(
            *(work.layers, work.batch, work.flops, work.bytes, work.working_set),
            seconds=seconds,
            notes={name: note for row in found for name, note in row.notes.items()},
        )

    def measure(
        self, work: Workload, contestants: dict[str, Contestant], until: float
    ) -> dict[str, list[float]]:
        """Like `timer.measure`, until the time is up. A contestant that fails gets no time."""
        repeats: dict[str, int] = {}
        taken: dict[str, list[float]] = {}
        short = dict.fromkeys(contestants, True)

        def turn(name: str) -> None:
            began, one = time.perf_counter(), contestants[name]
            time.sleep(PAUSE)
            if name not in repeats:
                repeats[name] = calibrate(one, self.asked.seconds)
            seconds = one.run(repeats[name]) / (repeats[name] * one.steps)
            if seconds > 0:  # a disturbed first epoch can take longer than two epochs
                taken.setdefault(name, []).append(seconds)
            short[name] = time.perf_counter() - began < LONG_TURN

        order = list(contestants)
        for k in range(self.asked.rounds):
            for name in list(order):
                if name not in order or (k and (not short[name] or time.monotonic() > until)):
                    continue
                try:
                    turn(name)
                except Unavailable as reason:
                    self.wrong.append(f"{work.name}: {name} ended while timed ({reason})")
                    taken.pop(name, None)
                    order.remove(name)
            order = order[1:] + order[:1]
        return taken

    def close(self) -> None:
        for one in self.entrants.values():
            one.worker.close()


def name_of(one: Entrant) -> str:
    return f"fastnn, {one.session}" if one.session else "PyTorch"


def disagreeing(rows: Iterable[contest.Row]) -> dict[str, str]:
    """A line about each contestant whose losses differ from the reference."""
    losses = {name: values for row in rows for name, values in row.losses.items()}
    rounded = {name for row in rows for name in row.rounded}
    first = next((name for name in REFERENCE if name in losses), next(iter(losses), ""))
    found = {}
    for name, values in losses.items():
        wanted = contest.Row({}, {first: losses[first]}, [], {})
        also = contest.Row({}, {name: values}, [name] if name in rounded else [], {})
        if line := contest.disagreement([wanted, also]):
            found[name] = line
    return found


def measured_rates() -> tuple[gpu_rows.Rates, str | None]:
    """The result of `workers/gpu_rates.py`, or the reason why it failed."""
    program = [sys.executable, "-m", "benchmarks.workers.gpu_rates"]
    try:
        done = subprocess.run(
            program, cwd=machine.ROOT, capture_output=True, text=True, check=False, timeout=60
        )
    except subprocess.TimeoutExpired:
        return gpu_rows.Rates(), "took longer than a minute"
    if done.returncode != 0:
        return gpu_rows.Rates(), (done.stderr.strip().splitlines() or ["no word"])[-1]
    said = [line for line in done.stderr.splitlines() if line.startswith("left out: ")]
    rates = gpu_rows.Rates(**json.loads(done.stdout.splitlines()[-1]))
    return rates, "; ".join(said) or None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", default=",".join(ROWS), help="some of %(default)s")
    parser.add_argument("--sessions", default=",".join(SESSIONS), help="some of %(default)s")
    parser.add_argument("--against", default="torch", choices=("torch", "none"))
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="fastnn's")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.04, help="for a contestant in a round")
    parser.add_argument("--limit", type=float, default=600, help="seconds in total (%(default)s)")
    parser.add_argument("--tiny", action="store_true", help="networks for an emulator")
    parser.add_argument("--json", type=Path, help="a file for all numbers, written after each row")
    parser.add_argument(
        "--markdown", type=Path, help="a file for the tables, written after each row"
    )
    asked = parser.parse_args()
    asked.rows, asked.sessions = asked.rows.split(","), asked.sessions.split(",")
    for words, known in ((asked.rows, tuple(ROWS)), (asked.sessions, SESSIONS)):
        if unknown := [word for word in words if word not in known]:
            parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(known)}")
    return asked


def keep(asked: argparse.Namespace, content: Mapping[str, Any]) -> None:
    if asked.json:
        asked.json.write_text(json.dumps(content, indent=1) + "\n")
    if asked.markdown:
        asked.markdown.write_text(gpu_rows.report(content))


def main() -> None:
    asked = arguments()
    end = time.monotonic() + asked.limit
    rates, why = (gpu_rows.Rates(), None) if asked.tiny else measured_rates()
    here = Contest(asked)
    if why:
        here.notes.append(f"rates: {why}")
    rows: dict[str, gpu_rows.Row] = {}
    unreached: list[str] = []

    def content() -> dict[str, Any]:
        late = [f"not reached in {asked.limit:.0f} s: {', '.join(unreached)}"] if unreached else []
        return {
            "tiny": asked.tiny,
            "rounds": asked.rounds,
            "rates": asdict(rates),
            "rows": {name: asdict(row) for name, row in rows.items()},
            "wrong": here.wrong,
            "notes": here.notes + late,
        }

    for k, name in enumerate(asked.rows):
        unreached = asked.rows[k:]
        keep(asked, content())
        left = end - time.monotonic()
        if left < 0:
            break
        work = gpu_rows.tiny(ROWS[name]) if asked.tiny else ROWS[name]
        rows[name] = here.row(work, time.monotonic() + left / len(unreached))
        unreached = asked.rows[k + 1 :]
        print(f"{name}: done", file=sys.stderr, flush=True)
    here.close()
    keep(asked, content())
    print(gpu_rows.report(content()))
    if here.wrong or not any(row.seconds for row in rows.values()):
        sys.exit("some contestants failed, disagreed, or none was timed: see above")


if __name__ == "__main__":
    main()
