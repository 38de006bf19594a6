"""Models that share layers, used by several threads, interrupted at any line, and on a GPU."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from interrupted import everywhere

import fastnn
from fastnn import _core, callbacks, initializers, layers, optimizers

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
Y = np.arange(40) % 3
HOW = ("adam", "sparse_categorical_crossentropy")


def pair(**options: Any) -> tuple[fastnn.Model, fastnn.Model]:
    """An inner model, and one that it is a part of; both are compiled."""
    inner = fastnn.Sequential([layers.Dense(3, input_shape=(4,))], name="inner", seed=1)
    inputs = fastnn.Input((4,))
    outer = fastnn.Model(inputs, layers.Dense(3)(inner(inputs)), name="outer", seed=2)
    inner.compile(*HOW, **options)
    outer.compile(*HOW, **options)
    return inner, outer


def by_hand(inner: fastnn.Model, outer: fastnn.Model) -> tuple[Any, Any]:
    """Outputs of both, by the Variables."""
    w = [np.float64(v.numpy()) for v in outer.weights]
    assert [v.numpy().tobytes() for v in inner.weights] == [
        v.numpy().tobytes() for v in outer.weights[:2]
    ]
    hidden = X @ w[0] + w[1]
    return hidden, hidden @ w[2] + w[3]


def check(inner: fastnn.Model, outer: fastnn.Model) -> None:
    """Every model has the numbers of the Variables."""
    for model, want in zip((inner, outer), by_hand(inner, outer), strict=True):
        np.testing.assert_allclose(model.predict(X), want, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(model(X).numpy(), want, rtol=1e-4, atol=1e-5)


# -- threads ---------------------------------------------------------------------------------------


def test_predict_in_threads_beside_writes() -> None:
    """Each result is of weights that were there at one moment: the kernel holds one number."""
    layer = layers.Dense(100_000, use_bias=False, input_shape=(4,))
    inner = fastnn.Sequential([layer])
    models = [fastnn.Sequential([inner]) for _ in range(2)]
    layer.kernel.assign(np.zeros((4, 100_000)))
    assert layer.owner is inner
    stop = threading.Event()
    x = np.ones((1, 4), np.float32)

    def read(model: fastnn.Model) -> int:
        count = 0
        while not stop.is_set():
            found = model.predict(x)
            assert (found == found[0, 0]).all()
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(read, model) for model in models * 2]
        try:
            for i in range(200):
                layer.kernel.assign(np.full((4, 100_000), i))
        finally:
            stop.set()
        assert all(call.result() > 0 for call in calls)
    for model in (*models, inner):
        assert (model.predict(x) == 4 * 199).all()


def test_models_train_and_predict_in_threads() -> None:
    """Calls are refused while another model trains the layers, or right; nothing waits for ever."""
    inner, outer = pair()
    errors: list[str] = []

    def work(i: int) -> None:
        for k in range(60):
            model = (inner, outer)[(i + k) % 2]
            try:
                if i < 2:
                    model.train_on_batch(X, Y)
                elif k % 2:
                    assert np.isfinite(model.predict(X)).all()
                else:
                    model.evaluate(X, Y, verbose=0)
            except RuntimeError as error:
                errors.append(str(error))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    allowed = ("another model that shares layers is being trained", "in another thread")
    assert all(any(text in error for text in allowed) for error in errors), set(errors)
    check(inner, outer)
    assert inner.network.steps + outer.network.steps <= 120


def test_a_model_in_training_keeps_its_layers() -> None:
    inner, outer = pair()
    told: dict[str, str] = {}

    class Meanwhile(callbacks.Callback):
        def on_epoch_end(self, _epoch: int, _logs: Any = None) -> None:
            def others() -> None:
                for name, call in CALLS.items():
                    try:
                        call(inner)
                        told[name] = ""
                    except RuntimeError as error:
                        told[name] = str(error)

            inner.predict(X)  # this thread's own callbacks may
            with ThreadPoolExecutor(1) as pool:
                pool.submit(others).result()

    outer.fit(X, Y, verbose=0, callbacks=[Meanwhile()])
    message = "another model that shares layers is being trained in another thread: 'outer' has"
    assert set(told) == set(CALLS)
    for name, text in told.items():
        assert message in text, name
    check(inner, outer)


CALLS: dict[str, Callable[[fastnn.Model], Any]] = {
    "fit": lambda model: model.fit(X, Y, verbose=0),
    "train_on_batch": lambda model: model.train_on_batch(X, Y),
    "predict": lambda model: model.predict(X),
    "call": lambda model: model(X),
    "evaluate": lambda model: model.evaluate(X, Y, verbose=0),
    "value_and_grad": lambda model: model.value_and_grad(X, Y),
    "predictor": lambda model: model.predictor(),
    "set_weights": lambda model: model.set_weights(model.get_weights()),
}


class Slow(initializers.Initializer):
    """Zeros that take their time in all threads but the main one."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    def _fill(self, place: Any, _key: int, _stream: int) -> None:
        self.begun.set()
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.2)
        place.write(np.zeros(place.shape, place.parameters.dtype))


