"""Operations that move numbers: axes, parts, indices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.autodiff.broadcasting import Axis, Shape, axes_of, reduce_sum, reshape
from fastnn.autodiff.quiet import OfSymbols, holds, operation, quiet
from fastnn.autodiff.tensor import Tensor, converted, marked, recorded, tensor
from fastnn.calling import Untraceable


@operation
def transpose(x: Any, perm: Sequence[int] | None = None) -> Tensor:
    """Axes in another order; None: reversed.

        >>> fastnn.transpose([[1, 2, 3], [4, 5, 6]]).tolist()
        [[1, 4], [2, 5], [3, 6]]

    Args:
        x: a Tensor, a Variable or an array.
        perm: axis i of the result is axis perm[i] of x.
    """
    x = tensor(x)
    order = tuple(reversed(range(x.ndim))) if perm is None else tuple(int(i) for i in perm)
    back = tuple(int(i) for i in np.argsort(order))
    y = Tensor(x.value.transpose(order))
    return recorded(y, (x,), lambda dy: (transpose(dy, back),))


@operation
def expand_dims(x: Any, axis: int) -> Tensor:
    """A new axis of length 1.

        >>> fastnn.expand_dims([1, 2], axis=1).tolist()
        [[1], [2]]

    Args:
        x: a Tensor, a Variable or an array.
        axis: where the axis is in the result.
    """
    x = tensor(x)
    y = Tensor(np.expand_dims(x.value, axis))
    return recorded(y, (x,), lambda dy: (reshape(dy, x.shape),))


@operation
def squeeze(x: Any, axis: Axis = None) -> Tensor:
    """Without axes of length 1; None: all of them.

        >>> fastnn.squeeze([[[1], [2]]]).tolist()
        [1, 2]

    Args:
        x: a Tensor, a Variable or an array.
        axis: an axis or several.

    Raises:
        ValueError: an axis has another length.
    """
    x = tensor(x)
    y = Tensor(np.squeeze(x.value, axis if axis is None else axes_of(axis, x.ndim)))
    made = recorded(y, (x,), lambda dy: (reshape(dy, x.shape),))
    return made if x.logits is None else marked(made, x, lambda z: squeeze(z, axis))


@operation
def tile(x: Any, multiples: Sequence[int]) -> Tensor:
    """The array repeated so many times along each axis.

        >>> fastnn.tile([[1, 2]], [2, 2]).tolist()
        [[1, 2, 1, 2], [1, 2, 1, 2]]

    Args:
        x: a Tensor, a Variable or an array.
        multiples: a number for each axis of x.

    Raises:
        ValueError: there are more or fewer numbers than axes.
    """
    x = tensor(x)
    if len(multiples) != x.ndim:
        raise ValueError(f"multiples: expected {x.ndim} numbers, got {list(multiples)}")
    split = tuple(n for pair in zip(multiples, x.shape, strict=True) for n in pair)
    y = Tensor(np.tile(x.value, multiples))
    axes = tuple(range(0, 2 * x.ndim, 2))
    return recorded(y, (x,), lambda dy: (reduce_sum(reshape(dy, split), axes),))


@operation
def reverse(x: Any, axis: Axis) -> Tensor:
    """The elements along axes in reverse order.

        >>> fastnn.reverse([[1, 2], [3, 4]], axis=[1]).tolist()
        [[2, 1], [4, 3]]

    Args:
        x: a Tensor, a Variable or an array.
        axis: an axis or several; None: all.
    """
    x = tensor(x)
    axes = axes_of(axis, x.ndim)
    return recorded(Tensor(np.flip(x.value, axes)), (x,), lambda dy: (reverse(dy, axes),))


@operation
def concat(values: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors one after the other along an axis.

        >>> fastnn.concat([[[1, 2]], [[3, 4], [5, 6]]], axis=0).tolist()
        [[1, 2], [3, 4], [5, 6]]

    Args:
        values: a list of Tensors, Variables or arrays, whose shapes agree but for that axis.
        axis: along which they are joined.

    Raises:
        ValueError: shapes do not fit.
    """
    parts = [tensor(value) for value in values]
    y = Tensor(np.concatenate([part.value for part in parts], axis=axis))
    ends = np.cumsum([part.shape[axis] for part in parts])

    def pull(dy: Tensor) -> list[Tensor]:
        before = (slice(None),) * (axis if axis >= 0 else dy.ndim + axis)
        begins = [0, *ends[:-1]]
        return [dy[(*before, slice(int(b), int(e)))] for b, e in zip(begins, ends, strict=True)]

    return recorded(y, tuple(parts), pull)


