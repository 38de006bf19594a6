"""Model: a graph of layers with its Variables and its table; by inputs and outputs, or by `call`.

How a graph becomes a native network is in `built`; training is in `trainer`.
"""

from __future__ import annotations

import copy
import functools
import inspect
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import keys
from fastnn.autodiff.tensor import Tensor, tensor
from fastnn.autodiff.tensor import borrowed as as_tensor
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
from fastnn.layers.shape import Input, InputLayer
from fastnn.layers.symbol import Symbol, Untraceable, any_symbols
from fastnn.models import heads
from fastnn.models.built import (
    Built,
    Wiring,
    assemble,
    progress_of,
    renewed,
    restore_progress,
)
from fastnn.models.called import called, side_by_side
from fastnn.models.chain import numbered
from fastnn.models.compiled import State, claim_layers
from fastnn.models.graph import shapes_of, traced, without_dropout
from fastnn.models.parts import Holder, Known, parts_in, variables_of
from fastnn.models.summary import summary_lines
from fastnn.models.trainer import Trainer
from fastnn.variables import Spot, Variable
from fastnn.words import flag, integer, keywords, unknown


class _Unchanged:
    """The last part of a pickled or copied model: an error where training came in between."""

    def __init__(self, model: Model, built: Built, version: int) -> None:
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


_NO_INIT = "{}: call super().__init__() first in its __init__, before layers are made"
# Made anew for each copy.
_NOT_COPIED = ("_training", "_changes", "_state", "_parts")


