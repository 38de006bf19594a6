"""Metrics where labels are missing: each label that is there counts once, or by its row's weight.

Run again under every instruction set and on the emulated device (marked `isa`).
"""

from __future__ import annotations

from typing import Any

import networks
import numpy as np
import pytest
from numpy.typing import NDArray

import fastnn
from fastnn import layers, optimizers

Array = NDArray[Any]

pytestmark = pytest.mark.isa


def bce(t: Array, p: Array) -> Array:
    return -t * np.log(p) - (1 - t) * np.log1p(-p)


# By metric: its value of each label, from target and probability.
OF_LABELS = {
    "mse": lambda t, p: (p - t) ** 2,
    "mae": lambda t, p: abs(p - t),
    "huber": lambda t, p: (p - t) ** 2 / 2,
    "poisson": lambda t, p: p - t * np.log(p + 1e-7),
    "bce": bce,
    "accuracy": lambda t, p: (p > 0.5) == (t > 0.5),
}


def mean(value: Array, known: Array, weights: Array | None) -> float:
    w = known * (np.ones(len(known)) if weights is None else weights)[:, None]
    return float(np.sum(w * np.where(known, value, 0)) / w.sum())


def r2(t: Array, p: Array, known: Array, weights: Array | None) -> float:
    scores = []
    for j in range(t.shape[1]):
        at = known[:, j]
        w = np.ones(at.sum()) if weights is None else weights[at]
        t_j, p_j = t[at, j], p[at, j]
        middle = np.average(t_j, weights=w)
        scores.append(1 - np.sum(w * (t_j - p_j) ** 2) / np.sum(w * (t_j - middle) ** 2))
    return float(np.mean(scores))


def expected(y: Array, p: Array, weights: Array | None) -> dict[str, float]:
    known = ~np.isnan(y)
    t = np.where(known, y, 0)
    values = {name: mean(f(t, p), known, weights) for name, f in OF_LABELS.items()}
    return values | {"rmse": values["mse"] ** 0.5, "r2_score": r2(t, p, known, weights)}


def test_of_three_labels_of_which_two_are_missing() -> None:
    """One label of four is wrong by 1: a mean over rows first would weigh it 1/2."""
    model = fastnn.Sequential([layers.Activation("sigmoid", input_shape=(3,))])
    model.compile("sgd", "binary_crossentropy", metrics=["mse", "mae", "rmse", "accuracy"])
    x, y = np.full((2, 3), -50.0), np.array([[1, np.nan, np.nan], [0, 0, 0]])
    assert model.evaluate(x, y, verbose=0) == pytest.approx([12.5, 0.25, 0.25, 0.5, 0.75])


@pytest.mark.parametrize("outputs", [2, 5, 40])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_labels_count_not_rows(outputs: int, dtype: str) -> None:
    """In an epoch of uneven batches, in validation and in evaluate; a row may have no label."""
    rng = np.random.default_rng(outputs)
    n = 150
    x = rng.normal(size=(n, 6)).astype(dtype)
    y = rng.integers(0, 2, (n, outputs)).astype(float)
    y[rng.random((n, outputs)) < 0.4] = np.nan
    y[7] = np.nan
    w = rng.uniform(0, 3, n) * (rng.random(n) < 0.9)
    model = networks.sequential((6, 9, outputs), ("tanh", "sigmoid"), dtype=dtype)
    names = [*OF_LABELS, "rmse", "r2_score"]
    model.compile(optimizers.SGD(0.0), "bce", metrics=names, weighted_metrics=names)
    p = np.float64(model.predict(x))
    plain = expected(y, p, None)
    wanted = {"loss": expected(y, p, w)["bce"]} | plain
    wanted |= {f"weighted_{name}": value for name, value in expected(y, p, w).items()}
    near = {"rel": 1e-9} if dtype == "float64" else {"rel": 3e-5, "abs": 1e-6}
    found = model.evaluate(x, y, sample_weight=w, verbose=0, return_dict=True)
    assert found == pytest.approx(wanted, **near)
    words = {"batch_size": 32, "sample_weight": w, "validation_data": (x, y, w), "verbose": 0}
    history = model.fit(x, y, **words).history
    for name, value in wanted.items():
        assert history[name] == [pytest.approx(value, **near)], name
        assert history[f"val_{name}"] == [pytest.approx(value, **near)], name


@pytest.mark.parametrize("metric", ["mse", "mae", "accuracy"])
def test_in_a_small_net_too(metric: str) -> None:
    """Small enough for a step that stays in a device's shared memory, with one metric or two."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(70, 4)).astype(np.float32)
    y = rng.integers(0, 2, (70, 3)).astype(np.float32)
    y[rng.random((70, 3)) < 0.4] = np.nan
    model = networks.sequential((4, 3), ("sigmoid",))
    model.compile(optimizers.SGD(0.0), "bce", metrics=[metric])
    wanted = expected(y, np.float64(model.predict(x)), None)[metric]
    history = model.fit(x, y, batch_size=16, verbose=0).history
    assert history[metric] == [pytest.approx(wanted, rel=3e-5)]
