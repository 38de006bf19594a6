"""LayerNormalization and GroupNormalization: rows, or parts of them, brought to mean 0 and variance 1."""

from __future__ import annotations

from typing import Unpack

from fastnn import _core
from fastnn.autodiff import kernels
from fastnn.autodiff.tensor import Tensor
from fastnn.constraints import ConstraintLike
from fastnn.initializers import InitializerLike
from fastnn.layers.base import COMMON, LAYERS, Common, Shape
from fastnn.layers.of_rows import Scaled
from fastnn.registry import Checked
from fastnn.regularizers import RegularizerLike
from fastnn.words import integer, keywords


@LAYERS.register("layer_normalization")
class LayerNormalization(Scaled):
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
        return kernels.group_normalization(x, groups, self.gamma, self.beta, self.epsilon)

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
