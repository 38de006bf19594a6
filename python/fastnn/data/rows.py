"""Rows of x, and the labels, targets and weights of rows: shapes checked, types converted.

The rows of an array x are never copied whole: the native gather converts each batch; those of a
sparse matrix are no array at any time. Labels are
always copied. Values (NaN, labels out of range, negative weights) are checked natively.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.arrays.host import numeric
from fastnn.data.sparse import SparseRows, is_sparse

Array = NDArray[Any]

_LEAST, _MOST = -(2**31), 2**31 - 1  # of int32


def rows_of_model(name: str, value: object, row_shape: tuple[int, ...] | None) -> Any:
    """`rows` of an array, or `SparseRows` of a sparse matrix, which native plans alone take."""
    if not is_sparse(value):
        return rows(name, value, row_shape)
    x = SparseRows(name, value)
    _check_shape(name, x, row_shape)
    return x


def rows(name: str, value: object, row_shape: tuple[int, ...] | None) -> Array:
    """`value` as an array of rows of `row_shape` (None: of any shape)."""
    x = numeric(name, value)
    if x.ndim == 0:
        raise ValueError(f"{name}: expected rows, got a single number")
    if x.ndim == 1 and row_shape in (None, (1,)):
        x = x[:, None]
    _check_shape(name, x, row_shape)
    return x


def _check_shape(name: str, x: Array | SparseRows, row_shape: tuple[int, ...] | None) -> None:
    if row_shape is not None and x.shape[1:] != row_shape:
        raise ValueError(
            f"{name}: expected shape {_any_rows(row_shape)}, got {x.shape}{_hint(x, row_shape)}"
        )
    if x.size == 0:
        raise ValueError(f"{name} is empty: its shape is {x.shape}")


def _any_rows(row_shape: tuple[int, ...]) -> str:
    return f"(n, {', '.join(map(str, row_shape))})"


def _hint(x: Array | SparseRows, row_shape: tuple[int, ...]) -> str:
    if x.shape == row_shape:
        return "; a single row is x[None]"
    if math.prod(x.shape[1:]) == math.prod(row_shape):
        if len(row_shape) == 1:
            return "; reshape it, or begin the model with Flatten(input_shape=x.shape[1:])"
        return "; reshape it"
    return ""


def labels(value: object, n: int, output_shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Class labels (n,) as int32, from any integers or integral floats, (n,) or (n, 1).

    The result is always a copy: native code checks labels once and then indexes by them, and
    the caller's array may change during training.
    """
    return integral("y", given_labels(value, n, output_shape))


def given_labels(value: object, n: int, output_shape: tuple[int, ...]) -> Array:
    """Class labels (n,) as they were given: a view of the caller's array, where there is one."""
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
        if y.ndim == 1:
            raise ValueError(f"y: expected {n} labels, one for each row of x, got {len(y)}")
        raise ValueError(
            f"y: expected integer labels of shape ({n},) for outputs of shape "
            f"{(n, *output_shape)}, got {y.shape}{_lies_across('y', y, n)}"
        )
    return y


def integral(name: str, y: Array, place: str = "row") -> NDArray[np.int32]:
    """A copy, as int32, of integers or integral floats (n,); messages count by `place`."""
    if y.dtype.kind == "i":
        copied = y.astype(np.int32, order="C")
        if y.dtype.itemsize <= 4 or np.count_nonzero(copied != y) == 0:
            return copied
    if y.dtype.kind == "f":
        # Narrower floats cannot hold the limits of int32.
        y = y.astype(np.float64)
        # In this form NaN counts as wrong, too.
        _refuse_first(name, y, ~(np.floor(y) == y), "an integer label", place)
    if y.dtype.kind == "f" or y.dtype.itemsize >= 4:
        outside = (y < _LEAST) | (y > _MOST)
        _refuse_first(name, y, outside, "a label that fits in 32 bits", place)
    return np.array(y, dtype=np.int32, order="C")


def _refuse_first(name: str, y: Array, wrong: NDArray[np.bool_], expected: str, place: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"{name}: expected {expected}, got {y[row]} at {place} {row}")


def targets(
    value: object,
    n: int,
    output_shape: tuple[int, ...],
    loss: str,
    *,
    missing_is_nan: bool = False,
    repeated: int = 0,
) -> Array:
    """Targets (n, outputs); (n,) fits one output, and nothing is broadcast.

    `repeated`: how many outputs, one behind the other, may have one target, which is repeated then.

    `missing_is_nan`: whether the loss leaves out missing targets, which are then NaN.
    """
    y = numeric("y", value, missing_is_nan=missing_is_nan)
    width = math.prod(output_shape)
    fits = y.shape == (n, *output_shape) or (width == 1 and y.shape in ((n,), (n, 1)))
    if fits:
        return y.reshape(n, width)
    if repeated and width % repeated == 0:
        of_row = width // repeated
        if y.shape == (n, of_row) or (of_row == 1 and y.shape == (n,)):
            return np.repeat(y.reshape(n, of_row), repeated, axis=1)
    message = f"y: shape {y.shape} does not fit outputs of shape {(n, *output_shape)}"
    if y.shape in ((n,), (n, 1)) and y.dtype.kind in "biu":
        message += f": {loss} wants a target for every output; for integer labels use "
        message += "the loss sparse_categorical_crossentropy"
    elif width == 1:
        message += _lies_across("y", y, n)
    raise ValueError(message)


def _lies_across(name: str, array: Array, n: int) -> str:
    """Advice for a single row of n numbers, which np.matrix makes of a vector."""
    return f"; use np.ravel({name})" if array.shape == (1, n) and n > 1 else ""


def row_weights(name: str, value: object, n: int) -> NDArray[np.float64]:
    """Weights of rows (n,) as float64, from (n,) or (n, 1); a copy, which stays as it is."""
    return weights(name, value, n, 1)


def weights(name: str, value: object, n: int, columns: int | None) -> NDArray[np.float64]:
    """Weights of rows (n,), or of elements (n, columns) where there are several columns.

    `columns`: 1: weights are of rows alone; None: any number, which native code checks.
    """
    given = numeric(name, value)
    if given.shape in ((n,), (n, 1)):
        return np.array(given.reshape(n), dtype=np.float64)
    several = given.ndim == 2 and len(given) == n and columns != 1
    if several and columns in (None, given.shape[1]):
        return np.array(given, dtype=np.float64, order="C")
    expected = f"one weight a row, shape ({n},)"
    if columns not in (None, 1):
        expected += f", or one for each target, shape ({n}, {columns})"
    raise ValueError(
        f"{name}: expected {expected}, got {given.shape}{_lies_across(name, given, n)}"
    )


def times(by_row: NDArray[np.float64] | None, by_other: NDArray[np.float64]) -> NDArray[np.float64]:
    """The product of weights of rows (n,) or elements (n, c)."""
    if by_row is None:
        return by_other
    if by_row.ndim < by_other.ndim:
        return by_row[:, None] * by_other
    return by_row * (by_other if by_row.ndim == by_other.ndim else by_other[:, None])
