"""Tables of all kinds as columns, and columns as rows of numbers, held against NumPy."""

from __future__ import annotations

import datetime as dt
import itertools

import numpy as np
import pytest

import fastnn
from fastnn.data.encoding import Encoding
from fastnn.data.frame import Frame

NUMBERS = [1.5, None, 3.0, -2.0]
COLOURS = ["red", None, "blue", "red"]
FLAGS = [True, False, None, True]
DAYS = [dt.datetime(2024, 5, 31, 17, 30), None, dt.datetime(1969, 12, 31), dt.datetime(2000, 2, 29)]
TABLE = {"size": NUMBERS, "colour": COLOURS, "flag": FLAGS, "day": DAYS, "count": [1, 2, 3, 4]}
SECONDS = [1717176600.0, np.nan, -86400.0, 951782400.0]


def _pandas():
    pd = pytest.importorskip("pandas")
    return pd.DataFrame(TABLE)


def _pandas_nullable():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(TABLE).convert_dtypes()
    frame["colour"] = frame["colour"].astype("category")
    return frame


def _polars():
    pl = pytest.importorskip("polars")
    return pl.DataFrame(TABLE)


def _polars_categories():
    pl = pytest.importorskip("polars")
    return pl.DataFrame(TABLE).with_columns(pl.col("colour").cast(pl.Categorical))


def _arrow():
    pa = pytest.importorskip("pyarrow")
    return pa.table(TABLE)


def _arrow_dictionary():
    pa = pytest.importorskip("pyarrow")
    table = pa.table(TABLE)
    return table.set_column(1, "colour", table["colour"].dictionary_encode())


def _stream():
    pa = pytest.importorskip("pyarrow")

    class Stream:
        def __arrow_c_stream__(self, requested_schema=None):
            return pa.table(TABLE).__arrow_c_stream__(requested_schema)

    return Stream()


def _structured():
    names = list(TABLE)
    array = np.empty(4, [(name, object) for name in names])
    for name in names:
        array[name] = TABLE[name]
    return array


KINDS = {
    "dict": lambda: TABLE,
    "dict of arrays": lambda: {k: np.array(v, dtype=object) for k, v in TABLE.items()},
    "pandas": _pandas,
    "nullable pandas": _pandas_nullable,
    "polars": _polars,
    "categories of polars": _polars_categories,
    "Arrow": _arrow,
    "dictionaries of Arrow": _arrow_dictionary,
    "stream of Arrow": _stream,
    "structured": _structured,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_has_the_same_columns(kind):
    frame = Frame.of(KINDS[kind]())
    assert frame.named
    assert frame.names == list(TABLE)
    assert len(frame) == 4
    size, colour, flag, day, count = frame.columns
    assert [c.kind for c in frame.columns] == ["number", "category", "boolean", "date", "number"]
    np.testing.assert_array_equal(size.values, [1.5, np.nan, 3.0, -2.0])
    assert colour.levels == ("blue", "red")
    assert colour.values.tolist() == [1, -1, 0, 1]
    np.testing.assert_array_equal(flag.values, [1.0, 0.0, np.nan, 1.0])
    np.testing.assert_array_equal(day.values, SECONDS)
    np.testing.assert_array_equal(count.values, [1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1.0, 2.0], [3.0, np.nan]]),
        np.array([[1.0, 2.0], [3.0, np.nan]], np.float16),
        np.array([[1.0, 2.0], [3.0, np.nan]], ">f8"),
        [[1, 2.0], [3, None]],
        np.ma.masked_array([[1.0, 2.0], [3.0, 9.0]], mask=[[0, 0], [0, 1]]),
    ],
)
def test_arrays_have_numbered_columns(array):
    frame = Frame.of(array)
    assert not frame.named
    assert frame.names == ["x0", "x1"]
    assert {column.kind for column in frame.columns} == {"number"}
    np.testing.assert_array_equal(frame.columns[1].values, [2.0, np.nan])


def test_lists_of_numbers_and_texts():
    frame = Frame.of([[1, "a"], [2, "b"]])
    assert [column.kind for column in frame.columns] == ["number", "category"]


def test_texts_of_dates_are_dates():
    days = Frame.of({"day": ["2024-05-31 17:30", None, "1969-12-31", "2000-02-29T00:00:00"]})
    np.testing.assert_array_equal(days.columns[0].values, SECONDS)
    assert Frame.of({"day": ["2024-13-31"]}).columns[0].kind == "category"
    assert Frame.of({"day": ["2024-05-31", "soon"]}).columns[0].kind == "category"


