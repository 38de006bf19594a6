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

from fastnn import losses
from fastnn.autodiff import functions
from fastnn.autodiff.losses import logits_of
from fastnn.autodiff.tensor import Tensor, tensor
from fastnn.losses import Loss, Quantile
from fastnn.losses.base import LOSSES
from fastnn.metrics.base import METRICS, Metric
from fastnn.registry import Checked
from fastnn.words import flag, integer, keywords, number


def _loss(_name: str, value: object) -> Loss:
    return LOSSES.get(value)


@METRICS.register("binary_accuracy")
class BinaryAccuracy(Metric):
    """The share of outputs on the right side: probability above `threshold`, logit above 0.

        >>> metric = fastnn.metrics.BinaryAccuracy()
        >>> metric.update_state([1, 0, 1, 1], [[0.9], [0.2], [0.4], [0.7]])
        >>> metric.result().item()
        0.75

    Args:
        name: the name in logs.
        threshold: a probability in [0, 1].

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


@METRICS.register("exact_match")
class ExactMatch(Metric):
    """The share of rows all of whose labels are on the right side, as BinaryAccuracy has it.

        >>> metric = fastnn.metrics.ExactMatch()
        >>> metric.update_state([[1, 0], [1, 1]], [[0.9, 0.2], [0.4, 0.7]])
        >>> metric.result().item()
        0.5

    Args:
        name: the name in logs.
        threshold: a probability in [0, 1].

    It is scikit-learn's accuracy_score of several labels, the subset accuracy. Missing labels (NaN) are
    left out, and so are rows that have no other.
    """

    counts = "exact"
    more_is_better = True
    goes_with = frozenset({"sigmoid"})
    threshold = Checked(partial(number, low=0.0, high=1.0, open_low=True, open_high=True))

    @keywords()
    def __init__(self, name: str = "exact_match", threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = threshold

    def count_options(self) -> dict[str, Any]:
        return {"value": self.threshold}


@METRICS.register("categorical_accuracy")
class CategoricalAccuracy(Metric):
    """The share of rows whose largest output is where the target (n, classes) is largest.

    >>> metric = fastnn.metrics.CategoricalAccuracy()
    >>> metric.update_state([[0, 1], [1, 0]], [[0.2, 0.8], [0.3, 0.7]])
    >>> metric.result().item()
    0.5
    """

    counts = "matches"
    more_is_better = True
    goes_with = frozenset({"targets"})

    @keywords()
    def __init__(self, name: str = "categorical_accuracy") -> None:
        super().__init__(name)


@METRICS.register("sparse_categorical_accuracy")
class SparseCategoricalAccuracy(Metric):
    """The share of rows whose largest output is at their label (n,).

    >>> metric = fastnn.metrics.SparseCategoricalAccuracy()
    >>> metric.update_state([1, 0], [[0.2, 0.8], [0.3, 0.7]])
    >>> metric.result().item()
    0.5
    """

    counts = "matches"
    more_is_better = True
    goes_with = frozenset({"labels"})

    @keywords()
    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(name)


@METRICS.register("top_k_categorical_accuracy")
class TopKCategoricalAccuracy(Metric):
    """The share of rows with the target class among the `k` largest outputs; targets (n, classes).

        >>> metric = fastnn.metrics.TopKCategoricalAccuracy(2)
        >>> metric.update_state([[0, 0, 1], [0, 1, 0]], [[0.5, 0.2, 0.3], [0.5, 0.2, 0.3]])
        >>> metric.result().item()
        0.5

    Args:
        k: how many, at least 1.
        name: the name in logs.
    """

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
    """The share of rows with their label (n,) among the `k` largest outputs.

        >>> metric = fastnn.metrics.SparseTopKCategoricalAccuracy(2)
        >>> metric.update_state([2, 1], [[0.5, 0.2, 0.3], [0.5, 0.2, 0.3]])
        >>> metric.result().item()
        0.5

    Args:
        k: how many, at least 1.
        name: the name in logs.
    """

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

        >>> metric = fastnn.metrics.MeanOf(fastnn.losses.Huber(1.0))
        >>> metric.update_state([0.0, 0.0], [[1.0], [3.0]])
        >>> metric.result().item()  # (0.5 + 2.5) / 2
        1.5

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

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        super().update_state(y_true, self._outputs(y_pred), sample_weight)

    def _outputs(self, y_pred: Any) -> Any:
        """The outputs as the native count takes them: of a softmax, as of linear layers, logits."""
        outputs = tensor(y_pred)
        if self.loss.folds is None or outputs.ndim == 0:
            return outputs
        if self.loss.folds == "softmax":
            rows = outputs if outputs.ndim == 2 else functions.reshape(outputs, (len(outputs), -1))
            return logits_of(self.loss.name, "softmax", self.loss.from_logits, rows)
        if self.loss.from_logits and outputs.logits is None:
            outputs = Tensor(outputs.value)
            outputs.logits = None, "linear"
        return outputs

    def count_options(self) -> dict[str, Any]:
        if isinstance(self.loss, Quantile) and isinstance(self.loss.quantile, list):
            raise ValueError(  # noqa: TRY004 - the type is right, the number of quantiles is not
                f"metrics: {self.name}: expected one quantile, got {self.loss.quantile}"
            )
        return {"loss": self.loss.native, "options": self.loss.row_options()}


class _OfCrossentropy(MeanOf):
    """A cross-entropy as a metric of its name."""

    _loss: ClassVar[type[Loss]]
    from_logits = Checked(flag)

    @keywords()
    def __init__(self, name: str | None = None, from_logits: bool = False) -> None:
        super().__init__(self._loss(from_logits=from_logits), name)
        self.from_logits = from_logits


class _OfLoss(MeanOf):
    """A loss with its default options, as a metric of the loss's name."""

    _loss: ClassVar[str]

    @keywords()
    def __init__(self, name: str | None = None) -> None:
        super().__init__(self._loss, self._loss if name is None else name)


