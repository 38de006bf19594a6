"""Operations on Tensors, with NumPy's broadcasting and types: `fastnn.math`.

Each takes Tensors, Variables, arrays or numbers and returns a Tensor. Gradients are made of the same
operations, so that they have gradients in turn. Where a function has a corner (abs, maximum, relu),
the gradient there is the one that PyTorch and TensorFlow give: 0 for abs and relu, shared equally
between the two sides for maximum and minimum, and between all largest elements for reduce_max.
"""

from __future__ import annotations

import math as _math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn import _core
from fastnn.arrays.host import plain
from fastnn.autodiff.tensor import Tensor, converted, operations, recorded, tensor, ufuncs
from fastnn.variables import Variable

Axis = int | Sequence[int] | None
Shape = tuple[int, ...]
Unary = Callable[[Any], Tensor]


# -- types -----------------------------------------------------------------------------------------


def constant(
    value: Any, dtype: DTypeLike | None = None, shape: Sequence[int] | None = None
) -> Tensor:
    """A Tensor of these numbers: a copy. Lists of floats become float32 unless dtype says else.

    Args:
        value: a number, a list, an array, a Tensor or a Variable.
        dtype: the type of the numbers.
        shape: to reshape to; a single number fills it.
    """
    array = np.array(converted(value), dtype=dtype)
    if shape is not None:
        wanted = tuple(shape)
        array = np.full(wanted, array) if array.size == 1 else array.reshape(wanted)
    return Tensor(array)


def convert_to_tensor(value: Any, dtype: DTypeLike | None = None) -> Tensor:
    """`value` as a Tensor; a Tensor of that type is returned as it is."""
    result = tensor(value)
    return result if dtype is None or result.dtype == np.dtype(dtype) else cast(result, dtype)


def cast(x: Any, dtype: DTypeLike) -> Tensor:
    """Converts the numbers to another type; gradients are converted back.

    Integers and bools have no gradient: none goes through a conversion to them.
    """
    x = tensor(x)
    y = Tensor(x.value.astype(dtype))
    if y.dtype.kind != "f":
        return y
    return recorded(y, (x,), lambda dy: (cast(dy, x.dtype),))


def stop_gradient(x: Any) -> Tensor:
    """The same numbers, through which no gradient goes."""
    return Tensor(tensor(x).value)


def identity(x: Any) -> Tensor:
    """The same numbers as another Tensor."""
    x = tensor(x)
    return recorded(Tensor(x.value), (x,), lambda dy: (dy,))


_NUMBERS = (bool, int, float)


def _pair(a: Any, b: Any) -> tuple[Tensor, Tensor]:
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


def _to_shape(dy: Tensor, shape: Shape) -> Tensor:
    """The gradient of broadcasting: sums over the axes that were added or stretched."""
    if dy.shape == shape:
        return dy
    added = dy.ndim - len(shape)
    axes = tuple(range(added)) + tuple(
        i + added for i, n in enumerate(shape) if n == 1 and dy.shape[i + added] != 1
    )
    summed = reduce_sum(dy, axes) if axes else dy
    return reshape(summed, shape)


# -- two operands ----------------------------------------------------------------------------------


def add(a: Any, b: Any) -> Tensor:
    """a + b."""
    a, b = _pair(a, b)
    return recorded(
        Tensor(np.asarray(a.value + b.value)),
        (a, b),
        lambda dy: (_to_shape(dy, a.shape), _to_shape(dy, b.shape)),
    )


def subtract(a: Any, b: Any) -> Tensor:
    """a - b."""
    a, b = _pair(a, b)
    return recorded(
        Tensor(np.asarray(a.value - b.value)),
        (a, b),
        lambda dy: (_to_shape(dy, a.shape), _to_shape(negative(dy), b.shape)),
    )


def multiply(a: Any, b: Any) -> Tensor:
    """a * b."""
    a, b = _pair(a, b)
    return recorded(
        Tensor(np.asarray(a.value * b.value)),
        (a, b),
        lambda dy: (_to_shape(dy * b, a.shape), _to_shape(dy * a, b.shape)),
    )


