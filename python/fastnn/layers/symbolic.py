"""What functions and operators make of symbols: the layer that computes the same, if native code has
one, and an Operation of the function elsewhere.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn import activation_words
from fastnn.autodiff import arranging, derived, drawing, making
from fastnn.autodiff import functions as f
from fastnn.autodiff.numpy_functions import give_to
from fastnn.autodiff.quiet import OfSymbols, holds
from fastnn.autodiff.tensor import Tensor
from fastnn.calling import Untraceable
from fastnn.layers.activation import Activation
from fastnn.layers.merge import Add, Concatenate, Maximum, Merge, Minimum, Multiply, Subtract
from fastnn.layers.operation import drawn, names
from fastnn.layers.scaling import Rescaling
from fastnn.layers.shape import Permute, Reshape
from fastnn.layers.slicing import Slice
from fastnn.layers.symbol import Symbol
from fastnn.variables import Variable
from fastnn.words import name_of

# By function: what it makes of its arguments by name; None: no layer is the same.
_forms: dict[Callable[..., Any], Callable[..., Any]] = {}


def _form(
    *functions: Callable[..., Any],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(form: Callable[..., Any]) -> Callable[..., Any]:
        _forms.update(dict.fromkeys(functions, form))
        return form

    return add


_INSTEAD: dict[Callable[..., Any], str] = {
    drawing.dropout: "use a layers.Dropout",
    drawing.shuffle: "shuffle in the function of a layers.Lambda",
}


def of_symbols(function: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]) -> Any:
    """What a function of `fastnn.math` gives for arguments that symbols are among.

    Raises:
        Untraceable: it is no function of symbols, or a Variable is among the arguments; a `call` is
            being traced, and no layer computes the same.
        ValueError: the symbols do not fit.
    """
    if holds((args, given), Variable):
        raise Untraceable(
            f"{function.__name__}: a Variable beside a symbol: a functional model has the weights of its "
            "layers alone, and would neither train nor save it. Make it a weight of a class derived "
            "from layers.Layer, by add_weight, and use it in the `call` of that"
        )
    arguments = inspect.signature(function).bind(*args, **given).arguments
    form = _forms.get(function)
    if form is not None:
        made = form(**arguments)
        if made is not None:
            return made
    if function in _INSTEAD:
        raise Untraceable(
            f"{function.__name__} of a symbol draws at once, and not in each step: {_INSTEAD[function]}"
        )
    if function not in names():
        raise Untraceable(
            f"{name_of(function)}: a symbol has no numbers to compute with, and this is no function "
            "of rows; a layers.Lambda, or the `call` of a class derived from layers.Layer, gets Tensors"
        )
    return drawn(function, arguments)


OfSymbols.kind, OfSymbols.apply = Symbol, staticmethod(of_symbols)
give_to(Symbol)


# -- arithmetic ------------------------------------------------------------------------------------


def _number(value: Any) -> float | None:
    """A finite number that is given as one, or in an array without axes."""
    if isinstance(value, (bool, np.bool_, str, Symbol, list, tuple)) or value is None:
        return None
    array = value.value if isinstance(value, Tensor) else np.asarray(value)
    if array.ndim or array.dtype.kind not in "fiu":
        return None
    found = float(array)
    return found if math.isfinite(found) else None


def _floats(*symbols: Any) -> bool:
    return all(isinstance(s, Symbol) and s.dtype.startswith("float") for s in symbols)


def _made(layer: Any, inputs: Any) -> Any:
    """The symbol of a layer; None where it does not take the shapes."""
    shapes = [s.row_shape for s in inputs] if isinstance(inputs, list) else inputs.row_shape
    try:
        layer.row_shape(shapes)
    except ValueError:
        return None
    return layer(inputs)


def _merged(merging: type[Merge], parts: Sequence[Any]) -> Any:
    """A merging layer of symbols whose result has the shape that NumPy's broadcasting gives."""
    if not _floats(*parts) or len({part.ndim for part in parts}) > 1:
        return None
    return _made(merging(), list(parts))


