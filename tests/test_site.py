"""Pages of the repository link to files and headings that there are, and the site has all of docs/.

The site itself is built by `nox -s docs`, which looks at its links by docs/site/check.py.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pages as pages_of_html
import public_names
import pytest

import fastnn

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<!`)\[[^\]\n]+\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
WRITTEN = ("docs/api/", "docs/gallery/", "docs/project/")  # by the build of the site


def pages() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    names = [name for name in done.stdout.split("\0") if name]
    if done.returncode != 0 or not names:
        pytest.skip("needs git, and the repository")
    return [ROOT / name for name in names if (ROOT / name).exists()]


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    found = re.findall(r"^#+ +(.*)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in found}


def test_links_of_pages_lead_somewhere() -> None:
    wrong = []
    for page in pages():
        for path, anchor in LINK.findall(FENCE.sub("", page.read_text())):
            target = (page.parent / path).resolve() if path else page
            if str(target).startswith(tuple(str(ROOT / name) for name in WRITTEN)):
                continue
            if not target.exists():
                wrong.append(f"{page.relative_to(ROOT)}: {path}")
            elif anchor and anchor not in anchors(target):
                wrong.append(f"{page.relative_to(ROOT)}: {path}#{anchor}")
    assert not wrong


def test_the_site_lists_every_page() -> None:
    trees = re.findall(r"```{toctree}\n(.*?)```", (DOCS / "index.md").read_text(), re.DOTALL)
    listed = {line for tree in trees for line in tree.split("\n") if line and line[0] != ":"}
    assert {path.stem for path in DOCS.glob("*.md")} - {"index"} <= listed


def test_pictures_are_those_that_the_script_draws() -> None:
    program = [sys.executable, str(ROOT / "scripts" / "pictures.py"), "--check"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / "site" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_the_check_of_the_site_finds_faults(tmp_path: Path) -> None:
    (tmp_path / "style.css").write_text("@import 'https://elsewhere/a.css'; a {b: url(c.png)}")
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="b.html#there">b</a><a href="#top">a</a><a href="c.html">c</a>'
        '<a href="https://elsewhere">fine</a><script src="https://elsewhere/a.js"></script>'
    )
    (tmp_path / "b.html").write_text('<h1 id="here">B</h1><a href="a.html#top">a</a>')
    assert sorted(module("check").faults(tmp_path)) == [
        "a.html: b.html#there has no such anchor",
        "a.html: c.html is not there",
        "a.html: loads https://elsewhere/a.js",
        "style.css: loads https://elsewhere/a.css",
    ]


@pytest.mark.skipif(pages_of_html.CHROMIUM is None, reason="Chromium is not installed")
def test_the_look_at_the_site_finds_faults(tmp_path: Path) -> None:
    light, dark = "{background: #fff; color: #000}", "{background: #000; color: #fff}"
    style = f"<style>body {light} @media (prefers-color-scheme: dark) {{body {dark}}}</style>"
    for name, head, inside in (
        ("fine", style, "<pre style='overflow-x: auto'>" + 99 * "wide " + "</pre>"),
        ("wide", style, "<div style='width: 700px'>a box</div><img src='no.png'>"),
        ("pale", "<style>body {background: #fff; color: #eee}</style>", "<p>text</p>"),
    ):
        page = f"<!doctype html><html><head>{head}</head><body><article>{inside}</article></body></html>"
        (tmp_path / f"{name}.html").write_text(page)
    found = module("look").faults(tmp_path)
    assert {fault.partition(".html")[0] for fault in found} == {"wide", "pale"}
    assert any(fault.startswith("wide.html, 400 pixels: too wide by") for fault in found)
    assert not any(fault.startswith("wide.html, 1280 pixels: too wide") for fault in found)
    assert any("no picture no.png" in fault for fault in found)
    assert not list(tmp_path.glob("look*"))


def test_links_of_the_repository_lead_to_pages_of_the_site() -> None:
    converted = module("links").converted
    text = (
        "[a](../benchmarks/NOTES.md#tables) [b](../examples/primer.py) [c](keras.md) [d](https://x)"
    )
    assert converted("tables", text) == (
        "[a](project/notes.md#tables) [b](gallery/primer.md) [c](keras.md) [d](https://x)"
    )
    assert converted("project/changelog", "[docs/files.md](docs/files.md)") == (
        "[docs/files.md](../files.md)"
    )
    assert converted("index", "[cmake/cuda.cmake](../cmake)") == "cmake/cuda.cmake"


def test_the_reference_has_every_public_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each function and class of each `__all__`, under one of its names, and a page for each module."""
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(str(DOCS / "site"))
    pages = module("api_pages").names_by_module()
    shown = {id(value) for names in pages.values() for value in names.values()}
    modules = public_names.modules() | {"fastnn.sklearn": importlib.import_module("fastnn.sklearn")}
    for path, each in modules.items():
        for name in each.__all__:
            value = getattr(each, name)
            if callable(value) and public_names.is_ours(value):
                assert id(value) in shown, f"{path}.{name}"
    text = module("api_pages").page("fastnn.layers", pages["fastnn.layers"])
    assert ".. autoclass:: fastnn.layers.Dense\n" in text


def test_the_page_of_installation_has_every_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (DOCS / "install.md").read_text()
    assert not [name for name in project["optional-dependencies"] if f"`{name}`" not in text]


def test_how_it_works_says_what_the_code_has() -> None:
    """Names and numbers of the page and its pictures, against those of the sources."""
    page = (DOCS / "engine.md").read_text()
    pictures = (ROOT / "scripts" / "engine_pictures.py").read_text()

    def found(path: str, pattern: str) -> str:
        (value,) = re.findall(pattern, (ROOT / path).read_text())
        return str(value)

    groups = found("csrc/core/kernels.h", r"max_groups = (\d+);")
    least = found("csrc/core/kernels.h", r"constexpr Index least = (\d+);")
    assert f"at most {groups} groups of at least {least} rows" in page
    tile = found("csrc/cpu/session_tiled.h", r"tile_rows = (\d+);")
    assert f"take {tile} rows at a time" in page
    lanes = int(found("csrc/nn/many.h", r"count = (\d+);"))
    assert lanes == fastnn._core.Lanes.count == 16
    assert "up to sixteen networks" in page
    assert "16 networks: " in pictures
    fewest = found("python/fastnn/training/abreast.py", r"FEWEST = (\d+)")
    assert (fewest, "at least eight of them" in page) == ("8", True)
    sessions = found("csrc/core/session.h", r"session_names\[\] = \{([^}]*)\}")
    names = set(re.findall(r"\w+", sessions)) - {"auto"}
    assert {name for name in names if f'"{name}"' in pictures} == names


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("x**2 of `x`s, *args", "x\\*\\*2 of ``x``\\ s, \\*args"),
        (">>> 2 ** 3 * 2", ">>> 2 ** 3 * 2"),
        ("`coef_` and loss_", "``coef_`` and loss\\_"),
    ],
)
def test_docstrings_become_markup(line: str, wanted: str) -> None:
    assert module("docstrings").escaped([line]) == [wanted]


def test_lists_in_docstrings_begin_after_an_empty_line() -> None:
    lines = ["x: one of", "    - a, which", "      goes on", "    - b", "y,", "z: c"]
    wanted = ["x: one of", "", "    - a, which", "      goes on", "    - b", "y,", "z: c"]
    assert module("docstrings")._joined(lines) == wanted
    assert module("docstrings")._joined(["  y,", "  z: c"]) == ["  y, z: c"]
