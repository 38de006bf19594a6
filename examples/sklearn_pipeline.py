"""fastnn.sklearn.MLPClassifier at the end of a pipeline whose ColumnTransformer takes numbers and words apart.

Only the import of MLPClassifier differs from a program for `sklearn.neural_network`. The data are made
here: people, and whether they buy.
"""

import sys

import numpy as np

try:
    from sklearn.compose import ColumnTransformer
    from sklearn.model_selection import cross_val_score, train_test_split
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
except ImportError:
    sys.exit("ModuleNotFoundError: this example needs scikit-learn; install it first")

from fastnn.sklearn import MLPClassifier

CITIES = np.array(["Bonn", "Lyon", "Oslo", "Turin"])
AGE, INCOME, CITY = range(3)


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
    x, y = people(3000, np.random.default_rng(0))
    train, test, train_y, test_y = train_test_split(x, y, stratify=y, random_state=0)

    # Numbers are scaled, cities are columns of zeros and ones.
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), [AGE, INCOME]), ("city", OneHotEncoder(), [CITY])]
    )
    mlp = MLPClassifier((32, 32), early_stopping=True, learning_rate_init=0.005, random_state=0)
    pipeline = Pipeline([("columns", columns), ("mlp", mlp)])

    # Each part of the cross-validation fits the transformer anew, on the rows that it trains on.
    scores = cross_val_score(pipeline, train, train_y, cv=5)
    print(f"accuracy in a cross-validation: {scores.mean():.3f} +- {scores.std():.3f}")

    pipeline.fit(train, train_y)
    print(f"accuracy on {len(test)} other people: {pipeline.score(test, test_y):.3f}")
    someone = np.array([[30, 25_000.0, "Oslo"]], dtype=object)
    chance = pipeline.predict_proba(someone)[0, list(pipeline.classes_).index("yes")]
    print(f"someone of 30 in Oslo buys with probability {chance:.2f}")


if __name__ == "__main__":
    main()
