"""The public names of the package, from `dir()` of its modules: for the reference pages and the tests.

Each function and class is listed once, by the shortest of its names. `fastnn.keras` has the same
ones under other names, so it comes last; `fastnn.sklearn` is no attribute of `fastnn`, since its import
needs scikit-learn, and is listed by its own `__all__`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import fastnn

# Classes whose methods have examples, too: those that users call. Other methods have a docstring.
METHODS_OF = {
    *("fastnn.GradientTape", "fastnn.Model", "fastnn.Predictor", "fastnn.Sequential"),
    *("fastnn.Tensor", "fastnn.Variable"),
    *("fastnn.layers.Dense", "fastnn.layers.Layer", "fastnn.losses.Loss", "fastnn.metrics.Metric"),
    "fastnn.optimizers.Optimizer",
}


def is_ours(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).split(".")[0] == "fastnn"


def modules() -> dict[str, Any]:
    """The public modules, by their shortest names; those of `fastnn.keras` last."""
    found: dict[int, tuple[str, Any]] = {id(fastnn): ("fastnn", fastnn)}
    queue = ["fastnn"]
    while queue:
        path = queue.pop(0)
        module = next(m for p, m in found.values() if p == path)
        for name in sorted(dir(module), key=lambda name: (name == "keras", name)):
            value = None if name.startswith("_") else getattr(module, name)
            inside = inspect.ismodule(value) and value.__name__.startswith("fastnn")
            if inside and id(value) not in found:
                found[id(value)] = f"{path}.{name}", value
                queue.append(f"{path}.{name}")
    return dict(found.values())


def public() -> dict[str, Any]:
    """Functions and classes, each once, by the shortest of its names."""
    found: dict[int, tuple[str, Any]] = {}
    for path, module in modules().items():
        for name in dir(module):
            value = getattr(module, name)
            if not name.startswith("_") and callable(value) and is_ours(value):
                found.setdefault(id(value), (f"{path}.{name}", value))
    return dict(found.values())


def methods(path: str, cls: type) -> Iterator[tuple[str, Any]]:
    """The functions and properties of a class, also those of its bases in this package."""
    for name in dir(cls):
        owner = next((base for base in cls.__mro__ if name in vars(base)), None)
        if name.startswith("_") or owner is None or not is_ours(owner):
            continue
        member = vars(owner)[name]
        function = getattr(member, "__func__", member)
        if inspect.isroutine(function) or isinstance(member, property):
            yield f"{path}.{name}", function


def named(path: str) -> Any:
    """The object of a name that begins with fastnn."""
    return attrgetter(path.partition(".")[2])(fastnn)
