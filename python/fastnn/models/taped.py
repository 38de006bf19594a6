"""Taped: fit, evaluate and predict of models that no native loop can run, batch by batch.

Arguments become checked arrays here; the loops are in `training.taped`, the steps in `steps`.
"""

from __future__ import annotations

import contextlib
import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.applied import Progress
from fastnn.autodiff.following import following_step
from fastnn.autodiff.quiet import quiet
from fastnn.autodiff.tape import GradientTape
from fastnn.autodiff.tensor import Tensor
from fastnn.callbacks.base import History
from fastnn.callbacks.listeners import CallbackList
from fastnn.callbacks.progress import ProgbarLogger
from fastnn.console import warn
from fastnn.data.batches import Batches
from fastnn.data.structures import mapped, parts
from fastnn.metrics.base import Metric
from fastnn.metrics.collected import Collected
from fastnn.metrics.functions import is_own
from fastnn.models.arguments import no_loss
from fastnn.models.bound import Bound
from fastnn.models.built import Built
from fastnn.models.call_words import DEFAULT_BATCH, batches_of
from fastnn.models.checked import check, row_weights_of
from fastnn.models.compiled import Plan, State
from fastnn.models.objective import Objective, RowWeights
from fastnn.models.reasons import Reason, TapeWarning, of_compile, of_layers, of_steps, without_loss
from fastnn.models.steps import Logs, numbers_of, own_steps
from fastnn.models.sums import LossTracker, PartOfLoss
from fastnn.models.taped_tables import Given, TapedTables
from fastnn.optimizers import Optimizer
from fastnn.protocols import Backup, Position
from fastnn.serializable import is_of_fastnn
from fastnn.training import taped
from fastnn.training.loops import Schedule
from fastnn.training.ranks import Joined
from fastnn.training.snapshots import steps_between_copies
from fastnn.training.taped import TapedFit
from fastnn.training.taped_ranks import TapedRanks
from fastnn.utils import unpack_x_y_sample_weight
from fastnn.variables import Variable
from fastnn.words import within

Array = NDArray[Any]


class Held(NamedTuple):
    """A copy of all that training changes."""

    weights: list[tuple[Variable, Array]]
    optimizers: list[tuple[Optimizer, Progress]]


