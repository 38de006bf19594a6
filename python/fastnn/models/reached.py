"""What the `call` of a class of a program's own can read besides its arguments, found in its code.

The functions that `call` may run are followed by the names in their code: methods, properties, global
functions, closures, partials. What they read are attributes, variables of closures, defaults, names
of modules and of classes, and all that plain objects, lists, dictionaries, sets and arrays among
these hold.

Not seen: what comes from files, the clock, random numbers or iterators, from C code, from classes
of the standard library and code of installed packages; and attributes whose names are computed.
"""

from __future__ import annotations

import array
import collections
import functools
import os
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fastnn.autodiff.tensor import Tensor
from fastnn.layers.base import Layer
from fastnn.layers.symbol import Symbol
from fastnn.models.parts import Parted
from fastnn.models.places import (
    MISSING,
    Celled,
    Mapped,
    Members,
    Named,
    Numbers,
    OfPart,
    Place,
    Several,
    content_of,
)
from fastnn.serializable import is_of_fastnn
from fastnn.variables import Variable

# Objects looked into for one `call`: enough for options and tables, and an end for others.
_MOST = 5000
_OPEN = {"collections", "types", "argparse"}  # of the standard library: plain holders of values
_FOREIGN = {"fastnn", "numpy", *sys.stdlib_module_names} - _OPEN
_FIXED = (
    *(bool, int, float, complex, str, bytes, range, slice, type(None), type(Ellipsis)),
    *(np.generic, np.dtype, Tensor, Variable, Symbol, Layer),
)


class Reached:
    """The places that a call of one part can read, as they are now.

    Attributes:
        places: of values other than attributes of the part.
        attributes: of the part, those that its code names.
        variables_of: layers, models and Variables that are reached, with their names there.
    """

    def __init__(self, part: Any) -> None:
        self.places: list[Place] = []
        self.variables_of: list[tuple[str, Any]] = []
        self._seen: dict[int, Any] = {}
        self._followed: dict[int, types.FunctionType] = {}
        self._names: set[str] = {"function", "arguments"}  # of a Lambda
        self._owners: list[tuple[str, Any]] = [("self", part)]
        self._modules: list[tuple[str, Any]] = []
        self._asked: set[tuple[int, str]] = set()
        self._home = str(type(part).__module__).partition(".")[0]
        for function in self._functions_of(type(part), "call"):
            self._function("call", function)
        self._follow_names()
        self.attributes = OfPart(part, sorted(self._names))

    def _follow_names(self) -> None:
        """Looks for all names in the code among attributes, until there are no others."""
        before = -1
        while before != len(self._asked):
            before = len(self._asked)
            for where, owner in list(self._owners):
                for name in list(self._names):
                    if (id(owner), name) not in self._asked:
                        self._asked.add((id(owner), name))
                        self._attribute(where, owner, name)
            for where, module in list(self._modules):
                for name in list(self._names):
                    if (id(module), name) not in self._asked and name in vars(module):
                        self._asked.add((id(module), name))
                        self._name(f"{where}.", vars(module), name)

    def _attribute(self, where: str, owner: Any, name: str) -> None:
        is_class = isinstance(owner, type)
        cls = owner if is_class else type(owner)
        for function in self._functions_of(cls, name):
            self._function(name, function)
        if not is_class and isinstance(owner, (Parted, Layer)) and name in vars(owner):
            self.value(f"{where}.{name}", vars(owner)[name])
        for base in cls.__mro__:
            if name in vars(base) and not self._is_foreign(base):
                value = vars(base)[name]
                if not any(True for _ in _as_functions(value)):
                    self.places.append(Named(f"{base.__name__}.", base, [name]))
                    self.value(f"{base.__name__}.{name}", value)
                break

    def _function(self, name: str, function: types.FunctionType) -> None:
        if id(function) in self._followed or self._is_foreign(function):
            return
        self._followed[id(function)] = function
        names = set(_names_in(function.__code__))
        self._names |= names
        for free, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            if free == "__class__" or not self._is_new(cell):
                continue
            content = content_of(cell)
            if not self._is_steady(content):
                self.places.append(Celled(free, cell))
            self.value(free, content)
        for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self.value(f"a default of {name}", default)
        space = function.__globals__
        for known in names:
            if known in space:
                self._name("", space, known)

    def _name(self, where: str, space: dict[str, Any], name: str) -> None:
        key = (id(space), f"={name}")
        if key in self._asked:
            return
        self._asked.add(key)
        value = space[name]
        if not self._is_steady(value):
            self.places.append(Named(where, space, [name]))
        self.value(f"{where}{name}", value)

    def _is_new(self, value: Any) -> bool:
        if id(value) in self._seen or len(self._seen) > _MOST:
            return False
        self._seen[id(value)] = value
        return True

    def value(self, name: str, value: Any) -> None:
        """Looks into a value."""
        waiting = collections.deque([(name, value)])
        while waiting:  # the nearest first
            where, one = waiting.popleft()
            if isinstance(one, (Variable, Layer, Parted)):
                self.variables_of.append((where, one))
            if isinstance(one, str) and one.isidentifier():
                self._names.add(one)  # for getattr(self, name)
            if isinstance(one, (*_FIXED, Parted)) or one is MISSING:
                continue
            if self._is_new(one):
                waiting.extend(self._inside(where, one))

    def _inside(self, where: str, value: Any) -> Iterable[tuple[str, Any]]:
        """Makes the places of a value, and gives what is in it."""
        if isinstance(value, dict):
            self.places.append(Mapped(where, value))
            return [(f"{where}[{key!r:.40}]", one) for key, one in list(value.items())]
        if isinstance(value, (list, tuple, collections.deque)):
            if not isinstance(value, tuple):
                self.places.append(Several(where, value))
            return [(f"{where}[{i}]", one) for i, one in enumerate(tuple(value))]
        if isinstance(value, (set, frozenset)):
            if not isinstance(value, frozenset):
                self.places.append(Members(where, value))
            return ()
        if isinstance(value, (np.ndarray, bytearray, array.array)):
            self.places.append(Numbers(where, value))
            return ()
        if isinstance(value, types.MethodType):
            return [(where, value.__func__), (where, value.__self__)]
        if isinstance(value, (functools.partial, functools.partialmethod)):
            return [
                (where, value.func),
                *((where, one) for one in value.args),
                (where, value.keywords),
            ]
        functions = list(_as_functions(value))
        if functions:
            for function in functions:
                self._function(where, function)
            return ()
        if isinstance(value, types.ModuleType):
            if not self._is_foreign(value):
                self._modules.append((where, value))
            return ()
        if isinstance(value, type):
            if not self._is_foreign(value):
                self._owners.append((where, value))
            return ()
        return () if _is_foreign(type(value)) else self._object(where, value)

    def _object(self, where: str, value: Any) -> Iterable[tuple[str, Any]]:
        self._owners.append((where, value))
        held: list[tuple[str, Any]] = []
        if hasattr(value, "__dict__"):
            self.places.append(Mapped(where, vars(value), "{}.{}"))
            held += list(vars(value).items())
        slots = [
            name
            for base in type(value).__mro__
            for name, member in vars(base).items()
            if isinstance(member, types.MemberDescriptorType)
        ]
        if slots:
            self.places.append(Named(f"{where}.", value, slots))
            held += [(name, getattr(value, name, MISSING)) for name in slots]
        return [(f"{where}.{name}", one) for name, one in held]

    # -- whose code it is

    def _is_steady(self, value: Any) -> bool:
        """Whether a name of this value is taken to keep it: a module, or a function or class of one
        that is no part of the program."""
        if isinstance(value, types.ModuleType):
            return True
        code = (type, types.FunctionType, types.BuiltinFunctionType)
        return isinstance(value, code) and self._is_foreign(value)

    def _is_foreign(self, value: Any) -> bool:
        """Whether a module, class or function is of fastnn, NumPy, the standard library, or another
        package that was installed than that of the layer or model."""
        named = value.__name__ if isinstance(value, types.ModuleType) else value.__module__
        package = str(named).partition(".")[0]
        return _is_foreign(value) or (package != self._home and _is_installed(package))

    def _functions_of(self, cls: type, name: str) -> Iterator[types.FunctionType]:
        """The functions of a name in the classes of a program, those that are overridden too."""
        for base in cls.__mro__:
            if name in vars(base) and not self._is_foreign(base):
                yield from _as_functions(vars(base)[name])


