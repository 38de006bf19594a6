"""Arguments that a Keras program gives to layers: types of rows, seeds of masks, axes."""

from __future__ import annotations

import networks
import numpy as np
import pytest

import fastnn
from fastnn import _core, keys, layers

CROSSENTROPY = "sparse_categorical_crossentropy"
TYPES = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
]


def images(first, **options):
    fastnn.utils.set_random_seed(3)
    chain = [first, layers.Flatten(), layers.Rescaling(1 / 255), layers.Dense(3)]
    model = fastnn.Sequential(chain, **options)
    model.compile("sgd", CROSSENTROPY)
    return model


@pytest.mark.parametrize("kind", TYPES)
def test_input_of_any_type(kind, rng):
    """The type of x changes nothing of the model: it computes in its own."""
    x, y = rng.integers(0, 2, (12, 4, 4)).astype(kind), rng.integers(0, 3, 12)
    plain = images(layers.Input((4, 4)))
    expected = plain.fit(x, y, verbose=0).history
    for given in (kind, np.dtype(kind), np.dtype(kind).type, np.dtype(kind).newbyteorder(">")):
        first = layers.Input((4, 4), dtype=given).layer
        assert first.dtype == kind
        model = images(first)
        assert model.dtype == "float32"
        assert model.fit(x, y, verbose=0).history == expected
        config = first.get_config()
        assert config["dtype"] == kind
        assert layers.InputLayer.from_config(config).dtype == kind
    assert images(layers.Input((4, 4), dtype=kind), dtype="float64").dtype == "float64"


def test_input_of_the_types_of_models():
    assert images(layers.Input((4, 4), dtype="float64")).dtype == "float64"
    assert images(layers.Input((4, 4), dtype=np.float32)).dtype == "float32"
    with pytest.raises(ValueError, match="is float64, but the model is float32"):
        images(layers.Input((4, 4), dtype="float64"), dtype="float32")


def test_inputs_of_a_graph_in_float64():
    one, two = layers.Input((3,)), layers.Input((3,), dtype="float64")
    joined = layers.Add()([one, two])
    model = fastnn.Model([one, two], layers.Dense(2)(joined))
    assert model.dtype == model.layers[-1].kernel.dtype == "float64"
    assert fastnn.Model.from_config(model.get_config()).dtype == "float64"
    with pytest.raises(ValueError, match="is float64, but the model is float32"):
        fastnn.Model([one, two], layers.Dense(2)(joined), dtype="float32")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("uint9", ValueError, "dtype: unknown name 'uint9', did you mean 'uint"),
        ("string", ValueError, "dtype: unknown name 'string', "),
        (np.complex64, ValueError, "dtype: unknown name 'complex64'"),
        (np.longdouble, ValueError, "dtype: unknown name 'float|dtype: unknown name 'longdouble"),
        (3, TypeError, "dtype: expected a type of real numbers, got 3"),
    ],
)
def test_input_of_no_type(given, error, message):
    with pytest.raises(error, match=message):
        layers.Input((4,), dtype=given)


def test_batch_shape():
    assert layers.Input(batch_shape=(None, 3, 4)).layer.given_shape == (3, 4)
    first = layers.Input(batch_shape=(32, 4)).layer
    assert (first.given_shape, first.batch_size) == ((4,), 32)
    with pytest.raises(ValueError, match="give shape or batch_shape, not both"):
        layers.Input((3,), batch_shape=(None, 3))
    with pytest.raises(ValueError, match=r"^batch_shape: .*batch axis"):
        layers.Input(batch_shape=(3,))


def test_axis_of_layer_normalization(rng):
    """Keras's first argument is the axis; it must not be taken for epsilon."""
    x = rng.normal(size=(5, 4))
    for axis in (-1, 1, [-1], [1]):
        model = fastnn.Sequential([layers.LayerNormalization(axis, input_shape=(4,))])
        np.testing.assert_allclose(
            model.predict(x, verbose=0), fastnn.ops.layer_normalization(x), rtol=1e-5, atol=1e-6
        )
    for axis in (0, 2, -2, [0, 1]):
        with pytest.raises((TypeError, ValueError), match=r"^axis: expected"):
            layers.LayerNormalization(axis)
    with pytest.raises(TypeError, match="axis: expected an integer, got 1e-05"):
        layers.LayerNormalization(1e-5)


# -- the seed of dropout -------------------------------------------------------------------------


