"""Losses of numbers: regressions, quantiles, counts and signs, each a row of the native table
(csrc/core/loss.h)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import rows
from fastnn.arrays.host import numeric
from fastnn.losses.base import LOSSES, Loss, RowOption
from fastnn.registry import Checked
from fastnn.words import (
    flag,
    keywords,
)


class OfNumbers(Loss):
    """What losses of numbers have in common."""

    ignore_nan = Checked(flag)

    def __init__(self, name: str, reduction: str, ignore_nan: bool) -> None:
        super().__init__(name, reduction)
        self.ignore_nan = ignore_nan


@LOSSES.register("mean_squared_error", "mse", "MSE")
class MeanSquaredError(OfNumbers):
    """Mean over rows and outputs of (output - target)**2; targets (n, outputs), or (n,) for one.

    >>> float(fastnn.losses.MeanSquaredError()([1.0, 2.0], [[1.0], [5.0]]))
    4.5

    Args:
        reduction, name: see `Loss`.
        ignore_nan: True: a target that is NaN is missing and left out of the loss, the gradient and
            the number that these are divided by; the mean is then over targets that are there, of all
            rows. Metrics that are losses leave it out, too. False: NaN is a ValueError.
    """

    native = "mean_squared_error"

    @keywords()
    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "mean_squared_error",
        *,
        ignore_nan: bool = False,
    ) -> None:
        super().__init__(name, reduction, ignore_nan)


@LOSSES.register("mean_absolute_error", "mae", "MAE")
class MeanAbsoluteError(OfNumbers):
    """Mean over rows and outputs of abs(output - target); targets as `MeanSquaredError`.

    >>> float(fastnn.losses.MeanAbsoluteError()([1.0, 2.0], [[1.0], [5.0]]))
    1.5
    """

    native = "mean_absolute_error"

    @keywords()
    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "mean_absolute_error",
        *,
        ignore_nan: bool = False,
    ) -> None:
        super().__init__(name, reduction, ignore_nan)


@LOSSES.register("huber", "huber_loss")
class Huber(OfNumbers):
    """error**2 / 2 up to `delta` and delta * (abs(error) - delta / 2) beyond it (Huber, 1964).

        >>> loss = fastnn.losses.Huber(delta=1.0)
        >>> float(loss([0.0], [[1.0]])), float(loss([0.0], [[3.0]]))  # a square, then a line
        (0.5, 2.5)

    Args:
        delta: where the square becomes a line, above 0; default 1.
        reduction, name: see `Loss`.
        ignore_nan: see `MeanSquaredError`.
    """

    native = "huber"
    delta = RowOption()

    @keywords()
    def __init__(
        self,
        delta: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str = "huber_loss",
        *,
        ignore_nan: bool = False,
    ) -> None:
        super().__init__(name, reduction, ignore_nan)
        self.delta = delta


@LOSSES.register("poisson")
class Poisson(OfNumbers):
    """Mean over rows and outputs of output - target * log(output + 1e-7); targets at least 0.

        >>> round(float(fastnn.losses.Poisson()([0.0, 1.0], [[3.0], [1.0]])), 4)  # (3 + 1) / 2
        2.0

    The output is a rate: end the model so that it is positive, for example with softplus.

    Args:
        ignore_nan: True: missing targets (NaN) are left out; see `MeanSquaredError`.
    """

    native = "poisson"

    @keywords()
    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "poisson",
        *,
        ignore_nan: bool = False,
    ) -> None:
        super().__init__(name, reduction, ignore_nan)


@LOSSES.register("mean_absolute_percentage_error", "mape", "MAPE")
class MeanAbsolutePercentageError(OfNumbers):
    """Mean of 100 * abs(output - target) / max(abs(target), 1e-7); targets as `MeanSquaredError`.

    >>> float(fastnn.losses.MeanAbsolutePercentageError()([1.0, 2.0], [[1.0], [5.0]]))
    75.0
    """

    native = "mean_absolute_percentage_error"

    @keywords()
    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "mean_absolute_percentage_error",
        *,
        ignore_nan: bool = False,
    ) -> None:
        super().__init__(name, reduction, ignore_nan)


@LOSSES.register("mean_squared_logarithmic_error", "msle", "MSLE")
class MeanSquaredLogarithmicError(OfNumbers):
    """Mean of (log(1 + output) - log(1 + target))**2; targets at least 0.

        >>> loss = fastnn.losses.MeanSquaredLogarithmicError()
        >>> round(float(loss([0.0], [[np.e - 1]])), 4)  # log(e) - log(1)
        1.0

    As in Keras, numbers below 1e-7 count as 1e-7: such an output has no gradient, so end the model
    so that it is positive, for example with softplus.

    Args:
        ignore_nan: True: missing targets (NaN) are left out; see `MeanSquaredError`.
    """

    native = "mean_squared_logarithmic_error"

    @keywords()
    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "mean_squared_logarithmic_error",
        *,
        ignore_nan: bool = False,
    ) -> None:
        super().__init__(name, reduction, ignore_nan)


@LOSSES.register("log_cosh", "logcosh")
class LogCosh(OfNumbers):
    """Mean of log(cosh(output - target)); targets as `MeanSquaredError`.

        >>> loss = fastnn.losses.LogCosh()
        >>> round(float(loss([0.0], [[10.0]])), 4)  # 10 - log(2)
        9.3069

    It is error**2 / 2 near 0 and abs(error) - log(2) far from it.
    """

    native = "log_cosh"

    @keywords()
    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "log_cosh",
        *,
        ignore_nan: bool = False,
    ) -> None:
        super().__init__(name, reduction, ignore_nan)


@LOSSES.register("hinge")
class Hinge(OfNumbers):
    """Mean of max(0, 1 - sign * output); the targets are signs, 1 for yes and -1 or 0 for no.

        >>> float(fastnn.losses.Hinge()([1.0, -1.0], [[3.0], [0.5]]))  # (0 + 1.5) / 2
        0.75

    The outputs are scores, so the last layer has no activation. Targets that hold both -1 and 0 are
    a ValueError.

    Args:
        ignore_nan: True: missing targets (NaN) are left out; see `MeanSquaredError`.
    """

    native = "hinge"

    @keywords()
    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "hinge",
        *,
        ignore_nan: bool = False,
    ) -> None:
        super().__init__(name, reduction, ignore_nan)


@LOSSES.register("squared_hinge")
class SquaredHinge(OfNumbers):
    """Mean of max(0, 1 - sign * output)**2; targets and outputs as `Hinge`.

        >>> float(fastnn.losses.SquaredHinge()([1.0, -1.0], [[3.0], [1.0]]))  # (0 + 4) / 2
        2.0

    Args:
        ignore_nan: True: missing targets (NaN) are left out; see `MeanSquaredError`.
    """

    native = "squared_hinge"

    @keywords()
    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "squared_hinge",
        *,
        ignore_nan: bool = False,
    ) -> None:
        super().__init__(name, reduction, ignore_nan)


@LOSSES.register("gamma", "gamma_nll")
class Gamma(OfNumbers):
    """Mean of log(m) + target / m with m = output + 1e-7; targets above 0.

        >>> round(float(fastnn.losses.Gamma()([4.0], [[1.0]])), 4)  # log(1) + 4 / 1
        4.0

    The negative log-likelihood of a gamma distribution with mean m, up to constants. End the model so
    that the output is positive, for example with softplus.

    Args:
        ignore_nan: True: missing targets (NaN) are left out; see `MeanSquaredError`.
    """

    native = "gamma"

    @keywords()
    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "gamma",
        *,
        ignore_nan: bool = False,
    ) -> None:
        super().__init__(name, reduction, ignore_nan)


@LOSSES.register("tweedie")
class Tweedie(OfNumbers):
    """Mean of m**(2 - power) / (2 - power) - target * m**(1 - power) / (1 - power), m = output + 1e-7.

        >>> loss = fastnn.losses.Tweedie(power=1.5)
        >>> round(float(loss([4.0], [[1.0]])), 4)  # 1 / 0.5 + 4 / 0.5
        10.0

    The negative log-likelihood of a compound Poisson-gamma distribution whose variance is
    proportional to mean**power, up to constants: for targets of at least 0, many of which are 0. End
    the model so that the output is positive, for example with softplus.

    Args:
        power: above 1 and below 2.
        reduction, name: see `Loss`.
        ignore_nan: see `MeanSquaredError`.
    """

    native = "tweedie"
    power = RowOption()

    @keywords()
    def __init__(
        self,
        power: float = 1.5,
        reduction: str = "sum_over_batch_size",
        name: str = "tweedie",
        *,
        ignore_nan: bool = False,
    ) -> None:
        super().__init__(name, reduction, ignore_nan)
        self.power = power


def _quantile(name: str, value: Any) -> float | list[float]:
    """One quantile, or a list of them."""
    option = rows.losses()["quantile"].options["quantile"]
    given = numeric(name, value)
    if given.ndim == 0:
        return option.checked(given.item())
    if given.ndim != 1 or not given.size:
        raise ValueError(f"{name}: expected a number or a list of them, got {value!r}")
    return [option.checked(one) for one in given.tolist()]


@LOSSES.register("quantile", "pinball", "pinball_loss", "quantile_loss")
class Quantile(OfNumbers):
    """Mean of max(q * e, (q - 1) * e) with e = target - output (Koenker and Bassett, 1978).

        >>> loss = fastnn.losses.Quantile(0.9)
        >>> round(float(loss([2.0], [[1.0]])), 4), round(float(loss([1.0], [[2.0]])), 4)
        (0.9, 0.1)

    An output that minimises it is the quantile q of the targets; at 0.5 it is half the absolute
    error. The gradient at e = 0 is 0.

    Args:
        quantile: q, above 0 and below 1, for all outputs; or a list of k of them. The model then has k
            outputs for each target, those of the first target first: targets (n,) or (n, 1) are
            compared with all of k outputs, targets (n, t) with k outputs each of t * k.
        reduction, name: see `Loss`.
        ignore_nan: see `MeanSquaredError`.

    Raises:
        ValueError: the number of outputs is no multiple of that of quantiles.
    """

    native = "quantile"
    quantile = Checked(_quantile)

    @keywords()
    def __init__(
        self,
        quantile: float | Sequence[float] = 0.5,
        reduction: str = "sum_over_batch_size",
        name: str = "quantile",
        *,
        ignore_nan: bool = False,
    ) -> None:
        super().__init__(name, reduction, ignore_nan)
        self.quantile = quantile

    @property
    def repeats_targets(self) -> int:
        return len(self.quantile) if isinstance(self.quantile, list) else 0

    def row_options(self) -> dict[str, float]:
        return {"quantile": 0.5 if isinstance(self.quantile, list) else self.quantile}

    def options(self, outputs: int) -> dict[str, Any]:
        options = super().options(outputs)
        if isinstance(self.quantile, list):
            if outputs % len(self.quantile):
                raise ValueError(
                    f"quantile: expected {outputs} numbers, one for each output, or one for each "
                    f"output of a target, got {self.quantile}"
                )
            # The weight of an output times the option of the row, 0.5, is its quantile.
            each = np.tile(self.quantile, outputs // len(self.quantile))
            options["pos_weight"] = 2.0 * each
        return options
