"""`ops.embedding` and its gradient against the oracle and, since each sum is one chain, to the bit."""

from __future__ import annotations

import cases
import numpy as np
import pytest
import reference
from tolerances import check

import fastnn
from fastnn import ops

pytestmark = pytest.mark.isa

SHAPES = cases.shapes(3, sampled=16)  # n, k and d


def draw(rng, n, k, d, dtype, vocabulary=11):
    """dy, x and a table."""
    x = rng.integers(0, vocabulary, (n, k))
    return (
        rng.normal(size=(n, k * d)).astype(dtype),
        x,
        rng.normal(size=(vocabulary, d)).astype(dtype),
    )


def chains(dy, x, vocabulary):
    """dtable in the type of dy, one addition after the other in the order of rows."""
    pieces = dy.reshape(x.size, -1)
    dtable = np.zeros((vocabulary, pieces.shape[1]), dy.dtype)
    for row, piece in zip(x.ravel(), pieces, strict=True):
        dtable[row] += piece
    return dtable


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=cases.name)
def test_every_shape(shape, dtype, rng):
    n, k, d = shape
    for vocabulary in (1, 7, 300):
        dy, x, table = draw(rng, n, k, d, dtype, vocabulary)
        y = ops.embedding(x, table)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, reference.embedding(x, table).astype(dtype))
        dtable = ops.embedding_backward(dy, x, vocabulary)
        assert dtable.dtype == dtype
        expected = reference.embedding_backward(dy, x, vocabulary)
        scale = reference.embedding_backward(np.abs(dy), x, vocabulary)
        check(dtable, expected, "embedding gradient", dtype, scale=scale, what="dtable")
        if n * k < 2000:
            np.testing.assert_array_equal(dtable, chains(dy, x, vocabulary))


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_a_row_of_x_may_be_one_number(dtype, rng):
    dy, x, table = draw(rng, 40, 1, 6, dtype)
    np.testing.assert_array_equal(ops.embedding(x[:, 0], table), ops.embedding(x, table))
    np.testing.assert_array_equal(
        ops.embedding_backward(dy, x[:, 0], 11), ops.embedding_backward(dy, x, 11)
    )


@pytest.mark.parametrize(
    "kind", ["bool", "uint8", "int8", "int32", "uint64", "int64", "float16", "float32", "float64"]
)
def test_whole_numbers_of_any_type(kind, rng):
    dy, x, table = draw(rng, 9, 3, 5, "float32", 2 if kind == "bool" else 100)
    x = x.astype(kind)
    y = ops.embedding(x, table)
    assert y.dtype == np.float32  # whatever x is
    np.testing.assert_array_equal(y, reference.embedding(x, table))
    dtable = ops.embedding_backward(dy, x, len(table))
    assert dtable.dtype == np.float32
    np.testing.assert_array_equal(dtable, chains(dy, x.astype(np.int64), len(table)))


def test_a_large_table():
    """The last row of a table that float32 can still count, and rows past it in float64."""
    size = 1 << 24
    table = np.zeros((size, 1), np.float32)
    table[-3:, 0] = 1, 2, 3
    x = np.arange(size - 3, size)
    np.testing.assert_array_equal(ops.embedding(x, table)[:, 0], [1, 2, 3])
    np.testing.assert_array_equal(
        ops.embedding_backward(np.ones((3, 1)), x + 7, size + 8)[-3:, 0], [1, 1, 0]
    )
    with pytest.raises(ValueError, match=r"vocabulary: .*16777216 .*float32, got 16777217"):
        ops.embedding_backward(np.ones((3, 1), np.float32), x, size + 1)
    with pytest.raises(ValueError, match=r"16777216\), got 16777216 at row 0"):
        ops.embedding(np.array([size]), table)


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_no_rows(dtype):
    table = np.ones((3, 4), dtype)
    assert ops.embedding(np.zeros((0, 2), np.int64), table).shape == (0, 8)
    assert ops.embedding(np.zeros(0, np.int64), table).shape == (0, 4)
    dtable = ops.embedding_backward(np.zeros((0, 8), dtype), np.zeros((0, 2), np.int64), 3)
    np.testing.assert_array_equal(dtable, np.zeros((3, 4)))


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_nan_and_infinity(dtype, rng):
    """They stay in the rows that hold them."""
    dy, x, table = draw(rng, 20, 2, 3, dtype)
    table[4, 1], table[5, 2] = np.nan, -np.inf
    np.testing.assert_array_equal(ops.embedding(x, table), reference.embedding(x, table))
    dy[7, 4] = np.nan
    dtable = ops.embedding_backward(dy, x, 11)
    expected = np.zeros((11, 3), bool)
    expected[x[7, 1], 1] = True
    np.testing.assert_array_equal(np.isnan(dtable), expected)


