"""Sequential: a model that is a chain of layers, which may grow and shrink."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fastnn import calling
from fastnn.autodiff.tensor import Tensor
from fastnn.calling import Untraceable
from fastnn.changes import Change
from fastnn.data.structures import form_of
from fastnn.layers.base import Layer, Shape
from fastnn.layers.shape import Input, InputLayer
from fastnn.layers.symbol import Symbol
from fastnn.models.architecture import MODELS
from fastnn.models.built import Built
from fastnn.models.chain import check_are_layers, check_given, first_shape, plain, without_last
from fastnn.models.compiled import State
from fastnn.models.drawn import Part, parts_of_steps
from fastnn.models.graph import chain_of, traced
from fastnn.models.invoked import Invocation
from fastnn.models.model import Model
from fastnn.models.nested import holds, one_of, parts_in
from fastnn.models.opaque import Slot, Step, Steps, convert, give_paths, replaced
from fastnn.models.stepped import as_entered
from fastnn.models.symbolic import Memo
from fastnn.models.traces import traces_of
from fastnn.words import flag, keywords


class Sequential(Model):
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
        layers: the layers and models, in order; the first may be `Input`. If the first layer gives its
            input shape, the model is built, and its parameters exist, at once; if not, they
            exist from the first call with data, or from `build`.
        trainable: False freezes all layers.
        name: the model's name, in its table and in paths of Variables.
        dtype: "float32" (the default) or "float64"; layers that name a dtype must agree.
        seed: fixes the model's random numbers (first weights, dropout, order of rows,
            validation split), independently of earlier draws; None: they come from
            `fastnn.utils.set_random_seed`, or from the system's entropy. (Not in Keras.)

    A model may stand among the layers, and models may share layers; see `Model`. A model computes
    in float32 or in float64, never in both.
    `copy.copy`, `copy.deepcopy` and `pickle` give an independent model, with weights, the state of
    the optimizer and all counts: both go on training to the same weights. While another thread
    trains the model, or writes its weights, they raise RuntimeError.
    """

    @keywords()
    def __init__(
        self,
        layers: Iterable[Layer | Model | Symbol] | None = None,
        trainable: bool = True,
        name: str | None = None,
        *,
        dtype: str | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype, seed=seed)
        if isinstance(layers, Layer):
            raise TypeError(
                "layers: expected a list of layers, got a single layer; put brackets around all: "
                "Sequential([...])"
            )
        given = list(layers or ())
        self._edit("Sequential", lambda _: given)
        if not flag("trainable", trainable):
            self.trainable = False

    # -- the chain

    @keywords()
    def add(self, layer: Layer | Model | Symbol) -> None:
        """Appends a layer, or a model.

            >>> model = fastnn.Sequential()
            >>> model.add(fastnn.layers.Dense(8, "relu", input_shape=(4,)))
            >>> model.add(fastnn.layers.Dense(3))
            >>> model.output_shape
            (None, 3)

        Parameters keep their values, though they may move to a larger buffer. The model must
        be compiled again.

        Raises:
            TypeError: it is neither a layer nor a model.
            ValueError: it does not fit the rows of the layer before it.
            RuntimeError: the model is being trained.
        """
        self._edit("add", lambda layers: [*layers, layer])

    def pop(self) -> Any:
        """Removes the last layer or model and returns it; it keeps its values. Compile again.

        >>> model = fastnn.Sequential(
        ...     [fastnn.layers.Dense(8, input_shape=(4,)), fastnn.layers.Dense(3)]
        ... )
        >>> model.pop().units, model.output_shape
        (3, (None, 8))
        """
        return self._edit("pop", without_last)[-1]

    def take_parts(self, parts: Sequence[Any], row_shape: Shape | None, *, inner: bool) -> None:
        """Makes layers and models the chain (for configs). Weights of an `inner` one wait."""
        self._edit("from_config", lambda _: parts, row_shape, builds=not inner)

    def _edit(
        self,
        doing: str,
        edit: Callable[[Sequence[Any]], Sequence[Any]],
        row_shape: Shape | None = None,
        *,
        builds: bool = True,
    ) -> list[Any]:
        """Makes what `edit` returns the chain, or on any error changes nothing.

        Args:
            row_shape: of the input, where it is known otherwise than by the layers.
            builds: whether weights are made once the shape is known.

        Returns:
            The layers and models that were there before.
        """
        change = Change(doing)
        with change, change.lock:
            self._changes.take(change, waits=True)
            self._training.refuse_all(doing)
            state = self._state.now
            before = parts_in(state)
            parts = tuple(_unwrapped(part) for part in edit(before))
            check_are_layers(parts)
            self._check_order(parts)
            shape = first_shape(parts) or row_shape or state.row_shape
            new = self._chain_if_any(state._replace(built=None), parts, shape)
            opaque = not new.calls and shape is not None and bool(parts)
            if row_shape is not None or opaque:
                new = new._replace(row_shape=shape if row_shape is None else row_shape)
            every = (*before, *parts)
            layers = [*state.layers, *_layers_in(every)]
            self._claim_parts(change, new._replace(parts=every), layers)
            names = self.names_for(parts)
            self._agreed_dtype(_layers_in(parts), parts)
            if (
                builds
                and not opaque
                and shape is not None
                and any(not isinstance(part, InputLayer) for part in parts)
            ):
                new = new._replace(built=self._assembled(new, shape, names))
            if state.plan is not None:
                changed = "its layers changed since compile: call model.compile(...) again"
                new = new._replace(plan=None, not_compiled=changed)
            self._settle(change, new, names)
        if not plain(parts):
            if not new.calls and self._given_dtype is not None:
                convert(parts, self._given_dtype)
            give_paths(parts, self)
        return list(before)

    def _chain_if_any(self, state: State, parts: tuple[Any, ...], shape: Shape | None) -> State:
        """`_chain`, or without a graph where a part is none; its layers are built all the same."""
        try:
            return self._chain(state, parts, shape)
        except Untraceable:
            assert shape is not None
            self._drawn_through(parts, _entry(parts, shape), builds=True)
            return state._replace(
                parts=parts, inputs=(), called=(), drawing={}, layers=(), calls=(), traces=()
            )

    def _chain(
        self, state: State, parts: tuple[Any, ...], shape: Shape | None, memo: Memo = None
    ) -> State:
        """`state` with these parts and their graph. With models that is known for a shape alone."""
        state = state._replace(parts=parts, inputs=(), called=(), drawing={}, traces=())
        if plain(parts):
            return state._replace(layers=parts, calls=chain_of(parts))
        if shape is None:
            return state._replace(layers=(), calls=())
        entry = _entry(parts, shape)
        entry.memo = {} if memo is None else memo
        x = self._drawn_through(parts, entry)
        form = form_of(x)
        graph = traced([entry], one_of(form, x))
        return state._replace(
            layers=graph.layers,
            calls=graph.calls,
            called=graph.called,
            form=form,
            traces=traces_of(graph.called, all_of_them=True),
        )

    def _drawn_through(self, parts: Sequence[Any], x: Symbol, *, builds: bool = False) -> Any:
        """What the layers and models make of a symbol."""
        inside = calling.now().inside(False, False, self._source, self._given_dtype)
        with calling.entered(inside) as lock, lock:
            for part in parts:
                if isinstance(part, InputLayer):
                    continue
                if isinstance(part, Layer):
                    check_given([part], x.row_shape)
                    if builds and not part.built:
                        part.build(x.shape)
                x = part(x)
        return x

    def _check_order(self, parts: Sequence[Any]) -> None:
        """Checks that the layers and models can be a chain."""
        seen: set[int] = set()
        for i, part in enumerate(parts):
            if id(part) in seen:
                kind = "layer" if isinstance(part, Layer) else "model"
                raise ValueError(f"{kind} {part.name!r} is in the model twice")
            if holds(part, self):
                raise ValueError(f"model {self.name!r} cannot be a part of itself")
            if isinstance(part, InputLayer) and i > 0:
                raise ValueError("Input must be the first layer")
            seen.add(id(part))

    def _has_call(self) -> bool:
        return super()._has_call() or not plain(self._state.now.parts)

    def _parts(self, expanded: bool) -> list[Part]:
        state = self._state.now
        if state.calls or state.row_shape is None or not self._is_built_by_calls():
            return super()._parts(expanded)
        names = {id(part): name for name, part in self.named_parts()}
        drawn = self._steps_now()
        assert drawn is not None
        return parts_of_steps(drawn, self._input_labels, names, self.dtype)

    _chain_steps: tuple[Sequence[Any], Shape, Steps] | None = None  # of these parts and rows

    def _steps_now(self) -> Steps | None:
        state = self._state.now
        if state.calls or not self._is_built_by_calls():
            return None
        parts = [part for part in state.parts if not isinstance(part, InputLayer)]
        row_shape = state.row_shape or _row_shape_of(parts[0])
        if row_shape is None:
            return None
        kept = self._chain_steps
        if kept is not None and kept[0] is state.parts and kept[1] == row_shape:
            return kept[2]
        first = state.parts[0]
        entry = first if isinstance(first, InputLayer) else Input(row_shape).layer
        x, steps = Input(row_shape), []
        for number, part in enumerate(parts):
            x = part(x)
            steps.append(Step(part, (Slot(number),), {}, number + 1, (x.row_shape,), None))
        made = Steps((entry,), tuple(steps), (len(parts),), "")
        self._chain_steps = state.parts, row_shape, made
        return made

    def _is_built_by_calls(self) -> bool:
        parts = self._state.now.parts
        return not plain(parts) and all(p.built or isinstance(p, InputLayer) for p in parts)

    @property
    def output_shape(self) -> Any:
        """(None, ...), or such of several outputs, in their structure; AttributeError before the
        model is built."""
        state = self._state.now
        if state.calls or state.row_shape is None or not self._is_built_by_calls():
            return super().output_shape
        made = self._drawn_through(state.parts, _entry(state.parts, state.row_shape))
        return replaced(made, Symbol, lambda symbol: symbol.shape)

    def _called_on(self, inputs: Any, training: bool, invocation: Invocation | None = None) -> Any:
        """Its layers and models one by one, where one of these is no graph of layers."""
        if super()._has_call():
            return super()._called_on(inputs, training, invocation)
        parts = self._state.now.parts
        first = parts[0] if parts and isinstance(parts[0], InputLayer) else None
        if isinstance(inputs, Tensor):
            inputs = as_entered(inputs, first, self.dtype)
        with self._entered(inputs, training) as lock, lock:
            for part in parts:
                if not isinstance(part, InputLayer):
                    inputs = part(inputs, training=training)
        return inputs

    def _graph_for(self, state: State, row_shape: Shape, memo: Memo = None) -> State:
        if not state.calls:
            self._check_layers(state.layers or state.parts)
            return self._chain(state, state.parts, row_shape, memo)
        return state

    def _traced_for(self, state: State, row_shape: Shape) -> State:
        self._check_layers(state.layers or state.parts)
        return super()._traced_for(state, row_shape)

    def _assembled(
        self, state: State, row_shape: Shape, names: Sequence[str] | None = None
    ) -> Built:
        if plain(state.parts):
            check_given(state.layers, row_shape)
        return super()._assembled(state, row_shape, names)

    def shapes_for(self, row_shape: Shape) -> list[Shape]:
        state = self._state.now
        self._check_layers(state.layers or state.parts)
        if plain(state.parts):
            check_given(state.layers, row_shape)
        return super().shapes_for(row_shape)


MODELS["Sequential"] = Sequential


def _entry(parts: Sequence[Any], shape: Shape) -> Symbol:
    """An Input of rows of this shape, of the type that the first of the parts may ask for."""
    asks = bool(parts) and isinstance(parts[0], InputLayer)
    return Input(shape, dtype=parts[0].dtype if asks else None)


def _layers_in(parts: Sequence[Any]) -> list[Layer]:
    return [part for part in parts if isinstance(part, Layer)]


def _unwrapped(layer: Layer | Symbol) -> Layer:
    """The InputLayer of what `Input` makes."""
    made: Any = layer.layer if isinstance(layer, Symbol) and not layer.inputs else layer
    checked: Layer = made
    return checked


def _row_shape_of(part: Any) -> Shape | None:
    """The shape of the rows for which a layer or a model was built, if it is one of one input."""
    shape: Any = getattr(part, "input_shape", None)
    one = isinstance(shape, tuple) and len(shape) > 1 and shape[0] is None
    return shape[1:] if one else None
