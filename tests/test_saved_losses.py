"""Every loss in a file: a model that is loaded has it with its options, and the same values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fastnn
from fastnn import layers, losses

Array = NDArray[Any]
N, C = 24, 4

# Options that differ from the defaults.
OPTIONS: dict[str, dict[str, Any]] = {
    "SparseCategoricalCrossentropy": {"ignore_class": 1},
    "CategoricalCrossentropy": {"label_smoothing": 0.1},
    "BinaryCrossentropy": {"pos_weight": [1.0, 2.0, 3.0, 4.0]},
    "BinaryFocalCrossentropy": {"apply_class_balancing": True, "gamma": 1.5},
    "CategoricalFocalCrossentropy": {"alpha": [0.1, 0.2, 0.3, 0.4], "gamma": 1.5},
    "SparseCategoricalFocalCrossentropy": {"alpha": 0.5, "ignore_class": 2},
    "GaussianNLL": {"full": True, "eps": 0.01, "ignore_nan": True},
    "Quantile": {"quantile": [0.1, 0.9]},
    "Huber": {"delta": 0.5, "ignore_nan": True},
    "Tweedie": {"power": 1.2},
}
OWN = [cls for cls in losses.LOSSES.classes.values() if cls.__module__.startswith("fastnn.")]


def targets_of(loss: losses.Loss) -> Array:
    rng = np.random.default_rng(1)
    if loss.takes_labels:
        return rng.integers(0, C, N)
    kind = "unit_or_missing" if loss.is_own else loss.row.targets
    if kind == "classes":
        return rng.dirichlet(np.ones(C), N)
    if kind == "unit_or_missing":
        return rng.integers(0, 2, (N, C)).astype(float)
    if kind == "signs":
        return rng.choice([-1.0, 1.0], (N, C))
    width = C // (loss.repeats_targets or loss.row.outputs_of_target)
    y = 0.5 + rng.random((N, width))
    if loss.takes_gaps:
        y[3, 0] = np.nan
    return y


@pytest.mark.parametrize("cls", OWN, ids=lambda cls: cls.__name__)
def test_every_loss(cls: type[losses.Loss], tmp_path: Path) -> None:
    for options in ({}, OPTIONS.get(cls.__name__, {}), {"reduction": "mean_with_sample_weight"}):
        loss = cls(**options)
        head = (
            "softplus"
            if not loss.is_own and loss.row.targets in ("not_negative", "positive")
            else "linear"
        )
        model = fastnn.Sequential([layers.Dense(C, head, input_shape=(3,), dtype="float64")])
        model.compile("sgd", loss)
        x, y = np.random.default_rng(2).normal(size=(N, 3)), targets_of(loss)
        model.save(tmp_path / "model.safetensors")
        again = fastnn.load_model(tmp_path / "model.safetensors")
        assert type(again.loss) is cls
        assert again.loss.get_config() == loss.get_config()
        assert again.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
        assert cls.from_config(loss.get_config()).get_config() == loss.get_config()
