"""The estimators by themselves: kinds of X and y, what they have more than scikit-learn's, copies."""

from __future__ import annotations

import copy
import doctest
import importlib
import pickle
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn.neural_network")
sparse = pytest.importorskip("scipy.sparse")

from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastnn
from fastnn.sklearn import MLPClassifier, MLPRegressor

RNG = np.random.default_rng(7)
X = RNG.normal(size=(120, 6))
X[np.abs(X) < 0.5] = 0.0
CLASSES = np.array(["dog", "cat", "owl"])[np.digitize(X[:, 0] + X[:, 1], [-0.5, 0.6])]
NUMBERS = X[:, 0] - 2 * X[:, 1]
WEIGHTS = RNG.uniform(0.1, 4.0, size=120)


@pytest.fixture(autouse=True)
def unconverged():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def classifier(**given):
    return MLPClassifier(**{"hidden_layer_sizes": (8,), "random_state": 1, "max_iter": 10, **given})


def regressor(**given):
    options = {"hidden_layer_sizes": (8,), "random_state": 1, "max_iter": 10, **given}
    return MLPRegressor(**options)


def same(one, other, atol=0.0):
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


# -- kinds of X


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_array])
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 32},
        {"solver": "sgd", "early_stopping": True},
        {"solver": "lbfgs"},
        {"scale": True, "batch_size": 50, "class_weight": {"dog": 2.0, "owl": 0.5}},
    ],
    ids=["adam", "early", "lbfgs", "scale"],
)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
def test_sparse_rows_are_as_dense_ones(kind, options, weights):
    options = {"alpha": 0.1, **options}
    dense = classifier(**options).fit(X, CLASSES, sample_weight=weights)
    other = classifier(**options).fit(kind(X), CLASSES, sample_weight=weights)
    same(dense, other, 1e-9)
    np.testing.assert_allclose(other.predict_proba(kind(X)), dense.predict_proba(X), atol=1e-9)
    assert other.predict(kind(X)).tolist() == dense.predict(X).tolist()
    if "solver" not in options:
        np.testing.assert_allclose(other.loss_curve_, dense.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("options", [{}, {"scale": True}, {"early_stopping": True}])
def test_sparse_rows_are_never_an_array(options, monkeypatch):
    def refused(*_given, **_how):
        raise AssertionError("toarray")

    monkeypatch.setattr(sparse.csr_matrix, "toarray", refused)
    x = sparse.csr_matrix(X)
    classifier(**options).fit(x, CLASSES).predict(x)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
def test_types_of_rows(dtype):
    x = (X > 0).astype(dtype)
    mlp = classifier().fit(x, CLASSES)
    expected = "float32" if dtype == "float32" else "float64"
    assert {a.dtype.name for a in mlp.coefs_ + mlp.intercepts_} == {expected}
    assert mlp.predict_proba(x).dtype == expected
    np.testing.assert_allclose(
        mlp.predict_proba(x), mlp.predict_proba(np.asfortranarray(x)), atol=1e-6
    )


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_names_of_columns_are_checked(package):
    tables = pytest.importorskip(package)
    table = tables.DataFrame({name: X[:, i] for i, name in enumerate("abcdef")})
    mlp = classifier().fit(table, CLASSES)
    assert mlp.feature_names_in_.tolist() == list("abcdef")
    mlp.predict(table)
    with pytest.raises(ValueError, match="feature names"):
        mlp.predict(table[list("bacdef")])
    with pytest.warns(UserWarning, match="valid feature names"):
        mlp.predict(X)


def test_bad_rows_are_refused_as_in_scikit_learn():
    mlp = classifier().fit(X, CLASSES)
    for bad, told in (
        (np.full((2, 6), np.nan), "contains NaN"),
        (np.ones((2, 5)), "X has 5 features"),
        (np.ones(6), "2D array"),
        (np.ones((0, 6)), "0 sample"),
    ):
        with pytest.raises(ValueError, match=told):
            mlp.predict_proba(bad)


@pytest.mark.cpu  # a device has other last bits than what answers to few rows
def test_few_rows_and_many_are_answered_alike():
    mlp = classifier().fit(X, CLASSES)
    many = np.concatenate([X] * 4)
    np.testing.assert_array_equal(mlp.predict_proba(many)[:120], mlp.predict_proba(X))
    np.testing.assert_allclose(mlp.predict_proba(X[:1])[0], mlp.predict_proba(X)[0], rtol=1e-12)


# -- kinds of y


def test_labels_that_do_not_exclude_each_other():
    y = np.stack([X[:, 0] > 0, X[:, 1] > 0], axis=1).astype(int)
    mlp = classifier(max_iter=200, learning_rate_init=0.02).fit(X, y)
    assert mlp.predict(X).shape == (120, 2)
    assert mlp.score(X, y) > 0.8
    assert mlp.out_activation_ == "logistic"


def test_a_single_class():
    mlp = classifier().fit(X, ["only"] * 120)
    assert mlp.predict(X[:3]).tolist() == ["only"] * 3


def test_numbers_far_from_zero_are_learnt_with_scale():
    y = 1e5 + 1e4 * np.stack([NUMBERS, X[:, 2]], axis=1)
    without = regressor(max_iter=50, learning_rate_init=0.02).fit(X, y)
    scaled = regressor(max_iter=50, learning_rate_init=0.02, scale=True).fit(X, y)
    assert without.score(X, y) < 0
    assert scaled.score(X, y) > 0.9
    np.testing.assert_allclose(scaled.y_mean_, y.mean(axis=0))
    np.testing.assert_allclose(scaled.y_scale_, y.std(axis=0))
    by_hand = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), regressor(max_iter=50, learning_rate_init=0.02)),
        transformer=StandardScaler(),
    ).fit(X, y)
    np.testing.assert_allclose(scaled.predict(X), by_hand.predict(X), rtol=1e-6)


