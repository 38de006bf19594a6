"""Layers that scale each row by its own length: RMSNormalization and UnitNormalization."""

from __future__ import annotations

from functools import partial
from typing import Unpack

from fastnn import _core, initializers
from fastnn.autodiff import kernels
from fastnn.autodiff.tensor import Tensor
from fastnn.layers.base import COMMON, LAYERS, Common, Shape, WeightSpec, axis_of_columns
from fastnn.layers.of_rows import OfRows
from fastnn.registry import Checked
from fastnn.variables import Variable
from fastnn.words import keywords, number


@LAYERS.register("rms_normalization")
class RMSNormalization(OfRows):
    """y = scale * x / sqrt(mean(x**2) + epsilon), each row for itself.

        >>> layer = fastnn.layers.RMSNormalization(epsilon=0.0)
        >>> print(layer([[1.0, -7.0]]).numpy().round(4))  # divided by sqrt((1 + 49) / 2)
        [[ 0.2 -1.4]]

    The mean is that of a row over its columns (Zhang and Sennrich, 2019, arXiv:1910.07467), the
    same in training and in `predict`.

    Args:
        axis: -1 or 1, the axis of the columns; others are not in fastnn.
        epsilon: at least 0; default 1e-6 as in Keras.

    Raises:
        ValueError: the input has more than one axis; put Flatten() before it.
    """

    has_parameters = True
    axis = Checked(axis_of_columns)
    epsilon = Checked(partial(number, low=0.0))

    @keywords(*COMMON)
    def __init__(self, axis: int = -1, epsilon: float = 1e-6, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.axis = axis
        self.epsilon = epsilon

    @property
    def scale(self) -> Variable:
        """The factors (columns,), ones at first."""
        return self._variable("scale")

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        return [WeightSpec("scale", shape, initializers.checked("scale", "ones"))]

    def call(self, x: Tensor, _training: bool) -> Tensor:
        return kernels.rms_normalization(x, self.scale, self.epsilon)

    def extend_again(self, network: _core.Graph, tensor: int, first: int) -> int:
        return network.rms_normalization(tensor, self.epsilon, like=first)

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return network.rms_normalization(tensor, self.epsilon)


@LAYERS.register("unit_normalization")
class UnitNormalization(OfRows):
    """y = x / max(norm, 1e-12), with the Euclidean norm of each row.

        >>> print(fastnn.layers.UnitNormalization()([[3.0, 4.0]]).numpy().round(4))
        [[0.6 0.8]]

    Args:
        axis: -1 or 1, the axis of the columns; others are not in fastnn.

    Raises:
        ValueError: the input has more than one axis; put Flatten() before it.
    """

    axis = Checked(axis_of_columns)

    @keywords(*COMMON)
    def __init__(self, axis: int = -1, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.axis = axis

    def call(self, x: Tensor, _training: bool) -> Tensor:
        return kernels.unit_normalization(x)

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return network.unit_normalization(tensor)
