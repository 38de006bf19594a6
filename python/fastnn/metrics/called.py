"""Metrics counted outside a model: native counts of arrays, by a network without layers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.autodiff import functions
from fastnn.autodiff.tensor import converted, tensor
from fastnn.data import rows
from fastnn.data.table import Table
from fastnn.rows import losses

# Losses whose targets are of the kind that a metric goes with, for the native compile.
_LOSSES = {
    "labels": "softmax_cross_entropy",
    "targets": "softmax_cross_entropy",
    "sigmoid": "mean_squared_error",  # which takes outputs for probabilities, not for logits
    "values": "mean_squared_error",
}
_MISSING = "sigmoid_cross_entropy"  # which takes NaN among targets for missing labels


Array = NDArray[np.float64]

# Rows that add up to 1 within this are probabilities of classes.
_ROUNDING = 1e-3


# Whether targets of a regression may be missing (NaN), as the loss beside the metric has it.
_gaps: ContextVar[bool] = ContextVar("_gaps", default=False)


@contextmanager
def with_gaps(allowed: bool) -> Iterator[None]:
    """A block in which metrics leave missing targets of regressions out, if they are allowed."""
    before = _gaps.set(allowed)
    try:
        yield
    finally:
        _gaps.reset(before)


def counts(
    native: Callable[[int], dict[str, Any]],
    goes_with: frozenset[str],
    y_true: Any,
    y_pred: Any,
    sample_weight: Any,
) -> Array | None:
    """The native sums of one metric over these rows; None where there are none.

    Labels (n,) and targets (n, outputs) are told apart by their shape where a metric takes both,
    and targets of classes from those of labels by sums of rows, in a count where that matters.

    Args:
        native: the count for a number of outputs.
        goes_with, y_true, y_pred, sample_weight: of the metric.
    """
    outputs = tensor(y_pred)
    if outputs.ndim == 0:
        raise ValueError("y_pred: expected rows, got a single number")
    n, width = len(outputs), math.prod(outputs.shape[1:])
    target = converted(y_true)
    if target.ndim > 2 and target.shape == outputs.shape:
        target = target.reshape(n, width)
    count = native(width)
    kind = kind_of(goes_with, target, width)
    made = outputs.logits
    if made is not None and made[1] == "linear":
        if kind == "sigmoid":
            outputs = functions.sigmoid(outputs)  # half a probability is the logit 0
        elif "thresholds" in count:
            outputs = functions.softmax(outputs)
    z = outputs.value.reshape(n, width)
    if kind == "sigmoid" or "thresholds" in count:
        _check_probabilities(z, count)
    if z.dtype == np.float32:
        count = _rounded(count)
    row = losses().get(count.get("loss", ""))
    each = 1 if row is None else row.outputs_of_target
    labels = rows.labels(target, n, (width,)) if kind == "labels" else None
    targets = None if kind == "labels" else rows.targets(target, n, (width // each,), "the metric")
    weights = None
    if sample_weight is not None:
        by_element = count["kind"] == "sides" or (row is not None and not row.by_row)
        columns = targets.shape[1] if targets is not None and by_element else 1
        weights = rows.weights("sample_weight", converted(sample_weight), n, columns)
    if n == 0:
        return None
    if count["kind"] == "confusion":
        if "thresholds" in count and labels is not None:
            # A threshold cuts each output for itself: a class is a label of its own.
            kind, targets, labels = "sigmoid", one_hot(labels, width), None
        elif "top" not in count and "thresholds" not in count and kind == "sigmoid":
            kind = "targets" if of_classes(targets) and of_classes(z) else kind
    if kind == "sigmoid" and targets is not None:
        _check_labels(targets, count)
    loss = _LOSSES[kind]
    crossed = count.get("loss") == _MISSING
    if kind == "sigmoid" and targets is not None and (crossed or np.isnan(targets).any()):
        loss = _MISSING
        with np.errstate(divide="ignore"):
            z = np.clip(np.log(z) - np.log1p(-z), -745, 745)  # a logit of 745 stands for infinity
    if row is not None and each > 1:
        loss = row.name
    gaps = kind == "values" and _gaps.get()
    network = _counting(width, loss, _frozen(count), gaps)
    data = Table(np.ascontiguousarray(z, np.float64), targets, labels, weights).native()
    try:
        network.check(data)
    except ValueError as error:
        raise ValueError(str(error).replace("x: ", "y_pred: ", 1)) from None
    return network.evaluate(data)[2:]


def _check_probabilities(z: NDArray[Any], count: dict[str, Any]) -> None:
    """ValueError for outputs that are no probabilities, where a threshold of one cuts them."""
    limits = np.asarray(count.get("thresholds", count["value"]))
    if (
        count["kind"] not in ("sides", "exact", "confusion", "mean_of")
        or ((limits < 0) | (limits > 1)).any()
    ):
        return
    if count["kind"] == "mean_of" and count.get("loss") != _MISSING:
        return
    check_probabilities(z)


def check_probabilities(z: NDArray[Any]) -> None:
    """ValueError for outputs (n, c) that are no probabilities."""
    wrong = ~((z >= 0) & (z <= 1))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"y_pred: expected probabilities in [0, 1], got {z[row, column]:g} at row {row}, column "
            f"{column}; of logits take fastnn.math.sigmoid or softmax, or pass the Tensor that the "
            "model returns, which tells that it has logits"
        )


def _check_labels(targets: NDArray[Any], count: dict[str, Any]) -> None:
    """ValueError for targets that are no labels of yes or no."""
    if count["kind"] not in ("sides", "exact", "confusion"):
        return
    wrong = ~((targets == 0) | (targets == 1) | np.isnan(targets))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"y_true: expected 0 or 1, or NaN for a missing label, got {targets[row, column]:g} at "
            f"row {row}, column {column}"
        )


@functools.lru_cache(64)
def _counting(
    width: int, loss: str, frozen: tuple[tuple[str, Any], ...], gaps: bool
) -> _core.Network:
    """A network without layers that counts a metric; many threads may use it at once."""
    network = _core.Network(width, "float64", 0)
    network.set_output(0)
    network.bind(_core.Parameters(0, "float64"))
    count = dict(frozen)
    if "options" in count:
        count["options"] = dict(count["options"])
    network.compile(loss=loss, optimizer="sgd", metrics=[count], ignore_nan=gaps)
    return network


def _frozen(count: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """A count as a key of the cache."""
    made = []
    for name, value in count.items():
        if isinstance(value, dict):
            value = tuple(value.items())
        elif isinstance(value, np.ndarray):
            value = tuple(map(tuple, value.tolist()))
        made.append((name, value))
    return tuple(made)


def kind_of(goes_with: frozenset[str], target: NDArray[Any], width: int) -> str:
    """The kind of targets that these are, of those that a metric goes with."""
    one = target.ndim == 1 or (target.ndim == 2 and target.shape[1] == 1)
    if "labels" in goes_with and one and width > 1:
        return "labels"
    for kind in ("values", "sigmoid", "targets", "labels"):
        if kind in goes_with:
            return kind
    raise ValueError(f"a metric of {sorted(goes_with)} cannot be counted")


def _rounded(count: dict[str, Any]) -> dict[str, Any]:
    """The count with thresholds in float32, as comparisons of NumPy and Keras take them.

    A probability of 0.6 in float32 is not above a threshold of 0.6.
    """
    if "thresholds" in count:
        count = {**count, "thresholds": count["thresholds"].astype(np.float32).astype(np.float64)}
    return {**count, "value": float(np.float32(count["value"]))}


def of_classes(probabilities: NDArray[Any] | None) -> bool:
    """Whether there are several columns, and each row adds up to 1."""
    if probabilities is None or probabilities.shape[1] == 1:
        return False
    return bool((np.abs(probabilities.sum(axis=1, dtype=np.float64) - 1) <= _ROUNDING).all())


def one_hot(labels: NDArray[np.int32], classes: int) -> Array:
    """Targets (n, classes) of labels; ValueError for one out of range."""
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"y: expected integers in [0, {classes}), got {labels[row]} at row {row}")
    targets = np.zeros((len(labels), classes))
    targets[np.arange(len(labels)), labels] = 1.0
    return targets
