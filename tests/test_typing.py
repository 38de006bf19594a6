"""The program that type checkers look at runs, without a warning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_program_for_type_checkers_runs() -> None:
    program = Path(__file__).parent / "typing" / "program.py"
    command = [sys.executable, "-W", "error", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("{'units': 16}\n") or done.stdout.endswith("{'units': 8}\n")
