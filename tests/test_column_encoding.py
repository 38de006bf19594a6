"""ColumnEncoding: the columns of a table as inputs, alone, in models, in files, with gaps."""

from __future__ import annotations

import pickle
from typing import Any

import networks
import numpy as np
import pytest
import reference
from networks import Array

import fastnn
from fastnn import _core, layers

LEVELS = [0, 5, 0, 2, 0, 2, 1]
MISSING = [True, True, False, False, False, True, False]
BINS = [4, 0, 0, 0, 7, 0, 0]
EDGES = [-1.0, -0.5, 0.0, 0.25, 1.5, *np.linspace(-2, 2, 8)]
STATISTICS: dict[str, Any] = {
    "fill": [0.5, -3.0, 0.125],
    "center": [0.25, -2.0, 0.0],
    "factor": [2.0, 0.5, 0.0],
    "edges": EDGES,
}


def data(rng: np.random.Generator, n: int = 300) -> Array:
    """Rows with gaps, unseen codes, and numbers on, below and above edges."""
    x = rng.normal(size=(n, 7)) * 1.5
    x[::5, 0] = rng.choice(EDGES[:5], len(x[::5]))
    for j, levels in enumerate(LEVELS):
        if levels:
            x[:, j] = rng.integers(-2, levels + 2, n)
    return np.where(rng.random(x.shape) < 0.15, np.nan, x)


def made(clip: float | None = 3.0, **more: Any) -> layers.ColumnEncoding:
    return layers.ColumnEncoding(LEVELS, MISSING, BINS, clip, **STATISTICS, **more)


def expected(x: Array, clip: float | None = 3.0) -> Array:
    return reference.encode_columns(x, LEVELS, MISSING, BINS, clip, **STATISTICS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("clip", [None, 3.0, 0.5])
@pytest.mark.parametrize("n", [1, 2, 33, 300])
def test_values(dtype: Any, clip: float | None, n: int, rng: np.random.Generator) -> None:
    x = data(rng, n)
    want = expected(x.astype(dtype), clip)
    model = fastnn.Sequential([layers.Input((7,)), made(clip)], dtype=dtype)
    assert model.output_shape == (None, want.shape[1])
    exact = {"float32": 2e-6, "float64": 1e-14}[dtype]
    for encode in (model.predict, model.predictor(), made(clip, dtype=dtype), model):
        got = np.asarray(encode(x.astype(dtype)))
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=exact, atol=exact)
        # What is 0 or 1 is so to the bit.
        told = np.isin(want[:, 3:], [0.0, 1.0])
        np.testing.assert_array_equal(got[:, 3:][told], want[:, 3:][told])


@pytest.mark.isa
def test_values_by_the_instruction_set(rng: np.random.Generator) -> None:
    x = data(rng, 1000)
    got = fastnn.Sequential([layers.Input((7,)), made()]).predict(x, verbose=0)
    np.testing.assert_allclose(got, expected(x.astype(np.float32)), rtol=2e-6, atol=2e-6)


def test_extreme_numbers() -> None:
    """No square of a scaled number overflows."""
    x = np.array([[1e30], [-1e30], [3e38], [-3e38], [0.0], [1e-40], [np.nan]], np.float32)
    layer = layers.ColumnEncoding(clip=3.0, factor=10.0, fill=2.0)
    model = fastnn.Sequential([layers.Input((1,)), layer])
    want = [3, -3, 3, -3, 0, 0, 20 / np.sqrt(1 + (20 / 3) ** 2)]
    for encode in (model.predict, layer):
        np.testing.assert_allclose(np.asarray(encode(x))[:, 0], want, rtol=1e-6, atol=1e-30)


def test_a_piece_without_a_width_is_a_step() -> None:
    layer = layers.ColumnEncoding(bins=3, edges=[0.0, 1.0, 1.0, 2.0])
    model = fastnn.Sequential([layers.Input((1,)), layer])
    x = np.array([[0.5], [1.0], [1.5]], np.float32)
    want = [[0.5, 0, 0], [1, 1, 0], [1, 1, 0.5]]
    for encode in (model.predict, layer):
        np.testing.assert_array_equal(np.asarray(encode(x))[:, 1:], want)


# -- adapt ------------------------------------------------------------------------------------


