"""The page of a report: what it shows, that it needs nothing else, that no name breaks it, how it looks."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pages
import pytest
from pages import check, measured

from fastnn.commands.content import (
    Answers,
    Calibration,
    Column,
    Confusion,
    Curve,
    Errors,
    Importance,
    Mistakes,
    Report,
    Scores,
    calibration,
)
from fastnn.commands.page import page
from fastnn.pictures.charts import Axis, Series, chart, histogram, ticks

pytestmark = pytest.mark.cpu

RNG = np.random.default_rng(3)
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    "</title></style></table><h1>",
    "<!-- ",
    "&lt;b&gt; &amp; &#x3c;",
    "\u202eright to left\u2066",
    "\x00\x1b[31m\r\n\t",
    "{{7*7}} ${x} %s %d {0}",
    "url(http://example.org/x)",
    "a" * 5000,
    "\ud800",
    "🙂 日本 é",
    " ",
]


def whole(name: str = "size", classes: tuple[str, ...] = ("a", "b", "c")) -> Report:
    """A report with all parts, in which a name is everywhere."""
    k = len(classes)
    loss = np.exp(-np.arange(30) / 9) + 0.3
    counts = RNG.integers(0, 50, (k, k)) + 100 * np.eye(k, dtype=np.int64)
    p = RNG.random(500)
    y = RNG.normal(size=3000)
    return Report(
        title=f"model: {name}",
        facts=[("rows", "3,000"), (name, name)],
        notes=[f"left out: {name}"],
        scores=[Scores(name, [(name, "0.5"), ("accuracy", "0.9")])],
        curves=[Curve(f"{name} {i}", list(loss), list(loss + 0.1), 20 + i) for i in range(8)],
        curve_label=name,
        answers=[
            Answers(
                f"rows of {name}",
                Confusion([*classes[:-1], name], counts),
                Mistakes(200, [(name, name, 7, 0.25)]),
                calibration(name, p, RNG.random(500) < p),
                Errors(y, y + 0.2 * RNG.normal(size=3000)),
            )
        ],
        importance=[
            Importance(name, 0.5, 0.1),
            *(Importance(f"x{i}", 0.1, 0.01) for i in range(50)),
        ],
        importance_told=f"by shuffling {name}",
        columns=[
            Column(name, name, name),
            *(Column(f"x{i}", "number", "0 to 1") for i in range(50)),
        ],
        settings=[(name, name)],
        versions=[("fastnn", name)],
    )


def test_all_parts_are_shown():
    found = check(page(whole()))
    for words in (
        "Scores",
        "On held-out rows",
        "On rows of training",
        "a ring marks the epoch whose weights are kept",
        "Rows of each class",
        "Among 200 classes",
        "Calibration",
        "Residuals",
        "1,500 of 3,000 rows",
        "Importance of columns",
        "21 more columns",
        "11 more columns",
        "Settings",
        "Versions",
        "left out: size",
    ):
        assert words in found.text
    assert found.tags.count("svg") - found.text.count("member") >= 5


def test_what_is_not_there_is_left_out():
    found = check(page(Report("nothing")))
    assert "h2" not in found.tags
    assert found.text.count("nothing") == 2  # the title, and the heading


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name):
    text = page(whole(name))
    found = check(text)
    assert set(found.tags) == set(check(page(whole())).tags)
    text.encode()  # as a file
    assert all(c.isprintable() or c == "\n" for c in text)
    if len(name) < 100 and name.isprintable():
        assert f"left out: {name}".strip() in found.text


def test_values_that_are_no_numbers():
    """NaN and infinity, nothing, one value, equal ones and huge ones are drawn or left out."""
    nan = math.nan
    curves = [
        Curve("gaps", [nan, 1.0, math.inf, 2.0], [nan] * 4, None),
        Curve("one", [1.0], [1.0], 0),
        Curve("none", [], []),
        Curve("equal", [2.0] * 5, [2.0] * 5, 4),
        Curve("huge", [1e308, -1e308], [1e300, 0.0], 1),
        Curve("small", [1e-320, 0.0], [0.0, 0.0], 0),
    ]
    for some in ([curve] for curve in curves):
        check(page(Report("curves", curves=some)))
    check(page(Report("curves", curves=curves)))
    for actual in ([1.0], [2.0, 2.0], [nan, nan], [], [1e308, -1e308], [0.0, math.inf, 1.0]):
        y = np.array(actual)
        for predicted in (y, np.zeros_like(y), y[::-1]):
            check(page(Report("errors", answers=[Answers("rows", errors=Errors(y, predicted))])))
    empty = np.empty(0)
    none = Calibration("no rows", empty, empty, np.empty(0, np.int64))
    check(page(Report("calibration", answers=[Answers("rows", calibration=none)])))
    confusion = Confusion(["a", "b"], np.zeros((2, 2), np.int64))
    check(page(Report("no rows", answers=[Answers("rows", confusion)])))
    for mean in (nan, math.inf, -1.0, 0.0):
        check(page(Report("importance", importance=[Importance("x", mean, nan)])))


def test_calibration():
    p = np.array([0.0, 0.05, 0.5, 0.55, 0.99, 1.0])
    found = calibration("yes", p, [0, 1, 0, 0, 1, 1])
    np.testing.assert_allclose(found.probability, [0.025, 0.525, 0.995])
    np.testing.assert_allclose(found.share, [0.5, 0.0, 1.0])
    assert found.counts.tolist() == [2, 2, 2]


# -- charts


@pytest.mark.parametrize(
    ("least", "most"),
    [
        (0, 1),
        (-3, 7),
        (0.001, 0.0017),
        (1e9, 3e9),
        (-1e-9, 1e-9),
        (5, 5),
        (0, 1e308),
        (99.9, 100.1),
    ],
)
def test_ticks_are_round_and_inside(least, most):
    found = ticks(least, most)
    assert 1 <= len(found) <= 8
    room = 1e-9 * max(abs(least), abs(most))
    assert all(least - room <= tick <= most + room for tick in found)
    if most > least:
        assert len(found) >= 2
        step = np.diff(found)
        np.testing.assert_allclose(step, step[0], rtol=1e-6)
        assert f"{step[0]:.6e}"[:3].strip("0.") in ("1", "2", "2.5", "5", "1.", "9.9")


def numbers(path: str) -> np.ndarray:
    return np.array(re.findall(r"-?\d+\.?\d*", path), float).reshape(-1, 2)


def test_a_line_is_where_its_values_are():
    """Straight values give a straight line, of which more is higher up."""
    drawn = chart([Series("a", [0, 1, 2], [0, 5, 10])], Axis("x"), Axis("y"), "a line")
    (path,) = re.findall(r'class="line series0" d="([^"]*)"', drawn)
    points = numbers(path)
    assert len(points) == 3
    assert points[0, 0] < points[1, 0] < points[2, 0]
    assert points[0, 1] > points[1, 1] > points[2, 1]
    np.testing.assert_allclose(points[1], (points[0] + points[2]) / 2, atol=0.06)
    assert 'aria-label="a line"' in drawn


def test_gaps_part_a_line():
    drawn = chart([Series("a", range(5), [1, 2, math.nan, 3, 4])], Axis("x"), Axis("y"), "")
    assert drawn.count('class="line') == 2


def test_bars_are_as_high_as_counts():
    drawn = histogram([0, 1, 2, 3], [1, 0, 4], Axis("x"), "bars")
    heights = [float(h) for h in re.findall(r'class="bar"[^>]* height="([^"]*)"', drawn)]
    assert len(heights) == 2
    assert heights[1] / heights[0] == pytest.approx(4, rel=0.01)


# -- in a browser


@pytest.mark.skipif(pages.CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_browser(width, tmp_path: Path):
    """Nothing is wider than the screen of a phone, text of charts can be read, and dark is dark."""
    path = tmp_path / "report.html"
    path.write_text(page(whole('"><script>document.title = 1</script>', tuple("abcdefghijklmno"))))
    found: Any = measured(path, width)
    dark = measured(path, width, dark=True)
    assert int(found["scroll"]) <= width
    assert float(found["small"]) >= 8
    assert found["broken"] == "0"
    assert found["asked"] == "0"

    def light(colour: str) -> float:
        return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 765

    assert light(found["back"]) > 0.9
    assert light(found["ink"]) < 0.3
    assert light(dark["back"]) < 0.2
    assert light(dark["ink"]) > 0.7
