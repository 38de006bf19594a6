"""Keras's functional interface without Keras: what is called here becomes the config of a model.

keras = Recorder()
x = keras.Input((4,), name="x", dtype="float32")
y = keras.call(keras.layers.Dense(units=3, name="head", dtype="float32"), x, (3,))
keras.Model(x, y, name="net").config()      # what keras.Model(...) writes into config.json
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastnn.interop.keras_calls import flat
from fastnn.interop.keras_graph import snake_case_of_keras
from fastnn.layers.base import Shape

Config = dict[str, Any]
# A call is known by the id of its layer and its number there. It gets a number among the calls of that
# layer which outputs need.
Numbers = dict[tuple[int, int], int]


class Layer:
    """A layer of a class of Keras: its arguments and its calls."""

    def __init__(self, class_name: str, **arguments: Any) -> None:
        self.class_name = class_name
        self.name: str = arguments["name"]
        self.arguments = arguments
        self.calls: list[Any] = []  # what each is called on
        self.weights: Sequence[Any] = ()

    def set_weights(self, weights: Sequence[Any]) -> None:
        self.weights = weights

    def config(self) -> Config:
        return {
            "module": "keras.layers",
            "class_name": self.class_name,
            "config": {name: _listed(value) for name, value in self.arguments.items()},
            "registered_name": None,
        }


@dataclass(frozen=True)
class Tensor:
    """What a call of a layer makes."""

    layer: Layer
    call: int
    shape: Shape
    dtype: str

    def history(self, numbers: Numbers) -> list[Any]:
        return [self.layer.name, numbers.get((id(self.layer), self.call), 0), 0]

    def config(self, numbers: Numbers) -> Config:
        history = self.history(numbers)
        inner = {"shape": [None, *self.shape], "dtype": self.dtype, "keras_history": history}
        return {"class_name": "__keras_tensor__", "config": inner}


class _Layers:
    def __getattr__(self, class_name: str) -> Any:
        return functools.partial(Layer, class_name)


class Recorder:
    """Stands for the module `keras`."""

    layers = _Layers()

    def Input(self, shape: Shape, *, name: str, dtype: str) -> Tensor:
        entry = Layer("InputLayer", batch_shape=(None, *shape), dtype=dtype, name=name)
        return Tensor(entry, 0, shape, dtype)

    def call(self, layer: Layer, given: Any, shape: Shape) -> Tensor:
        """What a layer makes of a tensor, or of a list of them: rows of this shape."""
        layer.calls.append(given)
        return Tensor(layer, len(layer.calls) - 1, shape, layer.arguments["dtype"])

    def Sequential(self, parts: Sequence[Any], *, name: str) -> Recorded:
        entry, *layers = parts
        told = [entry.layer.config(), *(layer.config() for layer in layers)]
        config = {"name": name, "layers": told, "build_input_shape": [None, *entry.shape]}
        return Recorded("keras", "Sequential", config, layers)

    def Model(self, inputs: Any, outputs: Any, *, name: str) -> Recorded:
        layers, numbers = _in_keras_order(flat(inputs), flat(outputs))
        config = {
            "name": name,
            "layers": [_with_calls(layer, numbers) for layer in layers],
            "input_layers": _histories(inputs, numbers),
            "output_layers": _histories(outputs, numbers),
        }
        return Recorded("keras.src.models.functional", "Functional", config, layers)


class Recorded:
    """A model as files have it.

    Attributes:
        groups: the layers by their groups in a file of weights, in Keras's order.
    """

    def __init__(
        self, module: str, class_name: str, config: Config, layers: Sequence[Layer]
    ) -> None:
        self.name: str = config["name"]
        self._told = {"module": module, "class_name": class_name, "config": config}
        self.groups: dict[str, Layer] = {}
        counts: dict[str, int] = {}
        for layer in layers:
            base = snake_case_of_keras(layer.class_name)
            count = counts.get(base, 0)
            counts[base] = count + 1
            self.groups[f"layers/{base}" if count == 0 else f"layers/{base}_{count}"] = layer

    def config(self) -> Config:
        registered = None if self._told["class_name"] == "Sequential" else "Functional"
        return {**self._told, "registered_name": registered}


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _with_calls(layer: Layer, numbers: Numbers) -> Config:
    nodes = []
    for i, given in enumerate(layer.calls):
        if (id(layer), i) in numbers:
            several = isinstance(given, list)
            told = [t.config(numbers) for t in given] if several else given.config(numbers)
            nodes.append({"args": [told], "kwargs": {}})
    return {**layer.config(), "name": layer.name, "inbound_nodes": nodes}


def _histories(structure: Any, numbers: Numbers) -> Any:
    if isinstance(structure, Tensor):
        return structure.history(numbers)
    if isinstance(structure, Mapping):
        return {name: tensor.history(numbers) for name, tensor in structure.items()}
    return [tensor.history(numbers) for tensor in structure]


def _in_keras_order(
    inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> tuple[list[Layer], Numbers]:
    """The layers as `keras.Model.layers` lists them, which numbers their groups in files.

    Calls that no output needs are left out.

    First come those that are the most calls away from an output, and of as many those that a search
    from the outputs, in depth and from the first input of each call, meets first.
    """
    met: dict[int, int] = {}  # the number of each layer, in the order in which they are met
    calls: list[tuple[Layer, int]] = []  # each after those whose outputs it takes
    for layer, call, begins in _searched(outputs):
        if begins:
            met.setdefault(id(layer), len(met))
        else:
            calls.append((layer, call))
    depths: dict[tuple[int, int], int] = {}
    layers: dict[int, tuple[int, Layer]] = {}
    for layer, call in reversed(calls):
        depth = max(depths.get((id(layer), call), 0), layers.get(id(layer), (0, layer))[0])
        layers[id(layer)] = depth, layer
        for tensor in _taken(layer, call):
            key = id(tensor.layer), tensor.call
            depths[key] = max(depths.get(key, 0), depth + 1)
    for tensor in inputs:  # those that nothing is made of
        layers.setdefault(id(tensor.layer), (0, tensor.layer))
    found = sorted(layers.values(), key=lambda one: (-one[0], met.get(id(one[1]), -1)))
    numbers: Numbers = {}
    counts: dict[int, int] = {}
    for number, call in sorted((id(layer), call) for layer, call in calls):
        numbers[number, call] = counts[number] = counts.get(number, -1) + 1
    return [layer for _, layer in found], numbers


def _taken(layer: Layer, call: int) -> list[Tensor]:
    """The tensors that a call takes; none for an input."""
    if not layer.calls:
        return []
    given = layer.calls[call]
    return list(given) if isinstance(given, list) else [given]


def _searched(outputs: Sequence[Tensor]) -> Iterator[tuple[Layer, int, bool]]:
    """The calls that make the outputs: True where a call is met, False behind all that it needs."""
    seen: set[tuple[int, int]] = set()
    waiting = [(tensor.layer, tensor.call, True) for tensor in reversed(outputs)]
    while waiting:  # no recursion: chains may be longer than the stack
        layer, call, begins = waiting.pop()
        if begins and (id(layer), call) in seen:
            continue
        seen.add((id(layer), call))
        yield layer, call, begins
        if begins:
            waiting.append((layer, call, False))
            taken = _taken(layer, call)
            waiting += [(tensor.layer, tensor.call, True) for tensor in reversed(taken)]
