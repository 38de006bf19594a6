"""How commands write names, counts and tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from fastnn.console import columns


def shown(text: str) -> str:
    """A name or a value from a file in quotation marks, its control characters as escapes."""
    return repr(text) if len(text) <= 80 else repr(text[:77]) + "..."


def count(number: int, one: str, more: str | None = None) -> str:
    """ "1 row", "2,000 rows"."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def several(names: Sequence[str], most: int = 8) -> str:
    """Names one after the other, not more than `most` of them."""
    told = ", ".join(map(shown, names[:most]))
    return told if len(names) <= most else f"{told} and {len(names) - most:,} more"


def seconds(time: float) -> str:
    if time < 60:
        return f"{time:.1f} s"
    minutes, rest = divmod(round(time), 60)
    return f"{minutes} min {rest} s"


def size(bytes_: int) -> str:
    """ "812 bytes", "1.2 MB"."""
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if bytes_ >= least:
            return f"{bytes_ / least:.1f} {unit}"
    return count(bytes_, "byte")


def aligned(
    rows: Sequence[Sequence[str]], right: Sequence[int] = (), indent: str = "  "
) -> list[str]:
    """Lines of a table: cells one below the other, those of the columns `right` at its right edge."""
    if not rows:
        return []
    widths = [max(columns(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = []
        for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
            gap = " " * (width - columns(cell))
            cells.append(gap + cell if i in right else cell + gap)
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines
