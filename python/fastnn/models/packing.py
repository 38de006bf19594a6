"""Values of callbacks as JSON and arrays: numbers, words, lists, dictionaries, None and arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def packed(value: Any, arrays: dict[str, Array], prefix: str) -> Any:
    """The value as JSON has it; its arrays are put into `arrays`, under numbers after the prefix.

    Raises:
        TypeError: there is something else in it.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.ndarray):
        name = f"{prefix}/{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (int, float)):
        number = value if isinstance(value, int) else float(value)
        return number if math.isfinite(number) else {"number": str(number)}
    if isinstance(value, Mapping):
        pairs = [[str(name), packed(one, arrays, prefix)] for name, one in value.items()]
        return {"by_name": pairs}
    if isinstance(value, (list, tuple)):
        return [packed(one, arrays, prefix) for one in value]
    raise TypeError(f"a {type(value).__name__} cannot be kept in a file: {value!r:.100}")


def unpacked(told: Any, arrays: Mapping[str, Array]) -> Any:
    """What `packed` made so; a tuple has become a list."""
    if isinstance(told, list):
        return [unpacked(one, arrays) for one in told]
    if not isinstance(told, dict):
        return told
    if "array" in told:
        return arrays[told["array"]]
    if "number" in told:
        return float(told["number"])
    return {str(name): unpacked(one, arrays) for name, one in told["by_name"]}
