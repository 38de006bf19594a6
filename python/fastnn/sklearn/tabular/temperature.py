"""Temperature: the one number by which probabilities are made as sure as they should be.

Guo et al. 2017, arXiv 1706.04599, on probabilities: p becomes p ** (1 / t), scaled to the sum 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LEAST, _MOST = 0.2, 5.0
_STEPS = 40  # of the search, each of which leaves 0.618 of the range
TINY = 1e-12


def tempered(p: Floats, t: float, *, labels: bool = False) -> Floats:
    """Probabilities (n, classes), or of labels, at a temperature.

    >>> import numpy as np
    >>> from fastnn.sklearn.tabular.temperature import tempered
    >>> tempered(np.array([[0.2, 0.8]]), 0.5).round(3).tolist()
    [[0.059, 0.941]]
    """
    if t == 1.0:
        return p
    z = np.log(np.maximum(p, TINY)) / t
    if labels:
        other = np.log(np.maximum(1.0 - p, TINY)) / t
        return np.asarray(1.0 / (1.0 + np.exp(other - z)))
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def temperature(
    p: Floats, targets: NDArray[Any], weights: Floats | None, *, labels: bool = False
) -> float:
    """The temperature, of 0.2 to 5, at which targets (n, classes) are most likely.

    Their log loss has one minimum over log t, which is found by golden sections.
    """
    log_p = np.log(np.maximum(p, TINY))
    log_q = np.log(np.maximum(1.0 - p, TINY)) if labels else log_p
    rows = np.ones(len(p)) if weights is None else weights
    # Of classes, the loss of a row is log sum exp(log_p / t) times the sum of its targets, less
    # their sum of log_p / t; of labels, the same for each with log_p and log_q.
    share = targets.sum(axis=1)
    told = (targets * log_p).sum(axis=1)
    if labels:
        told = told + ((1.0 - targets) * log_q).sum(axis=1)

    def loss(log_t: float) -> float:
        t = float(np.exp(log_t))
        if labels:
            total = np.logaddexp(log_p / t, log_q / t).sum(axis=1)
        else:
            z = log_p / t
            most = z.max(axis=1)
            total = (most + np.log(np.exp(z - most[:, None]).sum(axis=1))) * share
        return float(np.average(total - told / t, weights=rows))

    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    low, high = float(np.log(_LEAST)), float(np.log(_MOST))
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = loss(a), loss(b)
    for _ in range(_STEPS):
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = loss(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = loss(b)
    return float(np.exp((low + high) / 2.0))
