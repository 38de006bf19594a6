"""Weights and the optimizer's state stay on the device until they are read; a read gives the
current ones in every case, as on the CPU.

On the device that is here or, without a GPU, on the emulated one.
"""

from __future__ import annotations

import re

import pytest
from test_cuda_faults import FORK, SESSIONS, told

from fastnn import _core

START = """
from fastnn import optimizers


def built(device, size=24):
    fastnn.utils.set_random_seed(3)
    model = fastnn.Sequential(
        [fastnn.Input((6,)), layers.Dense(size, activation="tanh"), layers.Dense(4)]
    )
    optimizer = optimizers.SGD(0.05, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", device=device)
    return model


def step(model, rows=32, times=1):
    for _ in range(times):
        model.train_on_batch(x[:rows], y[:rows])


def state_of_ones(model):
    # Without what pads parameters.
    state = np.zeros_like(model.network.optimizer_state[0])
    for offset, shape in model.network.parameters:
        state[offset : offset + int(np.prod(shape))] = 1
    return [state]


def check_same(a, b):
    assert a.network.steps == b.network.steps and a.network.updates == b.network.updates
    for got, want in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    for got, want in zip(a.network.optimizer_state, b.network.optimizer_state, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
"""

# Steps that are run with a model on the device, and with one on the CPU.
TURNS = {
    "weights looked at": "step(m); m.get_weights(); step(m)",
    "state looked at": "step(m); m.network.optimizer_state; step(m)",
    "one weight set": "step(m); v = m.layers[0].bias; v.assign(v.numpy() + 1); step(m)",
    "all weights set": "step(m); m.set_weights([w / 2 for w in m.get_weights()]); step(m)",
    "weights stepped by hand": """
step(m)
for _ in range(2):
    with fastnn.GradientTape() as tape:
        loss = fastnn.math.reduce_mean(fastnn.math.square(m(x, training=True)))
    by_hand = optimizers.Adam(0.01)
    by_hand.apply(tape.gradient(loss, m.trainable_variables), m.trainable_variables)
    step(m)
""",
    "state set": """
step(m)
m.network.set_optimizer_state([s / 2 for s in m.network.optimizer_state])
step(m)
""",
    "state set before training": """
m.predict(x)
m.network.set_optimizer_state(state_of_ones(m))
step(m)
""",
    "other batches": "step(m); step(m, rows=8); step(m, rows=9); m.predict(x); step(m)",
    "compiled again": "step(m); m.compile('adam', m.loss, device=device); step(m)",
    "on the CPU": "step(m); m.compile(m.optimizer, m.loss, device='cpu'); step(m)",
    "fits between": "fit(m, epochs=1); step(m); fit(m, epochs=3); m.evaluate(x, y, verbose=0)",
    "a layer more": "step(m); m.add(layers.Dense(3)); m.compile('sgd', 'mse', device=device)",
    "diverged": """
step(m, times=3)
m.optimizer.learning_rate = 3e38
try:
    fit(m)
    raise AssertionError
except fastnn.TrainingDiverged:
    pass
m.optimizer.learning_rate = 0.05
step(m)
""",
    "interrupted": """
class Stop(fastnn.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 3:
            raise KeyboardInterrupt
try:
    fit(m, callbacks=[Stop()])
except KeyboardInterrupt:
    pass
step(m)
""",
}


@pytest.fixture
def device(request):
    """The library of it; None: of the device that is here."""
    return None if _core.cuda_state()["usable"] else request.getfixturevalue("emulated")


@pytest.mark.parametrize("turn", TURNS)
def test_as_on_the_cpu(device, turn):
    program = f"""
def turned(device):
    m = built(device)
    exec({TURNS[turn]!r}, {{**globals(), "m": m, "device": device}})
    return m


os.environ["FASTNN_SESSION"] = "auto"
expected = turned("cpu")
for session in {SESSIONS if turn != "on the CPU" else ("plain",)}:
    os.environ["FASTNN_SESSION"] = session
    check_same(turned("cuda"), expected)
"""
    told(START + program, device)


