# ruff: noqa: ARG005
"""Functions and operators on the symbols of functional models: what they make, and what that computes."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers
from fastnn.keras import ops
from fastnn.layers.operation import functions

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")
math, nn = fastnn.math, fastnn.nn
M = np.random.default_rng(3).normal(size=(4, 2))
ROWS = np.random.default_rng(4)
A, B = ROWS.uniform(0.2, 0.9, (2, 5, 4))
C = ROWS.normal(size=(5, 2, 3))

Case = Callable[[Any, Any, Any], Any]
# By name of the function: of rows a and b of four numbers between 0 and 1, and c of two by three.
CASES: dict[str, Case] = {
    "abs": lambda a, b, c: abs(c - 1),
    "acos": lambda a, b, c: math.acos(a),
    "add": lambda a, b, c: math.add(c, c[:, :1]),
    "add_n": lambda a, b, c: fastnn.add_n([a, b, a]),
    "argmax": lambda a, b, c: math.argmax(c, axis=-1),
    "argmin": lambda a, b, c: math.argmin(c, axis=2),
    "argsort": lambda a, b, c: ops.argsort(a),
    "asin": lambda a, b, c: math.asin(a),
    "atan": lambda a, b, c: math.atan(a),
    "atan2": lambda a, b, c: math.atan2(a, b),
    "broadcast_to": lambda a, b, c: math.squared_difference(a, a[:, :1]),
    "cast": lambda a, b, c: fastnn.cast(a > 0.5, "float32"),
    "ceil": lambda a, b, c: math.ceil(a),
    "clip_by_norm": lambda a, b, c: fastnn.clip_by_norm(a, 0.5, axes=1),
    "clip_by_value": lambda a, b, c: fastnn.clip_by_value(a, 0.3, np.float32(0.6)),
    "concat": lambda a, b, c: fastnn.concat([c, c * 2, c[:, 0:1, ::-1]], axis=1),
    "convert_to_tensor": lambda a, b, c: fastnn.convert_to_tensor(a),
    "cos": lambda a, b, c: fastnn.cos(a),
    "cosh": lambda a, b, c: math.cosh(a),
    "count_nonzero": lambda a, b, c: math.count_nonzero(a > 0.5, axis=1),
    "cumsum": lambda a, b, c: math.cumsum(c, axis=1, reverse=True),
    "divide": lambda a, b, c: 1 / a + b / a + a / 3,
    "divide_no_nan": lambda a, b, c: math.divide_no_nan(a, fastnn.round(b)),
    "elu": lambda a, b, c: nn.elu(a - 0.5),
    "equal": lambda a, b, c: a == b,
    "erf": lambda a, b, c: math.erf(a),
    "exp": lambda a, b, c: fastnn.exp(c),
    "expand_dims": lambda a, b, c: fastnn.expand_dims(a[:, 1], axis=-1),
    "expm1": lambda a, b, c: math.expm1(a),
    "floor": lambda a, b, c: math.floor(3 * a),
    "floordiv": lambda a, b, c: (3 * a) // b,
    "floormod": lambda a, b, c: (3 * a) % b,
    "gather": lambda a, b, c: fastnn.gather(a, [2, 0], axis=1),
    "gelu": lambda a, b, c: nn.gelu(a, approximate=True) + nn.gelu(b),
    "getitem": lambda a, b, c: c[:, 1, ::-2] + c[..., -1:][:, :, 0],
    "greater": lambda a, b, c: a > b,
    "greater_equal": lambda a, b, c: a >= b,
    "identity": lambda a, b, c: fastnn.identity(a),
    "is_finite": lambda a, b, c: math.is_finite(1 / (a - a)),
    "is_inf": lambda a, b, c: math.is_inf(1 / (a - a)),
    "is_nan": lambda a, b, c: math.is_nan(a),
    "l2_normalize": lambda a, b, c: math.l2_normalize(a, axis=1),
    "leaky_relu": lambda a, b, c: nn.leaky_relu(a - 0.5, alpha=0.1),
    "less": lambda a, b, c: a < 0.5,
    "less_equal": lambda a, b, c: a <= b,
    "log": lambda a, b, c: math.log(a),
    "log1p": lambda a, b, c: math.log1p(a),
    "log_sigmoid": lambda a, b, c: math.log_sigmoid(a),
    "log_softmax": lambda a, b, c: nn.log_softmax(a),
    "logical_and": lambda a, b, c: (a > 0.5) & (b > 0.5),
    "logical_not": lambda a, b, c: ~(a > 0.5),
    "logical_or": lambda a, b, c: (a > 0.5) | (b > 0.5),
    "logical_xor": lambda a, b, c: math.logical_xor(a > 0.5, b > 0.5),
    "matmul": lambda a, b, c: a @ M + fastnn.matmul(c, c, transpose_b=True)[:, 0],
    "maximum": lambda a, b, c: math.maximum(a, b) + math.maximum(a, 0.5),
    "minimum": lambda a, b, c: math.minimum(a, b) + math.minimum(0.5, a),
    "moments": lambda a, b, c: sum(nn.moments(a, [1], keepdims=True)),
    "multiply": lambda a, b, c: a * b * 3 * M[:, 0],
    "negative": lambda a, b, c: -a,
    "norm": lambda a, b, c: fastnn.norm(c, axis=2),
    "not_equal": lambda a, b, c: a != b,
    "one_hot": lambda a, b, c: ops.one_hot(math.argmax(a, axis=1), 4),
    "ones_like": lambda a, b, c: math.ones_like(a),
    "pad": lambda a, b, c: fastnn.pad(a, [[0, 0], [1, 2]], constant_values=0.5),
    "power": lambda a, b, c: a**2 + a**b + 2**a + a**-0.5,
    "reciprocal": lambda a, b, c: math.reciprocal(a),
    "reduce_all": lambda a, b, c: math.reduce_all(a > 0.3, axis=1),
    "reduce_any": lambda a, b, c: math.reduce_any(a > 0.8, axis=1),
    "reduce_logsumexp": lambda a, b, c: math.reduce_logsumexp(c, axis=(1, 2)),
    "reduce_max": lambda a, b, c: c.max(axis=1),
    "reduce_mean": lambda a, b, c: fastnn.reduce_mean(c, axis=-1, keepdims=True),
    "reduce_min": lambda a, b, c: fastnn.reduce_min(input_tensor=a, axis=1),
    "reduce_prod": lambda a, b, c: a.prod(axis=1, keepdims=True),
    "reduce_std": lambda a, b, c: a.std(axis=1),
    "reduce_sum": lambda a, b, c: ops.sum(c, axis=1),
    "reduce_variance": lambda a, b, c: ops.var(a, axis=1),
    "relu": lambda a, b, c: nn.relu(c),
    "relu6": lambda a, b, c: nn.relu6(9 * c),
    "repeat": lambda a, b, c: fastnn.repeat(a, 2, axis=1),
    "reshape": lambda a, b, c: fastnn.reshape(c, (-1, 3, 2)) + c.reshape(-1, 6)[:, :1, None],
    "reverse": lambda a, b, c: fastnn.reverse(a, axis=[1]),
    "roll": lambda a, b, c: fastnn.roll(a, shift=1, axis=1),
    "round": lambda a, b, c: fastnn.round(a),
    "rsqrt": lambda a, b, c: math.rsqrt(a),
    "selu": lambda a, b, c: nn.selu(c),
    "sigmoid": lambda a, b, c: nn.sigmoid(c),
    "sigmoid_cross_entropy_with_logits": lambda a, b, c: nn.sigmoid_cross_entropy_with_logits(a, b),
    "sign": lambda a, b, c: fastnn.sign(c),
    "silu": lambda a, b, c: nn.silu(c),
    "sin": lambda a, b, c: fastnn.sin(c),
    "sinh": lambda a, b, c: math.sinh(a),
    "slice_of": lambda a, b, c: fastnn.slice(a, [0, 1], [-1, 2]),
    "softmax": lambda a, b, c: nn.softmax(a) + nn.softmax(c, axis=1)[:, 0, :1],
    "softmax_cross_entropy_with_logits": lambda a, b, c: nn.softmax_cross_entropy_with_logits(a, b),
    "softplus": lambda a, b, c: math.softplus(c),
    "softsign": lambda a, b, c: math.softsign(c),
    "sort": lambda a, b, c: fastnn.sort(a, direction="DESCENDING"),
    "sparse_softmax_cross_entropy_with_logits": lambda a, b, c: (
        nn.sparse_softmax_cross_entropy_with_logits(math.argmax(b, axis=1), a)
    ),
    "split": lambda a, b, c: math.add(*fastnn.split(a, 2, axis=1)),
    "sqrt": lambda a, b, c: fastnn.sqrt(a),
    "square": lambda a, b, c: fastnn.square(c),
    "squared_difference": lambda a, b, c: math.squared_difference(a, b),
    "squeeze": lambda a, b, c: fastnn.squeeze(a[:, 1:2], axis=1) + fastnn.squeeze(c[:, :1])[:, 0],
    "stack": lambda a, b, c: (
        fastnn.stack([a, b], axis=1) + fastnn.stack([a, b], axis=-1)[:, :1, :1]
    ),
    "stop_gradient": lambda a, b, c: a * fastnn.stop_gradient(b),
    "subtract": lambda a, b, c: a - b - 1 - (2 - a) - M[:, 1],
    "tan": lambda a, b, c: math.tan(a),
    "tanh": lambda a, b, c: fastnn.tanh(c),
    "tensordot": lambda a, b, c: fastnn.tensordot(a, M, axes=1),
    "tf.argmax": lambda a, b, c: fastnn.argmax(c, axis=2),
    "tf.argmin": lambda a, b, c: fastnn.argmin(c, axis=1),
    "tf.one_hot": lambda a, b, c: fastnn.one_hot(fastnn.argmax(a, axis=1), 4, on_value=2.0),
    "tf.ones_like": lambda a, b, c: fastnn.ones_like(a),
    "tf.zeros_like": lambda a, b, c: fastnn.zeros_like(a) + a,
    "tile": lambda a, b, c: (
        fastnn.tile(a, [1, 2]) + fastnn.tile(a[:, :1, None], [1, 2, 4])[:, 0, :1]
    ),
    "top_k": lambda a, b, c: ops.top_k(a, k=2).values,
    "transpose": lambda a, b, c: fastnn.transpose(c, (0, 2, 1)),
    "unstack": lambda a, b, c: math.multiply(*fastnn.unstack(c, axis=1)),
    "where": lambda a, b, c: fastnn.where(a > 0.5, a, -1.0),
    "zeros_like": lambda a, b, c: math.zeros_like(a) + a,
}
# They give one number for all rows, or take the lists of gradients.
NOT_OF_ROWS = {"clip_by_global_norm", "l2_loss"}


def test_the_cases_are_all_functions() -> None:
    assert set(CASES) | NOT_OF_ROWS == set(functions())


def symbols() -> list[Any]:
    return [fastnn.Input((4,)), fastnn.Input((4,)), fastnn.Input((2, 3))]


@pytest.mark.parametrize("name", sorted(CASES))
def test_each_function_computes_what_it_does_with_tensors(name: str) -> None:
    inputs = symbols()
    y = CASES[name](*inputs)
    if not y.layer.built and not y.inputs:  # x itself
        y = layers.Identity()(y)
    model = fastnn.Model(inputs, y, dtype="float64")
    sources = [fastnn.constant(array) for array in (A, B, C)]
    wanted = CASES[name](*sources)
    again = fastnn.Model.from_config(json.loads(json.dumps(model.get_config())))
    for one in (model, again):
        found = one(sources)
        assert found.shape == wanted.shape == (5, *y.row_shape), one
        assert y.dtype == ("float32" if wanted.dtype.kind == "f" else wanted.dtype.name)
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-15)
    grads = []
    for function in (model, lambda parts: CASES[name](*parts)):
        with fastnn.GradientTape() as tape:
            for source in sources:
                tape.watch(source)
            out = function(sources)
            # Numbers that are not all 1: softmax has no gradient of a sum.
            total = fastnn.reduce_sum(fastnn.cast(out, "float64") ** 2)
        grads.append(tape.gradient(total, sources))
    for x, found, expected in zip(sources, *grads, strict=True):
        zero = np.zeros(x.shape)
        np.testing.assert_allclose(
            zero if found is None else found, zero if expected is None else expected, atol=1e-12
        )


# -- models ----------------------------------------------------------------------------------------

X = ROWS.normal(size=(24, 4))
T = X[:, :2] * 2


def gated(dtype: str | None = "float64") -> Any:
    """Layers with functions between, of which some are native and some are not."""
    x = fastnn.Input((4,), name="x")
    h = layers.Dense(6, "tanh", name="hidden")(x)
    scale = fastnn.sqrt(1 + fastnn.reduce_mean(h**2, axis=1, keepdims=True))
    parts = [h / scale, h[:, ::-2], fastnn.math.log1p(fastnn.exp(x[:, 1:3])) * np.array([0.5, 2.0])]
    return fastnn.Model(x, layers.Dense(2, name="head")(fastnn.concat(parts, axis=-1)), dtype=dtype)


def by_hand(x: Any, k: Any, b: Any, k2: Any, b2: Any) -> Any:
    h = fastnn.tanh(x @ k + b)
    scale = fastnn.sqrt(1 + fastnn.reduce_mean(h * h, axis=1, keepdims=True))
    c = fastnn.math.log1p(fastnn.exp(x[:, 1:3])) * np.array([0.5, 2.0])
    return fastnn.concat([h / scale, h[:, ::-2], c], axis=1) @ k2 + b2


def test_fit_follows_steps_by_hand() -> None:
    model = gated()
    weights = [fastnn.Variable(w) for w in model.get_weights()]
    model.compile(fastnn.optimizers.SGD(0.1), "mse")
    history = model.fit(X, T, batch_size=24, epochs=3, shuffle=False, verbose=0).history
    for value in history["loss"]:
        with fastnn.GradientTape() as tape:
            loss = fastnn.reduce_mean((by_hand(fastnn.constant(X), *weights) - T) ** 2)
        np.testing.assert_allclose(value, loss, rtol=1e-12)
        for weight, grad in zip(weights, tape.gradient(loss, weights), strict=True):
            weight.assign(weight - 0.1 * grad)
    for found, wanted in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_files_copies_clones_and_pictures(tmp_path: Path) -> None:
    model = gated(None)
    model.compile("adam", "mse")
    model.fit(X, T, verbose=0)
    model.save(tmp_path / "model.safetensors")
    clone = fastnn.models.clone_model(model)
    clone.set_weights(model.get_weights())
    others = [
        fastnn.load_model(tmp_path / "model.safetensors"),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        clone,
    ]
    for other in others:
        assert [layer.name for layer in other.layers] == [layer.name for layer in model.layers]
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
    wanted = model.fit(X, T, verbose=0).history
    assert [other.fit(X, T, verbose=0).history for other in others[:3]] == [wanted] * 3
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    for told in ("mean (Operation)", "true_divide (Operation)", "slice (Slice)"):
        assert told in text
    model.plot(tmp_path / "model.svg")
    assert "true_divide" in (tmp_path / "model.svg").read_text()


def test_parts_of_such_a_model_are_symbols_for_others() -> None:
    model = gated()
    x, hidden = fastnn.constant(X), model.get_layer("hidden")
    assert model.get_layer("true_divide").input[0].shape == (None, 6)
    features = fastnn.Model(model.input, [hidden.output, model.get_layer("true_divide").output])
    h, normed = features(x)
    np.testing.assert_array_equal(h, hidden(x))
    np.testing.assert_allclose(
        normed, h.numpy() / np.sqrt(1 + np.mean(h.numpy() ** 2, 1, keepdims=True)), rtol=1e-12
    )
    head = fastnn.Model(model.inputs, layers.Dense(1)(model.output), dtype="float64")
    assert head(x).shape == (24, 1)
    again = fastnn.Input((4,))
    outer = fastnn.Model(again, model(2 * again) - fastnn.sqrt(model(again) ** 2))
    np.testing.assert_allclose(
        outer(x), model(2 * x).numpy() - np.abs(model(x).numpy()), rtol=1e-10
    )
    assert len(outer.weights) == 4


def test_what_is_native_trains_natively() -> None:
    class Net(fastnn.Model):
        def __init__(self) -> None:
            super().__init__(seed=1, dtype="float64")
            self.hidden, self.head = layers.Dense(6), layers.Dense(2)

        def call(self, inputs: Any) -> Any:
            h = fastnn.nn.relu(self.hidden(inputs)) ** 2
            left, right = fastnn.split(h, 2, axis=1)
            parts = [left * right, np.tanh(inputs), fastnn.expand_dims(h, 1)[:, 0, 2:4] / 2]
            return self.head(ops.concatenate(parts, axis=-1))

    model = Net()
    eager = fastnn.constant(model.predict(X))
    np.testing.assert_allclose(model.call(fastnn.constant(X)), eager, rtol=1e-12)
    model.compile("sgd", "mse")
    found = model.value_and_grad(X, T)
    with fastnn.GradientTape() as tape:
        loss = fastnn.reduce_mean((model.call(fastnn.constant(X)) - T) ** 2)
    np.testing.assert_allclose(found[0], loss, rtol=1e-12)
    wanted = tape.gradient(loss, model.trainable_variables)
    for ours, theirs in zip(found[1], wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-14)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, T, verbose=0)
    assert model.layers == [model.hidden, model.head]  # and none that functions made
    assert model.count_params() == sum(v.size for v in model.hidden.weights + model.head.weights)


# -- wrong use -------------------------------------------------------------------------------------

ELSEWHERE = "layers.Lambda, or the `call` of a class derived from layers.Layer"
WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "bool": (
        lambda x: 1 if x > 0 else 2,
        f"neither true nor false.* fastnn.where, or .*{ELSEWHERE}",
    ),
    "float": (float, rf"float\(\) of a symbol: it has no numbers; a {ELSEWHERE}"),
    "numpy": (lambda x: x.numpy(), f"a symbol has no 'numpy'.*{ELSEWHERE}"),
    "array": (np.asarray, f"no numbers to compute with.*{ELSEWHERE}"),
    "loop": (list, f"no loop over it; fastnn.unstack.*{ELSEWHERE}"),
    "len": (len, rf"the number of rows, which is not known; its shape is \(None, 4\).*{ELSEWHERE}"),
    "rows": (
        fastnn.reduce_mean,
        r"mean: it gives shape \(\) for 2 rows.*Leave axis 0.*layers.Lambda",
    ),
    "first": (lambda x: x[0], r"get_item: it gives shape \(4,\) for 2 rows"),
    "crossed": (lambda x: x @ fastnn.transpose(x), "transpose: it gives shape"),
    "fft": (np.fft.fft, f"np.fft.fft of a symbol.*{ELSEWHERE}"),
    "mask": (lambda x: fastnn.boolean_mask(x, x[:, 0] > 0), f"no function of rows.*{ELSEWHERE}"),
    "noise": (lambda x: fastnn.nn.dropout(x, 0.5), "draws at once.* use a layers.Dropout"),
    "variable": (
        lambda x: x * fastnn.Variable(2.0),
        "multiply: a Variable beside a symbol.*add_weight",
    ),
    "of a variable": (
        lambda x: fastnn.Variable(2.0) * x,
        "a Variable beside a symbol.*layers.Layer",
    ),
    "large": (lambda x: x @ np.ones((4, 2000)), "matmul: b: an array of 8000 numbers.*add_weight"),
    "shapes": (lambda x: x @ np.ones((3, 2)), r"matmul: of symbols of shape \(None, 4\): matmul: "),
    "axis": (lambda x: fastnn.reduce_sum(x, axis=2), r"sum: of symbols of shape \(None, 4\)"),
    "argument": (lambda x: ops.sum(x, axes=1), "unexpected keyword argument 'axes'"),
    "word": (lambda x: fastnn.sort(x, direction="UP"), "direction"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_says_what_to_write(name: str) -> None:
    function, message = WRONG[name]
    with pytest.raises((TypeError, ValueError, IndexError, AttributeError), match=message):
        function(fastnn.Input((4,)))


def test_an_operation_by_hand() -> None:
    layer = layers.Operation(fastnn.math.clip_by_value, {"low": 0.0, "high": np.float32(1.5)})
    assert layer([[-1.0, 2.0]]).tolist() == [[0.0, 1.5]]
    both = layers.Operation("power", {"a": {"input": 1}, "b": {"input": 0}})
    assert both([[[2.0]], [[3.0]]]).tolist() == [[9.0]]
    assert both.compute_output_shape([(None, 3), (None, 1)]) == (None, 3)
    for made in (lambda: layers.Operation("sqrtt"), lambda: layers.Operation("sqrt", {"y": 1})):
        with pytest.raises(ValueError, match="unknown name"):
            made()
    with pytest.raises(ValueError, match=r"expected a function of fastnn.math"):
        layers.Operation(np.tanh)
    with pytest.raises(TypeError, match="expected a list of 2 inputs"):
        both([[1.0]])


def test_outputs_have_the_names_of_their_layers() -> None:
    x = fastnn.Input((4,))
    h = layers.Dense(2, name="h")(x)
    model = fastnn.Model(x, [h, fastnn.cos(h), x, fastnn.cos(h)])
    model.compile("sgd", ["mse", "mae", None, None])
    history = model.fit(X, [T, T, None, None], verbose=0).history
    assert list(history) == ["loss", "h_loss", "cos_loss"]
    single = fastnn.Model(x, fastnn.cos(h))
    single.compile("sgd", {"cos": "mse"})
    with pytest.raises(ValueError, match=r"unknown name 'sine', .*cos"):
        single.compile("sgd", {"sine": "mse"})


def test_gelu_has_keras_own_default() -> None:
    x = fastnn.constant([0.5, -1.0])
    np.testing.assert_array_equal(ops.gelu(x), math.gelu(x, approximate=True))
    np.testing.assert_array_equal(ops.gelu(x, approximate=False), math.gelu(x))


def test_a_chain_with_a_function() -> None:
    product = layers.Operation("multiply", {"b": np.arange(4.0)})
    chain = fastnn.Sequential([layers.Dense(4), layers.Operation("cos"), product, layers.Dense(2)])
    with pytest.raises(AttributeError, match="until it is built"):
        _ = chain.input
    chain.compile("sgd", "mse")
    chain.fit(X, T, verbose=0)
    features = fastnn.Model(chain.inputs, [chain.layers[1].output, chain.output])
    cosine, y = features(X.astype("float32"))
    np.testing.assert_allclose(cosine, np.cos(chain.layers[0](X.astype("float32"))), rtol=1e-6)
    np.testing.assert_array_equal(y, chain.predict(X))
    assert product.input is chain.layers[1].output
    assert chain.layers[1].output_shape == (None, 4)
    with pytest.raises(ValueError, match="Operation takes several inputs"):
        fastnn.Sequential([layers.Operation("add", {"a": {"input": 0}, "b": {"input": 1}})])


# Names of Keras for what NumPy has, of numbers c (n, 2, 3).
NUMPY: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "flip": (lambda c: ops.flip(c, axis=(1, 2)), lambda c: np.flip(c, (1, 2))),
    "full_like": (lambda c: ops.full_like(c, 2.5), lambda c: np.full_like(c, 2.5)),
    "moveaxis": (lambda c: ops.moveaxis(c, -1, 1), lambda c: np.moveaxis(c, -1, 1)),
    "norm": (lambda c: ops.norm(c, axis=-1), lambda c: np.linalg.norm(c, axis=-1)),
    "swapaxes": (lambda c: ops.swapaxes(c, 1, -1), lambda c: np.swapaxes(c, 1, -1)),
    "take": (lambda c: ops.take(c, [2, 0], axis=-1), lambda c: np.take(c, [2, 0], axis=-1)),
}


@pytest.mark.parametrize("name", NUMPY)
def test_names_of_keras_are_those_of_numpy(name: str) -> None:
    function, wanted = NUMPY[name]
    c = fastnn.Input((2, 3))
    model = fastnn.Model(c, function(c), dtype="float64")
    for found in (function(fastnn.constant(C)), model(C)):
        np.testing.assert_allclose(found, wanted(C), rtol=1e-12)
    four = np.arange(24.0).reshape(1, 2, 3, 4)
    for source, to in ((1, 3), ((3, 1), (1, 2)), ([2], [-1])):
        np.testing.assert_array_equal(ops.moveaxis(four, source, to), np.moveaxis(four, source, to))
    assert ops.take(C, [3, 1]).tolist() == np.take(C, [3, 1]).tolist()
    assert ops.flip(C).tolist() == np.flip(C).tolist()
    assert ops.full_like([1, 2], 7.9).tolist() == [7, 7]
