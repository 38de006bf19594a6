"""LBFGS: the line search, the minimum that it finds, `fit` with it, and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize

import fastnn
from fastnn import layers, optimizers, regularizers
from fastnn.optimizers.curvature import Found, Pairs, line_search

Array = NDArray[Any]


def minimised(n: int) -> tuple[Array, int, int]:
    """Rosenbrock's function; the point, iterations and evaluations."""
    evaluations = 0

    def function(x: Array) -> tuple[float, Array]:
        nonlocal evaluations
        evaluations += 1
        return float(optimize.rosen(x)), optimize.rosen_der(x)

    x, pairs = np.full(n, -1.2), Pairs(most=10)
    loss, gradient = function(x)
    for iteration in range(1000):
        if abs(gradient).max() < 1e-8:
            return x, iteration, evaluations
        direction = pairs.direction(gradient)
        first = 1.0 if pairs.moves else min(1.0, 1.0 / abs(gradient).sum())
        found = line_search(function, x, direction, Found(first, loss, gradient), 25)
        assert found is not None
        slope = gradient @ direction
        assert found.loss <= loss + 1e-4 * found.step * slope
        assert abs(found.gradient @ direction) <= -0.9 * slope
        move = found.step * direction
        pairs.add(move, found.gradient - gradient)
        x, loss, gradient = x + move, found.loss, found.gradient
    raise AssertionError("no minimum")


@pytest.mark.parametrize("n", [2, 10, 50])
def test_as_few_steps_as_scipy(n: int) -> None:
    x, iterations, evaluations = minimised(n)
    np.testing.assert_allclose(x, 1, rtol=1e-7)
    how = {"gtol": 1e-8, "ftol": 0, "maxiter": 1000}
    theirs = optimize.minimize(
        optimize.rosen, np.full(n, -1.2), jac=optimize.rosen_der, method="L-BFGS-B", options=how
    )
    assert iterations <= 1.3 * theirs.nit
    assert evaluations <= 1.3 * theirs.nfev


def test_its_representation() -> None:
    assert repr(fastnn.optimizers.LBFGS(0.5)) == "<LBFGS learning_rate=0.5>"


def test_a_line_that_only_rises_has_no_step() -> None:
    x = np.zeros(1)

    def function(point: Array) -> tuple[float, Array]:
        return float(abs(point[0])) + 1.0, np.array([-1.0])  # the gradient is wrong

    assert line_search(function, x, np.ones(1), Found(1.0, 1.0, np.array([-1.0])), 25) is None


def test_infinity_is_no_step() -> None:
    def function(point: Array) -> tuple[float, Array]:
        far = point[0] > 0.5
        return np.inf if far else float((point[0] - 0.4) ** 2), 2 * (point - 0.4)

    begin = Found(1.0, 0.16, np.array([-0.8]))
    found = line_search(function, np.zeros(1), np.ones(1), begin, 25)
    assert found is not None
    assert 0 < found.step < 0.5


# -- models --------------------------------------------------------------------------------------


def problem() -> tuple[Array, Array]:
    draw = np.random.default_rng(3)
    x = draw.normal(size=(60, 3))
    return x, x @ draw.normal(size=(3, 2)) + 0.1 * draw.normal(size=(60, 2))


def ridge(dtype: str = "float64", **how: Any) -> fastnn.Sequential:
    penalty = regularizers.L2(0.01)
    model = fastnn.Sequential(
        [layers.Dense(2, kernel_regularizer=penalty, input_shape=(3,))], dtype=dtype
    )
    model.compile(optimizers.LBFGS(**how), "mse", metrics=["mae"])
    return model


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-7), ("float32", 1e-4)])
def test_ridge_regression(dtype: str, limit: float) -> None:
    """The minimum is known; fit ends there by itself, whatever the batch size."""
    x, y = problem()
    model = ridge(dtype)
    history = model.fit(x, y, batch_size=7, epochs=200, validation_data=(x, y), verbose=0).history
    assert 5 < len(history["loss"]) < 60
    assert set(history) == {"loss", "mae", "val_loss", "val_mae"}
    assert all(a >= b for a, b in zip(history["loss"], history["loss"][1:], strict=False))
    centred, mean = x - x.mean(axis=0), y.mean(axis=0)
    # d/dw of sum((xw - y)^2) / (rows * outputs) + 0.01 sum(w^2)
    w = np.linalg.solve(centred.T @ centred + 0.01 * y.size * np.eye(3), centred.T @ (y - mean))
    np.testing.assert_allclose(model.layers[0].kernel.numpy(), w, rtol=limit, atol=limit)
    np.testing.assert_allclose(
        model.layers[0].bias.numpy(), mean - x.mean(axis=0) @ w, rtol=limit, atol=limit
    )


