"""Chains of layers: what may follow what, and how layers without a name are named."""

from __future__ import annotations

from collections.abc import Sequence

from fastnn.layers.base import Layer, Shape, without_batch
from fastnn.layers.shape import InputLayer
from fastnn.words import snake_case


def check_are_layers(layers: Sequence[object]) -> None:
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"layers: expected Layer objects, got {layer!r} at {i}")
        if layer.merges:
            raise ValueError(
                f"layer {layer.name!r}: {type(layer).__name__} takes several inputs; use "
                "fastnn.Model(inputs, outputs)"
            )


def without_last(layers: Sequence[Layer]) -> Sequence[Layer]:
    if all(isinstance(layer, InputLayer) for layer in layers):
        raise ValueError("pop: the model has no layers")
    return layers[:-1]


def first_shape(layers: Sequence[Layer]) -> Shape | None:
    """The input shape that the first layer gives, or was built with."""
    if not layers:
        return None
    first = layers[0]
    if first.given_shape is not None:
        return first.given_shape
    # Only parameters tie a layer to a shape; a Flatten that was built elsewhere fits anywhere.
    return without_batch(first.input_shape) if first.variables else None


def check_given(layers: Sequence[Layer], shape: Shape) -> None:
    """ValueError where a layer says another input shape than it gets."""
    for layer in layers:
        if layer.given_shape not in (None, shape):
            raise ValueError(
                f"layer {layer.name!r} has input_shape={layer.given_shape}, but its input rows "
                f"have shape {shape}"
            )
        shape = layer.row_shape(shape)


def numbered(layers: Sequence[Layer], given: set[str]) -> list[str]:
    """A name for each layer: the given one, or "dense", "dense_1", ...: the first not taken."""
    taken = set(given)
    counts: dict[str, int] = {}  # where to go on, for each base
    names = []
    for layer in layers:
        name = layer.given_name
        if name is None:
            base = snake_case(type(layer).__name__)
            count = counts.get(base, 0)
            name = base if count == 0 else f"{base}_{count}"
            while name in taken:
                count += 1
                name = f"{base}_{count}"
            counts[base] = count + 1
            taken.add(name)
        names.append(name)
    return names
