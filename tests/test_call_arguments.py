"""A `call` with arguments of its own: model(x, scale=2.0)."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers

X = np.random.default_rng(5).normal(size=(6, 4)).astype(np.float32)


class Scaled(fastnn.Model):
    """A layer whose outputs a number scales, and dropout."""

    def __init__(self) -> None:
        super().__init__(seed=3)
        self.dense = layers.Dense(3)
        self.drop = layers.Dropout(0.5)

    def call(self, x: Any, scale: Any = 1.0, training: Any = None, *, shift: float = 0.0) -> Any:
        return self.drop(self.dense(x), training=training) * scale + shift


@pytest.mark.parametrize("built", [False, True])
def test_arguments_reach_call(built: bool) -> None:
    model = Scaled()
    if built:
        model.build((None, 4))
    twice = model(X, scale=2.0).numpy()
    once = model(X).numpy()
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-6)
    np.testing.assert_allclose(model(X, 3.0).numpy(), 3 * once, rtol=1e-6)
    np.testing.assert_allclose(model(X, shift=1.0, training=False), once + 1, rtol=1e-6)
    rows = np.arange(6, dtype=np.float32)[:, None]
    np.testing.assert_allclose(model(X, scale=rows).numpy(), rows * once, rtol=1e-6)
    assert [v.path for v in model.weights] == ["scaled/dense/kernel", "scaled/dense/bias"]


def test_training_may_be_given_by_place() -> None:
    model = Scaled()
    assert (model(X, 1.0, True).numpy() == 0).any()
    assert not (model(X, 1.0, False).numpy() == 0).any()
    chain = fastnn.Sequential([layers.Dense(8), layers.Dropout(0.5)])
    assert (chain(X, True).numpy() == 0).any()
    assert not (chain(X, False).numpy() == 0).any()


def test_gradients_go_through_such_a_call() -> None:
    model = Scaled()
    scale = fastnn.Variable(2.0)
    with fastnn.GradientTape() as tape:
        loss = fastnn.reduce_sum(model(X, scale))
    kernel, along = tape.gradient(loss, [model.dense.kernel, scale])
    np.testing.assert_allclose(kernel, np.repeat(2 * X.sum(0)[:, None], 3, 1), rtol=1e-5)
    np.testing.assert_allclose(along, model(X).numpy().sum(), rtol=1e-5)


class Twice(fastnn.Model):
    """A model whose part is called with an argument: still a graph of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.part = Scaled()
        self.head = layers.Dense(1)

    def call(self, x: Any) -> Any:
        h = self.part.dense(x)
        return self.head(h + self.part(x, scale=h))


def test_a_part_with_arguments_trains_natively() -> None:
    model = Twice()
    model.compile("sgd", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("error", fastnn.TapeWarning)
        model.fit(X, X[:, 0], epochs=2, verbose=0)
    h = model.part.dense(X)
    want = model.head(h + model.part.drop(h, training=False) * h + 0.0)
    np.testing.assert_allclose(model.predict(X), want.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Scaled()(X, skale=2.0), "model 'scaled"),
        (lambda: Scaled()(X, skale=2.0), "got an unexpected keyword argument 'skale'"),
        (lambda: Scaled()(X, 1.0, True, 4.0), "too many positional arguments"),
        (lambda: Scaled()(X, 1.0, True, training=True), "multiple values for argument 'training'"),
        (lambda: fastnn.Sequential([layers.Dense(1)])(X, scale=2), "unexpected keyword argument"),
    ],
)
def test_what_call_does_not_take_is_an_error(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        call()


def test_a_second_input_that_is_no_argument() -> None:
    a, b = fastnn.Input((2,)), fastnn.Input((2,))
    model = fastnn.Model([a, b], layers.Add()([a, b]), name="two")
    x = np.ones((1, 2))
    with pytest.raises(
        TypeError, match=r"model 'two': .*`training`.* got a ndarray; several inputs"
    ):
        model(x, x)
