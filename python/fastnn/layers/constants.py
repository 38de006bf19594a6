"""Arguments of functions as JSON has them: the constants, and the places of a layer's inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.autodiff.tensor import Tensor
from fastnn.words import integer

# Elements of an array in a config, which is text.
MOST_ELEMENTS = 4096
_TYPES = (bool, int, float, np.generic)


class Given(NamedTuple):
    """The place of an input among arguments: its number, and its type where that is no float."""

    number: int
    dtype: str | None = None


def told(where: str, value: Any) -> Any:
    """An argument as JSON has it, also one that is told already; errors begin with `where`.

    Raises:
        TypeError: it has no such form.
        ValueError: it is an array that is too large for a config.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return number if math.isfinite(number) else {"float": str(number)}
    if isinstance(value, Mapping):
        if len(value) != 1 or next(iter(value)) not in _READERS:
            raise TypeError(f"{where}: expected a constant, got the dictionary {value!r:.100}")
        return dict(value)
    if isinstance(value, Given):
        return {"input": [value.number, value.dtype]}
    if isinstance(value, slice):
        return {"slice": [told(where, n) for n in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, _TYPES)):
        return {"dtype": np.dtype(value).name}
    if isinstance(value, (list, tuple)):
        parts = [told(where, part) for part in value]
        return parts if isinstance(value, list) else {"tuple": parts}
    if isinstance(value, (Tensor, np.ndarray, np.bool_)):
        array = value.value if isinstance(value, Tensor) else np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{where}: expected an array of numbers, got {array.dtype}")
        if array.size > MOST_ELEMENTS:
            raise ValueError(
                f"{where}: an array of {array.size} numbers; a function of symbols keeps its constants "
                f"in the config of a layer, {MOST_ELEMENTS} at most. Make it a weight of a class "
                "derived from layers.Layer: self.add_weight(..., trainable=False)"
            )
        return {"array": [array.tolist(), array.dtype.name]}
    raise TypeError(f"{where}: expected a number, a word or an array, got {value!r:.100}")


def read(where: str, value: Any) -> Any:
    """What `told` told; ValueError where it is nothing of the kind."""
    if isinstance(value, list):
        return [read(where, part) for part in value]
    if not isinstance(value, Mapping):
        return value
    if len(value) == 1:
        kind, inside = next(iter(value.items()))
        if kind in _READERS:
            try:
                return _READERS[kind](where, inside)
            except (TypeError, ValueError, KeyError) as error:
                raise ValueError(f"{where}: {value!r:.100}: {error}") from None
    raise ValueError(f"{where}: expected a constant, got {value!r:.100}")


def _input(where: str, inside: Any) -> Given:
    number, dtype = inside if isinstance(inside, list) else (inside, None)
    return Given(integer(where, number, 0), None if dtype is None else np.dtype(dtype).name)


def _slice(where: str, inside: Sequence[Any]) -> slice:
    start, stop, step = (read(where, one) for one in inside)
    return slice(start, stop, step)


def _array(_where: str, inside: Any) -> Any:
    values, dtype = inside
    kind = np.dtype(dtype)
    if kind.kind not in "fiub":
        raise ValueError(f"expected a type of numbers, got {dtype!r}")
    return np.asarray(values, kind)


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "array": _array,
    "dtype": lambda _, inside: np.dtype(inside),
    "ellipsis": lambda _where, _inside: Ellipsis,
    "float": lambda _, inside: float(inside),
    "input": _input,
    "slice": _slice,
    "tuple": lambda where, inside: tuple(read(where, part) for part in inside),
}


def mapped(value: Any, kind: type | tuple[type, ...], function: Callable[[Any], Any]) -> Any:
    """The arguments with `function` of each object of a kind in them."""
    if isinstance(value, kind):
        return function(value)
    if isinstance(value, (list, tuple)):
        made = [mapped(part, kind, function) for part in value]
        return made if isinstance(value, list) else tuple(made)
    if isinstance(value, slice):
        return slice(*(mapped(n, kind, function) for n in (value.start, value.stop, value.step)))
    if isinstance(value, Mapping):
        return {name: mapped(part, kind, function) for name, part in value.items()}
    return value