def test_adapt(rng: np.random.Generator) -> None:
    n = 1000
    x = np.zeros((n, 6))
    x[:, 0] = rng.normal(size=n) * 7 + 100
    x[:, 1] = rng.integers(0, 2, n) < 0.5  # two values: one bin, which is no more than the number
    x[:, 2] = 0.0
    x[:50, 2] = rng.normal(size=50)  # equal quartiles
    x[:, 3] = 4.0  # constant
    x[:, 4] = np.nan
    x[:, 5] = rng.integers(0, 3, n)
    x[:100, 0] = np.nan
    x[7, 5] = np.nan
    layer = layers.ColumnEncoding([0, 0, 0, 0, 0, 3], bins=16, dtype="float64")
    layer.adapt(x)
    assert layer.missing == [True, False, False, False, True, True]
    assert layer.bins[0] == 16
    assert layer.bins[1] == layer.bins[3] == layer.bins[4] == layer.bins[5] == 0
    known = x[100:, 0]
    np.testing.assert_allclose(layer.fill.numpy()[:1], np.median(known))
    np.testing.assert_array_equal(layer.fill.numpy(), layer.center.numpy())
    filled = np.where(np.isnan(x[:, 0]), np.median(known), x[:, 0])
    low, high = np.quantile(filled, [0.25, 0.75])
    factor = layer.factor.numpy()
    np.testing.assert_allclose(factor[0], 1 / (high - low))
    np.testing.assert_allclose(factor[2], 2 / (x[:, 2].max() - x[:, 2].min()))
    assert factor[3] == factor[4] == 0
    np.testing.assert_allclose(
        layer.edges.numpy()[:17], np.quantile(filled, np.linspace(0, 1, 17)), rtol=1e-12
    )
    again = layers.ColumnEncoding.from_config(layer.get_config())
    again.build((None, 6))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x).numpy(), layer(x).numpy())
    layer.adapt(x[::-1])  # the same bins
    with pytest.raises(ValueError, match="adapt a new layer"):
        layer.adapt(np.where(np.arange(6) == 0, np.round(x / 50), x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e-320, 1e38])
def test_adapt_of_tiny_and_huge_numbers(size: float, dtype: Any) -> None:
    """Where the factor is no number of the type, the column is as a constant."""
    x = np.array([[-1.0], [-1.0], [-1.0], [-1.0], [1.0]]) * size
    layer = layers.ColumnEncoding(dtype=dtype)
    layer.adapt(x)
    assert np.isfinite(layer.factor.numpy()).all()
    assert np.isfinite(layer(x).numpy()).all()
    if size > 1:
        np.testing.assert_allclose(layer.factor.numpy(), 1 / size, rtol=1e-6)


def test_edges_that_float32_holds_no_twice(rng: np.random.Generator) -> None:
    x = 1e9 + rng.integers(0, 200, (500, 1))
    layer = layers.ColumnEncoding(bins=16)
    layer.adapt(x)
    edges = layer.edges.numpy()
    assert edges.dtype == np.float32
    assert len(edges) < 17
    assert (np.diff(edges) > 0).all()


def test_adapt_takes_frames_and_maps(rng: np.random.Generator, tmp_path: Any) -> None:
    pandas = pytest.importorskip("pandas")
    x = rng.normal(size=(90, 3))
    x[4, 1] = np.nan
    on_disk = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float64, x.shape)
    on_disk[:] = x
    for given in (x, on_disk, x.tolist(), pandas.DataFrame(x)):
        layer = layers.ColumnEncoding(bins=4)
        layer.adapt(given)
        np.testing.assert_allclose(layer.fill.numpy(), np.nanmedian(x, 0), rtol=1e-6)
        assert layer.missing == [False, True, False]
        assert layer(x).shape == (90, 3 + 12 + 1)


