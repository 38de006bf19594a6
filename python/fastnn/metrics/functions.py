"""Metrics that users write: Python functions of (y_true, y_pred), and which classes are their own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.autodiff.following import check_result, following
from fastnn.autodiff.own_losses import aligned, weights_of
from fastnn.autodiff.tensor import Tensor, converted, tensor
from fastnn.metrics.base import Metric
from fastnn.words import name_of

_COUNTING = ("update_state", "result", "reset_state")


class FunctionMetric(Metric):
    """The mean over rows of what a function returns, exact over all rows.

    Args:
        function: (y_true, y_pred) -> a number for each row (n,), numbers (n, ...), which are
            averaged in each row, or one number, which counts for all rows of the batch. It may
            not broadcast y_true and y_pred against each other (see `fastnn.losses.Loss`).
        name: the name in logs; None: that of the function.
    """

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None) -> None:
        super().__init__(name_of(function) if name is None else name)
        self.function = function

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        outputs = tensor(y_pred)
        n = len(outputs)
        if n == 0:
            return
        target = aligned(y_true, outputs)
        with following(f"metrics: {self.name}", target, outputs):
            values = converted(self.function(target, outputs)).astype(np.float64)
        check_result(f"metrics: {self.name}: expected a number", values, target, outputs)
        weights = weights_of(sample_weight, n)
        rows = values.reshape(n, -1).mean(axis=1) if values.ndim else np.full(n, float(values))
        if weights is None:
            sums = np.array([rows.sum(), float(n)])
        else:
            sums = np.array([rows[weights > 0] @ weights[weights > 0], weights.sum()])
        self._sums = sums if self._sums is None else self._sums + sums

    def result(self) -> Tensor:
        sums = self._sums
        return Tensor(np.asarray(sums[0] / sums[1] if sums is not None and sums[1] else math.nan))

    def get_config(self) -> dict[str, Any]:
        raise TypeError(f"{self.name}: a function has no config; derive a class from Metric")


def is_own(metric: Metric) -> bool:
    """Whether a metric counts by Python code that is not of this package."""
    cls = type(metric)
    return not hasattr(cls, "counts") or any(
        not str(getattr(cls, name).__module__).startswith("fastnn.") for name in _COUNTING
    )
