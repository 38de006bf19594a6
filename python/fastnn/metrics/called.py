"""Metrics counted outside a model: native counts of arrays, by a network without layers."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.autodiff import functions
from fastnn.autodiff.tensor import converted, tensor
from fastnn.data import rows
from fastnn.data.table import Table

# Losses whose targets are of the kind that a metric goes with, for the native compile.
_LOSSES = {
    "labels": "softmax_cross_entropy",
    "targets": "softmax_cross_entropy",
    "sigmoid": "mean_squared_error",  # which takes outputs for probabilities, not for logits
    "values": "mean_squared_error",
}
_MISSING = "sigmoid_cross_entropy"  # which takes NaN among targets for missing labels


def counts(
    native: dict[str, Any], goes_with: frozenset[str], y_true: Any, y_pred: Any, sample_weight: Any
) -> NDArray[np.float64] | None:
    """The native sums of one metric over these rows; None where there are none.

    Labels (n,) and targets (n, outputs) are told apart by their shape where a metric takes both.
    """
    outputs = tensor(y_pred)
    if outputs.ndim == 0:
        raise ValueError("y_pred: expected rows, got a single number")
    made = outputs.logits
    yes_or_no = "sigmoid" in goes_with and "values" not in goes_with
    if made is not None and made[1] == "linear" and yes_or_no:
        outputs = functions.sigmoid(outputs)  # half a probability is the logit 0
    n, width = len(outputs), math.prod(outputs.shape[1:])
    z = outputs.value.reshape(n, width)
    target = converted(y_true)
    if target.ndim > 2 and target.shape == outputs.shape:
        target = target.reshape(n, width)
    kind = _kind(goes_with, target, width)
    labels = rows.labels(target, n, (width,)) if kind == "labels" else None
    targets = None if kind == "labels" else rows.targets(target, n, (width,), "the metric")
    weights = (
        None
        if sample_weight is None
        else rows.row_weights("sample_weight", converted(sample_weight), n)
    )
    if n == 0:
        return None
    loss = _LOSSES[kind]
    crossed = native.get("loss") == _MISSING
    if kind == "sigmoid" and targets is not None and (crossed or np.isnan(targets).any()):
        loss = _MISSING
        with np.errstate(divide="ignore"):
            z = np.clip(np.log(z) - np.log1p(-z), -745, 745)  # a logit of 745 stands for infinity
    options = tuple(native.get("options", {}).items())
    plain = tuple(item for item in native.items() if item[0] != "options")
    network = _counting(width, loss, plain, options)
    data = Table(np.ascontiguousarray(z, np.float64), targets, labels, weights).native()
    try:
        network.check(data)
    except ValueError as error:
        raise ValueError(str(error).replace("x: ", "y_pred: ", 1)) from None
    return network.evaluate(data)[2:]


@functools.lru_cache(64)
def _counting(
    width: int,
    loss: str,
    native: tuple[tuple[str, Any], ...],
    options: tuple[tuple[str, float], ...],
) -> _core.Network:
    """A network without layers that counts a metric; many threads may use it at once."""
    network = _core.Network(width, "float64", 0)
    network.set_output(0)
    network.bind(_core.Parameters(0, "float64"))
    metric = {**dict(native), **({"options": dict(options)} if options else {})}
    network.compile(loss=loss, optimizer="sgd", metrics=[metric])
    return network


def _kind(goes_with: frozenset[str], target: NDArray[Any], width: int) -> str:
    one = target.ndim == 1 or (target.ndim == 2 and target.shape[1] == 1)
    if "labels" in goes_with and one and width > 1:
        return "labels"
    for kind in ("values", "sigmoid", "targets", "labels"):
        if kind in goes_with:
            return kind
    raise ValueError(f"a metric of {sorted(goes_with)} cannot be counted")
