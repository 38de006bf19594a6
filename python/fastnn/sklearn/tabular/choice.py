"""Choice: training ends with the weights of the epoch that held-out rows like best. Native code follows it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from fastnn.callbacks.base import Callback
from fastnn.protocols import Logs, Places

_NEVER = 2**60


class Choice(Callback):
    """Keeps the weights of the epoch in which val_loss - share * val_accuracy is least.

    The loss is smooth in the weights but judges how sure answers are, too; accuracy is what is wanted, in
    steps of one row. Their sum is neither noise of a few rows nor blind to them.

    Args:
        share: of accuracy; 0: the loss alone, and no accuracy is needed.
        patience: epochs without a better one after which training ends; None: it does not.

    Attributes:
        best, epoch: the least value, and the number of its epoch; -1: none was finite.
        weights: of that epoch.
    """

    acts_last = True

    def __init__(self, share: float, patience: int | None = None) -> None:
        super().__init__()
        self.share = share
        self.patience = patience
        self.best, self.epoch = math.inf, -1
        self.weights: list[NDArray[Any]] | None = None
        self._wait = 0

    def watch(self, place: Places) -> dict[str, Any] | None:
        loss = place("val_loss")
        other = place("val_accuracy") if self.share else None
        if loss is None or loss.root or (self.share and (other is None or other.root)):
            return None
        terms = [(loss.numerator, loss.denominator, 1.0)]
        if other is not None:
            terms.append((other.numerator, other.denominator, -self.share))
        return {
            "place": loss.numerator,
            "root": False,
            "more_is_better": False,
            "min_delta": 0.0,
            "first_epoch": 0,
            "patience": _NEVER if self.patience is None else self.patience,
            "wait": self._wait,
            "best": self.best,
            "baseline": None,
            "keeps_best": True,
            "has_best": True,
            "terms": terms,
            "offset": 0.0,
        }

    def replay(self, first: int, logs: Sequence[Logs], best: Callable[[], list[Any]]) -> None:
        found = [self._after(epoch, row) for epoch, row in enumerate(logs, first)]
        if any(found):
            self.weights = best()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self._after(epoch, logs or {}):
            self.weights = self.model.get_weights()

    def _after(self, epoch: int, logs: Logs) -> bool:
        """Takes note of an epoch, in the order of csrc/nn/watch.h; whether it is the best so far."""
        value = float(logs["val_loss"])
        if self.share:
            value += -self.share * float(logs["val_accuracy"])
        better = value < self.best
        self._wait = 0 if better else self._wait + 1
        if better:
            self.best, self.epoch = value, epoch
        if self.patience is not None and self._wait >= self.patience:
            self.model.stop_training = True
        return better

    def on_train_end(self, logs: Logs | None = None) -> None:
        del logs
        if self.weights is not None:
            self.model.set_weights(self.weights)
