"""Tabular estimators on odd tables, and importances against tables that are shuffled whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from fastnn import Sequential, layers
from fastnn.sklearn import (
    MLPRegressor,
    TabularClassifier,
    TabularRegressor,
    load_table_estimator,
)
from fastnn.sklearn.tabular.importances import rises, shuffled

pytestmark = pytest.mark.cpu

SMALL = {"members": 3, "hidden_layer_sizes": (16,), "max_epochs": 5, "random_state": 0}
N = 80
RNG = np.random.default_rng(4)
SIZE = RNG.normal(size=N)
COLOUR = RNG.choice(np.array(["red", "green", "blue", None], dtype=object), N)
CLASSES = np.array(["no", "yes"])[(SIZE > 0).astype(int)]
DAYS = np.datetime64("2024-01-01") + RNG.integers(0, 300, N)

TABLES: dict[str, Any] = {
    "nothing but gaps": {"a": np.full(N, np.nan)},
    "gaps of objects": {"a": SIZE, "b": np.full(N, None, object)},
    "gaps of dates": {"a": SIZE, "d": np.full(N, "NaT", "datetime64[D]")},
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
    assert "member 3/3: 5 epochs" in told
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


@pytest.mark.parametrize("value", [1e300, -1e300, 0.1, 1e-300])
def test_a_constant_is_its_own_answer(value):
    net = TabularRegressor(**SMALL).fit({"a": SIZE}, np.full(N, value))
    np.testing.assert_allclose(net.predict({"a": SIZE}), value)


@pytest.mark.parametrize(
    "gaps",
    [np.full(N, None, object), np.full(N, np.nan), np.full(N, "NaT", "datetime64[D]")],
    ids=["objects", "numbers", "dates"],
)
def test_a_column_of_gaps_takes_anything_later(gaps, tmp_path):
    """Nothing was learned from it."""
    net = TabularRegressor(**SMALL).fit({"a": SIZE, "b": gaps}, SIZE)
    expected = net.predict({"a": SIZE, "b": gaps})
    net.save(tmp_path / "net.safetensors")
    again = load_table_estimator(tmp_path / "net.safetensors")
    for others in (np.full(N, "x", object), SIZE, DAYS, SIZE > 0, COLOUR):
        np.testing.assert_array_equal(net.predict({"a": SIZE, "b": others}), expected)
        np.testing.assert_array_equal(again.predict({"a": SIZE, "b": others}), expected)
    assert net.feature_importances_[1] == 0


@pytest.mark.parametrize(
    "labels",
    [
        np.where(SIZE > 0, np.datetime64("2024-01-01"), np.datetime64("1960-05-05")),
        np.where(SIZE > 0, 0, 10**15 + 1).astype("datetime64[ns]"),
        np.where(SIZE > 0, "é", "\udc00"),
    ],
    ids=["days", "nanoseconds", "half a pair of surrogates"],
)
def test_files_have_labels_of_all_types(labels, tmp_path):
    table = {"a\ud800": SIZE, "b": np.where(SIZE > 1, "\udc01", "ü")}
    net = TabularClassifier(**SMALL).fit(table, labels)
    net.save(tmp_path / "net.safetensors")
    again = load_table_estimator(tmp_path / "net.safetensors")
    assert again.classes_.dtype == net.classes_.dtype
    np.testing.assert_array_equal(again.predict(table), net.predict(table))
    np.testing.assert_array_equal(again.targets_, labels)
    assert again.feature_names_in_.tolist() == ["a\ud800", "b"]


@pytest.mark.parametrize("sizes", [(2.5,), 2.5, (True,), (8, "4")])
def test_sizes_are_whole(sizes):
    for kind in (TabularRegressor, MLPRegressor):
        net = kind(hidden_layer_sizes=sizes)
        with pytest.raises(ValueError, match="hidden_layer_sizes"):
            net.fit(SIZE[:, None], SIZE)


def test_all_of_the_targets_cannot_be_smoothed_away():
    with pytest.raises(ValueError, match="label_smoothing"):
        TabularClassifier(**SMALL, label_smoothing=1).fit({"a": SIZE}, CLASSES)


def test_importances_of_few_rows():
    """They are measured on rows of training, by all members: none is held out."""
    table = {"a": SIZE[:9], "b": np.zeros(9)}
    net = TabularRegressor(members=2, random_state=0).fit(table, SIZE[:9])
    assert net.oof_ is None
    np.testing.assert_allclose(net.feature_importances_, [1, 0])


@pytest.mark.parametrize("place", [1, 2, 3, 5])
def test_importances_of_any_layers(place):
    """A layer that is not known to leave columns apart costs time, and changes no importance."""
    table = {"size": SIZE, "colour": COLOUR, "day": DAYS}
    net = TabularClassifier(**SMALL, codes="none").fit(table, CLASSES)
    encoding, model = net.encoding_, net.members_[0].model
    own = [type(layer).from_config(layer.get_config()) for layer in model.layers]
    own.insert(place, layers.LayerNormalization())
    mixed = Sequential([*own, layers.Dense(2)], seed=1)
    raw = encoding.raw(net._frame(table))
    orders = [np.random.default_rng(i).permutation(N) for i in range(3)]
    found = list(shuffled(mixed, encoding, False, raw, iter(orders)))
    for source, order in enumerate(orders):
        changed = raw.copy()
        parts = [i for i, column in enumerate(encoding.columns) if column.source == source]
        changed[:, parts] = raw[order][:, parts]
        np.testing.assert_allclose(
            found[1 + source], mixed.predict(changed, verbose=0), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_huge_and_tiny_numbers_are_learned(scale):
    """As the same numbers of a common size."""
    table = {"a": SIZE, "b": COLOUR}
    plain = TabularRegressor(**SMALL).fit(table, SIZE).predict(table)
    found = TabularRegressor(**SMALL).fit(table, SIZE * scale).predict(table)
    np.testing.assert_allclose(found / scale, plain, atol=1e-3)


@pytest.mark.parametrize("codes", ["none", "all", "mixed"])
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
    net = TabularClassifier(**SMALL | {"hidden_layer_sizes": hidden, "members": 3}, codes=codes)
    net.fit(table, CLASSES)
    member, encoding = net.members_[2], net.encoding_
    assert member.kind == {"none": "plain", "all": "pieces", "mixed": "periodic"}[codes]
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
