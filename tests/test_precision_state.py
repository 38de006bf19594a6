"""Training in bfloat16 keeps copies of the weights: they must never be those of before.

Every change that is not a step is followed by a fit, which must go on, to the bit, as a
model would that has never been trained. And numbers that the format cannot hold.
"""

from __future__ import annotations

from collections.abc import Callable

import cases
import numpy as np
import pytest
from precisions import SERVED, SESSIONS, Case, changed, same_bits, unit

import fastnn
from fastnn import layers, optimizers

pytestmark = [pytest.mark.cpu, unit, pytest.mark.parametrize("precision", SERVED or ["medium"])]

CASE = Case((64, 96, 48, 20), loss="mse")
ROWS = 200


@pytest.fixture(params=SESSIONS)
def session(request, monkeypatch) -> str:
    monkeypatch.setenv("FASTNN_SESSION", request.param)
    return str(request.param)


def step(model: fastnn.Sequential, batch: int = 128, rows: int = ROWS) -> list[np.ndarray]:
    x, y, _ = CASE.data(rows)
    model.fit(x, y, batch_size=batch, epochs=1, shuffle=False, verbose=0)
    return model.get_weights()


def anew(weights: list[np.ndarray], precision: str, batch: int = 128) -> list[np.ndarray]:
    """What a fit makes of these weights in a model that was never trained."""
    model = CASE.compiled(precision)
    model.set_weights(weights)
    return step(model, batch)


def other(weights: list[np.ndarray]) -> list[np.ndarray]:
    draw = np.random.default_rng(4)
    return [(w + 0.1 * draw.normal(size=w.shape)).astype(np.float32) for w in weights]


def set_all(model: fastnn.Sequential) -> None:
    model.set_weights(other(model.get_weights()))


def set_layer(model: fastnn.Sequential) -> None:
    model.layers[1].set_weights(other(model.layers[1].get_weights()))


def assign(model: fastnn.Sequential) -> None:
    kernel = model.layers[1].kernel
    kernel.assign(-kernel.numpy())


CHANGES = {"set_weights": set_all, "layer.set_weights": set_layer, "assign": assign}


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_weights_changed_between_fits(change: Callable[[fastnn.Sequential], None], precision):
    model = CASE.compiled(precision)
    step(model)
    change(model)
    assert same_bits(anew(model.get_weights(), precision), step(model))


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_weights_changed_from_a_callback(change: Callable[[fastnn.Sequential], None], precision):
    """At the end of an epoch, where nothing trains."""

    class Change(fastnn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
            if epoch == 0:
                change(self.model)
                changed_to.append(self.model.get_weights())

    changed_to: list[list[np.ndarray]] = []
    x, y, _ = CASE.data(ROWS)
    model = CASE.compiled(precision)
    model.fit(x, y, batch_size=128, epochs=2, shuffle=False, verbose=0, callbacks=[Change()])
    assert same_bits(anew(changed_to[0], precision), model.get_weights())


@pytest.mark.usefixtures("session")
def test_weights_given_back_after_divergence(precision):
    model = CASE.compiled(precision)
    step(model)
    model.optimizer.learning_rate = 1e30
    with pytest.raises(fastnn.TrainingDiverged):
        model.fit(*CASE.data(2000)[:2], batch_size=128, epochs=3, verbose=0)
    given_back = model.get_weights()
    assert all(np.isfinite(w).all() for w in given_back)
    model.optimizer.learning_rate = 0.1
    assert same_bits(anew(given_back, precision), step(model))


@pytest.mark.usefixtures("session")
def test_a_fit_that_was_broken_off(precision):
    class Stop(fastnn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):  # noqa: ARG002
            if batch == 1:
                raise KeyboardInterrupt

    model = CASE.compiled(precision)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*CASE.data(2000)[:2], batch_size=128, verbose=0, callbacks=[Stop()])
    assert same_bits(anew(model.get_weights(), precision), step(model))


