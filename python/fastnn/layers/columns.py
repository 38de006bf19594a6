"""ColumnEncoding: the columns of a table, numbers and codes of categories, as inputs of a network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import _core, initializers
from fastnn.arrays.host import numeric
from fastnn.autodiff.tensor import Tensor
from fastnn.data.rows import rows
from fastnn.layers.base import COMMON, LAYERS, Common, Layer, Shape, WeightSpec
from fastnn.layers.column_parts import (
    Found,
    Structure,
    check,
    encoded,
    found_in,
    gaps_of,
    refuse_infinite,
)
from fastnn.layers.of_rows import OfRows
from fastnn.registry import Checked
from fastnn.variables import Variable
from fastnn.words import flag, integer, keywords, number, optional

Array = NDArray[Any]

_MOST_LEVELS = 2**24  # up to here float32 has all whole numbers, by which levels are told apart


def _by_column(argument: str, value: object, one: Any) -> Any:
    """A value for all columns, or a list with one for each."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [one(argument, part) for part in value]
    return one(argument, value)


def _levels(argument: str, value: object) -> list[int]:
    found = _by_column(argument, value, partial(integer, low=0, high=_MOST_LEVELS))
    if not isinstance(found, list):
        raise TypeError(f"{argument}: expected a number for each column, got {value!r}")
    return found


def _missing(argument: str, value: object) -> Any:
    return _by_column(argument, value, flag)


def _bins(argument: str, value: object) -> Any:
    return _by_column(argument, value, partial(integer, low=0))


def _statistic(argument: str, value: object) -> Any:
    argument = argument.removeprefix("given_")  # the attribute's name; the caller knows another
    array = numeric(argument, value).astype(np.float64)
    if array.ndim > 1 or not np.isfinite(array).all():
        raise ValueError(f"{argument}: expected finite numbers, got {value!r}")
    return array.tolist()