def test_what_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"got inf at row 2, column 1"):
        layers.ColumnEncoding().adapt([[0.0, 1.0], [0.0, 1.0], [2.0, np.inf]])
    with pytest.raises(ValueError, match="empty"):
        layers.ColumnEncoding().adapt(np.ones((0, 3)))
    with pytest.raises(ValueError, match=r"expected rows \(n, columns\), got shape \(2, 3, 4\)"):
        layers.ColumnEncoding().adapt(np.ones((2, 3, 4)))
    with pytest.raises(ValueError, match="levels: expected 3 numbers, one for each column, got 2"):
        layers.ColumnEncoding([0, 3]).build((None, 3))
    with pytest.raises(ValueError, match="bins: column 1 is of categories, and has no bins"):
        layers.ColumnEncoding([0, 3], bins=[2, 2]).build((None, 2))
    with pytest.raises(ValueError, match="edges: expected 3 numbers, got 2"):
        layers.ColumnEncoding(bins=2, edges=[0.0, 1.0]).build((None, 1))
    with pytest.raises(ValueError, match=r"^fill: expected finite numbers"):
        layers.ColumnEncoding(fill=np.nan)
    with pytest.raises(ValueError, match=r"edges: .* for column 2, got 2\.0 after 3\.0"):
        layers.ColumnEncoding(bins=[1, 0, 2], edges=[5.0, 6.0, 1.0, 3.0, 2.0]).build((None, 3))
    with pytest.raises(ValueError, match=r"levels: expected an integer in \[0, 16777216\]"):
        layers.ColumnEncoding([2**40])
    with pytest.raises(TypeError, match="levels: expected a number for each column, got 3"):
        layers.ColumnEncoding(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expects rows of one axis"):
        layers.ColumnEncoding(input_shape=(2, 3)).build((None, 2, 3))
    layer = layers.ColumnEncoding()
    layer.adapt(rng.normal(size=(9, 2)))
    with pytest.raises(ValueError, match="expected rows of 2 columns, got 3"):
        layer.adapt(np.ones((4, 3)))


# -- gaps, in what goes through the checks of a model ---------------------------------------------


def small(head: str = "linear") -> fastnn.Sequential:
    encoding = layers.ColumnEncoding([0, 3], missing=True, bins=[2, 0])
    model = fastnn.Sequential(
        [layers.Input((2,)), encoding, layers.Dense(4, "tanh"), layers.Dense(1, head)], seed=3
    )
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("how", ["fit", "evaluate", "predict", "predictor", "batch", "call"])
def test_what_columns_may_hold(how: str) -> None:
    model = small()
    y = np.zeros((4, 1))
    run: Any = {
        "fit": lambda x: model.fit(x, y, verbose=0),
        "evaluate": lambda x: model.evaluate(x, y, verbose=0),
        "predict": lambda x: model.predict(x, verbose=0),
        "predictor": model.predictor(),
        "batch": lambda x: model.train_on_batch(x, y),
        "call": model,
    }[how]
    good = np.array([[0.5, 0], [np.nan, 2], [1, np.nan], [np.nan, -1]])
    run(good)
    run(good.astype(np.float32))
    run(np.where(np.isnan(good), 7, good).astype(np.int64))
    bad = good.copy()
    bad[2, 0] = -np.inf
    with pytest.raises(
        ValueError, match=r"finite numbers, or NaN for a gap, got -inf at row 2, column 0"
    ):
        run(bad)
    bad[2] = [0, 1.5]
    with pytest.raises(
        ValueError, match=r"whole numbers of categories, .* got 1.5 at row 2, column 1"
    ):
        run(bad)


def test_gaps_that_others_would_read() -> None:
    """A column that a Dense reads, too, has none; nor has one that is the output."""
    inputs = fastnn.Input((3,))
    encoded = layers.ColumnEncoding()(layers.Slice(0, 2)(inputs))
    model = fastnn.Model(
        inputs, layers.Dense(1)(layers.Concatenate()([encoded, layers.Slice(1, 2)(inputs)]))
    )
    model.predict([[np.nan, 1, 2], [1, 2, 3]], verbose=0)
    for column in (1, 2):
        x = np.ones((5, 3))
        x[3, column] = np.nan
        with pytest.raises(ValueError, match=f"got nan at row 3, column {column}"):
            model.predict(x, verbose=0)
    plain = fastnn.Sequential([layers.Input((3,)), layers.Dense(1)])
    with pytest.raises(ValueError, match="expected finite numbers, got nan at row 0, column 1"):
        plain.predict([[1.0, np.nan, 2.0]], verbose=0)


def test_gaps_of_one_of_several_inputs() -> None:
    a, b = fastnn.Input((2,), name="a"), fastnn.Input((1,), name="b")
    joined = layers.Concatenate()([layers.ColumnEncoding()(a), b])
    model = fastnn.Model([a, b], layers.Dense(1)(joined))
    good, bad = np.array([[1.0, np.nan], [0.0, 1.0]]), np.array([[1.0], [np.nan]])
    for predict in (lambda x: model.predict(x, verbose=0), model.predictor()):
        assert np.isfinite(predict([good, np.ones((2, 1))])).all()
        with pytest.raises(ValueError, match="got nan at row 1, column"):
            predict([good, bad])


def test_a_rescaling_before_it() -> None:
    """The gather rescales; gaps go through it."""
    model = fastnn.Sequential(
        [layers.Input((2,)), layers.Rescaling(0.5), layers.ColumnEncoding(clip=None, fill=8.0)]
    )
    got = model.predict([[np.nan, 4.0]], verbose=0)
    np.testing.assert_array_equal(got, [[8.0, 2.0]])


# -- models ----------------------------------------------------------------------------------------


def task(rng: np.random.Generator, n: int = 600) -> tuple[Array, Array]:
    x = data(rng, n)
    y = (
        np.nan_to_num(np.sin(2 * x[:, 0]))
        + np.isnan(x[:, 0])
        + (x[:, 1] == 2)
        + 0.5 * (x[:, 3] == 1)
    )
    return x, y


def test_a_model_learns_from_gaps_and_levels(rng: np.random.Generator, tmp_path: Any) -> None:
    x, y = task(rng)
    encoding = layers.ColumnEncoding(LEVELS, bins=[8, 0, 8, 0, 8, 0, 0])
    encoding.adapt(x)
    model = fastnn.Sequential([encoding, layers.Dense(32, "silu"), layers.Dense(1)], seed=1)
    model.compile(fastnn.optimizers.Adam(0.01), "mse")
    before = encoding.get_weights()
    model.fit(x, y, epochs=60, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.05 * y.var()
    for was, now in zip(before, encoding.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)  # no optimizer changes statistics
    assert [w.name for w in encoding.weights] == ["fill", "center", "factor", "edges"]
    assert not any(w.trainable for w in encoding.weights)
    want = model.predict(x, verbose=0)
    path = tmp_path / "m.safetensors"
    model.save(path)
    for again in (fastnn.load_model(path), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.predict(x, verbose=0), want)


@pytest.mark.filterwarnings("ignore::fastnn.models.reasons.TapeWarning")
def test_the_same_over_the_tape(rng: np.random.Generator) -> None:
    x, y = task(rng, 64)

    def built() -> fastnn.Sequential:
        return fastnn.Sequential(
            [layers.Input((7,)), made(), layers.Dense(5, "tanh"), layers.Dense(1)],
            seed=2,
            dtype="float64",
        )

    native, taped = built(), built()
    native.compile("sgd", "mse")
    taped.compile("sgd", lambda y, p: fastnn.math.reduce_mean((y - p) ** 2))
    for model in (native, taped):
        model.fit(x, y, epochs=2, batch_size=16, shuffle=False, verbose=0)
    for a, b in zip(native.get_weights(), taped.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_a_layer_used_twice(rng: np.random.Generator) -> None:
    layer, inputs = layers.ColumnEncoding(clip=None, center=1.0), fastnn.Input((4,))
    parts = [layer(layers.Slice(begin, 2)(inputs)) for begin in (0, 2)]
    model = fastnn.Model(inputs, layers.Concatenate()(parts))
    x = rng.normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x, verbose=0), x - 1)
    assert len(model.weights) == 3


# -- a dense layer that encodes the columns itself ------------------------------------------------

# Levels, missing, bins: columns of which a product would have many more than these.
WIDE = {
    "all": ([0, 60, 0, 2, 0, 2, 1], MISSING, BINS),
    "pieces": ([0] * 7, [True] * 3 + [False] * 4, [40, 0, 31, 1, 0, 50, 0]),
    "categories": ([30, 60, 9, 2, 5, 80, 3], [True, False] * 3 + [True], [0] * 7),
}


def wide_data(levels: list[int], rng: np.random.Generator, n: int) -> Array:
    x = rng.normal(size=(n, 7)) * 1.5
    for j, count in enumerate(levels):
        if count:
            x[:, j] = rng.integers(-2, count + 2, n)
    return np.where(rng.random(x.shape) < 0.15, np.nan, x)


def statistics(levels: list[int], bins: list[int], rng: np.random.Generator) -> dict[str, Array]:
    numbers = levels.count(0)
    edges = [np.sort(rng.normal(size=count + 1)) for count in bins if count]
    found = {name: rng.normal(size=numbers) for name in ("fill", "center", "factor") if numbers}
    return found | ({"edges": np.concatenate(edges)} if edges else {})


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["linear", "relu", "gelu"])
@pytest.mark.parametrize("case", WIDE)
def test_values_and_gradients_of_the_dense_layer(case: str, activation: str, dtype: Any) -> None:
    levels, missing, bins = WIDE[case]
    for n, units in ((1, 130), (3, 70), (5, 64), (33, 131), (300, 260)):
        rng = np.random.default_rng(n)
        x = wide_data(levels, rng, n).astype(dtype)
        known = {name: v.astype(dtype) for name, v in statistics(levels, bins, rng).items()}
        bias = units != 70
        network = _core.Network(7, dtype, 3)
        encoded = network.encode_columns(0, levels, missing, bins, 3.0)
        network.set_output(network.dense(encoded, units, activation, use_bias=bias))
        native = networks.bound(network, dtype)
        shapes = [shape for _, shape in network.parameters[len(known) :]]
        w, *b = [0.3 * rng.normal(size=shape).astype(dtype) for shape in shapes]
        native.write([*known.values(), w, *b])
        y = rng.normal(size=(n, units)).astype(dtype)
        networks.compile_native(network, loss="mean_squared_error", device="cpu")
        table = networks.rows(x, y)
        inputs = reference.encode_columns(x, levels, missing, bins, 3.0, **known)
        want = reference.dense_forward(inputs, w, b[0] if b else None, activation)
        exact = {"float32": 1e-5, "float64": 1e-13}[dtype]
        np.testing.assert_allclose(network.predict(table), want, rtol=exact, atol=exact)
        _, dy = reference.mean_squared_error(want, y)
        z = reference.dense_forward(inputs, w, b[0] if b else None)
        _, dw, db = reference.dense_backward(dy, inputs, w, z, activation)
        got = native.split(network.gradients(table)[1])[len(known) :]
        for own, expected in zip(got, [dw, db][: 1 + bias], strict=True):
            np.testing.assert_allclose(own, expected, rtol=exact, atol=exact / 10)


