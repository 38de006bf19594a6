"""Layers that prepare columns: Normalization by statistics of data, and CategoryEncoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import _core, initializers
from fastnn.arrays.host import numeric
from fastnn.autodiff import functions
from fastnn.autodiff.tensor import Tensor
from fastnn.data.rows import rows
from fastnn.layers.base import COMMON, LAYERS, Common, Layer, Shape, WeightSpec, axis_of_columns
from fastnn.layers.named import checked_numbers
from fastnn.layers.of_rows import OfRows
from fastnn.registry import Checked
from fastnn.variables import Variable
from fastnn.words import choose, flag, integer, keywords, optional

_EPSILON = 1e-7  # Keras's backend.epsilon()
_BLOCK = 1 << 18  # numbers that `adapt` looks at together


def _statistics(argument: str, value: object) -> Any:
    """A number, or one for each column, as lists of floats."""
    array = numeric(argument, value)
    if array.ndim > 1 and array.size == array.shape[-1]:  # (1, columns), as Keras has it
        array = array.reshape(-1)
    if array.ndim > 1 or not np.isfinite(array.astype(np.float64)).all():
        raise ValueError(f"{argument}: expected finite numbers (columns,), got {value!r}")
    return array.astype(np.float64).tolist()


@LAYERS.register("normalization")
class Normalization(OfRows):
    """y = (x - mean) / max(sqrt(variance), 1e-7), by column, with statistics of data.

    `adapt(data)` takes them from data, before the model is trained; they are part of the model and
    its files. Without it the mean is 0 and the variance 1.

    Weights: mean and variance, each (columns,); no optimizer changes them. (Keras has a count beside
    them, and neither where they are given to the constructor.)

    Args:
        axis: -1 or 1, the axis of the columns; others are not in fastnn.
        mean, variance: one number for each column, or one for all; give both or none.
        invert: y = mean + x * max(sqrt(variance), 1e-7), which undoes a Normalization.

    Example:
        >>> from fastnn import layers
        >>> layer = layers.Normalization()
        >>> layer.adapt([[1.0, 10.0], [3.0, 30.0]])
        >>> layer([[5.0, 20.0]]).numpy().tolist()
        [[3.0, 0.0]]

    Raises:
        ValueError: the input has more than one axis; put Flatten() before it. Or mean or variance
            is given without the other.
    """

    has_parameters = True
    statistics: ClassVar[tuple[str, ...]] = ("mean", "variance")
    _kept_as: ClassVar[dict[str, str | None]] = {
        **Layer._kept_as,
        "mean": "given_mean",
        "variance": "given_variance",
    }
    _inside = ("given_mean", "given_variance")
    axis = Checked(axis_of_columns)
    given_mean = Checked(optional(_statistics))
    given_variance = Checked(optional(_statistics))
    invert = Checked(flag)

    @keywords(*COMMON)
    def __init__(
        self,
        axis: int = -1,
        mean: ArrayLike | None = None,
        variance: ArrayLike | None = None,
        invert: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        if (mean is None) != (variance is None):
            raise ValueError("Normalization: give mean and variance both, or neither")
        self.axis = axis
        self.given_mean = mean
        self.given_variance = variance
        self.invert = invert

    @property
    def mean(self) -> Variable:
        """The mean of each column (columns,)."""
        return self._variable("mean")

    @property
    def variance(self) -> Variable:
        """The variance of each column (columns,)."""
        return self._variable("variance")

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        specs = []
        for name, given, otherwise in (
            ("mean", self.given_mean, 0.0),
            ("variance", self.given_variance, 1.0),
        ):
            values = np.asarray(otherwise if given is None else given)
            if values.shape not in ((), shape):
                raise ValueError(
                    f"layer {self.name!r}: {name}: expected {shape[0]} numbers, one for each column, "
                    f"got {values.size}"
                )
            specs.append(WeightSpec(name, shape, _values(name, values)))
        return specs

    @keywords()
    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Takes mean and variance from data, and builds the layer for its columns.

        Both are computed in float64, in one pass over blocks of rows: a memory map is not read whole.

        Args:
            data: rows (n, columns) or, for one column, (n,): arrays, memory maps, frames, lists; or
                an iterable of batches of such rows.
            batch_size, steps: the rows of a block and the number of blocks; None: as many as there
                are.

        Raises:
            ValueError: data is empty, holds NaN or infinity, or has other columns than the layer.
            RuntimeError: a model with this layer is being trained.
        """
        found = _moments(data, batch_size, steps)
        if not self.built:
            self.build((None, len(found[0])))
        columns = self.mean.size
        if len(found[0]) != columns:
            raise ValueError(
                f"layer {self.name!r}: adapt: expected rows of {columns} columns, got {len(found[0])}"
            )
        self.set_weights(found)

    def call(self, x: Tensor, _training: bool) -> Tensor:
        mean, deviation = self.mean.view(), np.sqrt(self.variance.view())
        deviation = np.maximum(deviation, deviation.dtype.type(_EPSILON))
        y: Tensor = x * deviation + mean if self.invert else (x - mean) * (1 / deviation)
        return y

    def extend_again(self, network: _core.Graph, tensor: int, first: int) -> int:
        return network.normalize(tensor, _EPSILON, self.invert, like=first)

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return network.normalize(tensor, _EPSILON, self.invert)


