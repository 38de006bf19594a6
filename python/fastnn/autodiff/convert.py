"""Numbers and arrays as Tensors, of one type and another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn.autodiff.quiet import operation
from fastnn.autodiff.tensor import Tensor, converted, followed, marked, recorded, tensor


@operation
def constant(
    value: Any, dtype: DTypeLike | None = None, shape: Sequence[int] | None = None
) -> Tensor:
    """A Tensor of these numbers: a copy. Lists of floats become float32 unless dtype says else.

        >>> fastnn.constant(0.5, shape=(2, 2)).tolist()
        [[0.5, 0.5], [0.5, 0.5]]

    Args:
        value: a number, a list, an array, a Tensor or a Variable.
        dtype: the type of the numbers.
        shape: to reshape to; a single number fills it.

    Raises:
        ValueError: the shape has another number of elements.
    """
    array = np.array(converted(value), dtype=dtype)
    if shape is not None:
        wanted = tuple(shape)
        array = np.full(wanted, array) if array.size == 1 else array.reshape(wanted)
    return Tensor(array)


@operation
def convert_to_tensor(value: Any, dtype: DTypeLike | None = None) -> Tensor:
    """`value` as a Tensor; a Tensor of that type is returned as it is.

        >>> fastnn.convert_to_tensor(np.array([1, 2]), dtype=fastnn.float32).tolist()
        [1.0, 2.0]

    Args:
        value: a number, a list, an array, a Tensor or a Variable.
        dtype: the type of the numbers; None: that of value, of lists of floats float32.
    """
    result = tensor(value)
    return result if dtype is None or result.dtype == np.dtype(dtype) else cast(result, dtype)


@operation
def cast(x: Any, dtype: DTypeLike) -> Tensor:
    """Converts the numbers to another type; gradients are converted back.

        >>> fastnn.cast([1.7, -1.7], fastnn.int32).tolist()
        [1, -1]

    Integers and bools have no gradient: none goes through a conversion to them.

    Args:
        x: a Tensor, a Variable or an array.
        dtype: a type of NumPy, or its name.
    """
    x = tensor(x)
    y = Tensor(x.value.astype(dtype))
    if y.dtype.kind != "f":
        return followed(y, x)
    made = recorded(y, (x,), lambda dy: (cast(dy, x.dtype),))
    return made if x.logits is None else marked(made, x, lambda z: cast(z, dtype))


@operation
def stop_gradient(x: Any) -> Tensor:
    """The same numbers, through which no gradient goes.

        >>> x = fastnn.constant(3.0)
        >>> with fastnn.GradientTape() as tape:
        ...     tape.watch(x)
        ...     y = x * fastnn.stop_gradient(x)
        >>> tape.gradient(y, x).item()  # that of 3 * x, not of x * x
        3.0

    Args:
        x: a Tensor, a Variable or an array.
    """
    x = tensor(x)
    made = followed(Tensor(x.value), x)
    return made if x.logits is None else marked(made, x, stop_gradient)


@operation
def identity(x: Any) -> Tensor:
    """The same numbers as another Tensor, through which gradients go.

        >>> fastnn.identity([1.0, 2.0]).tolist()
        [1.0, 2.0]

    Args:
        x: a Tensor, a Variable or an array.
    """
    x = tensor(x)
    made = recorded(Tensor(x.value), (x,), lambda dy: (dy,))
    return made if x.logits is None else marked(made, x, identity)


_NUMBERS = (bool, int, float)


def pair(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Both as Tensors; a number of Python takes the type of the other."""
    if type(b) in _NUMBERS:
        return _beside(tensor(a), b)
    if type(a) in _NUMBERS:
        right, left = _beside(tensor(b), a)
        return left, right
    return tensor(a), tensor(b)


def _beside(x: Tensor, number: float) -> tuple[Tensor, Tensor]:
    if type(number) is float and x.dtype.kind != "f":
        x = cast(x, np.float32)
    kind = None if x.dtype.kind == "b" and type(number) is int else x.dtype
    return x, Tensor(np.asarray(number, kind))


def floats(x: Any) -> Tensor:
    """x with floats; integers become float32."""
    x = tensor(x)
    return x if x.dtype.kind == "f" else followed(Tensor(x.value.astype(np.float32)), x)


@operation
def zeros_like(x: Any) -> Tensor:
    """Zeros of its shape and type.

        >>> fastnn.zeros_like([[1, 2], [3, 4]]).tolist()
        [[0, 0], [0, 0]]

    Args:
        x: a Tensor, a Variable or an array.
    """
    return Tensor(np.zeros_like(tensor(x).value))


@operation
def ones_like(x: Any) -> Tensor:
    """Ones of its shape and type.

        >>> fastnn.ones_like([[1, 2], [3, 4]]).tolist()
        [[1, 1], [1, 1]]

    Args:
        x: a Tensor, a Variable or an array.
    """
    return Tensor(np.ones_like(tensor(x).value))


@operation
def zeros(shape: Sequence[int] | int, dtype: DTypeLike = np.float32) -> Tensor:
    """A Tensor of zeros.

        >>> fastnn.zeros((2, 3)).tolist()
        [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]

    Args:
        shape: of the Tensor.
        dtype: the type of the numbers.
    """
    return Tensor(np.zeros(shape, dtype))


@operation
def ones(shape: Sequence[int] | int, dtype: DTypeLike = np.float32) -> Tensor:
    """A Tensor of ones.

        >>> fastnn.ones(3).tolist()
        [1.0, 1.0, 1.0]

    Args:
        shape: of the Tensor.
        dtype: the type of the numbers.
    """
    return Tensor(np.ones(shape, dtype))


@operation
def one_hot(indices: Any, depth: int, dtype: DTypeLike = np.float32) -> Tensor:
    """1 at the place that each integer names along a last axis of length `depth`, else 0.

        >>> fastnn.math.one_hot([0, 2, -1], 3).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]

    Args:
        indices: integers; those outside of [0, depth) name no place.
        depth: the length of the new axis.
        dtype: the type of the numbers.
    """
    places = tensor(indices)
    y = Tensor((places.value[..., None] == np.arange(depth)).astype(dtype))
    return followed(y, places, adds_axis=True)
