"""A model's graph as it is shown: its inputs and calls, for `summary` and `plot`.

Everything that these two know of the graph of a model is here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fastnn.layers.base import Layer, Shape
from fastnn.layers.outputs import Outputs
from fastnn.layers.shape import InputLayer
from fastnn.models.chain import numbered
from fastnn.models.compiled import State
from fastnn.models.graph import shapes_of
from fastnn.models.opaque import Slot, Steps, found_in
from fastnn.pictures.graph import Box


class Part(NamedTuple):
    """An input of a model, or a call of a layer."""

    name: str
    kind: str  # the class of the layer
    inputs: tuple[int, ...]  # parts
    shape: tuple[int | None, ...] | None  # of the output; None: not known yet
    parameters: int | None  # None: not known yet
    layer: Any = None  # or a model; None: an input
    call: int = 0  # the number of the call of the layer, from 0
    calls: int = 1  # how many calls the layer has
    dtype: str = ""
    trainable: bool = True


def parts_of(
    state: State,
    inputs: Sequence[str],
    names: Mapping[int, str],
    dtype: str,
    expanded: bool = False,
) -> list[Part]:
    """The inputs and calls of a graph.

    Args:
        inputs: names of the inputs; there may be fewer than inputs.
        names: of layers and models, by id; others have their own.
        dtype: what the model computes in.
        expanded: whether the calls of a model that is called stand for it.
    """
    count = max(1, len(state.inputs))
    shapes = _shapes(state)
    parts = [
        Part(_input_name(inputs, i, count), "InputLayer", (), _with_batch(shapes[i]), 0)
        for i in range(count)
    ]
    part_of = list(range(count))  # of each tensor
    turns: dict[object, int] = {}  # the part of each call
    seen: dict[int, int] = {}
    for i, call in enumerate(state.calls):
        layer = state.layers[call.layer]
        if isinstance(layer, InputLayer):  # the first of a Sequential, which is its input
            number = part_of[call.inputs[0]]
            parts[number] = parts[number]._replace(name=layer.name)
            part_of.append(number)
            continue
        if isinstance(layer, Outputs):  # the end of several outputs, which nothing is called on
            part_of.append(-1)
            continue
        whole = call.within[0] if call.within and not expanded else layer
        turn: object = (id(whole), call.turn) if whole is not layer else i
        if turn not in turns:
            turns[turn] = len(parts)
            times = seen.get(id(whole), 0)
            seen[id(whole)] = times + 1
            within = [names.get(id(part), part.name) for part in call.within if whole is layer]
            name = "/".join([*within, names.get(id(whole), whole.name)])
            parameters = whole.count_params() if whole.built else None
            described = (whole, times, 1, dtype, whole.trainable)
            parts.append(Part(name, type(whole).__name__, (), None, parameters, *described))
        number = turns[turn]
        given = [part_of[j] for j in call.inputs]
        if whole is not layer:
            known = {number, *parts[number].inputs}
            given = [j for j in dict.fromkeys(given) if j not in known]
        parts[number] = parts[number]._replace(
            inputs=(*parts[number].inputs, *given), shape=_with_batch(shapes[count + i])
        )
        part_of.append(number)
    return [
        part if part.layer is None else part._replace(calls=seen[id(part.layer)]) for part in parts
    ]


def parts_of_steps(
    steps: Steps, inputs: Sequence[str], names: Mapping[int, str], dtype: str
) -> list[Part]:
    """The same of a functional model some of whose calls are no graph of layers."""
    parts: list[Part] = []
    part_of: list[int] = []  # of each Tensor
    for i, entry in enumerate(steps.entries):
        name = _input_name(inputs, i, len(steps.entries))
        parts.append(Part(name, "InputLayer", (), _with_batch(entry.given_shape), 0))
        part_of.append(i)
    seen: dict[int, int] = {}
    for step in steps.steps:
        layer = step.part
        call = seen.get(id(layer), 0)
        seen[id(layer)] = call + 1
        given = [part_of[slot.number] for slot in found_in((step.args, step.options), Slot)]
        parameters = layer.count_params() if layer.built and layer.weights else 0
        about = (layer, call, 1, dtype, layer.trainable)
        name = names.get(id(layer), layer.name)
        shape = _with_batch(step.shapes[0])
        part_of += [len(parts)] * len(step.shapes)
        parts.append(
            Part(name, type(layer).__name__, tuple(dict.fromkeys(given)), shape, parameters, *about)
        )
    return [
        part if part.layer is None else part._replace(calls=seen[id(part.layer)]) for part in parts
    ]


def input_labels(layers: Sequence[Layer], names: int | list[str] | None) -> tuple[str, ...]:
    """Names of inputs: the keys of a dictionary of them, or those of the Inputs."""
    if isinstance(names, list):
        return tuple(names)
    given = {layer.given_name for layer in layers if layer.given_name is not None}
    return tuple(numbered(layers, given))


def is_chain(parts: Sequence[Part]) -> bool:
    """Whether each part but the first is called on the one before it, each layer once."""
    return all(
        part.inputs == ((i - 1,) if i else ()) and part.calls == 1 for i, part in enumerate(parts)
    )


def source_of(part: Part) -> str:
    """What other parts are connected to, as Keras has it: "name[call][output]"."""
    return f"{part.name}[{part.call}][0]"


def boxes_of(
    parts: Sequence[Part],
    *,
    shapes: bool,
    names: bool,
    parameters: bool,
    activations: bool,
    dtype: bool,
    trainable: bool,
) -> list[Box]:
    """The boxes of a picture, with these lines of text."""
    boxes = []
    for part in parts:
        kind = part.kind
        activation = getattr(part.layer, "activation", None)
        if activations and isinstance(activation, str) and activation != "linear":
            kind = f"{kind}, {activation}"
        lines = [part.name, kind] if names else [kind]
        if shapes:
            lines.append("shape not known yet" if part.shape is None else str(part.shape))
        if dtype and part.dtype:
            lines.append(part.dtype)
        if parameters and part.layer is not None:
            lines.append(_parameters(part))
        elif part.calls > 1:
            lines.append(f"call {part.call + 1} of {part.calls}")
        if trainable and part.parameters:
            lines.append("trainable" if part.trainable else "not trainable")
        boxes.append(Box(tuple(lines), part.inputs, part.layer is None))
    return boxes


def _parameters(part: Part) -> str:
    if part.parameters is None:
        text = "parameters not known yet"
    elif part.call > 0 and part.parameters:
        text = "the same parameters"
    else:
        text = f"{part.parameters:,} parameter{'s' * (part.parameters != 1)}"
    return text if part.calls == 1 else f"{text}, call {part.call + 1} of {part.calls}"


def _shapes(state: State) -> Sequence[Shape | None]:
    """The shape of a row of each tensor."""
    inputs = state.inputs
    if not inputs and state.built is not None:
        inputs = (state.built.shapes[0],)
    if not inputs:
        return [None] * (1 + len(state.calls))
    return shapes_of(state.layers, state.calls, inputs)


def _with_batch(shape: Shape | None) -> tuple[int | None, ...] | None:
    return None if shape is None else (None, *shape)


def _input_name(names: Sequence[str], i: int, count: int) -> str:
    if i < len(names):
        return names[i]
    return "input" if count == 1 else f"input_{i}"
