"""Predictions of a model of a table beside what is known: scores, and what a report shows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.commands.content import Answers, Calibration, Errors, Scores, calibration
from fastnn.commands.csv_files import Reading
from fastnn.commands.scores import (
    Classes,
    classes_of,
    confusion_of,
    mistakes_of,
    scores_of_classes,
    scores_of_numbers,
)
from fastnn.commands.table_models import TableModel, Unseen, labelled, places
from fastnn.commands.tables import blocks_of, whole_of_kinds
from fastnn.commands.told import count, several, shown

Array = NDArray[Any]
Floats = NDArray[np.float64]

_MOST_CLASSES = 15  # of which a report shows all pairs
_MOST_POINTS = 1500  # that it shows


class Judged(NamedTuple):
    """Rows and their predictions: of classes `answers`, of numbers `actual` and `predicted`."""

    name: str
    target: str
    rows: int
    scores: Mapping[str, float]
    remarks: Sequence[str] = ()
    answers: Classes | None = None
    actual: Floats | None = None
    predicted: Floats | None = None
    columns: Mapping[str, Array] = {}  # of the rows, as the model takes them
    labels: Sequence[str] = ()


def judge(model: TableModel, path: str, reading: Reading, target: str | None) -> Judged:
    """The rows of a file beside the predictions of a model.

    Raises:
        ValueError: the target is not known, or of the file or the model.
    """
    target = target or model.target
    if target is None:
        raise ValueError("--target: the file of the model does not tell what it predicts")
    with blocks_of(path, reading) as blocks:
        place = places(model, blocks.names, target)
        if target in place.values():
            raise ValueError(f"--target: {shown(target)} is a column that the model predicts from")
        kinds = {place[name]: kind for name, kind in model.kinds.items()}
        table = whole_of_kinds(blocks, {**kinds, target: model.target_kind})
    columns = {name: table.columns[given] for name, given in place.items()}
    columns[target] = table.columns[target]
    rows = labelled(model, columns, target)
    unseen = Unseen(model)
    known = unseen.noted(rows.columns)
    answers = model.answers(known)
    remarks = []
    if rows.left_out:
        remarks.append(f"{count(rows.left_out, 'row')} without {shown(target)} left out")
    if unseen.warning() is not None:
        remarks.append(str(unseen.warning()))
    if model.classes is None:
        assert rows.numbers is not None
        found = judged_numbers(table.name, target, rows.numbers, answers, model.quantiles)
    else:
        assert rows.labels is not None
        found = judged_classes(table.name, target, model.classes, rows.labels, answers)
    return found._replace(remarks=[*remarks, *found.remarks], columns=known)


def judged_classes(
    name: str, target: str, classes: Sequence[str], labels: Sequence[str], probabilities: Floats
) -> Judged:
    """Rows of classes beside probabilities."""
    answers = classes_of(classes, labels, probabilities)
    remarks = []
    others = answers.names[len(classes) :]
    if others:
        rows = int(np.sum(~answers.known))
        remarks.append(
            f"{count(rows, 'row')} of classes that the model does not know: {several(others)}; "
            "scores of probabilities leave them out"
        )
    scores = scores_of_classes(answers)
    return Judged(name, target, len(labels), scores, remarks, answers, labels=labels)


def judged_numbers(
    name: str, target: str, actual: Floats, predicted: Floats, quantiles: Sequence[float] = ()
) -> Judged:
    """Rows of numbers beside predictions: of the mean or, of a model of quantiles, of the middle one."""
    scores = scores_of_numbers(actual, predicted)
    remarks = []
    if quantiles:
        told = ", ".join(f"{q:g}" for q in quantiles)
        remarks.append(
            f"scores are of the quantile {middle(quantiles):g}, of those learned: {told}"
        )
    return Judged(name, target, len(actual), scores, remarks, actual=actual, predicted=predicted)


def middle(quantiles: Sequence[float]) -> float:
    """The quantile that `predict` gives: the one nearest to 0.5, of two the lower one."""
    return min(sorted(quantiles), key=lambda q: abs(q - 0.5))


def shown_scores(judged: Judged, title: str) -> Scores:
    """The scores for a report."""
    return Scores(title, [(name, f"{value:.4g}") for name, value in judged.scores.items()])


def shown_answers(judged: Judged, title: str) -> Answers:
    """Confusion, calibration and residuals for a report."""
    if judged.answers is None:
        assert judged.actual is not None
        assert judged.predicted is not None
        return Answers(title, errors=Errors(judged.actual, judged.predicted))
    answers = judged.answers
    curve = _calibration(answers)
    if len(answers.names) <= _MOST_CLASSES:
        return Answers(title, confusion_of(answers), calibration=curve)
    return Answers(title, mistakes=mistakes_of(answers), calibration=curve)


def _calibration(answers: Classes) -> Calibration | None:
    known = answers.known
    p, labels = answers.probabilities[known], answers.labels[known]
    if not len(labels):
        return None
    if p.shape[1] == 2:
        return calibration(f"class {answers.names[1]}", p[:, 1], labels == 1)
    found = p.argmax(axis=1)
    return calibration("the class that is answered", p.max(axis=1), labels == found)
