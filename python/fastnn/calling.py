"""Calls under way in this thread: of which models and layers, in training or not, and in which dtype.

Layers and models with a `call` of a program's own say here that it runs. What is called inside
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
from typing import Any, NamedTuple


class Untraceable(TypeError):
    """An operation on symbols that is no part of a graph of layers."""


class Calling(NamedTuple):
    """The calls of one thread."""

    holders: tuple[Any, ...] = ()  # layers and models, the outermost first
    # Layers of a program's own among them that are being traced: what they call belongs to them.
    within: tuple[Any, ...] = ()
    training: bool = False
    dtype: str | None = None  # None: that of each layer
    tracing: bool = False  # whether it is given symbols
    call: object = None  # of the outermost: what it added belongs together
    keys: Any = None  # the Source of keys of what is made inside; None: the seed of the program

    def inside(
        self, holder: Any, training: bool, dtype: str | None, tracing: bool, keys: Any = None
    ) -> Calling:
        """The calls within one of `holder`, which remembers of which call that is a part."""
        call = self.call if self.holders else object()
        vars(holder)["_entered"] = call
        holders = (*self.holders, holder)
        return Calling(holders, self.within, training, dtype, tracing, call, keys or self.keys)


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


def refuse_in_trace(what: str) -> None:
    """Untraceable where this thread traces: `what` would happen once, and not at each step."""
    if now().tracing:
        raise Untraceable(what)
