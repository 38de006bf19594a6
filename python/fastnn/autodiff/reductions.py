"""Operations along axes: means, extremes, softmax.

The gradient of an extreme is shared equally between all elements that are it."""

from __future__ import annotations

import math as _math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn import _core
from fastnn.arrays.host import plain
from fastnn.autodiff.arithmetic import where
from fastnn.autodiff.broadcasting import (
    Axis,
    Shape,
    axes_of,
    broadcast_to,
    kept_shape,
    reduce_sum,
    reshape,
)
from fastnn.autodiff.convert import floats
from fastnn.autodiff.elementary import abs as absolute
from fastnn.autodiff.elementary import exp, log, sqrt, square
from fastnn.autodiff.quiet import operation, quiet
from fastnn.autodiff.shapes import concat, stack, transpose
from fastnn.autodiff.shapes import reverse as flipped
from fastnn.autodiff.tensor import Tensor, followed, recorded, tensor

# Types that the engine's kernels take.
_NATIVE = frozenset({np.dtype(np.float32), np.dtype(np.float64)})


@operation
def reduce_mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over the axes; None: over all. NaN where there are no numbers.

        >>> fastnn.math.reduce_mean([[1.0, 2.0], [3.0, 6.0]], axis=0).tolist()
        [2.0, 4.0]

    Args:
        x: a Tensor, a Variable or an array; integers become float32.
        axis: an axis or several; None: all.
        keepdims: keep the axes, of length 1.
    """
    x = floats(x)
    count = _math.prod(x.shape[a] for a in axes_of(axis, x.ndim))
    total = reduce_sum(x, axis, keepdims)
    return total / count if count else total * _math.nan


@operation
def reduce_variance(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean of squared distances from the mean, over the axes.

        >>> fastnn.math.reduce_variance([1.0, 3.0]).item()
        1.0

    Args:
        x: a Tensor, a Variable or an array; integers become float32.
        axis: an axis or several; None: all.
        keepdims: keep the axes, of length 1.
    """
    x = floats(x)
    return reduce_mean(square(x - reduce_mean(x, axis, keepdims=True)), axis, keepdims)


