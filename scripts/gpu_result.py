"""Writes the results of scripts/gpu_check.sh as one Markdown file. It measures nothing.

    python scripts/gpu_result.py WORK OUT [--commit NAME] [--keep]

WORK contains the results of the stages, OUT their logs; the file goes to OUT. With --keep and
a GPU, it is also written to benchmarks/results/<gpu>.md.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOLD = ("fastnn", "compiler", "instruction set", "CUDA")  # lines of `fastnn info` to include
MOST = 60  # lines of a list

VERSIONS = """
import importlib.metadata as metadata, platform
words = [f"Python {platform.python_version()}"]
for name in ("numpy", "torch"):
    try:
        words.append(f"{name} {metadata.version(name)}")
    except metadata.PackageNotFoundError:
        words.append(f"no {name}")
print(", ".join(words))
"""


def said(*command: str) -> str:
    """The output of a program; empty if it fails or is not installed."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def commit(given: str) -> str:
    name = said("git", "rev-parse", "--short=12", "HEAD") or given or "not known"
    tree = (".", ":!benchmarks/results")
    changed = said("git", "status", "--porcelain", "-uno", "--", *tree)
    return f"{name} with changes" if changed else name


def gpu() -> tuple[str, str]:
    """The first GPU's name and its driver; empty if there is no GPU."""
    query = said("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    name, _, driver = (query.splitlines() or [""])[0].partition(", ")
    return name, driver


def facts(device: str, driver: str, given: str) -> list[str]:
    compiler = re.search(r"release [\d.]+", said("nvcc", "--version"))
    config = said(sys.executable, "-m", "fastnn", "info").splitlines()
    return [
        f"- date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"- commit: {commit(given)}",
        f"- device: {device or 'none'}; driver {driver or '-'}",
        f"- nvcc: {compiler[0] if compiler else '-'}",
        f"- {said(sys.executable, '-c', VERSIONS)}",
        *(f"- {' '.join(line.split())}" for line in config if line.startswith(TOLD)),
    ]


def stages(file: Path) -> list[str]:
    rows = [line.split("\t") for line in file.read_text().splitlines()]
    lines = ["| stage | outcome | seconds |", "| --- | --- | --: |"]
    return lines + [f"| {name} | {words} | {seconds} |" for name, _, seconds, words in rows]


def tests(file: Path, log: Path) -> list[str]:
    """Counts, failed tests with their messages, and the reasons of skipped tests."""
    try:
        cases = list(ET.parse(file).iter("testcase"))
    except (OSError, ET.ParseError):
        return ["The tests did not finish; the last lines of their log:", *quoted(tail(log))]
    failed, skipped = [], Counter[str]()
    for case in cases:
        name = f"{case.get('classname', '')}.{case.get('name')}".removeprefix("tests.")
        wrong = case.find("failure") if case.find("failure") is not None else case.find("error")
        if wrong is not None:
            message = (wrong.get("message") or "").strip().partition("\n")[0][:200]
            failed.append(f"- `{name}`: {message}")
        if (skip := case.find("skipped")) is not None:
            skipped[(skip.get("message") or "").partition("\n")[0][:200]] += 1
    passed = len(cases) - len(failed) - skipped.total()
    lines = [f"{passed} passed, {len(failed)} failed, {skipped.total()} skipped."]
    if failed:
        lines += ["", "Failed:", "", *shortened(failed)]
    if skipped:
        lines += ["", "Skipped:", ""]
        lines += shortened([f"- {count}: {why}" for why, count in skipped.most_common()])
    return lines


def exercise(title: str, file: Path) -> list[str]:
    """The first findings of gpu_exercise.py or of compute-sanitizer's tools, and the tools' totals."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return []
    wanted = ("== ", "========= ", "FAILED", "failed")
    kept = [line for line in lines if line.startswith(wanted) or ": failed" in line]
    kept = [line for line in kept if "Host Frame" not in line and line.strip("= ")]
    return ["", f"## {title}", *quoted(shortened(kept))] if kept else []


def tail(log: Path, count: int = 15) -> list[str]:
    try:
        return log.read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return ["(there is no log)"]


def quoted(lines: Sequence[str]) -> list[str]:
    return ["", "```", *lines, "```"]


def shortened(lines: Sequence[str]) -> list[str]:
    left = len(lines) - MOST
    return [*lines[:MOST], f"- and {left} more"] if left > 0 else list(lines)


def times(file: Path, log: Path) -> list[str]:
    try:
        return [file.read_text().rstrip()]
    except OSError:
        return ["Nothing was timed; the last lines of the log:", *quoted(tail(log))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--commit", default="")
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    work: Path = asked.work
    out: Path = asked.out
    device, driver = gpu()
    outcome = stages(work / "stages.tsv")
    tested = tests(work / "tests.xml", out / "tests.log")
    lines = [
        f"# {device or 'No GPU'}",
        *("", "The results of `scripts/gpu_check.sh`.", ""),
        *facts(device, driver, asked.commit),
        *("", *outcome),
        *("", "## Tests on the device", "", *tested),
        *exercise("Under compute-sanitizer", out / "sanitizer.log"),
        *exercise("Every op and session: errors", out / "exercise.log"),
        *("", "## One training step", "", *times(work / "gpu.md", out / "times.log")),
    ]
    text = "\n".join(lines) + "\n"
    name = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-") or "no-gpu"
    places = [out / f"{name}.md"]
    if asked.keep and device:
        places.append(ROOT / "benchmarks" / "results" / f"{name}.md")
    for place in places:
        place.write_text(text)
    print(f"== {device or 'no GPU'}", *outcome[2:], tested[0], f"-> {places[-1]}", sep="\n")
    if asked.keep and not device:
        sys.exit("there is no GPU: no result is kept")


if __name__ == "__main__":
    main()
