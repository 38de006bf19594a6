"""Names and parameters of activations, from the native table.

The functions themselves are native; `fastnn.ops` applies them to arrays.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastnn import _core, elsewhere
from fastnn.listing import names_of
from fastnn.words import choose, number, refuse_elsewhere

__all__ = [
    "get",
]

__dir__ = names_of(__all__)

# Functions of Tensors that are activations, by their names. The modules that define them add them.
functions: dict[Callable[..., Any], str] = {}

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


def checked(name: str, value: Any) -> str:
    """The native name of a layer's activation, which a name or a function such as
    `fastnn.math.relu` means; errors call it `name`."""
    if callable(value):
        known = functions.get(value)
        if known is None:
            raise TypeError(
                f"{name}: expected a name, such as 'relu', or one of the functions "
                f"{', '.join(sorted(set(functions.values())))} of fastnn.math and fastnn.nn, got {value!r}"
            )
        return known
    return "linear" if value is None else _chosen(name, value, _all())


def get(name: Any) -> str:
    """The name of an activation by any of its names, or by its function; None is "linear"."""
    return checked("activation", name)


def get_elementwise(name: str | None) -> str:
    """The native name of an activation that is not softmax."""
    if name == "softmax":
        raise ValueError("activation: softmax works on whole rows; use fastnn.ops.softmax")
    return "linear" if name is None else _chosen("activation", name, elementwise())


def _chosen(argument: str, name: object, known: dict[str, str]) -> str:
    if isinstance(name, str) and name not in known:
        refuse_elsewhere(argument, "activation", name)
    return choose(argument, name, known)


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


def _as_words() -> dict[str, str]:
    """Advice for the activations as attributes, which in Keras are functions."""
    return {
        name: f"an activation is a word, {name!r}, and fastnn.ops.{ops} applies it to an array"
        for name in _all()
        for ops in ["softmax" if name == "softmax" else "activation_forward"]
    }


if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "activation", _as_words)
