"""Scores of probabilities and of regressions that Keras or scikit-learn has and no count gives."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.losses import Quantile
from fastnn.metrics.base import METRICS, Metric
from fastnn.metrics.collected import CLASSES, EVERY, Collected, Kept, read
from fastnn.metrics.means import MeanOf
from fastnn.metrics.moments import NO_SPREAD, Aggregation, aggregated, aggregation
from fastnn.registry import Checked
from fastnn.words import integer, keywords, number, optional

Array = NDArray[np.float64]


def _mean(values: Array, weights: Array) -> float:
    """The weighted mean over all numbers (n, c) that are no NaN; NaN of none."""
    known = ~np.isnan(values)
    each = np.broadcast_to(weights[:, None], values.shape)[known]
    total = float(each.sum())
    return float(values[known] @ each) / total if total > 0 else math.nan


@METRICS.register("log_loss")
class LogLoss(Collected):
    """The mean of -log of the probability of what is true, as scikit-learn's `log_loss`.

    It is the cross-entropy that fits the outputs, of classes or of labels, computed from the logits
    where the model has them; probabilities in arrays are cut to [1e-15, 1 - 1e-15]. Missing labels
    (NaN) are left out. It is not in Keras.

        >>> import fastnn
        >>> round(float(fastnn.metrics.LogLoss()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])), 4)
        0.4723

    Args:
        name: the name in logs.
    """

    more_is_better = False
    goes_with = CLASSES

    @keywords()
    def __init__(self, name: str = "log_loss") -> None:
        super().__init__(name)

    def check(self, part: Kept) -> None:
        read(self, part)

    def finished(self, rows_: Kept) -> float:
        found = read(self, rows_)
        y, weights = found.y, found.weights
        counted = np.ones(len(rows_.numbers)) if rows_.weights is None else rows_.weights
        z = rows_.numbers.reshape(len(counted), -1).astype(np.float64)[counted > 0]
        logits = rows_.head if rows_.head in ("sigmoid", "softmax") else ""
        if found.labels is not None:
            if logits:
                z = z - z.max(axis=1, keepdims=True)
                logs = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
            else:
                p = np.clip(found.outputs, _LEAST, 1 - _LEAST)
                logs = np.log(p / p.sum(axis=1, keepdims=True))
            return _mean(-(y * logs).sum(axis=1, keepdims=True), weights)
        if logits:
            return _mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z))), weights)
        p = np.clip(found.outputs, _LEAST, 1 - _LEAST)
        return _mean(-y * np.log(p) - (1 - y) * np.log1p(-p), weights)


_LEAST = 1e-15


@METRICS.register("brier_score", "brier")
class BrierScore(Collected):
    """The mean squared error of probabilities, as scikit-learn's `brier_score_loss`; less is better.

    Of outputs that each are for themselves mean((p - y)^2); of classes the sum of it over them, which
    is at most 2. Missing labels (NaN) are left out. (G. W. Brier, "Verification of forecasts expressed
    in terms of probability", Monthly Weather Review 78, 1950.) It is not in Keras.

        >>> import fastnn
        >>> round(float(fastnn.metrics.BrierScore()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])), 4)
        0.1581

    Args:
        name: the name in logs.
    """

    more_is_better = False
    goes_with = CLASSES

    @keywords()
    def __init__(self, name: str = "brier_score") -> None:
        super().__init__(name)

    def check(self, part: Kept) -> None:
        read(self, part)

    def finished(self, rows_: Kept) -> float:
        found = read(self, rows_)
        squares = (found.outputs - found.y) ** 2
        if found.labels is not None:
            squares = squares.sum(axis=1, keepdims=True)
        return _mean(squares, found.weights)


@METRICS.register("explained_variance")
class ExplainedVariance(Metric):
    """1 - var(t - y) / var(t), as scikit-learn's `explained_variance_score`.

    As `R2Score`, but that a constant error of the outputs does not count. NaN where the targets of an
    output do not vary, or by less than a millionth of their size; 1 if it is met up to a constant.
    It is not in Keras.

        >>> import fastnn
        >>> round(float(fastnn.metrics.ExplainedVariance()([1.0, 2.0, 4.0], [2.0, 3.0, 4.5])), 4)
        0.9643

    Args:
        class_aggregation: how the scores of several outputs become one number: "uniform_average" or
            "variance_weighted_average"; None: they do not, and are an array (outputs,).
        name: the name in logs.
    """

    counts = "moments"
    more_is_better = True
    goes_with = frozenset({"targets", "sigmoid", "values"})
    class_aggregation = Checked(optional(aggregation))

    @keywords()
    def __init__(
        self,
        class_aggregation: Aggregation | None = "uniform_average",
        name: str = "explained_variance",
    ) -> None:
        super().__init__(name)
        self.class_aggregation = class_aggregation

    def gives_array(self, outputs: int) -> bool:
        return self.class_aggregation is None and outputs > 1

    def finish(self, sums: Array) -> Any:
        moments = sums.reshape(-1, 7)
        counted = moments[:, 0] > 0
        w, t, tt, y, _, _, residual = moments[counted].T
        spread = np.maximum(tt - t * t / w, 0.0)
        left = np.maximum(residual - (t - y) ** 2 / w, 0.0)
        unknown = spread <= NO_SPREAD * tt
        scores = 1.0 - left / np.where(unknown, np.nan, spread)
        scores[residual == 0.0] = 1.0
        return aggregated(self.class_aggregation, scores, spread, unknown, counted)


@METRICS.register("pinball", "mean_pinball_loss")
class Pinball(MeanOf):
    """The pinball loss of a quantile: mean of max(q (t - y), (q - 1) (t - y)).

    It is scikit-learn's `mean_pinball_loss` and the loss `losses.Quantile`. It is not in Keras.

        >>> import fastnn
        >>> round(float(fastnn.metrics.Pinball(0.9)([1.0, 2.0], [2.0, 1.0])), 4)
        0.5

    Args:
        quantile: in (0, 1).
        name: the name in logs.
    """

    quantile = Checked(partial(number, low=0.0, high=1.0, open_low=True, open_high=True))
    _kept_as = {"loss": None}  # noqa: RUF012 - as its base has it

    @keywords()
    def __init__(self, quantile: float = 0.5, name: str = "pinball") -> None:
        self.quantile = quantile
        super().__init__(Quantile(self.quantile), name)

    def count_options(self) -> dict[str, Any]:
        self.loss = Quantile(self.quantile)  # which may have been set since
        return super().count_options()


def _axis(name: str, value: object) -> int:
    axis = integer(name, value, -1)
    if axis not in (-1, 1):
        raise ValueError(f"{name}: expected -1 or 1, the columns of a row, got {value!r}")
    return axis


@METRICS.register("cosine_similarity", "CosineSimilarity")
class CosineSimilarity(Collected):
    """The mean over rows of the cosine of targets and outputs, in [-1, 1]; 0 for a row of zeros.

        >>> import fastnn
        >>> float(fastnn.metrics.CosineSimilarity()([[0, 1], [1, 0]], [[0.0, 2.0], [0.0, 1.0]]))
        0.5

    Args:
        name: the name in logs.
        dtype: see `Metric`.
        axis: -1, the columns of a row; taken as in Keras.
    """

    more_is_better = True
    goes_with = frozenset({"targets", "sigmoid", "values"})
    axis = Checked(_axis)

    @keywords()
    def __init__(
        self, name: str = "cosine_similarity", dtype: str | None = None, axis: int = -1
    ) -> None:
        super().__init__(name, dtype)
        self.axis = axis

    def check(self, part: Kept) -> None:
        read(self, part, probabilities=False)

    def finished(self, rows_: Kept) -> float:
        found = read(self, rows_, probabilities=False)
        lengths = np.linalg.norm(found.y, axis=1) * np.linalg.norm(found.outputs, axis=1)
        products = (found.y * found.outputs).sum(axis=1)
        cosines = np.divide(products, lengths, out=np.zeros(len(lengths)), where=lengths > 0)
        return _mean(cosines[:, None], found.weights)


@METRICS.register("kl_divergence", "KLDivergence", "kld", "KLD", "kullback_leibler_divergence")
class KLDivergence(Collected):
    """The mean over rows of sum(t log(t / y)) of two distributions, cut to [1e-7, 1] as in Keras.

        >>> import fastnn
        >>> round(float(fastnn.metrics.KLDivergence()([[0.5, 0.5]], [[0.25, 0.75]])), 4)
        0.1438

    Args:
        name: the name in logs.
        dtype: see `Metric`.
    """

    more_is_better = False
    goes_with = frozenset({"targets", "sigmoid"})

    @keywords()
    def __init__(self, name: str = "kl_divergence", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def check(self, part: Kept) -> None:
        read(self, part)

    def finished(self, rows_: Kept) -> float:
        found = read(self, rows_)
        t, y = np.clip(found.y, 1e-7, 1), np.clip(found.outputs, 1e-7, 1)
        return _mean((t * np.log(t / y)).sum(axis=1, keepdims=True), found.weights)


@METRICS.register("categorical_hinge", "CategoricalHinge")
class CategoricalHinge(Collected):
    """The mean of max(0, 1 + the largest output of a wrong class - that of the right one).

        >>> import fastnn
        >>> float(fastnn.metrics.CategoricalHinge()([[0, 1], [1, 0]], [[1.0, 1.5], [3.0, 0.0]]))
        0.25

    Args:
        name: the name in logs.
        dtype: see `Metric`.
    """

    more_is_better = False
    goes_with = EVERY - {"labels"}

    @keywords()
    def __init__(self, name: str = "categorical_hinge", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def check(self, part: Kept) -> None:
        read(self, part, probabilities=False)

    def finished(self, rows_: Kept) -> float:
        found = read(self, rows_, probabilities=False)
        right = (found.y * found.outputs).sum(axis=1)
        wrong = ((1 - found.y) * found.outputs).max(axis=1)
        return _mean(np.maximum(0.0, wrong - right + 1.0)[:, None], found.weights)
