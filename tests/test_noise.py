"""Layers that act in training alone: their numbers against the oracle, in every session and over the
tape."""

from __future__ import annotations

import pickle
from typing import Any

import networks
import numpy as np
import pytest
import reference
from networks import Array, compile_native, rows, train_native

import fastnn
from fastnn import _core, layers

KEY, STEPS = 7, 3
AMOUNTS = {"gaussian_noise": 0.7, "gaussian_dropout": 0.3, "alpha_dropout": 0.25}
CLASSES: dict[str, Any] = {
    "gaussian_noise": layers.GaussianNoise,
    "gaussian_dropout": layers.GaussianDropout,
    "alpha_dropout": layers.AlphaDropout,
}


def noisy(name: str, dtype: str, width: int, key: int | None = None) -> _core.Network:
    network = _core.Network(width, dtype, KEY)
    network.set_output(getattr(network, name)(0, AMOUNTS[name], key))
    networks.bound(network, dtype)
    return network


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", AMOUNTS)
def test_values_and_slopes(name: str, dtype: str, rng: np.random.Generator) -> None:
    for n, c in ((1, 1), (3, 4), (70, 7), (9, 260), (2, 1030)):
        network = noisy(name, dtype, c)
        x = rng.normal(size=(n, c)).astype(dtype)
        for step in range(2):
            recorded = network.record(rows(x, x), training=True)
            words = reference.words_of_rows(reference.stream_key(KEY, 1), step, n, c)
            want = reference.noise(name, AMOUNTS[name], words, x)
            # The quantile is good to 3e-6, and its float to 5e-7 at most.
            np.testing.assert_allclose(recorded.outputs, want, rtol=2e-5, atol=8e-6)
            slope = reference.noise(name, AMOUNTS[name], words, x + 1.0) - want
            (dx,) = recorded.pull(np.ones_like(x))
            np.testing.assert_allclose(dx, slope, rtol=2e-5, atol=8e-6)
        at_rest = network.record(rows(x, x))
        np.testing.assert_array_equal(at_rest.outputs, x)
        np.testing.assert_array_equal(at_rest.pull(x)[0], x)


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_by_its_words(dtype: str, rng: np.random.Generator) -> None:
    """To the bit, in rows short and long, of whole vectors and of others."""
    rate = 0.4
    last = int((1 - rate) * 2.0**32 - 1)
    scale = np.dtype(dtype).type(1 / (1 - rate))
    for n, c in (
        (5, 3),
        (3, 63),
        (5, 64),
        (2, 65),
        (3, 76),
        (7, 128),
        (3, 300),
        (2, 1024),
        (3, 2070),
    ):
        key = int(rng.integers(2**63)) * 2 + 1
        x = rng.normal(size=(n, c)).astype(dtype)
        words = reference.words_of_rows(key, 0, n, c)
        want = np.where(words <= last, x * scale, x.dtype.type(0))
        np.testing.assert_array_equal(_core.disturbed(x, "dropout", rate, key, False), want)
        dx = _core.disturbed(x, "alpha_dropout", rate, key, True)
        np.testing.assert_array_equal(dx == 0, words > last)


def test_a_seed_of_its_own(rng: np.random.Generator) -> None:
    """Its numbers do not depend on the key of the model."""
    x = rng.normal(size=(5, 9))
    for name, amount in AMOUNTS.items():
        outputs = noisy(name, "float64", 9, 11).record(rows(x, x), training=True).outputs
        words = reference.words_of_rows(reference.stream_key(11, 2**32 + 1), 0, 5, 9)
        want = reference.noise(name, amount, words, x)
        np.testing.assert_allclose(outputs, want, rtol=2e-5, atol=8e-6)


def test_moments(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4000, 50))
    for name, amount in AMOUNTS.items():
        y = np.asarray(CLASSES[name](amount)(x, training=True))
        error = 5 / np.sqrt(x.size)
        assert abs(y.mean()) < 2 * error
        rest = amount**2 if name == "gaussian_noise" else amount / (1 - amount)
        assert abs(y.var() - (1.0 if name == "alpha_dropout" else 1 + rest)) < 5 * error
        assert name == "alpha_dropout" or abs((x * y).mean() - (x * x).mean()) < 2 * error


def chain(name: str, dtype: str) -> tuple[networks.Native, Array, Array]:
    rng = np.random.default_rng(5)
    network = _core.Network(9, dtype, KEY)
    make = getattr(network, name)
    h = network.dense(make(0, AMOUNTS[name]), 13, "tanh")
    h = make(network.dense(make(h, AMOUNTS[name]), 6, "gelu"), AMOUNTS[name])
    network.set_output(network.dense(h, 2, "linear"))
    native = networks.bound(network, dtype)
    native.write([0.5 * rng.normal(size=shape) for _, shape in network.parameters])
    return native, *(rng.normal(size=(300, c)).astype(dtype) for c in (9, 2))


