"""Calls that are interrupted at each line of the package in turn, by a tracer that raises."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import fastnn

PACKAGE = str(Path(fastnn.__file__).parent)


class Interrupt(BaseException):
    """As KeyboardInterrupt, which pytest would take for the user's."""


class _Tracer:
    """Raises Interrupt at event number `at` of those in the package.

    Events of one place count as often as `times`; loops over layers go through their lines again
    and again.
    """

    def __init__(self, at: int, opcodes: bool, times: int | None) -> None:
        self.at = at
        self.opcodes = opcodes
        self.times = sys.maxsize if times is None else times
        self.seen = 0
        self.known: dict[object, int] = {}

    def __call__(self, frame: FrameType, _event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = self.opcodes
        return self.within

    def within(self, frame: FrameType, event: str, _: Any) -> Any:
        if event in ("line", "return", "opcode"):
            place = frame.f_code, frame.f_lasti if self.opcodes else frame.f_lineno, event
            times = self.known.get(place, 0)
            if times < self.times:
                self.known[place] = times + 1
                self.seen += 1
                if self.seen == self.at:
                    sys.settrace(None)
                    raise Interrupt
        return self.within


def _reached(call: Callable[[], object], at: int, opcodes: bool, times: int | None) -> bool:
    """Whether the call came as far as that event, where it was interrupted."""
    tracer = _Tracer(at, opcodes, times)
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        call()
    except Interrupt:
        pass
    finally:
        sys.settrace(before)
    return tracer.seen >= at


def everywhere(
    start: Callable[[], Any],
    call: Callable[[Any], object],
    *,
    opcodes: bool = False,
    step: int = 1,
    times: int | None = None,
) -> Iterator[Any]:
    """For each event of `call(start())`, what `start` made, after the interruption there.

    With `opcodes` events are those of the byte code. Every `step`-th event is taken, and of those at
    one place the first `times`; None: all.
    """
    at = 1
    while True:
        made = start()
        if not _reached(lambda made=made: call(made), at, opcodes, times):
            assert at > 1
            return
        yield made
        at += step
