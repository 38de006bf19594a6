"""Metrics of agreement and scores of probabilities and regressions, against scikit-learn."""

from __future__ import annotations

import math

import networks
import numpy as np
import pytest

import fastnn
from fastnn import metrics

sklearn = pytest.importorskip("sklearn.metrics")

N, C = 120, 4
RNG = np.random.default_rng(8)
LOGITS = RNG.normal(size=(N, C))
P = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
LABELS = np.where(RNG.random(N) < 0.5, P.argmax(axis=1), RNG.integers(0, 3, N))  # class 3 is rare
ANSWERS = P.argmax(axis=1)
WEIGHTS = RNG.integers(0, 4, N).astype(np.float64)
YES = RNG.integers(0, 2, N)
SIDE = np.clip(0.4 * YES + RNG.random(N) * 0.6, 0.001, 0.999)
NUMBERS, GUESSES = RNG.normal(size=(N, 2)), RNG.normal(size=(N, 2))

OF_CLASSES = [
    (metrics.MatthewsCorrelation, {}, sklearn.matthews_corrcoef, {}),
    (metrics.BalancedAccuracy, {}, sklearn.balanced_accuracy_score, {}),
    (
        metrics.BalancedAccuracy,
        {"adjusted": True},
        sklearn.balanced_accuracy_score,
        {"adjusted": True},
    ),
    (metrics.CohenKappa, {}, sklearn.cohen_kappa_score, {}),
    (metrics.CohenKappa, {"weights": "linear"}, sklearn.cohen_kappa_score, {"weights": "linear"}),
    (
        metrics.CohenKappa,
        {"weights": "quadratic"},
        sklearn.cohen_kappa_score,
        {"weights": "quadratic"},
    ),
    (metrics.ConfusionMatrix, {}, sklearn.confusion_matrix, {}),
    (
        metrics.ConfusionMatrix,
        {"normalize": "true"},
        sklearn.confusion_matrix,
        {"normalize": "true"},
    ),
    (
        metrics.ConfusionMatrix,
        {"normalize": "pred"},
        sklearn.confusion_matrix,
        {"normalize": "pred"},
    ),
    (metrics.ConfusionMatrix, {"normalize": "all"}, sklearn.confusion_matrix, {"normalize": "all"}),
]


@pytest.mark.parametrize("case", range(len(OF_CLASSES)))
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_agreement_of_classes(case, weights):
    cls, how, score, given = OF_CLASSES[case]
    wanted = score(LABELS, ANSWERS, sample_weight=weights, **given)
    for y in (LABELS, np.eye(C)[LABELS]):
        np.testing.assert_allclose(np.asarray(cls(**how)(y, P, weights)), wanted, atol=1e-12)
    wanted = score(YES, SIDE > 0.5, sample_weight=weights, **given)
    np.testing.assert_allclose(np.asarray(cls(**how)(YES, SIDE, weights)), wanted, atol=1e-12)


