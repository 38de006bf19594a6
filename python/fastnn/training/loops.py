"""The loops of fit, evaluate and predict: each native call does as many epochs or steps as it can.

One native call runs as many epochs as pass without a listening callback. Words and arrays are
already checked (see `models.trainer`, its bases and `data`); no arithmetic is done here.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Container, Iterable
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.callbacks.base import Callback, History
from fastnn.callbacks.listeners import (
    EPOCH_HOOKS,
    TEST_BATCH_HOOKS,
    TEST_HOOKS,
    TRAIN_BATCH_HOOKS,
    CallbackList,
)
from fastnn.callbacks.progress import ProgbarLogger
from fastnn.data.table import Table
from fastnn.protocols import Columns, Logs, Place, Position, Trainable
from fastnn.training.calls import Call, Calls, alone
from fastnn.training.epochs import end_epoch, ends_on_nan
from fastnn.training.passes import evaluate
from fastnn.training.ranks import Joined, digest_of
from fastnn.training.seen import SeenRows, room, seen_in, some_rows
from fastnn.training.sharing import agree_on
from fastnn.training.stretches import Stretch, is_short, stretch_of, warn_of_short
from fastnn.words import within

Sums = NDArray[np.float64]
Watching = list[tuple[Callback, dict[str, Any]]]

# Epochs of one native call, which keeps the sums of each: a few megabytes.
_AT_ONCE = 100_000
# Learning rates of one native call: another few megabytes.
_MOST_RATES = 1_000_000


class _Stopped(Exception):
    """Ends a native call: the model was asked to stop from another thread."""


class Schedule(NamedTuple):
    """Epochs, batches and validation of one `fit`."""

    batch_size: int
    epochs: int
    initial_epoch: int
    shuffle: bool
    validation_freq: int | Container[int]
    validation_batch_size: int
    steps: int | None = None  # of an epoch; None: as many as there are batches
    free: bool = False  # whether batch_size is what makes `steps` batches of the rows
    validation_steps: int | None = None  # None: all

    def of_rows(self, count: int) -> Schedule:
        """The same for so many rows to train on."""
        if self.steps is None or not self.free:
            return self
        return self._replace(batch_size=max(1, -(-count // self.steps)))

    def steps_of(self, count: int) -> int:
        """The steps of an epoch that begins a pass over so many rows."""
        return stretch_of(0, -(-count // self.batch_size), self.steps).steps

    def validated(self, count: int) -> int:
        """How many of so many rows are validated on, the first ones."""
        if self.validation_steps is None:
            return count
        return min(count, self.validation_steps * self.validation_batch_size)

    def validates(self, epoch: int) -> bool:
        if isinstance(self.validation_freq, int):
            return (epoch + 1) % self.validation_freq == 0
        return epoch + 1 in self.validation_freq

    def validates_at_all(self) -> bool:
        """Whether any epoch is followed by validation; True where that cannot be told."""
        if isinstance(self.validation_freq, int):
            return self.epochs // self.validation_freq > self.initial_epoch // self.validation_freq
        if not isinstance(self.validation_freq, Iterable):
            return True
        return any(
            isinstance(epoch, Real) and self.initial_epoch < float(epoch) <= self.epochs
            for epoch in self.validation_freq
        )

    def validates_always(self) -> bool:
        return isinstance(self.validation_freq, int) and self.validation_freq == 1


class Fit:
    """One call of `fit` on checked data."""

    def __init__(
        self,
        model: Trainable,
        table: Table,
        validation: Table | None,
        schedule: Schedule,
        callbacks: CallbackList,
        begins: Position | None = None,
        ranks: Joined | None = None,
    ) -> None:
        self.begins = begins
        self.ranks = ranks
        self.model = model
        self.table = table
        self.train = train = table.native()
        self.validation = validation
        self.validation_data = None if validation is None else validation.native()
        self.schedule = schedule
        self.callbacks = callbacks
        # Steps of a pass over all rows. With steps_per_epoch, an epoch may be a part of a pass.
        self.rows = len(train) if ranks is None else ranks.total
        self.whole = math.ceil(self.rows / schedule.batch_size)
        self._told_short = False
        self.progress: ProgbarLogger | None = callbacks.first(ProgbarLogger)
        self.history: History = callbacks.first(History)
        # Logits of the rows of an epoch and of validation, where metrics want them.
        self._logits: NDArray[Any] | None = None
        self._validation_logits: NDArray[Any] | None = None
        # Which hooks are listened to, on any rank: all make the same native calls.
        self._by_batch = callbacks.listens(*TRAIN_BATCH_HOOKS)
        self._watches = callbacks.listens(*TEST_HOOKS, *TEST_BATCH_HOOKS)

    @property
    def columns(self) -> Columns:
        """Names of loss and metrics, final once the model is built."""
        return self.model.columns

    @property
    def network(self) -> _core.Network:
        """The native network, which a model has from the time that it is built."""
        return self.model.network

    def check(self, network: _core.Network) -> None:
        """Natively checks all values before any step runs."""
        self._check_values(network, self.table, self.train)
        self._check_weight(network, "fit", self.train)
        if self.validation is None or self.validation_data is None:
            return
        given = self.validation.chosen is None  # else validation_split holds out rows of x
        with within("validation_data") if given else contextlib.nullcontext():
            self._check_values(network, self.validation, self.validation_data)
        name = "validation_data" if given else "validation_split: in the rows held out"
        self._check_weight(network, name, self.validation_data)

    def _check_values(self, network: _core.Network, table: Table, data: _core.Data) -> None:
        # A split of the rows of all ranks may leave a shard none.
        if self.ranks is None or table.chosen is None or table.length:
            network.check(data)

    def _check_weight(self, network: _core.Network, name: str, data: _core.Data) -> None:
        """ValueError where nothing counts, on any rank."""
        total = 0.0
        if self.ranks is not None and self.ranks.shards:
            own = network.data_check().weight(data) if len(data) else 0.0
            total = float(self.ranks.exchange.sum(np.array([own]))[0])
        if not total > 0:
            network.check_weight_of(name, data)

    def run(self) -> Calls[History]:
        """Trains; the caller makes the native calls that it yields."""
        if self.columns.has_functions:
            size = self.schedule.batch_size
            seen = some_rows(self.network, self.table, self.columns.outputs, size)
            self.columns.try_functions(seen)
        with self._native_run(fresh=True) as run:
            return (yield from self._run(run))

    def _run(self, run: _core.Run) -> Calls[History]:
        before = self.network.updates
        self.callbacks.call("on_train_begin", {})
        begins = self._begins()
        if self.ranks is not None:
            self._agree(self.ranks, begins)
        if len(self.callbacks.callbacks) > 1:  # a History changes none
            self._see_labels()
        epochs = range(begins.epoch, self.schedule.epochs)
        logs: Logs = {}
        with ends_on_nan(self.callbacks):
            logs = yield from self._trained(run, epochs, begins)
        went_on = self.begins is not None and self.begins.goes_on
        if self.model.keeps_averages and (went_on or self.network.updates != before):
            self.model.take_averages()
        self.callbacks.call("on_train_end", logs)
        return self.history

    def _trained(self, run: _core.Run, epochs: range, begins: Position) -> Calls[Logs]:
        """All epochs; the logs of the last one."""
        logs: Logs = {}
        if begins.step and epochs:
            logs = yield from self._by_epoch(run, epochs[:1], begins)
            epochs = epochs[1:]
        # on_train_begin may have asked to stop; as in Keras, one epoch runs before the stop.
        # Ranks stop together, which is asked after each epoch.
        watching = None if self.ranks is not None else self._watching()
        if epochs and watching is not None and not self.model.stop_training:
            logs = yield from self._all_at_once(run, epochs, watching)
        elif not (begins.step and self.model.stop_training):
            logs = (yield from self._by_epoch(run, epochs)) or logs
        return logs

    def _by_epoch(
        self, run: _core.Run, epochs: range, begins: Position | None = None
    ) -> Calls[Logs]:
        """Epochs one by one, until one is the last; the first may begin in its middle."""
        logs: Logs = {}
        try:
            for epoch in epochs:
                first = begins if epoch == epochs.start else None
                logs = yield from self._epoch(run, epoch, first)
                if self._any(self.model.stop_training):
                    self.model.stop_training = True
                    break
        finally:
            self.model.position = None
        return logs

    def _any(self, flag: bool) -> bool:
        """Whether it is so on any rank."""
        return flag if self.ranks is None else self.ranks.any(flag)[0]

    def _agree(self, ranks: Joined, begins: Position) -> None:
        """ValueError where the ranks would not train the same model in the same way."""
        rows: dict[str, bytes] = {}
        if not ranks.shards:
            rows["rows"] = digest_of(self.table)
            if self.validation is not None:
                rows["rows of validation"] = digest_of(self.validation)
        agree_on(ranks, self.model, (self.schedule, begins.epoch, begins.step), rows)
        self._by_batch, self._watches, stops = ranks.any(
            self._by_batch, self._watches, self.model.stop_training
        )
        if ranks.average_every > 1 and (self._by_batch or begins.step):
            raise ValueError(
                "average_every: not with callbacks that act after a batch (on_train_batch hooks, save_freq "
                "of steps): ranks have weights of their own until the next average"
            )
        if stops:
            self.model.stop_training = True

    def step(self) -> Logs:
        """One step on the first batch; it counts as no epoch."""
        with self._native_run(fresh=False, streams_in=True) as run:
            self._make_room()
            sums = self._advance(run, first_step=0, steps=1)[0]
            whole = Stretch(0, self.whole, self.whole)
            return self._logs(sums, self._seen(self.network.epochs, whole, shuffled=False))

    def _stretch(self, epoch: int) -> Stretch:
        """The steps of an epoch among those of its pass."""
        return stretch_of(self._count(epoch), self.whole, self.schedule.steps)

    def _count(self, epoch: int) -> int:
        """How many epochs there were before, since one began a pass."""
        first = (
            0 if self.begins is not None and self.begins.goes_on else self.schedule.initial_epoch
        )
        return max(0, epoch - first)

    def _native_run(self, **how: Any) -> _core.Run:
        return self.network.run(
            self.train,
            batch_size=self.schedule.batch_size,
            validation=self.validation_data,
            shuffle=self.schedule.shuffle,
            **({} if self.ranks is None else self.ranks.run_options()),
            **how,
        )

    def _watching(self) -> Watching | None:
        """Callbacks with rules that native code follows; None: a callback, a metric of all rows, or
        the schedule of validation acts between epochs."""
        if self.columns.collects or not self._stretch(0).is_whole:
            return None
        hooks = [*EPOCH_HOOKS, *TRAIN_BATCH_HOOKS]
        if self.validation is not None:
            if not self.schedule.validates_always():
                return None
            hooks += [*TEST_HOOKS, *TEST_BATCH_HOOKS]
        return self.callbacks.watching(self._place, *hooks)

    def _place(self, key: str, output: int | None = None) -> Place | None:
        """The place of a value of the logs among the sums of an epoch (see `Columns.place`)."""
        if not key.startswith("val_") or key in self.columns.names:
            return self.columns.place(key, output)
        found = self.columns.place(key.removeprefix("val_"), output)
        if found is None or self.validation is None:
            return None
        width = self.columns.width
        return Place(width + found.numerator, found.root, width + found.denominator)

    def _see_labels(self) -> None:
        """Takes labels that a callback has changed; ValueError where they cannot be taken.

        Changes of x and targets are seen without this: native code reads them in place.
        """
        changed = self.table.copy_labels()
        # A table of held-out rows has the labels of the table that it is a part of.
        if self.validation is not None and self.validation.labels is not self.table.labels:
            with within("validation_data"):
                changed = self.validation.copy_labels() or changed
        if changed:
            self.check(self.network)

    def _make_room(self) -> None:
        if not self.columns.collects:
            return
        outputs = self.columns.outputs
        self._logits = room(self.network, len(self.train), outputs)
        if self.validation_data is not None:
            self._validation_logits = room(self.network, len(self.validation_data), outputs)

    def _seen(self, epoch: int, part: Stretch, *, shuffled: bool) -> SeenRows | None:
        """The rows of some steps of a pass, by its number in the life of the model."""
        if self._logits is None:
            return None
        size = self.schedule.batch_size
        rows = slice(part.start * size, min(part.stop * size, len(self._logits)))
        logits = self._joint(self._logits)
        return seen_in(self.network, self.table, logits, epoch, shuffled, rows, size)

    def _joint(self, logits: NDArray[Any]) -> NDArray[Any]:
        """Logits of rows of all ranks, of which each has its own, and zeros in place of the others'."""
        return logits if self.ranks is None else self.ranks.joint(logits)

    def _seen_in_validation(self) -> SeenRows | None:
        if self._validation_logits is None or self.validation is None:
            return None
        size = self.schedule.validation_batch_size
        return SeenRows(self.validation, self._joint(self._validation_logits), sizes=size)

    def _advance(self, run: _core.Run, **how: Any) -> Sums:
        return alone(self._advancing(run, **how))

    def _advancing(
        self, run: _core.Run, *, looks: Callable[[], None] | None = None, **how: Any
    ) -> Calls[Sums]:
        if self._logits is not None:
            how["logits"] = self._logits
            if how.get("validates", False):
                how["validation_logits"] = self._validation_logits
        optimizer = self.model.optimizer
        before = self.network.steps
        rates = optimizer.rates(how.get("steps", self.whole) * how.get("epochs", 1))
        try:
            how |= {"optimizer": optimizer.settings(), "rates": rates}
            return (yield Call(run, how, looks))
        finally:
            # A divergence takes steps back, which may be more than were counted since it was set.
            made = self.network.steps - before
            optimizer.taken = max(0, optimizer.taken + made)

    def _logs(self, sums: Sums, seen: SeenRows | None = None) -> Logs:
        columns = self.columns
        width = columns.width
        logs = columns.logs(sums[:width], seen=seen)
        if len(sums) > width:
            logs |= columns.logs(sums[width:], "val_", self._seen_in_validation())
        return logs

    def _values_of_epochs(self, sums: Sums) -> dict[str, list[Any]]:
        """What the logs of epochs hold, by name, without metrics that want all rows."""
        columns = self.columns
        width = columns.width
        values = columns.values_of_epochs(sums[:, :width])
        if sums.shape[1] > width:
            values |= columns.values_of_epochs(sums[:, width:], "val_")
        return values

    def _all_at_once(self, run: _core.Run, epochs: range, watching: Watching | None) -> Calls[Logs]:
        """All epochs, in as few native calls as can be."""
        self._tell_short(epochs.start)
        most = _AT_ONCE
        if self.model.optimizer.schedule is not None:  # a rate for each step
            most = max(1, min(most, _MOST_RATES // self.whole))
        first, last = epochs.start, Logs()
        while first < epochs.stop and not self.model.stop_training:
            watching = watching or self._watching() or []
            rules = [rule for _, rule in watching]
            how: dict[str, Any] = {"progress": self._looks}
            if rules:
                seconds = [rule["seconds"] for rule in rules if "seconds" in rule]
                how["seconds"] = min(seconds, default=None)
                how["watches"] = [rule for rule in rules if "seconds" not in rule]
            try:
                yield from self._advancing(
                    run,
                    looks=self._looks,
                    epochs=min(epochs.stop - first, most),
                    first_epoch=first,
                    validates=self.validation is not None,
                    **how,
                )
            except _Stopped:
                pass
            finally:  # also after Ctrl-C or divergence in a later epoch
                sums = run.take_finished()
                values = self._values_of_epochs(sums)
                if watching:
                    rows = zip(*values.values(), strict=True)
                    logs = [dict(zip(values, row, strict=True)) for row in rows]
                    self._replay(run, watching, first, logs)  # which may add to them
                    names = logs[0] if logs else ()
                    values = {name: [row[name] for row in logs] for name in names}
                self.history.extend(first, len(sums), values)
            first += len(sums)
            watching = None  # whose rules have gone on
            last = {name: of_epochs[-1] for name, of_epochs in values.items()}
        return last

    def _looks(self, *_: object) -> None:
        """Called by native code about every 0.1 s, between steps."""
        if self.model.stop_training:
            raise _Stopped

    def _replay(
        self,
        run: _core.Run,
        watching: Watching,
        first: int,
        logs: list[Logs],
    ) -> None:
        """Lets callbacks go through the epochs of a native call that has ended."""
        watch = 0
        for callback, rule in watching:
            if "seconds" in rule:
                callback.replay(first, logs, self.model.get_weights)
            else:
                callback.replay(first, logs, _best(self.model, run, watch))
                watch += 1

    def _begins(self) -> Position:
        """Where training begins."""
        here = self._position(self.schedule.initial_epoch)
        self._make_room()
        return self.callbacks.begins_at(here, self.begins, self._check_sums)

    def _check_sums(self, begins: Position) -> None:
        expected: list[tuple[int, ...]] = [(self.columns.width,)]
        if self._logits is not None:
            size, first = self.schedule.batch_size, self._stretch(begins.epoch).start
            rows = min((first + begins.step) * size, len(self._logits)) - first * size
            expected.append((rows, self.columns.outputs))
        if [sums.shape for sums in begins.sums] != expected:
            raise ValueError(
                "fit: the metrics are not those of the state that training goes on from"
            )

    def _position(self, epoch: int, step: int = 0, sums: Sums | None = None) -> Position:
        data = self.rows, self.schedule.batch_size, self.schedule.shuffle
        counted: tuple[NDArray[Any], ...] = () if sums is None else (sums,)
        if sums is not None and self._logits is not None:
            size, first = self.schedule.batch_size, self._stretch(epoch).start
            counted += (self._joint(self._logits[first * size : (first + step) * size].copy()),)
        return Position(epoch, step, counted, data)

    def _epoch(self, run: _core.Run, epoch: int, begins: Position | None) -> Calls[Logs]:
        """One epoch; the first may begin in its middle."""
        first = 0 if begins is None else begins.step
        part = self._stretch(epoch)
        self._tell_short(epoch)
        self.model.position = self._position(epoch, first)
        if begins is not None:
            self.model.position = self.model.position._replace(sums=begins.sums)
        self.callbacks.call("on_epoch_begin", epoch, {})
        self._see_labels()
        validates = self.validation is not None and self.schedule.validates(epoch)
        by_batch = first > 0 or self._by_batch
        # Validation runs in the same native call unless hooks come between.
        together = validates and not by_batch and not self._watches
        number = self.network.epochs  # in the life of the model
        for logits in (self._logits, self._validation_logits):
            if logits is not None and self.ranks is not None:
                logits.fill(0)
        if by_batch:
            if first and begins is not None:
                run.go_on(part.start + first, begins.sums[0])
                if self._logits is not None and (self.ranks is None or self.ranks.is_first):
                    place = part.start * self.schedule.batch_size
                    self._logits[place : place + len(begins.sums[1])] = begins.sums[1]
            elif part.start:
                run.go_on(part.start, np.zeros(self.columns.width))  # sums of its own
            logs = self._batches(run, epoch, first, part)
        else:
            show = self.progress is not None and self.progress.live
            how: dict[str, Any] = {"progress": self._shows(part.start)} if show else {}
            if not part.is_whole:
                how |= {"first_step": part.start, "steps": part.steps, "ends": self._is_last(epoch)}
                run.go_on(part.start, np.zeros(self.columns.width))
            left, before = self.callbacks.time_left(), self.network.steps
            if left is not None:
                how["seconds"] = max(left, 0.0)
            how |= {"first_epoch": epoch, "validates": together}
            sums = yield from self._advancing(run, **how)
            if part.ends_pass and not part.is_whole:
                self.network.epochs += 1
            if left is not None:  # the time may have been over before all steps were made
                part = part._replace(stop=part.start + self.network.steps - before)
            logs = self._logs(sums[0], self._seen(number, part, shuffled=self.schedule.shuffle))
        if validates and not together:
            logs |= self._validate(run, epoch)
        self.model.position = self._position(epoch + 1)
        end_epoch(self.callbacks, epoch, logs)
        return logs

    def _is_last(self, epoch: int) -> bool:
        return epoch + 1 == self.schedule.epochs

    def _tell_short(self, epoch: int) -> None:
        """Says once that the rows end before an epoch has its steps, as Keras does."""
        count = self._count(epoch)
        if self._told_short or not is_short(count, self.whole, self.schedule.steps):
            return
        self._told_short = True
        warn_of_short(epoch, self._stretch(epoch), self.schedule.steps)

    def _shows(self, first: int) -> Callable[[int, int, Sums], None]:
        """Shows the progress; called by native code about every 0.1 s."""

        def show(_epoch: int, steps: int, sums: Sums) -> None:
            if self.progress is not None:
                logs = self.columns.logs(sums[: self.columns.width])
                self.progress.update(steps - first, logs)

        return show

    def _batches(self, run: _core.Run, epoch: int, first: int, part: Stretch) -> Logs:
        logs: Logs = {}
        done, number = first, self.network.epochs
        if first == part.steps and self.model.position is not None:  # nothing but its end is left
            sums = self.model.position.sums[0]
            logs = self.columns.logs(sums)
        try:
            for step in range(first, part.steps):
                self.callbacks.call("on_train_batch_begin", step, {})
                # Native sums go on from step to step, as they do where no hook looks.
                ends = self._is_last(epoch) and step + 1 == part.steps
                how = {"first_step": part.start + step, "steps": 1, "ends": ends}
                sums = self._advance(run, first_epoch=epoch, **how)[0]
                logs = self.columns.logs(sums)
                done = step + 1
                self.model.position = self._position(epoch, done, sums)
                # Hooks get a dictionary of their own, which they may keep or change.
                self.callbacks.call("on_train_batch_end", step, dict(logs))
                if self.progress is not None:
                    self.progress.update(step + 1, logs)
                if self._any(self.callbacks.stops()):
                    # No loss follows that would show the last update to be wrong.
                    if step + 1 < part.steps:
                        how = {"first_step": part.start + step + 1, "steps": 0, "ends": True}
                        self._advance(run, first_epoch=epoch, **how)
                    break
        finally:
            # Native calls for a part of a pass do not count the pass.
            self.network.epochs += part.ends_pass
        if self._logits is not None and done:
            some = part._replace(stop=part.start + done)
            seen = self._seen(number, some, shuffled=self.schedule.shuffle)
            logs = self.columns.logs(sums, seen=seen)
        return logs

    def _validate(self, run: _core.Run, epoch: int) -> Logs:
        assert self.validation is not None
        stop = self._stretch(epoch).stop
        if self.ranks is not None:  # hooks of batches have nothing to see: each rank has a part
            self.callbacks.call("on_test_begin", {})
            how = {"first_step": stop, "steps": 0, "validates": True}
            sums = self._advance(run, first_epoch=epoch, **how)[0][self.columns.width :]
            logs = self.columns.logs(sums, seen=self._seen_in_validation())
            self.callbacks.call("on_test_end", dict(logs))
            return {f"val_{name}": value for name, value in logs.items()}
        size = self.schedule.validation_batch_size
        logs = evaluate(self.network, self.columns, self.validation, self.callbacks, size)
        if math.isinf(logs["loss"]) or math.isnan(logs["loss"]):  # raises TrainingDiverged
            self._advance(run, first_epoch=epoch, first_step=stop, steps=0, validates=True)
        return {f"val_{name}": value for name, value in logs.items()}


def _best(model: Trainable, run: _core.Run, watch: int) -> Callable[[], list[NDArray[Any]]]:
    """Gives the weights that a watch of the last call kept, or the present ones: those of its end."""

    @functools.cache
    def weights() -> list[NDArray[Any]]:
        kept = run.best(watch)
        return model.get_weights() if kept is None else model.weights_from(kept)

    return weights