def test_one_row_has_the_bits_of_many(rng: np.random.Generator) -> None:
    levels, missing, bins = WIDE["all"]
    encoding = layers.ColumnEncoding(levels, missing, bins, **statistics(levels, bins, rng))
    model = fastnn.Sequential([layers.Input((7,)), encoding, layers.Dense(80, "silu")], seed=2)
    x = wide_data(levels, rng, 50)
    many, predict = model.predict(x, verbose=0), model.predictor()
    for i in range(6):
        np.testing.assert_array_equal(predict(x[i : i + 1]), many[i : i + 1])


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_products_in_bfloat16(precision: str, rng: np.random.Generator) -> None:
    """They take the encoding as it is; a step differs by what they round."""
    levels, missing, bins = WIDE["all"]
    x, found = wide_data(levels, rng, 256).astype(np.float32), []
    y = rng.normal(size=(256, 1)).astype(np.float32)
    known = statistics(levels, bins, rng)
    for name in ("highest", precision):
        network = _core.Network(7, "float32", 3)
        h = network.dense(network.encode_columns(0, levels, missing, bins, 3.0), 128, "silu")
        network.set_output(network.dense(h, 1, "linear"))
        native = networks.bound(network, "float32")
        values = np.random.default_rng(5)
        shapes = [shape for _, shape in network.parameters[4:]]
        native.write([*known.values(), *(0.2 * values.normal(size=shape) for shape in shapes)])
        networks.compile_native(network, loss="mean_squared_error", precision=name, device="cpu")
        slow = {**networks.SGD, "learning_rate": 0.005}
        table = networks.rows(x, y)
        networks.train_native(network, table, batch_size=64, epochs=2, optimizer=slow)
        found.append(native.read())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


