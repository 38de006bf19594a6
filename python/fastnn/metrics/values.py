"""Metrics of numbers that a loop of one's own has: Mean and Sum. `compile` does not take them."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastnn.autodiff.tensor import Tensor, converted
from fastnn.metrics.base import METRICS, Metric
from fastnn.words import keywords

Array = NDArray[np.float64]


class _OfValues(Metric):
    """A weighted sum over numbers, and the sum of their weights."""

    counts: ClassVar[str] = "values"
    goes_with: ClassVar[frozenset[str]] = frozenset()
    _inside = ("counts", "count_options", "finish", "goes_with", "more_is_better")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Adds numbers.

        Args:
            values: a number, or an array or Tensor (n, ...), of which each row counts as the mean
                of its numbers, as in Keras: a loss, or the losses of rows.
            sample_weight: weights that broadcast against values from the first axis on: a number,
                or (n,), or (n, ...); None: 1 for each row.

        Raises:
            ValueError: the weights do not broadcast, or one is negative or not finite.
        """
        numbers = np.asarray(converted(values), np.float64)
        if sample_weight is None:
            weights = np.ones(numbers.shape[:1])
        else:
            weights = _weights(sample_weight, numbers.shape)
        weighted = _by_row(_by_axes(numbers, weights.ndim) * weights)
        sums = np.array([weighted.sum(), _by_row(weights).sum()])
        self._sums = sums if self._sums is None else self._sums + sums

    def __call__(self, values: Any, sample_weight: Any = None) -> Tensor:  # type: ignore[override]
        """`update_state`, then `result`."""
        self.update_state(values, sample_weight)
        return self.result()


@METRICS.register("mean")
class Mean(_OfValues):
    """The mean of numbers, such as of the losses of steps, for a training loop of one's own.

        >>> import fastnn
        >>> mean = fastnn.metrics.Mean()
        >>> for loss in (1.0, 2.0, 6.0):
        ...     mean.update_state(loss)
        >>> float(mean.result())
        3.0

    Arguments and values are Keras's, but that the mean of nothing is NaN (there 0).

    Args:
        name: the metric's name.
    """

    @keywords()
    def __init__(self, name: str = "mean") -> None:
        super().__init__(name)


@METRICS.register("sum")
class Sum(_OfValues):
    """The weighted sum of numbers, for a training loop of one's own; that of nothing is 0.

        >>> metric = fastnn.metrics.Sum()
        >>> metric.update_state([1.0, 2.0])
        >>> metric.update_state(4.0)
        >>> metric.result().item()
        7.0

    Args:
        name: the metric's name.
    """

    @keywords()
    def __init__(self, name: str = "sum") -> None:
        super().__init__(name)

    def result(self) -> Tensor:
        """The sum since `reset_state`, a Tensor without axes."""
        return Tensor(np.asarray(0.0 if self._sums is None else self._sums[0]))


def _weights(given: Any, shape: tuple[int, ...]) -> Array:
    """Weights of the first axes of numbers of this shape, broadcast to these."""
    weights = np.asarray(converted(given), np.float64)
    if weights.ndim == len(shape) + 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    wrong = ~((weights >= 0) & (weights < math.inf))
    if wrong.any():
        raise ValueError(
            f"sample_weight: expected finite numbers of at least 0, got {weights[wrong].flat[0]}"
        )
    try:
        return np.broadcast_to(weights, shape[: max(weights.ndim, min(1, len(shape)))])
    except ValueError:
        raise ValueError(
            f"sample_weight: shape {weights.shape} does not go with values of shape {shape}"
        ) from None


def _by_axes(numbers: Array, axes: int) -> Array:
    """Means over all axes but the first ones."""
    rest = tuple(range(axes, numbers.ndim))
    return np.asarray(numbers.mean(axis=rest) if rest else numbers)


def _by_row(numbers: Array) -> Array:
    return _by_axes(numbers, 1)
