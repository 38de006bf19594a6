"""Compilable: the settings of `compile`, and the one transaction that makes a model ready.

The calls of a model (fit, evaluate, ...) go through these steps, and an error in any of them leaves
the model as it was: not built, if it was not, and with the state of the optimizer.

1. Arguments are checked, and data become tables (`tables`).
2. The layers are built, if they are not (`built`).
3. The native network is compiled, if `compile` came before the build.
4. Native code checks the values of the data.
5. The model keeps the network that was built and compiled.

Steps 2 to 5 are `Compilable.prepare`. Training itself is in `trainer`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from numpy.typing import ArrayLike, NDArray

from fastnn import _core, config, losses, optimizers
from fastnn.layers.base import Layer, Shape
from fastnn.losses import Loss
from fastnn.metrics.base import Metric
from fastnn.models import heads
from fastnn.models.built import Built
from fastnn.models.columns import Columns, Metrics, listed
from fastnn.optimizers import Optimizer
from fastnn.training.exclusive import Exclusive
from fastnn.words import integer, keywords


class Plan(NamedTuple):
    """How to train, from the checked arguments of `compile`."""

    loss: Loss
    optimizer: Optimizer
    columns: Columns
    precision: config.Precision
    device: config.Device | None


class Compilable(ABC):
    """A model that can be compiled: layers of its own kind, a loss, an optimizer, metrics."""

    stop_training: bool = False

    def __init__(self, key: int) -> None:
        self._key = key
        self._exclusive = Exclusive()
        self._built: Built | None = None
        self._plan: Plan | None = None
        # Whether the native network of `_built` is compiled by `_plan`.
        self._prepared = False
        # The parameters that this network trains; None: all of them.
        self._trained: list[bool] | None = None
        # The group of each of its parameters; None: all are of one group.
        self._grouped: list[int] | None = None
        # Whether the native compile asked for an average of the weights.
        self._averages = False
        self.matmul_precision: config.Precision = "highest"
        self._not_compiled = "call model.compile(...) first"

    # -- for each kind of model to define

    @property
    @abstractmethod
    def layers(self) -> list[Layer]:
        """The layers, in order."""

    @property
    @abstractmethod
    def network(self) -> _core.Network:
        """The native network; RuntimeError before the model is built."""

    @abstractmethod
    def shapes_for(self, row_shape: Shape) -> list[Shape]:
        """Shapes of a row through the layers, the input's first; builds nothing."""

    @abstractmethod
    def build_for(self, row_shape: Shape) -> Built:
        """The layers built for rows of this shape; nothing of the model changes."""

    @abstractmethod
    def keep(self, built: Built) -> None:
        """Makes `built` the state of the model and of its layers."""

    @abstractmethod
    def get_weights(self) -> list[NDArray[Any]]:
        """Copies of all weights."""

    @abstractmethod
    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Writes all weights, or none where one does not fit."""

    # -- the transaction

    def row_shapes(self) -> tuple[Shape, Shape] | None:
        """Shapes of an input and an output row; None before the model is built."""
        return None if self._built is None else (self._built.shapes[0], self._built.shapes[-1])

    def prepare(self, row_shape: Shape, check: Callable[[_core.Network], None]) -> None:
        """Builds and natively compiles the model, if due, and keeps the result once `check` has passed.

        `check` raises an error where values of the data, whose rows have this shape, are wrong.
        """
        built = self.build_for(row_shape) if self._built is None else self._built
        plan = None if self._prepared else self._plan
        if plan is not None:
            self._compile_natively(built, plan)
        check(built.network)
        if built is not self._built:
            self.keep(built)
        if plan is not None:
            self._prepared, self._trained = True, built.trainable

    def _compile_natively(self, built: Built, plan: Plan) -> None:
        """Tells the network of `built` how to train; an error leaves the network as it was."""
        outputs = math.prod(built.shapes[-1])
        heads.check_width(heads.find(self.layers, outputs), plan.loss)
        options = plan.loss.options(outputs)
        session = config.session()
        network, trained = built.network, built.trainable
        groups, numbers = plan.optimizer.groups([v for layer in built.variables for v in layer])
        network.set_trainable(trained)
        network.set_groups(numbers)
        try:
            network.compile(
                optimizer=plan.optimizer.native,
                metrics=plan.columns.native,
                session=session,
                precision=plan.precision,
                device=plan.device or "auto",
                groups=groups,
                **plan.optimizer.stage(),
                **options,
            )
        except BaseException:
            network.set_trainable(self._trained or [True] * len(trained))
            network.set_groups(self._grouped or [0] * len(trained))
            raise
        self._grouped = numbers
        self._averages = plan.optimizer.use_ema
        plan.columns.widths = network.sum_widths

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
        self._exclusive.refuse_all("compile")
        if loss is None:
            raise ValueError("compile: expected a loss, for example loss='mean_squared_error'")
        new_loss = losses.get(loss)
        new_optimizer = optimizers.get(optimizer)
        shapes = self.row_shapes()
        head = heads.find(self.layers, None if shapes is None else math.prod(shapes[1]))
        # Four frames: heads.check, compile, the decorator, the user's call.
        heads.check(head, new_loss, stacklevel=4)
        columns = Columns(new_loss, head, listed(metrics), listed(weighted_metrics))
        where = config.device(device)
        precision = config.matmul_precision(matmul_precision)
        plan = Plan(new_loss, new_optimizer, columns, precision, where)
        if self._built is not None:
            self._compile_natively(self._built, plan)
            self._trained = self._built.trainable
        self._plan, self._prepared = plan, self._built is not None
        self.matmul_precision = precision
        self.stop_training = False

    def session(self, batch_size: int) -> str:
        """The session that training in batches of this many rows uses; see `summary`."""
        self._compiled("session")
        return self.network.session(integer("batch_size", batch_size))

    def forget_compile(self) -> None:
        """Undoes compile where layers come or go (for models)."""
        if self._plan is not None:
            self._not_compiled = "its layers changed since compile: call model.compile(...) again"
        self._plan = self._trained = self._grouped = None
        self._prepared = False

    def _compiled(self, doing: str) -> Plan:
        if self._plan is None:
            raise RuntimeError(f"{doing}: the model is not compiled; {self._not_compiled}")
        return self._plan

    @property
    def compiled(self) -> bool:
        return self._plan is not None

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
        return self._averages

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
