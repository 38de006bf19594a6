"""An estimator with the parameters that the command line gives it."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Mapping
from typing import Any

from fastnn.commands.learned import Learned
from fastnn.commands.table_models import estimators
from fastnn.data.frame import category
from fastnn.words import unknown

_OWN = ("random_state", "verbose")


def parsed_setting(text: str) -> tuple[str, Any]:
    """NAME=VALUE; the value is Python's, or a word. A type of argparse."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return name, value


def fitted(learned: Learned, settings: Mapping[str, Any]) -> Any:
    """An estimator that has learned.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError, TypeError: a parameter has another name or value, or the rows cannot be learned.
    """
    module = estimators("train")
    kind = module.TabularClassifier if learned.is_classes else module.TabularRegressor
    estimator = kind()
    known = estimator.get_params(deep=False)
    for name in settings:
        if name not in known:
            raise ValueError("--set: " + unknown("parameter", name, sorted(known)))
    estimator.set_params(**settings)
    columns: dict[str, Any] = dict(learned.columns)
    columns |= {name: category(name, columns[name]) for name in learned.text}
    return estimator.fit(columns, learned.y, sample_weight=learned.weights)
