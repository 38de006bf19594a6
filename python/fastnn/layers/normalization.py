"""LayerNormalization and GroupNormalization: rows, or parts of them, brought to mean 0 and variance 1."""

from __future__ import annotations

from functools import partial
from typing import Unpack

from fastnn import _core, constraints, initializers, regularizers
from fastnn.autodiff import functions, kernels
from fastnn.autodiff.tensor import Tensor
from fastnn.constraints import ConstraintLike
from fastnn.initializers import InitializerLike
from fastnn.layers.base import COMMON, LAYERS, Common, Layer, Shape, WeightSpec, axis_of_columns
from fastnn.registry import Checked
from fastnn.regularizers import RegularizerLike
from fastnn.variables import Variable
from fastnn.words import flag, integer, keywords, number


@LAYERS.register("layer_normalization")
class LayerNormalization(Layer):
    """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, each row for itself.

        >>> layer = fastnn.layers.LayerNormalization(epsilon=0.0)
        >>> layer([[1.0, 3.0], [10.0, 30.0]]).tolist()
        [[-1.0, 1.0], [-1.0, 1.0]]

    Mean and variance are those of a row over its columns (Ba, Kiros and Hinton, 2016,
    arXiv:1607.06450), the same in training and in `predict`.

    Args:
        axis: -1 or 1, the axis of the columns; others are not in fastnn.
        epsilon: at least 0; default 1e-3 as in Keras.
        center: whether there is a beta (columns,).
        scale: whether there is a gamma (columns,).
        beta_initializer, gamma_initializer: see `fastnn.initializers`.
        beta_regularizer, gamma_regularizer: see `fastnn.regularizers`.
        beta_constraint, gamma_constraint: see `fastnn.constraints`.

    Raises:
        ValueError: the input has more than one axis; put Flatten() before it.
    """

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

    @keywords(*COMMON)
    def __init__(
        self,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        beta_regularizer: RegularizerLike = None,
        gamma_regularizer: RegularizerLike = None,
        beta_constraint: ConstraintLike = None,
        gamma_constraint: ConstraintLike = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.axis = axis
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = beta_initializer
        self.gamma_initializer = gamma_initializer
        self.beta_regularizer, self.gamma_regularizer = beta_regularizer, gamma_regularizer
        self.beta_constraint, self.gamma_constraint = beta_constraint, gamma_constraint

    @property
    def gamma(self) -> Variable | None:
        """The scale (columns,), or None without one."""
        return self._variable("gamma") if self.scale else None

    @property
    def beta(self) -> Variable | None:
        """The offset (columns,), or None without one."""
        return self._variable("beta") if self.center else None

    def _variable(self, name: str) -> Variable:
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

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        specs = []
        if self.scale:
            gamma = self.gamma_initializer, self.gamma_regularizer, self.gamma_constraint
            specs.append(WeightSpec("gamma", shape, *gamma))
        if self.center:
            beta = self.beta_initializer, self.beta_regularizer, self.beta_constraint
            specs.append(WeightSpec("beta", shape, *beta))
        return specs

    def call(self, x: Tensor, _training: bool) -> Tensor:
        return kernels.layer_normalization(x, self.gamma, self.beta, self.epsilon)

    def extend_again(self, network: _core.Graph, tensor: int, first: int) -> int:
        if not self.center and not self.scale:
            return self.extend(network, tensor)
        return network.layer_normalization(
            tensor, self.epsilon, self.center, self.scale, like=first
        )

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return network.layer_normalization(tensor, self.epsilon, self.center, self.scale)


def _groups(argument: str, value: object) -> int:
    return -1 if value == -1 else integer(argument, value)


@LAYERS.register("group_normalization")
class GroupNormalization(LayerNormalization):
    """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, each group of columns for itself.

    The columns of a row are cut into `groups` parts of one size, each with a mean and a variance of
    its own (Wu and He, 2018, arXiv:1803.08494); gamma and beta have a number for each column.

    Args:
        groups: a divisor of the number of columns; -1: each column for itself.
        axis: -1 or 1, the axis of the columns; others are not in fastnn.
        epsilon: at least 0.
        center: whether there is a beta (columns,).
        scale: whether there is a gamma (columns,).
        beta_initializer, gamma_initializer: see `fastnn.initializers`.
        beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: see
            `fastnn.regularizers` and `fastnn.constraints`.

    Example:
        >>> from fastnn import layers
        >>> layers.GroupNormalization(2, epsilon=0.0)([[1.0, 3.0, 10.0, 30.0]]).numpy().tolist()
        [[-1.0, 1.0, -1.0, 1.0]]

    Raises:
        ValueError: the input has more than one axis; put Flatten() before it. Or `groups` does not
            divide its columns.
    """

    groups = Checked(_groups)

    @keywords(*COMMON)
    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        beta_regularizer: RegularizerLike = None,
        gamma_regularizer: RegularizerLike = None,
        beta_constraint: ConstraintLike = None,
        gamma_constraint: ConstraintLike = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(
            axis,
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
            **common,
        )
        self.groups = groups

    def row_shape(self, shape: Shape) -> Shape:
        super().row_shape(shape)
        if shape[0] % self._groups_of(shape[0]) != 0:
            raise ValueError(
                f"layer {self.name!r}: groups={self.groups} does not divide {shape[0]} columns"
            )
        return shape

    def _groups_of(self, columns: int) -> int:
        return columns if self.groups == -1 else self.groups

    def call(self, x: Tensor, _training: bool) -> Tensor:
        groups = self._groups_of(x.shape[1])
        parts = functions.reshape(x, (len(x) * groups, x.shape[1] // groups))
        h = kernels.layer_normalization(parts, None, None, self.epsilon)
        h = functions.reshape(h, x.shape)
        if self.gamma is not None:
            h = h * self.gamma
        y: Tensor = h if self.beta is None else h + self.beta
        return y

    def extend_again(self, network: _core.Graph, tensor: int, first: int) -> int:
        return self._extended(network, tensor, first)

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return self._extended(network, tensor, None)

    def _extended(self, network: _core.Graph, tensor: int, like: int | None) -> int:
        groups = self._groups_of(network.width(tensor) or 1)
        if network.width(tensor) == 0:
            groups = 1
        shares = like if self.center or self.scale else None
        return network.group_normalization(
            tensor, groups, self.epsilon, self.center, self.scale, like=shares
        )
