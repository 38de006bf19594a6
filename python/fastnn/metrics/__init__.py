"""Metrics to pass to `compile`: the names of all of them. No model and no head is known here."""

from typing import TYPE_CHECKING

from fastnn import elsewhere
from fastnn.listing import names_of
from fastnn.metrics.base import Metric
from fastnn.metrics.choice import get, named
from fastnn.metrics.means import (
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    MeanAbsoluteError,
    MeanOf,
    MeanSquaredError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from fastnn.metrics.moments import R2Score
from fastnn.metrics.values import Mean, Sum

__all__ = [
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "Mean",
    "MeanAbsoluteError",
    "MeanOf",
    "MeanSquaredError",
    "Metric",
    "Poisson",
    "R2Score",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "Sum",
    "TopKCategoricalAccuracy",
    "get",
]

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "metric", named)
__dir__ = names_of(__all__)
