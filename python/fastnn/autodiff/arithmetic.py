"""Operations on two operands, with NumPy's broadcasting, and choices between them.

Where both sides of maximum and minimum are equal, they share the gradient equally, as in PyTorch and
TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.autodiff.broadcasting import to_shape
from fastnn.autodiff.convert import floats, pair
from fastnn.autodiff.elementary import log, negative, square
from fastnn.autodiff.quiet import operation, quiet
from fastnn.autodiff.tensor import Tensor, converted, followed, recorded, tensor
from fastnn.variables import Variable


@operation
def add(a: Any, b: Any) -> Tensor:
    """a + b, element by element.

        >>> fastnn.math.add([1.0, 2.0], [[10.0], [20.0]]).tolist()
        [[11.0, 12.0], [21.0, 22.0]]

    Args:
        a, b: Tensors, Variables, arrays or numbers, whose shapes broadcast.
    """
    a, b = pair(a, b)
    return recorded(
        Tensor(np.asarray(a.value + b.value)),
        (a, b),
        lambda dy: (to_shape(dy, a.shape), to_shape(dy, b.shape)),
    )


@operation
def subtract(a: Any, b: Any) -> Tensor:
    """a - b, element by element.

        >>> fastnn.math.subtract([1.0, 2.0], 3.0).tolist()
        [-2.0, -1.0]

    Args:
        a, b: Tensors, Variables, arrays or numbers, whose shapes broadcast.
    """
    a, b = pair(a, b)
    return recorded(
        Tensor(np.asarray(a.value - b.value)),
        (a, b),
        lambda dy: (to_shape(dy, a.shape), to_shape(negative(dy), b.shape)),
    )


@operation
def multiply(a: Any, b: Any) -> Tensor:
    """a * b, element by element.

        >>> fastnn.math.multiply([1.0, 2.0], [3.0, 4.0]).tolist()
        [3.0, 8.0]

    Args:
        a, b: Tensors, Variables, arrays or numbers, whose shapes broadcast.
    """
    a, b = pair(a, b)
    return recorded(
        Tensor(np.asarray(a.value * b.value)),
        (a, b),
        lambda dy: (to_shape(dy * b, a.shape), to_shape(dy * a, b.shape)),
    )


@operation
def divide(a: Any, b: Any) -> Tensor:
    """a / b, element by element; integers are divided as floats.

        >>> fastnn.math.divide([1, 3], 2).tolist()
        [0.5, 1.5]

    Division by 0 gives an infinity, and NaN of 0 / 0, without a warning.

    Args:
        a, b: Tensors, Variables, arrays or numbers, whose shapes broadcast.
    """
    a, b = pair(a, b)
    y = Tensor(np.asarray(a.value / b.value))
    return recorded(
        y, (a, b), lambda dy: (to_shape(dy / b, a.shape), to_shape(negative(dy) * y / b, b.shape))
    )


@operation
def power(a: Any, b: Any) -> Tensor:
    """a ** b, element by element.

        >>> fastnn.math.pow([1.0, 2.0, 3.0], 2).tolist()
        [1.0, 4.0, 9.0]

    The gradient for a is b * a ** (b - 1), and 0 where b is 0; that for b is a ** b * log(a), and 0
    where a is 0. Floats alone have one.

    Args:
        a, b: Tensors, Variables, arrays or numbers, whose shapes broadcast. A negative a with a b that
            is no integer gives NaN.
    """
    a, b = pair(a, b)
    y = Tensor(np.asarray(a.value**b.value))

    def pull(dy: Tensor) -> tuple[Tensor, Tensor | None]:
        # x ** 0 has the slope 0 at 0, not 0 * inf.
        slope = where(b.value == 0, 0.0, b * power(a, where(b.value == 0, 1.0, b - 1)))
        da = to_shape(dy * slope, a.shape)
        if b.value.dtype.kind != "f":
            return da, None
        # y * log(a) is 0 where a is 0 and b above: the limit.
        logs = log(where(a.value == 0, 1.0, a))
        return da, to_shape(dy * y * logs, b.shape)

    return recorded(y, (a, b), pull)


@quiet
def _choice(a: Any, b: Any, choose: Callable[..., Any], wins: Callable[..., Any]) -> Tensor:
    a, b = pair(a, b)
    y = Tensor(np.asarray(choose(a.value, b.value)))

    def pull(dy: Tensor) -> tuple[Tensor, Tensor]:
        half = 0.5 * (a.value == b.value)
        left = (wins(a.value, b.value) + half).astype(dy.dtype)
        return to_shape(dy * left, a.shape), to_shape(dy * (1 - left), b.shape)

    return recorded(y, (a, b), pull)


@operation
def maximum(a: Any, b: Any) -> Tensor:
    """The larger of both, element by element; NaN where either is NaN.

        >>> fastnn.math.maximum([1.0, -2.0], 0.0).tolist()
        [1.0, 0.0]

    Where both are equal, each gets half of the gradient.

    Args:
        a, b: Tensors, Variables, arrays or numbers, whose shapes broadcast.
    """
    return _choice(a, b, np.maximum, np.greater)


@operation
def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of both, element by element; NaN where either is NaN.

        >>> fastnn.math.minimum([1.0, -2.0], 0.0).tolist()
        [0.0, -2.0]

    Where both are equal, each gets half of the gradient.

    Args:
        a, b: Tensors, Variables, arrays or numbers, whose shapes broadcast.
    """
    return _choice(a, b, np.minimum, np.less)


