"""Metrics that are means over rows: accuracies, cross-entropies and errors of regression.

Native code adds up numerator and denominator over all rows of an epoch; a class here names the
native sum and finishes the mean.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastnn.losses import Loss, Quantile
from fastnn.losses.base import LOSSES
from fastnn.metrics.base import METRICS, Metric
from fastnn.registry import Checked
from fastnn.words import integer, keywords, number


def _loss(_name: str, value: object) -> Loss:
    return LOSSES.get(value)


@METRICS.register("binary_accuracy")
class BinaryAccuracy(Metric):
    """The share of outputs on the right side: probability above `threshold`, logit above 0.

    Targets count as positive above 0.5. With logits, `threshold` is still a probability, so the
    default cuts logits at 0.
    """

    counts = "sides"
    more_is_better = True
    goes_with = frozenset({"sigmoid"})
    threshold = Checked(partial(number, low=0.0, high=1.0, open_low=True, open_high=True))

    @keywords()
    def __init__(self, name: str = "binary_accuracy", threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = threshold

    def count_options(self) -> dict[str, Any]:
        return {"value": self.threshold}


@METRICS.register("categorical_accuracy")
class CategoricalAccuracy(Metric):
    """The share of rows whose largest output is where the target (n, classes) is largest."""

    counts = "matches"
    more_is_better = True
    goes_with = frozenset({"targets"})

    @keywords()
    def __init__(self, name: str = "categorical_accuracy") -> None:
        super().__init__(name)


@METRICS.register("sparse_categorical_accuracy")
class SparseCategoricalAccuracy(Metric):
    """The share of rows whose largest output is at their label (n,)."""

    counts = "matches"
    more_is_better = True
    goes_with = frozenset({"labels"})

    @keywords()
    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(name)


@METRICS.register("top_k_categorical_accuracy")
class TopKCategoricalAccuracy(Metric):
    """The share of rows with the target class among the `k` largest outputs; targets (n, classes)."""

    counts = "hits"
    more_is_better = True
    goes_with = frozenset({"targets"})
    k = Checked(integer)

    @keywords()
    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy") -> None:
        super().__init__(name)
        self.k = k

    def count_options(self) -> dict[str, Any]:
        return {"value": float(self.k)}


@METRICS.register("sparse_top_k_categorical_accuracy")
class SparseTopKCategoricalAccuracy(Metric):
    """The share of rows with their label (n,) among the `k` largest outputs."""

    counts = "hits"
    more_is_better = True
    goes_with = frozenset({"labels"})
    k = Checked(integer)

    @keywords()
    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy") -> None:
        super().__init__(name)
        self.k = k

    def count_options(self) -> dict[str, Any]:
        return {"value": float(self.k)}


@METRICS.register("mean_of")
class MeanOf(Metric):
    """A loss as a metric: its mean over rows, or over elements where each counts for itself.

    `metrics=["huber"]` and `metrics=[fastnn.losses.Huber(2.0)]` mean this. Class weights of
    outputs (`pos_weight`) do not enter it.

    Args:
        loss: a name, an object or a class of `fastnn.losses`.
        name: the name in logs; None: that of the loss.
    """

    counts = "mean_of"
    more_is_better = False
    loss = Checked(_loss)
    _inside = ("loss",)

    @keywords()
    def __init__(
        self, loss: str | Loss | type[Loss] = "mean_squared_error", name: str | None = None
    ) -> None:
        self.loss = loss
        super().__init__(self.loss.name if name is None else name)

    @property
    def goes_with(self) -> frozenset[str]:  # type: ignore[override]
        """Kinds of targets that the metric takes."""
        row = self.loss.row
        if row.targets == "classes":
            return frozenset({"labels" if self.loss.takes_labels else "targets"})
        if row.targets == "unit_or_missing":
            return frozenset({"sigmoid"})
        return frozenset({"targets", "sigmoid", "values"})

    def count_options(self) -> dict[str, Any]:
        if isinstance(self.loss, Quantile) and isinstance(self.loss.quantile, list):
            raise ValueError(  # noqa: TRY004 - the type is right, the number of quantiles is not
                f"metrics: {self.name}: expected one quantile, got {self.loss.quantile}"
            )
        return {"loss": self.loss.native, "options": self.loss.row_options()}


class _OfLoss(MeanOf):
    """A loss with its default options, as a metric of the loss's name."""

    _loss: ClassVar[str]

    @keywords()
    def __init__(self, name: str | None = None) -> None:
        super().__init__(self._loss, self._loss if name is None else name)


@METRICS.register("binary_crossentropy", "bce", "BCE")
class BinaryCrossentropy(_OfLoss):
    """The sigmoid cross-entropy, without smoothing or `pos_weight`."""

    _loss = "binary_crossentropy"


@METRICS.register("categorical_crossentropy")
class CategoricalCrossentropy(_OfLoss):
    """The softmax cross-entropy of targets (n, classes), without smoothing."""

    _loss = "categorical_crossentropy"


@METRICS.register("sparse_categorical_crossentropy")
class SparseCategoricalCrossentropy(_OfLoss):
    """The softmax cross-entropy of labels (n,)."""

    _loss = "sparse_categorical_crossentropy"


@METRICS.register("mean_squared_error", "mse", "MSE")
class MeanSquaredError(_OfLoss):
    """Mean of (output - target)**2, with the outputs that `predict` returns."""

    _loss = "mean_squared_error"


@METRICS.register("mean_absolute_error", "mae", "MAE")
class MeanAbsoluteError(_OfLoss):
    """Mean of abs(output - target), with the outputs that `predict` returns."""

    _loss = "mean_absolute_error"


@METRICS.register("poisson")
class Poisson(_OfLoss):
    """Mean of output - target * log(output + 1e-7), with the outputs that `predict` returns."""

    _loss = "poisson"


@METRICS.register("mean_absolute_percentage_error", "mape", "MAPE")
class MeanAbsolutePercentageError(_OfLoss):
    """Mean of 100 * abs(output - target) / max(abs(target), 1e-7)."""

    _loss = "mean_absolute_percentage_error"


@METRICS.register("mean_squared_logarithmic_error", "msle", "MSLE")
class MeanSquaredLogarithmicError(_OfLoss):
    """Mean of (log(1 + output) - log(1 + target))**2."""

    _loss = "mean_squared_logarithmic_error"


@METRICS.register("log_cosh_error", "LogCoshError", "logcosh")
class LogCoshError(_OfLoss):
    """Mean of log(cosh(output - target)), with the outputs that `predict` returns.

    >>> import fastnn
    >>> round(float(fastnn.metrics.LogCoshError()([0.0, 1.0], [1.0, 1.0])), 4)
    0.2169
    """

    _loss = "log_cosh"


@METRICS.register("hinge")
class Hinge(_OfLoss):
    """Mean of max(0, 1 - sign * output); targets 1, and -1 or 0."""

    _loss = "hinge"


@METRICS.register("squared_hinge")
class SquaredHinge(_OfLoss):
    """Mean of max(0, 1 - sign * output)**2; targets 1, and -1 or 0."""

    _loss = "squared_hinge"


@METRICS.register("root_mean_squared_error", "rmse", "RMSE")
class RootMeanSquaredError(_OfLoss):
    """The root of the mean of (output - target)**2 over all rows."""

    _loss = "mean_squared_error"

    @keywords()
    def __init__(self, name: str = "root_mean_squared_error") -> None:
        super().__init__(name)

    def finish(self, sums: NDArray[np.float64]) -> float:
        return math.sqrt(float(super().finish(sums)))
