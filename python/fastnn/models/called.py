"""A model called on rows: one native pass, and one entry of a tape.

A softmax or sigmoid at the end is an operation of its own on the logits, so that losses of the
outputs find the logits. For second derivatives the layers are called one by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.arrays.host import numeric, plain
from fastnn.autodiff import functions
from fastnn.autodiff.kernels import Source, Unchanged, composed
from fastnn.autodiff.shared import part_of_batch
from fastnn.autodiff.tape import recording, watched
from fastnn.autodiff.tensor import Tensor, recorded, tensor
from fastnn.data.rows import rows
from fastnn.layers.base import Shape
from fastnn.layers.batch import BatchNormalization
from fastnn.layers.noise import Noise
from fastnn.models.compiled import State


def called(state: State, x: Tensor, training: bool) -> Any:
    """The outputs of a model for rows x, a Tensor or a structure of them."""
    built = state.built
    assert built is not None
    array = x.value
    if array.shape == (0, *built.shapes[0]):
        return _of_no_rows(state, x)
    usual = array.shape[1:] == built.shapes[0] and array.size > 0 and array.dtype.kind == "f"
    if not usual:
        array = rows("x", array, built.shapes[0])
    if training and any(layer.statistics for layer in state.layers):
        built.network.set_moving([flag for layer in state.layers for flag in layer.trained_flags()])
    part = part_of_batch() if training else None
    how = {} if part is None else part.of_rows(len(array))
    kept = built.network.record_rows(array, training, watched(x), **how)
    y = Tensor(kept.outputs)
    if len(built.shapes[-1]) != 1:
        y.value = y.value.reshape(len(array), *built.shapes[-1])
    inputs: tuple[Source, ...] = (x, *built.all_variables)
    unchanged = Unchanged(inputs[1:2])  # all are in one buffer

    several = state.form.kind is not None

    def forward(x: Tensor, *_: object) -> Tensor:
        tensors = split(x, state.inputs)
        for call in state.calls:
            layer = state.layers[call.layer]
            given = [tensors[i] for i in call.inputs]
            if training and isinstance(layer, BatchNormalization) and layer.trainable:
                tensors.append(layer.of_batch(given[0]))
                continue
            tensors.append(layer(given if layer.merges else given[0], training=False))
        x = tensors[-1]
        if several:
            return x
        return x.logits[0] if x.logits is not None and x.logits[0] is not None else x

    def pull(dy: Tensor) -> Sequence[Tensor | None]:
        unchanged.check()
        if recording():
            if training and any(isinstance(layer, Noise) for layer in state.layers):
                raise RuntimeError(
                    "gradient: a second derivative of a model in training would draw its "
                    "noise again; call the model with training=False"
                )
            return composed(forward, inputs, dy)
        given = plain(dy.value, y.value.dtype)
        found = kept.pull(given if given.ndim == 2 else given.reshape(len(array), -1))
        # Native parameters have one or two axes, whatever those of the Variables are.
        return [
            None if part is None else Tensor(part.reshape(source.shape))
            for source, part in zip(inputs, found, strict=True)
        ]

    recorded(y, inputs, pull)
    if several:
        return parted(state, y)
    if kept.head is None:
        if built.gives_logits:
            y.logits = None, "linear"
        return y
    return functions.softmax(y) if kept.head == "softmax" else functions.sigmoid(y)


def _of_no_rows(state: State, x: Tensor) -> Any:
    """Outputs without rows, whose gradients are zeros."""
    built = state.built
    assert built is not None
    y = Tensor(np.zeros((0, *built.shapes[-1]), built.parameters.dtype))
    sources: tuple[Source, ...] = (x, *built.all_variables)

    def pull(_: Tensor) -> Sequence[Tensor | None]:
        return [Tensor(np.zeros(source.shape, source.dtype)) for source in sources]

    recorded(y, sources, pull)
    return parted(state, y) if state.form.kind is not None else y


def parted(state: State, y: Tensor) -> Any:
    """Several outputs in their structure, of their columns side by side."""
    end: Any = state.layers[state.calls[-1].layer]
    built = state.built
    assert built is not None
    shapes = built.rows[state.calls[-1].layer][0]
    return state.form.like(end.parted(y, shapes, built.ends))


def split(x: Tensor, inputs: Sequence[Shape]) -> list[Tensor]:
    """The inputs of a graph, whose columns stand side by side in x."""
    if len(inputs) < 2:
        return [x]
    parts, begin = [], 0
    for shape in inputs:
        end = begin + math.prod(shape)
        parts.append(functions.reshape(x[:, begin:end], (len(x), *shape)))
        begin = end
    return parts


def side_by_side(parts: Sequence[Any], inputs: Sequence[Shape], gaps: bool = False) -> Any:
    """Several inputs as one array or, where a Tensor is among them, as one Tensor.

    `gaps`: some columns may have NaN; which, the check of the whole knows.

    Raises:
        ValueError: a part has not the shape of its input, or another number of rows, or is not finite.
    """
    recorded_parts = any(isinstance(part, Tensor) for part in parts)
    arrays: list[Any] = [
        tensor(part) if recorded_parts else numeric(f"x[{i}]", part) for i, part in enumerate(parts)
    ]
    for i, (array, shape) in enumerate(zip(arrays, inputs, strict=True)):
        if array.ndim == 1 and shape == (1,):
            arrays[i] = array = array[:, None]
        if array.shape[1:] != shape:
            raise ValueError(
                f"x[{i}]: expected shape (n, {', '.join(map(str, shape))}), got {array.shape}"
            )
        if len(array) != len(arrays[0]):
            raise ValueError(f"x: inputs of {len(arrays[0])} and {len(array)} rows")
    if recorded_parts:
        return functions.concat([functions.reshape(a, (len(a), -1)) for a in arrays], 1)
    flat = [array.reshape(len(array), -1) for array in arrays]
    joined = np.concatenate(flat, axis=1)
    # The check of the whole would name a column of all inputs together.
    with np.errstate(all="ignore"):
        if joined.dtype.kind == "f" and not np.isfinite(joined.sum()):
            for i, array in enumerate(flat):
                wrong = np.argwhere(np.isinf(array) if gaps else ~np.isfinite(array))
                if len(wrong):
                    row, column = map(int, wrong[0])
                    raise ValueError(
                        f"x[{i}]: expected finite numbers, got {array[row, column]} at row {row}, "
                        f"column {column}"
                    )
    return joined
