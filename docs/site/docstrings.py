"""Docstrings as reStructuredText: they are plain text, with `names` in backticks and doctests."""

from __future__ import annotations

import re
from typing import Any

_SPAN = re.compile(r"(``?[^`]+``?)")
_SPECIAL = re.compile(r"([*|\\])")
_NAMES = re.compile(
    r"^\s+\*{0,2}\w+(, \*{0,2}\w+)*,$"
)  # of arguments, which go on in the next line
_REFERENCE = re.compile(r"(?<=\w)_(?=\W|$)")


def as_rst(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Sphinx's hook: escapes markup that is none. Examples stay as they are."""
    lines[:] = escaped(_joined(lines))


def _joined(lines: list[str]) -> list[str]:
    """Names of arguments that take several lines on one, and lists with an empty line before them."""
    result: list[str] = []
    for line in lines:
        before = result[-1] if result else ""
        begins = line.lstrip().startswith("- ") and not before.lstrip().startswith("- ")
        if _NAMES.match(before):
            result[-1] += f" {line.strip()}"
            continue
        if begins and before.strip() and _indent(before) <= _indent(line):
            result.append("")
        result.append(line)
    return result


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def escaped(lines: list[str]) -> list[str]:
    result, example = [], False
    for line in lines:
        example = line.strip().startswith(">>>") or (example and bool(line.strip()))
        result.append(line if example else _line(line))
    return result


def _line(line: str) -> str:
    parts = _SPAN.split(line)
    for i in range(0, len(parts), 2):
        text = _REFERENCE.sub(r"\\_", _SPECIAL.sub(r"\\\1", parts[i]))
        if i and text[:1].isalnum():
            text = "\\ " + text
        if i + 1 < len(parts) and text[-1:].isalnum():
            text += "\\ "
        parts[i] = text
    for i in range(1, len(parts), 2):
        parts[i] = f"``{parts[i].strip('`')}``"
    return "".join(parts)


def sentence(obj: Any) -> str:
    """The first sentence of a docstring, on one line."""
    text = re.split(r"\n\s*\n", (obj.__doc__ or "").strip())[0]
    text = " ".join(text.split())
    found = re.match(r".*?[.:](?=\s|$)", text)
    return found[0].rstrip(":") if found else text
