"""Layer: what layers of a program's own derive from. No layer of the package does.

It is a model without training: a `call` that is made of layers is a part of the graph of the model
around it, and any other `call` runs on Tensors (see `opaque`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from fastnn import calling, constraints, elsewhere, layers, regularizers
from fastnn.autodiff import functions
from fastnn.autodiff.tensor import Tensor, tensor
from fastnn.autodiff.tensor import borrowed as as_tensor
from fastnn.calling import Untraceable
from fastnn.changes import Switch
from fastnn.constraints import ConstraintLike
from fastnn.layers.base import Layer as KnownLayer
from fastnn.layers.base import _given_shape
from fastnn.layers.shape import Input
from fastnn.layers.symbol import Symbol
from fastnn.listing import Lists
from fastnn.models.graph import without_dropout
from fastnn.models.invoked import takes_training
from fastnn.models.known import Holder
from fastnn.models.made_weights import made_values
from fastnn.models.model import Model
from fastnn.models.nested import called_on
from fastnn.models.opaque import called_opaquely, found_in, replaced, rows_of_zeros
from fastnn.models.parts import Parted
from fastnn.models.values import told_value
from fastnn.regularizers import RegularizerLike
from fastnn.serializable import is_of_fastnn
from fastnn.variables import Variable
from fastnn.words import flag, refuse_unknown_keywords

_OF_MODELS = (
    *("compile", "compile_from_config", "compiled", "evaluate", "export_onnx", "fit"),
    *("get_compile_config", "get_layer", "load_weights", "loss", "matmul_precision", "metrics"),
    *("metrics_names", "optimizer", "plot", "predict", "predict_on_batch", "predictor", "save"),
    *("save_weights", "session", "summary", "test_on_batch", "to_json", "train_on_batch"),
    *("value_and_grad", "take_averages", "layers", "inputs", "outputs", "history", "columns"),
    *("stop_training", "train_step", "test_step", "predict_step", "compute_loss", "network"),
    *("compute_metrics", "get_metrics_result", "reset_metrics", "position"),
)


_KEYWORDS = (
    *("activity_regularizer", "trainable", "dtype", "autocast", "name"),
    *("input_shape", "input_dim"),
)
_MADE_FIRST = (
    *("_training", "_state", "_changes", "_key", "_eager_shapes", "given_name", "_known"),
    *("_weights_made", "_autocast", "_given_dtype"),
)


class _OfModels:
    """A name that models have and layers have not; a layer's own attribute may have it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: type) -> Any:
        if layer is None:
            return self
        raise AttributeError(
            f"{self.name!r} is of models, and {layer.name!r} is a layer: put it into one, such as "
            f"fastnn.Sequential([layer])",
            name=self.name,
        )


