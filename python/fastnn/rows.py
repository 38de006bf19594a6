"""Rows of the native tables: names, options with their defaults and ranges.

The tables stand once, in C++ (csrc/core); what Python checks and says is made from these rows.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

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


class OptimizerRow(NamedTuple):
    """An optimizer: what it keeps for each parameter, and its options."""

    name: str
    slots: tuple[str, ...]
    options: dict[str, Option]


@functools.cache
def optimizers() -> dict[str, OptimizerRow]:
    """The native optimizers by name."""
    return {
        row["name"]: OptimizerRow(
            row["name"],
            tuple(row["slots"]),
            {option["name"]: Option(**option) for option in row["options"]},
        )
        for row in _core.optimizers()
    }