@pytest.mark.parametrize("session", ["plain", "streaming", "tiled"])
@pytest.mark.parametrize("encodes", [False, True])
def test_threads(encodes: bool, session: str, rng: np.random.Generator) -> None:
    """The same bits at one thread and at three."""
    x, y = task(rng, 700)
    levels = WIDE["all"][0] if encodes else LEVELS
    found = []
    for threads in (1, 3):
        fastnn.set_num_threads(threads)
        network = _core.Network(7, "float32", 3)
        encoded = network.encode_columns(0, levels, MISSING, BINS, 3.0)
        h = network.dense(encoded, 70, "silu")
        network.set_output(network.dense(h, 1, "linear"))
        native = networks.bound(network, "float32")
        values = np.random.default_rng(5)
        weights = [np.asarray(values) for values in STATISTICS.values()]
        weights += [values.normal(size=shape) for _, shape in network.parameters[4:]]
        native.write(weights)
        networks.compile_native(
            network, loss="mean_squared_error", optimizer="adam", session=session, device="cpu"
        )
        rows = networks.rows(x.astype(np.float32), y[:, None].astype(np.float32))
        networks.train_native(network, rows, batch_size=350, optimizer=networks.ADAM, epochs=2)
        found.append(native.read())
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("clip", [None, 3.0])
def test_in_onnx_and_back(
    clip: float | None, dtype: Any, rng: np.random.Generator, tmp_path: Any
) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    encodings = {
        "all": (made(clip), data(rng)),
        "numbers": (layers.ColumnEncoding(clip=clip, center=1.0), rng.normal(size=(9, 3))),
        "a step": (layers.ColumnEncoding(bins=2, edges=[0.0, 1.0, 1.0]), [[-1.0], [0.5], [1.0]]),
        "codes": (layers.ColumnEncoding([3, 2, 2], clip=clip), rng.integers(-1, 4, (30, 3))),
        "signs": (layers.ColumnEncoding([2]), [[0], [1], [-1], [np.nan]]),
    }
    for layer, given in encodings.values():
        x = np.asarray(given, dtype)
        model = fastnn.Sequential([layers.Input(x.shape[1:]), layer], dtype=dtype)
        want = model.predict(x, verbose=0)
        path = tmp_path / "m.onnx"
        model.export_onnx(path)
        session = runtime.InferenceSession(str(path))
        (got,) = session.run(None, {session.get_inputs()[0].name: x})
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
        back = fastnn.from_onnx(path)
        assert [type(part) for part in back.layers] == [layers.ColumnEncoding]
        assert back.dtype == dtype
        np.testing.assert_array_equal(back.predict(x, verbose=0), want)


