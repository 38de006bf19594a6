"""Losses of whole rows, which compare all outputs of a row with its targets, and the cross-entropies of
single outputs, as functions: `fastnn.ops` has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _core, rows
from fastnn._core import DeviceArray
from fastnn.arrays import op_arguments
from fastnn.arrays.device import on_device, taken
from fastnn.arrays.host import numeric, plain
from fastnn.words import flag, int32, number

Array = op_arguments.Array


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
