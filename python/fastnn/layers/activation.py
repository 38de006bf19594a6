"""Activation: a function of each number or, as softmax and glu, of each row, as a layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Unpack

from fastnn import _core, activation_words
from fastnn.autodiff import kernels
from fastnn.autodiff.tensor import Tensor
from fastnn.layers.base import COMMON, LAYERS, Common, Layer, Shape, axis_of_columns
from fastnn.layers.own_calls import applied, of_layer, opaque_activation
from fastnn.registry import Checked
from fastnn.words import keywords


def _parameter_of(activation: str, name: str, value: Any) -> float:
    return activation_words.checked_parameter(activation, value, name)


@LAYERS.register("activation")
class Activation(Layer):
    """Applies an activation to every number, or softmax, log_softmax or glu to every row.

        >>> fastnn.layers.Activation("relu")([[-1.0, 2.0]]).tolist()
        [[0.0, 2.0]]

    Args:
        activation: a word or a function, see `Dense`.
    """

    activation = Checked(of_layer)
    _inside = ("activation",)

    @keywords(*COMMON)
    def __init__(
        self, activation: str | Callable[..., Any] | None, **common: Unpack[Common]
    ) -> None:
        super().__init__(**common)
        self.activation = activation

    @property
    def passes_outputs(self) -> bool:  # type: ignore[override]
        return isinstance(self.activation, str) and self.activation == "linear"

    def row_shape(self, shape: Shape) -> Shape:
        if self.activation in ("softmax", "log_softmax") and len(shape) != 1:
            raise ValueError(
                f"layer {self.name!r}: {self.activation} expects rows of one axis, got rows of shape "
                f"{shape}; put layers.Flatten() before it"
            )
        if self.activation == "glu":
            if len(shape) != 1 or shape[0] % 2:
                raise ValueError(
                    f"layer {self.name!r}: glu expects rows of one axis of an even length, got rows "
                    f"of shape {shape}"
                )
            return (shape[0] // 2,)
        return shape

    @property
    def opaque(self) -> str | None:
        return opaque_activation(self)

    def call(self, x: Tensor, _training: bool = False) -> Tensor:
        if callable(self.activation):
            return applied(self, x)
        return kernels.activation(x, self.activation)

    def extend(self, network: _core.Graph, tensor: int) -> int:
        if self.activation == "linear" or callable(self.activation):
            return tensor
        if self.activation == "glu":
            half = max(network.width(tensor) // 2, 1)  # a width of 0 is not known
            gate = network.activation(network.slice(tensor, half, half), "sigmoid")
            return network.multiply(network.slice(tensor, 0, half), gate)
        return network.activation(tensor, *activation_words.native(self.activation))


class _WithParameters(Activation):
    """An activation whose parameters are options of the layer; its word follows from them."""

    _kept_as: ClassVar[dict[str, str | None]] = {**Layer._kept_as, "activation": None}

    def __init__(self, **common: Unpack[Common]) -> None:
        Layer.__init__(self, **common)

    @property
    def activation(self) -> str:
        """The word of the activation, with its parameters."""
        raise NotImplementedError


@LAYERS.register("leaky_re_lu", "leaky_relu")
class LeakyReLU(_WithParameters):
    """y = x above zero, negative_slope * x below (Maas et al., 2013).

        >>> fastnn.layers.LeakyReLU(0.5)([[-1.0, 2.0]]).tolist()
        [[-0.5, 2.0]]

    Args:
        negative_slope: at least 0. As in Keras this layer's default is 0.3, that of the
            activation "leaky_relu" 0.2.
    """

    negative_slope = Checked(partial(_parameter_of, "leaky_relu"))

    _old_names: ClassVar[dict[str, str]] = {"alpha": "negative_slope"}

    @keywords(*COMMON, old=_old_names)
    def __init__(self, negative_slope: float = 0.3, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.negative_slope = negative_slope

    @property
    def activation(self) -> str:
        return activation_words.word("leaky_relu", negative_slope=self.negative_slope)


@LAYERS.register("elu")
class ELU(_WithParameters):
    """y = x above zero, alpha * (exp(x) - 1) below (Clevert et al., 2016).

        >>> fastnn.layers.ELU(alpha=2.0)([[-100.0, 3.0]]).tolist()
        [[-2.0, 3.0]]

    Args:
        alpha: at least 0.
    """

    alpha = Checked(partial(_parameter_of, "elu"))

    @keywords(*COMMON)
    def __init__(self, alpha: float = 1.0, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.alpha = alpha

    @property
    def activation(self) -> str:
        return activation_words.word("elu", alpha=self.alpha)


def _limit(name: str, value: Any) -> float | None:
    return None if value is None else _parameter_of("rectifier", name, value)


@LAYERS.register("re_lu", "relu")
class ReLU(_WithParameters):
    """y = x above threshold, up to max_value, and negative_slope * (x - threshold) below.

        >>> fastnn.layers.ReLU()([[-1.0, 2.0]]).tolist()
        [[0.0, 2.0]]

    Args:
        max_value: at least 0; None: outputs have no upper limit.
        negative_slope: at least 0.
        threshold: at least 0.
    """

    max_value = Checked(_limit)
    negative_slope = Checked(partial(_parameter_of, "rectifier"))
    threshold = Checked(partial(_parameter_of, "rectifier"))

    @keywords(*COMMON)
    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold

    @property
    def activation(self) -> str:
        return activation_words.word(
            "relu",
            max_value=self.max_value,
            negative_slope=self.negative_slope,
            threshold=self.threshold,
        )


@LAYERS.register("softmax")
class Softmax(_WithParameters):
    """Probabilities of each row: exp(x) / sum(exp(x)) over its columns.

        >>> fastnn.layers.Softmax()([[3.0, 3.0]]).tolist()
        [[0.5, 0.5]]

    Args:
        axis: -1 or 1, the axis of the columns.
    """

    axis = Checked(axis_of_columns)

    @keywords(*COMMON)
    def __init__(self, axis: int = -1, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.axis = axis

    @property
    def activation(self) -> str:
        return "softmax"
