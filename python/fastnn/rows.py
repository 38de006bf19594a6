"""Rows of the native tables: names, options with their defaults and ranges.

The tables stand once, in C++ (csrc/core); what Python checks and says is made from these rows.
"""

from __future__ import annotations

import functools
from typing import Any, Literal, NamedTuple

from fastnn import _core
from fastnn.words import flag, number


class Option(NamedTuple):
    """A number that a row takes by name."""

    name: str
    default: float
    low: float
    high: float
    open_low: bool
    open_high: bool
    is_flag: bool

    def checked(self, value: object) -> float:
        """`value` as a float of the option's range; TypeError or ValueError names it."""
        if self.is_flag:
            return float(bool(value) if value in (0, 1) else flag(self.name, value))
        return number(
            self.name,
            value,
            self.low,
            self.high,
            open_low=self.open_low,
            open_high=self.open_high,
        )


def _options(row: dict[str, Any]) -> dict[str, Option]:
    return {option["name"]: Option(**option) for option in row["options"]}


class OptimizerRow(NamedTuple):
    """An optimizer: what it keeps for each parameter, and its options."""

    name: str
    slots: tuple[str, ...]
    options: dict[str, Option]


class LossRow(NamedTuple):
    """A loss: the targets that it takes, and the activation at the end that it folds."""

    name: str
    targets: Literal["classes", "unit_or_missing", "numbers", "not_negative", "positive", "signs"]
    head: Literal["none", "sigmoid", "softmax"]
    by_element: bool  # each element counts for itself, a missing one (NaN) not at all
    column_weights: bool  # each output may have a weight
    by_row: bool  # it is of whole rows
    outputs_of_target: int  # how many outputs each target has
    options: dict[str, Option]

    @property
    def has_classes(self) -> bool:
        """Whether targets are classes or yes-or-no labels, not numbers."""
        return self.targets in ("classes", "unit_or_missing")


@functools.cache
def losses() -> dict[str, LossRow]:
    """The native losses by name."""
    return {row["name"]: LossRow(**{**row, "options": _options(row)}) for row in _core.losses()}


@functools.cache
def optimizers() -> dict[str, OptimizerRow]:
    """The native optimizers by name."""
    return {
        row["name"]: OptimizerRow(
            row["name"],
            tuple(row["slots"]),
            _options(row),
        )
        for row in _core.optimizers()
    }
