"""Encoding: columns of a table as rows of numbers, by what the training rows were.

A `Frame` becomes raw columns, one number each (numbers with NaN for gaps, then numbers of levels), and raw
columns become the inputs of a network: by `layers.ColumnEncoding` batch by batch, whose arguments are here
too, or by `rows`, its definition in NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fastnn.data.frame import Frame, FrameColumn, as_kind

Array = NDArray[Any]
Floats = NDArray[np.float64]

BINS = 16  # of piecewise linear codes: Gorishniy et al. 2022, arXiv 2203.05556
CLIP = 3.0  # of scaled numbers
MOST_LEVELS = 1000  # of a category that have an input of their own
_DAY_SECONDS = 86400.0
_NARROW = 1e-30  # a width that counts as none
MOST = 1e38  # of raw columns, whose float32 are finite


class NumberRule(NamedTuple):
    """How a column of numbers becomes inputs.

    Its raw column is x - center, in float32. z = (x - center) * scale, then z / sqrt(1 + (z / 3) ** 2),
    which is within 3 and -3; a gap counts as x = center. `indicator`: whether an input of its own says that
    there was a gap. `edges`: of bins, less center, for codes
    clip((x - center - edges[i]) / (edges[i + 1] - edges[i]), 0, 1); none: no codes.
    """

    center: float
    scale: float
    indicator: bool
    edges: NDArray[np.float32]

    @property
    def bins(self) -> int:
        """The number of its codes."""
        return max(0, len(self.edges) - 1)


class CategoryRule(NamedTuple):
    """How a raw column of numbers of levels becomes inputs: one for each level, and one for gaps where
    training rows had any (`missing`). Two levels without gaps are -1 and 1 in one input. A level that
    training rows had not counts as a gap, or is zeros where there is no input for gaps."""

    levels: int
    missing: bool

    @property
    def signs(self) -> bool:
        """Whether one input of -1 and 1 has both levels."""
        return self.levels == 2 and not self.missing

    @property
    def width(self) -> int:
        """The number of its inputs."""
        return 1 if self.signs else self.levels + self.missing


class Source(NamedTuple):
    """A column of the table as training rows had it. `kind`: of a `FrameColumn`, or "empty": gaps alone, so
    that nothing can be learned from any value that other rows have."""

    name: str
    kind: str
    levels: tuple[str, ...]


class RawColumn(NamedTuple):
    """What a raw column is: `part` of source column number `source`."""

    source: int
    part: str  # "value", or one of a date: "day", "hour", "month", "weekday"


class Encoding:
    """The fitted state: of the source columns, of the raw ones, and a rule for each of these.

        >>> import numpy as np
        >>> from fastnn.data.encoding import Encoding
        >>> from fastnn.data.frame import Frame
        >>> frame = Frame.of({"size": [1.0, 2.0, 3.0], "colour": ["red", "blue", "red"]})
        >>> encoding = Encoding.fitted(frame)
        >>> encoding.raw(frame).tolist()
        [[-1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]
        >>> encoding.rows(encoding.raw(frame)).astype(float).round(2).tolist()
        [[-0.95, 1.0], [0.0, -1.0], [0.95, 1.0]]

    Args:
        sources: the columns of the table.
        columns: the raw columns, those of numbers first.
        numbers, categories: rules of raw columns, in their order.
        named: whether the table had names.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        columns: Sequence[RawColumn],
        numbers: Sequence[NumberRule],
        categories: Sequence[CategoryRule],
        *,
        named: bool,
    ) -> None:
        self.sources, self.columns = list(sources), list(columns)
        self.numbers, self.categories = list(numbers), list(categories)
        self.named = named

    @classmethod
    def fitted(cls, frame: Frame, bins: int = BINS, most_levels: int = MOST_LEVELS) -> Self:
        """The encoding of a table of training rows.

        Args:
            frame: the rows.
            bins: of piecewise linear codes, between quantiles.
            most_levels: of a category that get an input, the most frequent ones; others count as
                levels that training rows had not.
        """
        sources, numeric, levelled = [], [], []
        for i, column in enumerate(frame.columns):
            levels = _kept_levels(column, most_levels)
            kind: str = "empty" if column.is_empty else column.kind
            sources.append(Source(column.name, kind, levels))
            if kind in ("number", "empty"):
                numeric.append(RawColumn(i, "value"))
            elif kind == "date":
                numbers, categories = _parts_of_date(column.values)
                numeric += [RawColumn(i, part) for part in numbers]
                levelled += [RawColumn(i, part) for part in categories]
            else:
                levelled.append(RawColumn(i, "value"))
        made = cls(sources, [*numeric, *levelled], [], [], named=frame.named)
        found = made._values(frame)
        count = len(numeric)
        made.numbers = [_number_rule(found[:, i], bins) for i in range(count)]
        for i, column_of in enumerate(levelled, count):
            made.categories.append(
                CategoryRule(made._levels_of(column_of), bool(np.isnan(found[:, i]).any()))
            )
        return made

    def _levels_of(self, column: RawColumn) -> int:
        if column.part == "value":
            source = self.sources[column.source]
            return 2 if source.kind == "boolean" else len(source.levels)
        return {"month": 12, "weekday": 7}[column.part]

    # -- a table to raw columns

    def raw(self, frame: Frame) -> NDArray[np.float32]:
        """The raw columns (n, columns) of a table with the same source columns.

        Numbers are centered before they are rounded to float32: those of dates are large, and differ by
        little.

        Raises:
            ValueError: a column is not of its kind.
        """
        found = self._values(frame)
        for i, rule in enumerate(self.numbers):
            found[:, i] -= rule.center
        return np.clip(found, -MOST, MOST).astype(np.float32)

    def _values(self, frame: Frame) -> Floats:
        """The raw columns before they are centered."""
        found = np.empty((len(frame), len(self.columns)))
        taken = [
            as_kind(column, source.kind)
            for column, source in zip(frame.columns, self.sources, strict=True)
        ]
        for i, (source, part) in enumerate(self.columns):
            column = taken[source]
            if part != "value":
                found[:, i] = _part_of(column.values, part)
            elif column.kind == "category":
                found[:, i] = _codes(column, self.sources[source].levels)
            elif column.kind == "boolean":
                known = (column.values == 0.0) | (column.values == 1.0)
                found[:, i] = np.where(known, column.values, np.nan)
            else:
                found[:, i] = column.values
        return found

    # -- raw columns to inputs

    @property
    def plain_width(self) -> int:
        """The inputs besides codes."""
        indicators = sum(rule.indicator for rule in self.numbers)
        return len(self.numbers) + indicators + sum(rule.width for rule in self.categories)

    @property
    def code_width(self) -> int:
        """The inputs that are codes."""
        return sum(rule.bins for rule in self.numbers)

    def rows(self, raw: NDArray[np.float32], *, codes: bool = False) -> NDArray[np.float32]:
        """The inputs (n, plain_width), with codes (n, plain_width + code_width)."""
        return encoded(raw, self.numbers, self.categories, codes=codes)

    def layer_arguments(self, *, codes: bool = False) -> dict[str, Any]:
        """The arguments of the `layers.ColumnEncoding` that makes `rows` of raw columns."""
        numbers, categories = self.numbers, self.categories
        with_edges = [rule.edges for rule in numbers if rule.bins and codes]
        return {
            "levels": [0] * len(numbers) + [rule.levels for rule in categories],
            "missing": [rule.indicator for rule in numbers] + [rule.missing for rule in categories],
            "bins": [rule.bins if codes else 0 for rule in numbers] + [0] * len(categories),
            "clip": CLIP,
            "factor": [rule.scale for rule in numbers],
            "edges": np.concatenate([np.zeros(0, np.float32), *with_edges]),
        }

    # -- plain data

    def state(self) -> dict[str, Any]:
        """All of it as numbers, texts, lists, dictionaries and arrays."""
        return {
            "named": self.named,
            "sources": [[s.name, s.kind, list(s.levels)] for s in self.sources],
            "columns": [list(column) for column in self.columns],
            "numbers": {
                "center": np.array([rule.center for rule in self.numbers]),
                "scale": np.array([rule.scale for rule in self.numbers]),
                "indicator": np.array([rule.indicator for rule in self.numbers], bool),
                "edges": [rule.edges for rule in self.numbers],
            },
            "categories": [[rule.levels, rule.missing] for rule in self.categories],
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Self:
        """The encoding that `state` told."""
        told = state["numbers"]
        keys = ("center", "scale", "indicator")
        by_column = zip(*(told[key].tolist() for key in keys), told["edges"], strict=True)
        return cls(
            [
                Source(str(name), str(kind), tuple(levels))
                for name, kind, levels in state["sources"]
            ],
            [RawColumn(int(source), str(part)) for source, part in state["columns"]],
            [NumberRule(*rule) for rule in by_column],
            [CategoryRule(int(levels), bool(missing)) for levels, missing in state["categories"]],
            named=bool(state["named"]),
        )


def encoded(
    raw: NDArray[np.float32],
    numbers: Sequence[NumberRule],
    categories: Sequence[CategoryRule],
    *,
    codes: bool,
) -> NDArray[np.float32]:
    """Raw columns as inputs: all numbers, the codes of each, the indicators, the categories."""
    n, count = len(raw), len(numbers)
    values = raw[:, :count].astype(np.float64)
    gaps = np.isnan(values)
    filled = np.where(gaps, 0.0, values)
    z = filled * [rule.scale for rule in numbers]
    parts: list[Array] = [z / np.hypot(1.0, z / CLIP)]
    if codes:
        for i, rule in enumerate(numbers):
            if rule.bins:
                edges = rule.edges.astype(np.float64)
                left, width = edges[:-1], np.diff(edges)
                parts.append(np.clip((filled[:, i, None] - left) / width, 0.0, 1.0))
    parts += [gaps[:, i, None] for i, rule in enumerate(numbers) if rule.indicator]
    for i, category in enumerate(categories, count):
        found = raw[:, i]
        if category.signs:
            parts.append(np.nan_to_num(2.0 * found - 1.0, nan=0.0)[:, None])
            continue
        block = np.zeros((n, category.levels + 1), np.float32)
        block[np.arange(n), np.where(np.isnan(found), category.levels, found).astype(np.int64)] = (
            1.0
        )
        parts.append(block[:, : category.width])
    rows = np.empty((n, sum(part.shape[1] for part in parts)), np.float32)
    first = 0
    for part in parts:
        rows[:, first : first + part.shape[1]] = part
        first += part.shape[1]
    return rows


# -- rules from training rows


def _number_rule(values: Floats, bins: int) -> NumberRule:
    gaps = np.isnan(values)
    there = values[~gaps]
    if not len(there):
        return NumberRule(0.0, 0.0, indicator=False, edges=np.zeros(0, np.float32))
    center = float(np.median(there))
    low, high = np.quantile(there, [0.25, 0.75])
    with np.errstate(over="ignore"):
        width = float(high - low) if high > low else _typical_distance(there, center)
    scale = 1.0 / width if width > _NARROW else 0.0
    edges = _apart(np.unique(np.clip(_quantiles(there, bins) - center, -MOST, MOST)))
    return NumberRule(center, scale, bool(gaps.any()), edges if len(edges) > 2 else edges[:0])


def _typical_distance(values: Floats, center: float) -> float:
    """The median distance from the center, of values that differ from it: half of a column's rows have
    one value, such as the zeros of a gain that few have."""
    distances = np.abs(values - center)
    distances = distances[distances > 0]
    return float(np.median(distances)) if len(distances) else 0.0


def _quantiles(values: Floats, bins: int) -> Floats:
    """Edges of bins between quantiles of rows. Where one value has most of the rows, quantiles of the
    other values have most of the edges."""
    shares = np.linspace(0.0, 1.0, bins + 1)
    found = np.unique(np.quantile(values, shares))
    if len(found) > bins:
        return found
    rest = np.unique(values)
    if len(rest) <= bins + 1:
        return rest
    kept, counts = np.unique(values, return_counts=True)
    common = kept[counts * bins > len(values)]  # each has a bin's share of rows
    rare = values[~np.isin(values, common)]
    left = bins + 1 - len(common)
    if not len(rare) or left < 2:
        return found
    return np.unique(np.concatenate([common, np.quantile(rare, np.linspace(0.0, 1.0, left))]))


def _apart(edges: Floats) -> NDArray[np.float32]:
    """Edges without those so near the one before that a bin would be a rounding error in float32."""
    least = max(_NARROW, 1e-6 * float(np.abs(edges).max()))
    kept = [edges[0]]
    for edge in edges[1:]:
        if edge - kept[-1] > least:
            kept.append(edge)
    return np.array(kept, np.float32)


def _kept_levels(column: FrameColumn, most: int) -> tuple[str, ...]:
    if len(column.levels) <= most:
        return column.levels
    counts = np.bincount(column.values[column.values >= 0], minlength=len(column.levels))
    kept = np.sort(np.argsort(-counts, kind="stable")[:most])
    return tuple(column.levels[i] for i in kept)


def _codes(column: FrameColumn, levels: tuple[str, ...]) -> Floats:
    """The numbers of levels as training rows had them; NaN for gaps and other levels."""
    place = {text: float(i) for i, text in enumerate(levels)}
    table = np.array([*(place.get(text, np.nan) for text in column.levels), np.nan])
    return table[column.values]


# -- dates


def _part_of(seconds: Floats, part: str) -> Floats:
    if part == "value":
        return seconds
    gaps = np.isnan(seconds)
    whole = np.where(gaps, 0.0, np.floor(seconds))
    if part == "hour":
        found = (whole % _DAY_SECONDS) / 3600.0
    elif part == "weekday":
        found = (
            np.floor(whole / _DAY_SECONDS) + 3.0
        ) % 7.0  # 1970 began on a Thursday; Monday is 0
    else:
        days = np.floor(whole / _DAY_SECONDS).astype("datetime64[D]")
        months = days.astype("datetime64[M]")
        if part == "month":
            found = (months.astype(np.int64) % 12).astype(np.float64)
        else:
            found = (days - months).astype(np.float64) + 1.0
    return np.where(gaps, np.nan, found)


def _parts_of_date(seconds: Floats) -> tuple[list[str], list[str]]:
    """The parts of dates that differ among training rows: those that are numbers, and categories."""

    def differs(part: str) -> bool:
        found = _part_of(seconds, part)
        return len(np.unique(found[~np.isnan(found)])) > 1

    return (
        ["value", *filter(differs, ("day", "hour"))],
        list(filter(differs, ("month", "weekday"))),
    )
