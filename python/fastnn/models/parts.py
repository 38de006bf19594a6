"""Parted: the layers, models and Variables that a model consists of, with their names and weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import ArrayLike, NDArray

from fastnn import calling
from fastnn.autodiff.tensor import Tensor, tensor
from fastnn.calling import Untraceable
from fastnn.claims import Claim
from fastnn.elsewhere import refuse_reserved
from fastnn.layers.activity import weight_penalties
from fastnn.layers.base import Dtype, Layer, Shape, dtype_of, write_all
from fastnn.layers.outputs import Outputs
from fastnn.layers.shape import InputLayer
from fastnn.models.chain import numbered
from fastnn.models.compiled import claim_layers
from fastnn.models.known import Holder, Known, among, edits, variables_of
from fastnn.models.nested import entries_of, parts_in
from fastnn.models.sharing import refuse_to_rob
from fastnn.models.trainer import Trainer
from fastnn.serializable import is_of_fastnn
from fastnn.variables import Variable
from fastnn.words import keywords, snake_case, text, unknown

_NO_INIT = "{}: call super().__init__() first in its __init__, before layers are made"


# Whether parts of such classes are named in the order of their first calls, as in older files.
by_first_calls: ContextVar[bool] = ContextVar("by_first_calls", default=False)


class Parted(Trainer):
    """A model as its parts: layers of a graph, or layers, models and Variables among attributes."""

    given_name: str | None  # None: a model may name it that it is a part of
    _given_dtype: Dtype | None
    _inside: ClassVar[Iterable[str]] = (
        "built_shapes",
        "given_name",
        "keeps_graph",
        "named_parts",
        "names_for",
        "traced_again",
    )
    _known: Known | None
    _steps: Any = None  # see `opaque`
    _frozen = False
    keeps_graph: ClassVar[bool] = True  # that it got as a part of another model
    _last_call: object = None  # the outermost call around the last one; see `calling`
    _added: tuple[object, list[Tensor]] | None = None  # losses, and the call that added them
    _eager_shapes: set[Shape]  # of rows for which `call` is no graph of layers
    _made_in: object = None  # the call in which it was made; see `calling.refuse_made_here`

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The outputs for inputs, by layers: for subclasses to define.

        >>> class Twice(fastnn.Model):
        ...     def call(self, inputs):
        ...         return 2 * inputs
        >>> Twice().predict([[1.0, 2.0]]).tolist()
        [[2.0, 4.0]]
        """
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
        try:
            super().__setattr__(name, value)
        except AttributeError as error:
            refuse_reserved(self, name, error)
            raise
        if name != "_known":
            vars(self)["_known"] = None
            edits.count += 1

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        vars(self)["_known"] = None
        edits.count += 1

    if not TYPE_CHECKING:  # or checkers would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            if name in (
                "_training",
                "_state",
                "_changes",
                "_key",
                "_eager_shapes",
                "given_name",
                "_known",
            ):
                raise RuntimeError(_NO_INIT.format(type(self).__name__))
            return super().__getattr__(name)

    # -- layers

    @property
    def name(self) -> str:
        """The given name, or one that a model gave which this one is a part of."""
        given = self.given_name or self._state.now.name
        return snake_case(type(self).__name__) if given is None else given

    @name.setter
    def name(self, value: str) -> None:
        self.given_name = text("name", value)

    @property
    def layers(self) -> list[Any]:
        """The layers, and models that are called as layers, in the order of their first calls; of a
        class with a `call` of its own, as its attributes stand.

        As in Keras, an Input is left out, and so are the layers of such a model: it has them. So are
        layers that operators and functions in such a `call` made.
        """
        if not self._by_call:
            return self._parts_shown()
        own = {id(part) for part in self._own_parts()}
        return [part for part in self._parts_shown() if id(part) in own or part.weights]

    def _parts_shown(self) -> list[Any]:
        """`layers`, and those that functions made."""
        state = self._state.now
        if self._by_call:
            own = [part for part in self._direct_parts() if not isinstance(part, Variable)]
            parts = {id(part): part for part in own}.values()
            return [part for part in parts if not isinstance(part, (InputLayer, Outputs))]
        if not state.calls and not state.layers and not state.parts:
            return [part for part in self._own_parts() if not isinstance(part, Variable)]
        return [part for part in parts_in(state) if not isinstance(part, (InputLayer, Outputs))]

    def _all_layers(self) -> Sequence[Layer]:
        """The layers of the graph, those of models in it too, or as far as they are known."""
        state = self._state.now
        if state.layers:
            return state.layers
        found: dict[int, Layer] = {}
        for part in state.parts:
            for layer in part._all_layers() if isinstance(part, Parted) else [part]:
                found[id(layer)] = layer
        return tuple(found.values()) or tuple(self._own_layers())

    def _variables(self) -> list[Variable]:
        return self._own_variables()

    def _own_variables(self) -> list[Variable]:
        """Those of layers, then those of models and Variables among the attributes, each once."""
        known = self._known
        if known is not None and known.holds(self._state.now):
            return list(known.variables)
        return variables_of(self._found())

    def _found(self) -> list[Layer | Variable]:
        """`_leaf_parts`, and what they have is kept while all stays as it is: a loop asks for it at
        each step.

        Where another model is a part of this one it is not kept: that may change without an
        attribute of this one being set.
        """
        state = self._state.now
        holders: list[Holder] = []
        own = [*self._own_parts(holders), *parts_in(state)]
        models = any(isinstance(part, Parted) for part in own)
        parts = self._leaf_parts()
        layers = [part for part in parts if isinstance(part, Layer)]
        # The standing of a layer holds its Variables, unless its class has others.
        usual = all(type(layer).variables is Layer.variables for layer in layers)
        standings = [layer._standing for layer in layers]
        if usual and not models and all(standing.is_final for standing in standings):
            variables = tuple(variables_of(parts))
            self._known = Known(state, holders, layers, standings, variables)
        return parts

    def _leaf_parts(self) -> list[Layer | Variable]:
        """The layers and Variables of the model and of what is in it, each once, in Keras's order: those
        of a part stand where the part does. Models may hold each other."""
        found: dict[int, Layer | Variable] = {}
        models = {id(self)}
        waiting = self._direct_parts()[::-1]
        while waiting:
            part = waiting.pop()
            if not isinstance(part, Parted):
                found.setdefault(id(part), part)
            elif id(part) not in models:
                models.add(id(part))
                waiting += part._direct_parts()[::-1]
        for layer in self._state.now.layers:  # of a closure in a part
            found.setdefault(id(layer), layer)
        return list(found.values())

    @property
    def _by_call(self) -> bool:
        """Whether the class has a `call` of its own: then its parts stand as its attributes do."""
        return type(self).call is not Parted.call

    def _direct_parts(self) -> list[Any]:
        """The parts that it has itself, also a layer that `call` does not use."""
        own, drawn = self._own_parts(), parts_in(self._state.now)
        return [*own, *drawn] if self._by_call else [*drawn, *own]

    def _models_within(self) -> list[Parted]:
        """The model and those that are in it, each once."""
        models: dict[int, Parted] = {id(self): self}
        waiting: list[Parted] = [self]
        for model in waiting:  # which grows
            for part in model._direct_parts():
                if isinstance(part, Parted) and id(part) not in models:
                    models[id(part)] = part
                    waiting.append(part)
        return list(models.values())

    def built_shapes(self) -> tuple[Any, ...] | None:
        """The shapes for which a layer of a program's own was built; None: it is none, or was not."""
        return None

    # -- losses of the model's own

    def add_loss(self, loss: Any) -> None:
        """Adds a loss, or a list of them, to what is minimised: in a `call`, or in that of a layer.

        `fit`, `evaluate` and their like add it to the loss of `compile`, and report the sum. It is
        part of `losses` until the next call.

            >>> import fastnn
            >>> class Penalty(fastnn.layers.Layer):
            ...     def call(self, inputs):
            ...         self.add_loss(0.5 * fastnn.math.reduce_sum(inputs))
            ...         return inputs
            >>> layer = Penalty()
            >>> y = layer(fastnn.ones((2, 2)))
            >>> [float(loss) for loss in layer.losses]
            [2.0]

        Args:
            loss: a Tensor, whose elements are added up; or a list of such.
        """
        now = calling.now()
        if now.tracing:
            raise Untraceable("it adds a loss")
        given = loss if isinstance(loss, (list, tuple)) else [loss]
        for one in given:
            if callable(one):
                raise TypeError(
                    f"add_loss: expected a Tensor, got a function: {one!r}; call it in `call`"
                )
        if self._added is None or self._added[0] is not now.outermost:
            self._added = now.outermost, []
        self._added[1].extend(tensor(one) for one in given)

    @property
    def losses(self) -> list[Tensor]:
        """The losses that `add_loss` added in the last call, and those of regularizers of weights.

        Of the model, and of all layers and models in it.
        """
        penalties = weight_penalties(self._variables())
        if self._last_call is None and self._added is None:  # a native graph adds none
            return penalties
        found: list[Tensor] = []
        layers = [part for part in self._leaf_parts() if isinstance(part, Layer)]
        owners: list[Any] = [*self._models_within(), *layers]
        for owner in owners:
            if owner._added is not None and owner._added[0] in (self._last_call, None):
                found += owner._added[1]
        return [*found, *penalties]

    def _trained_now(self) -> tuple[tuple[Layer, tuple[bool, ...]], ...]:
        found = {id(part): part for part in self._leaf_parts() if isinstance(part, Layer)}
        return tuple(
            (layer, layer.trained_flags() or (layer.trainable,)) for layer in found.values()
        )

    def _own_layers(self) -> Iterator[Layer]:
        """Layers among the attributes."""
        for part in self._own_parts():
            if isinstance(part, Layer):
                yield part

    def _own_parts(
        self, holders: list[Holder] | None = None
    ) -> Iterator[Layer | Parted | Variable]:
        """Layers, models and Variables among the attributes, also in lists and dictionaries, in the
        order of these. `holders` gets the latter, each with what it holds."""
        seen: set[int] = {id(self)}
        for part in () if self._steps is None else self._steps.parts:
            if id(part) not in seen:
                seen.add(id(part))
                yield part
        if self.keeps_graph and is_of_fastnn(type(self)):  # a graph of symbols, or a chain
            return
        attributes = [v for k, v in vars(self).items() if k != "_known" and not k.startswith("__")]
        for part in among(attributes, (Layer, Parted, Variable), holders):
            if id(part) not in seen:
                seen.add(id(part))
                yield part

    @keywords()
    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """The layer, or the model, with this name, or at this place in `layers`.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,), name="head")])
            >>> model.get_layer("head") is model.get_layer(index=0)
            True

        Inputs, which `layers` leaves out, are found by their names.

        Raises:
            ValueError: both or none of name and index are given, or no layer is found.
        """
        if (name is None) == (index is None):
            raise ValueError("get_layer: give name or index")
        named = self.named_parts()
        if index is not None:
            if not -len(named) <= index < len(named):
                raise ValueError(f"get_layer: index {index} of {len(named)} layers")
            return named[index][1]
        for known, layer in [*named, *self._entries()]:
            if known == name:
                return layer
        raise ValueError(unknown("layer", str(name), [known for known, _ in named]))

    def _entries(self) -> list[tuple[str, Layer]]:
        """The InputLayers of the model, with their names."""
        state = self._state.now
        symbols = (state.drawing or {}).get("symbols", ())[: max(1, len(state.inputs))]
        found: list[Any] = list(entries_of(state)) or [
            symbol.layer for symbol in symbols if symbol is not None and not symbol.inputs
        ]
        found += [part for part in state.parts if isinstance(part, InputLayer)]
        return [(layer.name, layer) for layer in found]

    def named_parts(self) -> list[tuple[str, Any]]:
        """`layers` with their names here (for the table). Two that other models have named alike
        differ here."""
        parts = parts_in(self._state.now)
        names = self.names_for(parts) if parts else []
        named = [
            (name, part)
            for name, part in zip(names, parts, strict=True)
            if not isinstance(part, (InputLayer, Outputs))
        ]
        if named:
            return named
        layers = self._parts_shown()
        try:
            return list(zip(self.names_for(layers), layers, strict=True))
        except ValueError:  # attributes of one given name, which no graph brings together
            return [(layer.name, layer) for layer in layers]

    def names_for(self, parts: Sequence[Any]) -> list[str]:
        """A name for each part (for models); ValueError where two were given one name.

        Parts of a class with a `call` of its own are numbered as its attributes stand.
        """
        given: set[str] = set()
        for part in parts:
            if part.given_name in given:
                raise ValueError(f"layers: two are named {part.given_name!r}; names must differ")
            if part.given_name is not None:
                given.add(part.given_name)
        if not self._by_call or by_first_calls.get():
            return numbered(parts, given, self)
        own = [part for part in self._own_parts() if not isinstance(part, Variable)]
        ordered = list({id(part): part for part in (*own, *parts)}.values())
        given |= {part.given_name for part in own if part.given_name is not None}
        names = dict(zip(map(id, ordered), numbered(ordered, given, self), strict=True))
        return [names[id(part)] for part in parts]

    def _agreed_dtype(self, layers: Sequence[Layer], parts: Sequence[Any] = ()) -> Dtype:
        """The dtype of all layers; ValueError where two ask for different ones."""
        agreed = self._given_dtype
        wanted = [("layer", layer.name, layer.compute_dtype) for layer in layers]
        wanted += [("model", p.name, p._given_dtype) for p in parts if isinstance(p, Parted)]
        # Other models have the parameters of these, or had them, in their dtype.
        for layer in layers:
            lent = layer.owner not in (None, self) or (layer.owner is None and layer.home is self)
            if layer.variables and lent:
                wanted.append(("layer", layer.name, dtype_of(layer.variables[0].dtype)))
        for kind, name, dtype in wanted:
            if dtype is not None:
                if agreed is not None and dtype != agreed:
                    raise ValueError(
                        f"{kind} {name!r} is {dtype}, but the model is {agreed}; all layers of a "
                        "model have one dtype"
                    )
                agreed = dtype
        return agreed or "float32"

    @property
    def dtype(self) -> str:
        """ "float32" or "float64"."""
        state = self._state.now
        return self._agreed_dtype(state.layers, parts_in(state))

    # -- parameters

    @property
    def weights(self) -> list[Variable]:
        """All Variables, layer by layer: kernel, then bias. As in Keras, those of a class with a `call`
        stand in the order of its attributes, its own Variables first, wherever it is a part."""
        return self._own_variables()

    @property
    def variables(self) -> list[Variable]:
        """The same as `weights`."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """The `weights` that are trained, from the next `compile` on."""
        return [variable for variable in self.weights if variable.trainable]

    @property
    def trainable_variables(self) -> list[Variable]:
        """The same as `trainable_weights`."""
        return self.trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The `weights` that are not trained, from the next `compile` on."""
        return [variable for variable in self.weights if not variable.trainable]

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The same as `non_trainable_weights`."""
        return self.non_trainable_weights

    @property
    def trainable(self) -> bool:
        """Whether any layer is trainable; setting it sets all layers, from `compile` on."""
        return any(layer.trainable for layer in self._all_layers()) or not self.layers

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._set_trainable(value)

    def _set_trainable(self, value: bool) -> None:
        for model in self._models_within():
            model._frozen = not value  # for weights that it makes later
        for part in self._leaf_parts():
            if not isinstance(part, Variable) or not part.is_fixed:
                part.trainable = value

    def count_params(self) -> int:
        """The number of parameters, trainable or not; ValueError before the model is built.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
        >>> model.count_params()  # 4 * 3 + 3
        15
        """
        if not self.built and not self.weights:
            raise ValueError(
                "count_params: the model is not built; its sizes are not known yet: begin it with "
                "Input((columns,)), or call build or fit"
            )
        return sum(variable.size for variable in self.weights)

    def get_weights(self) -> list[NDArray[Any]]:
        """Copies of all parameters, in the order of `weights`.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
        >>> [array.shape for array in model.get_weights()]
        [(4, 3), (3,)]
        """
        return [variable.numpy() for variable in self.weights]

    @keywords()
    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Writes all parameters, in the order of `weights`.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
            >>> model.set_weights([[[1.0], [10.0]], [5.0]])  # kernel (2, 1), bias (1,)
            >>> model.predict([[1.0, 2.0]]).tolist()
            [[26.0]]

        Number, shapes and types are checked before anything is written. The state of the
        optimizer is kept. A change that another thread has begun, such as `add`, is waited for.

        Raises:
            ValueError: the number or a shape is wrong, or the model is not built.
            RuntimeError: the model is being trained.
        """
        self._training.refuse_others("set_weights")
        built = self._state.now.built
        if built is not None:  # one buffer is written all at once
            self._take_over(built, "set_weights", if_free=True)
        claim = Claim("set_weights")
        with claim, claim.lock:
            self._changes.take(claim, waits=True)
            claim_layers(claim, self._all_layers())
            refuse_to_rob("set_weights", self, self._all_layers(), elsewhere=True)
            if not self.built and not self.weights:
                raise ValueError(
                    "set_weights: the model is not built; give input_shape, or call build"
                )
            write_all(self.name, self.weights, weights)
