"""Optimizers: hyperparameters only. State and steps are native, one state a model.

Each class names a row of the native table (csrc/core/optimizer.h), which says its options with
their ranges, and what it keeps for each parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypedDict, Unpack
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from fastnn import elsewhere, rows
from fastnn.applied import Applies, States
from fastnn.listing import names_of
from fastnn.registry import Checked, Registered, Registry
from fastnn.variables import Variable
from fastnn.words import flag, integer, keywords, number, optional, text

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Lion",
    "Optimizer",
    "RMSprop",
    "get",
]

__dir__ = names_of(__all__)


Array = NDArray[Any]


class Common(TypedDict, total=False):
    """Arguments that every optimizer takes by name."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float


CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")
COMMON = (*CLIPS, "use_ema", "ema_momentum")
# Names of Keras before version 2.3, which many programs still use.
OLD_NAMES = {"lr": "learning_rate"}


_NO_LR = "an optimizer has no 'lr': it is not in fastnn; use 'learning_rate'"


class LearningRate(float):
    """The rate of an optimizer: a float that can also be set, as a variable of Keras can.

    It pickles, and is written to configs, as the plain number.
    """

    def __new__(cls, value: float, _optimizer: Optimizer) -> Self:
        return super().__new__(cls, value)

    def __init__(self, _value: float, optimizer: Optimizer) -> None:
        self._optimizer = optimizer

    def assign(self, value: float) -> None:
        """Sets the rate of the optimizer, as `optimizer.learning_rate = value` does.

        This object keeps its value: it is the rate as it was when it was read.
        """
        self._optimizer.learning_rate = value

    def numpy(self) -> np.float64:
        """The rate as a NumPy number."""
        return np.float64(self)

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        return float, (float(self),)


class Setting(Checked[Any]):
    """An option of the native row."""

    def __init__(self) -> None:
        super().__init__(lambda _, value: value)

    def checked(self, holder: Optimizer, value: Any) -> Any:
        option = rows.optimizers()[holder.native].options[self.name]
        return flag(self.name, value) if option.is_flag else option.checked(value)


class Epsilon(Setting):
    """The epsilon of a native row; None, the default of old Keras, is 1e-7."""

    def checked(self, holder: Optimizer, value: Any) -> Any:
        return super().checked(holder, 1e-7 if value is None else value)


class Clip(Checked[float | None]):
    """A limit of gradients; None: no limit."""

    def __init__(self) -> None:
        super().__init__(optional(partial(number, low=0.0, open_low=True)))

    def checked(self, holder: Optimizer, value: Any) -> float | None:
        limit = super().checked(holder, value)
        limits = {name: vars(holder).get(name) for name in CLIPS} | {self.name: limit}
        if sum(given is not None for given in limits.values()) > 1:
            text = ", ".join(f"{name}={given}" for name, given in limits.items())
            raise ValueError(
                f"give at most one of clipnorm, clipvalue and global_clipnorm, got {text}"
            )
        return limit


