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
import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from numpy.typing import ArrayLike, NDArray

from fastnn import _core, config, optimizers
from fastnn.changes import Change, Switch
from fastnn.claims import Claim, Exclusive
from fastnn.data.structures import Form
from fastnn.layers.base import Layer, Shape
from fastnn.listing import Listed
from fastnn.losses import Loss
from fastnn.models import heads
from fastnn.models.built import Built, Settings
from fastnn.models.columns import Columns, Metrics, listed
from fastnn.models.graph import Call
from fastnn.models.objective import Objective, only_native
from fastnn.models.reasons import Reason, of_optimizer, of_variables, several
from fastnn.optimizers import Optimizer
from fastnn.variables import Variable, within
from fastnn.words import integer, keywords

AnyLoss = str | Loss | type[Loss] | Callable[[Any, Any], Any] | None


class Native(NamedTuple):
    """What the native loops train and count."""

    loss: Loss
    columns: Columns
    # The arguments `metrics` and `weighted_metrics`, for a model whose graph is not traced yet. Its
    # `columns` are a guess, and tracing makes the final ones from these.
    given: tuple[Metrics, Metrics] | None = None


class Plan(NamedTuple):
    """How to train, from the checked arguments of `compile`."""

    optimizer: Optimizer
    precision: config.Precision
    device: config.Device | None
    objective: Objective  # for training over the tape
    native: Native | None  # None: it trains over the tape alone
    reason: Reason | None  # why it does
    # For a model that is not built yet: its layers, and whether each of their Variables, or the layer
    # as long as it has none, was to be trained at `compile`.
    trained: tuple[tuple[Layer, tuple[bool, ...]], ...] = ()

    @property
    def loss(self) -> Loss:
        return self.native_for("loss").loss

    @property
    def columns(self) -> Columns:
        return self.native_for("metrics").columns

    def native_for(self, doing: str) -> Native:
        if self.native is None:
            why = "" if self.reason is None else f", since {self.reason.why}"
            raise RuntimeError(f"{doing}: the model trains over a tape{why}")
        return self.native


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
    form: Form = Form()  # of the outputs; those in a list have the names of their layers
    parts: tuple[Any, ...] = ()  # layers and models of a chain; none: those of the graph
    name: str | None = None  # that a model gave which this one is a part of
    home: weakref.ref[Any] | None = None  # that model
    # Models that are called in a graph which is not settled yet, and what they get from it.
    called: tuple[tuple[Any, State], ...] = ()
    # The InputLayers that the graph was drawn from, and its symbols, once they are asked for.
    drawing: dict[str, Any] | None = None
    traces: tuple[Any, ...] = ()  # of calls of a program's own in it (see `traces`)


