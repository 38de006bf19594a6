"""Words of activations: their names and parameters, from the native table.

A word is a name, `"relu"`, or a name with parameters, `"leaky_relu(negative_slope=0.1)"`. Layers,
model files and writers of other formats keep words; `native` tells which row of the table and which
numbers a word means. The functions of these names are in `fastnn.activations`.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fastnn import _core
from fastnn.words import choose, flag, number, refuse_elsewhere, unknown_keyword

# Functions of Tensors that are activations, by their names. The modules that define them add them.
functions: dict[Callable[..., Any], str] = {}

# Second names for the same function.
_ALIASES = {"swish": "silu", "hard_swish": "hard_silu"}
# Activations that work on whole rows.
_OF_ROWS = ("softmax", "log_softmax", "glu")
_WORD = re.compile(r"\s*([A-Za-z]\w*)\s*(?:\((.*)\))?\s*", re.DOTALL)


class Parameter(NamedTuple):
    """A number that an activation takes; both ends of its range are included."""

    name: str
    default: float
    low: float
    high: float

    def checked(self, value: Any, argument: str) -> float:
        """`value` as a float in range; errors call it `argument`."""
        if self.high == math.inf and (value is None or value == math.inf):
            return math.inf  # None is no limit
        return number(argument, value, self.low, self.high)


class Row(NamedTuple):
    """A row of the native table."""

    name: str
    parameters: tuple[Parameter, ...]
    needs_input: bool  # its derivative is not known from the output alone


class Native(NamedTuple):
    """An activation as native code takes it: without parameters, it has its defaults."""

    name: str
    parameters: tuple[float, ...] = ()

    def named(self) -> dict[str, float]:
        """All parameters by name, the defaults too."""
        row = rows().get(self.name)
        if row is None:
            return {}
        given = self.parameters or tuple(p.default for p in row.parameters)
        return {p.name: value for p, value in zip(row.parameters, given, strict=True)}


@functools.cache
def rows() -> dict[str, Row]:
    """The native activations by name."""
    return {
        row["name"]: Row(
            row["name"],
            tuple(Parameter(**parameter) for parameter in row["parameters"]),
            row["needs_input"],
        )
        for row in _core.activations()
    }


@functools.cache
def elementwise() -> dict[str, str]:
    """The activations that work on each number alone, and their other names."""
    return {name: name for name in rows()} | _ALIASES


@functools.cache
def known() -> dict[str, str]:
    """All activations, and their other names."""
    return elementwise() | {name: name for name in _OF_ROWS}


# -- from words ------------------------------------------------------------------------------------


def checked(name: str, value: Any) -> str:
    """The word of a layer's activation, which a word or a function such as `fastnn.math.relu`
    means; errors call it `name`."""
    if isinstance(value, functools.partial) and value.func in functions and not value.args:
        return _shown(_resolved(name, functions[value.func], value.keywords))
    if callable(value):
        found = functions.get(value)
        if found is None:
            raise TypeError(
                f"{name}: expected a name, such as 'relu', or one of the functions "
                f"{', '.join(sorted(set(functions.values())))} of fastnn.activations, fastnn.math "
                f"and fastnn.nn, got {value!r}"
            )
        return found
    return "linear" if value is None else _shown(_parsed(name, value))


def get(name: Any) -> str:
    """The word that any name of an activation or its function means; None is "linear"."""
    return checked("activation", name)


def native(name: str) -> Native:
    """The row and the parameters that a word means."""
    return _parsed("activation", name)


def word(name: str, /, **parameters: Any) -> str:
    """The word of an activation with these parameters."""
    return _shown(_resolved("activation", name, parameters))


def for_ops(name: str | None, parameter: Any = None, argument: str = "parameter") -> Native:
    """The activation, not of whole rows, that a word and a parameter beside it mean.

    Args:
        name: a word; None: linear.
        parameter: a number, for an activation with one parameter; a dictionary by name; or None.
        argument: what errors call the parameter.
    """
    found = Native("linear") if name is None else _parsed("activation", name)
    if found.name in _OF_ROWS:
        raise ValueError(
            f"activation: {found.name} works on whole rows; use fastnn.activations.{found.name}"
        )
    if parameter is None:
        return found
    if found.parameters:
        raise ValueError(f"{argument}: {name!r} has its parameters already, got {parameter!r}")
    base = _ALIASES.get(str(name), str(name))
    if isinstance(parameter, Mapping):
        return _resolved(argument, base, parameter)
    names = _names_of(base)
    if not names:
        raise ValueError(f"{argument}: {base} has no parameter, got {parameter!r}")
    if len(names) > 1:
        raise ValueError(
            f"{argument}: {base} has the parameters {', '.join(names)}: expected a dictionary with "
            f"some of them, got {parameter!r}"
        )
    return _resolved(argument, base, {names[0]: parameter})


@functools.lru_cache(maxsize=512)
def _parse_text(argument: str, text: str) -> Native:
    found = _WORD.fullmatch(text)
    name = found.group(1) if found else text
    if name not in known():
        refuse_elsewhere(argument, "activation", name)
    base: str = choose(argument, name, known())
    assert found is not None
    inside = (found.group(2) or "").strip()
    if not inside:
        return _resolved(argument, base, {})
    given: dict[str, Any] = {}
    parts = [part.strip() for part in inside.removesuffix(",").split(",")]
    for part in parts:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            names = _names_of(base)
            if len(parts) > 1 or len(names) != 1:
                raise ValueError(f"{argument}: expected parameters by name, got {text!r}")
            key, value = names[0], key
        if key in given:
            raise ValueError(f"{argument}: {key} is given twice, got {text!r}")
        given[key] = _value(argument, text, value)
    return _resolved(argument, base, given)


def _parsed(argument: str, value: Any) -> Native:
    if not isinstance(value, str):
        choose(argument, value, known())
    return _parse_text(argument, value)


def _value(argument: str, text: str, value: str) -> Any:
    constants = {"True": True, "False": False, "None": None}
    if value in constants:
        return constants[value]
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{argument}: expected numbers as parameters, got {text!r}") from None


# -- parameters ------------------------------------------------------------------------------------

# Words that have parameters which choose among rows. `rectifier` is relu with parameters.
_CHOOSING = {"gelu": ("approximate",), "relu": ("negative_slope", "max_value", "threshold")}
_SHOWN_AS = {"rectifier": "relu"}


def _names_of(name: str) -> tuple[str, ...]:
    """The parameters of an activation, as a user gives them."""
    shown = _SHOWN_AS.get(name, name)
    if shown in _CHOOSING:
        return _CHOOSING[shown]
    row = rows().get(shown)
    return () if row is None else tuple(parameter.name for parameter in row.parameters)


def _resolved(argument: str, name: str, given: Mapping[str, Any]) -> Native:
    names = _names_of(name)
    for key in given:
        if key not in names:
            if not names:
                raise ValueError(f"{argument}: {name} has no parameter, got {dict(given)}")
            raise ValueError(unknown_keyword(f"{argument}: {name}", str(key), names))
    if name == "gelu":
        return Native("gelu_tanh" if flag("approximate", given.get("approximate", False)) else name)
    if _SHOWN_AS.get(name, name) == "relu":
        return _relu(argument, given)
    row = rows().get(name)
    if row is None or not given:
        return Native(name)
    values = tuple(
        checked_parameter(name, given[p.name], p.name, argument) if p.name in given else p.default
        for p in row.parameters
    )
    is_default = all(p.default == value for p, value in zip(row.parameters, values, strict=True))
    return Native(name) if is_default else Native(name, values)


def _relu(argument: str, given: Mapping[str, Any]) -> Native:
    """The least of the rows that compute it."""
    row = rows()["rectifier"]
    found = {
        p.name: checked_parameter(row.name, given[p.name], p.name, argument)
        if p.name in given
        else p.default
        for p in row.parameters
    }
    limit, slope, threshold = (found[p.name] for p in row.parameters)
    if threshold == 0 and limit == math.inf:
        return (
            _resolved(argument, "leaky_relu", {"negative_slope": slope})
            if slope
            else Native("relu")
        )
    if threshold == 0 and slope == 0 and limit == 6:
        return Native("relu6")
    return Native("rectifier", tuple(found.values()))


def checked_parameter(name: str, value: Any, parameter: str, argument: str | None = None) -> float:
    """`value` as a float in the range of a parameter of `name`, a native name.

    Errors call the value by the parameter's name, after `argument` where there is one.
    """
    known_ = {p.name: p for p in rows()[name].parameters}
    what = (
        parameter
        if argument in (None, parameter)
        else f"{argument}, {parameter} of {_SHOWN_AS.get(name, name)}"
    )
    return known_[parameter].checked(value, what)


def _shown(found: Native) -> str:
    """The word of an activation: only parameters that are not the defaults are in it."""
    name = _SHOWN_AS.get(found.name, found.name)
    if not found.parameters:
        return name
    row = rows()[found.name]
    given = ", ".join(
        f"{p.name}={value!r}"
        for p, value in zip(row.parameters, found.parameters, strict=True)
        if value != p.default
    )
    return f"{name}({given})"
