"""Layers about the shapes of rows: the input of a model, Flatten, Reshape and RepeatVector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Unpack

import numpy as np

from fastnn import _core
from fastnn.autodiff import functions
from fastnn.autodiff.tensor import Tensor
from fastnn.layers.base import (
    COMMON,
    LAYERS,
    Common,
    Dtype,
    Layer,
    Shape,
    without_batch,
)
from fastnn.layers.symbol import Symbol
from fastnn.registry import Checked
from fastnn.words import choose, integer, keywords, optional, within

_TYPES_OF_ROWS = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)


def _type_of_rows(argument: str, dtype: object) -> str:
    """The name of a type that x may have."""
    word = dtype
    if not isinstance(dtype, str):
        try:
            word = np.dtype(dtype).name  # type: ignore[call-overload]
        except TypeError:
            raise TypeError(f"{argument}: expected a type of real numbers, got {dtype!r}") from None
    return choose(argument, word, _TYPES_OF_ROWS)


@LAYERS.register("input_layer")
class InputLayer(Layer):
    """Gives the shape of a row. It adds no node, and `model.layers` leaves it out, as in Keras.

        >>> model = fastnn.Sequential([fastnn.layers.InputLayer((4,)), fastnn.layers.Dense(3)])
        >>> model.input_shape, len(model.layers)
        ((None, 4), 1)

    Args:
        shape: the shape of one row, without the batch axis.
        batch_size: accepted as in Keras, and unused; batches may have any size.
        dtype: the type of x, a name or a NumPy type: "uint8", np.float16, "bool" and so on.
            "float32" and "float64" are the model's dtype, too (see `Layer`); with others the model
            computes in its own. x may be of any real type with any of them: each batch is
            converted as it is gathered.
        batch_shape: `batch_shape=(None, 784)` is `shape=(784,)`.
        name, input_shape: see `Layer`.
    """

    passes_outputs = True

    _kept_as: ClassVar[dict[str, str | None]] = {
        **Layer._kept_as,
        "shape": "given_shape",
        "input_shape": None,
        "batch_shape": None,
    }

    batch_size = Checked(optional(integer))
    dtype = Checked(optional(_type_of_rows))

    @keywords(*COMMON)
    def __init__(
        self,
        shape: Sequence[int] | None = None,
        batch_size: int | None = None,
        batch_shape: Sequence[int | None] | None = None,
        **common: Unpack[Common],
    ) -> None:
        if batch_shape is not None:
            if shape is not None:
                raise ValueError("Input: give shape or batch_shape, not both")
            with within("batch_shape"):
                shape = without_batch(batch_shape)
            batch_size = batch_shape[0] if batch_size is None else batch_size
        if shape is not None:
            if common.get("input_shape") is not None:
                raise ValueError("Input: give shape or input_shape, not both")
            common["input_shape"] = shape
        super().__init__(**common)
        if self.given_shape is None:
            raise ValueError("Input: expected a shape, for example Input(shape=(784,))")
        self.batch_size = batch_size

    @property
    def compute_dtype(self) -> Dtype | None:
        return self.dtype if self.dtype in ("float32", "float64") else None  # type: ignore[return-value]


@keywords()
def Input(
    shape: Sequence[int] | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    name: str | None = None,
    *,
    batch_shape: Sequence[int | None] | None = None,
) -> Symbol:
    """The symbol of an input, for layers to be called on: `Input(shape=(784,))`.

        >>> inputs = fastnn.Input((4,))
        >>> inputs.shape
        (None, 4)
        >>> fastnn.Model(inputs, fastnn.layers.Dense(3)(inputs)).output_shape
        (None, 3)

    As the first entry of a Sequential it gives the shape of one row. Args and errors: see
    `InputLayer`.
    """
    layer = InputLayer(shape, batch_size, batch_shape, dtype=dtype, name=name)
    assert layer.given_shape is not None  # an InputLayer has one
    return Symbol(layer, (), layer.given_shape)


@LAYERS.register("flatten")
class Flatten(Layer):
    """Rows of any shape become rows of one axis. It costs nothing.

    >>> fastnn.layers.Flatten()(np.ones((5, 2, 3))).shape
    (5, 6)
    """

    arranges = True
    passes_outputs = True

    @keywords(*COMMON)
    def __init__(self, **common: Unpack[Common]) -> None:
        super().__init__(**common)

    def row_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def call(self, x: Tensor, _training: bool) -> Tensor:
        return functions.reshape(x, (x.shape[0], math.prod(x.shape[1:])))


def _target_shape(argument: str, given: object) -> Shape:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"{argument}: expected a tuple such as (3, 4), got {given!r}")
    sizes = tuple(integer(argument, size, -1) for size in given)
    if not sizes or 0 in sizes or sizes.count(-1) > 1:
        raise ValueError(
            f"{argument}: expected positive sizes, one of them at most -1, got {given!r}"
        )
    return sizes


@LAYERS.register("reshape")
class Reshape(Layer):
    """Rows of one shape become rows of another, with their numbers in the same order. It costs nothing.

        >>> fastnn.layers.Reshape((2, -1))(np.ones((5, 6))).shape
        (5, 2, 3)

    Args:
        target_shape: the shape of an output row, without the batch axis; -1 for one size that
            follows from the others.

    Raises:
        ValueError: rows have another number of elements; the message names both shapes.
    """

    arranges = True
    passes_outputs = True
    target_shape = Checked(_target_shape)

    @keywords(*COMMON)
    def __init__(self, target_shape: Sequence[int], **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.target_shape = target_shape

    def row_shape(self, shape: Shape) -> Shape:
        size = math.prod(shape)
        known = math.prod(n for n in self.target_shape if n != -1)
        if size % known != 0 or (-1 not in self.target_shape and size != known):
            raise ValueError(
                f"layer {self.name!r}: rows of shape {shape} do not fit "
                f"target_shape={self.target_shape}: they have {size} elements"
            )
        return tuple(size // known if n == -1 else n for n in self.target_shape)

    def call(self, x: Tensor, _training: bool) -> Tensor:
        return functions.reshape(x, (x.shape[0], *self.row_shape(x.shape[1:])))


def _dims(argument: str, given: object) -> Shape:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"{argument}: expected a tuple such as (2, 1), got {given!r}")
    dims = tuple(integer(argument, axis) for axis in given)
    if sorted(dims) != list(range(1, len(dims) + 1)) or not dims:
        raise ValueError(
            f"{argument}: expected each axis from 1 to {max(len(dims), 1)} once, got {given!r}"
        )
    if len(dims) > 4:
        raise ValueError(f"{argument}: expected at most 4 axes, got {given!r}")
    return dims


@LAYERS.register("permute")
class Permute(Layer):
    """The axes of rows in another order.

    Args:
        dims: axis i of an output row is axis dims[i] of the input row, counted from 1; at most 4.
            `Permute((2, 1))` transposes rows (3, 5) into rows (5, 3).

    Example:
        >>> from fastnn import layers
        >>> layers.Permute((2, 1))([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]).numpy().tolist()
        [[[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]]

    Raises:
        ValueError: rows have another number of axes.
    """

    arranges = True
    by_shape = True
    dims = Checked(_dims)

    @keywords(*COMMON)
    def __init__(self, dims: Sequence[int], **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.dims = dims

    def row_shape(self, shape: Shape) -> Shape:
        if len(shape) != len(self.dims):
            raise ValueError(
                f"layer {self.name!r}: dims={self.dims} needs rows of {len(self.dims)} axes, got rows "
                f"of shape {shape}"
            )
        return tuple(shape[axis - 1] for axis in self.dims)

    def call(self, x: Tensor, _training: bool) -> Tensor:
        return functions.transpose(x, (0, *self.dims))

    def extend_rows(self, network: _core.Graph, tensor: int, shape: Shape) -> int:
        return network.permute(tensor, shape, [axis - 1 for axis in self.dims])


@LAYERS.register("identity")
class Identity(Layer):
    """y = x. It costs nothing.

    Example:
        >>> from fastnn import layers
        >>> layers.Identity()([[1.0, 2.0]]).numpy().tolist()
        [[1.0, 2.0]]
    """

    arranges = True
    passes_outputs = True

    @keywords(*COMMON)
    def __init__(self, **common: Unpack[Common]) -> None:
        super().__init__(**common)


@LAYERS.register("repeat_vector")
class RepeatVector(Layer):
    """Each row, n times: rows of shape (columns,) become rows of shape (n, columns).

        >>> fastnn.layers.RepeatVector(2)([[1.0, 2.0]]).tolist()
        [[[1.0, 2.0], [1.0, 2.0]]]

    Args:
        n: at least 1.
    """

    arranges = True
    n = Checked(integer)

    @keywords(*COMMON)
    def __init__(self, n: int, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.n = n

    def row_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(
                f"layer {self.name!r}: RepeatVector expects rows of one axis, got rows of shape "
                f"{shape}; put layers.Flatten() before it"
            )
        return (self.n, *shape)

    def call(self, x: Tensor, _training: bool) -> Tensor:
        return functions.broadcast_to(functions.expand_dims(x, 1), (x.shape[0], self.n, x.shape[1]))

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return network.repeat(tensor, self.n)
