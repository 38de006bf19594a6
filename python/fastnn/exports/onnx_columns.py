"""The writer of a ColumnEncoding in ONNX: see `exports.onnx`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.exports.graph import Node
from fastnn.exports.onnx_nodes import Nodes
from fastnn.layers.base import Shape
from fastnn.layers.column_parts import Structure
from fastnn.layers.columns import ColumnEncoding

Array = NDArray[Any]


class _Writer:
    """Nodes of one layer; each method returns the name of a value (n, columns)."""

    def __init__(self, to: Nodes, layer: ColumnEncoding, x: str) -> None:
        self.to, self.layer, self.x = to, layer, x
        self.weights = {weight.name: weight.numpy() for weight in layer.weights}

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        return self.to.add(self.layer.name, op, inputs, **attributes)

    def constant(self, name: str, values: Any) -> str:
        array = np.asarray(values, self.to.dtype)
        return self.to.constant(f"{self.layer.name}/{name}", array, self.layer)

    def columns(self, x: str, which: Sequence[int]) -> str:
        return self.add("Gather", x, self.to.sizes(which), axis=1)

    def floats(self, x: str) -> str:
        kind = self.to.onnx.helper.np_dtype_to_tensor_dtype(self.to.dtype)
        return self.add("Cast", x, to=kind)

    def numbers(self, structure: Structure) -> list[str]:
        """Scaled numbers, pieces and gaps, of those that there are."""
        numbers = structure.numbers
        raw = self.columns(self.x, numbers)
        gap = self.add("IsNaN", raw)
        filled = self.add("Where", gap, self.constant("fill", self.weights["fill"]), raw)
        z = self.add("Sub", filled, self.constant("center", self.weights["center"]))
        z = self.add("Mul", z, self.constant("factor", self.weights["factor"]))
        if self.layer.clip is not None:
            # No square of larger ones is a float, and their outputs are the same.
            z = self.add("Min", z, self.constant("most", 1e18))
            z = self.add("Max", z, self.constant("least", -1e18))
            t = self.add("Div", z, self.constant("clip", self.layer.clip))
            one = self.constant("one", 1.0)
            root = self.add("Sqrt", self.add("Add", one, self.add("Mul", t, t)))
            z = self.add("Div", z, root)
        parts = [z]
        if any(structure.bins):
            parts.append(self.pieces(filled, structure))
        told = [k for k, j in enumerate(numbers) if structure.missing[j]]
        if told:
            parts.append(self.columns(self.floats(gap), told))
        return parts

    def pieces(self, filled: str, structure: Structure) -> str:
        sources: list[int] = []
        low: list[float] = []
        high: list[float] = []
        place = 0
        for k, j in enumerate(structure.numbers):
            bins = structure.bins[j]
            own: Any = self.weights["edges"][place : place + bins + 1] if bins else []
            place += len(own)
            sources += [k] * bins
            low += list(own[:-1])
            high += list(own[1:])
        lows, highs = np.array(low), np.array(high)
        width = np.where(highs > lows, highs - lows, 1)  # a piece without one is a step
        x = self.columns(filled, sources)
        share = self.add("Sub", x, self.constant("low", lows))
        share = self.add("Div", share, self.constant("width", width))
        share = self.add("Max", share, self.constant("zero", 0.0))
        above = self.add("GreaterOrEqual", x, self.constant("high", highs))
        return self.add("Where", above, self.constant("one", 1.0), share)

    def known(self, x: str, name: str, levels: Any) -> str:
        """Whether the columns of x are below their numbers of levels, and not negative."""
        low = self.add("GreaterOrEqual", x, self.constant("zero", 0.0))
        return self.add("And", low, self.add("Less", x, self.constant(name, levels)))

    def categories(self, structure: Structure) -> list[str]:
        """A column for each level, one for what is missing and those of two values, in order."""
        levels, tells = structure.levels, structure.missing
        coded = [j for j, count in enumerate(levels) if count]
        signs = [j for j in coded if levels[j] == 2 and not tells[j]]
        hot = [j for j in coded if j not in signs]
        told = [j for j in hot if tells[j]]
        parts: list[str] = []
        places: dict[tuple[int, int], int] = {}  # of a column and a level among all parts
        if hot:
            pairs = [(j, level) for j in hot for level in range(levels[j])]
            places = {pair: i for i, pair in enumerate(pairs)}
            codes = self.columns(self.x, [j for j, _ in pairs])
            level = self.constant("levels", [level for _, level in pairs])
            parts.append(self.floats(self.add("Equal", codes, level)))
        if told:
            places |= {(j, levels[j]): len(places) + i for i, j in enumerate(told)}
            known = self.known(self.columns(self.x, told), "told", [levels[j] for j in told])
            parts.append(self.floats(self.add("Not", known)))
        if signs:
            places |= {(j, 0): len(places) + i for i, j in enumerate(signs)}
            codes = self.columns(self.x, signs)
            two = self.constant("two", 2.0)
            sign = self.add("Sub", self.add("Mul", codes, two), self.constant("one", 1.0))
            known = self.known(codes, "two", 2.0)
            parts.append(self.add("Where", known, sign, self.constant("zero", 0.0)))
        wanted = [
            places[j, level]
            for j in coded
            for level in range(levels[j] + 1)
            if (j, level) in places
        ]
        joined = parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=1)
        return [joined if wanted == sorted(wanted) else self.columns(joined, wanted)]


def encoding(to: Nodes, layer: ColumnEncoding, x: list[str], shapes: list[Shape], _: Node) -> str:
    structure = layer.structure(shapes[0][0])
    writer = _Writer(to, layer, x[0])
    parts = writer.numbers(structure) if structure.numbers else []
    if any(structure.levels):
        parts += writer.categories(structure)
    made = parts[0] if len(parts) == 1 else writer.add("Concat", *parts, axis=1)
    # By this `from_onnx` knows what the nodes are together.
    told = {**structure._asdict(), "clip": layer.clip, "dtype": str(to.dtype)}
    to.nodes[-1].doc_string = json.dumps({"ColumnEncoding": told})
    return made
