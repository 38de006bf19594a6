"""Columns as a command understood them, in words: their kind, their gaps, what values they have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.commands.content import Column
from fastnn.commands.kinds import Kind, is_gap
from fastnn.commands.told import count
from fastnn.console import cut, printable

Array = NDArray[Any]

_SHOWN = 3  # values
_LETTERS = 20  # of a value
_MANY = 50  # values from which on a text may name each row


def described(columns: Mapping[str, Array], kinds: Mapping[str, Kind]) -> list[Column]:
    """A line for each column."""
    return [
        Column(name, kinds[name], _told(values, kinds[name])) for name, values in columns.items()
    ]


def identifiers(columns: Mapping[str, Array], kinds: Mapping[str, Kind]) -> list[str]:
    """Columns that seem to name rows: texts that are nearly all different, or whole numbers that go up by
    the same from row to row."""
    found = []
    for name, values in columns.items():
        there = values[~is_gap(values)]
        if len(there) < _MANY:
            continue
        if kinds[name] == "text":
            if len(set(there)) > 0.9 * len(there):
                found.append(name)
        elif kinds[name] == "number":
            steps = np.diff(there)
            if steps[0] != 0 and (steps == steps[0]).all() and (there == np.round(there)).all():
                found.append(name)
    return found


def short(text: str) -> str:
    """A value from a file, without control characters, and not too long."""
    text = printable(text)
    found = cut(text, _LETTERS)
    return found if found == text else found + "..."


def _told(values: Array, kind: Kind) -> str:
    gaps = is_gap(values)
    there = values[~gaps]
    missing = f"{count(int(gaps.sum()), 'gap')}" if gaps.any() else ""
    parts = [_values(there, kind) if len(there) else "", missing]
    return ", ".join(part for part in parts if part)


def _values(there: Array, kind: Kind) -> str:
    if kind in ("text", "boolean"):
        names, counts = np.unique(there.astype(str), return_counts=True)
        order = np.argsort(-counts, kind="stable")[:_SHOWN]
        told = ", ".join(short(str(names[i])) for i in order)
        more = ", ..." if len(names) > _SHOWN else ""
        return f"{count(len(names), 'value')} ({told}{more})"
    low, high = there.min(), there.max()
    if low == high:
        return f"{_one(low, kind)} alone"
    return f"{_one(low, kind)} to {_one(high, kind)}"


def _one(value: Any, kind: Kind) -> str:
    if kind == "date":
        day = str(value.astype("datetime64[D]"))
        return day if value == value.astype("datetime64[D]") else f"{day} {str(value)[11:19]}"
    return f"{value:.10g}"
