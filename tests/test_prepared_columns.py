"""Layers that prepare columns and categories: Normalization, GroupNormalization, Permute, Identity,
Embedding and CategoryEncoding, alone, in models and in files."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from networks import Array

import fastnn
from fastnn import layers
from fastnn.keras.ops import convert_to_tensor


def same_after_a_file(model: Any, x: Any, path: Any) -> None:
    want = model.predict(x, verbose=0)
    model.save(path)
    np.testing.assert_array_equal(fastnn.load_model(path).predict(x, verbose=0), want)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(x, verbose=0), want)


# -- Normalization -------------------------------------------------------------------------


def columns(rng: np.random.Generator, n: int = 5000) -> Array:
    return np.asarray(rng.normal(size=(n, 3)) * [1.0, 50.0, 1e-3] + [0.0, 1e4, 5.0])


def test_adapt_takes_mean_and_variance_in_float64(rng: np.random.Generator, tmp_path: Any) -> None:
    x = columns(rng)
    on_disk = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float64, x.shape)
    on_disk[:] = x
    for data in (x, on_disk, x.tolist(), (x[i : i + 999] for i in range(0, len(x), 999))):
        layer = layers.Normalization(dtype="float64")
        layer.adapt(data)
        np.testing.assert_allclose(layer.mean.numpy(), x.mean(0), rtol=1e-12)
        np.testing.assert_allclose(layer.variance.numpy(), x.var(0), rtol=1e-10)
    layer = layers.Normalization(dtype="float64")
    layer.adapt(x, batch_size=100, steps=3)
    np.testing.assert_allclose(layer.mean.numpy(), x[:300].mean(0), rtol=1e-12)
    one = layers.Normalization()
    one.adapt(x[:, 1].astype(np.int32))
    assert one.mean.shape == (1,)


def test_adapt_takes_frames(rng: np.random.Generator) -> None:
    pandas = pytest.importorskip("pandas")
    x = columns(rng, 50)
    layer = layers.Normalization()
    layer.adapt(pandas.DataFrame(x, columns=["a", "b", "c"]))
    np.testing.assert_allclose(layer.mean.numpy(), x.mean(0), rtol=1e-6)


def test_normalized_columns_in_a_model(rng: np.random.Generator, tmp_path: Any) -> None:
    x = columns(rng, 400)
    layer = layers.Normalization()
    layer.adapt(x)
    model = fastnn.Sequential([layers.Input((3,)), layer, layers.Dense(1)], seed=2)
    assert [w.name for w in layer.weights] == ["mean", "variance"]
    assert not any(w.trainable for w in layer.weights)
    want = (x - x.mean(0)) / np.sqrt(x.var(0))
    kernel, bias = (w.numpy() for w in model.layers[1].weights)
    for predict in (model.predict, model.predictor(), lambda x: model(x).numpy()):
        np.testing.assert_allclose(predict(x), want @ kernel + bias, rtol=1e-3, atol=2e-3)
    model.compile(fastnn.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.5), "mse")
    before = layer.get_weights()
    model.fit(x, want[:, 1], epochs=15, verbose=0)
    assert model.evaluate(x, want[:, 1], verbose=0) < 0.01
    for was, now in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    same_after_a_file(model, x, tmp_path / "m.safetensors")


def test_given_statistics_and_back(rng: np.random.Generator) -> None:
    x = rng.normal(size=(20, 3))
    mean, variance = [1.0, 2.0, 3.0], [4.0, 9.0, 0.0]
    there = layers.Normalization(mean=mean, variance=variance, dtype="float64")
    back = layers.Normalization(mean=mean, variance=variance, invert=True, dtype="float64")
    y = there(x).numpy()
    np.testing.assert_allclose(y, (x - mean) / [2.0, 3.0, 1e-7])
    np.testing.assert_allclose(back(y).numpy(), x)
    model = fastnn.Sequential([layers.Input((3,)), there, back], dtype="float64")
    np.testing.assert_allclose(model.predict(x, verbose=0), x)
    again = layers.Normalization.from_config(there.get_config())
    assert (again.given_mean, again.invert) == (mean, False)
    number = layers.Normalization(mean=5.0, variance=4.0)
    np.testing.assert_allclose(number(x).numpy(), (x - 5) / 2, rtol=1e-5)


def test_what_adapt_refuses(rng: np.random.Generator) -> None:
    layer = layers.Normalization()
    layer.adapt(columns(rng, 10))
    with pytest.raises(ValueError, match="expected rows of 3 columns, got 2"):
        layer.adapt(np.ones((4, 2)))
    bad = columns(rng, 10)
    bad[4, 2] = np.nan
    with pytest.raises(ValueError, match="got nan at row 4, column 2"):
        layer.adapt(bad)
    with pytest.raises(ValueError, match="empty"):
        layer.adapt(np.ones((0, 3)))
    with pytest.raises(ValueError, match="give mean and variance both"):
        layers.Normalization(mean=1.0)
    with pytest.raises(ValueError, match="mean: expected 2 numbers"):
        layers.Normalization(mean=[1.0] * 3, variance=[1.0] * 3, input_shape=(2,)).build((None, 2))


# -- GroupNormalization ------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2, 3, -1])
def test_groups_of_columns(groups: int, rng: np.random.Generator, tmp_path: Any) -> None:
    x = rng.normal(size=(15, 6))
    layer = layers.GroupNormalization(groups, epsilon=0.1)
    model = fastnn.Sequential([layers.Input((6,)), layer, layers.Dense(2)], dtype="float64")
    gamma, beta = rng.normal(size=(2, 6))
    layer.set_weights([gamma, beta])
    count = 6 if groups == -1 else groups
    parts = x.reshape(15, count, -1)
    spread = np.sqrt(parts.var(2, keepdims=True) + 0.1)
    want = ((parts - parts.mean(2, keepdims=True)) / spread).reshape(15, 6) * gamma + beta
    np.testing.assert_allclose(layer(x).numpy(), want, atol=1e-12)
    want = want @ model.layers[1].kernel.numpy()
    np.testing.assert_allclose(model.predict(x, verbose=0), want, atol=1e-12)
    same_after_a_file(model, x, tmp_path / "m.safetensors")


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("center", "scale"), [(True, True), (True, False), (False, True), (False, False)]
)
def test_gradients_of_groups(
    dtype: str, center: bool, scale: bool, rng: np.random.Generator
) -> None:
    """Against NumPy's, of more rows than are taken at a time."""
    x, dy = rng.normal(size=(2, 1500, 48)).astype(dtype)
    layer = layers.GroupNormalization(4, epsilon=0.1, center=center, scale=scale, dtype=dtype)
    layer.build((None, 48))
    weights = rng.normal(size=(len(layer.weights), 48)).astype(dtype)
    layer.set_weights(list(weights))
    with fastnn.GradientTape(persistent=True) as tape:
        tape.watch(given := convert_to_tensor(x))
        y = layer(given)
        slopes = tape.gradient(y, [given, *layer.trainable_variables], dy)
    once = [slope.numpy() for slope in slopes]  # recorded: of operations
    twice = [g.numpy() for g in tape.gradient(y, [given, *layer.trainable_variables], dy)]
    parts = np.float64(x).reshape(1500, 4, 12)
    inverse = 1 / np.sqrt(parts.var(2, keepdims=True) + 0.1)
    xhat = (parts - parts.mean(2, keepdims=True)) * inverse
    whole = xhat.reshape(x.shape)
    want = [*([(dy * whole).sum(0)] if scale else []), *([np.float64(dy).sum(0)] if center else [])]
    g = (dy * np.float64(weights[0]) if scale else np.float64(dy)).reshape(parts.shape)
    dx = inverse * (g - g.mean(2, keepdims=True) - xhat * (g * xhat).mean(2, keepdims=True))
    want.insert(0, dx.reshape(x.shape))
    close = {"float32": 2e-4, "float64": 1e-11}[dtype]
    for found in (once, twice):
        for one, other in zip(found, want, strict=True):
            np.testing.assert_allclose(one, other, rtol=close, atol=close)


