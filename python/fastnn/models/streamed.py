"""Streamed: fit, evaluate and predict over batches that a program makes as they are asked for.

Each batch becomes a table and is checked before its own step; the loops are in `training.streams`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.callbacks.base import History
from fastnn.callbacks.listeners import CallbackList
from fastnn.callbacks.progress import ProgbarLogger
from fastnn.data.feed import Feed, kind_of
from fastnn.data.table import Table
from fastnn.models.call_words import batches_of
from fastnn.models.columns import Columns
from fastnn.models.compiled import Plan
from fastnn.models.steps import Logs, own_steps
from fastnn.models.tables import parts_of_validation
from fastnn.models.taped import Taped
from fastnn.models.taped_steps import TapedSteps
from fastnn.models.taped_tables import Given
from fastnn.protocols import Position
from fastnn.training import passes, streams
from fastnn.training.chunked import at_step
from fastnn.training.loops import Schedule
from fastnn.training.ranks import Joined
from fastnn.training.seen import joined, room
from fastnn.training.sharing import Lot, agree_on, lot_of, summed
from fastnn.training.streams import StreamFit, Streams
from fastnn.utils import unpack_x_y_sample_weight
from fastnn.words import integer, within


class Streamed(Taped):
    """A model that can be fed batches."""

    def _feed(self, name: str, source: object, steps: int | None, *, shuffled: bool) -> Feed:
        """The batches that a source makes; shuffled ones by number are in an order of this model."""

        def order(count: int) -> NDArray[np.int64]:
            return _core.permutation(count, self._key, self._counts()[1])

        wanted = None if steps is None else integer(_STEPS[name], steps)
        return Feed(name, source, wanted, order if shuffled else None)

    def _given_batch(self, batch: Any, doing: str) -> Given:
        x, y, weights = unpack_x_y_sample_weight(batch)
        if y is None and doing != "predict" and not own_steps(self, "train"):
            raise ValueError(
                f"{doing}: expected batches (x, y) or (x, y, sample_weight), got "
                f"{type(batch).__name__} without y"
            )
        return Given(x, y, weights)

    def _fit_streamed(
        self,
        plan: Plan,
        source: Any,
        options: Mapping[str, Any],
        schedule: Schedule,
        callbacks: tuple[Any, int, list[ProgbarLogger]],
        begins: Position | None = None,
        ranks: Joined | None = None,
    ) -> History:
        """`fit` of checked words.

        Args:
            plan: of the model.
            source: of batches.
            options: "steps_per_epoch", "validation_data", "validation_steps", "class_weight".
            schedule: epochs, and when to validate.
            callbacks: these, the verbosity, and what shows the progress.
            begins: in the middle of an epoch, where the source can begin there.
            ranks: each of which has batches of its own: parts of those of all.
        """
        listed, level, progress = callbacks
        feed = self._feed("x", source, options["steps_per_epoch"], shuffled=schedule.shuffle)
        params: dict[str, Any] = {"verbose": level, "epochs": schedule.epochs, "steps": feed.steps}
        if ranks is not None:
            params["rank"] = ranks.rank
        listeners = CallbackList(listed, self, params, *progress, History())
        stepper = _stepper(self, plan, "fit", options["class_weight"], ranks)
        data = options["validation_data"]
        validate: Callable[[], Logs] | None = None
        if data is not None:
            validate = self._validation_of(plan, data, options, schedule, listeners, ranks)
        if plan.reason is None:
            names = list(plan.columns.names)
            validates = data is not None and schedule.validates_at_all()
            params["metrics"] = names + [f"val_{n}" for n in names] if validates else names
        if feed.position(0, False) is not None:
            stepper.settle(source.few)
        if ranks is not None:
            stepper.options = schedule, feed.steps is None, validate is None
        fed = Streams(feed, validate)
        run = StreamFit(self, stepper, fed, schedule, listeners, begins, ranks)
        former, self.history = self.history, run.history
        self.stop_training = False
        try:
            with stepper.training():
                return run.run()
        except BaseException:
            if not run.steps:
                self.history = former
            raise

    def _validation_of(
        self,
        plan: Plan,
        data: Any,
        options: Mapping[str, Any],
        schedule: Schedule,
        listeners: CallbackList,
        ranks: Joined | None = None,
    ) -> Callable[[], Logs]:
        """Validates on batches, or on arrays, which are checked at once."""
        if kind_of(data) is not None:
            steps = options["validation_steps"]
            feed = self._feed("validation_data", data, steps, shuffled=False)
            tester = _stepper(self, plan, "validation_data", None, ranks)
            return lambda: streams.evaluate(tester, feed, listeners, "fit")
        given = Given(*parts_of_validation(data))
        size, steps = schedule.validation_batch_size, options["validation_steps"]

        def validate() -> Logs:
            if self._reason_for(plan, given.x) is not None:
                return self._evaluate_taped(plan, given, (size, steps), listeners)
            with within("validation_data"):
                table = self._table("validation_data", given.x, given.y, given.sample_weight)
                self.network.check(table.native())
            table = table.first(batches_of("validation_steps", steps, size, table.length, size)[1])
            return passes.evaluate(self.network, self.columns, table, listeners, size, ranks)

        return validate

    def _evaluate_streamed(
        self, plan: Plan, source: Any, steps: int | None, listeners: CallbackList
    ) -> Logs:
        feed = self._feed("x", source, steps, shuffled=False)
        for callback in listeners.callbacks:
            callback.params["steps"] = feed.steps
        stepper = _stepper(self, plan, "evaluate", None)
        with stepper.testing():
            return streams.evaluate(stepper, feed, listeners, "evaluate")

    def _predict_streamed(
        self,
        source: Any,
        steps: int | None,
        listeners: CallbackList,
        predict: Callable[[Any], Any],
    ) -> Any:
        feed = self._feed("x", source, steps, shuffled=False)
        for callback in listeners.callbacks:
            callback.params["steps"] = feed.steps

        def on(batch: Any) -> Any:
            # A list may be the inputs of a model with several; a tuple is (x, y) or the like.
            several = isinstance(batch, list) and not _is_loader(source)
            return predict(batch if several else self._given_batch(batch, "predict").x)

        return streams.predict(on, feed, listeners)


_STEPS = {"x": "steps", "validation_data": "validation_steps"}


def _is_loader(source: object) -> bool:
    """Whether lists of a source are batches of several parts, as PyTorch's loaders make them."""
    return hasattr(source, "dataset") and hasattr(source, "collate_fn")