class _Kinds(Lists):
    """The class of `Layer`: all layers are such to `isinstance` and, as in Keras, models are."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return cls.__subclasscheck__(type(instance))

    def __subclasscheck__(cls, subclass: type) -> bool:
        own = type.__subclasscheck__(cls, subclass)
        return own or (cls is Layer and issubclass(subclass, (KnownLayer, Model)))


class Layer(Model, metaclass=_Kinds):
    """A layer of a program's own: a class with `call`, which makes Tensors of Tensors.

        >>> import numpy as np
        >>> import fastnn
        >>> class Linear(fastnn.layers.Layer):
        ...     def __init__(self, units=32, **common):
        ...         super().__init__(**common)
        ...         self.units = units
        ...     def build(self, input_shape):
        ...         self.w = self.add_weight(shape=(input_shape[-1], self.units), name="w")
        ...         self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="b")
        ...     def call(self, inputs):
        ...         return fastnn.matmul(inputs, self.w) + self.b
        >>> layer = Linear(4)
        >>> layer(np.ones((2, 3))).shape
        (2, 4)
        >>> [variable.path for variable in layer.trainable_weights]
        ['linear/w', 'linear/b']

    It is called on arrays and Tensors, whose operations a GradientTape records, and is a part of
    models and of other layers as any layer is. Layers, models and Variables among its attributes,
    also in lists and dictionaries, are its parts, and their weights are its weights.

    `build(input_shape)` is called once, before the first `call`, with the shape (None, ...) of the
    inputs; of several inputs with such in their structure. `call` gets what the layer is called with,
    and `training` where it takes that.

    A `call` that is made of layers, `+`, `-` and `*` is traced, and the model around it trains
    natively. Any other `call` has the model train batch by batch over a tape, and `fit` says so once
    (`fastnn.TapeWarning`).

    Args:
        activity_regularizer: a function of the outputs that gives a loss, which is divided by the
            rows and added as `add_loss` does; None: there is none.
        trainable: whether its weights are trained; takes effect at `compile`.
        dtype: "float32" or "float64", of its weights; inputs that are floats are converted to it.
            None: that of the model, "float32" outside of one.
        autocast: whether inputs are converted.
        name: unique in a model; None: the name of the class, and a number.
        input_shape, input_dim: see `fastnn.layers.Dense`.
    """

    keeps_graph = False
    _inside: ClassVar[Iterable[str]] = ("build_again", *_OF_MODELS)
    _is_built = False
    _building = False
    _build_shape: Any = None
    _frozen = False
    _made_dtype: str | None = None
    _traced: tuple[Any, Any, Any] | None = None  # a call whose graph a model has, and that graph

    def __init__(
        self,
        *,
        activity_regularizer: Callable[[Tensor], Any] | None = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **more: Any,
    ) -> None:
        refuse_unknown_keywords(type(self).__name__, more, _KEYWORDS)
        super().__init__(name=name, dtype=dtype)
        self._weights_made: list[Variable] = []
        self._frozen = not flag("trainable", trainable)
        self._autocast = flag("autocast", autocast)
        if activity_regularizer is not None and not callable(activity_regularizer):
            raise TypeError(
                "activity_regularizer: expected a function of the outputs, got "
                f"{activity_regularizer!r}"
            )
        self.activity_regularizer = activity_regularizer
        shape = _given_shape(more.get("input_shape"), more.get("input_dim"))
        if shape is not None:
            self._state = Switch(self._state.now._replace(row_shape=shape))

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "build" in vars(cls):
            cls.build = _once(vars(cls)["build"])  # type: ignore[method-assign]

    def __setattr__(self, name: str, value: object) -> None:
        """As of a Model.

        Raises:
            AttributeError: a model has the graph of `call`, which would be another one with this
                value.
        """
        before = vars(self).get(name, _MISSING)
        super().__setattr__(name, value)
        traced = self._traced
        if before is _MISSING or before is value or traced is None or name[0] == "_":
            return
        if self._building or calling.now().tracing:
            return
        if self._signature(*traced[:2]) != traced[2]:
            super().__setattr__(name, before)
            raise AttributeError(
                f"{name}: `call` of layer {self.name!r} reads it, and a model has the graph that it "
                "made with the value before. Set it before the layer is a part of a model, or make it "
                "a fastnn.Variable(..., trainable=False), which `assign` changes"
            )

    def _signature(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """What the graph of a call on rows of such shapes is, to compare; None: it has none."""
        given = replaced((args, options), _Rows, lambda rows: Input(rows.shape))
        symbols = list(found_in(given, Symbol))
        try:
            drawn, named = given
            state = self._drawn_of(drawn, named, symbols, keeps=False)
        except Exception:  # noqa: BLE001 - whatever `call` does now, it was a graph
            return None
        own = {id(part) for part in self._leaf_parts()}
        kept = {id(layer) for layer in state.layers} & own
        return without_dropout(state.layers, state.calls, kept, len(symbols))

    # -- weights

    def add_weight(
        self,
        shape: Sequence[int] | int | None = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,  # noqa: ARG002 - weights have the type of the layer
        regularizer: RegularizerLike = None,
        constraint: ConstraintLike = None,
        aggregation: Any = None,  # noqa: ARG002 - there are no replicas
        name: str | None = None,
    ) -> Variable:
        """A weight of the layer, a Variable, made in `__init__` or in `build`.

            >>> import fastnn
            >>> layer = fastnn.layers.Layer(name="mine")
            >>> layer.add_weight(shape=(2,), initializer="ones", name="scale").numpy().tolist()
            [1.0, 1.0]
            >>> layer.weights[0].path
            'mine/scale'

        Args:
            shape: of the Variable; None: a single number.
            initializer: a name, an object or a class of `fastnn.initializers`, or a function of a
                shape (and a dtype) that gives an array; None: "glorot_uniform".
            dtype: "float32", "float64", or a type of integers for counters; None: that of the layer.
            trainable: whether optimizers change it; they never change integers.
            regularizer: a penalty of it (see `fastnn.regularizers` and `losses`); None: none.
            constraint: what it becomes after each update (see `fastnn.constraints`); None: nothing
                else.
            autocast, aggregation: accepted as in Keras, and unused.
            name: of the Variable; None: "variable".

        Raises:
            ValueError: another weight of the layer has this name, or the shape or type cannot be.
        """
        if "_weights_made" not in vars(self):
            raise RuntimeError(
                f"{type(self).__name__}: call super().__init__() first in its __init__, before "
                "weights are made"
            )
        where = f"layer {self.name!r}: add_weight"
        penalty = regularizers.checked(f"{where}: regularizer", regularizer)
        limit = constraints.checked(f"{where}: constraint", constraint)
        known = {variable.name for variable in self._weights_made}
        if name is not None and name in known:
            raise ValueError(f"layer {self.name!r}: add_weight: there is a weight {name!r} already")
        unique, count = name or "variable", 0
        while unique in known:
            count += 1
            unique = f"variable_{count}"
        kept = self._compute_type() if dtype is None else dtype
        values = made_values(f"layer {self.name!r}: add_weight", shape, initializer, kept)
        trains = flag("trainable", trainable) and values.dtype.kind == "f"
        variable = Variable(values, trainable=trains, name=unique)
        variable.lies_at(f"{self.name}/{unique}")
        if self._frozen:
            variable.trainable = False
        self._weights_made.append(variable)
        variable.regularizer, variable.constraint = penalty, limit
        self._known = None
        return variable

    add_variable = add_weight

    def _own_parts(
        self, holders: list[Holder] | None = None
    ) -> Iterator[KnownLayer | Parted | Variable]:
        """Weights first, then others, as in Keras."""
        found = list(super()._own_parts(holders))
        variables = [part for part in found if isinstance(part, Variable)]
        yield from (part for part in variables if not part.is_fixed)
        yield from (part for part in variables if part.is_fixed)
        yield from (part for part in found if not isinstance(part, Variable))

    @property
    def trainable(self) -> bool:
        return not self._frozen

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._set_trainable(flag("trainable", value))

    def count_params(self) -> int:
        """The number of parameters, trainable or not; ValueError before the layer is built."""
        if not self.built and not self.weights:
            raise ValueError(
                f"count_params: layer {self.name!r} is not built; its sizes are not known yet"
            )
        return sum(variable.size for variable in self.weights)

    # -- building

    @property
    def built(self) -> bool:
        """Whether `build` has run."""
        return self._is_built

    @built.setter
    def built(self, value: bool) -> None:
        self._is_built = flag("built", value)

    def build(self, *input_shape: Any) -> None:
        """Makes the weights for inputs of shape (None, ...): for subclasses to define.

        By itself it makes those of the layers that `call` uses.
        """
        if self._building or self._is_built:
            return
        self._note(input_shape)
        if input_shape and type(self).call is not Parted.call:
            inputs = [_symbols_of(shape) for shape in input_shape]
            called_opaquely(self, tuple(inputs), {}, "", self._compute_type())

    def built_shapes(self) -> tuple[Any, ...] | None:
        return self._build_shape if self._is_built else None

    def build_again(self, shapes: tuple[Any, ...]) -> None:
        """Builds it for the shapes that `built_shapes` gave of another (for files)."""
        if type(self).build is Layer.build:
            self._note(shapes)
        elif not self._is_built:
            self.build(*_fitting(type(self).build, shapes, {}))

    def _note(self, shapes: tuple[Any, ...]) -> None:
        self._build_shape = shapes
        self._is_built = True

    def _make(self, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Builds the layer for these Tensors or symbols."""
        self._made_dtype = self._compute_type()
        shapes = tuple(_shapes(arg) for arg in args if _has_shape(arg))
        named = {f"{n}_shape": _shapes(arg) for n, arg in options.items() if _has_shape(arg)}
        if type(self).build is Layer.build:
            self._note((*shapes, *named.values()))
            return
        self.build(*_fitting(type(self).build, shapes, named))

    def _compute_type(self) -> str:
        return str(self._given_dtype or self._made_dtype or calling.now().dtype or "float32")

    @property
    def dtype(self) -> str:
        """ "float32" or "float64", of the weights."""
        return self._compute_type()

    compute_dtype = variable_dtype = dtype

    @property
    def input_shape(self) -> Any:
        """(None, ...), or several such in their structure; AttributeError before it is built."""
        if not self._build_shape:
            raise AttributeError(f"layer {self.name!r} has no shape until it is built")
        found = self._build_shape
        return found[0] if len(found) == 1 else found

    @property
    def output_shape(self) -> Any:
        """Of the outputs for `input_shape`; AttributeError before it is built."""
        given = self.input_shape
        return self.compute_output_shape(given)

    def compute_output_shape(self, *input_shape: Any) -> Any:
        """The output's shape for an input's shape, both with the batch axis first.

        By itself it calls the layer on rows of zeros. Subclasses may define it.
        """
        y = called_opaquely(
            self, tuple(_symbols_of(s) for s in input_shape), {}, "", self._compute_type()
        )
        return replaced(y, Symbol, lambda symbol: symbol.shape)

    # -- calls

    def call(self, *args: Any, **options: Any) -> Any:
        """The outputs for inputs, by operations on Tensors: for subclasses to define."""
        del args, options
        raise NotImplementedError(f"{type(self).__name__}: define `call`")

    def __call__(self, *args: Any, training: bool | None = None, **options: Any) -> Any:
        """What `call` makes of the arguments; see the class.

        Arrays, and lists of numbers in the first argument, become Tensors.

        Args:
            training: passed to `call` where it takes that; None: as in the call around this one, or
                False.

        Raises:
            TypeError: `call` returned None.
        """
        acts = calling.now().training if training is None else flag("training", training)
        if any(True for _ in found_in((args, options), Symbol)):
            return self._on_symbols(args, options, training)
        dtype = self._compute_type() if self._autocast else None
        given = (*(_tensors(arg, dtype, first=True) for arg in args[:1]),)
        given += tuple(_tensors(arg, dtype) for arg in args[1:])
        named = {name: _tensors(value, dtype) for name, value in options.items()}
        inside = calling.now().inside(acts, False, dtype=self._given_dtype)
        self._last_call = inside.outermost
        with calling.entered(inside) as lock, lock:
            if not self._is_built:
                self._make(given, named)
            try:
                y = self._run(given, named, acts)
            except (ValueError, TypeError) as error:
                self._refuse_other_shapes(given, error)
                raise
            if self.activity_regularizer is not None:
                self._add_activity(y)
        return y

    def _refuse_other_shapes(self, args: tuple[Any, ...], error: Exception) -> None:
        """An error that names the layer, where it was built for inputs of other shapes."""
        known = self._build_shape
        shapes = tuple(_shapes(arg) for arg in args if _has_shape(arg))
        if known and self.weights and shapes != known[: len(shapes)]:
            wanted, got = (s[0] if len(s) == 1 else s for s in (known, shapes))
            raise ValueError(
                f"layer {self.name!r}: expected inputs of shape {wanted}, for which it was built, got "
                f"{got}: {error}"
            ) from error

    def _run(self, args: tuple[Any, ...], options: dict[str, Any], training: bool) -> Any:
        if "training" not in options and takes_training(type(self).call):
            options = {**options, "training": training}
        y = self.call(*args, **options)
        if y is None:
            raise TypeError(
                f"layer {self.name!r}: `call` of {type(self).__name__} returned None; it must return "
                "what it computes"
            )
        return y

    def _add_activity(self, y: Any) -> None:
        regularizer: Any = self.activity_regularizer
        for part in found_in(y, Tensor):
            self.add_loss(regularizer(part) / max(1, len(part)))

    def _on_symbols(
        self, args: tuple[Any, ...], options: dict[str, Any], training: bool | None
    ) -> Any:
        """The symbol, or the structure of several, of this call in the graph of a model."""
        now = calling.now()
        if not self._is_built:
            inside = now.inside(False, False, dtype=self._given_dtype)._replace(tracing=False)
            with calling.entered(inside) as lock, lock:
                self._make(args, options)
        symbols = list(found_in((args, options), Symbol))
        try:
            if self.activity_regularizer is not None:
                raise Untraceable("it has a regularizer")
            if training is not None and self._has_dropout():
                raise Untraceable("it is told whether it trains")
            state = self._drawn_of(args, options, symbols)
            return called_on(self, state, symbols, drops=True)
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
            entries[id(symbol)] = Input(symbol.row_shape)
        drawn, named = replaced((args, options), Symbol, lambda s: entries[id(s)])
        memo = symbols[0].memo
        ordered = [entries[id(symbol)] for symbol in symbols]

        def call(training: bool) -> Any:
            inside = calling.now().inside(training, True, dtype=self._given_dtype)
            with calling.entered(inside) as lock, lock:
                return self._run(drawn, named, training)

        state = self._drawn_by(call, self._state.now, ordered, memo)
        if keeps and not calling.now().tracing:  # else the model around it looks after it
            rows = replaced((args, options), Symbol, lambda symbol: _Rows(symbol.row_shape))
            self._traced = (*rows, self._signature(*rows))
        return state

    def _output_rows(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        own = type(self).compute_output_shape
        if own is Layer.compute_output_shape or not self._is_built:
            return None
        shapes = [_shapes(arg) for arg in (*args, *options.values()) if _has_shape(arg)]
        return _rows_for(self.compute_output_shape(*shapes))

    # -- configs

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON can hold them: `from_config` makes a layer of them.

        Arguments that are numbers, words, lists, dictionaries, objects with a config or functions with
        a name are kept. With others the class defines `get_config`, in which super().get_config()
        has those of this class: name, trainable and dtype.

            >>> import fastnn
            >>> class Scale(fastnn.layers.Layer):
            ...     def __init__(self, factor):
            ...         super().__init__()
            ...         self.factor = factor
            ...     def call(self, inputs):
            ...         return self.factor * inputs
            >>> Scale(3.0).get_config()
            {'factor': 3.0}
            >>> Scale.from_config({'factor': 3.0})(fastnn.ones((1, 1))).numpy().tolist()
            [[3.0]]

        Raises:
            NotImplementedError: an argument is something else, and the class has no `get_config`.
        """
        taken = _parameters(type(self).__init__)
        whatever = any(p.kind is p.VAR_KEYWORD for p in taken)
        names = {p.name for p in taken}
        common = {"name": self.given_name, "trainable": self.trainable, "dtype": self._given_dtype}
        found = {n: value for n, value in common.items() if whatever or n in names}
        given = self._arguments_given
        if given is None and not is_of_fastnn(type(self).__init__):
            if type(self).get_config is Layer.get_config:
                raise NotImplementedError(
                    f"{type(self).__name__}: arguments of its constructor have no config; define "
                    "get_config(self), which returns them as numbers, words, lists and dictionaries"
                )
            given = {}
        if given is None:
            given = {"activity_regularizer": told_value(self.activity_regularizer)}
            given = {n: value for n, value in given.items() if value is not None}
        return {**found, **given, **{n: found[n] for n in found if n in given and n != "name"}}

    # -- as a part

    def named_parts(self) -> list[tuple[str, Any]]:
        """Layers and models in it with their names (for the table)."""
        parts = [part for part in self._own_parts() if not isinstance(part, Variable)]
        try:
            return list(zip(self.names_for(parts), parts, strict=True))
        except ValueError:  # attributes of one given name
            return [(part.name, part) for part in parts]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    if not TYPE_CHECKING:  # or checkers would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            if name in _MADE_FIRST:
                raise RuntimeError(
                    f"{type(self).__name__}: call super().__init__() first in its __init__"
                )
            known = vars(self)
            if (
                name not in _OF_MODELS
                and "_state" in known
                and not self._is_built
                and not name.startswith("_")
            ):
                raise AttributeError(
                    f"{type(self).__name__!r} object has no attribute {name!r}; layer "
                    f"{self.name!r} is not built, and `build` may make it: call the layer, or "
                    "build(input_shape), first",
                    name=name,
                    obj=self,
                )
            return elsewhere.attribute_of(self, "of a layer", name)


_MISSING = object()


class _Rows(NamedTuple):
    """What a call gets in place of rows of this shape."""

    shape: tuple[int, ...]


def _once(build: Callable[..., None]) -> Callable[..., None]:
    """`build` of a class, which is called once for each layer."""

    @functools.wraps(build)
    def once(self: Layer, *shapes: Any, **named: Any) -> None:
        if self._building:  # by super().build(...)
            build(self, *shapes, **named)
            return
        if self._is_built:
            return
        made = list(self._weights_made)
        vars(self)["_building"] = True
        now = calling.now()
        inside = now.inside(now.training, False, dtype=self._given_dtype)._replace(tracing=False)
        try:
            with calling.entered(inside) as lock, lock:
                build(self, *shapes, **named)
        except BaseException:
            self._weights_made[:] = made
            raise
        finally:
            vars(self)["_building"] = False
        self._note((*shapes, *named.values()))

    return once


@functools.lru_cache(256)
def _parameters(build: Callable[..., None]) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(build).parameters.values())[1:]


def _fitting(
    build: Callable[..., None], shapes: tuple[Any, ...], named: dict[str, Any]
) -> tuple[Any, ...]:
    """The shapes that `build` takes."""
    given = (*shapes, *named.values())
    parameters = _parameters(build)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return given
    count = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    return given[:count]


def _has_shape(value: Any) -> bool:
    return any(True for _ in found_in(value, Tensor)) or any(True for _ in found_in(value, Symbol))


def _shapes(value: Any) -> Any:
    """The shape of each Tensor or symbol of a structure, with None for rows."""
    shape_of = {
        Tensor: lambda x: (None, *x.shape[1:]) if x.ndim > 1 else x.shape,
        Symbol: lambda s: s.shape,
    }
    for kind, function in shape_of.items():
        value = _mapped(value, kind, function)
    return value


def _mapped(value: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    return replaced(value, kind, function)


def _symbols_of(shape: Any) -> Any:
    """Inputs of the shapes of a structure."""
    if isinstance(shape, dict):
        return {name: _symbols_of(one) for name, one in shape.items()}
    if isinstance(shape, (list, tuple)) and shape and isinstance(shape[0], (list, tuple)):
        return [_symbols_of(one) for one in shape]
    if not isinstance(shape, (list, tuple)) or len(shape) < 2:
        raise ValueError(
            "input_shape: expected the batch axis, then the shape of a row, such as (None, 784), "
            f"got {shape!r}"
        )
    return Input(tuple(shape[1:]))


def _rows_for(shape: Any) -> Any:
    """A few rows for the shapes of a structure."""
    if isinstance(shape, dict):
        return {name: _rows_for(one) for name, one in shape.items()}
    if isinstance(shape, (list, tuple)) and shape and isinstance(shape[0], (list, tuple)):
        return [_rows_for(one) for one in shape]
    return rows_of_zeros(shape)


def _tensors(value: Any, dtype: str | None, *, first: bool = False) -> Any:
    """The structure with arrays made Tensors, floats of which are converted to a type."""
    if isinstance(value, (list, tuple)) and any(map(_is_array, value)):
        made = [_tensors(part, dtype, first=first) for part in value]
        return tuple(made) if isinstance(value, tuple) else made
    if isinstance(value, dict):
        return {name: _tensors(part, dtype, first=first) for name, part in value.items()}
    numbers = isinstance(value, (list, tuple, int, float)) and not isinstance(value, bool)
    if not _is_array(value) and not (first and numbers):
        return value
    x = tensor(value) if isinstance(value, Variable) else as_tensor(value)
    if dtype is not None and x.dtype.kind == "f" and x.dtype != dtype:
        x = functions.cast(x, dtype)
    return x


def _is_array(value: Any) -> bool:
    return isinstance(value, (Tensor, Variable, np.ndarray, np.generic)) or (
        hasattr(value, "__array__") and not isinstance(value, type)
    )


for _name in _OF_MODELS:
    setattr(Layer, _name, _OfModels(_name))
# `fastnn.layers.Layer` is this class. The room of layers knows no models, so it is put there.
vars(layers)["Layer"] = Layer
