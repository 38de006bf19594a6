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


def _documented(name: str, says: str, of: str, gives: str, types: str) -> str:
    """The docstring of a function of each number; its example shows `gives` for the list `of`."""
    return f"""{says}

    >>> print(fastnn.math.{name}({of}).numpy().round(4))
    {gives}

Args:
    x: a Tensor, a Variable, an array or a number, of any shape; integers {types}.

Returns:
    A Tensor of the shape of x.
"""


def _unary(
    name: str,
    doc: str,
    of: str,
    gives: str,
    value: Callable[[Any], Any],
    slope: Callable[[Tensor, Tensor], Any],
) -> Callable[[Any], Tensor]:
    """An operation y = value(x) of each number, with dy * slope(x, y) as its gradient.

    `of` and `gives` are the numbers of the example in its docstring.
    """

    def applied(x: Any) -> Tensor:
        x = floats(x)
        y = Tensor(np.asarray(value(x.value)))
        return recorded(y, (x,), lambda dy: (dy * slope(x, y),))

    applied.__name__ = applied.__qualname__ = name
    applied.__doc__ = _documented(name, doc, of, gives, "become float32")
    return operation(applied)


def native_activation(name: str) -> Callable[[Any], Any]:
    """An activation of the engine, by its own kernel."""

    def value(x: Any) -> Any:
        dtype = np.float64 if x.dtype == np.float64 else np.float32
        return np.asarray(_core.activation_forward(plain(x, dtype), name)).reshape(x.shape)

    return value


exp = _unary("exp", "e ** x.", "[0.0, 1.0]", "[1. 2.7183]", np.exp, lambda _, y: y)

expm1 = _unary(
    "expm1",
    "e ** x - 1, exact near 0, where exp(x) - 1 loses the digits of x.",
    *("[0.0, 1.0]", "[0. 1.7183]"),
    *(np.expm1, lambda _, y: y + 1),
)

log = _unary(
    "log",
    "The natural logarithm; -inf at 0, and NaN below.",
    *("[1.0, np.e, 0.0]", "[  0.   1. -inf]"),
    *(np.log, lambda x, _: 1 / x),
)

log1p = _unary(
    "log1p",
    "log(1 + x), exact near 0, where 1 + x loses the digits of x; -inf at -1, and NaN below.",
    *("[0.0, 1.0]", "[0. 0.6931]"),
    *(np.log1p, lambda x, _: 1 / (x + 1)),
)

sqrt = _unary(
    "sqrt",
    "The square root; NaN below 0. Its gradient, 0.5 / sqrt(x), is infinite at 0.",
    *("[0.0, 2.25, 4.0]", "[0.  1.5 2. ]"),
    *(np.sqrt, lambda _, y: 0.5 / y),
)

rsqrt = _unary(
    "rsqrt",
    "1 / sqrt(x); inf at 0, and NaN below.",
    *("[0.25, 1.0, 4.0]", "[2.  1.  0.5]"),
    *(lambda x: 1 / np.sqrt(x), lambda x, y: -0.5 * y / x),
)

square = _unary("square", "x ** 2.", "[-3.0, 1.5]", "[9. 2.25]", np.square, lambda x, _: 2 * x)

reciprocal = _unary(
    "reciprocal",
    "1 / x; inf at 0.",
    "[2.0, -4.0]",
    "[ 0.5  -0.25]",
    np.reciprocal,
    lambda _, y: -(y * y),
)

sin: Unary = _unary(
    "sin",
    "The sine of x in radians.",
    "[0.0, np.pi / 6]",
    "[0. 0.5]",
    np.sin,
    lambda x, _: cos(x),
)

cos: Unary = _unary(
    "cos",
    "The cosine of x in radians.",
    *("[0.0, np.pi / 3]", "[1. 0.5]"),
    *(np.cos, lambda x, _: -sin(x)),
)

