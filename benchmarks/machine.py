"""The machine that a benchmark runs on, and the two lower limits of time that it sets.

Every benchmark calls `limit_threads` before NumPy is used, and prints `describe()`.
The limits (floors) are measured in each run, since clock rates and other load change. The rates
are those of NumPy and of a small C loop, so that fastnn is not compared with itself.
"""

import bisect
import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import timer, yardstick

ROOT = Path(__file__).resolve().parent.parent
POOLS = ("OMP", "OPENBLAS", "MKL", "FASTNN")  # each reads <name>_NUM_THREADS when it is loaded
SETS = tuple(1 << k for k in range(17, 30))  # bytes: 128 KiB to 512 MiB


def allowed() -> int:
    """The number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else os.cpu_count() or 1


def cores(threads: int) -> list[int]:
    """The cores for `threads` threads: the last ones, since the first serves most interrupts."""
    if not hasattr(os, "sched_setaffinity"):
        return list(range(threads))
    if threads > allowed():
        sys.exit(f"{threads} threads: this process may run on {allowed()} cores")
    return sorted(os.sched_getaffinity(0))[-threads:]


@contextlib.contextmanager
def kept_to(wanted: Iterable[int]) -> Iterator[None]:
    """Children started inside run only on these cores."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, wanted)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pools(threads: int) -> dict[str, str]:
    """The environment that limits the libraries' thread pools to `threads` threads."""
    return {f"{pool}_NUM_THREADS": str(threads) for pool in POOLS}


def limit_threads(threads: int) -> None:
    """Restarts this program so that it, its libraries and its children use only `threads` cores.

    Thread pools look at the environment and at the affinity when they are
    loaded, and XLA at the affinity alone; both are inherited by workers.
    """
    wanted = pools(threads)
    if all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    chosen = cores(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, chosen)
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **wanted})


def processor() -> str:
    """The name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str:
    """The commit of the tree, and whether files other than results and their tables changed."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    name = git("rev-parse", "--short=12", "HEAD") or "no commit"
    results = ("benchmarks/results", "README.md", "docs/benchmarks.md", "docs/pictures")
    changes = git("status", "--porcelain", "-uno", "--", ".", *(f":!{path}" for path in results))
    return f"{name} with changes" if changes else name


def facts(threads: int) -> dict[str, Any]:
    """The facts to keep with every result."""
    try:
        import fastnn

        config = fastnn.show_config("dicts") or {}
    except ImportError:
        config = {"version": "not installed", "build": {}, "isa": "-"}
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "platform": platform.platform(terse=True),
        "isa": config["isa"],
        "compiler": config["build"].get("compiler", "-"),
        "commit": commit(),
        "python": platform.python_version(),
        "versions": {"fastnn": config["version"], "numpy": np.__version__},
    }


def describe(threads: int) -> list[str]:
    """Lines that belong above any table of times."""
    here = facts(threads)
    versions = here["versions"]
    return [
        f"{here['processor']}, {here['cores']} cores, {threads} used; {here['platform']}",
        f"fastnn {versions['fastnn']} ({here['isa']}; {here['compiler']}), commit {here['commit']}",
        f"Python {here['python']}, NumPy {versions['numpy']}",
    ]


@dataclass(frozen=True)
class Floors:
    """Rates that no step can exceed."""

    flops: float
    """float32 operations a second"""
    bandwidths: tuple[tuple[int, float], ...]
    """(bytes that are worked on, bytes a second), ascending"""
    source: str
    """the source of `flops`"""

    def bandwidth(self, working_set: int) -> float:
        """Bytes a second if `working_set` bytes are used again and again."""
        sizes = [size for size, _ in self.bandwidths]
        return self.bandwidths[min(bisect.bisect_left(sizes, working_set), len(sizes) - 1)][1]

    def floor(self, flops: int, moved: int, working_set: int) -> tuple[float, str]:
        """Seconds, and which of the two rates sets them."""
        by_flops, by_bytes = flops / self.flops, moved / self.bandwidth(working_set)
        return (by_flops, "flops") if by_flops > by_bytes else (by_bytes, "bytes")

    def describe(self) -> str:
        rates = ", ".join(
            f"{rate / 1e9:.0f} at {size >> 10} KiB"
            if size < 1 << 20
            else f"{rate / 1e9:.0f} at {size >> 20} MiB"
            for size, rate in self.bandwidths[::3]
        )
        return f"peak {self.flops / 1e9:.0f} GFLOP/s float32 ({self.source}); GB/s {rates}"


def floors(threads: int) -> Floors:
    """Measures both rates; takes a few seconds."""
    flops, source = yardstick.peak(threads), "multiply-adds in registers"
    if flops is None:
        flops, source = _product_peak(), "a product in NumPy"
    rates = [(size, _bandwidth(size, threads)) for size in SETS]
    # A smaller set cannot be slower to reach; a lower rate is call overhead.
    best = [(size, max(rate for _, rate in rates[k:])) for k, (size, _) in enumerate(rates)]
    return Floors(flops, tuple(best), source)


def _product_peak(n: int = 1024) -> float:
    a, b = np.ones((n, n), np.float32), np.ones((n, n), np.float32)
    c = np.empty_like(a)
    taken = timer.measure({"product": timer.repeated(lambda: np.matmul(a, b, out=c))})
    return 2 * n**3 / taken["product"].low


def _bandwidth(size: int, threads: int) -> float:
    """The rate of a += b over `size` bytes in total. Like Adam, it reads more than it writes."""
    n = size // 8 // threads
    pairs = [(np.zeros(n, np.float32), np.ones(n, np.float32)) for _ in range(threads)]
    turns = max(1, (1 << 24) // size)

    def work(pair: Sequence[np.ndarray]) -> None:
        a, b = pair
        for _ in range(turns):
            np.add(a, b, out=a)

    with ThreadPoolExecutor(threads) as pool:
        one = timer.repeated(lambda: list(pool.map(work, pairs)) if threads > 1 else work(pairs[0]))
        taken = min(one.run(1) for _ in range(8))
    return 12 * n * threads * turns / taken
