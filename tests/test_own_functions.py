"""Activations that are Python code, and layers derived from those of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, optimizers

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")
X = np.random.default_rng(1).normal(size=(30, 4))
T = X[:, :1] * X[:, 1:2]


@fastnn.register_serializable("own_functions")
def bent(x: Any) -> Any:
    return fastnn.math.tanh(x) + 0.1 * x


def test_activations_of_symbols_are_layers() -> None:
    inputs = fastnn.Input((4,))
    model = fastnn.Model(inputs, fastnn.activations.relu(layers.Dense(3)(inputs)))
    assert [type(layer).__name__ for layer in model.layers] == ["Dense", "Activation"]
    assert model.predictor()(X[0]).shape == (3,)


@pytest.mark.parametrize("kind", ["dense", "activation", "functional"])
def test_an_activation_of_python_code(kind: str, tmp_path: Path) -> None:
    if kind == "functional":
        inputs = fastnn.Input((4,))
        model = fastnn.Model(
            inputs, layers.Dense(1)(layers.Dense(5, bent)(inputs)), dtype="float64"
        )
    elif kind == "dense":
        model = fastnn.Sequential(
            [layers.Dense(5, activation=bent, input_shape=(4,)), layers.Dense(1)], dtype="float64"
        )
    else:
        model = fastnn.Sequential(
            [fastnn.Input((4,)), layers.Dense(5), layers.Activation(bent), layers.Dense(1)],
            dtype="float64",
        )
    k, b, k2, b2 = model.get_weights()
    z = X @ k + b
    h = np.tanh(z) + 0.1 * z
    np.testing.assert_allclose(model.predict(X), h @ k2 + b2, rtol=1e-12)
    model.compile(optimizers.SGD(0.1), "mse")
    e = 2 * (h @ k2 + b2 - T) / len(X)
    gradient = X.T @ ((e @ k2.T) * (1.1 - np.tanh(z) ** 2))
    _, grads = model.value_and_grad(X, T)
    np.testing.assert_allclose(grads[0], gradient, rtol=1e-10)
    with pytest.warns(fastnn.TapeWarning, match="has the activation 'bent', which is Python"):
        model.fit(X, T, batch_size=30, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], k - 0.1 * gradient, rtol=1e-10)
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(
        fastnn.load_model(tmp_path / "m.safetensors").predict(X), model.predict(X)
    )


def test_mistakes() -> None:
    with pytest.raises(TypeError, match="activation 'array': expected a Tensor, got ndarray"):
        layers.Dense(2, activation=np.array)(X)
    with pytest.raises(ValueError, match="did you mean 'relu'"):
        layers.Dense(2, activation="rely")
    model = fastnn.Sequential([layers.Dense(2, activation=lambda x: x, input_shape=(4,))])
    with pytest.raises(TypeError, match="has no name that a config could hold"):
        model.get_config()


class Doubled(layers.Dense):
    def call(self, x: Any) -> Any:  # type: ignore[override]
        return 2.0 * super().call(x)


def test_a_call_of_a_derived_class() -> None:
    model = fastnn.Sequential([Doubled(3, input_shape=(4,)), layers.Dense(1)], dtype="float64")
    k, b, k2, b2 = model.get_weights()
    np.testing.assert_allclose(model.predict(X), 2 * (X @ k + b) @ k2 + b2, rtol=1e-12)
    inputs = fastnn.Input((4,))
    other = fastnn.Model(inputs, layers.Dense(1)(Doubled(3)(inputs)), dtype="float64")
    other.set_weights(model.get_weights())
    np.testing.assert_allclose(other.predict(X), model.predict(X), rtol=1e-12)
    model.compile("sgd", "mse")
    with pytest.warns(fastnn.TapeWarning, match="'doubled' has a `call` of its own"):
        model.fit(X, T, verbose=0)


class Same(layers.Dense):
    """Without a `call` of its own it is native."""

    def __init__(self) -> None:
        super().__init__(3, "relu")


def test_a_derived_class_without_a_call_is_native() -> None:
    model = fastnn.Sequential([Same(), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, T, verbose=0)
    assert model.predictor()(X[0]).shape == (1,)
