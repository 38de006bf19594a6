"""Shapes, types and names of values in ONNX, and what is refused by the name of its node."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_files import (
    DOUBLE,
    FLOAT,
    INT64,
    K,
    X,
    helper,
    kinds,
    near,
    node,
    numbers,
    onnx,
    proto_of,
    same,
    saved,
)

import fastnn

RESHAPES = [
    ("Reshape", (12,), [-1, 3, 4]),
    ("Reshape", (12,), [0, 3, -1]),
    ("Reshape", (3, 4), [0, 0, 2, 2]),
    ("Reshape", (3, 4), [-1, 12]),
    ("Flatten", (3, 4), None),
    ("Squeeze", (1, 4, 1), [1, -1]),
    ("Unsqueeze", (4,), [1, 3]),
    ("Transpose", (4, 1), [0, 2, 1]),
    ("Transpose", (4, 3), [0, 2, 1]),
    ("Transpose", (2, 3, 4), [0, 3, 1, 2]),
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
        ("Hardmax", {}, "no layer for Hardmax"),
        ("Softmax", {"axis": 0}, "softmax over all columns"),
        ("Tan", {}, "no layer for Tan"),
        ("Erf", {}, "no layer"),
        ("Split", {"axis": 1}, "no layer for Split"),
        ("Cast", {"to": INT64}, "integers"),
        ("LeakyRelu", {"alpha": -0.5}, "slope below zero"),
        ("Relu", {"odd": 3}, "attribute odd=3 is not in fastnn"),
        ("Elu", {"alpha": "text"}, "attribute 'alpha': expected int or float"),
        ("Transpose", {}, "moves the axis of the batch"),
        ("ReduceMean", {"axes": [0]}, "joins different rows"),
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
    nodes = [node("Gemm", "x k", "logits"), node("Hardmax", "logits", "y")]
    path = saved(tmp_path, proto_of(nodes, {"k": K}))
    near(fastnn.from_onnx(path, outputs="logits").predict(X), X @ K)


def test_whole_numbers(tmp_path):
    """Rows of a table, of one column too, and what is refused of integers."""
    ids = np.array([[0, 2], [1, 1], [3, 0]])
    for table in (numbers(4, 3), numbers(4)):
        nodes = [node("Gather", "t x", "y", axis=0)]
        proto = proto_of(nodes, {"t": table}, {"x": (2,)})
        proto.graph.input[0].type.tensor_type.elem_type = INT64
        model = same(saved(tmp_path, proto), {"x": ids})
        with pytest.raises(ValueError, match="4 at row 1"):
            model.predict(np.array([[0, 0], [0, 4]]))
    for nodes, why in (
        ([node("Cast", "x", "i", to=INT64), node("Cast", "i", "y", to=FLOAT)], "makes integers"),
        ([node("Gather", "t x", "y")], "expected integers, got floats"),
        ([node("Cast", "x", "i", to=INT64), node("Gather", "t i", "y", axis=1)], "rows of a table"),
        ([node("Gather", "x j", "y", axis=0)], "along an axis of a row"),
    ):
        constants = {"t": numbers(4, 3), "j": np.array([0])}
        used = {name for n in nodes for name in n.input}
        proto = proto_of(nodes, {n: v for n, v in constants.items() if n in used})
        with pytest.raises(ValueError, match=why):
            fastnn.from_onnx(saved(tmp_path, proto))


def test_parts_of_rows(tmp_path):
    """Slice and Gather of columns, and the halves of glu."""
    sizes = {"a": [1], "e": [99], "x1": [-1], "p": [2, 0, -1], "q": 1, "o": [0], "two": [2]}
    constants = {name: np.array(value) for name, value in sizes.items()}
    cases = [
        ([node("Slice", "x a e x1", "y")], (6,), "Slice"),
        ([node("Slice", "x a e a two", "y")], (6,), "Dense"),
        ([node("Gather", "x p", "y", axis=1)], (4,), "Dense"),
        ([node("Gather", "x q", "y", axis=2)], (3, 2), "Flatten"),
        ([*halves("a"), node("Sigmoid", "h", "s"), node("Mul", "s g", "y")], (4,), "Activation"),
        ([*halves("a"), node("Sigmoid", "g", "s"), node("Mul", "s h", "y")], (4,), "Slice"),
    ]
    for nodes, shape, first in cases:
        used = {name for n in nodes for name in n.input} & set(constants)
        path = saved(tmp_path, proto_of(nodes, {n: constants[n] for n in used}, {"x": shape}))
        assert kinds(same(path, {"x": numbers(5, *shape)}))[0] == first
    for wrong, why in (
        ([node("Slice", "x o a", "y")], "axis of a row"),
        ([node("Slice", "x e e a", "y")], "empty"),
        ([node("Gather", "x e", "y", axis=1)], "expected places from -4 to 3"),
    ):
        used = {name for n in wrong for name in n.input} & set(constants)
        with pytest.raises(ValueError, match=why):
            fastnn.from_onnx(saved(tmp_path, proto_of(wrong, {n: constants[n] for n in used})))


def halves(axis):
    return [node("Slice", f"x o two {axis}", "g"), node("Slice", f"x two e {axis}", "h")]


def test_a_table_that_two_nodes_share(tmp_path):
    cast = node("Cast", "x", "i", to=INT64)
    nodes = [cast, node("Gather", "t i", "a"), node("Gather", "t i", "b"), node("Mul", "a b", "y")]
    model = same(
        saved(tmp_path, proto_of(nodes, {"t": numbers(4, 3)})), {"x": np.eye(4, dtype=np.float32)}
    )
    assert len(model.weights) == 1
