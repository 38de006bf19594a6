"""Tables in files: columns by their names, of kinds that are found or given, whole or some rows at a time.

CSV, and Parquet where pyarrow is installed; both also by gzip or from standard input.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.commands.blocks import Blocks, CsvBlocks
from fastnn.commands.csv_files import AS_IT_SEEMS, Reading, is_parquet, opened
from fastnn.commands.kinds import Kind
from fastnn.commands.parquet import ParquetBlocks

Array = NDArray[Any]


class Table(NamedTuple):
    """All rows of a file."""

    name: str
    columns: dict[str, Array]  # as the table of `kinds` says
    kinds: dict[str, Kind]
    rows: int


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
    """A table whose columns have the kinds that they seem to have; see `whole`."""
    with blocks_of(path, reading, again=True) as blocks:
        return whole(blocks, drop=drop, text=text, needed=needed)


def whole(
    blocks: Blocks,
    *,
    drop: Collection[str] = (),
    text: Collection[str] = (),
    needed: Collection[str] = (),
) -> Table:
    """All rows of a file that was opened to be read again, of the kinds that columns seem to have.

    Args:
        blocks: the file.
        drop: names of columns that are left out.
        text: names of columns that are text, whatever they look like.
        needed: names of columns that have to be there.

    Raises:
        ValueError: a name is missing, there are no rows, or the file is broken.
    """
    blocks.check_names([*needed, *drop, *text])
    chosen = [name for name in blocks.names if name not in drop]
    if not chosen:
        raise ValueError(f"{blocks.name}: all columns are left out")
    return _table(blocks.name, blocks.guessed(chosen, [name for name in text if name in chosen]))


def read_of_kinds(path: str, kinds: Mapping[str, Kind], reading: Reading = AS_IT_SEEMS) -> Table:
    """A table of these columns, of these kinds.

    Raises:
        ValueError: a column is missing, a value is of another kind, or there are no rows.
    """
    with blocks_of(path, reading) as blocks:
        return whole_of_kinds(blocks, kinds)


def whole_of_kinds(blocks: Blocks, kinds: Mapping[str, Kind]) -> Table:
    """All rows of an open file, of these columns and kinds; errors as of `read_of_kinds`."""
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
