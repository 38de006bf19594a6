"""Metrics of the best point of a curve: one share where another is at least a given one."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastnn.metrics.base import METRICS
from fastnn.metrics.collected import CLASSES, Collected, Kept, read
from fastnn.metrics.ranked import Curve, curve_of
from fastnn.registry import Checked
from fastnn.words import integer, keywords, number, optional, snake_case

Array = NDArray[np.float64]


class _AtPoint(Collected):
    """The best of one share of a curve, where another share is at least a given one."""

    more_is_better = True
    goes_with = CLASSES
    num_thresholds = Checked(integer)
    class_id = Checked(optional(partial(integer, low=0)))
    _needed: ClassVar[str]  # the name of the argument, and of the share that is given

    def __init__(
        self, num_thresholds: int, class_id: int | None, name: str | None, dtype: str | None
    ) -> None:
        super().__init__(snake_case(type(self).__name__) if name is None else name, dtype)
        self.num_thresholds = num_thresholds
        self.class_id = class_id

    def check(self, part: Kept) -> None:
        labels = read(self, part).y.shape[1]
        if self.class_id is not None and self.class_id >= labels:
            raise ValueError(
                f"{self.name}: class_id: expected an integer in [0, {labels}), got {self.class_id}"
            )

    def finished(self, rows_: Kept) -> float:
        y, _, _, scores, weights = read(self, rows_)
        if self.class_id is not None:
            y, scores = y[:, self.class_id, None], scores[:, self.class_id, None]
        curve = curve_of(y.ravel(), scores.ravel(), np.repeat(weights, y.shape[1]))
        best, given = self._shares(curve)
        met = given >= getattr(self, self._needed)
        return float(np.nanmax(best[met], initial=0.0)) if met.any() else 0.0

    def _shares(self, curve: Curve) -> tuple[Array, Array]:
        """What is to be large, and what has to be at least as given; NaN where it is 0 / 0."""
        raise NotImplementedError


def _shares_of(part: Array, whole: Any) -> Array:
    every = np.broadcast_to(np.asarray(whole, np.float64), part.shape)
    shares: Array = np.full(part.shape, np.nan)
    np.divide(part, every, out=shares, where=every > 0)
    return shares


def _recall(curve: Curve) -> Array:
    return _shares_of(curve.true, curve.positives)


def _precision(curve: Curve) -> Array:
    return _shares_of(curve.true, curve.true + curve.false)


def _specificity(curve: Curve) -> Array:
    return _shares_of(curve.negatives - curve.false, curve.negatives)


@METRICS.register("precision_at_recall")
class PrecisionAtRecall(_AtPoint):
    """The best precision at a threshold whose recall is at least `recall`; 0 where there is none.

    Each distinct output is a threshold (Keras has `num_thresholds` of them). Of several labels, and
    of classes, all are counted together unless `class_id` names one.

        >>> import fastnn
        >>> float(fastnn.metrics.PrecisionAtRecall(0.5)([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]))
        1.0

    Args:
        recall: in [0, 1].
        num_thresholds: taken as in Keras, and unused.
        class_id: the label or class that counts alone, from 0.
        name: the name in logs; None: "precision_at_recall".
        dtype: see `Metric`.

    Raises:
        ValueError: an option is out of range, or outputs are no probabilities.
    """

    recall = Checked(partial(number, low=0.0, high=1.0))
    _needed = "recall"

    @keywords()
    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(num_thresholds, class_id, name, dtype)
        self.recall = recall

    def _shares(self, curve: Curve) -> tuple[Array, Array]:
        return _precision(curve), _recall(curve)


@METRICS.register("recall_at_precision")
class RecallAtPrecision(_AtPoint):
    """The best recall at a threshold whose precision is at least `precision`; 0 where there is none.

    Other arguments and errors are those of `PrecisionAtRecall`.

        >>> import fastnn
        >>> float(fastnn.metrics.RecallAtPrecision(0.8)([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]))
        0.5

    Args:
        precision: in [0, 1].
    """

    precision = Checked(partial(number, low=0.0, high=1.0))
    _needed = "precision"

    @keywords()
    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(num_thresholds, class_id, name, dtype)
        self.precision = precision

    def _shares(self, curve: Curve) -> tuple[Array, Array]:
        return _recall(curve), _precision(curve)


@METRICS.register("sensitivity_at_specificity")
class SensitivityAtSpecificity(_AtPoint):
    """The best recall at a threshold whose specificity, tn / (tn + fp), is at least `specificity`.

    Other arguments and errors are those of `PrecisionAtRecall`.

        >>> import fastnn
        >>> float(fastnn.metrics.SensitivityAtSpecificity(0.5)([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]))
        1.0

    Args:
        specificity: in [0, 1].
    """

    specificity = Checked(partial(number, low=0.0, high=1.0))
    _needed = "specificity"

    @keywords()
    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(num_thresholds, class_id, name, dtype)
        self.specificity = specificity

    def _shares(self, curve: Curve) -> tuple[Array, Array]:
        return _recall(curve), _specificity(curve)


@METRICS.register("specificity_at_sensitivity")
class SpecificityAtSensitivity(_AtPoint):
    """The best specificity at a threshold whose recall is at least `sensitivity`.

    Other arguments and errors are those of `PrecisionAtRecall`.

        >>> import fastnn
        >>> float(fastnn.metrics.SpecificityAtSensitivity(0.5)([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]))
        1.0

    Args:
        sensitivity: in [0, 1].
    """

    sensitivity = Checked(partial(number, low=0.0, high=1.0))
    _needed = "sensitivity"

    @keywords()
    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(num_thresholds, class_id, name, dtype)
        self.sensitivity = sensitivity

    def _shares(self, curve: Curve) -> tuple[Array, Array]:
        return _specificity(curve), _recall(curve)
