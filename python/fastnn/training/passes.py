"""Passes over checked rows that train nothing: evaluation and prediction, natively."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.callbacks.listeners import PREDICT_BATCH_HOOKS, TEST_BATCH_HOOKS, CallbackList
from fastnn.data.table import Table
from fastnn.protocols import Columns, Logs
from fastnn.training.ranks import Joined
from fastnn.training.seen import SeenRows, room
from fastnn.training.sharing import evaluated, summed


def evaluate(
    network: _core.Network,
    columns: Columns,
    table: Table,
    callbacks: CallbackList,
    batch_size: int,
    ranks: Joined | None = None,
) -> Logs:
    """Loss and metrics over checked rows, in one native call; over `ranks` each takes its part.

    The network and its columns are given, since another thread may compile the model meanwhile.
    Batch hooks get the sums of the batches so far, in calls of their own: the result is added up
    in the order of one call, to the last bit, whether hooks listen or not.
    """
    callbacks.call("on_test_begin", {})
    if callbacks.listens(*TEST_BATCH_HOOKS):
        so_far = np.zeros(columns.width)
        for batch, start in enumerate(range(0, table.length, batch_size)):
            callbacks.call("on_test_batch_begin", batch, {})
            so_far += network.evaluate(table.part(start, start + batch_size))
            callbacks.call("on_test_batch_end", batch, columns.logs(so_far))
    logits = room(network, table.length, columns.outputs) if columns.collects else None
    sums = summed(ranks, evaluated(ranks, network, table, logits, np.zeros(columns.width)))
    if ranks is not None and logits is not None:
        logits = ranks.joint(logits)
    seen = None if logits is None else SeenRows(table, logits, sizes=batch_size)
    logs = columns.logs(sums, seen=seen)
    callbacks.call("on_test_end", dict(logs))
    return logs


_PART = 1 << 14  # rows of a native call whose outputs are kept elsewhere


def predict_into(
    network: _core.Network,
    table: Table,
    callbacks: CallbackList,
    batch_size: int,
    keep: Callable[[NDArray[Any]], None],
) -> None:
    """Gives `keep` the outputs of checked rows, part by part."""
    callbacks.call("on_predict_begin", {})
    listens = callbacks.listens(*PREDICT_BATCH_HOOKS)
    size = batch_size if listens else _PART
    for batch, start in enumerate(range(0, table.length, size)):
        if listens:
            callbacks.call("on_predict_batch_begin", batch, {})
        outputs = network.predict(table.part(start, start + size))
        if listens:
            callbacks.call("on_predict_batch_end", batch, {"outputs": outputs})
        keep(outputs)
    callbacks.call("on_predict_end", {})


def predict(
    network: _core.Network, table: Table, callbacks: CallbackList, batch_size: int
) -> NDArray[Any]:
    """Outputs of checked rows, in one native call unless batch hooks listen."""
    callbacks.call("on_predict_begin", {})
    if callbacks.listens(*PREDICT_BATCH_HOOKS):
        parts = []
        for batch, start in enumerate(range(0, table.length, batch_size)):
            callbacks.call("on_predict_batch_begin", batch, {})
            parts.append(network.predict(table.part(start, start + batch_size)))
            callbacks.call("on_predict_batch_end", batch, {"outputs": parts[-1]})
        outputs: NDArray[Any] = np.concatenate(parts)
    else:
        outputs = network.predict(table.native())
    callbacks.call("on_predict_end", {})
    return outputs
