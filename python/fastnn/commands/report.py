"""`python -m fastnn report`: all about a model of a table, as one page of HTML."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.commands import kept
from fastnn.commands.content import Answers, Importance, Report, Scores
from fastnn.commands.judged import Judged, judge, middle, shown_answers, shown_scores
from fastnn.commands.options import add_reading, output, reading_of, whole_above_zero
from fastnn.commands.page import page
from fastnn.commands.scores import classes_of, importances, log_loss, scores_of_numbers
from fastnn.commands.table_models import TableModel
from fastnn.commands.targets import LABELS
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
        judged: list[Judged] = []
        if asked.data is not None:
            judged = judge(model, asked.data, asked.reading, asked.target)
            for remark in _remarks(judged):
                complain(f"report: {printable(judged[0].name)}: {remark}")
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
        "--target",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="the columns that are predicted; default: those of training",
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


def _remarks(every: Sequence[Judged]) -> list[str]:
    """Those of all targets, each once."""
    return list(dict.fromkeys(remark for judged in every for remark in judged.remarks))


def _shown(every: Sequence[Judged], title: str) -> tuple[list[Scores], list[Answers]]:
    """Scores and answers for each target."""
    rows = f"{title}: {count(every[0].rows, 'row')}"
    if len(every) == 1:
        return [shown_scores(every[0], rows)], [shown_answers(every[0], title)]
    return (
        [shown_scores(judged, f"{rows}, {judged.target}") for judged in every],
        [shown_answers(judged, f"{title}: {judged.target}") for judged in every],
    )


def report_of(model: TableModel, judged: Sequence[Judged], repeats: int) -> Report:
    """What the page says of a model and, where there are, of rows that it is judged on, for each target."""
    estimator, notes = model.estimator, model.notes
    scores: list[Scores] = []
    answers: list[Answers] = []
    folds = kept.judged_folds(estimator, model.names)
    told = "by the members that did not learn from them"
    told_of_few = "too few to hold some out, by members that learned from them"
    remarks = list(notes.remarks)
    if folds:
        scores, answers = _shown(folds, f"Rows of training, {told}")
        remarks.append(
            "Scores on rows of training are a little too good: each member chose its epoch by the rows that "
            "it did not learn from."
        )
        remarks += [f"Rows of training: {remark}" for remark in _remarks(folds)]
    importance: Sequence[Importance] = kept.importances(estimator)
    importance_told = (
        f"How much worse rows of training are answered, {told if folds else told_of_few}, when "
        "the values of a column are shuffled, in shares of the sum."
    )
    if judged:
        name = Path(judged[0].name).name
        more_scores, more_answers = _shown(judged, name)
        scores, answers = [*scores, *more_scores], [*answers, *more_answers]
        remarks += [f"{name}: {remark}" for remark in _remarks(judged)]
        importance, importance_told = _measured(model, judged, repeats)
    title = Path(model.path).name
    return Report(
        title=f"{title}: {', '.join(model.targets)}" if model.targets else title,
        facts=[("task", _task(model)), *notes.facts],
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


def _task(model: TableModel) -> str:
    if model.classes is not None:
        return f"{len(model.classes):,} classes"
    what = f"{model.width:,} labels that do not exclude each other"
    if not model.has_labels:
        what = "regression" if model.width == 1 else f"regression of {model.width:,} numbers"
    return what


def _measured(
    model: TableModel, judged: Sequence[Judged], repeats: int
) -> tuple[Sequence[Importance], str]:
    """The importance of columns for the rows of a file."""
    count_of = judged[0].rows
    chosen = np.arange(count_of)
    if count_of > _MOST_ROWS:
        chosen = np.sort(np.random.default_rng(0).permutation(count_of)[:_MOST_ROWS])
    columns = {name: values[chosen] for name, values in judged[0].columns.items()}
    rows = model.rows_of(columns)
    what, loss = _loss(model, judged, chosen)
    told = (
        f"How much the {what} rises when the values of a column are shuffled among "
        f"{count(len(chosen), 'row')}: mean and standard deviation of {count(repeats, 'time')}."
    )

    def answers(orders: Sequence[NDArray[np.int64]]) -> Iterator[Array]:
        return kept.shuffled_answers(model.estimator, rows, orders)

    return importances(list(model.kinds), answers, loss, len(chosen), repeats), told


def _deviation(values: Array, otherwise: float) -> float:
    """The standard deviation, also of numbers whose squares no float has; of numbers all alike another one."""
    if values.min() == values.max():
        return otherwise
    return scores_of_numbers(values, np.full(len(values), values.mean()))["RMSE"]


def _loss(
    model: TableModel, judged: Sequence[Judged], chosen: NDArray[np.int64]
) -> tuple[str, Callable[[Array], float]]:
    """Its name, and the function of answers; of several targets a mean over them."""
    if model.has_labels:
        ones = np.stack([np.array(one.labels)[chosen] == LABELS[1] for one in judged], axis=1)
        return "log loss, the mean over targets,", lambda found: _log_loss_of_labels(found, ones)
    if model.classes is None:
        every: Any = np.stack([_actual(one)[chosen] for one in judged], axis=1)
        what = "root mean squared error"
        what += f" of the quantile {middle(model.quantiles):g}" if model.quantiles else ""
        unit = np.ones(1)
        if len(judged) > 1:
            what += ", the mean over targets in units of their standard deviations,"
            scales = model.estimator.y_scale_
            unit = np.array([_deviation(*both) for both in zip(every.T, scales, strict=True)])
        return what, lambda found: float(
            np.mean(
                [
                    scores_of_numbers(every[:, k], found.reshape(every.shape)[:, k])["RMSE"]
                    / unit[k]
                    for k in range(len(judged))
                ]
            )
        )
    own = judged[0].labels
    labels = classes_of(model.classes, [own[i] for i in chosen], np.ones((1, 1))).labels
    known = labels < len(model.classes)
    if not known.any():
        return "log loss", lambda _: float("nan")
    return "log loss", lambda found: log_loss(found[known], labels[known])


def _actual(judged: Judged) -> Array:
    assert judged.actual is not None
    return judged.actual


def _log_loss_of_labels(p: Array, ones: Array) -> float:
    """The mean over labels of -log of the probability (n, labels) that what is the case is given."""
    labels = ones.astype(np.int64).reshape(-1)
    flat = p.reshape(-1)
    return log_loss(np.stack([1.0 - flat, flat], axis=1), labels)


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
