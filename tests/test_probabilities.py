"""predict_proba: probabilities by what the loss means, whatever the last layer is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference

import fastnn
from fastnn import layers, losses, ops

X = np.random.default_rng(1).normal(size=(7, 4))


def made(units: int, activation: str, loss: Any, dtype: str = "float64") -> fastnn.Sequential:
    model = fastnn.Sequential([layers.Dense(units, activation, input_shape=(4,), dtype=dtype)])
    model.compile("sgd", loss)
    return model


CLASSES = (
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "sparse_categorical_focal_crossentropy",
    "kl_divergence",
)


@pytest.mark.parametrize("loss", CLASSES)
@pytest.mark.parametrize("head", ["linear", "softmax"])
def test_classes(head: str, loss: str) -> None:
    model = made(3, head, loss)
    output = model.predict(X)
    want = output if head == "softmax" else reference.softmax(output)
    np.testing.assert_allclose(model.predict_proba(X), want, rtol=1e-12)


@pytest.mark.parametrize("loss", ["binary_crossentropy", "binary_focal_crossentropy"])
@pytest.mark.parametrize("head", ["linear", "sigmoid"])
@pytest.mark.parametrize("units", [1, 3])
def test_labels(units: int, head: str, loss: str) -> None:
    """One unit gives the probabilities of no and yes, several those of yes."""
    model = made(units, head, loss)
    output = model.predict(X)
    yes = output if head == "sigmoid" else reference.sigmoid(output)
    want = np.concatenate([1 - yes, yes], axis=1) if units == 1 else yes
    found = model.predict_proba(X, verbose=0)
    assert found.shape == (7, 2 if units == 1 else 3)
    np.testing.assert_allclose(found, want, rtol=1e-12)


def test_small_probabilities_keep_their_digits() -> None:
    model = made(1, "linear", "binary_crossentropy")
    model.set_weights([np.full((4, 1), 20.0), np.zeros(1)])
    no = model.predict_proba(np.ones((1, 4)))[0, 0]
    assert no == pytest.approx(np.exp(-80.0), rel=1e-12)


def test_brier() -> None:
    """A regression of probabilities has them as outputs."""
    for head, units in (("softmax", 3), ("sigmoid", 3)):
        model = made(units, head, "mse")
        np.testing.assert_array_equal(model.predict_proba(X), model.predict(X))


@pytest.mark.parametrize("loss", ["mse", "huber", "poisson", "hinge", "categorical_hinge", "gamma"])
def test_no_probabilities(loss: str) -> None:
    model = made(3, "linear", loss)
    with pytest.raises(
        ValueError, match=f"predict_proba: the loss {model.loss.name} makes no prob"
    ):
        model.predict_proba(X)
    with pytest.raises(RuntimeError, match="not compiled"):
        fastnn.Sequential([layers.Dense(3, input_shape=(4,))]).predict_proba(X)


def test_several_outputs() -> None:
    inputs = fastnn.Input((4,))
    outputs = {
        "kind": layers.Dense(3, name="kind")(inputs),
        "yes": layers.Dense(1, "sigmoid", name="yes")(inputs),
    }
    model = fastnn.Model(inputs, outputs)
    model.compile("sgd", {"kind": "sparse_categorical_crossentropy", "yes": "binary_crossentropy"})
    found, output = model.predict_proba(X), model.predict(X)
    np.testing.assert_allclose(found["kind"], ops.softmax(output["kind"]), rtol=1e-6)
    np.testing.assert_allclose(found["yes"][:, 1:], output["yes"], rtol=1e-6)
    model.compile("sgd", {"kind": "sparse_categorical_crossentropy", "yes": "mse"})
    assert model.predict_proba(X)["yes"].shape == (7, 2)
    model.compile("sgd", {"kind": "mse", "yes": "binary_crossentropy"})
    with pytest.raises(ValueError, match=r"predict_proba: output 'kind': .* mean_squared_error"):
        model.predict_proba(X)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_call_that_is_no_graph() -> None:
    """The Tensors of the call tell what they are."""

    class Net(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x: Any) -> Any:
            y = self.dense(x)
            return y if float(np.asarray(y).sum()) > 1e9 else y * 1.0

    model = Net()
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(X, np.arange(7) % 3, verbose=0)
    np.testing.assert_allclose(model.predict_proba(X), ops.softmax(model.predict(X)), rtol=1e-6)


class _Forced(fastnn.Sequential):
    def train_step(self, data):
        return super().train_step(data)


@pytest.mark.parametrize("cls", [fastnn.Sequential, _Forced])
@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "kl_divergence"])
def test_log_softmax_at_the_end_is_a_shift_of_logits(cls, loss):
    """A model trains as one that ends in logits, to rounding; predict gives logarithms."""
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    y = y if loss.startswith("sparse") else np.eye(3)[y] * 0.7 + 0.1
    found = []
    for end in (None, "log_softmax"):
        model = cls(
            [fastnn.layers.Dense(7, "tanh"), fastnn.layers.Dense(3, end)], seed=2, dtype="float64"
        )
        model.compile("adam", loss, metrics=["accuracy", "auc"])
        history = model.fit(x, y, 16, 4, 0, validation_split=0.2).history
        found.append((history, model.get_weights(), model.predict_proba(x)))
    for name, values in found[0][0].items():
        np.testing.assert_allclose(found[1][0][name], values, rtol=1e-9, err_msg=name)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(found[0][2], found[1][2], rtol=1e-8)
    np.testing.assert_allclose(np.exp(model.predict(x)), found[1][2], rtol=1e-9)
    np.testing.assert_allclose(found[1][2].sum(axis=1), 1.0)


def test_log_softmax_is_for_classes_that_exclude_each_other():
    model = fastnn.Sequential([fastnn.layers.Dense(3, "log_softmax", input_shape=(4,))])
    with pytest.raises(ValueError, match="log_softmax before binary_crossentropy"):
        model.compile("adam", "binary_crossentropy")
    inputs = fastnn.Input((4,))
    h = fastnn.activations.log_softmax(fastnn.layers.Dense(3)(inputs))
    assert fastnn.Model(inputs, h).layers[-1].activation == "log_softmax"
    with pytest.raises(ValueError, match="log_softmax expects rows of one axis"):
        fastnn.layers.Activation("log_softmax").compute_output_shape((None, 2, 3))


def test_log_softmax_among_several_outputs():
    """Each output that ends so has logits for its cross-entropy, as one without an activation."""
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(40, 4)), rng.integers(0, 3, 40)
    found = []
    for end in (None, "log_softmax"):
        inputs = fastnn.Input((4,))
        h = fastnn.layers.Dense(5, "tanh", kernel_initializer="ones")(inputs)
        heads = [
            fastnn.layers.Dense(3, end, kernel_initializer="identity")(h),
            fastnn.layers.Dense(1, kernel_initializer="ones")(h),
        ]
        model = fastnn.Model(inputs, heads, dtype="float64")
        model.compile("sgd", ["sparse_categorical_crossentropy", "mse"])
        model._told = True
        found.append(model.fit(x, [y, x[:, :1]], 16, 2, 0, shuffle=False).history["loss"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)
