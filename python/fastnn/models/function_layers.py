"""Layers made of functions: Lambda, and ActivityRegularization, which adds a penalty of its inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from fastnn import layers, regularizers
from fastnn.models.architecture import MODELS
from fastnn.models.own_layer import Layer
from fastnn.models.values import told_value, value_of
from fastnn.serializable import get_registered_name, get_registered_object
from fastnn.words import integer, keywords, number

_COMMON = ("activity_regularizer", "trainable", "dtype", "autocast", "name")


class Lambda(Layer):
    """A function of Tensors as a layer.

        >>> import fastnn
        >>> layer = fastnn.layers.Lambda(lambda x: x * x)
        >>> layer([[1.0, 3.0]]).numpy().tolist()
        [[1.0, 9.0]]

    A function with weights is better a class derived from `fastnn.layers.Layer`: a Lambda does not
    know the Variables that its function uses.

    Files hold no code. They have the name of a function that is registered
    (`fastnn.register_serializable`), or that `custom_objects` has when the file is read; for a
    Python lambda `custom_objects` has the function under the name of the layer.

    Args:
        function: of a Tensor, or of several in a list or dictionary; it gets `training` where it
            takes that.
        output_shape: of a row, or a function of the shape (None, ...) of the inputs; None: it is
            found by a call.
        mask: None alone.
        arguments: further arguments of the function by name.
        **common: see `Layer`.
    """

    @keywords(*_COMMON)
    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Sequence[int] | int | Callable[[Any], Any] | None = None,
        mask: None = None,
        arguments: Mapping[str, Any] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if not callable(function):
            raise TypeError(f"function: expected a function of Tensors, got {function!r}")
        if mask is not None:
            raise ValueError(f"mask: expected None, got {mask!r}; there are no masks")
        self.function = function
        self.arguments = dict(arguments or {})
        self._output_shape = output_shape

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        told = {"training": training} if _takes_training(self.function) else {}
        return self.function(inputs, **{**told, **self.arguments})

    def compute_output_shape(self, *input_shape: Any) -> Any:
        """The output's shape for an input's shape, both with the batch axis first."""
        given = self._output_shape
        if given is None:
            return super().compute_output_shape(*input_shape)
        if callable(given):
            return tuple(given(*input_shape))
        sizes = (given,) if isinstance(given, int) else tuple(given)
        return (None, *(integer("output_shape", size) for size in sizes))

    def _output_rows(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return None if self._output_shape is None else super()._output_rows(args, options)

    def get_config(self) -> dict[str, Any]:
        """The options. Errors: see `Layer.get_config`."""
        told = {
            "function": _described(self.function),
            "output_shape": self._output_shape
            if not callable(self._output_shape)
            else _described(self._output_shape),
            "arguments": told_value(self.arguments),
        }
        return {**super().get_config(), **told}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """A layer of the options that `get_config` gave.

        Raises:
            ValueError: the function is not known here; the message says how to name it.
        """
        known = dict(custom_objects or {})
        name = str(config.get("name") or "lambda")
        given = {**config, "function": _function(name, config["function"], known)}
        shape = config.get("output_shape")
        if isinstance(shape, Mapping):
            given["output_shape"] = _function(name, shape, known)
        given["arguments"] = value_of(config.get("arguments"))
        return cls(**given)


def _described(function: Any) -> dict[str, Any]:
    registered = get_registered_name(function) if hasattr(function, "__name__") else ""
    return {"function": registered if registered != "<lambda>" else _LAMBDA}


_LAMBDA = "<lambda>"


def _function(layer: str, told: Any, custom_objects: Mapping[str, Any]) -> Any:
    if callable(told):
        return told
    name = told["function"] if isinstance(told, Mapping) else str(told)
    wanted = layer if name == _LAMBDA else name
    found = get_registered_object(wanted, custom_objects)
    if found is not None and callable(found):
        return found
    short = wanted.rpartition(">")[2]
    what = "a Python lambda" if name == _LAMBDA else f"the function {name!r}"
    raise ValueError(
        f"layer {layer!r}: a Lambda of {what}, which no file holds: pass "
        f"custom_objects={{{short!r}: function}}, or define it by `def` and register it by "
        "@fastnn.register_serializable()"
    )


def _takes_training(function: Callable[..., Any]) -> bool:
    try:
        return "training" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a function of C
        return False


class ActivityRegularization(Layer):
    """Passes its inputs on, and adds a penalty of them to the loss.

    The penalty is l1 * sum(abs(x)) + l2 * sum(x**2), divided by the number of rows.

        >>> import fastnn
        >>> layer = fastnn.layers.ActivityRegularization(l2=0.5)
        >>> y = layer([[1.0, 2.0], [0.0, 1.0]])
        >>> [float(loss) for loss in layer.losses]
        [1.5]

    Args:
        l1, l2: at least 0.
        **common: see `Layer`.
    """

    @keywords(*_COMMON)
    def __init__(self, l1: float = 0.0, l2: float = 0.0, **common: Any) -> None:
        self_l1, self_l2 = number("l1", l1, 0.0), number("l2", l2, 0.0)
        penalty = regularizers.L1L2(self_l1, self_l2)
        super().__init__(**{"activity_regularizer": penalty, **common})
        self.l1, self.l2 = self_l1, self_l2

    def call(self, inputs: Any) -> Any:  # type: ignore[override]
        return inputs

    def get_config(self) -> dict[str, Any]:
        """The options."""
        common = super().get_config()
        common.pop("activity_regularizer", None)
        return {**common, "l1": self.l1, "l2": self.l2}


MODELS |= {"Lambda": Lambda, "ActivityRegularization": ActivityRegularization}
# As `Layer`: the room of layers knows no models.
vars(layers).update(Lambda=Lambda, ActivityRegularization=ActivityRegularization)
