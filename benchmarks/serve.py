"""Requests a second and latencies of the service of examples/serve.py, beside ONNX Runtime.

    python -m benchmarks.serve --python .venv/bin/python

The same service runs over fastnn, over ONNX Runtime (one thread each), and over nothing, which
shows what a request costs without a model. Each has a process of its own, kept to one core; the
clients are connections of this process, kept to another core, each of which asks about one row, waits
for the answer, and asks again. Contestants take turns, and one of them works at a time.

`together` says whether questions are answered in a thread, those that wait in one call. It needs
starlette, uvicorn, onnx and onnxruntime where the services run (`--python`).
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks import machine
from benchmarks.markdown import microseconds, table, times

CONTESTANTS = {"fastnn": "fastnn", "onnx": "ONNX Runtime", "nothing": "no model"}


@dataclass(frozen=True)
class Load:
    """One row of the table for each contestant."""

    widths: str
    clients: int
    together: bool


LOADS = {
    "table-row": Load("20-64-64-3", 16, False),
    "mnist": Load("784-128-10", 16, False),
    "mnist-alone": Load("784-128-10", 1, False),
    "mnist-together": Load("784-128-10", 16, True),
    "wide": Load("784-4096-4096-10", 32, False),
    "wide-together": Load("784-4096-4096-10", 32, True),
}


class Unavailable(Exception):
    """A service does not start."""


@dataclass
class Service:
    """A service that runs, and what its clients have seen."""

    port: int
    version: str
    rates: list[float] = field(default_factory=list)
    """requests a second, one number for each round"""
    seconds: list[float] = field(default_factory=list)
    """of each request"""

    def rate(self) -> float:
        return statistics.median(self.rates)

    def percentile(self, share: float) -> float:
        return float(np.percentile(self.seconds, 100 * share))


@contextlib.contextmanager
def service(contestant: str, load: Load, python: str, core: int) -> Iterator[Service]:
    """Starts a service on one core, and ends it."""
    words = [contestant, load.widths, json.dumps(load.together)]
    with tempfile.TemporaryFile("w+") as errors:
        with machine.kept_to([core]):
            process = subprocess.Popen(
                [python, "-m", "benchmarks.workers.service", *words],
                cwd=machine.ROOT,
                env={**os.environ, **machine.pools(1)},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                process.wait()
                errors.seek(0)
                raise Unavailable((errors.read().strip().splitlines() or ["no word"])[-1])
            yield Service(**json.loads(line))
        finally:
            process.terminate()
            process.wait(30)
            process.stdout.close()


def question(inputs: int) -> bytes:
    """A request about one row of three decimals, as sensors and forms have them."""
    row = np.random.default_rng(1).normal(size=inputs).round(3).tolist()
    body = json.dumps({"rows": [row]}).encode()
    head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def client(port: int, asked: bytes, end: float, seconds: list[float]) -> None:
    """Asks until the end, and appends the time of each answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while (begin := time.perf_counter()) < end:
            writer.write(asked)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            seconds.append(time.perf_counter() - begin)
            if b" 200 " not in head[:16]:
                raise RuntimeError(f"{head.decode()}{body.decode()}")
    finally:
        writer.close()


async def ask(one: Service, load: Load, duration: float) -> None:
    """One round of a service."""
    asked, seconds = question(int(load.widths.split("-")[0])), list[float]()
    begin = time.perf_counter()
    clients = [client(one.port, asked, begin + duration, seconds) for _ in range(load.clients)]
    await asyncio.gather(*clients)
    one.rates.append(len(seconds) / (time.perf_counter() - begin))
    one.seconds += seconds


def measure(load: Load, names: Sequence[str], asked: argparse.Namespace) -> dict[str, Service]:
    """The services of one load, asked in interleaved rounds."""
    here, there = machine.cores(2) if machine.allowed() > 1 else machine.cores(1) * 2
    with contextlib.ExitStack() as stack:
        running = {}
        for name in names:
            try:
                running[name] = stack.enter_context(service(name, load, asked.python, there))
            except Unavailable as reason:
                print(f"{CONTESTANTS[name]} left out ({reason})", file=sys.stderr)
        stack.enter_context(machine.kept_to([here]))
        for one in running.values():  # warms up
            asyncio.run(ask(one, load, 0.3))
            one.rates.clear()
            one.seconds.clear()
        order = list(running)
        for _ in range(asked.rounds):
            for name in order:
                asyncio.run(ask(running[name], load, asked.seconds))
            order = order[1:] + order[:1]
    return running


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serve",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--against", default=",".join(CONTESTANTS), help="some of %(default)s")
    parser.add_argument("--rows", default=",".join(LOADS), help="some of %(default)s")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="for a contestant in a round")
    parser.add_argument("--python", default=sys.executable, help="the Python of the services")
    asked = parser.parse_args()
    for name, known in (("against", CONTESTANTS), ("rows", LOADS)):
        words = getattr(asked, name).split(",")
        setattr(asked, name, words)
        if unknown := [word for word in words if word not in known]:
            parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(known)}")
    return asked


def main() -> None:
    asked = arguments()
    print(*(f"- {line}" for line in machine.describe(1)), sep="\n")
    print(f"- {asked.rounds} interleaved rounds of {asked.seconds:g} s; the rate is their median\n")
    lines = []
    for name in asked.rows:
        load = LOADS[name]
        found = measure(load, asked.against, asked)
        base = found.get("onnx")
        for contestant, one in found.items():
            ratio = "-" if base is None else times(one.rate() / base.rate())
            lines.append(
                (
                    name,
                    load.widths,
                    str(load.clients),
                    "yes" if load.together else "no",
                    f"{CONTESTANTS[contestant]} {one.version}",
                    f"{one.rate():.0f}",
                    microseconds(one.percentile(0.5)),
                    microseconds(one.percentile(0.99)),
                    ratio,
                )
            )
    head = ("row", "layers", "clients", "together", "service", "requests/s", "p50 us", "p99 us")
    print(table((*head, "of ONNX Runtime's rate"), lines))


if __name__ == "__main__":
    main()
