"""Graphs: which layer is called on what, in the order of the calls.

Tensors are numbered: first the inputs, then the output of each call. The last call makes the output.
Layers stand in the order of their first calls. A model that is called is a part of the graph with
all of its own calls, which know it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from fastnn import _core
from fastnn.calling import Untraceable
from fastnn.layers.base import Layer, Shape, extended
from fastnn.layers.noise import Noise
from fastnn.layers.outputs import Outputs
from fastnn.layers.shape import InputLayer
from fastnn.layers.symbol import ModelCall, Symbol


class Call(NamedTuple):
    """A call of a layer."""

    layer: int  # its number
    inputs: tuple[int, ...]  # tensors
    within: tuple[Any, ...] = ()  # the models whose graphs it is a part of, outermost first
    turn: int = -1  # the number of the call of the outermost of these, among all calls of models


class Traced(NamedTuple):
    """A graph that was drawn with symbols."""

    layers: tuple[Layer, ...]
    calls: tuple[Call, ...]
    symbols: tuple[Symbol | None, ...]  # of each tensor; None inside of a model that was called
    # Models that were called, and the states that they may take from it (see `nested`).
    called: tuple[tuple[Any, Any], ...]


def chain_of(layers: Sequence[Layer]) -> tuple[Call, ...]:
    """Each layer called on the output of the one before it."""
    return tuple(Call(i, (i,)) for i in range(len(layers)))


class _Tracer:
    """Collects the calls that make a symbol, in an order in which inputs come first."""

    def __init__(self, inputs: Sequence[Symbol]) -> None:
        self.numbers: dict[tuple[int, int], int] = {}  # of tensors, by symbol
        self.symbols: list[Symbol | None] = []
        self.layers: list[Layer] = []
        self.calls: list[Call] = []
        self.called: list[tuple[Any, Any]] = []
        self._of_layer: dict[int, int] = {}
        for symbol in inputs:
            self.numbers.setdefault(_key(symbol), len(self.symbols))
            self.symbols.append(symbol)

    def trace(self, output: Symbol) -> int:
        """Adds all that makes the symbol; the number of its tensor."""
        waiting = [output]
        while waiting:  # no recursion: chains may be longer than the stack
            symbol = waiting[-1]
            if _key(symbol) in self.numbers:
                waiting.pop()
                continue
            if not symbol.inputs:
                raise ValueError(
                    f"outputs: they are made of the input {symbol.name!r}, which is not among the "
                    "inputs"
                )
            missing = [part for part in reversed(symbol.inputs) if _key(part) not in self.numbers]
            if missing:
                waiting += missing
            elif symbol.made_by is None:
                given = tuple(self.numbers[_key(part)] for part in symbol.inputs)
                for number, part in zip(given, symbol.inputs, strict=True):
                    if self.symbols[number] is None:
                        self.symbols[number] = part
                self.numbers[_key(symbol)] = self._add(symbol.layer, given, symbol.within)
                self.symbols[-1] = symbol
            else:
                self._add_all(symbol.made_by[0])
        number = self.numbers[_key(output)]
        self.symbols[number] = output
        return number

    def _add(
        self, layer: Layer, inputs: tuple[int, ...], within: tuple[Any, ...], turn: int = -1
    ) -> int:
        number = self._of_layer.setdefault(id(layer), len(self.layers))
        if number == len(self.layers):
            self.layers.append(layer)
        self.calls.append(Call(number, inputs, within, turn))
        self.symbols.append(None)
        return len(self.symbols) - 1

    def _add_all(self, made_by: ModelCall) -> None:
        """The graph of a model that was called, all of it at once and in its own order: layers and
        weights of a model stand together."""
        if made_by.opaque is not None:
            raise Untraceable(made_by.opaque.why)
        state = made_by.state
        tensors = [self.numbers[_key(symbol)] for symbol in made_by.inputs]
        turn = len(self.called)
        for call in state.calls:
            layer = state.layers[call.layer]
            given = tuple(tensors[i] for i in call.inputs)
            if isinstance(layer, Outputs):  # what is called on them takes each for itself
                tensors.append(-1)
            elif isinstance(layer, InputLayer) or (not made_by.drops and isinstance(layer, Noise)):
                tensors.append(given[0])
            else:
                tensors.append(self._add(layer, given, (made_by.model, *call.within), turn))
        for i, tensor in enumerate(tensors):
            self.numbers[id(made_by), i] = tensor
        self.called.append((made_by.model, state))

    def keep(self, output: int, inputs: int) -> None:
        """Leaves out what does not make the tensor `output`, which is the last one then."""
        needed = {output}
        for i in range(len(self.calls) - 1, -1, -1):
            if inputs + i in needed:
                needed |= set(self.calls[i].inputs)
        places = {old: new for new, old in enumerate(sorted({*range(inputs), *needed}))}
        layers: dict[int, int] = {}
        calls = []
        for i, call in enumerate(self.calls):
            if inputs + i in needed:
                number = layers.setdefault(call.layer, len(layers))
                given = tuple(places[j] for j in call.inputs)
                calls.append(call._replace(layer=number, inputs=given))
        self.layers = [self.layers[i] for i in layers]
        self.symbols = [self.symbols[old] for old in places]
        self.calls = calls


def _key(symbol: Symbol) -> tuple[int, int]:
    """Equal for symbols of one tensor."""
    made_by = symbol.made_by
    return (id(symbol), -1) if made_by is None else (id(made_by[0]), made_by[1])


def traced(inputs: Sequence[Symbol], output: Symbol) -> Traced:
    """The layers and calls that make `output` of the inputs.

    Raises:
        ValueError: it is made of an input that is not among them, or is an input itself.
    """
    tracer = _Tracer(inputs)
    number = tracer.trace(output)
    if number < len(inputs):
        raise ValueError("outputs: expected what layers make, got an input itself")
    if number < len(tracer.symbols) - 1:  # one of several outputs of a model
        tracer.keep(number, len(inputs))
    return Traced(
        tuple(tracer.layers), tuple(tracer.calls), tuple(tracer.symbols), tuple(tracer.called)
    )


def parts_of(layers: Sequence[Layer], calls: Sequence[Call]) -> tuple[Any, ...]:
    """What a graph consists of: layers, and models that were called, in the order of first calls."""
    found: dict[int, Any] = {}
    for call in calls:
        part = call.within[0] if call.within else layers[call.layer]
        found.setdefault(id(part), part)
    return tuple(found.values())


def first_calls(calls: Sequence[Call]) -> dict[int, Call]:
    """The first call of each layer, by its number."""
    found: dict[int, Call] = {}
    for call in calls:
        found.setdefault(call.layer, call)
    return found


def without_dropout(
    layers: Sequence[Layer], calls: Sequence[Call], own: AbstractSet[int], inputs_count: int
) -> list[tuple[object, tuple[int, ...]]]:
    """What one graph has in common with another in which dropout does not act.

    `own`: ids of the layers that a model keeps. Others without weights, as of operators, are compared
    by their kind.
    """
    same = {i: i for i in range(inputs_count)}  # numbers of tensors where dropout makes none
    kept: list[tuple[object, tuple[int, ...]]] = []
    for i, call in enumerate(calls):
        layer = layers[call.layer]
        inputs = tuple(same[j] for j in call.inputs)
        if isinstance(layer, Noise):
            same[inputs_count + i] = inputs[0]
            continue
        known = layer.has_parameters or id(layer) in own
        kind: object = id(layer) if known else (type(layer), str(_options(layer)))
        kept.append((kind, inputs))
        same[inputs_count + i] = inputs_count + len(kept) - 1
    return kept


def same_graphs(
    one: tuple[Sequence[Layer], Sequence[Call]],
    other: tuple[Sequence[Layer], Sequence[Call]],
    inputs_count: int,
) -> bool:
    """Whether two graphs compute the same but for dropout, with the same weights."""
    # Layers of operators are made anew in each tracing.
    own = {id(layer) for layer in one[0]} & {id(layer) for layer in other[0]}
    return without_dropout(*one, own, inputs_count) == without_dropout(*other, own, inputs_count)


def _options(layer: Layer) -> dict[str, Any]:
    return {name: value for name, value in layer.get_config().items() if name != "name"}


def shapes_of(
    layers: Sequence[Layer], calls: Sequence[Call], inputs: Sequence[Shape]
) -> list[Shape]:
    """Shapes of a row of each tensor; ValueError where a layer does not take its inputs."""
    shapes: list[Shape] = list(inputs)
    first: dict[int, Any] = {}  # the input of each layer with parameters
    for call in calls:
        layer = layers[call.layer]
        given: Any = [shapes[i] for i in call.inputs]
        given = given if layer.merges else given[0]
        if layer.has_parameters and first.setdefault(call.layer, given) != given:
            raise ValueError(
                f"layer {layer.name!r} is called on rows of shapes {first[call.layer]} and {given}; "
                "its parameters have one shape"
            )
        shapes.append(layer.row_shape(given))
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
        if call.layer in first and not (layer.by_shape and shapes is not None):
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
