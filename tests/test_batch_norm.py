"""Batch normalization: its kernels against the oracle, every session, and the layer."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import networks
import numpy as np
import pytest
import reference
from networks import Array, Native, compile_native, rows, train_native
from tolerances import check

import fastnn
from fastnn import _core, layers

N, STEPS, MOMENTUM = 300, 3, 0.9
SHAPES = ((1, 1), (1, 5), (2, 3), (7, 1), (33, 17), (129, 40), (1000, 3), (5000, 2), (3, 300))


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_kernels(dtype: str, offset: float, rng: np.random.Generator) -> None:
    for n, c in SHAPES:
        x = (offset + rng.normal(size=(n, c))).astype(dtype)
        dy = rng.normal(size=(n, c)).astype(dtype)
        gamma, beta = rng.normal(size=(2, c)).astype(dtype)
        for weights, shift in ((gamma, beta), (None, None), (gamma, None), (None, beta)):
            want = reference.batch_normalization(x, weights, shift)
            size = 1.0 if weights is None else np.abs(np.float64(gamma))
            xhat = np.abs(reference.batch_normalization(x)[0])
            scale = size * (1 + xhat) + (0.0 if shift is None else np.abs(np.float64(beta)))
            y, mean, variance = _core.batch_normalization(x, weights, shift, 1e-3)
            check(y, want[0], "normalization", dtype, scale=8 * scale, what="y")
            check(mean, want[1], "normalization", dtype, scale=1 + abs(offset), what="mean")
            check(variance, want[2], "normalization", dtype, scale=8.0, what="variance")
        got = _core.batch_normalization_backward(dy, x, gamma, 1e-3)
        expected = reference.batch_normalization_backward(dy, x, gamma)
        spread = 1 / np.sqrt(np.float64(x).var(axis=0) + 1e-3)
        g = np.abs(np.float64(dy))
        scales = (
            size_of(gamma) * spread * (g + g.mean(0) + xhat * (g * (1 + xhat)).mean(0)),
            (g * (1 + xhat)).sum(0),
            g.sum(0),
        )
        for one, other, bound in zip(got, expected, scales, strict=True):
            check(one, other, "normalization gradient", dtype, scale=8 * bound)


def size_of(gamma: Array) -> Array:
    return np.abs(np.float64(gamma))


@pytest.mark.isa
def test_statistics_where_the_first_rows_are_unlike_the_rest(rng: np.random.Generator) -> None:
    """Row groups are joined by their means: in columns that drift, or jump after 40 rows, these lie apart."""
    n = 5000
    x = rng.normal(size=(n, 5))
    x[:, 0] += np.linspace(-500, 500, n)
    x[:40, 1] += 3000
    x[40:, 2] += 3000
    x[:, 3] = 0.1
    x[:, 4] = 0
    x[n // 2, 4] = 1
    x = x.astype(np.float32)
    _, mean, variance = _core.batch_normalization(x, None, None, 1e-3)
    exact = np.float64(x)
    spread = exact.std(axis=0)
    unit = float(np.finfo(np.float32).eps)
    assert (np.abs(mean - exact.mean(axis=0)) <= 8 * unit * (spread + np.abs(exact).max(0))).all()
    assert (np.abs(variance - exact.var(axis=0)) <= 40 * unit * spread**2).all()
    assert variance[3] == 0
    assert mean[3] == x[0, 3]


def test_nan_fills_its_column(rng: np.random.Generator) -> None:
    x = rng.normal(size=(40, 3))
    x[7, 1] = np.nan
    y, _, _ = _core.batch_normalization(x, None, None, 1e-3)
    assert np.isnan(y[:, 1]).all()
    assert np.isfinite(y[:, [0, 2]]).all()


# -- as a node, in every session -------------------------------------------------------


def network_of(dtype: str) -> Native:
    network = _core.Network(5, dtype, 7)
    first = network.batch_normalization(0, MOMENTUM)
    h = network.dense(first, 5, "tanh")
    h = network.batch_normalization(h, MOMENTUM, 0.1, like=first)
    h = network.batch_normalization(network.dense(h, 7, "gelu"), 0.5, 0.2, False, True)
    h = network.batch_normalization(network.dense(h, 4, "linear"), MOMENTUM, 0.1, False, False)
    network.set_output(network.dense(h, 3, "linear"))
    native = networks.bound(network, dtype)
    rng = np.random.default_rng(2)
    native.write(
        [
            (np.abs if role == "statistic" else np.asarray)(0.5 * rng.normal(size=shape))
            for role, (_, shape) in zip(network.roles, network.parameters, strict=True)
        ]
    )
    return native


def problem(dtype: str) -> tuple[Native, Array, Array]:
    rng = np.random.default_rng(3)
    x, y = 2 + 3 * rng.normal(size=(N, 5)), rng.normal(size=(N, 3))
    return network_of(dtype), x.astype(dtype), y.astype(dtype)


def test_gradients_in_training() -> None:
    native, x, y = problem("float64")
    network = native.network
    compile_native(network, loss="mean_squared_error", device="cpu")
    data = rows(x, y)
    before = native.read()

    def loss() -> float:
        outputs = network.record(data, training=True).outputs
        return float(((outputs - y) ** 2).mean())

    value, flat = network.gradients(data, training=True)
    for was, now in zip(before, native.read(), strict=True):
        np.testing.assert_array_equal(was, now)  # the moving statistics too
    assert abs(value - loss()) < 1e-12
    weights = [w.copy() for w in before]
    for role, w, g in zip(network.roles, weights, native.split(flat), strict=True):
        if role == "statistic":
            assert not g.any()
            continue
        for place in np.ndindex(w.shape):
            found = []
            for step in (1e-5, -1e-5):
                kept = w[place]
                w[place] = kept + step
                native.write(weights)
                found.append(loss())
                w[place] = kept
            assert abs((found[0] - found[1]) / 2e-5 - g[place]) < 1e-8


def test_gradients_at_rest() -> None:
    """By the moving statistics: of gamma and beta too."""
    native, x, y = problem("float64")
    compile_native(native.network, loss="mean_squared_error", device="cpu")
    data = rows(x[:20], y[:20])
    weights = native.read()
    _, flat = native.network.gradients(data)
    for role, w, g in zip(native.network.roles, weights, native.split(flat), strict=True):
        for place in np.ndindex(w.shape if role != "statistic" else ()):
            if role == "statistic":
                continue
            found = []
            for step in (1e-5, -1e-5):
                kept = w[place]
                w[place] = kept + step
                native.write(weights)
                value, weight = native.network.evaluate(data)
                found.append(value / weight)
                w[place] = kept
            assert abs((found[0] - found[1]) / 2e-5 - g[place]) < 1e-8


def trained(dtype: str, session: str, device: str, batch: int = N) -> list[Array]:
    native, x, y = problem(dtype)
    compile_native(
        native.network, loss="mean_squared_error", optimizer="sgd", session=session, device=device
    )
    train_native(native.network, rows(x, y), batch_size=batch, optimizer=networks.SGD, epochs=STEPS)
    return native.read()


def by_hand() -> list[Array]:
    """Full batches in NumPy, with the gradients that the tests above hold against differences."""
    native, x, y = problem("float64")
    network = native.network
    compile_native(network, loss="mean_squared_error", device="cpu")
    data = rows(x, y)
    velocity: list[Any] = [0.0] * len(native.read())
    for _ in range(STEPS):
        gradients = native.split(network.gradients(data, training=True)[1])
        network.record(data, training=True)  # moves the statistics, once
        weights = native.read()
        for i, (w, g) in enumerate(zip(weights, gradients, strict=True)):
            if network.roles[i] != "statistic":
                rate, momentum = networks.SGD["learning_rate"], networks.SGD.get("momentum", 0.0)
                velocity[i] = momentum * velocity[i] - rate * g
                w += velocity[i]
        native.write(weights)
    return native.read()


def test_moving_statistics_are_momentum_and_the_rest() -> None:
    native, x, _ = problem("float64")
    before = native.read()
    native.network.record(rows(x, x[:, :3]), training=True)
    after = native.read()
    # The node is called twice, on x and on what is made of it.
    h = reference.batch_normalization(x, before[0], before[1])[0] @ before[4] + before[5]
    found = [before[2], before[3]]
    for part in (x, np.tanh(h)):
        for i, of_batch in enumerate((part.mean(0), part.var(0))):
            found[i] = MOMENTUM * found[i] + (1 - MOMENTUM) * of_batch
    np.testing.assert_allclose(after[2], found[0], rtol=1e-12)
    np.testing.assert_allclose(after[3], found[1], rtol=1e-12)


@pytest.mark.parametrize("session", ["plain", "streaming"])
def test_sessions(session: str) -> None:
    want = by_hand()
    for dtype, tolerance in (("float64", 1e-10), ("float32", 3e-4)):
        for got, expected in zip(trained(dtype, session, "cpu"), want, strict=True):
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("session", ["plain", "generic", "wide"])
def test_sessions_on_the_device(
    session: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    for got, expected in zip(trained("float32", session, "cuda"), by_hand(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=3e-4, atol=3e-4)
    want = trained("float64", "plain", "cpu", 64)
    for got, expected in zip(trained("float32", session, "cuda", 64), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-3)


def test_it_is_never_cut_into_tiles() -> None:
    with pytest.raises(ValueError, match="'tiled' cannot train this model, some of whose layers"):
        trained("float32", "tiled", "cpu")


def test_threads() -> None:
    found = []
    for threads in (1, 3):
        fastnn.set_num_threads(threads)
        found.append(trained("float32", "plain", "cpu"))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


# -- the layer -----------------------------------------------------------------------


def model_of(**options: Any) -> Any:
    return fastnn.Sequential(
        [
            layers.Dense(6, input_shape=(4,)),
            layers.BatchNormalization(momentum=0.8, **options),
            layers.Activation("relu"),
            layers.Dense(2),
        ],
        seed=1,
    )


def data() -> tuple[Array, Array]:
    rng = np.random.default_rng(4)
    x = (5 + 3 * rng.normal(size=(90, 4))).astype(np.float32)
    return x, (x[:, 0] > x[:, 1]).astype(np.int64)


def fitted(**options: Any) -> Any:
    model = model_of(**options)
    model.compile(fastnn.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(*data(), batch_size=32, epochs=3, verbose=0)
    return model


def test_weights_and_options() -> None:
    model = model_of()
    norm = model.layers[1]
    assert [w.name for w in norm.weights] == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert [w.trainable for w in norm.weights] == [True, True, False, False]
    assert norm.moving_variance.numpy().tolist() == [1.0] * 6
    assert len(model.non_trainable_weights) == 2
    assert "Parameters: 68 (56 trainable, 12 not)" in text_of(model)
    bare = model_of(center=False, scale=False).layers[1]
    assert [w.name for w in bare.weights] == ["moving_mean", "moving_variance"]
    assert bare.gamma is None
    with pytest.raises(ValueError, match="expects rows of one axis"):
        fastnn.Sequential([layers.BatchNormalization(input_shape=(4, 3))])


def text_of(model: Any) -> str:
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    return "\n".join(lines)


def test_predict_uses_the_moving_statistics() -> None:
    model = fitted()
    x, _ = data()
    dense, norm, _, head = model.layers
    h = x @ dense.kernel.numpy() + dense.bias.numpy()
    spread = np.sqrt(norm.moving_variance.numpy() + 1e-3)
    h = (h - norm.moving_mean.numpy()) / spread * norm.gamma.numpy() + norm.beta.numpy()
    want = np.maximum(h, 0) @ head.kernel.numpy() + head.bias.numpy()
    np.testing.assert_allclose(model.predict(x, verbose=0), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model(x).numpy(), want, rtol=1e-4, atol=1e-5)
    predictor = model.predictor()  # where the normalization is a part of the Dense
    np.testing.assert_allclose(predictor(x), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(predictor(x[:1]), want[:1], rtol=1e-4, atol=1e-5)
    assert np.abs(norm.moving_mean.numpy()).min() > 0.01


def test_a_frozen_layer_stays_as_it_is() -> None:
    model = model_of()
    norm = model.layers[1]
    norm.trainable = False
    assert norm.trainable_weights == []
    before = norm.get_weights()
    model.compile(fastnn.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(*data(), batch_size=32, epochs=2, verbose=0)
    for was, now in zip(before, norm.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    norm.trainable = True
    assert [w.trainable for w in norm.weights] == [True, True, False, False]
    model.compile(fastnn.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(*data(), batch_size=32, epochs=2, verbose=0)
    for was, now in zip(before, norm.get_weights(), strict=True):
        assert not np.array_equal(was, now)


def test_a_layer_that_is_not_built_at_compile() -> None:
    model = fastnn.Sequential([layers.Dense(4), layers.BatchNormalization(), layers.Dense(2)])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*data(), epochs=1, verbose=0)
    assert model.layers[1].moving_mean.numpy().any()
    assert len(model.trainable_weights) == 6


def test_a_batch_of_one_row() -> None:
    """Its variance is 0, and nothing but the offset comes out."""
    model = model_of()
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = data()
    assert np.isfinite(model.train_on_batch(x[:1], y[:1]))
    norm = model.layers[1]
    np.testing.assert_allclose(norm.moving_variance.numpy(), 0.8, rtol=1e-6)


def test_averages_of_weights_leave_them_alone() -> None:
    x, y = data()
    found = []
    for averages in (False, True):
        model = model_of()
        optimizer = fastnn.optimizers.Adam(0.01, use_ema=averages)
        model.compile(optimizer, "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=32, epochs=2, verbose=0)
        found.append(model.layers[1].get_weights())
    for one, other in zip(found[0][2:], found[1][2:], strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(found[0][0], found[1][0])


def test_files_and_copies_go_on_with_the_same_bits(tmp_path: Any) -> None:
    model = fitted()
    model.save(tmp_path / "m.safetensors")
    others = [
        fastnn.load_model(tmp_path / "m.safetensors"),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
    ]
    x, y = data()
    for one in (model, *others):
        one.fit(x, y, batch_size=32, epochs=2, verbose=0)
    for other in others:
        assert [w.trainable for w in other.layers[1].weights] == [True, True, False, False]
        for mine, its in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, its)


def test_divergence_goes_back_to_earlier_statistics() -> None:
    x, _ = data()
    model = fastnn.Sequential([layers.BatchNormalization(input_shape=(4,)), layers.Dense(1)])
    model.compile(fastnn.optimizers.SGD(1e30), "mse")
    before = model.get_weights()
    with pytest.raises(fastnn.TrainingDiverged):
        model.fit(x, x[:, 0], batch_size=32, epochs=5, verbose=0)
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_over_the_tape() -> None:
    """A program's own loop trains as `fit` does, statistics included."""
    x, y = data()
    model, own = fastnn.models.clone_model(model_of()), model_of()
    model.set_weights(own.get_weights())
    model.compile(fastnn.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=len(x), epochs=3, shuffle=False, verbose=0)
    optimizer = fastnn.optimizers.SGD(0.1)
    loss_fn = fastnn.losses.SparseCategoricalCrossentropy(from_logits=True)
    for _ in range(3):
        with fastnn.GradientTape() as tape:
            loss = loss_fn(y, own(x, training=True))
        grads = tape.gradient(loss, own.trainable_variables)
        optimizer.apply_gradients(zip(grads, own.trainable_variables, strict=True))
    for mine, its in zip(model.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_allclose(mine, its, rtol=2e-5, atol=2e-6)


def test_a_frozen_layer_over_the_tape() -> None:
    """As it is at the call, in a model that was never compiled."""
    x, _ = data()
    model = model_of()
    norm = model.layers[1]
    for frozen in (True, False, True):
        norm.trainable = not frozen
        before, rest = norm.get_weights(), model(x).numpy()
        y = model(x, training=True).numpy()
        assert np.array_equal(y, rest) == frozen
        assert np.array_equal(before[2], norm.moving_mean.numpy()) == frozen


def test_a_layer_alone_over_the_tape(rng: np.random.Generator) -> None:
    x = rng.normal(size=(9, 3))
    layer = layers.BatchNormalization(momentum=0.9, epsilon=0.1, dtype="float64")
    layer(x)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), np.zeros(3))
    gamma, beta = rng.normal(size=(2, 3))
    layer.set_weights([gamma, beta, *layer.get_weights()[2:]])
    dy = rng.normal(size=(9, 3))
    given = fastnn.Tensor(x)
    with fastnn.GradientTape() as outer:
        outer.watch(given)
        with fastnn.GradientTape() as inner:
            inner.watch(given)
            y = layer(given, training=True)
        found = inner.gradient(y, [given, layer.gamma, layer.beta], output_gradients=[dy])
        total = fastnn.math.reduce_sum(found[0] * dy)
    want = reference.batch_normalization_backward(dy, x, gamma, epsilon=0.1)
    for got, expected in zip(found, want, strict=True):
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-10)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * x.mean(0))
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.9 + 0.1 * x.var(0))
    curve = outer.gradient(total, [given])[0].numpy()
    for place in ((0, 0), (4, 2)):
        values = []
        for step in (1e-5, -1e-5):
            moved = x.copy()
            moved[place] += step
            dx = reference.batch_normalization_backward(dy, moved, gamma, epsilon=0.1)[0]
            values.append((dx * dy).sum())
        assert abs((values[0] - values[1]) / 2e-5 - curve[place]) < 1e-8


def test_a_layer_behind_the_head_is_refused() -> None:
    model = fastnn.Sequential([layers.Dense(3, "softmax"), layers.BatchNormalization()])
    with pytest.raises(ValueError, match="BatchNormalization after softmax makes outputs that are"):
        model.compile("adam", "sparse_categorical_crossentropy")
