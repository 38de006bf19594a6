"""Each session of a GPU: against the plain one there, and that against the CPU's.

On the device that is here or, without a GPU, on the emulated one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cases
import networks
import numpy as np
import pytest
import test_callbacks
import test_sessions
import tolerances
from numpy.typing import NDArray

import fastnn
from fastnn import _core, layers

FAST = ("generic", "resident", "wide")
# Networks that a resident session does not take.
NOT_RESIDENT = ("dropout", "activations as layers")
ROWS = (1, 129, 300)


@pytest.fixture(autouse=True)
def _on_the_device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    monkeypatch.setenv("FASTNN_DEVICE", "cuda")


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setenv("FASTNN_DEVICE", "cpu")


def serves(session: str, network: str) -> bool:
    return session != "resident" or network not in NOT_RESIDENT


def trained(
    monkeypatch: pytest.MonkeyPatch, session: str, network: str, rows: int, **given: Any
) -> Any:
    return test_sessions.trained(
        monkeypatch, session, network, rows, **{"dtype": "float32", **given}
    )


def assert_near(found: Any, expected: Any, family: str = "trajectory") -> None:
    (weights, history), (plain_weights, plain_history) = found, expected
    for w, plain in zip(weights, plain_weights, strict=True):
        tolerances.check(w, plain, family, "float32")
    assert history.keys() == plain_history.keys()
    for key, values in history.items():
        tolerances.check(values, plain_history[key], family, "float32", what=key)


def assert_same_bits(found: Any, expected: Any) -> None:
    for w, first in zip(found[0], expected[0], strict=True):
        assert w.tobytes() == first.tobytes()
    assert found[1] == expected[1]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("network", test_sessions.NETWORKS)
def test_plain_is_as_on_the_cpu(
    network: str, rows: int, monkeypatch: pytest.MonkeyPatch, on_cpu: Callable[[], None]
) -> None:
    """In float64: only the order of sums differs."""
    found = trained(monkeypatch, "plain", network, rows, dtype="float64")
    on_cpu()
    expected = trained(monkeypatch, "plain", network, rows, dtype="float64")
    test_sessions.assert_same(found, expected)


@pytest.mark.parametrize("batch", [32, 129, 300])
@pytest.mark.parametrize("network", test_sessions.NETWORKS)
@pytest.mark.parametrize("session", FAST)
def test_same_as_plain(
    session: str, network: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a last batch that is smaller, too; what records the plain session's kernels gives
    the same bits, but for sums of an epoch, which are added run by run."""
    if not serves(session, network):
        pytest.skip("not made for it")
    expected = trained(monkeypatch, "plain", network, 300, batch=batch)
    found = trained(monkeypatch, session, network, 300, batch=batch)
    if session == "generic":
        for w, plain in zip(found[0], expected[0], strict=True):
            assert w.tobytes() == plain.tobytes()
    assert_near(found, expected)


@pytest.mark.parametrize("session", FAST)
def test_as_on_the_cpu(
    session: str, monkeypatch: pytest.MonkeyPatch, on_cpu: Callable[[], None]
) -> None:
    found = trained(monkeypatch, session, "relu", 300, batch=16)
    on_cpu()
    assert_near(found, trained(monkeypatch, "plain", "relu", 300, batch=16))


@pytest.mark.parametrize("session", ["plain", *FAST])
def test_batch_hooks_change_no_digit(session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_SESSION", session)
    small = session == "resident"
    counts = ("accuracy",) if small else ("accuracy", "mse", "r2_score")
    test_callbacks.check_digits("float32", counts, 64 if small else 384)


@pytest.mark.parametrize("session", ["plain", *FAST])
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: fastnn.optimizers.SGD(0.05),
        lambda: fastnn.optimizers.SGD(0.05, momentum=0.9),
        lambda: fastnn.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        lambda: fastnn.optimizers.Adam(0.01, weight_decay=0.1),
    ],
)
def test_optimizers(
    session: str,
    optimizer: Callable[[], fastnn.optimizers.Optimizer],
    monkeypatch: pytest.MonkeyPatch,
    on_cpu: Callable[[], None],
) -> None:
    found = trained(monkeypatch, session, "relu", 300, optimizer=optimizer(), batch=50)
    on_cpu()
    expected = trained(monkeypatch, "plain", "relu", 300, optimizer=optimizer(), batch=50)
    assert_near(found, expected)


