"""Operation: a function of `fastnn.math` and the like as a layer, with the constants it was given.

Which functions have a layer of their own, that is native, is in `symbolic`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Unpack

import numpy as np

from fastnn import calling
from fastnn.autodiff import arranging, derived, renamed
from fastnn.autodiff import functions as f
from fastnn.autodiff.quiet import quiet
from fastnn.autodiff.tensor import Tensor
from fastnn.autodiff.tensor import borrowed as as_tensor
from fastnn.changes import Change, forget_former
from fastnn.data.structures import form_of
from fastnn.layers.base import COMMON, LAYERS, Common, Layer, Shape, room
from fastnn.layers.constants import Given, mapped, read, told
from fastnn.layers.symbol import ModelCall, Opaque, Symbol, any_symbols
from fastnn.registry import Checked
from fastnn.words import choose, integer, keywords

# Numbers of rows by which the shape of what a function gives is found.
_PROBED = (2, 3)

# Names of Keras for functions that have others here; layers of functions are named by them.
_OF_KERAS = {
    "abs": "absolute",
    "clip_by_value": "clip",
    "concat": "concatenate",
    "divide": "true_divide",
    "floordiv": "floor_divide",
    "floormod": "mod",
    "getitem": "get_item",
    "is_finite": "isfinite",
    "is_inf": "isinf",
    "is_nan": "isnan",
    "reduce_all": "all",
    "reduce_any": "any",
    "reduce_logsumexp": "logsumexp",
    "reduce_max": "max",
    "reduce_mean": "mean",
    "reduce_min": "min",
    "reduce_prod": "prod",
    "reduce_std": "std",
    "reduce_sum": "sum",
    "reduce_variance": "var",
    "reverse": "flip",
    "slice_of": "slice",
}
# Functions that make Tensors of numbers alone, or find what no symbol tells.
_NOT_OF_SYMBOLS = frozenset(
    {"boolean_mask", "confusion_matrix", "constant", "global_norm", "ones", "reduce_shape", "zeros"}
)


@functools.cache
def functions() -> dict[str, Callable[..., Any]]:
    """The functions that an Operation may be of, by name."""
    found: dict[str, Callable[..., Any]] = {}
    for prefix, module in (("", f), ("", derived), ("", arranging), ("tf.", renamed)):
        home = None if module is f else module.__name__
        for name, function in vars(module).items():
            if name.startswith("_") or name in _NOT_OF_SYMBOLS or not inspect.isfunction(function):
                continue
            of_operations = function.__module__.startswith("fastnn.autodiff.")
            if of_operations and home in (None, function.__module__):
                found[prefix + name] = function
    return found


@functools.cache
def names() -> dict[Callable[..., Any], str]:
    """The names of these functions."""
    found: dict[Callable[..., Any], str] = {}
    for name, function in functions().items():
        found.setdefault(function, name)
    return found


@functools.cache
def _parameters(name: str) -> tuple[str, ...]:
    return tuple(inspect.signature(functions()[name]).parameters)


def _function(argument: str, value: Any) -> str:
    if callable(value):
        name = names().get(value)
        if name is None:
            raise ValueError(
                f"{argument}: expected a function of fastnn.math, got {value!r}; layers.Lambda takes "
                "any function"
            )
        return name
    by_keras = {theirs: ours for ours, theirs in _OF_KERAS.items()}
    known = {**by_keras, **{name: name for name in functions()}}
    found: str = choose(argument, value, known)
    return found


class _Arguments(Checked[dict[str, Any]]):
    """The constants, whose names must be those of the function's arguments."""

    def checked(self, holder: Any, value: Any) -> dict[str, Any]:
        if value is not None and not isinstance(value, Mapping):
            raise TypeError(
                f"{self.name}: expected a dictionary of names to constants, got {value!r}"
            )
        found = dict(value or {})
        for name in found:
            taken = {one: one for one in _parameters(holder.function)}
            choose(f"{self.name} of {holder.function}", name, taken)
        return {name: told(f"{holder.function}: {name}", one) for name, one in found.items()}


def _unchecked(_argument: str, value: Any) -> Any:
    return value


class _Parsed(NamedTuple):
    """The arguments of a function."""

    given: dict[str, Any]  # by name, as the function takes them, with Given in place of inputs
    inputs: tuple[Given, ...]


