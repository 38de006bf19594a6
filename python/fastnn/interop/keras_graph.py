"""Models of Keras's configs: the graph of their layers, drawn with fastnn's, and the weights put in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fastnn.interop.keras_config import (
    Entry,
    dtype_of,
    entry_of,
    layers_of,
    row_shape_of,
)
from fastnn.interop.parts import Array, Part, at, check_weights, dtype_for, write_by_layer
from fastnn.layers.base import Layer
from fastnn.layers.shape import Input
from fastnn.layers.symbol import Symbol
from fastnn.models import Model, Sequential

_DEEPEST = 32  # models in models


class Place(NamedTuple):
    """Where the weights of a layer are."""

    names: tuple[str, ...]  # of the layer, after those of the models that it is in
    stored: str  # its group in a file of weights: "layers/sequential/layers/dense_1"


# Gives the weights of a layer, whose shapes are as listed; ValueError where they are not.
Weights = Callable[[Place, Sequence[tuple[int, ...]]], list[Array]]


def model_of(
    described: Any, weights: Weights, *, dtype: str | None = None, name: str | None = None
) -> Model:
    """The built model of a serialized one; no weight is allocated before its file has shown it."""
    entry = entry_of(described, "")
    if not entry.is_model:
        raise ValueError(
            f"{entry.where}: expected a Sequential or a Functional model; what a class of one's own "
            "computes is in its code, which is not run"
        )
    drawing = _Drawing(weights)
    inputs, outputs = drawing.model(entry, Place((), ""), None)
    arrays = [array for found in drawing.weights.values() for array in found]
    if dtype is None:
        kinds = {kind for kind in drawing.dtypes if kind is not None}
        dtype = "float64" if kinds == {"float64"} else "float32" if kinds else None
    kind = dtype_for(arrays, dtype)
    name = entry.name if name is None else name
    if entry.class_name == "Sequential" and drawing.is_chain:
        model: Model = Sequential([inputs, *drawing.made], name=name, dtype=kind)
    else:
        model = Model(inputs, outputs, name=name, dtype=kind)
    write_by_layer(model, [(layer, drawing.weights.get(id(layer), ())) for layer in drawing.made])
    return model


class _Drawing:
    """A graph of fastnn's layers under way."""

    def __init__(self, weights: Weights) -> None:
        self._read = weights
        self._layers: dict[tuple[str, ...], list[Layer]] = {}  # by their names in Keras
        self._taken: set[str] = set()
        self.made: list[Layer] = []  # in the order of their first calls
        self.weights: dict[int, list[Array]] = {}  # by the id of the layer
        self.dtypes: list[str | None] = []
        self.is_chain = True
        self._last: Symbol | None = None

    # -- models

    def model(self, entry: Entry, place: Place, given: Any) -> tuple[Any, Any]:
        """Inputs and outputs of a model: `given` symbols, or Inputs of its own for None."""
        if len(place.names) > _DEEPEST:
            raise ValueError(f"models are nested too deeply, more than {_DEEPEST} in each other")
        described = entry.config.get("layers")
        if not isinstance(described, list) or not described:
            raise ValueError(f"{entry.where}: expected layers, got none")
        children = [entry_of(layer, entry.where) for layer in described]
        names = Counter(child.name for child in children)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ValueError(f"{entry.where}: two layers are named {twice[0]!r}")
        places = _places(children, place)
        if entry.class_name == "Sequential":
            return self._sequential(entry, list(zip(children, places, strict=True)), given)
        return self._functional(entry, described, children, places, given)

    def _sequential(
        self, entry: Entry, children: list[tuple[Entry, Place]], given: Any
    ) -> tuple[Any, Any]:
        first = children[0][0]
        inputs = given
        if inputs is None and first.class_name == "InputLayer":
            inputs = Input(row_shape_of(first), name=self._free(first.name))
        elif inputs is None:
            inputs = Input(_built_for(entry), name="input")
        symbol = inputs
        for child, place in children:
            if child.class_name != "InputLayer":
                symbol = self._called(child, place, symbol)
        return inputs, symbol

    def _functional(
        self,
        entry: Entry,
        described: list[Any],
        children: list[Entry],
        places: list[Place],
        given: Any,
    ) -> tuple[Any, Any]:
        values: dict[tuple[str, int], Any] = {}  # by the name of a layer and the number of a call
        inputs = self._inputs(entry, children, given, values)
        calls = {
            child.name: _nodes(layer, child)
            for child, layer in zip(children, described, strict=True)
            if child.class_name != "InputLayer"
        }
        waiting = [
            (child, place, i)
            for child, place in zip(children, places, strict=True)
            for i in range(len(calls.get(child.name, ())))
        ]
        while waiting:
            later = []
            for child, place, i in waiting:
                arguments = calls[child.name][i]
                if all(key in values for key in _keys(arguments)):
                    symbols = _filled(arguments, values)
                    values[child.name, i] = self._called(child, place, symbols)
                else:
                    later.append((child, place, i))
            if len(later) == len(waiting):
                raise ValueError(f"{later[0][0].where}: it is called on what no layer makes")
            waiting = later
        outputs = _structure(entry, entry.config.get("output_layers"), values)
        return inputs, outputs

    def _inputs(
        self, entry: Entry, children: list[Entry], given: Any, values: dict[tuple[str, int], Any]
    ) -> Any:
        """The inputs in the form that the model takes them."""
        own = [child for child in children if child.class_name == "InputLayer"]
        if given is None:
            for child in own:
                name = self._free(child.name)
                values[child.name, 0] = Input(row_shape_of(child), name=name)
            return _structure(entry, entry.config.get("input_layers"), values)
        wanted = _listed(entry, entry.config.get("input_layers"))
        symbols = list(given.values()) if isinstance(given, Mapping) else given
        symbols = list(symbols) if isinstance(symbols, (list, tuple)) else [symbols]
        if len(symbols) != len(wanted):
            raise ValueError(f"{entry.where}: expected {len(wanted)} inputs, got {len(symbols)}")
        values.update(zip(wanted, symbols, strict=True))
        return given

    # -- layers

    def _called(self, entry: Entry, place: Place, given: Any) -> Any:
        """What a layer or model makes of symbols."""
        if entry.is_model:
            return self.model(entry, place, given)[1]
        if entry.is_operation:
            with at(entry.where):
                return self._operation(entry, given)
        if isinstance(given, _Operands):
            raise ValueError(f"{entry.where}: expected one input, got {given!r}")  # noqa: TRY004
        if place.names not in self._layers:
            common = {"name": self._free("_".join(place.names))}
            if entry.config.get("trainable") is False:
                common["trainable"] = False  # type: ignore[assignment]
            self._layers[place.names] = layers_of(entry, common)
            self.dtypes.append(dtype_of(entry))
        with at(entry.where):
            for layer in self._layers[place.names]:
                self._weigh(layer, place, given)
                given = self._on(layer, given)
        return given

    def _on(self, layer: Layer, given: Any) -> Symbol:
        follows = self._last is None or self._last is given
        self.is_chain = self.is_chain and follows and not layer.merges
        if any(layer is known for known in self.made):
            self.is_chain = False
        else:
            self.made.append(layer)
        made: Symbol = layer(given)
        self._last = made
        return made

    def _weigh(self, layer: Layer, place: Place, given: Any) -> None:
        """Reads the weights of a layer when it is called first."""
        if layer.merges or id(layer) in self.weights or not isinstance(given, Symbol):
            return
        layer.row_shape(given.row_shape)  # an error where the layer cannot take these rows
        shapes = [spec.shape for spec in layer.weight_specs(given.row_shape)]
        if shapes:
            arrays = self._read(place, shapes)
            check_weights(Part(place.stored, layer, arrays), given.row_shape)
            self.weights[id(layer)] = arrays

    def _operation(self, entry: Entry, given: Any) -> Symbol:
        """An operator on symbols and numbers, as `a + 2 * b` of tensors of Keras leaves it."""
        if entry.class_name not in _OPERATORS:
            raise ValueError("this operation is not in fastnn")
        operands = given if isinstance(given, _Operands) else (given,)
        self.is_chain = False
        made: Symbol = _OPERATORS[entry.class_name](*operands)
        return made

    def _free(self, name: str) -> str:
        """A name of a layer that no other has."""
        base = name.replace("/", "_")
        name, count = base, 0
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name


