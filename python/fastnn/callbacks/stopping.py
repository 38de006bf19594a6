"""EarlyStopping: ends `fit` by a value in the logs."""

from __future__ import annotations

import warnings
from typing import Any

from numpy.typing import NDArray

from fastnn.callbacks.base import CALLBACKS, Callback
from fastnn.console import say
from fastnn.protocols import Logs
from fastnn.words import choose, flag, integer, keywords, number


@CALLBACKS.register("early_stopping")
class EarlyStopping(Callback):
    """Ends `fit` when a value no longer improves.

    Args:
        monitor: a name in the logs, for example "val_loss".
        min_delta: an improvement must be larger than this.
        patience: epochs without improvement after which `fit` ends; 0 acts as 1.
        verbose: 1 prints why `fit` ended.
        mode: "min", "max" or "auto": max for accuracies, min for all other values.
        baseline: a value to improve upon. An epoch that is the best yet, but no improvement
            upon the baseline, does not end `fit`, and does not restart the patience.
        restore_best_weights: whether to end with the weights of the best epoch, with any
            baseline.
        start_from_epoch: epochs to wait before watching.

    All arguments, also in combination, have the meaning that they have in Keras.
    """

    _inside = ("seen",)

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
            # One epoch may go without validation (validation_freq), but not every epoch.
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
            # A best value that is worse than the baseline does not restart the patience.
            if self._improves(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _improves(self, value: float, on: float | None) -> bool:
        # min_delta is added before the comparison, as in Keras: rounding may decide.
        return on is None or self._sign * (value + self._sign * self.min_delta) < self._sign * on

    def on_train_end(self, logs: Logs | None = None) -> None:
        if not self.seen:
            warnings.warn(
                f"EarlyStopping never saw {self.monitor!r}: fit had no validation", stacklevel=2
            )
        if self.stopped_epoch and self.verbose:
            say(f"Epoch {self.stopped_epoch + 1}: {self.monitor} no longer improves, stopped")
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)


def _is_accuracy(name: str) -> bool:
    return name.endswith(("accuracy", "acc", "auc"))
