"""Metrics that are means over rows: accuracies, cross-entropies and errors of regression.

Native code adds up numerator and denominator over all rows of an epoch; a class here names the
native sum and finishes the mean.
"""

from __future__ import annotations

import math

from fastnn.metrics.base import METRICS, Metric
from fastnn.words import integer, keywords, number


@METRICS.register("binary_accuracy")
class BinaryAccuracy(Metric):
    """The share of outputs on the right side: probability above `threshold`, logit above 0.

    Targets count as positive above 0.5. With logits, `threshold` is still a probability, so the
    default cuts logits at 0.
    """

    kind = "binary_accuracy"
    goes_with = frozenset({"sigmoid"})

    @keywords()
    def __init__(self, name: str = "binary_accuracy", threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = number("threshold", threshold, 0.0, 1.0, open_low=True, open_high=True)

    @property
    def value(self) -> float:
        return self.threshold


@METRICS.register("categorical_accuracy")
class CategoricalAccuracy(Metric):
    """The share of rows whose largest output is where the target (n, classes) is largest."""

    kind = "categorical_accuracy"
    goes_with = frozenset({"targets"})

    @keywords()
    def __init__(self, name: str = "categorical_accuracy") -> None:
        super().__init__(name)


@METRICS.register("sparse_categorical_accuracy")
class SparseCategoricalAccuracy(Metric):
    """The share of rows whose largest output is at their label (n,)."""

    kind = "sparse_categorical_accuracy"
    goes_with = frozenset({"labels"})

    @keywords()
    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(name)


@METRICS.register("top_k_categorical_accuracy")
class TopKCategoricalAccuracy(Metric):
    """The share of rows with the target class among the `k` largest outputs; targets (n, classes)."""

    kind = "top_k_categorical_accuracy"
    goes_with = frozenset({"targets"})

    @keywords()
    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy") -> None:
        super().__init__(name)
        self.k = integer("k", k)

    @property
    def value(self) -> float:
        return float(self.k)


@METRICS.register("sparse_top_k_categorical_accuracy")
class SparseTopKCategoricalAccuracy(Metric):
    """The share of rows with their label (n,) among the `k` largest outputs."""

    kind = "top_k_categorical_accuracy"
    goes_with = frozenset({"labels"})

    @keywords()
    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy") -> None:
        super().__init__(name)
        self.k = integer("k", k)

    @property
    def value(self) -> float:
        return float(self.k)


@METRICS.register("binary_crossentropy", "bce", "BCE")
class BinaryCrossentropy(Metric):
    """The sigmoid cross-entropy, without smoothing or `pos_weight`."""

    kind = "sigmoid_cross_entropy"
    goes_with = frozenset({"sigmoid"})

    @keywords()
    def __init__(self, name: str = "binary_crossentropy") -> None:
        super().__init__(name)


@METRICS.register("categorical_crossentropy")
class CategoricalCrossentropy(Metric):
    """The softmax cross-entropy of targets (n, classes), without smoothing."""

    kind = "softmax_cross_entropy"
    goes_with = frozenset({"targets"})

    @keywords()
    def __init__(self, name: str = "categorical_crossentropy") -> None:
        super().__init__(name)


@METRICS.register("sparse_categorical_crossentropy")
class SparseCategoricalCrossentropy(Metric):
    """The softmax cross-entropy of labels (n,)."""

    kind = "softmax_cross_entropy"
    goes_with = frozenset({"labels"})

    @keywords()
    def __init__(self, name: str = "sparse_categorical_crossentropy") -> None:
        super().__init__(name)


@METRICS.register("mean_squared_error", "mse", "MSE")
class MeanSquaredError(Metric):
    """Mean of (output - target)**2, with the outputs that `predict` returns."""

    kind = "mean_squared_error"
    goes_with = frozenset({"targets", "sigmoid", "values"})

    @keywords()
    def __init__(self, name: str = "mean_squared_error") -> None:
        super().__init__(name)


@METRICS.register("mean_absolute_error", "mae", "MAE")
class MeanAbsoluteError(Metric):
    """Mean of abs(output - target), with the outputs that `predict` returns."""

    kind = "mean_absolute_error"
    goes_with = frozenset({"targets", "sigmoid", "values"})

    @keywords()
    def __init__(self, name: str = "mean_absolute_error") -> None:
        super().__init__(name)


@METRICS.register("root_mean_squared_error", "rmse", "RMSE")
class RootMeanSquaredError(Metric):
    """The root of the mean of (output - target)**2 over all rows."""

    kind = "mean_squared_error"
    goes_with = frozenset({"targets", "sigmoid", "values"})

    @keywords()
    def __init__(self, name: str = "root_mean_squared_error") -> None:
        super().__init__(name)

    def finish(self, mean: float) -> float:
        return math.sqrt(mean)
