"""Tables in files: columns by their names, of kinds that are found or given, whole or some rows at a time.

CSV, and Parquet where pyarrow is installed; both also by gzip or from standard input.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.commands.csv_files import AS_IT_SEEMS, CsvFile, Reading, is_parquet, opened
from fastnn.commands.kinds import Fields, Guess, Kind
from fastnn.commands.told import several, shown

Array = NDArray[Any]


class Table(NamedTuple):
    """All rows of a file."""

    name: str
    columns: dict[str, Array]  # as the table of `kinds` says
    kinds: dict[str, Kind]
    rows: int


class Blocks:
    """Rows of an open file. `names`: of all its columns."""

    name: str
    names: list[str]

    def of_kinds(self, kinds: Mapping[str, Kind]) -> Iterator[dict[str, Array]]:
        """These columns, some rows at a time; other columns are not looked at.

        Raises:
            ValueError: a column is missing, or a value is of another kind.
        """
        self.check_names(kinds)
        return self._of_kinds(kinds)

    def check_names(self, wanted: Collection[str]) -> None:
        """ValueError for names that no column has."""
        missing = [name for name in wanted if name not in self.names]
        if len(missing) == 1:
            near = difflib.get_close_matches(missing[0], self.names[:10_000], n=1)
            hint = f"; did you mean {shown(near[0])}?" if near else ""
            raise ValueError(f"{self.name}: there is no column {shown(missing[0])}{hint}")
        if missing:
            raise ValueError(f"{self.name}: there are no columns {several(missing)}")

    def _of_kinds(self, kinds: Mapping[str, Kind]) -> Iterator[dict[str, Array]]:
        raise NotImplementedError

    def guessed(
        self, chosen: Collection[str], text: Collection[str]
    ) -> dict[str, tuple[Kind, Array]]:
        """The chosen columns whole, each of the kind that it seems to have, or text."""
        raise NotImplementedError


class CsvBlocks(Blocks):
    """Those of CSV."""

    def __init__(self, name: str, file: IO[bytes], reading: Reading) -> None:
        self.name = name
        self._file, self._reading = file, reading
        self._csv = CsvFile(name, file, reading)
        self.names = self._csv.names

    @property
    def _decimal_commas(self) -> bool:
        return self._csv.delimiter == ";"

    def _of_kinds(self, kinds: Mapping[str, Kind]) -> Iterator[dict[str, Array]]:
        places = {name: self.names.index(name) for name in kinds}
        known: dict[str, dict[str, str]] = {name: {} for name in kinds}
        for records in self._csv.records():
            found = {}
            for name, kind in kinds.items():
                fields = Fields(records, places[name], name, self._decimal_commas)
                found[name] = fields.of_kind(kind, known[name])
            yield found

    def guessed(
        self, chosen: Collection[str], text: Collection[str]
    ) -> dict[str, tuple[Kind, Array]]:
        guesses = {name: Guess(name in text) for name in chosen}
        self._add(guesses)
        lost = {name: Guess(is_text=True) for name, guess in guesses.items() if guess.lost}
        if lost:
            self._file.seek(0)
            self._csv = CsvFile(self.name, self._file, self._reading)
            self._add(lost)
        return {name: (guess.kind, guess.values()) for name, guess in (guesses | lost).items()}

    def _add(self, guesses: Mapping[str, Guess]) -> None:
        places = {name: self.names.index(name) for name in guesses}
        for records in self._csv.records():
            for name, guess in guesses.items():
                fields = Fields(records, places[name], name, self._decimal_commas)
                guess.add(fields, len(records.fields))


@contextlib.contextmanager
def blocks_of(path: str, reading: Reading = AS_IT_SEEMS, again: bool = False) -> Iterator[Blocks]:
    """The rows of a file; "-": of standard input.

    Raises:
        ValueError: it holds no table.
        ImportError: it is of Parquet, and pyarrow is not installed.
    """
    name = "stdin" if path == "-" else path
    with opened(path, again) as file:
        if is_parquet(file):
            from fastnn.commands.parquet import ParquetBlocks

            yield ParquetBlocks(name, file)
        else:
            yield CsvBlocks(name, file, reading)


def read_table(
    path: str,
    reading: Reading = AS_IT_SEEMS,
    *,
    drop: Collection[str] = (),
    text: Collection[str] = (),
    needed: Collection[str] = (),
) -> Table:
    """A table whose columns have the kinds that they seem to have.

    Args:
        path: of the file; "-": standard input.
        reading: how CSV is laid out.
        drop: names of columns that are left out.
        text: names of columns that are text, whatever they look like.
        needed: names of columns that have to be there.

    Raises:
        ValueError: a name is missing, there are no rows, or the file is broken.
    """
    with blocks_of(path, reading, again=True) as blocks:
        blocks.check_names([*needed, *drop, *text])
        chosen = [name for name in blocks.names if name not in drop]
        if not chosen:
            raise ValueError(f"{blocks.name}: all columns are left out")
        found = blocks.guessed(chosen, text)
        return _table(blocks.name, found)


def read_of_kinds(path: str, kinds: Mapping[str, Kind], reading: Reading = AS_IT_SEEMS) -> Table:
    """A table of these columns, of these kinds.

    Raises:
        ValueError: a column is missing, a value is of another kind, or there are no rows.
    """
    with blocks_of(path, reading) as blocks:
        parts = list(blocks.of_kinds(kinds))
        found = {
            name: (kind, np.concatenate([part[name] for part in parts]) if parts else np.empty(0))
            for name, kind in kinds.items()
        }
        return _table(blocks.name, found)


def _table(name: str, found: Mapping[str, tuple[Kind, Array]]) -> Table:
    columns = {column: values for column, (_, values) in found.items()}
    rows = len(next(iter(columns.values())))
    if rows == 0:
        raise ValueError(f"{name}: there are no rows")
    return Table(name, columns, {column: kind for column, (kind, _) in found.items()}, rows)
