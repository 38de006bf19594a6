"""Fitted MLPs of scikit-learn become models, and models become fitted MLPs.

scikit-learn is imported only to make its estimators.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastnn.exports.chain import chain_of
from fastnn.exports.graph import Graph, activation_of, kind_of, refusal
from fastnn.extras import needed
from fastnn.interop.parts import Array, Part, sequential
from fastnn.layers.activation import Activation, ReLU, Softmax
from fastnn.layers.dense import Dense
from fastnn.layers.noise import Dropout
from fastnn.layers.shape import Flatten, Reshape
from fastnn.models import Model, Sequential
from fastnn.models.exported import graph_of
from fastnn.words import choose, keywords

Kind = Literal["auto", "classifier", "regressor"]
_KINDS: tuple[Kind, ...] = ("auto", "classifier", "regressor")
# fastnn's word for each activation of scikit-learn.
_HIDDEN = {"identity": "linear", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}
_OUTPUT = {"identity": "linear", "logistic": "sigmoid", "softmax": "softmax"}
_THEIRS = {ours: theirs for theirs, ours in _HIDDEN.items()}


@keywords()
def from_sklearn(mlp: Any, *, dtype: str | None = None, name: str | None = None) -> Sequential:
    """A built Sequential with the weights of a fitted MLPClassifier or MLPRegressor.

        >>> from sklearn.neural_network import MLPRegressor
        >>> x = np.linspace(-1, 1, 20)[:, None]
        >>> mlp = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs").fit(x, x[:, 0])
        >>> model = fastnn.from_sklearn(mlp)
        >>> bool(np.allclose(model.predict(x)[:, 0], mlp.predict(x)))
        True

    Column i of the predictions of a classifier belongs to `mlp.classes_[i]`; with two classes there
    is one column, the probability of `classes_[1]`. Numbers of a regressor of one target are (n, 1).

    Args:
        mlp: a fitted estimator.
        dtype: "float32" or "float64"; None: that of the weights, which scikit-learn fits in float64
            unless x is float32. fastnn trains faster in float32.
        name: of the model.

    Raises:
        TypeError: it is neither; of a Pipeline, give the last step.
        ValueError: it is not fitted, or has outputs that fastnn has not (the exponential ones of
            the loss "poisson"), or it is one of `fastnn.sklearn` that has more than coefs_.
    """
    kinds = {base.__name__ for base in type(mlp).__mro__}
    if not kinds & {"MLPClassifier", "MLPRegressor"}:
        raise TypeError(f"mlp: expected an MLPClassifier or MLPRegressor, got {type(mlp).__name__}")
    if not hasattr(mlp, "coefs_"):
        raise ValueError("mlp: it is not fitted; call fit first")
    for option in ("layer_norm", "scale"):  # of estimators of fastnn.sklearn, beside coefs_
        if getattr(mlp, option, False):
            raise ValueError(f"mlp: it was fitted with {option}=True; its model is mlp.model_")
    if mlp.activation not in _HIDDEN or mlp.out_activation_ not in _OUTPUT:
        raise ValueError(
            f"mlp: the activations {mlp.activation!r} and, of the outputs, {mlp.out_activation_!r} "
            "are not both in fastnn"
        )
    last = len(mlp.coefs_) - 1
    parts = []
    for i, (kernel, bias) in enumerate(zip(mlp.coefs_, mlp.intercepts_, strict=True)):
        activation = _HIDDEN[mlp.activation] if i < last else _OUTPUT[mlp.out_activation_]
        layer = Dense(kernel.shape[1], activation)
        parts.append(Part(f"mlp.coefs_[{i}]", layer, [np.asarray(kernel), np.asarray(bias)]))
    return sequential(parts, (parts[0].weights[0].shape[0],), dtype=dtype, name=name)


class _Product(NamedTuple):
    """A Dense layer with the activation after it."""

    kernel: Array
    bias: Array
    activation: str
    name: str  # of the layer, for messages


@keywords()
def to_sklearn(model: Model, *, classes: ArrayLike | None = None, kind: Kind = "auto") -> Any:
    """A fitted MLPClassifier or MLPRegressor of scikit-learn with the weights of a model.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(3, "softmax", input_shape=(4,))])
        >>> mlp = fastnn.to_sklearn(model, classes=["cat", "dog", "owl"])
        >>> x = np.eye(4, dtype="float32")
        >>> bool(np.allclose(mlp.predict_proba(x), model.predict(x), atol=1e-6))
        True

    Its other parameters are scikit-learn's defaults; `partial_fit` goes on from the weights. Two
    outputs of softmax become one of scikit-learn's logistic function. Dropout is left out, rows of
    several axes are flattened, and a Rescaling becomes part of the kernel after it.

    Args:
        model: a built chain of Dense layers, of which all but the last have one activation: relu,
            tanh, sigmoid or none.
        classes: the label of each output, or of 0 and 1 for one output of sigmoid; None: 0, 1, 2, ...
            scikit-learn sorts them, and the columns of `predict_proba` with them. Several outputs
            of sigmoid are labels 0, 1, 2, ... that do not exclude each other.
        kind: "classifier", "regressor", or "auto": a classifier if the last activation is softmax or
            sigmoid, or if there is none and the model is compiled with a cross-entropy.

    Raises:
        ValueError: scikit-learn's MLPs have no such layers, or `classes` do not fit the outputs.
        RuntimeError: the model is not built.
        ImportError: scikit-learn is not installed.
    """
    choose("kind", kind, _KINDS)
    graph = graph_of(model, "to_sklearn")
    products = _products(graph)
    activation = _hidden_activation(products)
    output = _output_of(model, products[-1], kind)
    count = products[-1].kernel.shape[1]
    labels = _labels(classes, output, count)
    neural = needed("sklearn.neural_network", "to_sklearn")
    settings = {
        "hidden_layer_sizes": tuple(product.kernel.shape[1] for product in products[:-1]),
        "activation": _THEIRS[activation],
    }
    # Fitting to a few rows of zeros makes all that an estimator has; weights are put in later.
    x = np.zeros((max(2, count), math.prod(graph.inputs[0].shape)), graph.dtype)
    if output == "linear":
        mlp = neural.MLPRegressor(**settings)
        y = np.zeros((len(x), count), graph.dtype)
        mlp.partial_fit(x, y[:, 0] if count == 1 else y)
        return _filled(mlp, products)
    mlp = neural.MLPClassifier(**settings)
    if output == "sigmoid" and count > 1:
        mlp.partial_fit(x, np.eye(len(x), count, dtype=int), classes=labels)
        return _filled(mlp, products)
    mlp.partial_fit(x[: len(labels)], labels, classes=np.unique(labels))
    return _filled(mlp, [*products[:-1], _ordered(products[-1], labels)])


def _products(graph: Graph) -> list[_Product]:
    """The Dense layers of a chain, each with the activation after it."""
    made: list[_Product] = []
    for step in chain_of(graph, "to_sklearn", "an MLP"):
        kind = kind_of(step.layer, (Dense, Activation, ReLU, Softmax, Dropout, Flatten, Reshape))
        if kind in (Dropout, Flatten, Reshape):
            continue
        activation, parameters = ("", {}) if kind is None else activation_of(step.layer)
        if kind is Dense:
            kernel, *bias = step.weights
            shift = bias[0] if bias else np.zeros(kernel.shape[1], kernel.dtype)
            made.append(_Product(kernel, shift, activation, step.layer.name))
        elif activation == "linear":
            continue
        elif kind is None or parameters or not made or made[-1].activation != "linear":
            raise refusal(step.layer, "an MLP of scikit-learn")
        else:
            made[-1] = made[-1]._replace(activation=activation)
    if not made:
        raise ValueError(f"to_sklearn: the model {graph.name!r} has no Dense layer")
    return made


def _hidden_activation(products: Sequence[_Product]) -> str:
    """The activation of all layers but the last; relu, scikit-learn's default, without any."""
    hidden = {product.activation for product in products[:-1]} or {"relu"}
    if len(hidden) > 1 or not hidden <= set(_THEIRS):
        got = ", ".join(f"{product.activation} in {product.name!r}" for product in products[:-1])
        raise ValueError(
            "to_sklearn: expected hidden layers of one activation, relu, tanh, sigmoid or linear, "
            f"got {got}"
        )
    return hidden.pop()


