"""Models of every kind that tests save, with the data that they train on. Only construction is here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn import layers, losses, optimizers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = np.arange(60) % 3
LOGITS = losses.SparseCategoricalCrossentropy(from_logits=True)


@fastnn.register_serializable("tests")
class Traced(fastnn.Model):
    """A class whose `call` is a graph of layers; it calls them in another order than it makes them."""

    def __init__(self, units: int = 5, rate: float = 0.25) -> None:
        super().__init__()
        self.last = layers.Dense(3)
        self.drop = layers.Dropout(rate)
        self.first = layers.Dense(units, "relu")

    def call(self, x: Any, training: bool = False) -> Any:
        return self.last(self.drop(self.first(x), training=training))


@fastnn.register_serializable("tests")
class Eager(fastnn.Model):
    """A class that trains over the tape, with a Variable of its own and a model in it."""

    def __init__(self, units: int = 5) -> None:
        super().__init__()
        self.first = layers.Dense(units, "tanh")
        self.inner = fastnn.Sequential([layers.Dense(units), layers.Dropout(0.25)])
        self.last = layers.Dense(3)
        self.scale = fastnn.Variable(np.ones(3, np.float32), name="scale")

    def call(self, x: Any) -> Any:
        return self.last(self.inner(fastnn.math.sin(self.first(x)))) * self.scale


def chain(**options: Any) -> Any:
    model = fastnn.Sequential(
        [
            layers.Dense(8, "relu", input_shape=(4,)),
            layers.Dropout(0.3),
            layers.LayerNormalization(),
            layers.Dense(3),
        ],
        seed=3,
        **options,
    )
    model.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def compiled(model: Any, loss: Any = LOGITS, **options: Any) -> Any:
    model.compile(optimizers.RMSprop(0.01, momentum=0.5), loss, **options)
    return model


def late() -> Any:
    """Built by the first data."""
    return compiled(fastnn.Sequential([layers.Dense(5, "relu"), layers.Dense(3)]))


def branches() -> Any:
    inputs = fastnn.Input((4,), name="rows")
    h = layers.Dense(6, "tanh", name="hidden")(inputs)
    h = layers.Add()([h, layers.Dense(6)(h)])
    return compiled(fastnn.Model(inputs, layers.Dense(3)(h)))


def shared_layer() -> Any:
    inputs = fastnn.Input((4,))
    shared = layers.Dense(4, "tanh")
    return compiled(fastnn.Model(inputs, layers.Dense(3)(shared(shared(inputs)))))


def nested() -> Any:
    """A model that is called twice, of layers that are named as those of the outer one."""
    inputs = fastnn.Input((4,))
    inner = fastnn.Sequential([layers.Dense(5, "relu"), layers.Dense(4)], name="inner")
    return compiled(fastnn.Model(inputs, layers.Dense(3)(inner(inner(inputs)))))


def chain_of_models() -> Any:
    inner = fastnn.Sequential([layers.Dense(5, "relu"), layers.Dropout(0.25)])
    return compiled(fastnn.Sequential([inner, fastnn.Sequential([layers.Dense(3)])]))


def own_class_inside() -> Any:
    inputs = fastnn.Input((4,))
    return compiled(fastnn.Model(inputs, layers.Dense(3)(Traced(7)(inputs))))


def extractor() -> Any:
    """It has layers of another model, under the names that they have there."""
    whole = fastnn.Sequential([layers.Dense(6, "relu", input_shape=(4,)), layers.Dense(3)])
    again = fastnn.Sequential([layers.Dense(6, "relu", input_shape=(4,)), layers.Dense(3)])
    both = layers.Concatenate()([whole.layers[1].output, whole.layers[0].output])
    del again
    return compiled(fastnn.Model(whole.input, layers.Dense(3)(both)))


def double() -> Any:
    return chain(dtype="float64")


def traced() -> Any:
    return compiled(Traced(6))


def eager() -> Any:
    return compiled(Eager(6))


def functions() -> Any:
    """Functions between layers, of which some are layers of the package and some are not."""
    inputs = fastnn.Input((4,))
    h = layers.Dense(6)(inputs)
    scaled = h / (fastnn.reduce_max(fastnn.abs(h), axis=1, keepdims=True) + np.array([0.5]))
    best = fastnn.math.top_k(h, k=2).values
    joined = fastnn.concat([scaled, inputs[:, ::-1], best, h[:, 1:3]], axis=1)
    return compiled(fastnn.Model(inputs, layers.Dense(3)(layers.Dropout(0.25)(joined))))


# Models that train on (X, Y).
KINDS: dict[str, Callable[[], Any]] = {
    made.__name__: made
    for made in (
        *(chain, late, branches, shared_layer, nested, chain_of_models, own_class_inside),
        *(extractor, double, traced, eager, functions),
    )
}


def several() -> tuple[Any, Any, Any]:
    """Two named inputs and two named outputs, with the data for them."""
    a, b = fastnn.Input((2,), name="a"), fastnn.Input((2,), name="b")
    h = layers.Dense(5, "relu")(layers.Concatenate()([a, b]))
    outputs = {"kind": layers.Dense(3, "softmax")(h), "size": layers.Dense(1)(b)}
    model = fastnn.Model({"a": a, "b": b}, outputs)
    model.compile(
        "adam",
        {"kind": "sparse_categorical_crossentropy", "size": "mse"},
        {"kind": 1.0, "size": 0.5},
        metrics={"kind": ["accuracy"]},
    )
    return model, {"a": X[:, :2], "b": X[:, 2:]}, {"kind": Y, "size": X[:, :1]}


def bits(model: Any) -> list[bytes]:
    return [weight.tobytes() for weight in model.get_weights()]
