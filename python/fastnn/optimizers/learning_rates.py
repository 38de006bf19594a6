"""What a schedule of the learning rate is: `schedules.py` has those that there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.registry import Checked, Registered, Registry
from fastnn.serializable import function_described, function_of
from fastnn.words import name_of, optional, text

Rates = NDArray[np.float64]


class LearningRateSchedule(Registered):
    """A learning rate that depends on the step: pass it as `learning_rate` of an optimizer.

        >>> import fastnn
        >>> class Halving(fastnn.optimizers.schedules.LearningRateSchedule):
        ...     def __call__(self, step):
        ...         return 0.1 / 2 ** (step // 1000)
        >>> optimizer = fastnn.optimizers.Adam(Halving())
        >>> float(optimizer.learning_rate)
        0.1

    Steps are those of `optimizer.iterations`, from 0. `fit` asks for the rates of all steps of a
    native call at once, before it: a schedule costs no call in between.
    """

    _inside: ClassVar[tuple[str, ...]] = ("rates",)

    def __call__(self, step: Any) -> Any:
        """The rate of a step: for schedules of one's own to define."""
        raise NotImplementedError(f"{type(self).__name__}: define `__call__(self, step)`")

    def rates(self, steps: NDArray[np.int64]) -> Rates:
        """The rates of steps, checked."""
        return checked_rates(self, [self(int(step)) for step in steps])


def checked_rates(schedule: object, rates: ArrayLike) -> Rates:
    """Rates as float64; ValueError for one that cannot be meant."""
    made = np.asarray([_number(rate) for rate in rates] if isinstance(rates, list) else rates)
    found = made.astype(np.float64)
    wrong = ~((found >= 0) & (found < math.inf))
    if wrong.any():
        raise ValueError(
            f"learning_rate: {schedule!r} gives {found[wrong][0]}; expected finite numbers of at "
            "least 0"
        )
    return found


def _number(rate: Any) -> float:
    try:
        return float(rate)
    except (TypeError, ValueError):
        raise TypeError(f"learning_rate: a schedule gives {rate!r}; expected a number") from None


SCHEDULES = Registry("schedule", LearningRateSchedule)


class Formula(LearningRateSchedule):
    """A schedule that gives the rates of many steps by one formula."""

    name = Checked(optional(text))

    def __call__(self, step: Any) -> float:
        return float(self.rates(np.asarray([step]))[0])

    def rates(self, steps: NDArray[Any]) -> Rates:
        return checked_rates(self, self._rates(np.asarray(steps, np.float64)))

    def _rates(self, steps: Rates) -> Rates:
        raise NotImplementedError

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"<{type(self).__name__} {told}>"


class FunctionSchedule(LearningRateSchedule):
    """A function of the number of the step, or, as in Keras, of nothing, as a schedule."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._takes_step = _takes_step(function)

    def __call__(self, step: Any) -> Any:
        return self.function(step) if self._takes_step else self.function()

    def get_config(self) -> dict[str, Any]:
        return function_described("learning_rate", self.function)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> FunctionSchedule:
        return cls(function_of("learning_rate", config))

    def __repr__(self) -> str:
        return f"<schedule {name_of(self.function)}>"


def _takes_step(function: Callable[..., Any]) -> bool:
    import inspect  # it takes long to import, and functions as schedules are rare

    try:
        inspect.signature(function).bind(0)
    except TypeError:
        return False
    except ValueError:  # a function of C, whose arguments cannot be told
        return True
    return True


def schedule_of(value: Any) -> LearningRateSchedule:
    """The schedule that an object, a config or a function means."""
    if isinstance(value, LearningRateSchedule):
        return value
    if isinstance(value, Mapping):
        if value.get("class_name") == FunctionSchedule.__name__:
            return FunctionSchedule.from_config(value["config"])
        return SCHEDULES.get(value, "learning_rate")
    if isinstance(value, type):
        raise TypeError(f"learning_rate: expected a number or a schedule, got the class {value!r}")
    if not callable(value):
        raise TypeError(f"learning_rate: expected a number or a schedule, got {value!r:.100}")
    return FunctionSchedule(value)
