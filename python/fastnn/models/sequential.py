"""Sequential: a model that is a chain of layers, which may grow and shrink."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fastnn.changes import Change
from fastnn.layers.base import Layer, Shape
from fastnn.layers.shape import InputLayer
from fastnn.layers.symbol import Symbol
from fastnn.models.built import Built
from fastnn.models.chain import check_are_layers, check_given, first_shape, without_last
from fastnn.models.compiled import State, claim_layers
from fastnn.models.graph import chain_of
from fastnn.models.model import Model
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
        layers: Iterable[Layer | Symbol] | None = None,
        trainable: bool = True,
        name: str | None = None,
        *,
        dtype: str | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype, seed=seed)
        if isinstance(layers, Layer):
            raise TypeError("layers: expected a list of layers, got a single layer")
        given = list(layers or ())
        self._edit("Sequential", lambda _: given)
        if not flag("trainable", trainable):
            self.trainable = False

    # -- the chain

    @keywords()
    def add(self, layer: Layer | Symbol) -> None:
        """Appends a layer.

        Parameters keep their values, though they may move to a larger buffer. The model must
        be compiled again.
        """
        self._edit("add", lambda layers: [*layers, layer])

    def pop(self) -> Layer:
        """Removes the last layer and returns it; it keeps its values. Compile again."""
        return self._edit("pop", without_last)[-1]

    def _edit(
        self, doing: str, edit: Callable[[Sequence[Layer]], Sequence[Layer | Symbol]]
    ) -> list[Layer]:
        """Makes what `edit` returns the chain, or on any error changes nothing.

        Returns the layers that were there before.
        """
        change = Change(doing)
        with change, change.lock:
            self._changes.take(change, waits=True)
            self._training.refuse_all(doing)
            state = self._state.now
            layers = tuple(_unwrapped(layer) for layer in edit(state.layers))
            check_are_layers(layers)
            claim_layers(change, {*state.layers, *layers})
            names = self._check_chain(layers)
            shape = first_shape(layers) or state.row_shape
            built = None
            if shape is not None and any(not isinstance(layer, InputLayer) for layer in layers):
                graph = State(layers, chain_of(layers))
                built = self._assembled(graph, shape, names)
            new = State(layers, chain_of(layers), row_shape=state.row_shape, built=built)
            if state.plan is not None:
                changed = "its layers changed since compile: call model.compile(...) again"
                new = new._replace(not_compiled=changed)
            self._settle(change, new, names)
        return list(state.layers)

    def _check_chain(self, layers: Sequence[Layer]) -> list[str]:
        """Checks that the layers can be a chain; returns a name for each."""
        seen: set[int] = set()
        for i, layer in enumerate(layers):
            if id(layer) in seen:
                raise ValueError(f"layer {layer.name!r} is in the model twice")
            if isinstance(layer, InputLayer) and i > 0:
                raise ValueError("Input must be the first layer")
            seen.add(id(layer))
        return self._names_for(layers)

    def _traced_for(self, state: State, row_shape: Shape) -> State:  # noqa: ARG002
        self._check_layers(state.layers)
        return state

    def _assembled(
        self, state: State, row_shape: Shape, names: Sequence[str] | None = None
    ) -> Built:
        check_given(state.layers, row_shape)
        return super()._assembled(state, row_shape, names)

    def shapes_for(self, row_shape: Shape) -> list[Shape]:
        self._check_layers(self._state.now.layers)
        check_given(self._state.now.layers, row_shape)
        return super().shapes_for(row_shape)


def _unwrapped(layer: Layer | Symbol) -> Layer:
    """The InputLayer of what `Input` makes."""
    made: Any = layer.layer if isinstance(layer, Symbol) and not layer.inputs else layer
    checked: Layer = made
    return checked