class Taped(TapedTables):
    """A model that can run its steps batch by batch."""

    _inside: ClassVar[Iterable[str]] = (
        *("bad_loss", "copied_state", "copies_every", "has_bad_weights", "mean_of_step", "order"),
        *("all_variables", "predict_on_data", "put_state", "test_on_data", "train_on_data"),
        *("check_counted", "count_on", "counted", "logs_so_far", "read_state", "write_state"),
    )

    _steps: Any = None  # see `opaque`
    history: History | None = None
    _told = False  # that it trains over the tape
    position: Position | None = None  # in a callback of `fit`
    _epochs = 0  # begun over the tape, where no network counts them

    # -- which loop

    def _reason_of_compile(self, objective: Objective, state: State) -> Reason | None:
        steps = own_steps(self, "train")
        several = state.form.kind is not None
        found = of_compile(steps, objective, several) or of_layers(state.layers)
        self._check_output_name(objective, state, known=False)
        if not objective.all_losses() and not ({"train_step", "compute_loss"} & set(steps)):
            if all(is_of_fastnn(type(model)) for model in self._models_within()):
                raise no_loss()
            found = found or without_loss()
        if several:
            objective.outline(state.form._replace(names=self._output_names()))
        if found is not None:
            self._check_heads(objective, state, state.built)
        return found

    def _check_heads(self, objective: Objective, state: State, built: Built | None) -> None:
        # A step of the model's own may do anything with its outputs.
        if {"train_step", "compute_loss"} & set(own_steps(self, "train")):
            return
        if state.form.kind is not None:
            objective.outline(state.form._replace(names=self._names_of_outputs(state)))
        super()._check_heads(objective, state, built)

    def _only_output_name(self, state: State) -> str | None:
        """The name of the layer that makes the one output; None: several, or not known yet."""
        if state.form.kind is not None:
            return None
        if self._steps is not None:
            [(_, maker)] = self._makers(state)
            return None if maker is None else str(maker.name)
        if state.calls:
            call = state.calls[-1]
            return str((call.within[0] if call.within else state.layers[call.layer]).name)
        made = state.parts or state.layers
        is_chain = getattr(type(self), "call", Taped).__module__.startswith("fastnn.")
        return str(made[-1].name) if made and is_chain else None

    def _check_output_name(self, objective: Objective, state: State, *, known: bool) -> None:
        name = self._only_output_name(state) or ("output_1" if known else None)
        if name is not None and state.form.kind is None and not own_steps(self, "train"):
            objective.check_only_name(name)

    def _output_names(self) -> tuple[str, ...]:
        """Names of the outputs of a graph: keys of a dictionary, or names of layers."""
        return self._names_of_outputs(self._state.now)

    def _names_of_outputs(self, state: State) -> tuple[str, ...]:
        if state.form.kind in (None, dict):
            return state.form.names
        names: list[str] = []
        for place, maker in self._makers(state):
            name = f"input_{place + 1}" if maker is None else maker.name
            unique, count = name, 0
            while unique in names:
                count += 1
                unique = f"{name}_{count}"
            names.append(unique)
        return tuple(names)

    def _makers(self, state: State) -> list[tuple[int, Any]]:
        """The number of each output among all Tensors, and the layer or model that makes it; None:
        it is an input."""
        steps: Any = self._steps
        if steps is not None:
            return [(place, steps.maker(place)) for place in steps.outputs]
        first = len(state.inputs) or 1
        found: list[tuple[int, Any]] = []
        for place in state.calls[-1].inputs:
            call = state.calls[place - first] if place >= first else None
            maker = call and (call.within[0] if call.within else state.layers[call.layer])
            found.append((place, maker))
        return found

    def _reason_for(self, plan: Plan, x: object) -> Reason | None:
        """Why the data of a call go over the tape; None: a native loop takes them."""
        steps = own_steps(self, "train")  # which may have been given to the model since `compile`
        found = plan.reason or (of_steps(steps) if steps else self._reason_of_call(x))
        self._trains_taped = found is not None
        return found

    def _reason_of_call(self, _x: object) -> Reason | None:
        """Why a model cannot be one native graph of one output, for such inputs."""
        return None

    @abstractmethod
    def _models_within(self) -> Sequence[Taped]:
        """The model and those that are in it."""

    @property
    @abstractmethod
    def losses(self) -> list[Tensor]:
        """Losses that the model adds to that of `compile`."""

    @abstractmethod
    def take_averages(self) -> None:
        """Makes the averages of the weights, which use_ema=True keeps, the weights."""

    @abstractmethod
    def save(self, filepath: Any, overwrite: bool = True) -> None:
        """Writes the model to a file (for callbacks, as the next)."""

    @abstractmethod
    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Writes the weights to a file."""

    @abstractmethod
    def write_state(self, path: Any, more: Mapping[str, Any]) -> None:
        """Writes the weights and the state of training, with further values, to a file."""

    @abstractmethod
    def read_state(self, path: Any) -> Backup:
        """What a file of `write_state` has for this model; its `put` makes the model go on."""

    # -- calls

    def _fit_taped(
        self,
        plan: Plan,
        given: Given,
        schedule: Schedule,
        validation: tuple[float, object],
        callbacks: tuple[Any, int, list[ProgbarLogger]],
        begins: Position | None = None,
        joined: Joined | None = None,
    ) -> History:
        """`fit` of checked words: the share and data of validation, the callbacks and verbosity."""
        own = "train_step" in own_steps(self, "train")
        inputs = self._inputs("fit", given)
        shapes = self._settled("fit", plan, inputs, given, schedule.batch_size, own)
        train, split, held = self._parted(
            plan, self._batches("fit", plan, inputs, given, own), validation, own
        )
        train = self._with_class_weights(plan, train, given.class_weight, shapes)
        if plan.optimizer.full_batch:
            schedule = schedule._replace(batch_size=max(1, train.length), shuffle=False, steps=None)
        schedule = schedule.of_rows(train.length)
        held = None if held is None else held.first(schedule.validated(held.length))
        check(plan.objective, train, shapes)
        row_weights = row_weights_of("fit", plan.objective, train, shapes)
        if held is not None:
            name = "validation_data" if split is None else "validation_split: in the rows held out"
            with within("validation_data") if split is None else contextlib.nullcontext():
                check(plan.objective, held, shapes)
            row_weights_of(name, plan.objective, held, shapes)
        ranks = None
        if joined is not None:
            self._refuse_metrics_over_ranks()
            ranks = TapedRanks(joined, train.length, schedule.batch_size)
        reason = plan.reason or self._reason_of_call(given.x)
        if reason is not None and (joined is None or joined.is_first):
            self._tell(reason)
        listed, level, progress = callbacks
        params: dict[str, Any] = {
            "verbose": level,
            "epochs": schedule.epochs,
            "steps": schedule.steps_of(train.length),
        }
        if joined is not None:
            params["rank"] = joined.rank
        if not own:
            names = plan.objective.names()
            also = held is not None and schedule.validates_at_all()
            params["metrics"] = names + [f"val_{name}" for name in names] if also else names
        listeners = CallbackList(listed, self, params, *progress, History())
        run = TapedFit(self, train, held, schedule, listeners, begins, ranks)
        if split is not None:
            self._splits.keep(train.rows, validation[0], split)
        return self._run_taped(plan, run, row_weights)

    def _refuse_metrics_over_ranks(self) -> None:
        """ValueError for metrics whose counts over ranks cannot be added up."""
        for metric in self._counting():
            counts = metric.metric if isinstance(metric, Bound) else metric
            known = isinstance(counts, (LossTracker, PartOfLoss))
            if not known and (isinstance(counts, Collected) or is_own(counts)):
                raise ValueError(
                    f"comm: metrics: {metric.name} counts all rows, or by Python code, which ranks that "
                    "train over a tape cannot add up"
                )

    def all_variables(self) -> list[Variable]:
        return self._variables()

    def _run_taped(self, plan: Plan, run: TapedFit, row_weights: RowWeights) -> History:
        built = self._state.now.built
        network = None if built is None else built.network
        counts = (0, 0) if network is None else (network.steps, network.epochs)
        begun = self._epochs
        former = self.history
        self.stop_training = False
        self.history = run.history
        updates = plan.optimizer.iterations
        try:
            with Training(self, plan, row_weights):
                history = run.run()
                went_on = run.begins is not None and run.begins.goes_on
                if plan.optimizer.use_ema and (went_on or plan.optimizer.iterations != updates):
                    plan.optimizer.finalize_variable_values(self._variables_to_train())
            return history
        except BaseException:
            if not run.has_stepped:
                # A step that cannot be made leaves the model as it was.
                self._epochs = begun
                built = self._state.now.built
                if built is not None:
                    built.network.steps, built.network.epochs = counts
                self.history = former
            raise

    def _evaluate_taped(
        self,
        plan: Plan,
        given: Given,
        sized: tuple[int | None, int | None],
        listeners: CallbackList,
    ) -> Logs:
        """`evaluate`; `sized`: batch_size and steps as they were given."""
        own = "test_step" in own_steps(self, "test")
        inputs = self._inputs("evaluate", given)
        size, count = batches_of("steps", sized[1], sized[0], inputs[1], DEFAULT_BATCH)
        shapes = self._settled("evaluate", plan, inputs, given, size, own)
        found = self._batches("evaluate", plan, inputs, given, own).first(count)
        check(plan.objective, found, shapes)
        _tell_steps(listeners, found, size)
        with plan.objective.lock, kept_metrics([plan.objective.tracker, *self.metrics]):
            return taped.evaluate(self, found, listeners, size)

    def _predict_taped(
        self, x: object, sized: tuple[int | None, int | None], listeners: CallbackList
    ) -> Any:
        inputs, n = self._inputs("predict", Given(x))
        size, count = batches_of("steps", sized[1], sized[0], n, DEFAULT_BATCH)
        found = Batches(inputs, None, None, n, self._float_type()).first(count)
        _tell_steps(listeners, found, size)
        return taped.predict(self, found, listeners, size)

    def _train_on_batch_taped(self, plan: Plan, given: Given) -> Logs:
        own = "train_step" in own_steps(self, "train")
        inputs = self._inputs("train_on_batch", given)
        shapes = self._settled("train_on_batch", plan, inputs, given, inputs[1], own)
        found = self._batches("train_on_batch", plan, inputs, given, own)
        found = self._with_class_weights(plan, found, given.class_weight, shapes)
        check(plan.objective, found, shapes)
        self.reset_metrics()
        with Training(self, plan, ()):
            return self.train_on_data(taped.data_of(found, slice(None)))

    @quiet
    def _value_and_grad_taped(
        self, plan: Plan, given: Given, training: bool
    ) -> tuple[float, list[Array]]:
        inputs = self._inputs("value_and_grad", given)
        shapes = self._settled("value_and_grad", plan, inputs, given, inputs[1], own=False)
        found = self._batches("value_and_grad", plan, inputs, given)
        found = self._with_class_weights(plan, found, given.class_weight, shapes)
        check(plan.objective, found, shapes)
        x, y, weights = (mapped(Tensor, part) for part in found.take(slice(None)))
        variables: list[Variable] = self._variables()
        with Training(self, plan, ()), GradientTape() as tape:
            trained = self._variables_to_train()
            tape.watch(trained)
            y_pred = self._called(x, training)
            loss = self._loss_of(x, y, y_pred, weights, training=False)
        grads = tape.gradient(loss, trained)
        by_variable = {id(v): g for v, g in zip(trained, grads, strict=True) if g is not None}
        zeros = [by_variable.get(id(v)) for v in variables]
        return float(loss), [
            np.zeros(v.shape, v.dtype) if g is None else g.numpy()
            for v, g in zip(variables, zeros, strict=True)
        ]

    def _tell(self, reason: Reason) -> None:
        """Says once that, and why, the model trains over the tape."""
        if reason.is_asked or self._told:
            return
        warn(
            f"fit: {type(self).__name__} trains batch by batch over a tape, which is slower than "
            f"native training, since {reason.why}. {reason.instead}",
            TapeWarning,
        )
        self._told = True

    # -- what the loops ask

    @quiet
    def train_on_data(self, data: Any) -> Logs:
        with self._watched("train", data):
            return numbers_of("train_step", self.train_step(data))

    @quiet
    def test_on_data(self, data: Any) -> Logs:
        with self._watched("test", data):
            return numbers_of("test_step", self.test_step(data))

    def _watched(self, doing: Literal["train", "test"], data: Any) -> following_step:
        """Sees to it that a step of the model's own sets no rows against each other."""
        name = f"{doing}_step"
        if name not in own_steps(self, doing):
            return following_step(name, (), ())
        _, y, weights = unpack_x_y_sample_weight(data)
        return following_step(name, parts(y), parts(weights))

    @quiet
    def predict_on_data(self, data: Any) -> Any:
        return self.predict_step(data)

    def order(self, rows: int, shuffled: bool, *, again: bool = False) -> NDArray[Any] | None:
        steps, epoch = self._counts()
        if again:
            if epoch == 0:
                raise ValueError(
                    "fit: training is to go on in the middle of an epoch, but this model has begun none"
                )
            epoch -= 1
        else:
            self._set_counts((steps, epoch + 1))
        return _core.permutation(rows, self._key, epoch) if shuffled else None

    def logs_so_far(self) -> Logs:
        return numbers_of("get_metrics_result", self.get_metrics_result())

    def completed(self, logs: Logs) -> Logs:
        return numbers_of("get_metrics_result", super().completed(logs))

    def counted(self) -> tuple[NDArray[Any], ...]:
        return tuple(part for metric in self._counting() for part in metric.counted())

    def check_counted(self, sums: Sequence[NDArray[Any]]) -> None:
        expected = [np.asarray(part) for metric in self._counting() for part in metric.counted()]
        if [_kind(part) for part in expected] != [_kind(part) for part in sums]:
            raise ValueError(
                "fit: the metrics are not those of the state that training goes on from"
            )

    def count_on(self, sums: Sequence[NDArray[Any]]) -> None:
        self.check_counted(sums)
        left = iter(sums)
        for metric in self._counting():
            metric.count_on([next(left) for _ in metric.counted()])

    def _counting(self) -> list[Metric]:
        tracker = self._objective().tracker
        return [tracker, *(metric for metric in self.metrics if metric is not tracker)]

    def bad_loss(self, logs: Logs) -> float | None:
        tracker = self._objective().tracker
        for name, value in logs.items():
            loss = name == "loss" or name.endswith("_loss")
            if not loss or not isinstance(value, float) or math.isfinite(value):
                continue
            # A mean over nothing is NaN, and no sign of divergence.
            if not (math.isnan(value) and tracker.counts_nothing()):
                return value
        return None

    def mean_of_step(self, logs: Logs) -> float:
        last = self._objective().tracker.last
        value = logs.get("loss", 0.0) if last is None else last
        return value if isinstance(value, float) and math.isfinite(value) else 0.0

    def has_bad_weights(self) -> bool:
        return not all(np.isfinite(variable.view()).all() for variable in self._variables())

    def copied_state(self) -> Held:
        variables = self._variables()
        return Held(
            [(variable, variable.numpy()) for variable in variables],
            [(optimizer, optimizer.progress(variables)) for optimizer in self._optimizers()],
        )

    def put_state(self, state: Held) -> None:
        for variable, values in state.weights:
            variable.assign(values)
        for optimizer, progress in state.optimizers:
            optimizer.restore(progress)

    def copies_every(self) -> int:
        variables = self._variables()
        elements = 3 * sum(variable.size for variable in variables)
        return steps_between_copies(elements, 3 * len(variables))

    def _optimizers(self) -> list[Optimizer]:
        """That of `compile`, and those among the attributes."""
        found = [self.optimizer]
        for part in parts(
            [value for name, value in vars(self).items() if not name.startswith("_")]
        ):
            if isinstance(part, Optimizer) and all(part is not known for known in found):
                found.append(part)
        return found

    def _counts(self) -> tuple[int, int]:
        """Steps and epochs in the life of the model."""
        built = self._state.now.built
        if built is None:
            return 0, self._epochs
        return built.network.steps, self._epochs + built.network.epochs

    def _set_counts(self, counts: tuple[int, int]) -> None:
        built = self._state.now.built
        if built is None:
            self._epochs = counts[1]
        else:
            built.network.steps, built.network.epochs = counts[0], counts[1] - self._epochs


