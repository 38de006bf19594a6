"""Activation: a function of each number, or softmax of each row, as a layer of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Unpack

from fastnn import _core, activations
from fastnn.autodiff import kernels
from fastnn.autodiff.tensor import Tensor
from fastnn.layers.base import COMMON, LAYERS, Common, Layer, Shape, axis_of_columns
from fastnn.registry import Checked
from fastnn.words import keywords


def _parameter_of(activation: str, name: str, value: Any) -> float:
    return activations.checked_parameter(activation, value, name)


@LAYERS.register("activation")
class Activation(Layer):
    """Applies an activation to every number, or softmax to every row.

    Args:
        activation: a name or a function, see `Dense`.
    """

    activation = Checked(activations.checked)
    _inside = ("activation",)

    @keywords(*COMMON)
    def __init__(
        self, activation: str | Callable[..., Any] | None, **common: Unpack[Common]
    ) -> None:
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

    _old_names: ClassVar[dict[str, str]] = {"alpha": "negative_slope"}

    @keywords(*COMMON, old=_old_names)
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


class _Slope(Checked[float]):
    """A slope below zero, which makes the activation relu where it is 0."""

    def __set__(self, holder: Any, value: Any) -> None:
        super().__set__(holder, value)
        holder.activation = "leaky_relu" if vars(holder)[self.name] else "relu"


@LAYERS.register("re_lu", "relu")
class ReLU(Activation):
    """y = x above zero, negative_slope * x below.

    Args:
        max_value: None alone: outputs have no upper limit. (Keras has one.)
        negative_slope: at least 0.
        threshold: 0 alone. (Keras has others.)
    """

    _kept_as: ClassVar[dict[str, str | None]] = {
        **Layer._kept_as,
        "activation": None,
        "max_value": None,
        "threshold": None,
    }
    negative_slope = _Slope(partial(_parameter_of, "leaky_relu"))

    @keywords(*COMMON)
    def __init__(
        self,
        max_value: None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **common: Unpack[Common],
    ) -> None:
        if max_value is not None:
            raise ValueError(f"max_value: expected None, got {max_value!r}; outputs have no limit")
        if threshold != 0:
            raise ValueError(f"threshold: expected 0, got {threshold!r}")
        super().__init__("relu", **common)
        self.negative_slope = negative_slope

    @property
    def _parameter(self) -> float | None:
        return self.negative_slope or None


@LAYERS.register("softmax")
class Softmax(Activation):
    """Probabilities of each row: exp(x) / sum(exp(x)) over its columns.

    Args:
        axis: -1 or 1, the axis of the columns.
    """

    _kept_as: ClassVar[dict[str, str | None]] = {**Layer._kept_as, "activation": None}
    axis = Checked(axis_of_columns)

    @keywords(*COMMON)
    def __init__(self, axis: int = -1, **common: Unpack[Common]) -> None:
        super().__init__("softmax", **common)
        self.axis = axis
