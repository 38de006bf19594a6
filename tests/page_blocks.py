"""The blocks of a page that tests run: those of Python, and those of a console."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Runs the blocks of a page in order, each with the names of those before it. A block that needs one of
# these packages is left out where it is not installed: no other one needs its names.
RUN_BLOCKS = """
import json, sys
names = {"__name__": "page"}
for i, block in enumerate(json.load(sys.stdin)):
    try:
        exec(compile(block, f"block {i}", "exec"), names)
    except ImportError as error:
        if error.name not in ("h5py", "keras", "onnx", "onnxruntime", "tensorflow", "torch"):
            raise
        print(f"block {i} is left out: {error}")
"""
_FENCE = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"# (\w+\.py)\n")


class Block(NamedTuple):
    kind: str  # "python" or "console"
    text: str

    @property
    def file(self) -> str | None:
        """The file that a program is to be saved in, from a comment in its first line."""
        found = _NAMED.match(self.text) if self.kind == "python" else None
        return found[1] if found else None


class Command(NamedTuple):
    line: str
    output: str  # with "..." for what differs from run to run


def blocks(page: Path, kind: str = "python|console") -> list[Block]:
    found = [Block(name, text) for name, text in _FENCE.findall(page.read_text())]
    return [block for block in found if re.fullmatch(kind, block.kind)]


def commands(block: Block) -> list[Command]:
    """The lines behind "$ ", each with what the page says that it prints."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not parts[0].strip(), "a console block begins with a command"
    split = (part.partition("\n") for part in parts[1:])
    return [Command(line, output) for line, _, output in split]


def matches(wanted: str, printed: str) -> bool:
    """Whether a program printed what the page shows, but for "..." and the number of spaces."""
    checker = doctest.OutputChecker()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return checker.check_output(wanted, printed, flags)
