"""The time of a complete fit on Iris: 150 rows, 4-10-3, batch 32, 100 epochs in one call.

    python -m benchmarks.iris_epochs

Such a small network costs little but overhead; the time includes everything that `fit` does.
"""

import argparse
import statistics
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import machine, records
from benchmarks.timer import measure, repeated

EPOCHS, BATCH = 100, 32


def iris() -> tuple[np.ndarray, np.ndarray, str]:
    """The Iris data, or random numbers of that shape if scikit-learn is not installed."""
    try:
        from sklearn.datasets import load_iris
    except ImportError:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((150, 4), dtype=np.float32)
        return (
            x,
            np.arange(150) % 3,
            "150 random rows (scikit-learn, which has Iris, is not installed)",
        )
    x, y = load_iris(return_X_y=True)
    return x.astype(np.float32), y, "150 rows of Iris"


def sentence(section: Mapping[str, Any]) -> str:
    """The result in words."""
    ms = [1e3 * value for value in section["seconds"]]
    return (
        f"{section['source']}, {section['epochs']} epochs of batches of {section['batch']} in one "
        f"`fit`: {statistics.median(ms):.2f} ms ({min(ms):.2f}-{max(ms):.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.iris_epochs", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=21)
    records.add_option(parser)
    asked = parser.parse_args()
    machine.limit_threads(asked.threads)

    import fastnn

    x, y, source = iris()
    fastnn.set_num_threads(asked.threads)
    model = fastnn.Sequential(
        [
            fastnn.layers.Dense(10, activation="relu", input_shape=(4,)),
            fastnn.layers.Dense(3),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")

    def fit() -> None:
        model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)

    taken = measure({"fit": repeated(fit)}, rounds=asked.rounds, seconds=0.02)["fit"]
    found = {
        "source": source,
        "epochs": EPOCHS,
        "batch": BATCH,
        "seconds": list(taken.rounds),
    }
    print(*machine.describe(asked.threads), sentence(found), sep="\n")
    records.save(asked.save, "iris_epochs", found, threads=asked.threads)


if __name__ == "__main__":
    main()
