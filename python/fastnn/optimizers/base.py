"""Optimizer: hyperparameters only. State and steps are native, one state a model. No row is here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self, TypedDict
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from fastnn import rows
from fastnn.applied import Applies
from fastnn.optimizers.learning_rates import LearningRateSchedule, schedule_of
from fastnn.registry import Checked, Registered, Registry
from fastnn.step_states import Kept, States
from fastnn.variables import Variable
from fastnn.words import flag, integer, number, optional, text


class Common(TypedDict, total=False):
    """Arguments that every optimizer takes by name."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    gradient_accumulation_steps: int | None


CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")
_AVERAGES = ("use_ema", "ema_momentum", "ema_overwrite_frequency")
COMMON = (*CLIPS, *_AVERAGES, "gradient_accumulation_steps")
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


Rate = LearningRateSchedule | Callable[..., Any] | float


def _rate(name: str, value: Any) -> LearningRateSchedule | float:
    """A learning rate: a number, or a schedule of one, also from a config of it."""
    if isinstance(value, Mapping) or callable(value):
        return schedule_of(value)
    return number(name, value, 0.0)


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


class Scaled(NamedTuple):
    """Parameters with a factor of the learning rate."""

    factor: float
    variables: list[Variable]
    names: list[str]


_MOST_GROUPS = 16  # as csrc/core/optimizer_rules.h has it


def _checked(var_list: Any, var_names: Any) -> tuple[list[Variable], list[str]]:
    """Lists of Variables and of regular expressions, checked."""
    if isinstance(var_list, Variable):
        raise TypeError(f"var_list: expected a list of Variables, got {var_list!r}")
    variables = list(var_list or ())
    for variable in variables:
        if not isinstance(variable, Variable):
            raise TypeError(f"var_list: expected Variables, got {variable!r}")
    # A string is a sequence of letters, each of which would be a name.
    names: list[Any] = [None] if isinstance(var_names, str) else list(var_names or ())
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"var_names: expected a list of strings, got {var_names!r}")
        re.compile(name)
    return variables, names


def _is_meant(variable: Variable, variables: Iterable[Variable], names: Iterable[str]) -> bool:
    return any(variable is other for other in variables) or any(
        re.search(pattern, variable.path) for pattern in names
    )


