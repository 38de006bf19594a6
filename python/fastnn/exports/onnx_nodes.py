"""The nodes and constants of an ONNX model that is being written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.exports.graph import Graph
from fastnn.layers.base import Layer

Array = NDArray[Any]


class Nodes:
    """The nodes and constants of a model under way. Values are known by their names."""

    def __init__(self, onnx: Any, graph: Graph, opset: int) -> None:
        self.onnx = onnx
        self.dtype = np.dtype(graph.dtype)
        self.opset = opset
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}
        self._known: dict[tuple[int, str], str] = {}  # names of constants by what they are
        self._taken: set[str] = set()

    def name(self, wanted: str) -> str:
        """A name that no other value has."""
        name, count = wanted, 0
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name)
        return name

    def add(self, layer: str, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Adds a node of a layer; returns the name of its output."""
        name = self.name(f"{layer}/{op}")
        node = self.onnx.helper.make_node(op, list(inputs), [name], name=name, **attributes)
        self.nodes.append(node)
        return name

    def constant(self, wanted: str, values: Array, layer: Layer | None = None) -> str:
        """The name of a constant; all calls with one name of one layer mean one constant.

        Layers of different models in the model may have one name.
        """
        key = id(layer), wanted
        if key not in self._known:
            self._known[key] = self.name(wanted)
            self.constants[self._known[key]] = values
        return self._known[key]

    def number(self, value: float) -> str:
        """The name of a constant without axes, in the model's type."""
        return self.constant(f"constant/{value!r}", np.array(value, self.dtype))

    def sizes(self, values: Sequence[int]) -> str:
        """The name of a constant of integers."""
        text = "_".join(map(str, values))
        return self.constant(f"constant/sizes_{text}", np.array(values, np.int64))

    @property
    def double(self) -> bool:
        return self.dtype == np.float64
