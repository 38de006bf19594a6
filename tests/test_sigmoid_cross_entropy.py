"""`ops.sigmoid_cross_entropy`: binary and multi-label, against oracle and differences."""

from __future__ import annotations

import cases
import numpy as np
import pytest
import reference
from tolerances import check

import fastnn
from fastnn import ops

pytestmark = pytest.mark.isa

INF, NAN = np.inf, np.nan
SHAPES = cases.shapes(2, sampled=24)


def missing(rng, n, o):
    t = rng.integers(0, 2, (n, o)).astype(float)
    t[rng.random((n, o)) < 0.3] = NAN
    return t


# name: the targets of n rows and o labels, and the options
VARIANTS = {
    "labels": lambda rng, n, o: (rng.integers(0, 2, (n, o)), {}),
    "soft": lambda rng, n, o: (rng.random((n, o)), {}),
    "missing": lambda rng, n, o: (missing(rng, n, o), {}),
    "weighted": lambda rng, n, o: (rng.integers(0, 2, (n, o)), {"sample_weight": rng.random(n)}),
    "smoothed": lambda rng, n, o: (rng.integers(0, 2, (n, o)), {"label_smoothing": 0.1}),
    "pos_weight": lambda rng, n, o: (rng.random((n, o)), {"pos_weight": 5 * rng.random(o)}),
    "everything": lambda rng, n, o: (
        missing(rng, n, o),
        {
            "sample_weight": rng.random(n),
            "label_smoothing": 0.3,
            "pos_weight": 5 * rng.random(o),
        },
    ),
}


def compare(z, targets, dtype, **options):
    targets = targets.astype(dtype)
    options = {
        k: v if k == "label_smoothing" else np.asarray(v).astype(dtype) for k, v in options.items()
    }
    loss, dz = ops.sigmoid_cross_entropy(z, targets, **options)
    want, gradient = reference.sigmoid_cross_entropy(z, targets, **options)
    assert type(loss) is float
    assert dz.dtype == dtype
    check(loss, want, "loss", dtype, what="loss")
    weight = np.asarray(options.get("sample_weight", np.ones(len(z))), np.float64)
    weight = weight[:, None] * ~np.isnan(targets)
    scale = np.maximum(1.0, options.get("pos_weight", 1.0)) * weight / max(weight.sum(), 1e-300)
    check(dz, gradient, "loss gradient", dtype, scale=scale, what="dlogits")


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=cases.name)
def test_every_shape(shape, dtype, rng):
    z = (3 * rng.normal(size=shape)).astype(dtype)
    compare(z, rng.integers(0, 2, shape), dtype)
    compare(z, missing(rng, *shape), dtype, pos_weight=3 * rng.random(shape[1]))


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("scale", [0.1, 3.0, 1e4], ids="scale {}".format)
def test_variants(scale, variant, dtype, rng):
    n, o = 33, 10
    targets, options = VARIANTS[variant](rng, n, o)
    z = np.clip(scale * rng.normal(size=(n, o)), -1e4, 1e4).astype(dtype)
    compare(z, targets, dtype, **options)


