"""Taped: fit, evaluate and predict of models that no native loop can run, batch by batch.

Arguments become checked arrays here; the loops are in `training.taped`, the steps in `steps`.
"""

from __future__ import annotations

import contextlib
import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.applied import Progress
from fastnn.arrays.host import numeric
from fastnn.autodiff.tape import GradientTape
from fastnn.autodiff.tensor import Tensor
from fastnn.callbacks.base import History
from fastnn.callbacks.listeners import CallbackList
from fastnn.callbacks.progress import ProgbarLogger
from fastnn.console import warn
from fastnn.data import rows
from fastnn.data.batches import Batches
from fastnn.data.classes import class_weights
from fastnn.data.split import Split, held_out, strata_of
from fastnn.data.structures import Form, form_of, is_several, mapped, parts
from fastnn.data.table import Table
from fastnn.layers.base import Shape
from fastnn.losses import Loss
from fastnn.metrics.base import Metric
from fastnn.models.compiled import Plan, State
from fastnn.models.objective import Objective, RowWeights, no_loss
from fastnn.models.reasons import Reason, TapeWarning, of_compile
from fastnn.models.steps import Logs, Steps, numbers_of, own_steps
from fastnn.models.tables import parts_of_validation
from fastnn.optimizers import Optimizer
from fastnn.training import taped
from fastnn.training.loops import Schedule
from fastnn.training.snapshots import steps_between_copies
from fastnn.training.taped import TapedFit
from fastnn.variables import Variable
from fastnn.words import within

Array = NDArray[Any]


class Given(NamedTuple):
    """The data of a call, as the user gave them."""

    x: object
    y: object = None
    sample_weight: object = None
    class_weight: object = None


class Held(NamedTuple):
    """A copy of all that training changes."""

    weights: list[tuple[Variable, Array]]
    optimizers: list[tuple[Optimizer, Progress]]


