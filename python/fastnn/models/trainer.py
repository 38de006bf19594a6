"""Trainer: fit and evaluate, for every kind of model (predict: answering.py).

Arguments become checked words and arrays here; the loops are in `training`.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from fastnn import elsewhere
from fastnn.callbacks.base import History
from fastnn.callbacks.listeners import CallbackList
from fastnn.callbacks.progress import ProgbarLogger
from fastnn.claims import Claim
from fastnn.data.chunks import Chunks
from fastnn.data.feed import kind_of
from fastnn.data.table import Table
from fastnn.models.answering import Callbacks
from fastnn.models.call_words import (
    DEFAULT_BATCH,
    batch_size_of,
    batches_of,
    frequency_of,
    progress_of,
    refuse_beside_batches,
    steps_of,
    told,
    verbosity_of,
)
from fastnn.models.compiled import Plan
from fastnn.models.fitness import warn_if_unfit
from fastnn.models.reasons import Reason, of_steps
from fastnn.models.single_steps import ClassWeight, SingleSteps
from fastnn.models.steps import own_steps
from fastnn.models.taped_tables import Given
from fastnn.protocols import Logs, Position
from fastnn.training import passes
from fastnn.training.calls import Calls, alone
from fastnn.training.loops import Fit, Schedule
from fastnn.training.ranks import Communicator, Joined, Ranks, joined
from fastnn.words import flag, integer, keywords, number

# More would take years, and their History more memory than there is.
_MOST_EPOCHS = 10**9


class Fitting(NamedTuple):
    """The arguments of `fit`, but for `comm`."""

    x: object = None
    y: object = None
    batch_size: int | None = None
    epochs: int = 1
    verbose: Literal["auto", "tqdm", 0, 1, 2] = "auto"
    callbacks: Callbacks = None
    validation_split: float = 0.0
    validation_data: object = None
    shuffle: bool = True
    class_weight: ClassWeight = None
    sample_weight: object = None
    initial_epoch: int | Position = 0
    steps_per_epoch: int | None = None
    validation_steps: int | None = None
    validation_batch_size: int | None = None
    validation_freq: int | Container[int] = 1

    def of_batches(self) -> dict[str, Any]:
        """What is given beside x that makes batches."""
        names = "steps_per_epoch", "validation_data", "validation_steps", "class_weight"
        return {name: getattr(self, name) for name in names}


class Trainer(SingleSteps):
    """Training, evaluation and prediction, with Keras's names, arguments and defaults."""

    _inside: ClassVar[Iterable[str]] = ("fit_calls", "fit_tables", "fit_tables_calls")

    # -- fit

    @keywords()
    def fit(
        self,
        x: object = None,
        y: object = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Literal["auto", "tqdm", 0, 1, 2] = "auto",
        callbacks: Callbacks = None,
        validation_split: float = 0.0,
        validation_data: object = None,
        shuffle: bool = True,
        class_weight: ClassWeight = None,
        sample_weight: object = None,
        initial_epoch: int | Position = 0,
        *,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Container[int] = 1,
        comm: Communicator | Ranks | None = None,
    ) -> History:
        """Trains for epochs `initial_epoch` to `epochs`.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
            >>> model.compile(fastnn.optimizers.SGD(0.1), "mean_squared_error", metrics=["mae"])
            >>> x = np.linspace(-1, 1, 40)[:, None]
            >>> history = model.fit(x, 3 * x + 1, epochs=60, validation_split=0.25, verbose=0)
            >>> sorted(history.history)
            ['loss', 'mae', 'val_loss', 'val_mae']
            >>> [array.round(1).tolist() for array in model.get_weights()]
            [[[3.0]], [1.0]]

        All of it is native code, unless the model has several outputs, a loss that is Python code,
        a `call` that is no graph of layers, or a step of its own: it then trains batch
        by batch over a tape, by `train_step`. Arguments and results are the same.

        Args:
            x: rows (n, ...) of any real type of up to 64 bits, and of any order: NumPy arrays
                (masked ones in which nothing is masked, too), memory maps, lists, tables of pandas,
                polars and Arrow, CPU DLPack. Batches are converted as they are gathered; an array
                is not copied whole unless its byte order is not this machine's. Lists, and tables
                whose columns differ in type, become an array first.
            y: labels (n,), or targets (n, outputs), as the loss needs. Changes that a callback
                makes to the arrays x and y, labels and targets alike, are seen from the next epoch
                on, if not earlier; labels are checked again. That holds for arrays that are taken
                without a conversion, and on the CPU: a GPU gets the rows once.
                Or x alone makes batches (x, y) or (x, y, sample_weight): a generator, a
                `fastnn.utils.PyDataset` or another object with len() and [i], an iterable such as a
                DataLoader of PyTorch. One thread reads ahead while a batch trains; each batch is
                checked before its own step. A row weighs as many as it has, of a mean weight of 1.
                Or x is `fastnn.data.Chunks`, which holds y and weights, too: data larger than memory.
            batch_size: rows of a step, default 32; the last step of an epoch takes the rest.
            epochs: the number of the last epoch, at most 10**9.
            verbose: 0 silent, 1 a live line, 2 a line after each epoch; "auto" is 1 on a
                terminal and 2 elsewhere; "tqdm" a bar of tqdm (the extra `progress`), which
                notebooks show, too.
            callbacks: `fastnn.callbacks.Callback` objects.
            validation_split: the share of rows, in [0, 1), held out for validation. The rows
                are random, chosen by the model's key, and each class has its share of them.
                Every `fit` of this model on as many rows holds out the same rows, also where a
                later y has other classes. (Keras takes the last rows; in sorted data these
                are one class.)
            validation_data: (x, y) or (x, y, sample_weight), used as given; or what makes batches;
                beside Chunks or batches also Chunks.
            shuffle: whether each epoch visits the rows in a new random order.
            class_weight: the weight of each class, multiplied into sample_weight: a dictionary
                or pandas Series of class to weight, in which a missing class weighs 1; a list or
                array of one number for each class; or "balanced": n / (k * rows of the class), as
                in scikit-learn, of the n rows to train on, which have k classes. Validation is
                not weighted by it. With one output the classes are 0 and 1.
            sample_weight: weights of rows (n,), at least 0; sum(w * l) / sum(w) is minimised.
                Weights are those of the beginning, also those that class_weight gave to labels.
            initial_epoch: the number of the first epoch; or the `position` of a model that was saved
                by a callback in the middle of training, from which this goes on, also in the middle
                of an epoch: the same rows, batch_size and shuffle then give the same weights as if
                nothing had come between.
            steps_per_epoch: how many batches an epoch has; None: all that there are. Of arrays the next
                epoch goes on where this one ended; the last epoch of a pass over the rows may be
                shorter, with a warning. Without a batch_size all rows make so many batches. A
                generator goes on from epoch to epoch; one that ends early ends training, with a
                warning.
            validation_steps: how many batches are validated on, the first ones; None: all.
            validation_batch_size: the batch of callbacks' on_test_batch hooks.
            comm: an MPI communicator of mpi4py, or a `fastnn.Ranks`: its processes train this one
                model together, each on its part of every batch. None: this process trains alone.
            validation_freq: validate after every `validation_freq` epochs, or after the epochs
                listed (from 1).

        Returns:
            The History, whose `history` has a list for "loss", each metric, and "val_" of each:
            of numbers or, of a metric without an average, of arrays.

        Warns:
            fastnn.TapeWarning: once for a model, that it trains over a tape and why, unless it has
                a step of its own.
            fastnn.ConvergenceWarning: numbers were trained, not classes, and the model is worse,
                or hardly better, than the best constant. Values of y that are far from 0 are the
                usual reason: train on (y - y.mean()) / y.std().

        Raises:
            RuntimeError: not compiled, or the model is being trained already.
            TypeError, ValueError: x, y or an option cannot be taken; nothing has changed.
            fastnn.TrainingDiverged: the loss became NaN or infinite. Where a loss of one's own got
                a NaN or infinite target in that step, its row is named. Its epoch and step count
                from 0, as callbacks do; the progress line counts epochs from 1. The weights are
                those of some hundred steps before, for small batches of large layers and on a GPU
                some thousand: the state is copied after every so many steps that copying takes at
                most 1 % of the time, a number that depends on the shape and the device alone, and
                the copy before the last one is put back. No copy is made while the loss grows.
            fastnn.RankError: with `comm`, the call has failed on another rank.
            KeyboardInterrupt: Ctrl-C; the weights are kept as they are.
            RuntimeError, MemoryError: a GPU failed. If its weights are lost, the model is as it
                was when its state was copied, as above.

        Whatever ends it, `model.history` has every epoch that was finished.
        """
        given = Fitting(
            x,
            y,
            batch_size,
            epochs,
            verbose,
            callbacks,
            validation_split,
            validation_data,
            shuffle,
            class_weight,
            sample_weight,
            initial_epoch,
            steps_per_epoch,
            validation_steps,
            validation_batch_size,
            validation_freq,
        )
        claim = Claim("fit")
        with claim, claim.lock, joined(comm) as ranks:
            self._training.take(claim)
            return alone(self._fitted(given, ranks))

    def fit_calls(self, options: dict[str, Any]) -> Calls[History]:
        """`fit(**options)`, whose native calls the caller makes."""
        if type(self).fit is not Trainer.fit or not options.keys() <= set(Fitting._fields):
            return self.fit(**options)
        claim = Claim("fit")
        with claim, claim.lock:
            self._training.take(claim)
            return (yield from self._fitted(Fitting(**options), None))

    def _fitted(self, given: Fitting, ranks: Joined | None) -> Calls[History]:
        plan = self._compiled("fit")
        size = batch_size_of("batch_size", given.batch_size, DEFAULT_BATCH)
        begins = given.initial_epoch
        if not isinstance(begins, Position):
            begins = Position(integer("initial_epoch", begins, 0, _MOST_EPOCHS))
        schedule = Schedule(
            size,
            integer("epochs", given.epochs, 0, _MOST_EPOCHS),
            integer("initial_epoch", begins.epoch, 0, _MOST_EPOCHS),
            flag("shuffle", given.shuffle),
            frequency_of(given.validation_freq),
            batch_size_of("validation_batch_size", given.validation_batch_size, size),
        )
        level, progress = progress_of(given.verbose)
        if ranks is not None and not ranks.is_first:
            level, progress = 0, []
        told = given.callbacks, level, progress
        share = number("validation_split", given.validation_split, 0.0, 1.0, open_high=True)
        if ranks is not None:
            ranks.seed = str(self._key)
            self._refuse_over_ranks(plan, given, ranks)
        if isinstance(given.x, Chunks):
            refuse_beside_batches(share, given.sample_weight, chunks_y=given.y)
            schedule = self._limited(schedule, given)
            of_batches = given.of_batches()
            return self._fit_chunks(plan, given.x, of_batches, schedule, told, begins, ranks)
        if given.y is None and kind_of(given.x) is not None:
            refuse_beside_batches(share, given.sample_weight, begins)
            of_batches = given.of_batches()
            return self._fit_streamed(plan, given.x, of_batches, schedule, told, None, ranks)
        schedule = self._limited(schedule, given)
        if self._reason_for(plan, given.x) is not None:
            arrays = Given(given.x, given.y, given.sample_weight, given.class_weight)
            held_out = share, given.validation_data
            return self._fit_taped(plan, arrays, schedule, held_out, told, begins, ranks)
        table = self._table("fit", given.x, given.y, given.sample_weight)
        if ranks is not None and ranks.shards:
            weights = given.class_weight
            chosen = self._of_shards(ranks, table, share, given.validation_data, weights)
            split, train, validation = chosen
        else:
            split, validation = self._validation(table, share, given.validation_data)
            train = table if split is None else table._replace(chosen=split.training)
            train = self._weigh_classes(train, given.class_weight)
        rows = train.length if ranks is None else ranks.share(train.length)
        schedule = schedule.of_rows(rows)
        if validation is not None:
            validation = validation.first(schedule.validated(validation.length))
        listeners = self._listeners(told, rows, validation is not None, schedule, ranks)
        run = Fit(self, train, validation, schedule, listeners, begins, ranks)
        self.prepare(table.x.shape[1:], run.check, "fit", plan, trains=True)
        if split is not None:
            self._splits.keep(sum(map(len, split)), share, split)
        self.stop_training = False
        self.history = run.history
        history = yield from run.run()
        losses = history.history.get("loss", [])
        if ranks is None or (ranks.is_first and not ranks.shards):
            warn_if_unfit(self, train, losses, listeners.callbacks[-1].params["steps"])
        return history

    @staticmethod
    def _limited(schedule: Schedule, given: Fitting) -> Schedule:
        """The schedule with the numbers of batches, checked."""
        return schedule._replace(
            steps=steps_of(given.steps_per_epoch, "steps_per_epoch"),
            free=given.batch_size is None,
            validation_steps=steps_of(given.validation_steps, "validation_steps"),
        )

    def fit_tables(
        self,
        train: Table,
        validation: Table | None,
        schedule: Schedule,
        callbacks: Callbacks,
        verbose: Literal["auto", "tqdm", 0, 1, 2] = 0,
    ) -> History:
        """`fit` on rows that are tables already, as the estimators of `fastnn.sklearn` make them."""
        return alone(self.fit_tables_calls(train, validation, schedule, callbacks, verbose))

    def fit_tables_calls(
        self,
        train: Table,
        validation: Table | None,
        schedule: Schedule,
        callbacks: Callbacks,
        verbose: Literal["auto", "tqdm", 0, 1, 2] = 0,
    ) -> Calls[History]:
        """`fit_tables`, whose native calls the caller makes."""
        claim = Claim("fit")
        with claim, claim.lock:
            self._training.take(claim)
            plan = self._compiled("fit")
            told = (callbacks, *progress_of(verbose))
            listeners = self._listeners(told, train.length, validation is not None, schedule)
            run = Fit(self, train, validation, schedule, listeners)
            self.prepare(train.x.shape[1:], run.check, "fit", plan, trains=True)
            self.stop_training = False
            self.history = run.history
            return (yield from run.run())

    def _listeners(
        self,
        callbacks: tuple[Callbacks, int, list[ProgbarLogger]],
        rows: int,
        validates: bool,
        schedule: Schedule,
        ranks: Joined | None = None,
    ) -> CallbackList:
        """The callbacks of a `fit`, which are told its numbers; `callbacks`: see `_fit_streamed`."""
        listed, level, progress = callbacks
        params: dict[str, Any] = {
            "verbose": level,
            "epochs": schedule.epochs,
            "steps": schedule.steps_of(rows),
            "metrics": self._log_names(validates and schedule.validates_at_all()),
        }
        if ranks is not None:
            params["rank"] = ranks.rank
        return CallbackList(listed, self, params, *progress, History())

    def _refuse_over_ranks(self, plan: Plan, given: Fitting, ranks: Joined) -> None:
        """ValueError for what cannot be trained over ranks."""
        x = given.x
        chunks, batches = isinstance(x, Chunks), given.y is None and kind_of(x) is not None
        batches = batches and not chunks
        reason = plan.reason  # of chunks the rest is known once rows are read
        if batches:
            steps = own_steps(self, "train")
            reason = reason or (of_steps(steps) if steps else None)
        elif not chunks:
            reason = self._reason_for(plan, x)
        if reason is not None:
            self._refuse_tape_over_ranks(plan, reason, ranks, arrays=not (chunks or batches))
            return
        if ranks.average_every and (chunks or batches):
            raise ValueError("average_every: with arrays x and y alone")
        if plan.columns.collects and (ranks.shards or batches):
            told = "give arrays or Chunks" if batches else "use rows='same'"
            raise ValueError(f"comm: a metric needs all rows at once, as AUC does; {told}")
        if ranks.average_every and (given.steps_per_epoch is not None or plan.optimizer.use_ema):
            raise ValueError("average_every: not with steps_per_epoch or use_ema")
        if ranks.shards and given.validation_steps is not None:
            raise ValueError("validation_steps: rows are shards of ranks, and all are validated on")

    def _refuse_tape_over_ranks(
        self, plan: Plan, reason: Reason, ranks: Joined, *, arrays: bool
    ) -> None:
        why = None
        if not arrays:
            why = "takes arrays alone"
        elif ranks.shards:
            why = "needs the same rows on every rank; use rows='same'"
        elif own_steps(self, "train"):
            why = f"cannot have a {own_steps(self, 'train')[0]} of its own"
        elif ranks.average_every:
            why = "sums gradients in every step; leave average_every at 0"
        elif plan.optimizer.full_batch:
            why = f"has no {type(plan.optimizer).__name__}"
        if why is not None:
            raise ValueError(
                f"comm: the model trains over a tape, since {reason.why}, which over ranks {why}"
            )

    def _log_names(self, validates: bool) -> list[str]:
        names = list(self.columns.names)
        return names + [f"val_{name}" for name in names] if validates else names

    # -- evaluate and predict

    @keywords()
    def evaluate(
        self,
        x: object = None,
        y: object = None,
        batch_size: int | None = None,
        verbose: Literal["auto", "tqdm", 0, 1, 2] = "auto",
        sample_weight: object = None,
        *,
        steps: int | None = None,
        callbacks: Callbacks = None,
        return_dict: bool = False,
    ) -> float | list[Any] | Logs:
        """The loss and metrics over all rows, exactly.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
            >>> model.compile("sgd", "mean_squared_error", metrics=["mae"])
            >>> model.set_weights([[[2.0]], [0.0]])
            >>> model.evaluate([[1.0], [2.0]], [1.0, 1.0], verbose=0)  # errors of 1 and 3
            [5.0, 2.0]
            >>> model.evaluate([[1.0], [2.0]], [1.0, 1.0], verbose=0, return_dict=True)
            {'loss': 5.0, 'mae': 2.0}

        Args:
            x, y, sample_weight, callbacks: see `fit`.
            batch_size: the batch of on_test_batch hooks; results do not depend on it.
            verbose: 0 prints nothing, any other value one line.
            steps: how many batches to take, the first ones; None: all that there are. Without a
                batch_size all rows of arrays make so many batches.
            return_dict: whether to return names to values.

        Returns:
            The loss; [loss, metrics...] where there are metrics; or a dictionary. A mean over
            nothing (all labels missing or ignored, all weights 0) is NaN. A metric without an
            average, such as F1Score(average=None), gives an array of a number for each label.
        """
        self._training.refuse_others("evaluate")
        plan = self._compiled("evaluate")
        if isinstance(x, Chunks):
            refuse_beside_batches(0.0, sample_weight, chunks_y=y)
            level, as_dict = verbosity_of(verbose), flag("return_dict", return_dict)
            sizes = batch_size_of("batch_size", batch_size, DEFAULT_BATCH), steps_of(steps)
            listeners = CallbackList(callbacks, self, {"verbose": level, "epochs": 1})
            return told(self._evaluate_chunks(plan, x, sizes, listeners), level, as_dict)
        if y is None and kind_of(x) is not None:
            refuse_beside_batches(0.0, sample_weight)
            level, as_dict = verbosity_of(verbose), flag("return_dict", return_dict)
            listeners = CallbackList(callbacks, self, {"verbose": level, "epochs": 1})
            return told(self._evaluate_streamed(plan, x, steps, listeners), level, as_dict)
        if self._reason_for(plan, x) is not None:
            level = verbosity_of(verbose)
            as_dict = flag("return_dict", return_dict)
            listeners = CallbackList(callbacks, self, {"verbose": level, "epochs": 1})
            sized = batch_size, steps
            logs = self._evaluate_taped(plan, Given(x, y, sample_weight), sized, listeners)
            return told(logs, level, as_dict)
        table = self._table("evaluate", x, y, sample_weight)
        size, count = batches_of("steps", steps, batch_size, table.length, DEFAULT_BATCH)
        table = table.first(count)
        level = verbosity_of(verbose)
        params = {"verbose": level, "epochs": 1, "steps": math.ceil(table.length / size)}
        listeners = CallbackList(callbacks, self, params)
        as_dict = flag("return_dict", return_dict)
        built = self.prepare(
            table.x.shape[1:], lambda network: network.check(table.native()), "evaluate", plan
        )
        columns = self._compiled("evaluate").columns  # the first call of a model settles them
        logs = passes.evaluate(built.network, columns, table, listeners, size)
        return told(logs, level, as_dict)

    @keywords()
    def test_on_batch(
        self,
        x: object,
        y: object = None,
        sample_weight: object = None,
        return_dict: bool = False,
    ) -> float | list[Any] | Logs:
        """The same as `evaluate` without printing.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
        >>> model.compile("sgd", "mean_squared_error")
        >>> model.set_weights([[[3.0]], [0.0]])
        >>> model.test_on_batch([[1.0]], [1.0])
        4.0
        """
        return self.evaluate(x, y, verbose=0, sample_weight=sample_weight, return_dict=return_dict)

    if not TYPE_CHECKING:  # a type checker reports unknown names by itself

        def __getattr__(self, name: str) -> Any:
            return elsewhere.attribute_of(self, "model", name)
