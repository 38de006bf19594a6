"""Constraints: values, and training with them, natively in each session and over the tape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fastnn
from fastnn import _core, constraints, layers, optimizers

Array = NDArray[Any]


def scaled(w: Array, axis: Any, wanted: Callable[[Array], Array]) -> Array:
    norms = np.sqrt((w**2).sum(axis=axis, keepdims=True))
    return w * (wanted(norms) / (1e-7 + norms))


# The constraint, and what it makes of weights.
CASES: dict[str, tuple[Callable[[], Any], Callable[[Array], Array]]] = {
    "max": (
        lambda: constraints.MaxNorm(0.9),
        lambda w: scaled(w, 0, lambda n: np.clip(n, 0, 0.9)),
    ),
    "max of rows": (
        lambda: constraints.MaxNorm(0.9, axis=-1),
        lambda w: scaled(w, -1, lambda n: np.clip(n, 0, 0.9)),
    ),
    "unit": (lambda: constraints.UnitNorm(), lambda w: scaled(w, 0, np.ones_like)),
    "between": (
        lambda: constraints.MinMaxNorm(0.8, 1.2, rate=0.5),
        lambda w: scaled(w, 0, lambda n: 0.5 * np.clip(n, 0.8, 1.2) + 0.5 * n),
    ),
    "not negative": (lambda: constraints.NonNeg(), lambda w: np.maximum(w, 0)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 40), (7,)], ids=str)
def test_values(name: str, shape: tuple[int, ...]) -> None:
    make, expected = CASES[name]
    w = np.random.default_rng(1).normal(size=shape)
    np.testing.assert_allclose(np.asarray(make()(w)), expected(w), rtol=1e-12)


def test_all_axes_at_once() -> None:
    w = np.random.default_rng(1).normal(size=(4, 3))
    found = np.asarray(constraints.UnitNorm(axis=[0, 1])(w))
    assert np.linalg.norm(found) == pytest.approx(1, rel=1e-6)


def test_what_is_no_constraint() -> None:
    assert constraints.get(None) is None
    assert type(constraints.get("non_neg")) is constraints.NonNeg
    with pytest.raises(ValueError, match=r"kernel_constraint: .*did you mean 'max_norm'"):
        layers.Dense(3, kernel_constraint="max_nrm")
    with pytest.raises(ValueError, match=r"max_value"):
        constraints.MinMaxNorm(2.0, 1.0)
    model = fastnn.Sequential(
        [layers.Dense(3, bias_constraint=constraints.MaxNorm(axis=1), input_shape=(2,))]
    )
    with pytest.raises(ValueError, match=r"axis: weights of shape \(3,\) have no axis 1"):
        model.compile("sgd", "mse")


# -- training ------------------------------------------------------------------------------------

ROWS, STEPS = 96, 6


def problem() -> tuple[Array, Array]:
    draw = np.random.default_rng(3)
    return draw.normal(size=(ROWS, 5)), draw.normal(size=(ROWS, 3))


def weights() -> list[Array]:
    draw = np.random.default_rng(4)
    return [draw.normal(size=shape) for shape in ((5, 40), (40,), (40, 3), (3,))]


def constrained(
    first: Any, second: Any, dtype: str = "float64", device: str = "cpu", optimizer: Any = None
) -> fastnn.Sequential:
    model = fastnn.Sequential(
        [
            layers.Dense(40, "tanh", kernel_constraint=first, input_shape=(5,)),
            layers.Dense(3, kernel_constraint=second, bias_constraint=first),
        ],
        dtype=dtype,
    )
    model.compile(optimizer or optimizers.SGD(0.1), "mse", device=device)
    model.set_weights(weights())
    return model


def trajectory(first: Any, second: Any) -> list[Array]:
    """Weights after steps of gradient descent on all rows."""
    x, y = problem()
    w = weights()
    for _ in range(STEPS):
        h = np.tanh(x @ w[0] + w[1])
        error = h @ w[2] + w[3] - y
        dz = 2 * error / error.size
        dh = dz @ w[2].T * (1 - h**2)
        gradients = [x.T @ dh, dh.sum(axis=0), h.T @ dz, dz.sum(axis=0)]
        w = [a - 0.1 * g for a, g in zip(w, gradients, strict=True)]
        w[0], w[2], w[3] = first(w[0]), second(w[2]), first(w[3])
    return w


def check_trained(model: fastnn.Sequential, expected: list[Array], limit: float) -> None:
    x, y = problem()
    model.fit(x, y, batch_size=ROWS, epochs=STEPS, verbose=0)
    for got, want in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=limit, atol=limit)


@pytest.mark.parametrize("second", CASES)
@pytest.mark.parametrize("first", ["max", "not negative"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_native_training(dtype: str, first: str, second: str) -> None:
    made = constrained(CASES[first][0](), CASES[second][0](), dtype)
    expected = trajectory(CASES[first][1], CASES[second][1])
    assert made._compiled("fit").native is not None
    check_trained(made, expected, 2e-5 if dtype == "float32" else 1e-10)


@pytest.mark.parametrize("session", ["plain", "generic"])
@pytest.mark.parametrize("second", CASES)
def test_native_training_on_the_device(
    second: str, session: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    monkeypatch.setenv("FASTNN_SESSION", session)
    made = constrained(CASES["max"][0](), CASES[second][0](), "float32", "cuda")
    check_trained(made, trajectory(CASES["max"][1], CASES[second][1]), 2e-5)


@pytest.mark.parametrize("session", ["streaming", "tiled"])
def test_sessions_that_step_early_refuse_constraints(
    session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTNN_SESSION", session)
    x, y = problem()
    model = constrained("max_norm", None)
    with pytest.raises(
        ValueError, match="before all gradients are there, which a constraint needs"
    ):
        model.fit(x, y, verbose=0)


class Largest(constraints.Constraint):
    """MaxNorm as a program would write it."""

    def __call__(self, w: Any) -> Any:
        norms = fastnn.math.sqrt(fastnn.math.reduce_sum(w * w, axis=0, keepdims=True))
        return w * (fastnn.math.minimum(norms, 0.9) / (1e-7 + norms))


@pytest.mark.parametrize("first", [Largest(), lambda w: Largest()(w)])
def test_constraints_of_ones_own_train_over_the_tape(first: Any) -> None:
    made = constrained(first, constraints.UnitNorm())
    with pytest.warns(UserWarning, match="kernel_constraint of the layer 'dense' is not part of"):
        check_trained(made, trajectory(CASES["max"][1], CASES["unit"][1]), 1e-10)


def test_apply_gradients() -> None:
    """A loop of one's own, as in Keras."""
    x, y = problem()
    model = constrained(constraints.MaxNorm(0.9), constraints.NonNeg())
    optimizer = optimizers.SGD(0.1)
    for _ in range(STEPS):
        with fastnn.GradientTape() as tape:
            loss = fastnn.math.reduce_mean(fastnn.math.square(model(x) - y))
        grads = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(grads, model.trainable_variables, strict=True))
    expected = trajectory(CASES["max"][1], CASES["not negative"][1])
    for got, want in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def test_files_keep_constraints(tmp_path: Path) -> None:
    x, y = problem()
    model = constrained(constraints.MinMaxNorm(0.5, 1.0, 0.5), "unit_norm", optimizer="adam")
    model.fit(x, y, batch_size=20, epochs=2, verbose=0)
    model.save(tmp_path / "m.safetensors")
    made = fastnn.load_model(tmp_path / "m.safetensors")
    for one in (model, made):
        one.fit(x, y, batch_size=20, epochs=2, verbose=0)
    for a, b in zip(model.get_weights(), made.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(np.linalg.norm(made.get_weights()[2], axis=0), 1, rtol=1e-6)


def test_a_frozen_layer_is_left_alone() -> None:
    x, y = problem()
    model = constrained("non_neg", "max_norm")
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], weights()[0])


def test_summary_names_the_session_and_why() -> None:
    """A model whose kernels would else be stepped while gradients are made."""

    def told(**how: Any) -> str:
        lines: list[str] = []
        optimizer = how.pop("optimizer", "sgd")
        model = fastnn.Sequential([layers.Dense(1024, input_shape=(1024,), **how)])
        model.compile(optimizer, "mse", device="cpu")
        model.summary(batch_size=32, print_fn=lines.append)
        return lines[-1]

    assert told() == "Session in batches of 32: streaming, products in float32"
    plain = "Session in batches of 32: plain, products in float32; "
    need = " needs all gradients before a step"
    assert told(kernel_constraint="max_norm") == f"{plain}a constraint{need}"
    assert told(optimizer=optimizers.Lamb()) == f"{plain}this optimizer{need}"
    for how in ({"clipnorm": 1.0}, {"global_clipnorm": 1.0}):
        assert told(optimizer=optimizers.SGD(**how)) == f"{plain}clipping by norm{need}"
    gathers = optimizers.SGD(gradient_accumulation_steps=2)
    assert told(optimizer=gathers) == f"{plain}gradient_accumulation_steps{need}"
    # Penalties ride in the step.
    assert told(kernel_regularizer="l2") == told()