class Taped(Steps):
    """A model that can run its steps batch by batch."""

    _inside = (
        *("bad_loss", "copied_state", "copies_every", "has_bad_weights", "mean_of_step", "order"),
        *("predict_on_data", "put_state", "test_on_data", "train_on_data"),
    )

    history: History | None = None
    _told = False  # that it trains over the tape
    _epochs = 0  # begun over the tape, where no network counts them

    # -- which loop

    def _reason_of_compile(self, objective: Objective, state: State) -> Reason | None:
        steps = own_steps(self, "train")
        several = state.form.kind is not None
        found = of_compile(steps, objective, several)
        if not objective.all_losses() and not ({"train_step", "compute_loss"} & set(steps)):
            raise no_loss()
        if several:
            objective.outline(state.form._replace(names=self._output_names()))
        return found

    def _output_names(self) -> tuple[str, ...]:
        """Names of the outputs of a graph: keys of a dictionary, or names of layers."""
        state = self._state.now
        if state.form.kind in (None, dict):
            return state.form.names
        first = len(state.inputs) or 1
        names: list[str] = []
        for place in state.calls[-1].inputs:
            made_by = place - first
            name = f"input_{place + 1}"
            if made_by >= 0:
                name = state.layers[state.calls[made_by].layer].name
            unique, count = name, 0
            while unique in names:
                count += 1
                unique = f"{name}_{count}"
            names.append(unique)
        return tuple(names)

    def _reason_for(self, plan: Plan, x: object) -> Reason | None:
        """Why the data of a call go over the tape; None: a native loop takes them."""
        found = plan.reason or self._reason_of_call(x)
        self._trains_taped = found is not None
        return found

    def _reason_of_call(self, _x: object) -> Reason | None:
        """Why a model cannot be one native graph of one output, for such inputs."""
        return None

    @abstractmethod
    def take_averages(self) -> None:
        """Makes the averages of the weights, which use_ema=True keeps, the weights."""

    # -- calls

    def _fit_taped(
        self,
        plan: Plan,
        given: Given,
        schedule: Schedule,
        validation: tuple[float, object],
        callbacks: tuple[Any, int],
    ) -> History:
        """`fit` of checked words: the share and data of validation, the callbacks and verbosity."""
        own = "train_step" in own_steps(self, "train")
        inputs = self._inputs("fit", given)
        shapes = self._settled(plan, inputs, given, schedule.batch_size, own)
        train, split, held = self._parted(
            plan, self._batches("fit", plan, inputs, given, own), validation, own
        )
        train = self._with_class_weights(plan, train, given.class_weight, shapes)
        _check(plan.objective, train, shapes)
        row_weights = _row_weights("fit", plan.objective, train, shapes)
        if held is not None:
            name = "validation_data" if split is None else "validation_split: in the rows held out"
            with within("validation_data") if split is None else contextlib.nullcontext():
                _check(plan.objective, held, shapes)
            _row_weights(name, plan.objective, held, shapes)
        reason = plan.reason or self._reason_of_call(given.x)
        if reason is not None:
            self._tell(reason)
        listed, level = callbacks
        params: dict[str, Any] = {
            "verbose": level,
            "epochs": schedule.epochs,
            "steps": math.ceil(train.length / schedule.batch_size),
        }
        if not own:
            names = plan.objective.names()
            also = held is not None and schedule.validates_at_all()
            params["metrics"] = names + [f"val_{name}" for name in names] if also else names
        progress = [ProgbarLogger(live=level == 1)] if level else []
        listeners = CallbackList(listed, self, params, *progress, History())
        run = TapedFit(self, train, held, schedule, listeners)
        if split is not None:
            self._splits.keep(train.rows, validation[0], split)
        return self._run_taped(plan, run, row_weights)

    def _run_taped(self, plan: Plan, run: TapedFit, row_weights: RowWeights) -> History:
        counts, former = self._counts(), self.history
        self.stop_training = False
        self.history = run.history
        updates = plan.optimizer.iterations
        try:
            with _Training(self, plan, row_weights):
                history = run.run()
                if plan.optimizer.use_ema and plan.optimizer.iterations != updates:
                    plan.optimizer.finalize_variable_values(self._variables_to_train())
            return history
        except BaseException:
            if not run.has_stepped:
                # A step that cannot be made leaves the model as it was.
                self._set_counts(counts)
                self.history = former
            raise

    def _evaluate_taped(self, plan: Plan, given: Given, size: int, listeners: CallbackList) -> Logs:
        own = "test_step" in own_steps(self, "test")
        inputs = self._inputs("evaluate", given)
        shapes = self._settled(plan, inputs, given, size, own)
        found = self._batches("evaluate", plan, inputs, given, own)
        _check(plan.objective, found, shapes)
        _tell_steps(listeners, found, size)
        with plan.objective.lock, _kept_metrics([plan.objective.tracker, *self.metrics]):
            return taped.evaluate(self, found, listeners, size)

    def _predict_taped(self, x: object, size: int, listeners: CallbackList) -> Any:
        inputs, n = self._inputs("predict", Given(x))
        found = Batches(inputs, None, None, n, self._float_type())
        _tell_steps(listeners, found, size)
        return taped.predict(self, found, listeners, size)

    def _train_on_batch_taped(self, plan: Plan, given: Given) -> Logs:
        own = "train_step" in own_steps(self, "train")
        inputs = self._inputs("train_on_batch", given)
        shapes = self._settled(plan, inputs, given, inputs[1], own)
        found = self._batches("train_on_batch", plan, inputs, given, own)
        found = self._with_class_weights(plan, found, given.class_weight, shapes)
        _check(plan.objective, found, shapes)
        self.reset_metrics()
        with _Training(self, plan, ()):
            return self.train_on_data(taped.data_of(found, slice(None)))

    def _value_and_grad_taped(
        self, plan: Plan, given: Given, training: bool
    ) -> tuple[float, list[Array]]:
        inputs = self._inputs("value_and_grad", given)
        shapes = self._settled(plan, inputs, given, inputs[1], own=False)
        found = self._batches("value_and_grad", plan, inputs, given)
        found = self._with_class_weights(plan, found, given.class_weight, shapes)
        _check(plan.objective, found, shapes)
        x, y, weights = (mapped(Tensor, part) for part in found.take(slice(None)))
        variables: list[Variable] = self._variables()
        with _Training(self, plan, ()), GradientTape() as tape:
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

    # -- data

    def _inputs(self, doing: str, given: Given) -> tuple[Any, int]:
        """x as a structure of arrays of finite numbers, and the number of their rows."""
        if given.x is None:
            raise ValueError(f"{doing}: expected x, got None")
        found = self._input_parts(given.x)
        arrays = parts(found)
        if not arrays:
            raise ValueError("x: expected arrays of rows, got none")
        names = ["x"] if found is arrays[0] else [f"x[{i}]" for i in range(len(arrays))]
        for name, array in zip(names, arrays, strict=True):
            if len(array) != len(arrays[0]):
                raise ValueError(f"x: inputs of {len(arrays[0])} and {len(array)} rows")
            if array.dtype.kind == "f":
                self._check_finite(name, array)
        return found, len(arrays[0])

    def _input_parts(self, x: Any) -> Any:
        """x as a structure of arrays, with the shapes that the model takes."""
        if is_several(x):
            return mapped(lambda part: rows.rows("x", part, None), x)
        shapes = self.row_shapes()
        own = own_steps(self, "train")  # which may make of x what the model takes
        return rows.rows("x", self._joined(x), None if shapes is None or own else shapes[0])

    def _check_finite(self, name: str, array: Array) -> None:
        stand_in = _stand_in(math.prod(array.shape[1:]), self._float_type())
        with _renamed("x: ", f"{name}: "):
            stand_in.check_input(Table(array).native())

    def _float_type(self) -> Any:
        model: Any = self
        return np.dtype(model.dtype)

    def _settled(
        self, plan: Plan, inputs: tuple[Any, int], given: Given, size: int, own: bool
    ) -> Sequence[Shape] | None:
        """Builds the layers by a call on a batch, and finds losses and metrics for its outputs.

        Returns shapes of a row of each output; None where a step is the model's `own`, which may
        make of the data what it likes.
        """
        objective = plan.objective
        if own:
            if objective.form is None and not objective.has_several:
                objective.outline(Form())
            return None
        x, n = inputs
        first = Batches(x, None, None, n, self._float_type()).take(slice(0, min(size, n)))[0]
        outputs = self._called(mapped(Tensor, first), training=False)
        form = form_of(outputs, self._output_names())
        objective.outline(form)
        for part in form.leaves(outputs):
            if not isinstance(part, Tensor):
                raise TypeError(
                    f"{type(self).__name__}: `call`: expected Tensors, got {type(part).__name__}, "
                    "which has no gradient; compute outputs by fastnn.math"
                )
            if np.ndim(part) == 0 or len(part) != min(size, n):
                raise ValueError(
                    f"{type(self).__name__}: `call`: expected outputs of {min(size, n)} rows, got "
                    f"shape {np.shape(part)}"
                )
        ys = objective.targets_of(given.y)
        # A few rows of y tell labels from targets.
        firsts = [None if y is None else numeric("y", y, missing_is_nan=True)[:size] for y in ys]
        if objective.all_losses():
            objective.settle(form.like(firsts), outputs, form.names)
        return [tuple(np.shape(part)[1:]) for part in form.leaves(outputs)]

    def _batches(
        self, doing: str, plan: Plan, inputs: tuple[Any, int], given: Given, own: bool = False
    ) -> Batches:
        """All data of a call, with as many rows each."""
        x, n = inputs
        y = self._targets(plan, given.y, n)
        weights = self._weights(plan, given.sample_weight, n)
        if y is None and not own and any(not one.is_own for one in plan.objective.all_losses()):
            raise ValueError(f"{doing}: expected x and y, got None for y")
        return Batches(x, y, weights, n, self._float_type())

    def _targets(self, plan: Plan, y: Any, n: int) -> Any:
        """y as a structure of arrays of n rows."""
        form = plan.objective.form
        settled = form is not None and form.kind is not None

        def array(part: Any) -> Array:
            made = numeric("y", part, missing_is_nan=True)
            if made.ndim == 0 or len(made) != n:
                raise ValueError(f"y: expected {n} rows, as x has, got shape {made.shape}")
            return made

        if y is None:
            return None
        listed = isinstance(y, (list, tuple)) and len(y) != n and bool(y)
        lists = listed and all(np.ndim(part) > 0 and len(part) == n for part in y)
        if settled or is_several(y) or lists:
            return mapped_leaves(array, y)
        return array(y)

    def _weights(self, plan: Plan, weights: Any, n: int) -> Any:
        if weights is None:
            return None

        def array(part: Any) -> Array:
            return rows.row_weights("sample_weight", part, n)

        form = plan.objective.form
        several = form is not None and form.kind is not None
        arrays = isinstance(weights, (list, tuple)) and all(
            part is None or np.ndim(part) > 0 for part in weights
        )
        if isinstance(weights, dict) or (several and arrays):
            return mapped_leaves(array, weights)
        return array(weights)

    def _parted(
        self, plan: Plan, table: Batches, validation: tuple[float, object], own: bool
    ) -> tuple[Batches, Split | None, Batches | None]:
        """The rows to train on, the split if there is one, and the rows to validate on."""
        share, data = validation
        if data is not None:
            x, y, weights = parts_of_validation(data)
            with within("validation_data"):
                given = Given(x, y, weights)
                inputs = self._inputs("validation_data", given)
                shapes = [[a.shape[1:] for a in parts(b)] for b in (table.x, inputs[0])]
                if shapes[0] != shapes[1]:
                    raise ValueError(
                        f"x: expected rows of shape {shapes[0]}, as those to train on, got {shapes[1]}"
                    )
                return table, None, self._batches("validation_data", plan, inputs, given, own)
        if share == 0.0:
            return table, None, None
        split = self._splits.find(table.rows, share)
        if split is None:
            split = held_out(table.rows, share, self._strata(plan, table), self._key)
        held = table._replace(chosen=split.validation)
        return table._replace(chosen=split.training), split, held

    def _strata(self, plan: Plan, table: Batches) -> Any:
        loss = _only_native(plan.objective)
        if loss is None or not isinstance(table.y, np.ndarray):
            return None
        return strata_of(_labelled(table, loss), loss.row.targets)

    def _with_class_weights(
        self, plan: Plan, table: Batches, class_weight: Any, shapes: Sequence[Shape] | None
    ) -> Batches:
        if class_weight is None:
            return table
        objective = plan.objective
        if not isinstance(table.y, np.ndarray):
            raise ValueError(  # noqa: TRY004 - no type of its own is wrong
                "class_weight: rows have no one class with several outputs"
            )
        if isinstance(table.weights, (list, tuple, dict)):
            raise TypeError("class_weight: expected one sample_weight for all outputs")
        loss = objective.targets[0].loss if objective.targets else _only_native(objective)
        native = loss is not None and not loss.is_own
        width = math.prod(shapes[0]) if shapes else 0
        labelled = _labelled(table, loss if native else None, width)
        several = labelled.targets is not None and labelled.targets.shape[1] > 1
        if native and loss is not None:
            row = loss.row
            if not row.has_classes or (several and row.targets == "unit_or_missing"):
                raise ValueError(
                    f"class_weight: rows have no one class with the loss {loss.name}; use "
                    "sample_weight, or for several labels BinaryCrossentropy(pos_weight=...)"
                )
        width = width or _width(labelled)
        ignored = getattr(loss, "ignore_class", None)
        classes = 2 if width == 1 else width
        by_row = class_weights(class_weight, labelled, classes, ignored)
        return table._replace(weights=by_row)

    # -- what the loops ask

    def train_on_data(self, data: Any) -> Logs:
        return numbers_of("train_step", self.train_step(data))

    def test_on_data(self, data: Any) -> Logs:
        return numbers_of("test_step", self.test_step(data))

    def predict_on_data(self, data: Any) -> Any:
        return self.predict_step(data)

    def order(self, rows: int, shuffled: bool) -> NDArray[Any] | None:
        counts = self._counts()
        self._set_counts((counts[0], counts[1] + 1))
        return _core.permutation(rows, self._key, counts[1]) if shuffled else None

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


