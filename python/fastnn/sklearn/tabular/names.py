"""Names and numbers of columns, checked as scikit-learn does, for tables that it does not know too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.console import warn
from fastnn.data.frame import Frame

_MOST_NAMES = 5  # in a message


def checked_frame(estimator: Any, X: Any, *, reset: bool) -> Frame:
    """The columns of X; at `reset` the estimator gets their names and number, else X is to have them.

    Raises:
        ValueError: it has others, in number, names or order, or no row or column.
    """
    frame = Frame.of(X)
    shape = (len(frame), len(frame.columns))
    if not frame.columns:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={shape}) while a minimum of 1 is required."
        )
    if not len(frame):
        raise ValueError(
            f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required."
        )
    known = getattr(estimator, "feature_names_in_", None)
    if not reset and isinstance(X, Mapping) and known is not None:
        frame = _in_order(frame, list(known))
    names = np.array(frame.names, dtype=object) if frame.named else None
    if reset:
        estimator.n_features_in_ = len(frame.columns)
        if names is not None:
            estimator.feature_names_in_ = names
        elif known is not None:
            del estimator.feature_names_in_
    else:
        _check(type(estimator).__name__, estimator.n_features_in_, known, names, shape[1])
    return frame


def _in_order(frame: Frame, names: list[str]) -> Frame:
    """A mapping has no order of columns that counts."""
    by_name = {column.name: column for column in frame.columns}
    if set(by_name) != set(names):
        return frame
    return Frame([by_name[name] for name in names], named=True, length=len(frame))


def _check(name: str, count: int, known: Any, names: Any, given: int) -> None:
    """Compares names and number of columns with those of `fit`, in scikit-learn's words."""
    if known is None and names is not None:
        warn(f"X has feature names, but {name} was fitted without feature names", UserWarning)
    elif known is not None and names is None:
        warn(
            f"X does not have valid feature names, but {name} was fitted with feature names",
            UserWarning,
        )
    elif known is not None and list(known) != list(names):
        unseen, missing = sorted(set(names) - set(known)), sorted(set(known) - set(names))
        told = "The feature names should match those that were passed during fit.\n"
        if unseen:
            told += "Feature names unseen at fit time:\n" + _listed(unseen)
        if missing:
            told += "Feature names seen at fit time, yet now missing:\n" + _listed(missing)
        if not unseen and not missing:
            told += "Feature names must be in the same order as they were in fit.\n"
        raise ValueError(told)
    if given != count:
        raise ValueError(
            f"X has {given} features, but {name} is expecting {count} features as input"
        )


def _listed(names: list[str]) -> str:
    return "".join(f"- {name}\n" for name in names[:_MOST_NAMES]) + (
        "- ...\n" if len(names) > _MOST_NAMES else ""
    )
