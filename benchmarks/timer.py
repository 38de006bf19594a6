"""The one timer of all benchmarks: interleaved rounds, medians, and their spread.

A contestant runs a number of repeats and returns their time, so that the clock may be
in another process. Each round goes over all contestants, and begins with another one
than the round before: if the machine is slow for a while, it is slow for all. The timer
does not define a fair repeat; the contestants do.
"""

import gc
import itertools
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

PAUSE = 0.01  # seconds between turns, so that idle threads of the last turn fall asleep
# With several threads: threads of OpenMP spin for 0.2 s, and fastnn, if it shares cores with
# them, works on one thread for up to 0.32 s.
LONG_PAUSE = 0.35


@dataclass(frozen=True)
class Contestant:
    """Work to time: `run(repeats)` returns the seconds of the repeats."""

    run: Callable[[int], float]
    steps: int = 1
    """the number of counted steps in one repeat"""


@dataclass(frozen=True)
class Timing:
    """Seconds for one step, one number for each round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def low(self) -> float:
        return min(self.rounds)

    @property
    def high(self) -> float:
        return max(self.rounds)


def clock(run: Callable[[], object], repeats: int = 1) -> float:
    """The seconds of `repeats` calls, without garbage collection between them."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in itertools.repeat(None, repeats):
            run()
        return time.perf_counter() - start
    finally:
        if collecting:
            gc.enable()


def repeated(run: Callable[[], object], steps: int = 1) -> Contestant:
    """A contestant of this process, from a function that does `steps` steps in a call."""
    return Contestant(lambda repeats: clock(run, repeats), steps)


def calibrate(contestant: Contestant, seconds: float) -> int:
    """Warms up, and returns the number of repeats that take about `seconds`, at least one."""
    contestant.run(1)  # compilation, first touch of memory
    repeats = 1
    while (elapsed := contestant.run(repeats)) < seconds / 4:
        repeats *= 2 if elapsed > 0.01 * seconds else 8
    return max(1, math.ceil(repeats * seconds / elapsed))


def measure(
    contestants: Mapping[str, Contestant],
    *,
    rounds: int = 9,
    seconds: float = 0.2,
    threads: int = 1,
) -> dict[str, Timing]:
    """Times all contestants in interleaved rounds, each for about `seconds` in a round."""
    pause = PAUSE if threads == 1 else LONG_PAUSE
    repeats = {name: calibrate(one, seconds) for name, one in contestants.items()}
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    order = list(contestants)
    for _ in range(rounds):
        for name in order:
            time.sleep(pause)
            one = contestants[name]
            taken[name].append(one.run(repeats[name]) / (repeats[name] * one.steps))
        order = order[1:] + order[:1]
    return {name: Timing(tuple(values)) for name, values in taken.items()}