class _Operands(tuple[Any, ...]):
    """Several arguments of one call."""


_OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": lambda a, b: a + b,
    "Subtract": lambda a, b: a - b,
    "Multiply": lambda a, b: a * b,
    "TrueDivide": lambda a, b: a / b,
    "Divide": lambda a, b: a / b,
    "Negative": lambda a: -a,
}


def _places(children: Sequence[Entry], place: Place) -> list[Place]:
    """Files of weights count the layers of a class, in each model; operators have no place."""
    counts: dict[str, int] = {}
    places = []
    for child in children:
        if child.is_operation:
            places.append(Place((*place.names, child.name), ""))
            continue
        base = snake_case_of_keras(child.class_name)
        count = counts.get(base, 0)
        counts[base] = count + 1
        group = base if count == 0 else f"{base}_{count}"
        ahead = f"{place.stored}/" if place.stored else ""
        places.append(Place((*place.names, child.name), f"{ahead}layers/{group}"))
    return places


def snake_case_of_keras(name: str) -> str:
    """ "LeakyReLU" -> "leaky_re_lu", as Keras has it."""
    import re

    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


# -- calls in a config


def _nodes(described: Any, child: Entry) -> list[Any]:
    """The arguments of each call of a layer: (name, call) in place of tensors."""
    nodes = described.get("inbound_nodes")
    if not isinstance(nodes, list) or not nodes:
        raise ValueError(f"{child.where}: expected inbound_nodes, the calls of the layer")
    return [_arguments(node, child) for node in nodes]


