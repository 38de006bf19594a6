"""Metrics of rankings: areas under curves and points of curves, against scikit-learn.

They are finished from all rows, which native passes collect; the second half of the tests is about
that, with every session, over the tape, and with Python functions.
"""

from __future__ import annotations

import math
import pickle

import networks
import numpy as np
import pytest

import fastnn
from fastnn import metrics

sklearn = pytest.importorskip("sklearn.metrics")

N = 157
RNG = np.random.default_rng(5)
X = RNG.normal(size=(N, 6)).astype(np.float32)
LABELS = RNG.integers(0, 3, N)
LABELS[LABELS == 1] = 0  # a class that no row has
MANY = (RNG.random((N, 3)) < 0.4).astype(np.float32)
WEIGHTS = RNG.integers(0, 4, N).astype(np.float64)  # some are 0
# Ties, at 0 and 1 too.
SCORES = np.clip(np.round(0.3 * MANY + RNG.random((N, 3)), 1), 0, 1)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_areas_against_sklearn(weights):
    y, p = MANY[:, 0], SCORES[:, 0]
    roc = float(metrics.AUC()(y, p, weights))
    assert roc == pytest.approx(sklearn.roc_auc_score(y, p, sample_weight=weights), rel=1e-12)
    wanted = sklearn.average_precision_score(y, p, sample_weight=weights)
    assert float(metrics.AveragePrecision()(y, p, weights)) == pytest.approx(wanted, rel=1e-12)
    # Labels together, and each for itself.
    together = float(metrics.AUC()(MANY, SCORES, weights))
    wanted = sklearn.roc_auc_score(MANY, SCORES, average="micro", sample_weight=weights)
    assert together == pytest.approx(wanted, rel=1e-12)
    each = float(metrics.AUC(multi_label=True)(MANY, SCORES, weights))
    wanted = sklearn.roc_auc_score(MANY, SCORES, average="macro", sample_weight=weights)
    assert each == pytest.approx(wanted, rel=1e-12)
    for average in ("macro", "micro", "weighted", None):
        found = np.asarray(metrics.AveragePrecision(average)(MANY, SCORES, weights))
        wanted = sklearn.average_precision_score(
            MANY, SCORES, average=average, sample_weight=weights
        )
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_an_area_is_the_share_of_pairs_in_order():
    y, p = MANY[:, 0] > 0.5, SCORES[:, 0]
    above, below = p[y][:, None], p[~y][None]
    share = ((above > below) + 0.5 * (above == below)).mean()
    assert float(metrics.AUC()(y, p)) == pytest.approx(share, rel=1e-12)


def test_thresholds_of_an_area():
    """Of few thresholds it is what Keras counts: 1 and 0 come above and below them."""
    y, p = [0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9]
    coarse = metrics.AUC(thresholds=[0.5])
    # At 0.5 the rates are (0.5, 0.5): two lines.
    assert float(coarse(y, p)) == pytest.approx(0.5)
    assert float(metrics.AUC()(y, p)) == pytest.approx(0.75)
    low = metrics.AUC(thresholds=[0.5], summation_method="minoring")
    assert float(low(y, p)) == pytest.approx(0.25)
    high = metrics.AUC(thresholds=[0.5], summation_method="majoring")
    assert float(high(y, p)) == pytest.approx(0.75)


def test_the_area_under_precision_and_recall():
    """Davis and Goadrich, by hand: precision between two points is (a + s x) / (b + x)."""
    y = np.array([1, 0, 1, 1, 0, 0, 1, 0])
    p = np.array([0.9, 0.8, 0.7, 0.7, 0.7, 0.4, 0.3, 0.3])
    tp, above = [0, 1, 1, 3, 3, 4], [0, 1, 2, 5, 6, 8]
    total, steps = 0.0, 20_000
    for a, b, c, d in zip(tp, above, tp[1:], above[1:], strict=False):
        if c == a:
            continue
        x = a + (np.arange(steps) + 0.5) / steps * (c - a)  # true positives in between
        total += (x / (b + (x - a) * (d - b) / (c - a))).mean() * (c - a)
    found = float(metrics.AUC(curve="PR")(y, p))
    assert found == pytest.approx(total / 4, abs=1e-7)
    bounds = [
        float(metrics.AUC(curve="PR", summation_method=how)(y, p))
        for how in ("minoring", "majoring")
    ]
    assert bounds[0] < found < bounds[1]
    # Above 0.9 nothing is positive, and precision is 0, as in Keras.
    few = [0.6, 0.9, 0.95]
    tp, above = np.array([0, 0, 3, 4]), np.array([0, 0, 5, 8])
    precision = np.divide(tp, above, out=np.zeros(4), where=above > 0)
    for how, pick in (("minoring", np.minimum), ("majoring", np.maximum)):
        area = (np.diff(tp) * pick(precision[1:], precision[:-1])).sum() / 4
        metric = metrics.AUC(curve="PR", summation_method=how, thresholds=few)
        assert float(metric(y, p)) == pytest.approx(area)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("least", [0.0, 0.3, 0.75, 1.0])
