"""What programs of tutorials do, beside what other tests are about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
import fastnn as tf
from fastnn import keras, layers, losses, metrics
from fastnn.losses.base import LOSSES

RNG = np.random.default_rng(0)
pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")


class Autoencoder(keras.Model):
    """A class without a `call`: it trains by a step of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = keras.Sequential([keras.Input((4,)), layers.Dense(2, "tanh")])
        self.decoder = keras.Sequential([keras.Input((2,)), layers.Dense(4)])
        self.mean = keras.metrics.Mean(name="error")

    def train_step(self, data: Any) -> Any:
        with tf.GradientTape() as tape:
            made = self.decoder(self.encoder(data))
            loss = tf.reduce_mean(losses.mean_squared_error(data, made))
        grads = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(grads, self.trainable_weights, strict=True))
        self.mean.update_state(loss)
        return {"error": self.mean.result()}


def test_a_class_without_a_call_has_the_weights_of_its_attributes() -> None:
    model = Autoencoder()
    assert [weight.shape for weight in model.trainable_weights] == [(4, 2), (2,), (2, 4), (4,)]
    assert model.layers == [model.encoder, model.decoder]
    model.compile(optimizer="adam")
    x = RNG.normal(size=(64, 4)).astype(np.float32)
    history = model.fit(x, epochs=20, verbose=0).history["error"]
    assert history[-1] < history[0]
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert lines[-1] == "Parameters: 22 (22 trainable, 0 not)"


@pytest.mark.parametrize("wrong", [RuntimeError("mine"), None, "text"])
def test_an_error_in_the_first_step_is_the_one_that_comes(wrong: Any) -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.dense(x)

        def train_step(self, data: Any) -> Any:
            x, _ = data
            self(x)
            if isinstance(wrong, Exception):
                raise wrong
            return wrong

    model = Own()
    model.compile("sgd", "mse")
    with pytest.raises(RuntimeError if isinstance(wrong, Exception) else TypeError) as told:
        model.fit(np.ones((8, 2)), np.ones((8, 1)), verbose=0)
    assert "incompatible function arguments" not in str(told.value)
    assert model.network.epochs == 0


def test_losses_as_functions() -> None:
    y, p = RNG.uniform(size=(5, 3)), RNG.uniform(size=(5, 3))
    np.testing.assert_allclose(losses.mse(y, p).numpy(), ((y - p) ** 2).mean(-1), rtol=1e-12)
    np.testing.assert_allclose(losses.MAE(y, p).numpy(), abs(y - p).mean(-1), rtol=1e-12)
    np.testing.assert_allclose(float(losses.mse(y[0], p[0])), ((y[0] - p[0]) ** 2).mean())
    images, made = RNG.uniform(size=(2, 4, 3, 1)), RNG.uniform(0.1, 0.9, size=(2, 4, 3, 1))
    found = losses.binary_crossentropy(images, made)
    wanted = -(images * np.log(made) + (1 - images) * np.log(1 - made))
    assert found.shape == (2, 4, 3)
    np.testing.assert_allclose(found.numpy(), wanted[..., 0], rtol=1e-6)
    z = RNG.normal(size=(4, 3))
    labels = np.array([0, 2, 1, 1])
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    found = losses.sparse_categorical_crossentropy(labels, z, from_logits=True)
    np.testing.assert_allclose(found.numpy(), -log_p[np.arange(4), labels], rtol=1e-9)
    for name, cls in LOSSES.classes.items():
        if hasattr(losses, name):
            assert isinstance(losses.get(getattr(losses, name)), cls)
    model = keras.Sequential([layers.Dense(1, input_shape=(2,))])
    model.compile("sgd", losses.mean_squared_error)
    assert model.session(8)  # it trains natively
    with pytest.raises(ValueError, match="axis: expected -1"):
        losses.mse(y, p, axis=0)


