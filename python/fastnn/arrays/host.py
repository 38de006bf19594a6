"""Arrays of the host: which are taken, and how each becomes numbers that native code reads.

An array is converted whole, once, only where native code cannot read it as it lies: an array in
the other byte order, lists, a pandas frame whose columns differ in type. Only types are checked
here; shapes are checked in `data`, and values natively, where they are read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnn.arrays.device import on_device

Array = NDArray[Any]

_ENCODE = (
    "; encode them as integers first, for example with classes, y = np.unique(y, "
    "return_inverse=True)"
)
_WHY_NOT = {
    "O": "Python objects; convert every entry to a number first",
    "U": "strings",
    "S": "strings",
    "T": "strings",
    "c": "complex numbers; pass real and imaginary parts as features",
    "M": "dates; pass numbers, for example seconds since a start",
    "m": "time differences; pass numbers, for example seconds",
    "V": "structured or extension types; convert with astype(np.float32)",
}


class OnDevice(TypeError):
    """The array lies on a device where one of the host is expected."""


def plain(array: Array, dtype: DTypeLike) -> Array:
    """The array in C order, aligned and of `dtype`, as native code reads it; copied if need be."""
    # Not np.ascontiguousarray, which makes a single number an array of one.
    converted = np.asarray(array, dtype=dtype, order="C")
    return converted if converted.flags.aligned else converted.copy()


def narrowed(name: str, array: Array, dtype: DTypeLike) -> Array:
    """`plain`; ValueError for a finite number that would become infinite in `dtype`."""
    with np.errstate(over="ignore"):
        converted = plain(array, dtype)
    if array.dtype.kind == "f" and converted.dtype.itemsize < array.dtype.itemsize:
        lost = np.isinf(converted) & np.isfinite(array)
        if lost.any():
            place = tuple(int(i) for i in np.unravel_index(lost.argmax(), lost.shape))
            at = f" at {place}" if place else ""
            raise ValueError(
                f"{name}: expected finite numbers of {converted.dtype}, got {array[place]}{at}"
            )
    return converted


def numeric(name: str, value: object) -> Array:
    """`value` as an array of real numbers in native byte order, copied only if it must be.

    Takes NumPy arrays (memmap too), sequences, pandas objects, anything with `__array__`,
    and CPU DLPack.

    Raises:
        OnDevice: for arrays in the memory of a device.
        TypeError: for sparse matrices, objects, strings, complex numbers, dates, and pandas's
            missing values (NA).
        ValueError: for masked arrays, whose mask would be lost, and ragged sequences.
    """
    if isinstance(value, np.ndarray):
        array: Array = value
        # Duck-typed, like the sparse matrices below: their modules need not be loaded.
        if getattr(value, "mask", None) is not None:
            raise ValueError(f"{name}: masked arrays are not taken; fill in the masked entries")
    else:
        if on_device(value):
            raise OnDevice(f"{name}: lies on the device; expected an array of the host, a copy")
        if hasattr(value, "tocoo"):
            raise TypeError(f"{name}: sparse matrices are not taken; use {name}.toarray()")
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            array = np.from_dlpack(value)
        elif hasattr(value, "dtypes") and hasattr(value, "to_numpy"):
            array = _from_pandas(name, value)
        else:
            array = _as_array(name, value)
    if array.dtype.kind not in "biuf":
        why = _WHY_NOT.get(array.dtype.kind, "something else")
        encode = _encode(name, array.dtype.kind)
        raise TypeError(f"{name}: expected numbers, got dtype {array.dtype} ({why}){encode}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        raise TypeError(f"{name}: {array.dtype} is not taken; convert with astype(np.float64)")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array


def _encode(name: str, kind: str) -> str:
    return _ENCODE if name == "y" and kind in "OUST" else ""


def _from_pandas(name: str, table: Any) -> Array:
    """The numbers of a DataFrame or Series, in one type that holds the numbers of all columns.

    pandas is not imported: its objects are recognised by their attributes.
    """
    framed = getattr(table, "ndim", 1) == 2
    labels = list(table.columns) if framed else [table.name]
    dtypes = list(table.dtypes) if framed else [table.dtypes]
    if not all(hasattr(dtype, "kind") for dtype in dtypes):
        return _as_array(name, table)  # a frame of another library
    extended = [not isinstance(dtype, np.dtype) for dtype in dtypes]
    alike = len(set(dtypes)) <= 1 and not any(extended)
    if alike or not (framed or dtypes[0].kind in "biuf"):
        array = _as_array(name, table)  # often a view; categories become their values
    else:
        columns = [table.iloc[:, i] if framed else table for i in range(len(labels))]
        wrong = [dtype.kind not in "biuf" for dtype in dtypes]
        _refuse_columns(name, "expected numbers, got", labels, dtypes, wrong)
        missing = [e and bool(c.isna().any()) for e, c in zip(extended, columns, strict=True)]
        _refuse_columns(name, "fill in the missing values (NA) of", labels, dtypes, missing)
        plain_types = [getattr(d, "numpy_dtype", getattr(d, "subtype", d)) for d in dtypes]
        array = table.to_numpy(dtype=np.result_type(*plain_types))
    if array.dtype.kind not in "biuf":
        _refuse_columns(name, "expected numbers, got", labels, dtypes, [True] * len(labels))
    return array


def _refuse_columns(
    name: str, why: str, labels: list[Any], dtypes: list[Any], wrong: list[bool]
) -> None:
    """TypeError that names the `wrong` columns, if there are any."""
    if any(wrong):
        named = zip(labels, dtypes, wrong, strict=True)
        columns = ", ".join(f"{label!r} ({dtype})" for label, dtype, is_wrong in named if is_wrong)
        raise TypeError(f"{name}: {why} column {columns}{_encode(name, 'O')}")


def _as_array(name: str, value: object) -> Array:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: not an array of numbers: {error}") from error
