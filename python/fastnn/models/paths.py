"""Paths: names by which a file has the layers and weights of a model, whatever its class is.

A weight is named by the parts of the model that lead to it: "encoder/dense/kernel".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastnn.layers.base import Layer
from fastnn.models.known import among
from fastnn.models.nested import parts_in
from fastnn.models.parts import Parted, by_first_calls
from fastnn.optimizers.base import Optimizer
from fastnn.serializable import is_of_fastnn
from fastnn.variables import Variable


def parts_of(model: Parted) -> list[Any]:
    """Layers, models and Variables of a model: those of its graph, then others among attributes; of
    a class with a `call` of its own the other way round."""
    of_graph, own = parts_in(model._state.now), model._own_parts()
    first = not model._by_call or by_first_calls.get()
    parts = (*of_graph, *own) if first else (*own, *of_graph)
    return list({id(part): part for part in parts}.values())


def named_parts(model: Parted) -> list[tuple[str, Any]]:
    """`parts_of` with names that differ."""
    parts = parts_of(model)
    called = [part for part in parts if not isinstance(part, Variable)]
    try:
        names = model.names_for(called)
    except ValueError:  # attributes of one given name, which no graph brings together
        names = [part.name for part in called]
    by_id = {id(part): name for part, name in zip(called, names, strict=True)}
    taken: set[str] = set()
    named = []
    for part in parts:
        name = by_id.get(id(part)) or part.name
        named.append((_unique(name, taken), part))
    return named


def _unique(name: str, taken: set[str]) -> str:
    unique, count = name, 0
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    taken.add(unique)
    return unique


def _leaves(
    model: Parted, above: tuple[str, ...], seen: set[int]
) -> Iterator[tuple[tuple[str, ...], Layer | Variable]]:
    """Layers and Variables with their paths, each once; models may hold each other."""
    seen.add(id(model))
    for name, part in named_parts(model):
        if id(part) in seen:
            continue
        if isinstance(part, Parted):
            yield from _leaves(part, (*above, name), seen)
        else:
            seen.add(id(part))
            yield (*above, name), part
    for layer in model._all_layers():  # of a graph that a model in it had when it was called
        if id(layer) not in seen:
            seen.add(id(layer))
            yield (*above, layer.name), layer


def named_models(model: Parted) -> dict[str, Parted]:
    """The models in a model, by paths; those that are no part of a native graph run by themselves."""
    found: dict[str, Parted] = {}
    seen = {id(model)}
    waiting: list[tuple[tuple[str, ...], Parted]] = [((), model)]
    for above, one in waiting:  # which grows
        for name, part in named_parts(one):
            if isinstance(part, Parted) and id(part) not in seen:
                seen.add(id(part))
                found["/".join((*above, name))] = part
                waiting.append(((*above, name), part))
    return found


def named_optimizers(model: Parted) -> dict[str, Optimizer]:
    """Optimizers among the attributes of a model, and of models in it, by paths, each once.

    The one that `compile` was given is among them where an attribute holds it.
    """
    found: dict[str, Optimizer] = {}
    seen: set[int] = set()
    for above, one in {"": model, **named_models(model)}.items():
        if is_of_fastnn(type(one)):
            continue
        for attribute, value in vars(one).items():
            held = [part for part in among([value], (Optimizer,), None) if id(part) not in seen]
            for i, optimizer in enumerate(held):
                seen.add(id(optimizer))
                name = attribute if optimizer is value else f"{attribute}/{i}"
                found[f"{above}/{name}" if above else name] = optimizer
    return found


def named_layers(model: Parted) -> dict[str, Layer]:
    """The layers of a model and of models in it, by paths."""
    taken: set[str] = set()
    return {
        _unique("/".join(path), taken): part
        for path, part in _leaves(model, (), set())
        if isinstance(part, Layer)
    }


def named_weights(model: Parted) -> dict[str, Variable]:
    """All Variables of a model by paths such as "dense/kernel", each once."""
    found: dict[str, Variable] = {}
    seen: set[int] = set()
    taken: set[str] = set()

    def add(path: str, variable: Variable) -> None:
        if id(variable) not in seen:
            seen.add(id(variable))
            # In files, names that begin with "/" are no weights; Variables may have any name.
            found[_unique(path.lstrip("/") or "variable", taken)] = variable

    for path, part in _leaves(model, (), set()):
        if isinstance(part, Variable):
            add("/".join(path), part)
        else:
            for variable in part.variables:
                add("/".join((*path, variable.name)), variable)
    for variable in model.weights:  # of a class whose `weights` are more than its parts have
        add(variable.name, variable)
    return found
