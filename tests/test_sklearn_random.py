"""The estimators beside scikit-learn's own, on random problems (sklearn_draws.py): what they warn of and
refuse, losses, scores, weights and answers.

Both begin with the same weights. Where rows are shuffled, scikit-learn's function is given the order
that native code draws.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.9", reason="its MLPs fail on words held out before")

from sklearn import neural_network as theirs
from sklearn.neural_network import _multilayer_perceptron as source
from sklearn_draws import Draw, draw, made

from fastnn import _core
from fastnn import sklearn as ours

pytestmark = pytest.mark.cpu  # another order of sums grows in many steps


def tolerance(problem: Draw) -> float:
    """How much weights may differ."""
    if problem.parameters.get("loss") == "poisson":
        return 1e-4  # the loss here has 1e-7 in its logarithm
    if getattr(problem.x, "dtype", None) == np.float32:
        # Theirs computes lbfgs in it, too; otherwise both do.
        return 1e-4 if problem.parameters["solver"] == "lbfgs" else 3e-4
    return 1e-8


def compare(problem: Draw, patch: pytest.MonkeyPatch) -> None:
    other = made(ours, problem)
    if problem.parameters["shuffle"] and hasattr(other.mlp, "coefs_"):
        key = other.mlp.model_.network.key
        epochs = iter(range(100))

        def in_our_order(rows: np.ndarray, **_how: object) -> np.ndarray:
            return _core.permutation(len(rows), key, next(epochs))

        patch.setattr(source, "shuffle", in_our_order)
    one = made(theirs, problem)
    assert other.error == one.error
    assert other.warned == one.warned
    if one.error:
        return
    a, b = one.mlp, other.mlp
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_"):
        assert getattr(b, name) == getattr(a, name), name
    atol = tolerance(problem)
    near = {"rtol": 100 * atol, "atol": 10 * atol}
    for x, y in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(y, x, rtol=0, atol=atol)
    for name in (
        "loss_",
        "best_loss_",
        "loss_curve_",
        "validation_scores_",
        "best_validation_score_",
    ):
        x, y = getattr(a, name, None), getattr(b, name, None)
        assert (x is None) == (y is None), name
        if x is not None:
            np.testing.assert_allclose(y, x, **near, err_msg=name)
    answers = "predict" if problem.estimator == "MLPRegressor" else "predict_proba"
    x, y = getattr(a, answers)(problem.x), getattr(b, answers)(problem.x)
    assert (x.dtype, x.shape) == (y.dtype, y.shape)
    np.testing.assert_allclose(y, x, **near)
    if problem.estimator == "MLPClassifier":
        assert a.predict(problem.x).dtype == b.predict(problem.x).dtype
        np.testing.assert_array_equal(a.classes_, b.classes_)


def goes_on_from_the_best(problem: Draw) -> bool:
    """Two fits of which the second may have no better epoch: scikit-learn's best weights are then
    those of the last epoch, since it has trained on in their place."""
    options = problem.parameters
    return options["early_stopping"] and options["warm_start"] and len(problem.calls) > 1


@pytest.mark.parametrize("seed", range(160))
def test_a_problem(seed, monkeypatch):
    problem = draw(seed)
    if goes_on_from_the_best(problem):
        pytest.skip("scikit-learn loses the best weights")
    compare(problem, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(200, 2200, 200))
def test_more_problems(first):
    wrong = []
    for seed in range(first, first + 200):
        problem = draw(seed)
        if goes_on_from_the_best(problem):
            continue
        with pytest.MonkeyPatch.context() as patch:
            try:
                compare(problem, patch)
            except AssertionError as error:
                wrong.append((seed, str(error)[:300]))
    assert not wrong
