"""Standard output and its errors: no other module of the package prints.

A message to a stream that is None, closed, full or broken, has no `flush`, or cannot write a
letter costs the line or the letter, and never raises. KeyboardInterrupt and the like come through.
The results of a command are another thing: where they cannot be written, that is an error.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import unicodedata
import warnings
from types import FrameType
from typing import Any, TextIO

# Where neither the environment nor the terminal tells its width.
_COLUMNS = 80
# The folder of this package. Importing pathlib for it would take a fifth of the import.
_PACKAGE = __file__.rpartition(os.sep)[0] + os.sep


def say(text: str = "", end: str = "\n") -> None:
    """Prints to standard output what can be printed."""
    _print(getattr(sys, "stdout", None), text + end)


def results() -> TextIO:
    """Standard output as a stream, for a command whose results go there: its errors raise."""
    stream: TextIO | None = sys.stdout  # None where the process began without one
    if stream is None:
        raise OSError("there is no standard output")
    return stream


def close_results() -> None:
    """Lets Python end without a try to write what is left to a pipe that is closed."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(text: str) -> None:
    """Prints a line to standard error, as `say` does to standard output."""
    _print(getattr(sys, "stderr", None), text + "\n")


def warn(message: str, category: type[Warning], entry: str = "") -> None:
    """Warns at the line outside of this package that called it, or that called `entry`.

    `entry`: the name of a public function, for code that functions of users may stand around, such
    as a callback that calls the hook of its base class. Where a filter makes an error of the
    warning, that is raised; errors of standard error are not.
    """
    level, found = 2, not entry  # level 1 is this function
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        inside = code.co_filename.startswith(_PACKAGE)
        if found and not inside:
            break
        found = found or (inside and code.co_name == entry)
        level, frame = level + 1, frame.f_back
    try:
        warnings.warn(message, category, stacklevel=level)
    except Warning:
        raise
    except Exception:  # noqa: BLE001 - of a stream, or of the program's own `showwarning`
        return


def is_terminal() -> bool:
    """Whether standard output says that it is a terminal."""
    try:
        return bool(sys.stdout.isatty())
    except Exception:  # noqa: BLE001 - any class may stand for sys.stdout
        return False


def terminal_columns() -> int | None:
    """The width of the terminal that standard output is; None where it is none.

    The environment's COLUMNS comes first, as in `shutil.get_terminal_size`.
    """
    if not is_terminal():
        return None
    with contextlib.suppress(ValueError):
        given = int(os.environ.get("COLUMNS", ""))
        if given > 0:
            return given
    try:
        # Zero is what a terminal says whose size was never set.
        return os.get_terminal_size(sys.stdout.fileno()).columns or _COLUMNS
    except Exception:  # noqa: BLE001 - a `fileno` that is missing, or no number
        return _COLUMNS


def columns(text: str) -> int:
    """The columns of a terminal that `text` takes."""
    return sum(map(_columns, text))


def cut(text: str, width: int) -> str:
    """As much of `text` as `width` columns show."""
    for i, letter in enumerate(text):
        width -= _columns(letter)
        if width < 0:
            return text[:i]
    return text


def printable(text: str) -> str:
    """A name or a value from a file as text that no terminal and no page takes for commands: control
    characters, and what turns the direction of text, as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _columns(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _print(stream: Any, text: str) -> None:
    with contextlib.suppress(Exception):
        # What the program printed itself goes first. Where that cannot be written, the error is
        # the program's to see, so nothing is added to it or taken away.
        try:
            _flush(stream)
        except OSError:
            return
        try:
            _write(stream, text)
            _flush(stream)
        except OSError:
            _forget(stream)


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - no `flush`, or one that cannot
        return


def _write(stream: Any, text: str) -> None:
    try:
        stream.write(text)
        return
    except UnicodeError:
        encoding = str(getattr(stream, "encoding", None))
    # The encoding that a stream names need not be that of what it writes to.
    for name in (encoding, "ascii"):
        with contextlib.suppress(UnicodeError, LookupError):
            stream.write(text.encode(name, "replace").decode(name))
            return


def _forget(stream: Any) -> None:
    """Empties the buffer of a stream that could not be written.

    Else Python would try once more when it ends, and end with status 120.
    """
    if not isinstance(stream, io.TextIOWrapper):
        return
    descriptor = stream.fileno()
    inheritable = os.get_inheritable(descriptor)
    kept = os.dup(descriptor)
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, descriptor)
            stream.flush()
        finally:
            os.dup2(kept, descriptor, inheritable)
            os.close(null)
    finally:
        os.close(kept)
