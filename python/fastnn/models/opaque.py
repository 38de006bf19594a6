"""Opaque calls: layers and models in a functional model whose `call` is no graph of layers.

Such a call is one node. A model that has one is no native network: it makes its calls one by one, on
Tensors, and trains over the tape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn import calling
from fastnn.autodiff.quiet import quiet
from fastnn.autodiff.tensor import Tensor
from fastnn.data.structures import form_of
from fastnn.layers.base import Layer, Shape
from fastnn.layers.shape import Input, InputLayer
from fastnn.layers.symbol import ModelCall, Opaque, Symbol
from fastnn.variables import Variable

_PROBED_ROWS = 2


class Rows(NamedTuple):
    """What a call gets in place of rows of this shape."""

    shape: tuple[int, ...]
    dtype: str | None = None  # of integers; None: floats

    def entry(self) -> Symbol:
        """An Input of such rows."""
        return Input(self.shape, dtype=self.dtype)


def rows_like(symbol: Symbol) -> Rows:
    """Such rows as a symbol stands for."""
    return Rows(symbol.row_shape, None if symbol.dtype.startswith("float") else symbol.dtype)


class Slot(NamedTuple):
    """The place of a Tensor in the arguments of a call: its number."""

    number: int


class Step(NamedTuple):
    """A call of a layer or a model."""

    part: Any
    args: tuple[Any, ...]  # with Slots where it takes Tensors
    options: dict[str, Any]
    first: int  # the number of its first output; others follow
    shapes: tuple[Shape, ...]  # of a row of each output
    names: tuple[str, ...] | None  # of outputs in a dictionary; None: they are in a list, or one


class Steps(NamedTuple):
    """The calls of a functional model, in an order in which inputs come first."""

    entries: tuple[InputLayer, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    why: str  # it is no graph of layers

    @property
    def parts(self) -> list[Any]:
        """The layers and models, each once."""
        return list({id(step.part): step.part for step in self.steps}.values())

    @property
    def output_shapes(self) -> list[Shape]:
        """The shape of a row of each output."""
        shapes: list[Shape] = [entry.given_shape or () for entry in self.entries]
        for step in self.steps:
            shapes += step.shapes
        return [shapes[number] for number in self.outputs]

    def run(self, inputs: Sequence[Any], training: bool) -> list[Any]:
        """The outputs for Tensors, or for symbols."""
        found: list[Any] = list(inputs)
        for step in self.steps:
            args, options = _filled(step, found)
            y = step.part(*args, **{"training": training, **options})
            found += [y] if len(step.shapes) == 1 and step.names is None else _leaves(step, y)
        return [found[number] for number in self.outputs]

    def draw(self) -> list[Symbol]:
        """New symbols of all Tensors."""
        found = [Symbol(entry, (), entry.given_shape or ()) for entry in self.entries]
        for step in self.steps:
            args, options = _filled(step, found)
            y = step.part(*args, **options)
            found += [y] if isinstance(y, Symbol) else _leaves(step, y)
        return found

    def maker(self, number: int) -> Any:
        """The layer or model that makes a Tensor; None: it is an input."""
        last = [step for step in self.steps if step.first <= number]
        return last[-1].part if last else None

    def ends_of(self, step: Step, symbols: Sequence[Any]) -> tuple[Any, Any]:
        """What a call takes, and what it makes, of the symbols of all Tensors."""
        args, options = _filled(step, symbols)
        given = [
            arg for arg in (*args, *options.values()) if any(True for _ in found_in(arg, Symbol))
        ]
        made = list(symbols[step.first : step.first + len(step.shapes)])
        if step.names is not None:
            return given, dict(zip(step.names, made, strict=True))
        return given[0] if len(given) == 1 else given, made[0] if len(made) == 1 else made


def _filled(step: Step, found: Sequence[Any]) -> Any:
    """The arguments of a step, with what was found so far."""
    return replaced((step.args, step.options), Slot, lambda slot: found[slot.number])


def _leaves(step: Step, y: Any) -> list[Any]:
    return list(y) if step.names is None else [y[name] for name in step.names]


def steps_of(inputs: Sequence[Symbol], outputs: Sequence[Symbol], why: str) -> Steps:
    """The calls that make the outputs of the inputs.

    Raises:
        ValueError: an output is made of an input that is not among them.
    """
    numbers: dict[object, int] = {}
    for number, symbol in enumerate(inputs):
        numbers[_key(symbol)] = number
    count = len(inputs)
    steps: list[Step] = []
    waiting = list(reversed(outputs))
    while waiting:  # no recursion: chains may be longer than the stack
        symbol = waiting[-1]
        if _key(symbol) in numbers:
            waiting.pop()
            continue
        if not symbol.inputs:
            raise ValueError(
                f"outputs: they are made of the input {symbol.name!r}, which is not among the inputs"
            )
        missing = [part for part in reversed(symbol.inputs) if _key(part) not in numbers]
        if missing:
            waiting += missing
            continue
        step, keys = _step(symbol, numbers, count)
        steps.append(step)
        for i, key in enumerate(keys):
            numbers[key] = count + i
        count += len(step.shapes)
    entries = tuple(symbol.layer for symbol in inputs)
    return Steps(entries, tuple(steps), tuple(numbers[_key(symbol)] for symbol in outputs), why)


def _step(symbol: Symbol, numbers: dict[object, int], count: int) -> tuple[Step, list[object]]:
    """The call that makes a symbol, and the keys of its outputs."""
    slots = [Slot(numbers[_key(part)]) for part in symbol.inputs]
    if symbol.made_by is None:
        layer = symbol.layer
        args = (slots,) if layer.merges else (slots[0],)
        return Step(layer, args, {}, count, (symbol.row_shape,), None), [_key(symbol)]
    call, _ = symbol.made_by
    if call.opaque is not None:
        given = (call.opaque.args, call.opaque.options)
        args, options = replaced(given, Symbol, lambda s: Slot(numbers[_key(s)]))
        form, shapes = call.opaque.form
        keys: list[object] = [(id(call), i) for i in range(len(shapes))]
        names = form.names if form.kind is dict else None
        return Step(call.model, args, options, count, shapes, names), keys
    form = call.state.form
    last = len(call.state.inputs or (0,)) + len(call.state.calls) - 1
    ends = [last] if form.kind is None else list(call.state.calls[-1].inputs)
    one: Any = slots[0]
    given_names = call.model._input_names
    if isinstance(given_names, list):
        one = dict(zip(given_names, slots, strict=True))
    elif len(slots) > 1 or given_names is not None:
        one = list(slots)
    found = _shapes_of(call, ends)
    options = {} if call.drops else {"training": False}
    names = form.names if form.kind is dict else None
    return Step(call.model, (one,), options, count, found, names), [(id(call), i) for i in ends]


def _shapes_of(call: ModelCall, ends: Sequence[int]) -> tuple[Shape, ...]:
    from fastnn.models.graph import shapes_of

    shapes = tuple(symbol.row_shape for symbol in call.inputs)
    through = shapes_of(call.state.layers, call.state.calls, shapes)
    return tuple(through[i] for i in ends)


def _key(symbol: Symbol) -> object:
    """Equal for symbols of one Tensor."""
    made_by = symbol.made_by
    return id(symbol) if made_by is None else (id(made_by[0]), made_by[1])


# -- structures of arguments


def replaced(structure: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    """The structure with `function` of each object of this kind in it."""
    if isinstance(structure, kind):
        return function(structure)
    if isinstance(structure, (list, tuple)):
        made = [replaced(part, kind, function) for part in structure]
        return tuple(made) if isinstance(structure, tuple) else made
    if isinstance(structure, dict):
        return {name: replaced(part, kind, function) for name, part in structure.items()}
    return structure


def found_in(structure: Any, kind: type) -> Iterator[Any]:
    """The objects of this kind in a structure."""
    if isinstance(structure, kind):
        yield structure
    elif isinstance(structure, (list, tuple)):
        for part in structure:
            yield from found_in(part, kind)
    elif isinstance(structure, dict):
        for part in structure.values():
            yield from found_in(part, kind)


# -- drawing


def called_opaquely(
    part: Any, args: tuple[Any, ...], options: dict[str, Any], why: str, dtype: str
) -> Any:
    """The symbol, or the structure of several, of such a call of a layer or model.

    What it gives is found by a call on a few rows of zeros, which leaves Variables as they were.
    """
    symbols = tuple(found_in((args, options), Symbol))
    y = part._output_rows(args, options)
    if y is None:
        y = _probed(part, args, options, dtype)
    form = form_of(y)
    leaves = form.leaves(y)
    shapes = tuple(_row_shape(part, leaf) for leaf in leaves)
    opaque = Opaque(why, args, options, (form, shapes))
    call = ModelCall(part, None, symbols, True, opaque)
    made = [
        Symbol(part, symbols, shape, made_by=(call, number), dtype=_kind(leaf))
        for number, (shape, leaf) in enumerate(zip(shapes, leaves, strict=True))
    ]
    return form.like(made)


def _row_shape(part: Any, y: Any) -> Shape:
    if not isinstance(y, Tensor):
        raise TypeError(f"{part.name}: `call`: expected Tensors, got {y!r:.200}")
    if y.ndim == 0 or len(y) != _PROBED_ROWS:
        raise ValueError(
            f"{part.name}: `call`: expected rows, with the batch axis first, got shape {y.shape} for "
            f"{_PROBED_ROWS} rows"
        )
    return y.shape[1:] or (1,)


def _kind(y: Tensor) -> str:
    """The type of a symbol for rows of such a Tensor."""
    return "float32" if y.dtype.kind == "f" else y.dtype.name


def rows_of_zeros(shape: Sequence[Any]) -> Tensor:
    """A few rows of a shape that has the batch axis first."""
    return Tensor(np.zeros((_PROBED_ROWS, *map(int, shape[1:])), np.float32))


@quiet
def _probed(part: Any, args: tuple[Any, ...], options: dict[str, Any], dtype: str) -> Any:
    """The outputs for a few rows of zeros."""

    def zeros(symbol: Symbol) -> Tensor:
        kind = dtype if symbol.dtype.startswith("float") else symbol.dtype
        return Tensor(np.zeros((_PROBED_ROWS, *symbol.row_shape), kind))

    args, options = replaced((args, options), Symbol, zeros)
    inside = calling.now().inside(False, False)._replace(tracing=False)
    with calling.entered(inside) as lock, lock:
        return calling.trial(lambda: part(*args, **{"training": False, **options}))


def give_paths(parts: Sequence[Any], home: Any) -> None:
    """Names the Variables that its native network does not have by where they are in a model."""
    for part in parts:
        if part.home is home:
            _give_paths(part, f"{home.name}/{part.name}", None)


def _give_paths(part: Any, path: str, within: Any) -> None:
    if isinstance(part, Layer):
        for variable in part.variables if part.owner in (None, within) else ():
            variable.lies_at(f"{path}/{variable.name}")
        return
    for variable in part._own_parts():
        if isinstance(variable, Variable):
            variable.lies_at(f"{path}/{variable.name}")
    for name, inner in part.named_parts():
        if inner.home in (None, part):
            _give_paths(inner, f"{path}/{name}", part)


def convert(parts: Sequence[Any], dtype: str) -> None:
    """Gives the type of a model to layers that were built before it was made, and asked for none."""
    for part in parts:
        if isinstance(part, Layer):
            if part.owner is None and part.compute_dtype is None:
                part.dtype = dtype
                _convert(part.variables, dtype)
        elif not part.keeps_graph and part._given_dtype is None:
            part._made_dtype = dtype
            own = list(part._own_parts())
            _convert([one for one in own if isinstance(one, Variable)], dtype)
            convert([one for one in own if not isinstance(one, Variable)], dtype)


def _convert(variables: Sequence[Variable], dtype: str) -> None:
    for variable in variables:
        if variable.dtype != dtype:
            variable.becomes(dtype)


def build_before(symbols: Sequence[Symbol]) -> bool:
    """Builds layers that make these symbols, as far as they are not built; whether there was one."""
    found: list[Symbol] = []
    waiting, seen = list(symbols), set()
    while waiting:
        symbol = waiting.pop()
        if id(symbol) not in seen:
            seen.add(id(symbol))
            waiting += symbol.inputs
            layer = symbol.layer
            if isinstance(layer, Layer) and not layer.built and layer.has_parameters:
                found.append(symbol)
    for symbol in reversed(found):
        shapes: Any = [one.shape for one in symbol.inputs]
        symbol.layer.build(shapes if symbol.layer.merges else shapes[0])
    return bool(found)


def built_parts(steps: Steps) -> None:
    """Builds the layers that are not built yet: their inputs are known."""
    shapes: list[Shape] = [entry.given_shape or () for entry in steps.entries]
    for step in steps.steps:
        if isinstance(step.part, Layer) and not step.part.built:
            given: Any = [(None, *shapes[slot.number]) for slot in found_in(step.args, Slot)]
            step.part.build(given if step.part.merges else given[0])
        shapes += step.shapes
