"""Files that fastnn wrote come back as the model that they were."""

from __future__ import annotations

import numpy as np
import pytest
import travelling
from onnx_files import CLOSE, kinds, near

import fastnn
from fastnn import layers
from fastnn.exports.onnx import LAYERS

# Layers that come back as something else: nothing, a part of the Dense beside them, several layers.
AS_OTHERS = {
    **dict.fromkeys(("AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"), "of training"),
    **dict.fromkeys(("Flatten", "Identity", "InputLayer", "Reshape"), "without an operation here"),
    **dict.fromkeys(("BatchNormalization", "Normalization", "Scale"), "constants of each column"),
    **dict.fromkeys(("ReLU", "Softmax"), "an Activation"),
    "Average": "a sum and a quotient",
    "GroupedDense": "a Dense with a kernel of blocks",
    "Dot": "a product and a sum, which is a Dense of ones",
}


@pytest.mark.parametrize(
    "cls", sorted({*travelling.CLASSES} - {layers.Operation}, key=str), ids=lambda cls: cls.__name__
)
def test_each_layer_comes_back(cls, tmp_path):
    """Every layer that there is but a function's: none is without a form."""
    assert cls in LAYERS
    for dtype in ("float32", "float64"):
        model, inputs = travelling.of_class(cls, dtype)
        path = tmp_path / "model.onnx"
        model.export_onnx(path)
        back = fastnn.from_onnx(path)
        x = inputs[0] if len(inputs) == 1 else dict(zip(back.input, inputs, strict=True))
        assert back.dtype == dtype
        close = CLOSE if dtype == "float32" else 1e-7
        near(back.predict(x), travelling.predicted(model, inputs), close)
        assert (cls.__name__ in kinds(back)) == (cls.__name__ not in AS_OTHERS)
        if AS_OTHERS.get(cls.__name__) != "constants of each column" and cls is not layers.Dot:
            assert len(back.weights) == len(model.weights)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_glu_comes_back(dtype, tmp_path):
    made = [layers.Input((4,)), layers.Dense(6), layers.Activation("glu"), layers.Dense(2)]
    model = travelling.with_weights(fastnn.Sequential(made, dtype=dtype))
    model.export_onnx(tmp_path / "model.onnx")
    back = fastnn.from_onnx(tmp_path / "model.onnx")
    assert [layer.activation for layer in back.layers] == ["linear", "glu", "linear"]
    x = travelling.rows(4, dtype=dtype)
    np.testing.assert_array_equal(back.predict(x), model.predict(x))


def test_constants_of_each_column_stand_alone(tmp_path):
    """Where no Dense is beside them they are a layer that training leaves alone, for any number."""
    for cls in (layers.BatchNormalization, layers.Normalization):
        made = [layers.Input((5000,)), layers.Activation("tanh"), cls(), layers.Activation("relu")]
        model = travelling.with_weights(fastnn.Sequential(made))
        model.export_onnx(tmp_path / "model.onnx")
        back = fastnn.from_onnx(tmp_path / "model.onnx")
        assert kinds(back)[1] == "BatchNormalization"
        assert back.trainable_variables == []
        x = travelling.rows(5000)
        near(back.predict(x), model.predict(x))


# Activations that come back as several layers, where the file has them in single operations.
AS_SEVERAL = ("sparse_plus", "sparse_sigmoid")
# Those of one operation for float32 alone, from some version on.
AS_ONE_FROM = {"gelu_tanh": 20, "mish": 18}
AS_ONE_IN_FLOAT32 = ("selu", "celu", "hard_silu", "hard_sigmoid")