def divide(a: Any, b: Any) -> Tensor:
    """a / b; integers are divided as floats."""
    a, b = _pair(a, b)
    with np.errstate(all="ignore"):
        y = Tensor(np.asarray(a.value / b.value))
    return recorded(
        y, (a, b), lambda dy: (_to_shape(dy / b, a.shape), _to_shape(negative(dy) * y / b, b.shape))
    )


def power(a: Any, b: Any) -> Tensor:
    """a ** b."""
    a, b = _pair(a, b)
    with np.errstate(all="ignore"):
        y = Tensor(np.asarray(a.value**b.value))

    def pull(dy: Tensor) -> tuple[Tensor, Tensor | None]:
        # x ** 0 has the slope 0 at 0, not 0 * inf.
        slope = where(b.value == 0, 0.0, b * power(a, where(b.value == 0, 1.0, b - 1)))
        da = _to_shape(dy * slope, a.shape)
        if b.value.dtype.kind != "f":
            return da, None
        # y * log(a) is 0 where a is 0 and b above: the limit.
        logs = log(where(a.value == 0, 1.0, a))
        return da, _to_shape(dy * y * logs, b.shape)

    return recorded(y, (a, b), pull)


def _choice(a: Any, b: Any, choose: Callable[..., Any], wins: Callable[..., Any]) -> Tensor:
    a, b = _pair(a, b)
    y = Tensor(np.asarray(choose(a.value, b.value)))

    def pull(dy: Tensor) -> tuple[Tensor, Tensor]:
        half = 0.5 * (a.value == b.value)
        left = (wins(a.value, b.value) + half).astype(dy.dtype)
        return _to_shape(dy * left, a.shape), _to_shape(dy * (1 - left), b.shape)

    return recorded(y, (a, b), pull)


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of both, element by element; NaN where either is NaN."""
    return _choice(a, b, np.maximum, np.greater)


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of both, element by element; NaN where either is NaN."""
    return _choice(a, b, np.minimum, np.less)


def squared_difference(a: Any, b: Any) -> Tensor:
    """(a - b) ** 2."""
    return square(subtract(a, b))


def atan2(a: Any, b: Any) -> Tensor:
    """The angle of the point (b, a)."""
    a, b = _pair(a, b)
    y = Tensor(np.asarray(np.arctan2(a.value, b.value)))

    def pull(dy: Tensor) -> tuple[Tensor, Tensor]:
        norm = a * a + b * b
        norm = where(norm.value == 0, 1.0, norm)  # the gradient at the origin is 0
        return _to_shape(dy * b / norm, a.shape), _to_shape(negative(dy) * a / norm, b.shape)

    return recorded(y, (a, b), pull)


def floormod(a: Any, b: Any) -> Tensor:
    """a % b, with the sign of b."""
    a, b = _pair(a, b)
    y = Tensor(np.asarray(np.mod(a.value, b.value)))
    floors = np.floor_divide(a.value, b.value)
    return recorded(
        y, (a, b), lambda dy: (_to_shape(dy, a.shape), _to_shape(negative(dy) * floors, b.shape))
    )


def floordiv(a: Any, b: Any) -> Tensor:
    """The largest integer that is not above a / b; it has no gradient."""
    a, b = _pair(a, b)
    return Tensor(np.asarray(np.floor_divide(a.value, b.value)))


def _comparison(compare: Callable[..., Any]) -> Callable[[Any, Any], Tensor]:
    def compared(a: Any, b: Any) -> Tensor:
        a, b = _pair(a, b)
        return Tensor(np.asarray(compare(a.value, b.value)))

    compared.__name__ = compared.__qualname__ = compare.__name__
    compared.__doc__ = f"Where {compare.__name__.replace('_', ' ')} holds, as bools."
    return compared


