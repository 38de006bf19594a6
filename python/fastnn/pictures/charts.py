"""Charts as SVG for a page: lines, points, bars of a histogram. Colours and fonts are the page's.

A chart is drawn for the width of a phone and may be shown larger. Marks have classes, `series0`,
`axis`, `grid` and so on, that the page's style gives colours to, so that one chart serves light and
dark pages.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

from fastnn.console import printable

WIDTH, HEIGHT = 360.0, 240.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 10.0, 8.0, 38.0
_TICKS = 6
_LETTER = 6.2  # the mean width of a letter of an axis
COLOURS = 6  # after which series begin with the first colour again, dashed


class Series(NamedTuple):
    """A line through points, or points alone. NaN and infinity are gaps."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0
    dashed: bool = False
    points: bool = False  # marks the points
    line: bool = True
    marked: int | None = None  # a point with a ring around it


class Axis(NamedTuple):
    """What an axis shows. `least`, `most`: its ends; None: those of the values."""

    label: str
    least: float | None = None
    most: float | None = None
    whole: bool = False  # ticks at whole numbers


def chart(series: Sequence[Series], x: Axis, y: Axis, title: str, diagonal: bool = False) -> str:
    """Lines and points over two axes.

    Args:
        series: of which at least one has a finite point, else the chart is empty.
        x, y: the axes.
        title: for readers that see no picture.
        diagonal: draws the line where x and y are equal.
    """
    across = _Scale([v for s in series for v in s.x], x, _LEFT, WIDTH - _RIGHT)
    up = _Scale([v for s in series for v in s.y], y, HEIGHT - _BOTTOM, _TOP)
    marks = [_frame(across, up, x.label, y.label)]
    if diagonal:
        low, high = max(across.least, up.least), min(across.most, up.most)
        if high > low:
            ends = [(across(v), up(v)) for v in (low, high)]
            marks.append(f'<path class="diagonal" d="{_path(ends)}"/>')
    marks += [_drawn(each, across, up) for each in series]
    return _svg(marks, title)


def histogram(edges: Sequence[float], counts: Sequence[int], x: Axis, title: str) -> str:
    """Bars of counts between edges, one more edge than counts."""
    across = _Scale(edges, x, _LEFT, WIDTH - _RIGHT)
    up = _Scale([0, *counts], Axis("rows", least=0, whole=True), HEIGHT - _BOTTOM, _TOP)
    bars = []
    for i, count in enumerate(counts):
        left, right = across(edges[i]), across(edges[i + 1])
        if count:
            bars.append(
                f'<rect class="bar" x="{_number(left)}" y="{_number(up(count))}" '
                f'width="{_number(max(right - left - 0.5, 0.5))}" '
                f'height="{_number(up(0) - up(count))}"><title>{count:,}</title></rect>'
            )
    return _svg([_frame(across, up, x.label, "rows"), *bars], title)


