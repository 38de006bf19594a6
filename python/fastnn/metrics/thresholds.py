"""Thresholds that maximise an F score on given rows, exactly: labels one by one, or all together."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.arrays.host import numeric
from fastnn.data import rows
from fastnn.metrics.base import METRICS
from fastnn.metrics.confusion import FBetaScore
from fastnn.words import flag, keywords

Array = NDArray[np.float64]

# Scores closer than this share are equal: sums of weights are rounded.
_EQUAL = 1e-12


class _Cuts(NamedTuple):
    """All ways to cut the rows of a label by their probability, and what each finds."""

    values: Array  # the probabilities that occur, ascending
    thresholds: Array
    found: Array  # the weight of true positives above each threshold
    above: Array  # the weight of all rows above it
    positives: float  # the weight of all positives

    def at(self, thresholds: Array) -> _Cuts:
        """The same for other thresholds."""
        number = np.searchsorted(self.values, thresholds, side="right")
        first = len(self.values) + 1 - len(self.thresholds)  # whether there is no lowest cut
        place = number - first
        return self._replace(
            thresholds=thresholds, found=self.found[place], above=self.above[place]
        )

    def scores(self, beta: float) -> Array:
        """F beta at each threshold; 0 where it is 0 / 0."""
        square = beta * beta
        below = square * self.positives + self.above
        return np.divide(
            (1 + square) * self.found, below, out=np.zeros(len(below)), where=below > 0
        )


@keywords()
def best_thresholds(
    y_true: Any,
    y_prob: Any,
    metric: str | FBetaScore | type[FBetaScore] = "f1",
    sample_weight: Any = None,
    *,
    one_for_all: bool = False,
) -> Array:
    """The thresholds of probabilities with the best F score on these rows.

        >>> import numpy as np
        >>> import fastnn
        >>> y, p = np.array([0, 0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.35, 0.6])
        >>> fastnn.metrics.best_thresholds(y, p)
        array([0.25])

    The rows should be of validation: neither trained on, nor those of the final test. The result
    is a `threshold` of F1Score, FBetaScore and HammingLoss, and `y_prob > thresholds` are the
    answers. scikit-learn's TunedThresholdClassifierCV searches a grid for one label; here all
    thresholds between two probabilities that occur, below and above them are tried, as midpoints,
    so that the score is the best that any thresholds have on these rows. Among equally good ones
    the threshold nearest to 0.5 is taken; a label without a known row has 0.5.

    With average="micro" the labels are cut together, by Dinkelbach's method for ratios of sums
    ("On nonlinear fractional programming", Management Science 13, 1967), which ends at the best
    of all combinations. With the other averages each label is cut for itself (Z. C. Lipton, C.
    Elkan and B. Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure", ECML
    2014).

    Args:
        y_true: targets (n, labels), or (n,) for one: positive above 0.5. NaN is a missing label,
            which is left out.
        y_prob: probabilities of the same shape; (n,) and (n, 1) are the same.
        metric: "f1", or an `F1Score` or `FBetaScore`, whose `beta` and `average` count.
        sample_weight: weights of rows (n,), at least 0.
        one_for_all: whether all labels have the same threshold.

    Returns:
        Thresholds (labels,) or, with one_for_all, (1,).

    Raises:
        ValueError: shapes differ, there are no rows, a number is out of range, or the metric is
            another one.
    """
    score = METRICS.get(metric, "metric")
    if not isinstance(score, FBetaScore):
        message = f"metric: expected 'f1', an F1Score or an FBetaScore, got {metric!r}"
        raise ValueError(message)  # noqa: TRY004 - a name is of the right type
    y, p, w = _checked(y_true, y_prob, sample_weight)
    every = [_cuts(*each, w) for each in zip(y.T, p.T, strict=True)]
    micro, beta = score.average == "micro", score.beta
    if not flag("one_for_all", one_for_all):
        places = _together(every, beta) if micro else [_best(c, c.scores(beta)) for c in every]
        return np.array([c.thresholds[i] for c, i in zip(every, places, strict=True)])
    weights = np.repeat(w, p.shape[1])
    joined = _cuts(y.ravel(), p.ravel(), weights)
    if micro:
        total = joined.scores(beta)
    else:
        total = np.zeros(len(joined.thresholds))
        for label in every:
            share = label.positives if score.average == "weighted" else 1.0
            total += share * label.at(joined.thresholds).scores(beta)
    return joined.thresholds[[_best(joined, total)]]


def _checked(y_true: Any, y_prob: Any, sample_weight: Any) -> tuple[Array, NDArray[Any], Array]:
    y = numeric("y_true", y_true, missing_is_nan=True).astype(np.float64)
    p = numeric("y_prob", y_prob)
    p = p if p.dtype == np.float32 else p.astype(np.float64)
    y, p = (each[:, None] if each.ndim == 1 else each for each in (y, p))
    if y.ndim != 2 or y.shape != p.shape:
        raise ValueError(
            "y_true: expected targets of the shape of y_prob, (n, labels) or (n,), got "
            f"{np.shape(y_true)} for y_prob of shape {np.shape(y_prob)}"
        )
    if y.size == 0:
        raise ValueError(f"y_true: expected at least one row and one label, got shape {y.shape}")
    _refuse("y_true", y, ~np.isnan(y) & ~((y >= 0) & (y <= 1)), "numbers in [0, 1], or NaN")
    _refuse("y_prob", p, ~((p >= 0) & (p <= 1)), "probabilities in [0, 1]")
    if sample_weight is None:
        return y, p, np.ones(len(y))
    w = rows.row_weights("sample_weight", sample_weight, len(y))
    _refuse("sample_weight", w, ~((w >= 0) & np.isfinite(w)), "finite numbers of at least 0")
    return y, p, w


def _refuse(name: str, given: NDArray[Any], wrong: NDArray[np.bool_], expected: str) -> None:
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        place = ", ".join(f"{axis} {i}" for axis, i in zip(("row", "column"), at, strict=False))
        raise ValueError(f"{name}: expected {expected}, got {given[at]} at {place}")


def _cuts(y: Array, p: NDArray[Any], w: Array) -> _Cuts:
    known = ~np.isnan(y) & (w > 0)
    if not known.any():
        # There is one way to cut nothing.
        return _Cuts(np.zeros(0), np.array([0.5]), np.zeros(1), np.zeros(1), 0.0)
    y, p, w = y[known], p[known], w[known]
    values, place = np.unique(p, return_inverse=True)
    weight = np.bincount(place, w)
    positive = np.bincount(place, w * (y > 0.5))
    # Cut number k has the values from k on above it.
    ends = np.concatenate([[0.0], values, [1.0]])
    thresholds = (ends[:-1] + ends[1:]) / 2
    # A comparison with float32 may round the threshold to it, and between neighbours there is no
    # third number: the lower one is below the upper.
    thresholds = thresholds.astype(p.dtype).astype(np.float64)
    thresholds = np.where(thresholds < ends[1:], thresholds, ends[:-1])
    found, above = (
        np.concatenate([np.cumsum(each[::-1])[::-1], [0.0]]) for each in (positive, weight)
    )
    # No threshold has a probability of 0 above it.
    first = 0 if values[0] > 0 else 1
    return _Cuts(values, thresholds[first:], found[first:], above[first:], float(positive.sum()))


def _best(cuts: _Cuts, gains: Array) -> int:
    """The place of the largest gain; of equal ones that of the threshold nearest to 0.5."""
    best = float(gains.max())
    equal = gains >= best - _EQUAL * max(abs(best), 1.0)
    distance = np.where(equal, np.abs(cuts.thresholds - 0.5), np.inf)
    return int(distance.argmin())


def _together(every: list[_Cuts], beta: float) -> list[int]:
    """The places with the best F beta of all counts together.

    It is a ratio a / b of sums over labels. For a number x the labels maximise a - x b one by one;
    the ratio that they then have is at least x, and is the best where it is x.
    """
    square = beta * beta
    score, places = 0.0, [0] * len(every)
    while True:
        places = [_best(c, (1 + square) * c.found - score * c.above) for c in every]
        found = sum(float(c.found[i]) for c, i in zip(every, places, strict=True))
        below = sum(
            square * c.positives + float(c.above[i]) for c, i in zip(every, places, strict=True)
        )
        better = (1 + square) * found / below if below > 0 else 0.0
        if better <= score * (1 + _EQUAL):
            return places
        score = better