equal = _comparison(np.equal)
not_equal = _comparison(np.not_equal)
greater = _comparison(np.greater)
greater_equal = _comparison(np.greater_equal)
less = _comparison(np.less)
less_equal = _comparison(np.less_equal)
logical_and = _comparison(np.logical_and)
logical_or = _comparison(np.logical_or)


def logical_not(a: Any) -> Tensor:
    """Where `a` is false, as bools."""
    return Tensor(np.asarray(np.logical_not(tensor(a).value)))


# -- one operand -----------------------------------------------------------------------------------


def _floats(x: Any) -> Tensor:
    """x with floats; integers become float32."""
    x = tensor(x)
    return x if x.dtype.kind == "f" else Tensor(x.value.astype(np.float32))


def _unary(
    name: str, doc: str, value: Callable[[Any], Any], slope: Callable[[Tensor, Tensor], Any]
) -> Callable[[Any], Tensor]:
    """An operation y = value(x) of each number, with dy * slope(x, y) as its gradient."""

    def operation(x: Any) -> Tensor:
        x = _floats(x)
        with np.errstate(all="ignore"):
            y = Tensor(np.asarray(value(x.value)))
        return recorded(y, (x,), lambda dy: (dy * slope(x, y),))

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = doc
    return operation


def _native(name: str) -> Callable[[Any], Any]:
    """An activation of the engine, by its own kernel."""

    def value(x: Any) -> Any:
        dtype = np.float64 if x.dtype == np.float64 else np.float32
        return np.asarray(_core.activation_forward(plain(x, dtype), name, None)).reshape(x.shape)

    return value


exp = _unary("exp", "e ** x.", np.exp, lambda _, y: y)
expm1 = _unary("expm1", "e ** x - 1, exact near 0.", np.expm1, lambda _, y: y + 1)
log = _unary("log", "The natural logarithm.", np.log, lambda x, _: 1 / x)
log1p = _unary("log1p", "log(1 + x), exact near 0.", np.log1p, lambda x, _: 1 / (x + 1))
sqrt = _unary("sqrt", "The square root.", np.sqrt, lambda _, y: 0.5 / y)
rsqrt = _unary("rsqrt", "1 / sqrt(x).", lambda x: 1 / np.sqrt(x), lambda x, y: -0.5 * y / x)
square = _unary("square", "x ** 2.", np.square, lambda x, _: 2 * x)
reciprocal = _unary("reciprocal", "1 / x.", np.reciprocal, lambda _, y: -(y * y))
sin: Unary = _unary("sin", "The sine.", np.sin, lambda x, _: cos(x))
cos: Unary = _unary("cos", "The cosine.", np.cos, lambda x, _: -sin(x))
tan = _unary("tan", "The tangent.", np.tan, lambda _, y: 1 + y * y)
asin = _unary("asin", "The inverse sine.", np.arcsin, lambda x, _: rsqrt(1 - x * x))
acos = _unary("acos", "The inverse cosine.", np.arccos, lambda x, _: -rsqrt(1 - x * x))
atan = _unary("atan", "The inverse tangent.", np.arctan, lambda x, _: 1 / (1 + x * x))
sinh: Unary = _unary("sinh", "The hyperbolic sine.", np.sinh, lambda x, _: cosh(x))
cosh: Unary = _unary("cosh", "The hyperbolic cosine.", np.cosh, lambda x, _: sinh(x))
tanh = _unary("tanh", "The hyperbolic tangent.", _native("tanh"), lambda _, y: 1 - y * y)
softplus = _unary("softplus", "log(1 + exp(x)).", _native("softplus"), lambda x, _: sigmoid(x))
relu = _unary("relu", "x above 0, 0 below; NaN stays.", _native("relu"), lambda x, _: _above(x))


def _above(x: Tensor) -> Any:
    return (x.value > 0).astype(x.dtype)


def sigmoid(x: Any) -> Tensor:
    """1 / (1 + exp(-x)). Losses use x, which the result keeps, and not the probabilities."""
    x = _floats(x)
    y = Tensor(np.asarray(_native("sigmoid")(x.value)))
    y.logits = x, "sigmoid"
    return recorded(y, (x,), lambda dy: (dy * y * (1 - y),))