def _stepper(
    model: Streamed, plan: Plan, doing: str, class_weight: Any, ranks: Joined | None = None
) -> Any:
    if isinstance(class_weight, str):
        raise ValueError(  # noqa: TRY004 - the type is right elsewhere
            "class_weight: 'balanced' needs all rows before training; give a weight of each class"
        )
    if plan.reason is None and not own_steps(model, "train"):
        return NativeSteps(model, plan, doing, class_weight, ranks)
    return TapedSteps(model, plan, doing, class_weight, model._given_batch)


class NativeSteps:
    """Steps of native code, a call for each batch; sums go on from batch to batch.

    Over ranks each has a part of every batch, or None, where it has no more of them.
    """

    def __init__(
        self, model: Streamed, plan: Plan, doing: str, class_weight: Any, ranks: Joined | None
    ) -> None:
        self._ranks = ranks
        self._lot: Lot | None = None  # of the last step
        self.options: Any = None  # of `fit`, which are those of all ranks
        self._model = model
        self._plan = plan
        self._doing = doing
        self._class_weight = class_weight
        self._size = 0  # rows of the largest batch
        self._fresh = True
        self._begun = False
        self._sums: NDArray[np.float64] | None = None
        self._seen: list[tuple[Table, NDArray[Any]]] = []
        self._last: Table | None = None  # that was trained, also in an epoch before
        self._epoch = self._step = 0

    def training(self) -> Any:
        """A `with` block around training."""
        return contextlib.nullcontext()

    testing = training

    def begin(self, epoch: int = 0) -> None:
        self._sums, self._seen = None, []
        self._epoch, self._step = epoch, 0

    @property
    def _columns(self) -> Columns:
        return self._model.columns

    def _table(self, batch: Any) -> Table:
        given = self._model._given_batch(batch, self._doing)
        if self._doing == "validation_data":
            with within("validation_data"):
                return self._model._table("validation_data", *given[:3])
        table = self._model._table(self._doing, *given[:3])
        return self._model._weigh_classes(table, self._class_weight)

    def _prepared(self, table: Table, *, trains: bool) -> _core.Network:
        """The network, once it has checked the values of a batch."""
        native = table.native()
        doing = self._doing
        if self._begun:
            network: _core.Network = self._model.network
            if doing == "validation_data":
                with within(doing):
                    network.check(native)
            else:
                network.check(native)
            return network
        # The plan of a class is settled once its graph is traced.
        built = self._model.prepare(
            table.x.shape[1:], lambda n: n.check(native), doing, self._plan, trains=trains
        )
        self._begun = True
        return built.network

    def settle(self, batch: Any) -> None:
        """Nothing has to be known before the first batch."""

    def check_counted(self, begins: Position) -> None:
        del begins
        raise ValueError("fit: training on batches goes on where an epoch begins")

    def counted(self) -> tuple[Any, ...]:
        return ()

    def go_on(self, begins: Position) -> None:
        self.check_counted(begins)

    def train(self, batch: Any) -> Logs:
        if batch is None:
            if self._last is None:
                raise ValueError("x: expected batches on every rank, got none on this one")
            table, network = self._last.without_rows(), self._model.network
        else:
            table = self._table(batch)
            network = self._prepared(table, trains=True)
        if self._ranks is not None:
            if self.options is not None:
                agree_on(self._ranks, self._model, self.options, {})
                self.options = None
            self._lot = lot_of(self._ranks, 1, table.length, table.length)
        self._size = max(self._size, table.length)
        logits = self._room(network, table)
        sums = self._add(self._advance(table, first_step=0, steps=1, logits=logits)[0])
        self._step += 1
        self._last = table
        return self._columns.logs(sums)

    def _advance(self, table: Table, **how: Any) -> NDArray[np.float64]:
        optimizer, network = self._model.optimizer, self._model.network
        before = network.steps
        rates = optimizer.rates(how["steps"])
        run = network.run(
            table.native(),
            batch_size=self._size,
            shuffle=False,
            fresh=self._fresh,
            streams_in=True,
            exchange=None if self._ranks is None else self._ranks.exchange,
        )
        try:
            with run:
                if self._lot is not None:
                    run.bring(0, self._lot.before, self._lot.rows)
                how |= {"optimizer": optimizer.settings(), "rates": rates}
                return run.advance(first_epoch=self._epoch, **how)
        except _core.TrainingDiverged as error:
            # A call has one step.
            raise at_step(error, self._step - how["first_step"]) from None
        finally:
            self._fresh = False
            optimizer.taken = max(0, optimizer.taken + network.steps - before)

    def test(self, batch: Any) -> Logs:
        table = self._table(batch)
        network = self._prepared(table, trains=False)
        sums = self._add(network.evaluate(table.native(), self._room(network, table)))
        return self._columns.logs(sums)

    def _room(self, network: _core.Network, table: Table) -> NDArray[Any] | None:
        if not self._columns.collects:
            return None
        logits = room(network, table.length, self._columns.outputs)
        self._seen.append((table, logits))
        return logits

    def _add(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sums so far, with those of a batch."""
        self._sums = sums if self._sums is None else self._sums + sums
        return self._sums

    def finish(self, *, trained: bool, ends: bool) -> Logs:
        assert self._sums is not None
        if not trained:
            self._sums = summed(self._ranks, self._sums)
        if trained:
            self._model.network.epochs += 1
            if ends and self._last is not None:
                # No loss follows that would show the last update to be wrong.
                self._advance(self._last, first_step=1, steps=0, ends=True)
        return self._columns.logs(self._sums, seen=joined(self._seen) if self._seen else None)
