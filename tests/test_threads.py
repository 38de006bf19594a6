"""Many Python threads, forks, signals: nothing hangs, nothing is lost, nothing stays behind.

What could hang or take the interpreter with it runs in a process of its own, with a time limit.
"""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cases
import networks
import numpy as np
import pytest

import fastnn
from fastnn import ops

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="fork and signals of POSIX")

START = """
import os, signal, sys, threading, time
import numpy as np
import fastnn
from fastnn import layers

# Whoever runs the tests in the background has told its children to ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

def network(widths=(20, 64, 64, 3), seed=1):
    fastnn.utils.set_random_seed(seed)
    model = fastnn.Sequential([layers.Input((widths[0],))])
    for units in widths[1:]:
        model.add(layers.Dense(units, activation="relu" if units != widths[-1] else "softmax"))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    return model

draw = np.random.default_rng(0)
def data(n=4000, width=20):
    return draw.normal(size=(n, width)).astype(np.float32), draw.integers(0, 3, n)

def digest(model):
    return b"".join(w.tobytes() for w in model.get_weights())

def child(work):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = work() or 0
        finally:
            os._exit(status)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hung"
"""


def run(program, **environment):
    settings = {"FASTNN_NUM_THREADS": "3", "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    done = cases.python(START + program, **{**settings, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()


# -- many threads ----------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_predict_from_many_threads(threads, rng):
    """One model, eight callers, batches of all sizes: the bits of a lone call."""
    fastnn.set_num_threads(threads)
    model = networks.sequential((30, 200, 10), ("gelu", "softmax"))
    inputs = [rng.normal(size=(n, 30)).astype(np.float32) for n in (1, 7, 64, 500, 3000)]
    expected = [model.predict(x, verbose=0) for x in inputs]

    def work(i):
        return [model.predict(x, verbose=0) for x in inputs[i % 5 :] + inputs[: i % 5]]

    with ThreadPoolExecutor(8) as pool:
        for i, results in enumerate(pool.map(work, range(40))):
            for e, p in zip(expected[i % 5 :] + expected[: i % 5], results, strict=True):
                np.testing.assert_array_equal(p, e)


def test_ops_from_many_threads(rng):
    x, w = rng.normal(size=(300, 200)), rng.normal(size=(200, 100))
    expected = ops.dense_forward(x, w, activation="tanh")
    with ThreadPoolExecutor(8) as pool:
        for y in pool.map(lambda _: ops.dense_forward(x, w, activation="tanh"), range(100)):
            np.testing.assert_array_equal(y, expected)


def test_models_train_side_by_side(rng):
    """Different models in different threads give the bits that each gives alone."""
    x, y = rng.normal(size=(500, 20)).astype(np.float32), rng.integers(0, 3, 500)

    def make(seed):
        fastnn.utils.set_random_seed(seed)
        model = networks.sequential((20, 64, 3), ("relu", "softmax"))
        model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
        return model

    def train(model):
        model.fit(x, y, epochs=3, verbose=0)
        return model.get_weights()

    alone = [train(make(seed)) for seed in range(6)]
    models = [make(seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        for expected, weights in zip(alone, pool.map(train, models), strict=True):
            for a, b in zip(expected, weights, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.fixture
def busy():
    """A model that trains in another thread until the test is over."""
    model = networks.sequential((200, 300, 300, 3), ("relu", "relu", "softmax"))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(3000, 200)).astype(np.float32), draw.integers(0, 3, 3000)
    started, outcome = threading.Event(), []

    class Watch(fastnn.callbacks.Callback):
        def on_epoch_begin(self, *_):
            started.set()

        def on_epoch_end(self, *_):
            if stop.is_set():
                self.model.stop_training = True

    stop = threading.Event()

    def work():
        try:
            model.fit(x, y, epochs=100_000, verbose=0, callbacks=[Watch()])
            outcome.append("done")
        except BaseException as error:  # noqa: BLE001 (looked at below)
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(10)
    time.sleep(0.02)
    yield model, x, y
    stop.set()
    thread.join(20)
    assert outcome == ["done"], "the first fit was disturbed"


@pytest.mark.parametrize("method", ["fit", "train_on_batch", "compile", "set_weights"])
def test_while_it_trains(busy, method):
    """A second fit says that one is running; nothing can be pulled from under it."""
    model, x, y = busy
    arguments = {
        "fit": lambda: model.fit(x, y, verbose=0),
        "train_on_batch": lambda: model.train_on_batch(x, y),
        "compile": lambda: model.compile("sgd", "sparse_categorical_crossentropy"),
        "set_weights": lambda: model.set_weights(model.get_weights()),
    }
    with pytest.raises(RuntimeError, match=r"(?i)train|fit|thread"):
        arguments[method]()


def test_predicting_while_it_trains(busy):
    """Either probabilities or an error that says why not."""
    model, x, _ = busy
    for _ in range(5):
        try:
            p = model.predict(x[:100], verbose=0)
        except RuntimeError as error:
            assert any(word in str(error) for word in ("train", "fit"))  # noqa: PT017
        else:
            np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.usefixtures("busy")
def test_the_gil_is_free_while_it_trains():
    """Python goes on in this thread: no pause comes near the time of an epoch."""
    longest, last = 0.0, time.perf_counter()
    for _ in range(100):
        time.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    assert longest < 0.25


def test_a_short_call_that_waits_gives_the_gil_away():
    """Its thread waits for a step, which waits for a long predict, which now and then needs the GIL."""
    program = """
from fastnn import _core
x, y = data(100_000, 64)
model = network((64, 1024, 1024, 3))
model.build((None, 64))
few = _core.Data(x=x[:8], labels=y[:8].astype(np.int32))
read = threading.Thread(target=lambda: model.network.predict(_core.Data(x=x)))
w = model.weights[0]
gradient = np.ones(w.shape)
step = threading.Thread(target=lambda: fastnn.optimizers.SGD().apply_gradients([(gradient, w)]))
read.start()
time.sleep(0.05)
step.start()
time.sleep(0.05)
both = read.is_alive() and step.is_alive()
model.network.check(few)
print(both)
read.join()
step.join()
"""
    assert run(program) == ["True"]


# -- fork ------------------------------------------------------------------------------------------

FORKS = {
    "before anything": """
x, y = data()
def work():
    network().fit(x, y, verbose=0)
print(child(work))
""",
    "after training": """
x, y = data()
model = network()
model.fit(x, y, verbose=0)
kept = digest(model)
p = model.predict(x, verbose=0)
def work():
    assert np.array_equal(model.predict(x, verbose=0), p)
    model.fit(x, y, verbose=0)
    assert digest(model) != kept
print(child(work))
assert digest(model) == kept
model.fit(x, y, verbose=0)
""",
    "child and parent train the same": """
x, y = data()
model = network()
model.fit(x, y, verbose=0)
read, write = os.pipe()
def work():
    model.fit(x, y, verbose=0)
    os.write(write, digest(model)[:4096])
status = child(work)
model.fit(x, y, verbose=0)
assert os.read(read, 4096) == digest(model)[:4096]
print(status)
""",
    "while another thread trains": """
x, y = data()
busy, other = network(), network()
class Stop(fastnn.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = over.is_set()
over = threading.Event()
settings = {"epochs": 10**6, "verbose": 0, "callbacks": [Stop()]}
thread = threading.Thread(target=lambda: busy.fit(x, y, **settings))
thread.start()
time.sleep(0.1)
def work():
    other.fit(x, y, verbose=0)
    other.predict(x, verbose=0)
statuses = {child(work) for _ in range(10)}
over.set()
thread.join()
print(*statuses)
""",
    "a grandchild": """
x, y = data()
network().fit(x, y, verbose=0)
def work():
    network().fit(x, y, verbose=0)
    return child(lambda: network().fit(x, y, verbose=0) and None)
print(child(work))
""",
}


@pytest.mark.parametrize("case", FORKS)
def test_fork(case):
    assert run(FORKS[case]) == ["0"]


def test_multiprocessing():
    """The pool that most people use, by fork."""
    program = """
import multiprocessing
x, y = data(500)
model = network()
model.fit(x, y, verbose=0)
expected = model.predict(x, verbose=0)
def work(i):
    return np.array_equal(model.predict(x, verbose=0), expected)
with multiprocessing.get_context("fork").Pool(3) as pool:
    print(all(pool.map(work, range(12))))
"""
    assert run(program) == ["True"]


# -- Ctrl-C ------------------------------------------------------------------------------------

INTERRUPT = """
x, y = data(20_000, 784)
model = network((784, 512, 512, 3))
before = digest(model)
sent = []
def interrupt():
    time.sleep(0.25)
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)
{listener}
model.fit(x[:64], y[:64], verbose=0)
trained = digest(model)
threading.Thread(target=interrupt).start()
try:
    {call}
except KeyboardInterrupt:
    waited = time.perf_counter() - sent[0]
else:
    sys.exit("no KeyboardInterrupt")
assert all(np.isfinite(w).all() for w in model.get_weights())
assert (digest(model) != trained) == {moves}
kept = digest(model)
time.sleep(0.1)
assert digest(model) == kept, "something still trains"
model.fit(x[:64], y[:64], verbose=0)
model.predict(x[:64], verbose=0)
print(waited)
"""
FIT = "model.fit(x, y, batch_size={}, epochs=100_000, verbose={}, shuffle=True{})"
LISTENER = """
class Watch(fastnn.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass
"""


@pytest.mark.parametrize(
    ("call", "listener", "moves"),
    [
        (FIT.format(128, 0, ""), "", True),
        (FIT.format(32, 0, ", validation_split=0.9"), "", True),
        (FIT.format(128, 0, ", callbacks=[Watch()]"), LISTENER, True),
        ("[model.evaluate(x, y, verbose=0) for _ in range(10_000)]", "", False),
    ],
    ids=["fit", "validation", "callbacks", "evaluate"],
)
def test_interrupt(call, listener, moves):
    """KeyboardInterrupt within 0.2 s (0.5 here: the machine may be busy), weights kept."""
    waited = run(INTERRUPT.format(call=call, listener=listener, moves=moves))
    assert float(waited[0]) < 0.5


def test_a_signal_handler_runs_during_fit():
    """Not only Ctrl-C: what Python's handlers do is done, and what they raise comes out."""
    program = """
x, y = data(20_000, 784)
model = network((784, 512, 512, 3))
class Alarm(Exception):
    pass
count = []
def handler(*_):
    count.append(time.perf_counter())
    if len(count) == 3:
        raise Alarm
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
start = time.perf_counter()
try:
    model.fit(x, y, epochs=100_000, verbose=0)
except Alarm:
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(len(count), count[-1] - start < 1.5)
"""
    assert run(program) == ["3", "True"]


def test_a_signal_handler_waits_while_a_short_call_waits():
    """Both for readers: of the network of the call, which keeps the GIL but for its waits, and of
    another, on which the handler calls."""
    program = """
def narrow():
    model = fastnn.Sequential([layers.Dense(4, "relu", input_shape=(8,)), layers.Dense(1)], seed=1)
    model.compile("sgd", "mean_squared_error")
    return model
x = draw.standard_normal((100_000, 8)).astype(np.float32)
many = np.broadcast_to(x, (100, *x.shape)).reshape(-1, 8)
models, other = [narrow() for _ in range(8)], network((8, 512, 512, 3))
for model in (*models, other):
    model.predict(x[:4], verbose=0)
found = []
def handler(*_):
    found.append(all(thread.is_alive() for thread in threads))
    other.predict(x[:4], verbose=0)
    found.append(changes.is_alive())
changes = threading.Thread(
    target=lambda: fastnn.optimizers.SGD().apply_gradients([([1.0] * 3, other.layers[-1].bias)])
)
reads = [
    threading.Thread(target=lambda: models[0].predict(many, verbose=0)),
    threading.Thread(target=lambda: other.predict(x, verbose=0)),
]
threads = [*reads, changes]
signal.signal(signal.SIGALRM, handler)
for thread in threads:
    thread.start()
    time.sleep(0.05)
signal.setitimer(signal.ITIMER_REAL, 0.1)
fastnn.fit_many(models, x[:64], x[:64, :1], epochs=1, threads=1)
for thread in threads:
    thread.join()
print(*found)
"""
    found = run(program, FASTNN_NUM_THREADS="1")
    if found[:1] != ["True"]:
        pytest.skip("a prediction had ended")
    assert len(found) == 2


# -- the end ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc/self/task")
def test_no_thread_is_left():
    program = """
from fastnn import _core
def count():
    return len(os.listdir("/proc/self/task"))
before = count()
x, y = data()
network().fit(x, y, batch_size=1024, verbose=0)
during = count()
_core.shutdown()
print(during > before, count() == before)
"""
    assert run(program) == ["True", "True"]


ENDINGS = {
    "after training": "x, y = data(); network().fit(x, y, verbose=0)",
    "by an exception": "x, y = data(); network().fit(x, y, verbose=0); raise SystemExit(0)",
    "with a daemon thread in fit": """
x, y = data()
model = network()
threading.Thread(target=lambda: model.fit(x, y, epochs=10**6, verbose=0), daemon=True).start()
time.sleep(0.2)
""",
    "with a model that is never used": "network()",
    "without an import of the core": "import fastnn.layers",
}


@pytest.mark.parametrize("case", ENDINGS)
def test_the_interpreter_ends_at_once(case):
    start = time.perf_counter()
    run(ENDINGS[case])
    assert time.perf_counter() - start < 10
