"""`ops.softmax` and `ops.softmax_cross_entropy` against the oracle and central differences."""

from __future__ import annotations

from itertools import pairwise

import cases
import numpy as np
import pytest
import reference
from tolerances import check

from fastnn import ops

pytestmark = pytest.mark.isa

INF, NAN = np.inf, np.nan
SHAPES = cases.shapes(2, sampled=24)


def probabilities(rng, n, c):
    return rng.dirichlet(np.ones(c), n)


# name: the labels of n rows and c classes, and the options
VARIANTS = {
    "labels": lambda rng, n, c: (rng.integers(0, c, n), {}),
    "weighted": lambda rng, n, c: (rng.integers(0, c, n), {"sample_weight": rng.random(n)}),
    "smoothed": lambda rng, n, c: (rng.integers(0, c, n), {"label_smoothing": 0.1}),
    "ignoring": lambda rng, n, c: (rng.integers(0, c, n), {"ignore_class": c // 2}),
    "probabilities": lambda rng, n, c: (probabilities(rng, n, c), {}),
    "everything": lambda rng, n, c: (
        rng.integers(0, c, n),
        {"sample_weight": rng.random(n), "label_smoothing": 0.3, "ignore_class": 0},
    ),
    "smoothed probabilities": lambda rng, n, c: (
        probabilities(rng, n, c),
        {"label_smoothing": 0.2, "sample_weight": rng.integers(0, 3, n)},
    ),
}


def compare(z, labels, dtype, **options):
    """Loss and gradient against the oracle, on what float32 makes of the inputs."""
    if labels.ndim == 2:
        labels = labels.astype(dtype)
    if "sample_weight" in options:
        options["sample_weight"] = np.asarray(options["sample_weight"]).astype(dtype)
    loss, dz = ops.softmax_cross_entropy(z, labels, **options)
    want, gradient = reference.softmax_cross_entropy(z, labels, **options)
    assert type(loss) is float
    assert dz.dtype == dtype
    finite = z[np.isfinite(z)]
    check(loss, want, "loss", dtype, scale=np.abs(finite).max(initial=1.0), what="loss")
    weight = np.array(options.get("sample_weight", np.ones(len(z))), np.float64)
    if options.get("ignore_class") is not None:
        weight[labels == options["ignore_class"]] = 0.0
    share = weight / max(weight.sum(), 1e-300)
    check(dz, gradient, "loss gradient", dtype, scale=share[:, None], what="dlogits")


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=cases.name)
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
@pytest.mark.parametrize("shape", SHAPES, ids=cases.name)
def test_every_shape(shape, dtype, rng):
    n, c = shape
    z = (3 * rng.normal(size=shape)).astype(dtype)
    compare(z, rng.integers(0, c, n), dtype)
    compare(z, probabilities(rng, n, c), dtype, label_smoothing=0.1)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("scale", [0.1, 3.0, 1e4], ids="scale {}".format)
def test_variants(scale, variant, dtype, rng):
    n, c = 33, 10
    labels, options = VARIANTS[variant](rng, n, c)
    z = np.clip(scale * rng.normal(size=(n, c)), -1e4, 1e4).astype(dtype)
    compare(z, labels, dtype, **options)


SHORT = (*range(1, 18), 31, 33, 127, 128, 129, 145)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("c", SHORT)
def test_rows_in_lanes(c, dtype, rng):
    """Short rows go sixteen at a time: whole and broken tiles, every width, every variant."""
    for n in (1, 15, 16, 17, 33, 130):
        z = (3 * rng.normal(size=(n, c))).astype(dtype)
        check(ops.softmax(z), reference.softmax(z), "softmax", dtype, scale=1.0)
        for variant in VARIANTS.values():
            labels, options = variant(rng, n, c)
            compare(z, labels, dtype, **options)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("c", [2, 10, 17, 130])
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_rows_without_weight_are_left_out(kind, c, dtype, rng):
    """Whatever they hold, and wherever in a tile they stand."""
    n = 37
    z = rng.normal(size=(n, c)).astype(dtype)
    weight = (rng.random(n) < 0.6).astype(dtype)
    weight[0] = 1
    labels = VARIANTS[kind](rng, n, c)[0]
    odd = z.copy()
    odd[weight == 0] = rng.choice([NAN, INF, -INF, 1e30], (int((weight == 0).sum()), c))
    loss, dz = ops.softmax_cross_entropy(z, labels, sample_weight=weight)
    got = ops.softmax_cross_entropy(odd, labels, sample_weight=weight)
    assert got[0] == loss
    np.testing.assert_array_equal(got[1], dz)
    assert (dz[weight == 0] == 0).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_central_differences(variant, rng):
    n, c = 9, 5
    z = 2 * rng.normal(size=(n, c))
    labels, options = VARIANTS[variant](rng, n, c)
    _, dz = ops.softmax_cross_entropy(z, labels, **options)
    numeric = cases.gradient(lambda z: ops.softmax_cross_entropy(z, labels, **options)[0], z, 1e-3)
    check(dz, numeric, "central difference", "float64")


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize(
    ("z", "label", "loss", "gradient"),
    [
        ([1e4, 0, 0], 0, 0.0, [0, 0, 0]),
        ([1e4, 0, 0], 1, 1e4, [1, -1, 0]),
        ([-1e4, 0], 0, 1e4, [-1, 1]),
        ([INF, 0, 0], 0, 0.0, [0, 0, 0]),
        ([INF, 0, 0], 1, INF, [1, -1, 0]),
        ([INF, INF, 0], 0, np.log(2), [-0.5, 0.5, 0]),
        ([-INF, 0, 0], 1, np.log(2), [0, -0.5, 0.5]),
        ([-INF, 0, 0], 0, INF, [-1, 0.5, 0.5]),
        ([NAN, 0, 0], 1, NAN, [NAN, NAN, NAN]),
        ([0, 0, NAN], 1, NAN, [NAN, NAN, NAN]),
        # a target of 0 contributes nothing even at an infinite logit
        ([-INF, 0, 0], [0, 0.5, 0.5], np.log(2), [0, 0, 0]),
        ([-INF, 0, 0], [0, 1, 0], np.log(2), [0, -0.5, 0.5]),
        ([INF, 0, 0], [1, 0, 0], 0.0, [0, 0, 0]),
    ],
    ids=str,
)
def test_extreme(z, label, loss, gradient, dtype):
    """Among three other rows, whose own gradients stay as they are."""
    rows = np.zeros((4, len(z)), dtype)
    rows[2] = z
    if isinstance(label, list):
        labels = np.full((4, len(z)), 1 / len(z), dtype)
        labels[2] = label
    else:
        labels = np.array([0, 1, label, 0])
    others = 3 * np.log(len(z))
    got, dz = ops.softmax_cross_entropy(rows, labels)
    np.testing.assert_allclose(got, (others + loss) / 4, rtol=1e-6)
    np.testing.assert_allclose(dz[2], np.array(gradient) / 4, rtol=1e-6, atol=1e-8)
    assert np.isfinite(dz[[0, 1, 3]]).all()


def test_one_class():
    loss, dz = ops.softmax_cross_entropy(np.array([[3.0], [-2.0]]), np.zeros(2, int))
    assert loss == 0
    np.testing.assert_array_equal(dz, np.zeros((2, 1)))


NOTHING = {
    "no rows": (np.zeros((0, 3)), np.zeros(0, int), {}),
    "no weight": (np.ones((2, 3)), np.array([0, 1]), {"sample_weight": np.zeros(2)}),
    "all ignored": (np.ones((2, 3)), np.array([1, 1]), {"ignore_class": 1}),
    "ignored or no weight": (
        np.ones((2, 3)),
        np.array([1, 0]),
        {"ignore_class": 1, "sample_weight": np.array([1.0, 0.0])},
    ),
}


@pytest.mark.parametrize("case", NOTHING)
def test_no_weight_at_all(case):
    z, labels, options = NOTHING[case]
    loss, dz = ops.softmax_cross_entropy(z, labels, **options)
    assert loss == 0
    np.testing.assert_array_equal(dz, np.zeros_like(z), strict=True)


@pytest.mark.parametrize("ignored", [-1, 255, 2])
def test_ignored_class_may_lie_out_of_range(ignored, rng):
    z = rng.normal(size=(6, 3))
    labels = np.array([0, ignored, 1, 1, ignored, 0])
    kept = labels != ignored
    loss, dz = ops.softmax_cross_entropy(z, labels, ignore_class=ignored)
    want, gradient = ops.softmax_cross_entropy(z[kept], labels[kept])
    assert loss == pytest.approx(want, rel=1e-14)
    np.testing.assert_allclose(dz[kept], gradient, rtol=1e-13)
    np.testing.assert_array_equal(dz[~kept], 0)


def test_weights_are_copies_of_rows(rng):
    """An integer weight is that many equal rows: the mean is over the weight."""
    z, labels, weight = (
        rng.normal(size=(5, 4)),
        np.array([0, 3, 2, 1, 1]),
        np.array([1, 0, 3, 2, 1]),
    )
    loss, dz = ops.softmax_cross_entropy(z, labels, sample_weight=weight)
    want, gradient = ops.softmax_cross_entropy(np.repeat(z, weight, 0), np.repeat(labels, weight))
    assert loss == pytest.approx(want, rel=1e-13)
    starts = np.concatenate([[0], np.cumsum(weight)])
    summed = [gradient[a:b].sum(axis=0) for a, b in pairwise(starts)]
    np.testing.assert_allclose(dz, summed, rtol=1e-12, atol=1e-16)


def test_targets_that_do_not_sum_to_one(rng):
    """Either refused, or the gradient of the loss that is returned."""
    z, t = rng.normal(size=(3, 4)), rng.random((3, 4))
    try:
        _, dz = ops.softmax_cross_entropy(z, t)
    except ValueError as refusal:
        dz, message = None, str(refusal)
    if dz is None:
        assert "add up to 1" in message
        return
    numeric = cases.gradient(lambda z: ops.softmax_cross_entropy(z, t)[0], z, 1e-3)
    check(dz, numeric, "central difference", "float64")


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "int32", "int64", "uint64", "bool"])
def test_labels_of_any_integer_type(kind, rng):
    z, labels = rng.normal(size=(4, 3)), np.array([1, 0, 1, 1])
    expected = ops.softmax_cross_entropy(z, labels)
    got = ops.softmax_cross_entropy(z, labels.astype(kind))
    assert got[0] == expected[0]
    np.testing.assert_array_equal(got[1], expected[1])


