"""The graph of a built model as writers of other formats need it: layers, tensors, names, shapes."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from fastnn.activation_words import native
from fastnn.layers.base import Dtype, Layer, Shape


class Node(NamedTuple):
    """A call of a layer."""

    layer: Layer
    inputs: tuple[int, ...]  # tensors
    shape: Shape  # of a row of the output


class GraphInput(NamedTuple):
    """An input of a model."""

    name: str
    shape: Shape  # of a row


class GraphOutput(NamedTuple):
    """An output of a model."""

    name: str
    tensor: int


class Graph(NamedTuple):
    """A built model. Tensors are numbered: first the inputs, then the output of each node."""

    name: str
    dtype: Dtype
    inputs: tuple[GraphInput, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[GraphOutput, ...]

    def shape(self, tensor: int) -> Shape:
        """The shape of a row of a tensor."""
        count = len(self.inputs)
        return self.inputs[tensor].shape if tensor < count else self.nodes[tensor - count].shape


def kind_of(layer: Layer, known: Collection[type[Layer]]) -> type[Layer] | None:
    """The class among `known` that computes what the layer computes; None: there is none.

    A class derived from a known one counts as it, unless it computes something else.
    """
    for base in type(layer).__mro__:
        if base in known:
            methods = ("call", "extend", "merged", "row_shape", "weight_specs")
            same = all(getattr(type(layer), m, None) is getattr(base, m, None) for m in methods)
            return base if same else None
    return None


def activation_of(layer: Layer) -> tuple[str, dict[str, float]]:
    """The activation of a Dense or an Activation by its native name, and its parameters."""
    word: str = getattr(layer, "activation")  # noqa: B009 - not every Layer has one
    known = native(word)
    return known.name, known.named()


def refusal(layer: Layer, what: str) -> ValueError:
    """The error for a layer that `what` cannot hold."""
    return ValueError(f"layer {layer.name!r}: {what} has no form of {type(layer).__name__}")
