"""Layer: name, dtype, shapes and Variables, which all layers have. No layer of its own is here."""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self, TypedDict, Unpack, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import _core, calling, elsewhere, keys, regularizers
from fastnn.autodiff.tensor import Tensor
from fastnn.autodiff.tensor import borrowed as as_tensor
from fastnn.changes import Change, Switch, forget_former
from fastnn.claims import Claim, Exclusive
from fastnn.constraints import Constraint
from fastnn.initializers import Initializer
from fastnn.layers.activity import add_penalty, losses_of
from fastnn.layers.own_calls import opaque_call, opaque_symbol, own_result
from fastnn.layers.symbol import Symbol, any_symbols
from fastnn.registry import Checked, Registered, Registry
from fastnn.regularizers import Regularizer, RegularizerLike
from fastnn.serializable import is_of_fastnn
from fastnn.variables import Place, Variable
from fastnn.words import (
    choose,
    flag,
    integer,
    keywords,
    optional,
    refuse_unknown_keywords,
    snake_case,
)

if TYPE_CHECKING:
    from fastnn.layers.declared import Declared
else:
    Declared = object

Shape = tuple[int, ...]

Dtype = Literal["float32", "float64"]
_DTYPES: tuple[Dtype, ...] = ("float32", "float64")
# Elements that a parameter, or a row, may have; native code allocates no more.
_MOST_ELEMENTS = 2**56


class Common(TypedDict, total=False):
    """Keyword arguments that every layer takes."""

    name: str | None
    dtype: str | None
    trainable: bool
    input_shape: Sequence[int] | None
    input_dim: int | None
    activity_regularizer: RegularizerLike


COMMON = tuple(Common.__annotations__)


def checked_name(argument: str, value: object) -> str:
    """The name of a layer: not empty, and without the sign that parts paths."""
    if not isinstance(value, str) or not value or "/" in value:
        raise ValueError(f"{argument}: expected a non-empty string without '/', got {value!r}")
    return value


def axis_of_columns(argument: str, value: object) -> int:
    """The axis of the columns of rows (n, columns): -1 or 1."""
    # A list of one axis is Keras's own form in a config.
    only = value[0] if isinstance(value, list) and len(value) == 1 else value
    axis = integer(argument, only, -1, 1)
    if axis == 0:
        raise ValueError(f"{argument}: expected -1 or 1, the axis of the columns, got 0")
    return axis


def _dtype(_argument: str, value: object) -> str:
    return dtype_of(value)


class WeightSpec(NamedTuple):
    """A parameter that a layer needs."""

    name: str
    shape: Shape
    initializer: Initializer
    regularizer: Regularizer | None = None
    constraint: Constraint | None = None
    by_number: bool = False  # see `Variable`


class Standing(NamedTuple):
    """What a model, or `build`, makes of a layer."""

    name: str
    owner: weakref.ref[Any] | None = None  # the model whose buffer the Variables are in
    rows: tuple[Shape, Shape] | None = None  # of the input and the output; None: not built
    variables: tuple[Variable, ...] = ()
    home: weakref.ref[Any] | None = None  # the model that the layer is a part of, and named by
    shared: bool = False  # more than one model has it, or had it


