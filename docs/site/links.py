"""Links between pages of the repository, where they lead to files that are no pages of the site.

A page links as in the repository: `../benchmarks/NOTES.md#tables`, `examples/primer.py`. README, CHANGELOG
and the like are pages here too, in docs/project, written from the files.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Files of the repository with the pages that they are here.
PAGES = {
    "CHANGELOG.md": "project/changelog.md",
    "CODE_OF_CONDUCT.md": "project/code_of_conduct.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "benchmarks/NOTES.md": "project/notes.md",
    "benchmarks/results/README.md": "project/results.md",
}
INDEXES = {"README.md": "index.md", "examples/README.md": "gallery/index.md"}
FOLDERS = {"examples": "gallery/index.md", "benchmarks": "benchmarks.md"}
_LINK = re.compile(
    r"(?<!!)\[([^\]\[]*(?:\[[^\]]*\][^\]\[]*)*)\]\((?![a-z]+:)([^)#\s]*)(#[^)\s]*)?\)"
)


def write(folder: Path) -> None:
    """Writes the pages of the project's own files."""
    folder.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        if (ROOT / name).exists():
            (DOCS / page).write_text((ROOT / name).read_text())


def rewritten(app: Any, name: str, source: list[str]) -> None:
    """Sphinx's hook: links to files outside of docs lead to their pages, or to the files."""
    if (DOCS / f"{name}.md").exists():
        source[0] = converted(name, source[0])


def converted(name: str, text: str) -> str:
    """The text of a page with its links as the site needs them."""
    origin = {page: original for original, page in PAGES.items()}.get(
        f"{name}.md", f"docs/{name}.md"
    )
    here = ROOT / Path(origin).parent

    def link(found: re.Match[str]) -> str:
        said, path, anchor = found[1], found[2], found[3] or ""
        if not path:
            return found[0]
        target = (here / path).resolve()
        if not target.is_relative_to(ROOT):
            return found[0]
        inside = str(target.relative_to(ROOT))
        if inside in PAGES:
            target = DOCS / PAGES[inside]
        elif inside in FOLDERS:
            target = DOCS / FOLDERS[inside]
        elif inside.startswith("examples/") and target.suffix == ".py":
            target = DOCS / "gallery" / f"{target.stem}.md"
        elif inside in INDEXES:
            target = DOCS / INDEXES[inside]
            anchor = ""
        elif not target.is_relative_to(DOCS) and (target.is_dir() or not target.exists()):
            return said
        return f"[{said}]({os.path.relpath(target, (DOCS / name).parent)}{anchor})"

    return _LINK.sub(link, text)
