"""What `train` learns from: the columns of a table, the target and the task that it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.commands.columns_told import described, identifiers, short
from fastnn.commands.content import Column
from fastnn.commands.csv_files import Reading
from fastnn.commands.kinds import Kind
from fastnn.commands.options import names_in
from fastnn.commands.table_models import label_text
from fastnn.commands.tables import blocks_of, whole
from fastnn.commands.targets import known_rows, several_targets
from fastnn.commands.told import count, several, shown

Array = NDArray[Any]
Floats = NDArray[np.float64]

_FEW = 20  # whole numbers up to which a target is one of classes
_ROWS_EACH = 10  # of whole numbers, so that they are classes
_SHOWN = 5  # classes


class Wishes(NamedTuple):
    """What was asked for."""

    targets: Sequence[str]
    task: str = "auto"  # "classification", "regression"
    drop: Sequence[str] | None = None
    text: Sequence[str] | None = None
    weights: str | None = None


class Learned(NamedTuple):
    """Rows to learn from.

    `columns`: of X. `y`: labels of any type, or numbers; of several targets (n, targets). `told`: the columns
    in words.
    """

    name: str
    targets: tuple[str, ...]
    columns: dict[str, Array]
    kinds: dict[str, Kind]
    y: Array
    weights: Floats | None
    is_classes: bool
    task_told: str
    told: list[Column]
    remarks: list[str]
    text: frozenset[str] = frozenset()
    """columns that are text whatever they look like"""

    @property
    def rows(self) -> int:
        return len(self.y)


def learned_of(path: str, reading: Reading, wishes: Wishes) -> Learned:
    """Reads a table to learn from.

    Raises:
        ValueError: a column is missing, the target cannot be learned, or the file is broken.
    """
    with blocks_of(path, reading, again=True) as blocks:
        drop = names_in(wishes.drop, blocks.names)
        text = names_in(wishes.text, blocks.names)
        own = [name for name in (*wishes.targets, wishes.weights) if name is not None]
        for name in own:
            if own.count(name) > 1:
                raise ValueError(f"--target: the column {shown(name)} is named twice")
        for name in own:
            if name in drop:
                raise ValueError(f"--drop: the column {shown(name)} is needed")
        table = whole(blocks, drop=drop, text=text, needed=own)
    columns, kinds = dict(table.columns), table.kinds
    values = [columns.pop(name) for name in wishes.targets]
    given = None if wishes.weights is None else columns.pop(wishes.weights)
    if not columns:
        raise ValueError(
            f"{table.name}: there is no column besides the target; is the delimiter right?"
        )
    remarks = []
    there = known_rows(values, wishes.targets, f"{table.name}: ")
    weights = None
    if given is not None:
        weights = _weights(table.name, str(wishes.weights), given, kinds[str(wishes.weights)])
    if not there.all():
        remarks.append(
            f"{count(int((~there).sum()), 'row')} without {several(wishes.targets)} left out"
        )
        columns = {name: column[there] for name, column in columns.items()}
        values = [one[there] for one in values]
        weights = None if weights is None else weights[there]
        if weights is not None and not weights.any():
            raise ValueError(
                f"--weights: all numbers in {shown(str(wishes.weights))} are 0 where {several(wishes.targets)} "
                f"{'has a value' if len(wishes.targets) == 1 else 'have values'}"
            )
    kinds = {name: kinds[name] for name in [*columns, *wishes.targets]}
    target: Any
    if len(wishes.targets) == 1:
        target = _target(values[0], kinds[wishes.targets[0]], wishes)
    else:
        own_kinds = [kinds[name] for name in wishes.targets]
        target = several_targets(values, own_kinds, wishes.targets, wishes.task)
    found = identifiers(columns, kinds)
    if found:
        verb = "seems to name" if len(found) == 1 else "seem to name"
        remarks.append(f"{several(found)} {verb} rows; --drop leaves such columns out")
    told = described(columns, kinds)
    return Learned(
        table.name,
        tuple(wishes.targets),
        columns,
        kinds,
        target.y,
        weights,
        target.is_classes,
        target.told,
        told,
        remarks,
        frozenset(text) & frozenset(columns),
    )


def _weights(file: str, name: str, given: Array, kind: Kind) -> Floats:
    if kind != "number":
        raise ValueError(f"--weights: expected a column of numbers, {shown(name)} is {kind}")
    bad = ~(given >= 0)
    if bad.any():
        row = int(bad.argmax())
        value = "a gap" if np.isnan(given[row]) else f"{given[row]:g}"
        raise ValueError(
            f"--weights: expected numbers of at least 0 in {shown(name)}, got {value} in row {row + 1} "
            f"of {file}"
        )
    if not given.any():
        raise ValueError(f"--weights: all numbers in {shown(name)} are 0")
    return given.astype(np.float64)


class _Target(NamedTuple):
    y: Array
    is_classes: bool
    told: str


def _target(values: Array, kind: Kind, wishes: Wishes) -> _Target:
    """The target as labels or numbers."""
    where = f"the target {shown(wishes.targets[0])}"
    if kind == "date":
        raise ValueError(f"{where} is a date; expected numbers, text or booleans")
    distinct = np.unique(values.astype(str) if kind in ("text", "boolean") else values)
    if wishes.task == "regression" and kind != "number":
        raise ValueError(f"--task regression: {where} is {kind}, such as {shown(str(values[0]))}")
    if len(distinct) < 2:
        raise ValueError(f"{where} has one value, {shown(label_text(values[0]))}, in all rows")
    whole_numbers = kind == "number" and bool((values == np.round(values)).all())
    few = len(distinct) <= min(_FEW, max(2, len(values) // _ROWS_EACH))
    is_classes = kind != "number" or (whole_numbers and few)
    told = ""
    if wishes.task != "auto":
        is_classes = wishes.task == "classification"
    else:
        other = "regression" if is_classes else "classification"
        told = f"; --task {other} would take it for {'a number' if is_classes else 'classes'}"
        told = told if kind == "number" and whole_numbers else ""
    if not is_classes:
        low, high = values.min(), values.max()
        return _Target(values, False, f"regression of numbers, {low:g} to {high:g}{told}")
    if len(distinct) > 50 and len(distinct) > len(values) / 2:
        raise ValueError(
            f"{where} has {len(distinct):,} values in {len(values):,} rows; expected classes that "
            "several rows have"
        )
    if kind == "boolean":
        labels = values.astype(bool)
    elif kind == "number" and whole_numbers and np.abs(values).max() < 2**53:
        labels = values.astype(np.int64)
    else:
        labels = np.array([label_text(value) for value in values.tolist()])
    return _Target(labels, True, f"classification, {_classes(labels)}{told}")


def _classes(labels: Array) -> str:
    names, counts = np.unique(labels, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shares = [
        f"{short(label_text(names[i]))} ({counts[i] / len(labels):.1%})" for i in order[:_SHOWN]
    ]
    more = ", ..." if len(names) > _SHOWN else ""
    return f"{len(names):,} classes: {', '.join(shares)}{more}"
