"""The picture of a graph of boxes with lines of text: as SVG, written here, or by matplotlib."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from fastnn.console import columns
from fastnn.pictures.layout import Layout, Point, Size, lay_out
from fastnn.plotting import matplotlib, suffix_of

Direction = Literal["TB", "LR"]
DIRECTIONS: tuple[Direction, ...] = ("TB", "LR")

_MARGIN = 12.0
_LINE = 17.0  # the height of a line of text
_LETTER = 8.0  # more than the mean width of a letter of 13 pixels, so that text stays inside
_PADDING = 10.0
_FONT = "DejaVu Sans, Verdana, Helvetica, sans-serif"
_FILL, _INPUT, _INK = "#eef3fb", "#f6f6f0", "#2b3a55"
_DPI = 96.0  # at which a pixel of the picture is one of SVG


class Box(NamedTuple):
    """A box of the picture: the first line of its text is its title."""

    lines: tuple[str, ...]
    inputs: tuple[int, ...]  # boxes that arrows come from
    is_input: bool = False  # of another colour


class Picture(str):
    """The text of a picture in SVG. Notebooks show the picture itself."""

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"<Picture of {len(self)} letters of SVG>"


def picture(boxes: Sequence[Box], title: str, direction: Direction = "TB") -> Picture:
    """The picture as SVG."""
    return Picture(_svg(boxes, _laid_out(boxes, direction), title, direction))


def save(
    boxes: Sequence[Box], title: str, path: Any, direction: Direction = "TB", dpi: float = 200.0
) -> Picture:
    """Writes the picture in the format of the path's suffix, and returns it as SVG."""
    suffix = suffix_of(path, (".svg",))
    layout = _laid_out(boxes, direction)
    text = _svg(boxes, layout, title, direction)
    if suffix == ".svg":
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is slow to import
            file.write(text)
    else:
        figure = _figure(boxes, layout, direction)
        figure.savefig(path, format=suffix[1:], dpi=dpi)
    return Picture(text)


def _laid_out(boxes: Sequence[Box], direction: Direction) -> Layout:
    sizes = [_size(box) for box in boxes]
    if direction == "LR":
        sizes = [Size(size.height, size.width) for size in sizes]
    layout = lay_out(sizes, [(a, b) for b, box in enumerate(boxes) for a in box.inputs])
    return layout if direction == "TB" else layout.transposed()


def _size(box: Box) -> Size:
    widest = max(columns(line) for line in box.lines)
    return Size(
        max(80.0, widest * _LETTER + 2 * _PADDING), len(box.lines) * _LINE + 2 * _PADDING - 4
    )


# -- SVG -------------------------------------------------------------------------------------------


def _svg(boxes: Sequence[Box], layout: Layout, title: str, direction: Direction) -> str:
    width, height = (_number(n + 2 * _MARGIN) for n in layout.size)
    marker = (
        '<marker id="arrow" viewBox="0 0 10 10" refX="10" refY="5" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0 10 5 0 10z" fill="{_INK}"/></marker>'
    )
    area = f'width="{width}" height="{height}"'
    begin = f"{-_MARGIN:g}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {area}',
        f'viewBox="{begin} {begin} {width} {height}" font-family="{_FONT}" font-size="13">',
        f"<title>{_escaped(title)}</title>",
        f"<defs>{marker}</defs>",
        f'<rect x="{begin}" y="{begin}" {area} fill="white"/>',
    ]
    ends = [(a, b) for b, box in enumerate(boxes) for a in box.inputs]
    for (a, b), route in zip(ends, layout.routes, strict=True):
        lines.append(
            f'<path class="edge" data-from="{a}" data-to="{b}" d="{_path(route, direction)}" '
            f'fill="none" stroke="{_INK}" stroke-width="1.3" marker-end="url(#arrow)"/>'
        )
    for i, (box, (x, y)) in enumerate(zip(boxes, layout.corners, strict=True)):
        size = _size(box)
        lines.append(
            f'<g class="box" data-box="{i}"><rect x="{_number(x)}" y="{_number(y)}" '
            f'width="{_number(size.width)}" height="{_number(size.height)}" rx="5" '
            f'fill="{_INPUT if box.is_input else _FILL}" stroke="{_INK}"/>'
        )
        for k, text in enumerate(box.lines):
            bold = ' font-weight="bold"' if k == 0 else ""
            lines.append(
                f'<text x="{_number(x + size.width / 2)}" y="{_number(_baseline(y, k))}" '
                f'text-anchor="middle" fill="{_INK}"{bold}>{_escaped(text)}</text>'
            )
        lines.append("</g>")
    return "\n".join([*lines, "</svg>", ""])


