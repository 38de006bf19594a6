"""The layout of safetensors: tensors by name and a dictionary of texts, in one file.

    8 bytes     n, the length of the header: an unsigned integer, least byte first
    n bytes     the header: a JSON object in UTF-8, from name to {"dtype", "shape", "data_offsets"};
                the name "__metadata__" is that of an object from text to text
    the rest    the tensors, side by side without gaps, each in C order, least bytes first

https://huggingface.co/docs/safetensors has the specification. A file is never trusted: all of the
header is checked before any tensor is read, and no more is read than the file is long.
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.files.atomic import replacing
from fastnn.files.texts import ModelFileError, check_room, parsed, shown

__all__ = ["MOST_HEADER", "Contents", "ModelFileError", "metadata_of", "parsed", "read", "write"]

Array = NDArray[Any]

# A header is parsed into objects that are larger than its text. That of a model of a thousand
# layers has less than one megabyte.
MOST_HEADER = 16 * 2**20
_METADATA = "__metadata__"
_TYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}
_BFLOAT16 = "BF16"  # NumPy has no such type: they become float32, which holds them exactly
_MOST_AXES = 32  # that any NumPy takes


class Contents(NamedTuple):
    """What a file holds."""

    metadata: dict[str, str]
    tensors: dict[str, Array]

    @property
    def size(self) -> int:
        """About the length of the file, which bounds the memory for parts of it."""
        texts = sum(len(text) for text in self.metadata.values())
        return texts + sum(array.nbytes for array in self.tensors.values())


class _Entry(NamedTuple):
    """A tensor as the header describes it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


# -- writing


