"""Columns: which loss and metrics native code sums for a model, and their names in logs.

Combinations of a metric with a loss and a head that make no sense are refused here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.layers.base import Shape
from fastnn.losses import Loss
from fastnn.metrics.base import Metric
from fastnn.metrics.choice import fitting, get
from fastnn.metrics.functions import FunctionMetric, is_own
from fastnn.metrics.means import MeanOf, RootMeanSquaredError
from fastnn.models.finished import Finisher, collects
from fastnn.models.heads import Head, described, gives_logits_of
from fastnn.protocols import Logs, Place, Seen

Wanted = str | Metric | type[Metric] | Loss
Metrics = Sequence[Wanted] | str | Metric | Loss | None


def target_of(loss: Loss, head: Head) -> str:
    """The kind of the targets: "labels", "targets" (probabilities), "sigmoid" or "values"."""
    if loss.takes_labels:
        return "labels"
    if loss.row.targets == "classes":
        return "targets"
    if loss.row.targets == "unit_or_missing":
        return "sigmoid"
    # Probabilities that a regression trains (Brier's score) have an accuracy, too.
    return {"softmax": "targets", "sigmoid": "sigmoid"}.get(head.activation, "values")


class Columns:
    """The columns of native sums: the loss, the metrics, the weighted metrics, by name."""

    def __init__(
        self,
        loss: Loss,
        head: Head,
        metrics: Sequence[Wanted],
        weighted: Sequence[Wanted],
    ) -> None:
        target = target_of(loss, head)
        self.names = ["loss"]
        self.metrics: list[Metric] = []
        self._weighted: list[bool] = []
        # The number of outputs, and of native sums of each name, known once the network is compiled.
        self.outputs = 1
        self.widths: list[int] = []
        self._finisher: Finisher | None = None
        self._loss, self._head = loss, head
        for is_weighted, given in ((False, metrics), (True, weighted)):
            for identifier in given:
                metric = get(identifier, target)
                if not is_own(metric):
                    _check_logits(metric, head, loss)
                    check_fit(metric, target, loss)
                check_name(metric.name)
                if head.width is not None and not collects(metric):
                    _check_thresholds(metric.native(is_weighted, head.width), metric, target, head)
                self.metrics.append(metric)
                self._weighted.append(is_weighted)
                self.names.append(self._unique(metric.name, is_weighted))

    def _unique(self, name: str, weighted: bool) -> str:
        # As in Keras, a weighted metric with an unweighted twin is "weighted_...", and a second
        # metric of the same name gets a number.
        if weighted and name in self.names:
            name = f"weighted_{name}"
        result, count = name, 0
        while result in self.names:
            count += 1
            result = f"{name}_{count}"
        return result

    def native(self, outputs: int) -> list[dict[str, Any]]:
        """The counts, for the native compile of a model with so many outputs."""
        return [
            metric.native(is_weighted, outputs)
            for metric, is_weighted in zip(self.metrics, self._weighted, strict=True)
            if not collects(metric)
        ]

    @property
    def collects(self) -> bool:
        """Whether metrics are finished from the logits of all rows."""
        return any(collects(metric) for metric in self.metrics)

    def compiled(self, shape: Shape, widths: list[int], made_by: str) -> None:
        """Takes note of an output row's shape, of the numbers that the loss and each native count
        add up, and of the activation that native code makes outputs of logits by."""
        self.outputs = math.prod(shape)
        left = iter(widths)
        first = next(left)
        self.widths = [first, *(0 if collects(m) else next(left) for m in self.metrics)]
        self._finisher = Finisher(self._loss, self._head, made_by, shape)

    def _metric(self, key: str) -> Metric | None:
        """The metric of a name, or of "val_" and a name."""
        name = key if key in self.names else key.removeprefix("val_")
        return self.metrics[self.names.index(name) - 1] if name in self.names[1:] else None

    def try_functions(self, seen: Seen) -> None:
        """Calls functions and classes of the user's on some rows: what is wrong with one shows before training."""
        for metric, weighted in zip(self.metrics, self._weighted, strict=True):
            if _is_of_user(metric) and self._finisher is not None:
                self._finisher.attempt(metric, seen, weighted)

    @property
    def has_functions(self) -> bool:
        """Whether any metric is a function or a class of the user's."""
        return any(map(_is_of_user, self.metrics))

    def refuse_weights_of_elements(self) -> None:
        """ValueError for a weighted metric that takes one weight a row."""
        for metric, is_weighted in zip(self.metrics, self._weighted, strict=True):
            if is_weighted and collects(metric) and not is_own(metric):
                raise ValueError(
                    f"weighted_metrics: {metric.name!r} takes no sample_weight of shape (n, outputs)"
                )

    def more_is_better(self, key: str) -> bool | None:
        """Whether more of a value in the logs is better; None where that is not known.

        `key` is a name, or "val_" and a name.
        """
        if key in ("loss", "val_loss"):
            return False
        metric = self._metric(key)
        return None if metric is None else metric.more_is_better

    def gives_array(self, key: str) -> bool:
        """Whether the logs hold an array under this name, or under "val_" and it."""
        metric = self._metric(key)
        return metric is not None and metric.gives_array(self.outputs)

    @property
    def width(self) -> int:
        """The number of native sums: for the loss a sum and its weight, then those of metrics."""
        return sum(self.widths)

    def place(self, key: str, output: int | None = None) -> Place | None:
        """The sums whose ratio is a value of the logs, or an output's number in an array of them; None:
        it is no such ratio."""
        if key == "loss":
            return Place(0, False, 1)
        if key not in self.names[1:] or not self.widths:
            return None
        index = self.names.index(key)
        metric, first = self.metrics[index - 1], sum(self.widths[:index])
        if output is not None:
            ratio = metric.ratio(output)
            return None if ratio is None else Place(first + ratio[0], False, first + ratio[1])
        root = type(metric) is RootMeanSquaredError
        if self.widths[index] != 2 or not (root or type(metric).finish is Metric.finish):
            return None
        return Place(first, root, first + 1)

    def logs(self, sums: NDArray[np.float64], prefix: str = "", seen: Seen | None = None) -> Logs:
        """Names to values, from `width` sums; metrics of all rows only where these are given."""
        # A mean over nothing is NaN.
        logs: Logs = {prefix + "loss": float(sums[0] / sums[1]) if sums[1] else math.nan}
        place = 2
        every = zip(self.names[1:], self.metrics, self._weighted, self.widths[1:], strict=True)
        for name, metric, weighted, width in every:
            if not collects(metric):
                logs[prefix + name] = metric.finish(sums[place : place + width])
            elif seen is not None and self._finisher is not None:
                value = self._finisher.value(metric, seen, weighted)
                found = value if isinstance(value, dict) else {name: value}
                logs |= {prefix + key: one for key, one in found.items()}
            place += width
        return logs

    def values_of_epochs(self, sums: NDArray[np.float64], prefix: str = "") -> dict[str, list[Any]]:
        """What `logs` of each row of sums (epochs, `width`) holds, without metrics of all rows."""
        if len(sums) == 0:  # of no width either, where a call was over before it began
            return {}
        values: dict[str, list[Any]] = {prefix + "loss": _means(sums[:, 0], sums[:, 1])}
        place = 2
        for name, metric, width in zip(self.names[1:], self.metrics, self.widths[1:], strict=True):
            own = sums[:, place : place + width]
            if width == 2 and type(metric).finish is Metric.finish:
                values[prefix + name] = _means(own[:, 0], own[:, 1])
            else:
                values[prefix + name] = [metric.finish(row) for row in own]
            place += width
        return values


