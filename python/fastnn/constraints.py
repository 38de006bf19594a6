"""Constraints: what weights have to fulfil after each update.

Those of this module are part of the native update; others are applied over the tape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from fastnn import elsewhere
from fastnn.autodiff import functions as f
from fastnn.autodiff.tensor import Tensor
from fastnn.listing import names_of
from fastnn.registry import Checked, Registered, Registry
from fastnn.serializable import function_described, function_of
from fastnn.words import integer, keywords, name_of, number

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "get",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "unit_norm",
]

__dir__ = names_of(__all__)

# Added to norms that are divided by, as in Keras.
_EPSILON = 1e-7


class Constraint(Registered):
    """The base of all constraints: called with weights, one gives the weights to take their place.

    One of a program's own derives from it and computes by `fastnn.math`, or is a function:

        >>> import fastnn
        >>> class Capped(fastnn.constraints.Constraint):
        ...     def __call__(self, w):
        ...         return fastnn.math.minimum(w, 1.0)
        >>> Capped()([0.5, 3.0]).numpy().tolist()
        [0.5, 1.0]
        >>> layer = fastnn.layers.Dense(2, kernel_constraint=Capped())

    Models that have such a one train over the tape, which is slower than native training.
    """

    # Whether the native update stage has it.
    is_native: ClassVar[bool] = False
    _inside: ClassVar[tuple[str, ...]] = ("is_native", "native")

    def __call__(self, w: Any) -> Tensor:
        """The weights that take the place of w, a Tensor of the same shape."""
        raise NotImplementedError(f"{type(self).__name__} has no __call__")

    def native(self, shape: tuple[int, ...]) -> dict[str, float]:
        """What the native update stage is told, for weights of this shape."""
        raise NotImplementedError(shape)


CONSTRAINTS = Registry("constraint", Constraint)

Axis = int | Sequence[int]


def _axis(name: str, value: object) -> int | list[int]:
    """An axis, or a list of axes."""
    if isinstance(value, (list, tuple)):
        return [integer(name, one, -8, 7) for one in value]
    return integer(name, value, -8, 7)


class _Norm(Constraint):
    """Vectors are scaled, so that their norms come near a range."""

    axis = Checked(_axis)
    is_native = True

    def _bounds(self) -> tuple[float, float, float]:
        """The least and the largest norm, and how far the norm goes there."""
        raise NotImplementedError

    def __call__(self, w: Any) -> Tensor:
        low, high, rate = self._bounds()
        weights = f.convert_to_tensor(w)
        axis = tuple(self.axis) if isinstance(self.axis, list) else self.axis
        norms = f.sqrt(f.reduce_sum(f.square(weights), axis=axis, keepdims=True))
        wanted = rate * f.clip_by_value(norms, low, high) + (1.0 - rate) * norms
        return weights * (wanted / (_EPSILON + norms))

    def native(self, shape: tuple[int, ...]) -> dict[str, float]:
        axes = self.axis if isinstance(self.axis, list) else [self.axis]
        if not axes or any(not -len(shape) <= axis < len(shape) for axis in axes):
            raise ValueError(
                f"{type(self).__name__}: axis: weights of shape {shape} have no axis {self.axis}"
            )
        low, high, rate = self._bounds()
        # A vector has one axis, which natively is that of its columns.
        over = {axis % len(shape) + 2 - len(shape) for axis in axes}
        return {
            "constraint": 2.0,
            "low": low,
            "high": high,
            "constraint_rate": rate,
            "over_rows": float(0 in over),
            "over_columns": float(1 in over),
        }


@CONSTRAINTS.register("max_norm")
class MaxNorm(_Norm):
    """Vectors longer than max_value are shortened (Srivastava et al., 2014).

        >>> constraint = fastnn.constraints.MaxNorm(5.0)
        >>> print(constraint([[30.0, 1.0], [40.0, 0.0]]).numpy().round(4))  # columns of norm 50 and 1
        [[3. 1.]
         [4. 0.]]

    Args:
        max_value: at least 0.
        axis: the axis, or axes, that norms are summed over; 0, that of a kernel's inputs, takes the
            weights of each unit together.
    """

    max_value = Checked(partial(number, low=0.0))

    @keywords()
    def __init__(self, max_value: float = 2, axis: Axis = 0) -> None:
        self.max_value, self.axis = max_value, axis

    def _bounds(self) -> tuple[float, float, float]:
        return 0.0, self.max_value, 1.0


class _End(Checked[float]):
    """An end of a range of norms, which must not pass the other end."""

    def __init__(self) -> None:
        super().__init__(number)

    def checked(self, holder: Any, value: Any) -> float:
        if self.name == "min_value":
            return number(self.name, value, 0.0, vars(holder).get("max_value", math.inf))
        return number(self.name, value, low=holder.min_value)


@CONSTRAINTS.register("min_max_norm")
class MinMaxNorm(_Norm):
    """Norms are brought into [min_value, max_value].

        >>> constraint = fastnn.constraints.MinMaxNorm(min_value=5.0, max_value=10.0)
        >>> print(constraint([[0.3, 30.0], [0.4, 40.0]]).numpy().round(4))
        [[3. 6.]
         [4. 8.]]

    Args:
        min_value, max_value: at least 0, the first not above the second.
        rate: in [0, 1]: vectors are scaled to the norm
            rate * clip(norm, min_value, max_value) + (1 - rate) * norm.
        axis: see `MaxNorm`.
    """

    min_value = _End()
    max_value = _End()
    rate = Checked(partial(number, low=0.0, high=1.0))

    @keywords()
    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: Axis = 0,
    ) -> None:
        self.min_value, self.max_value = min_value, max_value
        self.rate, self.axis = rate, axis

    def _bounds(self) -> tuple[float, float, float]:
        return self.min_value, self.max_value, self.rate


@CONSTRAINTS.register("unit_norm")
class UnitNorm(_Norm):
    """Vectors have the norm 1.

        >>> print(fastnn.constraints.UnitNorm()([[3.0], [4.0]]).numpy().round(4))
        [[0.6]
         [0.8]]

    Args:
        axis: see `MaxNorm`.
    """

    @keywords()
    def __init__(self, axis: Axis = 0) -> None:
        self.axis = axis

    def _bounds(self) -> tuple[float, float, float]:
        return 1.0, 1.0, 1.0


@CONSTRAINTS.register("non_neg")
class NonNeg(Constraint):
    """Weights below 0 become 0.

    >>> fastnn.constraints.NonNeg()([[-1.0, 2.0]]).tolist()
    [[0.0, 2.0]]
    """

    is_native = True

    @keywords()
    def __init__(self) -> None:
        pass

    def __call__(self, w: Any) -> Tensor:
        return f.maximum(w, 0.0)

    def native(self, _shape: tuple[int, ...]) -> dict[str, float]:
        return {"constraint": 1.0}


# As programs for Keras call them.
max_norm = MaxNorm
min_max_norm = MinMaxNorm
unit_norm = UnitNorm
non_neg = NonNeg


class FunctionConstraint(Constraint):
    """A function of weights as a constraint."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, w: Any) -> Tensor:
        return f.convert_to_tensor(self.function(w))

    def get_config(self) -> dict[str, Any]:
        return function_described("constraint", self.function)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> FunctionConstraint:
        return cls(function_of("constraint", config))

    def __repr__(self) -> str:
        return f"<constraint {name_of(self.function)}>"


ConstraintLike = (
    str | Constraint | type[Constraint] | Callable[[Any], Any] | Mapping[str, Any] | None
)


def checked(name: str, value: Any) -> Constraint | None:
    """As `get`; errors call it `name`."""
    return get(value, name)


def get(identifier: Any, what: str = "constraint") -> Constraint | None:
    """The constraint that a name, an object, a class or a function means; None: none.

        >>> fastnn.constraints.get("non_neg")([[-1.0, 2.0]]).tolist()
        [[0.0, 2.0]]
        >>> fastnn.constraints.get(None) is None
        True

    Args:
        identifier: the name, object, class or function, a config of one, or None.
        what: the argument that errors name.
    """
    if identifier is None:
        return None
    if isinstance(identifier, Mapping) and identifier.get("class_name") == "FunctionConstraint":
        return FunctionConstraint.from_config(identifier["config"])
    is_class = isinstance(identifier, type) and issubclass(identifier, Constraint)
    if callable(identifier) and not is_class and not isinstance(identifier, Constraint):
        return FunctionConstraint(identifier)
    return CONSTRAINTS.get(identifier, what)


serialize, deserialize = CONSTRAINTS.serialize, CONSTRAINTS.deserialize

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "constraint", lambda: CONSTRAINTS.names)
