"""What X, y and weights may be: types, orders, layouts, sizes; and that nothing is copied whole."""

from __future__ import annotations

import math

import cases
import networks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import layers, optimizers
from fastnn.arrays.host import numeric
from fastnn.arrays.op_arguments import labels_of_rows
from fastnn.data import rows

TYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
TYPES += ["float16", "float32", "float64"]


def classifier(width, *, dtype="float32", first=(), seed=1):
    """A small compiled classifier of three classes, the same at every call."""
    fastnn.utils.set_random_seed(seed)
    shape = width if isinstance(width, tuple) else (width,)
    model = fastnn.Sequential(
        [
            layers.Input(shape=shape),
            *first,
            layers.Dense(8, activation="tanh"),
            layers.Dense(3, activation="softmax"),
        ],
        dtype=dtype,
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.set_weights(cases.glorot(np.random.default_rng(seed), (math.prod(shape), 8, 3)))
    return model


def trained(x, y, width=None, batch_size=8, **more):
    """All that training and use of x gives."""
    model = classifier(np.shape(x)[1:] if width is None else width, **more)
    history = model.fit(x, y, batch_size=batch_size, epochs=2, verbose=0, validation_split=0.2)
    numbers = [np.array(v) for v in history.history.values()]
    numbers += [np.array(model.evaluate(x, y, verbose=0)), model.predict(x, verbose=0)]
    return numbers + model.get_weights()


def same(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("kind", TYPES)
def test_any_type_gives_the_bits_of_the_converted(kind, dtype, rng):
    low, high = (0, 2) if kind == "bool" else (0, 100) if kind.startswith("u") else (-100, 100)
    x = rng.integers(low, high, (37, 9)).astype(kind)
    y = rng.integers(0, 3, 37)
    same(trained(x, y, dtype=dtype), trained(x.astype(dtype), y, dtype=dtype))


@pytest.mark.parametrize("value", [-128, -1, 0, 1, 127])
def test_int8_at_its_ends(value):
    x = np.full((5, 4), value, np.int8)
    same([classifier(4).predict(x)], [classifier(4).predict(x.astype(np.float32))])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 255),
        ("uint16", 65535),
        ("int16", -32768),
        ("uint32", 2**32 - 1),
        ("int64", -(2**62)),
        ("uint64", 2**63 + 2**40),
        ("float16", 65504.0),
        ("float16", 6e-8),
    ],
)
def test_integers_at_their_ends(kind, value):
    """The conversion itself: a linear layer of one weight 1 gives the number back."""
    model = networks.sequential((1, 1), (None,), use_bias=False)
    model.set_weights([np.ones((1, 1))])
    x = np.array([[value]], kind)
    np.testing.assert_array_equal(model.predict(x, verbose=0), x.astype(np.float32))


def test_every_layout_gives_the_same_bits(rng):
    x, y = rng.normal(size=(30, 5)).astype(np.float32), rng.integers(0, 3, 30)
    expected = trained(x, y)
    for _, view in cases.strided(x):
        same(trained(view, y), expected)


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(["uint8", "int32", "float32", "float64"]),
    shape=st.tuples(st.integers(1, 20), st.integers(1, 9)),
    steps=st.tuples(st.sampled_from([1, 2, -1, -3]), st.sampled_from([1, 3, -1, -2])),
    transposed=st.booleans(),
)
def test_any_view_predicts_the_same(kind, shape, steps, transposed):
    whole = np.arange(20 * 3 * 9 * 3).reshape(60, 27) % 100
    whole = np.asarray(whole, dtype=kind, order="F" if transposed else "C")
    x = whole[:: steps[0], :: steps[1]][: shape[0], : shape[1]]
    model = networks.sequential((x.shape[1], 2), ("tanh",))
    np.testing.assert_array_equal(
        model.predict(x, verbose=0), model.predict(x.copy(order="C"), verbose=0)
    )


def test_every_layout_of_labels_and_weights(rng):
    x, y, w = rng.normal(size=(30, 5)), rng.integers(0, 3, 30), rng.random(30)
    results = []
    for (_, labels), (_, weights) in zip(cases.strided(y), cases.strided(w), strict=True):
        model = classifier(5)
        model.fit(x, labels, sample_weight=weights, verbose=0)
        results.append(model.get_weights())
    for other in results[1:]:
        same(other, results[0])


def test_broadcast_views_and_overlaps(rng):
    """Strides of zero, and rows that overlap each other."""
    y = rng.integers(0, 3, 20)
    x = np.broadcast_to(rng.normal(size=4).astype(np.float32), (20, 4))
    same(trained(x, y), trained(x.copy(), y))
    windows = np.lib.stride_tricks.sliding_window_view(rng.normal(size=23).astype(np.float32), 4)
    same(trained(windows, y), trained(windows.copy(), y))


