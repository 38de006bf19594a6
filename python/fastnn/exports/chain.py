"""Chains of layers for formats that hold no other graph, with scales of the input in the kernels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.exports.graph import Graph, refusal
from fastnn.layers.base import Layer, Shape
from fastnn.layers.dense import Dense
from fastnn.layers.noise import Dropout, GaussianDropout
from fastnn.layers.scaling import Rescaling
from fastnn.layers.shape import Flatten, Reshape

Array = NDArray[Any]


class Step(NamedTuple):
    """A layer of a chain."""

    layer: Layer
    given: Shape  # of a row of the input
    made: Shape  # of a row of the output
    weights: list[Array]


def chain_of(graph: Graph, doing: str, what: str) -> list[Step]:
    """The layers of a graph, without Rescaling: each is part of the kernel of the Dense after it.

    Args:
        doing: the call, for messages.
        what: the format, for messages.

    Raises:
        ValueError: the graph is no chain with one output, or a Rescaling has no Dense after it.
    """
    if [output.tensor for output in graph.outputs] != [len(graph.inputs) + len(graph.nodes) - 1]:
        raise ValueError(
            f"{doing}: the model {graph.name!r} has outputs besides that of its last layer; {what} "
            "has one output"
        )
    steps = []
    scale, offset = 1.0, 0.0  # of the numbers that the next layer gets
    waiting: Layer | None = None  # the Rescaling that they come from
    seen: set[int] = set()
    for i, node in enumerate(graph.nodes):
        layer = node.layer
        if len(graph.inputs) > 1 or node.inputs != (i,) or layer.merges or id(layer) in seen:
            raise ValueError(
                f"{doing}: the model {graph.name!r} is no chain of layers, at layer "
                f"{layer.name!r}; {what} holds chains alone"
            )
        seen.add(id(layer))
        if type(layer) is Rescaling:
            waiting = layer
            scale, offset = scale * layer.scale, offset * layer.scale + layer.offset
            continue
        weights = layer.get_weights()
        if waiting is not None:
            if type(layer) is Dense:
                weights = _scaled(weights, scale, offset)
                scale, offset, waiting = 1.0, 0.0, None
            elif not isinstance(layer, (Flatten, Reshape)) and not (
                isinstance(layer, (Dropout, GaussianDropout)) and offset == 0
            ):
                raise refusal(waiting, f"{what}, except before a Dense,")
        steps.append(Step(layer, graph.shape(i), node.shape, weights))
    if waiting is not None:
        raise refusal(waiting, f"{what}, except before a Dense,")
    return steps


def _scaled(weights: list[Array], scale: float, offset: float) -> list[Array]:
    """Kernel and bias for x in place of x * scale + offset."""
    kernel = weights[0].astype(np.float64)
    made = [(kernel * scale).astype(weights[0].dtype)]
    shift = offset * kernel.sum(axis=0)
    if len(weights) > 1 or offset != 0:
        bias = weights[1] if len(weights) > 1 else np.zeros(kernel.shape[1], weights[0].dtype)
        made.append((bias + shift).astype(weights[0].dtype))
    return made
