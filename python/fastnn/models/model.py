"""Model: a graph of layers with its Variables and its table; by inputs and outputs, or by `call`.

Its parts are in `parts`, how its graph becomes a native network in `wired`, training in `trainer`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastnn import calling, keys
from fastnn.autodiff.following import made_in_step
from fastnn.autodiff.tensor import Tensor, followers, tensor
from fastnn.calling import Untraceable
from fastnn.changes import Change, forget_former
from fastnn.console import say
from fastnn.data import rows
from fastnn.data.structures import form_of, is_several
from fastnn.layers.base import Layer, Shape, dtype_of, without_batch
from fastnn.layers.columns import ColumnEncoding
from fastnn.layers.noise import Noise
from fastnn.layers.shape import Input, InputLayer
from fastnn.layers.symbol import Symbol, any_symbols
from fastnn.models import own_build
from fastnn.models.architecture import MODELS
from fastnn.models.called import called, side_by_side
from fastnn.models.compiled import State
from fastnn.models.drawn import input_labels, is_chain
from fastnn.models.graph import traced, without_dropout
from fastnn.models.invoked import Invocation, takes_training
from fastnn.models.nested import entries_of, one_of, parts_in
from fastnn.models.noted import note_call
from fastnn.models.opaque import (
    Rows,
    found_in,
    give_paths,
    replaced,
    rows_like,
    rows_of_zeros,
    steps_of,
)
from fastnn.models.reasons import Reason, of_call, of_part, several
from fastnn.models.stepped import rows_of
from fastnn.models.summary import summary_lines
from fastnn.models.symbolic import Memo
from fastnn.models.traces import Again, Trace, programs_in, traces_of
from fastnn.models.weighted import Weighted
from fastnn.serializable import is_of_fastnn
from fastnn.variables import Variable
from fastnn.words import flag, integer, keywords, text


class Model(Weighted):
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
        outputs: what layers make of the inputs, or a list, a tuple or a dictionary of such. Several
            outputs train over a tape; a call is one native pass all the same. In logs they have the
            names of their layers, or their keys in the dictionary.
        name: the model's name, in its table and in paths of Variables.
        trainable: False freezes all layers.
        dtype: "float32" (the default) or "float64"; layers that name a dtype must agree.
        seed: fixes the model's random numbers; see `Sequential`.

    A model is a part of another one where it is called on symbols, or as an entry of a Sequential:
    its graph is then a part of the other's, and `layers` has it as one entry. It may be called
    several times, as a layer may, with the same weights.

        >>> encoder = fastnn.Sequential([layers.Dense(8, "relu", input_shape=(20,))], name="encoder")
        >>> decoder = fastnn.Sequential([layers.Dense(20, input_shape=(8,))], name="decoder")
        >>> autoencoder = fastnn.Model(inputs, decoder(encoder(inputs)), name="autoencoder")
        >>> [part.name for part in autoencoder.layers]
        ['encoder', 'decoder']
        >>> autoencoder.weights[0].path
        'autoencoder/encoder/dense/kernel'

    Models share layers by using them: parts as here, layers that are given to several models, and
    `Model(model.input, model.get_layer("dense").output)`, which computes what a layer makes. The
    weights are the same in all of them, whichever is trained. Each keeps the settings of its own
    `compile`, which reads what is trainable then, and its own state of the optimizer. While one of
    them is trained the others cannot be, and can be called in its callbacks alone. A model that is
    a part keeps the graph that it had when it was called. First weights of a part that is not built
    come from the seed of the model that builds it.

    A `call` that computes with numbers, or by functions that native code has not (docs/keras.md),
    cannot be traced: `fit` of such a model runs batch by batch over a tape, and says so once.
    """

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
        # Without a seed, what draws keys for itself draws them from the seed of the program.
        self._source = None if seed is None else keys.Source(key)
        self.given_name = None if name is None else text("name", name)
        self._given_dtype = None if dtype is None else dtype_of(dtype)
        self._input_names = None
        self._eager_shapes: set[Shape] = set()  # of rows for which `call` is no graph of layers
        made_in = calling.made_in()
        if made_in is not None:
            self._made_in = made_in
        if (inputs is None) != (outputs is None):
            raise ValueError("Model: give inputs and outputs, or neither and define `call`")
        if inputs is not None:
            self._draw(inputs, outputs)
        if not flag("trainable", trainable):
            self.trainable = False

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "build" in vars(cls) and not cls._is_layer and not is_of_fastnn(cls):
            cls.build = own_build.once(vars(cls)["build"])  # type: ignore[method-assign]
            cls._has_own_build = True

    _has_own_build = False

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
        self._take_dtype_of([symbol.layer for symbol in symbols])
        if isinstance(outputs, (list, tuple)) and len(outputs) == 1:
            outputs = outputs[0]
        form = form_of(outputs)
        for output in form.leaves(outputs):
            if not isinstance(output, Symbol):
                raise TypeError(f"outputs: expected what layers make of the inputs, got {output!r}")
        try:
            graph = traced(symbols, one_of(form, outputs))
        except Untraceable as why:
            steps = steps_of(symbols, form.leaves(outputs), str(why))
            self.take_steps(steps, form, [s.row_shape for s in symbols], self._input_names)
            return
        state = self._state.now._replace(
            layers=graph.layers,
            calls=graph.calls,
            inputs=tuple(symbol.row_shape for symbol in symbols),
            called=graph.called,
            drawing={
                "symbols": graph.symbols,
                "entries": tuple(symbol.layer for symbol in symbols),
            },
            form=form,
            traces=traces_of(graph.called, all_of_them=True),
        )
        self._take_graph("Model", state)

    def _take_dtype_of(self, entries: Sequence[InputLayer]) -> None:
        """An Input in float64 asks for a model in it, as the first entry of a Sequential does."""
        for entry in entries:
            if entry.compute_dtype == "float64":
                if self._given_dtype == "float32":
                    raise ValueError(
                        f"input {entry.name!r} is float64, but the model is float32; all layers of a "
                        "model have one dtype"
                    )
                self._given_dtype = "float64"

    def _take_graph(self, doing: str, state: State, *, builds: bool = True) -> None:
        """Makes a graph the model, whose parts get names."""
        entries = entries_of(state)
        self._input_labels = input_labels(entries, self._input_names)
        change = Change(doing)
        with change, change.lock:
            self._changes.take(change, waits=True)
            self._claim_parts(change, state, entries)
            names = self.names_for([*entries, *parts_in(state)])
            switches = [
                entry.stand(change, name=name, home=weakref.ref(self))
                for entry, name in zip(entries, names, strict=False)
                if entry.home is None
            ]
            names = names[len(entries) :]
            if builds:
                self._adopt(change, state, names)
            else:
                self._settle(change, state, names)
            forget_former(switches)
        give_paths(parts_in(state), self)

    def __setattr__(self, name: str, value: object) -> None:
        """See `Parted`.

        Raises:
            AttributeError: the model is built, and its `call` would be another graph with this value.
        """
        known = vars(self)
        before = known.get(name, _MISSING)
        super().__setattr__(name, value)
        if before is value or name in _OF_TRAINING:
            return
        if self._is_outdated_by(name, before is not _MISSING):
            if before is _MISSING:
                super().__delattr__(name)
            else:
                super().__setattr__(name, before)
            raise AttributeError(
                f"{name}: `call` reads it, and the model is built with the value before: its graph is "
                "traced once. Set it before the first call, or make it a fastnn.Variable(..., "
                "trainable=False), which `assign` changes"
            )

    def _is_outdated_by(self, name: str, is_known: bool) -> bool:
        """Whether `call`, which was traced, would make another graph after this attribute was set."""
        state = vars(self).get("_state")
        for trace in () if state is None else state.now.traces:
            if trace.part is self and (trace.reads(name) or (is_known and name[0] != "_")):
                return bool(trace.is_outdated())
        return False

    def traced_again(self, again: Again) -> Trace | None:
        """The trace of the same call now (for `traces`); an error where it makes no graph."""
        inputs = replaced(again.args[0], Rows, Rows.entry)
        traces = self._drawn(self._state.now, inputs).traces
        return traces[0] if traces else None

    # -- building

    @keywords()
    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the parameters for inputs of shape (None, ...), batch axis first.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(3)])
            >>> model.build((None, 4))
            >>> model.count_params()
            15

        Raises:
            ValueError: the shape does not fit the layers, or the model was built for another one.
        """
        if own_build.is_called(self):
            return
        shape = without_batch(input_shape)
        state = self._state.now
        built = state.built
        if built is None and self._has_call() and not self._can_be_traced(state, shape):
            calling.trial(lambda: self(rows_of_zeros((None, *shape))))
            return
        if built is None:
            built = self.prepare(shape, lambda _: None, "build")
        if shape != built.shapes[0]:
            raise ValueError(
                f"build: the model is built for {self.input_shape}, got {tuple(input_shape)}"
            )

    def _graph_for(self, state: State, row_shape: Shape, memo: Memo = None) -> State:
        """`state` with the graph of `call`, which is traced for rows of this shape.

        Raises:
            Untraceable: `call` does more than call layers, or is another graph in training.
        """
        if state.calls:
            return state
        return self._drawn(state, Input(row_shape), memo)

    def _drawn(self, state: State, inputs: Any, memo: Memo = None) -> State:
        """`state` with the graph that `call` draws of Inputs. Errors: see `_graph_for`."""
        entries = list(inputs.values()) if isinstance(inputs, Mapping) else inputs
        entries = [entries] if isinstance(entries, Symbol) else list(entries)
        again = Again((replaced(inputs, Symbol, rows_like),), {})
        return self._drawn_by(
            lambda training: self._called_on(inputs, training), state, entries, memo, again
        )

    def _drawn_by(
        self,
        call: Callable[[bool], Any],
        state: State,
        entries: Sequence[Symbol],
        memo: Memo,
        again: Again,
    ) -> State:
        """`state` with the graph that a call, in training or not, draws of these Inputs."""
        own = {id(part) for part in self._leaf_parts()}
        memo = {} if memo is None else memo
        for entry in entries:
            entry.memo = memo
        found = []
        for training in (True, False):
            y = call(training)
            form = form_of(y)
            for part in form.leaves(y):
                if not isinstance(part, Symbol):
                    raise Untraceable(f"it returns {part!r}, which is no output of a layer")
            graph = traced(entries, one_of(form, y))
            kept = without_dropout(graph.layers, graph.calls, own, len(entries))
            found.append((graph, form, kept))
        (graph, form, trained), (_, other, predicted) = found
        # Dropout acts in training alone: without it both must be one graph.
        if trained != predicted or form != other:
            raise Untraceable("its layers in training are not those of prediction")
        trace = Trace(
            self, again, (graph.layers, graph.calls), len(entries), programs_in(graph.called)
        )
        return state._replace(
            layers=graph.layers,
            calls=graph.calls,
            inputs=tuple(entry.row_shape for entry in entries),
            called=graph.called,
            drawing={},
            form=form,
            traces=(trace, *traces_of(graph.called)),
        )

    def _has_call(self) -> bool:
        """Whether the model can be called on numbers before its graph is known."""
        return self._steps is not None or type(self).call is not Model.call

    def _is_built_by_calls(self) -> bool:
        return self._steps is not None or own_build.is_done(self)

    def _called_on(self, inputs: Any, training: bool, invocation: Invocation | None = None) -> Any:
        """`call`, with `training` where it takes that; layers in it that are not told have it too."""
        if self._has_own_build:
            own_build.build_before_call(self, inputs)
        # No `try` stands inside of the `with`: its first instruction would not be guarded.
        try:
            with self._entered(inputs, training) as lock, lock:
                if self._steps is not None:
                    names = self._input_names
                    parts = [inputs] if names is None else self._several_of(inputs)
                    return self._state.now.form.like(self._steps.run(parts, training))
                if invocation is not None:
                    return invocation.result(self.call, inputs, training)
                if takes_training(type(self).call):
                    return self.call(inputs, training=training)
                return self.call(inputs)
        except Exception as error:
            if self._steps is None:
                note_call(error, self, (inputs,))
            raise

    def _entered(self, inputs: Any, training: bool) -> calling.entered:
        """What is entered while the layers and models in it are called."""
        tracing = any(True for _ in found_in(inputs, Symbol))
        inside = calling.now().inside(training, tracing, self._source, self._given_dtype)
        if not tracing:
            self._last_call = inside.outermost
        return calling.entered(inside)

    def _can_be_traced(self, state: State, row_shape: Shape) -> bool:
        """Whether `call` makes a graph for such rows. It is tried once for a shape."""
        if row_shape not in self._eager_shapes:
            try:
                self._graph_for(state, row_shape)
            except calling.MadeHere:
                raise
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

    def _reason_of_call(self, x: Any) -> Reason | None:
        state = self._state.now
        if self._steps is not None:
            return of_part(self._steps.why)
        if state.form.kind is not None:
            return several()
        if state.calls or not self._has_call():
            return None
        if is_several(x):
            return of_call("it takes several inputs")
        row_shape = rows.rows("x", x, None).shape[1:]
        if self._can_be_traced(state, row_shape):
            form = self._graph_for(state, row_shape).form
            return None if form.kind is None else several()
        try:
            self._traced_for(state, row_shape)
        except TypeError as error:
            return of_call(
                str(error).partition("no graph of layers: ")[2].partition(". The model")[0]
            )
        return None

    def _input_parts(self, x: Any) -> Any:
        names = self._input_names
        if names is None:
            return super()._input_parts(x)
        parts = self._several_of(x)
        shapes = self._state.now.inputs
        found = [
            rows.rows(f"x[{i}]", part, shape)
            for i, (part, shape) in enumerate(zip(parts, shapes, strict=True))
        ]
        return dict(zip(names, found, strict=True)) if isinstance(names, list) else found

    # -- calls

    def __call__(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """The outputs for rows, as a Tensor whose making a GradientTape can record.

        The whole model is one native pass, and one entry of the tape. It is built if need be.
        With arguments of its own, a `call` runs layer by layer.

        Args:
            inputs: rows (n, ...): a Tensor, an array or a list; for several inputs a list or a
                dictionary of such.
            *args, **kwargs: further arguments of a `call` of one's own.
            training: whether dropout acts; None: as in the call around this one, or False.

        Raises:
            TypeError: `call` does not take the arguments.
        """
        if args or kwargs:
            invocation = Invocation(self.name, type(self).call, inputs, args, training, kwargs)
            if invocation.own:
                return made_in_step(self._invoked(inputs, invocation))
            training = invocation.training
        if followers():  # a step of a model's own
            return made_in_step(self._call_rows(inputs, training))
        return self._call_rows(inputs, training)

    def _call_rows(self, inputs: Any, training: bool | None) -> Any:
        self._training.refuse_others("call")
        if self._made_in is not None and any(map(_has_weights, self._leaf_parts())):
            calling.refuse_made_here(self)
        acts = calling.now().training if training is None else flag("training", training)
        state = self._state.now
        if state.traces:
            self._check_traces("call")
        if state.built is not None and type(inputs) in _ARRAYS and self._input_names is None:
            self._refresh(state.built, "call")
            return called(state, rows_of(inputs), acts)
        if any_symbols(inputs):
            if training and not calling.now().training and self._has_dropout():
                raise Untraceable(
                    f"model {self.name!r}: dropout that acts outside of training, by training=True, is "
                    "no part of a graph of layers"
                )
            return self._drawn_in(inputs, training)
        if self._steps is not None:
            return self._called_on(self._rows_given(inputs), acts)
        if state.built is None and self._has_call() and is_several(inputs):
            self._draw_key()
            self._give_dtype()
            return self._called_on(_tensors(inputs), acts)
        if self._has_call() and np.ndim(inputs) == 0 and not any_symbols(inputs):
            return self._called_on(tensor(inputs), acts)  # of numbers, not of rows
        x = rows_of(self._joined(inputs))
        row_shape = x.shape[1:] if x.ndim > 1 else (1,)
        if state.built is None:
            self._draw_key()
            if self._has_call() and not self._can_be_traced(state, row_shape):
                self._give_dtype()
                return self._called_on(x, acts)
            self.prepare(row_shape, lambda _: None, "call")
            state = self._state.now
        assert state.built is not None
        self._refresh(state.built, "call")
        return called(state, x, acts)

    def _invoked(self, inputs: Any, invocation: Invocation) -> Any:
        """`call` with arguments of its own: no graph of a model is drawn for them."""
        self._training.refuse_others("call")
        around = calling.now().training
        acts = around if invocation.training is None else invocation.training
        if not any_symbols(inputs):
            self._draw_key()
            self._give_dtype()
            inputs = _tensors(inputs) if is_several(inputs) else tensor(inputs)
        return self._called_on(inputs, acts, invocation)

    def _side_by_side(self, x: Any) -> Any:
        """The columns of several inputs in one array or, of Tensors, in one Tensor."""
        return side_by_side(self._several_of(x), self._state.now.inputs, self._takes_gaps())

    # Whether the key was drawn from the seed of the model in whose `call` this one was called first.
    _has_drawn = False

    def _draw_key(self) -> None:
        """Takes the key from the seed of the model around this one, if it has no seed of its own; and
        its dtype, where it has none."""
        if self._given_dtype is None:
            self._given_dtype = calling.now().dtype
        drawn_from = calling.now().keys
        if drawn_from is not None and self._source is None and not self._has_drawn:
            self._key = drawn_from.next_key()
            self._has_drawn = True

    def _takes_gaps(self) -> bool:
        """Whether x may have NaN in some columns."""
        return any(isinstance(part, ColumnEncoding) for part in self._leaf_parts())

    def _has_dropout(self) -> bool:
        return any(isinstance(part, Noise) for part in self._leaf_parts())

    def _give_dtype(self) -> None:
        """Lets layers that are not built yet, and build themselves when they are called, have the
        model's dtype."""
        if self._given_dtype is not None:
            for part in self._leaf_parts():
                if isinstance(part, Layer) and not part.built and part.compute_dtype is None:
                    part.dtype = self._given_dtype

    def _several_of(self, x: Any) -> list[Any]:
        """The parts of x, of a model with several inputs, in their order."""
        names = self._input_names
        assert names is not None
        if isinstance(names, list):
            if not isinstance(x, Mapping) or set(x) != set(names):
                raise ValueError(f"x: expected a dictionary of {', '.join(names)}, got {_told(x)}")
            return [x[name] for name in names]
        labels = self._input_labels
        if isinstance(x, Mapping) and set(x) == set(labels) and len(labels) == names:
            return [x[name] for name in labels]  # by the names of the Inputs, as in Keras
        if not isinstance(x, (list, tuple)) or len(x) != names:
            named = f", or a dictionary of {', '.join(labels)}" if len(labels) == names else ""
            raise ValueError(f"x: expected a list of {names} inputs{named}, got {_told(x)}")
        return list(x)

    def _joined(self, x: Any) -> Any:
        if self._input_names is not None:
            return self._side_by_side(x)
        return self._joined_one(x)

    def _joined_one(self, x: Any) -> Any:
        """The rows of the one input, which may be named or listed."""
        inputs = self._state.now.inputs
        if isinstance(x, Mapping) and len(x) == 1 and tuple(x) == self._input_labels:
            return x[self._input_labels[0]]
        listed = bool(inputs) and isinstance(x, (list, tuple)) and len(x) == 1
        if listed and len(getattr(x[0], "shape", ())) == 1 + len(inputs[0]):
            return x[0]  # a list of the one input
        return x

    @keywords()
    def summary(
        self,
        line_length: int | None = None,
        *,
        expand_nested: bool = False,
        print_fn: Callable[[str], object] | None = None,
        batch_size: int | None = None,
    ) -> None:
        """Prints a table of the layers.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))], name="net")
            >>> model.summary(print_fn=lambda line: print(line.rstrip()))
            Model: "net" (float32), input shape (None, 4)
            -----------------------------------------
            Layer (type)   Output shape    Parameters
            -----------------------------------------
            dense (Dense)  (None, 3)               15
            -----------------------------------------
            Parameters: 15 (15 trainable, 0 not)

        A graph that is no chain has lines for its inputs, and a column of what each layer is
        connected to: "name[call][output]", as in Keras.

        Args:
            line_length: the width of the table; None: as wide as it needs to be.
            expand_nested: whether the layers of models in the model have rows, too.
            print_fn: called with each line, and its errors are raised; None: standard output, and
                what cannot be printed is left out.
            batch_size: rows of a training step. With it, a last line names the session that
                runs such a step: "plain" (layer by layer, all gradients kept), "streaming"
                (layer by layer, each kernel updated as its gradient is made) or "tiled" (a
                tile of rows through all layers before the next); on a GPU "plain", "generic"
                (recorded once as a graph), "wide" (the same with the optimizer beside the
                products) or "resident" (many steps in one kernel). It also names the numbers
                that products multiply: "float32", "bfloat16" or "two bfloat16", whose sum
                stands for a float32 (see `compile`). For a model that trains over a tape, the line
                says why. Needs a compiled model.
        """
        write = say if print_fn is None else print_fn
        nested = flag("expand_nested", expand_nested)
        parts = self._parts(expanded=False)
        if nested and not is_chain(parts):
            parts = self._parts(expanded=True)
        for line in summary_lines(self, line_length, parts, nested):
            write(line)
        if batch_size is not None:
            plan = self._compiled("summary")
            if plan.native is None and plan.reason is not None:
                write(f"Trains over a tape, since {plan.reason.why}")
                return
            session, bf16_parts = self.session(batch_size), self.network.bf16_parts(batch_size)
            made = (self.dtype, "bfloat16", "two bfloat16")[bf16_parts]
            where = " on the GPU" if self.network.device(batch_size) == "cuda" else ""
            why = self.network.whole_for
            first = "" if why is None else f"; {why} needs all gradients before a step"
            write(
                f"Session in batches of {batch_size:,}: {session}{where}, products in {made}{first}"
            )

    def _repr_html_(self) -> str:
        """The table of `summary`, as notebooks show it."""
        from html import escape

        lines: list[str] = []
        self.summary(print_fn=lines.append)
        return f"<pre>{escape(chr(10).join(lines))}</pre>"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, layers={len(self.layers)}, built={self.built}>"


# "Functional" is Keras's name of a model by inputs and outputs.
MODELS |= {"Model": Model, "Functional": Model}

_MISSING = object()
# Attributes that training sets.
_OF_TRAINING = frozenset({"history", "position", "stop_training", "given_name"})
_ARRAYS = frozenset({np.ndarray, Tensor})


def _has_weights(part: Layer | Variable) -> bool:
    return isinstance(part, Variable) or part.has_parameters


def _told(x: Any) -> str:
    """What was given in place of several inputs, in a message."""
    if isinstance(x, Mapping):
        return f"a dictionary of {', '.join(map(str, x))}"
    if isinstance(x, (list, tuple)):
        return f"{type(x).__name__} of {len(x)}"
    shape = getattr(x, "shape", None)
    return f"{x!r:.200}" if shape is None else f"{type(x).__name__} of shape {shape}"


def _tensors(inputs: Any) -> Any:
    """The same structure of Tensors."""
    if isinstance(inputs, Mapping):
        return {name: tensor(part) for name, part in inputs.items()}
    return type(inputs)(tensor(part) for part in inputs)
