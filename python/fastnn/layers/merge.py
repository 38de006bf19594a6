"""Layers that take several inputs: sums, products, means and extremes of them, and their columns
side by side.

A merging layer takes lists where others take one: shapes in `row_shape`, tensors in `extend`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

import numpy as np

from fastnn import _core
from fastnn.autodiff import functions
from fastnn.autodiff.tensor import Tensor
from fastnn.autodiff.tensor import borrowed as as_tensor
from fastnn.changes import Change, forget_former
from fastnn.layers.activity import add_penalty
from fastnn.layers.base import COMMON, LAYERS, Common, Layer, Shape, without_batch
from fastnn.layers.symbol import any_symbols
from fastnn.registry import Checked
from fastnn.words import integer, keywords


class Merge(Layer):
    """The base of layers that take several inputs, and have no parameters.

    Attributes:
        input_shape: a list of shapes (None, ...), once the layer is built.
    """

    merges = True
    _inside: ClassVar[tuple[str, ...]] = ("merged",)

    @keywords(*COMMON)
    def __init__(self, **common: Unpack[Common]) -> None:
        super().__init__(**common)

    # -- for each kind of merging layer to define

    def row_shape(self, shapes: Sequence[Shape]) -> Shape:  # type: ignore[override]
        """The shape of an output row for input rows of `shapes`; ValueError if it cannot be."""
        raise NotImplementedError

    def extend(self, network: _core.Graph, tensors: Sequence[int]) -> int:  # type: ignore[override]
        """Adds this layer's nodes after `tensors`; returns the number of the output."""
        raise NotImplementedError

    # -- as Layer has them, of several inputs

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:  # noqa: ARG002
        """The outputs for a list of rows; see `Layer`."""
        if any_symbols(inputs):
            return self._drawn(inputs)
        if not isinstance(inputs, (list, tuple)):
            raise TypeError(
                f"layer {self.name!r}: {type(self).__name__} takes a list of inputs, got {inputs!r}"
            )
        parts = [as_tensor(part) for part in inputs]
        for part in parts:
            if part.ndim < 2:
                raise ValueError(
                    f"layer {self.name!r}: expected rows (n, ...), got shape {part.shape}"
                )
        shapes = tuple(part.shape[1:] for part in parts)
        self.row_shape(shapes)
        if not self.built:
            self.build([(None, *shape) for shape in shapes])
        y = self.merged(parts)
        if self.activity_regularizer is not None:
            add_penalty(self, y)
        return y

    def merged(self, parts: list[Tensor]) -> Tensor:
        """The outputs for Tensors of rows that fit (for each kind of merging layer to define)."""
        raise NotImplementedError

    @property
    def input_shape(self) -> list[tuple[int | None, ...]]:  # type: ignore[override]
        """The shapes (None, ...) of the inputs, in a list; AttributeError before the layer is built."""
        shapes: Any = self._built_rows()[0]
        return [(None, *shape) for shape in shapes]

    def compute_output_shape(  # type: ignore[override]
        self, input_shape: Sequence[Sequence[int | None]]
    ) -> tuple[int | None, ...]:
        """The output's shape for a list of inputs' shapes, all with the batch axis first."""
        return (_batch(input_shape), *self.row_shape(self._rows(input_shape)))

    @keywords()
    def build(self, input_shape: Sequence[Sequence[int | None]]) -> None:
        """Checks that the layer takes inputs of these shapes (None, ...). A second call does nothing."""
        if self.built:
            return
        shapes: Any = self._rows(input_shape)
        output = self.row_shape(shapes)
        change = Change("build")
        with change, change.lock:
            self.claim(change)
            if self._standing.now.rows is not None:  # another thread has built it meanwhile
                return
            switch = self.stand(change, rows=(shapes, output))
            change.settled = True
            forget_former([switch])

    def _rows(self, shapes: object) -> tuple[Shape, ...]:
        if not isinstance(shapes, Sequence) or not all(isinstance(s, Sequence) for s in shapes):
            raise ValueError(
                f"layer {self.name!r}: {type(self).__name__} takes several inputs; expected a list "
                f"of shapes such as [(None, 4), (None, 4)], got {shapes!r}"
            )
        return tuple(without_batch(shape) for shape in shapes)

    def _some(self, shapes: Sequence[Shape]) -> None:
        if not shapes:
            raise ValueError(f"layer {self.name!r}: {type(self).__name__} expects inputs, got none")


