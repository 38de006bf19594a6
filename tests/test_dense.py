"""`ops.dense_forward` and `ops.dense_backward` against the oracle and central differences."""

from __future__ import annotations

import cases
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import check, check_frobenius

import fastnn
from fastnn import ops

pytestmark = pytest.mark.isa

SHAPES = cases.shapes(3, sampled=40)
SMALL = [(1, 1, 1), (5, 3, 6), (17, 33, 9), (65, 16, 31)]


def normal(rng, *shape, dtype="float64"):
    return rng.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=cases.name)
def test_forward(shape, dtype, rng):
    n, i, o = shape
    x, w, b = (normal(rng, *s, dtype=dtype) for s in ((n, i), (i, o), (o,)))
    scale = np.abs(x) @ np.abs(w)
    y = ops.dense_forward(x, w, b)
    assert y.dtype == dtype
    check(y, reference.dense_forward(x, w, b), "product", dtype, scale=scale + np.abs(b))
    check(ops.dense_forward(x, w), reference.dense_forward(x, w), "product", dtype, scale=scale)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=cases.name)
def test_backward(shape, dtype, rng):
    n, i, o = shape
    dy, x, w = (normal(rng, *s, dtype=dtype) for s in ((n, o), (n, i), (i, o)))
    y = ops.dense_forward(x, w)
    scales = np.abs(dy) @ np.abs(w).T, np.abs(x).T @ np.abs(dy), np.abs(dy).sum(axis=0)
    gradients = ops.dense_backward(dy, x, w, y)
    expected = reference.dense_backward(dy, x, w, y)
    for what, g, e, scale in zip(("dx", "dw", "db"), gradients, expected, scales, strict=True):
        assert g.dtype == dtype
        check(g, e, "product", dtype, scale=scale, what=what)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("shape", SMALL, ids=cases.name)
@pytest.mark.parametrize("activation", cases.IN_PRODUCTS)
def test_activation_in_the_layer(activation, shape, dtype, rng):
    n, i, o = shape
    dy, x, w, b = (normal(rng, *s, dtype=dtype) for s in ((n, o), (n, i), (i, o), (o,)))
    y = ops.dense_forward(x, w, b, activation)
    scale = np.abs(x) @ np.abs(w) + np.abs(b)
    check(y, reference.dense_forward(x, w, b, activation), "dense", dtype, scale=scale)
    z = ops.dense_forward(x, w, b)
    scales = np.abs(dy) @ np.abs(w).T, np.abs(x).T @ np.abs(dy), np.abs(dy).sum(axis=0)
    expected = reference.dense_backward(dy, x, w, z, activation)
    for what, g, e, s in zip(
        ("dx", "dw", "db"),
        ops.dense_backward(dy, x, w, y, activation, z=z),
        expected,
        scales,
        strict=True,
    ):
        check(g, e, "dense gradient", dtype, scale=s, what=what)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("shape", SMALL, ids=cases.name)
@pytest.mark.parametrize(
    ("activation", "parameter"),
    [given for given in cases.PARAMETERS if given[0] in cases.IN_PRODUCTS],
)
def test_activation_with_a_parameter(activation, parameter, shape, dtype, rng):
    n, i, o = shape
    dy, x, w, b = (normal(rng, *s, dtype=dtype) for s in ((n, o), (n, i), (i, o), (o,)))
    y = ops.dense_forward(x, w, b, activation, activation_parameter=parameter)
    steepest = max(parameter, 1.0)
    scale = steepest * (np.abs(x) @ np.abs(w) + np.abs(b))
    expected = reference.dense_forward(x, w, b, activation, activation_parameter=parameter)
    check(y, expected, "dense", dtype, scale=scale)
    z = ops.dense_forward(x, w, b)
    scales = np.abs(dy) @ np.abs(w).T, np.abs(x).T @ np.abs(dy), np.abs(dy).sum(axis=0)
    for what, g, e, s in zip(
        ("dx", "dw", "db"),
        ops.dense_backward(dy, x, w, y, activation, activation_parameter=parameter),
        reference.dense_backward(dy, x, w, z, activation, activation_parameter=parameter),
        scales,
        strict=True,
    ):
        check(g, e, "dense gradient", dtype, scale=steepest * s, what=what)


