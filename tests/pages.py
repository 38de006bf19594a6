"""Pages of HTML as the tests look at them: by the parser of Python, and in Chromium where it is installed."""

from __future__ import annotations

import functools
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
_VOID = {"meta", "br", "img", "input", "link", "hr", "wbr", "source"}


class Page(HTMLParser):
    """A parsed page: `tags`, `attributes`, `text`, and `faults`: what is no well-formed HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.parts: list[str] = []
        self.faults: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = [name for name, _ in attrs]
        if len(set(names)) < len(names):
            self.faults.append(f"<{tag}> has an attribute twice: {names}")
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1] != tag:
            self.faults.append(f"</{tag}> where {self._open[-1:]} is open")
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.parts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.parts).split())


def check(text: str) -> Page:
    """A page that is well formed, runs nothing and asks for nothing."""
    page = Page(text)
    assert page.faults == []
    assert not {"script", "iframe", "object", "embed", "link", "img", "base", "form"} & set(
        page.tags
    )
    for tag, name, value in page.attributes:
        assert name not in ("src", "href", "srcset", "action", "xlink:href"), (tag, name, value)
        assert not name.startswith("on"), (tag, name, value)
        assert name in ("aria-label", "title") or "url(" not in value, (tag, name, value)
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "NaN" not in "".join(
        v for _, name, v in page.attributes if name in ("d", "x", "y", "style")
    )
    return page


@functools.cache
def _program() -> str:
    assert CHROMIUM is not None
    return CHROMIUM


def measured(path: Path, width: int, dark: bool = False) -> dict[str, str]:
    """What Chromium makes of a page of a width: attributes of an element that a script adds.

    `scroll`: the width that its content takes; `back`, `ink`: colours; `small`: the least height of the
    text of a chart, in pixels; `broken`: charts without a size; `asked`: what it asked the network for.
    """
    text = path.read_text()
    # The page itself forbids scripts. This copy, in which only the policy is missing, has one.
    start = text.index("<meta http-equiv")
    end = text.index(">", start) + 1
    script = """<script>addEventListener("load", () => {
      const all = (s) => [...document.querySelectorAll(s)], root = document.documentElement;
      const style = getComputedStyle(document.body), out = document.createElement("output");
      const heights = all(".chart text").map((t) => t.getBoundingClientRect())
        .filter((r) => r.width > r.height).map((r) => r.height);
      out.dataset.scroll = root.scrollWidth;
      out.dataset.back = style.backgroundColor;
      out.dataset.ink = style.color;
      out.dataset.small = heights.length ? Math.min(...heights) : "";
      out.dataset.broken = all(".chart").filter((c) => c.getBoundingClientRect().width < 100).length;
      out.dataset.asked = performance.getEntriesByType("resource").length;
      document.body.append(out); });</script>"""
    copy = path.with_name(f"{path.stem}-{width}-{dark}.html")
    copy.write_text(text[:start] + text[end:].replace("</head>", script + "</head>"))
    # A window has a least width; a frame has any.
    frame = path.with_name(f"{path.stem}-frame.html")
    frame.write_text(
        f'<iframe id="f" src="{copy.name}" style="width:{width}px;height:900px;border:0"></iframe>'
        """<script>addEventListener("load", () => setTimeout(() => {
          document.body.append(document.getElementById("f").contentDocument.querySelector("output"));
        }, 100));</script>"""
    )
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    done = subprocess.run(
        [
            _program(),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--allow-file-access-from-files",
            f"--user-data-dir={path.parent / 'profile'}",
            "--virtual-time-budget=3000",
            "--window-size=1400,1000",
            *scheme,
            "--dump-dom",
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = Page(done.stdout)
    return {n.removeprefix("data-"): v for tag, n, v in found.attributes if tag == "output"}
