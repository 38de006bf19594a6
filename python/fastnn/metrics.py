"""Metrics: what they are called, and the native sums that each is made of.

Native code adds up numerator and denominator over all rows of an epoch; here their
ratio gets its name and last touch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fastnn.heads import Head, described, gives_logits_of
from fastnn.losses import Loss
from fastnn.words import choose, integer, keywords, number


class Metric:
    """A metric to pass to `compile`: exact over the rows of an epoch.

    In `metrics` each row counts once; in `weighted_metrics` rows count by their weight.
    Missing labels and ignored classes never count.
    """

    kind: ClassVar[str]
    # Losses (native) and, for mean squared error, heads that it goes with; "labels" and
    # "targets" tell the two uses of the softmax cross-entropy apart.
    goes_with: ClassVar[frozenset[str]]

    def __init__(self, name: str, value: float = 0.0) -> None:
        self.name = name
        self.value = value

    def finish(self, mean: float) -> float:
        """The metric, of the mean that was summed natively."""
        return mean

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class BinaryAccuracy(Metric):
    """How many outputs are on the right side: probability above `threshold`, logit above 0.

    Targets count as positive above 0.5. For logits, `threshold` is still one of the
    probability, so the default cuts logits at 0.
    """

    kind = "binary_accuracy"
    goes_with = frozenset({"sigmoid"})

    @keywords()
    def __init__(self, name: str = "binary_accuracy", threshold: float = 0.5) -> None:
        super().__init__(
            name, number("threshold", threshold, 0.0, 1.0, open_low=True, open_high=True)
        )


class CategoricalAccuracy(Metric):
    """How many rows have their largest output where the target (n, classes) is largest."""

    kind = "categorical_accuracy"
    goes_with = frozenset({"targets"})

    @keywords()
    def __init__(self, name: str = "categorical_accuracy") -> None:
        super().__init__(name)


class SparseCategoricalAccuracy(Metric):
    """How many rows have their largest output at their label (n,)."""

    kind = "sparse_categorical_accuracy"
    goes_with = frozenset({"labels"})

    @keywords()
    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(name)


class TopKCategoricalAccuracy(Metric):
    """How many rows have their target class among the `k` largest outputs; targets (n, classes)."""

    kind = "top_k_categorical_accuracy"
    goes_with = frozenset({"targets"})

    @keywords()
    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy") -> None:
        super().__init__(name, float(integer("k", k)))


class SparseTopKCategoricalAccuracy(Metric):
    """How many rows have their label (n,) among the `k` largest outputs."""

    kind = "top_k_categorical_accuracy"
    goes_with = frozenset({"labels"})

    @keywords()
    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy") -> None:
        super().__init__(name, float(integer("k", k)))


class BinaryCrossentropy(Metric):
    """The sigmoid cross-entropy, without smoothing or `pos_weight`."""

    kind = "sigmoid_cross_entropy"
    goes_with = frozenset({"sigmoid"})

    @keywords()
    def __init__(self, name: str = "binary_crossentropy") -> None:
        super().__init__(name)


class CategoricalCrossentropy(Metric):
    """The softmax cross-entropy of targets (n, classes), without smoothing."""

    kind = "softmax_cross_entropy"
    goes_with = frozenset({"targets"})

    @keywords()
    def __init__(self, name: str = "categorical_crossentropy") -> None:
        super().__init__(name)


class SparseCategoricalCrossentropy(Metric):
    """The softmax cross-entropy of labels (n,)."""

    kind = "softmax_cross_entropy"
    goes_with = frozenset({"labels"})

    @keywords()
    def __init__(self, name: str = "sparse_categorical_crossentropy") -> None:
        super().__init__(name)


class MeanSquaredError(Metric):
    """Mean of (output - target)**2, of the outputs that `predict` returns."""

    kind = "mean_squared_error"
    goes_with = frozenset({"targets", "sigmoid", "values"})

    @keywords()
    def __init__(self, name: str = "mean_squared_error") -> None:
        super().__init__(name)


class MeanAbsoluteError(Metric):
    """Mean of abs(output - target), of the outputs that `predict` returns."""

    kind = "mean_absolute_error"
    goes_with = frozenset({"targets", "sigmoid", "values"})

    @keywords()
    def __init__(self, name: str = "mean_absolute_error") -> None:
        super().__init__(name)


class RootMeanSquaredError(Metric):
    """The root of the mean of (output - target)**2 over all rows."""

    kind = "mean_squared_error"
    goes_with = frozenset({"targets", "sigmoid", "values"})

    @keywords()
    def __init__(self, name: str = "root_mean_squared_error") -> None:
        super().__init__(name)

    def finish(self, mean: float) -> float:
        return math.sqrt(mean)


_CLASSES: dict[
    str,
    type[
        BinaryAccuracy
        | CategoricalAccuracy
        | SparseCategoricalAccuracy
        | TopKCategoricalAccuracy
        | SparseTopKCategoricalAccuracy
        | BinaryCrossentropy
        | CategoricalCrossentropy
        | SparseCategoricalCrossentropy
        | MeanSquaredError
        | MeanAbsoluteError
        | RootMeanSquaredError
    ],
] = {
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "root_mean_squared_error": RootMeanSquaredError,
}
_NAMES = {
    **_CLASSES,
    **{cls.__name__: cls for cls in _CLASSES.values()},
    "bce": BinaryCrossentropy,
    "BCE": BinaryCrossentropy,
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "MAE": MeanAbsoluteError,
    "rmse": RootMeanSquaredError,
    "RMSE": RootMeanSquaredError,
}
_ACCURACIES = ("accuracy", "acc")
# What "accuracy" means, by what the targets are; also the order of suggestions.
_ACCURACY = {
    "labels": SparseCategoricalAccuracy,
    "targets": CategoricalAccuracy,
    "sigmoid": BinaryAccuracy,
}


def get(identifier: str | Metric | type[Metric], target: str) -> Metric:
    """The metric that a name, an object or a class means for such targets (`target_of`).

    A string becomes the metric's name, so the History has the key that was asked for.
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, type) and identifier in _CLASSES.values():
        return identifier()  # type: ignore[call-arg]
    if isinstance(identifier, str) and identifier in _ACCURACIES:
        if target not in _ACCURACY:
            raise ValueError(
                f"metrics: {identifier!r} means nothing for mean_squared_error of linear "
                "outputs; use 'mean_absolute_error' or 'root_mean_squared_error'"
            )
        return _ACCURACY[target](name=identifier)
    # The two words for accuracy are known, too, where a near match is looked for.
    known = {**_NAMES, **dict.fromkeys(_ACCURACIES, BinaryAccuracy)}
    metric: Metric = choose("metrics", identifier, known)()
    metric.name = str(identifier)
    return metric


