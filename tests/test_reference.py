"""The oracle itself: central differences, SciPy, and numbers that can be worked out by hand."""

from __future__ import annotations

from functools import partial

import cases
import numpy as np
import pytest
import reference
from scipy import special
from tolerances import check


@pytest.mark.parametrize("name", cases.ACTIVATIONS)
def test_slopes(name, rng):
    x = rng.normal(size=200) * 4
    x = x[np.abs(x) > 0.01]
    f = [reference.activation_forward(x + k * 1e-4, name) for k in (1, -1, 2, -2)]
    numeric = (8 * (f[0] - f[1]) - (f[2] - f[3])) / 12e-4
    slope = reference.activation_backward(np.ones_like(x), x, name)
    check(slope, numeric, "central difference", "float64")


def test_values():
    x = np.linspace(-40, 40, 801)
    for name, value in {
        "sigmoid": special.expit(x),
        "softplus": np.logaddexp(0, x),
        "gelu": x * special.ndtr(x),
        "silu": x * special.expit(x),
        "elu": np.where(x > 0, x, special.expm1(x)),
    }.items():
        got, scale = reference.activation_forward(x, name), cases.conditioning(name, x, value)
        check(got, value, "activation", "float64", scale=scale, what=name)


def test_losses(rng):
    z, y = 5 * rng.normal(size=(9, 4)), rng.integers(0, 4, 9)
    want = -special.log_softmax(z, axis=1)[np.arange(9), y].mean()
    assert reference.softmax_cross_entropy(z, y)[0] == pytest.approx(want, rel=1e-13)
    t = rng.random((9, 4))
    want = -(t * special.log_expit(z) + (1 - t) * special.log_expit(-z)).mean()
    assert reference.sigmoid_cross_entropy(z, t)[0] == pytest.approx(want, rel=1e-13)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(
    ("loss", "head"),
    [
        (loss, head)
        for loss in reference.LOSSES
        for head in dict.fromkeys((cases.head_for(loss), "tanh", "softmax", "sigmoid"))
        if loss not in cases.RATES or head != "tanh"  # its outputs must be positive
    ],
)
def test_gradients_of_a_network(loss, head, use_bias, rng):
    network = reference.Network(("gelu", head), loss, use_bias)
    weights = cases.glorot(rng, (4, 5, cases.outputs_for(loss, 3)), use_bias)
    x, y, w = rng.normal(size=(6, 4)), cases.targets_for(loss, 6, 3, rng), rng.random(6)
    if loss == "hinge":  # away from its kink
        while (np.abs(1 - y * network.predict(weights, x)) < 0.05).any():
            x = rng.normal(size=(6, 4))
    _, gradients = network.value_and_grad(weights, x, y, w)
    for k, g in enumerate(gradients):

        def f(value, k=k):
            return network.value_and_grad([*weights[:k], value, *weights[k + 1 :]], x, y, w)[0]

        check(g, cases.gradient(f, weights[k]), "central difference", "float64")


UNDER_TEST = {
    "mean_absolute_error": reference.mean_absolute_error,
    "huber": reference.huber,
    "huber, delta 0.3": partial(reference.huber, delta=0.3),
    "poisson": reference.poisson,
}


@pytest.mark.parametrize("case", UNDER_TEST)
def test_gradients_of_losses(case, rng):
    loss = UNDER_TEST[case]
    pred, target = 0.5 + rng.random((7, 3)), rng.poisson(2.0, (7, 3)) + 0.1
    weight = rng.random(7)
    _, gradient = loss(pred, target, sample_weight=weight)
    numeric = cases.gradient(lambda p: loss(p, target, sample_weight=weight)[0], pred)
    check(gradient, numeric, "central difference", "float64")


def test_losses_by_hand():
    """Rows of errors (0.5, -3) and (1, 0), of weights 3 and 1."""
    pred, target = np.array([[1.5, 0.0], [2.0, 1.0]]), np.array([[1.0, 3.0], [1.0, 1.0]])
    weight = np.array([3.0, 1.0])
    loss, gradient = reference.huber(pred, target, sample_weight=weight)
    assert loss == (3 * (0.125 + 2.5) / 2 + (0.5 + 0) / 2) / 4
    np.testing.assert_array_equal(gradient, [[0.1875, -0.375], [0.125, 0]])
    loss, gradient = reference.huber(pred, target, delta=2.0, sample_weight=weight)
    assert loss == (3 * (0.125 + 4.0) / 2 + (0.5 + 0) / 2) / 4
    np.testing.assert_array_equal(gradient, [[0.1875, -0.75], [0.125, 0]])
    loss, gradient = reference.mean_absolute_error(pred, target, sample_weight=weight)
    assert loss == (3 * 3.5 / 2 + 1 / 2) / 4
    np.testing.assert_array_equal(gradient, [[0.375, -0.375], [0.125, 0]])
    loss, gradient = reference.poisson(np.array([[1.0, 0.0]]), np.array([[2.0, 0.0]]))
    assert loss == pytest.approx((1 - 2 * np.log(1 + 1e-7)) / 2, rel=1e-14)
    np.testing.assert_allclose(gradient, [[(1 - 2 / (1 + 1e-7)) / 2, 0.5]], rtol=1e-14)


