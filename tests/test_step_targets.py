"""Targets (n,) beside outputs (n, 1) in what a user writes: they are matched, or an error, never (n, n)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, losses
from fastnn import math as f

RNG = np.random.default_rng(0)
N = 12
X = RNG.normal(size=(N, 4))
Y = RNG.normal(size=N)


def mean_squares(y: Any, y_pred: Any) -> Any:
    return f.reduce_mean(f.square(y - y_pred))


def model_of(cls: Any) -> Any:
    model = cls([layers.Dense(1, input_shape=(4,), dtype="float64")])
    model.compile(fastnn.optimizers.SGD(0.1), "mse")
    model.set_weights([np.arange(4.0)[:, None], np.ones(1)])
    return model


def stepped(model: Any) -> list[Any]:
    model.fit(X, Y, batch_size=N, epochs=2, shuffle=False, verbose=0)
    return list(model.get_weights())


WANT = stepped(model_of(fastnn.Sequential))


class Step(fastnn.Sequential):
    """A step of a model's own, with the loss that `lost` says."""

    lost: Any = None

    def train_step(self, data: Any) -> Any:
        x, y = data
        with fastnn.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = type(self).lost(self, y, y_pred)
        grads = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(grads, self.trainable_variables)
        return {"loss": loss}


RIGHT = {
    "compute_loss": lambda self, y, p: self.compute_loss(y=y, y_pred=p),
    "a loss of the package": lambda _, y, p: losses.MeanSquaredError()(y, p),
    "its function": lambda _, y, p: f.reduce_mean(losses.mean_squared_error(y, p)),
    "a function as a loss": lambda _, y, p: losses.get(mean_squares)(y, p),
    "outputs without their axis": lambda _, y, p: mean_squares(y, f.squeeze(p, -1)),
    "outputs by an index": lambda _, y, p: mean_squares(y, p[:, 0]),
    "targets with one": lambda _, y, p: mean_squares(f.expand_dims(y, -1), p),
    "targets with a new axis": lambda _, y, p: mean_squares(y[:, None], p),
    "targets in another shape": lambda _, y, p: mean_squares(f.reshape(y, (-1, 1)), p),
}


@pytest.mark.parametrize("name", RIGHT)
def test_steps_that_match_them(name: str) -> None:
    own = type("Own", (Step,), {"lost": RIGHT[name]})
    for got, want in zip(stepped(model_of(own)), WANT, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


WRONG = {
    "targets less outputs": lambda _, y, p: mean_squares(y, p),
    "outputs less targets": lambda _, y, p: mean_squares(p, y),
    "targets times outputs": lambda _, y, p: f.reduce_mean(y * p),
    "targets that were scaled": lambda _, y, p: mean_squares(2.0 * y, p),
    "outputs that were squashed": lambda _, y, p: mean_squares(y, f.tanh(p)),
}


@pytest.mark.parametrize("name", WRONG)
def test_steps_that_would_set_rows_against_each_other(name: str) -> None:
    """Before the update: weights stay as they are."""
    own = type("Own", (Step,), {"lost": WRONG[name]})
    model = model_of(own)
    before = model.get_weights()
    message = r"train_step: got y_true of shape \(12,\) and y_pred of shape \(12, 1\)"
    with pytest.raises(ValueError, match=message):
        stepped(model)
    with pytest.raises(ValueError, match=message):
        model.train_on_batch(X, Y)
    for got, want in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, want)


def test_weights_of_rows_are_followed() -> None:
    class Weighed(fastnn.Sequential):
        def train_step(self, data: Any) -> Any:
            x, y, w = data
            with fastnn.GradientTape() as tape:
                error = f.square(y[:, None] - self(x, training=True))
                loss = f.reduce_mean(w * error)
            self.optimizer.apply(tape.gradient(loss, self.trainable_variables))
            return {"loss": loss}

    with pytest.raises(ValueError, match=r"train_step: .*sample_weight of shape \(12,\)"):
        model_of(Weighed).fit(X, Y, sample_weight=np.ones(N), batch_size=N, verbose=0)


class OwnLoss(fastnn.Sequential):
    def compute_loss(self, y: Any = None, y_pred: Any = None, **_: Any) -> Any:
        assert y.shape == y_pred.shape
        return mean_squares(y, y_pred)


def test_compute_loss_gets_the_axes_of_the_outputs() -> None:
    for got, want in zip(stepped(model_of(OwnLoss)), WANT, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)
    model = model_of(OwnLoss)
    assert model.evaluate(X, Y, batch_size=N, verbose=0) == pytest.approx(
        model_of(fastnn.Sequential).evaluate(X, Y, verbose=0), rel=1e-12
    )


def test_test_step() -> None:
    class Tests(fastnn.Sequential):
        def test_step(self, data: Any) -> Any:
            x, y = data
            return {"loss": mean_squares(y, self(x, training=False))}

    with pytest.raises(ValueError, match=r"test_step: got y_true of shape \(12,\)"):
        model_of(Tests).evaluate(X, Y, batch_size=N, verbose=0)


def test_all_pairs_on_purpose() -> None:
    """A new axis says that all pairs are meant."""

    class Pairs(Step):
        @staticmethod
        def lost(_: Any, y: Any, p: Any) -> Any:
            same = y[:, None] - y[None, :]
            return f.reduce_mean(f.square(same - (p - f.transpose(p))))

    model = model_of(Pairs)
    history = model.fit(X, Y, batch_size=N, epochs=3, verbose=0).history["loss"]
    assert history[2] < history[0]


def test_a_loop_outside_of_fit_stays_free() -> None:
    """Nothing follows operations of a program that takes no step of a model."""
    y, p = fastnn.constant(Y), fastnn.constant(Y[:, None])
    assert (y - p).shape == (N, N)
