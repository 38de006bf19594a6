"""Training on a file larger than the memory that the process may have, beside training in memory.

    python -m benchmarks.larger                                  # 1 GB under 256 MB
    python -m benchmarks.larger --gigabytes 8 --limit 1024       # 8 GB under 1 GB

A process under the limit trains on `fastnn.data.Chunks` of the file. The limit is that of a group of the
system (memory.limit_in_bytes or memory.max), which counts pages of files, too, so that the file is read
from the disk in every epoch; where no group can be made, it is RLIMIT_DATA, which counts what is not a
file. The rate beside it is that of `fit` on an array, as much of the file as `--memory` says. Epochs
alternate, and medians are shown. The disk's own rate is that of the same reads without training.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import fastnn
from benchmarks import machine
from benchmarks.markdown import table

GROUPS = Path("/sys/fs/cgroup")
MEGABYTE = 1 << 20


def write(folder: Path, rows: int, width: int, classes: int) -> None:
    """Writes x.npy and y.npy, some rows at a time."""
    rng = np.random.default_rng(0)
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (rows, width))
    y = np.lib.format.open_memmap(folder / "y.npy", "w+", np.int32, (rows,))
    each = max(1, (64 << 20) // (4 * width))
    for i in range(0, rows, each):
        part = rng.random((min(each, rows - i), width), np.float32)
        x[i : i + each] = part
        y[i : i + each] = part[:, 0] * classes
    x.flush()
    y.flush()


def forget(path: str) -> None:
    """Drops the pages of a file, which no process under a limit has paid for."""
    with open(path, "rb") as file:  # noqa: PTH123
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def model_of(widths: list[int]) -> Any:
    stack = [fastnn.layers.Dense(units, "relu") for units in widths[1:-1]]
    model = fastnn.Sequential(
        [fastnn.Input((widths[0],)), *stack, fastnn.layers.Dense(widths[-1])], seed=0
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


class Group:
    """A group of processes with a limit of memory; `kind` tells which, None: there is none."""

    def __init__(self, limit: int) -> None:
        self.kind: str | None = None
        for kind, root, limits, peak in (
            ("cgroup v1", GROUPS / "memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
            ("cgroup v2", GROUPS, "memory.max", "memory.peak"),
        ):
            self._folder = root / f"fastnn-larger-{os.getpid()}"
            self._peak = peak
            with contextlib.suppress(OSError):
                if not (root / "cgroup.procs").exists():
                    continue
                self._folder.mkdir()
                (self._folder / limits).write_text(str(limit))
                self.kind = kind
                return

    def take(self, pid: int) -> None:
        if self.kind is not None:
            (self._folder / "cgroup.procs").write_text(str(pid))

    def peak(self) -> int:
        return int((self._folder / self._peak).read_text())

    def remove(self) -> None:
        if self.kind is not None:
            with contextlib.suppress(OSError):
                self._folder.rmdir()


class Anonymous(threading.Thread):
    """Looks at the memory of this process that is no file, and keeps the largest."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0

    def run(self) -> None:
        while True:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon"):
                    self.peak = max(self.peak, int(line.split()[1]) << 10)
            time.sleep(0.01)


def child(given: argparse.Namespace) -> None:
    """Trains, or reads alone, an epoch for each line of stdin; a line of JSON answers."""
    machine.limit_threads(given.cores)
    fastnn.set_num_threads(given.threads)
    sys.stdin.readline()  # once the process is in its group
    if given.data_limit:
        limit = given.limit * MEGABYTE
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    watch = Anonymous()
    watch.start()
    folder = Path(given.folder)
    chunks = fastnn.data.Chunks(folder / "x.npy", folder / "y.npy", window=given.window)
    model = model_of(given.widths)
    for line in sys.stdin:
        begin, used = time.perf_counter(), time.process_time()
        if line.strip() == "read":
            for window in chunks.windows(given.batch, (0, 0)):
                del window
        else:
            model.fit(chunks, batch_size=given.batch, verbose=0)
        seconds = time.perf_counter() - begin
        answer = {"seconds": seconds, "used": time.process_time() - used, "anonymous": watch.peak}
        print(json.dumps(answer), flush=True)