class Layer(Registered, Declared):
    """The base of all layers.

        >>> layer = fastnn.layers.Dense(3, name="head")
        >>> outputs = layer(np.ones((5, 4)))  # the first call builds it
        >>> outputs.shape, [variable.path for variable in layer.variables]
        ((5, 3), ['head/kernel', 'head/bias'])

    Args:
        name: unique in a model; None numbers it: "dense", "dense_1".
        dtype: "float32" or "float64"; must agree with the model's. None: the model's.
        trainable: whether its parameters are trained; takes effect at `compile`.
        input_shape: the shape of one row, on the first layer of a model: the model is then
            built at once, and its parameters exist.
        input_dim: `input_dim=n` is `input_shape=(n,)`.
        activity_regularizer: a penalty of what the layer gives, divided by the number of rows, which
            is added to the loss; None: there is none. See `fastnn.regularizers`. A model with such a
            layer trains over a tape.

    Attributes:
        built: whether its parameters exist.
        variables, weights: its Variables; `trainable_weights` the trained ones.
        input_shape, output_shape: (None, ...) once it is built.
        losses: the penalties of its outputs in the last call, and of its weights.
        input, output: symbols of the model that the layer is a part of, for other models to be made
            of: `Model(model.input, model.get_layer("dense").output)`.
    """

    # Whether outputs leave the layer unchanged, so that the layer before it is the head (see heads).
    passes_outputs: ClassVar[bool] = False
    # Whether its outputs are numbers of its inputs, which keep their type.
    arranges: ClassVar[bool] = False
    # Whether an output depends, but in training, on the input in its own place alone.
    by_column: ClassVar[bool] = False
    # Whether its nodes depend on the shape of rows, which `extend_rows` is told.
    by_shape: ClassVar[bool] = False
    # Names of parameters that no optimizer changes.
    statistics: ClassVar[tuple[str, ...]] = ()
    # Whether it takes several inputs; `row_shape` and `extend` then take lists (see merge).
    merges: ClassVar[bool] = False

    dtype = Checked(optional(_dtype))
    activity_regularizer = Checked(regularizers.checked)
    _added: Any = None  # penalties of outputs, with the outermost call that they are of

    _inside: ClassVar[tuple[str, ...]] = (
        *("extend", "given_name", "opaque", "given_shape", "kept_name", "owner", "adopt", "claim"),
        *("home", "shared"),
        *(
            "arranges",
            "compute_dtype",
            "by_column",
            "by_shape",
            "extend_again",
            "extend_rows",
            "has_parameters",
            "kind_name",
            "merges",
            "passes_outputs",
            "row_shape",
            "stand",
            "statistics",
            "trained_flags",
            "weight_specs",
        ),
    )
    _in_keywords = COMMON
    # input_shape is also a property of built layers; input_dim is another way to give it.
    _kept_as: ClassVar[dict[str, str | None]] = {
        "name": "kept_name",
        "input_shape": "given_shape",
        "input_dim": None,
    }

    def __init__(self, **common: Unpack[Common]) -> None:
        refuse_unknown_keywords(type(self).__name__, common, COMMON)
        name = common.get("name")
        self.given_name: str | None = None if name is None else checked_name("name", name)
        self._standing = Switch(Standing(self.given_name or self.kind_name))
        self._changes = Exclusive("this layer")
        self.dtype = common.get("dtype")
        self.activity_regularizer = common.get("activity_regularizer")
        self.given_shape = _given_shape(common.get("input_shape"), common.get("input_dim"))
        self._trainable = flag("trainable", common.get("trainable", True))
        made_in = calling.made_in()
        if made_in is not None:
            self._made_in = made_in

    _made_in: object = None  # the call in which it was made; see `calling.refuse_made_here`

    @property
    def kind_name(self) -> str:
        """The name that a number follows where a model has several of the kind."""
        return snake_case(type(self).__name__)

    # -- for each kind of layer to define

    def row_shape(self, shape: Shape) -> Shape:
        """The shape of an output row for an input row of `shape`; ValueError if it cannot be."""
        return shape

    def weight_specs(self, _shape: Shape) -> list[WeightSpec]:
        """The parameters needed for input rows of `shape`, in native order."""
        return []

    def extend(self, _network: _core.Graph, tensor: int) -> int:
        """Adds this layer's nodes after `tensor`; returns the number of the output."""
        return tensor

    def extend_rows(self, network: _core.Graph, tensor: int, _shape: Shape) -> int:
        """`extend`, for rows of this shape."""
        return self.extend(network, tensor)

    def extend_again(self, network: _core.Graph, tensor: Any, _first: int) -> int:
        """The same for a further call of the layer, whose first call made the output `first`.

        Raises:
            ValueError: native code cannot share the parameters of such a layer.
        """
        if self.has_parameters:
            raise ValueError(
                f"layer {self.name!r}: a {type(self).__name__} can be called once in a model: it has "
                "no `extend_again`, which shares its parameters"
            )
        return self.extend(network, tensor)

    if not TYPE_CHECKING:  # classes of programs take the arguments that they like: see Declared

        def call(self, x: Tensor, _training: bool) -> Tensor:
            """The outputs for rows x of the layer's shape, by the kernels that its nodes use.

            >>> fastnn.layers.Dense(3)(np.ones((5, 4))).shape  # builds the layer, then calls it
            (5, 3)
            """
            return x

    @property
    def opaque(self) -> str | None:
        """Why a call of it is no part of a native graph, a clause; None: it is."""
        return opaque_call(self)

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        # A class of a program's own may have a `call` that its base class's nodes do not compute.
        names = ("call", "extend")
        call, extend = (next(b for b in cls.__mro__ if name in vars(b)) for name in names)
        mro = cls.__mro__
        cls._has_own_call = not is_of_fastnn(call) and mro.index(call) < mro.index(extend)

    _has_own_call: ClassVar[bool] = False

    def _drawn(self, inputs: Any) -> Any:
        """A symbol of a graph: this layer called on symbols."""
        why = self.opaque
        if why is not None and isinstance(inputs, Symbol):
            return opaque_symbol(self, inputs, self.row_shape(inputs.row_shape), why)
        if self.merges:
            if not isinstance(inputs, (list, tuple)) or not all(
                isinstance(part, Symbol) for part in inputs
            ):
                raise TypeError(
                    f"layer {self.name!r}: {type(self).__name__} takes a list of symbols, got "
                    f"{inputs!r}"
                )
            shapes: Any = tuple(part.row_shape for part in inputs)
            if why is not None:
                return opaque_symbol(self, inputs, self.row_shape(shapes), why)
            return Symbol(self, tuple(inputs), self.row_shape(shapes))
        if not isinstance(inputs, Symbol):
            raise TypeError(
                f"layer {self.name!r}: {type(self).__name__} takes one input, got {inputs!r}"
            )
        if self._made_in is not None and self.weight_specs(inputs.row_shape):
            calling.refuse_made_here(self)
        return Symbol(self, (inputs,), self.row_shape(inputs.row_shape))

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """The outputs for rows (n, ...), as a Tensor whose making a GradientTape can record.

        The first call builds the layer. Called on the symbols of a functional model, it gives a
        symbol, and the model that is made of it builds the layer.

        Args:
            inputs: a Tensor, an array or a list, of rows.
            training: whether dropout acts; None: as in the call around this one, or False.

        Raises:
            ValueError: the rows do not fit the layer; the message names it, and both shapes.
        """
        if any_symbols(inputs):
            return self._drawn(inputs)
        x = as_tensor(inputs)
        if x.ndim < 2:
            raise ValueError(f"layer {self.name!r}: expected rows (n, ...), got shape {x.shape}")
        shape = x.shape[1:]
        if not self.built:
            if self._made_in is not None and self.weight_specs(shape):
                calling.refuse_made_here(self)
            self.build((None, *shape))
        elif self.variables and shape != self._built_rows()[0]:
            raise ValueError(
                f"layer {self.name!r}: expected rows of shape {self._built_rows()[0]}, got {shape}"
            )
        self.row_shape(shape)  # an error where a layer without parameters cannot take it
        acts = calling.now().training if training is None else flag("training", training)
        y = own_result(self, x, acts) if self._has_own_call else self.call(x, acts)
        if self.activity_regularizer is not None:
            add_penalty(self, y)
        return y

    @property
    def losses(self) -> list[Tensor]:
        """The penalties of the outputs of the last call, then those of its weights.

        >>> layer = fastnn.layers.Dense(1, use_bias=False, activity_regularizer=lambda y: y.sum())
        >>> layer.kernel_initializer = "ones"
        >>> y = layer([[1.0, 2.0], [3.0, 4.0]])
        >>> [float(loss) for loss in layer.losses]  # (3 + 7) / 2 rows
        [5.0]
        """
        return losses_of(self)

    # Whether it may have parameters; for layers that are called several times in a model.
    has_parameters: ClassVar[bool] = False

    # -- state

    @property
    def name(self) -> str:
        """The given name, or one that a model gave; in a model it is fixed."""
        return self._standing.now.name

    @name.setter
    def name(self, value: str) -> None:
        checked = checked_name("name", value)
        if self.owner is not None or self.home is not None:
            raise ValueError(f"name: layer {self.name!r} is in a model, where names are fixed")
        self.given_name = checked
        self._standing = Switch(self._standing.now._replace(name=checked))

    @property
    def built(self) -> bool:
        """Whether the parameters exist."""
        return self._standing.now.rows is not None

    @property
    def variables(self) -> list[Variable]:
        """The Variables: kernel, then bias; none before the layer is built."""
        return list(self._standing.now.variables)

    @property
    def compute_dtype(self) -> Dtype | None:
        """The dtype that the layer asks of its model; None: it computes in any."""
        return cast("Dtype | None", self.dtype)

    @property
    def kept_name(self) -> str | None:
        """The name that was given, or that a model gave; None while a model may yet choose one."""
        return self.given_name if self.home is None else self.name

    @property
    def owner(self) -> Any:
        """The model whose buffer has the parameters: the one that trained last; None: no model."""
        owner = self._standing.now.owner
        return None if owner is None else owner()

    @property
    def home(self) -> Any:
        """The model that the layer is a part of, the first of several; None: no model."""
        home = self._standing.now.home
        return None if home is None else home()

    @property
    def shared(self) -> bool:
        """Whether more than one model has the layer, or had it."""
        return self._standing.now.shared

    @property
    def input(self) -> Any:
        """The symbol that the layer is called on in its model, or a list of them.

        Raises:
            AttributeError: the layer is in no model that is built, or is called several times.
        """
        return self._in_its_model()[0]

    @property
    def output(self) -> Any:
        """The symbol that the layer makes in its model. Errors: see `input`."""
        return self._in_its_model()[1]

    def _in_its_model(self) -> tuple[Any, Any]:
        home = self.home
        if home is None:
            raise AttributeError(
                f"layer {self.name!r} is in no model, and so has no input and output there"
            )
        found: tuple[Any, Any] = home.symbols_of(self)
        return found

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """The shape (None, ...) of the inputs; AttributeError before the layer is built."""
        return (None, *self._built_rows()[0])

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape (None, ...) of the outputs; AttributeError before the layer is built."""
        return (None, *self._built_rows()[1])

    def _built_rows(self) -> tuple[Shape, Shape]:
        rows = self._standing.now.rows
        if rows is None:
            raise AttributeError(f"layer {self.name!r} has no shape until it is built")
        return rows

    @property
    def trainable(self) -> bool:
        """Whether its parameters are trained; setting it takes effect at the next `compile`."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = flag("trainable", value)
        for variable in self.variables:
            variable.trainable = self._trainable and variable.name not in self.statistics

    def trained_flags(self) -> tuple[bool, ...]:
        """Whether training changes each parameter, statistics included (for models)."""
        return tuple(
            self.trainable if variable.name in self.statistics else variable.trainable
            for variable in self.variables
        )

    @property
    def weights(self) -> list[Variable]:
        """The same as `variables`."""
        return self.variables

    @property
    def trainable_weights(self) -> list[Variable]:
        """The `variables` that are trained."""
        return [variable for variable in self.variables if variable.trainable]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The `variables` that are not trained."""
        return [variable for variable in self.variables if not variable.trainable]

    @property
    def trainable_variables(self) -> list[Variable]:
        """The same as `trainable_weights`."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The same as `non_trainable_weights`."""
        return self.non_trainable_weights

    def count_params(self) -> int:
        """The number of parameters, trainable or not.

        >>> layer = fastnn.layers.Dense(3)
        >>> layer.build((None, 4))
        >>> layer.count_params()  # 4 * 3 + 3
        15
        """
        return sum(variable.size for variable in self.variables)

    def get_weights(self) -> list[NDArray[Any]]:
        """Copies of the parameters: kernel, then bias.

        >>> layer = fastnn.layers.Dense(3)
        >>> layer.build((None, 4))
        >>> [array.shape for array in layer.get_weights()]
        [(4, 3), (3,)]
        """
        return [variable.numpy() for variable in self.variables]

    @keywords()
    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Writes the parameters; everything is checked before anything is written.

            >>> layer = fastnn.layers.Dense(1)
            >>> layer.build((None, 2))
            >>> layer.set_weights([[[1.0], [10.0]], [5.0]])  # kernel (2, 1), bias (1,)
            >>> layer([[1.0, 2.0]]).tolist()
            [[26.0]]

        Raises:
            ValueError: the number or a shape is wrong.
            RuntimeError: a model that has the layer is being trained.
        """
        claim = Claim("set_weights")
        with claim, claim.lock:
            self.claim(claim)
            write_all(f"layer {self.name!r}", self.variables, weights)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """The output's shape for an input's shape, both with the batch axis first.

            >>> fastnn.layers.Dense(3).compute_output_shape((None, 4))
            (None, 3)

        Raises:
            ValueError: the layer cannot take such rows.
        """
        return (input_shape[0], *self.row_shape(without_batch(input_shape)))

    @keywords()
    def build(self, input_shape: Any) -> None:
        """Makes the parameters for inputs of shape (None, ...), in the layer's own buffer.

            >>> layer = fastnn.layers.Dense(3)
            >>> layer.build((None, 4))
            >>> layer.kernel.shape
            (4, 3)

        Their values are kept when the layer joins a model. A second call does nothing.

        Raises:
            ValueError: the layer cannot take such rows.
        """
        if self.built:
            return
        shape = without_batch(input_shape)
        change = Change("build")
        with change, change.lock:
            self.claim(change)
            if self._standing.now.rows is not None:  # another thread has built it meanwhile
                return
            output = self.row_shape(shape)
            dtype = self.compute_dtype or calling.now().dtype or "float32"
            network = network_for(shape, dtype, 0)
            extended(network, self, 0, shape)
            buffer = parameters_for(network, dtype)
            key = keys.next_key()
            made = make_variables(self, self.name, shape, network.parameters, buffer, key, 0)
            switch = self.stand(change, rows=(shape, output), variables=tuple(made))
            change.settled = True
            forget_former([switch])

    def claim(self, claim: Claim) -> None:
        """Lets this call alone change the layer, as soon as others have ended (for models)."""
        self._changes.take(claim, waits=True)

    def adopt(self, variables: Sequence[Variable]) -> None:
        """Makes writes to its Variables wait for changes of the layer."""
        for variable in variables:
            variable.join(self._changes)

    def stand(self, change: Change, **parts: Any) -> Switch[Standing]:
        """Parts of the Standing from this change on (for models)."""
        self._standing = self._standing.to(self._standing.now._replace(**parts), change)
        return self._standing

    def __getstate__(self) -> dict[str, Any]:
        """What pickles and copies hold: the layer with its values, in no model."""
        kept = {k: v for k, v in vars(self).items() if k not in ("_standing", "_changes", "_added")}
        alone = self._standing.now._replace(owner=None, home=None, shared=False)
        return {**kept, "_standing": tuple(alone)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._standing = Switch(Standing(*state["_standing"]))
        self._changes = Exclusive("this layer")
        self.adopt(self.variables)

    def __copy__(self) -> Self:
        """An independent layer, as deepcopy makes it: layers do not share Variables."""
        return copy.deepcopy(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    if not TYPE_CHECKING:  # a type checker reports unknown names by itself

        def __getattr__(self, name: str) -> Any:
            return elsewhere.attribute_of(self, "of a layer", name)


LAYERS = Registry("layer", Layer)


def dtype_of(word: object) -> Dtype:
    """A checked dtype, from a name or a NumPy type."""
    if not isinstance(word, str):
        try:
            word = np.dtype(word).name  # type: ignore[call-overload]
        except TypeError:
            raise TypeError(f"dtype: expected 'float32' or 'float64', got {word!r}") from None
    return choose("dtype", word, _DTYPES)


def _given_shape(shape: object, dim: object) -> Shape | None:
    if dim is not None:
        if shape is not None:
            raise ValueError("give input_shape or input_dim, not both")
        return (integer("input_dim", dim),)
    if shape is None:
        return None
    if isinstance(shape, str) or not isinstance(shape, Sequence):
        meant = f"({shape},)" if isinstance(shape, int) else "such as (784,)"
        raise TypeError(f"input_shape: expected a tuple {meant}, got {shape!r}")
    if not shape:
        raise ValueError("input_shape: expected the shape of one row such as (784,), got ()")
    return tuple(integer("input_shape", size) for size in shape)


def without_batch(shape: object) -> Shape:
    """The shape of a row, from a shape with the batch axis such as (None, 784)."""
    if isinstance(shape, str) or not isinstance(shape, Sequence) or len(shape) < 2:
        raise ValueError(
            f"input_shape: expected the batch axis, then the shape of a row, such as "
            f"(None, 784), got {shape!r}"
        )
    return tuple(integer("input_shape", size) for size in shape[1:])


# Elements that parameters may still have, in the one entry; None: there is no limit. A file that is
# read gives it, so that words in it cannot ask for more memory than its numbers take.
room: ContextVar[list[int] | None] = ContextVar("room", default=None)


def parameters_for(network: _core.Network, dtype: Dtype) -> _core.Parameters:
    """A buffer for the parameters of a network; MemoryError where a limit leaves no room for it."""
    left = room.get()
    if left is not None:
        left[0] -= network.parameter_size
        if left[0] < 0:
            raise MemoryError("the parameters are larger than those that there are values for")
    return _core.Parameters(network.parameter_size, dtype)


def network_for(shape: Shape, dtype: Dtype, key: int) -> _core.Network:
    """A native network without layers, for input rows of `shape`."""
    width = math.prod(shape)
    if width > _MOST_ELEMENTS:
        raise MemoryError(f"input_shape: no memory for rows of {width} numbers, shape {shape}")
    return _core.Network(width, dtype, key)


def extended(network: _core.Graph, layer: Layer, tensor: int, shape: Shape) -> int:
    """`layer.extend`; MemoryError names the parameters that are too large."""
    try:
        return layer.extend_rows(network, tensor, shape)
    except MemoryError:
        sizes = " and ".join(
            f"a {spec.name} of shape {spec.shape}" for spec in layer.weight_specs(shape)
        )
        raise MemoryError(f"layer {layer.name!r}: no memory for {sizes}") from None


def make_variables(
    layer: Layer,
    path: str,
    shape: Shape,
    places: Sequence[tuple[int, Shape]],
    buffer: _core.Parameters,
    key: int,
    index: int,
) -> list[Variable]:
    """Variables of a layer in `buffer`, with their first values.

    `path`: of the layer. `index` numbers the layers of a model that have parameters; all draw from
    the same key.
    """
    made = []
    for i, (spec, (offset, _)) in enumerate(zip(layer.weight_specs(shape), places, strict=True)):
        place = Place(buffer, offset, spec.shape)
        spec.initializer.fill(place, key, keys.weights_stream(index, i))
        variable = Variable.at(place, spec.name, f"{path}/{spec.name}")
        variable.trainable = layer.trainable and spec.name not in layer.statistics
        variable.regularizer, variable.constraint = spec.regularizer, spec.constraint
        variable.by_number = spec.by_number
        made.append(variable)
    layer.adopt(made)
    return made


def write_all(owner: str, variables: Sequence[Variable], weights: Sequence[ArrayLike]) -> None:
    """Writes the variables, those of a buffer in one native call; all are checked first."""
    if len(weights) != len(variables):
        raise ValueError(f"{owner}: expected {len(variables)} arrays, got {len(weights)}")
    converted = [
        variable.converted(value) for variable, value in zip(variables, weights, strict=True)
    ]
    by_buffer: dict[int, list[tuple[Place, NDArray[Any]]]] = {}
    for variable, value in zip(variables, converted, strict=True):
        place = variable.place
        by_buffer.setdefault(id(place.parameters), []).append((place, value))
    for written in by_buffer.values():
        offsets = [place.offset for place, _ in written]
        written[0][0].parameters.write_all(offsets, [value for _, value in written])
