"""Rules of callbacks that native code follows: the same epochs, rates and weights as by calls from Python."""

from __future__ import annotations

import itertools
import math
import signal
import threading

import networks
import numpy as np
import pytest
import travelling

import fastnn
from fastnn import callbacks, metrics
from fastnn.training import loops

N = 60
RNG = np.random.default_rng(12)
X = RNG.normal(size=(N, 4)).astype(np.float32)
Y = (X[:, :1] + RNG.normal(size=(N, 1))).astype(np.float32)


class Called(callbacks.EarlyStopping):
    """Has to be called after each epoch, since it is a class of one's own."""

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)


class CalledPlateau(callbacks.ReduceLROnPlateau):
    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)


@pytest.fixture
def calls(monkeypatch):
    """Epochs of each native call."""
    seen = []
    advance = loops.Fit._advancing

    def counted(self, run, **how):
        seen.append(how.get("epochs", 1))
        return advance(self, run, **how)

    monkeypatch.setattr(loops.Fit, "_advancing", counted)
    return seen


def model_of(rate=0.3, **how):
    fastnn.utils.set_random_seed(5)
    model = networks.sequential((4, 8, 1), ("tanh", "linear"))
    model.compile(fastnn.optimizers.SGD(rate, momentum=0.5), "mse", **how)
    return model


def fitted(*listed, model=None, epochs=60, **how):
    model = model_of(metrics=["rmse", "mae"]) if model is None else model
    history = model.fit(
        X[:40], Y[:40], 8, epochs, 0, callbacks=listed, validation_data=(X[40:], Y[40:]), **how
    )
    return history.history, history.epoch, [w.tolist() for w in model.get_weights()]


def state(stop):
    return {name: getattr(stop, name) for name in ("wait", "stopped_epoch", "best", "best_epoch")}


MONITORS = ("loss", "val_loss", "val_rmse", "mae")
CASES = [
    {"monitor": monitor, "patience": patience, "restore_best_weights": restore, **more}
    for (monitor, patience, restore), more in zip(
        itertools.product(MONITORS, (0, 1, 4), (False, True)),
        itertools.cycle(
            [{}, {"min_delta": 0.01}, {"baseline": 0.9}, {"start_from_epoch": 3}, {"mode": "max"}]
        ),
        strict=False,
    )
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_stopping(case, calls):
    how = CASES[case]
    by_calls, by_rule = Called(**how), callbacks.EarlyStopping(**how)
    wanted = fitted(by_calls)
    assert len(calls) == len(wanted[1])
    calls.clear()
    assert fitted(by_rule) == wanted
    assert state(by_rule) == state(by_calls)
    assert len(calls) <= max(2, len(wanted[1]) // 3)
    if how["restore_best_weights"]:
        for a, b in zip(by_rule.best_weights, by_calls.best_weights, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("how", [{}, {"cooldown": 3}, {"min_lr": 0.1}, {"min_delta": 0.0}])
@pytest.mark.parametrize("patience", [1, 3])
def test_plateaus(patience, how, calls):
    how = {"monitor": "val_loss", "factor": 0.5, "patience": patience, "min_delta": 0.01, **how}
    wanted = fitted(CalledPlateau(**how))
    assert len(calls) == 60
    calls.clear()
    assert fitted(callbacks.ReduceLROnPlateau(**how)) == wanted
    rates = wanted[0]["learning_rate"]
    assert len(calls) <= len(set(rates)) + 1  # one ends where the rate is reduced
    assert rates[0] > rates[-1]


def test_several_rules(calls):
    listed = [
        [
            plateau("loss", 0.5, 2, min_delta=0.02),
            stop("val_loss", patience=6, restore_best_weights=True),
        ]
        for plateau, stop in (
            (CalledPlateau, Called),
            (callbacks.ReduceLROnPlateau, callbacks.EarlyStopping),
        )
    ]
    wanted = fitted(*listed[0])
    calls.clear()
    found = fitted(*listed[1], callbacks.TimeLimit(1e6))
    assert found == wanted
    assert len(calls) < len(wanted[1])


def test_what_native_code_does_not_know_is_called(calls):
    """A score that is no mean, a callback beside it, validation in some epochs."""
    model = networks.sequential((4, 1), ("sigmoid",))
    model.compile("sgd", "binary_crossentropy", metrics=[metrics.F1Score(average="macro"), "auc"])
    y = (Y > 0).astype(float)
    for monitor in ("f1_score", "auc"):
        stop = callbacks.EarlyStopping(monitor, patience=2, min_delta=1)
        assert model.fit(X, y, epochs=9, verbose=0, callbacks=[stop]).epoch == [0, 1, 2]
        assert len(calls) == 3
        calls.clear()
    seen = []
    watch = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))  # noqa: ARG005
    stop = callbacks.EarlyStopping("loss", patience=2, min_delta=9)
    assert fitted(stop, watch)[1] == seen == [0, 1, 2]
    assert fitted(callbacks.EarlyStopping("loss", patience=2, min_delta=9), validation_freq=2)[
        1
    ] == [0, 1, 2]


def test_time_is_over(calls):
    found = fitted(callbacks.TimeLimit(1e-9))
    assert (found[1], calls) == ([0], [60])
    assert fitted(callbacks.TimeLimit(1e-9), callbacks.EarlyStopping("loss"))[1] == [0]


def test_nan_and_missing_values():
    stop = callbacks.EarlyStopping("val_loss", patience=3, mode="min")
    with pytest.warns(UserWarning, match="will not produce"):
        model_of().fit(X, Y, epochs=4, verbose=0, callbacks=[stop])
    assert stop.best is None


@pytest.mark.usefixtures("hears_ctrl_c")
def test_divergence_and_ctrl_c_keep_what_was_seen(monkeypatch):
    """Epochs that were finished before have been gone through."""
    stop = callbacks.EarlyStopping("loss", patience=50, restore_best_weights=True)
    model = model_of(1e6)
    with pytest.raises(fastnn.TrainingDiverged):
        model.fit(X, Y, 8, 500, 0, callbacks=[stop])
    assert (
        stop.best == min(model.history.history.get("loss", [math.inf])) or not model.history.epoch
    )

    # It waits for longer than Ctrl-C does, also on a machine that reaches the lowest loss sooner.
    stop = callbacks.EarlyStopping("loss", patience=10**8, restore_best_weights=True)
    model = model_of(1e-4)
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    advance = loops.Fit._advancing

    def timed(self, run, **how):
        if not timer.is_alive() and timer.ident is None:  # the first native call
            timer.start()
        return advance(self, run, **how)

    monkeypatch.setattr(loops.Fit, "_advancing", timed)
    try:
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, Y, 8, 10**9, 0, callbacks=[stop])
    finally:
        timer.join()
    assert len(model.history.epoch) > 1
    assert stop.best == min(model.history.history["loss"])
    assert len(stop.best_weights) == len(model.get_weights())


