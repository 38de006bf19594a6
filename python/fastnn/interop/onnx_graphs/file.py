"""A file of ONNX, which is never trusted: its nodes in order, its constants, its inputs and outputs.

Nothing is computed here. Tensors are checked against the bytes that they have before any is made, and
data beside the file are read from the file's own folder alone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastnn.extras import needed
from fastnn.files.layout import ModelFileError
from fastnn.interop.parts import Array

LOWEST_OPSET = 7  # the first one in which shapes are broadcast as in NumPy
# Elements of a tensor, or of a row: more are a damaged file.
MOST_ELEMENTS = 2**40
_MOST_AXES = 32  # that any NumPy takes
_DOMAINS = {"": "", "ai.onnx": "", "ai.onnx.ml": "ai.onnx.ml"}
# The fields of a tensor that hold its numbers, and the types that have them there.
_FIELDS = {
    "float_data": ("FLOAT",),
    "double_data": ("DOUBLE",),
    "int64_data": ("INT64",),
    "uint64_data": ("UINT32", "UINT64"),
    "int32_data": (
        *("INT32", "INT16", "INT8", "UINT16", "UINT8", "BOOL"),
        *("FLOAT16", "BFLOAT16"),
    ),
}
_TYPES = {
    "FLOAT": "float32",
    "DOUBLE": "float64",
    "FLOAT16": "float16",
    "BFLOAT16": "bfloat16",
    "BOOL": "bool",
    **{name.upper(): name for name in ("int8", "int16", "int32", "int64")},
    **{name.upper(): name for name in ("uint8", "uint16", "uint32", "uint64")},
}


class Node(NamedTuple):
    """An operation: its names of values, and its attributes as Python's numbers, lists and arrays."""

    op: str  # with its domain, where that is not ONNX's own
    name: str
    inputs: tuple[str, ...]  # "": left out
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    doc: str = ""

    @property
    def label(self) -> str:
        """The node in messages: its name or that of its output, and its operation."""
        named = self.name or next((name for name in self.outputs if name), "without a name")
        return f"node {named!r} ({self.op})"


