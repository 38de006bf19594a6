"""The gradients of whole networks: central differences in float64, the oracle in both types."""

from __future__ import annotations

import cases
import networks
import numpy as np
import pytest
import reference
from tolerances import check

from fastnn import _core

pytestmark = pytest.mark.isa

# (loss, activation of the last layer, options of the loss)
HEADS = [
    ("softmax_cross_entropy", "softmax", {}),
    ("softmax_cross_entropy", "linear", {}),
    ("softmax_cross_entropy", "tanh", {}),
    ("softmax_cross_entropy", "sigmoid", {"label_smoothing": 0.1}),
    ("softmax_cross_entropy", "softmax", {"ignore_class": 1}),
    ("sigmoid_cross_entropy", "sigmoid", {}),
    ("sigmoid_cross_entropy", "linear", {"label_smoothing": 0.2}),
    ("sigmoid_cross_entropy", "sigmoid", {"pos_weight": np.array([0.5, 1.0, 3.0])}),
    ("sigmoid_cross_entropy", "gelu", {}),
    ("mean_squared_error", "linear", {}),
    ("mean_squared_error", "sigmoid", {}),
    ("mean_squared_error", "softmax", {}),
    ("mean_squared_error", "silu", {}),
]


def compiled(widths, activations, loss, options, dtype="float64", **more):
    native = networks.chain(widths, activations, dtype, **more)
    networks.compile_native(native.network, loss=loss, optimizer="sgd", **options)
    return native


def away_from_kinks(network, widths, n, rng):
    """Weights and inputs whose pre-activations all keep their distance from zero."""
    for _ in range(200):
        weights = cases.glorot(rng, widths, network.use_bias)
        x = rng.normal(size=(n, widths[0]))
        if network.margin(weights, x) > 2e-3:
            return weights, x
    raise AssertionError("no draw keeps clear of the kinks")


def numeric(native, data, step=1e-4):
    """Central differences of the loss in every parameter, written through the buffer."""
    weights = native.read()
    result = []
    for k, w in enumerate(weights):

        def loss(value, k=k):
            native.write([*weights[:k], value, *weights[k + 1 :]])
            return native.network.gradients(data)[0]

        result.append(cases.gradient(loss, w, step))
    native.write(weights)
    return result


def against_differences(native, data):
    _, flat = native.network.gradients(data)
    expected = numeric(native, data)
    for k, (g, e) in enumerate(zip(native.split(flat), expected, strict=True)):
        check(g, e, "central difference", "float64", what=f"parameter {k}")


@pytest.mark.parametrize("activation", cases.BENT_AT_ZERO)
def test_every_activation(activation, rng):
    network = reference.Network((activation, activation, "linear"), "mean_squared_error")
    widths = (4, 5, 3, 2)
    native = compiled(widths, network.activations, network.loss, {})
    weights, x = away_from_kinks(network, widths, 6, rng)
    native.write(weights)
    y = rng.normal(size=(6, 2))
    data = networks.rows(x, y)
    against_differences(native, data)
    loss, flat = native.network.gradients(data)
    want, gradients = network.value_and_grad(weights, x, y)
    check(loss, want, "network", "float64")
    for g, e in zip(native.split(flat), gradients, strict=True):
        check(g, e, "network", "float64")


@pytest.mark.parametrize("use_bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize(
    ("loss", "head", "options"), HEADS, ids=[f"{h[0]}-{h[1]}-{'-'.join(h[2])}" for h in HEADS]
)
def test_every_head(loss, head, options, weighted, use_bias, rng):
    network = reference.Network(("tanh", head), loss, use_bias, options)
    widths, n = (4, 5, 3), 7
    native = compiled(widths, network.activations, loss, options, use_bias=use_bias)
    weights = cases.glorot(rng, widths, use_bias)
    native.write(weights)
    x, y = rng.normal(size=(n, 4)), cases.targets_for(loss, n, 3, rng)
    if loss == "sigmoid_cross_entropy":
        y[2, 1] = np.nan
    w = np.array([1, 0, 2.5, 1, 0.1, 3, 1]) if weighted else None
    data = networks.rows(x, y, w)
    against_differences(native, data)
    value, flat = native.network.gradients(data)
    want, gradients = network.value_and_grad(weights, x, y, w)
    check(value, want, "network", "float64")
    for g, e in zip(native.split(flat), gradients, strict=True):
        check(g, e, "network", "float64")


