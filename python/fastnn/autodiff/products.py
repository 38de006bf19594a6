"""Products of matrices."""

from __future__ import annotations

import math as _math
from typing import Any

import numpy as np

from fastnn.autodiff.broadcasting import axes_of, reshape, to_shape
from fastnn.autodiff.convert import pair
from fastnn.autodiff.quiet import operation
from fastnn.autodiff.shapes import expand_dims, transpose
from fastnn.autodiff.tensor import Tensor, recorded, tensor


@operation
def matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Tensor:
    """The matrix product, of the last two axes; further axes are broadcast, as by NumPy's `@`.

        >>> fastnn.matmul([[1, 2], [3, 4]], [[1], [10]]).tolist()
        [[21], [43]]

    Args:
        a: (..., n, k), or a vector (k,).
        b: (..., k, m), or a vector (k,).
        transpose_a, transpose_b: whether the last two axes are exchanged first.

    Returns:
        A Tensor (..., n, m); the axis of a vector is left out.

    Raises:
        ValueError: shapes do not fit.
    """
    a, b = pair(a, b)
    least_a, least_b = 1 + transpose_a, 1 + transpose_b
    if a.ndim < least_a or b.ndim < least_b:
        raise ValueError(f"matmul: expected matrices, got shapes {a.shape} and {b.shape}")
    if transpose_a:
        a = _swapped(a)
    if transpose_b:
        b = _swapped(b)
    try:
        y = Tensor(np.asarray(a.value @ b.value))
    except ValueError:
        raise ValueError(f"matmul: shapes {a.shape} and {b.shape} do not fit") from None

    def pull(dy: Tensor) -> tuple[Tensor, Tensor]:
        # A vector is a matrix of one row or column, whose axis the product leaves out.
        left = expand_dims(a, 0) if a.ndim == 1 else a
        right = expand_dims(b, 1) if b.ndim == 1 else b
        full = dy
        if a.ndim == 1:
            full = expand_dims(full, -1 if b.ndim == 1 else -2)
        if b.ndim == 1:
            full = expand_dims(full, -1)
        da = to_shape(matmul(full, _swapped(right)), left.shape)
        db = to_shape(matmul(_swapped(left), full), right.shape)
        return reshape(da, a.shape), reshape(db, b.shape)

    return recorded(y, (a, b), pull)


def _swapped(x: Any) -> Tensor:
    x = tensor(x)
    order = list(range(x.ndim))
    order[-2:] = order[-1], order[-2]
    return transpose(x, order)


@operation
def tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    """Sums of products over axes of both: a number of them, or a pair of lists, as NumPy's.

        >>> fastnn.tensordot([1, 2, 3], [1, 10, 100], axes=1).item()
        321

    Args:
        a, b: Tensors, Variables or arrays.
        axes: n: the last n axes of a with the first n of b; or (axes of a, axes of b).

    Returns:
        A Tensor of the other axes of a, then those of b.
    """
    a, b = pair(a, b)
    if isinstance(axes, int):
        of_a, of_b = tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes))
    else:
        of_a, of_b = (axes_of(given, t.ndim) for given, t in zip(axes, (a, b), strict=True))
    rest_a = tuple(i for i in range(a.ndim) if i not in of_a)
    rest_b = tuple(i for i in range(b.ndim) if i not in of_b)
    left_shape = tuple(a.shape[i] for i in rest_a)
    right_shape = tuple(b.shape[i] for i in rest_b)
    inner = _math.prod(a.shape[i] for i in of_a)
    left = reshape(transpose(a, rest_a + of_a), (_math.prod(left_shape), inner))
    right = reshape(transpose(b, of_b + rest_b), (inner, _math.prod(right_shape)))
    return reshape(matmul(left, right), left_shape + right_shape)
