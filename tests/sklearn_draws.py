"""Random problems for the estimators and for those of scikit-learn: data, parameters, and calls in a row.

A draw says everything as plain values, so that a failing one can be written down. Only `made` knows of
packages, and nothing here compares.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

SIZES = ((5,), (7, 4), (3, 6, 5))


class Draw(NamedTuple):
    """One problem.

    `calls`: the methods that are called, each with the parameters that are set before it, and the rows
    that it is given.
    """

    kind: str  # of y
    estimator: str
    parameters: dict[str, Any]
    x: Any
    y: Any
    weights: np.ndarray | None
    calls: list[tuple[str, dict[str, Any], slice]]


def _x(rng: np.random.Generator, n: int, features: int) -> Any:
    import scipy.sparse

    x = rng.normal(size=(n, features))
    form = rng.choice(["dense", "fortran", "float32", "int", "csr", "csc", "csr_array", "negative"])
    if form in ("csr", "csc", "csr_array"):
        x[rng.random(x.shape) < 0.6] = 0.0
        return getattr(scipy.sparse, form if form == "csr_array" else f"{form}_matrix")(x)
    if form == "fortran":
        return np.asfortranarray(x)
    if form == "negative":  # strides
        return x[::-1, ::-1]
    if form == "int":
        return np.round(3 * x).astype(rng.choice(["int64", "int8"]))
    return x.astype("float32") if form == "float32" else x


def _y(rng: np.random.Generator, kind: str, n: int) -> Any:
    if kind == "classes":
        labels = rng.integers(0, 3, n)
        labels[:3] = 0, 1, 2
        words = [np.array(["a", "bb", "c"]), np.array([-5, 0, 10]), np.array([0.0, 1.0, 7.0])]
        words.append(np.array(["x", "y", "z"], dtype=object))
        return words[rng.integers(len(words))][labels]
    if kind == "two":
        labels = rng.integers(0, 2, n)
        labels[:2] = 0, 1
        words = [np.array(["no", "yes"]), np.array([False, True]), np.array([-1, 1])]
        return words[rng.integers(len(words))][labels]
    if kind == "labels":
        found = rng.integers(0, 2, (n, rng.integers(2, 5)))
        found[0], found[1] = 0, 1
        return found
    if kind == "number":
        return rng.normal(size=n) + 0.5
    return rng.normal(size=(n, rng.integers(2, 4)))


def _calls(rng: np.random.Generator, n: int, parameters: dict[str, Any]) -> list[Any]:
    every = slice(0, n)
    steps: list[Any] = [("fit", {}, every)]
    if parameters["solver"] == "lbfgs" or parameters["early_stopping"]:
        if rng.random() < 0.3:
            steps.append(("fit", {}, every))
        return steps
    roll = rng.random()
    if roll < 0.2:  # on, from there
        steps += [("partial_fit", {}, slice(0, n // 2)), ("partial_fit", {}, slice(n // 2, n))]
    elif roll < 0.35:
        steps = [("partial_fit", {}, every)] * 3
    elif roll < 0.5:
        steps = [("fit", {}, every), ("fit", {"warm_start": True}, every)]
    elif roll < 0.6:
        steps.append(("fit", {"warm_start": False, "alpha": 0.1}, slice(0, n - 3)))
    elif roll < 0.7:
        rate = float(10 ** rng.uniform(-3, -1.5))
        steps.append(("fit", {"warm_start": True, "learning_rate_init": rate}, every))
    return steps


def draw(seed: int) -> Draw:
    """The problem of a seed."""
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(["classes", "two", "labels", "number", "numbers"]))
    n, features = int(rng.integers(12, 70)), int(rng.integers(1, 7))
    solver = str(rng.choice(["adam", "sgd", "sgd", "lbfgs"], p=[0.45, 0.25, 0.15, 0.15]))
    patience: Any = rng.choice([1, 2, 5, np.inf])
    parameters: dict[str, Any] = {
        "hidden_layer_sizes": SIZES[rng.integers(len(SIZES))],
        "activation": str(rng.choice(["identity", "logistic", "tanh", "relu"])),
        "solver": solver,
        "alpha": float(rng.choice([0.0, 1e-4, 0.1, 2.0])),
        "batch_size": rng.choice([2, 7, 16, 64, 0]).item() or "auto",
        "learning_rate": str(rng.choice(["constant", "invscaling", "adaptive"])),
        "learning_rate_init": float(10 ** rng.uniform(-3.5, -1.3)),
        "power_t": float(rng.choice([0.0, 0.25, 0.5, 1.0])),
        "max_iter": int(rng.integers(1, 16)),
        "shuffle": False,
        "random_state": int(rng.integers(1000)),
        "tol": float(rng.choice([0.0, 1e-4, 1e-2, 0.3])),
        "warm_start": bool(rng.random() < 0.2),
        "momentum": float(rng.choice([0.0, 0.5, 0.9])),
        "nesterovs_momentum": bool(rng.random() < 0.5),
        "early_stopping": bool(rng.random() < 0.3),
        "validation_fraction": float(rng.choice([0.2, 0.3, 0.5])),
        "beta_1": float(rng.choice([0.0, 0.5, 0.9])),
        # At 0 a step is the sign of a gradient, which rounding may turn.
        "beta_2": float(rng.choice([0.5, 0.9, 0.999])),
        "epsilon": float(rng.choice([1e-8, 1e-5, 1e-2])),
        "n_iter_no_change": patience if np.isinf(patience) else int(patience),
        "max_fun": int(rng.choice([5, 15000])),
    }
    if rng.random() < 0.3:
        parameters["shuffle"] = True
        if rng.random() < 0.5:  # one batch, whatever the order
            parameters["batch_size"] = n
    x, y = _x(rng, n, features), _y(rng, kind, n)
    weights = None
    if rng.random() < 0.35:
        weights = rng.uniform(0.1, 3.0, n)
        if rng.random() < 0.3:
            weights = rng.integers(1, 4, n)
    calls = _calls(rng, n, parameters)
    if parameters["shuffle"]:  # the order of later calls would have other keys
        calls = calls[:1]
    if kind == "number" and rng.random() < 0.2:
        parameters["loss"] = "poisson"
        parameters["learning_rate_init"] = min(0.003, parameters["learning_rate_init"])
        y = np.round(np.exp(y))
    name = "MLPRegressor" if kind.startswith("number") else "MLPClassifier"
    return Draw(kind, name, parameters, x, y, weights, calls)


class Outcome(NamedTuple):
    """What an estimator came to: itself, after which error, and the categories of the warnings."""

    mlp: Any
    error: str
    warned: list[str]


def made(package: Any, problem: Draw) -> Outcome:
    """The calls of a problem on the estimator of a package."""
    mlp = getattr(package, problem.estimator)(**problem.parameters)
    error = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i, (method, more, rows) in enumerate(problem.calls):
            mlp.set_params(**more)
            weights = None if problem.weights is None else problem.weights[rows]
            given: dict[str, Any] = {"sample_weight": weights}
            if method == "partial_fit" and i == 0 and problem.estimator == "MLPClassifier":
                given["classes"] = np.unique(problem.y)
                if problem.kind == "labels":
                    given["classes"] = np.arange(problem.y.shape[1])
            try:
                getattr(mlp, method)(problem.x[rows], problem.y[rows], **given)
            except (ValueError, AttributeError) as raised:
                error = type(raised).__name__
                break
    return Outcome(mlp, error, sorted({caught_.category.__name__ for caught_ in caught}))
