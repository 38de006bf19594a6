"""The emulated device finds bugs planted in kernels, with races.cpp or a sanitizer; kernels without
them give the same bits in every order of threads.

The places of bugs are marked in csrc: see planted.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import emulator
import planted
import pytest
import test_pool

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
    """The environment in which Python, itself not sanitized, runs with a sanitized library.

    When the sanitizer is loaded it looks for the functions that throw exceptions, so libstdc++
    is loaded with it.
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
    """The same bits, and no race."""
    with ThreadPoolExecutor(2) as pool:
        pairs = ((emulated, "1"), (emulated, "2"), (emulated, "3"), (watched, "4"))
        runs = pool.map(
            lambda pair: work(pair[0], *parts, FASTNN_EMULATOR_SEED=pair[1], **environment), pairs
        )
        done = list(runs)
    for run in done:
        assert run.returncode == 0, run.stderr[-4000:]
    assert len({run.stdout for run in done}) == 1


@pytest.mark.slow
def test_every_order_of_threads_gives_the_same_bits(emulated: Path, watched: Path) -> None:
    in_every_order(emulated, watched, *ALL)


@pytest.mark.slow
def test_every_order_beside_cublaslt(emulated: Path, watched: Path, cublaslt: Path) -> None:
    in_every_order(emulated, watched, "wide", FASTNN_CUBLASLT=str(cublaslt))


@pytest.mark.long
def test_sanitized(sanitized: Path) -> None:
    done = work(sanitized, *ALL, **sanitizer())
    assert done.returncode == 0, done.stderr[-8000:]


class Bug(NamedTuple):
    """One bug: at the mark of its name, `old` becomes `new`."""

    old: str
    new: str
    work: str
    found: str  # in what the run prints


RACE = "a race: "
BEYOND = "beyond memory"
OFF = "AssertionError"
BARRIER = "t.barrier();"
WAIT = "group.wait(t);"
ADD = "sums.add(t,"

BUGS = {
    "product stages": Bug(BARRIER, "", "plain", RACE),
    "staged rows": Bug(BARRIER, "", "ops", RACE),
    "staged rows written back": Bug(BARRIER, "", "ops", RACE),
    "staged rows past the end": Bug("least(step, range.end - base)", "step", "ops", BEYOND),
    "halves of a resident step": Bug(BARRIER, "", "resident", RACE),
    "layers of a resident step": Bug(WAIT, "", "resident", RACE),
    "edge of a resident product": Bug("j < l.o", "j < l.o - 1", "resident", OFF),
    "element past the end": Bug("i < n", "i <= n", "ops", BEYOND),
    "sums of blocks": Bug(ADD, f"sums.sums[0] += counted.value; {ADD}", "ops", RACE),
    "sums after cuBLASLt": Bug(BARRIER, "", "wide", RACE),
    "edge after cuBLASLt": Bug("count > 0", "count > 3", "wide", OFF),
    "sum over part of a warp": Bug("mask < parts_", "2 * mask < parts_", "resident", OFF),
}


def copy_with(root: Path, name: str) -> None:
    """A copy of csrc that has the bug of this name."""
    shutil.copytree(emulator.ROOT / "csrc", root / "csrc")
    planted.change(root, name, BUGS[name].old, BUGS[name].new)


def test_every_mark_is_used() -> None:
    """Once each, here or by the tests of the pool."""
    assert planted.names(emulator.ROOT) == sorted([*BUGS, *test_pool.DELAYS])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("f();\n", "must be once in csrc: none"),
        ("f();  // planted: x\n" * 2, r"must be once in csrc: csrc/a.cu:1, csrc/a.cu:2"),
        ("// planted: x\nf();  // planted: x\n", r"must be once in csrc: .*a.cu:1, .*a.cu:2"),
        ("f();  // planted: xy\n", "must be once in csrc: none"),
        ("f(f());  // planted: x\n", r"csrc/a.cu:1: 'f\(' must be once in 'f\(f\(\)\);'"),
        ("g();  // planted: x\n", r"csrc/a.cu:1: 'f\(' must be once in 'g\(\);'"),
    ],
)
def test_a_mark_must_be_there_once(source: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "csrc").mkdir()
    (tmp_path / "csrc" / "a.cu").write_text(source)
    with pytest.raises(AssertionError, match=message):
        planted.change(tmp_path, "x", "f(", "g(")
    assert (tmp_path / "csrc" / "a.cu").read_text() == source


@pytest.mark.parametrize("source", ["f();  // planted: x\nf();\n", "// planted: x\nf();\nf();\n"])
def test_the_marked_line_alone_changes(source: str, tmp_path: Path) -> None:
    (tmp_path / "csrc").mkdir()
    (tmp_path / "csrc" / "a.cu").write_text(source)
    planted.change(tmp_path, "x", "f(", "g(")
    assert (tmp_path / "csrc" / "a.cu").read_text() == source.replace("f(", "g(", 1)


@pytest.mark.long
@pytest.mark.parametrize("name", BUGS)
def test_bugs_are_found(name: str, watched: Path, cublaslt: Path, tmp_path: Path) -> None:
    """Each in a library of its own; only its changed file is compiled."""
    bug = BUGS[name]
    copy_with(tmp_path, name)
    library = emulator.build(watched.parent, root=tmp_path, sanitize="thread")
    beside = str(cublaslt) if "cuBLASLt" in name else "none"
    done = work(library, bug.work, FASTNN_CUBLASLT=beside)
    assert done.returncode != 0
    assert bug.found in done.stderr, done.stderr[-4000:]


@pytest.mark.long
def test_an_access_beyond_the_end_is_found_by_a_sanitizer(sanitized: Path, tmp_path: Path) -> None:
    copy_with(tmp_path, "element past the end")
    library = emulator.build(sanitized.parent, root=tmp_path, sanitize="address,undefined")
    done = work(library, "ops", **sanitizer())
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr, done.stderr[-4000:]
