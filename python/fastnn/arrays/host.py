"""Arrays of the host: which are taken, and how each becomes numbers that native code reads.

An array is converted whole, once, only where native code cannot read it as it lies: an array in
the other byte order, lists, a pandas frame whose columns differ in type. Only types are checked
here; shapes are checked in `data`, and values natively, where they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnn.arrays.device import on_device
from fastnn.arrays.tables import table_of

Array = NDArray[Any]

_ENCODE = (
    "; encode them as integers first, for example with classes, y = np.unique(y, "
    "return_inverse=True)"
)
# Of x: a table of words belongs to the estimators that encode columns themselves.
_WORDS = (
    "; x.astype(float) reads digits; words become columns of 0 and 1 (pandas.get_dummies, or "
    "scikit-learn's OneHotEncoder), and fastnn.sklearn.TabularClassifier and TabularRegressor take "
    "tables of them as they are"
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
    if array.dtype == dtype:
        return plain(array, dtype)
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


def numeric(name: str, value: object, *, missing_is_nan: bool = False) -> Array:
    """`value` as an array of real numbers in native byte order, copied only if it must be.

    Takes NumPy arrays (memmap too, masked ones in which nothing is masked), sequences, tables and
    columns of pandas, polars and Arrow, anything with `__array__`, and CPU DLPack. With
    `missing_is_nan`, missing values (NA, null, masked) become NaN.

    Raises:
        OnDevice: for arrays in the memory of a device.
        TypeError: for sparse matrices, objects, strings, complex numbers, dates, and the missing
            values of tables.
        ValueError: for masked entries, and ragged sequences.
    """
    if isinstance(value, np.ndarray):
        array = _base_array(name, value, missing_is_nan)
    else:
        if on_device(value):
            raise OnDevice(f"{name}: lies on the device; expected an array of the host, a copy")
        # Duck-typed, like tables: the libraries need not be loaded.
        if hasattr(value, "tocoo"):
            raise TypeError(f"{name}: sparse matrices are not taken; use {name}.toarray()")
        if hasattr(value, "collect") and not hasattr(value, "to_numpy"):
            raise TypeError(f"{name}: lazy frames are not taken; use {name}.collect()")
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            array = np.from_dlpack(value)
        elif (table := table_of(value)) is not None:
            encode = _encode(name, "O")
            array = table.array(name, encode, missing_is_nan=missing_is_nan)
        else:
            array = _as_array(name, value)
    if array.dtype.kind not in "biuf":
        _refuse_missing(name, array)
        if array.ndim == 0 and not isinstance(value, (np.ndarray, np.generic)):
            raise TypeError(f"{name}: expected numbers, got {_short(value)}{_meant(name, value)}")
        why = _WHY_NOT.get(array.dtype.kind, "something else")
        encode = _encode(name, array.dtype.kind)
        raise TypeError(f"{name}: expected numbers, got dtype {array.dtype} ({why}){encode}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        raise TypeError(f"{name}: {array.dtype} is not taken; convert with astype(np.float64)")
    if not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    # The native order may be written out ("<f8"): h5py, ctypes and scipy.io do that.
    return array if array.dtype.byteorder in "=|" else array.view(array.dtype.newbyteorder("="))


def _base_array(name: str, value: Array, missing_is_nan: bool) -> Array:
    """The numbers of an array as an array of no subclass: np.matrix keeps two axes in indexing."""
    if type(value) is np.ndarray:
        return value
    # np.ma is not imported: a mask is recognised by its name.
    mask = getattr(value, "mask", None)
    if mask is not None and np.any(mask):
        if not missing_is_nan:
            entries = np.atleast_1d(mask)
            row = int(np.argmax(np.any(np.reshape(entries, (len(entries), -1)), axis=1)))
            raise ValueError(
                f"{name}: masked arrays are taken where nothing is masked; fill in the masked "
                f"entries, the first at row {row}"
            )
        return np.where(mask, np.nan, np.asarray(value))
    return np.asarray(value)


def _refuse_missing(name: str, array: Array) -> None:
    """TypeError for the first None or NA among Python objects."""
    if array.dtype.kind != "O" or array.ndim == 0:
        return
    for place, entry in enumerate(array.flat):
        if entry is None or type(entry).__name__ in ("NAType", "NaTType"):
            row = place // (array.size // len(array))
            raise TypeError(f"{name}: fill in the missing value {entry} at row {row}")


def _short(value: object) -> str:
    """A value in a message; the type of objects whose representation says less, or is long."""
    if value is None or isinstance(value, (str, bytes, complex)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:56]}...{text[-1]}"
    return f"{value!r}" if isinstance(value, type) else f"an object of {type(value).__name__}"


def _encode(name: str, kind: str) -> str:
    advice = {"x": _WORDS, "y": _ENCODE}.get(name)
    return advice if advice is not None and kind in "OUST" else ""


def _meant(name: str, value: object) -> str:
    """What to give in place of an object that holds no array."""
    if hasattr(value, "__next__"):
        return "; what makes batches (x, y) is given as x alone, without y"
    if callable(value):
        return "; call it, and give what it returns"
    if isinstance(value, Mapping) and name == "x":
        return (
            "; a model with one input takes an array, for example "
            "np.column_stack(list(x.values())) of columns"
        )
    return ""


def _as_array(name: str, value: object) -> Array:
    try:
        return np.asarray(value)
    except ValueError as error:
        rows = value if isinstance(value, (list, tuple)) else ()
        lengths = [len(row) for row in rows if isinstance(row, (list, tuple))]
        if lengths and len(lengths) == len(rows) and len(set(lengths)) > 1:
            row = next(i for i, length in enumerate(lengths) if length != lengths[0])
            raise ValueError(
                f"{name}: not an array of numbers: row 0 has {lengths[0]} entries, row {row} has "
                f"{lengths[row]}"
            ) from error
        meant = "; give x and y one by one" if name == "x" and isinstance(value, tuple) else ""
        raise ValueError(
            f"{name}: not an array of numbers: {str(error).rstrip('.')}{meant}"
        ) from error
