"""Steps of Variables by gradients that a program has: `optimizer.apply_gradients` and its like."""

from __future__ import annotations

import contextlib
import copy
import gc
import pickle
import signal
import sys
import threading
import time
import weakref
from typing import Any

import interrupted
import numpy as np
import pytest

import fastnn
from fastnn import layers, losses, optimizers
from fastnn import math as f


def test_apply_gradients_changes_all_or_nothing() -> None:
    w, b = fastnn.Variable([1.0, 2.0]), fastnn.Variable(3.0)
    optimizer = optimizers.SGD(1.0)
    with pytest.raises(ValueError, match="no variable has a gradient"):
        optimizer.apply_gradients([(None, w), (None, b)])
    with pytest.raises(ValueError, match=r"expected shape \(2,\)"):
        optimizer.apply_gradients([(1.0, b), ([1.0], w)])
    assert (w.numpy().tolist(), float(b.numpy())) == ([1.0, 2.0], 3.0)
    with pytest.warns(UserWarning, match="no gradient for variable"):
        assert optimizer.apply_gradients([([1.0, 1.0], w), (None, b)]) == 1
    assert (w.numpy().tolist(), float(b.numpy())) == ([0.0, 1.0], 3.0)


def test_averages_of_a_loop() -> None:
    w = fastnn.Variable([0.0])
    optimizer = optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    for _ in range(2):
        optimizer.apply_gradients([([-1.0], w)])
    assert w.numpy() == 2
    optimizer.finalize_variable_values([w])
    assert w.numpy() == 1.5


def test_a_step_reaches_variables_of_several_buffers_and_types() -> None:
    a, b = fastnn.Variable([1.0, 2.0]), fastnn.Variable([3.0], dtype="float64")
    model = fastnn.Sequential([layers.Dense(2, input_shape=(3,))])
    kernel, bias = model.weights
    before = kernel.numpy()
    version = kernel.place.parameters.version
    grads = [[1.0, 1.0], np.ones((3, 2)), [0.5]]
    optimizers.SGD(0.5).apply_gradients(zip(grads, [a, kernel, b], strict=True))
    assert (a.numpy().tolist(), b.numpy().tolist()) == ([0.5, 1.5], [2.75])
    np.testing.assert_allclose(kernel.numpy(), before - 0.5, rtol=1e-6)
    assert not bias.numpy().any()
    assert kernel.place.parameters.version > version
    np.testing.assert_allclose(model.predict(np.eye(3)), before - 0.5, rtol=1e-6)


def test_a_variable_that_is_named_twice_makes_two_steps() -> None:
    twice, once = fastnn.Variable([1.0]), fastnn.Variable([1.0])
    both, single = optimizers.Adam(0.1), optimizers.Adam(0.1)
    both.apply_gradients([([1.0], twice), ([2.0], twice)])
    single.apply_gradients([([1.0], once)])
    single.apply_gradients([([2.0], once)])
    assert twice.numpy() == once.numpy()


def test_steps_of_a_variable_count_for_themselves() -> None:
    """The first step of Adam is the learning rate, whatever other Variables did before."""
    a, b = fastnn.Variable([0.0]), fastnn.Variable([0.0])
    optimizer = optimizers.Adam(0.1)
    for _ in range(3):
        optimizer.apply_gradients([([1.0], a)])
    optimizer.apply_gradients([([1.0], b), ([1.0], a)])  # another order and number
    optimizer.apply_gradients([([1.0], a)])
    assert float(b.numpy()[0]) == pytest.approx(-0.1, rel=1e-5)
    assert float(a.numpy()[0]) == pytest.approx(-0.5, rel=1e-5)


def test_state_follows_a_variable_that_moves() -> None:
    """`add` moves the parameters of a chain to a larger buffer."""
    weights = []
    for adds in (False, True):
        model = fastnn.Sequential([layers.Dense(3, input_shape=(2,))], seed=1)
        kernel, optimizer = model.weights[0], optimizers.Adam(0.1)
        optimizer.apply_gradients([(np.ones((2, 3)), kernel)])
        if adds:
            model.add(layers.Dense(4))
        optimizer.apply_gradients([(-np.ones((2, 3)), kernel)])
        weights.append(kernel.numpy())
    np.testing.assert_array_equal(*weights)


