"""Predictors in many threads, in forked children, in long calls that are interrupted, and for long."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import cases
import networks
import numpy as np
import pytest

import fastnn

pytestmark = pytest.mark.cpu


def same(actual, expected):
    np.testing.assert_array_equal(actual, expected, strict=True)


# -- threads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_many_threads(threads, rng):
    """More callers than states that wait, with the GIL kept and released: the bits of a lone call."""
    fastnn.set_num_threads(threads)
    model = networks.sequential((30, 200, 10), ("gelu", "softmax"))
    predict = model.predictor()
    inputs = [rng.normal(size=(n, 30)).astype(np.float32) for n in (1, 7, 64, 500, 3000)]
    expected = [model.predict(x) for x in inputs]

    def work(i):
        for _ in range(3):
            for k in (i % 5, (i + 2) % 5):
                same(predict(inputs[k]), expected[k])
                same(predict(inputs[k][-1]), expected[k][-1])

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(work, range(60)))


def test_while_the_model_trains(rng):
    model = networks.sequential((20, 33, 3), ("relu", "linear"))
    x, y = rng.normal(size=(500, 20)).astype(np.float32), rng.integers(0, 3, 500)
    model.compile("adam", "sparse_categorical_crossentropy")
    expected = model.predict(x)
    predict = model.predictor()
    over = threading.Event()

    class Stop(fastnn.callbacks.Callback):
        def on_epoch_end(self, *_):
            self.model.stop_training = over.is_set()

    fit = threading.Thread(
        target=model.fit, args=(x, y), kwargs={"epochs": 10**6, "verbose": 0, "callbacks": [Stop()]}
    )
    fit.start()
    try:
        for _ in range(20):
            same(predict(x), expected)
            same(predict(x[3]), expected[3])
            with contextlib.suppress(RuntimeError):  # before it begins
                model.predictor()
            time.sleep(0.002)
        with pytest.raises(RuntimeError, match=r"train|fit"):
            model.predictor()
    finally:
        over.set()
        fit.join(20)


def test_long_calls_release_the_gil(rng):
    predict = networks.sequential((512, 1024, 512, 10), ("relu", "relu", "linear")).predictor()
    x = rng.normal(size=(20_000, 512)).astype(np.float32)
    worker = threading.Thread(target=predict, args=(x,))
    worker.start()
    longest, last = 0.0, time.perf_counter()
    start = last
    while worker.is_alive():
        time.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    assert longest < 0.5 * (last - start) + 0.05


START = """
import os, signal, threading, time
import numpy as np
import fastnn
from fastnn import layers

# Whoever runs the tests in the background has told its children to ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

fastnn.utils.set_random_seed(1)
model = fastnn.Sequential([layers.Dense(64, "relu", input_shape=(20,)), layers.Dense(3, "softmax")])
predict = model.predictor()
x = np.random.default_rng(0).normal(size=(3000, 20)).astype(np.float32)

def child(work):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = work() or 0
        finally:
            os._exit(status)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hung"

def check():
    for rows in (1, 3000):
        assert np.array_equal(predict(x[:rows]), expected[:rows])
    assert np.array_equal(predict(x[5]), expected[5])
"""

PROGRAMS = {
    "a child that never saw it work": """
expected = model.predict(x)
print(child(check))
check()
""",
    "a child of one that has": """
expected = predict(x)
print(child(lambda: check() or child(check)))
check()
""",
    "children while other threads predict": """
expected = predict(x)
over = threading.Event()
def work():
    while not over.is_set():
        check()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
statuses = {child(check) for _ in range(20)}
over.set()
for thread in threads: thread.join()
print(*statuses)
""",
    "Ctrl-C in a long call": """
big = np.broadcast_to(x[0], (2**25, 20))
def interrupt():
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
start = time.perf_counter()
try:
    predict(big)
except KeyboardInterrupt:
    expected = predict(x)
    check()
    print(int(time.perf_counter() - start > 1.5))
""",
}


@pytest.mark.skipif(sys.platform == "win32", reason="fork and signals of POSIX")
@pytest.mark.parametrize("case", PROGRAMS)
def test_in_a_process_of_its_own(case):
    quiet = {"FASTNN_NUM_THREADS": "3", "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    done = cases.python(START + PROGRAMS[case], **quiet)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["0"], done.stdout + done.stderr


# -- memory --------------------------------------------------------------------------------------


def test_calls_leave_nothing_behind(rng):
    """Rows, batches and errors, two thousand times each."""
    predict = networks.sequential((20, 33, 3), ("relu", "linear")).predictor()
    x = rng.normal(size=(50, 20))
    bad = np.full((9, 20), np.nan)

    def work(times):
        for _ in range(times):
            predict(x[0])
            predict(x)
            predict(x[:, ::-1])
            with contextlib.suppress(ValueError):
                predict(bad)
            with contextlib.suppress(ValueError):
                predict(x[:, 1:])

    references = sys.getrefcount(x), sys.getrefcount(np.dtype(np.float32))
    tracemalloc.start()
    try:
        work(100)
        before = tracemalloc.get_traced_memory()[0]
        work(2000)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 20_000
    counts = sys.getrefcount(x), sys.getrefcount(np.dtype(np.float32))
    assert abs(counts[0] - references[0]) < 5
    assert abs(counts[1] - references[1]) < 100
