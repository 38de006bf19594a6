"""A table: rows, and the targets, labels and weights that belong to them. Only labels are copied here."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.data.rows import integral
from fastnn.data.sparse import SparseRows

Array = NDArray[Any]


class Table(NamedTuple):
    """Rows and their targets or labels, as arrays that a native Data may view.

    `chosen`: the indices of the rows that count; None: all rows count. `given`: the labels as the
    caller gave them, of which `labels` is a copy. `flat`: whether targets were given without an axis
    of outputs, as (n,).
    """

    x: Any
    """an array, or `SparseRows`"""
    targets: Array | None = None
    labels: NDArray[np.int32] | None = None
    weights: NDArray[np.float64] | None = None
    chosen: NDArray[np.int64] | None = None
    given: Array | None = None
    flat: bool = False

    @property
    def length(self) -> int:
        """The number of rows that count."""
        return len(self.x if self.chosen is None else self.chosen)

    def native(self) -> _core.Data:
        """The rows that count, for native code."""
        return _core.Data(
            self.x.native if isinstance(self.x, SparseRows) else self.x,
            targets=self.targets,
            labels=self.labels,
            weights=self.weights,
            rows=self.chosen,
        )

    def copy_labels(self) -> bool:
        """Copies the given labels again; returns whether they have changed since the last copy.

        Native Data view `labels`, so no native call may run, and changed labels have to be checked.
        """
        if self.given is None or self.labels is None:
            return False
        labels = integral("y", self.given)
        changed = not np.array_equal(labels, self.labels)
        if changed:
            self.labels[:] = labels
        return changed

    def first(self, count: int) -> Table:
        """The first of the rows that count, at most so many."""
        if count >= self.length:
            return self
        if self.chosen is not None:
            return self._replace(chosen=self.chosen[:count])
        if isinstance(self.x, SparseRows):
            return self._replace(chosen=np.arange(count, dtype=np.int64))
        return self._replace(
            x=self.x[:count],
            targets=None if self.targets is None else self.targets[:count],
            labels=None if self.labels is None else self.labels[:count],
            weights=None if self.weights is None else self.weights[:count],
            given=None if self.given is None else self.given[:count],
        )

    def without_rows(self) -> Table:
        """A table of such rows, none of which counts; one is there, since arrays of none have no memory."""

        def one(array: Any) -> Any:
            return None if array is None else array[:1].copy()

        none = np.zeros(0, np.int64)
        return Table(
            one(self.x),
            one(self.targets),
            one(self.labels),
            one(self.weights),
            none,
            None,
            self.flat,
        )

    def part(self, start: int, stop: int) -> _core.Data:
        """Rows `start` to `stop` of the rows that count."""
        if self.chosen is None:
            stop = min(stop, len(self.x))
            chosen = np.arange(start, stop, dtype=np.int64)
        else:
            chosen = self.chosen[start:stop]
        return self._replace(chosen=chosen).native()
