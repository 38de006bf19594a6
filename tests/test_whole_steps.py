"""Steps that look at whole parameters: those of Lamb and Muon, as ops and in models."""

from __future__ import annotations

from typing import Any

import cases
import numpy as np
import pytest
import reference
from numpy.typing import NDArray

import fastnn
from fastnn import _core, layers, ops, optimizers

Array = NDArray[Any]

SHAPES = [(1, 1), (1, 9), (9, 1), (3, 5), (5, 3), (17, 33), (129, 64), (64, 129)]
LAMB: dict[str, dict[str, Any]] = {
    "defaults": {},
    "decay": {"learning_rate": 0.1, "weight_decay": 0.5, "epsilon": 1e-3},
}
MUON: dict[str, dict[str, Any]] = {
    "defaults": {"learning_rate": 0.1},
    "decay": {"learning_rate": 0.1, "weight_decay": 0.5, "momentum": 0.5},
    "plain": {"learning_rate": 0.1, "nesterov": False, "rms_rate": None, "ns_steps": 2},
    "no steps": {"learning_rate": 0.1, "ns_steps": 0},
}


def limit(dtype: Any) -> float:
    return 2e-5 if dtype == "float32" else 1e-12


def near(got: Array, want: Array, dtype: Any) -> None:
    """As a vector: products add up many numbers of either sign."""
    scale = np.linalg.norm(want)
    assert np.linalg.norm(got - want) <= limit(dtype) * scale, (got, want)


@pytest.mark.isa
@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("case", LAMB)
def test_lamb(case: str, dtype: Any, rng: np.random.Generator) -> None:
    for shape in [*SHAPES, (7,), (2, 3, 4)]:
        for step in (1, 10):
            param, grad, m, v = (rng.normal(size=shape).astype(dtype) for _ in range(4))
            v = v * v
            exact = [reference.float64(a) for a in (param, grad, m, v)]
            want = reference.lamb_step(*exact, step=step, **LAMB[case])
            assert ops.lamb_step(param, grad, m, v, step=step, **LAMB[case]) is None
            for got, expected in zip((param, m, v), want, strict=True):
                near(got, expected, dtype)
            np.testing.assert_array_equal(grad, exact[1].astype(dtype))


@pytest.mark.isa
@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("case", MUON)
def test_muon(case: str, dtype: Any, rng: np.random.Generator) -> None:
    options = MUON[case]
    of_reference = options | ({"rms_rate": 0} if options.get("rms_rate", 1) is None else {})
    for shape in SHAPES:
        param, grad, m = (rng.normal(size=shape).astype(dtype) for _ in range(3))
        exact = [reference.float64(a) for a in (param, grad, m)]
        want, want_m, _ = reference.muon_step(*exact, 0 * exact[0], **of_reference)
        assert ops.muon_step(param, grad, m, **options) is None
        near(m, want_m, dtype)
        near(param, want, dtype)
        np.testing.assert_array_equal(grad, exact[1].astype(dtype))


def test_muon_makes_directions_orthogonal(rng: np.random.Generator) -> None:
    """Singular values come near 1, whatever they were."""
    param, m = np.zeros((20, 12)), np.zeros((20, 12))
    grad = rng.normal(size=(20, 12)) * np.logspace(0, -2, 12)
    ops.muon_step(param, grad, m, learning_rate=1.0, rms_rate=None, momentum=0.0)
    values = np.linalg.svd(param, compute_uv=False)
    assert values.min() > 0.3
    assert values.max() < 1.3
    # And they turn none of the directions.
    u, _, v = np.linalg.svd(-grad, full_matrices=False)
    turned = u.T @ param @ v.T
    np.testing.assert_allclose(turned, np.diag(np.diagonal(turned)), atol=1e-10)


def test_lamb_without_a_norm() -> None:
    """The ratio is then 1: weights of 0 move as with Adam, and no gradient moves nothing."""
    param, m, v = (np.zeros(4) for _ in range(3))
    ops.lamb_step(param, np.ones(4), m, v, step=1, learning_rate=0.5, epsilon=1e-12)
    np.testing.assert_allclose(param, -0.5, rtol=1e-6)
    param, m, v = np.ones(4), np.zeros(4), np.zeros(4)
    ops.lamb_step(param, np.zeros(4), m, v, step=1, learning_rate=0.5)
    np.testing.assert_array_equal(param, 1)


def test_what_is_no_matrix() -> None:
    arrays = [np.ones(4) for _ in range(3)]
    with pytest.raises(ValueError, match=r"param: expected a matrix, got shape \(4,?\)"):
        ops.muon_step(*arrays)
    arrays = [np.ones((2, 2)) for _ in range(3)]
    for wrong in ({"ns_steps": 1.5}, {"momentum": 1.0}, {"rms_rate": -1.0}):
        with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
            ops.muon_step(*arrays, **wrong)
    assert all((a == 1).all() for a in arrays)


# -- models --------------------------------------------------------------------------------------

