"""Metrics made of sums of products of each output y, its target t and their weight w."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastnn.metrics.base import METRICS, Metric
from fastnn.registry import Checked
from fastnn.words import choose, keywords, optional

Array = NDArray[Any]

# Sums are off by some ulps of sum(w t^2): from a spread of targets below this share of it, no three
# digits would be left.
NO_SPREAD = 2.0**-40


Aggregation = Literal["uniform_average", "variance_weighted_average"]
_AGGREGATIONS: tuple[Aggregation, ...] = ("uniform_average", "variance_weighted_average")


def aggregation(name: str, value: object) -> Aggregation:
    return choose(name, value, _AGGREGATIONS)


def aggregated(
    how: Aggregation | None, scores: Array, spread: Array, unknown: Array, counted: Array
) -> Any:
    """The scores of those outputs that counted as one number or, for None, as an array of all."""
    if how is None:
        each = np.full(len(counted), np.nan)
        each[counted] = scores
        return each if len(each) > 1 else float(each[0])
    if len(scores) == 0:
        return float("nan")
    if how == "uniform_average" or unknown.all():
        return float(scores.mean())
    return float(np.average(scores[~unknown], weights=spread[~unknown]))


@METRICS.register("r2_score")
class R2Score(Metric):
    """The coefficient of determination, 1 - sum(w (t - y)^2) / sum(w (t - mean)^2), over all rows.

        >>> metric = fastnn.metrics.R2Score()
        >>> metric.update_state([1.0, 2.0, 3.0], [[1.0], [2.0], [4.0]])
        >>> metric.result().item()  # 1 - 1 / 2
        0.5

    1 is perfect; 0 is as good as the mean of the targets. NaN where the targets of an output do not
    vary, or by less than a millionth of their size, which sums over batches cannot tell apart
    (scikit-learn, which has all rows at once, gives 0 if they are all alike); 1 if it meets each of
    them. Subtract the mean from targets far from 0: with a mean of 1000 standard deviations the
    score is good to 1e-9, with 100,000 to 1e-5.

    Args:
        class_aggregation: how the scores of several outputs become one number: "uniform_average" or
            "variance_weighted_average", as in Keras; None: they do not, and are an array (outputs,).
        name: the name in logs.
    """

    counts = "moments"
    more_is_better = True
    class_aggregation = Checked(optional(aggregation))
    goes_with = frozenset({"targets", "sigmoid", "values"})

    @keywords()
    def __init__(
        self,
        class_aggregation: Aggregation | None = "uniform_average",
        name: str = "r2_score",
    ) -> None:
        super().__init__(name)
        self.class_aggregation = class_aggregation

    def gives_array(self, outputs: int) -> bool:
        return self.class_aggregation is None and outputs > 1

    def finish(self, sums: Array) -> Any:
        moments = sums.reshape(-1, 7)
        # An output without any target (all are missing) has no score.
        counted = moments[:, 0] > 0
        w, t, tt, *_, residual = moments[counted].T
        spread = np.maximum(tt - t * t / w, 0.0)
        unknown = spread <= NO_SPREAD * tt
        scores = 1.0 - residual / np.where(unknown, np.nan, spread)
        scores[residual == 0.0] = 1.0
        return aggregated(self.class_aggregation, scores, spread, unknown, counted)
