"""First values of the weights that `add_weight` makes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import initializers
from fastnn.initializers import Initializer
from fastnn.layers.base import dtype_of
from fastnn.words import integer


def made_values(
    where: str, shape: Sequence[int] | int | None, initializer: Any, dtype: Any
) -> NDArray[Any]:
    """An array of this shape and type; errors begin with `where`."""
    if isinstance(shape, str):
        raise TypeError(
            f"{where}: shape: expected a tuple of integers, got {shape!r}; give "
            f"shape=..., name={shape!r}, as in Keras 3"
        )
    kind = _type_of(dtype)
    sizes = () if shape is None else (shape,) if isinstance(shape, (int, np.integer)) else shape
    if any(size is None for size in sizes):
        raise ValueError(
            f"{where}: shape: expected integers, got {tuple(sizes)}: the number of rows is not known "
            "when weights are made"
        )
    axes = tuple(integer(f"{where}: shape", size, 0) for size in sizes)
    counts = kind not in ("float32", "float64")
    given = ("zeros" if counts else "glorot_uniform") if initializer is None else initializer
    if counts and not callable(given):
        if given not in ("zeros", "ones"):
            raise ValueError(
                f"{where}: initializer: expected 'zeros' or 'ones' for {kind}, got {given!r}"
            )
        return np.full(axes, given == "ones", kind)
    if isinstance(given, Initializer) or not callable(given) or isinstance(given, type):
        made: Any = initializers.get(given)(axes, kind)
    else:
        made = _called(given, axes, kind)
    values = np.asarray(made, kind)
    if values.shape != axes:
        raise ValueError(
            f"{where}: initializer: expected an array of shape {axes}, got {values.shape}"
        )
    return values


def _type_of(dtype: Any) -> Any:
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = ""
    return name if name in ("int32", "int64", "bool") else dtype_of(dtype)


def _called(initializer: Callable[..., Any], shape: tuple[int, ...], dtype: str) -> Any:
    """What a function of a shape, and maybe of a dtype, gives."""
    try:
        takes = "dtype" in inspect.signature(initializer).parameters
    except (TypeError, ValueError):  # a function of C
        takes = False
    return initializer(shape, dtype=dtype) if takes else initializer(shape)
