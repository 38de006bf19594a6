"""A report as one page of HTML, which needs no network: no scripts, fonts or pictures from elsewhere.

All text from data and models goes through `_text`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

import numpy as np

from fastnn.commands.content import (
    Answers,
    Calibration,
    Column,
    Confusion,
    Curve,
    Errors,
    Importance,
    Mistakes,
    Pairs,
    Report,
)
from fastnn.console import printable
from fastnn.pictures.charts import COLOURS, Axis, Series, chart, histogram

_FEW_CLASSES = 6  # whose table has a place beside a picture
_MOST_BARS = 30
_MOST_COLUMNS = 40  # that are shown without a click
_MOST_POINTS = 1500
_MOST_LETTERS = 120
_BINS = 30
_HUGE = 1e300  # beyond which edges of bins are not finite

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --back: #ffffff; --ink: #1c2430; --soft: #5a6675; --rule: #d9dee5;
  --card: #f6f8fa; --accent: 37, 99, 205; --c0: #2563cd; --c1: #c2410c; --c2: #15803d; --c3: #9333ea;
  --c4: #b45309; --c5: #0e7490; }
@media (prefers-color-scheme: dark) { :root { --back: #12161c; --ink: #e4e8ee; --soft: #9aa7b6;
  --rule: #303846; --card: #1a2029; --accent: 96, 156, 255; --c0: #6ca5ff; --c1: #fb923c; --c2: #4ade80;
  --c3: #c58bff; --c4: #facc15; --c5: #38bdf8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 75rem; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere; -webkit-text-size-adjust: 100%; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0.5rem 0 0.25rem; }
h2 { font-size: 1.2rem; margin: 2rem 0 0.5rem; border-bottom: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 0 0 0.25rem; }
p { margin: 0.25rem 0 0.75rem; }
.soft, figcaption { color: var(--soft); font-size: 0.875rem; }
.grid-of { display: grid; gap: 1rem; align-items: start; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
.facts { display: grid; gap: 0.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 9rem), 1fr));
  margin: 1rem 0; }
.facts div, figure, .card { background: var(--card); border: 1px solid var(--rule); border-radius: 8px;
  padding: 0.6rem 0.8rem; margin: 0; min-width: 0; }
.facts dt { color: var(--soft); font-size: 0.8rem; }
.facts dd { margin: 0; font-weight: 600; }
figure, .card { max-width: 36rem; }
.apart { margin-bottom: 1rem; }
.chart { display: block; width: 100%; height: auto; font: 11px system-ui, sans-serif; }
.chart text { fill: var(--soft); }
.chart .grid { stroke: var(--rule); stroke-width: 0.7; fill: none; }
.chart .axis { stroke: var(--soft); fill: none; }
.chart .line { fill: none; stroke-width: 1.7; stroke-linejoin: round; stroke-linecap: round; }
.chart .dashed { stroke-dasharray: 4 4; stroke-width: 1.3; }
.chart .dots { fill: none; stroke-linecap: round; stroke-width: 4; }
.many .dots { stroke-width: 2.5; opacity: 0.45; }
.chart .mark { fill: var(--back); stroke-width: 2; }
.chart .bar { fill: var(--c0); }
.chart .diagonal { stroke: var(--soft); stroke-dasharray: 2 4; fill: none; }
.series0 { stroke: var(--c0); } .series1 { stroke: var(--c1); } .series2 { stroke: var(--c2); }
.series3 { stroke: var(--c3); } .series4 { stroke: var(--c4); } .series5 { stroke: var(--c5); }
.keys { list-style: none; margin: 0.4rem 0 0; padding: 0; display: flex; flex-wrap: wrap;
  gap: 0.1rem 1rem; font-size: 0.8rem; color: var(--soft); }
.keys svg { width: 1.6em; height: 0.7em; margin-right: 0.3em; vertical-align: middle; fill: none;
  stroke-width: 2; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.875rem; }
th, td { padding: 0.25rem 0.6rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--rule); }
th { color: var(--soft); font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.wide { width: 100%; }
.wide td:first-child { min-width: 8rem; }
.confusion td { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.confusion th { max-width: 9rem; overflow-wrap: break-word; }
.bars { display: grid; grid-template-columns: minmax(5rem, 30%) 1fr auto; gap: 0.25rem 0.75rem;
  align-items: center; font-size: 0.875rem; max-width: 50rem; }
.bars i { display: block; height: 0.8rem; border-radius: 3px; background: var(--c0); min-width: 1px; }
.bars .number { font-variant-numeric: tabular-nums; color: var(--soft); text-align: right; }
.note { border-left: 3px solid var(--c1); padding-left: 0.75rem; }
summary { cursor: pointer; color: var(--soft); margin: 0.5rem 0; }
@media print { body { max-width: none; } details > * { display: block; } }
"""


