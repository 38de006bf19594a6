"""Readers of arithmetic: products with kernels, sums and products of rows, and with constants."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastnn.interop.onnx_graphs import shapes
from fastnn.interop.onnx_graphs.call import Call, Value
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


def gemm(call: Call) -> Value:
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
    return call.terms.affine(made, shift=for_rows(call, made, bias))


def matmul(call: Call) -> Value:
    call.count(2)
    x = call.rows(0)
    return call.terms.product(x, _kernel(call, x, 1))


# -- sums and products with constants


def for_rows(call: Call, x: Term, constant: Array) -> Array:
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


def wide_enough(call: Call, x: Term, constant: Array) -> Term:
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


def with_constant(call: Call, op: str, x: Term, given: Array, swapped: bool) -> Term:
    """A term of rows and a constant; `swapped`: the constant is the first operand."""
    constant = for_rows(call, x, given)
    x = wide_enough(call, x, constant)
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
    return shape


def binary(op: str) -> Callable[[Call], Value]:
    def read(call: Call) -> Value:
        call.count(2)
        a, b = call.at(0), call.at(1)
        if isinstance(a, Term) and isinstance(b, Term):
            return _two(call, op, call.rows(0), call.rows(1))
        if isinstance(a, Term):
            return with_constant(call, op, call.rows(0), call.floats(1, "the constant"), False)
        return with_constant(call, op, call.rows(1), call.floats(0, "the constant"), True)

    return read


def many(op: str, limiting: str) -> Callable[[Call], Value]:
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
                made = with_constant(call, limiting, made, limit, False)
        return made

    return read


def mean(call: Call) -> Value:
    call.count(1, 64)
    parts = [call.rows(i) for i in range(len(call.inputs))]
    if len({len(part.shape) for part in parts}) > 1:
        raise call.refusal("its inputs have different numbers of axes")
    if len(parts) == 1:
        return parts[0]
    return call.terms.make("average", parts, _joint_shape(call, parts))


def power(call: Call) -> Value:
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


def negative(call: Call) -> Value:
    call.count(1)
    return call.terms.times(call.rows(0), -1.0)
