"""Activations of the engine as operations that have gradients of gradients.

What is computed forwards and once backwards is native (`kernels`); these formulas are for second
derivatives. At kinks they have the native slopes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.activation_words import Native
from fastnn.autodiff import functions as f
from fastnn.autodiff.elementary import sides
from fastnn.autodiff.quiet import operation
from fastnn.autodiff.tensor import Tensor, tensor

# The constants of selu (Klambauer et al., 2017).
_SELU_ALPHA = 1.6732632423543772
_SELU_SCALE = 1.0507009873554805


def _rectifier(z: Tensor, max_value: float, negative_slope: float, threshold: float) -> Tensor:
    above = z if max_value == math.inf else f.where(z.value >= max_value, max_value, z)
    below = negative_slope * (z - threshold) if negative_slope else 0.0
    return f.where(z.value <= threshold, below, above)


def _leaky_relu(z: Tensor, negative_slope: float) -> Tensor:
    sloped: Tensor = z * sides(z, negative_slope)
    return sloped


def _exponential_below(z: Tensor, alpha: Any, scale: Any) -> Tensor:
    """z above 0, and alpha (exp(z / scale) - 1) below."""
    return f.where(z.value > 0, z, alpha * f.expm1(f.minimum(z, 0.0) / scale))


def _hard_sigmoid(z: Tensor) -> Tensor:
    inside = (z + 3.0) * (1 / 6)
    return f.where(z.value <= -3, 0.0, f.where(z.value >= 3, 1.0, inside))


def _squareplus(z: Tensor, b: float) -> Tensor:
    return 0.5 * (z + f.sqrt(z * z + b)) if b else f.relu(z)


def _sparse_plus(z: Tensor) -> Tensor:
    inside = 0.25 * f.square(z + 1.0)
    return f.where(z.value <= -1, 0.0, f.where(z.value >= 1, z, inside))


def _sparse_sigmoid(z: Tensor) -> Tensor:
    return f.where(z.value <= -1, 0.0, f.where(z.value >= 1, 1.0, 0.5 * (z + 1.0)))


def _shrunk(z: Tensor, threshold: float, beyond: Any) -> Tensor:
    return f.where(np.abs(z.value) <= threshold, 0.0, beyond)


def glu(z: Any, axis: int = -1) -> Tensor:
    """a sigmoid(b), with the halves a and b of an axis."""
    z = tensor(z)
    place = axis % z.ndim if z.ndim else 0
    size = z.shape[place] if z.ndim else 0
    if not -z.ndim <= axis < z.ndim or size % 2:
        raise ValueError(
            f"glu: expected an even number along axis {axis} to halve, got shape {z.shape}"
        )
    before = (slice(None),) * place
    first, second = before + (slice(0, size // 2),), before + (slice(size // 2, size),)
    return f.multiply(f.getitem(z, first), f.sigmoid(f.getitem(z, second)))


# By name: the formula of a Tensor and the parameters, in the order of the row.
FORMULAS: dict[str, Callable[..., Tensor]] = {
    "linear": lambda z: z,
    "relu": f.relu,
    "leaky_relu": _leaky_relu,
    "elu": lambda z, alpha: _exponential_below(z, alpha, 1.0),
    "gelu": f.gelu,
    "silu": f.silu,
    "softplus": f.softplus,
    "sigmoid": f.sigmoid,
    "tanh": f.tanh,
    "rectifier": _rectifier,
    "relu6": lambda z: _rectifier(z, 6.0, 0.0, 0.0),
    "selu": lambda z: _SELU_SCALE * _exponential_below(z, _SELU_ALPHA, 1.0),
    "celu": lambda z, alpha: _exponential_below(z, alpha, alpha),
    "gelu_tanh": lambda z: f.gelu(z, approximate=True),
    "hard_silu": lambda z: z * _hard_sigmoid(z),
    "hard_sigmoid": _hard_sigmoid,
    "hard_tanh": lambda z: f.where(np.abs(z.value) >= 1, np.sign(z.value), z),
    "mish": lambda z: z * f.tanh(f.softplus(z)),
    "softsign": lambda z: z / (1.0 + f.abs(z)),
    "soft_shrink": lambda z, threshold: _shrunk(
        z, threshold, z - (threshold * np.sign(z.value)).astype(z.dtype)
    ),
    "hard_shrink": lambda z, threshold: _shrunk(z, threshold, z),
    "tanh_shrink": lambda z: z - f.tanh(z),
    "threshold": lambda z, threshold, value: f.where(z.value <= threshold, value, z),
    "squareplus": _squareplus,
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": _sparse_sigmoid,
    "exponential": f.exp,
    "log_sigmoid": lambda z: f.negative(f.softplus(f.negative(z))),
    "sine": f.sin,
    "softmax": f.softmax,
    "log_softmax": f.log_softmax,
    "glu": glu,
}


@operation
def composed_activation(z: Any, activation: Native) -> Tensor:
    """activation(z), of operations on Tensors."""
    return FORMULAS[activation.name](tensor(z), *activation.named().values())
