"""Metrics made of true and false positives and negatives of each label: a formula in each class.

Native code counts them by output; what an output is and when it is positive is said to it here.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.arrays.host import numeric
from fastnn.metrics.base import METRICS, Metric
from fastnn.registry import Checked
from fastnn.words import choose, integer, keywords, number, optional

Array = NDArray[np.float64]

Average = Literal["micro", "macro", "weighted"]
_AVERAGES: tuple[Average, ...] = ("micro", "macro", "weighted")


def average_of(name: str, value: object) -> Average:
    return choose(name, value, _AVERAGES)


def probabilities(name: str, value: Any, axes: int) -> float | Array:
    """A number in [0, 1], or an array of them of up to `axes` axes."""
    if not np.ndim(value):
        return number(name, value, 0.0, 1.0)
    given = numeric(name, value).astype(np.float64)
    if given.ndim > axes or given.size == 0:
        raise ValueError(
            f"{name}: expected a number, or an array of {'1 axis' if axes == 1 else '1 or 2 axes'}, "
            f"got shape {given.shape}"
        )
    wrong = ~((given >= 0) & (given <= 1))
    if wrong.any():
        raise ValueError(f"{name}: expected numbers in [0, 1], got {given[wrong][0]}")
    return given


def _ratio(a: Array, b: Array) -> Array:
    """a / b, and 0 where b is 0, as in Keras."""
    return np.divide(a, b, out=np.zeros(np.shape(b)), where=b != 0)


class Confusion(Metric):
    """A score of each label from its counts, and the average over labels.

    Labels of which nothing counted (all are missing, or weigh 0) have no score: they are left out
    of averages, and are NaN without an average.
    """

    counts = "confusion"
    more_is_better = True
    goes_with = frozenset({"labels", "targets", "sigmoid"})
    # Sets of thresholds that were counted last: new ones count from the next `compile` on.
    _counted = 1

    # What subclasses say.

    def _sets(self) -> Array | None:
        """Thresholds of probabilities (sets, outputs) or (sets, 1); None: those of the kind."""
        return None

    def _top(self) -> int:
        """How many of the largest outputs of a row may be positive; 0: all."""
        return 0

    def _label(self) -> int | None:
        """The one label that counts; None: all."""
        return None

    def _how(self) -> Average | None:
        """The average over labels; None: each for itself."""
        return "micro"

    def _score(self, tp: Array, fp: Array, fn: Array, tn: Array) -> Array:
        """The formula, of arrays of counts of one shape."""
        raise NotImplementedError

    # What native code and logs take.

    def native(self, weighted: bool, outputs: int) -> dict[str, Any]:
        count = super().native(weighted, outputs)
        thresholds, label = self._sets(), self._label()
        if label is not None and label >= outputs:
            raise ValueError(
                f"metrics: {self.name!r}: class_id: expected an integer in [0, {outputs}), "
                f"got {label}"
            )
        self._counted = 1 if thresholds is None else len(thresholds)
        if self._top() > 0:
            count["top"] = self._top()
        if thresholds is not None:
            if thresholds.shape[1] not in (1, outputs):
                raise ValueError(
                    f"metrics: {self.name!r}: expected thresholds for 1 or {outputs} outputs, "
                    f"got {thresholds.shape[1]}"
                )
            every = np.broadcast_to(thresholds, (len(thresholds), outputs))
            count["thresholds"] = np.ascontiguousarray(every)
        return count

    def gives_array(self, outputs: int) -> bool:
        return self._counted > 1 or (outputs > 1 and self._how() is None and self._label() is None)

    def finish(self, sums: Array) -> float | Array:
        counts = sums.reshape(self._counted, -1, 4)
        if (label := self._label()) is not None:
            counts = counts[:, label : label + 1]
        scores = self._averaged(counts)
        return float(scores.item()) if scores.size == 1 else np.squeeze(scores)

    def _averaged(self, counts: Array) -> Array:
        """The score of each set and label, or of each set."""
        how = self._how()
        if how == "micro":
            counts = counts.sum(axis=1, keepdims=True)
        counted = counts.sum(axis=2) > 0
        scores = self._score(*np.moveaxis(counts, 2, 0))
        if how in (None, "micro"):
            return np.where(counted, scores, np.nan)
        weights = counted.astype(np.float64)
        if how == "weighted":
            weights = counts[..., 0] + counts[..., 2]
        average = _ratio((scores * weights).sum(axis=1), weights.sum(axis=1))
        return np.where(counted.any(axis=1), average, np.nan)


@METRICS.register("fbeta_score")
class FBetaScore(Confusion):
    """(1 + beta^2) * precision * recall / (beta^2 * precision + recall), exact over an epoch.

        >>> metric = fastnn.metrics.FBetaScore("micro", beta=2.0)
        >>> metric.update_state([1, 1, 1, 1, 0, 0], [[0.9], [0.1], [0.1], [0.1], [0.1], [0.2]])
        >>> round(metric.result().item(), 4)  # precision 1, recall 1/4: 5 / (4 + 4)
        0.2941

    That is (1 + beta^2) tp / ((1 + beta^2) tp + beta^2 fn + fp), and 0 where it is 0 / 0.

    Sigmoid outputs, or logits under binary cross-entropy, are positive above `threshold`; of
    classes the largest output is positive unless there is a threshold. (Keras takes the largest
    output without a threshold for labels, too, so that one output is positive always.) Targets
    are positive above 0.5. Missing labels (NaN) are left out.

    Args:
        average: None gives the score of each label, an array (labels,) in logs and in the
            History; "macro" the mean of them; "weighted" their mean by the weight of the positives
            of each label; "micro" the score of the counts of all labels together. With one
            output all are the same number.
        beta: how much more recall counts than precision, above 0.
        threshold: a probability in [0, 1], or one for each label, an array (labels,), for
            example of `best_thresholds`; None: 0.5, and of classes the largest output. With
            logits it is still a probability. It is read at `compile`.
        name: the name in logs.

    Called on arrays with threshold=None, rows of `y_pred` that add up to 1 (within 0.001) are
    taken for probabilities of classes.

    Raises:
        ValueError: an option is out of range; at `compile` or when called, the number of thresholds
            is not that of labels, or a threshold is to cut classes without a softmax at the end.
    """

    average = Checked(optional(average_of))
    beta = Checked(partial(number, low=0.0, open_low=True))
    threshold = Checked(optional(partial(probabilities, axes=1)))

    @keywords()
    def __init__(
        self,
        average: Average | None = None,
        beta: float = 1.0,
        threshold: ArrayLike | None = None,
        name: str = "fbeta_score",
    ) -> None:
        super().__init__(name)
        self.average = average
        self.beta = beta
        self.threshold = threshold

    def _how(self) -> Average | None:
        return self.average

    def _sets(self) -> Array | None:
        return None if self.threshold is None else np.reshape(self.threshold, (1, -1))

    def _score(self, tp: Array, fp: Array, fn: Array, tn: Array) -> Array:  # noqa: ARG002
        square = self.beta * self.beta
        return _ratio((1 + square) * tp, (1 + square) * tp + square * fn + fp)


@METRICS.register("f1_score", "f1")
class F1Score(FBetaScore):
    """2 tp / (2 tp + fp + fn), the harmonic mean of precision and recall, exact over an epoch.

        >>> metric = fastnn.metrics.F1Score("macro")
        >>> y, p = [[1, 0], [1, 1], [0, 1]], [[0.9, 0.1], [0.2, 0.9], [0.1, 0.8]]
        >>> metric.update_state(y, p)
        >>> round(metric.result().item(), 4)  # the mean of 2/3 and 1
        0.8333

    Arguments, thresholds and averages are those of `FBetaScore` with beta = 1.
    """

    @keywords()
    def __init__(
        self,
        average: Average | None = None,
        threshold: ArrayLike | None = None,
        name: str = "f1_score",
    ) -> None:
        super().__init__(average, 1.0, threshold, name)


class _Share(Confusion):
    """A share of counts with the arguments of Keras's Precision."""

    thresholds = Checked(optional(partial(probabilities, axes=2)))
    top_k = Checked(optional(integer))
    class_id = Checked(optional(partial(integer, low=0)))
    average = Checked(optional(average_of))

    def __init__(
        self,
        thresholds: ArrayLike | None,
        top_k: int | None,
        class_id: int | None,
        name: str,
        average: Average | None,
    ) -> None:
        super().__init__(name)
        self.thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        self.average = average

    def _how(self) -> Average | None:
        return self.average

    def _label(self) -> int | None:
        return self.class_id

    def _top(self) -> int:
        return self.top_k or 0

    def _sets(self) -> Array | None:
        if self.thresholds is None:
            return None if self.top_k is not None else np.array([[0.5]])
        given = np.asarray(self.thresholds, np.float64)
        return given if given.ndim == 2 else given.reshape(-1, 1)


