"""Models of any shape: graphs of layers by inputs and outputs, and classes whose `call` is traced."""

from __future__ import annotations

import copy
import functools
import pickle
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, losses, optimizers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype(np.float32)
Y = RNG.integers(0, 3, 60)
HOW = ("adam", "sparse_categorical_crossentropy")


def residual(dtype: str = "float32", seed: int = 1) -> fastnn.Model:
    inputs = fastnn.Input((5,))
    h = layers.Dense(8, "relu")(inputs)
    h = layers.Add()([h, layers.Dense(8, "tanh")(layers.LayerNormalization()(h))])
    return fastnn.Model(inputs, layers.Dense(3)(h), dtype=dtype, seed=seed)


class Residual(fastnn.Model):
    """The same as a class; its name for tests of pickles."""

    def __init__(self, dtype: str = "float32", seed: int = 1) -> None:
        super().__init__(dtype=dtype, seed=seed)
        self.first = layers.Dense(8, "relu")
        self.blocks = [layers.LayerNormalization(), layers.Dense(8, "tanh")]
        self.head = layers.Dense(3)

    def call(self, inputs: Any, training: bool = False) -> Any:
        h = self.first(inputs)
        skip = h
        for block in self.blocks:
            h = block(h, training=training)
        return self.head(skip + h)


def by_hand(model: fastnn.Model, x: Any) -> Any:
    """The outputs in float64 NumPy."""
    w = [np.float64(a) for a in model.get_weights()]
    h = np.maximum(x @ w[0] + w[1], 0)
    z = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-3) * w[2] + w[3]
    return (h + np.tanh(z @ w[4] + w[5])) @ w[6] + w[7]


