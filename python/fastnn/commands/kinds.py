"""Kinds of columns, and fields of CSV as arrays of a kind.

| kind    | fields                                   | array                                     |
|---------|------------------------------------------|-------------------------------------------|
| number  | numbers, with gaps                       | float64, a gap as NaN                     |
| boolean | true and false, in letters of any case   | objects False, True, a gap as None        |
| date    | ISO 8601, with or without time           | datetime64[us] in UTC, a gap as NaT       |
| text    | all else                                 | objects, str, a gap as None               |
| empty   | gaps alone                               | float64, NaN                              |

Gaps are empty fields and the words of `MISSING`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastnn.commands.csv_files import Records
from fastnn.commands.told import shown

Array = NDArray[Any]
Kind = Literal["number", "boolean", "date", "text", "empty"]

MISSING = frozenset(
    ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "null", "NULL", "Null", "?"]
)
_BOOLEANS = {"true": True, "false": False}
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?) ?(Z|[+-]\d\d:?\d\d)?)?"
)
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?")


class Fields:
    """The fields of one column in some records."""

    def __init__(self, records: Records, column: int, name: str, decimal_commas: bool) -> None:
        self._records = records
        self._name = name
        self._decimal_commas = decimal_commas
        self._given = [fields[column] for fields in records.fields]

    def number(self) -> Array | None:
        """As numbers; None: a field is neither a number nor a gap.

        Raises:
            ValueError: one is infinite.
        """
        given: Sequence[Any] = self._given
        found = _floats(given)
        if found is None:
            given = ["nan" if field.strip() in MISSING else field for field in given]
            found = _floats(given)
        if found is None and self._decimal_commas:
            found = _floats(
                [f.replace(",", ".") if _DECIMAL_COMMA.fullmatch(f.strip()) else f for f in given]
            )
        if found is not None:
            self._check_finite(found)
        return found

    def _check_finite(self, found: Array) -> None:
        bad = np.isinf(found)
        if bad.any():
            record = int(bad.argmax())
            raise ValueError(
                f"{self._records.place(record, self._name)}: expected a finite number, got "
                f"{shown(self._given[record])}"
            )

    def boolean(self) -> Array | None:
        return self._mapped(_BOOLEANS.get, str.lower)

    def date(self) -> Array | None:
        found = np.full(len(self._given), "NaT", "datetime64[us]")
        known: dict[str, Any] = {}
        for i, field in enumerate(self._given):
            text = field.strip()
            if text in MISSING:
                continue
            value = known.get(text)
            if value is None:
                value = date_of(text)
                if value is None:
                    return None
                known[text] = value
            found[i] = value
        return found

    def text(self, known: dict[str, str]) -> Array:
        """As objects; `known`: one str for each value, shared by all blocks."""
        found = np.empty(len(self._given), object)
        stripped = map(str.strip, self._given)
        found[:] = [None if f in MISSING else known.setdefault(f, f) for f in stripped]
        return found

    def _mapped(self, values: Any, prepare: Any) -> Array | None:
        stripped = [field.strip() for field in self._given]
        found = [None if field in MISSING else values(prepare(field)) for field in stripped]
        if any(v is None and f not in MISSING for v, f in zip(found, stripped, strict=True)):
            return None
        made = np.empty(len(found), object)
        made[:] = found
        return made

    @property
    def is_empty(self) -> bool:
        return all(field.strip() in MISSING for field in self._given)

    def as_kind(self, kind: Kind, known: dict[str, str]) -> Array | None:
        """As a kind; None: a field is of another."""
        match kind:
            case "number" | "empty":
                return self.number()
            case "boolean":
                return self.boolean()
            case "date":
                return self.date()
            case _:
                return self.text(known)

    def of_kind(self, kind: Kind, known: dict[str, str]) -> Array:
        """As the kind that a model has for the column.

        A word among booleans stays as it is: for the model it is a value that it has not seen. A
        column that was empty in training takes anything, and is empty.

        Raises:
            ValueError: a field is of another kind, with its line.
        """
        if kind == "empty":
            return np.full(len(self._given), np.nan)
        found = self.as_kind(kind, known)
        if found is not None:
            return found
        if kind == "boolean":
            words = self.text(known)
            words[:] = [w if w is None else _BOOLEANS.get(w.lower(), w) for w in words]
            return words
        record = next(i for i, field in enumerate(self._given) if not self._fits(field, kind))
        wanted = "a number" if kind == "number" else "a date such as 2024-01-31"
        raise ValueError(
            f"{self._records.place(record, self._name)}: expected {wanted}, got "
            f"{shown(self._given[record])}"
        )

    def _fits(self, field: str, kind: Kind) -> bool:
        field = field.strip()
        if field in MISSING:
            return True
        if kind == "date":
            return date_of(field) is not None
        comma = self._decimal_commas and _DECIMAL_COMMA.fullmatch(field)
        return _floats([field.replace(",", ".") if comma else field]) is not None


class Guess:
    """The kind of a column as its blocks come, and its values.

    A column whose kind is not that of blocks before is text; the numbers before are then no longer
    the text that they were, and `lost` says that the file has to be read again.
    """

    def __init__(self, is_text: bool = False) -> None:
        self.kind: Kind = "text" if is_text else "empty"
        self.lost = False
        self._blocks: list[Array | int] = []  # arrays, or counts of gaps while there is no value
        self._known: dict[str, str] = {}

    def add(self, fields: Fields, count: int) -> None:
        if self.lost:
            return
        if self.kind == "empty":
            if fields.is_empty:
                self._blocks.append(count)
                return
            self.kind = _kind_of(fields)
        found = fields.as_kind(self.kind, self._known)
        if found is None:
            self.lost = any(not isinstance(block, int) for block in self._blocks)
            self.kind = "text"
            if self.lost:
                self._blocks = []
                return
            found = fields.text(self._known)
        self._blocks.append(found)

    def values(self) -> Array:
        empty = gaps(self.kind, 0)
        return np.concatenate(
            [empty] + [gaps(self.kind, b) if isinstance(b, int) else b for b in self._blocks]
        )


def gaps(kind: Kind, rows: int) -> Array:
    """A column that has no value."""
    if kind == "date":
        return np.full(rows, "NaT", "datetime64[us]")
    return np.full(rows, np.nan) if kind in ("number", "empty") else np.full(rows, None, object)


def is_gap(values: Array) -> NDArray[np.bool_]:
    """Where a column has no value."""
    if values.dtype.kind == "O":
        return np.array([value is None for value in values], bool)
    return np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)


def _kind_of(fields: Fields) -> Kind:
    if fields.number() is not None:
        return "number"
    if fields.boolean() is not None:
        return "boolean"
    return "text" if fields.date() is None else "date"


def _floats(given: Sequence[str]) -> Array | None:
    """Numbers as Python reads them, but for its 1_000."""
    try:
        found = np.array(given, np.float64)
    except ValueError:
        return None
    return None if "_" in "".join(given) else found


def date_of(text: str) -> Any:
    parts = _DATE.fullmatch(text)
    if parts is None:
        return None
    day, time, zone = parts.groups()
    try:
        found = np.datetime64(day if time is None else f"{day}T{time}", "us")
    except ValueError:
        return None
    if zone is None or zone == "Z":
        return found
    minutes = int(zone[1:3]) * 60 + int(zone[-2:])
    shift = np.timedelta64(minutes if zone[0] == "+" else -minutes, "m")
    return found - shift
