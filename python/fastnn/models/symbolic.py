"""Symbolic: a model called on symbols, as a part of another one, and the symbols of its own graph."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from fastnn.calling import Untraceable
from fastnn.layers.base import Layer, Shape
from fastnn.layers.shape import Input
from fastnn.layers.symbol import Symbol
from fastnn.models.compiled import State
from fastnn.models.nested import called_on, drawn_again, known_shapes
from fastnn.models.wired import Wired

# Graphs of models that are not built, by the model's id and what it was called on. In one tracing
# each is drawn once, however often the models around it are.
Memo = dict[Any, State] | None


class Symbolic(Wired):
    """A model whose graph other models may use: all of it, or as far as one of its layers."""

    _inside: ClassVar[Iterable[str]] = ("symbols_of",)
    # For several inputs: how x names them, a list's length or a dictionary's keys.
    _input_names: int | list[str] | None
    # Symbols of all calls of a model some of which are no graph of layers, and these calls.
    _drawn_steps: tuple[Any, tuple[Symbol, ...]] | None = None

    @abstractmethod
    def _graph_for(self, state: State, row_shape: Shape, memo: Memo = None) -> State:
        """`state` with its graph for rows of this shape; Untraceable where there is none.

        `memo`: of the tracing that this is a part of.
        """

    @abstractmethod
    def _drawn(self, state: State, inputs: Any, memo: Memo = None) -> State:
        """`state` with the graph that is drawn of Inputs; Untraceable where there is none."""

    @abstractmethod
    def _several_of(self, x: Any) -> list[Any]:
        """The parts of x, of a model with several inputs, in their order."""

    # -- as a part

    def _called_on_symbols(self, inputs: Any, drops: bool) -> Any:
        """The symbol, or the structure of several, that the model makes in the graph of another model.

        Raises:
            Untraceable: its `call` is no graph of layers.
            ValueError: it was built for rows of other shapes; the message names the model.
        """
        state = self._state.now
        if self._input_names is not None:
            symbols = self._several_of(inputs)
        elif isinstance(inputs, Mapping):
            symbols = list(inputs.values())
        else:
            symbols = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        for symbol in symbols:
            if not isinstance(symbol, Symbol):
                raise TypeError(f"model {self.name!r}: expected symbols, got {symbol!r}")
        if not state.calls:
            try:
                state = self._drawn_for(state, inputs, symbols)
            except Untraceable as why:
                raise Untraceable(
                    f"the `call` of the model {self.name!r} is no graph of layers: {why}"
                ) from None
        elif len(symbols) != max(1, len(state.inputs)):
            raise ValueError(
                f"model {self.name!r}: expected {max(1, len(state.inputs))} inputs, got "
                f"{len(symbols)}"
            )
        if len(symbols) == 1 and not known_shapes(state):
            state = state._replace(row_shape=symbols[0].row_shape)
        return called_on(self, state, symbols, drops)

    def _drawn_for(self, state: State, inputs: Any, symbols: Sequence[Symbol]) -> State:
        """`state` with its graph for such symbols."""
        names = tuple(inputs) if isinstance(inputs, Mapping) else ()
        key = id(self), type(inputs), names, tuple(symbol.row_shape for symbol in symbols)
        memo: Memo = symbols[0].memo
        if memo is not None and key in memo:
            return memo[key]
        if len(symbols) == 1 and isinstance(inputs, Symbol):
            shape = symbols[0].row_shape
            found = self._graph_for(state, shape, memo)._replace(row_shape=shape)
        else:
            entries: Any = [Input(symbol.row_shape) for symbol in symbols]
            if isinstance(inputs, tuple):
                entries = tuple(entries)
            if isinstance(inputs, Mapping):
                entries = dict(zip(names, entries, strict=True))
            found = self._drawn(state, entries, memo)
        if memo is not None:
            memo[key] = found
        return found

    # -- symbols, for other models to be made of

    @property
    def inputs(self) -> list[Symbol]:
        """The symbols of the inputs; AttributeError before the model is built."""
        return list(self._symbols()[: self._input_count()])  # type: ignore[arg-type]

    @property
    def outputs(self) -> list[Symbol]:
        """The symbols of the outputs; AttributeError before the model is built."""
        state, symbols = self._state.now, self._symbols()
        steps = self._steps_now()
        if steps is not None:
            return [symbols[i] for i in steps.outputs]
        if state.form.kind is None:
            return list(symbols[-1:])  # type: ignore[arg-type]
        return [symbols[i] for i in state.calls[-1].inputs]  # type: ignore[misc]

    @property
    def input(self) -> Any:
        """The symbol of the input; of several in the form that x has, a list or a dictionary."""
        found = self.inputs
        if isinstance(self._input_names, list):
            return dict(zip(self._input_names, found, strict=True))
        return found if self._input_names is not None else found[0]

    @property
    def output(self) -> Any:
        """The symbol of the output; of several in their structure."""
        return self._state.now.form.like(self.outputs)

    def _steps_now(self) -> Any:
        """The calls of a model some of which are no graph of layers; None: it is another one."""
        return self._steps

    def _input_count(self) -> int:
        return max(1, len(self._state.now.inputs))

    def _symbols(self) -> tuple[Symbol | None, ...]:
        """The symbols of all tensors of the graph, drawn when they are first asked for."""
        state = self._state.now
        steps = self._steps_now()
        if steps is not None:
            if self._drawn_steps is None or self._drawn_steps[0] is not steps:
                self._drawn_steps = steps, tuple(steps.draw())
            return self._drawn_steps[1]
        if not self._has_built_graph or state.drawing is None:
            raise AttributeError(
                f"model {self.name!r} has no input and output until it is built, and none if its "
                "`call` is no graph of layers"
            )
        if "symbols" not in state.drawing:
            shapes = known_shapes(state)
            # The first of several threads makes the symbols, and all of them get these.
            state.drawing.setdefault("symbols", drawn_again(state, shapes))
        found: tuple[Symbol | None, ...] = state.drawing["symbols"]
        return found

    def symbols_of(self, layer: Layer) -> tuple[Any, Symbol]:
        """The input, or inputs, of a layer in the graph, and its output (for layers)."""
        state, symbols = self._state.now, self._symbols()
        count = self._input_count()
        for i, symbol in enumerate(symbols[:count]):
            if symbol is not None and symbol.layer is layer:
                return symbols[i], symbol
        steps = self._steps_now()
        if steps is not None:
            found = [step for step in steps.steps if step.part is layer]
            if len(found) == 1:
                ends: tuple[Any, Symbol] = steps.ends_of(found[0], symbols)
                return ends
            calls = list(range(len(found)))
        else:
            calls = [
                i
                for i, call in enumerate(state.calls)
                if state.layers[call.layer] is layer and not call.within
            ]
        if len(calls) != 1:
            times = "not called" if not calls else f"called {len(calls)} times"
            raise AttributeError(
                f"layer {layer.name!r} is {times} in the model {self.name!r}, and so has no one "
                "input and output there"
            )
        output = symbols[count + calls[0]]
        assert output is not None
        return (list(output.inputs) if layer.merges else output.inputs[0]), output