def test_weights_that_are_in_no_graph():
    """The best weights have all of the model, in its order."""

    class Spare(fastnn.Model):
        def __init__(self):
            super().__init__()
            self.unused = fastnn.layers.Dense(2, input_shape=(3,))
            self.used = fastnn.layers.Dense(1)

        def call(self, inputs):
            return self.used(inputs)

    found = []
    for cls in (Called, callbacks.EarlyStopping):
        fastnn.utils.set_random_seed(5)
        model = Spare()
        model.compile(fastnn.optimizers.SGD(0.3), "mse")
        stop = cls("val_loss", patience=2, restore_best_weights=True)
        fitted(stop, model=model)
        found.append([w.tolist() for w in stop.best_weights])
    assert found[0] == found[1]


@pytest.mark.parametrize("cls", [c for c in travelling.CLASSES if c.has_parameters])
def test_the_best_weights_of_each_layer(cls):
    """The weights of the best epoch are in the shapes of the weights, whatever those of the network."""

    def ended(watch):
        fastnn.utils.set_random_seed(5)
        model, (x, *_) = travelling.of_class(cls)
        y = np.random.default_rng(1).normal(size=model.predict(x).shape)
        model.compile(fastnn.optimizers.Lion(0.05), "mse")
        rule = watch("loss", patience=1, restore_best_weights=True)
        assert len(model.fit(x, y, 4, 300, 0, callbacks=rule).epoch) < 300
        return model.get_weights(), rule.best_epoch

    weights, epoch = ended(callbacks.EarlyStopping)
    others, same_epoch = ended(Called)
    assert epoch == same_epoch
    for a, b in zip(weights, others, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_bad_watch_is_refused():
    model = model_of()
    table_rows = fastnn._core.Data(X, targets=Y)
    how = {"place": 1, "root": False, "more_is_better": False, "min_delta": 0.0, "first_epoch": 0}
    how |= {"patience": 1, "wait": 0, "best": None, "baseline": None}
    how |= {"keeps_best": False, "has_best": False}
    with model.network.run(table_rows, batch_size=8) as run:
        for more in ({}, {"place": -1}, {"terms": [(0, 2, 1.0)]}, {"terms": [(-1, 1, 1.0)]}):
            bad = {**how, "offset": 0.0, **({"place": 0} if "terms" in more else {}), **more}
            with pytest.raises(ValueError, match="watches: expected places among 2 sums"):
                run.advance(optimizer=model.optimizer.settings(), watches=[bad])
