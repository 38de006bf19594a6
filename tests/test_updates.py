"""The update stage: groups, rates by update, penalties, clipping and averages, in every session.

Each training is done again in NumPy and float64, from gradients of a float64 network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from networks import Array, Native, chain, compile_native, rows, train_native
from reference import OPTIMIZERS, first_state, number_of

from fastnn import _core

WIDTHS, ACTIVATIONS = (6, 9, 3), ("tanh", "linear")
STEPS = 10
CPU = ("plain", "streaming", "tiled")
GPU = ("plain", "generic", "resident", "wide")

SETTINGS: dict[str, dict[str, float]] = {
    "sgd": {"learning_rate": 0.1, "weight_decay": 0.1},
    "adam": {"learning_rate": 0.02, "weight_decay": 0.1},
    "rmsprop": {"learning_rate": 0.01, "momentum": 0.5, "centered": 1.0},
    "lion": {"learning_rate": 0.01, "weight_decay": 0.1},
    "amsgrad": {"learning_rate": 0.02, "weight_decay": 0.1},
    "adamax": {"learning_rate": 0.02, "weight_decay": 0.1},
    "nadam": {"learning_rate": 0.02, "weight_decay": 0.1},
    "adagrad": {"learning_rate": 0.1, "weight_decay": 0.1},
    "adadelta": {"learning_rate": 5.0, "weight_decay": 0.1},
}
INITIAL = {"adagrad": 0.1}
GROUPS = [
    {"rate": 1.0, "decay": 1.0},
    {"rate": 0.5, "decay": 0.0, "l2": 0.05},
    {"rate": 2.0, "l1": 0.01},
]
STAGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "groups": {"groups": GROUPS},
    "a value": {"clip_value": 0.05},
    "an average": {"average_momentum": 0.8},
    "norms": {"clip_norm": 0.2},
    "one norm": {"global_clip_norm": 0.3},
    "all": {"groups": GROUPS, "global_clip_norm": 0.3, "average_momentum": 0.8},
}
# Which need all gradients before the first step, and what a resident step does not have.
WHOLE = ("norms", "one norm", "all")
NUMBERS = [0, 1, 2, 1]  # of the groups of kernels and biases


def data() -> tuple[Array, Array]:
    draw = np.random.default_rng(5)
    return draw.normal(size=(70, 6)), 3 * draw.normal(size=(70, 3))


def started(dtype: str, optimizer: str, stage: dict[str, Any], **how: Any) -> Native:
    native = chain(WIDTHS, ACTIVATIONS, dtype)
    draw = np.random.default_rng(1)
    native.write([0.5 * draw.normal(size=shape) for _, shape in native.network.parameters])
    if "groups" in stage:
        native.network.set_groups(NUMBERS)
    how |= {"initial_state": INITIAL.get(optimizer, 0.0)} | stage
    compile_native(native.network, loss="mean_squared_error", optimizer=optimizer, **how)
    return native


def gradients(native: Native, x: Array, y: Array) -> list[Array]:
    return native.split(native.network.gradients(rows(x, y))[1])


def expected(
    optimizer: str, stage: dict[str, Any], rates: Array
) -> tuple[list[Array], list[list[Array]]]:
    """Weights and averages after each step in float64."""
    x, y = data()
    native = started("float64", optimizer, {})
    weights = native.read()
    groups = stage.get("groups", [{}])
    numbers = NUMBERS if "groups" in stage else [0] * len(weights)
    step, _ = OPTIMIZERS[optimizer]
    state = [first_state(optimizer, w, INITIAL.get(optimizer, 0.0)) for w in weights]
    averages = [np.zeros_like(w) for w in weights]
    own = {k: v for k, v in SETTINGS[optimizer].items() if k not in ("learning_rate",)}
    for number, rate in enumerate(rates, 1):
        native.write(weights)
        grads = gradients(native, x, y)
        for i, w in enumerate(weights):
            group = groups[numbers[i]]
            penalty = 2 * group.get("l2", 0.0) * w + group.get("l1", 0.0) * np.sign(w)
            grads[i] = grads[i] + penalty
        norms = [np.linalg.norm(g) for g in grads]
        if limit := stage.get("clip_norm"):
            grads = [g * min(1.0, limit / n) for g, n in zip(grads, norms, strict=True)]
        if limit := stage.get("global_clip_norm"):
            grads = [g * min(1.0, limit / np.linalg.norm(norms)) for g in grads]
        if limit := stage.get("clip_value"):
            grads = [np.clip(g, -limit, limit) for g in grads]
        for i, g in enumerate(grads):
            group = groups[numbers[i]]
            settings = {
                **own,
                "learning_rate": rate * group.get("rate", 1.0),
                "weight_decay": own.get("weight_decay", 0.0) * group.get("decay", 1.0),
            }
            count = number_of(optimizer, number)
            weights[i], *state[i] = step(weights[i], g, *state[i], **settings, **count)
        momentum = 0.0 if number == 1 else stage.get("average_momentum", 0.0)
        averages = [
            momentum * a + (1 - momentum) * w for a, w in zip(averages, weights, strict=True)
        ]
    return weights, [averages]


def trained(
    dtype: str, optimizer: str, stage: dict[str, Any], session: str, rates: Array | None, **how: Any
) -> Native:
    x, y = data()
    native = started(dtype, optimizer, stage, session=session, **how)
    train_native(
        native.network,
        rows(x.astype(dtype), y.astype(dtype)),
        batch_size=len(x),
        optimizer=SETTINGS[optimizer],
        epochs=STEPS,
        rates=rates,
    )
    return native


def check(
    native: Native, optimizer: str, stage: dict[str, Any], rates: Array, limit: float
) -> None:
    weights, averages = expected(optimizer, stage, rates)
    for got, want in zip(native.read(), weights, strict=True):
        np.testing.assert_allclose(got, want, rtol=limit, atol=limit)
    if "average_momentum" in stage:
        for got, want in zip(
            native.split(native.network.optimizer_state[-1]), averages[0], strict=True
        ):
            np.testing.assert_allclose(got, want, rtol=limit, atol=limit)


def rates_of(optimizer: str, kind: str) -> Array:
    rate = SETTINGS[optimizer]["learning_rate"]
    steady = np.full(STEPS, rate)
    return steady if kind == "one rate" else steady * np.linspace(1.0, 0.1, STEPS)


def sessions(names: tuple[str, ...], stage: str) -> list[str]:
    if stage in WHOLE:
        return [name for name in names if name in ("plain", "generic")]
    plain = stage == "nothing"
    return [name for name in names if plain or name != "resident"]


# Lion steps by a sign: where a moment is near 0 the two precisions go different ways.
LIMITS = {"float32": {"lion": 2e-2}, "float64": {}}


@pytest.mark.parametrize("schedule", ["one rate", "a rate for each update"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("optimizer", SETTINGS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_against_numpy(dtype: str, optimizer: str, stage: str, schedule: str) -> None:
    limit = LIMITS[dtype].get(optimizer, 2e-4 if dtype == "float32" else 1e-8)
    rates = rates_of(optimizer, schedule)
    given = None if schedule == "one rate" else rates
    for session in sessions(CPU, stage):
        native = trained(dtype, optimizer, STAGES[stage], session, given, device="cpu")
        check(native, optimizer, STAGES[stage], rates, limit)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("optimizer", SETTINGS)
def test_on_the_device(
    optimizer: str, stage: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the GPU that is here or, without one, on the emulated device."""
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    rates = rates_of(optimizer, "a rate for each update")
    limit = LIMITS["float32"].get(optimizer, 2e-4)
    for session in sessions(GPU, stage):
        native = trained("float32", optimizer, STAGES[stage], session, rates, device="cuda")
        check(native, optimizer, STAGES[stage], rates, limit)