def _path(route: Sequence[Point], direction: Direction) -> str:
    parts = [f"M{_pair(route[0])}"]
    for start, end in pairwise(route):
        if start == end:
            continue
        bends = _bends(start, end, direction)
        if bends is None:
            parts.append(f"L{_pair(end)}")
        else:
            parts.append(f"C{_pair(bends[0])} {_pair(bends[1])} {_pair(end)}")
    return " ".join(parts)


def _bends(start: Point, end: Point, direction: Direction) -> tuple[Point, Point] | None:
    """The two points that a curve between ranks is drawn towards; None: the way is straight.

    It stays between the ranks, where no box is.
    """
    (x, y), (to_x, to_y) = start, end
    if direction == "TB":
        return None if x == to_x else ((x, (y + to_y) / 2), (to_x, (y + to_y) / 2))
    return None if y == to_y else (((x + to_x) / 2, y), ((x + to_x) / 2, to_y))


def _baseline(top: float, line: int) -> float:
    return top + _PADDING + _LINE * line + 11


def _number(value: float) -> str:
    return f"{round(value, 2):g}" if abs(value) < 1e5 else f"{value:.2f}"


def _pair(point: Point) -> str:
    return f"{_number(point[0])},{_number(point[1])}"


def _escaped(text: str) -> str:
    """Text for XML, which has no place for control characters."""
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(letter, entity)
    return "".join(
        letter
        if unicodedata.category(letter) not in ("Cc", "Cs", "Cn")
        else "\N{REPLACEMENT CHARACTER}"
        for letter in text
    )


# -- matplotlib ------------------------------------------------------------------------------------


def _figure(boxes: Sequence[Box], layout: Layout, direction: Direction) -> Any:
    """The same as a figure of matplotlib."""
    figures = matplotlib("plot")
    patches, paths = matplotlib("plot", "patches"), matplotlib("plot", "path")
    width, height = (n + 2 * _MARGIN for n in layout.size)
    figure = figures.Figure(figsize=(width / _DPI, height / _DPI))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(-_MARGIN, width - _MARGIN), ylim=(height - _MARGIN, -_MARGIN))
    points = 72 / _DPI  # of text and lines, to a pixel
    for route in layout.routes:
        places, codes = [route[0]], [paths.Path.MOVETO]
        for start, end in pairwise(route):
            if start == end:
                continue
            bends = _bends(start, end, direction) or ()
            places += [*bends, end]
            codes += [paths.Path.CURVE4] * 3 if bends else [paths.Path.LINETO]
        axes.add_patch(
            patches.FancyArrowPatch(
                path=paths.Path(places, codes),
                arrowstyle="-|>",
                mutation_scale=10 * points,
                linewidth=1.3 * points,
                shrinkA=0,
                shrinkB=0,
                color=_INK,
            )
        )
    for box, (x, y) in zip(boxes, layout.corners, strict=True):
        size = _size(box)
        axes.add_patch(
            patches.FancyBboxPatch(
                (x, y),
                size.width,
                size.height,
                boxstyle="round,pad=0,rounding_size=5",
                facecolor=_INPUT if box.is_input else _FILL,
                edgecolor=_INK,
                linewidth=points,
            )
        )
        for k, text in enumerate(box.lines):
            axes.text(
                x + size.width / 2,
                _baseline(y, k),
                text,
                ha="center",
                va="baseline",
                color=_INK,
                fontsize=13 * points,
                fontweight="bold" if k == 0 else "normal",
                parse_math=False,
            )
    return figure
