"""Same seed, same bits, at any number of threads; and that random numbers are random."""

from __future__ import annotations

import itertools
import math

import calls
import cases
import networks
import numpy as np
import pytest
from scipy import stats

import fastnn
from fastnn import _core, layers

THREADS = (1, 2, 3, 8)


def network(widths, activations, dropout, seed, dtype="float32", optimizer="adam"):
    fastnn.utils.set_random_seed(seed)
    model = fastnn.Sequential(dtype=dtype)
    model.add(layers.Input(shape=(widths[0],)))
    for units, activation in zip(widths[1:], activations, strict=True):
        if dropout:
            model.add(layers.Dropout(dropout))
        model.add(layers.Dense(units, activation=activation))
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


# name: (widths, activations, dropout, rows, batch, dtype): large enough to be shared out
SIZES = {
    "wide": ((784, 512, 512, 10), ("relu", "relu", "softmax"), 0.0, 1300, 512, "float32"),
    "wide dropout": ((784, 512, 10), ("gelu", "softmax"), 0.3, 1300, 512, "float32"),
    "narrow": ((20, 16, 10), ("tanh", "softmax"), 0.1, 40_000, 20_000, "float32"),
    "float64": ((300, 256, 10), ("silu", "softmax"), 0.0, 700, 300, "float64"),
    "odd": ((257, 129, 65, 3), ("elu", "relu", "softmax"), 0.2, 1021, 255, "float32"),
    "small": ((4, 10, 3), ("relu", "softmax"), 0.0, 150, 32, "float32"),
}


def run(case, threads, seed=3):
    widths, activations, dropout, n, batch, dtype = SIZES[case]
    draw = np.random.default_rng(0)
    x = draw.normal(size=(n, widths[0])).astype(dtype)
    y = draw.integers(0, widths[-1], n)
    fastnn.set_num_threads(threads)
    model = network(widths, activations, dropout, seed, dtype)
    history = model.fit(x, y, batch_size=batch, epochs=2, verbose=0, validation_split=0.1)
    loss, gradients = model.value_and_grad(x, y)
    return {
        **{k: np.array(v) for k, v in history.history.items()},
        "predict": model.predict(x, verbose=0),
        "evaluate": np.array(model.evaluate(x, y, verbose=0)),
        "loss": np.array(loss),
        **{f"weight {i}": w for i, w in enumerate(model.get_weights())},
        **{f"gradient {i}": g for i, g in enumerate(gradients)},
    }


@pytest.mark.parametrize("case", SIZES)
def test_threads_change_no_bit(case):
    expected = run(case, 1)
    for threads in THREADS[1:]:
        for what, value in run(case, threads).items():
            np.testing.assert_array_equal(value, expected[what], f"{what}, {threads} threads")


@pytest.mark.isa
def test_threads_change_no_bit_under_this_instruction_set():
    expected = run("odd", 1)
    for what, value in run("odd", 3).items():
        np.testing.assert_array_equal(value, expected[what], what)


def test_seeds():
    """The same seed gives the same bits twice, another one others."""
    first, second, other = run("small", 1), run("small", 1), run("small", 1, seed=4)
    for what, value in first.items():
        np.testing.assert_array_equal(value, second[what], what)
    assert not np.array_equal(first["weight 0"], other["weight 0"])


def test_a_seed_gives_each_model_its_own_numbers():
    fastnn.utils.set_random_seed(1)
    a = networks.sequential((9, 9), (None,)).get_weights()[0]
    b = networks.sequential((9, 9), (None,)).get_weights()[0]
    assert not np.array_equal(a, b)
    two = networks.sequential((9, 9, 9), (None, None)).get_weights()
    assert not np.array_equal(two[0], two[2])


def test_without_a_seed_runs_differ():
    """Else every start of a program would give the same network."""
    code = "import fastnn; m = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(3,))])\n"
    code += "print(m.get_weights()[0].tobytes().hex())"
    assert cases.python(code).stdout != cases.python(code).stdout


