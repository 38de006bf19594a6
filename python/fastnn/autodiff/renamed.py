"""Operations whose arguments have other names in TensorFlow: `fastnn.reduce_mean(input_tensor=x)`.

Each takes its own names, too. `fastnn.math` has the operations themselves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn import activation_words
from fastnn.autodiff import arranging, making
from fastnn.autodiff import functions as f
from fastnn.autodiff.quiet import operation
from fastnn.autodiff.tensor import Tensor, converted


def _named(function: Callable[..., Tensor], **names: str) -> Callable[..., Tensor]:
    """The function with further names of its arguments: theirs="ours"."""

    @functools.wraps(function)
    def called(*args: Any, **given: Any) -> Tensor:
        # All at once: TensorFlow's x may be one argument, and another's own name.
        return function(*args, **{names.get(name, name): value for name, value in given.items()})

    return called


@operation
def argmax(input: Any, axis: int | None = 0, output_type: DTypeLike = np.int64) -> Tensor:
    """The place of the largest along an axis, the first of several.

        >>> fastnn.argmax([[1.0, 2.0], [3.0, 0.0]], axis=1).tolist()
        [1, 0]

    Args:
        input: a Tensor or an array.
        axis: None: the place in the flat array.
        output_type: the type of the places.
    """
    return f.cast(f.argmax(input, axis), output_type)


@operation
def argmin(input: Any, axis: int | None = 0, output_type: DTypeLike = np.int64) -> Tensor:
    """The place of the smallest along an axis, the first of several; see `argmax`.

    >>> fastnn.argmin([[1.0, 2.0], [3.0, 0.0]], axis=1).tolist()
    [0, 1]
    """
    return f.cast(f.argmin(input, axis), output_type)


@operation
def one_hot(
    indices: Any,
    depth: int,
    on_value: Any = None,
    off_value: Any = None,
    axis: int = -1,
    dtype: DTypeLike | None = None,
) -> Tensor:
    """on_value at the place that each integer names along a new axis, else off_value.

        >>> fastnn.one_hot([0, 2], 3).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]

    Args:
        indices: integers; those outside of [0, depth) name no place.
        depth: the length of the new axis.
        on_value, off_value: None: 1 and 0.
        axis: where the new axis is.
        dtype: None: the type of the values; without these float32.
    """
    on, off = (
        np.float32(default) if value is None else converted(value)
        for value, default in ((on_value, 1), (off_value, 0))
    )
    hot = np.where(f.one_hot(indices, depth, bool).numpy(), on, off)
    return Tensor(np.moveaxis(hot.astype(dtype or hot.dtype), -1, axis))


@operation
def zeros_like(input: Any, dtype: DTypeLike | None = None) -> Tensor:
    """Zeros of its shape, and of its type unless dtype says else.

        >>> fastnn.zeros_like([[1, 2], [3, 4]]).tolist()
        [[0, 0], [0, 0]]

    Args:
        input: a Tensor, a Variable or an array.
        dtype: the type of the numbers.
    """
    return Tensor(np.zeros_like(converted(input), dtype))


@operation
def ones_like(input: Any, dtype: DTypeLike | None = None) -> Tensor:
    """Ones of its shape, and of its type unless dtype says else.

        >>> fastnn.ones_like([[1, 2], [3, 4]]).tolist()
        [[1, 1], [1, 1]]

    Args:
        input: a Tensor, a Variable or an array.
        dtype: the type of the numbers.
    """
    return Tensor(np.ones_like(converted(input), dtype))


def _pairwise(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return _named(function, x="a", y="b")


def _of_input(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return _named(function, input="x", tensor="x", value="x", input_tensor="x", params="x")


add = _pairwise(f.add)
subtract = _pairwise(f.subtract)
multiply = _pairwise(f.multiply)
divide = _pairwise(f.divide)
pow = _pairwise(f.power)
maximum = _pairwise(f.maximum)
minimum = _pairwise(f.minimum)
atan2 = _pairwise(f.atan2)
equal = _pairwise(f.equal)
not_equal = _pairwise(f.not_equal)
greater = _pairwise(f.greater)
greater_equal = _pairwise(f.greater_equal)
less = _pairwise(f.less)
less_equal = _pairwise(f.less_equal)
logical_and = _pairwise(f.logical_and)
logical_or = _pairwise(f.logical_or)
where = _pairwise(f.where)

reduce_sum = _of_input(f.reduce_sum)
reduce_mean = _of_input(f.reduce_mean)
reduce_prod = _of_input(f.reduce_prod)
reduce_max = _of_input(f.reduce_max)
reduce_min = _of_input(f.reduce_min)
reduce_all = _of_input(f.reduce_all)
reduce_any = _of_input(f.reduce_any)
reduce_logsumexp = _of_input(f.reduce_logsumexp)
expand_dims = _of_input(f.expand_dims)
squeeze = _of_input(f.squeeze)
tile = _of_input(f.tile)
reshape = _of_input(f.reshape)
reverse = _of_input(f.reverse)
gather = _of_input(f.gather)
boolean_mask = _of_input(f.boolean_mask)
broadcast_to = _of_input(f.broadcast_to)
norm = _of_input(f.norm)
identity = _of_input(f.identity)
stop_gradient = _of_input(f.stop_gradient)
pad = _of_input(arranging.pad)
repeat = _of_input(arranging.repeat)
roll = _of_input(arranging.roll)
shape = _of_input(making.shape)
rank = _of_input(making.rank)
size = _of_input(making.size)

clip_by_value = _named(f.clip_by_value, t="x", clip_value_min="low", clip_value_max="high")
logical_not = _named(f.logical_not, x="a")
slice = _named(arranging.slice_of, input_="x")
softmax = _named(f.softmax, logits="x")
activation_words.functions[softmax] = "softmax"
transpose = _named(f.transpose, a="x")
