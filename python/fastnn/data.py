"""What arrays are taken, and how labels, targets and weights are converted.

The rows of an array x are never copied whole: the native gather converts each batch.
What native code cannot read as it lies is converted whole, once: an array in the other
byte order, lists, a pandas frame whose columns differ in type. Labels are always copied.
Values (NaN, labels out of range, negative weights) are checked natively, where
they are read; here only types and shapes are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnn import _core
from fastnn.device_arrays import on_device
from fastnn.words import integer, number

Array = NDArray[Any]

_INT32 = np.iinfo(np.int32)
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
    """An array of the host was wanted."""


def plain(array: Array, dtype: DTypeLike) -> Array:
    """The array in C order, aligned and of `dtype`, as native code reads it; copied if need be."""
    # Not np.ascontiguousarray, which makes a single number an array of one.
    converted = np.asarray(array, dtype=dtype, order="C")
    return converted if converted.flags.aligned else converted.copy()


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
    """The numbers of a DataFrame or Series, in one type that holds those of all columns.

    pandas is not imported: its objects are known by their attributes.
    """
    framed = getattr(table, "ndim", 1) == 2
    labels = list(table.columns) if framed else [table.name]
    dtypes = list(table.dtypes) if framed else [table.dtypes]
    if not all(hasattr(dtype, "kind") for dtype in dtypes):
        return _as_array(name, table)  # of another library
    extended = [not isinstance(dtype, np.dtype) for dtype in dtypes]
    alike = len(set(dtypes)) <= 1 and not any(extended)
    if alike or not (framed or dtypes[0].kind in "biuf"):
        array = _as_array(name, table)  # often a view; categories become what they stand for
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
    """TypeError that names the columns that are `wrong`."""
    if any(wrong):
        named = zip(labels, dtypes, wrong, strict=True)
        columns = ", ".join(f"{label!r} ({dtype})" for label, dtype, is_wrong in named if is_wrong)
        raise TypeError(f"{name}: {why} column {columns}{_encode(name, 'O')}")


def _as_array(name: str, value: object) -> Array:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: not an array of numbers: {error}") from error


def rows(name: str, value: object, row_shape: tuple[int, ...] | None) -> Array:
    """`value` as an array of rows of `row_shape` (None: of any shape)."""
    x = numeric(name, value)
    if x.ndim == 0:
        raise ValueError(f"{name}: expected rows, got a single number")
    if x.ndim == 1 and row_shape in (None, (1,)):
        x = x[:, None]
    if row_shape is not None and x.shape[1:] != row_shape:
        raise ValueError(
            f"{name}: expected shape {_any_rows(row_shape)}, got {x.shape}{_hint(x, row_shape)}"
        )
    if x.size == 0:
        raise ValueError(f"{name} is empty: its shape is {x.shape}")
    return x


def _any_rows(row_shape: tuple[int, ...]) -> str:
    return f"(n, {', '.join(map(str, row_shape))})"


def _hint(x: Array, row_shape: tuple[int, ...]) -> str:
    if x.shape == row_shape:
        return "; a single row is x[None]"
    if math.prod(x.shape[1:]) == math.prod(row_shape):
        if len(row_shape) == 1:
            return "; reshape it, or begin the model with Flatten(input_shape=x.shape[1:])"
        return "; reshape it"
    return ""


def labels(value: object, n: int, output_shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Class labels (n,) as int32, from any integers or integral floats, (n,) or (n, 1).

    The result is a copy, always: native code indexes by labels that were checked once, and
    the caller's array may change while it trains.
    """
    y = numeric("y", value)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape != (n,):
        if y.shape == (n, *output_shape):
            advice = (
                f"one column for each of the {y.shape[1]} outputs; for such (one-hot) targets "
                "use the loss categorical_crossentropy, or pass y.argmax(axis=1)"
            )
            raise ValueError(f"y: expected integer labels of shape ({n},), got {y.shape}: {advice}")
        raise ValueError(
            f"y: expected integer labels of shape ({n},) for outputs of shape "
            f"{(n, *output_shape)}, got {y.shape}"
        )
    if y.dtype.kind == "f":
        # Narrower types do not hold the limits of int32.
        y = y.astype(np.float64)
        # Written so that NaN counts as wrong, too.
        _refuse_first(y, ~(np.floor(y) == y), "an integer label")
    if y.dtype.kind == "f" or y.dtype.itemsize >= 4:
        outside = (y < _INT32.min) | (y > _INT32.max)
        _refuse_first(y, outside, "a label that fits in 32 bits")
    return np.array(y, dtype=np.int32, order="C")


