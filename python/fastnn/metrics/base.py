"""Metric: a name for a mean that native code sums. No metric of its own is here."""

from __future__ import annotations

from typing import ClassVar

from fastnn.registry import Registered, Registry


class Metric(Registered):
    """A metric to pass to `compile`: exact over the rows of an epoch.

    In `metrics` each row counts once; in `weighted_metrics` rows count by their weight.
    Missing labels and ignored classes never count.
    """

    kind: ClassVar[str]
    # The kinds of targets that it goes with: "labels" (a class of each row), "targets"
    # (probabilities of classes), "sigmoid" (each output for itself) or "values" (regression).
    goes_with: ClassVar[frozenset[str]]

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def value(self) -> float:
        """The one number that native code takes for this metric."""
        return 0.0

    def finish(self, mean: float) -> float:
        """The metric, from the mean that was summed natively."""
        return mean

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


METRICS = Registry(
    "metric",
    Metric,
    elsewhere={"auc": "binary_accuracy", "kldivergence": "categorical_crossentropy"},
)
