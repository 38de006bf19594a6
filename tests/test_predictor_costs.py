"""What an answer of a predictor costs besides its arithmetic: memory, threads, the GIL, idle time."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tracemalloc

import cases
import networks
import numpy as np
import pytest

pytestmark = pytest.mark.cpu

COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)

# Counts what is asked of the allocator, also by C++ and by libraries.
COUNTER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

static _Atomic long calls;
long counted_calls(void) { return calls; }

#define NEXT(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

void* malloc(size_t size) {
  static void* (*next)(size_t);
  if (!next) next = NEXT(void*, malloc, size_t);
  ++calls;
  return next(size);
}
void* realloc(void* old, size_t size) {
  static void* (*next)(void*, size_t);
  if (!next) next = NEXT(void*, realloc, void*, size_t);
  ++calls;
  return next(old, size);
}
int posix_memalign(void** made, size_t alignment, size_t size) {
  static int (*next)(void**, size_t, size_t);
  if (!next) next = NEXT(int, posix_memalign, void**, size_t, size_t);
  ++calls;
  return next(made, alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  static void* (*next)(size_t, size_t);
  if (!next) next = NEXT(void*, aligned_alloc, size_t, size_t);
  ++calls;
  return next(alignment, size);
}
"""

COUNTING = """
import ctypes, gc, os
import numpy as np
import fastnn
from fastnn import layers
counted = ctypes.CDLL(os.environ["LD_PRELOAD"]).counted_calls
counted.restype = ctypes.c_long

def count(call):
    for _ in range(50):
        call()
    gc.disable()
    before = counted()
    for _ in range(1000):
        call()
    return counted() - before

small = fastnn.Sequential([layers.Dense(64, "relu", input_shape=(20,)), layers.Dense(3, "softmax")])
large = fastnn.Sequential([layers.Dense(128, "relu", input_shape=(784,)), layers.Dense(2000)])
for model, width, outputs in ((small, 20, 3), (large, 784, 2000)):
    predict = model.predictor()
    for x in (np.ones(width, np.float32), np.ones((2, width), np.uint8), np.ones(2 * width)[::2]):
        shape = (*x.shape[:-1], outputs)
        print(count(lambda: predict(x)), count(lambda: np.empty(shape, np.float32)))
a, b = fastnn.Input((12,)), fastnn.Input((8,))
h = layers.Dense(16, "relu")(layers.Concatenate()([a, b]))
several = fastnn.Model([a, b], [layers.Dense(3, "softmax")(h), layers.Dense(1)(h)]).predictor()
x = [np.ones(12), np.ones(8)]
print(count(lambda: several(x)), 0, "several")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="LD_PRELOAD of Linux")
@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler to make the counter with")
def test_an_answer_allocates_its_result_and_nothing_else(tmp_path):
    """Of rows that are read where they lie, converted or apart; counted in all libraries."""
    source, library = tmp_path / "counter.c", tmp_path / "counter.so"
    source.write_text(COUNTER)
    subprocess.run(
        [str(COMPILER), "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True
    )
    done = cases.python(COUNTING, LD_PRELOAD=str(library))
    assert done.returncode == 0, done.stdout + done.stderr
    *single, several = [line.split() for line in done.stdout.splitlines()]
    assert len(single) == 6
    for calls, of_result, *_ in single:
        assert calls == of_result, done.stdout
    # The lists of arrays, views and outputs of a call; numbers side by side are on the stack.
    assert int(several[0]) <= 6 * 1000, done.stdout


@pytest.mark.parametrize("rows", [None, 1, 9])
def test_the_memory_of_an_answer_is_that_of_its_result(rows, rng):
    """As tracemalloc sees it, to which NumPy tells its arrays."""
    predict = networks.sequential((40, 64, 3000), ("relu", "linear")).predictor()
    x = rng.normal(size=40 if rows is None else (rows, 40)).astype(np.float32)
    predict(x)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        made = predict(x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made.nbytes <= peak - before < made.nbytes + 1000


IDLE = """
import os, time
import numpy as np
import fastnn
from fastnn import layers

fastnn.set_num_threads(3)
model = fastnn.Sequential([layers.Dense(128, "relu", input_shape=(784,)), layers.Dense(10, "softmax")])
predict = model.predictor()
row, rows = np.ones(784, np.float32), np.ones((20_000, 784), np.float32)
predict(row)

def used(work):
    start, begin = time.process_time(), time.perf_counter()
    work()
    return (time.process_time() - start) / (time.perf_counter() - begin)

def ask(pause):
    for _ in range(200):
        predict(row)
        time.sleep(pause)

tasks = "/proc/self/task"
count = lambda: len(os.listdir(tasks)) if os.path.isdir(tasks) else 0
before = count()
busy = used(lambda: ask(0.002))
started = count() - before
predict(rows)  # by several threads
after = used(lambda: time.sleep(0.4))
print(busy, started, after)
"""


def test_nothing_spins_between_answers():
    """A row starts no thread; threads that answered for many rows sleep."""
    done = cases.python(IDLE)
    assert done.returncode == 0, done.stdout + done.stderr
    busy, started, after = map(float, done.stdout.split())
    assert started == 0
    assert busy < 0.4, "of a core, for a few microseconds in each 2 ms"
    assert after < 0.1, "of a core, while nothing is asked"


GIL = """
import sys, threading, time
import numpy as np
import fastnn
from fastnn import layers

def model(*widths):
    entry, *others = widths
    return fastnn.Sequential([layers.Input((entry,)), *[layers.Dense(width) for width in others]])

def lets_others_run(call):
    asked, ran, begun = threading.Lock(), threading.Event(), threading.Event()
    asked.acquire()
    def other():
        begun.set()
        asked.acquire()
        ran.set()
    thread = threading.Thread(target=other)
    thread.start()
    begun.wait()
    sys.setswitchinterval(60)  # nothing but a call without the GIL lets the other thread run
    asked.release()
    call()
    found = ran.is_set()
    sys.setswitchinterval(0.005)
    thread.join()
    return found

small, wide = model(20, 64, 64, 3).predictor(), model(2000, 4000, 10).predictor()
row, long = np.ones(20, np.float32), np.ones((300, 2000), np.float32)

def ask_for_a_while():
    end = time.perf_counter() + 0.1  # a thread that wakes up takes a fraction of that
    while time.perf_counter() < end:
        small(row)

print(lets_others_run(ask_for_a_while), lets_others_run(lambda: wide(long)))
a, b = fastnn.Input((1000,)), fastnn.Input((1000,))
joined = layers.Concatenate()([a, b])
several = fastnn.Model([a, b], [layers.Dense(4000)(joined), layers.Dense(1)(joined)]).predictor()
x = [np.ones((300, 1000), np.float32)] * 2
print(lets_others_run(lambda: several(x)))
"""


def test_long_answers_release_the_gil_and_short_ones_keep_it():
    done = cases.python(GIL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["False", "True", "True"]