@pytest.mark.usefixtures("session")
def test_fits_and_batches_of_several_sizes(precision):
    """Each begins where the one before ended."""
    model = CASE.compiled(precision)
    x, y, _ = CASE.data(ROWS)
    weights = model.get_weights()
    for batch in (128, 64, 200, 64, 40):
        expected = anew(weights, precision, batch)
        weights = step(model, batch)
        assert same_bits(expected, weights)
        twin = CASE.compiled(precision)
        twin.set_weights(weights)
        twin.train_on_batch(x[:batch], y[:batch])
        model.train_on_batch(x[:batch], y[:batch])
        weights = model.get_weights()
        assert same_bits(twin.get_weights(), weights)
        model.evaluate(x, y, verbose=0)
        model.value_and_grad(x, y)
        model.predict(x, verbose=0)
    assert not same_bits(weights, CASE.network().get_weights())


@pytest.mark.usefixtures("session")
def test_layers_frozen_and_thawed(precision):
    """Frozen weights are converted once; changed meanwhile, they must be so again."""
    model = CASE.compiled(precision)
    step(model)
    for place in (0, 2, None):
        for i, layer in enumerate(model.layers[-3:]):
            layer.trainable = i != place
        model.compile(optimizers.SGD(0.1), CASE.loss, matmul_precision=precision)
        step(model)
        set_all(model)
        start = model.get_weights()
        twin = CASE.network()
        for i, layer in enumerate(twin.layers[-3:]):
            layer.trainable = i != place
        twin.compile(optimizers.SGD(0.1), CASE.loss, matmul_precision=precision)
        twin.set_weights(start)
        assert same_bits(step(twin), step(model))
        if place is not None:
            kernel = model.layers[-3:][place].kernel.numpy()
            assert np.array_equal(kernel, start[2 * place])


# -- numbers at the ends -----------------------------------------------------


@pytest.mark.usefixtures("session")
def test_rows_of_a_batch_before(precision):
    """They stand behind those of a smaller batch, and are not looked at."""
    x, y, _ = CASE.data(ROWS)
    model, twin = CASE.compiled(precision), CASE.compiled(precision)
    large = x.copy()
    large[:128] *= 1e18
    before = model.get_weights()
    model.fit(large[:128], y[:128], batch_size=128, shuffle=False, verbose=0)
    model.set_weights(before)
    for one in (model, twin):
        one.fit(x[:165], y[:165], batch_size=128, shuffle=False, verbose=0)
    assert same_bits(twin.get_weights(), model.get_weights())


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("scale", [1e30, 3.0e38])
def test_inputs_too_large_are_said(scale, precision):
    """A loss or a weight that is no number is told, as in float32, and nothing of it kept."""
    model = Case((64, 96, 20), loss="mse").compiled(precision)
    draw = np.random.default_rng(0)
    x = (scale * np.sign(draw.normal(size=(256, 64)))).astype(np.float32)
    before = model.get_weights()
    with pytest.raises(fastnn.TrainingDiverged):
        model.fit(x, draw.normal(size=(256, 20)) * 1e20, batch_size=128, epochs=3, verbose=0)
    assert same_bits(before, model.get_weights())