def test_overlaps():
    each = sklearn.jaccard_score(LABELS, ANSWERS, average=None, labels=range(C))
    met = np.isin(np.arange(C), np.union1d(LABELS, ANSWERS))
    assert float(metrics.MeanIoU(C)(LABELS, P)) == pytest.approx(each[met].mean(), rel=1e-12)
    some = metrics.OneHotIoU(C, [0, 2])
    assert float(some(np.eye(C)[LABELS], P)) == pytest.approx(each[[0, 2]].mean(), rel=1e-12)
    for ids in ([0], [1], [0, 1]):
        wanted = [sklearn.jaccard_score(YES, SIDE > 0.3, pos_label=k) for k in ids]
        found = float(metrics.BinaryIoU(ids, threshold=0.3)(YES, SIDE))
        assert found == pytest.approx(np.mean(wanted), rel=1e-12)
    with pytest.raises(ValueError, match=r"num_classes: expected 4, .* got 3"):
        metrics.MeanIoU(3)(LABELS, P)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_scores_of_probabilities(weights):
    how = {"sample_weight": weights}
    wanted = sklearn.log_loss(LABELS, P, labels=range(C), **how)
    assert float(metrics.LogLoss()(LABELS, P, weights)) == pytest.approx(wanted, rel=1e-12)
    wanted = sklearn.log_loss(YES, SIDE, **how)
    assert float(metrics.LogLoss()(YES, SIDE, weights)) == pytest.approx(wanted, rel=1e-12)
    wanted = sklearn.brier_score_loss(YES, SIDE, **how)
    assert float(metrics.BrierScore()(YES, SIDE, weights)) == pytest.approx(wanted, rel=1e-12)
    squares = ((P - np.eye(C)[LABELS]) ** 2).sum(axis=1)
    wanted = np.average(squares, weights=weights)
    assert float(metrics.BrierScore()(LABELS, P, weights)) == pytest.approx(wanted, rel=1e-12)


def test_log_loss_of_logits():
    """Far from 0 probabilities would be 0 and 1, and their logarithms infinite."""
    z = fastnn.Tensor(np.array([[800.0, -800.0], [-900.0, 900.0]]))
    found = float(metrics.LogLoss()([1, 1], fastnn.math.softmax(z)))
    assert found == pytest.approx(800.0)
    one = fastnn.math.sigmoid(fastnn.Tensor(np.array([[-300.0], [300.0]])))
    assert float(metrics.LogLoss()([1, 1], one)) == pytest.approx(150.0)
    gaps = np.array([[1.0], [np.nan]])
    assert float(metrics.LogLoss()(gaps, one)) == pytest.approx(300.0)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_scores_of_numbers(weights):
    how = {"sample_weight": weights}
    for name, theirs in (
        ("uniform_average", "uniform_average"),
        ("variance_weighted_average", "variance_weighted"),
    ):
        wanted = sklearn.explained_variance_score(NUMBERS, GUESSES, multioutput=theirs, **how)
        found = float(metrics.ExplainedVariance(name)(NUMBERS, GUESSES, weights))
        assert found == pytest.approx(wanted, rel=1e-10)
    wanted = sklearn.explained_variance_score(NUMBERS, GUESSES, multioutput="raw_values", **how)
    each = np.asarray(metrics.ExplainedVariance(None)(NUMBERS, GUESSES, weights))
    np.testing.assert_allclose(each, wanted, rtol=1e-10)
    shifted = float(metrics.ExplainedVariance()(NUMBERS, NUMBERS + 3, weights))
    assert shifted == pytest.approx(1.0)
    for quantile in (0.1, 0.5, 0.9):
        wanted = sklearn.mean_pinball_loss(NUMBERS, GUESSES, alpha=quantile, **how)
        found = float(metrics.Pinball(quantile)(NUMBERS, GUESSES, weights))
        assert found == pytest.approx(wanted, rel=1e-12)
    cosines = (NUMBERS * GUESSES).sum(axis=1)
    cosines /= np.linalg.norm(NUMBERS, axis=1) * np.linalg.norm(GUESSES, axis=1)
    found = float(metrics.CosineSimilarity()(NUMBERS, GUESSES, weights))
    assert found == pytest.approx(np.average(cosines, weights=weights), rel=1e-12)
    errors = np.log(np.cosh(NUMBERS - GUESSES)).mean(axis=1)
    found = float(metrics.LogCoshError()(NUMBERS, GUESSES, weights))
    assert found == pytest.approx(np.average(errors, weights=weights), rel=1e-10)


