"""The kernels as functions on NumPy arrays, or on arrays of a CUDA device.

Computed in float64 if any array of numbers (not labels, not weights of rows) is
float64, else in float32. Weights and targets are checked as they are given, before they become
float32. Shapes are checked natively; only types and words are
here. No function keeps anything; all but the steps allocate their results.

Under FASTNN_DEVICE=cuda NumPy arrays are copied to the device and results back. Arrays
that lie there (of PyTorch, CuPy and others, by DLPack or `__cuda_array_interface__`; or a
`DeviceArray`) are used in place, in the order of their streams, and results are arrays of
the library of the first argument. They must be C-contiguous and all of one type, float32
or float64; arrays of the host beside them are an error. Labels, targets and weights are
copied to the host to be checked. Losses are floats, for which the call waits, as it does
where a library does not tell its stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _core, activation_words, rows
from fastnn._core import DeviceArray
from fastnn.arrays import op_arguments
from fastnn.arrays.device import on_device, taken
from fastnn.arrays.host import numeric, plain
from fastnn.listing import names_of
from fastnn.ops_rows import (
    batch_normalization,
    batch_normalization_backward,
    rms_normalization,
    rms_normalization_backward,
    unit_normalization,
    unit_normalization_backward,
)
from fastnn.steps import (
    adadelta_step,
    adagrad_step,
    adam_step,
    adamax_step,
    amsgrad_step,
    lamb_step,
    lion_step,
    muon_step,
    nadam_step,
    rmsprop_step,
    sgd_step,
)
from fastnn.words import flag, int32, integer, number

Array = op_arguments.Array

__all__ = [
    "DeviceArray",
    "activation_backward",
    "activation_forward",
    "adadelta_step",
    "adagrad_step",
    "adam_step",
    "adamax_step",
    "amsgrad_step",
    "batch_normalization",
    "batch_normalization_backward",
    "binary_focal_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
    "dense_backward",
    "dense_forward",
    "embedding",
    "embedding_backward",
    "gamma",
    "gaussian_nll",
    "hinge",
    "huber",
    "kl_divergence",
    "lamb_step",
    "layer_normalization",
    "layer_normalization_backward",
    "lion_step",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "muon_step",
    "nadam_step",
    "poisson",
    "quantile",
    "rms_normalization",
    "rms_normalization_backward",
    "rmsprop_step",
    "sgd_step",
    "sigmoid_cross_entropy",
    "softmax",
    "softmax_cross_entropy",
    "squared_hinge",
    "tweedie",
    "unit_normalization",
    "unit_normalization_backward",
]

__dir__ = names_of(__all__)


def dense_forward(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    activation: str = "linear",
    *,
    activation_parameter: float | Mapping[str, float] | None = None,
) -> Array:
    """y = activation(x @ w + b).

        >>> fastnn.ops.dense_forward([[1.0, 2.0]], [[1.0], [10.0]], [5.0]).tolist()
        [[26.0]]

    Args:
        x: (n, i).
        w: (i, o).
        b: (o,) or None.
        activation: a name, see `activation_forward`.
        activation_parameter: the `parameter` of `activation_forward`.

    Returns:
        y of shape (n, o).

    Raises:
        ValueError: shapes do not fit, the activation is unknown, or its parameter out of range.
        TypeError: an array does not hold real numbers.
    """
    known = activation_words.for_ops(activation, activation_parameter, "activation_parameter")
    x_, w_, b_ = op_arguments.floats(x=x, w=w, b=b)
    return op_arguments.result(x, _core.dense_forward(x_, w_, b_, *known))


def dense_backward(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    y: ArrayLike | None,
    activation: str = "linear",
    *,
    z: ArrayLike | None = None,
    activation_parameter: float | Mapping[str, float] | None = None,
) -> tuple[Array, Array, Array]:
    """The gradients of `dense_forward`.

        >>> dx, dw, db = fastnn.ops.dense_backward([[1.0]], [[1.0, 2.0]], [[3.0], [4.0]], None)
        >>> dx.tolist(), dw.tolist(), db.tolist()
        ([[3.0, 4.0]], [[1.0], [2.0]], [1.0])

    Args:
        dy: the gradient with respect to y, (n, o).
        x, w: the inputs (n, i) and the kernel (i, o).
        y: the output (n, o) of `dense_forward`; None is taken where it is not read: for linear,
            and for activations that need z.
        activation: the activation of `dense_forward`.
        z: the pre-activation x @ w + b (n, o), for activations whose derivative cannot be had
            from y alone (gelu, silu, mish, ...); computing it again would need b.
        activation_parameter: that of `dense_forward`.

    Returns:
        dx (n, i), dw (i, o) and db (o,).

    Raises:
        ValueError: shapes do not fit, z is missing where it is needed, the activation is
            unknown, or its parameter out of range.
        TypeError: an array does not hold real numbers.
    """
    known = activation_words.for_ops(activation, activation_parameter, "activation_parameter")
    dy_, x_, w_, y_, z_ = op_arguments.floats(dy=dy, x=x, w=w, y=y, z=z)
    dx, dw, db = _core.dense_backward(dy_, x_, w_, y_, z_, *known)
    return op_arguments.result(dy, dx), op_arguments.result(dy, dw), op_arguments.result(dy, db)


def activation_forward(
    x: ArrayLike, name: str, *, parameter: float | Mapping[str, float] | None = None
) -> Array:
    """y = f(x), element by element, of any shape.

        >>> fastnn.ops.activation_forward([-1.0, 2.0], "leaky_relu", parameter=0.5).tolist()
        [-0.5, 2.0]

    Args:
        x: any shape.
        name: a word of `fastnn.activations`, such as "relu", "leaky_relu(negative_slope=0.1)" or
            "mish", but for those of whole rows. NaN gives NaN.
        parameter: the parameter of the activation, where it has one and the word does not say it,
            such as the negative slope of leaky_relu; of one with several a dictionary, such as
            {"max_value": 4, "negative_slope": 0.1} of relu. None: the defaults.

    Raises:
        ValueError: the name is unknown (the near match is suggested), the parameter is out of
            range, or the activation has none.
    """
    known = activation_words.for_ops(name, parameter)
    (x_,) = op_arguments.floats(x=x)
    return op_arguments.result(x, _core.activation_forward(x_, *known))


def activation_backward(
    dy: ArrayLike,
    x: ArrayLike | None,
    y: ArrayLike | None,
    name: str,
    *,
    parameter: float | Mapping[str, float] | None = None,
) -> Array:
    """dx = dy * f'(x), for y = f(x).

        >>> x = [-1.0, 2.0]
        >>> y = fastnn.ops.activation_forward(x, "relu")
        >>> fastnn.ops.activation_backward([10.0, 10.0], x, y, "relu").tolist()
        [0.0, 10.0]

    Args:
        dy, x, y: of one shape. Each activation uses the one of x and y from which its derivative
            is exact: y for most, x for gelu, silu, mish and others that bend back or that y would
            round. What is not used may be None; for linear both may.
        name, parameter: see `activation_forward`.

    Returns:
        dx, of the shape of dy.

    Raises:
        ValueError: shapes do not fit, x or y is missing where it is needed, the activation is
            unknown, or its parameter out of range.
        TypeError: an array does not hold real numbers.
    """
    known = activation_words.for_ops(name, parameter)
    dy_, x_, y_ = op_arguments.floats(dy=dy, x=x, y=y)
    return op_arguments.result(dy, _core.activation_backward(dy_, x_, y_, *known))


def softmax(x: ArrayLike) -> Array:
    """exp(x) / sum(exp(x)) over the last axis, computed from x - max(x).

        >>> fastnn.ops.softmax([[3.0, 3.0]]).tolist()
        [[0.5, 0.5]]

    Args:
        x: at least one axis; the last must not be empty.

    Returns:
        Probabilities, of the shape of x.

    Raises:
        ValueError: the last axis is empty, or there is none.
        TypeError: x does not hold real numbers.
    """
    (x_,) = op_arguments.floats(x=x)
    return op_arguments.result(x, _core.softmax(x_))


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


def embedding(x: ArrayLike, table: ArrayLike) -> Array:
    """y = table[x], with the rows that a row of x names beside each other.

        >>> fastnn.ops.embedding([2, 0], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).tolist()
        [[5.0, 6.0], [1.0, 2.0]]

    Args:
        x: (n, k) or (n,): integers, or whole numbers of any type, in [0, vocabulary). They are
            copied to the host to be checked.
        table: (vocabulary, d), of at most 2**24 rows in float32. It alone says in which type y
            is and, on the device, of which library.

    Returns:
        y of shape (n, k * d), with k = 1 for x of shape (n,).

    Raises:
        ValueError: shapes do not fit, or a number names no row (with its place).
        TypeError: an array does not hold real numbers.
    """
    (table_,) = op_arguments.floats(table=table)
    numbers = plain(op_arguments.beside("x", x, "table", table_), np.float64)
    return op_arguments.result(table, _core.embedding(numbers, table_))


def embedding_backward(dy: ArrayLike, x: ArrayLike, vocabulary: int) -> Array:
    """The gradient of `embedding` with respect to its table.

        >>> fastnn.ops.embedding_backward([[1.0, 2.0], [10.0, 20.0]], [1, 1], 2).tolist()
        [[0.0, 0.0], [11.0, 22.0]]

    Row v of it is the sum of the pieces of dy whose number in x is v, added in the order of
    rows.

    Args:
        dy: the gradient with respect to y, (n, k * d).
        x: (n, k) or (n,), as it was given to `embedding`.
        vocabulary: rows of the table; at most 2**24 in float32.

    Returns:
        dtable (vocabulary, d), in the type of dy.

    Raises:
        ValueError: shapes do not fit, or a number names no row (with its place).
        TypeError: an array does not hold real numbers, or vocabulary is not an integer.
    """
    size = integer("vocabulary", vocabulary)
    (dy_,) = op_arguments.floats(dy=dy)
    numbers = plain(op_arguments.beside("x", x, "dy", dy_), np.float64)
    return op_arguments.result(dy, _core.embedding_backward(dy_, numbers, size))


def softmax_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    ignore_class: int | None = None,
) -> tuple[float, Array]:
    """The cross-entropy of softmax(logits), and its gradient.

        >>> loss, dlogits = fastnn.ops.softmax_cross_entropy([[0.0, 0.0]], [1])
        >>> round(loss, 4), dlogits.tolist()  # log(2), and probabilities minus targets
        (0.6931, [[0.5, -0.5]])

    A row's loss is -sum(t * log(softmax(z))), computed as logsumexp(z) - z[label]; the result
    is the weighted mean sum(w * l) / sum(w) over rows (Keras divides by n).

    Args:
        logits: (n, c).
        labels: integers (n,) in [0, c), or probabilities (n, c).
        sample_weight: (n,), at least 0; None: all 1.
        label_smoothing: s in [0, 1]: targets become (1 - s) * t + s / c.
        ignore_class: a label whose rows count nowhere.

    Returns:
        The loss, a float (0 where no row has weight), and dlogits (n, c), the gradient of it.

    Raises:
        ValueError: shapes do not fit, or a label or weight is out of range (with its row).
        TypeError: integer labels were expected.
    """
    options = {"label_smoothing": label_smoothing}
    return _row_loss("softmax_cross_entropy", logits, labels, sample_weight, options, ignore_class)


def sigmoid_cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    pos_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
) -> tuple[float, Array]:
    """The cross-entropy of sigmoid(logits), each output for itself, and its gradient.

        >>> loss, dlogits = fastnn.ops.sigmoid_cross_entropy([0.0], [1.0])
        >>> round(loss, 4), dlogits.tolist()  # log(2), and the probability minus the target
        (0.6931, [-0.5])

    An element's loss is max(z, 0) - z * t + log1p(exp(-abs(z))) (with `pos_weight`, its part
    for positive targets is multiplied); the result is the weighted mean over rows and labels.

    Args:
        logits: (n, o) or (n,).
        targets: the same shape, 0 to 1; NaN marks a missing label, which counts nowhere.
        sample_weight: (n,), at least 0; None: all 1.
        pos_weight: the weight of positive targets, a number or (o,); it does not enter the sum
            of weights.
        label_smoothing: s in [0, 1]: targets become (1 - s) * t + s / 2.

    Returns:
        The loss, a float (0 where nothing has weight), and dlogits, the gradient of it.

    Raises:
        ValueError: shapes do not fit, or a target or weight is out of range (with its row).
    """
    smoothing = number("label_smoothing", label_smoothing, 0.0, 1.0)
    (z,) = op_arguments.floats(logits=logits)
    given: Any
    if isinstance(z, DeviceArray):
        _, given = op_arguments.device_floats({"logits": z, "targets": targets})
    else:
        given = op_arguments.wide(op_arguments.beside("targets", targets, "logits", z), z)
    weights = op_arguments.weights_beside("sample_weight", sample_weight, "logits", z)
    if np.isscalar(pos_weight):
        positive: Array | None = plain(numeric("pos_weight", pos_weight), np.float64)
    else:
        positive = op_arguments.weights_beside("pos_weight", pos_weight, "logits", z)
    if positive is not None and positive.ndim == 0:
        positive = np.full(z.shape[1:] or (1,), positive)
    options = {"label_smoothing": smoothing}
    loss, dlogits = _core.element_loss(
        "sigmoid_cross_entropy", z, given, weights, positive, options
    )
    return loss, op_arguments.result(logits, dlogits)


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


def binary_focal_crossentropy(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    label_smoothing: float = 0.0,
) -> tuple[float, Array]:
    """The focal cross-entropy of sigmoid(logits) (Lin et al., 2017), and its gradient.

        >>> loss, dlogits = fastnn.ops.binary_focal_crossentropy([0.0], [1.0], gamma=2.0)
        >>> round(loss, 4)  # 0.5 ** 2 * log(2)
        0.1733

    With p = sigmoid(z), an element's cross-entropy is multiplied by (t * (1 - p) + (1 - t) * p)**gamma.

    Args:
        apply_class_balancing: whether to multiply by t * alpha + (1 - t) * (1 - alpha), too.
        alpha: in [0, 1].
        gamma: at least 0.
        logits, targets, sample_weight, label_smoothing: see `sigmoid_cross_entropy`, also for
            Returns and Raises.
    """
    given = {
        "apply_class_balancing": float(flag("apply_class_balancing", apply_class_balancing)),
        "alpha": alpha,
        "gamma": gamma,
        "label_smoothing": label_smoothing,
    }
    known = rows.losses()["binary_focal_crossentropy"].options
    options = {name: known[name].checked(value) for name, value in given.items()}
    z, t = op_arguments.floats(logits=logits, targets=targets)
    op_arguments.fitting("gamma", options["gamma"], z)
    weights = op_arguments.weights_beside("sample_weight", sample_weight, "logits", z)
    loss, dlogits = _core.element_loss("binary_focal_crossentropy", z, t, weights, None, options)
    return loss, op_arguments.result(logits, dlogits)


def categorical_focal_crossentropy(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    alpha: ArrayLike = 0.25,
    gamma: float = 2.0,
    label_smoothing: float = 0.0,
    ignore_class: int | None = None,
) -> tuple[float, Array]:
    """The focal cross-entropy of softmax(logits) (Lin et al., 2017), and its gradient.

    With p = softmax(z) and targets t, the loss of a row is sum(alpha * (1 - p)**gamma * (-t * log(p))).

    >>> loss, dlogits = fastnn.ops.categorical_focal_crossentropy([[0.0, 0.0]], [1])
    >>> round(loss, 4)  # 0.25 * 0.5**2 * log(2)
    0.0433

    Args:
        alpha: at least 0, or one such number for each class.
        gamma: at least 0.
        logits, labels, sample_weight, label_smoothing, ignore_class: see `softmax_cross_entropy`,
            also for Returns and Raises.
    """
    by_class = None if np.isscalar(alpha) else alpha
    options = {
        "alpha": alpha if by_class is None else 1.0,
        "gamma": gamma,
        "label_smoothing": label_smoothing,
    }
    return _row_loss(
        "categorical_focal_crossentropy",
        logits,
        labels,
        sample_weight,
        options,
        ignore_class,
        by_class,
    )


def kl_divergence(
    logits: ArrayLike, labels: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """The divergence of softmax(logits) from targets t, sum(t * log(t / p)), and its gradient.

    >>> loss, dlogits = fastnn.ops.kl_divergence([[0.0, 0.0]], [[0.5, 0.5]])
    >>> round(loss, 4)
    0.0

    Args:
        labels: probabilities (n, c), or integers (n,), whose divergence is the cross-entropy.
        logits, sample_weight: see `softmax_cross_entropy`, also for Returns and Raises.
    """
    return _row_loss("kl_divergence", logits, labels, sample_weight)


def categorical_hinge(
    pred: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """The mean of max(0, 1 + max((1 - t) * pred) - sum(t * pred)) over rows, and its gradient.

    >>> loss, dpred = fastnn.ops.categorical_hinge([[0.5, 0.0]], [1])
    >>> loss
    1.5

    Args:
        pred: (n, c), scores of classes.
        target: one-hot (n, c), or integers (n,).
        sample_weight: (n,), at least 0; None: all 1.

    Returns and Raises: see `softmax_cross_entropy`.
    """
    return _row_loss("categorical_hinge", pred, target, sample_weight)


def cosine_similarity(
    pred: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """The mean of -sum(pred * target) / (norm(pred) * norm(target)) over rows, and its gradient.

    >>> loss, dpred = fastnn.ops.cosine_similarity([[0.0, 1.0]], [[0.0, 3.0]])
    >>> loss
    -1.0

    Args:
        pred: (n, o).
        target: the same shape.
        sample_weight: (n,), at least 0; None: all 1.

    Returns:
        The loss, a float (0 where no row has weight), and dpred, the gradient of it. Norms below 1e-7
        count as 1e-7.
    """
    p, t = op_arguments.floats(pred=pred, target=target)
    weights = op_arguments.weights_beside("sample_weight", sample_weight, "pred", p)
    loss, dpred = _core.row_loss("cosine_similarity", p, t, weights, {}, None)
    return loss, op_arguments.result(pred, dpred)


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


def _row_loss(
    name: str,
    outputs: ArrayLike,
    labels: ArrayLike,
    sample_weight: ArrayLike | None,
    given_options: Mapping[str, Any] | None = None,
    ignore_class: int | None = None,
    alpha: ArrayLike | None = None,
) -> tuple[float, Array]:
    """A loss over classes; `alpha`: a weight of each class."""
    row = rows.losses()[name]
    of_outputs, of_labels = ("logits", "labels") if row.head != "none" else ("pred", "target")
    options = {k: row.options[k].checked(value) for k, value in (given_options or {}).items()}
    ignored = None if ignore_class is None else int32("ignore_class", ignore_class)
    (z,) = op_arguments.floats(**{of_outputs: outputs})
    for option, value in options.items():
        op_arguments.fitting(option, value, z)
    weights = op_arguments.weights_beside("sample_weight", sample_weight, of_outputs, z)
    columns = op_arguments.weights_beside("alpha", alpha, of_outputs, z)
    given: Any
    if isinstance(z, DeviceArray) and on_device(labels) and taken(of_labels, labels).ndim != 1:
        _, given = op_arguments.device_floats({of_outputs: z, of_labels: labels})
    else:
        given = op_arguments.beside(of_labels, labels, of_outputs, z)
        by_class = given.ndim == 1
        given = (
            op_arguments.labels_of_rows(given, of_labels)
            if by_class
            else op_arguments.wide(given, z)
        )
    loss, d = _core.row_loss(name, z, given, weights, options, ignored, columns)
    return loss, op_arguments.result(outputs, d)


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
