"""What layers of a program's own are called with, and built for: structures of Tensors, symbols, shapes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.autodiff import functions
from fastnn.autodiff.tensor import Tensor, tensor
from fastnn.autodiff.tensor import borrowed as as_tensor
from fastnn.layers.shape import Input
from fastnn.layers.symbol import Symbol
from fastnn.models.opaque import found_in, replaced, rows_of_zeros
from fastnn.variables import Variable


@functools.lru_cache(256)
def parameters_of(build: Callable[..., None]) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(build).parameters.values())[1:]


def fitting(
    build: Callable[..., None], shapes: tuple[Any, ...], named: dict[str, Any]
) -> tuple[Any, ...]:
    """The shapes that `build` takes."""
    given = (*shapes, *named.values())
    parameters = parameters_of(build)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return given
    count = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    return given[:count]


def has_shape(value: Any) -> bool:
    return any(True for _ in found_in(value, Tensor)) or any(True for _ in found_in(value, Symbol))


def shapes_in(value: Any) -> Any:
    """The shape of each Tensor or symbol of a structure, with None for rows."""
    shape_of = {
        Tensor: lambda x: (None, *x.shape[1:]) if x.ndim > 1 else x.shape,
        Symbol: lambda s: s.shape,
    }
    for kind, function in shape_of.items():
        value = replaced(value, kind, function)
    return value


def symbols_for(shape: Any) -> Any:
    """Inputs of the shapes of a structure."""
    if isinstance(shape, dict):
        return {name: symbols_for(one) for name, one in shape.items()}
    if isinstance(shape, (list, tuple)) and shape and isinstance(shape[0], (list, tuple)):
        return [symbols_for(one) for one in shape]
    if not isinstance(shape, (list, tuple)) or len(shape) < 2:
        raise ValueError(
            "input_shape: expected the batch axis, then the shape of a row, such as (None, 784), "
            f"got {shape!r}"
        )
    return Input(tuple(shape[1:]))


def rows_for(shape: Any) -> Any:
    """A few rows for the shapes of a structure."""
    if isinstance(shape, dict):
        return {name: rows_for(one) for name, one in shape.items()}
    if isinstance(shape, (list, tuple)) and shape and isinstance(shape[0], (list, tuple)):
        return [rows_for(one) for one in shape]
    return rows_of_zeros(shape)


def tensors(value: Any, dtype: str | None, *, first: bool = False) -> Any:
    """The structure with arrays made Tensors, floats of which are converted to a type."""
    if isinstance(value, (list, tuple)) and any(map(_is_array, value)):
        made = [tensors(part, dtype, first=first) for part in value]
        return tuple(made) if isinstance(value, tuple) else made
    if isinstance(value, dict):
        return {name: tensors(part, dtype, first=first) for name, part in value.items()}
    numbers = isinstance(value, (list, tuple, int, float)) and not isinstance(value, bool)
    if not _is_array(value) and not (first and numbers):
        return value
    x = tensor(value) if isinstance(value, Variable) else as_tensor(value)
    if dtype is not None and x.dtype.kind == "f" and x.dtype != dtype:
        x = functions.cast(x, dtype)
    return x


def narrowed(y: Any, inputs: Any) -> Any:
    """Outputs of float64 made float32 where integers were among the inputs.

    An integer with a weight of float32 is a float64, as in NumPy; in Keras it is a float32.
    """
    if not any(part.dtype == np.float64 for part in found_in(y, Tensor)):
        return y
    if not any(part.dtype.kind in "iub" for part in found_in(inputs, Tensor)):
        return y
    return replaced(
        y, Tensor, lambda part: functions.cast(part, "float32") if part.dtype == "float64" else part
    )


def _is_array(value: Any) -> bool:
    return isinstance(value, (Tensor, Variable, np.ndarray, np.generic)) or (
        hasattr(value, "__array__") and not isinstance(value, type)
    )
