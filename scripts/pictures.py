"""Draws the pictures of the documentation into docs/pictures, from benchmarks/results and from nothing.

    python scripts/pictures.py            # writes them
    python scripts/pictures.py --check    # exit status 1 where one is not up to date

The pictures are SVG on white, so that they can be read wherever a page is shown.
"""

from __future__ import annotations

import argparse
import html
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks import steps
from benchmarks.records import FOLDER, load

PICTURES = ROOT / "docs" / "pictures"
INK, FAINT, BLUE, ORANGE, GREEN, PALE = (
    *("#24324a", "#d8dee8", "#0072b2", "#d55e00", "#009e73", "#eef3fb"),
)
PEERS = {
    "torch": "PyTorch",
    "sklearn": "scikit-learn",
    "keras-jax": "Keras on JAX",
    "keras-tensorflow": "Keras on TensorFlow",
}
FONT = "DejaVu Sans, Verdana, Helvetica, sans-serif"


class Drawing:
    """Shapes and texts of one picture."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.width, self.height, self.title = width, height, title
        self.marks: list[str] = []

    def text(
        self, x: float, y: float, said: str, anchor: str = "start", size: float = 13, **style: Any
    ) -> None:
        more = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
        fill = "" if "fill" in style else f' fill="{INK}"'
        self.marks.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}"{fill}{more}>'
            f"{html.escape(said)}</text>"
        )

    def box(self, x: float, y: float, width: float, height: float, fill: str, **style: Any) -> None:
        more = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
        self.marks.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{fill}"{more}/>'
        )

    def line(self, points: Sequence[tuple[float, float]], colour: str = INK, **style: Any) -> None:
        more = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
        path = "L".join(f"{x:g} {y:g}" for x, y in points)
        self.marks.append(f'<path d="M{path}" fill="none" stroke="{colour}"{more}/>')

    def arrow(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.line([start, end], stroke_width=1.4, marker_end="url(#end)")

    def dot(self, x: float, y: float, colour: str) -> None:
        self.marks.append(f'<circle cx="{x:g}" cy="{y:g}" r="5.5" fill="{colour}"/>')

    def labelled(self, x: float, y: float, width: float, lines: Sequence[str]) -> None:
        """A box with lines of text in its middle; the first one is its title."""
        height = 14 + 17 * len(lines)
        self.box(x, y, width, height, PALE, stroke=INK, rx=5)
        for i, said in enumerate(lines):
            self.text(x + width / 2, y + 19 + 17 * i, said, "middle", 13 if i == 0 else 11.5)

    def svg(self) -> str:
        inside = "\n".join(self.marks)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'width="{self.width:g}" height="{self.height:g}" font-family="{FONT}" role="img">\n'
            f"<title>{html.escape(self.title)}</title>\n"
            '<defs><marker id="end" markerWidth="9" markerHeight="8" refX="8" refY="4" '
            f'orient="auto"><path d="M0 0L9 4L0 8z" fill="{INK}"/></marker></defs>\n'
            f'<rect width="100%" height="100%" fill="#ffffff"/>\n{inside}\n</svg>\n'
        )


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
    title = "Errors on ten tables, by fastnn's (geometric mean; less is better)"
    return bars(title, rows, source(found))


# -- how it works -----------------------------------------------------------


def epoch() -> Drawing:
    """An epoch as a loop in Python, and as one native call."""
    drawing = Drawing(740, 250, "An epoch as a loop in Python, and as one native call")
    parts = ("gather", "forward", "loss", "backward", "update")
    drawing.text(14, 26, "A loop in Python: each part is a call, each batch a round")
    x = 14.0
    for batch in range(3):
        for i, part in enumerate(parts):
            drawing.box(x, 40, 9, 34, ORANGE)
            drawing.box(x + 10, 40, 34, 34, PALE, stroke=INK)
            if batch == 0:
                drawing.text(x + 27, 90, part, "middle", 9)
            x += 46 + (6 if i == len(parts) - 1 else 0)
    drawing.text(x + 4, 62, "...", size=13)
    drawing.text(14, 140, "fastnn: one call for the epochs that no code looks into")
    drawing.box(14, 154, 9, 34, ORANGE)
    x = 25.0
    for batch in range(7):
        for _ in parts:
            drawing.box(x, 154, 14, 34, PALE, stroke=INK)
            x += 15
        if batch < 6:
            drawing.line([(x + 1, 148), (x + 1, 194)], BLUE, stroke_width=1)
            x += 3
    drawing.text(x + 6, 176, "...", size=13)
    drawing.box(14, 215, 12, 12, ORANGE)
    drawing.text(32, 226, "Python", size=12)
    drawing.box(104, 215, 12, 12, PALE, stroke=INK)
    drawing.text(122, 226, "native code; the GIL is released", size=12)
    return drawing


def layers() -> Drawing:
    """From words to kernels: which part knows what."""
    drawing = Drawing(700, 470, "From a model to kernels")
    drawing.labelled(20, 20, 200, ["Python", "layers, losses, names,", "shapes of arrays"])
    drawing.labelled(250, 20, 200, ["Graph", "nodes, parameters,", "what the head means"])
    drawing.labelled(480, 20, 200, ["Plan", "nodes in order, places", "in one buffer, the update"])
    drawing.arrow((220, 52), (248, 52))
    drawing.arrow((450, 52), (478, 52))
    drawing.text(235, 110, "compile", "middle", 11.5)
    drawing.text(465, 110, "lower", "middle", 11.5)
    drawing.labelled(
        250,
        150,
        430,
        ["Session: chosen by shape and device; owns", "activations, packed weights, device memory"],
    )
    drawing.arrow((580, 86), (580, 148))
    names = ("plain", "streaming", "tiled", "wide", "resident", "generic")
    told = ("any plan", "large layers", "narrow layers", "GPU", "GPU, small", "GPU")
    for i, (name, said) in enumerate(zip(names, told, strict=True)):
        x = 14 + 114 * i
        drawing.labelled(x, 240, 104, [name, said])
        drawing.arrow((x + 52, 206), (x + 52, 238))
    drawing.line([(66, 206), (636, 206)], stroke_width=1.4)
    drawing.line([(465, 198), (465, 206)], stroke_width=1.4)
    drawing.labelled(
        14, 340, 330, ["Kernels for CPUs", "baseline, AVX2, AVX-512, AMX", "compiled once for each"]
    )
    drawing.labelled(
        356, 340, 330, ["Kernels for GPUs", "a library of its own,", "opened at the first use"]
    )
    for x in (179, 521):
        drawing.arrow((x, 290), (x, 338))
    drawing.labelled(14, 422, 672, ["csrc/core: each formula once, compiled for every target"])
    return drawing


def sums() -> Drawing:
    """The law of sums: groups of rows by shape, added in order, whichever thread made them."""
    drawing = Drawing(700, 270, "The law of sums")
    drawing.text(14, 24, "512 rows of a batch, in groups that depend on their number alone")
    colours = (BLUE, ORANGE, BLUE, ORANGE)
    for i in range(4):
        x = 14 + 170 * i
        drawing.box(x, 38, 160, 36, PALE, stroke=INK)
        drawing.text(x + 80, 61, f"rows {128 * i} to {128 * i + 127}", "middle", 12)
        drawing.arrow((x + 80, 74), (x + 80, 106))
        drawing.box(x + 40, 108, 80, 30, "#ffffff", stroke=colours[i], stroke_width=2)
        drawing.text(x + 80, 128, f"sum {i}", "middle", 12)
    drawing.text(14, 166, "Colours: the threads that happened to take the groups", size=11.5)
    drawing.text(350, 216, "gradient = ((sum 0 + sum 1) + sum 2) + sum 3", "middle", 14)
    drawing.text(
        350,
        246,
        "added in the order of groups: the same bits for any number of threads",
        "middle",
        12,
    )
    return drawing


def products() -> Drawing:
    """A product's tile in registers, with bias and activation applied before it is written."""
    drawing = Drawing(700, 300, "A product with its epilogue")
    for x, width, height, name in (
        (30, 120, 150, "x: rows, inputs"),
        (190, 150, 120, "w: inputs, outputs"),
        (400, 150, 150, "y: rows, outputs"),
    ):
        drawing.box(x, 50, width, height, PALE, stroke=INK)
        drawing.text(x + width / 2, 40, name, "middle", 12)
    drawing.box(30, 90, 120, 34, BLUE, opacity=0.55)
    drawing.box(240, 50, 44, 120, BLUE, opacity=0.55)
    drawing.box(450, 90, 44, 34, ORANGE, opacity=0.8)
    drawing.text(170, 115, "x", "middle", 16)
    drawing.text(370, 115, "=", "middle", 16)
    drawing.text(572, 104, "a tile of y in", size=12)
    drawing.text(572, 120, "registers, over all k", size=12)
    drawing.labelled(30, 230, 170, ["sum over k, in order"])
    drawing.labelled(230, 230, 170, ["+ bias"])
    drawing.labelled(430, 230, 170, ["activation, then store"])
    drawing.arrow((200, 246), (228, 246))
    drawing.arrow((400, 246), (428, 246))
    return drawing


DRAWN: dict[str, Callable[[], Drawing]] = {
    function.__name__: function
    for function in (speed, fashion, errors, epoch, layers, sums, products)
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
