"""Files of ONNX: the checker of onnx takes them, and ONNX Runtime gives what `predict` gives."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest
import travelling

import fastnn
from fastnn import layers

# A share of the largest output: the runtime sums in another order, and has functions of its own.
TOLERANCE = 1e-5


@pytest.fixture
def onnx():
    return pytest.importorskip("onnx")


def session(path):
    runtime = pytest.importorskip("onnxruntime")
    return runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def checked(onnx, path):
    """The model in the file, after the checks of its types and shapes."""
    onnx.checker.check_model(str(path), full_check=True)
    return onnx.load(str(path))


def same(onnx, tmp_path, model, inputs, **options):
    path = tmp_path / "model.onnx"
    model.export_onnx(path, **options)
    proto = checked(onnx, path)
    running = session(path)
    names = [value.name for value in running.get_inputs()]
    for count in (9, 1, 0):
        few = [x[:count] for x in inputs]
        (got,) = running.run(None, dict(zip(names, few, strict=True)))
        expected = travelling.predicted(model, inputs)[:count]
        assert got.shape == expected.shape
        if count:
            travelling.near(got, expected, TOLERANCE)
    return proto


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cls", travelling.CLASSES, ids=lambda cls: cls.__name__)
def test_each_layer_goes_or_is_refused_by_name(onnx, cls, dtype, tmp_path):
    model, inputs = travelling.of_class(cls, dtype)
    from fastnn.exports.onnx import LAYERS

    if cls in LAYERS:
        same(onnx, tmp_path, model, inputs)
        return
    with pytest.raises(ValueError, match=f"ONNX has no form of {cls.__name__}"):
        model.export_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("opset", [17, 18, 20])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", [*travelling.ACTIVATIONS, *travelling.WITH_PARAMETERS])
def test_each_activation(onnx, activation, dtype, opset, tmp_path):
    model = travelling.chain([activation, activation], dtype)
    same(onnx, tmp_path, model, [travelling.rows(6, dtype=dtype)], opset=opset)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_glu(onnx, dtype, tmp_path):
    model = fastnn.Sequential([layers.Input((6,)), layers.Activation("glu")], dtype=dtype)
    same(onnx, tmp_path, model, [travelling.rows(6, dtype=dtype)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_of_activations(onnx, dtype, tmp_path):
    x = travelling.rows(5, dtype=dtype)
    for layer in (layers.LeakyReLU(0.07), layers.ELU(2.5), layers.ReLU(negative_slope=0.4)):
        model = fastnn.Sequential([layers.Input((5,)), layer], dtype=dtype)
        same(onnx, tmp_path, model, [x])


@pytest.mark.parametrize("opset", [17, 18, 22])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("center", "scale"), [(True, True), (True, False), (False, False)])
def test_layer_normalization_has_its_epsilon(onnx, center, scale, dtype, opset, tmp_path):
    layer = layers.LayerNormalization(epsilon=0.3, center=center, scale=scale)
    model = fastnn.Sequential([layers.Input((5,)), layer], dtype=dtype)
    same(onnx, tmp_path, travelling.with_weights(model), [travelling.rows(5, dtype=dtype)])
    same(onnx, tmp_path, model, [travelling.rows(5, dtype=dtype)], opset=opset)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_graph_of_two_inputs_with_a_shared_layer(onnx, dtype, tmp_path):
    model, inputs = travelling.graph(dtype)
    proto = same(onnx, tmp_path, model, inputs)
    assert [value.name for value in proto.graph.input] == ["left", "right"]
    sizes = [
        [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*proto.graph.input, *proto.graph.output)
    ]
    assert sizes == [["batch", 4], ["batch", 2, 3], ["batch", 3]]
    assert [value.name for value in proto.graph.output] == ["answer"]
    names = [tensor.name for tensor in proto.graph.initializer]
    assert names.count("shared/kernel") == 1
    kernels = [node.input[1] for node in proto.graph.node if node.op_type == "Gemm"]
    assert kernels.count("shared/kernel") == 3
    weights = sum(name.endswith(("kernel", "bias", "gamma", "beta")) for name in names)
    assert weights == len(model.weights)


def test_rows_of_several_axes_are_joined_and_spread(onnx, tmp_path):
    """Axes of rows are aligned at the right, and the batch stays the first axis."""
    one, many, flat = fastnn.Input((1,)), fastnn.Input((3, 4)), fastnn.Input((12,))
    joined = layers.Concatenate(axis=1)([many, layers.Reshape((3, 4))(flat)])
    h = layers.Add()([one, joined])
    h = layers.Maximum()([layers.Reshape((1, 1))(one), h, layers.Reshape((1,))(one)])
    model = fastnn.Model([one, many, flat], h)
    inputs = [travelling.rows(1), travelling.rows(3, 4), travelling.rows(12)]
    assert travelling.predicted(model, inputs).shape == (9, 6, 4)
    same(onnx, tmp_path, model, inputs)


def test_names(onnx, tmp_path):
    model, inputs = travelling.graph()
    named = {"input_names": ["a", "b"], "output_names": "y"}
    proto = same(onnx, tmp_path, model, inputs, **named)
    assert [value.name for value in proto.graph.input] == ["a", "b"]
    assert [value.name for value in proto.graph.output] == ["y"]
    for wrong in (
        {"input_names": ["a"]},
        {"input_names": ["a", "a"]},
        {"input_names": ["a", ""]},
        {"output_names": ["a", "b"]},
        {"input_names": ["a", "b"], "output_names": ["a"]},
    ):
        with pytest.raises(ValueError, match="put_names"):
            model.export_onnx(tmp_path / "wrong.onnx", **wrong)
    assert not (tmp_path / "wrong.onnx").exists()


def test_names_that_are_taken(onnx, tmp_path):
    """An input may be named as a layer, and a layer as a constant of another."""
    x = fastnn.Input((4,), name="dense")
    h = layers.Dense(4, "relu", name="dense_1")(x)
    model = fastnn.Model({"dense/kernel": x}, layers.Dense(3, name="constant")(h))
    path = tmp_path / "model.onnx"
    model.export_onnx(path)
    checked(onnx, path)
    rows = travelling.rows(4)
    (got,) = session(path).run(None, {"dense/kernel": rows})
    travelling.near(got, model.predict({"dense/kernel": rows}), TOLERANCE)


@pytest.mark.parametrize("only", [layers.Dropout(0.5), layers.Flatten(), layers.Rescaling(1.0)])
def test_a_model_that_changes_nothing(onnx, only, tmp_path):
    model = fastnn.Sequential([layers.Input((4,)), copy.deepcopy(only)])
    proto = same(onnx, tmp_path, model, [travelling.rows(4)])
    assert [node.op_type for node in proto.graph.node] == ["Identity"]


def test_the_type_of_the_input(onnx, tmp_path):
    model = fastnn.Sequential([layers.Rescaling(1 / 255, input_shape=(2, 2)), layers.Flatten()])
    model.add(layers.Dense(3))
    images = np.arange(9 * 4, dtype=np.uint8).reshape(9, 2, 2) * 7
    same(onnx, tmp_path, model, [images], input_dtype="uint8")
    with pytest.raises(ValueError, match="input_dtype: unknown name 'uint7'"):
        model.export_onnx(tmp_path / "model.onnx", input_dtype="uint7")


def test_a_subclass_and_a_traced_call(onnx, tmp_path):
    class Half(layers.Dense):
        """The same as a Dense of eight units."""

        def __init__(self):
            super().__init__(8, "tanh")

    class Net(fastnn.Model):
        def __init__(self):
            super().__init__()
            self.first, self.last = Half(), layers.Dense(2)

        def call(self, inputs, training=False):
            h = self.first(inputs)
            return self.last(layers.Dropout(0.5)(h, training) + h)

    model = Net()
    with pytest.raises(RuntimeError, match="export_onnx: the model is not built"):
        model.export_onnx(tmp_path / "model.onnx")
    model.build((None, 4))
    same(onnx, tmp_path, model, [travelling.rows(4)])


@pytest.mark.usefixtures("onnx")
def test_a_layer_of_ones_own_is_refused(tmp_path):
    class Twice(layers.Dense):
        def call(self, x, training):
            return super().call(x, training) * 2

    model = fastnn.Sequential([Twice(3, input_shape=(4,), name="own")])
    with pytest.raises(ValueError, match="layer 'own': ONNX has no form of Twice: it computes"):
        model.export_onnx(tmp_path / "model.onnx")


@pytest.mark.usefixtures("onnx")
@pytest.mark.parametrize("opset", [16, 0, 1000, "17", 17.5, True])
def test_other_opsets_are_refused(opset, tmp_path):
    model = travelling.chain(["relu"])
    with pytest.raises((TypeError, ValueError), match="opset: expected an integer"):
        model.export_onnx(tmp_path / "model.onnx", opset=opset)


def test_what_made_the_file(onnx, tmp_path):
    travelling.chain(["relu"]).export_onnx(tmp_path / "model.onnx")
    proto = onnx.load(str(tmp_path / "model.onnx"))
    assert (proto.producer_name, proto.producer_version) == ("fastnn", fastnn.__version__)
    assert [(s.domain, s.version) for s in proto.opset_import] == [("", 17)]
    assert proto.ir_version == 8
    assert proto.graph.name == "sequential"


@pytest.mark.usefixtures("onnx")
def test_the_file_is_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        travelling.chain(["relu"]).export_onnx(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("onnx")
def test_more_weights_than_a_file_holds(tmp_path, monkeypatch):
    monkeypatch.setattr("fastnn.exports.onnx._MOST_BYTES", 100)
    with pytest.raises(ValueError, match=r"has 140 bytes of weights.*at most 100"):
        travelling.chain(["relu"]).export_onnx(tmp_path / "model.onnx")


def test_every_activation_has_a_form():
    from fastnn.exports.onnx_activations import ACTIVATIONS

    assert set(ACTIVATIONS) - {"rectifier", "glu"} == set(travelling.ACTIVATIONS)


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"export_onnx needs onnx: .*pip install '\.\[onnx\]'"):
        travelling.chain(["relu"]).export_onnx(tmp_path / "model.onnx")


def test_several_outputs_of_models_in_a_model(onnx, tmp_path):
    entry = fastnn.Input((6,))
    h = layers.Dense(5, "tanh")(entry)
    made = {"a": layers.Dense(4, "softmax")(h), "b": layers.Dense(3)(h)}
    part = fastnn.Model(entry, made, name="part")
    inputs = fastnn.Input((6,), name="x")
    found = part(inputs)
    model = fastnn.Model(inputs, {"p": layers.Dense(2, "sigmoid")(found["b"]), "q": found["a"]})
    path = tmp_path / "model.onnx"
    model.export_onnx(path)
    checked(onnx, path)
    x = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    p, q = session(path).run(["p", "q"], {"x": x})
    wanted = model.predict(x)
    np.testing.assert_allclose(p, wanted["p"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(q, wanted["q"], rtol=1e-5, atol=1e-6)
    model.export_onnx(path, output_names=["one", "two"])
    assert [output.name for output in session(path).get_outputs()] == ["one", "two"]
