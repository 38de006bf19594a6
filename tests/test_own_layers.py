"""Layers of a program's own, against layers of the package and against NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, optimizers

Layer: Any = layers.Layer
RNG = np.random.default_rng(3)
X = RNG.normal(size=(40, 5))
T = X[:, :1] * X[:, 1:2] + 0.3 * X[:, 2:3]


class Linear(Layer):
    """y = x @ w + b."""

    def __init__(self, units: int = 32, **common: Any) -> None:
        super().__init__(**common)
        self.units = units

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="random_normal", name="w"
        )
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="b")

    def call(self, inputs: Any) -> Any:
        return fastnn.matmul(inputs, self.w) + self.b


class Block(Layer):
    """x + dense(norm(x)), which is a graph of layers."""

    def __init__(self, units: int, rate: float = 0.0, **common: Any) -> None:
        super().__init__(**common)
        self.norm = layers.LayerNormalization()
        self.dense = layers.Dense(units, "tanh")
        self.drop = layers.Dropout(rate)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return inputs + self.drop(self.dense(self.norm(inputs)), training=training)


class Stack(Layer):
    """Layers in a list and a dictionary, one of which is of a program's own."""

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)
        self.several = [Linear(6), layers.Dense(4)]
        self.named = {"head": Linear(2)}

    def call(self, inputs: Any) -> Any:
        for layer in self.several:
            inputs = fastnn.math.tanh(layer(inputs))
        return self.named["head"](inputs)


def test_weights_and_values() -> None:
    layer = Linear(3, dtype="float64")
    assert layer.weights == []
    assert not layer.built
    y = layer(X)
    assert layer.built
    np.testing.assert_allclose(y.numpy(), X @ layer.w.numpy() + layer.b.numpy(), rtol=1e-12)
    assert [v.path for v in layer.weights] == ["linear/w", "linear/b"]
    assert layer.count_params() == 18
    assert isinstance(layer, layers.Layer)
    assert isinstance(layers.Dense(1), layers.Layer)
    assert not isinstance(3, layers.Layer)
    assert not isinstance(layers.Dense(1), Linear)
    layer.trainable = False
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == 2
    layer.trainable = True
    assert len(layer.trainable_variables) == 2
    lists = Linear(2)([[1.0, 2.0], [3.0, 4.0]])
    assert lists.shape == (2, 2)
    assert lists.dtype == np.float32


def test_derivatives() -> None:
    layer = Linear(3, dtype="float64")
    x = fastnn.constant(X)
    with fastnn.GradientTape() as outer:
        outer.watch(x)
        with fastnn.GradientTape() as tape:
            tape.watch(x)
            y = fastnn.reduce_sum(layer(x) ** 3)
        dx, dw = tape.gradient(y, [x, layer.w])
    z = X @ layer.w.numpy() + layer.b.numpy()
    np.testing.assert_allclose(dw.numpy(), X.T @ (3 * z**2), rtol=1e-10)
    np.testing.assert_allclose(dx.numpy(), (3 * z**2) @ layer.w.numpy().T, rtol=1e-10)
    second = outer.gradient(dx, x)
    w = layer.w.numpy()
    np.testing.assert_allclose(second.numpy(), (6 * z * w.sum(0)) @ w.T, rtol=1e-10)


class Net(fastnn.Model):
    def __init__(self, *parts: Any) -> None:
        super().__init__(dtype="float64")
        self.parts = list(parts)

    def call(self, inputs: Any) -> Any:
        for part in self.parts:
            inputs = part(inputs)
        return inputs


def _functional(*parts: Any) -> Any:
    inputs = h = fastnn.Input((5,))
    for part in parts:
        h = part(h)
    return fastnn.Model(inputs, h, dtype="float64")


