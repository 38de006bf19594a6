"""Repeated: passes over the same rows that are one function of the weights, for searches along a line.

Dropout and noise draw the numbers of the first pass again, and what a pass writes itself, as moving
statistics do, is in the end what the first one left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.layers.noise import Noise
from fastnn.variables import Variable


class Repeated:
    """What passes of a model draw from and write, as it was before the first of them."""

    def __init__(self, model: Any) -> None:
        self._models = _models_in(model)
        self._counts = [self._counts_of(one) for one in self._models]
        parts = [part for one in self._models for part in one._leaf_parts()]
        noises = {id(part): part for part in parts if isinstance(part, Noise)}
        self._noises = [(layer, layer._calls) for layer in noises.values()]
        self._before = [(v, v.numpy()) for v in model._variables() if not v.trainable]
        self._after: list[tuple[Variable, NDArray[Any], NDArray[Any]]] = []

    @staticmethod
    def _counts_of(model: Any) -> tuple[Any, int]:
        built = model._state.now.built
        return (None, 0) if built is None else (built.network, built.network.steps)

    def begun(self) -> None:
        """After the first pass."""
        passed = [(v, value, v.numpy()) for v, value in self._before]
        self._after = [each for each in passed if not np.array_equal(*each[1:], equal_nan=True)]
        self._before = []

    def again(self) -> None:
        """Before another pass."""
        for network, steps in self._counts:
            if network is not None:
                network.steps = steps
        for layer, calls in self._noises:
            layer._calls = calls
        for variable, before, _ in self._after:
            variable.assign(before)

    def ended(self) -> None:
        """After the last pass."""
        for variable, _, after in self._after:
            variable.assign(after)


def _models_in(model: Any) -> list[Any]:
    """A model and those in it, each once."""
    found = {id(model): model}
    waiting = [model]
    for one in waiting:  # which grows
        for part in one._direct_parts():
            if hasattr(part, "_direct_parts") and id(part) not in found:
                found[id(part)] = part
                waiting.append(part)
    return waiting
