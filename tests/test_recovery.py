"""What a model is after something went wrong: divergence, forks, calls that meet each other.

Programs that could hang or crash run in an interpreter of their own. How errors are worded is
looked at in test_bad_input.py, threads that behave in test_threads.py.
"""

import sys
import threading

import cases
import numpy as np
import pytest

import fastnn
from fastnn import layers, losses, optimizers

START = """
import os, threading, time
import numpy as np
import fastnn
from fastnn import layers
rng = np.random.default_rng(0)
x, y = rng.normal(size=(256, 16)), rng.integers(0, 3, 256)
def network():
    model = fastnn.Sequential([layers.Input((16,)), layers.Dense(32, "relu"), layers.Dense(3)])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model
"""


def run(program):
    done = cases.python(START + program, FASTNN_NUM_THREADS="2")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()


def regression(rng, rate=0.01):
    x = rng.normal(size=(64, 4))
    model = fastnn.Sequential([layers.Input((4,)), layers.Dense(8, "tanh"), layers.Dense(1)])
    model.compile(optimizers.SGD(rate), "mse")
    return model, x, x.sum(axis=1)


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


def test_a_fit_that_diverges_gives_back_what_the_one_before_learnt(rng):
    model, x, y = regression(rng)
    model.fit(x, y, epochs=20, verbose=0)
    learnt = model.get_weights()
    model.optimizer.learning_rate = 1e30
    with pytest.raises(fastnn.TrainingDiverged) as caught:
        model.fit(x, y, epochs=5, verbose=0)
    assert not np.isfinite(caught.value.loss)
    assert same(model.get_weights(), learnt)


def test_weights_spoilt_by_the_very_last_step_are_said(rng):
    model, x, y = regression(rng, rate=3e38)
    before = model.get_weights()
    with pytest.raises(fastnn.TrainingDiverged, match="weight"):
        model.fit(x, 1e6 * y, batch_size=64, epochs=1, verbose=0)
    assert same(model.get_weights(), before)


def test_a_batch_larger_than_any_data_is_all_of_them(rng):
    model, x, y = regression(rng)
    twin, _, _ = regression(rng)
    twin.set_weights(model.get_weights())
    model.fit(x, y, batch_size=2**62, verbose=0, shuffle=False)
    twin.fit(x, y, batch_size=64, verbose=0, shuffle=False)
    assert same(model.get_weights(), twin.get_weights())


@pytest.mark.parametrize("weight", [1e-40, 1e-60, 1e39, -1.0, np.nan])
def test_row_weights_that_float_cannot_divide_by(rng, weight):
    model, x, y = regression(rng)
    weights = np.ones(64)
    weights[7] = weight
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"sample_weight.*row 7"):
        model.fit(x, y, sample_weight=weights, verbose=0)
    assert same(model.get_weights(), before)


def test_a_cross_entropy_as_a_metric_wants_logits():
    model = fastnn.Sequential([layers.Input((4,)), layers.Dense(3, "softmax"), layers.Dropout(0.5)])
    with pytest.raises(ValueError, match="softmax"):
        model.compile("sgd", "mse", metrics=["categorical_crossentropy"])


def test_probabilities_are_looked_at_for_a_metric_too(rng):
    model = fastnn.Sequential([layers.Input((4,)), layers.Dense(3, "softmax")])
    model.compile("sgd", "mse", metrics=["categorical_crossentropy"])
    with pytest.raises(ValueError, match="row 0"):
        model.fit(rng.normal(size=(8, 4)), rng.normal(size=(8, 3)), verbose=0)


