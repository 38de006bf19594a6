"""Gradients that a program defines itself, equality of Variables, and what a gradient leaves out."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers


@fastnn.custom_gradient
def log1pexp(x: Any) -> Any:
    """The example of TensorFlow's documentation: grad uses what the forward pass has made."""
    e = fastnn.exp(x)

    def grad(dy: Any) -> Any:
        return dy * (1 - 1 / (1 + e))

    return fastnn.math.log(1 + e), grad


def test_a_second_derivative_goes_through_what_the_forward_pass_made() -> None:
    x = fastnn.constant(np.array([1.0, -2.0]))
    with fastnn.GradientTape() as outer:
        outer.watch(x)
        with fastnn.GradientTape() as inner:
            inner.watch(x)
            y = log1pexp(x)
        g = inner.gradient(y, x)
    s = 1 / (1 + np.exp([-1.0, 2.0]))
    np.testing.assert_allclose(g.numpy(), s, rtol=1e-12)
    np.testing.assert_allclose(outer.gradient(g, x).numpy(), s * (1 - s), rtol=1e-12)


def test_variables_of_a_custom_gradient() -> None:
    w = fastnn.Variable([1.0, 2.0], name="w")

    @fastnn.custom_gradient
    def scaled(x: Any) -> Any:
        def grad(dy: Any, variables: Any = None) -> Any:
            assert [variable.path for variable in variables] == ["w"]
            return dy * w, [10 * dy * x]

        return x * w, grad

    x = fastnn.constant([3.0, 4.0])
    with fastnn.GradientTape() as tape:
        tape.watch(x)
        y = scaled(x)
    dx, dw = tape.gradient(y, [x, w])
    assert (dx.numpy().tolist(), dw.numpy().tolist()) == ([1.0, 2.0], [30.0, 40.0])

    @fastnn.custom_gradient
    def forgetful(x: Any) -> Any:
        return x * w, lambda dy: dy

    with pytest.raises(TypeError, match="forgetful uses the variables w, so its grad has to take"):
        forgetful(x)


@pytest.mark.parametrize(
    ("grad", "message"),
    [
        (
            lambda _: fastnn.constant([1.0] * 5),
            r"gives shape \(5,\) for inputs\[0\] of shape \(2,\)",
        ),
        (lambda dy: (dy, dy), "gives 2 gradients for 1 inputs"),
    ],
)
def test_wrong_gradients(grad: Any, message: str) -> None:
    x = fastnn.constant([3.0, 4.0])
    with fastnn.GradientTape() as tape:
        tape.watch(x)
        y = fastnn.custom_gradient(lambda x: (x, grad))(x)
    with pytest.raises(ValueError, match=message):
        tape.gradient(y, x)


def test_arrays_are_gradients() -> None:
    x = fastnn.constant([3.0, 4.0])
    with fastnn.GradientTape() as tape:
        tape.watch(x)
        y = fastnn.custom_gradient(lambda x: (x, lambda dy: dy.numpy() * 7))(x)
    assert tape.gradient(y, x).numpy().tolist() == [7.0, 7.0]


def test_equality_of_variables_is_that_of_their_values() -> None:
    kernel, other = fastnn.Variable([[0.0, 1.0], [0.0, 2.0]]), fastnn.Variable([0.0, 1.0])
    assert (kernel == 0).numpy().tolist() == [[True, False], [True, False]]
    assert (kernel != 0).numpy().tolist() == [[False, True], [False, True]]
    assert (kernel == 0).numpy().tolist() == [[True, False], [True, False]]
    assert float(fastnn.reduce_mean(fastnn.cast(kernel == 0.0, "float32"))) == 0.5
    assert (kernel == other).numpy().tolist() == [[True, True], [True, False]]
    assert kernel != None
    assert {kernel: "k", other: "o"}[kernel] == "k"
    assert "1." in repr(other)


def test_states_of_an_optimizer_go_with_their_variables() -> None:
    optimizer = fastnn.optimizers.Adam()
    variables = [fastnn.Variable([1.0, 2.0]) for _ in range(3)]
    for variable in variables:
        optimizer.apply_gradients([([1.0, 1.0], variable)])
    assert len(optimizer._states.kept()) == 3
    gone = weakref.ref(variables.pop())
    del variable
    gc.collect()
    assert gone() is None
    assert len(optimizer._states.kept()) == 2


def test_a_gradient_does_not_go_back_over_what_leads_from_no_source() -> None:
    """A Variable that was changed meanwhile is no error where the gradient does not need it."""
    first, second = fastnn.Variable([1.0]), fastnn.Variable([2.0])
    with fastnn.GradientTape(persistent=True) as tape:
        y = first * 3.0
        z = second * second + y
    second.assign([5.0])
    assert tape.gradient(z, first).numpy().tolist() == [3.0]
    with pytest.raises(RuntimeError, match="was changed after it was used"):
        tape.gradient(z, second)


def test_second_derivatives_of_piecewise_linear_networks_are_zero() -> None:
    """Not None: the gradient depends on the inputs, by which side of the corner they are on."""
    model = fastnn.Sequential(
        [layers.Dense(8, "relu", input_shape=(3,)), layers.LeakyReLU(), layers.Dense(1)]
    )
    x = fastnn.constant(np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32))
    for training in (False, True):
        with fastnn.GradientTape() as outer:
            outer.watch(x)
            with fastnn.GradientTape() as inner:
                inner.watch(x)
                y = model(x, training=training)
            g = inner.gradient(y, x)
            penalty = fastnn.reduce_mean((fastnn.sqrt(fastnn.reduce_sum(g * g, 1)) - 1.0) ** 2)
        found = outer.gradient(penalty, [*model.trainable_variables, x])
        assert not found[-1].numpy().any()
        assert found[0].numpy().any()


def test_second_derivatives_of_dropout_are_refused() -> None:
    model = fastnn.Sequential([layers.Dense(3, "tanh", input_shape=(3,)), layers.Dropout(0.5)])
    x = fastnn.constant(np.ones((2, 3), np.float32))
    with fastnn.GradientTape() as outer:
        outer.watch(x)
        with fastnn.GradientTape() as inner:
            inner.watch(x)
            y = model(x, training=True)
        with pytest.raises(RuntimeError, match="would draw its noise again"):
            inner.gradient(y, x)
