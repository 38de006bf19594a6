"""The loops of fit, evaluate and predict over the tape: a step of the model's own for each batch.

Arguments are checked already (see `models.taped`). Arithmetic is in the steps (`models.steps`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.autodiff.shared import computing
from fastnn.autodiff.tensor import Tensor
from fastnn.callbacks.base import History
from fastnn.callbacks.listeners import TRAIN_BATCH_HOOKS, CallbackList
from fastnn.callbacks.progress import ProgbarLogger
from fastnn.data.batches import Batches
from fastnn.data.structures import Form, form_of, mapped
from fastnn.protocols import Position
from fastnn.training.epochs import each_epoch, end_epoch
from fastnn.training.loops import Schedule
from fastnn.training.snapshots import Snapshots
from fastnn.training.stretches import Stretch, is_short, stretch_of, warn_of_short
from fastnn.training.taped_ranks import TapedRanks
from fastnn.utils import pack_x_y_sample_weight
from fastnn.variables import Variable

Logs = dict[str, Any]


class Stepping(Protocol):
    """A model whose steps the loops call. Logs are numbers."""

    stop_training: bool
    position: Position | None
    more_follows: bool  # whether a step is not the last of its pass

    def completed(self, logs: Logs) -> Logs:
        """The logs of a step after which the loop stopped, with metrics that waited for the last."""

    def counted(self) -> tuple[NDArray[Any], ...]:
        """What the metrics have counted."""

    def check_counted(self, sums: Sequence[NDArray[Any]]) -> None:
        """ValueError where the metrics could not go on from these."""

    def count_on(self, sums: Sequence[NDArray[Any]]) -> None:
        """Lets the metrics go on from what `counted` gave."""

    def all_variables(self) -> list[Variable]:
        """Weights, those that are not trained too."""

    def reset_metrics(self) -> None: ...
    def train_on_data(self, data: Any) -> Logs: ...
    def test_on_data(self, data: Any) -> Logs: ...
    def predict_on_data(self, data: Any) -> Any: ...
    def order(self, rows: int, shuffled: bool, *, again: bool = False) -> NDArray[Any] | None:
        """The order of the rows in the next epoch, which is counted; None: as they are. With `again`
        it is that of the epoch that was counted last."""

    def logs_so_far(self) -> Logs:
        """What the metrics have counted, as logs."""

    def bad_loss(self, logs: Logs) -> float | None:
        """The loss of the last step where it is no number, or infinite."""

    def mean_of_step(self, logs: Logs) -> float:
        """The loss of the last step; 0 where it is not known."""

    def has_bad_weights(self) -> bool:
        """Whether a weight is no number, or infinite."""

    def copied_state(self) -> Any:
        """A copy of all that training changes."""

    def put_state(self, state: Any) -> None:
        """Goes back to a copy."""

    def copies_every(self) -> int:
        """The steps from one copy of the state to the next."""


class TapedFit:
    """One call of `fit` on checked data."""

    def __init__(
        self,
        model: Stepping,
        train: Batches,
        validation: Batches | None,
        schedule: Schedule,
        callbacks: CallbackList,
        begins: Position | None = None,
        ranks: TapedRanks | None = None,
    ) -> None:
        self.begins = begins
        self.ranks = ranks
        self.model = model
        self.train = train
        self.validation = validation
        self.schedule = schedule
        self.callbacks = callbacks
        # Steps of a pass over all rows. With steps_per_epoch, an epoch may be a part of a pass.
        self.whole = math.ceil(train.length / schedule.batch_size)
        self._order: NDArray[Any] | None = None  # of the rows in this pass
        self._told_short = False
        self.progress: ProgbarLogger | None = callbacks.first(ProgbarLogger)
        self.history: History = callbacks.first(History)
        self._listens = callbacks.listens(*TRAIN_BATCH_HOOKS)  # over ranks: on any of them
        self._begun = False  # whether a step was finished
        self._step = 0  # the last one of the epoch that was begun

    @property
    def has_stepped(self) -> bool:
        """Whether any step was finished."""
        return self._begun

    def run(self) -> History:
        self.callbacks.call("on_train_begin", {})
        copies = Snapshots(self.model.copies_every(), self.model.copied_state)
        here = self._position(self.schedule.initial_epoch)
        begins = self.callbacks.begins_at(
            here, self.begins, lambda position: self.model.check_counted(position.sums)
        )

        if self.ranks is not None:
            options = self.schedule, begins.epoch, begins.step
            self.ranks.agree(self.model, options, self.train, self.validation)
            self._listens = self.ranks.any(self._listens)
            self.model.stop_training = self.ranks.any(self.model.stop_training)

        def epoch(number: int, begins: Position | None) -> Logs:
            return self._epoch(number, copies, begins)

        logs = each_epoch(self.model, self.callbacks, begins, self.schedule.epochs, epoch)
        return self._ended(logs)

    def _position(self, epoch: int, step: int = 0, sums: tuple[NDArray[Any], ...] = ()) -> Position:
        data = self.train.length, self.schedule.batch_size, self.schedule.shuffle
        return Position(epoch, step, sums, data)

    def _ended(self, logs: Logs) -> History:
        self.callbacks.call("on_train_end", logs)
        return self.history

    def _epoch(self, epoch: int, copies: Snapshots[Any], begins: Position | None) -> Logs:
        """One epoch; the first may begin in its middle."""
        first = 0 if begins is None else begins.step
        self.model.position = self._position(epoch, first, begins.sums if begins else ())
        self.callbacks.call("on_epoch_begin", epoch, {})
        self.model.reset_metrics()
        if first and begins is not None:
            sums = begins.sums if self.ranks is None else self.ranks.of_first(begins.sums)
            self.model.count_on(sums)
        logs = self._batches(epoch, copies, first, begins)
        if self.ranks is not None:
            self.model.count_on(self.ranks.counts(self.model.counted()))
            logs = self.model.logs_so_far()
            self.ranks.compare(self.model.all_variables())
        ends = epoch + 1 == self.schedule.epochs or self._stops()
        if ends and self.model.has_bad_weights():
            # The last update is followed by no loss that would show it wrong.
            self._diverge("a weight became nan or infinite", epoch, math.nan, copies)
        if self.validation is not None and self.schedule.validates(epoch):
            logs |= self._validate(epoch, copies)
        self.model.position = self._position(epoch + 1)
        end_epoch(self.callbacks, epoch, logs)
        if self.ranks is not None:
            self.model.stop_training = self.ranks.any(self.model.stop_training)
        return logs

    def _stops(self) -> bool:
        """Whether no step is to follow, on any rank."""
        stops = self.callbacks.stops()
        return stops if self.ranks is None else self.ranks.any(stops)

    def _stretch(self, epoch: int) -> Stretch:
        """The steps of an epoch among those of its pass."""
        first = (
            0 if self.begins is not None and self.begins.goes_on else self.schedule.initial_epoch
        )
        count = max(0, epoch - first)
        part = stretch_of(count, self.whole, self.schedule.steps)
        if not self._told_short and is_short(count, self.whole, self.schedule.steps):
            self._told_short = True
            warn_of_short(epoch, part, self.schedule.steps)
        return part

    def _batches(
        self, epoch: int, copies: Snapshots[Any], first: int, begins: Position | None
    ) -> Logs:
        part = self._stretch(epoch)
        if part.start == 0 or begins is not None:
            again = first > 0 or part.start > 0
            self._order = self.model.order(self.train.length, self.schedule.shuffle, again=again)
        order = self._order
        size = self.schedule.batch_size
        logs: Logs = {}
        if first == part.steps and begins is not None:  # nothing but the end of the epoch is left
            logs = self.model.logs_so_far() if begins.logs is None else dict(begins.logs)
        for step in range(first, part.steps):
            self._step = step
            begin = (part.start + step) * size
            stop = min(begin + size, self.train.length)
            copies.before_step()
            self.callbacks.call("on_train_batch_begin", step, {})
            share = None if self.ranks is None else self.ranks.part(stop - begin)
            if share is not None:
                begin, stop = begin + share.before, begin + share.before + share.own
            places = slice(begin, stop) if order is None else order[begin:stop]
            self.model.more_follows = step + 1 < part.steps
            try:
                with computing(share):
                    logs = self.model.train_on_data(data_of(self.train, places))
            finally:
                self.model.more_follows = False
            self._begun = True
            bad, mean = self._loss_of_step(logs, stop - begin)
            if bad is not None:
                copies.after_step(0.0)
                target = self.train.bad_target(places)
                self._diverge(f"the loss became {_number(bad)}", epoch, bad, copies, target)
            copies.after_step(mean)
            if self._listens:
                counted = self.model.counted()
                if self.ranks is not None:
                    counted = tuple(self.ranks.counts(counted))
                position = self._position(epoch, step + 1, counted)
                self.model.position = position._replace(logs=dict(logs))
            # Hooks get a dictionary of their own, which they may keep or change.
            self.callbacks.call("on_train_batch_end", step, dict(logs))
            if self.progress is not None:
                self.progress.update(step + 1, logs)
            if self._stops():
                if step + 1 < part.steps:
                    logs = self.model.completed(logs)
                break
        return logs

    def _loss_of_step(self, logs: Logs, rows: int) -> tuple[float | None, float]:
        """The loss of the last step where it is no finite number, and that of its batch."""
        bad = self.model.bad_loss(logs)
        mean = 0.0 if bad is not None else self.model.mean_of_step(logs)
        return (bad, mean) if self.ranks is None else self.ranks.mean_loss(bad, mean, rows)

    def _validate(self, epoch: int, copies: Snapshots[Any]) -> Logs:
        assert self.validation is not None
        size = self.schedule.validation_batch_size
        logs = evaluate(self.model, self.validation, self.callbacks, size, self.ranks)
        bad = self.model.bad_loss(logs)
        if bad is not None:
            what = f"the validation loss became {_number(bad)}"
            target = self.validation.bad_target(slice(None))
            self._diverge(what, epoch, bad, copies, target and f"in validation {target}")
        return {f"val_{name}": value for name, value in logs.items()}

    def _diverge(
        self,
        what: str,
        epoch: int,
        loss: float,
        copies: Snapshots[Any],
        bad_target: str | None = None,
    ) -> None:
        diverge(what, epoch, self._step, loss, copies, self.model, bad_target)


def diverge(
    what: str,
    epoch: int,
    step: int,
    loss: float,
    copies: Snapshots[Any],
    model: Stepping,
    bad_target: str | None = None,
) -> NoReturn:
    """Puts the last good state back, and raises TrainingDiverged."""
    back, state = copies.last_good()
    model.put_state(state)
    advice = "Try a lower learning_rate, inputs scaled to about [-1, 1], or targets of that size."
    if bad_target is not None:
        advice = (
            f"A target is no finite number: {bad_target}. Leave such rows out, or have the loss "
            f"mask them by fastnn.math.where. If it does: {advice[0].lower()}{advice[1:]}"
        )
    error: Any = _core.TrainingDiverged(
        f"{what} at epoch {epoch}, step {step} (both counted from 0). The weights are those "
        f"of {back} {'step' if back == 1 else 'steps'} earlier. {advice}"
    )
    error.epoch, error.step, error.loss = epoch, step, loss
    raise error


def data_of(batches: Batches, places: Any) -> Any:
    """The data that a step gets: Tensors of the rows at these places."""
    x, y, weights = batches.take(places)
    return pack_x_y_sample_weight(mapped(Tensor, x), mapped(Tensor, y), mapped(Tensor, weights))


def evaluate(
    model: Stepping,
    rows: Batches,
    callbacks: CallbackList,
    batch_size: int,
    ranks: TapedRanks | None = None,
) -> Logs:
    """The logs of the last batch, in which metrics have counted all rows; over `ranks` each has a part."""
    callbacks.call("on_test_begin", {})
    model.reset_metrics()
    logs: Logs = {}
    if ranks is not None and rows.length < ranks.joined.size:
        ranks = None  # each evaluates them all
    first, last = (0, rows.length) if ranks is None else ranks.joined.part_of(rows.length)
    for batch, begin in enumerate(range(first, last, batch_size)):
        callbacks.call("on_test_batch_begin", batch, {})
        places = slice(begin, min(begin + batch_size, last))
        model.more_follows = begin + batch_size < last
        try:
            logs = model.test_on_data(data_of(rows, places))
        finally:
            model.more_follows = False
        callbacks.call("on_test_batch_end", batch, dict(logs))
    if ranks is not None:
        model.count_on(ranks.counts(model.counted()))
        logs = model.logs_so_far()
    callbacks.call("on_test_end", dict(logs))
    return logs


def predict(model: Stepping, rows: Batches, callbacks: CallbackList, batch_size: int) -> Any:
    """The outputs of all rows, arrays in the structure that a step returns."""
    callbacks.call("on_predict_begin", {})
    form: Form | None = None
    found: list[list[NDArray[Any]]] = []
    for batch, begin in enumerate(range(0, rows.length, batch_size)):
        callbacks.call("on_predict_batch_begin", batch, {})
        places = slice(begin, min(begin + batch_size, rows.length))
        outputs = model.predict_on_data(data_of(rows, places))
        form = form or form_of(outputs)
        found.append([np.asarray(part) for part in form.leaves(outputs)])
        callbacks.call("on_predict_batch_end", batch, {"outputs": form.like(found[-1])})
    callbacks.call("on_predict_end", {})
    assert form is not None
    return form.like([np.concatenate(parts) for parts in zip(*found, strict=True)])


def _number(x: float) -> str:
    if math.isnan(x):
        return "nan"
    return "inf" if x > 0 else "-inf"
