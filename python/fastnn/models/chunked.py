"""Chunked: fit, evaluate and predict on `data.Chunks`, that is on data larger than memory.

Windows of rows become tables and are checked here, by the thread that reads them; the loops are in
`training.chunked`. A model that trains over the tape gets the batches of windows, as it gets those of
a generator.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.callbacks.base import History
from fastnn.callbacks.listeners import CallbackList
from fastnn.callbacks.progress import ProgbarLogger
from fastnn.data.chunk import Chunk
from fastnn.data.chunks import Chunks
from fastnn.data.classes import balanced_of, classes_of
from fastnn.data.feed import Ahead, kind_of
from fastnn.data.filling import Filling
from fastnn.data.outputs import Kept, filled
from fastnn.data.table import Table
from fastnn.data.windows import Window, Windows
from fastnn.models.call_words import steps_of
from fastnn.models.compiled import Plan
from fastnn.models.steps import Logs, own_steps
from fastnn.models.streamed import Streamed
from fastnn.models.tables import parts_of_validation
from fastnn.protocols import Position
from fastnn.training import passes, window_passes
from fastnn.training.chunked import ChunkFit, Ready
from fastnn.training.loops import Schedule
from fastnn.training.ranks import Joined
from fastnn.training.sharing import shares_of
from fastnn.words import within

_ROW = re.compile(r"\brow (\d+)")


class Chunked(Streamed):
    """A model that can be given data larger than memory."""

    def _outputs_of(self, x: Any) -> Any:
        """`predict` without callbacks."""
        raise NotImplementedError

    def _over_tape(self, plan: Plan, few: Chunk) -> bool:
        return bool(own_steps(self, "train")) or self._reason_for(plan, few.x) is not None

    def _fit_chunks(
        self,
        plan: Plan,
        chunks: Chunks,
        options: Mapping[str, Any],
        schedule: Schedule,
        callbacks: tuple[Any, int, list[ProgbarLogger]],
        begins: Position,
        ranks: Joined | None = None,
    ) -> History:
        """`fit` of checked words: see `Streamed._fit_streamed`."""
        if plan.optimizer.full_batch:
            raise ValueError(
                f"fit: {type(plan.optimizer).__name__} makes its steps on all rows at once; give arrays, or "
                "use another optimizer"
            )
        few = chunks.first()
        of_all = _Rows.of(chunks, ranks)
        if of_all.length is not None:
            schedule = schedule.of_rows(of_all.length)
        if ranks is not None:
            self._refuse_chunks_over_ranks(plan, few, options)
        if self._over_tape(plan, few):
            source = _Batches(chunks, schedule.batch_size, self if schedule.shuffle else None)
            return self._fit_streamed(plan, source, options, schedule, callbacks, begins)
        with _of_file(few):
            table = self._table("fit", few.x, few.y, few.weights)
        data = options["validation_data"]
        arrays = None
        if data is not None and not isinstance(data, Chunks) and kind_of(data) is None:
            arrays = self._table("validation_data", *parts_of_validation(data), like=table)
            arrays = arrays.first(schedule.validated(arrays.length))

        def check(network: _core.Network) -> None:
            with _of_file(few):
                network.check(table.native())
            if arrays is not None:
                with within("validation_data"):
                    network.check(arrays.native())
                if ranks is None or not ranks.shards:
                    network.check_weight_of("validation_data", arrays.native())

        self.prepare(table.x.shape[1:], check, "fit", plan, trains=True)
        checks = self.network.data_check()
        weights, mean = self._weights_of_all(chunks, options["class_weight"], few, checks, ranks)
        size, whole = of_all.steps(schedule.batch_size)
        listed, level, progress = callbacks
        validates = data is not None and schedule.validates_at_all()
        params: dict[str, Any] = {"verbose": level, "epochs": schedule.epochs}
        params["steps"] = whole if schedule.steps is None else schedule.steps
        if ranks is not None:
            params["rank"] = ranks.rank
        names = list(self.columns.names)
        params["metrics"] = names + [f"val_{n}" for n in names] if validates else names
        listeners = CallbackList(listed, self, params, *progress, History())
        validate = None
        if data is not None:
            validate = self._validates(plan, arrays, options, schedule, listeners, ranks)
        read = _Read(self, chunks, "fit", checks, size, weights)
        read.length, read.layout, read.none = of_all.length, of_all.layout, table.without_rows()
        read.key = self.network.key if schedule.shuffle else None
        run = ChunkFit(self, read, validate, schedule, listeners, begins, mean, ranks, size, whole)
        former, self.history = self.history, run.history
        self.stop_training = False
        before = self.network.steps
        try:
            return run.run()
        except BaseException:
            if self.network.steps == before:
                self.history = former
            raise

    def _weights_of_all(
        self,
        chunks: Chunks,
        class_weight: Any,
        few: Chunk,
        checks: _core.DataCheck,
        ranks: Joined | None,
    ) -> tuple[Any, float | None]:
        """The weights of classes, and what a row of all chunks weighs on average; None: 1.

        Reads the labels and weights of all chunks where these make a difference.
        """
        loss = self._compiled("fit").loss
        weighed = few.weights is not None or class_weight is not None
        gaps = loss.row.targets == "unit_or_missing" or loss.takes_gaps
        counts = gaps or getattr(loss, "ignore_class", None) is not None
        balances = isinstance(class_weight, str)
        again, weighs = chunks.again, weighed or (counts and chunks.apart)
        shards = ranks is not None and ranks.shards
        if ranks is not None and shards:  # all read labels, or none
            once, weighs = ranks.any(not again, weighs)
            again = not once
        if not again or not weighs:
            if balances:
                raise ValueError(
                    "class_weight: 'balanced' needs all rows before training, and these chunks can be "
                    "read once; give a weight of each class"
                )
            return class_weight, None
        if balances:
            class_weight = self._balanced(chunks, class_weight, loss, ranks)
        total, rows = 0.0, 0.0
        for table in self._labels(chunks):
            table = self._weigh_classes(table, class_weight)
            total += checks.weight(table.native())
            rows += table.length
        if ranks is not None and shards:
            total, rows = (float(one) for one in ranks.exchange.sum(np.array([total, rows])))
        if not total > 0:
            raise ValueError(
                "fit: nothing counts, all weights (sample_weight times class_weight) are 0 or all "
                "labels missing or ignored"
            )
        return class_weight, total / rows

    def _labels(self, chunks: Chunks) -> Iterator[Table]:
        """Tables of the labels and weights of all chunks; their x is nothing."""
        shape = self._built().shapes[0]
        nothing = np.zeros(1, np.float32)
        for chunk in chunks.labels():
            filling = Filling(0)
            filling.add(chunk._replace(x=None))
            if not filling.length:
                continue
            _, y, weights = filling.rows(slice(0, filling.length))
            x = np.broadcast_to(nothing, (filling.length, math.prod(shape))).reshape(-1, *shape)
            with _of_file(chunk):
                table = self._table("fit", x, y, weights)
            yield table

    def _balanced(self, chunks: Chunks, word: str, loss: Any, ranks: Joined | None) -> Any:
        counts: NDArray[np.int64] | None = None
        outputs = math.prod(self._built().shapes[-1])
        classes = 2 if outputs == 1 else outputs
        ignored = getattr(loss, "ignore_class", None)
        for table in self._labels(chunks):
            if (
                word != "balanced"
                or not loss.row.has_classes
                or (loss.row.by_element and outputs > 1)
            ):
                self._weigh_classes(table, word)  # says what is wrong with it
                raise ValueError(
                    "class_weight: 'balanced' of several labels needs arrays; give the weights"
                )
            found = classes_of(table)
            assert found is not None
            kept = found[(found >= 0) & (found < classes) & (found != ignored)]
            counted = np.bincount(kept, minlength=classes)
            counts = counted if counts is None else counts + counted
        assert counts is not None
        if ranks is not None and ranks.shards:
            counts = ranks.exchange.sum(counts.astype(np.float64)).astype(np.int64)
        return balanced_of(counts)

    def _validates(
        self,
        plan: Plan,
        arrays: Table | None,
        options: Mapping[str, Any],
        schedule: Schedule,
        listeners: CallbackList,
        ranks: Joined | None,
    ) -> Callable[[], Logs]:
        """What validates, on arrays that are a table, on chunks, or on batches."""
        size, data = schedule.validation_batch_size, options["validation_data"]
        if arrays is not None:
            table = arrays

            def of_arrays() -> Logs:
                logs = passes.evaluate(self.network, self.columns, table, listeners, size, ranks)
                if not math.isfinite(logs["loss"]):
                    self._refuse_validation(table.native(), ranks)
                return logs

            return of_arrays
        return self._validation_of(plan, data, options, schedule, listeners, ranks)

    def _validation_of(
        self,
        plan: Plan,
        data: Any,
        options: Mapping[str, Any],
        schedule: Schedule,
        listeners: CallbackList,
        ranks: Joined | None = None,
    ) -> Callable[[], Logs]:
        size = schedule.validation_batch_size
        if isinstance(data, Chunks) and self._over_tape(plan, data.first()):
            data = _Batches(data, size)
        if not isinstance(data, Chunks):
            return super()._validation_of(plan, data, options, schedule, listeners, ranks)
        steps = steps_of(options["validation_steps"], "validation_steps")
        most = None if steps is None else steps * size

        def validate() -> Logs:
            read = self._reads(data, "validation_data")
            with read.windows(0, 0) as windows:
                some = windows if most is None else _first_rows(windows, most)
                refuse = partial(self._refuse_validation, ranks=ranks)
                return window_passes.evaluate(
                    self.network, self.columns, some, listeners, size, refuse, ranks
                )

        return validate

    def _refuse_chunks_over_ranks(self, plan: Plan, few: Chunk, options: Mapping[str, Any]) -> None:
        reason = plan.reason or self._reason_for(plan, few.x)
        if reason is not None:
            raise ValueError(f"comm: the model trains over a tape, since {reason.why}")
        data = options["validation_data"]
        if isinstance(data, Chunks) and self._over_tape(plan, data.first()):
            raise ValueError("comm: validation_data: the model answers its rows over a tape")

    def _refuse_validation(self, data: _core.Data, ranks: Joined | None = None) -> None:
        """TrainingDiverged where the loss over these rows is NaN or infinite; over `ranks` on all of
        them, which go back to the same weights, where it is so on any."""
        how: dict[str, Any] = {}
        if ranks is not None:
            how = {"exchange": ranks.exchange, "shards": ranks.shards, "total": 1}
        run = self.network.run(
            data, batch_size=1, validation=data, shuffle=False, fresh=False, streams_in=True, **how
        )
        epoch = 0 if self.position is None else self.position.epoch
        settings = self.optimizer.settings()
        with run:
            run.advance(optimizer=settings, first_epoch=epoch, steps=0, validates=True)

    def _reads(self, chunks: Chunks, doing: str) -> _Read:
        """Chunks for a pass that trains nothing."""
        checks = self.network.data_check()
        return _Read(self, chunks, doing, checks, checks.rows_at_once)

    def _evaluate_chunks(
        self, plan: Plan, chunks: Chunks, sized: tuple[int, int | None], listeners: CallbackList
    ) -> Logs:
        """`evaluate` of checked words; `sized`: the rows of a batch, and how many batches there are."""
        few, (size, steps) = chunks.first(), sized
        if self._over_tape(plan, few):
            return self._evaluate_streamed(plan, _Batches(chunks, size), steps, listeners)
        with _of_file(few):
            table = self._table("evaluate", few.x, few.y, few.weights)
        built = self.prepare(
            table.x.shape[1:], lambda network: network.check(table.native()), "evaluate", plan
        )
        columns = self._compiled("evaluate").columns
        with self._reads(chunks, "evaluate").windows(0, 0) as windows:
            some = windows if steps is None else _first_rows(windows, steps * size)
            return window_passes.evaluate(built.network, columns, some, listeners, size)

    def _predict_chunks(
        self,
        chunks: Chunks,
        sized: tuple[int, int | None],
        listeners: CallbackList,
        out: NDArray[Any] | None,
    ) -> Any:
        """`predict` of checked words; `sized` as above. Outputs go to `out`, or into a new array."""
        few, (size, steps) = chunks.first(), sized
        if own_steps(self, "predict") or self._reason_of_call(few.x) is not None:
            source = _Batches(chunks, size)
            found = self._predict_streamed(source, steps, listeners, self._outputs_of)
            return found if out is None else filled(out, [found])
        table = Table(self._rows(few.x))
        built = self.prepare(
            table.x.shape[1:], lambda network: network.check_input(table.native()), "predict"
        )
        shape = built.shapes[-1]
        kept = Kept(out, None if steps is not None else chunks.length, shape, built.network.dtype)
        with self._reads(chunks, "predict").windows(0, 0) as windows:
            some = windows if steps is None else _first_rows(windows, steps * size)
            window_passes.predict(built.network, some, listeners, size, kept.add)
        return kept.all()


class _Rows(NamedTuple):
    """The rows that are trained on, of all ranks where there are any."""

    length: int | None  # None: not known
    layout: str
    counts: list[int] | None = None  # of each rank's shard, where all are known
    ranks: Joined | None = None  # where they have shards

    @staticmethod
    def of(chunks: Chunks, ranks: Joined | None) -> _Rows:
        if ranks is None or not ranks.shards:
            return _Rows(chunks.length, chunks.layout)
        length = -1 if chunks.length is None else chunks.length
        given = np.array([length, int(chunks.layout, 16)], np.float64)
        found = ranks.exchange.gather(given).astype(np.int64)
        layout = f"{zlib.crc32(found.tobytes()):08x}"
        counts = None if found[:, 0].min() < 0 else found[:, 0].tolist()
        return _Rows(None if counts is None else sum(counts), layout, counts, ranks)

    def steps(self, batch_size: int) -> tuple[int, int | None]:
        """The rows that this rank brings to a batch, and the steps of a pass, where those are known.

        Shards of unknown length bring as many each.
        """
        ranks = self.ranks
        if ranks is None:
            length = self.length
            return batch_size, None if length is None else math.ceil(length / batch_size)
        counts = self.counts or [1] * ranks.size
        shares = shares_of(batch_size, counts)
        whole = None
        if self.counts is not None:
            whole = max(math.ceil(n / share) for n, share in zip(counts, shares, strict=True))
        return shares[ranks.rank], whole


class _Read:
    """The windows of chunks as tables, read and checked by one thread, one window ahead."""

    name = "x"

    def __init__(
        self,
        model: Chunked,
        chunks: Chunks,
        doing: str,
        checks: _core.DataCheck,
        batch: int,
        class_weight: Any = None,
    ) -> None:
        self._model = model
        self._chunks = chunks
        self._doing = doing
        self._checks = checks
        self._batch = batch
        self._class_weight = class_weight
        self.key: int | None = None  # by which rows are shuffled
        # Once for a fit: there may be thousands of chunks.
        self.length, self.layout = chunks.length, chunks.layout
        self.none = Table(None)  # of a training: see `Passes`

    @contextlib.contextmanager
    def windows(self, number: int, first_step: int) -> Iterator[Iterator[Ready]]:
        shuffled = None if self.key is None else (self.key, number)
        windows = self._chunks.windows(self._batch, shuffled, first_step)
        with Ahead(self._ready(windows), 1) as ready:
            try:
                yield ready
            finally:
                windows.ended = True

    def _ready(self, windows: Windows) -> Iterator[Ready]:
        for window in windows:
            yield self._checked(window)
            del window

    def _checked(self, window: Window) -> Ready:
        with contextlib.ExitStack() as stack:
            if self._doing == "validation_data":
                stack.enter_context(within("validation_data"))
            stack.enter_context(_located("", window.located))
            if self._doing == "predict":
                table = Table(self._model._rows(window.x))
            else:
                table = self._model._table(self._doing, window.x, window.y, window.weights)
                table = self._model._weigh_classes(table, self._class_weight)
            if self._doing == "predict":
                self._checks.check_input(table.native())
            else:
                self._checks.check(table.native())
        if window.order is not None or window.used < window.rows:
            table = table._replace(chosen=window.indices())
        steps = -(-window.used // self._batch)
        return Ready(table, table.native(), window.step, steps)


def _of_file(chunk: Chunk) -> contextlib.AbstractContextManager[None]:
    """Makes an error about a row of a chunk one about the row of its file."""
    return _located(chunk.where, lambda row: (chunk.where, chunk.first + row))


@contextlib.contextmanager
def _located(where: str, place: Callable[[int], tuple[str, int]]) -> Iterator[None]:
    """Makes an error about a row of some rows one about the row of the file that it comes from."""
    try:
        yield
    except (TypeError, ValueError) as error:
        told = str(error)
        found = _ROW.search(told)
        if found is not None:
            where, row = place(int(found[1]))
            told = f"{told[: found.start()]}row {row}{told[found.end() :]}"
        elif not where:
            where = place(0)[0]
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{where}: {told}" if where else told) from error.__cause__


def _first_rows(windows: Iterator[Ready], most: int) -> Iterator[Ready]:
    """The windows, until so many rows have come."""
    left = most
    for window in windows:
        if window.table.length >= left:
            table = window.table.first(left)
            yield Ready(table, table.native(), window.step, window.steps)
            return
        left -= window.table.length
        yield window


class _Batches:
    """The batches of windows, for steps that are made one by one in Python.

    `shuffles`: the model by which rows are shuffled; None: they stay in order.
    """

    def __init__(self, chunks: Chunks, size: int, shuffles: Chunked | None = None) -> None:
        self._chunks, self.size, self._shuffles = chunks, size, shuffles
        self._first = 0
        self.length, self.layout = chunks.length, chunks.layout

    @property
    def few(self) -> tuple[Any, ...]:
        """A batch of a few rows."""
        return self._chunks.first()[:3]

    def begin_at(self, step: int) -> None:
        """Lets the next pass begin with a step in its middle."""
        self._first = step

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        model = self._shuffles
        shuffled = None if model is None else (model._key, model._counts()[1])
        first, self._first = self._first, 0
        for window in self._chunks.windows(self.size, shuffled, first):
            yield from itertools.islice(
                window.batches(self.size), max(0, first - window.step), None
            )
            del window