ROWS = (1, 7, 65, 257)
WIDTHS = ((1, 1), (1, 1, 1), (17, 33, 9), (64, 130, 10), (3, 257, 2))
MANY_CLASSES = [
    pytest.param((7, 40, 4100), n, marks=pytest.mark.slow if n > 1 else [], id=f"7x40x4100-{n}")
    for n in ROWS
]


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize(
    ("widths", "n"),
    [*(pytest.param(w, n, id=f"{cases.name(w)}-{n}") for w in WIDTHS for n in ROWS), *MANY_CLASSES],
)
def test_against_the_oracle(widths, n, dtype, rng):
    """Sizes at which vectors end and blocks begin."""
    for loss in reference.LOSSES:
        if loss == "cosine_similarity" and widths[-1] == 1:
            continue  # a single number has no direction: the gradient is 0 but for rounding
        activations = ("gelu",) * (len(widths) - 2) + (cases.head_for(loss),)
        network = reference.Network(activations, loss)
        of_loss = (*widths[:-1], cases.outputs_for(loss, widths[-1]))
        native = compiled(of_loss, activations, loss, {}, dtype)
        native.write(cases.glorot(rng, of_loss))
        weights = native.read()
        x = rng.normal(size=(n, widths[0])).astype(dtype)
        y = cases.targets_for(loss, n, widths[-1], rng)
        value, flat = native.network.gradients(networks.rows(x, y))
        want, gradients = network.value_and_grad(weights, x, y.astype(dtype) if y.ndim == 2 else y)
        check(value, want, "network", dtype, what=loss)
        scale = max(np.abs(e).max() for e in gradients)  # of one output all may cancel
        family = "network of directions" if loss == "cosine_similarity" else "network"
        for g, e in zip(native.split(flat), gradients, strict=True):
            check(g, e, family, dtype, scale=scale, what=loss)


def branching(dtype):
    """Two skips, one tensor added to itself, one used three times, one not used."""
    network = _core.Network(5, dtype, 3)
    a = network.dense(0, 6, "tanh")
    b = network.dense(a, 6, "gelu")
    c = network.add(a, b)
    d = network.dense(c, 6, "silu", use_bias=False)
    network.dense(a, 4, "tanh")  # leads nowhere
    e = network.add(network.add(d, d), network.dense(0, 6, "linear"))
    f = network.activation(network.add(e, a), "softplus")
    network.set_output(network.dense(f, 3, "softmax"))
    return networks.bound(network, dtype)


def branching_oracle(weights, x):
    """The same graph, forward alone: central differences do the rest."""
    w = iter(weights)
    a = reference.dense_forward(x, next(w), next(w), "tanh")
    b = reference.dense_forward(a, next(w), next(w), "gelu")
    d = reference.dense_forward(a + b, next(w), None, "silu")
    next(w), next(w)
    e = d + d + reference.dense_forward(x, next(w), next(w))
    f = reference.activation_forward(e + a, "softplus")
    return reference.dense_forward(f, next(w), next(w), "softmax")


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_branching_graph_forward(dtype, rng):
    native = branching(dtype)
    weights = [0.5 * rng.normal(size=s) for _, s in native.network.parameters]
    native.write(weights)
    x = rng.normal(size=(33, 5)).astype(dtype)
    networks.compile_native(native.network, loss="softmax_cross_entropy", optimizer="sgd")
    p = native.network.predict(_core.Data(x))
    assert p.dtype == dtype
    check(p, branching_oracle(native.read(), x), "network", dtype)


