"""Parted: the layers, models and Variables that a model consists of, with their names and weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, NDArray

from fastnn.claims import Claim
from fastnn.layers.base import Dtype, Layer, Shape, write_all
from fastnn.layers.outputs import Outputs
from fastnn.layers.shape import InputLayer
from fastnn.models.chain import numbered
from fastnn.models.compiled import claim_layers
from fastnn.models.trainer import Trainer
from fastnn.variables import Variable
from fastnn.words import keywords, unknown

_NO_INIT = "{}: call super().__init__() first in its __init__, before layers are made"


class Parted(Trainer):
    """A model as its parts: layers of a graph, or layers, models and Variables among attributes."""

    name: str
    _given_dtype: Dtype | None
    _eager_shapes: set[Shape]  # of rows for which `call` is no graph of layers

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The outputs for inputs, by layers: for subclasses to define."""
        raise NotImplementedError(
            f"{type(self).__name__}: define `call`, or give Model its inputs and outputs"
        )

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, (Layer, Variable, Parted)):
            if "_state" not in vars(self):
                raise RuntimeError(_NO_INIT.format(type(self).__name__))
            by_call = type(self).call is not Parted.call
            if by_call and self._state.now.calls and vars(self).get(name) is not value:
                raise AttributeError(
                    f"{name}: the model is built, and its layers are fixed; make another model"
                )
            self._eager_shapes = set()
        super().__setattr__(name, value)

    if not TYPE_CHECKING:  # or checkers would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            if name in ("_training", "_state", "_changes", "_key", "_eager_shapes"):
                raise RuntimeError(_NO_INIT.format(type(self).__name__))
            return super().__getattr__(name)

    # -- layers

    @property
    def layers(self) -> list[Layer]:
        """The layers, in the order of their first calls, without Inputs, as in Keras."""
        state = self._state.now
        if not state.calls and not state.layers:
            return list(self._own_layers())
        return [layer for layer in state.layers if not isinstance(layer, (InputLayer, Outputs))]

    def _all_layers(self) -> Sequence[Layer]:
        state = self._state.now
        return state.layers or tuple(self._own_layers())

    def _variables(self) -> list[Variable]:
        return self._own_variables()

    def _own_variables(self) -> list[Variable]:
        """Those of layers, then those of models and Variables among the attributes, each once."""
        found: dict[int, Variable] = {}
        for part in self._leaf_parts():
            for variable in [part] if isinstance(part, Variable) else part.variables:
                found[id(variable)] = variable
        return list(found.values())

    def _leaf_parts(self) -> list[Layer | Variable]:
        """The layers and Variables of the model, then of models among the attributes, each model
        once: they may hold each other."""
        found: list[Layer | Variable] = []
        models: list[Parted] = [self]
        for model in models:  # which grows
            found += model._all_layers()
            for part in model._own_parts():
                if isinstance(part, Variable):
                    found.append(part)
                elif isinstance(part, Parted) and not any(part is known for known in models):
                    models.append(part)
        return found

    def _own_layers(self) -> Iterator[Layer]:
        """Layers among the attributes."""
        for part in self._own_parts():
            if isinstance(part, Layer):
                yield part

    def _own_parts(self) -> Iterator[Layer | Parted | Variable]:
        """Layers, models and Variables among the attributes, also in lists and dictionaries, in the
        order of these."""
        if type(self).call is Parted.call:  # a graph by inputs and outputs, or a chain
            return
        seen: set[int] = {id(self)}
        waiting: list[Any] = [v for k, v in vars(self).items() if not k.startswith("__")]
        while waiting:
            value = waiting.pop(0)
            if isinstance(value, (Layer, Parted, Variable)):
                if id(value) not in seen:
                    seen.add(id(value))
                    yield value
            elif isinstance(value, (list, tuple)):
                waiting = [*value, *waiting]
            elif isinstance(value, dict):
                waiting = [*value.values(), *waiting]

    @keywords()
    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer with this name, or at this place in `layers`."""
        if (name is None) == (index is None):
            raise ValueError("get_layer: give name or index")
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(f"get_layer: index {index} of {len(self.layers)} layers")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(unknown("layer", str(name), [layer.name for layer in self.layers]))

    def _names_for(self, layers: Sequence[Layer]) -> list[str]:
        """A name for each layer; ValueError where a layer is another model's."""
        given: set[str] = set()
        for layer in layers:
            if layer.owner not in (None, self):
                raise ValueError(
                    f"layer {layer.name!r} belongs to another model; make a layer for each model"
                )
            if layer.given_name in given:
                raise ValueError(f"layers: two are named {layer.given_name!r}; names must differ")
            if layer.given_name is not None:
                given.add(layer.given_name)
        self._agreed_dtype(layers)
        return numbered(layers, given)

    def _agreed_dtype(self, layers: Sequence[Layer]) -> Dtype:
        agreed = self._given_dtype
        for layer in layers:
            if layer.compute_dtype is not None:
                if agreed is not None and layer.compute_dtype != agreed:
                    raise ValueError(
                        f"layer {layer.name!r} is {layer.compute_dtype}, but the model is {agreed}; "
                        "all layers of a model have one dtype"
                    )
                agreed = layer.compute_dtype
        return agreed or "float32"

    @property
    def dtype(self) -> str:
        """ "float32" or "float64"."""
        return self._agreed_dtype(self._all_layers())

    @property
    def built(self) -> bool:
        return self._state.now.built is not None

    @built.setter
    def built(self, value: bool) -> None:
        """Taken for programs that set it, as of Keras; whether a model is built is found out."""

    # -- parameters

    @property
    def weights(self) -> list[Variable]:
        """All Variables, layer by layer: kernel, then bias; then those of a class's own attributes."""
        return self._own_variables()

    @property
    def variables(self) -> list[Variable]:
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        return [variable for variable in self.weights if variable.trainable]

    @property
    def trainable_variables(self) -> list[Variable]:
        return self.trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        return [variable for variable in self.weights if not variable.trainable]

    @property
    def non_trainable_variables(self) -> list[Variable]:
        return self.non_trainable_weights

    @property
    def trainable(self) -> bool:
        """Whether any layer is trainable; setting it sets all layers, from `compile` on."""
        return any(layer.trainable for layer in self._all_layers()) or not self.layers

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for part in self._leaf_parts():
            part.trainable = value

    def count_params(self) -> int:
        """The number of parameters, trainable or not; ValueError before the model is built."""
        if not self.built and not self.weights:
            raise ValueError("count_params: the model is not built; its sizes are not known yet")
        return sum(variable.size for variable in self.weights)

    def get_weights(self) -> list[NDArray[Any]]:
        """Copies of all parameters, in the order of `weights`."""
        return [variable.numpy() for variable in self.weights]

    @keywords()
    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Writes all parameters, in the order of `weights`.

        Number, shapes and types are checked before anything is written. The state of the
        optimizer is kept. A change that another thread has begun, such as `add`, is waited for.
        """
        self._training.refuse_others("set_weights")
        claim = Claim("set_weights")
        with claim, claim.lock:
            self._changes.take(claim, waits=True)
            claim_layers(claim, self._all_layers())
            if not self.built and not self.weights:
                raise ValueError(
                    "set_weights: the model is not built; give input_shape, or call build"
                )
            write_all(self.name, self.weights, weights)
