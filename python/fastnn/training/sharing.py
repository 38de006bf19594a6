"""How ranks share batches that come in windows, or one by one, and what they agree on before.

Sums over ranks are native; here is who has how many rows of which step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.data.table import Table
from fastnn.protocols import Trainable
from fastnn.training.ranks import Joined

Sums = NDArray[np.float64]


def agree_on(ranks: Joined, model: Trainable, options: object, more: Mapping[str, bytes]) -> None:
    """ValueError where the ranks would not train the same model in the same way.

    Args:
        ranks: that have met.
        model: that is built and compiled.
        options: the words and numbers of `fit`, which `repr` tells.
        more: what else has to be the same, by its name in messages.
    """
    network = model.network
    counts = network.steps, network.updates, network.epochs
    layers, loss, update = network.plan_bytes()
    things = {
        "shapes of the weights": repr(network.parameters).encode(),
        "layers": layers,
        "loss and metrics": loss + repr(model.columns.names).encode(),
        "options of fit": repr(options).encode(),
        "settings of the optimizer": update + repr(model.optimizer.settings()).encode(),
        "seeds": ranks.seed.encode(),
        "instruction sets": _core.isa().encode(),
        "weights": b"".join(array.tobytes() for array in model.get_weights()),
        "counts of steps": repr(counts).encode(),
        "states of the optimizer": b"".join(one.tobytes() for one in network.optimizer_state),
        **more,
    }
    ranks.agree(things)


def shares_of(batch_size: int, counts: Sequence[int]) -> list[int]:
    """The rows that each rank, of so many in all, brings to a batch: about as its part of all rows.

    They add up to the batch, and each rank brings one at least, so that all come to an end of their
    rows at about the same step.

    Raises:
        ValueError: the batch has fewer rows than there are ranks, or a rank has none.
    """
    if batch_size < len(counts):
        raise ValueError(
            f"batch_size: expected at least a row of each of {len(counts)} ranks, got {batch_size}"
        )
    if min(counts) < 1:
        raise ValueError(f"x: expected rows on every rank, rank {list(counts).index(0)} has none")
    total = sum(counts)
    shares = [max(1, batch_size * n // total) for n in counts]
    by_rest = sorted(range(len(counts)), key=lambda r: -(batch_size * counts[r] % total))
    for rank in by_rest[: max(0, batch_size - sum(shares))]:
        shares[rank] += 1
    while sum(shares) > batch_size:  # ranks of few rows bring more than their part
        shares[shares.index(max(shares))] -= 1
    return shares


class Lot(NamedTuple):
    """The steps that come next, and by step the rows of the ranks before this one, and of all."""

    steps: int
    before: list[int]
    rows: list[int]


def lot_of(ranks: Joined, steps: int, size: int, last: int) -> Lot | None:
    """What ranks bring to the next steps, so many as each has that has any; None: no rank has rows.

    Args:
        ranks: all of which call this.
        steps: of this rank until the end of its window; 0: it has no more rows.
        size: its rows of each but the last of these.
        last: those of the last.
    """
    given = np.array([steps, size, last], np.float64)
    found = ranks.exchange.gather(given).astype(np.int64)
    left = found[:, 0]
    if not left.any():
        return None
    count = int(left[left > 0].min())
    rows = np.where(left > 0, found[:, 1], 0)[:, None].repeat(count, axis=1)
    ends = left == count
    rows[ends, -1] = found[ends, 2]
    return Lot(count, rows[: ranks.rank].sum(axis=0).tolist(), rows.sum(axis=0).tolist())


def together(
    ranks: Joined | None, items: Iterator[Any], stops: Callable[[], bool]
) -> Iterator[Any]:
    """Items; over ranks as long as any has some, and none stops. None: this rank has no more of them."""
    if ranks is None:
        yield from items
        return
    while True:
        item = next(items, None)
        some, ends = ranks.any(item is not None, stops())
        if not some or ends:
            return
        yield item


def evaluated(
    ranks: Joined | None, network: _core.Network, table: Table, logits: Any, sums: Sums
) -> Sums:
    """`sums` with those of the rows of a table; over ranks of its part alone, or of its shard.

    `logits`: None, or gets those of these rows.
    """
    if ranks is None or (ranks.shards and table.length):
        return network.evaluate(table.native(), logits, sums)
    if ranks.shards:
        return sums
    begin, stop = ranks.part_of(table.length)
    if logits is not None:
        logits.fill(0)
        logits = logits[begin:stop]
    return network.evaluate(table.part(begin, stop), logits, sums) if stop > begin else sums


def summed(ranks: Joined | None, sums: Sums) -> Sums:
    """The sums of all ranks."""
    return sums if ranks is None else ranks.exchange.sum(sums)
