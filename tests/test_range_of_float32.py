"""Numbers that float32 does not hold: checked as they are given, and no warning of NumPy's leaks.

pytest turns every warning into an error.
"""

from __future__ import annotations

from typing import Any

import networks
import numpy as np
import pytest
from losses import LOSSES, op

import fastnn
from fastnn import initializers, layers, ops

Z = np.zeros((4, 3), np.float32)
# An argument for each loss, in the shape that its targets have.
TARGETS = {name: np.eye(4, 3) + np.eye(4, 3, -3) for name in LOSSES}
WRONG = [1e-31, 1e-46, 5e-324, -1e-46, 1e31, 1e39, 1e308, np.inf]


@pytest.mark.parametrize("weight", WRONG)
@pytest.mark.parametrize("name", LOSSES)
def test_weights_of_rows(name: str, weight: float) -> None:
    """A weight of a row that would become 0 or infinite is refused, with its value."""
    weights = np.array([1, 1, weight, 1])
    with pytest.raises(ValueError, match=r"sample_weight: expected 0 or .* at row 2") as error:
        op(name)(Z, TARGETS[name], sample_weight=weights)
    assert f"{weight:g}" in str(error.value)
    with pytest.raises(ValueError, match=r"sample_weight: .* at row 2"):
        op(name)(Z.astype(np.float64), TARGETS[name], sample_weight=list(weights))


@pytest.mark.parametrize("name", LOSSES)
def test_weights_in_any_type_give_the_same_bits(name: str) -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(size=(4, 3)).astype(np.float32)
    targets = TARGETS[name]
    if name in ("gamma", "tweedie"):  # of positive numbers
        z, targets = abs(z) + np.float32(0.5), np.maximum(targets, 0.5)
    weights = np.array([0, 1, 0.5, 3])
    loss, gradient = op(name)(z, targets.astype(np.float32), sample_weight=weights)
    for kind in ("float16", "float32", ">f8"):
        again = op(name)(z, targets.astype(kind), sample_weight=weights.astype(kind))
        if kind != ">f8" or name in ("softmax_cross_entropy", "sigmoid_cross_entropy"):
            assert again[0] == loss
            assert again[1].tobytes() == gradient.tobytes()


@pytest.mark.parametrize("weight", WRONG)
def test_pos_weight(weight: float) -> None:
    for given in (weight, np.array(weight), [1.0, weight, 2.0]):
        label = 1 if isinstance(given, list) else 0
        with pytest.raises(ValueError, match=f"pos_weight: expected 0 or .* at label {label}"):
            ops.sigmoid_cross_entropy(Z, TARGETS["sigmoid_cross_entropy"], pos_weight=given)


@pytest.mark.parametrize("wrong", [-1e-46, 1e39, -1e39, 1 + 1e-12])
def test_targets_in_float64_beside_float32(wrong: float) -> None:
    """As `fit` does, which looks at y as it is."""
    targets = TARGETS["sigmoid_cross_entropy"].copy()
    targets[2, 1] = wrong
    with pytest.raises(
        ValueError, match=r"targets: expected numbers in \[0, 1\].* row 2, column 1"
    ):
        ops.sigmoid_cross_entropy(Z, targets)
    if wrong < 1 or wrong > 2:
        with pytest.raises(ValueError, match=r"labels: expected .* row 2"):
            ops.softmax_cross_entropy(Z, targets)


def test_tiny_targets_are_taken() -> None:
    """A probability below float32's range is one of 0."""
    targets = np.array([[1.0, 1e-50, 0.0]])
    plain = np.array([[1.0, 0.0, 0.0]], np.float32)
    for name in ("softmax_cross_entropy", "sigmoid_cross_entropy"):
        found, wanted = op(name)(Z[:1], targets), op(name)(Z[:1], plain)
        assert found[0] == wanted[0]
        np.testing.assert_array_equal(found[1], wanted[1])


X = np.ones((2, 3), np.float32)
TOO_LARGE: dict[str, tuple[Any, str]] = {
    "slope": (lambda: ops.activation_forward(X, "leaky_relu", parameter=1e39), "parameter"),
    "slope backward": (
        lambda: ops.activation_backward(X, X, X, "elu", parameter=1e39),
        "parameter",
    ),
    "slope of a layer": (
        lambda: ops.dense_forward(X, X.T.copy(), None, "elu", activation_parameter=1e39),
        "activation_parameter",
    ),
    "epsilon": (lambda: ops.layer_normalization(X, epsilon=1e39), "epsilon"),
    "epsilon backward": (lambda: ops.layer_normalization_backward(X, X, epsilon=1e39), "epsilon"),
    "delta": (lambda: ops.huber(X, X, delta=1e39), "delta"),
    "rate": (lambda: ops.sgd_step(X.copy(), X, None, learning_rate=1e39), "learning_rate"),
    "decay": (
        lambda: ops.sgd_step(X.copy(), X, None, learning_rate=1, weight_decay=1e39),
        "weight_decay",
    ),
    "epsilon of a step": (
        lambda: ops.adam_step(X.copy(), X, X * 0, X * 0, step=1, epsilon=1e39),
        "epsilon",
    ),
}


@pytest.mark.parametrize("case", TOO_LARGE)
def test_options_beyond_float32(case: str) -> None:
    call, argument = TOO_LARGE[case]
    match = rf"^{argument}[^:]*: expected a finite number .*got 1e\+39"
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize("wrong", [1e39, -1e-46, 1 + 1e-12, 0.5, np.nan, np.inf])
def test_numbers_of_rows_of_a_table(wrong: float) -> None:
    table = np.ones((3, 2), np.float32)
    with pytest.raises(ValueError, match=r"x: expected whole numbers in \[0, 3\).* row 1"):
        ops.embedding(np.array([0.0, wrong]), table)
    with pytest.raises(ValueError, match=r"x: expected whole numbers in \[0, 3\).* row 1"):
        ops.embedding_backward(np.ones((2, 2), np.float32), np.array([0.0, wrong]), 3)


def test_in_a_model() -> None:
    """Weights, first values, x and y beyond float32 are refused; float64 holds them."""
    model = networks.sequential((3, 2), ("linear",))
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"kernel: .*float32, got 1e\+39 at \(2, 1\)"):
        model.layers[0].kernel.assign([[0, 0], [0, 0], [0, 1e39]])
    with pytest.raises(ValueError, match=r"bias: expected finite numbers of float32, got -1e\+39"):
        model.set_weights([np.zeros((3, 2)), [0, -1e39]])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for first in (initializers.Constant(1e39), lambda shape, _dtype: np.full(shape, 1e39)):
        with pytest.raises(ValueError, match=r"finite numbers of float32, got 1e\+39"):
            fastnn.Sequential([layers.Dense(2, kernel_initializer=first, input_shape=(3,))])
        wide = layers.Dense(2, kernel_initializer=first, input_shape=(3,))
        held = fastnn.Sequential([wide], dtype="float64").get_weights()[0]
        np.testing.assert_array_equal(held, 1e39)
    model.compile("sgd", "mse")
    x, y = np.ones((4, 3)), np.ones((4, 2))
    for call in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(ValueError, match=r"x: .*float32, got 1e\+39 at row 0"):
            call(x * 1e39, y)
        with pytest.raises(ValueError, match=r"y: .*float32, got 1e\+39 at row 0"):
            call(x, y * 1e39)
    for predict in (model.predict, model.predictor()):
        with pytest.raises(ValueError, match=r"x: .*float32, got 1e\+39 at row 0"):
            predict(x * 1e39)
