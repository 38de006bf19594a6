"""Classes and functions of a program's own that configs and model files may name.

A file names such a class and never holds its code: to read the file, a program registers the class,
or passes it as `custom_objects`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

from fastnn.listing import names_of

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "register_serializable",
]

__dir__ = names_of(__all__)

Object = TypeVar("Object", bound=Callable[..., Any])

_registered: dict[str, Any] = {}  # by "package>name"
_names: dict[Any, str] = {}
_scopes: ContextVar[tuple[Mapping[str, Any], ...]] = ContextVar("custom_objects", default=())
_seen: ContextVar[dict[str, Any] | None] = ContextVar("named_classes", default=None)


def register_serializable(
    package: str = "Custom", name: str | None = None
) -> Callable[[Object], Object]:
    """Decorates a class or a function so that configs and model files may name it.

        >>> import fastnn
        >>> @fastnn.register_serializable()
        ... class Cubic(fastnn.losses.Loss):
        ...     def call(self, y_true, y_pred):
        ...         return fastnn.math.abs(y_true - y_pred) ** 3
        >>> fastnn.saving.get_registered_name(Cubic)
        'Custom>Cubic'

    A program that reads the file registers the class likewise. Whoever registers another class
    under the same name replaces the former one, as in Keras.

    Args:
        package: stands before the name, so that classes of different packages differ.
        name: the name; None: that of the class or function.

    Raises:
        TypeError: what is decorated is neither a class nor a function.
        ValueError: a class has no `get_config`; package or name has ">" in it.
    """
    if ">" in package or ">" in (name or ""):
        raise ValueError(f"register_serializable: '>' is not for names, got {package!r}, {name!r}")

    def register(given: Object) -> Object:
        if not callable(given):
            raise TypeError(f"register_serializable: expected a class or a function, got {given!r}")
        if isinstance(given, type) and not hasattr(given, "get_config"):
            raise ValueError(f"register_serializable: {given.__name__} has no get_config()")
        full = f"{package}>{name or given.__name__}"
        former = _registered.get(full)
        if former is not None:
            _names.pop(former, None)
        _registered[full] = given
        _names[given] = full
        return given

    return register


def get_registered_name(obj: Any) -> str:
    """The name under which a class or function `obj` is registered; its own name if it is not.

    >>> fastnn.saving.get_registered_name(fastnn.layers.Dense)
    'Dense'
    """
    try:
        known = _names.get(obj)
    except TypeError:  # not hashable, so never registered
        known = None
    return str(obj.__name__) if known is None else known


def get_registered_object(
    name: str,
    custom_objects: Mapping[str, Any] | None = None,
    module_objects: Mapping[str, Any] | None = None,
) -> Any:
    """The class or function that a name means; None where it means none.

        >>> @fastnn.register_serializable("Doc")
        ... def twice(x):
        ...     return 2 * x
        >>> fastnn.saving.get_registered_object("Doc>twice") is twice
        True
        >>> fastnn.saving.get_registered_object("Doc>thrice") is None
        True

    It is looked up in the scopes of `custom_object_scope`, in what is registered, then in the
    dictionaries `custom_objects` and `module_objects`.
    """
    short = name.rpartition(">")[2]
    for known in (
        *reversed(_scopes.get()),
        _registered,
        custom_objects or {},
        module_objects or {},
    ):
        if name in known:
            return known[name]
        if known is not _registered and short in known:
            return known[short]
    return None


def get_custom_objects() -> dict[str, Any]:
    """All that is registered, by "package>name": a copy.

    >>> @fastnn.register_serializable("Doc")
    ... def half(x):
    ...     return x / 2
    >>> fastnn.saving.get_custom_objects()["Doc>half"] is half
    True
    """
    return dict(_registered)


@contextlib.contextmanager
def custom_object_scope(custom_objects: Mapping[str, Any]) -> Iterator[None]:
    """While it lasts, configs and model files may name these classes and functions.

        >>> def soft(x):
        ...     return x / 2
        >>> with fastnn.saving.custom_object_scope({"soft": soft}):
        ...     fastnn.saving.get_registered_object("soft") is soft
        True

    Args:
        custom_objects: classes and functions by name.

    Raises:
        TypeError: it is no dictionary.
    """
    if not isinstance(custom_objects, Mapping):
        raise TypeError(f"custom_objects: expected a dictionary, got {custom_objects!r}")
    token = _scopes.set((*_scopes.get(), dict(custom_objects)))
    try:
        yield
    finally:
        _scopes.reset(token)


CustomObjectScope = custom_object_scope

# -- as configs hold them


def is_of_fastnn(obj: Any) -> bool:
    """Whether a class or function is of this package."""
    return is_module_of_fastnn(getattr(obj, "__module__", ""))


def is_module_of_fastnn(module: object) -> bool:
    """Whether this names a module of this package."""
    return isinstance(module, str) and (module == "fastnn" or module.startswith("fastnn."))


def class_described(cls: type) -> dict[str, Any]:
    """The name of a class, as configs hold it; that of another package has its module beside it."""
    if is_of_fastnn(cls):
        return {"class_name": cls.__name__}
    name = get_registered_name(cls)
    named = _seen.get()
    if named is not None:
        named[name] = cls
    return {"class_name": name, "module": str(cls.__module__)}


@contextlib.contextmanager
def named_classes() -> Iterator[dict[str, Any]]:
    """The classes of a program's own that configs name which are made meanwhile."""
    found: dict[str, Any] = {}
    token = _seen.set(found)
    try:
        yield found
    finally:
        _seen.reset(token)


