"""Readers of normalizations: of columns by statistics, and of rows and their parts by their own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastnn.interop.onnx_graphs import shapes
from fastnn.interop.onnx_graphs.call import Call, Value
from fastnn.interop.onnx_graphs.terms import Term
from fastnn.interop.parts import Array


def batch_normalization(call: Call) -> Value:
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


def layer_normalization(call: Call) -> Value:
    call.count(2, 3)
    call.ignore("stash_type")
    x, epsilon = _whole(call)
    given = [call.floats(1, "a scale")]
    if call.at(2) is not None:
        given.append(call.floats(2, "an offset"))
    parts = _spread(call, x, given)
    flat = call.terms.reshape(x, (x.size,))
    made = call.terms.unary("normalize", flat, epsilon=epsilon)
    made = call.terms.affine(made, parts[0], parts[1] if len(parts) > 1 else None)
    return call.terms.reshape(made, x.shape)


def rms_normalization(call: Call) -> Value:
    """x / sqrt(mean(x**2) + epsilon) of whole rows, then a scale."""
    call.count(2)
    call.ignore("stash_type")
    x, epsilon = _whole(call)
    scale = _spread(call, x, [call.floats(1, "a scale")])[0]
    flat = call.terms.reshape(x, (x.size,))
    made = call.terms.affine(call.terms.unary("rms_normalize", flat, epsilon=epsilon), scale)
    return call.terms.reshape(made, x.shape)


def _whole(call: Call) -> tuple[Term, float]:
    """Rows that are normalized as a whole, and epsilon."""
    x, epsilon = call.rows(0), call.number("epsilon", 1e-5)
    axis = shapes.axis_of(call, x, call.integer("axis", -1))
    if axis == 0 or math.prod(x.shape[: axis - 1]) != 1 or epsilon < 0:
        raise call.refusal(
            f"fastnn normalizes each row as a whole, got axis {axis} of rows of shape {x.shape}, "
            f"epsilon={epsilon:g}"
        )
    return x, epsilon


def _spread(call: Call, x: Term, given: Sequence[Array]) -> list[Array]:
    """Constants that broadcast to the shape of a row, as (columns,)."""
    try:
        return [
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


def instance_normalization(call: Call) -> Value:
    """Each channel of a row by its own mean and variance."""
    call.count(3)
    x = call.rows(0)
    return _grouped(call, x, x.shape[0] if x.shape else 0)


def group_normalization(call: Call) -> Value:
    """Each group of channels by its own mean and variance."""
    call.count(3)
    call.ignore("stash_type")
    return _grouped(call, call.rows(0), call.integer("num_groups", 0))


def _grouped(call: Call, x: Term, groups: int) -> Value:
    epsilon = call.number("epsilon", 1e-5)
    channels = x.shape[0] if x.shape else 0
    if groups < 1 or channels % groups or epsilon < 0:
        raise call.refusal(
            f"expected groups that divide the first axis of a row, got {groups} groups of rows of "
            f"shape {x.shape}, epsilon={epsilon:g}"
        )
    given = call.floats(1, "a scale"), call.floats(2, "an offset")
    # Before opset 21 GroupNormalization has a scale for each group.
    sizes = (channels, groups) if call.opset < 21 else (channels,)
    if given[0].shape != given[1].shape or given[0].shape not in [(n,) for n in sizes]:
        raise call.refusal(
            f"expected a scale and an offset of shape ({sizes[-1]},), got {given[0].shape} and "
            f"{given[1].shape}"
        )
    terms = call.terms
    made = terms.unary(
        "group_normalize", terms.reshape(x, (x.size,)), epsilon=epsilon, groups=groups
    )
    parts = [
        terms.once(f"each {x.size}", [part], lambda part=part: np.repeat(part, x.size // len(part)))
        for part in given
    ]
    scale = None if np.all(parts[0] == 1) else parts[0]
    shift = None if not np.any(parts[1]) else parts[1]
    return terms.reshape(terms.affine(made, scale, shift), x.shape)


def unit_normalization(call: Call) -> Value:
    """Rows divided by their lengths."""
    call.count(1)
    x = call.rows(0)
    order, axis = call.integer("p", 2), shapes.axis_of(call, x, call.integer("axis", -1))
    if order != 2 or axis == 0 or x.size != x.shape[axis - 1]:
        raise call.refusal(
            f"fastnn divides whole rows by their Euclidean lengths, got p={order}, axis {axis} of rows "
            f"of shape {x.shape}"
        )
    terms = call.terms
    return terms.reshape(terms.unary("unit_normalize", terms.reshape(x, (x.size,))), x.shape)