@pytest.mark.parametrize("activation", cases.IN_PRODUCTS)
def test_backward_without_z(activation, rng):
    """Where f' follows from y, z need not be kept; elsewhere its absence is an error."""
    dy, x, w = normal(rng, 9, 4), normal(rng, 9, 5), normal(rng, 5, 4)
    y = ops.dense_forward(x, w, activation=activation)
    if activation in ("gelu", "silu", "mish"):
        with pytest.raises(ValueError, match=rf"z\b.*{activation}|{activation}.*\bz\b"):
            ops.dense_backward(dy, x, w, y, activation)
        return
    expected = reference.dense_backward(dy, x, w, x @ w, activation)
    scale = np.abs(dy) @ np.abs(w).T
    dx = ops.dense_backward(dy, x, w, y, activation)[0]
    check(dx, expected[0], "dense gradient", "float64", scale=scale)


@pytest.mark.parametrize("activation", cases.IN_PRODUCTS)
def test_central_differences(activation, rng):
    """The gradient of sum(dy * forward) in x, w and b, along random directions."""
    n, i, o = 7, 9, 8
    z = np.zeros((n, o))
    while np.abs(z).min() < 5e-3:  # until no kink is within reach of the stencil
        dy, x, w, b = normal(rng, n, o), normal(rng, n, i), normal(rng, i, o), normal(rng, o)
        z = ops.dense_forward(x, w, b)
    y = ops.dense_forward(x, w, b, activation)
    inputs = [x, w, b]
    for k, analytic in enumerate(ops.dense_backward(dy, x, w, y, activation, z=z)):

        def f(value, k=k):
            args = [*inputs[:k], value, *inputs[k + 1 :]]
            return float((dy * ops.dense_forward(*args, activation)).sum())

        for _ in range(3):
            d = rng.normal(size=inputs[k].shape)
            numeric = cases.directional(f, inputs[k], d / np.linalg.norm(d))
            got = (analytic * d).sum() / np.linalg.norm(d)
            check(got, numeric, "central difference", "float64", what=("dx", "dw", "db")[k])


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("k", [64, 256, 1000, 1024, 2048, 4096])
def test_error_of_long_sums(k, dtype, rng):
    """The promise on products: 1e-6 (Frobenius) at k up to 4096, in each of the three."""
    a, b = normal(rng, 48, k, dtype=dtype), normal(rng, k, 40, dtype=dtype)
    check_frobenius(ops.dense_forward(a, b), reference.dense_forward(a, b), dtype)
    dy, zeros = normal(rng, 48, k, dtype=dtype), np.zeros((48, 40), dtype)
    dx, _, _ = ops.dense_backward(dy, zeros, np.ascontiguousarray(b.T), dy)
    check_frobenius(dx, reference.float64(dy) @ b, dtype)
    x, dy = normal(rng, k, 48, dtype=dtype), normal(rng, k, 40, dtype=dtype)
    _, dw, db = ops.dense_backward(dy, x, np.zeros((48, 40), dtype), dy)
    check_frobenius(dw, reference.float64(x).T @ dy, dtype)
    check_frobenius(db, reference.float64(dy).sum(axis=0), dtype)


# n, i, o at which large products are cut, copied or shared out in another way than small ones:
# rows 4 KB apart, wide outputs, kernels beyond a second cache, kernels beyond any buffer,
# chunks of rows 4 KB apart that are come back to, long sums of which few are made, with a bias
# to start from and over columns of a kernel that many rows use, blocks of sums twice as long
LARGE = [
    (130, 1024, 70),
    (70, 1100, 1024),
    (20, 5000, 70),
    (70, 96, 530),
    (131, 300, 301),
    (20, 3000, 1500),
    (300, 2049, 260),
    (600, 20, 4200),
    (140, 1100, 2100),
]


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("shape", LARGE, ids=cases.name)
def test_large(shape, dtype, rng):
    n, i, o = shape
    dy, x, w, b = (normal(rng, *s, dtype=dtype) for s in ((n, o), (n, i), (i, o), (o,)))
    y = ops.dense_forward(x, w, b)
    scale = np.abs(x) @ np.abs(w) + np.abs(b)
    check(y, reference.dense_forward(x, w, b), "product", dtype, scale=scale)
    scales = np.abs(dy) @ np.abs(w).T, np.abs(x).T @ np.abs(dy), np.abs(dy).sum(axis=0)
    expected = reference.dense_backward(dy, x, w, y)
    for what, g, e, s in zip(
        ("dx", "dw", "db"), ops.dense_backward(dy, x, w, y), expected, scales, strict=True
    ):
        check(g, e, "product", dtype, scale=s, what=what)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("activation", ["linear", "gelu"])
