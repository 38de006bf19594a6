"""Texts of files: JSON that is not trusted, in memory that the length of the file bounds."""

from __future__ import annotations

import json
import math
import re
from typing import Any


class ModelFileError(ValueError):
    """A file that is no file of a model, or a damaged one; the message names the fault.

    >>> with open("broken.safetensors", "wb") as file:
    ...     size = file.write(b"no model")
    >>> fastnn.load_model("broken.safetensors")
    Traceback (most recent call last):
    fastnn.files.texts.ModelFileError: ...
    """


# A string of JSON. It matches possessively: what was matched once is never tried another way.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
# Bytes that objects of Python take at most for each of these characters outside of strings, on
# 64-bit CPython 3.11: a list with the value before its first comma, a dictionary, an entry of one
# (that of `json` and the one that stays), a further value, a string. Two-digit and longer numbers
# have 32 bytes of it.
_BYTES = {"[": 128, "{": 72, ":": 160, ",": 44, '"': 64}
# Files of models with ten thousand layers of four units need 8 bytes for each of theirs.
_FOR_EACH_BYTE = 8
_IN_ALL_FILES = 16 * 2**20


def parsed(what: str, text: bytes | str, size: int | None = None) -> dict[str, Any]:
    """A JSON object in which no key occurs twice and all numbers are finite.

    Args:
        what: names the text in messages.
        text: UTF-8, or decoded.
        size: the length of the file that the text is of; None: the text is all of it. It bounds the
            memory: see `check_room`.

    Raises:
        ModelFileError: the text is no such object, or would need more memory.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        check_room(what, text, len(text) if size is None else size)
        found = json.loads(
            text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite
        )
    except RecursionError:
        raise ModelFileError(f"{what} is nested too deeply") from None
    except UnicodeDecodeError as why:
        raise ModelFileError(f"{what} is no UTF-8: {why}") from None
    except _Fault as why:
        raise ModelFileError(f"{what}: {why}") from None
    except ModelFileError:
        raise
    except ValueError as why:
        raise ModelFileError(f"{what} is no JSON: {why}") from None
    if not isinstance(found, dict):
        raise ModelFileError(f"{what}: expected an object, got {shown(found)}")
    return found


def check_room(what: str, text: str, size: int) -> None:
    """Refuses JSON whose objects could take more than 8 bytes for each byte of a file, and 16 MiB.

    Text such as `[[],[],...]` takes 37 times its length as objects, that of models 2 to 6 times.

    Args:
        what: names the text in messages.
        text: JSON.
        size: the length of the file that the text is of.

    Raises:
        ModelFileError: the objects could take more.
    """
    limit = _FOR_EACH_BYTE * size + _IN_ALL_FILES
    if len(text) * (max(_BYTES.values()) + 8) <= limit:
        return
    # Characters of one string have the size of its widest; escapes can make any.
    widest = 4 if "\\u" in text else 1 if text.isascii() else 4 if max(text) > "\uffff" else 2
    structure = _STRING.sub('"', text)
    needed = widest * len(text)
    needed += sum(structure.count(mark) * count for mark, count in _BYTES.items())
    if needed > limit:
        raise ModelFileError(
            f"{what}: {len(text)} characters of JSON that could take {needed >> 20} MiB as objects; "
            f"a file of {size} bytes may have {limit >> 20} MiB"
        )


class _Fault(ModelFileError):
    """A fault of a text that is not named yet."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Fault(f"the key {shown(key)} occurs twice")
            seen.add(key)
    return found


def _no_number(word: str) -> Any:
    raise _Fault(f"{word} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _Fault(f"{shown(text)} is too large for a number")
    return number


def shown(value: Any) -> str:
    """A value of a file in a message, cut where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # integers of thousands of digits
        return f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
