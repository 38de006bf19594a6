"""Operations of `fastnn.math` by NumPy's functions, and with NumPy's arguments: tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn.autodiff import (
    arithmetic,
    broadcasting,
    convert,
    elementary,
    products,
    reductions,
    shapes,
)
from fastnn.autodiff.tensor import Tensor, converted, tensor

Operation = Callable[..., Tensor]


class NoOperation(Exception):
    """These arguments of NumPy's are none of the operation's."""


UFUNCS: dict[np.ufunc, Operation] = {
    np.add: arithmetic.add,
    np.subtract: arithmetic.subtract,
    np.multiply: arithmetic.multiply,
    np.divide: arithmetic.divide,
    np.floor_divide: arithmetic.floordiv,
    np.remainder: arithmetic.floormod,
    np.power: arithmetic.power,
    np.matmul: products.matmul,
    np.maximum: arithmetic.maximum,
    np.minimum: arithmetic.minimum,
    np.arctan2: arithmetic.atan2,
    np.equal: arithmetic.equal,
    np.not_equal: arithmetic.not_equal,
    np.greater: arithmetic.greater,
    np.greater_equal: arithmetic.greater_equal,
    np.less: arithmetic.less,
    np.less_equal: arithmetic.less_equal,
    np.logical_and: arithmetic.logical_and,
    np.logical_or: arithmetic.logical_or,
    np.logical_not: arithmetic.logical_not,
    np.positive: convert.identity,
    np.negative: elementary.negative,
    np.absolute: elementary.abs,
    np.fabs: elementary.abs,
    np.exp: elementary.exp,
    np.expm1: elementary.expm1,
    np.log: elementary.log,
    np.log1p: elementary.log1p,
    np.sqrt: elementary.sqrt,
    np.square: elementary.square,
    np.reciprocal: elementary.reciprocal,
    np.sin: elementary.sin,
    np.cos: elementary.cos,
    np.tan: elementary.tan,
    np.arcsin: elementary.asin,
    np.arccos: elementary.acos,
    np.arctan: elementary.atan,
    np.sinh: elementary.sinh,
    np.cosh: elementary.cosh,
    np.tanh: elementary.tanh,
    np.sign: elementary.sign,
    np.floor: elementary.floor,
    np.ceil: elementary.ceil,
    np.rint: elementary.round,
    np.isnan: elementary.is_nan,
    np.isfinite: elementary.is_finite,
}
# ufunc.reduce, whose default axis is 0.
REDUCTIONS: dict[np.ufunc, Operation] = {
    np.add: broadcasting.reduce_sum,
    np.multiply: reductions.reduce_prod,
    np.maximum: reductions.reduce_max,
    np.minimum: reductions.reduce_min,
    np.logical_and: reductions.reduce_all,
    np.logical_or: reductions.reduce_any,
}


# -- with NumPy's arguments ------------------------------------------------------------------------


def _reduction(operation: Operation) -> Operation:
    def reduced(a: Any, axis: broadcasting.Axis = None, *, keepdims: bool = False) -> Tensor:
        return operation(a, axis, keepdims)

    return reduced


def _flat(x: Any) -> Tensor:
    return broadcasting.reshape(x, (-1,))


def _place(operation: Operation) -> Operation:
    def found(a: Any, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        place = operation(a, axis)
        if not keepdims:
            return place
        return Tensor(
            place.value.reshape((1,) * tensor(a).ndim)
            if axis is None
            else np.expand_dims(place.value, axis)
        )

    return found


def _cumsum(a: Any, axis: int | None = None) -> Tensor:
    return reductions.cumsum(_flat(a), 0) if axis is None else reductions.cumsum(a, axis)


def _norm(
    x: Any, ord: int | None = None, axis: broadcasting.Axis = None, keepdims: bool = False
) -> Tensor:
    # For a matrix, 2 means its largest singular value.
    if ord is not None and (ord != 2 or tensor(x).ndim != 1):
        raise NoOperation
    return reductions.norm(x, axis=axis, keepdims=keepdims)


def _dot(a: Any, b: Any) -> Tensor:
    a, b = convert.pair(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return arithmetic.multiply(a, b)
    if a.ndim <= 2 and b.ndim <= 2:
        return products.matmul(a, b)
    return products.tensordot(a, b, ([-1], [-1 if b.ndim == 1 else -2]))


def _vdot(a: Any, b: Any, /) -> Tensor:
    return products.matmul(_flat(a), _flat(b))


def _inner(a: Any, b: Any, /) -> Tensor:
    a, b = convert.pair(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return arithmetic.multiply(a, b)
    return products.tensordot(a, b, ([-1], [-1]))


def _outer(a: Any, b: Any) -> Tensor:
    return arithmetic.multiply(broadcasting.reshape(a, (-1, 1)), broadcasting.reshape(b, (1, -1)))


def _concatenate(arrays: Sequence[Any], /, axis: int | None = 0) -> Tensor:
    if axis is None:
        return shapes.concat([_flat(array) for array in arrays], 0)
    return shapes.concat(arrays, axis)


def _stack(arrays: Sequence[Any], axis: int = 0) -> Tensor:
    return shapes.stack(list(arrays), axis)


def _at_least(x: Any, ndim: int) -> Tensor:
    x = tensor(x)
    missing = max(ndim - x.ndim, 0)
    return broadcasting.reshape(x, (1,) * missing + x.shape)


def _vstack(tup: Sequence[Any]) -> Tensor:
    return shapes.concat([_at_least(part, 2) for part in tup], 0)


def _hstack(tup: Sequence[Any]) -> Tensor:
    parts = [_at_least(part, 1) for part in tup]
    return shapes.concat(parts, 0 if parts[0].ndim == 1 else 1)


def _reshape(a: Any, /, shape: Any) -> Tensor:
    return broadcasting.reshape(a, shape)


def _transpose(a: Any, axes: Sequence[int] | None = None) -> Tensor:
    x = tensor(a)
    return shapes.transpose(x, None if axes is None else [axis % x.ndim for axis in axes])


def _swapaxes(a: Any, axis1: int, axis2: int) -> Tensor:
    x = tensor(a)
    order = list(range(x.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return shapes.transpose(x, order)


def _moveaxis(a: Any, source: Any, destination: Any) -> Tensor:
    x = tensor(a)
    # The lengths of a shape that tells its axes apart.
    moved = np.moveaxis(np.empty(range(x.ndim)), source, destination).shape
    return shapes.transpose(x, moved)


def _expand_dims(a: Any, axis: Any) -> Tensor:
    x = tensor(a)
    return broadcasting.reshape(x, np.expand_dims(x.value, axis).shape)


def _squeeze(a: Any, axis: broadcasting.Axis = None) -> Tensor:
    return shapes.squeeze(a, axis)


def _broadcast_to(array: Any, shape: Any) -> Tensor:
    return broadcasting.broadcast_to(array, (shape,) if isinstance(shape, int) else shape)


def _tile(A: Any, reps: Any) -> Tensor:
    x = tensor(A)
    times = tuple(np.atleast_1d(converted(reps)).tolist())
    ndim = max(x.ndim, len(times))
    return shapes.tile(_at_least(x, ndim), (1,) * (ndim - len(times)) + times)


def _flip(m: Any, axis: broadcasting.Axis = None) -> Tensor:
    return shapes.reverse(m, axis)


def _clip(
    a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None
) -> Tensor:
    x = tensor(a)
    low = a_min if min is None else min
    high = a_max if max is None else max
    if low is None:
        low = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    if high is None:
        high = np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).max
    return arithmetic.clip_by_value(x, low, high)


def _where(condition: Any, x: Any, y: Any, /) -> Tensor:
    return arithmetic.where(condition, x, y)


def _take(a: Any, indices: Any, axis: int | None = None) -> Tensor:
    return shapes.gather(_flat(a), indices, 0) if axis is None else shapes.gather(a, indices, axis)


def _round(a: Any, decimals: int = 0) -> Tensor:
    if decimals:
        raise NoOperation
    return elementary.round(a)


def _zeros_like(a: Any) -> Tensor:
    return convert.zeros_like(a)


def _ones_like(a: Any) -> Tensor:
    return convert.ones_like(a)


FUNCTIONS: dict[Callable[..., Any], Operation] = {
    np.sum: _reduction(broadcasting.reduce_sum),
    np.mean: _reduction(reductions.reduce_mean),
    np.var: _reduction(reductions.reduce_variance),
    np.std: _reduction(reductions.reduce_std),
    np.prod: _reduction(reductions.reduce_prod),
    np.max: _reduction(reductions.reduce_max),
    np.amax: _reduction(reductions.reduce_max),
    np.min: _reduction(reductions.reduce_min),
    np.amin: _reduction(reductions.reduce_min),
    np.any: _reduction(reductions.reduce_any),
    np.all: _reduction(reductions.reduce_all),
    np.argmax: _place(reductions.argmax),
    np.argmin: _place(reductions.argmin),
    np.cumsum: _cumsum,
    np.linalg.norm: _norm,
    np.dot: _dot,
    np.vdot: _vdot,
    np.inner: _inner,
    np.outer: _outer,
    np.tensordot: products.tensordot,
    np.concatenate: _concatenate,
    np.stack: _stack,
    np.vstack: _vstack,
    np.hstack: _hstack,
    np.reshape: _reshape,
    np.ravel: _flat,
    np.transpose: _transpose,
    np.swapaxes: _swapaxes,
    np.moveaxis: _moveaxis,
    np.expand_dims: _expand_dims,
    np.squeeze: _squeeze,
    np.broadcast_to: _broadcast_to,
    np.tile: _tile,
    np.flip: _flip,
    np.clip: _clip,
    np.where: _where,
    np.take: _take,
    np.round: _round,
    np.around: _round,
    np.zeros_like: _zeros_like,
    np.ones_like: _ones_like,
}
