"""What the pages show of a console runs, and prints what they say.

The blocks of Python on such a page run before, in the same folder, since commands take the files
that they write. `test_examples.py` has the blocks of Python of all pages.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import page_blocks
import pytest
from page_blocks import PAGES, ROOT, RUN_BLOCKS

WITH_COMMANDS = [page for page in PAGES if page_blocks.blocks(page, "console")]
# Programs and packages that the commands of a page need.
NEEDS = {
    "README.md": "sklearn",
    "commands.md": "sklearn",
    "scale.md": "mpi4py mpiexec",
    "tutorial.md": "starlette uvicorn curl",
}
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def environment() -> dict[str, str]:
    added = {"MPLBACKEND": "agg", "PATH": PATH}
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # which Open MPI refuses otherwise
        added |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return {**os.environ, **added}


def needed(page: Path) -> None:
    for name in NEEDS.get(page.name, "").split():
        if name in ("curl", "mpiexec"):
            if shutil.which(name, path=PATH) is None:
                pytest.skip(f"{name} is not installed")
        else:
            pytest.importorskip(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder like the root of the repository, with the files that the README takes for granted."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    rng = np.random.default_rng(0)
    for name, rows in (("data.csv", 120), ("new.csv", 5), ("test.csv", 40)):
        size = rng.normal(80, 20, rows)
        lines = [f"{s:.1f},{1000 * s + rng.normal(0, 500):.0f}" for s in size]
        (tmp_path / name).write_text("\n".join(["size,price", *lines]) + "\n")
    return tmp_path


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Shell:
    """Runs the commands of a page; those that end in & go on until the page is done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.behind: list[subprocess.Popen[str]] = []

    def run(self, line: str) -> str:
        line = line.replace("localhost:8000", f"127.0.0.1:{self.port}")
        if line.endswith(" &"):
            self.begin(f"exec {line.removesuffix(' &')} --port {self.port}")
            return ""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def begin(self, line: str) -> None:
        self.behind.append(
            subprocess.Popen(
                ["bash", "-c", line],
                cwd=self.folder,
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with socket.socket() as asking:
                if asking.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.behind[-1].poll() is None, f"{line}: it has ended"
            time.sleep(0.1)
        pytest.fail(f"{line}: no answer")

    def end(self) -> None:
        for process in self.behind:
            process.terminate()
            process.wait(30)


@pytest.fixture
def shell(folder: Path) -> Iterator[Shell]:
    started = Shell(folder)
    yield started
    started.end()


@pytest.mark.cpu
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=[page.name for page in WITH_COMMANDS])
def test_commands_of_a_page(page: Path, folder: Path, shell: Shell) -> None:
    needed(page)
    programs = page_blocks.blocks(page, "python")
    for program in programs:
        if program.file:
            (folder / program.file).write_text(program.text)
    done = subprocess.run(
        [sys.executable, "-c", RUN_BLOCKS],
        cwd=folder,
        env=environment(),
        input=json.dumps([program.text for program in programs]),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for block in page_blocks.blocks(page, "console"):
        for command in page_blocks.commands(block):
            printed = shell.run(command.line)
            assert page_blocks.matches(command.output, printed), f"$ {command.line}\n{printed}"


def test_blocks_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\n# train.py\nx = 1\n```\n\n```py\nnot run\n```\n\n"
        "```console\n$ a b\nfirst ...\n  last\n$ c &\n```\n"
    )
    program, console = page_blocks.blocks(page)
    assert (program.file, program.text) == ("train.py", "# train.py\nx = 1\n")
    assert page_blocks.commands(console) == [("a b", "first ...\n  last\n"), ("c &", "")]
    assert page_blocks.matches("first ...\n  last\n", "first 1.5\nmore\n last\n")
    assert not page_blocks.matches("first ...\n  last\n", "first 1.5\n")
    assert not page_blocks.matches("", "a line\n")


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "report"])
def test_the_page_of_commands_has_every_option(command: str) -> None:
    pytest.importorskip("sklearn")
    done = subprocess.run(
        [sys.executable, "-m", "fastnn", command, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    text = (ROOT / "docs" / "commands.md").read_text()
    options = set(re.findall(r"--[a-z][a-z-]*", done.stdout)) - {"--help"}
    assert options
    assert not {option for option in options if option not in text}


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("tables.md", ("TabularClassifier", "TabularRegressor")),
        ("sklearn.md", ("MLPClassifier", "MLPRegressor")),
    ],
)
def test_the_pages_of_estimators_have_every_parameter(page: str, names: tuple[str, ...]) -> None:
    pytest.importorskip("sklearn")
    from fastnn import sklearn

    text = (ROOT / "docs" / page).read_text()
    for name in names:
        missing = [key for key in getattr(sklearn, name)().get_params() if f"`{key}`" not in text]
        assert not missing
