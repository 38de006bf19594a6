"""A whole estimator of tables in the format ONNX: columns, members and what their answers become.

The nodes of a member are those of its model (`exports.onnx`), after raw columns that are made here as
`data.encoding` makes them; sums over members are taken in float64, as in the estimator.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.data.encoding import MOST, Encoding
from fastnn.exports.onnx import OPSET, checked_opset, written
from fastnn.exports.onnx_nodes import Nodes
from fastnn.extras import needed
from fastnn.models.exported import graph_of
from fastnn.sklearn.tabular.members import Member
from fastnn.sklearn.tabular.temperature import TINY

Array = NDArray[Any]

_TABLE = "x"  # the input of a table without names
_ML_OPSET = 2  # of ai.onnx.ml, which has LabelEncoder
_DAY_SECONDS = 86400.0


class Exported:
    """A model of ONNX under way. Values of answers are in float64.

    Args:
        encoding: of the columns.
        members: networks, which take raw columns.
        outputs: names that are kept for outputs, whatever columns are called.
        opset: the version of the operations.
    """

    def __init__(
        self,
        encoding: Encoding,
        members: Sequence[Member],
        outputs: Sequence[str],
        opset: int = OPSET,
    ) -> None:
        self.onnx = needed("onnx", "export_onnx", "onnx")
        self.opset = checked_opset(self.onnx, opset)
        self.encoding, self.members = encoding, list(members)
        graphs = [graph_of(member.model, "export_onnx") for member in self.members]
        self.to = Nodes(self.onnx, graphs[0], self.opset)
        self._kept = {self.to.name(name) for name in outputs}
        self.inputs: list[Any] = []
        self.told: list[dict[str, Any]] = []  # of the columns, for the metadata
        self.outputs: list[Any] = []
        sources = self._sources()
        raw = self._raw_columns(sources)
        self.answers = [
            self.double(written(self.to, graph, [raw])[graph.outputs[0].tensor]) for graph in graphs
        ]

    # -- nodes

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """A node beside those of members; returns the name of its output."""
        return self.to.add("table", op, inputs, **attributes)

    def constant(self, values: Any) -> str:
        """The name of a constant in float64, or of whole numbers or texts as they are."""
        array = np.asarray(values)
        if array.dtype.kind in "fb":
            array = array.astype(np.float64)
        name = self.to.name("table/constant")
        self.to.constants[name] = array
        return name

    def double(self, value: str) -> str:
        return self.add("Cast", value, to=self.onnx.TensorProto.DOUBLE)

    def floor_of(self, value: str, divisor: float) -> str:
        return self.add("Floor", self.add("Div", value, self.constant(divisor)))

    # -- columns of the table

    def _sources(self) -> list[str]:
        """The values (n, 1) of the columns, of texts or in float64. Their inputs are one for each, or one
        for all columns of a table of numbers without names."""
        kinds = [source.kind for source in self.encoding.sources]
        if self.encoding.named or "category" in kinds:
            return [self._input(source.name, source.kind) for source in self.encoding.sources]
        name = self.to.name(_TABLE)
        self._declare(name, self.onnx.TensorProto.DOUBLE, len(kinds))
        found = []
        for i, source in enumerate(self.encoding.sources):
            self.told.append({"name": source.name, "kind": source.kind, "input": name})
            found.append(self.add("Gather", name, self.constant(np.array([i])), axis=1))
        return found

    def _input(self, column: str, kind: str) -> str:
        """An input of the name of the column, if that can be one."""
        usable = column and column.isprintable()
        name = self.to.name(column if usable else f"column_{len(self.inputs)}")
        types = self.onnx.TensorProto
        self._declare(name, types.STRING if kind == "category" else types.DOUBLE, 1)
        self.told.append({"name": column, "kind": kind, "input": name})
        return name

    def _declare(self, name: str, kind: int, width: int) -> None:
        info = self.onnx.helper.make_tensor_value_info(name, kind, ["batch", width])
        self.inputs.append(info)

    # -- raw columns

    def _raw_columns(self, sources: Sequence[str]) -> str:
        """Raw columns (n, columns) in float32."""
        found = []
        for i, (source, part) in enumerate(self.encoding.columns):
            own = self.encoding.sources[source]
            if own.kind == "category":
                value = self._codes(sources[source], own.levels)
            elif own.kind == "empty":
                value = self.add("Mul", sources[source], self.constant(np.nan))
            elif own.kind == "boolean":
                value = self._boolean(sources[source])
            else:
                value = self._part_of(sources[source], part)
            if i < len(self.encoding.numbers):
                value = self.add("Sub", value, self.constant(self.encoding.numbers[i].center))
                # Min and Max of ONNX Runtime may lose a gap.
                clipped = self.add("Min", value, self.constant(MOST))
                clipped = self.add("Max", clipped, self.constant(-MOST))
                value = self.add("Where", self.add("IsNaN", value), value, clipped)
            found.append(value)
        joined = found[0] if len(found) == 1 else self.add("Concat", *found, axis=1)
        return self.add("Cast", joined, to=self.onnx.TensorProto.FLOAT)

    def _codes(self, texts: str, levels: Sequence[str]) -> str:
        """The numbers of levels; NaN for all other texts."""
        # What UTF-8 has not cannot be in a file of ONNX, and no program can ask for it.
        kept = {level: float(i) for i, level in enumerate(levels) if _is_utf8(level)}
        kept = kept or {"": float("nan")}
        made = self.add(
            "LabelEncoder",
            texts,
            domain="ai.onnx.ml",
            keys_strings=list(kept),
            values_floats=list(kept.values()),
            default_float=float("nan"),
        )
        return self.double(made)

    def _boolean(self, value: str) -> str:
        """0 and 1; NaN for all other numbers."""
        zero, one, gap = (self.constant(number) for number in (0.0, 1.0, np.nan))
        known = self.add("Or", self.add("Equal", value, zero), self.add("Equal", value, one))
        return self.add("Where", known, value, gap)

    def _part_of(self, seconds: str, part: str) -> str:
        """A part of dates, as `data.encoding` has it; days of the calendar by Hinnant's algorithm
        (https://howardhinnant.github.io/date_algorithms.html)."""
        if part == "value":
            return seconds
        whole = self.add("Floor", seconds)
        days = self.floor_of(whole, _DAY_SECONDS)
        if part == "hour":
            rest = self.add("Sub", whole, self.add("Mul", days, self.constant(_DAY_SECONDS)))
            return self.add("Div", rest, self.constant(3600.0))
        if part == "weekday":
            return self._modulo(self.add("Add", days, self.constant(3.0)), 7.0)
        z = self._modulo(self.add("Add", days, self.constant(719468.0)), 146097.0)
        leaps = self.add("Sub", self.floor_of(z, 36524.0), self.floor_of(z, 1460.0))
        leaps = self.add("Sub", leaps, self.floor_of(z, 146096.0))
        year = self.floor_of(self.add("Add", z, leaps), 365.0)
        before = self.add("Sub", self.floor_of(year, 4.0), self.floor_of(year, 100.0))
        before = self.add("Add", before, self.add("Mul", year, self.constant(365.0)))
        of_year = self.add("Sub", z, before)  # from March on
        five = self.add("Mul", of_year, self.constant(5.0))
        month = self.floor_of(self.add("Add", five, self.constant(2.0)), 153.0)
        if part == "month":  # 0 is January
            return self._modulo(self.add("Add", month, self.constant(2.0)), 12.0)
        days_before = self.add("Mul", month, self.constant(153.0))
        days_before = self.floor_of(self.add("Add", days_before, self.constant(2.0)), 5.0)
        return self.add("Add", self.add("Sub", of_year, days_before), self.constant(1.0))

    def _modulo(self, value: str, divisor: float) -> str:
        count = self.add("Mul", self.floor_of(value, divisor), self.constant(divisor))
        return self.add("Sub", value, count)

    # -- answers

    def sorted(self, value: str, count: str) -> str:
        """Ascending numbers along the last axis, of `count` numbers."""
        both = [self.to.name("table/sorted"), self.to.name("table/order")]
        node = self.onnx.helper.make_node("TopK", [value, count], both, name=both[0], largest=0)
        self.to.nodes.append(node)
        return both[0]

    def mean(self, answers: Sequence[str], weights: Sequence[float]) -> str:
        """The weighted sum of the members' answers."""
        total = ""
        for answer, weight in zip(answers, weights, strict=True):
            part = self.add("Mul", answer, self.constant(float(weight)))
            total = self.add("Add", total, part) if total else part
        return total

    def tempered(self, p: str, t: float, *, labels: bool) -> str:
        """Probabilities at a temperature, as `temperature.tempered`."""
        if t == 1.0:
            return p
        z = self._log_by(p, t)
        if not labels:
            return self.add("Softmax", z, axis=1)
        other = self._log_by(self.add("Sub", self.constant(1.0), p), t)
        return self.add("Sigmoid", self.add("Sub", z, other))

    def _log_by(self, p: str, t: float) -> str:
        logs = self.add("Log", self.add("Max", p, self.constant(TINY)))
        return self.add("Div", logs, self.constant(t))

    def output(self, name: str, value: str, shape: Sequence[int], kind: str = "DOUBLE") -> None:
        """Makes a value the output of a name that was kept for it; kind: a type of ONNX."""
        self._kept.remove(name)
        made = self.onnx.helper.make_node("Identity", [value], [name], name=f"{name}/Identity")
        self.to.nodes.append(made)
        kind_of = getattr(self.onnx.TensorProto, kind)
        info = self.onnx.helper.make_tensor_value_info(name, kind_of, ["batch", *shape])
        self.outputs.append(info)

    def proto(self, name: str, about: dict[str, Any]) -> Any:
        """The model, an onnx.ModelProto; `about`: more texts for its metadata, as JSON."""
        helper, numpy_helper = self.onnx.helper, self.onnx.numpy_helper
        constants = [
            numpy_helper.from_array(value, name) for name, value in self.to.constants.items()
        ]
        body = helper.make_graph(self.to.nodes, name, self.inputs, self.outputs, constants)
        sets = [helper.make_opsetid("", self.opset), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
        made = helper.make_model(
            body,
            opset_imports=sets,
            ir_version=helper.find_min_ir_version_for(sets),
            producer_name="fastnn",
            producer_version=_core.__version__,
        )
        told = {"columns": self.told, **about}
        helper.set_model_props(made, {name: json.dumps(value) for name, value in told.items()})
        return made


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
