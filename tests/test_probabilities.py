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
