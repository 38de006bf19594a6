"""`python -m fastnn evaluate`: how good the predictions of a model of a table are, for rows that are known."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.commands.judged import Judged, judge
from fastnn.commands.options import add_reading, reading_of
from fastnn.commands.scores import QUANTILES, confusion_of, mistakes_of
from fastnn.commands.table_models import TableModel
from fastnn.commands.told import aligned, count, shown
from fastnn.console import close_results, complain, cut, printable, results

_DESCRIPTION = """Compares the predictions of a model of a table with what is known, and prints scores.

Of classes there are accuracy, log loss, the area under the ROC curve and others, and how often which class is
answered for which; of numbers the root mean squared error, R2 and others, and quantiles of the errors.

Exit status: 0; 1 for a fault in a file or the model; 2 for wrong arguments; 130 after Ctrl-C."""
_MOST_CLASSES = 12  # of which all pairs are shown
_LETTERS = 14


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit status."""
    asked = _arguments(arguments)
    try:
        model = TableModel(asked.model, "evaluate")
        every = judge(model, asked.data, asked.reading, asked.target)
        out = results()
        if asked.json:
            told = [_plain(model, judged) for judged in every]
            found = told[0] if len(told) == 1 else {"model": model.path, "targets": told}
            out.write(json.dumps(found, ensure_ascii=False, indent=2) + "\n")
        else:
            out.write("\n\n".join("\n".join(_lines(j, len(every) > 1)) for j in every) + "\n")
        out.flush()
    except BrokenPipeError:
        close_results()
        return 1
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        complain(f"evaluate: {error}")
        return 1
    for remark in dict.fromkeys(remark for judged in every for remark in judged.remarks):
        complain(f"evaluate: {remark}")
    return 0


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m fastnn evaluate",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="a file that `train` or `save` of an estimator wrote")
    parser.add_argument("data", help="CSV, also by gzip, or Parquet; - for stdin")
    parser.add_argument(
        "--target",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="the columns that are predicted; default: those of training",
    )
    parser.add_argument("--json", action="store_true", help="write JSON; NaN is null")
    add_reading(parser)
    asked = parser.parse_args(arguments)
    asked.reading = reading_of(parser, asked)
    return asked


def _lines(judged: Judged, tells_target: bool) -> list[str]:
    rows = [[name, f"{value:.6g}"] for name, value in judged.scores.items()]
    title = f"{printable(judged.name)}: {count(judged.rows, 'row')}"
    title += f", target {shown(judged.target)}" if tells_target else ""
    lines = [title, *aligned(rows, right=[1])]
    if judged.answers is not None:
        lines += ["", *_confusion(judged)]
    elif judged.predicted is not None:
        lines += ["", "quantiles of |predicted - actual|"]
        errors = [[f"{q:.0%}", f"{value:.6g}"] for q, value in _quantiles(judged)]
        lines += aligned(errors, right=[0, 1])
    return lines


def _confusion(judged: Judged) -> list[str]:
    assert judged.answers is not None
    confusion = confusion_of(judged.answers)
    if len(confusion.classes) > _MOST_CLASSES:
        pairs = mistakes_of(judged.answers).pairs
        rows = [["class", "answered as", "rows", "share"]]
        rows += [[_short(a), _short(b), f"{n:,}", f"{share:.1%}"] for a, b, n, share in pairs]
        return ["the mistakes that are made most often", *aligned(rows, right=[2, 3])]
    names = [_short(name) for name in confusion.classes]
    rows = [["", *names]]
    for name, counts in zip(names, confusion.counts, strict=True):
        rows.append([name, *(f"{n:,}" for n in counts)])
    right = range(1, len(names) + 1)
    return [
        "rows of each class (down) by the class that is answered (across)",
        *aligned(rows, right),
    ]


def _short(name: str) -> str:
    name = printable(name)
    found = cut(name, _LETTERS)
    return found if found == name else found + "..."


def _quantiles(judged: Judged) -> list[tuple[float, float]]:
    assert judged.predicted is not None
    assert judged.actual is not None
    with np.errstate(over="ignore"):
        errors = np.abs(judged.predicted - judged.actual)
    return [(q, float(np.quantile(errors, q, method="lower"))) for q in QUANTILES]


def _plain(model: TableModel, judged: Judged) -> dict[str, Any]:
    found: dict[str, Any] = {
        "model": model.path,
        "data": judged.name,
        "target": judged.target,
        "rows": judged.rows,
        "scores": {name: _number(value) for name, value in judged.scores.items()},
    }
    if judged.answers is not None:
        confusion = confusion_of(judged.answers)
        found["classes"] = list(confusion.classes)
        found["confusion"] = confusion.counts.tolist()
    else:
        found["error_quantiles"] = {str(q): _number(value) for q, value in _quantiles(judged)}
    found["remarks"] = list(judged.remarks)
    return found


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
