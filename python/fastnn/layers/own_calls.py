"""Layers of the package with Python code in them: a `call` of a derived class, or an activation.

Native nodes do not compute these, so that a call of such a layer is no part of a native graph.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from fastnn import activation_words, calling
from fastnn.autodiff.tensor import Tensor
from fastnn.data.structures import Form
from fastnn.layers.symbol import ModelCall, Opaque, Symbol
from fastnn.serializable import function_of
from fastnn.words import name_of


def opaque_symbol(layer: Any, x: Any, row_shape: tuple[int, ...], why: str) -> Symbol:
    """The symbol of a call on a symbol, or on a list of some, that is one node of a functional model.

    Raises:
        Untraceable: a `call` is being traced, which is no graph of layers then.
    """
    if calling.now().tracing:
        raise calling.Untraceable(why)
    opaque = Opaque(why, (x,), {}, (Form(), (row_shape,)))
    given = (x,) if isinstance(x, Symbol) else tuple(x)
    return Symbol(layer, given, row_shape, made_by=(ModelCall(layer, None, given, True, opaque), 0))


@functools.lru_cache(256)
def _takes_training(call: Callable[..., Any]) -> int:
    """Whether a `call` can be given `training`: 0 no, 1 by its name, 2 by its place."""
    parameters = list(inspect.signature(call).parameters.values())
    if any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters):
        return 1
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return 2 if len([p for p in parameters if p.kind in places]) > 2 else 0


def own_result(layer: Any, x: Tensor, training: bool) -> Any:
    """What the `call` of a derived class makes of x."""
    how = _takes_training(type(layer).call)
    if how == 1:
        y = layer.call(x, training=training)
    else:
        y = layer.call(x, training) if how else layer.call(x)
    if y is None:
        raise TypeError(
            f"layer {layer.name!r}: `call` of {type(layer).__name__} returned None; it must return "
            "what it computes"
        )
    return y


def opaque_activation(layer: Any) -> str | None:
    """Why a layer with an activation is no part of a native graph; None: it is."""
    if callable(layer.activation):
        name = name_of(layer.activation)
        return f"the layer {layer.name!r} has the activation {name!r}, which is Python code"
    return opaque_call(layer)


def opaque_call(layer: Any) -> str | None:
    """The same of any layer: its class has a `call` of a program's own, or it adds a loss."""
    if layer._has_own_call:
        return f"the layer {layer.name!r} has a `call` of its own"
    if layer.activity_regularizer is not None:
        return f"the layer {layer.name!r} has an activity_regularizer"
    return None


def of_layer(name: str, value: Any) -> Any:
    """The activation of a layer: its word, or a function of a program's own, which takes a Tensor."""
    if isinstance(value, Mapping) and set(value) == {"function"}:
        return function_of(name, value)
    own = callable(value) and not isinstance(value, type)
    try:
        return activation_words.checked(name, value)
    except TypeError:
        if not own:
            raise
        return value


def applied(layer: Any, x: Tensor) -> Tensor:
    """The activation of a program's own, of Tensors."""
    y = layer.activation(x)
    if not isinstance(y, Tensor):
        raise TypeError(
            f"layer {layer.name!r}: activation {name_of(layer.activation)!r}: expected a Tensor, got "
            f"{type(y).__name__}; compute it by fastnn.math"
        )
    return y