def test_no_rows(activation, dtype):
    x, w, b = np.zeros((0, 3), dtype), np.ones((3, 5), dtype), np.ones(5, dtype)
    y = ops.dense_forward(x, w, b, activation)
    assert y.shape == (0, 5)
    assert y.dtype == dtype
    dx, dw, db = ops.dense_backward(y, x, w, y, activation, z=y)
    assert dx.shape == (0, 3)
    np.testing.assert_array_equal(dw, np.zeros((3, 5), dtype), strict=True)
    np.testing.assert_array_equal(db, np.zeros(5, dtype), strict=True)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", cases.IN_PRODUCTS)
def test_not_finite_stays_in_its_row(activation, bad, dtype, rng):
    """NaN in gives NaN out, in that row and no other; an infinity meets both signs of w."""
    x, w = normal(rng, 33, 17, dtype=dtype), normal(rng, 17, 9, dtype=dtype)
    w[3, 0], w[3, 1] = 0.5, -0.5
    clean = ops.dense_forward(x, w, activation=activation)
    dirty_x = x.copy()
    dirty_x[20, 3] = bad
    dirty = ops.dense_forward(dirty_x, w, activation=activation)
    others = np.arange(33) != 20
    np.testing.assert_array_equal(dirty[others], clean[others])
    if np.isnan(bad):
        assert np.isnan(dirty[20]).all()
    else:
        up = ops.activation_forward(np.array([np.inf, -np.inf], dtype), activation)
        expected = up if bad > 0 else up[::-1]
        np.testing.assert_array_equal(dirty[20, :2], expected)


@pytest.mark.parametrize("activation", cases.IN_PRODUCTS)
def test_nan_in_dy_is_not_masked(activation, rng):
    """Where the slope is not 0: there 0 * NaN may be either."""
    dy, x, w = normal(rng, 4, 3), normal(rng, 4, 5), normal(rng, 5, 3)
    dy[2, 1] = np.nan
    x[2] *= np.sign(x[2] @ w[:, 1])
    z = ops.dense_forward(x, w)
    y = ops.dense_forward(x, w, activation=activation)
    dx, dw, db = ops.dense_backward(dy, x, w, y, activation, z=z)
    assert np.isnan(dx[2]).all()
    assert np.isfinite(dx[[0, 1, 3]]).all()
    assert np.isnan(dw[:, 1]).all()
    assert np.isnan(db[1])


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_every_layout_gives_the_same_bits(dtype, rng):
    x, w, b = (normal(rng, *s, dtype=dtype) for s in ((9, 8), (8, 7), (7,)))
    expected = ops.dense_forward(x, w, b, "tanh")
    gradients = ops.dense_backward(expected, x, w, expected, "tanh")
    for (how, xs), (_, ws) in zip(cases.strided(x), cases.strided(w), strict=True):
        np.testing.assert_array_equal(ops.dense_forward(xs, ws, b, "tanh"), expected, how)
        for g, e in zip(
            ops.dense_backward(expected, xs, ws, expected, "tanh"), gradients, strict=True
        ):
            np.testing.assert_array_equal(g, e, how)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_row_alone_has_the_bits_of_one_among_others(dtype, threads, rng):
    """Its tile is wider; widths around the ends of that tile, and k around the ends of a block."""
    fastnn.set_num_threads(threads)
    for i in (1, 2, 255, 256, 257, 600):
        for o in (1, 7, 16, 17, 33, 63, 64, 65, 127, 128, 129, 144, 257, 9000 if i == 600 else 300):
            x, w, b = (normal(rng, *s, dtype=dtype) for s in ((5, i), (i, o), (o,)))
            together = ops.dense_forward(x, w, b, "tanh")
            for row in (0, 4):
                alone = ops.dense_forward(x[row : row + 1], w, b, "tanh")
                np.testing.assert_array_equal(alone[0], together[row], f"{i} x {o}")


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    shape=st.tuples(st.integers(0, 12), st.integers(1, 12), st.integers(1, 12)),
)
def test_any_slice_gives_the_same_bits(data, shape):
    """Views with any steps, of either sign, against contiguous copies."""
    n, i, o = shape
    draw = np.random.default_rng(n + 13 * i + 169 * o)

    def view(*shape):
        steps = [data.draw(st.sampled_from([1, 2, 3, -1, -2])) for _ in shape]
        whole = draw.normal(size=[s * abs(t) for s, t in zip(shape, steps, strict=True)])
        return whole[tuple(slice(None, None, t) for t in steps)]

    x, w = view(n, i), view(i, o)
    expected = ops.dense_forward(x.copy(order="C"), w.copy(order="C"))
    np.testing.assert_array_equal(ops.dense_forward(x, w), expected)


