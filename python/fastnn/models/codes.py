"""Codes: classes whose code makes their layers, and what it makes beside the graph that a file has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.console import warn
from fastnn.models.compiled import State
from fastnn.models.parts import Parted
from fastnn.serializable import is_of_fastnn

# Of each call its layer, and the numbers of the calls that made its inputs; -1: none of them.
_Wiring = list[tuple[int, tuple[int, ...]]]


def makes_itself(cls: type[Parted]) -> bool:
    """Whether the code of a class makes its layers, so that a config holds arguments alone."""
    if not cls.keeps_graph:  # a layer
        return True
    own: Any = (cls.__init__, cls.call, cls.get_config)  # type: ignore[attr-defined]
    return not all(is_of_fastnn(function) for function in own)


def check_code(graph: State) -> None:
    """Checks that models in a graph whose code makes them compute by themselves as in the graph.

    Warns:
        UserWarning: one does not. The calls of the graph stay as they were saved, but the names of
            weights depend on the code.
    """
    within = {id(model): model for call in graph.calls for model in call.within}
    for model in within.values():
        state = model._state.now
        if not makes_itself(type(model)) or not state.calls:
            continue
        own = _wiring(state, range(len(state.calls)))
        if any(_differs(own, _wiring(graph, turn)) for turn in _turns(graph, model)):
            warn(
                f"load_model: the code of {type(model).__name__} calls other layers than {model.name!r} "
                "did as a part of the model that was saved. If the code has changed since, weights "
                "may be those of other layers: load the file with the code that it was saved with",
                UserWarning,
            )


def _turns(graph: State, model: Any) -> list[list[int]]:
    """The numbers of the calls in a model, for each call of the outermost one around it."""
    found: dict[int, list[int]] = {}
    for i, call in enumerate(graph.calls):
        if any(one is model for one in call.within):
            found.setdefault(call.turn, []).append(i)
    return list(found.values())


def _wiring(state: State, calls: Sequence[int]) -> _Wiring:
    first = max(1, len(state.inputs))
    places = {first + number: i for i, number in enumerate(calls)}
    return [
        (
            id(state.layers[state.calls[number].layer]),
            tuple(places.get(tensor, -1) for tensor in state.calls[number].inputs),
        )
        for number in calls
    ]


def _differs(own: _Wiring, here: _Wiring) -> bool:
    if len(here) == len(own):
        return here != own
    if len(here) > len(own):  # the model was called several times in another one
        return {layer for layer, _ in here} != {layer for layer, _ in own}
    # Calls whose results no output needs are left out.
    left = iter([layer for layer, _ in own])
    return not all(layer in left for layer, _ in here)
