"""Losses that learn a distribution of the target: with two outputs for each, its mean and spread."""

from __future__ import annotations

from typing import Any

from fastnn.losses.base import LOSSES, RowOption
from fastnn.losses.numbers import OfNumbers
from fastnn.registry import Checked
from fastnn.words import (
    flag,
    keywords,
)


@LOSSES.register("gaussian_nll", "gaussian_nll_loss")
class GaussianNLL(OfNumbers):
    """Mean of (log(v) + (mean - target)**2 / v) / 2, v = max(exp(s), eps) (Nix and Weigend, 1994).

    The negative log-likelihood of a normal distribution of which the model learns mean and variance: it
    has two outputs for each target, for targets (n, k) the means in outputs [:, :k] and behind them,
    [:, k:], the logarithms s of the variances. The last layer has no activation. It is PyTorch's
    GaussianNLLLoss of exp(s), which takes the variance itself; as there the gradient passes by the
    maximum.

        >>> import numpy as np
        >>> import fastnn
        >>> model = fastnn.Sequential([fastnn.layers.Dense(2, input_shape=(3,))])
        >>> model.compile("adam", "gaussian_nll")
        >>> _ = model.fit(np.ones((8, 3)), np.arange(8.0), verbose=0)
        >>> model.predict(np.ones((1, 3))).shape
        (1, 2)

    Args:
        full: whether the constant log(2 * pi) / 2 is added.
        eps: the least variance, above 0.
        reduction, name: see `Loss`.
        ignore_nan: see `MeanSquaredError`.

    Raises:
        ValueError: the number of outputs is odd.
    """

    native = "gaussian_nll"
    full = Checked(flag)
    eps = RowOption()

    @keywords()
    def __init__(
        self,
        full: bool = False,
        eps: float = 1e-6,
        reduction: str = "sum_over_batch_size",
        name: str = "gaussian_nll",
        *,
        ignore_nan: bool = False,
    ) -> None:
        super().__init__(name, reduction, ignore_nan)
        self.full = full
        self.eps = eps

    def row_options(self) -> dict[str, float]:
        return {name: float(value) for name, value in super().row_options().items()}

    def options(self, outputs: int) -> dict[str, Any]:
        if outputs % 2:
            raise ValueError(
                f"loss {self.name}: expected 2 outputs for each target, got {outputs} outputs"
            )
        return super().options(outputs)
