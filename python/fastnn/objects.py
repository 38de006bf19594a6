"""Objects of any kind as JSON can hold them, and back, under Keras's names.

Classes of one's own use them in `get_config`, `get_compile_config` and their opposites, for layers,
optimizers, losses or models among their options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastnn.listing import names_of
from fastnn.registry import FAMILIES, Registered
from fastnn.serializable import (
    custom_object_scope,
    described,
    function_described,
    function_of,
    get_registered_object,
    is_module_of_fastnn,
    is_of_fastnn,
    unknown_own,
)
from fastnn.words import keywords

__all__ = ["deserialize_keras_object", "serialize_keras_object"]

__dir__ = names_of(__all__)

_FUNCTION, _ARRAY = "function", "__numpy__"


class Kind(NamedTuple):
    """Objects whose configs have more than their options, as models do."""

    base: type
    described: Callable[[Any], dict[str, Any]]
    made: Callable[[Mapping[str, Any]], Any]
    knows: Callable[[str], bool]  # whether a class of this package has the name


KINDS: list[Kind] = []


@keywords()
def serialize_keras_object(obj: Any) -> Any:
    """`obj` as numbers, words, lists and dictionaries, for `deserialize_keras_object`.

        >>> import fastnn
        >>> told = fastnn.saving.serialize_keras_object(fastnn.losses.Huber(0.5))
        >>> told["module"], told["class_name"]
        ('fastnn.losses', 'Huber')
        >>> fastnn.saving.deserialize_keras_object(told).delta
        0.5

    Lists, tuples and dictionaries are told part by part, functions and classes of one's own by the
    names under which they are registered (`fastnn.register_serializable`).

    Raises:
        TypeError: it has no config, as a lambda.
    """
    if obj is None or isinstance(obj, (bool, int, float, str)):
        return float(obj) if isinstance(obj, float) else obj
    if isinstance(obj, (list, tuple)):
        parts = map(serialize_keras_object, obj)
        return tuple(parts) if isinstance(obj, tuple) else list(parts)
    if isinstance(obj, Mapping):
        return {str(name): serialize_keras_object(part) for name, part in obj.items()}
    if isinstance(obj, np.generic):
        return obj.item()
    if isinstance(obj, np.ndarray):
        if obj.dtype.kind not in "biuf":
            raise TypeError(f"serialize_keras_object: an array of {obj.dtype} has no config")
        return {
            "class_name": _ARRAY,
            "config": {"value": obj.tolist(), "dtype": obj.dtype.name},
        }
    for kind in KINDS:
        if isinstance(obj, kind.base):
            return kind.described(obj)
    if isinstance(obj, Registered) or (not callable(obj) and hasattr(obj, "get_config")):
        told = described(obj)
        told["config"] = serialize_keras_object(told["config"])
        return _with_module(told, type(obj))
    if hasattr(obj, "__name__") and callable(obj) and not is_of_fastnn(obj):
        named = function_described("serialize_keras_object", obj)["function"]
        return {"class_name": _FUNCTION, "config": named}
    raise TypeError(f"serialize_keras_object: {obj!r:.100} has no config")


def _with_module(told: dict[str, Any], cls: type) -> dict[str, Any]:
    """Names of this package may mean a loss and a metric; the module tells which."""
    if is_of_fastnn(cls):
        told = {"module": ".".join(cls.__module__.split(".")[:2]), **told}
    return told


@keywords()
def deserialize_keras_object(
    config: Any, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True
) -> Any:
    """The object that `serialize_keras_object` described; no code of a config is ever run.

        >>> told = fastnn.saving.serialize_keras_object(fastnn.losses.Huber(0.5))
        >>> fastnn.saving.deserialize_keras_object(told).delta
        0.5

    Args:
        config: what it gave.
        custom_objects: classes and functions of one's own that it names; those that are registered
            are known without.
        safe_mode: True alone.

    Raises:
        ValueError: a class or function is not known, or an option is wrong.
        TypeError: it is no such config.
    """
    if safe_mode is not True:
        raise ValueError("safe_mode: expected True: no config holds code that could be run")
    with custom_object_scope(custom_objects or {}):
        return _made(config)


def _made(config: Any) -> Any:
    if isinstance(config, (list, tuple)):
        return tuple(map(_made, config)) if isinstance(config, tuple) else list(map(_made, config))
    if not isinstance(config, Mapping):
        return config
    name = config.get("class_name")
    if not isinstance(name, str) or "config" not in config:
        return {key: _made(part) for key, part in config.items()}
    options = config["config"]
    if name == _FUNCTION:
        return function_of("deserialize_keras_object", {"function": options})
    if name == _ARRAY:
        return np.array(options["value"], options["dtype"])
    module = str(config.get("module") or "")
    own = None if is_module_of_fastnn(module) else get_registered_object(name)
    for kind in KINDS:
        if (isinstance(own, type) and issubclass(own, kind.base)) or (
            own is None and kind.knows(name)
        ):
            return kind.made(config)
    if own is None:
        own = _of_fastnn(name, module)
    if not isinstance(own, type) or not hasattr(own, "from_config"):
        raise TypeError(
            f"deserialize_keras_object: {name!r} means {own!r}, which has no from_config"
        )
    if not isinstance(options, Mapping):
        raise TypeError(f"{name}: config: expected a dictionary, got {options!r:.100}")
    return own.from_config(options)


def _of_fastnn(name: str, module: str) -> Any:
    """The class of this package that a name, and the module of its family, mean."""
    if module and not is_module_of_fastnn(module):
        raise ValueError(unknown_own("deserialize_keras_object", "class", name))
    found = {registry.names[name] for registry in FAMILIES.values() if name in registry.names}
    found = {cls for cls in found if f"{cls.__module__}.".startswith(module and f"{module}.")}
    if len(found) > 1:
        families = ", ".join(sorted(_with_module({}, cls)["module"] for cls in found))
        raise ValueError(
            f"deserialize_keras_object: {name!r} may be of {families}; the config has no 'module'"
        )
    if not found:
        raise ValueError(unknown_own("deserialize_keras_object", "class", name))
    return found.pop()
