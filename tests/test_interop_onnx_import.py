"""Models from files of ONNX give what ONNX Runtime gives, and damaged files are refused by their fault."""

from __future__ import annotations

import contextlib
import sys

import numpy as np
import pytest
import travelling
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import layers
from fastnn.exports.onnx import LAYERS

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


# -- files of fastnn's own


# Layers that go and do not come back, and those that become a part of the Dense beside them.
GONE = (
    *(layers.GroupNormalization, layers.RMSNormalization, layers.UnitNormalization),
    *(layers.Embedding, layers.CategoryEncoding, layers.Permute),
)
FOLDED = (layers.BatchNormalization, layers.Normalization)


@pytest.mark.parametrize("cls", GONE)
def test_layers_that_do_not_come_back_are_refused(cls, tmp_path):
    model, _ = travelling.of_class(cls)
    model.export_onnx(tmp_path / "model.onnx")
    with pytest.raises(ValueError, match=r"node '\w+/\w+'"):
        fastnn.from_onnx(tmp_path / "model.onnx")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cls", [c for c in travelling.CLASSES if c in LAYERS and c not in GONE])
def test_each_layer_comes_back(cls, dtype, tmp_path):
    model, inputs = travelling.of_class(cls, dtype)
    path = tmp_path / "model.onnx"
    model.export_onnx(path)
    back = fastnn.from_onnx(path)
    x = inputs[0] if len(inputs) == 1 else dict(zip(back.input, inputs, strict=True))
    assert back.dtype == dtype
    near(
        back.predict(x), travelling.predicted(model, inputs), CLOSE if dtype == "float32" else 1e-7
    )
    folded = 2 + 2 * (cls is layers.BatchNormalization) if cls in FOLDED else 0
    assert len(back.weights) == len(model.weights) - folded


# Activations whose operations are those of several layers here, or of none.
AS_SEVERAL = ("tanh_shrink", "sparse_plus", "sparse_sigmoid", "log_sigmoid")
NOT_BACK = ("threshold", "squareplus")
# Those of one operation for float32 alone, from some version on.
AS_ONE_FROM = {"gelu_tanh": 20, "mish": 18}
AS_ONE_IN_FLOAT32 = ("selu", "celu", "hard_silu", "hard_sigmoid")


@pytest.mark.parametrize("opset", [17, 18, 20, 22])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", travelling.ACTIVATIONS)
def test_each_activation_comes_back(activation, dtype, opset, tmp_path):
    """As the activation of a Dense, also where it is written in single operations."""
    model = travelling.chain([activation, activation], dtype)
    path = tmp_path / "model.onnx"
    model.export_onnx(path, opset=opset)
    if activation in NOT_BACK or (activation, dtype) == ("softsign", "float64"):
        with pytest.raises(ValueError, match=r"has no layer for it|a value with rows"):
            fastnn.from_onnx(path)
        return
    back = fastnn.from_onnx(path)
    x = travelling.rows(6, dtype=dtype)
    if activation in AS_SEVERAL or (activation in AS_ONE_FROM and opset < AS_ONE_FROM[activation]):
        near(back.predict(x), model.predict(x))
        return
    if dtype == "float64" and activation in (*AS_ONE_FROM, *AS_ONE_IN_FLOAT32):
        near(back.predict(x), model.predict(x), 1e-12)
        return
    assert [layer.activation for layer in back.layers] == [activation] * 2
    assert [layer.name for layer in back.layers] == [layer.name for layer in model.layers]
    for a, b in zip(back.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(back.predict(x), model.predict(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_of_activations_come_back(dtype, tmp_path):
    made = [layers.LeakyReLU(0.07), layers.ELU(2.5), layers.ReLU(negative_slope=0.4)]
    for layer in made:
        model = fastnn.Sequential([layers.Input((5,)), layer], dtype=dtype)
        model.export_onnx(tmp_path / "model.onnx")
        x = travelling.rows(5, dtype=dtype)
        (back,) = fastnn.from_onnx(tmp_path / "model.onnx").layers
        np.testing.assert_array_equal(np.asarray(back(x)), model.predict(x))


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


# -- graphs by hand


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 2.0), (-1.5, 0.0)])
@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("shape", [(3,), (1, 3), (1,), ()])
def test_gemm(alpha, beta, turned, shape, tmp_path):
    k = np.ascontiguousarray(K.T) if turned else K
    options = {"alpha": alpha, "beta": beta, "transB": turned}
    bias = numbers(*shape, seed=4) if shape else np.float32(0.7)
    nodes = [node("Gemm", "x k b", "y", **options)]
    model = same(saved(tmp_path, proto_of(nodes, {"k": k, "b": bias})), {"x": X})
    assert kinds(model) == ["Dense"]