class Optimizer(Applies, Registered):
    """The base of all optimizers.

    An optimizer given to two models is one set of hyperparameters for both; each model
    keeps its own state (velocities, moments), which `compile` resets.

    Every optimizer also takes, by name:
        lr: the former name of learning_rate, with a DeprecationWarning.
        clipnorm: the gradient of each parameter is scaled down to this norm where it is larger.
        clipvalue: each element of a gradient is cut to [-clipvalue, clipvalue].
        global_clipnorm: all gradients together are scaled down to this norm. At most one of the
            three may be given, as in Keras.
        use_ema: whether an average of the weights is kept, which takes their place at the end of
            `fit`. It begins anew from weights that are written (`set_weights`, a callback).
        ema_momentum: in [0, 1); after each step average = m * average + (1 - m) * weights, and
            after the first the weights themselves; default 0.99.
    These five are read at `compile`; later changes act from the next one on.

    Attributes:
        learning_rate: a float, with `assign(value)` and `numpy()` as Keras's. It may be changed
            at any time, also by a callback during `fit`: it is read at every native call.
        weight_decay: decoupled (Loshchilov and Hutter, 2019): at each step parameters lose
            learning_rate * weight_decay of themselves. None is 0.
        iterations: steps taken with this object, in all models that share it; an integer of at
            least 0, which may be set, also during `fit`.
    """

    # The row of the native table of optimizers. Its options are attributes, each a Setting.
    native: ClassVar[str]
    _inside = ("groups", "lr", "native", "settings", "stage")
    _in_keywords = COMMON
    _old_names = OLD_NAMES
    name = Checked(text)
    iterations = Checked(partial(integer, low=0))
    weight_decay = Checked(optional(partial(number, low=0.0)))
    clipnorm = Clip()
    clipvalue = Clip()
    global_clipnorm = Clip()
    use_ema = Checked(flag)
    ema_momentum = Checked(partial(number, low=0.0, high=1.0, open_high=True))

    def __init__(
        self,
        learning_rate: float,
        weight_decay: float | None,
        name: str,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
    ) -> None:
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.name = name
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.use_ema, self.ema_momentum = use_ema, ema_momentum
        self.iterations = 0
        self._states = States(self.native)
        self._built = None
        self._undecayed_names: list[str] = []
        self._undecayed: list[Variable] = []

    @property
    def learning_rate(self) -> LearningRate:
        return LearningRate(self._learning_rate, self)

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = number("learning_rate", value, 0.0)

    @property
    def lr(self) -> LearningRate:
        """The former name of `learning_rate`, which is not there: an AttributeError."""
        raise AttributeError(_NO_LR, name="lr", obj=self)

    @lr.setter
    def lr(self, _value: object) -> None:
        # Without a setter, setting would be an error that does not name the rate.
        raise AttributeError(_NO_LR, name="lr", obj=self)

    def exclude_from_weight_decay(
        self,
        var_list: Iterable[Variable] | None = None,
        var_names: Iterable[str] | None = None,
    ) -> None:
        """Exempts parameters from weight decay, from the next `compile` on.

        `get_config` does not hold it, as in Keras: it is of a model's parameters.

        Args:
            var_list: Variables.
            var_names: regular expressions; a parameter in whose path one is found is exempt, so
                ["bias"] exempts biases.

        Raises:
            TypeError: var_list holds something else, or var_names is no list of strings.
            re.error: no regular expression.
        """
        if isinstance(var_list, Variable):
            raise TypeError(f"var_list: expected a list of Variables, got {var_list!r}")
        variables: list[Any] = list(var_list or ())
        for variable in variables:
            if not isinstance(variable, Variable):
                raise TypeError(f"var_list: expected Variables, got {variable!r}")
        # A string is a sequence of letters, each of which would be a name.
        names: list[Any] = [None] if isinstance(var_names, str) else list(var_names or ())
        for name in names:
            if not isinstance(name, str):
                raise TypeError(f"var_names: expected a list of strings, got {var_names!r}")
            re.compile(name)
        self._undecayed += variables
        self._undecayed_names += names

    def settings(self) -> dict[str, float]:
        """Hyperparameters as a native call takes them."""
        kept = vars(self)
        settings = {
            "learning_rate": self._learning_rate,
            "weight_decay": self.weight_decay or 0.0,
        }
        for name in rows.optimizers()[self.native].options:
            settings[name] = float(kept[name])
        return settings

    def groups(self, variables: Sequence[Variable]) -> tuple[list[dict[str, float]], list[int]]:
        """Groups of parameters that are updated alike, and the number of each variable's group."""
        exempt = self._undecayed_of(variables)
        if not any(exempt):
            return [{}], [0] * len(variables)
        return [{}, {"decay": 0.0}], [int(is_exempt) for is_exempt in exempt]

    def _undecayed_of(self, variables: Sequence[Variable]) -> list[bool]:
        """Whether each is exempt from weight decay; empty: none is."""
        if not self._undecayed and not self._undecayed_names:
            return []
        return [self._is_undecayed(variable) for variable in variables]

    def _is_undecayed(self, variable: Variable) -> bool:
        return any(variable is other for other in self._undecayed) or any(
            re.search(pattern, variable.path) for pattern in self._undecayed_names
        )

    def stage(self) -> dict[str, Any]:
        """What the native update stage does besides the step, for the native `compile`."""
        return {
            "clip_value": self.clipvalue or 0.0,
            "clip_norm": self.clipnorm or 0.0,
            "global_clip_norm": self.global_clipnorm or 0.0,
            "average_momentum": self.ema_momentum if self.use_ema else None,
        }

    def __getstate__(self) -> dict[str, Any]:
        built = None
        if self._built is not None:
            built = [variable for given in self._built if (variable := given()) is not None]
        return {**vars(self), "_states": self._states.kept(), "_built": built}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)
        self._states = States(self.native, kept["_states"])
        built = kept["_built"]
        self._built = None if built is None else [ref(variable) for variable in built]

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value:g}" for name, value in self.settings().items())
        return f"<{type(self).__name__} {values}>"


OPTIMIZERS = Registry("optimizer", Optimizer)


@OPTIMIZERS.register("sgd")
class SGD(Optimizer):
    """Stochastic gradient descent: velocity = momentum * velocity - learning_rate * gradient.

    The parameter moves by the velocity, with `nesterov` by
    momentum * velocity - learning_rate * gradient, as in Keras.

    Args:
        learning_rate: at least 0; default 0.01.
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
        learning_rate: float = 0.01,
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

    Args:
        learning_rate: at least 0; default 0.001.
        beta_1, beta_2: how slowly the two moments forget, in [0, 1).
        epsilon: a positive number; default 1e-7 as in Keras, also for None. It stands outside the root and
            after the correction of the bias, as in the paper and in PyTorch. In float32 it acts
            as at least 1.1e-19: the root of a smaller moment has no digits.
        weight_decay: see `Optimizer`, also for further arguments.
        name: the name of the optimizer.
    """

    native = "adam"
    beta_1 = Setting()
    beta_2 = Setting()
    epsilon = Epsilon()

    @keywords(*COMMON, old=OLD_NAMES)
    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = 1e-7,
        weight_decay: float | None = None,
        name: str = "adam",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, name, **common)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon


@OPTIMIZERS.register("adamw")
class AdamW(Adam):
    """Adam with a weight decay of 0.004 by default; the decay is decoupled in both."""

    @keywords(*COMMON, old=OLD_NAMES)
    def __init__(
        self,
        learning_rate: float = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = 1e-7,
        name: str = "adamw",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, name, **common)


@OPTIMIZERS.register("rmsprop")
class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012): learning_rate * gradient / sqrt(velocity + epsilon).

    velocity = rho * velocity + (1 - rho) * gradient**2. epsilon stands under the root, as in Keras.

    Args:
        learning_rate: at least 0; default 0.001.
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
        learning_rate: float = 0.001,
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

    Then m = beta_2 * m + (1 - beta_2) * gradient.

    Args:
        learning_rate: at least 0; default 0.001.
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
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        weight_decay: float | None = None,
        name: str = "lion",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, name, **common)
        self.beta_1, self.beta_2 = beta_1, beta_2


def get(identifier: str | Optimizer | type[Optimizer]) -> Optimizer:
    """The optimizer that a name, an object or a class means; ValueError with the near match."""
    return OPTIMIZERS.get(identifier)


if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "optimizer", lambda: OPTIMIZERS.names)
