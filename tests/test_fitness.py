"""The warning of `fit` that a model of numbers is no better than a constant."""

from __future__ import annotations

import inspect
import warnings

import cases
import numpy as np
import pytest

import fastnn
from fastnn import callbacks, layers
from fastnn.models import trainer

datasets = pytest.importorskip("sklearn.datasets")


def trained(x, y, loss="mse", **how):
    """Fits a small network, and whether it warned."""
    y = np.asarray(y, np.float64)
    units = 1 if y.ndim == 1 else y.shape[1]
    hidden = [layers.Dense(64, "relu"), *how.pop("after", [])]
    last = layers.Dense(units, how.pop("head", "linear"))
    model = fastnn.Sequential([fastnn.Input((x.shape[1],)), *hidden, last], seed=1)
    model.compile(how.pop("optimizer", "adam"), loss)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, y, **{"epochs": 20, "verbose": 0, **how})
    assert all(w.category is fastnn.ConvergenceWarning for w in caught)
    assert len(caught) <= 1
    return model, caught


X = np.random.default_rng(0).normal(size=(1500, 8))
SIGNAL = X @ np.random.default_rng(1).normal(size=8)
NOISE = np.random.default_rng(2).normal(size=1500)
DIABETES = datasets.load_diabetes(return_X_y=True)
FRIEDMAN = datasets.make_friedman1(1500, random_state=0)

COUNTS = {"loss": "poisson", "head": "softplus", "epochs": 3}

UNFIT = {
    "diabetes": (*DIABETES, {}),
    "diabetes, one epoch": (*DIABETES, {"epochs": 1}),
    "diabetes, mae": (*DIABETES, {"loss": "mae"}),
    "diabetes, huber": (*DIABETES, {"loss": "huber"}),
    "diabetes, two layers": (*DIABETES, {"after": [layers.Dense(8, "tanh")]}),
    "diabetes, split": (*DIABETES, {"validation_split": 0.2}),
    "exercises": (*datasets.load_linnerud(return_X_y=True), {"epochs": 100}),
    "prices": (X, 2e5 + 5e4 * SIGNAL, {}),
    "prices in both directions": (X, 5e4 * SIGNAL, {}),
    "years": (X, 2000 + 5 * SIGNAL, {}),
    "one output of two": (X, np.stack([SIGNAL, 2000 + SIGNAL], axis=1), {}),
    "counts": (X, np.round(1000 + 100 * np.abs(SIGNAL)), COUNTS),
    "weights": (X, 2000 + 5 * SIGNAL, {"sample_weight": np.abs(NOISE)}),
    "relus that died": (DIABETES[0], DIABETES[1], {"optimizer": "sgd", "epochs": 30}),
    "small": (X, 1e-3 * SIGNAL, {}),
}


@pytest.mark.parametrize("name", UNFIT)
def test_unfit(name):
    x, y, how = UNFIT[name]
    model, caught = trained(x, y, **dict(how))
    assert len(caught) == 1
    if how.get("loss", "mse") == "mse" and np.ndim(y) == 1 and "sample_weight" not in how:
        score = 1 - model.evaluate(x, y, verbose=0) / y.var()
        assert score < 0.1
        assert ("worse than" in str(caught[0].message)) == (score < 0)


FIT = {
    "linear": (X, SIGNAL, {}),
    "linear, one epoch": (X, SIGNAL, {"epochs": 1}),
    "one step": (X[:32], SIGNAL[:32], {"epochs": 1}),
    "noise": (X, NOISE, {}),
    "noise, one epoch": (X, NOISE, {"epochs": 1}),
    "noise, long": (X, NOISE, {"epochs": 100}),
    "noise, sgd": (X, NOISE, {"optimizer": "sgd"}),
    "noise, dropout": (X, NOISE, {"after": [layers.Dropout(0.5)]}),
    "noise, mae": (X, NOISE, {"loss": "mae"}),
    "diabetes, standardized": (DIABETES[0], (DIABETES[1] - 152) / 77, {}),
    "diabetes, standardized, one epoch": (DIABETES[0], (DIABETES[1] - 152) / 77, {"epochs": 1}),
    "diabetes, long": (*DIABETES, {"epochs": 300}),
    "diabetes, without its scaling": (
        *datasets.load_diabetes(return_X_y=True, scaled=False),
        {"epochs": 100},
    ),
    "friedman": (*FRIEDMAN, {}),
    "friedman, five epochs": (*FRIEDMAN, {"epochs": 5}),
    "friedman, one epoch": (*FRIEDMAN, {"epochs": 1}),
    "friedman, dropout": (*FRIEDMAN, {"after": [layers.Dropout(0.5)]}),
    "friedman 2": (*datasets.make_friedman2(1500, random_state=0), {"epochs": 5}),
    "shares": (X, 1 / (1 + np.exp(-SIGNAL)), {}),
    "tenths": (X, 0.1 * SIGNAL, {}),
    "counts": (X, np.random.default_rng(3).poisson(np.exp(0.5 * SIGNAL)), {}),
    "tens": (X, 23 + 8 * np.tanh(SIGNAL), {}),
    "tens, one epoch": (X, 23 + 8 * np.tanh(SIGNAL), {"epochs": 1}),
    "a wave": (np.linspace(-3, 3, 200)[:, None], np.sin(np.linspace(-3, 3, 200)), {}),
    "a constant": (X, np.full(1500, 150.0), {"epochs": 1}),
    "zeros": (X, np.zeros(1500), {}),
    "eight rows": (X[:8], NOISE[:8], {"epochs": 100}),
    "eight rows, one epoch": (X[:8], NOISE[:8], {"epochs": 1}),
    "classes as numbers": (X, SIGNAL > 0, {"epochs": 5}),
    "signs": (X, np.sign(NOISE), {"epochs": 5, "optimizer": fastnn.optimizers.SGD(0.3)}),
    "one-hot": (X, np.eye(3)[np.arange(1500) % 3], {"epochs": 5}),
    "rows that are alike": (np.ones((50, 8)), 100 + 50 * NOISE[:50], {"epochs": 100}),
    "a single row": (X[:1], np.array([500.0]), {}),
    "no epochs": (*DIABETES, {"epochs": 0}),
}


