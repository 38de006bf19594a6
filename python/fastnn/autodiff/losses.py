"""Losses on Tensors: one entry of a tape each, value and gradient by the engine's kernel.

Which outputs are logits: those that softmax or sigmoid was applied to, which the Tensor keeps; those
of a layer without an activation; and, with from_logits=True, all. Other outputs have to be
probabilities, which is checked, and become logits by their logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.arrays.host import narrowed, plain
from fastnn.autodiff import functions as f
from fastnn.autodiff.kernels import composed
from fastnn.autodiff.loss_formulas import BY_ELEMENT, BY_ROW, LEAST, focal
from fastnn.autodiff.tape import recording, watched
from fastnn.autodiff.tensor import Tensor, converted, one, recorded, tensor
from fastnn.data import rows
from fastnn.variables import Variable

Array = NDArray[Any]
_NOISE = 0.1  # of labels
_FLOATS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})


class Called(NamedTuple):
    """A loss as it is called: the native row, and how."""

    native: str
    name: str
    head: str  # "softmax", "sigmoid" or "none"
    takes_labels: bool
    by_element: bool
    from_logits: bool
    options: Mapping[str, float]
    ignore_class: int | None = None
    column_weights: Array | None = None
    repeated: int = 0  # how many outputs one target may stand for; 0: its own
    by_row: bool = False  # the loss is of whole rows
    ignore_nan: bool = False  # missing targets of a regression are left out
    outputs_of_target: int = 1


def apply(how: Called, y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Tensor, float, float]:
    """The weighted mean of the loss, a Tensor without axes; NaN where nothing counts.

    Also the weight that it is divided by, and the number of what it is a mean of: rows or, where
    each element counts for itself, elements.
    """
    z = _inputs(how, y_pred)
    n, shape = z.shape[0], z.shape[1:]
    value = z.value if z.ndim == 2 else z.value.reshape(n, math.prod(shape))
    dtype = value.dtype if value.dtype in _FLOATS else np.dtype(np.float32)
    value = plain(value, dtype)
    target = _target(how, y_true, z, dtype)
    weights = _weights(how, sample_weight, target)
    if how.head == "sigmoid" and _is_noisy(target):
        weight = weight_of(how, target, weights)
        parts = float(n * _elements(how, target, weights))
        return _formula(how, z, target, weights), weight, parts
    if how.by_row:
        loss, gradient = _core.row_loss(
            how.native, value, target, weights, how.options, how.ignore_class, how.column_weights
        )
    else:
        loss, gradient = _core.element_loss(
            how.native,
            value,
            target,
            weights,
            how.column_weights,
            how.options,
            how.ignore_nan,
        )
    weight = weight_of(how, target, weights)
    if not weight > 0:
        loss = np.nan
    y = Tensor(np.asarray(loss, dtype))
    parts = float(n * _elements(how, target, weights))

    if isinstance(y_true, (Tensor, Variable)) and watched(y_true):
        return recorded(y, (z, y_true), _of_both(how, z, y_true, weights)), weight, parts

    def pull(dy: Tensor) -> Sequence[Tensor | None]:
        if recording():
            return composed(lambda z: _formula(how, z, target, weights), (z,), dy)
        found = np.asarray(gradient)
        if dy is not one(dtype):
            found = (found * dy.value).astype(dtype, copy=False)
        return (Tensor(found if z.value.ndim == 2 else found.reshape(z.shape)),)

    return recorded(y, (z,), pull), weight, parts


def of_rows(how: Called, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
    """The weighted loss of each row (n,), by operations; 0 for a row that does not count.

    That of a row is the mean over its targets that are there, each times its weight.
    """
    z = _inputs(how, y_pred)
    target = _target(how, y_true, z, z.dtype)
    weights = _weights(how, sample_weight, target)
    values, weight = _values(how, z, target, weights)
    if weight.ndim == 1:
        return values * weight.astype(z.dtype)
    present = np.maximum((~np.isnan(target)).sum(axis=1, keepdims=True), 1)
    return f.reduce_sum(values * (weight / present).astype(z.dtype), 1)


def _inputs(how: Called, y_pred: Any) -> Tensor:
    """What the loss is a function of, as rows (n, ...)."""
    outputs = tensor(y_pred)
    if outputs.ndim == 0:
        raise ValueError(f"{how.name}: y_pred: expected rows, got a single number")
    if how.by_row and outputs.ndim != 2:
        columns = "classes" if how.head == "softmax" else "outputs"
        raise ValueError(
            f"{how.name}: y_pred: expected shape (n, {columns}), got {outputs.shape}; for one row "
            "give y_pred[None]"
        )
    z = _logits(how, outputs)
    return f.reshape(z, (-1, 1)) if z.ndim == 1 else z


def _target(how: Called, y_true: Any, z: Tensor, dtype: Any) -> Array:
    """Labels (n,), or targets (n, outputs) of this type."""
    n, shape = z.shape[0], z.shape[1:]
    if how.takes_labels:
        return rows.labels(_host(y_true), n, shape)
    if how.outputs_of_target > 1:
        width = math.prod(shape)
        if width % how.outputs_of_target:
            raise ValueError(
                f"{how.name}: y_pred: expected {how.outputs_of_target} outputs for each target, got "
                f"shape {z.shape}"
            )
        shape = (width // how.outputs_of_target,)
    return narrowed(
        "y_true", rows.targets(_host(y_true), n, shape, how.name, repeated=how.repeated), dtype
    )


def _of_both(
    how: Called, z: Tensor, y_true: Tensor | Variable, weights: Array | None
) -> Callable[[Tensor], Sequence[Tensor | None]]:
    """The gradients at outputs and at targets, where targets depend on what a tape watches."""
    if how.head != "none":
        raise TypeError(
            f"{how.name}: y_true: a tape watches it, and targets of this loss have no gradient; take "
            "fastnn.math.stop_gradient(y_true), or did y_true and y_pred change places?"
        )

    def formula(z: Any, t: Any) -> Tensor:
        return _formula(how, z, f.reshape(t, (z.shape[0], -1)), weights)

    return lambda dy: composed(formula, (z, y_true), dy)


def _host(y: Any) -> Any:
    if isinstance(y, Variable):
        return y.numpy()
    return y.value if isinstance(y, Tensor) else y


def _is_noisy(target: Array) -> bool:
    """Whether targets lie outside of [0, 1], but no further than noise on labels brings them."""
    outside = (target < 0) | (target > 1)
    return bool(outside.any() and (target >= -_NOISE).all() and (target <= 1 + _NOISE).all())


def _weights(how: Called, sample_weight: Any, target: Array) -> Array | None:
    """Weights of rows (n,) or, where elements have some of their own, of targets (n, outputs)."""
    if sample_weight is None:
        return None
    columns = 1 if how.by_row or target.ndim == 1 else target.shape[1]
    given = converted(sample_weight)
    if given.ndim == 0:  # of all rows, as in Keras
        given = np.full(len(target), given)
    return rows.weights("sample_weight", given, len(target), columns)


def weight_of(how: Called, target: Array, weights: Array | None) -> float:
    """The weight of these rows, as the loss counts it, given labels (n,) or targets (n, outputs)."""
    if weights is not None and weights.ndim == 2:
        return float(weights[~np.isnan(target)].sum())
    if how.takes_labels and how.ignore_class is not None:
        counting = target != how.ignore_class
        return float(counting.sum() if weights is None else weights[counting].sum())
    if how.by_element:
        present = (~np.isnan(target)).sum(axis=1)
        return float(present.sum() if weights is None else present @ weights)
    return float(len(target) if weights is None else weights.sum())


def _elements(how: Called, target: Array, weights: Array | None) -> int:
    """Elements of a row that count for themselves; 1 where the row counts as one."""
    by_element = how.by_element or (weights is not None and weights.ndim == 2)
    return target.shape[1] if by_element and target.ndim > 1 else 1


def _logits(how: Called, outputs: Tensor) -> Tensor:
    """What the loss is a function of: logits, or the outputs themselves."""
    if how.head == "none":
        return outputs
    return logits_of(how.name, how.head, how.from_logits, outputs)


def logits_of(name: str, head: str, from_logits: bool, outputs: Tensor) -> Tensor:
    """What a cross-entropy is a function of: the logits of outputs that may be probabilities.

    Args:
        name: of the loss, for messages.
        head: "softmax" or "sigmoid".
        from_logits: whether outputs are logits where no layer tells.
        outputs: what a model gives.

    Raises:
        ValueError: they come out of another activation, or are neither logits nor probabilities.
    """
    made = outputs.logits
    if made is not None and made[1] == "linear":
        return outputs
    if made is not None and made[1] == head:
        assert made[0] is not None
        return made[0]
    if made is not None:
        raise ValueError(
            f"{name}: y_pred comes out of {made[1]}, but this loss wants {head} or logits"
        )
    if from_logits:
        return outputs
    value = outputs.value
    inside = bool(((value >= 0) & (value <= 1)).all())
    if head == "softmax":
        inside = inside and bool((np.abs(value.sum(axis=-1) - 1) <= 1e-3).all())
    if not inside:
        what = "that add up to 1 in each row" if head == "softmax" else "in [0, 1]"
        raise ValueError(
            f"{name}: y_pred: expected probabilities {what}; for logits give from_logits=True"
        )
    # As in Keras, so that 0 and 1 have a finite loss, and a gradient that is a number.
    p = f.clip_by_value(outputs, LEAST, 1 - LEAST)
    return f.log(p) if head == "softmax" else f.log(p) - f.log1p(-p)


def _formula(how: Called, z: Tensor, target: Array | Tensor, weights: Array | None) -> Tensor:
    """The same value by operations that have second derivatives."""
    values, weight = _values(how, z, target, weights)
    return f.reduce_sum(values * weight.astype(z.dtype)) / float(weight.sum())


def _values(
    how: Called, z: Tensor, target: Array | Tensor, weights: Array | None
) -> tuple[Tensor, Array]:
    """The losses of rows (n,) or of elements (n, outputs), and the weight of each."""
    n = z.shape[0]
    c = math.prod(z.shape[1:])
    z = f.reshape(z, (n, c))
    w = np.ones(n) if weights is None else weights
    smoothing = how.options.get("label_smoothing", 0.0)
    t: Any
    if how.by_row:
        if how.takes_labels:
            counted = np.ones(n, bool) if how.ignore_class is None else target != how.ignore_class
            w = w * counted
            t = (np.where(counted, target, 0)[:, None] == np.arange(c)).astype(z.dtype)
        else:
            t = target
        if smoothing:
            t = (1 - smoothing) * t + smoothing / c
        t = t.astype(z.dtype)
        if how.native in BY_ROW:
            columns = 1.0 if how.column_weights is None else how.column_weights.astype(z.dtype)
            return BY_ROW[how.native](z, t, how.options, columns), w
        return -f.reduce_sum(f.log_softmax(z) * t, 1), w
    missing = f.is_nan(target).value
    t = f.where(missing, 0.0, target) if missing.any() else target
    by_element = (w if w.ndim == 2 else w[:, None]) * ~missing
    if how.native == "sigmoid_cross_entropy":
        t = (1 - smoothing) * t + smoothing / 2
        positive = 1.0 if how.column_weights is None else how.column_weights.astype(z.dtype)
        value = f.softplus(-z) * (t * positive) + f.softplus(z) * (1 - t)
    elif how.native == "mean_squared_error":
        value = f.square(z - t)
    elif how.native == "mean_absolute_error":
        value = f.abs(z - t)
    elif how.native == "huber":
        delta = how.options["delta"]
        error = f.abs(z - t)
        inside = error.value <= delta
        value = f.where(inside, 0.5 * error * error, delta * (error - 0.5 * delta))
    elif how.native == "poisson":
        value = z - t * f.log(z + 1e-7)
    elif how.native == "binary_focal_crossentropy":
        value = focal(how.options, z, (1 - smoothing) * t + smoothing / 2)
    elif how.native in BY_ELEMENT:
        columns = 1.0 if how.column_weights is None else how.column_weights.astype(z.dtype)
        value = BY_ELEMENT[how.native](z, t, how.options, columns)
    else:
        raise RuntimeError(f"gradient: second derivatives of {how.name} are not in fastnn")
    return value, by_element