def test_classification_and_frozen_layers() -> None:
    x, _ = problem()
    labels = (x[:, 0] * x[:, 1] > 0).astype(int)
    model = fastnn.Sequential(
        [layers.Dense(8, "tanh", input_shape=(3,)), layers.Dense(2)], dtype="float64", seed=1
    )
    model.compile(optimizers.LBFGS(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, labels, epochs=60, verbose=0).history
    assert history["accuracy"][-1] > 0.98
    model.layers[0].trainable = False
    model.compile(optimizers.LBFGS(), "sparse_categorical_crossentropy")
    kernel = model.layers[0].kernel.numpy()
    model.set_weights([*model.get_weights()[:2], np.zeros((8, 2)), np.zeros(2)])
    before = model.evaluate(x, labels, verbose=0)
    model.fit(x, labels, epochs=10, verbose=0)
    np.testing.assert_array_equal(model.layers[0].kernel.numpy(), kernel)
    assert model.evaluate(x, labels, verbose=0) < 0.5 * before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_files_go_on_bit_for_bit(dtype: str, tmp_path: Path) -> None:
    x, y = problem()
    y = np.tanh(y)

    def made() -> fastnn.Sequential:
        model = fastnn.Sequential(
            [layers.Dense(6, "tanh", input_shape=(3,)), layers.Dense(2)], dtype=dtype, seed=4
        )
        model.compile(optimizers.LBFGS(history_size=3), "mse")
        return model

    whole, part = made(), made()
    whole.fit(x, y, epochs=12, verbose=0)
    part.fit(x, y, epochs=7, verbose=0)
    part.save(tmp_path / "m.safetensors")
    part = fastnn.load_model(tmp_path / "m.safetensors")
    assert part.optimizer.iterations == 7
    part.fit(x, y, epochs=5, verbose=0)
    for a, b in zip(whole.get_weights(), part.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def followed(*parts: Any) -> tuple[list[float], fastnn.Sequential]:
    """Losses of iterations, each as a fit of one epoch, which is told what the pass before it saw."""
    x, y = problem()
    model = fastnn.Sequential([layers.Dense(6, "tanh", input_shape=(3,)), *parts], dtype="float64")
    model.compile(optimizers.LBFGS(), "mse")
    return model.fit(x, np.tanh(y), epochs=15, verbose=0).history["loss"], model


@pytest.mark.parametrize("noise", [lambda: layers.Dropout(0.3), lambda: layers.GaussianNoise(0.3)])
def test_passes_of_an_iteration_have_the_same_noise(
    noise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among them each step lowers the loss; from one iteration to the next the noise changes."""
    found: list[tuple[float, float]] = []
    iterate = optimizers.LBFGS.iterate

    def seen(self: Any, variables: Any, evaluate: Any, begin: Any) -> bool:
        again, _ = evaluate()
        assert again == begin[0]
        kept = iterate(self, variables, evaluate, begin)
        found.append((begin[0], evaluate()[0]))
        return kept

    monkeypatch.setattr(optimizers.LBFGS, "iterate", seen)
    losses, _ = followed(noise(), layers.Dense(2))
    assert len(losses) == len(found) == 15
    assert all(after < before for before, after in found)
    assert losses != sorted(losses, reverse=True)


def test_moving_statistics_move_once_for_an_iteration() -> None:
    x, y = problem()
    _, model = followed(layers.BatchNormalization(momentum=0.5), layers.Dense(2))
    weights = model.get_weights()
    norm = model.layers[1]
    h = np.tanh(x @ weights[0] + weights[1])
    expected = (norm.moving_mean.numpy() + h.mean(axis=0)) / 2
    model.fit(x, np.tanh(y), epochs=1, verbose=0)
    np.testing.assert_allclose(norm.moving_mean.numpy(), expected, rtol=1e-12)


def test_what_does_not_go_with_it() -> None:
    x, y = problem()
    model = fastnn.Sequential([layers.Dense(2, kernel_constraint="unit_norm", input_shape=(3,))])
    model.compile(optimizers.LBFGS(), "mse")
    before = model.get_weights()
    with pytest.raises(ValueError, match="LBFGS does not go with constraints"):
        model.fit(x, y, verbose=0)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(TypeError, match=r"LBFGS: apply_gradients: .*use fit"):
        optimizers.LBFGS().apply_gradients([])
    with pytest.raises(TypeError, match="clipnorm"):
        optimizers.LBFGS(clipnorm=1.0)
    for wrong in ({"history_size": 0}, {"max_evaluations": 0}, {"tolerance_grad": -1.0}):
        with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
            optimizers.LBFGS(**wrong)