def test_whole_numbers_have_one_text():
    pd = pytest.importorskip("pandas")
    integers = Frame.of(pd.DataFrame({"c": pd.Categorical([1, 2, 1])})).columns[0]
    floats = Frame.of(pd.DataFrame({"c": pd.Categorical([1.0, 2.0, 1.0])})).columns[0]
    assert integers.levels == floats.levels == ("1", "2")


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({"a": [1.0, np.inf]}, ValueError, "column 'a'.* infinity .*row 1"),
        ({"a": [1, -(10**400)]}, ValueError, "column 'a'.* infinity .*row 1"),
        ({"a": [1.0], "b": [1.0, 2.0]}, ValueError, "'b' has 2 rows, others 1"),
        ([1.0, 2.0], ValueError, "Reshape your data"),
        ({"a": [{"x": 1}]}, TypeError, "column 'a'.*string or a number, got dict"),
        (np.array([[1j]]), ValueError, "Complex data not supported"),
        ({"a": np.array([1j])}, ValueError, "Complex data not supported"),
        ({"a": np.ones((2, 2))}, ValueError, "column 'a'.*one axis"),
    ],
)
def test_what_is_no_table(table, error, message):
    with pytest.raises(error, match=message):
        Frame.of(table)


# -- rows


def _random_table(n: int) -> dict[str, list]:
    rng = np.random.default_rng(3)
    size = rng.normal(50, 20, n)
    size[rng.random(n) < 0.2] = np.nan
    return {
        "size": size,
        "skewed": np.exp(rng.normal(0, 3, n)),
        "few": rng.integers(0, 3, n).astype(float),
        "constant": np.full(n, 7.0),
        "colour": rng.choice(np.array(["red", "blue", "green", None], dtype=object), n),
        "two": rng.choice(["yes", "no"], n),
        "flag": rng.random(n) < 0.5,
    }


@pytest.mark.parametrize("codes", [False, True])
def test_rows_against_numpy(codes):
    table = _random_table(200)
    frame = Frame.of(table)
    encoding = Encoding.fitted(frame)
    raw = encoding.raw(frame)
    rows = encoding.rows(raw, codes=codes)
    numbers, pieces, expected = ["size", "skewed", "few", "constant"], [], []
    for name in numbers:
        values = np.array(table[name], float)
        there = values[~np.isnan(values)]
        centre = np.median(there)
        filled = np.where(np.isnan(values), centre, values)
        low, high = np.percentile(there, [25, 75])
        width = high - low
        z = (filled - centre) / width if width else np.zeros(200)
        expected.append(z / np.sqrt(1 + z**2 / 9))
        edges = sorted(set(np.percentile(there, np.arange(17) * 6.25)))
        if len(edges) > 2:
            for a, b in itertools.pairwise(edges):
                pieces.append(np.minimum(np.maximum((filled - a) / (b - a), 0), 1))
    expected += pieces if codes else []
    expected.append(np.isnan(table["size"]))
    expected += [
        [value == level for value in table["colour"]] for level in ("blue", "green", "red")
    ]
    expected.append([value is None for value in table["colour"]])
    expected.append([1 if value == "yes" else -1 for value in table["two"]])
    expected.append([1 if value else -1 for value in table["flag"]])
    # Values and edges are rounded to float32: a thousandth of a bin where it is narrow.
    np.testing.assert_allclose(rows, np.array(expected, float).T, rtol=1e-5, atol=1e-5)
    assert rows.dtype == np.float32
    assert rows.shape[1] == encoding.plain_width + (encoding.code_width if codes else 0)


def test_a_value_that_most_rows_have():
    rng = np.random.default_rng(0)
    values = np.where(rng.random(1000) < 0.9, 0.0, np.exp(rng.normal(8, 1, 1000)))
    rule = Encoding.fitted(Frame.of({"gain": values})).numbers[0]
    gains = values[values > 0]
    assert rule.center == 0.0
    assert rule.scale == 1 / np.median(gains)
    # An edge at the common value, others at quantiles of the gains.
    assert rule.edges[0] == 0.0
    np.testing.assert_allclose(rule.edges[1:], np.quantile(gains, np.linspace(0, 1, 16)), rtol=1e-6)


def test_few_values_have_an_edge_each():
    rule = Encoding.fitted(Frame.of({"a": [0.0] * 90 + [1.0, 5.0] * 5})).numbers[0]
    assert rule.edges.tolist() == [0.0, 1.0, 5.0]


def test_unseen_levels():
    encoding = Encoding.fitted(Frame.of({"a": ["x", "y", "z"], "b": ["x", "y", None]}))
    raw = encoding.raw(Frame.of({"a": ["new", "z", "x"], "b": ["new", "y", "x"]}))
    assert encoding.rows(raw).tolist() == [
        [0, 0, 0, 0, 0, 1],  # zeros where there were no gaps, else a gap
        [0, 0, 1, 0, 1, 0],
        [1, 0, 0, 1, 0, 0],
    ]


