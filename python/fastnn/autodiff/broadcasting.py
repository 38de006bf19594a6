"""Operations that repeat numbers along axes, and the sums that are their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.autodiff.quiet import operation
from fastnn.autodiff.tensor import Tensor, marked, recorded, tensor

Axis = int | Sequence[int] | None
Shape = tuple[int, ...]


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    given = (
        range(ndim) if axis is None else ((axis,) if isinstance(axis, (int, np.integer)) else axis)
    )
    found = tuple(int(a) + ndim if a < 0 else int(a) for a in given)
    if any(not 0 <= a < ndim for a in found):
        raise ValueError(f"axis: expected axes of {ndim}, got {axis}")
    return found


def kept_shape(shape: Shape, axes: Sequence[int]) -> Shape:
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


@operation
def reshape(x: Any, shape: Sequence[int] | int) -> Tensor:
    """The same numbers in another shape, row by row; one length may be -1.

        >>> fastnn.math.reshape([1, 2, 3, 4, 5, 6], (2, -1)).tolist()
        [[1, 2, 3], [4, 5, 6]]

    Args:
        x: a Tensor, a Variable or an array.
        shape: as many elements as x has; -1 stands for the length that makes it so.

    Raises:
        ValueError: the number of elements differs.
    """
    x = tensor(x)
    y = Tensor(x.value.reshape(shape))
    made = recorded(y, (x,), lambda dy: (reshape(dy, x.shape),))
    return made if x.logits is None else marked(made, x, lambda z: reshape(z, shape))


@operation
def broadcast_to(x: Any, shape: Sequence[int]) -> Tensor:
    """The numbers repeated along axes as broadcasting does.

        >>> fastnn.math.broadcast_to([1, 2], (2, 2)).tolist()
        [[1, 2], [1, 2]]

    Args:
        x: a Tensor, a Variable or an array.
        shape: to which the shape of x broadcasts.

    Raises:
        ValueError: it does not.
    """
    z = tensor(x)
    if z.shape == tuple(shape):
        return z
    y = Tensor(np.broadcast_to(z.value, tuple(shape)))
    return recorded(y, (z,), lambda dy: (to_shape(dy, z.shape),))


@operation
def reduce_sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over the axes; None: over all.

        >>> fastnn.math.reduce_sum([[1, 2], [3, 4]], axis=0).tolist()
        [4, 6]
        >>> fastnn.math.reduce_sum([[1, 2], [3, 4]]).item()
        10

    Args:
        x: a Tensor, a Variable or an array.
        axis: an axis or several; None: all.
        keepdims: keep the axes, of length 1.
    """
    x = tensor(x)
    axes = axes_of(axis, x.ndim)
    y = Tensor(np.asarray(x.value.sum(axis=axes, keepdims=keepdims)))
    kept = kept_shape(x.shape, axes)
    return recorded(y, (x,), lambda dy: (broadcast_to(reshape(dy, kept), x.shape),))


def to_shape(dy: Tensor, shape: Shape) -> Tensor:
    """The gradient of broadcasting: sums over the axes that were added or stretched."""
    if dy.shape == shape:
        return dy
    added = dy.ndim - len(shape)
    axes = tuple(range(added)) + tuple(
        i + added for i, n in enumerate(shape) if n == 1 and dy.shape[i + added] != 1
    )
    summed = reduce_sum(dy, axes) if axes else dy
    return reshape(summed, shape)