tan = _unary(
    "tan",
    "The tangent of x in radians.",
    *("[0.0, np.pi / 4]", "[0. 1.]"),
    *(np.tan, lambda _, y: 1 + y * y),
)

asin = _unary(
    "asin",
    "The inverse sine, in radians from -pi/2 to pi/2; NaN outside of [-1, 1].",
    *("[0.0, 1.0]", "[0. 1.5708]"),
    *(np.arcsin, lambda x, _: rsqrt(1 - x * x)),
)

acos = _unary(
    "acos",
    "The inverse cosine, in radians from 0 to pi; NaN outside of [-1, 1].",
    *("[1.0, 0.0]", "[0. 1.5708]"),
    *(np.arccos, lambda x, _: -rsqrt(1 - x * x)),
)

atan = _unary(
    "atan",
    "The inverse tangent, in radians from -pi/2 to pi/2.",
    *("[0.0, 1.0, np.inf]", "[0. 0.7854 1.5708]"),
    *(np.arctan, lambda x, _: 1 / (1 + x * x)),
)

sinh: Unary = _unary(
    "sinh",
    "The hyperbolic sine, (exp(x) - exp(-x)) / 2.",
    *("[0.0, 1.0]", "[0. 1.1752]"),
    *(np.sinh, lambda x, _: cosh(x)),
)

cosh: Unary = _unary(
    "cosh",
    "The hyperbolic cosine, (exp(x) + exp(-x)) / 2.",
    *("[0.0, 1.0]", "[1. 1.5431]"),
    *(np.cosh, lambda x, _: sinh(x)),
)

tanh = _unary(
    "tanh",
    "The hyperbolic tangent, sinh(x) / cosh(x).",
    *("[-100.0, 0.0, 1.0]", "[-1. 0. 0.7616]"),
    *(native_activation("tanh"), lambda _, y: 1 - y * y),
)

softplus = _unary(
    "softplus",
    "log(1 + exp(x)), which overflows nowhere.",
    *("[-100.0, 0.0, 100.0]", "[  0.       0.6931 100.    ]"),
    *(native_activation("softplus"), lambda x, _: _slope_of_softplus(x)),
)