def test_branching_graph_gradients(rng):
    native = branching("float64")
    native.write([0.5 * rng.normal(size=s) for _, s in native.network.parameters])
    networks.compile_native(native.network, loss="softmax_cross_entropy", optimizer="sgd")
    x, y = rng.normal(size=(6, 5)), rng.integers(0, 3, 6)
    data = networks.rows(x, y)
    against_differences(native, data)
    loss, flat = native.network.gradients(data)
    p = branching_oracle(native.read(), x)
    check(loss, -np.log(p[np.arange(6), y]).mean(), "network", "float64")
    nowhere = native.split(flat)[5:7]
    assert all((g == 0).all() for g in nowhere), "a layer that leads nowhere has no gradient"


def test_input_used_by_a_skip(rng):
    """Tensor 0 itself may be added, and activated."""
    network = _core.Network(4, "float64", 1)
    h = network.add(0, network.dense(network.activation(0, "gelu"), 4, "tanh"))
    network.set_output(network.dense(h, 2, "linear"))
    native = networks.bound(network, "float64")
    native.write([rng.normal(size=s) for _, s in network.parameters])
    networks.compile_native(network, loss="mean_squared_error", optimizer="sgd")
    against_differences(native, networks.rows(rng.normal(size=(5, 4)), rng.normal(size=(5, 2))))


@pytest.mark.parametrize("head", ["linear", "sigmoid"])
def test_output_without_a_dense_layer_at_the_end(head, rng):
    """A sigmoid that is a node of its own is folded like one inside a layer."""
    network = _core.Network(3, "float64", 1)
    network.set_output(network.activation(network.dense(0, 2, "linear"), head))
    native = networks.bound(network, "float64")
    native.write([rng.normal(size=s) for _, s in network.parameters])
    networks.compile_native(network, loss="sigmoid_cross_entropy", optimizer="sgd")
    x, y = 30 * rng.normal(size=(6, 3)), rng.integers(0, 2, (6, 2)).astype(float)
    loss, flat = network.gradients(networks.rows(x, y))
    oracle = reference.Network(("linear",), "sigmoid_cross_entropy")
    want, gradients = oracle.value_and_grad(native.read(), x, y)
    check(loss, want, "network", "float64")
    for g, e in zip(native.split(flat), gradients, strict=True):
        check(g, e, "network", "float64")


def test_dropout_is_differentiated(rng):
    """The mask of a step is fixed, so central differences hold with dropout at work."""
    native = networks.chain((4, 6, 5, 2), ("tanh", "silu", "linear"), "float64", dropout=0.4)
    native.write(cases.glorot(rng, (4, 6, 5, 2)))
    networks.compile_native(native.network, loss="mean_squared_error", optimizer="sgd")
    data = networks.rows(rng.normal(size=(8, 4)), rng.normal(size=(8, 2)))
    loss, flat = native.network.gradients(data, training=True)
    assert loss != native.network.gradients(data)[0], "dropout did not act"
    weights = native.read()
    for k, g in enumerate(native.split(flat)):

        def f(value, k=k):
            native.write([*weights[:k], value, *weights[k + 1 :]])
            return native.network.gradients(data, training=True)[0]

        check(g, cases.gradient(f, weights[k]), "central difference", "float64")


def test_rescaled_input(rng):
    network = _core.Network(3, "float64", 1)
    network.set_output(network.dense(network.rescale(0, 0.5, -2.0), 2, "tanh"))
    native = networks.bound(network, "float64")
    native.write([rng.normal(size=s) for _, s in network.parameters])
    networks.compile_native(network, loss="mean_squared_error", optimizer="sgd")
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    oracle = reference.Network(("tanh",), "mean_squared_error")
    want, gradients = oracle.value_and_grad(native.read(), 0.5 * x - 2.0, y)
    loss, flat = network.gradients(networks.rows(x, y))
    check(loss, want, "network", "float64")
    for g, e in zip(native.split(flat), gradients, strict=True):
        check(g, e, "network", "float64")


