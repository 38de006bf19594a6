"""Readers of operations: what each node of ONNX makes of its inputs, as terms.

https://onnx.ai/onnx/operators has the operations. Each reader is for all opsets from the lowest one
that is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fastnn.interop.onnx_graphs import shapes
from fastnn.interop.onnx_graphs.call import Call, Value
from fastnn.interop.onnx_graphs.constants import cast_type
from fastnn.interop.onnx_graphs.terms import Term
from fastnn.interop.parts import Array

# -- products


def _kernel(call: Call, x: Term, i: int, turned: bool = False) -> Array:
    """A constant (columns, units) that multiplies rows of one axis."""
    given = call.floats(i, "a kernel")
    kernel = given
    if turned:
        kernel = call.terms.once("turned", [given], lambda: np.ascontiguousarray(given.T))
    if len(x.shape) != 1:
        raise call.refusal(
            f"fastnn multiplies rows of one axis, got rows of shape {x.shape}; put a Flatten before it"
        )
    if kernel.ndim != 2 or kernel.shape[0] != x.shape[0] or kernel.shape[1] == 0:
        raise call.refusal(
            f"input {i}: expected a kernel of shape ({x.shape[0]}, units), got {kernel.shape}"
        )
    return kernel


def _gemm(call: Call) -> Value:
    call.count(2, 3)
    if call.integer("transA", 0):
        raise call.refusal("transA=1 makes columns of the rows")
    x = call.rows(0)
    kernel = _kernel(call, x, 1, bool(call.integer("transB", 0)))
    alpha, beta = call.number("alpha", 1.0), call.number("beta", 1.0)
    made = call.terms.product(x, kernel)
    if alpha != 1:
        made = call.terms.times(made, alpha)
    added = call.at(2)
    if added is None or beta == 0:
        return made
    if isinstance(added, Term):
        both = (made, added if beta == 1 else call.terms.times(call.rows(2), beta))
        return _two(call, "add", *both)
    bias = call.floats(2, "a bias")
    if beta != 1:
        bias = call.terms.once(f"times {beta}", [bias], lambda: bias * bias.dtype.type(beta))
    return call.terms.affine(made, shift=_for_rows(call, made, bias))


def _matmul(call: Call) -> Value:
    call.count(2)
    x = call.rows(0)
    return call.terms.product(x, _kernel(call, x, 1))


# -- sums and products with constants


def _for_rows(call: Call, x: Term, constant: Array) -> Array:
    """A constant beside rows, without the axis of the batch; it broadcasts to a row of x."""
    rank = 1 + len(x.shape)
    if constant.ndim == rank and constant.shape[0] != 1:
        raise call.refusal(
            f"a constant of shape {constant.shape} has {constant.shape[0]} rows of its own"
        )
    if constant.ndim > rank:
        raise call.refusal(
            f"a constant of shape {constant.shape} gives rows of shape {x.shape} further axes"
        )
    if constant.ndim < rank:
        return constant
    return call.terms.once("one row", [constant], lambda: constant[0])


def _wide_enough(call: Call, x: Term, constant: Array) -> Term:
    """x, repeated to the shape that it has beside a constant."""
    try:
        wanted = np.broadcast_shapes(x.shape, constant.shape)
    except ValueError:
        raise call.refusal(
            f"rows of shape {x.shape} and a constant of shape {constant.shape} do not fit"
        ) from None
    if 0 in wanted:
        raise call.refusal(f"a constant of shape {constant.shape} is empty")
    if len(wanted) > len(x.shape):
        raise call.refusal(f"rows of shape {x.shape} get further axes, {wanted}")
    return shapes.repeated(call, x, wanted)


def _with_constant(call: Call, op: str, x: Term, given: Array, swapped: bool) -> Term:
    """A term of rows and a constant; `swapped`: the constant is the first operand."""
    constant = _for_rows(call, x, given)
    x = _wide_enough(call, x, constant)
    terms = call.terms
    if op in ("at_least", "at_most"):
        if constant.size != 1:
            raise call.refusal("fastnn has limits that are single numbers alone")
        return getattr(terms, op)(x, float(constant.reshape(())))  # type: ignore[no-any-return]
    if op == "add":
        return terms.affine(x, shift=constant)
    if op == "multiply":
        return terms.affine(x, scale=constant)
    if op == "subtract":
        if swapped:
            return terms.affine(terms.times(x, -1.0), shift=constant)
        return terms.affine(x, shift=terms.once("minus", [constant], lambda: -constant))
    if swapped:  # constant / x
        inverse = terms.unary("reciprocal", x)
        return terms.affine(inverse, scale=constant) if np.any(constant != 1) else inverse
    if not constant.all():
        raise call.refusal("it divides by zero")
    wide = constant.astype(np.float64)
    return terms.affine(x, scale=terms.once("inverse", [constant], lambda: 1 / wide))


def _two(call: Call, op: str, a: Term, b: Term) -> Term:
    """A term of two terms of rows."""
    if len(a.shape) != len(b.shape):
        raise call.refusal(f"rows of shapes {a.shape} and {b.shape} have different numbers of axes")
    shape = _joint_shape(call, [a, b])
    return call.terms.make(op, (a, b), shape)


def _joint_shape(call: Call, parts: list[Term]) -> tuple[int, ...]:
    listed = " and ".join(str(part.shape) for part in parts)
    try:
        shape = np.broadcast_shapes(*(part.shape for part in parts))
    except ValueError:
        raise call.refusal(f"rows of shapes {listed} do not fit") from None
    if any(part.size not in (1, math.prod(shape)) for part in parts):
        raise call.refusal(
            f"fastnn joins rows of one shape, or of a single number, got rows of shapes {listed}"
        )
    return shape


def _binary(op: str) -> Callable[[Call], Value]:
    def read(call: Call) -> Value:
        call.count(2)
        a, b = call.at(0), call.at(1)
        if isinstance(a, Term) and isinstance(b, Term):
            return _two(call, op, call.rows(0), call.rows(1))
        if isinstance(a, Term):
            return _with_constant(call, op, call.rows(0), call.floats(1, "the constant"), False)
        return _with_constant(call, op, call.rows(1), call.floats(0, "the constant"), True)

    return read


def _many(op: str, with_constant: str) -> Callable[[Call], Value]:
    """Sum, Max and Min of any number of inputs, constants among them."""

    def read(call: Call) -> Value:
        call.count(1, 64)
        found = [call.rows(i) for i, v in enumerate(call.inputs) if isinstance(v, Term)]
        made = found[0]
        for part in found[1:]:
            made = _two(call, op, made, part)
        for i, value in enumerate(call.inputs):
            if not isinstance(value, Term):
                limit = call.floats(i, "the constant")
                made = _with_constant(call, with_constant, made, limit, False)
        return made

    return read


def _mean(call: Call) -> Value:
    call.count(1, 64)
    parts = [call.rows(i) for i in range(len(call.inputs))]
    if len({len(part.shape) for part in parts}) > 1:
        raise call.refusal("its inputs have different numbers of axes")
    if len(parts) == 1:
        return parts[0]
    return call.terms.make("average", parts, _joint_shape(call, parts))


def _pow(call: Call) -> Value:
    call.count(2)
    x, exponent = call.rows(0), call.floats(1, "an exponent")
    if exponent.size != 1 or exponent.ndim > 1 + len(x.shape):
        raise call.refusal("the exponent: expected a single number")
    number = float(exponent.reshape(()))
    if number == 0.5:
        return call.terms.unary("sqrt", x)
    if number not in (1, 2, 3, 4):
        raise call.refusal(f"the exponent: expected 0.5, 1, 2, 3 or 4, got {number:g}")
    made = x
    for _ in range(int(number) - 1):
        made = call.terms.make("multiply", (made, x), x.shape)
    return made


def _negative(call: Call) -> Value:
    call.count(1)
    return call.terms.times(call.rows(0), -1.0)


# -- activations


def _function(op: str) -> Callable[[Call], Value]:
    def read(call: Call) -> Value:
        call.count(1)
        return call.terms.unary(op, call.rows(0))

    return read


def _relu(call: Call) -> Value:
    call.count(1)
    return call.terms.at_least(call.rows(0), 0.0)


def _clip(call: Call) -> Value:
    call.count(1, 3)
    made = call.rows(0)
    if call.opset < 11:
        low, high = call.option("min", None, (int, float)), call.option("max", None, (int, float))
    else:
        low, high = (
            None if call.at(i) is None else call.constant(i, word)
            for i, word in ((1, "min"), (2, "max"))
        )
    for make, limit in ((call.terms.at_least, low), (call.terms.at_most, high)):
        if limit is None:
            continue
        number = np.asarray(limit, np.float64)
        if number.size != 1 or np.isnan(number).any():
            raise call.refusal(f"expected limits that are numbers, got {limit}")
        # Writers give the largest float where there is no limit.
        if abs(float(number.reshape(()))) < 1e38:
            made = make(made, float(number.reshape(())))
    return made


def _leaky(call: Call) -> Value:
    call.count(1)
    return _slope(call, call.rows(0), call.number("alpha", 0.01))


def _slope(call: Call, x: Term, slope: float) -> Term:
    if slope < 0:
        raise call.refusal(f"the slope below zero: expected at least 0, got {slope}")
    return call.terms.unary("leaky_relu", x, number=slope)


def _prelu(call: Call) -> Value:
    call.count(2)
    x, slopes = call.rows(0), call.floats(1, "slopes")
    slopes = _for_rows(call, x, slopes)
    if slopes.size == 0 or np.any(slopes != slopes.flat[0]):
        raise call.refusal("fastnn has one slope for all columns, in LeakyReLU; these differ")
    if _wide_enough(call, x, slopes) is not x:
        raise call.refusal(f"slopes of shape {slopes.shape} repeat rows of shape {x.shape}")
    return _slope(call, x, float(slopes.flat[0]))


def _elu(call: Call) -> Value:
    call.count(1)
    return _elu_term(call, call.rows(0), call.number("alpha", 1.0))


def _elu_term(call: Call, x: Term, alpha: float) -> Term:
    if alpha < 0:
        raise call.refusal(f"alpha: expected at least 0, got {alpha}")
    return call.terms.unary("elu", x, number=alpha)


def _celu(call: Call) -> Value:
    """alpha * elu(x / alpha)."""
    call.count(1)
    alpha = call.number("alpha", 1.0)
    if alpha <= 0:
        raise call.refusal(f"alpha: expected a positive number, got {alpha}")
    if alpha == 1:
        return _elu_term(call, call.rows(0), 1.0)
    inner = _elu_term(call, call.terms.times(call.rows(0), 1 / alpha), 1.0)
    return call.terms.times(inner, alpha)


def _selu(call: Call) -> Value:
    call.count(1)
    alpha = call.number("alpha", 1.67326319217681884765625)
    gamma = call.number("gamma", 1.05070102214813232421875)
    return call.terms.times(_elu_term(call, call.rows(0), alpha), gamma)


def _gelu(call: Call) -> Value:
    call.count(1)
    x, how = call.rows(0), call.option("approximate", "none", str)
    if how == "none":
        return call.terms.unary("gelu", x)
    if how != "tanh":
        raise call.refusal(f"approximate: expected 'none' or 'tanh', got {how!r}")
    # 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
    terms = call.terms
    square = terms.make("multiply", (x, x), x.shape)
    root = math.sqrt(2 / math.pi)
    factor = terms.plus(terms.times(square, 0.044715 * root), root)
    inner = terms.make("multiply", (x, factor), x.shape)
    half = terms.plus(terms.times(terms.unary("tanh", inner), 0.5), 0.5)
    return terms.make("multiply", (x, half), x.shape)


def _hard_sigmoid_of(call: Call, alpha: float, beta: float) -> Term:
    terms = call.terms
    line = terms.plus(terms.times(call.rows(0), alpha), beta)
    return terms.at_most(terms.at_least(line, 0.0), 1.0)


def _hard_sigmoid(call: Call) -> Value:
    call.count(1)
    return _hard_sigmoid_of(call, call.number("alpha", 0.2), call.number("beta", 0.5))


def _hard_swish(call: Call) -> Value:
    call.count(1)
    x = call.rows(0)
    return call.terms.make("multiply", (x, _hard_sigmoid_of(call, 1 / 6, 0.5)), x.shape)


def _swish(call: Call) -> Value:
    call.count(1)
    x, alpha = call.rows(0), call.number("alpha", 1.0)
    gate = call.terms.unary("sigmoid", x if alpha == 1 else call.terms.times(x, alpha))
    return call.terms.make("multiply", (x, gate), x.shape)


def _mish(call: Call) -> Value:
    call.count(1)
    x = call.rows(0)
    gate = call.terms.unary("tanh", call.terms.unary("softplus", x))
    return call.terms.make("multiply", (x, gate), x.shape)


def _softmax(call: Call) -> Value:
    call.count(1)
    x = call.rows(0)
    axis = call.integer("axis", -1 if call.opset >= 13 else 1)
    axis = shapes.axis_of(call, x, axis)
    wide = [i for i, n in enumerate(x.shape, 1) if n != 1]
    # Before opset 13 all axes from this one on are one.
    whole = axis != 0 and (all(i >= axis for i in wide) if call.opset < 13 else set(wide) <= {axis})
    if not whole:
        raise call.refusal(
            f"fastnn has softmax over all columns of a row, got axis {axis} of rows of shape {x.shape}"
        )
    terms = call.terms
    return terms.reshape(terms.unary("softmax", terms.reshape(x, (x.size,))), x.shape)


# -- normalization


def _batch_normalization(call: Call) -> Value:
    """A scale and an offset of each column, from the statistics of the training."""
    call.count(5)
    call.ignore("momentum")
    x, epsilon = call.rows(0), call.number("epsilon", 1e-5)
    if call.integer("training_mode", 0) or not call.integer("spatial", 1):
        raise call.refusal("training_mode=1 and spatial=0 are not in fastnn")
    if not x.shape:
        raise call.refusal("expected rows of at least one axis")
    words = ("a scale", "an offset", "means", "variances")
    arrays = [call.floats(i + 1, word) for i, word in enumerate(words)]
    if any(array.shape != (x.shape[0],) for array in arrays) or np.any(arrays[3] + epsilon <= 0):
        raise call.refusal(
            f"expected a scale, an offset, means and variances of shape ({x.shape[0]},), got "
            + ", ".join(str(array.shape) for array in arrays)
        )
    gamma, beta, mean, variance = (array.astype(np.float64) for array in arrays)
    along = (-1, *[1] * (len(x.shape) - 1))
    scale = call.terms.once(
        f"scale {epsilon} {len(along)}",
        arrays,
        lambda: (gamma / np.sqrt(variance + epsilon)).reshape(along),
    )
    shift = call.terms.once(
        f"shift {epsilon} {len(along)}",
        arrays,
        lambda: (beta - mean * gamma / np.sqrt(variance + epsilon)).reshape(along),
    )
    return call.terms.affine(x, scale, shift)


def _layer_normalization(call: Call) -> Value:
    call.count(2, 3)
    call.ignore("stash_type")
    x, epsilon = call.rows(0), call.number("epsilon", 1e-5)
    axis = shapes.axis_of(call, x, call.integer("axis", -1))
    if axis == 0 or math.prod(x.shape[: axis - 1]) != 1 or epsilon < 0:
        raise call.refusal(
            f"fastnn normalizes each row as a whole, got axis {axis} of rows of shape {x.shape}, "
            f"epsilon={epsilon:g}"
        )
    given = [call.floats(1, "a scale")]
    if call.at(2) is not None:
        given.append(call.floats(2, "an offset"))
    try:
        parts = [
            call.terms.once(
                f"spread {x.shape}",
                [part],
                lambda part=part: np.broadcast_to(part, x.shape).reshape(-1),
            )
            for part in given
        ]
    except ValueError:
        raise call.refusal(
            f"a scale of shape {given[0].shape} does not fit rows of shape {x.shape}"
        ) from None
    flat = call.terms.reshape(x, (x.size,))
    made = call.terms.unary("normalize", flat, epsilon=epsilon)
    made = call.terms.affine(made, parts[0], parts[1] if len(parts) > 1 else None)
    return call.terms.reshape(made, x.shape)


def _reduction(op: str) -> Callable[[Call], Value]:
    """A sum, mean or largest number of each row."""

    def read(call: Call) -> Value:
        call.count(1, 2)
        x = call.rows(0)
        axes = call.axes(1, first=13 if op == "sum" else 18)
        keeps = call.integer("keepdims", 1)
        empty = call.integer("noop_with_empty_axes", 0)
        if not axes:
            why = "without axes it changes nothing" if empty else "it joins different rows"
            raise call.refusal(f"expected the axes of a row, got none: {why}")
        found = {shapes.axis_of(call, x, axis) for axis in axes}
        left = [n for i, n in enumerate(x.shape, 1) if i not in found]
        if 0 in found or math.prod(left) != 1:
            raise call.refusal(
                f"fastnn joins all numbers of a row, got axes {axes} of rows of shape {x.shape}"
            )
        made = call.terms.make(op, (call.terms.reshape(x, (x.size,)),), (1,))
        shape = tuple([1 if i in found else n for i, n in enumerate(x.shape, 1)] if keeps else left)
        return call.terms.reshape(made, shape)

    return read


# -- the others


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
    if kind != "f":
        raise call.refusal("it makes integers, with which fastnn does not compute")
    return call.terms.make("floats", (x,), x.shape)


def _greater(call: Call) -> Value:
    """A condition, which is a part of functions alone."""
    call.count(2)
    x, limit = call.rows(0), call.floats(1, "a limit")
    if limit.size != 1 or limit.ndim > 1 + len(x.shape):
        raise call.refusal("the limit: expected a single number")
    return call.terms.make("greater", (x,), x.shape, "b", number=float(limit.reshape(())))


def _where(call: Call) -> Value:
    call.count(3)
    parts = (call.rows(0, floats=False), call.rows(1), call.rows(2))
    if len({part.shape for part in parts}) > 1:
        raise call.refusal("its inputs have rows of different shapes")
    return call.terms.make("where", parts, parts[0].shape)


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
        made = _with_constant(call, op, made, values, False)
    return made


READERS: dict[str, Callable[[Call], Value]] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _binary("add"),
    "Sub": _binary("subtract"),
    "Mul": _binary("multiply"),
    "Div": _binary("divide"),
    "Sum": _many("add", "add"),
    "Max": _many("maximum", "at_least"),
    "Min": _many("minimum", "at_most"),
    "Mean": _mean,
    "Pow": _pow,
    "Neg": _negative,
    "Relu": _relu,
    "Clip": _clip,
    "LeakyRelu": _leaky,
    "PRelu": _prelu,
    "Elu": _elu,
    "Celu": _celu,
    "Selu": _selu,
    "Gelu": _gelu,
    "com.microsoft.Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Swish": _swish,
    "Mish": _mish,
    "Softmax": _softmax,
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "ReduceMean": _reduction("mean"),
    "ReduceSum": _reduction("sum"),
    "ReduceMax": _reduction("largest"),
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
    "Where": _where,
    "Dropout": _dropout,
    "ai.onnx.ml.Scaler": _scaler,
    **{
        name: _function(name.lower())
        for name in (
            *("Sigmoid", "Tanh", "Softplus", "Erf", "Exp", "Log", "Abs", "Sqrt", "Reciprocal"),
        )
    },
}
