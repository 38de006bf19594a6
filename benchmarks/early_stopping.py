"""What rules of callbacks cost: `fit` on iris with EarlyStopping and others, beside `fit` without.

    python -m benchmarks.early_stopping [rounds]

Each round times all cases once, in turn, so that other load falls on all alike; medians are shown. The
aim is a ratio of at most 1.5 for what native code follows. A class of one's own is called after each
epoch, for comparison.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np

import fastnn
from fastnn import callbacks

EPOCHS, BATCH, ROWS = 100, 32, 150
ROUNDS = 41


class Called(callbacks.EarlyStopping):
    """Not known to native code."""

    def on_epoch_end(self, epoch: int, logs: dict[str, object] | None = None) -> None:
        super().on_epoch_end(epoch, logs)


CASES: dict[str, Callable[[], list[callbacks.Callback]]] = {
    "none": list,
    "EarlyStopping": lambda: [callbacks.EarlyStopping("loss", patience=EPOCHS)],
    "EarlyStopping, best weights": lambda: [
        callbacks.EarlyStopping("loss", patience=EPOCHS, restore_best_weights=True)
    ],
    "ReduceLROnPlateau": lambda: [callbacks.ReduceLROnPlateau("loss", patience=EPOCHS)],
    "TimeLimit": lambda: [callbacks.TimeLimit(1e6)],
    "EarlyStopping of one's own": lambda: [Called("loss", patience=EPOCHS)],
}


def times(rounds: int = ROUNDS) -> dict[str, float]:
    """The median seconds of each case."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 4)).astype(np.float32)
    y = x[:, :3].argmax(axis=1)
    models = {}
    for name in CASES:
        fastnn.utils.set_random_seed(1)
        model = fastnn.Sequential(
            [fastnn.layers.Dense(10, "relu", input_shape=(4,)), fastnn.layers.Dense(3)]
        )
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, BATCH, 2, 0)
        models[name] = model
    seen: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(rounds):
        for name, make in CASES.items():
            listed = make()
            begun = time.perf_counter()
            models[name].fit(x, y, BATCH, EPOCHS, 0, callbacks=listed)
            seen[name].append(time.perf_counter() - begun)
    return {name: median(found) for name, found in seen.items()}


def main() -> None:
    found = times(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
    for name, seconds in found.items():
        print(f"{name:<30}{seconds * 1e3:8.2f} ms {seconds / found['none']:6.2f}")


if __name__ == "__main__":
    main()