@operation
def stack(values: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis.

        >>> fastnn.stack([[1, 2], [3, 4]], axis=1).tolist()
        [[1, 3], [2, 4]]

    Args:
        values: a list of Tensors, Variables or arrays.
        axis: where the new axis is.

    Raises:
        ValueError: shapes differ.
    """
    return concat([expand_dims(tensor(value), axis) for value in values], axis)


@operation
def unstack(x: Any, axis: int = 0) -> list[Tensor]:
    """The parts along an axis, without it.

        >>> first, second = fastnn.unstack([[1, 2], [3, 4]])
        >>> first.tolist(), second.tolist()
        ([1, 2], [3, 4])

    Args:
        x: a Tensor, a Variable or an array.
        axis: that is taken apart.
    """
    x = tensor(x)
    before = (slice(None),) * (axis if axis >= 0 else x.ndim + axis)
    return [x[(*before, i)] for i in range(x.shape[axis])]


def getitem(x: Any, index: Any) -> Tensor:
    """x[index], with NumPy's indices: numbers, slices, arrays of integers or bools.

        >>> fastnn.math.getitem([10, 20, 30], slice(1, None)).tolist()
        [20, 30]

    An element that several indices name gets the sum of their gradients.

    Args:
        x: a Tensor, a Variable or an array.
        index: what stands in the brackets.
    """
    try:
        x = tensor(x)
        place = _index(index)
        y = Tensor(np.asarray(x.value[place]))
    except Untraceable:
        if not holds((x, index), OfSymbols.kind):
            raise
        symbol: Tensor = OfSymbols.apply(getitem, (x, index), {})
        return symbol
    made = recorded(y, (x,), lambda dy: (_scatter(dy, place, x.shape),))
    return made if x.logits is None else marked(made, x, lambda z: getitem(z, index))


def _index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_index(part) for part in index)
    return index.value if isinstance(index, Tensor) else index


@quiet
def _scatter(dy: Any, place: Any, shape: Shape) -> Tensor:
    """Zeros with dy added at the place: the gradient of getitem."""
    dy = tensor(dy)
    array = np.zeros(shape, dy.dtype)
    np.add.at(array, place, dy.value)
    return recorded(Tensor(array), (dy,), lambda dz: (getitem(dz, place),))


@operation
def gather(x: Any, indices: Any, axis: int | None = None, batch_dims: int = 0) -> Tensor:
    """The slices along an axis that integers name.

        >>> fastnn.gather([10.0, 20.0, 30.0], [2, 0]).tolist()
        [30.0, 10.0]
        >>> fastnn.gather([[1, 2], [3, 4]], [1, 0], batch_dims=1).tolist()  # one of each row
        [2, 3]

    Args:
        x: a Tensor or an array.
        indices: integers below the length of the axis, also such of a type of floats.
        axis: None: the first one behind the axes that both share.
        batch_dims: so many first axes x and indices share: entry i of x is indexed by entry i.

    Returns:
        A Tensor of shape x.shape[:axis] + indices.shape[batch_dims:] + x.shape[axis + 1:].

    Raises:
        ValueError: the axes that are shared differ, or batch_dims is above axis.
    """
    x = tensor(x)
    places = converted(indices)
    if places.dtype.kind == "f" and np.array_equal(places, np.floor(places)):
        places = places.astype(np.int64)  # rows of data are floats where an Input does not say else
    shared = batch_dims + places.ndim if batch_dims < 0 else batch_dims
    along = shared if axis is None else axis + x.ndim if axis < 0 else axis
    if not 0 <= shared <= min(along, places.ndim):
        raise ValueError(
            f"batch_dims: expected at most axis ({along}) and the axes of indices ({places.ndim}), "
            f"got {batch_dims}"
        )
    if x.shape[:shared] != places.shape[:shared]:
        raise ValueError(
            f"indices: the first {shared} axes are to be those of x, got shapes {places.shape} "
            f"and {x.shape}"
        )
    if shared == 0:
        return getitem(x, (*(slice(None),) * along, places))
    # Each axis before the indices' own gets a range, shaped to stand at its place of the result.
    own = places.ndim - shared
    ranges = np.ogrid[tuple(slice(n) for n in x.shape[:along])]
    index = [r.reshape(r.shape + (1,) * own) for r in ranges]
    between = (1,) * (along - shared)
    index.append(places.reshape(places.shape[:shared] + between + places.shape[shared:]))
    return getitem(x, tuple(index))


@operation
def boolean_mask(x: Any, mask: Any) -> Tensor:
    """The elements, or slices of the first axes, where the mask is true.

        >>> fastnn.boolean_mask([[1, 2], [3, 4], [5, 6]], [True, False, True]).tolist()
        [[1, 2], [5, 6]]

    Args:
        x: a Tensor, a Variable or an array.
        mask: bools, of the shape of the first axes of x.
    """
    return getitem(x, converted(mask).astype(bool))
