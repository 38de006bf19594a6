"""Many networks by one call: networks a second of `fastnn.fit_many`, beside one `fit` after another.

    python -m benchmarks.many [--rows iris 20-64-64-3] [--rounds 5] [--models 64] [--cpu]

`alone` calls `fit` of each model in a loop, with one thread; `fit_many` has one thread, then two. Models are
made and compiled before the clock starts. Narrow networks share lanes, sixteen at a time, so that numbers of
models that are multiples of 32 show what two threads give. `--cpu`: CPU seconds in place of time, and no second
thread, for a machine that has other work.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from benchmarks import machine
from benchmarks.markdown import table
from benchmarks.timer import measure, repeated

# Rows, widths, batch size, epochs.
ROWS: dict[str, tuple[int, tuple[int, ...], int, int]] = {
    "iris": (150, (4, 10, 3), 32, 100),
    "iris-8": (150, (4, 10, 3), 8, 100),
    "wine": (178, (13, 16, 3), 32, 100),
    "10-32-3": (600, (10, 32, 3), 32, 40),
    "20-64-64-3": (1000, (20, 64, 64, 3), 32, 10),
    "64-256-256-10": (4000, (64, 256, 256, 10), 128, 2),
}


def _models(widths: tuple[int, ...], count: int) -> list[Any]:
    models = []
    for seed in range(count):
        stack = [fastnn.layers.Dense(units, "relu") for units in widths[1:-1]]
        last = fastnn.layers.Dense(widths[-1])
        model = fastnn.Sequential([fastnn.Input((widths[0],)), *stack, last], seed=seed)
        model.compile("adam", "sparse_categorical_crossentropy")
        models.append(model)
    return models


def _contestants(name: str, count: int) -> dict[str, Callable[[], object]]:
    rows, widths, batch, epochs = ROWS[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, widths[0])).astype(np.float32)
    y = rng.integers(0, widths[-1], rows)
    given: dict[str, Any] = {"batch_size": batch, "epochs": epochs, "verbose": 0}
    models = {key: _models(widths, count) for key in ("alone", "one", "two")}

    def alone() -> None:
        for model in models["alone"]:
            model.fit(x, y, **given)

    return {
        "alone": alone,
        "one": lambda: fastnn.fit_many(models["one"], x, y, threads=1, **given),
        "two": lambda: fastnn.fit_many(models["two"], x, y, threads=2, **given),
    }


def _rates(runs: dict[str, Callable[[], object]], models: int, rounds: int) -> dict[str, float]:
    """Networks a second."""
    contestants = {key: repeated(run) for key, run in runs.items()}
    times = measure(contestants, rounds=rounds, seconds=0.5, threads=2)
    return {key: models / times[key].median for key in runs}


def _cpu_rates(runs: dict[str, Callable[[], object]], models: int, rounds: int) -> dict[str, float]:
    """Networks a CPU second, of what runs on one thread, in interleaved rounds."""
    taken: dict[str, list[float]] = {key: [] for key in runs if key != "two"}
    for _ in range(rounds + 1):  # the first warms up
        for key, seconds in taken.items():
            begun = time.process_time()
            runs[key]()
            seconds.append(time.process_time() - begun)
    rates = {key: models / statistics.median(seconds[1:]) for key, seconds in taken.items()}
    return {**rates, "two": math.nan}


def main() -> None:
    """Prints a table of networks a second."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", type=int, default=64)
    parser.add_argument("--cpu", action="store_true")
    given = parser.parse_args()
    fastnn.set_num_threads(1)
    print("\n".join(machine.describe(2)))
    lines = []
    for name in given.rows:
        rates = _cpu_rates if given.cpu else _rates
        rate = rates(_contestants(name, given.models), given.models, given.rounds)
        lines.append(
            [
                name,
                *(f"{rate[key]:.0f}" for key in ("alone", "one", "two")),
                f"{rate['one'] / rate['alone']:.2f}",
                f"{rate['two'] / rate['one']:.2f}",
            ]
        )
    head = ["networks", "fit, a second", "fit_many, 1", "fit_many, 2", "1 / fit", "2 / 1"]
    print(table(head, lines))


if __name__ == "__main__":
    main()
