"""What a report says, as plain values: made from a model by `report`, written as HTML by `page`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Pairs = Sequence[tuple[str, str]]


class Curve(NamedTuple):
    """What a member showed after each epoch. `best`: the epoch whose weights it has, from 0."""

    name: str
    training: Sequence[float]
    validation: Sequence[float]
    best: int | None = None


class Scores(NamedTuple):
    """Scores on some rows, as they are shown."""

    title: str
    values: Pairs


class Confusion(NamedTuple):
    """Counts of rows: `counts[i, j]` of class i that are answered as class j."""

    classes: Sequence[str]
    counts: NDArray[np.int64]


class Mistakes(NamedTuple):
    """Of many classes, what is most often taken for what: (class, answer, rows, share of the class)."""

    classes: int
    pairs: Sequence[tuple[str, str, int, float]]


class Calibration(NamedTuple):
    """Bins of rows by their probability: its mean, and the share of rows for which it came true."""

    name: str
    probability: Floats
    share: Floats
    counts: NDArray[np.int64]


class Errors(NamedTuple):
    """Numbers and their predictions."""

    actual: Floats
    predicted: Floats


class Answers(NamedTuple):
    """What the answers for some rows are like."""

    title: str
    confusion: Confusion | None = None
    mistakes: Mistakes | None = None
    calibration: Calibration | None = None
    errors: Errors | None = None


class Importance(NamedTuple):
    """How much worse answers get when a column is shuffled among the rows: mean and spread."""

    column: str
    mean: float
    spread: float | None = None


class Column(NamedTuple):
    """A column as it was understood."""

    name: str
    kind: str
    told: str


class Report(NamedTuple):
    """All that the page shows; what is empty or None is left out."""

    title: str
    facts: Pairs = ()
    notes: Sequence[str] = ()
    scores: Sequence[Scores] = ()
    curves: Sequence[Curve] = ()
    curve_label: str = "loss"
    answers: Sequence[Answers] = ()
    importance: Sequence[Importance] = ()
    importance_told: str = ""
    columns: Sequence[Column] = ()
    settings: Pairs = ()
    versions: Pairs = ()


def calibration(name: str, probability: Any, happened: Any, bins: int = 10) -> Calibration:
    """Rows in bins of equal width by their probability; bins without rows are left out.

        >>> from fastnn.commands.content import calibration
        >>> found = calibration("yes", [0.1, 0.9, 0.95], [False, True, True])
        >>> found.share.tolist(), found.counts.tolist()
        ([0.0, 1.0], [1, 2])

    Args:
        name: of what may happen.
        probability: (n,), in [0, 1].
        happened: (n,), bools.
        bins: how many.
    """
    p = np.asarray(probability, np.float64)
    place = np.clip((p * bins).astype(np.int64), 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    there = counts > 0
    means = np.bincount(place, p, bins)[there] / counts[there]
    shares = np.bincount(place, np.asarray(happened, np.float64), bins)[there] / counts[there]
    return Calibration(name, means, shares, counts[there])