def test_memmap(tmp_path, rng):
    values, y = rng.integers(0, 255, (50, 6)).astype(np.uint8), rng.integers(0, 3, 50)
    values.tofile(tmp_path / "x.bin")
    x = np.memmap(tmp_path / "x.bin", np.uint8, "r", shape=(50, 6))
    same(trained(x, y), trained(values, y))


def test_lists_tuples_and_matrices(rng):
    x, y = rng.normal(size=(20, 3)), rng.integers(0, 3, 20)
    expected = trained(x, y, width=(3,))
    same(trained(x.tolist(), y.tolist(), width=(3,)), expected)
    same(trained(tuple(map(tuple, x)), tuple(y.tolist()), width=(3,)), expected)


class Frame:
    """Stands for a table that knows how to become an array, as pandas's does."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


def test_what_can_become_an_array(rng):
    x, y = rng.normal(size=(20, 3)), rng.integers(0, 3, 20)
    model = classifier(3)
    model.fit(Frame(x), Frame(y), verbose=0)
    other = classifier(3)
    other.fit(x, y, verbose=0)
    same(model.get_weights(), other.get_weights())


@pytest.mark.parametrize("order", ["C", "F"])
def test_images_and_flatten(order, rng):
    """Four dimensions, in either order, are rows of 60 numbers."""
    images = np.asarray(rng.integers(0, 255, (30, 4, 5, 3)).astype(np.uint8), order=order)
    y = rng.integers(0, 3, 30)
    flat = trained(images.reshape(30, 60), y)
    same(trained(images, y, first=[layers.Flatten()]), flat)
    swapped = images.transpose(0, 3, 1, 2)
    same(trained(swapped, y, first=[layers.Flatten()]), trained(swapped.reshape(30, 60), y))


@pytest.mark.parametrize(
    ("scale", "offset"), [(1 / 255, 0.0), (1 / 127.5, -1.0), (2.0, 3.0)], ids=str
)
def test_rescaling_is_folded(scale, offset, rng):
    """uint8 images and a Rescaling are scaled floats without one."""
    x, y = rng.integers(0, 256, (50, 6)).astype(np.uint8), rng.integers(0, 3, 50)
    folded = trained(x, y, dtype="float64", first=[layers.Rescaling(scale, offset)])
    scaled = trained(x * scale + offset, y, dtype="float64")
    for a, b in zip(folded, scaled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("first", [True, False], ids=["flatten first", "rescaling first"])
def test_rescaling_around_flatten(first, rng):
    x, y = rng.integers(0, 256, (20, 2, 3)).astype(np.uint8), rng.integers(0, 3, 20)
    pair = [layers.Flatten(), layers.Rescaling(1 / 255)]
    folded = trained(x, y, first=pair if first else pair[::-1])
    scaled = trained((x / 255).reshape(20, 6).astype(np.float32), y)
    for a, b in zip(folded, scaled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_targets_of_any_type_and_layout(rng):
    x = rng.normal(size=(20, 3))
    hot = np.eye(3)[rng.integers(0, 3, 20)]
    results = []
    for y in (hot, hot.astype(np.uint8), hot.astype(bool), np.asfortranarray(hot), hot.tolist()):
        fastnn.utils.set_random_seed(1)
        model = networks.sequential((3, 3), ("softmax",))
        model.compile(optimizer="sgd", loss="categorical_crossentropy")
        model.fit(x, y, verbose=0)
        results.append(model.get_weights())
    for other in results[1:]:
        same(other, results[0])


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "int64", "uint64", "float64", "bool"])
def test_labels_of_any_type(kind, rng):
    """Whole numbers stored as floats are labels, too: many files have them so."""
    x, y = rng.normal(size=(20, 3)), rng.integers(0, 2, 20)
    results = []
    for labels in (y, y.astype(kind), y.astype(kind)[::-1][::-1]):
        model = classifier(3)
        model.fit(x, labels, verbose=0)
        results.append(model.get_weights())
    same(results[1], results[0])
    same(results[2], results[0])


def test_one_column_of_targets(rng):
    """(n,) against outputs (n, 1) is matched, never broadcast to (n, n)."""
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    for loss, answer in (("mse", y), ("binary_crossentropy", (y > 0).astype(int))):
        results = []
        for target in (answer, answer[:, None]):
            fastnn.utils.set_random_seed(1)
            model = networks.sequential((3, 1), (None,))
            model.compile(optimizer="sgd", loss=loss)
            history = model.fit(x, target, verbose=0)
            results.append([np.array(history.history["loss"]), *model.get_weights()])
        same(*results)


def test_weights_of_any_type(rng):
    x, y, w = rng.normal(size=(20, 3)), rng.integers(0, 3, 20), rng.integers(0, 4, 20)
    results = []
    for weights in (w, w.astype(np.uint8), w.astype(float)[::-1][::-1], w.tolist()):
        model = classifier(3)
        model.fit(x, y, sample_weight=weights, verbose=0)
        results.append(model.get_weights())
    for other in results[1:]:
        same(other, results[0])


def test_the_callers_arrays_are_only_read(rng):
    x, y, w = rng.normal(size=(20, 3)), rng.integers(0, 3, 20), rng.random(20)
    for array in (x, y, w):
        array.flags.writeable = False
    classifier(3).fit(x, y, sample_weight=w, verbose=0, validation_split=0.2)


def test_labels_are_copied(rng):
    """A callback that writes to the caller's labels must not lead native code astray."""
    x, y = rng.normal(size=(20, 3)), rng.integers(0, 3, 20).astype(np.int32)

    class Write(fastnn.callbacks.Callback):
        def on_train_batch_end(self, *_):
            y[:] = 10**8

    assert not np.shares_memory(rows.labels(y, 20, (3,)), y)
    assert not np.shares_memory(labels_of_rows(y), y)
    one, other = classifier(3), classifier(3)
    other.fit(x, y.copy(), batch_size=4, verbose=0)
    one.fit(x, y, batch_size=4, verbose=0, callbacks=[Write()])
    same(one.get_weights(), other.get_weights())


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_labels_stored_as_floats(kind, rng):
    """Without a warning from NumPy about what float16 cannot hold."""
    x, y = rng.normal(size=(20, 3)), rng.integers(0, 3, 20)
    one, other = classifier(3), classifier(3)
    one.fit(x, y.astype(kind), verbose=0)
    other.fit(x, y, verbose=0)
    same(one.get_weights(), other.get_weights())
    y = y.astype(kind)
    y[4] = np.inf if kind == "float16" else 2.0**31
    with pytest.raises(ValueError, match=r"32 bits.*row 4"):
        one.fit(x, y, verbose=0)