def silu(x: Any) -> Tensor:
    """x * sigmoid(x), also called swish."""
    z = _floats(x)
    return z * sigmoid(z)


def gelu(x: Any, approximate: bool = False) -> Tensor:
    """x times the normal distribution function of x (Hendrycks and Gimpel, 2016).

    Args:
        approximate: the form with tanh.
    """
    z = _floats(x)
    if approximate:
        return 0.5 * z * (1 + tanh(_math.sqrt(2 / _math.pi) * (z + 0.044715 * z * z * z)))
    return _gelu(z)


# The normal distribution function is gelu(x) / x, and its slope the density.
_gelu = _unary(
    "gelu",
    "The exact form.",
    _native("gelu"),
    lambda x, _: _distribution(x) + x * _density(x),
)


def _density(x: Tensor) -> Tensor:
    return exp(-0.5 * x * x) * (1 / _math.sqrt(2 * _math.pi))


def _distribution(x: Tensor) -> Tensor:
    return 0.5 * (1 + erf(x * (1 / _math.sqrt(2))))


erf = _unary(
    "erf",
    "The error function.",
    # gelu(z) = z / 2 * (1 + erf(z / sqrt(2))) would do, but for z = 0.
    lambda x: _erf(x),
    lambda x, _: exp(-(x * x)) * (2 / _math.sqrt(_math.pi)),
)


def _erf(x: Any) -> Any:
    dtype = np.float64 if x.dtype == np.float64 else np.float32
    flat = np.asarray(x, np.float64)
    return (
        np.vectorize(_math.erf, otypes=[np.float64])(flat).astype(dtype)
        if flat.size
        else flat.astype(dtype)
    )


def negative(x: Any) -> Tensor:
    """-x."""
    x = tensor(x)
    return recorded(Tensor(np.asarray(-x.value)), (x,), lambda dy: (negative(dy),))


def abs(x: Any) -> Tensor:
    """The absolute value."""
    x = tensor(x)
    return recorded(Tensor(np.asarray(np.abs(x.value))), (x,), lambda dy: (dy * np.sign(x.value),))


def _flat(name: str, value: Callable[[Any], Any]) -> Callable[[Any], Tensor]:
    """A function made of steps, whose gradient is 0."""

    def operation(x: Any) -> Tensor:
        x = tensor(x)
        y = Tensor(np.asarray(value(x.value)))
        return recorded(y, (x,), lambda dy: (Tensor(np.zeros(x.shape, dy.dtype)),))

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = f"{name} of each number; its gradient is 0."
    return operation


sign = _flat("sign", np.sign)
floor = _flat("floor", np.floor)
ceil = _flat("ceil", np.ceil)
round = _flat("round", np.round)


def is_nan(x: Any) -> Tensor:
    """Where x is NaN, as bools."""
    return Tensor(np.isnan(tensor(x).value))


def is_finite(x: Any) -> Tensor:
    """Where x is neither NaN nor infinite, as bools."""
    return Tensor(np.isfinite(tensor(x).value))


def clip_by_value(x: Any, low: Any, high: Any) -> Tensor:
    """x cut to [low, high]; no gradient goes to numbers that are cut."""
    x, low, high = tensor(x), converted(low), converted(high)
    if "f" in (low.dtype.kind, high.dtype.kind):
        x = _floats(x)
    low, high = low.astype(x.dtype), high.astype(x.dtype)
    inside = ((x.value >= low) & (x.value <= high)).astype(x.dtype)
    return recorded(
        Tensor(np.asarray(np.clip(x.value, low, high))),
        (x,),
        lambda dy: (_to_shape(dy * inside, x.shape),),
    )