@contextlib.contextmanager
def limited(given: argparse.Namespace, folder: str) -> Iterator[tuple[Any, Group]]:
    """The child, and the group that it is in."""
    group = Group(given.limit * MEGABYTE)
    command = [sys.executable, "-m", "benchmarks.larger", "--child", "--folder", folder]
    command += ["--limit", str(given.limit), "--batch", str(given.batch)]
    command += [
        "--threads",
        str(given.threads),
        "--cores",
        str(given.cores),
        "--window",
        str(given.window),
    ]
    command += ["--widths", *map(str, given.widths)]
    command += ["--data-limit"] if group.kind is None else []
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    try:
        with subprocess.Popen(command, **pipes) as process:
            group.take(process.pid)
            process.stdin.write("\n")  # type: ignore[union-attr]
            yield process, group
            process.stdin.close()  # type: ignore[union-attr]
    finally:
        group.remove()


def ask(process: Any, what: str) -> dict[str, Any]:
    process.stdin.write(f"{what}\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        sys.exit(f"the process ended: {process.wait()} (-9: it had more memory than the limit)")
    answer: dict[str, Any] = json.loads(line)
    return answer


def run(given: argparse.Namespace, folder: str) -> None:
    width = given.widths[0]
    rows = int(given.gigabytes * 1e9) // (4 * width)
    write(Path(folder), rows, width, given.widths[-1])
    held = min(rows, int(given.memory * 1e9) // (4 * width))
    x = np.load(f"{folder}/x.npy", mmap_mode="r")[:held].copy()
    y = np.load(f"{folder}/y.npy", mmap_mode="r")[:held].copy()
    forget(f"{folder}/x.npy")
    model = model_of(given.widths)
    names = ("in memory", "Chunks", "reads alone")
    times: dict[str, list[float]] = {name: [] for name in names}
    used: dict[str, list[float]] = {name: [] for name in names}
    with limited(given, folder) as (process, group):
        for _ in range(given.rounds):
            begin, before = time.perf_counter(), time.process_time()
            model.fit(x, y, batch_size=given.batch, verbose=0)
            times["in memory"].append((time.perf_counter() - begin) / held)
            used["in memory"].append((time.process_time() - before) / held)
            for name, what in (("Chunks", "train"), ("reads alone", "read")):
                answer = ask(process, what)
                times[name].append(answer["seconds"] / rows)
                used[name].append(answer["used"] / rows)
        peak = group.peak() if group.kind is not None else 0
    middle = {name: statistics.median(found) for name, found in times.items()}
    print("\n".join(machine.describe(given.cores)))
    print(
        f"\n{rows} rows, {rows * width * 4 / 1e9:.2f} GB of float32, "
        f"{'-'.join(map(str, given.widths))}, batches of {given.batch}, windows of {given.window} "
        f"rows ({given.window * width * 4 / MEGABYTE:.0f} MiB), {given.threads} threads train on "
        f"{given.cores} cores, "
        f"medians of {given.rounds} alternating epochs\n"
    )
    print(
        table(
            ["", "rows a second", "of the rate in memory", "processor us a row"],
            [
                [
                    name,
                    f"{1 / one:.0f}",
                    f"{middle['in memory'] / one:.2f}",
                    f"{1e6 * statistics.median(used[name]):.2f}",
                ]
                for name, one in middle.items()
            ],
        )
    )
    told = group.kind or "RLIMIT_DATA"
    print(
        f"\nlimit {given.limit} MiB by {told}; peak of memory that is no file "
        f"{answer['anonymous'] / MEGABYTE:.0f} MiB"
        + (f", with files {peak / MEGABYTE:.0f} MiB" if peak else "")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=1.0, help="of the file of x")
    parser.add_argument("--limit", type=int, default=256, help="MiB that the process may have")
    parser.add_argument("--memory", type=float, default=1.0, help="gigabytes that train in memory")
    parser.add_argument("--window", type=int, default=16384, help="rows of a window")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--widths", type=int, nargs="+", default=[784, 128, 10])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cores", type=int, help="default one more, for the thread that reads")
    parser.add_argument("--folder", help="where the file is written; it is removed afterwards")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--data-limit", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.cores = given.cores or min(given.threads + 1, machine.allowed())
    if given.child:
        child(given)
        return
    machine.limit_threads(given.cores)
    fastnn.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        run(given, folder)


if __name__ == "__main__":
    main()