MAKE = {
    "lamb": lambda **how: optimizers.Lamb(0.05, weight_decay=0.1, **how),
    "muon": lambda **how: optimizers.Muon(0.02, adam_lr_ratio=0.5, **how),
}


def problem() -> tuple[Array, Array]:
    draw = np.random.default_rng(3)
    return draw.normal(size=(50, 5)), draw.normal(size=(50, 3))


def fitted(optimizer: Any, dtype: str = "float64", device: str = "cpu") -> list[Array]:
    model = fastnn.Sequential(
        [layers.Dense(7, "tanh", input_shape=(5,)), layers.Dense(3)], dtype=dtype, seed=2
    )
    model.compile(optimizer, "mse", device=device)
    draw = np.random.default_rng(4)
    model.set_weights([draw.normal(size=w.shape) for w in model.get_weights()])
    x, y = problem()
    model.fit(x, y, batch_size=20, epochs=4, shuffle=False, verbose=0)
    return model.get_weights()


@pytest.mark.parametrize("name", MAKE)
def test_on_the_device(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    for how in ({}, {"global_clipnorm": 0.1, "use_ema": True}):
        found = fitted(MAKE[name](**how), "float32", "cuda")
        for got, want in zip(found, fitted(MAKE[name](**how)), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_muon_leaves_what_is_excluded_to_adam() -> None:
    """As with AdamW, bit for bit."""
    for names in (["dense_1"], [r"dense_\d"]):
        optimizer = optimizers.Muon(
            0.02, exclude_layers=names, adam_weight_decay=0.1, weight_decay=0.3
        )
        found = fitted(optimizer)
        whole = fitted(optimizers.Muon(0.02, exclude_layers=["dense"], adam_weight_decay=0.1))
        adam = fitted(optimizers.AdamW(0.02, weight_decay=0.1))
        for a, b in zip(whole, adam, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
        assert abs(found[0] - adam[0]).max() > 1e-3


@pytest.mark.parametrize("session", ["streaming", "tiled"])
@pytest.mark.parametrize("name", MAKE)
def test_sessions_that_step_early_refuse_them(
    name: str, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTNN_SESSION", session)
    with pytest.raises(ValueError, match="which this optimizer needs"):
        fitted(MAKE[name]())


def test_learning_rates_by_layer() -> None:
    """Natively and in loops of one's own: the layer moves as under that rate."""
    x, y = problem()

    def trained(rate: float, by_hand: bool, *names: str) -> list[Array]:
        model = fastnn.Sequential(
            [layers.Dense(7, "tanh", input_shape=(5,), name="first"), layers.Dense(3, name="last")],
            dtype="float64",
            seed=2,
        )
        optimizer = optimizers.SGD(rate, momentum=0.5, weight_decay=0.1)
        if names:
            optimizer.multiply_learning_rate(0.5, var_names=names)
            optimizer.multiply_learning_rate(0.5, model.layers[0].variables)
        model.compile(optimizer, "mse")
        draw = np.random.default_rng(4)
        model.set_weights([draw.normal(size=w.shape) for w in model.get_weights()])
        if not by_hand:
            model.train_on_batch(x, y)
            return model.get_weights()
        with fastnn.GradientTape() as tape:
            loss = fastnn.math.reduce_mean(fastnn.math.square(model(x) - y))
        grads = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(grads, model.trainable_variables)
        return model.get_weights()

    for by_hand in (False, True):
        found = trained(0.2, by_hand, "first/")
        for i in (0, 1):
            np.testing.assert_allclose(found[i], trained(0.05, by_hand)[i], rtol=1e-12)
        for i in (2, 3):
            np.testing.assert_allclose(found[i], trained(0.2, by_hand)[i], rtol=1e-12)


def test_files_keep_learning_rates_by_layer(tmp_path: Any) -> None:
    x, y = problem()
    model = fastnn.Sequential([layers.Dense(7, "tanh", input_shape=(5,)), layers.Dense(3)])
    optimizer = optimizers.Adam(0.1)
    optimizer.multiply_learning_rate(0.1, model.layers[0].variables)
    optimizer.multiply_learning_rate(0.0, var_names=["bias"])
    model.compile(optimizer, "mse")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.safetensors")
    made = fastnn.load_model(tmp_path / "m.safetensors")
    for one in (model, made):
        one.compile(one.optimizer, "mse")
        one.fit(x, y, epochs=2, verbose=0)
    for a, b in zip(model.get_weights(), made.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(made.get_weights()[1], 0)


def test_too_many_kinds_of_parameters() -> None:
    model = fastnn.Sequential([layers.Dense(2, input_shape=(2,)) for _ in range(17)])
    optimizer = optimizers.SGD()
    for i, layer in enumerate(model.layers):
        optimizer.multiply_learning_rate(0.5 + i / 64, layer.variables)
    with pytest.raises(ValueError, match=r"expected at most 16 kinds of parameters.*got 18"):
        model.compile(optimizer, "mse")
