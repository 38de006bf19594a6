"""Exclusive: one call at a time trains a model, and no other thread uses the model meanwhile."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class _Training:
    """A call that trains: what it is called, in which process and thread, and its frame."""

    def __init__(self, doing: str, call: FrameType) -> None:
        self.doing = doing
        self.by = _here()
        self.call = call

    def goes_on(self) -> bool:
        """Whether the call has not ended. A signal's handler may raise between any two lines, also
        between those that would say so; in the child of a fork it did not come along.
        """
        process, thread = self.by
        if process != os.getpid():
            return False
        frame = sys._current_frames().get(thread)
        while frame is not None and frame is not self.call:
            frame = frame.f_back
        return frame is not None


class Exclusive:
    """Which thread trains a model: one at a time, and nobody else uses the model meanwhile."""

    def __init__(self) -> None:
        self._now: dict[str, _Training] = {}  # one at most: setdefault is atomic

    @contextmanager
    def training(self, doing: str) -> Iterator[None]:
        """Holds the model for the call whose body this is in; RuntimeError at once if it is held."""
        # This function, contextlib's, the caller.
        mine = _Training(doing, sys._getframe(2))
        try:
            self._under_way()
            held = self._now.setdefault("now", mine)
            if held is not mine:
                where = ", which called this" if held.by == mine.by else " in another thread"
                raise RuntimeError(
                    f"{doing}: this model is in a {held.doing} already{where}; "
                    "one at a time may change a model"
                )
            yield
        finally:
            if self._now.get("now") is mine:
                self._now.clear()

    def _under_way(self) -> _Training | None:
        held = self._now.get("now")
        if held is None or held.goes_on():
            return held
        self._now.clear()
        return None

    def refuse_others(self, doing: str) -> None:
        """RuntimeError where another thread trains the model; its own callbacks may go on."""
        held = self._under_way()
        if held is not None and held.by != _here():
            raise RuntimeError(f"{doing}: this model is in a {held.doing} in another thread")

    def refuse_all(self, doing: str) -> None:
        """RuntimeError where the model is being trained, also by this thread."""
        self.refuse_others(doing)
        held = self._under_way()
        if held is not None:
            raise RuntimeError(f"{doing}: not possible during {held.doing} of the same model")


def _here() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()