def test_gemm_of_rows_that_are_added(tmp_path):
    nodes = [node("Gemm", "x k", "h"), node("Gemm", "x k h", "y", beta=0.5)]
    same(saved(tmp_path, proto_of(nodes, {"k": K})), {"x": X})
    wrong = [node("Gemm", "x k", "y", transA=1)]
    with pytest.raises(ValueError, match=r"node 'y' \(Gemm\): transA=1"):
        fastnn.from_onnx(saved(tmp_path, proto_of(wrong, {"k": K})))


def test_what_stands_around_a_product_is_one_dense(tmp_path):
    """Standardization, the product, a bias, batch normalization and the activation."""
    mean, spread = numbers(4, seed=5), np.abs(numbers(4, seed=6)) + 0.5
    statistics = {name: np.abs(numbers(3, seed=7 + i)) + 0.2 for i, name in enumerate("gemv")}
    nodes = [
        node("Sub", "x mean", "a"),
        node("Div", "a spread", "b"),
        node("MatMul", "b k", "c"),
        node("Add", "bias c", "d"),
        node("BatchNormalization", "d g e m v", "f", epsilon=0.1),
        node("Sigmoid", "f", "s"),
        node("Mul", "s f", "y"),
    ]
    constants = {"mean": mean, "spread": spread, "k": K, "bias": B, **statistics}
    model = same(saved(tmp_path, proto_of(nodes, constants)), {"x": X})
    assert kinds(model) == ["Dense"]
    assert model.layers[0].activation == "silu"


def test_standardization_of_large_numbers(tmp_path):
    """Years: x - mean is computed before the product, so that no digits cancel in it."""
    mean = np.array([2000, 1990, 2010, 1980], np.float32)
    spread = np.array([5, 6, 7, 8], np.float32)
    nodes = [node("Sub", "x m", "a"), node("Div", "a s", "b"), node("Gemm", "b k c", "y")]
    constants = {"m": mean, "s": spread, "k": K, "c": B}
    path = saved(tmp_path, proto_of(nodes, constants))
    x = (mean + spread * X).astype(np.float32)
    model = same(path, {"x": x})
    assert [layer.trainable for layer in model.layers] == [False, True]


def test_constants_of_each_column_without_a_product(tmp_path):
    nodes = [node("Relu", "x", "h"), node("Mul", "h s", "a"), node("Add", "a t", "y")]
    constants = {"s": numbers(4, seed=5), "t": numbers(1, 4, seed=6)}
    model = same(saved(tmp_path, proto_of(nodes, constants)), {"x": X})
    assert model.trainable_variables == []
    wide = {"s": numbers(5000), "t": numbers(5000)}
    path = saved(tmp_path, proto_of(nodes, wide, {"x": (5000,)}))
    with pytest.raises(ValueError, match=r"node 'y' \(Add\): constants of each column"):
        fastnn.from_onnx(path)


