"""Mistakes in classes of a program's own: what would be lost, or go on silently, is an error."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers

Layer: Any = layers.Layer
RNG = np.random.default_rng(5)
X = RNG.normal(size=(12, 5))
Y = RNG.normal(size=(12, 2))


def chain(*parts: Any) -> Any:
    model = fastnn.Sequential([fastnn.Input((5,)), *parts], name="chain")
    model.compile("sgd", "mean_squared_error")
    return model


def fitted(model: Any, y: Any = Y) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastnn.TapeWarning)
        return model.fit(X, y, verbose=0)


def layer_of(call: Callable[..., Any], **attributes: Any) -> Any:
    """A layer of this `call`, which is no graph of layers."""
    layer = type("Own", (Layer,), {"call": call})(name="own")
    for name, value in attributes.items():
        setattr(layer, name, value)
    return layer


# -- Variables that no file would have


def test_variables_of_a_lambda_that_is_trained() -> None:
    weight = fastnn.Variable(np.ones((5, 2), "float32"), name="stray")
    model = chain(layers.Lambda(lambda x: x @ weight))
    with pytest.raises(
        ValueError,
        match=r"layer 'lambda' \(weight\).*stray.*no weights of the model 'chain'.*self.x",
    ):
        fitted(model)
    assert (weight.numpy() == 1).all()
    fixed = fastnn.Variable(np.ones((5, 2), "float32"), trainable=False)
    fitted(chain(layers.Dense(5), layers.Lambda(lambda x: x @ fixed)))
    kept = layer_of(lambda self, x: x @ self.weight, weight=weight)
    model = chain(kept)
    fitted(model)
    assert [v is weight for v in model.weights] == [True]
    assert (weight.numpy() != 1).any()


def test_layers_of_a_closure() -> None:
    dense = layers.Dense(2)
    with pytest.raises(ValueError, match="dense/kernel, dense/bias"):
        fitted(chain(layer_of(lambda _, x: dense(x) @ fastnn.eye(2))))
    other = fastnn.Sequential([layers.Dense(2, input_shape=(5,))])
    with pytest.raises(ValueError, match="kernel"):
        chain(layers.Lambda(lambda x: other(x) @ fastnn.eye(2))).train_on_batch(X, Y)
    # The same layer elsewhere in the model is one of its own.
    tied = layers.Dense(3, input_shape=(5,))
    model = fastnn.Sequential([tied])
    model.add(layers.Lambda(lambda h: h @ fastnn.math.transpose(tied.kernel)))
    model.compile("sgd", "mean_squared_error")
    before = tied.kernel.numpy()
    fitted(model, X)
    assert (tied.kernel.numpy() != before).all()


def test_variables_made_in_a_call() -> None:
    def call(_: Any, x: Any) -> Any:
        return x @ fastnn.Variable(np.ones((5, 2), "float32"), name="fresh")

    with pytest.raises(ValueError, match="fresh"):
        fitted(chain(layer_of(call)))


def test_models_in_a_loss_are_not_trained() -> None:
    features = fastnn.Sequential([layers.Dense(3, "tanh", input_shape=(2,))])
    before = features.get_weights()[0]
    model = fastnn.Sequential([layers.Dense(2, input_shape=(5,))])
    mine = model.get_weights()[0]
    model.compile("sgd", lambda y, p: fastnn.math.reduce_mean((features(y) - features(p)) ** 2))
    fitted(model)
    np.testing.assert_array_equal(features.get_weights()[0], before)
    assert (model.get_weights()[0] != mine).any()


# -- layers and weights that each call would make anew


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Dense(2, name="late"),
        lambda: fastnn.Sequential([layers.Dense(2)], name="late"),
        lambda: fastnn.Sequential([layers.Dense(2, input_shape=(5,))], name="late"),
        lambda: layer_with_weight(),
    ],
)
def test_layers_made_in_a_call(make: Callable[[], Any]) -> None:
    class Net(fastnn.Model):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return make()(x)

    def call(_: Any, x: Any) -> Any:
        return fastnn.math.tanh(make()(x))

    wanted = (
        r"layer 'late': this (Dense|Sequential|Weighted) was made in the `call`.*__init__ or build"
    )
    for used in (
        lambda: Net()(X),
        lambda: Net().predict(X),
        lambda: layer_of(call)(X),
        lambda: chain(layer_of(call)),
        lambda: chain(layer_of(lambda _, x: make()(x))),
        lambda: fastnn.Model(entry := fastnn.Input((5,)), layer_of(call)(entry)),
    ):
        with pytest.raises(ValueError, match=wanted):
            used()
    model = Net()
    model.compile("sgd", "mean_squared_error")
    with pytest.raises(ValueError, match=wanted):
        model.fit(X, Y, verbose=0)


def layer_with_weight() -> Any:
    class Weighted(Layer):
        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight(shape=(input_shape[-1], 2))

        def call(self, x: Any) -> Any:
            return x @ self.w

    return Weighted(name="late")


def test_layers_without_weights_may_be_made_in_a_call() -> None:
    class Net(fastnn.Model):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return layers.ReLU()(layers.Lambda(lambda z: 2 * z)(x))

    np.testing.assert_allclose(Net().predict(X), np.maximum(2 * X, 0), rtol=1e-6)


def test_layers_made_in_build_are_kept() -> None:
    class Block(Layer):
        def build(self, _: Any) -> None:
            self.inner = fastnn.Sequential([layers.Dense(4), layer_with_weight()])
            self.inner(np.ones((1, 5)))

        def call(self, x: Any) -> Any:
            return self.inner(x)

    class Net(fastnn.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.block = Block()

        def call(self, x: Any) -> Any:
            return self.block(x)

    model = Net()
    model.compile("sgd", "mean_squared_error")
    fitted(model)
    assert [v.shape for v in model.weights] == [(5, 4), (4,), (4, 2)]


def test_weights_made_in_a_call() -> None:
    def call(self: Any, x: Any) -> Any:
        return x @ self.add_weight(shape=(5, 2))

    for used in (lambda: layer_of(call)(X), lambda: chain(layer_of(call))):
        with pytest.raises(ValueError, match=r"layer 'own': add_weight.*within `call`.*or build"):
            used()


# -- weights of models


def test_weights_of_models() -> None:
    class Scaled(fastnn.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="scaled")
            self.dense = layers.Dense(2)
            self.factor = self.add_weight(shape=(2,), initializer="ones", name="factor")

        def call(self, x: Any) -> Any:
            return self.dense(x) * self.factor

    model = Scaled()
    model.compile("sgd", "mean_squared_error")
    fitted(model)
    assert [v.path for v in model.weights] == ["scaled/factor", "dense/kernel", "dense/bias"]
    assert (model.factor.numpy() != 1).all()
    with pytest.raises(ValueError, match="model 'scaled': add_weight: there is a weight 'factor'"):
        model.add_weight(name="factor")
    with pytest.raises(ValueError, match=r"model 'chain': add_weight.*derive a class"):
        chain(layers.Dense(2)).add_weight()


# -- errors that say where


def test_errors_name_the_layer() -> None:
    class Inner(Layer):
        def build(self, _: Any) -> None:
            self.w = self.add_weight(shape=(4, 2))

        def call(self, x: Any) -> Any:
            return x @ self.w

    def call(self: Any, x: Any) -> Any:
        return self.inner(fastnn.math.tanh(x))

    for used in (lambda one: one(X), chain):
        with pytest.raises(ValueError, match="do not fit") as caught:
            used(layer_of(call, inner=Inner(name="inner")))
        assert caught.value.__notes__[:2] == [
            "In `call` of layer 'inner' (Inner), called with inputs of shape (None, 5)",
            "In `call` of layer 'own' (Own), called with inputs of shape (None, 5)",
        ]

    class Wrong(Layer):
        def build(self, _: Any) -> None:
            self.add_weight(shape=(4, 2), initializer="none such")

    with pytest.raises(ValueError, match="none such") as caught:
        Wrong(name="wrong")(X)
    assert caught.value.__notes__ == [
        "In `build` of layer 'wrong' (Wrong) for input_shape (None, 5)"
    ]


def test_arguments_that_call_does_not_get() -> None:
    def call(_: Any, x: Any, scale: Any) -> Any:
        return x * scale

    with pytest.raises(
        TypeError, match=r"layer 'own': `call` of Own missing .*'scale'.*Sequential"
    ):
        chain(layer_of(call))
    assert layer_of(call)(X, 2.0).shape == X.shape


@pytest.mark.parametrize("name", ["weights", "variables", "losses"])
def test_names_that_are_taken(name: str) -> None:
    for owner in (layer_of(lambda _, x: x), type("Net", (fastnn.Model,), {})()):
        with pytest.raises(AttributeError, match=f"'{name}' is a property that fastnn has"):
            setattr(owner, name, [1])


def test_swapped_pairs() -> None:
    weight = fastnn.Variable(np.ones(2))
    with pytest.raises(TypeError, match=r"pairs \(gradient, Variable\)(.|\n)*zip\(gradients"):
        fastnn.optimizers.SGD().apply_gradients([(weight, fastnn.constant([1.0, 2.0]))])


def test_outputs_in_lists_are_those_of_one() -> None:
    model = chain(layers.Dense(1))
    assert model.compute_loss(y=[[1.0], [2.0]], y_pred=[[1.5], [2.5]]).item() == pytest.approx(0.25)
