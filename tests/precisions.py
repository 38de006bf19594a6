"""Training at each precision: which ones this processor has, networks, and what a fit changes.

No test and no tolerance is here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fastnn
from fastnn import _core, layers, optimizers

Array = NDArray[Any]

SESSIONS = ("plain", "streaming", "tiled")
# Precision by the number of parts in bfloat16, on the units that are faster with them.
UNITS = {"avx512_bf16": {"medium": 1}, "amx": {"medium": 1, "high": 2}}
SERVED = tuple(UNITS.get(_core.isa(), {}))

unit = pytest.mark.skipif(not SERVED, reason="no unit for bfloat16 is in use")


@dataclass
class Case:
    """A network that is large enough for products in bfloat16, its data and a fit of it."""

    widths: Sequence[int]
    activation: str = "tanh"
    last: str | None = None
    loss: str = "sparse_categorical_crossentropy"
    dropout: float = 0.0
    use_bias: bool = True
    frozen: Sequence[int] = ()  # places of dense layers
    optimizer: str = "sgd"
    weighted: bool = False
    first: Callable[[], layers.Layer] | None = None

    def network(self, dtype: str = "float32") -> fastnn.Sequential:
        """The same weights for every dtype."""
        fastnn.utils.set_random_seed(5)
        chain: list[layers.Layer] = [layers.Input((self.widths[0],))]
        if self.first is not None:
            chain.append(self.first())
        for units in self.widths[1:-1]:
            chain.append(layers.Dense(units, self.activation, use_bias=self.use_bias))
            if self.dropout:
                chain.append(layers.Dropout(self.dropout))
        chain.append(layers.Dense(self.widths[-1], self.last, use_bias=self.use_bias))
        model = fastnn.Sequential(chain, dtype=dtype)
        dense = [layer for layer in model.layers if isinstance(layer, layers.Dense)]
        for place in self.frozen:
            dense[place].trainable = False
        draw = np.random.default_rng(8)
        model.set_weights(
            [
                draw.normal(size=w.shape).astype(np.float32) / np.sqrt(len(w) if w.ndim > 1 else 10)
                for w in model.get_weights()
            ]
        )
        return model

    def compiled(self, precision: str | None = None, dtype: str = "float32") -> fastnn.Sequential:
        model = self.network(dtype)
        optimizer: optimizers.Optimizer = optimizers.Adam(0.01)
        if self.optimizer == "sgd":
            optimizer = optimizers.SGD(0.1)
        if self.optimizer == "momentum":
            optimizer = optimizers.SGD(0.02, momentum=0.9, nesterov=True)
        metrics = ["mse"] if self.loss == "mse" else ["accuracy"]
        model.compile(optimizer, self.loss, metrics=metrics, matmul_precision=precision)
        return model

    def data(self, rows: int) -> tuple[Array, Array, Array | None]:
        draw = np.random.default_rng(9)
        x = draw.normal(size=(rows, self.widths[0])).astype(np.float32)
        outputs = self.widths[-1]
        y: Array = draw.integers(0, outputs, rows)
        if self.loss == "mse":
            y = draw.normal(size=(rows, outputs))
        if self.loss == "binary_crossentropy":
            y = draw.integers(0, 2, (rows, outputs)).astype(np.float64)
        weights = draw.uniform(0, 2, rows) * (draw.random(rows) > 0.3)
        return x, y, weights if self.weighted else None

    def fit(self, model: fastnn.Sequential, rows: int, batch: int, epochs: int = 1) -> Any:
        x, y, weights = self.data(rows)
        return model.fit(
            x, y, sample_weight=weights, batch_size=batch, epochs=epochs, shuffle=True, verbose=0
        ).history


def changed(
    case: Case, precision: str | None, rows: int, batch: int, dtype: str = "float32"
) -> tuple[list[Array], dict[str, list[float]]]:
    """How a fit changes the weights, and its history."""
    model = case.compiled(precision, dtype)
    before = model.get_weights()
    history = case.fit(model, rows, batch)
    after = model.get_weights()
    return [np.float64(a) - b for a, b in zip(after, before, strict=True)], history


def same_bits(a: Sequence[Array], b: Sequence[Array]) -> bool:
    return all(p.tobytes() == q.tobytes() for p, q in zip(a, b, strict=True))
