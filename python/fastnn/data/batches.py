"""Batches: rows of structures of arrays, for loops that run in Python."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnn.data.structures import mapped

Array = NDArray[Any]


class Batches(NamedTuple):
    """Checked rows of x, y and weights, each a structure of arrays with as many rows, or None.

    `chosen`: the indices of the rows that count; None: all rows count. `dtype`: of all floats of
    a batch; integers stay what they are.
    """

    x: Any
    y: Any
    weights: Any
    rows: int
    dtype: DTypeLike
    chosen: NDArray[Any] | None = None

    @property
    def length(self) -> int:
        """The number of rows that count."""
        return self.rows if self.chosen is None else len(self.chosen)

    def take(self, places: Any) -> tuple[Any, Any, Any]:
        """x, y and weights of the rows that count at these places: a slice or indices."""
        chosen = places if self.chosen is None else self.chosen[places]

        def part(array: Array) -> Array:
            taken: Array = array[chosen]
            # A slice would be a view, and Tensors never change.
            return np.array(taken, self.dtype if taken.dtype.kind == "f" else taken.dtype)

        return mapped(part, self.x), mapped(part, self.y), mapped(part, self.weights)
