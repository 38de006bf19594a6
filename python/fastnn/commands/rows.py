"""Rows of numbers in files, some at a time: CSV, and arrays of numpy.save.

Errors name the file and the place: of CSV the row, the line and the column, all counted from 1; of
an array the index.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastnn.layers.base import Shape

Array = NDArray[Any]
Header = Literal["auto", "yes", "no"]

_MAGIC = b"\x93NUMPY"


class Rows(ABC):
    """Rows of one file."""

    header: list[str] | None = None  # names of the columns

    @abstractmethod
    def batches(self, shape: Shape, most: int) -> Iterator[Array]:
        """All rows, (n, *shape), at most `most` of them at a time; ValueError for what is no row."""

    @abstractmethod
    def place(self, row: int, column: int) -> str:
        """Where a number of the last batch is, for errors."""

    def check_finite(self, x: Array, dtype: str) -> None:
        """ValueError for NaN, infinity and what is infinite in `dtype`, with its place."""
        if x.dtype.kind != "f":
            return
        with np.errstate(over="ignore"):
            bad = ~np.isfinite(x.astype(dtype, copy=False)).reshape(len(x), -1)
        if bad.any():
            row, column = (int(i) for i in np.unravel_index(bad.argmax(), bad.shape))
            value = x.reshape(len(x), -1)[row, column]
            of = f" of {dtype}" if np.isfinite(value) else ""
            raise ValueError(
                f"{self.place(row, column)}: expected a finite number{of}, got {value}"
            )


@contextlib.contextmanager
def rows_of(path: str, delimiter: str, header: Header) -> Iterator[Rows]:
    """The rows of a file; "-": of CSV from standard input."""
    if path == "-":
        # What is read is no more than is asked for, and stdin stays open.
        text = io.TextIOWrapper(sys.stdin.buffer, "utf-8-sig", newline="")
        try:
            yield CsvRows("stdin", text, delimiter, header)
        finally:
            text.detach()
        return
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib takes long to import
        begin = file.peek(len(_MAGIC))[: len(_MAGIC)]  # which a pipe has once only
        if begin == _MAGIC:
            yield ArrayRows(path)
            return
        if begin.startswith(b"PK"):
            raise ValueError(f"{path}: expected CSV or an array of numpy.save, got a zip archive")
        yield CsvRows(path, io.TextIOWrapper(file, "utf-8-sig", newline=""), delimiter, header)


class CsvRows(Rows):
    """Lines of fields."""

    def __init__(self, name: str, file: io.TextIOWrapper, delimiter: str, header: Header) -> None:
        self._name = name
        self._lines = csv.reader(file, delimiter=delimiter, strict=True)
        self._numbers: list[int] = []  # of the lines of the last batch
        self._read = 0  # rows before the last batch
        self._first = self._next()
        if self._first is not None and _is_header(self._first, header):
            self.header = [field.strip() for field in self._first]
            self._first = self._next()

    def batches(self, shape: Shape, most: int) -> Iterator[Array]:
        width = math.prod(shape)
        if self.header is not None and len(self.header) != width:
            told = f"expected names of {width} columns, got {len(self.header)}"
            raise ValueError(f"{self._name}: header: {told}: {','.join(self.header):.80}")
        fields, self._first = self._first, None
        if fields is None:
            raise ValueError(f"{self._name}: there are no rows")
        while fields is not None:
            self._read += len(self._numbers)
            self._numbers = []
            found: list[list[str]] = []
            while fields is not None and len(found) < most:
                self._numbers.append(self._lines.line_num)
                if len(fields) != width:
                    raise ValueError(
                        f"{self._row(len(found))}: expected {width} columns, got {len(fields)}"
                    )
                found.append(fields)
                fields = self._next()
            yield self._array(found).reshape(-1, *shape)

    def place(self, row: int, column: int) -> str:
        name = "" if self.header is None else f" {self.header[column]!r}"
        return f"{self._row(row)}, column {column + 1}{name}"

    def _row(self, row: int) -> str:
        return f"{self._name}: row {self._read + row + 1} (line {self._numbers[row]})"

    def _next(self) -> list[str] | None:
        """The fields of the next line that is not empty; None: there is none."""
        try:
            for fields in self._lines:
                if fields:
                    return fields
        except csv.Error as error:
            raise ValueError(f"{self._name}: line {self._lines.line_num}: {error}") from None
        except UnicodeDecodeError as error:
            line = self._lines.line_num + 1
            raise ValueError(f"{self._name}: near line {line}: no UTF-8: {error.reason}") from None
        return None

    def _array(self, found: list[list[str]]) -> Array:
        with contextlib.suppress(ValueError):
            if not any("_" in field for fields in found for field in fields):
                return np.array(found, np.float64)
        return np.array(
            [
                [self._number(field, row, column) for column, field in enumerate(fields)]
                for row, fields in enumerate(found)
            ]
        )

    def _number(self, field: str, row: int, column: int) -> float:
        number = _number_in(field)
        if number is None:
            given = repr(field) if field.strip() else "an empty field"
            raise ValueError(f"{self.place(row, column)}: expected a number, got {given:.80}")
        return number


def _number_in(field: str) -> float | None:
    """The number; None: the field is none. Python's 1_000 is not one."""
    try:
        return None if "_" in field else float(field)
    except ValueError:
        return None


def _is_header(fields: list[str], header: Header) -> bool:
    if header != "auto":
        return header == "yes"
    return not any(_number_in(field) is not None for field in fields)


class ArrayRows(Rows):
    """An array in a file, which is mapped into memory and read as it is asked for."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._name = os.fspath(path)
        try:
            self._array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise ValueError(f"{self._name}: {error}") from None
        if self._array.dtype.kind not in "biuf":
            raise TypeError(f"{self._name}: expected numbers, got dtype {self._array.dtype}")
        self._read = 0

    def batches(self, shape: Shape, most: int) -> Iterator[Array]:
        array = self._array
        if array.ndim == 1 and shape == (1,):
            array = array[:, None]
        flat = (math.prod(shape),)
        if array.ndim == 0 or array.shape[1:] not in (shape, flat):
            wanted = ", ".join(map(str, shape))
            raise ValueError(f"{self._name}: expected shape (n, {wanted}), got {array.shape}")
        if len(array) == 0:
            raise ValueError(f"{self._name}: there are no rows")
        for first in range(0, len(array), most):
            self._read = first
            yield np.asarray(array[first : first + most]).reshape(-1, *shape)

    def place(self, row: int, column: int) -> str:
        shape = self._array.shape[1:]
        index = (self._read + row, *(int(i) for i in np.unravel_index(column, shape or (1,))))
        return f"{self._name}: at {list(index[: self._array.ndim])}"
