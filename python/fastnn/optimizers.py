"""Optimizers: hyperparameters only. State and steps are native, one state a model."""

from __future__ import annotations

from typing import ClassVar, Literal

from fastnn.registry import Registered, Registry
from fastnn.words import flag, keywords, number


class Optimizer(Registered):
    """The base of all optimizers.

    An optimizer given to two models is one set of hyperparameters for both; each model
    keeps its own state (velocities, moments), which `compile` resets.

    Attributes:
        learning_rate: may be changed at any time, also by a callback during `fit`: it is
            read at every native call.
        weight_decay: decoupled (Loshchilov and Hutter, 2019): at each step parameters lose
            learning_rate * weight_decay of themselves. None is 0.
        iterations: steps taken with this object, in all models that share it.
    """

    native: ClassVar[Literal["sgd", "adam"]]

    def __init__(self, learning_rate: float, weight_decay: float | None, name: str) -> None:
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.name = name
        self.iterations = 0

    @property
    def learning_rate(self) -> float:
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = number("learning_rate", value, 0.0)

    @property
    def weight_decay(self) -> float | None:
        return self._weight_decay

    @weight_decay.setter
    def weight_decay(self, value: float | None) -> None:
        self._weight_decay = None if value is None else number("weight_decay", value, 0.0)

    def settings(self) -> dict[str, float]:
        """Hyperparameters as a native call takes them."""
        return {"learning_rate": self._learning_rate, "weight_decay": self._weight_decay or 0.0}

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value:g}" for name, value in self.settings().items())
        return f"<{type(self).__name__} {values}>"


OPTIMIZERS = Registry(
    "optimizer",
    Optimizer,
    elsewhere={"adagrad": "adam", "adamax": "adam", "nadam": "adam", "rmsprop": "adam"},
)


@OPTIMIZERS.register("sgd")
class SGD(Optimizer):
    """Stochastic gradient descent: velocity = momentum * velocity - learning_rate * gradient.

    The parameter moves by the velocity, with `nesterov` by
    momentum * velocity - learning_rate * gradient, as in Keras.

    Args:
        learning_rate: at least 0; default 0.01.
        momentum: in [0, 1).
        nesterov: whether to look ahead (Nesterov, 1983).
        weight_decay: see `Optimizer`.
        name: the name of the optimizer.
    """

    native = "sgd"

    @keywords()
    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        name: str = "SGD",
    ) -> None:
        super().__init__(learning_rate, weight_decay, name)
        self.momentum = momentum
        self.nesterov = flag("nesterov", nesterov)

    @property
    def momentum(self) -> float:
        return self._momentum

    @momentum.setter
    def momentum(self, value: float) -> None:
        self._momentum = number("momentum", value, 0.0, 1.0, open_high=True)

    def settings(self) -> dict[str, float]:
        return super().settings() | {
            "momentum": self._momentum,
            "nesterov": float(self.nesterov),
        }


@OPTIMIZERS.register("adam")
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015): learning_rate * m_hat / (sqrt(v_hat) + epsilon).

    Args:
        learning_rate: at least 0; default 0.001.
        beta_1, beta_2: how slowly the two moments forget, in [0, 1).
        epsilon: a positive number; default 1e-7 as in Keras. It stands outside the root and
            after the correction of the bias, as in the paper and in PyTorch.
        weight_decay: see `Optimizer`.
        name: the name of the optimizer.
    """

    native = "adam"

    @keywords()
    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        name: str = "adam",
    ) -> None:
        super().__init__(learning_rate, weight_decay, name)
        self.beta_1 = number("beta_1", beta_1, 0.0, 1.0, open_high=True)
        self.beta_2 = number("beta_2", beta_2, 0.0, 1.0, open_high=True)
        self.epsilon = number("epsilon", epsilon, 0.0, open_low=True)

    def settings(self) -> dict[str, float]:
        return super().settings() | {
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }


@OPTIMIZERS.register("adamw")
class AdamW(Adam):
    """Adam with a weight decay of 0.004 by default; the decay is decoupled in both."""

    @keywords()
    def __init__(
        self,
        learning_rate: float = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        name: str = "adamw",
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, name)


def get(identifier: str | Optimizer | type[Optimizer]) -> Optimizer:
    """The optimizer that a name, an object or a class means; ValueError with the near match."""
    return OPTIMIZERS.get(identifier)
