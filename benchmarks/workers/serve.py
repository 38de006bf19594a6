"""The worker's half of the pipe: one JSON object on each line in, one out.

`{"prepare": fields of a workload, "threads": n}` gives `{"steps": {entry: steps
of a repeat}, "losses": {...}, "rounded": [...], "notes": {...}}`; `{"run": entry,
"repeats": n}` gives `{"seconds": s}`. The arguments after the module's name are the wanted
entries; without arguments all are wanted. The other half is `benchmarks/contest.py`.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from benchmarks import timer
from benchmarks.workloads import Workload


@dataclass(frozen=True)
class Prepared:
    """A prepared row: `entries` maps a name to (run repeats, steps of a repeat)."""

    entries: dict[str, tuple[Callable[[int], object], int]]
    losses: dict[str, list[float]] = field(default_factory=dict)
    """losses of the first steps from the given weights: all contestants must agree"""
    rounded: list[str] = field(default_factory=list)
    """entries whose losses come from products in bfloat16, and agree less closely"""
    notes: dict[str, str] = field(default_factory=dict)


def wanted(entry: str, form: str = "") -> bool:
    """Whether this process was started for an entry, or for a form of it ("entry, form")."""
    names = {entry, f"{entry}, {form}"} if form else {entry}
    return not sys.argv[1:] or not names.isdisjoint(sys.argv[1:])


def serve(prepare: Callable[[Workload, int], Prepared], version: str) -> None:
    """Answers until the pipe closes. Output of libraries goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print(json.dumps({"version": version}), file=answers)
    ready = Prepared({})
    for line in sys.stdin:
        asked = json.loads(line)
        if "prepare" in asked:
            ready = Prepared({})  # drops the memory of the last row
            fields = asked["prepare"]
            work = Workload(**{**fields, "widths": tuple(fields["widths"])})
            ready = prepare(work, asked["threads"])
            answer = {
                "steps": {name: entry[1] for name, entry in ready.entries.items()},
                "losses": ready.losses,
                "rounded": ready.rounded,
                "notes": ready.notes,
            }
        else:
            run = partial(ready.entries[asked["run"]][0], asked["repeats"])
            answer = {"seconds": timer.clock(run)}
        print(json.dumps(answer), file=answers)