def described(value: Any) -> dict[str, Any]:
    """An object with `get_config`, as configs hold it."""
    return {**class_described(type(value)), "config": value.get_config()}


def is_described(value: Any) -> bool:
    """Whether a config has this form."""
    return isinstance(value, Mapping) and {"class_name", "config"} <= set(value) <= {
        *("class_name", "config", "module", "registered_name")
    }


def own_class(described: Mapping[str, Any], what: str, base: type) -> Any:
    """The class of a program's own that a described object is of; None: it is one of this package.

    Raises:
        ValueError: no such class is known, or it is of another kind.
    """
    name = described["class_name"]
    if not isinstance(name, str):
        raise TypeError(f"{what}: class_name: expected a string, got {name!r}")
    if is_module_of_fastnn(described.get("module")):
        return None
    found = get_registered_object(name)
    if found is None:
        if "module" in described or ">" in name:
            raise ValueError(unknown_own(what, "class", name))
        return None
    if not isinstance(found, type) or not issubclass(found, base):
        raise TypeError(f"{what}: {name!r} means {found!r}, which is no {base.__name__}")
    return found


def unknown_own(what: str, kind: str, name: str) -> str:
    """The message for a class or function of a program's own that is not known."""
    short = name.rpartition(">")[2]
    return (
        f"{what}: the {kind} {name!r} is not known here: register it by "
        f"@fastnn.register_serializable(), or pass custom_objects={{{short!r}: {short}}}"
    )


def function_described(what: str, function: Any) -> dict[str, Any]:
    """A function as configs hold it: by its name.

    Raises:
        TypeError: it has none by which it could be found, as a lambda.
    """
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise TypeError(
            f"{what}: {function!r} has no name that a config could hold; define it by `def`, and "
            "register it by @fastnn.register_serializable()"
        )
    return {"function": get_registered_name(function)}


def function_of(what: str, described: Mapping[str, Any]) -> Any:
    """The function that `function_described` names; ValueError where it is not known."""
    name = described["function"]
    found = get_registered_object(name) if isinstance(name, str) else None
    if found is None or not callable(found):
        raise ValueError(unknown_own(what, "function", str(name)))
    return found
