"""`python -m fastnn predict`: the predictions of a saved model for rows in a file, as CSV.

Rows are read, predicted and written some thousand at a time, so that files may be larger than
memory. Here are the models of rows of numbers; those of tables are in `predict_table`.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

import fastnn
from fastnn.commands.columns import Columns, classes, numbers, outputs_of
from fastnn.commands.options import add_reading, output, reading_of
from fastnn.commands.predict_table import predict_table
from fastnn.commands.rows import Rows, rows_of
from fastnn.commands.table_models import is_table_model
from fastnn.commands.told import shown
from fastnn.console import close_results, complain

_DESCRIPTION = """Predicts the rows of a file by a saved model, and writes CSV.

A model of a table (`train`, or `save` of a TabularClassifier or TabularRegressor) takes CSV with names of
columns, or Parquet. Columns are found by their names; others are ignored, with a remark. Its predictions are
the probability of each class, under the name of the class, or the number. A value of a text column that
training has not seen counts as missing, and one warning counts such values.

Any other model (`model.save`) takes rows of numbers. The columns of a row are the numbers of an input in
their order, several inputs side by side. Those of a prediction are "output", or "output_0", "output_1" and so
on; of several outputs they begin with the name of each. There is a header if the rows have one.

Exit status: 0; 1 for a fault in a file or the model; 2 for wrong arguments; 130 after Ctrl-C."""
_NUMBERS_AT_A_TIME = 1 << 16


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit status, 1 for a fault in a file or in the model."""
    asked = _arguments(arguments)
    try:
        _check_out(asked)
        if is_table_model(asked.model):
            predict_table(asked.model, asked.rows, asked.reading, asked.output, asked.classes)
            return 0
        model = fastnn.load_model(asked.model)
        with rows_of(asked.rows, asked.reading.delimiter or ",", asked.header) as rows:
            predict = model.predictor()
            columns = _columns(model, predict, asked)
            with output(asked.output) as out:
                _write(predict, rows, columns, out)
    except BrokenPipeError:  # as of `| head`
        close_results()
        return 1
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        complain(f"predict: {error}")
        return 1
    return 0


def _check_out(asked: argparse.Namespace) -> None:
    """Refuses to write over the model. Rows may be replaced by their answers."""
    if asked.output is None or not Path(asked.output).exists() or not Path(asked.model).exists():
        return
    if Path(asked.model).samefile(asked.output):
        raise ValueError(f"--out: {shown(asked.output)} is the file of the model")


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m fastnn predict",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="a file that model.save wrote")
    parser.add_argument(
        "rows",
        help="CSV; - for CSV of stdin; of a table also Parquet, and CSV by gzip; of numbers also an array of "
        "numpy.save (.npy)",
    )
    parser.add_argument(
        "--out",
        "--output",
        dest="output",
        metavar="PATH",
        help="the file to write; default: stdout",
    )
    parser.add_argument(
        "--classes",
        action="store_true",
        help="write the class of the largest output instead of the outputs; of single probabilities, "
        "or their logits, 0 or 1; of a table the most probable class",
    )
    parser.add_argument(
        "--names",
        metavar="A,B,...",
        help="names of the classes 0, 1, ...; implies --classes; a model of a table has its own",
    )
    add_reading(parser)
    asked = parser.parse_args(arguments)
    asked.reading = reading_of(parser, asked)
    if asked.names is not None and is_table_model(asked.model):
        parser.error("--names: the model has names of its classes")
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
