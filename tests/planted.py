"""Changes of marked places in the sources, for tests that must fail, or hang, where one is changed.

A line of csrc ends with `// planted: <name>`, or such a comment is the line above it.
"""

from __future__ import annotations

import re
from pathlib import Path

MARK = re.compile(r"// planted: (.+)$", re.MULTILINE)


def names(root: Path) -> list[str]:
    """The names of all marks in csrc."""
    return sorted(name for path in _sources(root) for name in MARK.findall(path.read_text()))


def change(root: Path, name: str, old: str, new: str) -> None:
    """Replaces `old`, which must be once in the marked line, by `new`."""
    found = [
        (path, number)
        for path in _sources(root)
        for number, line in enumerate(path.read_text().splitlines())
        if MARK.findall(line) == [name]
    ]
    places = ", ".join(f"{path.relative_to(root)}:{number + 1}" for path, number in found)
    assert len(found) == 1, (
        f"the mark '// planted: {name}' must be once in csrc: {places or 'none'}"
    )
    path, number = found[0]
    lines = path.read_text().splitlines(keepends=True)
    if lines[number].lstrip().startswith("//"):
        number += 1
    code, comment = _split(lines[number])
    assert code.count(old) == 1, f"{places}: {old!r} must be once in {code.strip()!r}"
    lines[number] = code.replace(old, new) + comment
    path.write_text("".join(lines))


def _split(line: str) -> tuple[str, str]:
    code, slashes, comment = line.partition("  //")
    return code, slashes + comment


def _sources(root: Path) -> list[Path]:
    return sorted(p for p in (root / "csrc").rglob("*") if p.suffix in (".h", ".cpp", ".cu"))
