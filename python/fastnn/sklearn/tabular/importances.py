"""Importances of columns: how much the loss of held-out rows rises where a column is shuffled.

Breiman 2001, "Random forests", section 10. Where no layer before the first dense one mixes columns
(`Layer.by_column`), a column changes the outputs of that layer by its own rows of the kernel alone, so that
shuffling each column in turn costs by columns, not by their square. All other networks run as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import layers
from fastnn.data.encoding import Encoding
from fastnn.models import Model, Sequential

Array = NDArray[Any]
Floats = NDArray[np.float64]
Losses = Callable[[Array], Floats]

_AT_ONCE = 1 << 13  # rows that the layers after the first get in one call


def rises(
    model: Sequential | Model,
    encoding: Encoding,
    codes: bool,
    raw: NDArray[np.float32],
    losses: Losses,
    random: np.random.Generator,
) -> Floats:
    """How much the loss of a member rises where each column of the table is shuffled, (columns,).

    Args:
        model: of the member, which begins with a ColumnEncoding.
        encoding, codes: what its first layer does.
        raw: raw columns (n, ...) of rows that it did not learn from.
        losses: of outputs (n, outputs), (n,).
        random: for the orders of rows, one for each column.
    """
    orders = (random.permutation(len(raw)) for _ in encoding.sources)
    before, *after = (losses(one).mean() for one in shuffled(model, encoding, codes, raw, orders))
    return np.asarray(np.array(after) - before, np.float64)


def shuffled(
    model: Sequential | Model,
    encoding: Encoding,
    codes: bool,
    raw: NDArray[np.float32],
    orders: Iterable[NDArray[np.int64]],
) -> Iterator[Array]:
    """The outputs of a member for rows as they are, and then where each column in turn is shuffled.

    Args:
        model, encoding, codes, raw: see `rises`.
        orders: of rows, one for each column of the table.
    """
    if not isinstance(model, Sequential):  # columns meet beside its first layers, too
        yield from _shuffled_whole(model, encoding, raw, orders)
        return
    _, *behind = model.layers
    first = next((i for i, layer in enumerate(behind) if not layer.by_column), len(behind))
    if first == len(behind) or type(behind[first]) is not layers.Dense:
        yield from _shuffled_whole(model, encoding, raw, orders)
        return
    inputs = encoding.rows(raw, codes=codes)
    for layer in behind[:first]:
        inputs = np.asarray(layer(inputs))
    dense: layers.Dense = behind[first]
    rest = _rest(dense, behind[first + 1 :])
    kernel = dense.kernel.numpy()
    z = inputs @ kernel + (0 if dense.bias is None else dense.bias.numpy())
    yield rest(z)
    n = len(raw)
    order_of = iter(orders)
    for group in _groups(_places(encoding, codes), max(1, _AT_ONCE // n)):
        changed = np.repeat(z[None], len(group), axis=0)
        for number, places in enumerate(group):
            own = inputs[:, places]
            changed[number] += (own[next(order_of)] - own) @ kernel[places]
        yield from rest(changed.reshape(len(group) * n, -1)).reshape(len(group), n, -1)


def _shuffled_whole(
    model: Sequential | Model,
    encoding: Encoding,
    raw: NDArray[np.float32],
    orders: Iterable[NDArray[np.int64]],
) -> Iterator[Array]:
    """`shuffled` of any layers: the whole network for each column."""
    yield np.asarray(model.predict(raw, verbose=0))
    for source, order in zip(range(len(encoding.sources)), orders, strict=False):
        own = [i for i, column in enumerate(encoding.columns) if column.source == source]
        changed = raw.copy()
        changed[:, own] = raw[order][:, own]
        yield np.asarray(model.predict(changed, verbose=0))


def _rest(first: layers.Dense, others: Sequence[layers.Layer]) -> Callable[[Array], Array]:
    """From what the first dense layer adds up to the outputs of the network."""
    copies = [type(layer).from_config(layer.get_config()) for layer in others]
    begin = layers.Activation(first.activation, input_shape=(first.units,))
    model = Sequential([begin, *copies])
    for mine, theirs in zip(copies, others, strict=True):
        mine.set_weights(theirs.get_weights())
    return lambda z: np.asarray(model.predict(z, verbose=0))


def _places(encoding: Encoding, codes: bool) -> list[list[int]]:
    """The inputs that each column of the table has, in the order of `encoded`."""
    found: list[list[int]] = [[] for _ in encoding.sources]
    count, at = len(encoding.numbers), 0

    def take(column: int, width: int) -> None:
        nonlocal at
        found[encoding.columns[column].source] += range(at, at + width)
        at += width

    for i in range(count):
        take(i, 1)
    for i, rule in enumerate(encoding.numbers):
        take(i, rule.bins if codes else 0)
    for i, rule in enumerate(encoding.numbers):
        take(i, int(rule.indicator))
    for i, category in enumerate(encoding.categories, count):
        take(i, category.width)
    return found


def _groups(places: list[list[int]], size: int) -> Iterator[list[list[int]]]:
    for first in range(0, len(places), size):
        yield places[first : first + size]
