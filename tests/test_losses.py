"""Every loss of `fastnn.ops` against its oracle and central differences; the table is losses.py."""

from __future__ import annotations

from itertools import pairwise

import cases
import numpy as np
import pytest
from losses import INF, LOSSES, NAN, op, oracle
from tolerances import check

import fastnn
from fastnn import ops

pytestmark = pytest.mark.isa

SHAPES = cases.shapes(2, sampled=24)
VARIANTS = [(name, variant) for name, loss in LOSSES.items() for variant in loss.variants]
EVERY_LOSS = pytest.mark.parametrize("name", LOSSES)
EVERY_VARIANT = pytest.mark.parametrize(("name", "variant"), VARIANTS)
EVERY_DTYPE = pytest.mark.parametrize("dtype", cases.DTYPES)


def drawn(name, variant, rng, n, o, scale=3.0):
    """Predictions, targets and options."""
    loss = LOSSES[name]
    return loss.pred(rng, (n, o), scale), *loss.variants[variant].draw(rng, n, o)


def weight_of(name, pred, targets, options):
    """The weight of each element, or of each row, as a column."""
    loss = LOSSES[name]
    weight = np.ones((len(pred), 1 if loss.by_row else pred.shape[1]))
    weight *= np.asarray(options.get("sample_weight", np.ones(len(pred))), np.float64)[:, None]
    if options.get("ignore_class") is not None:
        weight[targets == options["ignore_class"]] = 0.0
    if loss.missing:
        weight[np.isnan(targets)] = 0.0
    return weight


def compare(name, dtype, pred, targets, options):
    """Loss and gradient against the oracle, which is given the same rounded inputs."""
    pred = pred.astype(dtype)
    if targets.ndim == 2:
        targets = targets.astype(dtype)
    options = {k: v.astype(dtype) if np.ndim(v) else v for k, v in options.items()}
    loss, dp = op(name)(pred, targets, **options)
    want, gradient = oracle(name)(pred, targets, **options)
    assert type(loss) is float
    assert dp.dtype == dtype
    of = LOSSES[name]
    wide = (np.float64(pred), np.float64(targets), options)
    check(loss, want, "loss", dtype, scale=of.loss_terms(*wide), what="loss")
    if of.gradient_terms is None:
        scale = np.abs(gradient)
    else:
        weight = weight_of(name, pred, targets, options)
        scale = of.gradient_terms(*wide) * weight / max(weight.sum(), 1e-300)
    check(dp, gradient, "loss gradient", dtype, scale=scale, what="gradient")


@EVERY_DTYPE
@EVERY_VARIANT
@pytest.mark.parametrize("shape", SHAPES, ids=cases.name)
def test_every_shape(shape, name, variant, dtype, rng):
    compare(name, dtype, *drawn(name, variant, rng, *shape))


@EVERY_DTYPE
@EVERY_VARIANT
@pytest.mark.parametrize("scale", [0.1, 3.0, 1e4], ids="scale {}".format)
def test_scales(scale, name, variant, dtype, rng):
    compare(name, dtype, *drawn(name, variant, rng, 33, 10, scale))


@EVERY_DTYPE
@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.by_row])
@pytest.mark.parametrize("o", [*range(1, 18), 31, 33, 127, 128, 129, 145])
def test_short_rows(o, name, dtype, rng):
    """Short rows go sixteen at a time: whole and broken tiles, every width, every variant."""
    for n in (1, 15, 16, 17, 33, 130):
        for variant in LOSSES[name].variants:
            compare(name, dtype, *drawn(name, variant, rng, n, o))


@EVERY_VARIANT
def test_central_differences(name, variant, rng):
    pred, targets, options = drawn(name, variant, rng, 9, 5, 2.0)
    for kink in LOSSES[name].kinks:
        near = np.abs(pred - targets - kink) < 0.01
        pred[near] = targets[near] + kink + 0.02
    _, dp = op(name)(pred, targets, **options)
    numeric = cases.gradient(lambda p: op(name)(p, targets, **options)[0], pred, 1e-3)
    check(dp, numeric, "central difference", "float64")


