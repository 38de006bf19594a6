"""Yes or no, and several labels per row: functions of yeast genes, from 103 numbers each.

First one question, with the network of many tutorials: does a gene have the function number 1?
Then all 14 functions at once, of which rows have four on average. A fifth of the labels to train
on is made unknown (NaN), rare labels get a weight, and thresholds are tuned on validation rows for
the best F1 over all labels. The test rows are looked at once, at the end.

The data come with the package: 1,500 genes to train on and 917 to test (Elisseeff and Weston, 2001).
"""

import numpy as np

import fastnn
from fastnn import callbacks, layers, losses, metrics

VALIDATION = 400


def standardized() -> tuple[np.ndarray, ...]:
    """Rows and labels to train on, and to test."""
    (x, y), (test_x, test_y) = fastnn.datasets.load_yeast()
    mean, spread = x.mean(axis=0), x.std(axis=0)
    return (x - mean) / spread, y.astype("float32"), (test_x - mean) / spread, test_y


def one_question(x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> None:
    fastnn.utils.set_random_seed(0)
    model = fastnn.Sequential(
        [
            layers.Dense(10, activation="relu", input_shape=(103,)),
            layers.Dense(8, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        optimizer="adam",
        loss="binary_crossentropy",
        metrics=["accuracy", metrics.Precision(), metrics.Recall()],
    )
    model.fit(x, y, epochs=10, batch_size=32, verbose=0)
    results = model.evaluate(test_x, test_y, verbose=0, return_dict=True)
    print(f"one function, which {test_y.mean():.0%} of the test genes have:")
    print("  " + ", ".join(f"{name} {value:.3f}" for name, value in results.items()))


def all_functions(
    x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, seed: int
) -> float:
    """Trains and tunes with this seed; returns the micro F1 of the test rows."""
    rng = np.random.default_rng(seed)
    fastnn.utils.set_random_seed(seed)
    known = y.copy()
    known[rng.random(y.shape) < 0.2] = np.nan
    order = rng.permutation(len(x))
    held_out, train = order[:VALIDATION], order[VALIDATION:]

    # The root of negatives to positives: the full ratio would make rare labels as likely as not.
    share = np.nanmean(known[train], axis=0)
    pos_weight = np.sqrt((1 - share) / share)

    model = fastnn.Sequential(
        [
            layers.Dense(128, activation="relu", input_shape=(103,)),
            layers.Dropout(0.5),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(14, activation="sigmoid"),
        ]
    )

    def scores(thresholds: object) -> list[metrics.Metric]:
        return [
            metrics.F1Score("micro", thresholds, name="micro F1"),
            metrics.F1Score("macro", thresholds, name="macro F1"),
            metrics.HammingLoss(thresholds, name="Hamming loss"),
        ]

    loss = losses.BinaryCrossentropy(pos_weight=pos_weight)
    model.compile("adam", loss, metrics=scores(0.5))
    model.fit(
        x[train],
        known[train],
        batch_size=32,
        epochs=60,
        validation_data=(x[held_out], known[held_out]),
        callbacks=[callbacks.EarlyStopping(patience=8, restore_best_weights=True)],
        verbose=0,
    )

    probabilities = model.predict(x[held_out], verbose=0)
    tuned = metrics.best_thresholds(known[held_out], probabilities, metrics.F1Score("micro"))
    answers = model.predict(test_x, verbose=0)
    print(f"all functions, seed {seed}:")
    for words, thresholds in (("at 0.5", 0.5), ("tuned ", tuned)):
        values = [(score.name, score(test_y, answers).numpy()) for score in scores(thresholds)]
        print(f"  {words}  " + ", ".join(f"{name} {value:.3f}" for name, value in values))
    return float(metrics.F1Score("micro", tuned)(test_y, answers).numpy())


def main() -> None:
    x, y, test_x, test_y = standardized()
    one_question(x, y[:, 0], test_x, test_y[:, 0])
    found = [all_functions(x, y, test_x, test_y, seed) for seed in range(5)]
    print(f"micro F1 of {len(found)} seeds: {min(found):.3f} to {max(found):.3f}")


if __name__ == "__main__":
    main()
