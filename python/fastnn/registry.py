"""Registered classes: their options and configs, and one table of names for each family of them.

A class with options derives from `Registered`, and gets `get_config` and `from_config` from the
signature of its constructor. Its options are `Checked` attributes. `Registry.register` stands above
the class with its names, so a class is added in one place. The families themselves (losses,
optimizers, ...) are declared beside their base classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

import numpy as np

from fastnn.listing import Listed
from fastnn.serializable import (
    custom_object_scope,
    described,
    function_described,
    is_described,
    own_class,
)
from fastnn.words import choose, refuse_elsewhere, unknown_keyword, without_nothing

_TAKES_KEYWORDS = 0x08  # CO_VARKEYWORDS of a code object; `inspect` would cost the import too much


Value = TypeVar("Value")


class Checked(Generic[Value]):
    """An option as an attribute that is checked whenever it is set, in the constructor and later.

    Args:
        check: (name, value) -> the value to keep; it raises an error that has the name in it.
    """

    def __init__(self, check: Callable[[str, Any], Value]) -> None:
        self.check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, holder: None, owner: type) -> Self: ...
    @overload
    def __get__(self, holder: object, owner: type) -> Value: ...
    def __get__(self, holder: object | None, owner: type) -> Self | Value:
        if holder is None:
            return self
        try:
            kept: Value = vars(holder)[self.name]
        except KeyError:
            raise AttributeError(f"{owner.__name__} has no {self.name} yet") from None
        return kept

    def __set__(self, holder: Any, value: Any) -> None:
        vars(holder)[self.name] = self.checked(holder, value)

    def checked(self, _holder: Any, value: Any) -> Value:
        """The value to keep; for checks that ask the object, too."""
        return self.check(self.name, value)


class Registered(Listed):
    """A class with options, each kept as the attribute that has the argument's name."""

    # Arguments kept under another name; None: another argument holds the same option.
    _kept_as: ClassVar[Mapping[str, str | None]] = {}
    # Former names of arguments, which the constructor takes too (`words.keywords`).
    _old_names: ClassVar[Mapping[str, str]] = {}
    # Arguments that the `**` of this class's own constructor takes.
    _in_keywords: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def _arguments(cls) -> tuple[str, ...]:
        """Names of the constructor's arguments; `**` stands for those of the next base class."""
        names: dict[str, None] = {}
        for base in cls.__mro__:
            if "__init__" in vars(base):
                code = _code(vars(base)["__init__"])
                count = 0 if code is None else code.co_argcount + code.co_kwonlyargcount
                if code is None or count == 0:
                    break
                names |= dict.fromkeys(code.co_varnames[1:count])
                if not code.co_flags & _TAKES_KEYWORDS:
                    break
                names |= dict.fromkeys(vars(base).get("_in_keywords", ()))
        return tuple(names)

    @classmethod
    def _shown(cls) -> list[str]:
        return [name for name in cls._arguments() if cls._kept_as.get(name, name) == name]

    def get_config(self) -> dict[str, Any]:
        """The options, as JSON can hold them: `from_config` makes an equal object from them.

            >>> fastnn.losses.Huber(2.0).get_config()
            {'delta': 2.0, ...}

        Raises:
            TypeError: an argument is not kept as an attribute, or JSON cannot hold it. Such a
                class has to override `get_config`.
        """
        where = f"{type(self).__name__}.get_config"
        config = {}
        for name in self._arguments():
            attribute = self._kept_as.get(name, name)
            if attribute is None:
                continue
            if not hasattr(self, attribute):
                raise TypeError(
                    f"{where}: the argument {name!r} is not kept as an attribute of that name"
                )
            config[name] = plain(f"{where}: {name}", getattr(self, attribute))
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """An object with the options that `get_config` gave.

            >>> fastnn.losses.Huber.from_config({"delta": 2.0}).delta
            2.0

        Raises:
            TypeError: the config is no dictionary.
            ValueError: an option is unknown (with the near match), or out of range.
        """
        where = f"{cls.__name__}.from_config"
        if not isinstance(config, Mapping):
            raise TypeError(f"{where}: expected a dictionary, got {config!r}")
        known = (*cls._arguments(), *cls._old_names)
        options = without_nothing(config, known)
        for name in options:
            if name not in known:
                raise ValueError(unknown_keyword(where, str(name), known))
        return cls(**options)


