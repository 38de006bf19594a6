"""Pictures of matplotlib, an extra of the package: figures of their own, without pyplot.

No display is needed, and neither pyplot's current figure nor its backend is touched.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

# What matplotlib writes, by suffix.
_SUFFIXES = (".png", ".svg", ".pdf", ".eps", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")


def matplotlib(doing: str, module: str = "figure") -> Any:
    """A module of matplotlib; ImportError that says what to install."""
    try:
        return importlib.import_module(f"matplotlib.{module}")
    except ImportError as error:
        raise ImportError(
            f"{doing} needs matplotlib: pip install matplotlib, or install fastnn from its source "
            "with the extra 'plot', pip install '.[plot]'"
        ) from error


def suffix_of(path: Any, also: tuple[str, ...] = ()) -> str:
    """The suffix of a path, which decides the format; ".png" for a file that is open.

    Raises:
        ValueError: the suffix is missing, or of no format.
        TypeError: neither a path nor a file.
    """
    if hasattr(path, "write"):
        return ".png"
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path: expected a path or a file, got {path!r}")
    suffix = os.path.splitext(os.fspath(path))[1].lower()  # noqa: PTH122 - pathlib is slow to import
    known = dict.fromkeys((*also, *_SUFFIXES))
    if suffix not in known:
        raise ValueError(
            f"path: the suffix decides the format, expected one of {', '.join(known)}, got {path!r}"
        )
    return suffix


def write(figure: Any, path: Any) -> None:
    """Writes a figure to a file, in the format of its suffix."""
    figure.savefig(path, format=suffix_of(path)[1:])
