"""Metrics that are finished from all rows at once: outputs, targets and weights are kept by row.

Rankings, and Python functions of (y_true, y_pred), are no sums over rows. Their formulas are in
`ranked`, `agreement` and `functions`; what is kept, and how a row of it is read, is said here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.autodiff import functions
from fastnn.autodiff.tensor import Tensor, converted, tensor
from fastnn.data import rows
from fastnn.metrics.base import Metric
from fastnn.metrics.called import check_probabilities, kind_of, of_classes, one_hot

Array = NDArray[np.float64]

EVERY = frozenset({"labels", "targets", "sigmoid", "values"})
CLASSES = frozenset({"labels", "targets", "sigmoid"})
_HEADS = ("", "linear", "sigmoid", "softmax")


class Kept(NamedTuple):
    """Rows of one or more batches.

    `numbers`: logits where `head` is "sigmoid" or "softmax", which makes outputs of them; else the
    outputs, which are logits where `head` is "linear", and nothing is known about where it is "".
    """

    y: NDArray[Any] | None
    numbers: NDArray[Any]
    head: str
    weights: Array | None

    def outputs(self) -> Tensor:
        """The outputs, with the logits that they are made of."""
        made = Tensor(self.numbers)
        if self.head == "softmax":
            return functions.softmax(made)
        if self.head == "sigmoid":
            return functions.sigmoid(made)
        if self.head == "linear":
            made.logits = None, "linear"
        return made


def kept(y_true: Any, y_pred: Any, sample_weight: Any) -> Kept:
    """The rows of a batch as they are to be kept."""
    outputs = tensor(y_pred)
    if outputs.ndim == 0:
        raise ValueError("y_pred: expected rows, got a single number")
    n = len(outputs)
    y = None if y_true is None else np.array(converted(y_true))
    if y is not None and (y.ndim == 0 or len(y) != n):
        raise ValueError(f"y_true: expected {n} rows, as y_pred has, got shape {y.shape}")
    weights = None
    if sample_weight is not None:
        weights = rows.row_weights("sample_weight", converted(sample_weight), n)
        wrong = ~((weights >= 0) & (weights < math.inf))
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(
                f"sample_weight: expected finite numbers of at least 0, got {weights[row]:g} at row "
                f"{row}"
            )
    made = outputs.logits
    if made is None:
        return Kept(y, np.array(outputs.value), "", weights)
    logits, head = made
    if logits is None or head not in _HEADS[2:]:
        return Kept(y, np.array(outputs.value), "linear" if head == "linear" else "", weights)
    return Kept(y, np.array(logits.value), head, weights)


def joined(parts: Sequence[Kept]) -> Kept:
    """All rows of several batches."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    if any(part.head != first.head for part in parts):
        parts = [part._replace(numbers=part.outputs().value, head="") for part in parts]
    weights = None
    if any(part.weights is not None for part in parts):
        every = [np.ones(len(p.numbers)) if p.weights is None else p.weights for p in parts]
        weights = np.concatenate(every)
    y = None if first.y is None else np.concatenate([part.y for part in parts])
    return Kept(y, np.concatenate([part.numbers for part in parts]), parts[0].head, weights)


