"""Pictures of shapes and texts as SVG on white, so that they can be read wherever a page is shown."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

INK, FAINT, BLUE, ORANGE, GREEN, PALE = (
    *("#24324a", "#d8dee8", "#0072b2", "#d55e00", "#009e73", "#eef3fb"),
)
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
