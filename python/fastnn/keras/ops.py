"""`keras.ops`: operations on Tensors under the names of Keras 3, for layers and losses of one's own.

Each is a function of `fastnn.math`, or one of `fastnn`, under Keras's name; a tape records it.
(`fastnn.ops` are the kernels on arrays.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn import elsewhere
from fastnn.autodiff.arranging import argsort, repeat, roll, sort, split, top_k
from fastnn.autodiff.arranging import pad as _pad
from fastnn.autodiff.derived import (
    count_nonzero,
    elu,
    leaky_relu,
    log_sigmoid,
    logical_xor,
    relu6,
    selu,
    softsign,
)
from fastnn.autodiff.derived import is_inf as isinf
from fastnn.autodiff.functions import (
    abs,
    add,
    argmax,
    argmin,
    broadcast_to,
    cast,
    ceil,
    convert_to_tensor,
    cos,
    cosh,
    cumsum,
    divide,
    equal,
    erf,
    exp,
    expand_dims,
    expm1,
    floor,
    greater,
    greater_equal,
    less,
    less_equal,
    log,
    log1p,
    log_softmax,
    logical_and,
    logical_not,
    logical_or,
    matmul,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    one_hot,
    ones,
    ones_like,
    power,
    reciprocal,
    relu,
    reshape,
    round,
    rsqrt,
    sigmoid,
    sign,
    silu,
    sin,
    sinh,
    softmax,
    softplus,
    sqrt,
    square,
    squeeze,
    stack,
    stop_gradient,
    subtract,
    tan,
    tanh,
    tensordot,
    tile,
    transpose,
    unstack,
    where,
    zeros,
    zeros_like,
)
from fastnn.autodiff.functions import acos as arccos
from fastnn.autodiff.functions import asin as arcsin
from fastnn.autodiff.functions import atan as arctan
from fastnn.autodiff.functions import atan2 as arctan2
from fastnn.autodiff.functions import clip_by_value as clip
from fastnn.autodiff.functions import concat as concatenate
from fastnn.autodiff.functions import floordiv as floor_divide
from fastnn.autodiff.functions import floormod as mod
from fastnn.autodiff.functions import gather as _gather
from fastnn.autodiff.functions import gelu as _gelu
from fastnn.autodiff.functions import is_finite as isfinite
from fastnn.autodiff.functions import is_nan as isnan
from fastnn.autodiff.functions import norm as _norm
from fastnn.autodiff.functions import reduce_all as all
from fastnn.autodiff.functions import reduce_any as any
from fastnn.autodiff.functions import reduce_logsumexp as logsumexp
from fastnn.autodiff.functions import reduce_max as max
from fastnn.autodiff.functions import reduce_mean as mean
from fastnn.autodiff.functions import reduce_min as min
from fastnn.autodiff.functions import reduce_prod as prod
from fastnn.autodiff.functions import reduce_std as std
from fastnn.autodiff.functions import reduce_sum as sum
from fastnn.autodiff.functions import reduce_variance as var
from fastnn.autodiff.functions import reverse as _reverse
from fastnn.autodiff.making import eye, linspace, size
from fastnn.autodiff.making import range as arange
from fastnn.autodiff.tensor import Tensor, converted
from fastnn.listing import names_of

absolute = abs
true_divide = divide
dot = matmul
swish = silu
array = convert_to_tensor


def shape(x: Any) -> tuple[int | None, ...]:
    """The shape of `x`, a Tensor, an array or a symbol, as a tuple.

    >>> fastnn.keras.ops.shape(fastnn.ones((2, 3)))
    (2, 3)
    """
    found = getattr(x, "shape", None)
    return tuple(converted(x).shape if found is None else found)


def convert_to_numpy(x: Any) -> NDArray[Any]:
    """The numbers of `x`, a Tensor or a Variable, as an array.

    >>> fastnn.keras.ops.convert_to_numpy(fastnn.ones(2)).tolist()
    [1.0, 1.0]
    """
    return np.array(converted(x))


def gelu(x: Any, approximate: bool = True) -> Any:
    """`fastnn.math.gelu` with Keras's default, the form with tanh.

    >>> fastnn.keras.ops.gelu([0.0]).tolist()
    [0.0]
    """
    return _gelu(x, approximate)


def norm(
    x: Any, ord: str | float | None = None, axis: Any = None, keepdims: bool = False
) -> Tensor:
    """`fastnn.norm` with Keras's default: ord=None is the Euclidean norm.

    >>> fastnn.keras.ops.norm([[3.0, 4.0]], axis=1).tolist()
    [5.0]
    """
    return _norm(x, "euclidean" if ord is None else ord, axis, keepdims)


def flip(x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """The elements of `x` in reverse order along `axis`, one or several; None: along all.

    >>> fastnn.keras.ops.flip([1, 2, 3]).tolist()
    [3, 2, 1]
    """
    return _reverse(x, tuple(range(len(shape(x)))) if axis is None else axis)


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """The elements of `x` along `axis` that the integers `indices` name; None: of the flat array.

    >>> fastnn.keras.ops.take([[1, 2, 3]], [2, 0], axis=1).tolist()
    [[3, 1]]
    """
    return _gather(reshape(x, (-1,)), indices, 0) if axis is None else _gather(x, indices, axis)


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """The axes `source` of `x` at the places `destination`; the others stay in their order.

    >>> fastnn.keras.ops.moveaxis(fastnn.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    ndim = len(shape(x))
    given = [n % ndim for n in np.atleast_1d(source).tolist()]
    wanted = [n % ndim for n in np.atleast_1d(destination).tolist()]
    order = [n for n in range(ndim) if n not in given]
    for place, axis in sorted(zip(wanted, given, strict=True)):
        order.insert(place, axis)
    return transpose(x, order)


def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    """`x` with its axes `axis1` and `axis2` each in the place of the other.

    >>> fastnn.keras.ops.swapaxes(fastnn.ones((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    order = list(range(len(shape(x))))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(x, order)


def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """A Tensor of the shape of `x`, with `fill_value` everywhere; dtype=None: of its type, too.

    >>> fastnn.keras.ops.full_like([1.0, 2.0], 7).tolist()
    [7.0, 7.0]
    """
    made = ones_like(x) if dtype is None else cast(ones_like(x), dtype)
    return cast(made * fill_value, made.dtype)


def pad(x: Any, pad_width: Sequence[Sequence[int]], mode: str = "constant") -> Tensor:
    """`x` with `pad_width` numbers before and behind those of each axis; see `fastnn.pad`.

    >>> fastnn.keras.ops.pad([1.0, 2.0], [[1, 0]]).numpy().tolist()
    [0.0, 1.0, 2.0]
    """
    kind: Any = mode.upper()
    return _pad(x, pad_width, kind)


__all__ = [
    "abs",
    "absolute",
    "add",
    "all",
    "any",
    "arange",
    "arccos",
    "arcsin",
    "arctan",
    "arctan2",
    "argmax",
    "argmin",
    "argsort",
    "array",
    "broadcast_to",
    "cast",
    "ceil",
    "clip",
    "concatenate",
    "convert_to_numpy",
    "convert_to_tensor",
    "cos",
    "cosh",
    "count_nonzero",
    "cumsum",
    "divide",
    "dot",
    "elu",
    "equal",
    "erf",
    "exp",
    "expand_dims",
    "expm1",
    "eye",
    "flip",
    "floor",
    "floor_divide",
    "full_like",
    "gelu",
    "greater",
    "greater_equal",
    "isfinite",
    "isinf",
    "isnan",
    "leaky_relu",
    "less",
    "less_equal",
    "linspace",
    "log",
    "log1p",
    "log_sigmoid",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mod",
    "moveaxis",
    "multiply",
    "negative",
    "norm",
    "not_equal",
    "one_hot",
    "ones",
    "ones_like",
    "pad",
    "power",
    "prod",
    "reciprocal",
    "relu",
    "relu6",
    "repeat",
    "reshape",
    "roll",
    "round",
    "rsqrt",
    "selu",
    "shape",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sinh",
    "size",
    "softmax",
    "softplus",
    "softsign",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "stop_gradient",
    "subtract",
    "sum",
    "swapaxes",
    "swish",
    "take",
    "tan",
    "tanh",
    "tensordot",
    "tile",
    "top_k",
    "transpose",
    "true_divide",
    "unstack",
    "var",
    "where",
    "zeros",
    "zeros_like",
]

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "ops")
__dir__ = names_of(__all__)
