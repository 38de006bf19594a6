"""Steps: what a model does with one batch over the tape; subclasses may override each of them."""

from __future__ import annotations

import functools
import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from fastnn.autodiff.following import following_step, made_in_step
from fastnn.autodiff.own_losses import with_axes_of
from fastnn.autodiff.shared import part_of_batch
from fastnn.autodiff.tape import GradientTape
from fastnn.autodiff.tensor import Tensor, tensor
from fastnn.console import warn
from fastnn.data.structures import parts
from fastnn.metrics.base import Metric
from fastnn.models.bound import waits
from fastnn.models.objective import Objective, Trained
from fastnn.models.repeated import Repeated
from fastnn.models.sums import LossTracker, PartOfLoss
from fastnn.models.tables import Tabled
from fastnn.utils import unpack_x_y_sample_weight
from fastnn.variables import Variable

Logs = dict[str, Any]
Doing = Literal["train", "test", "predict"]
# The steps of each loop: a class that overrides one of them wants to have that loop run by batches.
_STEPS: dict[Doing, tuple[str, ...]] = {
    "train": ("train_step", "compute_loss", "compute_metrics", "test_step"),
    "test": ("test_step", "compute_loss", "compute_metrics"),
    "predict": ("predict_step",),
}


class Steps(Tabled):
    """A model's steps with Keras's names and arguments.

    A class that overrides `train_step`, `test_step`, `predict_step`, `compute_loss` or
    `compute_metrics` has its `fit`, `evaluate` or `predict` run batch by batch:

        >>> import numpy as np
        >>> import fastnn
        >>> class Own(fastnn.Sequential):
        ...     def train_step(self, data):
        ...         x, y = data
        ...         with fastnn.GradientTape() as tape:
        ...             loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        ...         grads = tape.gradient(loss, self.trainable_variables)
        ...         self.optimizer.apply(grads, self.trainable_variables)
        ...         return {"loss": loss}
        >>> model = Own([fastnn.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> list(model.fit(np.ones((8, 2)), np.ones(8), epochs=3, verbose=0).history)
        ['loss']
    """

    _inside: ClassVar[Iterable[str]] = ("completed", "more_follows")

    # -- to override

    def train_step(self, data: Any) -> Logs:
        """One step of training on a batch.

            >>> class Counting(fastnn.Sequential):
            ...     def train_step(self, data):
            ...         return {**super().train_step(data), "rows": len(data[0])}
            >>> model = Counting([fastnn.layers.Dense(1)])
            >>> model.compile("sgd", "mean_squared_error")
            >>> model.fit(np.ones((8, 2)), np.ones(8), batch_size=4, verbose=0).history["rows"]
            [4.0]

        Args:
            data: (x, y) or (x, y, sample_weight) of Tensors, in the structure in which `fit` got
                them; x alone where it got no y. With `class_weight` there is a sample_weight.

        Returns:
            Names to numbers for logs; the last of an epoch are those of the epoch.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        passes = Repeated(self) if self.optimizer.full_batch else None
        y_pred, loss, variables, grads = self._differentiated(x, y, sample_weight)
        self._objective().tracker.update_state(loss)
        # Before the step: a metric that cannot be computed leaves the weights as they are.
        logs = self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
        if passes is not None:
            passes.begun()
            self._iterate(x, y, sample_weight, loss, variables, grads, passes)
            passes.ended()
        else:
            self._apply(grads, variables)
        return logs

    def test_step(self, data: Any) -> Logs:
        """The loss and metrics of a batch, added to those of the batches before; see `train_step`.

        >>> class Counting(fastnn.Sequential):
        ...     def test_step(self, data):
        ...         return {"rows": len(data[0])}
        >>> model = Counting([fastnn.layers.Dense(1)])
        >>> model.compile("sgd", "mean_squared_error")
        >>> model.evaluate(np.ones((8, 2)), np.ones(8), verbose=0, return_dict=True)
        {'rows': 8.0}
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self._called(x, training=False)
        loss = self._loss_of(x, y, y_pred, sample_weight, training=False)
        self._objective().tracker.update_state(loss)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def predict_step(self, data: Any) -> Any:
        """The outputs of a batch: a Tensor, or a list, tuple or dictionary of Tensors.

        >>> class Rounding(fastnn.Sequential):
        ...     def predict_step(self, data):
        ...         return fastnn.round(super().predict_step(data))
        >>> model = Rounding([fastnn.layers.Dense(1, input_shape=(1,))])
        >>> model.set_weights([[[1.0]], [0.0]])
        >>> model.predict([[1.7]]).tolist()
        [[2.0]]
        """
        x, _, _ = unpack_x_y_sample_weight(data)
        return self._called(x, training=False)

    def compute_loss(
        self,
        x: Any = None,  # noqa: ARG002 - for subclasses
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The loss of a batch, by the losses given to `compile`; of several outputs their sum.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
            >>> model.compile("sgd", "mean_squared_error")
            >>> y, y_pred = np.array([1.0, 2.0]), fastnn.constant([[2.0], [5.0]])
            >>> model.compute_loss(y=y, y_pred=y_pred).item()  # (1 + 9) / 2
            5.0

        Args:
            x: the inputs, which losses do not use; for subclasses that override this.
            y: targets, in the structure of the outputs.
            y_pred: the outputs.
            sample_weight: weights of rows (n,), or such for each output.
            training: True: weights count as in `fit` (see `Loss`): the sum of w * l is divided by
                the rows of the batch times the mean weight of the data set, which is 1 outside of
                `fit`. False: it is divided by the sum of w.

        Raises:
            ValueError: there is no loss, or targets do not fit the outputs.
        """
        objective = self._objective()
        y_pred = _of_one_output(y_pred)
        objective.settle(y, y_pred, self._output_names())
        model: Any = self
        return objective.value(y, y_pred, sample_weight, training, model.losses)

    def compute_metrics(
        self,
        x: Any,  # noqa: ARG002 - for subclasses
        y: Any,
        y_pred: Any,
        sample_weight: Any = None,
    ) -> Logs:
        """Adds a batch to the metrics given to `compile`; returns `get_metrics_result()`.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
            >>> model.compile("sgd", "mean_squared_error", metrics=["mae"])
            >>> y, y_pred = np.array([1.0, 2.0]), fastnn.constant([[2.0], [5.0]])
            >>> model.compute_metrics(None, y, y_pred)["mae"].item()  # (1 + 3) / 2
            2.0

        Args:
            x: the inputs, which metrics do not use; for subclasses that override this.
            y, y_pred, sample_weight: see `compute_loss`. Weights count in weighted metrics alone.
        """
        objective = self._objective()
        y_pred = _of_one_output(y_pred)
        objective.settle(y, y_pred, self._output_names())
        objective.count(y, y_pred, sample_weight)
        self._trains_taped = True  # also where a program calls this: `metrics` are those that count
        return self.get_metrics_result()

    def get_metrics_result(self) -> Logs:
        """Names to values of `metrics`, over the rows since `reset_metrics`.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
        >>> model.compile("sgd", "mean_squared_error", metrics=["mae"])
        >>> logs = model.compute_metrics(None, np.array([1.0]), fastnn.constant([[2.0]]))
        >>> logs = model.compute_metrics(None, np.array([2.0]), fastnn.constant([[5.0]]))
        >>> model.get_metrics_result()["mae"].item()  # (1 + 3) / 2
        2.0
        """
        logs: Logs = {}
        for metric in self.metrics:
            if self.more_follows and waits(metric):
                continue
            value: Any = metric.value() if type(metric) is LossTracker else metric.result()
            logs |= value if isinstance(value, dict) else {metric.name: value}
        return logs

    def completed(self, logs: Logs) -> Logs:
        """The logs of a step after which the loop stopped, with metrics that waited for the last."""
        left = [metric for metric in self.metrics if waits(metric) and metric.name not in logs]
        if not left or {"train_step", "compute_metrics"} & set(own_steps(self, "train")):
            return logs
        return self.get_metrics_result()

    def reset_metrics(self) -> None:
        """Forgets what metrics have counted, as `fit` does at the beginning of each epoch.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
        >>> model.compile("sgd", "mean_squared_error", metrics=["mae"])
        >>> logs = model.compute_metrics(None, np.array([1.0]), fastnn.constant([[2.0]]))
        >>> model.reset_metrics()
        >>> logs = model.compute_metrics(None, np.array([2.0]), fastnn.constant([[5.0]]))
        >>> logs["mae"].item()
        3.0
        """
        objective = self._objective()
        for metric in [objective.tracker, *objective.metrics, *self.metrics]:
            metric.reset_state()

    @property
    def metrics(self) -> list[Metric]:
        """The metrics given to `compile`.

        A model that trains over the tape has first the metric "loss", which `compute_loss` feeds,
        and last those among the model's attributes. A class may override it.
        """
        plan = self._compiled("metrics")
        if plan.native is not None and not self._trains_taped:
            return list(plan.columns.metrics)
        objective = plan.objective
        of_outputs = [PartOfLoss(objective.tracker, name) for name in objective.tracker.names[1:]]
        known = [objective.tracker, *of_outputs, *objective.metrics]
        own = [m for m in self._own_metrics() if not any(m is other for other in known)]
        return [*known, *own]

    # -- for the loops

    # Whether a step of a loop is not the last of its pass: metrics that are finished from all rows
    # are then left out of the logs, since they would cost more from step to step.
    more_follows = False
    # Whether the last call that trained or tested went over the tape, where only data could tell.
    _trains_taped = False

    def _own_metrics(self) -> list[Metric]:
        """Metrics among the attributes, also in lists and dictionaries."""
        found: list[Metric] = []
        for name, value in vars(self).items():
            if hasattr(type(value), "update_state"):  # `isinstance` would be slow
                found.append(value)
            # `_known` has the parts of the graph, which would be walked through at every step.
            elif isinstance(value, (list, tuple, dict)) and value and name != "_known":
                found += [part for part in parts(value) if isinstance(part, Metric)]
        return found

    def _objective(self) -> Objective:
        return self._compiled("metrics").objective

    def _output_names(self) -> tuple[str, ...]:
        """Names of several outputs; none where only a call tells."""
        return ()

    def _called(self, x: Any, training: bool) -> Any:
        model: Any = self
        return model(x, training=training)

    def _loss_of(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Tensor:
        """`compute_loss`, also one that does not take `training`."""
        own = type(self).compute_loss is not Steps.compute_loss or "compute_loss" in vars(self)
        if not own:
            return self.compute_loss(x, y, y_pred, sample_weight, training)
        how = {"training": training} if _takes_training(type(self).compute_loss) else {}
        y = with_axes_of(y, y_pred)
        targets = [] if y is None else parts(y)
        with following_step("compute_loss", targets, parts(sample_weight)):
            made_in_step(y_pred)
            return self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **how)

    def _variables_to_train(self) -> list[Variable]:
        """Variables as `compile` found them trainable; those made later, as they are."""
        variables = self._variables()
        trained = self._objective().trained_of(variables)
        return [v for v in variables if trained.has(v)]

    def _differentiated(
        self, x: Any, y: Any, sample_weight: Any
    ) -> tuple[Any, Tensor, list[Variable], list[Tensor | None]]:
        """Outputs and the loss in training, and its gradient for each Variable that is trained."""
        objective = self._objective()
        trained = objective.trained
        if trained is None:
            trained = objective.trained_of(self._variables())
        with GradientTape() as tape:
            for variable in trained.hidden:
                tape.watch(variable)
            y_pred = self._called(x, training=True)
            loss = self._loss_of(x, y, y_pred, sample_weight, training=True)
        # The loss depends on no others; the first call makes them.
        watched = tape.watched_variables()
        if any(id(v) not in trained.known for v in watched):
            trained = self._with_strangers(trained, watched, x)
        variables = [v for v in watched if id(v) not in trained.frozen]
        grads = tape.gradient(loss, variables)
        part = part_of_batch()
        if part is not None:
            grads = part.gradients(variables, grads)
        return y_pred, loss, variables, grads

    def _with_strangers(self, trained: Trained, watched: Iterable[Variable], x: Any) -> Trained:
        """`trained` with weights that calls have made, and without Variables that are none.

        As in Keras, the latter are not trained where a loss or a step uses them, such as those of
        another model in it.

        Raises:
            ValueError: `call` uses them: they would be in no file and no copy of the model.
        """
        known = frozenset(map(id, self._variables()))
        strangers = [v for v in watched if id(v) not in known]
        if strangers:
            with GradientTape() as tape:
                self._called(x, training=False)
            self._refuse_strangers([v for v in tape.watched_variables() if id(v) not in known])
        frozen = trained.frozen | {id(v) for v in strangers}
        now = trained._replace(frozen=frozen, known=known | frozen)
        if self._objective().trained is trained:
            self._objective().trained = now
        return now

    @abstractmethod
    def _refuse_strangers(self, variables: Sequence[Variable]) -> None:
        """ValueError where there are Variables that `call` uses and that are no weights."""

    def _iterate(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        loss: Tensor,
        variables: list[Variable],
        grads: list[Tensor | None],
        passes: Repeated,
    ) -> None:
        """A step that evaluates the loss several times; without one training ends."""
        optimizer: Any = self.optimizer
        moved = [v for v, grad in zip(variables, grads, strict=True) if grad is not None]
        limited = next((v.path for v in moved if v.constraint is not None), None)
        if limited is not None:
            name = type(optimizer).__name__
            raise ValueError(f"fit: {name} does not go with constraints, such as that of {limited}")

        def of_moved(variables: list[Variable], grads: list[Tensor | None]) -> list[Any]:
            by_variable = {id(v): grad for v, grad in zip(variables, grads, strict=True)}
            zero = [np.zeros(v.shape) for v in moved]
            found = [by_variable.get(id(v)) for v in moved]
            return [z if g is None else g.numpy() for g, z in zip(found, zero, strict=True)]

        def evaluate() -> tuple[float, list[Any]]:
            passes.again()
            _, value, now, here = self._differentiated(x, y, sample_weight)
            return float(value), of_moved(now, here)

        if not optimizer.iterate(moved, evaluate, (float(loss), of_moved(variables, grads))):
            self.stop_training = True

    def _apply(self, grads: list[Tensor | None], variables: list[Variable]) -> None:
        pairs = [(g, v) for g, v in zip(grads, variables, strict=True) if g is not None]
        objective = self._objective()
        if not pairs:
            if not self._variables_to_train():
                return  # all layers are frozen
            names = ", ".join(loss.name for loss in objective.all_losses()) or "compute_loss"
            raise ValueError(
                f"loss {names}: it does not depend on Tensors that the model made, so there is no "
                "gradient; compute it by fastnn.math from y_pred as it is given"
            )
        if not objective.told_missing:
            objective.told_missing = True
            given = {id(variable) for _, variable in pairs}
            missing = [v.path for v in self._variables_to_train() if id(v) not in given]
            if missing:
                warn(
                    f"fit: no gradient for {', '.join(missing)}: the loss does not depend on it; it "
                    "is left as it is",
                    UserWarning,
                )
        self.optimizer.apply_gradients(pairs)


def _of_one_output(y_pred: Any) -> Any:
    """Rows of numbers in lists as a Tensor: a list of arrays is of several outputs."""
    is_list = isinstance(y_pred, (list, tuple))
    return (
        tensor(y_pred)
        if is_list and all(isinstance(part, (int, float)) for part in parts(y_pred))
        else y_pred
    )


def own_steps(model: Steps, doing: Doing) -> tuple[str, ...]:
    """Names of the steps of a loop that a class, or a single model, overrides."""
    return tuple(
        name
        for name in _STEPS[doing]
        if getattr(type(model), name) is not getattr(Steps, name) or name in vars(model)
    )


@functools.lru_cache(256)
def _takes_training(function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters)


def numbers_of(step: str, logs: object) -> dict[str, Any]:
    """What a step returned as numbers; an array stays where it is no single number."""
    if not isinstance(logs, dict):
        raise TypeError(f"{step}: expected a dictionary of names to numbers, got {logs!r}")
    found: dict[str, Any] = {}
    for name, value in logs.items():
        if type(value) is float:
            found[str(name)] = value
            continue
        if isinstance(value, dict):
            found |= numbers_of(step, value)
            continue
        array = np.asarray(value.result() if isinstance(value, Metric) else value)
        found[str(name)] = float(array.item()) if array.size == 1 else array
    return found