def test_reductions_in_loops_of_ones_own() -> None:
    y, p = RNG.uniform(size=(5, 3)), RNG.uniform(size=(5, 3))
    rows = ((y - p) ** 2).mean(-1)
    for word in ("none", None):
        loss = losses.MeanSquaredError(reduction=word)  # type: ignore[arg-type]
        np.testing.assert_allclose(loss(y, p).numpy(), rows, rtol=1e-12)
        weights = np.arange(5.0)
        np.testing.assert_allclose(loss(y, p, weights).numpy(), rows * weights, rtol=1e-12)
    total = losses.MeanSquaredError(reduction="sum")
    np.testing.assert_allclose(float(total(y, p)), rows.sum())
    model = keras.Sequential([layers.Dense(3, input_shape=(2,))])
    for word in ("sum", "none"):
        with pytest.raises(ValueError, match=f"reduction='{word}' is for a loop of your own"):
            model.compile("sgd", losses.MeanSquaredError(reduction=word))


def two_inputs() -> Any:
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    return keras.Model([a, b], layers.Dense(1)(layers.Concatenate()([a, b])))


def test_inputs_by_name() -> None:
    model = two_inputs()
    x = {"b": RNG.normal(size=(6, 3)), "a": RNG.normal(size=(6, 2))}
    wanted = model.predict([x["a"], x["b"]])
    assert model.predict(x).tolist() == wanted.tolist()
    assert model(x).numpy().tolist() == wanted.tolist()
    model.compile("sgd", "mse")
    model.fit(x, np.ones(6), verbose=0, validation_data=(x, np.ones(6)))
    with pytest.raises(
        ValueError, match="a list of 2 inputs, or a dictionary of a, b, got list of 3"
    ):
        model.predict([x["a"], x["b"], x["b"]])
    with pytest.raises(ValueError, match="got a dictionary of a, c"):
        model.predict({"a": x["a"], "c": x["b"]})
    one = keras.Input((2,), name="only")
    single = keras.Model(one, layers.Dense(1)(one))
    assert single.predict({"only": x["a"]}).tolist() == single.predict(x["a"]).tolist()


