"""Copies of a state that Python code trains, to go back to when a loss is no longer a number.

The rules are those of native training (csrc/nn/snapshot.h), but for the count of steps from one
copy to the next: a step over a tape has costs of its own, which depend on the number of arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Generic, TypeVar

State = TypeVar("State")

_STEPS = 100  # as long as a copy, if they are to be 99 % of the time
_FEWEST = 100  # a loss takes some tens of steps to grow from a good one to infinity
_GROWS, _MOST_LEFT_OUT = 3.0, 50


def steps_between_copies(elements: int, arrays: int) -> int:
    """The steps from one copy to the next, by the shape of the model alone.

    Args:
        elements: numbers that are copied.
        arrays: arrays in which they lie.
    """
    # In microseconds: an array takes two to be copied, ten to be differentiated and stepped.
    copy = 2 * arrays + elements / 1000
    step = 50 + 10 * arrays + elements / 2000
    return max(_FEWEST, math.ceil(_STEPS * copy / step))


class Snapshots(Generic[State]):
    """Two copies: the older one was followed by a whole interval of steps with finite losses."""

    def __init__(self, interval: int, copy: Callable[[], State]) -> None:
        self._interval = interval
        self._copy = copy
        self._held: list[tuple[int, State]] = []  # steps and state, the older first
        self._steps = self._passed = self._left_out = 0
        self._sum = 0.0
        self._reference: float | None = None  # the mean loss before the newer copy

    def before_step(self) -> None:
        """Copies the state where that is due and the loss does not grow."""
        if self._held and self._passed < self._interval:
            return
        mean = self._sum / self._passed if self._passed else None
        self._passed, self._sum = 0, 0.0
        if mean is not None and self._grows(mean):
            self._left_out += 1
            return
        self._held = [*self._held[-1:], (self._steps, self._copy())]
        self._reference, self._left_out = mean, 0

    def _grows(self, mean: float) -> bool:
        before = self._reference
        if before is None or self._left_out >= _MOST_LEFT_OUT:
            return False
        return mean - before > _GROWS * abs(before)

    def after_step(self, loss: float) -> None:
        """A step had this loss, which is finite, or 0 where it is not known."""
        self._steps += 1
        self._passed += 1
        self._sum += loss

    def last_good(self) -> tuple[int, State]:
        """The steps since the older copy, or the only one, and its state."""
        steps, state = self._held[0]
        return self._steps - steps, state
