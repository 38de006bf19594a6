"""Relatives of Adam and of RMSprop: each class names a row of csrc/core/optimizer_rules.h."""

from __future__ import annotations

from functools import partial
from typing import Unpack

from fastnn.optimizers.base import (
    COMMON,
    OLD_NAMES,
    OPTIMIZERS,
    Common,
    Epsilon,
    Optimizer,
    Rate,
    Setting,
)
from fastnn.registry import Checked
from fastnn.words import keywords, number


@OPTIMIZERS.register("adamax")
class Adamax(Optimizer):
    """Adam by the largest gradient (Kingma and Ba, 2015, section 7.1).

        >>> w = fastnn.Variable([1.0, -2.0])
        >>> optimizer = fastnn.optimizers.Adamax(0.125)
        >>> step = optimizer.apply([[0.01, -100.0]], [w])  # the first step has the size of the rate
        >>> print(w.numpy().round(4))
        [ 0.875 -1.875]

    m = beta_1 * m + (1 - beta_1) * gradient and u = max(beta_2 * u, abs(gradient)); the parameter
    moves by -learning_rate * m / ((1 - beta_1**step) * (u + epsilon)), as in Keras.

    Args:
        learning_rate: at least 0, or a schedule (see `Optimizer`); default 0.001.
        beta_1, beta_2: how slowly m and u forget, in [0, 1).
        epsilon: a positive number; default 1e-7, also for None. In float32 it acts as at least 1.2e-38.
        weight_decay: see `Optimizer`, also for further arguments.
        name: the name of the optimizer.
    """

    native = "adamax"
    beta_1 = Setting()
    beta_2 = Setting()
    epsilon = Epsilon()

    @keywords(*COMMON, old=OLD_NAMES)
    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = 1e-7,
        weight_decay: float | None = None,
        name: str = "adamax",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, name, **common)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon


@OPTIMIZERS.register("nadam")
class Nadam(Optimizer):
    """Adam with Nesterov's momentum (Dozat, 2016).

        >>> w = fastnn.Variable([1.0])
        >>> step = fastnn.optimizers.Nadam(0.125).apply([[100.0]], [w])
        >>> bool(0.85 < w.numpy()[0] < 0.9)  # about 1 - 0.125
        True

    With mu_t = beta_1 * (1 - 0.96**t / 2), the schedule of Keras, and M_t = mu_1 * ... * mu_t,
    m_hat = mu_(t+1) * m / (1 - M_(t+1)) + (1 - mu_t) * gradient / (1 - M_t); the parameter moves by
    -learning_rate * m_hat / (sqrt(v_hat) + epsilon), where m, v and v_hat are those of Adam.

    Args:
        learning_rate: at least 0, or a schedule (see `Optimizer`); default 0.001.
        beta_1, beta_2: how slowly the two moments forget, in [0, 1).
        epsilon: a positive number; default 1e-7, also for None. In float32 it acts as at least 1.1e-19.
        weight_decay: see `Optimizer`, also for further arguments.
        name: the name of the optimizer.
    """

    native = "nadam"
    beta_1 = Setting()
    beta_2 = Setting()
    epsilon = Epsilon()

    @keywords(*COMMON, old=OLD_NAMES)
    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = 1e-7,
        weight_decay: float | None = None,
        name: str = "nadam",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, name, **common)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon


@OPTIMIZERS.register("adagrad")
class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer, 2011).

        >>> w = fastnn.Variable([1.0])
        >>> optimizer = fastnn.optimizers.Adagrad(0.5, initial_accumulator_value=9.0)
        >>> step = optimizer.apply([[4.0]], [w])  # 1 - 0.5 * 4 / sqrt(9 + 16)
        >>> print(w.numpy().round(4))
        [0.6]

    accumulator = accumulator + gradient**2; the parameter moves by
    -learning_rate * gradient / sqrt(accumulator + epsilon), as in Keras.

    Args:
        learning_rate: at least 0, or a schedule (see `Optimizer`); default 0.001, as in Keras. The
            paper's results are near 1.
        initial_accumulator_value: at least 0, what accumulators begin with; read at `compile`, or
            at the first step of a Variable.
        epsilon: a positive number; default 1e-7, also for None. In float32 it acts as at least 1.2e-38.
        weight_decay: see `Optimizer`, also for further arguments.
        name: the name of the optimizer.
    """

    native = "adagrad"
    initial_accumulator_value = Checked(partial(number, low=0.0))
    epsilon = Epsilon()

    @keywords(*COMMON, old=OLD_NAMES)
    def __init__(
        self,
        learning_rate: Rate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float | None = 1e-7,
        weight_decay: float | None = None,
        name: str = "adagrad",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, name, **common)
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon

    @property
    def initial_state(self) -> float:
        return self.initial_accumulator_value


@OPTIMIZERS.register("adadelta")
class Adadelta(Optimizer):
    """Adadelta (Zeiler, 2012): moves are as large as earlier moves were, gradients aside.

        >>> w = fastnn.Variable([1.0])
        >>> step = fastnn.optimizers.Adadelta(1.0).apply([[4.0]], [w])
        >>> print((1 - w.numpy()).round(4))  # sqrt(1e-7) / sqrt(0.05 * 4**2) * 4
        [0.0014]

    gradients = rho * gradients + (1 - rho) * gradient**2,
    move = sqrt(moves + epsilon) / sqrt(gradients + epsilon) * gradient,
    moves = rho * moves + (1 - rho) * move**2; the parameter moves by -learning_rate * move.

    Args:
        learning_rate: at least 0, or a schedule (see `Optimizer`); default 0.001, as in Keras. The
            paper has 1.
        rho: how slowly both averages forget, in [0, 1).
        epsilon: a positive number; default 1e-7, also for None. In float32 it acts as at least 1.2e-38.
        weight_decay: see `Optimizer`, also for further arguments.
        name: the name of the optimizer.
    """

    native = "adadelta"
    rho = Setting()
    epsilon = Epsilon()

    @keywords(*COMMON, old=OLD_NAMES)
    def __init__(
        self,
        learning_rate: Rate = 0.001,
        rho: float = 0.95,
        epsilon: float | None = 1e-7,
        weight_decay: float | None = None,
        name: str = "adadelta",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, name, **common)
        self.rho, self.epsilon = rho, epsilon
