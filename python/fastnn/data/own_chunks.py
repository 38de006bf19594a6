"""Chunks that a program makes: a sequence of them, something to iterate over, or a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastnn.data.chunk import Chunk, Source


def chunk_of(item: Any, number: int) -> Chunk:
    """A chunk x, (x,), (x, y) or (x, y, sample_weight)."""
    where = f"chunk {number}"
    if isinstance(item, Chunk):
        return item
    if isinstance(item, (tuple, list)) and 1 <= len(item) <= 3:
        x, y, weights = (*item, None, None)[:3]
        return Chunk(x, y, weights, where)
    if isinstance(item, (tuple, list)):
        raise ValueError(  # noqa: TRY004 - a tuple of another length
            f"{where}: expected x, (x, y) or (x, y, sample_weight), got a "
            f"{type(item).__name__} of {len(item)}"
        )
    return Chunk(item, where=where)


class SequenceSource(Source):
    """`chunks[i]` of an object with len()."""

    def __init__(self, chunks: Any) -> None:
        self._chunks = chunks

    @property
    def count(self) -> int:  # type: ignore[override]
        """It may change from epoch to epoch."""
        return len(self._chunks)

    def read(self, number: int) -> Chunk:
        return chunk_of(self._chunks[number], number)

    def layout(self) -> object:
        return self.count


class IterableSource(Source):
    """What is iterated over anew for each pass: an object, or what a function returns."""

    def __init__(self, begin: Callable[[], Iterable[Any]], *, again: bool) -> None:
        self._begin = begin
        self.again = again
        self._once = None if again else self._read()

    def _read(self) -> Iterator[Chunk]:
        for number, item in enumerate(self._begin()):
            yield chunk_of(item, number)

    def every(self, order: Iterable[int] | None = None) -> Iterator[Chunk]:
        del order
        return self._read() if self._once is None else self._once

    def read(self, number: int) -> Chunk:
        raise TypeError(f"chunk {number}: chunks that are iterated over have no numbers")
