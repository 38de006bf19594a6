"""What a fitted estimator keeps of its training, for summaries and reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.commands.columns_told import short
from fastnn.commands.content import Column, Curve, Importance, Pairs
from fastnn.commands.judged import Judged, judged_classes, judged_columns
from fastnn.commands.table_models import class_names, label_texts, quantiles_of

Floats = NDArray[np.float64]

_LOSSES = ("loss", "val_loss")
_KINDS = {
    "plain": "without codes",
    "pieces": "with piecewise linear codes",
    "periodic": "with periodic codes",
}


def judged_folds(estimator: Any, targets: Sequence[str]) -> list[Judged]:
    """Rows of training, each by the members that did not learn from it, for each target; none: no row was
    held out."""
    found = getattr(estimator, "oof_", None)
    if found is None:
        return []
    there = np.isfinite(found.reshape(len(found), -1)).all(axis=1)
    if not there.any():
        return []
    known, answers = estimator.targets_[there], found[there]
    classes = class_names(estimator)
    name = "rows of training"
    if classes is not None:
        return [judged_classes(name, targets[0], classes, label_texts(known), answers)]
    has_labels = hasattr(estimator, "classes_")
    answers = _of_middle(estimator, answers).reshape(len(known), -1)
    quantiles = None if has_labels else quantiles_of(estimator)
    known = known.reshape(len(known), -1).astype(np.float64)
    return judged_columns(name, targets, known, answers, quantiles)


def curves(estimator: Any) -> list[Curve]:
    """The losses of each member, after each epoch."""
    found = []
    for number, member in enumerate(estimator.members_, start=1):
        training, validation = (list(member.curve.get(name, [])) for name in _LOSSES)
        told = _KINDS[member.kind]
        best = member.epoch if validation else None
        found.append(Curve(f"member {number}, {told}", training, validation, best))
    return found


def importances(estimator: Any) -> list[Importance]:
    """What columns are worth, as training measured it."""
    names = [source.name for source in estimator.encoding_.sources]
    values = np.asarray(estimator.feature_importances_, np.float64)
    return [Importance(name, float(v)) for name, v in zip(names, values, strict=True)]


def shuffled_answers(
    estimator: Any, rows: Any, orders: Sequence[NDArray[np.int64]]
) -> Iterator[Floats]:
    """What `predict_proba`, or `predict` of numbers, gives for rows as they are, and then where each column in
    turn is shuffled.

    Args:
        estimator: of tables.
        rows: a table of its columns.
        orders: of rows, one for each column.
    """
    from fastnn.sklearn.tabular.importances import shuffled  # which imports scikit-learn
    from fastnn.sklearn.tabular.temperature import tempered

    raw = estimator.encoding_.raw(estimator._frame(rows))
    members = [
        shuffled(member.model, estimator.encoding_, member.codes, raw, orders)
        for member in estimator.members_
    ]
    for outputs in zip(*members, strict=True):
        found = estimator._mean(np.stack([estimator._answers_of(one) for one in outputs]))
        if hasattr(estimator, "classes_"):
            labels = bool(estimator._multilabel)
            yield tempered(found, float(estimator.temperature_), labels=labels)
        else:
            found = _of_middle(estimator, found)
            yield found[:, 0] if estimator._one else found


def _of_middle(estimator: Any, answers: Floats) -> Floats:
    """Of quantiles, if that is what answers are, the one that `predict` gives."""
    if getattr(estimator, "quantiles", None) is None:
        return answers
    quantiles = np.sort(np.asarray(estimator.quantiles, np.float64))
    return answers[..., int(np.argmin(np.abs(quantiles - 0.5)))]


def columns(estimator: Any) -> list[Column]:
    """The columns as the encoding has them."""
    found = []
    for source in estimator.encoding_.sources:
        told = ""
        if source.kind == "category":
            values = ", ".join(short(level) for level in source.levels[:3])
            more = ", ..." if len(source.levels) > 3 else ""
            told = f"{len(source.levels):,} values ({values}{more})"
        found.append(Column(source.name, source.kind, told))
    return found


def settings(estimator: Any) -> Pairs:
    """The parameters."""
    given = estimator.get_params(deep=False)
    return [(name, str(value)) for name, value in sorted(given.items()) if name != "verbose"]