def _means(sums: NDArray[np.float64], weights: NDArray[np.float64]) -> list[float]:
    """Numbers of Python; a mean over nothing is NaN."""
    means = np.divide(sums, weights, out=np.full(len(sums), math.nan), where=weights != 0)
    found: list[float] = means.tolist()
    return found


def _is_of_user(metric: Metric) -> bool:
    return isinstance(metric, FunctionMetric) or is_own(metric)


def check_name(name: object) -> None:
    """ValueError for a name under which logs hold something else."""
    if not isinstance(name, str) or not name:
        raise TypeError(f"metrics: name: expected a non-empty string, got {name!r}")
    if name == "loss":
        raise ValueError(
            "metrics: 'loss' is the name of the loss in logs; name the metric otherwise"
        )
    if name.startswith("val_"):
        raise ValueError(
            f"metrics: a name that begins with 'val_' is one of validation in logs, got {name!r}; "
            "name the metric otherwise"
        )


def _check_logits(metric: Metric, head: Head, loss: Loss) -> None:
    """ValueError for a cross-entropy of outputs that are neither logits nor made from them."""
    squash = metric.loss.folds if isinstance(metric, MeanOf) else None
    # A cross-entropy that does not fit the loss is refused with the names that do (_check_fit).
    if squash is None or loss.folds is not None or gives_logits_of(head, squash, loss):
        return
    raise ValueError(
        f"metrics: {metric.name!r} with the loss {loss.name} wants {squash} as the last layer, "
        f"but the outputs are those of {described(head)}"
    )


def _check_thresholds(count: dict[str, Any], metric: Metric, target: str, head: Head) -> None:
    """ValueError for thresholds of the probabilities of classes where the model gives logits."""
    classes = target in ("labels", "targets")
    if not classes or "thresholds" not in count or head.activation == "softmax":
        return
    raise ValueError(
        f"metrics: {metric.name!r} compares the probabilities of classes with a threshold, but the "
        f"outputs are those of {described(head)}; end the model with softmax, or take the largest "
        "output (top_k=1, or an F1Score without threshold)"
    )


def check_fit(metric: Metric, target: str, loss: Loss) -> None:
    _check_pairs(metric, loss)
    if not metric.goes_with:
        raise ValueError(
            f"metrics: {metric.name!r} is about the numbers of a loop of your own, which call its "
            f"update_state; for compile use {fitting(target)}"
        )
    # Native code would look for targets of each output, where only labels are.
    fits = target in metric.goes_with
    if fits and not (target == "labels" and metric.counts in ("sides", "exact", "moments")):
        return
    raise ValueError(
        f"metrics: {metric.name!r} does not go with the loss {loss.name}; use {fitting(target)}"
    )


def _check_pairs(metric: Metric, loss: Loss) -> None:
    """ValueError for a metric of one output a target with a loss of two, or the other way round."""
    mine = metric.loss.row.outputs_of_target if isinstance(metric, MeanOf) else 1
    its = 1 if loss.is_own else loss.row.outputs_of_target
    if mine == its:
        return
    raise ValueError(
        f"metrics: {metric.name!r} has {mine} output{'s' * (mine > 1)} for each target, and the loss "
        f"{loss.name} {its}; measure the columns of predict(x) that it is about yourself"
    )


def listed(metrics: Metrics) -> Sequence[Wanted]:
    """The metrics given to `compile` as a sequence; one metric may stand alone."""
    if metrics is None:
        return ()
    if isinstance(metrics, (str, Metric, Loss)):
        return (metrics,)
    if not isinstance(metrics, (list, tuple)):
        raise TypeError(f"metrics: expected a list of names or Metric objects, got {metrics!r}")
    if len(metrics) == 1 and isinstance(metrics[0], (list, tuple)):
        return metrics[0]  # the list of the one output
    return metrics
