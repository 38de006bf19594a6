"""Activations and functions of rows in ONNX, by one operation or spelled out in several."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_files import B, K, X, helper, kinds, near, node, numbers, proto_of, same, saved

import fastnn

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
        "length": (
            [
                node("Mul", "x x", "s"),
                node("ReduceSum", "s minus_axis", "v"),
                node("Sqrt", "v", "r"),
                node("Div", "x r", "y"),
            ],
            "UnitNormalization",
        ),
        "root of squares": (
            [
                node("Pow", "x two", "s"),
                node("ReduceMean", "s", "v", axes=[-1]),
                node("Add", "v eps", "w"),
                node("Sqrt", "w", "r"),
                node("Reciprocal", "r", "i"),
                node("Mul", "x i", "y"),
            ],
            "RMSNormalization",
        ),
        "softsign": (
            [node("Abs", "x", "a"), node("Add", "one a", "b"), node("Div", "x b", "y")],
            "Activation",
        ),
        "hard shrink": (
            [
                node("Abs", "x", "a"),
                node("LessOrEqual", "a half", "c"),
                node("Where", "c zero x", "y"),
            ],
            "Activation",
        ),
        "threshold": (
            [node("LessOrEqual", "x half", "c"), node("Where", "c minus x", "y")],
            "Activation",
        ),
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
    *("normalization by a reciprocal", "length", "root of squares", "softsign", "hard shrink"),
    "threshold",
)


@pytest.mark.parametrize("op", SPELLED)
def test_functions_in_single_operations(op, tmp_path):
    nodes, constants, layer = spelled(op)
    model = same(saved(tmp_path, proto_of(nodes, constants)), {"x": 2 * X}, 2e-6)
    assert kinds(model) == [layer]


@pytest.mark.parametrize(
    "op", ["gelu, half last", "silu", "sigmoid", "normalization", "root of squares", "softsign"]
)
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


NORMALIZATIONS = {
    "InstanceNormalization": (17, {"epsilon": 0.1}, 3, True),
    "InstanceNormalization of ones": (17, {}, 3, False),
    "GroupNormalization": (21, {"num_groups": 2, "epsilon": 0.1}, 6, True),
    "GroupNormalization by group": (18, {"num_groups": 2}, 2, True),
    "LpNormalization": (17, {"p": 2}, 0, True),
}


@pytest.mark.parametrize("case", NORMALIZATIONS)
def test_normalizations_of_parts_of_rows(case, tmp_path):
    opset, options, channels, drawn = NORMALIZATIONS[case]
    op = case.partition(" ")[0]
    constants = {}
    if channels:
        made = (numbers(channels, seed=4), numbers(channels, seed=5))
        ones = (np.ones(channels, np.float32), np.zeros(channels, np.float32))
        constants = dict(zip("sb", made if drawn else ones, strict=True))
    shape = (channels, 2) if op[0] == "I" else (6,) if channels else (1, 6)
    nodes = [node(op, " ".join(["x", *constants]), "y", **options)]
    path = saved(tmp_path, proto_of(nodes, constants, {"x": shape}, opset=opset))
    if case == "GroupNormalization by group":  # the runtime has that of opset 21 alone
        model = fastnn.from_onnx(path)
        y = numbers(7, 6).reshape(7, 2, 3)
        y = (y - y.mean(2, keepdims=True)) / np.sqrt(y.var(2, keepdims=True) + 1e-5)
        y = y * constants["s"][:, None] + constants["b"][:, None]
        near(model.predict(numbers(7, 6)), y.reshape(7, 6))
        return
    same(path, {"x": numbers(7, *shape)}, 2e-6)


@pytest.mark.parametrize("scale", [(4,), (1,)])
def test_rms_normalization(scale, tmp_path):
    """Of opset 23, which the runtime need not have."""
    s = numbers(*scale, seed=3)
    nodes = [node("RMSNormalization", "x s", "h", epsilon=0.01), node("Add", "h b", "y")]
    b = numbers(4, seed=5)
    path = saved(tmp_path, proto_of(nodes, {"s": s, "b": b}, opset=23))
    root = np.sqrt((X * X).mean(1, keepdims=True) + 0.01)
    model = fastnn.from_onnx(path)
    near(model.predict(X), X / root * s + b)
    assert kinds(model)[0] == "RMSNormalization"
