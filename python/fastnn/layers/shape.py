"""Layers about the shapes of rows: the input of a model, and Flatten. They add no native node."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Unpack

from fastnn.layers.base import COMMON, LAYERS, Common, Layer, Shape
from fastnn.registry import Checked
from fastnn.words import integer, keywords, optional


@LAYERS.register("input_layer")
class InputLayer(Layer):
    """Gives the shape of a row. It adds no node, and `model.layers` leaves it out, as in Keras.

    Args:
        shape: the shape of one row, without the batch axis.
        batch_size: accepted as in Keras, and unused; batches may have any size.
        dtype, name, input_shape: see `Layer`. x may be of any real type with any dtype: each
            batch is converted as it is gathered.
    """

    passes_outputs = True

    _kept_as: ClassVar[dict[str, str | None]] = {
        **Layer._kept_as,
        "shape": "given_shape",
        "input_shape": None,
    }

    batch_size = Checked(optional(integer))

    @keywords(*COMMON)
    def __init__(
        self,
        shape: Sequence[int] | None = None,
        batch_size: int | None = None,
        **common: Unpack[Common],
    ) -> None:
        if shape is not None:
            if common.get("input_shape") is not None:
                raise ValueError("Input: give shape or input_shape, not both")
            common["input_shape"] = shape
        super().__init__(**common)
        if self.given_shape is None:
            raise ValueError("Input: expected a shape, for example Input(shape=(784,))")
        self.batch_size = batch_size


def Input(
    shape: Sequence[int] | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    name: str | None = None,
) -> InputLayer:
    """The first entry of a Sequential, which gives the shape of one row: `Input(shape=(784,))`."""
    return InputLayer(shape, batch_size, dtype=dtype, name=name)


@LAYERS.register("flatten")
class Flatten(Layer):
    """Rows of any shape become rows of one axis. It costs nothing."""

    passes_outputs = True

    @keywords(*COMMON)
    def __init__(self, **common: Unpack[Common]) -> None:
        super().__init__(**common)

    def row_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)