@pytest.mark.parametrize("session", ["streaming", "tiled"])
@pytest.mark.parametrize("stage", WHOLE)
def test_sessions_that_step_early_refuse_norms(session: str, stage: str) -> None:
    with pytest.raises(ValueError, match="before all gradients are there"):
        trained("float32", "adam", STAGES[stage], session, None, device="cpu")


def test_rates_are_one_for_each_update() -> None:
    with pytest.raises(ValueError, match="expected one for each of 10 updates, got 3"):
        trained("float32", "adam", {}, "plain", np.ones(3), device="cpu")


def test_groups_are_known() -> None:
    native = chain(WIDTHS, ACTIVATIONS, "float32")
    native.network.set_groups([0, 3, 0, 0])
    with pytest.raises(ValueError, match=r"groups: expected numbers in \[0, 1\), got 3"):
        compile_native(native.network, loss="mean_squared_error", optimizer="adam")
    assert native.network.roles == ["matrix", "vector", "matrix", "vector"]


def test_options_have_ranges() -> None:
    x, y = data()
    native = started("float32", "rmsprop", {})
    for name, value in (("rho", 1.0), ("epsilon", 0.0), ("centered", 0.5), ("beta_1", 0.9)):
        with pytest.raises(ValueError, match=name):
            train_native(
                native.network,
                rows(x.astype("float32"), y.astype("float32")),
                batch_size=70,
                optimizer={"learning_rate": 0.1, name: value},
            )
