"""Random Tensors. They have a generator of their own: models draw their numbers elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn.autodiff.functions import where
from fastnn.autodiff.quiet import operation
from fastnn.autodiff.tensor import Tensor, converted, tensor
from fastnn.words import integer, number

# So that models and random Tensors of one seed have nothing to do with each other.
_STREAM = 0x7265


class SeedGenerator:
    """Seeds that differ from call to call, and are the same ones after the same seed, as in Keras.

        >>> draw = fastnn.random.SeedGenerator(1)
        >>> a, b = (fastnn.random.normal((2,), seed=draw) for _ in range(2))
        >>> again = fastnn.random.normal((2,), seed=fastnn.random.SeedGenerator(1))
        >>> bool((a == again).all()), bool((a == b).all())
        (True, False)

    Args:
        seed: an integer of at least 0; None: one is drawn.
        name: accepted as in Keras, and unused.
    """

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        del name
        drawn = int(_generator.of(None).integers(2**31)) if seed is None else seed
        self.seed = integer("seed", drawn, 0)
        self.calls = 0

    def next(self) -> np.random.Generator:
        """The generator of the next call."""
        self.calls += 1
        return np.random.default_rng((_STREAM, self.seed, self.calls))

    def get_config(self) -> dict[str, int]:
        """The seed."""
        return {"seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """One of this seed."""
        return cls(**config)


class _Generator:
    """The generator of calls without a seed: `fastnn.utils.set_random_seed` begins it anew."""

    def __init__(self) -> None:
        self._now: np.random.Generator | None = None

    def reset(self, seed: int) -> None:
        self._now = np.random.default_rng((_STREAM, seed))

    def of(self, seed: int | SeedGenerator | None) -> np.random.Generator:
        """The generator of a call; one with a seed draws the same numbers each time."""
        if isinstance(seed, SeedGenerator):
            return seed.next()
        if seed is not None:
            return np.random.default_rng(integer("seed", seed, 0))
        if self._now is None:
            self._now = np.random.default_rng()
        return self._now


_generator = _Generator()
reset = _generator.reset


@operation
def normal(
    shape: Sequence[int] | int,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: DTypeLike = np.float32,
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Normally distributed numbers.

        >>> x = fastnn.random.normal((1000,), mean=5.0, seed=0)
        >>> bool(4.9 < x.mean() < 5.1)
        True

    Args:
        shape: of the Tensor.
        mean, stddev: of the distribution; numbers, or arrays that broadcast to shape.
        dtype: a type of floats.
        seed: draws the same numbers in each call, a SeedGenerator others; None: the next ones after
            `fastnn.random.set_seed`.

    Raises:
        ValueError: dtype is no type of floats.
    """
    drawn = _generator.of(seed).standard_normal(_shape(shape))
    return Tensor(np.asarray(converted(mean) + converted(stddev) * drawn, _floats(dtype)))


@operation
def truncated_normal(
    shape: Sequence[int] | int,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: DTypeLike = np.float32,
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """As `normal`, with numbers more than two stddev from the mean drawn again.

    >>> x = fastnn.random.truncated_normal((1000,), seed=0)
    >>> bool(fastnn.abs(x).max() <= 2)
    True
    """
    generator = _generator.of(seed)
    drawn = np.asarray(generator.standard_normal(_shape(shape)))
    wrong = np.abs(drawn) > 2
    while wrong.any():
        drawn[wrong] = generator.standard_normal(int(wrong.sum()))
        wrong = np.abs(drawn) > 2
    return Tensor(np.asarray(mean + stddev * drawn, _floats(dtype)))


@operation
def uniform(
    shape: Sequence[int] | int,
    minval: Any = 0,
    maxval: Any = None,
    dtype: DTypeLike = np.float32,
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Numbers that are equally likely in [minval, maxval).

        >>> x = fastnn.random.uniform((1000,), 1, 7, dtype=fastnn.int32, seed=0)  # dice
        >>> int(x.min()), int(x.max())
        (1, 6)

    Args:
        shape: of the Tensor.
        minval, maxval: maxval=None: 1, for floats alone.
        dtype: a type of floats, or of integers, for which maxval is needed.
        seed: see `normal`.

    Raises:
        ValueError: integers without a maxval, or maxval below minval.
    """
    kind = np.dtype(dtype)
    generator = _generator.of(seed)
    if kind.kind in "iu":
        if maxval is None or maxval <= minval:
            raise ValueError(f"maxval: integers need one above minval={minval}, got {maxval}")
        return Tensor(np.asarray(generator.integers(minval, maxval, _shape(shape)), kind))
    high = 1.0 if maxval is None else maxval
    if high < minval:
        raise ValueError(f"maxval: expected at least minval={minval}, got {high}")
    drawn = minval + (high - minval) * generator.random(_shape(shape))
    values = np.asarray(drawn, _floats(dtype))
    # Rounding to float32 may reach the end, which does not belong to the interval.
    below = np.nextafter(values.dtype.type(high), values.dtype.type(minval))
    return Tensor(np.minimum(values, below) if high > minval else values)


@operation
def shuffle(value: Any, seed: int | SeedGenerator | None = None) -> Tensor:
    """The rows in another order.

        >>> x = fastnn.random.shuffle([1, 2, 3, 4], seed=0)
        >>> sorted(x.tolist())
        [1, 2, 3, 4]

    Args:
        value: a Tensor or an array, whose first axis is that of rows.
        seed: see `normal`.
    """
    x = tensor(value)
    return x[_generator.of(seed).permutation(len(x))]


@operation
def dropout(x: Any, rate: float, seed: int | SeedGenerator | None = None) -> Tensor:
    """Each number is 0 with probability `rate`, and else divided by 1 - rate.

        >>> x = fastnn.nn.dropout(fastnn.ones(1000), rate=0.75, seed=0)
        >>> sorted({float(number) for number in x})
        [0.0, 4.0]

    Args:
        x: a Tensor or an array of floats.
        rate: in [0, 1).
        seed: see `normal`.
    """
    z = tensor(x)
    kept = 1 - number("rate", rate, 0.0, 1.0, open_high=True)
    chosen = _generator.of(seed).random(z.shape) < kept
    return where(chosen, z / kept, 0.0)


def _shape(given: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in np.atleast_1d(converted(given))) if np.size(given) else ()


def _floats(dtype: DTypeLike) -> np.dtype[Any]:
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind.kind != "f":
        raise ValueError(f"dtype: expected a type of floats, got {kind}")
    return kind
