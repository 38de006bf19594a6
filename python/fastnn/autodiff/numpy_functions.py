"""NumPy's functions on Tensors and Variables: the operation of `fastnn.math`, where there is one.

np.exp(x), np.mean(x, axis=0) and np.concatenate([x, y]) are operations that a tape records. Functions
that are no operation give plain numbers, unless a tape watches an argument: a gradient would be lost
silently, so that is a TypeError.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from types import CodeType
from typing import Any

import numpy as np

from fastnn.autodiff import broadcasting, reductions
from fastnn.autodiff.numpy_operations import (
    FUNCTIONS,
    REDUCTIONS,
    UFUNCS,
    NoOperation,
    Operation,
)
from fastnn.autodiff.quiet import OfSymbols, holds
from fastnn.autodiff.tape import watched
from fastnn.autodiff.tensor import Tensor, converted, tensor
from fastnn.calling import Untraceable
from fastnn.variables import Variable

# These give numbers that do not depend on those of a Tensor, or copy them because they are asked to.
_NUMBERS = frozenset({np.copy, np.full_like, np.empty_like})
# These write into their first argument.
_WRITES = frozenset({np.copyto, np.put, np.putmask, np.place, np.put_along_axis, np.fill_diagonal})


def of_ufunc(_self: Any, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """`__array_ufunc__` of Tensors, Variables and symbols."""
    given = {name: value for name, value in options.items() if value is not None}
    operation: Operation | None = None
    if method == "__call__" and not given:
        operation = UFUNCS.get(ufunc)
    elif method == "reduce" and given.keys() <= {"axis", "keepdims"} and ufunc in REDUCTIONS:
        axis = options.get("axis", 0)  # None is of all axes
        return REDUCTIONS[ufunc](inputs[0], axis, given.get("keepdims", False))
    elif method == "accumulate" and given.keys() <= {"axis"} and ufunc is np.add:
        return reductions.cumsum(inputs[0], given.get("axis", 0))
    elif method == "outer" and not given and ufunc in UFUNCS:
        left, right = tensor(inputs[0]), tensor(inputs[1])
        return UFUNCS[ufunc](broadcasting.reshape(left, left.shape + (1,) * right.ndim), right)
    if operation is not None:
        return operation(*inputs)
    name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    written = [*options.get("out", ()), *(inputs[:1] if method == "at" else ())]
    return _numbers(name, getattr(ufunc, method), inputs, options, written)


def of_function(
    _self: Any, function: Any, _types: Any, args: Sequence[Any], options: dict[str, Any]
) -> Any:
    """`__array_function__` of Tensors, Variables and symbols."""
    operation = FUNCTIONS.get(function)
    # None is a value of axis, and elsewhere stands for what is not given.
    given = {n: value for n, value in options.items() if value is not None or n == "axis"}
    if operation is not None and _takes(operation, args, given):
        try:
            return operation(*args, **given)
        except NoOperation:
            pass
    module = getattr(function, "__module__", "numpy").replace("numpy", "np", 1)
    written = [options["out"]] if options.get("out") is not None else []
    if function in _WRITES:
        written += args[:1]
    _refuse_symbols(f"{module}.{function.__name__}", args, options)
    if function in _NUMBERS:
        return function(*_converted(args), **_converted(options))
    return _numbers(f"{module}.{function.__name__}", function, args, options, written)


def _takes(operation: Operation, args: Sequence[Any], options: dict[str, Any]) -> bool:
    """Whether the operation has these arguments of NumPy's function."""
    operation = inspect.unwrap(operation)
    code: CodeType = operation.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    required = code.co_argcount - len(operation.__defaults__ or ())
    return required <= len(args) <= code.co_argcount and options.keys() <= set(names[len(args) :])


def _numbers(
    name: str,
    function: Callable[..., Any],
    args: Sequence[Any],
    options: dict[str, Any],
    written: Sequence[Any],
) -> Any:
    """What the function gives for the plain numbers of its arguments.

    Raises:
        TypeError: a tape watches an argument, and would lose the gradient; or the function is to
            write into a Tensor or a Variable.
    """
    _refuse_symbols(name, args, options)
    for part in written:
        if isinstance(part, (Tensor, Variable)):
            advice = "; write with its assign()" if isinstance(part, Variable) else ""
            raise TypeError(f"{name}: a {type(part).__name__} cannot be written into{advice}")
    loses = any(watched(source) for source in _sources([args, options]))
    result = None
    if not (loses and written):
        result = function(*_converted(args), **_converted(options))
    if loses and (written or _holds_floats(result)):
        how = ", where it writes into an array," if written else ""
        raise TypeError(
            f"{name}{how} is no operation on Tensors, which fastnn.math lists, and a tape watches "
            "its argument: the gradient would be lost; for plain numbers take x.numpy()"
        )
    return result


def _refuse_symbols(name: str, args: Sequence[Any], options: dict[str, Any]) -> None:
    if holds((args, options), OfSymbols.kind):
        raise Untraceable(
            f"{name} of a symbol: it has no numbers to compute with, and fastnn.math has no such "
            "function; a layers.Lambda, or the `call` of a class derived from layers.Layer, gets Tensors"
        )


def _sources(value: Any) -> Iterator[Tensor | Variable]:
    """The Tensors and Variables in a structure of arguments."""
    if isinstance(value, (Tensor, Variable)):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _sources(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _sources(part)


def _converted(value: Any) -> Any:
    """The same structure of arguments with arrays."""
    if isinstance(value, (Tensor, Variable)):
        return converted(value)
    if isinstance(value, list):
        return [_converted(part) for part in value]
    if isinstance(value, tuple):
        return tuple(_converted(part) for part in value)
    if isinstance(value, dict):
        return {name: _converted(part) for name, part in value.items()}
    return value


def _holds_floats(result: Any) -> bool:
    if isinstance(result, (list, tuple)):
        return any(_holds_floats(part) for part in result)
    return isinstance(result, float) or getattr(getattr(result, "dtype", None), "kind", "?") in "fc"


def give_to(kind: type) -> None:
    """Has NumPy's functions of objects of this class be operations."""
    for name, method in (("__array_ufunc__", of_ufunc), ("__array_function__", of_function)):
        setattr(kind, name, method)


give_to(Tensor)
give_to(Variable)
