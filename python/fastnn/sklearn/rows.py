"""Rows: the one place where X becomes rows of a network.

Dense rows are read by the native gather where they lie. Of a sparse X only the rows of one batch are
ever dense.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.data.table import Table
from fastnn.sklearn.batches import Order

Array = NDArray[Any]

# Rows that are dense at once where no batch size says how many: a few megabytes.
_AT_ONCE = 1 << 20


class Targets(NamedTuple):
    """What the loss compares the outputs with: the numbers of classes (n,), or targets (n, outputs)."""

    labels: NDArray[np.int32] | None = None
    values: Array | None = None

    @property
    def width(self) -> int:
        return 1 if self.values is None else self.values.shape[1]

    def take(self, rows: Any) -> Targets:
        """Those of some rows."""
        labels = None if self.labels is None else np.ascontiguousarray(self.labels[rows])
        values = None if self.values is None else np.ascontiguousarray(self.values[rows])
        return Targets(labels, values)

    @property
    def y(self) -> Array:
        """As `fit` of a model takes them."""
        found = self.values if self.labels is None else self.labels
        assert found is not None
        return found


class Rows:
    """X, checked: an array (n, features), or a CSR matrix.

    Args:
        x: of numbers.
        dtype: of the network.
    """

    def __init__(self, x: Any, dtype: str) -> None:
        self.sparse = hasattr(x, "tocsr")
        self.x = x.tocsr() if self.sparse else x
        if self.x.dtype == np.longdouble:
            self.x = self.x.astype(np.float64)
        self._dtype = np.dtype(dtype)

    def __len__(self) -> int:
        return int(self.x.shape[0])

    @property
    def width(self) -> int:
        """The number of features."""
        return int(self.x.shape[1])

    def dense(self, rows: Any) -> Array:
        """Some rows as an array."""
        if self.sparse:
            found: Array = self.x[rows].toarray()
            return found.astype(self._dtype, copy=False)
        return np.asarray(self.x[rows])

    def blocks(self) -> Iterator[slice]:
        """Slices that are dense one at a time: all rows of an array, some of a sparse X."""
        count = len(self)
        size = max(1, _AT_ONCE // max(1, self.width)) if self.sparse else max(1, count)
        for begin in range(0, count, size):
            yield slice(begin, min(begin + size, count))

    def table(
        self,
        targets: Targets,
        weights: NDArray[np.float64] | None,
        chosen: NDArray[np.int64] | None = None,
    ) -> Table:
        """A table for native training, of an array."""
        return Table(self.x, targets.values, targets.labels, weights, chosen, targets.labels)

    def moments(self, weights: NDArray[np.float64] | None) -> tuple[Array, Array]:
        """The mean and the variance of each column; the variance of a constant one is 1."""
        total = np.zeros(self.width)
        squares = np.zeros(self.width)
        each = np.ones(len(self)) if weights is None else weights
        weight = float(each.sum())
        for block in self.blocks():
            total += each[block] @ np.asarray(self.dense(block), np.float64)
        mean = total / weight
        for block in self.blocks():
            squares += each[block] @ (np.asarray(self.dense(block), np.float64) - mean) ** 2
        variance = squares / weight
        # What is left of a constant column is rounding.
        least = (10 * np.finfo(np.float64).eps * np.abs(mean)) ** 2
        return mean, np.where(variance > least, variance, 1.0)


class SparseBatches:
    """Batches of a sparse X, in the order that native code would draw for a dense one; or of a dense
    X that is validated on beside it.

    Args:
        rows, targets, weights: of all rows.
        order: of epochs; rows are shuffled anew in each.
        chosen: indices of the rows that count; None: all.
    """

    def __init__(
        self,
        rows: Rows,
        targets: Targets,
        weights: NDArray[np.float64] | None,
        order: Order,
        chosen: NDArray[np.int64] | None = None,
    ) -> None:
        self._rows, self._targets, self._weights = rows, targets, weights
        self._order = order
        self._chosen = np.arange(len(rows)) if chosen is None else chosen
        self._epoch = 0
        self._drawn: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return math.ceil(len(self._chosen) / self._order.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        if self._drawn is None:
            self._drawn = self._chosen[self._order.of(self._epoch, len(self._chosen))]
        size = self._order.batch_size
        rows = self._drawn[index * size : (index + 1) * size]
        batch = (self._rows.dense(rows), self._targets.take(rows).y)
        return batch if self._weights is None else (*batch, self._weights[rows])

    def on_epoch_end(self) -> None:
        """The next epoch has another order."""
        self._epoch += 1
        self._drawn = None
