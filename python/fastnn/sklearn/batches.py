"""Batches: which rows an epoch takes together, and means over them as scikit-learn takes them.

The loss of an epoch is there the mean over rows of the loss of their batch, and that is a weighted mean
over the rows of the batch. It is the weighted mean over all rows only where weights are equal or all
rows are one batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import _core

Floats = NDArray[np.float64]


class Order(NamedTuple):
    """How epochs go through rows."""

    batch_size: int
    shuffled: bool
    key: int  # of the model, as native code draws the order of an epoch
    epoch: int  # of the first epoch, in the life of the model

    def of(self, epoch: int, count: int) -> NDArray[np.int64]:
        """The order of so many rows in an epoch of this call."""
        if not self.shuffled:
            return np.arange(count)
        found: NDArray[np.int64] = _core.permutation(count, self.key, self.epoch + epoch)
        return found


class Batches:
    """The batches of a call.

    Attributes:
        vary: whether the mean of an epoch depends on the batches that rows are in.

    Args:
        order: of epochs.
        count: of rows that are trained on.
        weights: of these rows; None: they weigh alike.
    """

    def __init__(self, order: Order, count: int, weights: Floats | None) -> None:
        self._order, self._count, self._weights = order, count, weights
        self._starts = np.arange(0, count, order.batch_size)
        several = len(self._starts) > 1
        self.vary = several and weights is not None and bool((weights != weights[0]).any())

    @property
    def shuffled(self) -> bool:
        """Whether each epoch has other batches."""
        return self._order.shuffled

    @property
    def sizes(self) -> Floats:
        """The rows of each batch."""
        return np.diff(np.append(self._starts, self._count)).astype(np.float64)

    def weights(self, epoch: int) -> Floats:
        """The weight of each batch of an epoch."""
        if self._weights is None:
            return self.sizes
        return self._sums(self._weights, epoch)

    def mean(self, values: Floats, epoch: int) -> float:
        """The mean over rows, in an epoch, of the weighted mean of the values in their batch."""
        if not self.vary:
            return float(np.average(values, weights=self._weights))
        assert self._weights is not None
        return self.mean_of(self._sums(self._weights * values, epoch), epoch)

    def mean_of(self, sums: Floats, epoch: int) -> float:
        """The same from the weighted sum of each batch, of the first ones where training ended there."""
        weights, sizes = self.weights(epoch)[: len(sums)], self.sizes[: len(sums)]
        means = np.divide(sums, weights, out=np.zeros_like(sums), where=weights > 0)
        return float(sizes @ means) / float(sizes.sum())

    def _sums(self, values: Floats, epoch: int) -> Floats:
        return np.add.reduceat(values[self._order.of(epoch, self._count)], self._starts)
