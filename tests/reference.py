"""The oracle: every op of `fastnn.ops` and a whole network, in float64 NumPy, written to be read.

Each op has the name that it has in `fastnn.ops`. Nothing here is fast, nothing imports
fastnn, and nothing works in place: the optimizers return what they would have written.
A coefficient of zero contributes nothing, even where it multiplies an infinity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from activation_reference import (  # noqa: F401 - names of the oracle
    ACTIVATIONS,
    PARAMETERS,
    SELU_ALPHA,
    SELU_SCALE,
    Parameter,
    float64,
    given,
    sigmoid,
    softplus,
)
from activation_reference import times as _times
from numpy.typing import ArrayLike, NDArray
from reference_steps import (  # noqa: F401 - names of the oracle
    NUMBERED,
    OPTIMIZERS,
    adadelta_step,
    adagrad_step,
    adam_step,
    adamax_step,
    amsgrad_step,
    first_state,
    lamb_step,
    lion_step,
    muon_step,
    nadam_step,
    number_of,
    rmsprop_step,
    sgd_step,
)
from scipy import special

Array = NDArray[np.float64]


# -- activations: the formulas are in `activation_reference` ------------------------------


def activation_forward(x: ArrayLike, name: str, *, parameter: Parameter = None) -> Array:
    return ACTIVATIONS[name][0](float64(x), **given(name, parameter))


def activation_backward(
    dy: ArrayLike, x: ArrayLike, name: str, *, parameter: Parameter = None
) -> Array:
    """dy * f'(x); fastnn's op also takes y, which the oracle has no need of."""
    with np.errstate(over="ignore"):
        return float64(dy) * ACTIVATIONS[name][1](float64(x), **given(name, parameter))


def activate(z: ArrayLike, name: str, parameter: Parameter = None) -> Array:
    """An activation of a layer: one of the table, or one over the row."""
    if name in ("softmax", "log_softmax"):
        return softmax(z) if name == "softmax" else log_softmax(z)
    return activation_forward(z, name, parameter=parameter)


def activate_backward(dy: ArrayLike, z: ArrayLike, name: str, parameter: Parameter = None) -> Array:
    """dz from dy; for softmax p * (dy - sum(dy * p)), for its logarithm dy - p * sum(dy)."""
    if name not in ("softmax", "log_softmax"):
        return activation_backward(dy, z, name, parameter=parameter)
    p, dy = softmax(z), float64(dy)
    if name == "log_softmax":
        return dy - p * dy.sum(axis=-1, keepdims=True)
    return p * (dy - (dy * p).sum(axis=-1, keepdims=True))


# -- dense ------------------------------------------------------------------------------


def dense_forward(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    activation: str = "linear",
    *,
    activation_parameter: Parameter = None,
) -> Array:
    """y = f(x w + b)."""
    z = float64(x) @ float64(w)
    return activate(z if b is None else z + float64(b), activation, activation_parameter)


def dense_backward(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    z: ArrayLike,
    activation: str = "linear",
    *,
    activation_parameter: Parameter = None,
) -> tuple[Array, Array, Array]:
    """dz = dy f'(z); dx = dz w^T, dw = x^T dz, db = the sum of dz over rows."""
    dz = activate_backward(dy, z, activation, activation_parameter)
    return dz @ float64(w).T, float64(x).T @ dz, dz.sum(axis=0)


# -- layer normalization ----------------------------------------------------------------


def _normalized(x: ArrayLike, epsilon: float) -> tuple[Array, Array]:
    """(x - mean) / sqrt(variance + epsilon) over the last axis, and the factor."""
    centered = float64(x) - float64(x).mean(axis=-1, keepdims=True)
    centered = centered - centered.mean(axis=-1, keepdims=True)  # what the mean was rounded by
    inverse = 1.0 / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + epsilon)
    return centered * inverse, inverse


def layer_normalization(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
) -> Array:
    """y = gamma xhat + beta; Ba, Kiros & Hinton 2016."""
    y, _ = _normalized(x, epsilon)
    y = y if gamma is None else float64(gamma) * y
    return y if beta is None else y + float64(beta)


def layer_normalization_backward(
    dy: ArrayLike, x: ArrayLike, gamma: ArrayLike | None = None, *, epsilon: float = 1e-3
) -> tuple[Array, Array, Array]:
    """g = dy gamma; dx = (g - mean(g) - xhat mean(g xhat)) / sqrt(variance + epsilon)."""
    dy = float64(dy)
    xhat, inverse = _normalized(x, epsilon)
    g = dy if gamma is None else float64(gamma) * dy
    projection = (g * xhat).mean(axis=-1, keepdims=True)
    dx = inverse * (g - g.mean(axis=-1, keepdims=True) - xhat * projection)
    rows = tuple(range(dy.ndim - 1))
    return dx, (dy * xhat).sum(axis=rows), dy.sum(axis=rows)


