"""Models as parts of models, and layers that several models share: one set of weights, and the
numbers of the flat graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, losses, optimizers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 60)
HOW = ("adam", "sparse_categorical_crossentropy")


def same(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(np.array_equal(v, w) for v, w in zip(a, b, strict=True))


def branchy(name: str | None = None) -> fastnn.Model:
    """Six columns to four, with a skip."""
    inputs = fastnn.Input((6,))
    h = layers.Dense(6, "tanh")(inputs)
    return fastnn.Model(inputs, layers.Dense(4, "relu")(h + inputs), name=name, seed=3)


class Net(fastnn.Model):
    """The same as a class."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.first, self.second = layers.Dense(6, "tanh"), layers.Dense(4, "relu")

    def call(self, inputs: Any) -> Any:
        return self.second(self.first(inputs) + inputs)


KINDS: dict[str, Callable[[], fastnn.Model]] = {
    "functional": branchy,
    "chain": lambda: fastnn.Sequential([layers.Dense(5, "relu"), layers.Dense(4)]),
    "built chain": lambda: fastnn.Sequential(
        [layers.Input((6,)), layers.Dense(5, "relu"), layers.Dropout(0.3), layers.Dense(4)], seed=1
    ),
    "class": Net,
    "chain of models": lambda: fastnn.Sequential([Net(), layers.Dense(4)]),
    "built class": lambda: [net := Net(seed=2), net.build((None, 6))][0],
}


