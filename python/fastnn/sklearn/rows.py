"""Rows: the one place where X becomes rows of a network.

They are read where they lie, those of an array by the native gather, those of a sparse matrix by the
products of the first layer. Where that layer standardizes, the rows of one batch are dense at a time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.data.sparse import SparseRows, is_sparse
from fastnn.data.table import Table

Array = NDArray[Any]


# Elements of X that are copied at once: some megabytes.
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
    """X, checked: an array (n, features), or a sparse matrix.

    Args:
        x: of numbers.
    """

    def __init__(self, x: Any) -> None:
        self.x = SparseRows("X", x) if is_sparse(x) else plain(x)

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def table(
        self,
        targets: Targets,
        weights: NDArray[np.float64] | None,
        chosen: NDArray[np.int64] | None = None,
    ) -> Table:
        """A table for native training."""
        return Table(self.x, targets.values, targets.labels, weights, chosen, targets.labels)

    def moments(self, weights: NDArray[np.float64] | None) -> tuple[Array, Array]:
        """The mean and the variance of each column; the variance of a constant one is 1."""
        each = np.ones(len(self)) if weights is None else weights
        weight = float(each.sum())
        if isinstance(self.x, SparseRows):
            mean, off, squares = _sums_of_sparse(self.x.matrix, each, weight)
        else:
            mean, off, squares = _sums_of_array(self.x, each, weight)
        # How far the mean is off by rounding, which grows with the rows.
        off = off / weight
        variance = np.maximum(squares / weight - off**2, 0.0)
        mean = mean + off
        # What is left of a constant column is rounding.
        least = (10 * np.finfo(np.float64).eps * np.abs(mean)) ** 2
        return mean, np.where(variance > least, variance, 1.0)


def plain(x: Array) -> Array:
    """X in a type that native code reads."""
    return x.astype(np.float64) if x.dtype == np.longdouble else x


def _sums_of_array(x: Array, each: Array, weight: float) -> tuple[Array, Array, Array]:
    """The mean of each column, and the weighted sums of differences from it and of their squares; of
    some rows at a time."""
    size = max(1, _AT_ONCE // max(1, x.shape[1]))
    blocks = [slice(begin, begin + size) for begin in range(0, len(x), size)]
    mean, off, squares = np.zeros((3, x.shape[1]))
    for block in blocks:
        mean += each[block] @ np.asarray(x[block], np.float64)
    mean /= weight
    for block in blocks:
        values = x[block] - mean
        off += each[block] @ values
        squares += each[block] @ values**2
    return mean, off, squares


def _sums_of_sparse(matrix: Any, each: Array, weight: float) -> tuple[Array, Array, Array]:
    """The mean of each column, and the weighted sums of differences from it and of their squares."""
    counts = each > 0
    if not counts.all():
        matrix, each = matrix[counts], each[counts]
    rows, width = matrix.shape
    weights = np.repeat(each, np.diff(matrix.indptr))
    values = matrix.data.astype(np.float64)

    def sums(of_entries: Array) -> Array:
        return np.bincount(matrix.indices, of_entries, minlength=width)

    mean = sums(weights * values) / weight
    values -= mean[matrix.indices]
    # The weight of rows without an entry: exactly 0 where there are none, or a column of equal numbers
    # would vary by rounding.
    without = np.bincount(matrix.indices, minlength=width) < rows
    zeros = np.where(without, np.maximum(weight - sums(weights), 0.0), 0.0)
    off = sums(weights * values) - zeros * mean
    return mean, off, sums(weights * values**2) + zeros * mean**2
