"""Writes the tables of docs/benchmarks.md, and a line of the README, from the results in `results/`.

    python -m benchmarks.table            # between the marks of both pages
    python -m benchmarks.table --check    # says whether they are up to date, changes nothing

The text between the marks comes from the files alone, so a second run changes nothing. It measures nothing.
"""

import argparse
import os
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import fashion_mnist, iris_epochs, steps, tabular, tape_step
from benchmarks.machine import ROOT
from benchmarks.records import FOLDER, load

PAGE = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"
OPENING = "<!-- {}: from benchmarks/results, by python -m benchmarks.table -->"
BLOCK = r"<!-- {0}: [^>]*-->\n.*?(?=<!-- /{0} -->)"
COLUMNS = """\
"high" and "medium" are values of `matmul_precision` in `compile`, named as in PyTorch. "PyTorch bfloat16" is PyTorch
with autocast, eager or compiled, whichever is faster; it does not count as a float32 peer. "Of peak" is the share of
the core's multiply-add peak, measured in the same run, that fastnn reaches in float32."""
NAMES = {
    "numpy": "NumPy",
    "torch": "PyTorch",
    "jax": "JAX",
    "sklearn": "scikit-learn",
    "keras": "Keras",
    "lightgbm": "LightGBM",
    "xgboost": "XGBoost",
    "catboost": "CatBoost",
}


def source(section: Mapping[str, Any]) -> str:
    """Where and when a section was measured."""
    day = date.fromisoformat(section["date"]).strftime("%-d %B %Y")
    share = f"{section['threads']} of {section['cores']} cores"
    return (
        f"On {section['processor']} ({section['isa']}), {share}, at commit "
        f"`{section['commit']}`, {day}"
    )


def peers(versions: Mapping[str, str], versioned: bool = True) -> str:
    """The libraries that were compared with, and their versions."""
    named = [
        f"{NAMES[name]} {version}" if versioned else NAMES[name]
        for name, version in versions.items()
        if name in NAMES
    ]
    *others, last = named or ["no peer"]
    return f"{', '.join(others)} and {last}" if others else last


def train_step(section: Mapping[str, Any]) -> list[str]:
    rows = steps.rows_of(section)
    lines = [steps.published(rows), "", COLUMNS]
    if names := [f"`{name}`" for name in steps.behind(rows)]:
        *others, last = names
        said = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        lines += ["", f"{said} behind the best peer."]
    return lines


def text_of(path: Path) -> list[str]:
    """The lines about one machine."""
    sections = load(path)
    told: list[str] = []

    def where(section: Mapping[str, Any]) -> str:
        """Its source, or a short form if the section before has the same source."""
        said = "On the same machine" if told == [source(section)] else source(section)
        told[:] = [source(section)]
        return said

    whole = f"[the whole file]({os.path.relpath(path, PAGE.parent)})"
    whole = whole if path.is_relative_to(ROOT) else path.name
    lines = []
    if section := sections.get("train_step"):
        opening = f"{where(section)}, with {peers(section['versions'])} ({whole}):"
        lines += [opening, "", *train_step(section), ""]
    if section := sections.get("iris_epochs"):
        lines += [f"{where(section)}: {iris_epochs.sentence(section)}.", ""]
    if section := sections.get("fashion_mnist"):
        lines += [f"{where(section)}: {fashion_mnist.SETTING}:", ""]
        lines += [fashion_mnist.lines(section["seconds_and_accuracy"]), ""]
    if section := sections.get("tabular_held_out"):
        remark = (
            "; other work had the machine, and seconds are inflated" if section["shared"] else ""
        )
        opening = f"{where(section)}, with {peers(section['peers'])}{remark}"
        lines += [f"{opening}: {tabular.SETTING_HELD_OUT}, means of {section['seeds']} seeds:", ""]
        lines += [tabular.lines(section), ""]
    elif section := sections.get("tabular"):
        opening = f"{where(section)}, with {peers(section['peers'])}: {tabular.SETTING}:"
        lines += [opening, "", tabular.lines(section), ""]
    if section := sections.get("tape_step"):
        opening = f"{where(section)}, with {peers(section['versions'])}: {tape_step.SETTING}:"
        lines += [opening, "", tape_step.lines(section), "", f"{tape_step.fits(section)}.", ""]
    return lines


def in_short(paths: Sequence[Path]) -> list[str]:
    """The line of the README: ratios to the best peer over the rows of the first file that has them."""
    for path in paths:
        if section := load(path).get("train_step"):
            rows = steps.rows_of(section).values()
            ratios = [ratio for row in rows if (ratio := row.ratio(row.best, "highest"))]
            if ratios:
                others = peers(section["versions"], versioned=False)
                low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
                said = (
                    f"A training step on one core takes the fastest of {others} {low:.1f} to {high:.1f} "
                    f"times as long, on\n{len(ratios)} networks; the median is {middle:.1f} times "
                    "([how it was measured](docs/benchmarks.md))."
                )
                return [said]
    return []


def written(page: Path, mark: str, lines: Sequence[str], check: bool) -> bool:
    """Whether the text between the marks of a page was up to date; else writes it, or only says so."""
    text = "\n".join([OPENING.format(mark), *lines]).rstrip()
    before = page.read_text()
    block = re.compile(BLOCK.format(mark), re.DOTALL)
    after, found = block.subn(lambda _: f"{text}\n", before)
    if found != 1:
        sys.exit(f"{page.name}: expected one `<!-- {mark}: ... -->` block, found {found}")
    if before == after:
        print(f"{page.name} is up to date")
    elif check:
        print(f"{page.name} is not up to date: run `python -m benchmarks.table`")
    else:
        page.write_text(after)
        print(f"{page.name}: written")
    return before == after


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", nargs="*", type=Path, help="default: all of benchmarks/results")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if one is old")
    asked = parser.parse_args()
    files = [path.resolve() for path in asked.results] or sorted(FOLDER.glob("*.json"))
    if not files:
        sys.exit("no result to write: run `python -m benchmarks.train_step --save` first")
    same = written(PAGE, "speed", [line for path in files for line in text_of(path)], asked.check)
    same &= written(README, "short", in_short(files), asked.check)
    if asked.check and not same:
        sys.exit(1)


if __name__ == "__main__":
    main()
