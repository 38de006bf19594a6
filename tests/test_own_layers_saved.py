"""Copies and files of models with layers of a program's own."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, optimizers
from fastnn.models.loading import clone_model, model_from_json

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")
Layer: Any = layers.Layer
RNG = np.random.default_rng(4)
X = RNG.normal(size=(40, 5)).astype(np.float32)
T = (X[:, :1] * X[:, 1:2]).astype(np.float32)
registered = fastnn.register_serializable("own_layers")


@registered
class Linear(Layer):
    """With `build`, and the arguments of its constructor as its config."""

    def __init__(self, units: int, activation: Any = None, **common: Any) -> None:
        super().__init__(**common)
        self.units = units
        self.activation = activation

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[-1], self.units), name="w")
        self.seen = self.add_weight(name="seen", initializer="zeros", trainable=False)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if training:
            self.seen.assign_add(1.0)
        y = inputs @ self.w
        return y if self.activation is None else self.activation(y)


@registered
class Told(Linear):
    """With a config of its own."""

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@registered
class Block(Layer):
    """A graph of layers."""

    def __init__(self, units: int = 5) -> None:
        super().__init__()
        self.dense = layers.Dense(units, "tanh")
        self.drop = layers.Dropout(0.2)

    def call(self, inputs: Any) -> Any:
        return inputs + self.drop(self.dense(inputs))


@registered
class Lazy(Layer):
    """Layers made in `build`, one in the other, and a penalty."""

    def build(self, input_shape: Any) -> None:
        self.first = Linear(4, name="first")
        self.rest = {"a": layers.Dense(input_shape[-1])}

    def call(self, inputs: Any) -> Any:
        y = self.rest["a"](self.first(inputs))
        self.add_loss(0.01 * fastnn.reduce_sum(y * y))
        return y


@registered
class Wrapped(Layer):
    """A layer that was given to it, and a function."""

    def __init__(self, inner: Any, function: Any) -> None:
        super().__init__()
        self.inner = inner
        self.function = function

    def call(self, inputs: Any) -> Any:
        return self.function(self.inner(inputs))


@registered
def tripled(x: Any) -> Any:
    return 3.0 * x


@registered
class Net(fastnn.Model):
    def __init__(self) -> None:
        super().__init__()
        self.own = [Linear(4), Lazy()]
        self.head = layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        for layer in self.own:
            inputs = layer(inputs)
        return self.head(inputs)


@registered
class Gate(Layer):
    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[0][-1],), name="w", initializer="ones")

    def call(self, inputs: Any) -> Any:
        a, b = inputs
        return fastnn.sigmoid(a * self.w) * b


def graph() -> Any:
    inputs = fastnn.Input((5,), name="rows")
    h = layers.Dense(5, "relu")(inputs)
    h = Gate()([Linear(5, name="gate")(h), h]) + inputs
    shared = Block()
    return fastnn.Model(inputs, layers.Dense(1)(shared(Lazy()(shared(h)))))


def several() -> Any:
    a, b = fastnn.Input((5,)), fastnn.Input((5,))
    y = Gate()([a, b])
    return fastnn.Model([a, b], {"one": layers.Dense(1)(y), "two": Linear(1)(y)})


def sequence(*parts: Any) -> Any:
    return fastnn.Sequential([fastnn.Input((5,)), *parts, layers.Dense(1)], seed=2)


MODELS: dict[str, Callable[[], Any]] = {
    "linear": lambda: sequence(Linear(4), Told(3, name="told")),
    "not built at once": lambda: fastnn.Sequential([Linear(4), layers.Dense(1)]),
    "native": lambda: sequence(Block(), Block()),
    "lazy": lambda: sequence(Lazy(), Lazy()),
    "wrapped": lambda: sequence(Wrapped(layers.Dense(3), tripled), Wrapped(Linear(2), tripled)),
    "graph": graph,
    "a model of a program's own": Net,
    "a model in a model": lambda: sequence(sequence(Linear(2)), Block(1)),
    "a graph in a graph": lambda: sequence(graph()),
    "frozen": lambda: sequence(Linear(4, trainable=False), layers.Dense(3)),
}


def trained(make: Callable[[], Any]) -> Any:
    fastnn.utils.set_random_seed(5)
    model = make()
    model.compile(optimizers.Adam(0.01), "mse")
    model.fit(X, T, epochs=2, batch_size=16, verbose=0)
    return model


def same(model: Any, other: Any) -> None:
    assert len(model.weights) == len(other.weights) > 0
    assert [v.trainable for v in model.weights] == [v.trainable for v in other.weights]
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model.predict(X), other.predict(X))


def both_go_on(model: Any, other: Any) -> None:
    """To the same bits."""
    same(model, other)
    for one in (model, other):
        one.fit(X, T, epochs=2, batch_size=16, verbose=0)
    same(model, other)


@pytest.mark.parametrize("kind", MODELS)
def test_copies(kind: str) -> None:
    model = trained(MODELS[kind])
    copied = copy.deepcopy(model)
    pickled = pickle.loads(pickle.dumps(model))
    before = model.get_weights()
    both_go_on(copied, pickled)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    both_go_on_from = pickle.loads(pickle.dumps(model))
    both_go_on(model, both_go_on_from)


@pytest.mark.parametrize("kind", MODELS)
def test_files(kind: str, tmp_path: Path) -> None:
    model = trained(MODELS[kind])
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = fastnn.load_model(path)
    assert [type(part) for part in loaded.layers] == [type(part) for part in model.layers]
    both_go_on(model, loaded)
    model.save_weights(tmp_path / "weights.safetensors")
    fastnn.utils.set_random_seed(6)
    other = MODELS[kind]()
    other(X)
    other.load_weights(tmp_path / "weights.safetensors")
    same(model, other)
    again = model_from_json(model.to_json())
    again(X)
    again.set_weights(model.get_weights())
    same(model, again)
    if kind != "a model of a program's own":
        assert len(clone_model(model).weights) == len(model.weights)


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    model = several()
    model.compile("adam", "mse")
    model.fit([X, X], {"one": T, "two": T}, verbose=0)
    model.save(tmp_path / "model.safetensors")
    loaded = fastnn.load_model(tmp_path / "model.safetensors")
    for one in (model, loaded):
        one.fit([X, X], {"one": T, "two": T}, verbose=0)
    a, b = model.predict([X, X]), loaded.predict([X, X])
    for name in ("one", "two"):
        np.testing.assert_array_equal(a[name], b[name])


def test_layers_alone() -> None:
    layer = Lazy()
    y = layer(X).numpy()
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(copied(X).numpy(), y)
        assert copied.weights[0] is not layer.weights[0]
    made = Told.from_config(Told(3, name="n", trainable=False).get_config())
    assert (made.units, made.name, made.trainable) == (3, "n", False)
    assert Linear(3).get_config() == {"name": None, "trainable": True, "dtype": None, "units": 3}


def test_unknown_classes(tmp_path: Path) -> None:
    class Unknown(Linear):
        pass

    class NoConfig(Layer):
        def __init__(self, thing: Any) -> None:
            super().__init__()
            self.thing = thing

        def call(self, inputs: Any) -> Any:
            return inputs * 2.0

    path = tmp_path / "model.safetensors"
    model = sequence(Unknown(3))
    model.save(path)
    with pytest.raises(fastnn.ModelFileError, match="the class 'Unknown' is not known here"):
        fastnn.load_model(path)
    same(fastnn.load_model(path, custom_objects={"Unknown": Unknown}), model)
    with pytest.raises(NotImplementedError, match="NoConfig: arguments of its constructor"):
        sequence(NoConfig(object())).save(path)
    sequence(NoConfig(2)).save(path)
    loaded = fastnn.load_model(path, {"NoConfig": NoConfig})
    assert loaded.layers[0].thing == 2