def _values(name: str, values: NDArray[Any]) -> initializers.Initializer:
    return initializers.checked(name, lambda shape, _: np.broadcast_to(values, shape))


def _blocks(data: Any, batch_size: int | None, steps: int | None) -> Any:
    """Blocks of rows (n, columns)."""
    if hasattr(data, "__iter__") and not hasattr(data, "__len__"):
        yield from (rows("data", block, None) for block in data)
        return
    array = rows("data", data, None)
    size = batch_size or max(_BLOCK // max(array[:1].size, 1), 1)
    for first in range(0, len(array), size):
        if steps is not None and first >= steps * size:
            return
        yield array[first : first + size]


def _moments(data: Any, batch_size: int | None, steps: int | None) -> list[NDArray[np.float64]]:
    """Mean and variance of each column, joined block by block (Chan, Golub and LeVeque, 1983)."""
    if batch_size is not None:
        integer("batch_size", batch_size)
    if steps is not None:
        integer("steps", steps)
    count = 0
    mean = squares = np.zeros(0)
    for i, block in enumerate(_blocks(data, batch_size, steps)):
        if steps is not None and i >= steps:
            break
        part = np.asarray(block, np.float64)
        if part.ndim != 2 or (count and part.shape[1:] != mean.shape):
            raise ValueError(
                f"data: expected rows (n, {len(mean) if count else 'columns'}), got shape "
                f"{part.shape}"
            )
        wrong = ~np.isfinite(part)
        if wrong.any():
            row, column = (int(at) for at in np.argwhere(wrong)[0])
            raise ValueError(
                f"data: expected finite numbers, got {part[row, column]} at row {count + row}, "
                f"column {column}"
            )
        own = part.mean(axis=0)
        own_squares = ((part - own) ** 2).sum(axis=0)
        if count == 0:
            count, mean, squares = len(part), own, own_squares
            continue
        total = count + len(part)
        step = own - mean
        mean = mean + step * (len(part) / total)
        squares = squares + own_squares + step**2 * (count * len(part) / total)
        count = total
    if count == 0:
        raise ValueError("data is empty")
    return [mean, squares / count]


_MODES = ("one_hot", "multi_hot", "count")


def _mode(argument: str, value: object) -> str:
    return choose(argument, value, _MODES)


@LAYERS.register("category_encoding")
class CategoryEncoding(Layer):
    """Columns of category numbers become one column for each category.

    Categories are whole numbers in [0, num_tokens), of any type; `Input(dtype="int32")` says so.

    Args:
        num_tokens: the number of categories.
        output_mode: "multi_hot": 1 for each category that a row (k,) holds, 0 elsewhere; "count":
            how often it holds it; both give rows (num_tokens,). "one_hot": each column for itself:
            rows (1,) become (num_tokens,), rows (k,) become (k, num_tokens).
        sparse: False alone.

    Example:
        >>> from fastnn import layers
        >>> layers.CategoryEncoding(4, "count")([[1, 1, 3]]).numpy().tolist()
        [[0.0, 2.0, 0.0, 1.0]]

    Raises:
        ValueError: a number that is no category; the message names its row and column.
    """

    num_tokens = Checked(integer)
    output_mode = Checked(_mode)
    _kept_as: ClassVar[dict[str, str | None]] = {**Layer._kept_as, "sparse": None}

    @keywords(*COMMON)
    def __init__(
        self,
        num_tokens: int,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        if sparse:
            raise ValueError(f"sparse: expected False, got {sparse!r}; outputs are dense")
        self.num_tokens = num_tokens
        self.output_mode = output_mode

    def row_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(
                f"layer {self.name!r}: CategoryEncoding expects rows of one axis, got rows of shape "
                f"{shape}; put layers.Flatten() before it"
            )
        if self.output_mode == "one_hot" and shape[0] > 1:
            return (shape[0], self.num_tokens)
        return (self.num_tokens,)

    def call(self, x: Tensor, _training: bool) -> Tensor:
        ids = checked_numbers(self.name, x.value, self.num_tokens)
        hot = np.asarray(functions.one_hot(ids, self.num_tokens))
        if self.output_mode == "one_hot":
            return Tensor(hot[:, 0] if ids.shape[1] == 1 else hot)
        counts = hot.sum(axis=1)
        return Tensor(counts if self.output_mode == "count" else np.minimum(counts, 1))

    def extend(self, network: _core.Graph, tensor: int) -> int:
        columns = network.width(tensor)
        if self.output_mode != "one_hot" or columns <= 1:
            return network.categories(tensor, self.num_tokens, self.output_mode == "count")
        parts: Sequence[int] = [
            network.categories(network.slice(tensor, column, 1), self.num_tokens)
            for column in range(columns)
        ]
        return network.concatenate(parts)