@operation
def squared_difference(a: Any, b: Any) -> Tensor:
    """(a - b) ** 2, element by element.

        >>> fastnn.math.squared_difference([1.0, 2.0], [1.0, 5.0]).tolist()
        [0.0, 9.0]

    Args:
        a, b: Tensors, Variables, arrays or numbers, whose shapes broadcast.
    """
    return square(subtract(a, b))


@operation
def atan2(a: Any, b: Any) -> Tensor:
    """The angle of the point (b, a) in radians, between -pi and pi.

        >>> degrees = fastnn.math.atan2([0.0, 1.0, 1.0], [1.0, 1.0, 0.0]) * (180 / np.pi)
        >>> print(degrees.numpy().round(3))
        [ 0. 45. 90.]

    The gradient at the origin is 0.

    Args:
        a, b: Tensors, Variables, arrays or numbers, whose shapes broadcast.
    """
    a, b = pair(a, b)
    y = Tensor(np.asarray(np.arctan2(a.value, b.value)))

    def pull(dy: Tensor) -> tuple[Tensor, Tensor]:
        norm = a * a + b * b
        norm = where(norm.value == 0, 1.0, norm)  # the gradient at the origin is 0
        return to_shape(dy * b / norm, a.shape), to_shape(negative(dy) * a / norm, b.shape)

    return recorded(y, (a, b), pull)


@operation
def floormod(a: Any, b: Any) -> Tensor:
    """a % b, with the sign of b.

        >>> fastnn.math.floormod([5, -5], 3).tolist()
        [2, 1]

    The gradient for a is 1, that for b is -floor(a / b).

    Args:
        a, b: Tensors, Variables, arrays or numbers, whose shapes broadcast.
    """
    a, b = pair(a, b)
    y = Tensor(np.asarray(np.mod(a.value, b.value)))
    floors = np.floor_divide(a.value, b.value)
    return recorded(
        y, (a, b), lambda dy: (to_shape(dy, a.shape), to_shape(negative(dy) * floors, b.shape))
    )


@operation
def floordiv(a: Any, b: Any) -> Tensor:
    """The largest integer that is not above a / b; it has no gradient.

        >>> fastnn.math.floordiv([5, -5], 3).tolist()
        [1, -2]

    Args:
        a, b: Tensors, Variables, arrays or numbers, whose shapes broadcast.
    """
    a, b = pair(a, b)
    return followed(Tensor(np.asarray(np.floor_divide(a.value, b.value))), a, b)


