"""What tests of the command line share: a table of all kinds of columns, small networks, a command to run."""

from __future__ import annotations

import numpy as np

from fastnn.__main__ import main

SMALL = ("--members", "2", "--set", "max_epochs=4", "--set", "hidden_layer_sizes=(16,)")
PARAMETERS = {"members": 2, "max_epochs": 4, "hidden_layer_sizes": (16,), "random_state": 0}


def table_text(rows: int = 240, seed: int = 0) -> str:
    """CSV with every kind of column and gaps: an "income" of two classes, and a "pay"."""
    rng = np.random.default_rng(seed)
    lines = ["id,age,job,day,flag,kind,income,pay"]
    jobs = ["clerk", "farmer", "nurse", ""]
    for i in range(rows):
        age = int(rng.integers(17, 90))
        job = jobs[rng.integers(4)]
        flag = bool(rng.random() < 0.4)
        day = np.datetime64("2020-01-01") + rng.integers(0, 900)
        pay = age / 30 + (job == "nurse") - flag + rng.normal(0, 0.3)
        told = "?" if rng.random() < 0.05 else age
        kind = "xyz"[rng.integers(3)]
        lines.append(
            f"{i + 7},{told},{job},{day},{flag},{kind},{'high' if pay > 1.5 else 'low'},{pay:.3f}"
        )
    return "\n".join(lines) + "\n"


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def fields(text: str) -> list[list[str]]:
    return [line.split(",") for line in text.splitlines()]
