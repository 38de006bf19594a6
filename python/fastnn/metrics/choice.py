"""Which metric a name means, given the kind of the targets: "accuracy" has several meanings."""

from __future__ import annotations

from typing import Any

from fastnn.losses.base import LOSSES, Loss
from fastnn.metrics.base import METRICS, Metric
from fastnn.metrics.functions import FunctionMetric
from fastnn.metrics.means import (
    BinaryAccuracy,
    CategoricalAccuracy,
    MeanOf,
    SparseCategoricalAccuracy,
)

_ACCURACIES = ("accuracy", "acc")
# The meaning of "accuracy" by the kind of targets.
_ACCURACY = {
    "labels": SparseCategoricalAccuracy,
    "targets": CategoricalAccuracy,
    "sigmoid": BinaryAccuracy,
}


def get(identifier: str | Metric | type[Metric] | Loss, target: str | None = None) -> Metric:
    """The metric that a name, an object or a class means.

        >>> fastnn.metrics.get("mae")
        <MeanAbsoluteError name=mae>
        >>> fastnn.metrics.get("accuracy", "labels")
        <SparseCategoricalAccuracy name=accuracy>

    A string becomes the metric's name, so the History has the key that was asked for.

    Args:
        identifier: a name, an object or a class of a metric, or of a loss.
        target: the kind of the targets (see `Metric.goes_with`); only "accuracy" depends on it.

    Raises:
        ValueError: the name is unknown (with the near match), or means nothing for such targets.
    """
    if isinstance(identifier, str) and identifier in _ACCURACIES:
        if target is None:
            names = ", ".join(cls.__name__ for cls in _ACCURACY.values())
            raise ValueError(
                f"metrics: {identifier!r} depends on the targets; give target, or one of {names}"
            )
        if target not in _ACCURACY:
            raise ValueError(
                f"metrics: {identifier!r} means nothing for a regression of linear "
                "outputs; use 'mean_absolute_error' or 'root_mean_squared_error'"
            )
        return _ACCURACY[target](name=identifier)
    if isinstance(identifier, Loss):
        return _of_rows(identifier) if identifier.is_own else MeanOf(identifier)
    if isinstance(identifier, str) and identifier in LOSSES.names.keys() - METRICS.names.keys():
        loss = LOSSES.get(identifier)
        return _of_rows(loss) if loss.is_own else MeanOf(identifier, name=identifier)
    # The two words for accuracy count as known names when a near match is searched.
    metric = METRICS.get(identifier, "metrics", dict.fromkeys(_ACCURACIES, BinaryAccuracy))
    if isinstance(identifier, str):
        metric.name = identifier
    return metric


def _of_rows(loss: Loss) -> Metric:
    """A loss that is Python code, of all rows of an epoch at once."""
    metric = FunctionMetric(loss.call, loss.name)
    metric.more_is_better = False  # type: ignore[misc]
    return metric


def named() -> dict[str, object]:
    """The names of metrics: a class, or for the losses, which are metrics by their names, advice."""
    words = dict.fromkeys(_ACCURACIES, "the accuracy that fits the loss is a word, 'accuracy'")
    by_name = {name: f"a loss is a metric by its name, {name!r}" for name in LOSSES.names}
    return {**words, **by_name, **METRICS.names}


def _goes_with(cls: type[Metric]) -> frozenset[str]:
    """The kinds of targets of a class, whose constructor may need arguments."""
    given: Any = cls.goes_with  # of losses a property
    return cls().goes_with if isinstance(given, property) else given


def fitting(target: str) -> str:
    """Names of the metrics that go with such targets, for messages."""
    names = [
        name
        for name, cls in METRICS.classes.items()
        if cls is not MeanOf and target in _goes_with(cls)
    ]
    accuracy = "'accuracy' or " if target in _ACCURACY else ""
    return f"{accuracy}one of {', '.join(names)}"
