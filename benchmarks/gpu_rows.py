"""The networks that are timed on a GPU, the aims, and the tables of results.

It needs only NumPy, so that every contestant can import it. It times nothing.
"""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.markdown import microseconds, percent, table, times
from benchmarks.workloads import WORKLOADS, Workload

PRECISIONS = ("highest", "medium")
SESSIONS = ("auto", "plain", "generic", "resident", "wide")
PEERS = ("PyTorch eager", "PyTorch CUDA graph", "PyTorch compiled")

IRIS_BATCHES = 4096  # in an epoch, which must be long compared with its end
IMAGE_BYTES = 128 << 20

# The rows of the CPU, and larger networks for which GPUs are bought. Rows with aims come first,
# since the time may run out.
ROWS: dict[str, Workload] = {
    work.name: work
    for work in (
        replace(WORKLOADS["iris"], most_batches=IRIS_BATCHES),
        WORKLOADS["mnist-32"],
        Workload("mnist-wide-4096", (784, 512, 512, 10), 4096, "softmax"),
        Workload("wide-8192", (4096,) * 5, 8192, "softmax"),
        Workload("narrow-2^20", WORKLOADS["narrow"].widths, 1 << 20, "softmax"),
        replace(WORKLOADS["image"], data_bytes=IMAGE_BYTES),
        *(WORKLOADS[name] for name in ("large", "mnist-wide", "tabular", "narrow", "mnist-128")),
        *(WORKLOADS[name] for name in ("binary", "multilabel")),
    )
}

# Aims: seconds of a step on an H200, by row and precision.
AIMS: dict[tuple[str, str], float] = {
    ("iris", "highest"): 0.6e-6,
    ("mnist-32", "highest"): 15e-6,
    ("mnist-wide-4096", "medium"): 60e-6,
    ("wide-8192", "medium"): 5e-3,
}
SHORT = 1e-6  # seconds: a shorter step is limited by latencies, not by rates
LEFT_OUT = "left out"  # the beginning of a note about a contestant that cannot take part
SHARE_AIM = 0.85  # of copy bandwidth, for softmax cross-entropy and Adam

HEAD = (
    *("row", "layers", "batch", "fastnn", "session", *(f"{name}" for name in SESSIONS[1:])),
    *(*PEERS, "best peer / fastnn", "aim", "floor", "of", "fastnn / floor"),
)
OPS_HEAD = (
    *("op", "MB moved", "fastnn", "GB/s", "of copy", "aim", "PyTorch", "GB/s"),
    "PyTorch / fastnn",
)

TINY = "A dry run: every network is made tiny, whatever its name, and no time means anything."
METHOD = """\
Microseconds of a training step with Adam. fastnn's time is the time of `fit` over many epochs, shuffle and gather
included, minus the time of a first epoch, which copies the data to the device. The peers step through prepared batches
on the device. `fastnn` is the automatic choice of a session; the columns after it are forced sessions. Best peer: for
medium, peers in float32 count too."""
FLOOR = """\
- floor: the time of the operations at that rate or, if it is longer and weights and Adam's moments do not fit in the L2
  cache, the time of the bytes at the rate of the copy"""


def tiny(work: Workload) -> Workload:
    """The same shape of network, small enough for an emulator."""
    widths = tuple(min(width, 12) for width in work.widths)
    return replace(work, widths=widths, batch=min(work.batch, 8), most_batches=2)


@dataclass(frozen=True)
class Rates:
    """Rates of the device, measured with PyTorch in the same run; empty: not measured."""

    copy: float = 0.0
    """bytes read and written a second, of a copy on the device"""
    products: Mapping[str, float] = field(default_factory=dict)
    """operations a second of a large product, by precision"""
    cache: int = 0
    """bytes of its L2 cache"""
    ops: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """by op: bytes, and the seconds of "fastnn" and of "PyTorch" if measured"""


@dataclass(frozen=True)
class Row:
    """Results of one network: seconds of a step by contestant, one number for each round."""

    layers: str
    batch: int
    flops: int
    bytes: int
    working_set: int
    seconds: Mapping[str, list[float]]
    notes: Mapping[str, str] = field(default_factory=dict)
    """by contestant: the chosen session, the fastest form, or the reason why it is left out"""

    def median(self, name: str) -> float | None:
        rounds = self.seconds.get(name)
        return statistics.median(rounds) if rounds else None

    def best(self, precision: str) -> float | None:
        """The fastest peer's time; in float32 for "highest", the faster of both for "medium"."""
        words = PRECISIONS if precision == "medium" else ("highest",)
        found = [self.median(f"{peer} {word}") for peer in PEERS for word in words]
        return min((one for one in found if one is not None), default=None)

    def floor(self, rates: Rates, precision: str) -> tuple[float, str] | None:
        """The least seconds of a step at these rates, and the rate that sets this limit.

        Weights and moments that fit in the cache are not read from memory.
        """
        if not (rates.copy and rates.products.get(precision)):
            return None
        by_flops = self.flops / rates.products[precision]
        held = self.working_set <= rates.cache
        by_bytes = 0.0 if held else self.bytes / rates.copy
        return (by_flops, "flops") if by_flops > by_bytes else (by_bytes, "bytes")


