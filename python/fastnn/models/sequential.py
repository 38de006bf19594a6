"""Sequential: a model that is a chain of layers, its Variables and its table.

How a chain becomes a native network is in `built`; training is in `trainer`.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

from numpy.typing import ArrayLike, NDArray

from fastnn import keys
from fastnn.changes import Change, Switch, forget_former
from fastnn.claims import Claim
from fastnn.console import say
from fastnn.layers.base import (
    Dtype,
    Layer,
    Shape,
    dtype_of,
    snake_case,
    without_batch,
    write_all,
)
from fastnn.layers.shape import InputLayer
from fastnn.models.built import (
    Built,
    assemble,
    progress_of,
    renewed,
    restore_progress,
    shapes_through,
)
from fastnn.models.chain import check_are_layers, first_shape, numbered, without_last
from fastnn.models.compiled import State, claim_layers
from fastnn.models.summary import summary_lines
from fastnn.models.trainer import Trainer
from fastnn.variables import Spot, Variable
from fastnn.words import flag, integer, keywords, unknown

# Made anew for each copy.
_NOT_COPIED = ("_training", "_changes", "_state")


class _Unchanged:
    """The last part of a pickled or copied model: an error where training came in between."""

    def __init__(self, model: Sequential, built: Built, version: int) -> None:
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


class Sequential(Trainer):
    """A chain of layers.

        >>> import numpy as np
        >>> import fastnn
        >>> fastnn.utils.set_random_seed(0)
        >>> model = fastnn.Sequential([
        ...     fastnn.layers.Dense(16, activation="relu", input_shape=(4,)),
        ...     fastnn.layers.Dense(3),
        ... ])
        >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> x = np.random.default_rng(0).normal(size=(90, 4))
        >>> y = x[:, :3].argmax(axis=1)
        >>> history = model.fit(x, y, epochs=100, verbose=0)
        >>> history.history["accuracy"][-1] > 0.9
        True
        >>> model.predict(x).shape
        (90, 3)

    Args:
        layers: the layers, in order; the first may be `Input`. If the first layer gives its
            input shape, the model is built, and its parameters exist, at once; if not, they
            exist from the first call with data, or from `build`.
        trainable: False freezes all layers.
        name: the model's name, in its table and in paths of Variables.
        dtype: "float32" (the default) or "float64"; layers that name a dtype must agree.
        seed: fixes the model's random numbers (first weights, dropout, order of rows,
            validation split), independently of earlier draws; None: they come from
            `fastnn.utils.set_random_seed`, or from the system's entropy. (Not in Keras.)

    A layer belongs to one model. A model computes in float32 or in float64, never in both.
    `copy.copy`, `copy.deepcopy` and `pickle` give an independent model, with weights, the state of
    the optimizer and all counts: both go on training to the same weights. While another thread
    trains the model, or writes its weights, they raise RuntimeError.
    """

    @keywords()
    def __init__(
        self,
        layers: Iterable[Layer] | None = None,
        trainable: bool = True,
        name: str | None = None,
        *,
        dtype: str | None = None,
        seed: int | None = None,
    ) -> None:
        key = keys.next_key() if seed is None else keys.key_of(integer("seed", seed, 0))
        super().__init__(key)
        self.name = snake_case(type(self).__name__) if name is None else name
        self._given_dtype = None if dtype is None else dtype_of(dtype)
        if isinstance(layers, Layer):
            raise TypeError("layers: expected a list of layers, got a single layer")
        given = list(layers or ())
        self._edit("Sequential", lambda _: given)
        if not flag("trainable", trainable):
            self.trainable = False

    # -- the chain

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the Input, as in Keras."""
        return [layer for layer in self._state.now.layers if not isinstance(layer, InputLayer)]

    @keywords()
    def add(self, layer: Layer) -> None:
        """Appends a layer.

        Parameters keep their values, though they may move to a larger buffer. The model must
        be compiled again.
        """
        self._edit("add", lambda layers: [*layers, layer])

    def pop(self) -> Layer:
        """Removes the last layer and returns it; it keeps its values. Compile again."""
        return self._edit("pop", without_last)[-1]

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

    def _edit(self, doing: str, edit: Callable[[Sequence[Layer]], Sequence[Layer]]) -> list[Layer]:
        """Makes what `edit` returns the chain, or on any error changes nothing.

        Returns the layers that were there before.
        """
        change = Change(doing)
        with change, change.lock:
            self._changes.take(change, waits=True)
            self._training.refuse_all(doing)
            state = self._state.now
            layers = tuple(edit(state.layers))
            check_are_layers(layers)
            claim_layers(change, {*state.layers, *layers})
            names = self._check_chain(layers)
            shape = first_shape(layers) or state.row_shape
            built = None
            if shape is not None and any(not isinstance(layer, InputLayer) for layer in layers):
                built = self._assembled(state._replace(layers=layers), shape, names)
            new = State(layers, state.row_shape, built)
            if state.plan is not None:
                changed = "its layers changed since compile: call model.compile(...) again"
                new = new._replace(not_compiled=changed)
            self._settle(change, new, names)
        return list(state.layers)

    def _check_chain(self, layers: Sequence[Layer]) -> list[str]:
        """Checks that the layers can be a chain; returns a name for each."""
        given: set[str] = set()
        seen: set[int] = set()
        for i, layer in enumerate(layers):
            if layer.owner not in (None, self):
                raise ValueError(
                    f"layer {layer.name!r} belongs to another model; make a layer for each model"
                )
            if id(layer) in seen:
                raise ValueError(f"layer {layer.name!r} is in the model twice")
            if isinstance(layer, InputLayer) and i > 0:
                raise ValueError("Input must be the first layer")
            if layer.given_name in given:
                raise ValueError(f"layers: two are named {layer.given_name!r}; names must differ")
            seen.add(id(layer))
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

    # -- building

    @property
    def built(self) -> bool:
        return self._state.now.built is not None

    @keywords()
    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the parameters for inputs of shape (None, ...), batch axis first."""
        shape = without_batch(input_shape)
        built = self._state.now.built
        if built is None:
            built = self.prepare(shape, lambda _: None, "build")
        if shape != built.shapes[0]:
            raise ValueError(
                f"build: the model is built for {self.input_shape}, got {tuple(input_shape)}"
            )

    def shapes_for(self, row_shape: Shape) -> list[Shape]:
        if not self.layers:
            raise ValueError("the model has no layers; add some first")
        return shapes_through(self._state.now.layers, row_shape)

    def _assembled(
        self, state: State, row_shape: Shape, names: Sequence[str] | None = None
    ) -> Built:
        layers = state.layers
        if all(isinstance(layer, InputLayer) for layer in layers):
            raise ValueError("the model has no layers; add some first")
        paths = [f"{self.name}/{name}" for name in names or [layer.name for layer in layers]]
        dtype = self._agreed_dtype(layers)
        return assemble(layers, paths, row_shape, dtype, self._key, self._state.now.built)

    def _renewed(self, state: State, built: Built) -> Built:
        return renewed(built, state.layers, self._agreed_dtype(state.layers), self._key)

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
            names = names or [layer.name for layer in state.layers]
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
            parts["rows"] = built.shapes[i], built.shapes[i + 1]
            parts["variables"] = tuple(built.variables[i])
            for variable, place in zip(built.variables[i], built.places[i], strict=True):
                spot = Spot(place, f"{self.name}/{name}/{variable.name}")
                switches.append(variable.move(spot, change))
        return [*switches, layer.stand(change, **parts)]

    @property
    def dtype(self) -> str:
        """ "float32" or "float64"."""
        return self._agreed_dtype(self._state.now.layers)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """(None, ...); AttributeError before the model is built."""
        return (None, *self._built_shapes()[0])

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """(None, ...); AttributeError before the model is built."""
        return (None, *self._built_shapes()[-1])

    def _built_shapes(self) -> list[Shape]:
        built = self._state.now.built
        if built is None:
            raise AttributeError("the model has no shape until it is built")
        return built.shapes

    # -- parameters

    @property
    def weights(self) -> list[Variable]:
        """All Variables, layer by layer: kernel, then bias."""
        return [variable for layer in self._state.now.layers for variable in layer.variables]

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
        return any(layer.trainable for layer in self._state.now.layers) or not self.layers

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self._state.now.layers:
            layer.trainable = value

    def count_params(self) -> int:
        """The number of parameters, trainable or not; ValueError before the model is built."""
        if not self.built:
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
            claim_layers(claim, self._state.now.layers)
            if not self.built:
                raise ValueError(
                    "set_weights: the model is not built; give input_shape, or call build"
                )
            write_all(self.name, self.weights, weights)

    @keywords()
    def summary(
        self,
        line_length: int | None = None,
        *,
        print_fn: Callable[[str], object] | None = None,
        batch_size: int | None = None,
    ) -> None:
        """Prints a table of the layers.

        Args:
            line_length: the width of the table; None: as wide as it needs to be.
            print_fn: called with each line, and its errors are raised; None: standard output, and
                what cannot be printed is left out.
            batch_size: rows of a training step. With it, a last line names the session that
                runs such a step: "plain" (layer by layer, all gradients kept), "streaming"
                (layer by layer, each kernel updated as its gradient is made) or "tiled" (a
                tile of rows through all layers before the next); on a GPU "plain", "generic"
                (recorded once as a graph), "wide" (the same with the optimizer beside the
                products) or "resident" (many steps in one kernel). It also names the numbers
                that products multiply: "float32", "bfloat16" or "two bfloat16", whose sum
                stands for a float32 (see `compile`). Needs a compiled model.
        """
        write = say if print_fn is None else print_fn
        for line in summary_lines(self, line_length):
            write(line)
        if batch_size is not None:
            session, bf16_parts = self.session(batch_size), self.network.bf16_parts(batch_size)
            made = (self.dtype, "bfloat16", "two bfloat16")[bf16_parts]
            where = " on the GPU" if self.network.device(batch_size) == "cuda" else ""
            write(f"Session in batches of {batch_size:,}: {session}{where}, products in {made}")

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
            "_row_shape": state.row_shape if built is None else built.shapes[0],
            "_plan": state.plan,
            "_not_compiled": state.not_compiled,
            "_settings": None if built is None else built.settings,
            "_progress": None if built is None else progress_of(built.network),
            "_unchanged": None if built is None else _Unchanged(self, built, version),
        }

    def __setstate__(self, kept: dict[str, Any]) -> None:
        kept = {name: value for name, value in kept.items() if name != "_unchanged"}
        layers, row_shape, plan, not_compiled, settings, progress = (
            kept.pop(f"_{name}")
            for name in ("layers", "row_shape", "plan", "not_compiled", "settings", "progress")
        )
        super().__init__(kept["_key"])
        vars(self).update(kept)
        self._edit("copy", lambda _: layers)
        change = Change("copy")
        with change, change.lock:
            self._changes.take(change)
            now = self._state.now
            state = now._replace(row_shape=row_shape, plan=plan, not_compiled=not_compiled)
            if progress is not None:
                state = state._replace(built=self._built_for(change, state, row_shape, settings))
                assert state.built is not None
                restore_progress(state.built.network, progress)
            self._settle(change, state)

    def __copy__(self) -> Self:
        """An independent model, as deepcopy makes it: models do not share weights."""
        return copy.deepcopy(self)

    def __repr__(self) -> str:
        return f"<Sequential name={self.name}, layers={len(self.layers)}, built={self.built}>"
