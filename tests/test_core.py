"""The native module by itself: buffers, data, graphs and numbers, as its stub documents them.

The public modules check strings before they call it; it checks sizes and indices itself.
"""

from __future__ import annotations

import networks
import numpy as np
import pytest

from fastnn import _core

GOLDEN = 0x9E3779B97F4A7C15  # of splitmix64, which makes a stream's key

# -- random numbers --------------------------------------------------------------------------


def philox(key, counter):
    """Philox 4x32-10 in Python's integers: Salmon et al., SC 2011."""
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [
            (second >> 32) ^ c[1] ^ k[0],
            second & 0xFFFFFFFF,
            (first >> 32) ^ c[3] ^ k[1],
            first & 0xFFFFFFFF,
        ]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def test_philox_as_published():
    """The known answers of Random123, for this file's own philox and for the native one."""
    zeros = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    assert philox([0] * 2, [0] * 4) == zeros
    assert philox([0xFFFFFFFF] * 2, [0xFFFFFFFF] * 4) == ones
    for stream in (0, 5):  # the stream whose key is 0
        key = -(stream + 1) * GOLDEN % 2**64
        bits = _core.random_bits(12, key, stream)
        assert bits.dtype == np.uint32
        expected = [w for block in range(3) for w in philox([0, 0], [block, 0, 0, 0])]
        assert bits.tolist() == expected


def test_random_bits_are_a_prefix_of_more():
    long = _core.random_bits(100, 3, 4)
    for count in (0, 1, 3, 4, 5, 99):
        np.testing.assert_array_equal(_core.random_bits(count, 3, 4), long[:count])
    assert not np.array_equal(long, _core.random_bits(100, 3, 5))
    assert not np.array_equal(long, _core.random_bits(100, 4, 4))


# -- parameters ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters(dtype):
    buffer = _core.Parameters(10, dtype)
    assert (buffer.size, buffer.dtype) == (10, dtype)
    view = buffer.view(2, (2, 3))
    assert view.dtype == dtype
    assert not view.flags.writeable
    assert (view == 0).all()
    version = buffer.version
    buffer.write(3, np.arange(4, dtype=dtype))
    assert buffer.version > version
    np.testing.assert_array_equal(view, [[0, 0, 1], [2, 3, 0]])
    del buffer
    np.testing.assert_array_equal(view, [[0, 0, 1], [2, 3, 0]])


def test_buffers_are_aligned():
    for size in (1, 7, 1000, 100_000):
        address = _core.Parameters(size, "float32").view(0, (size,)).ctypes.data
        assert address % 64 == 0


def test_parameters_of_a_network_start_aligned():
    native = networks.chain((3, 5, 7), ("relu", "linear"), "float32")
    places = native.network.parameters
    assert [tuple(shape) for _, shape in places] == [(3, 5), (5,), (5, 7), (7,)]
    ends = [0] + [offset + int(np.prod(shape)) for offset, shape in places]
    for (offset, _), end in zip(places, ends, strict=False):
        assert offset >= end
        assert offset * 4 % 64 == 0
    assert native.network.parameter_size >= ends[-1]


def parameters():
    return _core.Parameters(10, "float32")


F32 = np.float32
PARAMETERS = {
    "write past the end": lambda: parameters().write(8, np.ones(3, F32)),
    "write far past the end": lambda: parameters().write(2**62, np.ones(3, F32)),
    "write before the start": lambda: parameters().write(-1, np.ones(3, F32)),
    "write of another type": lambda: parameters().write(0, np.ones(3)),
    "write of integers": lambda: parameters().write(0, np.ones(3, int)),
    "write of a strided array": lambda: parameters().write(0, np.ones(6, F32)[::2]),
    "view past the end": lambda: parameters().view(8, (3,)),
    "view before the start": lambda: parameters().view(-1, (3,)),
    "view of a negative shape": lambda: parameters().view(0, (-3,)),
    "view of two negative sizes": lambda: parameters().view(0, (-2, -3)),
    "view whose size overflows": lambda: parameters().view(0, (2**32, 2**32)),
    "view whose size overflows to 8": lambda: parameters().view(0, (2**61 + 1, 8)),
    "fill past the end": lambda: parameters().fill_uniform(8, 3, 0.0, 1.0, key=1, stream=1),
    "fill a negative count": lambda: parameters().fill_uniform(8, -3, 0.0, 1.0, key=1, stream=1),
    "normal past the end": lambda: parameters().fill_normal(
        8, 3, 0.0, 1.0, truncated=False, key=1, stream=1
    ),
    "a negative size": lambda: _core.Parameters(-1, "float32"),
    "another dtype": lambda: _core.Parameters(3, "float16"),
}


@pytest.mark.parametrize("case", PARAMETERS)
def test_parameters_misused(case):
    with pytest.raises((ValueError, TypeError, IndexError, OverflowError, MemoryError)):
        PARAMETERS[case]()


