"""Why a model trains over the tape, and not in native code: one place tells, in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fastnn.constraints import Constraint
from fastnn.losses.overlap import OfBatch
from fastnn.models.objective import Objective
from fastnn.optimizers.base import Optimizer
from fastnn.regularizers import OrthogonalRegularizer, Regularizer
from fastnn.variables import Variable


class TapeWarning(UserWarning):
    """`fit` trains batch by batch over a tape, which is slower than the native `fit`.

    >>> import warnings
    >>> class Net(fastnn.Model):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.head = fastnn.layers.Dense(1)
    ...     def call(self, x):
    ...         return fastnn.sqrt(1 + self.head(x) ** 2)  # no layer: only a tape can train it
    >>> model = Net()
    >>> model.compile("adam", "mean_squared_error")
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always", fastnn.TapeWarning)
    ...     history = model.fit([[1.0], [2.0]], [1.0, 2.0], verbose=0)
    >>> told[0].category.__name__
    'TapeWarning'
    """


class Reason(NamedTuple):
    """Why a model trains over the tape."""

    why: str  # a clause
    instead: str  # what would make it native; empty: the user asked for the tape

    @property
    def is_asked(self) -> bool:
        """Whether the user asked for it, by a step of the model's own."""
        return not self.instead


def of_compile(steps: tuple[str, ...], objective: Objective, has_several: bool) -> Reason | None:
    """The reason that the arguments of `compile` give, or the class; None: there is none.

    Args:
        steps: names of the steps that the class overrides.
        objective: losses and metrics.
        has_several: whether the model is known to have several outputs.
    """
    if steps:
        return of_steps(steps)
    if has_several or objective.has_several:
        return several()
    loss = objective.own_loss()
    if isinstance(loss, OfBatch):
        return Reason(
            f"the loss {loss.name!r} is no mean over rows", "Other losses of fastnn train natively."
        )
    if loss is not None:
        return Reason(
            f"the loss {loss.name!r} is Python code",
            "A loss of fastnn.losses trains natively.",
        )
    if objective.loss_weights not in (None, 1.0, [1.0]):
        return Reason("its loss has a weight", "Without loss_weights it trains natively.")
    return None


def of_layers(layers: Iterable[object]) -> Reason | None:
    """The reason that regularizers and constraints of layers give; None: there is none."""
    for layer in layers:
        for name, value in vars(layer).items():
            if _is_taped(value):
                return Reason(
                    f"{name} of the layer {getattr(layer, 'name', layer)!r} is not part of the native "
                    "update",
                    "L1, L2 and L1L2, and the constraints of fastnn.constraints, are.",
                )
        reason = of_variables(getattr(layer, "variables", ()))
        if reason is not None:
            return reason
    return None


def of_variables(variables: Iterable[Variable]) -> Reason | None:
    """The same of Variables."""
    for variable in variables:
        # Natively such a parameter is one row: norms along some of its axes are not known there.
        along = variable.by_number and len(variable.shape) > 1
        limits = variable.regularizer, variable.constraint
        if any(_is_taped(limit) or (along and _looks_along_axes(limit)) for limit in limits):
            return Reason(
                f"the regularizer or constraint of {variable.path} is not part of the native update",
                "L1, L2 and L1L2, and the constraints of fastnn.constraints, are.",
            )
    return None


def _looks_along_axes(value: object) -> bool:
    return hasattr(value, "axis") or isinstance(value, OrthogonalRegularizer)


def _is_taped(value: object) -> bool:
    if isinstance(value, Regularizer):
        return value.factors is None
    return isinstance(value, Constraint) and not value.is_native


def of_optimizer(optimizer: Optimizer) -> Reason | None:
    """The reason that the optimizer gives; None: there is none."""
    if not optimizer.full_batch:
        return None
    return Reason(f"{type(optimizer).__name__} looks at all rows several times for a step", "")


def of_steps(steps: tuple[str, ...]) -> Reason:
    return Reason(f"it has a {steps[0]} of its own", "")


def several() -> Reason:
    return Reason("it has several outputs", "A model of one output trains natively.")


def without_loss() -> Reason:
    return Reason("its loss is what its layers add", "A loss of fastnn.losses trains natively.")


def of_call(why: str) -> Reason:
    """The reason that `call` is no graph of layers."""
    of_layer = why.find("the layer '")
    return Reason(
        f"its `call` is no graph of layers: {why}" if of_layer < 0 else why[of_layer:], _NATIVE
    )


def of_part(why: str) -> Reason:
    """The reason that a call in a functional model is none."""
    return Reason(why[max(0, why.find("the layer '")) :], _NATIVE)


_NATIVE = "Layers, and the functions that docs/keras.md lists with them, train natively."
