"""Regularizers: values, gradients, and training with them, natively in each session and over the tape."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fastnn
from fastnn import _core, layers, optimizers, regularizers

Array = NDArray[Any]

W = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.5]])


def cosines(w: Array) -> float:
    """The mean of abs(cosine) over all pairs of rows."""
    unit = w / np.linalg.norm(w, axis=1, keepdims=True)
    products = np.abs(unit @ unit.T)
    pairs = len(w) * (len(w) - 1)
    return float((products.sum() - np.trace(products)) / pairs)


VALUES: dict[str, tuple[Callable[[], Any], float]] = {
    "l1": (lambda: regularizers.L1(0.5), 0.5 * np.abs(W).sum()),
    "l2": (lambda: regularizers.L2(0.5), 0.5 * (W**2).sum()),
    "both": (lambda: regularizers.L1L2(0.5, 0.25), 0.5 * np.abs(W).sum() + 0.25 * (W**2).sum()),
    "neither": (lambda: regularizers.L1L2(), 0.0),
    "the word l1": (lambda: regularizers.get("l1"), 0.01 * np.abs(W).sum()),
    "the word l2": (lambda: regularizers.get("L2"), 0.01 * (W**2).sum()),
    "the word l1_l2": (
        lambda: regularizers.get("l1_l2"),
        0.01 * np.abs(W).sum() + 0.01 * (W**2).sum(),
    ),
    "orthogonal": (lambda: regularizers.OrthogonalRegularizer(0.5), 0.5 * cosines(W)),
    "columns": (
        lambda: regularizers.OrthogonalRegularizer(0.5, mode="columns"),
        0.5 * cosines(W.T),
    ),
    "a function": (lambda: regularizers.get(largest), 0.3 * np.abs(W).max()),
}


def largest(w: Any) -> Any:
    return 0.3 * fastnn.math.reduce_max(fastnn.math.abs(w))


@pytest.mark.parametrize("name", VALUES)
def test_a_penalty_and_its_gradient(name: str) -> None:
    make, expected = VALUES[name]
    penalty = make()
    variable = fastnn.Variable(W)
    with fastnn.GradientTape() as tape:
        value = penalty(variable)
    assert float(value) == pytest.approx(expected, rel=1e-12)
    gradient = np.asarray(tape.gradient(value, variable))
    for place in np.ndindex(W.shape):
        step = np.zeros_like(W)
        step[place] = 1e-6
        slope = (float(penalty(W + step)) - float(penalty(W - step))) / 2e-6
        assert gradient[place] == pytest.approx(slope, abs=1e-7)


def test_what_is_no_regularizer() -> None:
    assert regularizers.get(None) is None
    with pytest.raises(ValueError, match=r"kernel_regularizer: .*did you mean 'l2'"):
        layers.Dense(3, kernel_regularizer="l22")
    with pytest.raises(ValueError, match=r"l2: .*-1"):
        regularizers.L2(-1)
    with pytest.raises(ValueError, match=r"expected a matrix, got an array of shape \(3,\)"):
        regularizers.OrthogonalRegularizer()(np.ones(3))
    assert regularizers.l2(0.5).get_config() == {"l2": 0.5}


# -- training ------------------------------------------------------------------------------------

ROWS, STEPS = 96, 6
L1, L2 = 0.02, 0.05


def problem() -> tuple[Array, Array]:
    draw = np.random.default_rng(3)
    return draw.normal(size=(ROWS, 5)), draw.normal(size=(ROWS, 3))


def weights() -> list[Array]:
    draw = np.random.default_rng(4)
    return [draw.normal(size=shape) for shape in ((5, 7), (7,), (7, 3), (3,))]


def regularized(
    optimizer: Any,
    dtype: str = "float64",
    device: str = "cpu",
    first: Any = None,
    **how: Any,
) -> fastnn.Sequential:
    first = regularizers.L1(L1) if first is None else first
    model = fastnn.Sequential(
        [
            layers.Dense(7, "tanh", kernel_regularizer=first, input_shape=(5,)),
            layers.Dense(
                3,
                kernel_regularizer=regularizers.L2(L2),
                bias_regularizer=regularizers.L1L2(L1, L2),
            ),
        ],
        dtype=dtype,
    )
    model.compile(optimizer, "mse", device=device, **how)
    model.set_weights(weights())
    return model


def penalties(w: list[Array]) -> float:
    both = L1 * np.abs(w[3]).sum() + L2 * (w[3] ** 2).sum()
    return float(L1 * np.abs(w[0]).sum() + L2 * (w[2] ** 2).sum() + both)


def trajectory(rate: float) -> tuple[list[float], list[Array]]:
    """Losses before each step of gradient descent on all rows, and the weights at the end."""
    x, y = problem()
    w = weights()
    losses = []
    for _ in range(STEPS):
        h = np.tanh(x @ w[0] + w[1])
        error = h @ w[2] + w[3] - y
        losses.append(float((error**2).mean()) + penalties(w))
        dz = 2 * error / error.size
        dh = dz @ w[2].T * (1 - h**2)
        gradients = [
            x.T @ dh + L1 * np.sign(w[0]),
            dh.sum(axis=0),
            h.T @ dz + 2 * L2 * w[2],
            dz.sum(axis=0) + L1 * np.sign(w[3]) + 2 * L2 * w[3],
        ]
        w = [a - rate * g for a, g in zip(w, gradients, strict=True)]
    return losses, w


def check_trained(model: fastnn.Sequential, limit: float) -> None:
    x, y = problem()
    losses, expected = trajectory(0.1)
    history = model.fit(
        x, y, batch_size=ROWS, epochs=STEPS, validation_data=(x, y), verbose=0
    ).history
    np.testing.assert_allclose(history["loss"], losses, rtol=limit)
    # The loss of the validation is that of the weights after the step.
    np.testing.assert_allclose(history["val_loss"][:-1], losses[1:], rtol=limit)
    for got, want in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=limit, atol=limit)
    h = np.tanh(x @ expected[0] + expected[1])
    mse = float(((h @ expected[2] + expected[3] - y) ** 2).mean())
    found = model.evaluate(x, y, verbose=0)
    assert found == pytest.approx(mse + penalties(expected), rel=limit)


@pytest.mark.parametrize("session", ["plain", "streaming", "tiled"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_native_training(dtype: str, session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_SESSION", session)
    model = regularized(optimizers.SGD(0.1), dtype)
    assert model._compiled("fit").native is not None
    check_trained(model, 2e-5 if dtype == "float32" else 1e-10)


@pytest.mark.parametrize("session", ["plain", "generic", "wide"])
def test_native_training_on_the_device(
    session: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    monkeypatch.setenv("FASTNN_SESSION", session)
    check_trained(regularized(optimizers.SGD(0.1), "float32", "cuda"), 2e-5)


class Lasso(regularizers.Regularizer):
    """L1 as a program would write it."""

    def __call__(self, x: Any) -> Any:
        return L1 * fastnn.math.reduce_sum(fastnn.math.abs(x))


@pytest.mark.parametrize("first", [Lasso(), lambda w: L1 * fastnn.math.reduce_sum(abs(w))])
def test_regularizers_of_ones_own_train_over_the_tape(first: Any) -> None:
    with pytest.warns(UserWarning, match="kernel_regularizer of the layer 'dense' is not part of"):
        check_trained(regularized(optimizers.SGD(0.1), first=first), 1e-10)


def test_the_penalty_of_several_batches_is_its_mean() -> None:
    x, y = problem()
    model = regularized(optimizers.SGD(0.05))
    plain = fastnn.Sequential(
        [layers.Dense(7, "tanh", input_shape=(5,)), layers.Dense(3)], dtype="float64"
    )
    plain.compile("sgd", "mse")
    total = 0.0
    for first in range(0, ROWS, 20):
        rows = slice(first, first + 20)
        plain.set_weights(model.get_weights())
        loss = plain.evaluate(x[rows], y[rows], verbose=0) + penalties(model.get_weights())
        total += loss * len(x[rows])
        assert model.train_on_batch(x[rows], y[rows]) == pytest.approx(loss, rel=1e-12)
    again = regularized(optimizers.SGD(0.05))
    history = again.fit(x, y, batch_size=20, shuffle=False, verbose=0).history
    assert history["loss"] == [pytest.approx(total / ROWS, rel=1e-12)]


def test_value_and_grad_have_the_penalty() -> None:
    x, y = problem()
    model = regularized("sgd")
    loss, gradients = model.value_and_grad(x, y)
    assert loss == pytest.approx(trajectory(0.1)[0][0], rel=1e-12)
    for i, place in ((0, (1, 2)), (2, (3, 1)), (3, (2,))):
        slopes = []
        for step in (1e-6, -1e-6):
            moved = weights()
            moved[i][place] += step
            model.set_weights(moved)
            slopes.append(model.evaluate(x, y, verbose=0))
        slope = (slopes[0] - slopes[1]) / 2e-6
        assert gradients[i][place] == pytest.approx(slope, abs=1e-7)


def test_a_penalty_is_no_sign_of_a_bad_fit() -> None:
    """What is compared with the best constant is the loss of the data."""
    draw = np.random.default_rng(3)
    x = draw.normal(size=(400, 1))
    y = 100 + 10 * x
    model = fastnn.Sequential([layers.Dense(1, input_shape=(1,))], dtype="float64")
    model.add(layers.Dense(1, bias_regularizer=regularizers.L1(10.0)))
    model.compile(optimizers.SGD(0.0), "mse")
    # y = 100 + 10 x, at a penalty of 1000 where the variance is 100.
    model.set_weights([np.eye(1), np.zeros(1), 10 * np.eye(1), np.full(1, 100.0)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = model.fit(x, y, batch_size=1, epochs=2, verbose=0).history
    assert history["loss"][-1] == pytest.approx(1000, rel=1e-9)


def test_a_shared_layer_has_one_penalty() -> None:
    x, _ = problem()
    inputs = fastnn.Input((5,))
    shared = layers.Dense(5, kernel_regularizer=regularizers.L2(0.5))
    model = fastnn.Model(inputs, shared(shared(inputs)))
    model.compile("sgd", "mse")
    y = np.ones((ROWS, 5))
    mse = np.mean((model.predict(x, verbose=0) - y) ** 2)
    penalty = 0.5 * (shared.kernel.numpy() ** 2).sum()
    assert model.evaluate(x, y, verbose=0) == pytest.approx(mse + penalty, rel=1e-6)
    assert [float(loss) for loss in model.losses] == [pytest.approx(penalty, rel=1e-6)]


def test_losses_of_a_model() -> None:
    """For a loop of one's own, as in Keras: one for each regularizer."""
    model = regularized("sgd")
    found = [float(loss) for loss in model.losses]
    assert sum(found) == pytest.approx(penalties(weights()), rel=1e-12)
    assert len(found) == 3
    model.layers[1].trainable = False
    assert len(model.losses) == 1
    assert model.layers[0].kernel.regularizer is model.layers[0].kernel_regularizer