@pytest.mark.usefixtures("session")
def test_what_rounds_to_infinity_is_said(precision):
    """3.4e38 is a float32 and no bfloat16: a product with it is no number, and is told."""
    fastnn.utils.set_random_seed(1)
    model = fastnn.Sequential([layers.Input((64,)), layers.Dense(64)])
    model.compile(optimizers.SGD(1e-30), "mse", matmul_precision=precision)
    model.set_weights([np.full((64, 64), 1e-38, np.float32), np.zeros(64, np.float32)])
    x = np.zeros((128, 64), np.float32)
    x[5, 7] = 3.4e38
    with pytest.raises(fastnn.TrainingDiverged):
        model.fit(x, np.zeros((128, 64)), batch_size=128, epochs=2, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.usefixtures("session")
def test_denormals_are_zeros(precision):
    """They add nothing that float32 would show either, and nothing becomes odd."""
    case = Case((64, 96, 20), loss="mse")
    model = case.compiled(precision)
    x, y, _ = case.data(128)
    y[:] = 0.5
    x[:, 5] = 1e-40
    zero = x.copy()
    zero[:, 5] = 0
    model.fit(x, y, batch_size=128, verbose=0)
    twin = case.compiled(precision)
    twin.fit(zero, y, batch_size=128, verbose=0)
    assert same_bits(model.get_weights(), twin.get_weights())


@pytest.mark.usefixtures("session")
def test_rows_without_weight_may_hold_anything_finite(precision):
    case = Case((64, 96, 20), loss="mse")
    x, y, _ = case.data(300)
    weights = (np.arange(300) % 3 > 0).astype(float)
    results = []
    for scale in (1.0, 1e6):
        model = case.compiled(precision)
        data = np.where(weights[:, None] == 0, scale * x, x)
        model.fit(data, y, sample_weight=weights, batch_size=128, shuffle=False, verbose=0)
        results.append(model.get_weights())
    assert same_bits(*results)


# -- memory ------------------------------------------------------------------

LIMITED = """
import resource
import numpy as np, fastnn
from fastnn import layers
x, y = np.zeros((8192, 64), np.float32), np.zeros((8192, 32), np.float32)
def used():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[0]) * 4096
refused = done = 0
for room in range(120):
    model = fastnn.Sequential([layers.Input((64,)), *(layers.Dense(32) for _ in range(6))])
    model.compile("adam", "mse", matmul_precision="{precision}")
    resource.setrlimit(resource.RLIMIT_AS, (used() + room * 2**20, resource.RLIM_INFINITY))
    try:
        model.fit(x, y, batch_size=8192, verbose=0)
        done += 1
    except MemoryError:
        refused += 1
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    if done > 1:
        break
print(refused > 5, done > 1)
"""


def test_no_memory_for_the_copies(session, precision):
    """Wherever it runs out while a session is made: an exception, and what was had is given back.

    The C library fills freed memory, so that using it afterwards is no accident that goes well.
    """
    filled = {"MALLOC_PERTURB_": "165", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
    environment = {"FASTNN_SESSION": session, "FASTNN_NUM_THREADS": "1", **filled}
    done = cases.python(LIMITED.format(precision=precision), **environment)
    assert done.stdout.split() == ["True", "True"], done.stdout + done.stderr
    assert done.returncode == 0


PEAK = """
import resource
import numpy as np, fastnn
from fastnn import layers
x, y = np.zeros((20000, 64), np.float32), np.zeros((20000, 64), np.float32)
model = fastnn.Sequential([layers.Input((64,)), *(layers.Dense(64) for _ in range(16))])
model.compile("sgd", "mse", matmul_precision="{precision}")
model.fit(x, y, batch_size=20000, verbose=0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_a_fit_of_many_rows_has_not_every_form_of_every_layer(precision):
    """Of four forms of each layer's rows all but one share their memory: of 16 layers, a third.

    Each in a process of its own: what one fit leaves behind another may use, or not.
    """
    environment = {"FASTNN_SESSION": "streaming", "FASTNN_NUM_THREADS": "1"}
    peaks = []
    for which in ("highest", precision):
        done = cases.python(PEAK.format(precision=which), **environment)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
    of_a_form = 20000 * 64 * 2 * {"medium": 1, "high": 2}[precision]
    assert peaks[1] - peaks[0] < 30 * of_a_form


def test_session_is_the_one_that_was_asked_for(session, precision):
    model = CASE.compiled(precision)
    assert model.session(128) == session
    assert model.network.bf16_parts(128) == {"medium": 1, "high": 2}[precision]
    assert changed(CASE, precision, 128, 128)[0][0].any()
