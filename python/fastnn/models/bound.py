"""Bound: a metric of one output of a model, which gets targets and outputs as the loss sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastnn.autodiff import functions
from fastnn.autodiff.following import following
from fastnn.autodiff.tensor import Tensor, converted
from fastnn.data.structures import Form, by_output
from fastnn.losses import Loss
from fastnn.metrics.base import Metric
from fastnn.metrics.called import with_gaps
from fastnn.metrics.collected import Collected
from fastnn.metrics.functions import FunctionMetric, is_own


class Bound(Metric):
    """A metric of one output, under its name in logs."""

    def __init__(
        self, metric: Metric, name: str, output: int | None, form: Form, loss: Loss | None
    ) -> None:
        self.name = name
        self.metric = metric
        self._output, self._form, self._loss = output, form, loss
        self.weighted = False
        self.more_is_better = getattr(metric, "more_is_better", None)  # type: ignore[misc]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        if self._output is not None:
            y_true = by_output("y", y_true, self._form)[self._output]
            y_pred = self._form.leaves(y_pred)[self._output]
            if isinstance(sample_weight, (list, tuple, Mapping)):
                weights = by_output("sample_weight", sample_weight, self._form)
                sample_weight = weights[self._output]
        self.update_one(y_true, y_pred, sample_weight)

    def update_one(self, y_true: Any, y_pred: Any, sample_weight: Any) -> None:
        """`update_state` of the output itself."""
        ignored = getattr(self._loss, "ignore_class", None)
        if not is_own(self.metric):
            y_pred = _as_the_loss_sees(self._loss, self.metric, y_pred)
            if ignored is not None:
                y_true, y_pred, sample_weight = _without(ignored, y_true, y_pred, sample_weight)
        given = () if sample_weight is None else (sample_weight,)
        written = is_own(self.metric) and not isinstance(self.metric, FunctionMetric)
        if not written or not isinstance(y_pred, Tensor) or not isinstance(y_true, Tensor):
            with with_gaps(self._loss is not None and self._loss.leaves_nan_out):
                self.metric.update_state(y_true, y_pred, *given)
            return
        with following(f"metrics: {self.name}", y_true, y_pred, sample_weight):
            self.metric.update_state(y_true, y_pred, *given)

    def result(self) -> Any:
        return self.metric.result()

    def reset_state(self) -> None:
        self.metric.reset_state()

    def counted(self) -> list[Any]:
        return self.metric.counted()

    def count_on(self, counted: Sequence[Any]) -> None:
        self.metric.count_on(counted)


def waits(metric: Metric) -> bool:
    """Whether a metric, or the one that is bound, is finished from all rows of a pass."""
    return isinstance(metric.metric if isinstance(metric, Bound) else metric, Collected)


def _as_the_loss_sees(loss: Loss | None, metric: Metric, y_pred: Any) -> Any:
    """Outputs for a metric: those that the loss takes for logits are marked as such, and metrics of
    all rows get probabilities."""
    if not isinstance(y_pred, Tensor):
        return y_pred
    made = y_pred.logits
    if made is None and loss is not None and loss.from_logits:
        marked = Tensor(y_pred.value)
        marked.logits = None, "linear"
        return marked
    if isinstance(metric, Collected) and made is not None and made[1] == "linear":
        folds = None if loss is None or loss.is_own else loss.folds
        if folds is not None and not isinstance(metric, FunctionMetric):
            return functions.softmax(y_pred) if folds == "softmax" else functions.sigmoid(y_pred)
    return y_pred


def _without(ignored: int, y: Any, y_pred: Any, weights: Any) -> tuple[Any, Any, Any]:
    """Rows of other classes."""
    labels = converted(y)
    keep = labels.reshape(len(labels)) != ignored
    if keep.all():
        return y, y_pred, weights
    kept = Tensor(y_pred.value[keep])
    made = y_pred.logits
    if made is not None:
        kept.logits = (None if made[0] is None else Tensor(made[0].value[keep])), made[1]
    by_row = None if weights is None else converted(weights)[keep]
    return labels[keep], kept, by_row