def _refuse_first(y: Array, wrong: NDArray[np.bool_], expected: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"y: expected {expected}, got {y[row]} at row {row}")


def targets(value: object, n: int, output_shape: tuple[int, ...], loss: str) -> Array:
    """Targets (n, outputs); (n,) is taken for one output, and nothing is broadcast."""
    y = numeric("y", value)
    width = math.prod(output_shape)
    fits = y.shape == (n, *output_shape) or (width == 1 and y.shape in ((n,), (n, 1)))
    if fits:
        return y.reshape(n, width)
    message = f"y: shape {y.shape} does not fit outputs of shape {(n, *output_shape)}"
    if y.shape in ((n,), (n, 1)) and y.dtype.kind in "biu":
        message += f": {loss} wants a target for every output; for integer labels use "
        message += "the loss sparse_categorical_crossentropy"
    raise ValueError(message)


def row_weights(name: str, value: object, n: int) -> NDArray[np.float64]:
    """Weights of rows (n,) as float64, from (n,) or (n, 1)."""
    weights = numeric(name, value)
    if weights.shape not in ((n,), (n, 1)):
        raise ValueError(f"{name}: expected one weight a row, shape ({n},), got {weights.shape}")
    return plain(weights.reshape(n), np.float64)


class Table(NamedTuple):
    """Rows and what belongs to them: arrays that a native Data may view."""

    x: Array
    targets: Array | None = None
    labels: NDArray[np.int32] | None = None
    weights: NDArray[np.float64] | None = None
    chosen: NDArray[np.int64] | None = None

    @property
    def length(self) -> int:
        """Rows that count."""
        return len(self.x if self.chosen is None else self.chosen)

    def native(self) -> _core.Data:
        return _core.Data(
            self.x,
            targets=self.targets,
            labels=self.labels,
            weights=self.weights,
            rows=self.chosen,
        )

    def part(self, start: int, stop: int) -> _core.Data:
        """Rows `start` to `stop` of those that count."""
        if self.chosen is None:
            stop = min(stop, len(self.x))
            chosen = np.arange(start, stop, dtype=np.int64)
        else:
            chosen = self.chosen[start:stop]
        return self._replace(chosen=chosen).native()


def classes_of(table: Table) -> NDArray[np.int64] | None:
    """The class of each row, -1 where it has none; None where rows have no one class.

    Labels are classes; of probabilities the largest; a single output is 0 or 1.
    """
    if table.labels is not None:
        return table.labels.astype(np.int64)
    y = table.targets
    if y is None:
        return None
    if y.shape[1] == 1:
        column = y[:, 0]
        chosen = np.where(np.isnan(column), -1, column > 0.5)
    else:
        chosen = y.argmax(axis=1)
    classes: NDArray[np.int64] = chosen.astype(np.int64)
    return classes


def class_weights(weights: Mapping[int, float], table: Table, count: int) -> NDArray[np.float64]:
    """The weights of the table's rows, multiplied by the weight of each row's class.

    A class that is not named weighs 1, as in Keras; one that is not among the `count`
    classes is an error.
    """
    if not isinstance(weights, Mapping):
        raise TypeError(f"class_weight: expected a dictionary of class to weight, got {weights!r}")
    classes = classes_of(table)
    if classes is None:
        raise ValueError("class_weight: the rows have no classes")
    factor = np.ones(len(table.x)) if table.weights is None else table.weights.copy()
    checked = {
        integer("class_weight: class", key, 0): number(f"class_weight[{key}]", value, 0.0)
        for key, value in weights.items()
    }
    # A table over the classes: one pass over the rows, however many classes there are.
    by_class = np.ones(count)
    for key, value in checked.items():
        if key >= count:
            raise ValueError(f"class_weight: expected classes in [0, {count}), got {key}")
        by_class[key] = value
    # An ignored class, or a label that is found to be wrong later, has no place in it.
    inside = (classes >= 0) & (classes < count)
    factor[inside] *= by_class[classes[inside]]
    return factor