def test_pandas_tables_of_several_types(rng):
    pd = pytest.importorskip("pandas")
    y = rng.integers(0, 3, 20)
    columns = {"a": y > 0, "b": y, "c": rng.random(20)}
    x = np.column_stack([np.asarray(c, float) for c in columns.values()])
    expected = trained(x, y)
    frame = pd.DataFrame(columns)
    same(trained(frame, pd.Series(y)), expected)
    nullable = frame.astype({"a": "boolean", "b": "Int64"})
    same(trained(nullable, pd.Series(y, dtype="Int64")), expected)
    assert np.shares_memory(numeric("x", frame[["c"]]), frame[["c"]].to_numpy())
    nullable.loc[3, "b"] = pd.NA
    with pytest.raises(TypeError, match=r"x: .*NA.*'b' \(Int64\)$"):
        classifier(3).fit(nullable, y)
    with pytest.raises(TypeError, match=r"x: .*'d'"):
        classifier(4).fit(frame.assign(d="word"), y)
    with pytest.raises(TypeError, match=r"y: .*NA.*'b'"):
        classifier(3).fit(frame, nullable["b"])


MEMORY = """
import resource
import numpy as np
import fastnn
from fastnn import layers
n, width = 100_000, 784

x = np.zeros((n, width), np.uint8)
x[:] = np.arange(width) % 251
y = np.arange(n, dtype=np.int32) % 3
model = fastnn.Sequential([layers.Input((width,)), layers.Rescaling(1 / 255), layers.Dense(4),
                           layers.Dense(3, activation="softmax")])
model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
model.fit(x[:512], y[:512], verbose=0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for view in (x, x[::2], np.asfortranarray(x[:1000]).T[:width].T):
    m = len(view)
    model.fit(view, y[:m], batch_size=256, verbose=0, validation_split=0.1)
    model.evaluate(view, y[:m], verbose=0)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.cpu
def test_x_is_never_copied_whole():
    """78 MB of bytes would be 314 MB of float32; training takes a few of either."""
    done = cases.python(MEMORY)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 25


def test_predictions_may_be_larger_than_a_batch(rng):
    model = networks.sequential((3, 2), (None,))
    x = rng.normal(size=(10_001, 3))
    p = model.predict(x, verbose=0)
    w, b = model.get_weights()
    np.testing.assert_allclose(p, x @ w + b, rtol=1e-4, atol=1e-5)


def test_sgd_sees_the_sum_of_a_batch_in_any_split(rng):
    """Data of one class after the other, odd sizes of batches: the row count is exact."""
    x = rng.normal(size=(23, 3))
    for batch_size in (1, 2, 7, 22, 23, 24, 1000):
        model = networks.sequential((3, 1), (None,), dtype="float64")
        model.compile(optimizer=optimizers.SGD(0.0), loss="mse")
        history = model.fit(x, np.ones(23), batch_size=batch_size, verbose=0)
        want = ((model.predict(x, verbose=0) - 1) ** 2).mean()
        assert history.history["loss"][0] == pytest.approx(want, rel=1e-12)
