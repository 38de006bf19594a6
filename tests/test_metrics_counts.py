"""Metrics made of native counts: of one's own from confusion and moments, and R2Score.

Expected values come from scikit-learn or NumPy, of the outputs that `predict` returns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import networks
import numpy as np
import pytest
from numpy.typing import NDArray

import fastnn
from fastnn import _core, layers, losses, metrics, optimizers

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")

Array = NDArray[Any]

CPU = ("plain", "streaming", "tiled")
GPU = ("plain", "generic", "wide")


class F1(metrics.Metric):
    """The mean over outputs of 2 tp / (2 tp + fp + fn); with one output that of positives."""

    counts = "confusion"
    goes_with = frozenset({"labels", "targets", "sigmoid"})

    def __init__(self, threshold: float = 0.5, name: str = "f1") -> None:
        super().__init__(name)
        self.threshold = threshold

    def count_options(self) -> dict[str, Any]:
        return {"value": self.threshold}

    def finish(self, sums: Array) -> float:
        tp, fp, fn, _ = sums.reshape(-1, 4).T
        return float(np.mean(2 * tp / np.maximum(2 * tp + fp + fn, 1e-300)))


class Confusion(metrics.Metric):
    """All counts, in a list to look at."""

    counts = "confusion"
    goes_with = F1.goes_with

    def __init__(self, kept: list[Array]) -> None:
        super().__init__("confusion")
        self.kept = kept

    def finish(self, sums: Array) -> float:
        self.kept.append(sums.reshape(-1, 4).copy())
        return 0.0


class Pearson(metrics.Metric):
    """The correlation of outputs and targets, the mean over outputs."""

    counts = "moments"
    goes_with = frozenset({"values", "sigmoid", "targets"})

    def finish(self, sums: Array) -> float:
        w, t, tt, y, yy, ty, _ = sums.reshape(-1, 7).T
        both = (tt - t * t / w) * (yy - y * y / w)
        return float(np.mean((ty - t * y / w) / np.sqrt(both)))


def f1(y: Array, output: Array, w: Array | None, threshold: float = 0.5) -> float:
    """By column, of the labels that are there."""
    scores = []
    for t, p in zip(y.T, output.T, strict=True):
        known = ~np.isnan(t)
        weight = None if w is None else w[known]
        scores.append(
            sklearn.f1_score(
                t[known] > 0.5, p[known] > threshold, sample_weight=weight, zero_division=0.0
            )
        )
    return float(np.mean(scores))


def f1_of_classes(y: Array, output: Array, w: Array | None) -> float:
    every = range(output.shape[1])
    guess = output.argmax(axis=1)
    return float(
        sklearn.f1_score(
            y, guess, average="macro", labels=every, sample_weight=w, zero_division=0.0
        )
    )


def pearson(y: Array, output: Array, w: Array | None) -> float:
    found = []
    for t, p in zip(y.T, output.T, strict=True):
        known = ~np.isnan(t)
        cov = np.cov(t[known], p[known], aweights=None if w is None else w[known], ddof=0)
        found.append(cov[0, 1] / math.sqrt(cov[0, 0] * cov[1, 1]))
    return float(np.mean(found))


def r2(y: Array, output: Array, w: Array | None, how: str = "uniform_average") -> float:
    how = {"variance_weighted_average": "variance_weighted"}.get(how, how)
    return float(sklearn.r2_score(y, output, sample_weight=w, multioutput=how))


def exact(y: Array, p: Array, w: Array | None, threshold: float = 0.5) -> float:
    known = ~np.isnan(y)
    right = np.where(known, (p > threshold) == (y > 0.5), True).all(axis=1)
    weights = known.any(axis=1) * (np.ones(len(y)) if w is None else w)
    return float(right @ weights / weights.sum())


def gaps(rng: np.random.Generator, n: int, o: int) -> Array:
    y = rng.integers(0, 2, (n, o)).astype(float)
    y[rng.random((n, o)) < 0.3] = np.nan
    return y


Draw = Callable[[np.random.Generator, int], Array]
Expected = Callable[[Array, Array, "Array | None"], Any]
# The loss, the outputs and their activation, targets, the metric, its expected value.
Case = tuple[losses.Loss | str, int, str, Draw, Callable[[], metrics.Metric], Expected]
CASES: dict[str, Case] = {
    "binary": (
        "bce",
        1,
        "sigmoid",
        lambda rng, n: rng.integers(0, 2, (n, 1)).astype(float),
        lambda: F1(),
        f1,
    ),
    "binary above 0.3, of logits": (
        "bce",
        1,
        "linear",
        lambda rng, n: rng.integers(0, 2, (n, 1)).astype(float),
        lambda: F1(0.3),
        lambda y, z, w: f1(y, z, w, math.log(0.3 / 0.7)),
    ),
    "several labels": (
        "bce",
        5,
        "sigmoid",
        lambda rng, n: rng.integers(0, 2, (n, 5)).astype(float),
        lambda: F1(0.6),
        lambda y, p, w: f1(y, p, w, 0.6),
    ),
    "missing labels": ("bce", 5, "sigmoid", lambda rng, n: gaps(rng, n, 5), lambda: F1(), f1),
    "labels": (
        "sparse_categorical_crossentropy",
        4,
        "softmax",
        lambda rng, n: rng.integers(0, 4, n),
        lambda: F1(),
        f1_of_classes,
    ),
    "ignored rows": (
        losses.SparseCategoricalCrossentropy(ignore_class=-1),
        4,
        "linear",
        lambda rng, n: rng.integers(-1, 4, n),
        lambda: F1(),
        lambda y, z, w: f1_of_classes(y[y >= 0], z[y >= 0], None if w is None else w[y >= 0]),
    ),
    "probabilities": (
        "categorical_crossentropy",
        40,
        "softmax",
        lambda rng, n: rng.dirichlet(np.ones(40), n),
        lambda: F1(),
        lambda y, p, w: f1_of_classes(y.argmax(axis=1), p, w),
    ),
    "exact": (
        "bce",
        3,
        "sigmoid",
        lambda rng, n: rng.integers(0, 2, (n, 3)),
        metrics.ExactMatch,
        exact,
    ),
    "exact, of many missing labels": (
        "bce",
        40,
        "linear",
        lambda rng, n: np.where(rng.random((n, 40)) < 0.95, np.nan, rng.integers(0, 2, (n, 40))),
        lambda: metrics.ExactMatch(threshold=0.4),
        lambda y, z, w: exact(y, 1 / (1 + np.exp(-z)), w, 0.4),
    ),
    "Pearson": ("mse", 3, "linear", lambda rng, n: rng.normal(size=(n, 3)), Pearson, pearson),
    "Pearson of missing labels": (
        "bce",
        3,
        "sigmoid",
        lambda rng, n: gaps(rng, n, 3),
        Pearson,
        pearson,
    ),
    "R2": ("mse", 1, "linear", lambda rng, n: rng.normal(5, 2, (n, 1)), metrics.R2Score, r2),
    "R2 of several": (
        "huber",
        3,
        "linear",
        lambda rng, n: rng.normal(5, 2, (n, 3)),
        metrics.R2Score,
        r2,
    ),
    "R2 by variance": (
        "mse",
        3,
        "linear",
        lambda rng, n: rng.normal(5, [1, 2, 3], (n, 3)),
        lambda: metrics.R2Score("variance_weighted_average"),
        lambda y, p, w: r2(y, p, w, "variance_weighted_average"),
    ),
    "R2 of each": (
        "mse",
        3,
        "linear",
        lambda rng, n: rng.normal(5, [1, 2, 3], (n, 3)),
        lambda: metrics.R2Score(None),
        lambda y, p, w: np.array(
            [r2(a[:, None], b[:, None], w) for a, b in zip(y.T, p.T, strict=True)]
        ),
    ),
}
ROWS = 150


def check(case: str, session: str, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    """Weighted and not, in an epoch of uneven batches, in validation and in evaluate."""
    monkeypatch.setenv("FASTNN_SESSION", session)
    loss, outputs, activation, draw, metric, expected = CASES[case]
    rng = np.random.default_rng(6)
    model = networks.sequential((6, 9, outputs), ("tanh", activation), dtype=dtype)
    # A rate of 0 leaves the weights: all batches of an epoch see the same outputs.
    model.compile(optimizers.SGD(0.0), loss, metrics=[metric()], weighted_metrics=[metric()])
    model.set_weights([2 * rng.normal(size=w.shape) for w in model.get_weights()])
    assert model.session(32) == session
    x, y = rng.normal(size=(ROWS, 6)).astype(dtype), draw(rng, ROWS)
    w = rng.uniform(0, 3, ROWS) * (rng.random(ROWS) < 0.9)
    words = {"batch_size": 32, "verbose": 0}
    history = model.fit(
        x, y, sample_weight=w, validation_data=(x[:70], y[:70], w[:70]), epochs=2, **words
    ).history
    name = metric().name
    output = np.float64(model.predict(x))
    keys = ["loss", name, f"weighted_{name}"]
    assert list(history) == [*keys, *(f"val_{key}" for key in keys)]
    every = model.evaluate(x, y, sample_weight=w, return_dict=True, verbose=0)
    near = {"rel": 1e-9, "abs": 1e-12} if dtype == "float64" else {"rel": 2e-5, "abs": 1e-6}
    for key, weight in ((name, None), (f"weighted_{name}", w)):
        want = pytest.approx(expected(y, output, weight), **near)
        assert len(history[key]) == 2
        for found in (*history[key], every[key]):
            assert np.shape(found) == np.shape(want.expected), key
            assert found == want, key
        part = None if weight is None else weight[:70]
        assert history[f"val_{key}"][0] == pytest.approx(
            expected(y[:70], output[:70], part), **near
        )


@pytest.mark.cpu
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("session", CPU)
def test_on_the_cpu(session: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(case, session, monkeypatch, "float64")


@pytest.fixture
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU that is here or, without one, the emulated device."""
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    monkeypatch.setenv("FASTNN_DEVICE", "cuda")


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("session", GPU)
def test_on_the_device(session: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(case, session, monkeypatch, "float32")


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("metric", [F1, "accuracy"])
def test_a_resident_step_has_counts_of_rows_alone(
    metric: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a forced session another one is chosen."""
    monkeypatch.delenv("FASTNN_SESSION", raising=False)
    model = networks.sequential((6, 1), ("sigmoid",))
    model.compile("sgd", "bce", metrics=[metric])
    assert (model.session(32) == "resident") == (metric == "accuracy")
    monkeypatch.setenv("FASTNN_SESSION", "resident")
    model.compile("sgd", "bce", metrics=[metric])
    x, y = np.ones((8, 6)), np.ones(8)
    if metric == "accuracy":
        model.fit(x, y, verbose=0)
    else:
        with pytest.raises(ValueError, match="session: 'resident' cannot train this model"):
            model.fit(x, y, verbose=0)


# -- counts ------------------------------------------------------------------------------


def test_all_four_counts_are_those_of_scikit_learn() -> None:
    kept: list[Array] = []
    rng = np.random.default_rng(7)
    model = networks.sequential((6, 4), ("softmax",), dtype="float64")
    words = {"weighted_metrics": [Confusion(kept)]}
    model.compile("sgd", "sparse_categorical_crossentropy", **words)
    x, y, w = rng.normal(size=(300, 6)), rng.integers(0, 4, 300), rng.uniform(0, 2, 300)
    model.evaluate(x, y, sample_weight=w, verbose=0)
    guess = model.predict(x).argmax(axis=1)
    expected = sklearn.multilabel_confusion_matrix(y, guess, sample_weight=w, labels=range(4))
    found = kept[-1]
    for (tp, fp, fn, tn), matrix in zip(found, expected, strict=True):
        np.testing.assert_allclose([[tn, fp], [fn, tp]], matrix, rtol=1e-12)


def test_a_threshold_that_is_not_given_is_half() -> None:
    class Sides(metrics.Metric):
        counts = "sides"
        goes_with = frozenset({"sigmoid"})

    x = np.random.default_rng(1).normal(size=(40, 3))
    model = networks.sequential((3, 1), ("sigmoid",))
    kept: list[Array] = []
    model.compile("sgd", "bce", metrics=[Sides("half"), "accuracy", Confusion(kept)])
    half, accuracy, _ = model.evaluate(x, (x[:, 0] > 0).astype(float), verbose=0)[1:]
    assert half == accuracy
    (tp, _, _, tn), *_ = kept[0]
    assert (tp + tn) / 40 == pytest.approx(accuracy)


@pytest.mark.parametrize("count", ["sides", "exact", "moments"])
def test_counts_of_numbers_refuse_labels(count: str) -> None:
    """Whatever the class says that it goes with: there are no targets to read."""
    cls = type("Mine", (metrics.Metric,), {"counts": count, "goes_with": {"labels", "values"}})
    model = networks.sequential((3, 4), ("softmax",))
    with pytest.raises(ValueError, match="'mine' does not go with the loss sparse_categorical"):
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=[cls("mine")])
    networks.sequential((3, 4), ("linear",)).compile("sgd", "mse", metrics=[cls("mine")])


def test_a_count_that_does_not_exist_is_named() -> None:
    cls = type("Mine", (metrics.Metric,), {"counts": "roc", "goes_with": {"values"}})
    model = networks.sequential((3, 1), ("linear",))
    with pytest.raises(ValueError, match="metric: unknown name 'roc'"):
        model.compile("sgd", "mse", metrics=[cls()])


def test_while_it_learns_an_epoch_is_that_of_its_batches() -> None:
    """With one batch an epoch, the metric is that of the weights before the step."""
    x = np.random.default_rng(2).normal(size=(80, 4))
    y = x @ np.array([[1.0], [2.0], [-1.0], [0.5]]) + 3
    model = networks.sequential((4, 1), ("linear",), dtype="float64")
    model.compile(optimizers.SGD(0.1), "mse", metrics=["r2_score", Pearson("r")])
    before = model.predict(x)
    history = model.fit(x, y, batch_size=80, epochs=60, verbose=0).history
    assert list(history) == ["loss", "r2_score", "r"]
    assert history["r2_score"][0] == pytest.approx(r2(y, before, None))
    assert history["r"][0] == pytest.approx(pearson(y, before, None))
    assert history["r2_score"][-1] > 0.99
    assert history["r2_score"][-1] < model.evaluate(x, y, verbose=0)[1] <= 1


def test_it_can_be_monitored() -> None:
    """By name, with the better direction given."""
    x = np.random.default_rng(2).normal(size=(80, 4))
    model = networks.sequential((4, 1), ("linear",))
    model.compile(optimizers.SGD(0.0), "mse", metrics=[metrics.R2Score(name="score")])
    stop = fastnn.callbacks.EarlyStopping(monitor="score", mode="max", min_delta=1e-6, patience=2)
    history = model.fit(x, x[:, :1], epochs=9, callbacks=[stop], verbose=0).history
    assert len(history["score"]) == 3


# -- R2Score -----------------------------------------------------------------------------


def score(y: Array, output: Array, **options: Any) -> float:
    """R2Score of a network that returns its input."""
    y, output = np.asarray(y, float), np.asarray(output, float)
    model = fastnn.Sequential(
        [fastnn.Input((y.shape[1],)), layers.Dense(y.shape[1], use_bias=False)], dtype="float64"
    )
    model.compile("sgd", "mse", metrics=[metrics.R2Score(**options)])
    model.set_weights([np.eye(y.shape[1])])
    return float(model.evaluate(output, y, verbose=0)[1])


@pytest.mark.parametrize("how", ["uniform_average", "variance_weighted_average"])
@pytest.mark.parametrize(
    ("y", "output"),
    [
        ([[1], [2], [3]], [[1], [2], [3]]),
        ([[1], [2], [3]], [[2], [2], [2]]),
        ([[1], [2], [3]], [[9], [-2], [4]]),
        ([[2], [2], [2]], [[2], [2], [2]]),
        ([[0], [0]], [[0], [0]]),
        ([[0.1], [0.1], [0.1]], [[0.1], [0.1], [0.1]]),
        ([[2, 1], [2, 5], [2, 3]], [[2, 1], [2, 4], [2, 3]]),
    ],
)
def test_r2_as_in_scikit_learn(y: Any, output: Any, how: str) -> None:
    """Also where all targets of an output are alike, and met."""
    found = score(y, output, class_aggregation=how)
    assert found == pytest.approx(r2(np.array(y), np.array(output), None, how), abs=1e-12)


@pytest.mark.parametrize("how", ["uniform_average", "variance_weighted_average"])
@pytest.mark.parametrize("mean", [2.0, 0.1, 1e8, 1.7e9])
def test_r2_of_targets_that_do_not_vary(mean: float, how: str) -> None:
    """NaN, never a guess, where sums cannot tell how much they vary; the average by variance then
    is that of other outputs."""
    rng = np.random.default_rng(3)
    y = mean + (4 * rng.normal(size=(500, 1)) if mean > 1e6 else np.zeros((500, 1)))
    output = y + 0.5 * rng.normal(size=(500, 1))
    assert np.isnan(score(y, output, class_aggregation=how))
    other, near = rng.normal(size=(2, 500, 1))
    both = score(np.hstack([y, other]), np.hstack([output, near]), class_aggregation=how)
    if how == "uniform_average":
        assert np.isnan(both)
    else:
        assert both == pytest.approx(r2(other, near, None), abs=1e-12)


@pytest.mark.parametrize(("mean", "limit"), [(0, 1e-13), (1e3, 1e-9), (-1e5, 1e-5)])
def test_r2_of_targets_far_from_zero(mean: float, limit: float) -> None:
    rng = np.random.default_rng(3)
    y = mean + rng.normal(size=(500, 1))
    output = y + 0.3 * rng.normal(size=(500, 1))
    assert score(y, output) == pytest.approx(r2(y, output, None), abs=limit)


def test_an_output_without_targets_has_no_score() -> None:
    """NaN where nothing counts at all."""
    y = np.array([[1.0, np.nan], [0.0, np.nan], [1.0, np.nan]])
    x = np.random.default_rng(4).normal(size=(3, 2))
    model = networks.sequential((2, 2), ("sigmoid",), dtype="float64")
    model.compile("sgd", "bce", metrics=["r2_score"])
    expected = r2(y[:, :1], model.predict(x)[:, :1], None)
    assert model.evaluate(x, y, verbose=0)[1] == pytest.approx(expected)
    assert math.isnan(model.evaluate(x, np.full((3, 2), np.nan), verbose=0)[1])


def test_what_r2_score_refuses() -> None:
    with pytest.raises(ValueError, match="class_aggregation: unknown name 'mean'"):
        metrics.R2Score("mean")
    with pytest.raises(TypeError, match="class_aggregation"):
        metrics.R2Score(3)  # type: ignore[arg-type]
    model = networks.sequential((3, 4), ("softmax",))
    with pytest.raises(ValueError, match="'r2_score' does not go with the loss"):
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["r2_score"])


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["loss", "val_loss", "val_x", "val_hit_rate"])
@pytest.mark.parametrize("where", ["metrics", "weighted_metrics"])
def test_names_under_which_logs_hold_something_else(name: str, where: str) -> None:
    model = networks.sequential((4, 1), ("sigmoid",))
    made: list[Any] = [metrics.BinaryAccuracy(name=name), metrics.MeanOf("mse", name=name)]
    for metric in made:
        with pytest.raises(ValueError, match=f"^metrics: .*'{name}'"):
            model.compile("sgd", "binary_crossentropy", **{where: [metric]})
    assert not model.compiled


@pytest.mark.parametrize("name", ["", None, 3])
def test_names_that_are_none(name: Any) -> None:
    """Told where the metric is made or, of a string, where it is used."""

    def compiled() -> None:
        metric = metrics.BinaryAccuracy(name=name)
        networks.sequential((4, 1), ("sigmoid",)).compile("sgd", "bce", metrics=[metric])

    with pytest.raises(TypeError, match=r"name: expected a (non-empty )?string"):
        compiled()


def test_every_key_of_the_history_is_of_one_column() -> None:
    """Metrics of one name, weighted and not, and one that is named as a number would name it."""
    model = networks.sequential((3, 1), ("sigmoid",))
    named = ["acc", metrics.BinaryAccuracy("acc_1"), metrics.BinaryAccuracy("acc")]
    model.compile("sgd", "bce", metrics=named, weighted_metrics=["acc", "mae"])
    x, y = np.ones((6, 3)), np.arange(6) % 2
    history = model.fit(x, y, validation_data=(x, y), verbose=0).history
    assert model.metrics_names == ["loss", "acc", "acc_1", "acc_2", "weighted_acc", "mae"]
    assert list(history) == [*model.metrics_names, *(f"val_{n}" for n in model.metrics_names)]
