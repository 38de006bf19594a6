"""Activations in the format ONNX: by its own operations or, where ONNX Runtime lacks these for
float64 or the file's version has none, as several others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from fastnn.exports.graph import activation_of
from fastnn.exports.onnx_nodes import Nodes
from fastnn.layers.base import Layer


class _Writing(NamedTuple):
    """Adds operations of a layer: `of("Mul", x, 0.5)` gives the name of the output."""

    to: Nodes
    layer: str
    columns: int  # of a row

    def __call__(self, op: str, *inputs: str | float, **attributes: Any) -> str:
        names = [part if isinstance(part, str) else self.to.number(part) for part in inputs]
        return self.to.add(self.layer, op, names, **attributes)

    def has(self, opset: int = 1) -> bool:
        """Whether an operation for float32 alone, there from this version on, can be used."""
        return not self.to.double and self.to.opset >= opset


def _leaky_relu(of: _Writing, x: str, negative_slope: float) -> str:
    if of.has():
        return of("LeakyRelu", x, alpha=negative_slope)
    return of("Add", of("Relu", x), of("Mul", of("Min", x, 0), negative_slope))


def _elu(of: _Writing, x: str, alpha: float) -> str:
    if of.has():
        return of("Elu", x, alpha=alpha)
    below = of("Mul", of("Sub", of("Exp", of("Min", x, 0)), 1), alpha)
    return of("Add", of("Relu", x), below)


def _celu(of: _Writing, x: str, alpha: float) -> str:
    if of.has():
        return of("Celu", x, alpha=alpha)
    return of("Mul", _elu(of, of("Mul", x, 1 / alpha), 1), alpha)


_SELU = {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}


def _selu(of: _Writing, x: str) -> str:
    if of.has():
        return of("Selu", x, **_SELU)
    return of("Mul", _elu(of, x, _SELU["alpha"]), _SELU["gamma"])


def _gelu(of: _Writing, x: str) -> str:
    if of.has(20):
        return of("Gelu", x)
    given = of("Mul", x, math.sqrt(0.5))
    tensors = of.to.onnx.TensorProto
    if of.to.double:  # ONNX Runtime has Erf for float32 alone: 6e-8 of the values 0 to 1 are lost
        given = of("Cast", given, to=tensors.FLOAT)
    erf = of("Erf", given)
    if of.to.double:
        erf = of("Cast", erf, to=tensors.DOUBLE)
    return of("Mul", of("Mul", x, of("Add", erf, 1)), 0.5)


def _gelu_tanh(of: _Writing, x: str) -> str:
    if of.has(20):
        return of("Gelu", x, approximate="tanh")
    root = math.sqrt(8 / math.pi)
    factor = of("Add", of("Mul", of("Mul", x, x), 0.044715 * root), root)
    return of("Mul", x, of("Sigmoid", of("Mul", x, factor)))


def _softplus(of: _Writing, x: str) -> str:
    if of.has():
        return of("Softplus", x)
    rest = of("Log", of("Add", of("Exp", of("Neg", of("Abs", x))), 1))
    return of("Add", of("Relu", x), rest)


def _rectifier(
    of: _Writing, x: str, max_value: float, negative_slope: float, threshold: float
) -> str:
    above = x if max_value == math.inf else of("Min", x, max_value)
    if threshold == 0 and negative_slope == 0:
        return of("Clip", x, 0, max_value)
    below: str | float = 0.0
    if negative_slope:
        below = of("Mul", of("Sub", x, threshold), negative_slope)
    return of("Where", of("Greater", x, threshold), above, below)


def _hard_sigmoid(of: _Writing, x: str) -> str:
    if of.has():
        return of("HardSigmoid", x, alpha=1 / 6, beta=0.5)
    return of("Clip", of("Add", of("Mul", x, 1 / 6), 0.5), 0, 1)


def _hard_silu(of: _Writing, x: str) -> str:
    return of("HardSwish", x) if of.has(14) else of("Mul", x, _hard_sigmoid(of, x))


def _mish(of: _Writing, x: str) -> str:
    return of("Mish", x) if of.has(18) else of("Mul", x, of("Tanh", _softplus(of, x)))


def _softsign(of: _Writing, x: str) -> str:
    return of("Softsign", x) if of.has() else of("Div", x, of("Add", of("Abs", x), 1))


def _threshold(of: _Writing, x: str, threshold: float, default_value: float) -> str:
    return of("Where", of("Greater", x, threshold), x, default_value)


def _squareplus(of: _Writing, x: str, b: float) -> str:
    root = of("Sqrt", of("Add", of("Mul", x, x), b))
    return of("Mul", of("Add", x, root), 0.5)


def _sparse_plus(of: _Writing, x: str) -> str:
    part = of("Mul", of("Add", of("Clip", x, -1, 1), 1), 0.5)
    return of("Add", of("Mul", part, part), of("Relu", of("Sub", x, 1)))


def _glu(of: _Writing, x: str) -> str:
    half, axis = of.columns // 2, of.to.sizes([-1])
    first = of("Slice", x, of.to.sizes([0]), of.to.sizes([half]), axis)
    second = of("Slice", x, of.to.sizes([half]), of.to.sizes([2 * half]), axis)
    return of("Mul", first, of("Sigmoid", second))


# By native name: the operations of x, with the parameters by name.
ACTIVATIONS: dict[str, Callable[..., str]] = {
    "linear": lambda _, x: x,
    "relu": lambda of, x: of("Relu", x),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "gelu": _gelu,
    "silu": lambda of, x: of("Mul", x, of("Sigmoid", x)),
    "softplus": _softplus,
    "sigmoid": lambda of, x: of("Sigmoid", x),
    "tanh": lambda of, x: of("Tanh", x),
    "rectifier": _rectifier,
    "relu6": lambda of, x: of("Clip", x, 0, 6),
    "selu": _selu,
    "celu": _celu,
    "gelu_tanh": _gelu_tanh,
    "hard_silu": _hard_silu,
    "hard_sigmoid": _hard_sigmoid,
    "hard_tanh": lambda of, x: of("Clip", x, -1, 1),
    "mish": _mish,
    "softsign": _softsign,
    "soft_shrink": lambda of, x, threshold: of("Shrink", x, lambd=threshold, bias=threshold),
    "hard_shrink": lambda of, x, threshold: of("Shrink", x, lambd=threshold, bias=0.0),
    "tanh_shrink": lambda of, x: of("Sub", x, of("Tanh", x)),
    "threshold": _threshold,
    "squareplus": _squareplus,
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": lambda of, x: of("Clip", of("Mul", of("Add", x, 1), 0.5), 0, 1),
    "exponential": lambda of, x: of("Exp", x),
    "log_sigmoid": lambda of, x: of("Neg", _softplus(of, of("Neg", x))),
    "sine": lambda of, x: of("Sin", x),
    "softmax": lambda of, x: of("Softmax", x, axis=-1),
    "log_softmax": lambda of, x: of("LogSoftmax", x, axis=-1),
    "glu": _glu,
}


def activated(to: Nodes, layer: Layer, x: str, columns: int) -> str:
    """The output of a layer's activation of x, whose rows have so many columns."""
    name, parameters = activation_of(layer)
    if name not in ACTIVATIONS:
        raise ValueError(f"layer {layer.name!r}: ONNX has no form of the activation {name}")
    return ACTIVATIONS[name](_Writing(to, layer.name, columns), x, **parameters)
