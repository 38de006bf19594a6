"""Metrics to pass to `compile`: the names of all of them. No model and no head is known here."""

from typing import TYPE_CHECKING

from fastnn import elsewhere
from fastnn.listing import names_of

# Keras has the functions of losses among metrics, too. They are no names of `dir()`.
from fastnn.losses.functions import (  # noqa: F401
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from fastnn.metrics.agreement import (
    BalancedAccuracy,
    BinaryIoU,
    CohenKappa,
    ConfusionMatrix,
    MatthewsCorrelation,
    MeanIoU,
    OneHotIoU,
)
from fastnn.metrics.base import METRICS, Metric
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
    ExactMatch,
    Hinge,
    LogCoshError,
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
from fastnn.metrics.of_rows import (
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from fastnn.metrics.points import (
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from fastnn.metrics.ranked import AUC, AveragePrecision
from fastnn.metrics.scores import (
    BrierScore,
    CategoricalHinge,
    CosineSimilarity,
    ExplainedVariance,
    KLDivergence,
    LogLoss,
    Pinball,
)
from fastnn.metrics.tallies import FalseNegatives, FalsePositives, TrueNegatives, TruePositives
from fastnn.metrics.thresholds import best_thresholds
from fastnn.metrics.values import Mean, Sum

__all__ = [
    "AUC",
    "AveragePrecision",
    "BalancedAccuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "BrierScore",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CohenKappa",
    "ConfusionMatrix",
    "CosineSimilarity",
    "ExactMatch",
    "ExplainedVariance",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "HammingLoss",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "LogLoss",
    "MatthewsCorrelation",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanOf",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "OneHotIoU",
    "Pinball",
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
    "binary_accuracy",
    "categorical_accuracy",
    "get",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]

serialize, deserialize = METRICS.serialize, METRICS.deserialize

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "metric", named)
__dir__ = names_of(__all__)
