"""Optimizers whose steps look at whole matrices: each names a row of csrc/core/optimizer_whole.h.

They give up sessions that step while gradients are made (see `summary(batch_size=...)`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import Any, Unpack

from fastnn.optimizers.base import (
    COMMON,
    OLD_NAMES,
    OPTIMIZERS,
    Common,
    Epsilon,
    Optimizer,
    Rate,
    Setting,
)
from fastnn.registry import Checked
from fastnn.variables import Variable
from fastnn.words import flag, integer, keywords, number, optional


@OPTIMIZERS.register("lamb")
class Lamb(Optimizer):
    """Lamb, for large batches (You et al., 2020, arXiv:1904.00962).

        >>> w = fastnn.Variable([2.0])
        >>> step = fastnn.optimizers.Lamb(0.25).apply([[100.0]], [w])  # 2 - 0.25 * norm(w)
        >>> print(w.numpy().round(4))
        [1.5]

    The direction r = m_hat / (sqrt(v_hat) + epsilon) of Adam is scaled for each parameter: it moves
    by -learning_rate * norm(w) / norm(r) * r, where the ratio is 1 if one of the norms is 0. Weights
    decay before, as in Keras.

    Args:
        learning_rate: at least 0, or a schedule (see `Optimizer`); default 0.001.
        beta_1, beta_2: how slowly the two moments forget, in [0, 1).
        epsilon: a positive number; default 1e-7, also for None. In float32 it acts as at least 1.1e-19.
        weight_decay: see `Optimizer`, also for further arguments.
        name: the name of the optimizer.
    """

    native = "lamb"
    beta_1 = Setting()
    beta_2 = Setting()
    epsilon = Epsilon()

    @keywords(*COMMON, old=OLD_NAMES)
    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = 1e-7,
        weight_decay: float | None = None,
        name: str = "lamb",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, name, **common)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon


class _Steps(Setting):
    """A number of iterations."""

    def checked(self, _holder: Any, value: Any) -> int:
        return integer(self.name, value, 0)


class _Rate(Setting):
    """A positive number; None: it has no part."""

    def checked(self, _holder: Any, value: Any) -> float | None:
        return optional(partial(number, low=0.0, open_low=True))(self.name, value)


class _Decay(Setting):
    """A weight decay; None: 0."""

    def checked(self, _holder: Any, value: Any) -> float | None:
        return optional(partial(number, low=0.0))(self.name, value)


def _patterns(name: str, value: object) -> list[str] | None:
    """Regular expressions."""
    if value is None:
        return None
    # A string is a sequence of letters, each of which would be a name.
    names: list[Any] = list(value) if isinstance(value, (list, tuple)) else [None]
    for one in names:
        if not isinstance(one, str):
            raise TypeError(f"{name}: expected a list of strings, got {value!r}")
        re.compile(one)
    return names


@OPTIMIZERS.register("muon")
class Muon(Optimizer):
    """Muon for matrices, AdamW for all other parameters (Jordan et al., 2024; arXiv:2502.16982).

        >>> w = fastnn.Variable([[1.0]], name="kernel")
        >>> optimizer = fastnn.optimizers.Muon(1.0, weight_decay=None, ns_steps=1, rms_rate=None)
        >>> step = optimizer.apply([[[100.0]]], [w])  # 1 - (a + b + c)
        >>> print(w.numpy().round(4))
        [[0.299]]

    m = momentum * m + gradient; the direction, m or with nesterov gradient + momentum * m, is made
    nearly orthogonal by steps of Newton and Schulz, X = a X + (b A + c A A) X with A = X X^T, and
    the matrix moves by -learning_rate * rms_rate * sqrt(max(rows, columns)) * X. Vectors and what is
    excluded take the step of AdamW at learning_rate * adam_lr_ratio. Exclude the last layer, as its
    authors do: `exclude_layers=["dense_2"]`.

    Args:
        learning_rate: at least 0, or a schedule (see `Optimizer`); default 0.001.
        adam_beta_1, adam_beta_2, epsilon: of AdamW.
        adam_weight_decay: of AdamW; None is 0.
        weight_decay: of matrices; see `Optimizer`, also for further arguments.
        name: the name of the optimizer.
        exclude_layers: regular expressions; a matrix in whose path one is found is left to AdamW.
            Read at `compile`, as exclude_embeddings is.
        exclude_embeddings: whether matrices with "embedding" in their path are, too.
        muon_a, muon_b, muon_c: the a, b and c above.
        adam_lr_ratio: a positive number.
        momentum: in [0, 1).
        ns_steps: the number of steps of Newton and Schulz.
        nesterov: whether to look ahead.
        rms_rate: a positive number; None: matrices move by -learning_rate * X.
    """

    native = "muon"
    adam_beta_1 = Setting()
    adam_beta_2 = Setting()
    adam_weight_decay = _Decay()
    epsilon = Epsilon()
    muon_a = Setting()
    muon_b = Setting()
    muon_c = Setting()
    adam_lr_ratio = Setting()
    momentum = Setting()
    ns_steps = _Steps()
    nesterov = Setting()
    rms_rate = _Rate()
    exclude_layers = Checked(_patterns)
    exclude_embeddings = Checked(flag)

    @keywords(*COMMON, old=OLD_NAMES)
    def __init__(
        self,
        learning_rate: Rate = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float | None = 1e-7,
        weight_decay: float | None = 0.004,
        name: str = "muon",
        exclude_layers: Iterable[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1.0,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, name, **common)
        self.adam_beta_1, self.adam_beta_2 = adam_beta_1, adam_beta_2
        self.adam_weight_decay, self.epsilon = adam_weight_decay, epsilon
        self.exclude_layers, self.exclude_embeddings = exclude_layers, exclude_embeddings
        self.muon_a, self.muon_b, self.muon_c = muon_a, muon_b, muon_c
        self.adam_lr_ratio, self.momentum = adam_lr_ratio, momentum
        self.ns_steps, self.nesterov, self.rms_rate = ns_steps, nesterov, rms_rate

    def _scale_of(self, variable: Variable) -> tuple[float, float, bool]:
        rate, decay, _ = super()._scale_of(variable)
        return rate, decay, self._is_orthogonal(variable)

    def _scales_of(self, variables: Any) -> list[tuple[float, float, bool]]:
        return [self._scale_of(variable) for variable in variables]

    def _is_orthogonal(self, variable: Variable) -> bool:
        if len(variable.shape) != 2 or variable.by_number:
            return False
        if self.exclude_embeddings and "embedding" in variable.path.lower():
            return False
        return not any(re.search(name, variable.path) for name in self.exclude_layers or ())
