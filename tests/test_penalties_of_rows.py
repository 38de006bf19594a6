"""Penalties that are scaled to the rows of each batch, and Adam's plain epsilon, in every session.

The training is done again in NumPy and float64, from gradients of each batch by themselves.
"""

from __future__ import annotations

import numpy as np
import pytest
from networks import Array, Native, chain, compile_native, rows, train_native

from fastnn import _core

WIDTHS, ACTIVATIONS = (5, 8, 3), ("tanh", "linear")
SIZE, EPOCHS, ROWS = 32, 3, 70  # the last batch of an epoch has 6 rows
L2, L1, RATE, EPSILON = 0.3, 0.02, 0.05, 1e-3
ADAM = {"learning_rate": RATE, "epsilon": EPSILON, "plain_epsilon": 1.0}
SGD = {"learning_rate": RATE}


def data(weighted: bool) -> tuple[Array, Array, Array | None]:
    draw = np.random.default_rng(5)
    x, y = draw.normal(size=(ROWS, 5)), draw.normal(size=(ROWS, 3))
    return x, y, draw.uniform(0.1, 3.0, ROWS) if weighted else None


def started(dtype: str, optimizer: str, **how: object) -> Native:
    native = chain(WIDTHS, ACTIVATIONS, dtype)
    draw = np.random.default_rng(1)
    native.write([0.5 * draw.normal(size=shape) for _, shape in native.network.parameters])
    compile_native(native.network, loss="mean_squared_error", optimizer=optimizer, **how)
    return native


def expected(optimizer: str, weighted: bool) -> tuple[list[Array], float]:
    """Weights at the end, and the loss of the last epoch."""
    x, y, w = data(weighted)
    native = started("float64", optimizer)
    weights = native.read()
    state = [(np.zeros_like(p), np.zeros_like(p)) for p in weights]
    step = 0
    for _ in range(EPOCHS):
        total = 0.0
        for begin in range(0, ROWS, SIZE):
            part = slice(begin, begin + SIZE)
            own = None if w is None else w[part]
            weight = float(len(x[part])) if own is None else own.sum()
            native.write(weights)
            loss, flat = native.network.gradients(rows(x[part], y[part], own))
            step += 1
            penalty = sum(L2 * (p**2).sum() + L1 * np.abs(p).sum() for p in weights)
            total += len(x[part]) * (loss + SIZE / weight * penalty)
            for i, g in enumerate(native.split(flat)):
                p = weights[i]
                g = g + SIZE / weight * (2 * L2 * p + L1 * np.sign(p))
                if optimizer == "sgd":
                    weights[i] = p - RATE * g
                    continue
                m, v = (0.9 * state[i][0] + 0.1 * g), (0.999 * state[i][1] + 0.001 * g**2)
                state[i] = m, v
                scale = RATE * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                weights[i] = p - scale * m / (np.sqrt(v) + EPSILON)
    return weights, total / ROWS


def check(dtype: str, optimizer: str, weighted: bool, session: str, device: str) -> None:
    x, y, w = data(weighted)
    how = {"session": session, "device": device, "groups": [{"l2": L2, "l1": L1}]}
    native = started(dtype, optimizer, by_batch_weight=weighted, **how)
    settings = {**(ADAM if optimizer == "adam" else SGD), "penalty_rows": float(SIZE)}
    settings["weighs_penalties"] = 1.0
    sums = train_native(
        native.network,
        rows(x.astype(dtype), y.astype(dtype), w),
        batch_size=SIZE,
        shuffle=False,
        optimizer=settings,
        epochs=EPOCHS,
    )
    weights, loss = expected(optimizer, weighted)
    limit = 1e-10 if dtype == "float64" else 1e-4
    for got, want in zip(native.read(), weights, strict=True):
        np.testing.assert_allclose(got, want, rtol=limit, atol=limit)
    assert sums[-1][0] / sums[-1][1] == pytest.approx(loss, rel=limit)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_against_numpy(dtype: str, optimizer: str, weighted: bool) -> None:
    for session in ("plain", "streaming", "tiled"):
        if not (weighted and session == "streaming"):
            check(dtype, optimizer, weighted, session, "cpu")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_on_the_device(
    optimizer: str, weighted: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the GPU that is here or, without one, on the emulated device."""
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    for session in ("plain", "generic", "wide"):
        check("float32", optimizer, weighted, session, "cuda")


def test_a_factor_by_norms_is_of_the_scaled_penalty() -> None:
    """Clipping by norm sees the gradient that the step takes."""
    x, y, _ = data(False)
    native = started(
        "float64", "sgd", groups=[{"l2": L2}], global_clip_norm=1e-3, device="cpu", session="plain"
    )
    before = native.read()
    flat = native.network.gradients(rows(x[:10], y[:10]))[1]
    settings = {**SGD, "penalty_rows": float(SIZE)}
    train_native(native.network, rows(x[:10], y[:10]), batch_size=SIZE, optimizer=settings)
    # `gradients` has the penalty as compiled: SIZE / 10 - 1 times it more stands for the scaled one.
    grads = [
        g + 2 * L2 * (SIZE / 10 - 1) * p for g, p in zip(native.split(flat), before, strict=True)
    ]
    norm = np.sqrt(sum((g**2).sum() for g in grads))
    for got, p, g in zip(native.read(), before, grads, strict=True):
        np.testing.assert_allclose(got, p - RATE * 1e-3 / norm * g, rtol=1e-9)