def test_rescaling_between_layers(rng):
    network = _core.Network(3, "float64", 1)
    hidden = network.rescale(network.dense(0, 4, "tanh"), -1.5, 0.25)
    both = network.add(hidden, network.rescale(hidden, 0.5, 0.0))
    network.set_output(network.rescale(network.dense(both, 2, "linear"), 3.0, 1.0))
    native = networks.bound(network, "float64")
    native.write([rng.normal(size=s) for _, s in network.parameters])
    networks.compile_native(network, loss="mean_squared_error", optimizer="sgd")
    x = rng.normal(size=(6, 3))
    w0, b0, w1, b1 = native.read()
    hidden = -1.5 * np.tanh(x @ w0 + b0) + 0.25
    want = 3.0 * (1.5 * hidden @ w1 + b1) + 1.0
    np.testing.assert_allclose(network.predict(_core.Data(x)), want, rtol=1e-12)
    against_differences(native, networks.rows(x, rng.normal(size=(6, 2))))


def test_rows_that_count(rng):
    """`rows` picks and orders, and may name a row twice."""
    oracle = reference.Network(("tanh", "softmax"), "softmax_cross_entropy")
    native = compiled((4, 5, 3), oracle.activations, oracle.loss, {})
    native.write(cases.glorot(rng, (4, 5, 3)))
    x, y, w = rng.normal(size=(9, 4)), rng.integers(0, 3, 9), rng.random(9)
    order = np.array([8, 2, 2, 5, 0])
    loss, flat = native.network.gradients(networks.rows(x, y, w, order))
    want, gradients = oracle.value_and_grad(native.read(), x[order], y[order], w[order])
    check(loss, want, "network", "float64")
    for g, e in zip(native.split(flat), gradients, strict=True):
        check(g, e, "network", "float64")


def test_nothing_is_changed_by_a_gradient(rng):
    native = compiled((4, 5, 3), ("tanh", "softmax"), "softmax_cross_entropy", {})
    native.write(cases.glorot(rng, (4, 5, 3)))
    before, version = native.read(), native.parameters.version
    data = networks.rows(rng.normal(size=(6, 4)), rng.integers(0, 3, 6))
    first = native.network.gradients(data)
    second = native.network.gradients(data)
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])
    assert (native.network.steps, native.network.epochs) == (0, 0)
    assert native.parameters.version == version
    for b, a in zip(before, native.read(), strict=True):
        np.testing.assert_array_equal(b, a)


PUBLIC = [
    ("sparse_categorical_crossentropy", "softmax_cross_entropy", "softmax"),
    ("sparse_categorical_crossentropy", "softmax_cross_entropy", None),
    ("binary_crossentropy", "sigmoid_cross_entropy", "sigmoid"),
    ("binary_crossentropy", "sigmoid_cross_entropy", None),
    ("mean_squared_error", "mean_squared_error", None),
]


@pytest.mark.parametrize(("loss", "op", "head"), PUBLIC)
def test_value_and_grad(loss, op, head, rng):
    """The public name gives the loss and one gradient per weight, in the order of the weights."""
    model = networks.sequential((4, 5, 3), ("silu", head), dtype="float64")
    model.compile(optimizer="sgd", loss=loss)
    weights = cases.glorot(rng, (4, 5, 3))
    model.set_weights(weights)
    x, y = rng.normal(size=(7, 4)), cases.targets_for(op, 7, 3, rng)
    value, gradients = model.value_and_grad(x, y)
    oracle = reference.Network(("silu", head or "linear"), op)
    want, expected = oracle.value_and_grad(weights, x, y)
    check(value, want, "network", "float64")
    assert [g.shape for g in gradients] == [w.shape for w in model.get_weights()]
    for k, (g, e) in enumerate(zip(gradients, expected, strict=True)):
        assert g.dtype == np.float64
        check(g, e, "network", "float64", what=f"gradient {k}")

        def f(value, k=k):
            model.set_weights([*weights[:k], value, *weights[k + 1 :]])
            return model.value_and_grad(x, y)[0]

        check(g, cases.gradient(f, weights[k]), "central difference", "float64")
        model.set_weights(weights)


def test_frozen_layers_have_zeros(rng):
    """In their places, as SciPy's optimizers want a gradient of one length."""
    model = networks.sequential((4, 5, 3), ("tanh", None))
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    _, gradients = model.value_and_grad(rng.normal(size=(6, 4)), rng.normal(size=(6, 3)))
    assert [g.shape for g in gradients] == [w.shape for w in model.get_weights()]
    assert [bool(g.any()) for g in gradients] == [False, False, True, True]
