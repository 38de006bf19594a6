"""The parent's half of the pipe to the contestants, which run in processes of their own.

Thread pools and BLAS copies of different libraries disturb each other. Therefore each
library runs in its own process, and only one process works at a time. The other half,
with the messages, is `benchmarks/workers/serve.py`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from benchmarks import machine
from benchmarks.timer import Contestant
from benchmarks.workloads import Workload

HERE = ("fastnn", "numpy")  # run in this Python; other peers may use another
PEERS = ("numpy", "torch", "jax", "sklearn")
# Relative tolerances of the losses of the first two steps. Rounded operands change a logit by
# about 2^-9 of its size, and the mean over a batch by less.
TOLERANCE = 1e-3
ROUNDED_TOLERANCE = 2e-2


class Unavailable(Exception):
    """A worker cannot start or prepare: its library is not installed or fails."""


@dataclass(frozen=True)
class Row:
    """The contestants of a worker for one workload."""

    contestants: dict[str, Contestant]
    losses: dict[str, list[float]]
    rounded: list[str]
    notes: dict[str, str]


class Worker:
    """A process that runs `python -m benchmarks.workers.<module> <entries>` from the root of the tree.

    Args:
        entries: the wanted contestants of the module; empty for all.
        threads: the number of cores and threads that it may use; None for those of this process.
        environment: variables to set in addition to those of this process.
    """

    def __init__(
        self,
        module: str,
        python: str = sys.executable,
        entries: Sequence[str] = (),
        *,
        threads: int | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        pools = machine.pools(threads) if threads else {}
        with machine.kept_to(machine.cores(threads)) if threads else nullcontext():
            self.process = subprocess.Popen(
                [python, "-m", f"benchmarks.workers.{module}", *entries],
                cwd=machine.ROOT,
                env={**os.environ, **pools, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                text=True,
                bufsize=1,
            )
        self.version: str = self._answer()["version"]

    def prepare(self, work: Workload, threads: int) -> Row:
        answer = self._ask(prepare=asdict(work), threads=threads)
        contestants = {
            entry: Contestant(partial(self._run, entry), steps)
            for entry, steps in answer["steps"].items()
        }
        return Row(contestants, answer["losses"], answer["rounded"], answer["notes"])

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
        with suppress(BrokenPipeError):  # its last output tells why it ended
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


def disagreement(rows: Iterable[Row]) -> str | None:
    """A line about a contestant whose losses differ from those of the first contestant."""
    losses = {name: values for row in rows for name, values in row.losses.items()}
    rounded = {name for row in rows for name in row.rounded}
    for other, found in losses.items():
        name, wanted = next(iter(losses.items()))
        tolerance = ROUNDED_TOLERANCE if other in rounded else TOLERANCE
        for step, (a, b) in enumerate(zip(wanted, found, strict=True)):
            if not abs(a - b) <= tolerance * abs(a):
                return f"loss of step {step}: {name} {a:.6g}, {other} {b:.6g}"
    return None


def start(
    names: Iterable[str], peer_python: str, entries: Mapping[str, Sequence[str]]
) -> tuple[dict[str, Worker], list[str]]:
    """The workers that started, by the module's name, and a line about each that did not."""
    workers: dict[str, Worker] = {}
    missing = []
    for name in names:
        python = sys.executable if name in HERE else peer_python
        try:
            workers[name] = Worker(f"{name}_steps", python, entries.get(name, ()))
        except Unavailable as reason:
            missing.append(f"{name} left out ({reason})")
    return workers, missing
