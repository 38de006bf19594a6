"""Terms as symbols that layers make, with the weights that the layers get."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.activation_words import rows, word
from fastnn.interop.onnx_graphs.single import NAMED, NUMBERED, SCALES, SINGLE, normalization
from fastnn.interop.onnx_graphs.terms import Shape, Term, Terms
from fastnn.interop.parts import Array, at
from fastnn.layers.activation import ELU, Activation, LeakyReLU
from fastnn.layers.base import Layer
from fastnn.layers.batch import BatchNormalization
from fastnn.layers.dense import Dense
from fastnn.layers.merge import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from fastnn.layers.scaling import Rescaling
from fastnn.layers.shape import Flatten, Reshape
from fastnn.layers.slicing import Slice
from fastnn.layers.symbol import Symbol

# Numbers of a kernel of ones, for sums along some axes of a row.
_MOST_SUMMED = 2**22
# Offsets of columns that are brought to a spread of about 1: with larger ones a sum of products in
# float32 has fewer than six digits.
_MOST_SHIFT = 16.0
# Operations that are activations; their options are parameters.
_WORDS = {name: name for name in (*rows(), "softmax", "log_softmax", "glu")} | {
    "exp": "exponential"
}
_MERGES = {
    "add": Add,
    "subtract": Subtract,
    "multiply": Multiply,
    "maximum": Maximum,
    "minimum": Minimum,
    "average": Average,
}


class _Plan(NamedTuple):
    """How a term is made: of these terms, by this function of their symbols."""

    inputs: tuple[Term, ...]
    make: Callable[[list[Any]], Any]


class Lowering:
    """Makes layers of the terms that outputs need.

    Attributes:
        weights: of layers that have some, in the order in which they are made.
    """

    def __init__(
        self,
        terms: Terms,
        outputs: Sequence[Term],
        inputs: Mapping[Term, Symbol],
        names: Mapping[int, str],
    ) -> None:
        """`names`: of constants, by their id."""
        self.weights: dict[Layer, list[Array]] = {}
        self._terms = terms
        self._names = names
        self._made: dict[Term, Symbol] = dict(inputs)
        self._layers: dict[Any, Layer] = {}
        self._taken: set[str] = {symbol.layer.name for symbol in inputs.values()}
        self._uses: dict[Term, int] = {}
        self._products: dict[int, int] = {}  # how many terms multiply by a kernel
        self._count(outputs)

    def _count(self, outputs: Sequence[Term]) -> None:
        seen: set[Term] = set()
        stack = list(outputs)
        for output in outputs:
            self._uses[output] = self._uses.get(output, 0) + 1
        while stack:
            term = stack.pop()
            if term in seen:
                continue
            seen.add(term)
            if term.op == "matmul":
                kernel = id(term.options["kernel"])
                self._products[kernel] = self._products.get(kernel, 0) + 1
            for part in term.inputs:
                self._uses[part] = self._uses.get(part, 0) + 1
                stack.append(part)

    def symbol(self, output: Term) -> Symbol:
        """The symbol of a term.

        Raises:
            ValueError: fastnn has no layer for an operation; the message names its node.
        """
        stack: list[tuple[Term, _Plan | None]] = [(output, None)]
        while stack:
            term, plan = stack.pop()
            if term in self._made:
                continue
            with at(term.where) if term.where else at("the graph"):
                if plan is None:
                    plan = self._plan(term)
                missing = [part for part in plan.inputs if part not in self._made]
                if missing:
                    stack.append((term, plan))
                    stack += [(part, None) for part in missing]
                    continue
                self._made[term] = plan.make([self._made[part] for part in plan.inputs])
        return self._made[output]

    # -- plans

    def _plan(self, term: Term) -> _Plan:
        op = term.op
        fused = self._fused(term)
        if fused is not None:
            return fused
        if op in _MERGES:
            return _Plan(term.inputs, lambda x: _MERGES[op]()(x))
        if op == "concat":
            return _Plan(term.inputs, Concatenate(term.options["axis"] + 1))
        if op in ("affine", "matmul", *SCALES):
            return self._linear(term, None)
        if op in SINGLE:
            return self._single(term)
        if op in ("mean", "sum"):
            return self._reduced(term)
        if op == "parts":
            return self._parts(term)
        if op == "reshape":
            return _Plan(term.inputs, lambda x: _shaped(x[0], term.shape))
        if op == "floats":
            return _Plan(term.inputs, lambda x: x[0])
        if op == "integers":
            raise ValueError("it makes integers, with which fastnn does not compute")
        if op == "abs":
            return _Plan(term.inputs, lambda x: Maximum()([x[0], Rescaling(-1.0)(x[0])]))
        layer = _activation(term)
        if layer is None and op in ("at_least", "at_most"):
            return self._limit(term)
        if layer is None:
            raise ValueError("fastnn has no layer for it, and it is no part of a function it has")
        return _Plan(term.inputs, lambda x: layer(x[0]))

    def _fused(self, term: Term) -> _Plan | None:
        """A Dense with an activation, where all else leaves its product alone."""
        activation = _activation(term)
        if activation is None or term.op == "glu" or self._uses[term.inputs[0]] != 1:
            return None
        base, _, _ = self._chain(term.inputs[0])
        if base.op != "matmul" or (base is not term.inputs[0] and self._uses[base] != 1):
            return None
        if self._products[id(base.options["kernel"])] != 1:
            return None
        return self._linear(term.inputs[0], activation.activation)

    def _chain(self, term: Term) -> tuple[Term, Array | None, Array | None]:
        """The term under products and sums with constants, and these as one: x * scale + shift."""
        steps = []
        first = term
        while term.op == "affine" and (term is first or self._uses[term] == 1):
            steps.append(term)
            (term,) = term.inputs
        scale: Array | None = None
        shift: Array | None = None
        for step in reversed(steps):
            if step.scale is not None:
                scale = self._joined(np.multiply, scale, step.scale)
                shift = None if shift is None else self._joined(np.multiply, shift, step.scale)
            if step.shift is not None:
                shift = self._joined(np.add, shift, step.shift)
        return term, scale, shift

    def _joined(self, function: np.ufunc, a: Array | None, b: Array) -> Array:
        if a is None:
            return b
        wide = a.astype(np.float64)
        return self._terms.once(function.__name__, [a, b], lambda: function(wide, b))

    def _linear(self, term: Term, activation: str | None) -> _Plan:
        base, scale, shift = self._chain(term)
        if base is term or self._uses[base] == 1:
            if base.op == "matmul":
                return self._dense(base, scale, shift, activation)
            if base.op in SCALES:
                return self._normalization(base, scale, shift)
        return self._affine(base, scale, shift)

    def _dense(
        self, product: Term, scale: Array | None, shift: Array | None, activation: str | None
    ) -> _Plan:
        """A Dense; constants of each column before it and after it become a part of its weights."""
        kernel: Array = product.options["kernel"]
        x, before, ahead = self._peeled(product.inputs[0])
        units = kernel.shape[1]
        key = ("dense", *map(id, (kernel, scale, shift, before, ahead)), activation)
        if key not in self._layers:
            bias = None if shift is None else np.broadcast_to(shift, (units,))
            wide = kernel
            if ahead is not None:
                added = (ahead @ kernel.astype(np.float64)) * (1.0 if scale is None else scale)
                bias = added if bias is None else bias + added
            if before is not None:
                wide = wide * before.astype(np.float64)[:, None]
            if scale is not None:
                wide = wide * scale.astype(np.float64)
            layer = Dense(
                units, activation, use_bias=bias is not None, name=self._name(kernel, "kernel")
            )
            self._layers[key] = layer
            self.weights[layer] = [wide] if bias is None else [wide, bias]
        known = self._layers[key]
        return _Plan((x,), lambda parts: known(_shaped(parts[0], (kernel.shape[0],))))

    def _peeled(self, x: Term) -> tuple[Term, Array | None, Array | None]:
        """The term under constants of each column, which are returned as (columns,)."""
        inner = x.inputs[0] if x.op == "reshape" else x
        if inner.op != "affine":
            return x, None, None
        base, scale, shift = self._chain(inner)
        if base.op in ("matmul", *SCALES) and self._uses[base] == 1:
            return x, None, None  # a layer with these weights
        if all(part is None or part.size == 1 for part in (scale, shift)):
            return x, None, None
        if shift is not None and np.abs(shift).max() > _MOST_SHIFT:
            base, scale, shift = self._after_first(inner)
        spread = [
            None
            if part is None
            else self._terms.once(
                f"columns {inner.shape}",
                [part],
                lambda part=part: np.broadcast_to(part, inner.shape).reshape(-1).astype(np.float64),
            )
            for part in (scale, shift)
        ]
        return self._terms.reshape(base, x.shape), spread[0], spread[1]

    def _after_first(self, term: Term) -> tuple[Term, Array | None, Array | None]:
        """As `_chain`, without the first of several steps, as x - mean in (x - mean) / spread.

        x / spread - mean / spread cancels digits that x - mean does not.
        """
        first = term
        while first.inputs[0].op == "affine" and self._uses[first.inputs[0]] == 1:
            (first,) = first.inputs
        if first is term:
            return self._chain(term)
        self._uses[first] += 1  # which ends the chain there
        return self._chain(term)

    def _single(self, term: Term) -> _Plan:
        """A term that one layer makes; terms with the same constants have the same layer."""
        key = (term.op, *(id(v) if isinstance(v, np.ndarray) else v for v in term.options.values()))
        inputs = term.inputs
        if term.op in NUMBERED:
            inputs = (_whole_numbers(self._terms, term.inputs[0]),)
        if key not in self._layers:
            option, word = NAMED.get(term.op, ("", ""))
            constant = term.options[option] if option else None
            name = None if constant is None else self._name(constant, word)
            made = SINGLE[term.op](term, name)
            if not made.weights:
                return _Plan(inputs, lambda x: _called(made.layer, made.takes, x[0], term.shape))
            self._layers[key] = made.layer
            self.weights[made.layer] = made.weights
        known, takes = self._layers[key], term.inputs[0].shape or (1,)
        return _Plan(inputs, lambda x: _called(known, takes, x[0], term.shape))

    def _normalization(self, base: Term, scale: Array | None, shift: Array | None) -> _Plan:
        key = (base.op, id(scale), id(shift), *base.options.values())
        if key not in self._layers:
            name = None if scale is None else self._name(scale, SCALES[base.op])
            made = normalization(base, scale, shift, name)
            self._layers[key] = made.layer
            self.weights[made.layer] = made.weights
        known = self._layers[key]
        if base.op != "rms_normalize" or shift is None:
            return _Plan(base.inputs, lambda x: known(x[0]))
        after = self._columns(None, shift, base.shape)
        return _Plan(base.inputs, lambda x: after(known(x[0])))

    def _affine(self, base: Term, scale: Array | None, shift: Array | None) -> _Plan:
        a, b = _number(scale, 1.0), _number(shift, 0.0)
        if a is not None and b is not None:
            if (a, b) == (1.0, 0.0):
                return _Plan((base,), lambda x: x[0])
            return _Plan((base,), lambda x: Rescaling(a, b)(x[0]))
        layer, size = self._columns(scale, shift, base.shape), base.size
        return _Plan((base,), lambda x: _called(layer, (size,), x[0], base.shape))

    def _columns(self, scale: Array | None, shift: Array | None, shape: Shape) -> Layer:
        """A scale and an offset of each column: constants of the file, which training leaves alone."""
        layer = BatchNormalization(epsilon=0.0, trainable=False)
        parts = [
            np.broadcast_to(default if part is None else part, shape).reshape(-1)
            for part, default in ((scale, 1.0), (shift, 0.0))
        ]
        self.weights[layer] = [*parts, np.zeros_like(parts[0]), np.ones_like(parts[0])]
        return layer

    def _reduced(self, term: Term) -> _Plan:
        """The sum or mean of a row along some axes, as a product with ones."""
        (x,) = term.inputs
        axes = term.options["axes"]
        taken = math.prod(x.shape[axis] for axis in axes)
        if x.size * term.size > _MOST_SUMMED:
            raise ValueError(
                f"fastnn has sums along some axes of a row as a product with ones, which for rows of "
                f"shape {x.shape} would have {x.size * term.size} of them"
            )
        places = np.arange(x.size).reshape(x.shape)
        ones = np.zeros((x.size, term.size))
        to = np.broadcast_to(np.arange(term.size).reshape(term.shape), x.shape)
        ones[places.reshape(-1), to.reshape(-1)] = 1.0 if term.op == "sum" else 1 / taken
        layer = Dense(term.size, use_bias=False, trainable=False)
        self.weights[layer] = [ones]
        return _Plan((x,), lambda parts: _called(layer, (x.size,), parts[0], term.shape))

    def _parts(self, term: Term) -> _Plan:
        """Some of the numbers of a row: a Slice, or a product with a kernel of ones and zeros."""
        (x,) = term.inputs
        axis, places = term.options["axis"], list(term.options["places"])
        together = places == list(range(places[0], places[0] + len(places)))
        if (
            places[0] >= 0
            and math.prod(x.shape[:axis]) == 1
            and together
            and len(term.shape) == len(x.shape)
        ):
            part = Slice(places[0], len(places))
            return _Plan((x,), lambda x_: _called(part, x.shape[axis:], x_[0], term.shape))
        if x.size * term.size > _MOST_SUMMED:
            raise ValueError(
                f"fastnn has parts of rows as a product with ones, which for rows of shape {x.shape} "
                f"would have {x.size * term.size} numbers"
            )
        taken = (
            np.arange(x.size).reshape(x.shape).take(term.options["places"], term.options["axis"])
        )
        ones = np.zeros((x.size, term.size))
        ones[taken.reshape(-1), np.arange(term.size)] = 1.0
        layer = Dense(term.size, use_bias=False, trainable=False)
        self.weights[layer] = [ones]
        return _Plan((x,), lambda parts: _called(layer, (x.size,), parts[0], term.shape))

    def _limit(self, term: Term) -> _Plan:
        """The larger, or the smaller, of rows and a number."""
        number = term.options["number"]
        merging = Maximum if term.op == "at_least" else Minimum
        return _Plan(term.inputs, lambda x: merging()([x[0], Rescaling(0.0, number)(x[0])]))

    def _name(self, array: Array, word: str) -> str | None:
        """The name of a layer from that of its weights, "name/kernel" or "name.weight"."""
        given = self._names.get(id(self._terms.source(array)), "")
        for end in (f"/{word}", ".weight"):
            name = given.removesuffix(end).replace("/", "_")
            plain = name and not name.replace(".", "").isdigit() and name not in self._taken
            if given.endswith(end) and plain:
                self._taken.add(name)
                return name
        return None


def _number(array: Array | None, default: float) -> float | None:
    """The number that all of a constant is; None: it has several."""
    if array is None:
        return default
    first = float(array.reshape(-1)[0])
    return first if bool(np.all(array == first)) else None


def _shaped(x: Any, shape: Shape) -> Any:
    """Rows of another shape; a row without axes is one of a single number."""
    wanted = shape or (1,)
    if x.row_shape == wanted:
        return x
    assert math.prod(x.row_shape) == math.prod(wanted)
    return Flatten()(x) if len(wanted) == 1 else Reshape(wanted)(x)


def _called(layer: Layer, takes: Shape, x: Any, shape: Shape) -> Any:
    """The layer's rows of a shape, for x as rows of the shape that it takes."""
    return _shaped(layer(_shaped(x, takes)), shape)


def _whole_numbers(terms: Terms, ids: Term) -> Term:
    """Rows of whole numbers without the casts that make them integers: layers take any type."""
    if ids.op == "reshape":
        return terms.reshape(_whole_numbers(terms, ids.inputs[0]), ids.shape)
    return ids.inputs[0] if ids.op == "integers" else ids


def _activation(term: Term) -> Activation | None:
    """The layer of an activation, or None for another operation."""
    if term.op == "at_least" and term.options["number"] == 0:
        return Activation("relu")
    if term.op == "leaky_relu":
        return LeakyReLU(term.options["number"])
    if term.op == "elu":
        return ELU(term.options["number"])
    if term.op in _WORDS:
        return Activation(word(_WORDS[term.op], **term.options))
    return None