class _Elementwise(Merge):
    """Combines rows of one shape element by element; single numbers count for every element."""

    _combination: ClassVar[str]

    def row_shape(self, shapes: Sequence[Shape]) -> Shape:  # type: ignore[override]
        self._some(shapes)
        try:
            shape = np.broadcast_shapes(*shapes)
        except ValueError:
            shape = ()
        if any(math.prod(given) not in (1, math.prod(shape)) for given in shapes) or not shape:
            raise ValueError(
                f"layer {self.name!r}: {type(self).__name__} expects inputs with rows of one "
                f"shape, or of a single number, got rows of shapes {_listed(shapes)}"
            )
        return shape

    def extend(self, network: _core.Graph, tensors: Sequence[int]) -> int:  # type: ignore[override]
        if len(tensors) == 1:
            return tensors[0]
        made: int = getattr(network, self._combination)(*tensors)
        return made

    def merged(self, parts: list[Tensor]) -> Tensor:
        if self._combination == "average":
            return functools.reduce(functions.add, parts) / len(parts)
        return functools.reduce(getattr(functions, self._combination), parts)


@LAYERS.register("add")
class Add(_Elementwise):
    """The sum of its inputs, element by element.

        >>> fastnn.layers.Add()([np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]])]).tolist()
        [[11.0, 22.0]]

    Inputs: one to 64, with rows of one shape. Rows of a single number, as of Dense(1), are added to
    every element.

    Raises:
        ValueError: the shapes differ; the message names them.
    """

    _combination = "add"


@LAYERS.register("subtract")
class Subtract(_Elementwise):
    """The first of two inputs minus the second, element by element.

        >>> fastnn.layers.Subtract()([np.array([[11.0, 22.0]]), np.array([[10.0, 20.0]])]).tolist()
        [[1.0, 2.0]]

    Inputs and errors: as of `Add`, but exactly two inputs.
    """

    _combination = "subtract"

    def row_shape(self, shapes: Sequence[Shape]) -> Shape:  # type: ignore[override]
        if len(shapes) != 2:
            raise ValueError(f"layer {self.name!r}: Subtract expects two inputs, got {len(shapes)}")
        return super().row_shape(shapes)


@LAYERS.register("multiply")
class Multiply(_Elementwise):
    """The product of its inputs, element by element: a gate, where one of them is a sigmoid.

        >>> fastnn.layers.Multiply()([np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]])]).tolist()
        [[10.0, 40.0]]

    Inputs and errors: as of `Add`.
    """

    _combination = "multiply"


@LAYERS.register("average")
class Average(_Elementwise):
    """The mean of its inputs, element by element.

        >>> fastnn.layers.Average()([np.array([[1.0, 2.0]]), np.array([[3.0, 6.0]])]).tolist()
        [[2.0, 4.0]]

    Inputs and errors: as of `Add`. A cross-entropy refuses the mean of probabilities as the end of
    a model: it would be taken for logits. Average the logits instead.
    """

    _combination = "average"


@LAYERS.register("maximum")
class Maximum(_Elementwise):
    """The largest of its inputs, element by element. Equal inputs share the gradient equally.

        >>> fastnn.layers.Maximum()([np.array([[1.0, 6.0]]), np.array([[3.0, 2.0]])]).tolist()
        [[3.0, 6.0]]

    Inputs and errors: as of `Add`.
    """

    _combination = "maximum"


@LAYERS.register("minimum")
class Minimum(_Elementwise):
    """The smallest of its inputs, element by element. Equal inputs share the gradient equally.

        >>> fastnn.layers.Minimum()([np.array([[1.0, 6.0]]), np.array([[3.0, 2.0]])]).tolist()
        [[1.0, 2.0]]

    Inputs and errors: as of `Add`.
    """

    _combination = "minimum"


def _axis(argument: str, value: object) -> int:
    axis = integer(argument, value, -(2**31))
    if axis == 0:
        raise ValueError(
            f"{argument}: expected the axis of columns, -1 or 1, got 0, that of the batch"
        )
    return axis


