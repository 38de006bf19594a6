"""The estimators beside scikit-learn's own, from equal starts: weights after some epochs, losses, scores."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7", reason="its MLPs take weights of rows from 1.7 on")

from sklearn import neural_network as theirs

from fastnn import optimizers
from fastnn import sklearn as ours
from fastnn.training import loops

RNG = np.random.default_rng(5)
X = RNG.normal(size=(70, 5))
CLASSES = np.digitize(X[:, 0] + 0.3 * X[:, 1] ** 2, [-0.4, 0.5])
LABELS = np.stack([X[:, 0] > 0, X[:, 1] + X[:, 2] > 0, CLASSES == 1], axis=1).astype(int)
NUMBERS = X[:, :2] @ [1.0, -0.5] + np.sin(X[:, 2])
SEVERAL = np.stack([NUMBERS, X[:, 3] ** 2, X[:, 0]], axis=1)
COUNTS = np.round(np.exp(0.5 * X[:, :2]))
WEIGHTS = RNG.uniform(0.2, 3.0, size=70)

# Estimator, y, parameters, sample_weight, and how much weights may differ.
CASES = {
    "adam": ("MLPClassifier", CLASSES, {"batch_size": 32}, None, 1e-9),
    "adam, one batch": ("MLPClassifier", CLASSES, {"activation": "tanh"}, None, 1e-9),
    "adam, two classes": ("MLPClassifier", CLASSES > 0, {"batch_size": 33}, None, 1e-9),
    "adam, labels": ("MLPClassifier", LABELS, {"batch_size": 16}, None, 1e-9),
    "adam, betas": (
        "MLPClassifier",
        CLASSES,
        {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3, "alpha": 0.5, "batch_size": 9},
        None,
        1e-9,
    ),
    "sgd": ("MLPClassifier", CLASSES, {"solver": "sgd", "batch_size": 13}, None, 1e-12),
    "sgd, labels": ("MLPClassifier", LABELS, {"solver": "sgd", "batch_size": 32}, None, 1e-12),
    "sgd, plain": (
        "MLPClassifier",
        CLASSES,
        {"solver": "sgd", "momentum": 0.0, "alpha": 0.3, "batch_size": 32},
        None,
        1e-12,
    ),
    "sgd, no nesterov": (
        "MLPClassifier",
        CLASSES,
        {"solver": "sgd", "nesterovs_momentum": False, "activation": "logistic"},
        None,
        1e-12,
    ),
    "sgd, invscaling": (
        "MLPClassifier",
        CLASSES,
        {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5, "power_t": 0.3},
        None,
        1e-12,
    ),
    "sgd, adaptive": (
        "MLPClassifier",
        CLASSES,
        {
            "solver": "sgd",
            "learning_rate": "adaptive",
            "learning_rate_init": 0.2,
            "n_iter_no_change": 2,
            "tol": 0.02,
            "max_iter": 100,
        },
        None,
        1e-10,
    ),
    "lbfgs": ("MLPClassifier", CLASSES, {"solver": "lbfgs", "max_iter": 8}, None, 1e-9),
    "lbfgs, weighted": (
        "MLPClassifier",
        CLASSES,
        {"solver": "lbfgs", "max_iter": 8},
        WEIGHTS,
        1e-9,
    ),
    "weighted": ("MLPClassifier", CLASSES, {"batch_size": 32, "alpha": 0.1}, WEIGHTS, 1e-9),
    "weighted, sgd": (
        "MLPRegressor",
        NUMBERS,
        {"solver": "sgd", "batch_size": 32, "alpha": 0.1},
        WEIGHTS,
        1e-11,
    ),
    "number": ("MLPRegressor", NUMBERS, {"batch_size": 32}, None, 1e-9),
    "numbers": ("MLPRegressor", SEVERAL, {"batch_size": 32, "alpha": 0.2}, None, 1e-9),
    "numbers, sgd": ("MLPRegressor", SEVERAL, {"solver": "sgd", "batch_size": 32}, None, 1e-11),
    "numbers, lbfgs": ("MLPRegressor", SEVERAL, {"solver": "lbfgs", "max_iter": 8}, None, 1e-8),
    # The loss here has 1e-7 in its logarithm, as Keras's.
    "counts": ("MLPRegressor", COUNTS, {"loss": "poisson", "batch_size": 32}, None, 1e-5),
    "early": ("MLPClassifier", CLASSES > 0, {"early_stopping": True, "batch_size": 10}, None, 1e-9),
    "early, classes": ("MLPClassifier", CLASSES, {"early_stopping": True}, None, 1e-9),
    "early, labels": ("MLPClassifier", LABELS, {"early_stopping": True}, None, 1e-9),
    "early, number": ("MLPRegressor", NUMBERS, {"early_stopping": True}, None, 1e-9),
    "early, numbers": ("MLPRegressor", SEVERAL, {"early_stopping": True}, None, 1e-9),
    "early, weighted": ("MLPRegressor", NUMBERS, {"early_stopping": True}, WEIGHTS, 1e-9),
}


def both(name, dtype="float64", **more):
    kind, y, options, weights, atol = CASES[name]
    given = {
        "hidden_layer_sizes": (8, 6),
        "random_state": 3,
        "shuffle": False,
        "learning_rate_init": 0.01,
        "max_iter": 20,
        **options,
        **more,
    }
    made = []
    for package in (theirs, ours):
        mlp = getattr(package, kind)(**given)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlp.fit(X.astype(dtype), y, sample_weight=weights)
        made.append(mlp)
    return *made, atol


def assert_same(one, other, atol):
    assert one.n_iter_ == other.n_iter_
    assert one.t_ == other.t_
    assert one.n_layers_ == other.n_layers_
    assert one.n_outputs_ == other.n_outputs_
    assert one.out_activation_ == other.out_activation_
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(b, a, rtol=0, atol=atol)


@pytest.mark.parametrize("name", CASES)
def test_weights_and_curves(name):
    one, other, atol = both(name)
    assert_same(one, other, atol)
    near = 10 * atol
    np.testing.assert_allclose(other.loss_, one.loss_, rtol=near, atol=atol)
    answers = "predict" if "Regressor" in CASES[name][0] else "predict_proba"
    np.testing.assert_allclose(
        getattr(other, answers)(X), getattr(one, answers)(X), rtol=1e-6, atol=10 * atol
    )
    if one.solver == "lbfgs":
        return
    np.testing.assert_allclose(other.loss_curve_, one.loss_curve_, rtol=near, atol=atol)
    if one.early_stopping:
        np.testing.assert_allclose(other.validation_scores_, one.validation_scores_, atol=1e-7)
        assert other.best_validation_score_ == pytest.approx(one.best_validation_score_, abs=1e-7)
        assert other.best_loss_ is None
    else:
        assert other.best_loss_ == pytest.approx(one.best_loss_, rel=max(near, 1e-9))
        assert other.validation_scores_ is None


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("early")])
def test_native_code_follows_the_score(name, monkeypatch):
    """One native call an epoch would be as slow as scikit-learn on small data."""
    calls = []
    advance = loops.Fit._advance

    def counted(self, run, **how):
        calls.append(how.get("epochs", 1))
        return advance(self, run, **how)

    monkeypatch.setattr(loops.Fit, "_advance", counted)
    _, other, _ = both(name, max_iter=40, n_iter_no_change=3)
    assert other.n_iter_ > 3
    assert len(calls) <= 2


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize(
    "y",
    [
        np.full(70, 2.0),
        np.stack([NUMBERS, np.full(70, 2.0)], axis=1),
        1e6 + SEVERAL,
        np.stack([NUMBERS, np.zeros(70), 1e-3 * X[:, 1]], axis=1),
    ],
    ids=["alike", "one alike", "far from 0", "zeros"],
)
def test_scores_of_outputs(y, weights):
    """Also where targets of an output are all alike, or far from 0."""
    made = []
    for package in (theirs, ours):
        mlp = package.MLPRegressor(
            hidden_layer_sizes=(4,), early_stopping=True, max_iter=8, random_state=2, shuffle=False
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.append(mlp.fit(X, y, sample_weight=weights))
    one, other = made
    assert_same(one, other, 1e-9)
    np.testing.assert_allclose(
        other.validation_scores_, one.validation_scores_, rtol=1e-9, atol=1e-12
    )


def test_the_score_of_one_class():
    """Each row has it, whatever the network says."""
    for package in (theirs, ours):
        mlp = package.MLPClassifier(
            hidden_layer_sizes=(4,), early_stopping=True, max_iter=3, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlp.fit(X, np.zeros(len(X), int))
        assert mlp.validation_scores_ == [1.0] * 3


@pytest.mark.parametrize("name", ["adam", "sgd", "numbers"])
def test_epochs_by_partial_fit(name):
    kind, y, options, _, atol = CASES[name]
    made = []
    for package in (theirs, ours):
        mlp = getattr(package, kind)(
            hidden_layer_sizes=(8,), random_state=3, shuffle=False, **options
        )
        more = {"classes": [0, 1, 2]} if kind == "MLPClassifier" else {}
        for rows in (slice(0, 40), slice(40, 70), slice(10, 55), slice(0, 7)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that 7 rows are less than a batch
                mlp.partial_fit(X[rows], y[rows], **more)
            more = {}
        made.append(mlp)
    assert_same(*made, atol)
    np.testing.assert_allclose(made[1].loss_curve_, made[0].loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("y", [CLASSES, LABELS], ids=["classes", "labels"])
def test_an_optimizer_takes_the_steps_of_the_solver(y, weights):
    """Also in the last, shorter batch, whose share of the penalty is larger."""
    given = {"random_state": 3, "shuffle": False, "batch_size": 32, "max_iter": 8, "alpha": 0.5}
    one = theirs.MLPClassifier((6,), solver="sgd", learning_rate_init=0.02, **given)
    labels = 3 if y is LABELS else 1  # the loss here is their mean
    optimizer = optimizers.SGD(0.02 * labels, momentum=0.9, nesterov=True)
    other = ours.MLPClassifier((6,), optimizer=optimizer, **given)
    for mlp in (one, other):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlp.fit(X, y, sample_weight=weights)
    assert_same(one, other, 1e-12)
    np.testing.assert_allclose(other.loss_curve_, one.loss_curve_, rtol=1e-10)
    assert "penalty" not in repr(other._optimizer.native)


def test_an_optimizer_of_all_rows_is_refused():
    with pytest.raises(ValueError, match="solver='lbfgs'"):
        ours.MLPClassifier(optimizer="lbfgs").fit(X, CLASSES)


def test_a_rate_that_falls_goes_on_over_calls():
    made = []
    for package in (theirs, ours):
        mlp = package.MLPRegressor(
            hidden_layer_sizes=(4,),
            solver="sgd",
            learning_rate="invscaling",
            learning_rate_init=0.3,
            random_state=0,
            shuffle=False,
        )
        for _ in range(4):
            mlp.partial_fit(X, NUMBERS)
        made.append(mlp)
    assert_same(*made, 1e-12)
    assert made[1]._optimizer.learning_rate == pytest.approx(made[0]._optimizer.learning_rate)


def test_a_warm_start_goes_on():
    made = []
    for package in (theirs, ours):
        mlp = package.MLPClassifier(
            (8,), random_state=3, shuffle=False, warm_start=True, max_iter=5, batch_size=16
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlp.fit(X, CLASSES).fit(X, CLASSES)
        made.append(mlp)
    assert_same(*made, 1e-9)
    np.testing.assert_allclose(made[1].loss_curve_, made[0].loss_curve_)
    assert len(made[1].loss_curve_) == 10


def test_training_ends_after_the_same_epoch():
    for tol, patience in ((1e-3, 5), (0.05, 2), (1e-4, 3)):
        one, other, atol = both(
            "adam", max_iter=400, tol=tol, n_iter_no_change=patience, learning_rate_init=0.05
        )
        assert one.n_iter_ == other.n_iter_ < 400
        assert one._no_improvement_count == other._no_improvement_count == patience + 1
        assert_same(one, other, 1e3 * atol)


@pytest.mark.parametrize("loss", ["poisson", "squared_error"])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_gradients_are_those_of_the_loss(loss, weights):
    """That of lbfgs by central differences, which scikit-learn's several outputs do not have."""
    from fastnn.sklearn import quasi_newton

    kept = []

    class Kept(quasi_newton.Objective):
        def __init__(self, *given):
            super().__init__(*given)
            kept.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quasi_newton, "Objective", Kept)
        mlp = ours.MLPRegressor(
            loss, (3,), activation="tanh", solver="lbfgs", max_iter=2, alpha=0.3, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlp.fit(X, COUNTS[:, 0], sample_weight=weights)
    objective = kept[0]
    flat = mlp._net.buffer.view(0, (mlp._net.buffer.size,)).copy()
    gradient = objective(flat)[1]
    used = np.flatnonzero(gradient)
    assert len(used) == 5 * 3 + 3 + 3 + 1
    for i in used:
        ahead, behind = flat.copy(), flat.copy()
        ahead[i] += 1e-5
        behind[i] -= 1e-5
        slope = (objective(ahead)[0] - objective(behind)[0]) / 2e-5
        assert slope == pytest.approx(gradient[i], rel=1e-5, abs=1e-8)


def test_float32_is_near():
    one, other, _ = both("adam", dtype="float32")
    assert_same(one, other, 2e-5)
