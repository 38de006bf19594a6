"""Columns of targets: which task they ask for, and rows in which all of them are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.commands.kinds import Kind, is_gap
from fastnn.commands.table_models import TableModel, label_text, label_texts
from fastnn.commands.told import count, several, shown

Array = NDArray[Any]
Floats = NDArray[np.float64]

LABELS = ("0", "1")  # classes of one of several labels
_LABEL_OF = {"0": 0.0, "false": 0.0, "1": 1.0, "true": 1.0}


class Labelled(NamedTuple):
    """Rows of which all targets are known.

    `labels`: texts of classes, or None. `numbers`: (n, targets) of a regression, or zeros and ones of
    labels that do not exclude each other; or None.
    """

    columns: dict[str, Array]
    labels: list[str] | None
    numbers: Floats | None
    rows: int
    left_out: int  # rows of which a target is a gap


def labelled(model: TableModel, columns: Mapping[str, Array], targets: Sequence[str]) -> Labelled:
    """The rows of a table of which no target is a gap.

    Raises:
        ValueError: there are none, or one of several labels is neither 0 nor 1.
    """
    there = known_rows([columns[name] for name in targets], targets)
    rows = int(there.sum())
    chosen = {name: columns[name][there] for name in model.kinds}
    left_out = len(there) - rows
    values = [columns[name][there] for name in targets]
    if model.classes is not None:
        return Labelled(chosen, label_texts(values[0]), None, rows, left_out)
    if model.has_labels:
        values = [_zeros_and_ones(name, one) for name, one in zip(targets, values, strict=True)]
    numbers = np.stack([one.astype(np.float64) for one in values], axis=1)
    return Labelled(chosen, None, numbers, rows, left_out)


def known_rows(values: Sequence[Array], names: Sequence[str], where: str = "") -> NDArray[np.bool_]:
    """Where no target is a gap; ValueError where that is nowhere, which begins with `where`."""
    there = ~is_gap(values[0])
    for one in values[1:]:
        there &= ~is_gap(one)
    if not there.any():
        if len(names) == 1:
            raise ValueError(f"{where}the target {shown(names[0])} has no value")
        raise ValueError(f"{where}no row has values of all targets, {several(names)}")
    return there


def _zeros_and_ones(name: str, texts: Array) -> Floats:
    found = [_LABEL_OF.get(label_text(text).removesuffix(".0").lower()) for text in texts.tolist()]
    if None in found:
        wrong = texts[found.index(None)]
        raise ValueError(
            f"the target {shown(name)}: expected 0 and 1, or booleans, got {shown(str(wrong))}"
        )
    return np.array(found, np.float64)


class Several(NamedTuple):
    """Several targets as what an estimator learns: zeros and ones, or numbers, (n, targets)."""

    y: Array
    is_classes: bool
    told: str


def several_targets(
    values: Sequence[Array], kinds: Sequence[Kind], names: Sequence[str], task: str
) -> Several:
    """Several targets, of rows without gaps.

    Raises:
        ValueError: they are neither all booleans, or 0 and 1, nor all numbers.
    """
    sets = [set(map(label_text, one.tolist())) for one in values]
    for name, own in zip(names, sets, strict=True):
        if len(own) < 2:
            raise ValueError(
                f"the target {shown(name)} has one value, {shown(next(iter(own)))}, in all rows"
            )
    two = [
        kind == "boolean" or (kind == "number" and own <= set(LABELS))
        for kind, own in zip(kinds, sets, strict=True)
    ]
    numbers = [kind == "number" for kind in kinds]
    if all(two) and task != "regression":
        y = np.stack([one.astype(np.float64) for one in values], axis=1).astype(np.int64)
        shares = ", ".join(
            f"{shown(name)} {share:.1%}" for name, share in zip(names, y.mean(axis=0), strict=True)
        )
        return Several(
            y, True, f"{count(len(names), 'label')} that do not exclude each other: {shares}"
        )
    if all(numbers) and task != "classification":
        y = np.stack(values, axis=1).astype(np.float64)
        ranges = ", ".join(
            f"{shown(name)} {low:g} to {high:g}"
            for name, low, high in zip(names, y.min(axis=0), y.max(axis=0), strict=True)
        )
        return Several(y, False, f"regression of {count(len(names), 'number')}: {ranges}")
    wanted = two if task == "classification" else numbers
    wrong = wanted.index(False) if False in wanted else 0
    expected = {
        "classification": "booleans, or 0 and 1",
        "regression": "numbers",
        "auto": "all booleans, or 0 and 1, or all numbers",
    }[task]
    raise ValueError(
        f"several targets: expected {expected}, {shown(names[wrong])} is {kinds[wrong]}, such as "
        f"{shown(label_text(values[wrong].tolist()[0]))}"
    )
