"""The weights of true and false positives and negatives themselves, as metrics."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.metrics.base import METRICS
from fastnn.metrics.confusion import Confusion, probabilities
from fastnn.registry import Checked
from fastnn.words import keywords, optional, snake_case

Array = NDArray[np.float64]


class _Tally(Confusion):
    """One of the four counts, of all labels together."""

    thresholds = Checked(optional(partial(probabilities, axes=1)))
    _place: ClassVar[int]  # in the native count

    @keywords()
    def __init__(
        self,
        thresholds: ArrayLike | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(snake_case(type(self).__name__) if name is None else name, dtype)
        self.thresholds = thresholds

    def _sets(self) -> Array | None:
        given = 0.5 if self.thresholds is None else self.thresholds
        return np.reshape(np.asarray(given, np.float64), (-1, 1))

    def finish(self, sums: Array) -> Any:
        found = sums.reshape(self._counted, -1, 4).sum(axis=1)[:, self._place]
        return float(found[0]) if len(found) == 1 else found


@METRICS.register("true_positives")
class TruePositives(_Tally):
    """The weight of positive targets whose output is positive, of all labels together.

    Targets are positive above 0.5; with integer labels and with probabilities of classes the one
    class of a row is. Missing labels (NaN) are left out; of no rows it is 0.

        >>> import fastnn
        >>> float(fastnn.metrics.TruePositives()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]))
        1.0

    Args:
        thresholds: an output is positive above this probability in [0, 1]; default 0.5. A list
            gives a count for each, an array. With logits of labels they are still probabilities;
            classes need a softmax at the end. They are read at `compile`.
        name: the name in logs; None: that of the class, "true_positives".
        dtype: see `Metric`.

    Raises:
        ValueError: a threshold is out of range.
    """

    _place = 0


@METRICS.register("false_positives")
class FalsePositives(_Tally):
    """The weight of other targets whose output is positive; see `TruePositives`.

    >>> import fastnn
    >>> float(fastnn.metrics.FalsePositives()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]))
    0.0
    """

    more_is_better = False
    _place = 1


@METRICS.register("false_negatives")
class FalseNegatives(_Tally):
    """The weight of positive targets whose output is not positive; see `TruePositives`.

    >>> import fastnn
    >>> float(fastnn.metrics.FalseNegatives()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]))
    1.0
    """

    more_is_better = False
    _place = 2


@METRICS.register("true_negatives")
class TrueNegatives(_Tally):
    """The weight of other targets whose output is not positive; see `TruePositives`.

    >>> import fastnn
    >>> float(fastnn.metrics.TrueNegatives()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]))
    2.0
    """

    _place = 3
