"""Where random numbers start: the 64-bit key of each model.

All random numbers of a model (initial weights, dropout, the order of rows, the
validation split) are drawn natively from its key; no random number is drawn here.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

from fastnn.calling import now

_MASK = 2**64 - 1
# The odd constant of Weyl's sequence in splitmix64: 2**64 divided by the golden ratio.
_GOLDEN = 0x9E3779B97F4A7C15

# Streams of a model's key. Native code uses 0 to 2**32. Streams above are drawn from by
# Python: first weights (two streams a layer) and the validation split.
WEIGHTS_STREAM = 2 << 32
_FURTHER_WEIGHTS_STREAM = 4 << 32  # of the third parameter of a layer and those behind it
_MOST_PARAMETERS = 64  # of a layer
SPLIT_STREAM = 3 << 32


def splitmix64(x: int) -> int:
    """One step of splitmix64 (Steele, Lea and Flood, 2014): a bijective mix of 64 bits."""
    x = (x + _GOLDEN) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def weights_stream(layer: int, parameter: int) -> int:
    """The stream of the first values of a layer's parameter; both are counted from 0."""
    assert parameter < _MOST_PARAMETERS
    if parameter < 2:
        return WEIGHTS_STREAM + 2 * layer + parameter
    return _FURTHER_WEIGHTS_STREAM + _MOST_PARAMETERS * layer + parameter


def key_of(seed: int, count: int = 0) -> int:
    """The key of model number `count` after seed `seed`: splitmix64(splitmix64(seed) + count)."""
    return splitmix64((splitmix64(seed) + count) & _MASK)


class Source:
    """Keys that one model draws: the same after the same seed, whatever else draws keys.

    Calls inside of which a Source is named (see `calling`) draw from it.

    Args:
        key: the model's; its own streams are drawn from other keys.
    """

    def __init__(self, key: int) -> None:
        self._key = splitmix64(key)
        self._count = 0

    def next_key(self) -> int:
        self._count += 1
        return key_of(self._key, self._count - 1)


class _Seed:
    """The seed set by `fastnn.utils.set_random_seed`, and how many keys were drawn since.

    No lock is needed, and none could stay locked in the child of a fork: the seed and its counter
    are replaced at once, and `next` of a counter is one step.
    """

    def __init__(self) -> None:
        self._drawn: tuple[int, Iterator[int]] | None = None

    def reset(self, seed: int) -> None:
        self._drawn = seed, itertools.count()

    def next_key(self) -> int:
        source = now().keys
        if source is not None:
            inside: int = source.next_key()
            return inside
        drawn = self._drawn
        if drawn is None:
            return int.from_bytes(os.urandom(8), "little")
        seed, counter = drawn
        return key_of(seed, next(counter))


_seed = _Seed()
reset = _seed.reset
next_key = _seed.next_key