# -- rows over their length ---------------------------------------------------------------


def _lengths(x: Array, length: str, epsilon: float) -> Array:
    """Of each row, a column."""
    squares = (x**2).sum(axis=-1, keepdims=True)
    if length == "norm":
        return np.maximum(np.sqrt(squares), epsilon)
    return np.sqrt(squares / x.shape[-1] + epsilon)


def _scale_rows(x: ArrayLike, gamma: ArrayLike | None, length: str, epsilon: float) -> Array:
    y = float64(x) / _lengths(float64(x), length, epsilon)
    return y if gamma is None else float64(gamma) * y


def _scale_rows_backward(
    dy: ArrayLike, x: ArrayLike, gamma: ArrayLike | None, length: str, epsilon: float
) -> tuple[Array, Array]:
    dy, x = float64(dy), float64(x)
    lengths = _lengths(x, length, epsilon)
    xhat = x / lengths
    g = dy if gamma is None else float64(gamma) * dy
    along = (g * xhat).sum(axis=-1, keepdims=True)
    if length == "norm":
        along = np.where(lengths > epsilon, along, 0.0)
    else:
        along = along / x.shape[-1]
    dgamma = (dy * xhat).sum(axis=tuple(range(dy.ndim - 1)))
    return (g - xhat * along) / lengths, dgamma


def rms_normalization(
    x: ArrayLike, gamma: ArrayLike | None = None, *, epsilon: float = 1e-6
) -> Array:
    """y = gamma x / sqrt(mean(x**2) + epsilon); Zhang & Sennrich 2019."""
    return _scale_rows(x, gamma, "root_mean_square", epsilon)


def rms_normalization_backward(
    dy: ArrayLike, x: ArrayLike, gamma: ArrayLike | None = None, *, epsilon: float = 1e-6
) -> tuple[Array, Array]:
    return _scale_rows_backward(dy, x, gamma, "root_mean_square", epsilon)


def unit_normalization(x: ArrayLike, *, epsilon: float = 1e-12) -> Array:
    """y = x / max(norm, epsilon)."""
    return _scale_rows(x, None, "norm", epsilon)


def unit_normalization_backward(dy: ArrayLike, x: ArrayLike, *, epsilon: float = 1e-12) -> Array:
    return _scale_rows_backward(dy, x, None, "norm", epsilon)[0]


# -- columns normalized over the batch ------------------------------------------------------


def _over_batch(x: Array, epsilon: float) -> tuple[Array, Array, Array, Array]:
    """xhat, mean, variance, and one over the deviation, of columns."""
    centered = x - x.mean(axis=0)
    centered = centered - centered.mean(axis=0)  # what the mean was rounded by
    variance = (centered**2).mean(axis=0)
    inverse = 1.0 / np.sqrt(variance + epsilon)
    return centered * inverse, x.mean(axis=0), variance, inverse


def batch_normalization(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
) -> tuple[Array, Array, Array]:
    """y = gamma xhat + beta, and mean and variance; Ioffe & Szegedy 2015."""
    y, mean, variance, _ = _over_batch(float64(x), epsilon)
    y = y if gamma is None else float64(gamma) * y
    return y if beta is None else y + float64(beta), mean, variance


def batch_normalization_backward(
    dy: ArrayLike, x: ArrayLike, gamma: ArrayLike | None = None, *, epsilon: float = 1e-3
) -> tuple[Array, Array, Array]:
    """dx = inverse gamma (dy - mean(dy) - xhat mean(dy xhat)); sums of dy xhat and dy."""
    dy = float64(dy)
    xhat, _, _, inverse = _over_batch(float64(x), epsilon)
    scale = inverse if gamma is None else inverse * float64(gamma)
    dx = scale * (dy - dy.mean(axis=0) - xhat * (dy * xhat).mean(axis=0))
    return dx, (dy * xhat).sum(axis=0), dy.sum(axis=0)


# -- noise --------------------------------------------------------------------------------