def test_compile_beside_predict(rng):
    """Either waits for the other or is refused; neither sees half of anything."""
    x = rng.normal(size=(64, 16)).astype(np.float32)
    model = fastnn.Sequential([layers.Input((16,)), layers.Dense(32, "relu"), layers.Dense(3)])
    model.compile("adam", "sparse_categorical_crossentropy")
    expected = model.predict(x, verbose=0)
    wrong, refused, done = [], [], threading.Event()

    def predict():
        while not done.is_set():
            if not np.array_equal(model.predict(x, verbose=0), expected):
                wrong.append("another result")

    readers = [threading.Thread(target=predict) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(200):
        try:
            model.compile("adam", losses.SparseCategoricalCrossentropy())
        except RuntimeError as error:
            refused.append(str(error))
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert all("in use" in words for words in refused)


@pytest.mark.cpu
@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_a_child_forked_during_a_fit_can_use_the_model():
    program = """
import warnings
warnings.simplefilter("ignore")
model = network()
threading.Thread(target=lambda: model.fit(x, y, epochs=10**7, verbose=0), daemon=True).start()
time.sleep(0.2)
child = os.fork()
if child == 0:
    model.set_weights(model.get_weights())
    model.fit(x, y, epochs=2, verbose=0)
    os._exit(0 if model.predict(x, verbose=0).shape == (256, 3) else 1)
print(os.waitpid(child, 0)[1])
"""
    assert run(program) == ["0"]


def test_the_end_of_the_interpreter_may_still_predict():
    program = """
import atexit
model = network()
class Last:
    def __del__(self):
        print(model.predict(x, verbose=0).shape[0])
last = Last()
"""
    assert run(program) == ["256"]


def test_a_wait_for_readers_answers_signals():
    program = """
import signal
model = network()
big = np.zeros((3_000_000, 16), np.float32)
reading = threading.Thread(target=lambda: [model.predict(big, verbose=0) for _ in range(3)])
reading.start()
time.sleep(0.1)
answered = []
signal.signal(signal.SIGALRM, lambda *_: answered.append(reading.is_alive()))
signal.setitimer(signal.ITIMER_REAL, 0.2)
model.fit(x, y, verbose=0)
reading.join()
time.sleep(0.3)
print(len(answered))
"""
    assert run(program) == ["1"]


class Interrupt:
    """Raises KeyboardInterrupt at one line or return, of those of a call and of its `with`."""

    files = (
        *("models/trainer.py", "models/single_steps.py", "models/answering.py"),
        *("training/loops.py", "training/exclusive.py"),
    )

    def __init__(self, at):
        self.left = at

    def __call__(self, frame, event, _):
        if not frame.f_code.co_filename.endswith(self.files):
            return None
        if event != "call":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self

    def during(self, work):
        """The error, with all frames that it went through, or None where the end came first."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            work()
        except KeyboardInterrupt as error:
            return error
        finally:
            sys.settrace(before)
        return None


class TestHook(fastnn.callbacks.Callback):
    __test__ = False

    def on_test_batch_end(self, batch, logs=None):
        pass


class TrainHook(fastnn.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


class Assigning(fastnn.callbacks.Callback):
    def on_test_begin(self, _=None):
        self.model.set_weights(self.model.get_weights())


@pytest.mark.parametrize("listener", [None, TestHook, TrainHook, Assigning])
def test_a_validation_loss_that_is_no_number_is_said_whoever_listens(listener, rng):
    x = rng.normal(size=(64, 4))
    y = x.sum(axis=1)
    model = fastnn.Sequential([layers.Input((4,)), layers.Dense(8), layers.Dense(1)])
    model.compile(optimizers.SGD(0.01), "mse")
    bad = np.full((2, 4), 3e38), np.zeros(2)
    callbacks = [] if listener is None else [listener()]
    with pytest.raises(fastnn.TrainingDiverged, match="validation loss") as caught:
        model.fit(x, y, epochs=3, validation_data=bad, callbacks=callbacks, verbose=0)
    assert (caught.value.epoch, caught.value.step) == (0, 1)
    assert np.isfinite(model.evaluate(x, y, verbose=0))


@pytest.mark.parametrize("name", ["fit", "train_on_batch"])
def test_an_interrupt_at_any_line_leaves_the_model_free(name, rng):
    model, x, y = regression(rng)
    options = {"verbose": 0} if name == "fit" else {}
    kept = []  # as an interactive interpreter keeps the last
    while len(kept) < 1000:
        error = Interrupt(len(kept) + 1).during(lambda: getattr(model, name)(x, y, **options))
        if error is None:
            break
        kept.append(error)
        model.train_on_batch(x, y)
        model.compile("sgd", "mse")
    assert 10 < len(kept) < 1000


def test_an_interrupt_at_any_time_leaves_the_model_free():
    """Real signals, at times all over a call: CPython chooses the bytecode that they come at."""
    program = """
import signal
model = network()
def interrupt(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
begun = time.perf_counter()
model.train_on_batch(x, y)
long = 1.5 * (time.perf_counter() - begun)
caught = 0
for i in range(2000):
    try:
        signal.setitimer(signal.ITIMER_REAL, long * (i % 400 + 1) / 400)
        model.train_on_batch(x, y)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        caught += 1
    model.set_weights(model.get_weights())
    model.compile("sgd", "sparse_categorical_crossentropy")
print(caught > 100)
"""
    assert run(program) == ["True"]


def test_of_many_threads_one_trains():
    """Others are refused at once, and the model is free again after each."""
    program = """
model = network()
inside, most, refused = [0], [0], [0]
class Count(fastnn.callbacks.Callback):
    def on_train_begin(self, logs=None):
        inside[0] += 1
        most[0] = max(most[0], inside[0])
    def on_train_end(self, logs=None):
        inside[0] -= 1
def work():
    for _ in range(100):
        try:
            model.fit(x, y, verbose=0, callbacks=[Count()])
        except RuntimeError as error:
            assert "in another thread" in str(error)
            refused[0] += 1
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
model.fit(x, y, verbose=0)
print(most[0], refused[0] > 0)
"""
    assert run(program) == ["1", "True"]


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_a_child_forked_by_a_callback_holds_no_claim():
    program = """
import warnings
warnings.simplefilter("ignore")
model = network()
class Fork(fastnn.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.child = os.fork()
        if self.child == 0:
            self.model.compile("sgd", "sparse_categorical_crossentropy")
            self.model.fit(x, y, verbose=0)
            os._exit(0)
        assert os.waitpid(self.child, 0)[1] == 0
        try:
            self.model.compile("sgd", "sparse_categorical_crossentropy")
        except RuntimeError as error:
            print("during" in str(error))
model.fit(x, y, verbose=0, callbacks=[Fork()])
"""
    assert run(program) == ["True"]
