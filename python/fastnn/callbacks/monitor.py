"""Monitor: the base of callbacks that watch one value of the logs, such as EarlyStopping.

It decides which of two values is better, and warns where `fit` will not produce the value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal

from fastnn.callbacks.base import Callback
from fastnn.console import warn
from fastnn.protocols import Logs, Place
from fastnn.registry import Checked
from fastnn.words import choose, number, text, unknown

Mode = Literal["auto", "min", "max"]
MODES: tuple[Mode, ...] = ("auto", "min", "max")


def _mode(name: str, value: object) -> Mode:
    return choose(name, value, MODES)


class Monitor(Callback):
    """A callback that compares values of one name in the logs.

    Args:
        monitor: a name in the logs, for example "val_loss".
        mode: "min", "max" or "auto": the loss or metric of that name says whether more is better
            (`Metric.more_is_better`).
        min_delta: an improvement must be larger than this.

    Raises:
        ValueError: when `fit` begins, mode="auto" and no loss or metric that says its direction
            has this name, or the metric of this name gives an array.

    Warns:
        UserWarning: when `fit` begins, it will not produce the value. A callback before this one
            may still add it to the logs.
    """

    _inside: ClassVar[tuple[str, ...]] = (
        *("comparison", "improves", "more_is_better", "rule", "value"),
    )
    monitor = Checked(text)
    mode = Checked(_mode)
    min_delta = Checked(partial(number, low=0.0))

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        super().__init__()
        self.monitor = monitor
        self.mode = mode
        self.min_delta = min_delta

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.more_is_better()
        if self.model.gives_array(self.monitor):
            raise ValueError(self._array())
        names = self.params.get("metrics")
        if names is None or self.monitor in names:
            return
        without = self.monitor.startswith("val_") and not any(n.startswith("val_") for n in names)
        why = "it has no validation" if without else f"its logs have {', '.join(names)}"
        warn(
            f"{type(self).__name__}: fit will not produce {self.monitor!r}, {why}; only a callback "
            "that comes before may add it",
            UserWarning,
            entry="fit",
        )

    def more_is_better(self) -> bool:
        """Whether more of the monitored value is better; ValueError if nothing tells."""
        if self.mode != "auto":
            return self.mode == "max"
        direction = self.model.more_is_better(self.monitor)
        if direction is None:
            where = f"{type(self).__name__}: monitor"
            names = [*self.params.get("metrics", ())]
            known = self.monitor in names
            told = f"{where}:" if known else unknown(where, self.monitor, names)
            stop = "" if told[-1] in ":?" else " and what compile(metrics=[...]) adds."
            raise ValueError(
                f"{told}{stop} Whether more of {self.monitor!r} is better is not known: "
                "give mode='min' or mode='max'"
            )
        return direction

    def rule(self, place: Place) -> dict[str, Any]:
        """What native code is told of the value, and of when it improves (see `watch`)."""
        return {
            "place": place.numerator,
            "root": place.root,
            "more_is_better": self.more_is_better(),
            "min_delta": self.min_delta,
        }

    def value(self, logs: Logs | None) -> float | None:
        """The monitored value; None in an epoch that has none, for example without validation."""
        value: float | None = (logs or {}).get(self.monitor)
        if getattr(value, "ndim", 0) > 0:
            raise ValueError(self._array())
        return value

    def _array(self) -> str:
        return (
            f"{type(self).__name__}: monitor: {self.monitor!r} is an array, a number for each label "
            "or threshold; monitor a metric of one number, such as F1Score(average='macro')"
        )

    def improves(self, value: float, on: float | None) -> bool:
        """Whether `value` is better than `on` by more than `min_delta`; None is worse than all.

        NaN is no improvement, and all numbers improve on it.
        """
        return self.comparison()(value, on)

    def comparison(self) -> Callable[[float, float | None], bool]:
        """`improves`, for many comparisons."""
        sign = -1.0 if self.more_is_better() else 1.0
        delta = sign * self.min_delta

        def improves(value: float, on: float | None) -> bool:
            if math.isnan(value):
                return False
            # min_delta is added before the comparison, as in Keras: rounding may decide.
            return on is None or math.isnan(on) or sign * (value + delta) < sign * on

        return improves
