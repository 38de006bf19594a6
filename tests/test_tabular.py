"""TabularClassifier and TabularRegressor: answers, folds, kinds of tables, mistakes."""

from __future__ import annotations

import doctest
import importlib
import pickle
import threading
import time
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastnn
from fastnn.sklearn import TabularClassifier, TabularRegressor, load_table_estimator
from fastnn.sklearn.tabular import members
from fastnn.sklearn.tabular.recipe import epochs_after

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
    from fastnn.sklearn.tabular.temperature import tempered

    table, y = _mixed(103)
    net = TabularClassifier(**SMALL | {"members": 5}).fit(table, y)
    assert sorted(np.bincount(net.folds_)) == [20, 20, 21, 21, 21]
    counts = np.array([np.bincount(net.folds_[y == label]) for label in ("no", "yes")])
    assert np.ptp(counts, axis=1).max() <= 1
    assert net.oof_.shape == (103, 2)
    assert np.isfinite(net.oof_).all()
    # Rows of fold 0 are answered by the member that did not learn from them, and by no other.
    only = net.members_[0].model
    z = only.predict(net.encoding_.raw(net._frame(table))[net.folds_ == 0], verbose=0)
    found = net.temperature_ / (1 - 0.12 * (1 - 1 / 5))  # of one member
    expected = tempered(net._answers_of(z), found)
    np.testing.assert_allclose(net.oof_[net.folds_ == 0], expected, rtol=1e-9)
    assert found != 1.0


def test_seed_decides():
    table, y = _mixed(100)
    first, same, other = (
        TabularClassifier(**SMALL | {"random_state": seed}).fit(table, y).predict_proba(table)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-4


def test_threads_change_no_bit():
    table, y = _mixed(200)
    given = SMALL | {"members": 6, "max_epochs": "auto"}
    one = TabularClassifier(**given, n_jobs=1).fit(table, y)
    for jobs in (2, 3, 4):
        two = TabularClassifier(**given, n_jobs=jobs).fit(table, y)
        np.testing.assert_array_equal(one.predict_proba(table), two.predict_proba(table))
        np.testing.assert_array_equal(one.oof_, two.oof_)
        assert one.temperature_ == two.temperature_
        assert [m.epochs for m in one.members_] == [m.epochs for m in two.members_]


def test_rows_without_weight_are_not_there():
    table, y = _mixed(120)
    weights = np.where(np.arange(120) % 4 == 0, 0.0, 1.0)
    kept = weights > 0
    fewer = {name: column[kept] for name, column in table.items()}
    ones = np.ones(int(kept.sum()))
    expected = TabularClassifier(**SMALL).fit(fewer, y[kept], ones)
    found = TabularClassifier(**SMALL).fit(table, y, weights)
    np.testing.assert_array_equal(found.predict_proba(table), expected.predict_proba(table))
    np.testing.assert_array_equal(found.oof_[kept], expected.oof_)
    assert np.isnan(found.oof_[~kept]).all()
    assert (found.folds_[~kept] == -1).all()
    assert len(found.targets_) == 120
    np.testing.assert_array_equal(found.feature_importances_, expected.feature_importances_)


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


def test_many_levels_are_encoded_by_the_dense_layer():
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 500, 1000).astype(str).astype(object)
    y = np.array([len(set(level)) for level in levels])
    net = TabularClassifier(**SMALL).fit({"a": levels}, y)
    assert [type(layer).__name__ for layer in net.members_[0].model.layers[:2]] == [
        "ColumnEncoding",
        "Dense",
    ]
    assert net.score({"a": levels}, y) > 0.8  # the most frequent class has 0.6
    few = TabularClassifier(**SMALL).fit(*_mixed(60))
    kinds = [type(layer).__name__ for layer in few.members_[1].model.layers]
    assert kinds == ["ColumnEncoding", "Scale", "Dense", "Dense"]


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


# -- what follows from answers


def test_quantiles_are_in_order_and_cover():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(1500, 1))
    y = x[:, 0] + (0.1 + x[:, 0]) * rng.normal(size=1500)
    net = TabularRegressor(3, quantiles=(0.9, 0.1, 0.5), random_state=0).fit(x[:1000], y[:1000])
    found = net.predict_quantiles(x[1000:])
    assert found.shape == (500, 3)
    assert (np.diff(found, axis=1) >= 0).all()
    below = (y[1000:, None] < found).mean(axis=0)
    np.testing.assert_allclose(below, [0.1, 0.5, 0.9], atol=0.06)
    np.testing.assert_array_equal(net.predict(x), net.predict_quantiles(x)[:, 1])
    assert net.score(x, y) > 0.05


