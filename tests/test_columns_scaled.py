"""Scale and GroupedDense: layers by column and by group of columns, alone and in models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_prepared_columns import same_after_a_file

import fastnn
from fastnn import layers


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scale(dtype: Any, use_bias: bool, rng: np.random.Generator, tmp_path: Any) -> None:
    x = rng.normal(size=(40, 6)).astype(dtype)
    layer = layers.Scale(use_bias, scale_initializer="random_normal", bias_initializer="ones")
    model = fastnn.Sequential([layers.Input((6,)), layer], dtype=dtype)
    assert [w.name for w in layer.weights] == ["scale", "bias"][: 1 + use_bias]
    want = x * layer.scale.numpy() + use_bias
    exact = 1e-6 if dtype == "float32" else 1e-15
    for predict in (model.predict, model.predictor(), layer):
        np.testing.assert_allclose(np.asarray(predict(x)), want, rtol=exact, atol=exact)
    same_after_a_file(model, x, tmp_path / "m.safetensors")


def test_a_scale_is_trained_at_a_rate_of_its_own(rng: np.random.Generator) -> None:
    x = rng.normal(size=(500, 3))
    want = np.array([3.0, -2.0, 0.0])
    y = x * want + [1.0, 0.0, -1.0]
    model = fastnn.Sequential([layers.Input((3,)), layers.Scale(True)])
    optimizer = fastnn.optimizers.SGD(0.05)
    scale = model.layers[0]
    optimizer.multiply_learning_rate(6.0, [scale.scale])
    model.compile(optimizer, "mse")
    model.fit(x, y, epochs=20, verbose=0)
    np.testing.assert_allclose(scale.scale.numpy(), want, atol=1e-3)
    np.testing.assert_allclose(scale.bias.numpy(), [1.0, 0.0, -1.0], atol=1e-3)


@pytest.mark.isa
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("groups", "inputs", "units"), [(1, 5, 3), (14, 16, 3), (7, 1, 9), (3, 33, 17)]
)
def test_grouped_dense(
    groups: int, inputs: int, units: int, dtype: Any, use_bias: bool, rng: np.random.Generator
) -> None:
    for n in (1, 2, 33, 300):
        x = rng.normal(size=(n, groups * inputs)).astype(dtype)
        layer = layers.GroupedDense(units, groups, use_bias, bias_initializer="random_normal")
        model = fastnn.Sequential([layers.Input(x.shape[1:]), layer], dtype=dtype)
        assert layer.kernel.shape == (groups * inputs, units)
        kernel = layer.kernel.numpy().astype(np.float64).reshape(groups, inputs, units)
        want = np.einsum("ngi,giu->ngu", x.reshape(n, groups, inputs).astype(np.float64), kernel)
        want = want.reshape(n, -1)
        if use_bias:
            want = want + layer.bias.numpy()
        exact = 2e-6 if dtype == "float32" else 1e-14
        for predict in (model.predict, model.predictor(), layer):
            np.testing.assert_allclose(np.asarray(predict(x)), want, rtol=exact, atol=exact)


def test_variance_of_a_kernel_by_groups() -> None:
    layer = layers.GroupedDense(50, groups=20)
    layer.build((None, 20 * 64))
    assert abs(layer.kernel.numpy().var() * 64 - 1) < 0.05


def test_periodic_embeddings_of_numbers(rng: np.random.Generator, tmp_path: Any) -> None:
    """Each column as sines of trained frequencies, of which a group makes three numbers."""
    columns, waves = 2, 8
    inputs = fastnn.Input((columns,))
    h = layers.Permute((2, 1))(layers.RepeatVector(waves)(inputs))
    h = layers.Scale(True, scale_initializer=fastnn.initializers.RandomNormal(stddev=4.0, seed=1))(
        layers.Flatten()(h)
    )
    h = layers.GroupedDense(3, groups=columns)(layers.Activation("sine")(h))
    h = layers.Dense(32, "silu")(layers.Concatenate()([inputs, h]))
    model = fastnn.Model(inputs, layers.Dense(1)(h))
    x = rng.uniform(-1, 1, size=(800, columns))
    y = np.sin(8 * x[:, 0]) + x[:, 1]
    model.compile(fastnn.optimizers.Adam(0.01), "mse")
    model.fit(x, y, epochs=60, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.02
    same_after_a_file(model, x, tmp_path / "m.safetensors")


def test_groups_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="groups=4 does not divide 6 columns"):
        fastnn.Sequential([layers.GroupedDense(2, 4, input_shape=(6,))])
    with pytest.raises(ValueError, match="expects rows of one axis"):
        fastnn.Sequential([layers.Scale(input_shape=(4, 3))])
