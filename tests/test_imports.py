"""The imports of the package: no circles, and nothing imports from a room above its own.

Read from the source, so that imports inside functions and those for type checkers count too.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import fastnn

PACKAGE = Path(fastnn.__file__).parent

# Rooms from the ground up. A module imports from its own room and from rooms before it.
ROOMS = (
    ("fastnn._core",),
    (
        "fastnn.elsewhere",
        "fastnn.elsewhere_tables",
        "fastnn.extras",
        "fastnn.words",
        "fastnn.console",
        "fastnn.plotting",
        "fastnn.pictures",
        "fastnn.dtypes",
        "fastnn.listing",
        "fastnn.calling",
        "fastnn.keys",
        "fastnn.rows",
        "fastnn.serializable",
        "fastnn.registry",
        "fastnn.objects",
        "fastnn.sequences",
        "fastnn.config",
        "fastnn.claims",
        "fastnn.changes",
        "fastnn.protocols",
        "fastnn.threadpools",
    ),
    ("fastnn.arrays", "fastnn.datasets", "fastnn.files"),
    ("fastnn.data", "fastnn.activation_words", "fastnn.variables"),
    ("fastnn.autodiff",),
    (
        "fastnn.step_states",
        "fastnn.applied",
        "fastnn.math",
        "fastnn.linalg",
        "fastnn.nn",
        "fastnn.random",
        "fastnn.steps",
        "fastnn.ops",
        "fastnn.preprocessing",
        "fastnn.utils",
        "fastnn.initializers",
        "fastnn.regularizers",
        "fastnn.constraints",
        "fastnn.losses",
        "fastnn.optimizers",
    ),
    ("fastnn.layers", "fastnn.metrics", "fastnn.callbacks"),
    ("fastnn.exports", "fastnn.activations"),
    ("fastnn.training",),
    ("fastnn.models",),
    ("fastnn.interop", "fastnn.saving", "fastnn.sklearn"),
    ("fastnn.keras",),
    ("fastnn", "fastnn.demo", "fastnn.commands"),
    ("fastnn.__main__",),
)
# Beyond the order: rooms that a room must not know although they lie before it.
STRANGERS = {
    "fastnn.metrics": ("fastnn.layers", "fastnn.callbacks", "fastnn.optimizers"),
    "fastnn.callbacks": ("fastnn.layers", "fastnn.metrics", "fastnn.losses", "fastnn.optimizers"),
    "fastnn.training": ("fastnn.layers", "fastnn.metrics", "fastnn.losses", "fastnn.optimizers"),
    "fastnn.layers": ("fastnn.metrics", "fastnn.callbacks", "fastnn.losses", "fastnn.optimizers"),
}

Graph = dict[str, set[str]]


def sources(package: Path) -> dict[str, ast.Module]:
    """The module names of a package's folder, with their syntax trees."""
    found = {}
    for path in [*package.rglob("*.py"), *package.rglob("*.pyi")]:
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def imports(package: Path) -> Graph:
    """For each module, the modules of the package that it imports, anywhere in its source.

    The import of a submodule is also one of the packages above it, except those that the
    importing module is in itself.
    """
    trees = sources(package)
    return {name: _imported(name, tree, trees) for name, tree in trees.items()}


def _imported(module: str, tree: ast.Module, known: dict[str, ast.Module]) -> set[str]:
    named: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            source = str(node.module)
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                named.append(inner if inner in known else source)
    found = set()
    for name in named:
        while name in known and name != "fastnn" and not f"{module}.".startswith(f"{name}."):
            found.add(name)
            name = name.rpartition(".")[0]
    # The root is meant only where it is named.
    return found | ({"fastnn"} & set(named))


def circle(graph: Graph) -> list[str]:
    """The modules of one circle, the first again at the end; empty where there is none."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for other in sorted(graph[module]):
            found = visit(other, [*path, module])
            if found:
                return found
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := visit(module, []))), [])


def room(module: str) -> int:
    """The number of the room of a module: that of its longest prefix among ROOMS."""
    fits = [
        (len(prefix), i)
        for i, prefixes in enumerate(ROOMS)
        for prefix in prefixes
        if module == prefix or (prefix != "fastnn" and module.startswith(f"{prefix}."))
    ]
    assert fits, f"{module} is in no room: add it to ROOMS"
    return max(fits)[1]


def within(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in rooms)


def test_no_circle():
    found = circle(imports(PACKAGE))
    assert not found, " -> ".join(found)


def test_nothing_imports_from_above():
    for module, others in imports(PACKAGE).items():
        for other in others:
            assert room(other) <= room(module), f"{module} imports {other}"


def test_contributing_shows_all_folders_in_the_order_of_rooms():
    page = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = page.partition("The Python package has rooms")[2].split("```")[1]
    folders = sorted(
        path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name[0] not in "._"
    )
    shown = re.findall(r"(?:^|  )(\w+)/", table, re.MULTILINE)
    assert sorted(shown) == folders
    numbers = [room(f"fastnn.{name}") for name in shown]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("name", STRANGERS)
def test_rooms_that_do_not_know_each_other(name):
    for module, others in imports(PACKAGE).items():
        if within(module, (name,)):
            for other in others:
                assert not within(other, STRANGERS[name]), f"{module} imports {other}"


def test_a_package_only_names_what_its_modules_hold():
    """No class or function is defined in an `__init__` except that of `datasets`, a module."""
    for name, tree in sources(PACKAGE).items():
        if (PACKAGE.parent / name.replace(".", "/")).is_dir() and name != "fastnn.datasets":
            defined = [
                node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))
            ]
            assert not defined, f"{name} defines {defined[0].name}"


@pytest.mark.parametrize("how", ["import", "type checking", "in a function"])
def test_a_circle_is_found(how, tmp_path):
    """Over three modules, one of them a package, however the last import is made."""
    last = {
        "import": "from fastnn.a import A\n",
        "type checking": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import fastnn.a\n",
        "in a function": "def f():\n    from fastnn import a\n",
    }
    package = tmp_path / "fastnn"
    (package / "c").mkdir(parents=True)
    (package / "__init__.py").write_text("from fastnn.a import A\n")
    (package / "a.py").write_text("from fastnn import b\n")
    (package / "b.py").write_text("from fastnn.c.d import D\n")
    (package / "c" / "__init__.py").write_text("from fastnn.c.d import D\n")
    (package / "c" / "d.py").write_text("")
    assert circle(imports(package)) == []
    (package / "c" / "d.py").write_text(last[how])
    found = circle(imports(package))
    assert found[0] == found[-1]
    assert {"fastnn.a", "fastnn.b", "fastnn.c.d"} <= set(found)
