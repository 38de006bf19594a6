"""Results as JSON: one file for each machine, one section for each benchmark, with its origin.

A section is replaced as a whole, because times of two runs are not comparable. Each
benchmark defines the content of its section; `table.py` makes the published tables of them.
"""

import argparse
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine

FOLDER = Path(__file__).with_name("results")


def default_path(threads: int) -> Path:
    """`results/<processor>-<n>-thread.json`, in small letters with hyphens."""
    words = re.sub(r"\(.*?\)|@.*|\b(cpu|processor|\d+-core)\b", " ", machine.processor().lower())
    name = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    return FOLDER / f"{name}-{threads}-thread{'s' if threads > 1 else ''}.json"


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        *("--save", "-s"),
        nargs="?",
        const="",
        metavar="FILE",
        help="keep the result as JSON; without FILE in benchmarks/results, named after the machine",
    )


def save(
    file: str | None, section: str, content: Mapping[str, Any], *, threads: int, **facts: Any
) -> Path | None:
    """Writes one section of a file if `--save` was given. Other sections stay."""
    if file is None:
        return None
    path = Path(file) if file else default_path(threads)
    sections = load(path) if path.exists() else {}
    date = datetime.now(UTC).date().isoformat()
    sections[section] = {"date": date, **machine.facts(threads), **facts, **content}
    text = json.dumps(sections, indent=1)
    path.write_text(re.sub(r"\[[^][{}\"]*\]", _on_one_line, text) + "\n")
    return path


def _on_one_line(numbers: re.Match[str]) -> str:
    """Puts a list of plain numbers on one line; with indentation each would have its own."""
    values = json.loads(numbers[0])
    return json.dumps([float(f"{v:.5g}") if isinstance(v, float) else v for v in values])


def load(path: Path) -> dict[str, Any]:
    """The sections of a file, by the benchmark's name."""
    sections: dict[str, Any] = json.loads(path.read_text())
    return sections