def test_nodes_that_are_no_encoding(tmp_path: Any) -> None:
    """A file whose nodes are changed, or told to be another layer, is not taken for one."""
    onnx = pytest.importorskip("onnx")
    model = fastnn.Sequential([layers.Input((7,)), made(), layers.Dense(2)])
    path = tmp_path / "m.onnx"
    model.export_onnx(path)
    (layer, _) = fastnn.from_onnx(path).layers
    assert layer.name == model.layers[0].name

    def other_levels(graph: Any) -> None:
        (told,) = (node for node in graph.node if node.doc_string)
        told.doc_string = told.doc_string.replace("[0, 5, 0, 2, 0, 2, 1]", "[0, 4, 0, 2, 0, 3, 1]")

    def many_levels(graph: Any) -> None:
        (told,) = (node for node in graph.node if node.doc_string)
        told.doc_string = told.doc_string.replace("[0, 5,", "[0, 1099511627776,")

    def other_node(graph: Any) -> None:
        next(node for node in graph.node if node.op_type == "Less").op_type = "Greater"

    def other_constant(graph: Any) -> None:
        (levels,) = (t for t in graph.initializer if t.name.endswith("/levels"))
        levels.CopyFrom(onnx.numpy_helper.from_array(np.arange(8, dtype=np.float32), levels.name))

    for change in (other_levels, many_levels, other_node, other_constant):
        changed = onnx.load(path)
        change(changed.graph)
        onnx.save(changed, tmp_path / "changed.onnx")
        with pytest.raises(ValueError, match="has no layer for IsNaN"):
            fastnn.from_onnx(tmp_path / "changed.onnx")