@pytest.mark.parametrize("loss", ["absolute_error", "quantile", "gamma", "huber"])
def test_more_losses_of_numbers(loss):
    mlp = regressor(loss=loss, max_iter=100, learning_rate_init=0.01)
    y = np.exp(NUMBERS / 2) if loss == "gamma" else NUMBERS
    mlp.fit(X, y)
    assert mlp.out_activation_ == ("exp" if loss == "gamma" else "identity")
    assert mlp.loss_curve_[-1] < mlp.loss_curve_[0]


@pytest.mark.parametrize(
    ("cls", "loss"),
    [
        (MLPRegressor, "log_loss"),
        (MLPRegressor, fastnn.losses.Hinge()),
        (MLPClassifier, "mean_squared_error"),
        (MLPClassifier, fastnn.losses.BinaryFocalCrossentropy()),
        (MLPClassifier, "hinge"),
    ],
)
def test_losses_of_another_kind_are_refused(cls, loss):
    with pytest.raises(ValueError, match="loss"):
        cls(loss=loss).fit(X, CLASSES if cls is MLPClassifier else NUMBERS)


def test_weights_of_classes():
    y = np.where(X[:, 0] > 1.2, "rare", "common")
    plain = classifier(max_iter=60, batch_size=20).fit(X, y)
    balanced = classifier(max_iter=60, batch_size=20, class_weight="balanced").fit(X, y)
    heavy = classifier(max_iter=60, batch_size=20, class_weight={"rare": 50.0}).fit(X, y)
    means = [mlp.predict_proba(X)[:, 1].mean() for mlp in (plain, balanced, heavy)]
    assert means[0] < means[1] < means[2]


# -- what there is more


def test_dropout_and_layer_norm_change_training_alone():
    one = classifier(dropout=0.5, layer_norm=True).fit(X, CLASSES)
    kinds = [type(layer).__name__ for layer in one.model_.layers]
    assert kinds == ["Dense", "LayerNormalization", "Activation", "Dropout", "Dense"]
    np.testing.assert_array_equal(one.predict_proba(X), one.predict_proba(X))
    same(one, classifier(dropout=0.5, layer_norm=True).fit(X, CLASSES))
    again = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(again.predict_proba(X), one.predict_proba(X))


def test_layer_norms_go_on_in_a_warm_start():
    mlp = classifier(layer_norm=True, warm_start=True, learning_rate_init=0.05).fit(X, CLASSES)
    gamma = mlp.model_.layers[1].gamma.numpy()
    assert (gamma != 1).any()
    mlp.set_params(learning_rate_init=1e-12).fit(X, CLASSES)
    np.testing.assert_allclose(mlp.model_.layers[1].gamma.numpy(), gamma, atol=1e-6)


def test_an_optimizer_and_a_schedule():
    schedule = fastnn.optimizers.schedules.CosineDecay(0.05, 40)
    optimizer = fastnn.optimizers.AdamW(0.01, clipnorm=1.0)
    mlp = classifier(optimizer=optimizer, schedule=schedule).fit(X, CLASSES)
    assert mlp.loss_curve_[-1] < mlp.loss_curve_[0]
    assert optimizer.iterations == 0  # the caller's is not changed
    same(mlp, classifier(optimizer=optimizer, schedule=schedule).fit(X, CLASSES))
    with pytest.raises(ValueError, match="schedule"):
        classifier(solver="lbfgs", schedule=schedule).fit(X, CLASSES)


