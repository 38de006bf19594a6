"""Arrays and tables that are taken as they come: byte orders, layouts, masks, pandas, polars, Arrow."""

from __future__ import annotations

import ctypes
import io
import sys

import networks
import numpy as np
import pytest

import fastnn
from fastnn import layers, losses, ops
from fastnn.arrays.host import numeric

NATIVE = "<" if sys.byteorder == "little" else ">"
FOREIGN = ">" if NATIVE == "<" else "<"
KINDS = ["b1", "i1", "u1", "i2", "u2", "f2", "i4", "u4", "f4", "i8", "u8", "f8"]
CROSSENTROPY = "sparse_categorical_crossentropy"


def model(loss=CROSSENTROPY, width=3):
    fastnn.utils.set_random_seed(1)
    chain = [layers.Dense(4, "tanh", input_shape=(3,)), layers.Dense(width)]
    made = fastnn.Sequential(chain)
    made.compile("sgd", loss, weighted_metrics=[])
    return made


def numbers(loss, x, y, w=None):
    """All that the calls of a model give for these data."""
    made = model(loss)
    history = made.fit(x, y, sample_weight=w, epochs=2, batch_size=5, verbose=0)
    found = [history.history["loss"], made.evaluate(x, y, sample_weight=w, verbose=0)]
    found += [made.train_on_batch(x, y, w), made.predict(x, verbose=0), made.predictor()(x)]
    value, gradients = made.value_and_grad(x, y, w)
    return [np.asarray(a) for a in (*found, value, *gradients, *made.get_weights())]


def same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def written_out(array, order=NATIVE):
    """The same numbers, of a type whose byte order is written out."""
    dtype = array.dtype.newbyteorder(order)
    view = array.astype(dtype) if order == FOREIGN else array.view(dtype)
    if array.itemsize > 1:
        assert view.dtype.byteorder == order
    return view


def data(rng, kind):
    x = (rng.random((13, 3)) * 5).astype(kind)
    y = rng.integers(0, 2 if kind == "b1" else 3, 13).astype(kind)
    return x, y, np.eye(3)[y.astype(int)].astype(kind), np.ones(13).astype(kind)


@pytest.mark.parametrize("order", [NATIVE, FOREIGN], ids=["native", "foreign"])
@pytest.mark.parametrize("kind", KINDS)
def test_byte_order_of_rows_labels_targets_weights(kind, order, rng):
    x, y, hot, w = data(rng, kind)
    for loss, answer in ((CROSSENTROPY, y), ("categorical_crossentropy", hot), ("mse", hot)):
        given = (written_out(a, order) for a in (x, answer, w))
        same(numbers(loss, *given), numbers(loss, x, answer, w))


@pytest.mark.parametrize("order", [NATIVE, FOREIGN], ids=["native", "foreign"])
@pytest.mark.parametrize("kind", ["f4", "f8", "i4", "u2"])
def test_byte_order_in_ops(kind, order, rng):
    def w(array):
        return written_out(np.asarray(array).astype(kind), order)

    x, y, hot, ones = data(rng, kind)
    labels = y.astype("i4")
    same([ops.softmax(w(x))], [ops.softmax(x)])
    same(
        [ops.dense_forward(w(x), w(hot[:3]), w(ones[:3]))],
        [ops.dense_forward(x, hot[:3], ones[:3])],
    )
    same(
        ops.dense_backward(w(hot), w(x), w(hot[:3]), w(hot)),
        ops.dense_backward(hot, x, hot[:3], hot),
    )
    found = ops.softmax_cross_entropy(w(x), written_out(labels, order), sample_weight=w(ones))
    same(found, ops.softmax_cross_entropy(x, labels, sample_weight=ones))
    found = ops.sigmoid_cross_entropy(w(x), w(hot), pos_weight=w(ones[:3]))
    same(found, ops.sigmoid_cross_entropy(x, hot, pos_weight=ones[:3]))
    same([ops.embedding(w(y[:, None]), w(hot[:3]))], [ops.embedding(y[:, None], hot[:3])])


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_byte_order_in_place(kind):
    param, plain = written_out(np.ones(4, kind)), np.ones(4, kind)
    ops.sgd_step(param, written_out(np.ones(4, kind)), None, learning_rate=0.5)
    ops.sgd_step(plain, np.ones(4, kind), None, learning_rate=0.5)
    same([param], [plain])
    foreign = written_out(np.ones(4, kind), FOREIGN)
    with pytest.raises(TypeError, match="param: expected float32 or float64, got"):
        ops.sgd_step(foreign, np.ones(4, kind), None, learning_rate=0.5)


