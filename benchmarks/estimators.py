"""fastnn.sklearn beside sklearn.neural_network: whole fits with the same parameters and data, and answers
to one row.

    python -m benchmarks.estimators [--rows iris digits] [--rounds 5] [--dtype float32]

One thread each. Both run a fixed number of epochs (tol=0, n_iter_no_change=inf), so that the work is the
same. `sparse` has 20,000 columns, 0.5 % of them not 0. `grid` fits a GridSearchCV with n_jobs=2, beside
the same with n_jobs=1.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import fastnn
from benchmarks.timer import Contestant, measure, repeated

Data = tuple[Any, np.ndarray]


def _iris() -> Data:
    from sklearn.datasets import load_iris

    x, y = load_iris(return_X_y=True)
    return x, y


def _digits() -> Data:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x / 16.0, y


def _made(rows: int, inputs: int, classes: int) -> Data:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, inputs))
    return x, rng.integers(0, classes, rows)


def _sparse() -> Data:
    from scipy.sparse import random

    x = random(4000, 20_000, 0.005, "csr", random_state=0)
    return x, np.arange(4000) % 3


# Data, hidden layers, epochs, and what is aimed at: how many times faster.
ROWS: dict[str, tuple[Callable[[], Data], tuple[int, ...], int, float]] = {
    "iris": (_iris, (100,), 100, 5.0),
    "digits": (_digits, (100,), 20, 5.0),
    "20-64-64-3": (lambda: _made(1000, 20, 3), (64, 64), 40, 5.0),
    "784-512-512-10": (lambda: _made(2000, 784, 10), (512, 512), 2, 2.0),
    "sparse": (_sparse, (64,), 2, 1.0),
}


def _estimators(hidden: tuple[int, ...], epochs: int) -> dict[str, Any]:
    from sklearn import neural_network

    from fastnn import sklearn

    given: dict[str, Any] = {
        "max_iter": epochs,
        "tol": 0.0,
        "n_iter_no_change": np.inf,
        "random_state": 0,
    }
    return {
        "sklearn": neural_network.MLPClassifier(hidden, **given),
        "fastnn": sklearn.MLPClassifier(hidden, **given),
    }


def _told(name: str, what: str, times: Any, aim: float) -> str:
    ratio = times["sklearn"].median / times["fastnn"].median
    return (
        f"| {name} | {what} | {times['sklearn'].median * 1e3:.3f} | {times['fastnn'].median * 1e3:.3f} "
        f"| {ratio:.1f} | {aim:g} |"
    )


def _compare(name: str, dtype: str, rounds: int) -> list[str]:
    make, hidden, epochs, aim = ROWS[name]
    x, y = make()
    x = x.astype(dtype)
    made = _estimators(hidden, epochs)
    fits: dict[str, Contestant] = {}
    answers: dict[str, Contestant] = {}
    for package, mlp in made.items():
        mlp.fit(x, y)
        fits[package] = repeated(partial(mlp.fit, x, y))
        answers[package] = repeated(partial(mlp.predict_proba, x[:1]))
    told = [_told(name, "fit", measure(fits, rounds=rounds, seconds=0.5), aim)]
    if isinstance(x, np.ndarray):
        told.append(_told(name, "predict_proba of one row", measure(answers, rounds=rounds), 10.0))
    return told


def _grid(rounds: int) -> list[str]:
    from sklearn.model_selection import GridSearchCV

    x, y = _digits()
    mlp = _estimators((100,), 10)["fastnn"]
    grids = {
        str(jobs): GridSearchCV(mlp, {"alpha": [1e-4, 1e-2, 1.0]}, cv=3, n_jobs=jobs).fit(x, y)
        for jobs in (1, 2)
    }
    runs = {jobs: repeated(partial(grid.fit, x, y)) for jobs, grid in grids.items()}
    times = measure(runs, rounds=rounds, seconds=0.5, threads=2)
    ratio = times["1"].median / times["2"].median
    return [f"GridSearchCV of fastnn with n_jobs=2 takes {1 / ratio:.2f} of the time with n_jobs=1"]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", nargs="*", default=[*ROWS, "grid"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    import threadpoolctl

    threadpoolctl.threadpool_limits(1)
    fastnn.set_num_threads(1)
    print(f"{given.dtype}, one thread, ms\n")
    print("| net | what | sklearn | fastnn | ratio | aim |\n|---|---|---:|---:|---:|---:|")
    for name in given.rows:
        if name in ROWS:
            for line in _compare(name, given.dtype, given.rounds):
                print(line, flush=True)
    if "grid" in given.rows:
        print("\n" + "\n".join(_grid(given.rounds)))


if __name__ == "__main__":
    main(sys.argv[1:])
