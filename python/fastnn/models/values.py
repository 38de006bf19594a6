"""Arguments of constructors of a program's own, as configs hold them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from fastnn.objects import deserialize_keras_object, serialize_keras_object


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
    """An argument as JSON has it; TypeError where it has no config."""
    return _listed(serialize_keras_object(value))


def value_of(told: Any) -> Any:
    """What `told_value` told; ValueError where a class or function is not known."""
    return deserialize_keras_object(told)


def _listed(told: Any) -> Any:
    """Tuples as lists, which they are after JSON."""
    if isinstance(told, (list, tuple)):
        return [_listed(one) for one in told]
    if isinstance(told, dict):
        return {name: _listed(one) for name, one in told.items()}
    return told
