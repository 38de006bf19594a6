"""Threads that build and change one model at once, and forks meanwhile: nothing trained is lost."""

from __future__ import annotations

import copy
import gc
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cases
import numpy as np
import pytest

import fastnn
from fastnn import callbacks, initializers, layers, optimizers

X = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
Y = (X @ np.arange(5)).astype(np.float32)


class Slow(initializers.Initializer):
    """Zeros that take their time in all threads but the main one."""

    def __init__(self, seconds: float = 0.3) -> None:
        super().__init__()
        self.seconds = seconds
        self.begun = threading.Event()

    def _fill(self, place: Any, _key: int, _stream: int) -> None:
        self.begun.set()
        if threading.current_thread() is not threading.main_thread():
            time.sleep(self.seconds)
        place.write(np.zeros(place.shape, place.parameters.dtype))


def unbuilt(slow: Slow, *, compiled: bool = True) -> fastnn.Sequential:
    model = fastnn.Sequential([layers.Dense(1, kernel_initializer=slow)], seed=0)
    if compiled:
        model.compile(optimizers.SGD(0.1), "mse")
    return model


FIRST: dict[str, Callable[[fastnn.Sequential], Any]] = {
    "predict": lambda model: model.predict(X),
    "evaluate": lambda model: model.evaluate(X, Y, verbose=0),
    "build": lambda model: model.build((None, 5)),
    "value_and_grad": lambda model: model.value_and_grad(X, Y),
}


@pytest.mark.parametrize("first", FIRST)
def test_a_first_call_in_a_thread_keeps_what_fit_trains_in_another(first: str) -> None:
    slow = Slow()
    model = unbuilt(slow)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(FIRST[first], model)
        slow.begun.wait()
        model.fit(X, Y, epochs=100, verbose=0)
        trained = model.get_weights()
        # The call may have met the training, which it then says.
        error = other.exception()
        assert error is None or "in another thread" in str(error)
    assert all(np.array_equal(a, b) for a, b in zip(trained, model.get_weights(), strict=True))
    assert model.evaluate(X, Y, verbose=0) < 1e-6


def test_fit_waits_for_a_layer_that_is_being_added() -> None:
    """And then says that the model is another; nothing is trained and thrown away."""
    model = unbuilt(Slow(0))
    model.build((None, 5))
    begun = Slow()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(model.add, layers.Dense(1, kernel_initializer=begun))
        begun.begun.wait()
        with pytest.raises(RuntimeError, match="changed in another thread meanwhile"):
            model.fit(X, Y, epochs=2, verbose=0)
        other.result()
    assert len(model.layers) == 2
    assert not model.compiled


WRITES: dict[str, Callable[[fastnn.Sequential], Any]] = {
    "layer": lambda model: model.layers[0].set_weights([np.full((5, 1), 7), [7]]),
    "assign": lambda model: [w.assign(np.full(w.shape, 7)) for w in model.layers[0].weights],
}


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("write", WRITES)
def test_what_is_written_while_a_layer_is_added_stays(write: str, copied: bool) -> None:
    """Adding moves the values; those that come after the move would stay behind."""
    slow = Slow()
    model = fastnn.Sequential([layers.Dense(1, input_shape=(5,))], seed=0)
    model = copy.copy(model) if copied else model
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(model.add, layers.Dense(1, kernel_initializer=slow))
        slow.begun.wait()
        held = model.layers[0].weights
        WRITES[write](model)
        other.result()
    assert [w.numpy().tolist() for w in held] == [[[7.0]] * 5, [7.0]]
    assert model.layers[0].weights == held


def test_set_weights_waits_for_a_layer_that_is_being_added() -> None:
    slow = Slow()
    model = fastnn.Sequential([layers.Dense(1, input_shape=(5,))], seed=0)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(model.add, layers.Dense(1, kernel_initializer=slow))
        slow.begun.wait()
        with pytest.raises(ValueError, match="expected 4 arrays, got 2"):
            model.set_weights(model.get_weights())
        other.result()


