"""Which tests run: those marked slow do where --slow, -m or their names ask for them (conftest.py)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE = "tests/test_pool.py"
SEVERAL = f"{FILE}::test_every_piece_is_done_once"


@pytest.mark.parametrize(
    ("arguments", "slow", "others"),
    [([FILE], 0, True), (["--slow", FILE], 2, True), (["-m", "slow", FILE], 2, False)]
    + [([SEVERAL], 1, True)],
    ids=str,
)
def test_what_is_chosen(arguments, slow, others):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTEST_ADDOPTS": "-p no:cacheprovider"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = "2 slow tests are left out; --slow runs them, too"
    assert (said in done.stdout) == (arguments == [FILE])
    names = re.findall(r"^\S+::(\S+.*)$", done.stdout, re.MULTILINE)
    marked = [name for name in names if "waking" in name or "fsanitize" in name]
    assert len(marked) == slow
    assert (len(names) > slow) == others
