"""`fastnn.activations` and the words of activations: functions, parameters, derivatives, files."""

from __future__ import annotations

import functools
import pickle

import cases
import numpy as np
import pytest
import reference
from tolerances import check

import fastnn
from fastnn import activation_words, activations, layers

# Words that are worth a test of each, with their rows and parameters.
WORDS = {
    **{name: (name, None) for name in cases.ACTIVATIONS if name != "rectifier"},
    "swish": ("silu", None),
    "hard_swish": ("hard_silu", None),
    "gelu(approximate=True)": ("gelu_tanh", None),
    "gelu(True)": ("gelu_tanh", None),
    "relu()": ("relu", None),
    "relu(max_value=6)": ("relu6", None),
    "relu(max_value=None, threshold=0)": ("relu", None),
    "relu(negative_slope=0.1)": ("leaky_relu", 0.1),
    "relu(max_value=2, threshold=0.5)": ("rectifier", {"max_value": 2.0, "threshold": 0.5}),
    "leaky_relu(0.1)": ("leaky_relu", 0.1),
    " leaky_relu ( negative_slope = 1e-1, ) ": ("leaky_relu", 0.1),
    "elu(alpha=0.5)": ("elu", 0.5),
    "celu(2)": ("celu", 2.0),
    "soft_shrink(0.25)": ("soft_shrink", 0.25),
    "hard_shrink(threshold=1)": ("hard_shrink", 1.0),
    "squareplus(b=1)": ("squareplus", 1.0),
    "threshold(threshold=-1, default_value=0.5)": (
        "threshold",
        {"threshold": -1.0, "default_value": 0.5},
    ),
}
X = np.random.default_rng(5).normal(size=(9, 5)) * 3


def expected(word):
    name, parameter = WORDS[word]
    return reference.activation_forward(X, name, parameter=parameter)


def layer_of(word):
    return layers.Activation(word, dtype="float64")


@pytest.mark.parametrize("word", WORDS)
def test_words(word):
    """Layers, ops and functions take a word, and what they keep of it means the same."""
    found = [
        fastnn.ops.activation_forward(X, word),
        activations.get(word)(X).numpy(),
        layer_of(word)(X).numpy(),
        fastnn.Sequential([layers.Input((5,)), layer_of(word)], dtype="float64").predict(X),
        fastnn.ops.dense_forward(X, np.eye(5), None, word),
    ]
    for y in found:
        check(y, expected(word), "activation", "float64", scale=1.0 + np.abs(X))
    kept = layers.Dense(3, word).activation
    assert kept == activations.serialize(word) == activations.serialize(activations.get(word))
    assert activation_words.native(kept) == activation_words.native(word)
    assert layers.Dense(3, activations.get(word)).activation == kept
    assert layers.Activation.from_config(layers.Activation(word).get_config()).activation == kept


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("swish", "silu"),
        ("leaky_relu(0.2)", "leaky_relu"),
        ("relu(negative_slope=0.2)", "leaky_relu"),
        ("relu(threshold=1, max_value=4)", "relu(max_value=4.0, threshold=1.0)"),
        ("rectifier", "relu"),
        ("gelu(approximate=False)", "gelu"),
        (None, "linear"),
    ],
)
def test_the_word_that_is_kept(word, kept):
    assert activation_words.get(word) == kept
    assert activation_words.get(kept) == kept


NO_WORDS = ("get", "serialize")


@pytest.mark.parametrize("name", [n for n in activations.__all__ if n not in NO_WORDS])
def test_every_function_is_documented_and_has_a_word(name):
    function = getattr(activations, name)
    assert function.__doc__
    if name == "deserialize":
        assert function("mish") is activations.mish
        return
    assert activations.get(activations.serialize(function)) is function


@pytest.mark.parametrize("row", [name for name in activation_words.rows() if name != "rectifier"])
def test_every_row_has_a_function(row):
    function = activations.get(row)
    assert getattr(function, "func", function).__module__ == "fastnn.activations"
    assert activations.serialize(function) == row


