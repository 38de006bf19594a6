"""Losses: their names, their options, and the native loss of each.

No arithmetic is here: `fastnn.ops` has the losses as functions on arrays. How a loss treats the
last layer of a model is decided in `models.heads`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import _core
from fastnn.arrays.host import numeric
from fastnn.registry import Registered, Registry
from fastnn.words import choose, flag, int32, keywords, number

_REDUCTIONS = ("sum_over_batch_size", "mean_with_sample_weight", "mean")


class Loss(Registered):
    """A loss to pass to `compile`.

    The loss of a batch, and of an epoch, is the weighted mean sum(w * l) / sum(w) over its
    rows, as in scikit-learn and PyTorch; Keras divides by the number of rows. It is exact
    over all rows of an epoch, not a mean of the means of batches.
    """

    native: ClassVar[_core.Loss]
    # Whether y holds a class of each row; if not, it holds one number for each output.
    takes_labels: ClassVar[bool] = False
    from_logits: bool = False

    def __init__(self, name: str, reduction: str = "sum_over_batch_size") -> None:
        choose("reduction", reduction, _REDUCTIONS)
        self.name = name
        self.reduction = reduction

    @property
    def is_cross_entropy(self) -> bool:
        return self.native != "mean_squared_error"

    def options(self, _outputs: int) -> dict[str, Any]:
        """Keyword arguments of the native `compile`, for a model with this number of outputs."""
        return {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


LOSSES = Registry(
    "loss",
    Loss,
    elsewhere={
        "huber": "mean_squared_error",
        "kldivergence": "categorical_crossentropy",
        "mae": "mean_squared_error",
        "meanabsoluteerror": "mean_squared_error",
    },
)


@LOSSES.register("sparse_categorical_crossentropy")
class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy of softmax outputs with integer labels (n,).

    Args:
        from_logits: accepted as in Keras. The last layer decides: after a softmax its logits
            are used, a linear layer gives logits. True after a softmax warns.
        ignore_class: a label (for example -1 or 255) whose rows count nowhere; None: all do.
        reduction: "sum_over_batch_size" or "mean_with_sample_weight"; both are the weighted
            mean, see `Loss`.
        name: the name of the loss, in messages.
    """

    native = "softmax_cross_entropy"
    takes_labels = True

    @keywords()
    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str = "sum_over_batch_size",
        name: str = "sparse_categorical_crossentropy",
    ) -> None:
        super().__init__(name, reduction)
        self.from_logits = flag("from_logits", from_logits)
        self.ignore_class = None if ignore_class is None else int32("ignore_class", ignore_class)

    def options(self, _outputs: int) -> dict[str, Any]:
        return {"ignore_class": self.ignore_class}


@LOSSES.register("categorical_crossentropy")
class CategoricalCrossentropy(Loss):
    """Cross-entropy of softmax outputs with probabilities or one-hot targets (n, classes).

    Args:
        from_logits: see `SparseCategoricalCrossentropy`.
        label_smoothing: in [0, 1]; the targets become (1 - s) * y + s / classes.
        reduction, name: see `Loss`.
    """

    native = "softmax_cross_entropy"

    @keywords()
    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
    ) -> None:
        super().__init__(name, reduction)
        self.from_logits = flag("from_logits", from_logits)
        self.label_smoothing = number("label_smoothing", label_smoothing, 0.0, 1.0)

    def options(self, _outputs: int) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing}


@LOSSES.register("binary_crossentropy", "bce", "BCE")
class BinaryCrossentropy(Loss):
    """Cross-entropy of sigmoid outputs, each a yes or no of its own.

    Targets are 0 to 1, of shape (n,) or (n, 1) for one output and (n, labels) for several;
    NaN marks a label that is missing and counts nowhere.

    Args:
        from_logits: see `SparseCategoricalCrossentropy`.
        label_smoothing: in [0, 1]; the targets become (1 - s) * y + s / 2.
        reduction, name: see `Loss`.
        pos_weight: the weight of positive targets, one number or one for each label, as in
            PyTorch; it does not enter the sum of weights (not in Keras).
    """

    native = "sigmoid_cross_entropy"

    @keywords()
    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str = "binary_crossentropy",
        *,
        pos_weight: ArrayLike | None = None,
    ) -> None:
        super().__init__(name, reduction)
        self.from_logits = flag("from_logits", from_logits)
        self.label_smoothing = number("label_smoothing", label_smoothing, 0.0, 1.0)
        self.pos_weight: NDArray[np.float64] | None = None
        if pos_weight is not None:
            weights = numeric("pos_weight", pos_weight).astype(np.float64)
            if weights.ndim > 1 or not (np.isfinite(weights) & (weights >= 0)).all():
                raise ValueError(
                    f"pos_weight: expected finite numbers of at least 0, one for each label, "
                    f"got {pos_weight!r}"
                )
            self.pos_weight = weights

    def options(self, outputs: int) -> dict[str, Any]:
        options: dict[str, Any] = {"label_smoothing": self.label_smoothing}
        if self.pos_weight is not None:
            if self.pos_weight.size not in (1, outputs):
                raise ValueError(
                    f"pos_weight: expected 1 or {outputs} numbers, got {self.pos_weight.size}"
                )
            options["pos_weight"] = np.ascontiguousarray(
                np.broadcast_to(self.pos_weight, (outputs,))
            )
        return options


@LOSSES.register("mean_squared_error", "mse", "MSE")
class MeanSquaredError(Loss):
    """Mean over rows and outputs of (output - target)**2; targets (n, outputs), or (n,) for one."""

    native = "mean_squared_error"

    @keywords()
    def __init__(
        self, reduction: str = "sum_over_batch_size", name: str = "mean_squared_error"
    ) -> None:
        super().__init__(name, reduction)


def get(identifier: str | Loss | type[Loss]) -> Loss:
    """The loss that a name, an object or a class means; ValueError with the near match."""
    return LOSSES.get(identifier)
