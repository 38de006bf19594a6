"""Columns of predictions: numbers, or the classes that they decide for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.layers.base import Shape
from fastnn.models import heads

Array = NDArray[Any]


class Columns(NamedTuple):
    """The columns of one output."""

    names: list[str]
    fields: Callable[[Array], list[list[str]]]
    """the fields of each row, of outputs (n, width)"""


class Output(NamedTuple):
    """One output of a model."""

    name: str
    shape: Shape
    end: str  # its activation; "" where something after it changes that
    counts_labels: bool = False  # each number is about a label of its own

    @property
    def width(self) -> int:
        return math.prod(self.shape)


def outputs_of(model: Any, shapes: Any) -> list[Output]:
    """The outputs of a model, of which a row has these shapes."""
    state = model._state.now
    if state.form.kind is None:
        head = heads.find(state.layers, state.calls, state.inputs or (state.built.shapes[0],))
        end = "" if head.changed_by is not None else head.activation
        return [Output("output", shapes, end, _counts_labels(state.plan))]
    found = list(shapes.values()) if isinstance(shapes, dict) else list(shapes)
    names = model._output_names()
    return [Output(*parts) for parts in zip(names, found, state.built.ends, strict=True)]


def _counts_labels(plan: Any) -> bool:
    """Whether the model was compiled with a loss of labels that do not exclude each other."""
    native = None if plan is None else plan.native
    return native is not None and native.loss.row.targets == "unit_or_missing"


def numbers(output: Output) -> Columns:
    """Each number as it is, in the fewest digits that give the same number."""
    return Columns(_numbered(output.name, output.width), _as_text)


def _as_text(y: Array) -> list[list[str]]:
    return [[str(value) for value in row] for row in y]


def _numbered(name: str, width: int) -> list[str]:
    return [name] if width == 1 else [f"{name}_{i}" for i in range(width)]


def classes(output: Output, names: Sequence[str] | None) -> Columns:
    """The class of each row or, of labels that do not exclude each other, 0 or 1 for each.

    `names`: of the classes; of such labels names of the columns.

    Raises:
        ValueError: the output ends in something that decides for no class, or there are more or
            fewer names than classes.
    """
    name, width, end = output.name, output.width, output.end
    if end not in ("softmax", "sigmoid", "linear", "log_softmax"):
        told = f"in {end}" if end else "in a layer that changes probabilities"
        raise ValueError(f"--classes: {name} ends {told}, which decides for no class")
    if width == 1 and end.endswith("softmax"):
        raise ValueError(f"--classes: {name} is a softmax of one number, which is always 1")
    threshold = 0.5 if end == "sigmoid" else 0.0
    labels = width > 1 and (end == "sigmoid" or (end == "linear" and output.counts_labels))
    if labels:
        _check_count(names, width, name)
        columns = _numbered(name, width) if names is None else list(names)
        return Columns(columns, lambda y: [[str(int(v > threshold)) for v in row] for row in y])
    count = max(width, 2)
    _check_count(names, count, name)
    words = list(map(str, range(count))) if names is None else list(names)

    def fields(y: Array) -> list[list[str]]:
        places = y.argmax(axis=1) if width > 1 else (y[:, 0] > threshold).astype(np.intp)
        return [[words[place]] for place in places]

    return Columns(["class" if name == "output" else name], fields)


def _check_count(names: Sequence[str] | None, wanted: int, output: str) -> None:
    if names is not None and len(names) != wanted:
        raise ValueError(
            f"--names: expected {wanted} names for {output}, got {len(names)}: {', '.join(names)}"
        )
