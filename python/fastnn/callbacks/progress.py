"""ProgbarLogger: the line that `fit` prints for each epoch, and how values are written in it."""

from __future__ import annotations

import math
import time

from fastnn.callbacks.base import CALLBACKS, Callback
from fastnn.callbacks.told import values_text
from fastnn.console import columns, cut, say, terminal_columns
from fastnn.protocols import Logs
from fastnn.registry import Checked
from fastnn.words import flag


@CALLBACKS.register("progbar_logger")
class ProgbarLogger(Callback):
    """The line of each epoch: time, loss and metrics. `fit` adds it unless verbose=0.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
        >>> model.compile("sgd", "mean_squared_error")
        >>> history = model.fit(np.ones((8, 2)), np.ones(8), epochs=2, verbose=2)
        Epoch 1/2 - ...loss: ...
        Epoch 2/2 - ...loss: ...

    While an epoch runs, a live line has its steps, how many pass in a second, and the time that is
    left of the epoch.

    A line that cannot be printed is left out; training goes on.

    Args:
        live: whether to rewrite the line while the epoch runs (for terminals). It is cut at the
            terminal's width then; the last line of an epoch is whole.
    """

    only_tells = True
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
            self._show(steps, logs)

    def _show(self, steps: int, logs: Logs) -> None:
        every = self.params.get("steps")
        told = f" - {steps}/{'?' if every is None else every}"
        self._write(self._line(told, logs, self._rate(steps, every)), "")

    def _rate(self, steps: int, every: int | None) -> str:
        """How many steps pass in a second, and how long the rest of the epoch takes."""
        seconds = time.perf_counter() - self._start
        if not steps or seconds <= 0:
            return ""
        rate = steps / seconds
        told = f" - {rate:.0f} steps/s" if rate >= 10 else f" - {rate:.2g} steps/s"
        return told if every is None else f"{told} - {_time((every - steps) / rate)} left"

    def _line(self, steps: str, logs: Logs, rate: str = "") -> str:
        seconds = time.perf_counter() - self._start
        epochs = self.params.get("epochs")
        return (
            f"Epoch {self._epoch + 1}/{epochs}{steps} - {seconds:.2f}s" + values_text(logs) + rate
        )

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


def _time(seconds: float) -> str:
    """A time that is left, in whole seconds."""
    whole = math.ceil(seconds)
    minutes, hours = whole // 60, whole // 3600
    if hours:
        return f"{hours}:{minutes % 60:02d}:{whole % 60:02d}"
    return f"{minutes}:{whole % 60:02d}" if minutes else f"{whole}s"