class _Training:
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
def _kept_metrics(metrics: Sequence[Metric]) -> Iterator[None]:
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


class _renamed:
    """Puts another beginning before the messages of ValueErrors."""

    def __init__(self, former: str, name: str) -> None:
        self._former, self._name = former, name

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, (ValueError, TypeError)) and self._former != self._name:
            text = self._name + str(error).removeprefix(self._former)
            raise type(error)(text) from error.__cause__


def mapped_leaves(function: Any, structure: Any) -> Any:
    """`function` of each part of a list or dictionary, of which each is one array."""
    if isinstance(structure, dict):
        return {n: None if part is None else function(part) for n, part in structure.items()}
    if isinstance(structure, (list, tuple)):
        made = [None if part is None else function(part) for part in structure]
        return tuple(made) if isinstance(structure, tuple) else made
    raise ValueError(
        f"y: expected a list or a dictionary with an array for each output, got {structure!r}"
    )


def _stand_in(width: int, dtype: Any) -> _core.Network:
    """A network without layers, which checks numbers as that of a model does."""
    network = _core.Network(width, dtype.name, 0)
    network.set_output(0)
    return network


def _only_native(objective: Objective) -> Loss | None:
    """The loss of a model of one output, where native code has it."""
    loss = objective.loss[0] if isinstance(objective.loss, list) else objective.loss
    return loss if isinstance(loss, Loss) and not loss.is_own else None