def ticks(least: float, most: float, count: int = _TICKS, whole: bool = False) -> list[float]:
    """round numbers between two, about `count` of them: 1, 2, 2.5 or 5 times a power of ten apart.

    >>> from fastnn.pictures.charts import ticks
    >>> ticks(0.0, 1.0, 5)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = (most - least) / count
    if not (span > 0 and math.isfinite(span)):
        return [least]
    power = 10.0 ** math.floor(math.log10(span))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= span * 0.999)
    if whole:
        step = max(1.0, round(step))
    first, last = math.ceil(least / step - 1e-9), math.floor(most / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


class _Scale:
    """From values to places along one axis."""

    def __init__(self, values: Sequence[float], axis: Axis, start: float, end: float) -> None:
        finite = [float(v) for v in values if math.isfinite(v)]
        low = min(finite, default=0.0) if axis.least is None else axis.least
        high = max(finite, default=1.0) if axis.most is None else axis.most
        # Half of each, so that the difference of two huge numbers is finite.
        if not high / 2 - low / 2 > 1e-12 * max(abs(low), abs(high)):
            room = abs(low) / 10 or 1.0
            low, high = low - room, high + room
        else:
            room = (high / 2 - low / 2) * 0.08
            low = low - room if axis.least is None else low
            high = high + room if axis.most is None else high
        if axis.whole and axis.least is None and finite:
            low, high = min(finite), max(max(finite), min(finite) + 1)
        limit = 1.7e308
        self.least, self.most = max(low, -limit), min(high, limit)
        self._start, self._end = start, end
        self.whole = axis.whole

    def __call__(self, value: float) -> float:
        share = (value / 2 - self.least / 2) / (self.most / 2 - self.least / 2)
        return self._start + share * (self._end - self._start)

    def ticks(self) -> list[float]:
        return ticks(self.least, self.most, _TICKS, self.whole)


def _frame(across: _Scale, up: _Scale, x_label: str, y_label: str) -> str:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = []
    for value in up.ticks():
        y = _number(up(value))
        parts.append(f'<path class="grid" d="M{_LEFT:g} {y}H{right:g}"/>')
        parts.append(
            f'<text class="tick" x="{_LEFT - 5:g}" y="{y}" dy="0.35em" text-anchor="end">'
            f"{_label(value)}</text>"
        )
    values = across.ticks()
    widest = max((len(_label(v)) for v in values), default=1) * _LETTER + 8
    every = max(1, math.ceil(widest * len(values) / (right - _LEFT)))
    for value in values[::every]:
        x = _number(across(value))
        parts.append(f'<path class="grid" d="M{x} {_TOP:g}V{bottom:g}"/>')
        half = len(_label(value)) * _LETTER / 2
        parts.append(
            f'<text class="tick" x="{_number(min(across(value), WIDTH - half))}" y="{bottom + 14:g}" '
            f'text-anchor="middle">{_label(value)}</text>'
        )
    middle_x, middle_y = (_LEFT + right) / 2, (_TOP + bottom) / 2
    parts.append(f'<path class="axis" d="M{_LEFT:g} {_TOP:g}V{bottom:g}H{right:g}"/>')
    parts.append(
        f'<text class="label" x="{middle_x:g}" y="{HEIGHT - 6:g}" text-anchor="middle">'
        f"{_text(x_label)}</text>"
    )
    parts.append(
        f'<text class="label" transform="translate(11 {middle_y:g}) rotate(-90)" '
        f'text-anchor="middle">{_text(y_label)}</text>'
    )
    return "".join(parts)


def _drawn(series: Series, across: _Scale, up: _Scale) -> str:
    kind = f"series{series.colour % COLOURS}"
    runs: list[list[tuple[float, float]]] = [[]]
    places: dict[int, tuple[float, float]] = {}
    for i, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
        if math.isfinite(x) and math.isfinite(y):
            places[i] = across(x), up(y)
            runs[-1].append(places[i])
        elif runs[-1]:
            runs.append([])
    parts = []
    if series.line:
        dashes = " dashed" if series.dashed else ""
        parts += [f'<path class="line {kind}{dashes}" d="{_path(run)}"/>' for run in runs if run]
    if series.points and places:
        # A path of lines without length: one element for all points.
        dots = "".join(f"M{_number(x)} {_number(y)}h0" for x, y in places.values())
        parts.append(f'<path class="dots {kind}" d="{dots}"/>')
    if series.marked in places:
        x, y = places[series.marked]
        parts.append(f'<circle class="mark {kind}" cx="{_number(x)}" cy="{_number(y)}" r="4"/>')
    return f"<g><title>{_text(series.name)}</title>{''.join(parts)}</g>"


def _svg(marks: Sequence[str], title: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" '
        f'aria-label="{_text(title)}">{"".join(marks)}</svg>'
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    if len(points) == 1:
        return f"M{_number(points[0][0])} {_number(points[0][1])}h0"
    return "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in points)


def _number(value: float) -> str:
    """A length, in tenths of a pixel."""
    found = f"{value:.1f}".removesuffix(".0")
    return "0" if found == "-0" else found


def _label(value: float) -> str:
    size = abs(value)
    if size >= 1e6 or 0 < size < 1e-4:
        digits, _, power = f"{value:.1e}".partition("e")
        return f"{digits.removesuffix('.0')}e{int(power)}"
    return f"{value:,.0f}" if size >= 1000 and value == int(value) else f"{value:.4g}"


def _text(text: str) -> str:
    return html.escape(printable(text))
