"""TabularClassifier and TabularRegressor: answers, folds, kinds of tables, mistakes."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastnn.sklearn import TabularClassifier, TabularRegressor

SMALL = {"members": 2, "hidden_layer_sizes": (32,), "max_epochs": 20, "random_state": 0}
# Members hold other rows out, and first weights look at other rows, where a row is there twice.
FAILS = {
    "check_sample_weight_equivalence_on_dense_data": "rows are drawn for folds and first weights"
}


@parametrize_with_checks(
    [
        TabularClassifier(2, hidden_layer_sizes=(32,), max_epochs=20),
        TabularRegressor(2, hidden_layer_sizes=(32,), max_epochs=60),
    ],
    expected_failed_checks=lambda _: FAILS,
)
def test_check(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


def _mixed(n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    size = rng.normal(size=n)
    colour = rng.choice(np.array(["red", "green", "blue"], dtype=object), n)
    y = (size > 0).astype(int) ^ (colour == "red").astype(int)
    size[rng.random(n) < 0.1] = np.nan
    colour[rng.random(n) < 0.1] = None
    return {"size": size, "colour": colour}, np.array(["no", "yes"])[y]


def test_learns_iris():
    x, y = load_iris(return_X_y=True)
    net = TabularClassifier(random_state=0, members=3).fit(x[::2], y[::2])
    assert net.score(x[1::2], y[1::2]) > 0.93
    proba = net.predict_proba(x)
    assert proba.shape == (150, 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-6)


def test_learns_numbers_with_gaps_and_categories():
    table, y = _mixed(600)
    net = TabularClassifier(random_state=0, members=2, max_epochs=30).fit(table, y)
    test, expected = _mixed(600, 1)
    assert net.score(test, expected) > 0.85  # a tenth of each column is missing
    assert net.classes_.tolist() == ["no", "yes"]


def test_learns_diabetes():
    x, y = load_diabetes(return_X_y=True)
    net = TabularRegressor(random_state=0, members=3).fit(x[::2], y[::2])
    assert net.score(x[1::2], y[1::2]) > 0.4
    assert net.predict(x).min() >= y[::2].min()


def test_learns_breast_cancer():
    x, y = load_breast_cancer(return_X_y=True)
    net = TabularClassifier(random_state=0, members=3).fit(x[::2], y[::2])
    assert net.score(x[1::2], y[1::2]) > 0.95


def test_several_outputs():
    x, y = load_diabetes(return_X_y=True)
    both = np.stack([y, -2 * y + x[:, 0]], axis=1)
    net = TabularRegressor(random_state=0, members=2).fit(x, both)
    found = net.predict(x)
    assert found.shape == both.shape
    assert np.corrcoef(found[:, 1], both[:, 1])[0, 1] > 0.6


def test_labels_that_do_not_exclude_each_other():
    x, y = load_iris(return_X_y=True)
    labels = np.stack([y == 0, y > 0, y == 2], axis=1).astype(int)
    net = TabularClassifier(**SMALL | {"max_epochs": 100}).fit(x, labels)
    assert net.predict(x).shape == labels.shape
    assert (net.predict(x) == labels).mean() > 0.9
    assert net.predict_proba(x).shape == labels.shape


def test_tables_of_all_kinds_give_equal_answers():
    pd = pytest.importorskip("pandas")
    pl = pytest.importorskip("polars")
    table, y = _mixed(100)
    test, _ = _mixed(20, 1)
    expected = TabularClassifier(**SMALL).fit(table, y).predict_proba(test)
    for kind in (pd.DataFrame, lambda t: pl.DataFrame(pd.DataFrame(t))):
        found = TabularClassifier(**SMALL).fit(kind(table), y).predict_proba(kind(test))
        np.testing.assert_array_equal(found, expected)


def test_a_mapping_has_no_order():
    table, y = _mixed(100)
    net = TabularClassifier(**SMALL).fit(table, y)
    turned = {"colour": table["colour"], "size": table["size"]}
    np.testing.assert_array_equal(net.predict_proba(turned), net.predict_proba(table))


def test_folds_hold_out_each_row_once():
    table, y = _mixed(103)
    net = TabularClassifier(**SMALL | {"members": 5}).fit(table, y)
    assert sorted(np.bincount(net.folds_)) == [20, 20, 21, 21, 21]
    counts = np.array([np.bincount(net.folds_[y == label]) for label in ("no", "yes")])
    assert np.ptp(counts, axis=1).max() <= 1
    assert net.oof_.shape == (103, 2)
    assert np.isfinite(net.oof_).all()
    # Rows of fold 0 are answered by the member that did not learn from them, and by no other.
    only = net.members_[0].model
    rows = net.encoding_.rows(net.encoding_.raw(net._frame(table)))[net.folds_ == 0]
    z = only.predict(rows, verbose=0)
    np.testing.assert_allclose(net.oof_[net.folds_ == 0], net._answers_of(z), rtol=1e-12)


def test_seed_decides():
    table, y = _mixed(100)
    first, same, other = (
        TabularClassifier(**SMALL | {"random_state": seed}).fit(table, y).predict_proba(table)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-4


def test_class_weight():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    y = (x[:, 0] + rng.normal(size=400) > 1.7).astype(int)
    plain = TabularClassifier(**SMALL).fit(x, y).predict(x).mean()
    balanced = TabularClassifier(**SMALL, class_weight="balanced").fit(x, y).predict(x).mean()
    assert balanced > plain + 0.1


def test_pickle_and_clone():
    table, y = _mixed(60)
    net = TabularClassifier(**SMALL).fit(table, y)
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.predict_proba(table), net.predict_proba(table))
    assert clone(net).get_params() == net.get_params()


def test_columns_that_fit_had_not():
    table, y = _mixed(60)
    net = TabularClassifier(**SMALL).fit(table, y)
    with pytest.raises(
        ValueError, match=r"(?s)unseen at fit time:\n- shape.*now missing:\n- colour"
    ):
        net.predict({"size": table["size"], "shape": table["colour"]})
    with pytest.raises(ValueError, match="column 'size': fit had numbers, and these are texts"):
        net.predict({"size": table["colour"], "colour": table["colour"]})


def test_unseen_levels_are_answered():
    table, y = _mixed(60)
    net = TabularClassifier(**SMALL).fit(table, y)
    found = net.predict_proba({"size": [0.0, 0.0], "colour": ["violet", None]})
    np.testing.assert_array_equal(found[0], found[1])


def test_time_limit_leaves_members_out():
    table, y = _mixed(500)
    net = TabularClassifier(4, max_epochs=10**6, time_limit=0.3, random_state=0).fit(table, y)
    assert len(net.members_) < 4
    assert net.score(table, y) > 0.6


@pytest.mark.parametrize(("given", "message"), [([1.0] * 60, "one class"), (None, "requires y")])
def test_y_that_cannot_be_learned(given, message):
    with pytest.raises(ValueError, match=message):
        TabularClassifier(**SMALL).fit(_mixed(60)[0], given)
