"""Tables: error and CPU seconds of whole fits at the defaults, beside the packages that are installed.

    python -m benchmarks.tabular [--data adult phoneme] [--methods fastnn LightGBM] [--seeds 3] [--save]
    python -m benchmarks.tabular --held-out --seeds 3 --save    nine sets that chose no default
    python -m benchmarks.tabular --threads 2                    one fit of fastnn on one thread and on two

Each data set (benchmarks/tabular_data.py) is shuffled by the seed; a quarter is tested on, at most 8,000
rows, and at most 4,000 others are learned from. What is not installed is left out. One thread. Every method
gets the same pandas table of float64 and categories, and prepares it as its makers advise.

Less is better: 100 (1 - AUC) of two classes, percent of errors of more, 100 RMSE / standard deviation.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import machine, markdown, records
from benchmarks.tabular_data import ALL, HELD_OUT, SOURCES, Parts, split

SETTING = (
    "errors on tables, all at their defaults, at most 4,000 rows to learn from (binary: 100 (1 - AUC); classes: "
    "percent of errors; numbers: 100 RMSE / standard deviation; less is better)"
)
SETTING_HELD_OUT = SETTING.replace(
    "errors on tables", "errors on nine tables that chose no default"
)
Predict = Callable[[Any], Any]


# -- methods: each fits, and gives what answers


def _levelled(X: Any) -> list[str]:
    return [name for name in X.columns if str(X[name].dtype) == "category"]


def _with_gap_level(X: Any) -> Any:
    made = X.copy()
    for name in _levelled(X):
        made[name] = made[name].astype(object).where(made[name].notna(), "missing")
    return made


def _fastnn(parts: Parts, task: str, seed: int) -> Predict:
    from fastnn import sklearn

    if task == "numbers":
        return sklearn.TabularRegressor(random_state=seed).fit(parts.X, parts.y).predict
    return sklearn.TabularClassifier(random_state=seed).fit(parts.X, parts.y).predict_proba


def _sklearn_mlp(parts: Parts, task: str, seed: int) -> Predict:
    from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    levelled = _levelled(parts.X)
    numeric = [name for name in parts.X.columns if name not in levelled]
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numeric),
            ("levels", OneHotEncoder(handle_unknown="ignore"), levelled),
        ]
    )
    net: Any = MLPClassifier(random_state=seed)
    if task == "numbers":
        net = TransformedTargetRegressor(
            MLPRegressor(random_state=seed), transformer=StandardScaler()
        )
    made = make_pipeline(columns, net).fit(_with_gap_level(parts.X), parts.y)
    answer = made.predict if task == "numbers" else made.predict_proba
    return lambda X: answer(_with_gap_level(X))


def _hist_boosting(parts: Parts, task: str, seed: int) -> Predict:
    from sklearn import ensemble

    kind = "Regressor" if task == "numbers" else "Classifier"
    made = getattr(ensemble, f"HistGradientBoosting{kind}")(
        categorical_features="from_dtype", random_state=seed
    )
    made.fit(parts.X, parts.y)
    return made.predict if task == "numbers" else made.predict_proba


def _lightgbm(parts: Parts, task: str, seed: int) -> Predict:
    import lightgbm

    kind = "Regressor" if task == "numbers" else "Classifier"
    made = getattr(lightgbm, f"LGBM{kind}")(n_jobs=1, random_state=seed, verbose=-1)
    made.fit(parts.X, parts.y)
    return made.predict if task == "numbers" else made.predict_proba


def _xgboost(parts: Parts, task: str, seed: int) -> Predict:
    import xgboost

    kind = "Regressor" if task == "numbers" else "Classifier"
    made = getattr(xgboost, f"XGB{kind}")(enable_categorical=True, n_jobs=1, random_state=seed)
    made.fit(parts.X, parts.y)
    return made.predict if task == "numbers" else made.predict_proba


def _catboost(parts: Parts, task: str, seed: int) -> Predict:
    import catboost

    kind = "Regressor" if task == "numbers" else "Classifier"
    made = getattr(catboost, f"CatBoost{kind}")(
        thread_count=1,
        random_seed=seed,
        verbose=0,
        allow_writing_files=False,
        cat_features=_levelled(parts.X),
    )
    made.fit(_with_gap_level(parts.X), parts.y)
    answer = made.predict if task == "numbers" else made.predict_proba
    return lambda X: answer(_with_gap_level(X))


# What a method imports, which is not part of a fit.
IMPORTS = {
    "fastnn": ("fastnn.sklearn",),
    "sklearn": ("sklearn.compose", "sklearn.ensemble", "sklearn.impute", "sklearn.neural_network"),
    "lightgbm": ("lightgbm",),
    "xgboost": ("xgboost",),
    "catboost": ("catboost",),
}
METHODS: dict[str, tuple[str, Callable[[Parts, str, int], Predict]]] = {
    "fastnn": ("fastnn", _fastnn),
    "sklearn MLP": ("sklearn", _sklearn_mlp),
    "HGB": ("sklearn", _hist_boosting),
    "LightGBM": ("lightgbm", _lightgbm),
    "XGBoost": ("xgboost", _xgboost),
    "CatBoost": ("catboost", _catboost),
}


# -- errors


def error(task: str, expected: Any, found: Any) -> float:
    """The error of answers, in the unit of the table."""
    if task == "numbers":
        rmse = math.sqrt(float(np.mean((np.ravel(found) - expected) ** 2)))
        return 100.0 * rmse / float(np.std(expected))
    if task == "classes":
        return 100.0 * float(np.mean(np.argmax(found, axis=1) != expected))
    return 100.0 * (1.0 - area_under_curve(expected, np.asarray(found)[:, 1]))


def area_under_curve(expected: Any, score: Any) -> float:
    """The chance that a row of class 1 has a higher score than one of class 0; ties count half.

    >>> area_under_curve(np.array([0, 1, 1]), np.array([0.1, 0.1, 0.3]))
    0.75
    """
    ones, zeros = np.sort(score[expected == 1]), np.sort(score[expected == 0])
    below = np.searchsorted(zeros, ones, "left") + np.searchsorted(zeros, ones, "right")
    return float(below.sum() / (2.0 * len(ones) * len(zeros)))


class Cell(NamedTuple):
    """One method on one data set with one seed."""

    data: str
    method: str
    seed: int
    error: float
    seconds: float  # of CPU time, of the fit


def measured(data: Sequence[str], methods: Sequence[str], seeds: int) -> Iterator[Cell]:
    """All cells; a data set or a method whose package is not installed is left out, and said."""
    missing: set[str] = set()
    for name in data:
        source = ALL[name]
        for seed in range(seeds):
            try:
                parts = split(source, seed)
            except (ImportError, FileNotFoundError) as why:
                print(f"{name} is left out: {why}", file=sys.stderr)
                break
            for method in methods:
                package, fit = METHODS[method]
                if importlib.util.find_spec(package) is None:
                    if method not in missing:
                        print(f"{method} is left out: {package} is not installed", file=sys.stderr)
                    missing.add(method)
                    continue
                for module in IMPORTS[package]:
                    importlib.import_module(module)
                begun = time.process_time()
                answer = fit(parts, source.task, seed)
                seconds = time.process_time() - begun
                found = error(source.task, parts.expected, np.asarray(answer(parts.test)))
                yield Cell(name, method, seed, found, seconds)


def report(cells: Sequence[Cell]) -> str:
    """The table of errors, with the geometric means of ratios to fastnn's and of CPU seconds."""
    by: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        by.setdefault((cell.data, cell.method), []).append(cell)
    data = list(dict.fromkeys(cell.data for cell in cells))
    methods = list(dict.fromkeys(cell.method for cell in cells))

    def of(name: str, method: str) -> float:
        return float(np.mean([cell.error for cell in by[name, method]]))

    def mean(values: Sequence[float]) -> float:
        return math.exp(sum(math.log(max(value, 1e-9)) for value in values) / len(values))

    rows = [[name, *(f"{of(name, method):.2f}" for method in methods)] for name in data]
    if "fastnn" in methods:
        ratios = [mean([of(n, "fastnn") / of(n, method) for n in data]) for method in methods]
        rows.append(["fastnn's error by this", *(f"{ratio:.3f}" for ratio in ratios)])
    seconds = [mean([c.seconds for n in data for c in by[n, method]]) for method in methods]
    rows.append(["CPU seconds of a fit", *(f"{value:.2f}" for value in seconds)])
    return markdown.table(["data", *methods], rows)