@pytest.mark.parametrize("frozen", [0, 1, 2])
@pytest.mark.parametrize("session", FAST)
def test_frozen_layers_stay(session: str, frozen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = trained(monkeypatch, "plain", "relu", 300, frozen=frozen, batch=100)
    assert_near(trained(monkeypatch, session, "relu", 300, frozen=frozen, batch=100), expected)


@pytest.mark.parametrize("session", ["plain", *FAST])
def test_same_bits_twice(session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every order of threads: the emulator draws another in each launch."""
    first = trained(monkeypatch, session, "many labels", 700, batch=300)
    assert_same_bits(trained(monkeypatch, session, "many labels", 700, batch=300), first)


# -- what a graph must not remember ----------------------------------------------------------


def blobs(rows: int, seed: int = 1) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(rows, 7)).astype(np.float32), draw.integers(0, 5, rows)


def classifier(session: str, monkeypatch: pytest.MonkeyPatch, **given: Any) -> fastnn.Sequential:
    monkeypatch.setenv("FASTNN_SESSION", session)
    fastnn.utils.set_random_seed(5)
    model = fastnn.Sequential(
        [fastnn.Input((7,)), layers.Dense(16, activation="relu"), layers.Dense(5)]
    )
    model.compile(**{"optimizer": "adam", "loss": "sparse_categorical_crossentropy", **given})
    return model


def a_long_story(model: fastnn.Sequential) -> list[Any]:
    """Fits of many lengths over several data sets, with other rates and weights between."""
    told: list[Any] = []
    for step, (rows, batch, rate) in enumerate(
        [(200, 8, 0.01), (203, 8, 0.01), (90, 30, 0.1), (203, 8, 0.001), (50, 50, 0.01)]
    ):
        x, y = blobs(rows, step)
        model.optimizer.learning_rate = rate
        told += model.fit(x, y, batch_size=batch, epochs=2, verbose=0).history["loss"]
        told.append(model.evaluate(x, y, verbose=0))
        if step == 1:
            model.set_weights([0.5 * w for w in model.get_weights()])
        if step == 2:
            told.append(model.train_on_batch(x[:30], y[:30]))
            told.append(model.value_and_grad(x, y)[0])
    told += [model.predict(blobs(20)[0]), *model.get_weights()]
    return told


@pytest.mark.parametrize("session", ["plain", *FAST])
def test_a_long_story(
    session: str, monkeypatch: pytest.MonkeyPatch, on_cpu: Callable[[], None]
) -> None:
    found = a_long_story(classifier(session, monkeypatch))
    on_cpu()
    expected = a_long_story(classifier("plain", monkeypatch))
    for a, b in zip(found, expected, strict=True):
        tolerances.check(a, b, "trajectory", "float32")


@pytest.mark.parametrize("session", FAST)
def test_more_steps_than_are_brought_at_once(session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = blobs(1100)
    losses = {}
    for kind in ("plain", session):
        model = classifier(kind, monkeypatch, optimizer=fastnn.optimizers.SGD(0.01))
        losses[kind] = model.fit(x, y, batch_size=1, epochs=1, verbose=0).history["loss"]
    tolerances.check(losses[session], losses["plain"], "trajectory", "float32")


@pytest.mark.parametrize("session", ["plain", *FAST])
def test_weights_and_ignored_rows(
    session: str, monkeypatch: pytest.MonkeyPatch, on_cpu: Callable[[], None]
) -> None:
    x, y = blobs(130)
    y[::3] = -1
    weights = np.random.default_rng(2).uniform(0, 2, 130)
    histories = []
    for kind in (session, "plain"):
        loss = fastnn.losses.SparseCategoricalCrossentropy(ignore_class=-1)
        model = classifier(kind, monkeypatch, loss=loss, metrics=["accuracy"])
        fitted = model.fit(
            x, y, sample_weight=weights, batch_size=32, epochs=3, verbose=0, validation_split=0.2
        )
        histories.append(fitted.history)
        on_cpu()
    for key, values in histories[0].items():
        tolerances.check(values, histories[1][key], "trajectory", "float32", what=key)


@pytest.mark.parametrize("session", ["plain", *FAST])
@pytest.mark.parametrize("classes", [5, 40])
def test_of_equal_logits_the_first_counts(
    session: str, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the classes of a row are shared out."""
    monkeypatch.setenv("FASTNN_SESSION", session)
    x, _ = blobs(96)
    y = np.arange(96) % classes
    model = fastnn.Sequential([fastnn.Input((7,)), layers.Dense(classes)])
    sgd = fastnn.optimizers.SGD(1e-30)  # weights stay what they are
    model.compile(sgd, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    for first in (0, 3):
        bias = np.zeros(classes, np.float32)
        bias[first:] = 1
        model.set_weights([np.zeros((7, classes), np.float32), bias])
        history = model.fit(x, y, batch_size=32, verbose=0).history
        assert history["accuracy"] == [np.mean(y == first)]


@pytest.mark.parametrize("session", ["plain", *FAST])
def test_a_row_that_weighs_nothing_may_be_anything(
    session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = blobs(64)
    weights = np.ones(64)
    weights[5] = 0
    found = []
    for huge in (0, 3e38, -3e38):  # its logits are infinite, of either sign
        x[5] = huge
        monkeypatch.setenv("FASTNN_SESSION", session)
        fastnn.utils.set_random_seed(5)
        model = fastnn.Sequential([fastnn.Input((7,)), layers.Dense(5)])
        words = {"loss": "sparse_categorical_crossentropy", "weighted_metrics": ["accuracy"]}
        model.compile("adam", **words)
        model.set_weights([4 * w for w in model.get_weights()])
        fitted = model.fit(x, y, sample_weight=weights, batch_size=16, epochs=2, verbose=0)
        found.append((model.get_weights(), fitted.history))
    assert_same_bits(found[1], found[0])
    assert_same_bits(found[2], found[0])


@pytest.mark.parametrize("session", ["plain", *FAST])
@pytest.mark.parametrize("step", [0, 12])
def test_a_bad_loss_stops_it_where_it_came(
    session: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step is named, no later one is made, and the weights are those of a good one."""
    x, y = blobs(320)
    model = classifier(session, monkeypatch)
    kernel, *others = model.get_weights()
    model.set_weights([np.abs(kernel) + 1, *others])
    before = model.get_weights()
    x[8 * step + 4] = 1e38  # infinite behind the first layer, NaN behind the second
    with pytest.raises(fastnn.TrainingDiverged) as stopped:
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    assert (stopped.value.epoch, stopped.value.step) == (0, step)
    assert not np.isfinite(stopped.value.loss)
    assert model.network.steps <= step
    assert all(np.isfinite(w).all() for w in model.get_weights())
    if step == 0:
        assert_same_bits((model.get_weights(), None), (before, None))
    x[8 * step + 4] = 0
    history = model.fit(x, y, batch_size=8, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()


class Halves(fastnn.callbacks.Callback):
    """Sets weights in the middle of a fit."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        assert self.model is not None
        self.model.set_weights([0.5 * w for w in self.model.get_weights()])


@pytest.mark.parametrize("session", ["plain", *FAST])
def test_weights_set_by_a_callback(
    session: str, monkeypatch: pytest.MonkeyPatch, on_cpu: Callable[[], None]
) -> None:
    x, y = blobs(100)
    weights = []
    for kind in (session, "plain"):
        model = classifier(kind, monkeypatch)
        model.fit(x, y, epochs=3, batch_size=10, verbose=0, callbacks=[Halves()])
        weights.append(model.get_weights())
        on_cpu()
    for found, expected in zip(*weights, strict=True):
        tolerances.check(found, expected, "trajectory", "float32")


# -- data ------------------------------------------------------------------------------------


@pytest.mark.parametrize("session", ["plain", *FAST])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float64"])
def test_data_of_any_type_and_layout(
    session: str, dtype: str, monkeypatch: pytest.MonkeyPatch, on_cpu: Callable[[], None]
) -> None:
    values = np.random.default_rng(4).integers(0, 9, (60, 7)).astype(dtype)
    y = blobs(60)[1]
    expected = None
    for name, x in cases.strided(values):
        if name == "other byte order":
            continue
        model = classifier(session, monkeypatch)
        model.fit(x, y, batch_size=16, epochs=2, verbose=0)
        found = [model.predict(x), *model.get_weights()]
        if expected is None:
            expected = found
        for a, b in zip(found, expected, strict=True):
            assert np.array_equal(a, b), name
    on_cpu()
    model = classifier("plain", monkeypatch)
    model.fit(values, y, batch_size=16, epochs=2, verbose=0)
    assert expected is not None
    tolerances.check(expected[0], model.predict(values), "trajectory", "float32")


# -- which -----------------------------------------------------------------------------------


def test_choice_depends_on_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTNN_SESSION", raising=False)

    def session(widths: tuple[int, ...], batch: int, **given: Any) -> str:
        activations = ["relu"] * (len(widths) - 2) + ["linear"]
        network = networks.chain(widths, activations, "float32").network
        networks.compile_native(
            network, loss="softmax_cross_entropy", optimizer="adam", **{"device": "cuda", **given}
        )
        return network.session(batch)

    assert session((4, 10, 3), 32) == "resident"
    assert session((784, 128, 10), 32) == "generic"
    assert session((4096, 4096, 4096), 8192) == "wide"


def test_auto_takes_the_device_where_there_is_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTNN_DEVICE")
    model = classifier("auto", monkeypatch)
    assert model.network.device(32) == "cpu"  # 37 thousand operations
    assert model.network.device(10_000) == "cuda"


@pytest.mark.parametrize("session", ["tiled", "streaming"])
def test_sessions_of_the_cpu_are_refused(session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier(session, monkeypatch)
    x, y = blobs(10)
    with pytest.raises(ValueError, match=rf"{session}.*generic"):
        model.fit(x, y, verbose=0)


@pytest.mark.parametrize("session", FAST)
def test_sessions_of_a_gpu_are_refused(
    session: str, monkeypatch: pytest.MonkeyPatch, on_cpu: Callable[[], None]
) -> None:
    on_cpu()
    model = classifier(session, monkeypatch)
    x, y = blobs(10)
    with pytest.raises(ValueError, match=rf"{session}.*streaming"):
        model.fit(x, y, verbose=0)


def test_a_device_of_one_model_and_another_of_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same model trained here and there goes on from the same weights."""
    del tmp_path
    x, y = blobs(64)
    model = classifier("auto", monkeypatch, device="cuda")
    model.fit(x, y, batch_size=16, epochs=1, verbose=0)
    there = model.predict(x)
    model.compile("adam", "sparse_categorical_crossentropy", device="cpu")
    tolerances.check(model.predict(x), there, "trajectory", "float32")
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, batch_size=16, epochs=3, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before


@pytest.mark.parametrize("session", ["plain", *FAST])
def test_sparse_rows_are_as_the_dense_array(session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy.sparse")
    import test_sparse_rows

    monkeypatch.setenv("FASTNN_SESSION", session)
    x = test_sparse_rows.matrix(150, 61)
    weights = np.random.default_rng(2).random(150)
    found = [
        test_sparse_rows.trained(
            given, "float32", "relu", fastnn.optimizers.SGD(0.1), sample_weight=weights
        )
        for given in (x, x.toarray())
    ]
    test_sparse_rows.assert_equal(*found, "float32")
