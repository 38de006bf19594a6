"""Dot: products of two inputs along an axis, as of two towers, or of cosines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

from fastnn import _core
from fastnn.autodiff import functions as f
from fastnn.autodiff.tensor import Tensor
from fastnn.layers.base import COMMON, LAYERS, Common, Shape
from fastnn.layers.merge import Merge
from fastnn.registry import Checked
from fastnn.words import flag, integer, keywords

EPSILON = 1e-7
_MOST_AXES = 4  # of rows that are brought into another order


def _axes(argument: str, value: Any) -> int | list[int]:
    if isinstance(value, (list, tuple)):
        if len(value) != 2:
            raise ValueError(
                f"{argument}: expected one axis, or one of each of two inputs, got {value}"
            )
        return [_axis(argument, axis) for axis in value]
    return _axis(argument, value)


def _axis(argument: str, value: Any) -> int:
    axis = integer(argument, value, -(2**31))
    if axis == 0:
        raise ValueError(
            f"{argument}: expected axes of rows, from 1 or below 0, got 0, that of the batch"
        )
    return axis


@LAYERS.register("dot")
class Dot(Merge):
    """The sums of products of two inputs along an axis of each.

        >>> fastnn.layers.Dot(axes=1)([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).tolist()
        [[11.0]]

    Rows (k,) and (k,) become (1,). Rows of more axes become those of the first without the axis, then
    those of the second: (k, m) and (k, n) with axes=1 become (m, n).

    Args:
        axes: the axis, from 1, the first of a row, or from the last, -1, backwards; or a pair, one for
            each input.
        normalize: whether vectors along the axis are first divided by their Euclidean norm, of at
            least 1e-7: the result is then a cosine.

    Raises:
        ValueError: the inputs are not two, or differ in the length of the axis.
    """

    by_shape = True
    _inside: ClassVar[tuple[str, ...]] = ("places",)
    axes = Checked(_axes)
    normalize = Checked(flag)

    @keywords(*COMMON)
    def __init__(
        self, axes: int | Sequence[int], normalize: bool = False, **common: Unpack[Common]
    ) -> None:
        super().__init__(**common)
        self.axes = axes
        self.normalize = normalize
        self._seen: tuple[Shape, ...] = ()  # shapes of the inputs, where a graph asked last

    def places(self, shapes: Sequence[Shape]) -> tuple[int, int]:
        """The axis of each row, from 0 (for graphs and files)."""
        given = self.axes if isinstance(self.axes, list) else [self.axes] * 2
        first, second = (
            axis - 1 if axis > 0 else axis + len(shape)
            for axis, shape in zip(given, shapes, strict=True)
        )
        return first, second

    def row_shape(self, shapes: Sequence[Shape]) -> Shape:  # type: ignore[override]
        if len(shapes) != 2:
            raise ValueError(f"layer {self.name!r}: Dot expects two inputs, got {len(shapes)}")
        places = self.places(shapes)
        there = all(0 <= at < len(shape) for at, shape in zip(places, shapes, strict=True))
        if not there or len({shape[at] for at, shape in zip(places, shapes, strict=True)}) > 1:
            raise ValueError(
                f"layer {self.name!r}: Dot expects rows with axes {self.axes} of one length, got rows "
                f"of shapes {shapes[0]} and {shapes[1]}"
            )
        if max(map(len, shapes)) > _MOST_AXES:
            raise ValueError(
                f"layer {self.name!r}: Dot takes rows of up to {_MOST_AXES} axes, got rows of shapes "
                f"{shapes[0]} and {shapes[1]}"
            )
        self._seen = tuple(map(tuple, shapes))
        rest = [_without(shape, at) for at, shape in zip(places, shapes, strict=True)]
        return (*rest[0], *rest[1]) or (1,)

    def merged(self, parts: list[Tensor]) -> Tensor:
        shapes = [part.shape[1:] for part in parts]
        places = self.places(shapes)
        if self.normalize:
            parts = [_normalized(part, at + 1) for part, at in zip(parts, places, strict=True)]
        (x, y), (a, b) = parts, places
        n, k = x.shape[0], shapes[0][a]
        # (n, m, k) and (n, k, o)
        axes = range(x.ndim)
        x = f.transpose(x, [*(i for i in axes if i != a + 1), a + 1])
        axes = range(y.ndim)
        y = f.transpose(y, [0, b + 1, *(i for i in axes if i not in (0, b + 1))])
        rest = [_without(shape, at) for at, shape in zip(places, shapes, strict=True)]
        x = f.reshape(x, (n, math.prod(rest[0]), k))
        y = f.reshape(y, (n, k, math.prod(rest[1])))
        return f.reshape(f.matmul(x, y), (n, *((*rest[0], *rest[1]) or (1,))))

    # -- in a graph

    def extend(self, network: _core.Graph, tensors: Sequence[int]) -> int:  # type: ignore[override]
        widths = [network.width(tensor) for tensor in tensors]
        if self._seen and widths == [math.prod(shape) for shape in self._seen]:
            return self.extend_rows(network, tensors, self._seen)
        # Only the end of the graph is asked for.
        return network.sum_pieces(tensors[0], max(widths[0], 1))

    def extend_rows(  # type: ignore[override]
        self, network: _core.Graph, tensors: Sequence[int], shapes: Sequence[Shape]
    ) -> int:
        """Both inputs as (k, m, o), multiplied, and summed over k."""
        places = self.places(shapes)
        k = shapes[0][places[0]]
        x, y = (
            self._leading(network, tensor, shape, at)
            for tensor, shape, at in zip(tensors, shapes, places, strict=True)
        )
        m, o = (math.prod(_without(s, at)) for s, at in zip(shapes, places, strict=True))
        if o > 1:
            x = network.permute(network.repeat(x, o), (o, k, m), (1, 2, 0))
        if m > 1:
            y = network.permute(network.repeat(y, m), (m, k, o), (1, 0, 2))
        return network.sum_pieces(network.multiply(x, y), k)

    def _leading(self, network: _core.Graph, tensor: int, shape: Shape, at: int) -> int:
        """The axis brought to the front, with vectors of norm 1 along it where these are asked for."""
        others = [i for i in range(len(shape)) if i != at]
        k, m = shape[at], math.prod(_without(shape, at))
        if not self.normalize:
            return tensor if at == 0 else network.permute(tensor, shape, [at, *others])
        if m == 1:
            return network.unit_normalization(tensor, EPSILON)
        last = network.permute(tensor, shape, [*others, at])
        rows = [network.slice(last, i * k, k) for i in range(m)]
        scaled = [network.unit_normalization(row, EPSILON) for row in rows]
        return network.permute(network.concatenate(scaled), (m, k), (1, 0))


def _without(shape: Shape, at: int) -> Shape:
    return (*shape[:at], *shape[at + 1 :])


def _normalized(x: Tensor, axis: int) -> Tensor:
    squares = f.reduce_sum(f.square(x), axis, keepdims=True)
    y: Tensor = x * f.rsqrt(f.maximum(squares, EPSILON**2))
    return y


def dot(inputs: Any, axes: int | Sequence[int] = -1, **options: Any) -> Any:
    """`Dot(axes, **options)(inputs)`.

    >>> fastnn.layers.dot([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).tolist()
    [[11.0]]
    """
    return Dot(axes, **options)(inputs)