def test_channels_of_images(tmp_path):
    nodes = [
        node("Cast", "x", "f", to=FLOAT),
        node("Sub", "f mean", "a"),
        node("Div", "a spread", "b"),
        node("Flatten", "b", "c"),
        node("Gemm", "c k", "y"),
    ]
    constants = {
        "mean": np.array([120, 110, 100], np.float32).reshape(1, 3, 1, 1),
        "spread": np.array([60, 50, 40], np.float32).reshape(3, 1, 1),
        "k": numbers(12, 2),
    }
    proto = proto_of(nodes, constants, {"x": (3, 2, 2)})
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    x = np.random.default_rng(0).integers(0, 255, (6, 3, 2, 2)).astype(np.uint8)
    model = same(saved(tmp_path, proto), {"x": x})
    assert kinds(model) == ["Flatten", "Dense"]


ACTIVATIONS = {
    "Relu": {},
    "LeakyRelu": {"alpha": 0.3},
    "Elu": {"alpha": 1.7},
    "Celu": {"alpha": 1.5},
    "Selu": {},
    "Sigmoid": {},
    "Tanh": {},
    "Softplus": {},
    "Softmax": {"axis": 1},
    "Gelu": {},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.4},
    "HardSwish": {},
    "Mish": {},
    "Abs": {},
    "Neg": {},
    "Identity": {},
}


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_activations_by_their_operations(op, tmp_path):
    nodes = [node("Gemm", "x k b", "h"), node(op, "h", "y", **ACTIVATIONS[op])]
    same(saved(tmp_path, proto_of(nodes, {"k": K, "b": B}, opset=20)), {"x": 3 * X})


@pytest.mark.parametrize(("low", "high"), [(0, 6), (-1, 1), (0, None), (None, 2), (-2, np.inf)])
@pytest.mark.parametrize("opset", [10, 17])
def test_clip(low, high, opset, tmp_path):
    limits = {n: v for n, v in (("min", low), ("max", high)) if v is not None}
    if opset < 11:
        limits = {n: float(min(v, 3.4028234663852886e38)) for n, v in limits.items()}
        nodes, constants = [node("Clip", "x", "y", **limits)], {}
    else:
        names = ["x", "min" if low is not None else "", "max" if high is not None else ""]
        nodes = [helper.make_node("Clip", names, ["y"])]
        constants = {n: np.float32(v) for n, v in limits.items()}
    model = same(saved(tmp_path, proto_of(nodes, constants, opset=opset)), {"x": 5 * X})
    if (low, high) == (0, None):
        assert kinds(model) == ["Activation"]


