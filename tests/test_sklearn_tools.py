"""The estimators among scikit-learn's tools: pipelines and searches, calibration, ensembles, routed weights,
tables with names, workers of joblib, files of models."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7", reason="its MLPs take weights of rows from 1.7 on")
joblib = pytest.importorskip("joblib")

import sklearn
from sklearn import neural_network as theirs
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, RegressorChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastnn.sklearn import MLPClassifier, MLPRegressor

RNG = np.random.default_rng(11)
X = RNG.normal(size=(120, 4))
CLASSES = np.array(["dog", "cat", "owl"])[np.digitize(X[:, 0] + X[:, 1], [-0.5, 0.6])]
NUMBERS = X[:, 0] - 2 * X[:, 1]
WEIGHTS = RNG.uniform(0.1, 4.0, size=120)
NAMES = list("abcd")
# Both packages take the same steps with these.
OPTIONS = {
    "hidden_layer_sizes": (8,),
    "random_state": 1,
    "max_iter": 15,
    "learning_rate_init": 0.02,
    "shuffle": False,
}


@pytest.fixture(autouse=True)
def unconverged():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def classifier(**given):
    return MLPClassifier(**{**OPTIONS, **given})


def regressor(**given):
    return MLPRegressor(**{**OPTIONS, **given})


# -- the same answers as scikit-learn's estimators in the same tools

TOOLS = {
    "pipeline": lambda mlp: (
        make_pipeline(StandardScaler(), mlp)
        .fit(X, CLASSES, **{f"{type(mlp).__name__.lower()}__sample_weight": WEIGHTS})
        .predict_proba(X)
    ),
    "calibrated": lambda mlp: (
        CalibratedClassifierCV(mlp, cv=3).fit(X, CLASSES, sample_weight=WEIGHTS).predict_proba(X)
    ),
    "isotonic": lambda mlp: (
        CalibratedClassifierCV(mlp, method="isotonic", cv=2)
        .fit(X, CLASSES, sample_weight=WEIGHTS)
        .predict_proba(X)
    ),
    "grid": lambda mlp: (
        GridSearchCV(mlp, {"alpha": [1e-4, 10.0], "activation": ["tanh", "relu"]}, cv=2)
        .fit(X, CLASSES)
        .cv_results_["mean_test_score"]
    ),
    "halving": lambda mlp: (
        HalvingGridSearchCV(mlp, {"alpha": [1e-4, 1.0, 10.0]}, cv=2, random_state=0)
        .fit(X, CLASSES)
        .cv_results_["mean_test_score"]
    ),
    "halving of epochs": lambda mlp: (
        HalvingGridSearchCV(
            mlp,
            {"alpha": [1e-4, 1.0, 10.0]},
            cv=2,
            random_state=0,
            resource="max_iter",
            min_resources=2,
            max_resources=20,
        )
        .fit(X, CLASSES)
        .cv_results_["mean_test_score"]
    ),
    "scores": lambda mlp: cross_val_score(mlp, X, CLASSES, cv=3),
    "weighted scores": lambda mlp: cross_validate(
        mlp, X, CLASSES, cv=3, params={"sample_weight": WEIGHTS}
    )["test_score"],
    "predictions": lambda mlp: cross_val_predict(mlp, X, CLASSES, method="predict_log_proba"),
    "curve": lambda mlp: learning_curve(mlp, X, CLASSES, cv=2, exploit_incremental_learning=True)[
        2
    ],
    "bagging": lambda mlp: (
        BaggingClassifier(mlp, 3, random_state=0).fit(X, CLASSES).predict_proba(X)
    ),
    "voting": lambda mlp: (
        VotingClassifier([("a", mlp), ("b", mlp)], voting="soft").fit(X, CLASSES).predict_proba(X)
    ),
    "stacking": lambda mlp: StackingClassifier([("a", mlp)], cv=2).fit(X, CLASSES).predict_proba(X),
    "one for each class": lambda mlp: (
        OneVsRestClassifier(mlp)
        .partial_fit(X, CLASSES, classes=np.unique(CLASSES))
        .predict_proba(X)
    ),
    "several targets": lambda mlp: (
        MultiOutputClassifier(mlp)
        .fit(X, np.stack([CLASSES, CLASSES[::-1]], axis=1))
        .predict_proba(X)[1]
    ),
    "importance": lambda mlp: (
        permutation_importance(
            mlp.fit(X, CLASSES), X, CLASSES, n_repeats=2, random_state=0
        ).importances
    ),
}


@pytest.mark.cpu  # the other device has other last bits, and a search may then choose otherwise
@pytest.mark.parametrize("name", TOOLS)
def test_tools_of_classifiers(name):
    tool = TOOLS[name]
    expected = tool(theirs.MLPClassifier(**OPTIONS))
    np.testing.assert_allclose(tool(classifier()), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.cpu
def test_tools_of_regressors():
    y = np.stack([100 * NUMBERS, X[:, 2]], axis=1)
    for tool in (
        lambda mlp: TransformedTargetRegressor(mlp, transformer=StandardScaler()).fit(X, y),
        lambda mlp: RegressorChain(mlp).fit(X, y),
        lambda mlp: make_pipeline(StandardScaler(), mlp).fit(X, y),
    ):
        expected = tool(theirs.MLPRegressor(**OPTIONS)).predict(X)
        np.testing.assert_allclose(tool(regressor()).predict(X), expected, rtol=1e-6, atol=1e-7)


def test_weights_are_routed():
    with sklearn.config_context(enable_metadata_routing=True):
        mlp = classifier().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, mlp).fit(X, CLASSES, sample_weight=WEIGHTS)
        scaled = StandardScaler().fit_transform(X)
        alone = classifier().fit(scaled, CLASSES, sample_weight=WEIGHTS)
        np.testing.assert_array_equal(pipeline.predict_proba(X), alone.predict_proba(scaled))
        found = pipeline.score(X, CLASSES, sample_weight=WEIGHTS)
        assert found == alone.score(scaled, CLASSES, sample_weight=WEIGHTS)
        cross_validate(mlp, X, CLASSES, params={"sample_weight": WEIGHTS}, cv=2)
        CalibratedClassifierCV(mlp, cv=2).fit(X, CLASSES, sample_weight=WEIGHTS)
        requests = classifier().set_partial_fit_request(sample_weight=True, classes=True)
        assert requests.get_metadata_routing().partial_fit.requests == {
            "sample_weight": True,
            "classes": True,
        }
        with pytest.raises(ValueError, match="not explicitly set"):
            GridSearchCV(classifier(), {"alpha": [1.0]}).fit(X, CLASSES, sample_weight=WEIGHTS)


# -- tables


@pytest.fixture(params=["pandas", "polars"])
def library(request):
    return pytest.importorskip(request.param)


def table(library, more=None):
    return library.DataFrame({**{name: X[:, i] for i, name in enumerate(NAMES)}, **(more or {})})


def test_a_table_in_a_pipeline(library):
    rows = table(library, {"city": list("pqr") * 40})
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), NAMES),
            ("city", OneHotEncoder(sparse_output=False), ["city"]),
        ]
    )
    plain = make_pipeline(clone(columns), classifier()).fit(rows, CLASSES)
    named = make_pipeline(columns, classifier()).set_output(transform=library.__name__)
    named.fit(rows, CLASSES)
    expected = [*(f"numbers__{name}" for name in NAMES), *(f"city__city_{c}" for c in "pqr")]
    assert named[-1].feature_names_in_.tolist() == expected
    np.testing.assert_allclose(named.predict_proba(rows), plain.predict_proba(rows), rtol=1e-12)
    assert not hasattr(plain[-1], "feature_names_in_")


def test_names_of_a_table(library):
    rows = table(library)
    for mlp, y in ((classifier(), CLASSES), (regressor(), NUMBERS)):
        mlp.fit(rows, y)
        assert mlp.feature_names_in_.tolist() == NAMES
        np.testing.assert_array_equal(mlp.predict(rows), clone(mlp).fit(X, y).predict(X))
        for bad in (rows[NAMES[::-1]], rows[NAMES[:3]], renamed(rows)):
            for call in (mlp.predict, lambda x, m=mlp, t=y: m.partial_fit(x, t)):
                with pytest.raises(ValueError, match="feature"):
                    call(bad)
        with pytest.warns(UserWarning, match="valid feature names"):
            mlp.predict(X)
        mlp.fit(X, y)
        assert not hasattr(mlp, "feature_names_in_")


def renamed(rows):
    rows = rows[list(NAMES)]
    rows.columns = ["z", *NAMES[1:]]
    return rows


def test_columns_of_y_and_weights(library):
    rows, alone = table(library), classifier().fit(X, CLASSES, sample_weight=WEIGHTS)
    y, weights = library.Series(CLASSES), library.Series(WEIGHTS)
    mlp = classifier().fit(rows, y, sample_weight=weights)
    np.testing.assert_array_equal(mlp.predict(rows), alone.predict(X))
    several = table(library)[["a", "b"]]
    found = regressor().fit(rows, several).predict(rows)
    np.testing.assert_array_equal(found, regressor().fit(X, X[:, :2]).predict(X))
    mlp = classifier(validation_data=(rows, y, weights), early_stopping=True).fit(rows, CLASSES)
    assert mlp.best_validation_score_ == pytest.approx(mlp.score(rows, y, weights))
    with pytest.raises(ValueError, match="could not convert"):
        classifier().fit(table(library, {"city": ["p"] * 120}), CLASSES)


def test_more_types_of_pandas():
    pandas = pytest.importorskip("pandas")
    expected = classifier().fit(X, CLASSES).predict(X).tolist()
    for y in (pandas.Series(CLASSES, dtype="string"), pandas.Series(CLASSES, dtype="category")):
        assert classifier().fit(X, y).predict(X).tolist() == expected
    whole = pandas.DataFrame(np.round(3 * X).astype(int), columns=NAMES, dtype="Int64")
    assert classifier().fit(whole, CLASSES).coefs_[0].dtype == "float64"
    single = table(pandas).astype("float32")
    assert classifier().fit(single, CLASSES).coefs_[0].dtype == "float32"


# -- kinds of X and y


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def mapped(x, path):
    x.tofile(path)
    return np.memmap(path, x.dtype, "r", shape=x.shape)


@pytest.mark.parametrize(
    "form",
    [
        lambda x, _: np.asfortranarray(x),
        lambda x, _: np.repeat(x, 2, axis=0)[::2],
        lambda x, _: x[:, ::-1][:, ::-1],
        lambda x, _: x.astype(">f8"),
        lambda x, _: x.astype(object),
        lambda x, _: x.astype(np.longdouble),
        lambda x, _: x.tolist(),
        lambda x, _: read_only(x),
        mapped,
    ],
    ids=["Fortran", "strides", "negative", "swapped", "object", "long", "list", "const", "memmap"],
)
@pytest.mark.parametrize("options", [{}, {"solver": "lbfgs"}, {"early_stopping": True}])
def test_forms_of_arrays(form, options, tmp_path):
    x = form(X, tmp_path / "x")
    expected = classifier(**options).fit(X, CLASSES)
    mlp = classifier(**options).fit(x, CLASSES)
    np.testing.assert_array_equal(mlp.coefs_[0], expected.coefs_[0])
    np.testing.assert_array_equal(mlp.predict_proba(x), expected.predict_proba(X))


@pytest.mark.parametrize("fitted", ["float32", "float64"])
@pytest.mark.parametrize("asked", ["float32", "float64", "int64", "int8"])
def test_types_of_answers(fitted, asked):
    """Those of a product of X and the weights."""
    kinds = [(classifier(), CLASSES, "predict_proba"), (regressor(), NUMBERS, "predict")]
    for mlp, y, answers in kinds:
        mlp.fit(X.astype(fitted), y)
        x = (3 * X).astype(asked)
        for rows in (x, np.tile(x, (5, 1))):
            found = getattr(mlp, answers)(rows)
            assert found.dtype == np.result_type(np.dtype(fitted), np.dtype(asked))
        np.testing.assert_allclose(found[:120], getattr(mlp, answers)(x.astype(fitted)), rtol=1e-4)


@pytest.mark.parametrize("more", [{"warm_start": True}, {}], ids=["warm_start", "partial_fit"])
@pytest.mark.parametrize(("first", "then"), [("float32", "float64"), ("float64", "float32")])
def test_weights_keep_their_type(first, then, more):
    made = []
    for cls in (theirs.MLPClassifier, MLPClassifier):
        mlp = cls(**OPTIONS, **more).fit(X.astype(first), CLASSES)
        go_on = mlp.fit if more else mlp.partial_fit
        go_on(X.astype(then), CLASSES)
        made.append(mlp)
    for a, b in zip(made[0].coefs_, made[1].coefs_, strict=True):
        assert a.dtype == b.dtype == first
        np.testing.assert_allclose(b, a, atol=1e-4)


WORDS = {
    "strings": np.array(["no", "yes"]),
    "objects": np.array(["no", "yes"], dtype=object),
    "flags": np.array([False, True]),
    "signs": np.array([-1, 1]),
    "numbers": np.array([0.0, 3.0]),
    "large": np.array([-(2**40), 2**40]),
}


@pytest.mark.parametrize("name", WORDS)
def test_labels_come_back_as_they_were(name):
    words = WORDS[name]
    y = words[(X[:, 0] > 0).astype(int)]
    made = [cls(**OPTIONS).fit(X, y) for cls in (theirs.MLPClassifier, MLPClassifier)]
    found = [(mlp.classes_.tolist(), mlp.classes_.dtype, mlp.predict(X).dtype) for mlp in made]
    assert found[0] == found[1]
    np.testing.assert_array_equal(made[0].predict(X), made[1].predict(X))


@pytest.mark.parametrize(
    "y",
    [
        np.array([3, 1, 3, 3, 1, 2] * 2),
        np.array([True, False] * 6),
        np.array(["b", "aa"] * 6),
        np.array([7] * 12, np.uint8),
        np.array(["b", "a"] * 6, dtype=object),
        np.array([1.0, 2.0, 5.0] * 4),
        np.arange(12),
        np.eye(12, 3, dtype=int),
    ],
    ids=["numbers", "flags", "words", "one", "objects", "floats", "many", "matrix"],
)
def test_labels_are_read_as_by_the_binarizer(y):
    """Whose private attributes other packages read."""
    from sklearn.preprocessing import LabelBinarizer

    expected = vars(LabelBinarizer().fit(y))
    found = vars(classifier().fit(X[:12], y)._label_binarizer)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
        assert type(found[name]) is type(value)
    assert found["classes_"].dtype == expected["classes_"].dtype


def test_y_as_a_column_warns():
    from sklearn.exceptions import DataConversionWarning

    for mlp, y in ((classifier(), CLASSES), (regressor(), NUMBERS)):
        with pytest.warns(DataConversionWarning, match="column-vector"):
            mlp.fit(X, y[:, None])
        np.testing.assert_array_equal(mlp.predict(X), clone(mlp).fit(X, y).predict(X))
        assert mlp.predict(X).shape == (120,)


def test_classes_that_come_later():
    made = []
    for cls in (theirs.MLPClassifier, MLPClassifier):
        mlp = cls(**OPTIONS)
        late = CLASSES == "owl"
        mlp.partial_fit(X[~late], CLASSES[~late], classes=["owl", "cat", "dog"])
        mlp.partial_fit(X[late], CLASSES[late])
        with pytest.raises(ValueError, match="classes not in"):
            mlp.partial_fit(X[:2], ["cat", "cow"])
        with pytest.raises(ValueError, match="is not the same as on last call"):
            mlp.partial_fit(X, CLASSES, classes=["cat", "cow", "owl"])
        made.append(mlp)
    assert made[1].classes_.tolist() == ["cat", "dog", "owl"]
    np.testing.assert_allclose(made[1].predict_proba(X), made[0].predict_proba(X), atol=1e-9)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        classifier().partial_fit(X, CLASSES)


def test_labels_of_zeros_and_others():
    y = np.stack([X[:, 0] > 0, X[:, 1] > 0], axis=1).astype(int)
    made = [cls(**OPTIONS).fit(X, 2 * y) for cls in (theirs.MLPClassifier, MLPClassifier)]
    np.testing.assert_allclose(made[1].predict_proba(X), made[0].predict_proba(X), atol=1e-9)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_going_on_with_other_layers_is_refused(method):
    mlp = classifier(warm_start=method == "fit").fit(X, CLASSES)
    before = mlp.predict_proba(X)
    mlp.set_params(hidden_layer_sizes=(5, 3))
    with pytest.raises(ValueError, match=r"hidden_layer_sizes: .*\(4, 8, 3\), got \(4, 5, 3, 3\)"):
        getattr(mlp, method)(X, CLASSES)
    np.testing.assert_array_equal(mlp.predict_proba(X), before)
    assert mlp.set_params(warm_start=False).fit(X, CLASSES).coefs_[0].shape == (4, 5)


# -- workers, copies, files


def _threads():
    import fastnn

    return fastnn.get_num_threads()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_grid_in_workers(backend, monkeypatch):
    for name in ("OMP_NUM_THREADS", "FASTNN_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    grid = GridSearchCV(classifier(max_iter=5), {"alpha": [1e-4, 10.0]}, cv=2, error_score="raise")
    alone = clone(grid).fit(X, CLASSES)
    with joblib.parallel_config(backend, n_jobs=2):
        shared = clone(grid).set_params(n_jobs=2).fit(X, CLASSES)
        if backend == "loky":
            # joblib gives each worker its share of the cores, by OMP_NUM_THREADS.
            share = max(1, joblib.cpu_count() // 2)
            found = joblib.Parallel()(joblib.delayed(_threads)() for _ in range(2))
            assert all(1 <= count <= share for count in found)
    for name in ("mean_test_score", "params"):
        assert list(shared.cv_results_[name]) == list(alone.cv_results_[name])
    np.testing.assert_allclose(shared.predict_proba(X), alone.predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_files_of_joblib(dtype, mmap_mode, tmp_path):
    x = X.astype(dtype)
    mlp = classifier(warm_start=True).fit(x, CLASSES)
    joblib.dump(mlp, tmp_path / "m")
    again = joblib.load(tmp_path / "m", mmap_mode=mmap_mode)
    assert again.coefs_[0].dtype == dtype
    np.testing.assert_array_equal(again.predict_proba(x), mlp.predict_proba(x))
    mlp.partial_fit(x, CLASSES)
    again.partial_fit(x, CLASSES)
    np.testing.assert_array_equal(again.predict_proba(x), mlp.predict_proba(x))
    np.testing.assert_array_equal(
        again.fit(x, CLASSES).predict_proba(x), mlp.fit(x, CLASSES).predict_proba(x)
    )


def test_pickles_go_on_in_another_process(tmp_path):
    program = """