MODELS: dict[str, Callable[..., Any]] = {
    "sequential": lambda *parts: fastnn.Sequential([fastnn.Input((5,)), *parts], dtype="float64"),
    "functional": _functional,
    "subclassed": Net,
    "in a model": lambda *parts: fastnn.Sequential(
        [fastnn.Sequential(list(parts), dtype="float64")], dtype="float64"
    ),
    "in a functional model": lambda *parts: _functional(_functional(*parts)),
}
HOW: dict[str, Callable[[], Any]] = {
    "sgd": lambda: optimizers.SGD(0.1, momentum=0.9),
    "decay": lambda: optimizers.Adam(0.01, weight_decay=0.01),
    "clipped": lambda: optimizers.Adam(0.01, global_clipnorm=0.1),
    "averaged": lambda: optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("how", HOW)
def test_trained_as_the_layers_of_the_package(kind: str, how: str) -> None:
    own = MODELS[kind](Linear(6), layers.Activation("tanh"), Linear(1))
    native = MODELS[kind](layers.Dense(6), layers.Activation("tanh"), layers.Dense(1))
    own(X), native(X)
    own.set_weights(native.get_weights())
    for model in (own, native):
        model.compile(HOW[how](), "mse")
    np.testing.assert_allclose(own.predict(X), native.predict(X), rtol=1e-10)
    loss, grads = own.value_and_grad(X, T)
    wanted, gradients = native.value_and_grad(X, T)
    np.testing.assert_allclose(loss, wanted, rtol=1e-10)
    for a, b in zip(grads, gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13)
    with pytest.warns(fastnn.TapeWarning, match="linear' computes with more than layers"):
        history = own.fit(X, T, epochs=3, batch_size=8, shuffle=False, verbose=0)
    other = native.fit(X, T, epochs=3, batch_size=8, shuffle=False, verbose=0)
    np.testing.assert_allclose(history.history["loss"], other.history["loss"], rtol=1e-9)
    for a, b in zip(own.get_weights(), native.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(own.evaluate(X, T, verbose=0), native.evaluate(X, T, verbose=0))
    own.train_on_batch(X, T), native.train_on_batch(X, T)
    for a, b in zip(own.get_weights(), native.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", MODELS)
def test_a_call_of_layers_is_native(kind: str) -> None:
    model = MODELS[kind](Block(5, 0.2), Block(5), layers.Dense(1))
    model(X)
    plain = {v.path.rpartition("/")[2] for v in model.weights}
    assert plain == {"kernel", "bias", "gamma", "beta"}
    inputs = h = fastnn.Input((5,))
    for rate in (0.2, 0.0):
        y = layers.Dense(5, "tanh")(layers.LayerNormalization()(h))
        h = layers.Add()([h, layers.Dropout(rate)(y) if rate else y])
    native = fastnn.Model(inputs, layers.Dense(1)(h), dtype="float64")
    native.set_weights(model.get_weights())
    for one in (model, native):
        one.compile("adam", "mse")
    np.testing.assert_allclose(model.predict(X), native.predict(X), rtol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, T, epochs=2, verbose=0)
    assert model.predictor()(X[0]).shape == (1,)
    assert [type(layer) for layer in model.layers][:1] != [layers.Dense]


def test_layers_in_layers_are_parts() -> None:
    stack = Stack(dtype="float64")
    y = stack(X)
    assert [v.name for v in stack.weights] == ["w", "b", "kernel", "bias", "w", "b"]
    values = [v.numpy() for v in stack.weights]
    h = np.tanh(X @ values[0] + values[1])
    h = np.tanh(h @ values[2] + values[3])
    np.testing.assert_allclose(y.numpy(), h @ values[4] + values[5], rtol=1e-5)
    model = fastnn.Sequential([fastnn.Input((5,)), Stack(), layers.Dense(1)])
    assert [v.path for v in model.weights] == [
        "sequential/stack/linear/w",
        "sequential/stack/linear/b",
        "sequential/stack/dense/kernel",
        "sequential/stack/dense/bias",
        "sequential/stack/linear_1/w",
        "sequential/stack/linear_1/b",
        "sequential/dense/kernel",
        "sequential/dense/bias",
    ]


def test_a_weight_that_call_changes() -> None:
    class ComputeSum(Layer):
        def __init__(self, input_dim: int) -> None:
            super().__init__()
            self.total = self.add_weight(initializer="zeros", shape=(input_dim,), trainable=False)

        def call(self, inputs: Any) -> Any:
            self.total.assign_add(fastnn.reduce_sum(inputs, axis=0))
            return self.total + 0.0 * inputs

    layer = ComputeSum(2)
    layer(np.ones((2, 2)))
    y = layer(np.ones((2, 2)))
    np.testing.assert_array_equal(y.numpy()[0], [4, 4])
    assert layer.trainable_weights == []
    layer.trainable = True
    assert layer.trainable_weights == []
    inputs = fastnn.Input((2,))
    model = fastnn.Model(inputs, layers.Dense(1)(layer(inputs)))
    np.testing.assert_array_equal(layer.total.numpy(), [4, 4])  # drawing has changed nothing
    model.predict(np.ones((3, 2)))
    np.testing.assert_array_equal(layer.total.numpy(), [7, 7])


def test_each_batch_changes_a_weight_once() -> None:
    """Calls that only look at what comes out, such as that before the first step, change nothing."""

    class Counting(Layer):
        def build(self, _input_shape: Any) -> None:
            self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, inputs: Any) -> Any:
            self.count.assign_add(1.0)
            return inputs * 1.0

    class Net(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.counting, self.dense = Counting(), layers.Dense(1)
            self.own = fastnn.Variable(0.0, trainable=False)

        def call(self, x: Any) -> Any:
            self.own.assign_add(1.0)
            return self.dense(self.counting(x))

    x, y = np.ones((8, 3)), np.ones((8, 1))
    model = Net()
    model.compile("sgd", "mse")
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastnn.TapeWarning)
        for _ in range(2):
            model.fit(x, y, batch_size=4, verbose=0)
            seen.append((float(model.own), float(model.counting.count)))
        model.evaluate(x, y, batch_size=4, verbose=0)
        seen.append((float(model.own), float(model.counting.count)))
        model.train_on_batch(x, y)
        seen.append((float(model.own), float(model.counting.count)))
    assert seen == [(2, 2), (4, 4), (6, 6), (7, 7)]


def test_training_reaches_call() -> None:
    class Told(Layer):
        def call(self, inputs: Any, training: bool | None = None) -> Any:
            return inputs * (2.0 if training else 1.0)

    layer = Told()
    assert float(layer(np.ones((1, 1)), training=True)) == 2.0
    assert float(layer(np.ones((1, 1)))) == 1.0
    inputs = fastnn.Input((1,))
    for model in (
        fastnn.Sequential([fastnn.Input((1,)), Told()]),
        fastnn.Model(inputs, Told()(inputs)),
    ):
        assert float(model(np.ones((1, 1)), training=True)) == 2.0
        assert float(model(np.ones((1, 1)))) == 1.0


class Penalty(Layer):
    """Adds rate times the sum of squares of its inputs to the loss."""

    def __init__(self, rate: float = 0.1, **common: Any) -> None:
        super().__init__(**common)
        self.rate = rate

    def call(self, inputs: Any) -> Any:
        self.add_loss(self.rate * fastnn.reduce_sum(fastnn.square(inputs)))
        return inputs


@pytest.mark.parametrize("kind", MODELS)
def test_added_losses(kind: str) -> None:
    dense = layers.Dense(1, use_bias=False)
    model = MODELS[kind](Penalty(0.1), dense, Penalty(0.01))
    model.compile(optimizers.SGD(0.01), "mse")
    y = model(X)
    w = dense.kernel.numpy()
    out = X @ w
    wanted = [0.1 * (X**2).sum(), 0.01 * (out**2).sum()]
    np.testing.assert_allclose([float(loss) for loss in model.losses], wanted, rtol=1e-10)
    np.testing.assert_allclose(y.numpy(), out)
    loss, grads = model.value_and_grad(X, T)
    np.testing.assert_allclose(loss, ((out - T) ** 2).mean() + sum(wanted), rtol=1e-10)
    gradient = 2 * X.T @ (out - T) / len(X) + 0.02 * X.T @ out
    np.testing.assert_allclose(grads[0], gradient, rtol=1e-10)
    np.testing.assert_allclose(model.evaluate(X, T, 64, verbose=0), loss, rtol=1e-10)
    with pytest.warns(fastnn.TapeWarning, match="the layer 'penalty'"):
        history = model.fit(X, T, batch_size=40, verbose=0)
    np.testing.assert_allclose(history.history["loss"], [loss], rtol=1e-10)
    np.testing.assert_allclose(dense.kernel.numpy(), w - 0.01 * gradient, rtol=1e-10)


def test_added_losses_alone() -> None:
    model = _functional(layers.Dense(2), Penalty())
    model.compile("adam")
    with pytest.warns(fastnn.TapeWarning):
        losses = model.fit(X, epochs=9, batch_size=40, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model = _functional(Linear(2))
    model.compile("adam")
    with pytest.raises(ValueError, match="expected a loss"):
        model.fit(X, T, verbose=0)


def test_several_inputs() -> None:
    class Gate(Layer):
        def build(self, input_shape: Any) -> None:
            assert input_shape == [(None, 5), (None, 3)]
            self.w = self.add_weight(shape=(5, 3), name="w")

        def call(self, inputs: Any) -> Any:
            a, b = inputs
            return fastnn.sigmoid(a @ self.w) * b

    a, b = fastnn.Input((5,)), fastnn.Input((3,))
    model = fastnn.Model([a, b], Gate()([a, b]))
    values = [X.astype("f"), X[:, :3].astype("f")]
    wanted = values[1] / (1 + np.exp(-values[0] @ model.weights[0].numpy()))
    np.testing.assert_allclose(model.predict(values), wanted, rtol=1e-5)
    np.testing.assert_allclose(Gate()(values).shape, (40, 3))

    class Both(Layer):
        def call(self, a: Any, b: Any, scale: float = 1.0) -> Any:
            return {"sum": fastnn.math.exp(a) + b, "scaled": b * scale}

    a, b = fastnn.Input((3,)), fastnn.Input((3,))
    y = Both()(a, b, scale=3.0)
    model = fastnn.Model([a, b], [y["sum"], y["scaled"]])
    found = model.predict([values[1], values[1]])
    np.testing.assert_allclose(found[0], np.exp(values[1]) + values[1], rtol=1e-5)
    np.testing.assert_allclose(found[1], 3 * values[1], rtol=1e-6)


def test_mistakes() -> None:
    class Silent(Layer):
        def call(self, inputs: Any) -> None:
            inputs * 2

    with pytest.raises(TypeError, match="layer 'silent': `call` of Silent returned None"):
        Silent()(X)

    class Bare(Layer):
        def __init__(self) -> None:
            self.units = 3

        def call(self, inputs: Any) -> Any:
            return inputs

    with pytest.raises(RuntimeError, match=r"Bare: call super\(\).__init__\(\) first"):
        Bare()(X)

    class Twice(Layer):
        def build(self) -> None:
            self.a = self.add_weight(shape=(1,), name="a")
            self.b = self.add_weight(shape=(1,), name="a")

    with pytest.raises(ValueError, match="'twice': add_weight: there is a weight 'a' already"):
        Twice()(X)
    with pytest.raises(AttributeError, match="'linear' is not built, and `build` may make it"):
        Linear().w  # noqa: B018
    with pytest.raises(ValueError, match="count_params: layer 'linear' is not built"):
        Linear().count_params()
    with pytest.raises(AttributeError, match="'fit' is of models, and 'linear' is a layer"):
        Linear().fit(X, T)
    built = Linear()
    built(X)
    with pytest.raises(AttributeError, match="derive a metric"):
        built.add_metric(3)
    with pytest.raises(NotImplementedError, match="Empty: define `call`"):
        type("Empty", (Layer,), {})()(X)
    with pytest.raises(TypeError, match=r"Linear.*did you mean 'trainable'"):
        Linear(trainabel=False)


def test_pictures_and_tables(capsys: Any) -> None:
    inputs = fastnn.Input((5,))
    shared = Linear(5)
    model = fastnn.Model(inputs, layers.Dense(1)(shared(shared(inputs)) + inputs))
    assert "linear" in model.plot()
    model.summary()
    printed = capsys.readouterr().out
    assert "linear (Linear)" in printed
    assert "Parameters: 36 (36 trainable, 0 not)" in printed
    assert model.built
    assert model.input_shape == (None, 5)
    assert model.output_shape == (None, 1)
    chain = fastnn.Sequential([fastnn.Input((5,)), Linear(4), layers.Dense(1)])
    assert "dense" in chain.plot()
    assert chain.input_shape == (None, 5)
    with pytest.raises(RuntimeError, match="computes with more than layers; use predict"):
        model.predictor()


def test_wrong_shapes_name_the_layer() -> None:
    layer = Linear(4)
    layer(X)
    with pytest.raises(
        ValueError,
        match=r"layer 'linear': expected inputs of shape \(None, 5\), for which it was built, got "
        r"\(None, 3\): matmul",
    ):
        layer(X[:, :3])
    inputs = fastnn.Input((5,))
    model = fastnn.Model(inputs, layer(inputs))
    with pytest.raises(ValueError, match=r"input 'input_layer': expected rows of shape \(5,\)"):
        model.predict(X[:, :3])


def test_an_attribute_that_a_traced_call_reads() -> None:
    class Times(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.factor = 2.0
            self.note = "a"

        def call(self, inputs: Any) -> Any:
            return inputs * self.factor

    layer = Times()
    layer.factor = 3.0
    model = fastnn.Sequential([fastnn.Input((5,)), layer])
    np.testing.assert_allclose(model.predict(X), 3 * X, rtol=1e-6)
    layer.note = "b"
    with pytest.raises(AttributeError, match="factor: `call` of layer 'times' reads it"):
        layer.factor = 4.0
    assert layer.factor == 3.0


class Nested(Layer):
    """A chain of layers, added to its inputs or not."""

    def __init__(self, parts: list[Any], skips: bool) -> None:
        super().__init__()
        self.parts = {str(i): part for i, part in enumerate(parts)}
        self.skips = skips

    def call(self, inputs: Any) -> Any:
        y = inputs
        for part in self.parts.values():
            y = part(y)
        return inputs + y if self.skips else y


def _random(rng: Any, depth: int, flat: list[Any], taped: bool) -> Any:
    """A layer of nested ones; `flat` gets its Dense and Linear layers in their order."""
    if depth == 0:
        own = taped and rng.random() < 0.5
        made = Linear(5) if own else layers.Dense(5, "linear" if taped else "tanh")
        flat.append(made)
        return made
    parts = [_random(rng, int(rng.integers(depth)), flat, taped) for _ in range(rng.integers(1, 4))]
    if rng.random() < 0.3:
        return fastnn.Sequential(parts)
    return Nested(parts, bool(rng.random() < 0.5))


def _by_numpy(part: Any, x: Any) -> Any:
    if isinstance(part, (Linear, layers.Dense)):
        w, b = (v.numpy() for v in part.weights)
        y = x @ w + b
        tanh = isinstance(part, layers.Dense) and part.activation == "tanh"
        return np.tanh(y) if tanh else y
    parts = part.parts.values() if isinstance(part, Nested) else part.layers
    y = x
    for one in parts:
        y = _by_numpy(one, y)
    return x + y if isinstance(part, Nested) and part.skips else y


@pytest.mark.parametrize("taped", [False, True])
def test_nested_at_random(taped: bool) -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        flat: list[Any] = []
        whole = _random(rng, 3, flat, taped)
        head = layers.Dense(1)
        model = fastnn.Sequential([fastnn.Input((5,)), whole, head], dtype="float64")
        assert [v.shape for v in model.weights] == [(5, 5), (5,)] * len(flat) + [(5, 1), (1,)]
        assert len({v.path for v in model.weights}) == len(model.weights)
        wanted = _by_numpy(head, _by_numpy(whole, X))
        np.testing.assert_allclose(model.predict(X), wanted, rtol=1e-10, atol=1e-12)
        model.compile("sgd", "mse")
        _, grads = model.value_and_grad(X, T)
        chosen = flat[int(rng.integers(len(flat)))].weights[0]
        place = next(i for i, v in enumerate(model.weights) if v is chosen)
        values, step = chosen.numpy(), 1e-5
        found = []
        for sign in (1, -1):
            moved = values.copy()
            moved[1, 2] += sign * step
            chosen.assign(moved)
            found.append(((_by_numpy(head, _by_numpy(whole, X)) - T) ** 2).mean())
        chosen.assign(values)
        np.testing.assert_allclose(
            grads[place][1, 2], (found[0] - found[1]) / (2 * step), rtol=1e-5, atol=1e-8
        )


def test_what_other_formats_do_not_hold(tmp_path: Any) -> None:
    model = fastnn.Sequential([fastnn.Input((5,)), Linear(5)])
    with pytest.raises(
        ValueError, match="layer 'linear': Keras has no form of Linear: it computes"
    ):
        fastnn.interop.save_keras(model, tmp_path / "m.keras")


def test_another_format_holds_what_is_made_of_layers(tmp_path: Any) -> None:
    pytest.importorskip("h5py")
    native = fastnn.Sequential([fastnn.Input((5,)), Block(5)])
    fastnn.interop.save_keras(native, tmp_path / "m.keras")


def test_a_chain_that_changes() -> None:
    model = fastnn.Sequential([fastnn.Input((5,))])
    model.add(Linear(4))
    model.add(layers.Dense(3))
    frozen = model.layers[0]
    frozen.trainable = False
    before = frozen.w.numpy()
    model.compile("adam", "mse")
    with pytest.warns(fastnn.TapeWarning):
        model.fit(X, X[:, :3], epochs=2, verbose=0)
    np.testing.assert_array_equal(frozen.w.numpy(), before)
    assert model.get_layer("linear").w.path == "sequential/linear/w"
    assert model.pop().name == "dense"
    assert model.predict(X).shape == (40, 4)


class Encoder(layers.Layer):
    """A layer within; with `bends`, its call is no graph."""

    def __init__(self, bends: bool, name: str) -> None:
        super().__init__(name=name)
        self.inner = layers.Dense(5)
        self.bends = bends

    def call(self, x: Any) -> Any:
        y = self.inner(x)
        return y * fastnn.exp(0.0 * x) if self.bends else y


class Stacked(fastnn.Model):
    """Layers of its own, a chain and a Dense, in this order."""

    def __init__(self, bends: bool) -> None:
        super().__init__()
        self.first = Encoder(bends, "first")
        self.chain = fastnn.Sequential([layers.Dense(5), layers.Dense(5)])
        self.last = layers.Dense(5)

    def call(self, x: Any) -> Any:
        return self.last(self.chain(self.first(x)))


def test_weights_stand_as_attributes_also_where_no_graph_can_be_drawn() -> None:
    x = np.random.default_rng(6).normal(size=(9, 5)).astype(np.float32)
    native, taped = Stacked(False), Stacked(True)
    native(x), taped(x)
    taped.set_weights(native.get_weights())
    np.testing.assert_allclose(taped.predict(x), native.predict(x), rtol=1e-5, atol=1e-6)