def test_validation_data_and_monitor():
    data = (X[80:], CLASSES[80:])
    mlp = classifier(validation_data=data, monitor="val_loss", max_iter=500, tol=1e-3)
    mlp.set_params(n_iter_no_change=3, learning_rate_init=0.05).fit(X[:80], CLASSES[:80])
    assert mlp.n_iter_ < 500
    losses = mlp.history_["val_loss"]
    assert min(losses[-4:]) > min(losses) - 1e-3
    stops = classifier(validation_data=data, early_stopping=True, max_iter=40).fit(
        X[:80], CLASSES[:80]
    )
    assert stops.best_validation_score_ == pytest.approx(stops.score(*data))
    with pytest.raises(ValueError, match="val_loss"):
        classifier(monitor="val_loss").fit(X, CLASSES)
    with pytest.raises(ValueError, match="classes that y of fit has not"):
        classifier(validation_data=(X[:2], ["dog", "cow"])).fit(X, CLASSES)


@pytest.mark.parametrize("trains", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("validates", [np.asarray, sparse.csr_matrix])
def test_rows_to_validate_on_may_be_sparse_or_not(trains, validates):
    data = (validates(X[80:]), CLASSES[80:], WEIGHTS[80:])
    mlp = classifier(validation_data=data, early_stopping=True).fit(trains(X[:80]), CLASSES[:80])
    score = mlp.score(X[80:], CLASSES[80:], sample_weight=WEIGHTS[80:])
    assert mlp.best_validation_score_ == pytest.approx(score)


def test_the_best_weights_are_those_that_remain():
    mlp = classifier(early_stopping=True, learning_rate_init=0.2, solver="sgd", max_iter=60)
    mlp.fit(X, CLASSES)
    assert mlp.best_validation_score_ == max(mlp.validation_scores_)
    by_epoch = classifier(
        early_stopping=True, learning_rate_init=0.2, solver="sgd", max_iter=60, callbacks=[Looks()]
    ).fit(X, CLASSES)
    same(mlp, by_epoch)
    assert mlp.validation_scores_ == by_epoch.validation_scores_


class Looks(fastnn.callbacks.Callback):
    """A callback that acts between epochs, so that no two of them are one native call."""

    def __init__(self):
        super().__init__()
        self.epochs = 0

    def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
        self.epochs += 1


@pytest.mark.parametrize("monitor", ["val_loss", "val_mean_squared_error", "val_mae", "loss"])
@pytest.mark.parametrize("y", [NUMBERS, np.stack([NUMBERS, X[:, 2]], axis=1)], ids=["one", "two"])
def test_other_numbers_are_monitored(monitor, y):
    mlp = regressor(monitor=monitor, early_stopping=True, max_iter=5).fit(X, y)
    assert mlp.validation_scores_ == mlp.history_[monitor]
    assert mlp.best_validation_score_ == min(mlp.validation_scores_)


def test_rules_are_the_same_natively_and_between_epochs():
    for options in (
        {"tol": 0.01},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.03, "learning_rate_init": 0.3},
        {"early_stopping": True},
    ):
        given = {"max_iter": 200, "n_iter_no_change": 3, "batch_size": 50, **options}
        looks = Looks()
        one = classifier(**given).fit(X, CLASSES)
        other = classifier(**given, callbacks=[looks]).fit(X, CLASSES)
        assert looks.epochs == one.n_iter_ == other.n_iter_ < 200
        assert one.loss_curve_ == other.loss_curve_
        same(one, other)
    y = np.stack([NUMBERS, X[:, 2]], axis=1)  # whose loss is made of two numbers
    given = {"max_iter": 400, "alpha": 1.0, "tol": 1e-3, "learning_rate_init": 0.01}
    one = regressor(**given).fit(X, y)
    other = regressor(**given, callbacks=[Looks()]).fit(X, y)
    assert one.n_iter_ == other.n_iter_ < 400
    same(one, other)