@METRICS.register("precision")
class Precision(_Share):
    """tp / (tp + fp): the share of right ones among positive outputs; 0 where none is positive.

        >>> metric = fastnn.metrics.Precision()
        >>> metric.update_state([1, 1, 0, 0], [[0.9], [0.1], [0.7], [0.2]])
        >>> metric.result().item()  # of two positive outputs one is right
        0.5

    Counts of all labels are added up before the division, as in Keras. Targets are positive above
    0.5; with integer labels and with probabilities of classes the one class of a row is. Missing
    labels (NaN) are left out.

    Args:
        thresholds: an output is positive above this probability in [0, 1]; default 0.5, and none
            with `top_k`. A list or an array (sets,) gives a score for each, an array (sets,); an
            array (sets, labels) has a threshold for each label: `thresholds=tuned[None]` takes
            those of `best_thresholds`. With logits of labels they are still probabilities;
            classes need a softmax at the end. They are read at `compile`.
        top_k: only the k largest outputs of a row are positive; of equal ones the first.
            `top_k=1` makes the largest output the answer of a classifier.
        class_id: the label or class that counts alone, from 0.
        name: the name in logs.
        average: "micro" as in Keras; "macro", "weighted" and None as in `FBetaScore`.

    Raises:
        ValueError: an option is out of range; at `compile` or when called, class_id or the number
            of thresholds does not fit the outputs, or classes have thresholds and no softmax.
    """

    @keywords()
    def __init__(
        self,
        thresholds: ArrayLike | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str = "precision",
        *,
        average: Average | None = "micro",
    ) -> None:
        super().__init__(thresholds, top_k, class_id, name, average)

    def _score(self, tp: Array, fp: Array, fn: Array, tn: Array) -> Array:  # noqa: ARG002
        return _ratio(tp, tp + fp)


