"""EarlyStopping: ends `fit` by a value in the logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from numpy.typing import NDArray

from fastnn.callbacks.base import CALLBACKS
from fastnn.callbacks.monitor import Monitor
from fastnn.console import say
from fastnn.protocols import Logs, Places
from fastnn.registry import Checked
from fastnn.words import flag, integer, keywords, number, optional, verbosity


@CALLBACKS.register("early_stopping")
class EarlyStopping(Monitor):
    """Ends `fit` when a value no longer improves.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
        >>> model.compile(fastnn.optimizers.SGD(0.0), "mean_squared_error")  # which learns nothing
        >>> stop = fastnn.callbacks.EarlyStopping(monitor="loss", patience=2)
        >>> len(model.fit([[1.0]], [1.0], epochs=100, verbose=0, callbacks=[stop]).epoch)
        3

    Args:
        monitor: a name in the logs, for example "val_loss".
        min_delta: an improvement must be larger than this.
        patience: epochs without improvement after which `fit` ends; 0 acts as 1.
        verbose: 1 prints why `fit` ended.
        mode: "min", "max" or "auto": the loss or metric of that name says whether more is better,
            whatever it is called. A value that a callback makes needs "min" or "max".
        baseline: a value to improve upon. An epoch that is the best yet, but no improvement
            upon the baseline, does not end `fit`, and does not restart the patience.
        restore_best_weights: whether to end with the weights of the best epoch, with any
            baseline.
        start_from_epoch: epochs to wait before watching.

    All arguments, also in combination, have the meaning that they have in Keras. NaN is never an
    improvement, and the first number after it is one; where all are NaN, the first epoch is the
    best. Epochs without the value do not count.

    Raises:
        ValueError: when `fit` begins, mode="auto" and neither the loss nor a metric that says its
            direction has this name, or the metric of this name gives an array.

    Warns:
        UserWarning: when `fit` begins, it will not produce the value.
    """

    patience = Checked(partial(integer, low=0))
    verbose = Checked(verbosity)
    baseline = Checked(optional(number))
    restore_best_weights = Checked(flag)
    start_from_epoch = Checked(partial(integer, low=0))
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
        super().__init__(monitor, mode, min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._reset()

    def watch(self, place: Places) -> dict[str, Any] | None:
        found = place(self.monitor)
        if found is None or not self._only_follows(EarlyStopping):
            return None
        return self.rule(found) | {
            "first_epoch": self.start_from_epoch,
            "patience": self.patience,
            "wait": self.wait,
            "best": self.best,
            "baseline": self.baseline,
            "keeps_best": self.restore_best_weights,
            "has_best": self.best_weights is not None,
        }

    def replay(self, first: int, logs: Sequence[Logs], best: Callable[[], list[Any]]) -> None:
        self._follow(first, logs, best)

    def _reset(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best: float | None = None
        self.best_epoch = 0
        self.best_weights: list[NDArray[Any]] | None = None

    def saved_state(self) -> dict[str, Any]:
        names = ("wait", "stopped_epoch", "best", "best_epoch", "best_weights")
        return {name: getattr(self, name) for name in names}

    def put_state(self, state: dict[str, Any]) -> None:
        self.wait = integer("wait", state["wait"], 0)
        self.stopped_epoch = integer("stopped_epoch", state["stopped_epoch"], 0)
        self.best_epoch = integer("best_epoch", state["best_epoch"], 0)
        self.best = None if state["best"] is None else float(state["best"])
        weights = state["best_weights"]
        if weights is not None:
            now = [weight.shape for weight in self.model.get_weights()]
            if [getattr(weight, "shape", None) for weight in weights] != now:
                raise ValueError("best_weights: they are not of the shapes of the model's weights")
        self.best_weights = weights

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._reset()
        super().on_train_begin(logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._follow(epoch, (logs or {},), self.model.get_weights)

    def _follow(
        self, first: int, rows: Sequence[Logs], weights: Callable[[], list[NDArray[Any]]]
    ) -> None:
        """Goes through epochs from number `first` on. `weights` gives those after the last of them
        that is the best yet."""
        improves, monitor = self.comparison(), self.monitor
        start, patience, baseline = self.start_from_epoch, self.patience, self.baseline
        restores = self.restore_best_weights
        best, wait = self.best, self.wait
        for epoch, row in enumerate(rows, first):
            value = row.get(monitor)
            if type(value) is not float:
                value = self.value(row)
            if value is None or epoch < start:
                continue
            if restores and self.best_weights is None:
                # The first epoch is the best until another improves, also where its value is NaN.
                self.best_weights, self.best_epoch = weights(), epoch
            wait += 1
            if improves(value, best):
                best, self.best_epoch = value, epoch
                if restores:
                    self.best_weights = weights()
                # A best value that is worse than the baseline does not restart the patience.
                if improves(value, baseline):
                    wait = 0
            elif wait >= patience and epoch > 0:
                self.stopped_epoch = epoch
                self.model.stop_training = True
        self.best, self.wait = best, wait

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch and self.verbose:
            say(f"Epoch {self.stopped_epoch + 1}: {self.monitor} no longer improves, stopped")
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)
