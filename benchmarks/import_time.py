"""The cost of fastnn before any use: the time of its import, and its size on disk.

python -m benchmarks.import_time [--wheel dist/fastnn-*.whl]
"""

import argparse
import importlib.util
import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks import machine
from benchmarks.timer import measure, repeated

PROGRAMS = {"python alone": "pass", "numpy": "import numpy", "fastnn": "import fastnn"}


def start(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True)


def installed_bytes() -> int:
    """The size of the imported package without compiled Python files."""
    spec = importlib.util.find_spec("fastnn")
    if spec is None or spec.origin is None:
        sys.exit("fastnn is not installed")
    paths = Path(spec.origin).parent.rglob("*")
    return sum(path.stat().st_size for path in paths if path.is_file() and path.suffix != ".pyc")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.import_time", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--wheel", type=Path, help="a wheel to weigh")
    asked = parser.parse_args()
    machine.limit_threads(1)
    contestants = {name: repeated(partial(start, program)) for name, program in PROGRAMS.items()}
    taken = measure(contestants, rounds=asked.rounds, seconds=0)
    print(*machine.describe(1), sep="\n")
    bare = taken["python alone"].median
    for name in ("numpy", "fastnn"):
        print(f"import {name}: {1e3 * (taken[name].median - bare):.0f} ms beyond a bare Python")
    print(f"installed: {installed_bytes() / 1e6:.2f} MB")
    if asked.wheel:
        print(f"{asked.wheel.name}: {asked.wheel.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
