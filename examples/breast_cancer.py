"""Two classes, malignant or benign: a missed tumour costs more than a false alarm.

Shows a sigmoid with a threshold, class weights, and their effect on the two kinds of
error. Needs scikit-learn for the data (569 rows, 30 measurements). This is no medical advice.
"""

import sys

import numpy as np

import fastnn
from fastnn import layers, metrics, optimizers

try:
    from sklearn.datasets import load_breast_cancer
except ImportError:
    sys.exit(
        "ModuleNotFoundError: the data of this example come with scikit-learn; install it first"
    )


def errors(weight: float, data: tuple[np.ndarray, ...]) -> tuple[int, int]:
    """The numbers of missed tumours and of false alarms, if a missed tumour weighs `weight`."""
    x, y, test_x, test_y = data
    fastnn.utils.set_random_seed(3)
    model = fastnn.Sequential(
        [
            layers.Dense(10, activation="relu", input_shape=x.shape[1:]),
            layers.Dense(8, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        optimizers.Adam(learning_rate=0.01),
        "binary_crossentropy",
        metrics=[metrics.BinaryAccuracy()],
    )
    model.fit(x, y, epochs=30, class_weight={0: 1.0, 1: weight}, verbose=0)
    found = model.predict(test_x, verbose=0)[:, 0] > 0.5
    return int((~found & (test_y == 1)).sum()), int((found & (test_y == 0)).sum())


def main() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    y = 1 - y  # 1: malignant
    order = np.random.default_rng(0).permutation(len(x))
    test, train = order[:190], order[190:]
    x = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    data = x[train], y[train], x[test], y[test]
    print(f"{len(test)} held out, {y[test].sum()} of them malignant")
    for weight in (1.0, 10.0):
        missed, alarms = errors(weight, data)
        print(f"a tumour weighs {weight:4.0f}: {missed} missed, {alarms} false alarms")


if __name__ == "__main__":
    main()
