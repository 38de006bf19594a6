"""Numbers that name rows of a table, or categories: whole, and below how many there are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def checked_numbers(layer: str, x: Any, count: int) -> NDArray[np.int64]:
    """Rows of whole numbers in [0, count), of any real type.

    Raises:
        ValueError: another number; the message names it, its row and its column.
    """
    array = np.asarray(x)
    flat = array.reshape(len(array), -1)
    good = (flat >= 0) & (flat < count)
    if flat.dtype.kind == "f":
        good &= np.floor(flat) == flat
    if not good.all():
        row, column = (int(at) for at in np.argwhere(~good)[0])
        raise ValueError(
            f"layer {layer!r}: expected whole numbers in [0, {count}), got {flat[row, column]} at row "
            f"{row}, column {column}"
        )
    return array.astype(np.int64)
