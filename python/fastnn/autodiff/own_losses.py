"""Losses that users write: a function of (y_true, y_pred), made the weighted mean over rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.autodiff import functions as f
from fastnn.autodiff.following import check_result, following
from fastnn.autodiff.tensor import Tensor, converted, tensor
from fastnn.data import rows

Function = Callable[[Any, Any], Any]


def by_rows(
    name: str, function: Function, y_true: Any, y_pred: Any, sample_weight: Any
) -> tuple[Tensor, float, float]:
    """sum(w * l) / sum(w) of the losses of rows that a function returns, sum(w), and the rows.

    Raises:
        TypeError: the function returns no Tensor.
        ValueError: it broadcasts y_true and y_pred against each other (`following`), it returns
            another number of rows, or one number where rows have weights.
    """
    outputs = tensor(y_pred)
    n = len(outputs)
    target = aligned(y_true, outputs)
    with following(f"loss {name}", target, outputs):
        value = as_tensor(name, function(target, outputs))
    weights = weights_of(sample_weight, n)
    if value.ndim == 0:
        if weights is not None:
            raise ValueError(
                f"loss {name}: it returns a single number, which rows of different weights "
                "(sample_weight, class_weight) cannot have; return a value for each row, "
                f"shape ({n},)"
            )
        return value, float(n), float(n)
    check_result(f"loss {name}: expected a loss", value, target, outputs)
    losses = value if value.ndim == 1 else f.reduce_mean(f.reshape(value, (n, -1)), 1)
    if weights is None:
        return f.reduce_mean(losses), float(n), float(n)
    total = float(weights.sum())
    # Rows without weight count nowhere, also where their loss is no number.
    losses = f.where(weights > 0, losses, 0.0) if (weights == 0).any() else losses
    mean = f.reduce_sum(losses * weights.astype(losses.dtype)) / (total or 1.0)
    return mean, total, float(n)


def whole(
    name: str, function: Callable[..., Any], y_true: Any, y_pred: Any, sample_weight: Any
) -> tuple[Tensor, float, float]:
    """The same of a class with a `__call__` of its own, which weighs rows by itself."""
    outputs = tensor(y_pred)
    n = len(outputs)
    weights = weights_of(sample_weight, n)
    target = aligned(y_true, outputs)
    given = (target, outputs, *(() if weights is None else (sample_weight,)))
    with following(f"loss {name}", target, outputs, sample_weight):
        value = as_tensor(name, function(*given))
    if value.ndim:
        raise ValueError(f"loss {name}: `__call__`: expected one number, got shape {value.shape}")
    return value, float(n if weights is None else weights.sum()), float(n)


def aligned(y_true: Any, outputs: Tensor) -> Any:
    """Targets as a Tensor of the type of the outputs, with an axis of length 1 where these have one.

    Without that, (n,) and (n, 1) would be broadcast to (n, n), and integers would make float64 of
    float32.
    """
    if y_true is None:
        return None
    target = tensor(y_true)
    if target.dtype != outputs.dtype and outputs.dtype.kind == "f":
        target = f.cast(target, outputs.dtype)
    return with_axes_of(target, outputs)


def with_axes_of(target: Any, outputs: Any) -> Any:
    """Targets with an axis of length 1 where the outputs have one; others as they are."""
    if not isinstance(target, Tensor) or not isinstance(outputs, Tensor):
        return target
    if target.ndim + 1 == outputs.ndim and outputs.shape[-1] == 1:
        return f.expand_dims(target, -1)
    if target.ndim == outputs.ndim + 1 and target.shape[-1] == 1:
        return f.squeeze(target, -1)
    return target


def weights_of(sample_weight: Any, n: int) -> NDArray[np.float64] | None:
    """Weights of rows (n,), or None."""
    if sample_weight is None:
        return None
    return rows.row_weights("sample_weight", converted(sample_weight), n)


def as_tensor(name: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    raise TypeError(
        f"loss {name}: expected a Tensor, got {type(value).__name__}: a value that does not depend "
        "on Tensors has no gradient; compute it by fastnn.math from y_pred as it is given"
    )
