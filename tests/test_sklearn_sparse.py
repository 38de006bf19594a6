"""Sparse rows of the estimators: on random problems the same as dense ones, in every form that SciPy has,
and never dense as a whole."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn.neural_network")
sparse = pytest.importorskip("scipy.sparse")

from sklearn_draws import draw

import fastnn
from fastnn.sklearn import MLPClassifier, MLPRegressor

FORMS = [
    "csr_matrix",
    "csc_array",
    "coo_matrix",
    "csr_array",
    "lil_matrix",
    "unsorted",
    "duplicates",
]


def formed(x, form, rng):
    """A sparse matrix of the values of x."""
    if form == "unsorted":
        found = sparse.csr_array(x)
        for start, stop in zip(found.indptr, found.indptr[1:], strict=False):
            order = rng.permutation(stop - start)
            found.indices[start:stop] = found.indices[start:stop][order]
            found.data[start:stop] = found.data[start:stop][order]
        found.has_sorted_indices = False
        return found
    if form == "duplicates":  # two parts of each value; such entries count as their sum
        whole = sparse.csr_array(x)
        half = whole.data / 2
        indptr = 2 * whole.indptr
        indices = np.repeat(whole.indices, 2)
        found = sparse.csr_array((np.repeat(half, 2), indices, indptr), shape=x.shape)
        found.has_canonical_format = False
        return found
    return getattr(sparse, form)(x)


def rows(rng, n, features, dtype):
    x = rng.normal(size=(n, features))
    x[rng.random(x.shape) < 0.7] = 0.0
    x[rng.integers(0, n, 3)] = 0.0  # rows without an entry
    if dtype == "int64":
        x = np.round(3 * x)
    return x.astype(dtype)


def more_of(rng, estimator, solver):
    """What the estimators have besides."""
    more = {"scale": bool(rng.random() < 0.4), "layer_norm": bool(rng.random() < 0.2)}
    if solver != "lbfgs":
        more["dropout"] = float(rng.choice([0.0, 0.0, 0.3]))
        more["shuffle"] = bool(rng.random() < 0.6)
        if rng.random() < 0.2:
            more["optimizer"] = fastnn.optimizers.AdamW(0.01)
        if rng.random() < 0.2:
            more["schedule"] = fastnn.optimizers.schedules.CosineDecay(0.01, 40)
    if estimator == "MLPClassifier" and rng.random() < 0.3:
        more["class_weight"] = "balanced"
    return more


@pytest.mark.cpu  # another order of sums grows in many steps
@pytest.mark.parametrize("seed", range(80))
def test_as_dense_rows(seed):
    problem, rng = draw(10_000 + seed), np.random.default_rng(seed)
    dtype = str(rng.choice(["float64", "float64", "float32", "int64"]))
    n = len(problem.y)
    x = rows(rng, n, int(rng.integers(1, 40)), dtype)
    given = {**problem.parameters, **more_of(rng, problem.estimator, problem.parameters["solver"])}
    if rng.random() < 0.2 and given["solver"] != "lbfgs":
        given["validation_data"] = (x[: n // 2], problem.y[: n // 2])
    cls = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}[problem.estimator]
    form = str(rng.choice(FORMS))
    other = formed(x, form, rng)
    made = []
    for values in (x, other):
        mlp = cls(**given)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlp.fit(values, problem.y, sample_weight=problem.weights)
            if given["solver"] != "lbfgs" and not given["early_stopping"]:
                weights = None if problem.weights is None else problem.weights[: n // 2]
                part = (values.tocsr() if sparse.issparse(values) else values)[: n // 2]
                mlp.partial_fit(part, problem.y[: n // 2], sample_weight=weights)
        made.append(mlp)
    dense, spare = made
    atol = 2e-4 if dtype == "float32" else 1e-8
    assert dense.n_iter_ == spare.n_iter_
    for a, b in zip(
        dense.coefs_ + dense.intercepts_, spare.coefs_ + spare.intercepts_, strict=True
    ):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(b, a, rtol=0, atol=atol)
    for name in ("loss_curve_", "validation_scores_"):
        a, b = getattr(dense, name, None), getattr(spare, name, None)
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(b, a, rtol=100 * atol, atol=10 * atol)
    answers = "predict" if problem.estimator == "MLPRegressor" else "predict_proba"
    a, b = getattr(dense, answers)(x), getattr(spare, answers)(other)
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    np.testing.assert_allclose(b, a, rtol=100 * atol, atol=10 * atol)


@pytest.mark.parametrize("form", FORMS)
def test_forms(form):
    """The caller's matrix stays as it is."""
    rng = np.random.default_rng(3)
    x = rows(rng, 60, 9, "float64")
    y = x[:, 0] > 0
    given = formed(x, form, rng)
    before = given.copy()
    mlp = MLPClassifier((5,), max_iter=3, random_state=0, scale=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlp.fit(given, y)
    expected = mlp.predict_proba(x)
    np.testing.assert_allclose(mlp.predict_proba(given), expected, rtol=1e-12)
    if hasattr(given, "indices"):
        np.testing.assert_array_equal(given.indices, before.indices)
        np.testing.assert_array_equal(given.data, before.data)


@pytest.mark.parametrize("weighted", [False, True])
def test_columns_of_equal_numbers_are_not_scaled(weighted):
    """Also where rounding makes their sums differ from the weight of all rows, or where rows that do not
    count have another number."""
    rng = np.random.default_rng(5)
    x = rows(rng, 500, 6, "float64")
    x[:, 1], x[:, 2], x[:, 3] = 3.7, 1e-5, -1e9
    weights = rng.uniform(0.1, 7.0, 500) if weighted else None
    if weighted:
        weights[:9] = 0.0
        x[:9, 1] = 0.0
    made = []
    for given in (x, sparse.csr_array(x)):
        mlp = MLPRegressor(hidden_layer_sizes=(3,), scale=True, max_iter=2, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlp.fit(given, x[:, 0], sample_weight=weights)
        made.append(mlp._moments)
    for dense, spare in zip(*made, strict=True):
        np.testing.assert_allclose(spare, dense, rtol=1e-12)
    np.testing.assert_array_equal(made[1][1][[1, 2, 3]], 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(bad):
    x = sparse.csr_array(rows(np.random.default_rng(3), 30, 5, "float64"))
    y = np.arange(30) % 2
    mlp = MLPClassifier((5,), solver="lbfgs", max_iter=3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlp.fit(x, y)
    x.data[4] = bad
    for call in (lambda: mlp.fit(x, y), lambda: mlp.predict(x)):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            call()


MEMORY = """
import resource, sys, warnings
import numpy as np, scipy.sparse as sparse
from fastnn.sklearn import MLPClassifier

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
n, features = 4000, 20_000  # 640 MB if dense
x = sparse.random(n, features, 0.005, format="csr", random_state=0)
y = np.arange(n) % 3
warm = MLPClassifier((8,), max_iter=1, batch_size=100).fit(x[:200], y[:200])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
options = {options}
mlp = MLPClassifier((8,), max_iter=2, random_state=0, **options).fit(x, y)
mlp.predict_proba(x)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": True},
        {"early_stopping": True},
        {"solver": "lbfgs"},
        {"solver": "sgd", "class_weight": "balanced"},
    ],
    ids=["adam", "scale", "early", "lbfgs", "sgd"],
)
def test_memory_stays_small(options):
    program = MEMORY.format(options=options)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 120, "megabytes, of 640"