class Compilable(Listed):
    """A model that can be compiled: layers of its own kind, a loss, an optimizer, metrics.

    Its State is replaced whole by changes, of which one at a time is under way: other threads wait.
    A model that is being trained is not changed.
    """

    _inside: ClassVar[Iterable[str]] = (
        *("columns", "gives_array", "keeps_averages", "more_is_better", "network", "prepare"),
        *("row_shapes", "shapes_for", "weights_from"),
        *("claim", "continues", "home", "is_training", "stand"),
    )
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

    @property
    @abstractmethod
    def name(self) -> str:
        """The name in tables, paths and messages."""

    @property
    def home(self) -> Any:
        """The model that this one is a part of, the first of several (for it); None: no model."""
        home = self._state.now.home
        return None if home is None else home()

    def claim(self, claim: Claim) -> None:
        """Lets this call alone change the model, as soon as others have ended."""
        self._changes.take(claim, waits=True)

    def stand(self, change: Change, **parts: Any) -> Switch[State]:
        """Parts of the State from this change on."""
        self._state = self._state.to(self._state.now._replace(**parts), change)
        return self._state

    def is_training(self, *, elsewhere: bool = False) -> bool:
        """Whether it is being trained; with `elsewhere` by another thread."""
        return self._training.goes_on(elsewhere=elsewhere)

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
    def _claim_parts(self, change: Change, state: State, others: Iterable[Layer] = ()) -> None:
        """Lets this change alone go on with the layers and models of `state`, and other layers."""

    @abstractmethod
    def _refresh(self, built: Built, doing: str) -> None:
        """Brings values of layers that another model has trained."""

    @abstractmethod
    def _take_over(self, built: Built, doing: str, *, if_free: bool = False) -> None:
        """Brings such values, and has the parameters of all layers in its own buffer from then on.

        RuntimeError where another model is training some of them; with `if_free` nothing happens.
        """

    @abstractmethod
    def _trained_now(self) -> tuple[tuple[Layer, tuple[bool, ...]], ...]:
        """Which layers are to be trained (see Plan)."""

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

    @abstractmethod
    def _variables(self) -> list[Variable]:
        """All Variables of the model that there are yet."""

    @abstractmethod
    def _check_output_name(self, objective: Objective, state: State, *, known: bool) -> None:
        """ValueError where losses or metrics name another output than the one of the model.

        `known`: whether the form of the outputs is, even where no layer gives a name.
        """

    def _check_heads(self, objective: Objective, state: State, built: Built | None) -> None:
        """ValueError where an output ends so that its loss refuses it, as far as the graph is known."""
        if not state.calls:
            return
        if state.form.kind is None:
            loss = only_native(objective)
            if loss is not None:
                heads.refuse(_head(state, built), loss)
            return
        if state.inputs or state.row_shape is not None:
            targets = [(target.name, target.loss) for target in objective.targets]
            heads.refuse_each(heads_of(state), targets)

    @abstractmethod
    def _reason_of_compile(self, objective: Objective, state: State) -> Reason | None:
        """Why the model trains over the tape, as far as `compile` can tell."""

    # -- the transaction

    def _built(self) -> Built:
        """The native network and its shapes; RuntimeError before the model is built."""
        state = self._state.now
        if state.built is not None:
            self._check_traces()
            return state.built
        if not self._has_built_graph and self._is_built_by_calls():
            raise RuntimeError(
                "the model is no native network, since it computes with more than layers; use predict"
            )
        if not self._has_built_graph or state.row_shape is None:
            raise RuntimeError(
                "the model is not built: give input_shape to its first layer, or call build"
            )
        # Its layers were built as a part of another model.
        return self.prepare(state.row_shape, lambda _: None, "build")

    def _check_traces(self, doing: str = "") -> None:
        """RuntimeError where a call of a program's own would make another graph by now."""
        for trace in self._state.now.traces:
            trace.check(doing, self)

    @property
    def built(self) -> bool:
        """Whether the parameters exist."""
        return self._has_built_graph or self._is_built_by_calls()

    @built.setter
    def built(self, value: bool) -> None:
        """Taken for programs that set it, as of Keras; whether a model is built is found out."""

    def _is_built_by_calls(self) -> bool:
        """Whether the parameters exist of a model that is no native graph."""
        return False

    @property
    def _has_built_graph(self) -> bool:
        """Whether the parameters of all layers of its graph exist."""
        state = self._state.now
        if state.built is not None:
            return True
        known = state.row_shape is not None and bool(state.calls)
        return known and all(layer.built for layer in state.layers if layer.has_parameters)

    @property
    def network(self) -> _core.Network:
        """The native network; RuntimeError before the model is built."""
        return self._built().network

    def row_shapes(self) -> tuple[Shape, Shape] | None:
        """Shapes of an input and an output row; None before the model is built."""
        state = self._state.now
        if state.built is not None:
            return state.built.shapes[0], state.built.shapes[-1]
        if not self._has_built_graph or state.row_shape is None:
            return None
        through = self.shapes_for(state.row_shape)
        return through[0], through[-1]

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
        self._check_traces(doing)
        state = self._state.now
        if state.built is not None and not trains:
            _check_same(doing, state, state.built, row_shape, plan)
            check(state.built.network)
            self._refresh(state.built, doing)
            return state.built
        change = Change(doing)
        with change, change.lock:
            self._changes.take(change, waits=True)
            state = self._state.now
            built = state.built
            new = state
            if built is None:
                known = state.row_shape if self._has_built_graph else None
                if known not in (None, row_shape):
                    raise ValueError(
                        f"{doing}: expected rows of shape {known}, for which the model "
                        f"{self.name!r} was built, got {row_shape}"
                    )
                new = self._built_for(change, state, row_shape)
                assert new.built is not None
                built = new.built
            _check_same(doing, state, built, row_shape, plan)
            check(built.network)
            if new is not state:
                self._settle(change, new._replace(row_shape=row_shape))
        if trains:
            self._take_over(built, doing)
        else:
            self._refresh(built, doing)
        return built

    def _built_for(
        self, change: Change, state: State, row_shape: Shape, settings: Settings | None = None
    ) -> State:
        """`state` with its layers built, and compiled if there is a plan; nothing changes."""
        state = self._traced_for(state, row_shape)
        self._claim_parts(change, state)
        built = self._assembled(state, row_shape)
        if state.plan is None:
            return state._replace(built=built)
        plan = state.plan
        native = plan.native
        if native is not None and state.form.kind is not None:  # which tracing found
            native, plan = None, plan._replace(native=None, reason=several())
            state = state._replace(plan=plan)
        reason = None if native is None else of_variables(built.all_variables)
        if reason is not None:
            native, plan = None, plan._replace(native=None, reason=reason)
            state = state._replace(plan=plan)
        if native is None:
            if not self._state.now.calls:  # `compile` did not know the graph
                self._check_heads(plan.objective, state, built)
            return state._replace(built=built)
        if native.given is not None:
            self._check_output_name(plan.objective, state, known=True)
            head = _head(state, built)
            heads.check(head, native.loss)
            columns = Columns(native.loss, head, *(listed(given) for given in native.given))
            plan = plan._replace(native=native._replace(columns=columns, given=None))
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
                _trained(plan, built, state.layers),
                *plan.optimizer.groups(variables),
                plan.optimizer.stage(),
                plan.loss.options(outputs),
            )
        network = built.network
        network.set_trainable(settings.trained)
        network.set_groups(settings.numbers)
        network.compile(
            optimizer=plan.optimizer.native,
            metrics=plan.columns.native(outputs),
            session=config.session(),
            precision=plan.precision,
            device=plan.device or "auto",
            groups=settings.groups,
            **settings.stage,
            **settings.loss,
            collects=plan.columns.collects,
        )
        plan.columns.compiled(built.shapes[-1], network.sum_widths, network.head)
        return built._replace(settings=settings)

    # -- compile

    @keywords()
    def compile(
        self,
        optimizer: str | Optimizer | type[Optimizer] = "adam",
        loss: AnyLoss | Sequence[AnyLoss] | Mapping[str, AnyLoss] = None,
        loss_weights: float | Sequence[float] | Mapping[str, float] | None = None,
        *,
        metrics: Any = None,
        weighted_metrics: Any = None,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        matmul_precision: Literal["highest", "high", "medium"] | None = None,
    ) -> None:
        """Sets how to train. Weights are kept; the state of the optimizer starts anew.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
            >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
            >>> model.compile(
            ...     optimizer=fastnn.optimizers.SGD(0.1, momentum=0.9),
            ...     loss=fastnn.losses.CategoricalCrossentropy(label_smoothing=0.1),
            ...     metrics=["accuracy", fastnn.metrics.TopKCategoricalAccuracy(2)],
            ... )
            >>> model.metrics_names
            ['loss', 'accuracy', 'top_k_categorical_accuracy']

        Args:
            optimizer: a name, an object or a class of `fastnn.optimizers`. (Default "adam", where
                Keras's is "rmsprop".)
            loss: a name, an object or a class of `fastnn.losses`, or a Python function
                (y_true, y_pred) -> Tensor (see `fastnn.losses.Loss`). Such a function gets y as
                it is, with (n,) and (n, 1) matched to the outputs; it may not broadcast the two
                into another shape, and returns a number, or numbers (n,) or (n, ...) with axes that
                y_true or y_pred has. Of several outputs one for
                all, a list or a dictionary by name; None leaves an output out. None alone is for
                models with a `train_step` or a `compute_loss` of their own.
            loss_weights: the weights of the losses of several outputs in their sum, as a list or a
                dictionary; None: each is 1.
            metrics: names or objects of `fastnn.metrics`, or Python functions (y_true, y_pred), in
                which each row counts once. "accuracy" is the accuracy that fits the loss and the
                outputs. Of several outputs a list of lists, or a dictionary of lists.
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
        objective = Objective(loss, loss_weights, metrics, weighted_metrics)
        new_optimizer = optimizers.get(optimizer)
        where = config.device(device)
        precision = config.matmul_precision(matmul_precision)
        change = Change("compile")
        with change, change.lock:
            self._changes.take(change, waits=True)
            self._training.refuse_all("compile")
            state = self._state.now
            built = state.built
            reason = self._reason_of_compile(objective, state) or of_optimizer(new_optimizer)
            native = None
            if reason is None:
                native = self._native_of(objective, *objective.given, state)
            plan = Plan(new_optimizer, precision, where, objective, native, reason)
            if built is None:
                plan = plan._replace(trained=self._trained_now())
            if built is not None:
                built.network.bring()
                built = self._renewed(state, built)
                built = (
                    built._replace(settings=None)
                    if native is None
                    else self._compiled_by(plan, built, state)
                )
            variables = self._variables()
            objective.found = [(variable, variable.trainable) for variable in variables]
            new_optimizer.forget(variables)
            self._settle(change, state._replace(plan=plan, built=built))
        self.stop_training = False

    def _native_of(
        self, objective: Objective, metrics: Metrics, weighted: Metrics, state: State
    ) -> Native:
        """The loss and the columns of the native loops; errors where they do not fit the model."""
        loss = objective.only_loss()
        # Before the graph is known, the head is taken for one that fits.
        head = heads.Head(loss.folds or "linear", None, None, None, None, None)
        if state.calls:
            head = _head(state, state.built)
            heads.check(head, loss)
        columns = Columns(loss, head, listed(metrics), listed(weighted))
        return Native(loss, columns, None if state.calls else (metrics, weighted))

    def session(self, batch_size: int) -> str:
        """The session that training in batches of this many rows uses; see `summary`.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
            >>> model.compile("sgd", "mean_squared_error")
            >>> model.session(32) in ("plain", "streaming", "tiled")
            True

        Raises:
            RuntimeError: the model is not compiled.
        """
        self._compiled("session").native_for("session")
        return self.network.session(integer("batch_size", batch_size))

    def _compiled(self, doing: str) -> Plan:
        state = self._state.now
        if state.plan is None:
            raise RuntimeError(f"{doing}: the model is not compiled; {state.not_compiled}")
        return state.plan

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called, and not undone by a change of the layers."""
        return self._state.now.plan is not None

    @property
    def matmul_precision(self) -> config.Precision:
        """The precision of matrix products in training, as `compile` found it."""
        plan = self._state.now.plan
        return "highest" if plan is None else plan.precision

    @property
    def loss(self) -> Any:
        """The loss given to `compile`; a list or dictionary of those of several outputs."""
        plan = self._compiled("loss")
        return plan.objective.loss if plan.native is None else plan.loss

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
    def continues(self) -> bool:
        """Whether the weights are those that training left: else averages of them begin anew."""
        built = self._state.now.built
        return built is None or built.network.continues

    @continues.setter
    def continues(self, value: bool) -> None:
        built = self._state.now.built
        if built is not None:
            built.network.continues = value

    def weights_from(self, parameters: NDArray[Any]) -> list[NDArray[Any]]:
        """All weights, of which those of the native network are in one array."""
        built = self._built()
        places = zip(built.all_variables, built.network.parameters, strict=True)
        found = {
            id(variable): within(variable, parameters, offset) for variable, (offset, _) in places
        }
        return [found[id(v)] if id(v) in found else v.numpy() for v in self.weights]

    @property
    def columns(self) -> Columns:
        """Names and native columns of loss and metrics."""
        return self._compiled("metrics").columns

    def more_is_better(self, key: str) -> bool | None:
        """Whether more of a value in the logs is better; None where that is not known."""
        plan = self._compiled("more_is_better")
        if plan.native is not None:
            known = plan.columns.more_is_better(key)
            if known is not None:
                return known
        return plan.objective.more_is_better(key)

    def gives_array(self, key: str) -> bool:
        """Whether the logs hold an array under this name; False also where that is not known yet."""
        plan = self._compiled("gives_array")
        return plan.native is not None and plan.columns.gives_array(key)

    @property
    def metrics_names(self) -> list[str]:
        """Names of the values that `evaluate` returns: "loss", then the metrics."""
        plan = self._compiled("metrics")
        return plan.objective.names() if plan.native is None else list(plan.columns.names)


def _trained(plan: Plan, built: Built, layers: Sequence[Layer]) -> list[bool]:
    """Whether each parameter is trained, as `compile` found it."""
    then = {id(layer): flags for layer, flags in plan.trained}
    found: list[bool] = []
    for layer, variables in zip(layers, built.variables, strict=True):
        # A layer that was made since `compile` may have no Variables yet.
        flags = then.get(id(layer), layer.trained_flags() or (layer.trainable,))
        found += flags if len(flags) == len(variables) else flags[:1] * len(variables)
    return found


def _head(state: State, built: Built | None) -> heads.Head:
    width = None if built is None else math.prod(built.shapes[-1])
    inputs = state.inputs
    if not inputs and built is not None:
        inputs = (built.shapes[0],)
    elif not inputs and state.row_shape is not None:
        inputs = (state.row_shape,)
    return heads.find(state.layers, state.calls, inputs, width)


def heads_of(state: State) -> list[heads.Head]:
    """The heads of all outputs of a graph whose input is known."""
    if state.form.kind is None:
        return [_head(state, state.built)]
    inputs = state.inputs or (state.row_shape or (),)
    return heads.find_each(state.layers, state.calls, inputs)


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