@pytest.mark.parametrize("case", [*calls.CALLS, *calls.STEPS])
def test_ops_do_not_depend_on_threads(case, rng):
    call = (calls.CALLS | calls.STEPS)[case]
    arrays, words = call.arguments(rng, "float32", 700, 515, 333)
    results = []
    for threads in THREADS:
        fastnn.set_num_threads(threads)
        given = [None if a is None else a.copy() for a in arrays]
        result = call(given, words)
        changed = [a for a in given if a is not None] if case in calls.STEPS else []
        results.append([*(result if isinstance(result, tuple) else (result,)), *changed])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


# -- the permutation -----------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 7, 8, 9, 100, 1023, 1024, 1025, 65537])
def test_permutation_is_one(n):
    for epoch in range(3):
        order = _core.permutation(n, 99, epoch)
        assert order.dtype == np.int64
        np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_permutation_depends_on_key_and_epoch_alone():
    seen = {
        tuple(_core.permutation(50, key, epoch))
        for key in (0, 1, 2**32, 2**63, 2**64 - 1)
        for epoch in (0, 1, 2, 2**31, 2**33)
    }
    assert len(seen) == 25
    np.testing.assert_array_equal(_core.permutation(50, 5, 6), _core.permutation(50, 5, 6))


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_all_orders_are_equally_likely(n):
    count = 200 * math.factorial(n)
    orders = [tuple(_core.permutation(n, 1234, epoch)) for epoch in range(count)]
    table = dict.fromkeys(itertools.permutations(range(n)), 0)
    for order in orders:
        table[order] += 1
    assert min(table.values()) > 0
    assert stats.chisquare(list(table.values())).pvalue > 1e-4


@pytest.mark.parametrize("n", [6, 13, 32])
def test_every_row_goes_everywhere(n):
    """Chi-square over (row, position), by epochs and by keys."""
    for by_key in (False, True):
        count = np.zeros((n, n))
        rounds = 3000
        for i in range(rounds):
            order = _core.permutation(n, i if by_key else 7, 7 if by_key else i)
            count[np.arange(n), order] += 1
        statistic = ((count - rounds / n) ** 2 / (rounds / n)).sum()
        # rows and columns have fixed sums: (n - 1)^2 degrees of freedom
        assert stats.chi2.sf(statistic * (n - 1) / n, (n - 1) ** 2) > 1e-4


@pytest.mark.parametrize("n", [2**24 - 4096, 2**24 + 1])
def test_permutation_of_many_rows(n):
    """On both sides of where the sides become too wide for 16 bits of the hash."""
    assert (np.bincount(_core.permutation(n, 99, 1), minlength=n) == 1).all()