def test_gradients_of_groups_without_rows() -> None:
    layer = layers.GroupNormalization(2)
    with fastnn.GradientTape() as tape:
        y = layer(np.zeros((0, 4), np.float32))
    dgamma, dbeta = tape.gradient(y, layer.trainable_variables)
    np.testing.assert_array_equal(dgamma.numpy(), np.zeros(4))
    np.testing.assert_array_equal(dbeta.numpy(), np.zeros(4))


def test_groups_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="groups=4 does not divide 6 columns"):
        fastnn.Sequential([layers.GroupNormalization(4, input_shape=(6,))])


# -- Permute, Identity ---------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [(2, 1), (1, 2), (3, 1, 2), (4, 2, 1, 3)])
def test_permute(dims: tuple[int, ...], rng: np.random.Generator, tmp_path: Any) -> None:
    shape = (2, 3, 4, 5)[: len(dims)]
    x = rng.normal(size=(7, *shape)).astype(np.float32)
    layer = layers.Permute(dims)
    want = x.transpose(0, *dims)
    np.testing.assert_array_equal(layer(x).numpy(), want)
    inputs = fastnn.Input(shape)
    model = fastnn.Model(inputs, layer(inputs))
    assert model.output_shape == (None, *want.shape[1:])
    np.testing.assert_array_equal(model.predict(x, verbose=0), want)
    same_after_a_file(model, x, tmp_path / "m.safetensors")