@METRICS.register("recall", "sensitivity")
class Recall(_Share):
    """tp / (tp + fn): the share of positive targets that are found; 0 where none is positive.

        >>> metric = fastnn.metrics.Recall()
        >>> metric.update_state([1, 1, 1, 1, 0], [[0.9], [0.1], [0.2], [0.3], [0.7]])
        >>> metric.result().item()  # of four positive targets one is found
        0.25

    Arguments and errors are those of `Precision`.
    """

    @keywords()
    def __init__(
        self,
        thresholds: ArrayLike | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str = "recall",
        *,
        average: Average | None = "micro",
    ) -> None:
        super().__init__(thresholds, top_k, class_id, name, average)

    def _score(self, tp: Array, fp: Array, fn: Array, tn: Array) -> Array:  # noqa: ARG002
        return _ratio(tp, tp + fn)


@METRICS.register("specificity")
class Specificity(_Share):
    """tn / (tn + fp): the share of negative targets that are left alone; 0 where none is negative.

        >>> metric = fastnn.metrics.Specificity()
        >>> metric.update_state([1, 0, 0, 0, 0], [[0.9], [0.1], [0.2], [0.3], [0.7]])
        >>> metric.result().item()  # of four negative targets three are left alone
        0.75

    Arguments and errors are those of `Precision`. It is not in Keras.
    """

    @keywords()
    def __init__(
        self,
        thresholds: ArrayLike | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str = "specificity",
        *,
        average: Average | None = "micro",
    ) -> None:
        super().__init__(thresholds, top_k, class_id, name, average)

    def _score(self, tp: Array, fp: Array, fn: Array, tn: Array) -> Array:  # noqa: ARG002
        return _ratio(tn, tn + fp)


@METRICS.register("hamming_loss")
class HammingLoss(Confusion):
    """(fp + fn) / (tp + fp + fn + tn): the share of labels that are wrong, as in scikit-learn.

        >>> metric = fastnn.metrics.HammingLoss()
        >>> metric.update_state([[1, 0], [1, 1]], [[0.9, 0.1], [0.2, 0.9]])
        >>> metric.result().item()  # one label of four is wrong
        0.25

    For labels that do not exclude each other; of classes it would be 1 - accuracy. Targets are
    positive above 0.5, missing labels (NaN) are left out. It is not in Keras.

    Args:
        threshold: a probability in [0, 1] or one for each label, an array (labels,); with logits
            it is still a probability. It is read at `compile`.
        name: the name in logs.

    Raises:
        ValueError: a threshold is out of range; at `compile` or when called, the number of
            thresholds is not that of labels.
    """

    more_is_better = False
    goes_with = frozenset({"sigmoid"})
    threshold = Checked(partial(probabilities, axes=1))

    @keywords()
    def __init__(self, threshold: ArrayLike = 0.5, name: str = "hamming_loss") -> None:
        super().__init__(name)
        self.threshold = threshold

    def _sets(self) -> Array | None:
        return np.reshape(self.threshold, (1, -1))

    def _score(self, tp: Array, fp: Array, fn: Array, tn: Array) -> Array:
        return _ratio(fp + fn, tp + fp + fn + tn)
