"""steps_per_epoch, validation_steps and steps with arrays: against steps made one by one."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import callbacks, layers, metrics, optimizers

RNG = np.random.default_rng(1)
N = 50
X = RNG.normal(size=(N, 4))
Y = RNG.normal(size=(N, 2))
EPOCHS = 6


class Forced(fastnn.Sequential):
    """Training over the tape."""

    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


def made(cls: Any = fastnn.Sequential, **how: Any) -> Any:
    model = cls([layers.Dense(5, "tanh"), layers.Dense(2)], seed=1, dtype="float64")
    model.compile(optimizers.SGD(0.2), "mse", **how)
    return model


def by_hand(size: int, steps: int) -> tuple[list[float], list[Any]]:
    """Losses of the epochs, and the weights after them."""
    model = made()
    found = []
    whole = math.ceil(N / size)
    at = 0
    for _ in range(EPOCHS):
        total = rows = 0.0
        for _ in range(steps):
            part = slice(at * size, (at + 1) * size)
            total += model.train_on_batch(X[part], Y[part]) * len(X[part])
            rows += len(X[part])
            at += 1
            if at == whole:  # the rows end, and so does the epoch
                at = 0
                break
        found.append(total / rows)
    return found, model.get_weights()


@pytest.mark.parametrize("way", ["native", "with hooks", "over a tape", "collecting"])
@pytest.mark.parametrize(("size", "steps"), [(8, 3), (8, 7), (8, 9), (16, 1), (None, 5), (None, 6)])
def test_epochs_go_on_through_the_rows(size: int | None, steps: int, way: str) -> None:
    each = size or math.ceil(N / steps)
    wanted, weights = by_hand(each, steps)
    model = made(
        Forced if way == "over a tape" else fastnn.Sequential,
        metrics=[rows_seen] if way == "collecting" else [],
    )
    hooks = callbacks.LambdaCallback(on_train_batch_end=lambda _batch, _logs: None)
    listeners = [hooks] if way == "with hooks" else []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        history = model.fit(
            X, Y, size, EPOCHS, 0, listeners, shuffle=False, steps_per_epoch=steps
        ).history
    np.testing.assert_allclose(history["loss"], wanted, rtol=1e-9)
    for a, b in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    whole = math.ceil(N / each)
    short = steps > whole or (whole % steps != 0 and math.ceil(whole / steps) <= EPOCHS)
    assert ["steps_per_epoch" in str(one.message) for one in told] == [True] * short
    if way == "collecting":
        lengths = [min(steps, whole - k % math.ceil(whole / steps) * steps) for k in range(EPOCHS)]
        assert history["rows_seen"][0] == min(lengths[0] * each, N)


def rows_seen(y_true: Any, y_pred: Any) -> Any:  # noqa: ARG001
    return float(len(y_true))


class Recorder(metrics.Metric):
    """The targets that it was given, batch by batch."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self.seen: list[Any] = []

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # noqa: ARG002
        self.seen.append(np.asarray(y_true)[:, 0])

    def result(self) -> Any:
        return 0.0


@pytest.mark.parametrize("cls", [fastnn.Sequential, Forced])
def test_each_row_comes_once_in_a_pass(cls: Any) -> None:
    model = made(cls, metrics=[recorder := Recorder()])
    recorder.seen.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, Y, 8, 6, 0, steps_per_epoch=3)  # two passes of 7 steps
    whole = [part for part in recorder.seen if part.size in (8, 2)][-14:]
    for some in (whole[:7], whole[7:]):
        np.testing.assert_array_equal(np.sort(np.concatenate(some)), np.sort(Y[:, 0]))
    assert not np.array_equal(np.concatenate(whole[:7]), np.concatenate(whole[7:]))


@pytest.mark.parametrize("cls", [fastnn.Sequential, Forced])
def test_first_batches_are_evaluated(cls: Any) -> None:
    model = made(cls)
    history = model.fit(
        X, Y, 8, 2, 0, steps_per_epoch=2, validation_data=(X, Y), validation_steps=3
    ).history
    wanted = model.evaluate(X[:24], Y[:24], verbose=0)
    assert history["val_loss"][-1] == pytest.approx(wanted)
    assert model.evaluate(X, Y, 8, 0, steps=3) == pytest.approx(wanted)
    assert model.evaluate(X, Y, verbose=0, steps=3) == pytest.approx(
        model.evaluate(X, Y, verbose=0)
    )
    np.testing.assert_array_equal(model.predict(X, 8, steps=2), model.predict(X[:16]))
    np.testing.assert_array_equal(model.predict(X, steps=2), model.predict(X))
    with pytest.raises(ValueError, match="steps_per_epoch: expected"):
        model.fit(X, Y, verbose=0, steps_per_epoch=0)
