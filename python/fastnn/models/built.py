"""Built: a graph of layers made into a native network with one buffer of parameters.

Building changes no layer and no model. The model adopts the result once it is complete.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from fastnn import _core
from fastnn.arrays.host import plain
from fastnn.layers.base import Dtype, Layer, Shape, make_variables, network_for, parameters_for
from fastnn.models.graph import Call, extend, given_of, shapes_of
from fastnn.models.sharing import Copies, Lent, lent
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
    shapes: tuple[Shape, Shape]  # of a row: the input, and the output
    rows: list[tuple[Any, Shape]]  # of each layer: its input or, merging, inputs; its output
    variables: list[list[Variable]]  # of each layer
    places: list[list[Place]]  # of each variable, in `parameters`
    copies: Copies  # of values that are in other buffers, at these places
    settings: Settings | None = None  # that the network was compiled with
    # How each of several outputs ends: its activation, or "" where a layer after it changes that.
    ends: tuple[str, ...] = ()
    # The last layer that gives outputs of its own has no activation, or log_softmax.
    gives_logits: bool = False
    # Those of all layers, in the order of the network's parameters.
    all_variables: tuple[Variable, ...] = ()
    # Layers that were in the buffer of another model when this was built, and stay there.
    guests: frozenset[int] = frozenset()

    def lent(self) -> list[Lent]:
        """What is in the buffers of other models now."""
        return lent(self.variables, self.places, self.copies)


class Wiring(NamedTuple):
    """What a network is built from: layers, their calls, and the shapes of a row of each input."""

    layers: Sequence[Layer]
    calls: Sequence[Call]
    inputs: Sequence[Shape]
    dtype: Dtype
    key: int

    @property
    def row_shape(self) -> Shape:
        """The shape of a row of x: several inputs stand side by side."""
        if len(self.inputs) == 1:
            return self.inputs[0]
        return (sum(math.prod(shape) for shape in self.inputs),)


def assemble(wiring: Wiring, paths: Sequence[str], former: Built | None, owner: object) -> Built:
    """Builds a graph of layers; new parameters are drawn from its key.

    `paths`: of the layers. The network goes on with the counts of that of `former`. Layers that are
    in the buffer of another model than `owner` stay there.
    """
    layers = wiring.layers
    shapes = shapes_of(layers, wiring.calls, wiring.inputs)
    network, counts = _network(wiring, shapes)
    parameters = parameters_for(network, wiring.dtype)
    found = iter(network.parameters)
    ends = (wiring.row_shape, shapes[-1])
    built = Built(network, parameters, ends, _rows(wiring, shapes), [], [], Copies())
    index = 0  # of layers with parameters, so that a Flatten changes no other layer's values
    guests = set()
    for i, (layer, path, rows, count) in enumerate(
        zip(layers, paths, built.rows, counts, strict=True)
    ):
        own = [next(found) for _ in range(count)]
        if layer.built:
            holder = layer.owner
            if holder is not None and holder is not owner and layer.variables:
                guests.add(i)
            variables, places = layer.variables, _places(layer, rows[0], own, parameters)
            if i not in guests:
                _copy(variables, places)
        else:
            variables = make_variables(layer, path, rows[0], own, parameters, wiring.key, index)
            places = [variable.place for variable in variables]
        built.variables.append(variables)
        built.places.append(places)
        index += count > 0
    _go_on(network, parameters, former)
    every = tuple(variable for layer in built.variables for variable in layer)
    return built._replace(guests=frozenset(guests), all_variables=every)


def renewed(built: Built, wiring: Wiring) -> Built:
    """The same, with a new network over the same parameters, to be compiled in another way."""
    network, _ = _network(wiring, shapes_of(wiring.layers, wiring.calls, wiring.inputs))
    _go_on(network, built.parameters, built)
    return built._replace(network=network)


def _rows(wiring: Wiring, shapes: Sequence[Shape]) -> list[tuple[Any, Shape]]:
    """Shapes of the input and output rows of each layer, in its first call."""
    rows: dict[int, tuple[Any, Shape]] = {}
    for i, call in enumerate(wiring.calls):
        layer = wiring.layers[call.layer]
        made = shapes[len(wiring.inputs) + i]
        rows.setdefault(call.layer, (given_of(layer, call, shapes), made))
    return [rows[i] for i in range(len(wiring.layers))]


def _network(wiring: Wiring, shapes: Sequence[Shape]) -> tuple[_core.Network, list[int]]:
    """A network of the layers, and how many parameters each has."""
    network = network_for(wiring.row_shape, wiring.dtype, wiring.key)
    counts = [0] * len(wiring.layers)
    total = 0

    def count(layer: int) -> None:
        nonlocal total
        counts[layer] += network.parameter_count - total
        total = network.parameter_count

    tensors, _ = extend(network, wiring.layers, wiring.calls, wiring.inputs, shapes, count)
    network.set_output(tensors[-1])
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
    continues: bool  # whether the parameters are those that training left


def progress_of(network: _core.Network) -> Progress:
    """A copy of the state of training."""
    return Progress(
        network.optimizer_state,
        network.steps,
        network.updates,
        network.epochs,
        network.continues,
    )


def restore_progress(network: _core.Network, progress: Progress) -> None:
    """Makes a network that is compiled in the same way, if at all, go on from there."""
    if progress.optimizer_state:
        network.set_optimizer_state(progress.optimizer_state)
    network.steps, network.updates = progress.steps, progress.updates
    network.epochs = progress.epochs
    network.continues = progress.continues


def _places(
    layer: Layer, given: Any, places: Sequence[tuple[int, Shape]], parameters: _core.Parameters
) -> list[Place]:
    """Places in `parameters` for a layer that is built already, called on rows of shape `given`."""
    found = []
    specs = layer.weight_specs(given)
    for variable, spec, (offset, _) in zip(layer.variables, specs, places, strict=True):
        needed = spec.shape  # which natively may be another one of as many numbers
        if variable.shape != needed:
            raise ValueError(
                f"layer {layer.name!r} was built with a {variable.name} of shape "
                f"{variable.shape}, but needs {needed} here"
            )
        found.append(Place(parameters, offset, needed))
    return found


def _copy(variables: Sequence[Variable], places: Sequence[Place]) -> None:
    for variable, place in zip(variables, places, strict=True):
        place.write(plain(variable.view(), place.parameters.dtype))
