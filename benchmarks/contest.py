"""The parent's half of the pipe: contestants that live in processes of their own.

Libraries bring thread pools and BLAS copies that disturb each other, so each
gets a process, and only one of them is ever told to work. The other half, with
the messages, is `benchmarks/workers/serve.py`.
"""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.timer import Contestant

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 1e-3  # relative; the losses compared are of the first two steps, in float32


class Unavailable(Exception):
    """A worker that cannot start or prepare: its library is not installed, or fails."""


@dataclass(frozen=True)
class Row:
    """What a worker offers for one workload."""

    contestants: dict[str, Contestant]
    losses: dict[str, list[float]]
    notes: dict[str, str]


class Worker:
    """A process that runs `python -m benchmarks.workers.<module>` from the root of the tree."""

    def __init__(self, module: str, python: str) -> None:
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            [python, "-m", f"benchmarks.workers.{module}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            bufsize=1,
        )
        self.version: str = self._answer()["version"]

    def prepare(self, workload: str, threads: int) -> Row:
        answer = self._ask(prepare=workload, threads=threads)
        contestants = {
            entry: Contestant(partial(self._run, entry), steps)
            for entry, steps in answer["steps"].items()
        }
        return Row(contestants, answer["losses"], answer["notes"])

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        """Ends the process, by closing its pipe."""
        self.process.communicate()
        self.errors.close()

    def _run(self, entry: str, repeats: int) -> float:
        return float(self._ask(run=entry, repeats=repeats)["seconds"])

    def _ask(self, **message: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(json.dumps(message), file=self.process.stdin)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise Unavailable((self.errors.read().strip().splitlines() or ["no word"])[-1])
        answer: dict[str, Any] = json.loads(line)
        return answer


def disagreement(losses: dict[str, list[float]]) -> str | None:
    """A line about the first contestant whose losses are not those of the first one."""
    (name, wanted), *others = losses.items()
    for other, found in others:
        for step, (a, b) in enumerate(zip(wanted, found, strict=True)):
            if not abs(a - b) <= TOLERANCE * abs(a):
                return f"loss of step {step}: {name} {a:.6g}, {other} {b:.6g}"
    return None
