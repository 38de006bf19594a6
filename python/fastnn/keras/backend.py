"""`keras.backend` of older programs: functions of Tensors for losses and metrics of one's own.

Each is a function of `fastnn.math` under Keras's name; `fastnn.math` itself has more of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastnn import elsewhere
from fastnn.autodiff.drawing import normal as random_normal
from fastnn.autodiff.drawing import uniform as random_uniform
from fastnn.autodiff.functions import (
    abs,
    argmax,
    argmin,
    cast,
    constant,
    cos,
    cumsum,
    equal,
    exp,
    expand_dims,
    greater,
    greater_equal,
    less,
    less_equal,
    log,
    maximum,
    minimum,
    not_equal,
    one_hot,
    ones,
    ones_like,
    relu,
    reshape,
    round,
    sigmoid,
    sign,
    sin,
    softmax,
    softplus,
    sqrt,
    square,
    squeeze,
    stack,
    stop_gradient,
    tanh,
    transpose,
    zeros,
    zeros_like,
)
from fastnn.autodiff.functions import clip_by_value as clip
from fastnn.autodiff.functions import concat as concatenate
from fastnn.autodiff.functions import matmul as dot
from fastnn.autodiff.functions import power as pow
from fastnn.autodiff.functions import reduce_all as all
from fastnn.autodiff.functions import reduce_any as any
from fastnn.autodiff.functions import reduce_max as max
from fastnn.autodiff.functions import reduce_mean as mean
from fastnn.autodiff.functions import reduce_min as min
from fastnn.autodiff.functions import reduce_prod as prod
from fastnn.autodiff.functions import reduce_std as std
from fastnn.autodiff.functions import reduce_sum as sum
from fastnn.autodiff.functions import reduce_variance as var
from fastnn.autodiff.functions import where as switch
from fastnn.autodiff.making import eye, shape
from fastnn.autodiff.tensor import Tensor, converted, tensor
from fastnn.listing import names_of
from fastnn.utils import clear_session
from fastnn.variables import Variable
from fastnn.variables import Variable as variable
from fastnn.words import choose

__all__ = [
    "abs",
    "all",
    "any",
    "argmax",
    "argmin",
    "batch_flatten",
    "cast",
    "clear_session",
    "clip",
    "concatenate",
    "constant",
    "cos",
    "cumsum",
    "dot",
    "epsilon",
    "equal",
    "exp",
    "expand_dims",
    "eye",
    "flatten",
    "floatx",
    "get_value",
    "greater",
    "greater_equal",
    "image_data_format",
    "int_shape",
    "less",
    "less_equal",
    "log",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "ndim",
    "not_equal",
    "one_hot",
    "ones",
    "ones_like",
    "pow",
    "prod",
    "random_normal",
    "random_uniform",
    "relu",
    "reshape",
    "round",
    "set_floatx",
    "set_value",
    "shape",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "softplus",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "stop_gradient",
    "sum",
    "switch",
    "tanh",
    "transpose",
    "var",
    "variable",
    "zeros",
    "zeros_like",
]


def epsilon() -> float:
    """1e-7, the small number that Keras keeps logarithms and divisors away from 0 by.

    >>> fastnn.keras.backend.epsilon()
    1e-07
    """
    return 1e-7


def floatx() -> str:
    """ "float32", the default type of models and Tensors.

    >>> fastnn.keras.backend.floatx()
    'float32'
    """
    return "float32"


def set_floatx(value: str) -> None:
    """Takes "float32" alone: a model in float64 is made with its own `dtype="float64"`.

        >>> fastnn.keras.backend.set_floatx("float32")

    Raises:
        ValueError: value is another type.
    """
    if value == "float64":
        raise ValueError("set_floatx: give dtype='float64' to Sequential, Model or Input")
    choose("value", value, ("float32",))


def image_data_format() -> str:
    """ "channels_last": images are (height, width, channels).

    >>> fastnn.keras.backend.image_data_format()
    'channels_last'
    """
    return "channels_last"


def get_value(x: Any) -> Any:
    """The numbers of `x`, a Tensor or a Variable, as an array.

    >>> fastnn.keras.backend.get_value(fastnn.constant([1, 2])).tolist()
    [1, 2]
    """
    return x.numpy() if isinstance(x, (Tensor, Variable)) else converted(x)


def set_value(x: Any, value: Any) -> None:
    """Writes `value` to `x`, a Variable or `optimizer.learning_rate`.

        >>> step = fastnn.Variable(0.0)
        >>> fastnn.keras.backend.set_value(step, 5.0)
        >>> float(step.numpy())
        5.0

    Raises:
        TypeError: x cannot be written to.
    """
    if not hasattr(x, "assign"):
        raise TypeError(f"x: expected a Variable, got {x!r}")
    x.assign(value)


def ndim(x: Any) -> int:
    """The number of axes of `x`.

    >>> fastnn.keras.backend.ndim([[1, 2], [3, 4]])
    2
    """
    return tensor(x).ndim


def int_shape(x: Any) -> tuple[int, ...]:
    """The shape, as `x.shape`.

    >>> fastnn.keras.backend.int_shape([[1, 2, 3], [4, 5, 6]])
    (2, 3)
    """
    return tensor(x).shape


def flatten(x: Any) -> Tensor:
    """All numbers of `x` along one axis.

    >>> fastnn.keras.backend.flatten([[1, 2], [3, 4]]).tolist()
    [1, 2, 3, 4]
    """
    return reshape(x, (-1,))


def batch_flatten(x: Any) -> Tensor:
    """The numbers of each row of `x` along one axis.

    >>> fastnn.keras.backend.batch_flatten([[[1, 2], [3, 4]]]).tolist()
    [[1, 2, 3, 4]]
    """
    rows: Sequence[int] = (len(tensor(x)), -1)
    return reshape(x, rows)


if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "backend")
__dir__ = names_of(__all__)
