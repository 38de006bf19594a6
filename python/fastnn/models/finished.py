"""Metrics of a native pass that are finished from all its rows: which rows were seen, and in what order.

Metrics of a user's own count them batch by batch, after the pass, as they would in it.
"""

from __future__ import annotations

import copy
import os
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.autodiff import functions
from fastnn.autodiff.quiet import quiet
from fastnn.autodiff.tensor import Tensor, converted
from fastnn.data.structures import Form
from fastnn.layers.base import Shape
from fastnn.losses import Loss
from fastnn.metrics.base import Metric
from fastnn.metrics.collected import Collected
from fastnn.metrics.functions import is_own
from fastnn.models.bound import Bound
from fastnn.models.heads import Head
from fastnn.protocols import Seen

Array = NDArray[Any]

# Metrics of a user's own keep what they count: threads that evaluate let them do so in turn.
_turns = threading.RLock()


def _new_turns() -> None:
    global _turns
    _turns = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_turns)


class Finisher:
    """Finishes metrics of the rows that a pass has seen.

    Args:
        loss, head: of the model.
        made_by: "softmax" or "sigmoid", which native code applies to logits last; else "none".
        shape: of an output row.
    """

    def __init__(self, loss: Loss, head: Head, made_by: str, shape: Shape) -> None:
        self._loss = loss
        self._head = head
        self._made_by = made_by
        self._shape = shape

    def value(self, metric: Metric, seen: Seen, weighted: bool) -> Any:
        """The metric: a number, an array or, as one of a user's own may give, a dictionary of these.

        A metric of this package stays as it is, since other threads may finish it, too; one of a
        user's own has counted the pass then.
        """
        if not isinstance(metric, Collected):
            with _turns:
                self._count(metric, seen, weighted)
                found: Any = metric.result()
            if isinstance(found, dict):
                return {name: _number(one) for name, one in found.items()}
            return _number(found)
        return _number(self._taken(metric, seen, weighted).result())

    def attempt(self, metric: Metric, seen: Seen, weighted: bool) -> None:
        """Has the metric take rows, which it forgets: an error of a user's shows."""
        if isinstance(metric, Collected):
            self._taken(metric, seen, weighted)
            return
        with _turns:
            self._count(metric, seen, weighted)
            metric.result()
            metric.reset_state()

    @quiet
    def _count(self, metric: Metric, seen: Seen, weighted: bool) -> None:
        """Has a metric of a user's own begin anew, and count the batches of a pass."""
        metric.reset_state()
        bound = Bound(metric, metric.name, None, Form(), self._loss)
        y = seen.given_targets()
        if y.ndim == 2:
            y = y.reshape(len(y), *self._shape)
        single = seen.logits.dtype
        weights = seen.weights() if weighted else None
        for places in seen.batches():
            part = y[places]
            target = Tensor(np.array(part, single if part.dtype.kind == "f" else part.dtype))
            by_row = None if weights is None else Tensor(weights[places].astype(single))
            bound.update_one(target, self._outputs(seen.logits[places]), by_row)

    @quiet
    def _taken(self, metric: Collected, seen: Seen, weighted: bool) -> Collected:
        """A copy of the metric that has taken the rows."""
        own = copy.copy(metric)
        bound = Bound(own, own.name, None, Form(), self._loss)
        y = seen.targets()
        if y.ndim == 2:
            y = y.reshape(len(y), *self._shape)
        bound.update_one(y, self._outputs(seen.logits), seen.weights() if weighted else None)
        return own

    def _outputs(self, logits: Array) -> Tensor:
        made = Tensor(logits.reshape(len(logits), *self._shape))
        if self._made_by == "softmax":
            return functions.softmax(made)
        if self._made_by == "sigmoid":
            return functions.sigmoid(made)
        if self._loss.folds is not None or self._head.activation in ("linear", "log_softmax"):
            made.logits = None, "linear"
        return made


def collects(metric: object) -> bool:
    """Whether a metric is finished from rows that native code collects."""
    return isinstance(metric, Collected) or (isinstance(metric, Metric) and is_own(metric))


def _number(found: Any) -> float | Array:
    value = np.asarray(converted(found), np.float64)
    return float(value.item()) if value.size == 1 else value
