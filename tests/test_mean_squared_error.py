"""`ops.mean_squared_error` against the oracle and central differences."""

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
def test_every_shape(shape, dtype, rng):
    pred, target = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    for weight in (None, rng.random(shape[0]).astype(dtype)):
        loss, dp = ops.mean_squared_error(pred, target, sample_weight=weight)
        want, gradient = reference.mean_squared_error(pred, target, sample_weight=weight)
        assert type(loss) is float
        assert dp.dtype == dtype
        check(loss, want, "loss", dtype, what="loss")
        check(dp, gradient, "loss gradient", dtype, what="dpred", scale=np.abs(gradient))


def test_central_differences(rng):
    pred, target, weight = rng.normal(size=(7, 3)), rng.normal(size=(7, 3)), rng.random(7)
    _, dp = ops.mean_squared_error(pred, target, sample_weight=weight)
    numeric = cases.gradient(
        lambda p: ops.mean_squared_error(p, target, sample_weight=weight)[0], pred, 1e-3
    )
    check(dp, numeric, "central difference", "float64")


def test_mean_over_outputs_then_over_weight():
    """Rows with losses 1 and 4, of weights 3 and 1: 7 / 4."""
    pred, target = np.array([[1.0, 1.0], [2.0, -2.0]]), np.zeros((2, 2))
    loss, dp = ops.mean_squared_error(pred, target, sample_weight=np.array([3.0, 1.0]))
    assert loss == 1.75
    np.testing.assert_allclose(dp, [[0.75, 0.75], [0.5, -0.5]], rtol=1e-15)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize(
    ("p", "t", "loss", "gradient"),
    [
        (1e4, -1e4, 4e8, 4e4),
        (INF, 0, INF, INF),
        (0, INF, INF, -INF),
        (NAN, 0, NAN, NAN),
        (0, NAN, NAN, NAN),
        (INF, INF, NAN, NAN),
        (1e-30, 0, 0, 2e-30),
    ],
)
def test_extreme(p, t, loss, gradient, dtype):
    pred, target = np.zeros((3, 1), dtype), np.zeros((3, 1), dtype)
    pred[1], target[1] = p, t
    got, dp = ops.mean_squared_error(pred, target)
    np.testing.assert_allclose(got, loss / 3, rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(dp[1, 0], gradient / 3, rtol=1e-6)
    np.testing.assert_array_equal(dp[[0, 2]], 0)


@pytest.mark.parametrize(
    ("n", "weight"), [(0, None), (0, np.zeros(0)), (2, np.zeros(2))], ids=["rows", "both", "weight"]
)
def test_no_weight_at_all(n, weight):
    loss, dp = ops.mean_squared_error(np.ones((n, 3)), np.zeros((n, 3)), sample_weight=weight)
    assert loss == 0
    np.testing.assert_array_equal(dp, np.zeros((n, 3)), strict=True)


def test_every_layout_gives_the_same_bits(rng):
    p, t = rng.normal(size=(9, 5)).astype(np.float32), rng.normal(size=(9, 5)).astype(np.float32)
    loss, dp = ops.mean_squared_error(p, t)
    for (how, ps), (_, ts) in zip(cases.strided(p), cases.strided(t), strict=True):
        got = ops.mean_squared_error(ps, ts)
        assert got[0] == loss, how
        np.testing.assert_array_equal(got[1], dp, how)


BAD = {
    "another shape": (np.zeros((4, 3)), np.zeros((4, 2)), None, r"\(4, 2\)"),
    "never broadcast": (np.zeros((4, 1)), np.zeros((1, 4)), None, r"\(1, 4\)"),
    "a column against a vector of rows": (np.zeros((4, 4)), np.zeros(4), None, r"\(4,\)"),
    "weights of another length": (np.zeros((4, 1)), np.zeros((4, 1)), np.ones(3), r"weight.*3"),
    "negative weight": (np.zeros((2, 1)), np.zeros((2, 1)), [1, -3], r"weight.*-3.*row 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    pred, target, weight, message = BAD[case]
    with pytest.raises(ValueError, match=f"(?i){message}"):
        ops.mean_squared_error(pred, target, sample_weight=weight)