def test_quantiles_of_several_outputs():
    x = np.linspace(0, 1, 60)[:, None]
    y = np.hstack([x, 5 - x])
    net = TabularRegressor(**SMALL, quantiles=[0.2, 0.8]).fit(x, y)
    found = net.predict_quantiles(x)
    assert found.shape == (60, 2, 2)
    assert net.predict(x).shape == (60, 2)
    assert abs(found[:, 1].mean() - 4.5) < 0.5


@pytest.mark.parametrize("quantiles", [[], [0.0], [0.5, 1.0]])
def test_quantiles_that_are_none(quantiles):
    with pytest.raises(ValueError, match="quantiles: expected numbers above 0 and below 1"):
        TabularRegressor(**SMALL, quantiles=quantiles).fit([[1.0], [2.0]], [1.0, 2.0])


def test_spread_is_that_of_the_members():
    table, y = _mixed(100)
    net = TabularClassifier(**SMALL, calibrate=False).fit(table, y)
    found, spread = net.predict_proba(table, return_std=True)
    each = net._each(table)
    mean = np.average(each, axis=0, weights=net.weights_)
    np.testing.assert_allclose(found, mean)
    np.testing.assert_allclose(
        spread**2, np.average((each - mean) ** 2, axis=0, weights=net.weights_)
    )
    x, y = load_diabetes(return_X_y=True)
    numbers = TabularRegressor(**SMALL).fit(x, y)
    found, spread = numbers.predict(x, return_std=True)
    each = numbers._each(x)[..., 0]
    mean = np.average(each, axis=0, weights=numbers.weights_)
    np.testing.assert_allclose(
        spread**2, np.average((each - mean) ** 2, axis=0, weights=numbers.weights_)
    )


def test_kinds_of_members_count_by_their_losses():
    x = np.random.default_rng(0).uniform(size=(300, 2))
    y = (np.floor(8 * x[:, 0]) % 2).astype(int)  # which codes show
    net = TabularClassifier(members=6, max_epochs=30, random_state=0).fit(x, y)
    assert [member.kind for member in net.members_] == ["plain", "pieces", "periodic"] * 2
    found = [member.curve["val_loss"][member.epoch] for member in net.members_]
    means = np.array([np.mean(found[k::3]) for k in range(3)])
    assert means.max() > 1.1 * means.min()
    expected = np.tile(means**-4, 2)
    np.testing.assert_allclose(net.weights_, expected / expected.sum())
    half = TabularClassifier(members=3, max_epochs=2, codes="half").fit(x, y)
    assert [member.kind for member in half.members_] == ["plain", "pieces", "plain"]


def test_periodic_codes_need_numbers_and_not_too_many_inputs():
    """A table of many levels is encoded by the dense layer; one without numbers has no waves."""
    rng = np.random.default_rng(0)
    number, few = rng.normal(size=400), rng.choice(["a", "b", "c"], 400)
    many = np.array([f"level {i % 399}" for i in range(400)], object)
    given: Any = {"members": 3, "hidden_layer_sizes": (8,), "max_epochs": 1}
    for table, last in (
        ({"a": number, "b": few}, "periodic"),
        ({"b": few}, "plain"),
        ({"a": np.ones(400), "b": few}, "plain"),
        ({"a": number, "c": many}, "plain"),
    ):
        kinds = [member.kind for member in TabularRegressor(**given).fit(table, number).members_]
        assert kinds[2] == last


def test_temperature_is_the_best():
    from fastnn.sklearn.tabular.temperature import temperature, tempered

    rng = np.random.default_rng(0)
    z = rng.normal(size=(4000, 3))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    targets = np.array([rng.multinomial(1, row) for row in p])
    wrong = tempered(p, 0.5)  # too sure
    assert abs(temperature(wrong, targets, None) - 2.0) < 0.1
    assert abs(temperature(tempered(p, 3.0), targets, None) - 1 / 3) < 0.03
    np.testing.assert_allclose(tempered(wrong, 2.0), p, atol=1e-6)
    one = np.stack([p[:, 0]], axis=1)
    assert (
        abs(temperature(tempered(one, 0.5, labels=True), targets[:, :1], None, labels=True) - 2)
        < 0.2
    )


def test_calibration_makes_held_out_rows_likelier():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 3))
    y = rng.random(800) < 1 / (1 + np.exp(-3 * x[:, 0]))
    net = TabularClassifier(**SMALL | {"members": 5}, label_smoothing=0.4).fit(x, y)
    assert net.temperature_ < 0.9  # label smoothing makes answers unsure
    test = rng.normal(size=(4000, 3))
    truth = 1 / (1 + np.exp(-3 * test[:, 0]))

    def loss(p):
        return -(truth * np.log(p[:, 1]) + (1 - truth) * np.log(p[:, 0])).mean()

    plain = net._mean(net._each(test))
    assert loss(net.predict_proba(test)) < loss(plain)