def page(report: Report) -> str:
    """The whole page."""
    title = _text(report.title)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        # What data may try to smuggle in is not run or fetched even if it were not escaped.
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="generator" content="fastnn">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{title}</h1>",
        _facts(report.facts),
        *(f'<p class="note">{_text(note)}</p>' for note in report.notes),
        _section("Scores", _scores(report)),
        _section("Training", _curves(report)),
        *(_answers(answers) for answers in report.answers),
        _section("Importance of columns", _importance(report)),
        _section("Columns as they were understood", _columns(report.columns)),
        _section("Settings", _pairs(report.settings)),
        _section("Versions", _pairs(report.versions)),
        "</main></body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{_text(title)}</h2>\n{inside}</section>" if inside else ""


def _facts(facts: Pairs) -> str:
    if not facts:
        return ""
    parts = (f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in facts)
    return f'<dl class="facts">{"".join(parts)}</dl>'


def _scores(report: Report) -> str:
    if not report.scores:
        return ""
    cards = []
    for scores in report.scores:
        rows = "".join(
            f'<tr><td>{_text(name)}</td><td class="number">{_text(value)}</td></tr>'
            for name, value in scores.values
        )
        cards.append(
            f'<div class="card"><h3>{_text(scores.title)}</h3><table class="wide">{rows}</table></div>'
        )
    return f'<div class="grid-of">{"".join(cards)}</div>'


# -- training


def _curves(report: Report) -> str:
    curves = [curve for curve in report.curves if curve.training or curve.validation]
    if not curves:
        return ""
    figures = []
    parts = (("validation", "held-out rows"), ("training", "rows of training"))
    for part, told in parts:
        series = [_series(curve, part, i) for i, curve in enumerate(curves)]
        series = [each for each in series if each.y]
        if not series:
            continue
        x = Axis("epoch", whole=True)
        drawn = chart(series, x, Axis(report.curve_label), f"{report.curve_label} on {told}")
        caption = f"{report.curve_label} on {told}, after each epoch"
        if any(each.marked is not None for each in series):
            caption += "; a ring marks the epoch whose weights are kept"
        figures.append(_figure(f"On {told}", drawn, caption, _keys(series)))
    return f'<div class="grid-of">{"".join(figures)}</div>'


def _series(curve: Curve, part: str, number: int) -> Series:
    values = list(curve.training if part == "training" else curve.validation)
    return Series(
        curve.name,
        [float(i) for i in range(1, len(values) + 1)],
        values,
        colour=number,
        dashed=number >= COLOURS,
        marked=curve.best if part == "validation" else None,
        points=len(values) == 1,
    )