def test_averages_are_taken_of_the_model_as_it_is() -> None:
    slow = Slow()
    model = fastnn.Sequential([layers.Dense(1, input_shape=(5,))], seed=0)
    model.compile(optimizers.SGD(0.1, use_ema=True), "mse")
    model.fit(X, Y, verbose=0)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(model.add, layers.Dense(1, kernel_initializer=slow))
        slow.begun.wait()
        with pytest.raises(RuntimeError, match=r"^take_averages: .* layers changed since compile"):
            model.take_averages()
        other.result()


def test_a_change_during_fit_is_refused() -> None:
    model = unbuilt(Slow(0))
    model.build((None, 5))
    told: list[str] = []

    class Change(callbacks.Callback):
        def on_epoch_end(self, _epoch: int, _logs: Any = None) -> None:
            with ThreadPoolExecutor(1) as pool:
                for call in (
                    lambda: model.add(layers.Dense(1)),
                    lambda: model.pop(),
                    lambda: model.compile("sgd", "mse"),
                    lambda: model.fit(X, Y, verbose=0),
                ):
                    told.append(str(pool.submit(call).exception()))

    model.fit(X, Y, verbose=0, callbacks=[Change()])
    assert len(told) == 4
    assert all("this model is in a fit" in text and "another thread" in text for text in told)


def test_many_threads_build_one_model() -> None:
    for _ in range(20):
        model = fastnn.Sequential([layers.Dense(300, "relu"), layers.Dense(2)], seed=4)
        model.compile("adam", "mse")
        wanted = fastnn.Sequential([layers.Dense(300, "relu"), layers.Dense(2)], seed=4)
        wanted.build((None, 5))
        barrier = threading.Barrier(6)

        def first(model: fastnn.Sequential, barrier: threading.Barrier, i: int) -> bytes:
            barrier.wait()
            if i == 0:
                model.build((None, 5))
            return model.predict(X).tobytes()

        with ThreadPoolExecutor(6) as pool:
            calls = [pool.submit(first, model, barrier, i) for i in range(6)]
            assert {call.result() for call in calls} == {wanted.predict(X).tobytes()}
        for variable, other in zip(model.weights, wanted.weights, strict=True):
            assert np.array_equal(variable.numpy(), other.numpy())


def test_predict_has_one_shape_while_layers_are_added() -> None:
    """A layer comes between the checks of the arguments and the network, as a thread may add it."""
    model = fastnn.Sequential([layers.Dense(8, input_shape=(5,))], seed=0)

    def late() -> Any:
        model.add(layers.Dense(4))
        yield from ()

    assert model.predict(X, callbacks=late()).shape == (64, 4)


def test_evaluate_names_the_values_of_its_own_network() -> None:
    """The model is compiled with other metrics before native code adds up."""
    model = fastnn.Sequential([layers.Dense(1, input_shape=(5,))], seed=0)
    model.compile("sgd", "mse", metrics=["mae"])
    loss, mae = model.evaluate(X, Y, verbose=0)
    again = callbacks.LambdaCallback(on_test_begin=lambda _: model.compile("sgd", "mae"))
    found = model.evaluate(X, Y, verbose=0, return_dict=True, callbacks=[again])
    assert found == {"loss": loss, "mae": mae}
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(mae)


def test_two_models_take_one_layer() -> None:
    for _ in range(50):
        layer = layers.Dense(3)
        models = [fastnn.Sequential([layers.Dense(4, input_shape=(5,))]) for _ in range(2)]
        barrier = threading.Barrier(2)

        def adding(model: fastnn.Sequential, barrier: threading.Barrier, layer: Any) -> None:
            barrier.wait()
            model.add(layer)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(adding, models, [barrier] * 2, [layer] * 2))
        assert layer.owner in models
        kernel, bias = layer.get_weights()
        for model in models:
            assert model.layers[1] is layer
            hidden = model.layers[0](X).numpy()
            np.testing.assert_allclose(model.predict(X), hidden @ kernel + bias, 1e-5, 1e-5)


