"""Tables in files of Parquet, read by pyarrow."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.commands.blocks import Blocks
from fastnn.commands.kinds import Kind, date_of, gaps, is_gap
from fastnn.commands.told import shown
from fastnn.extras import needed

Array = NDArray[Any]

_ROWS_AT_A_TIME = 1 << 14
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


class ParquetBlocks(Blocks):
    """Rows of a file of Parquet.

    Raises:
        ImportError: pyarrow is not installed.
        ValueError: the file is broken, or two columns have the same name.
    """

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name = name
        self._arrow = needed("pyarrow", f"{name}: reading Parquet", "parquet")
        parquet = needed("pyarrow.parquet", f"{name}: reading Parquet", "parquet")
        try:
            self._file = parquet.ParquetFile(file)
        except self._arrow.ArrowException as error:
            raise ValueError(f"{name}: {error}") from None
        every = list(self._file.schema_arrow.names)
        self.names = [column for column in every if not _PANDAS_INDEX.fullmatch(column)]
        for column in self.names:
            if self.names.count(column) > 1:
                raise ValueError(f"{name}: two columns have the same name, {shown(column)}")
            if not column:
                raise ValueError(f"{name}: a column has no name")

    def _batches(self, chosen: Collection[str]) -> Iterator[Any]:
        fields = [self._file.schema_arrow.field(name) for name in self.names if name in chosen]
        for column in fields:
            self._kind(column.name, column.type)  # before anything is read
        paths = [
            path
            for i in range(len(self._file.schema))
            if (path := self._file.schema.column(i).path) in {field.name for field in fields}
        ]
        row = 0
        try:
            for batch in self._file.iter_batches(_ROWS_AT_A_TIME, columns=paths):
                yield batch, row
                row += len(batch)
        except (self._arrow.ArrowException, OSError) as error:
            raise ValueError(f"{self.name}: {error}") from None

    def _of_kinds(self, kinds: Mapping[str, Kind]) -> Iterator[dict[str, Array]]:
        for batch, row in self._batches(kinds):
            found = {}
            for name, kind in kinds.items():
                column = batch.column(batch.schema.get_field_index(name))
                is_kind, values = self._values(name, column, row)
                found[name] = self._of_kind(name, is_kind, values, kind, row)
            yield found

    def guessed(
        self, chosen: Collection[str], text: Collection[str]
    ) -> dict[str, tuple[Kind, Array]]:
        schema = self._file.schema_arrow
        kinds = {n: self._kind(n, schema.field(n).type) for n in self.names if n in chosen}
        kinds |= dict.fromkeys(text, "text")
        parts = list(self._of_kinds(kinds))
        found = {
            name: (kind, np.concatenate([gaps(kind, 0)] + [part[name] for part in parts]))
            for name, kind in kinds.items()
        }
        for name, (kind, values) in found.items():
            dates = _dates(values) if kind == "text" and name not in text else None
            if dates is not None:
                found[name] = ("date", dates)
        return found

    def _kind(self, name: str, kind: Any) -> Kind:
        types = self._arrow.types
        if types.is_dictionary(kind):
            kind = kind.value_type
        if types.is_boolean(kind):
            return "boolean"
        if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
            return "number"
        if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
            return "text"
        if types.is_date(kind) or types.is_timestamp(kind):
            return "date"
        if types.is_null(kind):
            return "empty"
        raise ValueError(
            f"{self.name}: column {shown(name)}: expected numbers, text, dates or booleans, got "
            f"{kind}"
        )

    def _values(self, name: str, column: Any, row: int) -> tuple[Kind, Array]:
        arrow = self._arrow
        kind = self._kind(name, column.type)
        if arrow.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if kind == "empty":
            return kind, gaps(kind, len(column))
        if kind == "date":
            moments = column.cast(arrow.timestamp("us"), safe=False)
            return kind, moments.to_numpy(zero_copy_only=False).astype("datetime64[us]")
        if kind == "number":
            numbers = column.cast(arrow.float64(), safe=False).to_numpy(zero_copy_only=False)
            bad = np.isinf(numbers)
            if bad.any():
                self._fail(name, row + int(bad.argmax()), "a finite number", numbers[bad.argmax()])
            return kind, numbers
        found = np.empty(len(column), object)
        found[:] = [None if value == "" else value for value in column.to_pylist()]
        return kind, found

    def _of_kind(self, name: str, found: Kind, values: Array, wanted: Kind, row: int) -> Array:
        """Values as the kind that a model has for the column."""
        if wanted == "empty":
            return np.full(len(values), np.nan)
        if found == "empty":
            return gaps(wanted, len(values))
        if found == wanted:
            return values
        if wanted in ("text", "boolean"):
            made = np.empty(len(values), object)
            gap = is_gap(values)
            made[:] = [None if g else _text(v) for v, g in zip(values, gap, strict=True)]
            return made
        if wanted == "number" or found != "text":
            kinds = "numbers" if wanted == "number" else "dates"
            raise ValueError(f"{self.name}: column {shown(name)}: expected {kinds}, got {found}")
        dates = gaps("date", len(values))
        for i, text in enumerate(values):
            if text is not None:
                date = date_of(text.strip())
                if date is None:
                    self._fail(name, row + i, "a date such as 2024-01-31", text)
                dates[i] = date
        return dates

    def _fail(self, name: str, row: int, wanted: str, given: Any) -> None:
        raise ValueError(
            f"{self.name}: row {row + 1}, column {shown(name)}: expected {wanted}, got {given!r}"
        )


def _dates(texts: Array) -> Array | None:
    """Texts as dates, as CSV and the estimators read them; None: one is another text, or all are gaps."""
    dates = gaps("date", len(texts))
    for i, text in enumerate(texts):
        if text is not None:
            date = date_of(text.strip())
            if date is None:
                return None
            dates[i] = date
    return None if is_gap(dates).all() else dates


def _text(value: Any) -> str:
    """A number or a date as CSV has it."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)
