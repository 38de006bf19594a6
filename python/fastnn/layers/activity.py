"""Penalties of what a layer gives: `activity_regularizer`, and the losses of a layer.

A layer adds its penalty whenever it is called, and the model around it finds it there. Native nodes
add none, so that a call of such a layer is no part of a native graph.
"""

from __future__ import annotations

from typing import Any

from fastnn import calling
from fastnn.autodiff.tensor import Tensor, tensor


def add_penalty(layer: Any, y: Tensor) -> None:
    """Keeps the penalty of the outputs y of a call, divided by the rows; further calls within one of
    a model add to it."""
    now = calling.now().outermost
    penalty = tensor(layer.activity_regularizer(y) / max(1, len(y)))
    known = layer._added
    again = known is not None and now is not None and known[0] is now
    layer._added = (now, [*known[1], penalty] if again else [penalty])


def losses_of(layer: Any) -> list[Tensor]:
    """The penalties of outputs that the last call added, then those of weights."""
    added = [] if layer._added is None else list(layer._added[1])
    return [*added, *weight_penalties(layer.variables)]


def weight_penalties(variables: Any) -> list[Tensor]:
    """The penalties of the Variables that are trained."""
    return [
        tensor(v.regularizer(v)) for v in variables if v.regularizer is not None and v.trainable
    ]
