"""Arguments of constructors of a program's own, as configs hold them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastnn.models.parts import Parted
from fastnn.objects import deserialize_keras_object, serialize_keras_object
from fastnn.registry import Registered
from fastnn.serializable import function_described, function_of


def config_of(cls: type, args: Sequence[Any], given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The arguments of a constructor by name, as JSON has them; None: some are something else."""
    try:
        bound = inspect.signature(cls.__init__).bind(None, *args, **given)  # type: ignore[misc]
        found: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[1:]:
            kind = bound.signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                return None
            told = told_value(value)
            found |= told if kind is inspect.Parameter.VAR_KEYWORD else {name: told}
    except (TypeError, NotImplementedError):
        return None
    return found


def told_value(value: Any) -> Any:
    """Numbers, words, lists and dictionaries of such; objects with a config, and functions with a
    name, as dictionaries that tell them.

    Raises:
        TypeError: it is something else.
    """
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)  # of a subclass the plain value
    if isinstance(value, (list, tuple)):
        return [told_value(one) for one in value]
    if isinstance(value, Mapping):
        return {str(name): told_value(one) for name, one in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (Parted, Registered)):
        return serialize_keras_object(value)
    if callable(value) and not isinstance(value, type):
        return function_described("config", value)
    raise TypeError(f"{value!r} has no config")


def value_of(told: Any) -> Any:
    """What `told_value` told.

    Raises:
        ValueError: a class or function is not known.
    """
    if isinstance(told, (list, tuple)):
        return [value_of(one) for one in told]
    if not isinstance(told, Mapping):
        return told
    if {"class_name", "config"} <= set(told):
        return deserialize_keras_object(told)
    if set(told) == {"function"}:
        return function_of("config", told)
    return {name: value_of(one) for name, one in told.items()}
