"""Structures of arrays: several inputs, or several outputs, in a list, a tuple or a dictionary.

A structure has one level, and what stands in it are arrays, Tensors or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.words import unknown


class Form(NamedTuple):
    """What a structure is: a single array, or several with names."""

    kind: type | None = None  # list, tuple or dict; None: a single array
    names: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """The number of arrays."""
        return len(self.names) if self.kind is not None else 1

    def leaves(self, structure: Any) -> list[Any]:
        """The arrays of a structure of this form."""
        if self.kind is None:
            return [structure]
        return [structure[n] for n in self.names] if self.kind is dict else list(structure)

    def like(self, leaves: Sequence[Any]) -> Any:
        """The structure of these arrays."""
        if self.kind is None:
            return leaves[0]
        if self.kind is dict:
            return dict(zip(self.names, leaves, strict=True))
        return tuple(leaves) if self.kind is tuple else list(leaves)


def form_of(structure: Any, names: Sequence[str] = ()) -> Form:
    """The form of outputs; those in a list are named by `names`, or "output_1", "output_2", ..."""
    if is_mapping(structure):
        return Form(dict, tuple(structure))
    if isinstance(structure, (list, tuple)):
        numbered = tuple(f"output_{i + 1}" for i in range(len(structure)))
        named = tuple(names) if len(names) == len(structure) else numbered
        return Form(tuple if isinstance(structure, tuple) else list, named)
    return Form()


def parts(structure: Any) -> list[Any]:
    """The arrays of any structure, without None."""
    if structure is None:
        return []
    if isinstance(structure, (list, tuple)):
        return [part for value in structure for part in parts(value)]
    if is_mapping(structure):
        return [part for value in structure.values() for part in parts(value)]
    return [structure]


def mapped(function: Callable[[Any], Any], structure: Any) -> Any:
    """The structure with `function` of each array; None stays."""
    if structure is None:
        return None
    if type(structure) is np.ndarray:
        return function(structure)
    if isinstance(structure, (list, tuple)):
        made = [mapped(function, part) for part in structure]
        return tuple(made) if isinstance(structure, tuple) else made
    if is_mapping(structure):
        return {name: mapped(function, part) for name, part in structure.items()}
    return function(structure)


def is_mapping(value: Any) -> bool:
    """Whether it is a dictionary or the like; quick for arrays, of which there are many."""
    return isinstance(value, dict) or (not hasattr(value, "shape") and isinstance(value, Mapping))


def is_several(value: Any) -> bool:
    """Whether these are several arrays of rows, and not one array as a list of its rows."""
    if is_mapping(value):
        return True
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(getattr(part, "ndim", 0) >= 2 for part in value)
    )


def by_output(what: str, given: Any, form: Form) -> list[Any]:
    """What is given for each output, by name or in order; None where a name is missing.

    Raises:
        ValueError: a name is no output's, or there are more or fewer than outputs.
    """
    names = form.names
    if isinstance(given, Mapping):
        for name in given:
            if name not in names:
                raise ValueError(unknown(f"{what}: output", str(name), names))
        return [given.get(name) for name in names]
    if isinstance(given, (list, tuple)) and len(given) == len(names):
        return list(given)
    count = f", got {len(given)}" if isinstance(given, (list, tuple)) else f", got {_kind(given)}"
    raise ValueError(
        f"{what}: expected a list of {len(names)}, one for each output, or a dictionary of "
        f"{', '.join(names)}{count}"
    )


def _kind(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"an array of shape {tuple(shape)}"
