"""What a model's `call` is given besides its inputs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastnn.autodiff.tensor import Tensor
from fastnn.words import flag


@functools.lru_cache(256)
def takes_training(call: Callable[..., Any]) -> bool:
    """Whether a `call`, also a decorated one, can be given `training`."""
    parameters = inspect.signature(call).parameters.values()
    return any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters)


@functools.lru_cache(256)
def _signature(call: Callable[..., Any]) -> inspect.Signature:
    """Of a method as of a function, with what takes self."""
    return inspect.signature(call)


def refuse_arguments(
    layer: Any, args: Sequence[Any], options: Mapping[str, Any], error: TypeError
) -> None:
    """TypeError that names the layer, where its `call` does not take these arguments."""
    try:
        _signature(type(layer).call).bind(layer, *args, **options)
    except TypeError as why:
        count = f"{len(args)} argument{'s' if len(args) != 1 else ''}"
        named = f" and {', '.join(options)}" if options else ""
        raise TypeError(
            f"layer {layer.name!r}: `call` of {type(layer).__name__} {why}: it was called with {count}"
            f"{named}; a Sequential gives each layer the outputs of the one before it alone"
        ) from error


class Invocation:
    """The arguments of one call: `training`, and those of the program's own `call`.

    Attributes:
        training: what was given; None: nothing.
        own: whether there are others.
    """

    __slots__ = ("_bound", "own", "training")

    def __init__(
        self,
        name: str,
        call: Callable[..., Any],
        inputs: Any,
        args: Sequence[Any],
        training: bool | None,
        others: Mapping[str, Any],
    ) -> None:
        """Raises TypeError where `call`, a function of the class, does not take the arguments."""
        told = {} if training is None else {"training": training}
        try:
            bound = _signature(call).bind(None, inputs, *args, **told, **others)
        except TypeError as error:
            raise TypeError(f"model {name!r}: call() {error}") from None
        given = bound.arguments.get("training", training)
        if isinstance(given, (np.ndarray, Tensor, list, tuple)):
            raise TypeError(
                f"model {name!r}: expected True or False as `training`, the second argument, got a "
                f"{type(given).__name__}; several inputs are one list: model([a, b])"
            )
        self.training = None if given is None else flag("training", given)
        self.own = len(bound.arguments) > 2 + ("training" in bound.arguments)
        self._bound = bound

    def result(self, call: Callable[..., Any], inputs: Any, training: bool) -> Any:
        """`call`, the model's method, of these inputs and the other arguments."""
        bound = self._bound
        if "training" in bound.signature.parameters:
            bound.arguments["training"] = training
        _, _, *rest = bound.args
        return call(inputs, *rest, **bound.kwargs)
