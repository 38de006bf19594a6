"""Architecture: a model as numbers, words, lists and dictionaries, and the model that they describe.

A graph has its layers and models in a list, and its calls by their numbers there. What occurs again,
in this model or in one that is a part of it, is told by where it occurred first: a list of numbers,
one for each level. A class with an `__init__` of its own makes its layers by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastnn.data.structures import Form
from fastnn.layers.base import LAYERS, Layer, checked_name
from fastnn.layers.outputs import Outputs
from fastnn.layers.shape import InputLayer
from fastnn.models.chain import plain
from fastnn.models.codes import check_code, makes_itself
from fastnn.models.compiled import State
from fastnn.models.graph import Call
from fastnn.models.nested import entries_of, known_shapes, parts_in
from fastnn.models.parts import Parted
from fastnn.models.paths import named_layers, named_models
from fastnn.models.steps_told import shape_from, shape_told, steps_from, steps_told
from fastnn.objects import KINDS, Kind
from fastnn.serializable import class_described, described, own_class
from fastnn.words import choose, integer, unknown

Place = tuple[int, ...]  # of a layer or model: numbers in lists, one for each level
Config = dict[str, Any]

# The classes of models that are not of a program's own, by name.
MODELS: dict[str, type[Parted]] = {}
_KINDS: dict[str, type] = {"list": list, "tuple": tuple, "dict": dict}


def members(model: Parted) -> list[Any]:
    """Layers and models of a class that makes them itself, in an order that its code decides."""
    own = [part for part in model._own_parts() if isinstance(part, (Layer, Parted))]
    by_call = type(model).call is not Parted.call
    return own if by_call else _unique([*parts_in(model._state.now), *own])


def _unique(parts: Sequence[Any]) -> list[Any]:
    return list({id(part): part for part in parts}.values())


# -- to a config -----------------------------------------------------------------------------------


class Encoder:
    """Makes the configs of a model and of what is in it.

    Args:
        exact: whether the random numbers of the model go on after reading; without it a model that
            is made from a config draws its own.
    """

    def __init__(self, *, exact: bool = False) -> None:
        self._exact = exact
        self._places: dict[int, Place] = {}
        self.layers: dict[Place, Layer] = {}  # that have configs of their own

    def described(self, model: Parted, place: Place = ()) -> Config:
        """A model with the name of its class."""
        told = class_described(type(model))
        if makes_itself(type(model)):
            told["config"] = model.get_config()  # type: ignore[attr-defined]
            self._find(model, place)
            shapes = known_shapes(model._state.now) if model._state.now.calls else ()
            if len(shapes) == 1:
                told["build_input_shape"] = [None, *shapes[0]]
            else:
                told["built"] = _built_in(model)
        else:
            told["config"] = self.graph(model, place)
        if self._exact:
            told["key"] = f"{model._key:016x}"
        return told

    def _find(self, model: Parted, place: Place) -> None:
        """Keeps the places of what a class has made itself."""
        for i, part in enumerate(members(model)):
            if id(part) not in self._places:
                self._places[id(part)] = (*place, i)
                if isinstance(part, Parted):
                    self._find(part, (*place, i))

    def graph(self, model: Parted, place: Place = ()) -> Config:
        """The config of a graph of layers, or of a chain."""
        state = model._state.now
        parts = _unique(parts_in(state))
        chain = not state.inputs and plain(parts)
        if model._steps is not None:
            parts = model._steps.parts
            entries_before: Sequence[Any] = model._steps.entries
        else:
            entries_before = entries_of(state)
        entries: list[Config] = []
        config: Config = {"name": model.given_name, "dtype": model._given_dtype, "layers": entries}
        for part in [*entries_before, *parts]:
            entries.append(self._entry(part, (*place, len(entries))))
        shape = state.row_shape if state.built is None else state.built.shapes[0]
        if not state.inputs and shape is not None:
            config["build_input_shape"] = [None, *shape]
        if chain:
            return config
        if model._steps is not None:
            config["tape_calls"] = steps_told(model._steps, self._places)
        for layer in state.layers:  # of a graph that a model had when it was called
            if id(layer) not in self._places:
                entries.append(self._entry(layer, (*place, len(entries))))
        config["input_names"] = model._input_names  # type: ignore[attr-defined]
        config["input_shapes"] = [list(shape) for shape in state.inputs]
        config["calls"] = [self._call(state, call) for call in state.calls]
        config["parts"] = [list(self._places[id(part)]) for part in state.parts]
        kind = state.form.kind
        config["outputs"] = kind and {"kind": kind.__name__, "names": list(state.form.names)}
        return config

    def _call(self, state: State, call: Call) -> Config:
        told: Config = {
            "layer": list(self._places[id(state.layers[call.layer])]),
            "inputs": list(call.inputs),
        }
        if call.within:
            told["within"] = [list(self._places[id(model)]) for model in call.within]
            told["turn"] = call.turn
        return told

    def _entry(self, part: Any, place: Place) -> Config:
        """A layer or model in a list; where it was told before, its place."""
        if id(part) in self._places:
            return {"same_as": list(self._places[id(part)])}
        self._places[id(part)] = place
        if isinstance(part, Parted):
            told = self.described(part, place)
        else:
            self.layers[place] = part
            told = described(part)
            if part.variables and part.owner is None:
                told["built"] = list(part.input_shape)
        if part.given_name is None and not isinstance(part, Outputs):
            told["name_in_model"] = part.name
        return told


# -- from a config ---------------------------------------------------------------------------------


class Decoder:
    """Makes the models that configs describe.

    Args:
        layers: what stands at some places in place of what the configs describe.

    Raises, in all of its calls:
        TypeError, ValueError: a config does not describe a model.
    """

    def __init__(self, layers: Mapping[Place, Layer] | None = None) -> None:
        self._given = dict(layers or {})
        self._found: dict[Place, Any] = {}

    def described(self, told: Any, place: Place = ()) -> Parted:
        """A model of the class that is named."""
        name = _field(told, "class_name", str)
        cls: Any = own_class(told, "model", Parted)
        if cls is None:
            if name not in MODELS:
                raise ValueError(unknown("class_name of the model", name, MODELS))
            cls = MODELS[name]
        config = _field(told, "config", Mapping)
        key = told.get("key")
        number = None if key is None else _key_of(key)
        if not makes_itself(cls):
            return self.graph(cls, config, place, number)
        made: Parted = cls.from_config(config)
        if not isinstance(made, Parted):
            raise TypeError(f"{cls.__name__}.from_config: expected a model, got {made!r}")
        if number is not None:  # a constructor may have built the model with another key
            made.run_as(number, None, 0, 0)  # type: ignore[attr-defined]
        self._build(made, told, inner=bool(place))
        self._find(made, place)
        return made

    def _build(self, made: Any, told: Mapping[str, Any], *, inner: bool) -> None:
        shape = told.get("build_input_shape")
        if shape is not None and made._state.now.built is None:
            row_shape = _row(shape, batch=True)
            if inner:  # the model around it builds its layers
                made.trace_for(row_shape[1:])
            else:
                made.build(row_shape)
        for name, shape in _optional(told, "built", Mapping, {}).items():
            own = isinstance(shape, Mapping)
            # Anew for each: the `build` of a layer may make others.
            layers: Any = {"": made, **named_models(made)} if own else named_layers(made)
            if name not in layers:
                raise ValueError(
                    f"{type(made).__name__}: the code of the class makes no layer {name!r} any more"
                )
            if own:
                shapes = _field(shape, "shapes", Sequence)
                layers[name].build_again(tuple(shape_from(one) for one in shapes))
            else:
                layers[name].build(_shape(shape, batch=True))

    def _find(self, model: Parted, place: Place) -> None:
        for i, part in enumerate(members(model)):
            self._found.setdefault((*place, i), part)
            if isinstance(part, Parted):
                self._find(part, (*place, i))

    def graph(
        self, cls: Any, config: Mapping[str, Any], place: Place = (), key: int | None = None
    ) -> Parted:
        """A graph of layers, or a chain, of this class."""
        made = cls(name=config.get("name"), dtype=config.get("dtype"))
        if key is not None:
            made._key = key
        told = _field(config, "layers", Sequence)
        listed = [self._entry(one, (*place, i)) for i, one in enumerate(told)]
        shape = config.get("build_input_shape")
        row_shape = None if shape is None else _row(shape, batch=True)[1:]
        calls = _optional(config, "calls", Sequence, ())
        parts = listed
        if "parts" in config:
            parts = [self._at(one) for one in _field(config, "parts", Sequence)]
        if "tape_calls" in config:
            self._take_steps(made, config, listed)
            return made  # type: ignore[no-any-return]
        if not calls:
            _name_in(made, parts, told if parts is listed else ())
            made.take_parts(parts, row_shape, inner=bool(place))
            return made  # type: ignore[no-any-return]
        graph = self._state(config, calls, listed, parts if "parts" in config else ())
        check_code(graph)
        inner = parts_in(graph)
        _name_in(made, [*entries_of(graph), *inner], self._told_of(inner, listed, told))
        made.take_graph(graph._replace(row_shape=row_shape), _names(config), inner=bool(place))
        return made  # type: ignore[no-any-return]

    def _take_steps(self, made: Any, config: Mapping[str, Any], listed: Sequence[Any]) -> None:
        """Gives a model calls of which some are no graph of layers."""
        told = _field(config, "layers", Sequence)
        shapes = [_row(one, batch=False) for one in _field(config, "input_shapes", Sequence)]
        entries = listed[: len(shapes)]
        if not all(isinstance(one, InputLayer) for one in entries):
            raise ValueError("layers: expected the inputs first")
        steps = steps_from(_field(config, "tape_calls", Mapping), entries, shapes, self._at)
        outputs = config.get("outputs")
        form = Form()
        if outputs is not None:
            kind = choose("outputs: kind", _field(outputs, "kind", str), _KINDS)
            form = Form(kind, tuple(map(str, _field(outputs, "names", Sequence))))
        if form.outputs != len(steps.outputs):
            raise ValueError("outputs: the calls do not make as many")
        _name_in(made, [*entries, *steps.parts], self._told_of(steps.parts, listed, told))
        made.take_steps(steps, form, shapes, _names(config))

    def _told_of(self, parts: Sequence[Any], listed: Sequence[Any], told: Sequence[Any]) -> Any:
        by_id = {id(part): one for part, one in zip(listed, told, strict=True)}
        return [by_id.get(id(part), {}) for part in parts]

    def _state(
        self,
        config: Mapping[str, Any],
        calls: Sequence[Any],
        listed: Sequence[Any],
        parts: Sequence[Any],
    ) -> State:
        layers: dict[int, Layer] = {}
        numbers: dict[int, int] = {}
        inputs = tuple(_row(one, batch=False) for one in _field(config, "input_shapes", Sequence))
        count = max(1, len(inputs))
        made = []
        for i, told in enumerate(calls):
            layer = self._at(_field(told, "layer", Sequence))
            if not isinstance(layer, Layer):
                raise TypeError(f"calls[{i}]: expected the place of a layer")
            number = numbers.setdefault(id(layer), len(layers))
            layers[number] = layer
            given = tuple(
                integer(f"calls[{i}]: inputs", one, 0, count + i - 1)
                for one in _field(told, "inputs", Sequence)
            )
            if not given or (len(given) > 1 and not layer.merges):
                raise ValueError(
                    f"calls[{i}]: layer {layer.name!r} cannot take {len(given)} inputs"
                )
            within = tuple(self._at(one) for one in _optional(told, "within", Sequence, ()))
            if not all(isinstance(model, Parted) for model in within):
                raise ValueError(f"calls[{i}]: within: expected places of models")
            turn = integer(f"calls[{i}]: turn", told.get("turn", -1), -1)
            made.append(Call(number, given, within, turn))
        entries = [one for one in listed[: len(inputs)] if isinstance(one, InputLayer)]
        outputs = config.get("outputs")
        form = Form()
        if outputs is not None:
            kind = choose("outputs: kind", _field(outputs, "kind", str), _KINDS)
            names = tuple(str(name) for name in _field(outputs, "names", Sequence))
            last = layers[made[-1].layer]
            if not isinstance(last, Outputs) or len(names) != len(made[-1].inputs):
                raise ValueError("outputs: the last call does not make as many")
            form = Form(kind, names)
        return State(
            tuple(layers.values()),
            tuple(made),
            inputs,
            form=form,
            parts=tuple(parts),
            drawing={"entries": tuple(entries)} if len(entries) == len(inputs) else {},
        )

    def _entry(self, told: Any, place: Place) -> Any:
        if isinstance(told, Mapping) and "same_as" in told:
            return self._at(told["same_as"])
        name = _field(told, "class_name", str)
        config = _field(told, "config", Mapping)
        own = own_class(told, "layers", object)
        is_model = issubclass(own, Parted) if isinstance(own, type) else name in MODELS
        part: Any
        if place in self._given:
            part = self._given[place]
        elif is_model:
            part = self.described(told, place)
        elif name == Outputs.__name__:
            part = Outputs([bool(one) for one in _field(config, "squashed", Sequence)])
        else:
            if "name_in_model" in told:
                config = {**config, "name": None}
            part = LAYERS.get({**told_class(told), "config": config}, "layers")
            if told.get("built") is not None:
                part.build(_shape(told["built"], batch=True))
        self._found[place] = part
        return part

    def _at(self, place: Any) -> Any:
        """What is at a place."""
        found = self._found.get(tuple(place)) if isinstance(place, Sequence) else None
        if found is None:
            raise ValueError(f"layers: there is nothing at the place {place!r}")
        return found


def _built_in(model: Parted) -> Config:
    """The shapes for which the layers in a model were built that no native network has."""
    found: Config = {}
    for name, part in {"": model, **named_models(model)}.items():
        shapes = part.built_shapes()
        if shapes is not None:
            found[name] = {"shapes": [shape_told(shape) for shape in shapes]}
    for name, layer in named_layers(model).items():
        if layer.built and (layer.owner is None or model.keeps_graph):
            found[name] = list(layer.input_shape)
    return found


def told_class(told: Mapping[str, Any]) -> Config:
    return {name: told[name] for name in ("class_name", "module") if name in told}


def _name_in(model: Any, parts: Sequence[Any], told: Sequence[Any]) -> None:
    """Gives names to parts whose model would name them otherwise than they were named."""
    names = model.names_for(parts)
    first = len(parts) - len(told)
    wanted = [None] * first + [one.get("name_in_model") for one in told]
    for part, name, before in zip(parts, names, wanted, strict=True):
        if part.given_name is None and before not in (None, name):
            is_layer = isinstance(part, Layer)
            part.given_name = checked_name("name_in_model", before) if is_layer else str(before)


def _names(config: Mapping[str, Any]) -> int | list[str] | None:
    names = config.get("input_names")
    if isinstance(names, list):
        return [str(name) for name in names]
    return None if names is None else integer("input_names", names)


def _key_of(text: Any) -> int:
    try:
        return int(text, 16) & (2**64 - 1)
    except (TypeError, ValueError):
        raise ValueError(f"key: expected 16 hexadecimal digits, got {text!r}") from None


def _field(told: Any, name: str, kind: Any) -> Any:
    if not isinstance(told, Mapping) or name not in told:
        raise ValueError(f"expected a dictionary with {name!r}, got {told!r:.100}")
    return _checked(name, told[name], kind)


def _optional(told: Mapping[str, Any], name: str, kind: Any, default: Any) -> Any:
    return default if told.get(name) is None else _checked(name, told[name], kind)


def _checked(name: str, value: Any, kind: Any) -> Any:
    if not isinstance(value, kind) or (kind is Sequence and isinstance(value, str)):
        raise ValueError(f"{name}: expected a {kind.__name__.lower()}, got {value!r:.100}")
    return value


def _row(shape: Any, *, batch: bool) -> tuple[Any, ...]:
    """A shape of rows, with the batch axis first or without it."""
    sizes = _checked("shape", shape, Sequence)
    rest = sizes[1:] if batch else sizes
    found = tuple(integer("shape", size) for size in rest)
    if not found:
        raise ValueError(f"shape: expected the shape of rows, got {shape!r}")
    return (None, *found) if batch else found


def _shape(shape: Any, *, batch: bool) -> Any:
    """A shape of rows, or a list of those that a merging layer takes."""
    sizes = _checked("shape", shape, Sequence)
    if sizes and isinstance(sizes[0], Sequence):
        return [_row(one, batch=batch) for one in sizes]
    return _row(sizes, batch=batch)


KINDS.append(
    Kind(
        Parted,
        lambda model: Encoder().described(model),
        lambda told: Decoder().described(told),
        lambda name: name in MODELS,
    )
)
