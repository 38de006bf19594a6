"""Tabular estimators on odd tables, and importances against tables that are shuffled whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from fastnn.sklearn import TabularClassifier, TabularRegressor, load_table_estimator
from fastnn.sklearn.tabular.importances import rises

pytestmark = pytest.mark.cpu

SMALL = {"members": 2, "hidden_layer_sizes": (16,), "max_epochs": 5, "random_state": 0}
N = 80
RNG = np.random.default_rng(4)
SIZE = RNG.normal(size=N)
COLOUR = RNG.choice(np.array(["red", "green", "blue", None], dtype=object), N)
CLASSES = np.array(["no", "yes"])[(SIZE > 0).astype(int)]
DAYS = np.datetime64("2024-01-01") + RNG.integers(0, 300, N)

TABLES: dict[str, Any] = {
    "nothing but gaps": {"a": np.full(N, np.nan)},
    "gaps of objects": {"a": SIZE, "b": np.full(N, None, object)},
    "gaps of dates": {"a": SIZE, "d": np.full(N, np.datetime64("NaT"))},
    "a constant": {"a": SIZE, "b": np.ones(N), "c": np.full(N, "x", object)},
    "names of rows": {"a": np.array([f"row {i}" for i in range(N)], object)},
    "huge numbers": {"a": SIZE * 1e300, "b": SIZE * 1e-300},
    "the largest numbers": {"a": np.r_[1.7e308, -1.7e308, np.zeros(N - 2)]},
    "an offset": {"a": 1e15 + np.arange(N)},
    "ancient days": {"d": np.datetime64("-4000-01-01") + np.arange(N) * 10_000},
    "booleans with gaps": {"a": np.array([True, None] * (N // 2), object)},
    "numbers and texts": {"a": np.array([1, "x"] * (N // 2), object)},
    "an empty name": {"": SIZE, "a\x00b": SIZE},
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("kind", [TabularClassifier, TabularRegressor])
@pytest.mark.filterwarnings("ignore:overflow encountered in subtract")  # NumPy's, in quantiles
def test_odd_tables(name, kind, tmp_path):
    """Answers are finite, and a file gives the same ones."""
    table = TABLES[name]
    net = kind(**SMALL).fit(table, CLASSES if kind is TabularClassifier else SIZE)
    answer = "predict_proba" if kind is TabularClassifier else "predict"
    found = getattr(net, answer)(table)
    assert np.isfinite(found).all()
    assert np.isfinite(net.feature_importances_).all()
    net.save(tmp_path / "net.safetensors")
    again = load_table_estimator(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(getattr(again, answer)(table), found)


@pytest.mark.parametrize("rows", [1, 2, 3, 9, 10, 11])
def test_few_rows(rows, capsys):
    table = {"a": SIZE[:rows], "b": COLOUR[:rows]}
    net = TabularRegressor(**SMALL, verbose=1).fit(table, SIZE[:rows])
    assert np.isfinite(net.predict(table)).all()
    told = capsys.readouterr().out
    assert "member 2/2: 5 epochs" in told
    assert ("val_loss" in told) == (rows >= 10)
    assert "nan" not in told
    if rows > 1:
        labels = ["a"] * (rows - 1) + ["b"]
        assert np.isfinite(TabularClassifier(**SMALL).fit(table, labels).predict_proba(table)).all()


def test_labels_that_cannot_be_ordered_and_gaps_among_them():
    table = {"a": SIZE}
    for labels, message in (
        (["a", None], "expected a label, got None at row 1"),
        (["a", float("nan")], "expected a label, got nan at row 1"),
        (["a", 1], "expected labels of one type, got 'a' at row 0 and 1 at row 1"),
    ):
        with pytest.raises(ValueError, match=message):
            TabularClassifier(**SMALL).fit(table, np.array(labels * (N // 2), object))
    with pytest.raises(ValueError, match="y has one class, 'a'; expected at least two classes"):
        TabularClassifier(**SMALL).fit(table, ["a"] * N)


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_huge_and_tiny_numbers_are_learned(scale):
    """As the same numbers of a common size."""
    table = {"a": SIZE, "b": COLOUR}
    plain = TabularRegressor(**SMALL).fit(table, SIZE).predict(table)
    found = TabularRegressor(**SMALL).fit(table, SIZE * scale).predict(table)
    np.testing.assert_allclose(found / scale, plain, atol=1e-3)


@pytest.mark.parametrize("codes", ["none", "all"])
@pytest.mark.parametrize("hidden", [(), (16,), (16, 8)])
def test_importances_are_what_shuffled_tables_lose(codes, hidden):
    """Of every kind of column, and as the whole network answers."""
    table = {
        "size": SIZE,
        "colour": COLOUR,
        "gaps": np.where(RNG.random(N) < 0.3, np.nan, RNG.normal(size=N)),
        "flag": RNG.random(N) < 0.5,
        "day": DAYS,
    }
    net = TabularClassifier(**SMALL | {"hidden_layer_sizes": hidden}, codes=codes)
    net.fit(table, CLASSES)
    member, encoding = net.members_[0], net.encoding_
    raw, targets = encoding.raw(net._frame(table)), np.eye(2)[(CLASSES == "yes").astype(int)]

    def loss(rows):
        outputs = member.model.predict(rows, verbose=0)
        return net._losses_of_outputs(outputs, targets).mean()

    found = rises(
        member.model,
        encoding,
        member.codes,
        raw,
        lambda outputs: net._losses_of_outputs(outputs, targets),
        np.random.default_rng(5),
    )
    orders, expected = np.random.default_rng(5), []
    for source in range(len(table)):
        parts = [i for i, column in enumerate(encoding.columns) if column.source == source]
        shuffled = raw.copy()
        shuffled[:, parts] = raw[orders.permutation(N)][:, parts]
        expected.append(loss(shuffled) - loss(raw))
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.abs(expected).min() > 1e-6
