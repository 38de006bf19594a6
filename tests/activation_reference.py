"""The oracle of the elementwise activations: value and derivative of the pre-activation, in float64
NumPy. `reference` has the ops of them.

At kinks the derivative is PyTorch's: the one of the flat side, or of the side below. NaN stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Array = NDArray[np.float64]
Parameter = float | Mapping[str, float] | None  # the only one, some by name, or the defaults


def times(coefficient: Array, value: Array) -> Array:
    """coefficient * value, with 0 * inf = 0."""
    with np.errstate(invalid="ignore"):
        return np.where((coefficient == 0) & np.isinf(value), 0.0, coefficient * value)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), by exp(-|x|), which never overflows."""
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1.0 + small)


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)); Dugas et al. 2001."""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def normal_cdf(x: Array) -> Array:
    """Phi(x) = erfc(-x / sqrt 2) / 2: the form without cancellation in the left tail."""
    return 0.5 * special.erfc(-x / np.sqrt(2.0))


def normal_density(x: Array) -> Array:
    return np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)


def _kept(x: Array, y: ArrayLike) -> Array:
    """y, but NaN where x is NaN."""
    return np.where(np.isnan(x), np.nan, y)


def _step(x: Array, below: ArrayLike) -> Array:
    """1 above zero, `below` at and under it, NaN where x is NaN."""
    return _kept(x, np.where(x > 0, 1.0, below))


def _between(x: Array, low: float, high: float, slope: float = 1.0) -> Array:
    """`slope` inside of an interval, 0 at its ends and outside."""
    return _kept(x, np.where((x > low) & (x < high), slope, 0.0))


def _elu(x: Array, alpha: float, scale: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0) / scale))


def _rectifier(x: Array, max_value: float, negative_slope: float, threshold: float) -> Array:
    below = times(float64(negative_slope), x - threshold)
    return _kept(x, np.where(x > threshold, np.minimum(x, max_value), below))


def _rectifier_slope(x: Array, max_value: float, negative_slope: float, threshold: float) -> Array:
    above = np.where((x >= max_value) & np.isfinite(max_value), 0.0, 1.0)
    return _kept(x, np.where(x > threshold, above, negative_slope))


def _tanh_gate(x: Array) -> Array:
    """2 u of gelu's form with tanh."""
    return np.sqrt(8.0 / np.pi) * (x + 0.044715 * x**3)


def _gelu_tanh_slope(x: Array) -> Array:
    x = np.clip(x, -1e4, 1e4)
    u = _tanh_gate(x)
    growth = np.sqrt(8.0 / np.pi) * (1.0 + 3 * 0.044715 * x * x)
    return sigmoid(u) + x * sigmoid(u) * sigmoid(-u) * growth


def _mish_slope(x: Array) -> Array:
    """tanh(s) + x sigmoid(x) / cosh(s)^2 with s = softplus(x); 1 / cosh^2 = 4 sigmoid(2 s) ..."""
    s = softplus(x)
    return np.tanh(s) + times(4.0 * sigmoid(2.0 * s) * sigmoid(-2.0 * s) * sigmoid(x), x)


def _shrink(x: Array, threshold: float, moved: float) -> Array:
    return np.where(np.abs(x) <= threshold, 0.0, x - moved * np.sign(x))


def _beyond(x: Array, threshold: float) -> Array:
    return _kept(x, np.where(np.abs(x) <= threshold, 0.0, 1.0))


def _hard_sigmoid(x: Array) -> Array:
    return np.clip(x + 3.0, 0.0, 6.0) / 6.0


def _squareplus(x: Array, b: float) -> Array:
    """The smaller of (x +- sqrt(x^2 + b)) / 2, which cancels, from the larger: their product is b/4."""
    large = 0.5 * (np.abs(x) + np.hypot(x, np.sqrt(b)))
    with np.errstate(divide="ignore", invalid="ignore"):
        small = np.where(large > 0, b / 4.0 / large, large)
    return np.where(x < 0, small, large)


def _squareplus_slope(x: Array, b: float) -> Array:
    root = np.hypot(x, np.sqrt(b))
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.where(root > 0, _squareplus(x, b) / root, root)
    return np.where(np.isinf(x), (x > 0) * 1.0, inside)


def _softsign(x: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(x), np.sign(x), x / (1.0 + np.abs(x)))


def _sparse_plus(x: Array) -> Array:
    inside = 0.25 * np.square(np.clip(x, -1.0, 1.0) + 1.0)
    return np.where(x >= 1, x, inside)


