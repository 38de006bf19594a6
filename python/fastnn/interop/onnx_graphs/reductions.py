"""Readers of reductions: sums, means, largest numbers and lengths of rows, or along some of their axes."""

from __future__ import annotations

import math
from collections.abc import Callable

from fastnn.interop.onnx_graphs import shapes
from fastnn.interop.onnx_graphs.call import Call, Value
from fastnn.interop.onnx_graphs.terms import Term


def _taken(call: Call, first: int) -> tuple[Term, tuple[int, ...], bool]:
    """The rows, the axes of a row that are joined, from 0, and whether these stay, as 1."""
    call.count(1, 2)
    x = call.rows(0)
    axes = call.axes(1, first=first)
    keeps = bool(call.integer("keepdims", 1))
    empty = call.integer("noop_with_empty_axes", 0)
    if not axes:
        why = "without axes it changes nothing" if empty else "it joins different rows"
        raise call.refusal(f"expected the axes of a row, got none: {why}")
    found = {shapes.axis_of(call, x, axis) - 1 for axis in axes}
    if -1 in found:
        raise call.refusal(f"it joins different rows: axes {axes} of rows of shape {x.shape}")
    return x, tuple(sorted(found)), keeps


def _joined(call: Call, op: str, x: Term, axes: tuple[int, ...], keeps: bool) -> Term:
    left = [n for i, n in enumerate(x.shape) if i not in axes]
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    terms = call.terms
    if math.prod(left) == 1:
        made = terms.make(op, (terms.reshape(x, (x.size,)),), (1,), axes=(0,))
    elif op == "largest":
        raise call.refusal(
            f"fastnn joins all numbers of a row, got axes {axes} of rows of shape {x.shape}"
        )
    else:
        made = terms.make(op, (x,), kept, axes=axes)
    return terms.reshape(made, kept if keeps else tuple(left))


def reduction(op: str) -> Callable[[Call], Value]:
    """A sum, mean or largest number."""

    def read(call: Call) -> Value:
        return _joined(call, op, *_taken(call, 13 if op == "sum" else 18))

    return read


def squares(call: Call) -> Value:
    """The sum of squares."""
    x, axes, keeps = _taken(call, 18)
    return _joined(call, "sum", call.terms.make("multiply", (x, x), x.shape), axes, keeps)


def length(call: Call) -> Value:
    """The root of the sum of squares."""
    made = squares(call)
    assert isinstance(made, Term)
    return call.terms.unary("sqrt", made)
