"""The loops of fit, evaluate and predict over batches that a program makes as they are asked for.

A stepper makes the step of each batch, natively or over the tape (see `models.streamed`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from fastnn.callbacks.base import History
from fastnn.callbacks.listeners import TRAIN_BATCH_HOOKS, CallbackList
from fastnn.callbacks.progress import ProgbarLogger
from fastnn.console import warn
from fastnn.data.feed import Feed
from fastnn.data.structures import Form, form_of
from fastnn.protocols import Logs, Position
from fastnn.training.epochs import each_epoch, end_epoch
from fastnn.training.loops import Schedule
from fastnn.training.ranks import Joined
from fastnn.training.sharing import together


class Stepper(Protocol):
    """Trains and tests a model batch by batch; logs are those of the rows since the beginning."""

    stop_training: bool
    position: Position | None

    def begin(self, epoch: int = 0) -> None:
        """An epoch, or a pass of a test, begins."""

    def go_on(self, begins: Position) -> None:
        """Counts on from a position in the middle of an epoch that has begun."""

    def check_counted(self, begins: Position) -> None:
        """ValueError where the metrics could not count on from a position."""

    def counted(self) -> tuple[Any, ...]:
        """What the steps of the epoch have counted, for a position in its middle."""

    def train(self, batch: Any) -> Logs: ...
    def test(self, batch: Any) -> Logs: ...
    def finish(self, *, trained: bool, ends: bool) -> Logs:
        """The end of a pass: its logs. With `ends` no step follows: the weights are checked."""


class Streams(NamedTuple):
    """What a `fit` over batches trains and validates on."""

    train: Feed
    # Logs of validation, or None.
    validate: Callable[[], Logs] | None


class StreamFit:
    """One call of `fit` over batches."""

    def __init__(
        self,
        model: Any,
        stepper: Stepper,
        streams: Streams,
        schedule: Schedule,
        callbacks: CallbackList,
        begins: Position | None = None,
        ranks: Joined | None = None,
    ) -> None:
        self.begins = begins
        self.ranks = ranks
        self.model = model
        self.stepper = stepper
        self.streams = streams
        self.schedule = schedule
        self.callbacks = callbacks
        self.progress: ProgbarLogger | None = callbacks.first(ProgbarLogger)
        self.history: History = callbacks.first(History)
        self.steps = 0  # that were made

    def run(self) -> History:
        self.callbacks.call("on_train_begin", {})
        here = self._position(self.schedule.initial_epoch)
        begins = self.callbacks.begins_at(here, self.begins, self.stepper.check_counted)
        logs = each_epoch(self.model, self.callbacks, begins, self.schedule.epochs, self._epoch)
        if self.model.keeps_averages and self.steps:
            self.model.take_averages()
        self.callbacks.call("on_train_end", logs)
        return self.history

    def _position(self, epoch: int) -> Position:
        # Rows of most streams cannot be read again, so only whole epochs are gone on from.
        here = self.streams.train.position(epoch, self.schedule.shuffle)
        return here or Position(epoch, 0, (), (0, 0, self.schedule.shuffle))

    def _epoch(self, epoch: int, begins: Position | None) -> Logs:
        feed = self.streams.train
        if begins is not None and not begins.step:
            begins = None
        self.model.position = begins or self._position(epoch)
        self.callbacks.call("on_epoch_begin", epoch, {})
        feed.call("on_epoch_begin")
        self.model.position = None
        made = self._batches(feed, epoch, begins)
        if self.ranks is not None:
            feed.ran_out, stops = self.ranks.any(feed.ran_out, self.callbacks.stops())
        else:
            stops = self.callbacks.stops()
        last = epoch + 1 == self.schedule.epochs or stops or feed.ran_out
        if feed.ran_out:
            self._ran_out(feed, made)
            if not made:
                return {}
        if not made:
            raise ValueError(f"{feed.name}: expected batches, got none")
        logs = self.stepper.finish(trained=True, ends=last)
        if self.streams.validate is not None and self.schedule.validates(epoch):
            logs |= {f"val_{name}": value for name, value in self.streams.validate().items()}
        feed.call("on_epoch_end")
        self.model.position = self._position(epoch + 1)
        end_epoch(self.callbacks, epoch, logs)
        if self.ranks is not None:
            self.model.stop_training = self.ranks.any(self.model.stop_training)[0]
        return logs

    def _batches(self, feed: Feed, epoch: int, begins: Position | None) -> int:
        """The steps of an epoch; how many it has by then."""
        listens = self.callbacks.listens(*TRAIN_BATCH_HOOKS)
        here = feed.position(epoch, self.schedule.shuffle) if listens else None
        self.stepper.begin(epoch)
        step = 0
        if begins is not None:
            self.stepper.go_on(begins)
            step = begins.step
        first = step

        def stops() -> bool:
            return step > first and self.callbacks.stops()

        with feed.epoch(step) as batches:
            for batch in together(self.ranks, batches, stops):
                if listens:
                    self.callbacks.call("on_train_batch_begin", step, {})
                logs = self.stepper.train(batch)
                step += 1
                self.steps += 1
                if listens:
                    if here is not None:
                        sums = self.stepper.counted()
                        self.model.position = here._replace(step=step, sums=sums, logs=dict(logs))
                    self.callbacks.call("on_train_batch_end", step - 1, dict(logs))
                if self.progress is not None:
                    self.progress.update(step, logs)
                if self.ranks is None and self.callbacks.stops():
                    break
        return step

    def _ran_out(self, feed: Feed, made: int) -> None:
        wanted = "" if feed.steps is None else f" of the {feed.steps} of an epoch"
        warn(
            f"fit: {feed.name} ran out of data after {made} batches{wanted}, and training ends; have "
            "it make steps_per_epoch * epochs batches, or pass an object that can be read again",
            UserWarning,
            entry="fit",
        )
        self.model.stop_training = True


def evaluate(stepper: Stepper, feed: Feed, callbacks: CallbackList, doing: str) -> Logs:
    """Loss and metrics over the batches of a feed."""
    callbacks.call("on_test_begin", {})
    stepper.begin()
    made = 0
    with feed.epoch() as batches:
        for batch in batches:
            callbacks.call("on_test_batch_begin", made, {})
            logs = stepper.test(batch)
            callbacks.call("on_test_batch_end", made, dict(logs))
            made += 1
    if feed.ran_out or not made:
        if not made:
            raise ValueError(f"{doing}: {feed.name}: expected batches, got none")
        warn(
            f"{doing}: {feed.name} ran out of data after {made} of {feed.steps} batches",
            UserWarning,
            entry="fit" if doing == "fit" else doing,
        )
    logs = stepper.finish(trained=False, ends=False)
    callbacks.call("on_test_end", dict(logs))
    return logs


def predict(predict_on: Callable[[Any], Any], feed: Feed, callbacks: CallbackList) -> Any:
    """The outputs of all batches, in the structure that the model gives."""
    callbacks.call("on_predict_begin", {})
    form: Form | None = None
    found: list[list[Any]] = []
    with feed.epoch() as batches:
        for step, batch in enumerate(batches):
            callbacks.call("on_predict_batch_begin", step, {})
            outputs = predict_on(batch)
            form = form or form_of(outputs)
            found.append([np.asarray(part) for part in form.leaves(outputs)])
            callbacks.call("on_predict_batch_end", step, {"outputs": outputs})
    if form is None:
        raise ValueError(f"predict: {feed.name}: expected batches, got none")
    if feed.ran_out:
        warn(
            f"predict: {feed.name} ran out of data after {len(found)} of {feed.steps} batches",
            UserWarning,
            entry="predict",
        )
    callbacks.call("on_predict_end", {})
    return form.like([np.concatenate(parts) for parts in zip(*found, strict=True)])
