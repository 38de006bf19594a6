"""What `dir()`, and so the completion of names in notebooks, shows of modules and objects.

Members without an underscore that modules of the package use among themselves are the inside:
they are left out. They work as before; nothing is hidden from code.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar


def names_of(public: Sequence[str]) -> Callable[[], list[str]]:
    """The `__dir__` of a module: `__dir__ = names_of(__all__)`."""
    return lambda: sorted(public)


class Lists(ABCMeta):
    """The class of Listed classes, which tells `dir()` of them what it tells of their objects.

    Completion at Python's own prompt looks into classes, too. It is an ABCMeta, so that classes may
    also derive from abstract ones.
    """

    def __dir__(cls) -> list[str]:
        members: type[Listed] = cls  # type: ignore[assignment]
        return _public(members, super().__dir__())

    # No class is registered as one of these, and an ABCMeta would look for such, which takes long.
    __instancecheck__ = type.__instancecheck__
    __subclasscheck__ = type.__subclasscheck__


class Listed(metaclass=Lists):
    """A class that tells `dir()` which of its members are the inside."""

    __slots__ = ()

    # Members, beside those of base classes, that are no part of the interface.
    _inside: ClassVar[Iterable[str]] = ()

    def __dir__(self) -> list[str]:
        return _public(type(self), super().__dir__())

    @classmethod
    def _shown(cls) -> Iterable[str]:
        """Members that are shown although a base class calls them the inside."""
        return ()


def _public(cls: type[Listed], names: Iterable[str]) -> list[str]:
    inside = {name for base in cls.__mro__ for name in vars(base).get("_inside", ())}
    inside -= set(cls._shown())
    return sorted(
        name
        for name in names
        if name not in inside and (not name.startswith("_") or name.startswith("__"))
    )