class Collected(Metric):
    """The base of metrics that are finished from all rows of an epoch.

    `update_state` keeps rows, and `result` finishes them. In `fit` they are kept natively: the logs
    of an epoch have the metric, those of a batch do not.
    """

    counts: ClassVar[str] = "rows"
    goes_with: ClassVar[frozenset[str]] = EVERY
    _inside: ClassVar[tuple[str, ...]] = ("check", "finished")

    _parts: tuple[Kept, ...] = ()
    _made: Any = None  # the last result, until rows come

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Keeps rows; `result` is the metric of all rows since `reset_state`.

        Args:
            y_true: labels (n,) or targets (n, outputs), as in `fit`.
            y_pred: outputs (n, outputs), or (n,) for one: a Tensor or an array, of probabilities
                where the metric is about probabilities. A Tensor of a layer without an activation
                holds logits, and a metric of probabilities takes it for those.
            sample_weight: weights of rows (n,).

        Raises:
            ValueError: shapes do not fit, or a label, an output or a weight is out of range.
        """
        part = kept(y_true, y_pred, sample_weight)
        if len(part.numbers) == 0:
            return
        made = self.check(part)
        if self._parts and part.numbers.shape[1:] != self._parts[0].numbers.shape[1:]:
            raise ValueError(
                f"{self.name}: y_pred has another number of columns than what was counted before; "
                "call reset_state first"
            )
        self._made = None if self._parts or made is None else np.asarray(made, np.float64)
        self._parts = (*self._parts, part) if len(self._parts) < 64 else (self._all(part),)

    def _all(self, *more: Kept) -> Kept:
        return joined([*self._parts, *more])

    def check(self, part: Kept) -> Any:
        """ValueError for rows that the metric cannot take; what `finished` gives, if it was asked."""
        del part  # for subclasses

    def finished(self, rows_: Kept) -> Any:
        """The metric of these rows, of which there is at least one."""
        raise NotImplementedError

    def result(self) -> Tensor:
        """The metric of the rows that were kept, a Tensor; NaN where there are none."""
        if not self._parts:
            return Tensor(np.asarray(math.nan))
        if self._made is None:
            self._parts = (self._all(),)
            self._made = np.asarray(self.finished(self._parts[0]), np.float64)
        return Tensor(self._made)

    def reset_state(self) -> None:
        """Forgets the rows."""
        self._parts, self._made = (), None

    def counted(self) -> list[NDArray[Any]]:
        if not self._parts:
            return [np.zeros(0)] * 5
        rows_ = self._all()
        head = _HEADS.index(rows_.head)
        single = float(rows_.numbers.dtype == np.float32)
        numbers = [single, head, *rows_.numbers.shape]
        y = [] if rows_.y is None else [float(rows_.y.dtype.kind in "iu"), *rows_.y.shape]
        return [
            np.asarray(numbers, np.float64),
            np.asarray(y, np.float64),
            rows_.numbers.astype(np.float64).ravel(),
            np.zeros(0) if rows_.y is None else rows_.y.astype(np.float64).ravel(),
            np.zeros(0) if rows_.weights is None else rows_.weights,
        ]

    def count_on(self, counted: Sequence[NDArray[Any]]) -> None:
        self.reset_state()
        about, about_y, numbers, y, weights = counted
        if len(about) == 0:
            return
        single, head, *shape = (int(number) for number in about)
        targets = None
        if len(about_y):
            whole, *of_y = (int(number) for number in about_y)
            targets = y.reshape(of_y).astype(np.int64 if whole else np.float64)
        self._parts = (
            Kept(
                targets,
                numbers.reshape(shape).astype(np.float32 if single else np.float64),
                _HEADS[head],
                np.array(weights) if len(weights) else None,
            ),
        )

    def __getstate__(self) -> dict[str, Any]:
        """What pickles and copies hold: the options, not the rows."""
        return {name: v for name, v in vars(self).items() if name not in ("_parts", "_made")}


class Read(NamedTuple):
    """Rows as metrics of classes and of numbers read them; rows of weight 0 are left out.

    `y`: targets (n, c), with NaN where one is missing. `labels`: the class of each row, where rows
    have one; None: each output is for itself. `outputs`: (n, c) as `predict` returns them, but
    probabilities where they are logits of these. `scores`: the same, in an order as fine as that of
    the logits.
    """

    y: Array
    labels: NDArray[np.intp] | None
    outputs: Array
    scores: Array
    weights: Array


def read(metric: Metric, rows_: Kept, *, probabilities: bool = True) -> Read:
    """The rows as numbers, checked.

    Args:
        metric: which goes with their kind.
        rows_: the rows.
        probabilities: whether outputs that each are for themselves have to be probabilities.
    """
    n = len(rows_.numbers)
    width = math.prod(rows_.numbers.shape[1:])
    target = np.zeros(0) if rows_.y is None else rows_.y
    if target.ndim > 2 and target.shape == rows_.numbers.shape:
        target = target.reshape(n, width)
    kind = kind_of(metric.goes_with, target, width)
    numbers = rows_.numbers.reshape(n, width).astype(np.float64)
    scores = outputs = numbers
    if rows_.head == "sigmoid" or (rows_.head == "linear" and kind == "sigmoid"):
        outputs = _sigmoid(numbers)
    elif rows_.head == "softmax" or (rows_.head == "linear" and kind in ("labels", "targets")):
        scores = outputs = _softmax(numbers)
    elif probabilities and kind != "values":
        check_probabilities(rows_.outputs().value.reshape(n, width))
    labels = None
    if kind == "labels":
        labels = rows.labels(target, n, (width,)).astype(np.intp)
        y = one_hot(labels.astype(np.int32), width)
    else:
        y = rows.targets(target, n, (width,), "the metric").astype(np.float64)
        of_one = kind == "targets" or rows_.head == "softmax"
        if kind == "sigmoid" and "targets" in metric.goes_with and rows_.head == "":
            of_one = of_classes(y) and of_classes(outputs)
        if of_one:
            labels = y.argmax(axis=1)
    weights = np.ones(n) if rows_.weights is None else rows_.weights
    counts = weights > 0
    if not counts.all():
        y, outputs, scores, weights = y[counts], outputs[counts], scores[counts], weights[counts]
        labels = None if labels is None else labels[counts]
    return Read(y, labels, outputs, scores, weights)


def _sigmoid(z: Array) -> Array:
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, small) / (1.0 + small)


def _softmax(z: Array) -> Array:
    powers: Array = np.exp(z - z.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers
