"""`python -m fastnn predict`: the predictions of a saved model for rows in a file, as CSV.

Rows are read, predicted and written some thousand at a time, so that files may be larger than
memory.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import itertools
import math
import os
import stat
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

import fastnn
from fastnn.commands.columns import Columns, classes, numbers, outputs_of
from fastnn.commands.rows import Rows, rows_of
from fastnn.console import close_results, complain, results
from fastnn.files.atomic import replacing

_DESCRIPTION = """Predicts rows of numbers by a model that model.save wrote, and writes CSV.

The columns of a row are the numbers of an input in their order, several inputs side by side. Those
of a prediction are "output", or "output_0", "output_1" and so on; of several outputs they begin with
the name of each. There is a header if the rows have one."""
_NUMBERS_AT_A_TIME = 1 << 16


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit status, 1 for a fault in a file or in the model."""
    asked = _arguments(arguments)
    try:
        model = fastnn.load_model(asked.model)
        with rows_of(asked.rows, asked.delimiter, asked.header) as rows:
            predict = model.predictor()
            columns = _columns(model, predict, asked)
            with _output(asked.output) as out:
                _write(predict, rows, columns, out)
    except BrokenPipeError:  # as of `| head`
        close_results()
        return 1
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        complain(f"predict: {error}")
        return 1
    return 0


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m fastnn predict",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="a file that model.save wrote")
    parser.add_argument("rows", help="CSV, an array of numpy.save (.npy), or - for CSV of stdin")
    parser.add_argument("--output", metavar="PATH", help="the file to write; default: stdout")
    parser.add_argument(
        "--classes",
        action="store_true",
        help="write the class of the largest output instead of the outputs; of single probabilities, "
        "or their logits, 0 or 1",
    )
    parser.add_argument(
        "--names", metavar="A,B,...", help="names of the classes 0, 1, ...; implies --classes"
    )
    parser.add_argument(
        "--header",
        choices=("auto", "yes", "no"),
        default="auto",
        help="whether CSV begins with names of columns; auto: if no field of its first line is a "
        "number",
    )
    parser.add_argument(
        "--delimiter", default=",", metavar="C", help="between the fields of CSV; default: a comma"
    )
    asked = parser.parse_args(arguments)
    if len(asked.delimiter) != 1 or asked.delimiter in '"\r\n':
        parser.error(f"--delimiter: expected one character, got {asked.delimiter!r}")
    return asked


def _columns(model: Any, predict: fastnn.Predictor, asked: argparse.Namespace) -> list[Columns]:
    outputs = outputs_of(model, predict.output_shape)
    names = None if asked.names is None else asked.names.split(",")
    if not asked.classes and names is None:
        return [numbers(output) for output in outputs]
    return [classes(output, names) for output in outputs]


def _write(predict: fastnn.Predictor, rows: Rows, columns: Sequence[Columns], out: IO[str]) -> None:
    writer = csv.writer(out, lineterminator="\n")
    shapes = predict.input_shape
    inputs = [shapes] if isinstance(shapes, tuple) else list(_parts(shapes))
    shape = inputs[0] if len(inputs) == 1 else (sum(map(math.prod, inputs)),)
    outputs = sum(len(part.names) for part in columns)
    most = max(1, _NUMBERS_AT_A_TIME // (math.prod(shape) + outputs))
    has_header = rows.header is not None
    for x in rows.batches(shape, most):
        rows.check_finite(x, predict.dtype)
        if has_header:  # once there is something below it
            writer.writerow([name for part in columns for name in part.names])
            has_header = False
        made = _parts(predict(_apart(x, shapes, inputs)))
        fields = [part.fields(y.reshape(len(x), -1)) for part, y in zip(columns, made, strict=True)]
        writer.writerows(itertools.chain.from_iterable(row) for row in zip(*fields, strict=True))


def _parts(structure: Any) -> list[Any]:
    if isinstance(structure, dict):
        return list(structure.values())
    return list(structure) if isinstance(structure, (list, tuple)) else [structure]


def _apart(x: NDArray[Any], shapes: Any, inputs: Sequence[tuple[int, ...]]) -> Any:
    """Several inputs in their structure, of columns side by side."""
    if isinstance(shapes, tuple):
        return x
    x = x.reshape(len(x), -1)
    ends = np.cumsum([math.prod(shape) for shape in inputs])[:-1]
    found = [
        part.reshape(len(x), *shape)
        for part, shape in zip(np.split(x, ends, axis=1), inputs, strict=True)
    ]
    return dict(zip(shapes, found, strict=True)) if isinstance(shapes, dict) else found


@contextlib.contextmanager
def _output(path: str | None) -> Iterator[IO[str]]:
    """Where predictions go: a file has all of them, or stays as it was."""
    if path is None:
        out = results()
        yield out
        out.flush()
        return
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):  # noqa: PTH112, PTH116
            # A pipe or a device is written, not replaced.
            with open(path, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123
                yield file
            return
    with replacing(path) as binary:
        text = io.TextIOWrapper(binary, "utf-8", newline="")
        yield text
        text.flush()
        text.detach()
