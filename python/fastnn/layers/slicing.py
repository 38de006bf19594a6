"""Slice: some of the numbers of each row, next to each other."""

from __future__ import annotations

import functools
import math
from typing import Unpack

from fastnn import _core
from fastnn.autodiff.tensor import Tensor
from fastnn.layers.base import COMMON, LAYERS, Common, Layer, Shape
from fastnn.registry import Checked
from fastnn.words import integer, keywords


@LAYERS.register("slice")
class Slice(Layer):
    """Elements of axis 1 next to each other: x[:, begin : begin + size], which is this layer of a symbol.

        >>> fastnn.layers.Slice(1, 2)([[10.0, 20.0, 30.0, 40.0]]).tolist()
        [[20.0, 30.0]]

    Args:
        begin: the first element, at least 0.
        size: how many, at least 1.

    Raises:
        ValueError: rows are too short; the message names their shape.
    """

    by_shape = True
    arranges = True
    begin = Checked(functools.partial(integer, low=0))
    size = Checked(integer)

    @keywords(*COMMON)
    def __init__(self, begin: int, size: int, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.begin = begin
        self.size = size

    def row_shape(self, shape: Shape) -> Shape:
        if not shape or shape[0] < self.begin + self.size:
            raise ValueError(
                f"layer {self.name!r}: elements {self.begin} to {self.begin + self.size} of axis 1, got "
                f"rows of shape {shape}"
            )
        return (self.size, *shape[1:])

    def call(self, x: Tensor, _training: bool) -> Tensor:
        return x[:, self.begin : self.begin + self.size]

    def extend_rows(self, network: _core.Graph, tensor: int, shape: Shape) -> int:
        inner = math.prod(shape[1:])
        return network.slice(tensor, self.begin * inner, self.size * inner)
