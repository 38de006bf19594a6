"""A batch that ranks share: the part of it that this thread computes on over the tape.

No model is known here: what depends on all rows of a batch asks for the part.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from fastnn import _core
from fastnn.autodiff.tensor import Tensor
from fastnn.variables import Variable


class Part(NamedTuple):
    """Rows `before` to `before + own` of the `whole` rows of a batch."""

    exchange: _core.Exchange
    before: int
    own: int
    whole: int

    def first_of(self, count: int) -> int:
        """The number of the first of so many rows in the batch: see `of_rows`."""
        return self.before * (count // self.own) if count % self.own == 0 else 0

    def of_rows(self, count: int) -> dict[str, Any]:
        """What a native pass over so many rows is told: each row of the batch may be several of them.
        Others belong to no batch, and every rank has all of them."""
        each, left = divmod(count, self.own)
        if left or not each:
            return {}
        first, whole = self.first_of(count), each * self.whole
        return {"exchange": self.exchange, "first_row": first, "batch": whole}

    def sums(self, numbers: Sequence[float]) -> list[float]:
        """The sums of these over all ranks."""
        found: list[float] = self.exchange.sum(np.array(numbers, np.float64)).tolist()
        return found

    def gradients(
        self, variables: Sequence[Variable], grads: Sequence[Tensor | None]
    ) -> list[Tensor | None]:
        """The sums over ranks of the gradients of Variables, which are in the same order on all of
        them; None: no rank has one."""
        there = self.sums([float(grad is not None) for grad in grads])
        summed: dict[int, Tensor] = {}
        by_type: dict[Any, list[int]] = {}
        for i, (variable, count) in enumerate(zip(variables, there, strict=True)):
            if count:
                by_type.setdefault(variable.dtype, []).append(i)
        for dtype, places in by_type.items():
            flat = np.zeros(sum(variables[i].size for i in places), dtype)
            ends = np.cumsum([variables[i].size for i in places])
            for i, end in zip(places, ends, strict=True):
                grad = grads[i]
                if grad is not None:
                    flat[end - variables[i].size : end] = grad.value.reshape(-1)
            self.exchange.sum_in_place(flat)
            for i, end in zip(places, ends, strict=True):
                part = flat[end - variables[i].size : end]
                summed[i] = Tensor(part.reshape(variables[i].shape))
        return [summed.get(i) for i in range(len(grads))]


_now: ContextVar[Part | None] = ContextVar("part of a batch", default=None)


def part_of_batch() -> Part | None:
    """The part that this thread is at; None: a batch of its own."""
    return _now.get()


@contextlib.contextmanager
def computing(part: Part | None) -> Iterator[None]:
    """A block in which this thread computes on a part of a batch."""
    token = _now.set(part)
    try:
        yield
    finally:
        _now.reset(token)
