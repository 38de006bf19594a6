"""The versions of all that a model was made by."""

from __future__ import annotations

import importlib.metadata
import platform

from fastnn import _core
from fastnn.commands.content import Pairs


def versions() -> Pairs:
    """Names and versions."""
    found = [("fastnn", _core.__version__), ("Python", platform.python_version())]
    for name, package in (("NumPy", "numpy"), ("scikit-learn", "scikit-learn")):
        try:
            found.append((name, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return [*found, ("system", f"{platform.system()} on {platform.machine()}")]
