"""Recipe: how the networks of a tabular estimator are made and trained, as plain values.

benchmarks/NOTES.md has the measurement behind each default.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Recipe(NamedTuple):
    """Settings that all members share."""

    hidden: tuple[int, ...] = (256, 256, 256)
    activation: str = "silu"
    dropout: float = 0.15
    learning_rate: float = 0.0025
    weight_decay: float = 0.3
    beta_2: float = 0.95
    label_smoothing: float = 0.1
    batch_size: int = 256
    epochs: int = 64
    device: Literal["auto", "cpu", "cuda"] = "auto"
    matmul_precision: Literal["highest", "high", "medium"] | None = None
    verbose: int = 0


class Plan(NamedTuple):
    """One member: which rows it learns from, which are held out, and from what seed it begins."""

    train: NDArray[np.int64]
    held: NDArray[np.int64]
    codes: bool  # whether its inputs have piecewise linear codes
    seed: int