def test_a_permute_of_two_shapes(rng: np.random.Generator) -> None:
    """Each call has its own."""
    x = rng.normal(size=(4, 6)).astype(np.float32)
    turn, inputs = layers.Permute((2, 1)), fastnn.Input((6,))
    first = turn(layers.Reshape((2, 3))(inputs))
    second = turn(layers.Reshape((6, 1))(layers.Flatten()(first)))
    model = fastnn.Model(inputs, second)
    want = x.reshape(4, 2, 3).transpose(0, 2, 1).reshape(4, 6, 1).transpose(0, 2, 1)
    np.testing.assert_array_equal(model.predict(x, verbose=0), want)
    with pytest.raises(ValueError, match="needs rows of 2 axes"):
        layers.Permute((2, 1))(np.ones((3, 4)))
    with pytest.raises(ValueError, match="each axis from 1 to 2 once"):
        layers.Permute((1, 3))


def test_identity(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 3)).astype(np.float32)
    model = fastnn.Sequential(
        [layers.Identity(input_shape=(3,)), layers.Dense(2, "softmax"), layers.Identity()]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")  # the head is still found
    assert model.count_params() == 8
    np.testing.assert_array_equal(layers.Identity()(x).numpy(), x)


# -- Embedding, CategoryEncoding -----------------------------------------------------------------


def test_embedding_looks_up(rng: np.random.Generator, tmp_path: Any) -> None:
    ids = rng.integers(0, 7, (9, 3))
    layer = layers.Embedding(7, 4)
    model = fastnn.Sequential(
        [layers.Input((3,), dtype="int32"), layer, layers.Flatten(), layers.Dense(2)]
    )
    table = layer.embeddings.numpy()
    assert table.shape == (7, 4)
    assert np.abs(table).max() <= 0.05
    assert layer.output_shape == (None, 3, 4)
    np.testing.assert_array_equal(layer(ids).numpy(), table[ids])
    want = table[ids].reshape(9, 12) @ model.layers[2].kernel.numpy()
    np.testing.assert_allclose(model.predict(ids, verbose=0), want, rtol=1e-5, atol=1e-7)
    same_after_a_file(model, ids, tmp_path / "m.safetensors")
    given = layers.Embedding(7, 4, weights=[table])
    np.testing.assert_array_equal(given(ids).numpy(), table[ids])


def test_gradients_of_a_table(rng: np.random.Generator) -> None:
    ids = rng.integers(0, 5, (6, 2))
    layer = layers.Embedding(5, 3, dtype="float64")
    layer(ids)
    with fastnn.GradientTape() as outer:
        with fastnn.GradientTape() as inner:
            y = layer(ids)
            loss = fastnn.math.reduce_sum(y * y * y)
        slope = inner.gradient(loss, layer.embeddings)
        total = fastnn.math.reduce_sum(slope)
    table = layer.embeddings.numpy()
    counts = np.bincount(ids.ravel(), minlength=5)[:, None]
    np.testing.assert_allclose(slope.numpy(), 3 * counts * table**2)
    curve = outer.gradient(total, layer.embeddings)
    np.testing.assert_allclose(curve.numpy(), 6 * counts * table)


BAD = {"a fraction": 2.5, "too large": 7, "below": -1}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("make", [layers.Embedding, layers.CategoryEncoding])
def test_numbers_that_are_no_category(case: str, make: Any) -> None:
    x = np.zeros((6, 3))
    x[4, 2] = BAD[case]
    layer = make(7, 2) if make is layers.Embedding else make(7)
    model = fastnn.Sequential([layers.Input((3,)), layer, layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    before = model.get_weights()
    message = rf"expected whole numbers in \[0, 7\), got {BAD[case]:g}.* at row 4, column 2"
    calls = (
        lambda: model.predict(x, verbose=0),
        lambda: model.predictor()(x),
        lambda: model.fit(x, np.zeros(6), verbose=0),
        lambda: model.evaluate(x, np.zeros(6), verbose=0),
        lambda: layer(x),
    )
    for call in calls:
        with pytest.raises(ValueError, match=message):
            call()
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize("mode", ["multi_hot", "count", "one_hot"])
def test_category_encoding(mode: str, rng: np.random.Generator, tmp_path: Any) -> None:
    ids = rng.integers(0, 5, (8, 3))
    hot = np.eye(5)[ids]
    want = {"multi_hot": hot.max(1), "count": hot.sum(1), "one_hot": hot}[mode]
    layer = layers.CategoryEncoding(5, mode)
    np.testing.assert_array_equal(layer(ids).numpy(), want)
    model = fastnn.Sequential([layers.Input((3,), dtype="int32"), layer])
    np.testing.assert_array_equal(model.predict(ids, verbose=0), want)
    np.testing.assert_array_equal(model.predictor()(ids.astype(np.float32)), want)
    same_after_a_file(model, ids, tmp_path / "m.safetensors")
    single = layers.CategoryEncoding(5, mode)(ids[:, :1]).numpy()
    np.testing.assert_array_equal(single, hot[:, 0])


def test_numbers_and_categories_in_one_model(tmp_path: Any) -> None:
    """Prices that depend on a quality, a colour and a weight, as tables have them."""
    rng = np.random.default_rng(8)
    n = 1500
    quality, colour = rng.integers(0, 4, n), rng.integers(0, 6, n)
    weight = rng.gamma(2.0, 300.0, n)
    worth, shift = np.array([1.0, 1.5, 2.5, 4.0]), rng.normal(size=6)
    price = worth[quality] * np.log(weight + 1) + shift[colour]
    a, b = (fastnn.Input((1,), dtype="int32", name=name) for name in ("quality", "colour"))
    c = fastnn.Input((1,), name="weight")
    scaled = layers.Normalization()
    scaled.adapt(np.log(weight + 1))
    parts = [
        layers.Flatten()(layers.Embedding(4, 3)(a)),
        layers.CategoryEncoding(6, "one_hot")(b),
        scaled(c),
    ]
    h = layers.Concatenate()(parts)
    h = layers.BatchNormalization()(layers.Dense(32)(h))
    model = fastnn.Model([a, b, c], layers.Dense(1)(layers.Activation("relu")(h)))
    model.compile(fastnn.optimizers.Adam(0.01), "mse")
    x = {"quality": quality, "colour": colour, "weight": np.log(weight + 1)}
    x = {name: column[:, None] for name, column in x.items()}
    model.fit(x, price, epochs=25, verbose=0)
    assert model.evaluate(x, price, verbose=0) < 0.05 * price.var()
    want = model.predict(x, verbose=0)
    np.testing.assert_allclose(model.predictor()(x), want, rtol=1e-3, atol=1e-3)
    model.save(tmp_path / "m.safetensors")
    again = fastnn.load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.predict(x, verbose=0), want)


def test_options() -> None:
    with pytest.raises(ValueError, match="mask_zero: expected False"):
        layers.Embedding(3, 2, mask_zero=True)
    with pytest.raises(ValueError, match="weights: expected shape"):
        layers.Embedding(3, 2, weights=np.ones((2, 3)))
    with pytest.raises(ValueError, match="output_mode"):
        layers.CategoryEncoding(3, "tf_idf")
    with pytest.raises(ValueError, match="sparse: expected False"):
        layers.CategoryEncoding(3, sparse=True)