def contestant(session: str, precision: str) -> str:
    return f"fastnn {precision}" + ("" if session == "auto" else f", {session}")


def steps_table(
    rows: Mapping[str, Row], rates: Rates, precision: str, aims: Mapping[tuple[str, str], float]
) -> str:
    """All rows at one precision, microseconds."""

    def line(name: str, row: Row) -> list[str]:
        ours, best = row.median(contestant("auto", precision)), row.best(precision)
        aim, floor = aims.get((name, precision)), row.floor(rates, precision)
        return [
            *(name, row.layers, str(row.batch), _time(ours)),
            row.notes.get(contestant("auto", precision), "-") if ours else "-",
            *(_time(row.median(contestant(session, precision))) for session in SESSIONS[1:]),
            *(_time(row.median(f"{peer} {precision}")) for peer in PEERS),
            _ratio(best, ours),
            microseconds(aim) + (" missed" if ours and ours > aim else "") if aim else "-",
            *_floor(floor, ours),
        ]

    return table(HEAD, [line(name, row) for name, row in rows.items()])


def ops_table(rates: Rates) -> str:
    """The ops that are limited by memory, microseconds."""

    def line(name: str, found: Mapping[str, float]) -> list[str]:
        moved, ours, other = found["bytes"], found.get("fastnn"), found.get("PyTorch")
        share = moved / ours / rates.copy if ours and rates.copy else None
        return [
            *(
                name,
                f"{moved / 1e6:.0f}",
                _time(ours),
                f"{moved / ours / 1e9:.0f}" if ours else "-",
            ),
            percent(share) if share else "-",
            percent(SHARE_AIM) + (" missed" if share and share < SHARE_AIM else ""),
            *(_time(other), f"{moved / other / 1e9:.0f}" if other else "-", _ratio(other, ours)),
        ]

    return table(OPS_HEAD, [line(name, found) for name, found in rates.ops.items()])


def rates_lines(rates: Rates) -> list[str]:
    """The rates from which floors are computed."""
    if not rates.copy:
        return ["Rates of the device were not measured (PyTorch is needed): there are no floors."]
    products = ", ".join(f"{word} {rate / 1e12:.4g}" for word, rate in rates.products.items())
    return [
        f"- copy on the device, read and written: {rates.copy / 1e12:.3g} TB/s",
        f"- products by PyTorch, TFLOP/s: {products}",
        f"- L2 cache: {rates.cache >> 20} MiB",
        FLOOR,
    ]


def report(content: Mapping[str, Any]) -> str:
    """All tables, from the results that `gpu.py` keeps."""
    rows = {name: Row(**fields) for name, fields in content["rows"].items()}
    rates = Rates(**content["rates"])
    aims = {} if content["tiny"] else AIMS
    lines = [
        *([TINY, ""] if content["tiny"] else []),
        f"Medians of at most {content['rounds']} interleaved rounds.",
        METHOD,
        *("", *rates_lines(rates)),
    ]
    for precision in PRECISIONS:
        what = "float32" if precision == "highest" else "bfloat16 operands; PyTorch's autocast"
        lines += ["", f"### {precision} ({what})", "", steps_table(rows, rates, precision, aims)]
    if rates.ops:
        lines += [
            *("", "### Ops limited by memory", ""),
            "Time in kernels only, on large arrays, from PyTorch's profiler.",
            *("", ops_table(rates)),
        ]
    chosen = [f"{who}: {note}" for who, note in _noted(rows, left_out=False)]
    left = [f"{who}: {note}" for who, note in _noted(rows, left_out=True)]
    lines += _list("Wrong", content["wrong"]) + _list("Notes", content["notes"])
    lines += _list("Chosen sessions and forms", chosen) + _list("Left out", left)
    return "\n".join(lines).rstrip() + "\n"


def _noted(rows: Mapping[str, Row], *, left_out: bool) -> Iterable[tuple[str, str]]:
    """Each contestant's notes, with the rows of each."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, row in rows.items():
        for who, note in row.notes.items():
            if note.startswith(LEFT_OUT) == left_out and note != who.partition(", ")[2]:
                found.setdefault(who, {}).setdefault(note, []).append(name)
    for who, notes in found.items():
        yield who, "; ".join(f"{note} ({', '.join(names)})" for note, names in notes.items())


def _list(title: str, lines: Iterable[str]) -> list[str]:
    listed = [f"- {line}" for line in lines]
    return ["", f"### {title}", "", *listed] if listed else []


def _floor(floor: tuple[float, str] | None, ours: float | None) -> tuple[str, str, str]:
    if floor is None:
        return "-", "-", "-"
    if floor[0] < SHORT:
        return f"under {microseconds(SHORT)}", "-", "-"
    return microseconds(floor[0]), floor[1], _ratio(ours, floor[0])


def _time(seconds: float | None) -> str:
    return microseconds(seconds) if seconds else "-"


def _ratio(above: float | None, below: float | None) -> str:
    return times(above / below) if above and below else "-"