def test_few_rows_tell_no_temperature():
    x = np.arange(40.0)[:, None]
    assert TabularClassifier(**SMALL).fit(x, [0, 1] * 20).temperature_ == 1.0


def test_odd_tables():
    given = SMALL | {"max_epochs": 3}
    x = np.arange(30.0)[:, None]
    assert TabularRegressor(**given).fit(x, np.full(30, 5.0)).predict(x).tolist() == [5.0] * 30
    gaps = {"a": [None] * 30, "b": range(30)}
    assert TabularRegressor(**given).fit(gaps, x[:, 0]).predict({"a": [1.0], "b": [2]}).shape == (
        1,
    )
    flags = TabularClassifier(**given).fit({"a": [True, False] * 15}, ["x", "y"] * 15)
    assert flags.predict({"a": [True, None]}).shape == (2,)
    days = {"day": np.arange(30).astype("datetime64[D]")}
    assert TabularRegressor(**given).fit(days, x[:, 0]).predict({"day": ["1970-01-05"]}).shape == (
        1,
    )
    two = TabularRegressor(**given).fit([[1.0], [2.0]], [1.0, 2.0])
    assert two.oof_ is None
    assert 1.0 <= two.predict([[1.5]])[0] <= 2.0


def test_no_hidden_layer_is_a_linear_net():
    x = np.random.default_rng(0).normal(size=(200, 1))
    net = TabularRegressor(**SMALL | {"hidden_layer_sizes": ()}, codes="none").fit(x, x[:, 0])
    assert [type(layer).__name__ for layer in net.members_[0].model.layers][-2:] == [
        "Scale",
        "Dense",
    ]
    assert net.score(x, x[:, 0]) > 0.8


def test_importances_name_the_columns_that_count():
    table, y = _mixed(400)
    table["noise"] = np.random.default_rng(1).normal(size=400)
    net = TabularClassifier(random_state=0, members=2).fit(table, y)
    found = net.feature_importances_
    assert found.shape == (3,)
    assert abs(found.sum() - 1) < 1e-9
    assert found[2] < 0.1 < min(found[:2])


