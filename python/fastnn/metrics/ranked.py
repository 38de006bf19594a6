"""Metrics of how outputs rank rows: areas under curves, and the best point of a curve.

Curves have a point for each distinct output, so that areas are exact. What is kept of the rows is in
`collected`.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.arrays.host import numeric
from fastnn.metrics.base import METRICS
from fastnn.metrics.collected import CLASSES, Collected, Kept, Read, read
from fastnn.metrics.confusion import Average, average_of, probabilities
from fastnn.registry import Checked
from fastnn.words import choose, flag, integer, keywords, optional

Array = NDArray[np.float64]

CurveKind = Literal["ROC", "PR"]
Summation = Literal["interpolation", "minoring", "majoring"]
_CURVES: tuple[CurveKind, ...] = ("ROC", "PR")
_SUMMATIONS: tuple[Summation, ...] = ("interpolation", "minoring", "majoring")


def _curve(name: str, value: object) -> CurveKind:
    return choose(name, value, _CURVES)


def _summation(name: str, value: object) -> Summation:
    return choose(name, value, _SUMMATIONS)


def _label_weights(name: str, value: Any) -> Array:
    given = numeric(name, value).astype(np.float64)
    wrong = ~((given >= 0) & (given < math.inf))
    if given.ndim != 1 or wrong.any():
        raise ValueError(f"{name}: expected numbers (labels,) of at least 0, got {value!r}")
    return given


class Curve(NamedTuple):
    """What is positive at each threshold, from none to all: weights of true and false positives."""

    true: Array
    false: Array

    @property
    def positives(self) -> float:
        return float(self.true[-1])

    @property
    def negatives(self) -> float:
        return float(self.false[-1])


def curve_of(y: Array, scores: Array, weights: Array, thresholds: Array | None = None) -> Curve:
    """The curve of one label; targets are positive above 0.5, and NaN is a missing one.

    It has a point above all scores, and one at each distinct score or, where they are given, at
    each of the thresholds, which scores have to be above, and one below all.
    """
    known = ~np.isnan(y)
    order = np.argsort(-scores[known], kind="stable")
    scores, weights = scores[known][order], weights[known][order]
    positive = y[known][order] > 0.5
    true, false = (
        np.concatenate([[0.0], np.cumsum(np.where(on, weights, 0.0))])
        for on in (positive, ~positive)
    )
    if thresholds is None:
        # Rows of equal scores come in together.
        places = np.concatenate([[0], np.flatnonzero(np.diff(scores)) + 1, [len(scores)]])
    else:
        above = np.searchsorted(-scores, -np.sort(thresholds)[::-1], side="left")
        places = np.concatenate([[0], above, [len(scores)]])
    return Curve(true[places], false[places])


def _area(curve: Curve, kind: CurveKind, how: Summation) -> float:
    """The area under a curve; NaN where it is not defined."""
    if kind == "PR":
        return _area_of_precision(curve, how)
    if curve.positives == 0 or curve.negatives == 0:
        return math.nan
    height = {
        "interpolation": (curve.true[1:] + curve.true[:-1]) / 2,
        "minoring": curve.true[:-1],
        "majoring": curve.true[1:],
    }[how]
    return float(np.diff(curve.false) @ height) / (curve.positives * curve.negatives)


def _area_of_precision(curve: Curve, how: Summation) -> float:
    if curve.positives == 0:
        return math.nan
    above = curve.true + curve.false
    more, rise = np.diff(above), np.diff(curve.true)
    moved = more > 0
    if how == "interpolation":
        # Between two points true positives grow in proportion to all that is positive.
        slope = np.divide(rise, more, out=np.zeros(len(more)), where=moved)
        rest = curve.true[:-1] - slope * above[:-1]
        begun = above[:-1] > 0
        ratio = np.divide(above[1:], above[:-1], out=np.ones(len(more)), where=begun)
        return float((slope * (rise + rest * np.log(ratio))).sum()) / curve.positives
    # Where nothing is positive it is 0, as in Keras.
    precision = np.divide(curve.true, above, out=np.zeros(len(above)), where=above > 0)
    pick = np.minimum if how == "minoring" else np.maximum
    return float(rise @ pick(precision[1:], precision[:-1])) / curve.positives


@METRICS.register("auc", "AUC")
class AUC(Collected):
    """The area under the ROC or the precision-recall curve, exact over an epoch.

    ROC: the share of pairs of a positive and a negative row that are in the right order; pairs of
    equal outputs count half. It is scikit-learn's `roc_auc_score`. (Keras counts at `num_thresholds`
    thresholds and joins these points: outputs between two of them are not told apart, so that a
    model whose probabilities lie close together gets another number.)

    Rows are ranked by the logits where the model has them, so that probabilities which float32
    rounds to 1 stay apart. Targets are positive above 0.5, missing labels (NaN) are left out. All
    labels, and for classes all columns of the one-hot targets, are ranked together unless
    `multi_label`. NaN where there are no positive or, for ROC, no negative rows (there 0 in Keras).

        >>> import fastnn
        >>> float(fastnn.metrics.AUC()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]))
        0.75

    Args:
        num_thresholds: taken as in Keras, and unused: each distinct output is a threshold.
        curve: "ROC" or "PR".
        summation_method: "interpolation": straight lines in ROC and, in PR, true positives in
            proportion to positives (J. Davis and M. Goadrich, "The relationship between
            precision-recall and ROC curves", ICML 2006); "minoring" and "majoring": the lower and
            the higher end of each piece. `AveragePrecision` is scikit-learn's area.
        name: the name in logs.
        dtype: see `Metric`.
        thresholds: probabilities in [0, 1], of which alone the curve is made; None: all outputs.
        multi_label: whether each label has a curve, and the mean of the areas is taken, over
            labels that have positive and negative rows.
        num_labels: with multi_label the number of labels, if it is to be checked.
        label_weights: with multi_label the weight of each label in the mean.
        from_logits: whether arrays of outputs are logits. A Tensor of a model tells by itself.

    Raises:
        ValueError: an option is out of range, or outputs are no probabilities and `from_logits`
            is False.
    """

    more_is_better = True
    goes_with = CLASSES
    num_thresholds = Checked(partial(integer, low=2))
    curve = Checked(_curve)
    summation_method = Checked(_summation)
    thresholds = Checked(optional(partial(probabilities, axes=1)))
    multi_label = Checked(flag)
    num_labels = Checked(optional(integer))
    label_weights = Checked(optional(_label_weights))
    from_logits = Checked(flag)

    @keywords()
    def __init__(
        self,
        num_thresholds: int = 200,
        curve: CurveKind = "ROC",
        summation_method: Summation = "interpolation",
        name: str | None = None,
        dtype: str | None = None,
        thresholds: ArrayLike | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: ArrayLike | None = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__("auc" if name is None else name, dtype)
        self.num_thresholds = num_thresholds
        self.curve = curve
        self.summation_method = summation_method
        self.thresholds = thresholds
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = label_weights
        self.from_logits = from_logits

    def _read(self, rows: Kept) -> Read:
        if self.from_logits and rows.head == "":
            rows = rows._replace(head="linear")
        return read(self, rows)

    def check(self, part: Kept) -> None:
        labels = self._read(part).y.shape[1]
        if not self.multi_label:
            return
        for what, count in (
            ("num_labels", self.num_labels),
            ("label_weights", None if self.label_weights is None else len(self.label_weights)),
        ):
            if count not in (None, labels):
                raise ValueError(f"{self.name}: {what}: expected {labels} labels, got {count}")

    def finished(self, rows_: Kept) -> float:
        y, _, outputs, scores, weights = self._read(rows_)
        limits = None if self.thresholds is None else np.atleast_1d(self.thresholds)
        ranked = scores if limits is None else outputs

        def area(y: Array, z: Array, w: Array) -> float:
            return _area(curve_of(y, z, w, limits), self.curve, self.summation_method)

        if not self.multi_label:
            return area(y.ravel(), ranked.ravel(), np.repeat(weights, y.shape[1]))
        areas = np.array([area(*each, weights) for each in zip(y.T, ranked.T, strict=True)])
        shares = np.ones(len(areas)) if self.label_weights is None else self.label_weights
        known = ~np.isnan(areas) & (shares > 0)
        return float(np.average(areas[known], weights=shares[known])) if known.any() else math.nan


@METRICS.register("average_precision")
class AveragePrecision(Collected):
    """The sum over thresholds of precision times the recall that is gained, as in scikit-learn.

    sum (R_n - R_(n-1)) P_n over the distinct outputs in falling order; no line is drawn between
    points (`AUC(curve="PR")` draws one). Classes are labels of one-hot targets. Missing labels (NaN)
    are left out. It is not in Keras.

        >>> import fastnn
        >>> float(fastnn.metrics.AveragePrecision()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]))
        0.8333333333333333

    Args:
        average: "macro", the mean over the labels that have positive rows; "weighted", by their
            weight; "micro", all labels ranked together; None: an array (labels,), NaN where a label
            has no positive rows.
        name: the name in logs.
    """

    more_is_better = True
    goes_with = CLASSES
    average = Checked(optional(average_of))

    @keywords()
    def __init__(self, average: Average | None = "macro", name: str = "average_precision") -> None:
        super().__init__(name)
        self.average = average

    def gives_array(self, outputs: int) -> bool:
        return self.average is None and outputs > 1

    def check(self, part: Kept) -> None:
        read(self, part)

    def finished(self, rows_: Kept) -> Any:
        y, _, _, scores, weights = read(self, rows_)
        if self.average == "micro":
            y, scores, weights = (
                y.reshape(-1, 1),
                scores.reshape(-1, 1),
                np.repeat(weights, y.shape[1]),
            )
        curves = [curve_of(*each, weights) for each in zip(y.T, scores.T, strict=True)]
        found = np.array([_average_precision(curve) for curve in curves])
        if self.average is None:
            return found
        shares = np.array([curve.positives for curve in curves])
        if self.average != "weighted":
            shares = np.minimum(shares, 1.0) > 0
        known = shares > 0
        return float(np.average(found[known], weights=shares[known])) if known.any() else math.nan


def _average_precision(curve: Curve) -> float:
    if curve.positives == 0:
        return math.nan
    above = (curve.true + curve.false)[1:]
    precision = np.divide(curve.true[1:], above, out=np.zeros(len(above)), where=above > 0)
    return float(np.diff(curve.true) @ precision) / curve.positives