@METRICS.register("binary_crossentropy", "bce", "BCE")
class BinaryCrossentropy(_OfCrossentropy):
    """The sigmoid cross-entropy, without smoothing or `pos_weight`.

        >>> metric = fastnn.metrics.BinaryCrossentropy()
        >>> metric.update_state([1, 0], [[0.5], [0.5]])
        >>> round(metric.result().item(), 4)  # -log(0.5)
        0.6931

    Args:
        name: the name in logs; None: that of the loss.
        from_logits: whether arrays in `update_state` are logits. In `fit` the last layer says it, as
            a Tensor of a model does.
    """

    _loss = losses.BinaryCrossentropy


@METRICS.register("categorical_crossentropy")
class CategoricalCrossentropy(_OfCrossentropy):
    """The softmax cross-entropy of targets (n, classes), without smoothing.

        >>> metric = fastnn.metrics.CategoricalCrossentropy()
        >>> metric.update_state([[0, 1, 0]], [[0.2, 0.5, 0.3]])
        >>> round(metric.result().item(), 4)  # -log(0.5)
        0.6931

    Args:
        name: the name in logs; None: that of the loss.
        from_logits: whether arrays in `update_state` are logits. In `fit` the last layer says it, as
            a Tensor of a model does.
    """

    _loss = losses.CategoricalCrossentropy


@METRICS.register("sparse_categorical_crossentropy")
class SparseCategoricalCrossentropy(_OfCrossentropy):
    """The softmax cross-entropy of labels (n,).

        >>> metric = fastnn.metrics.SparseCategoricalCrossentropy()
        >>> metric.update_state([1], [[0.2, 0.5, 0.3]])
        >>> round(metric.result().item(), 4)  # -log(0.5)
        0.6931

    Args:
        name: the name in logs; None: that of the loss.
        from_logits: whether arrays in `update_state` are logits. In `fit` the last layer says it, as
            a Tensor of a model does.
    """

    _loss = losses.SparseCategoricalCrossentropy


