"""Products, sums and shapes of ONNX as layers: graphs by hand give what ONNX Runtime gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_files import FLOAT, B, K, X, kinds, node, numbers, onnx, proto_of, same, saved

import fastnn


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
    same(path, {"x": numbers(3, 5000)})


def test_sums_along_some_axes_of_a_row(tmp_path):
    for op, axes in (("ReduceSum", [1]), ("ReduceMean", [2]), ("ReduceSum", [-1, 1])):
        sizes = {"axes": np.array(axes)} if op == "ReduceSum" else {}
        options = {} if sizes else {"axes": axes}
        nodes = [node(op, "x axes" if sizes else "x", "y", keepdims=0, **options)]
        same(saved(tmp_path, proto_of(nodes, sizes, {"x": (3, 4, 2)})), {"x": numbers(5, 3, 4, 2)})
    nodes = [node("ReduceMean", "x", "y", axes=[1])]
    with pytest.raises(ValueError, match=r"node 'y' \(ReduceMean\): .*as a product with ones"):
        fastnn.from_onnx(saved(tmp_path, proto_of(nodes, {}, {"x": (2, 4000)})))


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


def test_deep_graphs(tmp_path):
    """Three thousand nodes need no deep recursion."""
    nodes = [node("Tanh" if i % 2 else "Relu", f"v{i}", f"v{i + 1}") for i in range(3000)]
    nodes = [node("Identity", "x", "v0"), *nodes]
    model = fastnn.from_onnx(saved(tmp_path, proto_of(nodes, outputs=("v3000",))))
    assert len(model.layers) == 3000


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
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(graphs())
def test_random_graphs(tmp_path, graph):
    nodes, constants, outputs = graph
    proto = proto_of(nodes, constants, {"x": (4,), "z": (4,)}, outputs)
    feeds = {"x": 0.5 * X, "z": 0.5 * numbers(7, 4, seed=9)}
    same(saved(tmp_path, proto), feeds, 1e-5)
