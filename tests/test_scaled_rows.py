"""`ops.rms_normalization`, `ops.unit_normalization` and their gradients, against the oracle."""

from __future__ import annotations

import cases
import numpy as np
import pytest
import reference
from tolerances import check

from fastnn import ops

pytestmark = pytest.mark.isa

SHAPES = [*cases.shapes(2, sampled=8), (129, 40), (700, 33), (3, 1025), (2, 3000)]


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=cases.name)
def test_rms(shape, dtype, rng):
    dy, x = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    gamma = rng.normal(size=shape[1]).astype(dtype)
    for weights in (gamma, None):
        size = 1.0 if weights is None else np.abs(np.float64(gamma))
        y = ops.rms_normalization(x, weights)
        assert y.dtype == dtype
        expected = reference.rms_normalization(x, weights)
        scale = size * (1 + np.abs(reference.rms_normalization(x)))
        check(y, expected, "normalization", dtype, scale=scale, what="y")
        compare_gradients(dy, x, weights, "rms_normalization", dtype)


def compare_gradients(dy, x, gamma, name, dtype, **options):
    given = () if gamma is None else (gamma,)
    backward = getattr(ops, f"{name}_backward")
    found = backward(dy, x, *given, **options)
    expected = getattr(reference, f"{name}_backward")(dy, x, *given, **options)
    if name == "unit_normalization":
        found, expected = (found, np.zeros(1)), (expected, np.zeros(1))
    y = np.abs(getattr(reference, name)(x, **options))
    g = np.abs(np.float64(dy)) * (1.0 if gamma is None else np.abs(np.float64(gamma)))
    mean = np.mean if name == "rms_normalization" else np.sum
    inverse = y / np.maximum(np.abs(np.float64(x)), 1e-300)
    scales = (
        inverse.max(axis=1, keepdims=True) * (g + y * mean(g * y, axis=1, keepdims=True)),
        (np.abs(np.float64(dy)) * (1 + y)).sum(axis=0),
    )
    for what, got, want, scale in zip(("dx", "dgamma"), found, expected, scales, strict=True):
        if what == "dx" or name == "rms_normalization":
            assert got.dtype == dtype
            check(got, want, "normalization gradient", dtype, scale=scale, what=what)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=cases.name)
def test_unit(shape, dtype, rng):
    dy, x = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    y = ops.unit_normalization(x)
    assert y.dtype == dtype
    check(y, reference.unit_normalization(x), "normalization", dtype, scale=2.0)
    compare_gradients(dy, x, None, "unit_normalization", dtype)


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_rows_that_are_shorter_than_epsilon(dtype, rng):
    """They are divided by epsilon, also in the gradient."""
    x = (1e-3 * rng.normal(size=(5, 7))).astype(dtype)
    x[3] *= 1e4
    dy = rng.normal(size=(5, 7)).astype(dtype)
    y = ops.unit_normalization(x, epsilon=0.5)
    check(y, reference.unit_normalization(x, epsilon=0.5), "normalization", dtype, scale=1.0)
    np.testing.assert_allclose(y[0], x[0] / 0.5, rtol=1e-6)
    compare_gradients(dy, x, None, "unit_normalization", dtype, epsilon=0.5)
    assert not ops.unit_normalization(np.zeros((2, 3), dtype)).any()
    assert np.isnan(ops.rms_normalization(np.zeros((2, 3), dtype), epsilon=0.0)).all()


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_fills_its_row(bad, dtype, rng):
    x = rng.normal(size=(4, 21)).astype(dtype)
    x[2, 19] = bad
    y = ops.rms_normalization(x)
    assert np.isnan(y[2, 19])
    assert np.isfinite(np.delete(y, 2, 0)).all()


def test_gradients_by_differences(rng):
    x, dy = rng.normal(size=(2, 3, 5))
    gamma = rng.normal(size=5)

    def slope(value, at):
        found = np.zeros_like(at)
        for place in np.ndindex(at.shape):
            for sign in (1, -1):
                moved = at.copy()
                moved[place] += sign * 1e-6
                found[place] += sign * value(moved) / 2e-6
        return found

    dx, dgamma = ops.rms_normalization_backward(dy, x, gamma, epsilon=0.1)

    def value(x, gamma):
        return float((dy * ops.rms_normalization(x, gamma, epsilon=0.1)).sum())

    np.testing.assert_allclose(dx, slope(lambda v: value(v, gamma), x), atol=1e-8)
    np.testing.assert_allclose(dgamma, slope(lambda v: value(x, v), gamma), atol=1e-8)
    unit = slope(lambda v: float((dy * ops.unit_normalization(v)).sum()), x)
    np.testing.assert_allclose(ops.unit_normalization_backward(dy, x), unit, atol=1e-8)


def test_bad_arguments():
    with pytest.raises(ValueError, match="gamma"):
        ops.rms_normalization(np.ones((2, 3)), np.ones(2))
    with pytest.raises(ValueError, match="epsilon"):
        ops.rms_normalization(np.ones((2, 3)), epsilon=-1.0)
    with pytest.raises(ValueError, match="epsilon"):
        ops.unit_normalization(np.ones((2, 3)), epsilon=-1.0)
    with pytest.raises(ValueError, match="dy"):
        ops.unit_normalization_backward(np.ones((2, 2)), np.ones((2, 3)))
