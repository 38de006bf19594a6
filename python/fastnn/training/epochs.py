"""What the epochs of every `fit` have in common: their order, how they end, and what diverging does.

What is in an epoch is said by the loops: over arrays, windows, batches of a program or a tape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastnn import _core
from fastnn.callbacks.base import History
from fastnn.callbacks.limits import TerminateOnNaN
from fastnn.callbacks.listeners import CallbackList
from fastnn.protocols import Logs, Position


@contextmanager
def ends_on_nan(callbacks: CallbackList) -> Iterator[None]:
    """A block that ends where training diverges, if there is a TerminateOnNaN; else that is raised."""
    try:
        yield
    except _core.TrainingDiverged as error:
        ends: TerminateOnNaN | None = callbacks.first(TerminateOnNaN)
        if ends is None:
            raise
        ends.diverged(error)


def each_epoch(
    model: Any,
    callbacks: CallbackList,
    begins: Position,
    epochs: int,
    epoch: Callable[[int, Position | None], Logs],
) -> Logs:
    """Calls `epoch` for each until one is the last; the logs of the last that had any.

    Args:
        begins: where the first begins, which alone is told.
        epoch: a function of its number, and of where it begins.
    """
    logs: Logs = {}
    try:
        with ends_on_nan(callbacks):
            for number in range(begins.epoch, epochs):
                logs = epoch(number, begins if number == begins.epoch else None) or logs
                if model.stop_training:
                    break
    finally:
        model.position = None
    return logs


def end_epoch(callbacks: CallbackList, epoch: int, logs: Logs) -> None:
    """Tells all callbacks of a finished epoch; the History gets it also where one of them raises."""
    try:
        callbacks.call("on_epoch_end", epoch, logs)
    except BaseException:
        history: History = callbacks.first(History)  # it comes last
        if history.epoch[-1:] != [epoch]:
            history.on_epoch_end(epoch, logs)
        raise
