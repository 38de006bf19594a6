"""Trainable: the members of a model that training and callbacks use. No class of models is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import _core

# Numbers by name; those of a metric that says so are arrays (Metric.gives_array).
Logs = dict[str, Any]


class Columns(Protocol):
    """Names of the sums that native code returns: the loss, then the metrics."""

    @property
    def names(self) -> list[str]:
        """ "loss", then the names of the metrics."""

    @property
    def width(self) -> int:
        """The number of native sums."""

    def logs(self, sums: NDArray[np.float64], prefix: str = "") -> Logs:
        """Names to values, from `width` sums."""


class Optimizer(Protocol):
    """Hyperparameters of the steps, read at every native call."""

    learning_rate: float
    iterations: int

    def settings(self) -> dict[str, float]:
        """Hyperparameters as a native call takes them."""


class Trainable(Protocol):
    """A compiled model."""

    stop_training: bool

    @property
    def network(self) -> _core.Network:
        """The native network."""

    @property
    def columns(self) -> Columns:
        """Names of loss and metrics."""

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer given to `compile`."""

    @property
    def keeps_averages(self) -> bool:
        """Whether training keeps an average of the weights."""

    def more_is_better(self, key: str) -> bool | None:
        """Whether more of a value in the logs is better; None where that is not known."""

    def gives_array(self, key: str) -> bool:
        """Whether the logs hold an array under this name, as far as that is known."""

    def get_weights(self) -> list[NDArray[Any]]:
        """Copies of all weights."""

    def take_averages(self) -> None:
        """Makes the averages that the optimizer keeps the weights."""

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Writes all weights, or none where one does not fit."""