def where(condition: Any, a: Any = None, b: Any = None) -> Tensor:
    """a where the condition holds, else b; with the condition alone, the indices where it holds."""
    chosen = converted(condition).astype(bool)
    if a is None and b is None:
        return Tensor(np.argwhere(chosen))
    a, b = _pair(a, b)
    y = Tensor(np.where(chosen, a.value, b.value))
    return recorded(
        y,
        (a, b),
        lambda dy: (
            _to_shape(where(chosen, dy, np.zeros((), dy.dtype)), a.shape),
            _to_shape(where(chosen, np.zeros((), dy.dtype), dy), b.shape),
        ),
    )


# -- sums and their like -----------------------------------------------------------------------------


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    given = (
        range(ndim) if axis is None else ((axis,) if isinstance(axis, (int, np.integer)) else axis)
    )
    found = tuple(int(a) + ndim if a < 0 else int(a) for a in given)
    if any(not 0 <= a < ndim for a in found):
        raise ValueError(f"axis: expected axes of {ndim}, got {axis}")
    return found


def _kept(shape: Shape, axes: Sequence[int]) -> Shape:
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def reduce_sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over the axes; None: over all."""
    x = tensor(x)
    axes = _axes(axis, x.ndim)
    y = Tensor(np.asarray(x.value.sum(axis=axes, keepdims=keepdims)))
    kept = _kept(x.shape, axes)
    return recorded(y, (x,), lambda dy: (broadcast_to(reshape(dy, kept), x.shape),))


def reduce_mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over the axes; None: over all. NaN where there are no numbers."""
    x = _floats(x)
    count = _math.prod(x.shape[a] for a in _axes(axis, x.ndim))
    total = reduce_sum(x, axis, keepdims)
    return total / count if count else total * _math.nan


