"""Calls of models under way in this thread: in training or not, on symbols or numbers, by which seed.

Models with a `call` of a program's own say here that it runs. What is called inside
reads it: a layer that is not told `training` takes that of the call around it, as in Keras.

A call is entered in a `with` whose last part is the lock of this entry alone:

    with entered(calling) as lock, lock:
        ...

C code takes and releases the lock, and CPython handles no signal between that code and the block. So
an exception that is raised anywhere, by a signal too, leaves no call behind: an entry whose lock is
free counts for nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

R = TypeVar("R")


class Untraceable(TypeError):
    """An operation on symbols that is no part of a graph of layers."""


class MadeHere(ValueError):
    """A layer with weights was made in the call that uses it."""


class Calling(NamedTuple):
    """The calls of one thread."""

    training: bool = False
    tracing: bool = False  # whether the call is given symbols
    keys: Any = None  # the Source of keys of what is made inside; None: the seed of the program
    dtype: Any = None  # of parameters that are made inside; None: no model says
    outermost: object = None  # one object for all calls within the same outermost one
    building: bool = False  # whether it is a `build`, which makes layers and weights to keep
    changed: Any = None  # a list of what `trial` puts back; None: changes are kept

    def inside(self, training: bool, tracing: bool, keys: Any = None, dtype: Any = None) -> Calling:
        """The calls within one that is made now."""
        return Calling(
            training,
            self.tracing or tracing,
            keys or self.keys,
            dtype or self.dtype,
            self.outermost or object(),
            changed=self.changed,
        )


class _Entry:
    """A call that was entered, and the entry around it."""

    __slots__ = ("calling", "lock", "outer")

    def __init__(self, calling: Calling, outer: _Entry | None) -> None:
        self.calling = calling
        self.lock = threading.Lock()
        self.outer = outer


class _Now(threading.local):
    entry: _Entry | None = None


_now = _Now()
_NOTHING = Calling()


def now() -> Calling:
    """The calls of this thread."""
    entry = _now.entry
    if entry is None:
        return _NOTHING
    while entry is not None and not entry.lock.locked():  # an exception left it
        entry = entry.outer
    return _NOTHING if entry is None else entry.calling


class entered:
    """In this `with` block, these are the calls of the thread; see the module."""

    __slots__ = ("_calling", "_outer")

    def __init__(self, calling: Calling) -> None:
        self._calling = calling
        self._outer: _Entry | None = None

    def __enter__(self) -> threading.Lock:
        outer = _now.entry
        while outer is not None and not outer.lock.locked():
            outer = outer.outer
        self._outer = outer
        entry = _Entry(self._calling, outer)
        _now.entry = entry
        return entry.lock

    def __exit__(self, *_: object) -> None:
        _now.entry = self._outer


def trial(function: Callable[[], R]) -> R:
    """What a call gives that is made to see this alone: Variables get the values before back.

    Layers and weights that it makes are kept, with the values that they began with.
    """
    changed: list[tuple[Any, Any]] = []
    here = now()._replace(tracing=False)
    try:
        with entered(here._replace(changed=changed)) as lock, lock:
            return function()
    finally:
        with entered(here._replace(changed=None)) as lock, lock:
            for variable, values in reversed(changed):
                variable.assign(values)


def changes(variable: Any) -> None:
    """Notes the values of a Variable that is about to be written, where `trial` puts them back."""
    changed = now().changed
    if changed is not None:
        changed.append((variable, variable.numpy()))


def made_in() -> object:
    """The outermost call in which a layer or model is made now; None: in no call, or in a `build`."""
    calling = now()
    return None if calling.building else calling.outermost


def refuse_made_here(part: Any) -> None:
    """MadeHere where a layer or model with weights was made in the call that uses it.

    Each call would make another one with other weights.
    """
    if part._made_in is not None and part._made_in is now().outermost:
        kind = type(part).__name__
        raise MadeHere(
            f"layer {part.name!r}: this {kind} was made in the `call` that uses it, so each call would "
            f"begin with other weights: make it in __init__ or build, and keep it as an attribute "
            f"(self.layer = {kind}(...))"
        )
