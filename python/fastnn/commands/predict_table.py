"""Predictions of a model of a table, block by block."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.commands.csv_files import Reading
from fastnn.commands.options import output
from fastnn.commands.table_models import TableModel, Unseen, ignored, places
from fastnn.commands.tables import blocks_of
from fastnn.commands.targets import LABELS
from fastnn.console import complain

Array = NDArray[Any]


def predict_table(path: str, rows: str, reading: Reading, out: str | None, classes: bool) -> None:
    """Writes predictions.

    Args:
        path: the file of the model.
        rows: the file of the table; "-": standard input.
        reading: how CSV is laid out.
        out: the file to write; None: standard output.
        classes: writes the most probable class, or 0 and 1 of labels, in place of probabilities.

    Raises:
        ValueError: of the model or the rows, or `classes` of a model of numbers.
        ImportError, OSError: as `TableModel` and `blocks_of`.
    """
    model = TableModel(path, "predict")
    if classes and not hasattr(model.estimator, "classes_"):
        raise ValueError("--classes: the model predicts numbers")
    unseen = Unseen(model)
    with blocks_of(rows, reading) as blocks:
        place = places(model, blocks.names, model.targets)
        remark = ignored(blocks.names, [*place.values(), *model.targets])
        found = blocks.of_kinds({place[name]: kind for name, kind in model.kinds.items()})
        with output(out) as file:
            writer = csv.writer(file, lineterminator="\n")
            header = _header(model, classes)
            count = 0
            for block in found:
                if header:  # once there is something below it
                    writer.writerow(header)
                    header = []
                columns = unseen.noted({name: block[given] for name, given in place.items()})
                quantiles = model.quantiles
                answers = model.quantile_answers(columns) if quantiles else model.answers(columns)
                writer.writerows(_fields(model, answers, classes))
                count += len(answers)
            if not count:
                raise ValueError(f"{blocks.name}: there are no rows")
    for told in (remark, unseen.warning()):
        if told is not None:
            complain(f"predict: {told}")


def _header(model: TableModel, classes: bool) -> list[str]:
    if model.classes is None:
        of_quantiles = [f"{name}_{q:g}" for name in model.names for q in model.quantiles]
        return of_quantiles or model.names
    return [model.targets[0] if model.targets else "class"] if classes else list(model.classes)


def _fields(model: TableModel, answers: Array, classes: bool) -> list[list[str]]:
    if classes and model.classes is not None:
        return [[model.classes[place]] for place in np.argmax(answers, axis=1)]
    if classes:
        return [[LABELS[label] for label in row] for row in (answers > 0.5).astype(int).tolist()]
    answers = answers.reshape(len(answers), -1)
    return [list(map(str, row)) for row in answers.tolist()]
