"""Compilable: the settings of `compile`, and the one transaction that makes a model ready.

The calls of a model (fit, evaluate, ...) go through these steps, and an error in any of them leaves
the model as it was: not built, if it was not, and with the state of the optimizer.

1. Arguments are checked, and data become tables (`tables`).
2. The layers are built, if they are not (`built`), and the native network is compiled, if there was
   a `compile`.
3. Native code checks the values of the data.
4. The model keeps the network that was built and compiled.

Steps 2 to 4 are `Compilable.prepare`. Training itself is in `trainer`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from numpy.typing import ArrayLike, NDArray

from fastnn import _core, config, losses, optimizers
from fastnn.changes import Change, Switch
from fastnn.claims import Claim, Exclusive
from fastnn.layers.base import Layer, Shape
from fastnn.listing import Listed
from fastnn.losses import Loss
from fastnn.metrics.base import Metric
from fastnn.models import heads
from fastnn.models.built import Built, Settings
from fastnn.models.columns import Columns, Metrics, listed
from fastnn.models.graph import Call
from fastnn.optimizers import Optimizer
from fastnn.variables import Variable
from fastnn.words import integer, keywords


class Plan(NamedTuple):
    """How to train, from the checked arguments of `compile`."""

    loss: Loss
    optimizer: Optimizer
    columns: Columns
    precision: config.Precision
    device: config.Device | None
    # The arguments `metrics` and `weighted_metrics`, for a model whose graph is not traced yet. Its
    # `columns` are a guess, and tracing makes the final ones from these.
    given: tuple[Metrics, Metrics] | None = None


class State(NamedTuple):
    """All that a change of a model may replace; where there are `built` and `plan`, the network
    is compiled by the plan."""

    layers: tuple[Layer, ...] = ()
    calls: tuple[Call, ...] = ()
    inputs: tuple[Shape, ...] = ()  # shapes of a row of each input; none: the rows are the input
    row_shape: Shape | None = None  # from `build` or from the first data
    built: Built | None = None
    plan: Plan | None = None
    not_compiled: str = "call model.compile(...) first"  # why there is no plan


class Compilable(Listed):
    """A model that can be compiled: layers of its own kind, a loss, an optimizer, metrics.

    Its State is replaced whole by changes, of which one at a time is under way: other threads wait.
    A model that is being trained is not changed.
    """

    _inside = ("columns", "keeps_averages", "network", "prepare", "row_shapes", "shapes_for")
    stop_training: bool = False

    def __init__(self, key: int) -> None:
        self._key = key
        self._training = Exclusive("this model")
        self._changes = Exclusive("this model")
        self._state = Switch(State())

    # -- for each kind of model to define

    @property
    @abstractmethod
    def layers(self) -> list[Layer]:
        """The layers, in order."""

    @abstractmethod
    def _traced_for(self, state: State, row_shape: Shape) -> State:
        """`state` with its graph, for rows of this shape; an error where there is none."""

    @abstractmethod
    def shapes_for(self, row_shape: Shape) -> list[Shape]:
        """Shapes of a row through the layers, the input's first; builds nothing."""

    @abstractmethod
    def _assembled(self, state: State, row_shape: Shape) -> Built:
        """The layers of `state` built for rows of this shape; nothing of the model changes."""

    @abstractmethod
    def _renewed(self, state: State, built: Built) -> Built:
        """`built` with a new network over the same parameters."""

    @abstractmethod
    def _settle(self, change: Change, state: State) -> None:
        """Makes `state` that of the model and of its layers, at one moment."""

    @property
    @abstractmethod
    def weights(self) -> list[Variable]:
        """All Variables."""

    @abstractmethod
    def get_weights(self) -> list[NDArray[Any]]:
        """Copies of all weights."""

    @abstractmethod
    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Writes all weights, or none where one does not fit."""

    # -- the transaction

    def _built(self) -> Built:
        """The native network and its shapes; RuntimeError before the model is built."""
        built = self._state.now.built
        if built is None:
            raise RuntimeError(
                "the model is not built: give input_shape to its first layer, or call build"
            )
        return built

    @property
    def network(self) -> _core.Network:
        """The native network; RuntimeError before the model is built."""
        return self._built().network

    def row_shapes(self) -> tuple[Shape, Shape] | None:
        """Shapes of an input and an output row; None before the model is built."""
        built = self._state.now.built
        return None if built is None else (built.shapes[0], built.shapes[-1])

    def prepare(
        self,
        row_shape: Shape,
        check: Callable[[_core.Network], None],
        doing: str,
        plan: Plan | None = None,
        *,
        trains: bool = False,
    ) -> Built:
        """Builds the model if due, and keeps the result once `check` has passed.

        `check` raises an error where values of the data, whose rows have this shape, are wrong.
        `plan`: the one by which the data were made into tables, if any. A call that trains has
        claimed the model; changes that began before are waited for.
        """
        state = self._state.now
        if state.built is not None and not trains:
            _check_same(doing, state, state.built, row_shape, plan)
            check(state.built.network)
            return state.built
        change = Change(doing)
        with change, change.lock:
            self._changes.take(change, waits=True)
            state = self._state.now
            built = state.built
            new = state
            if built is None:
                new = self._built_for(change, state, row_shape)
                assert new.built is not None
                built = new.built
            _check_same(doing, state, built, row_shape, plan)
            check(built.network)
            if new is not state:
                self._settle(change, new._replace(row_shape=row_shape))
        return built

    def _built_for(
        self, change: Change, state: State, row_shape: Shape, settings: Settings | None = None
    ) -> State:
        """`state` with its layers built, and compiled if there is a plan; nothing changes."""
        state = self._traced_for(state, row_shape)
        claim_layers(change, state.layers)
        built = self._assembled(state, row_shape)
        if state.plan is None:
            return state._replace(built=built)
        plan = state.plan
        if plan.given is not None:
            head = _head(state, built)
            heads.check(head, plan.loss)
            columns = Columns(plan.loss, head, *(listed(given) for given in plan.given))
            plan = plan._replace(columns=columns, given=None)
        return state._replace(built=self._compiled_by(plan, built, state, settings), plan=plan)

    def _compiled_by(
        self, plan: Plan, built: Built, state: State, settings: Settings | None = None
    ) -> Built:
        """`built` with its network, which nothing else uses yet, compiled.

        `settings`: of the model that this is a copy of; None: the present ones.
        """
        outputs = math.prod(built.shapes[-1])
        heads.check_width(_head(state, built), plan.loss)
        if settings is None:
            variables = built.all_variables
            settings = Settings(
                [variable.trainable for variable in variables],
                *plan.optimizer.groups(variables),
                plan.optimizer.stage(),
                plan.loss.options(outputs),
            )
        network = built.network
        network.set_trainable(settings.trained)
        network.set_groups(settings.numbers)
        network.compile(
            optimizer=plan.optimizer.native,
            metrics=plan.columns.native,
            session=config.session(),
            precision=plan.precision,
            device=plan.device or "auto",
            groups=settings.groups,
            **settings.stage,
            **settings.loss,
        )
        plan.columns.widths = network.sum_widths
        return built._replace(settings=settings)

    # -- compile

    @keywords()
    def compile(
        self,
        optimizer: str | Optimizer | type[Optimizer] = "adam",
        loss: str | Loss | type[Loss] | None = None,
        *,
        metrics: Metrics = None,
        weighted_metrics: Metrics = None,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        matmul_precision: Literal["highest", "high", "medium"] | None = None,
    ) -> None:
        """Sets how to train. Weights are kept; the state of the optimizer starts anew.

        Args:
            optimizer: a name, an object or a class of `fastnn.optimizers`. (Default "adam", where
                Keras's is "rmsprop".)
            loss: a name, an object or a class of `fastnn.losses`.
            metrics: names or objects of `fastnn.metrics`, in which each row counts once.
                "accuracy" is the accuracy that fits the loss and the outputs.
            weighted_metrics: the same, with rows counted by their weight.
            device: "auto", "cpu" or "cuda" (RuntimeError where it cannot be used, with the
                reason). "auto" is FASTNN_DEVICE or, without it, the GPU, if one can be used and
                a step has at least a million operations.
            matmul_precision: "highest", "high" or "medium", how exact the matrix products of
                training in float32 must be; None: the present setting of
                `fastnn.set_float32_matmul_precision`, which explains the three words. Weights,
                optimizer state and sums are float32 with any of them, and so are `evaluate`,
                `predict` and `value_and_grad`.

        The session that runs a training step depends on its shape; `summary(batch_size=...)`
        names it. FASTNN_SESSION=plain, streaming or tiled in the environment forces one; on a
        GPU plain, generic, resident or wide.

        A cross-entropy depends on the last layer, not on `from_logits` (in Keras a forgotten or
        superfluous `from_logits` trains silently on the wrong loss): a softmax or sigmoid there
        is folded into the loss, a linear layer gives logits.

        Raises:
            ValueError: an unknown name (with the near match), a last layer or a metric that
                does not go with the loss.
            RuntimeError: the weights on a GPU cannot be read. It is raised once; the model is
                then back at the last copy of its state, and may be compiled.

        Warns:
            UserWarning: from_logits=True after a softmax or sigmoid.
        """
        if loss is None:
            raise ValueError("compile: expected a loss, for example loss='mean_squared_error'")
        new_loss = losses.get(loss)
        new_optimizer = optimizers.get(optimizer)
        where = config.device(device)
        precision = config.matmul_precision(matmul_precision)
        change = Change("compile")
        with change, change.lock:
            self._changes.take(change, waits=True)
            self._training.refuse_all("compile")
            state = self._state.now
            built = state.built
            # Before the graph is known, the head is taken for one that fits.
            head = heads.Head(new_loss.folds or "linear", None, None, None, None, None)
            if state.calls:
                head = _head(state, built)
                heads.check(head, new_loss)
            columns = Columns(new_loss, head, listed(metrics), listed(weighted_metrics))
            plan = Plan(new_loss, new_optimizer, columns, precision, where)
            if not state.calls:
                plan = plan._replace(given=(metrics, weighted_metrics))
            if built is not None:
                built.network.bring()
                built = self._compiled_by(plan, self._renewed(state, built), state)
            self._settle(change, state._replace(plan=plan, built=built))
        self.stop_training = False

    def session(self, batch_size: int) -> str:
        """The session that training in batches of this many rows uses; see `summary`."""
        self._compiled("session")
        return self.network.session(integer("batch_size", batch_size))

    def _compiled(self, doing: str) -> Plan:
        state = self._state.now
        if state.plan is None:
            raise RuntimeError(f"{doing}: the model is not compiled; {state.not_compiled}")
        return state.plan

    @property
    def compiled(self) -> bool:
        return self._state.now.plan is not None

    @property
    def matmul_precision(self) -> config.Precision:
        """The precision of matrix products in training, as `compile` found it."""
        plan = self._state.now.plan
        return "highest" if plan is None else plan.precision

    @property
    def loss(self) -> Loss:
        """The loss given to `compile`."""
        return self._compiled("loss").loss

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer given to `compile`; its `learning_rate` may be changed at any time."""
        return self._compiled("optimizer").optimizer

    @property
    def keeps_averages(self) -> bool:
        """Whether training keeps an average of the weights: use_ema, as `compile` found it."""
        built = self._state.now.built
        settings = None if built is None else built.settings
        return settings is not None and settings.averages

    @property
    def columns(self) -> Columns:
        """Names and native columns of loss and metrics."""
        return self._compiled("metrics").columns

    @property
    def metrics(self) -> list[Metric]:
        """The metrics given to `compile`."""
        return list(self.columns.metrics)

    @property
    def metrics_names(self) -> list[str]:
        """Names of the values that `evaluate` returns: "loss", then the metrics."""
        return list(self.columns.names)


def _head(state: State, built: Built | None) -> heads.Head:
    width = None if built is None else math.prod(built.shapes[-1])
    return heads.find(state.layers, state.calls, state.inputs, width)


def claim_layers(claim: Claim, layers: Iterable[Layer]) -> None:
    """Lets this call alone change the layers, as soon as others have ended.

    They are taken in one order by all threads, so that no two threads wait for each other.
    """
    for layer in sorted(layers, key=id):
        layer.claim(claim)


def _check_same(
    doing: str, state: State, built: Built, row_shape: Shape, plan: Plan | None
) -> None:
    """Errors where another thread built or compiled the model in another way meanwhile."""
    if built.shapes[0] != row_shape:
        raise ValueError(
            f"{doing}: expected rows of shape {built.shapes[0]}, for which the model was built, "
            f"got {row_shape}"
        )
    if plan is not None and state.plan is not plan:
        raise RuntimeError(f"{doing}: the model was changed in another thread meanwhile")
