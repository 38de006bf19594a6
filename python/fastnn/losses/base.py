"""Loss: what all losses have, and a loss of a user's own derives from. No loss of its own is here.

No arithmetic is here: `fastnn.ops` has the losses as functions on arrays. How a loss treats the
last layer of a model is decided in `models.heads`.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import rows
from fastnn.autodiff import functions
from fastnn.autodiff.losses import Called, apply, of_rows, weight_of
from fastnn.autodiff.own_losses import by_rows, whole
from fastnn.autodiff.tensor import Tensor, converted, tensor
from fastnn.data import rows as rows_of_data
from fastnn.registry import Checked, Registered, Registry
from fastnn.words import (
    choose,
    flag,
    refuse_elsewhere,
    snake_case,
    text,
)

# "sum" and "none" are for calls alone.
CALLED_ALONE = ("sum", "none")
_REDUCTIONS = ("sum_over_batch_size", "mean_with_sample_weight", "mean", *CALLED_ALONE)


def _reduction(name: str, value: object) -> str:
    if value is None:  # another word for "none", in Keras and in PyTorch
        return "none"
    if not isinstance(value, str) or value not in _REDUCTIONS:
        refuse_elsewhere(name, "reduction", value)
    return choose(name, value, _REDUCTIONS)


class RowOption(Checked[float]):
    """An option of the native row."""

    def __init__(self) -> None:
        super().__init__(lambda _, value: float(value))

    def checked(self, holder: Loss, value: Any) -> float:
        return holder.row.options[self.name].checked(value)


class Weighed(NamedTuple):
    """A loss of some rows."""

    mean: Tensor  # sum(w * l) / sum(w), without axes; NaN where nothing counts
    weight: float  # sum(w), as the loss counts it
    parts: float  # what it would be without weights and gaps: rows, or elements that count alone


class Loss(Registered):
    """A loss to pass to `compile`, and the base of losses of one's own.

        >>> import fastnn
        >>> class Quartic(fastnn.losses.Loss):
        ...     def call(self, y_true, y_pred):
        ...         return fastnn.math.square(fastnn.math.square(y_true - y_pred))
        >>> float(Quartic()([[1.0], [2.0]], [[1.0], [4.0]]))
        8.0

    `call` gets y_pred as a Tensor (n, ...) and y_true as one of the same dtype, and returns a
    Tensor: the loss of each row (n,), or of each number (n, ...), which are averaged in each row.
    A single number for all rows is taken where no rows have weights. A model with such a loss
    trains batch by batch over a tape.

    y_true of (n,) beside outputs (n, 1) gets their axis, and (n, 1) beside (n,) loses it. Any other
    shape is given to `call` as it is: a loss may take labels (n,), or a column (n, 1) for two
    outputs that mean a mean and a variance. What `call` does with it is watched: an operation that
    sets (n,) against (n, 1), or repeats y_true along axes of y_pred or the other way round, is a
    ValueError, since it would train on a wrong loss (in Keras it does so silently).
    `fastnn.math.broadcast_to`, a new axis and `expand_dims` say that it is meant. Arrays that
    `call` makes by np.asarray are not watched.

    Training minimises sum(w * l) / sum(w) over the rows of the data set, as scikit-learn and
    PyTorch do (Keras divides by the number of rows). The gradient of a batch is its sum of w * l
    divided by its rows times the mean weight of the data set, so weights mean the same in batches
    of any size, also of one row. With reduction="mean_with_sample_weight" it is divided by the
    batch's own sum of weights, as in Keras 3: in small batches weights then fade out.

    The loss that is reported is sum(w * l) / sum(w), exact over all rows of an epoch, not a mean
    of the means of batches.

    Args:
        name: the name of the loss, in messages; None: that of the class ("my_loss" of MyLoss).
        reduction: "sum_over_batch_size" or "mean_with_sample_weight", as above. In a loop of your
            own also "sum", or "none" (or None) for the loss of each row (n,).
        from_logits: see `SparseCategoricalCrossentropy`.
    """

    # The row of the native table of losses (csrc/core/loss.h). Its options are attributes here.
    native: ClassVar[str]
    # Whether y holds a class of each row; if not, it holds one number for each output.
    takes_labels: ClassVar[bool] = False
    name = Checked(text)
    reduction = Checked(_reduction)
    from_logits = Checked(flag)
    _inside = (
        *(
            "folds",
            "from_logits",
            "native",
            "options",
            "row",
            "row_options",
            "repeats_targets",
            "leaves_nan_out",
            "takes_gaps",
            "takes_labels",
        ),
        *("by_batch_weight", "is_own", "weighed", "weight_of"),
    )

    def __init__(
        self,
        name: str | None = None,
        reduction: str = "sum_over_batch_size",
        from_logits: bool = False,
    ) -> None:
        self.name = snake_case(type(self).__name__) if name is None else name
        self.reduction = reduction
        self.from_logits = from_logits

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each row (n,), by operations on Tensors: for losses of one's own to define.

            >>> loss = fastnn.losses.MeanAbsoluteError()
            >>> loss.call([[1.0], [2.0]], [[1.0], [5.0]]).tolist()
            [0.0, 3.0]

        Rows and labels that do not count, missing or ignored ones, have a loss of 0.
        """
        if not hasattr(type(self), "native"):
            raise NotImplementedError(f"{type(self).__name__}: define `call(self, y_true, y_pred)`")
        return of_rows(self._how_for(y_pred), y_true, y_pred)

    @property
    def is_own(self) -> bool:
        """Whether a user wrote it: it has a `call`, or a `__call__`, in place of a native row."""
        cls = type(self)
        if cls.call is not Loss.call or cls.__call__ is not Loss.__call__:
            return True
        return not hasattr(cls, "native")

    @property
    def by_batch_weight(self) -> bool:
        """Whether the gradient of a batch is divided by the weight that the batch has."""
        return self.reduction == "mean_with_sample_weight"

    @property
    def row(self) -> rows.LossRow:
        """What the native table says of the loss."""
        return rows.losses()[self.native]

    @property
    def folds(self) -> str | None:
        """The activation at the end of a model that the loss folds: "softmax", "sigmoid" or None."""
        return None if self.row.head == "none" else self.row.head

    @property
    def repeats_targets(self) -> int:
        """How many outputs, one behind the other, one target may be compared with; 0: its own."""
        return 0

    @property
    def takes_gaps(self) -> bool:
        """Whether a target may be missing (NaN), and is left out then."""
        return self.leaves_nan_out or self.row.targets == "unit_or_missing"

    @property
    def leaves_nan_out(self) -> bool:
        """Whether it is a loss of a regression that was made with ignore_nan=True."""
        return bool(getattr(self, "ignore_nan", False))

    def row_options(self) -> dict[str, float]:
        """The options of the native row."""
        return {
            name: getattr(self, name, option.default) for name, option in self.row.options.items()
        }

    def options(self, _outputs: int) -> dict[str, Any]:
        """Keyword arguments of the native `compile`, for a model with this number of outputs."""
        return {
            "loss": self.native,
            "options": self.row_options(),
            "by_batch_weight": self.by_batch_weight,
            "ignore_nan": self.leaves_nan_out,
        }

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """The loss of outputs, a Tensor without axes: sum(w * l) / sum(w).

        Args:
            y_true: labels (n,) or targets (n, outputs), as in `fit`.
            y_pred: outputs (n, outputs), or (n,) for one: a Tensor or an array. A cross-entropy
                takes the logits of outputs that came out of softmax or sigmoid, and takes the
                outputs of a layer without an activation for logits; other numbers have to be
                probabilities unless from_logits is True.
            sample_weight: weights of rows (n,), one of all rows, or of targets (n, outputs) where
                the loss compares each output with a target of its own.

        Returns:
            With reduction="none" it is the w * l of each row (n,), of several outputs their mean;
            with "sum" the sum of these.

        Raises:
            ValueError: shapes do not fit, a label or weight is out of range, or outputs are neither
                logits nor probabilities.
        """
        if self.reduction == "none":
            return self._by_rows(y_true, y_pred, sample_weight)
        by_element = not self.is_own and (self.takes_gaps or np.ndim(sample_weight) == 2)
        if self.reduction == "sum" and by_element:
            return functions.reduce_sum(self._by_rows(y_true, y_pred, sample_weight))
        found = self.weighed(y_true, y_pred, sample_weight)
        return found.mean * found.weight if self.reduction == "sum" else found.mean

    def _by_rows(self, y_true: Any, y_pred: Any, sample_weight: Any) -> Tensor:
        """The weighted loss of each row."""
        cls = type(self)
        if cls.call is Loss.call and hasattr(cls, "native"):
            return of_rows(self._how_for(y_pred), y_true, y_pred, sample_weight)
        losses = tensor(self.call(y_true, y_pred))
        return losses if sample_weight is None else losses * _by_rows(sample_weight, losses)

    def _how_for(self, y_pred: Any) -> Called:
        outputs = np.shape(y_pred)
        return self._how(outputs[-1] if len(outputs) > 1 else 1)

    def weighed(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Weighed:
        """The loss with the weight that it was divided by; arguments and errors as of a call."""
        if type(self).__call__ is not Loss.__call__:
            return Weighed(*whole(self.name, self, y_true, y_pred, sample_weight))
        if self.is_own:
            return Weighed(*by_rows(self.name, self.call, y_true, y_pred, sample_weight))
        shape = np.shape(y_pred) if not hasattr(y_pred, "shape") else y_pred.shape
        how = self._called_for(shape[-1] if len(shape) > 1 else 1)
        return Weighed(*apply(how, y_true, y_pred, sample_weight))

    def weight_of(self, y: NDArray[Any], weights: NDArray[np.float64] | None) -> float:
        """The weight of rows as `weighed` counts it, of labels (n,) or targets (n, outputs)."""
        if self.is_own:
            return float(len(y) if weights is None else weights.sum())
        return weight_of(self._called_for(y.shape[1] if y.ndim > 1 else 1), y, weights)

    def _called_for(self, outputs: int) -> Called:
        """`_how`, which is made once as long as the options stay."""
        called: dict[int, Called] = vars(self).setdefault("_called", {})
        how = called.get(outputs)
        if how is None:
            how = self._how(outputs)
            if how.column_weights is None:  # an array may be written into
                called[outputs] = how
        return how

    def _how(self, outputs: int) -> Called:
        """How the options stand for so many outputs."""
        options = self.options(outputs)
        return Called(
            native=self.native,
            name=self.name,
            head=self.row.head,
            takes_labels=self.takes_labels,
            by_element=self.row.by_element or self.leaves_nan_out,
            ignore_nan=self.leaves_nan_out,
            from_logits=self.from_logits,
            options=self.row_options(),
            ignore_class=options.get("ignore_class"),
            column_weights=options.get("pos_weight"),
            repeated=self.repeats_targets,
            by_row=self.row.by_row,
            outputs_of_target=self.row.outputs_of_target,
        )

    def __setattr__(self, name: str, value: object) -> None:
        """Options may change at any time: what was made of them is made anew."""
        super().__setattr__(name, value)
        vars(self)["_called"] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


LOSSES = Registry("loss", Loss)


def _by_rows(sample_weight: Any, losses: Tensor) -> NDArray[Any]:
    """Weights of rows, for the losses of these."""
    n = losses.shape[0] if losses.ndim else 1
    weights = rows_of_data.row_weights("sample_weight", converted(sample_weight), n)
    return weights.astype(losses.dtype).reshape(-1, *[1] * (losses.ndim - 1))