def _arguments(node: Any, child: Entry) -> Any:
    if isinstance(node, Mapping):
        kwargs = node.get("kwargs", {})
        wrong = {k: v for k, v in kwargs.items() if v is not None and k not in ("training", "mask")}
        args = node.get("args")
        if not isinstance(args, list) or not args or wrong:
            raise ValueError(f"{child.where}: a call with the arguments {args!r}, {wrong!r}")
        given = [_argument(argument, child) for argument in args]
        return given[0] if len(given) == 1 else _Operands(given)
    if not isinstance(node, list) or not node:
        raise ValueError(f"{child.where}: expected a call, got {node!r}")
    # The form of Keras 2: a list of [name, call, tensor, options].
    tensors = [node] if isinstance(node[0], str) else node
    keys = [_key(tensor[:3], child) for tensor in tensors if isinstance(tensor, list)]
    return keys[0] if len(keys) == 1 else keys


def _argument(value: Any, child: Entry) -> Any:
    if isinstance(value, Mapping) and value.get("class_name") == "__keras_tensor__":
        config = value.get("config")
        history = config.get("keras_history") if isinstance(config, Mapping) else None
        return _key(history, child)
    if isinstance(value, list):
        return [_argument(part, child) for part in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise ValueError(f"{child.where}: expected an output of a layer, got {value!r:.80}")


class _Key(tuple[Any, ...]):
    """(name of a layer, number of its call): stands for an output."""


def _key(history: Any, child: Entry) -> _Key:
    fits = isinstance(history, list) and len(history) == 3
    if not fits or not isinstance(history[0], str) or type(history[1]) is not int:
        raise ValueError(f"{child.where}: expected [layer, call, output], got {history!r:.80}")
    if history[2] != 0:
        raise ValueError(f"{child.where}: layers of several outputs are not in fastnn")
    return _Key(history[:2])


def _keys(arguments: Any) -> list[_Key]:
    if isinstance(arguments, _Key):
        return [arguments]
    if isinstance(arguments, (list, tuple)):
        return [key for part in arguments for key in _keys(part)]
    return []


def _filled(arguments: Any, values: Mapping[Any, Any]) -> Any:
    """The arguments with symbols for keys."""
    if isinstance(arguments, _Key):
        return values[arguments]
    if isinstance(arguments, _Operands):
        return _Operands(_filled(part, values) for part in arguments)
    if isinstance(arguments, list):
        return [_filled(part, values) for part in arguments]
    return arguments


def _structure(entry: Entry, described: Any, values: Mapping[Any, Any]) -> Any:
    """Inputs or outputs of a model, in the form that it takes or gives them."""
    if isinstance(described, Mapping):
        return {str(k): _structure(entry, part, values) for k, part in described.items()}
    if isinstance(described, list) and described and isinstance(described[0], str):
        key = _key(described, entry)
        if key not in values:
            raise ValueError(f"{entry.where}: {described[0]!r} is no layer that is called")
        return values[key]
    if isinstance(described, list) and described:
        return [_structure(entry, part, values) for part in described]
    raise ValueError(f"{entry.where}: expected its inputs and outputs, got {described!r:.80}")


def _listed(entry: Entry, described: Any) -> list[tuple[str, int]]:
    """The keys of a structure, in order."""
    if isinstance(described, Mapping):
        return [key for part in described.values() for key in _listed(entry, part)]
    if isinstance(described, list) and described and isinstance(described[0], str):
        return [_key(described, entry)]
    if isinstance(described, list):
        return [key for part in described for key in _listed(entry, part)]
    raise ValueError(f"{entry.where}: expected its inputs, got {described!r:.80}")


def _built_for(entry: Entry) -> tuple[int, ...]:
    shape = entry.config.get("build_input_shape")
    if not isinstance(shape, list) or len(shape) < 2 or not all(type(n) is int for n in shape[1:]):
        raise ValueError(
            f"{entry.where}: the model was saved before it was built; it has no weights"
        )
    return tuple(shape[1:])
