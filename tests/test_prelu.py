"""PReLU: its values, the gradients of its slopes, training in every session, what it becomes elsewhere."""

from __future__ import annotations

import copy
import pickle

import cases
import numpy as np
import pytest

import fastnn
from fastnn import constraints, layers, optimizers, regularizers

SHAPES = [
    ((5,), None, (5,)),
    ((5,), [1], (1,)),
    ((2, 3, 4), None, (2, 3, 4)),
    ((2, 3, 4), (1, 2), (1, 1, 4)),
    ((2, 3, 4), 2, (2, 1, 4)),
    ((2, 3, 4), [1, 3], (1, 3, 1)),
    ((2, 3, 4), [1, 2, 3], (1, 1, 1)),
]


@pytest.mark.parametrize(("shape", "shared", "own"), SHAPES, ids=str)
def test_values_and_gradients(shape, shared, own, rng):
    """Of a model and of a layer: the same, and those of central differences."""
    model = fastnn.Sequential(
        [layers.Input(shape), layers.PReLU(shared_axes=shared), layers.Flatten(), layers.Dense(2)],
        dtype="float64",
    )
    model.compile("sgd", "mse")
    alpha = rng.normal(size=own)
    assert model.get_weights()[0].shape == own
    model.set_weights([alpha, *(rng.normal(size=w.shape) for w in model.get_weights()[1:])])
    x, y = rng.normal(size=(9, *shape)), rng.normal(size=(9, 2))
    x[np.abs(x) < 1e-3] = 0.1
    layer = model.layers[0]
    np.testing.assert_array_equal(layer(x).numpy(), np.where(x > 0, x, alpha * x))
    _, gradients = model.value_and_grad(x, y)
    given = fastnn.Tensor(x)
    with fastnn.GradientTape() as tape:
        tape.watch(given)
        h = given
        for one in model.layers:
            h = one(h)
        loss = fastnn.reduce_mean(fastnn.square(h - y))
    dx, *taped = tape.gradient(loss, [given, *model.trainable_variables])
    for a, b in zip(gradients, taped, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-10, atol=1e-13)
    rest = model.get_weights()[1:]

    def value(a):
        model.set_weights([a, *rest])
        return model.evaluate(x, y, verbose=0)

    numeric = cases.gradient(value, alpha.copy(), 1e-5)
    np.testing.assert_allclose(gradients[0], numeric, rtol=1e-6, atol=1e-9)
    flat = (np.where(x > 0, 1.0, alpha) * 1.0).reshape(9, -1)
    kernel, bias = rest
    residue = 2 * ((np.where(x > 0, x, alpha * x).reshape(9, -1) @ kernel + bias) - y) / y.size
    np.testing.assert_allclose(dx.numpy().reshape(9, -1), (residue @ kernel.T) * flat, rtol=1e-9)


@pytest.mark.parametrize("session", ["plain", "streaming", "tiled"])
def test_training_in_every_session(session, rng, monkeypatch):
    """Slopes learn with the bits of any number of threads, and as over the tape."""
    monkeypatch.setenv("FASTNN_SESSION", session)
    x, y = rng.normal(size=(64, 6)).astype(np.float32), rng.normal(size=(64, 3)).astype(np.float32)
    found = []
    for threads in (1, 2):
        fastnn.set_num_threads(threads)
        model = fastnn.Sequential(
            [layers.Input((6,)), layers.Dense(8), layers.PReLU(), layers.Dense(3)], seed=1
        )
        model.compile(fastnn.optimizers.SGD(0.05), "mse")
        model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0)
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(found[0][2]).max() > 1e-3
    model = fastnn.Sequential(
        [layers.Input((6,)), layers.Dense(8), layers.PReLU(), layers.Dense(3)], seed=1
    )
    weights = [w.astype(np.float64) for w in model.get_weights()]
    for _ in range(3):
        for first in range(0, 64, 16):
            a, b = x[first : first + 16].astype(float), y[first : first + 16]
            k, c, alpha, l, d = weights
            z = a @ k + c
            h = np.where(z > 0, z, alpha * z)
            dy = 2 * (h @ l + d - b) / b.size
            dh = dy @ l.T
            dz = dh * np.where(z > 0, 1.0, alpha)
            steps = [a.T @ dz, dz.sum(0), (dh * np.minimum(z, 0)).sum(0), h.T @ dy, dy.sum(0)]
            weights = [w - 0.05 * g for w, g in zip(weights, steps, strict=True)]
    for a, b in zip(found[0], weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_not_finite_numbers_and_shared_layers():
    layer = layers.PReLU("ones")
    inputs = fastnn.Input((3,))
    model = fastnn.Model(inputs, layer(layer(inputs)))
    x = np.array([[-np.inf, np.inf, 1.0], [0.0, -2.0, 3.0]], np.float32)
    np.testing.assert_array_equal(layer(layer(x)).numpy(), x)
    layer.alpha.assign([0.5, 0.25, 2.0])
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x), layer(layer(x)).numpy(), rtol=1e-6)
    y = layer(np.array([[np.nan, 1.0, -1.0]], np.float32)).numpy()
    np.testing.assert_array_equal(y, [[np.nan, 1.0, -2.0]])


