"""Layers that add noise in training and change nothing elsewhere: Dropout."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Unpack

import numpy as np

from fastnn import _core, keys
from fastnn.autodiff.tensor import Tensor
from fastnn.calling import Untraceable, now
from fastnn.layers.base import COMMON, LAYERS, Common, Layer
from fastnn.layers.symbol import any_symbols
from fastnn.registry import Checked
from fastnn.words import flag, integer, keywords, number, optional


@LAYERS.register("dropout")
class Dropout(Layer):
    """In training, sets each number to 0 with probability `rate`, and scales the rest.

    The rest is multiplied by 1 / (1 - rate); `predict` and `evaluate` change nothing. Which
    numbers are dropped depends on the model's key, the layer and the step, so a seed set by
    `fastnn.utils.set_random_seed` fixes it.

    Args:
        rate: in [0, 1).
        noise_shape: None alone; every number of a row is dropped for itself. (Keras can drop
            whole axes.)
        seed: an integer of at least 0. With it, which numbers are dropped depends on the seed and
            the step alone, whatever the model's key and the layer's place are: two layers with one
            seed drop the same places of rows of equal length.
    """

    _kept_as: ClassVar[dict[str, str | None]] = {**Layer._kept_as, "noise_shape": None}
    rate = Checked(partial(number, low=0.0, high=1.0, open_high=True))
    seed = Checked(optional(partial(integer, low=0)))

    @keywords(*COMMON)
    def __init__(
        self,
        rate: float,
        noise_shape: None = None,
        seed: int | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        if noise_shape is not None:
            raise ValueError(
                f"noise_shape: expected None, got {noise_shape!r}; every number of a row is "
                "dropped for itself"
            )
        self.rate = rate
        self.seed = seed
        self._key: int | None = None  # of calls outside a model
        self._calls = 0

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """See `Layer`. In a graph, `training=False` leaves the layer out, also in `fit`.

        Raises:
            TypeError: on a symbol with `training=True`, outside of a call in training: in a native
                graph dropout acts in training alone. A class with a `call` may have it.
        """
        if training is not None and any_symbols(inputs):
            if not flag("training", training):
                return inputs
            if not now().training:
                raise Untraceable(
                    f"layer {self.name!r}: dropout that acts outside of training, by training=True, is "
                    "no part of a graph of layers"
                )
        return super().__call__(inputs, training)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """By the layer's own key and its count of such calls; models have theirs."""
        if not training or self.rate == 0:
            return x
        if self._key is None:
            self._key = keys.next_key() if self.seed is None else keys.key_of(self.seed)
        bits = _core.random_bits(x.size, keys.key_of(self._key, self._calls), 0).reshape(x.shape)
        self._calls += 1
        kept = bits >= np.uint32(round(self.rate * 2.0**32))
        return x * (kept / (1.0 - self.rate)).astype(x.dtype)

    def extend(self, network: _core.Graph, tensor: int) -> int:
        key = None if self.seed is None else keys.key_of(self.seed)
        return network.dropout(tensor, self.rate, key)