def spelled(op):
    """Functions in single operations: nodes, constants, and the one layer that they are."""
    c = {"half": 0.5, "one": 1.0, "two": 2.0, "root": 2**0.5, "inverse": 0.5**0.5, "zero": 0.0}
    c |= {"minus": -1.0, "twenty": 20.0, "eps": 1e-5}
    erf = [node("Div", "x root", "a"), node("Erf", "a", "b"), node("Add", "b one", "c")]
    centred = [node("ReduceMean", "x", "m", axes=[-1]), node("Sub", "x m", "d")]
    variance = [
        node("Pow", "d two", "s"),
        node("ReduceMean", "s", "v", axes=[1]),
        node("Add", "v eps", "w"),
        node("Sqrt", "w", "r"),
    ]
    power = [node("Exp", "x", "p"), node("Add", "p one", "q")]
    cases = {
        "gelu, half last": (
            [*erf, node("Mul", "x c", "d"), node("Mul", "d half", "y")],
            "Activation",
        ),
        "gelu, half first": (
            [*erf, node("Mul", "half x", "d"), node("Mul", "d c", "y")],
            "Activation",
        ),
        "gelu, half inside": (
            [*erf, node("Mul", "c half", "d"), node("Mul", "x d", "y")],
            "Activation",
        ),
        "gelu, by a product": (
            [
                node("Mul", "inverse x", "a"),
                node("Erf", "a", "b"),
                node("Add", "one b", "c"),
                node("Mul", "c x", "d"),
                node("Div", "d two", "y"),
            ],
            "Activation",
        ),
        "silu": ([node("Sigmoid", "x", "a"), node("Mul", "a x", "y")], "Activation"),
        "sigmoid": (
            [
                node("Neg", "x", "n"),
                node("Exp", "n", "p"),
                node("Add", "p one", "q"),
                node("Div", "one q", "y"),
            ],
            "Activation",
        ),
        "softplus": ([*power, node("Log", "q", "y")], "Activation"),
        "softplus above a threshold": (
            [
                node("Softplus", "x", "a"),
                node("Greater", "x twenty", "g"),
                node("Where", "g x a", "y"),
            ],
            "Activation",
        ),
        "softmax": (
            [
                node("ReduceMax", "x", "m", axes=[-1]),
                node("Sub", "x m", "a"),
                node("Exp", "a", "p"),
                node("ReduceSum", "p minus_axis", "q"),
                node("Div", "p q", "y"),
            ],
            "Activation",
        ),
        "normalization": ([*centred, *variance, node("Div", "d r", "y")], "LayerNormalization"),
        "normalization by a reciprocal": (
            [*centred, *variance, node("Reciprocal", "r", "i"), node("Mul", "d i", "y")],
            "LayerNormalization",
        ),
    }
    nodes, layer = cases[op]
    used = {name for n in nodes for name in n.input}
    constants = {n: np.float32(v) for n, v in c.items() if n in used}
    if "minus_axis" in used:
        constants["minus_axis"] = np.array([-1])
    return nodes, constants, layer


SPELLED = (
    *("gelu, half last", "gelu, half first", "gelu, half inside", "gelu, by a product", "silu"),
    *("sigmoid", "softplus", "softplus above a threshold", "softmax", "normalization"),
    "normalization by a reciprocal",
)


@pytest.mark.parametrize("op", SPELLED)
def test_functions_in_single_operations(op, tmp_path):
    nodes, constants, layer = spelled(op)
    model = same(saved(tmp_path, proto_of(nodes, constants)), {"x": 2 * X}, 2e-6)
    assert kinds(model) == [layer]


@pytest.mark.parametrize("op", ["gelu, half last", "silu", "sigmoid", "normalization"])
def test_functions_that_are_nearly_known(op, tmp_path):
    """Another constant is another function, which is refused or made of other layers."""
    nodes, constants, layer = spelled(op)
    for name in ("root", "two", "one"):
        if name in constants:
            constants[name] = constants[name] * np.float32(1.5)
            break
    else:
        constants["bend"] = np.float32(0.5)
        nodes.insert(0, node("Mul", "x bend", "bent"))
        nodes[1].input[0] = "bent"
    path = saved(tmp_path, proto_of(nodes, constants))
    try:
        model = same(path, {"x": X})
    except ValueError as error:
        assert "fastnn has no layer" in str(error) or "exponent" in str(error)  # noqa: PT017
    else:
        assert kinds(model) != [layer]


@pytest.mark.parametrize(
    "op", ["Add", "Sub", "Mul", "Max", "Min", "Sum", "Mean"], ids=lambda op: op.lower()
)
def test_rows_that_meet(op, tmp_path):
    nodes = [node("Gemm", "x k", "a"), node("Tanh", "a", "b"), node(op, "a b", "y")]
    same(saved(tmp_path, proto_of(nodes, {"k": K})), {"x": X})
    narrow = [node("Gemm", "x k", "a"), node("Gemm", "x one", "b"), node(op, "b a", "y")]
    same(saved(tmp_path, proto_of(narrow, {"k": K, "one": numbers(4, 1)})), {"x": X})
    twice = [node(op, "x x", "y")]
    same(saved(tmp_path, proto_of(twice)), {"x": X})


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min"])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (3,), (1, 3)])
def test_rows_and_a_constant(op, swapped, shape, tmp_path):
    c = np.abs(numbers(*shape, seed=8)) + np.float32(0.4)
    order = "c a" if swapped else "a c"
    nodes = [node("Gemm", "x k b", "a"), node(op, order, "y")]
    path = saved(tmp_path, proto_of(nodes, {"k": K, "b": B, "c": c}))
    refused = (op == "Div" and swapped) or (op in ("Max", "Min") and c.size > 1)
    if refused:
        with pytest.raises(ValueError, match=rf"node 'y' \({op}\): fastnn has "):
            fastnn.from_onnx(path)
        return
    same(path, {"x": X})