@pytest.mark.parametrize("made", [residual, Residual])
def test_outputs(made: Any) -> None:
    model = made("float64")
    x = X.astype(np.float64)
    np.testing.assert_allclose(model(x).numpy(), by_hand(model, x), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(model.predict(x), by_hand(model, x), rtol=1e-10, atol=1e-12)
    assert model.predictor()(x[0]) == pytest.approx(model.predict(x)[0])


def test_a_class_trains_as_the_graph() -> None:
    """The same weights, and in `fit` the same as over a tape."""
    graph, own, tape_trained = residual("float64"), Residual("float64"), Residual("float64")
    for model in (graph, own):
        model.compile(*HOW, metrics=["accuracy"])
        model.fit(X, Y, epochs=3, shuffle=False, verbose=0)
    for a, b in zip(graph.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert own.history is not None
    assert list(own.history.history) == ["loss", "accuracy"]
    loss, optimizer = losses.SparseCategoricalCrossentropy(), optimizers.Adam()
    for _ in range(3):
        for begin in range(0, 60, 32):
            rows = slice(begin, begin + 32)
            with fastnn.GradientTape() as tape:
                value = loss(Y[rows], tape_trained(X[rows].astype(np.float64), training=True))
            grads = tape.gradient(value, tape_trained.trainable_variables)
            optimizer.apply_gradients(zip(grads, tape_trained.trainable_variables, strict=True))
    for a, b in zip(graph.get_weights(), tape_trained.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_a_chain_is_the_sequential() -> None:
    """The same first weights and the same training, to the bit."""
    inputs = fastnn.Input((5,))
    h = layers.Dropout(0.3)(layers.Dense(8, "relu")(inputs))
    graph = fastnn.Model(inputs, layers.Dense(3)(h), seed=4)
    chain = fastnn.Sequential(
        [layers.Dense(8, "relu", input_shape=(5,)), layers.Dropout(0.3), layers.Dense(3)], seed=4
    )
    for model in (graph, chain):
        model.compile(*HOW)
        model.fit(X, Y, epochs=3, validation_split=0.2, verbose=0)
    for a, b in zip(graph.get_weights(), chain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("form", [list, dict])
def test_several_inputs(form: Any) -> None:
    a, b = fastnn.Input((2,), name="a"), fastnn.Input((3,), name="b")
    out = layers.Concatenate()([layers.Dense(4, "tanh")(a), b])
    out = layers.Dense(3)(out)
    inputs = [a, b] if form is list else {"a": a, "b": b}
    model = fastnn.Model(inputs, out, dtype="float64", seed=1)
    x = [X[:, :2], X[:, 2:]]
    data: Any = x if form is list else dict(zip("ab", x, strict=True))
    w = model.get_weights()
    want = np.concatenate([np.tanh(x[0] @ w[0] + w[1]), x[1]], axis=1) @ w[2] + w[3]
    np.testing.assert_allclose(model.predict(data), want, rtol=1e-10)
    np.testing.assert_allclose(model(data).numpy(), want, rtol=1e-10)
    model.compile(*HOW)
    history = model.fit(data, Y, epochs=20, verbose=0, validation_data=(data, Y)).history
    assert history["loss"][-1] < history["loss"][0]
    tensors = [fastnn.Tensor(part.astype(np.float64)) for part in x]
    given: Any = tensors if form is list else dict(zip("ab", tensors, strict=True))
    with fastnn.GradientTape() as tape:
        tape.watch(tensors)
        y = fastnn.reduce_sum(model(given))
    assert [g.shape for g in tape.gradient(y, tensors)] == [(60, 2), (60, 3)]
    with pytest.raises(
        ValueError, match=r"x\[1\]: expected shape \(n, 3\), got \(60, 2\)|dictionary"
    ):
        model.predict([x[0], x[0]])
    with pytest.raises(ValueError, match=r"x: expected a (list of 2 inputs|dictionary of a, b)"):
        model.predict(X)


def test_a_shared_layer() -> None:
    shared = layers.Dense(4, "tanh")
    a, b = fastnn.Input((2,)), fastnn.Input((2,))
    out = layers.Dense(1)(layers.Subtract()([shared(a), shared(b)]))
    model = fastnn.Model([a, b], out, dtype="float64", seed=1)
    assert len(model.layers) == 3
    assert len(model.get_weights()) == 4
    x = [X[:, :2], X[:, 2:4]]
    w = model.get_weights()
    want = (np.tanh(x[0] @ w[0] + w[1]) - np.tanh(x[1] @ w[0] + w[1])) @ w[2] + w[3]
    np.testing.assert_allclose(model.predict(x), want, rtol=1e-9, atol=1e-12)
    model.compile("sgd", "mse")
    loss, grads = model.value_and_grad(x, np.zeros(60))
    kernel = w[0].copy()
    sides = []
    for step in (1e-6, -1e-6):
        moved = kernel.copy()
        moved[1, 2] += step
        model.set_weights([moved, *w[1:]])
        sides.append(model.evaluate(x, np.zeros(60), verbose=0))
    assert grads[0][1, 2] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-6)
    assert loss == pytest.approx((want**2).mean())


def test_layers_with_parameters_that_are_called_again() -> None:
    """Gradients of all calls add up, by central differences; a step follows them."""
    inputs = fastnn.Input((5,))
    norm, dense = layers.LayerNormalization(epsilon=0.1), layers.Dense(5, "softmax")
    h = dense(norm(dense(norm(inputs))))
    model = fastnn.Model(inputs, layers.Dense(3)(norm(h)), dtype="float64", seed=1)
    assert [w.name for w in model.weights[:2]] == ["gamma", "beta"]
    assert len(model.weights) == 6
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=w.shape) for w in model.weights]
    model.set_weights(weights)
    x = X.astype(np.float64)
    model.compile(optimizers.SGD(0.1), HOW[1])
    _, grads = model.value_and_grad(x, Y)
    for i, weight in enumerate(weights):
        for place in list(np.ndindex(weight.shape))[::3]:
            sides = []
            for step in (1e-6, -1e-6):
                moved = [w.copy() for w in weights]
                moved[i][place] += step
                model.set_weights(moved)
                sides.append(model.evaluate(x, Y, verbose=0))
            assert grads[i][place] == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-8)
    model.set_weights(weights)
    model.fit(x, Y, batch_size=60, verbose=0)
    for got, was, gradient in zip(model.get_weights(), weights, grads, strict=True):
        np.testing.assert_allclose(got, was - 0.1 * gradient, rtol=1e-9, atol=1e-12)


def test_a_shared_layer_on_one_input_has_a_head() -> None:
    inputs, shared = fastnn.Input((5,)), layers.Dense(5, "tanh")
    model = fastnn.Model(inputs, layers.Dense(3)(shared(shared(inputs))))
    model.compile(*HOW)
    assert len(model.fit(X, Y, epochs=2, verbose=0).epoch) == 2


