"""Built: a chain of layers made into a native network with one buffer of parameters.

Building changes no layer and no model. The model adopts the result once it is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from fastnn import _core
from fastnn.arrays.host import plain
from fastnn.layers.base import Dtype, Layer, Shape, extended, make_variables, network_for
from fastnn.variables import Place, Variable


class Settings(NamedTuple):
    """What `compile` reads from Variables, optimizer and loss, all of which may change later."""

    trained: Sequence[bool]  # of each parameter
    groups: list[dict[str, float]]  # of parameters that are updated alike
    numbers: list[int]  # the group of each parameter
    stage: dict[str, Any]  # of updates, besides the step
    loss: dict[str, Any]

    @property
    def averages(self) -> bool:
        """Whether training keeps an average of the weights."""
        return self.stage["average_momentum"] is not None


class Built(NamedTuple):
    """A network with its parameters, and the places that the layers' Variables will have."""

    network: _core.Network
    parameters: _core.Parameters
    shapes: list[Shape]  # of a row: the input, then the output of each layer
    variables: list[list[Variable]]  # of each layer
    places: list[list[Place]]  # of each variable, in `parameters`
    settings: Settings | None = None  # that the network was compiled with

    @property
    def all_variables(self) -> list[Variable]:
        """Those of all layers, in the order of the network's parameters."""
        return [variable for layer in self.variables for variable in layer]


def assemble(
    layers: Sequence[Layer],
    paths: Sequence[str],
    shape: Shape,
    dtype: Dtype,
    key: int,
    former: Built | None,
) -> Built:
    """Builds a chain of layers for input rows of `shape`; new parameters are drawn from `key`.

    `paths`: of the layers. The network goes on with the counts of that of `former`.
    """
    shapes = shapes_through(layers, shape)
    network, counts = _network(layers, shapes, dtype, key)
    parameters = _core.Parameters(network.parameter_size, dtype)
    found = iter(network.parameters)
    built = Built(network, parameters, shapes, [], [])
    index = 0  # of layers with parameters, so that a Flatten changes no other layer's values
    for layer, path, layer_shape, count in zip(layers, paths, shapes, counts, strict=False):
        own = [next(found) for _ in range(count)]
        if layer.built:
            variables, places = layer.variables, _moved(layer, own, parameters)
        else:
            variables = make_variables(layer, path, layer_shape, own, parameters, key, index)
            places = [variable.place for variable in variables]
        built.variables.append(variables)
        built.places.append(places)
        index += count > 0
    _go_on(network, parameters, former)
    return built


def renewed(built: Built, layers: Sequence[Layer], dtype: Dtype, key: int) -> Built:
    """The same, with a new network over the same parameters, to be compiled in another way."""
    network, _ = _network(layers, built.shapes, dtype, key)
    _go_on(network, built.parameters, built)
    return built._replace(network=network)


def _network(
    layers: Sequence[Layer], shapes: Sequence[Shape], dtype: Dtype, key: int
) -> tuple[_core.Network, list[int]]:
    """A network of the layers, and how many parameters each has."""
    network = network_for(shapes[0], dtype, key)
    tensor = total = 0
    counts: list[int] = []
    for layer, shape in zip(layers, shapes, strict=False):
        network.begin_layer()
        tensor = extended(network, layer, tensor, shape)
        counts.append(network.parameter_count - total)
        total += counts[-1]
    network.set_output(tensor)
    return network, counts


def _go_on(network: _core.Network, parameters: _core.Parameters, former: Built | None) -> None:
    """Binds the parameters; the network goes on with the counts of the former one."""
    network.bind(parameters)
    if former is not None:
        network.steps, network.epochs = former.network.steps, former.network.epochs


class Progress(NamedTuple):
    """How far a network was trained, besides its parameters."""

    optimizer_state: list[NDArray[Any]]
    steps: int
    updates: int
    epochs: int


def progress_of(network: _core.Network) -> Progress:
    """A copy of the state of training."""
    return Progress(network.optimizer_state, network.steps, network.updates, network.epochs)


def restore_progress(network: _core.Network, progress: Progress) -> None:
    """Makes a network that is compiled in the same way, if at all, go on from there."""
    if progress.optimizer_state:
        network.set_optimizer_state(progress.optimizer_state)
    network.steps, network.updates = progress.steps, progress.updates
    network.epochs = progress.epochs


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
        place.write(plain(variable.view(), parameters.dtype))
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
