"""Layers: what each is called, its options, and which native nodes it adds to a network.

No arithmetic is here: forward and backward are native, once for every layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastnn import _core, activations, initializers
from fastnn.initializers import InitializerLike
from fastnn.layer import COMMON, Common, Layer, Shape, WeightSpec
from fastnn.variables import Variable
from fastnn.words import flag, integer, keywords, number

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "ELU",
    "Activation",
    "Dense",
    "Dropout",
    "Flatten",
    "Input",
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "Rescaling",
]


class InputLayer(Layer):
    """Says the shape of a row. It adds nothing, and `model.layers` leaves it out, as in Keras.

    Args:
        shape: the shape of one row, without the batch axis.
        batch_size: taken for Keras's sake; batches may have any size.
        dtype, name, input_shape: see `Layer`. x may be of any real type whatever dtype says:
            each batch is converted as it is gathered.
    """

    passes_outputs = True

    @keywords(*COMMON)
    def __init__(
        self,
        shape: Sequence[int] | None = None,
        batch_size: int | None = None,
        **common: Unpack[Common],
    ) -> None:
        if shape is not None:
            if common.get("input_shape") is not None:
                raise ValueError("Input: give shape or input_shape, not both")
            common["input_shape"] = shape
        super().__init__(**common)
        if self.given_shape is None:
            raise ValueError("Input: expected a shape, for example Input(shape=(784,))")
        self.batch_size = None if batch_size is None else integer("batch_size", batch_size)


def Input(
    shape: Sequence[int] | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    name: str | None = None,
) -> InputLayer:
    """The first entry of a Sequential, which says the shape of one row: `Input(shape=(784,))`."""
    return InputLayer(shape, batch_size, dtype=dtype, name=name)


class Dense(Layer):
    """y = activation(x @ kernel + bias), on rows of one axis.

        >>> import fastnn
        >>> layer = fastnn.layers.Dense(3, activation="relu", input_shape=(4,))
        >>> layer.build((None, 4))
        >>> layer.kernel.shape, layer.bias.shape
        ((4, 3), (3,))

    Args:
        units: the number of outputs, a positive integer.
        activation: a name (see `fastnn.activations`), "softmax" or None for linear.
        use_bias: whether there is a bias.
        kernel_initializer: of the kernel (inputs, units); see `fastnn.initializers`.
        bias_initializer: of the bias (units,).

    Raises:
        ValueError: the input has more than one axis. Keras then applies the layer to the last
            axis, which is seldom meant; put Flatten() before it.
    """

    @keywords(*COMMON)
    def __init__(
        self,
        units: int,
        activation: str | None = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.units = integer("units", units)
        self.activation = activations.get(activation)
        self.use_bias = flag("use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer, "kernel_initializer")
        self.bias_initializer = initializers.get(bias_initializer, "bias_initializer")

    @property
    def kernel(self) -> Variable:
        """The kernel (inputs, units)."""
        return self._variable(0)

    @property
    def bias(self) -> Variable | None:
        """The bias (units,), or None without one."""
        return self._variable(1) if self.use_bias else None

    def _variable(self, index: int) -> Variable:
        if not self.built:
            raise AttributeError(
                f"layer {self.name!r} has no parameters yet: give input_shape, or call build"
            )
        return self.variables[index]

    def row_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(
                f"layer {self.name!r}: Dense expects rows of one axis, got rows of shape {shape}; "
                "put layers.Flatten() before it"
            )
        return (self.units,)

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        specs = [WeightSpec("kernel", (shape[0], self.units), self.kernel_initializer)]
        if self.use_bias:
            specs.append(WeightSpec("bias", (self.units,), self.bias_initializer))
        return specs

    def extend(self, network: _core.Network, tensor: int) -> int:
        return network.dense(tensor, self.units, self.activation, use_bias=self.use_bias)


class Activation(Layer):
    """Applies an activation to every number, or softmax to every row.

    Args:
        activation: a name, see `Dense`.
    """

    _parameter: float | None = None  # of the activation; None: its default

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
        return network.activation(tensor, self.activation, self._parameter)


class LeakyReLU(Activation):
    """y = x above zero, negative_slope * x below (Maas et al., 2013).

    Args:
        negative_slope: at least 0. As in Keras this layer's default is 0.3, that of the
            activation "leaky_relu" 0.2.
    """

    @keywords(*COMMON)
    def __init__(self, negative_slope: float = 0.3, **common: Unpack[Common]) -> None:
        super().__init__("leaky_relu", **common)
        self.negative_slope = activations.checked_parameter(
            "leaky_relu", negative_slope, "negative_slope"
        )
        self._parameter = self.negative_slope


class ELU(Activation):
    """y = x above zero, alpha * (exp(x) - 1) below (Clevert et al., 2016).

    Args:
        alpha: at least 0.
    """

    @keywords(*COMMON)
    def __init__(self, alpha: float = 1.0, **common: Unpack[Common]) -> None:
        super().__init__("elu", **common)
        self.alpha = self._parameter = activations.checked_parameter("elu", alpha, "alpha")


class Flatten(Layer):
    """Rows of any shape become rows of one axis. It costs nothing."""

    passes_outputs = True

    @keywords(*COMMON)
    def __init__(self, **common: Unpack[Common]) -> None:
        super().__init__(**common)

    def row_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


class Dropout(Layer):
    """In training, sets each number to 0 with probability `rate`, and scales the rest.

    The rest is multiplied by 1 / (1 - rate); `predict` and `evaluate` change nothing. Which
    numbers fall depends on the model's key, the layer and the step, so a seed set by
    `fastnn.utils.set_random_seed` fixes it.

    Args:
        rate: in [0, 1).
    """

    @keywords(*COMMON)
    def __init__(self, rate: float, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.rate = number("rate", rate, 0.0, 1.0, open_high=True)

    def extend(self, network: _core.Network, tensor: int) -> int:
        return network.dropout(tensor, self.rate)


class Rescaling(Layer):
    """y = x * scale + offset; first in a model it is done as rows are gathered, at no cost.

    So images may stay uint8: `Rescaling(1 / 255)`.

    Args:
        scale, offset: finite numbers.
    """

    @keywords(*COMMON)
    def __init__(self, scale: float, offset: float = 0.0, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.scale = number("scale", scale)
        self.offset = number("offset", offset)

    def extend(self, network: _core.Network, tensor: int) -> int:
        return network.rescale(tensor, self.scale, self.offset)
