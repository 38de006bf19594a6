"""Tabled: how the data of a call become tables of the types and shapes that the model takes.

Nothing of the model changes here, and values are checked later, natively (see `compiled`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data import rows
from fastnn.data.chunks import Chunks
from fastnn.data.classes import class_weights, label_weights
from fastnn.data.split import Split, Splits, held_out, strata_of
from fastnn.data.table import Table
from fastnn.layers.base import Shape
from fastnn.losses import Loss
from fastnn.models.compiled import Compilable
from fastnn.training.ranks import Joined
from fastnn.words import within


class Tabled(Compilable):
    """A model that can be compiled, and takes data as rows, targets and weights."""

    def __init__(self, key: int) -> None:
        super().__init__(key)
        self._splits = Splits()

    def _shapes(self, x: NDArray[Any]) -> tuple[Shape, Shape]:
        """Shapes of an input and an output row, also before x has built the model."""
        shapes = self.row_shapes()
        if shapes is None:
            through = self.shapes_for(x.shape[1:])
            shapes = through[0], through[-1]
        return shapes

    def _rows(self, x: object) -> Any:
        """x as rows that the model takes."""
        shapes = self.row_shapes()
        return rows.rows_of_model("x", self._joined(x), None if shapes is None else shapes[0])

    def _joined(self, x: object) -> object:
        """x; of a model with several inputs, these side by side."""
        return x

    def _table(
        self, doing: str, x: object, y: object, weights: object, like: Table | None = None
    ) -> Table:
        """x, y and weights as arrays that native code reads, with types and shapes checked.

        `like`: a table with rows of the same shape, for a model that is not built yet. Errors are
        then about validation_data.
        """
        loss = self._compiled(doing).loss
        if x is None or y is None:
            raise without(doing, "x" if x is None else "y", x)
        if like is None:
            return self._arrays(loss, x, y, weights)
        with within("validation_data"):
            return self._arrays(loss, x, y, weights, like)

    def _arrays(
        self, loss: Loss, x: object, y: object, weights: object, like: Table | None = None
    ) -> Table:
        if like is None:
            array = self._rows(x)
        else:
            array = rows.rows_of_model("x", self._joined(x), like.x.shape[1:])
        output = self._shapes(array)[1]
        n = len(array)
        given = targets = labels = None
        if loss.takes_labels:
            given = rows.given_labels(y, n, output)
            labels = rows.integral("y", given)
        else:
            targets = targets_for(loss, y, n, output)
        weighed = None
        if weights is not None:
            columns = 1 if targets is None or loss.row.by_row else targets.shape[1]
            weighed = rows.weights("sample_weight", weights, n, columns)
            if weighed.ndim == 2:
                self._compiled("fit").columns.refuse_weights_of_elements()
        return Table(array, targets, labels, weighed, given=given, flat=_is_flat(y))

    def _weigh_classes(self, table: Table, class_weight: object) -> Table:
        """The table with the weights of classes multiplied into those of rows.

        "balanced" counts the classes of the rows that the table has chosen.
        """
        if class_weight is None:
            return table
        loss = self._compiled("fit").loss
        outputs = math.prod(self._shapes(table.x)[1])
        return table._replace(weights=weights_of_classes(class_weight, table, loss, outputs))

    def _validation(
        self, table: Table, share: float, given: object
    ) -> tuple[Split | None, Table | None]:
        """The split of `table`, or the table that validation_data makes, or neither.

        `fit` remembers the split once all values are checked.
        """
        if given is not None:
            x, y, weights = parts_of_validation(given)
            return None, self._table("validation_data", x, y, weights, like=table)
        if share == 0.0:
            return None, None
        split = self._splits.find(len(table.x), share)
        if split is None:
            targets = self._compiled("fit").loss.row.targets
            split = held_out(len(table.x), share, strata_of(table, targets), self._key)
        return split, table._replace(chosen=split.validation)

    def _of_shards(
        self, ranks: Joined, table: Table, share: float, given: object, class_weight: object
    ) -> tuple[Split | None, Table, Table | None]:
        """The split of the rows of all ranks, and this rank's rows to train and to validate on.

        A split and "balanced" weights are those of one process that has the rows of all ranks: only
        their targets are brought together.
        """
        ranks.share(table.length)
        if not share and class_weight is None:
            return None, table, self._validation(table, share, given)[1]
        whole = ranks.whole(table)
        split, validation = self._validation(whole if given is None else table, share, given)
        train = table
        if split is not None:
            whole = whole._replace(chosen=split.training)
            train = table._replace(chosen=ranks.own(split.training, table.length))
            validation = table._replace(chosen=ranks.own(split.validation, table.length))
        if class_weight is not None:
            weights = self._weigh_classes(whole, class_weight).weights
            assert weights is not None
            own = weights[ranks.before : ranks.before + table.length]
            train = train._replace(weights=rows.times(table.weights, own))
        return split, train, validation


def _is_flat(y: object) -> bool:
    """Whether y has no axis but that of rows."""
    axes = getattr(y, "ndim", None)
    if isinstance(axes, int):
        return axes == 1
    return isinstance(y, (list, tuple)) and bool(y) and np.ndim(y[0]) == 0


def targets_for(loss: Loss, y: object, n: int, output: Shape) -> NDArray[Any]:
    """Targets (n, targets of a row) that `loss` compares with outputs of this shape."""
    each = loss.row.outputs_of_target
    if each > 1:
        width = math.prod(output)
        if width % each:
            raise ValueError(
                f"loss {loss.name}: expected {each} outputs for each target, got {width} outputs"
            )
        output = (width // each,)
    return rows.targets(
        y,
        n,
        output,
        loss.name,
        missing_is_nan=loss.takes_gaps,
        repeated=loss.repeats_targets,
    )


def weights_of_classes(
    class_weight: object, table: Table, loss: Loss | None, outputs: int
) -> NDArray[np.float64]:
    """The weights of `table` times those of classes, or of labels that do not exclude each other.

    `loss`: None: one of a user's own.
    """
    several = table.targets is not None and table.targets.shape[1] > 1
    if loss is not None:
        if not loss.row.has_classes:
            raise ValueError(
                f"class_weight: rows have no one class with the loss {loss.name}; use sample_weight"
            )
        if several and loss.row.targets == "unit_or_missing":
            return label_weights(class_weight, table)
    ignored = getattr(loss, "ignore_class", None)
    return class_weights(class_weight, table, 2 if outputs == 1 else outputs, ignored)


def without(doing: str, missing: str, x: object) -> ValueError:
    """The error for x or y that is None, with what the other one looks like."""
    meant = ""
    if isinstance(x, tuple) and len(x) in (2, 3):
        meant = f"; x is a tuple: give its parts one by one, {doing}(x, y)"
    elif callable(x) and not hasattr(x, "__array__"):
        meant = "; x is a function: call it for the generator of batches that it makes"
    return ValueError(f"{doing}: expected x and y, got None for {missing}{meant}")


def parts_of_validation(given: object) -> tuple[Any, Any, Any]:
    """x, y and sample_weight of validation_data."""
    if isinstance(given, (tuple, list)) and len(given) in (2, 3):
        x, y, weights = (*given, None)[:3]
        return x, y, weights
    if isinstance(given, Chunks):
        raise ValueError(  # noqa: TRY004 - the type is right elsewhere
            "validation_data: Chunks go beside x of Chunks or of batches; give (x, y)"
        )
    told = f"a {type(given).__name__}"
    if isinstance(given, (tuple, list)):
        told += f" of {len(given)}"
    raise ValueError(f"validation_data: expected (x, y) or (x, y, sample_weight), got {told}")
