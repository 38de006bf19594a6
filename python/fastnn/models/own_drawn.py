"""Drawn: a layer of a program's own that is called on symbols, and the graph that its `call` makes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from fastnn import calling
from fastnn.calling import Untraceable
from fastnn.layers.symbol import Symbol
from fastnn.models.invoked import refuse_arguments, takes_training
from fastnn.models.model import Model
from fastnn.models.nested import called_on
from fastnn.models.opaque import (
    Rows,
    build_before,
    called_opaquely,
    found_in,
    replaced,
    rows_like,
)
from fastnn.models.own_inputs import has_shape, rows_for, shapes_in, symbols_for
from fastnn.models.traces import Again, Trace

_MISSING = object()


class Drawn(Model):
    """The part of a layer of a program's own that draws graphs."""

    activity_regularizer: Any
    _is_built = False
    _building = False
    _traced: Trace | None = None  # the last call whose graph a model has

    @abstractmethod
    def _make(self, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Builds the layer for these Tensors or symbols."""

    @abstractmethod
    def _compute_type(self) -> str:
        """The dtype of the weights."""

    def __setattr__(self, name: str, value: object) -> None:
        """As of a Model.

        Raises:
            AttributeError: a model has the graph of `call`, which would be another one with this
                value.
        """
        before = vars(self).get(name, _MISSING)
        super().__setattr__(name, value)
        trace = self._traced
        if before is value or trace is None or self._building or calling.now().tracing:
            return
        if not (trace.reads(name) or (before is not _MISSING and name[0] != "_")):
            return
        if trace.is_outdated():
            if before is _MISSING:
                super().__delattr__(name)
            else:
                super().__setattr__(name, before)
            raise AttributeError(
                f"{name}: `call` of layer {self.name!r} reads it, and a model has the graph that it "
                "made with the value before. Set it before the layer is a part of a model, or make it "
                "a fastnn.Variable(..., trainable=False), which `assign` changes"
            )

    def traced_again(self, again: Again) -> Trace | None:
        """The trace of the same call now (for `traces`); an error where it makes no graph."""
        args, options = replaced(tuple(again), Rows, Rows.entry)
        symbols = list(found_in((args, options), Symbol))
        traces = self._drawn_of(args, options, symbols, keeps=False).traces
        return traces[0] if traces else None

    # -- calls on symbols

    def _run(self, args: tuple[Any, ...], options: dict[str, Any], training: bool) -> Any:
        if "training" not in options and takes_training(type(self).call):
            options = {**options, "training": training}
        try:
            y = self.call(*args, **options)
        except TypeError as error:
            refuse_arguments(self, args, options, error)
            raise
        if y is None:
            raise TypeError(
                f"layer {self.name!r}: `call` of {type(self).__name__} returned None; it must return "
                "what it computes"
            )
        return y

    def _on_symbols(
        self, args: tuple[Any, ...], options: dict[str, Any], training: bool | None
    ) -> Any:
        """The symbol, or the structure of several, of this call in the graph of a model."""
        symbols = list(found_in((args, options), Symbol))
        try:
            return self._drawn_into(args, options, training, symbols)
        except Exception:
            # It may read the weights of a layer before it, which that has once it is built.
            if not build_before(symbols):
                raise
        return self._drawn_into(args, options, training, symbols)

    def _drawn_into(
        self,
        args: tuple[Any, ...],
        options: dict[str, Any],
        training: bool | None,
        symbols: Sequence[Symbol],
    ) -> Any:
        now = calling.now()
        if not self._is_built:
            inside = now.inside(False, False, dtype=self._given_dtype)._replace(tracing=False)
            with calling.entered(inside) as lock, lock:
                self._make(args, options)
        try:
            if self.activity_regularizer is not None:
                raise Untraceable("it has a regularizer")
            if training is not None and self._has_dropout():
                raise Untraceable("it is told whether it trains")
            state = self._drawn_of(args, options, symbols)
            return called_on(self, state, symbols, drops=True)
        except calling.MadeHere:
            raise
        except Exception as error:  # noqa: BLE001 - what is wrong with numbers too shows with them
            why = f"the layer {self.name!r} computes with more than layers: {error}"
            if now.tracing:
                raise Untraceable(why) from None
        told = options if training is None else {**options, "training": training}
        return called_opaquely(self, args, told, why, self._compute_type())

    def _drawn_of(
        self,
        args: tuple[Any, ...],
        options: dict[str, Any],
        symbols: Sequence[Symbol],
        *,
        keeps: bool = True,
    ) -> Any:
        """The graph that `call` draws of Inputs in place of these symbols."""
        entries: dict[int, Symbol] = {}
        for symbol in symbols:
            entries[id(symbol)] = rows_like(symbol).entry()
        drawn, named = replaced((args, options), Symbol, lambda s: entries[id(s)])
        memo = symbols[0].memo
        ordered = [entries[id(symbol)] for symbol in symbols]

        def call(training: bool) -> Any:
            inside = calling.now().inside(training, True, dtype=self._given_dtype)
            with calling.entered(inside) as lock, lock:
                return self._run(drawn, named, training)

        again = Again(*replaced((args, options), Symbol, rows_like))
        state = self._drawn_by(call, self._state.now, ordered, memo, again)
        if keeps and not calling.now().tracing:  # else the model around it looks after it
            self._traced = state.traces[0]
        return state

    def _output_rows(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        own = type(self).compute_output_shape
        if own is Drawn.compute_output_shape or not self._is_built:
            return None
        shapes = [shapes_in(arg) for arg in (*args, *options.values()) if has_shape(arg)]
        return rows_for(self.compute_output_shape(*shapes))

    def compute_output_shape(self, *input_shape: Any) -> Any:
        """The output's shape for an input's shape, both with the batch axis first.

            >>> class Total(fastnn.layers.Layer):
            ...     def call(self, inputs):
            ...         return fastnn.reduce_sum(inputs, axis=1, keepdims=True)
            >>> Total().compute_output_shape((None, 4))
            (None, 1)

        By itself it calls the layer on rows of zeros. Subclasses may define it.
        """
        y = called_opaquely(
            self, tuple(symbols_for(s) for s in input_shape), {}, "", self._compute_type()
        )
        return replaced(y, Symbol, lambda symbol: symbol.shape)