def has_code(part: Any) -> bool:
    """Whether a layer or model has code of a program: a class of its own, or a Lambda's function."""
    return isinstance(part, Parted) and not (part.keeps_graph and is_of_fastnn(type(part)))


def _is_foreign(value: Any) -> bool:
    """Whether a module, class or function is of fastnn, NumPy or the standard library."""
    if isinstance(value, types.ModuleType):
        return value.__name__.partition(".")[0] in _FOREIGN | _OPEN
    module = getattr(value, "__module__", None)
    if not isinstance(module, str):
        return False
    if module == "__main__":
        return False
    return module.partition(".")[0] in _FOREIGN and not _is_of_program(value)


def _is_of_program(value: Any) -> bool:
    """Whether a class or function of code that has no name of a module, which then is "builtins"."""
    return getattr(value, "__module__", None) == "builtins" and (
        isinstance(value, types.FunctionType)
        or (isinstance(value, type) and bool(value.__flags__ & (1 << 9)))
    )


@functools.lru_cache(1024)
def _is_installed(package: str) -> bool:
    """Whether a package was installed, other than what a program has beside it."""
    module = sys.modules.get(package)
    paths = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    parts = {part for path in paths if path for part in path.split(os.sep)}  # noqa: PTH206 - pathlib takes long to import
    return bool(parts & {"site-packages", "dist-packages"})


def _as_functions(value: Any) -> Iterator[types.FunctionType]:
    """The Python functions behind a method, a property or a wrapper of one."""
    if isinstance(value, types.FunctionType):
        yield value
    elif isinstance(value, (staticmethod, classmethod)):
        yield from _as_functions(value.__func__)
    elif isinstance(value, property):
        if value.fget is not None:
            yield from _as_functions(value.fget)
    elif isinstance(value, functools.cached_property):
        yield from _as_functions(value.func)
    elif hasattr(type(value), "__wrapped__") or "__wrapped__" in getattr(value, "__dict__", ()):
        yield from _as_functions(value.__wrapped__)


@functools.lru_cache(1024)
def _names_in(code: types.CodeType) -> tuple[str, ...]:
    """Names of attributes and global names, and words that may be such, also of functions in it."""
    found = {*code.co_names}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= set(_names_in(constant))
        elif isinstance(constant, str) and constant.isidentifier():
            found.add(constant)
    return tuple(sorted(found))
