"""Sparse matrices as x: the same numbers as those of the dense array, in every session."""

from __future__ import annotations

import resource
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _core, layers

scipy_sparse = pytest.importorskip("scipy.sparse")

Array = np.ndarray[Any, Any]


def matrix(n: int, columns: int, dtype: str = "float64", density: float = 0.05) -> Any:
    """Random numbers, with an empty row, an empty column and a full row."""
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((n, columns)) < density, rng.normal(size=(n, columns)), 0.0)
    dense[n // 2] = 0.0
    dense[:, columns // 3] = 0.0
    dense[n // 3, : columns // 4] = 1.5
    return scipy_sparse.csr_matrix(dense.astype(dtype))


def net(columns: int, dtype: str, kind: str = "relu", classes: int = 4) -> fastnn.Sequential:
    fastnn.utils.set_random_seed(3)
    stack: dict[str, list[Any]] = {
        "relu": [layers.Dense(33, "relu", dtype=dtype)],
        "silu": [layers.Dense(20, "silu", dtype=dtype), layers.Dropout(0.3)],
        "linear": [layers.Dense(70, use_bias=False, dtype=dtype)],
        "scaled": [layers.Rescaling(0.5), layers.Dense(9, "tanh", dtype=dtype)],
        "moved": [layers.Rescaling(0.5, 1.0), layers.Dense(9, "tanh", dtype=dtype)],
        "normalized": [layers.LayerNormalization(dtype=dtype), layers.Dense(9, "elu", dtype=dtype)],
        "batch": [layers.BatchNormalization(dtype=dtype), layers.Dense(9, "elu", dtype=dtype)],
    }
    last = layers.Dense(classes, dtype=dtype)
    return fastnn.Sequential([fastnn.Input((columns,)), *stack[kind], last])


def trained(x: Any, dtype: str, kind: str = "relu", optimizer: Any = "adam", **given: Any) -> Any:
    n, columns = x.shape
    y = np.random.default_rng(1).integers(0, 4, n)
    model = net(columns, dtype, kind)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    options: dict[str, Any] = {"batch_size": 32, "epochs": 2, "verbose": 0, **given}
    history = model.fit(x, y, **options).history
    found = model.evaluate(x, y, verbose=0)
    return model.get_weights(), history, model.predict(x, verbose=0), found


def assert_equal(found: Any, wanted: Any, dtype: str) -> None:
    close: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-11}
    if dtype == "float32":
        close = {"rtol": 1e-3, "atol": 1e-4}
    for one, other in zip(found[0], wanted[0], strict=True):
        np.testing.assert_allclose(one, other, **close)
    assert found[1].keys() == wanted[1].keys()
    for name, values in found[1].items():
        np.testing.assert_allclose(values, wanted[1][name], **close)
    np.testing.assert_allclose(found[2], wanted[2], **close)
    np.testing.assert_allclose(found[3], wanted[3], **close)


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "kind", ["relu", "silu", "linear", "scaled", "moved", "normalized", "batch"]
)
def test_as_the_dense_array(kind: str, dtype: str) -> None:
    x = matrix(150, 61)
    optimizer: Any = "adam" if dtype == "float64" else fastnn.optimizers.SGD(0.1)
    other: Any = "adam" if dtype == "float64" else fastnn.optimizers.SGD(0.1)
    weights = np.random.default_rng(2).random(150)
    given: dict[str, Any] = {"validation_split": 0.2, "sample_weight": weights}
    found = trained(x, dtype, kind, optimizer, **given)
    assert_equal(found, trained(x.toarray(), dtype, kind, other, **given), dtype)


@pytest.mark.parametrize("session", ["plain", "streaming", "tiled"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lamb"])
def test_every_session(session: str, optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if session != "plain" and optimizer == "lamb":
        pytest.skip("lamb has the plain session alone")
    monkeypatch.setenv("FASTNN_SESSION", session)
    x = matrix(300, 40)
    found = trained(x, "float64", "relu", optimizer, batch_size=130)
    monkeypatch.setenv("FASTNN_SESSION", "plain")
    wanted = trained(x.toarray(), "float64", "relu", optimizer, batch_size=130)
    assert_equal(found, wanted, "float64")


def test_dense_and_sparse_batches_in_turn() -> None:
    x = matrix(64, 30)
    y = np.arange(64) % 4
    results = []
    for parts in ((x, x.toarray(), x), (x.toarray(),) * 3):
        model = net(30, "float64")
        model.compile("adam", "sparse_categorical_crossentropy")
        for part in parts:
            model.fit(part, y, batch_size=16, verbose=0)
        results.append(model.get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("session", ["plain", "streaming", "tiled"])
def test_same_bits_whatever_the_threads(session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_SESSION", session)
    x = matrix(2000, 500, "float32")
    before = fastnn.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            fastnn.set_num_threads(threads)
            results.append(trained(x, "float32", "silu", batch_size=1000))
    finally:
        fastnn.set_num_threads(before)
    for other in results[1:]:
        for one, same in zip(results[0][0], other[0], strict=True):
            np.testing.assert_array_equal(one, same)
        np.testing.assert_array_equal(results[0][2], other[2])


def test_forms_and_types() -> None:
    x = matrix(90, 25)
    wanted = trained(x.toarray(), "float64")
    unsorted = x.copy()
    for r in range(90):
        part = slice(unsorted.indptr[r], unsorted.indptr[r + 1])
        unsorted.indices[part] = unsorted.indices[part][::-1]
        unsorted.data[part] = unsorted.data[part][::-1]
    unsorted.has_sorted_indices = False
    coo = x.tocoo()
    halves = scipy_sparse.coo_matrix(
        (np.tile(coo.data / 2, 2), (np.tile(coo.row, 2), np.tile(coo.col, 2))), coo.shape
    )
    long = x.copy()
    long.indices = long.indices.astype(np.int64)
    long.indptr = long.indptr.astype(np.int64)
    forms = [x.tocsc(), coo, halves, x.tolil(), scipy_sparse.csr_array(x), long, unsorted]
    for form in forms:
        kept = form.copy()
        assert_equal(trained(form, "float64"), wanted, "float64")
        np.testing.assert_array_equal(form.toarray(), kept.toarray())
    whole = scipy_sparse.csr_matrix((x.toarray() > 0).astype(np.int8))
    assert_equal(trained(whole, "float64"), trained(whole.toarray(), "float64"), "float64")


def test_several_layers_read_the_rows() -> None:
    def made() -> fastnn.Model:
        fastnn.utils.set_random_seed(5)
        inputs = fastnn.Input((50,))
        h = layers.Add()([layers.Dense(16, "relu", dtype="float64")(inputs) for _ in range(2)])
        model = fastnn.Model(inputs, layers.Dense(1, dtype="float64")(h))
        model.compile("adam", "mse")
        return model

    x, y = matrix(80, 50), np.linspace(-1, 1, 80)
    results = []
    for given in (x, x.toarray()):
        model = made()
        model.fit(given, y, epochs=3, batch_size=20, verbose=0)
        results.append(model.get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_steps_and_gradients() -> None:
    x, y = matrix(40, 30), np.arange(40) % 4
    found = []
    for given in (x, x.toarray()):
        model = net(30, "float64")
        model.compile("sgd", "sparse_categorical_crossentropy")
        loss, gradients = model.value_and_grad(given, y)
        model.train_on_batch(given, y)
        found.append((loss, *gradients, *model.get_weights()))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)


def test_values_are_checked() -> None:
    x = matrix(40, 30)
    y = np.arange(40) % 4
    model = net(30, "float32")
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = model.get_weights()
    bad = x.copy()
    place = bad.indptr[25] + 1 if bad.indptr[26] - bad.indptr[25] > 1 else bad.indptr[25]
    column = int(bad.indices[place])
    bad.data[place] = np.nan
    with pytest.raises(ValueError, match=rf"finite numbers, got nan at row 25, column {column}"):
        model.fit(bad, y, verbose=0)
    bad.data[place] = 1e300
    with pytest.raises(ValueError, match=r"finite numbers of float32, got 1e\+300 at row 25"):
        model.predict(bad, verbose=0)
    with pytest.raises(ValueError, match=r"expected shape \(n, 30\), got \(40, 29\)"):
        model.fit(x[:, :29], y, verbose=0)
    with pytest.raises(ValueError, match="x is empty"):
        model.predict(x[:0], verbose=0)
    with pytest.raises(TypeError, match="dtype complex128"):
        model.fit(x.astype(complex), y, verbose=0)
    with pytest.raises(ValueError, match="2 axes"):
        model.predict(scipy_sparse.coo_array(np.ones(30)), verbose=0)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_native_matrix_checks_where_it_points() -> None:
    values, starts = np.ones(3), np.array([0, 2, 3])
    columns = np.array([0, 1, 1], np.int32)
    assert _core.SparseMatrix(values, columns, starts, 2).shape == (2, 2)
    for wrong in ([1, 0, 1], [0, 0, 1], [0, 2, 1], [-1, 0, 1]):
        with pytest.raises(ValueError, match="columns: expected an ascending order"):
            _core.SparseMatrix(values, np.array(wrong, np.int32), starts, 2)
    for wrong_starts in ([0, 2], [1, 2, 3], [0, 4, 3], [0, 2, 3, 2]):
        with pytest.raises(ValueError, match="starts"):
            _core.SparseMatrix(values, columns, np.array(wrong_starts), 2)
    with pytest.raises(ValueError, match="columns"):
        _core.SparseMatrix(values, columns[:2], starts, 2)


def test_what_trains_over_the_tape_says_so() -> None:
    model = net(30, "float64")
    model.compile("sgd", lambda y, p: fastnn.math.reduce_mean((p - y) ** 2))
    with pytest.raises(TypeError, match=r"x\.toarray\(\)"):
        model.fit(matrix(40, 30), np.zeros((40, 4)), verbose=0)


def test_many_columns_are_never_dense() -> None:
    n, columns = 5000, 60_000  # 2.4 GB as an array
    places = np.random.default_rng(0).integers(0, columns, (n, 30))  # some twice, which add up
    x = scipy_sparse.csr_matrix(
        (np.ones(places.size, np.float32), places.ravel(), np.arange(0, places.size + 1, 30)),
        shape=(n, columns),
    )
    model = fastnn.Sequential([fastnn.Input((columns,)), layers.Dense(8, "relu"), layers.Dense(1)])
    model.compile("sgd", "mse")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model.fit(x, np.ones(n), batch_size=500, verbose=0)
    model.predict(x, verbose=0)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 600_000  # KiB; a batch of predict alone would be 980 MB


@pytest.mark.parametrize("kind", ["csr_matrix", "csr_array"])
def test_rows_as_arrays(kind: str) -> None:
    from fastnn.data.sparse import SparseRows

    dense = matrix(20, 9).toarray()
    given = getattr(scipy_sparse, kind)(dense)
    given.data = np.append(given.data, 5.0)  # room for more, as SciPy allows
    given.indices = np.append(given.indices, given.indices[:1])
    rows = SparseRows("x", given)
    for index in (3, np.int64(6), [1, 2], slice(2, 5)):
        np.testing.assert_array_equal(rows[index], dense[index])