def test_operators_on_symbols() -> None:
    a = fastnn.Input((5,))
    model = fastnn.Model(a, 2 * a * (a - 1) / 4 + 1 - a * a, dtype="float64")
    x = X.astype(np.float64)
    np.testing.assert_allclose(
        model.predict(x), 2 * x * (x - 1) / 4 + 1 - x * x, rtol=1e-9, atol=1e-12
    )


# -- classes ---------------------------------------------------------------------------------------


class Varied(fastnn.Model):
    """Computes with numbers: no graph of layers."""

    def __init__(self) -> None:
        super().__init__(seed=1)
        self.dense = layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        return fastnn.math.tanh(self.dense(inputs)) * fastnn.reduce_sum(
            inputs, axis=1, keepdims=True
        )


def test_a_call_that_is_no_graph() -> None:
    """It can be called and trained over a tape, as `fit` does and says."""
    model = Varied()
    y = model(X)
    assert y.shape == (60, 3)
    with fastnn.GradientTape() as tape:
        value = fastnn.reduce_mean(fastnn.math.square(model(X)))
    grads = tape.gradient(value, model.trainable_variables)
    optimizers.SGD(0.1).apply_gradients(zip(grads, model.trainable_variables, strict=True))
    assert float(fastnn.reduce_mean(fastnn.math.square(model(X)))) < float(value)
    model.compile("sgd", "mse")
    with pytest.warns(fastnn.TapeWarning, match="Varied .* its `call` is no graph of layers"):
        model.fit(X, np.zeros((60, 3)), verbose=0)


class Dropped(fastnn.Model):
    def __init__(self) -> None:
        super().__init__(seed=1)
        self.dense, self.drop, self.head = layers.Dense(50), layers.Dropout(0.5), layers.Dense(3)

    def call(self, x: Any, training: bool = False) -> Any:
        x = self.dense(x)
        if training:
            x = self.drop(x, training=training)
        return self.head(x)


def test_dropout_in_training_alone() -> None:
    model = Dropped()
    chain = fastnn.Sequential([layers.Dense(50), layers.Dropout(0.5), layers.Dense(3)], seed=1)
    for made in (model, chain):
        made.compile(*HOW)
        made.fit(X, Y, epochs=2, verbose=0)
    for a, b in zip(model.get_weights(), chain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model(X).numpy(), model.predict(X))
    assert (model(X, training=True).numpy() != model.predict(X)).any()


