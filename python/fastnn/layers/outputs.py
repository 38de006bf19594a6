"""Outputs: the end of a model of several outputs, whose numbers stand side by side in one array."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from fastnn import _core
from fastnn.autodiff import functions
from fastnn.autodiff.tensor import Tensor
from fastnn.layers.base import Shape
from fastnn.layers.merge import Merge
from fastnn.layers.symbol import Symbol

_SQUASHES = ("softmax", "sigmoid")


class Outputs(Merge):
    """Several outputs as columns of one; of a softmax or sigmoid the logits.

    Models make it; it is none of their `layers`. What comes out of it is taken apart by `parted`.

    Args:
        squashed: whether each output is that of a layer that ends in a softmax or sigmoid.
    """

    _inside = ("parted", "squashed")

    def __init__(self, squashed: Sequence[bool]) -> None:
        super().__init__()
        self.squashed = list(squashed)

    @classmethod
    def drawn(cls, outputs: Sequence[Symbol]) -> Symbol:
        """The symbol of these outputs."""
        squashed = [
            getattr(symbol.layer, "activation", None) in _SQUASHES and len(symbol.row_shape) == 1
            for symbol in outputs
        ]
        made: Symbol = cls(squashed)(list(outputs))
        return made

    def row_shape(self, shapes: Sequence[Shape]) -> Shape:  # type: ignore[override]
        return (sum(math.prod(shape) for shape in shapes),)

    def extend(self, network: _core.Graph, tensors: Sequence[int]) -> int:  # type: ignore[override]
        found = []
        for tensor, squashed in zip(tensors, self.squashed, strict=True):
            logits = network.logits(tensor) if squashed else None
            found.append(tensor if logits is None else logits)
        return network.concatenate(found)

    def merged(self, parts: list[Tensor]) -> Tensor:
        found = []
        for part, squashed in zip(parts, self.squashed, strict=True):
            made = part.logits if squashed else None
            flat = part if made is None or made[0] is None else made[0]
            found.append(functions.reshape(flat, (len(flat), -1)))
        return functions.concat(found, 1)

    def parted(self, y: Tensor, shapes: Sequence[Shape], ends: Sequence[str]) -> list[Tensor]:
        """The outputs (n, *shape) in the columns of y, each as its layer makes it.

        `ends`: for each the activation that it ends in; "linear" and "log_softmax" are logits.
        """
        widths = [math.prod(shape) for shape in shapes]
        found = []
        for k, end in enumerate(itertools.accumulate(widths)):
            part = y[:, end - widths[k] : end]
            if self.squashed[k] and ends[k] == "softmax":
                part = functions.softmax(part)
            elif self.squashed[k] and ends[k] == "sigmoid":
                part = functions.sigmoid(part)
            elif len(shapes[k]) != 1:
                part = functions.reshape(part, (len(y), *shapes[k]))
            if ends[k] in ("linear", "log_softmax"):
                part.logits = None, "linear"
            found.append(part)
        return found

    def get_config(self) -> dict[str, Any]:
        return {"squashed": list(self.squashed)}
