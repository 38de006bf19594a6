"""Weights of rows: the same meaning at every batch size, in every session, as in the oracle.

`fit` minimises sum(w * l) / sum(w) over the data set. The gradient of a batch is divided by its rows
times the mean weight of the data set, or by its own weight with "mean_with_sample_weight".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import cases
import networks
import numpy as np
import pytest
import reference
import tolerances
from numpy.typing import NDArray
from scipy import stats

import fastnn
from fastnn import _core, callbacks, layers, losses, optimizers

Array = NDArray[Any]

CPU = ("plain", "streaming", "tiled")
GPU = ("plain", "generic", "resident", "wide")
BY_BATCH = "mean_with_sample_weight"


# -- a rare class: what a network learns -------------------------------------------------

ROWS, POSITIVES = 2000, 20
RARE = 99.0  # times as many rows: the weighted share of positives is 0.5


class Watch(callbacks.Callback):
    """The probability after each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        assert self.model is not None
        self.seen.append(float(self.model.predict(np.ones((1, 1)))[0, 0]))


def learnt(batch: int, given: str, reduction: str = "sum_over_batch_size") -> float:
    """The mean probability of late epochs, where x says nothing and positives weigh 99."""
    y = np.zeros(ROWS)
    y[:POSITIVES] = 1
    fastnn.utils.set_random_seed(5)
    model = fastnn.Sequential([fastnn.Input((1,)), layers.Dense(1, activation="sigmoid")])
    # A rate that grows with the batch leaves the same noise in the probability.
    sgd = optimizers.SGD(min(0.6, 0.0025 * batch / 8))
    model.compile(sgd, losses.BinaryCrossentropy(reduction=reduction))
    words: dict[str, Any] = {
        "sample_weight": {"sample_weight": np.where(y == 1, RARE, 1)},
        "class_weight": {"class_weight": {1: RARE}},
        "both": {"sample_weight": np.where(y == 1, RARE / 3, 1), "class_weight": {1: 3.0}},
        "nothing": {},
    }[given]
    watch = Watch()
    model.fit(
        np.ones((ROWS, 1)), y, batch_size=batch, epochs=60, callbacks=[watch], verbose=0, **words
    )
    return float(np.mean(watch.seen[20:]))


@pytest.mark.parametrize("given", ["sample_weight", "class_weight", "both"])
@pytest.mark.parametrize("batch", [8, 32, 128, ROWS])
def test_a_rare_class_is_learnt_at_every_batch_size(batch: int, given: str) -> None:
    assert learnt(batch, given) == pytest.approx(0.5, abs=0.03)


def test_by_batch_weights_fade_out_in_small_batches() -> None:
    """Most batches of 32 have no positive, and push as hard as one that has."""
    positives = np.arange(33)
    weight = RARE * positives / (RARE * positives + 32 - positives)
    expected = stats.hypergeom(ROWS, POSITIVES, 32).pmf(positives) @ weight
    assert expected == pytest.approx(0.22, abs=0.01)
    assert learnt(32, "sample_weight", BY_BATCH) == pytest.approx(expected, abs=0.03)
    assert learnt(ROWS, "sample_weight", BY_BATCH) == pytest.approx(0.5, abs=0.03)


def test_without_weights_both_reductions_are_one() -> None:
    assert learnt(32, "nothing", BY_BATCH) == learnt(32, "nothing")


# -- one row at a time -------------------------------------------------------------------


def sliding(rate: float = 0.125) -> fastnn.Sequential:
    """One weight, which each row of x = 1 and weight 1 pulls down by the learning rate."""
    model = fastnn.Sequential([fastnn.Input((1,)), layers.Dense(1, use_bias=False)])
    model.compile(optimizers.SGD(rate), "mean_absolute_error")
    model.set_weights([np.zeros((1, 1))])
    return model


def at(model: fastnn.Sequential) -> float:
    return float(model.get_weights()[0][0, 0])


class Moves(callbacks.Callback):
    """How far the weight moved, by step."""

    def __init__(self) -> None:
        super().__init__()
        self.places = [0.0]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        assert self.model is not None
        self.places.append(float(self.model.get_weights()[0][0, 0]))


LOW = np.full((5, 1), -1000.0)


