"""Rescaling: a fixed scale and offset, the same for every number."""

from __future__ import annotations

from typing import Unpack

from fastnn import _core
from fastnn.autodiff.tensor import Tensor
from fastnn.layers.base import COMMON, LAYERS, Common, Layer
from fastnn.registry import Checked
from fastnn.words import keywords, number


@LAYERS.register("rescaling")
class Rescaling(Layer):
    """y = x * scale + offset. As the first layer it is part of the gather of rows, and costs nothing.

        >>> fastnn.layers.Rescaling(2.0, offset=-1.0)([[0.0, 0.5, 1.0]]).tolist()
        [[-1.0, 0.0, 1.0]]

    With `Rescaling(1 / 255)` images may stay uint8.

    Args:
        scale, offset: finite numbers.
    """

    scale = Checked(number)
    offset = Checked(number)

    @keywords(*COMMON)
    def __init__(self, scale: float, offset: float = 0.0, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.scale = scale
        self.offset = offset

    def call(self, x: Tensor, _training: bool) -> Tensor:
        return x * self.scale + self.offset

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return network.rescale(tensor, self.scale, self.offset)
