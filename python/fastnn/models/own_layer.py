"""Layer: what layers of a program's own derive from. No layer of the package does.

It is a model without training: a `call` that is made of layers is a part of the graph of the model
around it, and any other `call` runs on Tensors (see `opaque`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from fastnn import calling, elsewhere, layers, regularizers
from fastnn.autodiff.tensor import Tensor
from fastnn.changes import Switch
from fastnn.layers.base import Layer as KnownLayer
from fastnn.layers.base import _given_shape
from fastnn.layers.symbol import Symbol
from fastnn.listing import Lists
from fastnn.models.model import Model
from fastnn.models.noted import note_build, note_call
from fastnn.models.opaque import called_opaquely, found_in
from fastnn.models.own_drawn import Drawn
from fastnn.models.own_inputs import (
    fitting,
    has_shape,
    narrowed,
    parameters_of,
    shapes_in,
    symbols_for,
    tensors,
)
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


class Layer(Drawn, metaclass=_Kinds):
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

    A `call` that is made of layers and of functions that native code has is traced, and the model around it trains
    natively. Any other `call` has the model train batch by batch over a tape, and `fit` says so once
    (`fastnn.TapeWarning`).

    Args:
        activity_regularizer: a function of the outputs that gives a loss, or a name or an object of
            `fastnn.regularizers`; the loss is divided by the rows and added as `add_loss` does.
            None: there is none.
        trainable: whether its weights are trained; takes effect at `compile`.
        dtype: "float32" or "float64", of its weights; inputs that are floats are converted to it.
            None: that of the model, "float32" outside of one.
        autocast: whether inputs are converted.
        name: unique in a model; None: the name of the class, and a number.
        input_shape, input_dim: see `fastnn.layers.Dense`.
    """

    keeps_graph = False
    _inside: ClassVar[Iterable[str]] = ("build_again", *_OF_MODELS)
    _build_shape: Any = None
    _frozen = False
    _is_layer = True
    _made_dtype: str | None = None

    def __init__(
        self,
        *,
        activity_regularizer: RegularizerLike = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **more: Any,
    ) -> None:
        refuse_unknown_keywords(type(self).__name__, more, _KEYWORDS)
        super().__init__(name=name, dtype=dtype)
        self._weights_made = []
        self._frozen = not flag("trainable", trainable)
        self._autocast = flag("autocast", autocast)
        is_function = callable(activity_regularizer) and not isinstance(activity_regularizer, type)
        if activity_regularizer is not None and not is_function:
            activity_regularizer = regularizers.checked(
                "activity_regularizer", activity_regularizer
            )
        self.activity_regularizer = activity_regularizer
        shape = _given_shape(more.get("input_shape"), more.get("input_dim"))
        if shape is not None:
            self._state = Switch(self._state.now._replace(row_shape=shape))

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "build" in vars(cls):
            cls.build = _once(vars(cls)["build"])  # type: ignore[method-assign]

    # -- weights

    @property
    def trainable(self) -> bool:
        return not self._frozen

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._set_trainable(flag("trainable", value))

    def count_params(self) -> int:
        """The number of parameters, trainable or not; ValueError before the layer is built.

        >>> class Twice(fastnn.layers.Layer):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.dense = fastnn.layers.Dense(3)
        ...     def call(self, inputs):
        ...         return self.dense(inputs) * 2
        >>> layer = Twice()
        >>> outputs = layer(np.ones((5, 4)))
        >>> layer.count_params()  # 4 * 3 + 3
        15
        """
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

            >>> class Offset(fastnn.layers.Layer):
            ...     def build(self, input_shape):
            ...         self.b = self.add_weight(shape=input_shape[-1:], initializer="ones", name="b")
            ...     def call(self, inputs):
            ...         return inputs + self.b
            >>> Offset()([[1.0, 2.0]]).tolist()
            [[2.0, 3.0]]

        By itself it makes those of the layers that `call` uses.
        """
        if self._building or self._is_built:
            return
        self._note(input_shape)
        if input_shape and type(self).call is not Parted.call:
            inputs = [symbols_for(shape) for shape in input_shape]
            called_opaquely(self, tuple(inputs), {}, "", self._compute_type())

    def built_shapes(self) -> tuple[Any, ...] | None:
        return self._build_shape if self._is_built else None

    def build_again(self, shapes: tuple[Any, ...]) -> None:
        """Builds it for the shapes that `built_shapes` gave of another (for files)."""
        if type(self).build is Layer.build:
            self._note(shapes)
        elif not self._is_built:
            self.build(*fitting(type(self).build, shapes, {}))

    def _note(self, shapes: tuple[Any, ...]) -> None:
        self._build_shape = shapes
        self._is_built = True

    def _make(self, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Builds the layer for these Tensors or symbols."""
        self._made_dtype = self._compute_type()
        shapes = tuple(shapes_in(arg) for arg in args if has_shape(arg))
        named = {f"{n}_shape": shapes_in(arg) for n, arg in options.items() if has_shape(arg)}
        if type(self).build is Layer.build:
            self._note((*shapes, *named.values()))
            return
        self.build(*fitting(type(self).build, shapes, named))

    def _compute_type(self) -> str:
        return str(self._given_dtype or self._made_dtype or calling.now().dtype or "float32")

    _weight_type = _compute_type

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

    # -- calls

    def call(self, *args: Any, **options: Any) -> Any:
        """The outputs for inputs, by operations on Tensors: for subclasses to define.

        >>> class Total(fastnn.layers.Layer):
        ...     def call(self, inputs):
        ...         return fastnn.reduce_sum(inputs, axis=1, keepdims=True)
        >>> Total()([[1.0, 2.0], [3.0, 4.0]]).tolist()
        [[3.0], [7.0]]
        """
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
        given = (*(tensors(arg, dtype, first=True) for arg in args[:1]),)
        given += tuple(tensors(arg, dtype) for arg in args[1:])
        named = {name: tensors(value, dtype) for name, value in options.items()}
        inside = calling.now().inside(acts, False, dtype=self._given_dtype)
        self._last_call = inside.outermost
        # No `try` stands inside of the `with`: its first instruction would not be guarded.
        try:
            with calling.entered(inside) as lock, lock:
                if not self._is_built:
                    self._make(given, named)
                if self._made_in is not None and self.weights:
                    calling.refuse_made_here(self)
                y = self._run(given, named, acts)
                if dtype == "float32":
                    y = narrowed(y, (given, named))
                if self.activity_regularizer is not None:
                    self._add_activity(y)
        except Exception as error:
            if self._is_built:
                note_call(error, self, (*given, *named.values()))
                self._refuse_other_shapes(given, error)
            raise
        return y

    def _refuse_other_shapes(self, args: tuple[Any, ...], error: Exception) -> None:
        """An error that names the layer, where it was built for inputs of other shapes."""
        known = self._build_shape
        shapes = tuple(shapes_in(arg) for arg in args if has_shape(arg))
        usual = isinstance(error, (ValueError, TypeError))
        if usual and known and self.weights and shapes != known[: len(shapes)]:
            wanted, got = (s[0] if len(s) == 1 else s for s in (known, shapes))
            raise ValueError(
                f"layer {self.name!r}: expected inputs of shape {wanted}, for which it was built, got "
                f"{got}: {error}"
            ) from error

    def _add_activity(self, y: Any) -> None:
        regularizer: Any = self.activity_regularizer
        for part in found_in(y, Tensor):
            self.add_loss(regularizer(part) / max(1, len(part)))

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
        taken = parameters_of(type(self).__init__)
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
        inside = now.inside(now.training, False, dtype=self._given_dtype)
        inside = inside._replace(tracing=False, building=True)
        try:
            with calling.entered(inside) as lock, lock:
                build(self, *shapes, **named)
        except BaseException as error:
            self._weights_made[:] = made
            note_build(error, self, (*shapes, *named.values()))
            raise
        finally:
            vars(self)["_building"] = False
        self._note((*shapes, *named.values()))

    return once


for _name in _OF_MODELS:
    setattr(Layer, _name, _OfModels(_name))
# `fastnn.layers.Layer` is this class. The room of layers knows no models, so it is put there.
vars(layers)["Layer"] = Layer