# -- parts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["functional", "chain", "class"])
def test_a_model_as_a_part(kind: str, way: str) -> None:
    inner = KINDS[kind]()
    inner_name = inner.name
    head = layers.Dense(3)
    outer: fastnn.Model
    if way == "functional":
        inputs = fastnn.Input((6,))
        outer = fastnn.Model(inputs, head(inner(inputs)), name="outer")
    elif way == "chain":
        outer = fastnn.Sequential([inner, head], name="outer")
    else:

        class Outer(fastnn.Model):
            def __init__(self) -> None:
                super().__init__(name="outer")
                self.parts = [inner, head]

            def call(self, inputs: Any) -> Any:
                for part in self.parts:
                    inputs = part(inputs)
                return inputs

        outer = Outer()
    outer.compile(*HOW)
    outer.build((None, 6))
    assert outer.layers == [inner, head]
    assert outer.get_layer(inner_name) is inner
    assert inner.built
    assert inner.input_shape == (None, 6)
    assert inner.output_shape == (None, 4)
    assert same(outer.get_weights(), inner.get_weights() + head.get_weights())
    assert [id(v) for v in outer.weights] == [id(v) for v in inner.weights + head.weights]
    paths = [v.path for v in outer.weights]
    assert len(set(paths)) == len(paths)
    assert all(path.startswith(f"outer/{inner_name}/") for path in paths[:-2])
    assert paths[-2:] == [f"outer/{head.name}/kernel", f"outer/{head.name}/bias"]
    for _ in range(2):
        between = inner.predict(X)
        kernel, bias = head.get_weights()
        np.testing.assert_allclose(outer.predict(X), between @ kernel + bias, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(inner(X).numpy(), between)
        outer.fit(X, Y, epochs=2, verbose=0)
    lines: list[str] = []
    outer.summary(print_fn=lines.append)
    assert sum(inner_name in line for line in lines) == 1
    assert any(f"{inner.count_params():,}" in line for line in lines)
    lines.clear()
    outer.summary(expand_nested=True, print_fn=lines.append)
    assert any(line.startswith("  dense (Dense)") for line in lines) or kind == "chain of models"


def random_graph(seed: int, nested: bool) -> fastnn.Model:
    """Five calls of three blocks with layers of their own; `nested`: the blocks are models."""
    rng = np.random.default_rng(seed)

    def block() -> Callable[[Any], Any]:
        one = layers.Dense(6, [None, "tanh", "relu"][rng.integers(3)])
        two: Any = layers.LayerNormalization() if rng.integers(2) else layers.Dropout(0.2, seed=1)
        inner = fastnn.Input((6,))
        return fastnn.Model(inner, two(one(inner)) + inner)

    def flat(model: fastnn.Model) -> Callable[[Any], Any]:
        one, two, add = model.layers
        return lambda x: add([two(one(x)), x])

    blocks = [block() for _ in range(3)]
    functions = blocks if nested else [flat(made) for made in blocks]
    inputs = fastnn.Input((6,))
    known: list[Any] = [inputs]
    for _ in range(5):
        x = known[rng.integers(len(known))]
        known.append(functions[rng.integers(3)](x))
    model = fastnn.Model(inputs, layers.Dense(3)(layers.Add()(known[1:])), seed=4)
    model.set_weights([np.random.default_rng(5).normal(size=w.shape) for w in model.weights])
    return model


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs(seed: int) -> None:
    """Outputs, gradients and training equal those of the flat graph to the bit."""
    flat, nested = random_graph(seed, False), random_graph(seed, True)
    assert [v.shape for v in flat.weights] == [v.shape for v in nested.weights]
    assert all(part in nested.layers for part in nested.layers)
    for model in (flat, nested):
        model.compile(optimizers.SGD(0.01), HOW[1])
    np.testing.assert_array_equal(flat.predict(X), nested.predict(X))
    (one, grads), (other, others) = (m.value_and_grad(X, Y) for m in (flat, nested))
    assert one == other
    assert same(grads, others)
    for model in (flat, nested):
        model.fit(X, Y, epochs=3, verbose=0)
    assert same(flat.get_weights(), nested.get_weights())


def test_an_inner_chain_draws_the_weights_of_the_flat_chain() -> None:
    """Where it is not built before; with dropout, whose numbers count the layers."""

    def steps() -> list[Any]:
        return [layers.Dense(8, "relu"), layers.Dropout(0.4), layers.Dense(5), layers.Dense(3)]

    flat = fastnn.Sequential(steps(), seed=7)
    a, b, c, d = steps()
    nested = fastnn.Sequential([fastnn.Sequential([a, fastnn.Sequential([b, c])]), d], seed=7)
    for model in (flat, nested):
        model.compile(*HOW)
        model.fit(X, Y, epochs=3, validation_split=0.2, verbose=0)
    assert same(flat.get_weights(), nested.get_weights())


def test_a_model_twice_in_a_graph() -> None:
    inner = branchy("inner")
    a, b = fastnn.Input((6,)), fastnn.Input((6,))
    model = fastnn.Model([a, b], layers.Dense(1)(layers.Subtract()([inner(a), inner(b)])))
    assert len(model.layers) == 3
    assert len(model.weights) == 6
    assert model.count_params() == inner.count_params() + 5
    w = model.layers[-1].get_weights()
    want = (inner.predict(X) - inner.predict(X[::-1])) @ w[0] + w[1]
    np.testing.assert_allclose(model.predict([X, X[::-1]]), want, rtol=1e-4, atol=1e-6)


def test_names_of_parts() -> None:
    """Layers in different models may be named alike; parts of one model differ."""
    inputs = fastnn.Input((6,))
    one, two = (fastnn.Sequential([layers.Dense(6, name="own")]) for _ in range(2))
    outer = fastnn.Model(inputs, two(one(inputs)), name="outer")
    assert [part.name for part in outer.layers] == ["sequential", "sequential_1"]
    assert outer.get_layer("sequential_1") is two
    assert [v.path for v in outer.weights][::2] == [
        "outer/sequential/own/kernel",
        "outer/sequential_1/own/kernel",
    ]
    named = [fastnn.Sequential([layers.Dense(6)], name="same") for _ in range(2)]
    with pytest.raises(ValueError, match="two are named 'same'"):
        fastnn.Model(inputs, named[1](named[0](inputs)))
    # Layers of two models that each named one of them "dense".
    m, n = branchy(), branchy()
    joined = layers.Concatenate()([m.layers[0].output, n.layers[0].output])
    both = fastnn.Model([m.input, n.input], joined)
    assert both.get_layer("dense") is m.layers[0]
    assert both.get_layer("dense_1") is n.layers[0]
    assert m.get_layer("dense") is m.layers[0]


def test_a_part_of_a_part() -> None:
    inner = fastnn.Sequential([layers.Dense(6)], name="inner")
    middle = fastnn.Sequential([inner, layers.Dense(5)], name="middle")
    outer = fastnn.Sequential([layers.Input((6,)), middle, layers.Dense(3)], name="outer")
    assert [v.path for v in outer.weights][::2] == [
        "outer/middle/inner/dense/kernel",
        "outer/middle/dense/kernel",
        "outer/dense/kernel",
    ]
    outer.compile(*HOW)
    outer.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(inner.predict(X), inner(X).numpy())
    np.testing.assert_allclose(
        middle.predict(X),
        inner.predict(X) @ middle.layers[1].kernel.numpy() + middle.layers[1].bias.numpy(),
        rtol=1e-5,
        atol=1e-6,
    )


def test_classes_in_classes_are_traced_a_few_times() -> None:
    """And not once more for every call of each model around them."""
    calls = 0

    class Deep(fastnn.Model):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner, self.dense = inner, layers.Dense(6)

        def call(self, inputs: Any) -> Any:
            nonlocal calls
            calls += 1
            return self.dense(self.inner(inputs))

    model = Deep(layers.Dense(6))
    for _ in range(19):
        model = Deep(model)
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0)
    assert len(model.weights) == 42
    assert calls <= 200
    assert model.weights[0].path.count("/deep") == 19


