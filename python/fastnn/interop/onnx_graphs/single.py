"""Terms that one layer makes, for `lowering`: the layer, the rows that it takes, and its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastnn.interop.onnx_graphs.terms import Shape, Term
from fastnn.interop.parts import Array
from fastnn.layers.base import Layer
from fastnn.layers.columns import ColumnEncoding
from fastnn.layers.embedding import Embedding
from fastnn.layers.features import CategoryEncoding
from fastnn.layers.lengths import RMSNormalization, UnitNormalization
from fastnn.layers.normalization import GroupNormalization, LayerNormalization
from fastnn.layers.prelu import PReLU
from fastnn.layers.shape import Permute, RepeatVector


class Made(NamedTuple):
    """A layer for rows of some shape."""

    layer: Layer
    takes: Shape
    weights: list[Array] = []  # noqa: RUF012 - never changed


# Operations on whole numbers.
NUMBERED = ("embedding", "one_hot", "categories")
# Which constant a layer is named after, and the end of that name in a file.
NAMED = {
    "embedding": ("table", "embeddings"),
    "encode_columns": ("fill", "fill"),
    "prelu": ("slopes", "alpha"),
}


def _embedding(term: Term, name: str | None) -> Made:
    table: Array = term.options["table"]
    return Made(Embedding(*table.shape, name=name), term.inputs[0].shape or (1,), [table])


def _categories(term: Term, _: str | None) -> Made:
    mode = "one_hot" if term.op == "one_hot" else term.options["mode"]
    layer = CategoryEncoding(term.options["count"], mode)
    return Made(layer, (term.inputs[0].size,))


def _encoding(term: Term, name: str | None) -> Made:
    options = term.options
    layer = ColumnEncoding(
        list(options["levels"]),
        list(options["missing"]),
        list(options["bins"]),
        options["clip"],
        name=name,
    )
    weights = [options[part] for part in ("fill", "center", "factor", "edges")]
    return Made(layer, term.inputs[0].shape, [array for array in weights if array is not None])


def _prelu(term: Term, name: str | None) -> Made:
    shape, slopes = term.shape, term.options["slopes"]
    own = (1,) * (len(shape) - slopes.ndim) + slopes.shape
    shared = [axis for axis, n in enumerate(own, 1) if n == 1 and shape[axis - 1] > 1]
    return Made(PReLU(shared_axes=shared or None, name=name), shape, [slopes.reshape(own)])


# By operation: the layer of a term, which gets a name if its constant has one.
SINGLE: dict[str, Callable[[Term, str | None], Made]] = {
    "embedding": _embedding,
    "encode_columns": _encoding,
    "one_hot": _categories,
    "categories": _categories,
    "permute": lambda term, _: Made(Permute(term.options["dims"]), term.inputs[0].shape),
    "prelu": _prelu,
    "repeat": lambda term, _: Made(RepeatVector(term.options["n"]), term.inputs[0].shape),
    "unit_normalize": lambda term, _: Made(UnitNormalization(), term.shape),
}


def normalization(term: Term, scale: Array | None, shift: Array | None, name: str | None) -> Made:
    """The layer of a normalization of rows, with a scale and an offset of each column."""
    epsilon = term.options["epsilon"]
    given = [np.broadcast_to(part, term.shape) for part in (scale, shift) if part is not None]
    if term.op == "rms_normalize":  # it has a scale, whether one is given or not
        own = scale is not None
        weights = given[:1] if own else [np.ones(term.shape)]
        return Made(
            RMSNormalization(epsilon=epsilon, name=name, trainable=own), term.shape, weights
        )
    center, with_scale = shift is not None, scale is not None
    layer: Layer
    if term.op == "group_normalize":
        groups = term.options["groups"]
        layer = GroupNormalization(
            groups, epsilon=epsilon, center=center, scale=with_scale, name=name
        )
    else:
        layer = LayerNormalization(epsilon=epsilon, center=center, scale=with_scale, name=name)
    return Made(layer, term.shape, given)


# What these end a name with, and PyTorch with "weight".
SCALES = {"normalize": "gamma", "group_normalize": "gamma", "rms_normalize": "scale"}
