"""Words among the y of a regression: an error that says where, and what takes them."""

from __future__ import annotations

from typing import Any

import numpy as np


def refuse_words(y: Any, classifier: str) -> None:
    """ValueError for a y of strings that are no numbers; TypeError for the name of a column.

    scikit-learn would say "could not convert string to float" of them, or nothing.
    """
    array = np.asarray(y)
    if array.dtype.kind not in "OUST":
        return
    refuse_name(y)
    for place, entry in enumerate(array.flat):
        if isinstance(entry, (str, bytes)) and not _is_number(entry):
            row = place // (array.size // len(array))
            raise ValueError(
                f"y: expected numbers, got {str(entry)!r} at row {row}; {classifier} takes classes"
            )


def refuse_name(y: Any) -> None:
    """TypeError for a y that is one string, such as the name of a column of X."""
    if isinstance(y, str):
        raise TypeError(
            f"y: expected the targets, got the string {y!r}; for a column of a table give "
            f"y=table[{y!r}], and leave it out of X"
        )


def _is_number(word: str | bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
