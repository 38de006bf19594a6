"""Lambda and ActivityRegularization: layers made of functions."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers as _layers
from fastnn import optimizers

layers: Any = _layers  # Lambda is there at run time

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")
X = np.random.default_rng(2).normal(size=(30, 4))
T = X[:, :1]


def waves(x: Any, frequency: float = 1.0) -> Any:
    return fastnn.concat([fastnn.sin(frequency * x), fastnn.cos(frequency * x)], 1)


def chain(layer: Any) -> Any:
    return fastnn.Sequential([fastnn.Input((4,)), layer, layers.Dense(1)], dtype="float64")


def test_values_and_gradients() -> None:
    model = chain(layers.Lambda(waves, arguments={"frequency": 2.0}))
    k, b = model.get_weights()
    h = np.concatenate([np.sin(2 * X), np.cos(2 * X)], 1)
    np.testing.assert_allclose(model.predict(X), h @ k + b, rtol=1e-12)
    model.compile(optimizers.SGD(0.1), "mse")
    _, grads = model.value_and_grad(X, T)
    np.testing.assert_allclose(grads[0], h.T @ (2 * (h @ k + b - T)) / 30, rtol=1e-10)
    assert layers.Lambda(waves).compute_output_shape((None, 4)) == (None, 8)
    given = layers.Lambda(waves, output_shape=(8,))
    assert given.compute_output_shape((None, 4)) == (None, 8)
    by_function = layers.Lambda(waves, output_shape=lambda s: (s[0], 2 * s[1]))
    assert by_function.compute_output_shape((None, 4)) == (None, 8)
    inputs = fastnn.Input((4,))
    assert given(inputs).shape == by_function(inputs).shape == (None, 8)


def test_a_graph_of_layers_is_native() -> None:
    model = chain(layers.Lambda(lambda x: 2.0 * x + x))
    assert model.predictor()(X[0]).shape == (1,)
    k, b = model.get_weights()
    np.testing.assert_allclose(model.predict(X), 3 * X @ k + b, rtol=1e-12)


def test_several_inputs_and_training() -> None:
    a, b = fastnn.Input((4,)), fastnn.Input((4,))
    y = layers.Lambda(lambda parts: fastnn.maximum(parts[0], parts[1]))([a, b])
    model = fastnn.Model([a, b], y)
    np.testing.assert_allclose(model.predict([X, -X]), np.abs(X), rtol=1e-6)
    told = layers.Lambda(lambda x, training: x * (2.0 if training else 1.0))
    assert float(told(np.ones((1, 1)), training=True)) == 2.0
    assert float(told(np.ones((1, 1)))) == 1.0


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = chain(layers.Lambda(waves, arguments={"frequency": 3.0}))
    model.save(path)
    with pytest.raises(fastnn.ModelFileError, match=r"the function 'waves', which no file holds"):
        fastnn.load_model(path)
    loaded = fastnn.load_model(path, custom_objects={"waves": waves})
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict(X), model.predict(X))
    model = chain(layers.Lambda(lambda x: fastnn.math.abs(x), name="size"))
    model.save(path)
    with pytest.raises(fastnn.ModelFileError, match="layer 'size': a Lambda of a Python lambda"):
        fastnn.load_model(path)
    loaded = fastnn.load_model(path, custom_objects={"size": fastnn.math.abs})
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_mistakes() -> None:
    with pytest.raises(TypeError, match="function: expected a function of Tensors, got 3"):
        layers.Lambda(3)
    with pytest.raises(ValueError, match="there are no masks"):
        layers.Lambda(waves, mask=waves)
    with pytest.raises(TypeError, match="`call` of Lambda returned None"):
        layers.Lambda(lambda _: None)(X)


def test_activity_regularization(tmp_path: Path) -> None:
    model = chain(layers.ActivityRegularization(l1=0.1, l2=0.01))
    model.compile(optimizers.SGD(0.1), "mse")
    k, b = model.get_weights()
    penalty = (0.1 * np.abs(X).sum() + 0.01 * (X**2).sum()) / 30
    wanted = ((X @ k + b - T) ** 2).mean() + penalty
    np.testing.assert_allclose(model.evaluate(X, T, 30, verbose=0), wanted, rtol=1e-10)
    model.save(tmp_path / "m.safetensors")
    loaded = fastnn.load_model(tmp_path / "m.safetensors")
    assert (loaded.layers[0].l1, loaded.layers[0].l2) == (0.1, 0.01)
