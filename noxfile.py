#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2025.2"]
# ///
"""The few commands of this project, each in an environment of its own: `nox -s tests`, `nox --list`.

.ci/run is what must pass; this is for working. Benchmarks are never part of either.
"""

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "venv"

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)


@nox.session
def tests(session: nox.Session) -> None:
    """Builds and installs fastnn as users do, and runs the tests."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS, default=False)
def tests_on(session: nox.Session) -> None:
    """The tests on every Python that is here."""
    tests(session)


@nox.session(default=False)
def long(session: nox.Session) -> None:
    """The tests that take longest and find least: killed writers, planted bugs, sanitizers."""
    session.install(".[test]")
    session.run("pytest", "-m", "long", *session.posargs)


@nox.session(default=False)
def tidy(session: nox.Session) -> None:
    """clang-tidy over all C++ files, or over those that are named."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("bash", ".ci/tidy", *session.posargs, external=True)


@nox.session(default=False)
def interop(session: nox.Session) -> None:
    """The tests of models that come from other packages or go there, with these installed."""
    session.install(
        ".[test,onnx,h5]",
        *("jax", "keras", "onnxruntime", "onnxscript", "safetensors", "skl2onnx", "torch"),
    )
    files = sorted(str(path) for path in Path("tests").glob("test_interop_*.py"))
    session.run("pytest", *(session.posargs or files))


@nox.session(default=False)
def sklearn(session: nox.Session) -> None:
    """The estimators with pandas and polars: all of scikit-learn's checks, and its tests of its MLPs."""
    session.install(".[test,sklearn]", "pandas", "polars")
    files = sorted(str(path) for path in Path("tests").glob("test_sklearn_*.py"))
    session.run("pytest", "--slow", *(session.posargs or files))
    session.run("python", "scripts/sklearn_tests.py")


@nox.session(default=False)
def serve(session: nox.Session) -> None:
    """The tests of the service in examples/, with its packages installed."""
    session.install(".[test,serve]")
    session.run("pytest", *(session.posargs or ["tests/test_serve.py"]))


@nox.session(python="3.11", default=False)
def fuzz(session: nox.Session) -> None:
    """Fuzzes the reader of model files by coverage: `nox -s fuzz -- -max_total_time=600`."""
    session.install(".[test]", "atheris")  # which has no wheels for some newer versions of Python
    session.run("python", "tests/fuzz_files.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Every linter."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("bash", ".ci/lint", external=True)


@nox.session(default=False)
def pyright(session: nox.Session) -> None:
    """What editors say of the program of a user, tests/typing; `nox -s lint` runs mypy on it."""
    session.install("numpy", "pyright[nodejs]", "scikit-learn")
    session.run("pyright", *session.posargs)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Builds the documentation into build/site, with warnings as errors, and looks at its links and pages."""
    session.install(".[image,plot,sklearn]", *nox.project.dependency_groups(PYPROJECT, "docs"))
    session.run("sphinx-build", "-W", "--keep-going", "-q", *session.posargs, "docs", "build/site")
    session.run("python", "docs/site/check.py", "build/site")
    session.run("python", "docs/site/look.py", "build/site")


@nox.session(default=False)
def reproducible(session: nox.Session) -> None:
    """Builds the source distribution twice, in different folders: the wheels are the same to the byte."""
    session.install("build")
    work = Path(session.create_tmp()).resolve()
    shutil.rmtree(work)
    date = {"SOURCE_DATE_EPOCH": "1700000000"}
    session.run("python", "-m", "build", "--sdist", "--outdir", str(work), ".", env=date)
    (archive,) = work.glob("*.tar.gz")
    wheels = []
    for folder in (work / "one", work / "another one"):
        shutil.unpack_archive(archive, folder, filter="data")
        (tree,) = folder.iterdir()
        options = ("--no-cache-dir", "--no-deps", "--wheel-dir", str(folder / "dist"))
        session.run("pip", "wheel", *options, *session.posargs, str(tree), env=date)
        wheels += (folder / "dist").glob("*.whl")
    first, second = (wheel.read_bytes() for wheel in wheels)
    if first != second:
        session.error(f"{wheels[0]} and {wheels[1]} differ")


@nox.session(default=False)
def benchmarks(session: nox.Session) -> None:
    """Times a training step: `nox -s benchmarks -- --against numpy --rows iris`."""
    session.install(".", "scikit-learn")
    session.run("python", "-m", "benchmarks.train_step", *session.posargs)


@nox.session(venv_backend="none", default=False)
def clean(session: nox.Session) -> None:  # noqa: ARG001
    """Removes what builds and tools leave behind."""
    for name in ("build", "dist", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"):
        shutil.rmtree(Path(name), ignore_errors=True)


if __name__ == "__main__":
    nox.main()