def test_an_optimizer_does_not_keep_a_model_that_is_gone() -> None:
    model = fastnn.Sequential([layers.Dense(3, input_shape=(2,))])
    optimizer, (kernel, bias) = optimizers.Adam(0.1), model.weights
    optimizer.apply([np.ones((2, 3)), np.ones(3)], [kernel, bias])
    gone = weakref.ref(kernel.place.parameters)
    del model, kernel, bias
    gc.collect()
    assert gone() is None
    with pytest.raises(ValueError, match="gone"):
        optimizer.apply([np.ones((2, 3)), np.ones(3)])


def test_no_step_is_made_while_a_model_is_trained() -> None:
    """Nothing changes then: weights, moments and the number of steps."""
    model = fastnn.Sequential([layers.Dense(64, input_shape=(64,))], seed=1)
    free = fastnn.Variable([1.0])
    model.compile("sgd", "mse")
    optimizer, used = optimizers.Adam(0.1), optimizers.Adam(0.1)
    x, zeros = np.zeros((64, 64), np.float32), np.zeros(64)
    thread = threading.Thread(target=lambda: model.fit(x, x, epochs=20_000, verbose=0))
    thread.start()
    try:
        for _ in range(1000):  # it takes a moment until training begins
            with contextlib.suppress(RuntimeError):
                used.apply_gradients([(zeros, model.weights[1])])
                time.sleep(0.01)
                continue
            break
        with pytest.raises(RuntimeError, match="trained in another thread"):
            optimizer.apply_gradients([([1.0], free), (zeros, model.weights[1])])
    finally:
        model.stop_training = True
        thread.join()
    assert (optimizer.iterations, free.numpy().tolist()) == (0, [1.0])
    optimizer.apply_gradients([([1.0], free)])
    assert float(free.numpy()[0]) == pytest.approx(0.9, rel=1e-5)


def test_steps_beside_predictions_in_another_thread() -> None:
    """A prediction sees the weights between two steps, never in the middle of one."""
    model = fastnn.Sequential([layers.Dense(256, use_bias=False, input_shape=(2048,))])
    kernel = model.weights[0]
    kernel.assign(np.zeros(kernel.shape))
    grad, x = -np.ones(kernel.shape, np.float32), np.ones((1, 2048), np.float32)
    seen: list[Any] = []
    ends = threading.Event()

    def predicts() -> None:
        while not ends.is_set():
            seen.append(model.predict(x))

    thread = threading.Thread(target=predicts)
    thread.start()
    optimizer = optimizers.SGD(1.0)
    for _ in range(300):
        optimizer.apply_gradients([(grad, kernel)])
    ends.set()
    thread.join()
    assert (kernel.numpy() == 300).all()
    steps = np.array(seen) / 2048
    assert (steps == np.round(steps[..., :1])).all()


def test_apply_takes_two_lists_as_in_keras() -> None:
    a, b = fastnn.Variable([1.0]), fastnn.Variable([2.0])
    optimizer = optimizers.SGD(1.0)
    with pytest.raises(ValueError, match=r"call build\(variables\) first"):
        optimizer.apply([[1.0]])
    assert optimizer.apply([[1.0], [0.5]], [a, b]) == 1
    assert optimizer.apply([[1.0], [0.5]]) == 2
    assert (a.numpy(), b.numpy()) == (-1, 1)
    with pytest.raises(ValueError, match="each of 2 variables, got 1"):
        optimizer.apply([[1.0]])
    with pytest.raises(ValueError, match="each of 1 variables, got 2"):
        optimizer.apply([[1.0], [1.0]], [a])
    other = optimizers.SGD(1.0)
    other.build([a])
    assert other.apply([[1.0]]) == 1
    with pytest.raises(TypeError, match="build: expected Variables, got 3"):
        other.build([3])  # type: ignore[list-item]
    again, (c, d) = copy.deepcopy((optimizer, (a, b)))
    assert again.apply([[1.0], [1.0]]) == 3
    assert (c.numpy(), d.numpy(), a.numpy()) == (-3, 0, -2)


