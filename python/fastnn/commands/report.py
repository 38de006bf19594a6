"""`python -m fastnn report`: all about a model of a table, as one page of HTML."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.commands import kept
from fastnn.commands.content import Importance, Report
from fastnn.commands.judged import Judged, judge, middle, shown_answers, shown_scores
from fastnn.commands.options import add_reading, output, reading_of, whole_above_zero
from fastnn.commands.page import page
from fastnn.commands.scores import classes_of, importances, log_loss, scores_of_numbers
from fastnn.commands.table_models import TableModel
from fastnn.commands.told import count, shown
from fastnn.commands.versions import versions
from fastnn.console import complain, printable, say

Array = NDArray[Any]

_DESCRIPTION = """Writes a page of HTML about a model of a table: scores, curves of training, which class is taken
for which or what predictions of numbers leave, calibration, the importance of columns, the columns as they
were understood, settings and versions. The page is one file, and needs no network.

With --data there are scores of these rows, too, and importance is measured on them.

Exit status: 0; 1 for a fault in a file or the model; 2 for wrong arguments; 130 after Ctrl-C."""
_BEGIN = b"<!doctype html>"
_MOST_ROWS = 2000  # that importance is measured on


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit status."""
    asked = _arguments(arguments)
    out = asked.out or _beside(asked.model)
    try:
        _check_out(out, asked.force)
        model = TableModel(asked.model, "report")
        judged = None
        if asked.data is not None:
            judged = judge(model, asked.data, asked.reading, asked.target)
            for remark in judged.remarks:
                complain(f"report: {printable(judged.name)}: {remark}")
        text = page(report_of(model, judged, asked.repeats))
        with output(out) as file:
            file.write(text)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        complain(f"report: {error}")
        return 1
    if not asked.quiet:
        say(printable(out))
    return 0


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m fastnn report",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="a file that `train` or `save` of an estimator wrote")
    parser.add_argument("--data", metavar="PATH", help="rows with their target: CSV or Parquet")
    parser.add_argument(
        "--target", metavar="NAME", help="the column that is predicted; default: that of training"
    )
    parser.add_argument(
        "--out",
        "--output",
        dest="out",
        metavar="PATH",
        help="the page; default: the model's name with .html",
    )
    parser.add_argument(
        "--repeats",
        type=whole_above_zero,
        default=3,
        metavar="N",
        help="how often each column of --data is shuffled; default: 3",
    )
    parser.add_argument("--quiet", action="store_true", help="print errors and warnings alone")
    parser.add_argument(
        "--force", action="store_true", help="replace --out even if it is no page of HTML"
    )
    add_reading(parser)
    asked = parser.parse_args(arguments)
    asked.reading = reading_of(parser, asked)
    return asked


def report_of(model: TableModel, judged: Judged | None, repeats: int) -> Report:
    """What the page says of a model and, where there are, of rows that it is judged on."""
    estimator, notes = model.estimator, model.notes
    scores, answers = [], []
    folds = kept.judged_folds(estimator, model.target or "target")
    told = "by the members that did not learn from them"
    told_of_few = "too few to hold some out, by members that learned from them"
    if folds is not None:
        title = f"Rows of training, {told}"
        scores.append(shown_scores(folds, f"{title}: {count(folds.rows, 'row')}"))
        answers.append(shown_answers(folds, title))
    remarks = list(notes.remarks)
    if folds is not None:
        remarks.append(
            "Scores on rows of training are a little too good: each member chose its epoch by the rows that "
            "it did not learn from."
        )
        remarks += [f"Rows of training: {remark}" for remark in folds.remarks]
    importance: Sequence[Importance] = kept.importances(estimator)
    importance_told = (
        f"How much worse rows of training are answered, {told if folds is not None else told_of_few}, when "
        "the values of a column are shuffled, in shares of the sum."
    )
    if judged is not None:
        name = Path(judged.name).name
        scores.append(shown_scores(judged, f"{name}: {count(judged.rows, 'row')}"))
        answers.append(shown_answers(judged, name))
        remarks += [f"{name}: {remark}" for remark in judged.remarks]
        importance, importance_told = _measured(model, judged, repeats)
    task = "regression" if model.classes is None else f"{len(model.classes):,} classes"
    title = Path(model.path).name
    return Report(
        title=f"{title}: {model.target}" if model.target else title,
        facts=[("task", task), *notes.facts],
        notes=remarks,
        scores=scores,
        curves=kept.curves(estimator),
        answers=answers,
        importance=importance,
        importance_told=importance_told,
        columns=notes.columns or kept.columns(estimator),
        settings=kept.settings(estimator),
        versions=notes.versions or versions()[:1],
    )


def _measured(model: TableModel, judged: Judged, repeats: int) -> tuple[Sequence[Importance], str]:
    """The importance of columns for the rows of a file."""
    chosen = np.arange(judged.rows)
    if judged.rows > _MOST_ROWS:
        chosen = np.sort(np.random.default_rng(0).permutation(judged.rows)[:_MOST_ROWS])
    columns = {name: values[chosen] for name, values in judged.columns.items()}
    rows = model.rows_of(columns)
    what, loss = _loss(model, judged, chosen)
    told = (
        f"How much the {what} rises when the values of a column are shuffled among "
        f"{count(len(chosen), 'row')}: mean and standard deviation of {count(repeats, 'time')}."
    )

    def answers(orders: Sequence[NDArray[np.int64]]) -> Iterator[Array]:
        return kept.shuffled_answers(model.estimator, rows, orders)

    return importances(list(model.kinds), answers, loss, len(chosen), repeats), told


def _loss(
    model: TableModel, judged: Judged, chosen: NDArray[np.int64]
) -> tuple[str, Callable[[Array], float]]:
    if judged.actual is not None:
        actual = judged.actual[chosen]
        what = "root mean squared error"
        what += f" of the quantile {middle(model.quantiles):g}" if model.quantiles else ""
        return what, lambda found: scores_of_numbers(actual, found)["RMSE"]
    assert model.classes is not None
    labels = classes_of(model.classes, [judged.labels[i] for i in chosen], np.ones((1, 1))).labels
    known = labels < len(model.classes)
    if not known.any():
        return "log loss", lambda _: float("nan")
    return "log loss", lambda found: log_loss(found[known], labels[known])


def _beside(path: str) -> str:
    return path.removesuffix(".safetensors") + ".html"


def _check_out(out: str, force: bool) -> None:
    """Refuses to replace a file that is no page."""
    if force or not Path(out).is_file():
        return
    with Path(out).open("rb") as file:
        begin = file.read(len(_BEGIN))
    if begin and begin.lower() != _BEGIN:
        raise FileExistsError(
            f"--out: {shown(out)} exists, and is no page of HTML; --force replaces it"
        )
