"""Writes the gallery: a page for each program of examples/, with its text, what it prints and its pictures.

A program runs again when it, or the package, has changed. One that needs a package that is not installed
has a page without results, which says so.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import fastnn

ROOT = Path(__file__).parents[2]
RUNS_ON = {"serve.py"}  # which has no end
HEAD = "Each page has the program, what it printed when this site was built, and its pictures."


def write(folder: Path, runs: bool) -> None:
    """Writes all pages; without `runs` only the texts of the programs."""
    folder.mkdir(exist_ok=True)
    programs = sorted((ROOT / "examples").glob("*.py"))
    for path in programs:
        (folder / f"{path.stem}.md").write_text(_page(path, folder, runs))
    names = "\n".join(path.stem for path in programs)
    tree = f"```{{toctree}}\n:hidden:\n\n{names}\n```\n"
    title, _, listed = (ROOT / "examples" / "README.md").read_text().partition("\n")
    listed = re.sub(r"\]\((\w+)\.py\)", r"](\1.md)", listed)
    (folder / "index.md").write_text(f"# Gallery\n\n{title[2:]}. {HEAD}\n{listed}\n{tree}")


def _said(path: Path) -> tuple[str, str]:
    """The first sentence of a program's docstring, and its text without the docstring."""
    text = path.read_text()
    tree = ast.parse(text)
    said = " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())
    return said, text


def _page(path: Path, folder: Path, runs: bool) -> str:
    said, text = _said(path)
    parts = [f"# {path.name}", said, f"```py\n{text}```"]
    if runs and path.name not in RUNS_ON:
        printed, pictures = _results(path, folder)
        parts.append(f"## What it prints\n\n```text\n{printed}\n```")
        parts += [f"![{picture}, which the program drew]({picture})" for picture in pictures]
    return "\n\n".join(parts) + "\n"


@functools.cache
def _package() -> bytes:
    """What the package is made of: its native module, and its Python files."""
    place = Path(fastnn.__file__).parent
    files = [Path(fastnn._core.__file__), *sorted(place.rglob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).digest()


def _results(path: Path, folder: Path) -> tuple[str, list[str]]:
    """What a program prints, and the names of its pictures, which are put into the folder."""
    mark = hashlib.sha256(path.read_bytes() + _package()).hexdigest()[:16]
    kept = folder / f"{path.stem}.out"
    if kept.exists():
        first, _, rest = kept.read_text().partition("\n")
        if first == mark:
            return rest, [p.name for p in sorted(folder.glob(f"{path.stem}-*.*"))]
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            [sys.executable, path],
            cwd=place,
            env={**os.environ, "MPLBACKEND": "agg", "COLUMNS": "96"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode != 0 and "ModuleNotFoundError" not in done.stderr:
            raise RuntimeError(f"{path.name}:\n{done.stderr}")
        for old in folder.glob(f"{path.stem}-*.*"):
            old.unlink()
        for picture in sorted(Path(place).rglob("*")):
            if picture.suffix in (".png", ".svg"):
                shutil.copy(picture, folder / f"{path.stem}-{picture.name}")
    printed = done.stdout.rstrip()
    if done.returncode != 0:
        printed = done.stderr.strip().splitlines()[-1]
    kept.write_text(f"{mark}\n{printed}")
    return printed, [p.name for p in sorted(folder.glob(f"{path.stem}-*.*"))]
