"""What layers of a program's own are called with: integers, and layers before them that they use."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers

Layer: Any = layers.Layer
RNG = np.random.default_rng(7)
X = RNG.normal(size=(12, 5)).astype("float32")
WHOLE = RNG.integers(0, 10, size=(12, 4))


class Noting(Layer):
    """2 * x @ w, which notes the types of x."""

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)
        self.seen: set[str] = set()

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[-1], 2))

    def call(self, x: Any) -> Any:
        self.seen.add(str(x.dtype))
        return x * 2 @ self.w


class Vectors(Layer):
    """The mean of the vectors that whole numbers name."""

    def build(self, _: Any) -> None:
        self.table = self.add_weight(shape=(10, 3))

    def call(self, x: Any) -> Any:
        return fastnn.math.reduce_mean(fastnn.gather(self.table, x), axis=1)


def test_integers() -> None:
    layer = Noting()
    assert layer(WHOLE).dtype == "float32"
    assert layer.seen == {"int64"}  # as in Keras
    assert Noting(dtype="float64")(WHOLE).dtype == "float64"
    shades = np.full((3, 5), 200, "uint8")
    for model in (
        fastnn.Sequential([Noting()]),
        fastnn.Sequential([fastnn.Input((5,)), Noting()]),
        fastnn.Model(entry := fastnn.Input((5,)), Noting()(entry)),
    ):
        outputs = model.predict(shades)
        assert outputs.dtype == "float32"
        np.testing.assert_allclose(
            outputs, 400 * np.ones((3, 5)) @ model.get_weights()[0], rtol=1e-5
        )
        assert model(shades).dtype == "float32"
        assert model.layers[0].seen == {"float32"}
    asked = fastnn.Sequential([fastnn.Input((4,), dtype="int32"), Noting()])
    assert asked.predict(WHOLE.astype("int32")).dtype == "float32"
    assert asked.layers[0].seen == {"int32"}


@pytest.mark.parametrize("dtype", [None, "int32"])
def test_tables_of_vectors(dtype: str | None) -> None:
    model = fastnn.Sequential([fastnn.Input((4,), dtype=dtype), Vectors(), layers.Dense(1)])
    table, kernel, bias = model.get_weights()
    expected = table[WHOLE].mean(axis=1) @ kernel + bias
    np.testing.assert_allclose(model.predict(WHOLE), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        Vectors.call(model.layers[0], WHOLE), table[WHOLE].mean(axis=1), rtol=1e-6
    )
    with pytest.raises(IndexError):
        fastnn.gather(table, WHOLE + 0.5)


class Transposed(Layer):
    """Dense by the transposed kernel of another layer."""

    def __init__(self, dense: Any, **common: Any) -> None:
        super().__init__(**common)
        self.dense = dense

    def build(self, input_shape: Any) -> None:
        self.biases = self.add_weight(shape=[self.dense.input_shape[-1]], initializer="zeros")
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        return fastnn.matmul(x, self.dense.weights[0], transpose_b=True) + self.biases


@pytest.mark.parametrize("kind", ["functional", "chain", "not built"])
def test_layers_that_use_weights_of_layers_before(kind: str) -> None:
    first, second = layers.Dense(4, "tanh"), layers.Dense(3)
    parts = [first, second, Transposed(second), Transposed(first)]
    if kind == "functional":
        entry = y = fastnn.Input((5,))
        for part in parts:
            y = part(y)
        model = fastnn.Model(entry, y)
    else:
        model = fastnn.Sequential([*([fastnn.Input((5,))] if kind == "chain" else []), *parts])
    model.compile("sgd", "mean_squared_error")
    before = model.predict(X)
    w, b, v, c, d, e = model.get_weights()
    hidden = np.tanh(X @ w + b) @ v + c
    np.testing.assert_allclose(before, (hidden @ v.T + d) @ w.T + e, rtol=1e-4, atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastnn.TapeWarning)
        model.fit(X, X, verbose=0)
    assert all(
        (one != other).any() for one, other in zip([w, v], model.get_weights()[::2], strict=False)
    )


# -- `build` of a model's own, and what a call before training leaves as it is


def fitted(model: Any, y: Any) -> Any:
    model.compile("sgd", "mean_squared_error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastnn.TapeWarning)
        return model.fit(X, y, batch_size=4, epochs=2, verbose=0)


@pytest.mark.parametrize("by", ["call", "predict", "fit", "build"])
@pytest.mark.parametrize("ends", [True, False])
def test_build_of_a_model(by: str, ends: bool) -> None:
    shapes = []

    class Base(fastnn.Model):  # type: ignore[misc]
        def build(self, input_shape: Any) -> None:
            shapes.append(tuple(input_shape))
            self.first = layers.Dense(3)
            if ends:
                super().build(input_shape)

        def call(self, x: Any) -> Any:
            return self.head(self.first(x))

    class Net(Base):
        def build(self, input_shape: Any) -> None:
            self.head = layers.Dense(2)
            super().build(input_shape)
            self.built = True

    model = Net()
    if by == "call":
        model(X)
    elif by == "predict":
        model.predict(X)
    elif by == "build":
        model.build((None, 5))
    fitted(model, X[:, :2])
    assert shapes == [(None, 5)]
    assert model.built
    assert [v.shape for v in model.weights] == [(3, 2), (2,), (5, 3), (3,)]
    assert model.network is not None


def test_build_of_a_call_that_is_no_graph() -> None:
    class Net(fastnn.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(2)
            self.scale = fastnn.Variable(2.0)
            self.calls = fastnn.Variable(0, dtype="int32", trainable=False)

        def call(self, x: Any) -> Any:
            self.calls.assign_add(1)
            return self.scale * fastnn.cos(self.dense(x))

    model = Net()
    model.build((None, 5))
    assert [v.shape for v in model.weights] == [(), (), (5, 2), (2,)]
    assert int(model.calls) == 0
    fitted(model, X[:, :2])


def test_a_call_before_training_counts_nothing() -> None:
    class Counting(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x: Any) -> Any:
            self.count.assign(self.count + 1)
            return x

    counting = Counting()
    model = fastnn.Sequential([fastnn.Input((5,)), counting, layers.Dense(5)])
    counting.count.assign(0)
    fitted(model, X)
    assert float(counting.count.numpy()) == 6  # two epochs of three batches
    assert model.output_shape == (None, 5)


def test_activity_regularizers_by_name() -> None:
    class Passing(Layer):
        def call(self, x: Any) -> Any:
            return x

    for given in ("l2", fastnn.regularizers.L2(0.01), lambda x: 0.01 * fastnn.reduce_sum(x * x)):
        layer = Passing(activity_regularizer=given)
        layer(X)
        assert float(layer.losses[0]) == pytest.approx(0.01 * (X**2).sum() / len(X), rel=1e-5)
    with pytest.raises(ValueError, match="activity_regularizer: unknown"):
        Passing(activity_regularizer="none such")


def test_parts_of_rows_beside_layers() -> None:
    """A slice needs the shape of rows also where the end of the graph is looked for."""
    entry = fastnn.Input((5,))
    model = fastnn.Model(entry, layers.Dense(2)(layers.Dense(3)(entry) * entry[:, :3]))
    w, b, v, c = model.get_weights()
    expected = (X @ w + b) * X[:, :3] @ v + c
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-4, atol=1e-5)


def test_weights_stand_in_the_order_of_attributes() -> None:
    """Also where the layer is a part of a graph, which calls them in another one."""

    class Block(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.last = layers.Dense(4)
            self.first = layers.LayerNormalization()

        def call(self, x: Any) -> Any:
            return self.last(self.first(x))

    class Net(fastnn.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.block = Block()
            self.factor = self.add_weight(shape=(), name="factor")

        def call(self, x: Any) -> Any:
            return self.block(x)

    names = ["kernel", "bias", "gamma", "beta"]
    for model, wanted in (
        (fastnn.Sequential([fastnn.Input((5,)), Block()]), names),
        (fastnn.Model(entry := fastnn.Input((5,)), Block()(entry)), names),
        (fastnn.Sequential([fastnn.Input((5,)), Net()]), ["factor", *names]),
        (Net(), ["factor", *names]),
    ):
        model.predict(X)
        assert model.network is not None
        assert [v.name for v in model.weights] == wanted
