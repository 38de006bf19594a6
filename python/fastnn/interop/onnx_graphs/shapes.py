"""Readers of operations that arrange numbers: reshapes of rows, columns side by side, shapes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnn.interop.onnx_graphs.call import Call, Value
from fastnn.interop.onnx_graphs.file import MOST_ELEMENTS
from fastnn.interop.onnx_graphs.terms import BATCH, Shape, Term


def axis_of(call: Call, x: Term, axis: int) -> int:
    """An axis of all rows, 0 for that of the batch."""
    rank = 1 + len(x.shape)
    if not -rank <= axis < rank:
        raise call.refusal(f"axis {axis} is none of rows (batch, {_listed(x.shape)})")
    return axis % rank


def same(call: Call) -> Value:
    """An operation that changes nothing."""
    value = call.at(0)
    if value is None:
        raise call.refusal("expected an input")
    return value


def flatten(call: Call) -> Value:
    """Flatten, whose axis must be that of the first of each row."""
    x = call.rows(0, floats=False)
    axis = call.integer("axis", 1)
    if axis not in (1, 1 - (1 + len(x.shape))):
        raise call.refusal(f"axis: expected 1, the first axis of a row, got {axis}")
    return call.terms.reshape(x, (x.size,))


def reshape(call: Call) -> Value:
    """Reshape, as far as each row stays a row."""
    x = call.rows(0, floats=False)
    target = call.sizes(1, "a shape")
    keeps = call.integer("allowzero", 0) == 0
    before: list[Any] = [BATCH, *x.shape]
    sizes = [before[i] if n == 0 and keeps and i < len(before) else n for i, n in enumerate(target)]
    # A size of the batch beside other axes is a number that the file fixes.
    first, rest = (sizes[0], sizes[1:]) if sizes else (None, [])
    fixed = first is not BATCH and call.batch is not None and first == call.batch
    if BATCH in rest or any(n == 0 or n < -1 for n in rest) or rest.count(-1) > 1:
        raise call.refusal(f"the shape {target} does not keep each row a row")
    shape = _filled(x, rest)
    if shape is None or not (first is BATCH or fixed or (first == -1 and -1 not in rest)):
        raise call.refusal(
            f"rows (batch, {_listed(x.shape)}) do not become {target} with each row a row"
        )
    return call.terms.reshape(x, shape)


def _filled(x: Term, sizes: list[int]) -> Shape | None:
    """The sizes with -1 replaced; None where they do not have the numbers of a row."""
    known = math.prod(n for n in sizes if n != -1)
    if known == 0 or x.size % known or (-1 not in sizes and known != x.size):
        return None
    return tuple(x.size // known if n == -1 else n for n in sizes)


def squeeze(call: Call) -> Value:
    """Squeeze of axes of each row."""
    x = call.rows(0, floats=False)
    given = call.axes(1, first=13)
    if given is None:
        if call.batch == 1:
            raise call.refusal("without axes it takes away that of the batch, which the file fixes")
        given = [i + 1 for i, n in enumerate(x.shape) if n == 1]
    axes = {axis_of(call, x, axis) for axis in given}
    if 0 in axes or any(x.shape[axis - 1] != 1 for axis in axes):
        raise call.refusal(f"axes {given} of rows (batch, {_listed(x.shape)}) are not all 1")
    return call.terms.reshape(x, tuple(n for i, n in enumerate(x.shape, 1) if i not in axes))


def unsqueeze(call: Call) -> Value:
    """Unsqueeze of axes of each row."""
    x = call.rows(0, floats=False)
    given = call.axes(1, first=13)
    rank = 1 + len(x.shape) + len(given or ())
    if not given or any(not -rank <= axis < rank or axis % rank == 0 for axis in given):
        raise call.refusal(f"axes: expected axes of each row, got {given}")
    axes = {axis % rank for axis in given}
    left = iter(x.shape)
    if len(axes) < len(given):
        raise call.refusal(f"axes: {given} has an axis twice")
    return call.terms.reshape(x, tuple(1 if i in axes else next(left) for i in range(1, rank)))


def transpose(call: Call) -> Value:
    """Transpose of the axes of each row."""
    x = call.rows(0, floats=False)
    rank = 1 + len(x.shape)
    order = call.option("perm", list(reversed(range(rank))), list)
    if sorted(order) != list(range(rank)):
        raise call.refusal(f"perm: expected an order of {rank} axes, got {order}")
    if order[0] != 0:
        raise call.refusal(f"it moves the axis of the batch, perm={order}")
    shape = tuple(x.shape[axis - 1] for axis in order[1:])
    moved = [axis for axis in order[1:] if x.shape[axis - 1] != 1]
    if moved == sorted(moved):
        return call.terms.reshape(x, shape)
    if len(shape) > 4:
        raise call.refusal(f"fastnn puts at most 4 axes of rows in another order, got {len(shape)}")
    return call.terms.make("permute", (x,), shape, x.kind, dims=tuple(order[1:]))


def concat(call: Call) -> Value:
    """Concat of rows, along an axis of each row."""
    if not call.inputs:
        raise call.refusal("expected inputs, got none")
    parts = [call.rows(i, floats=False) for i in range(len(call.inputs))]
    first = parts[0]
    axis = axis_of(call, first, call.integer("axis", 1)) - 1
    others = {(*part.shape[:axis], *part.shape[axis + 1 :]) for part in parts}
    if axis < 0 or len(others) > 1 or len({len(part.shape) for part in parts}) > 1:
        raise call.refusal(
            "expected rows whose shapes differ in one axis, along which they are joined, got "
            + " and ".join(f"(batch, {_listed(part.shape)})" for part in parts)
        )
    if len({part.kind for part in parts}) > 1:
        raise call.refusal("its inputs have different types")
    if math.prod(first.shape[:axis]) != 1 and len(parts) > 1:
        raise call.refusal(
            f"fastnn joins rows along the first of their axes, got axis {axis + 1} of rows "
            f"(batch, {_listed(first.shape)})"
        )
    joined = sum(part.shape[axis] for part in parts)
    shape = (*first.shape[:axis], joined, *first.shape[axis + 1 :])
    return call.terms.make("concat", parts, shape, first.kind, axis=axis)


def shape(call: Call) -> Value:
    """Shape, in which the number of rows stays open."""
    x = call.rows(0, floats=False)
    sizes: list[Any] = [BATCH, *x.shape]
    made = np.empty(len(sizes), object)
    made[:] = sizes
    return made[call.integer("start", 0) : call.option("end", None, int)]


def repeat(call: Call) -> Value:
    """Expand and Tile, where they repeat each row of one axis, or one number."""
    x = call.rows(0)
    given: list[Any] = call.sizes(1, "sizes")
    if call.node.op == "Tile":
        if len(given) != 1 + len(x.shape) or given[0] != 1:
            raise call.refusal(f"repeats: expected 1 for the batch, then {len(x.shape)}: {given}")
        wanted = [n * size for n, size in zip(given[1:], x.shape, strict=True)]
    else:
        if len(given) > 1 + len(x.shape):
            raise call.refusal(f"rows (batch, {_listed(x.shape)}) get further axes, {given}")
        if len(given) == 1 + len(x.shape):
            if given[0] is not BATCH and given[0] not in (1, call.batch):
                raise call.refusal(f"it fixes the number of rows to {given[0]}")
            given = given[1:]
        given = [*x.shape[: len(x.shape) - len(given)], *given]
        if BATCH in given:
            raise call.refusal("the number of rows is the size of another axis")
        wanted = list(np.broadcast_shapes(x.shape, tuple(given)))
    if any(n < 1 for n in wanted) or math.prod(wanted) > MOST_ELEMENTS:
        raise call.refusal(f"rows of shape {tuple(wanted)} are empty or too large")
    return repeated(call, x, tuple(wanted))


def repeated(call: Call, x: Term, wanted: Shape) -> Term:
    """Rows of a shape that x broadcasts to."""
    if x.shape == wanted:
        return x
    long = [i for i, n in enumerate(x.shape) if n != 1]
    grown = [i for i, n in enumerate(wanted) if n != x.shape[i]]
    # One number for all, or a row of one axis, as a whole, several times.
    if len(grown) == 1 and (not long or grown[0] < long[0]):
        times = wanted[grown[0]]
        made = call.terms.make(
            "repeat", (call.terms.reshape(x, (x.size,)),), (times, x.size), n=times
        )
        return call.terms.reshape(made, wanted)
    if not long:
        flat = call.terms.reshape(x, (1,))
        made = call.terms.make("repeat", (flat,), (math.prod(wanted), 1), n=math.prod(wanted))
        return call.terms.reshape(made, wanted)
    raise call.refusal(
        f"fastnn has no layer that repeats rows of shape {x.shape} to {tuple(wanted)}"
    )


def _listed(shape: Any) -> str:
    return ", ".join(map(str, shape)) or "no axis"
