"""Several labels per row, some of them unknown: NaN marks unknown labels, and the loss skips them.

The data are yeast genes with 14 functions each (1,500 rows to train on, 103 numbers). A third of
the training labels is hidden. For comparison, other networks are trained on zeros in their place,
and on the true labels.
"""

import numpy as np

import fastnn
from fastnn import layers, metrics

LABELS = 14


def train(x: np.ndarray, targets: np.ndarray) -> fastnn.Sequential:
    fastnn.utils.set_random_seed(0)
    model = fastnn.Sequential(
        [
            layers.Dense(128, activation="relu", input_shape=x.shape[1:]),
            layers.Dropout(0.5),
            layers.Dense(LABELS),  # one logit for each label: yes or no
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=[metrics.F1Score("micro", name="f1")])
    model.fit(x, targets, epochs=20, batch_size=64, verbose=0)
    return model


def main() -> None:
    (x, y), (test_x, test_y) = fastnn.datasets.load_yeast()
    mean, spread = x.mean(axis=0), x.std(axis=0)
    known = y.astype("float32")
    known[np.random.default_rng(1).random(known.shape) < 1 / 3] = np.nan
    print(f"{len(x)} rows to train on, {np.isnan(known).mean():.0%} of labels unknown")
    targets = {
        "skipped": known,
        "treated as no": np.nan_to_num(known),
        "filled in correctly": y,
    }
    for words, given in targets.items():
        model = train((x - mean) / spread, given)
        f1 = model.evaluate((test_x - mean) / spread, test_y, verbose=0, return_dict=True)["f1"]
        print(f"unknown labels {words}: F1 {f1:.3f}")


if __name__ == "__main__":
    main()
