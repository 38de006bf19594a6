"""Encodings of columns in a file: many nodes, which become one where they are those that fastnn writes.

The last of them says, in its doc_string, of which ColumnEncoding they are. That is believed if an export
of such a layer gives these very nodes, whatever their names, and constants of the same shapes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from fastnn.exports.graph import Node as GraphNode
from fastnn.exports.onnx_columns import encoding
from fastnn.exports.onnx_nodes import Nodes
from fastnn.extras import needed
from fastnn.interop.onnx_graphs.call import Call, Value
from fastnn.interop.onnx_graphs.file import Contents, Node
from fastnn.interop.parts import Array
from fastnn.layers.columns import ColumnEncoding

OP = "fastnn.ColumnEncoding"
WEIGHTS = ("fill", "center", "factor", "edges")
# Constants that hold the weights; all others are told by the structure.
_FREE = ("fill", "center", "factor", "low", "high", "width")


def joined(contents: Contents) -> Contents:
    """The contents with one node for each encoding of columns."""
    if not any(node.doc for node in contents.nodes):
        return contents
    makers = {name: node for node in contents.nodes for name in node.outputs if name}
    nodes = [_whole(contents, makers, node) if node.doc else node for node in contents.nodes]
    return contents._replace(nodes=tuple(nodes))


def _whole(contents: Contents, makers: Mapping[str, Node], last: Node) -> Node:
    """The node of an encoding that ends in this one; or this one, where it ends none."""
    layer = _layer_of(contents, last.doc)
    if layer is None:
        return last
    columns = len(layer.levels or ())
    onnx = needed("onnx", "from_onnx", "onnx")
    graph: Any = SimpleNamespace(dtype=layer.dtype)
    to = Nodes(onnx, graph, contents.opset)
    written = encoding(to, layer, ["x"], [(columns,)], GraphNode(layer, (0,), (columns,)))
    found = _Matched(contents, makers, to)
    if not found.matches(written, last.outputs[0]):
        return last
    options: dict[str, Any] = {
        "levels": tuple(layer.levels or ()),
        "missing": tuple(layer.structure(columns).missing),
        "bins": tuple(layer.structure(columns).bins),
        "clip": layer.clip,
    }
    weights = found.weights(layer)
    return Node(OP, last.name, (found.x,), last.outputs, {**options, **weights}, "")


def _layer_of(contents: Contents, doc: str) -> ColumnEncoding | None:
    """The layer that a doc_string tells of, with any weights; None: it tells of none."""
    try:
        told = json.loads(doc)["ColumnEncoding"]
        layer = ColumnEncoding(
            told["levels"], told["missing"], told["bins"], told["clip"], dtype=told["dtype"]
        )
        columns = len(told["levels"])
        # No more outputs than the file has numbers for, before any are made.
        room = columns + 2 * sum(array.size for array in contents.constants.values())
        if columns == 0 or layer.structure(columns).width > room:
            return None
        layer.build((None, columns))
    except (ValueError, TypeError, KeyError, RecursionError, MemoryError):
        return None
    return layer


class _Matched:
    """Whether values of a file are made as those of an export, and what was free there."""

    def __init__(self, contents: Contents, makers: Mapping[str, Node], to: Nodes) -> None:
        self._contents, self._makers, self._to = contents, makers, to
        self._own = {name: node for node in to.nodes for name in node.output}
        self._known: dict[str, str] = {}  # values of the file, by those of the export
        self._free: dict[str, Array] = {}

    @property
    def x(self) -> str:
        return self._known["x"]

    def matches(self, written: str, found: str) -> bool:
        if written in self._known:
            return self._known[written] == found
        self._known[written] = found
        if written == "x":
            return True
        if written in self._to.constants:
            return self._is_constant(written, found)
        own, other = self._own[written], self._makers.get(found)
        if other is None or other.op != own.op_type or len(other.inputs) != len(own.input):
            return False
        value_of = self._to.onnx.helper.get_attribute_value
        if {part.name: value_of(part) for part in own.attribute} != dict(other.attributes):
            return False
        return all(map(self.matches, own.input, other.inputs))

    def _is_constant(self, written: str, found: str) -> bool:
        wanted, array = self._to.constants[written], self._contents.constants.get(found)
        if array is None or array.shape != wanted.shape or array.dtype != wanted.dtype:
            return False
        part = written.rsplit("/", 1)[-1]
        if part not in _FREE:
            return np.array_equal(array, wanted)
        self._free[part] = array
        return bool(np.isfinite(array).all())

    def weights(self, layer: ColumnEncoding) -> dict[str, Array]:
        found = {name: self._free[name] for name in WEIGHTS if name in self._free}
        if "low" in self._free:
            low, high, parts, place = self._free["low"], self._free["high"], [], 0
            for bins in layer.structure(len(layer.levels or ())).bins:
                if bins:
                    parts += [low[place : place + bins], high[place + bins - 1 : place + bins]]
                place += bins
            found["edges"] = np.concatenate(parts)
        return found


def encode(call: Call) -> Value:
    """The term of an encoding that `joined` found."""
    call.count(1)
    x = call.rows(0)
    options = {name: call.option(name, None, object) for name in ("levels", "missing", "bins")}
    options |= {name: call.option(name, None, object) for name in ("clip", *WEIGHTS)}
    columns = len(options["levels"])
    if x.shape != (columns,):
        raise call.refusal(f"expected rows of shape {(columns,)}, got {x.shape}")
    levels, missing, bins = (list(options[name]) for name in ("levels", "missing", "bins"))
    layer = ColumnEncoding(levels, missing, bins)
    (width,) = layer.row_shape((columns,))
    return call.terms.make("encode_columns", (x,), (width,), **options)
