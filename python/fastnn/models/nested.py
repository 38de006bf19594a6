"""Nested: models as parts of other models, and what a change makes of the parts of a model.

A model that is called on symbols is a part of the graph that they make, with all of its calls. It
and its layers have one home, the model that they became a part of first, which names them.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from fastnn.changes import Change, Switch
from fastnn.claims import Claim
from fastnn.data.structures import Form
from fastnn.layers.base import Layer, Shape
from fastnn.layers.outputs import Outputs
from fastnn.layers.shape import Input, InputLayer
from fastnn.layers.symbol import ModelCall, Symbol
from fastnn.models.compiled import Compilable, State
from fastnn.models.graph import first_calls, given_of, parts_of, shapes_of


def known_shapes(state: State) -> tuple[Shape, ...]:
    """Shapes of a row of each input; none where they are not known yet."""
    if state.inputs:
        return state.inputs
    if state.built is not None:
        return (state.built.shapes[0],)
    return () if state.row_shape is None else (state.row_shape,)


def one_of(form: Form, outputs: Any) -> Symbol:
    """The outputs of a graph as one symbol."""
    leaves = form.leaves(outputs)
    if form.kind is not None and not leaves:
        raise ValueError(f"outputs: expected what layers make of the inputs, got {outputs!r}")
    one: Symbol = leaves[0] if form.kind is None else Outputs.drawn(leaves)
    return one


def called_on(model: Any, state: State, inputs: Sequence[Symbol], drops: bool) -> Any:
    """The symbol, or the structure of several, that a model makes by the graph of `state`.

    Raises:
        ValueError: the model or one of its layers was built for rows of other shapes; the message
            names the model.
    """
    shapes = tuple(symbol.row_shape for symbol in inputs)
    known = known_shapes(state)
    if known and known != shapes:
        raise ValueError(
            f"model {model.name!r}: expected rows of {_listed(known)}, for which it was built, got "
            f"{_listed(shapes)}"
        )
    try:
        through = shapes_of(state.layers, state.calls, shapes)
    except ValueError as why:
        raise ValueError(f"model {model.name!r}: {why}") from None
    for i, call in first_calls(state.calls).items():
        layer = state.layers[i]
        if not layer.variables:
            continue
        given = given_of(layer, call, through)
        if layer.input_shape[1:] != given:
            raise ValueError(
                f"model {model.name!r}: its layer {layer.name!r} was built for rows of shape "
                f"{layer.input_shape[1:]}, got {given}"
            )
    # The graph alone: symbols keep no buffers alive.
    row_shape = shapes[0] if len(shapes) == 1 else None
    graph = state._replace(built=None, plan=None, drawing=None, row_shape=row_shape)
    made_by = ModelCall(model, graph, tuple(inputs), drops)

    def made(number: int) -> Symbol:
        return Symbol(model, tuple(inputs), through[number], made_by=(made_by, number))

    if state.form.kind is None:
        return made(len(through) - 1)
    return state.form.like([made(number) for number in state.calls[-1].inputs])


def drawn_again(state: State, shapes: Sequence[Shape]) -> tuple[Symbol, ...]:
    """New symbols of all tensors of a graph."""
    through = shapes_of(state.layers, state.calls, shapes)
    entries = list(entries_of(state))
    if not entries and len(shapes) == 1:
        entries = [part for part in state.parts[:1] if isinstance(part, InputLayer)]
    if len(entries) != len(shapes):
        entries = [Input(shape).layer for shape in shapes]
    symbols = [Symbol(entry, (), shape) for entry, shape in zip(entries, shapes, strict=True)]
    for call, shape in zip(state.calls, through[len(shapes) :], strict=True):
        layer = state.layers[call.layer]
        given = tuple(symbols[i] for i in call.inputs)
        if isinstance(layer, InputLayer):
            symbols.append(given[0])
        else:
            symbols.append(Symbol(layer, given, shape, within=call.within))
    return tuple(symbols)


def _listed(shapes: Sequence[Shape]) -> str:
    if len(shapes) == 1:
        return f"shape {shapes[0]}"
    return "shapes " + " and ".join(map(str, shapes))


def entries_of(state: State) -> tuple[InputLayer, ...]:
    """The InputLayers that a graph was drawn from, as far as they are known."""
    found: tuple[InputLayer, ...] = (state.drawing or {}).get("entries", ())
    return found


def parts_in(state: State) -> tuple[Any, ...]:
    """The layers and models that a model of this state consists of."""
    return state.parts or parts_of(state.layers, state.calls)


def holds(part: Any, model: Any) -> bool:
    """Whether a part of a chain is the model, or has it as a part."""
    waiting, seen = [part], {id(part)}
    for one in waiting:  # which grows
        if one is model:
            return True
        for inner in parts_in(one._state.now) if isinstance(one, Compilable) else ():
            if id(inner) not in seen:
                seen.add(id(inner))
                waiting.append(inner)
    return False


# -- changes of parts ------------------------------------------------------------------------------


class Placing(NamedTuple):
    """Where a part is: in which model, and by which name."""

    part: Any
    home: Any
    name: str


def placed(model: Any, state: State, names: Sequence[str]) -> dict[int, Placing]:
    """The placings that a model makes by taking this state, by the ids of its parts.

    `names`: of its parts. Parts with another home stay there. Models without a graph get it, and
    are the home of what is in it.
    """
    found: dict[int, Placing] = {}
    for part, name in zip(parts_in(state), names, strict=True):
        if part.home is None or part.home is model:
            found[id(part)] = Placing(part, model, name)
    for inner, drawn in state.called:
        if inner is not model and not _has_graph(inner):
            for key, placing in placed(inner, drawn, inner.names_for(parts_in(drawn))).items():
                found.setdefault(key, placing)
    return found


def _has_graph(model: Any) -> bool:
    return bool(model._state.now.calls)


def path_of(model: Any, placings: dict[int, Placing], within: Sequence[Any], layer: Layer) -> str:
    """The path of a layer of a model, in the models that it is in there."""
    parts = [*within, layer]
    return "/".join([*_names_above(model), *(_name(placings, part) for part in parts)])


def _names_above(model: Any) -> list[str]:
    """The name of a model, behind those of the models that it is in."""
    chain = [model]
    while (home := chain[-1].home) is not None and not any(home is known for known in chain):
        chain.append(home)
    return [str(known.name) for known in reversed(chain)]


def is_home(model: Any, placings: dict[int, Placing], within: Sequence[Any], layer: Layer) -> bool:
    """Whether the layer, and the models that it is in there, have their home there."""
    parts = [*within, layer]
    return all(
        (placings[id(part)].home if id(part) in placings else part.home) is home
        for home, part in zip([model, *within], parts, strict=True)
    )


def _name(placings: dict[int, Placing], part: Any) -> str:
    return placings[id(part)].name if id(part) in placings else str(part.name)


class Stands:
    """New values of layers and models, which one change puts in place."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[Any, dict[str, Any]]] = {}

    def put(self, part: Any, **values: Any) -> None:
        self._of.setdefault(id(part), (part, {}))[1].update(values)

    def stand(self, change: Change) -> list[Switch[Any]]:
        return [part.stand(change, **values) for part, values in self._of.values()]


