"""What Python's operators do with Tensors and Variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnn.autodiff.arithmetic import (
    add,
    clip_by_value,
    divide,
    equal,
    floordiv,
    floormod,
    greater,
    greater_equal,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    multiply,
    not_equal,
    power,
    subtract,
)
from fastnn.autodiff.broadcasting import reduce_sum, reshape
from fastnn.autodiff.convert import cast
from fastnn.autodiff.elementary import (
    abs,
    negative,
)
from fastnn.autodiff.products import matmul
from fastnn.autodiff.reductions import (
    argmax,
    argmin,
    cumsum,
    reduce_all,
    reduce_any,
    reduce_max,
    reduce_mean,
    reduce_min,
    reduce_prod,
    reduce_std,
    reduce_variance,
)
from fastnn.autodiff.shapes import getitem, squeeze, stack, transpose
from fastnn.autodiff.tensor import Tensor, operations, tensor
from fastnn.variables import Variable

operations.update(
    {
        "add": add,
        "sub": subtract,
        "mul": multiply,
        "truediv": divide,
        "floordiv": floordiv,
        "mod": floormod,
        "pow": power,
        "matmul": matmul,
        "and": logical_and,
        "or": logical_or,
        "neg": negative,
        "abs": abs,
        "invert": logical_not,
        "lt": less,
        "le": less_equal,
        "gt": greater,
        "ge": greater_equal,
        "eq": equal,
        "ne": not_equal,
        "getitem": getitem,
    }
)
_OPERATORS = tuple(operations)
# What `tensor` and the tape call.
operations.update({"cast": cast, "reshape": reshape, "stack": stack})
# What methods call.
operations.update(
    {
        "sum": reduce_sum,
        "mean": reduce_mean,
        "prod": reduce_prod,
        "max": reduce_max,
        "min": reduce_min,
        "var": reduce_variance,
        "std": reduce_std,
        "any": reduce_any,
        "all": reduce_all,
        "argmax": argmax,
        "argmin": argmin,
        "cumsum": cumsum,
        "transpose": transpose,
        "squeeze": squeeze,
        "clip": clip_by_value,
    }
)


def _of_tensor(method: str) -> Callable[..., Any]:
    """A method of Variables: that of the Tensor of their values."""

    def called(variable: Variable, *args: Any) -> Any:
        return getattr(Tensor, method)(tensor(variable), *args)

    called.__name__ = method
    return called


# Variables have the same operators. They stay keys of dictionaries, by their identity, as Tensors do.
for _name in _OPERATORS:
    for _method in (f"__{_name}__", f"__r{_name}__"):
        if hasattr(Tensor, _method):
            setattr(Variable, _method, getattr(Tensor, _method))
for _method in ("__float__", "__int__", "__bool__", "__len__", "__iter__", "__format__"):
    setattr(Variable, _method, _of_tensor(_method))
