"""Many networks by one call: each as by its own fit, to the bit, whatever else trains beside it."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _core, layers
from fastnn.callbacks import EarlyStopping, LambdaCallback, TimeLimit
from fastnn.training import abreast

N, COLUMNS = 240, 12


def data() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, COLUMNS)).astype(np.float32)
    return x, (x[:, 0] + 0.5 * x[:, 1] > 0).astype(int) + (x[:, 2] > 1)


def made(seed: int, kind: str = "plain", optimizer: Any = "adam") -> fastnn.Sequential:
    hidden: list[Any] = [layers.Dense(8 + seed, "relu"), layers.Dropout(0.2)]
    if kind == "batch":
        hidden.append(layers.BatchNormalization())
    model = fastnn.Sequential([fastnn.Input((COLUMNS,)), *hidden, layers.Dense(3)], seed=seed)
    rng = np.random.default_rng(seed)
    model.set_weights([w + rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def assert_same(model: Any, history: Any, alone: Any, wanted: Any) -> None:
    for one, other in zip(model.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert history.history == wanted.history
    assert history is model.history


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("kind", ["plain", "batch"])
def test_as_each_alone(kind: str, threads: int) -> None:
    x, y = data()
    models = [made(seed, kind) for seed in range(5)]
    given = {"epochs": 4, "batch_size": 16, "validation_split": 0.25}
    found = fastnn.fit_many(models, x, y, threads=threads, **given)
    for seed, (model, history) in enumerate(zip(models, found, strict=True)):
        alone = made(seed, kind)
        assert_same(model, history, alone, alone.fit(x, y, verbose=0, **given))


@pytest.mark.parametrize("threads", [1, 3])
def test_rows_of_each(threads: int) -> None:
    x, y = data()
    weights = np.random.default_rng(1).random(N)
    folds = np.arange(N) % 4
    models = [made(seed) for seed in range(4)]
    found = fastnn.fit_many(
        models,
        x,
        y,
        epochs=3,
        sample_weight=weights,
        class_weight={0: 1.0, 1: 2.0, 2: 3.0},
        rows=[folds != k for k in range(4)],
        validation_rows=[np.flatnonzero(folds == k) for k in range(4)],
        threads=threads,
    )
    for k, (model, history) in enumerate(zip(models, found, strict=True)):
        alone, mine = made(k), folds != k
        wanted = alone.fit(
            x[mine],
            y[mine],
            epochs=3,
            verbose=0,
            sample_weight=weights[mine],
            class_weight={0: 1.0, 1: 2.0, 2: 3.0},
            validation_data=(x[~mine], y[~mine]),
        )
        assert_same(model, history, alone, wanted)


def test_what_differs_between_models() -> None:
    x, y = data()
    own = [{"epochs": 2}, {"epochs": 5, "batch_size": 64}, {"x": x[:50], "y": y[:50], "epochs": 1}]
    models = [made(seed, optimizer=fastnn.optimizers.SGD(0.1 * (seed + 1))) for seed in range(3)]
    stop = lambda number: [EarlyStopping("loss", patience=number)]
    found = fastnn.fit_many(models, x, y, each=own, callbacks=stop, threads=2)
    for seed, (model, history) in enumerate(zip(models, found, strict=True)):
        alone = made(seed, optimizer=fastnn.optimizers.SGD(0.1 * (seed + 1)))
        given = {"x": x, "y": y, **own[seed]}
        wanted = alone.fit(**given, verbose=0, callbacks=stop(seed))
        assert_same(model, history, alone, wanted)


def test_what_trains_over_the_tape() -> None:
    x, y = data()

    def loss(y: Any, outputs: Any) -> Any:
        del y
        return fastnn.math.reduce_mean((outputs - 1.0) ** 2)

    def own(seed: int) -> Any:
        model = made(seed)
        model.compile("sgd", loss)
        return model

    models = [own(seed) for seed in range(2)]
    with pytest.warns(fastnn.TapeWarning):
        found = fastnn.fit_many(models, x, y, rows=[range(100), range(100, 200)], threads=2)
    for k, (model, history) in enumerate(zip(models, found, strict=True)):
        alone = own(k)
        part = slice(100 * k, 100 * k + 100)
        with pytest.warns(fastnn.TapeWarning):
            wanted = alone.fit(x[part], y[part], verbose=0)
        assert_same(model, history, alone, wanted)


def test_mistakes() -> None:
    x, y = data()
    one, other = made(0), made(1)
    with pytest.raises(ValueError, match="different models"):
        fastnn.fit_many([one, one], x, y)
    with pytest.raises(
        ValueError, match="rows: expected one entry for each of the 2 models, got 1"
    ):
        fastnn.fit_many([one, other], x, y, rows=[[0]])
    with pytest.raises(
        ValueError, match=r"rows: expected indices in \[0, 240\), got 0 to 240"
    ) as told:
        fastnn.fit_many([one, other], x, y, rows=[[0, 1], [0, 240]], threads=1)
    assert told.value.__notes__ == ["in model 1 of fit_many"]
    with pytest.raises(ValueError, match="validation_split: is not taken beside rows"):
        fastnn.fit_many([one], x, y, rows=[[0, 1]], validation_split=0.5)
    with pytest.raises(RuntimeError, match="compile"):
        fastnn.fit_many([fastnn.Sequential([layers.Dense(1)])], x, y)
    assert fastnn.fit_many([], x, y) == []
    for wrong, message in (
        (one, "expected a list of compiled models.*of one model use its fit"),
        (made, "expected a list of compiled models"),
        ([one, "other"], "expected compiled models, got 'other' as number 1"),
    ):
        with pytest.raises(TypeError, match=f"^models: {message}"):
            fastnn.fit_many(wrong, x, y)
    assert len(fastnn.fit_many((made(seed) for seed in range(2)), x, y)) == 2


def test_one_that_fails_ends_the_others() -> None:
    x, y = data()
    models = [made(0), made(1)]
    each = [{"epochs": 10**8}, {"y": y + 5}]
    begun = time.monotonic()
    with pytest.raises(ValueError, match=r"y: expected integers in \[0, 3\)"):
        fastnn.fit_many(models, x, y, each=each, threads=2)
    assert time.monotonic() - begun < 20
    assert 0 < len(models[0].history.epoch) < 10**8


@pytest.mark.usefixtures("hears_ctrl_c")
def test_a_thread_that_fails_between_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    """It had taken a training, which never ends; `fit_many` raises its error and does not wait."""

    class Fails(abreast._Thread[Any]):
        def _begin(self) -> bool:
            self._work.take()
            raise MemoryError

    monkeypatch.setattr(abreast, "_Thread", Fails)
    x, y = data()
    with pytest.raises(MemoryError):
        fastnn.fit_many([made(seed) for seed in range(4)], x, y, threads=2)


def test_an_interrupt_ends_all_and_keeps_their_weights() -> None:
    x, y = data()
    models = [made(0), made(1), made(2)]

    def interrupt(epoch: int, logs: Any) -> None:
        del logs
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fastnn.fit_many(
            models,
            x,
            y,
            epochs=10**8,
            callbacks=lambda k: [LambdaCallback(on_epoch_end=interrupt)] if k == 1 else [],
            threads=2,
        )
    assert len(models[1].history.epoch) >= 4
    assert all(np.isfinite(w).all() for model in models for w in model.get_weights())
    assert models[2].history is None  # it did not begin


def test_a_limit_of_each() -> None:
    x, y = data()
    models = [made(seed) for seed in range(3)]
    limits = lambda _: [TimeLimit(0.05)]
    found = fastnn.fit_many(models, x, y, epochs=10**8, callbacks=limits, threads=2)
    assert all(0 < len(history.epoch) < 10**8 for history in found)


def test_a_failure_ends_long_native_training_soon() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20000, 64)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)

    def wide(seed: int) -> fastnn.Sequential:
        stack = [fastnn.Input((64,)), layers.Dense(256, "relu"), layers.Dense(2)]
        model = fastnn.Sequential(stack, seed=seed)
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    models = [wide(0), wide(1)]
    with pytest.raises(ValueError, match="y: expected integers in"):
        fastnn.fit_many(models, x, y, each=[{"epochs": 3000}, {"y": y + 5}], threads=2)
    assert len(models[0].history.epoch) < 1000


@pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")
@pytest.mark.parametrize("chooses", [False, True])
def test_several_inputs_and_outputs(chooses: bool) -> None:
    x, y = data()

    def two(seed: int) -> fastnn.Model:
        fastnn.utils.set_random_seed(seed)
        one, other = fastnn.Input((COLUMNS,)), fastnn.Input((COLUMNS,))
        hidden = layers.Concatenate()([layers.Dense(5, "relu")(one), other])
        model = fastnn.Model([one, other], [layers.Dense(3)(hidden), layers.Dense(1)(hidden)])
        model.compile("adam", ["sparse_categorical_crossentropy", "mse"])
        return model

    mine = np.arange(N) % 3 > 0
    models = [two(0), two(1)]
    given: dict[str, Any] = {"rows": [mine, ~mine]} if chooses else {}
    found = fastnn.fit_many(models, [x, x], [y, x[:, 0]], epochs=2, threads=2, **given)
    for k, (model, history) in enumerate(zip(models, found, strict=True)):
        alone = two(k)
        part = (mine if k == 0 else ~mine) if chooses else np.ones(N, bool)
        wanted = alone.fit([x[part]] * 2, [y[part], x[part, 0]], epochs=2, verbose=0)
        assert_same(model, history, alone, wanted)


def test_a_mask_is_of_all_rows() -> None:
    x, y = data()
    with pytest.raises(ValueError, match=r"rows: expected a mask of 240 rows, got .* \(10,\)"):
        fastnn.fit_many([made(0)], x, y, rows=[np.ones(10, bool)])


def test_one_block_of_a_device_each(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small networks on a GPU: each is a block on a stream of its own."""
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    monkeypatch.setenv("FASTNN_DEVICE", "cuda")
    monkeypatch.setenv("FASTNN_SESSION", "resident")
    x, y = data()

    def small(seed: int) -> fastnn.Sequential:
        model = fastnn.Sequential(
            [layers.Dense(6 + seed, "relu", input_shape=(COLUMNS,)), layers.Dense(3)], seed=seed
        )
        model.compile("adam", "sparse_categorical_crossentropy")
        assert model.session(16) == "resident"
        return model

    models = [small(seed) for seed in range(5)]
    given: dict[str, Any] = {"epochs": 2, "batch_size": 16}
    found = fastnn.fit_many(models, x, y, threads=3, **given)
    for seed, (model, history) in enumerate(zip(models, found, strict=True)):
        alone = small(seed)
        assert_same(model, history, alone, alone.fit(x, y, verbose=0, **given))
