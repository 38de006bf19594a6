"""`ops.layer_normalization` and its gradients against the oracle and central differences."""

from __future__ import annotations

import cases
import numpy as np
import pytest
import reference
from tolerances import check

import fastnn
from fastnn import ops

pytestmark = pytest.mark.isa

SHAPES = cases.shapes(2, sampled=16)
# Beside those: several row groups, rows that a block of the device shares.
LARGE = [(129, 40), (700, 33), (3, 1025), (2, 3000)]


def draw(rng, n, c, dtype, scale=1.0, offset=0.0):
    """dy, x, gamma and beta."""
    x = offset + scale * rng.normal(size=(n, c))
    return [a.astype(dtype) for a in (rng.normal(size=(n, c)), x, *rng.normal(size=(2, c)))]


def compare(dy, x, gamma, beta, dtype, **options):
    """Forward and backward; the scales are the sums of the absolute terms."""
    xhat = np.abs(reference.layer_normalization(x, **options))
    weight = np.ones(x.shape[1]) if gamma is None else np.abs(np.float64(gamma))
    shift = 0.0 if beta is None else np.abs(np.float64(beta))

    y = ops.layer_normalization(x, gamma, beta, **options)
    assert y.dtype == dtype
    expected = reference.layer_normalization(x, gamma, beta, **options)
    check(y, expected, "normalization", dtype, scale=weight * (1 + xhat) + shift, what="y")

    found = ops.layer_normalization_backward(dy, x, gamma, **options)
    expected = reference.layer_normalization_backward(dy, x, gamma, **options)
    size, g = np.abs(np.float64(dy)), np.abs(np.float64(dy)) * weight
    epsilon = options.get("epsilon", 1e-3)
    inverse = 1 / np.sqrt(np.float64(x).var(axis=1, keepdims=True) + epsilon)
    scales = (
        inverse
        * (g + g.mean(axis=1, keepdims=True) + xhat * (g * (1 + xhat)).mean(axis=1, keepdims=True)),
        (size * (1 + xhat)).sum(axis=0),
        size.sum(axis=0),
    )
    for what, got, want, scale in zip(
        ("dx", "dgamma", "dbeta"), found, expected, scales, strict=True
    ):
        assert got.dtype == dtype
        check(got, want, "normalization gradient", dtype, scale=scale, what=what)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("shape", SHAPES + LARGE, ids=cases.name)
def test_every_shape(shape, dtype, rng):
    dy, x, gamma, beta = draw(rng, *shape, dtype)
    compare(dy, x, gamma, beta, dtype)
    compare(dy, x, None, None, dtype, epsilon=1e-5)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("c", [1, 5, 16, 67, 1030])
def test_without_gamma_or_beta(c, dtype, rng):
    dy, x, gamma, beta = draw(rng, 9, c, dtype)
    compare(dy, x, gamma, None, dtype)
    compare(dy, x, None, beta, dtype)
    compare(dy, x, None, None, dtype, epsilon=0.5)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("c", [3, 16, 100, 2000])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_rows_far_from_zero(scale, c, dtype, rng):
    """The rounding of the mean is taken off again: no looser tolerance than near zero."""
    for offset in (1e4, -1e4, 3e6 * scale):
        compare(*draw(rng, 40, c, dtype, scale, offset), dtype)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("c", [4, 33, 300])
def test_an_element_far_from_its_row(c, dtype, rng):
    """At any place, the first too."""
    dy, x, gamma, beta = draw(rng, c, c, dtype)
    x[np.arange(c), np.arange(c)] = 1e5
    compare(dy, x, gamma, beta, dtype)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("c", [1, 2, 3, 7, 16, 17, 48, 1000, 1500])
