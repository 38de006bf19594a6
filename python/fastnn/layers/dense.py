"""Dense: a product with a kernel, a bias and an activation. The arithmetic is native."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnn import _core, activation_words, constraints, initializers, regularizers
from fastnn.autodiff import kernels
from fastnn.autodiff.tensor import Tensor
from fastnn.constraints import ConstraintLike
from fastnn.initializers import InitializerLike
from fastnn.layers.base import COMMON, LAYERS, Layer, Shape, WeightSpec
from fastnn.layers.own_calls import applied, of_layer, opaque_activation
from fastnn.registry import Checked
from fastnn.regularizers import RegularizerLike
from fastnn.variables import Variable
from fastnn.words import flag, integer, keywords


@LAYERS.register("dense")
class Dense(Layer):
    """y = activation(x @ kernel + bias), on rows of one axis.

        >>> import fastnn
        >>> layer = fastnn.layers.Dense(3, activation="relu", input_shape=(4,))
        >>> layer.build((None, 4))
        >>> layer.kernel.shape, layer.bias.shape
        ((4, 3), (3,))

    Args:
        units: the number of outputs, a positive integer.
        activation: a word (see `fastnn.activations`), such as "relu" or
            "leaky_relu(negative_slope=0.1)", a function that has one (`fastnn.nn.relu`), or None
            for linear. Another function, of a Tensor, has the model train over a tape.
        use_bias: whether there is a bias.
        kernel_initializer: for the kernel (inputs, units); see `fastnn.initializers`.
        bias_initializer: for the bias (units,).
        kernel_regularizer, bias_regularizer: penalties that are added to the loss, or None; see
            `fastnn.regularizers`.
        activity_regularizer: a penalty of the outputs, divided by the number of rows; the model then
            trains over a tape.
        kernel_constraint, bias_constraint: what the weights become after each update, or None; see
            `fastnn.constraints`.

    Raises:
        ValueError: rows have more than one axis. Keras then applies the layer to the last
            axis, which is seldom meant; put Flatten() before it.
    """

    has_parameters = True
    units = Checked(integer)
    activation = Checked(of_layer)
    use_bias = Checked(flag)
    kernel_initializer = Checked(initializers.checked)
    bias_initializer = Checked(initializers.checked)
    kernel_regularizer = Checked(regularizers.checked)
    bias_regularizer = Checked(regularizers.checked)
    kernel_constraint = Checked(constraints.checked)
    bias_constraint = Checked(constraints.checked)

    @keywords(*COMMON)
    def __init__(
        self,
        units: int,
        activation: str | Callable[..., Any] | None = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None,
        **common: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **common)
        self.units = units
        self.activation = activation
        if self.activation == "glu":
            raise ValueError(
                "activation: glu halves the units; put layers.Activation('glu') after the Dense"
            )
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.kernel_regularizer, self.bias_regularizer = kernel_regularizer, bias_regularizer
        self.kernel_constraint, self.bias_constraint = kernel_constraint, bias_constraint

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
        kernel = self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint
        specs = [WeightSpec("kernel", (shape[0], self.units), *kernel)]
        if self.use_bias:
            bias = self.bias_initializer, self.bias_regularizer, self.bias_constraint
            specs.append(WeightSpec("bias", (self.units,), *bias))
        return specs

    @property
    def opaque(self) -> str | None:
        return opaque_activation(self)

    def call(self, x: Tensor, _training: bool = False) -> Tensor:
        """activation(x @ kernel + bias), for rows x (n, inputs) of a layer that is built.

        >>> layer = fastnn.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")
        >>> layer([[1.0, 2.0]]).tolist()  # builds the layer, then calls it
        [[4.0]]
        """
        if callable(self.activation):
            return applied(self, kernels.dense(x, self.kernel, self.bias))
        return kernels.dense(x, self.kernel, self.bias, self.activation)

    def extend_again(self, network: _core.Graph, tensor: int, first: int) -> int:
        return self._add_to(network, tensor, first)

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return self._add_to(network, tensor, None)

    def _add_to(self, network: _core.Graph, tensor: int, first: int | None) -> int:
        # A function of a program's own is no node, and such a layer is no part of a native graph.
        word = "linear" if callable(self.activation) else self.activation
        name, parameters = activation_words.native(word)
        return network.dense(
            tensor,
            self.units,
            name,
            use_bias=self.use_bias,
            activation_parameters=parameters,
            like=first,
        )
