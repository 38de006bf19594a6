"""Graphs: which layer is called on what, in the order of the calls.

Tensors are numbered: first the inputs, then the output of each call. The last call makes the output.
Layers stand in the order of their first calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from fastnn import _core
from fastnn.layers.base import Layer, Shape, extended
from fastnn.layers.noise import Dropout
from fastnn.layers.symbol import Symbol


class Call(NamedTuple):
    """A call of a layer."""

    layer: int  # its number
    inputs: tuple[int, ...]  # tensors


def chain_of(layers: Sequence[Layer]) -> tuple[Call, ...]:
    """Each layer called on the output of the one before it."""
    return tuple(Call(i, (i,)) for i in range(len(layers)))


def traced(inputs: Sequence[Symbol], output: Symbol) -> tuple[tuple[Layer, ...], tuple[Call, ...]]:
    """The layers and calls that make `output` of the inputs.

    Raises:
        ValueError: it is made of an input that is not among them, or is an input itself.
    """
    numbers = {id(symbol): i for i, symbol in enumerate(inputs)}
    layers: list[Layer] = []
    of_layer: dict[int, int] = {}
    calls: list[Call] = []
    waiting = [output]
    while waiting:  # no recursion: chains may be longer than the stack
        symbol = waiting[-1]
        if id(symbol) in numbers:
            waiting.pop()
            continue
        if not symbol.inputs:
            raise ValueError(
                f"outputs: they are made of the input {symbol.name!r}, which is not among the inputs"
            )
        missing = [part for part in reversed(symbol.inputs) if id(part) not in numbers]
        if missing:
            waiting += missing
            continue
        number = of_layer.setdefault(id(symbol.layer), len(layers))
        if number == len(layers):
            layers.append(symbol.layer)
        calls.append(Call(number, tuple(numbers[id(part)] for part in symbol.inputs)))
        numbers[id(symbol)] = len(inputs) + len(calls) - 1
        waiting.pop()
    if not calls:
        raise ValueError("outputs: expected what layers make, got an input itself")
    return tuple(layers), tuple(calls)


def without_dropout(
    layers: Sequence[Layer], calls: Sequence[Call], own: AbstractSet[int]
) -> list[tuple[object, tuple[int, ...]]]:
    """What one graph of one input has in common with another in which dropout does not act.

    `own`: ids of the layers that a model keeps. Others, as of operators, are compared by their kind.
    """
    same = {0: 0}  # the number of each tensor where dropout makes none
    kept: list[tuple[object, tuple[int, ...]]] = []
    for i, call in enumerate(calls):
        layer = layers[call.layer]
        inputs = tuple(same[j] for j in call.inputs)
        if isinstance(layer, Dropout):
            same[i + 1] = inputs[0]
            continue
        kind: object = id(layer) if id(layer) in own else (type(layer), str(_options(layer)))
        kept.append((kind, inputs))
        same[i + 1] = len(kept)
    return kept


def _options(layer: Layer) -> dict[str, Any]:
    return {name: value for name, value in layer.get_config().items() if name != "name"}


def shapes_of(
    layers: Sequence[Layer], calls: Sequence[Call], inputs: Sequence[Shape]
) -> list[Shape]:
    """Shapes of a row of each tensor; ValueError where a layer does not take its inputs."""
    shapes: list[Shape] = list(inputs)
    for call in calls:
        layer = layers[call.layer]
        given: Any = [shapes[i] for i in call.inputs]
        shapes.append(layer.row_shape(given if layer.merges else given[0]))
    return shapes


def given_of(layer: Layer, call: Call, shapes: Sequence[Shape]) -> Any:
    """The shape of a layer's input row, or a tuple of those of a merging layer."""
    given = tuple(shapes[i] for i in call.inputs)
    return given if layer.merges else given[0]


def extend(
    graph: _core.Graph,
    layers: Sequence[Layer],
    calls: Sequence[Call],
    inputs: Sequence[Shape] | None,
    shapes: Sequence[Shape] | None = None,
    count: Callable[[int], None] | None = None,
) -> tuple[list[int], list[int | None]]:
    """Adds the nodes of all calls; returns the native tensors, and the layer number of each call.

    `inputs`: shapes of several inputs, whose columns stand side by side in the rows; None or one:
    the rows are the input. `count` is called with the number of the layer after each call.
    """
    tensors = [0]
    if inputs is not None and len(inputs) > 1:
        widths = [math.prod(shape) for shape in inputs]
        graph.begin_layer()
        tensors = [graph.slice(0, sum(widths[:i]), width) for i, width in enumerate(widths)]
    first: dict[int, int] = {}
    numbers: list[int | None] = []
    for call in calls:
        layer = layers[call.layer]
        graph.begin_layer()
        given: Any = [tensors[i] for i in call.inputs]
        if not layer.merges:
            given = given[0]
        if call.layer in first:
            made = layer.extend_again(graph, given, first[call.layer])
        elif shapes is None:
            made = layer.extend(graph, given)
        else:
            made = extended(graph, layer, given, given_of(layer, call, shapes))
        first.setdefault(call.layer, made)
        tensors.append(made)
        numbers.append(graph.layer)
        if count is not None:
            count(call.layer)
    return tensors, numbers
