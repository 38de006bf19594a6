"""Feed: batches that a program makes as they are asked for, read ahead by one thread.

What is a source of batches, and what arrays, is decided here; what is in a batch is checked by the
loops that train on it.
"""

from __future__ import annotations

import threading
from array import array
from collections import abc, deque
from collections.abc import Callable, Iterator
from typing import Any, Literal, Self

import numpy as np

from fastnn.protocols import Position

Kind = Literal["indexed", "iterable", "iterator"]

# Batches that are read ahead.
_AHEAD = 2


def kind_of(x: object) -> Kind | None:
    """What kind of source of batches x is; None: arrays, or what becomes one.

    "indexed": `x[i]` is batch i of len(x), as of a Sequence; "iterator": it is read once;
    "iterable": each `iter(x)` begins anew, as of a DataLoader.
    """
    if x is None or isinstance(x, _ARE_ARRAYS):
        return None
    if hasattr(x, "__next__"):
        return "iterator"
    if any(hasattr(x, name) for name in _OF_ARRAYS) or _is_buffer(x):
        return None
    if hasattr(type(x), "__getitem__") and hasattr(type(x), "__len__"):
        return "indexed"
    return "iterable" if hasattr(type(x), "__iter__") else None


_ARE_ARRAYS = (np.ndarray, np.generic, abc.Sequence, abc.Mapping, abc.Set, array, int, float)
# Arrays, and tables of pandas, polars and Arrow.
_OF_ARRAYS = (
    *("__array__", "__array_interface__", "__dlpack__", "__dataframe__", "__arrow_c_stream__"),
    *("shape", "dtype"),
)


def _is_buffer(x: Any) -> bool:
    """Whether x lends its memory, as arrays of ctypes do. Before Python 3.12 no attribute says so."""
    try:
        memoryview(x).release()
    except TypeError:
        return False
    return True


class Feed:
    """A source of batches, over as many epochs as are asked for.

    Args:
        name: of the argument, for messages.
        source: an object of a `Kind`.
        steps: batches of an epoch; None: all that there are.
        order: (batches, epoch) -> the order of the batches of an epoch, for indexed ones; None: as
            they are.
    """

    def __init__(
        self,
        name: str,
        source: Any,
        steps: int | None,
        order: Callable[[int], Any] | None = None,
    ) -> None:
        kind = kind_of(source)
        assert kind is not None
        self.name = name
        self._source = source
        self._kind: Kind = kind
        self._given = steps
        self._order = order
        self._iterator: Iterator[Any] | None = source if kind == "iterator" else None
        self._fresh = True  # whether the iterator has given nothing yet
        self.ran_out = False  # whether fewer batches came than were asked for

    @property
    def steps(self) -> int | None:
        """Batches of an epoch, as far as that is known."""
        if self._given is not None:
            return self._given
        try:
            count = len(self._source)
        except TypeError:
            return None
        return count

    def _batches(self, first: int) -> Iterator[Any]:
        """The batches of one epoch, read as they are asked for."""
        if self._kind == "indexed":
            return self._indexed()
        return self._read(first)

    def _indexed(self) -> Iterator[Any]:
        count = len(self._source)
        if count < 1:
            raise ValueError(f"{self.name}: expected batches, got none: its len() is {count}")
        order = range(count) if self._order is None else self._order(count)
        for step in range(count if self._given is None else self._given):
            yield self._source[int(order[step % count])]

    def _read(self, first: int) -> Iterator[Any]:
        if first:
            self._source.begin_at(first)
        if self._iterator is None or (self._given is None and self._kind == "iterable"):
            self._iterator, self._fresh = iter(self._source), True
        wanted, made = self._given, first
        while wanted is None or made < wanted:
            try:
                batch = next(self._iterator)
            except StopIteration:
                if self._kind == "iterable" and not self._fresh and wanted is not None:
                    self._iterator, self._fresh = iter(self._source), True
                    continue
                self.ran_out = wanted is not None or made == 0
                return
            self._fresh = False
            made += 1
            yield batch

    def epoch(self, first: int = 0) -> Ahead:
        """The batches of the next epoch, in a `with` block that ends the thread.

        `first`: the number of its first batch, for a source with `begin_at`.
        """
        self.ran_out = False
        return Ahead(self._batches(first))

    def position(self, epoch: int, shuffled: bool) -> Position | None:
        """Where an epoch begins, for a source that can begin in its middle, too; None: it cannot."""
        if not hasattr(self._source, "begin_at") or self._given is not None:
            return None
        data = self._source.length or 0, self._source.size, shuffled
        return Position(epoch, data=data, layout=self._source.layout)

    def call(self, hook: str) -> None:
        """Calls a hook of the source, `on_epoch_begin` or `on_epoch_end`, where it has that."""
        found = getattr(self._source, hook, None)
        if callable(found):
            found()


class Ahead:
    """Reads an iterator in a thread, at most so many items ahead; what it raises comes in its place."""

    def __init__(self, items: Iterator[Any], most: int = _AHEAD) -> None:
        self._items = items
        self._most = most
        self._found: deque[Any] = deque()
        self._change = threading.Condition()
        self._ended = False  # the reader has left: the thread stops
        self._last = False  # the thread has made its last item
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fastnn batches", daemon=True)

    def _run(self) -> None:
        try:
            for item in self._items:
                with self._change:
                    self._found.append(item)
                    self._change.notify_all()
                    self._change.wait_for(lambda: self._ended or len(self._found) < self._most)
                    if self._ended:
                        return
        except BaseException as error:  # noqa: BLE001 - it is raised where the item is asked for
            self._error = error
        finally:
            with self._change:
                self._last = True
                self._change.notify_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __iter__(self) -> Ahead:
        return self

    def __next__(self) -> Any:
        with self._change:
            # With a time limit the wait lets Ctrl-C through on every system.
            while not self._found and not self._last:
                self._change.wait(0.5)
            if self._found:
                item = self._found.popleft()
                self._change.notify_all()
                return item
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        raise StopIteration

    def __exit__(self, *_: object) -> None:
        with self._change:
            self._ended = True
            self._found.clear()
            self._change.notify_all()
        # It ends once the batch that it makes now is made; a program that waits in there for ever
        # is not waited for.
        self._thread.join(timeout=5.0)