def test_rows_of_equal_numbers(c, dtype, rng):
    """x - mean is exactly zero: y is beta, and the whole gradient goes to beta."""
    dy, x, gamma, beta = draw(rng, 20, c, dtype, 1e3)
    x[:] = x[:, :1]
    for epsilon in (1e-3, 1e-12):
        y = ops.layer_normalization(x, gamma, beta, epsilon=epsilon)
        np.testing.assert_array_equal(y, np.tile(beta, (20, 1)))
        _, dgamma, dbeta = ops.layer_normalization_backward(dy, x, gamma, epsilon=epsilon)
        np.testing.assert_array_equal(dgamma, np.zeros(c, dtype))
        check(dbeta, dy.sum(axis=0, dtype=np.float64), "normalization gradient", dtype, scale=20.0)
    assert np.isnan(ops.layer_normalization(x, epsilon=0.0)).all()


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_one_column(dtype, rng):
    dy, x, gamma, beta = draw(rng, 30, 1, dtype)
    np.testing.assert_array_equal(ops.layer_normalization(x, gamma, beta), np.tile(beta, (30, 1)))
    dx, dgamma, _ = ops.layer_normalization_backward(dy, x, gamma)
    assert not dx.any()
    assert not dgamma.any()


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("c", [1, 15, 16, 50, 1200])
def test_nan(c, dtype, rng):
    """Fills its row of y and dx, and in the gradients of gamma and beta what it takes part in."""
    for bad in (np.nan, np.inf, -np.inf):
        for column in {0, c // 2, c - 1}:
            dy, x, gamma, beta = draw(rng, 5, c, dtype)
            x[2, column] = bad
            y = ops.layer_normalization(x, gamma, beta)
            rows = np.arange(5) == 2
            np.testing.assert_array_equal(np.isnan(y), np.tile(rows[:, None], c))
            dx, dgamma, dbeta = ops.layer_normalization_backward(dy, x, gamma)
            np.testing.assert_array_equal(np.isnan(dx), np.tile(rows[:, None], c))
            assert np.isnan(dgamma).all()
            assert np.isfinite(dbeta).all()
    dy, x, gamma, beta = draw(rng, 5, c, dtype)
    dy[3, c - 1] = np.nan
    dx, dgamma, dbeta = ops.layer_normalization_backward(dy, x, gamma)
    np.testing.assert_array_equal(np.isnan(dx).any(axis=1), np.arange(5) == 3)
    assert np.isnan(dx[3]).all()
    for vector in (dgamma, dbeta):
        np.testing.assert_array_equal(np.isnan(vector), np.arange(c) == c - 1)
    gamma[0] = np.nan
    y = ops.layer_normalization(x, gamma, beta)
    np.testing.assert_array_equal(np.isnan(y), np.tile(np.arange(c) == 0, (5, 1)))


@pytest.mark.parametrize("shape", [(7, 5), (3, 1), (2, 20), (130, 3)], ids=cases.name)
def test_central_differences(shape, rng):
    dy, x, gamma, beta = draw(rng, *shape, "float64")
    dx, dgamma, dbeta = ops.layer_normalization_backward(dy, x, gamma, epsilon=0.1)

    def loss(x=x, gamma=gamma, beta=beta):
        return float((dy * ops.layer_normalization(x, gamma, beta, epsilon=0.1)).sum())

    for what, found, numeric in (
        ("dgamma", dgamma, cases.gradient(lambda gamma: loss(gamma=gamma), gamma)),
        ("dbeta", dbeta, cases.gradient(lambda beta: loss(beta=beta), beta)),
    ):
        check(found, numeric, "central difference", "float64", scale=10.0, what=what)
    direction = rng.normal(size=shape)
    numeric = cases.directional(lambda x: loss(x=x), x, direction)
    check((dx * direction).sum(), numeric, "central difference", "float64", scale=10.0, what="dx")


@pytest.mark.parametrize("shape", [(8,), (0, 3), (2, 3, 4), (1, 1, 1, 5)], ids=str)
def test_over_the_last_axis(shape, rng):
    dy, x = rng.normal(size=(2, *shape))
    y = ops.layer_normalization(x)
    assert y.shape == shape
    check(y, reference.layer_normalization(x), "normalization", "float64", scale=4.0)
    dx, dgamma, dbeta = ops.layer_normalization_backward(dy, x)
    assert dx.shape == shape
    assert dgamma.shape == dbeta.shape == shape[-1:]
    want = reference.layer_normalization_backward(dy, x)
    for got, expected in zip((dx, dgamma, dbeta), want, strict=True):
        check(got, expected, "normalization gradient", "float64", scale=20.0)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("shape", [(700, 130), (9, 4000), (5000, 7)], ids=cases.name)
def test_threads_change_no_bit(shape, dtype, rng):
    dy, x, gamma, beta = draw(rng, *shape, dtype)
    results = []
    for threads in (1, 2, 3):
        fastnn.set_num_threads(threads)
        y = ops.layer_normalization(x, gamma, beta)
        results.append([y, *ops.layer_normalization_backward(dy, x, gamma)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_every_layout_gives_the_same_bits(rng):
    dy, x, gamma, beta = draw(rng, 9, 21, "float32")
    expected = ops.layer_normalization(x, gamma, beta)
    dx = ops.layer_normalization_backward(dy, x, gamma)[0]
    for how, view in cases.strided(x):
        np.testing.assert_array_equal(ops.layer_normalization(view, gamma, beta), expected, how)
        np.testing.assert_array_equal(ops.layer_normalization_backward(dy, view, gamma)[0], dx, how)


def test_types():
    """float64 where one of the arrays is; integers are numbers too."""
    x = np.arange(6).reshape(2, 3)
    single = x.astype(np.float32)
    assert ops.layer_normalization(single).dtype == np.float32
    assert ops.layer_normalization(single, np.ones(3)).dtype == np.float64
    np.testing.assert_array_equal(ops.layer_normalization(x), ops.layer_normalization(single))


def test_bad_input():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"gamma: .*\(3,\).*\(2,\)"):
        ops.layer_normalization(x, np.ones(2))
    with pytest.raises(ValueError, match=r"beta: .*\(3,\).*\(1, 3\)"):
        ops.layer_normalization(x, None, np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"gamma: .*\(3,\).*\(4,\)"):
        ops.layer_normalization_backward(x, x, np.ones(4))
    with pytest.raises(ValueError, match=r"dy: .*\(2, 3\).*\(3,\)"):
        ops.layer_normalization_backward(np.ones(3), x)
    for op in (ops.layer_normalization, lambda x: ops.layer_normalization_backward(x, x)):
        with pytest.raises(ValueError, match=r"x: .*scalar"):
            op(1.0)
        with pytest.raises(ValueError, match=r"x: .*\(2, 0\)"):
            op(np.ones((2, 0)))
        with pytest.raises(TypeError, match="complex"):
            op(x * 1j)
    for epsilon in (-1e-9, np.nan, np.inf):
        with pytest.raises(ValueError, match="epsilon"):
            ops.layer_normalization(x, epsilon=epsilon)
        with pytest.raises(ValueError, match="epsilon"):
            ops.layer_normalization_backward(x, x, epsilon=epsilon)
    with pytest.raises(TypeError, match="epsilon"):
        ops.layer_normalization(x, epsilon="small")