def put_parts(
    stands: Stands, model: Any, state: State, placings: dict[int, Placing], before: Iterable[Any]
) -> None:
    """Puts the parts of a model in their places; `before`: its parts up to now."""
    stay = {id(part) for part in parts_in(state)}
    for part in before:
        if id(part) not in stay and part.home is model:
            stands.put(part, home=None)
    for placing in placings.values():
        stands.put(placing.part, name=placing.name, home=weakref.ref(placing.home))
    for inner, drawn in _all_called(state):
        now = inner._state.now
        if inner is model or now.built is not None or not inner.keeps_graph:
            continue
        if now.calls:
            if now.row_shape is None and not now.inputs:
                stands.put(inner, row_shape=drawn.row_shape)
        elif len(drawn.inputs) < 2:  # data of several inputs need their names
            stands.put(
                inner,
                layers=drawn.layers,
                calls=drawn.calls,
                inputs=drawn.inputs,
                parts=drawn.parts,
                row_shape=drawn.row_shape,
                drawing={},
                form=drawn.form,
                traces=drawn.traces,
            )


def _all_called(state: State) -> list[tuple[Any, State]]:
    found = []
    for inner, drawn in state.called:
        found += [(inner, drawn), *_all_called(drawn)]
    return found


def claim_models(claim: Claim, model: Any, state: State) -> None:
    """Lets this call alone change the models in a graph, as soon as changes of them have ended.

    A model comes before those that are in it: all threads take them in one order.
    """
    found = {id(part): part for part in parts_in(state) if isinstance(part, Compilable)}
    found |= {id(inner): inner for inner, _ in _all_called(state)}
    found.pop(id(model), None)
    changed = [m for m in found.values() if m.home in (None, model) or m._state.now.built is None]
    depths: dict[int, int] = {}
    for inner in sorted(changed, key=lambda m: (-_depth(m, depths), id(m))):
        inner.claim(claim)


def _depth(model: Any, known: dict[int, int]) -> int:
    """How deep models are in a model: more than that of each of them. `known`: depths by id."""
    if id(model) not in known:
        inner = [part for part in parts_in(model._state.now) if isinstance(part, Compilable)]
        known[id(model)] = 1 + max((_depth(part, known) for part in inner), default=0)
    return known[id(model)]
