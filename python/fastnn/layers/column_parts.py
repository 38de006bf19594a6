"""What a ColumnEncoding makes of columns: its outputs by NumPy, and the statistics of a column.

The layer is in `layers.columns`; models compute the same natively.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]


class Structure(NamedTuple):
    """What each column of an input becomes, in the order of columns."""

    levels: list[int]
    missing: list[bool]
    bins: list[int]

    @property
    def numbers(self) -> list[int]:
        return [j for j, count in enumerate(self.levels) if count == 0]

    @property
    def edges(self) -> int:
        return sum(count + 1 for count in self.bins if count)

    @property
    def width(self) -> int:
        numbers, gaps = self.numbers, 0
        width = len(numbers) + sum(self.bins)
        for count, missing in zip(self.levels, self.missing, strict=True):
            if count == 0:
                gaps += missing
            elif count == 2 and not missing:
                width += 1
            else:
                width += count + missing
        return width + gaps


def gaps_of(column: Floats, levels: int) -> NDArray[np.bool_]:
    gaps = np.isnan(column)
    return gaps | (column < 0) | (column >= levels) if levels else gaps


def refuse_infinite(column: Array, j: int) -> None:
    wrong = np.isinf(column)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"data: expected finite numbers, or NaN for a gap, got {column[row]} at row {row}, "
            f"column {j}"
        )


class Found(NamedTuple):
    """The statistics of a column of numbers."""

    fill: float
    center: float
    factor: float
    edges: Floats


def found_in(column: Floats, bins: int, kind: np.dtype[Any]) -> Found:
    known = column[~np.isnan(column)]
    if len(known) == 0:
        return Found(0.0, 0.0, 0.0, np.zeros(0))
    middle = float(np.median(known))
    # Quartiles of the column with its gaps filled, which draw them towards the middle.
    filled = np.where(np.isnan(column), middle, column)
    low, high = np.quantile(filled, [0.25, 0.75])
    width = high - low if high > low else 0.5 * known.max() - 0.5 * known.min()
    # A factor beyond the type of the model would make infinity of every number.
    factor = float(1 / width) if width > 1 / np.finfo(kind).max else 0.0
    # Those that are equal in the type of the model bound no bin.
    quantiles = np.quantile(filled, np.linspace(0, 1, bins + 1)).astype(kind)
    edges = np.unique(quantiles).astype(np.float64)
    return Found(middle, middle, factor, edges if len(edges) > 2 else np.zeros(0))


def encoded(structure: Structure, clip: float | None, x: Array, weights: dict[str, Array]) -> Array:
    """The outputs for rows x (n, columns), in the type of x."""
    one = x.dtype.type(1)
    numbers = structure.numbers
    parts: list[Array] = []
    gaps = np.isnan(x)
    filled = x[:, :0]
    if numbers:
        filled = np.where(gaps[:, numbers], weights["fill"], x[:, numbers])
        with np.errstate(over="ignore"):
            z = (filled - weights["center"]) * weights["factor"]
        if clip is not None:
            bound, most = x.dtype.type(clip), np.finfo(x.dtype).max
            z = np.clip(z, -most, most)
            z = z / np.hypot(one, z / bound)
        parts.append(z)
    place = 0
    for k, j in enumerate(numbers):
        if not structure.bins[j]:
            continue
        edges = weights["edges"][place : place + structure.bins[j] + 1]
        place += len(edges)
        low, high = edges[:-1], edges[1:]
        column = filled[:, k : k + 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (column - low) / (high - low)
        parts.append(np.where(column < low, 0 * one, np.where(column >= high, one, share)))
    told = [j for j in numbers if structure.missing[j]]
    parts.append(gaps[:, told].astype(x.dtype))
    for j, levels in enumerate(structure.levels):
        if levels:
            parts.append(_levels_of(x[:, j], levels, structure.missing[j]))
    return np.concatenate(parts, axis=1)


def _levels_of(codes: Array, levels: int, missing: bool) -> Array:
    known = (codes >= 0) & (codes < levels)
    if levels == 2 and not missing:
        return np.where(known, 2 * codes - 1, 0).astype(codes.dtype)[:, None]
    hot = codes[:, None] == np.arange(levels, dtype=codes.dtype)
    columns = np.concatenate([hot, ~known[:, None]], axis=1) if missing else hot
    return columns.astype(codes.dtype)


def check(layer: str, structure: Structure, x: Array) -> None:
    coded = np.array(structure.levels) > 0
    wrong = np.isinf(x)
    wrong |= coded & (np.floor(x) != x) & ~np.isnan(x)
    if wrong.any():
        row, column = (int(at) for at in np.argwhere(wrong)[0])
        expected = (
            "whole numbers of categories, or NaN for a missing one"
            if coded[column] and np.isfinite(x[row, column])
            else "finite numbers, or NaN for a gap"
        )
        raise ValueError(
            f"layer {layer!r}: expected {expected}, got {x[row, column]} at row {row}, column "
            f"{column}"
        )
