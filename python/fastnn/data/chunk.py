"""Chunk: rows that are read together, and Source: what they are read from. Both are inside `Chunks`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Lazy(Protocol):
    """Rows that are still in a file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def into(self, out: NDArray[Any]) -> None:
        """Reads them into an array of this shape and type, in C order."""

    def loaded(self) -> NDArray[Any]:
        """The rows as an array of their own."""


class Chunk(NamedTuple):
    """Rows of x and what belongs to them: arrays, `Lazy` rows, or structures of several of these."""

    x: Any
    y: Any = None
    weights: Any = None
    # For messages: the file or the source, and the number in it of the first row.
    where: str = ""
    first: int = 0


class Source:
    """Chunks, by number where they have numbers.

    `count`: of the chunks; None: as many as come. `rows`: of each chunk, where that is known before
    they are read. `again`: whether they can be read more than once. `apart`: whether y and weights
    can be read without x.
    """

    count: int | None = None
    rows: Sequence[int] | None = None
    again = True
    apart = False

    @abstractmethod
    def read(self, number: int) -> Chunk:
        """Chunk `number`."""

    def every(self, order: Iterable[int] | None = None) -> Iterator[Chunk]:
        """The chunks in an order; None: as they are."""
        assert self.count is not None
        for number in range(self.count) if order is None else order:
            yield self.read(int(number))

    def labels(self, number: int) -> Chunk:
        """Chunk `number` without x, where y and weights can be read alone."""
        raise NotImplementedError

    def layout(self) -> object:
        """What tells two sources apart whose windows would have other rows."""
        return None if self.rows is None else [int(n) for n in self.rows]
