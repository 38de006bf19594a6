"""Recipe: how the networks of a tabular estimator are made and trained, as plain values.

benchmarks/NOTES.md has the measurement behind each default.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

_EARLY, _LATE = 0.4, 0.85  # shares of the epochs
_AFTER, _LONGER = 2.0, 1.25
_SHORTEST = 4


class Recipe(NamedTuple):
    """Settings that all members share."""

    hidden: tuple[int, ...] = (128, 128, 128)
    activation: str = "silu"
    dropout: float = 0.0
    learning_rate: float = 0.006
    scale_rate: float = 3.0  # of the trained scale of inputs, as a factor of the rate
    weight_decay: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.95
    cycles: int = 2  # waves of the learning rate
    batch_size: int = 128
    epochs: int = 20
    adapts: bool = False  # whether members after the first have the epochs that its curve asks for
    threads: int | None = (
        None  # how many members train at the same time; None: as fastnn has threads
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    matmul_precision: Literal["highest", "high", "medium"] | None = None
    verbose: int = 0


# What inputs of a member have beside scaled numbers and levels: nothing, piecewise linear codes of numbers, or
# trained periodic ones.
Kind = Literal["plain", "pieces", "periodic"]
KINDS: tuple[Kind, ...] = ("plain", "pieces", "periodic")


class Plan(NamedTuple):
    """One member: which rows it learns from, which are held out, and from what seed it begins."""

    train: NDArray[np.int64]
    held: NDArray[np.int64]
    kind: Kind
    seed: int


def kind_of(number: int, codes: str, *, pieces: bool, periodic: bool) -> Kind:
    """The kind of a member.

    Args:
        number: of the member.
        codes: the parameter of the estimator.
        pieces, periodic: whether the table has columns of which there are such codes.
    """
    wanted: dict[str, tuple[Kind, ...]] = {
        "mixed": KINDS if periodic else ("plain", "pieces"),
        "half": ("plain", "pieces"),
        "all": ("pieces",),
        "none": ("plain",),
    }
    kinds = wanted[codes]
    kind = kinds[number % len(kinds)]
    return "plain" if kind == "pieces" and not pieces else kind


def length(rows: int) -> tuple[int, int]:
    """The batch size and the epochs for so many rows to learn from.

    Steps grow with the root of the rows: epochs of few rows are short, and more rows say more.
    """
    batch = min(256, max(32, 2 ** round(math.log2(max(rows, 1) / 25))))
    epochs = min(60, max(8, round(20 * math.sqrt(3200 / max(rows, 1)))))
    return batch, epochs


def epochs_after(best: int, epochs: int) -> int:
    """The epochs of later members, where the first one was best after `best` of its `epochs`.

    On noisy rows it is best early, at a high rate: a shorter schedule has a low rate by then. One that was
    best at its end would have gone on.
    """
    if best <= _EARLY * epochs:
        return min(epochs, max(_SHORTEST, round(_AFTER * best)))
    return round(_LONGER * epochs) if best > _LATE * epochs else epochs