def test_parameters_of_functions():
    for function, given, word in (
        (activations.leaky_relu, {"negative_slope": 0.1}, "leaky_relu(negative_slope=0.1)"),
        (activations.relu, {"max_value": 3}, "relu(max_value=3.0)"),
        (activations.gelu, {"approximate": True}, "gelu_tanh"),
        (activations.threshold, {"threshold": 1, "default_value": 2}, None),
    ):
        y = function(X, **given).numpy()
        made = layers.Dense(3, functools.partial(function, **given)).activation
        assert word is None or made == word
        np.testing.assert_array_equal(y, fastnn.ops.activation_forward(X, made))
        np.testing.assert_array_equal(y, activations.get(made)(X).numpy())


def test_functions_of_symbols_and_of_rows():
    x = fastnn.Input((5,))
    model = fastnn.Model(x, activations.softmax(activations.celu(layers.Dense(3)(x), alpha=2.0)))
    assert [layer.activation for layer in model.layers[1:]] == ["celu(alpha=2.0)", "softmax"]
    z = activations.celu(model.layers[0](X), alpha=2.0)
    np.testing.assert_allclose(activations.softmax(z).numpy(), model.predict(X), rtol=1e-5)
    np.testing.assert_allclose(activations.softmax(X, axis=0).numpy().sum(axis=0), 1.0)
    pairs = fastnn.Input((2, 3))
    assert activations.softmax(pairs, axis=1).layer.kind_name == "softmax"
    with pytest.raises(ValueError, match="axis: expected the last axis of a symbol, got 0"):
        activations.glu(x, axis=0)


@pytest.mark.parametrize(
    ("word", "error", "message"),
    [
        ("leaky_relu(alpha=0.1)", ValueError, "leaky_relu.*'alpha'.*negative_slope"),
        ("leaky_relu(-1)", ValueError, r"activation, negative_slope of leaky_relu: .*-1"),
        ("leaky_relu(nan)", ValueError, "negative_slope of leaky_relu.*nan"),
        ("leaky_relu(0.1, 0.2)", ValueError, "expected parameters by name"),
        ("leaky_relu(negative_slope=0.1, negative_slope=0.2)", ValueError, "given twice"),
        ("leaky_relu(x)", ValueError, "expected numbers as parameters"),
        ("relu(0.1)", ValueError, "expected parameters by name"),
        ("relu(max_value=-1)", ValueError, "max_value of relu.*-1"),
        ("gelu(approximate=2)", TypeError, "approximate: expected True or False"),
        ("tanh(1)", ValueError, "expected parameters by name"),
        ("tanh(x=1)", ValueError, "tanh has no parameter"),
        ("celu(alpha=0)", ValueError, "alpha of celu.*0"),
        ("softmax(axis=1)", ValueError, "softmax has no parameter"),
        ("relu)", ValueError, r"activation: .*'relu\)'"),
        ("mishh", ValueError, "did you mean 'mish'"),
        (3, TypeError, "activation: expected a name.*3"),
    ],
)
def test_bad_words(word, error, message):
    for call in (activation_words.get, lambda word: layers.Dense(3, word)):
        with pytest.raises(error, match=message):
            call(word)


# -- derivatives -----------------------------------------------------------------------------------

# Kinks, near which central differences say nothing.
KINKS = np.array([-6, -3, -1, -0.5, -0.25, 0, 0.25, 0.5, 1, 2, 3, 6])


def numbers():
    x = np.concatenate([np.linspace(-7, 7, 80) + 0.013, X.ravel()])
    return x[np.abs(x[:, None] - KINKS).min(axis=1) > 2e-3]


