"""Symbols: what layers are called on to draw a graph, in place of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fastnn.autodiff.operand import Operand
from fastnn.calling import Untraceable

Shape = tuple[int, ...]


class NoAttribute(Untraceable, AttributeError):
    """The same for an attribute. `hasattr` says that there is none."""


class ModelCall(NamedTuple):
    """A call of a model on symbols. Its tensors are numbered as those of the model's graph."""

    model: Any
    state: Any  # whose graph is called
    inputs: tuple[Symbol, ...]
    drops: bool  # whether its Dropout layers are a part of the graph
    opaque: Any = (
        None  # an Opaque, where the `call` of the model is no graph; then there is no state
    )


class Opaque(NamedTuple):
    """What is known of a call that is no graph of layers."""

    why: str  # it is none: a clause
    args: tuple[Any, ...]  # of the call, with symbols where it takes Tensors
    options: dict[str, Any]
    form: Any  # the Form of what it returns


class Symbol(Operand):
    """An input of a model, or what a layer makes of symbols. It has a shape and no numbers.

    Operators, indexing and functions of `fastnn.math`, `fastnn.nn` and `keras.ops` give a symbol: of
    the layer that computes the same where there is one, as `Add` for `a + b` and `Activation("relu")`
    for `fastnn.nn.relu(a)`, and of a `fastnn.layers.Operation` elsewhere.

        >>> x = fastnn.Input((4,))
        >>> y = fastnn.concat([x[:, :2] ** 3, fastnn.exp(x)], axis=1)
        >>> y.shape, y.dtype
        ((None, 6), 'float32')
        >>> fastnn.Model(x, y)(np.ones((1, 4))).numpy().round(2).tolist()
        [[1.0, 1.0, 2.72, 2.72, 2.72, 2.72]]

    Attributes:
        shape: (None, ...).
        dtype: the name of the type of its numbers, of floats as a model of float32 has them.
        ndim: the number of axes, that of the batch included.
        layer: the layer or model that makes it; an InputLayer for an input.
        inputs: the symbols that the layer was called on.
    """

    __slots__ = ("_made_by", "_within", "dtype", "inputs", "layer", "memo", "row_shape")

    def __init__(
        self,
        layer: Any,
        inputs: tuple[Symbol, ...],
        row_shape: Shape,
        *,
        made_by: tuple[ModelCall, int] | None = None,
        within: tuple[Any, ...] = (),
        dtype: str | None = None,
    ) -> None:
        self.layer = layer
        self.inputs = inputs
        self.row_shape = row_shape
        self.dtype: str = dtype or _dtype(layer, inputs)
        # What the tracing of a `call` keeps of the models in it; None elsewhere (for models).
        self.memo: dict[Any, Any] | None = inputs[0].memo if inputs else None
        self._made_by = made_by
        self._within = within

    @property
    def made_by(self) -> tuple[ModelCall, int] | None:
        """The call of a model that makes it, and its number there (for models)."""
        return self._made_by

    @property
    def within(self) -> tuple[Any, ...]:
        """The models that the call of its layer is in, outermost first (for models)."""
        return self._within

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (None, *self.row_shape)

    @property
    def ndim(self) -> int:
        return 1 + len(self.row_shape)

    @property
    def name(self) -> str:
        """That of the layer."""
        return str(self.layer.name)

    def __eq__(self, other: object) -> Any:
        return True if other is self else super().__eq__(other)

    def __ne__(self, other: object) -> Any:
        return False if other is self else super().__ne__(other)

    __hash__ = Operand.__hash__

    def __bool__(self) -> bool:
        raise Untraceable(
            "a symbol is neither true nor false: it has no numbers; choose by fastnn.where, or "
            + _ELSEWHERE
        )

    def __array__(self, *_: object, **__: object) -> Any:
        raise Untraceable(
            f"a symbol has no numbers to compute with: only layers and fastnn.math take it; {_ELSEWHERE}"
        )

    def __iter__(self) -> Any:
        raise Untraceable(
            f"a symbol stands for rows whose number is not known, so that there is no loop over it; "
            f"fastnn.unstack(x, axis=1) takes its columns apart, and {_ELSEWHERE}"
        )

    def __len__(self) -> int:
        raise Untraceable(
            f"the length of a symbol is the number of rows, which is not known; its shape is "
            f"{self.shape}, and {_ELSEWHERE}"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NoAttribute(
            f"a symbol has no {name!r}: it stands for rows that are not known yet; {_ELSEWHERE}"
        )

    def __repr__(self) -> str:
        return f"<Symbol shape={self.shape}, dtype={self.dtype}, made by {self.name}>"


def _dtype(layer: Any, inputs: tuple[Symbol, ...]) -> str:
    """The type of what a layer makes of inputs."""
    if not inputs:
        return str(layer.dtype or "float32")
    if getattr(layer, "arranges", False) and len({part.dtype for part in inputs}) == 1:
        return inputs[0].dtype
    return "float32"


# What to write instead, for what symbols cannot do.
_ELSEWHERE = (
    "a layers.Lambda, or the `call` of a class derived from layers.Layer, gets Tensors with numbers"
)


def _refused(method: str) -> Callable[..., Any]:
    def refuse(*_: object) -> Any:
        raise Untraceable(f"{method}() of a symbol: it has no numbers; {_ELSEWHERE}")

    return refuse


for _name in ("float", "int", "index", "complex"):
    setattr(Symbol, f"__{_name}__", _refused(_name))


def any_symbols(value: Any) -> bool:
    """Whether a layer is called on symbols."""
    if isinstance(value, dict):
        value = tuple(value.values())
    parts = value if isinstance(value, (list, tuple)) else (value,)
    return any(isinstance(part, Symbol) for part in parts)