def _labelled(table: Batches, loss: Loss | None, width: int = 0) -> Table:
    """The rows as a table with labels or targets, for their classes."""
    y, x = table.y, np.empty((table.rows, 0))
    one = y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1)
    labels = loss.takes_labels if loss is not None else one and width != 1
    if labels:
        return Table(x, None, rows.labels(y, table.rows, (width,)), table.weights, table.chosen)
    return Table(x, y.reshape(table.rows, -1), None, table.weights, table.chosen)


def _width(table: Table) -> int:
    if table.labels is not None:
        return int(table.labels.max(initial=1)) + 1
    assert table.targets is not None
    return int(table.targets.shape[1])


def _check(objective: Objective, table: Batches, shapes: Sequence[Shape] | None) -> None:
    """Checks all values of y and weights natively. A step of the model's own checks its y."""
    for prefix, network, data in _views(objective, table, shapes):
        with _renamed("", prefix):
            network.check(data)


def _row_weights(
    doing: str, objective: Objective, table: Batches, shapes: Sequence[Shape] | None
) -> RowWeights:
    """The mean weight of a row for each output with a loss; ValueError where nothing counts."""
    n = table.length
    if shapes is None and objective.form is not None and objective.form.kind is None:
        loss = objective.targets[0].loss
        if loss is not None and isinstance(table.y, np.ndarray):
            return [_total(loss, table) / n]
    found = []
    for prefix, network, data in _views(objective, table, shapes):
        with _renamed("", prefix):
            found.append(network.check_weight_of(doing, data) / n)
    return found


