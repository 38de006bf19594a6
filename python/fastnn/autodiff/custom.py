"""custom_gradient: operations whose gradients a program gives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn.autodiff.structures import Source
from fastnn.autodiff.tape import GradientTape, record
from fastnn.autodiff.tensor import Tensor, tensor
from fastnn.variables import Variable


def custom_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates f(*tensors) -> (y, grad): `grad(dy)` gives the gradients at the tensors.

        >>> import fastnn
        >>> @fastnn.custom_gradient
        ... def clipped(x):
        ...     return x, lambda dy: fastnn.clip_by_value(dy, -1.0, 1.0)

    y is a Tensor or a tuple of them, for which grad takes as many gradients. Operations in grad are
    recorded for second derivatives, and so are those of f, as far as grad uses what they made. A
    function f that uses trainable Variables has a grad that takes `variables`, a list of them, and
    returns two results: the gradients at the tensors, and a list of those at the variables.

    Raises:
        TypeError: f uses trainable Variables, and grad does not take `variables`.
        ValueError: when gradients are taken, grad gives more or fewer of them than tensors, or one
            of another shape.
    """

    @functools.wraps(function)
    def called(*args: Any, **options: Any) -> Any:
        inputs = tuple(arg if isinstance(arg, (Tensor, Variable)) else tensor(arg) for arg in args)
        with GradientTape() as used:
            result, grad = function(*inputs, **options)
        given = {id(source) for source in inputs}
        variables = [v for v in used.watched_variables() if id(v) not in given]
        name = getattr(function, "__name__", "f")
        if variables and not _takes_variables(grad):
            paths = ", ".join(variable.path for variable in variables)
            raise TypeError(
                f"custom_gradient: {name} uses the variables {paths}, so its grad has to take "
                "`variables`, and to return their gradients, too"
            )
        single = not isinstance(result, (list, tuple))
        # Copies, so that an input that is returned as it is counts as another Tensor.
        outputs = tuple(Tensor(part.value) for part in ((result,) if single else result))

        def pull(*dys: Tensor | None) -> Sequence[Tensor | None]:
            given = [
                Tensor(np.zeros(y.shape, y.dtype)) if dy is None else dy
                for y, dy in zip(outputs, dys, strict=True)
            ]
            rest: Sequence[Any] = ()
            if variables:
                found, rest = grad(*given, variables=variables)
            else:
                found = grad(*given)
            listed = found if isinstance(found, (list, tuple)) else (found,)
            return [
                *_fitted(name, "inputs", inputs, listed),
                *_fitted(name, "variables", variables, rest),
            ]

        record((*inputs, *variables), outputs, pull)
        return outputs[0] if single else outputs

    return called


def _takes_variables(grad: Callable[..., Any]) -> bool:
    import inspect  # for functions of programs alone: it takes long to import

    parameters = inspect.signature(grad).parameters.values()
    return any(p.name == "variables" or p.kind is p.VAR_KEYWORD for p in parameters)


def _fitted(
    name: str, what: str, sources: Sequence[Source], found: Sequence[Any]
) -> list[Tensor | None]:
    """The gradients that a custom grad gave for these sources."""
    if len(found) != len(sources):
        raise ValueError(
            f"custom_gradient: {name}: grad gives {len(found)} gradients for {len(sources)} {what}"
        )
    made: list[Tensor | None] = []
    for i, (source, dx) in enumerate(zip(sources, found, strict=True)):
        one = None if dx is None else tensor(dx)
        if one is not None and one.shape != source.shape:
            raise ValueError(
                f"custom_gradient: {name}: grad gives shape {one.shape} for {what}[{i}] of shape "
                f"{source.shape}"
            )
        made.append(one)
    return made
