"""Operations on numbers that are too large, infinite or NaN: values without NumPy's warnings.

Warnings are errors in these tests, as in programs that ask for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers

f = fastnn.math
EXTREME = np.array([[0.0, -1.0, 3e38], [3e38, 3e38, -3e38], [np.inf, -np.inf, np.nan]], np.float32)
PLACES: dict[str, Any] = {"fastnn.math": f, "fastnn.nn": fastnn.nn, "fastnn.linalg": fastnn.linalg}
CALLS: dict[str, Callable[..., Any]] = {
    "x": lambda function, x: function(x),
    "x, x": lambda function, x: function(x, x),
    "x, number": lambda function, x: function(x, 1e300),
    "x, integer": lambda function, x: function(x, 0),
    "x, type": lambda function, x: function(x, "float16"),
    "x, integers": lambda function, x: function(x, "int32"),
    "list": lambda function, x: function([x, x]),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("place", PLACES)
def test_no_operation_warns(place: str, call: str) -> None:
    """Forward, and back: what an operation refuses is not looked at."""
    done = 0
    for name in PLACES[place].__all__:
        function = getattr(PLACES[place], name)
        for values in (
            EXTREME,
            EXTREME.astype(np.float64) * 1e269,
            np.array([[0, -(2**31)], [7, 3]]),
        ):
            x = fastnn.constant(values)
            with fastnn.GradientTape() as tape:
                if x.dtype.kind == "f":
                    tape.watch(x)
                try:
                    y = CALLS[call](function, x)
                except (TypeError, ValueError, AttributeError, IndexError):
                    continue
            done += 1
            if isinstance(y, fastnn.Tensor) and y.dtype.kind == x.dtype.kind == "f":
                tape.gradient(y, x)
    assert done or place == "fastnn.linalg"


def test_values_are_those_of_arithmetic() -> None:
    assert float(f.log(0.0)) == -math.inf
    assert math.isnan(float(f.sqrt(-1.0)))
    large = fastnn.constant([3e38, 3e38])
    for value in (f.reduce_sum(large), large * large, large + large, large @ large):
        assert np.isinf(value.numpy()).all()
    for given in ([1e300], 1e300, np.float64(1e300)):
        assert np.isinf(f.cast(given, np.float32).numpy()).all()
    assert np.isinf((large + 1e300).numpy()).all()
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        np.log(np.zeros(3))  # arrays have NumPy's warnings


def by_sum(y_true: Any, y_pred: Any) -> Any:
    return f.reduce_sum(f.square(y_true - y_pred), axis=-1)


def by_product(y_true: Any, y_pred: Any) -> Any:
    return f.reduce_prod(1 + f.exp(y_pred - y_true), axis=-1)


def by_powers(y_true: Any, y_pred: Any) -> Any:
    return f.reduce_mean((y_true - y_pred) ** 4)


def by_division(y_true: Any, y_pred: Any) -> Any:
    return f.reduce_mean(f.square(y_pred) / (y_true - y_true))


def by_array(y_true: Any, y_pred: Any) -> Any:
    """A metric of plain NumPy."""
    return np.sum(np.square(np.asarray(y_true) - np.asarray(y_pred)), axis=-1)


@pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")
@pytest.mark.parametrize("own", [by_sum, by_product, by_powers, by_division])
@pytest.mark.parametrize("metrics", [None, [by_array]])
def test_a_divergence_is_told_as_such(own: Any, metrics: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    y = rng.normal(size=(60, 3)).astype(np.float32)
    model = fastnn.Sequential([layers.Dense(3, input_shape=(4,))], seed=1)
    model.compile(fastnn.optimizers.SGD(1e12), own, metrics=metrics)
    with pytest.raises(fastnn.TrainingDiverged, match="at epoch"):
        model.fit(x, y, batch_size=20, epochs=20, verbose=0, validation_data=(x, y))
    model.set_weights([w + np.float32(1e30) for w in model.get_weights()])
    model.evaluate(x, y, verbose=0)
    model.test_on_batch(x, y)
    model.predict(x)
    model.value_and_grad(x, y)


def test_a_loop_of_ones_own_does_not_warn() -> None:
    model = fastnn.Sequential([layers.Dense(3, input_shape=(4,))], seed=1)
    optimizer = fastnn.optimizers.SGD(1e12)
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    loss = 0.0
    for _ in range(20):
        with fastnn.GradientTape() as tape:
            value = f.reduce_mean(by_sum(0.0, model(x)))
        loss = float(value)
        if not math.isfinite(loss):
            break
        grads = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(grads, model.trainable_variables, strict=True))
    assert not math.isfinite(loss)