@LAYERS.register("operation")
class Operation(Layer):
    """A function of `fastnn.math`, `fastnn.nn` or `keras.ops` as a layer, with constants.

        >>> fastnn.layers.Operation("mean", {"axis": 1})([[1.0, 3.0], [2.0, 6.0]]).tolist()
        [2.0, 4.0]

    Functions and operators make such layers of symbols, where no other layer computes the same:

        >>> x = fastnn.Input((4,))
        >>> model = fastnn.Model(x, fastnn.math.sqrt(x) + 1)
        >>> [layer.name for layer in model.layers]
        ['sqrt', 'rescaling']

    A model that has one trains batch by batch over a tape, as with a `Lambda`. Files hold the name of
    the function and the constants. The layer has no weights: a Variable is for a class derived from
    `fastnn.layers.Layer`.

    Args:
        function: the function, or its name.
        arguments: its constants by name: numbers, words, arrays of at most 4096 numbers, slices,
            lists and tuples of them. {"input": 0} stands for the first input, {"input": 1} for the
            second; without any of them the input is the function's first argument.

    Raises:
        ValueError: the function is unknown, or does not take an argument.
    """

    function = Checked(_function)
    arguments = _Arguments(_unchecked)

    @keywords(*COMMON)
    def __init__(
        self,
        function: str | Callable[..., Any],
        arguments: Mapping[str, Any] | None = None,
        **common: Unpack[Common],
    ) -> None:
        self.function = function
        super().__init__(**common)
        self.arguments = arguments
        self._parsed()

    # What `_parsed` found, of which function and arguments.
    _kept: tuple[str, dict[str, Any], _Parsed] | None = None

    def _parsed(self) -> _Parsed:
        kept = self._kept
        if kept is None or kept[0] != self.function or kept[1] is not self.arguments:
            self._kept = kept = self.function, self.arguments, self._read()
        return kept[2]

    def _read(self) -> _Parsed:
        taken = _parameters(self.function)
        given = {n: read(f"{self.function}: {n}", one) for n, one in self.arguments.items()}
        found: dict[int, Given] = {}
        mapped(given, Given, lambda one: found.setdefault(one.number, one))
        if not found:
            given = {taken[0]: Given(0), **given}
        elif sorted(found) != list(range(len(found))):
            raise ValueError(f"arguments: expected inputs 0, 1, ..., got {sorted(found)}")
        return _Parsed(given, tuple(found[i] for i in sorted(found)) or (Given(0),))

    @property
    def _inputs(self) -> tuple[Given, ...]:
        return self._parsed().inputs

    @property
    def kind_name(self) -> str:
        name = self.function.removeprefix("tf.")
        return _OF_KERAS.get(name, name)

    @property
    def merges(self) -> bool:  # type: ignore[override]
        return len(self._inputs) > 1

    @property
    def opaque(self) -> str | None:
        return f"the function {self.kind_name!r} has no form in native code"

    # -- on numbers

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:  # noqa: ARG002
        """What the function makes of Tensors or arrays, a list where it takes several.

        Raises:
            ValueError: they do not fit the function.
        """
        if any_symbols(inputs):
            return self._drawn(inputs)
        tensors = [as_tensor(part) for part in self._several(inputs)]
        y = self._result(list(tensors))
        if not self.built and all(x.ndim for x in tensors):
            rows = tuple(x.shape[1:] for x in tensors)
            self._stand_for(rows if self.merges else rows[0], form_of(y).leaves(y)[0].shape[1:])
        return y

    def call(self, x: Any, _training: bool = False) -> Any:
        return self(x)

    def _several(self, inputs: Any) -> list[Any]:
        if not self.merges:
            return [inputs]
        if not isinstance(inputs, (list, tuple)) or len(inputs) != len(self._inputs):
            raise TypeError(
                f"layer {self.name!r}: expected a list of {len(self._inputs)} inputs, got "
                f"{inputs!r:.100}"
            )
        return list(inputs)

    def _result(self, tensors: list[Tensor]) -> Any:
        for i, (x, given) in enumerate(zip(tensors, self._inputs, strict=True)):
            if (
                given.dtype is not None and x.dtype.name != given.dtype
            ):  # `fit` converts x to floats
                tensors[i] = f.cast(x, given.dtype)
        floats = next((x.dtype for x in tensors if x.dtype.kind == "f"), np.dtype(np.float32))

        def constant(array: Any) -> Any:
            return array.astype(floats) if array.dtype.kind == "f" else array

        given = mapped(self._parsed().given, Given, lambda one: tensors[one.number])
        return functions()[self.function](**mapped(given, np.ndarray, constant))

    # -- on symbols

    def _drawn(self, inputs: Any) -> Any:
        symbols = tuple(self._several(inputs))
        for symbol in symbols:
            if not isinstance(symbol, Symbol):
                raise TypeError(f"layer {self.name!r}: expected symbols, got {symbol!r:.100}")
        why = self.opaque
        assert why is not None
        if calling.now().tracing:
            raise calling.Untraceable(why)
        y = self._probed(tuple(symbol.row_shape for symbol in symbols), [s.dtype for s in symbols])
        form = form_of(y)
        leaves = form.leaves(y)
        shapes = tuple(leaf.shape[1:] for leaf in leaves)
        args = (list(symbols) if self.merges else symbols[0],)
        call = ModelCall(self, None, symbols, True, Opaque(why, args, {}, (form, shapes)))
        made = [
            Symbol(self, symbols, leaf.shape[1:], made_by=(call, i), dtype=leaf.dtype.name)
            for i, leaf in enumerate(leaves)
        ]
        named: Any = type(y)
        return named(*made) if hasattr(named, "_fields") else form.like(made)

    @quiet
    def _probed(self, shapes: Sequence[Shape], dtypes: Sequence[str]) -> Any:
        """What the function gives for a few rows of zeros of such shapes.

        Raises:
            ValueError: it does not take them, or does not give a row for each row.
        """
        found = []
        for rows in _PROBED:
            zeros = [Tensor(np.zeros((rows, *s), t)) for s, t in zip(shapes, dtypes, strict=True)]
            try:
                y = self._result(zeros)
            except (ValueError, IndexError, TypeError) as error:
                listed = " and ".join(str((None, *shape)) for shape in shapes)
                raise type(error)(
                    f"{self.kind_name}: of symbols of shape {listed}: {error}"
                ) from error
            found.append([y, form_of(y).leaves(y)])
        for first, second in zip(found[0][1], found[1][1], strict=True):
            sizes = [one.shape[:1] for one in (first, second)]
            if sizes != [(n,) for n in _PROBED] or first.shape[1:] != second.shape[1:]:
                raise ValueError(
                    f"{self.kind_name}: it gives shape {first.shape} for {_PROBED[0]} rows, and "
                    f"{second.shape} for {_PROBED[1]}; a function of symbols must give one row for "
                    "each row. Leave axis 0, that of the rows, as it is, or compute what mixes rows "
                    "in a function of a layers.Lambda"
                )
        return found[0][0]

    def row_shape(self, shape: Any) -> Shape:
        """The shape of an output row, of several outputs the first, for an input row, or for several."""
        shapes = tuple(shape) if self.merges else (shape,)
        y = self._probed(shapes, [given.dtype or "float32" for given in self._inputs])
        leaf: Any = form_of(y).leaves(y)[0]
        made: Shape = leaf.shape[1:]
        return made

    @property
    def input_shape(self) -> Any:
        """(None, ...), or a list of such of several inputs; AttributeError before it is built."""
        rows: Any = self._built_rows()[0]
        return [(None, *row) for row in rows] if self.merges else (None, *rows)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """(None, ...), of several outputs that of the first; AttributeError before it is built."""
        return (None, *self.row_shape(self._built_rows()[0]))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The output's shape for an input's shape, or for a list of them."""
        first = input_shape[0] if self.merges else input_shape
        return (first[0], *self.row_shape(self._rows(input_shape)))

    def build(self, input_shape: Any) -> None:
        """Checks that the function takes inputs of this shape (None, ...), or of these in a list."""
        if self.built:
            return
        rows = self._rows(input_shape)
        # What a file says could ask for any memory: there the first call tells whether it fits.
        self._stand_for(rows, self.row_shape(rows) if room.get() is None else ())

    def _stand_for(self, rows: Any, output: Shape) -> None:
        """Keeps the shapes of the inputs' rows, and of the output's."""
        change = Change("build")
        with change, change.lock:
            self.claim(change)
            switch = self.stand(change, rows=(rows, output))
            change.settled = True
            forget_former([switch])

    def _rows(self, shapes: Any) -> Any:
        if not isinstance(shapes, Sequence) or not shapes:
            raise ValueError(f"layer {self.name!r}: expected a shape (None, ...), got {shapes!r}")
        if not self.merges:
            return tuple(integer("input_shape", size) for size in shapes[1:])
        return tuple(
            tuple(integer("input_shape", n) for n in shape[1:]) for shape in self._several(shapes)
        )


def drawn(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """The symbol, or the structure of several, of a function of arguments that symbols are among."""
    symbols: list[Symbol] = []

    def place(symbol: Symbol) -> Given:
        number = next((i for i, one in enumerate(symbols) if one is symbol), len(symbols))
        if number == len(symbols):
            symbols.append(symbol)
        return Given(number, None if symbol.dtype.startswith("float") else symbol.dtype)

    placed = mapped(dict(given), Symbol, place)
    layer = Operation(function, placed)
    return layer._drawn(symbols if layer.merges else symbols[0])
