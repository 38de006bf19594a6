"""`ops.softmax` and `ops.log_softmax` against the oracle."""

from __future__ import annotations

import cases
import numpy as np
import pytest
import reference
from tolerances import check

from fastnn import ops

pytestmark = pytest.mark.isa

INF, NAN = np.inf, np.nan


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("shape", cases.shapes(2, sampled=24), ids=cases.name)
def test_softmax(shape, dtype, rng):
    x = (3 * rng.normal(size=shape)).astype(dtype)
    p = ops.softmax(x)
    assert p.dtype == dtype
    expected = reference.softmax(x)
    scale = expected * np.float64(x.max(axis=1, keepdims=True) - x)
    check(p, expected, "softmax", dtype, scale=scale)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0, 3), (1,), (2, 1, 257)], ids=str)
def test_softmax_over_the_last_axis(shape, rng):
    x = rng.normal(size=shape)
    p = ops.softmax(x)
    assert p.shape == shape
    if x.size:
        check(p, reference.softmax(x), "softmax", "float64")


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize(
    ("x", "p"),
    [
        ([1e4, -1e4, 0], [1, 0, 0]),
        ([1e4, 1e4], [0.5, 0.5]),
        ([-1e4, -1e4, -1e4, -1e4], [0.25] * 4),
        ([INF, 0, 3], [1, 0, 0]),
        ([INF, 1, INF], [0.5, 0, 0.5]),
        ([-INF, 0, 0], [0, 0.5, 0.5]),
        ([-INF, INF, 0], [0, 1, 0]),
        ([-INF, -INF], [0.5, 0.5]),
        ([3e38, 3e38], [0.5, 0.5]),
        ([-3e38, 3e38], [0, 1]),
        ([NAN, 0, 1], [NAN, NAN, NAN]),
        ([0, INF, NAN], [NAN, NAN, NAN]),
        ([-INF, NAN], [NAN, NAN]),
    ],
    ids=str,
)
def test_softmax_extreme(x, p, dtype):
    for before in (0, 3, 16):  # the odd row may stand anywhere
        rows = np.tile(np.zeros(len(x), dtype), (before + 2, 1))
        rows[before] = x
        expected = np.full_like(rows, 1 / len(x))
        expected[before] = p
        np.testing.assert_allclose(ops.softmax(rows), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("c", [*range(1, 18), 31, 33, 127, 128, 129, 145])
def test_short_rows(c, dtype, rng):
    """Short rows go sixteen at a time: whole and broken tiles, every width."""
    for n in (1, 15, 16, 17, 33, 130):
        z = (3 * rng.normal(size=(n, c))).astype(dtype)
        check(ops.softmax(z), reference.softmax(z), "softmax", dtype, scale=1.0)


def test_every_layout_gives_the_same_bits(rng):
    z = rng.normal(size=(9, 5)).astype(np.float32)
    p = ops.softmax(z)
    for how, view in cases.strided(z):
        np.testing.assert_array_equal(ops.softmax(view), p, how)


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_log_softmax(dtype, rng):
    """Rows of every width and infinite ones: within rounding of the largest term, and its exponential
    is softmax."""
    for c in (1, 2, 5, 16, 17, 127, 128, 129, 300):
        for n in (0, 1, 17, 40):
            x = (3 * rng.normal(size=(n, c))).astype(dtype)
            got = ops.log_softmax(x)
            assert got.dtype == dtype
            check(
                got,
                reference.log_softmax(x),
                "softmax",
                dtype,
                scale=4.0 + np.abs(x).max(initial=0),
            )
    for row, want in (
        ([1e4, -1e4, 0], [0, -2e4, -1e4]),
        ([INF, 1, INF], [-np.log(2), -INF, -np.log(2)]),
        ([-INF, 0, 0], [-INF, -np.log(2), -np.log(2)]),
        ([NAN, 0, 1], [NAN, NAN, NAN]),
    ):
        rows = np.tile(np.array(row, dtype), (19, 1))
        np.testing.assert_allclose(ops.log_softmax(rows), np.tile(want, (19, 1)), rtol=1e-6)
