"""Arguments and results of `ops`: arrays of the host or of the device, told apart and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import config
from fastnn._core import DeviceArray
from fastnn.arrays.device import handed_back, on_device, taken
from fastnn.arrays.host import OnDevice, numeric, plain

Array = NDArray[Any]
_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
_LARGEST_SINGLE = float(np.finfo(np.float32).max)


def floats(**arrays: ArrayLike | None) -> list[Any]:
    """The arrays in one type and C order; None stays None. On the device: as they are."""
    config.device()
    try:
        given = [None if value is None else numeric(name, value) for name, value in arrays.items()]
    except OnDevice:
        return device_floats(arrays)
    double = any(array is not None and array.dtype == _DOUBLE for array in given)
    dtype = _DOUBLE if double else _SINGLE
    return [None if array is None else plain(array, dtype) for array in given]


def device_floats(arrays: Mapping[str, Any]) -> list[DeviceArray | None]:
    """Arrays that must all lie on the device, in one type; None stays None."""
    given = {name: value for name, value in arrays.items() if value is not None}
    lie = {name: on_device(value) for name, value in given.items()}
    for name, there in lie.items():
        if not there:
            raise _mixture(next(other for other in lie if lie[other]), name)
    found = {name: taken(name, value) for name, value in given.items()}
    leader, first = next(iter(found.items()))
    for name, array in found.items():
        if array.dtype not in (_SINGLE, _DOUBLE):
            raise TypeError(f"{name}: expected float32 or float64 on the device, got {array.dtype}")
        if array.dtype != first.dtype:
            raise TypeError(f"{name}: expected {first.dtype} as {leader} is, got {array.dtype}")
    return [found.get(name) for name in arrays]


def _mixture(there: str, here: str) -> TypeError:
    return TypeError(
        f"{there} lies on the device and {here} does not: expected all on one side; copy one"
    )


def beside(name: str, value: ArrayLike, leader: str, first: Array | DeviceArray) -> Array:
    """Labels or weights of rows, on the host; arrays of the device are copied."""
    if isinstance(first, DeviceArray):
        if not on_device(value):
            raise _mixture(leader, name)
        return taken(name, value).numpy()
    try:
        return numeric(name, value)
    except OnDevice:
        raise _mixture(name, leader) from None


def weights_beside(
    name: str, value: ArrayLike | None, leader: str, first: Array | DeviceArray
) -> NDArray[np.float64] | None:
    """Weights of rows or columns, on the host, in float64: in float32 a tiny one would be 0."""
    return None if value is None else plain(beside(name, value, leader, first), _DOUBLE)


def wide(targets: Array, first: Array | DeviceArray) -> Array:
    """Targets of rows in the type of the primary array, or in float64 if they are given so.

    Native code checks them in the type that they have here.
    """
    return plain(targets, _DOUBLE if targets.dtype == _DOUBLE else first.dtype)


def fitting(name: str, value: float, first: Array | DeviceArray) -> float:
    """`value`, an option that is a finite number in the type of the primary array, too."""
    if first.dtype == _SINGLE and abs(value) > _LARGEST_SINGLE:
        raise ValueError(f"{name}: expected a finite number of float32, got {value!r}")
    return value


def result(leader: object, result: Any) -> Array:
    """The result as an array of the library of the leading argument.

    Typed as a NumPy array, which the arrays of other libraries resemble.
    """
    given: Array = handed_back(leader, result) if type(result) is DeviceArray else result
    return given


def labels_of_rows(given: Array, name: str = "labels") -> NDArray[np.int32]:
    """Labels, one a row, as native code reads them."""
    if given.dtype.kind not in "biu":
        raise TypeError(f"{name}: expected integers of shape (n,), got dtype {given.dtype}")
    # A label outside 32 bits is outside any number of classes; narrowing must not bring it inside.
    limits = np.iinfo(np.int32)
    wrong = (given < limits.min) | (given > limits.max)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"{name}: expected 32-bit integers, got {given[row]} at row {row}")
    # Always a copy: native code indexes by labels that it has checked, and another thread
    # may write to the caller's array between the two.
    return np.array(given, dtype=np.int32, order="C")


def in_place(
    names: Sequence[str],
    arrays: Sequence[Any],
    written: Sequence[str],
    optional: Sequence[str] = (),
) -> Sequence[Any]:
    """Refuses arrays that would need a conversion: the caller's own array must change."""
    config.device()
    if any(not isinstance(array, np.ndarray) and on_device(array) for array in arrays):
        return _device_in_place(dict(zip(names, arrays, strict=True)), written, optional)
    first = None
    for name, array in zip(names, arrays, strict=True):
        if array is None and name in optional:
            continue
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name}: expected a NumPy array, got {type(array).__name__}")
        if array.dtype not in (np.float32, np.float64) or not array.dtype.isnative:
            raise TypeError(f"{name}: expected float32 or float64, got {array.dtype}")
        first = array if first is None else first
        if array.dtype != first.dtype:
            raise TypeError(f"{name}: expected {first.dtype} as {names[0]} is, got {array.dtype}")
        if not array.flags.c_contiguous:
            raise ValueError(f"{name}: expected a C-contiguous array, got strides {array.strides}")
        if not array.flags.aligned:
            raise ValueError(f"{name}: expected an aligned array")
        if name in written and not array.flags.writeable:
            raise ValueError(f"{name}: the array is not writable, but is changed in place")
    # One of any two of these arrays is written. They are contiguous, so their bounds tell
    # exactly whether they overlap.
    for (name, array), (other_name, other) in combinations(zip(names, arrays, strict=True), 2):
        if array is not None and other is not None and np.may_share_memory(array, other):
            raise _shared(other_name, name)
    return arrays


def _shared(name: str, other: str) -> ValueError:
    return ValueError(f"{name}: expected memory of its own, but shares it with {other}")


def _device_in_place(
    arrays: Mapping[str, Any], written: Sequence[str], optional: Sequence[str]
) -> Sequence[Any]:
    for name, array in arrays.items():
        if array is None and name not in optional:
            raise TypeError(f"{name}: expected an array, got None")
    found = device_floats(arrays)
    pairs = [(n, a) for n, a in zip(arrays, found, strict=True) if a is not None]
    for name, array in pairs:
        if name in written and not array.writable:
            raise ValueError(f"{name}: the array is not writable, but is changed in place")
    for (name, one), (other_name, other) in combinations(pairs, 2):
        apart = one.address + one.nbytes <= other.address
        if not (apart or other.address + other.nbytes <= one.address):
            raise _shared(other_name, name)
    return found
