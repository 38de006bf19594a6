"""Callbacks: Keras's hooks, called by fit, evaluate and predict.

`fit` calls Python only where somebody listens: a hook that no callback overrides
costs nothing, and a batch hook makes every batch a native call of its own.
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.words import choose, flag, integer, keywords, number, refuse_unknown_keywords

if TYPE_CHECKING:
    from fastnn.trainer import Trainer

Logs = dict[str, float]

EPOCH_HOOKS = ("on_epoch_begin", "on_epoch_end")
TRAIN_BATCH_HOOKS = (
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_batch_begin",
    "on_batch_end",
)
TEST_HOOKS = ("on_test_begin", "on_test_end")
TEST_BATCH_HOOKS = ("on_test_batch_begin", "on_test_batch_end")
PREDICT_BATCH_HOOKS = ("on_predict_batch_begin", "on_predict_batch_end")


class Callback:
    """Override the hooks that you want to be called.

        >>> import fastnn
        >>> class Halve(fastnn.callbacks.Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         self.model.optimizer.learning_rate *= 0.5

    Attributes:
        model: the model; set `model.stop_training = True` to end `fit` after the epoch, or,
            from a batch hook, after the batch.
        params: "epochs", "steps" (batches an epoch) and "verbose".

    `logs` holds the loss and metrics so far, exact over the rows seen in the epoch; in
    `on_epoch_end` with those of validation, named "val_...". What a callback adds to the
    logs of an epoch is kept in the History if the callback stands before it in the list.
    """

    def __init__(self) -> None:
        self._model: Trainer | None = None
        self.params: dict[str, Any] = {}

    @property
    def model(self) -> Trainer:
        if self._model is None:
            raise AttributeError("the callback has no model until fit, evaluate or predict runs")
        return self._model

    def set_model(self, model: Trainer) -> None:
        self._model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called when `fit` begins."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called when `fit` ends, with the logs of the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before epoch `epoch` (from 0)."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after epoch `epoch` and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each step of an epoch (from 0)."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each step of an epoch."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of `on_train_batch_end`."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called when `evaluate`, or the validation of `fit`, begins."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called when `evaluate`, or the validation of `fit`, ends."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of `evaluate` or validation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch of `evaluate` or validation."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called when `predict` begins."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called when `predict` ends."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch of `predict`; logs hold "outputs"."""


class History(Callback):
    """What `fit` returns: `history`, a list of values for each name, and `epoch`, their numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class CallbackList:
    """The callbacks of one call, called in turn; a History comes last."""

    def __init__(
        self,
        callbacks: Callback | Iterable[Callback] | None,
        model: Trainer,
        params: dict[str, Any],
        *defaults: Callback,
    ) -> None:
        given = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
        for callback in given:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks: expected Callback objects, got {callback!r}")
        # A History or progress line that the user gave takes the place of the default.
        self.callbacks = given + [
            default
            for default in defaults
            if not any(isinstance(callback, type(default)) for callback in given)
        ]
        for callback in self.callbacks:
            callback.set_params(params)
            callback.set_model(model)

    def first(self, kind: type[Callback]) -> Any:
        """The first callback of a kind, or None."""
        return next((callback for callback in self.callbacks if isinstance(callback, kind)), None)

    def listens(self, *hooks: str) -> bool:
        """Whether any callback overrides any of the hooks."""
        return any(_overrides(callback, hook) for callback in self.callbacks for hook in hooks)

    def call(self, hook: str, *args: Any) -> None:
        """Calls a hook of every callback; hooks always get their logs, as in Keras."""
        for callback in self.callbacks:
            getattr(callback, hook)(*args)


# Hooks of our own that need not be called between epochs: fit feeds the History itself.
_SILENT = (History.on_epoch_end,)


def _overrides(callback: Callback, hook: str) -> bool:
    # LambdaCallback sets hooks on the object, subclasses on the class; this sees both.
    bound = getattr(callback, hook)
    function = getattr(bound, "__func__", bound)
    return function is not getattr(Callback, hook) and function not in _SILENT


class LambdaCallback(Callback):
    """Hooks as functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: print(logs))`.

    Takes a function for any hook of `Callback` by the hook's name.
    """

    def __init__(self, **hooks: Callable[..., Any] | None) -> None:
        super().__init__()
        known = [name for name in vars(Callback) if name.startswith("on_")]
        refuse_unknown_keywords("LambdaCallback", hooks, known)
        for name, function in hooks.items():
            if function is not None:
                setattr(self, name, function)


class EarlyStopping(Callback):
    """Ends `fit` when a value no longer improves.

    Args:
        monitor: a name in the logs, for example "val_loss".
        min_delta: an improvement must be larger than this.
        patience: epochs without improvement after which `fit` ends; 0 is as 1.
        verbose: 1 prints why `fit` ended.
        mode: "min", "max" or "auto": max for accuracies, min for all else.
        baseline: a value to improve upon. An epoch that is the best yet, but no improvement
            upon the baseline, does not end `fit`, and does not begin the patience anew.
        restore_best_weights: whether to end with the weights of the best epoch, whatever
            the baseline.
        start_from_epoch: epochs to wait before watching.

    All of them mean what they mean in Keras, also together.
    """

    @keywords()
    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__()
        self.monitor = monitor
        self.min_delta = number("min_delta", min_delta, 0.0)
        self.patience = integer("patience", patience, 0)
        self.verbose = verbose
        self.mode = choose("mode", mode, ("auto", "min", "max"))
        self.baseline = None if baseline is None else number("baseline", baseline)
        self.restore_best_weights = flag("restore_best_weights", restore_best_weights)
        self.start_from_epoch = integer("start_from_epoch", start_from_epoch, 0)
        larger = self.mode == "max" or (self.mode == "auto" and _is_accuracy(monitor))
        self._sign = -1.0 if larger else 1.0
        self._reset()

    def _reset(self) -> None:
        self.seen = False
        self.wait = 0
        self.stopped_epoch = 0
        self.best: float | None = None
        self.best_epoch = 0
        self.best_weights: list[NDArray[Any]] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        if self.monitor not in logs:
            # An epoch may go without validation (validation_freq), all of them may not.
            if not self.monitor.startswith("val_") or any(key.startswith("val_") for key in logs):
                choose("EarlyStopping: monitor", self.monitor, tuple(logs))
            return
        self.seen = True
        if epoch < self.start_from_epoch:
            return
        value = logs[self.monitor]
        self.wait += 1
        if self._improves(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            # A best value that is worse than the baseline does not buy more patience.
            if self._improves(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _improves(self, value: float, on: float | None) -> bool:
        # Added before it is compared, as in Keras: rounding may decide.
        return on is None or self._sign * (value + self._sign * self.min_delta) < self._sign * on

    def on_train_end(self, logs: Logs | None = None) -> None:
        if not self.seen:
            warnings.warn(
                f"EarlyStopping never saw {self.monitor!r}: fit had no validation", stacklevel=2
            )
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: {self.monitor} no longer improves, stopped")
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)


def _is_accuracy(name: str) -> bool:
    return name.endswith(("accuracy", "acc", "auc"))


class ProgbarLogger(Callback):
    """The line of each epoch: time, loss and metrics. `fit` adds it unless verbose=0.

    Args:
        live: whether to rewrite the line while the epoch runs (for terminals).
    """

    # How often a live line is rewritten, in seconds.
    interval = 0.1

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
        """Rewrites a live line after so many steps of the epoch, if it is time to."""
        now = time.perf_counter()
        if self.live and now - self._drawn >= self.interval:
            self._drawn = now
            self._write(self._line(f" - {steps}/{self.params.get('steps')}", logs), "")

    def _line(self, steps: str, logs: Logs) -> str:
        seconds = time.perf_counter() - self._start
        epochs = self.params.get("epochs")
        return f"Epoch {self._epoch + 1}/{epochs}{steps} - {seconds:.2f}s" + values_text(logs)

    def _write(self, line: str, end: str) -> None:
        if self.live:
            # Blanks cover what a longer line left behind.
            sys.stdout.write("\r" + line.ljust(self._length) + end)
            self._length = 0 if end else len(line)
        else:
            sys.stdout.write(line + end)
        sys.stdout.flush()


def values_text(logs: Logs) -> str:
    """ " - loss: 0.1234 - accuracy: 0.9600"."""
    return "".join(f" - {name}: {_short(value)}" for name, value in logs.items())


def _short(value: object) -> str:
    if not isinstance(value, (int, float, np.floating)):
        return str(value)
    small = value != 0 and abs(value) < 1e-3
    return f"{value:.4e}" if small or not math.isfinite(value) else f"{value:.4f}"
