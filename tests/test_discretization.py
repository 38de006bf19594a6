"""Discretization: numbers of bins as np.digitize has them, in native graphs, in files, and adapted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers

RNG = np.random.default_rng(6)
BOUNDARIES = [-0.25, 0.5, 0.5, 1.5]


def numbers(dtype: str) -> Any:
    """Numbers that lie on boundaries, one step beside them, and far away, too."""
    x = RNG.normal(size=(40, 3)).astype(dtype)
    at = np.array(BOUNDARIES, dtype)
    x[:4, 0] = at
    x[:4, 1] = np.nextafter(at, np.array(-9, dtype))
    x[:4, 2] = np.nextafter(at, np.array(9, dtype))
    x[5] = [-1e29, 1e29, 0.0]
    return x


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values(mode: str, dtype: str) -> None:
    x = numbers(dtype)
    bins = np.digitize(x, np.array(BOUNDARIES, dtype))
    hot = np.eye(5)[bins]
    want = {
        "int": bins,
        "one_hot": hot,
        "count": hot.sum(axis=1),
        "multi_hot": hot.max(axis=1),
    }[mode]
    layer = layers.Discretization(BOUNDARIES, output_mode=mode, dtype=dtype)
    np.testing.assert_array_equal(layer(x).numpy(), want)
    chain = [layers.Input((3,)), layers.Discretization(BOUNDARIES, output_mode=mode)]
    model = fastnn.Sequential(chain, dtype=dtype)
    np.testing.assert_array_equal(model.predict(x), want)
    assert model.network.parameter_size == 0  # a native graph


def test_many_boundaries() -> None:
    many = np.sort(RNG.normal(size=150))
    x = RNG.normal(size=(50, 2))
    layer = layers.Discretization(many.tolist(), dtype="float64")
    np.testing.assert_array_equal(layer(x).numpy(), np.digitize(x, many))


def test_adapted_boundaries_train_natively_and_stay_in_files(tmp_path: Path) -> None:
    x = RNG.normal(size=(60, 3))
    layer = layers.Discretization(num_bins=4)
    with pytest.raises(ValueError, match="has no boundaries"):
        layer(x)
    layer.adapt([[-1.5, 1.0, 3.4, 0.5], [0.0, 3.0, 1.3, 0.0]])
    assert layer.bin_boundaries == [0.0, 0.5, 1.3]  # as Keras finds them
    layer.adapt(iter([x[:30], x[30:]]))
    counts = np.bincount(layer(x).numpy().astype(int).ravel())
    assert np.abs(counts - 45).max() <= 1
    inputs = fastnn.Input((3,))
    h = layers.Flatten()(layers.Embedding(4, 5)(layer(inputs)))
    model = fastnn.Model(inputs, layers.Dense(1)(h))
    model.compile(fastnn.optimizers.Adam(0.05), "mse")
    losses = model.fit(x, x[:, :1], epochs=20, verbose=0).history["loss"]  # a tape would warn
    assert losses[-1] < 0.5 * losses[0]
    model.save(tmp_path / "model.safetensors")
    again = fastnn.load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    with pytest.raises(ValueError, match="is built; adapt it before"):
        layer.adapt(x)


def test_wrong_arguments() -> None:
    for how, message in (
        ({}, "give bin_boundaries or num_bins"),
        ({"bin_boundaries": [1.0], "num_bins": 2}, "give bin_boundaries or num_bins"),
        ({"bin_boundaries": [1.0, 0.0]}, "ascending"),
        ({"bin_boundaries": []}, "ascending"),
        ({"num_bins": 1}, "num_bins"),
        ({"num_bins": 2, "output_mode": "x"}, "output_mode"),
    ):
        with pytest.raises(ValueError, match=message):
            layers.Discretization(**how)