def test_every_layout_gives_the_same_bits(rng):
    z, labels = rng.normal(size=(9, 5)).astype(np.float32), rng.integers(0, 5, 9)
    weight = rng.random(9)
    loss, dz = ops.softmax_cross_entropy(z, labels, sample_weight=weight)
    p = ops.softmax(z)
    for how, view in cases.strided(z):
        np.testing.assert_array_equal(ops.softmax(view), p, how)
        got = ops.softmax_cross_entropy(view, labels[::-1][::-1], sample_weight=weight)
        assert got[0] == loss, how
        np.testing.assert_array_equal(got[1], dz, how)


Z = np.zeros((4, 3))
BAD = {
    "label too large": (Z, [0, 1, 3, 0], {}, r"label.*\b3\b.*row 2"),
    "label negative": (Z, [0, -1, 0, 0], {}, r"label.*-1.*row 1"),
    "too few labels": (Z, [0, 1, 2], {}, r"label.*3.*4|label.*4.*3"),
    "labels in a column": (Z, np.zeros((4, 1)), {}, r"label.*\(4, 1\)"),
    "fractional labels": (Z, [0.5, 1, 0, 0], {}, r"labels: expected integers.*float64"),
    "too many classes": (Z, np.ones((4, 5)), {}, r"label.*5"),
    "negative probability": (Z, [[1, 0, 0]] * 3 + [[-1, 1, 1]], {}, r"label.*-1.*row 3"),
    "NaN probability": (Z, [[1, 0, 0]] * 3 + [[NAN, 1, 1]], {}, r"label.*nan.*row 3"),
    "weights of another length": (Z, [0] * 4, {"sample_weight": np.ones(3)}, r"weight.*3"),
    "negative weight": (Z, [0] * 4, {"sample_weight": [1, 1, -2, 1]}, r"weight.*-2.*row 2"),
    "NaN weight": (Z, [0] * 4, {"sample_weight": [1, NAN, 2, 1]}, r"weight.*nan.*row 1"),
    "smoothing over 1": (Z, [0] * 4, {"label_smoothing": 1.5}, r"label_smoothing.*1\.5"),
    "smoothing negative": (Z, [0] * 4, {"label_smoothing": -0.1}, r"label_smoothing.*-0\.1"),
    "logits of one dimension": (np.zeros(3), [0], {}, r"logits.*\(3,\)"),
    "no classes": (np.zeros((2, 0)), [0, 0], {}, r"logits.*\(2, 0\)|class"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    z, labels, options, message = BAD[case]
    with pytest.raises((ValueError, TypeError), match=f"(?i){message}"):
        ops.softmax_cross_entropy(z, np.array(labels), **options)