@pytest.mark.parametrize("activation", [*travelling.ACTIVATIONS, *travelling.WITH_PARAMETERS])
def test_each_activation_comes_back(activation, tmp_path):
    """As the activation of a Dense, also where it is written in single operations."""
    name = activation.partition("(")[0]
    for dtype in ("float32", "float64"):
        model = travelling.chain([activation, activation], dtype)
        x, path = travelling.rows(6, dtype=dtype), tmp_path / "model.onnx"
        expected = model.predict(x)
        for opset in (17, 18, 20):
            model.export_onnx(path, opset=opset)
            back = fastnn.from_onnx(path)
            double = dtype == "float64"
            few = double and name in (*AS_ONE_FROM, *AS_ONE_IN_FLOAT32)
            if few or name in AS_SEVERAL or opset < AS_ONE_FROM.get(name, 0):
                near(back.predict(x), expected, 1e-12 if double else CLOSE)
                continue
            # Below its threshold this relu is 0, as that is.
            same = {"relu(threshold=0.75)": "threshold(threshold=0.75)"}.get(activation, activation)
            assert [layer.activation for layer in back.layers] == [same] * 2
            assert [layer.name for layer in back.layers] == [layer.name for layer in model.layers]
            for a, b in zip(back.get_weights(), model.get_weights(), strict=True):
                np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(back.predict(x), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_of_activations_come_back(dtype, tmp_path):
    made = [layers.LeakyReLU(0.07), layers.ELU(2.5), layers.ReLU(negative_slope=0.4)]
    for layer in made:
        model = fastnn.Sequential([layers.Input((5,)), layer], dtype=dtype)
        model.export_onnx(tmp_path / "model.onnx")
        x = travelling.rows(5, dtype=dtype)
        (back,) = fastnn.from_onnx(tmp_path / "model.onnx").layers
        np.testing.assert_array_equal(np.asarray(back(x)), model.predict(x))


# Layers with options that change what they compute, and rows for them.
OPTIONS = {
    "epsilon": (layers.RMSNormalization(epsilon=0.3), (6,)),
    "groups": (layers.GroupNormalization(3, epsilon=0.2), (6,)),
    "groups of one": (layers.GroupNormalization(1, center=False), (6,)),
    "no gamma": (layers.GroupNormalization(2, scale=False), (6,)),
    "neither": (layers.GroupNormalization(2, center=False, scale=False), (6,)),
    "shared slopes": (layers.PReLU(shared_axes=[1]), (2, 3)),
    "one slope": (layers.PReLU(shared_axes=[1]), (6,)),
    "three axes": (layers.Permute((3, 1, 2)), (2, 3, 4)),
    "back to front": (layers.Permute((4, 3, 2, 1)), (2, 3, 4, 2)),
}
ENCODED = {
    "count": (layers.CategoryEncoding(5, "count"), 4),
    "multi_hot": (layers.CategoryEncoding(5), 4),
    "of one": (layers.CategoryEncoding(5), 1),
    "one_hot": (layers.CategoryEncoding(5, "one_hot"), 4),
    "one_hot of one": (layers.CategoryEncoding(5, "one_hot"), 1),
    "embedding": (layers.Embedding(5, 3), 4),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", [*OPTIONS, *ENCODED])
def test_options_of_layers_come_back(case, dtype, tmp_path):
    if case in OPTIONS:
        layer, shape = OPTIONS[case]
        x = travelling.rows(*shape, dtype=dtype)
    else:
        layer, columns = ENCODED[case]
        x, shape = np.random.default_rng(0).integers(0, 5, (9, columns)), (columns,)
    layer = type(layer).from_config({**layer.get_config(), "name": None})
    model = travelling.with_weights(fastnn.Sequential([layers.Input(shape), layer], dtype=dtype))
    for input_dtype in (None, "int64") if case in ENCODED else (None,):
        model.export_onnx(tmp_path / "model.onnx", input_dtype=input_dtype)
        back = fastnn.from_onnx(tmp_path / "model.onnx")
        other = {"groups of one": "LayerNormalization", "one slope": "LeakyReLU"}.get(case, "")
        assert {type(layer).__name__, other} & {*kinds(back)}
        assert "Dense" not in kinds(back)
        near(back.predict(x), model.predict(x), CLOSE if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("center", "scale"), [(True, True), (True, False), (False, False)])
def test_layer_normalization_comes_back(center, scale, dtype, tmp_path):
    layer = layers.LayerNormalization(epsilon=0.3, center=center, scale=scale)
    model = fastnn.Sequential([layers.Input((5,)), layer], dtype=dtype)
    travelling.with_weights(model).export_onnx(tmp_path / "model.onnx")
    back = fastnn.from_onnx(tmp_path / "model.onnx")
    assert kinds(back) == ["LayerNormalization"]
    assert back.layers[0].epsilon == 0.3
    x = travelling.rows(5, dtype=dtype)
    near(back.predict(x), model.predict(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_graph_with_a_shared_layer_comes_back(dtype, tmp_path):
    model, inputs = travelling.graph(dtype)
    path = tmp_path / "model.onnx"
    model.export_onnx(path)
    back = fastnn.from_onnx(path)
    got = back.predict(dict(zip(("left", "right"), inputs, strict=True)))
    near(got, travelling.predicted(model, inputs))
    assert {layer.name for layer in back.layers} >= {"shared", "low", "level", "answer"}
    assert len(back.weights) == len(model.weights)


def test_a_chain_comes_back_and_trains(tmp_path):
    model = travelling.everything()
    model.export_onnx(tmp_path / "model.onnx")
    back = fastnn.from_onnx(tmp_path / "model.onnx")
    assert isinstance(back, fastnn.Sequential)
    x = travelling.rows(3, 4)
    near(back.predict(x), model.predict(x))
    back.compile("adam", "sparse_categorical_crossentropy")
    y = np.arange(9) % 4
    history = back.fit(x, y, epochs=20, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_several_outputs_of_models_in_a_model_come_back(tmp_path):
    entry = fastnn.Input((6,))
    h = layers.Dense(5, "tanh")(entry)
    part = fastnn.Model(entry, {"a": layers.Dense(4, "softmax")(h), "b": layers.Dense(3)(h)})
    x = fastnn.Input((6,), name="x")
    found = part(x)
    model = fastnn.Model(x, {"p": layers.Dense(2, "sigmoid")(found["b"]), "q": found["a"], "r": x})
    path = tmp_path / "model.onnx"
    model.export_onnx(path)
    rows = travelling.rows(6)
    back, wanted = fastnn.from_onnx(path), model.predict(rows)
    for name, value in back.predict(rows).items():
        near(value, wanted[name])
    near(fastnn.from_onnx(path, outputs="q").predict(rows), wanted["q"])
    assert list(fastnn.from_onnx(path, outputs=["q", "p"]).predict(rows)) == ["q", "p"]
    for wrong in ("z", ["q", "q"], []):
        with pytest.raises(ValueError, match="outputs: expected names"):
            fastnn.from_onnx(path, outputs=wrong)
