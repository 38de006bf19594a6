"""Terms: the values of a graph that depend on rows, as expressions.

Equal expressions are one term, so that rules compare by identity. Products and sums with constants
are all of one kind, `affine`, and Relu, Clip, Max and Min with a number are `at_least` and `at_most`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.interop.parts import Array

Shape = tuple[int, ...]
BATCH = type("Batch", (), {"__repr__": lambda _: "batch"})()  # the number of rows, among sizes


class Term:
    """A value with one entry for each row.

    Attributes:
        op: what makes it.
        inputs: terms.
        shape: of the entry of a row; () for a value (batch,).
        kind: the NumPy kind of its numbers: "f", "i", "u" or "b".
        options: further arguments by name; arrays are compared by identity.
        where: the node that makes it, for messages.
    """

    __slots__ = ("inputs", "kind", "op", "options", "shape", "where")

    def __init__(
        self,
        op: str,
        inputs: tuple[Term, ...],
        shape: Shape,
        kind: str,
        options: dict[str, Any],
        where: str,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.shape = shape
        self.kind = kind
        self.options = options
        self.where = where

    @property
    def size(self) -> int:
        """Numbers of a row."""
        return math.prod(self.shape)

    @property
    def scale(self) -> Array | None:
        """Of an affine term: what rows are multiplied by, if anything."""
        scale: Array | None = self.options["scale"]
        return scale

    @property
    def shift(self) -> Array | None:
        """Of an affine term: what is added, if anything."""
        shift: Array | None = self.options["shift"]
        return shift


class Terms:
    """Makes terms, each once."""

    def __init__(self) -> None:
        self._known: dict[Any, Term] = {}
        self._arrays: dict[Any, tuple[Any, ...]] = {}
        self._sources: dict[int, Array] = {}
        self.where = ""  # the node that terms are made for

    def make(
        self, op: str, inputs: Sequence[Term], shape: Shape, kind: str = "f", **options: Any
    ) -> Term:
        """The term of an operation."""
        values = tuple(
            (name, id(value) if isinstance(value, np.ndarray) else value)
            for name, value in sorted(options.items())
        )
        key = (op, tuple(map(id, inputs)), shape, kind, values)
        if key not in self._known:
            self._known[key] = Term(op, tuple(inputs), shape, kind, options, self.where)
        return self._known[key]

    def once(self, what: str, arrays: Sequence[Any], make: Any) -> Array:
        """What `make` makes of constants, the same array for the same ones."""
        key = (what, *map(id, arrays))
        if key not in self._arrays:
            made = make()
            self._arrays[key] = (made, arrays)  # kept, so that no other array gets their ids
            if arrays and made is not arrays[0]:
                self._sources.setdefault(id(made), arrays[0])
        array: Array = self._arrays[key][0]
        return array

    def source(self, array: Array) -> Array:
        """The constant that `once` made another one of, at the root."""
        for _ in range(len(self._arrays)):
            made_of = self._sources.get(id(array))
            if made_of is None:
                break
            array = made_of
        return array

    # -- canonical forms

    def affine(self, x: Term, scale: Array | None = None, shift: Array | None = None) -> Term:
        """x * scale + shift; each is None or broadcasts to the shape of a row."""
        if scale is None and shift is None:
            return x
        return self.make("affine", (x,), x.shape, scale=scale, shift=shift)

    def times(self, x: Term, number: float) -> Term:
        """x times a number."""
        return self.affine(x, scale=self.number(number))

    def plus(self, x: Term, number: float) -> Term:
        """x plus a number."""
        return self.affine(x, shift=self.number(number))

    def number(self, value: float) -> Array:
        """A number as a constant without axes, the same array for the same number."""
        key = ("number", value)
        if key not in self._arrays:
            self._arrays[key] = (np.array(value, np.float64),)
        array: Array = self._arrays[key][0]
        return array

    def at_least(self, x: Term, number: float) -> Term:
        """The larger of x and a number."""
        return self.make("at_least", (x,), x.shape, number=number)

    def at_most(self, x: Term, number: float) -> Term:
        """The smaller of x and a number."""
        return self.make("at_most", (x,), x.shape, number=number)

    def unary(self, op: str, x: Term, **options: Any) -> Term:
        """A function of each number, or of each row, that keeps the shape."""
        return self.make(op, (x,), x.shape, **options)

    def reshape(self, x: Term, shape: Shape) -> Term:
        """Rows of another shape with the same numbers."""
        while x.op == "reshape":
            (x,) = x.inputs
        return x if x.shape == shape else self.make("reshape", (x,), shape, x.kind)

    def product(self, x: Term, kernel: Array) -> Term:
        """x @ kernel, with rows of one axis."""
        return self.make("matmul", (x,), (kernel.shape[1],), kernel=kernel)


def orders(term: Term) -> tuple[tuple[Term, Term], tuple[Term, Term]]:
    """The two inputs, in both orders."""
    a, b = term.inputs
    return (a, b), (b, a)


def scalar_affine(term: Term) -> tuple[Term, float, float]:
    """The term under products and sums with single numbers, and both in one: x * a + b."""
    a, b = 1.0, 0.0
    while term.op == "affine":
        scale, shift = term.scale, term.shift
        if any(part is not None and part.size != 1 for part in (scale, shift)):
            break
        if shift is not None:
            b += a * float(shift.reshape(()))
        if scale is not None:
            a *= float(scale.reshape(()))
        (term,) = term.inputs
    return term, a, b