def test_a_row_moves_the_weights_by_its_weight() -> None:
    """Batches of one row: the row's weight over the mean weight of all."""
    w = np.array([1.0, 4.0, 0.0, 2.0, 3.0])
    model, moves = sliding(), Moves()
    words = {"batch_size": 1, "shuffle": False, "verbose": 0, "callbacks": [moves]}
    model.fit(np.ones((5, 1)), LOW, sample_weight=w, **words)
    np.testing.assert_allclose(np.diff(moves.places), -0.125 * w / w.mean(), rtol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_an_epoch_moves_the_weights_alike(batch: int) -> None:
    """The sum of all moves, with one gradient everywhere, for batches of one size."""
    w = np.array([1.0, 4.0, 0.0, 2.0, 3.0])
    model = sliding()
    model.fit(np.ones((5, 1)), LOW, sample_weight=w, batch_size=batch, shuffle=False, verbose=0)
    starts = range(0, 5, batch)
    moved = sum(w[s : s + batch].mean() for s in starts) / w.mean()
    assert at(model) == pytest.approx(-0.125 * moved, rel=1e-6)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("weight", [0.25, 1.0, 2.0, 99.0])
def test_train_on_batch_takes_the_mean_weight_as_1(weight: float, rows: int) -> None:
    """Twice the weight moves a step of SGD twice as far; the loss stays a mean."""
    model = sliding()
    loss = model.train_on_batch(np.ones((rows, 1)), LOW[:rows], np.full(rows, weight))
    assert at(model) == pytest.approx(-0.125 * weight, rel=1e-6)
    assert loss == pytest.approx(1000)


def test_train_on_batch_and_the_weights_of_classes() -> None:
    moves = []
    for weight in (1.0, 6.0):
        model = fastnn.Sequential([fastnn.Input((1,)), layers.Dense(1, activation="sigmoid")])
        model.compile(optimizers.SGD(0.125), "binary_crossentropy")
        model.set_weights([np.zeros((1, 1)), np.zeros(1)])
        model.train_on_batch(np.ones((1, 1)), np.ones(1), class_weight={1: weight})
        moves.append(at(model))
    assert moves == pytest.approx([0.0625, 6 * 0.0625])


def test_train_on_batch_by_batch_is_as_before() -> None:
    """With the weight of the batch as divisor its size does not matter."""
    model = sliding()
    model.compile(optimizers.SGD(0.125), losses.MeanAbsoluteError(reduction=BY_BATCH))
    model.train_on_batch(np.ones((3, 1)), LOW[:3], np.full(3, 99.0))
    assert at(model) == pytest.approx(-0.125, rel=1e-6)


# -- against the oracle, in every session ------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """A loss by its public name, for the network with this end, and the oracle's words for it."""

    loss: Callable[[str], losses.Loss]
    op: str
    head: str
    y: Callable[[np.random.Generator, int], Array]
    options: Mapping[str, Any] = field(default_factory=dict)


def with_gaps(rng: np.random.Generator, n: int) -> Array:
    y = rng.integers(0, 2, (n, 3)).astype(np.float64)
    y[rng.random((n, 3)) < 0.3] = np.nan
    return y


PROBLEMS = {
    "numbers": Problem(
        lambda reduction: losses.MeanSquaredError(reduction),
        "mean_squared_error",
        "linear",
        lambda rng, n: rng.normal(size=(n, 3)),
    ),
    "missing labels": Problem(
        lambda reduction: losses.BinaryCrossentropy(reduction=reduction),
        "sigmoid_cross_entropy",
        "sigmoid",
        with_gaps,
    ),
    "ignored rows": Problem(
        lambda reduction: losses.SparseCategoricalCrossentropy(ignore_class=1, reduction=reduction),
        "softmax_cross_entropy",
        "softmax",
        lambda rng, n: rng.integers(0, 3, n),
        {"ignore_class": 1},
    ),
    "probabilities": Problem(
        lambda reduction: losses.CategoricalCrossentropy(label_smoothing=0.1, reduction=reduction),
        "softmax_cross_entropy",
        "softmax",
        lambda rng, n: rng.dirichlet(np.ones(3), n),
        {"label_smoothing": 0.1},
    ),
}
REDUCTIONS = ("sum_over_batch_size", BY_BATCH)
WIDTHS = (6, 9, 3)
ALL = 83


def weights_of(rng: np.random.Generator, n: int) -> Array:
    """Of many sizes, some 0."""
    return 10.0 ** rng.uniform(-1, 1, n) * (rng.random(n) < 0.85)


def same_as_the_oracle(
    problem: Problem,
    reduction: str,
    session: str,
    batch: int,
    dtype: str,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three epochs in order, of which the last batch is short."""
    monkeypatch.setenv("FASTNN_SESSION", session)
    activations = ("tanh", problem.head)
    model = networks.sequential(WIDTHS, activations, dtype=dtype)
    model.compile(optimizers.SGD(0.02, momentum=0.5), problem.loss(reduction))
    model.set_weights(cases.glorot(rng, WIDTHS))
    assert model.session(batch) == session
    oracle = reference.Trainer(
        reference.Network(activations, problem.op, options=problem.options),
        model.get_weights(),
        "sgd",
        {"learning_rate": 0.02, "momentum": 0.5},
        by_batch_weight=reduction == BY_BATCH,
    )
    x, y, w = rng.normal(size=(ALL, 6)).astype(dtype), problem.y(rng, ALL), weights_of(rng, ALL)
    history = model.fit(
        x, y, sample_weight=w, batch_size=batch, epochs=3, shuffle=False, verbose=0
    ).history
    expected = [oracle.epoch(x, y, np.arange(ALL), batch, w) for _ in range(3)]
    tolerances.check(history["loss"], expected, "trajectory", dtype, what="loss")
    for k, (got, want) in enumerate(zip(model.get_weights(), oracle.weights, strict=True)):
        tolerances.check(got, want, "trajectory", dtype, what=f"weight {k}")


@pytest.mark.cpu
@pytest.mark.isa
@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("batch", [1, 8, 32, ALL])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("session", CPU)
def test_on_the_cpu(
    session: str,
    name: str,
    reduction: str,
    batch: int,
    dtype: str,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    same_as_the_oracle(PROBLEMS[name], reduction, session, batch, dtype, rng, monkeypatch)


@pytest.fixture
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU that is here or, without one, the emulated device."""
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    monkeypatch.setenv("FASTNN_DEVICE", "cuda")


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("batch", [1, 32, ALL])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("session", GPU)
def test_on_the_device(
    session: str,
    name: str,
    reduction: str,
    batch: int,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if session == "resident" and reduction == BY_BATCH:
        pytest.skip("not made for it")
    same_as_the_oracle(PROBLEMS[name], reduction, session, batch, "float32", rng, monkeypatch)


@pytest.mark.usefixtures("device")
def test_a_resident_step_does_not_divide_by_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_SESSION", "resident")
    model = networks.sequential(WIDTHS, ("tanh", "linear"))
    model.compile("sgd", losses.MeanSquaredError(BY_BATCH))
    with pytest.raises(ValueError, match="session: 'resident' cannot train this model"):
        model.fit(np.ones((8, 6)), np.ones((8, 3)), verbose=0)
    monkeypatch.delenv("FASTNN_SESSION")
    model.compile("sgd", losses.MeanSquaredError(BY_BATCH))
    model.fit(np.ones((8, 6)), np.ones((8, 3)), verbose=0)


# -- what follows from the definition ----------------------------------------------------


def compiled(name: str, optimizer: Any = "adam", reduction: str = REDUCTIONS[0]) -> Any:
    """The network of a problem with weights that depend on nothing but the seed."""
    problem = PROBLEMS[name]
    fastnn.utils.set_random_seed(5)
    model = networks.sequential(WIDTHS, ("tanh", problem.head), dtype="float64")
    model.compile(optimizer, problem.loss(reduction))
    model.set_weights(cases.glorot(np.random.default_rng(3), WIDTHS))
    return model


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_common_factor_changes_nothing(
    name: str, reduction: str, rng: np.random.Generator
) -> None:
    """In `fit`: a power of two not one bit, another factor the roundings alone."""
    x, y, w = rng.normal(size=(ALL, 6)), PROBLEMS[name].y(rng, ALL), weights_of(rng, ALL)
    found = []
    for factor in (1.0, 2.0**20, 1 / 3):
        model = compiled(name, reduction=reduction)
        fitted = model.fit(
            x, y, sample_weight=factor * w, batch_size=8, epochs=2, verbose=0
        ).history
        found.append([np.array(fitted["loss"]), *model.get_weights()])
    for first, same, near in zip(*found, strict=True):
        assert first.tobytes() == same.tobytes()
        np.testing.assert_allclose(near, first, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("batch", [8, ALL])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_reported_loss_is_the_weighted_mean(
    name: str, reduction: str, batch: int, rng: np.random.Generator
) -> None:
    """While weights stay what they are: as the oracle's, and as evaluate's."""
    problem = PROBLEMS[name]
    x, y, w = rng.normal(size=(ALL, 6)), problem.y(rng, ALL), weights_of(rng, ALL)
    model = compiled(name, optimizers.SGD(0.0), reduction)
    words = {"batch_size": batch, "verbose": 0}
    fitted = model.fit(x, y, sample_weight=w, validation_data=(x, y, w), **words).history
    network = reference.Network(("tanh", problem.head), problem.op, options=problem.options)
    expected, gradients = network.value_and_grad(model.get_weights(), x, y, w)
    assert fitted["loss"] == pytest.approx([expected], rel=1e-10)
    assert fitted["val_loss"] == pytest.approx([expected], rel=1e-10)
    assert model.evaluate(x, y, sample_weight=w, **words) == pytest.approx(expected, rel=1e-10)
    loss, found = model.value_and_grad(x, y, w)
    assert loss == pytest.approx(expected, rel=1e-10)
    for got, want in zip(found, gradients, strict=True):
        tolerances.check(got, want, "network", "float64")


@pytest.mark.parametrize("batch", [7, ALL])
def test_an_ignored_row_counts_as_one_of_weight_0(batch: int, rng: np.random.Generator) -> None:
    """It lowers the mean weight of the data set, as a weight of 0 does."""
    x, y = rng.normal(size=(ALL, 6)), rng.integers(0, 3, ALL)
    found = []
    for ignored in (True, False):
        model = compiled("ignored rows", optimizers.SGD(0.1))
        weights = None if ignored else (y != 1).astype(float)
        labels = y if ignored else np.where(y == 1, 0, y)
        model.fit(x, labels, sample_weight=weights, batch_size=batch, shuffle=False, verbose=0)
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_missing_labels_lower_the_mean_weight() -> None:
    """Half of the labels are there: each of them moves its weight twice as far."""
    y = np.array([[1.0, np.nan]] * 4)
    moves = []
    for targets in (np.array([[1.0, 1.0]] * 4), y):
        model = fastnn.Sequential(
            [fastnn.Input((1,)), layers.Dense(2, activation="sigmoid", use_bias=False)]
        )
        model.compile(optimizers.SGD(1.0), "binary_crossentropy")
        model.set_weights([np.zeros((1, 2))])
        model.fit(np.ones((4, 1)), targets, batch_size=4, verbose=0)
        moves.append(model.get_weights()[0][0])
    assert moves[0] == pytest.approx([0.25, 0.25])
    assert moves[1] == pytest.approx([0.5, 0.0])


# -- nothing counts ----------------------------------------------------------------------

X = np.random.default_rng(8).normal(size=(6, 4))
COUNTING = {
    "weights": (losses.MeanSquaredError(), np.ones((6, 2)), np.ones(6)),
    "labels": (losses.BinaryCrossentropy(), np.ones((6, 2)), None),
    "classes": (losses.SparseCategoricalCrossentropy(ignore_class=1), np.zeros(6, int), None),
    "both": (
        losses.SparseCategoricalCrossentropy(ignore_class=1),
        np.array([0, 0, 0, 1, 1, 1]),
        np.ones(6),
    ),
}
NOTHING = {
    "weights": (np.ones((6, 2)), np.zeros(6)),
    "labels": (np.full((6, 2), np.nan), None),
    "classes": (np.ones(6, int), None),
    "both": (np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 0, 5.0, 5, 5])),
}


@pytest.mark.parametrize("where", ["fit", "validation_data"])
@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("case", NOTHING)
def test_nothing_counts_in_fit(case: str, built: bool, where: str) -> None:
    """Refused before the first step: weights stay, and an unbuilt model stays so."""
    loss, *good = COUNTING[case]
    first = [fastnn.Input((4,))] if built else []
    model = fastnn.Sequential([*first, layers.Dense(2)])
    model.compile("adam", loss)
    before = [w.copy() for w in model.get_weights()] if built else None
    y, w = NOTHING[case]
    given = {
        "fit": {"y": y, "sample_weight": w, "validation_data": (X, *good)},
        "validation_data": {"y": good[0], "sample_weight": good[1], "validation_data": (X, y, w)},
    }[where]
    with pytest.raises(ValueError, match=f"^{where}: nothing counts"):
        model.fit(X, verbose=0, **given)
    assert model.built is built
    if before is not None:
        for a, b in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert model.optimizer.iterations == 0
    model.fit(X, good[0], sample_weight=good[1], validation_data=(X, *good), verbose=0)


@pytest.mark.parametrize("loss", ["binary_crossentropy", "sparse_categorical_crossentropy"])
def test_class_weights_of_0_leave_nothing(loss: str) -> None:
    """In the rows to train on; rows of a class without a weight count."""
    model = fastnn.Sequential([fastnn.Input((4,)), layers.Dense(1 if "binary" in loss else 2)])
    model.compile("adam", loss)
    y = np.array([0, 0, 1, 1, 1, 0])
    none = {0: 0, 1: 0}
    with pytest.raises(ValueError, match=r"^fit: nothing counts, .*class_weight"):
        model.fit(X, y, class_weight=none, verbose=0)
    with pytest.raises(ValueError, match=r"^fit: nothing counts"):
        model.fit(X, y, class_weight={0: 0}, sample_weight=y == 0, verbose=0)
    assert model.optimizer.iterations == 0
    assert np.isnan(model.train_on_batch(X, y, class_weight=none))
    assert np.isnan(model.value_and_grad(X, y, class_weight=none)[0])
    model.fit(X, y, class_weight={0: 0}, verbose=0)


def test_nothing_counts_in_the_rows_that_validation_split_holds_out() -> None:
    model = fastnn.Sequential([fastnn.Input((4,)), layers.Dense(2)])
    model.compile("adam", losses.SparseCategoricalCrossentropy(ignore_class=7))
    x, y = np.tile(X, (2, 1)), np.tile([0, 1], 6)
    split = "validation_split: in the rows held out: nothing counts"
    history = model.fit(x, y, validation_split=0.25, verbose=0).history
    held = model._splits.find(12, 0.25)
    assert held is not None
    for where, word in ((held.validation, split), (held.training, "fit: nothing counts")):
        weights = np.ones(12)
        weights[where] = 0
        with pytest.raises(ValueError, match=f"^{word}"):
            model.fit(x, y, validation_split=0.25, sample_weight=weights, verbose=0)
        labels = y.copy()
        labels[where] = 7
        with pytest.raises(ValueError, match=f"^{word}"):
            model.fit(x, labels, validation_split=0.25, verbose=0)
    assert np.isfinite(history["val_loss"]).all()


@pytest.mark.parametrize("case", NOTHING)
def test_nothing_counts_in_one_batch(case: str) -> None:
    """The loss is NaN and no weight moves, in training and for the gradient."""
    loss, *_ = COUNTING[case]
    model = fastnn.Sequential([fastnn.Input((4,)), layers.Dense(2)])
    model.compile("adam", loss)
    before = model.get_weights()
    y, w = NOTHING[case]
    assert np.isnan(model.train_on_batch(X, y, w))
    value, gradients = model.value_and_grad(X, y, w)
    assert np.isnan(value)
    assert np.isnan(model.test_on_batch(X, y, w))
    for a, b, gradient in zip(before, model.get_weights(), gradients, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("case", NOTHING)
def test_nothing_counts_in_evaluate(case: str) -> None:
    """A mean over nothing is NaN."""
    loss, y, w = COUNTING[case]
    model = fastnn.Sequential([fastnn.Input((4,)), layers.Dense(2)])
    model.compile("adam", loss, metrics=["mse"] if case == "weights" else ["accuracy"])
    assert np.isfinite(model.evaluate(X, y, sample_weight=w, verbose=0)[0])
    y, w = NOTHING[case]
    value, metric = model.evaluate(X, y, sample_weight=w, verbose=0)
    assert np.isnan(value)
    # Metrics count rows without their weight, unless the label itself does not count.
    assert np.isnan(metric) == (case in ("labels", "classes"))


def test_a_batch_in_which_nothing_counts_moves_nothing() -> None:
    """By either reduction; the others move as ever."""
    for reduction in REDUCTIONS:
        model, moves = sliding(), Moves()
        model.compile(optimizers.SGD(0.125), losses.MeanAbsoluteError(reduction))
        w = np.array([1.0, 0.0, 1.0])
        words = {"batch_size": 1, "shuffle": False, "verbose": 0, "callbacks": [moves]}
        model.fit(np.ones((3, 1)), LOW[:3], sample_weight=w, **words)
        first, none, last = np.diff(moves.places)
        assert none == 0
        expected = -0.125 if reduction == BY_BATCH else -0.125 / w.mean()
        assert [first, last] == pytest.approx([expected, expected], rel=1e-6)
