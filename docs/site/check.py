"""Looks at the built site: `python docs/site/check.py build/site`.

Links and pictures of its pages lead to files and anchors that there are, and a page loads nothing from
elsewhere: no script, style, font or picture. Links to other sites are for readers to follow.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_URL = re.compile(r"url\(\s*['\"]?(?!data:)([^'\")\s]+)|@import\s+['\"]([^'\"]+)")


class _Page(HTMLParser):
    """The anchors of a page, where it leads to, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name in ("id", "name"):
                self.anchors.add(value)
            elif name in ("src", "srcset", "data") or (name == "href" and tag == "link"):
                self.loads.append(value)
            elif name == "href":
                self.links.append(value)
            elif name == "style":
                self.loads += [a or b for a, b in _URL.findall(value)]


def faults(site: Path) -> list[str]:
    """What is wrong, a line each."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site)
        found += [f"{name}: loads {url}" for url in page.loads if _is_elsewhere(url)]
        inside = [url for url in page.links + page.loads if not _is_elsewhere(url)]
        for url in inside:
            parts = urlsplit(url)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                found.append(f"{name}: {url} is not there")
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{name}: {url} has no such anchor")
    for path in site.rglob("*.css"):
        urls = [a or b for a, b in _URL.findall(path.read_text(encoding="utf-8"))]
        found += [f"{path.relative_to(site)}: loads {url}" for url in urls if _is_elsewhere(url)]
    return found


def _is_elsewhere(url: str) -> bool:
    return url.startswith(("http:", "https:", "//"))


def main() -> None:
    site = Path(sys.argv[1]).resolve()
    found = faults(site)
    print(*found, sep="\n", end="\n" if found else "")
    count = sum(1 for _ in site.rglob("*.html"))
    if found:
        sys.exit(f"{len(found)} faults")
    print(f"{count} pages: every link leads somewhere, and nothing comes from elsewhere")


if __name__ == "__main__":
    main()