@pytest.mark.parametrize("n", [1000, 60_000, 1_000_003])
def test_rows_mix(n):
    """Chi-square over (part of rows, part of positions), and over how far rows went."""
    parts = 16
    rounds = max(3, 200_000 // n)
    count, moved = np.zeros((parts, parts)), np.zeros(parts)
    place = np.arange(n)
    for epoch in range(rounds):
        order = _core.permutation(n, 5, epoch)
        np.add.at(count, (place * parts // n, order * parts // n), 1)
        moved += np.bincount((order - place) % n * parts // n, minlength=parts)
    size = np.bincount(place * parts // n, minlength=parts)
    expected = rounds * np.outer(size, size) / n
    statistic = ((count - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(statistic, (parts - 1) ** 2) > 1e-4
    assert stats.chisquare(moved, rounds * size).pvalue > 1e-4


def test_neighbours_part():
    """Rows that stood together are together no more often than chance has it: 2 / n."""
    n, rounds = 1000, 50
    together = sum(
        int((np.abs(np.diff(_core.permutation(n, 3, epoch))) == 1).sum()) for epoch in range(rounds)
    )
    assert abs(together - 2 * rounds) < 5 * math.sqrt(2 * rounds)


# -- dropout ---------------------------------------------------------------------------------


def masks(rate, rows, width, *, step=0, key=5, layer=0, n=None):
    """Dropout of an input of ones, read off a gradient: dW of a linear layer is x^T dz.

    With weights of zero and targets -1 on the diagonal, column r of dW holds row r of x.
    """
    n = rows if n is None else n
    network = _core.Network(width, "float64", key)
    tensor = 0
    for _ in range(layer):
        tensor = network.dropout(tensor, 0.0)
    tensor = network.dropout(tensor, rate)
    network.set_output(network.dense(tensor, rows, "linear", use_bias=False))
    native = networks.bound(network, "float64")
    networks.compile_native(network, loss="mean_squared_error", optimizer="sgd")
    network.steps = step
    target = np.zeros((n, rows))
    target[np.arange(rows), np.arange(rows)] = -1.0
    _, flat = network.gradients(networks.rows(np.ones((n, width)), target), training=True)
    return native.split(flat)[0].T * (n * rows / 2.0)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.5, 0.9])
def test_dropout_rate(rate):
    """Kept with probability 1 - rate, and then 1 / (1 - rate): within five sigma."""
    x = masks(rate, 300, 301)
    kept = x > 0.5
    np.testing.assert_allclose(x[kept], 1 / (1 - rate), rtol=1e-12)
    np.testing.assert_allclose(x[~kept], 0.0, atol=1e-12)
    sigma = math.sqrt(rate * (1 - rate) / x.size)
    assert abs(kept.mean() - (1 - rate)) <= 5 * sigma
    if rate:
        for axis in (0, 1):  # no row and no column is special
            spread = np.abs(kept.mean(axis=axis) - (1 - rate)).max()
            assert spread < 6 * math.sqrt(rate * (1 - rate) / 300)


def test_dropout_is_drawn_anew():
    """By step, by key, by layer; each pair of masks agrees as often as chance has it."""
    first = masks(0.5, 100, 100) > 0.5
    others = [
        masks(0.5, 100, 100, step=1),
        masks(0.5, 100, 100, step=2**33),
        masks(0.5, 100, 100, key=6),
        masks(0.5, 100, 100, layer=1),
    ]
    for a, b in itertools.combinations([first, *(o > 0.5 for o in others)], 2):
        assert abs((a == b).mean() - 0.5) < 5 * 0.5 / 100
    agreement = (first[:-1] == first[1:]).mean()  # neighbouring rows
    assert abs(agreement - 0.5) < 5 * 0.5 / 100
    agreement = (first[:, :-1] == first[:, 1:]).mean()  # neighbouring columns
    assert abs(agreement - 0.5) < 5 * 0.5 / 100


def test_dropout_depends_on_the_row_alone():
    """Not on the size of the batch, nor on the width of what a thread takes."""
    few, many = masks(0.5, 10, 70), masks(0.5, 10, 70, n=600)
    np.testing.assert_allclose(few, many, rtol=1e-9)


def test_dropout_at_its_ends():
    for rate in (1.0, 1.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match="rate"):
            layers.Dropout(rate)


# -- initial weights -------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(300, 400), (1, 5000), (784, 128)], ids=cases.name)
def test_glorot_uniform_is_the_default(shape):
    """Uniform on +-sqrt(6 / (in + out)); biases are zero."""
    kernel, bias = networks.sequential(shape, ("relu",)).get_weights()
    limit = math.sqrt(6 / sum(shape))
    assert np.abs(kernel).max() <= limit
    assert stats.kstest(kernel.ravel() / limit, stats.uniform(-1, 2).cdf).pvalue > 1e-4
    assert (bias == 0).all()


def test_he_on_request():
    normal = networks.sequential((400, 300), ("relu",), kernel_initializer="he_normal")
    kernel = normal.get_weights()[0]
    assert kernel.std() == pytest.approx(math.sqrt(2 / 400), rel=0.02)
    uniform = networks.sequential((400, 300), ("relu",), kernel_initializer="he_uniform")
    kernel = uniform.get_weights()[0]
    assert np.abs(kernel).max() <= math.sqrt(6 / 400)
    assert np.abs(kernel).max() > 0.99 * math.sqrt(6 / 400)