def test_training_of_a_part_while_the_whole_is_built() -> None:
    """What is trained meanwhile is in both."""
    inner = fastnn.Sequential([layers.Dense(3, input_shape=(4,))], seed=1)
    inner.compile(*HOW)
    slow = Slow()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(
            fastnn.Sequential, [inner, layers.Dense(3, kernel_initializer=slow)], seed=2
        )
        slow.begun.wait()
        inner.fit(X, Y, epochs=5, verbose=0)
        trained = inner.get_weights()
        outer = other.result()
    for a, b in zip(trained, outer.get_weights()[:2], strict=True):
        np.testing.assert_array_equal(a, b)
    check(inner, outer)


def test_two_threads_build_models_of_one_part() -> None:
    for _ in range(20):
        inner = fastnn.Sequential([layers.Dense(3)], name="inner")
        models = [fastnn.Sequential([inner, layers.Dense(3)], seed=i) for i in range(3)]
        barrier = threading.Barrier(4)

        def first(model: fastnn.Model, barrier: threading.Barrier) -> None:
            barrier.wait()
            model.predict(X)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(first, [*models, inner], [barrier] * 4))
        for model in models:
            check(inner, model)


# -- interruptions ---------------------------------------------------------------------------------


class Net(fastnn.Model):
    """A class with a model in it, which is built with it."""

    def __init__(self) -> None:
        super().__init__(name="outer", seed=2)
        self.inner = fastnn.Sequential([layers.Dense(3)], name="inner", seed=1)
        self.head = layers.Dense(3)
        self.compile(*HOW)

    def call(self, inputs: Any) -> Any:
        return self.head(self.inner(inputs))


def state(models: tuple[fastnn.Model, fastnn.Model]) -> dict[str, Any]:
    """What a change may replace, as its user sees it; whatever does not fit together fails."""
    inner, outer = models
    if not outer.built:
        assert not inner.built
        assert outer.weights == []
        return {"built": False}
    check(inner, outer)
    assert outer.get_layer("inner") is inner
    assert [v.path for v in outer.weights] == [
        *("outer/inner/dense/kernel", "outer/inner/dense/bias"),
        *("outer/dense/kernel", "outer/dense/bias"),
    ]
    owners = {layer.owner for layer in inner.layers}
    assert owners <= {inner, outer}
    return {
        "weights": [v.numpy().tobytes() for v in outer.weights],
        "outer": outer.evaluate(X, Y, verbose=0),
    }


def net() -> tuple[fastnn.Model, fastnn.Model]:
    made = Net()
    return made.inner, made


CHANGES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "build": (net, lambda models: models[1].build((None, 4))),
    "predict": (net, lambda models: models[1].predict(X)),
    "predict of a part": (pair, lambda models: models[0].predict(X)),
    "set_weights": (
        pair,
        lambda models: models[1].set_weights([np.full(v.shape, 2.0) for v in models[1].weights]),
    ),
}