def test_callbacks_may_end_training():
    class Ends(fastnn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
            self.model.stop_training = epoch == 2

    assert classifier(callbacks=[Ends()]).fit(X, CLASSES).n_iter_ == 3


def test_an_interrupted_fit_keeps_its_epochs():
    class Interrupts(fastnn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
            if epoch == 3:
                raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted"):
        mlp = classifier(callbacks=[Interrupts()]).fit(X, CLASSES)
    assert mlp.n_iter_ == len(mlp.loss_curve_) == 3
    assert mlp.predict(X).shape == (120,)


def test_verbose_prints_each_epoch(capsys):
    classifier(verbose=True, max_iter=3).fit(X, CLASSES)
    assert capsys.readouterr().out.count("Iteration") == 3


def test_divergence_is_an_error_with_a_hint():
    with pytest.raises(ValueError, match="non-finite") as error:
        regressor(solver="sgd", learning_rate_init=10.0, activation="identity").fit(
            X, 1e6 * NUMBERS
        )
    assert isinstance(error.value.__cause__, fastnn.TrainingDiverged)


@pytest.mark.cpu
def test_the_model_goes_elsewhere(tmp_path):
    mlp = classifier(scale=True).fit(X.astype("float32"), CLASSES)
    mlp.model_.save(tmp_path / "m.safetensors")
    model = fastnn.load_model(tmp_path / "m.safetensors")
    np.testing.assert_allclose(
        model.predict(X.astype("float32")), mlp.predict_proba(X.astype("float32"))
    )
    plain = classifier().fit(X, CLASSES)
    made = fastnn.from_sklearn(plain)
    np.testing.assert_allclose(made.predict(X), plain.predict_proba(X), atol=1e-12)
    with pytest.raises(ValueError, match=r"scale=True; its model is mlp\.model_"):
        fastnn.from_sklearn(mlp)


# -- weights set from outside, copies, threads


def test_weights_may_be_set():
    mlp = classifier().fit(X, CLASSES)
    before = mlp.predict_proba(X)
    with pytest.raises(ValueError, match="read-only"):
        mlp.coefs_[0][0, 0] = 1.0
    mlp.coefs_[-1] = np.zeros((8, 3))
    mlp.intercepts_ = [mlp.intercepts_[0], np.zeros(3)]
    np.testing.assert_allclose(mlp.predict_proba(X), 1 / 3)
    own = mlp.intercepts_[-1]
    own[0] = 100.0  # also in place
    assert (mlp.predict_proba(X).argmax(axis=1) == 0).all()
    mlp.partial_fit(X, CLASSES)
    assert (mlp.predict_proba(X).argmax(axis=1) == 0).all()
    assert not np.array_equal(before, mlp.predict_proba(X))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_go_on_alike(copied):
    mlp = classifier().fit(X, CLASSES)
    other = copied(mlp)
    same(mlp, other)
    np.testing.assert_array_equal(other.predict_proba(X), mlp.predict_proba(X))
    same(mlp.partial_fit(X, CLASSES), other.partial_fit(X, CLASSES))
    assert clone(mlp).get_params()["hidden_layer_sizes"] == (8,)


def test_a_pickle_in_another_process(tmp_path):
    mlp = classifier().fit(X, CLASSES)
    (tmp_path / "mlp.pickle").write_bytes(pickle.dumps((mlp, X)))
    code = (
        "import pickle, sys; m, x = pickle.load(open(sys.argv[1], 'rb'));"
        "sys.stdout.write(repr(m.predict_proba(x).sum(axis=0).tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "mlp.pickle")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == repr(mlp.predict_proba(X).sum(axis=0).tolist())


def test_many_threads_predict_at_once():
    mlp = classifier().fit(X, CLASSES)
    expected = mlp.predict_proba(X)
    wrong = []

    def ask():
        for _ in range(20):
            if not np.array_equal(mlp.predict_proba(X), expected):
                wrong.append(1)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_grid_in_a_pipeline_with_routed_weights():
    import sklearn

    pipeline = make_pipeline(StandardScaler(), classifier(max_iter=30))
    grid = {"mlpclassifier__alpha": [1e-4, 10.0]}
    found = GridSearchCV(pipeline, grid, cv=2).fit(X, CLASSES)
    assert found.best_params_["mlpclassifier__alpha"] == 1e-4
    with sklearn.config_context(enable_metadata_routing=True):
        mlp = classifier().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        GridSearchCV(mlp, {"alpha": [1e-4]}, cv=2).fit(X, CLASSES, sample_weight=np.ones(120))


def test_threads_of_joblib_train_at_once():
    grid = GridSearchCV(classifier(max_iter=20), {"alpha": [1e-4, 1.0]}, cv=2, n_jobs=1)
    with pytest.importorskip("joblib").parallel_config("threading", n_jobs=2):
        threaded = clone(grid).set_params(n_jobs=2).fit(X, CLASSES)
    alone = grid.fit(X, CLASSES)
    np.testing.assert_array_equal(
        threaded.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )


def test_examples_of_the_docstrings():
    for name in ("fastnn.sklearn", "fastnn.sklearn.classifier", "fastnn.sklearn.regressor"):
        done = doctest.testmod(importlib.import_module(name))
        assert done.attempted > 2
        assert not done.failed


def test_without_scikit_learn_the_error_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None; import fastnn; import fastnn.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install '.[sklearn]'" in done.stderr.splitlines()[-1]
