"""Fitted MLPs of scikit-learn as models, and models as fitted MLPs: equal predictions."""

from __future__ import annotations

import sys
import warnings

import cases
import numpy as np
import pytest
import travelling
from travelling import near

import fastnn
from fastnn import layers

neural = pytest.importorskip("sklearn.neural_network")
X = travelling.rows(6, dtype="float64")
MANY = np.concatenate([X, X + 1.0, -X])


def targets(kind):
    rng = np.random.default_rng(2)
    return {
        "binary": np.where(MANY[:, 0] > 0, "yes", "no"),
        "classes": np.array([7, 3, 11])[np.digitize(MANY[:, 1], [-0.5, 0.5])],
        "labels": (MANY[:, :4] > 0).astype(int),
        "number": 100 + 50 * MANY[:, 2],
        "numbers": rng.normal(size=(len(MANY), 3)),
    }[kind]


def fitted(kind, activation="relu", dtype="float64", **options):
    regression = kind.startswith("number")
    cls = neural.MLPRegressor if regression else neural.MLPClassifier
    mlp = cls(
        hidden_layer_sizes=(9, 5), activation=activation, random_state=1, max_iter=30, **options
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mlp.fit(MANY.astype(dtype), targets(kind))


def expected(mlp, x):
    """What `predict` of the model has to give: columns, one for two classes."""
    if not hasattr(mlp, "predict_proba"):
        return np.reshape(mlp.predict(x), (len(x), -1))
    found = mlp.predict_proba(x)
    return found[:, 1:] if len(mlp.classes_) == 2 and mlp.n_outputs_ == 1 else found


KINDS = ("binary", "classes", "labels", "number", "numbers")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back(kind, activation, dtype):
    mlp = fitted(kind, activation, dtype)
    x = X.astype(dtype)
    model = fastnn.from_sklearn(mlp)
    assert model.dtype == dtype
    near(model.predict(x), expected(mlp, x).astype(dtype))
    classes = None if kind in ("labels", "number", "numbers") else mlp.classes_
    back = fastnn.to_sklearn(model, classes=classes)
    assert type(back) is type(mlp)
    assert np.array_equal(back.predict(x), mlp.predict(x))
    for name in ("coefs_", "intercepts_"):
        assert all(map(np.array_equal, getattr(back, name), getattr(mlp, name)))
    for name in ("out_activation_", "n_layers_", "n_outputs_", "n_features_in_", "activation"):
        assert getattr(back, name) == getattr(mlp, name), name
    if hasattr(mlp, "classes_"):
        assert list(back.classes_) == list(mlp.classes_)


def test_types_and_names():
    mlp = fitted("classes")
    model = fastnn.from_sklearn(mlp, dtype="float32", name="net")
    assert (model.dtype, model.name) == ("float32", "net")
    near(model.predict(X), mlp.predict_proba(X).astype(np.float32))
    before = mlp.coefs_[0].copy()
    model.set_weights([w * 0 for w in model.get_weights()])
    assert np.array_equal(mlp.coefs_[0], before)


def test_what_is_no_fitted_mlp():
    from sklearn.pipeline import make_pipeline

    for wrong in (make_pipeline(fitted("number")), 3):
        with pytest.raises(TypeError, match="mlp: expected an MLPClassifier or MLPRegressor, got"):
            fastnn.from_sklearn(wrong)
    with pytest.raises(ValueError, match="mlp: it is not fitted"):
        fastnn.from_sklearn(neural.MLPClassifier())
    mlp = fitted("number")
    mlp.out_activation_ = "exp"
    with pytest.raises(ValueError, match="of the outputs, 'exp' are not both in fastnn"):
        fastnn.from_sklearn(mlp)


def test_no_hidden_layer():
    model = travelling.chain(["softmax"], "float64")
    mlp = fastnn.to_sklearn(model)
    near(mlp.predict_proba(X), model.predict(X))
    near(fastnn.from_sklearn(mlp).predict(X), model.predict(X))


def net(*made, dtype="float64"):
    return travelling.with_weights(fastnn.Sequential([layers.Input((2, 3)), *made], dtype=dtype))


def test_what_stands_around_the_dense_layers():
    """Rescaling, shapes, dropout, activations of their own, a Dense without a bias."""
    model = net(
        layers.Rescaling(0.5, -1.0),
        layers.Flatten(),
        layers.Dense(5, use_bias=False),
        layers.Activation("tanh"),
        layers.Activation("linear"),
        layers.Dropout(0.5),
        layers.Dense(4, "tanh"),
        layers.Dense(3),
        layers.Softmax(),
    )
    mlp = fastnn.to_sklearn(model)
    near(mlp.predict_proba(X), model.predict(X.reshape(-1, 2, 3)))


@pytest.mark.parametrize("classes", [None, ["a", "b", "c"], ["c", "a", "b"], [2.0, 0.0, 1.0]])
def test_classes_in_any_order(classes):
    """scikit-learn sorts them; each probability stays with its label."""
    model = net(layers.Flatten(), layers.Dense(4, "relu"), layers.Dense(3, "softmax"))
    mlp = fastnn.to_sklearn(model, classes=classes)
    ours = np.asarray([0, 1, 2] if classes is None else classes)
    p = model.predict(X.reshape(-1, 2, 3))
    assert list(mlp.classes_) == sorted(ours)
    near(mlp.predict_proba(X), p[:, np.argsort(ours)])
    assert list(mlp.predict(X)) == list(ours[p.argmax(axis=1)])


@pytest.mark.parametrize("classes", [None, ["no", "yes"], ["yes", "no"]])
@pytest.mark.parametrize("units", [1, 2])
def test_two_classes(units, classes):
    last = layers.Dense(1, "sigmoid") if units == 1 else layers.Dense(2, "softmax")
    model = net(layers.Flatten(), layers.Dense(4, "sigmoid"), last)
    mlp = fastnn.to_sklearn(model, classes=classes)
    assert mlp.out_activation_ == "logistic"
    ours = np.asarray([0, 1] if classes is None else classes)
    p = model.predict(X.reshape(-1, 2, 3))
    p = np.hstack([1 - p, p]) if units == 1 else p
    near(mlp.predict_proba(X), p[:, np.argsort(ours)])
    assert list(mlp.predict(X)) == list(ours[p.argmax(axis=1)])


def test_what_outputs_without_an_activation_mean():
    def head(units):
        return net(layers.Flatten(), layers.Dense(4, "relu"), layers.Dense(units))

    rows = X.reshape(-1, 2, 3)
    for units in (1, 3):
        model = head(units)
        near(fastnn.to_sklearn(model).predict(X).reshape(-1, units), model.predict(rows))
        assert hasattr(fastnn.to_sklearn(model, kind="classifier"), "predict_proba")
        model.compile("adam", "mean_squared_error")
        assert isinstance(fastnn.to_sklearn(model), neural.MLPRegressor)
    model = head(3)
    model.compile("adam", "sparse_categorical_crossentropy")
    near(fastnn.to_sklearn(model).predict_proba(X), fastnn.ops.softmax(model.predict(rows)))
    assert isinstance(fastnn.to_sklearn(model, kind="regressor"), neural.MLPRegressor)
    model.compile("adam", "binary_crossentropy")
    mlp = fastnn.to_sklearn(model)
    assert mlp.out_activation_ == "logistic"
    near(mlp.predict_proba(X), 1 / (1 + np.exp(-model.predict(rows))))


REFUSED = {
    "two activations": (
        [layers.Dense(4, "relu"), layers.Dense(4, "tanh", name="b"), layers.Dense(1)],
        {},
        "one activation.*got relu in 'dense', tanh in 'b'",
    ),
    "gelu": ([layers.Dense(4, "gelu"), layers.Dense(1)], {}, "got gelu in 'dense'"),
    "a norm": ([layers.LayerNormalization(name="n"), layers.Dense(1)], {}, "layer 'n': an MLP"),
    "a slope": (
        [layers.Dense(4), layers.LeakyReLU(name="n"), layers.Dense(1)],
        {},
        "layer 'n': an MLP of scikit-learn has no form of LeakyReLU",
    ),
    "two in a row": ([layers.Dense(4, "relu"), layers.ReLU(name="n")], {}, "layer 'n': an MLP"),
    "the first": ([layers.ReLU(name="n"), layers.Dense(1)], {}, "layer 'n': an MLP"),
    "relu at the end": ([layers.Dense(4, "relu", name="n")], {}, "layer 'n': expected outputs of"),
    "softmax of one": ([layers.Dense(1, "softmax")], {}, "softmax over one unit is always 1"),
    "no Dense": ([layers.Dropout(0.5)], {}, "has no Dense layer"),
    "classes": ([layers.Dense(3, "softmax")], {"classes": [0, 1]}, "classes: expected 3 labels"),
    "equal classes": ([layers.Dense(1, "sigmoid")], {"classes": [1, 1]}, "expected 2 labels"),
    "of labels": (
        [layers.Dense(3, "sigmoid")],
        {"classes": [0, 1, 2]},
        "do not exclude each other",
    ),
    "of numbers": ([layers.Dense(3)], {"classes": [0, 1, 2]}, "expected None for a regressor"),
    "kind": ([layers.Dense(3)], {"kind": "both"}, "kind: unknown name 'both'"),
    "regressor": (
        [layers.Dense(3, "softmax")],
        {"kind": "regressor"},
        "kind: expected 'classifier'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case):
    made, options, words = REFUSED[case]
    model = fastnn.Sequential(
        [layers.Input((4,)), *(type(m).from_config(m.get_config()) for m in made)]
    )
    with pytest.raises(ValueError, match=words):
        fastnn.to_sklearn(model, **options)


def test_graphs_and_several_outputs_are_refused():
    model, _ = travelling.graph()
    with pytest.raises(ValueError, match="to_sklearn: the model 'model' is no chain of layers"):
        fastnn.to_sklearn(model)
    for first in (True, False):
        x = fastnn.Input((4,))
        h = layers.Dense(3, "relu")(x)
        y = layers.Dense(2)(h)
        outputs = [h, y] if first else [y, h]
        with pytest.raises(ValueError, match="has outputs besides that of its last layer"):
            fastnn.to_sklearn(fastnn.Model(x, outputs))
    with pytest.raises(RuntimeError, match="to_sklearn: the model is not built"):
        fastnn.to_sklearn(fastnn.Sequential([layers.Dense(3)]))


@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_on_there(kind):
    """partial_fit goes on from the weights, and other calls of scikit-learn work."""
    from sklearn.base import clone

    mlp = fastnn.to_sklearn(
        fastnn.from_sklearn(fitted(kind)),
        classes=np.unique(targets(kind)) if kind in ("binary", "classes") else None,
    )
    assert (mlp.n_iter_, mlp.t_, mlp.loss_curve_) == (0, 0, [])
    before = mlp.coefs_[0].copy()
    mlp.partial_fit(MANY, targets(kind))
    moved = np.abs(mlp.coefs_[0] - before).max()
    assert 0 < moved < 0.01
    assert (mlp.n_iter_, mlp.t_, mlp._optimizer.t) == (1, len(MANY), 1)
    assert np.isfinite(mlp.score(MANY, targets(kind)))
    assert clone(mlp).hidden_layer_sizes == (9, 5)


def test_without_the_package(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(
        ImportError, match="to_sklearn needs scikit-learn: pip install scikit-learn"
    ):
        fastnn.to_sklearn(travelling.chain(["softmax"]))


def test_reading_needs_no_sklearn():
    program = """
import sys
import numpy as np
import fastnn

class MLPRegressor:
    activation, out_activation_ = "tanh", "identity"
    coefs_ = [np.ones((2, 3)), np.ones((3, 1))]
    intercepts_ = [np.zeros(3), np.ones(1)]

y = fastnn.from_sklearn(MLPRegressor()).predict(np.zeros((1, 2)))
print(y[0, 0], "sklearn" in sys.modules)
"""
    done = cases.python(program)
    assert done.stdout.split() == ["1.0", "False"], done.stdout + done.stderr
