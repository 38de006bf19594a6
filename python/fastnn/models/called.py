"""A model called on rows: one native pass, and one entry of a tape.

A softmax or sigmoid at the end is an operation of its own on the logits, so that losses of the
outputs find the logits. For second derivatives the layers are called one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastnn.autodiff import functions
from fastnn.autodiff.kernels import Source, Unchanged, composed
from fastnn.autodiff.tape import recording
from fastnn.autodiff.tensor import Tensor, recorded
from fastnn.data.rows import rows
from fastnn.data.table import Table
from fastnn.layers.base import Layer
from fastnn.models import heads
from fastnn.models.built import Built


def called(built: Built, layers: Sequence[Layer], x: Tensor, training: bool) -> Tensor:
    """The outputs of a model for rows x."""
    linear = heads.find(layers).activation == "linear"
    array = rows("x", x.value, built.shapes[0])
    kept = built.network.record(Table(array).native(), training=training, logits=True)
    y = Tensor(kept.outputs.reshape(len(array), *built.shapes[-1]))
    inputs: tuple[Source, ...] = (x, *built.all_variables)
    unchanged = Unchanged(inputs)

    def forward(x: Tensor, *_: object) -> Tensor:
        for layer in layers:
            x = layer(x)
        return x.logits[0] if x.logits is not None and x.logits[0] is not None else x

    def pull(dy: Tensor) -> Sequence[Tensor | None]:
        unchanged.check()
        if recording():
            if training:
                raise RuntimeError(
                    "gradient: a second derivative of a model in training would draw dropout "
                    "again; call the model with training=False"
                )
            return composed(forward, inputs, dy)
        dy_ = np.ascontiguousarray(dy.value, y.dtype).reshape(len(array), -1)
        dx, flat = kept.pull(dy_)
        return [
            Tensor(dx.reshape(x.shape)),
            *(
                Tensor(flat[place.offset : place.offset + place.size].reshape(place.shape))
                for places in built.places
                for place in places
            ),
        ]

    recorded(y, inputs, pull)
    if kept.head is None:
        if linear:
            y.logits = None, "linear"
        return y
    return functions.softmax(y) if kept.head == "softmax" else functions.sigmoid(y)