def test_a_frozen_layer_has_no_penalty() -> None:
    x, y = problem()
    model = regularized("sgd")
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    w = weights()
    whole = model.evaluate(x, y, verbose=0)
    h = np.tanh(x @ w[0] + w[1])
    mse = float(((h @ w[2] + w[3] - y) ** 2).mean())
    rest = penalties(w) - L1 * np.abs(w[0]).sum()
    assert whole == pytest.approx(mse + rest, rel=1e-12)


def test_files_keep_regularizers(tmp_path: Path) -> None:
    x, y = problem()
    model = regularized(optimizers.Adam(0.01))
    model.fit(x, y, batch_size=20, epochs=2, verbose=0)
    model.save(tmp_path / "m.safetensors")
    made = fastnn.load_model(tmp_path / "m.safetensors")
    histories = [one.fit(x, y, batch_size=20, epochs=2, verbose=0).history for one in (model, made)]
    assert histories[0] == histories[1]
    for a, b in zip(model.get_weights(), made.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert made.layers[0].kernel_regularizer.get_config() == {"l1": L1}


def test_layer_normalization() -> None:
    x, y = problem()
    model = fastnn.Sequential(
        [
            layers.LayerNormalization(
                gamma_regularizer=regularizers.L2(0.5), beta_regularizer="l1", input_shape=(5,)
            ),
            layers.Dense(3),
        ],
        dtype="float64",
    )
    model.compile("sgd", "mse")
    w = model.get_weights()
    w[0], w[1] = w[0] * 2, w[1] + 3
    model.set_weights(w)
    mse = np.mean((model.predict(x, verbose=0) - y) ** 2)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(mse + 0.5 * 20 + 0.01 * 15, rel=1e-9)


def test_activity_of_layers() -> None:
    """activity_regularizer adds what ActivityRegularization behind the layer adds, as Keras's does:
    the penalty of the outputs over the rows of the batch; of a layer that joins inputs, too."""
    x, y = np.random.default_rng(4).normal(size=(2, 30, 4))
    layers = fastnn.layers
    penalty = regularizers.L1L2(0.01, 0.02)

    def chain(own: bool) -> fastnn.Sequential:
        given = penalty if own else None
        dense = layers.Dense(5, "tanh", True, "ones", "zeros", "l2", None, given)
        behind = [] if own else [layers.ActivityRegularization(0.01, 0.02)]
        return fastnn.Sequential([dense, *behind, layers.Dense(4)], seed=3, dtype="float64")

    found = []
    for own in (True, False):
        model = chain(own)
        model.compile(fastnn.optimizers.SGD(0.1), "mse")
        model._told = True
        found.append(model.fit(x, y, 8, 2, 0, validation_data=(x, y)).history)
    assert found[0] == found[1]
    assert "ActivityRegularization" not in str(chain(True).get_config())

    inputs = fastnn.Input((4,))
    left, right = (layers.Dense(3, use_bias=False)(inputs) for _ in range(2))
    joined = layers.Add(activity_regularizer=regularizers.L2(0.5))
    model = fastnn.Model(inputs, joined([left, right]))
    model.compile("sgd", "mse")
    out = model(x)
    (loss,) = model.losses
    np.testing.assert_allclose(loss.numpy(), 0.5 * (out.numpy() ** 2).sum() / 30, rtol=1e-6)
    plain = model.evaluate(x, out.numpy(), verbose=0)
    np.testing.assert_allclose(plain, loss.numpy(), rtol=1e-5)

    alone = layers.Dense(2, activity_regularizer="l2")
    assert layers.Dense.from_config(alone.get_config()).activity_regularizer is not None
    alone(x)
    np.testing.assert_allclose(
        [float(one) for one in alone.losses], [0.01 * (alone(x).numpy() ** 2).sum() / 30], rtol=1e-6
    )
