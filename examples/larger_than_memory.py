"""Training on a file that is larger than the memory one wants to give to it.

    python larger_than_memory.py [megabytes]

The program writes digits with noise into a file, by default of 24 MB, and trains on it in windows of 2 MB: while
the model learns from one, a thread reads the next. It then goes on from a backup in the middle of an epoch, and
writes predictions into a file of their own.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import fastnn
from fastnn import layers
from fastnn.data import Chunks

ROWS = int(float(sys.argv[1]) * 1e6) // 64 if len(sys.argv) > 1 else 375_000
WINDOW = 32_768  # rows: 2 MB


def write(folder: Path) -> tuple[Path, Path]:
    """Noisy copies of 1400 digits, 64 bytes each, and their labels; some rows at a time."""
    x, y = fastnn.datasets.load_digits()
    rng = np.random.default_rng(0)
    images = np.lib.format.open_memmap(folder / "x.npy", "w+", np.uint8, (ROWS, 64))
    labels = np.lib.format.open_memmap(folder / "y.npy", "w+", np.uint8, (ROWS,))
    for i in range(0, ROWS, WINDOW):
        chosen = rng.integers(0, 1400, min(WINDOW, ROWS - i))
        noise = rng.integers(0, 5, (len(chosen), 64), np.uint8)
        images[i : i + WINDOW], labels[i : i + WINDOW] = x[chosen] + noise, y[chosen]
    return folder / "x.npy", folder / "y.npy"


def network() -> fastnn.Sequential:
    model = fastnn.Sequential(
        [layers.Rescaling(1 / 16, input_shape=(64,)), layers.Dense(32, "relu"), layers.Dense(10)],
        seed=0,
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def resident() -> float:
    """Megabytes of memory of this process that are no file (on Linux; elsewhere 0)."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000


class Stops(fastnn.callbacks.Callback):
    """The power fails in the second epoch. Until then it looks at the memory."""

    peak = 0.0

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        del logs
        if batch % 20 == 0:
            self.peak = max(self.peak, resident())
        position = self.model.position
        if position is not None and position.epoch == 1 and batch == 100:
            raise InterruptedError


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    chunks = Chunks(*write(folder), window=WINDOW)
    print(f"{chunks}: {(folder / 'x.npy').stat().st_size / 1e6:.0f} MB")
    x, y = fastnn.datasets.load_digits()
    others = x[1400:], y[1400:]

    model = network()
    how = {"batch_size": 128, "epochs": 2, "verbose": 0}
    model.fit(chunks, validation_data=others, **how)
    accuracy = model.evaluate(*others, verbose=0)[1]

    backup = fastnn.callbacks.BackupAndRestore(folder / "backup", save_freq=100)
    again, stops, before = network(), Stops(), resident()
    try:
        again.fit(chunks, callbacks=[backup, stops], **how)
    except InterruptedError:
        print(f"memory that training took: {max(0.0, stops.peak - before):.0f} MB")
        again = network()  # as in a new process
        again.fit(chunks, callbacks=[backup], **how)
    same = zip(model.get_weights(), again.get_weights(), strict=True)
    print(f"accuracy on {len(others[0])} other digits: {accuracy:.3f}")
    print("interrupted and gone on, the same weights:", all(np.array_equal(a, b) for a, b in same))

    out = np.lib.format.open_memmap(folder / "out.npy", "w+", np.float32, (ROWS, 10))
    model.predict(chunks, out=out)
    print(f"predictions of {len(out)} rows, in {(folder / 'out.npy').stat().st_size / 1e6:.0f} MB")