def content(cells: Sequence[Cell]) -> Mapping[str, Any]:
    """The section of a file of results."""
    found: dict[str, Any] = {}
    for cell in cells:
        of_data = found.setdefault(cell.data, {}).setdefault(cell.method, {"error": [], "cpu": []})
        of_data["error"].append(cell.error)
        of_data["cpu"].append(cell.seconds)
    return {"rows": found}


def lines(section: Mapping[str, Any]) -> str:
    """The table of a section of results."""
    cells = [
        Cell(data, method, seed, found, seconds)
        for data, by_method in section["rows"].items()
        for method, kept in by_method.items()
        for seed, (found, seconds) in enumerate(zip(kept["error"], kept["cpu"], strict=True))
    ]
    return report(cells)


def versions(methods: Sequence[str]) -> dict[str, str]:
    """Of the packages of methods."""
    from importlib import metadata

    names = {METHODS[method][0] for method in methods} - {"fastnn"}
    found = {}
    for name in sorted(names):
        try:
            found[name] = metadata.version({"sklearn": "scikit-learn"}.get(name, name))
        except metadata.PackageNotFoundError:
            continue
    return found


def speedup(threads: int, rounds: int = 15) -> str:
    """Seconds of a fit at the defaults, 4,000 rows of 20 numbers, on one thread and on so many, in turns."""
    import fastnn
    from fastnn.sklearn import TabularClassifier

    random = np.random.default_rng(0)
    x = random.normal(size=(4000, 20))
    y = x[:, :5].sum(axis=1) + np.sin(3 * x[:, 6]) > 0
    took: dict[int, list[float]] = {1: [], threads: []}
    for _ in range(rounds):
        for count, seconds in took.items():
            fastnn.set_num_threads(count)
            begun = time.perf_counter()
            TabularClassifier(random_state=0).fit(x, y)
            seconds.append(time.perf_counter() - begun)
    one, several = (float(np.median(seconds)) for seconds in took.values())
    return f"1 thread {one:.3f} s, {threads} threads {several:.3f} s: {one / several:.2f} times"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tabular",
        description=(__doc__ or "").split("\n\n", maxsplit=1)[0],
    )
    parser.add_argument("--data", nargs="+", choices=ALL, help="default: all that are not held out")
    parser.add_argument("--held-out", action="store_true", help="the sets that are held out")
    parser.add_argument("--threads", type=int, metavar="N", help="seconds on one thread and on N")
    parser.add_argument(
        "--shared", action="store_true", help="tell that other work had the machine"
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--markdown", type=Path, help="write the table to this file, too")
    records.add_option(parser)
    asked = parser.parse_args()
    machine.limit_threads(asked.threads or 1)
    warnings.simplefilter("ignore")
    for line in machine.describe(asked.threads or 1):
        print(line)
    if asked.threads:
        print(speedup(asked.threads))
        return
    cells = []
    data = asked.data or list(HELD_OUT if asked.held_out else SOURCES)
    for cell in measured(data, asked.methods, asked.seeds):
        cells.append(cell)
        print(
            f"{cell.data:14s} {cell.method:12s} {cell.error:7.2f} {cell.seconds:7.2f} s", flush=True
        )
    if not cells:
        sys.exit("nothing was measured")
    text = report(cells)
    print(f"\n{text}")
    if asked.markdown:
        asked.markdown.write_text(f"{text}\n")
    records.save(
        asked.save,
        "tabular_held_out" if asked.held_out else "tabular",
        content(cells),
        threads=1,
        peers=versions(asked.methods),
        seeds=asked.seeds,
        shared=asked.shared,
    )


if __name__ == "__main__":
    main()