def test_dropout_that_never_acts() -> None:
    """A call with training=False says so, whatever the model does."""

    class Net(fastnn.Model):
        def __init__(self) -> None:
            super().__init__(seed=1)
            self.dense, self.drop, self.head = (
                layers.Dense(50),
                layers.Dropout(0.9),
                layers.Dense(3),
            )

        def call(self, x: Any) -> Any:
            return self.head(self.drop(self.dense(x), training=False))

    model, chain = Net(), fastnn.Sequential([layers.Dense(50), layers.Dense(3)], seed=1)
    for made in (model, chain):
        made.compile(*HOW)
        made.fit(X, Y, epochs=2, verbose=0)
    for a, b in zip(model.get_weights(), chain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_class_that_is_compiled_before_it_is_built() -> None:
    class Net(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.out = layers.Dense(1, "sigmoid")
            self.hidden = layers.Dense(10, "relu", input_shape=(4,))  # its input has 5 columns

        def call(self, inputs: Any) -> Any:
            return self.out(self.hidden(inputs))

    model = Net()
    assert [layer.name for layer in model.layers] == ["dense", "dense"]
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(X, (X[:, 0] > 0).astype(int), epochs=30, verbose=0).history
    assert history["accuracy"][-1] > history["accuracy"][0]
    assert [layer.name for layer in model.layers] == ["dense", "dense_1"]
    assert model.layers == [model.out, model.hidden]  # as its attributes stand
    assert "net/dense/kernel" in [v.path for v in model.variables]


@pytest.mark.parametrize("made", [residual, Residual])
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(way: Any, made: Any) -> None:
    model = made()
    model.compile(*HOW)
    model.fit(X, Y, epochs=2, verbose=0)
    other = way(model)
    for m in (model, other):
        m.fit(X, Y, epochs=1, verbose=0)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# -- wrong use -------------------------------------------------------------------------------------


def test_wrong_graphs() -> None:
    a, b = fastnn.Input((2,), name="a"), fastnn.Input((3,), name="b")
    with pytest.raises(ValueError, match="made of the input 'b', which is not among the inputs"):
        fastnn.Model(a, layers.Dense(1)(layers.Concatenate()([a, b])))
    with pytest.raises(ValueError, match="got an input itself"):
        fastnn.Model(a, a)
    with pytest.raises(TypeError, match=r"inputs: expected what fastnn\.Input makes"):
        fastnn.Model(layers.Dense(1), layers.Dense(1)(a))
    with pytest.raises(TypeError, match="outputs: expected what layers make"):
        fastnn.Model(a, [layers.Dense(1)(a), None])
    with pytest.raises(ValueError, match="give inputs and outputs, or neither"):
        fastnn.Model(a)
    with pytest.raises(ValueError, match=r"'add.*rows of shapes \(2,\) and \(3,\)"):
        layers.Add()([a, b])
    with pytest.raises(TypeError, match="takes one input"):
        layers.Dense(1)([a, b])
    with pytest.raises(TypeError, match="takes a list of symbols"):
        layers.Add()(a)
    with pytest.raises(TypeError, match=r"np.fft.fft of a symbol"):
        np.fft.fft(a)
    with pytest.raises(NotImplementedError, match="define `call`"):
        fastnn.Model().predict(X)


def test_a_layer_of_another_model() -> None:
    shared = layers.Dense(3)
    a = fastnn.Input((5,))
    first = fastnn.Model(a, shared(a))
    second = fastnn.Model(a, shared(a))
    assert shared.owner is first
    np.testing.assert_array_equal(first.predict(X), second.predict(X))


def test_the_head_of_a_graph() -> None:
    a = fastnn.Input((5,))
    soft = layers.Dense(3, "softmax")(a)
    model = fastnn.Model(a, soft)
    with pytest.warns(UserWarning, match="from_logits=True, but layer"):
        model.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True))
    relu = fastnn.Model(a, layers.Dense(3, "relu")(a))
    with pytest.raises(ValueError, match="relu before sparse_categorical_crossentropy"):
        relu.compile(*HOW)


def test_summary_of_a_graph() -> None:
    lines: list[str] = []
    residual().summary(print_fn=lines.append)
    assert any("add (Add)" in line for line in lines)
    assert any("Parameters: 163" in line for line in lines)


def test_sequential_is_a_model() -> None:
    assert isinstance(fastnn.Sequential(), fastnn.Model)


# -- traps -----------------------------------------------------------------------------------------