def test_fills():
    """Uniform in [low, high); normal; truncated at two standard deviations; by key and stream."""
    n = 20_000
    buffer = _core.Parameters(n, "float64")
    values = buffer.view(0, (n,))
    buffer.fill_uniform(0, n, -2.0, 3.0, key=1, stream=2)
    uniform = values.copy()
    assert uniform.min() >= -2
    assert uniform.max() <= 3
    assert abs(uniform.mean() - 0.5) < 5 * 5 / np.sqrt(12 * n)
    buffer.fill_normal(0, n, 1.0, 2.0, truncated=False, key=1, stream=2)
    assert abs(values.mean() - 1) < 5 * 2 / np.sqrt(n)
    assert abs(values.std() - 2) < 5 * 2 / np.sqrt(2 * n)
    assert np.abs(values - 1).max() > 6
    buffer.fill_normal(0, n, 1.0, 2.0, truncated=True, key=1, stream=2)
    assert np.abs(values - 1).max() <= 4
    assert abs(values.std() - 2 * 0.87962566) < 0.05  # of a normal cut at two deviations
    buffer.fill_uniform(0, n, -2.0, 3.0, key=1, stream=2)
    np.testing.assert_array_equal(values, uniform)
    buffer.fill_uniform(0, n, -2.0, 3.0, key=1, stream=3)
    assert not np.array_equal(values, uniform)


# -- data ------------------------------------------------------------------------------------

X = np.ones((5, 3), F32)
I32 = np.int32
DATA = {
    "another number of labels": lambda: _core.Data(X, labels=np.zeros(4, I32)),
    "another number of targets": lambda: _core.Data(X, targets=np.zeros((4, 2))),
    "another number of weights": lambda: _core.Data(X, weights=np.ones(6)),
    "labels of another type": lambda: _core.Data(X, labels=np.zeros(5)),
    "strided labels": lambda: _core.Data(X, labels=np.zeros(10, I32)[::2]),
    "weights of another type": lambda: _core.Data(X, weights=np.ones(5, F32)),
    "row past the end": lambda: complete().check_input(_core.Data(X, rows=np.array([0, 5]))),
    "row before the start": lambda: complete().check_input(_core.Data(X, rows=np.array([-1]))),
    "row far away": lambda: complete().check_input(_core.Data(X, rows=np.array([2**62]))),
    "rows of another type": lambda: _core.Data(X, rows=np.array([0.0])),
    "complex": lambda: _core.Data(X + 0j),
    "no dimension": lambda: _core.Data(np.ones((), F32)),
}


@pytest.mark.parametrize("case", DATA)
def test_data_misused(case):
    with pytest.raises((ValueError, TypeError, IndexError)):
        DATA[case]()


def test_data_keeps_what_it_views():
    data = _core.Data(np.full((1000, 4), 2.0))
    assert len(data) == 1000
    assert len(_core.Data(X, rows=np.array([4, 4, 0]))) == 3
    network = _core.Network(4, "float64", 1)
    network.set_output(network.dense(0, 1, "linear"))
    native = networks.bound(network, "float64")
    native.write([np.ones((4, 1)), np.zeros(1)])
    junk = [np.zeros((1000, 4)) for _ in range(20)]
    np.testing.assert_array_equal(network.predict(data), 8.0)
    assert junk


# -- graphs ----------------------------------------------------------------------------------


def network():
    return _core.Network(3, "float32", 1)


def complete(**options):
    native = networks.chain((3, 4, 2), ("relu", "linear"), "float32")
    networks.compile_native(
        native.network, **{"loss": "mean_squared_error", "optimizer": "sgd", **options}
    )
    return native.network


def train(net, **options):
    data = options.pop("data", None) or _core.Data(X, targets=np.ones((5, 2)))
    net.check(data)
    return networks.train_native(
        net, data, **{"batch_size": 2, "optimizer": networks.SGD, **options}
    )


def unbound():
    net = network()
    net.set_output(net.dense(0, 2, "linear"))
    return net


def add_of_two_widths():
    net = network()
    net.add(0, net.dense(0, 2, "relu"))


