"""Losses of overlap, which compare sums over all numbers of a batch: Dice's and Tversky's.

They are no means over rows, so that a model with one trains over a tape.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from fastnn.autodiff import functions as f
from fastnn.autodiff.tensor import Tensor, tensor
from fastnn.losses.base import LOSSES, Loss
from fastnn.registry import Checked
from fastnn.words import integer, keywords, number

_LEAST = 1e-7
Axis = int | list[int] | tuple[int, ...] | None


def _axes(name: str, value: Any) -> list[int] | None:
    if value is None:
        return None
    given = value if isinstance(value, (list, tuple)) else [value]
    return [integer(name, axis, -(2**31)) for axis in given]


class OfBatch(Loss):
    """The base of losses that are no means over rows."""

    axis = Checked(_axes)

    def __init__(self, name: str, reduction: str, axis: Axis) -> None:
        super().__init__(name, reduction)
        self.axis = axis

    def _over(self) -> tuple[int, ...] | None:
        return None if self.axis is None else tuple(self.axis)


@LOSSES.register("dice")
class Dice(OfBatch):
    """1 - 2 * sum(y * p) / (sum(y) + sum(p) + 1e-7), over all numbers of a batch (Milletari, 2016).

        >>> round(float(fastnn.losses.Dice()([[1.0], [0.0]], [[0.5], [0.0]])), 4)  # 1 - 1 / 1.5
        0.3333

    For yes and no of which few are yes. y_pred are probabilities: end the model in sigmoid or
    softmax. A model with it trains over a tape. As a metric, "dice" is that of all rows of an epoch.

    Args:
        reduction, name: see `Loss`.
        axis: the axes that are summed over; -1 gives each row a loss of its own. None: all, the rows
            of the batch too, so that rows cannot have weights.
    """

    @keywords()
    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "dice",
        axis: Axis = None,
    ) -> None:
        super().__init__(name, reduction, axis)

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of the batch, a Tensor without axes, or those along the other axes.

        >>> fastnn.losses.Dice(axis=-1).call([[1.0, 0.0]], [[1.0, 0.0]]).numpy().round(4).tolist()
        [0.0]
        """
        return dice(y_true, y_pred, self._over())


@LOSSES.register("tversky")
class Tversky(OfBatch):
    """1 - tp / (tp + alpha * missed + beta * false + 1e-7), over a batch (Salehi et al., 2017).

    tp is sum(y * p), missed is sum(y * (1 - p)), false is sum((1 - y) * p).

        >>> round(float(fastnn.losses.Tversky()([[1.0], [0.0]], [[0.5], [0.0]])), 4)  # 1 - 0.5 / 0.75
        0.3333

    Keras calls alpha the weight of false positives; its code, as here, has it on what is missed.

    Args:
        alpha: the weight of what is missed, at least 0.
        beta: the weight of what is found and false, at least 0. 0.5 for both gives `Dice`.
        reduction, name, axis: see `Dice`.
    """

    alpha = Checked(partial(number, low=0.0))
    beta = Checked(partial(number, low=0.0))

    @keywords()
    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str = "sum_over_batch_size",
        name: str = "tversky",
        axis: Axis = None,
    ) -> None:
        super().__init__(name, reduction, axis)
        self.alpha = alpha
        self.beta = beta

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of the batch, a Tensor without axes, or those along the other axes.

        >>> loss = fastnn.losses.Tversky(alpha=0.0, beta=1.0, axis=-1)  # only what is false counts
        >>> loss.call([[1.0, 0.0]], [[1.0, 1.0]]).numpy().round(4).tolist()
        [0.5]
        """
        return tversky(y_true, y_pred, self.alpha, self.beta, self._over())


def dice(y_true: Any, y_pred: Any, axis: Axis = None) -> Tensor:
    """The value of `Dice`, a Tensor.

    >>> fastnn.losses.dice([[1.0, 0.0]], [[1.0, 0.0]]).numpy().round(4).item()
    0.0
    """
    y, p = _both(y_true, y_pred)
    total = f.reduce_sum(y, axis) + f.reduce_sum(p, axis)
    return 1.0 - 2.0 * f.reduce_sum(y * p, axis) / (total + _LEAST)


def tversky(
    y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Axis = None
) -> Tensor:
    """The value of `Tversky`, a Tensor.

    >>> fastnn.losses.tversky([[1.0, 0.0]], [[1.0, 0.0]]).numpy().round(4).item()
    0.0
    """
    y, p = _both(y_true, y_pred)
    found = f.reduce_sum(y * p, axis)
    missed, false = f.reduce_sum((1.0 - p) * y, axis), f.reduce_sum(p * (1.0 - y), axis)
    return 1.0 - found / (found + alpha * missed + beta * false + _LEAST)


def _both(y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
    p = tensor(y_pred)
    if p.dtype.kind != "f":
        p = f.cast(p, "float32")
    y = tensor(y_true)
    return (y if y.dtype == p.dtype else f.cast(y, p.dtype)), p
