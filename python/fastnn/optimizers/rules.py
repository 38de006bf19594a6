"""The optimizers: each class names a row of the native table (csrc/core/optimizer.h), which says its
options with their ranges, and what it keeps for each parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Unpack

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
from fastnn.words import flag, keywords


@OPTIMIZERS.register("sgd")
class SGD(Optimizer):
    """Stochastic gradient descent: velocity = momentum * velocity - learning_rate * gradient.

        >>> w = fastnn.Variable([1.0, -2.0])
        >>> optimizer = fastnn.optimizers.SGD(0.5, momentum=0.5)
        >>> steps = [optimizer.apply([[1.0, 0.0]], [w]) for _ in range(2)]  # 0.5, then 0.25 + 0.5
        >>> w.numpy().tolist()
        [-0.25, -2.0]

    The parameter moves by the velocity, with `nesterov` by
    momentum * velocity - learning_rate * gradient, as in Keras.

    Args:
        learning_rate: at least 0, or a schedule (see `Optimizer`); default 0.01.
        momentum: in [0, 1).
        nesterov: whether to look ahead (Nesterov, 1983).
        weight_decay: see `Optimizer`, also for further arguments.
        name: the name of the optimizer.
    """

    native = "sgd"
    momentum = Setting()
    nesterov = Setting()

    @keywords(*COMMON, old=OLD_NAMES)
    def __init__(
        self,
        learning_rate: Rate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        name: str = "SGD",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, name, **common)
        self.momentum = momentum
        self.nesterov = nesterov


@OPTIMIZERS.register("adam")
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015): learning_rate * m_hat / (sqrt(v_hat) + epsilon).

        >>> w = fastnn.Variable([1.0, -2.0])
        >>> optimizer = fastnn.optimizers.Adam(0.125)
        >>> step = optimizer.apply([[0.01, -100.0]], [w])  # the first step has the size of the rate
        >>> print(w.numpy().round(4))
        [ 0.875 -1.875]

    Args:
        learning_rate: at least 0, or a schedule (see `Optimizer`); default 0.001.
        beta_1, beta_2: how slowly the two moments forget, in [0, 1).
        epsilon: a positive number; default 1e-7 as in Keras, also for None. It stands outside the root and
            after the correction of the bias, as in the paper and in PyTorch. In float32 it acts
            as at least 1.1e-19: the root of a smaller moment has no digits.
        amsgrad: whether the largest second moment so far takes the place of the present one (Reddi
            et al., 2018). It is fixed when the object is made.
        weight_decay: see `Optimizer`, also for further arguments.
        name: the name of the optimizer.
    """

    beta_1 = Setting()
    beta_2 = Setting()
    epsilon = Epsilon()
    _kept_as: ClassVar[Mapping[str, str | None]] = {
        **Optimizer._kept_as,
        "amsgrad": "_amsgrad",
    }

    @keywords(*COMMON, old=OLD_NAMES)
    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        name: str = "adam",
        **common: Unpack[Common],
    ) -> None:
        self._amsgrad = flag("amsgrad", amsgrad)
        self.native = "amsgrad" if self._amsgrad else "adam"
        super().__init__(learning_rate, weight_decay, name, **common)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    @property
    def amsgrad(self) -> bool:
        """Whether the largest second moment so far is taken."""
        return self._amsgrad


@OPTIMIZERS.register("adamw")
class AdamW(Adam):
    """Adam with a weight decay of 0.004 by default; the decay is decoupled in both.

        >>> w = fastnn.Variable([8.0])
        >>> step = fastnn.optimizers.AdamW(0.5, weight_decay=0.5).apply([[0.0]], [w])
        >>> w.numpy().tolist()  # 8 - 0.5 * 0.5 * 8
        [6.0]

    Arguments are those of `Adam` (Loshchilov and Hutter, 2019).
    """

    @keywords(*COMMON, old=OLD_NAMES)
    def __init__(
        self,
        learning_rate: Rate = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = 1e-7,
        amsgrad: bool = False,
        name: str = "adamw",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, name, **common
        )


@OPTIMIZERS.register("rmsprop")
class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012): learning_rate * gradient / sqrt(velocity + epsilon).

        >>> w = fastnn.Variable([1.0, -2.0])
        >>> optimizer = fastnn.optimizers.RMSprop(0.125, rho=0.75)
        >>> step = optimizer.apply([[0.01, -100.0]], [w])  # 0.125 * gradient / sqrt(gradient**2 / 4)
        >>> print(w.numpy().round(2))
        [ 0.75 -1.75]

    velocity = rho * velocity + (1 - rho) * gradient**2. epsilon stands under the root, as in Keras.

    Args:
        learning_rate: at least 0, or a schedule (see `Optimizer`); default 0.001.
        rho: how slowly the velocity forgets, in [0, 1).
        momentum: in [0, 1); above 0 the parameter moves by momentum * last move + this move.
        epsilon: a positive number; default 1e-7, also for None. In float32 it acts as at least 1.2e-38.
        centered: whether the square of the mean gradient is subtracted from the velocity
            (Graves, 2013).
        weight_decay: see `Optimizer`, also for further arguments.
        name: the name of the optimizer.
    """

    native = "rmsprop"
    rho = Setting()
    momentum = Setting()
    epsilon = Epsilon()
    centered = Setting()

    @keywords(*COMMON, old=OLD_NAMES)
    def __init__(
        self,
        learning_rate: Rate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float | None = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        name: str = "rmsprop",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, name, **common)
        self.rho, self.momentum, self.epsilon = rho, momentum, epsilon
        self.centered = centered


@OPTIMIZERS.register("lion")
class Lion(Optimizer):
    """Lion (Chen et al., 2023): learning_rate * sign(beta_1 * m + (1 - beta_1) * gradient).

        >>> w = fastnn.Variable([1.0, -2.0])
        >>> step = fastnn.optimizers.Lion(0.25).apply([[0.01, -100.0]], [w])
        >>> w.numpy().tolist()
        [0.75, -1.75]

    Then m = beta_2 * m + (1 - beta_2) * gradient.

    Args:
        learning_rate: at least 0, or a schedule (see `Optimizer`); default 0.001.
        beta_1, beta_2: in [0, 1).
        weight_decay: see `Optimizer`, also for further arguments.
        name: the name of the optimizer.
    """

    native = "lion"
    beta_1 = Setting()
    beta_2 = Setting()

    @keywords(*COMMON, old=OLD_NAMES)
    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        weight_decay: float | None = None,
        name: str = "lion",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, name, **common)
        self.beta_1, self.beta_2 = beta_1, beta_2
