"""The oracle itself: central differences, SciPy, and numbers that can be worked out by hand."""

from __future__ import annotations

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
        for head in ("linear", "tanh", "softmax", "sigmoid")
    ],
)
def test_gradients_of_a_network(loss, head, use_bias, rng):
    network = reference.Network(("gelu", head), loss, use_bias)
    weights = cases.glorot(rng, (4, 5, 3), use_bias)
    x, y, w = rng.normal(size=(6, 4)), cases.targets_for(loss, 6, 3, rng), rng.random(6)
    _, gradients = network.value_and_grad(weights, x, y, w)
    for k, g in enumerate(gradients):

        def f(value, k=k):
            return network.value_and_grad([*weights[:k], value, *weights[k + 1 :]], x, y, w)[0]

        check(g, cases.gradient(f, weights[k]), "central difference", "float64")


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