@pytest.mark.parametrize("order", [NATIVE, FOREIGN], ids=["native", "foreign"])
def test_byte_order_of_weights_and_options(order, rng):
    def w(array):
        return written_out(np.asarray(array), order)

    one, other = model(), model()
    weights = [rng.normal(size=a.shape) for a in one.get_weights()]
    one.set_weights([w(a) for a in weights])
    other.set_weights(weights)
    same(one.get_weights(), other.get_weights())
    one.layers[0].kernel.assign(w(2 * weights[0]))
    same([one.get_weights()[0]], [(2 * weights[0]).astype(np.float32)])
    pos = losses.BinaryCrossentropy(pos_weight=w([1.0, 2.0, 3.0]))
    x, y = rng.normal(size=(6, 3)), rng.integers(0, 2, (6, 3))
    plain = losses.BinaryCrossentropy(pos_weight=[1.0, 2.0, 3.0])
    same(numbers(pos, x, y), numbers(plain, x, y))
    labels = rng.integers(0, 3, 6)
    by_class = dict(zip(w(np.arange(3)), w(np.array([1.0, 2.0, 3.0])), strict=True))
    found = [
        m.fit(x, labels, class_weight=c, verbose=0).history["loss"]
        for m, c in ((model(), by_class), (model(), {0: 1.0, 1: 2.0, 2: 3.0}))
    ]
    same(found[:1], found[1:])
    hot = fastnn.utils.to_categorical(w(labels))
    same([hot], [np.eye(3, dtype=np.float32)[labels]])
    same([fastnn.utils.normalize(w(x))], [fastnn.utils.normalize(x)])


def test_an_order_that_is_written_out_costs_no_copy():
    for array in (np.ones((4, 3)), np.ones((8, 6), np.int16)[::2, ::-2], np.ones((4, 3))[:0]):
        taken = numeric("x", written_out(array))
        assert taken.dtype.byteorder == "="
        assert taken.__array_interface__["data"] == array.__array_interface__["data"]
        assert taken.strides == array.strides
    x = written_out(np.arange(12.0).reshape(4, 3))
    assert fastnn._core.Data(x) is not None


def test_numbers_of_other_libraries(rng):
    """Records (unaligned), read-only views, ctypes, memoryviews and MATLAB files."""
    x, y, w = rng.normal(size=(12, 3)), rng.integers(0, 3, 12), rng.random(12) + 0.5
    expected = numbers(CROSSENTROPY, x, y, w)
    record = np.zeros(12, [("a", "u1"), ("x", "<f8", (3,)), ("y", "<i4"), ("w", "<f8")])
    record["x"], record["y"], record["w"] = x, y, w
    assert not record["x"].flags.aligned
    record.flags.writeable = False
    same(numbers(CROSSENTROPY, record["x"], record["y"], record["w"]), expected)
    c_x, c_w = ((ctypes.c_double * 3) * 12)(), (ctypes.c_double * 12)()
    np.ctypeslib.as_array(c_x)[:], np.ctypeslib.as_array(c_w)[:] = x, w
    same(numbers(CROSSENTROPY, c_x, (ctypes.c_int * 12)(*map(int, y)), c_w), expected)
    same(numbers(CROSSENTROPY, np.ctypeslib.as_array(c_x), y, np.ctypeslib.as_array(c_w)), expected)
    same(numbers(CROSSENTROPY, memoryview(x), memoryview(y), memoryview(w)), expected)
    matlab = pytest.importorskip("scipy.io")
    file = io.BytesIO()
    matlab.savemat(file, {"x": x, "y": y[:, None].astype(np.int32), "w": w[:, None]})
    read = matlab.loadmat(io.BytesIO(file.getvalue()))
    assert read["x"].dtype.byteorder == "<"
    same(numbers(CROSSENTROPY, read["x"], read["y"], read["w"]), expected)


def test_long_doubles_are_refused_by_name():
    if np.dtype(np.longdouble).itemsize == 8:
        pytest.skip("long double is double here")
    with pytest.raises(TypeError, match=r"x: .*not taken; convert with astype\(np.float64\)"):
        model().predict(np.ones((2, 3), np.longdouble))


# -- masks and matrices --------------------------------------------------------------------------


