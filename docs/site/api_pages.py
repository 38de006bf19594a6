"""Writes the reference: a page for each public module, from the names that `dir()` lists."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docstrings
import public_names

HEAD = """\
# Reference

Every public name, with its docstring. Functions and classes stand under the shortest of their names;
`fastnn.keras` has the same ones under the names of Keras. [The vocabulary](../vocabulary.md) has them in tables, by formula.

"""


def write(folder: Path) -> None:
    """Writes all pages, those that changed alone, so that a second build is short."""
    folder.mkdir(exist_ok=True)
    pages = {f"{module}.rst": page(module, names) for module, names in names_by_module().items()}
    listed = "\n".join(name.removesuffix(".rst") for name in pages)
    pages["index.md"] = f"{HEAD}```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    for old in folder.iterdir():
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def names_by_module() -> dict[str, dict[str, Any]]:
    """Modules with the names that stand on their pages."""
    found: dict[str, dict[str, Any]] = {}
    for path, value in public_names.public().items():
        module, _, name = path.rpartition(".")
        found.setdefault(module, {})[name] = value
    estimators = importlib.import_module("fastnn.sklearn")
    found["fastnn.sklearn"] = {name: getattr(estimators, name) for name in estimators.__all__}
    return dict(sorted(found.items()))


def page(module: str, names: Mapping[str, Any]) -> str:
    lines = [module, "=" * len(module), "", f".. automodule:: {module}", ""]
    classes = {name: value for name, value in names.items() if inspect.isclass(value)}
    functions = {name: value for name, value in names.items() if name not in classes}
    for title, members in (("Classes", classes), ("Functions", functions)):
        if members:
            lines += [title, "-" * len(title), "", *_table(module, members)]
            for name, value in members.items():
                lines += _entry(f"{module}.{name}", value)
    return "\n".join(lines)


def _table(module: str, names: Mapping[str, Any]) -> Iterator[str]:
    yield from (".. list-table::", "   :widths: 30 70", "")
    for name, value in names.items():
        role = "class" if inspect.isclass(value) else "func"
        (said,) = docstrings.escaped([docstrings.sentence(value)])
        yield f"   * - :py:{role}:`~{module}.{name}`"
        yield f"     - {said}"
    yield ""


def _entry(path: str, value: Any) -> Iterator[str]:
    if not inspect.isclass(value):
        yield from (f".. autofunction:: {path}", "")
        return
    yield f".. autoclass:: {path}"
    members = public_names.methods(path, value)
    if path not in public_names.METHODS_OF:  # what its bases have stands on their pages
        members = ((name, f) for name, f in members if name.rpartition(".")[2] in vars(value))
    listed = ", ".join(name.rpartition(".")[2] for name, _ in members)
    if listed:
        yield f"   :members: {listed}"
        yield "   :inherited-members:"
    yield ""