@pytest.mark.parametrize("variant", VARIANTS)
def test_central_differences(variant, rng):
    n, o = 9, 5
    z = 2 * rng.normal(size=(n, o))
    targets, options = VARIANTS[variant](rng, n, o)
    _, dz = ops.sigmoid_cross_entropy(z, targets, **options)
    numeric = cases.gradient(lambda z: ops.sigmoid_cross_entropy(z, targets, **options)[0], z, 1e-3)
    check(dz, numeric, "central difference", "float64")


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize(
    ("z", "t", "loss", "gradient"),
    [
        (1e4, 1, 0, 0),
        (1e4, 0, 1e4, 1),
        (-1e4, 1, 1e4, -1),
        (-1e4, 0, 0, 0),
        (1e4, 0.5, 5e3, 0.5),
        (100, 1, 0, 0),
        (INF, 1, 0, 0),
        (INF, 0, INF, 1),
        (-INF, 0, 0, 0),
        (-INF, 1, INF, -1),
        (INF, NAN, 0, 0),
        (NAN, 1, NAN, NAN),
        (NAN, 0, NAN, NAN),
        (3e38, 1, 0, 0),
    ],
)
def test_extreme(z, t, loss, gradient, dtype):
    """In the middle of other labels, which stay as they are."""
    for n in (1, 9, 33):
        logits, targets = np.zeros((n, 3), dtype), np.ones((n, 3), dtype)
        logits[n // 2, 1], targets[n // 2, 1] = z, t
        weight = 3 * n - np.isnan(t)
        got, dz = ops.sigmoid_cross_entropy(logits, targets)
        np.testing.assert_allclose(got, (loss + (3 * n - 1) * np.log(2)) / weight, rtol=1e-6)
        np.testing.assert_allclose(dz[n // 2, 1], gradient / weight, rtol=1e-6, atol=1e-30)
        rest = np.delete(dz.ravel(), 3 * (n // 2) + 1)
        np.testing.assert_allclose(rest, -0.5 / weight, rtol=1e-6)


def test_pos_weight_is_no_part_of_the_denominator():
    """Three positives of weight 4 among four labels: (3 * 4 + 1) log 2 / 4, not / 13."""
    z, t = np.zeros((4, 1)), np.array([[1.0], [1.0], [1.0], [0.0]])
    loss, dz = ops.sigmoid_cross_entropy(z, t, pos_weight=np.array([4.0]))
    assert loss == pytest.approx(13 * np.log(2) / 4, rel=1e-14)
    np.testing.assert_allclose(dz, [[-0.5], [-0.5], [-0.5], [0.125]], rtol=1e-14)


def test_a_missing_label_takes_its_row_weight_with_it():
    """The mean is over rows and labels: sum(w l) / sum(w) over the labels that are there."""
    z = np.array([[0.0, 2.0], [1.0, -1.0]])
    t = np.array([[1.0, NAN], [0.0, 1.0]])
    loss, _ = ops.sigmoid_cross_entropy(z, t, sample_weight=np.array([3.0, 1.0]))
    softplus = np.logaddexp(0, [0.0, 1.0, 1.0])
    assert loss == pytest.approx((3 * softplus[0] + softplus[1] + softplus[2]) / 5, rel=1e-14)


NOTHING = {
    "no rows": (np.zeros((0, 2)), np.zeros((0, 2)), {}),
    "no weight": (np.ones((2, 2)), np.ones((2, 2)), {"sample_weight": np.zeros(2)}),
    "all missing": (np.ones((2, 2)), np.full((2, 2), NAN), {}),
    "missing or no weight": (
        np.ones((2, 1)),
        np.array([[NAN], [1.0]]),
        {"sample_weight": np.array([1.0, 0.0])},
    ),
}


@pytest.mark.parametrize("case", NOTHING)
def test_no_weight_at_all(case):
    z, targets, options = NOTHING[case]
    loss, dz = ops.sigmoid_cross_entropy(z, targets, **options)
    assert loss == 0
    np.testing.assert_array_equal(dz, np.zeros_like(z), strict=True)


@pytest.mark.parametrize("kind", ["bool", "uint8", "int64", "float16", "float32"])
def test_targets_of_any_type(kind, rng):
    z, t = rng.normal(size=(4, 3)), rng.integers(0, 2, (4, 3))
    expected = ops.sigmoid_cross_entropy(z, t.astype(float))
    got = ops.sigmoid_cross_entropy(z, t.astype(kind))
    assert got[0] == expected[0]
    np.testing.assert_array_equal(got[1], expected[1], strict=True)


def test_every_layout_gives_the_same_bits(rng):
    z, t = rng.normal(size=(9, 5)).astype(np.float32), rng.random((9, 5)).astype(np.float32)
    loss, dz = ops.sigmoid_cross_entropy(z, t)
    for (how, zs), (_, ts) in zip(cases.strided(z), cases.strided(t), strict=True):
        got = ops.sigmoid_cross_entropy(zs, ts)
        assert got[0] == loss, how
        np.testing.assert_array_equal(got[1], dz, how)


Z = np.zeros((4, 3))
BAD = {
    "another shape": (Z, np.zeros((4, 2)), {}, r"target.*\(4, 2\).*\(4, 3\)|\(4, 3\).*\(4, 2\)"),
    "never broadcast": (Z, np.zeros((4, 1)), {}, r"\(4, 1\)"),
    "never broadcast a vector": (Z, np.zeros(4), {}, r"\(4,\)"),
    "target over 1": (Z, Z + np.array([0, 0, 2]), {}, r"target.*\b2\b.*row 0"),
    "target negative": (Z, Z - np.eye(4, 3)[::-1], {}, r"target.*-1.*row 1"),
    "infinite target": (Z, Z + INF, {}, r"target.*inf.*row 0"),
    "weights of another length": (Z, Z, {"sample_weight": np.ones(3)}, r"weight.*3"),
    "negative weight": (Z, Z, {"sample_weight": [1, -1, 1, 1]}, r"weight.*-1.*row 1"),
    "pos_weight of another length": (Z, Z, {"pos_weight": np.ones(2)}, r"pos_weight.*2"),
    "pos_weight negative": (Z, Z, {"pos_weight": -np.ones(3)}, r"pos_weight.*-1"),
    "smoothing over 1": (Z, Z, {"label_smoothing": 2.0}, r"label_smoothing.*2"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    z, targets, options, message = BAD[case]
    with pytest.raises(ValueError, match=f"(?i){message}"):
        ops.sigmoid_cross_entropy(z, targets, **options)


TYPES = ("float16", "float32", "float64", "int8", "uint8", "int32", "uint64", "int64")


@pytest.mark.parametrize("dtype", TYPES)
def test_a_target_beyond_the_unit_interval_is_named(dtype):
    """As the type that it came in, in rows of any stride; a missing one is none."""
    x = np.zeros((200, 3))
    y = np.zeros((200, 66), dtype)[:, ::2]
    y[:, 1] = 1
    if y.dtype.kind == "f":
        y[7, 5] = np.nan
    model = fastnn.Sequential([fastnn.Input((3,)), fastnn.layers.Dense(33)])
    model.compile("sgd", "binary_crossentropy")
    model.fit(x, y, verbose=0)
    for wrong in (2,) if y.dtype.kind == "u" else (2, -1):
        y[150, 32] = y[199, 0] = wrong
        with pytest.raises(ValueError, match=rf"y: .*got {wrong} at row 150, column 32"):
            model.fit(x, y, verbose=0)
    if dtype == "float64":
        y[150, 32] = 1 + 1e-12
        with pytest.raises(ValueError, match=r"y: .*at row 150, column 32"):
            model.fit(x, y, verbose=0)
