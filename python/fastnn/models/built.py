"""Built: a chain of layers made into a native network with one buffer of parameters.

Building changes no layer and no model. The model adopts the result once it is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fastnn import _core
from fastnn.arrays.host import plain
from fastnn.layers.base import Dtype, Layer, Shape, extended, make_variables, network_for
from fastnn.variables import Place, Variable


class Built(NamedTuple):
    """A network with its parameters, and the places that the layers' Variables will have."""

    network: _core.Network
    parameters: _core.Parameters
    shapes: list[Shape]  # of a row: the input, then the output of each layer
    variables: list[list[Variable]]  # of each layer
    places: list[list[Place]]  # of each variable, in `parameters`

    @property
    def trainable(self) -> list[bool]:
        """For each parameter, whether it is to be trained."""
        return [variable.trainable for layer in self.variables for variable in layer]


def assemble(layers: Sequence[Layer], shape: Shape, dtype: Dtype, key: int) -> Built:
    """Builds a chain of layers for input rows of `shape`; new parameters are drawn from `key`."""
    shapes = shapes_through(layers, shape)
    network = network_for(shape, dtype, key)
    tensor = 0
    counts: list[int] = []  # of parameters of each layer
    for layer in layers:
        before = len(network.parameters)
        network.begin_layer()
        tensor = extended(network, layer, tensor, shapes[len(counts)])
        counts.append(len(network.parameters) - before)
    network.set_output(tensor)
    parameters = _core.Parameters(network.parameter_size, dtype)
    found = iter(network.parameters)
    built = Built(network, parameters, shapes, [], [])
    index = 0  # of layers with parameters, so that a Flatten changes no other layer's values
    for layer, layer_shape, count in zip(layers, shapes, counts, strict=False):
        own = [next(found) for _ in range(count)]
        if layer.built:
            variables, places = layer.variables, _moved(layer, own, parameters)
        else:
            variables = make_variables(layer, layer_shape, own, parameters, key, index)
            places = [Place(parameters, *place) for place in own]
        built.variables.append(variables)
        built.places.append(places)
        index += count > 0
    network.bind(parameters)
    return built


def _moved(
    layer: Layer, places: Sequence[tuple[int, Shape]], parameters: _core.Parameters
) -> list[Place]:
    """Places in `parameters` that hold copies of the values of a layer that is built already."""
    moved = []
    for variable, (offset, needed) in zip(layer.variables, places, strict=True):
        if variable.shape != needed:
            raise ValueError(
                f"layer {layer.name!r} was built with a {variable.name} of shape "
                f"{variable.shape}, but needs {needed} here"
            )
        place = Place(parameters, offset, needed)
        place.write(plain(variable.numpy(), parameters.dtype))
        moved.append(place)
    return moved


def shapes_through(layers: Sequence[Layer], shape: Shape) -> list[Shape]:
    """Shapes of a row: `shape`, then the output of each layer."""
    shapes = [shape]
    for layer in layers:
        if layer.given_shape not in (None, shapes[-1]):
            raise ValueError(
                f"layer {layer.name!r} has input_shape={layer.given_shape}, but its input rows "
                f"have shape {shapes[-1]}"
            )
        shapes.append(layer.row_shape(shapes[-1]))
    return shapes
