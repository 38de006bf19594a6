"""Wrong arguments of operations: errors name the argument and the value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn as tf

X = tf.constant(np.ones((2, 3), np.float32))
WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: tf.cast(X, "zz"), TypeError, r"cast: got x=Tensor of shape \(2, 3\), dtype='zz'"),
    (lambda: tf.one_hot([1], "x"), TypeError, r"one_hot: got indices=\[1\], depth='x'"),
    (lambda: tf.argmax(X, axis="q"), TypeError, "argmax: got .*axis='q'"),
    (lambda: tf.argmax(X, axis=5), ValueError, "argmax: got .*axis=5"),
    (lambda: tf.reshape(X, (4, 2)), ValueError, r"reshape: got .*\(2, 3\), shape=\(4, 2\)"),
    (lambda: tf.math.sin("a"), TypeError, "x: expected numbers, got 'a'"),
    (lambda: tf.sign("a"), TypeError, "x: expected numbers, got 'a'"),
    (lambda: tf.equal(X, "a"), TypeError, "b: expected numbers, got 'a'"),
    (lambda: tf.add(X, None), TypeError, "b: expected numbers, got None"),
    (lambda: tf.add(X, np.ones(2)), ValueError, r"add: got a=Tensor .*, b=ndarray of shape \(2,\)"),
    (lambda: tf.maximum(X, np.ones(2)), ValueError, r"maximum: got .*b=ndarray of shape \(2,\)"),
    (lambda: tf.concat([X, np.ones((3, 4))], 0), ValueError, r"concat: got values=\[Tensor of"),
    (lambda: tf.reduce_sum(X, axis="q"), TypeError, "reduce_sum: got .*axis='q'"),
    (lambda: tf.reduce_sum(X, axis=2), ValueError, "axis: expected axes of 2, got 2"),
    (lambda: tf.transpose(X, (0, 5)), ValueError, r"transpose: got .*perm=\(0, 5\)"),
    (lambda: tf.tile(X, 3), TypeError, "tile: got .*multiples=3"),
    (lambda: tf.gather(X, [7]), IndexError, r"gather: got .*indices=\[7\]"),
    (lambda: tf.zeros("a"), TypeError, "zeros: got shape='a'"),
    (lambda: tf.linalg.eye("a"), ValueError, "eye: got num_rows='a'"),
    (lambda: tf.random.normal("a"), TypeError, "shape: expected numbers, got 'a'"),
    (lambda: tf.random.uniform((2,), dtype="zz"), TypeError, "uniform: got .*dtype='zz'"),
    (lambda: tf.linspace(0, 1, "a"), ValueError, "linspace: got .*num='a'"),
    (lambda: tf.argsort(X, axis=9), ValueError, "argsort: got .*axis=9"),
    (lambda: tf.where(X, "a", 1), TypeError, "a: expected numbers, got 'a'"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_errors_name_the_argument(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}") as caught:
        call()
    assert type(caught.value) is error


def test_calls_without_arguments_say_which() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'shape'"):
        tf.math.reshape(X)  # type: ignore[call-arg]


def model() -> tf.Sequential:
    return tf.Sequential([tf.layers.Dense(2, input_shape=(3,))])


SGD, KERNEL = tf.optimizers.SGD(), model().trainable_variables[0]
OF_TRAINING: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: SGD.minimize(lambda: tf.constant(1.0), 3), TypeError, "minimize: var_list: .*got 3"),
    (lambda: SGD.minimize(lambda: tf.constant(1.0), [3]), TypeError, "minimize: var_list: .*got 3"),
    (lambda: SGD.apply_gradients(3), TypeError, "apply_gradients: grads_and_vars: .*got 3"),
    (lambda: SGD.apply_gradients([3]), TypeError, "apply_gradients: grads_and_vars: .*got 3"),
    (lambda: SGD.apply(3, [KERNEL]), TypeError, "apply: grads: .*got 3"),
    (
        lambda: SGD.apply_gradients([(np.ones((2, 2)), KERNEL)]),
        ValueError,
        r"gradient of .*kernel: expected shape \(3, 2\), got \(2, 2\)",
    ),
    (
        lambda: SGD.apply_gradients([("a", KERNEL)]),
        TypeError,
        "gradient of .*kernel: expected numbers, got 'a'",
    ),
    (lambda: model().compile(loss=3), TypeError, "loss: expected a name .*got 3"),
    (lambda: model().compile(3, "mse"), TypeError, "optimizer: expected a name .*got 3"),
    (lambda: model().compile("sgd", "mse", metrics=[3]), TypeError, "metrics: .*got 3"),
    (lambda: model()("x"), TypeError, "x: expected numbers, got 'x'"),
    (lambda: model()(None), TypeError, "x: expected numbers, got None"),
]


@pytest.mark.parametrize(("call", "error", "message"), OF_TRAINING)
def test_errors_of_training_name_the_argument(
    call: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{message}"):
        call()


@pytest.mark.parametrize("way", ["fit", "validate", "evaluate", "predict", "call"])
def test_a_number_that_is_not_finite_is_named_by_its_input(way: str) -> None:
    a, b = np.ones((4, 3)), np.ones((4, 2))
    b[2, 1] = np.inf
    inputs = [tf.Input((3,)), tf.Input((2,))]
    model = tf.Model(inputs, tf.keras.layers.Dense(1)(tf.keras.layers.Concatenate()(inputs)))
    model.compile("sgd", "mse")
    y = np.ones(4)
    calls: dict[str, Callable[[], Any]] = {
        "fit": lambda: model.fit([a, b], y, verbose=0),
        "validate": lambda: model.fit(
            [a, a[:, :2]], y, validation_data=([a, b], y), epochs=1, verbose=0
        ),
        "evaluate": lambda: model.evaluate([a, b], y, verbose=0),
        "predict": lambda: model.predict([a, b]),
        "call": lambda: model([a, b]),
    }
    with pytest.raises(
        ValueError, match=r"x\[1\]: expected finite numbers, got inf at row 2, column 1"
    ):
        calls[way]()
