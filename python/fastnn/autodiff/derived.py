"""Functions that are made of the operations of `functions`, and have their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn import activations
from fastnn.autodiff import functions as f
from fastnn.autodiff.elementary import sides
from fastnn.autodiff.quiet import operation
from fastnn.autodiff.tensor import Tensor, converted, followed, tensor
from fastnn.words import integer

Axis = int | Sequence[int] | None
# The constants of selu (Klambauer et al., 2017).
_SELU_ALPHA = 1.6732632423543772
_SELU_SCALE = 1.0507009873554805


# -- arithmetic ------------------------------------------------------------------------------------


def add_n(inputs: Sequence[Any]) -> Tensor:
    """The sum of Tensors of one shape."""
    if not isinstance(inputs, (list, tuple)) or not inputs:
        raise ValueError(f"inputs: expected a list of at least one Tensor, got {inputs!r}")
    total = tensor(inputs[0])
    for value in inputs[1:]:
        if np.shape(converted(value)) != total.shape:
            raise ValueError(
                f"inputs: expected one shape, got {total.shape} and {np.shape(converted(value))}"
            )
        total = f.add(total, value)
    return total


@operation
def divide_no_nan(x: Any, y: Any) -> Tensor:
    """x / y, and 0 where y is 0."""
    none = converted(y) == 0
    return f.where(none, 0.0, f.divide(x, f.where(none, 1.0, y)))


@operation
def logical_xor(a: Any, b: Any) -> Tensor:
    """Where one of both is true, as bools."""
    a, b = tensor(a), tensor(b)
    return followed(Tensor(np.logical_xor(a.value, b.value)), a, b)


@operation
def is_inf(x: Any) -> Tensor:
    """Where x is infinite, as bools."""
    x = tensor(x)
    return followed(Tensor(np.asarray(np.isinf(x.value))), x)


@operation
def count_nonzero(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """How many numbers are not 0, over the axes."""
    return f.reduce_sum(f.cast(f.not_equal(x, 0), np.int64), axis, keepdims)


@operation
def moments(x: Any, axes: Axis, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    """The mean and the variance over axes."""
    return f.reduce_mean(x, axes, keepdims), f.reduce_variance(x, axes, keepdims)


@operation
def l2_normalize(x: Any, axis: Axis = None, epsilon: float = 1e-12) -> Tensor:
    """x / sqrt(max(sum(x ** 2), epsilon)), with the sum over axes."""
    squares = f.reduce_sum(f.square(x), axis, keepdims=True)
    return f.multiply(x, f.rsqrt(f.maximum(squares, epsilon)))


@operation
def l2_loss(x: Any) -> Tensor:
    """sum(x ** 2) / 2."""
    return f.reduce_sum(f.square(x)) / 2


@operation
def confusion_matrix(
    labels: Any,
    predictions: Any,
    num_classes: int | None = None,
    weights: Any = None,
    dtype: DTypeLike = np.int32,
) -> Tensor:
    """How often each class (row) was taken for each class (column).

    Args:
        labels, predictions: classes (n,) from 0.
        num_classes: None: the largest class and one.
        weights: (n,); None: 1.
        dtype: of the counts.

    Raises:
        ValueError: a class is out of range, or lengths differ.
    """
    true, found = _classes("labels", labels), _classes("predictions", predictions)
    if true.shape != found.shape:
        raise ValueError(f"predictions: {len(found)} of them for {len(true)} labels")
    largest = int(max(true.max(initial=-1), found.max(initial=-1)))
    classes = largest + 1 if num_classes is None else integer("num_classes", num_classes)
    least = int(min(true.min(initial=0), found.min(initial=0)))
    if least < 0 or largest >= classes:
        wrong = least if least < 0 else largest
        raise ValueError(f"labels and predictions: expected classes in [0, {classes}), got {wrong}")
    counts = np.zeros((classes, classes), dtype)
    np.add.at(counts, (true, found), 1 if weights is None else converted(weights))
    return Tensor(counts)


def _classes(name: str, given: Any) -> Any:
    """Integers (n,), which floats may hold."""
    values = converted(given).reshape(-1)
    wrong = ~np.isfinite(values) | (values != np.floor(values))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"{name}: expected integers, got {values[row]} at row {row}")
    return values.astype(np.int64)


@operation
def clip_by_norm(t: Any, clip_norm: Any, axes: Axis = None) -> Tensor:
    """t scaled down to the norm clip_norm where its norm, over the axes or over all, is larger."""
    x = _floats(t)
    length = f.norm(x, axis=axes, keepdims=True)
    clipped: Tensor = x * (clip_norm / f.maximum(length, clip_norm))
    return clipped


@operation
def global_norm(t_list: Sequence[Any]) -> Tensor:
    """The norm of all numbers in a list of Tensors, such as gradients; None counts for nothing."""
    squares = [f.reduce_sum(f.square(_floats(one))) for one in t_list if one is not None]
    if not squares:
        return Tensor(np.zeros((), np.float32))
    return f.sqrt(add_n(squares))


def clip_by_global_norm(
    t_list: Sequence[Any], clip_norm: Any, use_norm: Any = None
) -> tuple[list[Tensor | None], Tensor]:
    """A list of Tensors scaled down together to the norm clip_norm where theirs is larger.

    Returns:
        The list, in which None stays, and the norm that they had (or use_norm).
    """
    length = global_norm(t_list) if use_norm is None else tensor(use_norm)
    share = clip_norm / f.maximum(length, clip_norm)
    return [None if one is None else _floats(one) * share for one in t_list], length


# -- activations -----------------------------------------------------------------------------------


def _floats(x: Any) -> Tensor:
    z = tensor(x)
    return z if z.dtype.kind == "f" else f.cast(z, np.float32)


@operation
def relu6(x: Any) -> Tensor:
    """x cut to [0, 6]."""
    return f.minimum(f.relu(x), 6.0)


@operation
def leaky_relu(x: Any, alpha: float = 0.2) -> Tensor:
    """x above 0, alpha * x below."""
    z = _floats(x)
    sloped: Tensor = z * sides(z, alpha)
    return sloped


@operation
def elu(x: Any) -> Tensor:
    """x above 0, exp(x) - 1 below."""
    z = _floats(x)
    return f.where(z.value > 0, z, f.expm1(f.minimum(z, 0.0)))


@operation
def selu(x: Any) -> Tensor:
    """The scaled elu of self-normalizing networks (Klambauer et al., 2017)."""
    z = _floats(x)
    low = _SELU_ALPHA * f.expm1(f.minimum(z, 0.0))
    return _SELU_SCALE * f.where(z.value > 0, z, low)


@operation
def softsign(x: Any) -> Tensor:
    """x / (1 + |x|)."""
    return f.divide(x, 1 + f.abs(x))


@operation
def log_sigmoid(x: Any) -> Tensor:
    """log(sigmoid(x)), exact for large x of either sign."""
    return f.negative(f.softplus(f.negative(x)))


# -- cross-entropies of rows -----------------------------------------------------------------------


@operation
def softmax_cross_entropy_with_logits(labels: Any, logits: Any, axis: int = -1) -> Tensor:
    """The cross-entropy of each row: -sum(labels * log(softmax(logits))).

    Args:
        labels: probabilities of classes, of the shape of logits.
        logits: (..., classes).
        axis: that of the classes.

    Raises:
        ValueError: the shapes differ.
    """
    z, t = tensor(logits), tensor(labels)
    if z.shape != t.shape:
        raise ValueError(f"labels: expected the shape of logits, {z.shape}, got {t.shape}")
    return f.negative(f.reduce_sum(t * f.log_softmax(z, axis), axis))


@operation
def sparse_softmax_cross_entropy_with_logits(labels: Any, logits: Any) -> Tensor:
    """The cross-entropy of each row, -log(softmax(logits)) at its label.

    Args:
        labels: integers (...), in [0, classes).
        logits: (..., classes).

    Raises:
        ValueError: the shapes do not fit, or a label is out of range.
    """
    z, t = tensor(logits), converted(labels)
    if t.shape != z.shape[:-1] or z.ndim == 0:
        raise ValueError(
            f"labels: expected shape {z.shape[:-1]} for logits {z.shape}, got {t.shape}"
        )
    wrong = (t < 0) | (t >= z.shape[-1]) | (t != np.floor(t))
    if wrong.any():
        raise ValueError(f"labels: expected integers in [0, {z.shape[-1]}), got {t[wrong].flat[0]}")
    rows = np.ogrid[tuple(slice(n) for n in t.shape)] if t.ndim else ()
    return f.negative(f.getitem(f.log_softmax(z), (*rows, t.astype(np.int64))))


@operation
def sigmoid_cross_entropy_with_logits(labels: Any, logits: Any) -> Tensor:
    """The cross-entropy of each number: max(z, 0) - z * labels + log(1 + exp(-|z|)).

    Args:
        labels: probabilities, of the shape of logits.
        logits: z, of any shape.

    Raises:
        ValueError: the shapes differ.
    """
    z, t = tensor(logits), tensor(labels)
    if z.shape != t.shape:
        raise ValueError(f"labels: expected the shape of logits, {z.shape}, got {t.shape}")
    return f.softplus(z) - z * t


activations.functions.update({elu: "elu", leaky_relu: "leaky_relu"})