RESHAPES = [
    ("Reshape", (12,), [-1, 3, 4]),
    ("Reshape", (12,), [0, 3, -1]),
    ("Reshape", (3, 4), [0, 0, 2, 2]),
    ("Reshape", (3, 4), [-1, 12]),
    ("Flatten", (3, 4), None),
    ("Squeeze", (1, 4, 1), [1, -1]),
    ("Unsqueeze", (4,), [1, 3]),
    ("Transpose", (4, 1), [0, 2, 1]),
    ("Expand", (1, 4), [1, 3, 1]),
    ("Expand", (1,), [1, 3]),
    ("Tile", (1, 4), [1, 3, 1]),
]


@pytest.mark.parametrize(("op", "shape", "sizes"), RESHAPES, ids=str)
def test_shapes(op, shape, sizes, tmp_path):
    if op == "Transpose":
        nodes, constants = [node(op, "x", "h", perm=sizes)], {}
    elif sizes is None:
        nodes, constants = [node(op, "x", "h")], {}
    else:
        nodes, constants = [node(op, "x s", "h")], {"s": np.array(sizes)}
    nodes.append(node("Relu", "h", "y"))
    path = saved(tmp_path, proto_of(nodes, constants, {"x": shape}))
    same(path, {"x": numbers(7, *shape)})


@pytest.mark.parametrize(
    ("op", "shape", "sizes"),
    [
        ("Reshape", (12,), [3, -1]),
        ("Reshape", (12,), [-1, 6]),
        ("Reshape", (12,), [-1]),
        ("Reshape", (12,), [-1, -1]),
        ("Reshape", (12,), [0, 5]),
        ("Reshape", (12,), [0, -1, -1]),
        ("Reshape", (3, 4), [0, 4, 5]),
        ("Squeeze", (4,), [1]),
        ("Squeeze", (4,), [0]),
        ("Unsqueeze", (4,), [0]),
        ("Expand", (3,), [5, 3]),
        ("Expand", (3,), [2, 1, 3]),
        ("Tile", (3,), [2, 1]),
    ],
    ids=str,
)
def test_shapes_that_mix_rows_are_refused(op, shape, sizes, tmp_path):
    proto = proto_of([node(op, "x s", "y")], {"s": np.array(sizes)}, {"x": shape})
    with pytest.raises(ValueError, match=rf"node 'y' \({op}\)"):
        fastnn.from_onnx(saved(tmp_path, proto))


def test_shapes_that_are_computed(tmp_path):
    """The batch from Shape, as PyTorch writes x.view(x.size(0), -1)."""
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n", axis=0),
        node("Unsqueeze", "n axis", "u"),
        node("Concat", "u rest", "t", axis=0),
        node("Reshape", "x t", "h"),
        node("Gemm", "h k", "y"),
    ]
    constants = {
        "zero": np.array(0),
        "axis": np.array([0]),
        "rest": np.array([-1]),
        "k": numbers(12, 2),
    }
    model = same(
        saved(tmp_path, proto_of(nodes, constants, {"x": (3, 4)})), {"x": numbers(5, 3, 4)}
    )
    assert kinds(model) == ["Flatten", "Dense"]


def test_a_file_that_fixes_the_number_of_rows(tmp_path):
    proto = proto_of([node("Reshape", "x s", "h"), node("Relu", "h", "y")], {"s": [7, 2, 2]})
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 7
    model = same(saved(tmp_path, proto), {"x": X})
    assert model.predict(X[:3]).shape == (3, 2, 2)


