"""Files of ONNX made node by node, and their models beside ONNX Runtime: what the tests of from_onnx share."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

FLOAT, DOUBLE, INT64 = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.INT64,
)
CLOSE = 1e-6  # a share of the largest output


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs.split(), [output], **attributes)


def proto_of(nodes, constants=None, inputs=None, outputs=("y",), opset=17, dtype=FLOAT):
    """A model; `inputs`: shapes of rows by name, of four columns as a default."""
    inputs = {"x": (4,)} if inputs is None else inputs
    constants = constants or {}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(n, dtype, ["batch", *s]) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, dtype, None) for n in outputs],
        [
            tensor
            if isinstance(tensor, onnx.TensorProto)
            else numpy_helper.from_array(np.asarray(tensor), name)
            for name, tensor in constants.items()
        ],
    )
    sets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


def saved(tmp_path, proto):
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def session(path):
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def near(got, expected, tolerance=CLOSE):
    assert got.shape == expected.shape
    bound = tolerance * max(1.0, float(np.abs(expected).max(initial=0)))
    assert np.abs(got - expected).max(initial=0) <= bound


def same(path, feeds, tolerance=CLOSE, **options):
    """The model of a file, which gives what the runtime gives."""
    model = fastnn.from_onnx(path, **options)
    running = session(path)
    names = [value.name for value in running.get_outputs()]
    if "outputs" in options:
        names = [options["outputs"]]
    expected = running.run(names, feeds)
    x = feeds if len(feeds) > 1 else next(iter(feeds.values()))
    got = model.predict(x)
    found = [got[name] for name in names] if len(names) > 1 else [got]
    for a, b in zip(found, expected, strict=True):
        near(a, b.reshape(-1, 1) if b.ndim == 1 else b, tolerance)
    return model


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def numbers(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).normal(0.2, 1.0, shape).astype(dtype)


X = numbers(7, 4, seed=1)
K, B = numbers(4, 3, seed=2), numbers(3, seed=3)