def test_points_of_a_curve(weights, least):
    y, p = MANY[:, 1], SCORES[:, 1]
    precision, recall, _ = sklearn.precision_recall_curve(y, p, sample_weight=weights)
    false, true, _ = sklearn.roc_curve(y, p, sample_weight=weights, drop_intermediate=False)
    # The point without any positive has no precision.
    precision, recall = precision[:-1], recall[:-1]
    wanted = {
        metrics.PrecisionAtRecall: precision[recall >= least - 1e-12].max(initial=0),
        metrics.RecallAtPrecision: recall[precision >= least - 1e-12].max(initial=0),
        metrics.SensitivityAtSpecificity: true[1 - false >= least - 1e-12].max(initial=0),
        metrics.SpecificityAtSensitivity: (1 - false)[true >= least - 1e-12].max(initial=0),
    }
    for cls, value in wanted.items():
        assert float(cls(least)(y, p, weights)) == pytest.approx(value, rel=1e-12), cls
        one = cls(least, class_id=1)
        assert float(one(MANY, SCORES, weights)) == pytest.approx(value, rel=1e-12)
        with pytest.raises(ValueError, match=r"class_id: expected an integer in \[0, 3\), got 3"):
            cls(least, class_id=3)(MANY, SCORES)


def test_labels_are_one_hot_targets():
    logits = RNG.normal(size=(N, 3))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    one_hot = np.eye(3)[LABELS]
    for metric in (metrics.AUC(), metrics.PrecisionAtRecall(0.5), metrics.AveragePrecision()):
        assert float(metric(LABELS, p)) == float(
            type(metric).from_config(metric.get_config())(one_hot, p)
        )
        metric.reset_state()
    # The class without rows has no area and no precision: it is left out of means.
    wanted = np.mean([sklearn.roc_auc_score(one_hot[:, k], p[:, k]) for k in (0, 2)])
    assert float(metrics.AUC(multi_label=True)(LABELS, p)) == pytest.approx(wanted, rel=1e-12)
    wanted = np.mean([sklearn.average_precision_score(one_hot[:, k], p[:, k]) for k in (0, 2)])
    assert float(metrics.AveragePrecision()(LABELS, p)) == pytest.approx(wanted, rel=1e-12)
    each = np.asarray(metrics.AveragePrecision(average=None)(LABELS, p))
    assert np.isnan(each).tolist() == [False, True, False]


def test_weights_of_labels():
    p = SCORES
    areas = [sklearn.roc_auc_score(MANY[:, k], p[:, k]) for k in range(3)]
    metric = metrics.AUC(multi_label=True, num_labels=3, label_weights=[1, 0, 3])
    assert float(metric(MANY, p)) == pytest.approx((areas[0] + 3 * areas[2]) / 4, rel=1e-12)
    with pytest.raises(ValueError, match="num_labels: expected 3 labels, got 2"):
        metrics.AUC(multi_label=True, num_labels=2)(MANY, p)
    with pytest.raises(ValueError, match="label_weights: expected 3 labels, got 1"):
        metrics.AUC(multi_label=True, label_weights=[1])(MANY, p)


