"""Compilable: `compile`, and how a call's data are checked before they reach native code.

Training is in `trainer`, the chain of layers in `sequential`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from numpy.typing import ArrayLike, NDArray

from fastnn import _core, config, losses, optimizers
from fastnn.data import rows
from fastnn.data.classes import class_weights
from fastnn.data.split import Split, held_out, strata_of
from fastnn.data.table import Table
from fastnn.layers.base import Layer, Shape
from fastnn.losses import Loss
from fastnn.metrics.base import Metric
from fastnn.models import heads
from fastnn.models.columns import Columns, Metrics, listed
from fastnn.optimizers import Optimizer
from fastnn.training.exclusive import Exclusive
from fastnn.words import integer, keywords

# Called with a native network that is about to become the model's, the flags of what is
# trained and the shape of an output row; an exception leaves the model as it was.
Approve = Callable[[_core.Network, list[bool], Shape], None]


class Compilable(ABC):
    """A model that can be compiled: layers of its own kind, a loss, an optimizer, metrics."""

    stop_training: bool = False

    def __init__(self, key: int) -> None:
        self._key = key
        self._exclusive = Exclusive()
        self._loss: Loss | None = None
        self._optimizer: Optimizer | None = None
        self._columns: Columns | None = None
        # Whether the native network knows what compile was told.
        self._prepared = False
        # What it knows of trainable parameters; None: that all are.
        self._trained: list[bool] | None = None
        self.matmul_precision: config.Precision = "highest"
        self._device: config.Device | None = None
        self._not_compiled = "call model.compile(...) first"
        self._splits: dict[tuple[int, float], Split] = {}

    # -- what a kind of model says of itself

    @property
    @abstractmethod
    def layers(self) -> list[Layer]:
        """The layers, in order."""

    @property
    @abstractmethod
    def network(self) -> _core.Network:
        """The native network; RuntimeError before the model is built."""

    @abstractmethod
    def row_shapes(self) -> tuple[Shape, Shape] | None:
        """Shapes of an input and an output row; None before the model is built."""

    @abstractmethod
    def shapes_for(self, row_shape: Shape) -> list[Shape]:
        """Shapes of a row through the layers, the input's first; builds nothing."""

    @abstractmethod
    def build_for(self, row_shape: Shape, approve: Approve | None = None) -> None:
        """Builds the model for rows of this shape, if `approve` lets it."""

    @abstractmethod
    def get_weights(self) -> list[NDArray[Any]]:
        """Copies of all weights."""

    @abstractmethod
    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Writes all weights, or none where one does not fit."""

    @abstractmethod
    def trainable_flags(self) -> list[bool]:
        """For each parameter, whether it is to be trained."""

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
        """Says how to train. Weights are kept; the optimizer's state begins anew.

        Args:
            optimizer: a name, an object or a class of `fastnn.optimizers`. (Default "adam";
                Keras's default, rmsprop, does not exist here.)
            loss: a name, an object or a class of `fastnn.losses`.
            metrics: names or objects of `fastnn.metrics`, in which each row counts once.
                "accuracy" is the accuracy that the loss and the outputs call for.
            weighted_metrics: the same, with rows counted by their weight.
            device: "auto", "cpu" or "cuda" (RuntimeError where it cannot be used, with the
                reason). "auto" is FASTNN_DEVICE or, without it, the GPU where there is one
                that can be used and a step is of at least a million operations.
            matmul_precision: "highest", "high" or "medium", how exact the matrix products of
                training in float32 must be; None: what
                `fastnn.set_float32_matmul_precision` says now (see there what each means, and
                where it makes a difference). Weights, optimizer state and sums stay float32,
                and so do `evaluate`, `predict` and `value_and_grad`, whatever it is.

        Training picks by shape how it walks through a step (`summary(batch_size=...)` tells);
        FASTNN_SESSION=plain, streaming or tiled in the environment forces one; on a GPU plain,
        generic, resident or wide.

        A cross-entropy looks at the last layer, whatever `from_logits` says (in Keras a
        forgotten or superfluous `from_logits` trains silently on the wrong loss): a softmax or
        sigmoid there is folded into the loss, a linear layer means logits.

        Raises:
            ValueError: an unknown name (with the near match), a last layer that cannot be
                meant with the loss, a metric that does not go with it.
            RuntimeError: weights that a GPU has cannot be read, once: the model is then back at
                the last copy of its state, and may be compiled.

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
        # heads.check, compile, the decorator, the user's call.
        heads.check(head, new_loss, stacklevel=4)
        columns = Columns(new_loss, head, listed(metrics), listed(weighted_metrics))
        where = config.device(device)
        precision = config.matmul_precision(matmul_precision)
        if shapes is not None:
            tell = self._teller(new_loss, new_optimizer, columns, precision, where)
            tell(self.network, self.trainable_flags(), shapes[1])
        self._prepared = shapes is not None
        self._loss, self._optimizer, self._columns = new_loss, new_optimizer, columns
        self.matmul_precision = precision
        self._device = where
        self.stop_training = False

    def _teller(
        self,
        loss: Loss,
        optimizer: Optimizer,
        columns: Columns,
        precision: config.Precision,
        device: config.Device | None,
    ) -> Approve:
        """What tells a native network how to train; an error leaves the network as it was."""

        def tell(network: _core.Network, flags: list[bool], output: Shape) -> None:
            outputs = math.prod(output)
            heads.check_width(heads.find(self.layers, outputs), loss)
            options = loss.options(outputs)
            session = config.session()
            network.set_trainable(flags)
            try:
                network.compile(
                    loss=loss.native,
                    optimizer=optimizer.native,
                    metrics=columns.native,
                    session=session,
                    precision=precision,
                    device=device or "auto",
                    **options,
                )
            except BaseException:
                network.set_trainable(self._trained or [True] * len(flags))
                raise
            self._trained = flags

        return tell

    def session(self, batch_size: int) -> str:
        """The session that training in batches of so many rows uses; see `summary`."""
        self._compiled("session")
        return self.network.session(integer("batch_size", batch_size))

    def forget_compile(self) -> None:
        """Undoes compile where layers come or go (for models)."""
        if self._loss is not None:
            self._not_compiled = "its layers changed since compile: call model.compile(...) again"
        self._loss = self._optimizer = self._columns = None
        self._prepared = False
        self._trained = None

    def _compiled(self, doing: str) -> Loss:
        if self._loss is None:
            raise RuntimeError(f"{doing}: the model is not compiled; {self._not_compiled}")
        return self._loss

    @property
    def compiled(self) -> bool:
        return self._loss is not None

    @property
    def loss(self) -> Loss:
        """The loss given to `compile`."""
        return self._compiled("loss")

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer given to `compile`; its `learning_rate` may be changed at any time."""
        self._compiled("optimizer")
        assert self._optimizer is not None
        return self._optimizer

    @property
    def columns(self) -> Columns:
        """Names and native columns of loss and metrics."""
        self._compiled("metrics")
        assert self._columns is not None
        return self._columns

    @property
    def metrics(self) -> list[Metric]:
        """The metrics given to `compile`."""
        return list(self.columns.metrics)

    @property
    def metrics_names(self) -> list[str]:
        """Names of what `evaluate` returns: "loss", then the metrics."""
        return list(self.columns.names)

    # -- data

    def _shapes(self, x: NDArray[Any]) -> tuple[Shape, Shape]:
        """Shapes of an input and an output row, also where x is yet to build the model."""
        shapes = self.row_shapes()
        if shapes is None:
            through = self.shapes_for(x.shape[1:])
            shapes = through[0], through[-1]
        return shapes

    def _rows(self, x: object) -> NDArray[Any]:
        shapes = self.row_shapes()
        return rows.rows("x", x, None if shapes is None else shapes[0])

    def _ready(self, x: NDArray[Any], check: Callable[[_core.Network], None]) -> None:
        """Builds and natively compiles what is still due, and checks all values.

        What `check` raises leaves the model as it was: not built, if it was not.
        """
        due = self._loss is not None and not self._prepared

        def approve(network: _core.Network, flags: list[bool], output: Shape) -> None:
            if due:
                self._teller(
                    self.loss, self.optimizer, self.columns, self.matmul_precision, self._device
                )(network, flags, output)
            check(network)

        shapes = self.row_shapes()
        if shapes is None:
            self.build_for(x.shape[1:], approve)
        else:
            approve(self.network, self.trainable_flags(), shapes[1])
        if due:
            self._prepared = True

    def _table(
        self, doing: str, x: object, y: object, weights: object, like: Table | None = None
    ) -> Table:
        """x, y and weights as arrays that native code reads, with types and shapes checked.

        `like`: the table whose rows the model is for, where it is not built yet.
        """
        loss = self._compiled(doing)
        if x is None or y is None:
            missing = "x" if x is None else "y"
            raise ValueError(f"{doing}: expected x and y, got None for {missing}")
        array = self._rows(x) if like is None else rows.rows("x", x, like.x.shape[1:])
        output = self._shapes(array)[1]
        n = len(array)
        labels = rows.labels(y, n, output) if loss.takes_labels else None
        targets = None if loss.takes_labels else rows.targets(y, n, output, loss.name)
        by_row = None if weights is None else rows.row_weights("sample_weight", weights, n)
        return Table(array, targets, labels, by_row)

    def _weigh_classes(self, table: Table, class_weight: Mapping[int, float] | None) -> Table:
        if class_weight is None:
            return table
        several = table.targets is not None and table.targets.shape[1] > 1
        if self.loss.native == "mean_squared_error" or (
            several and self.loss.native == "sigmoid_cross_entropy"
        ):
            raise ValueError(
                f"class_weight: rows have no one class with the loss {self.loss.name}; use "
                "sample_weight, or for several labels BinaryCrossentropy(pos_weight=...)"
            )
        outputs = math.prod(self._shapes(table.x)[1])
        classes = 2 if outputs == 1 else outputs
        return table._replace(weights=class_weights(class_weight, table, classes))

    def _validation(
        self, table: Table, share: float, given: object
    ) -> tuple[Split | None, Table | None]:
        """The split of `table`, or the table that validation_data makes, or neither.

        A split is for `fit` to remember, once all values are checked.
        """
        if given is not None:
            if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
                raise ValueError(
                    "validation_data: expected (x, y) or (x, y, sample_weight), got "
                    f"{type(given).__name__}"
                )
            x, y, weights = (*given, None)[:3]
            return None, self._table("validation_data", x, y, weights, like=table)
        if share == 0.0:
            return None, None
        split = self._splits.get((len(table.x), share))
        if split is None:
            split = held_out(len(table.x), share, strata_of(table, self.loss.native), self._key)
        return split, table._replace(chosen=split.validation)
