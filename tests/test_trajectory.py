"""Ten steps from given weights against the oracle's trainer: losses, weights, state, counts."""

from __future__ import annotations

import cases
import networks
import numpy as np
import pytest
import reference
from tolerances import check

from fastnn import _core, losses, optimizers

pytestmark = pytest.mark.isa

SGD, ADAM = networks.SGD, networks.ADAM
# name: (optimizer, its settings)
OPTIMIZERS = {
    "plain": ("sgd", SGD),
    "momentum": ("sgd", SGD | {"momentum": 0.9}),
    "nesterov": ("sgd", SGD | {"momentum": 0.9, "nesterov": 1.0}),
    "sgd decay": ("sgd", SGD | {"momentum": 0.5, "weight_decay": 0.1}),
    "adam": ("adam", ADAM),
    "adam all": (
        "adam",
        {
            "learning_rate": 0.02,
            "weight_decay": 0.05,
            "beta_1": 0.8,
            "beta_2": 0.95,
            "epsilon": 1e-3,
        },
    ),
}
HEADS = {
    "softmax_cross_entropy": "softmax",
    "sigmoid_cross_entropy": "sigmoid",
    "mean_squared_error": "linear",
}
WIDTHS = (6, 9, 7, 3)


def oracle_settings(optimizer, settings):
    if optimizer == "sgd":
        return settings | {"nesterov": bool(settings["nesterov"])}
    return settings


def problem(loss, optimizer, settings, dtype, rng, **options):
    """The same network twice: natively, and as the oracle's trainer, from the same weights."""
    activations = ("gelu", "tanh", HEADS[loss])
    native = networks.chain(WIDTHS, activations, dtype, key=11)
    networks.compile_native(native.network, loss=loss, optimizer=optimizer, **options)
    native.write(cases.glorot(rng, WIDTHS))
    oracle = reference.Trainer(
        reference.Network(activations, loss, options=options),
        native.read(),
        optimizer,
        oracle_settings(optimizer, settings),
    )
    return native, oracle


def same_weights(native, oracle, dtype):
    for k, (w, e) in enumerate(zip(native.read(), oracle.weights, strict=True)):
        check(w, e, "trajectory", dtype, what=f"weight {k}")


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("loss", HEADS)
@pytest.mark.parametrize("case", OPTIMIZERS)
def test_ten_steps(case, loss, dtype, rng):
    """Five epochs of two steps, the second one short, in order."""
    optimizer, settings = OPTIMIZERS[case]
    native, oracle = problem(loss, optimizer, settings, dtype, rng)
    n = 13
    x, y = rng.normal(size=(n, WIDTHS[0])).astype(dtype), cases.targets_for(loss, n, 3, rng)
    w = rng.random(n) + 0.1
    sums = networks.train_native(
        native.network,
        networks.rows(x, y, w),
        batch_size=8,
        epochs=5,
        shuffle=False,
        optimizer=settings,
    )
    order = np.arange(n)
    expected = [oracle.epoch(x, y, order, 8, w) for _ in range(5)]
    assert sums.shape == (5, 2)
    check(sums[:, 0] / sums[:, 1], expected, "trajectory", dtype, what="loss")
    counted = 3 if loss == "sigmoid_cross_entropy" else 1  # its mean is over rows and labels
    check(sums[:, 1], np.full(5, counted * w.sum()), "sum", dtype, what="weight")
    same_weights(native, oracle, dtype)
    assert (native.network.steps, native.network.epochs) == (10, 5)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("n", [1, 7, 8, 9, 64])
def test_shuffled(n, dtype, rng):
    """The order of an epoch is the permutation of (key, lifetime epoch), nothing else."""
    native, oracle = problem("softmax_cross_entropy", "adam", ADAM, dtype, rng)
    x = rng.normal(size=(n, WIDTHS[0])).astype(dtype)
    y = cases.targets_for("softmax_cross_entropy", n, 3, rng)
    data = networks.rows(x, y)
    for epochs in (1, 2):  # three epochs of life in two calls
        first = native.network.epochs
        sums = networks.train_native(
            native.network, data, batch_size=4, epochs=epochs, optimizer=ADAM
        )
        orders = [_core.permutation(n, 11, first + e) for e in range(epochs)]
        expected = [oracle.epoch(x, y, order, 4) for order in orders]
        check(sums[:, 0] / sums[:, 1], expected, "trajectory", dtype, what="loss")
    same_weights(native, oracle, dtype)