def test_masked_arrays(rng):
    """Taken where nothing is masked; a masked target of a loss with gaps is a missing one."""
    x, y, w = rng.normal(size=(12, 3)), rng.integers(0, 3, 12), rng.random(12) + 0.5
    expected = numbers(CROSSENTROPY, x, y, w)
    for mask in (np.ma.nomask, False, True):
        masked = [
            np.ma.array(a, mask=np.zeros(a.shape, bool) if mask is True else mask)
            for a in (x, y, w)
        ]
        same(numbers(CROSSENTROPY, *masked), expected)
    bad = {"x": np.ma.array(x), "y": np.ma.array(y), "sample_weight": np.ma.array(w)}
    for name, array in bad.items():
        array[7:9] = np.ma.masked
        given = {"x": x, "y": y, "sample_weight": w, name: array}
        with pytest.raises(ValueError, match=rf"^{name}: masked .* row 7$"):
            model().fit(**given, verbose=0)
    with pytest.raises(ValueError, match=r"^x: masked .* row 0$"):
        model().predict(np.ma.masked)
    targets = rng.integers(0, 2, (12, 3)).astype(float)
    gaps = targets.copy()
    gaps[3, 1] = gaps[5, 0] = np.nan
    masked = np.ma.masked_array(targets.astype(int), np.isnan(gaps))
    same(numbers("binary_crossentropy", x, masked), numbers("binary_crossentropy", x, gaps))
    with pytest.raises(ValueError, match=r"^y: masked .* row 3$"):
        model("mse").fit(x, masked, verbose=0)


def matrix(array):
    """An np.matrix; its constructor would warn that it is not recommended."""
    return np.atleast_2d(array).view(np.matrix)


def test_matrices(rng):
    """An np.matrix is the array of its two axes; one that lies across is refused with advice."""
    x, y, w = rng.normal(size=(12, 3)), rng.integers(0, 3, 12), rng.random(12) + 0.5
    expected = numbers(CROSSENTROPY, x, y, w)
    columns = (matrix(x), matrix(y).T, matrix(w).T)
    same(numbers(CROSSENTROPY, *columns), expected)
    assert type(model().predict(matrix(x), verbose=0)) is np.ndarray
    assert model().predictor()(matrix(x)).shape == (12, 3)
    across = {"x": matrix(x).T, "y": matrix(y), "sample_weight": matrix(w)}
    for name, array in across.items():
        given = {"x": x, "y": y, "sample_weight": w, name: array}
        with pytest.raises(
            ValueError, match=rf"^{name}: expected .*got \({len(array)}, 12\)"
        ) as told:
            model().fit(**given, verbose=0)
        assert ("; use np.ravel" in str(told.value)) == (name != "x")
    one = networks.sequential((3, 1), (None,))
    one.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"^y: shape \(1, 12\) .*; use np.ravel\(y\)$"):
        one.fit(x, matrix(w), verbose=0)


# -- tables --------------------------------------------------------------------------------------


def tables(library, columns):
    """A table and a function that makes a column, of a library."""
    if library == "polars":
        polars = pytest.importorskip("polars")
        return polars.DataFrame(columns, strict=False), lambda v: polars.Series(
            "y", list(v), strict=False
        )
    if library == "arrow":
        arrow = pytest.importorskip("pyarrow")
        whole = arrow.table(columns)
        return whole, lambda v: arrow.chunked_array([list(v)[:5], list(v)[5:]])
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({k: pandas.array(list(v)) for k, v in columns.items()})
    return frame, lambda v: pandas.Series(pandas.array(list(v)))


@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
def test_tables(library, rng):
    y, w = rng.integers(0, 3, 12), rng.random(12) + 0.5
    alike = {name: rng.normal(size=12) for name in "abc"}
    mixed = {"a": rng.normal(size=12), "b": y, "c": y > 0}
    for columns in (alike, mixed):
        table, column = tables(library, columns)
        x = np.column_stack([np.asarray(v, float) for v in columns.values()])
        expected = numbers(CROSSENTROPY, x, y, w)
        same(numbers(CROSSENTROPY, table, column(y.tolist()), column(w.tolist())), expected)
        one_column = tables(library, {"y": y})[0]
        same(numbers(CROSSENTROPY, table, one_column, w), expected)
        same([ops.softmax(table)], [ops.softmax(x)])


