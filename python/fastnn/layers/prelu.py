"""PReLU: relu with a trained slope below zero. The arithmetic is that of other nodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

from fastnn import _core, constraints, initializers, regularizers
from fastnn.autodiff import functions as f
from fastnn.autodiff.tensor import Tensor
from fastnn.constraints import ConstraintLike
from fastnn.initializers import InitializerLike
from fastnn.layers.base import COMMON, LAYERS, Common, Layer, Shape, WeightSpec
from fastnn.registry import Checked
from fastnn.regularizers import RegularizerLike
from fastnn.variables import Variable
from fastnn.words import integer, keywords


def _axes(argument: str, value: Any) -> list[int] | None:
    if value is None:
        return None
    given = value if isinstance(value, (list, tuple)) else [value]
    return sorted({integer(argument, axis, 1) for axis in given})


@LAYERS.register("p_re_lu", "prelu")
class PReLU(Layer):
    """y = x above zero, alpha * x below, with a trained alpha for each number of a row.

        >>> layer = fastnn.layers.PReLU(alpha_initializer="ones", shared_axes=[1])
        >>> print(layer(np.array([[-2.0, 3.0]])).numpy(), layer.alpha.shape)
        [[-2.  3.]] (1,)

    He et al., 2015, arXiv:1502.01852. The slope at 0 is alpha, that of alpha is min(x, 0).

    Args:
        alpha_initializer: for alpha, of the shape of a row; see `fastnn.initializers`.
        alpha_regularizer: a penalty of alpha that is added to the loss, or None; see
            `fastnn.regularizers`.
        alpha_constraint: what alpha becomes after each update, or None; see `fastnn.constraints`.
        shared_axes: the axes along which there is one alpha, from 1, the first of a row: [1, 2] for
            rows (height, width, channels) gives one for each channel. None: none is shared.

    Raises:
        ValueError: a row has no such axis.
    """

    has_parameters = True
    alpha_initializer = Checked(initializers.checked)
    alpha_regularizer = Checked(regularizers.checked)
    alpha_constraint = Checked(constraints.checked)
    shared_axes = Checked(_axes)

    @keywords(*COMMON)
    def __init__(
        self,
        alpha_initializer: InitializerLike = "zeros",
        alpha_regularizer: RegularizerLike = None,
        alpha_constraint: ConstraintLike = None,
        shared_axes: int | Sequence[int] | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.alpha_initializer = alpha_initializer
        self.alpha_regularizer = alpha_regularizer
        self.alpha_constraint = alpha_constraint
        self.shared_axes = shared_axes
        self._rows: Shape = ()  # the shape of a row, where a graph asked last

    @property
    def alpha(self) -> Variable:
        """The slopes below zero, of the shape of a row, with 1 for shared axes."""
        if not self.variables:
            raise AttributeError(
                f"layer {self.name!r} has no parameters yet: give input_shape, or call build"
            )
        return self.variables[0]

    def row_shape(self, shape: Shape) -> Shape:
        for axis in self.shared_axes or ():
            if axis > len(shape):
                raise ValueError(
                    f"layer {self.name!r}: shared_axes: expected axes from 1 to {len(shape)} for rows "
                    f"of shape {shape}, got {axis}"
                )
        self._rows = shape
        return shape

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        own = self._of_alpha(shape)
        rest = self.alpha_regularizer, self.alpha_constraint
        return [WeightSpec("alpha", own, self.alpha_initializer, *rest, by_number=True)]

    def _of_alpha(self, shape: Shape) -> Shape:
        shared = self.shared_axes or ()
        return tuple(1 if axis in shared else size for axis, size in enumerate(shape, 1))

    def call(self, x: Tensor, _training: bool) -> Tensor:
        below = f.minimum(x, 0.0)
        return f.where(x.value <= 0, below * self.alpha, x)

    # -- in a graph

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return self._add_to(network, tensor, None)

    def extend_again(self, network: _core.Graph, tensor: int, first: int) -> int:
        return self._add_to(network, tensor, first)

    def _add_to(self, network: _core.Graph, tensor: int, first: int | None) -> int:
        """relu(x) - alpha relu(-x), where alpha is row 0 of a table, for each row of x."""
        if network.width(tensor) == 0:  # not known: only the end of the graph is asked for
            return tensor
        rows = self._rows
        own = self._of_alpha(rows)
        # relu cut at 0 is 0 for all numbers, infinite ones too.
        none = network.activation(network.slice(tensor, 0, 1), "rectifier", (0.0, 0.0, 0.0))
        alpha = network.embedding(none, 1, math.prod(own), like=first)
        below = network.activation(network.rescale(tensor, -1.0, 0.0), "relu")
        sloped = network.multiply(_spread(network, alpha, own, rows), below)
        return network.subtract(network.activation(tensor, "relu"), sloped)


def _spread(network: _core.Graph, tensor: int, own: Shape, rows: Shape) -> int:
    """A row of shape `own`, whose axes of length 1 are repeated to the shape `rows`."""
    for axis in reversed(range(len(rows))):
        if own[axis] == rows[axis]:
            continue
        inner, blocks = math.prod(rows[axis + 1 :]), math.prod(own[:axis])
        if blocks == 1:
            tensor = network.repeat(tensor, rows[axis])
        else:
            parts = [network.slice(tensor, k * inner, inner) for k in range(blocks)]
            tensor = network.concatenate([network.repeat(part, rows[axis]) for part in parts])
    return tensor
