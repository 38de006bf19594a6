"""Which metric a name means, given the kind of the targets: "accuracy" has several meanings."""

from __future__ import annotations

from fastnn.metrics.base import Metric
from fastnn.metrics.means import (
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    MeanAbsoluteError,
    MeanSquaredError,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from fastnn.words import choose

_CLASSES: dict[
    str,
    type[
        BinaryAccuracy
        | CategoricalAccuracy
        | SparseCategoricalAccuracy
        | TopKCategoricalAccuracy
        | SparseTopKCategoricalAccuracy
        | BinaryCrossentropy
        | CategoricalCrossentropy
        | SparseCategoricalCrossentropy
        | MeanSquaredError
        | MeanAbsoluteError
        | RootMeanSquaredError
    ],
] = {
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "root_mean_squared_error": RootMeanSquaredError,
}
_NAMES = {
    **_CLASSES,
    **{cls.__name__: cls for cls in _CLASSES.values()},
    "bce": BinaryCrossentropy,
    "BCE": BinaryCrossentropy,
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "MAE": MeanAbsoluteError,
    "rmse": RootMeanSquaredError,
    "RMSE": RootMeanSquaredError,
}
_ACCURACIES = ("accuracy", "acc")
# The meaning of "accuracy" by the kind of targets.
_ACCURACY = {
    "labels": SparseCategoricalAccuracy,
    "targets": CategoricalAccuracy,
    "sigmoid": BinaryAccuracy,
}


def get(identifier: str | Metric | type[Metric], target: str) -> Metric:
    """The metric that a name, an object or a class means for such targets (`Metric.goes_with`).

    A string becomes the metric's name, so the History has the key that was asked for.
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, type) and identifier in _CLASSES.values():
        return identifier()  # type: ignore[call-arg]
    if isinstance(identifier, str) and identifier in _ACCURACIES:
        if target not in _ACCURACY:
            raise ValueError(
                f"metrics: {identifier!r} means nothing for mean_squared_error of linear "
                "outputs; use 'mean_absolute_error' or 'root_mean_squared_error'"
            )
        return _ACCURACY[target](name=identifier)
    # The two words for accuracy count as known names when a near match is searched.
    known = {**_NAMES, **dict.fromkeys(_ACCURACIES, BinaryAccuracy)}
    metric: Metric = choose("metrics", identifier, known)()
    metric.name = str(identifier)
    return metric


def fitting(target: str) -> str:
    """Names of the metrics that go with such targets, for messages."""
    names = [name for name, cls in _CLASSES.items() if target in cls.goes_with]
    accuracy = "'accuracy' or " if target in _ACCURACY else ""
    return f"{accuracy}one of {', '.join(names)}"
