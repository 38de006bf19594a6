"""Solvers: scikit-learn's sgd and adam as native optimizers, and how its losses are scaled.

scikit-learn's gradient of the squared error is that of half of it, summed over outputs; of labels
that do not exclude each other, and of counts, it is summed, too. Losses here are means over outputs.
With gradients that are `Scale.gradient` times theirs, the steps are the same where the rate of sgd is
divided by that factor, and epsilon of adam multiplied.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import optimizers
from fastnn.optimizers.learning_rates import LearningRateSchedule, checked_rates

# The largest number below 1: momentum 1, which scikit-learn takes, never ends.
_BELOW_ONE = float(np.nextafter(1.0, 0.0))
# Below this rate "adaptive" training ends, as in scikit-learn.
LEAST_RATE = 1e-6


class Scale(NamedTuple):
    """The losses and gradients here, beside those of scikit-learn.

    Its loss without penalties is `loss * ours + constant`; our gradients are `gradient` times its.
    """

    loss: float = 1.0
    gradient: float = 1.0
    constant: float = 0.0

    @property
    def is_one_sum(self) -> bool:
        """Whether penalties are scaled as the loss is, so that their sum is."""
        return self.loss * self.gradient == 1.0


class InverseScaling(LearningRateSchedule):
    """learning_rate_init / (t + 1) ** power_t after each epoch, t being the rows seen so far.

    Args:
        rate: the first one.
        power: power_t.
        steps, rows: of an epoch.
        seen: rows seen before the first epoch.
    """

    def __init__(self, rate: float, power: float, steps: int, rows: int, seen: int) -> None:
        self.rate, self.power = rate, power
        self.steps, self.rows, self.seen = steps, rows, seen

    def rates(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        epochs = np.asarray(steps) // self.steps
        later = self.rate / (self.seen + epochs * float(self.rows) + 1.0) ** self.power
        return checked_rates(self, np.where(epochs == 0, self.rate, later))

    def __call__(self, step: Any) -> float:
        return float(self.rates(np.asarray([step]))[0])


class Solver:
    """An optimizer with its learning rate in scikit-learn's terms; kept from one call to the next.

    Args:
        estimator: whose parameters say what it is.
        scale: of the gradients.
    """

    def __init__(self, estimator: Any, scale: Scale) -> None:
        self.learning_rate = float(estimator.learning_rate_init)
        self._scale = scale
        self._is_sgd = estimator.optimizer is None and estimator.solver == "sgd"
        self.adapts = self._is_sgd and estimator.learning_rate == "adaptive"
        self._falls = self._is_sgd and estimator.learning_rate == "invscaling"
        self._power = float(estimator.power_t)
        self.native = self._made(estimator)

    def _made(self, estimator: Any) -> optimizers.Optimizer:
        more: dict[str, float] = {}
        if estimator.optimizer is not None:
            # One of the caller's: what training changes in it is not to reach other estimators.
            made = copy.deepcopy(optimizers.get(estimator.optimizer))
            if made.full_batch:
                raise ValueError(
                    f"optimizer: {type(made).__name__} looks at all rows for a step; give solver='lbfgs'"
                )
        elif self._is_sgd:
            made = optimizers.SGD(
                self.learning_rate / self._scale.gradient,
                momentum=min(float(estimator.momentum), _BELOW_ONE),
                nesterov=bool(estimator.nesterovs_momentum),
            )
        else:
            # It adds epsilon to the root of the second moment as it is.
            more = {"plain_epsilon": 1.0}
            made = optimizers.Adam(
                self.learning_rate,
                float(estimator.beta_1),
                float(estimator.beta_2),
                float(estimator.epsilon) * self._scale.gradient,
            )
        if estimator.schedule is not None:
            made.learning_rate = estimator.schedule
        made._besides = more
        return made

    def penalizes(self, rows: float) -> None:
        """Penalties are those of a batch of so many rows: each batch divides them by its own rows, or by
        its weight where that divides its gradient."""
        if self.native.gradient_accumulation_steps in (None, 1):
            more = {"penalty_rows": rows, "weighs_penalties": 1.0}
            self.native._besides = {**self.native._besides, **more}

    def begins(self, estimator: Any, steps: int, rows: int) -> None:
        """A call trains in epochs of so many steps and rows."""
        if self._falls and estimator.schedule is None:
            first = self.learning_rate / self._scale.gradient
            self.native.learning_rate = InverseScaling(
                first, self._power, steps, rows, estimator.t_
            )
            self.native.taken = 0

    def ended(self, estimator: Any) -> None:
        """The rate after the epochs of a call."""
        if self._falls:
            first = float(estimator.learning_rate_init)
            self.learning_rate = first / (estimator.t_ + 1) ** self._power

    def reduce(self) -> None:
        """A fifth of the rate, as "adaptive" has it."""
        self.learning_rate /= 5.0
        self.native.learning_rate = self.learning_rate / self._scale.gradient