@_form(f.add)
def _add(a: Any, b: Any) -> Any:
    if not isinstance(a, Symbol):
        a, b = b, a
    shift = _number(b)
    if shift is not None and _floats(a):
        return Rescaling(1.0, shift)(a)
    return _merged(Add, [a, b])


@_form(f.subtract)
def _subtract(a: Any, b: Any) -> Any:
    left, right = _number(a), _number(b)
    if right is not None and _floats(a):
        return Rescaling(1.0, -right)(a)
    if left is not None and _floats(b):
        return _add(_negative(b), left)
    return _merged(Subtract, [a, b])


@_form(f.multiply)
def _multiply(a: Any, b: Any) -> Any:
    if not isinstance(a, Symbol):
        a, b = b, a
    scale = _number(b)
    if scale is not None and _floats(a):
        return Rescaling(scale)(a)
    return _merged(Multiply, [a, b])


@_form(f.divide)
def _divide(a: Any, b: Any) -> Any:
    divisor = _number(b)
    if not divisor or not math.isfinite(1.0 / divisor) or not _floats(a):
        return None
    return Rescaling(1.0 / divisor)(a)


@_form(f.negative)
def _negative(x: Any) -> Any:
    return Rescaling(-1.0)(x) if _floats(x) else None


@_form(f.square)
def _square(x: Any) -> Any:
    return _merged(Multiply, [x, x])


@_form(f.power)
def _power(a: Any, b: Any) -> Any:
    return _square(a) if _number(b) == 2.0 else None


@_form(f.maximum)
def _maximum(a: Any, b: Any) -> Any:
    return _merged(Maximum, [a, b])


@_form(f.minimum)
def _minimum(a: Any, b: Any) -> Any:
    return _merged(Minimum, [a, b])


@_form(derived.add_n)
def _add_n(inputs: Any) -> Any:
    parts = list(inputs)
    alike = _floats(*parts) and len({part.row_shape for part in parts}) == 1
    return _made(Add(), parts) if alike and len(parts) <= 64 else None


# -- activations -----------------------------------------------------------------------------------


def _activated(x: Any, word: str) -> Any:
    return _made(Activation(word), x) if _floats(x) and x.row_shape else None


def _of_word(word: str) -> Callable[..., Any]:
    return lambda x: _activated(x, word)


for _function, _word in (
    (f.exp, "exponential"),
    (f.relu, "relu"),
    (f.sigmoid, "sigmoid"),
    (f.silu, "silu"),
    (f.sin, "sine"),
    (f.softplus, "softplus"),
    (f.tanh, "tanh"),
    (derived.elu, "elu"),
    (derived.log_sigmoid, "log_sigmoid"),
    (derived.relu6, "relu6"),
    (derived.selu, "selu"),
    (derived.softsign, "softsign"),
):
    _forms[_function] = _of_word(_word)


@_form(f.gelu)
def _gelu(x: Any, approximate: bool = False) -> Any:
    return _activated(x, activation_words.word("gelu", approximate=approximate))


@_form(derived.leaky_relu)
def _leaky_relu(x: Any, alpha: float = 0.2) -> Any:
    slope = _number(alpha)
    if slope is None or slope < 0:
        return None
    return _activated(x, activation_words.word("leaky_relu", negative_slope=slope))


@_form(f.softmax)
def _softmax(x: Any, axis: int = -1) -> Any:
    return _activated(x, "softmax") if isinstance(x, Symbol) and axis in (-1, x.ndim - 1) else None


@_form(f.log_softmax)
def _log_softmax(x: Any, axis: int = -1) -> Any:
    last = isinstance(x, Symbol) and axis in (-1, x.ndim - 1)
    return _activated(x, "log_softmax") if last else None


# -- arrangement -----------------------------------------------------------------------------------


