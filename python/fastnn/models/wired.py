"""Wired: how the graph of a model becomes its native network, and copies of both.

Subclasses say what the graph is (`_traced_for`).
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Sequence
from typing import Any, Self

from fastnn.changes import Change, Switch, forget_former
from fastnn.layers.base import Layer, Shape
from fastnn.layers.shape import InputLayer
from fastnn.models import heads
from fastnn.models.built import (
    Built,
    Wiring,
    assemble,
    progress_of,
    renewed,
    restore_progress,
)
from fastnn.models.compiled import State
from fastnn.models.graph import shapes_of
from fastnn.models.parts import Parted
from fastnn.models.trainer import Trainer
from fastnn.variables import Spot


class _Unchanged:
    """The last part of a pickled or copied model: an error where training came in between."""

    def __init__(self, model: Wired, built: Built, version: int) -> None:
        self._model = model
        self._built = built
        self._version = version

    def __reduce__(self) -> tuple[type[bool], tuple[()]]:
        self._model._training.refuse_others("copy")
        now = self._model._state.now.built
        same = now is not None and now.parameters is self._built.parameters
        if not same or self._built.parameters.version != self._version:
            raise RuntimeError("copy: the weights were changed in another thread meanwhile")
        return bool, ()


# Made anew for each copy.
_NOT_COPIED = ("_training", "_changes", "_state")


class Wired(Parted):
    """A model whose graph of layers is made into a network, at one moment of a change."""

    def _adopt(self, change: Change, state: State) -> None:
        """Builds the layers of a graph that is drawn, and settles that."""
        names = self._names_for(state.layers)
        built = self._assembled(state, self._wiring(state, ()).row_shape, names)
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
            self._agreed_dtype(state.layers),
            self._key,
        )

    def _assembled(
        self, state: State, row_shape: Shape, names: Sequence[str] | None = None
    ) -> Built:
        self._check_layers(state.layers)
        paths = [f"{self.name}/{name}" for name in names or self._names_for(state.layers)]
        built = assemble(self._wiring(state, row_shape), paths, self._state.now.built)
        if state.form.kind is not None:
            inputs = state.inputs or (row_shape,)
            return built._replace(ends=tuple(heads.ends(state.layers, state.calls, inputs)))
        head = heads.find(state.layers, state.calls, state.inputs)
        return built._replace(gives_logits=head.activation == "linear")

    def _renewed(self, state: State, built: Built) -> Built:
        return renewed(built, self._wiring(state, built.shapes[0]))

    def _settle(self, change: Change, state: State, names: Sequence[str] | None = None) -> None:
        former = self._state.now
        switches: list[Switch[Any]] = []
        stay = {id(layer) for layer in state.layers}
        for layer in former.layers:
            if id(layer) not in stay:
                switches.append(layer.stand(change, owner=None))
        before, after = former.built, state.built
        rebuilt = after is not None and (before is None or after.places is not before.places)
        if rebuilt or names is not None:  # `compile` leaves layers as they are
            names = names or self._names_for(state.layers)
            for i, (layer, name) in enumerate(zip(state.layers, names, strict=True)):
                switches += self._stand(change, layer, name, after, i)
        self._state = self._state.to(state, change)
        change.settled = True
        forget_former([*switches, self._state])

    def _stand(
        self, change: Change, layer: Layer, name: str, built: Built | None, i: int
    ) -> list[Switch[Any]]:
        """What becomes of layer number i of the chain by this change."""
        parts: dict[str, Any] = {"name": name, "owner": weakref.ref(self)}
        switches: list[Switch[Any]] = []
        if built is not None:
            parts["rows"] = built.rows[i]
            parts["variables"] = tuple(built.variables[i])
            for variable, place in zip(built.variables[i], built.places[i], strict=True):
                spot = Spot(place, f"{self.name}/{name}/{variable.name}")
                switches.append(variable.move(spot, change))
        return [*switches, layer.stand(change, **parts)]

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """(None, ...); AttributeError before the model is built."""
        return (None, *self._built_shapes()[0])

    @property
    def output_shape(self) -> Any:
        """(None, ...), or such of several outputs, in their structure; AttributeError before the
        model is built."""
        shapes = self._built_shapes()
        state = self._state.now
        if state.form.kind is None or state.built is None:
            return (None, *shapes[-1])
        return state.form.like([(None, *shape) for shape in state.built.rows[-1][0]])

    def _built_shapes(self) -> tuple[Shape, Shape]:
        built = self._state.now.built
        if built is None:
            raise AttributeError("the model has no shape until it is built")
        return built.shapes

    # -- copies

    def __getstate__(self) -> dict[str, Any]:
        """What pickles and copies hold: layers with weights, how to train, and the state of that.

        Layers are copied after this, one by one; then `_Unchanged` looks back.
        """
        kept = {k: v for k, v in vars(self).items() if k not in _NOT_COPIED}
        state = self._state.now
        built = state.built
        version = 0 if built is None else built.parameters.version
        self._training.refuse_others("copy")
        return {
            **kept,
            "_layers": list(state.layers),
            "_calls": state.calls,
            "_inputs": state.inputs,
            "_row_shape": state.row_shape if built is None else built.shapes[0],
            "_plan": state.plan,
            "_not_compiled": state.not_compiled,
            "_form": state.form,
            "_settings": None if built is None else built.settings,
            "_progress": None if built is None else progress_of(built.network),
            "_unchanged": None if built is None else _Unchanged(self, built, version),
        }

    def __setstate__(self, kept: dict[str, Any]) -> None:
        kept = {name: value for name, value in kept.items() if name != "_unchanged"}
        graph = ("layers", "calls", "inputs", "row_shape", "plan", "not_compiled", "form")
        layers, calls, inputs, row_shape, plan, not_compiled, form = (
            kept.pop(f"_{n}") for n in graph
        )
        settings, progress = kept.pop("_settings"), kept.pop("_progress")
        Trainer.__init__(self, kept["_key"])
        vars(self).update(kept)
        change = Change("copy")
        with change, change.lock:
            self._changes.take(change)
            state = State(tuple(layers), calls, inputs, row_shape, None, plan, not_compiled, form)
            if progress is not None:
                state = self._built_for(change, state, row_shape, settings)
                assert state.built is not None
                restore_progress(state.built.network, progress)
            self._settle(change, state, self._names_for(state.layers))

    def __copy__(self) -> Self:
        """An independent model, as deepcopy makes it: models do not share weights."""
        return copy.deepcopy(self)
