"""Batch normalization of a batch that ranks share, over the tape: statistics of all its rows.

In native passes they are csrc/core/nodes/batch_norm.cpp; the formulas are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.autodiff.kernels import Source, value_of
from fastnn.autodiff.shared import Part
from fastnn.autodiff.tape import recording
from fastnn.autodiff.tensor import Tensor, recorded, tensor

Array = NDArray[Any]


def batch_normalization(
    part: Part, x: Any, gamma: Source | None, beta: Source | None, epsilon: float
) -> tuple[Tensor, Array, Array]:
    """As `kernels.batch_normalization`; x are this rank's rows (n, columns)."""
    x = tensor(x)
    dtype = np.dtype(gamma.dtype if gamma is not None else x.dtype)
    rows = x.value.astype(np.float64)
    count, mean, variance = _moments(part, rows)
    inverse = 1.0 / np.sqrt(variance + epsilon)
    normed = (rows - mean) * inverse
    scale = 1.0 if gamma is None else value_of(gamma, dtype).astype(np.float64)
    shift = 0.0 if beta is None else value_of(beta, dtype)
    y = Tensor((normed * scale + shift).astype(dtype))
    given = [source for source in (x, gamma, beta) if source is not None]

    def pull(dy: Tensor) -> Sequence[Tensor | None]:
        if recording():
            raise RuntimeError(
                "gradient: over ranks there is no second derivative of BatchNormalization in training"
            )
        slope = dy.value.astype(np.float64)
        # Of this rank's rows: gradients are summed over ranks later.
        dbeta, dgamma = slope.sum(axis=0), (slope * normed).sum(axis=0)
        means = part.exchange.sum(np.concatenate([dbeta, dgamma])) / count
        of_slope, of_both = np.split(means, 2)
        dx = scale * inverse * (slope - of_slope - normed * of_both)
        found = [dx, *([] if gamma is None else [dgamma]), *([] if beta is None else [dbeta])]
        return [Tensor(one.astype(dtype)) for one in found]

    return recorded(y, tuple(given), pull), mean.astype(dtype), variance.astype(dtype)


def _moments(part: Part, rows: Array) -> tuple[float, Array, Array]:
    """The number of rows of all ranks, and means and variances by column.

    From means and sums of squares about them, in the order of ranks: Chan, Golub and LeVeque,
    Algorithms for computing the sample variance (1983), formula 1.5.
    """
    own = rows.mean(axis=0)
    about = np.square(rows - own).sum(axis=0)
    all_ = part.exchange.gather(np.concatenate([[len(rows)], own, about]))
    count, mean, squares = 0.0, np.zeros_like(own), np.zeros_like(about)
    for one in all_:
        more, (means, sums) = one[0], np.split(one[1:], 2)
        whole, apart = count + more, means - mean
        squares = squares + sums + np.square(apart) * (count * more / whole)
        mean = mean + apart * (more / whole)
        count = whole
    return count, mean, squares / count