def target_of(loss: Loss, head: Head) -> str:
    """What y holds: "labels", "targets" (probabilities), "sigmoid" or "values"."""
    if loss.takes_labels:
        return "labels"
    if loss.native == "softmax_cross_entropy":
        return "targets"
    if loss.native == "sigmoid_cross_entropy":
        return "sigmoid"
    # Probabilities trained by mean squared error (Brier's score) have an accuracy, too.
    return {"softmax": "targets", "sigmoid": "sigmoid"}.get(head.activation, "values")


class Columns:
    """The columns of native sums: the loss, the metrics, the weighted metrics, by name."""

    def __init__(
        self,
        loss: Loss,
        head: Head,
        metrics: Sequence[str | Metric | type[Metric]],
        weighted: Sequence[str | Metric | type[Metric]],
    ) -> None:
        target = target_of(loss, head)
        self.names = ["loss"]
        self.metrics: list[Metric] = []
        # (kind, value) pairs as the native compile wants them.
        self.native: list[tuple[str, float]] = []
        for prefix, wanted in (("", metrics), ("weighted:", weighted)):
            for identifier in wanted:
                metric = get(identifier, target)
                _check_logits(metric, head, loss)
                _check_fit(metric, target, loss)
                self.metrics.append(metric)
                self.native.append((prefix + metric.kind, metric.value))
                self.names.append(self._unique(metric.name, weighted=bool(prefix)))

    def _unique(self, name: str, weighted: bool) -> str:
        # As Keras names them: a weighted metric that has a twin is "weighted_...",
        # another of the same name gets a number.
        if weighted and name in self.names:
            name = f"weighted_{name}"
        result, count = name, 0
        while result in self.names:
            count += 1
            result = f"{name}_{count}"
        return result

    @property
    def width(self) -> int:
        """How many native numbers there are: a sum and a weight for each name."""
        return 2 * len(self.names)

    def logs(self, sums: NDArray[np.float64], prefix: str = "") -> dict[str, float]:
        """Names to values, of `width` sums."""
        values = sums.tolist()
        # No weight at all means that no row counted: a loss of 0.
        means = [s / w if w else 0.0 for s, w in zip(values[0::2], values[1::2], strict=True)]
        logs = {prefix + "loss": means[0]}
        for name, metric, mean in zip(self.names[1:], self.metrics, means[1:], strict=True):
            logs[prefix + name] = metric.finish(mean)
        return logs


def _check_logits(metric: Metric, head: Head, loss: Loss) -> None:
    """A cross-entropy is of logits; of what is neither they nor made of them it is none."""
    squash = metric.kind.removesuffix("_cross_entropy")
    # What goes with another cross-entropy is said with the names that do (_check_fit).
    if squash == metric.kind or loss.is_cross_entropy or gives_logits_of(head, squash, loss):
        return
    raise ValueError(
        f"metrics: {metric.name!r} with the loss {loss.name} wants {squash} as the last layer, "
        f"but the outputs are those of {described(head)}"
    )


def _check_fit(metric: Metric, target: str, loss: Loss) -> None:
    if target in metric.goes_with:
        return
    fitting = [name for name, cls in _CLASSES.items() if target in cls.goes_with]
    raise ValueError(
        f"metrics: {metric.name!r} does not go with the loss {loss.name}; use 'accuracy' or "
        f"one of {', '.join(fitting)}"
        if target in _ACCURACY
        else f"metrics: {metric.name!r} does not go with the loss {loss.name}; use one of "
        f"{', '.join(fitting)}"
    )