@pytest.mark.parametrize("name", FIT)
def test_fit(name):
    x, y, how = FIT[name]
    _, caught = trained(x, y, **dict(how))
    assert [str(w.message) for w in caught] == []


@pytest.mark.parametrize("loss", ["binary_crossentropy", "sparse_categorical_crossentropy"])
def test_classification_never_warns(loss):
    """Also where nothing can be learnt, and every step goes wrong."""
    units = 1 if loss == "binary_crossentropy" else 2
    model = fastnn.Sequential([fastnn.Input((8,)), layers.Dense(units)])
    model.compile(fastnn.optimizers.SGD(30.0), loss)
    model.fit(X * 100, NOISE > 0, epochs=10, verbose=0)


def test_the_message():
    """It names numbers and what to do, and the line of the user."""
    model = fastnn.Sequential([fastnn.Input((10,)), layers.Dense(64, "relu"), layers.Dense(1)])
    model.compile("adam", "mse")
    line = inspect.currentframe().f_lineno + 2
    with pytest.warns(fastnn.ConvergenceWarning) as caught:
        model.fit(*DIABETES, epochs=20, verbose=0)
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)
    text = str(caught[0].message)
    for part in (
        "worse than a constant",
        "5930",
        "mean 152.1",
        "77.01",
        "(y - y.mean()) / y.std()",
    ):
        assert part in text
    assert issubclass(fastnn.ConvergenceWarning, UserWarning)


def test_a_standard_error_that_is_closed():
    """The warning is lost, not what was trained."""
    program = """
import sys
import numpy as np, fastnn
sys.stderr.close()
model = fastnn.Sequential([fastnn.Input((1,)), fastnn.layers.Dense(1)])
model.compile("adam", "mse")
x = np.arange(100.0)[:, None]
print(len(model.fit(x, 1e5 + 1e4 * x, epochs=3, verbose=0).epoch))
"""
    assert cases.python(program).stdout == "3\n"


def test_as_an_error_it_comes_after_training():
    model = fastnn.Sequential([fastnn.Input((10,)), layers.Dense(1)])
    model.compile("adam", "mse")
    with pytest.raises(fastnn.ConvergenceWarning):  # pytest makes warnings errors
        model.fit(*DIABETES, epochs=20, verbose=0)
    assert len(model.history.history["loss"]) == 20
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastnn.ConvergenceWarning)
        model.fit(*DIABETES, epochs=1, verbose=0)


def test_nothing_is_changed(monkeypatch):
    """Weights to the bit, also those of the next `fit`, and the counts of steps and epochs."""
    found = []
    for looks in (True, False):
        if not looks:
            monkeypatch.setattr(trainer, "warn_if_unfit", lambda *_: None)
        after = [layers.Dense(8), layers.Dropout(0.5)]
        model, caught = trained(*DIABETES, after=after, epochs=3)
        assert len(caught) == looks
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(*DIABETES, epochs=3, verbose=0)
        network = model.network
        found.append((network.steps, network.epochs, network.updates, model.get_weights()))
    assert found[0][:3] == found[1][:3]
    for ours, theirs in zip(found[0][3], found[1][3], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("value", ["text", None, 10**400, float("nan")])
def test_losses_that_callbacks_replace(value):
    class Replaces(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
            logs["loss"] = value

    trained(*DIABETES, callbacks=[Replaces()])


def test_a_history_that_keeps_nothing():
    class Nothing(callbacks.History):
        def on_epoch_end(self, epoch, logs=None):
            pass

    trained(*DIABETES, callbacks=[Nothing()])


def test_best_weights_are_what_is_looked_at():
    """Not the loss of the last epoch."""
    y = (DIABETES[1] - 152) / 77
    stopping = callbacks.EarlyStopping("loss", patience=50, restore_best_weights=True)
    model, _ = trained(DIABETES[0], y, epochs=5)

    class Ruins(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
            if epoch == 20:
                self.model.set_weights([100 * w for w in self.model.get_weights()])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(DIABETES[0], y, epochs=21, verbose=0, callbacks=[Ruins(), stopping])
