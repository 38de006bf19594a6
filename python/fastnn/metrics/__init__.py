"""Metrics to pass to `compile`: the names of all of them. No model and no head is known here."""

from typing import TYPE_CHECKING

from fastnn import elsewhere
from fastnn.listing import names_of
from fastnn.metrics.base import Metric
from fastnn.metrics.choice import get, named
from fastnn.metrics.confusion import (
    F1Score,
    FBetaScore,
    HammingLoss,
    Precision,
    Recall,
    Specificity,
)
from fastnn.metrics.means import (
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    Hinge,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanOf,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SquaredHinge,
    TopKCategoricalAccuracy,
)
from fastnn.metrics.moments import R2Score
from fastnn.metrics.ranked import (
    AUC,
    AveragePrecision,
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from fastnn.metrics.tallies import FalseNegatives, FalsePositives, TrueNegatives, TruePositives
from fastnn.metrics.thresholds import best_thresholds
from fastnn.metrics.values import Mean, Sum

__all__ = [
    "AUC",
    "AveragePrecision",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "HammingLoss",
    "Hinge",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanOf",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "Poisson",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "Specificity",
    "SpecificityAtSensitivity",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "best_thresholds",
    "get",
]

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "metric", named)
__dir__ = names_of(__all__)
