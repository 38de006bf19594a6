"""Parts of Tensors in another order or place, made of indexing, which a tape records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from fastnn.autodiff.functions import getitem, reshape
from fastnn.autodiff.quiet import operation
from fastnn.autodiff.tensor import Tensor, converted, recorded, tensor
from fastnn.words import choose, integer

Direction = Literal["ASCENDING", "DESCENDING"]
_DIRECTIONS: tuple[Direction, ...] = ("ASCENDING", "DESCENDING")
PadMode = Literal["CONSTANT", "REFLECT", "SYMMETRIC"]
_PAD_MODES: tuple[PadMode, ...] = ("CONSTANT", "REFLECT", "SYMMETRIC")
_NUMPY_MODES: dict[str, Any] = {"REFLECT": "reflect", "SYMMETRIC": "symmetric"}


class TopK(NamedTuple):
    """The largest numbers of `top_k`, and their places."""

    values: Tensor
    indices: Tensor


@operation
def split(value: Any, num_or_size_splits: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Parts along an axis: so many equal ones, or parts of these lengths.

        >>> [part.tolist() for part in fastnn.split([1, 2, 3, 4], 2)]
        [[1, 2], [3, 4]]
        >>> [part.tolist() for part in fastnn.split([1, 2, 3, 4], [1, -1])]
        [[1], [2, 3, 4]]

    Args:
        value: a Tensor or an array.
        num_or_size_splits: a number of parts, or their lengths, one of which may be -1.
        axis: along which value is split.

    Raises:
        ValueError: the parts do not make up the axis.
    """
    x = tensor(value)
    place = _axis(axis, x.ndim)
    length = x.shape[place]
    if isinstance(num_or_size_splits, (int, np.integer)):
        count = integer("num_or_size_splits", num_or_size_splits)
        if length % count:
            raise ValueError(
                f"num_or_size_splits: {count} equal parts of an axis of length {length}"
            )
        sizes = [length // count] * count
    else:
        sizes = [int(n) for n in converted(num_or_size_splits)]
        if sizes.count(-1) == 1:
            sizes[sizes.index(-1)] = length - sum(sizes) - 1
        if sum(sizes) != length or min(sizes, default=0) < 0:
            raise ValueError(
                f"num_or_size_splits: {list(num_or_size_splits)} of an axis of length {length}"
            )
    ends = np.cumsum(sizes)
    return [
        getitem(x, (*_all(place), slice(int(end) - n, int(end))))
        for n, end in zip(sizes, ends, strict=True)
    ]


@operation
def slice_of(x: Any, begin: Sequence[int], size: Sequence[int]) -> Tensor:
    """`size` elements of each axis from `begin` on; -1: all that follow.

        >>> fastnn.slice([[1, 2, 3], [4, 5, 6]], begin=[0, 1], size=[2, -1]).tolist()
        [[2, 3], [5, 6]]

    Args:
        x: a Tensor or an array.
        begin, size: an integer for each axis.
    """
    pairs = zip(converted(begin), converted(size), strict=True)
    return getitem(x, tuple(slice(int(b), None if n == -1 else int(b + n)) for b, n in pairs))


@operation
def pad(x: Any, paddings: Any, mode: PadMode = "CONSTANT", constant_values: float = 0) -> Tensor:
    """x with numbers around it.

        >>> fastnn.pad([1, 2, 3], [[1, 2]]).tolist()
        [0, 1, 2, 3, 0, 0]
        >>> fastnn.pad([1, 2, 3], [[1, 2]], mode="REFLECT").tolist()
        [2, 1, 2, 3, 2, 1]

    Args:
        x: a Tensor or an array.
        paddings: (axes, 2): how many before and behind, for each axis.
        mode: "CONSTANT", "REFLECT" (x mirrored at its edge, which is not repeated) or "SYMMETRIC"
            (with the edge), in letters of either case.
        constant_values: the number around, with "CONSTANT".

    Raises:
        ValueError: paddings has not a pair for each axis, or is longer than what is mirrored.
    """
    x = tensor(x)
    around = [(int(before), int(behind)) for before, behind in converted(paddings)]
    if len(around) != x.ndim:
        raise ValueError(f"paddings: expected {x.ndim} pairs, got {len(around)}")
    how = choose("mode", str(mode).upper(), _PAD_MODES)
    if how != "CONSTANT":
        edge = how == "REFLECT"
        for axis, (pair, n) in enumerate(zip(around, x.shape, strict=True)):
            if max(pair) > n - edge:
                raise ValueError(
                    f"paddings: {how} of axis {axis}, of length {n}, gives at most {max(n - edge, 0)}, "
                    f"got {pair}"
                )
        # The same element may stand at several places: indexing adds their gradients.
        places = np.pad(np.arange(x.size).reshape(x.shape), around, mode=_NUMPY_MODES[how])
        return getitem(reshape(x, (-1,)), places)
    inside = tuple(
        slice(before, before + n) for (before, _), n in zip(around, x.shape, strict=True)
    )
    y = Tensor(np.pad(x.value, around, constant_values=constant_values))
    return recorded(y, (x,), lambda dy: (getitem(dy, inside),))


@operation
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Tensor:
    """Each element so many times, one after the other, along an axis; None: of the flat array.

        >>> fastnn.repeat([1, 2], 2).tolist()
        [1, 1, 2, 2]
        >>> fastnn.repeat([[1], [2]], [2, 1], axis=0).tolist()
        [[1], [1], [2]]

    Args:
        x: a Tensor or an array.
        repeats: a number, or one for each element of the axis.
        axis: along which elements are repeated.
    """
    x = tensor(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    place = _axis(axis, x.ndim)
    places = np.repeat(np.arange(x.shape[place]), converted(repeats))
    return getitem(x, (*_all(place), places))


@operation
def roll(x: Any, shift: Any, axis: Any) -> Tensor:
    """The elements moved by `shift` along an axis, or axes; those that leave it come back in front.

        >>> fastnn.roll([1, 2, 3], shift=1, axis=0).tolist()
        [3, 1, 2]

    Args:
        x: a Tensor or an array.
        shift: how far, towards the end; a negative number: towards the begin. One for each axis.
        axis: an axis or several.
    """
    x = tensor(x)
    places = np.arange(x.size).reshape(x.shape)
    moved = np.roll(places, tuple(np.atleast_1d(shift)), tuple(np.atleast_1d(axis)))
    return getitem(reshape(x, (-1,)), moved)


@operation
def argsort(values: Any, axis: int = -1, direction: Direction = "ASCENDING") -> Tensor:
    """The places of the elements along an axis in rising or falling order; equal ones keep theirs.

        >>> fastnn.argsort([30, 10, 20]).tolist()
        [1, 2, 0]

    Args:
        values: a Tensor or an array.
        axis: that is sorted.
        direction: "ASCENDING" or "DESCENDING".
    """
    x = converted(values)
    choose("direction", direction, _DIRECTIONS)
    if direction == "ASCENDING":
        return Tensor(np.argsort(x, axis=axis, kind="stable"))
    # The order from behind, of the array from behind, keeps the order of equal elements.
    backwards = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return Tensor(np.flip(x.shape[axis] - 1 - backwards, axis))


@operation
def sort(values: Any, axis: int = -1, direction: Direction = "ASCENDING") -> Tensor:
    """The elements along an axis in rising or falling order.

        >>> fastnn.sort([30, 10, 20], direction="DESCENDING").tolist()
        [30, 20, 10]

    Each element gets the gradient of its place.

    Args:
        values: a Tensor or an array.
        axis: that is sorted.
        direction: "ASCENDING" or "DESCENDING".
    """
    x = tensor(values)
    return _along(x, argsort(x, axis, direction).value, _axis(axis, x.ndim))


@operation
def top_k(x: Any, k: int = 1) -> TopK:
    """The k largest elements along the last axis and their places, the largest first.

        >>> values, indices = fastnn.math.top_k([10, 30, 20], k=2)
        >>> values.tolist(), indices.tolist()
        ([30, 20], [1, 2])

    Args:
        x: a Tensor or an array (..., n).
        k: how many, at most n.

    Returns:
        values and indices (..., k).

    Raises:
        ValueError: the axis has fewer than k elements.
    """
    x = tensor(x)
    if x.ndim == 0 or integer("k", k, 0) > x.shape[-1]:
        raise ValueError(f"k: expected at most the length of the last axis, got {k} of {x.shape}")
    order = argsort(x, -1, "DESCENDING").value[..., :k]
    return TopK(_along(x, order, x.ndim - 1), Tensor(order))


def _along(x: Tensor, places: Any, axis: int) -> Tensor:
    """Elements by their places along an axis, as np.take_along_axis."""
    index = list(np.ogrid[tuple(slice(n) for n in places.shape)])
    index[axis] = places
    return getitem(x, tuple(index))


def _axis(axis: int, ndim: int) -> int:
    place = int(axis) + ndim if axis < 0 else int(axis)
    if not 0 <= place < ndim:
        raise ValueError(f"axis: expected an axis of {ndim}, got {axis}")
    return place


def _all(axis: int) -> tuple[slice, ...]:
    """The index of everything in the axes before this one."""
    return (slice(None),) * axis
