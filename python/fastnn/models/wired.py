"""Wired: how the graph of a model becomes its native network, and copies of both.

Subclasses say what the graph is (`_traced_for`).
"""

from __future__ import annotations

import copy
import weakref
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

from fastnn.changes import Change, Switch, forget_former
from fastnn.claims import Claim
from fastnn.layers.base import Layer, Shape, without_batch
from fastnn.layers.shape import InputLayer
from fastnn.models import heads
from fastnn.models.built import (
    Built,
    Progress,
    Settings,
    Wiring,
    assemble,
    progress_of,
    renewed,
    restore_progress,
)
from fastnn.models.compiled import State, claim_layers
from fastnn.models.graph import first_calls, shapes_of
from fastnn.models.nested import (
    Placing,
    Stands,
    claim_models,
    entries_of,
    is_home,
    parts_in,
    path_of,
    placed,
    put_parts,
)
from fastnn.models.parts import Parted
from fastnn.models.sharing import is_trained_beside, refuse_to_rob, stamp_of
from fastnn.models.traces import Trace
from fastnn.models.trainer import Trainer
from fastnn.variables import Spot, unmoved


def _is_shared(layer: Layer) -> bool:
    return layer.shared


class Unchanged:
    """The last part of a pickled or copied model: an error where training came in between."""

    def __init__(self, model: Wired, state: State) -> None:
        self._model = model
        self._state = state
        self._seen = self._versions()

    def _versions(self) -> list[tuple[object, int]]:
        found = [v.place.parameters for layer in self._state.layers for v in layer.variables]
        return [(weakref.ref(buffer), buffer.version) for buffer in found]

    def check(self, doing: str) -> None:
        """RuntimeError where the model was trained or changed since this object was made."""
        self._model._training.refuse_others(doing)
        refuse_to_rob(doing, self._model, self._model._state.now.layers, elsewhere=True)
        same = self._model._state.now.layers == self._state.layers
        if not same or self._versions() != self._seen:
            raise RuntimeError(f"{doing}: the weights were changed in another thread meanwhile")

    def __reduce__(self) -> tuple[type[bool], tuple[()]]:
        self.check("copy")
        return bool, ()


# Made anew for each copy.
_NOT_COPIED = (
    "_training",
    "_changes",
    "_state",
    "_known",
    "_last_call",
    "_added",
    "_traced",
    "_drawn_steps",
    "_chain_steps",
)


