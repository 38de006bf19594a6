"""Readers of activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.interop.onnx_graphs import shapes
from fastnn.interop.onnx_graphs.arithmetic import for_rows, wide_enough
from fastnn.interop.onnx_graphs.call import Call, Value
from fastnn.interop.onnx_graphs.terms import Term


def function(op: str) -> Callable[[Call], Value]:
    def read(call: Call) -> Value:
        call.count(1)
        return call.terms.unary(op, call.rows(0))

    return read


def relu(call: Call) -> Value:
    call.count(1)
    return call.terms.at_least(call.rows(0), 0.0)


def clip(call: Call) -> Value:
    call.count(1, 3)
    made = call.rows(0)
    if call.opset < 11:
        low, high = call.option("min", None, (int, float)), call.option("max", None, (int, float))
    else:
        low, high = (
            None if call.at(i) is None else call.constant(i, word)
            for i, word in ((1, "min"), (2, "max"))
        )
    least, most = (_limit(call, limit) for limit in (low, high))
    if least == 0 and most is not None and most >= 0:
        return call.terms.unary("rectifier", made, max_value=most)
    if (least, most) == (-1, 1):
        return call.terms.unary("hard_tanh", made)
    made = made if least is None else call.terms.at_least(made, least)
    return made if most is None else call.terms.at_most(made, most)


def _limit(call: Call, limit: Any) -> float | None:
    if limit is None:
        return None
    number = np.asarray(limit, np.float64)
    if number.size != 1 or np.isnan(number).any():
        raise call.refusal(f"expected limits that are numbers, got {limit}")
    found = float(number.reshape(()))
    # Writers give the largest float where there is no limit.
    return found if abs(found) < 1e38 else None


def leaky(call: Call) -> Value:
    call.count(1)
    return _slope(call, call.rows(0), call.number("alpha", 0.01))


def _slope(call: Call, x: Term, slope: float) -> Term:
    if slope < 0:
        raise call.refusal(f"the slope below zero: expected at least 0, got {slope}")
    return call.terms.unary("leaky_relu", x, number=slope)


def prelu(call: Call) -> Value:
    """A slope for each number of a row, along some axes the same one."""
    call.count(2)
    x = call.rows(0)
    slopes = for_rows(call, x, call.floats(1, "slopes"))
    if slopes.size == 0 or not x.shape:
        raise call.refusal(f"expected slopes for rows of shape {x.shape}, got {slopes.shape}")
    if wide_enough(call, x, slopes) is not x:
        raise call.refusal(f"slopes of shape {slopes.shape} repeat rows of shape {x.shape}")
    return call.terms.unary("prelu", x, slopes=slopes)


def elu(call: Call) -> Value:
    call.count(1)
    return _elu_term(call, call.rows(0), call.number("alpha", 1.0))


def _elu_term(call: Call, x: Term, alpha: float) -> Term:
    if alpha < 0:
        raise call.refusal(f"alpha: expected at least 0, got {alpha}")
    return call.terms.unary("elu", x, number=alpha)


def celu(call: Call) -> Value:
    """alpha * elu(x / alpha)."""
    call.count(1)
    alpha = call.number("alpha", 1.0)
    if alpha <= 0:
        raise call.refusal(f"alpha: expected a positive number, got {alpha}")
    return call.terms.unary("celu", call.rows(0), alpha=alpha)


def selu(call: Call) -> Value:
    call.count(1)
    alpha = call.number("alpha", 1.67326319217681884765625)
    gamma = call.number("gamma", 1.05070102214813232421875)
    if abs(alpha - 1.6732632423543772) < 1e-6 and abs(gamma - 1.0507009873554805) < 1e-6:
        return call.terms.unary("selu", call.rows(0))
    return call.terms.times(_elu_term(call, call.rows(0), alpha), gamma)


def gelu(call: Call) -> Value:
    call.count(1)
    x, how = call.rows(0), call.option("approximate", "none", str)
    if how == "none":
        return call.terms.unary("gelu", x)
    if how != "tanh":
        raise call.refusal(f"approximate: expected 'none' or 'tanh', got {how!r}")
    return call.terms.unary("gelu_tanh", x)


def _hard_sigmoid_of(call: Call, alpha: float, beta: float) -> Term:
    terms = call.terms
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5:
        return terms.unary("hard_sigmoid", call.rows(0))
    line = terms.plus(terms.times(call.rows(0), alpha), beta)
    return terms.at_most(terms.at_least(line, 0.0), 1.0)


def hard_sigmoid(call: Call) -> Value:
    call.count(1)
    return _hard_sigmoid_of(call, call.number("alpha", 0.2), call.number("beta", 0.5))


def hard_swish(call: Call) -> Value:
    call.count(1)
    return call.terms.unary("hard_silu", call.rows(0))


def swish(call: Call) -> Value:
    call.count(1)
    x, alpha = call.rows(0), call.number("alpha", 1.0)
    gate = call.terms.unary("sigmoid", x if alpha == 1 else call.terms.times(x, alpha))
    return call.terms.make("multiply", (x, gate), x.shape)


def mish(call: Call) -> Value:
    call.count(1)
    return call.terms.unary("mish", call.rows(0))


def shrink(call: Call) -> Value:
    call.count(1)
    bias, threshold = call.number("bias", 0.0), call.number("lambd", 0.5)
    if threshold < 0 or bias not in (0, threshold):
        raise call.refusal(
            f"expected lambd of at least 0, and bias 0 or lambd, got lambd={threshold:g}, "
            f"bias={bias:g}"
        )
    op = "soft_shrink" if bias else "hard_shrink"
    return call.terms.unary(op, call.rows(0), threshold=threshold)


def thresholded(call: Call) -> Value:
    call.count(1)
    return call.terms.unary("threshold", call.rows(0), threshold=call.number("alpha", 1.0))


def softmax(call: Call) -> Value:
    return _over_columns(call, "softmax")


def log_softmax(call: Call) -> Value:
    return _over_columns(call, "log_softmax")


def _over_columns(call: Call, word: str) -> Value:
    call.count(1)
    x = call.rows(0)
    axis = call.integer("axis", -1 if call.opset >= 13 else 1)
    axis = shapes.axis_of(call, x, axis)
    wide = [i for i, n in enumerate(x.shape, 1) if n != 1]
    # Before opset 13 all axes from this one on are one.
    whole = axis != 0 and (all(i >= axis for i in wide) if call.opset < 13 else set(wide) <= {axis})
    if not whole:
        raise call.refusal(
            f"fastnn has {word} over all columns of a row, got axis {axis} of rows of shape {x.shape}"
        )
    terms = call.terms
    return terms.reshape(terms.unary(word, terms.reshape(x, (x.size,))), x.shape)
