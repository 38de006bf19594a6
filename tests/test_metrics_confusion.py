"""F-beta, precision, recall, specificity and Hamming loss, in `fit`, `evaluate` and calls.

Expected values are those of scikit-learn, and of Keras's published formulas, written again here
for arrays in NumPy; the outputs are those that `predict` returns.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import networks
import numpy as np
import pytest
import test_metrics_counts
from numpy.typing import NDArray
from test_metrics_counts import CPU, GPU, gaps

import fastnn
from fastnn import layers, metrics, optimizers

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
device = test_metrics_counts.device

Array = NDArray[Any]
ROWS = 150
TUNED = np.array([0.2, 0.35, 0.5, 0.65, 0.8])


def positive(output: Array, threshold: Any = 0.5) -> Array:
    return output > threshold


def largest(output: Array, k: int = 1) -> Array:
    """One for the k largest of each row; of equal ones the first."""
    order = np.argsort(-output, axis=1, kind="stable")[:, :k]
    found = np.zeros(output.shape, bool)
    np.put_along_axis(found, order, True, axis=1)
    return found


def one_hot(y: Array, classes: int) -> Array:
    return np.eye(classes)[y]


def counts(y: Array, found: Array, w: Array | None) -> Array:
    """tp, fp, fn, tn (4, labels) as Keras adds them up; missing labels are left out."""
    weight = np.ones(len(y)) if w is None else w
    known, on = ~np.isnan(y), y > 0.5
    each = [on & found, ~on & found, on & ~found, ~on & ~found]
    return np.array([(weight[:, None] * (part & known)).sum(axis=0) for part in each])


def no_nan(a: Array, b: Array) -> Array:
    return np.where(b == 0, 0.0, a / np.where(b == 0, 1.0, b))


def fbeta(y: Array, found: Array, w: Array | None, average: str | None, beta: float = 1.0) -> Any:
    """FBetaScore.result of Keras 3, line by line."""
    table = counts(y, found, w)
    if average == "micro":
        table = table.sum(axis=1, keepdims=True)
    tp, fp, fn, _ = table
    precision, recall = no_nan(tp, tp + fp), no_nan(tp, tp + fn)
    mean = no_nan(precision * recall, beta**2 * precision + recall)
    score = mean * (1 + beta**2)
    if average == "weighted":
        weights = no_nan(tp + fn, (tp + fn).sum())
        return (score * weights).sum()
    return score if average is None else score.mean()


def by_sklearn(function: Callable[..., Any], **words: Any) -> Callable[..., Any]:
    def score(y: Array, found: Array, w: Array | None) -> Any:
        return function(y > 0.5, found, sample_weight=w, zero_division=0.0, **words)

    return score


def labels(rng: np.random.Generator, n: int) -> Array:
    """Five labels: the third never occurs, the fifth always does."""
    y = rng.integers(0, 2, (n, 5)).astype(float)
    y[:, 2], y[:, 4] = 0, 1
    return y


# The loss, the outputs and their activation, targets, the metric, its expected value.
CASES: dict[str, test_metrics_counts.Case] = {
    "F1 of one output": (
        *("bce", 1, "sigmoid", lambda rng, n: rng.integers(0, 2, (n, 1)).astype(float)),
        metrics.F1Score,
        lambda y, p, w: by_sklearn(sklearn.f1_score)(y[:, 0], positive(p)[:, 0], w),
    ),
    "Recall of one output": (
        *("bce", 1, "linear", lambda rng, n: rng.integers(0, 2, n).astype(float)),
        metrics.Recall,
        lambda y, z, w: by_sklearn(sklearn.recall_score)(y, z[:, 0] > 0, w),
    ),
    "micro F1": (
        *("bce", 5, "sigmoid", labels, lambda: metrics.F1Score("micro")),
        lambda y, p, w: by_sklearn(sklearn.f1_score, average="micro")(y, positive(p), w),
    ),
    "macro F1 of logits": (
        *("bce", 5, "linear", labels, lambda: metrics.F1Score("macro", threshold=0.7)),
        lambda y, z, w: by_sklearn(sklearn.f1_score, average="macro")(y, z > np.log(7 / 3), w),
    ),
    "weighted F2": (
        *("bce", 5, "sigmoid", labels, lambda: metrics.FBetaScore("weighted", 2.0, 0.4)),
        lambda y, p, w: fbeta(y, positive(p, 0.4), w, "weighted", 2.0),
    ),
    "F1 by label": (
        *("bce", 5, "sigmoid", labels, metrics.F1Score),
        lambda y, p, w: by_sklearn(sklearn.f1_score, average=None)(y, positive(p), w),
    ),
    "F0.5 with a threshold for each label, of missing labels": (
        *("bce", 5, "sigmoid", lambda rng, n: gaps(rng, n, 5)),
        lambda: metrics.FBetaScore("macro", 0.5, TUNED),
        lambda y, p, w: fbeta(y, positive(p, TUNED), w, "macro", 0.5),
    ),
    "macro F1 of labels of classes": (
        *("sparse_categorical_crossentropy", 4, "linear", lambda rng, n: rng.integers(0, 4, n)),
        lambda: metrics.F1Score("macro"),
        lambda y, z, w: sklearn.f1_score(y, z.argmax(axis=1), average="macro", sample_weight=w),
    ),
    "F1 of classes above a threshold": (
        *("sparse_categorical_crossentropy", 4, "softmax", lambda rng, n: rng.integers(0, 4, n)),
        lambda: metrics.F1Score(None, threshold=[0.2, 0.3, 0.4, 0.1]),
        lambda y, p, w: fbeta(one_hot(y, 4), positive(p, [0.2, 0.3, 0.4, 0.1]), w, None),
    ),
    "weighted F1 of one-hot classes": (
        *("categorical_crossentropy", 4, "softmax"),
        lambda rng, n: one_hot(rng.integers(0, 4, n), 4),
        lambda: metrics.F1Score("weighted"),
        lambda y, p, w: fbeta(y, largest(p), w, "weighted"),
    ),
    "F1 of classes as numbers": (
        *("mse", 4, "softmax", lambda rng, n: one_hot(rng.integers(0, 4, n), 4)),
        lambda: metrics.F1Score("macro"),
        lambda y, p, w: fbeta(y, largest(p), w, "macro"),
    ),
    "Precision of one-hot classes": (
        *("categorical_crossentropy", 3, "softmax"),
        lambda rng, n: one_hot(rng.integers(0, 3, n), 3),
        metrics.Precision,
        lambda y, p, w: by_sklearn(sklearn.precision_score, average="micro")(y, positive(p), w),
    ),
    "Precision of one class": (
        *("sparse_categorical_crossentropy", 4, "linear", lambda rng, n: rng.integers(0, 4, n)),
        lambda: metrics.Precision(top_k=1, class_id=2),
        lambda y, z, w: by_sklearn(sklearn.precision_score)(y == 2, z.argmax(axis=1) == 2, w),
    ),
    "Recall among the three largest": (
        *("bce", 40, "sigmoid", lambda rng, n: gaps(rng, n, 40)),
        lambda: metrics.Recall(top_k=3),
        lambda y, p, w: fbeta_parts(y, largest(p, 3), w)[1],
    ),
    "Precision above a threshold and among the two largest": (
        *("bce", 5, "sigmoid", labels, lambda: metrics.Precision([0.5, 0.6], 2, average="macro")),
        lambda y, p, w: np.array(
            [
                by_sklearn(sklearn.precision_score, average="macro")(
                    y, positive(p, t) & largest(p, 2), w
                )
                for t in (0.5, 0.6)
            ]
        ),
    ),
    "Recall at many thresholds by label": (
        *("bce", 5, "linear", labels),
        lambda: metrics.Recall(np.linspace(0, 1, 33), average=None),
        lambda y, z, w: np.array(
            [
                by_sklearn(sklearn.recall_score, average=None)(
                    y, positive(1 / (1 + np.exp(-np.float64(z))), t), w
                )
                for t in np.linspace(0, 1, 33)
            ]
        ),
    ),
    "Specificity with a threshold for each label": (
        *("bce", 5, "sigmoid", labels, lambda: metrics.Specificity(TUNED[None])),
        lambda y, p, w: by_sklearn(sklearn.recall_score, average="micro")(
            1 - y, ~positive(p, TUNED), w
        ),
    ),
    "Hamming loss": (
        *("bce", 5, "sigmoid", labels, metrics.HammingLoss),
        lambda y, p, w: sklearn.hamming_loss(y > 0.5, positive(p), sample_weight=w),
    ),
    "Hamming loss of missing labels": (
        *("bce", 5, "linear", lambda rng, n: gaps(rng, n, 5)),
        lambda: metrics.HammingLoss(threshold=TUNED),
        lambda y, z, w: hamming(y, positive(z, np.log(TUNED / (1 - TUNED))), w),
    ),
}


def fbeta_parts(y: Array, found: Array, w: Array | None) -> tuple[float, float]:
    tp, fp, fn, _ = counts(y, found, w).sum(axis=1)
    return tp / (tp + fp), tp / (tp + fn)


def hamming(y: Array, found: Array, w: Array | None) -> float:
    tp, fp, fn, tn = counts(y, found, w).sum(axis=1)
    return float((fp + fn) / (tp + fp + fn + tn))


@pytest.fixture
def _cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_metrics_counts, "CASES", CASES)


@pytest.mark.cpu
@pytest.mark.usefixtures("_cases")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("session", CPU)
def test_on_the_cpu(session: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    test_metrics_counts.check(case, session, monkeypatch, "float64")


@pytest.mark.usefixtures("device", "_cases")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("session", GPU)
def test_on_the_device(session: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    test_metrics_counts.check(case, session, monkeypatch, "float32")


def check_equal_outputs() -> None:
    """The first of equal outputs is the larger, whatever comes behind it."""
    model = networks.sequential((3, 70), ("sigmoid",))
    bias = np.zeros(70)
    bias[[1, 3, 35]], bias[[0, 32, 41]] = 2, 1  # a warp sees every 32nd output
    model.set_weights([np.zeros((3, 70)), bias])
    for k, found in ((1, [1]), (2, [1, 3]), (3, [1, 3, 35]), (5, [0, 1, 3, 32, 35])):
        metric = metrics.Recall(top_k=k, average=None)
        model.compile(optimizers.SGD(0.0), "bce", metrics=[metric])
        (recall,) = model.fit(np.ones((9, 3)), np.ones((9, 70)), verbose=0).history["recall"]
        np.testing.assert_array_equal(np.flatnonzero(recall), found)


@pytest.mark.cpu
def test_equal_outputs_on_the_cpu() -> None:
    check_equal_outputs()


@pytest.mark.usefixtures("device")
def test_equal_outputs_on_the_device() -> None:
    check_equal_outputs()


# -- called on arrays and Tensors


Y = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0]])
P = np.array([[0.2, 0.6, 0.7], [0.2, 0.6, 0.6], [0.6, 0.8, 0.0]])


@pytest.mark.parametrize(
    ("metric", "y", "p", "expected"),
    [
        # The examples in Keras's documentation.
        (metrics.F1Score(threshold=0.5), Y, P, [0.5, 0.8, 2 / 3]),
        (metrics.FBetaScore(beta=2.0, threshold=0.5), Y, P, [0.38461539, 0.90909094, 0.8333332]),
        (metrics.Precision(), [0, 1, 1, 1], [1, 0, 1, 1], 2 / 3),
        (metrics.Precision(top_k=2), [[0, 0, 1, 1]], [[1, 1, 1, 1]], 0.0),
        (metrics.Precision(top_k=4), [[0, 0, 1, 1]], [[1, 1, 1, 1]], 0.5),
        (metrics.Recall(), [0, 1, 1, 1], [1, 0, 1, 1], 2 / 3),
        (metrics.Specificity(), [0, 0, 1, 0], [1, 0, 1, 0.2], 2 / 3),
        (metrics.HammingLoss(), Y, P, 4 / 9),
        # Integer labels, with the largest output and with thresholds.
        (metrics.Precision(), [2, 0], [[0.1, 0.3, 0.6], [0.3, 0.55, 0.15]], 0.5),
        (metrics.Recall([0.2, 0.5]), [2, 0], [[0.1, 0.3, 0.6], [0.3, 0.55, 0.15]], [1.0, 0.5]),
        (metrics.F1Score("micro"), [2, 0], [[0.1, 0.3, 0.6], [0.3, 0.55, 0.15]], 0.5),
        # Rows that add up to 1 are of classes, others of labels.
        (metrics.F1Score("micro"), [[0, 0, 1], [1, 0, 0]], [[0.3, 0.3, 0.4], [0.4, 0.3, 0.3]], 1.0),
        (
            metrics.F1Score("micro"),
            [[0, 0, 1], [1, 0, 0]],
            [[0.3, 0.3, 0.45], [0.4, 0.3, 0.3]],
            0.0,
        ),
        (metrics.F1Score("micro"), [[1, 0, 1], [1, 0, 0]], [[0.3, 0.3, 0.4], [0.4, 0.3, 0.3]], 0.0),
    ],
)
def test_called_on_arrays(metric: metrics.Metric, y: Any, p: Any, expected: Any) -> None:
    found = metric(y, p).numpy()
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", [list, np.float32, np.float64])
def test_a_probability_that_equals_the_threshold_is_not_above_it(kind: Any) -> None:
    """In float32, which lists become, as in float64."""
    p = [0.6, 0.7] if kind is list else np.array([0.6, 0.7], kind)
    assert float(metrics.Precision(0.6)([0, 1], p).numpy()) == 1.0
    assert float(metrics.BinaryAccuracy(threshold=0.7)([0, 0], p).numpy()) == 1.0
    assert float(metrics.Recall([0.5, 0.7])([0, 1], p).numpy()[1]) == 0.0


def test_called_in_parts_with_weights_and_missing_labels() -> None:
    rng = np.random.default_rng(8)
    y, p, w = gaps(rng, 60, 5), rng.random((60, 5)), rng.uniform(0, 2, 60)
    metric = metrics.F1Score(threshold=TUNED)
    for part in np.split(np.arange(60), 3):
        metric.update_state(y[part], p[part], sample_weight=w[part])
    expected = fbeta(y, positive(p, TUNED), w, None)
    np.testing.assert_allclose(metric.result().numpy(), expected, rtol=1e-12)
    metric.reset_state()
    assert np.isnan(metric.result().numpy())


def test_a_tensor_tells_what_it_holds() -> None:
    """Logits of a layer without an activation, probabilities of a softmax."""
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(40, 3)).astype(np.float32), rng.integers(0, 4, 40)
    linear, softmax = layers.Dense(4), layers.Dense(4, "softmax")
    z = linear(x)
    p = np.exp(np.float64(z)) / np.exp(np.float64(z)).sum(axis=1, keepdims=True)
    many = one_hot(y, 4)
    found = metrics.Precision(0.3)(y, z).numpy()
    assert found == pytest.approx(sklearn.precision_score(many, p > 0.3, average="micro"))
    found = metrics.Precision(0.3)(many, z).numpy()
    half = np.float64(z) > np.log(3 / 7)
    assert found == pytest.approx(sklearn.precision_score(many, half, average="micro"))
    p = np.asarray(softmax(x))
    found = metrics.F1Score("macro")(many, softmax(x)).numpy()
    assert found == pytest.approx(sklearn.f1_score(y, p.argmax(axis=1), average="macro"))


def test_errors_of_numbers_take_outputs_as_they_are() -> None:
    """A Tensor of a layer without an activation, which metrics of probabilities take for logits."""
    x = np.random.default_rng(3).normal(size=(30, 3)).astype(np.float32)
    z, y = layers.Dense(2)(x), np.ones((30, 2))
    error = float(np.mean((np.float64(z) - y) ** 2))
    assert float(metrics.MeanSquaredError()(y, z).numpy()) == pytest.approx(error, rel=1e-6)
    score = sklearn.r2_score(x[:, :2], np.asarray(z))
    assert float(metrics.R2Score()(x[:, :2], z).numpy()) == pytest.approx(score, rel=1e-5)


# -- 0 / 0, and nothing at all


def test_a_label_that_never_occurs_scores_0() -> None:
    y, p = np.zeros((4, 2)), np.full((4, 2), 0.2)
    for metric in (metrics.F1Score("macro"), metrics.Precision(), metrics.Recall()):
        assert float(metric(y, p).numpy()) == 0.0
    assert float(metrics.Specificity()(1 - y, p).numpy()) == 0.0
    np.testing.assert_array_equal(metrics.F1Score()(y, p).numpy(), [0.0, 0.0])


@pytest.mark.parametrize("average", ["micro", "macro", "weighted", None])
def test_where_nothing_counts(average: Any) -> None:
    """NaN, as every mean over nothing: all weights are 0, or all labels are missing."""
    y, p = np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[0.9, 0.2], [0.7, 0.6]])
    assert np.isnan(metrics.F1Score(average)(y, p, sample_weight=[0.0, 0.0]).numpy()).all()
    assert np.isnan(metrics.F1Score(average)(np.full((2, 2), np.nan), p).numpy()).all()
    # A label that is missing everywhere has no part in the average.
    y[:, 1] = np.nan
    found = metrics.F1Score(average)(y, p).numpy()
    np.testing.assert_array_equal(found, [1.0, np.nan] if average is None else 1.0)


def test_hamming_loss_where_nothing_counts() -> None:
    assert np.isnan(metrics.HammingLoss()([[np.nan]], [[0.5]]).numpy())


# -- arrays in logs


def of_labels(*given: Any, activation: str = "sigmoid", loss: str = "bce") -> fastnn.Sequential:
    model = networks.sequential((3, 4), (activation,))
    model.compile(optimizers.SGD(0.0), loss, metrics=list(given))
    return model


def test_an_array_in_logs(capsys: pytest.CaptureFixture[str]) -> None:
    """In the History, in lines, in the results of one batch; a copy of the History pickles."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(40, 3)), rng.integers(0, 2, (40, 4)).astype(float)
    model = of_labels("f1_score", metrics.Precision([0.4, 0.6], average=None))
    history = model.fit(x, y, epochs=2, validation_data=(x, y), verbose=2)
    line = capsys.readouterr().out.splitlines()[0]
    scores = history.history["f1_score"][0]
    assert f"f1_score: [{' '.join(f'{score:.4f}' for score in scores)}] - precision: [[" in line
    assert scores.shape == (4,)
    assert history.history["val_precision"][1].shape == (2, 4)
    again = pickle.loads(pickle.dumps(history)).history
    np.testing.assert_array_equal(again["val_f1_score"][1], scores)
    np.testing.assert_array_equal(model.train_on_batch(x, y)[1], scores)
    np.testing.assert_array_equal(model.evaluate(x, y, verbose=1)[1], scores)
    assert "f1_score: [" in capsys.readouterr().out
    live = fastnn.callbacks.ProgbarLogger(live=True)
    live.set_params({"epochs": 1})
    live.on_epoch_end(0, {"f1": scores})
    assert "f1: [0." in capsys.readouterr().out
    live.on_epoch_end(0, {"f1": np.arange(100.0)})
    short = "f1: [0.0000 1.0000 2.0000 ... 97.0000 98.0000 99.0000]"
    assert short in capsys.readouterr().out


