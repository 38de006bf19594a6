"""The initializers Orthogonal and Identity."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import initializers, layers


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (9, 4), (4, 9), (2, 3, 7)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_fewer_of_rows_and_columns_are_orthogonal(shape, dtype):
    found = initializers.Orthogonal(gain=2.0, seed=3)(shape, dtype)
    assert found.shape == shape
    assert found.dtype == dtype
    matrix = found.reshape(-1, shape[-1]).astype(float)
    small = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(small, 4.0 * np.eye(len(small)), atol=1e-6)


def test_seeds_of_orthogonal_matrices():
    draw = [initializers.Orthogonal(seed=seed)((6, 6)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(draw[0], draw[1])
    assert abs(draw[0] - draw[2]).max() > 0.1
    model = fastnn.Sequential(
        [layers.Dense(6, kernel_initializer="orthogonal", input_shape=(6,)) for _ in range(2)]
    )
    first, second = (model.layers[i].kernel.numpy() for i in range(2))
    np.testing.assert_allclose(first @ first.T, np.eye(6), atol=1e-6)
    assert abs(first - second).max() > 0.1


def test_orthogonal_matrices_are_uniform():
    """Each column points anywhere: its elements have mean 0 and the variance 1 / rows."""
    drawn = np.array([initializers.Orthogonal(seed=seed)((3, 3)) for seed in range(400)])
    assert abs(drawn.mean(axis=0)).max() < 5 / np.sqrt(3 * 400)
    np.testing.assert_allclose((drawn**2).mean(axis=0), 1 / 3, atol=0.08)
    assert 100 < (np.linalg.det(drawn) > 0).sum() < 300


def test_identity():
    np.testing.assert_array_equal(initializers.Identity(0.5)((2, 3)), [[0.5, 0, 0], [0, 0.5, 0]])
    np.testing.assert_array_equal(initializers.get("identity")((3, 3), "float64"), np.eye(3))


def test_shapes_that_are_no_matrices():
    with pytest.raises(ValueError, match=r"Orthogonal: expected a shape of at least two axes"):
        initializers.Orthogonal()((3,))
    with pytest.raises(
        ValueError, match=r"Identity: expected a shape of two axes, got \(2, 2, 2\)"
    ):
        initializers.Identity()((2, 2, 2))
    with pytest.raises(ValueError, match="at least two axes"):
        layers.Dense(2, bias_initializer="orthogonal").build((None, 3))