def test_layer_normalization(rng):
    x, gamma, beta = rng.normal(size=(4, 6)), rng.normal(size=6), rng.normal(size=6)
    plain = reference.layer_normalization(x, np.ones(6), np.zeros(6), epsilon=0.0)
    np.testing.assert_allclose(plain.mean(axis=1), 0, atol=1e-15)
    np.testing.assert_allclose(plain.std(axis=1), 1, rtol=1e-14)
    two = reference.layer_normalization([[1.0, 3.0]], [2.0, 4.0], [5.0, 6.0], epsilon=3.0)
    np.testing.assert_array_equal(two, [[4.0, 8.0]])  # the deviation is sqrt(1 + 3)
    dy = rng.normal(size=(4, 6))
    given = {"x": x, "gamma": gamma, "beta": beta}
    found = reference.layer_normalization_backward(dy, x, gamma)
    for (name, value), gradient in zip(given.items(), found, strict=True):

        def f(v, name=name):
            return (dy * reference.layer_normalization(**given | {name: v})).sum()

        check(gradient, cases.gradient(f, value), "central difference", "float64", what=name)


def test_optimizers_by_hand():
    p, v = reference.sgd_step(
        np.array([1.0]), np.array([2.0]), np.array([4.0]), learning_rate=0.5, momentum=0.5
    )
    assert (p[0], v[0]) == (2.0, 1.0)
    p, v = reference.sgd_step(
        np.array([1.0]),
        np.array([2.0]),
        np.array([4.0]),
        learning_rate=0.5,
        momentum=0.5,
        nesterov=True,
        weight_decay=1.0,
    )
    assert (p[0], v[0]) == (0.5 + 0.5 * 1.0 - 1.0, 1.0)
    p, m, v = reference.adam_step(
        *(np.array([s]) for s in (1.0, 2.0, 0.0, 0.0)),
        step=1,
        learning_rate=0.5,
        beta_1=0.5,
        beta_2=0.75,
        epsilon=2.0,
    )
    assert (p[0], m[0], v[0]) == (1 - 0.5 * 2 / (2 + 2), 1.0, 1.0)
    p, m = reference.lion_step(
        *(np.array([1.0, 1.0, 1.0]), np.array([3.0, -1.0, -2.0]), np.array([1.0, 1.0, 2.0])),
        learning_rate=0.5,
        beta_1=0.5,
        beta_2=0.75,
        weight_decay=0.5,
    )
    np.testing.assert_array_equal(p, [0.25, 0.75, 0.75])
    np.testing.assert_array_equal(m, [1.5, 0.5, 1.0])
    settings = {"learning_rate": 0.5, "rho": 0.5, "epsilon": 1.5}
    given = [np.array([s]) for s in (1.0, 3.0, 0.5, 8.0, 1.0)]
    p, velocity, m, mean = reference.rmsprop_step(*given, **settings)
    assert (p[0], velocity[0], mean[0], m[0]) == (1 - 1.5 / 2.5, 4.75, 1.0, 8.0)
    p, velocity, m, mean = reference.rmsprop_step(
        *given, **settings | {"epsilon": 3.25}, centered=True, momentum=0.25, weight_decay=1.0
    )
    assert (p[0], velocity[0], mean[0], m[0]) == (0.5 - 2.75, 4.75, 2.0, 2.75)


@pytest.mark.parametrize("optimizer", reference.OPTIMIZERS)
def test_a_trainer_descends(optimizer, rng):
    network = reference.Network(("tanh", "linear"), "mean_squared_error")
    trainer = reference.Trainer(
        network, cases.glorot(rng, (3, 5, 2)), optimizer, {"learning_rate": 0.01}
    )
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    losses = [trainer.step(x, y) for _ in range(30)]
    assert losses[-1] < losses[0]
    assert trainer.steps == 30


def test_relatives_of_adam_by_hand():
    """One step of each, of numbers whose roots and quotients are exact."""
    one = [np.array([s]) for s in (1.0, 2.0, 0.0, 0.0)]
    settings = {"learning_rate": 0.5, "beta_1": 0.5, "beta_2": 0.75, "epsilon": 2.0}
    # m = 1, v = 1, and v_max = 9 stays: the root of 9 / 0.25 is 6.
    p, m, v, v_max = reference.amsgrad_step(*one, np.array([9.0]), step=1, **settings)
    assert (p[0], m[0], v[0], v_max[0]) == (1 - 0.5 * 2 / (6 + 2), 1.0, 1.0, 9.0)
    # u = max(0.75 * 4, 2) = 3.
    p, m, u = reference.adamax_step(*one[:3], np.array([4.0]), step=1, **settings)
    assert (p[0], m[0], u[0]) == (1 - 0.5 * 1 / (0.5 * 5), 1.0, 3.0)
    # mu_1 = 0.26, mu_2 = 0.2696.
    p, m, v = reference.nadam_step(*one, step=1, **settings)
    ahead = 0.2696 * 1 / (1 - 0.26 * 0.2696) + 0.74 * 2 / 0.74
    assert p[0] == pytest.approx(1 - 0.5 * ahead / (2 + 2), rel=1e-14)
    p, total = reference.adagrad_step(*one[:2], np.array([3.0]), learning_rate=0.5, epsilon=2.0)
    assert (p[0], total[0]) == (1 - 0.5 * 2 / 3, 7.0)
    # gradients = 0.5 * 6 + 0.5 * 4 = 5, move = 2 / 3 * 2.
    p, gradients, moves = reference.adadelta_step(
        *one[:2], *(np.array([s]) for s in (6.0, 0.0)), learning_rate=0.5, rho=0.5, epsilon=4.0
    )
    assert (p[0], gradients[0]) == (1 - 0.5 * 2 / 3 * 2, 5.0)
    assert moves[0] == pytest.approx(0.5 * 16 / 9)
