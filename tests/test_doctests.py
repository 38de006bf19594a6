"""Every public name has a docstring with an example, and every example runs and shows what it says.

The names are those that `dir()` of the modules lists, and the methods of the classes in `public_names.METHODS_OF`.
NumPy and fastnn are imported, and the working folder is empty.
"""

from __future__ import annotations

import doctest
import inspect
import re
from typing import Any

import numpy as np
import public_names
import pytest

import fastnn

# What the examples of these names need beside NumPy: packages, or CUDA.
NEEDS = {
    "fastnn.Model.export_onnx": "onnx onnxruntime",
    "fastnn.callbacks.History.plot": "matplotlib",
    "fastnn.callbacks.TqdmBar": "tqdm",
    "fastnn.from_keras": "h5py",
    "fastnn.from_onnx": "onnx",
    "fastnn.from_sklearn": "sklearn",
    "fastnn.from_torch": "torch",
    "fastnn.interop.load_keras_weights": "h5py",
    "fastnn.interop.save_keras": "h5py",
    "fastnn.interop.save_keras_weights": "h5py",
    "fastnn.ops.DeviceArray": "CUDA",
    "fastnn.to_keras": "keras",
    "fastnn.to_sklearn": "sklearn",
    "fastnn.to_torch": "torch",
    "fastnn.utils.array_to_img": "PIL",
    "fastnn.utils.load_img": "PIL",
    "fastnn.utils.save_img": "PIL",
}
# Names that have no example yet. This set only shrinks.
WITHOUT: set[str] = set()


NAMES = public_names.public()
# By identity: a method of a base class is tested once, under its first class.
METHODS: dict[str, Any] = dict(
    {
        id(function): (path, function)
        for owner in sorted(public_names.METHODS_OF, reverse=True)
        for path, function in public_names.methods(owner, public_names.named(owner))
        if inspect.isroutine(function)
    }.values()
)
METHODS["fastnn.callbacks.History.plot"] = fastnn.callbacks.History.plot
ALL = NAMES | METHODS


def _example(value: Any) -> str:
    """The lines of the docstring that are examples."""
    return inspect.cleandoc(value.__doc__ or "") if ">>>" in (value.__doc__ or "") else ""


@pytest.mark.cpu
@pytest.mark.parametrize("name", [name for name, value in ALL.items() if _example(value)])
def test_example(name, tmp_path, monkeypatch):
    needed = NEEDS.get(name, "").split()
    if needed == ["CUDA"] and not fastnn._core.cuda_state()["usable"]:
        pytest.skip("needs CUDA")
    for package in set(needed) - {"CUDA"}:
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    fastnn.utils.set_random_seed(0)
    example = doctest.DocTestParser().get_doctest(
        _example(ALL[name]), {"__name__": "examples", "np": np, "fastnn": fastnn}, name, None, 0
    )
    told: list[str] = []
    runner = doctest.DocTestRunner(
        verbose=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    runner.run(example, out=told.append)
    assert runner.tries, "an example"
    assert not runner.failures, "".join(told)


def test_every_name_has_an_example():
    without = {name for name, value in ALL.items() if not _example(value)}
    assert without == WITHOUT, "a name needs an example, or has one and stays in WITHOUT"


def _told(value: Any) -> str:
    """The docstring of a name; of a class also those of its bases in this package."""
    bases = value.__mro__[1:] if inspect.isclass(value) else ()
    docs = [value.__doc__, *(base.__doc__ for base in bases if public_names.is_ours(base))]
    return "\n".join(filter(None, docs))


def _untold(value: Any, names: dict[str, list[Any]]) -> list[str]:
    """Arguments that neither the docstring names nor that of another name that it refers to.

    `names`: what the last part of a public name may mean.
    """
    try:
        arguments = inspect.signature(value).parameters.values()
    except ValueError:  # of native code
        return []
    told = _told(value)
    seen = [word.rpartition(".")[2] for word in re.findall(r"`([\w.]+)[(`]", told)]
    told += "".join(_told(meant) for word in seen for meant in names.get(word, ()))
    named = (argument.name for argument in arguments if argument.kind.name not in ("VAR_KEYWORD",))
    return [name for name in named if not re.search(rf"\b{re.escape(name)}\b", told)]


def test_every_argument_is_told():
    """In the docstring of the function or class, or where that says "see `Another`"."""
    names = dict(NAMES)
    try:
        import fastnn.sklearn as estimators
    except ImportError:
        pass
    else:
        names |= {f"sklearn.{name}": getattr(estimators, name) for name in estimators.__all__}
    by_name: dict[str, list[Any]] = {}
    for path, value in names.items():
        by_name.setdefault(path.rpartition(".")[2], []).append(value)
    untold = {path: _untold(value, by_name) for path, value in names.items()}
    assert not {path: left for path, left in untold.items() if left}


def test_an_argument_that_is_not_told_is_found():
    def scaled(x, factor, other):
        """`x` times factor; see `shifted`."""
        del x, factor, other

    def shifted(x, other):
        """x + other."""
        del x, other

    assert _untold(scaled, {"shifted": [shifted]}) == []
    assert _untold(scaled, {}) == ["other"]


def test_every_method_has_a_docstring():
    silent = [
        path
        for name, value in NAMES.items()
        if isinstance(value, type)
        for path, function in public_names.methods(name, value)
        if not inspect.getdoc(getattr(value, path.rpartition(".")[2])) and not function.__doc__
    ]
    assert not silent


def test_packages_are_named_where_they_are_needed():
    assert set(NEEDS) <= set(ALL)