def _figure(title: str, drawn: str, caption: str, more: str = "", kind: str = "") -> str:
    of = f' class="{kind}"' if kind else ""
    return (
        f"<figure{of}><h3>{_text(title)}</h3>{drawn}{more}"
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def _keys(series: Sequence[Series]) -> str:
    if len(series) < 2:
        return ""
    parts = []
    for each in series[:24]:
        dashes = ' stroke-dasharray="4 4"' if each.dashed else ""
        parts.append(
            f'<li><svg viewBox="0 0 24 10" aria-hidden="true"><path class="series{each.colour % COLOURS}"'
            f'{dashes} d="M0 5H24"/></svg>{_text(each.name)}</li>'
        )
    return f'<ul class="keys">{"".join(parts)}</ul>'


# -- answers


def _answers(answers: Answers) -> str:
    figures = []
    if answers.errors is not None:
        figures += _errors(answers.errors)
    if answers.calibration is not None and len(answers.calibration.counts):
        figures.append(_calibration(answers.calibration))
    first = ""
    if answers.mistakes is not None:
        first = _mistakes(answers.mistakes)
    if answers.confusion is not None:
        table = _confusion(answers.confusion)
        if len(answers.confusion.classes) <= _FEW_CLASSES:
            figures.insert(0, f'<div class="card">{table}</div>')
        else:
            first += f'<div class="apart">{table}</div>'
    rest = f'<div class="grid-of">{"".join(figures)}</div>' if figures else ""
    return _section(answers.title, first + rest)


def _confusion(confusion: Confusion) -> str:
    counts, classes = confusion.counts, confusion.classes
    totals = counts.sum(axis=1)
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in classes)
    rows = []
    for i, name in enumerate(classes):
        cells = []
        for j, number in enumerate(counts[i]):
            share = number / totals[i] if totals[i] else 0.0
            cells.append(
                f'<td style="background:rgba(var(--accent),{share * 0.55:.2f})" '
                f'title="{share:.1%} of {_text(name)}">'
                f"{'<b>' if i == j else ''}{number:,}{'</b>' if i == j else ''}</td>"
            )
        right = f"{counts[i, i] / totals[i]:.1%}" if totals[i] else ""
        rows.append(f'<tr><th scope="row">{_text(name)}</th>{"".join(cells)}<td>{right}</td></tr>')
    return (
        '<p class="soft">Rows of each class (from above) by the class that is answered (across), '
        "and the share that is right.</p>"
        '<div class="scroll"><table class="confusion">'
        f"<thead><tr><th></th>{head}<th>right</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _mistakes(mistakes: Mistakes) -> str:
    if not mistakes.pairs:
        return "<p>All rows are answered right.</p>"
    rows = [
        f'<tr><td>{_text(of)}</td><td>{_text(answered)}</td><td class="number">{rows:,}</td>'
        f'<td class="number">{share:.1%}</td></tr>'
        for of, answered, rows, share in mistakes.pairs
    ]
    return (
        f'<div class="apart"><p class="soft">Among {mistakes.classes:,} classes, the mistakes that are made most often.</p>'
        '<div class="scroll"><table><thead><tr><th>class</th><th>answered as</th>'
        '<th class="number">rows</th><th class="number">share of the class</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></div>"
    )


def _calibration(calibration: Calibration) -> str:
    series = Series(
        calibration.name, list(calibration.probability), list(calibration.share), points=True
    )
    drawn = chart(
        [series],
        Axis("probability that is answered", 0.0, 1.0),
        Axis("share that came true", 0.0, 1.0),
        f"calibration of {printable(calibration.name)}",
        diagonal=True,
    )
    caption = (
        f"{calibration.name}: rows in ten bins by their probability. On the dotted line answers are as "
        "often right as they say."
    )
    return _figure("Calibration", drawn, caption)


def _errors(errors: Errors) -> list[str]:
    actual = np.asarray(errors.actual, np.float64)
    predicted = np.asarray(errors.predicted, np.float64)
    there = np.isfinite(actual) & np.isfinite(predicted)
    actual, predicted = actual[there], predicted[there]
    if not len(actual):
        return []
    chosen = np.arange(len(actual))
    told = f"{len(actual):,} rows"
    if len(actual) > _MOST_POINTS:
        chosen = np.random.default_rng(0).permutation(len(actual))[:_MOST_POINTS]
        told = f"{_MOST_POINTS:,} of {len(actual):,} rows"
    points = Series("rows", list(predicted[chosen]), list(actual[chosen]), points=True, line=False)
    first = chart(
        [points], Axis("predicted"), Axis("actual"), "actual over predicted numbers", True
    )
    figures = [
        _figure(
            "Actual and predicted",
            first,
            f"{told}; on the dotted line both are the same",
            kind="many",
        )
    ]
    with np.errstate(over="ignore"):
        residuals = actual - predicted
    if np.abs(residuals).max() > _HUGE:
        return figures
    # The outermost rows would leave the others one bar.
    low, high = np.quantile(residuals, [0.005, 0.995])
    inside = residuals[(residuals >= low) & (residuals <= high)]
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    counts, edges = np.histogram(inside, _BINS, (low, high))
    left_out = len(residuals) - len(inside)
    second = histogram(
        list(map(float, edges)), [int(c) for c in counts], Axis("actual - predicted"), "residuals"
    )
    caption = "What predictions leave: above zero where they are too low"
    if left_out:
        caption += f"; {left_out:,} rows lie outside of the picture"
    return [*figures, _figure("Residuals", second, caption)]


# -- tables


def _importance(report: Report) -> str:
    if not report.importance:
        return ""
    order = sorted(report.importance, key=lambda each: -each.mean)
    told = f'<p class="soft">{_text(report.importance_told)}</p>' if report.importance_told else ""
    rest = order[_MOST_BARS:]
    inside = told + _bars(order[:_MOST_BARS], order)
    if rest:
        inside += (
            f"<details><summary>{len(rest):,} more columns</summary>{_bars(rest, order)}</details>"
        )
    return inside


def _bars(shown: Iterable[Importance], every: Sequence[Importance]) -> str:
    most = max((each.mean for each in every if math.isfinite(each.mean)), default=0.0)
    parts = []
    for each in shown:
        share = max(each.mean, 0.0) / most if most > 0 and math.isfinite(each.mean) else 0.0
        spread = "" if each.spread is None else f" &plusmn; {each.spread:.2g}"
        parts.append(
            f"<span>{_text(_short(each.column))}</span>"
            f'<span><i style="width:{share * 100:.1f}%"></i></span>'
            f'<span class="number">{each.mean:.3g}{spread}</span>'
        )
    return f'<div class="bars">{"".join(parts)}</div>'


def _columns(columns: Sequence[Column]) -> str:
    if not columns:
        return ""
    head = "<thead><tr><th>column</th><th>kind</th><th>values</th></tr></thead>"
    rows = [
        f"<tr><td>{_text(c.name)}</td><td>{_text(c.kind)}</td><td>{_text(c.told)}</td></tr>"
        for c in columns
    ]
    first, rest = rows[:_MOST_COLUMNS], rows[_MOST_COLUMNS:]
    inside = f'<div class="scroll"><table class="wide">{head}<tbody>{"".join(first)}</tbody></table></div>'
    if rest:
        inside += (
            f"<details><summary>{len(rest):,} more columns</summary>"
            f'<div class="scroll"><table class="wide">{head}<tbody>{"".join(rest)}</tbody></table></div></details>'
        )
    return inside


def _pairs(pairs: Pairs) -> str:
    if not pairs:
        return ""
    rows = "".join(
        f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in pairs
    )
    return f'<div class="scroll"><table>{rows}</table></div>'


def _short(name: str) -> str:
    return name if len(name) <= 60 else name[:57] + "..."


def _text(text: str) -> str:
    """Text for HTML: without control characters, not too long, escaped."""
    found = printable(text)
    if len(found) > _MOST_LETTERS * 4:
        found = found[: _MOST_LETTERS * 4] + "..."
    return html.escape(found)
