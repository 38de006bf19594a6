"""Regularizers: penalties of weights and outputs that are added to the loss.

L1, L2 and L1L2 of weights are part of the native update. Others, and those of outputs, are worked out
over the tape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from fastnn import elsewhere
from fastnn.autodiff import functions as f
from fastnn.autodiff.tensor import Tensor
from fastnn.listing import names_of
from fastnn.registry import Checked, Registered, Registry
from fastnn.serializable import function_described, function_of
from fastnn.words import choose, keywords, name_of, number

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
]

__dir__ = names_of(__all__)


class Factors(NamedTuple):
    """A penalty l1 * sum(abs(w)) + l2 * sum(w**2), as the native update takes it."""

    l1: float
    l2: float


class Regularizer(Registered):
    """The base of all regularizers: called with weights or outputs, one gives a penalty.

    One of a program's own derives from it and computes by `fastnn.math`, or is a function:

        >>> import fastnn
        >>> class Largest(fastnn.regularizers.Regularizer):
        ...     def __call__(self, x):
        ...         return 0.01 * fastnn.math.reduce_max(fastnn.math.abs(x))
        >>> round(float(Largest()([1.0, -3.0])), 4)
        0.03
        >>> layer = fastnn.layers.Dense(2, kernel_regularizer=Largest())

    Models that have such a one train over the tape, which is slower than native training.
    """

    _inside: ClassVar[tuple[str, ...]] = ("factors",)

    def __call__(self, x: Any) -> Tensor:
        """The penalty of x, a Tensor without axes."""
        raise NotImplementedError(f"{type(self).__name__} has no __call__")

    @property
    def factors(self) -> Factors | None:
        """The penalty as the native update takes it; None: it takes none of this kind."""
        return None


REGULARIZERS = Registry("regularizer", Regularizer)

_factor = partial(number, low=0.0)


def _factor_or(initial: float) -> Callable[[str, Any], float]:
    """A factor; None, as configs of old Keras have it, is the default."""
    return lambda name, value: _factor(name, initial if value is None else value)


class _Factors(Regularizer):
    """A penalty by the sizes of elements."""

    def __call__(self, x: Any) -> Tensor:
        l1, l2 = self.factors
        total = None
        if l1:
            total = l1 * f.reduce_sum(f.abs(x))
        if l2 or total is None:
            squares = l2 * f.reduce_sum(f.square(x))
            total = squares if total is None else total + squares
        return total

    @property
    def factors(self) -> Factors:
        raise NotImplementedError


@REGULARIZERS.register("l1")
class L1(_Factors):
    """The penalty l1 * sum(abs(x)), which lets weights become small or 0 (lasso).

        >>> round(float(fastnn.regularizers.L1(0.1)([3.0, -4.0])), 4)  # 0.1 * (3 + 4)
        0.7

    Args:
        l1: at least 0.
    """

    l1 = Checked(_factor_or(0.01))

    @keywords()
    def __init__(self, l1: float | None = 0.01) -> None:
        self.l1 = l1

    @property
    def factors(self) -> Factors:
        return Factors(self.l1, 0.0)


@REGULARIZERS.register("l2")
class L2(_Factors):
    """The penalty l2 * sum(x**2), whose gradient is 2 * l2 * x (ridge).

        >>> round(float(fastnn.regularizers.L2(0.1)([3.0, -4.0])), 4)  # 0.1 * (9 + 16)
        2.5

    With Adam it acts otherwise than `weight_decay`, which is no part of the gradient.

    Args:
        l2: at least 0.
    """

    l2 = Checked(_factor_or(0.01))

    @keywords()
    def __init__(self, l2: float | None = 0.01) -> None:
        self.l2 = l2

    @property
    def factors(self) -> Factors:
        return Factors(0.0, self.l2)


@REGULARIZERS.register("l1_l2")
class L1L2(_Factors):
    """The penalty l1 * sum(abs(x)) + l2 * sum(x**2) (elastic net).

        >>> penalty = fastnn.regularizers.L1L2(l1=0.1, l2=0.1)
        >>> round(float(penalty([3.0, -4.0])), 4)  # 0.7 + 2.5
        3.2

    The word "l1_l2" has 0.01 for both, as Keras's documentation says.

    Args:
        l1, l2: at least 0; default 0.
    """

    l1 = Checked(_factor_or(0.0))
    l2 = Checked(_factor_or(0.0))

    @keywords()
    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1, self.l2 = l1, l2

    @property
    def factors(self) -> Factors:
        return Factors(self.l1, self.l2)


def _mode(name: str, value: object) -> str:
    return choose(name, value, ("rows", "columns"))


@REGULARIZERS.register("orthogonal_regularizer")
class OrthogonalRegularizer(Regularizer):
    """Lets the rows, or columns, of a matrix become orthogonal to each other.

        >>> penalty = fastnn.regularizers.OrthogonalRegularizer(factor=0.1)
        >>> print(penalty([[1.0, 0.0], [0.0, 2.0]]).numpy().round(4))  # orthogonal already
        0.0

    The penalty is factor times the mean of abs(cosine) over all pairs of rows.

    Args:
        factor: at least 0.
        mode: "rows" or "columns".

    Raises:
        ValueError: called with what is no matrix.
    """

    factor = Checked(_factor)
    mode = Checked(_mode)

    @keywords()
    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor, self.mode = factor, mode

    def __call__(self, x: Any) -> Tensor:
        matrix = f.convert_to_tensor(x)
        if len(matrix.shape) != 2:
            raise ValueError(
                f"OrthogonalRegularizer: expected a matrix, got an array of shape {matrix.shape}"
            )
        if self.mode == "columns":
            matrix = f.transpose(matrix)
        size = matrix.shape[0]
        if size < 2:
            return 0.0 * f.reduce_sum(matrix)
        squares = f.reduce_sum(f.square(matrix), axis=1, keepdims=True)
        unit = matrix / f.sqrt(f.maximum(squares, 1e-12))
        products = f.abs(f.matmul(unit, f.transpose(unit)))
        # Each pair is there twice; a row with itself is left out.
        pairs = f.reduce_sum(products) - f.reduce_sum(f.square(unit))
        return self.factor * pairs / (size * (size - 1.0))


# As programs for Keras call them.
l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer


class FunctionRegularizer(Regularizer):
    """A function of weights or outputs as a regularizer."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, x: Any) -> Tensor:
        return f.convert_to_tensor(self.function(x))

    def get_config(self) -> dict[str, Any]:
        return function_described("regularizer", self.function)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> FunctionRegularizer:
        return cls(function_of("regularizer", config))

    def __repr__(self) -> str:
        return f"<regularizer {name_of(self.function)}>"