def reduce_variance(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean of squared distances from the mean."""
    x = _floats(x)
    return reduce_mean(square(x - reduce_mean(x, axis, keepdims=True)), axis, keepdims)


def reduce_std(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The root of `reduce_variance`."""
    return sqrt(reduce_variance(x, axis, keepdims))


def reduce_prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The product over the axes. Its gradient is right where one or more factors are 0."""
    x = tensor(x)
    axes = _axes(axis, x.ndim)
    y = Tensor(np.asarray(x.value.prod(axis=axes, keepdims=keepdims)))
    kept = _kept(x.shape, axes)

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


def _extreme(x: Any, axis: Axis, keepdims: bool, of: Callable[..., Any]) -> Tensor:
    x = tensor(x)
    axes = _axes(axis, x.ndim)
    y = Tensor(np.asarray(of(x.value, axis=axes, keepdims=keepdims)))
    kept = _kept(x.shape, axes)

    def pull(dy: Tensor) -> tuple[Tensor]:
        best = (x.value == y.value.reshape(kept)).astype(dy.dtype)
        share = best / best.sum(axis=axes, keepdims=True)
        return (broadcast_to(reshape(dy, kept), x.shape) * share,)

    return recorded(y, (x,), pull)


def reduce_max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest over the axes."""
    return _extreme(x, axis, keepdims, np.max)


def reduce_min(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest over the axes."""
    return _extreme(x, axis, keepdims, np.min)


def reduce_logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))), which overflows nowhere."""
    x = _floats(x)
    axes = _axes(axis, x.ndim)
    top = x.value.max(axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, np.zeros((), x.dtype))
    result = log(reduce_sum(exp(x - top), axis, keepdims=True)) + top
    return result if keepdims else reshape(result, reduce_shape(x.shape, axes))


def reduce_shape(shape: Shape, axes: Sequence[int]) -> Shape:
    """The shape without these axes."""
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def reduce_any(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether any is true, over the axes."""
    x = tensor(x)
    return Tensor(np.asarray(x.value.any(axis=_axes(axis, x.ndim), keepdims=keepdims)))


def reduce_all(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all are true, over the axes."""
    x = tensor(x)
    return Tensor(np.asarray(x.value.all(axis=_axes(axis, x.ndim), keepdims=keepdims)))


def cumsum(x: Any, axis: int = 0) -> Tensor:
    """Sums of the first elements along an axis."""
    x = tensor(x)
    y = Tensor(np.cumsum(x.value, axis=axis))
    return recorded(y, (x,), lambda dy: (reverse(cumsum(reverse(dy, axis), axis), axis),))


def argmax(x: Any, axis: int | None = 0) -> Tensor:
    """The place of the largest along an axis, the first of several; TensorFlow's default axis is 0."""
    return Tensor(np.asarray(tensor(x).value.argmax(axis=axis)))


def argmin(x: Any, axis: int | None = 0) -> Tensor:
    """The place of the smallest along an axis, the first of several."""
    return Tensor(np.asarray(tensor(x).value.argmin(axis=axis)))


def softmax(x: Any, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis. Losses use x, which the result keeps."""
    x = _floats(x)
    if axis in (-1, x.ndim - 1) and x.ndim >= 1 and x.size and x.dtype in (np.float32, np.float64):
        y = Tensor(np.asarray(_core.softmax(plain(x.value, x.dtype))).reshape(x.shape))
    else:
        e = np.exp(x.value - x.value.max(axis=axis, keepdims=True))
        y = Tensor(e / e.sum(axis=axis, keepdims=True))
    if axis in (-1, x.ndim - 1):  # losses take classes along the last axis
        y.logits = x, "softmax"
    return recorded(y, (x,), lambda dy: (y * (dy - reduce_sum(dy * y, axis, keepdims=True)),))


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """x - log(sum(exp(x))) along an axis."""
    z = _floats(x)
    # Without the largest first: the logarithm of the sum would drown in large numbers.
    top = z.value.max(axis=axis, keepdims=True, initial=-np.inf)
    z = z - np.where(np.isfinite(top), top, np.zeros((), z.dtype))
    return z - reduce_logsumexp(z, axis, keepdims=True)


def norm(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The Euclidean length; its gradient is 0 where all numbers are."""
    x = _floats(x)
    squares = reduce_sum(x * x, axis, keepdims)
    none = squares.value == 0
    return where(none, 0.0, sqrt(where(none, 1.0, squares)))


# -- shapes ----------------------------------------------------------------------------------------


def reshape(x: Any, shape: Sequence[int] | int) -> Tensor:
    """The same numbers in another shape; one length may be -1."""
    x = tensor(x)
    y = Tensor(x.value.reshape(shape))
    return recorded(y, (x,), lambda dy: (reshape(dy, x.shape),))


def transpose(x: Any, perm: Sequence[int] | None = None) -> Tensor:
    """Axes in another order; None: reversed."""
    x = tensor(x)
    order = tuple(reversed(range(x.ndim))) if perm is None else tuple(int(i) for i in perm)
    back = tuple(int(i) for i in np.argsort(order))
    y = Tensor(x.value.transpose(order))
    return recorded(y, (x,), lambda dy: (transpose(dy, back),))


def expand_dims(x: Any, axis: int) -> Tensor:
    """A new axis of length 1."""
    x = tensor(x)
    y = Tensor(np.expand_dims(x.value, axis))
    return recorded(y, (x,), lambda dy: (reshape(dy, x.shape),))


def squeeze(x: Any, axis: Axis = None) -> Tensor:
    """Without axes of length 1; None: all of them."""
    x = tensor(x)
    y = Tensor(np.squeeze(x.value, axis if axis is None else _axes(axis, x.ndim)))
    return recorded(y, (x,), lambda dy: (reshape(dy, x.shape),))


def broadcast_to(x: Any, shape: Sequence[int]) -> Tensor:
    """The numbers repeated along axes as broadcasting does."""
    z = tensor(x)
    if z.shape == tuple(shape):
        return z
    y = Tensor(np.broadcast_to(z.value, tuple(shape)))
    return recorded(y, (z,), lambda dy: (_to_shape(dy, z.shape),))


def tile(x: Any, multiples: Sequence[int]) -> Tensor:
    """The array repeated so many times along each axis."""
    x = tensor(x)
    if len(multiples) != x.ndim:
        raise ValueError(f"multiples: expected {x.ndim} numbers, got {list(multiples)}")
    split = tuple(n for pair in zip(multiples, x.shape, strict=True) for n in pair)
    y = Tensor(np.tile(x.value, multiples))
    axes = tuple(range(0, 2 * x.ndim, 2))
    return recorded(y, (x,), lambda dy: (reduce_sum(reshape(dy, split), axes),))


def reverse(x: Any, axis: Axis) -> Tensor:
    """The elements along axes in reverse order."""
    x = tensor(x)
    axes = _axes(axis, x.ndim)
    return recorded(Tensor(np.flip(x.value, axes)), (x,), lambda dy: (reverse(dy, axes),))


def concat(values: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors one after the other along an axis."""
    parts = [tensor(value) for value in values]
    y = Tensor(np.concatenate([part.value for part in parts], axis=axis))
    ends = np.cumsum([part.shape[axis] for part in parts])

    def pull(dy: Tensor) -> list[Tensor]:
        before = (slice(None),) * (axis if axis >= 0 else dy.ndim + axis)
        begins = [0, *ends[:-1]]
        return [dy[(*before, slice(int(b), int(e)))] for b, e in zip(begins, ends, strict=True)]

    return recorded(y, tuple(parts), pull)


def stack(values: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    return concat([expand_dims(value, axis) for value in values], axis)


def unstack(x: Any, axis: int = 0) -> list[Tensor]:
    """The parts along an axis, without it."""
    x = tensor(x)
    before = (slice(None),) * (axis if axis >= 0 else x.ndim + axis)
    return [x[(*before, i)] for i in range(x.shape[axis])]


def getitem(x: Any, index: Any) -> Tensor:
    """x[index], with NumPy's indices: numbers, slices, arrays of integers or bools."""
    x = tensor(x)
    place = _index(index)
    y = Tensor(np.asarray(x.value[place]))
    return recorded(y, (x,), lambda dy: (_scatter(dy, place, x.shape),))


def _index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_index(part) for part in index)
    return index.value if isinstance(index, Tensor) else index


def _scatter(dy: Any, place: Any, shape: Shape) -> Tensor:
    """Zeros with dy added at the place: the gradient of getitem."""
    dy = tensor(dy)
    array = np.zeros(shape, dy.dtype)
    np.add.at(array, place, dy.value)
    return recorded(Tensor(array), (dy,), lambda dz: (getitem(dz, place),))


def gather(x: Any, indices: Any, axis: int = 0) -> Tensor:
    """The slices along an axis that integers name."""
    x = tensor(x)
    before = (slice(None),) * (axis if axis >= 0 else x.ndim + axis)
    return getitem(x, (*before, converted(indices)))


def boolean_mask(x: Any, mask: Any) -> Tensor:
    """The elements, or slices of the first axes, where the mask is true."""
    return getitem(x, converted(mask).astype(bool))


def one_hot(indices: Any, depth: int, dtype: DTypeLike = np.float32) -> Tensor:
    """1 at the place that each integer names along a last axis of length `depth`, else 0."""
    places = converted(indices)
    return Tensor((places[..., None] == np.arange(depth)).astype(dtype))


def zeros_like(x: Any) -> Tensor:
    """Zeros of its shape and type."""
    return Tensor(np.zeros_like(tensor(x).value))


def ones_like(x: Any) -> Tensor:
    """Ones of its shape and type."""
    return Tensor(np.ones_like(tensor(x).value))


def zeros(shape: Sequence[int] | int, dtype: DTypeLike = np.float32) -> Tensor:
    """A Tensor of zeros."""
    return Tensor(np.zeros(shape, dtype))


def ones(shape: Sequence[int] | int, dtype: DTypeLike = np.float32) -> Tensor:
    """A Tensor of ones."""
    return Tensor(np.ones(shape, dtype))


# -- products --------------------------------------------------------------------------------------


def matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Tensor:
    """The matrix product, of the last two axes; further axes are broadcast, as by NumPy's `@`."""
    a, b = _pair(a, b)
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
        da = _to_shape(matmul(full, _swapped(right)), left.shape)
        db = _to_shape(matmul(_swapped(left), full), right.shape)
        return reshape(da, a.shape), reshape(db, b.shape)

    return recorded(y, (a, b), pull)


def _swapped(x: Any) -> Tensor:
    x = tensor(x)
    order = list(range(x.ndim))
    order[-2:] = order[-1], order[-2]
    return transpose(x, order)


def tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    """Sums of products over axes of both: a number of them, or a pair of lists, as NumPy's."""
    a, b = _pair(a, b)
    if isinstance(axes, int):
        of_a, of_b = tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes))
    else:
        of_a, of_b = (_axes(given, t.ndim) for given, t in zip(axes, (a, b), strict=True))
    rest_a = tuple(i for i in range(a.ndim) if i not in of_a)
    rest_b = tuple(i for i in range(b.ndim) if i not in of_b)
    left_shape = tuple(a.shape[i] for i in rest_a)
    right_shape = tuple(b.shape[i] for i in rest_b)
    inner = _math.prod(a.shape[i] for i in of_a)
    left = reshape(transpose(a, rest_a + of_a), (_math.prod(left_shape), inner))
    right = reshape(transpose(b, of_b + rest_b), (inner, _math.prod(right_shape)))
    return reshape(matmul(left, right), left_shape + right_shape)


# -- operators -------------------------------------------------------------------------------------

operations.update(
    {
        "add": add,
        "sub": subtract,
        "mul": multiply,
        "truediv": divide,
        "floordiv": floordiv,
        "mod": floormod,
        "pow": power,
        "matmul": matmul,
        "and": logical_and,
        "or": logical_or,
        "neg": negative,
        "abs": abs,
        "invert": logical_not,
        "lt": less,
        "le": less_equal,
        "gt": greater,
        "ge": greater_equal,
        "eq": equal,
        "ne": not_equal,
        "getitem": getitem,
    }
)
_OPERATORS = tuple(operations)
# What `tensor` and the tape call.
operations.update({"cast": cast, "reshape": reshape, "stack": stack})
ufuncs.update(
    {
        **{getattr(np, f.__name__): f for f in (add, subtract, multiply, divide, power, matmul)},
        **{getattr(np, f.__name__): f for f in (maximum, minimum, equal, not_equal, greater)},
        **{getattr(np, f.__name__): f for f in (greater_equal, less, less_equal, logical_and)},
        **{getattr(np, f.__name__): f for f in (logical_or, logical_not, exp, expm1, log, log1p)},
        **{getattr(np, f.__name__): f for f in (sqrt, square, reciprocal, sin, cos, tan, sinh)},
        **{getattr(np, f.__name__): f for f in (cosh, tanh, negative, sign, floor, ceil)},
        np.arcsin: asin,
        np.arccos: acos,
        np.arctan: atan,
        np.arctan2: atan2,
        np.absolute: abs,
        np.floor_divide: floordiv,
        np.remainder: floormod,
        np.isnan: is_nan,
        np.isfinite: is_finite,
    }
)


def _of_tensor(method: str) -> Callable[..., Any]:
    """A method of Variables: that of the Tensor of their values."""

    def called(variable: Variable, *args: Any) -> Any:
        return getattr(Tensor, method)(tensor(variable), *args)

    called.__name__ = method
    return called


# Variables have the same operators, but for equality: they stay keys of dictionaries.
for _name in set(_OPERATORS) - {"eq", "ne"}:
    for _method in (f"__{_name}__", f"__r{_name}__"):
        if hasattr(Tensor, _method):
            setattr(Variable, _method, getattr(Tensor, _method))
for _method in ("__float__", "__int__", "__bool__", "__len__", "__iter__", "__format__"):
    setattr(Variable, _method, _of_tensor(_method))