class Entry(NamedTuple):
    """An input of the graph."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]  # None: open


class Contents(NamedTuple):
    """What a file holds."""

    name: str
    opset: int
    inputs: tuple[Entry, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: dict[str, Array]


def _text(value: Any, what: str) -> str:
    """A name in the file. Protocol buffers leave texts that are no UTF-8 as bytes."""
    if not isinstance(value, str):
        raise ModelFileError(f"{what}: {_short(value)} is no text in UTF-8")
    return value


def read(path: str | os.PathLike[str], doing: str) -> Contents:
    """The contents of a file. `doing`: the call, for messages.

    Raises:
        ModelFileError: the file is damaged, or is none of ONNX.
        ValueError: its opset is not known here.
        ImportError: onnx is not installed.
        OSError: the file cannot be read.
    """
    onnx = needed("onnx", doing, "onnx")
    data = Path(path).read_bytes()
    try:
        proto = onnx.ModelProto.FromString(data)
    except Exception as error:  # noqa: BLE001 - the class is that of the installed protobuf
        raise ModelFileError(f"path: {os.fspath(path)!r} is no file of ONNX: {error}") from None
    if not proto.HasField("graph") or not proto.graph.output:
        raise ModelFileError(f"path: {os.fspath(path)!r} is no file of ONNX: it has no graph")
    if proto.functions:
        proto = _inlined(proto)
    opset = _opset(onnx, proto)
    folder = Path(path).parent
    graph = proto.graph
    constants: dict[str, Array] = {}
    for tensor in graph.initializer:
        name = _text(tensor.name, "initializer")
        if name in constants or not name:
            raise ModelFileError(f"initializer {name!r}: its name is empty or taken")
        constants[name] = tensor_of(onnx, tensor, f"initializer {_short(name)}", folder)
    if graph.sparse_initializer:
        raise ValueError("sparse initializers are not in fastnn; store them as tensors")
    inputs = [_entry(onnx, value) for value in graph.input if value.name not in constants]
    contents = Contents(
        _text(graph.name, "graph"),
        opset,
        tuple(inputs),
        tuple(_text(value.name, "output") for value in graph.output),
        tuple(_node(onnx, node, folder) for node in graph.node),
        constants,
    )
    _check_order(contents)
    return contents


def _inlined(proto: Any) -> Any:
    """The model with its own functions put in the place of their calls."""
    inliner = needed("onnx.inliner", "from_onnx of a model with functions", "onnx")
    try:
        return inliner.inline_local_functions(proto)
    except Exception as error:  # noqa: BLE001 - native code tells all faults by classes of its own
        raise ModelFileError(f"the functions of the model are damaged: {error}") from None


def _opset(onnx: Any, proto: Any) -> int:
    found = [entry.version for entry in proto.opset_import if _DOMAINS.get(entry.domain) == ""]
    if not found:
        raise ModelFileError("opset_import: the file does not say which opset of ONNX it has")
    latest = onnx.defs.onnx_opset_version()
    if not LOWEST_OPSET <= max(found) <= latest:
        raise ValueError(
            f"opset_import: expected an opset from {LOWEST_OPSET} to {latest}, the latest of the "
            f"installed onnx, got {max(found)}"
        )
    return int(max(found))


def _entry(onnx: Any, value: Any) -> Entry:
    where = f"input {_short(_text(value.name, 'input'))}"
    if not value.name or not value.type.HasField("tensor_type"):
        raise ModelFileError(f"{where}: expected a name and the type of a tensor")
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        raise ValueError(f"{where}: its shape is not known; expected (batch, ...)")
    shape = []
    for size in kind.shape.dim:
        known = size.HasField("dim_value")
        if known and not -1 <= size.dim_value < MOST_ELEMENTS:
            raise ModelFileError(f"{where}: it has an axis of {size.dim_value}")
        # Some writers say -1 or 0 for an open axis.
        shape.append(int(size.dim_value) if known and size.dim_value > 0 else None)
    if len(shape) > _MOST_AXES or math.prod(n or 1 for n in shape) > MOST_ELEMENTS:
        raise ModelFileError(f"{where}: the shape {_short(shape)} is too large")
    return Entry(value.name, _type_name(onnx, kind.elem_type, where), tuple(shape))


def _type_name(onnx: Any, number: int, where: str) -> str:
    try:
        word = onnx.TensorProto.DataType.Name(number)
    except ValueError:
        raise ModelFileError(f"{where}: there is no type of the number {number}") from None
    if word not in _TYPES:
        raise ValueError(f"{where}: the type {word} is not in fastnn")
    return _TYPES[word]


# -- tensors


def tensor_of(onnx: Any, tensor: Any, where: str, folder: Path) -> Array:
    """The numbers of a tensor. float16 and bfloat16 become float32, which holds them exactly."""
    kind = _type_name(onnx, tensor.data_type, where)
    shape = tuple(tensor.dims)
    if len(shape) > _MOST_AXES or any(n < 0 for n in shape) or math.prod(shape) > MOST_ELEMENTS:
        raise ModelFileError(f"{where}: the shape {_short(shape)} is none of a tensor")
    stored = np.dtype("<u2") if kind == "bfloat16" else np.dtype(kind).newbyteorder("<")
    size = math.prod(shape)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        data = _external(tensor, where, folder, size * stored.itemsize)
    elif tensor.HasField("raw_data"):
        data = tensor.raw_data
    else:
        return _from_field(onnx, tensor, where, kind, shape)
    if len(data) != size * stored.itemsize:
        raise ModelFileError(
            f"{where}: {kind} of shape {_short(shape)} has {size * stored.itemsize} bytes, got "
            f"{len(data)}"
        )
    return _native(np.frombuffer(data, stored).reshape(shape), kind)


def _native(array: Array, kind: str) -> Array:
    if kind == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    wanted = np.float32 if kind == "float16" else np.dtype(kind)
    return np.ascontiguousarray(array, wanted).reshape(array.shape)


def _from_field(onnx: Any, tensor: Any, where: str, kind: str, shape: tuple[int, ...]) -> Array:
    word = onnx.TensorProto.DataType.Name(tensor.data_type)
    field = next(name for name, types in _FIELDS.items() if word in types)
    numbers = getattr(tensor, field)
    if len(numbers) != math.prod(shape):
        raise ModelFileError(
            f"{where}: the shape {_short(shape)} has {math.prod(shape)} numbers, got {len(numbers)}"
        )
    try:
        if kind in ("float16", "bfloat16"):  # the bits of each
            bits = np.array(numbers, np.int64).astype(np.uint16).reshape(shape)
            return _native(bits if kind == "bfloat16" else bits.view(np.float16), kind)
        return np.array(numbers, kind).reshape(shape)
    except (OverflowError, ValueError) as error:
        raise ModelFileError(f"{where}: its numbers are none of {kind}: {error}") from None


def _external(tensor: Any, where: str, folder: Path, size: int) -> bytes:
    """Bytes of a file beside the model: never of one in another folder, however it is named."""
    told = {entry.key: _text(entry.value, where) for entry in tensor.external_data}
    location = told.get("location", "")
    own = folder.resolve()
    named = Path(location)
    if "\0" in location or not location or named.is_absolute() or ".." in named.parts:
        inside = False
    else:
        found = (own / named).resolve()  # where links lead
        inside = found.is_relative_to(own)
    if not inside:
        raise ModelFileError(
            f"{where}: its data are in {_short(location)}, which is not in the folder of the model"
        )
    try:
        offset, length = int(told.get("offset", 0)), int(told.get("length", size))
    except ValueError:
        raise ModelFileError(f"{where}: offset and length of its data are no integers") from None
    if offset < 0 or length != size:
        raise ModelFileError(
            f"{where}: expected {size} bytes of data, got length={length} at offset={offset}"
        )
    try:
        if not found.is_file():
            raise ModelFileError(f"{where}: its data are in {_short(location)}, which is no file")
        if found.stat().st_size < offset + length:
            raise ModelFileError(
                f"{where}: the file {_short(location)} ends before its {length} bytes at {offset}"
            )
        with found.open("rb") as file:
            file.seek(offset)
            return file.read(length)
    except (OSError, OverflowError) as error:
        raise ModelFileError(f"{where}: its data cannot be read: {error}") from None


# -- nodes


def _node(onnx: Any, node: Any, folder: Path) -> Node:
    domain = _text(node.domain, "node")
    domain = _DOMAINS.get(domain, domain)
    op = _text(node.op_type, "node")
    made = Node(
        f"{domain}.{op}" if domain else op,
        _text(node.name, "node"),
        tuple(_text(name, "input of a node") for name in node.input),
        tuple(_text(name, "output of a node") for name in node.output),
        {},
    )
    attributes: dict[str, Any] = {}
    kinds = onnx.AttributeProto
    for part in node.attribute:
        _text(part.name, made.label)
        if part.name in attributes:
            raise ModelFileError(f"{made.label}: the attribute {part.name!r} is given twice")
        where = f"{made.label}: attribute {part.name!r}"
        if part.type == kinds.TENSOR:
            attributes[part.name] = tensor_of(onnx, part.t, where, folder)
        elif part.type == kinds.STRING:
            attributes[part.name] = part.s.decode("utf-8", "replace")
        elif part.type in (kinds.FLOAT, kinds.INT, kinds.FLOATS, kinds.INTS):
            value = onnx.helper.get_attribute_value(part)
            attributes[part.name] = value if isinstance(value, (int, float)) else list(value)
        else:
            attributes[part.name] = part  # a graph or a list of texts, which no reader takes
    doc = node.doc_string if isinstance(node.doc_string, str) else ""
    return made._replace(attributes=attributes, doc=doc)


def _check_order(contents: Contents) -> None:
    """ModelFileError unless each value is made once, before it is used."""
    makers: dict[str, Node] = {}
    names = {entry.name for entry in contents.inputs}
    if len(names) < len(contents.inputs):
        raise ModelFileError("two inputs have one name")
    for node in contents.nodes:
        for name in node.outputs:
            if name and (name in makers or name in names or name in contents.constants):
                raise ModelFileError(f"{node.label}: the value {name!r} is made twice")
            makers[name] = node
    known = names | set(contents.constants) | {""}
    for node in contents.nodes:
        for name in node.inputs:
            if name in known:
                continue
            if name in makers:
                raise ModelFileError(
                    f"{node.label}: the value {name!r} is made by the later {makers[name].label}: the "
                    "graph is a circle, or is not in order"
                )
            raise ModelFileError(
                f"{node.label}: the value {name!r} is no initializer and no input, and no node makes it"
            )
        known.update(node.outputs)
    for name in contents.outputs:
        if name not in known or not name:
            raise ModelFileError(f"output {name!r}: no node makes it")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
