"""Windows: chunks joined to so many rows that batches can be taken from them in a random order.

The order is a function of the model's key and the number of the pass alone. No model is known here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.data.chunk import Chunk, Source
from fastnn.data.filling import Buffers, Filling, Place
from fastnn.data.structures import mapped

# Keys of a pass: the first window has the model's own, so that one that holds all rows visits them
# as `fit` on arrays does.
_NEXT_WINDOW, _CHUNKS, _MASK = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 2**64 - 1


class Window(NamedTuple):
    """Rows to take batches from.

    `order`: the rows of its steps; None: the first `used`. `step`: its first in the pass.
    """

    x: Any
    y: Any
    weights: Any
    rows: int
    order: NDArray[np.int64] | None
    used: int
    step: int
    places: Sequence[Place]

    def located(self, row: int) -> tuple[str, int]:
        """The place that a row comes from, and its number there."""
        for place in self.places:
            if place.begin <= row < place.stop:
                return place.where, place.first + row - place.begin
        return "", row

    def indices(self) -> NDArray[np.int64]:
        """The rows of its steps, in their order."""
        return np.arange(self.used, dtype=np.int64) if self.order is None else self.order

    def batches(self, size: int) -> Iterator[tuple[Any, Any, Any]]:
        """x, y and weights of each step."""
        for begin in range(0, self.used, size):
            stop = min(begin + size, self.used)
            places = slice(begin, stop) if self.order is None else self.order[begin:stop]

            def part(array: Any, places: Any = places) -> Any:
                return array[places]

            yield mapped(part, self.x), mapped(part, self.y), mapped(part, self.weights)


class Windows:
    """The windows of one pass over a source.

    Args:
        source: of the chunks.
        size: rows of a window, at least; it takes whole chunks.
        batch: rows of a step. A window has whole batches; rows that are left over begin the next.
        shuffled: key and number of the pass, by which chunks, and the rows in a window, are in
            random order; None: all rows are in the order of the source.
        first_step: of the first window that is wanted, or a step in its middle.
        head: chunks that were read already from a source that can be read once.
    """

    def __init__(
        self,
        source: Source,
        size: int,
        batch: int,
        shuffled: tuple[int, int] | None = None,
        first_step: int = 0,
        head: Sequence[Chunk] = (),
    ) -> None:
        self._source = source
        self._size = max(size, batch)
        self._batch = batch
        self._shuffled = shuffled
        self._first = first_step
        self._head = head
        self._buffers = Buffers()
        self.ended = False  # set by the reader: nothing more is wanted

    def _order(self) -> NDArray[np.int64] | None:
        """The order of the chunks; None: as they are."""
        if self._shuffled is None or self._source.count is None:
            return None
        key, number = self._shuffled
        return _core.permutation(self._source.count, key ^ _CHUNKS, number)

    def _groups(self) -> list[list[int]] | None:
        """The chunks of each window, where that is known before they are read.

        They are read in the order of the source, which is no different after the rows are shuffled.
        """
        rows, order = self._source.rows, self._order()
        if rows is None:
            return None
        groups, filled = [list[int]()], 0
        for number in range(len(rows)) if order is None else order:
            if filled >= self._size:
                groups.append([])
                filled = 0
            groups[-1].append(int(number))
            filled += rows[number]
        return [sorted(group) for group in groups]

    def __iter__(self) -> Iterator[Window]:
        groups = self._groups()
        if groups is None:
            yield from self._unplanned()
        else:
            yield from self._planned(groups)

    def _planned(self, groups: list[list[int]]) -> Iterator[Window]:
        rows = self._source.rows
        assert rows is not None
        plan, left = [0], [0]  # the first step of each window, and the rows left over after it
        for group in groups:
            count = left[-1] + sum(rows[i] for i in group)
            plan.append(plan[-1] + count // self._batch)
            left.append(count % self._batch)
        left[-1] = 0
        begin = max(i for i, step in enumerate(plan[:-1]) if step <= self._first)
        rest: Chunk | None = None
        most = self._batch + max(sum(rows[i] for i in group) for group in groups)
        most = min(most, sum(rows))
        # The window before is read for the rows left over from it, which are of its own chunks.
        for number in range(max(0, begin - 1), len(groups)):
            filling = Filling(most, self._buffers)
            carried = self._carry(filling, rest)
            for i in groups[number]:
                if self.ended:
                    return
                filling.add(self._source.read(i))
            window, rest = self._window(
                filling, carried, number, plan[number], filling.length - left[number + 1]
            )
            del filling
            if number >= begin and window is not None:
                yield window
            del window

    def _unplanned(self) -> Iterator[Window]:
        chunks = itertools.chain(self._head, self._source.every(self._order()))
        number = step = 0
        rest: Chunk | None = None
        last = False
        while not last:
            filling = Filling(self._size + 2 * self._batch, self._buffers)
            carried = self._carry(filling, rest)
            while filling.length - carried < self._size and not last:
                if self.ended:
                    return
                chunk = next(chunks, None)
                if chunk is None:
                    last = True
                else:
                    filling.add(chunk)
                del chunk
            count = filling.length - (0 if last else filling.length % self._batch)
            window, rest = self._window(filling, carried, number, step, count)
            del filling
            if window is not None:
                number, step = number + 1, step + -(-window.used // self._batch)
                if step > self._first:
                    yield window
            del window

    def _carry(self, filling: Filling, rest: Chunk | None) -> int:
        """Lets a window begin with the rows that are left over from the one before; their number."""
        if rest is not None:
            filling.add(rest)
        return filling.length

    def _window(
        self, filling: Filling, carried: int, number: int, step: int, count: int
    ) -> tuple[Window | None, Chunk | None]:
        """The window of a pass by its number, of so many rows, and those that are left over."""
        rows = filling.length
        order = None
        if self._shuffled is not None and rows > carried:
            key, passed = self._shuffled
            mixed = _core.permutation(rows - carried, (key + number * _NEXT_WINDOW) & _MASK, passed)
            order = np.concatenate([np.arange(carried), mixed + carried]) if carried else mixed
        rest = None
        if count < rows:
            kept = order[count:] if order is not None else np.arange(count, rows)
            rest = Chunk(*filling.rows(kept))
        if count == 0:
            return None, rest
        parts = filling.rows(slice(0, rows))
        filling.end()
        if order is not None:
            order = order[:count]
        return Window(*parts, rows, order, count, step, filling.places), rest
