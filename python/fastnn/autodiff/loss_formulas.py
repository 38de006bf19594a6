"""Losses as operations on Tensors, which have second derivatives: by element, and by row.

The values are those of the native rows (csrc/core/loss.h, losses_of_rows.h).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from fastnn.autodiff import functions as f
from fastnn.autodiff.tensor import Tensor

LEAST = 1e-7  # the least that counts as a probability, a target of some losses, or a norm


def focal(options: Mapping[str, float], z: Tensor, t: Any) -> Tensor:
    cross = f.softplus(-z) * t + f.softplus(z) * (1 - t)
    missed = f.sigmoid(-z) * t + f.sigmoid(z) * (1 - t)
    if options["gamma"]:
        cross = cross * f.exp(options["gamma"] * f.log(missed))
    if options["apply_class_balancing"]:
        cross = cross * (t * options["alpha"] + (1 - t) * (1 - options["alpha"]))
    value: Tensor = cross
    return value


def _quantile(z: Tensor, t: Any, options: Mapping[str, float], columns: Any) -> Tensor:
    q = options["quantile"] * columns
    error = t - z
    return f.maximum(q * error, (q - 1) * error)


def _log_cosh(z: Tensor, t: Any, _options: Any, _columns: Any) -> Tensor:
    size = f.abs(z - t)
    return size + f.softplus(-2.0 * size) - math.log(2)


def _logarithmic(z: Tensor, t: Any, _options: Any, _columns: Any) -> Tensor:
    return f.square(f.log1p(f.maximum(z, LEAST)) - f.log1p(f.maximum(t, LEAST)))


def _percentage(z: Tensor, t: Any, _options: Any, _columns: Any) -> Tensor:
    return 100.0 * f.abs((z - t) / f.maximum(f.abs(t), LEAST))


def _hinge(z: Tensor, t: Any, _options: Any, _columns: Any) -> Tensor:
    sign = f.where(f.equal(t, 0.0), -1.0, t)
    return f.maximum(1.0 - sign * z, 0.0)


def _squared_hinge(z: Tensor, t: Any, options: Any, columns: Any) -> Tensor:
    return f.square(_hinge(z, t, options, columns))


def _tweedie(z: Tensor, t: Any, options: Mapping[str, float], _columns: Any) -> Tensor:
    one, two = options["power"] - 1, 2 - options["power"]
    logarithm = f.log(z + 1e-7)
    value: Tensor = f.exp(two * logarithm) / two + t * f.exp(-one * logarithm) / one
    return value


def _gamma(z: Tensor, t: Any, _options: Any, _columns: Any) -> Tensor:
    value: Tensor = f.log(z + 1e-7) + t / (z + 1e-7)
    return value


def _gaussian(z: Tensor, t: Any, options: Mapping[str, float], _columns: Any) -> Tensor:
    k = z.shape[1] // 2
    # As in PyTorch the gradient passes by the least variance.
    inside = f.exp(z[:, k:])
    variance = inside + f.stop_gradient(f.maximum(inside, options["eps"]) - inside)
    constant = 0.5 * math.log(2 * math.pi) if options["full"] else 0.0
    value: Tensor = 0.5 * (f.log(variance) + f.square(z[:, :k] - t) / variance) + constant
    return value


def _categorical_focal(z: Tensor, t: Any, options: Mapping[str, float], columns: Any) -> Tensor:
    log_p = f.log_softmax(z)
    terms = -log_p * t * (options["alpha"] * columns)
    if options["gamma"]:
        terms = terms * f.exp(options["gamma"] * f.log(1.0 - f.exp(log_p)))
    return f.reduce_sum(terms, 1)


def _kl_divergence(z: Tensor, t: Any, _options: Any, _columns: Any) -> Tensor:
    logarithm = f.log(f.where(t == 0.0, 1.0, t))
    return f.reduce_sum(t * (logarithm - f.log_softmax(z)), 1)


def _categorical_hinge(z: Tensor, t: Any, _options: Any, _columns: Any) -> Tensor:
    other = f.reduce_max((1.0 - t) * z, 1)
    return f.maximum(1.0 + other - f.reduce_sum(t * z, 1), 0.0)


def _cosine_similarity(z: Tensor, t: Any, _options: Any, _columns: Any) -> Tensor:
    return -f.reduce_sum(_unit(z) * _unit(t), 1)


def _unit(x: Any) -> Tensor:
    squares = f.reduce_sum(f.square(x), 1, keepdims=True)
    unit: Tensor = x / f.sqrt(f.maximum(squares, LEAST * LEAST))
    return unit


# Losses of numbers, by native name, from outputs, targets, options and the weights of outputs.
BY_ELEMENT: dict[str, Callable[[Tensor, Any, Mapping[str, float], Any], Tensor]] = {
    "quantile": _quantile,
    "log_cosh": _log_cosh,
    "mean_squared_logarithmic_error": _logarithmic,
    "mean_absolute_percentage_error": _percentage,
    "hinge": _hinge,
    "squared_hinge": _squared_hinge,
    "tweedie": _tweedie,
    "gamma": _gamma,
    "gaussian_nll": _gaussian,
}
# Losses of whole rows, from targets that are smoothed, by the same arguments.
BY_ROW: dict[str, Callable[[Tensor, Any, Mapping[str, float], Any], Tensor]] = {
    "categorical_focal_crossentropy": _categorical_focal,
    "kl_divergence": _kl_divergence,
    "categorical_hinge": _categorical_hinge,
    "cosine_similarity": _cosine_similarity,
}