def test_two_levels_of_which_neither_is_there():
    encoding = Encoding.fitted(Frame.of({"a": ["x", "y"]}))
    assert encoding.rows(encoding.raw(Frame.of({"a": ["y", "new", None]}))).tolist() == [
        [1],
        [0],
        [0],
    ]


def test_rare_levels_have_no_input():
    frame = Frame.of({"a": ["x"] * 5 + ["y"] * 4 + ["z"]})
    encoding = Encoding.fitted(frame, most_levels=2)
    assert encoding.sources[0].levels == ("x", "y")


def test_numbers_become_texts_of_a_category():
    encoding = Encoding.fitted(Frame.of({"a": ["1", "2", "3"]}))
    assert encoding.raw(Frame.of({"a": [3.0, 1.0, np.nan]}))[:, 0].tolist()[:2] == [2.0, 0.0]


@pytest.mark.parametrize(
    ("fitted", "given"),
    [([1.0, 2.0], ["a", "b"]), (["2024-01-01"], ["a"]), ([1.0], ["2024-01-01"])],
)
def test_columns_of_another_kind(fitted, given):
    encoding = Encoding.fitted(Frame.of({"a": fitted}))
    with pytest.raises(ValueError, match="column 'a': fit had"):
        encoding.raw(Frame.of({"a": given}))


def test_parts_of_dates():
    days = ["2024-05-31 17:30", "1969-12-31", "2000-02-29", None]
    frame = Frame.of({"day": days})
    encoding = Encoding.fitted(frame)
    assert [column.part for column in encoding.columns] == [
        "value",
        "day",
        "hour",
        "month",
        "weekday",
    ]
    expected = [[31, 17.5, 4, 4], [31, 0, 11, 2], [29, 0, 1, 1], [np.nan] * 4]
    # The day and the hour are numbers, which are centered.
    np.testing.assert_array_equal(encoding.raw(frame)[:, 1:] + [31, 0, 0, 0], expected)


def test_huge_and_tiny_numbers():
    values = np.array([1e300, -1e300, 5e-324, 0.0, 1.0, 2.0, 3.0, 4.0])
    encoding = Encoding.fitted(Frame.of({"a": values, "b": np.array([0.0] * 7 + [5e-324])}))
    rows = encoding.rows(encoding.raw(Frame.of({"a": values, "b": values})), codes=True)
    assert np.isfinite(rows).all()
    assert rows[0, 0] > 2.9
    assert rows[1, 0] < -2.9


def test_state_is_plain_and_complete():
    frame = Frame.of(_random_table(50) | {"day": np.arange(50).astype("datetime64[D]")})
    encoding = Encoding.fitted(frame)
    again = Encoding.of_state(encoding.state())
    raw = encoding.raw(frame)
    np.testing.assert_array_equal(again.raw(frame), raw)
    np.testing.assert_array_equal(again.rows(raw, codes=True), encoding.rows(raw, codes=True))


@pytest.mark.parametrize("codes", [False, True])
def test_the_layer_makes_the_same_rows(codes):
    table = _random_table(300) | {"day": np.arange(300).astype("datetime64[h]")}
    table["size"][5] = 1e30
    encoding = Encoding.fitted(Frame.of(table))
    raw = encoding.raw(Frame.of(table))
    layer = fastnn.layers.ColumnEncoding(**encoding.layer_arguments(codes=codes))
    found = layer(raw).numpy()
    np.testing.assert_allclose(found, encoding.rows(raw, codes=codes), rtol=2e-6, atol=2e-6)
    model = fastnn.Sequential(
        [
            fastnn.layers.ColumnEncoding(
                **encoding.layer_arguments(codes=codes), input_shape=raw.shape[1:]
            )
        ]
    )
    np.testing.assert_allclose(model.predict(raw, verbose=0), found, rtol=2e-6, atol=2e-6)


def test_a_category_of_which_some_rows_have_dates_alone():
    frame = Frame.of({"due": ["never", "2024-01-01", None, "2024-02-03"] * 3})
    encoding = Encoding.fitted(frame)
    every = encoding.raw(frame)
    np.testing.assert_array_equal(encoding.raw(Frame.of({"due": ["2024-01-01"]})), every[1:2])
    some = Frame.of({"due": ["2024-02-03", None, "2024-03-03"]}).take([0, 1])
    np.testing.assert_array_equal(encoding.raw(some), every[[3, 2]])


def test_large_integers_of_a_category_differ():
    pandas = pytest.importorskip("pandas")
    series = pandas.Series([2**60, 2**60 + 1] * 3).astype("category")
    frame = Frame.of(pandas.DataFrame({"key": series}))
    assert frame.columns[0].levels == (str(2**60), str(2**60 + 1))
