"""Graphs of nodes other than a chain of dense layers, in every session: branches that join, columns
that are sliced and put together, layer normalization, embeddings, a layer that is used twice.

Each training is compared with SGD by central differences of the evaluated loss, in float64, so
that no rule of a node stands twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networks
import numpy as np
import pytest
from networks import Array, Native, compile_native, rows, train_native

import fastnn
from fastnn import _core, layers

CPU = ("plain", "streaming", "tiled")
GPU = ("plain", "generic", "wide")
N, STEPS = 300, 3


def residual(network: _core.Network) -> int:
    """x -> dense -> (+ dense(relu(dense(norm)))) -> dense."""
    h = network.dense(0, 9, "tanh")
    branch = network.layer_normalization(h)
    branch = network.dense(branch, 12, "relu")
    branch = network.dense(branch, 9, "linear")
    return network.dense(network.add(h, branch), 3, "linear")


def norms(network: _core.Network) -> int:
    h = network.layer_normalization(0, 1e-3, True, False)
    h = network.dense(h, 8, "gelu")
    h = network.layer_normalization(h, 1e-2, False, True)
    return network.dense(network.layer_normalization(h), 3, "linear")


def embedded(network: _core.Network) -> int:
    """Columns hold numbers of rows of a table, a matrix that no product has."""
    h = network.embedding(0, 11, 3)
    return network.dense(network.layer_normalization(h), 3, "linear")


def shared(network: _core.Network) -> int:
    """A layer that is used twice: its gradient is the sum of two."""
    first = network.dense(0, 5, "tanh")
    second = network.dense(first, 5, "tanh", like=first)
    third = network.dense(network.add(second, first), 5, "linear", like=first)
    return network.dense(third, 3, "linear")


def shared_norms(network: _core.Network) -> int:
    """Normalizations that are used twice and three times, one without beta."""
    first = network.layer_normalization(0, 0.1)
    second = network.layer_normalization(network.dense(first, 5, "tanh"), 0.1, like=first)
    once = network.layer_normalization(second, 0.2, False, True)
    twice = network.layer_normalization(network.add(once, first), 0.2, False, True, like=once)
    third = network.layer_normalization(network.multiply(twice, once), 0.1, like=first)
    return network.dense(network.add(third, second), 3, "linear")


def shared_table(network: _core.Network) -> int:
    """A table that is used for the columns in two parts."""
    left = network.embedding(network.slice(0, 0, 2), 11, 3)
    right = network.embedding(network.slice(0, 1, 4), 11, 3, like=left)
    joined = network.concatenate([network.dense(left, 4, "tanh"), right])
    return network.dense(joined, 3, "linear")


def shared_softmax(network: _core.Network) -> int:
    """A dense layer whose output is made by another node, of the same layer."""
    first = network.dense(0, 5, "softmax")
    return network.dense(network.dense(first, 5, "softmax", like=first), 3, "linear")


def logarithms(network: _core.Network) -> int:
    """Logarithms of softmax of long and short rows, and sums of pieces of rows."""
    first = network.rescale(network.dense(0, 6, "log_softmax"), 0.1, 0.0)
    wide = network.activation(network.repeat(network.dense(first, 7, "tanh"), 20), "log_softmax")
    gate = network.rescale(network.repeat(network.dense(0, 7, "gelu"), 20), 0.02, 0.0)
    h = network.sum_pieces(network.multiply(wide, gate), 35)
    return network.dense(network.concatenate([h, network.sum_pieces(first, 6)]), 3, "linear")


def columns(network: _core.Network) -> int:
    """Columns of the input and of layers, some of them read several times, in another order."""
    left, right = network.slice(0, 0, 2), network.slice(0, 1, 4)
    h = network.dense(left, 7, "tanh")
    joined = network.concatenate([network.dense(right, 6, "gelu"), h, left])
    parts = [network.slice(joined, 3, 9), network.slice(joined, 0, 5), network.slice(joined, 14, 1)]
    again = network.concatenate([*parts, h, h])
    return network.dense(network.concatenate([network.slice(again, 20, 6), again]), 3, "linear")


def combined(network: _core.Network) -> int:
    """Every combination, of two and more tensors, of one of them twice, and of the input."""
    a, b = network.dense(0, 5, "tanh"), network.dense(0, 5, "linear")
    gate = network.dense(network.repeat(0, 2), 1, "sigmoid")
    c = network.multiply(a, network.subtract(a, b), network.average(b, 0, a), gate)
    d = network.maximum(c, network.minimum(a, b, 0), b)
    e = network.add(network.multiply(d, d), network.subtract(c, c), b, 0)
    return network.dense(e, 3, "linear")


def lengths(network: _core.Network) -> int:
    """Rows over their root mean square, one scale used twice, and over their norm."""
    first = network.rms_normalization(0, 0.1)
    second = network.rms_normalization(network.dense(first, 5, "tanh"), 0.1, like=first)
    joined = network.concatenate([second, network.unit_normalization(network.add(first, 0))])
    h = network.dense(joined, 70, "gelu")
    return network.dense(network.unit_normalization(h, 3.0), 3, "linear")


def grouped(network: _core.Network) -> int:
    """Groups of columns, one scale used twice; columns by given statistics, there and back; axes."""
    x = network.normalize(network.dense(0, 6, "linear"), 0.01)
    first = network.group_normalization(x, 2, 0.1)
    second = network.group_normalization(network.dense(first, 6, "tanh"), 3, 0.1, like=first)
    turned = network.permute(second, (2, 3), (1, 0))
    back = network.normalize(network.group_normalization(turned, 2, 0.3, False, True), 0.2, True)
    h = network.permute(network.dense(back, 24, "gelu"), (2, 3, 1, 4), (3, 0, 2, 1))
    return network.dense(network.group_normalization(h, 4, 0.2, False, False), 3, "linear")


def scaled(network: _core.Network) -> int:
    """Columns scaled by trained numbers, with a bias and without, twice by the same ones."""
    first = network.scale_columns(0, True)
    second = network.scale_columns(network.dense(first, 5, "tanh"), True, like=first)
    return network.dense(network.scale_columns(second), 3, "linear")


def groups(network: _core.Network) -> int:
    """Dense layers by group, two and five of them, the second used twice and without a bias."""
    h = network.grouped_dense(network.dense(0, 6, "tanh"), 2, 5)
    first = network.grouped_dense(h, 5, 4, False)
    second = network.grouped_dense(network.dense(first, 10, "gelu"), 5, 4, False, like=first)
    return network.dense(network.add(second, first), 3, "linear")


def encoded(network: _core.Network) -> int:
    """Numbers of categories, counted and not."""
    counts = network.categories(network.slice(0, 0, 3), 11, True)
    return network.dense(network.concatenate([counts, network.categories(0, 11)]), 3, "linear")


TABLE = [0, 3, 0, 2, 0], [True, True, False, False, False], [3, 0, 2, 0, 0]


def table(network: _core.Network) -> int:
    """Columns of a table, encoded twice with the same statistics, and turned round."""
    first = network.encode_columns(0, *TABLE, 3.0)
    turned = network.permute(0, (5,), (0,))
    second = network.encode_columns(turned, *TABLE, 0.5, like=first)
    h = network.dense(network.dense(first, 9, "gelu"), 6, "tanh")
    return network.dense(network.concatenate([h, second]), 3, "linear")


def table_alone(network: _core.Network) -> int:
    """Columns of a table that one dense layer reads, which encodes them itself."""
    encoded = network.encode_columns(0, [0, 90, 0, 2, 0], TABLE[1], [9, 0, 12, 0, 0], 3.0)
    return network.dense(network.dense(encoded, 19, "silu"), 3, "linear")


def table_of_categories(network: _core.Network) -> int:
    """Columns of a table none of which is of numbers: there are no statistics."""
    levels = [11, 2, 3, 5, 11]
    encoded = network.encode_columns(0, levels, [False, True, True, False, True], [0] * 5)
    return network.dense(network.dense(encoded, 4, "tanh"), 3, "linear")


NETWORKS: dict[str, Callable[[_core.Network], int]] = {
    "residual": residual,
    "norms": norms,
    "embedded": embedded,
    "shared": shared,
    "shared_norms": shared_norms,
    "shared_table": shared_table,
    "shared_softmax": shared_softmax,
    "logarithms": logarithms,
    "columns": columns,
    "combined": combined,
    "lengths": lengths,
    "grouped": grouped,
    "encoded": encoded,
    "scaled": scaled,
    "groups": groups,
    "table": table,
    "table_alone": table_alone,
    "table_of_categories": table_of_categories,
}


def problem(name: str, dtype: str) -> tuple[Native, Array, Array]:
    rng = np.random.default_rng(3)
    network = _core.Network(5, dtype, 7)
    network.set_output(NETWORKS[name](network))
    native = networks.bound(network, dtype)
    native.write(
        [
            np.sort(np.abs(values)) if role == "statistic" else values  # edges of bins ascend
            for role, values in zip(
                network.roles,
                [0.5 * rng.normal(size=shape) for _, shape in network.parameters],
                strict=True,
            )
        ]
    )
    numbers = name in ("embedded", "shared_table", "encoded", "table_of_categories")
    x = rng.integers(0, 11, (N, 5)) if numbers else rng.normal(size=(N, 5))
    if name.startswith("table"):
        x[:, [1, 3]] = rng.integers(-1, 4, (N, 2))
        if name == "table_alone":
            x[:, 1] = rng.integers(-2, 93, N)
        x = np.where(rng.random(x.shape) < 0.1, np.nan, x)
    return native, x.astype(dtype), rng.normal(size=(N, 3)).astype(dtype)


def loss(native: Native, weights: list[Array], data: _core.Data) -> float:
    native.write(weights)
    value, weight = native.network.evaluate(data)
    return float(value / weight)


def differences(native: Native, data: _core.Data) -> list[Array]:
    """The gradient by central differences."""
    weights = native.read()
    result = [np.zeros_like(w) for w in weights]
    for w, g in zip(weights, result, strict=True):
        for place in np.ndindex(w.shape):
            before = w[place]
            step = 1e-5
            w[place] = before + step
            above = loss(native, weights, data)
            w[place] = before - step
            g[place] = (above - loss(native, weights, data)) / (2 * step)
            w[place] = before
    native.write(weights)
    return result


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients(name: str) -> None:
    native, x, y = problem(name, "float64")
    compile_native(native.network, loss="mean_squared_error", device="cpu")
    data = rows(x, y)
    for role, got, want in zip(
        native.network.roles,
        native.split(native.network.gradients(data)[1]),
        differences(native, data),
        strict=True,
    ):
        np.testing.assert_allclose(got, want if role != "statistic" else 0.0 * want, atol=1e-8)


def expected(name: str, optimizer: str, settings: dict[str, float]) -> list[Array]:
    """Weights after some steps of the plain session in float64 on the CPU, whose gradients the
    test above holds against differences."""
    native, x, y = problem(name, "float64")
    return trained(native, x, y, optimizer, settings, "plain", "cpu")


def trained(
    native: Native,
    x: Array,
    y: Array,
    optimizer: str,
    settings: dict[str, float],
    session: str,
    device: str,
) -> list[Array]:
    compile_native(
        native.network,
        loss="mean_squared_error",
        optimizer=optimizer,
        session=session,
        device=device,
    )
    train_native(native.network, rows(x, y), batch_size=N, optimizer=settings, epochs=STEPS)
    return native.read()


def check_session(name: str, session: str, device: str) -> None:
    for optimizer, settings in (("sgd", networks.SGD), ("adam", networks.ADAM)):
        native, x, y = problem(name, "float32")
        before = native.read()
        got = trained(native, x, y, optimizer, settings, session, device)
        want = expected(name, optimizer, settings)
        for role, was, g, w in zip(native.network.roles, before, got, want, strict=True):
            if role == "statistic":  # no optimizer changes it
                np.testing.assert_array_equal(g, was)
                continue
            assert np.abs(g - was).max() > 1e-4  # it is trained, whatever node it belongs to
            np.testing.assert_allclose(g, w, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("session", CPU)
@pytest.mark.parametrize("name", NETWORKS)
def test_sessions(name: str, session: str) -> None:
    check_session(name, session, "cpu")


@pytest.mark.parametrize("session", GPU)
@pytest.mark.parametrize("name", NETWORKS)
def test_sessions_on_the_device(
    name: str, session: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    check_session(name, session, "cuda")


def test_a_resident_session_refuses_them(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    for name in NETWORKS:
        with pytest.raises(ValueError, match="'resident' cannot train this model"):
            check_session(name, "resident", "cuda")


@pytest.mark.parametrize("session", CPU)
@pytest.mark.parametrize(
    "name", ["residual", "columns", "combined", "lengths", "table", "table_alone", "groups"]
)
def test_threads(name: str, session: str) -> None:
    """The same bits at one thread and at three."""
    found = []
    for threads in (1, 3):
        fastnn.set_num_threads(threads)
        native, x, y = problem(name, "float32")
        found.append(trained(native, x, y, "adam", networks.ADAM, session, "cpu"))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


# -- layer normalization as a layer -------------------------------------------------


def test_the_layer_trains_and_predicts() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)) * 50 + 1000
    y = (x[:, 0] > x[:, 1]).astype(int)
    model = fastnn.Sequential(
        [
            layers.LayerNormalization(input_shape=(6,)),
            layers.Dense(16, "relu"),
            layers.LayerNormalization(),
            layers.Dense(2),
        ],
        seed=1,
    )
    assert [w.name for w in model.layers[0].weights] == ["gamma", "beta"]
    assert [w.shape for w in model.layers[2].weights] == [(16,), (16,)]
    model.compile(fastnn.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["acc"])
    history = model.fit(x, y, epochs=60, verbose=0).history
    assert history["acc"][-1] > 0.95
    z = model.layers[0]
    normal = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-3)
    h = normal * z.gamma.numpy() + z.beta.numpy()
    h = np.maximum(h @ model.layers[1].kernel.numpy() + model.layers[1].bias.numpy(), 0)
    h = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-3)
    h = h * model.layers[2].gamma.numpy() + model.layers[2].beta.numpy()
    out = h @ model.layers[3].kernel.numpy() + model.layers[3].bias.numpy()
    np.testing.assert_allclose(model.predict(x), out, rtol=1e-3, atol=1e-3)


def test_options_of_the_layer() -> None:
    layer = layers.LayerNormalization(center=False, scale=False, input_shape=(4,))
    model = fastnn.Sequential([layer, layers.Dense(1)])
    assert layer.weights == []
    assert layer.gamma is None
    assert layer.beta is None
    assert len(model.weights) == 2
    with pytest.raises(ValueError, match="expects rows of one axis"):
        fastnn.Sequential([layers.LayerNormalization(input_shape=(4, 3))])


HEADS: dict[str, tuple[list[Any], str, str]] = {
    "softmax, then normalized": (
        [layers.Dense, "softmax"],
        "sparse_categorical_crossentropy",
        "LayerNormalization after softmax makes outputs that are no probabilities",
    ),
    "sigmoid, then normalized": (
        [layers.Dense, "sigmoid"],
        "binary_crossentropy",
        "LayerNormalization after sigmoid makes outputs that are no probabilities",
    ),
}


@pytest.mark.parametrize("case", HEADS)
@pytest.mark.parametrize("built", [False, True])
def test_a_layer_behind_the_head_is_refused(case: str, built: bool) -> None:
    (dense, activation), loss_name, message = HEADS[case]
    shape = {"input_shape": (4,)} if built else {}
    model = fastnn.Sequential([dense(3, activation, **shape), layers.LayerNormalization()])
    with pytest.raises(ValueError, match=message):
        model.compile("adam", loss_name)


def test_outputs_of_a_normalization_are_logits() -> None:
    model = fastnn.Sequential([layers.Dense(3, "relu"), layers.LayerNormalization()])
    model.compile("adam", "sparse_categorical_crossentropy")


def test_numbers_of_layers_count_those_with_nodes() -> None:
    """So that a Flatten changes no dropout behind it."""
    graph = _core.Graph(None, "float32")
    tensor, found = 0, []
    for add in (
        lambda t: t,
        lambda t: graph.dense(t, 4, "softmax"),
        lambda t: t,
        lambda t: graph.dropout(t, 0.5),
    ):
        graph.begin_layer()
        tensor = add(tensor)
        found.append(graph.layer)
    assert found == [None, 1, None, 2]
