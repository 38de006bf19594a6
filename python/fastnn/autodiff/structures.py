"""Lists, tuples and dictionaries of Tensors and Variables, as targets and sources of gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastnn.autodiff.tensor import Tensor
from fastnn.variables import Variable

Source = Tensor | Variable
SOURCES = frozenset({Tensor, Variable})


def other(leaves: Sequence[Any]) -> Any:
    """The first that is neither a Tensor nor a Variable."""
    return next(leaf for leaf in leaves if type(leaf) not in SOURCES)


def flat(structure: Any) -> list[Any]:
    """The leaves in a list, which is the structure itself where it is one of Tensors and Variables."""
    if type(structure) in SOURCES:
        return [structure]
    if type(structure) is list and SOURCES.issuperset(map(type, structure)):
        return structure
    return list(leaves(structure))


def leaves(structure: Any) -> Iterator[Any]:
    if isinstance(structure, Mapping):
        for part in structure.values():
            yield from leaves(part)
    elif isinstance(structure, (list, tuple)):
        for part in structure:
            yield from leaves(part)
    else:
        yield structure


def like(structure: Any, results: Iterator[Any]) -> Any:
    if isinstance(structure, Mapping):
        return {name: like(part, results) for name, part in structure.items()}
    if isinstance(structure, (list, tuple)):
        parts = [like(part, results) for part in structure]
        named = hasattr(structure, "_fields")
        return type(structure)(*parts) if named else type(structure)(parts)
    return next(results)
