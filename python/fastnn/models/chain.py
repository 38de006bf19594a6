"""Chains of layers and models: what may follow what, and how those without a name are named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.layers.base import Layer, Shape, without_batch
from fastnn.layers.shape import InputLayer
from fastnn.models.compiled import Compilable
from fastnn.models.nested import known_shapes, parts_in
from fastnn.words import snake_case


def check_are_layers(layers: Sequence[object]) -> None:
    for i, layer in enumerate(layers):
        if isinstance(layer, Compilable):
            if len(known_shapes(layer._state.now)) > 1:
                raise ValueError(
                    f"model {_name_of(layer)!r} takes several inputs; use fastnn.Model(inputs, "
                    "outputs)"
                )
            continue
        if not isinstance(layer, Layer):
            meant = f"; call the class, {layer.__name__}(...)" if isinstance(layer, type) else ""
            raise TypeError(f"layers: expected Layer objects, got {layer!r} at {i}{meant}")
        if layer.merges:
            raise ValueError(
                f"layer {layer.name!r}: {type(layer).__name__} takes several inputs; use "
                "fastnn.Model(inputs, outputs)"
            )


def _name_of(model: Any) -> str:
    return str(model.name)


def without_last(layers: Sequence[Any]) -> Sequence[Any]:
    if all(isinstance(layer, InputLayer) for layer in layers):
        raise ValueError("pop: the model has no layers")
    return layers[:-1]


def first_shape(layers: Sequence[Any]) -> Shape | None:
    """The input shape that the first layer or model gives, or was built with."""
    if not layers:
        return None
    first: Any = layers[0]
    if isinstance(first, Compilable):
        shapes = known_shapes(first._state.now)
        return shapes[0] if shapes else first_shape(parts_in(first._state.now))
    given: Shape | None = first.given_shape
    if given is not None:
        return given
    # Only parameters tie a layer to a shape; a Flatten that was built elsewhere fits anywhere.
    return without_batch(first.input_shape) if first.variables else None


def plain(parts: Sequence[object]) -> bool:
    """Whether there are layers alone, and no models."""
    return not any(
        isinstance(part, Compilable) or getattr(part, "opaque", None) is not None for part in parts
    )


def check_given(layers: Sequence[Layer], shape: Shape) -> None:
    """ValueError where a layer says another input shape than it gets."""
    for layer in layers:
        if layer.given_shape not in (None, shape):
            raise ValueError(
                f"layer {layer.name!r} has input_shape={layer.given_shape}, but its input rows "
                f"have shape {shape}"
            )
        shape = layer.row_shape(shape)


def numbered(layers: Sequence[Any], given: set[str], home: object = None) -> list[str]:
    """A name for each layer or model: the given one, or "dense", "dense_1", ...: the first not taken.

    Parts that have another home than `home` keep the name from there, unless it is taken.
    """
    taken = set(given)
    counts: dict[str, int] = {}  # where to go on, for each base
    names = []
    for layer in layers:
        name = layer.given_name
        if name is None and layer.home not in (None, home) and layer.name not in taken:
            name = str(layer.name)
            taken.add(name)
        if name is None:
            base = layer.kind_name if isinstance(layer, Layer) else snake_case(type(layer).__name__)
            count = counts.get(base, 0)
            name = base if count == 0 else f"{base}_{count}"
            while name in taken:
                count += 1
                name = f"{base}_{count}"
            counts[base] = count + 1
            taken.add(name)
        names.append(name)
    return names
