"""Filling: rows of chunks, put behind each other in arrays that make a window."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.arrays.host import numeric
from fastnn.data.chunk import Chunk
from fastnn.data.structures import Form, form_of, is_mapping, is_several
from fastnn.words import within

Array = NDArray[Any]


class Place(NamedTuple):
    """Where rows of a window come from."""

    begin: int  # in the window
    stop: int
    where: str
    first: int  # the row there that the first is


class Buffers:
    """Arrays of windows that are no longer used, for the next: new memory costs as much as reading.

    An array is free once only this object refers to it; views refer to their array. For each name
    two are kept: that of the window that trains, and that of the one that is ready.
    """

    def __init__(self) -> None:
        self._kept: dict[str, deque[Array]] = {}

    def empty(self, name: str, rows: int, shape: tuple[int, ...], dtype: Any) -> Array:
        """An array of at least so many rows, with any numbers in it."""
        kept = self._kept.get(name)
        if kept is not None and len(kept) == 2:
            oldest = kept.popleft()
            fits = oldest.dtype == dtype and oldest.shape[1:] == shape and len(oldest) >= rows
            # Versions of Python differ in whether the argument of the call counts, too.
            free = np.empty(0)
            if fits and sys.getrefcount(oldest) <= sys.getrefcount(free):
                return oldest
        return np.empty((rows, *shape), dtype)

    def keep(self, name: str, array: Array) -> None:
        """Takes an array that is in use, for the time when it no longer is."""
        self._kept.setdefault(name, deque(maxlen=2)).append(array)


class _Column:
    """The rows of one array."""

    def __init__(self, name: str, array: Array) -> None:
        self.name = name
        self.array = array

    def append(self, leaf: Any, begin: int, stop: int, room: int) -> None:
        kept = self.array
        if leaf.shape[1:] != kept.shape[1:]:
            raise ValueError(
                f"{self.name}: expected rows of shape {kept.shape[1:]}, as before, got "
                f"{tuple(leaf.shape[1:])}"
            )
        dtype = kept.dtype
        if leaf.dtype != dtype:
            dtype = np.promote_types(dtype, leaf.dtype)
        if stop > len(kept) or dtype != kept.dtype:
            grown = np.empty((max(min(room, 2 * len(kept)), stop), *kept.shape[1:]), dtype)
            grown[:begin] = kept[:begin]
            self.array = kept = grown
        out = kept[begin:stop]
        if hasattr(leaf, "into") and leaf.dtype == kept.dtype:
            leaf.into(out)
        else:
            out[:] = leaf.loaded() if hasattr(leaf, "loaded") else leaf


class _Group:
    """The columns of x, of y or of weights, in the structure that the chunks have."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.form: Form | None = None  # None: no rows yet, or there is no such group
        self.columns: list[_Column] = []

    def leaves(self, value: Any) -> list[Any]:
        """The arrays of a chunk, as numbers in the byte order of this machine."""
        form = _form(value, x=self.name == "x")
        if self.form is None:
            self.form = form
        elif form != self.form:
            raise ValueError(
                f"{self.name}: expected {_told(self.form)}, as before, got {_told(form)}"
            )
        found = form.leaves(value)
        return [self._leaf(f"{self.name}{_index(form, i)}", leaf) for i, leaf in enumerate(found)]

    def _leaf(self, name: str, leaf: Any) -> Any:
        if hasattr(leaf, "into") and leaf.dtype.isnative and leaf.dtype.kind in "biuf":
            return leaf
        if hasattr(leaf, "loaded"):
            leaf = leaf.loaded()
        found = numeric(name, leaf, missing_is_nan=self.name == "y")
        if found.ndim == 0:
            raise ValueError(f"{name}: expected rows, got a single number")
        return found

    def put(self, leaves: list[Any], begin: int, stop: int, room: int, buffers: Buffers) -> None:
        assert self.form is not None
        if not self.columns:
            for i, leaf in enumerate(leaves):
                name = f"{self.name}{_index(self.form, i)}"
                shape = tuple(leaf.shape[1:])
                try:
                    array = buffers.empty(name, room, shape, leaf.dtype)
                except (MemoryError, ValueError, OverflowError):
                    # A window may be said to hold more rows than will ever come: it grows.
                    array = buffers.empty(name, stop - begin, shape, leaf.dtype)
                self.columns.append(_Column(name, array))
        for column, leaf in zip(self.columns, leaves, strict=True):
            column.append(leaf, begin, stop, room)

    def rows(self, places: Any) -> Any:
        if self.form is None:
            return None
        return self.form.like([column.array[places] for column in self.columns])


def _form(value: Any, *, x: bool) -> Form:
    if is_mapping(value):
        return form_of(value)
    several = isinstance(value, (list, tuple)) and len(value) > 0
    if x:
        several = several and is_several(value)
    elif several:
        several = all(getattr(part, "ndim", 0) >= 1 for part in value)
    return form_of(value) if several else Form()


def _index(form: Form, place: int) -> str:
    if form.kind is None:
        return ""
    return f"[{form.names[place]!r}]" if form.kind is dict else f"[{place}]"


def _told(form: Form) -> str:
    return "an array" if form.kind is None else f"a {form.kind.__name__} of {form.outputs} arrays"


class Filling:
    """Chunks behind each other.

    Args:
        room: the rows for which memory is taken at first.
        buffers: where that comes from, and goes to.
    """

    def __init__(self, room: int, buffers: Buffers | None = None) -> None:
        self._room = room
        self._buffers = Buffers() if buffers is None else buffers
        self._groups = (_Group("x"), _Group("y"), _Group("sample_weight"))
        self.places: list[Place] = []
        self.length = 0

    def add(self, chunk: Chunk) -> None:
        """Puts the rows of a chunk behind those that are there; none are nothing.

        Raises:
            TypeError, ValueError: they are no numbers, or do not go with those before; the message
                names the place that they come from.
        """
        with within(chunk.where) if chunk.where else contextlib.nullcontext():
            given = (chunk.x, chunk.y, chunk.weights)
            found = [
                None if value is None else group.leaves(value)
                for group, value in zip(self._groups, given, strict=True)
            ]
            counts = {
                (group.name, leaf.shape[0])
                for group, leaves in zip(self._groups, found, strict=True)
                for leaf in leaves or ()
            }
            if len({n for _, n in counts}) > 1:
                told = ", ".join(f"{n} rows of {name}" for name, n in sorted(counts))
                raise ValueError(f"expected as many rows of each, got {told}")
            rows = next((n for _, n in counts), 0)
            if rows == 0:
                return
            begin, stop = self.length, self.length + rows
            for group, leaves in zip(self._groups, found, strict=True):
                if begin and bool(group.columns) != (leaves is not None):
                    there = "there is" if leaves is not None else "there is no"
                    raise ValueError(f"{there} {group.name}, unlike in the chunks before")
            for group, leaves in zip(self._groups, found, strict=True):
                if leaves is not None:
                    group.put(leaves, begin, stop, self._room, self._buffers)
            self.places.append(Place(begin, stop, chunk.where, chunk.first))
            self.length = stop

    def rows(self, places: Any) -> tuple[Any, Any, Any]:
        """x, y and weights of some rows: of a slice views, of indices copies."""
        x, y, weights = (group.rows(places) for group in self._groups)
        return x, y, weights

    def end(self) -> None:
        """Leaves the arrays to the windows that come, once the rows of this one are not used."""
        for group in self._groups:
            for column in group.columns:
                self._buffers.keep(column.name, column.array)
