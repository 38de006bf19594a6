"""Mistakes in calls of operations: errors of NumPy and Python, told with the arguments' names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastnn.arrays.host import numeric

# A message that names an argument, or what it is about, already.
_NAMED = re.compile(r"^\w+(\[[^\]]*\])?( \w+)?: ")


def explained(
    function: Callable[..., Any], args: tuple[Any, ...], given: Mapping[str, Any], error: Exception
) -> Exception:
    """An error with the arguments in its message, or `error` itself where that says enough."""
    home = type(error).__module__
    if home != "builtins" and not home.startswith("numpy"):
        return error
    try:
        arguments = inspect.signature(function).bind(*args, **given).arguments
    except TypeError:
        return error  # arguments are missing, or unknown
    text = str(error)
    if text.startswith("value: "):
        return _of_numbers(arguments, error, text.removeprefix("value: "))
    if _NAMED.match(text):
        return error
    told = ", ".join(f"{name}={_short(value)}" for name, value in arguments.items())
    return _kind(error)(f"{function.__name__}: got {told}: {text}")


def without_name(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """The arguments without TensorFlow's `name` of an operation, which nothing here asks for.

    None: no such name is given, or the function takes it itself.
    """
    named = isinstance(given.get("name", 0), (str, type(None)))
    if not named or "name" in inspect.signature(function).parameters:
        return None
    return {key: value for key, value in given.items() if key != "name"}


def _of_numbers(arguments: Mapping[str, Any], error: Exception, text: str) -> Exception:
    """The error of an argument that is no array of numbers, with its name."""
    for name, value in arguments.items():
        try:
            numeric("value", value)
        except (TypeError, ValueError) as found:
            if str(found) == str(error):
                return _kind(error)(f"{name}: {text}")
    return error


def _kind(error: Exception) -> type[Exception]:
    if isinstance(error, (TypeError, AttributeError)):
        return TypeError
    return IndexError if type(error) is IndexError else ValueError


def _short(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{type(value).__name__} of shape {shape}"
    if isinstance(value, (list, tuple)) and any(
        np.ndim(part) for part in value if hasattr(part, "ndim")
    ):
        return "[" + ", ".join(map(_short, value)) + "]"
    text = repr(value.value if type(value).__name__ == "Tensor" else value)
    return text if len(text) <= 60 else f"{text[:57]}..."
