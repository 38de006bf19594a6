"""OfRows: the base of layers that take rows of one axis."""

from __future__ import annotations

from fastnn.layers.base import Layer, Shape
from fastnn.variables import Variable


class OfRows(Layer):
    """The base of layers that take rows of one axis."""

    def _variable(self, name: str) -> Variable:
        """A parameter that the layer has once it is built."""
        for variable in self.variables:
            if variable.name == name:
                return variable
        raise AttributeError(
            f"layer {self.name!r} has no parameters yet: give input_shape, or call build"
        )

    def row_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(
                f"layer {self.name!r}: {type(self).__name__} expects rows of one axis, got rows of "
                f"shape {shape}; put layers.Flatten() before it"
            )
        return shape