@LAYERS.register("column_encoding")
class ColumnEncoding(OfRows):
    """The columns of a table as inputs of a network: numbers scaled, categories as levels.

    The first layer of a network over rows (n, columns) of numbers and of codes of categories. NaN is
    a gap; a code that is NaN, negative or too large is of a category that is missing. The outputs
    stand in this order:

    - numbers: z = (x - center) * factor, a gap filled first; with `clip`, z / sqrt(1 + (z / clip)^2),
      which stays within clip and leaves small z as they are;
    - pieces of numbers (piecewise linear codes, Gorishniy et al., 2022, arXiv:2203.05556), for
      columns with bins: for each bin [low, high) the share (x - low) / (high - low), cut to [0, 1];
    - gaps: 1 where the number is missing, for columns of numbers with `missing`;
    - categories: a column for each level, and a last one for what is missing, with `missing`; a
      category that is missing is 0 in all levels without it. Two levels without `missing` are one
      column of -1 and 1, and 0 for what is missing.

    `adapt(data)` takes the statistics from data, before the model is trained; they are part of the
    model and its files, and no optimizer changes them. x has no gradient. Arithmetic is that of
    the model: in float32 a column whose numbers differ by less than a millionth of their size
    (dates in seconds) has to be centered before.

    Weights: fill, center and factor (numbers,), if there are numbers; edges, those of each column
    with bins, side by side, (bins + 1 of each,), if there are bins.

    Args:
        levels: for each column the number of its categories, at most 2^24, 0 for numbers. None: all are
            numbers.
        missing: for each column whether what is missing has an output, or one flag for all. None:
            False until `adapt` says which columns have gaps.
        bins: for each column of numbers how many bins it has, 0: none, or one number for all of
            them. `adapt` takes it for the most, and writes here what it found.
        clip: the bound of scaled numbers; None: there is none.
        fill, center, factor: first values of the weights: a number for each column of numbers, or
            one for all. None: 0, 0, 1.
        edges: all edges of bins, ascending for each column; equal ones bound a step. None: from 0 to 1,
            at equal distances.

    Example:
        >>> layer = fastnn.layers.ColumnEncoding(levels=[0, 3], missing=[True, False], clip=None)
        >>> layer([[5.0, 2], [np.nan, 0], [1.0, -1]]).tolist()
        [[5.0, 0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0]]

    Raises:
        ValueError: the input has more than one axis, or other columns than there are levels. Or,
            where it is called or trained, an infinite number, or a code that is not whole.
    """

    has_parameters = True
    statistics: ClassVar[tuple[str, ...]] = ("fill", "center", "factor", "edges")
    _kept_as: ClassVar[dict[str, str | None]] = {
        **Layer._kept_as,
        **{name: f"given_{name}" for name in ("fill", "center", "factor", "edges")},
    }
    _inside = ("given_fill", "given_center", "given_factor", "given_edges", "structure")
    levels = Checked(optional(_levels))
    missing = Checked(optional(_missing))
    bins = Checked(_bins)
    clip = Checked(optional(partial(number, low=0.0, open_low=True)))
    given_fill = Checked(optional(_statistic))
    given_center = Checked(optional(_statistic))
    given_factor = Checked(optional(_statistic))
    given_edges = Checked(optional(_statistic))

    @keywords(*COMMON)
    def __init__(
        self,
        levels: Sequence[int] | None = None,
        missing: bool | Sequence[bool] | None = None,
        bins: int | Sequence[int] = 0,
        clip: float | None = 3.0,
        fill: ArrayLike | None = None,
        center: ArrayLike | None = None,
        factor: ArrayLike | None = None,
        edges: ArrayLike | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.levels = levels
        self.missing = missing
        self.bins = bins
        self.clip = clip
        self.given_fill, self.given_center, self.given_factor = fill, center, factor
        self.given_edges = edges

    @property
    def fill(self) -> Variable:
        """What a gap in each column of numbers becomes (numbers,)."""
        return self._variable("fill")

    @property
    def center(self) -> Variable:
        """The center of each column of numbers (numbers,)."""
        return self._variable("center")

    @property
    def factor(self) -> Variable:
        """The factor of each column of numbers (numbers,)."""
        return self._variable("factor")

    @property
    def edges(self) -> Variable:
        """The edges of the bins of all columns that have some, side by side."""
        return self._variable("edges")

    def structure(self, columns: int) -> Structure:
        """What each of so many columns becomes.

        Raises:
            ValueError: an argument is for another number of columns.
        """
        levels = [0] * columns if self.levels is None else self.levels
        missing: list[bool] = _for_all(self.missing, [bool(self.missing)] * columns)
        bins: list[int] = _for_all(self.bins, [0 if count else self.bins for count in levels])
        for name, count in (
            ("levels", len(levels)),
            ("missing", len(missing)),
            ("bins", len(bins)),
        ):
            if count != columns:
                raise ValueError(
                    f"layer {self.name!r}: {name}: expected {columns} numbers, one for each column, "
                    f"got {count}"
                )
        for j, (count, of_bins) in enumerate(zip(levels, bins, strict=True)):
            if count and of_bins:
                raise ValueError(
                    f"layer {self.name!r}: bins: column {j} is of categories, and has no bins"
                )
        return Structure(levels, missing, bins)

    def row_shape(self, shape: Shape) -> Shape:
        (columns,) = super().row_shape(shape)
        return (self.structure(columns).width,)

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        structure = self.structure(shape[0])
        count = len(structure.numbers)
        equal = [np.linspace(0.0, 1.0, bins + 1) for bins in structure.bins if bins]
        edges = np.concatenate([*equal, np.zeros(0)])
        specs = []
        for name, size, given, otherwise in (
            ("fill", count, self.given_fill, np.zeros(count)),
            ("center", count, self.given_center, np.zeros(count)),
            ("factor", count, self.given_factor, np.ones(count)),
            ("edges", len(edges), self.given_edges, edges),
        ):
            values = otherwise if given is None else np.asarray(given)
            if values.shape not in ((size,), () if name != "edges" else (size,)):
                raise ValueError(
                    f"layer {self.name!r}: {name}: expected {size} numbers, got {values.size}"
                )
            if name == "edges":
                self._check_edges(structure, values)
            if size:
                specs.append(WeightSpec(name, (size,), _first(name, values)))
        return specs

    def _check_edges(self, structure: Structure, edges: Array) -> None:
        """ValueError for edges of a column of which one is below the one before it."""
        place = 0
        for j, bins in enumerate(structure.bins):
            own = edges[place : place + bins + 1] if bins else edges[:0]
            place += len(own)
            falls = np.flatnonzero(np.diff(own) < 0)
            if len(falls):
                low, high = own[falls[0]], own[falls[0] + 1]
                raise ValueError(
                    f"layer {self.name!r}: edges: expected ascending numbers for column {j}, got {high} "
                    f"after {low}"
                )

    @keywords()
    def adapt(self, data: Any) -> None:
        """Takes the statistics from data, and builds the layer for its columns.

        Of each column of numbers, in float64, without its gaps: the median as fill and center, and
        one over the distance of its quartiles as factor; where they are equal, one over half of the
        distance of its smallest from its largest number, and 0 for a constant, or where the factor is
        more than the largest number of the model's type. Edges of bins are
        the quantiles at equal distances, equal ones once; a column with fewer than two bins has
        none. Where `missing` is None, columns with gaps have an output for them.

        Args:
            data: rows (n, columns): arrays, memory maps, frames, lists. Gaps are NaN.

        Raises:
            ValueError: data is empty, has an infinite number, other columns than the layer or,
                where the layer is built, other bins.
            RuntimeError: a model with this layer is being trained.
        """
        array = rows("data", data, None)
        if array.ndim != 2:
            raise ValueError(f"data: expected rows (n, columns), got shape {array.shape}")
        columns = array.shape[1]
        if self.built and (own := self._built_rows()[0][0]) != columns:
            raise ValueError(
                f"layer {self.name!r}: adapt: expected rows of {own} columns, got {columns}"
            )
        structure = self.structure(columns)
        kind = np.dtype(
            self.variables[0].dtype if self.variables else self.compute_dtype or "float32"
        )
        missing = list(structure.missing)
        found: list[Found] = []
        for j, levels in enumerate(structure.levels):
            column = np.asarray(array[:, j], np.float64)
            refuse_infinite(column, j)
            if self.missing is None and not self.built:
                missing[j] = bool(gaps_of(column, levels).any())
            if levels == 0:
                found.append(found_in(column, structure.bins[j], kind))
        bins = list(structure.bins)
        for j, one in zip(structure.numbers, found, strict=True):
            bins[j] = max(len(one.edges) - 1, 0)
        if not self.built:
            self.missing, self.bins = missing, bins
            self.build((None, columns))
        elif bins != structure.bins:
            raise ValueError(
                f"layer {self.name!r}: adapt: the layer is built for bins={structure.bins}, the data "
                f"have {bins}; adapt a new layer"
            )
        values = [np.array([one[i] for one in found]) for i in range(3)] if found else []
        edges = [one.edges for one in found if len(one.edges)]
        self.set_weights([*values, *([np.concatenate(edges)] if edges else [])])

    def call(self, x: Tensor, _training: bool) -> Tensor:
        values = np.asarray(x.value)
        if self.variables:
            values = values.astype(self.variables[0].view().dtype, copy=False)
        elif values.dtype != np.float64:
            values = values.astype(np.float32)
        weights = {variable.name: variable.view() for variable in self.variables}
        structure = self.structure(values.shape[1])
        check(self.name, structure, values)
        return Tensor(encoded(structure, self.clip, values, weights))

    def extend_again(self, network: _core.Graph, tensor: int, first: int) -> int:
        return self._extended(network, tensor, first)

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return self._extended(network, tensor, None)

    def _extended(self, network: _core.Graph, tensor: int, like: int | None) -> int:
        width = network.width(tensor)
        structure = self.structure(width) if width else Structure([], [], [])
        return network.encode_columns(tensor, *structure, self.clip or 0.0, like=like)


def _for_all(given: Any, repeated: list[Any]) -> list[Any]:
    """A value for each column, from a list of them or one for all."""
    return given if isinstance(given, list) else repeated


def _first(name: str, values: Array) -> initializers.Initializer:
    return initializers.checked(name, lambda shape, _: np.broadcast_to(values, shape))
