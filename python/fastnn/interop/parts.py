"""Layers that come from elsewhere, with their weights, and the models that are made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import elsewhere
from fastnn.layers.base import Layer, Shape, dtype_of
from fastnn.layers.shape import InputLayer
from fastnn.models import Model, Sequential

Array = NDArray[Any]


class Part(NamedTuple):
    """A layer, and the place that it comes from, for messages."""

    where: str
    layer: Layer
    weights: Sequence[Array] = ()


def sequential(
    parts: Sequence[Part],
    input_shape: Shape,
    *,
    dtype: str | None = None,
    name: str | None = None,
) -> Sequential:
    """A built Sequential with these weights.

    `dtype`: None is float64 if all weights are, and float32 otherwise.

    Raises:
        ValueError: a layer does not take what the one before it gives, or has weights of other
            shapes; the message names its place. Nothing is built then.
    """
    shape = input_shape
    for part in parts:
        with at(part.where):
            check_weights(part, shape)
            shape = part.layer.row_shape(shape)
    weights = [array for part in parts for array in part.weights]
    kind = dtype_for(weights, dtype)
    layers = [InputLayer(input_shape), *(part.layer for part in parts)]
    model = Sequential(layers, name=name, dtype=kind)
    write(model, weights)
    return model


def check_weights(part: Part, given: Shape) -> None:
    """ValueError if the weights are not those that the layer needs for rows of shape `given`."""
    needed = part.layer.weight_specs(given)
    if len(needed) != len(part.weights):
        raise ValueError(f"expected {len(needed)} arrays of weights, got {len(part.weights)}")
    for spec, array in zip(needed, part.weights, strict=True):
        if tuple(array.shape) != spec.shape:
            raise ValueError(
                f"expected a {spec.name} of shape {spec.shape} for rows of shape {given}, got "
                f"{tuple(array.shape)}"
            )


def dtype_for(weights: Sequence[Array], given: str | None = None) -> str:
    """The dtype of a model with these weights: the given one; float64 if all of them are."""
    if given is not None:
        return dtype_of(given)
    doubles = bool(weights) and all(array.dtype == np.float64 for array in weights)
    return "float64" if doubles else "float32"


def write(model: Model, weights: Sequence[Array]) -> None:
    """Sets all weights, in the order of the model's."""
    if weights:
        model.set_weights(list(weights))


def write_by_layer(model: Model, weights: Sequence[tuple[Layer, Sequence[Array]]]) -> None:
    """Sets all weights of a model, given for each layer; layers that are not listed keep theirs."""
    found: dict[int, Array] = {}
    for layer, arrays in weights:
        found |= {id(v): array for v, array in zip(layer.variables, arrays, strict=True)}
    write(model, [found.get(id(v), v.view()) for v in model.weights])


@contextmanager
def at(where: str) -> Iterator[None]:
    """Puts the place that a layer comes from before the messages of errors about it."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {error}") from error.__cause__


def no_layer(where: str, kind: str) -> ValueError:
    """The error for a layer of another package that fastnn has not."""
    advice = elsewhere.advice("layer", kind)
    told = "" if advice is None else f"; {advice}"
    return ValueError(f"{where}: fastnn has no layer for {kind}{told}")