def philox(key: int, counters: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Philox 4x32-10 of counters (n, 4); Salmon et al., SC 2011."""
    mask = np.uint64(0xFFFFFFFF)
    c = [counters[:, i].astype(np.uint64) for i in range(4)]
    k = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [
            (second >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]),
            second & mask,
            (first >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]),
            first & mask,
        ]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, 1).astype(np.uint32)


def stream_key(key: int, stream: int) -> int:
    """splitmix64's finaliser."""
    x = (key + (stream + 1) * 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def words_of_rows(key: int, step: int, n: int, c: int) -> NDArray[np.uint32]:
    """The random words (n, c) that a layer's noise takes in a step: four columns share a counter."""
    quads = -(-c // 4)
    at = np.stack(np.meshgrid(np.arange(quads), np.arange(n)), -1).reshape(-1, 2)
    step_ = np.broadcast_to(np.array([step & 0xFFFFFFFF, step >> 32]), at.shape)
    words = philox(key, np.concatenate([step_, at], 1).astype(np.uint32))
    return words.reshape(n, 4 * quads)[:, :c]


def noise(kind: str, amount: float, words: NDArray[np.uint32], x: ArrayLike) -> Array:
    """x with noise: gaussian_noise, gaussian_dropout or alpha_dropout."""
    x = float64(x)
    u = (words + 0.5) / 2.0**32
    z = float64(special.ndtri(u))
    if kind == "gaussian_noise":
        return x + amount * z
    if kind == "gaussian_dropout":
        return x * (1 + np.sqrt(amount / (1 - amount)) * z)
    low = -1.6732632423543772848170429916717 * 1.0507009873554804934193349852946
    a = ((1 - amount) * (1 + amount * low**2)) ** -0.5
    return a * np.where(u < 1 - amount, x, low) - a * low * amount


# -- rows of a table --------------------------------------------------------------------


def embedding(x: ArrayLike, table: ArrayLike) -> Array:
    """y = table[x], the rows of one row of x beside each other."""
    rows = np.asarray(x).astype(np.int64)
    return float64(table)[rows].reshape(len(rows), -1)


def embedding_backward(dy: ArrayLike, x: ArrayLike, vocabulary: int) -> Array:
    """Each piece of dy is added to the row that it came from."""
    rows = np.asarray(x).astype(np.int64).ravel()
    pieces = float64(dy).reshape(len(rows), -1)
    dtable = np.zeros((vocabulary, pieces.shape[1]))
    np.add.at(dtable, rows, pieces)
    return dtable


def encode_columns(
    x: ArrayLike,
    levels: Sequence[int],
    missing: Sequence[bool],
    bins: Sequence[int],
    clip: float | None,
    fill: Sequence[float] = (),
    center: Sequence[float] = (),
    factor: Sequence[float] = (),
    edges: Sequence[float] = (),
) -> Array:
    """Columns of a table as inputs: numbers, then pieces, then gaps, then categories.

    `fill`, `center`, `factor` by column of numbers, `edges` of their bins side by side.
    """
    rows = []
    for row in float64(x):
        numbers, pieces, gaps, categories = [], [], [], []
        left = list(edges)
        k = 0
        for value, count, tells, parts in zip(row, levels, missing, bins, strict=True):
            if count == 0:
                gap = np.isnan(value)
                raw = fill[k] if gap else value
                z = (raw - center[k]) * factor[k]
                numbers.append(z if clip is None else z / np.sqrt(1 + (z / clip) ** 2))
                own, left = (left[: parts + 1], left[parts + 1 :]) if parts else ([], left)
                for low, high in pairwise(own):
                    pieces.append(min(max((raw - low) / (high - low), 0.0), 1.0))
                gaps += [float(gap)] if tells else []
                k += 1
                continue
            known = value in range(count)
            if count == 2 and not tells:
                categories.append(2 * value - 1 if known else 0.0)
                continue
            categories += [float(value == level) for level in range(count)]
            categories += [float(not known)] if tells else []
        rows.append([*numbers, *pieces, *gaps, *categories])
    return np.array(rows, np.float64).reshape(len(rows), -1)


# -- tensors combined element by element ------------------------------------------------

COMBINATIONS: dict[str, Callable[[Array], Array]] = {  # of the operands, stacked
    "add": lambda x: x.sum(0),
    "subtract": lambda x: x[0] - x[1],
    "multiply": lambda x: x.prod(0),
    "average": lambda x: x.mean(0),
    "maximum": lambda x: x.max(0),
    "minimum": lambda x: x.min(0),
}


def combine(name: str, operands: Sequence[ArrayLike]) -> Array:
    return COMBINATIONS[name](float64(operands))


def combine_backward(dy: ArrayLike, name: str, operands: Sequence[ArrayLike]) -> Array:
    """The gradient of each operand; those that are the maximum share it equally."""
    x = float64(operands)
    y = COMBINATIONS[name](x)
    if name == "multiply":
        slopes = np.stack([np.delete(x, i, 0).prod(0) for i in range(len(x))])
    elif name in ("maximum", "minimum"):
        slopes = np.where(np.isnan(y), np.nan, (x == y) / np.maximum((x == y).sum(0), 1))
    elif name == "subtract":
        slopes = np.stack([np.ones_like(y), -np.ones_like(y)])
    else:
        slopes = np.full_like(x, 1 / len(x) if name == "average" else 1)
    return float64(dy) * slopes


# -- softmax and losses -----------------------------------------------------------------


def _below_maximum(x: Array) -> Array:
    """x - max(x) over the last axis, and 0 where x is the maximum, also an infinite one."""
    maximum = x.max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(x == maximum, 0.0, x - maximum)


def softmax(x: ArrayLike) -> Array:
    """exp(x) / sum exp(x) over the last axis; equal infinite maxima share the mass."""
    e = np.exp(_below_maximum(float64(x)))
    return e / e.sum(axis=-1, keepdims=True)


def log_softmax(x: ArrayLike) -> Array:
    """x - max - log sum exp(x - max) over the last axis."""
    below = _below_maximum(float64(x))
    return below - np.log(np.exp(below).sum(axis=-1, keepdims=True))


def _weighted_mean(loss: Array, gradient: Array, weight: Array) -> tuple[float, Array]:
    """sum(w l) / sum(w) and its gradient; 0 where there is no weight at all."""
    total = weight.sum()
    if total == 0:
        return 0.0, np.zeros_like(gradient)
    scale = weight / total
    per_gradient = scale.reshape(scale.shape + (1,) * (gradient.ndim - scale.ndim))
    return float(_times(scale, loss).sum()), per_gradient * gradient


def _row_weight(n: int, sample_weight: ArrayLike | None) -> Array:
    return np.ones(n) if sample_weight is None else float64(sample_weight)


def softmax_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    ignore_class: int | None = None,
) -> tuple[float, Array]:
    """-sum_j t_j log softmax(z)_j per row, weighted mean over rows; gradient (sum t) p - t.

    Smoothing: t (1 - e) + e / c (Szegedy et al. 2016). Rows whose label is
    `ignore_class` leave the sum and the weight.
    """
    z, given = float64(logits), np.asarray(labels)
    n, c = z.shape
    weight = _row_weight(n, sample_weight)
    kept = np.ones(n, dtype=bool)
    if given.ndim == 1:
        if ignore_class is not None:
            kept = given != ignore_class
        target = np.zeros((n, c))
        target[np.arange(n)[kept], given[kept]] = 1.0
    else:
        target = float64(given)
    target = target * (1.0 - label_smoothing) + label_smoothing / c
    below = _below_maximum(z)
    log_p = below - np.log(np.exp(below).sum(axis=-1, keepdims=True))
    loss = -_times(target, log_p).sum(axis=-1)
    gradient = target.sum(axis=-1, keepdims=True) * softmax(z) - target
    return _weighted_mean(
        np.where(kept, loss, 0.0), np.where(kept[:, None], gradient, 0.0), weight * kept
    )


def sigmoid_cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    pos_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
) -> tuple[float, Array]:
    """q t softplus(-z) + (1 - t) softplus(z) per label, weighted mean over rows and labels.

    max(z, 0) - z t + log1p(exp(-|z|)) where q = 1. q is `pos_weight`, and is not part of
    the weight. A NaN target is missing: no loss, no weight. Smoothing: t (1 - e) + e / 2.
    """
    z, t = float64(logits), float64(targets)
    observed = ~np.isnan(t)
    t = np.where(observed, t, 0.0) * (1.0 - label_smoothing) + 0.5 * label_smoothing
    q = 1.0 if pos_weight is None else float64(pos_weight)
    positive, negative = q * t, 1.0 - t
    loss = _times(positive, softplus(-z)) + _times(negative, softplus(z))
    gradient = negative * sigmoid(z) - positive * sigmoid(-z)
    weight = _row_weight(len(z), sample_weight)[:, None] * observed
    return _weighted_mean(np.where(observed, loss, 0.0), np.where(observed, gradient, 0.0), weight)


def mean_squared_error(
    pred: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """The mean over outputs of (p - t)^2 per row, weighted mean over rows."""
    difference = float64(pred) - float64(target)
    n, o = difference.shape
    loss = (difference**2).mean(axis=1)
    return _weighted_mean(loss, 2.0 / o * difference, _row_weight(n, sample_weight))


def mean_absolute_error(
    pred: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """The mean over outputs of |p - t| per row, weighted mean over rows; gradient 0 at p = t."""
    difference = float64(pred) - float64(target)
    n, o = difference.shape
    loss = np.abs(difference).mean(axis=1)
    return _weighted_mean(loss, np.sign(difference) / o, _row_weight(n, sample_weight))


def huber(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    delta: float = 1.0,
    sample_weight: ArrayLike | None = None,
) -> tuple[float, Array]:
    """e = p - t: e^2 / 2 up to |e| = delta, then delta (|e| - delta / 2); Huber 1964.

    The mean over outputs per row, weighted mean over rows.
    """
    e = float64(pred) - float64(target)
    n, o = e.shape
    size = np.abs(e)
    with np.errstate(over="ignore"):
        each = np.where(size > delta, delta * (size - 0.5 * delta), 0.5 * e * e)
    return _weighted_mean(
        each.mean(axis=1), np.clip(e, -delta, delta) / o, _row_weight(n, sample_weight)
    )


POISSON_EPSILON = 1e-7  # Keras's backend.epsilon()


def poisson(
    pred: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """The mean over outputs of p - t log(p + epsilon) per row, weighted mean over rows.

    Keras's Poisson: the negative log-likelihood without log(t!).
    """
    p, t = float64(pred), float64(target)
    n, o = p.shape
    shifted = p + POISSON_EPSILON
    with np.errstate(divide="ignore", invalid="ignore"):
        loss = (p - _times(t, np.log(shifted))).mean(axis=1)
        gradient = (1.0 - t / shifted) / o
    return _weighted_mean(loss, gradient, _row_weight(n, sample_weight))


def _by_element(
    loss: Array, gradient: Array, sample_weight: ArrayLike | None
) -> tuple[float, Array]:
    """Values and derivatives of elements (n, o): the mean over outputs, then over rows."""
    n, o = loss.shape
    return _weighted_mean(loss.mean(axis=1), gradient / o, _row_weight(n, sample_weight))


def quantile(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    quantile: float = 0.5,
    sample_weight: ArrayLike | None = None,
) -> tuple[float, Array]:
    """max(q e, (q - 1) e) with e = t - p; Koenker and Bassett 1978. Gradient 0 at e = 0."""
    e, q = float64(target) - float64(pred), quantile
    with np.errstate(invalid="ignore"):
        gradient = np.where(e > 0, -q, np.where(e < 0, 1.0 - q, e))
        return _by_element(np.maximum(q * e, (q - 1.0) * e), gradient, sample_weight)


def log_cosh(
    pred: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """log(cosh(p - t)) as log1p(2 sinh(e / 2)^2), or |e| + log1p(exp(-2 |e|)) - log 2 from 1 on."""
    e = float64(pred) - float64(target)
    size = np.abs(e)
    near = np.log1p(2.0 * np.sinh(np.minimum(size, 1.0) / 2.0) ** 2)
    far = size + np.log1p(np.exp(-2.0 * size)) - np.log(2.0)
    return _by_element(np.where(size < 1.0, near, far), np.tanh(e), sample_weight)


def mean_squared_logarithmic_error(
    pred: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """(log(1 + p) - log(1 + t))^2 with p and t of at least 1e-7: Keras's form."""
    given = float64(pred)
    p, t = np.maximum(given, 1e-7), np.maximum(float64(target), 1e-7)
    e = np.log1p(p) - np.log1p(t)
    return _by_element(e * e, np.where(given < 1e-7, 0.0, 2.0 * e / (1.0 + p)), sample_weight)


def mean_absolute_percentage_error(
    pred: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """100 |p - t| / max(|t|, 1e-7): Keras's form."""
    e, t = float64(pred) - float64(target), float64(target)
    factor = 100.0 / np.maximum(np.abs(t), 1e-7)
    return _by_element(factor * np.abs(e), factor * np.sign(e), sample_weight)


def hinge(
    pred: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """max(0, 1 - s p), with s = -1 where the target is 0."""
    p, s = float64(pred), np.where(float64(target) == 0, -1.0, float64(target))
    margin = 1.0 - s * p
    return _by_element(
        np.maximum(margin, 0.0),
        np.where(np.isnan(margin), np.nan, -s * (margin > 0)),
        sample_weight,
    )


def squared_hinge(
    pred: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """max(0, 1 - s p)^2, with s = -1 where the target is 0."""
    p, s = float64(pred), np.where(float64(target) == 0, -1.0, float64(target))
    margin = np.maximum(1.0 - s * p, 0.0)
    return _by_element(margin**2, -2.0 * s * margin, sample_weight)


def tweedie(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    power: float = 1.5,
    sample_weight: ArrayLike | None = None,
) -> tuple[float, Array]:
    """m^(2 - power) / (2 - power) - t m^(1 - power) / (1 - power), m = p + 1e-7."""
    m, t = float64(pred) + 1e-7, float64(target)
    with np.errstate(divide="ignore", invalid="ignore"):
        loss = m ** (2.0 - power) / (2.0 - power) - _times(t, m ** (1.0 - power)) / (1.0 - power)
        gradient = m ** (1.0 - power) - _times(t, m**-power)
    return _by_element(loss, gradient, sample_weight)


def gamma(
    pred: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """log(m) + t / m, m = p + 1e-7."""
    m, t = float64(pred) + 1e-7, float64(target)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _by_element(np.log(m) + t / m, 1.0 / m - t / m**2, sample_weight)


def binary_focal_crossentropy(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    label_smoothing: float = 0.0,
) -> tuple[float, Array]:
    """b u^gamma (t softplus(-z) + (1 - t) softplus(z)), u = t (1 - p) + (1 - t) p: Keras's form."""
    z, t = float64(logits), float64(targets)
    observed = ~np.isnan(t)
    t = np.where(observed, t, 0.0) * (1.0 - label_smoothing) + 0.5 * label_smoothing
    p, q = sigmoid(z), sigmoid(-z)
    cross = _times(t, softplus(-z)) + _times(1.0 - t, softplus(z))
    u = t * q + (1.0 - t) * p
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = 1.0 / (_times(t, 1.0 / p) + _times(1.0 - t, 1.0 / q))  # p q / u
    b = t * alpha + (1.0 - t) * (1.0 - alpha) if apply_class_balancing else np.ones_like(t)
    factor = b * u**gamma
    slope = _times(gamma * (1.0 - 2.0 * t) * share, cross) + (1.0 - t) * p - t * q
    loss, gradient = _times(factor, cross), _times(factor, slope)
    weight = _row_weight(len(z), sample_weight)[:, None] * observed
    return _weighted_mean(np.where(observed, loss, 0.0), np.where(observed, gradient, 0.0), weight)


def _classes(labels: ArrayLike, n: int, c: int, ignored: int | None) -> tuple[Array, Array]:
    """Targets (n, c), and whether each row counts."""
    given = np.asarray(labels)
    if given.ndim == 2:
        return float64(given), np.ones(n, bool)
    kept = np.ones(n, bool) if ignored is None else given != ignored
    target = np.zeros((n, c))
    target[np.arange(n)[kept], given[kept]] = 1.0
    return target, kept


def categorical_focal_crossentropy(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    alpha: ArrayLike = 0.25,
    gamma: float = 2.0,
    label_smoothing: float = 0.0,
    ignore_class: int | None = None,
) -> tuple[float, Array]:
    """sum_j a_j (1 - p_j)^gamma (-y_j log p_j), p = softmax(z), y = t (1 - e) + e / c."""
    z = float64(logits)
    n, c = z.shape
    t, kept = _classes(labels, n, c, ignore_class)
    y = float64(alpha) * (t * (1.0 - label_smoothing) + label_smoothing / c)
    below = _below_maximum(z)
    e = np.exp(below)
    p = e / e.sum(axis=1, keepdims=True)
    log_p = below - np.log(e.sum(axis=1, keepdims=True))
    # The sum of the others. That of all minus the largest would lose its digits.
    total = e.sum(axis=1, keepdims=True)
    missed = total - e
    largest = np.arange(n), e.argmax(axis=1)
    others = e.copy()
    others[largest] = 0.0
    missed[largest] = others.sum(axis=1)
    missed = missed / total
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(missed == 0.0, -1.0, _times(p, log_p) / missed)
        loss = _times(-y * missed**gamma, log_p)
        slope = _times(y * missed**gamma, gamma * ratio - 1.0)  # p dl/dp
    gradient = slope - p * slope.sum(axis=1, keepdims=True)
    return _weighted_mean(
        np.where(kept, loss.sum(axis=1), 0.0),
        np.where(kept[:, None], gradient, 0.0),
        _row_weight(n, sample_weight) * kept,
    )


def kl_divergence(
    logits: ArrayLike, labels: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """sum_j t_j (log t_j - log softmax(z)_j) per row; gradient (sum t) p - t."""
    z = float64(logits)
    t, _ = _classes(labels, *z.shape, None)
    below = _below_maximum(z)
    log_p = below - np.log(np.exp(below).sum(axis=1, keepdims=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        loss = _times(t, np.log(t) - log_p).sum(axis=1)
    gradient = t.sum(axis=1, keepdims=True) * softmax(z) - t
    return _weighted_mean(loss, gradient, _row_weight(len(z), sample_weight))


def categorical_hinge(
    pred: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """max(0, 1 + max((1 - t) z) - sum t z): Keras's form."""
    z = float64(pred)
    t, _ = _classes(target, *z.shape, None)
    other = _times(1.0 - t, z)
    top = other.max(axis=1, keepdims=True)
    margin = 1.0 + top[:, 0] - _times(t, z).sum(axis=1)
    tops = other == top
    gradient = (1.0 - t) * tops / tops.sum(axis=1, keepdims=True) - t
    inside = ~(margin <= 0)
    loss = np.where(inside, margin, 0.0)
    return _weighted_mean(
        loss, np.where(inside[:, None], gradient, 0.0), _row_weight(len(z), sample_weight)
    )


def cosine_similarity(
    pred: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """-z t / (|z| |t|) per row; norms of at least 1e-7."""
    z, t = float64(pred), float64(target)
    norms = [np.sqrt((x**2).sum(axis=1, keepdims=True)) for x in (z, t)]
    of_z, of_t = (np.maximum(norm, 1e-7) for norm in norms)
    cosine = (z * t).sum(axis=1, keepdims=True) / (of_z * of_t)
    along = np.where(norms[0] < 1e-7, 0.0, cosine * z / of_z)
    gradient = (along - t / of_t) / of_z
    return _weighted_mean(-cosine[:, 0], gradient, _row_weight(len(z), sample_weight))


def gaussian_nll(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    full: bool = False,
    eps: float = 1e-6,
    sample_weight: ArrayLike | None = None,
) -> tuple[float, Array]:
    """(log v + (m - t)^2 / v) / 2 with v = max(exp(s), eps), of outputs (m, s); PyTorch's gradient."""
    p, t = float64(pred), float64(target)
    n, k = t.shape
    m, s = p[:, :k], p[:, k:]
    v = np.maximum(np.exp(s), eps)
    loss = 0.5 * (np.log(v) + (m - t) ** 2 / v) + (0.5 * np.log(2.0 * np.pi) if full else 0.0)
    of_s = 0.5 * (1.0 - (m - t) ** 2 / v) * np.exp(s) / v
    gradient = np.concatenate([(m - t) / v, of_s], axis=1) / k
    return _weighted_mean(loss.mean(axis=1), gradient, _row_weight(n, sample_weight))


LOSSES: dict[str, Callable[..., tuple[float, Array]]] = {
    "softmax_cross_entropy": softmax_cross_entropy,
    "sigmoid_cross_entropy": sigmoid_cross_entropy,
    "mean_squared_error": mean_squared_error,
    "mean_absolute_error": mean_absolute_error,
    "huber": huber,
    "poisson": poisson,
    "quantile": quantile,
    "log_cosh": log_cosh,
    "mean_squared_logarithmic_error": mean_squared_logarithmic_error,
    "mean_absolute_percentage_error": mean_absolute_percentage_error,
    "hinge": hinge,
    "squared_hinge": squared_hinge,
    "tweedie": tweedie,
    "gamma": gamma,
    "binary_focal_crossentropy": binary_focal_crossentropy,
    "categorical_focal_crossentropy": categorical_focal_crossentropy,
    "gaussian_nll": gaussian_nll,
    "kl_divergence": kl_divergence,
    "categorical_hinge": categorical_hinge,
    "cosine_similarity": cosine_similarity,
}
FOLDED = {
    "softmax_cross_entropy": "softmax",
    "categorical_focal_crossentropy": "softmax",
    "kl_divergence": "softmax",
    "sigmoid_cross_entropy": "sigmoid",
    "binary_focal_crossentropy": "sigmoid",
}


# -- a whole network --------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """A chain of dense layers under a loss.

    `activations`: one per layer; the last may be "softmax". A softmax or sigmoid that ends
    the chain under its own cross-entropy is folded: the loss sees the logits before it.
    `weights` are kernel, bias, kernel, bias ... (kernels alone without `use_bias`).
    `parameters`: of the activations, by layer; without an entry it is the default.
    """

    activations: Sequence[str]
    loss: str
    use_bias: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[int, float] = field(default_factory=dict)

    def _layers(self, weights: Sequence[ArrayLike]) -> Iterable[tuple[Array, Array | None, str]]:
        each = 2 if self.use_bias else 1
        for i, activation in enumerate(self.activations):
            w = float64(weights[each * i])
            yield w, float64(weights[each * i + 1]) if self.use_bias else None, activation

    def _trace(self, weights: Sequence[ArrayLike], x: ArrayLike) -> list[tuple[Array, Array]]:
        """(input, pre-activation) of every layer."""
        trace, y = [], float64(x)
        for i, (w, b, activation) in enumerate(self._layers(weights)):
            z = dense_forward(y, w, b)
            trace.append((y, z))
            y = activate(z, activation, self.parameters.get(i))
        return trace

    def margin(self, weights: Sequence[ArrayLike], x: ArrayLike) -> float:
        """The smallest |pre-activation|: how far the nearest kink is."""
        return min(float(np.abs(z).min()) for _, z in self._trace(weights, x))

    def predict(self, weights: Sequence[ArrayLike], x: ArrayLike) -> Array:
        last = len(self.activations) - 1
        z = self._trace(weights, x)[last][1]
        return activate(z, self.activations[last], self.parameters.get(last))

    def value_and_grad(
        self,
        weights: Sequence[ArrayLike],
        x: ArrayLike,
        target: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> tuple[float, list[Array]]:
        trace = self._trace(weights, x)
        last = self.activations[-1]
        if last == FOLDED.get(self.loss):
            last = "linear"
        parameters = [self.parameters.get(i) for i in range(len(trace))]
        output = activate(trace[-1][1], last, parameters[-1])
        loss, dy = LOSSES[self.loss](output, target, sample_weight=sample_weight, **self.options)
        gradients: list[Array] = []
        activations = [*self.activations[:-1], last]
        layers = list(self._layers(weights))
        for (w, b, _), (y, z), activation, parameter in zip(
            *map(reversed, (layers, trace, activations, parameters)), strict=True
        ):
            dy, dw, db = dense_backward(dy, y, w, z, activation, activation_parameter=parameter)
            gradients[:0] = [dw] if b is None else [dw, db]
        return loss, gradients


def counted(network: Network, target: ArrayLike, weight: Array) -> float:
    """The divisor of a loss: the weights of rows, without rows and labels that do not count.

    Where each label counts for itself, a row counts once for each label that is there.
    """
    given = np.asarray(target)
    ignored = network.options.get("ignore_class")
    if ignored is not None and given.ndim == 1:
        return float((weight * (given != ignored)).sum())
    if network.loss not in ("sigmoid_cross_entropy", "binary_focal_crossentropy"):
        return float(weight.sum())
    known = (~np.isnan(float64(target))).reshape(len(weight), -1).sum(axis=1)
    return float((weight * known).sum())


@dataclass
class Trainer:
    """An optimizer over a `Network`, one `step` at a time; `weights` are its own copies.

    The gradient of a batch is its sum of weighted gradients, divided by its rows times what a row
    weighs on average in the data set or, with `by_batch_weight`, by the weight of the batch.
    """

    network: Network
    weights: list[Array]
    optimizer: str
    settings: Mapping[str, Any]
    steps: int = 0
    by_batch_weight: bool = False
    initial: float = 0.0  # of the first array of the optimizer's state

    def __post_init__(self) -> None:
        self.weights = [float64(w).copy() for w in self.weights]
        self.state = [first_state(self.optimizer, w, self.initial) for w in self.weights]

    def step(
        self,
        x: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        row_weight: float | None = None,
    ) -> float:
        """The loss before the step. `row_weight`: of the data set; None: of these rows."""
        loss, gradients = self.network.value_and_grad(self.weights, x, y, sample_weight)
        if row_weight is not None and not self.by_batch_weight:
            n = len(float64(x))
            here = counted(self.network, y, _row_weight(n, sample_weight))
            gradients = [g * (here / (n * row_weight)) for g in gradients]
        self.steps += 1
        update, _ = OPTIMIZERS[self.optimizer]
        count = number_of(self.optimizer, self.steps)
        for i, (p, g) in enumerate(zip(self.weights, gradients, strict=True)):
            self.weights[i], *self.state[i] = update(p, g, *self.state[i], **count, **self.settings)
        return loss

    def epoch(
        self,
        x: ArrayLike,
        y: ArrayLike,
        order: NDArray[np.int64],
        batch_size: int,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """One pass in `order`, the last short batch included; the exact mean of the losses."""
        x, y = float64(x), np.asarray(y)
        weight = _row_weight(len(x), sample_weight)
        whole = counted(self.network, y[order], weight[order])
        total = 0.0
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            here = counted(self.network, y[rows], weight[rows])
            total += self.step(x[rows], y[rows], weight[rows], whole / len(order)) * here
        return total / whole
