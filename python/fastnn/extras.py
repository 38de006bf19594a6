"""Packages that fastnn can do without: each is imported where a call needs it, or the error says how to
install it."""

from __future__ import annotations

import importlib
from typing import Any


def needed(module: str, doing: str, extra: str | None = None) -> Any:
    """A module of another package.

    Args:
        module: its full name.
        doing: the call that needs it, for the message.
        extra: the extra of fastnn that installs its package, if there is one.

    Raises:
        ImportError: it is not installed, or cannot be imported; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = _PACKAGES.get(module.partition(".")[0], module.partition(".")[0])
        lacks = (error.name or module).partition(".")[0]
        if lacks != module.partition(".")[0]:  # it is there, and one that it needs is not
            told = f"{doing} needs {package}, which cannot be imported: {error}"
            if package == "keras":
                told += "; KERAS_BACKEND=jax or torch chooses another backend than tensorflow"
            raise ImportError(told, name=error.name) from error
        told = f"{doing} needs {package}: pip install {package}"
        if extra is not None:
            told += (
                f", or install fastnn from its source with the extra {extra!r}, "
                f"pip install '.[{extra}]'"
            )
        raise ImportError(told, name=error.name) from error


_PACKAGES = {"sklearn": "scikit-learn"}
