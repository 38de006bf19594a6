"""The validation split: which rows are held out, the same at every fit.

A deterministic function of the model's key, the number of rows, the split and
the classes; only indices are made, no row is moved.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import _core, keys
from fastnn.data.classes import classes_of
from fastnn.data.table import Table

Indices = NDArray[np.int64]

# Shares of rows are rounded to this many digits: in floats 0.1 * 30 is a little more than 3.
_DIGITS = 9


class Split(NamedTuple):
    """Indices of rows, each in ascending order."""

    training: Indices
    validation: Indices


class Splits:
    """The splits that a model has made, by number of rows and share: a bit for each row.

    Those that were used last are kept: the last one, and others while all take no more than
    `most` bytes. A split that was forgotten is made anew, from the classes of the data then.
    """

    most = 1 << 20

    def __init__(self) -> None:
        self._held: dict[tuple[int, float], NDArray[np.uint8]] = {}  # the last used at the end

    def find(self, n: int, share: float) -> Split | None:
        """The split of n rows; None: not made yet, or forgotten."""
        bits = self._held.get((n, share))
        if bits is None:
            return None
        return _split_of(np.unpackbits(bits, count=n).astype(np.bool_))

    def held(self) -> list[tuple[tuple[int, float], NDArray[np.uint8]]]:
        """All that are kept, with rows and share; bits of rows that are held out."""
        return list(self._held.items())

    def put(self, n: int, share: float, bits: NDArray[np.uint8]) -> None:
        """Keeps one that `held` gave."""
        self._held = {**self._held, (n, share): bits}

    def keep(self, n: int, share: float, split: Split) -> None:
        """Remembers the split of n rows as the one that was used last."""
        held = np.zeros(n, dtype=np.bool_)
        held[split.validation] = True
        kept = {key: bits for key, bits in self._held.items() if key != (n, share)}
        kept[n, share] = np.packbits(held)
        while len(kept) > 1 and sum(bits.nbytes for bits in kept.values()) > self.most:
            del kept[next(iter(kept))]
        self._held = kept


def check_bits(n: int, bits: NDArray[np.uint8]) -> None:
    """ValueError where bits of a file hold out no rows, or all of them."""
    count = int(np.unpackbits(bits, count=n).sum())
    if count in (0, n):
        raise ValueError(f"splits: expected some of {n} rows to be held out, got {count}")


def _split_of(held: NDArray[np.bool_]) -> Split:
    return Split(np.flatnonzero(~held).astype(np.int64), np.flatnonzero(held).astype(np.int64))


def strata_of(table: Table, targets: str) -> Indices | None:
    """The number of each row's stratum; None: the rows are one stratum.

    `targets` is what the loss takes (`rows.LossRow`). A stratum is a class where targets are
    classes or one label a row, and a set of labels where there are several. Regression has one
    stratum.
    """
    if targets not in ("classes", "unit_or_missing"):
        return None
    y = table.targets
    if y is None or y.shape[1] == 1 or targets == "classes":
        return classes_of(table)
    bits = np.packbits(y > 0.5, axis=1)
    _, numbers = np.unique(bits, axis=0, return_inverse=True)
    return numbers.reshape(len(y)).astype(np.int64)


def held_out(n: int, share: float, strata: Indices | None, key: int) -> Split:
    """Splits n rows so that `share` of every stratum, within one row, is held out.

    As many rows are held out as in Keras: n - floor(n * (1 - share)). Each stratum is put into
    a random order, and its first rows are held out.

    Raises:
        ValueError: one of the two parts would be empty.
    """
    count = n - math.floor(round(n * (1.0 - share), _DIGITS))
    if count in (0, n):
        raise ValueError(
            f"validation_split: {share} of {n} rows leaves {n - count} rows to train on and "
            f"{count} to validate; give validation_data, or a split that leaves both some"
        )
    if strata is None:
        numbers = np.zeros(n, dtype=np.int64)
    else:
        numbers = np.unique(strata, return_inverse=True)[1].reshape(n)
    sizes = np.bincount(numbers)
    quotas = _quotas(sizes, share, count, key)
    bits = _core.random_bits(n, key, keys.SPLIT_STREAM)
    # Rows stratum by stratum, in random order within each: one sort of (stratum, bits).
    order = np.argsort((numbers.astype(np.uint64) << np.uint64(32)) | bits, kind="stable")
    stratum = numbers[order]
    rank = np.arange(n) - (np.cumsum(sizes) - sizes)[stratum]
    held = np.zeros(n, dtype=np.bool_)
    held[order] = rank < quotas[stratum]
    return _split_of(held)


def _quotas(sizes: Indices, share: float, count: int, key: int) -> Indices:
    """How many rows of each stratum are held out: `count` in all, each share rounded up or down.

    A lot decides which strata round up; the chance of a stratum grows with the fraction of a
    row that rounding down would lose. So about `share` of many strata of one row are held out.
    """
    exact = np.round(share * sizes, _DIGITS)
    quotas: Indices = np.floor(exact).astype(np.int64)
    rest = exact - quotas
    lots = _core.random_bits(len(sizes), key, keys.SPLIT_STREAM + 1) / 2.0**32
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = np.where(rest > 0, lots / rest, np.inf)
    quotas[np.argsort(turn, kind="stable")[: max(0, count - int(quotas.sum()))]] += 1
    return quotas
