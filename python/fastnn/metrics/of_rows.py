"""Metrics as functions of Keras's names, which give a number for each row. Losses are in fastnn.losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.autodiff.tensor import Tensor, converted
from fastnn.metrics.base import Metric
from fastnn.metrics.means import (
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from fastnn.words import integer

Array = NDArray[Any]


def _pair(y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    """Targets and outputs as arrays of the same shape."""
    target, outputs = np.asarray(converted(y_true)), np.asarray(converted(y_pred))
    if target.shape != outputs.shape or outputs.ndim == 0:
        raise ValueError(
            f"y_true: expected the shape of y_pred, got {target.shape} and {outputs.shape}"
        )
    return target, outputs


def _labels(y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    """Labels (n,) as integers, and outputs (n, classes)."""
    labels, outputs = np.asarray(converted(y_true)), np.asarray(converted(y_pred))
    if labels.ndim == outputs.ndim and labels.shape[-1:] == (1,):
        labels = labels[..., 0]
    if labels.shape != outputs.shape[:-1] or outputs.ndim == 0:
        raise ValueError(
            f"y_true: expected labels of shape {outputs.shape[:-1]} for outputs of shape "
            f"{outputs.shape}, got {labels.shape}"
        )
    found = labels.astype(np.intp)
    wrong = (found != labels) | (found < 0) | (found >= outputs.shape[-1])
    if wrong.any():
        raise ValueError(
            f"y_true: expected integers in [0, {outputs.shape[-1]}), got {labels[wrong][0]}"
        )
    return found, outputs


def _hits(labels: Array, outputs: Array, k: int) -> Tensor:
    right = np.take_along_axis(outputs, labels[..., None], axis=-1)
    return Tensor(((outputs > right).sum(axis=-1) < k).astype(np.float32))


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Tensor:
    """The share of a row's outputs that are on the right side of `threshold`, a number for each row.

        >>> fastnn.metrics.binary_accuracy([[1, 0], [1, 1]], [[0.9, 0.2], [0.4, 0.7]]).tolist()
        [1.0, 0.5]

    Args:
        y_true, y_pred: of one shape (..., outputs); probabilities.
        threshold: what is above it is a yes.

    Raises:
        ValueError: the shapes differ.
    """
    target, outputs = _pair(y_true, y_pred)
    return Tensor((target == (outputs > threshold)).mean(axis=-1, dtype=np.float32))


def categorical_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 for each row whose largest `y_pred` is where `y_true` (n, classes) is largest, else 0.

    >>> fastnn.metrics.categorical_accuracy([[0, 1], [1, 0]], [[0.1, 0.9], [0.2, 0.8]]).tolist()
    [1.0, 0.0]
    """
    target, outputs = _pair(y_true, y_pred)
    same = target.argmax(axis=-1) == outputs.argmax(axis=-1)
    return Tensor(same.astype(np.float32))


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 for each row whose largest `y_pred` (n, classes) is at its label `y_true` (n,), else 0.

    >>> fastnn.metrics.sparse_categorical_accuracy([1, 0], [[0.1, 0.9], [0.2, 0.8]]).tolist()
    [1.0, 0.0]
    """
    labels, outputs = _labels(y_true, y_pred)
    return Tensor((labels == outputs.argmax(axis=-1)).astype(np.float32))


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Tensor:
    """1 for each row with fewer than `k` of `y_pred` above that of its `y_true` (n, classes), else 0.

    >>> y, p = [[0, 0, 1], [1, 0, 0]], [[0.5, 0.2, 0.3], [0.1, 0.7, 0.2]]
    >>> fastnn.metrics.top_k_categorical_accuracy(y, p, k=2).tolist()
    [1.0, 0.0]
    """
    target, outputs = _pair(y_true, y_pred)
    return _hits(target.argmax(axis=-1), outputs, integer("k", k))


def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Tensor:
    """1 for each row with fewer than `k` of `y_pred` above that of its label `y_true` (n,), else 0.

    >>> p = [[0.5, 0.2, 0.3], [0.1, 0.7, 0.2]]
    >>> fastnn.metrics.sparse_top_k_categorical_accuracy([2, 0], p, k=2).tolist()
    [1.0, 0.0]
    """
    return _hits(*_labels(y_true, y_pred), integer("k", k))


# What `compile` counts natively in place of these.
CLASS_OF: dict[Callable[..., Any], type[Metric]] = {
    binary_accuracy: BinaryAccuracy,
    categorical_accuracy: CategoricalAccuracy,
    sparse_categorical_accuracy: SparseCategoricalAccuracy,
    top_k_categorical_accuracy: TopKCategoricalAccuracy,
    sparse_top_k_categorical_accuracy: SparseTopKCategoricalAccuracy,
}
