"""scikit-learn's tools around fastnn's estimators: a pipeline over mixed columns, a grid of parameters,
calibrated probabilities, and training on a stream by partial_fit.

Only the import of MLPClassifier differs from a program for `sklearn.neural_network`. The data are made
here: people, and whether they buy.
"""

import sys

import numpy as np

try:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import ColumnTransformer
    from sklearn.metrics import brier_score_loss
    from sklearn.model_selection import GridSearchCV, train_test_split
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
except ImportError:
    sys.exit("ModuleNotFoundError: this example needs scikit-learn; install it first")

from fastnn.sklearn import MLPClassifier

CITIES = np.array(["Bonn", "Lyon", "Oslo", "Turin"])


def people(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Columns age, income and city of n people, and whether each buys."""
    age = rng.integers(18, 80, n)
    income = rng.lognormal(10, 0.5, n)
    city = rng.integers(0, len(CITIES), n)
    chance = 2.5 * np.sin(age / 8.0) + 1.5 * (np.log(income) - 10) + np.array([1, -1, 2, -2])[city]
    buys = rng.random(n) < 1 / (1 + np.exp(-chance))
    table = np.array([age, income, CITIES[city]], dtype=object).T
    return table, np.where(buys, "yes", "no")


def main() -> None:
    rng = np.random.default_rng(0)
    x, y = people(3000, rng)
    train, test, train_y, test_y = train_test_split(x, y, stratify=y, random_state=0)

    # Numbers are scaled, cities are columns of zeros and ones.
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), [0, 1]), ("city", OneHotEncoder(), [2])]
    )
    mlp = MLPClassifier((32, 32), early_stopping=True, learning_rate_init=0.005, random_state=0)
    pipeline = Pipeline([("columns", columns), ("mlp", mlp)])
    grid = {"mlp__alpha": [1e-4, 1.0], "mlp__dropout": [0.0, 0.2]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(train, train_y)
    print(f"best parameters: {search.best_params_}")
    print(f"accuracy on {len(test)} other people: {search.score(test, test_y):.3f}")

    calibrated = CalibratedClassifierCV(search.best_estimator_, cv=3).fit(train, train_y)
    for name, model in (("as they are", search), ("calibrated", calibrated)):
        score = brier_score_loss(test_y, model.predict_proba(test)[:, 1], pos_label="yes")
        print(f"Brier score of probabilities {name}: {score:.3f}")

    # A stream: each call is one epoch over the rows that have come.
    stream = MLPClassifier((32,), learning_rate_init=0.01, class_weight=None, random_state=0)
    columns.fit(train)
    for day in range(60):
        new, new_y = people(200, rng)
        stream.partial_fit(
            columns.transform(new), new_y, classes=["no", "yes"] if day == 0 else None
        )
    found = stream.score(columns.transform(test), test_y)
    print(f"accuracy after a stream of {60 * 200} people: {found:.3f}")


if __name__ == "__main__":
    main()
