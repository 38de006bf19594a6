"""`fit` over the tape on several ranks: which rows each computes, and what is compared.

Gradients and the loss's divisor are summed in the steps (see `autodiff.shared`), and so are, at the
end of an epoch, the counts of metrics.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.autodiff.shared import Part
from fastnn.data.batches import Batches
from fastnn.data.structures import parts
from fastnn.training.ranks import Joined

Array = NDArray[Any]


class TapedRanks:
    """Ranks that have the same rows and train one model over the tape.

    Args:
        joined: ranks that have met.
        rows: to train on.
        batch_size: of all ranks together.

    Raises:
        ValueError: a batch has fewer rows than there are ranks.
    """

    def __init__(self, joined: Joined, rows: int, batch_size: int) -> None:
        self.joined = joined
        last = rows % batch_size or min(rows, batch_size)
        if min(last, batch_size) < joined.size:
            raise ValueError(
                f"batch_size: over a tape each of {joined.size} ranks needs a row of every batch; of "
                f"{rows} rows in batches of {batch_size} the last has {last}"
            )

    def part(self, count: int) -> Part:
        """This rank's part of a batch of so many rows."""
        begin, stop = self.joined.part_of(count)
        return Part(self.joined.exchange, begin, stop - begin, count)

    def any(self, flag: bool) -> bool:
        """Whether it is so on any rank."""
        return self.joined.any(flag)[0]

    def mean_loss(self, bad: float | None, mean: float, rows: int) -> tuple[float | None, float]:
        """The loss of a step that is no number, on any rank, and the mean of the losses by rows."""
        found = self.joined.exchange.sum(np.array([bad is not None, mean * rows, rows], np.float64))
        if found[0] and bad is None:
            bad = np.nan
        return bad, float(found[1] / found[2])

    def counts(self, counted: Sequence[Array]) -> list[Array]:
        """The sums over ranks of what metrics have counted."""
        flat = [np.asarray(part, np.float64).reshape(-1) for part in counted]
        sums = self.joined.exchange.sum(np.concatenate(flat)) if flat else np.zeros(0)
        ends = np.cumsum([len(part) for part in flat])
        split = np.split(sums, ends[:-1]) if flat else []
        return [
            part.reshape(np.shape(one)).astype(np.asarray(one).dtype)
            for part, one in zip(split, counted, strict=True)
        ]

    def of_first(self, counted: Sequence[Array]) -> list[Array]:
        """What metrics go on from, of the sums of all ranks: the first rank has them."""
        if self.joined.is_first:
            return list(counted)
        return [np.zeros_like(part) for part in counted]

    def agree(self, model: Any, options: object, train: Batches, held: Batches | None) -> None:
        """ValueError where the ranks would not train the same model in the same way."""
        variables = model._variables()
        shapes = [(variable.shape, str(variable.dtype)) for variable in variables]
        trained = [variable.shape for variable in model._variables_to_train()]
        kinds = [type(layer).__name__ for layer in model.layers]
        progress = model.optimizer.progress(variables)
        things = {
            "shapes of the weights": repr((shapes, trained)).encode(),
            "layers": repr((type(model).__name__, kinds)).encode(),
            "loss and metrics": repr(model._objective().names()).encode(),
            "options of fit": repr(options).encode(),
            "settings of the optimizer": repr(model.optimizer.settings()).encode(),
            "seeds": self.joined.seed.encode(),
            "instruction sets": _core.isa().encode(),
            "weights": b"".join(variable.numpy().tobytes() for variable in variables),
            "counts of steps": repr(model._counts()).encode(),
            "states of the optimizer": _told(progress, variables),
            "rows": _digest(train),
        }
        if held is not None:
            things["rows of validation"] = _digest(held)
        self.joined.agree(things)

    def compare(self, variables: Sequence[Any]) -> None:
        """RankError where the weights of ranks differ."""
        told = hashlib.blake2b(digest_size=8)
        for variable in variables:
            told.update(variable.numpy().tobytes())
        found = self.joined.exchange.gather(np.frombuffer(told.digest(), np.float64))
        digests = found.view(np.uint64)[:, 0]
        others = [str(r) for r in range(1, self.joined.size) if digests[r] != digests[0]]
        if others:
            raise _core.RankError(
                f"the weights of rank {', '.join(others)} differ from those of rank 0: what `call` "
                "changes must not depend on the rows that a rank has"
            )


def _told(progress: Any, variables: Sequence[Any]) -> bytes:
    """The state of an optimizer, of Variables by their order."""
    places = {id(variable): place for place, variable in enumerate(variables)}
    told = [repr(progress.taken).encode()]
    for variable, kept in progress.states:
        told.append(repr(places[id(variable)]).encode())
        if kept is not None:
            arrays, count, *more = kept
            told.append(repr(count).encode())
            told += [np.asarray(one).tobytes() for one in (*arrays, *more) if one is not None]
    return b"/".join(told)


def _digest(rows: Batches) -> bytes:
    """Some thousand rows, and their number."""
    some = np.arange(0, rows.rows, max(1, rows.rows // 1024))
    told = [repr((rows.rows, rows.length)).encode()]
    for structure in (rows.x, rows.y, rows.weights):
        if structure is not None:
            told += [np.ascontiguousarray(array[some]).tobytes() for array in parts(structure)]
    if rows.chosen is not None:
        told.append(rows.chosen.tobytes())
    return b"".join(told)
