"""best_thresholds against a search of all combinations, and by native metrics."""

from __future__ import annotations

import itertools
from typing import Any

import networks
import numpy as np
import pytest
from numpy.typing import NDArray

from fastnn import metrics, optimizers
from fastnn.metrics import best_thresholds

Array = NDArray[Any]


def data(seed: int, n: int = 9, labels: int = 3) -> tuple[Array, Array, Array]:
    """Rows with ties among probabilities, missing labels and rows that weigh 0."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, (n, labels)).astype(float)
    y[rng.random(y.shape) < 0.2] = np.nan
    p = np.round(rng.random((n, labels)), 1)
    return y, p, rng.integers(0, 3, n).astype(float)


def score(y: Array, found: Array, w: Array, beta: float, average: str) -> float:
    known, on = ~np.isnan(y), y > 0.5
    tp = (w[:, None] * (known & on & found)).sum(axis=0)
    fp = (w[:, None] * (known & ~on & found)).sum(axis=0)
    fn = (w[:, None] * (known & on & ~found)).sum(axis=0)
    weights = tp + fn
    if average == "micro":
        tp, fp, fn = (np.array([each.sum()]) for each in (tp, fp, fn))
    below = (1 + beta**2) * tp + beta**2 * fn + fp
    each = np.where(below > 0, (1 + beta**2) * tp / np.where(below > 0, below, 1), 0)
    if average == "weighted":
        return float((each * weights).sum() / max(weights.sum(), 1e-9))
    return float(each.mean())


# A cut between any two of the probabilities, which are rounded to tenths, and above all.
GRID = np.append(np.arange(0.05, 1, 0.1), 1.0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
@pytest.mark.parametrize("beta", [1.0, 0.5, 2.0])
def test_no_combination_is_better(seed: int, weighted: bool, average: Any, beta: float) -> None:
    y, p, w = data(seed)
    w = w if weighted else np.ones(len(w))
    metric = metrics.FBetaScore(average, beta)
    found = best_thresholds(y, p, metric, sample_weight=w if weighted else None)
    assert found.shape == (3,)
    best = max(
        score(y, p > np.array(cut), w, beta, average) for cut in itertools.product(GRID, repeat=3)
    )
    assert score(y, p > found, w, beta, average) == pytest.approx(best, abs=1e-12)
    shared = best_thresholds(y, p, metric, w, one_for_all=True)
    assert shared.shape == (1,)
    best = max(score(y, p > cut, w, beta, average) for cut in GRID)
    assert score(y, p > shared, w, beta, average) == pytest.approx(best, abs=1e-12)


def test_midpoints_and_ties() -> None:
    y, p = [0, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.35, 0.6]
    np.testing.assert_allclose(best_thresholds(y, p), [0.25])
    # All positive, all negative: below, or as near as can be to 0.5.
    np.testing.assert_allclose(best_thresholds([1, 1], [0.2, 0.6]), [0.1])
    np.testing.assert_allclose(best_thresholds([0, 0], [0.2, 0.7]), [0.45])
    # Cuts at 0.25 and 0.5 are equally good: 2 / 3 each.
    y, p = [1, 0, 0, 1], [0.3, 0.2, 0.4, 0.6]
    assert score(np.c_[y], np.c_[p] > 0.25, np.ones(4), 1, "micro") == 0.8
    np.testing.assert_allclose(best_thresholds(y, p), [0.25])
    y, p = [1, 0, 0, 1, 0], [0.3, 0.35, 0.4, 0.6, 0.1]
    np.testing.assert_allclose(best_thresholds(y, p), [0.5])


def test_a_label_that_is_never_known_has_a_half() -> None:
    y = np.array([[np.nan, 1.0], [np.nan, 0.0]])
    p = np.array([[0.1, 0.8], [0.2, 0.3]])
    for average in ("micro", "macro"):
        found = best_thresholds(y, p, metrics.F1Score(average))
        np.testing.assert_allclose(found, [0.5, 0.55])
    np.testing.assert_array_equal(best_thresholds(y, p, sample_weight=[0, 0]), [0.5, 0.5])
    found = best_thresholds(y, p, sample_weight=[0, 0], one_for_all=True)
    np.testing.assert_array_equal(found, [0.5])


def test_probabilities_of_0_and_1_and_neighbours() -> None:
    """No threshold is outside [0, 1], and none rounds to the number that it should be below."""
    np.testing.assert_allclose(best_thresholds([1, 1, 0], [0.0, 1.0, 0.0]), [0.5])
    np.testing.assert_array_equal(best_thresholds([0, 0], [1.0, 1.0]), [0.5])
    for kind in (np.float64, np.float32):
        low, middle = np.nextafter(kind(0.7), kind(0)), kind(0.7)
        for below, above in ((low, middle), (middle, np.nextafter(middle, kind(1)))):
            (found,) = best_thresholds([0, 1, 0], np.array([below, above, 0.2], kind))
            assert below <= kind(found) < above


def test_native_metrics_reach_the_best() -> None:
    """The thresholds in `compile`, where they cut logits, give the score that they were chosen for."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(200, 4)), rng.integers(0, 2, (200, 6)).astype(float)
    model = networks.sequential((4, 6), ("sigmoid",))
    p = model.predict(x)
    tuned = best_thresholds(y, p, metrics.F1Score("micro"))
    model.compile(optimizers.SGD(0.0), "bce", metrics=[metrics.F1Score("micro", tuned)])
    expected = score(y, p > tuned, np.ones(200), 1, "micro")
    assert model.evaluate(x, y, verbose=0)[1] == pytest.approx(expected, rel=1e-12)
    assert expected > score(y, p > 0.5, np.ones(200), 1, "micro")


def test_much_data_with_many_labels_takes_little_time() -> None:
    """A sort for each label, and no table of thresholds by rows."""
    rng = np.random.default_rng(6)
    p = rng.random((20_000, 30))
    y = rng.random(p.shape) < p**2
    found = best_thresholds(y, p, metrics.F1Score("micro"))
    assert found.shape == (30,)
    # The best threshold of calibrated probabilities is half of the best score (Lipton et al.).
    best = score(y, p > found, np.ones(len(y)), 1, "micro")
    assert np.sqrt(best / 2) == pytest.approx(np.median(found), abs=0.02)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([0, 1], [0.5]), r"y_true: .*got \(2,\) for y_prob of shape \(1,\)"),
        (([[0, 1]], [[0.5, 0.4, 0.1]]), r"got \(1, 2\) for y_prob of shape \(1, 3\)"),
        (([], []), "y_true: expected at least one row"),
        (([2.0], [0.5]), r"y_true: .*got 2.0 at row 0, column 0"),
        (([0, 1], [0.5, 3.5]), "y_prob: expected probabilities.*got 3.5 at row 1"),
        (([0, 1], [0.5, np.nan]), "y_prob: expected probabilities.*got nan at row 1"),
        (([0, 1], [0.5, 0.5], "accuracy"), "metric: "),
        (([0, 1], [0.5, 0.5], "precision"), "metric: expected 'f1'.*got 'precision'"),
        (([0, 1], [0.5, 0.5], "f1", [1.0, -1.0]), "sample_weight: .*got -1.0 at row 1"),
        (([0, 1], [0.5, 0.5], "f1", [1.0]), "sample_weight: expected one weight a row"),
    ],
)
def test_what_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        best_thresholds(*given)
