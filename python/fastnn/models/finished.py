"""Metrics of a native pass that are finished from all its rows: which rows were seen, and in what order."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.autodiff import functions
from fastnn.autodiff.quiet import quiet
from fastnn.autodiff.tensor import Tensor
from fastnn.data.structures import Form
from fastnn.layers.base import Shape
from fastnn.losses import Loss
from fastnn.metrics.collected import Collected
from fastnn.models.bound import Bound
from fastnn.models.heads import Head
from fastnn.protocols import Seen

Array = NDArray[Any]


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

    def value(self, metric: Collected, seen: Seen, weighted: bool) -> float | Array:
        """The metric; `metric` itself stays as it is, since other threads may finish it, too."""
        found = np.asarray(self.attempt(metric, seen, weighted).result().value)
        return float(found.item()) if found.size == 1 else found

    @quiet
    def attempt(self, metric: Collected, seen: Seen, weighted: bool) -> Collected:
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
        if self._loss.folds is not None or self._head.activation == "linear":
            made.logits = None, "linear"
        return made


def collects(metric: object) -> bool:
    """Whether a metric is finished from rows that native code collects."""
    return isinstance(metric, Collected)
