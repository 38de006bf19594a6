"""Programs whose models share layers: one set of weights, whichever model is trained, and copies."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_nested import HOW, KINDS, X, Y, same

import fastnn
from fastnn import callbacks, layers, optimizers

RNG = np.random.default_rng(0)


def coders() -> tuple[fastnn.Model, fastnn.Model, fastnn.Model]:
    encoder = fastnn.Sequential([layers.Dense(3, "tanh", input_shape=(6,))], name="encoder", seed=1)
    decoder = fastnn.Sequential([layers.Dense(6, input_shape=(3,))], name="decoder", seed=2)
    inputs = fastnn.Input((6,))
    both = fastnn.Model(inputs, decoder(encoder(inputs)), name="autoencoder", seed=3)
    return encoder, decoder, both


def test_an_autoencoder() -> None:
    encoder, decoder, both = coders()

    def fits() -> None:
        np.testing.assert_array_equal(decoder.predict(encoder.predict(X)), both.predict(X))
        np.testing.assert_array_equal(decoder(encoder(X)).numpy(), both(X).numpy())
        assert same(encoder.get_weights() + decoder.get_weights(), both.get_weights())

    fits()
    both.compile("adam", "mse")
    before = both.evaluate(X, X, verbose=0)
    both.fit(X, X, epochs=60, verbose=0)
    fits()
    assert both.evaluate(X, X, verbose=0) < 0.9 * before
    encoder.compile("sgd", "mse")
    encoder.fit(X, X[:, :3], verbose=0)
    fits()
    decoder.layers[0].bias.assign(np.ones(6))
    fits()
    encoder.set_weights([w * 0 for w in encoder.get_weights()])
    fits()
    both.fit(X, X, verbose=0)
    fits()
    predict = encoder.predictor()
    np.testing.assert_array_equal(predict(X), encoder.predict(X))


def test_training_by_turns_is_that_of_one_graph() -> None:
    """Steps of two models that share all layers, against a program that copies weights."""
    inputs = fastnn.Input((6,))
    layer, head = layers.Dense(6, "tanh"), layers.Dense(3)
    one = fastnn.Model(inputs, head(layer(inputs)), seed=1)
    two = fastnn.Model(inputs, head(layer(layer(inputs))), seed=2)
    alone = [copy.deepcopy(one), copy.deepcopy(two)]
    for model in (one, two, *alone):
        model.compile(optimizers.Adam(0.01), HOW[1])
    for _ in range(4):
        for i, model in enumerate((one, two)):
            loss = model.train_on_batch(X, Y)
            assert loss == alone[i].train_on_batch(X, Y)
            alone[1 - i].set_weights(alone[i].get_weights())
            assert layer.owner is model
            assert same(one.get_weights(), alone[0].get_weights())
    assert same(two.get_weights(), alone[1].get_weights())
    np.testing.assert_array_equal(one.predict(X), alone[0].predict(X))


@pytest.mark.parametrize("built", [False, True])
def test_a_gan(built: bool) -> None:
    """The discriminator is frozen in the second model alone."""
    shape: Any = {"input_shape": (2,)} if built else {}
    discriminator = fastnn.Sequential(
        [layers.Dense(8, "relu", **shape), layers.Dense(1, "sigmoid")], name="d", seed=1
    )
    discriminator.compile(optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    generator = fastnn.Sequential([layers.Dense(8, "relu"), layers.Dense(2)], name="g", seed=2)
    discriminator.trainable = False
    z = fastnn.Input((3,))
    gan = fastnn.Model(z, discriminator(generator(z)), seed=3)
    gan.compile(optimizers.Adam(0.01), "binary_crossentropy")
    assert [v.trainable for v in gan.weights] == [True] * 4 + [False] * 4
    noise = RNG.normal(size=(32, 3))
    real = RNG.normal(size=(32, 2)) + 3
    for _ in range(3):
        fake = generator.predict(noise)
        d, g = discriminator.get_weights(), generator.get_weights()
        discriminator.train_on_batch(
            np.concatenate([real, fake]), np.concatenate([np.ones(32), np.zeros(32)])
        )
        assert not any(
            np.array_equal(a, b) for a, b in zip(d, discriminator.get_weights(), strict=True)
        )
        assert same(g, generator.get_weights())
        d = discriminator.get_weights()
        gan.train_on_batch(noise, np.ones(32))
        assert same(d, discriminator.get_weights())
        assert not same(g, generator.get_weights())
    np.testing.assert_array_equal(
        gan.predict(noise), discriminator.predict(generator.predict(noise))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_feature_extractor(kind: str) -> None:
    """A model of what a trained one computes on its way."""
    trained = KINDS[kind]()
    trained.compile("adam", "mse")
    trained.fit(X, X[:, :4], epochs=2, verbose=0)
    assert trained.input is trained.inputs[0]
    assert trained.output is trained.outputs[0]
    whole = fastnn.Model(trained.inputs, trained.outputs)
    np.testing.assert_array_equal(whole.predict(X), trained.predict(X))
    if kind == "chain of models":
        return
    hidden = trained.layers[0]
    features = fastnn.Model(trained.input, trained.get_layer(hidden.name).output)
    # Layers of a class stand as its attributes do.
    end = trained.output.layer if "class" in kind else trained.layers[-1]
    last = fastnn.Model(trained.inputs, end.input)
    for _ in range(2):
        want = hidden(X).numpy()
        np.testing.assert_array_equal(features.predict(X), want)
        np.testing.assert_array_equal(end(last.predict(X)).numpy(), trained.predict(X))
        trained.fit(X, X[:, :4], verbose=0)
    assert features.layers == [hidden]
    assert hidden.name in [v.path.split("/")[1] for v in trained.weights]
    del trained
    gc.collect()
    assert features.predict(X).shape == want.shape
    features.compile("sgd", "mse")
    features.fit(X, want, verbose=0)


def test_symbols_of_models_and_layers() -> None:
    a, b = fastnn.Input((2,)), fastnn.Input((2,))
    shared, add = layers.Dense(2), layers.Add()
    model = fastnn.Model({"a": a, "b": b}, add([shared(a), shared(b)]))
    assert model.input["a"] is a
    assert model.inputs == [a, b]
    assert model.output is add.output
    assert [symbol.shape for symbol in add.input] == [(None, 2)] * 2
    with pytest.raises(AttributeError, match="'dense' is called 2 times in the model"):
        _ = shared.output
    with pytest.raises(AttributeError, match="'dense' is in no model"):
        _ = layers.Dense(3).output
    with pytest.raises(AttributeError, match="no input and output until it is built"):
        _ = fastnn.Sequential([layers.Dense(3)]).input
    copied = copy.deepcopy(model)
    assert copied.layers[1].output is copied.output
    assert copied.input["a"] is not a
    chain = fastnn.Sequential([layers.Dense(4, input_shape=(6,)), layers.Dense(3)])
    first = chain.output
    assert chain.output is first
    chain.add(layers.Dense(2))
    assert chain.output is not first
    assert chain.layers[1].output.shape == (None, 3)


def test_a_layer_in_two_models() -> None:
    layer = layers.Dense(4, "tanh")
    one = fastnn.Sequential([layer, layers.Dense(3)], name="one", seed=1)
    two = fastnn.Sequential([layers.Dense(6), layer, layers.Dense(3)], name="two", seed=2)
    for model in (one, two):
        model.compile(*HOW)
    one.fit(X, Y, verbose=0)
    assert layer.owner is one
    two.fit(X, Y, verbose=0)
    assert layer.owner is two
    # It is named by the first model, and found in the second among layers named alike.
    assert layer.name == "dense"
    assert layer.kernel.path == "one/dense/kernel"
    assert two.get_layer("dense_1") is layer
    two.pop()
    one.fit(X, Y, verbose=0)
    two.layers[0].set_weights([np.eye(6), np.zeros(6)])
    two.add(layers.Dense(3))
    for model in (one, two):
        hidden = np.tanh(X @ layer.kernel.numpy() + layer.bias.numpy())
        kernel, bias = model.layers[-1].get_weights()
        np.testing.assert_allclose(model.predict(X), hidden @ kernel + bias, rtol=1e-5, atol=1e-5)
        assert any(v is layer.kernel for v in model.weights)
    with pytest.raises(ValueError, match="'dense' is float32, but the model is float64"):
        fastnn.Sequential([layer], dtype="float64").build((None, 6))


def test_float64() -> None:
    """The dtype of the whole is that of its parts, also where the whole is gone."""
    inner = fastnn.Sequential([layers.Dense(3)])
    outer = fastnn.Sequential([inner], dtype="float64")
    outer.build((None, 6))
    assert inner.dtype == "float64"
    want = outer.predict(X)
    assert want.dtype == np.float64
    del outer
    gc.collect()
    assert inner.dtype == "float64"
    np.testing.assert_array_equal(inner.predict(X), want)
    given = fastnn.Sequential([layers.Dense(3, input_shape=(6,))], dtype="float64", name="given")
    assert fastnn.Sequential([given]).predict(X).dtype == np.float64
    with pytest.raises(ValueError, match="'given' is float64, but the model is float32"):
        fastnn.Sequential([given], dtype="float32")


def test_dropped_models_leave_layers_to_others() -> None:
    encoder, decoder, both = coders()
    both.compile("adam", "mse")
    both.fit(X, X, verbose=0)
    want = encoder.predict(X), [w.copy() for w in encoder.get_weights()]
    gc.collect()
    gc.disable()
    try:
        gone = weakref.ref(both)
        del both
        assert gone() is None
        gone = weakref.ref(decoder.layers[0])
        del decoder
        assert gone() is None
    finally:
        gc.enable()
    assert encoder.layers[0].owner is None
    np.testing.assert_array_equal(encoder.predict(X), want[0])
    encoder.compile("adam", "mse")
    encoder.fit(X, X[:, :3], verbose=0)
    assert encoder.layers[0].owner is encoder
    assert not same(encoder.get_weights(), want[1])
    np.testing.assert_allclose(
        encoder.predict(X),
        np.tanh(X @ encoder.weights[0].numpy() + encoder.weights[1].numpy()),
        rtol=1e-5,
        atol=1e-6,
    )


def test_averages_go_on_in_turns() -> None:
    """Values that come from another model before each step do not make averages begin anew."""
    found = []
    for rate in (1e-5, None):
        head = fastnn.Sequential([layers.Dense(3, input_shape=(6,))], seed=1)
        inputs = fastnn.Input((6,))
        whole = fastnn.Model(inputs, head(layers.Dense(6)(inputs)), seed=2)
        whole.compile(optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9), HOW[1])
        head.compile(optimizers.SGD(rate or 0.1), HOW[1])
        for _ in range(8):
            if rate is not None:
                before = head.get_weights()
                head.train_on_batch(X, Y)
                assert not same(before, head.get_weights())
            whole.train_on_batch(X, Y)
        trained = whole.get_weights()
        whole.take_averages()
        found.append(whole.get_weights())
        assert np.abs(trained[0] - found[-1][0]).max() > 0.05
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


def test_layers_on_a_tape() -> None:
    """Gradients of outer and inner models go to the same Variables."""
    encoder, decoder, both = coders()
    both.compile("sgd", "mse")
    both.fit(X, X, verbose=0)
    with fastnn.GradientTape(persistent=True) as tape:
        one = fastnn.reduce_mean(fastnn.math.square(both(X) - X))
        two = fastnn.reduce_mean(fastnn.math.square(decoder(encoder(X)) - X))
    for a, b in zip(
        tape.gradient(one, both.weights), tape.gradient(two, both.weights), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    with fastnn.GradientTape() as tape:
        loss = fastnn.reduce_mean(both(X))
    encoder.compile("sgd", "mse")
    encoder.fit(X, X[:, :3], verbose=0)
    with pytest.raises(RuntimeError, match="was changed after it was used"):
        tape.gradient(loss, both.weights)


def test_a_generator_in_callbacks_of_the_whole() -> None:
    """Models that share layers can be called in callbacks of one that is trained, not trained."""
    encoder, decoder, both = coders()
    both.compile("adam", "mse")
    encoder.compile("adam", "mse")
    seen: list[Any] = []

    class Look(callbacks.Callback):
        def on_epoch_end(self, _epoch: int, _logs: Any = None) -> None:
            np.testing.assert_array_equal(decoder.predict(encoder.predict(X)), both.predict(X))
            features = fastnn.Model(both.inputs, both.layers[0](both.inputs[0]))
            np.testing.assert_array_equal(features.predict(X), encoder.predict(X))
            seen.append(encoder.predict(X))
            with pytest.raises(RuntimeError, match="another model that shares layers is being tr"):
                encoder.fit(X, X[:, :3], verbose=0)

    both.fit(X, X, epochs=3, verbose=0, callbacks=[Look()])
    assert not np.array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[-1], encoder.predict(X))


# -- copies ----------------------------------------------------------------------------------------


class Holder(fastnn.Model):
    """A model with models as attributes and in lists."""

    def __init__(self) -> None:
        super().__init__(seed=1)
        self.encoder = fastnn.Sequential([layers.Dense(4, "relu")], name="encoder")
        self.heads = [fastnn.Sequential([layers.Dense(3)]), fastnn.Sequential([layers.Dense(3)])]

    def call(self, inputs: Any) -> Any:
        h = self.encoder(inputs)
        return self.heads[0](h) + self.heads[1](h)


@pytest.mark.parametrize(
    "way", [copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))]
)
def test_copies(way: Callable[[Any], Any]) -> None:
    model = Holder()
    model.compile(*HOW)
    model.fit(X, Y, verbose=0)
    assert [part.name for part in model.layers] == ["encoder", "sequential", "sequential_1"]
    other = way(model)
    assert other.encoder is other.layers[0]
    assert other.encoder is not model.encoder
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    for made in (model, other):
        made.fit(X, Y, epochs=2, verbose=0)
        np.testing.assert_array_equal(
            made.predict(X),
            (made.heads[0](made.encoder(X)) + made.heads[1](made.encoder(X))).numpy(),
        )
    assert same(model.get_weights(), other.get_weights())
    assert [v.path for v in other.weights] == [v.path for v in model.weights]
    other.encoder.compile("sgd", "mse")
    other.encoder.fit(X, X[:, :4], verbose=0)
    assert not same(model.get_weights(), other.get_weights())


def test_a_copy_of_a_part_is_independent_and_sharing_is_kept_among_copies() -> None:
    encoder, decoder, both = coders()
    both.compile("adam", "mse")
    both.fit(X, X, verbose=0)
    alone = copy.deepcopy(encoder)
    np.testing.assert_array_equal(alone.predict(X), encoder.predict(X))
    one, other = pickle.loads(pickle.dumps([encoder, both]))
    both.fit(X, X, verbose=0)
    np.testing.assert_array_equal(one.predict(X), alone.predict(X))
    other.fit(X, X, verbose=0)
    assert same(other.get_weights(), both.get_weights())
    assert one is other.layers[0]
    np.testing.assert_array_equal(one.predict(X), encoder.predict(X))
    assert not np.array_equal(one.predict(X), alone.predict(X))
    del decoder
