"""Layers that add noise in training and change nothing elsewhere: Dropout."""

from __future__ import annotations

from functools import partial
from typing import Unpack

from fastnn import _core
from fastnn.layers.base import COMMON, LAYERS, Common, Layer
from fastnn.registry import Checked
from fastnn.words import keywords, number


@LAYERS.register("dropout")
class Dropout(Layer):
    """In training, sets each number to 0 with probability `rate`, and scales the rest.

    The rest is multiplied by 1 / (1 - rate); `predict` and `evaluate` change nothing. Which
    numbers are dropped depends on the model's key, the layer and the step, so a seed set by
    `fastnn.utils.set_random_seed` fixes it.

    Args:
        rate: in [0, 1).
    """

    rate = Checked(partial(number, low=0.0, high=1.0, open_high=True))

    @keywords(*COMMON)
    def __init__(self, rate: float, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.rate = rate

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return network.dropout(tensor, self.rate)