def test_thresholds_that_are_changed_count_from_the_next_compile_on() -> None:
    x, y = np.random.default_rng(4).normal(size=(40, 3)), np.zeros((40, 4))
    metric = metrics.Specificity(0.5)
    model = of_labels(metric)
    before = model.evaluate(x, y, verbose=0)[1]
    metric.thresholds = [0.0, 1.0]
    assert model.evaluate(x, y, verbose=0)[1] == before
    model.compile("sgd", "bce", metrics=[metric])
    np.testing.assert_array_equal(model.evaluate(x, y, verbose=0)[1], [0.0, 1.0])


@pytest.mark.parametrize("mode", ["auto", "max"])
@pytest.mark.parametrize("name", ["f1_score", "val_f1_score"])
def test_an_array_cannot_be_monitored(name: str, mode: str) -> None:
    """Before the first step. With one output it is a number, which can be."""
    x, y = np.ones((8, 3)), np.ones((8, 4))
    stop = fastnn.callbacks.EarlyStopping(name, mode=mode)
    model = of_labels("f1_score")
    with pytest.raises(ValueError, match=f"monitor: '{name}' is an array.*average='macro'"):
        model.fit(x, y, validation_data=(x, y), callbacks=[stop], verbose=0)
    assert model.history is None or model.history.epoch == []
    one = networks.sequential((3, 1), ("sigmoid",))
    one.compile(optimizers.SGD(0.0), "bce", metrics=["f1_score"])
    history = one.fit(
        x, y[:, :1], validation_data=(x, y[:, :1]), epochs=9, callbacks=[stop], verbose=0
    )
    assert len(history.epoch) == 2
    assert isinstance(history.history["f1_score"][0], float)