def test_values_without_columns_are_rows_of_one_number(tmp_path):
    nodes = [node("Gemm", "x k", "h"), node("Squeeze", "h axis", "s"), node("Sigmoid", "s", "y")]
    constants = {"k": numbers(4, 1), "axis": np.array([-1])}
    same(saved(tmp_path, proto_of(nodes, constants)), {"x": X})


def test_concat(tmp_path):
    nodes = [
        node("Concat", "x z", "a", axis=-1),
        node("Gemm", "a k", "y"),
        node("Concat", "a a", "w", axis=1),
    ]
    proto = proto_of(nodes, {"k": numbers(6, 2)}, {"x": (4,), "z": (2,)}, ("y", "w"))
    same(saved(tmp_path, proto), {"x": X, "z": numbers(7, 2)})
    wrong = proto_of([node("Concat", "x x", "y", axis=0)])
    with pytest.raises(ValueError, match=r"node 'y' \(Concat\)"):
        fastnn.from_onnx(saved(tmp_path, wrong))


def test_a_kernel_that_two_nodes_share(tmp_path):
    nodes = [
        node("Transpose", "k", "t"),
        node("MatMul", "x t", "a"),
        node("Add", "a b", "h"),
        node("Relu", "h", "r"),
        node("MatMul", "r t", "c"),
        node("Add", "c b", "y"),
    ]
    constants = {"k": numbers(4, 4), "b": numbers(4)}
    model = same(saved(tmp_path, proto_of(nodes, constants)), {"x": X})
    assert len(model.weights) == 2


@pytest.mark.parametrize("kind", ["FLOAT16", "BFLOAT16", "DOUBLE", "FLOAT"])
@pytest.mark.parametrize("raw", [False, True])
def test_the_types_of_weights(kind, raw, tmp_path):
    number = getattr(onnx.TensorProto, kind)
    values = np.array([[1.5, -2.0, 0.25]] * 4, np.float32)
    stored = helper.make_tensor("k", number, (4, 3), values.reshape(-1))
    if raw:
        bits = {"FLOAT16": values.astype(np.float16), "DOUBLE": values.astype(np.float64)}
        data = bits.get(kind, values)
        if kind == "BFLOAT16":
            data = (values.view(np.uint32) >> 16).astype(np.uint16)
        stored = helper.make_tensor("k", number, (4, 3), data.tobytes(), raw=True)
    nodes = [node("Cast", "k", "f", to=FLOAT), node("MatMul", "x f", "y")]
    model = fastnn.from_onnx(saved(tmp_path, proto_of(nodes, {"k": stored})))
    np.testing.assert_array_equal(model.get_weights()[0], values)


def test_types_of_the_model(tmp_path):
    proto = proto_of([node("MatMul", "x k", "y")], {"k": K.astype(np.float64)}, dtype=DOUBLE)
    path = saved(tmp_path, proto)
    x = X.astype(np.float64)
    assert same(path, {"x": x}, 1e-14).dtype == "float64"
    assert fastnn.from_onnx(path, dtype="float32", name="small").dtype == "float32"


def test_dropout_and_its_mask(tmp_path):
    nodes = [helper.make_node("Dropout", ["x"], ["h", "mask"]), node("Gemm", "h k", "y")]
    assert kinds(same(saved(tmp_path, proto_of(nodes, {"k": K})), {"x": X})) == ["Dense"]
    proto = proto_of(nodes, {"k": K}, outputs=("mask",))
    with pytest.raises(ValueError, match="output 'mask': it is a second output"):
        fastnn.from_onnx(saved(tmp_path, proto))


