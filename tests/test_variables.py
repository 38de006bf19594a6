"""Variables: places in the one buffer of a model, read by view, written by assign.

Parameters exist from the moment a layer is built, and training moves them where they are.
"""

from __future__ import annotations

import networks
import numpy as np
import pytest

import fastnn
from fastnn import layers, optimizers

CATEGORICAL = "sparse_categorical_crossentropy"


def chain(*activations, widths=(4, 5, 3), dtype="float64"):
    return networks.sequential(widths, activations, dtype=dtype)


def test_parameters_exist_from_the_moment_a_layer_is_built():
    dense = layers.Dense(3, input_shape=(4,))
    model = fastnn.Sequential([dense])
    assert dense.kernel.shape == (4, 3)
    assert dense.bias.shape == (3,)
    assert dense.kernel.dtype == "float32"
    assert (dense.kernel.numpy() != 0).any()
    before = model.get_weights()
    model.compile(optimizer="sgd", loss="mse")
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_variable_is_a_place(rng):
    """view() is a read-only view of what trains; assign writes; copies stay copies."""
    model = chain("tanh", "softmax")
    model.compile(optimizer="sgd", loss=CATEGORICAL)
    kernel = model.layers[0].kernel
    view, copy = kernel.view(), model.get_weights()[0]
    snapshots = [kernel.numpy(), kernel.value, np.asarray(kernel), np.array(kernel)]
    assert not view.flags.writeable
    assert copy.flags.writeable
    assert np.shares_memory(kernel.__array__(copy=False), view)
    with pytest.raises(ValueError, match="a copy is needed"):
        kernel.__array__(np.float16, copy=False)
    assert kernel.__array__(np.float16).dtype == np.float16
    model.fit(rng.normal(size=(9, 4)), rng.integers(0, 3, 9), verbose=0)
    assert not np.array_equal(view, copy), "the view shows training"
    np.testing.assert_array_equal(view, kernel.numpy())
    for snapshot in snapshots:
        assert snapshot.flags.writeable
        np.testing.assert_array_equal(snapshot, copy)
    kernel.assign(np.full((4, 5), 0.25))
    assert (view == 0.25).all()
    np.testing.assert_array_equal(model.get_weights()[0], view)
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0] = 1
    with pytest.raises(ValueError, match=r"(?s)\(4, 5\).*\(5, 4\)|\(5, 4\).*\(4, 5\)"):
        kernel.assign(np.ones((5, 4)))
    assert (view == 0.25).all()


def test_assigning_is_seen_by_predict_and_fit(rng):
    model = chain(None, widths=(4, 1))
    model.compile(optimizer=optimizers.SGD(0.0), loss="mse")
    x = rng.normal(size=(6, 4))
    for value in (1.0, 2.0):
        model.layers[0].kernel.assign(np.full((4, 1), value))
        model.layers[0].bias.assign([value])
        want = value * (x.sum(axis=1, keepdims=True) + 1)
        np.testing.assert_allclose(model.predict(x, verbose=0), want, rtol=1e-12)
        loss = model.fit(x, np.zeros(6), verbose=0).history["loss"][0]
        assert loss == pytest.approx((want**2).mean(), rel=1e-12)


def test_a_view_outlives_its_model():
    model = chain("tanh", "softmax")
    view = model.layers[0].kernel.view()
    copy = view.copy()
    del model
    junk = [np.ones((64, 64)) for _ in range(50)]
    np.testing.assert_array_equal(view, copy)
    assert len(junk) == 50


def test_variables_stay_with_their_layer_when_the_model_grows():
    """`add` may move the numbers; whoever holds the Variable does not see it."""
    first = layers.Dense(5, input_shape=(4,))
    model = fastnn.Sequential([first])
    kernel, value = first.kernel, first.kernel.numpy().copy()
    model.add(layers.Dense(300, activation="tanh"))
    model.add(layers.Dense(2))
    np.testing.assert_array_equal(kernel.numpy(), value)
    assert first.kernel is kernel
    kernel.assign(np.zeros((4, 5)))
    first.bias.assign(np.zeros(5))
    np.testing.assert_array_equal(model.get_weights()[0], 0)
    out = model.predict(np.ones((2, 4)), verbose=0)
    np.testing.assert_array_equal(out, 0)


def test_one_layer_in_two_places_is_refused():
    """Weights are never copied in silence."""
    dense = layers.Dense(4, input_shape=(4,))
    with pytest.raises(ValueError, match=r"dense|layer"):
        fastnn.Sequential([dense, dense])
    other = fastnn.Sequential([layers.Dense(4, input_shape=(4,))])
    assert fastnn.Sequential([other.layers[0]]).weights[0] is other.weights[0]


def test_frozen_layers_stay(rng):
    model = chain("tanh", "softmax")
    model.layers[0].trainable = False
    model.compile(optimizer="adam", loss=CATEGORICAL)
    before = model.get_weights()
    model.fit(rng.normal(size=(9, 4)), rng.integers(0, 3, 9), verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False, False, True, True]