def test_options_and_errors(tmp_path):
    layer = layers.PReLU(shared_axes=(2, 1, 1))
    assert layer.shared_axes == [1, 2]
    model = fastnn.Sequential([layers.Input((2, 3)), layer, layers.Flatten(), layers.Dense(2)])
    assert layer.alpha.shape == (1, 1)
    model.save(tmp_path / "model.safetensors")
    x = np.ones((4, 2, 3), np.float32)
    other = fastnn.load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(other.predict(x), model.predict(x))
    with pytest.raises(ValueError, match=r"shared_axes: expected axes from 1 to 1 for .*got 2"):
        fastnn.Sequential([layers.Input((3,)), layers.PReLU(shared_axes=2)])
    with pytest.raises(ValueError, match=r"shared_axes.*0"):
        layers.PReLU(shared_axes=[0])
    with pytest.raises(AttributeError, match="no parameters yet"):
        _ = layers.PReLU().alpha


@pytest.mark.parametrize("shape", [(4,), (2, 4)])
def test_regularizers_and_constraints(shape):
    layer = layers.PReLU(
        "ones", regularizers.L2(0.5), constraints.NonNeg(), dtype="float64", input_shape=shape
    )
    model = fastnn.Sequential([layer])
    model.compile(optimizers.SGD(0.25), "mse")
    zeros = np.zeros((3, *shape))
    assert model.train_on_batch(zeros, zeros) == pytest.approx(0.5 * np.prod(shape))
    np.testing.assert_allclose(layer.alpha.numpy(), 0.75)  # 1 - 0.25 * 2 * 0.5
    layer.alpha.assign(np.full(shape, -1.0))
    model.train_on_batch(zeros, zeros)
    np.testing.assert_array_equal(layer.alpha.numpy(), 0.0)


def test_glu_as_a_layer():
    model = fastnn.Sequential(
        [layers.Input((6,)), layers.Activation("glu"), layers.Dense(2)], seed=1
    )
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    made = model.layers[0](x).numpy()
    np.testing.assert_allclose(made, x[:, :3] / (1 + np.exp(-x[:, 3:])), rtol=1e-5)
    y = np.zeros((8, 2), np.float32)
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=5, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before
    with pytest.raises(ValueError, match=r"glu expects rows of one axis of an even length.*\(5,\)"):
        fastnn.Sequential([layers.Input((5,)), layers.Activation("glu")])
    with pytest.raises(ValueError, match="glu halves the units"):
        layers.Dense(4, "glu")


def test_limits_of_alpha(rng):
    """Penalties and constraints of alpha: natively where they look at numbers or at one axis, over a
    tape where they look along axes of rows; Muon takes no alpha for a matrix."""
    x = rng.normal(size=(20, 3, 4))
    y = rng.normal(size=(20, 2))
    for constraint, taped in (("non_neg", False), (fastnn.constraints.MaxNorm(0.1, axis=0), True)):
        alpha = layers.PReLU("ones", fastnn.regularizers.L2(0.5), constraint)
        model = fastnn.Sequential(
            [layers.Input((3, 4)), alpha, layers.Flatten(), layers.Dense(2)], dtype="float64"
        )
        model.compile(fastnn.optimizers.SGD(0.3), "mse")
        model._told = True
        loss = model.fit(x, y, batch_size=20, verbose=0).history["loss"][0]
        a = model.get_weights()[0]
        assert loss > 0.5 * 12  # the penalty of the ones that training begins with
        assert (model._state.now.plan.native is None) == taped
        if taped:
            assert (np.linalg.norm(a, axis=0) <= 0.1 + 1e-9).all()
        else:
            assert a.min() >= 0
            assert not (a == 1).any()
    slopes = layers.PReLU("ones")
    model = fastnn.Sequential([layers.Input((3, 4)), slopes, layers.Flatten(), layers.Dense(2)])
    muon = fastnn.optimizers.Muon(0.01)
    assert [muon._is_orthogonal(v) for v in model.weights] == [False, True, False]
    model.compile(muon, "mse")
    model.fit(x, y, verbose=0)
    assert np.isfinite(slopes.alpha.numpy()).all()


def test_copies_and_shared_layers(rng):
    """Of rows of several axes, where alpha has another shape natively."""
    x = rng.normal(size=(5, 2, 3, 4)).astype(np.float32)
    slopes = layers.PReLU(alpha_initializer="glorot_uniform", shared_axes=[1])
    slopes(x)  # which builds it
    inputs = fastnn.Input((2, 3, 4))
    model = fastnn.Model(inputs, layers.Flatten()(slopes(slopes(inputs))))
    want = model.predict(x)
    for copied in (pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model)):
        np.testing.assert_array_equal(copied.predict(x), want)
    other = fastnn.Model(inputs, slopes(inputs))
    slopes.alpha.assign(np.ones(slopes.alpha.shape))
    np.testing.assert_array_equal(other.predict(x), x)
    again = fastnn.Input((3, 2, 4))
    with pytest.raises(ValueError, match=r"a alpha of shape \(1, 3, 4\), but needs \(1, 2, 4\)"):
        fastnn.Model(again, slopes(again))


def test_the_best_weights_have_its_shape() -> None:
    """Natively alpha is a row of a table."""
    model = fastnn.Sequential([layers.Input((4,)), layers.PReLU(), layers.Dense(1)], seed=1)
    model.compile("adam", "mse")
    stop = fastnn.callbacks.EarlyStopping("loss", restore_best_weights=True)
    model.fit(np.ones((20, 4)), np.ones(20), epochs=3, verbose=0, callbacks=[stop])
    assert model.layers[0].alpha.shape == (4,)
