"""Rows of an open file, some at a time: what all forms of tables have in common, and those of CSV."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import IO, Any

from numpy.typing import NDArray

from fastnn.commands.csv_files import CsvFile, Reading
from fastnn.commands.kinds import Fields, Guess, Kind
from fastnn.commands.told import several, shown

Array = NDArray[Any]


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
