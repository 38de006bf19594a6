"""gradient_accumulation_steps: some batches for one update, natively, over the tape and in loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fastnn
from fastnn import _core, layers, optimizers

Array = NDArray[Any]

ROWS, BATCH, EVERY = 96, 8, 4
MAKE = {
    "sgd": lambda **how: optimizers.SGD(0.1, momentum=0.5, **how),
    "adam": lambda **how: optimizers.Adam(0.02, weight_decay=0.1, **how),
    "adagrad": lambda **how: optimizers.Adagrad(0.1, **how),
    "lamb": lambda **how: optimizers.Lamb(0.02, **how),
    "muon": lambda **how: optimizers.Muon(0.02, **how),
    "clipped": lambda **how: optimizers.SGD(0.1, global_clipnorm=0.05, **how),
    "an average": lambda **how: optimizers.Adam(0.02, use_ema=True, ema_momentum=0.5, **how),
}


def problem() -> tuple[Array, Array]:
    draw = np.random.default_rng(3)
    return draw.normal(size=(ROWS, 5)), draw.normal(size=(ROWS, 3))


def compiled(
    optimizer: Any, dtype: str = "float64", device: str = "cpu", loss: Any = "mse"
) -> fastnn.Sequential:
    model = fastnn.Sequential(
        [layers.Dense(7, "tanh", input_shape=(5,)), layers.Dense(3)], dtype=dtype, seed=5
    )
    model.compile(optimizer, loss, device=device)
    draw = np.random.default_rng(4)
    model.set_weights([draw.normal(size=w.shape) for w in model.get_weights()])
    return model


def fitted(model: fastnn.Sequential, batch: int, epochs: int = 2, **how: Any) -> list[Array]:
    x, y = problem()
    model.fit(x, y, batch_size=batch, epochs=epochs, shuffle=False, verbose=0, **how)
    return model.get_weights()


def assert_close(a: list[Array], b: list[Array], limit: float) -> None:
    for got, want in zip(a, b, strict=True):
        np.testing.assert_allclose(got, want, rtol=limit, atol=limit)


@pytest.mark.parametrize("name", MAKE)
def test_some_small_batches_are_one_large_batch(name: str) -> None:
    small = compiled(MAKE[name](gradient_accumulation_steps=EVERY))
    large = compiled(MAKE[name]())
    assert_close(fitted(small, BATCH), fitted(large, BATCH * EVERY), 1e-10)
    assert small.optimizer.iterations == large.optimizer.iterations == 6


@pytest.mark.parametrize("loss", ["mse", lambda y, p: fastnn.math.square(y - p)])
@pytest.mark.filterwarnings("ignore:.*Python code")
def test_averages_before_the_first_update(loss: Any) -> None:
    model = compiled(MAKE["an average"](gradient_accumulation_steps=ROWS // BATCH + 1), loss=loss)
    before = model.get_weights()
    assert_close(fitted(model, BATCH, 1), before, 0.0)
    model.take_averages()
    assert_close(model.get_weights(), before, 0.0)
    fitted(model, BATCH, 1)  # the first average is the weights themselves
    assert model.optimizer.iterations == 1
    assert not np.array_equal(model.get_weights()[0], before[0])


@pytest.mark.parametrize("name", ["adam", "lamb", "muon"])
def test_on_the_device(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    small = compiled(MAKE[name](gradient_accumulation_steps=EVERY), "float32", "cuda")
    assert_close(fitted(small, BATCH), fitted(compiled(MAKE[name]()), BATCH * EVERY), 1e-4)


def test_over_the_tape() -> None:
    def mse(y_true: Any, y_pred: Any) -> Any:
        return fastnn.math.square(y_true - y_pred)

    taped = compiled(MAKE["adam"](gradient_accumulation_steps=EVERY), loss=mse)
    with pytest.warns(UserWarning, match="Python code"):
        found = fitted(taped, BATCH)
    assert_close(found, fitted(compiled(MAKE["adam"]()), BATCH * EVERY), 1e-9)
    assert taped.optimizer.iterations == 6


def test_in_a_loop_of_ones_own() -> None:
    x, y = problem()
    model = compiled("sgd")
    optimizer = MAKE["adam"](gradient_accumulation_steps=EVERY)
    done = []
    for first in range(0, ROWS, BATCH):
        rows = slice(first, first + BATCH)
        with fastnn.GradientTape() as tape:
            loss = fastnn.math.reduce_mean(fastnn.math.square(model(x[rows]) - y[rows]))
        grads = tape.gradient(loss, model.trainable_variables)
        pairs = zip(grads, model.trainable_variables, strict=True)
        done.append(optimizer.apply_gradients(pairs))
    assert done == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3]
    assert_close(
        model.get_weights(), fitted(compiled(MAKE["adam"]()), BATCH * EVERY, epochs=1), 1e-9
    )


def test_what_is_gathered_stays_from_one_call_to_the_next(tmp_path: Path) -> None:
    """Also in a file: 5 batches of an epoch, 3 of them for the second update."""
    whole = compiled(MAKE["adam"](gradient_accumulation_steps=EVERY))
    parts = compiled(MAKE["adam"](gradient_accumulation_steps=EVERY))
    x, y = problem()
    for first in range(0, ROWS, BATCH):
        rows = slice(first, first + BATCH)
        whole.train_on_batch(x[rows], y[rows])
        parts.train_on_batch(x[rows], y[rows])
        if first == 4 * BATCH:
            assert parts.optimizer.iterations == 1
            parts.save(tmp_path / "m.safetensors")
            parts = fastnn.load_model(tmp_path / "m.safetensors")
            assert parts.optimizer.iterations == 1
            assert parts.optimizer.gradient_accumulation_steps == EVERY
    for a, b in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_files_keep_what_a_loop_has_gathered(tmp_path: Path) -> None:
    x, y = problem()
    model = compiled(MAKE["adam"](gradient_accumulation_steps=EVERY))
    found = []
    for saves in (False, True):
        model = compiled(MAKE["adam"](gradient_accumulation_steps=EVERY))
        for step in range(8):
            with fastnn.GradientTape() as tape:
                loss = fastnn.math.reduce_mean(fastnn.math.square(model(x) - y)) * (step + 1)
            grads = tape.gradient(loss, model.trainable_variables)
            model.optimizer.apply(grads, model.trainable_variables)
            if saves and step == 5:
                model.save(tmp_path / "m.safetensors")
                model = fastnn.load_model(tmp_path / "m.safetensors")
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("limit", [None, 0.1])
def test_batches_that_are_divided_by_their_own_weight(limit: float | None) -> None:
    x, y = problem()
    weight = np.random.default_rng(6).uniform(0, 5, ROWS)
    loss = fastnn.losses.MeanSquaredError(reduction="mean_with_sample_weight")
    optimizer = optimizers.SGD(0.1, gradient_accumulation_steps=2, global_clipnorm=limit)
    model = compiled(optimizer, loss=loss)
    before = model.get_weights()
    half = ROWS // 2
    halves = [
        model.value_and_grad(x[rows], y[rows], sample_weight=weight[rows])[1]
        for rows in (slice(half), slice(half, None))
    ]
    mean = [(a + b) / 2 for a, b in zip(*halves, strict=True)]
    norm = np.sqrt(sum((g**2).sum() for g in mean))
    share = 1.0 if limit is None else min(1.0, limit / norm)
    model.fit(x, y, sample_weight=weight, batch_size=half, shuffle=False, verbose=0)
    expected = [w - 0.1 * share * g for w, g in zip(before, mean, strict=True)]
    assert_close(model.get_weights(), expected, 1e-12)


def test_schedules_count_batches() -> None:
    """As in Keras: an update takes the rate of its last batch."""
    rates: list[int] = []

    def rate(step: Any) -> Any:
        rates.append(int(step))
        return 0.0 if step % EVERY == EVERY - 1 else 1.0

    model = compiled(optimizers.SGD(rate, gradient_accumulation_steps=EVERY))
    before = model.get_weights()
    for a, b in zip(fitted(model, BATCH), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert max(rates) == 2 * ROWS // BATCH - 1


def test_iterations_may_be_set() -> None:
    optimizer = optimizers.SGD(gradient_accumulation_steps=3)
    optimizer.iterations = 5
    assert (optimizer.iterations, optimizer.taken) == (5, 15)
    with pytest.raises((TypeError, ValueError), match="iterations: expected an integer"):
        optimizer.iterations = -1


@pytest.mark.parametrize("session", ["streaming", "tiled"])
def test_sessions_that_step_early_refuse_it(session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_SESSION", session)
    with pytest.raises(ValueError, match="which gradient_accumulation_steps needs"):
        fitted(compiled(MAKE["sgd"](gradient_accumulation_steps=2)), BATCH)
