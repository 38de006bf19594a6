"""Symbols: what layers are called on to draw a graph, in place of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn.calling import Untraceable

Shape = tuple[int, ...]

# By name, without underscores: what operators on symbols add to the graph. The layers fill it.
operations: dict[str, Callable[..., Symbol]] = {}


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


class Symbol:
    """An input of a model, or what a layer makes of symbols. It has a shape and no numbers.

    `a + b`, `a - b`, `a * b` of symbols are Add, Subtract and Multiply; with a number they are a
    Rescaling. Other operations are no part of such a graph.

    Attributes:
        shape: (None, ...).
        layer: the layer or model that makes it; an InputLayer for an input.
        inputs: the symbols that the layer was called on.
    """

    __slots__ = ("_made_by", "_within", "inputs", "layer", "memo", "row_shape")
    __array_ufunc__ = None  # an array beside a symbol leaves the operation to the symbol

    def __init__(
        self,
        layer: Any,
        inputs: tuple[Symbol, ...],
        row_shape: Shape,
        *,
        made_by: tuple[ModelCall, int] | None = None,
        within: tuple[Any, ...] = (),
    ) -> None:
        self.layer = layer
        self.inputs = inputs
        self.row_shape = row_shape
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
    def name(self) -> str:
        """That of the layer."""
        return str(self.layer.name)

    def __add__(self, other: Any) -> Symbol:
        return operations["add"](self, other)

    def __radd__(self, other: Any) -> Symbol:
        return operations["add"](self, other)

    def __sub__(self, other: Any) -> Symbol:
        return operations["subtract"](self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return operations["add"](operations["multiply"](self, -1.0), other)

    def __mul__(self, other: Any) -> Symbol:
        return operations["multiply"](self, other)

    def __rmul__(self, other: Any) -> Symbol:
        return operations["multiply"](self, other)

    def __truediv__(self, other: Any) -> Symbol:
        if not isinstance(other, (int, float, np.integer, np.floating)):
            raise Untraceable("symbols can be divided by numbers alone")
        return operations["multiply"](self, 1.0 / other)

    def __neg__(self) -> Symbol:
        return operations["multiply"](self, -1.0)

    def __eq__(self, other: object) -> bool:
        if other is None or other is self:
            return other is self
        raise Untraceable("a symbol has no numbers to compare")

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> bool:
        raise Untraceable("a symbol is neither true nor false: it has no numbers")

    def __array__(self, *_: object, **__: object) -> Any:
        raise Untraceable(
            "a symbol has no numbers to compute with: only layers, +, - and * take it, and no other "
            "functions"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NoAttribute(
            f"a symbol has no {name!r}: it stands for rows that are not known yet, and only layers, "
            "+, - and * take it"
        )

    def __repr__(self) -> str:
        return f"<Symbol shape={self.shape}, made by {self.name}>"


def _refused(method: str) -> Callable[..., Any]:
    def refuse(*_: object) -> Any:
        raise Untraceable(
            f"{method} of a symbol is no part of a graph of layers: only layers, +, - and * take it"
        )

    return refuse


_NOT_TRACED = (
    *(
        "pow",
        "rpow",
        "matmul",
        "rmatmul",
        "rtruediv",
        "floordiv",
        "rfloordiv",
        "mod",
        "rmod",
        "abs",
    ),
    *("lt", "le", "gt", "ge", "getitem", "iter", "len", "float", "int", "invert", "and", "or"),
)
for _name in _NOT_TRACED:
    setattr(Symbol, f"__{_name}__", _refused(f"__{_name}__"))


def any_symbols(value: Any) -> bool:
    """Whether a layer is called on symbols."""
    if isinstance(value, dict):
        value = tuple(value.values())
    parts = value if isinstance(value, (list, tuple)) else (value,)
    return any(isinstance(part, Symbol) for part in parts)
