"""Tables of training steps: the results that `train_step` keeps, and Markdown made from them.

The best peer is the fastest of those that compute in float32, like fastnn's "highest";
PyTorch in bfloat16 is only compared with "medium". Nothing is measured here.
"""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.markdown import microseconds, percent, table, times

OURS = {word: f"fastnn {word}" for word in ("highest", "high", "medium")}
USUAL = ("PyTorch eager", "JAX step")  # the loops that people write
ROUNDED = "PyTorch bfloat16"

# Aims: the ratio of best peer to "highest" for each row, and of bfloat16 to "medium" for all.
AIMS = {
    "iris": 4.0,
    "binary": 3.2,
    "mnist-32": 1.9,
    "mnist-128": 1.7,
    "mnist-wide": 1.35,
    "multilabel": 1.85,
    "tabular": 1.5,
    "narrow": 2.0,
    "image": 2.2,
    "large": 1.15,
}
ROUNDED_AIM = 2.0
ROUNDED_AIMS = {"large": 1.6}

HEAD = (
    *("row", "layers", "batch", "best peer", "usual loop", "NumPy", *OURS),
    *("best/highest", "aim", "usual/highest", "bfloat16 peer", "bfloat16/medium"),
    *("floor", "highest/floor", "of peak"),
)
BOUND_HEAD = (
    *("row", "floor", "of", "highest/floor", "its aim/floor"),
    *("bfloat16 floor", "of", "medium/floor", "its aim/floor"),
)
PUBLISHED_HEAD = (
    *("row", "layers", "batch", "best peer", "usual loop", "fastnn", "best / fastnn"),
    *("usual / fastnn", "high", "medium", ROUNDED, "bfloat16 / medium", "of peak"),
)


@dataclass(frozen=True)
class Row:
    """The results of one network."""

    layers: str
    batch: int
    flops: int
    peak: float
    """float32 operations a second of multiply-adds in registers, just before or after"""
    floor: float
    """the least seconds of a step"""
    floor_by: str
    seconds: Mapping[str, list[float]]
    """a step's, by contestant, one number a round"""
    rounded_floor: float | None = None
    """as `floor`, with the processor's unit for bfloat16; None: there is none"""
    rounded_floor_by: str = ""

    def median(self, name: str | None) -> float | None:
        rounds = self.seconds.get(name) if name else None
        return statistics.median(rounds) if rounds else None

    def ratio(self, name: str | None, ours: str) -> float | None:
        """The time of a contestant over ours."""
        one, other = self.median(OURS[ours]), self.median(name)
        return other / one if one and other else None

    @property
    def best(self) -> str | None:
        return self._fastest(name for name in self.seconds if name != ROUNDED)

    @property
    def usual(self) -> str | None:
        return self._fastest(name for name in self.seconds if name in USUAL)

    @property
    def of_peak(self) -> float | None:
        """The share of the machine's multiply-add peak that "highest" reaches."""
        ours = self.median(OURS["highest"])
        return self.flops / ours / self.peak if ours else None

    def _fastest(self, names: Iterable[str]) -> str | None:
        peers = [name for name in names if name not in OURS.values()]
        return min(peers, key=lambda name: self.median(name) or 0.0, default=None)


def rows_of(section: Mapping[str, Any]) -> dict[str, Row]:
    """The rows of a section that was read from a file."""
    return {name: Row(**fields) for name, fields in section["rows"].items()}


def summary(rows: Mapping[str, Row]) -> str:
    """The table that `train_step` prints: against the peers, the aims and the floors."""

    def line(name: str, row: Row) -> list[str]:
        best = row.ratio(row.best, "highest")
        rounded = row.ratio(ROUNDED, "medium")
        ours = row.median(OURS["highest"])
        return [
            *(name, row.layers, str(row.batch), _cell(row, row.best), _cell(row, row.usual)),
            *(_time(row, who) for who in ("NumPy", *OURS.values())),
            *(_times(best), _aim(best, AIMS.get(name)), _times(row.ratio(row.usual, "highest"))),
            *(
                _time(row, ROUNDED),
                _aim(rounded, ROUNDED_AIMS.get(name, ROUNDED_AIM), show=rounded),
            ),
            f"{microseconds(row.floor)} {row.floor_by}",
            _times(ours / row.floor if ours else None),
            percent(row.of_peak) if row.of_peak else "-",
        ]

    return table(HEAD, [line(name, row) for name, row in rows.items()])


def bounds(rows: Mapping[str, Row]) -> str:
    """The ratio of each row, and of its aim, to the least time of a step.

    An aim below or near 1 cannot be reached on this machine.
    """

    def line(name: str, row: Row) -> list[str]:
        def over(floor: float | None, peer: str | None, ours: str, aim: float) -> list[str]:
            median, other = row.median(OURS[ours]), row.median(peer)
            return [
                _times(median / floor if median and floor else None),
                _times(other / aim / floor if other and floor else None),
            ]

        return [
            *(name, microseconds(row.floor), row.floor_by),
            *over(row.floor, row.best, "highest", AIMS.get(name, 1.0)),
            microseconds(row.rounded_floor) if row.rounded_floor else "-",
            row.rounded_floor_by or "-",
            *over(row.rounded_floor, ROUNDED, "medium", ROUNDED_AIMS.get(name, ROUNDED_AIM)),
        ]

    return table(BOUND_HEAD, [line(name, row) for name, row in rows.items()])


def published(rows: Mapping[str, Row]) -> str:
    """The published table: the best peer first, the usual loop beside it."""

    def line(name: str, row: Row) -> list[str]:
        return [
            *(name, row.layers, str(row.batch), _cell(row, row.best), _cell(row, row.usual)),
            _time(row, OURS["highest"]),
            *(_times(row.ratio(who, "highest")) for who in (row.best, row.usual)),
            *(_time(row, who) for who in (OURS["high"], OURS["medium"], ROUNDED)),
            _times(row.ratio(ROUNDED, "medium")),
            percent(row.of_peak) if row.of_peak else "-",
        ]

    return table(PUBLISHED_HEAD, [line(name, row) for name, row in rows.items()])


def details(rows: Mapping[str, Row]) -> str:
    """Every contestant: median (least-greatest), so that noise can be seen."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row.seconds))

    def cell(rounds: list[float] | None) -> str:
        if rounds is None:
            return "-"
        middle = microseconds(statistics.median(rounds))
        return f"{middle} ({microseconds(min(rounds))}-{microseconds(max(rounds))})"

    return table(
        ("row", *names),
        [(name, *(cell(row.seconds.get(who)) for who in names)) for name, row in rows.items()],
    )


def behind(rows: Mapping[str, Row]) -> list[str]:
    """The rows on which the best peer is faster."""
    ratios = {name: row.ratio(row.best, "highest") for name, row in rows.items()}
    return [name for name, ratio in ratios.items() if ratio is not None and ratio < 1]


def _time(row: Row, name: str | None) -> str:
    median = row.median(name)
    return microseconds(median) if median else "-"


def _cell(row: Row, name: str | None) -> str:
    return f"{_time(row, name)} {name}" if name else "-"


def _times(ratio: float | None) -> str:
    return times(ratio) if ratio else "-"


def _aim(ratio: float | None, aim: float | None, show: float | None = None) -> str:
    """The aim, or `show` in its place, and a word if the aim was missed."""
    if aim is None or ratio is None:
        return "-"
    return times(show or aim) + (" missed" if ratio < aim else "")