GRAPHS = {
    "width 0": lambda: _core.Network(0, "float32", 1),
    "a tensor that is not there": lambda: network().dense(1, 2, "relu"),
    "a negative tensor": lambda: network().dense(-1, 2, "relu"),
    "no units": lambda: network().dense(0, 0, "relu"),
    "an unknown activation": lambda: network().dense(0, 2, "rleu"),
    "an unknown activation alone": lambda: network().activation(0, "rleu"),
    "dropout of all": lambda: network().dropout(0, 1.0),
    "an output that is not there": lambda: network().set_output(3),
    "add of two widths": add_of_two_widths,
    "a buffer that is too small": lambda: unbound().bind(_core.Parameters(3, "float32")),
    "a buffer of another type": lambda: unbound().bind(_core.Parameters(100, "float64")),
    "no buffer": lambda: unbound().predict(_core.Data(X)),
    "not compiled": lambda: train(networks.chain((3, 2), ("linear",), "float32").network),
    "an unknown loss": lambda: complete(loss="mse"),
    "an unknown optimizer": lambda: complete(optimizer="adamost"),
    "an unknown metric": lambda: complete(metrics=[("f1", 0.0)]),
    "data of another width": lambda: complete().check_input(_core.Data(X[:, :2])),
    "targets of another width": lambda: train(
        complete(), data=_core.Data(X, targets=np.ones((5, 3)))
    ),
    "no targets": lambda: train(complete(), data=_core.Data(X)),
    "labels for squares": lambda: train(complete(), data=_core.Data(X, labels=np.zeros(5, I32))),
    "batches of 0": lambda: train(complete(), batch_size=0),
    "negative epochs": lambda: train(complete(), epochs=-1),
    "steps past the end": lambda: train(complete(), steps=4),
    "a first step past the end": lambda: train(complete(), first_step=3, steps=1),
    "pos_weight of another width": lambda: complete(
        loss="sigmoid_cross_entropy", pos_weight=np.ones(3)
    ),
    "too few flags": lambda: networks.chain((3, 2), ("relu",), "float32").network.set_trainable(
        [True]
    ),
    "a state of another size": lambda: complete(optimizer="adam").set_optimizer_state(
        [np.zeros(3, F32)] * 2
    ),
    "a negative permutation": lambda: _core.permutation(-1, 1, 1),
    "a negative count of bits": lambda: _core.random_bits(-1, 1, 1),
}


@pytest.mark.parametrize("case", GRAPHS)
def test_graphs_misused(case):
    """An exception that says something; the process goes on."""
    with pytest.raises((ValueError, TypeError, IndexError, RuntimeError, OverflowError)) as caught:
        GRAPHS[case]()
    assert len(str(caught.value)) > 10


@pytest.mark.parametrize("label", [-1, 2, 2**31 - 1, -(2**31)])
def test_labels_are_checked_natively(label):
    native = networks.chain((3, 2), ("linear",), "float32")
    networks.compile_native(native.network, loss="softmax_cross_entropy", optimizer="sgd")
    labels = np.array([0, 1, 0, label, 1], I32)
    with pytest.raises(ValueError, match=rf"{label}.*row 3|row 3.*{label}"):
        native.network.check(_core.Data(X, labels=labels))


def test_gradients_of_many_rows(rng):
    """More rows than fit into one piece of work: one sum, dropout of rows that all differ."""
    native = networks.chain((3, 8, 2), ("tanh", "linear"), "float64")
    networks.compile_native(native.network, loss="mean_squared_error", optimizer="sgd")
    native.write([rng.normal(size=s) for _, s in native.network.parameters])
    n = 20_011
    x, y, w = rng.normal(size=(n, 3)), rng.normal(size=(n, 2)), rng.random(n)
    loss, flat = native.network.gradients(networks.rows(x, y, w))
    pieces = np.array_split(np.arange(n), 7)
    losses, gradients = zip(
        *(native.network.gradients(networks.rows(x[p], y[p], w[p])) for p in pieces), strict=True
    )
    share = np.array([w[p].sum() for p in pieces]) / w.sum()
    assert loss == pytest.approx(np.dot(share, losses), rel=1e-12)
    np.testing.assert_allclose(flat, share @ np.array(gradients), rtol=1e-9, atol=1e-14)


def test_dropout_of_many_rows():
    """The sum over 20,000 rows of a mask of mean 1: rows that repeat would show in its spread."""
    n, width = 20_000, 64
    network = _core.Network(width, "float64", 9)
    network.set_output(network.dense(network.dropout(0, 0.5), 1, "linear", use_bias=False))
    native = networks.bound(network, "float64")
    networks.compile_native(network, loss="mean_squared_error", optimizer="sgd")
    _, flat = network.gradients(networks.rows(np.ones((n, width)), -np.ones((n, 1))), training=True)
    mean = native.split(flat)[0].ravel() / 2  # of the mask's n values in each column
    deviation = mean.std() * np.sqrt(n)  # 1 if rows are independent, more if they repeat
    assert deviation == pytest.approx(1.0, abs=5 / np.sqrt(2 * width))
    assert np.abs(mean - 1).max() < 5 / np.sqrt(n)


def test_a_run_ends_where_its_network_is_compiled_again(rng):
    """Its data and settings were checked for what was compiled before."""
    native = networks.chain((4, 3), ("linear",), "float32")
    networks.compile_native(native.network, loss="softmax_cross_entropy")
    data = networks.rows(rng.normal(size=(8, 4)).astype(F32), np.zeros(8, int))
    with native.network.run(data, batch_size=4) as run:
        run.advance(optimizer=networks.SGD)
        before = native.read()
        networks.compile_native(native.network, loss="softmax_cross_entropy", optimizer="adam")
        with pytest.raises(RuntimeError, match="compiled again since"):
            run.advance(optimizer=networks.SGD)
    for found, kept in zip(native.read(), before, strict=True):
        np.testing.assert_array_equal(found, kept)
