"""Rescaling, by fixed numbers that are the same for all columns; and Scale, by trained ones."""

from __future__ import annotations

from typing import Unpack

from fastnn import _core, constraints, initializers, regularizers
from fastnn.autodiff.tensor import Tensor
from fastnn.constraints import ConstraintLike
from fastnn.initializers import InitializerLike
from fastnn.layers.base import COMMON, LAYERS, Common, Layer, Shape, WeightSpec
from fastnn.layers.of_rows import OfRows
from fastnn.registry import Checked
from fastnn.regularizers import RegularizerLike
from fastnn.variables import Variable
from fastnn.words import flag, keywords, number


@LAYERS.register("rescaling")
class Rescaling(Layer):
    """y = x * scale + offset. As the first layer it is part of the gather of rows, and costs nothing.

        >>> fastnn.layers.Rescaling(2.0, offset=-1.0)([[0.0, 0.5, 1.0]]).tolist()
        [[-1.0, 0.0, 1.0]]

    With `Rescaling(1 / 255)` images may stay uint8.

    Args:
        scale, offset: finite numbers.
    """

    by_column = True
    scale = Checked(number)
    offset = Checked(number)

    @keywords(*COMMON)
    def __init__(self, scale: float, offset: float = 0.0, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.scale = scale
        self.offset = offset

    def call(self, x: Tensor, _training: bool) -> Tensor:
        return x * self.scale + self.offset

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return network.rescale(tensor, self.scale, self.offset)


@LAYERS.register("scale")
class Scale(OfRows):
    """y = x * scale + bias, with a trained scale, and bias, for each column.

        >>> layer = fastnn.layers.Scale(use_bias=True, bias_initializer="ones")
        >>> layer([[1.0, 2.0]]).tolist()
        [[2.0, 3.0]]

    In front of a Dense, the scale lets training weigh the columns of x, with a learning rate of its
    own where the optimizer's `multiply_learning_rate` gives it one (RealMLP, Holzmueller et al.,
    2024, arXiv:2407.04491). `Rescaling` has fixed numbers.

    Args:
        use_bias: whether there is a bias (columns,).
        scale_initializer, bias_initializer: see `fastnn.initializers`.
        scale_regularizer, bias_regularizer: see `fastnn.regularizers`.
        scale_constraint, bias_constraint: see `fastnn.constraints`.

    Raises:
        ValueError: the input has more than one axis; put Flatten() before it.
    """

    has_parameters = True
    by_column = True
    use_bias = Checked(flag)
    scale_initializer = Checked(initializers.checked)
    bias_initializer = Checked(initializers.checked)
    scale_regularizer = Checked(regularizers.checked)
    bias_regularizer = Checked(regularizers.checked)
    scale_constraint = Checked(constraints.checked)
    bias_constraint = Checked(constraints.checked)

    @keywords(*COMMON)
    def __init__(
        self,
        use_bias: bool = False,
        scale_initializer: InitializerLike = "ones",
        bias_initializer: InitializerLike = "zeros",
        scale_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        scale_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.use_bias = use_bias
        self.scale_initializer = scale_initializer
        self.bias_initializer = bias_initializer
        self.scale_regularizer, self.bias_regularizer = scale_regularizer, bias_regularizer
        self.scale_constraint, self.bias_constraint = scale_constraint, bias_constraint

    @property
    def scale(self) -> Variable:
        """The factors (columns,)."""
        return self._variable("scale")

    @property
    def bias(self) -> Variable | None:
        """What is added (columns,), or None without one."""
        return self._variable("bias") if self.use_bias else None

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        scale = self.scale_initializer, self.scale_regularizer, self.scale_constraint
        bias = self.bias_initializer, self.bias_regularizer, self.bias_constraint
        specs = [WeightSpec("scale", shape, *scale)]
        return [*specs, WeightSpec("bias", shape, *bias)] if self.use_bias else specs

    def call(self, x: Tensor, _training: bool) -> Tensor:
        y: Tensor = x * self.scale
        return y if self.bias is None else y + self.bias

    def extend_again(self, network: _core.Graph, tensor: int, first: int) -> int:
        return network.scale_columns(tensor, self.use_bias, like=first)

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return network.scale_columns(tensor, self.use_bias)
