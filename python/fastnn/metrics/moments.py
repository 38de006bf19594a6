"""Metrics made of the sums w, w t, w t^2, w y, w y^2 and w t y of each output y and its target t."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fastnn.metrics.base import METRICS, Metric
from fastnn.words import choose, keywords

# Sums are off by some ulps of sum(w t^2): a spread of targets below this share of it is none.
_NO_SPREAD = 2.0**-44


@METRICS.register("r2_score")
class R2Score(Metric):
    """The coefficient of determination, 1 - sum(w (t - y)^2) / sum(w (t - mean)^2), over all rows.

    1 is perfect; 0 is as good as the mean of the targets. An output whose targets are all alike has 1
    where it meets them and 0 elsewhere, as in scikit-learn. Targets far from 0 lose digits: with a
    mean of 1000 standard deviations the score is good to 1e-9.

    Args:
        class_aggregation: how the scores of several outputs become one number: "uniform_average" or
            "variance_weighted_average", as in Keras.
        name: the name in logs.
    """

    counts = "moments"
    goes_with = frozenset({"targets", "sigmoid", "values"})

    @keywords()
    def __init__(
        self,
        class_aggregation: Literal[
            "uniform_average", "variance_weighted_average"
        ] = "uniform_average",
        name: str = "r2_score",
    ) -> None:
        super().__init__(name)
        self.class_aggregation = choose(
            "class_aggregation",
            class_aggregation,
            ("uniform_average", "variance_weighted_average"),
        )

    def finish(self, sums: NDArray[np.float64]) -> float:
        moments = sums.reshape(-1, 6)
        # An output without any target (all are missing) has no score.
        w, t, tt, _, yy, ty = moments[moments[:, 0] > 0].T
        if len(w) == 0:
            return float("nan")
        spread = np.maximum(tt - t * t / w, 0.0)
        residual = np.maximum(tt - 2.0 * ty + yy, 0.0)
        alike = spread <= _NO_SPREAD * tt
        met = residual <= _NO_SPREAD * tt
        scores = np.where(alike, met, 1.0 - residual / np.where(alike, 1.0, spread))
        if self.class_aggregation == "uniform_average" or alike.all():
            return float(scores.mean())
        return float(np.average(scores, weights=np.where(alike, 0.0, spread)))