@pytest.mark.parametrize("labels", ["texts", "numbers", "booleans", "objects"])
def test_files_have_all_of_a_classifier(tmp_path, labels):
    table, y = _mixed(60)
    table["day"] = np.arange(60).astype("datetime64[D]")
    y = {
        "texts": y,
        "numbers": (y == "yes") * 3.0,
        "booleans": y == "yes",
        "objects": y.astype(object),
    }[labels]
    net = TabularClassifier(**SMALL, class_weight={y[0]: 2.0}).fit(table, y)
    net.save(tmp_path / "net.safetensors")
    again = load_table_estimator(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(again.predict_proba(table), net.predict_proba(table))
    np.testing.assert_array_equal(again.predict(table), net.predict(table))
    np.testing.assert_array_equal(again.oof_, net.oof_)
    np.testing.assert_array_equal(again.targets_, net.targets_)
    np.testing.assert_array_equal(again.feature_importances_, net.feature_importances_)
    assert again.get_params() == net.get_params()
    assert again.feature_names_in_.tolist() == ["size", "colour", "day"]
    assert again.members_[1].curve == net.members_[1].curve
    assert again.predict(table).dtype == net.predict(table).dtype
    with pytest.raises(ValueError, match="unseen at fit time"):
        again.predict({"a": [1.0]})
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (
        tmp_path / "net.safetensors"
    ).read_bytes()


def test_files_have_all_of_a_regressor(tmp_path):
    x, y = load_diabetes(return_X_y=True)
    for given in ({}, {"quantiles": [0.1, 0.9]}):
        net = TabularRegressor(**SMALL, **given).fit(x, np.stack([y, -y], axis=1))
        net.save(tmp_path / "net.safetensors")
        again = load_table_estimator(tmp_path / "net.safetensors")
        np.testing.assert_array_equal(again.predict(x), net.predict(x))
        if given:
            np.testing.assert_array_equal(again.predict_quantiles(x), net.predict_quantiles(x))


def test_files_that_are_damaged_or_another_kind(tmp_path):
    table, y = _mixed(60)
    net = TabularClassifier(**SMALL).fit(table, y)
    path = tmp_path / "net.safetensors"
    net.save(path)
    with pytest.raises(fastnn.ModelFileError, match=r"load_table_estimator"):
        fastnn.load_model(path)
    model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
    model.save(tmp_path / "model.safetensors")
    with pytest.raises(fastnn.ModelFileError, match="no estimator of tables"):
        load_table_estimator(tmp_path / "model.safetensors")
    whole = path.read_bytes()
    for wrong in (
        whole[:-1],
        whole.replace(b'\\"columns\\"', b'\\"columnz\\"'),
        whole.replace(b"TabularClassifier", b"TabularClassifieR"),
        whole.replace(b'\\"dropout\\"', b'\\"dropouT\\"'),
        whole.replace(b'\\"weights_\\"', b'\\"weights-\\"'),
        whole.replace(
            b'\\"classes_\\",{\\"by_name\\":[[\\"values\\",[',
            b'\\"classes_\\",{\\"by_name\\":[[\\"values\\",[1,',
        ),
        whole.replace(b'[\\"temperature_\\",1', b'[\\"temperature_\\",-'),
    ):
        assert wrong != whole
        path.write_bytes(wrong)
        with pytest.raises(fastnn.ModelFileError):
            load_table_estimator(path)


@pytest.mark.parametrize(
    "name",
    ["data.frame", "data.encoding", "sklearn.tabular.temperature", "sklearn.tabular.loading"]
    + ["sklearn.tabular.classifier", "sklearn.tabular.regressor"],
)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(f"fastnn.{name}")
    found = doctest.testmod(module, extraglobs={"np": np}, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted
    assert not found.failed


class _Never:
    """A `Stop` that is not set."""

    def __bool__(self) -> bool:
        return False


def _member(epoch: int) -> Any:
    return members.Member(None, "plain", epoch, 20, {})


def test_members_follow_the_first_of_their_own_kind_alone():
    """A thread never waits for a kind while a member of the other one is left."""
    turns, stop = members.Turns(["plain", "pieces"] * 3, 20, follow=True), _Never()
    assert [turns.take(stop), turns.take(stop)] == [(0, 20), (1, 20)]
    turns.ended(0, _member(2))
    assert [turns.take(stop), turns.take(stop)] == [(2, 6), (4, 6)]
    turns.ended(1, _member(19))
    assert [turns.take(stop), turns.take(stop)] == [(3, 25), (5, 25)]
    turns = members.Turns(["plain", "pieces"] * 3, 20, follow=False)
    assert [turns.take(stop) for _ in range(6)] == [(number, 20) for number in range(6)]


def test_a_thread_waits_for_the_first_of_a_kind():
    turns, taken = members.Turns(["pieces", "pieces"], 20, follow=True), []
    assert turns.take(_Never()) == (0, 20)
    thread = threading.Thread(target=lambda: taken.append(turns.take(_Never())))
    thread.start()
    time.sleep(0.05)
    assert taken == []
    turns.ended(0, _member(2))
    thread.join(10)
    assert taken == [(1, 6)]


def test_a_member_that_fails_ends_all(monkeypatch):
    trained = members._fit_one

    def fails(data, task, plan, *rest):
        if plan.kind == "pieces":
            raise ValueError("no luck")
        return trained(data, task, plan, *rest)

    monkeypatch.setattr(members, "_fit_one", fails)
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="no luck"):
        TabularClassifier(n_jobs=3, **SMALL).fit(X, y)


def test_later_members_are_as_long_as_the_first_of_their_kind_asks_for():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5))
    noisy = TabularClassifier(6, random_state=0).fit(x, (x[:, 0] + 3 * rng.normal(size=400)) > 0)
    clear = TabularRegressor(6, random_state=0).fit(x, np.sin(3 * x[:, 0]) * x[:, 1])
    for net in (noisy, clear):
        for first, later in ((0, 3), (1, 4), (2, 5)):
            pilot = net.members_[first]
            assert net.members_[first].kind == net.members_[later].kind
            expected = epochs_after(pilot.epoch + 1, pilot.epochs)
            assert net.members_[later].epochs == expected
    assert noisy.members_[3].epochs < noisy.members_[0].epochs / 2
    given = TabularClassifier(3, random_state=0, max_epochs=30).fit(
        x, x[:, 0] > rng.normal(size=400)
    )
    assert [member.epochs for member in given.members_] == [30, 30, 30]


@pytest.mark.parametrize(
    ("best", "epochs", "expected"),
    [(1, 20, 4), (3, 20, 6), (8, 20, 16), (9, 20, 20), (17, 20, 20), (18, 20, 25), (20, 20, 25)],
)
def test_lengths_of_later_members(best, epochs, expected):
    assert epochs_after(best, epochs) == expected


def test_answers_of_members_have_the_shape_of_predictions() -> None:
    x = np.random.default_rng(0).normal(size=(40, 2))
    given = {"members": 5, "max_epochs": 2, "random_state": 0}
    net = TabularRegressor(**given).fit(x, x[:, 0])
    assert net.oof_.shape == net.predict(x).shape
    net = TabularRegressor(**given, quantiles=(0.1, 0.9)).fit(x, x[:, 0])
    assert net.oof_.shape == net.predict_quantiles(x).shape
    net = TabularRegressor(**given).fit(x, x)
    assert net.oof_.shape == net.predict(x).shape
