"""Draws the pictures of the documentation into docs/pictures, from benchmarks/results and from nothing.

    python scripts/pictures.py            # writes them
    python scripts/pictures.py --check    # exit status 1 where one is not up to date

Those of "How it works" are in engine_pictures.py.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from drawing import BLUE, FAINT, INK, ORANGE, Drawing
from engine_pictures import columns, epoch, lanes, layers, products, ranks, sums, windows

from benchmarks import steps
from benchmarks.records import FOLDER, load

PICTURES = ROOT / "docs" / "pictures"
PEERS = {
    "torch": "PyTorch",
    "sklearn": "scikit-learn",
    "keras-jax": "Keras on JAX",
    "keras-tensorflow": "Keras on TensorFlow",
}


# -- from results -----------------------------------------------------------


def section(name: str) -> dict[str, Any]:
    """A section of the results, of the first file that has it."""
    found = [load(path) for path in sorted(FOLDER.glob("*.json"))]
    chosen: dict[str, Any] = next(each[name] for each in found if name in each)
    return chosen


def source(found: dict[str, Any]) -> str:
    return f"{found['processor']}, {found['threads']} thread, commit {found['commit'][:7]}, {found['date']}"


def speed() -> Drawing:
    """A training step by the best peer and in the usual loop, as multiples of fastnn's time."""
    found = section("train_step")
    rows = steps.rows_of(found)
    left, right, top, step = 300.0, 700.0, 58.0, 29.0
    bottom = top + step * len(rows)
    drawing = Drawing(740, bottom + 66, "Time of a training step, as a multiple of fastnn's")
    most = max(row.ratio(row.usual, "highest") or 1 for row in rows.values()) * 1.15

    def across(ratio: float) -> float:
        return left + (right - left) * math.log(ratio) / math.log(most)

    for mark in (1, 2, 5, 10, 20, 50):
        if mark <= most:
            x = across(mark)
            bold = {"stroke_width": 2} if mark == 1 else {}
            drawing.line([(x, top - 10), (x, bottom)], INK if mark == 1 else FAINT, **bold)
            drawing.text(x, bottom + 17, "fastnn" if mark == 1 else f"{mark}x", "middle", 12)
    for i, row in enumerate(rows.values()):
        y = top + step * (i + 0.5)
        drawing.text(left - 14, y + 4, f"{row.layers}, batch {row.batch}", "end", 12)
        best, usual = (row.ratio(who, "highest") or 1.0 for who in (row.best, row.usual))
        drawing.line([(across(1), y), (across(max(best, usual)), y)], FAINT, stroke_width=2)
        drawing.dot(across(usual), y, ORANGE)
        drawing.dot(across(best), y, BLUE)
    for x, colour, said in (
        (left, BLUE, "best of PyTorch, JAX, scikit-learn, NumPy"),
        (left + 300, ORANGE, "usual loop"),
    ):
        drawing.dot(x, 22, colour)
        drawing.text(x + 11, 26, said, size=12)
    drawing.text(14, 26, "layers of the network", size=12)
    drawing.text(
        left, bottom + 38, "time of a training step with Adam, as a multiple of fastnn's", size=12
    )
    drawing.text(14, bottom + 57, source(found), size=10.5, fill="#5a6675")
    return drawing


def bars(title: str, rows: Sequence[tuple[str, float, str]], said: str) -> Drawing:
    """Horizontal bars with a label and a value; the first row is fastnn's."""
    left, top, step = 170.0, 44.0, 30.0
    drawing = Drawing(720, top + step * len(rows) + 34, title)
    drawing.text(14, 26, title)
    most = max(value for _, value, _ in rows)
    for i, (name, value, told) in enumerate(rows):
        y = top + step * i
        drawing.text(left - 12, y + 17, name, "end", 12.5)
        width = 340 * value / most
        drawing.box(left, y + 3, width, step - 9, BLUE if i else ORANGE, rx=2)
        drawing.text(left + width + 8, y + 17, told, size=12)
    drawing.text(14, top + step * len(rows) + 22, said, size=10.5, fill="#5a6675")
    return drawing


def fashion() -> Drawing:
    found = section("fashion_mnist")
    rows = [
        (PEERS.get(name, name), seconds, f"{seconds:.2f} s, accuracy {accuracy:.3f}")
        for name, (seconds, accuracy) in found["seconds_and_accuracy"].items()
    ]
    return bars("Fashion-MNIST, 784-128-10, five epochs", rows, source(found))


def errors() -> Drawing:
    """Geometric means over data sets of the error of each method by that of fastnn."""
    found = section("tabular")
    data = found["rows"].values()
    rows = []
    for method in next(iter(data)):
        logs = [math.log(sum(row[method]["error"]) / sum(row["fastnn"]["error"])) for row in data]
        value = math.exp(sum(logs) / len(logs))
        rows.append((method, value, f"{value:.2f}"))
    title = f"Errors on {len(data)} tables, by fastnn's (geometric mean; less is better)"
    return bars(title, rows, source(found))


DRAWN: dict[str, Callable[[], Drawing]] = {
    function.__name__: function
    for function in (
        *(speed, fashion, errors, epoch, layers, products, sums),
        *(lanes, windows, ranks, columns),
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail if one is old")
    asked = parser.parse_args()
    old = [
        name
        for name, draw in DRAWN.items()
        if not (path := PICTURES / f"{name}.svg").exists() or path.read_text() != draw().svg()
    ]
    if asked.check and old:
        sys.exit(f"not up to date: {', '.join(old)}: run `python scripts/pictures.py`")
    for name in old:
        (PICTURES / f"{name}.svg").write_text(DRAWN[name]().svg())
    print(f"written: {', '.join(old)}" if old else "up to date")


if __name__ == "__main__":
    main()
