"""Probabilities that mean what they say: a net that weighs a rare class up finds more of its rows, but its
probabilities are too high. CalibratedClassifierCV puts them right.

The data are made here: one row in sixteen is "rare".
"""

import sys

import numpy as np

try:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.metrics import brier_score_loss
    from sklearn.model_selection import train_test_split
except ImportError:
    sys.exit("ModuleNotFoundError: this example needs scikit-learn; install it first")

from fastnn.sklearn import MLPClassifier


def rows(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two numbers and their class."""
    x = rng.normal(size=(n, 2))
    rare = rng.random(n) < 1 / (1 + np.exp(7 - 2 * np.abs(x).sum(axis=1)))
    return x, np.where(rare, "rare", "usual")


def main() -> None:
    x, y = rows(4000, np.random.default_rng(0))
    x, test, y, test_y = train_test_split(x, y, stratify=y, random_state=0)
    share = float((test_y == "rare").mean())

    # class_weight is not in `sklearn.neural_network`.
    mlp = MLPClassifier(
        (32,),
        class_weight="balanced",
        learning_rate_init=0.01,
        early_stopping=True,
        random_state=0,
    )
    plain = mlp.fit(x, y)
    # It fits the net three times, each time on two thirds of the rows, and learns from the rest how
    # probabilities have to be changed.
    calibrated = CalibratedClassifierCV(mlp, method="isotonic", cv=3).fit(x, y)
    print(f"share of rare rows: {share:.3f}")
    for name, model in (("as they are", plain), ("calibrated", calibrated)):
        probability = model.predict_proba(test)[:, list(model.classes_).index("rare")]
        score = brier_score_loss(test_y, probability, pos_label="rare")
        print(f"probabilities {name}: mean {probability.mean():.3f}, Brier score {score:.3f}")
    # A calibrated probability can be compared with costs. If a rare row that is missed costs ten times
    # as much as a false alarm, an alarm pays from a probability of 1 / 11 on.
    alarms = calibrated.predict_proba(test)[:, list(calibrated.classes_).index("rare")] > 1 / 11
    rare = test_y == "rare"
    print(
        f"alarms from 1/11 on: {alarms.sum()}, and {(alarms & rare).sum()} of {rare.sum()} rare rows"
    )


if __name__ == "__main__":
    main()
