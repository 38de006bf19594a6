"""Outputs of rows, as they come part by part: into an array of the caller, or into one of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


def check_out(out: object, rows: int | None, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """`out` as an array for outputs of rows of a shape.

    Raises:
        TypeError: it is no array of floats.
        ValueError: it has another shape, or cannot be written.
    """
    if not isinstance(out, np.ndarray) or out.dtype.kind != "f":
        told = f"{out.dtype}" if isinstance(out, np.ndarray) else f"{out!r:.60}"
        raise TypeError(f"out: expected an array of floats, such as {np.dtype(dtype)}, got {told}")
    expected = out.shape[1:] if out.ndim else ()
    if out.ndim == 0 or expected != shape or (rows is not None and len(out) != rows):
        told = f"({'n' if rows is None else rows}, {', '.join(map(str, shape))})"
        raise ValueError(f"out: expected shape {told}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out: cannot be written; open a memory map with mode='r+'")
    return out


class Kept:
    """Outputs that come part by part.

    Args:
        out: where they go; None: into a new array.
        rows: how many come, where that is known.
        shape: of a row.
        dtype: of the outputs.
    """

    def __init__(
        self,
        out: object,
        rows: int | None,
        shape: tuple[int, ...],
        dtype: DTypeLike = np.float32,
    ) -> None:
        self._shape = shape
        self._out = None if out is None else check_out(out, rows, shape, dtype)
        if out is None and rows is not None:
            self._out = np.empty((rows, *shape), dtype)
        self._parts: list[Array] = []
        self._done = 0

    def add(self, part: Array) -> None:
        """Keeps the next outputs, (rows, ...)."""
        part = part.reshape(-1, *self._shape)
        if self._out is None:
            self._parts.append(part)
            return
        stop = self._done + len(part)
        if stop > len(self._out):
            raise ValueError(f"out: expected as many rows as x has, got {len(self._out)}")
        self._out[self._done : stop] = part
        self._done = stop

    def all(self) -> Array:
        """All outputs; ValueError where `out` has more rows."""
        if self._out is None:
            return np.concatenate(self._parts)
        if self._done != len(self._out):
            raise ValueError(
                f"out: expected as many rows as x has, {self._done}, got {len(self._out)}"
            )
        return self._out


def filled(out: object, parts: list[Any]) -> Array:
    """`out` with outputs of one kind written to it."""
    if any(not isinstance(part, np.ndarray) for part in parts):
        raise ValueError("out: the model has several outputs, which do not go into one array")
    kept = Kept(out, sum(len(part) for part in parts), parts[0].shape[1:], parts[0].dtype)
    for part in parts:
        kept.add(part)
    return kept.all()
