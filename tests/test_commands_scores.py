"""Scores of the commands, against scikit-learn's and by hand."""

from __future__ import annotations

import doctest
import importlib
import math
from typing import Any

import numpy as np
import pytest

from fastnn.commands.content import Importance
from fastnn.commands.scores import (
    area_under_roc,
    classes_of,
    confusion_of,
    importances,
    mistakes_of,
    scores_of_classes,
    scores_of_numbers,
)

pytestmark = pytest.mark.cpu

RNG = np.random.default_rng(11)


def problem(k: int, n: int = 300) -> tuple[list[str], list[str], np.ndarray]:
    names = [f"class {i}" for i in range(k)]
    labels = RNG.integers(0, k, n)
    p = RNG.dirichlet(np.ones(k), n) + 0.5 * np.eye(k)[labels]
    return names, [names[i] for i in labels], np.round(p / p.sum(axis=1, keepdims=True), 2)


@pytest.mark.parametrize("k", [2, 3, 7])
def test_scores_of_classes(k):
    metrics = pytest.importorskip("sklearn.metrics")
    names, labels, p = problem(k)
    p /= p.sum(axis=1, keepdims=True)
    found = scores_of_classes(classes_of(names, labels, p))
    answers = [names[i] for i in p.argmax(axis=1)]
    average = {"average": "macro"} if k > 2 else {"pos_label": names[1]}
    one_hot = np.array([[name == label for name in names] for label in labels])
    if k == 2:
        area = metrics.roc_auc_score(one_hot[:, 1], p[:, 1])
        brier = metrics.brier_score_loss(one_hot[:, 1], p[:, 1])
    else:
        area = metrics.roc_auc_score(labels, p, multi_class="ovr", labels=names)
        brier = np.mean(((p - one_hot) ** 2).sum(axis=1))
    expected = {
        "accuracy": metrics.accuracy_score(labels, answers),
        "balanced accuracy": metrics.balanced_accuracy_score(labels, answers),
        "F1": metrics.f1_score(labels, answers, **average),
        "log loss": -np.mean(np.log(np.maximum(p[one_hot], 1e-15))),
        "area under the ROC curve": area,
        "Brier": brier,
    }
    assert found == pytest.approx(expected, abs=1e-12)
    counts = metrics.confusion_matrix(labels, answers, labels=names)
    np.testing.assert_array_equal(confusion_of(classes_of(names, labels, p)).counts, counts)


def test_classes_that_a_model_does_not_know():
    """They count as wrong, and scores of probabilities leave them out."""
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])
    answers = classes_of(["a", "b"], ["a", "b", "c", "c"], p)
    assert answers.names == ["a", "b", "c"]
    found = scores_of_classes(answers)
    assert found["accuracy"] == 0.5
    assert found["log loss"] == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)
    assert confusion_of(answers).counts.tolist() == [[1, 0, 0], [0, 1, 0], [2, 0, 0]]
    assert mistakes_of(answers).pairs == [("c", "a", 2, 1.0)]
    alone = scores_of_classes(classes_of(["a", "b"], ["c"], p[:1]))
    assert alone["accuracy"] == 0
    assert "log loss" not in alone


def test_classes_without_rows():
    p = np.array([[0.9, 0.1], [0.8, 0.2]])
    found = scores_of_classes(classes_of(["a", "b"], ["a", "a"], p))
    assert found["accuracy"] == found["balanced accuracy"] == 1
    assert math.isnan(found["area under the ROC curve"])


def test_a_probability_of_zero_is_no_infinite_loss():
    found = scores_of_classes(classes_of(["a", "b"], ["b"], np.array([[1.0, 0.0]])))
    assert found["log loss"] == pytest.approx(-math.log(1e-15))


def test_area_with_equal_scores():
    metrics = pytest.importorskip("sklearn.metrics")
    y = RNG.random(500) < 0.3
    for digits in (0, 1, 5):
        score = np.round(RNG.random(500) + 0.3 * y, digits)
        assert area_under_roc(y, score) == pytest.approx(metrics.roc_auc_score(y, score), abs=1e-12)


def test_mistakes_are_sorted():
    names, labels, p = problem(5, 2000)
    found = mistakes_of(classes_of(names, labels, p))
    counts = [rows for _, _, rows, _ in found.pairs]
    assert counts == sorted(counts, reverse=True)
    of, answered, rows, share = found.pairs[0]
    answers = [names[i] for i in p.argmax(axis=1)]
    pairs = list(zip(labels, answers, strict=True))
    assert rows == pairs.count((of, answered))
    assert share == rows / labels.count(of)


def test_scores_of_numbers():
    metrics = pytest.importorskip("sklearn.metrics")
    y = RNG.normal(3, 2, 400)
    found = y + RNG.normal(0.1, 0.5, 400)
    expected = {
        "RMSE": metrics.root_mean_squared_error(y, found),
        "mean absolute error": metrics.mean_absolute_error(y, found),
        "median absolute error": metrics.median_absolute_error(y, found),
        "R2": metrics.r2_score(y, found),
        "bias": np.mean(found - y),
        "largest error": metrics.max_error(y, found),
    }
    assert scores_of_numbers(y, found) == pytest.approx(expected, rel=1e-12)


def test_scores_of_huge_equal_and_perfect_numbers():
    y = np.array([1e200, -1e200, 3e200])
    found = scores_of_numbers(y, y * 1.5)
    assert found["RMSE"] == pytest.approx(1e200 * math.sqrt(11 / 12))
    assert found["R2"] == pytest.approx(1 - 2.75 / 8)
    same = scores_of_numbers(np.ones(3), np.ones(3))
    assert same["RMSE"] == 0
    assert math.isnan(same["R2"])
    assert scores_of_numbers(np.arange(3.0), np.arange(3.0))["R2"] == 1


def test_importance():
    """A column that answers do not depend on has none, and a seed gives the same shuffles."""
    used, y = RNG.normal(size=200), RNG.normal(size=200)
    y = 2 * used

    def answers(orders: Any) -> list[np.ndarray]:
        return [y, 2 * used[orders[0]], y]

    def loss(found: np.ndarray) -> float:
        return float(np.mean((found - y) ** 2))

    first, second = importances(["used", "other"], answers, loss, 200, 4)
    assert first.mean == pytest.approx(8 * np.var(used), rel=0.3)
    assert first.spread is not None
    assert first.spread > 0
    assert second == Importance("other", 0.0, 0.0)
    assert importances(["used", "other"], answers, loss, 200, 4) == [first, second]


@pytest.mark.parametrize("name", ["commands.content", "commands.scores", "pictures.charts"])
def test_examples(name):
    module = importlib.import_module(f"fastnn.{name}")
    found = doctest.testmod(module, extraglobs={"np": np})
    assert found.attempted
    assert not found.failed