def test_a_model_with_several_inputs_as_a_part() -> None:
    def made(form: Any) -> fastnn.Model:
        a, b = fastnn.Input((2,), name="a"), fastnn.Input((4,), name="b")
        out = layers.Dense(3)(layers.Concatenate()([layers.Dense(4)(b), a]))
        return fastnn.Model([a, b] if form is list else {"a": a, "b": b}, out, name="inner")

    for form in (list, dict):
        inner = made(form)
        x, y = fastnn.Input((2,)), fastnn.Input((4,))
        h = layers.Dense(2)(x)
        outer = fastnn.Model([x, y], inner([h, y] if form is list else {"b": y, "a": h}))
        parts = [outer.layers[0](X[:, :2]).numpy(), X[:, 2:]]
        given: Any = parts if form is list else dict(zip("ab", parts, strict=True))
        np.testing.assert_allclose(
            outer.predict([X[:, :2], X[:, 2:]]), inner.predict(given), rtol=1e-5, atol=1e-6
        )
        assert [part.name for part in outer.layers] == ["dense", "inner"]
        with pytest.raises(ValueError, match="model 'inner': expected rows of shapes"):
            inner([y, h] if form is list else {"a": y, "b": h})
        with pytest.raises(ValueError, match=r"expected a (list|dictionary)"):
            inner([x])
        with pytest.raises(ValueError, match="model 'inner' takes several inputs"):
            fastnn.Sequential([inner])

    class Sum(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = layers.Dense(3), layers.Dense(3)

        def call(self, inputs: Any) -> Any:
            return self.a(inputs[0]) + self.b(inputs[1])

    x, y = fastnn.Input((2,)), fastnn.Input((4,))
    inner = Sum()
    outer = fastnn.Model([x, y], inner([x, y]))
    want = inner([X[:, :2], X[:, 2:]]).numpy()
    np.testing.assert_allclose(outer.predict([X[:, :2], X[:, 2:]]), want, rtol=1e-5, atol=1e-6)
    assert [layer.name for layer in inner.layers] == ["dense", "dense_1"]


def test_training_false_leaves_dropout_out() -> None:
    """As Keras's `base(x, training=False)` in transfer learning."""

    def made(**how: Any) -> fastnn.Model:
        base = fastnn.Sequential([layers.Dense(6), layers.Dropout(0.9)], name="base")
        inputs = fastnn.Input((6,))
        return fastnn.Model(inputs, layers.Dense(3)(base(inputs, **how)))

    rested, acting = made(training=False), made()
    np.testing.assert_array_equal(rested(X, training=True).numpy(), rested.predict(X))
    assert (acting(X, training=True).numpy() != acting.predict(X)).any()


class Untraced(fastnn.Model):
    """A call that is no graph of layers."""

    def __init__(self) -> None:
        super().__init__(name="untraced")
        self.dense = layers.Dense(4)

    def call(self, inputs: Any) -> Any:
        return fastnn.math.atan(self.dense(inputs))


def test_a_part_that_is_no_graph() -> None:
    outer = fastnn.Sequential([Untraced(), layers.Dense(3)])
    outer.compile(*HOW)
    with pytest.warns(fastnn.TapeWarning, match="the `call` of the model 'untraced' is no"):
        outer.fit(X, Y, verbose=0)
    untraced, head = outer.layers
    np.testing.assert_array_equal(outer(X).numpy(), head(untraced(X)).numpy())
    with fastnn.GradientTape() as tape:
        loss = fastnn.reduce_mean(outer(X))
    assert not any(g is None for g in tape.gradient(loss, outer.trainable_variables))
    assert len(outer.weights) == 4


def test_wrong_shapes_name_the_model() -> None:
    wrong, six = fastnn.Input((5,)), fastnn.Input((6,))
    for make in KINDS.values():
        inner = make()
        inner(six)
        if not inner.built:
            inner.build((None, 6))
        with pytest.raises(ValueError, match=rf"model '{inner.name}': .*shape \(6,\).*\(5,\)"):
            inner(wrong)
    part = fastnn.Sequential([layers.Dense(5)], name="part")
    fastnn.Model(six, part(six))
    for call in (part, part.predict, lambda x: part.build((None, *x.shape[1:]))):
        with pytest.raises(ValueError, match=r"\(n?,? ?6,?\).*(\(5,\)|\(60, 5\))"):
            call(X[:, :5])
    unbuilt = fastnn.Sequential([layers.Dense(5)], name="unbuilt")
    with pytest.raises(ValueError, match=r"model 'unbuilt' .*\(5,\) and \(6,\)|called on rows"):
        fastnn.Model([wrong, six], unbuilt(wrong) + unbuilt(six))
    with pytest.raises(ValueError, match="the model has no layers"):
        fastnn.Sequential()(six)
    shared = layers.Dense(3)
    with pytest.raises(ValueError, match=r"layer 'dense' is called on rows of shapes \(5,\) and"):
        fastnn.Model([wrong, six], shared(wrong) + shared(six))


def test_data_that_are_refused_build_no_part() -> None:
    class Two(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.chain = fastnn.Sequential([layers.Dense(5)])

        def call(self, inputs: Any) -> Any:
            return self.chain(inputs)

    inner = Two()
    outer = fastnn.Sequential([inner, layers.Dense(3)])
    outer.compile(*HOW)
    with pytest.raises(ValueError, match="nan"):
        outer.fit(np.full((60, 5), np.nan), Y, verbose=0)
    assert not inner.built
    assert not inner.chain.built
    assert outer.weights == []
    outer.fit(X, Y, verbose=0)
    assert inner.input_shape == inner.chain.input_shape == (None, 6)


def test_pop_and_add_of_models() -> None:
    inner = branchy()
    model = fastnn.Sequential([inner, layers.Dense(3)], name="outer")
    model.pop()
    assert model.pop() is inner
    assert model.layers == []
    assert inner.predict(X).shape == (60, 4)
    model.add(layers.Dense(6, input_shape=(6,)))
    model.add(inner)
    model.add(layers.Dense(3))
    assert model.layers[1] is inner
    assert model.predict(X).shape == (60, 3)
    with pytest.raises(ValueError, match="'model' is in the model twice"):
        model.add(inner)
    for itself in (model, fastnn.Sequential([model])):
        with pytest.raises(ValueError, match="'outer' cannot be a part of itself"):
            model.add(itself)


def test_transfer_learning() -> None:
    """A trained model without its last layer, frozen, under another one."""
    base = fastnn.Sequential(
        [layers.Dense(8, "relu", input_shape=(6,)), layers.Dense(4, "relu"), layers.Dense(3)]
    )
    base.compile(*HOW)
    base.fit(X, Y, epochs=2, verbose=0)
    cut = fastnn.Model(base.input, base.layers[-2].output, name="cut")
    cut.trainable = False
    frozen = cut.get_weights()
    model = fastnn.Sequential([cut, layers.Dropout(0.2), layers.Dense(3)])
    model.compile(*HOW)
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert lines[-1].endswith("(15 trainable, 92 not)")
    model.fit(X, Y, epochs=2, verbose=0)
    assert same(cut.get_weights(), frozen)
    assert same(base.get_weights()[:4], frozen)
    for layer in cut.layers:
        layer.trainable = True
    model.compile(optimizers.Adam(1e-3), HOW[1])
    model.fit(X, Y, epochs=2, verbose=0)
    assert not np.array_equal(base.get_weights()[0], frozen[0])
    np.testing.assert_array_equal(cut(X).numpy(), base.layers[1](base.layers[0](X)).numpy())
    base.pop()
    grown = fastnn.Sequential([*base.layers, layers.Dense(2)])
    np.testing.assert_array_equal(grown.predict(X), grown.layers[-1](base.predict(X)).numpy())
    # By the symbols of a part: its layers are those of the whole.
    decoder = fastnn.Sequential([layers.Dense(6)])
    whole = fastnn.Model(cut.input, decoder(cut.output))
    assert whole.layers == [*cut.layers, decoder]
    np.testing.assert_array_equal(whole.predict(X), decoder.predict(cut.predict(X)))


def test_a_layer_beside_the_model_that_has_it() -> None:
    """In a chain: it is called twice, and has its weights once."""
    shared = layers.Dense(6, "tanh")
    inner = fastnn.Sequential([layers.LayerNormalization(), shared])
    model = fastnn.Sequential([inner, shared, layers.Dense(3)])
    model.compile(*HOW)
    model.fit(X, Y, verbose=0)
    assert len(model.weights) == 6
    np.testing.assert_allclose(
        model.predict(X), model.layers[2](shared(inner(X))).numpy(), rtol=1e-5, atol=1e-6
    )
    model.compile("sgd", HOW[1])


def test_the_table_before_the_model_is_built() -> None:
    lines: list[str] = []
    model = fastnn.Sequential([fastnn.Sequential([layers.Dense(3)]), Net()])
    model.summary(print_fn=lines.append, expand_nested=True)
    assert any("sequential (Sequential)" in line for line in lines)
    assert lines[-1].startswith("Parameters: not known until the model is built (by Input(")


# -- inputs ----------------------------------------------------------------------------------------


def test_names_of_inputs() -> None:
    d, e = fastnn.Input((2,), name="same"), fastnn.Input((2,), name="same")
    with pytest.raises(ValueError, match="two are named 'same'; names must differ"):
        fastnn.Model([d, e], layers.Add()([d, e]))
    with pytest.raises(ValueError, match="two are named 'same'"):
        fastnn.Model(d, layers.Dense(1, name="same")(d))
    a, b = fastnn.Input((2,)), fastnn.Input((2,))
    model = fastnn.Model([a, b], layers.Add()([a, b]))
    assert [symbol.name for symbol in model.inputs] == ["input_layer", "input_layer_1"]
    assert model.get_layer("input_layer_1").output is b
    assert model.get_layer("input_layer").input is a
    fastnn.Model([b, a], layers.Subtract()([b, a]))
    assert [symbol.name for symbol in model.inputs] == ["input_layer", "input_layer_1"]


def test_losses_see_the_end_of_a_part() -> None:
    inner = fastnn.Sequential([layers.Dense(3, "softmax", input_shape=(6,))])
    outer = fastnn.Sequential([inner])
    with pytest.warns(UserWarning, match="from_logits=True, but layer"):
        outer.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True))
    outer = fastnn.Sequential([fastnn.Sequential([layers.Dense(3, "relu")])])
    outer.compile(*HOW)
    with pytest.raises(ValueError, match="relu before sparse_categorical_crossentropy"):
        outer.fit(X, Y, verbose=0)


