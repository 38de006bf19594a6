"""Schedules of the learning rate: functions of the number of the step, which each step of a native
run asks for. Names, arguments and values are Keras 3's; OneCycle is PyTorch's."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import elsewhere
from fastnn.listing import names_of
from fastnn.optimizers.learning_rates import (
    SCHEDULES,
    Formula,
    LearningRateSchedule,
    Rates,
    schedule_of,
)
from fastnn.registry import Checked
from fastnn.words import choose, flag, integer, keywords, number, optional

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "CosineLog",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]

__dir__ = names_of(__all__)

_positive = partial(number, low=0.0, open_low=True)
_at_least_0 = partial(number, low=0.0)


@SCHEDULES.register("exponential_decay")
class ExponentialDecay(Formula):
    """initial_learning_rate * decay_rate ** (step / decay_steps).

        >>> rate = fastnn.optimizers.schedules.ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)
        >>> [float(rate(step)) for step in (0, 10, 20)]
        [0.1, 0.05, 0.025]

    Args:
        initial_learning_rate: at least 0.
        decay_steps: a positive number.
        decay_rate: a positive number.
        staircase: whether the exponent is rounded down.
        name: of the schedule.
    """

    initial_learning_rate = Checked(_at_least_0)
    decay_steps = Checked(_positive)
    decay_rate = Checked(_positive)
    staircase = Checked(flag)

    @keywords()
    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str | None = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def _rates(self, steps: Rates) -> Rates:
        done = steps / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (
            np.floor(done) if self.staircase else done
        )


@SCHEDULES.register("inverse_time_decay")
class InverseTimeDecay(ExponentialDecay):
    """initial_learning_rate / (1 + decay_rate * step / decay_steps); see `ExponentialDecay`.

    >>> rate = fastnn.optimizers.schedules.InverseTimeDecay(0.1, decay_steps=10, decay_rate=1.0)
    >>> [float(rate(step)) for step in (0, 10, 30)]
    [0.1, 0.05, 0.025]
    """

    @keywords()
    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str | None = "InverseTimeDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def _rates(self, steps: Rates) -> Rates:
        done = steps / self.decay_steps
        done = np.floor(done) if self.staircase else done
        return self.initial_learning_rate / (1.0 + self.decay_rate * done)


class _Numbers(Checked[list[float]]):
    """Boundaries, or the values between them, of which there is one more."""

    def __init__(self) -> None:
        super().__init__(_numbers)

    def checked(self, holder: Any, value: Any) -> list[float]:
        made = super().checked(holder, value)
        known = {**vars(holder), self.name: made}
        boundaries, values = known.get("boundaries"), known.get("values")
        if boundaries is not None and any(a >= b for a, b in itertools.pairwise(boundaries)):
            raise ValueError(f"boundaries: expected rising numbers, got {boundaries}")
        if boundaries and values and len(values) != len(boundaries) + 1:
            raise ValueError(
                f"values: expected one more than boundaries, got {len(values)} values and "
                f"{len(boundaries)} boundaries"
            )
        return made


def _numbers(name: str, value: Any) -> list[float]:
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(value, (list, tuple)) or not value:
        raise TypeError(f"{name}: expected a list of numbers, got {value!r}")
    return [number(f"{name}[{i}]", one) for i, one in enumerate(value)]


@SCHEDULES.register("piecewise_constant_decay")
class PiecewiseConstantDecay(Formula):
    """values[i] for steps above boundaries[i - 1] and up to boundaries[i].

        >>> rate = fastnn.optimizers.schedules.PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1])
        >>> [float(rate(step)) for step in (10, 11, 21)]
        [1.0, 0.5, 0.1]

    Args:
        boundaries: rising numbers of steps.
        values: the rates, one more than boundaries.
        name: of the schedule.
    """

    boundaries = _Numbers()
    values = _Numbers()

    @keywords()
    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str | None = "PiecewiseConstant",
    ) -> None:
        self.boundaries = boundaries
        self.values = values
        self.name = name

    def _rates(self, steps: Rates) -> Rates:
        return np.asarray(self.values)[np.searchsorted(self.boundaries, steps, side="left")]


@SCHEDULES.register("polynomial_decay")
class PolynomialDecay(Formula):
    """From initial_learning_rate to end_learning_rate:
    (initial - end) * (1 - step / decay_steps) ** power + end.

        >>> rate = fastnn.optimizers.schedules.PolynomialDecay(1.0, decay_steps=10, end_learning_rate=0.0)
        >>> [float(rate(step)) for step in (0, 5, 10)]
        [1.0, 0.5, 0.0]

    Args:
        initial_learning_rate: at least 0.
        decay_steps: a positive number.
        end_learning_rate: at least 0, the rate from decay_steps on.
        power: a positive number; 1 is a straight line.
        cycle: whether the end is put off, to the next multiple of decay_steps, whenever it is
            reached.
        name: of the schedule.
    """

    initial_learning_rate = Checked(_at_least_0)
    decay_steps = Checked(_positive)
    end_learning_rate = Checked(_at_least_0)
    power = Checked(_positive)
    cycle = Checked(flag)

    @keywords()
    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str | None = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def _rates(self, steps: Rates) -> Rates:
        if self.cycle:
            whole = self.decay_steps * np.maximum(1.0, np.ceil(steps / self.decay_steps))
        else:
            whole = np.full_like(steps, self.decay_steps)
            steps = np.minimum(steps, self.decay_steps)
        span = self.initial_learning_rate - self.end_learning_rate
        return span * (1.0 - steps / whole) ** self.power + self.end_learning_rate


@SCHEDULES.register("cosine_decay")
class CosineDecay(Formula):
    """Half a period of a cosine, after a straight warm-up (Loshchilov and Hutter, 2017).

        >>> rate = fastnn.optimizers.schedules.CosineDecay(1.0, decay_steps=100)
        >>> [round(float(rate(step)), 3) for step in (0, 50, 100)]
        [1.0, 0.5, 0.0]

    From the top, warmup_target or else initial_learning_rate, the rate falls in decay_steps to alpha
    times the top: top * ((1 - alpha) * (1 + cos(pi * step / decay_steps)) / 2 + alpha).

    Args:
        initial_learning_rate: at least 0, the rate at step 0.
        decay_steps: a positive number of steps, after the warm-up.
        alpha: the share of the top that is the end, at least 0.
        name: of the schedule.
        warmup_target: the rate at the end of the warm-up; None: there is no warm-up.
        warmup_steps: the steps of the warm-up, at least 0.
    """

    initial_learning_rate = Checked(_at_least_0)
    decay_steps = Checked(_positive)
    alpha = Checked(_at_least_0)
    warmup_target = Checked(optional(_at_least_0))
    warmup_steps = Checked(_at_least_0)

    @keywords()
    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str | None = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def _rates(self, steps: Rates) -> Rates:
        if self.warmup_target is None:
            return self._fallen(self.initial_learning_rate, steps)
        rise = self.warmup_target - self.initial_learning_rate
        warm = self.initial_learning_rate + rise * steps / (self.warmup_steps or 1.0)
        fallen = self._fallen(self.warmup_target, steps - self.warmup_steps)
        return np.where(steps < self.warmup_steps, warm, fallen)

    def _fallen(self, top: float, steps: Rates) -> Rates:
        done = np.clip(steps / self.decay_steps, 0.0, 1.0)
        share = 0.5 * (1.0 + np.cos(np.pi * done))
        return top * ((1.0 - self.alpha) * share + self.alpha)


@SCHEDULES.register("cosine_decay_restarts")
class CosineDecayRestarts(Formula):
    """A cosine that begins again whenever it has fallen (SGDR: Loshchilov and Hutter, 2017).

        >>> rate = fastnn.optimizers.schedules.CosineDecayRestarts(1.0, first_decay_steps=10)
        >>> [round(float(rate(step)), 3) for step in (0, 5, 10, 20)]  # the second fall takes 20 steps
        [1.0, 0.5, 1.0, 0.5]

    Args:
        initial_learning_rate: at least 0.
        first_decay_steps: a positive number, the steps of the first fall.
        t_mul: how many times longer each next fall takes, at least 1.
        m_mul: by what the top is multiplied at each restart, at least 0.
        alpha: the share of initial_learning_rate that is the end of a fall, at least 0.
        name: of the schedule.
    """

    initial_learning_rate = Checked(_at_least_0)
    first_decay_steps = Checked(_positive)
    t_mul = Checked(partial(number, low=1.0))
    m_mul = Checked(_at_least_0)
    alpha = Checked(_at_least_0)

    @keywords()
    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str | None = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def _rates(self, steps: Rates) -> Rates:
        done = steps / self.first_decay_steps
        if self.t_mul == 1.0:
            restarts = np.floor(done)
            done = done - restarts
        else:
            t = self.t_mul
            restarts = np.floor(np.log(1.0 - done * (1.0 - t)) / math.log(t))
            begun = (1.0 - t**restarts) / (1.0 - t)
            done = (done - begun) / t**restarts
        share = 0.5 * self.m_mul**restarts * (1.0 + np.cos(np.pi * done))
        return self.initial_learning_rate * ((1.0 - self.alpha) * share + self.alpha)


def _strategy(name: str, value: object) -> str:
    return choose(name, value, ("cos", "linear"))


@SCHEDULES.register("one_cycle")
class OneCycle(Formula):
    """Up from a small rate to a large one, and down to a tiny one (Smith and Topin, 2018).

        >>> rate = fastnn.optimizers.schedules.OneCycle(1.0, 10, pct_start=0.5, div_factor=10.0)
        >>> [round(float(rate(step)), 3) for step in (0, 4, 9)]
        [0.1, 1.0, 0.0]

    Names, defaults and values are those of PyTorch's OneCycleLR. It has no counterpart in Keras.

    Args:
        max_lr: at least 0, the top.
        total_steps: the steps of the cycle, at least 2; from then on the rate is that of its end.
        pct_start: the share of the cycle in which the rate rises, in (0, 1).
        anneal_strategy: "cos" or "linear", how it goes from one rate to the next.
        div_factor: the first rate is max_lr / div_factor.
        final_div_factor: the last rate is the first one / final_div_factor.
        name: of the schedule.
    """

    max_lr = Checked(_at_least_0)
    total_steps = Checked(partial(integer, low=2))
    pct_start = Checked(partial(number, low=0.0, high=1.0, open_low=True, open_high=True))
    anneal_strategy = Checked(_strategy)
    div_factor = Checked(_positive)
    final_div_factor = Checked(_positive)

    @keywords()
    def __init__(
        self,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        name: str | None = "OneCycle",
    ) -> None:
        self.max_lr = max_lr
        self.total_steps = total_steps
        self.pct_start = pct_start
        self.anneal_strategy = anneal_strategy
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.name = name

    def _rates(self, steps: Rates) -> Rates:
        first = self.max_lr / self.div_factor
        last = first / self.final_div_factor
        top = self.pct_start * self.total_steps - 1.0
        end = self.total_steps - 1.0
        steps = np.minimum(steps, end)
        up = self._between(first, self.max_lr, steps / top if top > 0 else np.ones_like(steps))
        down = self._between(self.max_lr, last, (steps - top) / (end - top))
        return np.where(steps <= top, up, down)

    def _between(self, begin: float, end: float, share: Rates) -> Rates:
        if self.anneal_strategy == "linear":
            return (end - begin) * share + begin
        return end + (begin - end) / 2.0 * (1.0 + np.cos(np.pi * share))


@SCHEDULES.register("cosine_log")
class CosineLog(Formula):
    """Waves of a cosine, each twice as long as the one before (RealMLP, arXiv 2407.04491).

        >>> rate = fastnn.optimizers.schedules.CosineLog(1.0, total_steps=4, cycles=2)
        >>> [round(float(rate(step)), 2) for step in (0, 2, 4)]
        [0.98, 0.99, 0.0]

    At t = (step + 0.5) / total_steps, the middle of a step, the rate is
    max_lr * (1 - cos(2 pi log2(1 + (2 ** cycles - 1) * t))) / 2. It is 0 where a wave ends, also at the
    last step's end. It has no counterpart in Keras.

    Args:
        max_lr: at least 0, the top of each wave.
        total_steps: the steps of all waves, at least 1; from then on the rate is 0.
        cycles: the number of waves, 1 to 30.
        name: of the schedule.
    """

    max_lr = Checked(_at_least_0)
    total_steps = Checked(partial(integer, low=1))
    cycles = Checked(partial(integer, low=1, high=30))

    @keywords()
    def __init__(
        self, max_lr: float, total_steps: int, cycles: int = 4, name: str | None = "CosineLog"
    ) -> None:
        self.max_lr = max_lr
        self.total_steps = total_steps
        self.cycles = cycles
        self.name = name

    def _rates(self, steps: Rates) -> Rates:
        share = np.minimum((steps + 0.5) / self.total_steps, 1.0)
        waves = np.log2(1.0 + (2.0**self.cycles - 1.0) * share)
        return 0.5 * self.max_lr * (1.0 - np.cos(2.0 * np.pi * waves))


def serialize(learning_rate_schedule: LearningRateSchedule) -> dict[str, Any]:
    """The config of `learning_rate_schedule`, with the name of its class.

    >>> schedules = fastnn.optimizers.schedules
    >>> config = schedules.serialize(schedules.ExponentialDecay(0.1, 10, 0.5))
    >>> config["class_name"], float(schedules.deserialize(config)(10))
    ('ExponentialDecay', 0.05)
    """
    from fastnn.serializable import described

    return described(learning_rate_schedule)


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
) -> LearningRateSchedule:
    """The schedule that `serialize` described.

        >>> schedules = fastnn.optimizers.schedules
        >>> config = schedules.serialize(schedules.ExponentialDecay(0.1, 10, 0.5))
        >>> float(schedules.deserialize(config)(10))
        0.05

    Args:
        config: what `serialize` gave.
        custom_objects: classes of one's own that it names.

    Raises:
        TypeError, ValueError: it is no such config; the message names the fault.
    """
    from fastnn.serializable import custom_object_scope

    with custom_object_scope(custom_objects or {}):
        return schedule_of(config)


if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "optimizer")
