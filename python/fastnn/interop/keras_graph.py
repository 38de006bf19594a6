"""Models of Keras's configs: the graph of their layers, drawn with fastnn's, and the weights put in."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from fastnn.interop.keras_calls import (
    Key,
    Operands,
    calls_of,
    filled,
    flat,
    keys_in,
    structure_of,
)
from fastnn.interop.keras_config import (
    Entry,
    dtype_of,
    entry_of,
    layers_of,
    row_shape_of,
)
from fastnn.interop.parts import Array, Part, at, check_weights, write_by_layer
from fastnn.layers.base import Dtype, Layer
from fastnn.layers.base import dtype_of as checked_dtype
from fastnn.layers.features import Normalization
from fastnn.layers.shape import Input
from fastnn.layers.symbol import Symbol
from fastnn.models import Model, Sequential

_DEEPEST = 32  # models in models
# A model that calls another ten times, which calls a third one ten times, and so on, is a short file.
_MOST_CALLS = 10_000


class Place(NamedTuple):
    """Where the weights of a layer are."""

    names: tuple[str, ...]  # of the layer, after those of the models that it is in
    stored: str  # its group in a file of weights: "layers/sequential/layers/dense_1"


class Weights(Protocol):
    """Where the weights of layers come from."""

    def __call__(self, place: Place, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
        """The weights of a layer, whose shapes are as listed; ValueError where they are not."""

    def identity(self, place: Place) -> Hashable:
        """Equal for two places of one layer, which is shared by two models."""


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
    kinds = {dtype_of(layer) for layer in _layers_in(entry, Place((), ""))} - {None}
    if dtype is None:
        dtype = "float64" if kinds == {"float64"} else "float32"
    drawing = _Drawing(weights, checked_dtype(dtype))
    model = drawing.model(entry, Place((), ""), None, entry.name if name is None else name)
    write_by_layer(model, list(drawing.weights.values()))
    return model


def _children(entry: Entry, place: Place) -> list[tuple[Entry, Place]]:
    """The layers and models in a model."""
    if len(place.names) > _DEEPEST:
        raise ValueError(f"models are nested too deeply, more than {_DEEPEST} in each other")
    described = entry.config.get("layers")
    if not isinstance(described, list) or not described:
        raise ValueError(f"{entry.where}: expected layers, got none")
    if len(described) > _MOST_CALLS:
        raise ValueError(f"{entry.where}: it has {len(described)} layers, more than {_MOST_CALLS}")
    children = [entry_of(layer, entry.where) for layer in described]
    names = Counter(child.name for child in children)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise ValueError(f"{entry.where}: two layers are named {twice[0]!r}")
    return list(zip(children, _places(children, place), strict=True))


def _layers_in(entry: Entry, place: Place) -> Iterator[Entry]:
    """All layers, of models in the model, too."""
    for child, inner in _children(entry, place):
        if child.is_model:
            yield from _layers_in(child, inner)
        elif child.class_name != "InputLayer" and not child.is_operation:
            yield child


class _Drawing:
    """A graph of fastnn's layers under way.

    Args:
        weights: reads the weights of a layer.
        dtype: of the model.
    """

    def __init__(self, weights: Weights, dtype: Dtype) -> None:
        self._read = weights
        self._dtype = dtype
        self._layers: dict[Hashable, list[Layer]] = {}  # by their identity
        self._models: dict[
            tuple[str, ...], tuple[Model, int]
        ] = {}  # and the calls of layers in each
        self._calls = 0
        self.weights: dict[int, tuple[Layer, list[Array]]] = {}  # by the id of the layer

    # -- models

    def model(self, entry: Entry, place: Place, given: Any, name: str) -> Model:
        """A built model. `given`: what it is called on, where it does not say its input by itself."""
        children = _children(entry, place)
        if entry.class_name == "Sequential":
            return self._sequential(entry, children, given, name)
        return self._functional(entry, children, name)

    def _sequential(
        self, entry: Entry, children: list[tuple[Entry, Place]], given: Any, name: str
    ) -> Model:
        names = _Names()
        first = children[0][0]
        if first.class_name == "InputLayer":
            inputs = Input(row_shape_of(first), name=names.free(first.name))
        else:
            inputs = Input(_built_for(entry, given), name=names.free("input"))
        parts: list[Any] = [inputs]
        symbol: Any = inputs
        for child, place in children:
            if child.class_name == "InputLayer":
                continue
            if not isinstance(symbol, Symbol):
                raise ValueError(  # noqa: TRY004 - part of a file, not an argument
                    f"{child.where}: expected one input, got {len(flat(symbol))}"
                )
            made, symbol = self._called(child, place, symbol, names)
            parts += made
        return Sequential(parts, name=name, dtype=self._dtype)

    def _functional(self, entry: Entry, children: list[tuple[Entry, Place]], name: str) -> Model:
        classes = {child.name: child.class_name for child, _ in children}
        names = _Names()
        values: dict[Key, Any] = {}
        for child, _ in children:
            if child.class_name == "InputLayer":
                symbol = Input(row_shape_of(child), name=names.free(child.name))
                values[Key((child.name, 0, 0))] = symbol
        taken, gives = (
            structure_of(entry, entry.config.get(f"{what}_layers"), classes)
            for what in ("input", "output")
        )
        inputs = _looked_up(entry, taken, values)
        for child, place, i, arguments in _in_order(entry, children, classes, values):
            _, made = self._called(child, place, _looked_up(child, arguments, values), names)
            values.update((Key((child.name, i, j)), s) for j, s in enumerate(flat(made)))
        outputs = _looked_up(entry, gives, values)
        with at(entry.where):
            return Model(inputs, outputs, name=name, dtype=self._dtype)

    # -- layers

    def _called(
        self, entry: Entry, place: Place, given: Any, names: _Names
    ) -> tuple[list[Any], Any]:
        """The layers or the model of an entry, and what they make of symbols."""
        if entry.is_model:
            return self._called_model(entry, place, given, names)
        self._count(entry, 1)
        if entry.is_operation:
            with at(entry.where):
                return [], _operated(entry, given)
        if isinstance(given, Operands):
            raise ValueError(f"{entry.where}: expected one input, got {len(given)}")  # noqa: TRY004
        key = self._read.identity(place)
        if key not in self._layers:
            common: dict[str, Any] = {"name": names.free(entry.name)}
            if entry.config.get("trainable") not in (None, True):
                common["trainable"] = entry.config["trainable"]
            self._layers[key] = layers_of(entry, common)
        with at(entry.where):
            for layer in self._layers[key]:
                self._weigh(layer, place, given)
                given = layer(given)
        return self._layers[key], given

    def _called_model(
        self, entry: Entry, place: Place, given: Any, names: _Names
    ) -> tuple[list[Any], Any]:
        if place.names not in self._models:
            before = self._calls
            made = self.model(entry, place, given, names.free(entry.name))
            self._models[place.names] = made, self._calls - before
            self._calls = before
        model, calls = self._models[place.names]
        self._count(entry, calls)
        if isinstance(given, list) and len(given) == 1 and isinstance(model, Sequential):
            given = given[0]
        with at(entry.where):
            return [model], model(given)

    def _count(self, entry: Entry, calls: int) -> None:
        self._calls += calls
        if self._calls > _MOST_CALLS:
            raise ValueError(
                f"{entry.where}: the model has more than {_MOST_CALLS} calls of layers"
            )

    def _weigh(self, layer: Layer, place: Place, given: Any) -> None:
        """Reads the weights of a layer when it is called first."""
        if layer.merges or id(layer) in self.weights or not isinstance(given, Symbol):
            return
        layer.row_shape(given.row_shape)  # an error where the layer cannot take these rows
        shapes = [spec.shape for spec in layer.weight_specs(given.row_shape)]
        if isinstance(layer, Normalization):
            if layer.given_mean is not None:  # then the config alone has them
                return
            shapes.append(())  # the count of rows, which nothing needs
        if shapes:
            arrays = self._read(place, shapes)
            if isinstance(layer, Normalization):
                arrays = arrays[:2]
            check_weights(Part(place.stored, layer, arrays), given.row_shape)
            self.weights[id(layer)] = layer, arrays


class _Names:
    """Names in a model, which differ; Keras's may have slashes, which are paths here."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def free(self, name: str) -> str:
        base = name.replace("/", "_")
        name, count = base, 0
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name


_OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": lambda a, b: a + b,
    "Subtract": lambda a, b: a - b,
    "Multiply": lambda a, b: a * b,
    "TrueDivide": lambda a, b: a / b,
    "Divide": lambda a, b: a / b,
    "Negative": lambda a: -a,
}


def _operated(entry: Entry, given: Any) -> Symbol:
    """An operator on symbols and numbers, as `a + 2 * b` of tensors of Keras leaves it."""
    if entry.class_name not in _OPERATORS:
        raise ValueError("this operation is not in fastnn")
    operands = given if isinstance(given, Operands) else (given,)
    made = _OPERATORS[entry.class_name](*operands)
    if not isinstance(made, Symbol):
        raise ValueError(f"expected outputs of layers, got {given!r:.80}")  # noqa: TRY004
    return made


def _looked_up(entry: Entry, arguments: Any, values: Mapping[Key, Any]) -> Any:
    for key in keys_in(arguments):
        if key not in values:
            raise ValueError(f"{entry.where}: {key[0]!r} has no output {key[2]} of a call {key[1]}")
    return filled(arguments, values)


def _in_order(
    entry: Entry,
    children: Sequence[tuple[Entry, Place]],
    classes: Mapping[str, str],
    known: Mapping[Key, Any],
) -> Iterator[tuple[Entry, Place, int, Any]]:
    """The calls of layers, each after those whose outputs it takes."""
    described = {
        child.name: layer
        for (child, _), layer in zip(children, entry.config["layers"], strict=True)
    }
    calls = [
        (child, place, i, arguments)
        for child, place in children
        if child.class_name != "InputLayer"
        for i, arguments in enumerate(calls_of(described[child.name], child, classes))
    ]
    done = {key.call for key in known}
    missing: dict[int, int] = {}
    users: dict[tuple[str, int], list[int]] = {}
    for number, (_, _, _, arguments) in enumerate(calls):
        needed = {key.call for key in keys_in(arguments)} - done
        missing[number] = len(needed)
        for call in needed:
            users.setdefault(call, []).append(number)
    ready = deque(number for number, count in missing.items() if count == 0)
    while ready:
        number = ready.popleft()
        del missing[number]
        child, _, i, _ = calls[number]
        yield calls[number]
        for user in users.get((child.name, i), ()):
            missing[user] -= 1
            if missing[user] == 0:
                ready.append(user)
    for number in missing:
        raise ValueError(f"{calls[number][0].where}: it is called on what no layer makes")


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


def _built_for(entry: Entry, given: Any) -> tuple[int, ...]:
    shape = entry.config.get("build_input_shape")
    if isinstance(shape, list) and len(shape) > 1 and all(type(n) is int for n in shape[1:]):
        return tuple(shape[1:])
    if isinstance(given, Symbol):
        return given.row_shape
    raise ValueError(f"{entry.where}: the model was saved before it was built; it has no weights")