RegularizerLike = (
    str | Regularizer | type[Regularizer] | Callable[[Any], Any] | Mapping[str, Any] | None
)


def checked(name: str, value: Any) -> Regularizer | None:
    """As `get`; errors call it `name`."""
    return get(value, name)


def get(identifier: Any, what: str = "regularizer") -> Regularizer | None:
    """The regularizer that a name, an object, a class or a function means; None: none.

        >>> round(float(fastnn.regularizers.get("l2")([3.0, -4.0])), 4)  # 0.01 * (9 + 16)
        0.25
        >>> fastnn.regularizers.get(None) is None
        True

    Args:
        identifier: the name, object, class or function, a config of one, or None.
        what: the argument that errors name.
    """
    if identifier is None:
        return None
    if isinstance(identifier, str) and identifier == "l1_l2":
        return L1L2(0.01, 0.01)
    if isinstance(identifier, Mapping) and identifier.get("class_name") == "FunctionRegularizer":
        return FunctionRegularizer.from_config(identifier["config"])
    is_class = isinstance(identifier, type) and issubclass(identifier, Regularizer)
    if callable(identifier) and not is_class and not isinstance(identifier, Regularizer):
        return FunctionRegularizer(identifier)
    return REGULARIZERS.get(identifier, what)


serialize, deserialize = REGULARIZERS.serialize, REGULARIZERS.deserialize

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "regularizer", lambda: REGULARIZERS.names)
