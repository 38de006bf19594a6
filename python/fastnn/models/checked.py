"""Checks of targets and weights, and their sums, for models that no native loop trains.

A network without layers, compiled with the loss of an output, checks what that of a model would: the
messages are the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.data import rows
from fastnn.data.batches import Batches
from fastnn.data.structures import parts
from fastnn.data.table import Table
from fastnn.layers.base import Shape
from fastnn.losses import Loss
from fastnn.models.objective import Objective, RowWeights
from fastnn.models.tables import targets_for

Array = NDArray[Any]


class renamed:
    """Puts another beginning before the messages of ValueErrors."""

    def __init__(self, former: str, name: str) -> None:
        self._former, self._name = former, name

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, (ValueError, TypeError)) and self._former != self._name:
            text = self._name + str(error).removeprefix(self._former)
            raise type(error)(text) from error.__cause__


def by_leaf(function: Any, structure: Any) -> Any:
    """`function` of each part of a list or dictionary, of which each is one array."""
    if isinstance(structure, dict):
        return {n: None if part is None else function(part) for n, part in structure.items()}
    if isinstance(structure, (list, tuple)):
        made = [None if part is None else function(part) for part in structure]
        return tuple(made) if isinstance(structure, tuple) else made
    raise ValueError(
        f"y: expected a list or a dictionary with an array for each output, got {structure!r}"
    )


def stand_in(width: int, dtype: Any, gaps: bool = False) -> _core.Network:
    """A network without layers, which checks numbers as that of a model does; with `gaps`, as that
    of one that encodes columns."""
    network = _core.Network(width, dtype.name, 0)
    zeros = [0] * width
    last = network.encode_columns(0, zeros, [False] * width, zeros) if gaps else 0
    network.set_output(last)
    return network


def labelled(table: Batches, loss: Loss | None, width: int = 0) -> Table:
    """The rows as a table with labels or targets, for their classes."""
    y, x = table.y, np.empty((table.rows, 0))
    one = y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1)
    labels = loss.takes_labels if loss is not None else one and width != 1
    if labels:
        return Table(x, None, rows.labels(y, table.rows, (width,)), table.weights, table.chosen)
    return Table(x, y.reshape(table.rows, -1), None, table.weights, table.chosen)


def width_of(table: Table) -> int:
    if table.labels is not None:
        return int(table.labels.max(initial=1)) + 1
    assert table.targets is not None
    return int(table.targets.shape[1])


def check(objective: Objective, table: Batches, shapes: Sequence[Shape] | None) -> None:
    """Checks all values of y and weights natively. A step of the model's own checks its y."""
    for prefix, network, data in _views(objective, table, shapes):
        with renamed("", prefix):
            network.check(data)


def row_weights_of(
    doing: str, objective: Objective, table: Batches, shapes: Sequence[Shape] | None
) -> RowWeights:
    """The mean weight of a row for each output with a loss; ValueError where nothing counts."""
    n = table.length
    if shapes is None and objective.form is not None and objective.form.kind is None:
        loss = objective.targets[0].loss
        if loss is not None and isinstance(table.y, np.ndarray):
            return [_total(loss, table) / n]
    found = []
    for prefix, network, data in _views(objective, table, shapes):
        with renamed("", prefix):
            found.append(network.check_weight_of(doing, data) / n)
    return found


def _total(loss: Loss, table: Batches) -> float:
    """The weight of all rows, where y may not be what the loss takes."""
    chosen = slice(None) if table.chosen is None else table.chosen
    y = table.y[chosen]
    weights = None if table.weights is None else table.weights[chosen]
    y = y.reshape(len(y)) if loss.takes_labels and y.size == len(y) else y.reshape(len(y), -1)
    return loss.weight_of(y, weights)


def _views(
    objective: Objective, table: Batches, shapes: Sequence[Shape] | None
) -> Iterator[tuple[str, _core.Network, _core.Data]]:
    """For each output with a loss a network that checks such data, and the data."""
    if objective.form is None or shapes is None:
        for weights in parts(table.weights):
            yield "", *_of_weights(weights, table)
        return
    ys, by_output = objective.targets_of(table.y), objective.weights_of(table.weights)
    for target, y, weights, shape in zip(objective.targets, ys, by_output, shapes, strict=True):
        if target.loss is None:
            continue
        prefix = "" if target.name is None else f"output {target.name!r}: "
        if target.loss.is_own or y is None:
            yield prefix, *_of_weights(weights, table)
            continue
        with renamed("", prefix):
            view = _of_targets(target.loss, y, weights, shape, table)
        yield prefix, *view


def _of_targets(
    loss: Loss, y: Array, weights: Any, shape: Shape, table: Batches
) -> tuple[_core.Network, _core.Data]:
    n, width = table.rows, math.prod(shape)
    targets = labels = None
    if loss.takes_labels:
        labels = rows.labels(y, n, shape)
    else:
        targets = targets_for(loss, y, n, shape)
    network = stand_in(width, np.dtype(table.dtype))
    network.compile(optimizer="sgd", **loss.options(width))
    x = np.broadcast_to(np.zeros((1, 1)), (n, width))
    return network, Table(x, targets, labels, weights, table.chosen).native()


def _of_weights(weights: Any, table: Batches) -> tuple[_core.Network, _core.Data]:
    """The same where only weights are to be checked."""
    width = 1 if weights is None or weights.ndim == 1 else weights.shape[1]
    network = stand_in(width, np.dtype(np.float64))
    network.compile(optimizer="sgd", loss="mean_squared_error")
    x = np.broadcast_to(np.zeros((1, 1)), (table.rows, width))
    return network, Table(x, x, None, weights, table.chosen).native()