def _output_of(model: Model, last: _Product, kind: Kind) -> str:
    """The activation of the outputs: "linear" for a regressor."""
    activation = last.activation
    if activation not in ("linear", "sigmoid", "softmax"):
        raise ValueError(
            f"to_sklearn: layer {last.name!r}: expected outputs of softmax, of sigmoid or without an "
            f"activation, got {activation}"
        )
    if activation == "softmax" and last.kernel.shape[1] == 1:
        raise ValueError(f"to_sklearn: layer {last.name!r}: softmax over one unit is always 1")
    if kind == "regressor" and activation != "linear":
        raise ValueError(
            f"kind: expected 'classifier' for outputs of {activation}, got 'regressor'"
        )
    if kind == "regressor" or activation != "linear":
        return activation
    folds = getattr(model.loss, "folds", None) if model.compiled else None
    if kind == "classifier" and folds is None:
        return "softmax" if last.kernel.shape[1] > 1 else "sigmoid"
    return folds or "linear"


def _labels(classes: ArrayLike | None, output: str, count: int) -> Array:
    """The labels of the classes, in the order of the model's outputs."""
    several = output == "sigmoid" and count > 1
    if output == "linear" or several:
        if classes is not None:
            what = "labels that do not exclude each other" if several else "a regressor"
            raise ValueError(f"classes: expected None for {what}, got {classes!r}")
        return np.arange(count)
    wanted = 2 if output == "sigmoid" else count
    labels: Array = np.arange(wanted) if classes is None else np.asarray(classes)
    if labels.shape != (wanted,) or len(np.unique(labels)) != wanted:
        raise ValueError(f"classes: expected {wanted} labels that differ, got {classes!r}")
    return labels


def _ordered(last: _Product, labels: Array) -> _Product:
    """The last layer with its outputs in the order of sorted labels; one output for two classes."""
    kernel, bias = last.kernel, last.bias
    order = np.argsort(labels)
    if kernel.shape[1] == 1:
        sign = kernel.dtype.type(1 if order[0] == 0 else -1)
        return last._replace(kernel=kernel * sign, bias=bias * sign)
    kernel, bias = kernel[:, order], bias[order]
    if len(labels) == 2:
        kernel, bias = kernel[:, 1:] - kernel[:, :1], bias[1:] - bias[:1]
    return last._replace(kernel=kernel, bias=bias)


def _filled(mlp: Any, products: Sequence[_Product]) -> Any:
    """An estimator that is fitted to anything, with these weights, and as before its first step."""
    for i, product in enumerate(products):
        mlp.coefs_[i][...] = product.kernel
        mlp.intercepts_[i][...] = product.bias
    # partial_fit then makes another optimizer: this one remembers the gradient of another net.
    del mlp._optimizer
    mlp.n_iter_ = mlp.t_ = 0
    mlp.loss_curve_ = []
    mlp.loss_ = mlp.best_loss_ = math.inf
    return mlp
