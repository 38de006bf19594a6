"""Callbacks that end `fit` for other reasons than a value that no longer improves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from fastnn.callbacks.base import CALLBACKS, Callback
from fastnn.console import say
from fastnn.protocols import Logs
from fastnn.registry import Checked
from fastnn.words import keywords, number, verbosity


@CALLBACKS.register("time_limit")
class TimeLimit(Callback):
    """Ends `fit` when its time is up, also within an epoch.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
        >>> model.compile("sgd", "mean_squared_error")
        >>> limit = fastnn.callbacks.TimeLimit(0.01)
        >>> x, y = np.ones((8, 2)), np.ones(8)
        >>> history = model.fit(x, y, epochs=10**6, verbose=0, callbacks=[limit])
        >>> len(history.epoch) < 10**6
        True

    The clock begins with `fit`. The epoch that it ends counts: its values are those of the rows that
    were trained, it is validated, and at least one step of it is made. Native code looks at the clock
    some ten times a second. A `fit` that goes on from a backup has the time that was left. It is not
    in Keras.

        >>> import fastnn
        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
        >>> model.compile("sgd", "mse")
        >>> limit = fastnn.callbacks.TimeLimit(1e-6)
        >>> model.fit([[1.0]], [2.0], epochs=50, verbose=0, callbacks=[limit]).epoch
        [0]

    Args:
        seconds: how long `fit` may train, above 0.
        verbose: 1 prints when the time is up.
    """

    seconds = Checked(partial(number, low=0.0, open_low=True))
    verbose = Checked(verbosity)
    _inside: ClassVar[tuple[str, ...]] = ("left",)

    @keywords()
    def __init__(self, seconds: float, verbose: int = 0) -> None:
        super().__init__()
        self.seconds = seconds
        self.verbose = verbose
        self._spent = 0.0  # before this fit
        self._begun = 0.0

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - self._spent - (time.monotonic() - self._begun)

    def saved_state(self) -> dict[str, Any]:
        return {"spent": self.seconds - self.left}

    def put_state(self, state: dict[str, Any]) -> None:
        self._spent, self._begun = number("spent", state["spent"], 0.0), time.monotonic()

    def watch(self, place: Any) -> dict[str, Any] | None:
        del place
        return {"seconds": max(self.left, 0.0)} if self._only_follows(TimeLimit) else None

    def replay(self, first: int, logs: Sequence[Logs], best: Any) -> None:
        del best
        if logs:
            self.on_epoch_end(first + len(logs) - 1, logs[-1])

    def on_train_begin(self, logs: Logs | None = None) -> None:
        del logs
        self._spent, self._begun = 0.0, time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        del logs
        if self.left > 0:
            return
        self.model.stop_training = True
        if self.verbose and self.is_first:
            say(f"Epoch {epoch + 1}: the {self.seconds:g} seconds are over, stopped")


@CALLBACKS.register("terminate_on_nan")
class TerminateOnNaN(Callback):
    """Ends `fit` without an error when the loss becomes NaN or infinite.

    Without it `fit` raises `fastnn.TrainingDiverged`. In both cases the weights are those of a
    recent good state (in Keras they are NaN then), and `model.history` has the epochs that were
    finished.

        >>> import fastnn
        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
        >>> model.compile(fastnn.optimizers.SGD(1e30), "mse")
        >>> ends = fastnn.callbacks.TerminateOnNaN()
        >>> history = model.fit([[1.0]], [2.0], epochs=50, verbose=0, callbacks=[ends])
        Epoch 2: the loss of step 0 is inf, training stopped
        >>> len(history.epoch) < 50
        True
    """

    _inside: ClassVar[tuple[str, ...]] = ("diverged",)

    @keywords()
    def __init__(self) -> None:
        super().__init__()

    def diverged(self, error: Any) -> None:
        """Called by `fit` in place of raising the error."""
        self.model.stop_training = True
        say(
            f"Epoch {error.epoch + 1}: the loss of step {error.step} is {error.loss}, training stopped"
        )
