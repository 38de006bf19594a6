"""The loss of an epoch over the tape: sums of the losses of its batches, for each output."""

from __future__ import annotations

import math
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from fastnn.autodiff.tensor import Tensor, converted
from fastnn.metrics.base import Metric


class LossTracker(Metric):
    """sum(w * l) / sum(w) over all rows, of several outputs the sum of these by loss weight.

    `update_state` takes the Tensor that `compute_loss` returned, and counts what it is made of; any
    other number counts once for each row of the batch.
    """

    more_is_better = False

    def __init__(self) -> None:
        super().__init__("loss")
        self.parts: list[tuple[str | None, float]] = []  # name and weight of each output
        self._by_output: NDArray[np.float64] | None = None  # (outputs, 2): sum(w * l), sum(w)
        self._expected: tuple[ref[Tensor], NDArray[np.float64]] | None = None
        self._rows = 1

    @property
    def names(self) -> list[str]:
        """ "loss" and, of several outputs with a loss, "<output>_loss" of each."""
        several = [f"{name}_loss" for name, _ in self.parts if name is not None]
        return ["loss", *(several if len(several) > 1 else [])]

    def expect(self, value: Tensor, sums: NDArray[np.float64], rows: int) -> None:
        """`value` is the loss of a batch of so many rows, and these are its sums."""
        self._expected = ref(value), sums
        self._rows = rows

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        if self._expected is not None and self._expected[0]() is values:
            sums = self._expected[1]
            self._by_output = sums if self._by_output is None else self._by_output + sums
            return
        weight = float(self._rows if sample_weight is None else np.sum(converted(sample_weight)))
        mean = float(np.mean(converted(values)))
        added = np.array([mean * weight, weight])
        self._sums = added if self._sums is None else self._sums + added

    def result(self) -> Tensor:
        return Tensor(np.asarray(self.logs()["loss"]))

    def logs(self) -> dict[str, float]:
        """The loss, and those of several outputs."""
        names = self.names
        if self._by_output is None:
            sums = self._sums
            mean = math.nan if sums is None or not sums[1] else float(sums[0] / sums[1])
            return {"loss": mean}
        means = [float(s / w) if w else math.nan for s, w in self._by_output]
        total = sum(mean * weight for mean, (_, weight) in zip(means, self.parts, strict=True))
        return dict(zip(names, [float(total), *means][: len(names)], strict=True))

    @property
    def last(self) -> float | None:
        """The loss of the last batch; None where only a step of the model's own knows it."""
        if self._expected is None:
            return None
        sums = self._expected[1]
        means = np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] > 0)
        return float(means @ [weight for _, weight in self.parts])

    def counts_nothing(self) -> bool:
        """Whether the rows of some output have had no weight, so that a mean is NaN."""
        sums = self._by_output
        return sums is not None and bool((sums[:, 1] == 0).any()) and bool(np.isfinite(sums).all())

    def reset_state(self) -> None:
        self._by_output = self._sums = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_expected": None}


class PartOfLoss(Metric):
    """The loss of one of several outputs, as a metric of the model; the LossTracker counts it."""

    more_is_better = False

    def __init__(self, tracker: LossTracker, name: str) -> None:
        super().__init__(name)
        self._tracker = tracker

    def update_state(self, *_: Any) -> None: ...

    def result(self) -> Tensor:
        return Tensor(np.asarray(self._tracker.logs().get(self.name, math.nan)))

    def reset_state(self) -> None: ...
