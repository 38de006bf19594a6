"""Columns: which loss and metrics native code sums for a model, and their names in logs.

Combinations of a metric with a loss and a head that make no sense are refused here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastnn.losses import Loss
from fastnn.metrics.base import Metric
from fastnn.metrics.choice import fitting, get
from fastnn.models.heads import Head, described, gives_logits_of

Metrics = Sequence[str | Metric | type[Metric]] | str | Metric | None


def target_of(loss: Loss, head: Head) -> str:
    """The kind of the targets: "labels", "targets" (probabilities), "sigmoid" or "values"."""
    if loss.takes_labels:
        return "labels"
    if loss.native == "softmax_cross_entropy":
        return "targets"
    if loss.native == "sigmoid_cross_entropy":
        return "sigmoid"
    # Probabilities that mean squared error trains (Brier's score) have an accuracy, too.
    return {"softmax": "targets", "sigmoid": "sigmoid"}.get(head.activation, "values")


class Columns:
    """The columns of native sums: the loss, the metrics, the weighted metrics, by name."""

    def __init__(
        self,
        loss: Loss,
        head: Head,
        metrics: Sequence[str | Metric | type[Metric]],
        weighted: Sequence[str | Metric | type[Metric]],
    ) -> None:
        target = target_of(loss, head)
        self.names = ["loss"]
        self.metrics: list[Metric] = []
        # (kind, value) pairs for the native compile.
        self.native: list[tuple[str, float]] = []
        for prefix, given in (("", metrics), ("weighted:", weighted)):
            for identifier in given:
                metric = get(identifier, target)
                _check_logits(metric, head, loss)
                _check_fit(metric, target, loss)
                self.metrics.append(metric)
                self.native.append((prefix + metric.kind, metric.value))
                self.names.append(self._unique(metric.name, weighted=bool(prefix)))

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

    @property
    def width(self) -> int:
        """The number of native sums: a sum and a weight for each name."""
        return 2 * len(self.names)

    def logs(self, sums: NDArray[np.float64], prefix: str = "") -> dict[str, float]:
        """Names to values, from `width` sums."""
        values = sums.tolist()
        # A weight of 0 means that no row counted: the mean is 0.
        means = [s / w if w else 0.0 for s, w in zip(values[0::2], values[1::2], strict=True)]
        logs = {prefix + "loss": means[0]}
        for name, metric, mean in zip(self.names[1:], self.metrics, means[1:], strict=True):
            logs[prefix + name] = metric.finish(mean)
        return logs


def _check_logits(metric: Metric, head: Head, loss: Loss) -> None:
    """ValueError for a cross-entropy of outputs that are neither logits nor made from them."""
    squash = metric.kind.removesuffix("_cross_entropy")
    # A cross-entropy that does not fit the loss is refused with the names that do (_check_fit).
    if squash == metric.kind or loss.is_cross_entropy or gives_logits_of(head, squash, loss):
        return
    raise ValueError(
        f"metrics: {metric.name!r} with the loss {loss.name} wants {squash} as the last layer, "
        f"but the outputs are those of {described(head)}"
    )


def _check_fit(metric: Metric, target: str, loss: Loss) -> None:
    if target in metric.goes_with:
        return
    raise ValueError(
        f"metrics: {metric.name!r} does not go with the loss {loss.name}; use {fitting(target)}"
    )


def listed(metrics: Metrics) -> Sequence[str | Metric | type[Metric]]:
    """The metrics given to `compile` as a sequence; one metric may stand alone."""
    if metrics is None:
        return ()
    if isinstance(metrics, (str, Metric)):
        return (metrics,)
    if not isinstance(metrics, (list, tuple)):
        raise TypeError(f"metrics: expected a list of names or Metric objects, got {metrics!r}")
    return metrics
