"""Writers of layers that normalize, look up or permute, in ONNX: see `exports.onnx`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.exports.graph import Node
from fastnn.exports.onnx_nodes import Nodes
from fastnn.layers.base import Layer, Shape
from fastnn.layers.batch import BatchNormalization
from fastnn.layers.dot import EPSILON, Dot
from fastnn.layers.embedding import Embedding
from fastnn.layers.features import CategoryEncoding, Normalization
from fastnn.layers.grouped import GroupedDense
from fastnn.layers.lengths import RMSNormalization, UnitNormalization
from fastnn.layers.normalization import GroupNormalization
from fastnn.layers.prelu import PReLU
from fastnn.layers.shape import Permute
from fastnn.layers.slicing import Slice

Array = NDArray[Any]


def mean(to: Nodes, at: str, x: str) -> str:
    """Of each row."""
    if to.opset < 18:
        return to.add(at, "ReduceMean", [x], axes=[-1], keepdims=1)
    return to.add(at, "ReduceMean", [x, to.sizes([-1])], keepdims=1)


def rms(to: Nodes, layer: RMSNormalization, x: list[str], _: list[Shape], __: Node) -> str:
    at = layer.name
    squares = mean(to, at, to.add(at, "Mul", [x[0], x[0]]))
    root = to.add(at, "Sqrt", [to.add(at, "Add", [squares, to.number(layer.epsilon)])])
    scale = to.constant(f"{at}/scale", layer.scale.numpy(), layer)
    return to.add(at, "Mul", [to.add(at, "Div", [x[0], root]), scale])


def unit(to: Nodes, layer: UnitNormalization, x: list[str], _: list[Shape], __: Node) -> str:
    at = layer.name
    squares = to.add(at, "ReduceSum", [to.add(at, "Mul", [x[0], x[0]]), to.sizes([-1])], keepdims=1)
    norm = to.add(at, "Max", [to.add(at, "Sqrt", [squares]), to.number(1e-12)])
    return to.add(at, "Div", [x[0], norm])


def _affine(to: Nodes, layer: Any, x: str) -> str:
    """gamma * x + beta, of those that there are."""
    if layer.gamma is not None:
        gamma = to.constant(f"{layer.name}/gamma", layer.gamma.numpy(), layer)
        x = to.add(layer.name, "Mul", [x, gamma])
    if layer.beta is not None:
        beta = to.constant(f"{layer.name}/beta", layer.beta.numpy(), layer)
        x = to.add(layer.name, "Add", [x, beta])
    return x


def batch(to: Nodes, layer: BatchNormalization, x: list[str], _: list[Shape], __: Node) -> str:
    at = layer.name
    variance = layer.moving_variance.numpy()
    if to.dtype == np.float32:
        ones = np.ones_like(variance)
        constants = (
            ("gamma", ones if layer.gamma is None else layer.gamma.numpy()),
            ("beta", 0 * ones if layer.beta is None else layer.beta.numpy()),
            ("moving_mean", layer.moving_mean.numpy()),
            ("moving_variance", variance),
        )
        names = [to.constant(f"{at}/{name}", value, layer) for name, value in constants]
        return to.add(at, "BatchNormalization", [x[0], *names], epsilon=layer.epsilon)
    middle = to.constant(f"{at}/moving_mean", layer.moving_mean.numpy(), layer)
    spread = to.constant(f"{at}/spread", np.sqrt(variance + layer.epsilon), layer)
    centered = to.add(at, "Sub", [x[0], middle])
    return _affine(to, layer, to.add(at, "Div", [centered, spread]))


def group(to: Nodes, layer: GroupNormalization, x: list[str], shapes: list[Shape], _: Node) -> str:
    at = layer.name
    columns = shapes[0][0]
    size = 1 if layer.groups == -1 else columns // layer.groups
    parts = to.add(at, "Reshape", [x[0], to.sizes([0, columns // size, size])])
    centered = to.add(at, "Sub", [parts, mean(to, at, parts)])
    variance = mean(to, at, to.add(at, "Mul", [centered, centered]))
    root = to.add(at, "Sqrt", [to.add(at, "Add", [variance, to.number(layer.epsilon)])])
    made = to.add(at, "Div", [centered, root])
    return _affine(to, layer, to.add(at, "Reshape", [made, to.sizes([0, columns])]))


def grouped_dense(to: Nodes, layer: GroupedDense, x: list[str], _: list[Shape], __: Node) -> str:
    """A product with a kernel of blocks, and zeros elsewhere."""
    at = layer.name
    kernel = layer.kernel.numpy()
    inputs = len(kernel) // layer.groups
    blocks = np.zeros((layer.groups, inputs, layer.groups, layer.units), kernel.dtype)
    for group in range(layer.groups):
        blocks[group, :, group] = kernel[group * inputs : (group + 1) * inputs]
    whole = to.constant(f"{at}/kernel", blocks.reshape(len(kernel), -1), layer)
    made = to.add(at, "MatMul", [x[0], whole])
    if layer.bias is None:
        return made
    return to.add(at, "Add", [made, to.constant(f"{at}/bias", layer.bias.numpy(), layer)])


def normalization(to: Nodes, layer: Normalization, x: list[str], _: list[Shape], __: Node) -> str:
    at = layer.name
    deviation = np.maximum(np.sqrt(layer.variance.numpy()), to.dtype.type(1e-7))
    middle = to.constant(f"{at}/mean", layer.mean.numpy(), layer)
    spread = to.constant(f"{at}/deviation", deviation, layer)
    if layer.invert:
        return to.add(at, "Add", [to.add(at, "Mul", [x[0], spread]), middle])
    return to.add(at, "Div", [to.add(at, "Sub", [x[0], middle]), spread])


def prelu(to: Nodes, layer: PReLU, x: list[str], _: list[Shape], __: Node) -> str:
    at = layer.name
    alpha = to.constant(f"{at}/alpha", layer.alpha.numpy(), layer)
    if not to.double:
        return to.add(at, "PRelu", [x[0], alpha])
    below = to.add(at, "Mul", [to.add(at, "Min", [x[0], to.number(0.0)]), alpha])
    return to.add(at, "Add", [to.add(at, "Relu", [x[0]]), below])


def permute(to: Nodes, layer: Permute, x: list[str], _: list[Shape], __: Node) -> str:
    return to.add(layer.name, "Transpose", [x[0]], perm=[0, *layer.dims])


def slices(to: Nodes, layer: Slice, x: list[str], _: list[Shape], __: Node) -> str:
    ends = to.sizes([layer.begin]), to.sizes([layer.begin + layer.size])
    return to.add(layer.name, "Slice", [x[0], *ends, to.sizes([1])])


def _numbers(to: Nodes, layer: Layer, x: str) -> str:
    return to.add(layer.name, "Cast", [x], to=to.onnx.TensorProto.INT64)


def embedding(to: Nodes, layer: Embedding, x: list[str], _: list[Shape], __: Node) -> str:
    table = to.constant(f"{layer.name}/embeddings", layer.embeddings.numpy(), layer)
    return to.add(layer.name, "Gather", [table, _numbers(to, layer, x[0])], axis=0)


def categories(
    to: Nodes, layer: CategoryEncoding, x: list[str], shapes: list[Shape], node: Node
) -> str:
    at = layer.name
    count = to.constant(f"{at}/num_tokens", np.array(layer.num_tokens, np.int64), layer)
    hot = to.constant(f"{at}/off_on", np.array([0, 1], np.float32), layer)
    made = to.add(at, "OneHot", [_numbers(to, layer, x[0]), count, hot], axis=-1)
    if to.dtype != np.float32:  # ONNX Runtime has OneHot for few types
        made = to.add(at, "Cast", [made], to=to.onnx.TensorProto.DOUBLE)
    if layer.output_mode == "one_hot":
        return made if len(node.shape) > 1 else to.add(at, "Squeeze", [made, to.sizes([1])])
    if shapes[0] == (1,):
        return to.add(at, "Squeeze", [made, to.sizes([1])])
    total = to.add(at, "ReduceSum", [made, to.sizes([1])], keepdims=0)
    return total if layer.output_mode == "count" else to.add(at, "Min", [total, to.number(1)])


def dot(to: Nodes, layer: Dot, x: list[str], shapes: list[Shape], node: Node) -> str:
    at = layer.name
    places = layer.places(shapes)
    parts = x
    if layer.normalize:
        parts = [_unit_along(to, at, one, place + 1) for one, place in zip(x, places, strict=True)]
    if max(map(len, shapes)) == 1:
        product = to.add(at, "Mul", parts)
        return to.add(at, "ReduceSum", [product, to.sizes([1])], keepdims=1)
    (a, b), (left, right) = places, shapes
    last = [i + 1 for i in range(len(left)) if i != a] + [a + 1]
    first = [b + 1] + [i + 1 for i in range(len(right)) if i != b]
    k = left[a]
    wide, tall = -1 if len(left) > 1 else 1, -1 if len(right) > 1 else 1
    m = to.add(at, "Transpose", [parts[0]], perm=[0, *last])
    o = to.add(at, "Transpose", [parts[1]], perm=[0, *first])
    m = to.add(at, "Reshape", [m, to.sizes([0, wide, k])])
    o = to.add(at, "Reshape", [o, to.sizes([0, k, tall])])
    return to.add(at, "Reshape", [to.add(at, "MatMul", [m, o]), to.sizes([0, *node.shape])])


def _unit_along(to: Nodes, at: str, x: str, axis: int) -> str:
    squares = to.add(at, "Mul", [x, x])
    total = to.add(at, "ReduceSum", [squares, to.sizes([axis])], keepdims=1)
    norm = to.add(at, "Max", [to.add(at, "Sqrt", [total]), to.number(EPSILON)])
    return to.add(at, "Div", [x, norm])
