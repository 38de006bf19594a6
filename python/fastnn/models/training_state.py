"""The state of training as a file has it: words and numbers, and arrays by names of weights.

What `compile` was given is made anew from its words; what it found then, such as which weights are
trained, and how far the optimizer is, is put back as it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.console import warn
from fastnn.losses.base import LOSSES, Loss
from fastnn.losses.functions import FunctionLoss
from fastnn.metrics.base import METRICS, Metric
from fastnn.metrics.functions import FunctionMetric
from fastnn.models.built import Progress, Settings, progress_of
from fastnn.models.compiled import Plan
from fastnn.optimizers.base import OPTIMIZERS, Optimizer, Scaled
from fastnn.registry import plain
from fastnn.serializable import class_described, described, function_described, function_of
from fastnn.variables import Variable, within
from fastnn.words import flag, integer, number, text

Array = NDArray[Any]
Told = dict[str, Any]

# Names of arrays that are no weights: no path of a weight begins with "/".
_SLOTS = "/optimizer"
_STEPPED = "/apply_gradients"
_OWN = "/optimizers"
_AVERAGE = "average"
_GATHERED = "gathered"


# -- what compile was given


def compile_described(plan: Plan) -> Told:
    """The arguments of `compile`, without the state of the optimizer.

    Raises:
        TypeError: one of them has no config, as a lambda.
    """
    objective = plan.objective
    metrics, weighted = objective.given
    return {
        "optimizer": described(plan.optimizer),
        "loss": _described("loss", objective.loss),
        "loss_weights": _described("loss_weights", objective.loss_weights),
        "metrics": _described("metrics", metrics),
        "weighted_metrics": _described("weighted_metrics", weighted),
        "device": plan.device or "auto",
        "matmul_precision": plan.precision,
    }


def _described(what: str, given: Any) -> Any:
    """A structure of losses or metrics; a dictionary is told as {"by_name": ...}."""
    if given is None or isinstance(given, (str, int, float)):
        return given
    if isinstance(given, (FunctionLoss, FunctionMetric)):
        return function_described(what, given.function)
    if isinstance(given, Loss):
        return {"loss": described(given)}
    if isinstance(given, Metric):
        return {"metric": described(given)}
    if isinstance(given, Mapping):
        return {"by_name": {str(name): _described(what, one) for name, one in given.items()}}
    if isinstance(given, Sequence):
        return [_described(what, one) for one in given]
    raise TypeError(f"{what}: a {type(given).__name__} has no config")


def compile_arguments(told: Mapping[str, Any]) -> Told:
    """The arguments of `compile` from what `compile_described` made.

    Raises:
        ValueError: a class or function is not known, or an option is wrong.
    """
    known = ("loss", "loss_weights", "metrics", "weighted_metrics")
    found: Told = {name: _made(name, told.get(name)) for name in known}
    found["optimizer"] = OPTIMIZERS.get(told.get("optimizer"))
    found["device"] = told.get("device", "auto")
    found["matmul_precision"] = told.get("matmul_precision")
    return found


def _made(what: str, told: Any) -> Any:
    if isinstance(told, Mapping):
        if "by_name" in told:
            return {name: _made(what, one) for name, one in told["by_name"].items()}
        if "function" in told:
            return function_of(what, told)
        if "loss" in told:
            return LOSSES.get(told["loss"])
        if "metric" in told:
            return METRICS.get(told["metric"])
        raise ValueError(f"{what}: expected a loss, a metric or a function, got {told!r:.100}")
    return [_made(what, one) for one in told] if isinstance(told, list) else told


def compile_by(model: Any, told: Mapping[str, Any]) -> None:
    """Compiles a model as another one was; on a GPU that is not here, where "auto" chooses."""
    arguments = compile_arguments(told)
    try:
        model.compile(**arguments)
    except RuntimeError as why:
        if arguments["device"] != "cuda":
            raise
        warn(f"load_model: compiled for a GPU, which cannot be used here: {why}", UserWarning)
        model.compile(**{**arguments, "device": "auto"})


# -- what training has made of it


class TrainingState:
    """Words and arrays of the state of training of a model, whose weights have these names.

    `place`: what names of arrays begin with, of a model in the model.
    """

    def __init__(self, weights: Mapping[str, Variable], place: str = "") -> None:
        self.weights = weights
        self._place = place
        self._names = {id(variable): name for name, variable in weights.items()}

    # -- to words and arrays

    def of_optimizer(
        self, optimizer: Optimizer, arrays: dict[str, Array], where: str | None = None
    ) -> Told:
        """What an optimizer object has besides its config; `where`: names of its arrays begin so."""
        where = self._place + _STEPPED if where is None else where
        told: Told = {
            "iterations": int(optimizer.taken),
            "undecayed_names": list(optimizer._undecayed_names),
            "undecayed": self._named(optimizer._undecayed),
        }
        if optimizer._scaled:
            told["scaled"] = [
                {"factor": one.factor, "names": one.names, "weights": self._named(one.variables)}
                for one in optimizer._scaled
            ]
        slots = optimizer.slot_names
        steps: Told = {}
        for variable, kept in optimizer._states.kept():
            name = self._names.get(id(variable))
            if name is None:  # of another model
                continue
            values, count, average, gathered = kept
            steps[name] = count
            for slot, value in zip(slots, values, strict=True):
                arrays[f"{where}/{slot}/{name}"] = np.reshape(value, variable.shape)
            if average is not None:
                arrays[f"{where}/{_AVERAGE}/{name}"] = np.asarray(average)
            if gathered is not None:
                arrays[f"{where}/{_GATHERED}/{name}"] = np.asarray(gathered)
        told["steps"] = steps
        return told

    def of_own(self, found: Mapping[str, Optimizer], arrays: dict[str, Array]) -> list[Told]:
        """What optimizers among the attributes of a program's own classes have, by their paths."""
        told = []
        for i, (name, optimizer) in enumerate(found.items()):
            one = self.of_optimizer(optimizer, arrays, f"{_OWN}/{i}")
            if optimizer.schedule is None:
                one["learning_rate"] = float(optimizer.learning_rate)
            told.append({"name": name, **class_described(type(optimizer)), **one})
        return told

    def _named(self, variables: Sequence[Variable]) -> list[str]:
        return [self._names[id(v)] for v in variables if id(v) in self._names]

    def of_network(
        self,
        network: Any,
        settings: Settings,
        variables: Sequence[Variable],
        optimizer: Optimizer,
        arrays: dict[str, Array],
    ) -> Told:
        """How a native network was compiled, and how far it is."""
        progress = progress_of(network)
        for slot, flat in zip(_slots(optimizer, settings), progress.optimizer_state, strict=True):
            for variable, (offset, _) in zip(variables, network.parameters, strict=True):
                name = self._names[id(variable)]
                arrays[f"{self._place}{_SLOTS}/{slot}/{name}"] = within(variable, flat, offset)
        return {
            "trained": self._named(
                [v for v, is_trained in zip(variables, settings.trained, strict=True) if is_trained]
            ),
            "groups": settings.groups,
            "group_of": {
                self._names[id(v)]: number
                for v, number in zip(variables, settings.numbers, strict=True)
                if number
            },
            "stage": settings.stage,
            "loss": plain("save: loss", settings.loss),
            "steps": progress.steps,
            "updates": progress.updates,
            "epochs": progress.epochs,
            "continues": progress.continues,
        }

    # -- from words and arrays

    def optimizer_put(
        self,
        optimizer: Optimizer,
        told: Mapping[str, Any],
        arrays: Mapping[str, Array],
        where: str | None = None,
    ) -> Callable[[], None]:
        """What puts the state of an optimizer back, all of which is checked here."""
        where = self._place + _STEPPED if where is None else where
        iterations = integer("iterations", told.get("iterations", 0), 0)
        undecayed = [self._weight(name) for name in told.get("undecayed", ())]
        patterns = _patterns("undecayed_names", told.get("undecayed_names", ()))
        scaled = [self._scaled(one) for one in told.get("scaled", ())]
        slots = optimizer.slot_names
        found: Any = []
        for name, count in told.get("steps", {}).items():
            variable = self._weight(name)
            values = [self._array(arrays, f"{where}/{slot}/{name}", variable) for slot in slots]
            average = None
            if f"{where}/{_AVERAGE}/{name}" in arrays:
                average = self._array(arrays, f"{where}/{_AVERAGE}/{name}", variable)
            gathered = None
            if f"{where}/{_GATHERED}/{name}" in arrays:
                gathered = self._array(arrays, f"{where}/{_GATHERED}/{name}", variable)
            flat = [value.reshape(-1) for value in values]
            found.append((variable, (flat, integer("steps", count, 0), average, gathered)))

        def put() -> None:
            optimizer.taken = iterations
            optimizer._undecayed, optimizer._undecayed_names = list(undecayed), list(patterns)
            optimizer._scaled = list(scaled)
            optimizer._states.put(found)

        return put

    def _scaled(self, told: Mapping[str, Any]) -> Scaled:
        """Parameters with a factor of the learning rate."""
        factor = number("scaled: factor", told["factor"], 0.0)
        weights = [self._weight(name) for name in told["weights"]]
        return Scaled(factor, weights, _patterns("scaled: names", told["names"]))

    def own_puts(
        self, found: Mapping[str, Optimizer], told: Sequence[Any], arrays: Mapping[str, Array]
    ) -> list[Callable[[], None]]:
        """What puts the state of such optimizers back.

        Warns:
            UserWarning: the model has none of the name and class, as the code that makes it was not
                run, or has changed; that state is left out.
        """
        puts: list[Callable[[], None]] = []
        missing = []
        for i, one in enumerate(told):
            name, cls = text("name", one["name"]), text("class_name", one["class_name"])
            optimizer = found.get(name)
            if optimizer is None or class_described(type(optimizer))["class_name"] != cls:
                missing.append(f"{name} ({cls})")
                continue
            puts.append(self.optimizer_put(optimizer, one, arrays, f"{_OWN}/{i}"))
            rate = one.get("learning_rate")
            if rate is not None:
                rate = number("learning_rate", rate, 0.0)
                puts.append(partial(setattr, optimizer, "learning_rate", rate))
        if missing:
            warn(
                f"load_model: the model has no optimizers {', '.join(missing):.300}, of which the "
                "file has the state: that is left out",
                UserWarning,
            )
        return puts

    def settings_of(
        self, told: Mapping[str, Any], variables: Sequence[Variable], like: Settings
    ) -> Settings:
        """How a network was compiled whose parameters are these; `like`: how it would be now."""
        trained, numbers = set(told["trained"]), told["group_of"]
        names = [self._names[id(variable)] for variable in variables]
        groups = [{str(k): float(v) for k, v in group.items()} for group in told["groups"]]
        found = [integer("group_of", numbers.get(name, 0), 0, len(groups) - 1) for name in names]
        stage = _like("stage", told["stage"], like.stage)
        integer("accumulate", stage["accumulate"])
        integer("overwrite", stage["overwrite"], 0)
        loss = _like("loss", told["loss"], like.loss)
        return Settings([name in trained for name in names], groups, found, stage, loss)

    def progress_of(
        self,
        told: Mapping[str, Any],
        network: Any,
        settings: Settings,
        variables: Sequence[Variable],
        optimizer: Optimizer,
        arrays: Mapping[str, Array],
    ) -> Progress:
        """How far a network of these settings was."""
        state = []
        for slot in _slots(optimizer, settings):
            flat = np.zeros(network.parameter_size, variables[0].dtype if variables else "float32")
            for variable, (offset, shape) in zip(variables, network.parameters, strict=True):
                name = self._names[id(variable)]
                value = self._array(arrays, f"{self._place}{_SLOTS}/{slot}/{name}", variable)
                flat[offset : offset + math.prod(shape)] = value.reshape(-1)
            state.append(flat)
        steps, updates, epochs = (
            integer(name, told[name], 0) for name in ("steps", "updates", "epochs")
        )
        return Progress(state, steps, updates, epochs, bool(told["continues"]))

    def _weight(self, name: Any) -> Variable:
        if name not in self.weights:
            raise ValueError(f"the model has no weight {name!r}")
        return self.weights[name]

    def _array(self, arrays: Mapping[str, Array], name: str, like: Variable) -> Array:
        if name not in arrays:
            raise ValueError(f"there is no array {name!r}")
        array = arrays[name]
        if array.shape != like.shape or array.dtype != like.dtype:
            raise ValueError(
                f"{name!r}: expected {like.dtype} of shape {like.shape}, got {array.dtype} of shape "
                f"{array.shape}"
            )
        return array