def write(path: str | os.PathLike[str], contents: Contents) -> None:
    """Writes a file: at any moment `path` is the file that was there before, or the new one.

    Raises:
        TypeError: a tensor of a type that the layout has not.
        ValueError: names and texts that no file can hold, or so many that `read` refuses them.
        OSError: the file cannot be written; what was there stays.
    """
    header: dict[str, Any] = {_METADATA: contents.metadata} if contents.metadata else {}
    arrays: list[Array] = []
    offset = 0
    for name, given in contents.tensors.items():
        array = np.asarray(given)
        dtype = array.dtype.newbyteorder("<") if array.dtype.kind in "fiu" else array.dtype
        if dtype not in _NAMES:
            raise TypeError(f"tensor {name!r}: files have no type {array.dtype}")
        if name == _METADATA:
            raise ValueError(f"tensor {name!r}: this name is taken by the layout")
        array = np.ascontiguousarray(array, dtype).reshape(array.shape)
        header[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
        arrays.append(array)
    told = json.dumps(header, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        text = told.encode()
    except UnicodeEncodeError as why:
        around = shown(told[max(0, why.start - 20) : why.end + 20])
        raise ValueError(
            f"a name or a text is no Unicode that a file could hold: {around}"
        ) from why
    text += b" " * (-len(text) % 8)  # so that tensors begin at multiples of 8 bytes
    if len(text) > MOST_HEADER:
        raise ValueError(
            f"names and options of {len(text)} bytes: a file may have {MOST_HEADER} bytes of them"
        )
    check_room("names and options", told, len(text) + offset)
    with replacing(path) as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for array in arrays:
            file.write(array.data if array.size else b"")


# -- reading


def read(path: str | os.PathLike[str]) -> Contents:
    """The contents of a file, whose tensors are arrays of their own.

    Raises:
        ModelFileError: the file is damaged, or is none of this layout.
        OSError: it cannot be opened or read.
    """
    # A pipe is opened without waiting for a program at its other end.
    with open(path, "rb", opener=_opened) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ModelFileError(f"{os.fspath(path)}: expected a file, got a device or a pipe")
        size = about.st_size
        try:
            header = _header(file, size)
            metadata, entries = _checked(header, size - file.tell())
            tensors = {entry.name: _tensor(file, entry) for entry in entries}
        except ModelFileError as fault:
            raise ModelFileError(f"{os.fspath(path)}: {fault}") from fault.__cause__
    return Contents(metadata, tensors)


def metadata_of(path: str | os.PathLike[str]) -> dict[str, str]:
    """The texts of a file alone, of which no tensor is read.

    Raises:
        ModelFileError, OSError: as `read`.
    """
    with open(path, "rb", opener=_opened) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ModelFileError(f"{os.fspath(path)}: expected a file, got a device or a pipe")
        try:
            header = _header(file, about.st_size)
            return _checked(header, about.st_size - file.tell())[0]
        except ModelFileError as fault:
            raise ModelFileError(f"{os.fspath(path)}: {fault}") from fault.__cause__


# Files that are taken for models, by their first bytes. A header of 640 bytes begins as a pickle does,
# so they are looked for only where the length cannot be one.
_OF_OTHERS = (
    "a zip or HDF5 file (fastnn.from_keras reads those of Keras, fastnn.interop.load_keras_weights "
    ".weights.h5, and load_state_dict weights of PyTorch)"
)
_OTHERS: tuple[tuple[tuple[bytes, ...], str], ...] = (
    ((b"PK\x03\x04", b"\x89HDF"), _OF_OTHERS),
    ((b"\x93NUMPY",), "an array of NumPy (np.load reads it)"),
    ((b"\x1f\x8b",), "a gzip file"),
    (tuple(bytes([0x80, version]) for version in range(2, 6)), "a pickle"),
)


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _header(file: io.BufferedReader, size: int) -> dict[str, Any]:
    """The object of the header; the file is left at the first byte of the tensors."""
    start = file.read(8)
    if len(start) < 8:
        raise ModelFileError(f"a file of {size} bytes is too short for a model")
    length = int.from_bytes(start, "little")
    if length > size - 8:
        for beginnings, what in _OTHERS:
            if start.startswith(beginnings):
                raise ModelFileError(f"{what}, and no safetensors file")
        if start.isascii() and start.decode().isprintable():
            raise ModelFileError("text, and no safetensors file")
        raise ModelFileError(
            f"the header is said to have {length} bytes, but the file has {size}: it is cut short, "
            "or no safetensors file"
        )
    if length > MOST_HEADER:
        raise ModelFileError(f"the header has {length} bytes; more than {MOST_HEADER} are not read")
    text = file.read(length)
    if len(text) < length:
        raise ModelFileError("the file became shorter while it was read")
    return parsed("the header", text, size)


def _checked(header: dict[str, Any], room: int) -> tuple[dict[str, str], list[_Entry]]:
    """Metadata, and the entries in the order of their bytes, which fill `room` without gaps."""
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ModelFileError(f"{_METADATA}: expected an object from text to text")
    entries = [_entry(name, described) for name, described in header.items()]
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    at = 0
    for entry in entries:
        if entry.begin != at:
            fault = "overlaps the one before it" if entry.begin < at else "leaves a gap before it"
            raise ModelFileError(f"tensor {shown(entry.name)} {fault}")
        at = entry.end
    if at != room:
        fault = "is cut short" if at > room else "goes on after the last tensor"
        raise ModelFileError(f"the file {fault}: tensors of {at} bytes, and {room} bytes for them")
    return metadata, entries


def _entry(name: str, described: Any) -> _Entry:
    where = f"tensor {shown(name)}"
    if not isinstance(described, dict) or set(described) != {"dtype", "shape", "data_offsets"}:
        raise ModelFileError(
            f"{where}: expected dtype, shape and data_offsets, got {shown(described)}"
        )
    dtype, shape, offsets = described["dtype"], described["shape"], described["data_offsets"]
    if not isinstance(dtype, str) or (dtype not in _TYPES and dtype != _BFLOAT16):
        raise ModelFileError(f"{where}: the type {shown(dtype)} is not known")
    if not _whole_numbers(shape) or len(shape) > _MOST_AXES:
        raise ModelFileError(
            f"{where}: shape: expected at most {_MOST_AXES} whole numbers, got {shown(shape)}"
        )
    if not _whole_numbers(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ModelFileError(f"{where}: data_offsets: expected [begin, end], got {shown(offsets)}")
    itemsize = 2 if dtype == _BFLOAT16 else _TYPES[dtype].itemsize
    needed, given = math.prod(shape) * itemsize, offsets[1] - offsets[0]
    if needed != given:
        raise ModelFileError(
            f"{where}: {dtype} of shape {shown(shape)} has {shown(needed)} bytes, but "
            f"data_offsets give {given}"
        )
    if math.prod(max(1, axis) for axis in shape) * itemsize >= 2**63:  # also without elements
        raise ModelFileError(f"{where}: the shape {shown(shape)} is too large for any array")
    return _Entry(name, dtype, tuple(shape), *offsets)


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


def _tensor(file: io.BufferedReader, entry: _Entry) -> Array:
    brain = entry.dtype == _BFLOAT16
    dtype = np.dtype("<u2") if brain else _TYPES[entry.dtype]
    array: Array = np.empty(entry.shape, dtype)
    if array.size:
        flat = array.reshape(-1).view(np.uint8)
        if file.readinto(flat.data) < flat.size:
            raise ModelFileError("the file became shorter while it was read")
        if entry.dtype == "BOOL" and flat.max() > 1:
            raise ModelFileError(f"tensor {shown(entry.name)}: a BOOL that is neither 0 nor 1")
    if brain:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(dtype.newbyteorder("="), copy=False)