import pickle, sys
path = sys.argv[1]
mlps, x, y = pickle.load(open(path, "rb"))
for mlp in mlps:
    mlp.partial_fit(x, y)
pickle.dump(mlps, open(path, "wb"))
"""
    mlps = [
        classifier(solver="sgd", learning_rate="invscaling").fit(X, CLASSES),
        classifier(scale=True, layer_norm=True).fit(X.astype("float32"), CLASSES),
        classifier().fit(X, CLASSES),
    ]
    path = tmp_path / "mlps.pickle"
    path.write_bytes(pickle.dumps((mlps, X, CLASSES)))
    subprocess.run([sys.executable, "-W", "error", "-c", program, str(path)], check=True)
    for mlp, other in zip(mlps, pickle.loads(path.read_bytes()), strict=True):
        mlp.partial_fit(X, CLASSES)
        np.testing.assert_array_equal(other.predict_proba(X), mlp.predict_proba(X))
        assert other.loss_curve_ == mlp.loss_curve_


def test_a_clone_of_a_fitted_one_is_as_new():
    mlp = classifier(scale=True, class_weight="balanced", dropout=0.1).fit(X, CLASSES)
    other = clone(mlp)
    assert other.get_params() == mlp.get_params()
    assert not [name for name in vars(other) if name.endswith("_")]
    np.testing.assert_array_equal(other.fit(X, CLASSES).predict_proba(X), mlp.predict_proba(X))
    copied = copy.copy(mlp)
    np.testing.assert_array_equal(copied.predict_proba(X), mlp.predict_proba(X))
