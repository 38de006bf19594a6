"""The mathematics of L-BFGS: directions from earlier steps, and a line search. What is minimised is a
function of one vector; no Variable and no model is here."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
# A point to its loss and gradient.
Function = Callable[[Vector], tuple[float, Vector]]

_FALLS = 1e-4  # the share of the first slope by which a step has to lower the loss
_FLATTENS = 0.9  # the share of the first slope that may be left at the end of a step


class Found(NamedTuple):
    """The end of a line search."""

    step: float
    loss: float
    gradient: Vector


class _At(NamedTuple):
    """A place along the line."""

    step: float
    loss: float
    slope: float
    gradient: Vector


def line_search(
    function: Function, x: Vector, direction: Vector, begin: Found, most: int
) -> Found | None:
    """A step that fulfils Wolfe's strong conditions (Nocedal and Wright, 2006, algorithms 3.5, 3.6).

    `begin`: loss and gradient at x, and the step that is tried first. `most`: evaluations. Where they
    end before, the step with the lowest loss so far that is low enough; None: there is none.
    """
    slope = float(begin.gradient @ direction)
    zero = _At(0.0, begin.loss, slope, begin.gradient)
    left = most

    def at(step: float) -> _At:
        nonlocal left
        left -= 1
        loss, gradient = function(x + step * direction)
        return _At(step, loss, float(gradient @ direction), gradient)

    def is_low(place: _At) -> bool:
        # Strictly: of the smallest steps, rounding leaves nothing.
        limit = zero.loss + _FALLS * place.step * zero.slope
        return place.loss <= limit and place.loss < zero.loss

    def is_flat(place: _At) -> bool:
        return abs(place.slope) <= -_FLATTENS * zero.slope

    before, step = zero, begin.step
    best: _At | None = None
    low: _At | None = None  # of an interval that has a good step in it
    high = zero
    while left > 0:
        here = at(step)
        if is_low(here) and (best is None or here.loss < best.loss):
            best = here
        if low is None:
            rises = before.step > 0 and here.loss >= before.loss
            if not math.isfinite(here.loss) or not is_low(here) or rises:
                low, high = before, here
            elif is_flat(here):
                break
            elif here.slope >= 0:
                low, high = here, before
            else:
                before, step = here, min(10.0 * here.step, _extended(before, here))
                continue
        elif not math.isfinite(here.loss) or not is_low(here) or here.loss >= low.loss:
            high = here
        elif is_flat(here):
            break
        else:
            if here.slope * (high.step - low.step) >= 0:
                high = low
            low = here
        step = _between(low, high)
        if step in (low.step, high.step):
            break
    return None if best is None else Found(best.step, best.loss, best.gradient)


def _extended(before: _At, here: _At) -> float:
    """A longer step: where the slope would be 0 if it went on as it did, at least twice as long."""
    change = here.slope - before.slope
    if change <= 0:
        return 4.0 * here.step
    return max(2.0 * here.step, here.step - here.slope * (here.step - before.step) / change)


def _between(a: _At, b: _At) -> float:
    """The least place of the cubic through two places with their slopes, well between them."""
    width = b.step - a.step
    middle = a.step + 0.5 * width
    if not math.isfinite(b.loss) or not math.isfinite(b.slope):
        return a.step + 0.1 * width
    first = a.slope + b.slope - 3.0 * (a.loss - b.loss) / (a.step - b.step)
    square = first * first - a.slope * b.slope
    if square < 0:
        return middle
    second = math.copysign(math.sqrt(square), width)
    below = b.slope - a.slope + 2.0 * second
    if below == 0:
        return middle
    step = b.step - width * (b.slope + second - first) / below
    least, largest = sorted((a.step + 0.1 * width, b.step - 0.1 * width))
    return min(max(step, least), largest)


class Pairs:
    """What is kept of the last iterations: moves and changes of the gradient, oldest first."""

    def __init__(
        self, moves: Iterable[Vector] = (), changes: Iterable[Vector] = (), most: int = 10
    ) -> None:
        self.moves = deque(moves, most)
        self.changes = deque(changes, most)

    def add(self, move: Vector, change: Vector) -> None:
        """Keeps a pair in the place of the oldest; one without curvature is left out."""
        if float(move @ change) > 1e-10 * float(move @ move):
            self.moves.append(move)
            self.changes.append(change)

    def direction(self, gradient: Vector) -> Vector:
        """Minus the inverse Hessian, as far as it is known, times a gradient (algorithm 7.4)."""
        q = -gradient
        shares = []
        for move, change in zip(reversed(self.moves), reversed(self.changes), strict=True):
            share = float(move @ q) / float(move @ change)
            q = q - share * change
            shares.append(share)
        if self.moves:
            move, change = self.moves[-1], self.changes[-1]
            q = q * (float(move @ change) / float(change @ change))
        for move, change, share in zip(self.moves, self.changes, reversed(shares), strict=True):
            q = q + (share - float(change @ q) / float(move @ change)) * move
        return q
