"""A table: rows, and the targets, labels and weights that belong to them. Nothing is copied here."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import _core

Array = NDArray[Any]


class Table(NamedTuple):
    """Rows and their targets or labels, as arrays that a native Data may view.

    `chosen`: the indices of the rows that count; None: all rows count.
    """

    x: Array
    targets: Array | None = None
    labels: NDArray[np.int32] | None = None
    weights: NDArray[np.float64] | None = None
    chosen: NDArray[np.int64] | None = None

    @property
    def length(self) -> int:
        """The number of rows that count."""
        return len(self.x if self.chosen is None else self.chosen)

    def native(self) -> _core.Data:
        """The rows that count, for native code."""
        return _core.Data(
            self.x,
            targets=self.targets,
            labels=self.labels,
            weights=self.weights,
            rows=self.chosen,
        )

    def part(self, start: int, stop: int) -> _core.Data:
        """Rows `start` to `stop` of the rows that count."""
        if self.chosen is None:
            stop = min(stop, len(self.x))
            chosen = np.arange(start, stop, dtype=np.int64)
        else:
            chosen = self.chosen[start:stop]
        return self._replace(chosen=chosen).native()
