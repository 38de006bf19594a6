"""Chunks of Parquet: the row groups of files, read by pyarrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.chunk import Chunk, Source
from fastnn.extras import needed

Array = NDArray[Any]


class ParquetSource(Source):
    """Row groups of files; columns are numbers or lists of as many numbers in each row.

    Args:
        paths: of the files, which have the same columns.
        x: columns of x; None: all but those of y and weights.
        y: the column of y, or several; None: there is none.
        weights: the column of weights, or None.

    Raises:
        ImportError: pyarrow is not installed.
        ValueError: a file is broken, or has no column of a name.
    """

    apart = True

    def __init__(
        self,
        paths: Sequence[str],
        x: Sequence[str] | None,
        y: str | Sequence[str] | None,
        weights: str | None,
    ) -> None:
        self._arrow = needed("pyarrow", "Chunks of Parquet", "parquet")
        self._parquet = needed("pyarrow.parquet", "Chunks of Parquet", "parquet")
        self._paths = list(paths)
        self._y, self._weights = y, weights
        self._groups: list[tuple[int, int, int]] = []  # file, group, its first row
        self.rows = rows = list[int]()
        self._x: list[str] = list(x or ())
        for number, path in enumerate(self._paths):
            with self._opened(path) as file:
                names = list(file.schema_arrow.names)
                if x is None and number == 0:
                    beside = {*_listed(y), *_listed(weights)}
                    self._x = [name for name in names if name not in beside]
                for name in (*self._x, *_listed(y), *_listed(weights)):
                    if name not in names:
                        raise ValueError(
                            f"{path}: expected a column {name!r}, got {', '.join(names)}"
                        )
                first = 0
                for group in range(file.num_row_groups):
                    n = file.metadata.row_group(group).num_rows
                    self._groups.append((number, group, first))
                    rows.append(n)
                    first += n
        self.count = len(self._groups)

    def _opened(self, path: str) -> Any:
        try:
            return self._parquet.ParquetFile(path)
        except self._arrow.ArrowException as why:
            raise ValueError(f"{path}: {why}") from None

    def _table(self, number: int, columns: list[str]) -> Any:
        path = self._paths[self._groups[number][0]]
        try:
            with self._opened(path) as file:
                return file.read_row_group(
                    self._groups[number][1], columns=columns, use_threads=False
                )
        except (self._arrow.ArrowException, OSError) as why:
            raise ValueError(f"{path}: row group {self._groups[number][1]}: {why}") from None

    def read(self, number: int) -> Chunk:
        beside = [*_listed(self._y), *_listed(self._weights)]
        table = self._table(number, [*self._x, *beside])
        return self._chunk(number, table, self._matrix(number, table, self._x))

    def labels(self, number: int) -> Chunk:
        """The chunk without x."""
        table = self._table(number, [*_listed(self._y), *_listed(self._weights)])
        return self._chunk(number, table, None)

    def _chunk(self, number: int, table: Any, x: Array | None) -> Chunk:
        file, _, first = self._groups[number]
        y = None
        if isinstance(self._y, str):
            y = self._column(number, table, self._y)
        elif self._y is not None:
            y = self._matrix(number, table, self._y)
        weights = None
        if self._weights is not None:
            weights = self._column(number, table, self._weights)
        return Chunk(x, y, weights, self._paths[file], first)

    def _matrix(self, number: int, table: Any, names: Sequence[str]) -> Array:
        columns = [self._column(number, table, name) for name in names]
        if not columns:
            raise ValueError(f"{self._paths[self._groups[number][0]]}: there is no column of x")
        if len(columns) == 1 and columns[0].ndim == 2:
            return columns[0]
        parts = [c if c.ndim == 2 else c[:, None] for c in columns]
        made = np.empty((len(table), sum(p.shape[1] for p in parts)), np.result_type(*parts))
        place = 0
        for part in parts:
            made[:, place : place + part.shape[1]] = part
            place += part.shape[1]
        return made

    def _column(self, number: int, table: Any, name: str) -> Array:
        """Numbers (n,), or (n, length) of lists; what is missing is NaN."""
        path, types = self._paths[self._groups[number][0]], self._arrow.types
        column = table.column(name).combine_chunks()
        kind = column.type
        n = len(column)
        if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            flat = column.flatten()
            width = kind.list_size if types.is_fixed_size_list(kind) else len(flat) // max(n, 1)
            lengths = column.value_lengths() if hasattr(column, "value_lengths") else None
            uneven = lengths is not None and any(v != width for v in lengths.unique().to_pylist())
            if uneven or len(flat) != n * width:
                raise ValueError(f"{path}: column {name!r}: expected lists of one length")
            return self._numbers(path, name, flat).reshape(n, width)
        return self._numbers(path, name, column)

    def _numbers(self, path: str, name: str, column: Any) -> Array:
        types = self._arrow.types
        kind = column.type
        if not (types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind)):
            raise TypeError(f"{path}: column {name!r}: expected numbers, got {kind}")
        found: Array = column.to_numpy(zero_copy_only=False)
        if found.dtype.kind == "O":  # booleans of which some are missing
            found = np.array([np.nan if v is None else float(v) for v in found])
        return found


def _listed(names: str | Sequence[str] | None) -> list[str]:
    if names is None:
        return []
    return [names] if isinstance(names, str) else list(names)