def test_a_part_with_several_outputs() -> None:
    """Both outputs, or one of them, may be used; the weights of the other one then stay."""
    entry = fastnn.Input((6,))
    h = layers.Dense(5, "tanh")(entry)
    two = fastnn.Model(
        entry, {"a": layers.Dense(4)(h), "b": layers.Dense(3, "tanh")(h)}, name="two"
    )
    inputs = fastnn.Input((6,))
    made = two(inputs)
    assert made.keys() == {"a", "b"}
    both = fastnn.Model(inputs, layers.Dense(2)(layers.Concatenate()([made["a"], made["b"]])))
    one = fastnn.Model(inputs, made["a"])
    again = fastnn.Model(inputs, two(inputs))
    values = two.predict(X)
    joined = np.concatenate([values["a"], values["b"]], axis=1)
    kernel, bias = both.layers[-1].get_weights()
    np.testing.assert_allclose(both.predict(X), joined @ kernel + bias, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(one.predict(X), values["a"])
    np.testing.assert_array_equal(again.predict(X)["b"], values["b"])
    assert (len(both.weights), len(one.weights), len(again.weights)) == (8, 6, 6)
    both.compile(*HOW)
    both.fit(X, Y % 2, verbose=0)
    one.compile(*HOW)
    before = two.get_weights()
    one.fit(X, Y, verbose=0)
    assert [not np.array_equal(*pair) for pair in zip(before, two.get_weights(), strict=True)] == [
        *[True] * 4,
        *[False] * 2,
    ]
    np.testing.assert_array_equal(one.predict(X), two.predict(X)["a"])
    tail = fastnn.Model(two.input, two.output["b"])
    np.testing.assert_array_equal(tail.predict(X), two.predict(X)["b"])
