"""The warning after a `fit` of numbers whose model is no better than a constant.

Values of y that are large beside the outputs of a network, which begin near 0, need many steps
only to be reached: the loss falls all the time, and the model is worse than the mean of y. Here
that is told, on a thousand rows at most. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.console import warn
from fastnn.data.table import Table
from fastnn.losses import Loss
from fastnn.protocols import Columns

Array = NDArray[np.float64]

_ROWS = 1000
# Root mean squares of targets: from the first on a network needs hundreds of steps to reach them,
# from the second on more than one short `fit` has.
_LARGE, _HUGE = 10.0, 100.0
# Steps after which a network has reached targets that are not large.
_STEPS = 200
# Shares of the loss of the best constant. With large targets a model about as good as a constant
# has learnt nothing yet; else it may have nothing to learn, but should not be worse.
_AS_A_CONSTANT, _HALF_OF_A_CONSTANT, _WORSE = 0.9, 0.5, 1.5
# The share by which the loss falls over the last tenth of the epochs, and the fewest epochs.
_FAST, _EPOCHS = 0.1, 10


class ConvergenceWarning(UserWarning):
    """`fit` ended with a model that is worse, or hardly better, than a constant.

    >>> import warnings
    >>> warnings.simplefilter("error", fastnn.ConvergenceWarning)  # makes it an error
    >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
    >>> model.compile("adam", "mean_squared_error")
    >>> try:
    ...     model.fit([[1.0], [2.0], [3.0]], [1000.0, 2000.0, 3000.0], epochs=2, verbose=0)
    ... except fastnn.ConvergenceWarning as warning:
    ...     print(warning)
    fit: the model is worse than a constant: ... train on (y - y.mean()) / y.std()...
    """


class Trained(Protocol):
    """A model after `fit`."""

    @property
    def loss(self) -> Loss: ...
    @property
    def network(self) -> _core.Network: ...
    @property
    def columns(self) -> Columns: ...
    @property
    def losses(self) -> Sequence[Any]: ...


class _Case(NamedTuple):
    """The loss of a model, that of the best constant, and the targets."""

    loss: float
    constant: float
    share: float  # the loss over that of the constant, both above that of perfect outputs
    mean: float
    deviation: float
    size: float  # root mean square


def warn_if_unfit(model: Trained, table: Table, losses: Sequence[object], batches: int) -> None:
    """Warns with a ConvergenceWarning, at the line outside of this package that called it.

    Args:
        model: what was trained.
        table: rows that it was trained on.
        losses: the loss of each epoch, first to last, where no callback has put anything else.
        batches: steps of an epoch.
    """
    steps = batches * len(losses)
    if steps == 0 or not isinstance(losses[-1], float):
        return
    # The best constant is known for losses whose best output is the target itself.
    row = model.loss.row
    if table.targets is None or row.has_classes or row.by_row or row.outputs_of_target > 1:
        return
    every = -(-table.length // _ROWS)
    rows = np.arange(len(table.x)) if table.chosen is None else table.chosen
    rows = np.ascontiguousarray(rows[::every])
    targets = np.ascontiguousarray(table.targets[rows], np.float64)
    if np.isnan(targets).any():  # missing ones
        return
    # Yes and no as numbers, also +1 and -1: a classification.
    if (np.abs(targets) <= 1).all() and (targets == np.round(targets)).all():
        return
    size = float(np.sqrt(np.mean(targets**2)))
    large = size >= _LARGE and (steps >= _STEPS or size >= _HUGE)
    if not large and steps < _STEPS:
        return
    weights = None if table.weights is None else table.weights[rows]
    constant, perfect = _constants(model.loss, targets, weights)
    # A last epoch that was far better than a constant needs no second look.
    if not constant > perfect or losses[-1] - perfect < _HALF_OF_A_CONSTANT * (constant - perfect):
        return
    first = table.x[rows[0]]
    if all(np.array_equal(table.x[row], first) for row in rows[1:]):
        return  # rows that are all alike have no better answer than a constant
    sums = model.network.evaluate(table._replace(chosen=rows).native())
    # Of the data alone: a constant has no penalty.
    loss = model.columns.logs(sums)["loss"] - sum(float(one) for one in model.losses)
    share = (loss - perfect) / (constant - perfect)
    mean, deviation = float(targets.mean()), float(targets.std())
    case = _Case(loss, constant, share, mean, deviation, size)
    if _is_unfit(case, large, _falls(losses)):
        warn(_message(case, large), ConvergenceWarning)


def _constants(loss: Loss, targets: Array, weights: Array | None) -> tuple[float, float]:
    """The loss of the best constant for each output, of the mean and the median, and of `targets`."""
    options = loss.row_options()

    def at(outputs: Any) -> float:
        given = np.ascontiguousarray(np.broadcast_to(outputs, targets.shape), np.float64)
        return _core.element_loss(loss.native, given, targets, weights, None, options)[0]

    if weights is not None and not (weights.sum(axis=0) > 0).all():
        return 0.0, 0.0
    mean = np.average(targets, axis=0, weights=weights)
    return min(at(mean), at(np.median(targets, axis=0))), at(targets)


def _falls(losses: Sequence[object]) -> float:
    """The share by which the loss fell over the last tenth of the epochs; 0 for a few epochs."""
    if len(losses) < _EPOCHS:
        return 0.0
    before, last = losses[-1 - len(losses) // 10], losses[-1]
    if not isinstance(before, float) or not isinstance(last, float) or before <= 0:
        return 0.0
    return (before - last) / before


def _is_unfit(case: _Case, large: bool, falls: float) -> bool:
    if not large:
        return case.share > _WORSE
    return case.share > (_HALF_OF_A_CONSTANT if falls > _FAST else _AS_A_CONSTANT)


def _message(case: _Case, large: bool) -> str:
    compared = "worse than" if case.share > 1 else "hardly better than"
    text = (
        f"fit: the model is {compared} a constant: its loss is {case.loss:.4g}, that of the best "
        f"constant {case.constant:.4g}. "
    )
    values = f"y has mean {case.mean:.4g} and standard deviation {case.deviation:.4g}"
    if large:
        text += f"{values}, far from the outputs of an untrained network, which are near 0: "
        text += "train on (y - y.mean()) / y.std(), and undo that after predict; "
    else:
        text += f"{values}: standardize y, and the columns of x; "
    return text + "or train longer, or with another learning_rate"