def test_minimize_as_in_tf_keras() -> None:
    w, b = fastnn.Variable([3.0]), fastnn.Variable([1.0])
    optimizer = optimizers.SGD(0.5)
    assert optimizer.minimize(lambda: f.reduce_sum(w * w), [w]) == 1
    assert w.numpy() == 0
    w.assign([3.0])
    with fastnn.GradientTape() as tape:
        loss = f.reduce_sum(w * b)
    assert optimizer.minimize(loss, lambda: [w, b], tape=tape) == 2
    assert (w.numpy(), b.numpy()) == (2.5, -0.5)
    frozen = fastnn.Variable([1.0], trainable=False)  # watched because it is asked for
    optimizer.minimize(lambda: f.reduce_sum(2 * frozen), frozen)
    assert frozen.numpy() == 0
    with pytest.raises(ValueError, match="minimize: loss: give the tape"):
        optimizer.minimize(loss, [w])
    model = fastnn.Sequential([layers.Dense(1, input_shape=(2,))])
    optimizer.minimize(
        lambda: losses.MeanSquaredError()([[1.0]], model([[1.0, 2.0]])),
        lambda: model.trainable_variables,
    )


@pytest.mark.parametrize("again", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_an_optimizer_with_state_is_copied(again: Any) -> None:
    optimizer = optimizers.Adam(0.1)
    w = fastnn.Variable([1.0])
    optimizer.apply_gradients([([1.0], w)])
    other = again(optimizer)
    assert other.iterations == 1
    assert other.get_config() == optimizer.get_config()


@pytest.mark.parametrize("layout", ["transposed", "broadcast"])
def test_gradients_of_any_layout(layout: str) -> None:
    w = fastnn.Variable(np.zeros((2, 3), np.float32))
    given = (
        f.transpose(np.arange(6, dtype=np.float32).reshape(3, 2))
        if layout == "transposed"
        else f.broadcast_to(np.array([1, 2, 3], np.float32), (2, 3))
    )
    for _ in range(2):
        optimizers.SGD(1.0).apply_gradients([(given, w)])
    optimizers.Adam(1.0).apply_gradients([(given, w)])
    moved = 2 * given.numpy() + (given.numpy() != 0)
    np.testing.assert_allclose(w.numpy(), -moved, rtol=1e-5)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("handler", ["raises", "predicts", "steps"])
def test_a_signal_while_a_step_waits_for_a_prediction(handler: str) -> None:
    """The step waits until a prediction in another thread has read the weights, but not deaf."""
    model = fastnn.Sequential(
        [layers.Dense(256, "relu", input_shape=(256,)), layers.Dense(256, "relu"), layers.Dense(1)]
    )
    bias, optimizer = model.weights[-1], optimizers.SGD(1.0)
    many = np.broadcast_to(np.ones(256, np.float32), (800_000, 256))
    few = np.ones((1, 256), np.float32)
    found: list[Any] = []

    class Stop(Exception):
        pass

    def handles(*_: Any) -> None:
        if not reads.is_alive():
            found.append("too late")
        if handler == "raises":
            raise Stop
        try:
            if handler == "predicts":
                model.predict(few)
            else:
                optimizer.apply_gradients([([1.0], bias)])
        except RuntimeError as error:
            found.append(str(error))

    reads = threading.Thread(target=lambda: found.append(model.predict(many)[-1, 0]))
    before = signal.signal(signal.SIGALRM, handles)
    try:
        reads.start()
        time.sleep(0.1)
        signal.setitimer(signal.ITIMER_REAL, 0.15)
        if handler == "raises":
            with pytest.raises(Stop):
                optimizer.apply_gradients([([1.0], bias)])
            assert (bias.numpy()[0], optimizer.iterations) == (0, 0)
        else:
            optimizer.apply_gradients([([1.0], bias)])
            assert (bias.numpy()[0], optimizer.iterations) == (-1, 1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        reads.join()
    if "too late" in found:
        pytest.skip("the prediction had ended")
    if handler != "raises":
        assert "this signal handler interrupted" in found[0]
    optimizer.apply_gradients([([1.0], bias)])
    assert np.isfinite(model.predict(few)).all()


def test_an_interrupt_at_any_line_makes_the_whole_step_or_none() -> None:
    def start() -> Any:
        variables = fastnn.Variable([1.0]), fastnn.Variable([1.0])
        return optimizers.SGD(1.0, momentum=0.5), variables

    def step(made: Any) -> None:
        optimizer, (a, b) = made
        optimizer.apply_gradients([([0.5], a), ([0.5], b)])

    seen = set()
    for _, (a, b) in interrupted.everywhere(start, step):
        assert a.numpy() == b.numpy()
        seen.add(float(a.numpy()[0]))
    assert seen == {1.0, 0.5}
