"""Files of ONNX that are damaged, or made to do harm, are refused by their fault."""

from __future__ import annotations

import contextlib
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_files import B, K, X, near, node, numpy_helper, onnx, proto_of, saved

import fastnn


def good():
    return proto_of([node("Gemm", "x k b", "h"), node("Relu", "h", "y")], {"k": K, "b": B})


def refused(tmp_path, proto, why):
    with pytest.raises(fastnn.ModelFileError, match=why):
        fastnn.from_onnx(saved(tmp_path, proto))


def test_files_that_are_cut(tmp_path):
    """At every length: the model, or an error of a known kind."""
    whole = good().SerializeToString()
    path = tmp_path / "model.onnx"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            model = fastnn.from_onnx(path)
        except ValueError:
            continue
        # Only the last field is gone, the version of operations that it has none of.
        assert length > len(whole) - 20
        near(model.predict(X), np.maximum(X @ K + B, 0))
    for data in (b"", b"\x00" * 40, b"\xff" * 40, b"not a model"):
        path.write_bytes(data)
        with pytest.raises(fastnn.ModelFileError, match="is no file of ONNX"):
            fastnn.from_onnx(path)
    with pytest.raises(FileNotFoundError):
        fastnn.from_onnx(tmp_path / "absent.onnx")


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_bytes_that_are_changed(tmp_path, data):
    whole = bytearray(good().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes(whole))
    with contextlib.suppress(ValueError):
        fastnn.from_onnx(path)


def test_values_that_no_node_makes(tmp_path):
    proto = good()
    proto.graph.node[1].input[0] = "nothing"
    refused(tmp_path, proto, r"node 'y' \(Relu\): the value 'nothing' is no initializer")
    proto = good()
    del proto.graph.initializer[0]
    refused(tmp_path, proto, r"node 'h' \(Gemm\): the value 'k' is no initializer")
    proto = good()
    proto.graph.output[0].name = "absent"
    refused(tmp_path, proto, "output 'absent': no node makes it")


def test_circles_and_values_that_are_made_twice(tmp_path):
    circle = [node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")]
    refused(tmp_path, proto_of(circle), r"node 'a' \(Add\): .* later node 'b' .*circle")
    own = [node("Add", "x y", "y")]
    refused(tmp_path, proto_of(own), "circle")
    twice = [node("Relu", "x", "y"), node("Tanh", "x", "y")]
    refused(tmp_path, proto_of(twice), "'y' is made twice")
    refused(tmp_path, proto_of([node("Relu", "x", "x")], outputs=("x",)), "'x' is made twice")


def test_tensors_that_are_damaged(tmp_path):
    for change, why in (
        (lambda t: t.dims.__setitem__(0, 2**40), "initializer 'k': the shape"),
        (lambda t: t.dims.__setitem__(0, -4), "initializer 'k': the shape"),
        (lambda t: t.dims.__setitem__(0, 5), "has 60 bytes, got 48"),
        (lambda t: t.dims.__setitem__(0, 3), "has 36 bytes, got 48"),
        (lambda t: t.dims.extend([1] * 60), "initializer 'k': the shape"),
        (lambda t: setattr(t, "raw_data", b"123"), "has 48 bytes, got 3"),
        (lambda t: t.ClearField("raw_data"), "has 12 numbers, got 0"),
        (lambda t: setattr(t, "data_type", 99), "no type of the number 99"),
    ):
        proto = good()
        change(proto.graph.initializer[0])
        refused(tmp_path, proto, why)
    proto = good()
    proto.graph.initializer[0].data_type = onnx.TensorProto.STRING
    with pytest.raises(ValueError, match="the type STRING is not in fastnn"):
        fastnn.from_onnx(saved(tmp_path, proto))
    proto = good()
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(K * np.float32("nan"), "k"))
    with pytest.raises(ValueError, match="not finite"):
        fastnn.from_onnx(saved(tmp_path, proto))


def test_shapes_that_are_huge(tmp_path):
    proto = good()
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**62
    refused(tmp_path, proto, "input 'x': it has an axis of")
    many = [node("ConstantOfShape", "s", "c"), node("Add", "x c", "y")]
    with pytest.raises(ValueError, match="too large"):
        fastnn.from_onnx(saved(tmp_path, proto_of(many, {"s": np.array([2**40, 4])})))
    wide = [node("Expand", "x s", "y")]
    with pytest.raises(ValueError, match="too large"):
        fastnn.from_onnx(saved(tmp_path, proto_of(wide, {"s": [1, 2**50, 4]}, {"x": (1, 4)})))


def test_opsets(tmp_path):
    proto = good()
    del proto.opset_import[:]
    refused(tmp_path, proto, "which opset")
    for version in (6, 1000):
        with pytest.raises(ValueError, match="opset_import: expected an opset from 7 to"):
            fastnn.from_onnx(saved(tmp_path, proto_of([node("Relu", "x", "y")], opset=version)))


def external(location, **more):
    proto = good()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    return proto


def test_data_beside_the_file(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"????" + K.tobytes())
    model = fastnn.from_onnx(saved(folder, external("weights.bin", offset=4, length=48)))
    np.testing.assert_array_equal(model.get_weights()[0], K)
    (tmp_path / "secret.bin").write_bytes(K.tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    for location in ("../secret.bin", str(tmp_path / "secret.bin"), "link.bin", "", "a/../../b"):
        refused(folder, external(location), "not in the folder of the model")
    for more, why in (
        ({"offset": 8}, "ends before"),
        ({"offset": -1}, "expected 48 bytes"),
        ({"length": 2**60}, "expected 48 bytes"),
        ({"offset": 2**70}, "ends before"),
        ({"offset": "four"}, "no integers"),
    ):
        refused(folder, external("weights.bin", **more), why)
    refused(folder, external("absent.bin"), "is no file")
    refused(folder, external("."), "is no file")


def test_inputs_whose_columns_are_open(tmp_path):
    proto = good()
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "n"
    with pytest.raises(ValueError, match=r"input 'x': expected a shape \(batch, \.\.\.\)"):
        fastnn.from_onnx(saved(tmp_path, proto))


def test_without_the_package(tmp_path, monkeypatch):
    path = saved(tmp_path, good())
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"from_onnx needs onnx: .*pip install '\.\[onnx\]'"):
        fastnn.from_onnx(path)