def test_an_array_that_only_the_metric_itself_knows_cannot_be_monitored() -> None:
    class Own(metrics.Metric):
        counts = "confusion"
        goes_with = frozenset({"sigmoid"})
        more_is_better = True

        def finish(self, sums: Array) -> Array:
            return sums

    stop = fastnn.callbacks.EarlyStopping("own")
    with pytest.raises(ValueError, match="monitor: 'own' is an array"):
        of_labels(Own("own")).fit(np.ones((8, 3)), np.ones((8, 4)), callbacks=[stop], verbose=0)


# -- what is refused


SPARSE = "sparse_categorical_crossentropy"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: metrics.F1Score("mean"), "average: unknown name 'mean'"),
        (lambda: metrics.F1Score(threshold=1.5), r"threshold: .*\[0, 1\], got 1.5"),
        (lambda: metrics.F1Score(threshold=[0.5, np.nan]), r"threshold: .*\[0, 1\], got nan"),
        (lambda: metrics.F1Score(threshold=[[0.5]]), r"threshold: .*1 axis, got shape \(1, 1\)"),
        (lambda: metrics.F1Score(threshold=[]), r"threshold: .*got shape \(0,\)"),
        (lambda: metrics.FBetaScore(beta=0.0), "beta: .*above 0, got 0"),
        (lambda: metrics.Precision(thresholds=-0.1), r"thresholds: .*\[0, 1\], got -0.1"),
        (lambda: metrics.Precision(top_k=0), "top_k: .*positive integer, got 0"),
        (lambda: metrics.Recall(class_id=-1), "class_id: .*at least 0, got -1"),
        (lambda: metrics.HammingLoss(2), r"threshold: .*\[0, 1\], got 2"),
        (
            lambda: of_labels(metrics.F1Score(threshold=[0.5, 0.6])),
            "metrics: 'f1_score': expected thresholds for 1 or 4 outputs, got 2",
        ),
        (
            lambda: of_labels(metrics.Recall(class_id=4)),
            r"metrics: 'recall': class_id: expected an integer in \[0, 4\), got 4",
        ),
        (
            lambda: of_labels("precision", activation="linear", loss=SPARSE),
            "metrics: 'precision' compares the probabilities of classes.*softmax.*top_k=1",
        ),
        (
            lambda: of_labels("hamming_loss", activation="softmax", loss=SPARSE),
            f"'hamming_loss' does not go with the loss {SPARSE}",
        ),
        (
            lambda: of_labels("f1_score", activation="linear", loss="mse"),
            "'f1_score' does not go with the loss mean_squared_error",
        ),
        (lambda: metrics.Precision()([3], [[0.2, 0.3, 0.5]]), r"y: .*\[0, 3\), got 3 at row 0"),
        (lambda: metrics.F1Score(threshold=[0.5, 0.6])(Y, P), "thresholds for 1 or 3 outputs"),
    ],
)
def test_what_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_threshold_that_is_no_number_is_a_type_error() -> None:
    for wrong in ("0.5", True, ["a"], None):
        with pytest.raises(TypeError, match="threshold"):
            metrics.HammingLoss(wrong)


def test_thresholds_of_a_model_whose_width_is_not_known_yet() -> None:
    """They are checked when it is built, and the model stays as it was."""

    class Net(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(4, "sigmoid")

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

    model = Net()
    model.compile("sgd", "bce", metrics=[metrics.F1Score(threshold=[0.5, 0.6])])
    with pytest.raises(ValueError, match="expected thresholds for 1 or 4 outputs, got 2"):
        model.fit(np.ones((8, 3)), np.ones((8, 4)), verbose=0)
    model.compile("sgd", "bce", metrics=[metrics.F1Score("micro", [0.5] * 4)])
    assert "f1_score" in model.fit(np.ones((8, 3)), np.ones((8, 4)), verbose=0).history
