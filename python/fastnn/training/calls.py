"""Native calls of a training, which the code that drives it makes: alone, or beside those of others.

A training is a generator: it yields each native call, is sent what that returns, or is thrown what it
raises, and returns what came of all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastnn import _core

Result = TypeVar("Result")


class Call(NamedTuple):
    """`run.advance(**how)`."""

    run: _core.Run
    how: dict[str, Any]
    # Raises what would end the call at its first look; to be asked where it has waited.
    looks: Callable[[], None] | None = None


Calls = Generator[Call, NDArray[np.float64], Result]


def alone(calls: Calls[Result]) -> Result:
    """Makes one call after another; what came of them.

    >>> def none():
    ...     return 3
    ...     yield
    >>> alone(none())
    3
    """
    try:
        call = next(calls)
        while True:
            try:
                sums = call.run.advance(**call.how)
            except BaseException as error:  # noqa: BLE001  which the training handles
                call = calls.throw(error)
            else:
                call = calls.send(sums)
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        calls.close()
