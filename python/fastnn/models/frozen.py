"""What a Predictor takes and gives: the structure of a model's inputs and outputs."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastnn import _core
from fastnn.arrays.host import numeric
from fastnn.layers.base import Shape
from fastnn.models.built import Built
from fastnn.models.compiled import State


class Structure(NamedTuple):
    """One array or several, with the shape of a row of each."""

    kind: type | None  # list, tuple or dict; None: a single array
    names: tuple[str, ...]  # none: they have no names
    shapes: tuple[Shape, ...]


def frozen(model: Any, state: State, built: Built) -> _core.Predictor:
    """A copy of the model as it is now, with its inputs and outputs as `predict` has them."""
    names: int | list[str] | None = model._input_names
    kind = None if names is None else dict if isinstance(names, list) else list
    labels: tuple[str, ...] = model._input_labels
    shapes = state.inputs or built.shapes[:1]
    # The inputs of a graph have names; the one of a chain has none.
    inputs = Structure(kind, labels if len(labels) == len(shapes) else (), tuple(shapes))
    form = state.form
    if form.kind is None:
        outputs = Structure(None, (), built.shapes[-1:])
        return built.network.predictor(inputs, outputs, [], numeric)
    place = state.calls[-1].layer
    end: Any = state.layers[place]
    outputs = Structure(form.kind, form.names, tuple(built.rows[place][0]))
    ends = [
        made if squashed and made in ("softmax", "sigmoid") else "none"
        for made, squashed in zip(built.ends, end.squashed, strict=True)
    ]
    return built.network.predictor(inputs, outputs, ends, numeric)