@METRICS.register("mean_squared_error", "mse", "MSE")
class MeanSquaredError(_OfLoss):
    """Mean of (output - target)**2, with the outputs that `predict` returns.

    >>> metric = fastnn.metrics.MeanSquaredError()
    >>> metric.update_state([1.0, 2.0], [[1.0], [5.0]])
    >>> metric.result().item()
    4.5
    """

    _loss = "mean_squared_error"


@METRICS.register("mean_absolute_error", "mae", "MAE")
class MeanAbsoluteError(_OfLoss):
    """Mean of abs(output - target), with the outputs that `predict` returns.

    >>> metric = fastnn.metrics.MeanAbsoluteError()
    >>> metric.update_state([1.0, 2.0], [[1.0], [5.0]])
    >>> metric.result().item()
    1.5
    """

    _loss = "mean_absolute_error"


@METRICS.register("poisson")
class Poisson(_OfLoss):
    """Mean of output - target * log(output + 1e-7), with the outputs that `predict` returns.

    >>> metric = fastnn.metrics.Poisson()
    >>> metric.update_state([0.0, 1.0], [[3.0], [1.0]])
    >>> round(metric.result().item(), 4)  # (3 + 1) / 2
    2.0
    """

    _loss = "poisson"


@METRICS.register("mean_absolute_percentage_error", "mape", "MAPE")
class MeanAbsolutePercentageError(_OfLoss):
    """Mean of 100 * abs(output - target) / max(abs(target), 1e-7).

    >>> metric = fastnn.metrics.MeanAbsolutePercentageError()
    >>> metric.update_state([1.0, 2.0], [[1.0], [5.0]])
    >>> metric.result().item()
    75.0
    """

    _loss = "mean_absolute_percentage_error"


@METRICS.register("mean_squared_logarithmic_error", "msle", "MSLE")
class MeanSquaredLogarithmicError(_OfLoss):
    """Mean of (log(1 + output) - log(1 + target))**2.

    >>> metric = fastnn.metrics.MeanSquaredLogarithmicError()
    >>> metric.update_state([0.0], [[np.e - 1]])
    >>> round(metric.result().item(), 4)  # log(e) - log(1)
    1.0
    """

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
    """Mean of max(0, 1 - sign * output); targets 1, and -1 or 0.

    >>> metric = fastnn.metrics.Hinge()
    >>> metric.update_state([1, -1], [[3.0], [0.5]])
    >>> metric.result().item()  # (0 + 1.5) / 2
    0.75
    """

    _loss = "hinge"


@METRICS.register("squared_hinge")
class SquaredHinge(_OfLoss):
    """Mean of max(0, 1 - sign * output)**2; targets 1, and -1 or 0.

    >>> metric = fastnn.metrics.SquaredHinge()
    >>> metric.update_state([1, -1], [[3.0], [1.0]])
    >>> metric.result().item()  # (0 + 4) / 2
    2.0
    """

    _loss = "squared_hinge"


@METRICS.register("root_mean_squared_error", "rmse", "RMSE")
class RootMeanSquaredError(_OfLoss):
    """The root of the mean of (output - target)**2 over all rows.

    >>> metric = fastnn.metrics.RootMeanSquaredError()
    >>> metric.update_state([0.0, 0.0], [[1.0], [7.0]])
    >>> metric.result().item()  # sqrt((1 + 49) / 2)
    5.0
    """

    _loss = "mean_squared_error"

    @keywords()
    def __init__(self, name: str = "root_mean_squared_error") -> None:
        super().__init__(name)

    def finish(self, sums: NDArray[np.float64]) -> float:
        return math.sqrt(float(super().finish(sums)))
