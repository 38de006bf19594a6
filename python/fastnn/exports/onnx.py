"""Graphs in the format ONNX: one writer for each class of layers, and the model around the nodes.

Every operation is one that ONNX Runtime has for the model's type. It lacks some of them for float64;
these are written as several others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.exports import onnx_columns, onnx_layers
from fastnn.exports.graph import Graph, Node, kind_of, refusal
from fastnn.exports.onnx_activations import activated
from fastnn.exports.onnx_nodes import Nodes
from fastnn.extras import needed
from fastnn.layers.activation import ELU, Activation, LeakyReLU, ReLU, Softmax
from fastnn.layers.base import Layer, Shape
from fastnn.layers.batch import BatchNormalization
from fastnn.layers.columns import ColumnEncoding
from fastnn.layers.dense import Dense
from fastnn.layers.dot import Dot
from fastnn.layers.embedding import Embedding
from fastnn.layers.features import CategoryEncoding, Normalization
from fastnn.layers.grouped import GroupedDense
from fastnn.layers.lengths import RMSNormalization, UnitNormalization
from fastnn.layers.merge import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from fastnn.layers.noise import AlphaDropout, Dropout, GaussianDropout, GaussianNoise
from fastnn.layers.normalization import GroupNormalization, LayerNormalization
from fastnn.layers.prelu import PReLU
from fastnn.layers.scaling import Rescaling, Scale
from fastnn.layers.shape import Flatten, Identity, InputLayer, Permute, RepeatVector, Reshape
from fastnn.layers.slicing import Slice
from fastnn.words import choose, integer

Array = NDArray[Any]

OPSET = 17  # the first one with LayerNormalization
# Protocol buffers hold no more; larger models would need files beside the file.
_MOST_BYTES = 2**31 - 2**20
_INPUT_TYPES = ("float32", "float64", "float16", "uint8", "int8", "int32", "int64")


Writer = Callable[[Nodes, Any, list[str], list[Shape], Node], str]


def _activation(to: Nodes, layer: Layer, x: list[str], shapes: list[Shape], _: Node) -> str:
    return activated(to, layer, x[0], shapes[0][-1])


def _dense(to: Nodes, layer: Dense, x: list[str], _: list[Shape], __: Node) -> str:
    kernel = to.constant(f"{layer.name}/kernel", layer.kernel.numpy(), layer)
    if layer.bias is None:
        made = to.add(layer.name, "MatMul", [x[0], kernel])
    else:
        bias = to.constant(f"{layer.name}/bias", layer.bias.numpy(), layer)
        made = to.add(layer.name, "Gemm", [x[0], kernel, bias])
    return activated(to, layer, made, layer.units)


def _layer_normalization(
    to: Nodes, layer: LayerNormalization, x: list[str], shapes: list[Shape], _: Node
) -> str:
    at = layer.name
    ones = np.ones(shapes[0], to.dtype)
    scale = ones if layer.gamma is None else layer.gamma.numpy()
    gamma = to.constant(f"{at}/gamma", scale, layer)
    beta = [] if layer.beta is None else [to.constant(f"{at}/beta", layer.beta.numpy(), layer)]
    if not to.double:
        return to.add(
            at, "LayerNormalization", [x[0], gamma, *beta], axis=-1, epsilon=layer.epsilon
        )
    # The operation of ONNX computes in float32, whatever its input is.
    centered = to.add(at, "Sub", [x[0], onnx_layers.mean(to, at, x[0])])
    variance = onnx_layers.mean(to, at, to.add(at, "Mul", [centered, centered]))
    root = to.add(at, "Sqrt", [to.add(at, "Add", [variance, to.number(layer.epsilon)])])
    made = to.add(at, "Mul", [to.add(at, "Div", [centered, root]), gamma])
    return to.add(at, "Add", [made, *beta]) if beta else made


def _rescaling(to: Nodes, layer: Rescaling, x: list[str], _: list[Shape], __: Node) -> str:
    made = x[0]
    if layer.scale != 1:
        made = to.add(layer.name, "Mul", [made, to.number(layer.scale)])
    if layer.offset != 0:
        made = to.add(layer.name, "Add", [made, to.number(layer.offset)])
    return made


def _as_it_is(_: Nodes, __: Layer, x: list[str], ___: list[Shape], ____: Node) -> str:
    return x[0]


def _flatten(to: Nodes, layer: Layer, x: list[str], shapes: list[Shape], _: Node) -> str:
    return x[0] if len(shapes[0]) == 1 else to.add(layer.name, "Flatten", [x[0]], axis=1)


def _reshaped(to: Nodes, at: str, x: str, shape: Shape) -> str:
    """A 0 in the new shape keeps the number of rows."""
    return to.add(at, "Reshape", [x, to.sizes([0, *shape])])


def _reshape(to: Nodes, layer: Layer, x: list[str], _: list[Shape], node: Node) -> str:
    return _reshaped(to, layer.name, x[0], node.shape)


def _repeat(to: Nodes, layer: RepeatVector, x: list[str], shapes: list[Shape], _: Node) -> str:
    column = _reshaped(to, layer.name, x[0], (1, *shapes[0]))
    return to.add(layer.name, "Expand", [column, to.sizes([1, layer.n, 1])])


def _scale(to: Nodes, layer: Scale, x: list[str], _: list[Shape], __: Node) -> str:
    at = layer.name
    made = to.add(at, "Mul", [x[0], to.constant(f"{at}/scale", layer.scale.numpy(), layer)])
    if layer.bias is None:
        return made
    return to.add(at, "Add", [made, to.constant(f"{at}/bias", layer.bias.numpy(), layer)])


def _elementwise(op: str) -> Writer:
    """A chain of operations of two inputs, in the order in which fastnn combines them."""

    def write(to: Nodes, layer: Layer, x: list[str], shapes: list[Shape], node: Node) -> str:
        rank = len(node.shape)
        parts = []
        for part, shape in zip(x, shapes, strict=True):
            # Axes of rows are aligned at the right, behind the axis of the batch.
            ahead = (1,) * (rank - len(shape))
            parts.append(_reshaped(to, layer.name, part, (*ahead, *shape)) if ahead else part)
        made = parts[0]
        for part in parts[1:]:
            made = to.add(layer.name, op, [made, part])
        return made

    return write


def _average(to: Nodes, layer: Layer, x: list[str], shapes: list[Shape], node: Node) -> str:
    total = _elementwise("Add")(to, layer, x, shapes, node)
    return total if len(x) == 1 else to.add(layer.name, "Div", [total, to.number(len(x))])


def _concatenate(to: Nodes, layer: Concatenate, x: list[str], _: list[Shape], __: Node) -> str:
    return x[0] if len(x) == 1 else to.add(layer.name, "Concat", x, axis=layer.axis)


LAYERS: dict[type[Layer], Writer] = {
    InputLayer: _as_it_is,
    Dense: _dense,
    Activation: _activation,
    LeakyReLU: _activation,
    ELU: _activation,
    ReLU: _activation,
    PReLU: onnx_layers.prelu,
    Softmax: _activation,
    LayerNormalization: _layer_normalization,
    Rescaling: _rescaling,
    Scale: _scale,
    GroupedDense: onnx_layers.grouped_dense,
    BatchNormalization: onnx_layers.batch,
    GroupNormalization: onnx_layers.group,
    RMSNormalization: onnx_layers.rms,
    UnitNormalization: onnx_layers.unit,
    Normalization: onnx_layers.normalization,
    Permute: onnx_layers.permute,
    Slice: onnx_layers.slices,
    Embedding: onnx_layers.embedding,
    CategoryEncoding: onnx_layers.categories,
    ColumnEncoding: onnx_columns.encoding,
    Identity: _as_it_is,
    Dropout: _as_it_is,
    AlphaDropout: _as_it_is,
    GaussianDropout: _as_it_is,
    GaussianNoise: _as_it_is,
    Flatten: _flatten,
    Reshape: _reshape,
    RepeatVector: _repeat,
    Add: _elementwise("Add"),
    Subtract: _elementwise("Sub"),
    Multiply: _elementwise("Mul"),
    Maximum: _elementwise("Max"),
    Minimum: _elementwise("Min"),
    Average: _average,
    Concatenate: _concatenate,
    Dot: onnx_layers.dot,
}


# -- the model


def to_onnx(
    graph: Graph,
    *,
    opset: int = OPSET,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    input_dtype: str | None = None,
) -> Any:
    """The graph as an onnx.ModelProto; arguments and errors: see `Model.export_onnx`."""
    onnx = needed("onnx", "export_onnx", "onnx")
    opset = checked_opset(onnx, opset)
    kind = graph.dtype if input_dtype is None else choose("input_dtype", input_dtype, _INPUT_TYPES)
    to = Nodes(onnx, graph, opset)
    ins = _names("input_names", input_names, [part.name for part in graph.inputs])
    outs = _names("output_names", output_names, [part.name for part in graph.outputs])
    if input_names is None and output_names is None:
        outs = [name if name not in ins else f"{name}_output" for name in outs]
    for name in (*ins, *outs):
        if to.name(name) != name:
            raise ValueError(f"output_names: {name!r} is also the name of another input or output")
    values = written(to, graph, [_cast(to, name, kind, graph.dtype) for name in ins])
    _rename(to, [values[part.tensor] for part in graph.outputs], outs)
    _check_size(graph, to)
    helper = onnx.helper
    types = {name: helper.np_dtype_to_tensor_dtype(np.dtype(name)) for name in (kind, graph.dtype)}
    body = helper.make_graph(
        to.nodes,
        graph.name,
        [
            helper.make_tensor_value_info(name, types[kind], ["batch", *part.shape])
            for name, part in zip(ins, graph.inputs, strict=True)
        ],
        [
            helper.make_tensor_value_info(
                name, types[graph.dtype], ["batch", *graph.shape(part.tensor)]
            )
            for name, part in zip(outs, graph.outputs, strict=True)
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in to.constants.items()],
    )
    sets = [helper.make_opsetid("", opset)]
    return helper.make_model(
        body,
        opset_imports=sets,
        ir_version=helper.find_min_ir_version_for(sets),
        producer_name="fastnn",
        producer_version=_core.__version__,
    )


def checked_opset(onnx: Any, opset: int) -> int:
    """The version of operations, of those that fastnn writes and the package onnx knows."""
    return integer("opset", opset, OPSET, onnx.defs.onnx_opset_version())


def written(to: Nodes, graph: Graph, inputs: list[str]) -> list[str]:
    """Adds the nodes of all layers; returns the name of each tensor."""
    values = list(inputs)
    for node in graph.nodes:
        kind = kind_of(node.layer, LAYERS)
        if kind is None:
            raise refusal(node.layer, "ONNX")
        given = [values[i] for i in node.inputs]
        values.append(
            LAYERS[kind](to, node.layer, given, [graph.shape(i) for i in node.inputs], node)
        )
    return values


def _cast(to: Nodes, name: str, given: str, wanted: str) -> str:
    if given == wanted:
        return name
    kind = to.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(wanted))
    return to.add(name, "Cast", [name], to=kind)


def _rename(to: Nodes, made: Sequence[str], wanted: Sequence[str]) -> None:
    """Gives the outputs their names; an input, or an output that has a name, is copied."""
    own = {name for node in to.nodes for name in node.output}
    new: dict[str, str] = {}
    copies = []
    for value, name in zip(made, wanted, strict=True):
        if value in own and value not in new:
            new[value] = name
        else:
            copies.append((new.get(value, value), name))
    for node in to.nodes:
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]
    for value, name in copies:
        made_by = to.onnx.helper.make_node("Identity", [value], [name], name=f"{name}/Identity")
        to.nodes.append(made_by)


def _names(argument: str, given: Sequence[str] | None, own: Sequence[str]) -> list[str]:
    if given is None:
        return list(own)
    names: list[Any] = [given] if isinstance(given, str) else list(given)
    if len(names) != len(own) or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{argument}: expected {len(own)} names, got {given!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"{argument}: expected names that differ, got {given!r}")
    return names


def _check_size(graph: Graph, to: Nodes) -> None:
    size = sum(value.nbytes for value in to.constants.values())
    if size > _MOST_BYTES:
        raise ValueError(
            f"export_onnx: the model {graph.name!r} has {size} bytes of weights, and a file of ONNX "
            f"holds at most {_MOST_BYTES}"
        )
