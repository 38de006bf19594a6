"""Passes over windows that train nothing: evaluation and prediction, natively."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.callbacks.listeners import PREDICT_BATCH_HOOKS, TEST_BATCH_HOOKS, CallbackList
from fastnn.data.table import Table
from fastnn.protocols import Columns, Logs
from fastnn.training.chunked import Ready
from fastnn.training.ranks import Joined
from fastnn.training.seen import joined, room, taken
from fastnn.training.sharing import evaluated, summed

Array = NDArray[Any]


def evaluate(
    network: _core.Network,
    columns: Columns,
    windows: Iterator[Ready],
    callbacks: CallbackList,
    batch_size: int,
    refuse: Callable[[_core.Data], None] | None = None,
    ranks: Joined | None = None,
) -> Logs:
    """Loss and metrics over the rows of all windows; sums go on from window to window.

    `refuse` raises an error for rows over which the loss is no finite number. Over `ranks` the windows
    are those of shards, or each evaluates its part of every one of them; where the loss of all is no
    finite number, all call `refuse`, a rank whose own is finite with no rows.
    """
    callbacks.call("on_test_begin", {})
    listens = callbacks.listens(*TEST_BATCH_HOOKS)
    sums = np.zeros(columns.width)
    seen: list[tuple[Table, Array]] = []
    batch = 0
    bad: _core.Data | None = None  # the first rows of such a loss, over ranks
    none: Table | None = None
    for window in windows:
        if listens:
            batch = _batches(network, columns, window, callbacks, (batch, batch_size), sums)
        table = window.table
        logits = room(network, table.length, columns.outputs) if columns.collects else None
        sums = evaluated(ranks, network, table, logits, sums)
        if refuse is not None and not np.isfinite(sums[0]):
            if ranks is None:
                refuse(window.data)
            elif bad is None:
                bad = window.data
        if ranks is not None and none is None:
            none = table.without_rows()
        if logits is not None:
            if ranks is not None:
                logits = ranks.joint(logits)
            seen.append(taken(table, slice(0, table.length), logits))
        del window, table
    sums = summed(ranks, sums)
    if refuse is not None and none is not None and not np.isfinite(sums[0]):
        refuse(none.native() if bad is None else bad)
    logs = columns.logs(sums, seen=joined(seen, batch_size) if seen else None)
    callbacks.call("on_test_end", dict(logs))
    return logs


def _batches(
    network: _core.Network,
    columns: Columns,
    window: Ready,
    callbacks: CallbackList,
    batches: tuple[int, int],
    sums: NDArray[np.float64],
) -> int:
    """Calls the hooks of the batches of a window; the number of the next batch."""
    batch, size = batches
    so_far = sums
    for start in range(0, window.table.length, size):
        callbacks.call("on_test_batch_begin", batch, {})
        so_far = network.evaluate(window.table.part(start, start + size), None, so_far)
        callbacks.call("on_test_batch_end", batch, columns.logs(so_far))
        batch += 1
    return batch


def predict(
    network: _core.Network,
    windows: Iterator[Ready],
    callbacks: CallbackList,
    batch_size: int,
    keep: Callable[[Array], None],
) -> None:
    """Gives `keep` the outputs of the rows of all windows, part by part."""
    callbacks.call("on_predict_begin", {})
    listens = callbacks.listens(*PREDICT_BATCH_HOOKS)
    batch = 0
    for window in windows:
        if not listens:
            keep(network.predict(window.data))
            del window
            continue
        for start in range(0, window.table.length, batch_size):
            callbacks.call("on_predict_batch_begin", batch, {})
            outputs = network.predict(window.table.part(start, start + batch_size))
            callbacks.call("on_predict_batch_end", batch, {"outputs": outputs})
            keep(outputs)
            batch += 1
        del window
    callbacks.call("on_predict_end", {})