def masks(*dropouts, seed=1, width=64, n=6):
    """A model of dropouts and a sum, and rows of ones: the gradient of its kernel tells the mask."""
    fastnn.utils.set_random_seed(seed)
    model = fastnn.Sequential([layers.Input((width,)), *dropouts, layers.Dense(1, use_bias=False)])
    model.layers[-1].kernel.assign(np.ones((width, 1)))
    model.compile("sgd", "mse")
    x = np.ones((n, width))
    return model, x


def kept(model, x, y=0.0):
    """Which columns are kept in one row of training, from the gradient of the kernel."""
    _, gradients = model.value_and_grad(x[:1], np.full(1, y), training=True)
    return gradients[-1][:, 0] != 0


@pytest.mark.isa
def test_a_seed_fixes_the_mask():
    """Whatever the model's key is, and where the layer stands."""
    results = [
        kept(*masks(layers.Dropout(0.5, seed=5), seed=1)),
        kept(*masks(layers.Dropout(0.5, seed=5), seed=2)),
        kept(*masks(layers.Dropout(0.0), layers.Dropout(0.5, seed=5), seed=1)),
        kept(*masks(layers.Dropout(0.5, None, 5), seed=1)),
    ]
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    assert 0.2 < results[0].mean() < 0.8
    assert (kept(*masks(layers.Dropout(0.5, seed=6))) != results[0]).any()
    assert (kept(*masks(layers.Dropout(0.5))) != results[0]).any()


def test_without_a_seed_the_model_decides():
    """The masks are those of the model's key and the layer's number, to the bit."""
    one, other = (
        kept(*masks(layers.Dropout(0.5), seed=1)),
        kept(*masks(layers.Dropout(0.5), seed=2)),
    )
    assert (one != other).any()
    native = networks.bound(_core.Network(64, "float32", keys.key_of(1)), "float32")
    first = native.network.dropout(0, 0.5)
    native.network.set_output(native.network.dense(first, 1, "linear", use_bias=False))
    native = networks.bound(native.network, "float32")
    native.write([np.ones((64, 1), np.float32)])
    networks.compile_native(native.network, loss="mean_squared_error")
    rows = networks.rows(np.ones((1, 64)), np.zeros((1, 1)))
    _, flat = native.network.gradients(rows, training=True)
    np.testing.assert_array_equal(native.split(flat)[0][:, 0] != 0, one)


@pytest.mark.isa
def test_the_mask_changes_with_the_step():
    model, x = masks(layers.Dropout(0.5, seed=5))
    first = kept(model, x)
    np.testing.assert_array_equal(kept(model, x), first)
    model.optimizer.learning_rate = 0.0
    model.train_on_batch(x, np.zeros(6))
    assert (kept(model, x) != first).any()
    np.testing.assert_array_equal(model.predict(x, verbose=0), np.full((6, 1), 64.0))


@pytest.mark.cpu
@pytest.mark.parametrize("session", ["plain", "streaming", "tiled"])
def test_a_seed_in_every_session(session, rng, monkeypatch):
    """Training with a seeded dropout is the same in each session as in the plain one."""
    x, y = rng.normal(size=(40, 8)), rng.integers(0, 3, 40)

    def weights(name, seed):
        monkeypatch.setenv("FASTNN_SESSION", name)
        fastnn.utils.set_random_seed(4)
        chain = [layers.Dense(16, "relu", input_shape=(8,)), layers.Dropout(0.5, seed=seed)]
        model = fastnn.Sequential([*chain, layers.Dense(3)])
        model.compile("adam", CROSSENTROPY)
        model.fit(x, y, batch_size=8, epochs=3, verbose=0)
        return model.get_weights()

    for one, other in zip(weights(session, 9), weights("plain", 9), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    pairs = zip(weights(session, 9), weights(session, 10), strict=True)
    assert any((one != other).any() for one, other in pairs)


@pytest.mark.parametrize("seed", [-1, 1.5, "a", True])
def test_seeds_that_are_none(seed):
    with pytest.raises((TypeError, ValueError), match=r"^seed: expected"):
        layers.Dropout(0.5, seed=seed)


def test_the_seed_is_in_the_config():
    config = layers.Dropout(0.5, seed=7).get_config()
    assert (config["rate"], config["seed"]) == (0.5, 7)
    assert layers.Dropout.from_config(config).seed == 7
    assert layers.Dropout(0.5).get_config()["seed"] is None
    with pytest.raises(ValueError, match=r"noise_shape: expected None, got \(1, 2\)"):
        layers.Dropout(0.5, (1, 2))
