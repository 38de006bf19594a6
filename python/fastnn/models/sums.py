"""The loss of an epoch over the tape: sums of the losses of its batches, for each output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from weakref import ref

import numpy as np

from fastnn.autodiff.tensor import Tensor, converted
from fastnn.metrics.base import Metric

# For each output with a loss: sum(w * l), and sum(w).
Sums = list[tuple[float, float]]


class LossTracker(Metric):
    """sum(w * l) / sum(w) over all rows, of several outputs the sum of these by loss weight.

    `update_state` takes the Tensor that `compute_loss` returned, and counts what it is made of; any
    other number counts once for each row of the batch.
    """

    more_is_better = False

    def __init__(self) -> None:
        super().__init__("loss")
        self.parts: list[tuple[str | None, float]] = []  # name and weight of each output
        self._by_output: Sums | None = None
        self._expected: tuple[ref[Tensor], Sums] | None = None
        self._rows = 1

    @property
    def names(self) -> list[str]:
        """ "loss" and, of several outputs with a loss, "<output>_loss" of each."""
        several = [f"{name}_loss" for name, _ in self.parts if name is not None]
        return ["loss", *(several if len(several) > 1 else [])]

    def expect(self, value: Tensor, sums: Sums, rows: int) -> None:
        """`value` is the loss of a batch of so many rows, and these are its sums."""
        self._expected = ref(value), sums
        self._rows = rows

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        if self._expected is not None and self._expected[0]() is values:
            sums, before = self._expected[1], self._by_output
            if before is not None:
                longest = max(len(sums), len(before))  # some batches may have an added loss
                both = zip(_filled(sums, longest), _filled(before, longest), strict=True)
                sums = [(s + b, w + v) for (s, w), (b, v) in both]
            self._by_output = sums
            return
        weight = float(self._rows if sample_weight is None else np.sum(converted(sample_weight)))
        mean = float(np.mean(converted(values)))
        added = np.array([mean * weight, weight])
        self._sums = added if self._sums is None else self._sums + added

    def result(self) -> Tensor:
        return Tensor(np.asarray(self.value()))

    def value(self) -> float:
        """`result` as a number."""
        sums = self._by_output
        if sums is None:
            added = self._sums
            return math.nan if added is None or not added[1] else float(added[0] / added[1])
        total = 0.0
        for (s, w), weight in zip(sums, self._weights(sums), strict=True):
            total += s / w * weight if w else math.nan
        return total

    def _weights(self, sums: Sums) -> list[float]:
        """The weight of each sum: those of outputs and, last, that of losses which models add."""
        weights = [weight for _, weight in self.parts]
        return weights + [1.0] * (len(sums) - len(weights))

    def logs(self) -> dict[str, float]:
        """The loss, and those of several outputs."""
        names = self.names
        if self._by_output is None:
            return {"loss": self.value()}
        means = [s / w if w else math.nan for s, w in self._by_output]
        return dict(zip(names, [self.value(), *means][: len(names)], strict=True))

    @property
    def last(self) -> float | None:
        """The loss of the last batch; None where only a step of the model's own knows it."""
        if self._expected is None:
            return None
        sums = self._expected[1]
        found = zip(sums, self._weights(sums), strict=True)
        return sum(s / w * weight for (s, w), weight in found if w)

    def counts_nothing(self) -> bool:
        """Whether the rows of some output have had no weight, so that a mean is NaN."""
        sums = self._by_output
        if sums is None or not any(w == 0 for _, w in sums):
            return False
        return all(math.isfinite(s) and math.isfinite(w) for s, w in sums)

    def reset_state(self) -> None:
        self._by_output = None
        self._sums = None

    def counted(self) -> list[Any]:
        by_output = np.array(self._by_output or []).reshape(-1, 2)
        return [np.zeros(0) if self._sums is None else self._sums, by_output]

    def count_on(self, counted: Sequence[Any]) -> None:
        sums, by_output = counted
        self._sums = np.array(sums) if len(sums) else None
        self._by_output = [(float(s), float(w)) for s, w in by_output] or None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_expected": None}


def _filled(sums: Sums, count: int) -> Sums:
    return sums + [(0.0, 0.0)] * (count - len(sums))


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

    def counted(self) -> list[Any]:
        return []

    def count_on(self, counted: Sequence[Any]) -> None: ...
