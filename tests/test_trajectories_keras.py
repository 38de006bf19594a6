"""Ten steps of `fit` beside those of Keras 3, in float64: optimizers, layers, losses and weights.

Skipped without Keras and PyTorch. What differs on purpose is chosen so that it does not show: epsilons
of Adam are tiny, batches and outputs are powers of 2, sample weights have the mean 1.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

import fastnn

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

Array = NDArray[Any]
N, F = 40, 8
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, F))
NUMBERS, POSITIVE = RNG.normal(size=(N, 4)), RNG.random((N, 4)) + 0.1
LABELS = RNG.integers(0, 4, N)
ONE_HOT, SHARES = np.eye(4)[LABELS], RNG.dirichlet(np.ones(4), N)
BITS, COUNTS = RNG.integers(0, 2, (N, 4)) * 1.0, RNG.poisson(2, (N, 4)) * 1.0
WEIGHTS = RNG.random(N) + 0.1
WEIGHTS /= WEIGHTS.mean()
OF_CLASSES = np.array([1.0, 2.0, 0.5, 3.0])
OF_CLASSES /= OF_CLASSES[LABELS].mean()
TINY = 1e-14


@pytest.fixture(scope="module")
def keras() -> Any:
    pytest.importorskip("torch")
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    # Keras computes products and means of float64 in float32 unless TensorFlow is below.
    dtypes = pytest.importorskip("keras.src.backend.common.dtypes")
    known, before = dtypes.BIT64_TO_BIT32_DTYPE, keras.config.floatx()
    narrow = known.pop("float64", None)
    keras.config.set_floatx("float64")
    yield keras
    keras.config.set_floatx(before)
    if narrow is not None:
        known["float64"] = narrow


def every_layer(k: Any, head: str, **how: Any) -> Any:
    """A residual network with each layer that trains, regularizers and constraints."""
    of, penalty, limit = k.layers, k.regularizers, k.constraints
    x = k.Input((F,), dtype="float64")
    h = of.Dense(8, "softsign", kernel_regularizer=penalty.L2(0.02), bias_regularizer="l1")(x)
    h = of.BatchNormalization(
        momentum=0.8, beta_regularizer=penalty.L2(0.1), gamma_constraint=limit.MaxNorm(0.9)
    )(h)
    g = of.Dense(8, "gelu", kernel_constraint=limit.MaxNorm(0.7), bias_constraint=limit.NonNeg())(h)
    g = of.LayerNormalization(
        gamma_regularizer=penalty.L1L2(0.01, 0.02),
        beta_constraint=limit.MinMaxNorm(0.1, 0.2, rate=0.5),
    )(g)
    h = of.GroupNormalization(groups=4)(of.PReLU("zeros", "l2", limit.NonNeg())(of.Add()([h, g])))
    h = of.Dense(8, "silu", kernel_constraint=limit.UnitNorm())(h)
    h = of.RMSNormalization()(h)
    h = of.UnitNormalization()(of.Concatenate()([h, of.Dense(4, "leaky_relu")(h)]))
    return k.Model(x, of.Dense(4, head)(h), **how)


def simple(k: Any, head: str, **how: Any) -> Any:
    x = k.Input((F,), dtype="float64")
    h = k.layers.Dense(7, "gelu")(k.layers.Dense(9, "softsign")(x))
    return k.Model(x, k.layers.Dense(4, head)(h), **how)


def taped(k: Any, head: str, **how: Any) -> Any:
    """Penalties that train over the tape."""
    x = k.Input((F,), dtype="float64")
    penalty = k.regularizers.OrthogonalRegularizer(0.01)
    h = k.layers.Dense(8, "silu", kernel_regularizer=penalty)(x)
    h = k.layers.BatchNormalization()(k.layers.ActivityRegularization(l1=0.01, l2=0.02)(h))
    return k.Model(x, k.layers.Dense(4, head, kernel_constraint="max_norm")(h), **how)


def looked_up(k: Any, head: str, **how: Any) -> Any:
    x = k.Input((F,), dtype="float64")
    table = k.layers.Embedding(
        6,
        4,
        embeddings_regularizer=k.regularizers.L2(0.01),
        embeddings_constraint=k.constraints.MaxNorm(1.2, axis=1),
    )
    return k.Model(x, k.layers.Dense(4, head)(k.layers.Flatten()(table(x))), **how)


class Problem(NamedTuple):
    """What is trained on what; functions take the module, Keras or fastnn."""

    optimizer: Callable[[Any], Any] = lambda o: o.SGD(0.05, momentum=0.9)
    loss: Callable[[Any], Any] = lambda of: of.MeanSquaredError()
    head: str = "linear"
    y: Array = NUMBERS
    x: Array = X
    network: Callable[..., Any] = simple
    frozen: tuple[int, ...] = ()
    fit: dict[str, Any] = {}  # noqa: RUF012


def trained(k: Any, problem: Problem, weights: list[Array] | None) -> tuple[Any, list[Array]]:
    """A model after ten steps, and the weights that it began with."""
    ours = k is fastnn
    model = problem.network(k, problem.head, **({"dtype": "float64"} if ours else {}))
    if weights is None:
        draw = np.random.default_rng(1)
        weights = [
            np.abs(draw.normal(0.5, 0.5, w.shape))
            if "variance" in w.path
            else draw.normal(0, 0.5, w.shape)
            for w in model.weights
        ]
    model.set_weights(weights)
    for index in problem.frozen:  # Keras counts the input
        model.layers[index - ours].trainable = False
    model.compile(optimizer=problem.optimizer(k.optimizers), loss=problem.loss(k.losses))
    how = {"epochs": 2, "batch_size": 8, "shuffle": False, "verbose": 0}
    history = model.fit(problem.x, problem.y, **how, **problem.fit).history
    assert len(history["loss"]) == 2
    return model, weights


def beside(keras: Any, problem: Problem, limit: float = 1e-8) -> None:
    theirs, weights = trained(keras, problem, None)
    ours, _ = trained(fastnn, problem, weights)
    for mine, other, weight in zip(
        ours.get_weights(), theirs.get_weights(), theirs.weights, strict=True
    ):
        np.testing.assert_allclose(mine, other, rtol=limit, atol=limit, err_msg=weight.path)
    assert int(ours.optimizer.iterations) == int(theirs.optimizer.iterations)


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda o: o.SGD(0.05),
    "nesterov": lambda o: o.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda o: o.Adam(0.01, epsilon=TINY),
    "amsgrad": lambda o: o.Adam(0.01, epsilon=TINY, amsgrad=True, weight_decay=0.1),
    "adamw": lambda o: o.AdamW(0.01, epsilon=TINY),
    "adamax": lambda o: o.Adamax(0.01),
    "nadam": lambda o: o.Nadam(0.01),
    "rmsprop": lambda o: o.RMSprop(0.01),
    "rmsprop, centered": lambda o: o.RMSprop(0.01, momentum=0.9, centered=True, weight_decay=0.01),
    "adagrad": lambda o: o.Adagrad(0.1),
    "adadelta": lambda o: o.Adadelta(1.0, epsilon=1e-4),
    "lion": lambda o: o.Lion(0.01, weight_decay=0.01),
    "lamb": lambda o: o.Lamb(0.01, epsilon=TINY, weight_decay=0.01),
    "muon": lambda o: o.Muon(0.01, epsilon=TINY, adam_lr_ratio=0.5, weight_decay=0.1),
    "clipnorm": lambda o: o.SGD(0.05, momentum=0.9, clipnorm=0.1),
    "clipvalue": lambda o: o.Nadam(0.05, clipvalue=0.01),
    "global clipnorm": lambda o: o.RMSprop(0.01, global_clipnorm=0.2),
    "average": lambda o: o.Nadam(0.05, use_ema=True, ema_momentum=0.6),
    "overwriting average": lambda o: o.SGD(
        0.05, momentum=0.9, use_ema=True, ema_momentum=0.6, ema_overwrite_frequency=3
    ),
    "accumulation": lambda o: o.Adamax(0.05, gradient_accumulation_steps=5, weight_decay=0.1),
    "accumulation across epochs": lambda o: o.SGD(
        0.05, momentum=0.9, gradient_accumulation_steps=3, global_clipnorm=0.1
    ),
    "exponential": lambda o: o.SGD(o.schedules.ExponentialDecay(0.1, 3, 0.5, staircase=True)),
    "cosine": lambda o: o.SGD(
        o.schedules.CosineDecay(0.01, 8, warmup_target=0.1, warmup_steps=4),
        gradient_accumulation_steps=2,
    ),
    "piecewise": lambda o: o.Adagrad(o.schedules.PiecewiseConstantDecay([2, 5], [0.1, 0.2, 0.3])),
    "restarts": lambda o: o.SGD(o.schedules.CosineDecayRestarts(0.1, 3)),
    "polynomial": lambda o: o.SGD(o.schedules.PolynomialDecay(0.1, 4, 0.01, 2, cycle=True)),
    "inverse": lambda o: o.SGD(o.schedules.InverseTimeDecay(0.1, 4, 0.5)),
}
# Muon's steps of Newton and Schulz enlarge roundings; Adam divides by gradients near 0.
ROUGH = {"muon": 1e-6, "adam": 1e-7, "amsgrad": 1e-7, "adamw": 1e-7}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name: str, keras: Any) -> None:
    limit = ROUGH.get(name, 1e-8)
    beside(keras, Problem(OPTIMIZERS[name]), limit)
    # Keras's constraints act after each batch, also where it makes no update.
    if "accumulation" not in name and name != "cosine":
        beside(keras, Problem(OPTIMIZERS[name], network=every_layer), limit)
        beside(keras, Problem(OPTIMIZERS[name], network=every_layer, frozen=(1, 2, 4, 5)), limit)
        ids = np.random.default_rng(2).integers(0, 6, (N, F)) * 1.0
        beside(keras, Problem(OPTIMIZERS[name], network=looked_up, x=ids), limit)


@pytest.mark.parametrize("name", ["nesterov", "adamw", "lion", "lamb"])
def test_weights_that_do_not_decay(name: str, keras: Any) -> None:
    def make(optimizers: Any) -> Any:
        optimizer = OPTIMIZERS[name](optimizers)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        return optimizer

    beside(keras, Problem(make), ROUGH.get(name, 1e-8))


@pytest.mark.filterwarnings("ignore::fastnn.models.reasons.TapeWarning")
@pytest.mark.parametrize("name", ["nesterov", "adamw", "lamb", "muon", "overwriting average"])
def test_over_the_tape(name: str, keras: Any) -> None:
    beside(keras, Problem(OPTIMIZERS[name], network=taped), ROUGH.get(name, 1e-8))


LOSSES: dict[str, tuple[Callable[[Any], Any], str, Array]] = {
    "sparse": (lambda of: of.SparseCategoricalCrossentropy(from_logits=True), "linear", LABELS),
    "sparse, softmax": (lambda of: of.SparseCategoricalCrossentropy(), "softmax", LABELS),
    "smoothed": (lambda of: of.CategoricalCrossentropy(label_smoothing=0.1), "softmax", ONE_HOT),
    "categorical": (lambda of: of.CategoricalCrossentropy(from_logits=True), "linear", SHARES),
    "binary": (lambda of: of.BinaryCrossentropy(True, label_smoothing=0.2), "linear", BITS),
    "binary, sigmoid": (lambda of: of.BinaryCrossentropy(), "sigmoid", BITS),
    "binary focal": (
        lambda of: of.BinaryFocalCrossentropy(True, alpha=0.3, label_smoothing=0.1),
        "sigmoid",
        BITS,
    ),
    "focal": (lambda of: of.CategoricalFocalCrossentropy(0.3, 1.5), "softmax", ONE_HOT),
    "mse": (lambda of: of.MeanSquaredError(), "relu", NUMBERS),
    "mae": (lambda of: of.MeanAbsoluteError(), "linear", NUMBERS),
    "mape": (lambda of: of.MeanAbsolutePercentageError(), "softplus", POSITIVE),
    "msle": (lambda of: of.MeanSquaredLogarithmicError(), "softplus", POSITIVE),
    "huber": (lambda of: of.Huber(0.7), "linear", NUMBERS),
    "log_cosh": (lambda of: of.LogCosh(), "linear", NUMBERS),
    "poisson": (lambda of: of.Poisson(), "exponential", COUNTS),
    "hinge": (lambda of: of.Hinge(), "tanh", 2 * BITS - 1),
    "squared hinge": (lambda of: of.SquaredHinge(), "linear", BITS),
    "categorical hinge": (lambda of: of.CategoricalHinge(), "linear", ONE_HOT),
    "kl": (lambda of: of.KLDivergence(), "softmax", SHARES),
    "cosine": (lambda of: of.CosineSimilarity(), "linear", NUMBERS),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str, keras: Any) -> None:
    make, head, y = LOSSES[name]
    problem = Problem(loss=make, head=head, y=y)
    beside(keras, problem)
    beside(keras, problem._replace(fit={"sample_weight": WEIGHTS}))
    if y is LABELS or y is ONE_HOT:
        beside(keras, problem._replace(fit={"class_weight": dict(enumerate(OF_CLASSES))}))

    def by_batch(losses: Any) -> Any:
        loss = make(losses)
        loss.reduction = "mean_with_sample_weight"
        return loss

    beside(keras, problem._replace(loss=by_batch, fit={"sample_weight": 2 * WEIGHTS}))