class Optimizer(Applies, Registered):
    """The base of all optimizers.

        >>> optimizer = fastnn.optimizers.Adam(0.01, clipnorm=1.0)
        >>> optimizer.learning_rate = 0.001
        >>> optimizer.learning_rate, optimizer.iterations
        (0.001, 0)

    An optimizer given to two models is one set of hyperparameters for both; each model
    keeps its own state (velocities, moments), which `compile` resets.

    Every optimizer also takes these by name. All but lr are read at `compile`; later changes act
    from the next one on.

    Keyword Args:
        lr: the former name of learning_rate, with a DeprecationWarning.
        clipnorm: the gradient of each parameter is scaled down to this norm where it is larger.
        clipvalue: each element of a gradient is cut to [-clipvalue, clipvalue].
        global_clipnorm: all gradients together are scaled down to this norm. At most one of the
            three may be given, as in Keras.
        use_ema: whether an average of the weights is kept, which takes their place at the end of
            `fit`. It begins anew from weights that are written (`set_weights`, a callback).
        ema_momentum: in [0, 1); after each step average = m * average + (1 - m) * weights, and
            after the first the weights themselves; default 0.99.
        ema_overwrite_frequency: after each so many updates the weights become their average, too;
            None: at the end of `fit` alone.
        gradient_accumulation_steps: the gradients of so many batches are averaged for one update,
            as if the batch had been so many times larger; None: each batch is one. What is
            gathered stays from one `fit` to the next.

    Attributes:
        learning_rate: the rate of the next step, a float with `assign(value)` and `numpy()` as
            Keras's. It may be set at any time, also by a callback during `fit`: to a number, or to a
            schedule (`fastnn.optimizers.schedules`, or a function of the number of the step, from
            0), of which each step has its own rate, also within a native call. (Keras refuses to
            set the rate of an optimizer that has a schedule.)
        weight_decay: decoupled (Loshchilov and Hutter, 2019): at each step parameters lose
            learning_rate * weight_decay of themselves. None is 0.
        iterations: updates made with this object, in all models that share it; an integer of at
            least 0, which may be set, also during `fit`. Schedules count batches, as in Keras:
            with gradient_accumulation_steps=n they are n times as many.
    """

    # The row of the native table of optimizers. Its options are attributes, each a Setting.
    native: str
    _inside: ClassVar[tuple[str, ...]] = (
        *("accumulated", "full_batch", "groups", "initial_state", "lr", "native", "rates"),
        *("settings", "slot_names", "stage", "taken"),
    )
    # Whether a step looks at all rows, and evaluates them several times.
    full_batch: ClassVar[bool] = False
    _kept_as: ClassVar[Mapping[str, str | None]] = {"learning_rate": "_rate"}
    # Settings of native steps that are no options (csrc/core/optimizer_rules.h): fastnn.sklearn has
    # penalties by batch.
    _besides: Mapping[str, float] = MappingProxyType({})
    _in_keywords: ClassVar[tuple[str, ...]] = COMMON
    _old_names = OLD_NAMES
    name = Checked(text)
    taken = Checked(partial(integer, low=0))  # batches
    gradient_accumulation_steps = Checked(optional(partial(integer, low=1)))
    weight_decay = Checked(optional(partial(number, low=0.0)))
    clipnorm = Clip()
    clipvalue = Clip()
    global_clipnorm = Clip()
    use_ema = Checked(flag)
    ema_momentum = Checked(partial(number, low=0.0, high=1.0, open_high=True))
    ema_overwrite_frequency = Checked(optional(partial(integer, low=1)))

    def __init__(
        self,
        learning_rate: Rate,
        weight_decay: float | None,
        name: str,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        gradient_accumulation_steps: int | None = None,
    ) -> None:
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.name = name
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.use_ema, self.ema_momentum = use_ema, ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.taken = 0
        self._states = self._new_states()
        self._built = None
        self._undecayed_names: list[str] = []
        self._undecayed: list[Variable] = []
        self._scaled: list[Scaled] = []

    @property
    def learning_rate(self) -> LearningRate:
        """The rate of the next update, a number that has `assign` and `numpy`; set a number or a schedule."""
        return LearningRate(self._rate_now(), self)

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        self._rate = _rate("learning_rate", value)

    @property
    def iterations(self) -> int:
        """Steps taken with this object, of so many batches each as gradients are accumulated; may be set."""
        return int(self.taken) // self.accumulated

    @iterations.setter
    def iterations(self, value: int) -> None:
        self.taken = integer("iterations", value, low=0) * self.accumulated

    @property
    def accumulated(self) -> int:
        """The number of batches whose gradients make one update."""
        return self.gradient_accumulation_steps or 1

    @property
    def schedule(self) -> LearningRateSchedule | None:
        """The schedule of the learning rate; None: the rate is a number."""
        return self._rate if isinstance(self._rate, LearningRateSchedule) else None

    def _rate_now(self) -> float:
        rate = self._rate
        if isinstance(rate, LearningRateSchedule):
            return float(rate.rates(np.array([self.taken]))[0])
        return rate

    def rates(self, steps: int) -> NDArray[np.float64] | None:
        """The learning rate of each of the next steps; None: all have the one of `settings`."""
        schedule = self.schedule
        if schedule is None:
            return None
        first = int(self.taken)
        return schedule.rates(np.arange(first, first + steps))

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

            >>> optimizer = fastnn.optimizers.SGD(0.5, weight_decay=1.0)
            >>> optimizer.exclude_from_weight_decay(var_names=["bias"])
            >>> kernel, bias = fastnn.Variable([8.0], name="kernel"), fastnn.Variable([8.0], name="bias")
            >>> optimizer.apply([[0.0], [0.0]], [kernel, bias])
            1
            >>> kernel.numpy().tolist(), bias.numpy().tolist()
            ([4.0], [8.0])

        `get_config` does not hold it, as in Keras: it is of a model's parameters.

        Args:
            var_list: Variables.
            var_names: regular expressions; a parameter in whose path one is found is exempt, so
                ["bias"] exempts biases.

        Raises:
            TypeError: var_list holds something else, or var_names is no list of strings.
            re.error: no regular expression.
        """
        variables, names = _checked(var_list, var_names)
        self._undecayed += variables
        self._undecayed_names += names

    def multiply_learning_rate(
        self,
        factor: float,
        var_list: Iterable[Variable] | None = None,
        var_names: Iterable[str] | None = None,
    ) -> None:
        """Gives parameters another learning rate: `factor` times that of all, from the next `compile`
        on.

            >>> import fastnn
            >>> optimizer = fastnn.optimizers.Adam(0.01)
            >>> optimizer.multiply_learning_rate(0.1, var_names=["encoder/"])

        Their weight decay, which is a share of the learning rate, changes alike. Parameters that
        are named several times have the product of the factors; 0 leaves them as they are. It has no
        counterpart in Keras; `get_config` does not hold it, and model files do. A model may have
        16 kinds of parameters that differ in this, in weight decay, regularizers or constraints.

        Args:
            factor: at least 0.
            var_list: Variables.
            var_names: regular expressions; a parameter is meant in whose path one is found.

        Raises:
            TypeError, ValueError, re.error: see `exclude_from_weight_decay`.
        """
        variables, names = _checked(var_list, var_names)
        self._scaled.append(Scaled(number("factor", factor, 0.0), variables, names))

    def _new_states(self, kept: Iterable[tuple[Variable, Kept]] = ()) -> States:
        return States(self.native, kept)

    @property
    def slot_names(self) -> tuple[str, ...]:
        """Names of what is kept for each parameter."""
        return rows.optimizers()[self.native].slots

    def settings(self) -> dict[str, float]:
        """Hyperparameters as a native call takes them."""
        return {**self._options(), **self._besides}

    def _options(self) -> dict[str, float]:
        kept = vars(self)
        settings = {
            "learning_rate": self._rate_now(),
            "weight_decay": self.weight_decay or 0.0,
        }
        for name in rows.optimizers()[self.native].options:
            settings[name] = float(kept[name] or 0.0)
        return settings

    def groups(self, variables: Sequence[Variable]) -> tuple[list[dict[str, float]], list[int]]:
        """Groups of parameters that are updated alike, and the number of each variable's group."""
        groups: list[dict[str, float]] = [{}]
        numbers = []
        for variable in variables:
            own = self._group_of(variable)
            if own not in groups:
                groups.append(own)
            numbers.append(groups.index(own))
        if len(groups) > _MOST_GROUPS:
            raise ValueError(
                f"compile: expected at most {_MOST_GROUPS} kinds of parameters (by learning rate, "
                f"weight decay, regularizer and constraint), got {len(groups)}"
            )
        return groups, numbers

    def _group_of(self, variable: Variable) -> dict[str, float]:
        """How a parameter is updated in another way than others are."""
        rate, decay, is_orthogonal = self._scale_of(variable)
        group = {}
        if rate != 1:
            group["rate"] = rate
        if decay != 1:
            group["decay"] = decay
        if is_orthogonal:
            group["orthogonal"] = 1.0
        factors = None if variable.regularizer is None else variable.regularizer.factors
        if factors is not None:
            group |= {name: value for name, value in factors._asdict().items() if value}
        if variable.constraint is not None:
            group |= variable.constraint.native(variable.shape)
        return group

    def _scales_of(self, variables: Sequence[Variable]) -> list[tuple[float, float, bool]]:
        """Factors of each learning rate and weight decay, and whether the step is Muon's; empty: they
        are 1, and none is."""
        if not self._undecayed and not self._undecayed_names and not self._scaled:
            return []
        return [self._scale_of(variable) for variable in variables]

    def _scale_of(self, variable: Variable) -> tuple[float, float, bool]:
        rate = 1.0
        for factor, variables, names in self._scaled:
            if _is_meant(variable, variables, names):
                rate *= factor
        is_undecayed = _is_meant(variable, self._undecayed, self._undecayed_names)
        return rate, 0.0 if is_undecayed else 1.0, False

    def stage(self) -> dict[str, Any]:
        """What the native update stage does besides the step, for the native `compile`."""
        return {
            "clip_value": self.clipvalue or 0.0,
            "clip_norm": self.clipnorm or 0.0,
            "global_clip_norm": self.global_clipnorm or 0.0,
            "average_momentum": self.ema_momentum if self.use_ema else None,
            "overwrite": (self.ema_overwrite_frequency or 0) if self.use_ema else 0,
            "initial_state": self.initial_state,
            "accumulate": self.accumulated,
        }

    def __getstate__(self) -> dict[str, Any]:
        built = None
        if self._built is not None:
            built = [variable for given in self._built if (variable := given()) is not None]
        return {**vars(self), "_states": self._states.kept(), "_built": built}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)
        self._states = self._new_states(kept["_states"])
        built = kept["_built"]
        self._built = None if built is None else [ref(variable) for variable in built]

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value:g}" for name, value in self._options().items())
        return f"<{type(self).__name__} {values}>"


OPTIMIZERS = Registry("optimizer", Optimizer)


def get(identifier: str | Optimizer | type[Optimizer]) -> Optimizer:
    """The optimizer that a name, an object or a class means; ValueError with the near match.

        >>> fastnn.optimizers.get("sgd").learning_rate
        0.01

    Args:
        identifier: "sgd", an Optimizer, a class of one, or its config.
    """
    return OPTIMIZERS.get(identifier)
