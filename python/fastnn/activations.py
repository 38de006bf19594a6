"""Names of activations. The functions are native; `fastnn.ops` applies them to arrays."""

from __future__ import annotations

import functools

from fastnn import _core
from fastnn.words import choose

# Keras's second name for the same function.
_ALIASES = {"swish": "silu"}


@functools.cache
def elementwise() -> dict[str, str]:
    """The activations that look at each number alone, and their other names."""
    return {name: name for name in _core.activations()} | _ALIASES


@functools.cache
def _all() -> dict[str, str]:
    return elementwise() | {"softmax": "softmax"}


def get(name: str | None) -> str:
    """The native name of a layer's activation; None is "linear"."""
    return "linear" if name is None else choose("activation", name, _all())


def get_elementwise(name: str | None) -> str:
    """The native name of an activation that is not softmax."""
    if name == "softmax":
        raise ValueError("activation: softmax looks at whole rows; use fastnn.ops.softmax")
    return "linear" if name is None else choose("activation", name, elementwise())
