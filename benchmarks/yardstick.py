"""The loops of `yardstick.c`, compiled on first use and called by ctypes.

They are not part of fastnn, so that fastnn is not compared with itself. Without a C compiler every
function here returns None.
"""

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

SOURCE = Path(__file__).with_suffix(".c")
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC")
LINE = 16  # float32 in a cache line
Stream = Literal["read_1_write_1", "read_2_write_1", "update_1", "update_2", "update_3"]


@dataclass(frozen=True)
class Streams:
    """The number of arrays of a loop, and how often it moves each element."""

    arrays: int
    moves: int


STREAMS: dict[Stream, Streams] = {
    "read_1_write_1": Streams(2, 2),
    "read_2_write_1": Streams(3, 3),
    "update_1": Streams(2, 3),
    "update_2": Streams(3, 5),
    "update_3": Streams(4, 7),
}


@functools.cache
def _library() -> ctypes.CDLL | None:
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "yardstick.so"
        command = [compiler, *FLAGS, str(SOURCE), "-o", str(library)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
        loaded = ctypes.CDLL(str(library))  # stays mapped after the file is deleted
    loaded.peak.restype = loaded.rounded_peak.restype = ctypes.c_double
    return loaded


def peak(threads: int) -> float | None:
    """float32 operations a second of multiply-adds in registers, on `threads` cores at once."""
    library = _library()
    return _at_once(library.peak, threads) if library else None


def rounded_peak(threads: int) -> float | None:
    """The same for bfloat16 operands with float32 sums, if the processor has a unit for them."""
    library = _library()
    return _at_once(library.rounded_peak, threads) or None if library else None


def _at_once(rate: Callable[[], float], threads: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(lambda _: float(rate()), range(threads)))


def stream(name: Stream, size: int) -> Callable[[], None] | None:
    """A function that goes once over arrays of its own, of at least `size` elements each."""
    library = _library()
    if library is None:
        return None
    size = -(-size // LINE) * LINE
    stride = (
        size + 5 * LINE
    )  # arrays at different offsets in a page, or loads would wait for stores
    memory = np.ones((STREAMS[name].arrays + 1) * stride, np.float32)
    start = memory.ctypes.data
    start += -start % (4 * LINE)
    pointers = [ctypes.c_void_p(start + 4 * k * stride) for k in range(STREAMS[name].arrays)]
    count = ctypes.c_long(size)
    walk = getattr(library, name)
    walk.restype = None

    def run(_: object = memory) -> None:  # keeps the memory as long as the function
        walk(count, *pointers)

    return run
