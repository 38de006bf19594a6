"""A file of ONNX as a model: its values, the layers that make its outputs, and their weights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import elsewhere
from fastnn.files.layout import ModelFileError
from fastnn.interop.onnx_graphs.call import Call, Value
from fastnn.interop.onnx_graphs.constants import fold
from fastnn.interop.onnx_graphs.encodings import joined
from fastnn.interop.onnx_graphs.file import Contents, Entry, Node, read
from fastnn.interop.onnx_graphs.lowering import Lowering
from fastnn.interop.onnx_graphs.patterns import rewritten
from fastnn.interop.onnx_graphs.readers import READERS
from fastnn.interop.onnx_graphs.terms import Term, Terms
from fastnn.layers.activation import Activation
from fastnn.layers.base import Layer, dtype_of
from fastnn.layers.shape import Input, InputLayer
from fastnn.layers.symbol import Symbol
from fastnn.models import Model, Sequential


def model_of(
    path: str | os.PathLike[str],
    outputs: str | Sequence[str] | None,
    dtype: str | None,
    name: str | None,
) -> Model:
    """The model in a file; arguments and errors: see `from_onnx`."""
    contents = joined(read(path, "from_onnx"))
    wanted = _wanted(contents, outputs)
    terms = Terms()
    rows, values = _values(contents, terms, wanted)
    found = [_output(values, name) for name in wanted]
    found = rewritten(terms, found)
    kind = _dtype(contents) if dtype is None else dtype_of(dtype)
    symbols = {rows[e.name]: _input(e, contents.inputs) for e in contents.inputs}
    names = {id(array): name for name, array in contents.constants.items()}
    lowering = Lowering(terms, found, symbols, names)
    made = [lowering.symbol(term) for term in found]
    made = _apart(made)
    model_name = contents.name.replace("/", "_") or None if name is None else name
    ins = [symbols[rows[entry.name]] for entry in contents.inputs]
    model = _model([entry.name for entry in contents.inputs], ins, wanted, made, kind, model_name)
    for layer, arrays in lowering.weights.items():
        layer.set_weights(arrays)
    return model


def _wanted(contents: Contents, outputs: str | Sequence[str] | None) -> list[str]:
    if outputs is None:
        return list(dict.fromkeys(contents.outputs))
    names = [outputs] if isinstance(outputs, str) else list(outputs)
    known = {name for node in contents.nodes for name in node.outputs if name}
    for name in names:
        if name not in known and name not in contents.outputs:
            raise ValueError(
                f"outputs: expected names among {', '.join(contents.outputs)}, got {name!r}"
            )
    if not names or len(set(names)) < len(names):
        raise ValueError(f"outputs: expected names that differ, got {outputs!r}")
    return names


def _needed(contents: Contents, wanted: Sequence[str]) -> list[Node]:
    """The nodes that outputs depend on, in order."""
    needed = set(wanted)
    kept = []
    for node in reversed(contents.nodes):
        if needed & set(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    return kept[::-1]


def _values(
    contents: Contents, terms: Terms, wanted: Sequence[str]
) -> tuple[dict[str, Term], dict[str, Any]]:
    """The terms of the inputs, and the value of each name; None where it is refused."""
    batch = _batch(contents.inputs)
    rows = {}
    for entry in contents.inputs:
        if not entry.shape or None in entry.shape[1:]:
            raise ValueError(
                f"input {entry.name!r}: expected a shape (batch, ...) with all other sizes known, got "
                f"{tuple('?' if n is None else n for n in entry.shape)}"
            )
        shape: Any = entry.shape[1:]
        terms.where = f"input {entry.name!r}"
        rows[entry.name] = terms.make(
            "input", (), shape, np.dtype(entry.dtype).kind, name=entry.name
        )
    values: dict[str, Any] = {**contents.constants, **rows}
    for node in _needed(contents, wanted):
        terms.where = node.label
        inputs = [_given(node, name, values) for name in node.inputs]
        try:
            made = _made(Call(node, inputs, terms, contents.opset, batch))
        except ValueError as error:
            if len(wanted) == 1 or isinstance(error, ModelFileError):
                raise
            raise ValueError(
                f"{error}. `outputs` names the outputs to read, of {', '.join(wanted)}"
            ) from None
        if not node.outputs:
            raise ModelFileError(f"{node.label}: it has no output")
        values[node.outputs[0]] = made
    return rows, values


def _batch(inputs: Sequence[Entry]) -> int | None:
    """The number of rows that inputs have in the file."""
    fixed = {entry.shape[0] for entry in inputs if entry.shape} - {None}
    if len(fixed) > 1:
        raise ValueError(
            f"inputs: expected one number of rows, the first axis, got {sorted(map(str, fixed))}"
        )
    return next(iter(fixed), None)


def _given(node: Node, name: str, values: dict[str, Any]) -> Value | None:
    if not name:
        return None
    if name not in values:
        raise ValueError(f"{node.label}: it needs {name!r}, a second output of another node")
    found: Value = values[name]
    return found


def _made(call: Call) -> Value:
    op = call.node.op
    of_rows = any(isinstance(value, Term) for value in call.inputs)
    if op not in READERS and (of_rows or op not in _CONSTANT):
        told = elsewhere.advice("layer", op)
        raise call.refusal(f"fastnn has no layer for {op}" + (f"; {told}" if told else ""))
    if not of_rows:
        return fold(call)
    made = READERS[op](call)
    call.finish()
    return made


_CONSTANT = ("Constant", "ConstantOfShape", "Range", "Gather", "Slice")


def _output(values: dict[str, Any], name: str) -> Term:
    value = values.get(name)
    if not isinstance(value, Term):
        why = "it is a second output of a node" if value is None else "it depends on no input"
        raise ValueError(f"output {name!r}: {why}")  # noqa: TRY004 - the file is at fault, no argument
    if value.kind != "f":
        raise ValueError(
            f"output {name!r}: {value.where} gives integers, and models of fastnn give floats"
        )
    return value


def _dtype(contents: Contents) -> str:
    floats = {e.dtype for e in contents.inputs if e.dtype in ("float16", "float32", "float64")}
    if not floats:  # images of integers: the weights tell
        arrays = [array for array in contents.constants.values() if array.dtype.kind == "f"]
        floats = {array.dtype.name for array in arrays}
    return "float64" if floats == {"float64"} else "float32"


def _input(entry: Entry, every: Sequence[Entry]) -> Symbol:
    shape: Any = entry.shape[1:] or (1,)
    small = entry.dtype in ("float16", "bfloat16", "float32", "float64")
    # Names of layers have no slash; an input that would get the name of another is numbered.
    name = entry.name.replace("/", "_")
    others = [other.name.replace("/", "_") for other in every if other is not entry]
    taken = name != entry.name and name in others
    return Input(shape, dtype=None if small else entry.dtype, name=None if taken else name)


def _apart(made: Sequence[Symbol]) -> list[Symbol]:
    """Outputs that are inputs, or the same as others, come from layers of their own."""
    found: list[Symbol] = []
    for symbol in made:
        own = isinstance(symbol.layer, InputLayer) or any(symbol is other for other in found)
        found.append(Activation("linear")(symbol) if own else symbol)
    return found


def _model(
    input_names: Sequence[str],
    inputs: Sequence[Symbol],
    output_names: Sequence[str],
    outputs: Sequence[Symbol],
    dtype: str,
    name: str | None,
) -> Model:
    chain = _chain(inputs[0], outputs[0]) if len(inputs) == len(outputs) == 1 else None
    if chain is not None:
        return Sequential([inputs[0], *chain], dtype=dtype, name=name)
    ins: Any = inputs[0] if len(inputs) == 1 else dict(zip(input_names, inputs, strict=True))
    outs: Any = outputs[0] if len(outputs) == 1 else dict(zip(output_names, outputs, strict=True))
    return Model(ins, outs, dtype=dtype, name=name)


def _chain(start: Symbol, end: Symbol) -> list[Layer] | None:
    """The layers from one symbol to another, or None if they are no chain."""
    layers: list[Layer] = []
    while end is not start:
        if len(end.inputs) != 1 or end.layer.merges or end.layer in layers:
            return None
        layers.append(end.layer)
        (end,) = end.inputs
    return layers[::-1]