@_form(f.identity, f.convert_to_tensor)
def _same(x: Any = None, value: Any = None, dtype: Any = None) -> Any:
    x = value if x is None else x
    if not isinstance(x, Symbol):
        return None
    return x if dtype is None or np.dtype(dtype).name == x.dtype else f.cast(x, dtype)


@_form(f.cast)
def _cast(x: Any, dtype: Any) -> Any:
    return x if np.dtype(dtype).name == x.dtype else None


@_form(making.shape)
def _shape(x: Symbol) -> Any:
    return x.shape


@_form(making.rank)
def _rank(x: Symbol) -> Any:
    return x.ndim


@_form(f.concat)
def _concat(values: Any, axis: int = 0) -> Any:
    parts = list(values)
    if not all(isinstance(part, Symbol) for part in parts) or axis == 0:
        return None
    return _made(Concatenate(axis), parts)


@_form(f.stack)
def _stack(values: Any, axis: int = 0) -> Any:
    parts = list(values)
    if not all(isinstance(part, Symbol) and part.row_shape for part in parts):
        return None
    shape = parts[0].row_shape
    if axis not in (1, -1 - len(shape)) or any(part.row_shape != shape for part in parts):
        return None
    return Reshape((len(parts), *shape))(Concatenate(1)(parts))


@_form(f.tile)
def _tile(x: Any, multiples: Any) -> Any:
    times = list(multiples) if isinstance(multiples, (list, tuple)) else []
    if not _symbol_of(x, 1) or len(times) != 2 or times[0] != 1 or not 1 <= times[1] <= 64:
        return None
    return Concatenate(1)([x] * int(times[1]))


def _symbol_of(x: Any, axes: int) -> bool:
    return isinstance(x, Symbol) and len(x.row_shape) >= axes


def _reshaped(x: Symbol, shape: Sequence[int]) -> Any:
    """Rows in another shape; None where they have no axes."""
    if not shape or not x.row_shape:
        return None
    return x if tuple(shape) == x.row_shape else _made(Reshape(tuple(shape)), x)


