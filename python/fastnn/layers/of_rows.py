"""The bases of layers that take rows of one axis, and of those that then scale and move columns."""

from __future__ import annotations

from functools import partial

from fastnn import constraints, initializers, regularizers
from fastnn.layers.base import Layer, Shape, WeightSpec, axis_of_columns
from fastnn.registry import Checked
from fastnn.variables import Variable
from fastnn.words import flag, number


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


class Scaled(OfRows):
    """The base of normalizations that multiply columns by gamma and add beta."""

    has_parameters = True
    axis = Checked(axis_of_columns)
    epsilon = Checked(partial(number, low=0.0))
    center = Checked(flag)
    scale = Checked(flag)
    beta_initializer = Checked(initializers.checked)
    gamma_initializer = Checked(initializers.checked)
    beta_regularizer = Checked(regularizers.checked)
    gamma_regularizer = Checked(regularizers.checked)
    beta_constraint = Checked(constraints.checked)
    gamma_constraint = Checked(constraints.checked)

    @property
    def gamma(self) -> Variable | None:
        """The scale (columns,), or None without one."""
        return self._variable("gamma") if self.scale else None

    @property
    def beta(self) -> Variable | None:
        """The offset (columns,), or None without one."""
        return self._variable("beta") if self.center else None

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        specs = []
        if self.scale:
            gamma = self.gamma_initializer, self.gamma_regularizer, self.gamma_constraint
            specs.append(WeightSpec("gamma", shape, *gamma))
        if self.center:
            beta = self.beta_initializer, self.beta_regularizer, self.beta_constraint
            specs.append(WeightSpec("beta", shape, *beta))
        return specs
