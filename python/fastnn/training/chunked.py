"""The loops of fit, evaluate and predict over windows of data larger than memory.

A window is a table, on which each native call makes as many steps as no callback looks into. What
windows are is decided in `data.windows`; their tables are made and checked in `models.chunked`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.callbacks.base import History
from fastnn.callbacks.listeners import TRAIN_BATCH_HOOKS, CallbackList
from fastnn.callbacks.progress import ProgbarLogger
from fastnn.console import warn
from fastnn.data.table import Table
from fastnn.protocols import Logs, Position, Trainable
from fastnn.training.epochs import each_epoch, end_epoch
from fastnn.training.loops import Schedule
from fastnn.training.ranks import Joined, digest_of
from fastnn.training.seen import joined, room, taken
from fastnn.training.sharing import agree_on, lot_of
from fastnn.training.stretches import stretch_of, warn_of_short

Array = NDArray[Any]
Sums = NDArray[np.float64]


class Ready(NamedTuple):
    """A window that is checked: the table of its rows, and its steps in the pass."""

    table: Table
    data: _core.Data
    step: int  # the first
    steps: int

    @property
    def stop(self) -> int:
        return self.step + self.steps


class Passes(Protocol):
    """What a `fit` trains on."""

    name: str

    @property
    def length(self) -> int | None:
        """Rows of a pass, where that is known."""

    @property
    def layout(self) -> str:
        """What tells it apart from data in other windows."""

    @property
    def none(self) -> Table:
        """A table of rows like these, none of which counts."""

    def windows(self, number: int, first_step: int) -> AbstractContextManager[Iterator[Ready]]:
        """The windows of a pass by its number in the life of the model, from that of a step on."""


class _Pass:
    """A pass that is under way.

    Over ranks all of them read the same windows, or each has its own, of shards. Then they make as
    many steps at a time as all have rows for; one that has no more makes steps without rows.
    """

    def __init__(
        self,
        model: Trainable,
        windows: Iterator[Ready],
        step: int,
        ranks: Joined | None,
        none: Table,
    ) -> None:
        self._model = model
        self._none = none
        self._windows = windows
        self._ranks = ranks
        self._stack = ExitStack()
        self._window: Ready | None = None
        self._over = False  # this rank has no more rows
        self._lot: Ready | None = None  # the part of the window in which ranks make steps together
        self.run: Any = None
        self.logits: Array | None = None
        self.step = step  # that comes next

    def window(self, size: int, **how: Any) -> Ready | None:
        """The window of the next step, with its run; None: the pass is over."""
        if self._ranks is None or not self._ranks.shards:
            return self._own(size, how)
        if self._lot is not None and self.step < self._lot.stop:
            return self._lot
        self._lot = None
        own = self._own(size, how)
        left = last = 0
        if own is not None:
            left, last = own.stop - self.step, own.table.length - (own.steps - 1) * size
        lot = lot_of(self._ranks, left, size, last)
        if lot is None:
            self.close()
            return None
        if own is None:
            own = self._without_rows(size, how)
        first = self.step - own.step
        self.run.bring(first, lot.before, lot.rows)
        self._lot = own._replace(steps=first + lot.steps)
        return self._lot

    def _own(self, size: int, how: dict[str, Any]) -> Ready | None:
        """The window of this rank, with its run; None: it has no more rows."""
        if self._over or (self._window is not None and self.step < self._window.stop):
            return None if self._over else self._window
        while self._window is None or self.step >= self._window.stop:
            self.close()
            self._window = next(self._windows, None)
            if self._window is None:
                break
        if self._ranks is not None and not self._ranks.shards:
            told = b"" if self._window is None else digest_of(self._window.table)
            self._ranks.agree({"rows": told})
        if self._window is None:
            self._over = True
            return None
        self._begin(self._window, size, how)
        columns = self._model.columns
        if columns.collects:
            self.logits = room(self._model.network, self._window.table.length, columns.outputs)
            if self._ranks is not None:
                self.logits.fill(0)
        return self._window

    def _without_rows(self, size: int, how: dict[str, Any]) -> Ready:
        if self._window is None:
            self._window = Ready(self._none, self._none.native(), self.step, 0)
            self._begin(self._window, size, how)
        return self._window

    def _begin(self, window: Ready, size: int, how: dict[str, Any]) -> None:
        if self._ranks is not None:
            how = {**how, "exchange": self._ranks.exchange, "total": window.table.length}
        run = self._model.network.run(
            window.data, batch_size=size, shuffle=False, streams_in=True, **how
        )
        self.run = self._stack.enter_context(run)

    def close(self) -> None:
        """Lets go of the window."""
        self._window = self._lot = self.run = self.logits = None
        self._stack.close()


class ChunkFit:
    """One call of `fit` over windows.

    Args:
        validate: gives logs of validation; None: there is none.
        row_weight: what a row weighs on average; None: 1.
        ranks: that train together; None: this process trains alone.
        size: rows of a step that this rank brings where ranks have shards; None: the batch_size.
        whole: steps of a pass; None: not known.
    """

    def __init__(
        self,
        model: Trainable,
        passes: Passes,
        validate: Callable[[], Logs] | None,
        schedule: Schedule,
        callbacks: CallbackList,
        begins: Position | None = None,
        row_weight: float | None = None,
        ranks: Joined | None = None,
        size: int | None = None,
        whole: int | None = None,
    ) -> None:
        self.model = model
        self.passes = passes
        self.validate = validate
        self.schedule = schedule
        self.callbacks = callbacks
        self.begins = begins
        self.row_weight = row_weight
        self.ranks = ranks
        self.size = schedule.batch_size if size is None else size
        self.whole = whole  # steps of a pass, where that is known
        self._by_batch_hooks = callbacks.listens(*TRAIN_BATCH_HOOKS)
        self.progress: ProgbarLogger | None = callbacks.first(ProgbarLogger)
        self.history: History = callbacks.first(History)
        self._pass: _Pass | None = None
        self._stack = ExitStack()
        self._fresh = True
        self._passed = 0  # steps of the pass before the epoch
        self._told_short = False
        self._seen: list[tuple[Table, Array]] = []

    def run(self) -> History:
        network = self.model.network
        before = network.updates
        self.callbacks.call("on_train_begin", {})
        here = self._position(self.schedule.initial_epoch, 0, None)
        begins = self.callbacks.begins_at(here, self.begins, self._check_sums)
        if self.ranks is not None:
            self._agree(self.ranks, begins)
        self._passed = begins.passed
        try:
            logs = each_epoch(self.model, self.callbacks, begins, self.schedule.epochs, self._epoch)
        finally:
            self._end_pass()
        went_on = self.begins is not None and self.begins.goes_on
        if self.model.keeps_averages and (went_on or network.updates != before):
            self.model.take_averages()
        self.callbacks.call("on_train_end", logs)
        return self.history

    def _agree(self, ranks: Joined, begins: Position) -> None:
        options = self.schedule, begins.epoch, begins.step, begins.passed, self.validate is None
        agree_on(ranks, self.model, options, {})
        self._by_batch_hooks, stops = ranks.any(self._by_batch_hooks, self.model.stop_training)
        self.model.stop_training = stops

    def _any(self, flag: bool) -> bool:
        """Whether it is so on any rank."""
        return flag if self.ranks is None else self.ranks.any(flag)[0]

    # -- where training is

    def _position(self, epoch: int, step: int, sums: Sums | None) -> Position:
        data = self.passes.length or 0, self.schedule.batch_size, self.schedule.shuffle
        counted: tuple[Array, ...] = () if sums is None else (sums,)
        if sums is not None and self._seen:
            seen = joined(self._seen, self.schedule.batch_size)
            counted += (seen.logits, seen.targets())
            weights = seen.weights()
            counted += () if weights is None else (weights,)
        passed = self._passed if self.whole is None else 0
        return Position(epoch, step, counted, data, layout=self.passes.layout, passed=passed)

    def _check_sums(self, begins: Position) -> None:
        columns = self.model.columns
        first, *more = begins.sums
        fits = first.shape == (columns.width,) and bool(more) == columns.collects
        if more:
            fits = fits and more[0].ndim == 2 and more[0].shape[1] == columns.outputs
            fits = fits and len({len(part) for part in more}) == 1 and len(more) in (2, 3)
        if not fits:
            raise ValueError(
                "fit: the metrics are not those of the state that training goes on from"
            )

    def _first_of(self, epoch: int) -> int:
        """The step of its pass with which an epoch begins, where no pass is under way."""
        if self.schedule.steps is None or self.whole is None:
            return self._passed
        goes_on = self.begins is not None and self.begins.goes_on
        count = max(0, epoch - (0 if goes_on else self.schedule.initial_epoch))
        return stretch_of(count, self.whole, self.schedule.steps).start

    # -- passes

    def _begin_pass(self, step: int) -> _Pass:
        windows = self.passes.windows(self.model.network.epochs, step)
        under_way = self._stack.enter_context(windows)
        self._pass = _Pass(self.model, under_way, step, self.ranks, self.passes.none)
        self._stack.callback(self._pass.close)
        return self._pass

    def _end_pass(self) -> None:
        self._pass = None
        self._stack.close()

    def _window(self, under_way: _Pass) -> Ready | None:
        # As for arrays, a batch is no larger than all of the data.
        size = min(self.size, self.passes.length or self.size)
        return under_way.window(size, fresh=self._fresh, row_weight=self.row_weight)

    # -- an epoch

    def _epoch(self, epoch: int, begins: Position | None) -> Logs:
        """One epoch; the first may begin in its middle."""
        first = 0 if begins is None else begins.step
        sums = np.zeros(self.model.columns.width)
        self._seen = []
        if begins is not None and first:
            sums = begins.sums[0].copy()
            if len(begins.sums) > 1:
                self._seen = [(_table_of(begins.sums), begins.sums[1])]
        self.model.position = self._position(epoch, first, sums if first else None)
        self.callbacks.call("on_epoch_begin", epoch, {})
        done, sums = self._steps(epoch, first, sums)
        if not done:
            return {}
        seen = joined(self._seen, self.schedule.batch_size) if self._seen else None
        logs = self.model.columns.logs(sums, seen=seen)
        if self.validate is not None and self.schedule.validates(epoch):
            logs |= {f"val_{name}": value for name, value in self.validate().items()}
        self._seen = []
        self._passed = 0 if self._pass is None else self._pass.step
        self.model.position = self._position(epoch + 1, 0, None)
        end_epoch(self.callbacks, epoch, logs)
        self.model.stop_training = self._any(self.model.stop_training)
        return logs

    def _steps(self, epoch: int, first: int, sums: Sums) -> tuple[int, Sums]:
        """The steps of an epoch from `first` on; how many it has by then, and their sums."""
        under_way = self._pass
        if under_way is None:
            under_way = self._begin_pass(self._first_of(epoch) + first)
        begin = under_way.step - first  # the step of the pass with which the epoch begins
        end = None if self.schedule.steps is None else begin + self.schedule.steps
        over = stopped = False
        try:
            while end is None or under_way.step < end:
                window = self._window(under_way)
                if window is None:
                    over = True
                    break
                stop = window.stop if end is None else min(window.stop, end)
                advance = self._by_batch if self._by_batch_hooks else self._at_once
                sums = advance(under_way, window, (epoch, begin, stop), sums)
                del window
                if self._any(self.callbacks.stops()):
                    stopped = True
                    break
            if not over and not stopped:
                over = self._window(under_way) is None
            done = under_way.step - begin
        finally:
            self._count_pass(over=over, begun=under_way.step > begin)
        if over:
            self._tell(epoch, done, end)
        return done, sums

    def _count_pass(self, *, over: bool, begun: bool) -> None:
        """Ends a pass that is over, or that its epoch does not go on with."""
        if over or self.schedule.steps is None:
            self._end_pass()
            self.model.network.epochs += begun

    def _tell(self, epoch: int, done: int, end: int | None) -> None:
        """Says what is amiss where a pass ended in an epoch of so many steps."""
        if not done and self.passes.length is None and epoch > self.schedule.initial_epoch:
            warn(
                f"fit: {self.passes.name} ran out of data, and training ends; chunks that can be read "
                "once make one pass",
                UserWarning,
                entry="fit",
            )
            self.model.stop_training = True
        elif not done:
            raise ValueError(f"{self.passes.name}: expected rows, got none")
        elif end is not None and not self._told_short and done < (self.schedule.steps or 0):
            self._told_short = True
            whole = done if self.whole is None else self.whole
            warn_of_short(
                epoch, stretch_of(0, whole, None)._replace(stop=done), self.schedule.steps
            )

    def _at_once(
        self, under_way: _Pass, window: Ready, where: tuple[int, int, int], sums: Sums
    ) -> Sums:
        """The steps of a window up to one, in one native call."""
        _, begin, stop = where
        how: dict[str, Any] = {}
        progress = self.progress
        if progress is not None and progress.live:

            def show(_epoch: int, step: int, found: Sums) -> None:
                logs = self.model.columns.logs(found[: self.model.columns.width])
                progress.update(window.step + step - begin, logs)

            how["progress"] = show
        left = self.callbacks.time_left()
        if left is not None:
            how["seconds"] = max(left, 0.0)
        return self._advance(under_way, window, where, sums, steps=stop - under_way.step, **how)

    def _by_batch(
        self, under_way: _Pass, window: Ready, where: tuple[int, int, int], sums: Sums
    ) -> Sums:
        """The same, a call for each step."""
        epoch, begin, stop = where
        while under_way.step < stop:
            step = under_way.step - begin
            self.callbacks.call("on_train_batch_begin", step, {})
            sums = self._advance(under_way, window, where, sums, steps=1)
            logs = self.model.columns.logs(sums)
            self.model.position = self._position(epoch, step + 1, sums)
            # Hooks get a dictionary of their own, which they may keep or change.
            self.callbacks.call("on_train_batch_end", step, dict(logs))
            if self.progress is not None:
                self.progress.update(step + 1, logs)
            if self._any(self.callbacks.stops()):
                # No loss follows that would show the last update to be wrong.
                self._advance(under_way, window, where, sums, steps=0, ends=True)
                break
        return sums

    def _advance(
        self,
        under_way: _Pass,
        window: Ready,
        where: tuple[int, int, int],
        sums: Sums,
        steps: int,
        **how: Any,
    ) -> Sums:
        epoch, begin, _ = where
        optimizer, network = self.model.optimizer, self.model.network
        before, first = network.steps, under_way.step - window.step
        run = under_way.run
        run.go_on(first, sums)
        how.setdefault("ends", epoch + 1 == self.schedule.epochs)
        if under_way.logits is not None:
            how["logits"] = under_way.logits
        try:
            found: Sums = run.advance(
                optimizer=optimizer.settings(),
                rates=optimizer.rates(steps),
                first_epoch=epoch,
                first_step=first,
                steps=steps,
                **how,
            )[0]
        except _core.TrainingDiverged as error:
            raise at_step(error, error.step + window.step - begin) from None
        finally:
            self._fresh = False
            made = network.steps - before
            # A divergence takes steps back, which may be more than were counted since it was set.
            optimizer.taken = max(0, optimizer.taken + made)
        self._see(under_way, window, made)
        under_way.step += made
        return found

    def _see(self, under_way: _Pass, window: Ready, steps: int) -> None:
        """Keeps the logits of the rows of the next steps, with what belongs to the rows."""
        if under_way.logits is None or not steps:
            return
        size, first = self.schedule.batch_size, under_way.step - window.step
        rows = slice(first * size, min((first + steps) * size, window.table.length))
        logits = under_way.logits[rows]
        if self.ranks is not None:  # each has those of its part, and zeros
            logits = self.ranks.joint(logits)
        self._seen.append(taken(window.table, rows, logits))


def _table_of(sums: tuple[Array, ...]) -> Table:
    """The rows that a position has counted."""
    _, logits, targets, *weights = sums
    rows = weights[0] if weights else None
    if targets.ndim == 1:
        return Table(logits, labels=targets, weights=rows)
    return Table(logits, targets=targets, weights=rows)


def at_step(error: _core.TrainingDiverged, step: int) -> _core.TrainingDiverged:
    """The same error with another number of the step, where a native call had a part of an epoch."""
    told = str(error).replace(f"step {error.step} ", f"step {step} ", 1)
    better = _core.TrainingDiverged(told)
    better.epoch, better.step, better.loss = error.epoch, step, error.loss
    return better
