"""Each way of walking through a training step against the plain one.

In float64 the sessions differ only in the order of sums, so agreement to a few
roundings leaves no room for a wrong index, a row left out or a gradient counted twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cases
import networks
import numpy as np
import pytest
import tolerances
from numpy.typing import NDArray

import fastnn
from fastnn import _core, layers

pytestmark = pytest.mark.cpu

KINDS = ("streaming", "tiled")
ROWS = (1, 127, 128, 129, 300, 5000)  # about a tile, a group of rows, many groups

Build = Callable[[], list[layers.Layer]]


def dense(*args: Any, **kwargs: Any) -> layers.Layer:
    return layers.Dense(*args, **kwargs)


NETWORKS: dict[str, tuple[Build, str]] = {
    "relu": (
        lambda: [dense(33, activation="relu"), dense(17, activation="relu"), dense(5)],
        "labels",
    ),
    "needs pre-activations": (
        lambda: [dense(18, activation="gelu"), dense(9, activation="silu"), dense(5)],
        "labels",
    ),
    "softmax, no biases": (
        lambda: [
            dense(31, activation="tanh", use_bias=False),
            dense(5, activation="softmax", use_bias=False),
        ],
        "labels",
    ),
    "activations as layers": (
        lambda: [
            dense(16),
            layers.Activation("elu"),
            dense(8, activation="sigmoid"),
            layers.Activation("softplus"),
            dense(5),
        ],
        "labels",
    ),
    "parameters": (
        lambda: [
            dense(16),
            layers.LeakyReLU(0.3),
            dense(8),
            layers.ELU(0.5),
            dense(5),
        ],
        "labels",
    ),
    "dropout": (
        lambda: [
            layers.Dropout(0.2),
            dense(40, activation="relu"),
            layers.Dropout(0.5),
            dense(20, activation="leaky_relu"),
            dense(5),
        ],
        "labels",
    ),
    "many labels": (lambda: [dense(12, activation="relu"), dense(5, activation="sigmoid")], "many"),
    "regression": (lambda: [dense(12, activation="relu"), dense(3)], "numbers"),
    "one layer": (lambda: [dense(5)], "labels"),
}
LOSSES = {
    "labels": "sparse_categorical_crossentropy",
    "many": "binary_crossentropy",
    "numbers": "mean_squared_error",
}


def data(kind: str, rows: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    draw = np.random.default_rng(3)
    x = draw.normal(size=(rows, 7))
    y = {
        "labels": lambda: draw.integers(0, 5, rows),
        "many": lambda: draw.integers(0, 2, (rows, 5)).astype(float),
        "numbers": lambda: draw.normal(size=(rows, 3)),
    }[kind]()
    return x, y, draw.uniform(0, 2, rows) * (draw.random(rows) > 0.1) + (rows == 1)


def trained(
    monkeypatch: pytest.MonkeyPatch,
    session: str,
    network: str,
    rows: int,
    *,
    optimizer: str | fastnn.optimizers.Optimizer = "adam",
    dtype: str = "float64",
    frozen: int | None = None,
    batch: int | None = None,
) -> tuple[list[NDArray[Any]], dict[str, list[float]]]:
    monkeypatch.setenv("FASTNN_SESSION", session)
    build, targets = NETWORKS[network]
    x, y, weights = data(targets, rows)
    fastnn.utils.set_random_seed(5)
    model = fastnn.Sequential([fastnn.Input((7,)), *build()], dtype=dtype)
    if frozen is not None:
        model.layers[frozen].trainable = False
    model.compile(
        optimizer, LOSSES[targets], metrics=["mse"] if targets == "numbers" else ["accuracy"]
    )
    batch = batch or rows
    assert model.session(batch) == session
    history = model.fit(x, y, sample_weight=weights, batch_size=batch, epochs=3, verbose=0)
    return model.get_weights(), history.history


def assert_same(found: Any, expected: Any) -> None:
    (weights, history), (plain_weights, plain_history) = found, expected
    for w, plain in zip(weights, plain_weights, strict=True):
        tolerances.check(w, plain, "session", "float64")
    assert history.keys() == plain_history.keys()
    for key, values in history.items():
        tolerances.check(values, plain_history[key], "session", "float64", what=key)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("session", KINDS)
def test_same_as_plain(
    session: str, network: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained(monkeypatch, "plain", network, rows)
    assert_same(trained(monkeypatch, session, network, rows), expected)


@pytest.mark.parametrize("session", KINDS)
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: fastnn.optimizers.SGD(0.05),
        lambda: fastnn.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        lambda: fastnn.optimizers.Adam(0.01, weight_decay=0.1),
    ],
)
def test_optimizers(
    session: str,
    optimizer: Callable[[], fastnn.optimizers.Optimizer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = trained(monkeypatch, "plain", "relu", 300, optimizer=optimizer())
    assert_same(trained(monkeypatch, session, "relu", 300, optimizer=optimizer()), expected)


@pytest.mark.parametrize("frozen", [0, 1, 2])
@pytest.mark.parametrize("session", KINDS)
def test_frozen_layers_stay(session: str, frozen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = trained(monkeypatch, "plain", "relu", 300, frozen=frozen)
    assert_same(trained(monkeypatch, session, "relu", 300, frozen=frozen), expected)


@pytest.mark.parametrize("session", ["plain", *KINDS])
def test_layers_that_the_output_does_not_read_stay(session: str, rng: np.random.Generator) -> None:
    network = _core.Network(7, "float64", 1)
    network.dense(0, 9, "relu")  # not read
    network.set_output(network.dense(0, 3, "linear"))
    native = networks.bound(network, "float64")
    native.write([rng.normal(size=shape) for _, shape in network.parameters])
    before = native.read()
    networks.compile_native(network, loss="mean_squared_error", optimizer="adam", session=session)
    data = networks.rows(rng.normal(size=(300, 7)), rng.normal(size=(300, 3)))
    networks.train_native(
        network, data, batch_size=100, optimizer=networks.ADAM | {"weight_decay": 0.1}
    )
    moved = [not np.array_equal(*pair) for pair in zip(native.read(), before, strict=True)]
    assert moved == [False, False, True, True]


@pytest.mark.parametrize("batch", [32, 129, 256])
@pytest.mark.parametrize("session", KINDS)
def test_last_batch_is_smaller(session: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = trained(monkeypatch, "plain", "dropout", 300, batch=batch)
    assert_same(trained(monkeypatch, session, "dropout", 300, batch=batch), expected)


@pytest.mark.parametrize("session", ["plain", *KINDS])
def test_same_bits_whatever_the_threads(session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fastnn.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3, 8):
            fastnn.set_num_threads(threads)
            results.append(trained(monkeypatch, session, "dropout", 5000, dtype="float32"))
    finally:
        fastnn.set_num_threads(before)
    for weights, history in results[1:]:
        assert history == results[0][1]
        for w, first in zip(weights, results[0][0], strict=True):
            assert w.tobytes() == first.tobytes()


def test_choice_depends_on_shape() -> None:
    def session(widths: tuple[int, ...], batch: int) -> str:
        hidden = [layers.Dense(units, activation="relu") for units in widths[1:]]
        model = fastnn.Sequential([fastnn.Input((widths[0],)), *hidden])
        model.compile("adam", "mse")
        return model.session(batch)

    assert session((4, 10, 3), 32) == "plain"
    assert session((784, 512, 512, 10), 128) == "streaming"
    assert session((32, 64, 64, 16), 65536) == "tiled"
    assert session((32, 64, 64, 16), 2**62) == "tiled"  # more than any data is all of them


def test_summary_tells(capsys: pytest.CaptureFixture[str]) -> None:
    model = fastnn.Sequential([fastnn.Input((4,)), layers.Dense(3)])
    with pytest.raises(RuntimeError, match="not compiled"):
        model.summary(batch_size=32)
    model.compile("adam", "mse")
    capsys.readouterr()
    model.summary(batch_size=32)
    last = "Session in batches of 32: plain, products in float32"
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_unknown_session_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_SESSION", "tilde")
    model = fastnn.Sequential([fastnn.Input((4,)), layers.Dense(3)])
    with pytest.raises(ValueError, match=r"FASTNN_SESSION.*tilde"):
        model.compile("adam", "mse")


def test_divergence_leaves_good_weights() -> None:
    program = """
import numpy as np, fastnn
from fastnn import layers
draw = np.random.default_rng(0)
x = draw.normal(size=(600, 5)) * 1e6
model = fastnn.Sequential([fastnn.Input((5,)), layers.Dense(8, activation="relu"), layers.Dense(1)])
model.compile(fastnn.optimizers.SGD(1e6), "mse")
try:
    model.fit(x, draw.normal(size=600), batch_size=200, epochs=50, verbose=0)
except fastnn.TrainingDiverged:
    print(all(np.isfinite(w).all() for w in model.get_weights()))
"""
    for session in KINDS:
        done = cases.python(program, FASTNN_SESSION=session)
        assert done.stdout == "True\n", done.stderr
