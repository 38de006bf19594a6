"""Callbacks that set the learning rate: ReduceLROnPlateau and LearningRateScheduler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from fastnn.callbacks.base import CALLBACKS, Callback
from fastnn.callbacks.monitor import Monitor
from fastnn.console import say
from fastnn.protocols import Logs, Places
from fastnn.registry import Checked
from fastnn.words import integer, keywords, number, verbosity

_NEVER = 2**60


def _rate_of(callback: Callback) -> float:
    """The learning rate now; ValueError where a schedule makes it."""
    optimizer = callback.model.optimizer
    if optimizer.schedule is not None:
        raise ValueError(
            f"{type(callback).__name__}: the optimizer has a schedule, {optimizer.schedule!r}, which "
            "sets the learning rate; give learning_rate a number"
        )
    return float(optimizer.learning_rate)


@CALLBACKS.register("reduce_lr_on_plateau")
class ReduceLROnPlateau(Monitor):
    """Multiplies the learning rate by `factor` when a value no longer improves.

        >>> import fastnn
        >>> slower = fastnn.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=2)
        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
        >>> model.compile(fastnn.optimizers.SGD(0.0), "mse")
        >>> history = model.fit([[0.0, 1.0]], [1.0], epochs=4, verbose=0, callbacks=slower)
        >>> history.history["learning_rate"]
        [0.0, 0.0, 0.0, 0.0]

    Arguments and values are Keras's. The logs of each epoch get the rate that it was trained with, as
    "learning_rate". Epochs without the value do not count, and NaN is no improvement.

    Args:
        monitor: a name in the logs, for example "val_loss".
        factor: the new rate is the old one times this, in [0, 1).
        patience: epochs without improvement after which the rate is reduced; 0 acts as 1.
        verbose: 1 prints each new rate.
        mode: see `EarlyStopping`.
        min_delta: an improvement must be larger than this.
        cooldown: epochs after a reduction in which none counts as without improvement.
        min_lr: the rate does not go below this.

    Raises:
        ValueError: an option is out of range. When `fit` begins: see `Monitor`, or the optimizer has
            a schedule.
    """

    factor = Checked(partial(number, low=0.0, high=1.0, open_high=True))
    patience = Checked(partial(integer, low=0))
    verbose = Checked(verbosity)
    cooldown = Checked(partial(integer, low=0))
    min_lr = Checked(partial(number, low=0.0))
    _inside: ClassVar[tuple[str, ...]] = ("seen",)

    @keywords()
    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.cooldown_counter = 0
        self.best: float | None = None

    def saved_state(self) -> dict[str, Any]:
        return {
            "wait": self.wait,
            "cooldown_counter": self.cooldown_counter,
            "best": self.best,
            "learning_rate": float(self.model.optimizer.learning_rate),
        }

    def put_state(self, state: dict[str, Any]) -> None:
        self.wait = integer("wait", state["wait"], 0)
        self.cooldown_counter = integer("cooldown_counter", state["cooldown_counter"], 0)
        self.best = None if state["best"] is None else float(state["best"])
        self.model.optimizer.learning_rate = float(state["learning_rate"])

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._reset()
        super().on_train_begin(logs)
        _rate_of(self)

    def watch(self, place: Places) -> dict[str, Any] | None:
        found = place(self.monitor)
        if found is None or not self._only_follows(ReduceLROnPlateau):
            return None
        lowest = _rate_of(self) <= self.min_lr
        # In a cooldown of c epochs the first c - 1 do not count.
        cools = max(0, self.cooldown_counter - 1)
        return self.rule(found) | {
            "first_epoch": 0,
            "patience": _NEVER if lowest else self.patience,
            "wait": -cools if self.cooldown_counter else self.wait,
            "best": self.best,
            "baseline": None,
            "keeps_best": False,
            "has_best": False,
        }

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._follow(epoch, ({} if logs is None else logs,))

    def replay(self, first: int, logs: Sequence[Logs], best: Any) -> None:
        del best
        self._follow(first, logs)

    def _follow(self, first: int, rows: Sequence[Logs]) -> None:
        """Goes through epochs from number `first` on."""
        improves, monitor, patience = self.comparison(), self.monitor, self.patience
        rate = _rate_of(self)
        for epoch, row in enumerate(rows, first):
            row["learning_rate"] = rate
            value = row.get(monitor)
            if type(value) is not float:
                value = self.value(row)
            if value is None:
                continue
            if self.cooldown_counter > 0:
                self.cooldown_counter -= 1
                self.wait = 0
            if improves(value, self.best):
                self.best, self.wait = value, 0
            elif self.cooldown_counter == 0:
                self.wait += 1
                if self.wait >= patience:
                    self._reduce(epoch, rate)
                    rate = _rate_of(self)

    def _reduce(self, epoch: int, rate: float) -> None:
        if rate <= self.min_lr:
            return
        lower = max(rate * self.factor, self.min_lr)
        self.model.optimizer.learning_rate = lower
        self.cooldown_counter = self.cooldown
        self.wait = 0
        if self.verbose and self.is_first:
            say(
                f"Epoch {epoch + 1}: {self.monitor} no longer improves, learning rate {rate:g} "
                f"becomes {lower:g}"
            )


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch, by a function of the epoch and the rate before.

        >>> import fastnn
        >>> halve = fastnn.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
        >>> model.compile(fastnn.optimizers.SGD(0.5), "mse")
        >>> history = model.fit([[0.0, 1.0]], [1.0], epochs=3, verbose=0, callbacks=halve)
        >>> history.history["learning_rate"]
        [0.25, 0.125, 0.0625]

    The logs of each epoch get the rate as "learning_rate". A schedule of
    `fastnn.optimizers.schedules` sets the rate of each step, and needs no callback.

    Args:
        schedule: (epoch, learning_rate) -> learning_rate, or (epoch) -> learning_rate; epochs count
            from 0.
        verbose: 1 prints each rate.

    Raises:
        TypeError: `schedule` is no function, or gives no number.
        ValueError: when `fit` begins, the optimizer has a schedule.
    """

    verbose = Checked(verbosity)

    @keywords()
    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        if not callable(schedule):
            raise TypeError(f"schedule: expected a function of (epoch, rate), got {schedule!r}")
        self.schedule = schedule
        self.verbose = verbose

    def saved_state(self) -> dict[str, Any]:
        return {"learning_rate": float(self.model.optimizer.learning_rate)}

    def put_state(self, state: dict[str, Any]) -> None:
        self.model.optimizer.learning_rate = float(state["learning_rate"])

    def on_train_begin(self, logs: Logs | None = None) -> None:
        del logs
        _rate_of(self)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        del logs
        rate = _rate_of(self)
        if self.model.position is not None and self.model.position.step:
            return  # training goes on in the middle of the epoch, which has its rate
        found = self.schedule(epoch, rate) if _takes_two(self.schedule) else self.schedule(epoch)
        rate = number("LearningRateScheduler: what schedule returns", found, 0.0)
        self.model.optimizer.learning_rate = rate
        if self.verbose and self.is_first:
            say(f"Epoch {epoch + 1}: learning rate {rate:g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        del epoch
        if logs is not None:
            logs["learning_rate"] = _rate_of(self)

    def get_config(self) -> dict[str, Any]:
        raise TypeError("LearningRateScheduler: a function has no config")


def _takes_two(function: Callable[..., Any]) -> bool:
    """Whether a function can be called with two arguments; True where that is not known."""
    import inspect

    try:
        inspect.signature(function).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:  # without a signature
        return True
    return True
