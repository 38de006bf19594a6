"""Activation: a function of each number, or softmax of each row, as a layer of its own."""

from __future__ import annotations

from typing import Unpack

from fastnn import _core, activations
from fastnn.layers.base import COMMON, LAYERS, Common, Layer, Shape
from fastnn.words import keywords


@LAYERS.register("activation")
class Activation(Layer):
    """Applies an activation to every number, or softmax to every row.

    Args:
        activation: a name, see `Dense`.
    """

    @keywords(*COMMON)
    def __init__(self, activation: str | None, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.activation = activations.get(activation)

    @property
    def passes_outputs(self) -> bool:  # type: ignore[override]
        return self.activation == "linear"

    def row_shape(self, shape: Shape) -> Shape:
        if self.activation == "softmax" and len(shape) != 1:
            raise ValueError(
                f"layer {self.name!r}: softmax expects rows of one axis, got rows of shape "
                f"{shape}; put layers.Flatten() before it"
            )
        return shape

    def extend(self, network: _core.Network, tensor: int) -> int:
        if self.activation == "linear":
            return tensor
        return network.activation(tensor, self.activation)
