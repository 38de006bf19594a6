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
    """a + b."""
    a, b = pair(a, b)
    return recorded(
        Tensor(np.asarray(a.value + b.value)),
        (a, b),
        lambda dy: (to_shape(dy, a.shape), to_shape(dy, b.shape)),
    )


@operation
def subtract(a: Any, b: Any) -> Tensor:
    """a - b."""
    a, b = pair(a, b)
    return recorded(
        Tensor(np.asarray(a.value - b.value)),
        (a, b),
        lambda dy: (to_shape(dy, a.shape), to_shape(negative(dy), b.shape)),
    )


@operation
def multiply(a: Any, b: Any) -> Tensor:
    """a * b."""
    a, b = pair(a, b)
    return recorded(
        Tensor(np.asarray(a.value * b.value)),
        (a, b),
        lambda dy: (to_shape(dy * b, a.shape), to_shape(dy * a, b.shape)),
    )


@operation
def divide(a: Any, b: Any) -> Tensor:
    """a / b; integers are divided as floats."""
    a, b = pair(a, b)
    y = Tensor(np.asarray(a.value / b.value))
    return recorded(
        y, (a, b), lambda dy: (to_shape(dy / b, a.shape), to_shape(negative(dy) * y / b, b.shape))
    )


@operation
def power(a: Any, b: Any) -> Tensor:
    """a ** b."""
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
    """The larger of both, element by element; NaN where either is NaN."""
    return _choice(a, b, np.maximum, np.greater)


@operation
def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of both, element by element; NaN where either is NaN."""
    return _choice(a, b, np.minimum, np.less)


@operation
def squared_difference(a: Any, b: Any) -> Tensor:
    """(a - b) ** 2."""
    return square(subtract(a, b))


@operation
def atan2(a: Any, b: Any) -> Tensor:
    """The angle of the point (b, a)."""
    a, b = pair(a, b)
    y = Tensor(np.asarray(np.arctan2(a.value, b.value)))

    def pull(dy: Tensor) -> tuple[Tensor, Tensor]:
        norm = a * a + b * b
        norm = where(norm.value == 0, 1.0, norm)  # the gradient at the origin is 0
        return to_shape(dy * b / norm, a.shape), to_shape(negative(dy) * a / norm, b.shape)

    return recorded(y, (a, b), pull)


@operation
def floormod(a: Any, b: Any) -> Tensor:
    """a % b, with the sign of b."""
    a, b = pair(a, b)
    y = Tensor(np.asarray(np.mod(a.value, b.value)))
    floors = np.floor_divide(a.value, b.value)
    return recorded(
        y, (a, b), lambda dy: (to_shape(dy, a.shape), to_shape(negative(dy) * floors, b.shape))
    )


@operation
def floordiv(a: Any, b: Any) -> Tensor:
    """The largest integer that is not above a / b; it has no gradient."""
    a, b = pair(a, b)
    return followed(Tensor(np.asarray(np.floor_divide(a.value, b.value))), a, b)


def _comparison(compare: Callable[..., Any]) -> Callable[[Any, Any], Tensor]:
    def compared(a: Any, b: Any) -> Tensor:
        a, b = pair(a, b)
        return followed(Tensor(np.asarray(compare(a.value, b.value))), a, b)

    compared.__name__ = compared.__qualname__ = compare.__name__
    compared.__doc__ = f"Where {compare.__name__.replace('_', ' ')} holds, as bools."
    return operation(compared)


equal = _comparison(np.equal)

not_equal = _comparison(np.not_equal)

greater = _comparison(np.greater)

greater_equal = _comparison(np.greater_equal)

less = _comparison(np.less)

less_equal = _comparison(np.less_equal)

logical_and = _comparison(np.logical_and)

logical_or = _comparison(np.logical_or)


@operation
def logical_not(a: Any) -> Tensor:
    """Where `a` is false, as bools."""
    a = tensor(a)
    return followed(Tensor(np.asarray(np.logical_not(a.value))), a)


@operation
def clip_by_value(x: Any, low: Any, high: Any) -> Tensor:
    """x cut to [low, high]; no gradient goes to numbers that are cut, but to their bound."""
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
    """a where the condition holds, else b; with the condition alone, the indices where it holds."""
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