@EVERY_DTYPE
@EVERY_VARIANT
@pytest.mark.parametrize("o", [2, 10, 17, 130])
def test_rows_of_weight_0(o, name, variant, dtype, rng):
    """Whatever their predictions are, and wherever in a tile they stand."""
    n = 37
    pred, targets, options = drawn(name, variant, rng, n, o, 1.0)
    weight = (rng.random(n) < 0.6).astype(dtype)
    weight[0] = 1
    options["sample_weight"] = weight
    pred = pred.astype(dtype)
    odd = pred.copy()
    odd[weight == 0] = rng.choice([NAN, INF, -INF, 1e30], (int((weight == 0).sum()), o))
    loss, dp = op(name)(pred, targets, **options)
    got = op(name)(odd, targets, **options)
    assert got[0] == loss
    np.testing.assert_array_equal(got[1], dp)
    assert (dp[weight == 0] == 0).all()


EXTREME = [(name, *extreme) for name, loss in LOSSES.items() for extreme in loss.extreme]


@EVERY_DTYPE
@pytest.mark.parametrize(("name", "p", "t", "loss", "gradient"), EXTREME)
def test_extreme(name, p, t, loss, gradient, dtype):
    """In the middle of other elements, which stay as they are."""
    beside, target = LOSSES[name].plain
    other_loss, other = oracle(name)([[beside]], [[target]])
    for n, o in ((1, 1), (3, 1), (1, 3), (9, 3), (33, 3)):
        pred, targets = np.full((n, o), beside, dtype), np.full((n, o), target, dtype)
        pred[n // 2, o // 2], targets[n // 2, o // 2] = p, t
        weight = n * o - (1 if LOSSES[name].missing and np.isnan(t) else 0)
        got, dp = op(name)(pred, targets)
        total = loss + (n * o - 1) * other_loss
        np.testing.assert_allclose(got, total / max(weight, 1), rtol=1e-6, atol=1e-40)
        middle, rest = dp[n // 2, o // 2], np.delete(dp.ravel(), o * (n // 2) + o // 2)
        np.testing.assert_allclose(middle, gradient / max(weight, 1), rtol=1e-6, atol=1e-40)
        np.testing.assert_allclose(rest, other.item() / max(weight, 1), rtol=1e-6)


@EVERY_VARIANT
@pytest.mark.parametrize("n", [0, 2])
def test_no_weight_at_all(n, name, variant, rng):
    """Two rows of weight 0, and no rows, with weights or without."""
    pred, targets, options = drawn(name, variant, rng, n, 3)
    weighted = options | {"sample_weight": np.zeros(n)}
    for given in (weighted, options) if n == 0 else (weighted,):
        loss, dp = op(name)(pred, targets, **given)
        assert loss == 0
        np.testing.assert_array_equal(dp, np.zeros((n, 3)), strict=True)


NOTHING = [(name, case) for name, loss in LOSSES.items() for case in loss.nothing]


@pytest.mark.parametrize(("name", "case"), NOTHING)
def test_no_row_counts(name, case):
    targets, options = LOSSES[name].nothing[case]
    loss, dp = op(name)(np.ones((2, 3)), targets, **options)
    assert loss == 0
    np.testing.assert_array_equal(dp, np.zeros((2, 3)), strict=True)


@EVERY_VARIANT
def test_weights_are_copies_of_rows(name, variant, rng):
    """An integer weight is that many equal rows: the mean is over the weight."""
    pred, targets, options = drawn(name, variant, rng, 5, 4, 1.0)
    weight = np.array([1, 0, 3, 2, 1])
    options.pop("sample_weight", None)
    loss, dp = op(name)(pred, targets, sample_weight=weight, **options)
    want, gradient = op(name)(np.repeat(pred, weight, 0), np.repeat(targets, weight, 0), **options)
    assert loss == pytest.approx(want, rel=1e-13)
    starts = np.concatenate([[0], np.cumsum(weight)])
    summed = [gradient[a:b].sum(axis=0) for a, b in pairwise(starts)]
    np.testing.assert_allclose(dp, summed, rtol=1e-12, atol=1e-16)


@EVERY_LOSS
def test_targets_of_any_type(name, rng):
    loss = LOSSES[name]
    pred = loss.pred(rng, (4, 3), 1.0)
    targets = rng.integers(loss.least, loss.least + 2, 4 if loss.kinds[0] == "int64" else (4, 3))
    expected = op(name)(pred, targets.astype(loss.kinds[0]))
    for kind in loss.kinds:
        got = op(name)(pred, targets.astype(kind))
        assert got[0] == expected[0], kind
        np.testing.assert_array_equal(got[1], expected[1], kind, strict=True)


@EVERY_VARIANT
def test_every_layout_gives_the_same_bits(name, variant, rng):
    pred, targets, options = drawn(name, variant, rng, 9, 5, 1.0)
    pred = pred.astype(np.float32)
    if targets.ndim == 2:
        targets = targets.astype(np.float32)
    options["sample_weight"] = rng.random(9)
    loss, dp = op(name)(pred, targets, **options)
    others = dict(cases.strided(targets))
    for how, view in cases.strided(pred):
        got = op(name)(view, others.get(how, targets[::-1][::-1]), **options)
        assert got[0] == loss, how
        np.testing.assert_array_equal(got[1], dp, how)


BAD = [(name, case) for name, loss in LOSSES.items() for case in loss.bad]


@pytest.mark.parametrize(("name", "case"), BAD)
def test_bad_input(name, case):
    pred, targets, options, message, error = LOSSES[name].bad[case]
    with pytest.raises(error, match=f"(?i){message}"):
        op(name)(pred, np.array(targets), **options)


# -- softmax_cross_entropy alone -------------------------------------------------------------


@EVERY_DTYPE
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
def test_extreme_logits_of_softmax(z, label, loss, gradient, dtype):
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


@EVERY_DTYPE
@pytest.mark.parametrize("c", [2, 3, 16, 17, 40, 130, 300])
@pytest.mark.parametrize("smoothing", [1.0, 0.5, 1e-3])
@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("odd", [INF, -INF], ids=str)
def test_infinite_logits_with_smoothed_targets(odd, at, smoothing, c, dtype):
    """Every class has a target then, so the loss is infinite, and the gradient is a number.

    With smoothing 1 the label's own term has a share of 0, and is infinite where its logit is.
    """
    n = 21
    z = np.linspace(-1, 1, n * c).reshape(n, c).astype(dtype)
    z[3, at] = z[20, at] = odd
    labels = np.zeros(n, int)
    spread = np.full((n, c), 0.5 / (c - 1))
    spread[:, 0] = 0.5
    for targets in (labels, np.eye(c)[labels], spread):
        for weight in (None, np.where(np.isinf(z).any(axis=1), 0.0, 1.0)):
            options = {"label_smoothing": smoothing, "sample_weight": weight}
            loss, dz = ops.softmax_cross_entropy(z, targets, **options)
            want, gradient = oracle("softmax_cross_entropy")(z, targets, **options)
            assert loss == (INF if weight is None else pytest.approx(want, rel=1e-5))
            np.testing.assert_allclose(dz, gradient, rtol=1e-5, atol=1e-7)


@EVERY_DTYPE
@pytest.mark.parametrize("smoothing", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("target", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("odd", [INF, -INF], ids=str)
def test_infinite_logits_of_sigmoids_with_smoothed_targets(odd, target, smoothing, dtype):
    z = np.linspace(-1, 1, 39).reshape(13, 3).astype(dtype)
    z[5, 1] = odd
    targets = np.full((13, 3), target)
    # The loss of an infinite logit is infinite unless its target is that side alone.
    met = smoothing == 0 and target == (1.0 if odd > 0 else 0.0)
    for pos_weight in (None, 3.0):
        options = {"label_smoothing": smoothing, "pos_weight": pos_weight}
        loss, dz = ops.sigmoid_cross_entropy(z, targets, **options)
        want, gradient = oracle("sigmoid_cross_entropy")(z, targets, **options)
        assert loss == (pytest.approx(want, rel=1e-6) if met else INF)
        np.testing.assert_allclose(dz, gradient, rtol=1e-5, atol=1e-8)


def test_one_class():
    loss, dz = ops.softmax_cross_entropy(np.array([[3.0], [-2.0]]), np.zeros(2, int))
    assert loss == 0
    np.testing.assert_array_equal(dz, np.zeros((2, 1)))


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


@pytest.mark.parametrize(
    "row",
    [
        [0.33, 0.33, 0.33],
        [0.33, 0.66],
        [0.14] * 7,
        [0.335, 0.335, 0.335],
        [0.167] * 6,
        [float(np.float16(0.001))] * 1000,
    ],
    ids=["thirds", "two thirds", "sevenths", "thirds up", "sixths", "float16"],
)
def test_probabilities_that_are_rounded(row, rng):
    """Each by half a hundredth at most: taken, and the gradient is that of the loss."""
    t = np.tile(np.asarray(row), (3, 1))
    z = rng.normal(size=t.shape)
    loss, dz = ops.softmax_cross_entropy(z, t)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    assert loss == pytest.approx(-(t * np.log(p)).sum() / 3, rel=1e-12)
    np.testing.assert_allclose(dz, (t.sum(axis=1, keepdims=True) * p - t) / 3, atol=1e-12)
    model = fastnn.Sequential([fastnn.layers.Activation("softmax", input_shape=(len(row),))])
    model.compile("sgd", "categorical_crossentropy")
    assert model.evaluate(z, t, verbose=0) == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("row", [[0.3] * 3, [0.5, 0.52], [0.34] * 3 + [0.1], [1, 1, 0], [0.1] * 11])
def test_rows_that_are_no_probabilities(row):
    t = np.eye(len(row))[[0, 1, 0]]
    t[2] = row
    message = r"add up to 1 .*at row 2; divide each row by its sum"
    with pytest.raises(ValueError, match=message) as told:
        ops.softmax_cross_entropy(np.zeros(t.shape), t)
    assert "binary_crossentropy if labels do not exclude each other" in str(told.value)


# -- sigmoid_cross_entropy alone -------------------------------------------------------------


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


TYPES = ("float16", "float32", "float64", "int8", "uint8", "int32", "uint64", "int64")


@pytest.mark.parametrize("dtype", TYPES)
def test_a_target_beyond_the_unit_interval_is_named(dtype):
    """In the type of the targets, in rows of any stride; a missing target is none."""
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


# -- mean_squared_error alone ----------------------------------------------------------------


def test_mean_over_outputs_then_over_weight():
    """Rows with losses 1 and 4, of weights 3 and 1: 7 / 4."""
    pred, target = np.array([[1.0, 1.0], [2.0, -2.0]]), np.zeros((2, 2))
    loss, dp = ops.mean_squared_error(pred, target, sample_weight=np.array([3.0, 1.0]))
    assert loss == 1.75
    np.testing.assert_allclose(dp, [[0.75, 0.75], [0.5, -0.5]], rtol=1e-15)


def test_one_weight_of_all_rows() -> None:
    y, p = np.ones((4, 2)), np.zeros((4, 2))
    for reduction, value in (("sum_over_batch_size", 1.0), ("sum", 12.0)):
        loss = fastnn.losses.MeanSquaredError(reduction=reduction)
        for weight in (3.0, np.full(4, 3.0)):
            assert float(loss(y, p, sample_weight=weight)) == value