@LAYERS.register("concatenate")
class Concatenate(Merge):
    """The columns of its inputs, side by side: rows of shapes (a,) and (b,) become (a + b,).

        >>> fastnn.layers.Concatenate()([np.array([[1.0, 2.0]]), np.array([[3.0]])]).tolist()
        [[1.0, 2.0, 3.0]]

    Args:
        axis: the axis that grows; 0 is that of the batch, which no layer changes. For rows of
            several axes it must be the first of them, axis 1. (Keras takes any.)

    Raises:
        ValueError: the inputs differ along another axis; the message names their shapes.
    """

    arranges = True
    axis = Checked(_axis)

    @keywords(*COMMON)
    def __init__(self, axis: int = -1, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.axis = axis

    def row_shape(self, shapes: Sequence[Shape]) -> Shape:  # type: ignore[override]
        self._some(shapes)
        rank = len(shapes[0])
        axis = self.axis - 1 if self.axis > 0 else self.axis + rank  # of a row
        others = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
        if not 0 <= axis < rank or {len(shape) for shape in shapes} != {rank} or len(others) > 1:
            raise ValueError(
                f"layer {self.name!r}: Concatenate expects rows whose shapes differ in axis "
                f"{self.axis} alone, got rows of shapes {_listed(shapes)}"
            )
        first = shapes[0]
        if math.prod(first[:axis]) != 1 and len(shapes) > 1:
            raise ValueError(
                f"layer {self.name!r}: Concatenate joins rows of several axes along the first of "
                f"them, axis 1, got axis {self.axis} of rows of shapes {_listed(shapes)}"
            )
        return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])

    def extend(self, network: _core.Graph, tensors: Sequence[int]) -> int:  # type: ignore[override]
        return tensors[0] if len(tensors) == 1 else network.concatenate(tensors)

    def merged(self, parts: list[Tensor]) -> Tensor:
        return functions.concat(parts, self.axis)


def _batch(shapes: Sequence[Sequence[int | None]]) -> int | None:
    """The number of rows, where one of the inputs tells it."""
    return next((shape[0] for shape in shapes if shape[0] is not None), None)


def _listed(shapes: Sequence[Shape]) -> str:
    """ "(4,), (5,) and (6,)"."""
    texts = [str(tuple(shape)) for shape in shapes]
    return " and ".join([*([", ".join(texts[:-1])] if len(texts) > 1 else []), texts[-1]])


def _merged(cls: type[Merge], inputs: Any, options: dict[str, Any]) -> Any:
    return cls(**options)(inputs)


def add(inputs: Any, **options: Any) -> Any:
    """`Add(**options)(inputs)`.

    >>> fastnn.layers.add([np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]])]).tolist()
    [[11.0, 22.0]]
    """
    return _merged(Add, inputs, options)


def subtract(inputs: Any, **options: Any) -> Any:
    """`Subtract(**options)(inputs)`.

    >>> fastnn.layers.subtract([np.array([[11.0, 22.0]]), np.array([[10.0, 20.0]])]).tolist()
    [[1.0, 2.0]]
    """
    return _merged(Subtract, inputs, options)


def multiply(inputs: Any, **options: Any) -> Any:
    """`Multiply(**options)(inputs)`.

    >>> fastnn.layers.multiply([np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]])]).tolist()
    [[10.0, 40.0]]
    """
    return _merged(Multiply, inputs, options)


def average(inputs: Any, **options: Any) -> Any:
    """`Average(**options)(inputs)`.

    >>> fastnn.layers.average([np.array([[1.0, 2.0]]), np.array([[3.0, 6.0]])]).tolist()
    [[2.0, 4.0]]
    """
    return _merged(Average, inputs, options)


def maximum(inputs: Any, **options: Any) -> Any:
    """`Maximum(**options)(inputs)`.

    >>> fastnn.layers.maximum([np.array([[1.0, 6.0]]), np.array([[3.0, 2.0]])]).tolist()
    [[3.0, 6.0]]
    """
    return _merged(Maximum, inputs, options)


def minimum(inputs: Any, **options: Any) -> Any:
    """`Minimum(**options)(inputs)`.

    >>> fastnn.layers.minimum([np.array([[1.0, 6.0]]), np.array([[3.0, 2.0]])]).tolist()
    [[1.0, 2.0]]
    """
    return _merged(Minimum, inputs, options)


def concatenate(inputs: Any, axis: int = -1, **options: Any) -> Any:
    """`Concatenate(axis, **options)(inputs)`.

    >>> fastnn.layers.concatenate([np.array([[1.0, 2.0]]), np.array([[3.0]])]).tolist()
    [[1.0, 2.0, 3.0]]
    """
    return _merged(Concatenate, inputs, {"axis": axis, **options})