def _total(loss: Loss, table: Batches) -> float:
    """The weight of all rows, where y may not be what the loss takes."""
    chosen = slice(None) if table.chosen is None else table.chosen
    y = table.y[chosen]
    weights = None if table.weights is None else table.weights[chosen]
    y = y.reshape(len(y)) if loss.takes_labels and y.size == len(y) else y.reshape(len(y), -1)
    return loss.weight_of(y, weights)


def _views(
    objective: Objective, table: Batches, shapes: Sequence[Shape] | None
) -> Iterator[tuple[str, _core.Network, _core.Data]]:
    """For each output with a loss a network that checks such data, and the data."""
    if objective.form is None or shapes is None:
        for weights in parts(table.weights):
            yield "", *_of_weights(weights, table)
        return
    ys, by_output = objective.targets_of(table.y), objective.weights_of(table.weights)
    for target, y, weights, shape in zip(objective.targets, ys, by_output, shapes, strict=True):
        if target.loss is None:
            continue
        prefix = "" if target.name is None else f"output {target.name!r}: "
        if target.loss.is_own or y is None:
            yield prefix, *_of_weights(weights, table)
            continue
        with _renamed("", prefix):
            view = _of_targets(target.loss, y, weights, shape, table)
        yield prefix, *view


def _of_targets(
    loss: Loss, y: Array, weights: Any, shape: Shape, table: Batches
) -> tuple[_core.Network, _core.Data]:
    n, width = table.rows, math.prod(shape)
    targets = labels = None
    if loss.takes_labels:
        labels = rows.labels(y, n, shape)
    else:
        gaps = loss.row.targets == "unit_or_missing"
        targets = rows.targets(y, n, shape, loss.name, missing_is_nan=gaps)
    network = _stand_in(width, np.dtype(table.dtype))
    network.compile(optimizer="sgd", **loss.options(width))
    x = np.broadcast_to(np.zeros((1, 1)), (n, width))
    return network, Table(x, targets, labels, weights, table.chosen).native()


def _of_weights(weights: Any, table: Batches) -> tuple[_core.Network, _core.Data]:
    """The same where only weights are to be checked."""
    network = _stand_in(1, np.dtype(np.float64))
    network.compile(optimizer="sgd", loss="mean_squared_error")
    x = np.broadcast_to(np.zeros((1, 1)), (table.rows, 1))
    return network, Table(x, x, None, weights, table.chosen).native()