class Encoded(fastnn.Model):
    """A model in a model, and a Variable of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = fastnn.Sequential([layers.Dense(6, "relu"), layers.Dense(4)])
        self.head = layers.Dense(4)
        self.mix = fastnn.Variable(np.ones((4, 3)), name="mix")

    def call(self, inputs: Any) -> Any:
        return self.head(self.encoder(inputs)) @ self.mix


def test_models_and_variables_in_a_model_are_trained() -> None:
    model = Encoded()
    optimizer = optimizers.Adam(0.05)
    loss_of = losses.SparseCategoricalCrossentropy()
    values = []
    for _ in range(40):
        with fastnn.GradientTape() as tape:
            loss = loss_of(Y, fastnn.math.softmax(model(X, training=True)))
        variables = model.trainable_variables
        found = tape.gradient(loss, variables)
        assert not any(g is None for g in found)
        optimizer.apply_gradients(zip(found, variables, strict=True))
        values.append(float(loss))
    # Own Variables, then as the attributes stand, those of the model within at its place.
    names = ["mix", "kernel", "bias", "kernel", "bias", "kernel", "bias"]
    assert [v.name for v in variables] == names
    assert values[-1] < 0.8 * values[0]
    weights = model.get_weights()
    model.set_weights([w * 0 for w in weights])  # of several buffers
    assert not any(w.any() for w in model.get_weights())
    model.set_weights(weights)
    for a, b in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.count_params() == sum(w.size for w in weights)
    model.trainable = False
    assert model.trainable_variables == []


def test_a_model_inside_a_graph() -> None:
    inner = fastnn.Sequential([layers.Dense(4, input_shape=(5,))], name="inner")
    inputs = fastnn.Input((5,))
    model = fastnn.Model(inputs, layers.Dense(2)(inner(inputs)))
    assert model.layers[0] is inner
    encoded = Encoded()
    whole = fastnn.Model(inputs, encoded(inputs))
    np.testing.assert_allclose(whole(X), encoded(X), rtol=1e-6)


def test_init_of_the_base_is_missing() -> None:
    class Net(fastnn.Model):
        def __init__(self) -> None:
            self.head = layers.Dense(3)

    with pytest.raises(RuntimeError, match=r"Net: call super\(\).__init__\(\) first"):
        Net()

    class Bare(fastnn.Model):
        def __init__(self) -> None:
            pass

    with pytest.raises(RuntimeError, match=r"Bare: call super\(\).__init__\(\) first"):
        Bare()(X)


def test_layers_of_a_built_model_are_fixed() -> None:
    model = Residual()
    model(X)
    with pytest.raises(AttributeError, match="head: the model is built"):
        model.head = layers.Dense(7)
    model.head = model.head
    model.note = "anything else may be set"
    early = Residual()
    early.head = layers.Dense(7)
    assert early(X).shape == (60, 7)


CALLS = {
    "power": lambda self, x: self.head(x**3),
    "compared": lambda self, x: self.head(fastnn.math.where(x > 0, x, 0.0)),
    "equal": lambda self, x: self.head(fastnn.math.cast(x == 0, "float32")),
    "columns": lambda self, x: self.head(x[:, ::2]),
    "rows": lambda self, x: fastnn.math.concat(
        [self.head(x[i : i + 1]) for i in range(x.shape[0])]
    ),
    "each": lambda self, x: self.head(fastnn.math.stack(list(x))),
    "numpy": lambda self, x: self.head(np.cos(x)),
    "product": lambda self, x: self.head(x @ np.ones((5, 2), np.float32)),
    "array first": lambda self, x: self.head(np.ones(5, np.float32) + x),
    "times array": lambda self, x: self.head(x * np.arange(5, dtype=np.float32)),
    "one over": lambda self, x: self.head(1 / (x + 9)),
    "abs": lambda self, x: self.head(abs(x)),
    "len": lambda self, x: self.head(x) if len(x) > 2 else x,
    "the rows": lambda self, x: x,  # noqa: ARG005
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_that_symbols_do_not_take_run_on_numbers(name: str) -> None:
    class Net(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.head = layers.Dense(2)
            self.calls = 0

        def call(self, inputs: Any) -> Any:
            self.calls += 1
            return CALLS[name](self, inputs)

    model = Net()
    found = model(X).numpy()
    first = model.calls
    model(X)
    assert model.calls == first + 1  # it is not traced again
    np.testing.assert_array_equal(found, model.call(fastnn.constant(X)).numpy())


def test_several_inputs_of_a_call() -> None:
    class Net(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = layers.Dense(3), layers.Dense(3)

        def call(self, inputs: Any) -> Any:
            p, q = inputs.values() if isinstance(inputs, dict) else inputs
            return self.a(p) + self.b(q)

    model = Net()
    expected = model([X, X[:, :2]]).numpy()
    np.testing.assert_array_equal(model((X, X[:, :2])).numpy(), expected)
    np.testing.assert_array_equal(model({"p": X, "q": X[:, :2]}).numpy(), expected)
    assert Net()([X, X]).shape == (60, 3)


def test_training_reaches_a_decorated_call() -> None:
    def decorated(function: Any) -> Any:
        @functools.wraps(function)
        def called(*args: Any, **options: Any) -> Any:
            return function(*args, **options)

        return called

    class Net(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.drop = layers.Dropout(0.5)

        @decorated
        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.drop(inputs * inputs[:, :1], training=training)

    assert (Net()(np.ones((9, 9)), training=True).numpy() == 0).any()
    assert (Net()(np.ones((9, 9))).numpy() == 1).all()


def test_forms_of_one_input_and_wrong_inputs() -> None:
    inputs = fastnn.Input((5,))
    model = fastnn.Model([inputs], layers.Dense(2)(inputs))
    np.testing.assert_array_equal(model([X]).numpy(), model(X).numpy())
    np.testing.assert_array_equal(model.predict([X]), model.predict(X))
    with pytest.raises(ValueError, match="the same Input is given twice"):
        fastnn.Model([inputs, inputs], layers.Dense(2)(inputs))
    with pytest.raises(ValueError, match="at least one Input"):
        fastnn.Model([], layers.Dense(2)(inputs))


def test_models_that_hold_each_other() -> None:
    class Net(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.head = layers.Dense(2)
            self.other: Any = self

        def call(self, inputs: Any) -> Any:
            return self.head(inputs)

    a, b = Net(), Net()
    a.other, b.other = b, a
    a(X), b(X)
    assert len(a.weights) == len(b.weights) == 4
    a.trainable = False
    assert b.trainable_variables == []


def test_parts_that_a_graph_does_not_use() -> None:
    class Net(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.unused = layers.Dense(3), layers.Dense(2)
            self.scale = fastnn.Variable([1.0])

        def call(self, inputs: Any) -> Any:
            return self.head(inputs)

    model = Net()
    model.compile(*HOW)
    model.fit(X, Y, epochs=2, verbose=0)
    _, grads = model.value_and_grad(X, Y)
    assert len(grads) >= 2
    assert len(model.weights) == 3
    before = model.predict(X)
    model.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy.deepcopy(model).predict(X), before)


@pytest.mark.parametrize("inputs", [1, 2])
def test_a_shared_layer_that_is_called_on_an_input_first(inputs: int) -> None:
    given = [fastnn.Input((3,)) for _ in range(inputs)]
    shared = layers.Dense(3, "tanh")
    h = shared(shared(given[0]))
    y = layers.Dense(2)(h if inputs == 1 else layers.Add()([h, given[1]]))
    model = fastnn.Model(given, y, dtype="float64")
    x = [np.random.default_rng(i).normal(size=(5, 3)) for i in range(inputs)]
    kernel, bias, head, head_bias = model.get_weights()
    want = np.tanh(np.tanh(x[0] @ kernel + bias) @ kernel + bias)
    want = (want if inputs == 1 else want + x[1]) @ head + head_bias
    np.testing.assert_allclose(model.predict(x if inputs > 1 else x[0]), want, rtol=1e-12)


@pytest.mark.parametrize("part", ["unbuilt layer", "layer", "variable", "model", "several"])
def test_gradients_of_parts_that_the_outputs_do_not_depend_on(part: str) -> None:
    """They have zeros, in the places that they have among the weights."""

    class Net(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = layers.Dense(4, "relu")
            if part in ("unbuilt layer", "layer", "several"):
                self.unused: Any = layers.Dense(2)
            if part in ("layer", "several"):
                self.unused.build((None, 7))
            if part in ("variable", "several"):
                self.scale = fastnn.Variable(np.ones(3), dtype="float64")
            if part in ("model", "several"):
                self.inner = fastnn.Sequential([layers.Dense(2, input_shape=(6,))])
            self.out = layers.Dense(3)

        def call(self, inputs: Any) -> Any:
            return self.out(self.hidden(inputs))

    rng = np.random.default_rng(0)
    x, y = rng.random((8, 5)), rng.integers(0, 3, 8)
    model = Net()
    model.compile("adam", "sparse_categorical_crossentropy")
    _, grads = model.value_and_grad(x, y)
    assert [g.shape for g in grads] == [w.shape for w in model.get_weights()]
    assert [g.dtype for g in grads] == [w.dtype for w in model.get_weights()]
    more = {"unbuilt layer": 0, "layer": 2, "variable": 1, "model": 2, "several": 5}[part]
    assert len(grads) == 4 + more
    used = {id(v) for layer in (model.hidden, model.out) for v in layer.variables}
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    with fastnn.GradientTape() as tape:
        value = loss(y, model(x))
    by_tape = tape.gradient(value, model.weights)
    for variable, g, other in zip(model.weights, grads, by_tape, strict=True):
        assert (other is None) == (id(variable) not in used)
        np.testing.assert_allclose(g, 0 if other is None else other.numpy(), atol=1e-6)
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    for variable, old in zip(model.weights, before, strict=True):
        assert (variable.numpy() == old).all() == (id(variable) not in used)
    model.set_weights(before)
    again = copy.deepcopy(model)
    for a, b in zip(again.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
