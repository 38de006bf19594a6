"""Names and parameters of activations, from the native table.

The functions themselves are native; `fastnn.ops` applies them to arrays.
"""

from __future__ import annotations

import functools

from fastnn import _core
from fastnn.listing import names_of
from fastnn.words import choose, number

__all__ = [
    "get",
]

__dir__ = names_of(__all__)

# Keras's second name for the same function.
_ALIASES = {"swish": "silu"}


@functools.cache
def _rows() -> dict[str, _core.ActivationRow]:
    return {row["name"]: row for row in _core.activations()}


@functools.cache
def elementwise() -> dict[str, str]:
    """The activations that work on each number alone, and their other names."""
    return {name: name for name in _rows()} | _ALIASES


@functools.cache
def _all() -> dict[str, str]:
    return elementwise() | {"softmax": "softmax"}


def get(name: str | None) -> str:
    """The native name of a layer's activation; None is "linear"."""
    return "linear" if name is None else choose("activation", name, _all())


def get_elementwise(name: str | None) -> str:
    """The native name of an activation that is not softmax."""
    if name == "softmax":
        raise ValueError("activation: softmax works on whole rows; use fastnn.ops.softmax")
    return "linear" if name is None else choose("activation", name, elementwise())


def checked_parameter(name: str, value: float, argument: str) -> float:
    """`value` as a float in the range of the parameter of `name`, a native name.

    Errors call the value `argument`.
    """
    row = _rows()[name]
    if row["parameter"] is None:
        raise ValueError(f"{argument}: {name} has no parameter, got {value!r}")
    what = argument if argument == row["parameter"] else f"{argument}, {row['parameter']} of {name}"
    return number(what, value, row["low"], row["high"])


def parameter(name: str, value: float | None, argument: str = "parameter") -> float | None:
    """As `checked_parameter`; None, for the default of the activation, stays None."""
    return None if value is None else checked_parameter(name, value, argument)
