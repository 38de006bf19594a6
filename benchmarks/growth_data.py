"""The growth of time and memory with rows, networks and ranks; `growth.py` has that with the shape of a network.

    python -m benchmarks.growth_data --save --plot growth-data.png
    python -m benchmarks.growth_data --quick --mpi <folder with mpiexec, and a python with mpi4py>

Each point is a process of its own: seconds of an epoch, the median of three after a first one, and the most
memory that it had at any time that is no page of a file. Rows are of 64 numbers in float32, in arrays, in a
memory map, and in `Chunks` of the same file; networks are trained one after another, and by `fit_many`; ranks
share the batches of one network.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fastnn
from benchmarks import machine, records
from benchmarks.larger import Anonymous, write
from benchmarks.markdown import table

WIDTH, BATCH, EPOCHS = 64, 128, 4
SMALL_ROWS, SMALL = 1000, (20, 64, 64, 3)  # of each of many networks
RANK_ROWS, RANK_BATCH, RANK_WIDTHS = 40_000, 1024, (64, 256, 256, 10)

# For each axis its curves, the values, and those of --quick.
AXES: dict[str, tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]] = {
    "rows": (
        ("arrays", "memory map", "Chunks"),
        tuple(2**k for k in range(12, 23, 2)),
        (2**12, 2**14),
    ),
    "networks": (("one after another", "fit_many"), (1, 4, 16, 64, 256), (1, 4)),
    "ranks": (("ranks",), (1, 2), (1, 2)),
}


def network(widths: Sequence[int], seed: int = 0) -> Any:
    stack = [fastnn.layers.Dense(units, "relu") for units in widths[1:-1]]
    model = fastnn.Sequential(
        [fastnn.Input((widths[0],)), *stack, fastnn.layers.Dense(widths[-1])], seed=seed
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def drawn(rows: int, width: int, classes: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.random((rows, width), np.float32), rng.integers(0, classes, rows)


def of_rows(curve: str, folder: Path) -> Callable[[], object]:
    model = network((WIDTH, 64, 10))
    given: dict[str, Any] = {"batch_size": BATCH, "verbose": 0}
    paths = folder / "x.npy", folder / "y.npy"
    if curve == "Chunks":
        chunks = fastnn.data.Chunks(*paths, window=1 << 16)
        return lambda: model.fit(chunks, **given)
    x, y = (np.load(path, mmap_mode="r" if curve == "memory map" else None) for path in paths)
    return lambda: model.fit(x, y, **given)


def of_networks(curve: str, count: int) -> Callable[[], object]:
    x, y = drawn(SMALL_ROWS, SMALL[0], SMALL[-1])
    models = [network(SMALL, seed) for seed in range(count)]
    given: dict[str, Any] = {"batch_size": 32, "verbose": 0}
    if curve == "fit_many":
        return lambda: fastnn.fit_many(models, x, y, **given)

    def alone() -> None:
        for model in models:
            model.fit(x, y, **given)

    return alone


def of_ranks() -> tuple[Callable[[], object], bool]:
    """An epoch over all ranks, and whether this process is the first of them."""
    from mpi4py import MPI

    fastnn.set_num_threads(1)
    comm: Any = MPI.COMM_WORLD
    x, y = drawn(RANK_ROWS, RANK_WIDTHS[0], RANK_WIDTHS[-1])
    model = network(RANK_WIDTHS)
    given: dict[str, Any] = {"batch_size": RANK_BATCH, "verbose": 0, "comm": comm}
    return lambda: model.fit(x, y, **given), comm.Get_rank() == 0


def child(axis: str, curve: str, value: int, folder: Path) -> None:
    """Prints one point as a line of JSON."""
    watch = Anonymous()
    watch.start()
    first = True
    if axis == "rows":
        epoch = of_rows(curve, folder)
    elif axis == "networks":
        epoch = of_networks(curve, value)
    else:
        epoch, first = of_ranks()
    times = []
    for _ in range(EPOCHS):
        begin = time.perf_counter()
        epoch()
        times.append(time.perf_counter() - begin)
    time.sleep(0.03)  # the memory is looked at once more
    if first:
        print(json.dumps({"seconds": statistics.median(times[1:]), "memory": watch.peak}))


def point(given: argparse.Namespace, axis: str, curve: str, value: int, folder: str) -> list[float]:
    """The value, seconds of an epoch, and bytes."""
    start = [sys.executable]
    if axis == "ranks":
        start = [f"{given.mpi}/mpiexec", "-n", str(value), f"{given.mpi}/python"]
    command = [*start, "-m", "benchmarks.growth_data", "--child", axis, curve, str(value), folder]
    paths = os.pathsep.join([str(Path(fastnn.__file__).parents[1]), str(machine.ROOT)])
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return [value, found["seconds"], found["memory"]]


def measured(given: argparse.Namespace) -> dict[str, dict[str, list[list[float]]]]:
    """For each axis and curve its points."""
    found: dict[str, dict[str, list[list[float]]]] = {}
    for axis, (curves, values, quick) in AXES.items():
        if axis not in given.axes or (axis == "ranks" and given.mpi is None):
            continue
        found[axis] = {curve: [] for curve in curves}
        for value in quick if given.quick else [v for v in values if v <= given.most]:
            with tempfile.TemporaryDirectory() as folder:
                if axis == "rows":
                    write(Path(folder), value, WIDTH, 10)
                for curve in curves:
                    made = point(given, axis, curve, value, folder)
                    found[axis][curve].append(made)
                    print(f"{axis} {value}: {curve} {made[1]:.4g} s", file=sys.stderr)
    return found


def shown(axes: Mapping[str, Any]) -> str:
    """A table for each axis."""
    texts = []
    for axis, curves in axes.items():
        head = [axis, *(f"{curve}, {unit}" for unit in ("s", "MB") for curve in curves)]
        rows = []
        for points in zip(*curves.values(), strict=True):
            seconds = [f"{p[1]:.3g}" for p in points]
            rows.append([f"{points[0][0]}", *seconds, *(f"{p[2] / 1e6:.0f}" for p in points)])
        texts.append(table(head, rows))
    return "\n\n".join(texts)


COLORS = ("#D55E00", "#0072B2", "#009E73")  # distinct for colour-blind readers (Okabe and Ito 2008)
SAID = {
    "rows": "64-64-10, batches of 128",
    "networks": f"{'-'.join(map(str, SMALL))}, {SMALL_ROWS} rows, batches of 32",
    "ranks": f"{'-'.join(map(str, RANK_WIDTHS))}, batches of {RANK_BATCH}, a thread each",
}


def draw(axes: Mapping[str, Any], caption: str, path: Path) -> None:
    """Writes a PNG: time above, memory below, a column for each axis. It needs matplotlib."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    figure = Figure(figsize=(4.4 * len(axes), 6.4), dpi=90, layout="constrained")
    pictures = figure.subplots(2, len(axes), squeeze=False)
    for column, (axis, curves) in enumerate(axes.items()):
        for row, unit in enumerate((1.0, 1e6)):
            picture = pictures[row][column]
            for color, (curve, points) in zip(COLORS, curves.items(), strict=False):
                values = [p[row + 1] / unit for p in points]
                picture.plot([p[0] for p in points], values, color=color, marker="o", label=curve)
            picture.set_xscale("log", base=2)
            measured = [p[row + 1] / unit for points in curves.values() for p in points]
            if max(measured) > 3 * min(measured):
                picture.set_yscale("log")
                picture.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
                picture.yaxis.set_minor_locator(NullLocator())
            else:
                picture.set_ylim(0.0, 1.3 * max(measured))
            picture.set_xticks([p[0] for p in next(iter(curves.values()))])
            picture.xaxis.set_major_formatter(FuncFormatter(_counted))
            picture.xaxis.set_minor_locator(NullLocator())
            picture.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
            picture.grid(which="major", color="#DDDDDD", linewidth=0.6)
            picture.spines[["top", "right"]].set_visible(False)
            picture.set_ylabel("seconds of an epoch" if row == 0 else "memory that is no file, MB")
        pictures[0][column].set_title(SAID[axis], fontsize=9, loc="left")
        pictures[1][column].set_xlabel(axis)
        pictures[0][column].legend(frameon=False, fontsize=8)
    figure.supxlabel(caption, fontsize=7, color="#555555")
    figure.savefig(path)


def _counted(value: float, _: object) -> str:
    if value >= 1 << 20:
        return f"{value / (1 << 20):g}M"
    return f"{value / 1024:g}k" if value >= 1024 else f"{value:g}"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth_data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    records.add_option(parser)
    parser.add_argument("--axes", nargs="+", default=list(AXES), choices=list(AXES))
    parser.add_argument("--quick", action="store_true", help="a few small points")
    parser.add_argument("--most", type=int, default=1 << 22, help="the largest value of an axis")
    parser.add_argument("--mpi", help="a folder with mpiexec and a python that has mpi4py")
    parser.add_argument("--plot", type=Path, help="writes a PNG, by matplotlib")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        axis, curve, value, folder = given.child
        child(axis, curve, int(value), Path(folder))
        return
    axes = measured(given)
    threads = fastnn.get_num_threads()
    described = machine.describe(threads)
    print("\n".join(described), "\n")
    print(shown(axes))
    records.save(given.save, "growth_data", {"axes": axes}, threads=threads)
    if given.plot:
        draw(axes, "\n".join(described[:2]), given.plot)


if __name__ == "__main__":
    main()
