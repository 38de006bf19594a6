"""NumPy's files, read by parts: .npy, and .npz whose arrays are not compressed.

Rows are read by calls of the system, not through a memory map: a file that ends too early is an
error that names it, and memory holds what was asked for alone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from fastnn.data.chunk import Chunk, Lazy, Source

Array = NDArray[Any]

_CHUNK_BYTES = 1 << 22  # of a file that can be read from any row


class NpyFile:
    """An array in a file: a .npy, or one that lies in an archive as it is.

    Args:
        path: of the file.
        begin: where the array begins in it.
        member: the name of the array in the archive, for messages.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no array, one of Python objects, or ends before the array does.
    """

    def __init__(self, path: str, begin: int = 0, member: str = "") -> None:
        self.path = path
        self.name = f"{path}: {member}" if member else path
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib takes long to import
            file.seek(begin)
            self.shape, self.is_fortran, self.dtype = self._header(file)
            self.begin = file.tell()
            file.seek(begin)
            self._head = begin, file.read(self.begin - begin)
            size = os.fstat(file.fileno()).st_size
        if self.dtype.hasobject:
            raise ValueError(f"{self.name}: holds Python objects, which would be pickled; not read")
        if not self.shape:
            raise ValueError(f"{self.name}: expected rows, got a single number")
        whole = self.row_bytes * self.shape[0]
        if size < self.begin + whole:
            there = max(0, size - self.begin) // max(1, self.row_bytes)
            self._ends_early(there if not self.is_fortran else None)

    def _header(self, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
        read: Any = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
            # It differs from the second in names of fields alone, which no array of numbers has.
            (3, 0): np.lib.format.read_array_header_2_0,
        }
        try:
            version = np.lib.format.read_magic(file)
            found: tuple[tuple[int, ...], bool, np.dtype[Any]] = read[version](file)
        except (ValueError, KeyError, SyntaxError, EOFError) as why:
            raise ValueError(f"{self.name}: not an array in NumPy's format: {why}") from None
        return found

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def _ends_early(self, row: int | None) -> None:
        told = "" if row is None else f" in row {row}"
        raise ValueError(
            f"{self.name}: the file ends{told}, before the last of {self.shape[0]} rows"
        )

    def read(self, start: int, out: Array) -> None:
        """Reads the rows from `start` on into an array in C order."""
        if out.nbytes == 0:
            return
        if self.is_fortran and len(self.shape) > 1:
            with open(self.path, "rb", buffering=0) as file:  # noqa: PTH123
                self._begin_of(file)
                if os.fstat(file.fileno()).st_size < self.begin + self.row_bytes * self.shape[0]:
                    self._ends_early(None)
            mapped = np.memmap(
                self.path, self.dtype, "r", offset=self.begin, shape=self.shape, order="F"
            )
            out[:] = mapped[start : start + len(out)]
            return
        left = memoryview(cast("Any", out.reshape(-1).view(np.uint8)))
        with open(self.path, "rb", buffering=0) as file:  # noqa: PTH123
            self._begin_of(file)
            file.seek(self.begin + start * self.row_bytes)
            while len(left):
                got = cast("int", file.readinto(left))
                if not got:
                    self._ends_early(start + (out.nbytes - len(left)) // self.row_bytes)
                left = left[got:]

    def _begin_of(self, file: IO[bytes]) -> None:
        """ValueError where the file no longer begins as it did, and its rows would be read as others."""
        begin, head = self._head
        file.seek(begin)
        if file.read(len(head)) != head:
            raise ValueError(
                f"{self.name}: the file has changed since Chunks was made: it holds rows of another "
                "number, shape or type"
            )

    def part(self, start: int, stop: int) -> Lazy:
        return _Part(self, start, stop)


class _Part:
    """Some rows of a file."""

    def __init__(self, file: NpyFile, start: int, stop: int) -> None:
        self._file, self._start = file, start
        self.shape = (stop - start, *file.shape[1:])
        self.ndim = len(self.shape)
        self.dtype = file.dtype

    def into(self, out: Array) -> None:
        self._file.read(self._start, out)

    def loaded(self) -> Array:
        out = np.empty(self.shape, self.dtype)
        self.into(out)
        return out


class FileSource(Source):
    """Rows of arrays in files, some files behind each other.

    Args:
        files: for each of them x, y and weights: structures of arrays with as many rows, y and
            weights may be None. An array is an `NpyFile`, or one in memory.
        names: of the files, for messages.
        rows: of a chunk; None: some megabytes of them.
    """

    apart = True

    def __init__(
        self, files: Sequence[tuple[Any, Any, Any]], names: Sequence[str], rows: int | None
    ) -> None:
        self._files = files
        self._names = names
        self._parts: list[tuple[int, int, int]] = []
        for number, (group, name) in enumerate(zip(files, names, strict=True)):
            n = _length_of(name, group)
            each = rows or max(1, _CHUNK_BYTES // max(1, _row_bytes(group[0])))
            self._parts += [(number, i, min(i + each, n)) for i in range(0, n, each)]
        self.count = len(self._parts)
        self.rows = [stop - start for _, start, stop in self._parts]

    def _some(self, number: int, take: Sequence[bool]) -> Chunk:
        file, start, stop = self._parts[number]

        def part(array: Any) -> Any:
            return array.part(start, stop) if isinstance(array, NpyFile) else array[start:stop]

        x, y, weights = (
            _mapped(part, array) if wanted else None
            for array, wanted in zip(self._files[file], take, strict=True)
        )
        return Chunk(x, y, weights, self._names[file], start)

    def read(self, number: int) -> Chunk:
        return self._some(number, (True, True, True))

    def labels(self, number: int) -> Chunk:
        """The chunk without x."""
        return self._some(number, (False, True, True))


def _leaves(structure: Any) -> list[Any]:
    if isinstance(structure, dict):
        return list(structure.values())
    if isinstance(structure, (list, tuple)):
        return list(structure)
    return [] if structure is None else [structure]


def _mapped(function: Any, structure: Any) -> Any:
    if isinstance(structure, dict):
        return {name: function(part) for name, part in structure.items()}
    if isinstance(structure, (list, tuple)):
        return [function(part) for part in structure]
    return None if structure is None else function(structure)


def _length_of(where: str, group: Sequence[Any]) -> int:
    lengths = {
        name: array.shape[0]
        for name, part in zip(("x", "y", "sample_weight"), group, strict=True)
        for array in _leaves(part)
    }
    if not lengths:
        raise ValueError("source: expected arrays of x, got none")
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{n} rows of {name}" for name, n in lengths.items())
        raise ValueError(f"{where}{': ' if where else ''}expected as many rows of each, got {told}")
    return int(next(iter(lengths.values())))


def _row_bytes(x: Any) -> int:
    return sum(math.prod(array.shape[1:]) * np.dtype(array.dtype).itemsize for array in _leaves(x))


class NpzFile:
    """The arrays of a .npz, by name; those that are compressed are read whole, when they are asked for.

    Raises:
        ValueError: it is no archive of arrays, or has no array of a name.
    """

    def __init__(self, path: str) -> None:
        import zipfile  # here and below: it takes long to import

        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self._members = {
                    info.filename.removesuffix(".npy"): info for info in archive.infolist()
                }
        except zipfile.BadZipFile as why:
            raise ValueError(f"{path}: not a .npz: {why}") from None

    @property
    def names(self) -> list[str]:
        return list(self._members)

    def array(self, name: str) -> Any:
        """The array of a name: an `NpyFile`, or `Packed`."""
        if name not in self._members:
            there = ", ".join(self._members) or "none"
            raise ValueError(f"{self.path}: expected an array named {name!r}, got {there}")
        info = self._members[name]
        if info.compress_type != 0:  # not stored as it is
            return Packed(self.path, name)
        with open(self.path, "rb") as file:  # noqa: PTH123
            file.seek(info.header_offset)
            head = file.read(30)
            if len(head) < 30 or head[:4] != b"PK\x03\x04":
                raise ValueError(f"{self.path}: {name}: not at the place that the archive tells")
            # The lengths of the local header: those of the directory may differ.
            name_bytes = int.from_bytes(head[26:28], "little")
            extra_bytes = int.from_bytes(head[28:30], "little")
        return NpyFile(self.path, info.header_offset + 30 + name_bytes + extra_bytes, name)


class Packed:
    """A compressed array of a .npz, which is read whole."""

    def __init__(self, path: str, member: str) -> None:
        import zipfile
        import zlib

        self.path, self.member = path, member
        try:
            with zipfile.ZipFile(path) as archive, archive.open(f"{member}.npy") as file:
                version = np.lib.format.read_magic(file)
                read: Any = np.lib.format.read_array_header_1_0
                if version != (1, 0):
                    read = np.lib.format.read_array_header_2_0
                self.shape, _, self.dtype = read(file)
                self.ndim = len(self.shape)
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError) as why:
            raise ValueError(f"{path}: {member}: {why}") from None

    def into(self, out: Array) -> None:
        out[:] = self.loaded()

    def loaded(self) -> Array:
        import zipfile
        import zlib

        try:
            with np.load(self.path, allow_pickle=False) as archive:
                return cast("Array", archive[self.member])
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as why:
            raise ValueError(f"{self.path}: {self.member}: {why}") from None


class PackedSource(Source):
    """Compressed archives, each a chunk."""

    def __init__(self, files: Sequence[tuple[Any, Any, Any]], names: Sequence[str]) -> None:
        self._files, self._names = files, names
        self.count = len(files)
        self.rows = [_length_of(n, f) for n, f in zip(names, files, strict=True)]

    apart = True

    def read(self, number: int) -> Chunk:
        return Chunk(*self._files[number], where=self._names[number])

    def labels(self, number: int) -> Chunk:
        """The chunk without x."""
        _, y, weights = self._files[number]
        return Chunk(None, y, weights, where=self._names[number])
