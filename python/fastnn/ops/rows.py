"""The kernels that scale rows by their statistics or length, and columns by their batch, as functions:
`fastnn.ops` has them."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastnn import _core
from fastnn.arrays import op_arguments
from fastnn.words import number

Array = op_arguments.Array


def layer_normalization(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
) -> Array:
    """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, each row for itself.

        >>> fastnn.ops.layer_normalization([[1.0, 3.0]], epsilon=0.0).tolist()
        [[-1.0, 1.0]]

    A row is what lies on the last axis; its variance is the mean of (x - mean)**2. From Ba,
    Kiros and Hinton, "Layer Normalization", 2016 (arXiv:1607.06450); the default of epsilon is
    that of Keras.

    Args:
        x: at least one axis; the last, of c numbers, must not be empty.
        gamma: (c,); None: all 1.
        beta: (c,); None: all 0.
        epsilon: at least 0. Where it is 0, a row of equal numbers gives NaN.

    Returns:
        y of the shape of x. A row that holds NaN is all NaN.

    Raises:
        ValueError: shapes do not fit, or epsilon is below 0.
        TypeError: an array does not hold real numbers.
    """
    tiny = number("epsilon", epsilon, 0.0)
    x_, gamma_, beta_ = op_arguments.floats(x=x, gamma=gamma, beta=beta)
    op_arguments.fitting("epsilon", tiny, x_)
    return op_arguments.result(x, _core.layer_normalization(x_, gamma_, beta_, tiny))


def layer_normalization_backward(
    dy: ArrayLike, x: ArrayLike, gamma: ArrayLike | None = None, *, epsilon: float = 1e-3
) -> tuple[Array, Array, Array]:
    """The gradients of `layer_normalization`.

        >>> x, dy = [[1.0, 3.0]], [[1.0, 1.0]]
        >>> dx, dgamma, dbeta = fastnn.ops.layer_normalization_backward(dy, x, epsilon=0.0)
        >>> dx.tolist(), dgamma.tolist(), dbeta.tolist()
        ([[0.0, 0.0]], [-1.0, 1.0], [1.0, 1.0])

    With xhat = (x - mean) / sqrt(variance + epsilon) and g = dy * gamma,
    dx = (g - mean(g) - xhat * mean(g * xhat)) / sqrt(variance + epsilon); dgamma and dbeta are
    the sums of dy * xhat and of dy over all rows.

    Args:
        dy: the gradient with respect to y, of the shape of x.
        x: the input of `layer_normalization`.
        gamma: (c,), as it was given there; None: all 1.
        epsilon: as it was given there.

    Returns:
        dx of the shape of x, dgamma (c,) and dbeta (c,).

    Raises:
        ValueError: shapes do not fit, or epsilon is below 0.
        TypeError: an array does not hold real numbers.
    """
    tiny = number("epsilon", epsilon, 0.0)
    dy_, x_, gamma_ = op_arguments.floats(dy=dy, x=x, gamma=gamma)
    op_arguments.fitting("epsilon", tiny, x_)
    dx, dgamma, dbeta = _core.layer_normalization_backward(dy_, x_, gamma_, tiny)
    return (
        op_arguments.result(dy, dx),
        op_arguments.result(dy, dgamma),
        op_arguments.result(dy, dbeta),
    )


def rms_normalization(
    x: ArrayLike, gamma: ArrayLike | None = None, *, epsilon: float = 1e-6
) -> Array:
    """y = gamma * x / sqrt(mean(x**2) + epsilon), each row for itself.

        >>> y = fastnn.ops.rms_normalization([[1.0, -7.0]], epsilon=0.0)
        >>> print(y.round(4))  # divided by sqrt((1 + 49) / 2)
        [[ 0.2 -1.4]]

    A row is what lies on the last axis. From Zhang and Sennrich, "Root Mean Square Layer
    Normalization", 2019 (arXiv:1910.07467); the default of epsilon is that of Keras.

    Args:
        x: at least one axis; the last, of c numbers, must not be empty.
        gamma: (c,); None: all 1.
        epsilon: at least 0. Where it is 0, a row of zeros gives NaN.

    Returns:
        y of the shape of x. A row that holds NaN is all NaN.

    Raises:
        ValueError: shapes do not fit, or epsilon is below 0.
        TypeError: an array does not hold real numbers.
    """
    return _scaled_rows(x, gamma, "root_mean_square", epsilon)


def rms_normalization_backward(
    dy: ArrayLike, x: ArrayLike, gamma: ArrayLike | None = None, *, epsilon: float = 1e-6
) -> tuple[Array, Array]:
    """The gradients of `rms_normalization`.

        >>> x, dy = [[1.0, -7.0]], [[5.0, 5.0]]
        >>> dx, dgamma = fastnn.ops.rms_normalization_backward(dy, x, epsilon=0.0)
        >>> print(dx.round(4), dgamma)
        [[1.12 0.16]] [ 1. -7.]

    With xhat = x / length, length = sqrt(mean(x**2) + epsilon) and g = dy * gamma,
    dx = (g - xhat * mean(g * xhat)) / length; dgamma is the sum of dy * xhat over all rows.

    Args:
        dy: the gradient with respect to y, of the shape of x.
        x, gamma, epsilon: as they were given to `rms_normalization`.

    Returns:
        dx of the shape of x, and dgamma (c,).

    Raises:
        ValueError: shapes do not fit, or epsilon is below 0.
        TypeError: an array does not hold real numbers.
    """
    return _scaled_rows_backward(dy, x, gamma, "root_mean_square", epsilon)


def unit_normalization(x: ArrayLike, *, epsilon: float = 1e-12) -> Array:
    """y = x / max(norm, epsilon), with the Euclidean norm of each row.

        >>> print(fastnn.ops.unit_normalization([[3.0, 4.0]]).round(4))
        [[0.6 0.8]]

    Args:
        x: at least one axis; the last must not be empty. A row is what lies on it.
        epsilon: at least 0. Where it is 0, a row of zeros gives NaN.

    Returns:
        y of the shape of x.

    Raises:
        ValueError: epsilon is below 0.
        TypeError: x does not hold real numbers.
    """
    return _scaled_rows(x, None, "norm", epsilon)


def unit_normalization_backward(dy: ArrayLike, x: ArrayLike, *, epsilon: float = 1e-12) -> Array:
    """The gradient of `unit_normalization`: (dy - y * sum(dy * y)) / norm.

        >>> dx = fastnn.ops.unit_normalization_backward([[5.0, 0.0]], [[3.0, 4.0]])
        >>> print(dx.round(4))  # (5 - 0.6 * 3) / 5 and (0 - 0.8 * 3) / 5
        [[ 0.64 -0.48]]

    Where the norm is below epsilon it is dy / epsilon.

    Args:
        dy: the gradient with respect to y, of the shape of x.
        x, epsilon: as they were given to `unit_normalization`.

    Returns:
        dx of the shape of x.

    Raises:
        ValueError: shapes do not fit, or epsilon is below 0.
        TypeError: an array does not hold real numbers.
    """
    return _scaled_rows_backward(dy, x, None, "norm", epsilon)[0]


def _scaled_rows(x: ArrayLike, gamma: ArrayLike | None, length: str, epsilon: float) -> Array:
    tiny = number("epsilon", epsilon, 0.0)
    x_, gamma_ = op_arguments.floats(x=x, gamma=gamma)
    op_arguments.fitting("epsilon", tiny, x_)
    return op_arguments.result(x, _core.scale_rows(x_, gamma_, length, tiny))


def _scaled_rows_backward(
    dy: ArrayLike, x: ArrayLike, gamma: ArrayLike | None, length: str, epsilon: float
) -> tuple[Array, Array]:
    tiny = number("epsilon", epsilon, 0.0)
    dy_, x_, gamma_ = op_arguments.floats(dy=dy, x=x, gamma=gamma)
    op_arguments.fitting("epsilon", tiny, x_)
    dx, dgamma = _core.scale_rows_backward(dy_, x_, gamma_, length, tiny)
    return op_arguments.result(dy, dx), op_arguments.result(dy, dgamma)


def batch_normalization(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
) -> tuple[Array, Array, Array]:
    """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, each column over all rows.

    Mean and variance (the mean of (x - mean)**2) are those of the n rows, as in training (Ioffe and
    Szegedy, 2015, arXiv:1502.03167); the default of epsilon is that of Keras.

    Args:
        x: (n, c), neither 0.
        gamma: (c,); None: all 1.
        beta: (c,); None: all 0.
        epsilon: at least 0. Where it is 0, a column of equal numbers gives NaN.

    Returns:
        y (n, c), mean (c,) and variance (c,). A column that holds NaN is all NaN.

    Raises:
        ValueError: shapes do not fit, or epsilon is below 0.
        TypeError: an array does not hold real numbers.

    Example:
        >>> from fastnn import ops
        >>> y, mean, variance = ops.batch_normalization([[1.0], [3.0]], epsilon=0.0)
        >>> y.ravel().tolist(), mean.tolist(), variance.tolist()
        ([-1.0, 1.0], [2.0], [1.0])
    """
    tiny = number("epsilon", epsilon, 0.0)
    x_, gamma_, beta_ = op_arguments.floats(x=x, gamma=gamma, beta=beta)
    op_arguments.fitting("epsilon", tiny, x_)
    y, mean, variance = _core.batch_normalization(x_, gamma_, beta_, tiny)
    return tuple(op_arguments.result(x, part) for part in (y, mean, variance))  # type: ignore[return-value]


def batch_normalization_backward(
    dy: ArrayLike, x: ArrayLike, gamma: ArrayLike | None = None, *, epsilon: float = 1e-3
) -> tuple[Array, Array, Array]:
    """The gradients of y of `batch_normalization`.

    With xhat = (x - mean) / sqrt(variance + epsilon),
    dx = gamma * (dy - mean(dy) - xhat * mean(dy * xhat)) / sqrt(variance + epsilon), with means over the
    rows; dgamma and dbeta are the sums of dy * xhat and of dy over the rows.

    Args:
        dy: the gradient with respect to y, (n, c).
        x, gamma, epsilon: as they were given to `batch_normalization`.

    Returns:
        dx (n, c), dgamma (c,) and dbeta (c,).

    Example:
        >>> from fastnn import ops
        >>> _, dgamma, dbeta = ops.batch_normalization_backward([[1.0], [3.0]], [[0.0], [2.0]], epsilon=0.0)
        >>> dgamma.tolist(), dbeta.tolist()
        ([2.0], [4.0])

    Raises:
        ValueError: shapes do not fit, or epsilon is below 0.
        TypeError: an array does not hold real numbers.
    """
    tiny = number("epsilon", epsilon, 0.0)
    dy_, x_, gamma_ = op_arguments.floats(dy=dy, x=x, gamma=gamma)
    op_arguments.fitting("epsilon", tiny, x_)
    found = _core.batch_normalization_backward(dy_, x_, gamma_, tiny)
    return tuple(op_arguments.result(dy, part) for part in found)  # type: ignore[return-value]
