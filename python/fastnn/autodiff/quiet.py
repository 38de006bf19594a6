"""quiet: operations on Tensors give inf and NaN as numbers, without NumPy's warnings.

A tape's loss is looked at once a step, and TrainingDiverged says more than "overflow encountered in
reduce" does. Arrays of the user's own keep NumPy's warnings outside of operations.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")


def quiet(function: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function within which NumPy does not warn of overflow, division by 0 or NaN."""
    # As a decorator it costs half of a `with` block.
    silenced: Callable[P, R] = np.errstate(all="ignore")(function)
    return silenced


def operation(function: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function on Tensors: it is quiet, and its errors name the arguments."""
    silenced = quiet(function)

    @functools.wraps(function)
    def called(*args: P.args, **given: P.kwargs) -> R:
        try:
            return silenced(*args, **given)
        except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            from fastnn.autodiff.mistakes import explained

            better = explained(function, args, given, error)
            if better is error:
                raise
            raise better from error

    return called