def test_scores_of_distributions():
    truth = RNG.dirichlet(np.ones(C), N)
    wanted = (truth * np.log(truth / P)).sum(axis=1).mean()
    assert float(metrics.KLDivergence()(truth, P)) == pytest.approx(wanted, rel=1e-9)
    one_hot = np.eye(C)[LABELS]
    right = (one_hot * LOGITS).sum(axis=1)
    wrong = np.where(one_hot == 1, 0.0, LOGITS).max(axis=1)
    wanted = np.maximum(0, 1 + wrong - right).mean()
    found = float(metrics.CategoricalHinge()(one_hot, LOGITS))
    assert found == pytest.approx(wanted, rel=1e-12)


def test_nothing_and_one_class():
    for metric in (metrics.MatthewsCorrelation(), metrics.LogLoss(), metrics.CosineSimilarity()):
        assert math.isnan(float(metric.result()))
        zero = metric(np.ones((3, 2)), np.full((3, 2), 0.5), np.zeros(3))
        assert math.isnan(float(zero)), metric
    assert float(metrics.MatthewsCorrelation()([1, 1], [0.9, 0.8])) == 0
    assert math.isnan(float(metrics.CohenKappa()([1, 1], [0.9, 0.8])))
    assert float(metrics.BalancedAccuracy()([1, 1], [0.9, 0.2])) == 0.5
    assert float(metrics.CosineSimilarity()([[0.0, 0.0]], [[1.0, 2.0]])) == 0


@pytest.mark.parametrize("head", ["softmax", "linear"])
def test_in_fit(head):
    x = RNG.normal(size=(N, 5)).astype(np.float32)
    model = networks.sequential((5, C), (head,))
    listed = [
        "mcc",
        "balanced_accuracy",
        "cohen_kappa",
        "log_loss",
        "brier_score",
        "confusion_matrix",
    ]
    model.compile(
        fastnn.optimizers.SGD(0.0),
        "sparse_categorical_crossentropy",
        metrics=[*listed, metrics.MeanIoU(C)],
        weighted_metrics=["log_loss"],
    )
    history = model.fit(x, LABELS, 32, 1, 0, sample_weight=WEIGHTS).history
    z = model.predict(x).astype(np.float64)
    p = z if head == "softmax" else np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    answers = p.argmax(axis=1)
    wanted = {
        "mcc": sklearn.matthews_corrcoef(LABELS, answers),
        "balanced_accuracy": sklearn.balanced_accuracy_score(LABELS, answers),
        "cohen_kappa": sklearn.cohen_kappa_score(LABELS, answers),
        "log_loss": sklearn.log_loss(LABELS, p / p.sum(axis=1, keepdims=True), labels=range(C)),
        "brier_score": ((p - np.eye(C)[LABELS]) ** 2).sum(axis=1).mean(),
    }
    for name, value in wanted.items():
        assert history[name] == pytest.approx([value], abs=1e-5), name
    matrix = sklearn.confusion_matrix(LABELS, answers, labels=range(C))
    np.testing.assert_array_equal(history["confusion_matrix"][0], matrix)
    assert history["weighted_log_loss"] == pytest.approx(history["loss"], rel=1e-5)
    stop = fastnn.callbacks.EarlyStopping("confusion_matrix")
    with pytest.raises(ValueError, match="is an array"):
        model.fit(x, LABELS, verbose=0, callbacks=[stop])


def test_regressions_in_fit():
    x = RNG.normal(size=(N, 5)).astype(np.float32)
    model = networks.sequential((5, 2), ("linear",))
    listed = ["explained_variance", metrics.Pinball(0.9), "cosine_similarity", "log_cosh_error"]
    model.compile(fastnn.optimizers.SGD(0.0), "mse", metrics=listed)
    history = model.fit(x, NUMBERS, 32, 1, 0).history
    p = model.predict(x)
    wanted = sklearn.explained_variance_score(NUMBERS, p)
    assert history["explained_variance"] == pytest.approx([wanted], abs=1e-5)
    wanted = sklearn.mean_pinball_loss(NUMBERS, p, alpha=0.9)
    assert history["pinball"] == pytest.approx([wanted], abs=1e-5)
