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
from fastnn.autodiff.derived import elu, leaky_relu, log_sigmoid, relu6, selu, softsign
from fastnn.autodiff.functions import (
    abs,
    add,
    argmax,
    argmin,
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
from fastnn.autodiff.functions import clip_by_value as clip
from fastnn.autodiff.functions import concat as concatenate
from fastnn.autodiff.functions import floormod as mod
from fastnn.autodiff.functions import gelu as _gelu
from fastnn.autodiff.functions import is_finite as isfinite
from fastnn.autodiff.functions import is_nan as isnan
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
    """The shape of a Tensor, an array or a symbol, as a tuple.

    >>> fastnn.keras.ops.shape(fastnn.ones((2, 3)))
    (2, 3)
    """
    found = getattr(x, "shape", None)
    return tuple(converted(x).shape if found is None else found)


def convert_to_numpy(x: Any) -> NDArray[Any]:
    """The numbers of a Tensor or a Variable as an array.

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


def pad(x: Any, pad_width: Sequence[Sequence[int]], mode: str = "constant") -> Tensor:
    """A Tensor with numbers before and behind those of each axis; see `fastnn.pad`.

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
    "argmax",
    "argmin",
    "argsort",
    "array",
    "cast",
    "ceil",
    "clip",
    "concatenate",
    "convert_to_numpy",
    "convert_to_tensor",
    "cos",
    "cosh",
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
    "floor",
    "gelu",
    "greater",
    "greater_equal",
    "isfinite",
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
    "logsumexp",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mod",
    "multiply",
    "negative",
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
    "swish",
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