@pytest.mark.parametrize("word", WORDS)
def test_first_and_second_derivatives(word):
    """Of the function, and through a layer; the native slopes, and their central differences."""
    name, parameter = WORDS[word]
    values = numbers()
    slope = reference.activation_backward(np.ones_like(values), values, name, parameter=parameter)

    def native(x):
        y = fastnn.ops.activation_forward(x, word)
        return fastnn.ops.activation_backward(np.ones_like(x), x, y, word)

    step = 1e-4
    far = [native(values + k * step) for k in (1, -1, 2, -2)]
    second = (8 * (far[0] - far[1]) - (far[2] - far[3])) / (12 * step)
    layer = layer_of(word)
    for function in (activations.get(word), lambda x: layer(x[:, None])[:, 0]):
        x = fastnn.Tensor(values)
        with fastnn.GradientTape(persistent=True) as outer:
            outer.watch(x)
            with fastnn.GradientTape() as inner:
                inner.watch(x)
                y = function(x)
            first = inner.gradient(y, x)
        np.testing.assert_allclose(first.numpy(), slope, rtol=1e-10, atol=1e-12)
        found = outer.gradient(first, x)
        got = np.zeros_like(values) if found is None else found.numpy()
        np.testing.assert_allclose(got, second, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("word", ["mish", "celu(2)", "relu(max_value=2, threshold=0.5)", "sine"])
def test_a_dense_layer_with_a_pass_of_its_own(word):
    """The gradients of a Dense over the tape, of a model and of central differences agree."""
    model = fastnn.Sequential(
        [layers.Input((5,)), layers.Dense(4, word), layers.Dense(2)], dtype="float64", seed=2
    )
    model.compile("sgd", "mse")
    target = np.random.default_rng(1).normal(size=(9, 2))
    loss, gradients = model.value_and_grad(X, target)
    with fastnn.GradientTape() as tape:
        y = model.layers[1](model.layers[0](X))
        taped = fastnn.reduce_mean(fastnn.square(y - target))
    assert float(taped) == pytest.approx(loss, rel=1e-12)
    for a, b in zip(tape.gradient(taped, model.trainable_variables), gradients, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-9, atol=1e-12)
    kernel = model.get_weights()

    def value(w):
        model.set_weights([w, *kernel[1:]])
        return model.evaluate(X, target, verbose=0)

    numeric = cases.gradient(value, kernel[0].copy(), 1e-5)
    np.testing.assert_allclose(gradients[0], numeric, rtol=1e-5, atol=1e-6)


# -- models ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_models_keep_words(dtype, tmp_path):
    """In files, copies and predictors; the layers of parameters too."""
    bent = [
        *(layers.Dense(6, word) for word in WORDS if WORDS[word][0] != "exponential"),
        layers.ReLU(3.0, 0.1, 0.5),
        layers.ReLU(max_value=2.0),
        layers.LeakyReLU(0.05),
        layers.Dense(2),
    ]
    model = fastnn.Sequential([layers.Input((5,)), *bent], dtype=dtype, seed=3)
    x = X.astype(dtype)
    y = model.predict(x)
    model.save(tmp_path / "model.safetensors")
    for other in (
        fastnn.load_model(tmp_path / "model.safetensors"),
        pickle.loads(pickle.dumps(model)),
    ):
        np.testing.assert_array_equal(other.predict(x), y)
        words = [getattr(layer, "activation", None) for layer in other.layers]
        assert words == [getattr(layer, "activation", None) for layer in model.layers]
    np.testing.assert_allclose(model.predictor()(x), y, rtol=1e-5, atol=1e-6)


def test_relu_has_the_arguments_of_keras():
    layer = layers.ReLU(max_value=2, negative_slope=0.5, threshold=1)
    assert (
        layer.get_config().items()
        >= {"max_value": 2, "negative_slope": 0.5, "threshold": 1}.items()
    )
    x = np.array([[-1.0, 1.0, 1.5, 3.0]])
    assert layer(x).numpy().tolist() == [[-1.0, 0.0, 1.5, 2.0]]
    assert layers.ReLU().activation == "relu"
    assert layers.ReLU(max_value=6).activation == "relu6"
    layer.max_value = None
    assert layer(x).numpy().tolist() == [[-1.0, 0.0, 1.5, 3.0]]
    for given in ({"max_value": -1}, {"negative_slope": -0.1}, {"threshold": -1}):
        with pytest.raises(ValueError, match=f"^{next(iter(given))}: "):
            layers.ReLU(**given)


def test_a_cross_entropy_refuses_them_as_heads():
    """Outputs of a bent function are no logits."""
    for head in ("mish", "relu6", "hard_sigmoid"):
        model = fastnn.Sequential([layers.Input((5,)), layers.Dense(3, head)])
        with pytest.raises(ValueError, match=f"{head} before .* cannot be meant"):
            model.compile("adam", "sparse_categorical_crossentropy")
