"""What a call passes on to the layers in it: training, and the seed of the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, losses

X = np.ones((50, 4), np.float32)
Y = np.arange(50) % 3
LOGITS = losses.SparseCategoricalCrossentropy(from_logits=True)

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")


class Eager(fastnn.Model):
    """A `call` that is no graph of layers, and tells none of them whether it is training."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self.hidden = layers.Dense(6)
        self.drop = layers.Dropout(0.5)
        self.inner = fastnn.Sequential([layers.Dense(6), layers.Dropout(0.5)])
        self.head = layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.head(self.inner(self.drop(fastnn.math.atan(self.hidden(x)))))


def bits(model: Any) -> list[bytes]:
    return [weight.tobytes() for weight in model.get_weights()]


def varies(outputs: Any) -> bool:
    """Whether equal rows have different outputs, as dropout makes them."""
    return len(np.unique(np.asarray(outputs)[:, 0])) > 1


def test_training_reaches_layers_that_are_not_told() -> None:
    model = Eager()
    assert varies(model(X, training=True))
    assert not varies(model(X, training=False))
    assert not varies(model(X))
    assert not varies(model.predict(X))
    assert varies(fastnn.Sequential([model])(X, training=True))
    drops: list[bool] = []
    drop = model.drop.call
    model.drop.call = lambda x, training: drops.append(training) or drop(x, training)  # type: ignore[method-assign,assignment,func-returns-value]
    model.compile("sgd", LOGITS)
    model.fit(X, Y, verbose=0, validation_data=(X, Y))
    assert drops == [False, True, True, False, False]  # a look at the shapes, steps, validation


def test_after_an_error_nothing_trains() -> None:
    model = Eager()
    model(X)
    with pytest.raises(ValueError, match="expected rows"):
        model(np.ones((2, 5)), training=True)
    assert not varies(layers.Dropout(0.5)(X))


@pytest.mark.parametrize("how", ["call", "fit", "loop"])
def test_a_seed_fixes_weights_and_dropout(how: str) -> None:
    models = [Eager(seed=5), Eager(seed=5), Eager(seed=6), Eager()]
    for model in models:
        layers.Dense(2).build((None, 3))  # draws a key of the program
        if how == "fit":
            model.compile("adam", LOGITS)
            model.fit(X, Y, epochs=2, verbose=0)
        elif how == "loop":
            optimizer = fastnn.optimizers.SGD(0.1)
            for _ in range(2):
                with fastnn.GradientTape() as tape:
                    loss = LOGITS(Y, model(X, training=True))
                grads = tape.gradient(loss, model.trainable_variables)
                optimizer.apply_gradients(zip(grads, model.trainable_variables, strict=True))
    outputs = [model(X, training=True).numpy().tobytes() for model in models]
    assert bits(models[0]) == bits(models[1])
    assert outputs[0] == outputs[1]
    assert len({tuple(bits(model)) for model in models[1:]}) == 3


def test_the_seed_of_the_program_fixes_models_without_one() -> None:
    made = []
    for _ in range(2):
        fastnn.utils.set_random_seed(3)
        made.append(Eager())
        made[-1](X)
    assert bits(made[0]) == bits(made[1])


def test_dropout_that_acts_in_prediction_too() -> None:
    """A class may have it; a native graph cannot, and says so."""

    class Uncertain(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = layers.Dense(6)
            self.drop = layers.Dropout(0.5)

        def call(self, x: Any) -> Any:
            return self.drop(self.hidden(x), training=True)

    assert varies(Uncertain().predict(X))
    inputs = fastnn.Input((4,))
    with pytest.raises(TypeError, match="layer 'dropout': dropout that acts outside of training"):
        layers.Dropout(0.5)(inputs, training=True)
    inner = fastnn.Sequential([layers.Dense(6), layers.Dropout(0.5)])
    with pytest.raises(TypeError, match="model 'sequential': dropout that acts outside of"):
        inner(inputs, training=True)

    class Usual(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = layers.Dense(6)
            self.drop = layers.Dropout(0.5)

        def call(self, x: Any, training: bool = False) -> Any:
            return self.drop(self.hidden(x), training=training)

    model = Usual()
    assert not varies(model.predict(X))
    assert varies(model(X, training=True))
    assert model.built
