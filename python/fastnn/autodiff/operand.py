"""Operand: Python's operators and NumPy's methods, as Tensors and the symbols of models have them.

They are the operations of `functions`. No numbers are here.
"""

# The table gives Tensors for Tensors, and symbols for symbols, which no type of it tells.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

Axis = int | Sequence[int] | None

# By name, without underscores: `operators` fills it.
operations: dict[str, Callable[..., Any]] = {}


class Operand:
    """The base of what operations take, by the table of operations."""

    __slots__ = ()

    def __hash__(self) -> int:
        return id(self)

    def __add__(self, other: Any) -> Self:
        return operations["add"](self, other)

    def __radd__(self, other: Any) -> Self:
        return operations["add"](other, self)

    def __sub__(self, other: Any) -> Self:
        return operations["sub"](self, other)

    def __rsub__(self, other: Any) -> Self:
        return operations["sub"](other, self)

    def __mul__(self, other: Any) -> Self:
        return operations["mul"](self, other)

    def __rmul__(self, other: Any) -> Self:
        return operations["mul"](other, self)

    def __truediv__(self, other: Any) -> Self:
        return operations["truediv"](self, other)

    def __rtruediv__(self, other: Any) -> Self:
        return operations["truediv"](other, self)

    def __floordiv__(self, other: Any) -> Self:
        return operations["floordiv"](self, other)

    def __rfloordiv__(self, other: Any) -> Self:
        return operations["floordiv"](other, self)

    def __mod__(self, other: Any) -> Self:
        return operations["mod"](self, other)

    def __rmod__(self, other: Any) -> Self:
        return operations["mod"](other, self)

    def __pow__(self, other: Any) -> Self:
        return operations["pow"](self, other)

    def __rpow__(self, other: Any) -> Self:
        return operations["pow"](other, self)

    def __matmul__(self, other: Any) -> Self:
        return operations["matmul"](self, other)

    def __rmatmul__(self, other: Any) -> Self:
        return operations["matmul"](other, self)

    def __and__(self, other: Any) -> Self:
        return operations["and"](self, other)

    def __rand__(self, other: Any) -> Self:
        return operations["and"](other, self)

    def __or__(self, other: Any) -> Self:
        return operations["or"](self, other)

    def __ror__(self, other: Any) -> Self:
        return operations["or"](other, self)

    def __neg__(self) -> Self:
        return operations["neg"](self)

    def __abs__(self) -> Self:
        return operations["abs"](self)

    def __invert__(self) -> Self:
        return operations["invert"](self)

    def __lt__(self, other: Any) -> Self:
        return operations["lt"](self, other)

    def __le__(self, other: Any) -> Self:
        return operations["le"](self, other)

    def __gt__(self, other: Any) -> Self:
        return operations["gt"](self, other)

    def __ge__(self, other: Any) -> Self:
        return operations["ge"](self, other)

    def __eq__(self, other: object) -> Self:  # type: ignore[override]
        if other is None or isinstance(other, str):
            return NotImplemented
        return operations["eq"](self, other)

    def __ne__(self, other: object) -> Self:  # type: ignore[override]
        if other is None or isinstance(other, str):
            return NotImplemented
        return operations["ne"](self, other)

    def __getitem__(self, index: Any) -> Self:
        return operations["getitem"](self, index)

    # -- NumPy's methods, which a tape can record as it does functions

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """The sum over axes, see `fastnn.math.reduce_sum`.

        >>> fastnn.constant([[1, 2], [3, 4]]).sum(axis=0).tolist()
        [4, 6]
        """
        return operations["sum"](self, axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """The mean over axes, see `fastnn.math.reduce_mean`.

        >>> fastnn.constant([1.0, 3.0]).mean().item()
        2.0
        """
        return operations["mean"](self, axis, keepdims)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """The product over axes, see `fastnn.math.reduce_prod`.

        >>> fastnn.constant([2, 3, 4]).prod().item()
        24
        """
        return operations["prod"](self, axis, keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """The largest over axes, see `fastnn.math.reduce_max`.

        >>> fastnn.constant([[1, 5], [3, 4]]).max(axis=1).tolist()
        [5, 4]
        """
        return operations["max"](self, axis, keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """The smallest over axes, see `fastnn.math.reduce_min`.

        >>> fastnn.constant([[1, 5], [3, 4]]).min(axis=1).tolist()
        [1, 3]
        """
        return operations["min"](self, axis, keepdims)

    def var(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """The variance over axes, see `fastnn.math.reduce_variance`.

        >>> fastnn.constant([1.0, 5.0]).var().item()
        4.0
        """
        return operations["var"](self, axis, keepdims)

    def std(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """The standard deviation over axes, see `fastnn.math.reduce_std`.

        >>> fastnn.constant([1.0, 5.0]).std().item()
        2.0
        """
        return operations["std"](self, axis, keepdims)

    def any(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """Whether any is true over axes, see `fastnn.math.reduce_any`.

        >>> (fastnn.constant([1, 2]) > 1).any().item()
        True
        """
        return operations["any"](self, axis, keepdims)

    def all(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """Whether all are true over axes, see `fastnn.math.reduce_all`.

        >>> (fastnn.constant([1, 2]) > 1).all().item()
        False
        """
        return operations["all"](self, axis, keepdims)

    def argmax(self, axis: int | None = None) -> Self:
        """The place of the largest along an axis, or in the flat array; see `fastnn.math.argmax`.

        >>> fastnn.constant([10, 30, 20]).argmax().item()
        1
        """
        return operations["argmax"](self, axis)

    def argmin(self, axis: int | None = None) -> Self:
        """The place of the smallest along an axis, or in the flat array; see `fastnn.math.argmin`.

        >>> fastnn.constant([10, 30, 20]).argmin().item()
        0
        """
        return operations["argmin"](self, axis)

    def cumsum(self, axis: int = 0) -> Self:
        """Sums up to each element along an axis, see `fastnn.cumsum`.

        >>> fastnn.constant([1, 2, 3]).cumsum().tolist()
        [1, 3, 6]
        """
        return operations["cumsum"](self, axis)

    def reshape(self, *shape: Any) -> Self:
        """The same numbers in another shape, see `fastnn.reshape`: x.reshape(2, -1) or x.reshape((2, -1)).

        >>> fastnn.constant([1, 2, 3, 4]).reshape(2, -1).tolist()
        [[1, 2], [3, 4]]
        """
        return operations["reshape"](self, _axes_of(shape))

    def flatten(self) -> Self:
        """The same numbers along one axis, row by row; also called `ravel`.

        >>> fastnn.constant([[1, 2], [3, 4]]).flatten().tolist()
        [1, 2, 3, 4]
        """
        return operations["reshape"](self, (-1,))

    ravel = flatten

    def transpose(self, *axes: Any) -> Self:
        """Axes in another order, or reversed: x.transpose(1, 0), x.transpose((1, 0)) or x.transpose().

        >>> fastnn.constant([[1, 2, 3]]).transpose().tolist()
        [[1], [2], [3]]
        """
        return operations["transpose"](self, _axes_of(axes) or None)

    @property
    def T(self) -> Self:
        """The axes in reverse order."""
        return operations["transpose"](self, None)

    def squeeze(self, axis: Axis = None) -> Self:
        """Without axes of length 1, see `fastnn.squeeze`.

        >>> fastnn.constant([[1], [2]]).squeeze().tolist()
        [1, 2]
        """
        return operations["squeeze"](self, axis)

    def clip(self, min: float, max: float) -> Self:
        """The numbers cut to [min, max], see `fastnn.clip_by_value`.

        >>> fastnn.constant([-3.0, 0.5, 7.0]).clip(0.0, 1.0).tolist()
        [0.0, 0.5, 1.0]
        """
        return operations["clip"](self, min, max)

    def astype(self, dtype: DTypeLike) -> Self:
        """The numbers in another type, see `fastnn.cast`.

        >>> fastnn.constant([1.7, -1.7]).astype("int32").tolist()
        [1, -1]
        """
        return operations["cast"](self, dtype)


def _axes_of(given: tuple[Any, ...]) -> Any:
    """Sizes or axes, which may be given one by one or as one tuple."""
    one = len(given) == 1 and isinstance(given[0], (list, tuple, np.ndarray))
    return tuple(given[0]) if one else given
