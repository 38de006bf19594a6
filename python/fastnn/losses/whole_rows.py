"""Losses of whole rows, whose outputs belong together, each a row of the native table
(csrc/core/losses_of_rows.h). Softmax cross-entropy is in `crossentropies`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.arrays.host import numeric
from fastnn.losses.base import LOSSES, Loss, RowOption
from fastnn.registry import Checked
from fastnn.words import (
    int32,
    keywords,
    number,
    optional,
)


def _alpha(name: str, value: Any) -> float | NDArray[np.float64]:
    """One number, or one for each class."""
    given = numeric(name, value)
    if given.ndim == 0:
        return number(name, given.item(), 0.0)
    weights = given.astype(np.float64)
    if weights.ndim != 1 or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(
            f"{name}: expected a number of at least 0, or one for each class, got {value!r}"
        )
    return weights


class _CategoricalFocal(Loss):
    """What both focal losses of classes have in common."""

    native = "categorical_focal_crossentropy"
    alpha = Checked(_alpha)
    gamma = RowOption()

    def row_options(self) -> dict[str, float]:
        options = super().row_options()
        return options | {"alpha": 1.0 if isinstance(self.alpha, np.ndarray) else self.alpha}

    def options(self, outputs: int) -> dict[str, Any]:
        options = super().options(outputs)
        if isinstance(self.alpha, np.ndarray):
            if self.alpha.size != outputs:
                raise ValueError(
                    f"alpha: expected {outputs} numbers, one for each class, got {self.alpha.size}"
                )
            # Weights of outputs, which multiply the option of the row.
            options["pos_weight"] = self.alpha
        return options


@LOSSES.register("categorical_focal_crossentropy")
class CategoricalFocalCrossentropy(_CategoricalFocal):
    """Softmax cross-entropy in which classes that are learnt count little (Lin et al., 2017).

    With p = softmax(logits) and targets y (n, classes), the loss of a row is
    sum(alpha * (1 - p)**gamma * (-y * log(p))). Targets as `CategoricalCrossentropy`.

    >>> loss = fastnn.losses.CategoricalFocalCrossentropy()
    >>> round(float(loss([[0.0, 1.0]], [[0.5, 0.5]])), 4)  # 0.25 * 0.5**2 * log(2)
    0.0433

    Args:
        alpha: at least 0, or one such number for each class.
        gamma: at least 0; with 0 and alpha 1 it is the cross-entropy.
        from_logits: see `SparseCategoricalCrossentropy`.
        label_smoothing: in [0, 1]; the targets become (1 - s) * y + s / classes.
        reduction, name: see `Loss`.
    """

    label_smoothing = RowOption()

    @keywords()
    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str = "categorical_focal_crossentropy",
    ) -> None:
        super().__init__(name, reduction, from_logits)
        self.alpha = alpha
        self.gamma = gamma
        self.label_smoothing = label_smoothing


@LOSSES.register("sparse_categorical_focal_crossentropy")
class SparseCategoricalFocalCrossentropy(_CategoricalFocal):
    """`CategoricalFocalCrossentropy` with integer labels (n,). Keras has no such loss.

    >>> loss = fastnn.losses.SparseCategoricalFocalCrossentropy()
    >>> round(float(loss([1], [[0.5, 0.5]])), 4)
    0.0433

    Args:
        alpha: at least 0, or one such number for each class.
        gamma: at least 0; with 0 and alpha 1 it is the cross-entropy.
        from_logits: see `SparseCategoricalCrossentropy`.
        ignore_class: a label whose rows count nowhere; None: all do.
        reduction, name: see `Loss`.
    """

    takes_labels = True
    ignore_class = Checked(optional(int32))

    @keywords()
    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str = "sum_over_batch_size",
        name: str = "sparse_categorical_focal_crossentropy",
    ) -> None:
        super().__init__(name, reduction, from_logits)
        self.alpha = alpha
        self.gamma = gamma
        self.ignore_class = ignore_class

    def options(self, outputs: int) -> dict[str, Any]:
        return super().options(outputs) | {"ignore_class": self.ignore_class}


@LOSSES.register("kl_divergence", "kullback_leibler_divergence", "kld", "KLD")
class KLDivergence(Loss):
    """sum(y * log(y / p)) of each row, with p = softmax(logits) (Kullback and Leibler, 1951).

    Targets are probabilities (n, classes) that add up to 1, as for `CategoricalCrossentropy`; one of 0
    contributes nothing. Its gradient is that of the cross-entropy, and it is 0 where p = y. As the
    cross-entropies do, it folds a softmax at the end of the model and takes the outputs of a linear
    layer for logits; Keras's works on probabilities alone, and clips these and the targets at 1e-7.

    >>> round(float(fastnn.losses.KLDivergence()([[0.0, 1.0]], [[0.5, 0.5]])), 4)  # log(2)
    0.6931

    Args:
        reduction, name: see `Loss`.
        from_logits: see `SparseCategoricalCrossentropy` (not in Keras).
    """

    native = "kl_divergence"

    @keywords()
    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "kl_divergence",
        *,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name, reduction, from_logits)


@LOSSES.register("cosine_similarity")
class CosineSimilarity(Loss):
    """-sum(y * output) / (norm(y) * norm(output)) of each row: -1 where both point the same way.

    Keras's sign, so that less is better. Norms below 1e-7 count as 1e-7: a row of zeros has a loss
    of 0. Targets (n, outputs) are numbers.

    >>> float(fastnn.losses.CosineSimilarity()([[0.0, 2.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]))
    -0.5

    Args:
        axis: -1 (or 1), the outputs of a row.
        reduction, name: see `Loss`.
    """

    native = "cosine_similarity"
    axis = Checked(lambda name, value: _last_axis(name, value))

    @keywords()
    def __init__(
        self,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str = "cosine_similarity",
    ) -> None:
        super().__init__(name, reduction)
        self.axis = axis


def _last_axis(name: str, value: Any) -> int:
    if value not in (-1, 1) or isinstance(value, bool):
        raise ValueError(f"{name}: expected -1, the axis of the outputs, got {value!r}")
    return int(value)


@LOSSES.register("categorical_hinge")
class CategoricalHinge(Loss):
    """max(0, 1 + max((1 - y) * output) - sum(y * output)) of each row, Keras's form.

    Targets are one-hot (n, classes). The outputs are scores, so the last layer has no activation.

    >>> float(fastnn.losses.CategoricalHinge()([[0.0, 1.0]], [[0.5, 0.0]]))
    1.5

    Args:
        reduction, name: see `Loss`.
    """

    native = "categorical_hinge"

    @keywords()
    def __init__(
        self, reduction: str = "sum_over_batch_size", name: str = "categorical_hinge"
    ) -> None:
        super().__init__(name, reduction)
