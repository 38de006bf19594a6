"""Scores of predictions for rows of a table, and how much they suffer when a column is shuffled."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.commands.content import Confusion, Importance, Mistakes

Array = NDArray[Any]
Floats = NDArray[np.float64]

_LEAST = 1e-15  # a probability that a logarithm takes
_MOST_PAIRS = 20
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


class Classes(NamedTuple):
    """Answers in classes.

    `names`: of all classes, those of the model first, then others that rows have. `labels`, `found`: the
    number of each row's class and of its answer. `probabilities`: (n, classes of the model).
    """

    names: Sequence[str]
    labels: NDArray[np.int64]
    found: NDArray[np.int64]
    probabilities: Floats

    @property
    def known(self) -> NDArray[np.bool_]:
        """The rows whose class the model knows."""
        return np.less(self.labels, self.probabilities.shape[1])


def classes_of(names: Sequence[str], given: Sequence[str], probabilities: Floats) -> Classes:
    """Answers beside the classes that rows have; `names`: of the model's classes, in their order."""
    place = {name: i for i, name in enumerate(names)}
    for name in sorted(set(given) - set(place)):
        place[name] = len(place)
    labels = np.array([place[name] for name in given], np.int64)
    return Classes(list(place), labels, probabilities.argmax(axis=1), probabilities)


def scores_of_classes(answers: Classes) -> dict[str, float]:
    """Scores by their names; those of probabilities are over the rows whose class the model knows.

    Accuracy is the share of right answers, balanced accuracy its mean over classes. F1 is 2 TP / (2 TP +
    FP + FN), of two classes that of the second, of more the mean. The area under the ROC curve is of more
    classes the mean of each against the rest. Brier is the mean of (1 - p)^2 of two classes, of the second
    class's p, and of more the sum over classes.
    """
    labels, found = answers.labels, answers.found
    counts = confusion_of(answers).counts
    right, rows, columns = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    there = rows > 0
    scores = {
        "accuracy": float(np.mean(labels == found)),
        "balanced accuracy": float(np.mean(right[there] / rows[there])),
    }
    two = answers.probabilities.shape[1] == 2 and len(answers.names) == 2
    with np.errstate(invalid="ignore"):
        f1 = np.nan_to_num(2 * right / (rows + columns))
    scores["F1"] = float(f1[1] if two else f1[there | (columns > 0)].mean())
    known = answers.known
    p, labels = answers.probabilities[known], labels[known]
    if not len(labels):
        return scores
    of_label = p[np.arange(len(labels)), labels]
    scores["log loss"] = log_loss(p, labels)
    if two:
        scores["area under the ROC curve"] = area_under_roc(labels == 1, p[:, 1])
        scores["Brier"] = float(np.mean((p[:, 1] - labels) ** 2))
    else:
        areas = [area_under_roc(labels == k, p[:, k]) for k in range(p.shape[1])]
        finite = [area for area in areas if not math.isnan(area)]
        scores["area under the ROC curve"] = float(np.mean(finite)) if finite else math.nan
        scores["Brier"] = float(np.mean((p**2).sum(axis=1) - 2 * of_label + 1))
    return scores


def log_loss(p: Floats, labels: NDArray[np.int64]) -> float:
    """The mean of -log of the probability (n, classes) that a row's label (n,) is given."""
    of_label = p[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(of_label, _LEAST)).mean())


def area_under_roc(positive: Array, score: Array) -> float:
    """The share of pairs of a positive and another row in which the positive has more; half of equals.

    >>> from fastnn.commands.scores import area_under_roc
    >>> area_under_roc(np.array([True, False, True]), np.array([0.9, 0.5, 0.5]))
    0.75
    """
    positive = np.asarray(positive, bool)
    count = int(positive.sum())
    rest = len(positive) - count
    if not count or not rest:
        return math.nan
    _, places, sizes = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[places]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * rest))


def confusion_of(answers: Classes) -> Confusion:
    """Counts of rows by class and answer."""
    k = len(answers.names)
    counts = np.bincount(answers.labels * k + answers.found, minlength=k * k).reshape(k, k)
    return Confusion(answers.names, counts)


def mistakes_of(answers: Classes) -> Mistakes:
    """What is most often taken for what."""
    k = len(answers.names)
    wrong = answers.labels != answers.found
    pairs, counts = np.unique(answers.labels[wrong] * k + answers.found[wrong], return_counts=True)
    rows = np.bincount(answers.labels, minlength=k)
    told = []
    for i in np.argsort(-counts, kind="stable")[:_MOST_PAIRS]:
        label, found = divmod(int(pairs[i]), k)
        share = float(counts[i] / rows[label])
        told.append((answers.names[label], answers.names[found], int(counts[i]), share))
    return Mistakes(k, told)


def scores_of_numbers(actual: Floats, predicted: Floats) -> dict[str, float]:
    """Scores by their names.

    RMSE is the root of the mean of (actual - predicted)^2, R2 1 - sum (actual - predicted)^2 / sum (actual -
    mean)^2, NaN where actual numbers are all the same; bias is the mean of predicted - actual.
    """
    errors = predicted - actual
    # In units of the largest, so that squares of huge numbers are finite.
    unit = float(np.abs(errors).max()) or 1.0
    spread = actual - actual.mean()
    around = float(np.abs(spread).max())
    scores = {
        "RMSE": unit * float(np.sqrt(np.mean((errors / unit) ** 2))),
        "mean absolute error": float(np.abs(errors / unit).mean()) * unit,
        "median absolute error": float(np.median(np.abs(errors))),
        "R2": math.nan,
        "bias": float((errors / unit).mean()) * unit,
        "largest error": float(np.abs(errors).max()),
    }
    if around > 0:
        share = float(np.sum((errors / around) ** 2) / np.sum((spread / around) ** 2))
        scores["R2"] = 1.0 - share
    return scores


def importances(
    names: Sequence[str],
    answers: Callable[[Sequence[NDArray[np.int64]]], Iterable[Any]],
    loss: Callable[[Any], float],
    rows: int,
    repeats: int,
    seed: int = 0,
) -> list[Importance]:
    """How much the loss rises when the values of a column are shuffled among the rows.

    Breiman 2001, "Random forests", section 10.

    Args:
        names: of the columns.
        answers: for orders of rows, one for each column: the answers for rows as they are, and then where
            each column in turn is shuffled.
        loss: of answers.
        rows: how many there are.
        repeats: shuffles of each column.
        seed: of the shuffles.
    """
    random = np.random.default_rng(seed)
    rises = []
    for _ in range(repeats):
        orders = [random.permutation(rows) for _ in names]
        before, *after = (loss(found) for found in answers(orders))
        rises.append([value - before for value in after])
    unit = float(np.abs(rises).max()) or 1.0  # so that squares of huge numbers are finite
    means, spreads = np.mean(rises, axis=0), unit * np.std(np.array(rises) / unit, axis=0)
    return [
        Importance(name, float(mean), float(spread))
        for name, mean, spread in zip(names, means, spreads, strict=True)
    ]