@operation
def reduce_std(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The standard deviation over the axes: the root of `reduce_variance`, with the same arguments.

    >>> fastnn.math.reduce_std([1.0, 5.0]).item()
    2.0
    """
    return sqrt(reduce_variance(tensor(x), axis, keepdims))


@operation
def reduce_prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The product over the axes. Its gradient is right where one or more factors are 0.

        >>> fastnn.math.reduce_prod([[2.0, 3.0], [4.0, 5.0]], axis=1).tolist()
        [6.0, 20.0]

    Args:
        x: a Tensor, a Variable or an array.
        axis: an axis or several; None: all.
        keepdims: keep the axes, of length 1.
    """
    x = tensor(x)
    axes = axes_of(axis, x.ndim)
    y = Tensor(np.asarray(x.value.prod(axis=axes, keepdims=keepdims)))
    kept = kept_shape(x.shape, axes)

    def pull(dy: Tensor) -> tuple[Tensor]:
        zeros = (x.value == 0).sum(axis=axes, keepdims=True)
        if not zeros.any():
            return (broadcast_to(reshape(dy * y, kept), x.shape) / x,)
        # The product of the others, by leaving one out at a time.
        rest = tuple(i for i in range(x.ndim) if i not in axes)
        flat = reshape(transpose(x, rest + axes), (*(x.shape[i] for i in rest), -1))
        count = flat.shape[-1]
        others = [
            reduce_prod(concat([flat[..., :i], flat[..., i + 1 :]], axis=-1), axis=-1)
            for i in range(count)
        ]
        back = reshape(
            stack(others, axis=-1), (*(x.shape[i] for i in rest), *(x.shape[i] for i in axes))
        )
        order = np.argsort(rest + axes)
        return (broadcast_to(reshape(dy, kept), x.shape) * transpose(back, tuple(order)),)

    return recorded(y, (x,), pull)


@quiet
def _extreme(x: Any, axis: Axis, keepdims: bool, of: Callable[..., Any]) -> Tensor:
    x = tensor(x)
    axes = axes_of(axis, x.ndim)
    y = Tensor(np.asarray(of(x.value, axis=axes, keepdims=keepdims)))
    kept = kept_shape(x.shape, axes)

    def pull(dy: Tensor) -> tuple[Tensor]:
        best = (x.value == y.value.reshape(kept)).astype(dy.dtype)
        share = best / best.sum(axis=axes, keepdims=True)
        return (broadcast_to(reshape(dy, kept), x.shape) * share,)

    return recorded(y, (x,), pull)


@operation
def reduce_max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest over the axes; NaN where there is one.

        >>> fastnn.math.reduce_max([[1.0, 2.0], [3.0, 0.0]], axis=0).tolist()
        [3.0, 2.0]

    Several that are the largest share the gradient equally.

    Args:
        x: a Tensor, a Variable or an array.
        axis: an axis or several; None: all.
        keepdims: keep the axes, of length 1.
    """
    return _extreme(x, axis, keepdims, np.max)


@operation
def reduce_min(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest over the axes; NaN where there is one.

        >>> fastnn.math.reduce_min([[1.0, 2.0], [3.0, 0.0]], axis=0).tolist()
        [1.0, 0.0]

    Several that are the smallest share the gradient equally.

    Args:
        x: a Tensor, a Variable or an array.
        axis: an axis or several; None: all.
        keepdims: keep the axes, of length 1.
    """
    return _extreme(x, axis, keepdims, np.min)


@operation
def reduce_logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over the axes, which overflows nowhere.

        >>> y = fastnn.math.reduce_logsumexp([1000.0, 1000.0]) - 1000.0
        >>> print(np.exp(y.numpy()).round(3))  # 2 * exp(1000)
        2.0

    Args:
        x: a Tensor, a Variable or an array; integers become float32.
        axis: an axis or several; None: all.
        keepdims: keep the axes, of length 1.
    """
    x = floats(x)
    axes = axes_of(axis, x.ndim)
    top = x.value.max(axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, np.zeros((), x.dtype))
    result = log(reduce_sum(exp(x - top), axis, keepdims=True)) + top
    return result if keepdims else reshape(result, reduce_shape(x.shape, axes))


def reduce_shape(shape: Shape, axes: Sequence[int]) -> Shape:
    """The shape without these axes."""
    return tuple(n for i, n in enumerate(shape) if i not in axes)


@operation
def reduce_any(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether any is true, over the axes.

        >>> fastnn.math.reduce_any([[True, False], [False, False]], axis=1).tolist()
        [True, False]

    Args:
        x: bools; numbers other than 0 are true.
        axis: an axis or several; None: all.
        keepdims: keep the axes, of length 1.
    """
    x = tensor(x)
    y = np.asarray(x.value.any(axis=axes_of(axis, x.ndim), keepdims=keepdims))
    return followed(Tensor(y), x)


@operation
def reduce_all(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all are true, over the axes.

        >>> fastnn.math.reduce_all([[True, True], [True, False]], axis=1).tolist()
        [True, False]

    Args:
        x: bools; numbers other than 0 are true.
        axis: an axis or several; None: all.
        keepdims: keep the axes, of length 1.
    """
    x = tensor(x)
    y = np.asarray(x.value.all(axis=axes_of(axis, x.ndim), keepdims=keepdims))
    return followed(Tensor(y), x)


@operation
def cumsum(x: Any, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """Sums of the elements up to each one along an axis.

        >>> fastnn.cumsum([1, 2, 3]).tolist()
        [1, 3, 6]
        >>> fastnn.cumsum([1, 2, 3], exclusive=True).tolist()
        [0, 1, 3]

    Args:
        x: a Tensor or an array.
        axis: along which to add.
        exclusive: leave the element itself out: the first sum is 0.
        reverse: add from the last element to the first.
    """
    x = tensor(x)
    if reverse:
        return flipped(cumsum(flipped(x, axis), axis, exclusive), axis)
    y = np.cumsum(x.value, axis=axis)
    if exclusive:
        y = _moved(y, axis)

    def pull(dy: Tensor) -> tuple[Tensor]:
        return (cumsum(dy, axis, exclusive, reverse=True),)

    return recorded(Tensor(y), (x,), pull)


def _moved(sums: Any, axis: int) -> Any:
    """The sums one place on, with 0 in front: a difference would round, and inf - inf is NaN."""
    moved = np.roll(sums, 1, axis)
    np.moveaxis(moved, axis, 0)[:1] = 0
    return moved


@operation
def argmax(x: Any, axis: int | None = 0) -> Tensor:
    """The place of the largest along an axis, the first of several; TensorFlow's default axis is 0.

        >>> fastnn.math.argmax([[1.0, 2.0], [3.0, 0.0]], axis=1).tolist()
        [1, 0]

    Args:
        x: a Tensor, a Variable or an array.
        axis: None: the place in the flat array.

    Returns:
        A Tensor of int64.
    """
    x = tensor(x)
    return followed(Tensor(np.asarray(x.value.argmax(axis=axis))), x)


@operation
def argmin(x: Any, axis: int | None = 0) -> Tensor:
    """The place of the smallest along an axis, the first of several; see `argmax`.

    >>> fastnn.math.argmin([[1.0, 2.0], [3.0, 0.0]], axis=1).tolist()
    [0, 1]
    """
    x = tensor(x)
    return followed(Tensor(np.asarray(x.value.argmin(axis=axis))), x)


@operation
def softmax(x: Any, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis. Losses use x, which the result keeps.

        >>> print(fastnn.math.softmax([[0.0, 0.0], [0.0, 1000.0]]).numpy())
        [[0.5 0.5]
         [0.  1. ]]

    Args:
        x: a Tensor, a Variable or an array, of any shape; integers become float32.
        axis: that of the classes.
    """
    x = floats(x)
    value = x.value
    last = axis in (-1, value.ndim - 1)
    if last and value.ndim >= 1 and value.size and value.dtype in _NATIVE:
        p: Any = _core.softmax(plain(value, value.dtype))
        y = Tensor(p if p.shape == value.shape else p.reshape(value.shape))
    else:
        e = np.exp(value - value.max(axis=axis, keepdims=True))
        y = Tensor(e / e.sum(axis=axis, keepdims=True))
    if last:  # losses take classes along the last axis
        y.logits = x, "softmax"
    return recorded(y, (x,), lambda dy: (y * (dy - reduce_sum(dy * y, axis, keepdims=True)),))


@operation
def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """x - log(sum(exp(x))) along an axis, which overflows nowhere.

        >>> print(np.exp(fastnn.math.log_softmax([0.0, 0.0]).numpy()).round(4))
        [0.5 0.5]

    Args:
        x: a Tensor, a Variable or an array, of any shape; integers become float32.
        axis: that of the classes. Along the last a cross-entropy takes the result for logits.
    """
    x = floats(x)
    value = x.value
    last = axis in (-1, value.ndim - 1)
    if last and value.ndim >= 1 and value.size and value.dtype in _NATIVE:
        p: Any = _core.softmax(plain(value, value.dtype), True)
        y = Tensor(p if p.shape == value.shape else p.reshape(value.shape))
    else:
        top = value.max(axis=axis, keepdims=True, initial=-np.inf)
        # Without the largest first: the logarithm of the sum would drown in large numbers.
        z = np.where(value == top, np.zeros((), value.dtype), value - top)
        y = Tensor(z - np.log(np.exp(z).sum(axis=axis, keepdims=True)))
    if last:
        y.logits = None, "linear"
    return recorded(y, (x,), lambda dy: (dy - exp(y) * reduce_sum(dy, axis, keepdims=True),))


@operation
def norm(
    x: Any, ord: str | float = "euclidean", axis: Axis = None, keepdims: bool = False
) -> Tensor:
    """The norm of vectors along an axis, of all numbers, or of matrices along two axes.

        >>> fastnn.norm([[3.0, 4.0], [0.0, 2.0]], axis=1).tolist()
        [5.0, 2.0]
        >>> fastnn.norm([3.0, -4.0], ord=1).item()
        7.0

    Args:
        x: a Tensor or an array.
        ord: "euclidean" (or 2 for vectors, "fro" for matrices): the root of the sum of squares,
            whose gradient is 0 where all numbers are. For vectors any p above 0:
            (sum |x|^p)^(1/p); np.inf: the largest |x|. For matrices 1 and np.inf: the largest
            sum of |x| of a column, of a row.
        axis: None: all numbers as one vector; an axis; or two axes, (rows, columns).
        keepdims: keep the axes, of length 1.

    Raises:
        ValueError: ord has another value.
    """
    x = floats(x)
    matrix = isinstance(axis, (tuple, list)) and len(axis) == 2
    if ord == "euclidean" or ord == ("fro" if matrix else 2):
        squares = reduce_sum(x * x, axis, keepdims)
        none = squares.value == 0
        return where(none, 0.0, sqrt(where(none, 1.0, squares)))
    known = "'euclidean', 'fro', 1 or inf for matrices" if matrix else "'euclidean' or a p above 0"
    if isinstance(ord, str) or not ord > 0 or (matrix and ord not in (1, _math.inf)):
        raise ValueError(f"ord: expected {known}, got {ord!r}")
    if matrix:
        assert isinstance(axis, (tuple, list))
        rows, columns = (int(a) % x.ndim for a in axis)
        added, largest = (rows, columns) if ord == 1 else (columns, rows)
        y = reduce_max(reduce_sum(absolute(x), added, keepdims=True), largest, keepdims=True)
        return y if keepdims else reshape(y, reduce_shape(x.shape, (rows, columns)))
    if ord == _math.inf:
        return reduce_max(absolute(x), axis, keepdims)
    if ord == 1:
        return reduce_sum(absolute(x), axis, keepdims)
    # Beside the largest no power overflows; the quotient has no gradient of its own.
    size = absolute(x)
    top = size.value.max(axis=axes_of(axis, x.ndim), keepdims=True, initial=0)
    top = np.where((top > 0) & np.isfinite(top), top, np.ones((), x.dtype))
    powers = reduce_sum((size / top) ** float(ord), axis, keepdims=True)
    none = powers.value == 0
    y = where(none, 0.0, where(none, 1.0, powers) ** (1 / float(ord))) * top
    return y if keepdims else reshape(y, reduce_shape(x.shape, axes_of(axis, x.ndim)))
