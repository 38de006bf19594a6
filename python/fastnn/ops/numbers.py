"""Losses of numbers, which compare one output with one target, as functions: `fastnn.ops` has them."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastnn import _core, rows
from fastnn.arrays import op_arguments
from fastnn.words import flag

Array = op_arguments.Array


def mean_squared_error(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    ignore_nan: bool = False,
) -> tuple[float, Array]:
    """The mean of (pred - target)**2, and its gradient.

        >>> fastnn.ops.mean_squared_error([1.0, 5.0], [1.0, 2.0])
        (4.5, array([0., 3.]))

    Args:
        pred: (n, o) or (n,).
        target: the same shape.
        sample_weight: (n,), at least 0; None: all 1. The mean over o is taken first, then the
            weighted mean over rows. Or the shape of target: the weighted mean over all numbers.
        ignore_nan: True: targets that are NaN are missing, and left out of the mean, which is over
            all that are there. False: they make the loss NaN.

    Returns:
        The loss, a float (0 where no row has weight), and dpred, the gradient of it.

    Raises:
        ValueError: shapes do not fit, or a weight is below 0 (with its row).
        TypeError: an array does not hold real numbers.
    """
    return _regression_loss("mean_squared_error", pred, target, sample_weight, ignore_nan)


def mean_absolute_error(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    ignore_nan: bool = False,
) -> tuple[float, Array]:
    """The mean of abs(pred - target), and its gradient, which is 0 where the two are equal.

        >>> fastnn.ops.mean_absolute_error([1.0, 5.0], [1.0, 2.0])
        (1.5, array([0. , 0.5]))

    Args, Returns and Raises: see `mean_squared_error`.
    """
    return _regression_loss("mean_absolute_error", pred, target, sample_weight, ignore_nan)


def huber(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    delta: float = 1.0,
    sample_weight: ArrayLike | None = None,
    ignore_nan: bool = False,
) -> tuple[float, Array]:
    """The mean of Huber's loss (1964), and its gradient.

        >>> fastnn.ops.huber([1.0, 5.0], [1.0, 2.0], delta=1.0)  # (0 + 2.5) / 2
        (1.25, array([0. , 0.5]))

    With e = pred - target it is e**2 / 2 for abs(e) <= delta, else delta * (abs(e) - delta / 2).

    Args:
        delta: above 0.
        pred, target, sample_weight, ignore_nan: see `mean_squared_error`, also for Returns and Raises.
    """
    return _regression_loss("huber", pred, target, sample_weight, ignore_nan, delta=delta)


def poisson(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    ignore_nan: bool = False,
) -> tuple[float, Array]:
    """The mean of pred - target * log(pred + 1e-7), and its gradient.

        >>> loss, dpred = fastnn.ops.poisson([1.0, 1.0], [1.0, 3.0])
        >>> round(loss, 4), dpred.round(4).tolist()
        (1.0, [0.0, -1.0])

    Args:
        target: numbers of at least 0.
        pred, sample_weight, ignore_nan: see `mean_squared_error`, also for Returns and Raises.
    """
    return _regression_loss("poisson", pred, target, sample_weight, ignore_nan)


def quantile(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    quantile: float = 0.5,
    sample_weight: ArrayLike | None = None,
    ignore_nan: bool = False,
) -> tuple[float, Array]:
    """The mean of max(q * e, (q - 1) * e) with e = target - pred, and its gradient, 0 at e = 0.

        >>> fastnn.ops.quantile([1.0, 5.0], [1.0, 2.0], quantile=0.5)  # half the absolute error
        (0.75, array([0.  , 0.25]))

    Args:
        target: numbers.
        quantile: q, above 0 and below 1.
        pred, sample_weight, ignore_nan: see `mean_squared_error`, also for Returns and Raises.
    """
    return _regression_loss("quantile", pred, target, sample_weight, ignore_nan, quantile=quantile)


def log_cosh(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    ignore_nan: bool = False,
) -> tuple[float, Array]:
    """The mean of log(cosh(pred - target)), and its gradient.

        >>> loss, dpred = fastnn.ops.log_cosh([10.0], [0.0])
        >>> round(loss, 4), dpred.round(4).tolist()  # 10 - log(2)
        (9.3069, [1.0])

    Args:
        target: numbers.
        pred, sample_weight, ignore_nan: see `mean_squared_error`, also for Returns and Raises.
    """
    return _regression_loss("log_cosh", pred, target, sample_weight, ignore_nan)


def mean_squared_logarithmic_error(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    ignore_nan: bool = False,
) -> tuple[float, Array]:
    """The mean of (log(1 + pred) - log(1 + target))**2, and its gradient.

        >>> loss, dpred = fastnn.ops.mean_squared_logarithmic_error([np.e - 1], [0.0])
        >>> round(loss, 4), dpred.round(4).tolist()  # 1, and 2 / e
        (1.0, [0.7358])

    Numbers below 1e-7 count as 1e-7; the gradient of such a prediction is 0.

    Args:
        target: numbers of at least 0.
        pred, sample_weight, ignore_nan: see `mean_squared_error`, also for Returns and Raises.
    """
    return _regression_loss(
        "mean_squared_logarithmic_error", pred, target, sample_weight, ignore_nan
    )


def mean_absolute_percentage_error(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    ignore_nan: bool = False,
) -> tuple[float, Array]:
    """The mean of 100 * abs(pred - target) / max(abs(target), 1e-7), and its gradient.

        >>> fastnn.ops.mean_absolute_percentage_error([1.0, 5.0], [1.0, 2.0])
        (75.0, array([ 0., 25.]))

    Args:
        target: numbers.
        pred, sample_weight, ignore_nan: see `mean_squared_error`, also for Returns and Raises.
    """
    return _regression_loss(
        "mean_absolute_percentage_error", pred, target, sample_weight, ignore_nan
    )


def hinge(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    ignore_nan: bool = False,
) -> tuple[float, Array]:
    """The mean of max(0, 1 - sign * pred), and its gradient.

        >>> fastnn.ops.hinge([3.0, 0.5], [1.0, -1.0])  # (0 + 1.5) / 2
        (0.75, array([0. , 0.5]))

    Args:
        target: the signs: 1 for yes, and -1 or 0, not both, for no.
        pred, sample_weight, ignore_nan: see `mean_squared_error`, also for Returns and Raises.
    """
    return _regression_loss("hinge", pred, target, sample_weight, ignore_nan)


def squared_hinge(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    ignore_nan: bool = False,
) -> tuple[float, Array]:
    """The mean of max(0, 1 - sign * pred)**2, and its gradient.

        >>> loss, dpred = fastnn.ops.squared_hinge([3.0, 1.0], [1.0, -1.0])  # (0 + 4) / 2
        >>> loss, (dpred + 0.0).tolist()
        (2.0, [0.0, 2.0])

    Args:
        target: the signs, as for `hinge`.
        pred, sample_weight, ignore_nan: see `mean_squared_error`, also for Returns and Raises.
    """
    return _regression_loss("squared_hinge", pred, target, sample_weight, ignore_nan)


def tweedie(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    power: float = 1.5,
    sample_weight: ArrayLike | None = None,
    ignore_nan: bool = False,
) -> tuple[float, Array]:
    """The mean of m**(2 - power) / (2 - power) - target * m**(1 - power) / (1 - power), and its
    gradient, with m = pred + 1e-7.

        >>> loss, dpred = fastnn.ops.tweedie([1.0], [4.0], power=1.5)  # 1 / 0.5 + 4 / 0.5
        >>> round(loss, 4), dpred.round(4).tolist()
        (10.0, [-3.0])

    Args:
        target: numbers of at least 0.
        power: above 1 and below 2.
        pred, sample_weight, ignore_nan: see `mean_squared_error`, also for Returns and Raises.
    """
    return _regression_loss("tweedie", pred, target, sample_weight, ignore_nan, power=power)


def gamma(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    ignore_nan: bool = False,
) -> tuple[float, Array]:
    """The mean of log(m) + target / m with m = pred + 1e-7, and its gradient.

        >>> loss, dpred = fastnn.ops.gamma([1.0], [4.0])  # log(1) + 4 / 1
        >>> round(loss, 4), dpred.round(4).tolist()
        (4.0, [-3.0])

    Args:
        target: numbers above 0.
        pred, sample_weight, ignore_nan: see `mean_squared_error`, also for Returns and Raises.
    """
    return _regression_loss("gamma", pred, target, sample_weight, ignore_nan)


def gaussian_nll(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    full: bool = False,
    eps: float = 1e-6,
    sample_weight: ArrayLike | None = None,
    ignore_nan: bool = False,
) -> tuple[float, Array]:
    """The mean of (log(v) + (mean - target)**2 / v) / 2 with v = max(exp(s), eps), and its gradient.

    >>> loss, dpred = fastnn.ops.gaussian_nll([[1.0, 0.0]], [[3.0]])  # mean 1, variance exp(0)
    >>> loss
    2.0

    Args:
        pred: (n, 2 o): the means, and behind them the logarithms s of the variances.
        target: (n, o).
        full: whether log(2 * pi) / 2 is added.
        eps: above 0.
        sample_weight, ignore_nan: see `mean_squared_error`, also for Returns and Raises.
    """
    return _regression_loss(
        "gaussian_nll",
        pred,
        target,
        sample_weight,
        ignore_nan,
        full=float(flag("full", full)),
        eps=eps,
    )


def _regression_loss(
    name: str,
    pred: ArrayLike,
    target: ArrayLike,
    sample_weight: ArrayLike | None,
    ignore_nan: bool,
    **options: float,
) -> tuple[float, Array]:
    row = rows.losses()[name]
    checked = {option: row.options[option].checked(value) for option, value in options.items()}
    p, t = op_arguments.floats(pred=pred, target=target)
    for option, value in checked.items():
        op_arguments.fitting(option, value, p)
    weights = op_arguments.weights_beside("sample_weight", sample_weight, "pred", p)
    gaps = flag("ignore_nan", ignore_nan)
    loss, dpred = _core.element_loss(name, p, t, weights, None, checked, gaps)
    return loss, op_arguments.result(pred, dpred)
