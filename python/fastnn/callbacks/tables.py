"""Tables of values for notebooks, in HTML whose text is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from fastnn.callbacks.told import short

# Rows that are shown: the first ones, and the last ones.
_FIRST, _LAST = 5, 10


def html_of(columns: Mapping[str, Sequence[Any]], epochs: Sequence[int]) -> str:
    """A table with a row for each epoch, in whose middle rows may be left out."""
    count = max(map(len, columns.values()), default=0)
    numbers = list(epochs) if len(epochs) == count else list(range(count))
    lines = [_row("th", ["epoch", *columns])]
    shown = list(range(count))
    if count > _FIRST + _LAST + 1:
        shown = [*shown[:_FIRST], -1, *shown[-_LAST:]]
    for place in shown:
        if place < 0:
            lines.append(_row("td", ["\u2026"] * (len(columns) + 1)))
            continue
        values = [short(column[place]) for column in columns.values()]
        lines.append(_row("td", [str(numbers[place] + 1), *values]))
    return f"<table>{''.join(lines)}</table>"


def _row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