def test_a_model_of_a_number() -> None:
    """The first example of TensorFlow's guide to training loops."""

    class Line(tf.keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.w, self.b = tf.Variable(5.0), tf.Variable(0.0)

        def call(self, x: Any) -> Any:
            return self.w * x + self.b

    assert float(Line()(3.0)) == 15.0
    assert Line()(np.float32(2.0)).numpy() == 10.0


def test_no_rows() -> None:
    model = keras.Sequential([layers.Dense(3, input_shape=(5,))])
    with tf.GradientTape() as tape:
        y = model(np.ones((0, 5), np.float32))
        total = tf.reduce_sum(y)
    assert y.shape == (0, 3)
    assert not tape.gradient(total, model.trainable_variables)[0].numpy().any()


def test_former_names() -> None:
    with pytest.warns(DeprecationWarning, match="alpha is the former name of negative_slope"):
        assert layers.LeakyReLU(alpha=0.2).negative_slope == 0.2


def test_clipping_by_norms() -> None:
    g = [RNG.normal(size=(3, 2)), None, RNG.normal(size=4)]
    length = np.sqrt(sum((one**2).sum() for one in g if one is not None))
    clipped, found = tf.clip_by_global_norm(g, 0.5)
    assert float(found) == pytest.approx(length)
    assert clipped[1] is None
    np.testing.assert_allclose(clipped[0].numpy(), g[0] * 0.5 / length)
    assert float(tf.linalg.global_norm(g)) == pytest.approx(length)
    assert tf.clip_by_global_norm(g, 99.0)[0][2].numpy().tolist() == pytest.approx(g[2].tolist())
    np.testing.assert_allclose(np.linalg.norm(tf.clip_by_norm(g[0], 0.25).numpy()), 0.25)


@pytest.mark.parametrize(
    "change",
    [
        lambda y: tf.squeeze(y),
        lambda y: y[:, 0],
        lambda y: tf.identity(y),
        lambda y: tf.reshape(y, [-1]),
        lambda y: tf.cast(y, "float64"),
    ],
)
def test_logits_stay_logits(change: Any) -> None:
    """Also where all of them are in [0, 1], and look like probabilities."""
    model = keras.Sequential([layers.Dense(1, input_shape=(2,))])
    x = RNG.uniform(size=(6, 2))
    model.set_weights([[[0.1], [0.1]], [0.1]])
    y = np.array([0.0, 1, 1, 0, 1, 0])
    loss = losses.BinaryCrossentropy()
    z = model.predict(x)[:, 0]
    wanted = np.mean(np.log1p(np.exp(z)) - y * z)
    assert float(loss(y, change(model(x)))) == pytest.approx(wanted, rel=1e-5)
    squashed = keras.Sequential([model, layers.Activation("sigmoid")])
    assert float(loss(y, change(squashed(x)))) == pytest.approx(wanted, rel=1e-5)


def test_metrics_refuse_what_is_no_probability_and_no_label() -> None:
    y = np.array([[0.0, 1.0], [1.0, 0.0]])
    for metric in (metrics.Precision(), metrics.F1Score(), metrics.BinaryAccuracy()):
        with pytest.raises(ValueError, match=r"y_pred: expected probabilities .*got 3.5 at row 1"):
            metric.update_state(y, np.array([[0.5, 0.5], [3.5, 0.0]]))
        with pytest.raises(
            ValueError, match=r"y_true: expected 0 or 1, .* got 2 at row 0, column 1"
        ):
            metric.update_state(np.array([[0.0, 2.0], [1.0, 0.0]]), np.full((2, 2), 0.5))
    metric = metrics.Precision()
    metric.update_state(y, np.full((2, 2), 0.75))
    model = keras.Sequential([layers.Dense(2, input_shape=(2,))])
    metric.update_state(y, model(np.ones((2, 2))))  # which tells that it has logits


def test_models_that_cannot_be_traced_have_names_in_their_table() -> None:
    class Cosine(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = layers.Dense(3), layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.second(tf.cos(self.first(x)))

    model = Cosine()
    model(np.ones((2, 4)))
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert [line.split()[0] for line in lines if "(Dense)" in line] == ["dense", "dense_1"]
    assert lines[-1] == "Parameters: 19 (19 trainable, 0 not)"
    with pytest.raises(RuntimeError, match="its `call` is no graph of layers"):
        model.plot()


def test_the_reason_of_several_outputs_comes_first() -> None:
    inputs = fastnn.Input((2,))
    model = fastnn.Model(inputs, [layers.Dense(1)(inputs), layers.Dense(1)(inputs)])
    model.compile("sgd", "mse", loss_weights=[1.0, 0.5])
    with pytest.warns(fastnn.TapeWarning, match="since it has several outputs"):
        model.fit(np.ones((8, 2)), [np.ones(8), np.ones(8)], verbose=0)


def test_an_attribute_that_a_traced_call_has_read() -> None:
    class Scaled(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(2)
            self.scale = 2.0
            self.note = "a"
            self.deep = False

        def call(self, x: Any) -> Any:
            h = self.dense(x)
            return self.dense(h) * self.scale if self.deep else h * self.scale

    model = Scaled()
    model.scale = 3.0
    x = np.ones((4, 2), np.float32)
    before = model(x).numpy()
    np.testing.assert_allclose(before, 3 * (x @ model.get_weights()[0]), rtol=1e-6)
    model.note = "b"  # which `call` does not read
    model.scale = 3.0
    for name, value in (("scale", 10.0), ("deep", True), ("scale", None)):
        with pytest.raises(
            AttributeError, match=f"{name}: `call` reads it, and the model is built"
        ):
            setattr(model, name, value)
    assert (model.scale, model.deep) == (3.0, False)
    assert model(x).numpy().tolist() == before.tolist()
    model.compile("sgd", "mse")
    model.fit(x, x, epochs=2, verbose=0)