def trained(name: str, session: str, device: str, dtype: str = "float32") -> list[Array]:
    native, x, y = chain(name, dtype)
    compile_native(
        native.network, loss="mean_squared_error", optimizer="sgd", session=session, device=device
    )
    train_native(native.network, rows(x, y), batch_size=130, optimizer=networks.SGD, epochs=STEPS)
    return native.read()


@pytest.mark.parametrize("name", AMOUNTS)
def test_sessions(name: str) -> None:
    want = trained(name, "plain", "cpu", "float64")
    for session in ("plain", "streaming", "tiled"):
        for one, other in zip(trained(name, session, "cpu"), want, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", AMOUNTS)
def test_sessions_on_the_device(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    want = trained(name, "plain", "cpu", "float64")
    for session in ("plain", "generic", "wide"):
        for one, other in zip(trained(name, session, "cuda"), want, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)


def test_threads() -> None:
    for name in AMOUNTS:
        found = []
        for threads in (1, 3):
            fastnn.set_num_threads(threads)
            found.append(trained(name, "tiled", "cpu"))
        for one, other in zip(*found, strict=True):
            np.testing.assert_array_equal(one, other)


# -- as layers -----------------------------------------------------------------------


@pytest.mark.parametrize("name", AMOUNTS)
def test_the_layer_acts_in_training_alone(name: str, rng: np.random.Generator) -> None:
    layer = CLASSES[name](AMOUNTS[name])
    x = rng.normal(size=(30, 8)).astype(np.float32)
    for quiet in (layer(x), layer(x, training=False), CLASSES[name](0.0)(x, training=True)):
        np.testing.assert_array_equal(quiet, x)
    first, second = (np.asarray(layer(x, training=True)) for _ in range(2))
    assert not np.array_equal(first, second)
    again = [np.asarray(CLASSES[name](AMOUNTS[name], seed=3)(x, training=True)) for _ in range(2)]
    np.testing.assert_array_equal(*again)
    model = fastnn.Sequential([layer, layers.Dense(1)], seed=1)
    model.compile("sgd", "mse")
    model.fit(x, x[:, 0], epochs=2, verbose=0)
    without = x @ model.layers[1].kernel.numpy() + model.layers[1].bias.numpy()
    np.testing.assert_allclose(model.predict(x), without, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.predictor()(x), without, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", AMOUNTS)
def test_gradients_over_the_tape(name: str, rng: np.random.Generator) -> None:
    x = fastnn.Tensor(rng.normal(size=(6, 5)))
    layer = CLASSES[name](AMOUNTS[name], seed=5)
    with fastnn.GradientTape() as outer:
        outer.watch(x)
        with fastnn.GradientTape() as inner:
            inner.watch(x)
            y = layer(x, training=True)
            loss = fastnn.math.reduce_sum(y * y)
        (slope,) = inner.gradient(loss, [x])
    plain = CLASSES[name](AMOUNTS[name], seed=5)(np.zeros((6, 5)), training=True)
    factor = np.where(x.numpy() == 0, 1.0, (y.numpy() - plain.numpy()) / x.numpy())
    np.testing.assert_allclose(slope.numpy(), 2 * y.numpy() * factor, atol=1e-9)
    (curve,) = outer.gradient(slope, [x])
    np.testing.assert_allclose(curve.numpy(), 2 * factor**2, atol=1e-9)


def test_the_same_after_files_and_copies(tmp_path: Any, rng: np.random.Generator) -> None:
    x = rng.normal(size=(64, 6)).astype(np.float32)
    model = fastnn.Sequential(
        [
            layers.GaussianNoise(0.2, input_shape=(6,)),
            layers.Dense(8, "relu"),
            layers.GaussianDropout(0.2),
            layers.AlphaDropout(0.1),
            layers.Dense(1),
        ],
        seed=4,
    )
    model.compile("adam", "mse")
    model.fit(x, x[:, 0], epochs=2, verbose=0)
    model.save(tmp_path / "m.safetensors")
    others = [
        fastnn.load_model(tmp_path / "m.safetensors"),
        pickle.loads(pickle.dumps(model)),
    ]
    for one in (model, *others):
        one.fit(x, x[:, 0], epochs=2, verbose=0)
    for other in others:
        for mine, its in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, its)


def test_behind_the_last_dense_it_is_refused() -> None:
    model = fastnn.Sequential(
        [layers.Dense(3, "softmax", input_shape=(4,)), layers.GaussianNoise(0.1)]
    )
    with pytest.raises(ValueError, match="GaussianNoise after the last Dense disturbs outputs"):
        model.compile("adam", "sparse_categorical_crossentropy")


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="stddev"):
        layers.GaussianNoise(-0.1)
    with pytest.raises(ValueError, match="rate"):
        layers.GaussianDropout(1.0)
    with pytest.raises(ValueError, match="rate"):
        layers.AlphaDropout(-0.5)
    with pytest.raises(ValueError, match="noise_shape"):
        layers.AlphaDropout(0.5, noise_shape=(1, 3))  # type: ignore[arg-type]