def test_shuffled_rows_that_count(rng):
    """The permutation is of the rows that count, not of the array."""
    native, oracle = problem("mean_squared_error", "sgd", SGD, "float64", rng)
    x, y = rng.normal(size=(20, WIDTHS[0])), rng.normal(size=(20, 3))
    rows = rng.permutation(20)[:11]
    networks.train_native(
        native.network,
        networks.rows(x, y, order=rows),
        batch_size=4,
        epochs=2,
        optimizer=SGD,
        shuffle=True,
    )
    for epoch in range(2):
        oracle.epoch(x, y, rows[_core.permutation(11, 11, epoch)], 4)
    same_weights(native, oracle, "float64")


def test_many_steps_of_one_epoch(rng):
    """More rows than the order is made for at a time; the last batch is one row."""
    n = 9025
    oracle_network = reference.Network(("linear",), "mean_squared_error")
    native = networks.chain((2, 1), ("linear",), "float64", key=11)
    networks.compile_native(native.network, loss="mean_squared_error", optimizer="sgd")
    native.write(cases.glorot(rng, (2, 1)))
    oracle = reference.Trainer(oracle_network, native.read(), "sgd", oracle_settings("sgd", SGD))
    x, y = rng.normal(size=(n, 2)), rng.normal(size=(n, 1))
    networks.train_native(
        native.network, networks.rows(x, y), batch_size=64, epochs=2, optimizer=SGD
    )
    for epoch in range(2):
        oracle.epoch(x, y, _core.permutation(n, 11, epoch), 64)
    same_weights(native, oracle, "float64")


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_the_size_of_weights_does_not_matter(factor, rng):
    """The loss is a weighted mean: only ratios of weights count, in float32 too."""
    for loss in HEADS:
        results = []
        x, y = rng.normal(size=(13, WIDTHS[0])), cases.targets_for(loss, 13, 3, rng)
        w = rng.random(13) + 0.1
        start = cases.glorot(rng, WIDTHS)
        for scale in (1.0, factor):
            native, _ = problem(loss, "adam", ADAM, "float32", rng)
            native.write(start)
            data = networks.rows(x, y, scale * w)
            networks.train_native(native.network, data, batch_size=8, epochs=3, optimizer=ADAM)
            results.append(native.read())
        for a, b in zip(*results, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4, err_msg=loss)


def test_a_batch_without_weight(rng):
    """Its loss and gradient are 0; momentum carries on, and the step counts."""
    settings = SGD | {"momentum": 0.9}
    native, oracle = problem("softmax_cross_entropy", "sgd", settings, "float64", rng)
    x, y = rng.normal(size=(12, WIDTHS[0])), rng.integers(0, 3, 12)
    w = np.array([1.0] * 4 + [0.0] * 4 + [1.0] * 4)
    sums = networks.train_native(
        native.network, networks.rows(x, y, w), batch_size=4, shuffle=False, optimizer=settings
    )
    expected = oracle.epoch(x, y, np.arange(12), 4, w)
    assert sums[0, 0] / sums[0, 1] == pytest.approx(expected, rel=1e-10)
    same_weights(native, oracle, "float64")
    assert native.network.steps == 3


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        ("softmax_cross_entropy", {"label_smoothing": 0.1}),
        ("softmax_cross_entropy", {"ignore_class": 1}),
        ("sigmoid_cross_entropy", {"label_smoothing": 0.1}),
        ("sigmoid_cross_entropy", {"pos_weight": np.array([2.0, 0.5, 1.0])}),
    ],
)
def test_options_of_losses(loss, options, rng):
    native, oracle = problem(loss, "adam", ADAM, "float64", rng, **options)
    x, y = rng.normal(size=(9, WIDTHS[0])), cases.targets_for(loss, 9, 3, rng)
    if loss == "sigmoid_cross_entropy":
        y[[1, 4], [0, 2]] = np.nan
    data = networks.rows(x, y)
    sums = networks.train_native(
        native.network, data, batch_size=9, epochs=10, shuffle=False, optimizer=ADAM
    )
    expected = [oracle.step(x, y) for _ in range(10)]
    check(sums[:, 0] / sums[:, 1], expected, "trajectory", "float64")
    same_weights(native, oracle, "float64")