def _patterns(what: str, given: Iterable[Any]) -> list[str]:
    """Regular expressions of a file."""
    patterns = [text(what, one) for one in given]
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as why:
            raise ValueError(f"{what}: no regular expression: {why}") from None
    return patterns


def _slots(optimizer: Optimizer, settings: Settings) -> list[str]:
    """Names of the arrays that a network keeps for each parameter."""
    slots = list(optimizer.slot_names)
    if settings.stage["accumulate"] > 1:
        slots.append(_GATHERED)
    return [*slots, _AVERAGE] if settings.averages else slots


def _like(what: str, told: Any, like: Any) -> Any:
    """A value of a file that has the type, and the names, of one that is right."""
    if isinstance(like, Mapping):
        if not isinstance(told, Mapping) or set(told) - set(like):
            raise ValueError(f"network: {what}: expected {', '.join(like)}, got {told!r:.100}")
        return {  # what an older version did not write is as it is now
            name: _like(f"{what}: {name}", told[name], value) if name in told else value
            for name, value in like.items()
        }
    if isinstance(like, str):
        if told != like:
            raise ValueError(f"network: {what}: expected {like!r}, got {told!r:.100}")
        return like
    if isinstance(like, bool):
        return flag(f"network: {what}", told)
    if isinstance(like, np.ndarray):
        made = np.asarray(told, np.float64)
        if made.shape != like.shape or not np.isfinite(made).all():
            raise ValueError(f"network: {what}: expected finite numbers of shape {like.shape}")
        return made
    if told is None and what in _MAY_BE_NONE:
        return None
    if isinstance(like, float) or what == _AVERAGES:
        return number(f"network: {what}", told, 0.0)
    return integer(f"network: {what}", told, -(2**31), 2**31 - 1)


_AVERAGES = "stage: average_momentum"
_MAY_BE_NONE = (_AVERAGES, "loss: ignore_class", "loss: pos_weight")
