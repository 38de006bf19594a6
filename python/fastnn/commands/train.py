"""`python -m fastnn train`: a model of a table in a file."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastnn.commands.csv_files import Reading
from fastnn.commands.judged import Judged, judge
from fastnn.commands.kept import judged_folds
from fastnn.commands.learned import Learned, Wishes, learned_of
from fastnn.commands.notes import Notes, add
from fastnn.commands.options import (
    add_reading,
    quantiles_of,
    reading_of,
    seconds_of,
    whole_above_zero,
)
from fastnn.commands.settings import fitted, parsed_setting
from fastnn.commands.table_models import TableModel, is_table_model
from fastnn.commands.told import aligned, count, seconds, several, shown, size
from fastnn.commands.versions import versions
from fastnn.console import complain, printable, say
from fastnn.files.suffixes import OF_TABLES, refuse_other_formats

_DESCRIPTION = """Trains a model of a table: several networks, its members, each of which learns from four fifths of
the rows and is judged by the others. The answer of the model is their mean.

Columns may be numbers with gaps, text, booleans and dates; what they are is found, and said. Gaps are empty
fields, NA, N/A, NaN, null and ?. Rows without a target are left out.

An existing file is replaced, at the end and at once, if it is a model of a table; any other file with --force
alone. Ctrl-C leaves no file.

Exit status: 0; 1 for a fault in a file or in the data; 2 for wrong arguments; 130 after Ctrl-C."""
_MOST_COLUMNS = 40  # that are listed
Tell = Callable[[str], None]


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit status."""
    asked = _arguments(arguments)
    try:
        _train(asked)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        complain(f"train: {error}")
        return 1
    except KeyboardInterrupt:
        complain("train: interrupted; no model was written")
        return 130
    return 0


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m fastnn train",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", nargs="?", help="CSV, also by gzip, or Parquet; - for stdin")
    parser.add_argument(
        "--target",
        required=True,
        nargs="+",
        action="extend",
        metavar="NAME",
        help="the column to predict, or several: numbers, or labels that are 0 and 1 or booleans",
    )
    parser.add_argument(
        "--out", "--output", dest="out", required=True, metavar="PATH", help="the file of the model"
    )
    parser.add_argument(
        "--task",
        choices=("auto", "classification", "regression"),
        default="auto",
        help="auto: classification of text, of booleans and of at most 20 whole numbers, else regression",
    )
    parser.add_argument(
        "--drop",
        action="append",
        metavar="A,B,...",
        help="columns to leave out, such as identifiers",
    )
    parser.add_argument(
        "--text",
        action="append",
        metavar="A,B,...",
        help="columns that are names although they look like numbers or dates, such as postal codes",
    )
    parser.add_argument("--weights", metavar="NAME", help="a column of weights of rows, at least 0")
    parser.add_argument(
        "--validation", metavar="PATH", help="further rows, on which the model is judged at the end"
    )
    parser.add_argument(
        "--quantiles",
        type=quantiles_of,
        metavar="A,B,...",
        help="of a regression: learn these quantiles, such as 0.1,0.5,0.9, in place of the mean",
    )
    parser.add_argument(
        "--members", type=whole_above_zero, metavar="N", help="the number of networks, default: 6"
    )
    parser.add_argument(
        "--time-limit",
        type=seconds_of,
        metavar="TIME",
        help="90s, 5m or 1h: no member is begun for which less is left",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of all that is random; default: 0"
    )
    parser.add_argument(
        "--set",
        action="append",
        type=parsed_setting,
        default=[],
        metavar="NAME=VALUE",
        help="another parameter of fastnn.sklearn.TabularClassifier or TabularRegressor",
    )
    parser.add_argument("--quiet", action="store_true", help="print errors and warnings alone")
    parser.add_argument("--force", action="store_true", help="replace whatever --out is")
    add_reading(parser)
    asked = parser.parse_args(arguments)
    if asked.data is None and len(asked.target) > 1:
        asked.data = asked.target.pop()  # as in --target NAME DATA
    if asked.data is None:
        parser.error("the following arguments are required: data")
    asked.reading = reading_of(parser, asked)
    if not 0 <= asked.seed < 2**32:
        parser.error(f"--seed: expected a number from 0 to 4294967295, got {asked.seed}")
    return asked


