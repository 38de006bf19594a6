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
    """Raises Interrupt at event number `at` of those in the package."""

    def __init__(self, at: int, opcodes: bool) -> None:
        self.at = at
        self.opcodes = opcodes
        self.seen = 0

    def __call__(self, frame: FrameType, _event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = self.opcodes
        return self.within

    def within(self, _frame: FrameType, event: str, _: Any) -> Any:
        if event in ("line", "return", "opcode"):
            self.seen += 1
            if self.seen == self.at:
                sys.settrace(None)
                raise Interrupt
        return self.within


def _reached(call: Callable[[], object], at: int, opcodes: bool) -> bool:
    """Whether the call came as far as that event, where it was interrupted."""
    tracer = _Tracer(at, opcodes)
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
    start: Callable[[], Any], call: Callable[[Any], object], *, opcodes: bool = False, step: int = 1
) -> Iterator[Any]:
    """For each event of `call(start())`, what `start` made, after the interruption there.

    With `opcodes` events are those of the byte code. Every `step`-th event is taken.
    """
    at = 1
    while True:
        made = start()
        if not _reached(lambda made=made: call(made), at, opcodes):
            assert at > 1
            return
        yield made
        at += step
