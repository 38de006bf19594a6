"""GroupedDense: dense layers side by side, each for a group of columns."""

from __future__ import annotations

from typing import Any, Unpack

from fastnn import _core, constraints, initializers, regularizers
from fastnn.autodiff import functions
from fastnn.autodiff.tensor import Tensor
from fastnn.constraints import ConstraintLike
from fastnn.initializers import InitializerLike, VarianceScaling
from fastnn.layers.base import COMMON, LAYERS, Common, Shape, WeightSpec
from fastnn.layers.of_rows import OfRows
from fastnn.registry import Checked
from fastnn.regularizers import RegularizerLike
from fastnn.variables import Variable
from fastnn.words import flag, integer, keywords, optional


@LAYERS.register("grouped_dense")
class GroupedDense(OfRows):
    """y[g] = x[g] @ kernel[g] + bias[g] for each group g of columns, the results side by side.

        >>> layer = fastnn.layers.GroupedDense(1, groups=2, kernel_initializer="ones")
        >>> layer([[1.0, 2.0, 10.0, 20.0]]).tolist()
        [[3.0, 30.0]]

    A row is cut into `groups` parts of one size, each with a small dense layer of its own, as
    embeddings of numbers need them: periodic ones (Gorishniy et al., 2022, arXiv:2203.05556) have
    some sines of each column, which a group makes a few numbers of. An activation is a layer behind.

    Weights: kernel (inputs, units), the rows of each group below those of the one before; bias
    (groups * units,).

    Args:
        units: the outputs of each group.
        groups: a divisor of the number of columns.
        use_bias: whether there is a bias.
        kernel_initializer: for the kernel; see `fastnn.initializers`. None: uniform, with the
            variance of one over the inputs of a group.
        bias_initializer: for the bias.
        kernel_regularizer, bias_regularizer: see `fastnn.regularizers`.
        kernel_constraint, bias_constraint: see `fastnn.constraints`.

    Raises:
        ValueError: the input has more than one axis; put Flatten() before it. Or `groups` does not
            divide its columns.
    """

    has_parameters = True
    units = Checked(integer)
    groups = Checked(integer)
    use_bias = Checked(flag)
    kernel_initializer = Checked(optional(initializers.checked))
    bias_initializer = Checked(initializers.checked)
    kernel_regularizer = Checked(regularizers.checked)
    bias_regularizer = Checked(regularizers.checked)
    kernel_constraint = Checked(constraints.checked)
    bias_constraint = Checked(constraints.checked)

    @keywords(*COMMON)
    def __init__(
        self,
        units: int,
        groups: int,
        use_bias: bool = True,
        kernel_initializer: InitializerLike | None = None,
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.units = units
        self.groups = groups
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.kernel_regularizer, self.bias_regularizer = kernel_regularizer, bias_regularizer
        self.kernel_constraint, self.bias_constraint = kernel_constraint, bias_constraint

    @property
    def kernel(self) -> Variable:
        """The kernels of all groups (inputs, units)."""
        return self._variable("kernel")

    @property
    def bias(self) -> Variable | None:
        """The bias (groups * units,), or None without one."""
        return self._variable("bias") if self.use_bias else None

    def row_shape(self, shape: Shape) -> Shape:
        (columns,) = super().row_shape(shape)
        if columns % self.groups != 0:
            raise ValueError(
                f"layer {self.name!r}: groups={self.groups} does not divide {columns} columns"
            )
        return (self.groups * self.units,)

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        initializer = self.kernel_initializer
        if initializer is None:  # its fan is all of the inputs, of which a group has a part
            initializer = VarianceScaling(self.groups, "fan_in", "uniform")
        kernel = initializer, self.kernel_regularizer, self.kernel_constraint
        specs = [WeightSpec("kernel", (shape[0], self.units), *kernel)]
        if self.use_bias:
            bias = self.bias_initializer, self.bias_regularizer, self.bias_constraint
            specs.append(WeightSpec("bias", (self.groups * self.units,), *bias))
        return specs

    def call(self, x: Tensor, _training: bool) -> Tensor:
        groups, inputs = self.groups, x.shape[1] // self.groups
        parts: Any = functions.reshape(x, (len(x), groups, inputs))
        kernel = functions.reshape(self.kernel, (groups, inputs, self.units))
        made = functions.matmul(functions.transpose(parts, (1, 0, 2)), kernel)
        y = functions.reshape(functions.transpose(made, (1, 0, 2)), (len(x), groups * self.units))
        return y if self.bias is None else y + self.bias

    def extend_again(self, network: _core.Graph, tensor: int, first: int) -> int:
        return self._extended(network, tensor, first)

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return self._extended(network, tensor, None)

    def _extended(self, network: _core.Graph, tensor: int, like: int | None) -> int:
        return network.grouped_dense(tensor, self.groups, self.units, self.use_bias, like=like)
