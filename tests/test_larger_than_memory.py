"""Memory that training on files takes: it does not grow with the file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest

import fastnn
from fastnn.data import Chunks

WIDTH = 64
QUIET = {"verbose": 0, "batch_size": 256}


def written(folder, rows, dtype=np.float32):
    """Paths of x of some rows, and of labels."""
    x = np.lib.format.open_memmap(folder / f"x{rows}.npy", "w+", dtype, (rows, WIDTH))
    x[:] = np.random.default_rng(0).integers(0, 9, (rows, WIDTH))
    x.flush()
    np.save(folder / f"y{rows}.npy", np.asarray(x[:, 0] > 4).astype(np.int32))
    return folder / f"x{rows}.npy", folder / f"y{rows}.npy"


def model_of():
    model = fastnn.Sequential(
        [fastnn.Input((WIDTH,)), fastnn.layers.Dense(8, "relu"), fastnn.layers.Dense(2)], seed=1
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def peak_of(work):
    """The largest size of Python's and NumPy's memory while `work` runs, in bytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_memory_maps_are_not_copied(tmp_path, dtype):
    rows = 60_000
    x, y = (np.load(path, mmap_mode="r") for path in written(tmp_path, rows, dtype))
    model = model_of()
    model.fit(x[:99], y[:99], **QUIET)
    # Labels as int32, and outputs; to hold rows out takes some numbers of 64 bits for each.
    assert peak_of(lambda: model.fit(x, y, **QUIET)) < 12 * rows
    assert peak_of(lambda: model.evaluate(x, y, verbose=0)) < 12 * rows
    assert peak_of(lambda: model.predict(x)) < 12 * rows
    assert peak_of(lambda: model.fit(x, y, validation_split=0.1, **QUIET)) < 72 * rows
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.float32, (rows, 2))
    # Parts of outputs, and their indices.
    assert peak_of(lambda: model.predict(x, out=out)) < 1 << 20


def test_memory_does_not_grow_with_the_file(tmp_path):
    """Four megabytes of x and 32: windows of a quarter of a megabyte."""
    peaks = []
    for rows in (16_000, 128_000):
        paths = written(tmp_path, rows)
        model = model_of()

        def train(model=model, paths=paths, rows=rows):
            chunks = Chunks(*paths, rows=256, window=1024)
            model.fit(chunks, class_weight="balanced", validation_data=chunks, **QUIET)
            model.evaluate(chunks, verbose=0)
            model.predict(chunks, out=np.memmap(tmp_path / "out", "f4", "w+", shape=(rows, 2)))

        peaks.append(peak_of(train))
    # Evaluation takes windows of four thousand rows, of which two are in memory.
    assert peaks[1] < 6 << 20
    # The file and the place of each chunk are kept, some dozen bytes.
    assert peaks[1] - peaks[0] < 1 << 18


PROGRAM = """
import resource, sys
import numpy as np, fastnn
def data():
    for line in open("/proc/self/status"):
        if line.startswith("VmData"):
            return int(line.split()[1]) << 10
x, y = sys.argv[1:]
model = fastnn.Sequential([fastnn.Input((64,)), fastnn.layers.Dense(8, "relu"), fastnn.layers.Dense(2)])
model.compile("adam", "sparse_categorical_crossentropy")
def train(n=None):
    chunks = fastnn.data.Chunks(x, y, window=8192)
    model.fit(chunks, batch_size=256, steps_per_epoch=n, verbose=0)
train(99)  # threads and their stacks are there
limit = data() + (16 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
train()
try:
    np.load(x)
except MemoryError:
    print("trained under the limit")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory as Linux has them")
def test_training_under_a_limit_of_memory(tmp_path):
    """51 MB of x where 16 MB are left."""
    command = [sys.executable, "-c", PROGRAM, *map(str, written(tmp_path, 200_000))]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.stdout == "trained under the limit\n", done.stderr


@pytest.mark.usefixtures("hears_ctrl_c")
@pytest.mark.parametrize("waits", [False, True])
def test_ctrl_c_ends_a_long_fit(tmp_path, waits):
    """Where the model trains, and where it waits for a chunk."""
    x, y = (np.load(path) for path in written(tmp_path, 16_000))

    def made():
        while True:
            yield x, y
            if waits:
                time.sleep(1.0)

    model = model_of()
    begun = threading.Event()

    def interrupt():
        begun.wait(10)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    class Begins(fastnn.callbacks.Callback):
        def on_epoch_begin(self, *_):
            begun.set()

    thread = threading.Thread(target=interrupt)
    thread.start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        model.fit(Chunks(made, window=16_000), callbacks=[Begins()], **QUIET)
    thread.join()
    # The chunk that is being made is waited for.
    assert time.monotonic() - begin < (4 if waits else 2)
    assert model.network.steps > 0
    assert "fastnn batches" not in [t.name for t in threading.enumerate()]