def _kind(counted: NDArray[Any]) -> tuple[Any, ...]:
    """Of what metrics have counted: what stays the same while they count."""
    return counted.dtype, counted.ndim, counted.shape[1:]


class Training:
    """While it lasts, weights count by the rows of a data set, and Variables to train are fixed."""

    def __init__(self, model: Taped, plan: Plan, row_weights: RowWeights) -> None:
        self._model = model
        self._objective = plan.objective
        self._row_weights = row_weights

    def __enter__(self) -> None:
        objective = self._objective
        objective.row_weights = self._row_weights
        variables = self._model._variables()
        known = {id(variable) for variable, _ in objective.found}
        made = [v for v in variables if id(v) not in known]
        objective.found = [*objective.found, *((v, v.trainable) for v in made)]
        objective.trained = objective.trained_of(variables)

    def __exit__(self, *_: object) -> None:
        self._objective.row_weights = ()
        self._objective.trained = None


@contextlib.contextmanager
def kept_metrics(metrics: Sequence[Metric]) -> Iterator[None]:
    """Puts back what metrics have counted: a callback may evaluate in the middle of an epoch."""
    kept = [
        (metric, dict(vars(metric)), [variable.numpy() for variable in metric.variables])
        for metric in metrics
    ]
    try:
        yield
    finally:
        for metric, state, values in kept:
            vars(metric).update(state)
            for variable, value in zip(metric.variables, values, strict=True):
                variable.assign(value)


def _tell_steps(listeners: CallbackList, table: Batches, size: int) -> None:
    for callback in listeners.callbacks:
        callback.params["steps"] = math.ceil(table.length / size)
