"""Draws the results of `growth.py`: time per row on logarithmic axes, one plot for each axis.

    python -m benchmarks.growth_plot benchmarks/results/<machine>.json growth.png

It needs matplotlib (`pip install '.[plot]'`) and measures nothing.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.records import load

# Distinct also for colour-blind readers (Okabe and Ito 2008); each curve has its own mark too.
STYLES = {
    "fastnn highest": ("#D55E00", "o"),
    "JAX scan": ("#0072B2", "s"),
    "PyTorch eager": ("#009E73", "^"),
    "scikit-learn": ("#CC79A7", "D"),
    "NumPy": ("#555555", "v"),
}
UNITS = ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s"))


def duration(seconds: float) -> str:
    """A power of ten in the largest unit that fits: 100 ns, 1 µs."""
    size, unit = next((pair for pair in reversed(UNITS) if seconds >= 0.999 * pair[0]), UNITS[0])
    return f"{seconds / size:g} {unit}"


def draw(axes: Mapping[str, Any], caption: Sequence[str], path: Path) -> None:
    """Writes a PNG with a small plot for each axis that was measured."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    columns = min(2, len(axes))
    rows = -(-len(axes) // columns)
    figure = Figure(figsize=(6.2 * columns, 4.2 * rows + 1), dpi=120, layout="constrained")
    pictures = figure.subplots(rows, columns, squeeze=False).flat
    handles = {}
    for picture, (name, axis) in zip(pictures, axes.items(), strict=False):
        for entry, points in axis["curves"].items():
            color, mark = STYLES.get(entry, ("black", "x"))
            ours = entry.startswith("fastnn")
            (handles[entry],) = picture.plot(
                [value for value, _, _ in points],
                [seconds / batch for _, batch, seconds in points],
                color=color,
                marker=mark,
                markersize=5 if ours else 4,
                linewidth=2.6 if ours else 1.3,
                zorder=3 if ours else 2,
            )
        values = sorted({value for points in axis["curves"].values() for value, _, _ in points})
        picture.set_xscale("log", base=2)
        picture.set_yscale("log")
        shown = [value for value in values if value.bit_count() == 1]
        picture.set_xticks(shown[:: 2 if len(shown) > 11 else 1])
        picture.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        picture.xaxis.set_minor_locator(NullLocator())
        picture.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=14))
        picture.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
        picture.yaxis.set_minor_locator(NullLocator())
        picture.grid(which="major", color="#DDDDDD", linewidth=0.6)
        picture.spines[["top", "right"]].set_visible(False)
        picture.set_title(axis["said"], fontsize=10, loc="left")
        picture.set_xlabel(name)
        picture.set_ylabel("time of a training step, per row")
    for picture in pictures:  # the unused one, if the number of axes is odd
        picture.set_axis_off()
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper center", ncols=5, frameon=False
    )
    figure.supxlabel("\n".join(caption), fontsize=8, color="#555555")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth_plot",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("result", type=Path)
    parser.add_argument("picture", type=Path)
    asked = parser.parse_args()
    section = load(asked.result)["growth"]
    caption = [
        f"{section['processor']}, {section['cores']} cores; {section['platform']}",
        f"fastnn {section['versions']['fastnn']} ({section['isa']}), commit {section['commit']}",
    ]
    draw(section["axes"], caption, asked.picture)


if __name__ == "__main__":
    main()