def test_where_training_is_chosen_anew(device):
    """Batches large enough go to the device, others to the CPU, and the state goes with them."""
    program = """
def turns(model):
    for rows in (60, 2, 60, 60, 3, 2, 60):
        step(model, rows)
        seen.add(model.network.device(rows))


seen = set()
found, expected = built("auto", size=2000), built("cpu", size=2000)
turns(found)
assert seen == {"cpu", "cuda"}
turns(expected)
check_same(found, expected)
"""
    told(START + program, device)


def test_what_was_read_does_not_change(device):
    """It is no view of the host's memory, which grows old and is renewed at some time."""
    program = """
m = built("cuda")
step(m)
kernel = m.layers[0].kernel.view()
before = kernel.copy()
step(m)
m.get_weights()
assert (kernel == before).all() and not kernel.flags.writeable
assert (m.layers[0].kernel.numpy() != before).any()
assert (np.asarray(m.layers[0].kernel) == m.layers[0].kernel.value).all()
"""
    told(START + program, device)


def test_variables_outlive_their_model(device):
    program = """
found, expected = built("cuda"), built("cpu")
step(found)
step(expected)
there, here = found.layers[0].kernel, expected.layers[0].kernel
del found, expected
np.testing.assert_allclose(there, here, rtol=1e-5)
there.assign(here.numpy() * 2)
assert (there.numpy() == here.numpy() * 2).all()
"""
    told(START + program, device)


def test_state_read_while_it_is_replaced(device):
    """By another thread, which reads the one state or the other."""
    program = """
import threading, time

import networks


def read():
    while time.monotonic() < end:
        try:
            (state,) = m.network.optimizer_state
            right.append(not state.any())
        except RuntimeError:  # the model is in use
            pass
        except BaseException:
            right.append(False)
            raise


sys.setswitchinterval(1e-5)
m = built("cuda")
right = []
end = time.monotonic() + 0.5
thread = threading.Thread(target=read)
thread.start()
while time.monotonic() < end:
    try:
        networks.compile_native(m.network, loss=m.loss.native, optimizer=m.optimizer.native)
    except RuntimeError:
        pass
thread.join()
assert right and all(right)
"""
    assert told(START + program, device) == ""


def test_a_child_cannot_have_what_was_not_read(device):
    program = (
        FORK
        + """
m = built("cuda")
step(m, times=3)


def child():
    attempt("read", m.get_weights)
    attempt("again", m.get_weights)
    attempt("set", lambda: m.layers[0].bias.assign(np.zeros(24)))
    attempt("compile", lambda: m.compile("sgd", m.loss, device="cpu"))
    attempt("predictor", m.predictor)


in_child(child)
weights = m.get_weights()


def later():
    assert all((a == b).all() for a, b in zip(weights, m.get_weights()))
    attempt("state", lambda: m.network.optimizer_state)
    attempt("unset", lambda: step(m))
    assert all((a == b).all() for a, b in zip(weights, m.get_weights()))
    assert m.network.steps == 3
    m.set_weights(weights)
    m.predictor()(x)
    attempt("step", lambda: step(m))
    m.compile("sgd", m.loss, device="cpu")
    attempt("cpu", lambda: step(m))


in_child(later)
attempt("parent", lambda: step(m))
"""
    )
    lines = told(START + program, device).splitlines()
    for line, name in zip(lines, ("read", "again", "set", "compile", "predictor"), strict=False):
        assert re.match(rf"{name} RuntimeError .*forked process.*before the fork.*spawn", line)
    for line, name in zip(lines[5:], ("state", "unset", "step"), strict=False):
        assert re.match(f"{name} RuntimeError .*forked process", line)
    assert lines[8:] == ["cpu works", "parent works"]


def test_a_child_of_a_process_that_trains(device):
    """Weights that the parent read before the fork are older than those that it has."""
    program = (
        FORK
        + """
import threading
import time

m = built("cuda")
step(m)
m.get_weights()
before = m.network.steps
threading.Thread(target=lambda: fit(m, epochs=10**6), daemon=True).start()
while m.network.steps < before + 10:
    time.sleep(0.01)
in_child(lambda: attempt("read", m.get_weights))
sys.stdout.flush()
os._exit(0)
"""
    )
    line = told(START + program, device)
    assert re.match("read RuntimeError .*forked process.*before the fork", line)
