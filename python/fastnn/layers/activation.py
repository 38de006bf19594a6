"""Activation: a function of each number, or softmax of each row, as a layer of its own."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Unpack

from fastnn import _core, activations
from fastnn.autodiff import kernels
from fastnn.autodiff.tensor import Tensor
from fastnn.layers.base import COMMON, LAYERS, Common, Layer, Shape
from fastnn.registry import Checked
from fastnn.words import keywords


def _parameter_of(activation: str, name: str, value: Any) -> float:
    return activations.checked_parameter(activation, value, name)


@LAYERS.register("activation")
class Activation(Layer):
    """Applies an activation to every number, or softmax to every row.

    Args:
        activation: a name, see `Dense`.
    """

    activation = Checked(activations.checked)
    _inside = ("activation",)

    @keywords(*COMMON)
    def __init__(self, activation: str | None, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.activation = activation

    @property
    def _parameter(self) -> float | None:
        """The parameter of the activation; None: its default."""
        return None

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

    def call(self, x: Tensor, _training: bool) -> Tensor:
        return kernels.activation(x, self.activation, self._parameter)

    def extend(self, network: _core.Graph, tensor: int) -> int:
        if self.activation == "linear":
            return tensor
        return network.activation(tensor, self.activation, self._parameter)


@LAYERS.register("leaky_re_lu", "leaky_relu")
class LeakyReLU(Activation):
    """y = x above zero, negative_slope * x below (Maas et al., 2013).

    Args:
        negative_slope: at least 0. As in Keras this layer's default is 0.3, that of the
            activation "leaky_relu" 0.2.
    """

    _kept_as: ClassVar[dict[str, str | None]] = {**Layer._kept_as, "activation": None}
    negative_slope = Checked(partial(_parameter_of, "leaky_relu"))

    @keywords(*COMMON)
    def __init__(self, negative_slope: float = 0.3, **common: Unpack[Common]) -> None:
        super().__init__("leaky_relu", **common)
        self.negative_slope = negative_slope

    @property
    def _parameter(self) -> float:
        return self.negative_slope


@LAYERS.register("elu")
class ELU(Activation):
    """y = x above zero, alpha * (exp(x) - 1) below (Clevert et al., 2016).

    Args:
        alpha: at least 0.
    """

    _kept_as: ClassVar[dict[str, str | None]] = {**Layer._kept_as, "activation": None}
    alpha = Checked(partial(_parameter_of, "elu"))

    @keywords(*COMMON)
    def __init__(self, alpha: float = 1.0, **common: Unpack[Common]) -> None:
        super().__init__("elu", **common)
        self.alpha = alpha

    @property
    def _parameter(self) -> float:
        return self.alpha
