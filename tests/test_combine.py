"""Nodes without parameters that have several inputs, or columns of one, by `Network.record`: values
and gradients against NumPy in float64, ties, NaN, and what the graph refuses."""

from __future__ import annotations

import networks
import numpy as np
import pytest
import reference

from fastnn import _core

pytestmark = pytest.mark.isa

WIDTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 129, 257)
TYPES = {"float32": 1e-6, "float64": 1e-15}
NAMES = tuple(reference.COMBINATIONS)


def parts_of(network, count, width):
    """Tensors that are columns of the input, `width` each."""
    return [network.slice(0, k * width, width) for k in range(count)]


def recorded(network, tensor, x, dy=None):
    """Outputs, and the gradient of x where dy is given."""
    network.set_output(tensor)
    native = networks.bound(network, x.dtype.name)
    data = networks.rows(x, np.zeros((len(x), network.width(tensor)), x.dtype))
    found = native.network.record(data)
    return found.outputs, None if dy is None else found.pull(dy.astype(x.dtype))[0]


def stacked(x, count):
    """(n, count * width) -> (count, n, width)."""
    return x.reshape(len(x), count, -1).transpose(1, 0, 2)


def side_by_side(operands):
    return operands.transpose(1, 0, 2).reshape(operands.shape[1], -1)


def check(name, operands, dtype, rng):
    count, n, width = operands.shape
    network = _core.Network(count * width, dtype, 0)
    tensor = getattr(network, name)(*parts_of(network, count, width))
    dy = rng.normal(size=(n, width)).astype(dtype)
    y, dx = recorded(network, tensor, np.ascontiguousarray(side_by_side(operands)), dy)
    tolerance = {"rtol": TYPES[dtype], "atol": 2 * TYPES[dtype]}
    np.testing.assert_allclose(y, reference.combine(name, operands), **tolerance)
    want = reference.combine_backward(dy, name, operands)
    np.testing.assert_allclose(stacked(dx, count), want, **tolerance)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", NAMES)
def test_combinations(name, dtype, rng):
    for n, width in zip(reversed(WIDTHS), WIDTHS, strict=True):
        for count in (2,) if name == "subtract" else (1, 2, 3):
            # Whole numbers, so that some are equal.
            check(name, rng.integers(-2, 3, (count, n, width)).astype(dtype), dtype, rng)
            check(name, rng.normal(size=(count, n, width)).astype(dtype), dtype, rng)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"subtract"}))
def test_as_many_as_there_may_be(name, rng):
    check(name, rng.integers(-1, 2, (64, 5, 3)) + 0.5, "float64", rng)
    network = _core.Network(65, "float32", 0)
    with pytest.raises(ValueError, match=rf"^{name}: expected at most 64 tensors, got 65$"):
        getattr(network, name)(*parts_of(network, 65, 1))


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_equal_numbers_share_the_gradient(name):
    x = np.array([[1.0, 1, 0], [2, 2, 2], [0, -0.0, 1e308], [-0.0, 0, 0]])
    if name == "minimum":
        x = -x
    network = _core.Network(3, "float64", 0)
    tensor = getattr(network, name)(*parts_of(network, 3, 1))
    _, dx = recorded(network, tensor, x, np.full((4, 1), 6.0))
    np.testing.assert_array_equal(dx, [[3, 3, 0], [2, 2, 2], [0, 0, 6], [2, 2, 2]])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", NAMES)
def test_nan_gives_nan(name, dtype):
    """In whichever operand it stands; an extreme's gradient is NaN then, as that of relu."""
    count = 2 if name == "subtract" else 3
    x = np.full((40, count), 2, dtype)
    for row in range(count):
        x[row * 7, row] = 0.9 * np.finfo(dtype).max
    network = _core.Network(count, dtype, 0)
    squares = network.multiply(0, 0)  # inf there
    made = network.add(0, network.subtract(squares, squares))
    parts = [network.slice(made, k, 1) for k in range(count)]
    y, dx = recorded(network, getattr(network, name)(*parts), x, np.ones((40, 1)))
    bad = (x > 2).any(1)
    np.testing.assert_array_equal(np.isnan(y[:, 0]), bad)
    if name in ("maximum", "minimum"):
        np.testing.assert_array_equal(np.isnan(dx), np.repeat(bad[:, None], count, 1))


