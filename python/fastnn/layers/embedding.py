"""Embedding: each number of a row becomes a row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _core, constraints, initializers, regularizers
from fastnn.autodiff import kernels
from fastnn.autodiff.tensor import Tensor
from fastnn.constraints import ConstraintLike
from fastnn.initializers import InitializerLike
from fastnn.layers.base import COMMON, LAYERS, Layer, Shape, WeightSpec
from fastnn.layers.named import checked_numbers
from fastnn.registry import Checked
from fastnn.regularizers import RegularizerLike
from fastnn.variables import Variable
from fastnn.words import integer, keywords

# The arguments of all layers but input_dim, which here is the number of categories.
_COMMON = tuple(name for name in COMMON if name != "input_dim")


@LAYERS.register("embedding")
class Embedding(Layer):
    """Rows (k,) of whole numbers become rows (k, output_dim): rows of a trained table.

    The numbers are categories in [0, input_dim), of any type; `Input(dtype="int32")` says so. Put
    Flatten() behind it before a Dense. A gradient goes to the rows of the table that a batch names;
    with momentum or Adam, others move on by what they keep, as in Keras.

    Weights: embeddings (input_dim, output_dim).

    Args:
        input_dim: the number of categories; at most 2**24 in float32.
        output_dim: the columns of the table.
        embeddings_initializer: see `fastnn.initializers`; "uniform" is in [-0.05, 0.05).
        mask_zero: False alone: rows are no sequences.
        embeddings_regularizer, embeddings_constraint: see `fastnn.regularizers` and
            `fastnn.constraints`.
        weights: the table, or a list with it; None: from the initializer.

    Example:
        >>> from fastnn import layers
        >>> table = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
        >>> layers.Embedding(2, 3, weights=table)([[1, 0]]).numpy().tolist()
        [[[4.0, 5.0, 6.0], [1.0, 2.0, 3.0]]]

    Raises:
        ValueError: a number that is no category; the message names its row and column.
    """

    has_parameters = True
    _in_keywords = _COMMON
    _kept_as: ClassVar[dict[str, str | None]] = {
        **Layer._kept_as,
        "input_dim": "input_dim",
        "mask_zero": None,
        "weights": None,
    }
    input_dim = Checked(integer)
    output_dim = Checked(integer)
    embeddings_initializer = Checked(initializers.checked)
    embeddings_regularizer = Checked(regularizers.checked)
    embeddings_constraint = Checked(constraints.checked)

    @keywords(*_COMMON)
    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: InitializerLike = "uniform",
        embeddings_regularizer: RegularizerLike = None,
        embeddings_constraint: ConstraintLike = None,
        mask_zero: bool = False,
        weights: ArrayLike | Sequence[ArrayLike] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if mask_zero:
            raise ValueError(
                f"mask_zero: expected False, got {mask_zero!r}; fastnn trains on rows, not on sequences"
            )
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.embeddings_initializer = embeddings_initializer
        self.embeddings_regularizer = embeddings_regularizer
        self.embeddings_constraint = embeddings_constraint
        self._table: Any = None
        if weights is not None:
            table = np.asarray(weights)
            shape = (self.input_dim, self.output_dim)
            if table.shape not in (shape, (1, *shape)):
                raise ValueError(f"weights: expected shape {shape}, got {table.shape}")
            self._table = table.reshape(shape)

    @property
    def embeddings(self) -> Variable:
        """The table (input_dim, output_dim)."""
        if not self.variables:
            raise AttributeError(
                f"layer {self.name!r} has no parameters yet: give input_shape, or call build"
            )
        return self.variables[0]

    def row_shape(self, shape: Shape) -> Shape:
        return (*shape, self.output_dim)

    def weight_specs(self, _shape: Shape) -> list[WeightSpec]:
        initializer = self.embeddings_initializer
        if self._table is not None:
            table = self._table
            initializer = initializers.checked("weights", lambda _shape, _dtype: table)
        shape = self.input_dim, self.output_dim
        rest = self.embeddings_regularizer, self.embeddings_constraint
        return [WeightSpec("embeddings", shape, initializer, *rest)]

    def call(self, x: Tensor, _training: bool) -> Tensor:
        ids = checked_numbers(self.name, x.value, self.input_dim)
        return kernels.embedding(ids, self.embeddings)

    def extend_again(self, network: _core.Graph, tensor: int, first: int) -> int:
        return network.embedding(tensor, self.input_dim, self.output_dim, like=first)

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return network.embedding(tensor, self.input_dim, self.output_dim)
