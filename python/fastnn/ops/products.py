"""Products with a kernel, activations, softmax and tables of vectors, as functions: `fastnn.ops` has
them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _core, activation_words
from fastnn.arrays import op_arguments
from fastnn.arrays.host import plain
from fastnn.words import integer

Array = op_arguments.Array


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


def log_softmax(x: ArrayLike) -> Array:
    """Logarithms of probabilities along the last axis: x - log(sum(exp(x))).

        >>> print(fastnn.ops.log_softmax([[3.0, 3.0]]).round(4))
        [[-0.6931 -0.6931]]

    Exact for logits of any size: computed as x - max(x) - log(sum(exp(x - max(x)))).

    Args:
        x: at least one axis; the last, of classes, must not be empty.

    Returns:
        An array of the shape of x. A row that holds NaN is all NaN; equal infinite maxima share the
        probability 1.

    Raises:
        ValueError: there is no class.
        TypeError: x does not hold real numbers.
    """
    (x_,) = op_arguments.floats(x=x)
    return op_arguments.result(x, _core.softmax(x_, True))


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
