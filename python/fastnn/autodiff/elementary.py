"""Functions of one number: exponentials, roots, angles, and the activations made of them.

Where a function has a corner (abs, relu), the gradient there is the one that PyTorch and TensorFlow
give, 0."""

from __future__ import annotations

import math as _math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import _core
from fastnn.arrays.host import plain
from fastnn.autodiff.convert import floats
from fastnn.autodiff.quiet import operation
from fastnn.autodiff.tensor import Tensor, followed, recorded, tensor

Unary = Callable[[Any], Tensor]


def _unary(
    name: str, doc: str, value: Callable[[Any], Any], slope: Callable[[Tensor, Tensor], Any]
) -> Callable[[Any], Tensor]:
    """An operation y = value(x) of each number, with dy * slope(x, y) as its gradient."""

    def applied(x: Any) -> Tensor:
        x = floats(x)
        y = Tensor(np.asarray(value(x.value)))
        return recorded(y, (x,), lambda dy: (dy * slope(x, y),))

    applied.__name__ = applied.__qualname__ = name
    applied.__doc__ = doc
    return operation(applied)


def native_activation(name: str) -> Callable[[Any], Any]:
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

tanh = _unary("tanh", "The hyperbolic tangent.", native_activation("tanh"), lambda _, y: 1 - y * y)

softplus = _unary(
    "softplus",
    "log(1 + exp(x)).",
    native_activation("softplus"),
    lambda x, _: _slope_of_softplus(x),
)

relu = _unary(
    "relu", "x above 0, 0 below; NaN stays.", native_activation("relu"), lambda x, _: sides(x, 0.0)
)


def sides(x: Tensor, below: float) -> Tensor:
    """1 where x is above 0, and `below` elsewhere. It depends on x: its gradient is 0, not None."""
    dtype = x.dtype.type
    y = Tensor(np.where(x.value > 0, dtype(1), dtype(below)))
    return recorded(y, (x,), lambda _: (Tensor(np.zeros_like(x.value)),))


def _slope_of_softplus(x: Tensor) -> Tensor:
    return sigmoid(x)


@operation
def sigmoid(x: Any) -> Tensor:
    """1 / (1 + exp(-x)). Losses use x, which the result keeps, and not the probabilities."""
    x = floats(x)
    y = Tensor(np.asarray(native_activation("sigmoid")(x.value)))
    y.logits = x, "sigmoid"
    return recorded(y, (x,), lambda dy: (dy * y * (1 - y),))


@operation
def silu(x: Any) -> Tensor:
    """x * sigmoid(x), also called swish."""
    z = floats(x)
    return z * sigmoid(z)


@operation
def gelu(x: Any, approximate: bool = False) -> Tensor:
    """x times the normal distribution function of x (Hendrycks and Gimpel, 2016).

    Args:
        approximate: the form with tanh.
    """
    z = floats(x)
    if approximate:
        return 0.5 * z * (1 + tanh(_math.sqrt(2 / _math.pi) * (z + 0.044715 * z * z * z)))
    return _gelu(z)


# The normal distribution function is gelu(x) / x, and its slope the density.
_gelu = _unary(
    "gelu",
    "The exact form.",
    native_activation("gelu"),
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


@operation
def negative(x: Any) -> Tensor:
    """-x."""
    x = tensor(x)
    return recorded(Tensor(np.asarray(-x.value)), (x,), lambda dy: (negative(dy),))


@operation
def abs(x: Any) -> Tensor:
    """The absolute value."""
    x = tensor(x)
    return recorded(Tensor(np.asarray(np.abs(x.value))), (x,), lambda dy: (dy * np.sign(x.value),))


def _flat(name: str, value: Callable[[Any], Any]) -> Callable[[Any], Tensor]:
    """A function made of steps, whose gradient is 0."""

    def applied(x: Any) -> Tensor:
        x = tensor(x)
        y = Tensor(np.asarray(value(x.value)))
        return recorded(y, (x,), lambda dy: (Tensor(np.zeros(x.shape, dy.dtype)),))

    applied.__name__ = applied.__qualname__ = name
    applied.__doc__ = f"{name} of each number; its gradient is 0."
    return operation(applied)


sign = _flat("sign", np.sign)

floor = _flat("floor", np.floor)

ceil = _flat("ceil", np.ceil)

round = _flat("round", np.round)


@operation
def is_nan(x: Any) -> Tensor:
    """Where x is NaN, as bools."""
    x = tensor(x)
    return followed(Tensor(np.isnan(x.value)), x)


@operation
def is_finite(x: Any) -> Tensor:
    """Where x is neither NaN nor infinite, as bools."""
    x = tensor(x)
    return followed(Tensor(np.isfinite(x.value)), x)
