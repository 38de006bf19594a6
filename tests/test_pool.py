"""The pool of workers: each piece once, the same bits beside other processes, nothing left at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import cases
import numpy as np
import planted
import pytest

import fastnn
from fastnn import layers

ROOT = Path(__file__).parents[1]
COMPILER = shutil.which(os.environ.get("CXX", "c++"))
POOL = tuple(f"csrc/cpu/{name}.cpp" for name in ("pool", "parallel", "cores", "trial"))


def run_native(out: Path, *arguments: str) -> None:
    """Compiles a program, which counts its own failures, and runs it."""
    if COMPILER is None:
        pytest.skip("needs a C++ compiler")
    command = [COMPILER, "-std=c++20", "-Icsrc", "-pthread", *arguments, "-o", out]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    done = subprocess.run([out], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert done.stdout == "0 failures\n"


WATCHED = ("-O1", "-g", "-fsanitize=thread")


@pytest.mark.parametrize(
    "flags", [("-O2",), pytest.param(WATCHED, marks=pytest.mark.slow)], ids=" ".join
)
def test_every_piece_is_done_once(flags, tmp_path):
    run_native(tmp_path / "out", "tests/native/pool.cpp", *flags, *POOL)


# Microseconds before the marked statement. Sleep is slow, too, so that the call comes before it.
DELAYS = {"slow call": ("if (worker.asleep", 1000), "slow sleep": ("self.signal.wait(", 100)}


@pytest.mark.slow
def test_no_call_is_lost_when_waking_is_slow(tmp_path):
    """A worker that sleeps again before it is called: stop() would wait for it for ever."""
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    for name, (statement, delay) in DELAYS.items():
        slow = f"std::this_thread::sleep_for(std::chrono::microseconds({delay})); {statement}"
        planted.change(tmp_path, name, statement, slow)
    copy = tmp_path / POOL[0]
    run_native(tmp_path / "out", "tests/native/pool.cpp", "-O2", str(copy), *POOL[1:])


def test_work_is_shared_where_that_is_faster(tmp_path):
    run_native(tmp_path / "out", "tests/native/trial.cpp", "-O2", "csrc/cpu/trial.cpp")


# -- beside others ---------------------------------------------------------------------------

# name: (widths, rows, batch): products that are shared out in a plain, a streaming and a
# tiled session
SIZES = {
    "plain": ((200, 16, 5), 3000, 1500),
    "streaming": ((300, 512, 512, 5), 600, 300),
    "tiled": ((32, 64, 64, 5), 20_000, 10_000),
}


def trained(case: str) -> list[np.ndarray]:
    widths, n, batch = SIZES[case]
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(n, widths[0])).astype(np.float32), draw.integers(0, widths[-1], n)
    fastnn.utils.set_random_seed(2)
    model = fastnn.Sequential([layers.Input(shape=(widths[0],))])
    for units in widths[1:-1]:
        model.add(layers.Dense(units, activation="relu"))
    model.add(layers.Dense(widths[-1]))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=batch, epochs=5, verbose=0)
    return [*model.get_weights(), model.predict(x, verbose=0)]


def assert_same(results: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, b in zip(results, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """A process that spins for each core, for as long as this lasts."""
    spin = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
    count = min(os.cpu_count() or 1, 8)
    children = [subprocess.Popen([sys.executable, "-S", "-c", spin]) for _ in range(count)]
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


@pytest.mark.parametrize("case", SIZES)
def test_load_changes_no_bit(case):
    fastnn.set_num_threads(1)
    expected = trained(case)
    with busy_cores():
        for threads in (2, 3, 8):
            fastnn.set_num_threads(threads)
            assert_same(trained(case), expected)


def test_the_number_of_threads_may_change_meanwhile():
    """From another thread, and while the pool is at work: no bit changes."""
    fastnn.set_num_threads(1)
    expected = trained("streaming")
    over = threading.Event()

    def change() -> None:
        numbers = [1, 2, 8, 3]
        while not over.wait(0.0005):
            numbers.append(numbers.pop(0))
            fastnn.set_num_threads(numbers[0])

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(3):
            assert_same(trained("streaming"), expected)
    finally:
        over.set()
        thread.join()


# -- the end -----------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc/self/task")
def test_workers_end_before_the_interpreter():
    """Functions registered with atexit before fastnn was imported run after its workers ended."""
    program = """
import atexit, os
import numpy as np
def count():
    return len(os.listdir("/proc/self/task"))
atexit.register(lambda: print(during > before, count() == before))
before = count()
import fastnn
x = np.random.default_rng(0).normal(size=(2000, 300)).astype(np.float32)
model = fastnn.Sequential([fastnn.layers.Dense(256, input_shape=(300,))])
model.predict(x, verbose=0)
during = count()
"""
    done = cases.python(program, FASTNN_NUM_THREADS="3")
    assert done.stdout.split() == ["True", "True"], done.stdout + done.stderr