relu = _unary(
    "relu",
    "x above 0, 0 below; NaN stays. The gradient at 0 is 0.",
    *("[-3.0, 0.0, 2.0]", "[0. 0. 2.]"),
    *(native_activation("relu"), lambda x, _: sides(x, 0.0)),
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
    """1 / (1 + exp(-x)). Losses use x, which the result keeps, and not the probabilities.

        >>> print(fastnn.math.sigmoid([-100.0, 0.0, 100.0]).numpy().round(3))
        [0.  0.5 1. ]

    Args:
        x: a Tensor, a Variable, an array or a number, of any shape; integers become float32.
    """
    x = floats(x)
    y = Tensor(np.asarray(native_activation("sigmoid")(x.value)))
    y.logits = x, "sigmoid"
    return recorded(y, (x,), lambda dy: (dy * y * (1 - y),))


@operation
def silu(x: Any) -> Tensor:
    """x * sigmoid(x), also called swish (Elfwing et al., 2017).

        >>> print(fastnn.math.silu([-100.0, 0.0, 100.0]).numpy().round(3))
        [ -0.   0. 100.]

    Args:
        x: a Tensor, a Variable, an array or a number, of any shape; integers become float32.
    """
    z = floats(x)
    return z * sigmoid(z)


@operation
def gelu(x: Any, approximate: bool = False) -> Tensor:
    """x times the normal distribution function of x (Hendrycks and Gimpel, 2016).

        >>> print(fastnn.math.gelu([-1.0, 0.0, 1.0]).numpy().round(3))
        [-0.159 0. 0.841]

    Args:
        x: a Tensor, a Variable, an array or a number, of any shape; integers become float32.
        approximate: the form with tanh, 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
    """
    z = floats(x)
    if approximate:
        return 0.5 * z * (1 + tanh(_math.sqrt(2 / _math.pi) * (z + 0.044715 * z * z * z)))
    return _gelu(z)


# The normal distribution function is gelu(x) / x, and its slope the density.
_gelu = _unary(
    "gelu",
    "The exact form.",
    *("[0.0, 1.0]", "[0. 0.8413]"),
    native_activation("gelu"),
    lambda x, _: _distribution(x) + x * _density(x),
)


def _density(x: Tensor) -> Tensor:
    return exp(-0.5 * x * x) * (1 / _math.sqrt(2 * _math.pi))


def _distribution(x: Tensor) -> Tensor:
    return 0.5 * (1 + erf(x * (1 / _math.sqrt(2))))


erf = _unary(
    "erf",
    "The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.",
    *("[0.0, 1.0, 100.0]", "[0.     0.8427 1.    ]"),
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
    """-x.

        >>> fastnn.math.negative([1.5, -2.0]).tolist()
        [-1.5, 2.0]

    Args:
        x: a Tensor, a Variable, an array or a number, of any shape and type but bool.
    """
    x = tensor(x)
    return recorded(Tensor(np.asarray(-x.value)), (x,), lambda dy: (negative(dy),))


@operation
def abs(x: Any) -> Tensor:
    """The absolute value; its gradient at 0 is 0.

        >>> fastnn.math.abs([1.5, -2.0]).tolist()
        [1.5, 2.0]

    Args:
        x: a Tensor, a Variable, an array or a number, of any shape; integers stay integers.
    """
    x = tensor(x)
    return recorded(Tensor(np.asarray(np.abs(x.value))), (x,), lambda dy: (dy * np.sign(x.value),))


def _flat(
    name: str, doc: str, of: str, gives: str, value: Callable[[Any], Any]
) -> Callable[[Any], Tensor]:
    """A function made of steps, whose gradient is 0; its example shows `gives` for the list `of`."""

    def applied(x: Any) -> Tensor:
        x = tensor(x)
        # Before 2.1 NumPy makes float64 of integers.
        kept = x.dtype if x.dtype.kind in "iu" else None
        y = Tensor(np.asarray(value(x.value), kept))
        return recorded(y, (x,), lambda dy: (Tensor(np.zeros(x.shape, dy.dtype)),))

    applied.__name__ = applied.__qualname__ = name
    says = f"{doc}; its gradient is 0."
    applied.__doc__ = _documented(name, says, of, gives, "stay integers")
    return operation(applied)


sign = _flat(
    "sign",
    "-1, 0 or 1 for numbers below, at and above 0",
    "[-5.0, 0.0, 2.0]",
    "[-1. 0. 1.]",
    np.sign,
)

floor = _flat(
    "floor", "The largest integer that is not above x", "[-1.5, 1.5]", "[-2. 1.]", np.floor
)

ceil = _flat("ceil", "The least integer that is not below x", "[-1.5, 1.5]", "[-1. 2.]", np.ceil)

round = _flat(
    "round",
    "The nearest integer, the even one of two",
    *("[0.5, 1.5, 1.7]", "[0. 2. 2.]", np.round),
)


@operation
def is_nan(x: Any) -> Tensor:
    """Where x is NaN, as bools.

        >>> fastnn.math.is_nan([1.0, np.nan, np.inf]).tolist()
        [False, True, False]

    Args:
        x: a Tensor, a Variable, an array or a number, of any shape.
    """
    x = tensor(x)
    return followed(Tensor(np.isnan(x.value)), x)


@operation
def is_finite(x: Any) -> Tensor:
    """Where x is neither NaN nor infinite, as bools.

        >>> fastnn.math.is_finite([1.0, np.nan, np.inf]).tolist()
        [True, False, False]

    Args:
        x: a Tensor, a Variable, an array or a number, of any shape.
    """
    x = tensor(x)
    return followed(Tensor(np.isfinite(x.value)), x)