def _sine(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """sin or cos, NaN at an infinity without a warning."""

    def applied(x: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return function(x)

    return applied


def _exponential(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.exp(x)


def float64(x: ArrayLike) -> Array:
    return np.asarray(x, dtype=np.float64)


# Klambauer et al. 2017
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848, 1.0507009873554804934

# name: defaults of the parameters; Keras's layer LeakyReLU has another default, 0.3
PARAMETERS: dict[str, dict[str, float]] = {
    "leaky_relu": {"negative_slope": 0.2},
    "elu": {"alpha": 1.0},
    "rectifier": {"max_value": np.inf, "negative_slope": 0.0, "threshold": 0.0},
    "celu": {"alpha": 1.0},
    "soft_shrink": {"threshold": 0.5},
    "hard_shrink": {"threshold": 0.5},
    "threshold": {"threshold": 0.0, "default_value": 0.0},
    "squareplus": {"b": 4.0},
}

# name: (value, derivative), of x and, where PARAMETERS has the name, of the parameters
ACTIVATIONS: dict[str, tuple[Callable[..., Array], Callable[..., Array]]] = {
    "linear": (lambda x: x.copy(), lambda x: _kept(x, 1.0)),
    # Nair & Hinton 2010; the derivative at 0 is 0, as in PyTorch and TensorFlow.
    "relu": (lambda x: np.maximum(x, 0.0), lambda x: _step(x, 0.0)),
    # Maas et al. 2013; the derivative at 0 is the slope.
    "leaky_relu": (
        lambda x, negative_slope: np.where(x > 0, x, times(float64(negative_slope), x)),
        lambda x, negative_slope: _step(x, negative_slope),
    ),
    # Clevert et al. 2015: x above zero, alpha expm1(x) below; the derivative at 0 is alpha.
    "elu": (
        _elu,
        lambda x, alpha: _step(x, alpha * np.exp(np.minimum(x, 0.0))),
    ),
    # Hendrycks & Gimpel 2016, the exact form: x Phi(x).
    "gelu": (
        lambda x: times(normal_cdf(x), x),
        lambda x: normal_cdf(x) + times(normal_density(x), x),
    ),
    # Elfwing et al. 2017, also called swish: x sigmoid(x).
    "silu": (
        lambda x: times(sigmoid(x), x),
        lambda x: sigmoid(x) + times(sigmoid(x) * sigmoid(-x), x),
    ),
    "softplus": (softplus, sigmoid),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "tanh": (np.tanh, lambda x: 4.0 * sigmoid(2.0 * x) * sigmoid(-2.0 * x)),  # 1 / cosh^2
    # relu with all that Keras's has.
    "rectifier": (_rectifier, _rectifier_slope),
    "relu6": (lambda x: np.clip(x, 0.0, 6.0), lambda x: _between(x, 0.0, 6.0)),
    "selu": (
        lambda x: SELU_SCALE * _elu(x, SELU_ALPHA),
        lambda x: SELU_SCALE * _step(x, SELU_ALPHA * np.exp(np.minimum(x, 0.0))),
    ),
    # Barron 2017: alpha elu(x / alpha).
    "celu": (
        lambda x, alpha: _elu(x, alpha, alpha),
        lambda x, alpha: _step(x, np.exp(np.minimum(x, 0.0) / alpha)),
    ),
    # Hendrycks & Gimpel 2016, with tanh: x (1 + tanh(u)) / 2 = x sigmoid(2 u).
    "gelu_tanh": (lambda x: times(sigmoid(_tanh_gate(x)), x), _gelu_tanh_slope),
    # Howard et al. 2019.
    "hard_silu": (
        lambda x: times(_hard_sigmoid(x), x),
        lambda x: np.where(x >= 3, 1.0, np.where(x <= -3, 0.0, (2.0 * x + 3.0) / 6.0)),
    ),
    "hard_sigmoid": (_hard_sigmoid, lambda x: _between(x, -3.0, 3.0, 1.0 / 6.0)),
    "hard_tanh": (lambda x: np.clip(x, -1.0, 1.0), lambda x: _between(x, -1.0, 1.0)),
    # Misra 2019.
    "mish": (lambda x: times(np.tanh(softplus(x)), x), _mish_slope),
    "softsign": (_softsign, lambda x: 1.0 / np.square(1.0 + np.abs(x))),
    "soft_shrink": (lambda x, threshold: _shrink(x, threshold, threshold), _beyond),
    "hard_shrink": (lambda x, threshold: _shrink(x, threshold, 0.0), _beyond),
    "tanh_shrink": (lambda x: x - np.tanh(x), lambda x: np.square(np.tanh(x))),
    "threshold": (
        lambda x, threshold, default_value: np.where(x <= threshold, default_value, x),
        lambda x, threshold, **_: _kept(x, np.where(x <= threshold, 0.0, 1.0)),
    ),
    # Barron 2021.
    "squareplus": (_squareplus, _squareplus_slope),
    "sparse_plus": (_sparse_plus, lambda x: 0.5 * (np.clip(x, -1.0, 1.0) + 1.0)),
    "sparse_sigmoid": (
        lambda x: 0.5 * (np.clip(x, -1.0, 1.0) + 1.0),
        lambda x: _between(x, -1.0, 1.0, 0.5),
    ),
    "exponential": (_exponential, _exponential),
    "log_sigmoid": (lambda x: -softplus(-x), lambda x: sigmoid(-x)),
    # Sitzmann et al. 2020.
    "sine": (_sine(np.sin), _sine(np.cos)),
}


def given(name: str, parameter: Parameter) -> dict[str, Any]:
    """All parameters by name; see `Parameter`."""
    defaults = PARAMETERS.get(name, {})
    if parameter is None:
        return defaults
    if isinstance(parameter, Mapping):
        assert set(parameter) <= set(defaults)
        return defaults | dict(parameter)
    (only,) = defaults
    return {only: parameter}