@pytest.mark.parametrize(
    ("op", "attributes", "why"),
    [
        ("LogSoftmax", {}, "no layer for LogSoftmax"),
        ("Softmax", {"axis": 0}, "softmax over all columns"),
        ("Tan", {}, "no layer for Tan"),
        ("Erf", {}, "no layer"),
        ("Split", {"axis": 1}, "no layer for Split"),
        ("Cast", {"to": INT64}, "integers"),
        ("LeakyRelu", {"alpha": -0.5}, "slope below zero"),
        ("Relu", {"odd": 3}, "attribute odd=3 is not in fastnn"),
        ("Elu", {"alpha": "text"}, "attribute 'alpha': expected int or float"),
        ("Transpose", {}, "another order"),
        ("ReduceMean", {"axes": [0]}, "joins all numbers of a row"),
        ("ReduceMean", {}, "joins different rows"),
        ("Flatten", {"axis": 0}, "axis: expected 1"),
    ],
)
def test_other_operations_are_refused_by_name(op, attributes, why, tmp_path):
    made = helper.make_node(op, ["x"], ["y"], name="the node", **attributes)
    with pytest.raises(ValueError, match=why) as error:
        fastnn.from_onnx(saved(tmp_path, proto_of([made])))
    assert f"node 'the node' ({op})" in str(error.value)
    assert not isinstance(error.value, fastnn.ModelFileError)


def test_a_value_before_what_is_refused(tmp_path):
    nodes = [node("Gemm", "x k", "logits"), node("LogSoftmax", "logits", "y")]
    path = saved(tmp_path, proto_of(nodes, {"k": K}))
    near(fastnn.from_onnx(path, outputs="logits").predict(X), X @ K)


def test_deep_graphs(tmp_path):
    """Three thousand nodes need no deep recursion."""
    nodes = [node("Tanh" if i % 2 else "Relu", f"v{i}", f"v{i + 1}") for i in range(3000)]
    nodes = [node("Identity", "x", "v0"), *nodes]
    model = fastnn.from_onnx(saved(tmp_path, proto_of(nodes, outputs=("v3000",))))
    assert len(model.layers) == 3000


# -- random graphs


@st.composite
def graphs(draw):
    """Nodes over values of four columns, each made of those before it."""
    count = draw(st.integers(1, 9))
    nodes, constants, names = [], {}, ["x", "z"]
    for i in range(count):
        a, b = draw(st.sampled_from(names)), draw(st.sampled_from(names))
        made, constant = f"v{i}", f"c{i}"
        op = draw(
            st.sampled_from(
                (
                    *("Gemm", "Gemm", "Add", "Sub", "Mul", "Max", "Min", "Mean", "Relu", "Tanh"),
                    *("Sigmoid", "Softmax", "Elu", "LeakyRelu", "LayerNormalization"),
                    *("scale", "shift", "silu", "number", "low"),
                )
            )
        )
        seed = draw(st.integers(0, 99))
        if op == "Gemm":
            shared = draw(st.sampled_from([constant, *(n for n in constants if n[0] == "c")]))
            if constants.get(shared, np.zeros((4, 4))).shape == (4, 4):
                constants.setdefault(shared, 0.5 * numbers(4, 4, seed=seed))
                constants[f"b{i}"] = numbers(4, seed=seed + 1)
                nodes.append(node("Gemm", f"{a} {shared} b{i}", made, transB=seed % 2))
            else:
                nodes.append(node("Neg", a, made))
        elif op in ("scale", "shift"):
            constants[constant] = numbers(4, seed=seed)
            nodes.append(node("Mul" if op == "scale" else "Add", f"{a} {constant}", made))
        elif op in ("number", "low"):
            constants[constant] = numbers(seed=seed) * np.float32(1)
            nodes.append(node("Max" if op == "low" else "Sub", f"{a} {constant}", made))
        elif op == "silu":
            nodes += [node("Sigmoid", a, f"s{i}"), node("Mul", f"s{i} {a}", made)]
        elif op == "LayerNormalization":
            constants[constant] = numbers(4, seed=seed)
            nodes.append(node(op, f"{a} {constant}", made, epsilon=0.1))
        elif op in ("Add", "Sub", "Mul", "Max", "Min", "Mean"):
            nodes.append(node(op, f"{a} {b}", made))
        else:
            nodes.append(node(op, a, made))
        names.append(made)
    outputs = draw(st.lists(st.sampled_from(names[2:]), min_size=1, max_size=3, unique=True))
    return nodes, constants, [*outputs] if names[-1] in outputs else [*outputs, names[-1]]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(graphs())