class Model(Trainer):
    """A network of any shape: a graph of layers.

    By inputs and outputs, where layers are called on `Input`s:

        >>> import numpy as np
        >>> import fastnn
        >>> from fastnn import layers
        >>> inputs = fastnn.Input((20,))
        >>> h = layers.Dense(64, "relu")(inputs)
        >>> h = layers.Add()([h, layers.Dense(64)(layers.LayerNormalization()(h))])
        >>> model = fastnn.Model(inputs, layers.Dense(3)(h))
        >>> model.predict(np.ones((2, 20))).shape
        (2, 3)

    Or by a class with layers as attributes and a method `call`, which is traced once:

        >>> class Net(fastnn.Model):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.hidden = layers.Dense(16, "relu")
        ...         self.head = layers.Dense(3)
        ...     def call(self, inputs, training=False):
        ...         return self.head(self.hidden(inputs))
        >>> Net().predict(np.ones((2, 20))).shape
        (2, 3)

    Args:
        inputs: an Input, or a list or dictionary of them. Data for several are given in the same
            form; they are put side by side in one array.
        outputs: what layers make of the inputs.
        name: the model's name, in its table and in paths of Variables.
        trainable: False freezes all layers.
        dtype: "float32" (the default) or "float64"; layers that name a dtype must agree.
        seed: fixes the model's random numbers; see `Sequential`.

    A layer belongs to one model, and may be called several times there if it has no parameters or
    is a Dense. A `call` that computes with numbers, or with more than layers, `+`, `-` and `*`,
    cannot be traced: such a model can be called and trained over a GradientTape, and has no `fit`.
    """

    _parts: Known | None

    @keywords()
    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        name: str | None = None,
        trainable: bool = True,
        *,
        dtype: str | None = None,
        seed: int | None = None,
    ) -> None:
        key = keys.next_key() if seed is None else keys.key_of(integer("seed", seed, 0))
        super().__init__(key)
        self.name = snake_case(type(self).__name__) if name is None else name
        self._given_dtype = None if dtype is None else dtype_of(dtype)
        # For several inputs: how x names them, a list's length or a dictionary's keys.
        self._input_names: int | list[str] | None = None
        self._eager_shapes: set[Shape] = set()  # of rows for which `call` is no graph of layers
        if (inputs is None) != (outputs is None):
            raise ValueError("Model: give inputs and outputs, or neither and define `call`")
        if inputs is not None:
            self._draw(inputs, outputs)
        if not flag("trainable", trainable):
            self.trainable = False

    def _draw(self, inputs: Any, outputs: Any) -> None:
        """Makes the graph from inputs to outputs the model."""
        if isinstance(inputs, Mapping):
            self._input_names = [str(name) for name in inputs]
            symbols = list(inputs.values())
        elif isinstance(inputs, (list, tuple)):
            symbols = list(inputs)
            if not symbols:
                raise ValueError("inputs: expected at least one Input, got an empty list")
            self._input_names = len(symbols) if len(symbols) > 1 else None
        else:
            symbols = [inputs]
        for symbol in symbols:
            if not isinstance(symbol, Symbol) or not isinstance(symbol.layer, InputLayer):
                raise TypeError(f"inputs: expected what fastnn.Input makes, got {symbol!r}")
        if len({id(symbol) for symbol in symbols}) < len(symbols):
            raise ValueError("inputs: the same Input is given twice")
        if isinstance(outputs, (list, tuple)) and len(outputs) == 1:
            outputs = outputs[0]
        if isinstance(outputs, (list, tuple, Mapping)):
            raise TypeError(
                f"outputs: models of several outputs are not in fastnn, got {outputs!r}"
            )
        if not isinstance(outputs, Symbol):
            raise TypeError(f"outputs: expected what layers make of the inputs, got {outputs!r}")
        layers, calls = traced(symbols, outputs)
        shapes = tuple(symbol.row_shape for symbol in symbols)
        change = Change("Model")
        with change, change.lock:
            self._changes.take(change, waits=True)
            claim_layers(change, layers)
            self._adopt(change, State(layers, calls, shapes))

    def _adopt(self, change: Change, state: State) -> None:
        """Builds the layers of a graph that is drawn, and settles that."""
        names = self._names_for(state.layers)
        built = self._assembled(state, self._wiring(state, ()).row_shape, names)
        self._settle(change, state._replace(built=built), names)

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

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, (Layer, Variable, Model)):
            if "_state" not in vars(self):
                raise RuntimeError(_NO_INIT.format(type(self).__name__))
            by_call = type(self).call is not Model.call
            if by_call and self._state.now.calls and vars(self).get(name) is not value:
                raise AttributeError(
                    f"{name}: the model is built, and its layers are fixed; make another model"
                )
            self._eager_shapes = set()
        super().__setattr__(name, value)
        if name != "_parts":
            vars(self)["_parts"] = None

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        vars(self)["_parts"] = None

    if not TYPE_CHECKING:  # or checkers would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            if name in ("_training", "_state", "_changes", "_key", "_eager_shapes", "_parts"):
                raise RuntimeError(_NO_INIT.format(type(self).__name__))
            return super().__getattr__(name)

    # -- layers

    @property
    def layers(self) -> list[Layer]:
        """The layers, in the order of their first calls, without Inputs, as in Keras."""
        state = self._state.now
        if not state.calls and not state.layers:
            return list(self._own_layers())
        return [layer for layer in state.layers if not isinstance(layer, InputLayer)]

    def _all_layers(self) -> Sequence[Layer]:
        state = self._state.now
        return state.layers or tuple(self._own_layers())

    def _own_variables(self) -> list[Variable]:
        """Those of layers, then those of models and Variables among the attributes, each once."""
        known = self._parts
        if known is not None and known.holds(self._state.now):
            return list(known.variables)
        return variables_of(self._found())

    def _found(self) -> list[Layer | Variable]:
        """`_leaf_parts`, and what they have is kept while all stays as it is: a loop asks for it at
        each step.

        Where another model is among the attributes it is not kept: that may change without an
        attribute of this one being set.
        """
        state = self._state.now
        holders: list[Holder] = []
        models = any(isinstance(part, Model) for part in self._own_parts(holders))
        parts = self._leaf_parts()
        layers = [part for part in parts if isinstance(part, Layer)]
        # The standing of a layer holds its Variables, unless its class has others.
        usual = all(type(layer).variables is Layer.variables for layer in layers)
        standings = [layer._standing for layer in layers]
        if usual and not models and all(standing.is_final for standing in standings):
            variables = tuple(variables_of(parts))
            self._parts = Known(state, holders, layers, standings, variables)
        return parts

    def _leaf_parts(self) -> list[Layer | Variable]:
        """The layers and Variables of the model, then of models among the attributes, each model
        once: they may hold each other."""
        found: list[Layer | Variable] = []
        models: list[Model] = [self]
        for model in models:  # which grows
            found += model._all_layers()
            for part in model._own_parts():
                if isinstance(part, Model):
                    if not any(part is known for known in models):
                        models.append(part)
                elif not any(part is known for known in found):  # a layer that `call` does not use
                    found.append(part)
        return found

    def _own_layers(self) -> Iterator[Layer]:
        """Layers among the attributes."""
        for part in self._own_parts():
            if isinstance(part, Layer):
                yield part

    def _own_parts(self, holders: list[Holder] | None = None) -> Iterator[Layer | Model | Variable]:
        """Layers, models and Variables among the attributes, also in lists and dictionaries, in the
        order of these. `holders` gets the latter, each with what it holds."""
        if type(self).call is Model.call:  # a graph by inputs and outputs, or a chain
            return
        seen: set[int] = {id(self)}
        attributes = [v for k, v in vars(self).items() if k != "_parts" and not k.startswith("__")]
        for part in parts_in(attributes, (Layer, Model, Variable), holders):
            if id(part) not in seen:
                seen.add(id(part))
                yield part

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

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The outputs for inputs, by layers: for subclasses to define."""
        raise NotImplementedError(
            f"{type(self).__name__}: define `call`, or give Model its inputs and outputs"
        )

    def _graph_for(self, state: State, row_shape: Shape) -> State:
        """`state` with the graph of `call`, which is traced for rows of this shape.

        Raises:
            Untraceable: `call` does more than call layers, or is another graph in training.
        """
        if state.calls:
            return state
        own = {id(layer) for layer in self._own_layers()}
        found = []
        for training in (True, False):
            x = Input(row_shape)
            y = self._called_on(x, training)
            if not isinstance(y, Symbol):
                raise Untraceable(f"it returns {y!r}, which is no output of a layer")
            layers, calls = traced([x], y)
            found.append((layers, calls, without_dropout(layers, calls, own)))
        (layers, calls, trained), (_, _, predicted) = found
        # Dropout acts in training alone: without it both must be one graph.
        if trained != predicted:
            raise Untraceable("its layers in training are not those of prediction")
        return state._replace(layers=layers, calls=calls, inputs=(row_shape,))

    def _called_on(self, inputs: Any, training: bool) -> Any:
        """`call`, with `training` where it takes that."""
        if _takes_training(type(self).call):
            return self.call(inputs, training=training)
        return self.call(inputs)

    def _can_be_traced(self, state: State, row_shape: Shape) -> bool:
        """Whether `call` makes a graph for such rows. It is tried once for a shape."""
        if row_shape not in self._eager_shapes:
            try:
                self._graph_for(state, row_shape)
            except Exception:  # noqa: BLE001 - what is wrong with numbers too shows when `call` is given them
                self._eager_shapes.add(row_shape)
        return row_shape not in self._eager_shapes

    def _traced_for(self, state: State, row_shape: Shape) -> State:
        try:
            return self._graph_for(state, row_shape)
        except (Untraceable, TypeError, AttributeError) as why:
            raise TypeError(
                f"{type(self).__name__}: `call` is no graph of layers: {why}. The model can be called, "
                "and trained over a fastnn.GradientTape"
            ) from (None if isinstance(why, Untraceable) else why)

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

    def _built_shapes(self) -> tuple[Shape, Shape]:
        built = self._state.now.built
        if built is None:
            raise AttributeError("the model has no shape until it is built")
        return built.shapes

    # -- calls

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """The outputs for rows, as a Tensor whose making a GradientTape can record.

        The whole model is one native pass, and one entry of the tape. It is built if need be.

        Args:
            inputs: rows (n, ...): a Tensor, an array or a list; for several inputs a list or a
                dictionary of such.
            training: whether dropout acts; None is False.
        """
        self._training.refuse_others("call")
        acts = training is not None and flag("training", training)
        state = self._state.now
        if state.built is not None and type(inputs) in _ARRAYS and self._input_names is None:
            return called(state, _rows_of(inputs), acts)
        if any_symbols(inputs):
            if self.built or type(self).call is Model.call:
                raise Untraceable(
                    f"the model {self.name!r} is called inside another model, which is no part of a "
                    "graph of layers; call its layers, or train over a fastnn.GradientTape"
                )
            return self._called_on(inputs, acts)
        if not self.built and type(self).call is not Model.call and _several(inputs):
            return self._called_on(_tensors(inputs), acts)
        x = _rows_of(self._joined(inputs))
        row_shape = x.shape[1:] if x.ndim > 1 else (1,)
        if state.built is None:
            if type(self).call is not Model.call and not self._can_be_traced(state, row_shape):
                return self._called_on(x, acts)
            self.prepare(row_shape, lambda _: None, "call")
            state = self._state.now
        assert state.built is not None
        return called(state, x, acts)

    def _side_by_side(self, x: Any) -> Any:
        """The columns of several inputs in one array or, of Tensors, in one Tensor."""
        names = self._input_names
        assert names is not None
        if isinstance(names, list):
            if not isinstance(x, Mapping) or set(x) != set(names):
                raise ValueError(f"x: expected a dictionary of {', '.join(names)}, got {x!r}")
            parts = [x[name] for name in names]
        else:
            if not isinstance(x, (list, tuple)) or len(x) != names:
                raise ValueError(f"x: expected a list of {names} inputs, got {type(x).__name__}")
            parts = list(x)
        return side_by_side(parts, self._state.now.inputs)

    def _joined(self, x: Any) -> Any:
        if self._input_names is not None:
            return self._side_by_side(x)
        inputs = self._state.now.inputs
        listed = bool(inputs) and isinstance(x, (list, tuple)) and len(x) == 1
        if listed and len(getattr(x[0], "shape", ())) == 1 + len(inputs[0]):
            return x[0]  # a list of the one input
        return x

    # -- parameters

    @property
    def weights(self) -> list[Variable]:
        """All Variables, layer by layer: kernel, then bias; then those of a class's own attributes,
        and of layers that its `call` does not use."""
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
            "_calls": state.calls,
            "_inputs": state.inputs,
            "_row_shape": state.row_shape if built is None else built.shapes[0],
            "_plan": state.plan,
            "_not_compiled": state.not_compiled,
            "_settings": None if built is None else built.settings,
            "_progress": None if built is None else progress_of(built.network),
            "_unchanged": None if built is None else _Unchanged(self, built, version),
        }

    def __setstate__(self, kept: dict[str, Any]) -> None:
        kept = {name: value for name, value in kept.items() if name != "_unchanged"}
        graph = ("layers", "calls", "inputs", "row_shape", "plan", "not_compiled")
        layers, calls, inputs, row_shape, plan, not_compiled = (kept.pop(f"_{n}") for n in graph)
        settings, progress = kept.pop("_settings"), kept.pop("_progress")
        Trainer.__init__(self, kept["_key"])
        vars(self).update(kept)
        change = Change("copy")
        with change, change.lock:
            self._changes.take(change)
            state = State(tuple(layers), calls, inputs, row_shape, None, plan, not_compiled)
            if progress is not None:
                state = self._built_for(change, state, row_shape, settings)
                assert state.built is not None
                restore_progress(state.built.network, progress)
            self._settle(change, state, self._names_for(state.layers))

    def __copy__(self) -> Self:
        """An independent model, as deepcopy makes it: models do not share weights."""
        return copy.deepcopy(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, layers={len(self.layers)}, built={self.built}>"


_ARRAYS = frozenset({np.ndarray, Tensor})


def _rows_of(inputs: Any) -> Tensor:
    x = as_tensor(inputs)
    if x.ndim == 0:
        raise ValueError("x: expected rows, got a single number")
    return x


@functools.lru_cache(256)
def _takes_training(call: Callable[..., Any]) -> bool:
    """Whether a `call`, also a decorated one, can be given `training`."""
    parameters = inspect.signature(call).parameters.values()
    return any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters)


def _several(inputs: object) -> bool:
    """Whether these are several inputs of a `call`, each an array of rows, and not one."""
    if isinstance(inputs, Mapping):
        return True
    return (
        isinstance(inputs, (list, tuple))
        and len(inputs) > 0
        and all(getattr(part, "ndim", 0) >= 2 for part in inputs)
    )


def _tensors(inputs: Any) -> Any:
    """The same structure of Tensors."""
    if isinstance(inputs, Mapping):
        return {name: tensor(part) for name, part in inputs.items()}
    return type(inputs)(tensor(part) for part in inputs)