# They go through the same lines as others of the list, and take seconds.
LONG = {"build", "predict"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(change, marks=pytest.mark.slow) if change in LONG else change
        for change in CHANGES
    ],
)
def test_all_old_or_all_new(change: str) -> None:
    start, call = CHANGES[change]
    done = start()
    before = state(done)
    call(done)
    after = state(done)
    for made in everywhere(start, call, step=3):
        now = state(made)
        assert now in (before, after)
        call(made)  # the models can be used still
        assert state(made) == after


@pytest.mark.parametrize("first", [0, 1])
def test_a_step_that_takes_over(first: int) -> None:
    """Interrupted at any line, it was made or not, in all models."""

    def start() -> tuple[fastnn.Model, fastnn.Model]:
        models = pair()
        models[1 - first].train_on_batch(X, Y)
        return models

    def call(models: Any) -> None:
        models[first].train_on_batch(X, Y)

    done = start()
    before = state(done)
    call(done)
    after = state(done)
    found = []
    for made in everywhere(start, call, step=3):
        now = state(made)
        assert now in (before, after)
        found.append(now == after)
        steps = made[first].network.steps
        call(made)
        assert made[first].network.steps == steps + 1
        check(*made)
    assert not found[0]
    assert found[-1]


@pytest.mark.slow
def test_making_a_model_of_parts() -> None:
    """The parts are free for another model, or have their home in this one."""

    def start() -> tuple[fastnn.Model, list[Any]]:
        inner = fastnn.Sequential([layers.Dense(3, input_shape=(4,))], seed=1)
        return inner, [inner, layers.Dense(3, name="head")]

    for inner, parts in everywhere(start, lambda made: fastnn.Sequential(made[1], name="gone")):
        outer = fastnn.Sequential(parts, name="outer")
        assert outer.layers == parts
        assert outer.weights[2].path == "outer/head/kernel"
        assert outer.weights[0].path == "outer/sequential/dense/kernel"
        check(inner, outer)


def test_between_any_two_instructions() -> None:
    def start() -> tuple[fastnn.Model, fastnn.Model]:
        models = pair()
        models[0].train_on_batch(X, Y)
        return models

    with warnings.catch_warnings():
        for made in everywhere(
            start, lambda models: models[1].train_on_batch(X, Y), opcodes=True, step=37
        ):
            check(*made)
            made[0].train_on_batch(X, Y)
            made[1].train_on_batch(X, Y)
            check(*made)


# -- on a GPU --------------------------------------------------------------------------------------


@pytest.mark.parametrize("session", ["plain", "generic", "resident"])
def test_on_the_device(
    session: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models that take turns there train as on the CPU; one of them may be on the CPU."""
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    monkeypatch.setenv("FASTNN_SESSION", session)

    def made(inner_device: str, outer_device: str) -> tuple[fastnn.Model, fastnn.Model]:
        inner, outer = pair()
        for model, device in ((inner, inner_device), (outer, outer_device)):
            kind = session if device == "cuda" else "plain"
            monkeypatch.setenv("FASTNN_SESSION", kind)
            model.compile(optimizers.SGD(0.1, momentum=0.9), HOW[1], device=device)
        return inner, outer

    for devices in (("cuda", "cuda"), ("cpu", "cuda"), ("cuda", "cpu")):
        inner, outer = made(*devices)
        inner_, outer_ = made("cpu", "cpu")
        for _ in range(3):
            for a, b in ((inner, inner_), (outer, outer_), (outer, outer_)):
                assert a.train_on_batch(X, Y) == pytest.approx(b.train_on_batch(X, Y), rel=1e-4)
            np.testing.assert_allclose(inner.predict(X), inner_.predict(X), rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(outer.predict(X), outer_.predict(X), rtol=1e-3, atol=1e-4)
        check(inner, outer)


def test_averages_on_the_device(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    found = []
    for device in ("cpu", "cuda"):
        inner, outer = pair()
        inner.compile(optimizers.SGD(0.1), HOW[1], device=device)
        outer.compile(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), HOW[1], device=device)
        for _ in range(3):
            inner.train_on_batch(X, Y)
            outer.train_on_batch(X, Y)
        outer.take_averages()
        check(inner, outer)
        found.append(outer.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