def test_random_graphs(tmp_path, graph):
    nodes, constants, outputs = graph
    proto = proto_of(nodes, constants, {"x": (4,), "z": (4,)}, outputs)
    feeds = {"x": 0.5 * X, "z": 0.5 * numbers(7, 4, seed=9)}
    same(saved(tmp_path, proto), feeds, 1e-5)


# -- files that are damaged, or made to do harm


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


# -- files of other programs


def torch_models(nn):
    return {
        "norms": [nn.BatchNorm1d(6), nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU()],
        "layer norm": [nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)],
        "silu": [nn.Linear(6, 8), nn.SiLU(), nn.Dropout(0.5), nn.Linear(8, 3)],
        "others": [nn.Linear(6, 8), nn.ReLU6(), nn.SELU(), nn.CELU(1.5), nn.Softplus()],
        "mish": [nn.Linear(6, 8), nn.Mish(), nn.Hardswish(), nn.PReLU(), nn.Softmax(1)],
        "log sigmoid": [nn.Linear(6, 8), nn.LogSigmoid(), nn.Sigmoid()],
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("which", ["norms", "layer norm", "silu", "others", "mish", "log sigmoid"])
def test_models_of_pytorch(which, dynamo, tmp_path):
    torch = pytest.importorskip("torch")
    if dynamo:
        pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    modules = torch_models(torch.nn)[which]
    module = torch.nn.Sequential(*modules).eval()
    for part in modules:
        if isinstance(part, torch.nn.BatchNorm1d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    x = torch.randn(5, 6)
    path = tmp_path / "model.onnx"
    if dynamo:
        shapes = ({0: torch.export.Dim("batch")},)
        options = {"dynamic_shapes": shapes, "verbose": False}
    else:
        options = {"dynamic_axes": {"x": {0: "batch"}}}
    torch.onnx.export(module, (x,), str(path), dynamo=dynamo, input_names=["x"], **options)
    model = same(path, {"x": x.numpy()}, 2e-6)
    with torch.no_grad():
        near(model.predict(x.numpy()), module(x).numpy(), 2e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("which", ["regressor", "two classes", "three classes", "scaled"])
def test_models_of_scikit_learn(which, dtype, tmp_path):
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.random.default_rng(0).normal(3, 2, (60, 5)).astype(dtype)
    options = {"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0}
    if which == "regressor":
        found, y = MLPRegressor(activation="tanh", **options), x[:, 0]
    else:
        found = MLPClassifier(**options)
        y = (x[:, 0] * (1 if which == "two classes" else 0.5)).astype(int) % 3
        y = y % 2 if which == "two classes" else y
    if which == "scaled":
        found = make_pipeline(StandardScaler(), found)
    found.fit(x, y)
    zipped = None if which == "regressor" else {"zipmap": False}
    proto = skl2onnx.to_onnx(found, x[:1], options=zipped)
    path = saved(tmp_path, proto)
    if which == "regressor":
        near(fastnn.from_onnx(path).predict(x)[:, 0], found.predict(x).astype(dtype), 1e-5)
        return
    with pytest.raises(ValueError, match=r"ArgMax.*`outputs` names the outputs to read"):
        fastnn.from_onnx(path)
    model = fastnn.from_onnx(path, outputs="probabilities")
    near(model.predict(x), found.predict_proba(x).astype(dtype), 1e-5)
