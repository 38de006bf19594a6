"""Losses of classes and labels: cross-entropies, each a row of the native table (csrc/core/loss.h)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.arrays.host import numeric
from fastnn.losses.base import LOSSES, Loss, RowOption
from fastnn.registry import Checked
from fastnn.words import (
    flag,
    int32,
    keywords,
    optional,
)


def _pos_weight(name: str, value: Any) -> NDArray[np.float64]:
    weights = numeric(name, value).astype(np.float64)
    if weights.ndim > 1 or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(
            f"{name}: expected finite numbers of at least 0, one for each label, got {value!r}"
        )
    return weights


@LOSSES.register("sparse_categorical_crossentropy")
class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy of softmax outputs with integer labels (n,).

        >>> loss = fastnn.losses.SparseCategoricalCrossentropy()
        >>> round(float(loss([1], [[0.2, 0.5, 0.3]])), 4)  # -log(0.5)
        0.6931

    Args:
        from_logits: accepted as in Keras. The last layer decides: after a softmax its logits
            are used, a linear layer gives logits. True after a softmax warns.
        ignore_class: a label (for example -1 or 255) whose rows count nowhere; None: all do.
        reduction: "sum_over_batch_size" or "mean_with_sample_weight", see `Loss`.
        name: the name of the loss, in messages.
    """

    native = "softmax_cross_entropy"
    takes_labels = True
    ignore_class = Checked(optional(int32))

    @keywords()
    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str = "sum_over_batch_size",
        name: str = "sparse_categorical_crossentropy",
    ) -> None:
        super().__init__(name, reduction, from_logits)
        self.ignore_class = ignore_class

    def options(self, outputs: int) -> dict[str, Any]:
        return super().options(outputs) | {"ignore_class": self.ignore_class}


@LOSSES.register("categorical_crossentropy")
class CategoricalCrossentropy(Loss):
    """Cross-entropy of softmax outputs with probabilities or one-hot targets (n, classes).

        >>> loss = fastnn.losses.CategoricalCrossentropy()
        >>> round(float(loss([[0.0, 1.0, 0.0]], [[0.2, 0.5, 0.3]])), 4)  # -log(0.5)
        0.6931

    The targets of a row must add up to 1, within 0.001 and half a hundredth for each class (0.05
    at most), so that probabilities may be rounded to two digits. A row is not rescaled: it counts
    by its sum.

    Args:
        from_logits: see `SparseCategoricalCrossentropy`.
        label_smoothing: in [0, 1]; the targets become (1 - s) * y + s / classes.
        reduction, name: see `Loss`.
    """

    native = "softmax_cross_entropy"
    label_smoothing = RowOption()

    @keywords()
    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
    ) -> None:
        super().__init__(name, reduction, from_logits)
        self.label_smoothing = label_smoothing


@LOSSES.register("binary_crossentropy", "bce", "BCE")
class BinaryCrossentropy(Loss):
    """Cross-entropy of sigmoid outputs, each a yes or no of its own.

        >>> loss = fastnn.losses.BinaryCrossentropy()
        >>> round(float(loss([1.0, 0.0], [[0.5], [0.5]])), 4)  # -log(0.5)
        0.6931
        >>> round(float(loss([1.0, np.nan], [[0.5], [0.9]])), 4)  # a label is missing
        0.6931

    Targets are 0 to 1, of shape (n,) or (n, 1) for one output and (n, labels) for several;
    NaN marks a label that is missing and counts nowhere. Where the loss is called, they may lie up
    to 0.1 outside, as noise on the labels of a GAN does.

    Args:
        from_logits: see `SparseCategoricalCrossentropy`.
        label_smoothing: in [0, 1]; the targets become (1 - s) * y + s / 2.
        reduction, name: see `Loss`.
        pos_weight: the weight of positive targets, one number or one for each label, as in
            PyTorch; it does not enter the sum of weights (not in Keras).
    """

    native = "sigmoid_cross_entropy"
    label_smoothing = RowOption()
    pos_weight = Checked(optional(_pos_weight))

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
        super().__init__(name, reduction, from_logits)
        self.label_smoothing = label_smoothing
        self.pos_weight = pos_weight

    def options(self, outputs: int) -> dict[str, Any]:
        options = super().options(outputs)
        if self.pos_weight is not None:
            if self.pos_weight.size not in (1, outputs):
                raise ValueError(
                    f"pos_weight: expected 1 or {outputs} numbers, got {self.pos_weight.size}"
                )
            options["pos_weight"] = np.ascontiguousarray(
                np.broadcast_to(self.pos_weight, (outputs,))
            )
        return options


@LOSSES.register("binary_focal_crossentropy")
class BinaryFocalCrossentropy(Loss):
    """Sigmoid cross-entropy times u**gamma, where u is the share that is missed (Lin et al., 2017).

        >>> loss = fastnn.losses.BinaryFocalCrossentropy(gamma=2.0)
        >>> round(float(loss([1.0], [[0.5]])), 4)  # 0.5 ** 2 * -log(0.5)
        0.1733

    With p = sigmoid(logit) and a target t, u = t * (1 - p) + (1 - t) * p: rows that are learnt count
    little. Targets as `BinaryCrossentropy`.

    Args:
        apply_class_balancing: whether the loss is multiplied by t * alpha + (1 - t) * (1 - alpha).
        alpha: in [0, 1].
        gamma: at least 0; with 0 it is the cross-entropy.
        from_logits: see `SparseCategoricalCrossentropy`.
        label_smoothing: in [0, 1]; the targets become (1 - s) * y + s / 2.
        reduction, name: see `Loss`.
    """

    native = "binary_focal_crossentropy"
    apply_class_balancing = Checked(flag)
    alpha = RowOption()
    gamma = RowOption()
    label_smoothing = RowOption()

    @keywords()
    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str = "binary_focal_crossentropy",
    ) -> None:
        super().__init__(name, reduction, from_logits)
        self.apply_class_balancing = apply_class_balancing
        self.alpha = alpha
        self.gamma = gamma
        self.label_smoothing = label_smoothing

    def row_options(self) -> dict[str, float]:
        return {name: float(value) for name, value in super().row_options().items()}
