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

    def first(self, count: int) -> Batches:
        """The first of the rows that count, at most so many."""
        if count >= self.length:
            return self
        chosen = np.arange(self.rows) if self.chosen is None else self.chosen
        return self._replace(chosen=chosen[:count])

    def take(self, places: Any) -> tuple[Any, Any, Any]:
        """x, y and weights of the rows that count at these places: a slice or indices."""
        chosen = places if self.chosen is None else self.chosen[places]

        def part(array: Array) -> Array:
            taken: Array = array[chosen]
            # A slice would be a view, and Tensors never change.
            return np.array(taken, self.dtype if taken.dtype.kind == "f" else taken.dtype)

        return mapped(part, self.x), mapped(part, self.y), mapped(part, self.weights)

    def bad_target(self, places: Any) -> str | None:
        """Where the first number of y in these rows is NaN or infinite, in words; None: nowhere.

        Rows are counted as the user gave them.
        """
        chosen = np.arange(self.rows) if self.chosen is None else self.chosen
        indices = chosen[places]
        named: list[tuple[str, Any]] = [("y", self.y)]
        if isinstance(self.y, dict):
            named = [(f"y[{name!r}]", part) for name, part in self.y.items()]
        elif isinstance(self.y, (list, tuple)):
            named = [(f"y[{i}]", part) for i, part in enumerate(self.y)]
        for name, array in named:
            if array is None or array.dtype.kind != "f":
                continue
            wrong = ~np.isfinite(array[indices])
            if wrong.any():
                row, *rest = np.unravel_index(int(wrong.argmax()), wrong.shape)
                place = (int(indices[row]), *map(int, rest))
                column = f", column {place[1]}" if len(place) == 2 and wrong.shape[1] > 1 else ""
                return f"{name} has {array[place]} at row {place[0]}{column}"
        return None
