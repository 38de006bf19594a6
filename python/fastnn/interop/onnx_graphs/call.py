"""A call of an operation, as readers of nodes see it: inputs that are terms or constants, and options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.interop.onnx_graphs.file import Node
from fastnn.interop.onnx_graphs.terms import BATCH, Term, Terms
from fastnn.interop.parts import Array

Value = Term | Array


class Call:
    """A node with its inputs.

    Attributes:
        node: with its attributes.
        inputs: terms, arrays, or None where one is left out.
        terms: makes terms.
        opset: of the file.
        batch: the number of rows that the file fixes; None: it is open.
    """

    def __init__(
        self,
        node: Node,
        inputs: Sequence[Value | None],
        terms: Terms,
        opset: int,
        batch: int | None,
    ) -> None:
        self.node = node
        self.inputs = list(inputs)
        self.terms = terms
        self.opset = opset
        self.batch = batch
        self._left = dict(node.attributes)

    def refusal(self, why: str) -> ValueError:
        """The error for a node that fastnn has no form of."""
        return ValueError(f"{self.node.label}: {why}")

    # -- attributes

    def option(self, name: str, default: Any, kind: type | tuple[type, ...]) -> Any:
        """An attribute of the node."""
        value = self._left.pop(name, default)
        if value is not default and not isinstance(value, kind):
            raise self.refusal(f"attribute {name!r}: expected {_named(kind)}, got {value!r}")
        return value

    def number(self, name: str, default: float) -> float:
        """A number among the attributes: of those that float32 rounds to it, the shortest one."""
        given = self.option(name, default, (int, float))
        value = given if given == default else float(str(np.float32(given)))
        if not np.isfinite(value):
            raise self.refusal(f"attribute {name!r}: expected a finite number, got {value}")
        return value

    def integer(self, name: str, default: int) -> int:
        """An integer among the attributes."""
        return int(self.option(name, default, int))

    def ignore(self, *names: str) -> None:
        """Attributes that change nothing in prediction."""
        for name in names:
            self._left.pop(name, None)

    def finish(self) -> None:
        """ValueError for an attribute that no reader took: it may change what the node computes."""
        for name, value in self._left.items():
            text = repr(value)
            raise self.refusal(
                f"the attribute {name}={text if len(text) <= 40 else '...'} is not in fastnn"
            )

    # -- inputs

    def count(self, least: int, most: int | None = None) -> None:
        """ValueError unless there are so many inputs, the first `least` of them given."""
        given = len(self.inputs)
        wrong = given < least or given > (least if most is None else most)
        if wrong or any(value is None for value in self.inputs[:least]):
            wanted = str(least) if most in (None, least) else f"{least} to {most}"
            raise self.refusal(f"expected {wanted} inputs, got {given}")

    def at(self, i: int) -> Value | None:
        """An input; None: it is left out."""
        return self.inputs[i] if i < len(self.inputs) else None

    def rows(self, i: int, *, floats: bool = True) -> Term:
        """An input that must depend on rows."""
        value = self.at(i)
        if not isinstance(value, Term):
            raise self.refusal(
                f"input {i}: expected a value with rows, got "
                f"{'none' if value is None else 'a constant'}"
            )
        if floats and value.kind != "f":
            raise self.refusal(
                f"input {i}: it computes with integers; fastnn computes with floats, after a Cast"
            )
        return value

    def constant(self, i: int, what: str) -> Array:
        """An input that must be a constant."""
        value = self.at(i)
        if not isinstance(value, np.ndarray):
            raise self.refusal(
                f"input {i}: expected {what} that is a constant, got "
                f"{'none' if value is None else 'a value that depends on rows'}"
            )
        return value

    def floats(self, i: int, what: str) -> Array:
        """An input that must be a constant of floats."""
        value = self.constant(i, what)
        if value.dtype.kind not in "fiu":
            raise self.refusal(f"input {i}: expected numbers, got {value.dtype}")
        if not np.isfinite(value).all():
            raise self.refusal(f"input {i}: {what} has numbers that are not finite")
        return value

    def sizes(self, i: int, what: str) -> list[Any]:
        """A constant of integers as a list, in which BATCH may stand."""
        value = self.constant(i, what)
        listed = value.reshape(-1).tolist()
        if value.ndim > 1 or not all(n is BATCH or type(n) is int for n in listed):
            raise self.refusal(f"input {i}: expected {what} of integers, got {value!r}")
        return listed

    def axes(self, i: int, *, first: int) -> list[int] | None:
        """The axes of Squeeze, Unsqueeze and reductions: an input since opset `first`."""
        if self.opset < first:
            given = self.option("axes", None, list)
        elif self.at(i) is None:
            given = None
        else:
            given = self.sizes(i, "axes")
        if given is not None and not all(type(axis) is int for axis in given):
            raise self.refusal(f"expected axes, got {given}")
        return None if given is None else list(given)


def _named(kind: type | tuple[type, ...]) -> str:
    return " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
