"""Steps of a model's own: programs as Keras's guide to `train_step` has them, and what they may do."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import fastnn as tf
from fastnn import keras

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 8))
Y = RNG.normal(size=(100, 1))
WEIGHTS = RNG.random(100)


class WithComputeLoss(keras.Model):
    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
        trainable_vars = self.trainable_variables
        gradients = tape.gradient(loss, trainable_vars)
        self.optimizer.apply(gradients, trainable_vars)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


class WithOwnTrackers(keras.Model):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.mae_metric = keras.metrics.MeanAbsoluteError(name="mae")
        self.loss_fn = keras.losses.MeanSquaredError()

    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.loss_fn(y, y_pred)
        trainable_vars = self.trainable_variables
        gradients = tape.gradient(loss, trainable_vars)
        self.optimizer.apply_gradients(zip(gradients, trainable_vars, strict=True))
        self.loss_tracker.update_state(loss)
        self.mae_metric.update_state(y, y_pred)
        return {"loss": self.loss_tracker.result(), "mae": self.mae_metric.result()}

    @property
    def metrics(self) -> Any:
        return [self.loss_tracker, self.mae_metric]


class WithWeights(keras.Model):
    def train_step(self, data: Any) -> Any:
        if len(data) == 3:
            x, y, sample_weight = data
        else:
            sample_weight = None
            x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred, sample_weight=sample_weight)
        trainable_vars = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, trainable_vars), trainable_vars)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred, sample_weight=sample_weight)
        return {m.name: m.result() for m in self.metrics}


class WithTestStep(keras.Model):
    def test_step(self, data: Any) -> Any:
        x, y = data
        y_pred = self(x, training=False)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


def made(cls: Any) -> Any:
    inputs = keras.Input(shape=(8,))
    hidden = keras.layers.Dense(4, activation="tanh")(inputs)
    return cls(inputs, keras.layers.Dense(1)(hidden), seed=3, dtype="float64")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cls", [WithComputeLoss, WithWeights, WithTestStep])
def test_programs_of_the_guide(cls: Any, weighted: bool) -> None:
    """With a batch that does not divide the rows: values are exact over the epoch all the same."""
    if weighted and cls is not WithWeights:
        pytest.skip("it takes no weights")
    how = {"sample_weight": WEIGHTS} if weighted else {}
    found = []
    for model in (made(keras.Model), made(cls)):
        model.compile(optimizer="adam", loss="mse", metrics=["mae"])
        history = model.fit(X, Y, epochs=3, verbose=0, **how).history
        tested = model.evaluate(X, Y, verbose=0, return_dict=True)
        found.append((history["loss"], None if weighted else history["mae"], list(tested.values())))
        found[-1] += tuple(model.get_weights())  # type: ignore[assignment]
    for a, b in zip(*found, strict=True):
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-9)


def test_a_program_with_trackers_of_its_own() -> None:
    models = made(keras.Model), made(WithOwnTrackers)
    models[0].compile(optimizer="adam", loss="mse", metrics=["mae"])
    models[1].compile(optimizer="adam")
    wanted, found = (m.fit(X, Y, epochs=3, verbose=0, batch_size=25).history for m in models)
    assert set(found) == {"loss", "mae"}
    for name in found:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-9)
    other = copy.deepcopy(models[1])
    assert other.metrics[0] is other.loss_tracker
    other.fit(X, Y, verbose=0)
    assert models[1].metrics_names == ["loss"]


class GAN(keras.Model):
    def __init__(self, discriminator: Any, generator: Any, latent_dim: int) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.generator = generator
        self.latent_dim = latent_dim
        self.d_loss_tracker = keras.metrics.Mean(name="d_loss")
        self.g_loss_tracker = keras.metrics.Mean(name="g_loss")
        self.random = np.random.default_rng(0)
        self.built = True

    @property
    def metrics(self) -> Any:
        return [self.d_loss_tracker, self.g_loss_tracker]

    def compile(self, d_optimizer: Any, g_optimizer: Any, loss_fn: Any) -> None:
        super().compile()
        self.d_optimizer = d_optimizer
        self.g_optimizer = g_optimizer
        self.loss_fn = loss_fn

    def train_step(self, real: Any) -> Any:
        if isinstance(real, tuple):
            real = real[0]
        n = real.shape[0]
        latent = self.random.normal(size=(n, self.latent_dim)).astype("float32")
        generated = self.generator(latent)
        combined = tf.concat([generated, real], axis=0)
        labels = tf.concat([tf.ones((n, 1)), tf.zeros((n, 1))], axis=0)
        labels += 0.05 * self.random.uniform(size=labels.shape).astype("float32")
        with tf.GradientTape() as tape:
            predictions = self.discriminator(combined)
            d_loss = self.loss_fn(labels, predictions)
        grads = tape.gradient(d_loss, self.discriminator.trainable_weights)
        self.d_optimizer.apply(grads, self.discriminator.trainable_weights)
        latent = self.random.normal(size=(n, self.latent_dim)).astype("float32")
        with tf.GradientTape() as tape:
            predictions = self.discriminator(self.generator(latent))
            g_loss = self.loss_fn(tf.zeros((n, 1)), predictions)
        grads = tape.gradient(g_loss, self.generator.trainable_weights)
        self.g_optimizer.apply(grads, self.generator.trainable_weights)
        self.d_loss_tracker.update_state(d_loss)
        self.g_loss_tracker.update_state(g_loss)
        return {"d_loss": self.d_loss_tracker.result(), "g_loss": self.g_loss_tracker.result()}


def gan() -> Any:
    keras.utils.set_random_seed(0)
    discriminator = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(16),
            keras.layers.LeakyReLU(negative_slope=0.2),
            keras.layers.Dense(1),
        ]
    )
    generator = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(2)]
    )
    model = GAN(discriminator, generator, 3)
    model.compile(
        keras.optimizers.Adam(0.003),
        keras.optimizers.Adam(0.003),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    return model


def test_two_optimizers() -> None:
    """The generated points come near the real ones, which lie about (3, -2)."""
    real = np.random.default_rng(1).normal(size=(512, 2)) * 0.5 + [3.0, -2.0]
    model = gan()
    history = model.fit(real, epochs=60, batch_size=32, verbose=0).history
    assert set(history) == {"d_loss", "g_loss"}
    latent = np.random.default_rng(2).normal(size=(200, 3))
    made = model.generator.predict(latent)
    assert np.abs(made.mean(axis=0) - [3.0, -2.0]).max() < 1.2
    # Goes on from a copy alike.
    other = copy.deepcopy(model)
    for m in (model, other):
        m.fit(real, epochs=1, verbose=0)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert other.d_optimizer is not model.d_optimizer


def test_forms_of_data() -> None:
    seen: list[Any] = []

    class Noting(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def train_step(self, data: Any) -> Any:
            seen.append(data)
            return {"loss": 0.0}

    model = Noting()
    model.compile()
    model.fit(X, verbose=0, batch_size=100, shuffle=False)
    assert isinstance(seen[-1], tf.Tensor)
    assert seen[-1].dtype == np.float32
    model.fit([X, X[:, :2]], verbose=0, batch_size=100)
    assert isinstance(seen[-1], tuple)
    assert len(seen[-1][0]) == 2
    model.fit({"a": X}, {"b": Y, "c": Y[:, 0]}, verbose=0, batch_size=100)
    assert seen[-1][0].keys() == {"a"}
    assert seen[-1][1]["c"].shape == (100,)
    model.fit(X, [Y[:, 0], Y], verbose=0, batch_size=100)
    assert [part.shape for part in seen[-1][1]] == [(100,), (100, 1)]
    labels = np.arange(100)
    model.fit(X, labels, class_weight={0: 2.0, 1: 1.0}, verbose=0, batch_size=100, shuffle=False)
    assert seen[-1][1].dtype == labels.dtype
    assert seen[-1][2].numpy()[:3].tolist() == [2.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="y: expected 100 rows"):
        model.fit(X, Y[:3], verbose=0)
    with pytest.raises(ValueError, match="fit: expected x"):
        model.fit(verbose=0)
    assert tf.utils.unpack_x_y_sample_weight((1, 2)) == (1, 2, None)
    assert tf.utils.unpack_x_y_sample_weight([1]) == (1, None, None)
    assert tf.utils.unpack_x_y_sample_weight(1) == (1, None, None)
    with pytest.raises(ValueError, match="of 4"):
        tf.utils.unpack_x_y_sample_weight((1, 2, 3, 4))
    assert tf.utils.pack_x_y_sample_weight([1]) == ([1],)
    assert tf.utils.pack_x_y_sample_weight(1, 2) == (1, 2)
    assert tf.utils.pack_x_y_sample_weight(1, None, 3) == (1, None, 3)


def test_wrong_steps() -> None:
    class Bare(keras.Sequential):
        def train_step(self, data: Any) -> Any:  # noqa: ARG002
            return 0.5

    model = Bare([keras.layers.Dense(1)])
    model.compile()
    with pytest.raises(TypeError, match=r"train_step: expected a dictionary .* got 0.5"):
        model.fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match="expected a loss"):
        model.evaluate(X, Y, verbose=0)

    class Diverging(keras.Sequential):
        def train_step(self, data: Any) -> Any:
            super().train_step(data)
            return {"d_loss": np.nan}

    model = Diverging([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model(X)
    before = model.get_weights()
    with pytest.raises(tf.TrainingDiverged, match="the loss became nan at epoch 0, step 0"):
        model.fit(X, Y, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


class Penalised(keras.Sequential):
    """The loss with a penalty, as `compute_loss` of its own; it has no argument `training`."""

    def compute_loss(  # type: ignore[override]
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None
    ) -> Any:
        loss = super().compute_loss(x, y, y_pred, sample_weight)
        return loss + 0.1 * tf.reduce_sum(tf.square(self.layers[0].kernel))


def test_a_loss_with_a_penalty() -> None:
    model = Penalised([keras.layers.Dense(1, use_bias=False)], seed=1, dtype="float64")
    model.compile(keras.optimizers.SGD(0.05), "mse")
    model.fit(X, Y, epochs=300, batch_size=100, verbose=0)
    wanted = np.linalg.solve(X.T @ X / 100 + 0.1 * np.eye(8), X.T @ Y / 100)
    np.testing.assert_allclose(model.get_weights()[0], wanted, atol=1e-6)


def test_own_prediction_and_metrics() -> None:
    class Rounded(keras.Sequential):
        def predict_step(self, data: Any) -> Any:
            return tf.round(super().predict_step(data))

        def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            found = super().compute_metrics(x, y, y_pred, sample_weight)
            return {**found, "rows": float(len(x))}

    model = Rounded([keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    history = model.fit(X, Y, batch_size=50, verbose=0, validation_data=(X, Y)).history
    assert history["rows"] == history["val_rows"] == [50.0]
    predicted = model.predict(X, batch_size=30)
    np.testing.assert_array_equal(predicted, np.round(predicted))
    assert model.test_on_batch(X, Y, return_dict=True).keys() == {"loss", "mae", "rows"}
    assert len(model.train_on_batch(X, Y)) == 3
    assert set(model.get_metrics_result()) == {"loss", "mae"}


def test_early_stopping_by_a_value_of_ones_own() -> None:
    class Own(keras.Sequential):
        def train_step(self, data: Any) -> Any:
            logs = super().train_step(data)
            return {"my_loss": logs["loss"]}

    model = Own([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    stop = keras.callbacks.EarlyStopping("my_loss", min_delta=100.0)
    assert len(model.fit(X, Y, epochs=9, callbacks=[stop], verbose=0).epoch) == 2


def test_a_step_given_to_one_model() -> None:
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.train_step = lambda data: {"rows": float(len(data[0]))}
    assert model.fit(X, Y, batch_size=50, verbose=0).history == {"rows": [50.0]}
    del model.train_step
    assert list(model.fit(X, Y, verbose=0).history) == ["loss"]


def test_metrics_that_a_program_counts_itself():
    """Of a model whose `fit` is native, too; and a native `evaluate` in between counts apart."""
    model = tf.Sequential([tf.layers.Dense(1, input_shape=(1,))])
    model.compile("sgd", "mse", metrics=["mae"])
    for y, y_pred in ((1.0, 2.0), (2.0, 5.0)):
        model.compute_metrics(None, np.array([y]), tf.constant([[y_pred]]))
    assert float(model.get_metrics_result()["mae"]) == 2
    model.evaluate(np.ones((3, 1)), np.ones(3), verbose=0)
    model.reset_metrics()
    logs = model.compute_metrics(None, np.array([1.0]), tf.constant([[4.0]]))
    assert float(logs["mae"]) == 3
    assert set(model.test_step((np.ones((1, 1)), np.ones(1)))) == {"loss", "mae"}
