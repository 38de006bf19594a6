"""quiet: operations on Tensors give inf and NaN as numbers, without NumPy's warnings.

A tape's loss is looked at once a step, and TrainingDiverged says more than "overflow encountered in
reduce" does. Arrays of the user's own keep NumPy's warnings outside of operations.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, ParamSpec, TypeVar

import numpy as np

from fastnn.calling import Untraceable

P = ParamSpec("P")
R = TypeVar("R")


def quiet(function: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function within which NumPy does not warn of overflow, division by 0 or NaN."""
    # As a decorator it costs half of a `with` block.
    silenced: Callable[P, R] = np.errstate(all="ignore")(function)
    return silenced


class OfSymbols:
    """What operations do with symbols of a functional model; the room of layers says it."""

    kind: ClassVar[type] = type(None)
    apply: ClassVar[Callable[..., Any]]  # of the function, its arguments and those by name


def holds(structure: Any, kind: type) -> bool:
    """Whether an object of this kind is among arguments, or in lists and dictionaries of them."""
    if isinstance(structure, (list, tuple)):
        return any(holds(part, kind) for part in structure)
    if isinstance(structure, Mapping):
        return any(holds(part, kind) for part in structure.values())
    if isinstance(structure, slice):
        return holds((structure.start, structure.stop, structure.step), kind)
    return isinstance(structure, kind)


def operation(function: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function on Tensors: it is quiet, its errors name the arguments, and of symbols it
    gives a symbol.

    A symbol is found by the error that its lack of numbers is, so that Tensors pay nothing for it.
    """
    silenced = quiet(function)

    @functools.wraps(function)
    def called(*args: P.args, **given: P.kwargs) -> R:
        try:
            return silenced(*args, **given)
        except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            if not isinstance(error, Untraceable) or not holds((args, given), OfSymbols.kind):
                from fastnn.autodiff.mistakes import explained, without_name

                unnamed = without_name(function, given)
                if unnamed is not None:
                    return called(*args, **unnamed)

                better = explained(function, args, given, error)
                if better is error:
                    raise
                raise better from error
        made: R = OfSymbols.apply(called, args, given)
        return made

    return called
