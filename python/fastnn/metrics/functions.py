"""Metrics that users write: Python functions of (y_true, y_pred), and which classes are their own."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.autodiff.following import check_result, following
from fastnn.autodiff.own_losses import aligned
from fastnn.autodiff.tensor import converted
from fastnn.metrics.base import Metric
from fastnn.metrics.collected import Collected, Kept
from fastnn.words import name_of

_COUNTING = ("update_state", "result", "reset_state")


class FunctionMetric(Collected):
    """What a function returns for all rows of an epoch at once, or the mean of it over rows.

    Keras calls such a function for each batch, and averages; a score that is no mean over rows is
    then another one. Here the function gets all rows together, so what it returns is exact.

    Args:
        function: (y_true, y_pred) -> one number, or a number for each row (n,) or numbers
            (n, ...), whose mean is taken, of weighted metrics by the weight of the rows. It may
            not broadcast y_true and y_pred against each other (see `fastnn.losses.Loss`).
        name: the name in logs; None: that of the function.
    """

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None) -> None:
        super().__init__(name_of(function) if name is None else name)
        self.function = function

    def check(self, part: Kept) -> float | None:
        """Calls the function on the first rows, so that a wrong one is found before an epoch ends.

        A score that these rows do not have, such as an area where they are of one class, is no
        mistake: all rows may have it.
        """
        if self._parts:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.finished(part)
        except (ValueError, ArithmeticError) as error:
            if str(error).startswith(f"metrics: {self.name}"):
                raise
            return None

    def finished(self, rows_: Kept) -> float:
        outputs = rows_.outputs()
        n, weights = len(outputs), rows_.weights
        target = aligned(rows_.y, outputs)
        with following(f"metrics: {self.name}", target, outputs):
            found = self.function(target, outputs)
        # A number of Python would become float32.
        values = np.asarray(
            found if isinstance(found, (int, float)) else converted(found), np.float64
        )
        check_result(f"metrics: {self.name}: expected a number", values, target, outputs)
        if values.ndim == 0:
            return float(values)
        by_row = values.reshape(n, -1).mean(axis=1)
        if weights is None:
            return float(by_row.mean())
        total = float(weights.sum())
        return float(by_row[weights > 0] @ weights[weights > 0]) / total if total else math.nan

    def get_config(self) -> dict[str, Any]:
        raise TypeError(f"{self.name}: a function has no config; derive a class from Metric")


def is_own(metric: Metric) -> bool:
    """Whether a metric counts by Python code that is not of this package."""
    cls = type(metric)
    return not hasattr(cls, "counts") or any(
        not str(getattr(cls, name).__module__).startswith("fastnn.") for name in _COUNTING
    )
