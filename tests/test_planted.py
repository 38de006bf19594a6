"""What the emulated device finds: bugs planted in kernels, under the watch of races.cpp and of
sanitizers; and that kernels without them give the same bits in every order of threads.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import emulator
import pytest

WORK = Path(__file__).with_name("device_work.py")
ALL = ("ops", "plain", "generic", "resident", "wide")


def work(library: Path, *parts: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {"FASTNN_CUDA_LIBRARY": str(library), "FASTNN_CUBLASLT": "none", "FASTNN_DEVICE": ""}
    return subprocess.run(
        [sys.executable, WORK, *parts],
        env={**os.environ, **own, **environment},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def sanitizer() -> dict[str, str]:
    """What has Python run with a library that is sanitized, as it is not itself.

    The sanitizer looks for what throws exceptions when it is loaded, so that comes with it.
    """
    found = [
        subprocess.run(
            [str(emulator.COMPILER), f"-print-file-name={name}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for name in ("libasan.so", "libstdc++.so.6")
    ]
    if not all(Path(path).is_absolute() for path in found):
        pytest.skip("the compiler has no libasan.so")
    return {
        "LD_PRELOAD": " ".join(found),
        "ASAN_OPTIONS": "detect_leaks=0,verify_asan_link_order=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def in_every_order(emulated: Path, watched: Path, *parts: str, **environment: str) -> None:
    """The same bits, and no two threads meet at the same memory."""
    with ThreadPoolExecutor(2) as pool:
        pairs = ((emulated, "1"), (emulated, "2"), (emulated, "3"), (watched, "4"))
        runs = pool.map(
            lambda pair: work(pair[0], *parts, FASTNN_EMULATOR_SEED=pair[1], **environment), pairs
        )
        done = list(runs)
    for run in done:
        assert run.returncode == 0, run.stderr[-4000:]
    assert len({run.stdout for run in done}) == 1


def test_every_order_of_threads_gives_the_same_bits(emulated: Path, watched: Path) -> None:
    in_every_order(emulated, watched, *ALL)


def test_every_order_beside_cublaslt(emulated: Path, watched: Path, cublaslt: Path) -> None:
    in_every_order(emulated, watched, "wide", FASTNN_CUBLASLT=str(cublaslt))


def test_sanitized(sanitized: Path) -> None:
    done = work(sanitized, *ALL, **sanitizer())
    assert done.returncode == 0, done.stderr[-8000:]


class Bug(NamedTuple):
    file: str
    text: str  # as it is, once, but for white space
    planted: str
    work: str
    found: str  # what is said of it


RACE = "a race: "
BEYOND = "beyond memory"
OFF = "AssertionError"

BUGS = {
    "a product's stages": Bug(
        "gemm.h", "fetch_b.add_to(sum); t.barrier();", "fetch_b.add_to(sum);", "plain", RACE
    ),
    "rows staged": Bug("row_walk.h", "t.barrier(); T* const mine", "T* const mine", "ops", RACE),
    "rows staged on their way back": Bug(
        "row_walk.h",
        "counted); t.barrier(); if (op.out",
        "counted); if (op.out",
        "ops",
        RACE,
    ),
    "rows staged beyond the end": Bug(
        "row_walk.h", "least(step, range.end - base) * c", "step * c", "ops", BEYOND
    ),
    "halves of a resident step": Bug(
        "resident.cu",
        "batch, n, lanes, columns); t.barrier();",
        "batch, n, lanes, columns);",
        "resident",
        RACE,
    ),
    "layers of a warp's rows": Bug(
        "resident_rows.h", "x, group); group.wait(t);", "x, group);", "resident", RACE
    ),
    "an edge of a resident product": Bug(
        "resident_rows.h", "for (; j < l.o; ++j)", "for (; j < l.o - 1; ++j)", "resident", OFF
    ),
    "an element past the end": Bug(
        "activation.cu", "if (i < n) y[i] = of(i);", "if (i <= n) y[i] = of(i);", "ops", BEYOND
    ),
    "what blocks add to": Bug(
        "loss.cu",
        "sums.add(t, counted, t.shared<Shared>().room);",
        "sums.sums[0] += counted.value; sums.add(t, counted, t.shared<Shared>().room);",
        "ops",
        RACE,
    ),
    "sums beside cuBLASLt": Bug("finish.cu", "sum.at[j]; t.barrier();", "sum.at[j];", "wide", RACE),
    "an edge beside cuBLASLt": Bug(
        "finish.cu", "row < a.n && count > 0", "row < a.n && count > 3", "wide", OFF
    ),
    "a sum over a part of the warp": Bug(
        "resident_weights.h",
        "mask < parts_; mask *= 2",
        "2 * mask < parts_; mask *= 2",
        "resident",
        OFF,
    ),
}


def plant(root: Path, bug: Bug) -> None:
    shutil.copytree(emulator.ROOT / "csrc", root / "csrc")
    path = root / "csrc" / "cuda" / bug.file
    pattern = r"\s*".join(map(re.escape, bug.text.split()))
    planted, count = re.subn(pattern, lambda _: bug.planted, path.read_text())
    assert count == 1, f"{bug.file} has {bug.text!r} {count} times"
    path.write_text(planted)


@pytest.mark.parametrize("name", BUGS)
def test_bugs_are_found(name: str, watched: Path, cublaslt: Path, tmp_path: Path) -> None:
    """Each in a library of its own, of which only what changed is compiled."""
    bug = BUGS[name]
    plant(tmp_path, bug)
    library = emulator.build(watched.parent, root=tmp_path, sanitize="thread")
    beside = str(cublaslt) if "cuBLASLt" in name else "none"
    done = work(library, bug.work, FASTNN_CUBLASLT=beside)
    assert done.returncode != 0
    assert bug.found in done.stderr, done.stderr[-4000:]


def test_an_access_beyond_the_end_is_found_by_a_sanitizer(sanitized: Path, tmp_path: Path) -> None:
    plant(tmp_path, BUGS["an element past the end"])
    library = emulator.build(sanitized.parent, root=tmp_path, sanitize="address,undefined")
    done = work(library, "ops", **sanitizer())
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr, done.stderr[-4000:]