def test_threads_add_layers_to_one_model() -> None:
    model = fastnn.Sequential([layers.Dense(4, input_shape=(5,))])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: model.add(layers.Dense(4)), range(20)))
    assert len({layer.name for layer in model.layers}) == 21
    assert model.predict(X).shape == (64, 4)


def test_a_model_of_a_child_of_a_fork_meanwhile() -> None:
    """Threads make, build and train models all the time; each child makes one too."""
    done = cases.python(
        """
import os, threading, time, signal
import numpy as np
import fastnn
from fastnn import layers

x, y = np.ones((8, 3), np.float32), np.arange(8) % 2

def work():
    model = fastnn.Sequential([layers.Dense(4)])
    model.compile("adam", "sparse_categorical_crossentropy")
    layers.Dense(3).build((None, 3))
    model.fit(x, y, verbose=0, validation_split=0.5)
    model.predict(x)
    model.add(layers.Dense(2))
    fastnn.utils.set_random_seed(1)

fastnn.utils.set_random_seed(1)  # the first call imports
stop = threading.Event()
def forever():
    while not stop.is_set():
        work()
threads = [threading.Thread(target=forever) for _ in range(3)]
for thread in threads:
    thread.start()
ended = []
for _ in range(60):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        work()
        os._exit(7)
    ended.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
stop.set()
for thread in threads:
    thread.join()
print(set(ended))
""",
        PYTHONWARNINGS="ignore::DeprecationWarning",
    )
    assert done.stdout.split() == ["{7}"], done.stdout + done.stderr


# -- memory ----------------------------------------------------------------------------------------


def test_models_are_freed_when_their_last_name_goes() -> None:
    """Without the help of the garbage collector, and also after a `fit` that failed."""
    gc.collect()
    gc.disable()
    try:
        model: Any = unbuilt(Slow(0))
        stopping = callbacks.EarlyStopping("loss", restore_best_weights=True)
        history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[stopping], validation_split=0.2)
        model.predict(X)
        predictor = model.predictor()
        assert history.model is model
        model.add(layers.Dense(1))
        gone = [weakref.ref(model), *(weakref.ref(layer) for layer in model.layers)]
        with pytest.raises(ValueError, match="nan"):
            model.predict(X * np.nan)
        del model
        assert [reference() for reference in gone] == [None] * 3
        assert predictor(X).shape == (64, 1)
        with pytest.raises(AttributeError, match="model of the callback is gone"):
            _ = history.model
    finally:
        gc.enable()


def test_memory_goes_back_to_the_system() -> None:
    done = cases.python(
        """
import numpy as np
import fastnn
from fastnn import layers

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

x, y = np.random.rand(64, 20), np.arange(64) % 3
most = 0
before = resident()
for i in range(8):
    model = fastnn.Sequential([
        layers.Dense(2400, "relu", input_shape=(20,)), layers.Dense(4800, "relu"), layers.Dense(3)])
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(x, y, verbose=0)
    most = max(most, resident())
del model
print(round(most - before), round(resident() - before))
"""
    )
    most, rest = map(int, done.stdout.split())
    # Weights of 46 MB, two moments, gradients, and a copy to go back to.
    assert most < 450, done.stdout
    assert rest < 40, done.stdout


def test_splits_of_many_sizes_take_little() -> None:
    model = unbuilt(Slow(0))
    x, y = np.ones((3000, 5), np.float32), np.zeros(3000, np.float32)
    for n in range(1000, 3000, 20):
        model.fit(x[:n], y[:n], batch_size=3000, validation_split=0.2, verbose=0)
    assert sum(bits.nbytes for bits in model._splits._held.values()) <= 100 * 3000 / 8
    model._splits.most = 1000
    model.fit(x, y, batch_size=3000, validation_split=0.2, verbose=0)
    assert sum(bits.nbytes for bits in model._splits._held.values()) <= 1000