def test_central_differences(rng):
    dy, x, table = draw(rng, 6, 2, 3, "float64", 5)
    numeric = cases.gradient(lambda table: float((dy * ops.embedding(x, table)).sum()), table)
    check(ops.embedding_backward(dy, x, 5), numeric, "central difference", "float64", scale=10.0)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("vocabulary", [1, 3, 5000])
def test_threads_change_no_bit(vocabulary, dtype, rng):
    dy, x, table = draw(rng, 3000, 4, 37, dtype, vocabulary)
    results = []
    for threads in (1, 2, 3):
        fastnn.set_num_threads(threads)
        results.append((ops.embedding(x, table), ops.embedding_backward(dy, x, vocabulary)))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_every_layout_gives_the_same_bits(rng):
    dy, x, table = draw(rng, 9, 4, 5, "float32")
    expected, dtable = ops.embedding(x, table), ops.embedding_backward(dy, x, 11)
    for how, view in cases.strided(x):
        np.testing.assert_array_equal(ops.embedding(view, table), expected, how)
        np.testing.assert_array_equal(ops.embedding_backward(dy, view, 11), dtable, how)
    for how, view in cases.strided(table):
        np.testing.assert_array_equal(ops.embedding(x, view), expected, how)
    for how, view in cases.strided(dy):
        np.testing.assert_array_equal(ops.embedding_backward(view, x, 11), dtable, how)


@pytest.mark.parametrize(
    ("bad", "text"),
    [(-1, "-1"), (11, "11"), (0.5, "0.5"), (np.nan, "nan"), (np.inf, "inf"), (1e30, "1e.30")],
    ids=str,
)
def test_numbers_that_name_no_row(bad, text, rng):
    dy, x, table = draw(rng, 6, 3, 2, "float64")
    x = x.astype(np.float64)
    x[4, 1] = bad
    where = rf"x: .*whole numbers in \[0, 11\), got {text} at row 4, column 1"
    with pytest.raises(ValueError, match=where):
        ops.embedding(x, table)
    with pytest.raises(ValueError, match=where):
        ops.embedding_backward(dy, x, 11)
    with pytest.raises(ValueError, match=rf"got {text} at row 4$"):
        ops.embedding(x[:, 1], table)


def test_bad_input():
    x, table, dy = np.zeros((2, 3), int), np.ones((4, 5)), np.ones((2, 15))
    with pytest.raises(ValueError, match=r"x: .*\(n, k\) or \(n,\), got \(\)"):
        ops.embedding(1, table)
    with pytest.raises(ValueError, match=r"x: .*\(2, 3, 1\)"):
        ops.embedding(x[..., None], table)
    with pytest.raises(ValueError, match=r"x: .*\(2, 0\)"):
        ops.embedding(x[:, :0], table)
    with pytest.raises(ValueError, match=r"table: .*2 axes.*\(5,\)"):
        ops.embedding(x, table[0])
    for empty in (table[:0], table[:, :0]):
        with pytest.raises(ValueError, match=r"table: .*at least 1 row"):
            ops.embedding(x, empty)
    for wrong in (np.ones((2, 16)), np.ones((3, 15)), np.ones((2, 0))):
        with pytest.raises(ValueError, match=r"dy: .*\(2, 3 \* d\)"):
            ops.embedding_backward(wrong, x, 4)
    for size in (0, -3):
        with pytest.raises(ValueError, match=f"vocabulary: .*{size}"):
            ops.embedding_backward(dy, x, size)
    with pytest.raises(TypeError, match="vocabulary"):
        ops.embedding_backward(dy, x, 4.0)
    with pytest.raises(TypeError, match="x: "):
        ops.embedding(x * 1j, table)
    with pytest.raises(TypeError, match="x: "):
        ops.embedding([["a"]], table)
    with pytest.raises(TypeError, match="x: "):
        ops.embedding(None, table)
