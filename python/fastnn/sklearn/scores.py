"""Scores: what early stopping looks at, accuracy or R^2, from what native passes count."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import metrics
from fastnn.protocols import Logs
from fastnn.sklearn.net import Net
from fastnn.sklearn.parts import Held
from fastnn.sklearn.rows import Targets
from fastnn.sklearn.rules import Term, Value, Watched
from fastnn.sklearn.solvers import Scale

Array = NDArray[Any]

MSE = "mean_squared_error"
_ERRORS = "mean_squared_errors"


class Errors(metrics.Metric):
    """The mean squared error of each output, an array."""

    counts = "moments"
    more_is_better = False
    goes_with = frozenset({"values"})

    def __init__(self) -> None:
        super().__init__(_ERRORS)

    def gives_array(self, outputs: int) -> bool:
        del outputs
        return True

    def finish(self, sums: Array) -> Array:
        moments = sums.reshape(-1, 7)  # the weight is the first of an output, the error the last
        errors = np.full(len(moments), math.nan)
        np.divide(moments[:, 6], moments[:, 0], out=errors, where=moments[:, 0] > 0)
        return errors

    def ratio(self, output: int) -> tuple[int, int] | None:
        return output * 7 + 6, output * 7


def metrics_for(estimator: Any, targets: Targets, held: Held | None, scale: Scale) -> list[Any]:
    """Metrics that the rule needs of the native passes."""
    wanted: list[Any] = [] if scale.is_one_sum else [metrics.MeanSquaredError(name=MSE)]
    if estimator.monitor is not None:
        name = estimator.monitor.removeprefix("val_")
        if name != "loss" and name not in [metric.name for metric in wanted]:
            wanted.append(name)
    elif held is not None and not hasattr(estimator, "classes_"):
        wanted = [metrics.MeanSquaredError(name=MSE)]
        if targets.width > 1:
            wanted.append(Errors())
    elif held is not None:
        one = targets.labels is not None or targets.width == 1
        wanted.append("accuracy" if one else metrics.ExactMatch(name="accuracy"))
    return wanted


def watched_by(estimator: Any, net: Net, held: Held | None) -> Watched | None:
    """What the rule looks at besides the loss: the score of early_stopping, or `monitor`."""
    monitor = estimator.monitor
    if monitor is not None:
        if monitor.startswith("val_") and held is None:
            raise ValueError(f"monitor: {monitor!r} needs early_stopping=True or validation_data")
        more = net.model.more_is_better(monitor)
        if more is None:
            raise ValueError(f"monitor: whether more of {monitor!r} is better is not known")
        return Watched(Value((Term(monitor),)), more)
    if not estimator.early_stopping or held is None:
        return None
    targets, weights = held.given.targets, held.given.weights
    if held.chosen is not None:
        targets = targets.take(held.chosen)
        weights = None if weights is None else weights[held.chosen]
    if hasattr(estimator, "classes_"):
        if targets.labels is None and targets.width == 1 and len(estimator.classes_) == 1:
            # Whatever the output, the one class is the answer to each row, which is right.
            return Watched(Value((Term("val_accuracy", 0.0),), 1.0), True)
        return Watched(Value((Term("val_accuracy"),)), True)
    values = np.asarray(targets.values, np.float64)
    mean = np.average(values, axis=0, weights=weights)
    variances = np.average((values - mean) ** 2, axis=0, weights=weights)
    if not (variances > 0).all():
        return Watched(None, True, functools.partial(_r2, variances))
    # R^2 of an output is a function of its mean squared error; of several it is their mean.
    scales = (-1.0 / (variances * len(variances))).tolist()
    if len(scales) == 1:
        return Watched(Value((Term(f"val_{MSE}", scales[0]),), 1.0), True)
    terms = (Term(f"val_{_ERRORS}", scale, output) for output, scale in enumerate(scales))
    return Watched(Value(tuple(terms), 1.0), True)


def _r2(variances: NDArray[np.float64], logs: Logs) -> float:
    """The mean of the outputs' R^2; that of an output whose targets are alike is 0, or 1 where it meets
    all of them, as in scikit-learn."""
    key = f"val_{MSE if len(variances) == 1 else _ERRORS}"
    errors = np.asarray(logs[key]).reshape(-1)
    spread = variances > 0
    scores = np.where(errors == 0, 1.0, 0.0)
    scores[spread] = 1.0 - errors[spread] / variances[spread]
    return float(scores.mean())