@pytest.mark.parametrize(
    "given_type", ["bool", "uint8", "int8", "int32", "int64", "uint64", "float16"]
)
def test_other_types_are_converted(given_type, rng):
    x = rng.integers(0, 2, (6, 5)).astype(given_type)
    w = rng.normal(size=(5, 4)).astype(np.float32)
    y = ops.dense_forward(x, w)
    np.testing.assert_array_equal(y, ops.dense_forward(x.astype(np.float32), w), strict=True)


def test_lists_are_arrays():
    y = ops.dense_forward([[1, 2], [3, 4]], [[1, 0, 2], [0, 1, 2]], [0, 0, 1])
    np.testing.assert_array_equal(y, [[1, 2, 7], [3, 4, 15]])


def test_inputs_are_only_read(rng):
    x, w, b, dy = normal(rng, 4, 3), normal(rng, 3, 2), normal(rng, 2), normal(rng, 4, 2)
    copies = [a.copy() for a in (x, w, b, dy)]
    y = ops.dense_forward(x, w, b, "relu")
    ops.dense_backward(dy, x, w, y, "relu")
    for array, copy in zip((x, w, b, dy), copies, strict=True):
        np.testing.assert_array_equal(array, copy)
        assert not np.shares_memory(y, array)


BAD = [
    (
        "x against w",
        lambda: ops.dense_forward(np.ones((2, 3)), np.ones((4, 5))),
        r"x: .*\(4, 5\).*\(2, 3\)",
    ),
    (
        "b against w",
        lambda: ops.dense_forward(np.ones((2, 3)), np.ones((3, 5)), np.ones(4)),
        "b.*4",
    ),
    ("x of one dimension", lambda: ops.dense_forward(np.ones(3), np.ones((3, 5))), r"x.*\(3,\)"),
    ("w of one dimension", lambda: ops.dense_forward(np.ones((2, 3)), np.ones(3)), r"w.*\(3,\)"),
    (
        "dy against y",
        lambda: ops.dense_backward(
            np.ones((2, 4)), np.ones((2, 3)), np.ones((3, 5)), np.ones((2, 5))
        ),
        r"dy.*4",
    ),
    (
        "rows of dy",
        lambda: ops.dense_backward(
            np.ones((1, 5)), np.ones((2, 3)), np.ones((3, 5)), np.ones((2, 5))
        ),
        r"dy.*1",
    ),
    (
        "y of another shape",
        lambda: ops.dense_backward(
            np.ones((2, 5)), np.ones((2, 3)), np.ones((3, 5)), np.ones((2, 4)), "tanh"
        ),
        r"y.*4",
    ),
    (
        "z of another shape",
        lambda: ops.dense_backward(
            np.ones((2, 5)),
            np.ones((2, 3)),
            np.ones((3, 5)),
            np.ones((2, 5)),
            "gelu",
            z=np.ones((3, 5)),
        ),
        r"z.*3",
    ),
    (
        "an unknown activation",
        lambda: ops.dense_forward(np.ones((2, 3)), np.ones((3, 5)), activation="rleu"),
        r"rleu.*relu",
    ),
    (
        "an unknown activation backward",
        lambda: ops.activation_backward(np.ones(3), np.ones(3), np.ones(3), "sigmod"),
        r"sigmod.*sigmoid",
    ),
]


@pytest.mark.parametrize(("call", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("x", [np.ones((2, 3), complex), np.array([["a", "b", "c"]]), None])
def test_bad_types(x):
    with pytest.raises((TypeError, ValueError), match="x"):
        ops.dense_forward(x, np.ones((3, 5)))
