"""Parts of the rows: what a call trains on, and what it validates on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from fastnn.data.table import Table
from fastnn.sklearn.rows import Rows, Targets

Array = NDArray[Any]


class Given(NamedTuple):
    """Rows to train on. `by_batch`: whether their weights are the caller's alone, and the gradient of
    a batch is divided by its weight as in scikit-learn."""

    rows: Rows
    targets: Targets
    weights: NDArray[np.float64] | None
    by_batch: bool = False


class Held(NamedTuple):
    """Rows held out, or given, for validation; `rows` of `given` where `chosen` is not None."""

    given: Given
    chosen: NDArray[np.int64] | None = None


class Parts(NamedTuple):
    """What a call trains on, and what it validates on."""

    given: Given
    chosen: NDArray[np.int64] | None
    held: Held | None

    @property
    def length(self) -> int:
        return len(self.given.rows) if self.chosen is None else len(self.chosen)


def split(estimator: Any, given: Given, random: Any, incremental: bool) -> Parts:
    """The rows of a call in parts: those of validation_data or of early_stopping are held out."""
    if estimator.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    if estimator.validation_data is not None:
        return Parts(given, None, Held(_validation_of(estimator)))
    if not estimator.early_stopping:
        return Parts(given, None, None)
    # As scikit-learn splits, with the same random_state into the same rows.
    targets = given.targets
    stratify = None
    if targets.values is not None and hasattr(estimator, "classes_") and targets.width == 1:
        stratify = targets.values.astype(bool)
    chosen, held = train_test_split(
        np.arange(len(given.rows)),
        random_state=random,
        test_size=estimator.validation_fraction,
        stratify=stratify,
    )
    if len(held) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your "
            "dataset."
        )
    return Parts(given, chosen.astype(np.int64), Held(given, held.astype(np.int64)))


def _validation_of(estimator: Any) -> Given:
    """The rows of validation_data, checked."""
    data = estimator.validation_data
    if len(data) not in (2, 3):
        raise ValueError(
            f"validation_data: expected (X, y) or (X, y, sample_weight), got {len(data)} parts"
        )
    X, y, *more = data
    x = estimator._validation_rows(X)
    targets = estimator._validation_targets(y)
    weights = np.asarray(more[0], np.float64) if more and more[0] is not None else None
    rows = Rows(x)
    counts = {len(rows), len(targets.y), len(rows) if weights is None else len(weights)}
    if len(counts) > 1:
        raise ValueError(f"validation_data: parts have different lengths: {sorted(counts)}")
    return Given(rows, targets, weights)


def some(values: Array | None, chosen: Array | None) -> Array | None:
    """The values of the chosen rows."""
    return values if values is None or chosen is None else values[chosen]


def table_of(held: Held) -> Table:
    """The rows held out, for native validation."""
    own = held.given
    return own.rows.table(own.targets, own.weights, held.chosen)