@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
def test_missing_values_of_tables(library, rng):
    """Named with column and row; missing targets where the loss leaves such out are NaN."""
    x = rng.normal(size=(12, 3))
    columns = {name: x[:, i].tolist() for i, name in enumerate("abc")}
    table, column = tables(library, {**columns, "b": [1, 2, 3, None, 5, None] * 2})
    with pytest.raises(
        TypeError, match=r"^x: .*missing values \(NA, the first at row 3\) .*'b' \("
    ):
        model().fit(table, np.zeros(12, int), verbose=0)
    with pytest.raises(TypeError, match=r"x: .*missing values .*'b' \("):
        model().predictor()(table)
    labels = [0, 1, None, 2, 0, 1] * 2
    for y in (column(labels), column([bool(v) if v is not None else None for v in labels]), labels):
        with pytest.raises(TypeError, match=r"^y: .*missing value.* row 2"):
            model().fit(x, y, verbose=0)
    with pytest.raises(TypeError, match=r"^sample_weight: .*missing value.* row 2"):
        model().fit(x, [0] * 12, sample_weight=column(labels), verbose=0)
    yes = [0.0, 1.0, None, 1.0, 0.0, 1.0] * 2
    gaps = np.array([[np.nan if v is None else v] for v in yes])
    results = []
    for target in (column(yes), gaps, column([None if v is None else bool(v) for v in yes])):
        made = networks.sequential((3, 1), (None,))
        made.set_weights([np.ones((3, 1)), np.zeros(1)])
        made.compile("sgd", "binary_crossentropy")
        results.append(made.evaluate(x, target, verbose=0))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
def test_columns_that_hold_no_numbers(library):
    table, column = tables(library, {"a": [1.0] * 12, "b": [2] * 12, "c": ["word"] * 12})
    with pytest.raises(TypeError, match=r"^x: expected numbers, got column 'c' \("):
        model().fit(table, [0] * 12, verbose=0)
    with pytest.raises(TypeError, match=r"^y: expected numbers.*encode them as integers first"):
        model().fit(np.ones((12, 3)), column(["word"] * 12), verbose=0)


def test_lazy_frames():
    polars = pytest.importorskip("polars")
    with pytest.raises(TypeError, match=r"x: lazy frames are not taken; use x.collect\(\)"):
        model().fit(polars.DataFrame({"a": [1.0]}).lazy(), [0], verbose=0)


def test_missing_values_in_lists():
    with pytest.raises(TypeError, match=r"^y: fill in the missing value None at row 1$"):
        model().fit(np.ones((3, 3)), [0, None, 1], verbose=0)
    with pytest.raises(TypeError, match=r"^x: fill in the missing value None at row 2$"):
        model().predict([[1, 2, 3], [1, 2, 3], [1, None, 3]], verbose=0)


def test_to_categorical_names_its_argument():
    for bad, told in (
        ([0, 1.5], "got 1.5 at place 1"),
        ([0, np.nan], "got nan at place 1"),
        ([[0, 1], [2**40, 1]], "got 1099511627776 at place 2"),
        ([0, -1], "expected integers of at least 0, got -1 at place 1"),
    ):
        with pytest.raises(ValueError, match=f"^x: .*{told}"):
            fastnn.utils.to_categorical(bad)
    with pytest.raises(TypeError, match=r"^x: .*None at row 1$"):
        fastnn.utils.to_categorical([0, None])
    with pytest.raises(TypeError, match=r"^x: expected numbers"):
        fastnn.utils.to_categorical(["a"])
    with pytest.raises(ValueError, match=r"^x: expected integers in \[0, 3\), got 3 at place 0$"):
        fastnn.utils.to_categorical([3, 0], num_classes=3)


class Foreign:
    """A column of polars whose type NumPy lacks."""

    name, dtype = "y", "Int128"

    def __len__(self):
        return 12

    def null_count(self):
        return 0

    def to_numpy(self):
        raise RuntimeError("cannot convert i128 to NumPy")

    def __array__(self, dtype=None, copy=None):
        return self.to_numpy()


class ForeignFrame(Foreign):
    def get_columns(self):
        return [Foreign(), Foreign()]


def test_types_of_tables_that_numpy_lacks():
    """The error is about the argument and the column, not one of a class of the library."""
    message = r"^{}: column 'y' \(Int128\) does not become an array of NumPy: cannot convert i128"
    with pytest.raises(TypeError, match=message.format("y")):
        model().fit(np.ones((12, 3)), Foreign(), verbose=0)
    with pytest.raises(TypeError, match=message.format("x")):
        model().predict(ForeignFrame())
    polars = pytest.importorskip("polars")
    wide = polars.Series("y", [0] * 12).cast(polars.Int128)
    with pytest.raises(TypeError, match=message.format("y")):
        model().fit(np.ones((12, 3)), wide, verbose=0)