@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_used_twice_by_one_node(name, rng):
    x, dy = rng.normal(size=(9, 17)), rng.normal(size=(9, 17))
    network = _core.Network(17, "float64", 0)
    y, dx = recorded(network, getattr(network, name)(0, 0), x, dy)
    np.testing.assert_allclose(y, reference.combine(name, [x, x]), rtol=1e-15)
    want = reference.combine_backward(dy, name, [x, x]).sum(0)
    np.testing.assert_allclose(dx, want, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", NAMES)
def test_one_column_beside_many(name, dtype, rng):
    """It counts for each of them, and its gradient is the sum."""
    for n, width in zip(reversed(WIDTHS), WIDTHS, strict=True):
        x = rng.integers(-2, 3, (n, width + 1)).astype(dtype)
        dy = rng.integers(-8, 9, (n, width))
        network = _core.Network(width + 1, dtype, 0)
        tensors = [network.slice(0, width, 1), network.slice(0, 0, width)]
        y, dx = recorded(network, getattr(network, name)(*tensors), x, dy)
        operands = [np.broadcast_to(x[:, width:], (n, width)), x[:, :width]]
        np.testing.assert_allclose(y, reference.combine(name, operands), rtol=TYPES[dtype])
        one, many = reference.combine_backward(dy, name, operands)
        want = np.hstack([many, one.sum(1, keepdims=True)])
        np.testing.assert_allclose(dx, want, rtol=TYPES[dtype], atol=16 * TYPES[dtype])
    assert network.layer == 3


# -- columns ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
def test_concatenate_and_slice(dtype, rng):
    for n, width in zip(reversed(WIDTHS), WIDTHS, strict=True):
        x = rng.normal(size=(n, 3 * width)).astype(dtype)
        network = _core.Network(3 * width, dtype, 0)
        first = network.slice(0, width // 2, width)
        joined = network.concatenate([0, first, 0, network.slice(first, width - 1, 1)])
        dy = rng.integers(-8, 9, (n, 7 * width + 1))
        y, dx = recorded(network, joined, x, dy)
        part = x[:, width // 2 : width // 2 + width]
        np.testing.assert_array_equal(y, np.hstack([x, part, x, part[:, -1:]]))
        want = dy[:, : 3 * width] + dy[:, 4 * width : 7 * width]
        want[:, width // 2 : width // 2 + width] += dy[:, 3 * width : 4 * width]
        want[:, width // 2 + width - 1] += dy[:, -1]
        np.testing.assert_array_equal(dx, want)


@pytest.mark.parametrize("times", [1, 2, 5])
def test_repeat(times, rng):
    for n, width in zip(reversed(WIDTHS), WIDTHS, strict=True):
        x, dy = rng.normal(size=(n, width)), rng.integers(-8, 9, (n, times * width))
        network = _core.Network(width, "float64", 0)
        y, dx = recorded(network, network.repeat(0, times), x, dy)
        np.testing.assert_array_equal(y, np.tile(x, (1, times)))
        np.testing.assert_array_equal(dx, dy.reshape(n, times, width).sum(1))


def test_slices_that_leave_columns_out(rng):
    """Columns that no slice reads have a gradient of zero, not one of an earlier pass."""
    x = rng.normal(size=(5, 9))
    network = _core.Network(9, "float64", 0)
    network.set_output(network.concatenate([network.slice(0, 6, 2), network.slice(0, 1, 3)]))
    found = networks.bound(network, "float64").network.record(networks.rows(x, np.zeros((5, 5))))
    for dy in (np.full((5, 5), np.nan), np.ones((5, 5))):
        dx = found.pull(dy)[0]
    np.testing.assert_array_equal(dx, np.tile([0.0, 1, 1, 1, 0, 0, 1, 1, 0], (5, 1)))


# -- what the graph refuses ------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_widths_differ(name):
    network = _core.Network(5, "float32", 0)
    a = network.slice(0, 1, 3)
    with pytest.raises(
        ValueError, match=rf"^{name}: expected equal widths, or some of 1, got 5, 3$"
    ):
        getattr(network, name)(0, a)
    with pytest.raises(ValueError, match=rf"^{name}: expected at least one tensor, got none$"):
        getattr(network, name)()
    with pytest.raises(ValueError, match=r"^tensor: expected a number in \[0, 2\), got 2$"):
        getattr(network, name)(0, 2)


def test_bad_columns():
    network = _core.Network(5, "float32", 0)
    for first, width, message in (
        (3, 3, "slice: expected columns of 5, got 3 from column 3 on"),
        (5, 1, "slice: expected columns of 5, got 1 from column 5 on"),
        (2**62, 2**62, "slice: expected columns of 5, got .* from column .* on"),
        (-1, 2, "first: expected at least 0, got -1"),
        (0, 0, "width: expected at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            network.slice(0, first, width)
    with pytest.raises(ValueError, match=r"^concatenate: expected at least one tensor, got none$"):
        network.concatenate([])
    with pytest.raises(ValueError, match=r"^subtract: expected two tensors, got 3$"):
        network.subtract(0, 0, 0)
    with pytest.raises(ValueError, match=r"^times: expected at least 1, got 0$"):
        network.repeat(0, 0)
    with pytest.raises(MemoryError):
        network.repeat(0, 2**62)
    huge = 0
    for _ in range(53):
        huge = network.concatenate([huge, huge])
    with pytest.raises(MemoryError):
        network.concatenate([huge, huge])


# -- the end of a graph, also before its widths are known ------------------------------------------


@pytest.mark.parametrize("width", [None, 4])
def test_the_end(width):
    """A merging layer has linear outputs of its own; activations below it are told where all
    branches have one."""

    def end(build):
        graph = _core.Graph(width, "float32")
        graph.set_output(build(graph))
        return graph.end

    def soft(graph, units=4, activation="softmax"):
        return graph.dense(0, units, activation)

    assert end(lambda g: g.add(0, soft(g))) == ("linear", 2, None, None, None)
    assert end(lambda g: g.average(soft(g), soft(g))) == ("linear", 3, None, "softmax", 1)
    assert end(lambda g: g.multiply(soft(g), g.dense(0, 4, "linear"))) == (
        *("linear", 3, None),
        *(None, None),
    )
    assert end(lambda g: g.concatenate([soft(g), soft(g, 2, "sigmoid")]))[3:] == ("softmax", 1)
    assert end(lambda g: g.slice(g.concatenate([soft(g), soft(g)]), 0, 2))[3:] == ("softmax", 1)
    assert end(
        lambda g: g.activation(g.dropout(g.concatenate([soft(g, 2, "relu")] * 2), 0.5), "softmax")
    ) == ("softmax", 4, None, "relu", 1)
    assert end(lambda g: g.rescale(g.dropout(g.maximum(soft(g), 0), 0.5), 2, 0))[:3] == (
        *("linear", 2),
        4,
    )

    def nested(graph):
        tensor = soft(graph, 2)
        for _ in range(50):
            tensor = graph.slice(graph.concatenate([tensor, tensor]), 0, 2)
        return tensor

    assert end(nested)[3] == "softmax"


def test_unknown_widths():
    graph = _core.Graph(None, "float32")
    h = graph.dense(0, 3, "relu")
    assert graph.width(graph.add(0, h)) == 3
    assert graph.width(graph.concatenate([0, h])) == 0
    assert graph.width(graph.slice(0, 7, 2)) == 2
    with pytest.raises(ValueError, match="equal widths, or some of 1, got 0, 3, 2"):
        graph.add(0, h, graph.slice(0, 7, 2))
