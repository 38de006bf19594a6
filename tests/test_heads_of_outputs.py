"""Heads that a loss refuses are found by compile, for every output and every kind of model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, losses

X = np.ones((8, 4))


def two(units: int, activation: str) -> fastnn.Model:
    inputs = fastnn.Input((4,))
    return fastnn.Model(
        inputs,
        [
            layers.Dense(units, activation, name="first")(inputs),
            layers.Dense(1, name="second")(inputs),
        ],
    )


BAD = {
    "one unit of classes": (1, "linear", "categorical_crossentropy", "one unit with categorical"),
    "one label of classes": (
        1,
        "linear",
        "sparse_categorical_crossentropy",
        "one unit with sparse",
    ),
    "one softmax": (1, "softmax", "binary_crossentropy", "softmax over one unit"),
    "relu before classes": (3, "relu", "categorical_crossentropy", "relu before categorical"),
    "relu before labels": (3, "relu", "binary_crossentropy", "relu before binary_cross"),
    "tanh before KL": (3, "tanh", "kl_divergence", "tanh before kl_divergence"),
    "softmax of labels": (3, "softmax", "binary_focal_crossentropy", "softmax with binary_focal"),
    "sigmoid of classes": (
        3,
        "sigmoid",
        "categorical_focal_crossentropy",
        "sigmoid with categorical",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_several_outputs(name: str) -> None:
    """In a list, as a dictionary by name, and one loss for all that fits one output alone."""
    units, activation, loss, message = BAD[name]
    model = two(units, activation)
    for given in ([loss, "mse"], {"first": loss, "second": "mse"}, [losses.get(loss), None]):
        with pytest.raises(ValueError, match=f"output 'first': .*{message}"):
            model.compile("sgd", given)
    assert not model.compiled
    model.compile("sgd", [None, "mse"])
    if activation != "softmax" or units > 1:
        model.compile("sgd", ["mse", "mse"])


@pytest.mark.parametrize("name", BAD)
def test_one_output_over_the_tape(name: str) -> None:
    """A metric or loss of the user's own that makes it train over the tape changes nothing."""
    units, activation, loss, message = BAD[name]

    def own(y_true: Any, y_pred: Any) -> Any:
        return fastnn.math.reduce_mean(y_true - y_pred)

    model = fastnn.Sequential([layers.Dense(units, activation, input_shape=(4,))])
    for metrics in ([own], []):
        with pytest.raises(ValueError, match=message):
            model.compile("sgd", loss, metrics=metrics)


def test_models_that_are_drawn_later() -> None:
    """Where the graph comes with the first rows, so does the error: before any step."""

    class Net(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = layers.Dense(3, "relu"), layers.Dense(1)

        def call(self, x: Any) -> Any:
            return {"first": self.first(x), "second": self.second(x)}

    model = Net()
    model.compile("sgd", {"first": "sparse_categorical_crossentropy", "second": "mse"})
    with pytest.raises(ValueError, match=r"output 'first': .*relu before sparse_categorical"):
        model.fit(X, {"first": np.zeros(8, int), "second": np.zeros(8)}, verbose=0)


def test_heads_that_fit() -> None:
    for units, activation, loss in (
        (3, "linear", "categorical_crossentropy"),
        (3, "softmax", "kl_divergence"),
        (1, "sigmoid", "binary_crossentropy"),
        (3, "relu", "mse"),
        (3, "linear", "categorical_hinge"),
    ):
        two(units, activation).compile("sgd", [loss, "mse"])


def test_a_step_of_its_own_may_use_outputs_as_it_likes() -> None:
    class Own(fastnn.Sequential):
        def train_step(self, _data: Any) -> Any:
            return {"loss": 0.0}

    Own([layers.Dense(3, "relu", input_shape=(4,))]).compile("sgd", "categorical_crossentropy")
