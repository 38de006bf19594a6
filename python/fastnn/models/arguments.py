"""Losses, their weights and metrics as `compile` takes them: alone, in lists, or by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any

import numpy as np

from fastnn import losses
from fastnn.autodiff.tensor import converted
from fastnn.data.structures import Form, by_output
from fastnn.losses import Loss
from fastnn.losses.base import CALLED_ALONE
from fastnn.metrics.base import Metric
from fastnn.metrics.choice import get
from fastnn.metrics.functions import FunctionMetric, is_own
from fastnn.metrics.of_rows import CLASS_OF
from fastnn.models.columns import check_fit
from fastnn.words import number


def no_loss() -> ValueError:
    return ValueError("compile: expected a loss, for example loss='mean_squared_error', got None")


def losses_of(given: Any) -> Any:
    if isinstance(given, Mapping):
        return {str(name): _loss(one) for name, one in given.items()}
    if isinstance(given, (list, tuple)):
        return [_loss(one) for one in given]
    return _loss(given)


def _loss(given: Any) -> Loss | None:
    found = None if given is None else losses.get(given)
    if found is not None and found.reduction in CALLED_ALONE:
        raise ValueError(
            f"loss {found.name}: reduction={found.reduction!r} is for a loop of your own; `fit` "
            "minimises a mean over rows: leave reduction out, and for a sum multiply learning_rate by "
            "batch_size"
        )
    return found


def loss_weights_of(given: Any) -> Any:
    if given is None:
        return None
    given = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(given, Mapping):
        return {str(n): number(f"loss_weights[{n!r}]", one, 0.0) for n, one in given.items()}
    if isinstance(given, (list, tuple)):
        return [number(f"loss_weights[{i}]", one, 0.0) for i, one in enumerate(given)]
    return number("loss_weights", given, 0.0)


def metrics_of(given: Any) -> Any:
    """The argument with functions made metrics; one metric may stand alone."""
    if given is None:
        return []
    if isinstance(given, Mapping):
        return {str(name): metrics_of(one) for name, one in given.items()}
    if isinstance(given, (list, tuple)):
        if len(given) == 1 and isinstance(given[0], (list, tuple)):
            given = given[0]  # of the one output
        return [
            metrics_of(one) if isinstance(one, (list, tuple)) else _from_user(one) for one in given
        ]
    return _from_user(given)


def _from_user(identifier: Any) -> Any:
    if isinstance(identifier, type):
        is_metric = issubclass(identifier, Metric) and identifier is not Metric
        return identifier() if is_metric else identifier
    if callable(identifier) and not isinstance(identifier, (Metric, Loss)):
        known = CLASS_OF.get(identifier) if isinstance(identifier, FunctionType) else None
        return FunctionMetric(identifier) if known is None else known(name=identifier.__name__)
    return identifier


def flat(given: Any) -> list[Any]:
    if isinstance(given, Mapping):
        return [part for one in given.values() for part in flat(one)]
    if isinstance(given, (list, tuple)):
        return [part for one in given for part in flat(one)]
    return [given]


def only(what: str, given: Any) -> Any:
    """What is given for the one output of a model, alone or in a list or dictionary."""
    if isinstance(given, (list, dict)):
        if len(given) != 1:
            raise ValueError(
                f"{what}: the model has one output, got {len(given)}: {_described(given)}"
            )
        return next(iter(given.values() if isinstance(given, dict) else given))
    return given


def _described(given: Any) -> str:
    return ", ".join(map(str, given))


def by_target(given: Any, form: Form) -> list[Sequence[Any]]:
    if form.kind is None:
        return [flat(given)]
    if isinstance(given, list) and not given:
        return [()] * form.outputs
    if isinstance(given, (list, dict)):
        found = by_output("metrics", given, form)
    elif isinstance(given, str):
        found = [given] * form.outputs
    else:
        raise TypeError(
            f"metrics: expected a list for each of the outputs {', '.join(form.names)}, got {given!r}"
        )
    return [[] if one is None else flat(one) for one in found]


def name_in_logs(identifier: Any) -> str | None:
    if isinstance(identifier, str):
        return identifier
    return getattr(identifier, "name", None)


def metric_of(identifier: Any, loss: Loss | None, kind: str) -> Metric:
    """The metric that a name, an object or a class means, for targets of this kind."""
    if isinstance(identifier, Metric) and is_own(identifier):
        return identifier
    metric = get(identifier, kind)
    if loss is not None and not loss.is_own:
        check_fit(metric, kind, loss)
    elif not metric.goes_with:
        raise ValueError(
            f"metrics: {metric.name!r} is about the numbers of a loop of your own, which call its "
            "update_state"
        )
    return metric


def kind_of(loss: Loss | None, y: Any, y_pred: Any) -> str:
    """The kind of targets: see `Metric.goes_with`."""
    made = getattr(y_pred, "logits", None)
    end = None if made is None else made[1]
    if loss is not None and not loss.is_own:
        if loss.takes_labels:
            return "labels"
        if loss.row.has_classes:
            return "targets" if loss.row.targets == "classes" else "sigmoid"
        return {"softmax": "targets", "sigmoid": "sigmoid"}.get(str(end), "values")
    width = math.prod(np.shape(y_pred)[1:])
    if width == 1 or end == "sigmoid":
        return "sigmoid"
    shape = np.shape(converted(y)) if y is not None else ()
    return "labels" if len(shape) < 2 or math.prod(shape[1:]) == 1 else "targets"
