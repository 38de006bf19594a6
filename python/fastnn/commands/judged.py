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
from fastnn.commands.table_models import TableModel, Unseen, places
from fastnn.commands.tables import blocks_of, whole_of_kinds
from fastnn.commands.targets import LABELS, labelled
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


def judge(
    model: TableModel, path: str, reading: Reading, targets: Sequence[str] | None
) -> list[Judged]:
    """The rows of a file beside the predictions of a model, for each target.

    Raises:
        ValueError: the targets are not known, or of the file or the model.
    """
    targets = _targets_of(model, targets or model.targets)
    with blocks_of(path, reading) as blocks:
        place = places(model, blocks.names, targets)
        for target in targets:
            if target in place.values():
                raise ValueError(
                    f"--target: {shown(target)} is a column that the model predicts from"
                )
        kinds = {place[name]: kind for name, kind in model.kinds.items()}
        of_targets = dict.fromkeys(targets, model.target_kind)
        table = whole_of_kinds(blocks, {**kinds, **of_targets})
    columns = {name: table.columns[given] for name, given in place.items()}
    columns |= {target: table.columns[target] for target in targets}
    rows = labelled(model, columns, targets)
    unseen = Unseen(model)
    known = unseen.noted(rows.columns)
    answers = model.answers(known)
    remarks = []
    if rows.left_out:
        remarks.append(f"{count(rows.left_out, 'row')} without {several(targets)} left out")
    if unseen.warning() is not None:
        remarks.append(str(unseen.warning()))
    if model.classes is not None:
        assert rows.labels is not None
        every = [judged_classes(table.name, targets[0], model.classes, rows.labels, answers)]
    else:
        assert rows.numbers is not None
        every = judged_columns(
            table.name,
            targets,
            rows.numbers,
            answers.reshape(rows.rows, -1),
            None if model.has_labels else model.quantiles,
        )
    return [one._replace(remarks=[*remarks, *one.remarks], columns=known) for one in every]


def _targets_of(model: TableModel, given: Sequence[str]) -> list[str]:
    """The columns of a file that have what a model predicts, in its order."""
    if not given:
        raise ValueError("--target: the file of the model does not tell what it predicts")
    if len(given) != model.width:
        raise ValueError(
            f"--target: the model predicts {count(model.width, 'column')}, got {len(given)}"
        )
    for name in given:
        if given.count(name) > 1:
            raise ValueError(f"--target: the column {shown(name)} is named twice")
    # Its own names tell which is which; others are in its order.
    return model.targets if set(given) == set(model.targets) else list(given)


def judged_columns(
    name: str,
    targets: Sequence[str],
    actual: Floats,
    answers: Floats,
    quantiles: Sequence[float] | None,
) -> list[Judged]:
    """Rows beside answers (n, targets), for each target.

    `quantiles`: those learned of numbers; None: answers are probabilities of labels, and actual numbers zeros
    and ones.
    """
    found = []
    for k, target in enumerate(targets):
        if quantiles is not None:
            found.append(judged_numbers(name, target, actual[:, k], answers[:, k], quantiles))
            continue
        p = np.stack([1.0 - answers[:, k], answers[:, k]], axis=1)
        labels = [LABELS[int(value)] for value in actual[:, k]]
        found.append(judged_classes(name, target, LABELS, labels, p))
    return found


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
