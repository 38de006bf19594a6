"""ProgbarLogger: the line that `fit` prints for each epoch, and how values are written in it."""

from __future__ import annotations

import math
import time

import numpy as np

from fastnn.callbacks.base import CALLBACKS, Callback
from fastnn.console import columns, cut, say, terminal_columns
from fastnn.protocols import Logs
from fastnn.registry import Checked
from fastnn.words import flag

# Numbers of an array that a line shows.
_MOST = 20


@CALLBACKS.register("progbar_logger")
class ProgbarLogger(Callback):
    """The line of each epoch: time, loss and metrics. `fit` adds it unless verbose=0.

    A line that cannot be printed is left out; training goes on.

    Args:
        live: whether to rewrite the line while the epoch runs (for terminals). It is cut at the
            terminal's width then; the last line of an epoch is whole.
    """

    _inside = ("interval", "update")
    # How often a live line is rewritten, in seconds.
    interval = 0.1
    live = Checked(flag)

    def __init__(self, live: bool = False) -> None:
        super().__init__()
        self.live = live
        self._start = self._drawn = 0.0
        self._epoch = self._length = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._start = self._drawn = time.perf_counter()
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._write(self._line("", logs or {}), "\n")

    def update(self, steps: int, logs: Logs) -> None:
        """Rewrites a live line after `steps` steps of the epoch, at most every `interval`."""
        now = time.perf_counter()
        if self.live and now - self._drawn >= self.interval:
            self._drawn = now
            self._write(self._line(f" - {steps}/{self.params.get('steps')}", logs), "")

    def _line(self, steps: str, logs: Logs) -> str:
        seconds = time.perf_counter() - self._start
        epochs = self.params.get("epochs")
        return f"Epoch {self._epoch + 1}/{epochs}{steps} - {seconds:.2f}s" + values_text(logs)

    def _write(self, line: str, end: str) -> None:
        if not self.live:
            say(line, end)
            return
        # A line that has wrapped cannot be rewritten; a cursor in the last column may wrap, too.
        width = None if end else terminal_columns()
        shown = line if width is None else cut(line, width - 1)
        length = columns(shown)
        # Blanks cover the rest of a longer line.
        say("\r" + shown + " " * (self._length - length), end)
        self._length = 0 if end else length


def values_text(logs: Logs) -> str:
    """ " - loss: 0.1234 - accuracy: 0.9600"."""
    return "".join(f" - {name}: {_short(value)}" for name, value in logs.items())


def _short(value: object) -> str:
    """A value of the logs, where callbacks may have put anything."""
    try:
        if isinstance(value, np.ndarray) and value.ndim > 0 and value.dtype.kind == "f":
            parts = [_short(part) for part in value]
            if len(parts) > _MOST:
                parts = [*parts[:3], "...", *parts[-3:]]
            return f"[{' '.join(parts)}]"
        if not isinstance(value, (int, float, np.floating)):
            return str(value)
        number = float(value)
    except Exception:  # noqa: BLE001 - an integer beyond float, a `__str__` that raises
        return f"<{type(value).__name__}>"
    small = number != 0 and abs(number) < 1e-3
    return f"{number:.4e}" if small or not math.isfinite(number) else f"{number:.4f}"
