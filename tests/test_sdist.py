"""What the source distribution takes along: the files of the project, and nothing else in the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = "from scikit_build_core.build import build_sdist; print(build_sdist('dist'))"
# Files of the repository that serve it alone.
LEFT_OUT = (".ci/", ".github/")
STRAY = (
    *("env/lib/a.py", "venv/a.py", ".venv/a.py", "tests/env/a.py", "python/fastnn/venv/a.py"),
    *(".env", ".envrc", "python/fastnn/.env", "id_rsa", "secrets.toml", "notes.md", "mine.py"),
    *(
        "data/people.csv",
        "tests/data/big.npz",
        "benchmarks/big.npz",
        "train.npz",
        "model.safetensors",
    ),
    *("notes.ipynb", "examples/notes.ipynb", "tests/.ipynb_checkpoints/a.py", "docs/secret.txt"),
    *("python/fastnn/_core.so", "python/fastnn/__pycache__/a.pyc", "build/a.cpp", "core.1234"),
    *("benchmarks/env311/a.py", "benchmarks/.hidden/a.py", "tests/node_modules/a.py"),
    *("python/fastnn/lib/site-packages/a.py", "python/fastnn/datasets/people.npz"),
    *("python/fastnn/datasets/people.txt", "csrc/.cache/a.cpp"),
    *("src/python/fastnn/a.py", ".git/config", ".mypy_cache/a.py", ".tox/a.py", "dist/old.tar.gz"),
)


def tracked():
    """The files of the repository."""
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or not done.stdout:
        pytest.skip("needs git, and the repository")
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).exists()]


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """The files in a source distribution of a tree in which strangers lie."""
    pytest.importorskip("scikit_build_core")
    tree = tmp_path_factory.mktemp("tree")
    for name in tracked():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    for name in STRAY:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("stray")
    done = subprocess.run(
        [sys.executable, "-c", BUILD],
        cwd=tree,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = (tree / "dist").glob("fastnn-*.tar.gz")
    with tarfile.open(archive) as files:
        return {each.name.partition("/")[2] for each in files.getmembers() if each.isfile()}


def test_it_takes_every_file_of_the_project(names):
    wanted = {name for name in tracked() if not name.startswith(LEFT_OUT)}
    assert wanted - names == set()


def test_it_takes_nothing_else(names):
    assert names - set(tracked()) == {"PKG-INFO"}
