"""Functions that are made of the operations of `functions`, and have their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn import activation_words
from fastnn.autodiff import functions as f
from fastnn.autodiff.elementary import sides
from fastnn.autodiff.quiet import operation
from fastnn.autodiff.tensor import Tensor, converted, followed, tensor
from fastnn.words import integer

Axis = int | Sequence[int] | None
# The constants of selu (Klambauer et al., 2017).
_SELU_ALPHA = 1.6732632423543772
_SELU_SCALE = 1.0507009873554805


# -- arithmetic ------------------------------------------------------------------------------------


@operation
def add_n(inputs: Sequence[Any]) -> Tensor:
    """The sum of Tensors of one shape.

        >>> fastnn.add_n([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]]).tolist()
        [111.0, 222.0]

    Args:
        inputs: a list or tuple of at least one Tensor, Variable or array.

    Raises:
        ValueError: the list is empty, or the shapes differ.
    """
    if not isinstance(inputs, (list, tuple)) or not inputs:
        raise ValueError(f"inputs: expected a list of at least one Tensor, got {inputs!r}")
    total = tensor(inputs[0])
    for value in inputs[1:]:
        if np.shape(converted(value)) != total.shape:
            raise ValueError(
                f"inputs: expected one shape, got {total.shape} and {np.shape(converted(value))}"
            )
        total = f.add(total, value)
    return total


@operation
def divide_no_nan(x: Any, y: Any) -> Tensor:
    """x / y, and 0 where y is 0.

        >>> fastnn.math.divide_no_nan([1.0, 6.0], [0.0, 2.0]).tolist()
        [0.0, 3.0]

    Args:
        x, y: Tensors, Variables, arrays or numbers, whose shapes broadcast.
    """
    none = converted(y) == 0
    return f.where(none, 0.0, f.divide(x, f.where(none, 1.0, y)))


@operation
def logical_xor(a: Any, b: Any) -> Tensor:
    """Where one of both is true, as bools.

        >>> fastnn.math.logical_xor([True, True], [True, False]).tolist()
        [False, True]

    Args:
        a, b: bools whose shapes broadcast; numbers other than 0 are true.
    """
    a, b = tensor(a), tensor(b)
    return followed(Tensor(np.logical_xor(a.value, b.value)), a, b)


@operation
def is_inf(x: Any) -> Tensor:
    """Where x is infinite, of either sign, as bools.

        >>> fastnn.math.is_inf([1.0, np.nan, -np.inf]).tolist()
        [False, False, True]

    Args:
        x: a Tensor, a Variable, an array or a number, of any shape.
    """
    x = tensor(x)
    return followed(Tensor(np.asarray(np.isinf(x.value))), x)


@operation
def count_nonzero(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """How many numbers are not 0, over the axes.

        >>> fastnn.math.count_nonzero([[1, 0], [2, 3]], axis=0).tolist()
        [2, 1]

    Args:
        x: a Tensor, a Variable or an array.
        axis: an axis or several; None: all.
        keepdims: keep the axes, of length 1.

    Returns:
        A Tensor of int64.
    """
    return f.reduce_sum(f.cast(f.not_equal(tensor(x), 0), np.int64), axis, keepdims)


@operation
def moments(x: Any, axes: Axis, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    """The mean and the variance over axes.

        >>> mean, variance = fastnn.nn.moments([[1.0, 0.0], [3.0, 4.0]], axes=0)
        >>> mean.tolist(), variance.tolist()
        ([2.0, 2.0], [1.0, 4.0])

    Args:
        x: a Tensor, a Variable or an array.
        axes: an axis or several; None: all.
        keepdims: keep the axes, of length 1.
    """
    return f.reduce_mean(x, axes, keepdims), f.reduce_variance(x, axes, keepdims)


@operation
def l2_normalize(x: Any, axis: Axis = None, epsilon: float = 1e-12) -> Tensor:
    """x / sqrt(max(sum(x ** 2), epsilon)), with the sum over axes.

        >>> print(fastnn.math.l2_normalize([[3.0, 4.0], [0.0, 2.0]], axis=1).numpy().round(6))
        [[0.6 0.8]
         [0.  1. ]]

    Args:
        x: a Tensor, a Variable or an array.
        axis: an axis or several; None: all numbers as one vector.
        epsilon: the least square of a length: what is shorter does not become a unit vector.
    """
    x = tensor(x)
    squares = f.reduce_sum(f.square(x), axis, keepdims=True)
    return f.multiply(x, f.rsqrt(f.maximum(squares, epsilon)))


@operation
def l2_loss(x: Any) -> Tensor:
    """sum(x ** 2) / 2, over all numbers.

        >>> fastnn.nn.l2_loss([3.0, 4.0]).item()
        12.5

    Args:
        x: a Tensor, a Variable or an array, such as a kernel.
    """
    return f.reduce_sum(f.square(tensor(x))) / 2


@operation
def confusion_matrix(
    labels: Any,
    predictions: Any,
    num_classes: int | None = None,
    weights: Any = None,
    dtype: DTypeLike = np.int32,
) -> Tensor:
    """How often each class (row) was taken for each class (column).

        >>> fastnn.math.confusion_matrix([0, 0, 1], [0, 1, 1]).tolist()
        [[1, 1], [0, 1]]

    Args:
        labels, predictions: classes (n,) from 0.
        num_classes: None: the largest class and one.
        weights: (n,); None: 1.
        dtype: of the counts.

    Raises:
        ValueError: a class is out of range, or lengths differ.
    """
    true, found = _classes("labels", labels), _classes("predictions", predictions)
    if true.shape != found.shape:
        raise ValueError(f"predictions: {len(found)} of them for {len(true)} labels")
    largest = int(max(true.max(initial=-1), found.max(initial=-1)))
    classes = largest + 1 if num_classes is None else integer("num_classes", num_classes)
    least = int(min(true.min(initial=0), found.min(initial=0)))
    if least < 0 or largest >= classes:
        wrong = least if least < 0 else largest
        raise ValueError(f"labels and predictions: expected classes in [0, {classes}), got {wrong}")
    counts = np.zeros((classes, classes), dtype)
    np.add.at(counts, (true, found), 1 if weights is None else converted(weights))
    return Tensor(counts)


def _classes(name: str, given: Any) -> Any:
    """Integers (n,), which floats may hold."""
    values = converted(given).reshape(-1)
    wrong = ~np.isfinite(values) | (values != np.floor(values))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"{name}: expected integers, got {values[row]} at row {row}")
    return values.astype(np.int64)


@operation
def clip_by_norm(t: Any, clip_norm: Any, axes: Axis = None) -> Tensor:
    """t scaled down to the norm clip_norm where its norm, over the axes or over all, is larger.

        >>> fastnn.clip_by_norm([30.0, 40.0], 5.0).tolist()
        [3.0, 4.0]

    Args:
        t: a Tensor, a Variable or an array.
        clip_norm: the largest norm, above 0.
        axes: an axis or several; None: all numbers as one vector.
    """
    x = _floats(t)
    length = f.norm(x, axis=axes, keepdims=True)
    clipped: Tensor = x * (clip_norm / f.maximum(length, clip_norm))
    return clipped


@operation
def global_norm(t_list: Sequence[Any]) -> Tensor:
    """The norm of all numbers in a list of Tensors, such as gradients; None counts for nothing.

        >>> fastnn.linalg.global_norm([[3.0, 0.0], None, [[4.0]]]).item()
        5.0

    Args:
        t_list: Tensors, Variables, arrays or None.

    Returns:
        A Tensor of one number: sqrt(sum of the squares of all numbers).
    """
    squares = [f.reduce_sum(f.square(_floats(one))) for one in t_list if one is not None]
    if not squares:
        return Tensor(np.zeros((), np.float32))
    return f.sqrt(add_n(squares))


def clip_by_global_norm(
    t_list: Sequence[Any], clip_norm: Any, use_norm: Any = None
) -> tuple[list[Tensor | None], Tensor]:
    """A list of Tensors scaled down together to the norm clip_norm where theirs is larger.

        >>> clipped, norm = fastnn.clip_by_global_norm([[30.0], [40.0]], 5.0)
        >>> [part.tolist() for part in clipped], norm.item()
        ([[3.0], [4.0]], 50.0)

    Args:
        t_list: Tensors, Variables, arrays or None, such as the gradients of a tape.
        clip_norm: the largest norm, above 0.
        use_norm: their norm, where it is known; None: `fastnn.linalg.global_norm(t_list)`.

    Returns:
        The list, in which None stays, and the norm that they had (or use_norm).
    """
    length = global_norm(t_list) if use_norm is None else tensor(use_norm)
    share = clip_norm / f.maximum(length, clip_norm)
    return [None if one is None else _floats(one) * share for one in t_list], length


# -- activations -----------------------------------------------------------------------------------


def _floats(x: Any) -> Tensor:
    z = tensor(x)
    return z if z.dtype.kind == "f" else f.cast(z, np.float32)


@operation
def relu6(x: Any) -> Tensor:
    """x cut to [0, 6].

        >>> fastnn.nn.relu6([-3.0, 3.0, 9.0]).tolist()
        [0.0, 3.0, 6.0]

    The gradient is 1 between 0 and 6, 0 at 0 and outside, and 1/2 at 6.

    Args:
        x: a Tensor, a Variable or an array, of any shape; integers become float32.
    """
    return f.minimum(f.relu(tensor(x)), 6.0)


@operation
def leaky_relu(x: Any, alpha: float = 0.2) -> Tensor:
    """x above 0, alpha * x below.

        >>> fastnn.nn.leaky_relu([-5.0, 5.0]).tolist()
        [-1.0, 5.0]

    The gradient at 0 is alpha.

    Args:
        x: a Tensor, a Variable or an array, of any shape; integers become float32.
        alpha: the slope below 0.
    """
    z = _floats(x)
    sloped: Tensor = z * sides(z, alpha)
    return sloped


@operation
def elu(x: Any) -> Tensor:
    """x above 0, exp(x) - 1 below (Clevert et al., 2015).

        >>> fastnn.nn.elu([-100.0, 0.0, 5.0]).tolist()
        [-1.0, 0.0, 5.0]

    Args:
        x: a Tensor, a Variable or an array, of any shape; integers become float32.
    """
    z = _floats(x)
    return f.where(z.value > 0, z, f.expm1(f.minimum(z, 0.0)))


@operation
def selu(x: Any) -> Tensor:
    """The scaled elu of self-normalizing networks (Klambauer et al., 2017).

        >>> print(fastnn.nn.selu([-100.0, 0.0, 1.0]).numpy().round(4))
        [-1.7581 0. 1.0507]

    1.0507 * x above 0, 1.0507 * 1.6733 * (exp(x) - 1) below.

    Args:
        x: a Tensor, a Variable or an array, of any shape; integers become float32.
    """
    z = _floats(x)
    low = _SELU_ALPHA * f.expm1(f.minimum(z, 0.0))
    return _SELU_SCALE * f.where(z.value > 0, z, low)


@operation
def softsign(x: Any) -> Tensor:
    """x / (1 + |x|).

        >>> fastnn.math.softsign([-1.0, 0.0, 3.0]).tolist()
        [-0.5, 0.0, 0.75]

    Args:
        x: a Tensor, a Variable or an array, of any shape; integers become float32.
    """
    x = tensor(x)
    return f.divide(x, 1 + f.abs(x))


@operation
def log_sigmoid(x: Any) -> Tensor:
    """log(sigmoid(x)), exact for large x of either sign.

        >>> print(fastnn.math.log_sigmoid([-100.0, 0.0, 100.0]).numpy().round(4))
        [-100.       -0.6931   -0.    ]

    Args:
        x: a Tensor, a Variable or an array, of any shape; integers become float32.
    """
    return f.negative(f.softplus(f.negative(tensor(x))))


# -- cross-entropies of rows -----------------------------------------------------------------------


@operation
def softmax_cross_entropy_with_logits(labels: Any, logits: Any, axis: int = -1) -> Tensor:
    """The cross-entropy of each row: -sum(labels * log(softmax(logits))).

        >>> labels, logits = [[0.0, 1.0], [0.5, 0.5]], [[0.0, 0.0], [0.0, 0.0]]
        >>> losses = fastnn.nn.softmax_cross_entropy_with_logits(labels, logits)
        >>> print(np.exp(losses.numpy()).round(4))
        [2. 2.]

    Args:
        labels: probabilities of classes, of the shape of logits.
        logits: (..., classes).
        axis: that of the classes.

    Raises:
        ValueError: the shapes differ.
    """
    z, t = tensor(logits), tensor(labels)
    if z.shape != t.shape:
        raise ValueError(f"labels: expected the shape of logits, {z.shape}, got {t.shape}")
    return f.negative(f.reduce_sum(t * f.log_softmax(z, axis), axis))


@operation
def sparse_softmax_cross_entropy_with_logits(labels: Any, logits: Any) -> Tensor:
    """The cross-entropy of each row, -log(softmax(logits)) at its label.

        >>> losses = fastnn.nn.sparse_softmax_cross_entropy_with_logits([1, 0], [[0.0, 0.0], [9.0, -9.0]])
        >>> print(np.exp(-losses.numpy()).round(4))
        [0.5 1. ]

    Args:
        labels: integers (...), in [0, classes).
        logits: (..., classes).

    Raises:
        ValueError: the shapes do not fit, or a label is out of range.
    """
    z, t = tensor(logits), converted(labels)
    if t.shape != z.shape[:-1] or z.ndim == 0:
        raise ValueError(
            f"labels: expected shape {z.shape[:-1]} for logits {z.shape}, got {t.shape}"
        )
    wrong = (t < 0) | (t >= z.shape[-1]) | (t != np.floor(t))
    if wrong.any():
        raise ValueError(f"labels: expected integers in [0, {z.shape[-1]}), got {t[wrong].flat[0]}")
    rows = np.ogrid[tuple(slice(n) for n in t.shape)] if t.ndim else ()
    return f.negative(f.getitem(f.log_softmax(z), (*rows, t.astype(np.int64))))


@operation
def sigmoid_cross_entropy_with_logits(labels: Any, logits: Any) -> Tensor:
    """The cross-entropy of each number: max(z, 0) - z * labels + log(1 + exp(-|z|)).

        >>> losses = fastnn.nn.sigmoid_cross_entropy_with_logits([1.0, 1.0, 0.0], [0.0, 50.0, 50.0])
        >>> print(losses.numpy().round(4))
        [ 0.6931  0.     50.    ]

    Args:
        labels: probabilities, of the shape of logits.
        logits: z, of any shape.

    Raises:
        ValueError: the shapes differ.
    """
    z, t = tensor(logits), tensor(labels)
    if z.shape != t.shape:
        raise ValueError(f"labels: expected the shape of logits, {z.shape}, got {t.shape}")
    return f.softplus(z) - z * t


activation_words.functions.update(
    {
        elu: "elu",
        leaky_relu: "leaky_relu",
        log_sigmoid: "log_sigmoid",
        relu6: "relu6",
        selu: "selu",
        softsign: "softsign",
    }
)
