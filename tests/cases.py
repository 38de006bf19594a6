"""Inputs of the tests: sizes, shapes, types, random inputs, central differences.

No test and no tolerance is here, and no knowledge of what fastnn computes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import reference
from numpy.typing import NDArray

Array = NDArray[Any]

SIZES = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 129, 257)
DTYPES = ("float32", "float64")
ACTIVATIONS = tuple(reference.ACTIVATIONS)
# Beside the default: none at all below zero, a little, as above zero, and more than that.
PARAMETERS: tuple[tuple[str, Any], ...] = (
    *((name, value) for name in ("leaky_relu", "elu") for value in (0.0, 0.01, 0.3, 1.0, 2.5)),
    *(("celu", value) for value in (0.01, 0.3, 2.5)),
    *((name, value) for name in ("soft_shrink", "hard_shrink") for value in (0.0, 0.03, 2.5)),
    *(("squareplus", value) for value in (1e-6, 0.5, 1e6)),
    ("threshold", {"threshold": -1.5, "default_value": 20.0}),
    ("threshold", {"threshold": 0.25}),
    ("rectifier", {"max_value": 0.75}),
    ("rectifier", {"max_value": 0.0}),
    ("rectifier", {"threshold": 1.5}),
    ("rectifier", {"max_value": 1.0, "negative_slope": 0.25, "threshold": 2.0}),
)
# Those of straight lines, whose derivative says nothing of NaN, and those with a bend.
STRAIGHT = (
    *("linear", "relu", "leaky_relu", "rectifier", "relu6", "hard_sigmoid", "hard_tanh"),
    *("soft_shrink", "hard_shrink", "threshold", "sparse_sigmoid"),
)
CURVED = tuple(a for a in ACTIVATIONS if a not in STRAIGHT)
# Those that products apply, and two of the others: tests of products need no more of them.
IN_PRODUCTS = (
    *("linear", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh"),
    *("mish", "celu"),
)
# Those with a bend only at 0, if at all.
BENT_AT_ZERO = tuple(
    a
    for a in ACTIVATIONS
    if a not in STRAIGHT or a in ("linear", "relu", "leaky_relu", "rectifier", "threshold")
)


def shapes(dimensions: int, sampled: int) -> list[tuple[int, ...]]:
    """Every size in every dimension, beside small odd ones, and `sampled` mixtures."""
    beside = (5, 3, 6)
    each = [
        tuple(size if d == varied else beside[d] for d in range(dimensions))
        for varied in range(dimensions)
        for size in SIZES
    ]
    draw = np.random.default_rng(dimensions)
    mixed = [tuple(int(s) for s in draw.choice(SIZES, dimensions)) for _ in range(sampled)]
    return list(dict.fromkeys(each + mixed))


def name(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def strided(x: Array) -> Iterator[tuple[str, Array]]:
    """The same values in every layout that NumPy offers."""
    yield "contiguous", np.ascontiguousarray(x)
    yield "fortran", np.asfortranarray(x)
    yield "reversed", np.ascontiguousarray(x[::-1])[::-1]
    wide = np.zeros(tuple(2 * s + 1 for s in x.shape), dtype=x.dtype)
    inside = wide[tuple(slice(1, None, 2) for _ in x.shape)]
    inside[...] = x
    yield "every other", inside
    if x.ndim > 1:
        yield "reversed columns", np.ascontiguousarray(x[..., ::-1])[..., ::-1]
    raw = bytearray(x.nbytes + 1)
    unaligned = np.frombuffer(raw, dtype=x.dtype, count=x.size, offset=1).reshape(x.shape)
    unaligned[...] = x
    yield "unaligned", unaligned
    readonly = x.copy()
    readonly.flags.writeable = False
    yield "read-only", readonly
    yield "other byte order", x.astype(x.dtype.newbyteorder())


def conditioning(name: str, x: Array, y: Array) -> Array:
    """How much of y hangs on the last bit of x: x^2 |y| in gelu's left tail, as exp(-x^2 / 2)."""
    wide = np.where(np.isfinite(x), np.abs(np.float64(x)), 0.0)
    if name == "gelu":
        return np.where(np.isfinite(y), np.abs(y) * wide**2, 0.0)
    if name == "gelu_tanh":
        return np.where(np.isfinite(y), np.abs(y) * (wide + wide**3), 0.0)
    if name == "tanh_shrink":
        return np.minimum(wide, 1.0)
    if name == "sine":  # see core/elementary.h
        return np.where(wide <= 1e4, 1.0, wide)
    if name in ("hard_silu", "hard_sigmoid", "rectifier", "soft_shrink", "sparse_plus"):
        return np.ones_like(wide)  # sums of x and a number of about 1
    return np.zeros_like(wide)


def directional(f: Callable[[Array], float], x: Array, d: Array, step: float = 1e-4) -> float:
    """The derivative of f at x along d by the central stencil of fourth order."""
    near = f(x + step * d) - f(x - step * d)
    far = f(x + 2 * step * d) - f(x - 2 * step * d)
    return float((8.0 * near - far) / (12.0 * step))


def gradient(f: Callable[[Array], float], x: Array, step: float = 1e-4) -> Array:
    """The whole gradient, one element after the other."""
    result = np.empty_like(x)
    for index in np.ndindex(x.shape):
        d = np.zeros_like(x)
        d[index] = 1.0
        result[index] = directional(f, x, d, step)
    return result


# Losses whose outputs are positive.
RATES = ("poisson", "tweedie", "gamma", "mean_squared_logarithmic_error")


def head_for(loss: str) -> str:
    """An activation of the last layer whose outputs the loss can take."""
    return "softplus" if loss in RATES else "linear"


def outputs_for(loss: str, o: int) -> int:
    """The number of outputs for so many targets."""
    return 2 * o if loss == "gaussian_nll" else o


def targets_for(loss: str, n: int, o: int, rng: np.random.Generator) -> Array:
    """Targets that the loss can take: labels, zeros and ones, counts, or numbers."""
    if loss == "softmax_cross_entropy":
        return rng.integers(0, o, n).astype(np.int32)
    if loss in ("kl_divergence", "categorical_focal_crossentropy"):
        return rng.dirichlet(np.ones(o), n)
    if loss == "categorical_hinge":
        return np.eye(o)[rng.integers(0, o, n)]
    if loss in ("sigmoid_cross_entropy", "binary_focal_crossentropy"):
        return rng.integers(0, 2, (n, o)).astype(np.float64)
    if loss in ("hinge", "squared_hinge"):
        return rng.choice([-1.0, 1.0], (n, o))
    if loss == "mean_absolute_percentage_error":  # of a size that gives gradients of about 1
        return rng.choice([-1.0, 1.0], (n, o)) * (50.0 + 50.0 * rng.random((n, o)))
    if loss == "gamma":
        return rng.gamma(2.0, size=(n, o))
    if loss in RATES:
        return rng.poisson(2.0, (n, o)).astype(np.float64)
    return rng.normal(size=(n, o))


def glorot(rng: np.random.Generator, widths: Sequence[int], use_bias: bool = True) -> list[Array]:
    """Weights for a chain of dense layers, with biases that are not zero."""
    weights: list[Array] = []
    for i, o in pairwise(widths):
        weights.append(rng.normal(size=(i, o)) * np.sqrt(2.0 / (i + o)))
        if use_bias:
            weights.append(0.1 * rng.normal(size=o))
    return weights


def python(
    code: str, *, timeout: float = 60, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a program in a fresh interpreter, where it can import the modules of this folder."""
    found = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    given = {"PYTHONPATH": os.pathsep.join(filter(None, found)), **environment}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **given},
        check=False,
    )
