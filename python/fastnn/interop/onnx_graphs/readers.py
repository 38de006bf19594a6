"""The table of operations: what each node of ONNX makes of its inputs, as terms.

https://onnx.ai/onnx/operators has the operations. Each reader is for all opsets from the lowest one
that is taken.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastnn.interop.onnx_graphs import (
    arithmetic,
    encodings,
    functions,
    lookups,
    normalizations,
    reductions,
    shapes,
)
from fastnn.interop.onnx_graphs.call import Call, Value
from fastnn.interop.onnx_graphs.constants import cast_type
from fastnn.interop.onnx_graphs.terms import Term


def _cast(call: Call) -> Value:
    """Between floats it changes nothing, as from integers to floats."""
    call.count(1)
    x, wanted = call.rows(0, floats=False), np.dtype(cast_type(call))
    return _as_kind(call, x, wanted.kind)


def _cast_like(call: Call) -> Value:
    call.ignore("saturate", "round_mode")
    like = call.at(1)
    kind = like.kind if isinstance(like, Term) else call.constant(1, "a value").dtype.kind
    return _as_kind(call, call.rows(0, floats=False), kind)


def _as_kind(call: Call, x: Term, kind: str) -> Term:
    if kind == x.kind and kind in "fb":
        return x
    if kind in "iu":  # for a table or categories alone: `lowering` refuses others
        return call.terms.make("integers", (x,), x.shape, "i")
    if kind != "f":
        raise call.refusal("it makes conditions, with which fastnn does not compute")
    return call.terms.make("floats", (x,), x.shape)


def _greater(call: Call) -> Value:
    """A condition, which is a part of functions alone."""
    call.count(2)
    x, limit = call.rows(0), call.floats(1, "a limit")
    if limit.size != 1 or limit.ndim > 1 + len(x.shape):
        raise call.refusal("the limit: expected a single number")
    return call.terms.make("greater", (x,), x.shape, "b", number=float(limit.reshape(())))


def _not_greater(call: Call) -> Value:
    """The opposite of a condition: `_where` turns its values round."""
    made = _greater(call)
    assert isinstance(made, Term)
    return call.terms.make("not", (made,), made.shape, "b")


def _where(call: Call) -> Value:
    """A choice of two values, a constant number among them."""
    call.count(3)
    condition = call.rows(0, floats=False)
    parts = [_branch(call, 1, condition), _branch(call, 2, condition)]
    if condition.op == "not":
        condition, parts = condition.inputs[0], parts[::-1]
    if any(part.shape != condition.shape for part in parts):
        raise call.refusal("its inputs have rows of different shapes")
    return call.terms.make("where", (condition, *parts), condition.shape)


def _branch(call: Call, i: int, like: Term) -> Term:
    if isinstance(call.at(i), Term):
        return call.rows(i)
    number = call.floats(i, "a value")
    if number.size != 1 or number.ndim > 1 + len(like.shape):
        raise call.refusal(f"input {i}: expected rows or a single number")
    # str gives the shortest decimal number that rounds to this float32.
    text = str(number.reshape(())[()])
    return call.terms.make("number", (), like.shape, value=float(text))


def _dropout(call: Call) -> Value:
    """In prediction it changes nothing."""
    call.count(1, 3)
    call.ignore("ratio", "seed", "is_test")
    training = call.at(2)
    if training is not None and np.any(call.constant(2, "training_mode")):
        raise call.refusal("training_mode=True: export the model for prediction")
    return call.rows(0, floats=False)


def _scaler(call: Call) -> Value:
    """(x - offset) * scale, of scikit-learn's StandardScaler and others."""
    call.count(1)
    x = call.rows(0, floats=False)
    made = x if x.kind == "f" else call.terms.make("floats", (x,), x.shape)
    for name, op in (("offset", "subtract"), ("scale", "multiply")):
        values = np.asarray(call.option(name, [], list), np.float32)
        if values.size not in (1, *x.shape[-1:]):
            raise call.refusal(f"{name}: expected {x.shape} numbers, got {values.size}")
        made = arithmetic.with_constant(call, op, made, values, False)
    return made


READERS: dict[str, Callable[[Call], Value]] = {
    encodings.OP: encodings.encode,
    "Gemm": arithmetic.gemm,
    "MatMul": arithmetic.matmul,
    "Add": arithmetic.binary("add"),
    "Sub": arithmetic.binary("subtract"),
    "Mul": arithmetic.binary("multiply"),
    "Div": arithmetic.binary("divide"),
    "Sum": arithmetic.many("add", "add"),
    "Max": arithmetic.many("maximum", "at_least"),
    "Min": arithmetic.many("minimum", "at_most"),
    "Mean": arithmetic.mean,
    "Pow": arithmetic.power,
    "Neg": arithmetic.negative,
    "Relu": functions.relu,
    "Clip": functions.clip,
    "LeakyRelu": functions.leaky,
    "PRelu": functions.prelu,
    "Elu": functions.elu,
    "Celu": functions.celu,
    "Selu": functions.selu,
    "Gelu": functions.gelu,
    "com.microsoft.Gelu": functions.gelu,
    "HardSigmoid": functions.hard_sigmoid,
    "HardSwish": functions.hard_swish,
    "Swish": functions.swish,
    "Mish": functions.mish,
    "Shrink": functions.shrink,
    "ThresholdedRelu": functions.thresholded,
    "Softsign": functions.function("softsign"),
    "Sin": functions.function("sine"),
    "Softmax": functions.softmax,
    "LogSoftmax": functions.log_softmax,
    "BatchNormalization": normalizations.batch_normalization,
    "LayerNormalization": normalizations.layer_normalization,
    "RMSNormalization": normalizations.rms_normalization,
    "InstanceNormalization": normalizations.instance_normalization,
    "GroupNormalization": normalizations.group_normalization,
    "LpNormalization": normalizations.unit_normalization,
    "ReduceMean": reductions.reduction("mean"),
    "ReduceSum": reductions.reduction("sum"),
    "ReduceMax": reductions.reduction("largest"),
    "ReduceSumSquare": reductions.squares,
    "ReduceL2": reductions.length,
    "Gather": lookups.gather,
    "Slice": lookups.slice_of,
    "OneHot": lookups.one_hot,
    "Flatten": shapes.flatten,
    "Reshape": shapes.reshape,
    "Squeeze": shapes.squeeze,
    "Unsqueeze": shapes.unsqueeze,
    "Transpose": shapes.transpose,
    "Concat": shapes.concat,
    "Shape": shapes.shape,
    "Expand": shapes.repeat,
    "Tile": shapes.repeat,
    "Identity": shapes.same,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Greater": _greater,
    "LessOrEqual": _not_greater,
    "Where": _where,
    "Dropout": _dropout,
    "ai.onnx.ml.Scaler": _scaler,
    **{
        name: functions.function(name.lower())
        for name in (
            *("Sigmoid", "Tanh", "Softplus", "Erf", "Exp", "Log", "Abs", "Sqrt", "Reciprocal"),
        )
    },
}
