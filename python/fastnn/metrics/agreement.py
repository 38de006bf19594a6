"""Metrics of the matrix of classes: how far targets and answers agree."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.metrics.base import METRICS
from fastnn.metrics.collected import CLASSES, Collected, Kept, read
from fastnn.registry import Checked
from fastnn.words import choose, flag, integer, keywords, number, optional

Array = NDArray[np.float64]

Weighting = Literal["linear", "quadratic"]
_WEIGHTINGS: tuple[Weighting, ...] = ("linear", "quadratic")


def _weighting(name: str, value: object) -> Weighting:
    return choose(name, value, _WEIGHTINGS)


class _FromMatrix(Collected):
    """A metric of the matrix of classes: row i has the weights of the rows of class i by answer.

    The answer is the largest output of classes. Outputs that each are for themselves are answers of
    no and yes, which is above 0.5, and those of several labels are counted together.
    """

    more_is_better = True
    goes_with = CLASSES
    _above = 0.5  # outputs that each are for themselves are positive above this

    def check(self, part: Kept) -> None:
        read(self, part)

    def _matrix(self, rows_: Kept) -> Array:
        """The weights of rows, (classes, classes); missing labels are left out."""
        y, labels, outputs, _, weights = read(self, rows_)
        if labels is not None:
            count, answers = outputs.shape[1], outputs.argmax(axis=1)
        else:  # no and yes, of all labels together
            known = ~np.isnan(y)
            weights = np.broadcast_to(weights[:, None], y.shape)[known]
            labels = (y[known] > 0.5).astype(np.intp)
            count, answers = 2, (outputs[known] > self._above).astype(np.intp)
        found = np.bincount(labels * count + answers, weights, count * count)
        return found.astype(np.float64).reshape(count, count)


@METRICS.register("matthews_correlation", "mcc", "MCC")
class MatthewsCorrelation(_FromMatrix):
    """Matthews's correlation coefficient of targets and answers, in [-1, 1], as in scikit-learn.

    Of two classes (tp tn - fp fn) / sqrt((tp + fp)(tp + fn)(tn + fp)(tn + fn)); of more the
    correlation of J. Gorodkin, "Comparing two K-category assignments by a K-category correlation
    coefficient", Computational Biology and Chemistry 28, 2004. 0 where it is 0 / 0; NaN of no rows.
    Sigmoid outputs, or logits under binary cross-entropy, are positive above 0.5, and several labels
    are counted together; of classes the largest output counts. It is not in Keras.

        >>> import fastnn
        >>> round(float(fastnn.metrics.MatthewsCorrelation()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])), 4)
        0.5774
    """

    @keywords()
    def __init__(self, name: str = "matthews_correlation") -> None:
        super().__init__(name)

    def finished(self, rows_: Kept) -> float:
        matrix = self._matrix(rows_)
        answers, truth = matrix.sum(axis=0), matrix.sum(axis=1)
        total = float(truth.sum())
        if total == 0:
            return math.nan
        covariance = float(matrix.trace()) * total - float(answers @ truth)
        spread = (total**2 - float(answers @ answers)) * (total**2 - float(truth @ truth))
        return covariance / math.sqrt(spread) if spread > 0 else 0.0


@METRICS.register("balanced_accuracy")
class BalancedAccuracy(_FromMatrix):
    """The mean over classes of the share of their rows that is found, as in scikit-learn.

    Classes without rows are left out; of one output the classes are no and yes. With `adjusted` 0 is
    chance, and 1 is perfect. Which outputs are positive, see `MatthewsCorrelation`. It is not in
    Keras.

        >>> import fastnn
        >>> float(fastnn.metrics.BalancedAccuracy()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]))
        0.75

    Args:
        adjusted: whether (score - chance) / (1 - chance) is taken, with chance 1 / classes.
        name: the name in logs.
    """

    adjusted = Checked(flag)

    @keywords()
    def __init__(self, adjusted: bool = False, name: str = "balanced_accuracy") -> None:
        super().__init__(name)
        self.adjusted = adjusted

    def finished(self, rows_: Kept) -> float:
        matrix = self._matrix(rows_)
        rows = matrix.sum(axis=1)
        known = rows > 0
        if not known.any():
            return math.nan
        score = float((matrix.diagonal()[known] / rows[known]).mean())
        if not self.adjusted:
            return score
        chance = 1.0 / int(known.sum())
        return (score - chance) / (1.0 - chance) if chance < 1 else math.nan


@METRICS.register("cohen_kappa", "kappa")
class CohenKappa(_FromMatrix):
    """Cohen's kappa: how much better than chance targets and answers agree, as in scikit-learn.

    1 - sum(w m) / sum(w e) of the matrix m of classes, what chance gives e, and the weights w of
    disagreements (J. Cohen, "A coefficient of agreement for nominal scales", Educational and
    Psychological Measurement 20, 1960). NaN where chance agrees always. Which outputs are positive,
    see `MatthewsCorrelation`. It is not in Keras.

        >>> import fastnn
        >>> float(fastnn.metrics.CohenKappa()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]))
        0.5

    Args:
        weights: None: all disagreements weigh the same; "linear" or "quadratic": by the distance of
            the classes, for classes in an order.
        name: the name in logs.
    """

    more_is_better = True
    weights = Checked(optional(_weighting))

    @keywords()
    def __init__(self, weights: Weighting | None = None, name: str = "cohen_kappa") -> None:
        super().__init__(name)
        self.weights = weights

    def finished(self, rows_: Kept) -> float:
        matrix = self._matrix(rows_)
        total = float(matrix.sum())
        places = np.arange(len(matrix))
        apart = np.abs(places[:, None] - places)
        cost = (apart > 0).astype(np.float64)
        if self.weights is not None:
            cost = apart.astype(np.float64) ** (1 if self.weights == "linear" else 2)
        if total == 0:
            return math.nan
        chance = np.outer(matrix.sum(axis=1), matrix.sum(axis=0)) / total
        expected = float((cost * chance).sum())
        return 1.0 - float((cost * matrix).sum()) / expected if expected > 0 else math.nan


@METRICS.register("confusion_matrix")
class ConfusionMatrix(_FromMatrix):
    """The weights of rows by class and answer, an array (classes, classes): row i is class i.

    As scikit-learn's `confusion_matrix`, with all classes of the outputs. Which outputs are positive,
    see `MatthewsCorrelation`. It is not in Keras, and callbacks cannot monitor it.

        >>> import fastnn
        >>> p = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.5, 0.2, 0.3], [0.1, 0.1, 0.8]]
        >>> fastnn.metrics.ConfusionMatrix()([0, 1, 2, 2], p).numpy().tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]

    Args:
        normalize: None; "true": shares of the rows of a class; "pred": of those with an answer;
            "all": of all rows.
        name: the name in logs.
    """

    more_is_better = True
    normalize = Checked(optional(partial(choose, known=("true", "pred", "all"))))

    @keywords()
    def __init__(
        self,
        normalize: Literal["true", "pred", "all"] | None = None,
        name: str = "confusion_matrix",
    ) -> None:
        super().__init__(name)
        self.normalize = normalize

    def gives_array(self, outputs: int) -> bool:
        del outputs
        return True

    def finished(self, rows_: Kept) -> Array:
        matrix = self._matrix(rows_)
        if self.normalize is None:
            return matrix
        axis = {"true": 1, "pred": 0, "all": None}[self.normalize]
        whole = matrix.sum(axis=axis, keepdims=True)
        shares: Array = np.divide(matrix, whole, out=np.zeros(matrix.shape), where=whole > 0)
        return shares


class _Overlap(_FromMatrix):
    """The mean over classes of intersection over union, tp / (tp + fp + fn)."""

    more_is_better = True

    def _classes(self) -> list[int] | None:
        """The classes that count; None: all."""
        return None

    def finished(self, rows_: Kept) -> float:
        matrix = self._matrix(rows_)
        hits = matrix.diagonal()
        union = matrix.sum(axis=0) + matrix.sum(axis=1) - hits
        classes = self._classes()
        if classes is not None:
            if max(classes) >= len(hits):
                raise ValueError(
                    f"metrics: {self.name!r}: target_class_ids: expected integers in "
                    f"[0, {len(hits)}), got {max(classes)}"
                )
            hits, union = hits[classes], union[classes]
        known = union > 0
        return float((hits[known] / union[known]).mean()) if known.any() else math.nan


def _class_ids(name: str, value: Any) -> list[int]:
    given = [integer(name, number_, 0) for number_ in np.atleast_1d(np.asarray(value)).tolist()]
    if not given:
        raise ValueError(f"{name}: expected at least one class, got {value!r}")
    return given


@METRICS.register("mean_iou", "MeanIoU")
class MeanIoU(_Overlap):
    """Intersection over union, tp / (tp + fp + fn), its mean over the classes that occur.

    Of classes the largest output counts, with integer labels or one-hot targets alike; Keras's
    `OneHotMeanIoU` is the same. (Keras's MeanIoU takes answers, not outputs.) NaN of no rows.

        >>> import fastnn
        >>> p = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.5, 0.2, 0.3], [0.1, 0.1, 0.8]]
        >>> round(float(fastnn.metrics.MeanIoU(3)([0, 1, 2, 2], p)), 4)
        0.6667

    Args:
        num_classes: the number of classes, checked against the outputs.
        name: the name in logs; None: "mean_iou".
        dtype: see `Metric`.
    """

    num_classes = Checked(partial(integer, low=2))

    @keywords()
    def __init__(self, num_classes: int, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__("mean_iou" if name is None else name, dtype)
        self.num_classes = num_classes

    def check(self, part: Kept) -> None:
        width = max(2, read(self, part).outputs.shape[1])
        if width != self.num_classes:
            raise ValueError(
                f"metrics: {self.name!r}: num_classes: expected {width}, as there are outputs, got "
                f"{self.num_classes}"
            )


@METRICS.register("one_hot_iou", "OneHotIoU")
class OneHotIoU(MeanIoU):
    """`MeanIoU` over some of the classes.

        >>> import fastnn
        >>> p = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.5, 0.2, 0.3], [0.1, 0.1, 0.8]]
        >>> float(fastnn.metrics.OneHotIoU(3, [0, 2])([0, 1, 2, 2], p))
        0.5

    Args:
        num_classes: the number of classes, checked against the outputs.
        target_class_ids: the classes that count, from 0.
        name: the name in logs; None: "one_hot_iou".
        dtype: see `Metric`.
    """

    target_class_ids = Checked(_class_ids)

    @keywords()
    def __init__(
        self,
        num_classes: int,
        target_class_ids: ArrayLike,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(num_classes, "one_hot_iou" if name is None else name, dtype)
        self.target_class_ids = target_class_ids

    def _classes(self) -> list[int]:
        return list(self.target_class_ids)


@METRICS.register("binary_iou", "BinaryIoU")
class BinaryIoU(_Overlap):
    """Intersection over union of no and yes, for outputs that each are for themselves.

        >>> import fastnn
        >>> round(float(fastnn.metrics.BinaryIoU()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])), 4)
        0.5833

    Args:
        target_class_ids: (0, 1): the mean of both; (0,) or (1,): of no, or of yes, alone.
        threshold: an output is yes above this probability; with logits it is still a probability.
        name: the name in logs; None: "binary_iou".
        dtype: see `Metric`.
    """

    goes_with = frozenset({"sigmoid"})
    target_class_ids = Checked(_class_ids)
    threshold = Checked(partial(number, low=0.0, high=1.0))

    @keywords()
    def __init__(
        self,
        target_class_ids: ArrayLike = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__("binary_iou" if name is None else name, dtype)
        self.target_class_ids = target_class_ids
        self.threshold = threshold

    @property
    def _above(self) -> float:  # type: ignore[override]
        return float(self.threshold)

    def _classes(self) -> list[int]:
        return list(self.target_class_ids)
