"""The rows that a native pass has seen, with their logits, in the order in which the user gave them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.data.table import Table

Array = NDArray[Any]

_SOME = 256


class SeenRows(NamedTuple):
    """Rows of a table, and their logits.

    `places`: which of the rows that count in the table they are; None: all of these, in order.
    `order`: the rows in the order of the steps that saw them; None: as they are here. `sizes`: the
    rows of a step, or of each; 0: all are of one.
    """

    table: Table
    logits: Array
    places: NDArray[np.int64] | None = None
    order: NDArray[np.int64] | None = None
    sizes: int | Sequence[int] = 0

    def batches(self) -> Iterator[slice | NDArray[np.int64]]:
        """Which of the rows each step saw, in the order of the steps."""
        n = len(self.logits)
        each = self.sizes
        if isinstance(each, int):
            each = [each or n] * (-(-n // (each or max(n, 1))))
        begin = 0
        for size in each:
            stop = min(begin + size, n)
            yield slice(begin, stop) if self.order is None else self.order[begin:stop]
            begin = stop

    def _taken(self, array: Array) -> Array:
        chosen = self.table.chosen
        if chosen is None:
            return array if self.places is None else array[self.places]
        return array[chosen if self.places is None else chosen[self.places]]

    def targets(self) -> Array:
        """Labels (rows,), or targets (rows, outputs)."""
        return self._taken(self._all_targets())

    def given_targets(self) -> Array:
        """The same with the axes that the caller gave: (rows,) for one output, where y was so."""
        if self.table.labels is not None and self.table.given is not None:
            return self._taken(self.table.given)
        found = self.targets()
        return found[:, 0] if self.table.flat and found.ndim == 2 else found

    def _all_targets(self) -> Array:
        found = self.table.labels if self.table.labels is not None else self.table.targets
        assert found is not None
        return found

    def weights(self) -> NDArray[np.float64] | None:
        """Weights (rows,); None: all 1."""
        return None if self.table.weights is None else self._taken(self.table.weights)


def room(network: _core.Network, rows: int, outputs: int) -> Array:
    """An array for the logits of so many rows."""
    return np.empty((rows, outputs), network.dtype)


def some_rows(network: _core.Network, table: Table, outputs: int, size: int) -> SeenRows:
    """A few rows from all over a table, with the logits that they have now."""
    places = np.linspace(0, table.length - 1, min(table.length, _SOME)).astype(np.int64)
    some = table._replace(chosen=places if table.chosen is None else table.chosen[places])
    logits = room(network, len(places), outputs)
    network.evaluate(some.native(), logits)
    return SeenRows(some, logits, sizes=size)


def seen_in(
    network: _core.Network,
    table: Table,
    logits: Array,
    epoch: int,
    shuffled: bool,
    rows: slice,
    size: int,
) -> SeenRows:
    """Some rows of a pass, whose logits are in the order of its steps.

    Args:
        epoch: the number of the pass in the life of the model.
        rows: which of them, in that order.
        size: rows of a step.
    """
    every = rows.start == 0 and rows.stop == len(logits)
    if not shuffled:
        places = None if every else np.arange(rows.start, rows.stop)
        return SeenRows(table, logits[rows], places, sizes=size)
    order = _core.permutation(len(logits), network.key, epoch)
    if not every:
        return SeenRows(table, logits[rows], order[rows], sizes=size)
    in_order = np.empty_like(logits)
    in_order[order] = logits
    return SeenRows(table, in_order, order=order, sizes=size)


def taken(table: Table, rows: slice, logits: NDArray[Any]) -> tuple[Table, NDArray[Any]]:
    """What belongs to some of the rows that count in a table, with their logits."""
    places: Any = rows if table.chosen is None else table.chosen[rows]

    def some(array: Array | None) -> Array | None:
        return None if array is None else array[places]

    labels, targets = some(table.labels), some(table.targets)
    return Table(logits, targets, labels, some(table.weights), flat=table.flat), logits


def joined(parts: list[tuple[Table, NDArray[Any]]], size: int = 0) -> SeenRows:
    """The rows of several tables, with their logits: of batches, or of windows with steps of `size`."""
    tables = [table for table, _ in parts]
    weights = None
    if any(table.weights is not None for table in tables):
        weights = np.concatenate(
            [np.ones(table.length) if table.weights is None else table.weights for table in tables]
        )
    labels = targets = None
    if tables[0].labels is not None:
        labels = np.concatenate([table.labels for table in tables])
    else:
        targets = np.concatenate([table.targets for table in tables])
    logits = np.concatenate([part for _, part in parts])
    rows = Table(logits, targets, labels, weights, given=labels, flat=tables[0].flat)
    lengths = [table.length for table in tables]
    if size:
        lengths = [min(size, n - begin) for n in lengths for begin in range(0, n, size)]
    return SeenRows(rows, logits, sizes=lengths)
