"""`Network.record`: outputs and gradients of a pass that is kept, against finite differences and
the gradients that training uses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import networks
import numpy as np
import pytest

import fastnn
from fastnn import _core
from fastnn.data.table import Table

WIDTHS, ACTIVATIONS = (5, 16, 3), ("gelu", "linear")
ROWS = 300  # more than one shard of a pass


def drawn(dtype, rng, dropout=0.0):
    native = networks.chain(WIDTHS, ACTIVATIONS, dtype, dropout=dropout)
    native.write([0.5 * rng.normal(size=s) for _, s in native.network.parameters])
    return native, rng.normal(size=(ROWS, WIDTHS[0])).astype(dtype)


def graph_of_all_kinds(rng):
    """A gated residual block with layer normalization over rescaled input, and columns of the input
    beside it, in float64."""
    network = _core.Network(6, "float64", 3)
    x = network.rescale(0, 2.0, 0.5)
    hidden = network.dense(x, 6, "silu", use_bias=True)
    gated = network.multiply(hidden, network.maximum(x, 0), network.average(0, hidden, x))
    x = network.layer_normalization(network.add(x, gated))
    x = network.concatenate(
        [network.slice(0, 1, 4), x, network.slice(x, 2, 1), network.slice(0, 0, 2)]
    )
    network.set_output(network.dense(x, 2, "linear", use_bias=True))
    native = networks.bound(network, "float64")
    native.write([rng.normal(size=s) for _, s in network.parameters])
    return native, rng.normal(size=(7, 6))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_are_those_of_a_loss(dtype, rng):
    native, x = drawn(dtype, rng)
    targets = rng.normal(size=(ROWS, WIDTHS[-1])).astype(dtype)
    recorded = native.network.record(networks.rows(x, targets))
    np.testing.assert_array_equal(
        recorded.outputs, native.network.predict(networks.rows(x, targets)), strict=True
    )
    networks.compile_native(native.network, loss="mean_squared_error")
    _, expected = native.network.gradients(networks.rows(x, targets))
    dy = 2 * (recorded.outputs - targets) / targets.size
    dx, *grads = recorded.pull(dy.astype(dtype))
    assert dx.shape == x.shape
    rtol = 1e-4 if dtype == "float32" else 1e-12
    for dw, right in zip(grads, native.split(expected), strict=True):
        np.testing.assert_allclose(dw, right, rtol=rtol, atol=rtol * 1e-2, strict=True)
    assert dx.dtype == dtype


def test_gradients_at_inputs_and_parameters(rng):
    """Central differences of sum(dy * outputs), through every kind of node that has a gradient."""
    native, x = graph_of_all_kinds(rng)
    targets = np.zeros((7, 2))
    dy = rng.normal(size=(7, 2))

    def total(rows):
        return np.sum(dy * native.network.record(networks.rows(rows, targets)).outputs)

    recorded = native.network.record(networks.rows(x, targets))
    dx, *by_weight = recorded.pull(dy)
    step = 1e-5
    for i, j in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[i, j] = step
        numeric = (total(x + moved) - total(x - moved)) / (2 * step)
        np.testing.assert_allclose(dx[i, j], numeric, rtol=1e-6, atol=1e-8)
    weights = native.read()
    for w, dw in zip(weights, by_weight, strict=True):
        at = tuple(rng.integers(s) for s in w.shape)
        before = w[at]
        ends = []
        for sign in (1, -1):
            w[at] = before + sign * step
            native.write(weights)
            ends.append(total(x))
        w[at] = before
        native.write(weights)
        numeric = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(dw[at], numeric, rtol=1e-6, atol=1e-8)


def test_outputs_stay_and_gradients_may_be_asked_for_twice(rng):
    """Until weights are written: the pass reads them where they are."""
    native, x = drawn("float32", rng)
    recorded = native.network.record(networks.rows(x, np.zeros((ROWS, 3), "f4")))
    dy = rng.normal(size=(ROWS, 3)).astype("f4")
    outputs, found = recorded.outputs, recorded.pull(dy)
    for first, again in zip(found, recorded.pull(dy), strict=True):
        np.testing.assert_array_equal(first, again)
    native.write([w + 1 for w in native.read()])
    np.testing.assert_array_equal(recorded.outputs, outputs)
    with pytest.raises(RuntimeError, match="the parameters were changed after they were used"):
        recorded.pull(dy)


def test_the_memory_of_a_pass_serves_the_next(rng):
    """Passes of fewer and more rows, two at a time, and of a network that changed in between."""
    native, x = drawn("float32", rng, dropout=0.5)
    cases = [(300, True), (17, True), (300, False), (1, True), (299, True)]

    def grads(network, n, input_gradient):
        data = networks.rows(x[:n], np.zeros((n, 3), "f4"))
        recorded = network.record(data, training=True, input_gradient=input_gradient)
        return recorded, recorded.pull(np.ones((n, 3), "f4"))

    native.network.steps = 0
    found = []
    for n, input_gradient in cases:  # each frees its memory for the next
        found.append(grads(native.network, n, input_gradient)[1])
    native.network.steps = 0
    kept = [grads(native.network, n, input_gradient) for n, input_gradient in cases]  # none does
    for one, (_, other) in zip(found, kept, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    del kept
    flags = [True] * len(native.network.parameters)
    native.network.set_trainable([False, *flags[1:]])
    dw, *others = grads(native.network, 300, True)[1][1:]
    assert not dw.any()
    assert all(other.any() for other in others)


def test_dropout_acts_where_asked(rng):
    """Units that a mask silences have no gradient, in one pass as in the other."""
    native, x = drawn("float64", rng, dropout=0.5)
    data = networks.rows(x, np.zeros((ROWS, 3)))
    np.testing.assert_array_equal(native.network.record(data).outputs, native.network.predict(data))
    recorded = native.network.record(data, training=True)
    assert np.abs(recorded.outputs - native.network.predict(data)).max() > 0.1
    # The outputs are linear in the weights of the last layer: sum(w * dw) + sum(b * db) is
    # sum(dy * outputs), with the mask of the same pass.
    dy = rng.normal(size=(ROWS, 3))
    grads = recorded.pull(dy)[3:]
    weights = native.read()[2:]
    linear = sum(np.sum(w * dw) for w, dw in zip(weights, grads, strict=True))
    np.testing.assert_allclose(linear, np.sum(dy * recorded.outputs), rtol=1e-12)


def test_threads_take_turns(rng):
    """Gradients of one pass, asked for by several threads at once, are those of one thread."""
    native, _ = drawn("float32", rng)
    x = rng.normal(size=(5000, WIDTHS[0])).astype("f4")
    recorded = native.network.record(networks.rows(x, np.zeros((len(x), 3), "f4")))
    asked = [rng.normal(size=(len(x), 3)).astype("f4") for _ in range(24)]
    expected = [recorded.pull(dy) for dy in asked]
    with ThreadPoolExecutor(4) as pool:
        for found, right in zip(pool.map(recorded.pull, asked), expected, strict=True):
            for one, other in zip(found, right, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", [(ROWS, 2), (ROWS - 1, 3), (3,)])
def test_shape_of_the_gradient(shape, rng):
    native, x = drawn("float32", rng)
    recorded = native.network.record(networks.rows(x, np.zeros((ROWS, 3), "f4")))
    with pytest.raises(ValueError, match=rf"dy.*\({ROWS}, 3\).*{shape[0]}"):
        recorded.pull(np.zeros(shape, "f4"))


def test_type_of_the_gradient(rng):
    native, x = drawn("float32", rng)
    recorded = native.network.record(networks.rows(x, np.zeros((ROWS, 3), "f4")))
    with pytest.raises(ValueError, match=r"dy.*float32.*float64"):
        recorded.pull(np.zeros((ROWS, 3)))


def test_no_gradient_at_the_rows(rng):
    """Without `input_gradient` the parameters have the same gradients."""
    model = fastnn.Sequential(
        [fastnn.layers.Dense(3, "tanh", input_shape=(4,)), fastnn.layers.Dense(2)]
    )
    data = Table(rng.normal(size=(5, 4)).astype("f4")).native()
    dy = rng.normal(size=(5, 2)).astype("f4")
    whole = model.network.record(data).pull(dy)
    dx, *grads = model.network.record(data, input_gradient=False).pull(dy)
    assert dx is None
    for dw, right in zip(grads, whole[1:], strict=True):
        np.testing.assert_array_equal(dw, right)


def test_passes_in_training_count_as_steps(rng):
    model = fastnn.Sequential([fastnn.layers.Dropout(0.5, input_shape=(40,))])
    data = Table(rng.normal(size=(5, 40)).astype("f4")).native()
    first, second = (model.network.record(data, training=True).outputs for _ in range(2))
    assert (first != second).any()
    assert model.network.steps == 2
    model.network.record(data)
    assert model.network.steps == 2