def test_an_epoch_in_pieces(rng):
    """`steps` from `first_step` give the bits of the whole epoch, and leave `epochs` alone."""
    results = []
    x, y = rng.normal(size=(22, WIDTHS[0])), rng.integers(0, 3, 22)
    weights = cases.glorot(rng, WIDTHS)
    for pieces in ([None], [(0, 2), (2, 1), (3, 3)], [(i, 1) for i in range(6)]):
        native, _ = problem("softmax_cross_entropy", "adam", ADAM, "float32", rng)
        native.write(weights)
        total = 0
        for piece in pieces:
            part = {} if piece is None else {"first_step": piece[0], "steps": piece[1]}
            total = total + networks.train_native(
                native.network,
                networks.rows(x.astype(np.float32), y),
                batch_size=4,
                optimizer=ADAM,
                **part,
            )
        assert native.network.epochs == (1 if pieces == [None] else 0)
        assert native.network.steps == 6
        results.append((native.read(), total))
    for weights_of, total in results[1:]:
        np.testing.assert_allclose(total, results[0][1], rtol=1e-12)
        for a, b in zip(weights_of, results[0][0], strict=True):
            np.testing.assert_array_equal(a, b)


def test_pieces_of_two_data_sets_in_turn(rng):
    """An order belongs to its data: nothing of one is left over for the other."""
    native, oracle = problem("mean_squared_error", "sgd", SGD, "float64", rng)
    x, y = rng.normal(size=(20, WIDTHS[0])), rng.normal(size=(20, 3))
    sets = [rng.permutation(20)[:n] for n in (12, 12, 9)]
    data = [networks.rows(x, y, order=rows) for rows in sets]
    for step in range(2):
        for rows, given in zip(sets, data, strict=True):
            networks.train_native(
                native.network, given, batch_size=4, first_step=step, steps=1, optimizer=SGD
            )
            batch = rows[_core.permutation(len(rows), 11, 0)[4 * step : 4 * step + 4]]
            oracle.step(x[batch], y[batch])
    same_weights(native, oracle, "float64")