@_form(f.reshape)
def _reshape(x: Any, shape: Any) -> Any:
    if not isinstance(x, Symbol) or not isinstance(shape, (list, tuple)) or len(shape) < 2:
        return None
    sizes = [-1 if n is None else int(n) for n in shape[1:]]
    size = math.prod(x.row_shape)
    if shape[0] is None:  # the number of rows, as `shape` gives it
        known = math.prod(n for n in sizes if n != -1)
        sizes = [size // max(known, 1) if n == -1 else n for n in sizes]
        if math.prod(sizes) != size:
            raise ValueError(
                f"reshape: rows of shape {x.row_shape} have {size} numbers, got {shape}"
            )
    elif int(shape[0]) != -1 or -1 in sizes or math.prod(sizes) != size:
        return None
    found = _reshaped(x, sizes)
    return f.reshape(x, (-1, *sizes)) if found is None and shape[0] is None else found


@_form(f.expand_dims)
def _expand_dims(x: Any, axis: int) -> Any:
    place = axis + x.ndim + 1 if axis < 0 else axis
    if not 1 <= place <= x.ndim:
        return None
    shape = list(x.row_shape)
    return _reshaped(x, [*shape[: place - 1], 1, *shape[place - 1 :]])


@_form(f.squeeze)
def _squeeze(x: Any, axis: Any = None) -> Any:
    axes = range(1, x.ndim) if axis is None else np.atleast_1d(axis).tolist()
    places = {n + x.ndim if n < 0 else n for n in axes}
    if axis is None:
        places = {n for n in places if x.row_shape[n - 1] == 1}
        if len(places) == len(x.row_shape):
            return f.reshape(x, (-1,)) if x.row_shape else x
    if not all(1 <= n < x.ndim and x.row_shape[n - 1] == 1 for n in places):
        return None
    kept = [n for i, n in enumerate(x.row_shape, 1) if i not in places]
    return _reshaped(x, kept)


@_form(f.transpose)
def _transpose(x: Any, perm: Any = None) -> Any:
    order = (
        [] if perm is None else [n + x.ndim if n < 0 else n for n in np.atleast_1d(perm).tolist()]
    )
    if not order or order[0] != 0 or len(order) != x.ndim or not 2 <= x.ndim <= 5:
        return None
    return _made(Permute(order[1:]), x) if sorted(order) == list(range(x.ndim)) else None


# -- parts -----------------------------------------------------------------------------------------


@_form(f.getitem)
def _getitem(x: Any, index: Any) -> Any:
    if not isinstance(x, Symbol) or not x.row_shape:
        return None
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(part is Ellipsis for part in parts):
        place = next(i for i, part in enumerate(parts) if part is Ellipsis)
        new = sum(part is None for part in parts)
        whole = x.ndim - (len(parts) - 1 - new)
        parts[place : place + 1] = [slice(None)] * max(whole, 0)
    if not all(part is None or isinstance(part, (int, np.integer, slice)) for part in parts):
        return None
    if None in parts:
        return _with_new_axes(x, parts)
    parts += [slice(None)] * (x.ndim - len(parts))
    if len(parts) != x.ndim or not _all(parts[0]):
        return None
    if not all(map(_all, parts[2:])):
        if isinstance(parts[1], slice) or len(x.row_shape) < 2:
            return None
        first = _sliced(x, parts[1])
        return None if first is None else first[(slice(None), *parts[2:])]
    return x if _all(parts[1]) else _sliced(x, parts[1])


def _with_new_axes(x: Symbol, parts: Sequence[Any]) -> Any:
    """x at an index that None is a part of."""
    made: Any = x[tuple(part for part in parts if part is not None)]
    place = 0
    for part in parts:
        if part is None:
            if place == 0:
                return None
            made = f.expand_dims(made, place)
        place += part is None or isinstance(part, slice)
    return made


def _all(part: Any) -> bool:
    return isinstance(part, slice) and part in (slice(None), slice(0, None), slice(None, None, 1))


def _sliced(x: Symbol, part: Any) -> Any:
    """x[:, part]; None where native code has no such slices."""
    length = x.row_shape[0]
    if isinstance(part, slice):
        try:
            begin, end, step = part.indices(length)
        except TypeError:  # symbols, or Tensors
            return None
        return Slice(begin, end - begin)(x) if step == 1 and end > begin else None
    if isinstance(part, (bool, np.bool_)) or not isinstance(part, (int, np.integer)):
        return None
    place = int(part) + length if part < 0 else int(part)
    if not 0 <= place < length or len(x.row_shape) < 2:
        return None
    return Reshape(x.row_shape[1:])(Slice(place, 1)(x))


@_form(f.unstack)
def _unstack(x: Any, axis: int = 0) -> Any:
    place = axis + x.ndim if axis < 0 else axis
    if not 1 <= place < x.ndim:
        raise Untraceable(
            f"unstack: axis {axis} of a symbol of shape {x.shape}: it must be an axis of rows"
        )
    before = (slice(None),) * place
    return [x[(*before, i)] for i in range(x.row_shape[place - 1])]


@_form(arranging.split)
def _split(value: Any, num_or_size_splits: Any, axis: int = 0) -> Any:
    x = value
    place = axis + x.ndim if axis < 0 else axis
    if not 1 <= place < x.ndim:
        raise Untraceable(
            f"split: axis {axis} of a symbol of shape {x.shape}: it must be an axis of rows"
        )
    whole = Tensor(np.arange(x.row_shape[place - 1]))
    parts = [part.value for part in arranging.split(whole, num_or_size_splits)]
    before = (slice(None),) * place
    return [x[(*before, slice(int(p[0]), int(p[-1]) + 1))] for p in parts]


@_form(derived.moments)
def _moments(x: Any, axes: Any, keepdims: bool = False) -> Any:
    return f.reduce_mean(x, axes, keepdims), f.reduce_variance(x, axes, keepdims)
