"""Tensors that are made of shapes and ranges, and what programs ask about Tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn.autodiff.quiet import operation
from fastnn.autodiff.tensor import Tensor, converted
from fastnn.console import say
from fastnn.variables import Variable


@operation
def range(start: Any, limit: Any = None, delta: Any = 1, dtype: DTypeLike | None = None) -> Tensor:
    """start, start + delta, ... below limit; with one number the integers from 0 below it.

        >>> fastnn.range(3).tolist()
        [0, 1, 2]
        >>> fastnn.range(1.0, 2.0, 0.5).tolist()
        [1.0, 1.5]

    Args:
        start, limit, delta: numbers; limit=None: from 0 to start.
        dtype: None: int32 for integers, float32 for other numbers.

    Raises:
        ValueError: delta is 0.
    """
    if limit is None:
        start, limit = 0, start
    bounds = [converted(bound) for bound in (start, limit, delta)]
    if bounds[2] == 0:
        raise ValueError("delta: expected a number other than 0, got 0")
    whole = all(bound.dtype.kind in "iu" for bound in bounds)
    kind = dtype or (np.int32 if whole else np.float32)
    return Tensor(np.arange(*(bound.item() for bound in bounds)).astype(kind))


@operation
def linspace(start: Any, stop: Any, num: int) -> Tensor:
    """num numbers at equal distances from start to stop, both included; floats stay in their type.

        >>> fastnn.linspace(0.0, 1.0, 5).tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]

    Args:
        start, stop: numbers, or arrays of one shape, which gives several rows.
        num: how many, along the first axis.
    """
    ends = np.result_type(converted(start), converted(stop))
    kind = ends if ends.kind == "f" else np.dtype(np.float32)
    return Tensor(np.linspace(converted(start), converted(stop), int(num)).astype(kind))


@operation
def fill(dims: Sequence[int] | int, value: Any) -> Tensor:
    """A Tensor of this shape, of the same number everywhere.

        >>> fastnn.fill([2, 2], 7).tolist()
        [[7, 7], [7, 7]]

    Args:
        dims: the shape.
        value: the number, whose type the Tensor has; floats of Python are float32.
    """
    return Tensor(np.full(tuple(np.atleast_1d(converted(dims))), converted(value)))


@operation
def eye(num_rows: int, num_columns: int | None = None, dtype: DTypeLike = np.float32) -> Tensor:
    """1 on the diagonal and 0 elsewhere; num_columns=None: as many as rows.

        >>> fastnn.eye(2, 3).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]

    Args:
        num_rows, num_columns: the shape.
        dtype: the type of the numbers.
    """
    return Tensor(np.eye(int(num_rows), num_columns, dtype=dtype))


@operation
def shape(x: Any) -> Tensor:
    """The shape of x as a Tensor of int32; `x.shape` is the tuple.

        >>> fastnn.shape([[1, 2, 3], [4, 5, 6]]).tolist()
        [2, 3]

    Args:
        x: a Tensor, a Variable or an array.
    """
    return Tensor(np.array(_shape_of(x), np.int32))


@operation
def rank(x: Any) -> Tensor:
    """The number of axes of x, as a Tensor of int32; `x.ndim` is the number.

        >>> fastnn.rank([[1, 2, 3], [4, 5, 6]]).item()
        2

    Args:
        x: a Tensor, a Variable or an array.
    """
    return Tensor(np.array(len(_shape_of(x)), np.int32))


@operation
def size(x: Any) -> Tensor:
    """The number of elements of x, as a Tensor of int32; `x.size` is the number.

        >>> fastnn.size([[1, 2, 3], [4, 5, 6]]).item()
        6

    Args:
        x: a Tensor, a Variable or an array.
    """
    return Tensor(np.array(np.prod(_shape_of(x), dtype=np.int64), np.int32))


def is_tensor(x: Any) -> bool:
    """Whether x is a Tensor or a Variable.

    >>> fastnn.is_tensor(fastnn.constant(1.0)), fastnn.is_tensor(np.ones(3))
    (True, False)
    """
    return isinstance(x, (Tensor, Variable))


def _shape_of(x: Any) -> tuple[int, ...]:
    return x.shape if isinstance(x, (Tensor, Variable, np.ndarray)) else converted(x).shape


# -- programs --------------------------------------------------------------------------------------


class UnconnectedGradients:
    """What a tape gives for sources on which the target does not depend, by TensorFlow's names.

    >>> fastnn.UnconnectedGradients.ZERO
    'zero'
    """

    NONE = "none"
    ZERO = "zero"


def executing_eagerly() -> bool:
    """True: operations compute at once.

    >>> fastnn.executing_eagerly()
    True
    """
    return True


def function(func: Any = None, **_: Any) -> Any:
    """The function itself: `@tf.function` compiles nothing here, and changes no result.

        >>> @fastnn.function
        ... def double(x):
        ...     return 2 * x
        >>> double(21)
        42

    `fit` of a model made of layers is native without it.

    Args:
        func: the function; None: a decorator is returned, as for `@tf.function(jit_compile=True)`.
        **_: options of TensorFlow's, which have no effect.

    Raises:
        TypeError: func is no function.
    """
    if func is None:
        return lambda given: given
    if not callable(func):
        raise TypeError(f"function: expected a function, got {func!r}")
    return func


def print(*inputs: Any, sep: str = " ", end: str = "\n") -> None:
    """Prints values to standard output, Tensors and Variables as the numbers in them.

        >>> fastnn.print("loss:", fastnn.constant(0.25))
        loss: 0.25

    Args:
        *inputs: Tensors, arrays, strings and so on.
        sep, end: between the values, and behind the last one.
    """
    texts = [str(x.numpy()) if isinstance(x, (Tensor, Variable)) else str(x) for x in inputs]
    say(sep.join(texts), end)