def _comparison(
    compare: Callable[..., Any], says: str, of: str, gives: str
) -> Callable[[Any, Any], Tensor]:
    """Bools of two operands; the example in the docstring shows `gives` for the two lists `of`."""

    def compared(a: Any, b: Any) -> Tensor:
        a, b = pair(a, b)
        return followed(Tensor(np.asarray(compare(a.value, b.value))), a, b)

    compared.__name__ = compared.__qualname__ = compare.__name__
    compared.__doc__ = f"""Where {says}, element by element, as bools.

    >>> fastnn.math.{compare.__name__}({of}).tolist()
    {gives}

Args:
    a, b: Tensors, Variables, arrays or numbers, whose shapes broadcast.
"""
    return operation(compared)


_NUMBERS = "[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]"
_BOOLS = "[True, True, False], [True, False, False]"

equal = _comparison(np.equal, "a == b", _NUMBERS, "[False, True, False]")

not_equal = _comparison(np.not_equal, "a != b", _NUMBERS, "[True, False, True]")

greater = _comparison(np.greater, "a > b", _NUMBERS, "[False, False, True]")

greater_equal = _comparison(np.greater_equal, "a >= b", _NUMBERS, "[False, True, True]")

less = _comparison(np.less, "a < b", _NUMBERS, "[True, False, False]")

less_equal = _comparison(np.less_equal, "a <= b", _NUMBERS, "[True, True, False]")

logical_and = _comparison(np.logical_and, "both are true (not 0)", _BOOLS, "[True, False, False]")

logical_or = _comparison(np.logical_or, "either is true (not 0)", _BOOLS, "[True, True, False]")


@operation
def logical_not(a: Any) -> Tensor:
    """Where `a` is false, as bools.

        >>> fastnn.math.logical_not([True, False]).tolist()
        [False, True]

    Args:
        a: a Tensor, a Variable, an array or a number; numbers other than 0 are true.
    """
    a = tensor(a)
    return followed(Tensor(np.asarray(np.logical_not(a.value))), a)


@operation
def clip_by_value(x: Any, low: Any, high: Any) -> Tensor:
    """x cut to [low, high]; no gradient goes to numbers that are cut, but to their bound.

        >>> fastnn.math.clip_by_value([-3.0, 0.5, 7.0], -1.0, 1.0).tolist()
        [-1.0, 0.5, 1.0]

    Numbers that are equal to a bound keep their gradient.

    Args:
        x: a Tensor, a Variable, an array or a number, of any shape.
        low, high: numbers, or arrays whose shapes broadcast with that of x.
    """
    watchable = isinstance(low, (Tensor, Variable)) or isinstance(high, (Tensor, Variable))
    (x, low), (_, high) = pair(x, low), pair(x, high)
    if watchable:
        lifted = where(x.value < low.value, low, x)
        return where(lifted.value > high.value, high, lifted)
    if "f" in (low.dtype.kind, high.dtype.kind):
        x = floats(x)
    low, high = low.value.astype(x.dtype), high.value.astype(x.dtype)
    inside = ((x.value >= low) & (x.value <= high)).astype(x.dtype)
    return recorded(
        Tensor(np.asarray(np.clip(x.value, low, high))),
        (x,),
        lambda dy: (to_shape(dy * inside, x.shape),),
    )


@operation
def where(condition: Any, a: Any = None, b: Any = None) -> Tensor:
    """a where the condition holds, else b; with the condition alone, the indices where it holds.

        >>> fastnn.math.where([True, False], [1.0, 2.0], [-1.0, -2.0]).tolist()
        [1.0, -2.0]
        >>> fastnn.math.where([False, True, True]).tolist()
        [[1], [2]]

    Each element gets its gradient where it was chosen, and 0 elsewhere.

    Args:
        condition: bools; numbers other than 0 are true.
        a, b: Tensors, Variables, arrays or numbers, whose shapes broadcast with that of the condition.

    Returns:
        A Tensor of the broadcast shape; of the condition alone (places, axes), int64.
    """
    chosen = converted(condition).astype(bool)
    if a is None and b is None:
        return Tensor(np.argwhere(chosen))
    a, b = pair(a, b)
    y = Tensor(np.where(chosen, a.value, b.value))
    return recorded(
        y,
        (a, b),
        lambda dy: (
            to_shape(where(chosen, dy, np.zeros((), dy.dtype)), a.shape),
            to_shape(where(chosen, np.zeros((), dy.dtype), dy), b.shape),
        ),
    )
