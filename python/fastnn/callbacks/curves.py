"""The curves of a History as a picture: the loss in a panel, other values in panels by their scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fastnn.plotting import matplotlib, suffix_of, write
from fastnn.words import unknown

# Values share a panel where the largest of one is at most so many times that of another.
_ALIKE = 10.0
_WIDTH, _HEIGHT = 5.0, 3.6  # of a panel, in inches
_COLUMNS = 3


class Curve(NamedTuple):
    """The values of a name by epoch; NaN where there is none."""

    name: str  # without "val_"
    training: list[float]
    validation: list[float]

    @property
    def largest(self) -> float:
        """The largest absolute value; 0 where no value is finite."""
        values = (abs(value) for value in (*self.training, *self.validation))
        return max((value for value in values if math.isfinite(value)), default=0.0)


def plot(
    history: Mapping[str, Sequence[Any]],
    epochs: Sequence[int],
    path: Any = None,
    metrics: str | Sequence[str] | None = None,
    title: str | None = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """The figure; see `History.plot`."""
    if path is not None:
        suffix_of(path)
    curves = _curves(history, metrics)
    panels = _panels(curves)
    columns = min(_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    size = (_WIDTH * columns, _HEIGHT * lines) if figsize is None else figsize
    figure = matplotlib("history.plot").Figure(figsize=size, layout="constrained")
    if title is not None:
        figure.suptitle(title)
    for i, panel in enumerate(panels):
        _draw(figure.add_subplot(lines, columns, i + 1), panel, epochs)
    if path is not None:
        write(figure, path)
    return figure


def _curves(
    history: Mapping[str, Sequence[Any]], metrics: str | Sequence[str] | None
) -> list[Curve]:
    """The curves that are asked for, in the order of the names; the loss comes first."""
    values = {name: found for name in history if (found := _numbers(history[name])) is not None}
    if not values:
        raise ValueError("history.plot: no epoch was finished, so there is nothing to draw")
    bases = {name.removeprefix("val_"): None for name in values}
    wanted = list(bases)
    if metrics is not None:
        given = [metrics] if isinstance(metrics, str) else list(metrics)
        if not given:
            raise ValueError("metrics: expected at least one name, got none")
        for name in given:
            if not isinstance(name, str):
                raise TypeError(f"metrics: expected names, got {name!r}")
            if name not in values and name not in bases:
                raise ValueError(unknown("metrics", name, bases))
        wanted = list(dict.fromkeys(name.removeprefix("val_") for name in given))
    wanted.sort(key=lambda name: name != "loss")
    return [Curve(name, values.get(name, []), values.get(f"val_{name}", [])) for name in wanted]


def _numbers(values: Sequence[Any]) -> list[float] | None:
    """Floats, with NaN for what is not finite; None where a callback has put in something else."""
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError):
        return None
    return [value if math.isfinite(value) else math.nan for value in found] or None


def _panels(curves: Sequence[Curve]) -> list[list[Curve]]:
    """Curves whose values are of one size, together; the loss stands alone."""
    panels: list[list[Curve]] = []
    for curve in curves:
        for panel in panels:
            if "loss" not in (curve.name, panel[0].name) and all(
                _alike(curve.largest, other.largest) for other in panel
            ):
                panel.append(curve)
                break
        else:
            panels.append([curve])
    return panels


def _alike(a: float, b: float) -> bool:
    return max(a, b) <= _ALIKE * min(a, b)


def _draw(axes: Any, panel: Sequence[Curve], epochs: Sequence[int]) -> None:
    alone = len(panel) == 1
    for i, curve in enumerate(panel):
        for values, style, part in (
            (curve.training, "-", "training"),
            (curve.validation, "--", "validation"),
        ):
            if not values:
                continue
            label = part if alone else curve.name if style == "-" else f"{curve.name}, validation"
            points = _isolated(values)
            axes.plot(
                [epoch + 1 for epoch in epochs]
                if len(epochs) == len(values)
                else range(1, len(values) + 1),
                values,
                style,
                color=f"C{i}" if style == "-" or not alone else "C1",
                marker="o" if points else None,
                markersize=4,
                markevery=points,
                label=label,
            )
    axes.set_xlabel("epoch")
    axes.set_ylabel("\n".join(curve.name for curve in panel))
    ticker = matplotlib("history.plot", "ticker")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
    low, high = axes.get_xlim()
    if high - low < 1:  # one epoch: the whole number in the middle
        axes.set_xlim(low - 0.5, high + 0.5)
    axes.grid(alpha=0.3)
    axes.legend()


def _isolated(values: Sequence[float]) -> list[int]:
    """Places of numbers without a neighbour, which a line does not show."""
    around = [math.nan, *values, math.nan]
    return [
        i
        for i, value in enumerate(values)
        if not math.isnan(value) and math.isnan(around[i]) and math.isnan(around[i + 2])
    ]
