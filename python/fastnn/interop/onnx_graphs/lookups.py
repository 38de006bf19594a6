"""Readers of operations on whole numbers: rows of a table, and columns of categories."""

from __future__ import annotations

import numpy as np

from fastnn.interop.onnx_graphs import shapes
from fastnn.interop.onnx_graphs.call import Call, Value
from fastnn.interop.onnx_graphs.file import MOST_ELEMENTS
from fastnn.interop.onnx_graphs.terms import Term


def _numbers(call: Call, i: int) -> Term:
    x = call.rows(i, floats=False)
    if x.kind not in "iu":
        raise call.refusal(f"input {i}: expected integers, got floats")
    return x


def gather(call: Call) -> Value:
    """Rows of a constant table, which rows of whole numbers name; or parts of rows, by constants."""
    call.count(2)
    if isinstance(call.at(0), Term):
        return _parts(call, call.rows(0))
    table, ids = call.floats(0, "a table"), _numbers(call, 1)
    if call.integer("axis", 0) != 0 or table.ndim not in (1, 2) or table.size == 0:
        raise call.refusal(
            f"expected rows of a table of shape (categories, columns), got {table.shape}"
        )
    wide = table
    if table.ndim == 1:
        wide = call.terms.once("one column", [table], lambda: table.reshape(-1, 1))
    made = call.terms.make("embedding", (ids,), (*ids.shape, wide.shape[1]), table=wide)
    return call.terms.reshape(made, (*ids.shape, *table.shape[1:]))


def _parts(call: Call, x: Term) -> Term:
    """Parts of each row along an axis, one or several."""
    axis = shapes.axis_of(call, x, call.integer("axis", 0)) - 1
    given = call.constant(1, "places")
    if axis < 0 or given.dtype.kind not in "iu" or given.ndim > 1 or given.size == 0:
        raise call.refusal("expected places along an axis of a row")
    size, places = x.shape[axis], given.reshape(-1).tolist()
    if not all(-size <= place < size for place in places):
        raise call.refusal(f"expected places from {-size} to {size - 1}, got {places}")
    shape = (*x.shape[:axis], len(places), *x.shape[axis + 1 :])
    at = tuple(place % size for place in places)
    made = call.terms.make("parts", (x,), shape, axis=axis, places=at)
    left = shape if given.ndim else (*shape[:axis], *shape[axis + 1 :])
    return call.terms.reshape(made, left)


def slice_of(call: Call) -> Value:
    """A range of each row along an axis."""
    call.count(1, 5)
    x = call.rows(0)
    if call.opset < 10:
        given = [call.option(name, None, list) for name in ("starts", "ends", "axes")]
        given.append(None)
    else:
        given = [None if call.at(i) is None else call.sizes(i, "numbers") for i in range(1, 5)]
    starts, ends, axes, steps = given
    if starts is None or ends is None or {len(part or [0]) for part in given} != {1}:
        raise call.refusal("expected one range, with a start and an end")
    axis = shapes.axis_of(call, x, axes[0] if axes else 0) - 1
    step = steps[0] if steps else 1
    if axis < 0 or step == 0:
        raise call.refusal(f"expected an axis of a row, got axes {axes}, steps {steps}")
    end = None if step < 0 and ends[0] < -x.shape[axis] else ends[0]
    places = tuple(range(x.shape[axis])[slice(starts[0], end, step)])
    if not places:
        raise call.refusal("the range is empty")
    shape = (*x.shape[:axis], len(places), *x.shape[axis + 1 :])
    return call.terms.make("parts", (x,), shape, axis=axis, places=places)


def one_hot(call: Call) -> Value:
    """A column for each category, along a last axis."""
    call.count(3)
    ids = _numbers(call, 0)
    depth, values = call.constant(1, "a depth"), call.floats(2, "two values").astype(np.float64)
    if depth.size != 1 or values.shape != (2,) or int(depth.reshape(())) < 1:
        raise call.refusal(f"expected a depth and two values, got {depth} and {values}")
    rank = 1 + len(ids.shape)
    if call.integer("axis", -1) not in (-1, rank):
        raise call.refusal("expected the columns of categories as the last axis")
    terms, count = call.terms, int(depth.reshape(()))
    if ids.size * count > MOST_ELEMENTS:
        raise call.refusal(f"rows of {ids.size} times {count} numbers are too large")
    made = terms.make("one_hot", (ids,), (*ids.shape, count), count=count)
    off, on = values.tolist()
    if on != off + 1:
        made = terms.times(made, on - off)
    return made if off == 0 else terms.plus(made, off)