class Wired(Parted):
    """A model whose graph of layers is made into a network, at one moment of a change."""

    _inside: ClassVar[Iterable[str]] = ("go_on", "run_as")

    def _adopt(self, change: Change, state: State, names: Sequence[str]) -> None:
        """Builds the layers of a graph that is drawn, with names for its parts, and settles that."""
        built = self._assembled(state, self._wiring(state, state.row_shape or ()).row_shape, names)
        self._settle(change, state._replace(built=built), names)

    def shapes_for(self, row_shape: Shape) -> list[Shape]:
        state = self._traced_for(self._state.now, row_shape)
        self._check_layers(state.layers)
        shapes = shapes_of(state.layers, state.calls, state.inputs or (row_shape,))
        return [row_shape, shapes[-1]]

    def _check_layers(self, layers: Sequence[Layer]) -> None:
        if all(isinstance(layer, InputLayer) for layer in layers):
            raise ValueError("the model has no layers; add some first")

    def _wiring(self, state: State, row_shape: Shape) -> Wiring:
        return Wiring(
            state.layers,
            state.calls,
            state.inputs or (row_shape,),
            self._agreed_dtype(state.layers, parts_in(state)),
            self._key,
        )

    def _assembled(
        self, state: State, row_shape: Shape, names: Sequence[str] | None = None
    ) -> Built:
        self._check_layers(state.layers)
        wiring = self._wiring(state, row_shape)
        placings = placed(self, state, names or self.names_for(parts_in(state)))
        first = first_calls(state.calls)
        paths = [
            path_of(self, placings, first[i].within, layer) for i, layer in enumerate(state.layers)
        ]
        built = assemble(wiring, paths, self._state.now.built, self)
        if state.form.kind is not None:
            ends = heads.ends(state.layers, state.calls, wiring.inputs)
            return built._replace(ends=tuple(ends))
        head = heads.find(state.layers, state.calls, wiring.inputs)
        return built._replace(gives_logits=head.activation in ("linear", "log_softmax"))

    def _renewed(self, state: State, built: Built) -> Built:
        return renewed(built, self._wiring(state, built.shapes[0]))

    def _claim_parts(self, change: Change, state: State, others: Iterable[Layer] = ()) -> None:
        claim_models(change, self, state)
        claim_layers(change, {*state.layers, *others})

    def _settle(self, change: Change, state: State, names: Sequence[str] | None = None) -> None:
        former = self._state.now
        stands = Stands()
        stay = {id(layer) for layer in state.layers}
        for layer in former.layers:
            if id(layer) not in stay and layer.owner is self:
                stands.put(layer, owner=None)
        before, after = former.built, state.built
        rebuilt = after is not None and (before is None or after.places is not before.places)
        switches: list[Switch[Any]] = []
        if rebuilt or names is not None:  # `compile` leaves layers as they are
            names = names or self.names_for(parts_in(state))
            placings = placed(self, state, names)
            put_parts(stands, self, state, placings, parts_in(former))
            first = first_calls(state.calls)
            for i, layer in enumerate(state.layers):
                within = first[i].within if i in first else ()
                switches += self._put(change, stands, placings, layer, within, after, i)
        switches += stands.stand(change)
        self._state = self._state.to(state._replace(called=()), change)
        change.settled = True
        forget_former([*switches, self._state])

    def _put(
        self,
        change: Change,
        stands: Stands,
        placings: dict[int, Placing],
        layer: Layer,
        within: Sequence[Any],
        built: Built | None,
        i: int,
    ) -> list[Switch[Any]]:
        """What becomes of layer number i of the graph, and of its Variables, by this change."""
        home = is_home(self, placings, within, layer)
        if layer.owner not in (None, self) or not home:
            stands.put(layer, shared=True)
        if built is None:
            if layer.owner is None:
                stands.put(layer, owner=weakref.ref(self))
            return []
        guest = i in built.guests
        if not guest:
            stands.put(layer, owner=weakref.ref(self))
        if not layer.built or (home and not layer.variables):
            stands.put(layer, rows=built.rows[i])
        stands.put(layer, variables=tuple(built.variables[i]))
        path = path_of(self, placings, within, layer)
        switches: list[Switch[Any]] = []
        for variable, place in zip(built.variables[i], built.places[i], strict=True):
            spot = Spot(
                variable.place if guest else place,
                f"{path}/{variable.name}" if home or not layer.built else variable.path,
            )
            switches.append(variable.move(spot, change))
        return switches

    # -- layers that several models have

    def _refresh(self, built: Built, doing: str) -> None:
        """Copies to the own buffer what other models have trained, where that is newer.

        The parameters stay where they are. So any number of models that share layers may be read at
        once, also in callbacks of a model that is being trained.
        """
        copies = built.copies
        if copies.own is not None and unmoved(copies.own):
            return
        found = built.lent()
        if not found:
            return
        refuse_to_rob(doing, self, self._state.now.layers, elsewhere=True)
        if copies.stamp == stamp_of(found):
            return
        claim = Claim(doing)
        with claim, claim.lock:
            self._changes.take(claim, waits=True)
            layers = self._state.now.layers
            claim_layers(claim, layers)
            refuse_to_rob(doing, self, layers, elsewhere=True)
            found = built.lent()
            stamp = stamp_of(found)
            if copies.stamp != stamp:
                for one in found:
                    built.network.take(one.parameters, one.ranges)
                copies.stamp = stamp

    def _take_over(self, built: Built, doing: str, *, if_free: bool = False) -> None:
        layers = self._state.now.layers
        if not any(map(_is_shared, layers)):
            return
        change = Change(doing)
        with change, change.lock:
            self._changes.take(change, waits=True)
            claim_layers(change, layers)
            found = built.lent()
            if if_free and any(is_trained_beside(self, layer) for layer in layers):
                return
            refuse_to_rob(doing, self, layers)
            if not found:
                return
            for one in found:
                built.network.take(one.parameters, one.ranges)
            switches: list[Switch[Any]] = []
            for layer, variables, places in zip(layers, built.variables, built.places, strict=True):
                switches.append(layer.stand(change, owner=weakref.ref(self)))
                for variable, place in zip(variables, places, strict=True):
                    switches.append(variable.move(Spot(place, variable.path), change))
            change.settled = True
            forget_former(switches)

    def run_as(self, key: int, input_shape: Any, steps: int, epochs: int) -> None:
        """Draws random numbers from a key from here on, after so many steps (for files)."""
        self._key = key
        if self._state.now.built is None:
            if input_shape is None:
                return
            self.prepare(without_batch(input_shape), lambda _: None, "load_model")
        change = Change("load_model")
        with change, change.lock:
            self._changes.take(change, waits=True)
            state = self._state.now
            assert state.built is not None
            built = self._renewed(state, state.built)
            built.network.steps, built.network.epochs = steps, epochs
            plan = state.plan
            if plan is not None and plan.native is not None:
                built = self._compiled_by(plan, built, state, built.settings)
            self._settle(change, state._replace(built=built))

    def go_on(self, settings: Settings, progress: Progress) -> None:
        """Compiles the network anew by these settings, and lets it go on from there (for files)."""
        change = Change("load_model")
        with change, change.lock:
            self._changes.take(change, waits=True)
            state = self._state.now
            assert state.built is not None
            assert state.plan is not None
            built = self._renewed(state, state.built)
            built = self._compiled_by(state.plan, built, state, settings)
            restore_progress(built.network, progress)
            self._settle(change, state._replace(built=built))

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """(None, ...); AttributeError before the model is built."""
        state = self._state.now
        if state.built is None and self._is_built_by_calls():
            known = state.inputs or (() if state.row_shape is None else (state.row_shape,))
            if len(known) == 1:
                return (None, *known[0])
        return (None, *self._built_shapes()[0])

    @property
    def output_shape(self) -> Any:
        """(None, ...), or such of several outputs, in their structure; AttributeError before the
        model is built."""
        state = self._state.now
        if self._steps is not None:
            return state.form.like([(None, *shape) for shape in self._steps.output_shapes])
        shapes = self._built_shapes()
        if state.form.kind is None or state.built is None:
            return (None, *shapes[-1])
        return state.form.like([(None, *shape) for shape in state.built.rows[-1][0]])

    def _built_shapes(self) -> tuple[Shape, Shape]:
        shapes = self.row_shapes()
        if shapes is None:
            raise AttributeError("the model has no shape until it is built")
        return shapes

    # -- copies

    def __getstate__(self) -> dict[str, Any]:
        """What pickles and copies hold: layers with weights, how to train, and the state of that.

        Layers are copied after this, one by one; then `_Unchanged` looks back.
        """
        kept = {k: v for k, v in vars(self).items() if k not in _NOT_COPIED}
        state = self._state.now
        built = state.built
        self._training.refuse_others("copy")
        refuse_to_rob("copy", self, state.layers, elsewhere=True)
        self._check_traces("copy")
        return {
            **kept,
            "_layers": list(state.layers),
            "_calls": state.calls,
            "_inputs": state.inputs,
            "_row_shape": state.row_shape if built is None else built.shapes[0],
            "_plan": state.plan,
            "_not_compiled": state.not_compiled,
            "_form": state.form,
            "_entries": entries_of(state),
            "_parts": state.parts,
            "_name": state.name,
            "_settings": None if built is None else built.settings,
            "_progress": None if built is None else progress_of(built.network),
            "_traces": [
                (trace.parts, trace.again, trace.graph, trace.inputs) for trace in state.traces
            ],
            "_unchanged": Unchanged(self, state),
        }

    def __setstate__(self, kept: dict[str, Any]) -> None:
        kept = {name: value for name, value in kept.items() if name != "_unchanged"}
        graph = (
            *("layers", "calls", "inputs", "row_shape", "plan", "not_compiled"),
            *("form", "entries", "parts", "name"),
        )
        layers, *others = (kept.pop(f"_{n}") for n in graph)
        calls, inputs, row_shape, plan, not_compiled, form, entries, parts, name = others
        settings, progress = kept.pop("_settings"), kept.pop("_progress")
        traces = kept.pop("_traces")
        Trainer.__init__(self, kept["_key"])
        vars(self).update(kept)
        change = Change("copy")
        with change, change.lock:
            self._changes.take(change)
            state = State(tuple(layers), calls, inputs, row_shape, None, plan, not_compiled, form)
            state = state._replace(
                parts=parts, name=name, drawing={"entries": entries} if entries else {}
            )
            state = state._replace(
                traces=tuple(
                    Trace(programs[0], again, graph, inputs, programs)
                    for programs, again, graph, inputs in traces
                    if programs
                )
            )
            if progress is not None:
                state = self._built_for(change, state, row_shape, settings)
                assert state.built is not None
                restore_progress(state.built.network, progress)
            self._settle(change, state, self.names_for(parts_in(state)))
        if self._steps is not None:
            self._settle_steps("copy", self._steps, self._state.now)

    @abstractmethod
    def _settle_steps(self, doing: str, steps: Any, state: State) -> None:
        """Names the parts of a model some of whose calls are no graph, and is their home."""

    def __copy__(self) -> Self:
        """An independent model, as deepcopy makes it: models do not share weights."""
        return copy.deepcopy(self)
