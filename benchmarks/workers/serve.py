"""The worker's half of the pipe: one JSON object a line in, one out.

`{"prepare": row, "threads": n}` gives `{"steps": {entry: steps of a repeat},
"losses": [...], "notes": {...}}`; `{"run": entry, "repeats": n}` gives
`{"seconds": s}`. The other half is `benchmarks/contest.py`.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from benchmarks import timer
from benchmarks.workloads import WORKLOADS, Workload


@dataclass(frozen=True)
class Prepared:
    """A row made ready: `entries` maps a name to (run repeats, steps of a repeat)."""

    entries: dict[str, tuple[Callable[[int], object], int]]
    losses: dict[str, list[float]] = field(default_factory=dict)
    """Of the first steps from the given weights: all contestants must agree."""
    notes: dict[str, str] = field(default_factory=dict)


def serve(prepare: Callable[[Workload, int], Prepared], version: str) -> None:
    """Answers until the pipe closes. What a library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print(json.dumps({"version": version}), file=answers)
    ready = Prepared({})
    for line in sys.stdin:
        asked = json.loads(line)
        if "prepare" in asked:
            ready = Prepared({})  # drops the memory of the last row
            ready = prepare(WORKLOADS[asked["prepare"]], asked["threads"])
            steps = {name: entry[1] for name, entry in ready.entries.items()}
            answer = {"steps": steps, "losses": ready.losses, "notes": ready.notes}
        else:
            run = partial(ready.entries[asked["run"]][0], asked["repeats"])
            answer = {"seconds": timer.clock(run)}
        print(json.dumps(answer), file=answers)
