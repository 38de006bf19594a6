"""Estimators with scikit-learn's names, parameters and attributes, trained by fastnn.

    >>> from fastnn.sklearn import MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> x, y = load_iris(return_X_y=True)
    >>> mlp = MLPClassifier((20,), max_iter=500, learning_rate_init=0.01, random_state=0).fit(x, y)
    >>> mlp.score(x, y) > 0.95
    True

`MLPClassifier` and `MLPRegressor` stand for those of `sklearn.neural_network`: a program changes its
import and nothing else (docs/sklearn.md). Importing this package needs scikit-learn, the extra
`sklearn`.
"""

from fastnn.extras import needed

needed("sklearn.neural_network", "fastnn.sklearn", "sklearn")

from fastnn.listing import names_of
from fastnn.sklearn.classifier import MLPClassifier
from fastnn.sklearn.regressor import MLPRegressor
from fastnn.sklearn.tabular.classifier import TabularClassifier
from fastnn.sklearn.tabular.loading import load_table_estimator
from fastnn.sklearn.tabular.regressor import TabularRegressor

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "TabularClassifier",
    "TabularRegressor",
    "load_table_estimator",
]

__dir__ = names_of(__all__)