def test_missing_labels_and_missing_sides():
    gaps = MANY.copy()
    gaps[::3, 1] = np.nan
    known = ~np.isnan(gaps)
    wanted = sklearn.roc_auc_score(gaps[known], SCORES[known])
    assert float(metrics.AUC()(gaps, SCORES)) == pytest.approx(wanted, rel=1e-12)
    for y in (np.zeros(4), np.ones(4)):
        assert math.isnan(float(metrics.AUC()(y, [0.1, 0.2, 0.3, 0.4])))
    assert math.isnan(float(metrics.AUC(curve="PR")(np.zeros(4), [0.1, 0.2, 0.3, 0.4])))
    assert math.isnan(float(metrics.AveragePrecision()(np.zeros(4), [0.1, 0.2, 0.3, 0.4])))
    assert math.isnan(float(metrics.AUC().result()))
    assert math.isnan(float(metrics.AUC()(np.zeros(0), np.zeros(0))))
    assert float(metrics.PrecisionAtRecall(0.5)(np.zeros(4), [0.1, 0.2, 0.3, 0.4])) == 0


def test_logits_rank_more_finely_than_probabilities():
    z = np.array([20.0, 30.0, 40.0, 35.0], np.float32)[:, None]
    y = [0, 0, 1, 1]
    made = fastnn.math.sigmoid(fastnn.Tensor(z))
    assert (np.asarray(made) == 1).all()
    assert float(metrics.AUC()(y, made)) == 1.0
    assert float(metrics.AUC()(y, np.asarray(made))) == 0.5
    assert float(metrics.AUC(from_logits=True)(y, z)) == 1.0
    with pytest.raises(ValueError, match=r"probabilities in \[0, 1\], got 20 at row 0, column 0"):
        metrics.AUC()(y, z)


