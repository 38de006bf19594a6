"""Several labels per row, some of them unknown: NaN marks unknown labels, and the loss skips them.

The data are yeast genes with 14 functions each if the package `river` is installed
(2,417 rows, 103 numbers), otherwise synthetic rows of the same shape. A third of the
training labels is hidden. For comparison, other networks are trained on zeros in their
place, and on the true labels.
"""

import numpy as np

import fastnn
from fastnn import layers

LABELS = 14


def load() -> tuple[np.ndarray, np.ndarray, str]:
    """x (n, 103), targets (n, 14) of 0 and 1, and the source of the data."""
    try:
        from river.datasets import Yeast
    except ImportError:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((2417, 103))
        hidden = np.tanh(x @ rng.standard_normal((103, 20)) / 5)
        return x, (hidden @ rng.standard_normal((20, LABELS)) > 1).astype(float), "synthetic rows"
    rows = [(list(x.values()), list(y.values())) for x, y in Yeast()]
    x, y = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    return (x - x.mean(axis=0)) / x.std(axis=0), y, "yeast genes"


def f1(found: np.ndarray, true: np.ndarray) -> float:
    """2 TP / (2 TP + FP + FN) over all labels."""
    right = (found & true).sum()
    return float(2 * right / (found.sum() + true.sum()))


def train(x: np.ndarray, targets: np.ndarray) -> fastnn.Sequential:
    fastnn.utils.set_random_seed(0)
    model = fastnn.Sequential(
        [
            layers.Dense(128, activation="relu", input_shape=x.shape[1:]),
            layers.Dropout(0.5),
            layers.Dense(LABELS),  # one logit for each label: yes or no
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, targets, epochs=20, batch_size=64, verbose=0)
    return model


def main() -> None:
    x, y, source = load()
    rng = np.random.default_rng(1)
    order = rng.permutation(len(x))
    test, rest = order[:700], order[700:]
    known = y[rest].copy()
    known[rng.random(known.shape) < 1 / 3] = np.nan
    print(f"{source}: {len(rest)} rows to train on, {np.isnan(known).mean():.0%} of labels unknown")
    targets = {
        "skipped": known,
        "treated as no": np.nan_to_num(known),
        "filled in correctly": y[rest],
    }
    for words, given in targets.items():
        logits = train(x[rest], given).predict(x[test], verbose=0)
        print(f"unknown labels {words}: F1 {f1(logits > 0, y[test] > 0.5):.3f}")


if __name__ == "__main__":
    main()
