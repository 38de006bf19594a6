"""Exported: a model that is written for other programs. The formats are in `fastnn.exports`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from fastnn.exports.graph import Graph, GraphInput, GraphOutput, Node
from fastnn.layers.outputs import Outputs
from fastnn.layers.shape import InputLayer
from fastnn.models.graph import shapes_of
from fastnn.models.nested import parts_in
from fastnn.models.shown import Shown
from fastnn.words import keywords

# By the function that writes it.
_FORMATS = {
    "export_onnx": "ONNX",
    "to_torch": "PyTorch",
    "to_sklearn": "an MLP of scikit-learn",
    **dict.fromkeys(
        ("to_keras", "save_keras", "save_keras_weights", "load_keras_weights"), "Keras"
    ),
}


def graph_of(model: Shown, doing: str) -> Graph:
    """The graph of a model, which must be built, for writers.

    Raises:
        ValueError: a layer or a model in it is no graph of layers.
        RuntimeError: the model is not built, or has no graph; the message begins with `doing`.
    """
    model._check_traces(doing)
    state = model._state.now
    if state.built is None and model._is_built_by_calls():
        parts = parts_in(state) if model._steps is None else model._steps.parts
        part = next((part for part in parts if getattr(part, "opaque", True) is not None), model)
        why = "it computes with more than layers" if model._steps is None else model._steps.why
        raise ValueError(
            f"layer {part.name!r}: {_FORMATS.get(doing, doing)} has no form of {type(part).__name__}: "
            f"{why}"
        )
    if state.built is None or not state.calls:
        raise RuntimeError(
            f"{doing}: the model is not built; give input_shape to its first layer, or call build"
        )
    inputs = state.inputs or (state.built.shapes[0],)
    shapes = shapes_of(state.layers, state.calls, inputs)
    count = len(inputs)
    names = [*model._input_labels, *[""] * count][:count]
    tensors = list(range(count))  # of each tensor of the state, that of the graph
    nodes: list[Node] = []
    for i, call in enumerate(state.calls):
        layer = state.layers[call.layer]
        if isinstance(layer, InputLayer):  # the first of a Sequential, which is its input
            names[call.inputs[0]] = layer.name
            tensors.append(tensors[call.inputs[0]])
            continue
        if isinstance(layer, Outputs):  # several outputs side by side: here each is one
            break
        given = tuple(tensors[j] for j in call.inputs)
        tensors.append(count + len(nodes))
        nodes.append(Node(layer, given, shapes[count + i]))
    default = "input" if count == 1 else "input_{}"
    entries = [GraphInput(name or default.format(i), inputs[i]) for i, name in enumerate(names)]
    outputs = [tensors[-1]]
    output_names = [nodes[-1].layer.name]
    if state.form.kind is not None:
        outputs = [tensors[j] for j in state.calls[-1].inputs]
        output_names = list(model._output_names())
    return Graph(
        model.name,
        model._agreed_dtype(state.layers, parts_in(state)),
        tuple(entries),
        tuple(nodes),
        tuple(map(GraphOutput, output_names, outputs)),
    )


class Exported(Shown):
    """A model that other programs can run."""

    @keywords()
    def export_onnx(
        self,
        path: str | os.PathLike[str],
        *,
        opset: int = 17,
        input_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        input_dtype: str | None = None,
    ) -> None:
        """Writes the model as a file of ONNX, which gives what `predict` gives.

            >>> model = fastnn.Sequential([fastnn.Input((1,)), fastnn.layers.Dense(1)])
            >>> model.set_weights([[[3.0]], [1.0]])
            >>> model.export_onnx("line.onnx")
            >>> import onnxruntime
            >>> session = onnxruntime.InferenceSession("line.onnx", providers=["CPUExecutionProvider"])
            >>> session.run(None, {session.get_inputs()[0].name: np.ones((2, 1), "float32")})[0].tolist()
            [[4.0], [4.0]]

        The number of rows is left open, as the dimension "batch". Each input of the model is one of
        the file, (batch, ...); layers that are shared share their weights there, too. Dropout is left
        out. At any moment `path` is the file that was there before, or the new one. It needs the
        package onnx (the extra `onnx`).

        Args:
            path: the file, mostly with the suffix ".onnx".
            opset: the version of the operations, 17 or later.
            input_names: names of the inputs; None: those of the model's Inputs, "input" without one.
            output_names: names of the outputs; None: those of the layers that make them.
            input_dtype: the type of the inputs, for example "uint8" for images; None: that of the
                model. Outputs have the model's type.

        Raises:
            RuntimeError: the model is not built.
            ValueError: a layer has no form in ONNX; the message names it. A wrong opset or name. The
                weights have more than 2 GB.
            ImportError: onnx is not installed.
            OSError: the file cannot be written.
        """
        from fastnn.exports.onnx import to_onnx
        from fastnn.files.atomic import replacing

        made = to_onnx(
            graph_of(self, "export_onnx"),
            opset=opset,
            input_names=input_names,
            output_names=output_names,
            input_dtype=input_dtype,
        ).SerializeToString()
        with replacing(path) as file:
            file.write(made)
