"""Traces: the graphs that calls of a program's own made, and whether they would still make these.

A `call` is traced once, and what it read then may change later: a number in a dictionary, a list of
layers, a global name. A trace remembers the places (see `reached`), looks at them before the graph is
used, and draws the graph again where one has changed. Only another graph is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from weakref import ref

from fastnn import calling
from fastnn.layers.base import Layer
from fastnn.models.graph import Call, same_graphs
from fastnn.models.known import edits
from fastnn.models.places import OfPart, Place
from fastnn.models.reached import Reached, has_code


class Again(NamedTuple):
    """How a call was made: its arguments with the shapes of rows in place of symbols."""

    args: tuple[Any, ...]
    options: dict[str, Any]


class Trace:
    """The graph that a call of a layer or a model made.

    Args:
        part: the layer or model.
        again: how it was called.
        graph: the layers and calls that it made.
        inputs: how many symbols it was called on.
        within: layers and models of a program's own that it called.
    """

    __slots__ = (
        "__weakref__",
        "_attributes",
        "_edits",
        "_graph",
        "_part",
        "_places",
        "again",
        "inputs",
    )

    def __init__(
        self,
        part: Any,
        again: Again,
        graph: tuple[Sequence[Layer], Sequence[Call]],
        inputs: int,
        within: Iterable[Any],
    ) -> None:
        self._part = ref(part)
        self.again = again
        self.inputs = inputs
        self._graph = graph
        self._edits = edits.count
        self._places: list[Place] = []
        self._attributes: list[OfPart] = []
        for one in {id(one): one for one in (part, *within)}.values():
            if has_code(one):
                found = Reached(one)
                self._places += found.places
                self._attributes.append(found.attributes)

    @property
    def part(self) -> Any:
        """The layer or model; None: it is gone."""
        return self._part()

    @property
    def graph(self) -> tuple[Sequence[Layer], Sequence[Call]]:
        return self._graph

    @property
    def parts(self) -> list[Any]:
        """The layers and models of a program's own whose code makes the graph."""
        return [part for one in self._attributes if (part := one.part) is not None]

    def reads(self, name: str) -> bool:
        """Whether the code names this attribute of the part."""
        return any(one.is_of(self._part(), name) for one in self._attributes)

    def check(self, doing: str, model: Any) -> None:
        """RuntimeError where something that was read has changed so that the graph is another one."""
        count = edits.count
        if not self._places and self._edits == count:
            return
        changed = next((name for place in self._places if (name := place.changed())), None)
        if changed is None and self._edits != count:
            changed = next((name for one in self._attributes if (name := one.changed())), None)
        if changed is None:
            self._edits = count
            return
        part = self.part
        if part is None:
            return
        before = f"{doing}: " if doing else ""
        now = self.redrawn()
        if isinstance(now, Trace):
            self._places, self._attributes, self._edits = now._places, now._attributes, now._edits
            return
        if now is not None:
            raise RuntimeError(
                f"{before}{changed} is another one since the graph of the model {model.name!r} was "
                f"made: the model is built, and its layers are fixed; make another model"
            )
        raise RuntimeError(
            f"{before}{changed} has changed: `call` of {part.name!r} reads it, and the model "
            f"{model.name!r} is built with the value before: its graph is traced once. Put the value "
            "back or make another model; or make it a fastnn.Variable(..., trainable=False), which "
            "`assign` changes"
        )

    def redrawn(self) -> Trace | Sequence[Layer] | None:
        """The trace of the same call now; where the graph is another one, its layers if these are
        others, else None."""
        try:
            now: Trace | None = self.part.traced_again(self.again)
        except Exception:  # noqa: BLE001 - whatever `call` does now, it was a graph
            return None
        if now is None:
            return None
        if same_graphs(self._graph, now.graph, self.inputs):
            return now
        layers = now.graph[0]
        mine = [
            {id(layer) for layer in one if layer.has_parameters} for one in (self._graph[0], layers)
        ]
        return None if mine[0] == mine[1] else list(layers)

    def is_outdated(self) -> bool:
        """Whether the call would make another graph now."""
        return not calling.now().tracing and not isinstance(self.redrawn(), Trace)


def traces_of(called: Iterable[tuple[Any, Any]], *, all_of_them: bool = False) -> tuple[Trace, ...]:
    """The traces in a graph by the models that it calls, with the states of these.

    By itself those in models of fastnn's classes, such as a Sequential: what layers and models of a
    program's own read is looked at by the trace of the call around them.
    """
    return tuple(
        trace
        for part, state in called
        if all_of_them or not has_code(part)
        for trace in state.traces
    )


def programs_in(called: Iterable[tuple[Any, Any]]) -> list[Any]:
    """Layers and models of a program's own among those that a graph calls, also in each other."""
    found = []
    for part, state in called:
        if has_code(part):
            found += [part, *programs_in(state.called)]
    return found