def test_bad_rows():
    metric = metrics.AUC()
    for y, p, w, message in (
        ([0, 1], 0.5, None, "expected rows, got a single number"),
        ([0, 1, 1], [0.1, 0.2], None, "y_true: expected 2 rows"),
        ([0, 1], [0.1, 0.2], [1.0, -1.0], r"sample_weight: .* got -1 at row 1"),
        ([0, 1], [0.1, 0.2], [1.0], "sample_weight"),
        ([0, 5], [[0.1, 0.2], [0.1, 0.2]], None, r"expected integers in \[0, 2\), got 5 at row 1"),
    ):
        with pytest.raises(ValueError, match=message):
            metric.update_state(y, p, w)
    assert math.isnan(float(metric.result()))
    metric.update_state([0, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="another number of columns"):
        metric.update_state(MANY, SCORES)


@pytest.mark.parametrize("metric", [metrics.AUC(), metrics.PrecisionAtRecall(0.5)])
def test_state(metric):
    """Batches are as good as all rows; the state goes through files and leaves pickles out."""
    metric.reset_state()
    whole = float(metric(MANY, SCORES, WEIGHTS))
    metric.reset_state()
    for k in range(0, N, 2):  # more batches than are kept apart
        metric.update_state(MANY[k : k + 2], SCORES[k : k + 2], WEIGHTS[k : k + 2])
        if k == 60:
            kept = metric.counted()
            metric.reset_state()
            metric.count_on(kept)
    assert float(metric.result()) == pytest.approx(whole, rel=1e-12)
    assert math.isnan(float(pickle.loads(pickle.dumps(metric)).result()))


# -- in fit and evaluate


def scored(y, p):
    """scikit-learn's area, of one batch with both sides or none."""
    return sklearn.roc_auc_score(np.asarray(y).ravel(), np.asarray(p).ravel())


LISTED = [
    "auc",
    metrics.AUC(curve="PR", name="pr"),
    metrics.AveragePrecision(),
    metrics.SensitivityAtSpecificity(0.5),
    "accuracy",
    scored,
]


def compiled(head="sigmoid", outputs=1, loss="binary_crossentropy", **how):
    model = networks.sequential((6, 5, outputs), ("relu", head))
    model.compile(fastnn.optimizers.SGD(0.0), loss, **how)
    return model


@pytest.mark.parametrize("head", ["sigmoid", "linear"])
@pytest.mark.parametrize("session", ["plain", "streaming", "tiled"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_fit_collects_all_rows(session, head, shuffle, monkeypatch):
    """Without learning, the metrics of an epoch are those of `evaluate`, and scikit-learn's."""
    monkeypatch.setenv("FASTNN_SESSION", session)
    model = networks.sequential((6, 5, 1), ("relu", head))
    model.compile(
        fastnn.optimizers.SGD(0.0), "binary_crossentropy", metrics=LISTED, weighted_metrics=["auc"]
    )
    y = MANY[:, 0]
    history = model.fit(
        X, y, 32, 2, 0, sample_weight=WEIGHTS, validation_data=(X[:50], y[:50]), shuffle=shuffle
    ).history
    p = model.predict(X)[:, 0]
    wanted = sklearn.roc_auc_score(y, p)
    assert history["auc"] == pytest.approx([wanted] * 2, abs=1e-6)
    assert history["scored"] == pytest.approx([wanted] * 2, abs=1e-6)
    weighted = sklearn.roc_auc_score(y, p, sample_weight=WEIGHTS)
    assert history["weighted_auc"] == pytest.approx([weighted] * 2, abs=1e-6)
    assert history["val_auc"] == pytest.approx(
        [sklearn.roc_auc_score(y[:50], p[:50])] * 2, abs=1e-6
    )
    found = model.evaluate(X, y, verbose=0, sample_weight=WEIGHTS, return_dict=True)
    assert list(found) == list(model.metrics_names)
    for name, value in found.items():
        assert history[name][-1] == pytest.approx(value, rel=1e-6), name
    assert model.train_on_batch(X, y, return_dict=True)["auc"] == pytest.approx(wanted, abs=1e-6)


def test_collecting_changes_no_weights():
    fitted = []
    for listed in ([], LISTED):
        fastnn.utils.set_random_seed(3)
        model = networks.sequential((6, 5, 1), ("relu", "sigmoid"))
        model.compile("adam", "binary_crossentropy", metrics=listed)
        model.fit(X, MANY[:, 0], 32, 3, 0, validation_split=0.2)
        fitted.append(model.get_weights())
    for a, b in zip(*fitted, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("head", ["softmax", "linear"])
def test_classes(head):
    model = networks.sequential((6, 5, 3), ("relu", head))
    listed = [metrics.AUC(multi_label=True), "average_precision"]
    model.compile(fastnn.optimizers.SGD(0.0), "sparse_categorical_crossentropy", metrics=listed)
    history = model.fit(X, LABELS, 32, 1, 0).history
    z = model.predict(X).astype(np.float64)
    p = z if head == "softmax" else np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    for name, score in (
        ("auc", sklearn.roc_auc_score),
        ("average_precision", sklearn.average_precision_score),
    ):
        wanted = np.mean([score(k == LABELS, p[:, k]) for k in (0, 2)])
        assert history[name] == pytest.approx([wanted], abs=1e-5)
    one_hot = np.eye(3)[LABELS]
    model.compile(fastnn.optimizers.SGD(0.0), "categorical_crossentropy", metrics=listed)
    assert model.fit(X, one_hot, 32, 1, 0).history["auc"] == pytest.approx(history["auc"], abs=1e-6)


def test_ignored_classes_and_missing_labels():
    model = networks.sequential((6, 5, 3), ("relu", "softmax"))
    loss = fastnn.losses.SparseCategoricalCrossentropy(ignore_class=-1)
    model.compile(fastnn.optimizers.SGD(0.0), loss, metrics=["auc"])
    y = LABELS.copy()
    y[::4] = -1
    found = model.evaluate(X, y, verbose=0)[1]
    assert found == pytest.approx(model.evaluate(X[y >= 0], y[y >= 0], verbose=0)[1], rel=1e-9)


def test_logs_of_batches_do_without():
    """A metric of all rows comes with the epoch, also where hooks make each step a call."""
    seen = []

    class Watch(fastnn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(sorted(logs))
            if self.stop and batch == 2:
                self.model.stop_training = True

        stop = False

    model = compiled(metrics=["auc", "accuracy"])
    watch = Watch()
    history = model.fit(X, MANY[:, 0], 32, 1, 0, callbacks=[watch]).history
    assert seen == [["accuracy", "loss"]] * 5
    assert history["auc"] == pytest.approx([model.evaluate(X, MANY[:, 0], verbose=0)[1]], abs=1e-6)
    watch.stop = True
    history = model.fit(X, MANY[:, 0], 32, 3, 0, callbacks=[watch], shuffle=False).history
    first = model.evaluate(X[:96], MANY[:96, 0], verbose=0)[1]
    assert history["auc"] == pytest.approx([first], abs=1e-6)


def test_early_stopping_by_an_area():
    model = compiled(metrics=["auc"])
    stop = fastnn.callbacks.EarlyStopping("val_auc", patience=2)
    history = model.fit(X, MANY[:, 0], 32, 9, 0, validation_split=0.3, callbacks=[stop]).history
    assert len(history["val_auc"]) == 3


@pytest.mark.parametrize("steps", [True, False])
def test_over_the_tape(steps):
    """The same numbers where steps are in Python."""

    class Own(fastnn.Sequential):
        def train_step(self, data):
            return super().train_step(data)

    found = []
    for cls in (Own if steps else fastnn.Sequential, fastnn.Sequential):
        model = cls([fastnn.layers.Dense(1, input_shape=(6,), activation="sigmoid")])
        weights = np.linspace(-1, 1, 6)[:, None], np.zeros(1)
        model.set_weights(weights)
        model.compile(fastnn.optimizers.SGD(0.0), "binary_crossentropy", metrics=LISTED)
        history = model.fit(X, MANY[:, 0], 32, 2, 0, validation_split=0.2).history
        assert {"val_auc", "scored", "val_scored"} <= set(history)
        found.append(model.evaluate(X, MANY[:, 0], verbose=0, return_dict=True))
    for name, value in found[0].items():
        assert found[1][name] == pytest.approx(value, rel=1e-6)


def test_functions_train_natively():
    """Without a TapeWarning (warnings are errors), and to the same weights as without."""
    model = compiled(metrics=[scored], weighted_metrics=[lambda y, p: abs(y - p)])
    history = model.fit(X, MANY[:, 0], 32, 2, 0, sample_weight=WEIGHTS).history
    p = model.predict(X)[:, 0]
    wanted = np.average(np.abs(MANY[:, 0] - p), weights=WEIGHTS)
    assert history["lambda"] == pytest.approx([wanted] * 2, abs=1e-6)


def test_a_function_that_few_rows_do_not_suffice_for():
    def picky(y, p):
        if len(y) < N:
            raise ValueError("too few")
        return scored(y, p)

    model = compiled(metrics=[picky])
    assert model.fit(X, MANY[:, 0], 32, 1, 0).history["picky"][0] > 0

    def wrong(y, p):
        return y.nonsense(p)

    model = compiled(metrics=[wrong])
    before = model.get_weights()
    with pytest.raises(AttributeError, match="nonsense"):
        model.fit(X, MANY[:, 0], 32, 1, 0)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    assert model.history is None or not model.history.epoch


def test_going_on_in_the_middle_of_an_epoch(tmp_path):
    """A backup holds the rows of the epoch that were seen."""

    class Breaks(fastnn.callbacks.Callback):
        left = 7

        def on_train_batch_end(self, batch, logs=None):  # noqa: ARG002
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    def fitted(*more):
        fastnn.utils.set_random_seed(3)
        model = networks.sequential((6, 5, 1), ("relu", "sigmoid"))
        model.compile("adam", "binary_crossentropy", metrics=["auc", scored])
        backup = fastnn.callbacks.BackupAndRestore(tmp_path / "b", save_freq=1)
        try:
            return model.fit(X, MANY[:, 0], 32, 3, 0, callbacks=[backup, *more]).history
        except KeyboardInterrupt:
            return None

    wanted = fitted()
    assert fitted(Breaks()) is None
    assert fitted() == wanted


def test_tallies():
    y, p = MANY, SCORES
    on, above = y > 0.5, p > 0.5
    for metric, wanted in (
        (metrics.TruePositives(), on & above),
        (metrics.FalsePositives(), ~on & above),
        (metrics.FalseNegatives(), on & ~above),
        (metrics.TrueNegatives(), ~on & ~above),
    ):
        assert float(metric(y, p)) == wanted.sum()
        metric.reset_state()
        assert float(metric(y, p, WEIGHTS)) == (wanted * WEIGHTS[:, None]).sum()
    several = metrics.TruePositives(thresholds=[0.25, 0.75])
    found = np.asarray(several(y, p))
    assert found.tolist() == [(on & (p > t)).sum() for t in (0.25, 0.75)]
    model = compiled(metrics=["true_positives", several], head="linear", outputs=3)
    history = model.fit(X, MANY, 32, 1, 0).history
    q = 1 / (1 + np.exp(-model.predict(X).astype(np.float64)))
    assert history["true_positives"] == [(on & (q > 0.5)).sum()]
    assert history["true_positives_1"][0].tolist() == [(on & (q > t)).sum() for t in (0.25, 0.75)]