def _train(asked: argparse.Namespace) -> None:
    begun = time.monotonic()
    _check_out(asked.out, [asked.data, asked.validation], asked.force)
    tell = _silent if asked.quiet else say
    wishes = Wishes(asked.target, asked.task, asked.drop, asked.text, asked.weights)
    learned = learned_of(asked.data, asked.reading, wishes)
    _tell_columns(learned, tell)
    for remark in learned.remarks:
        complain(f"train: {remark}")
    settings = dict(asked.set)
    if asked.members is not None:
        settings["members"] = asked.members
    if asked.time_limit is not None:
        # Reading is a part of the time that was given.
        settings["time_limit"] = max(asked.time_limit - (time.monotonic() - begun), 0.01)
    if asked.quantiles is not None:
        if learned.is_classes:
            raise ValueError("--quantiles: the task is a classification; see --task")
        settings["quantiles"] = asked.quantiles
    settings |= {"random_state": asked.seed}
    if not asked.quiet:
        settings.setdefault("verbose", 1)
    tell("")
    estimator = fitted(learned, settings)
    took = time.monotonic() - begun
    if len(estimator.members_) < estimator.members:
        complain(
            f"train: {len(estimator.members_)} of {count(estimator.members, 'member')} trained "
            "within the time limit"
        )
    estimator.save(asked.out)
    add(asked.out, _notes(learned, estimator, took))
    every = judged_folds(estimator, learned.targets)
    if not every:
        tell("\ntoo few rows to hold some out: there is no score")
    else:
        title = "rows of training, by the members that did not learn from them"
        _tell_scores(every, title, tell)
        tell("  a little too good: each member chose its epoch by these rows")
        for remark in dict.fromkeys(remark for judged in every for remark in judged.remarks):
            tell(f"  {remark}")
    tell(
        f"\n{printable(asked.out)}: {size(Path(asked.out).stat().st_size)}, "
        f"{count(len(estimator.members_), 'member')}, {seconds(took)}"
    )
    if asked.validation is not None:
        _validate(asked.out, asked.validation, asked.reading, tell)


def _validate(out: str, path: str, reading: Reading, tell: Tell) -> None:
    every = judge(TableModel(out, "train"), path, reading, None)
    name = printable(every[0].name)
    for remark in dict.fromkeys(remark for judged in every for remark in judged.remarks):
        complain(f"train: {name}: {remark}")
    _tell_scores(every, f"{name}, {count(every[0].rows, 'row')}", tell)


def _check_out(out: str, inputs: Sequence[str | None], force: bool) -> None:
    """Refuses, before anything is computed, what could not be written or should not be replaced."""
    refuse_other_formats("--out", out, OF_TABLES)
    path = Path(out)
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"--out: there is no folder {shown(str(folder))}")
    if path.is_dir():
        raise IsADirectoryError(f"--out: {shown(out)} is a folder")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"--out: the folder {shown(str(folder))} may not be written")
    if not path.exists():
        return
    for given in inputs:
        if given is not None and given != "-" and Path(given).exists() and path.samefile(given):
            raise ValueError(f"--out: {shown(out)} is the file of the data")
    if not force and not is_table_model(out):
        raise FileExistsError(
            f"--out: {shown(out)} exists, and is no model of a table; --force replaces it"
        )


def _notes(learned: Learned, estimator: Any, took: float) -> Notes:
    facts = [
        ("rows of training", f"{learned.rows:,}"),
        ("columns", f"{len(learned.columns):,}"),
        ("trained", time.strftime("%Y-%m-%d %H:%M")),
        ("time", seconds(took)),
        ("data", Path(learned.name).name),
        ("members", f"{len(estimator.members_):,}"),
    ]
    return Notes(
        learned.targets,
        {name: learned.kinds[name] for name in learned.columns},
        facts,
        tuple(learned.remarks),
        tuple(learned.told),
        versions(),
    )


def _silent(text: str = "") -> None:
    del text


def _tell_columns(learned: Learned, tell: Tell) -> None:
    tell(
        f"{printable(learned.name)}: {count(learned.rows, 'row')}, {count(len(learned.columns), 'column')}"
    )
    rows = [[printable(c.name)[:40], c.kind, c.told] for c in learned.told[:_MOST_COLUMNS]]
    for line in aligned(rows):
        tell(line)
    if len(learned.told) > _MOST_COLUMNS:
        tell(f"  and {len(learned.told) - _MOST_COLUMNS:,} more")
    one = len(learned.targets) == 1
    tell(f"{'target' if one else 'targets'} {several(learned.targets)}: {learned.task_told}")


def _tell_scores(every: Sequence[Judged], title: str, tell: Tell) -> None:
    """A column for each target."""
    names = [["", *(printable(judged.target)[:20] for judged in every)]] if len(every) > 1 else []
    rows = [[n, *(f"{judged.scores[n]:.4g}" for judged in every)] for n in every[0].scores]
    tell(f"\n{title}")
    for line in aligned([*names, *rows], right=range(1, len(every) + 1)):
        tell(line)