def _code(function: Any) -> CodeType | None:
    """The code object under decorators such as `words.keywords`; None for C functions."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code: CodeType | None = getattr(function, "__code__", None)
    return code


def plain(where: str, value: object) -> Any:
    """`value` as numbers, strings, lists and dictionaries."""
    if isinstance(value, float):
        return float(value)  # a subclass, such as a learning rate, becomes a plain number
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Registered):
        return described(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(where, part) for part in value]
    if isinstance(value, Mapping):
        return {str(key): plain(where, part) for key, part in value.items()}
    if callable(value) and where.endswith(": activation"):
        return function_described(where, value)
    raise TypeError(f"{where}: a {type(value).__name__} has no config")


Base = TypeVar("Base", bound=Registered)
Kind = TypeVar("Kind", bound=Registered)


class Registry(Generic[Base]):
    """The classes of a family by name, class name and aliases.

    Args:
        family: the word for it in messages, for example "loss", and in `elsewhere`.
        base: the base class of the family.
    """

    def __init__(self, family: str, base: type[Base]) -> None:
        self.family = family
        self.base = base
        self.classes: dict[str, type[Base]] = {}  # by the first name
        self.names: dict[str, type[Base]] = {}  # by every name
        FAMILIES[family] = self

    def register(self, name: str, *aliases: str) -> Callable[[type[Kind]], type[Kind]]:
        """Decorates a class of the family: `name`, the class's own name and `aliases` mean it."""

        def add(cls: type[Kind]) -> type[Kind]:
            member: type[Registered] = cls
            assert issubclass(member, self.base)
            self.classes[name] = member
            for known in (name, member.__name__, *aliases):
                assert self.names.get(known, member) is member, f"{known} has two meanings"
                self.names[known] = member
            return cls

        return add

    def find(
        self,
        name: object,
        what: str | None = None,
        also: Mapping[str, type[Base]] | None = None,
    ) -> type[Base]:
        """The class that a name means; `what` stands for the family in messages.

        `also`: further names that the caller knows.

        Raises:
            ValueError: the name is unknown (with the near match), or one of Keras alone.
            TypeError: the name is not a string.
        """
        what = what or self.family
        known = {**self.names, **(also or {})}
        if isinstance(name, str) and name not in known:
            refuse_elsewhere(what, self.family, name)
        return choose(what, name, known)

    def serialize(self, obj: Base) -> dict[str, Any]:
        """An object of the family as {"class_name", "config"}, for `deserialize`; as in Keras.

        Raises:
            TypeError: it is none of the family, or has no config, as a function has none.
        """
        if not isinstance(obj, self.base):
            raise TypeError(
                f"serialize: expected an object of {self.base.__name__}, got {obj!r:.100}"
            )
        return described(obj)

    def deserialize(self, config: object, custom_objects: Mapping[str, Any] | None = None) -> Base:
        """The object that `serialize` described, or that a name means.

        Args:
            config: what `serialize` gave, or a name.
            custom_objects: classes of one's own that it names.

        Raises:
            TypeError, ValueError: it is no such config; the message names the fault.
        """
        with custom_object_scope(custom_objects or {}):
            return self.get(config)

    def get(
        self,
        identifier: object,
        what: str | None = None,
        also: Mapping[str, type[Base]] | None = None,
    ) -> Base:
        """The object that a name, a class, {"class_name", "config"} or the object itself means.

        `what`, `also`, and errors: see `find`.
        """
        if isinstance(identifier, self.base):
            return identifier
        if isinstance(identifier, type) and issubclass(identifier, self.base):
            if identifier is not self.base:
                return identifier()
        elif isinstance(identifier, Mapping) and is_described(identifier):
            cls = own_class(identifier, what or self.family, self.base)
            if cls is None:
                cls = self.find(identifier["class_name"], what)
            made: Base = cls.from_config(identifier["config"])
            return made
        cls = self.find(identifier, what, also)
        try:
            return cls()
        except TypeError as error:
            if "required" not in str(error):
                raise
            raise ValueError(
                f"{what or self.family}: {identifier!r} has arguments without a default; pass an "
                f"object, {cls.__name__}(...)"
            ) from error


FAMILIES: dict[str, Registry[Any]] = {}