def test_optimizer_state_can_be_carried_over(rng):
    """Weights, state and counts together are all there is: a copy goes on with the same bits."""
    x, y = rng.normal(size=(16, WIDTHS[0])).astype(np.float32), rng.integers(0, 3, 16)
    data = networks.rows(x, y)
    first, _ = problem("softmax_cross_entropy", "adam", ADAM, "float32", rng)
    networks.train_native(first.network, data, batch_size=8, epochs=3, optimizer=ADAM)
    second, _ = problem("softmax_cross_entropy", "adam", ADAM, "float32", rng)
    second.write(first.read())
    state = first.network.optimizer_state
    assert len(state) == 2
    assert all(s.shape == (first.network.parameter_size,) for s in state)
    second.network.set_optimizer_state(state)
    for count in ("steps", "epochs", "updates"):
        setattr(second.network, count, getattr(first.network, count))
    for native in (first, second):
        networks.train_native(native.network, data, batch_size=8, epochs=2, optimizer=ADAM)
    for a, b in zip(first.read(), second.read(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_adam_begins_anew_at_compile(rng):
    """With m and v zero, its correction counts from there and not from the model's first step."""
    x, y = rng.normal(size=(16, WIDTHS[0])).astype(np.float32), rng.integers(0, 3, 16)
    data = networks.rows(x, y)
    native, _ = problem("softmax_cross_entropy", "adam", ADAM, "float64", rng)
    networks.train_native(native.network, data, batch_size=16, epochs=50, optimizer=ADAM)
    networks.compile_native(native.network, loss="softmax_cross_entropy", optimizer="adam")
    assert (native.network.steps, native.network.updates) == (50, 0)
    before = native.read()
    networks.train_native(native.network, data, batch_size=16, optimizer=ADAM | {"epsilon": 1e-300})
    moved = [np.abs(b - a)[b != a] for a, b in zip(before, native.read(), strict=True)]
    # m_hat / sqrt(v_hat) is the sign of the gradient at the first step.
    np.testing.assert_allclose(np.concatenate(moved), ADAM["learning_rate"], rtol=1e-9)


def test_frozen_parameters_stay(rng):
    native, _ = problem("softmax_cross_entropy", "adam", ADAM, "float32", rng)
    flags = [True, True, False, True, True, False]
    native.network.set_trainable(flags)
    networks.compile_native(native.network, loss="softmax_cross_entropy", optimizer="adam")
    before = native.read()
    data = networks.rows(rng.normal(size=(8, WIDTHS[0])), rng.integers(0, 3, 8))
    networks.train_native(
        native.network, data, batch_size=4, epochs=2, optimizer=ADAM | {"weight_decay": 0.1}
    )
    changed = [not np.array_equal(a, b) for a, b in zip(before, native.read(), strict=True)]
    assert changed == flags


# -- by the public names --------------------------------------------------------------------

PUBLIC = {
    "sgd": (lambda: optimizers.SGD(0.1), "sgd", SGD),
    "nesterov": (
        lambda: optimizers.SGD(learning_rate=0.1, momentum=0.9, nesterov=True),
        "sgd",
        SGD | {"momentum": 0.9, "nesterov": 1.0},
    ),
    "default sgd": (lambda: "sgd", "sgd", SGD | {"learning_rate": 0.01}),
    "default adam": (lambda: "adam", "adam", ADAM | {"learning_rate": 1e-3}),
    "adam": (
        lambda: optimizers.Adam(0.02, beta_1=0.8, beta_2=0.95, epsilon=1e-3, weight_decay=0.05),
        "adam",
        OPTIMIZERS["adam all"][1],
    ),
}
LOSSES = {
    "sparse_categorical_crossentropy": "softmax_cross_entropy",
    "categorical_crossentropy": "softmax_cross_entropy",
    "binary_crossentropy": "sigmoid_cross_entropy",
    "mean_squared_error": "mean_squared_error",
}


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("how", ["fit", "train_on_batch"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("case", PUBLIC)
def test_model(case, loss, how, dtype, rng):
    optimizer, kind, settings = PUBLIC[case]
    op = LOSSES[loss]
    activations = ("relu", "silu", HEADS[op])
    model = networks.sequential(WIDTHS, activations, dtype=dtype)
    model.compile(optimizer=optimizer(), loss=loss)
    model.set_weights(cases.glorot(rng, WIDTHS))
    oracle = reference.Trainer(
        reference.Network(activations, op),
        model.get_weights(),
        kind,
        oracle_settings(kind, settings),
    )
    n = 11
    x, y = rng.normal(size=(n, WIDTHS[0])).astype(dtype), cases.targets_for(op, n, 3, rng)
    given = np.eye(3)[y] if loss == "categorical_crossentropy" else y
    if how == "fit":
        history = model.fit(x, given, batch_size=6, epochs=5, shuffle=False, verbose=0)
        got = history.history["loss"]
        expected = [oracle.epoch(x, y, np.arange(n), 6) for _ in range(5)]
    else:
        got = [float(model.train_on_batch(x, given)) for _ in range(10)]
        expected = [oracle.step(x, y) for _ in range(10)]
    check(got, expected, "trajectory", dtype, what="loss")
    for k, (w, e) in enumerate(zip(model.get_weights(), oracle.weights, strict=True)):
        assert w.dtype == dtype
        check(w, e, "trajectory", dtype, what=f"weight {k}")


def test_loss_options_by_name(rng):
    """label_smoothing and ignore_class of the public losses reach the kernel."""
    x, y = rng.normal(size=(9, WIDTHS[0])), rng.integers(0, 3, 9)
    for loss, given, options in (
        (losses.SparseCategoricalCrossentropy(ignore_class=1), y, {"ignore_class": 1}),
        (
            losses.CategoricalCrossentropy(label_smoothing=0.1),
            np.eye(3)[y],
            {"label_smoothing": 0.1},
        ),
    ):
        model = networks.sequential(WIDTHS, ("tanh", "tanh", "softmax"), dtype="float64")
        model.compile(optimizer="sgd", loss=loss)
        oracle = reference.Network(
            ("tanh", "tanh", "softmax"), "softmax_cross_entropy", options=options
        )
        value, gradients = model.value_and_grad(x, given)
        want, expected = oracle.value_and_grad(model.get_weights(), x, y)
        check(value, want, "network", "float64")
        for g, e in zip(gradients, expected, strict=True):
            check(g, e, "network", "float64")
