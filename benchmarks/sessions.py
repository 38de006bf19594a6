"""Checks the automatic choice of a session on each of the ten networks.

    python -m benchmarks.sessions --rows iris,tabular

The environment variable FASTNN_SESSION forces a session when a model is compiled; each choice runs in a
process of its own. The automatic choice should be within 10 % of the best forced one. A session that
cannot train a network raises ValueError and is shown as a dash.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace

from benchmarks import machine, records
from benchmarks.contest import Unavailable, Worker, disagreement
from benchmarks.markdown import microseconds, table, times
from benchmarks.steps import OURS
from benchmarks.timer import Contestant, Timing, measure
from benchmarks.workloads import WORKLOADS, Workload

VARIABLE, AUTO, FORCED = "FASTNN_SESSION", "auto", ("plain", "tiled", "streaming")
WITHIN = 1.10


def worker(session: str, precision: str, threads: int) -> Worker:
    return Worker(
        "fastnn_steps", entries=[OURS[precision]], threads=threads, environment={VARIABLE: session}
    )


def is_read() -> bool:
    """Whether this fastnn reads the variable: it must refuse an unknown name."""
    probe = worker("no-such-session", "highest", 1)
    try:
        probe.prepare(WORKLOADS["iris"], 1)
    except Unavailable as reason:
        return VARIABLE in str(reason)
    probe.close()
    return False


def contest(work: Workload, asked: argparse.Namespace) -> tuple[dict[str, Timing], list[str]]:
    """The time of each choice that can train this network, and the reasons of the others."""
    contestants: dict[str, Contestant] = {}
    rows, workers, notes = [], [], []
    for session in (AUTO, *FORCED):
        one = worker(session, asked.precision, asked.threads)
        try:
            row = one.prepare(work, asked.threads)
        except Unavailable as reason:
            notes.append(f"{work.name}: {session} left out ({reason})")
            continue
        workers.append(one)
        (contestants[session],) = row.contestants.values()
        (losses,) = row.losses.values()
        rounded = [session] if asked.precision == "medium" else []
        rows.append(replace(row, losses={session: losses}, rounded=rounded))
    if said := disagreement(rows):
        sys.exit(f"{work.name}: the sessions do not compute the same: {said}")
    timings = measure(
        contestants, rounds=asked.rounds, seconds=asked.seconds, threads=asked.threads
    )
    for one in workers:
        one.close()
    return timings, notes


def line(name: str, timings: Mapping[str, Timing]) -> list[str]:
    medians = {session: timing.median for session, timing in timings.items()}
    cells = [microseconds(medians[s]) if s in medians else "-" for s in (AUTO, *FORCED)]
    best = min((s for s in FORCED if s in medians), key=lambda s: medians[s], default=None)
    if best is None or AUTO not in medians:
        return [name, *cells, "-", "-"]
    ratio = medians[AUTO] / medians[best]
    return [name, *cells, best, times(ratio) + (" missed" if ratio > WITHIN else "")]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sessions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", default=",".join(WORKLOADS), help="some of %(default)s")
    parser.add_argument("--precision", default="highest", choices=tuple(OURS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.1, help="for a choice in a round")
    records.add_option(parser)
    asked = parser.parse_args()
    print(*machine.describe(asked.threads), sep="\n")
    if not is_read():
        print(f"this fastnn does not read {VARIABLE}: all choices are the same")
    rows, notes, kept = [], [], {}
    for name in asked.rows.split(","):
        timings, said = contest(WORKLOADS[name], asked)
        rows.append(line(name, timings))
        notes += said
        kept[name] = {session: list(timing.rounds) for session, timing in timings.items()}
        print(f"{name}: done", file=sys.stderr)
    print(table(("row", *(f"{s} us" for s in (AUTO, *FORCED)), "best forced", "auto/best"), rows))
    print("", *notes, sep="\n")
    content = {"precision": asked.precision, "rows": kept}
    records.save(asked.save, "sessions", content, threads=asked.threads)


if __name__ == "__main__":
    main()
