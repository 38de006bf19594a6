"""Training on real data does what it is for: each case has a bound that a broken net misses.

The bounds are below what scikit-learn's MLPClassifier and MLPRegressor reach on the same
split, and far above guessing; both are stated beside them.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import layers, optimizers

datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")

FASHION = Path("/usr/share/datasets/fashion-mnist")


def split(x, y, share=0.3):
    order = np.random.default_rng(0).permutation(len(x))
    cut = int(len(x) * share)
    return (x[order[cut:]], y[order[cut:]]), (x[order[:cut]], y[order[:cut]])


def scaled(train, test):
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-9
    return (train - mean) / spread, (test - mean) / spread


def network(width, hidden, outputs, head):
    model = fastnn.Sequential([layers.Input((width,))])
    for units in hidden:
        model.add(layers.Dense(units, activation="relu"))
    model.add(layers.Dense(outputs, activation=head))
    return model


# loader: (epochs, accuracy to reach, the share of the largest class)
MULTICLASS = {
    "iris": (datasets.load_iris, 100, 0.93, 0.34),
    "wine": (datasets.load_wine, 60, 0.94, 0.40),
    "digits": (datasets.load_digits, 20, 0.95, 0.11),
    "breast cancer": (datasets.load_breast_cancer, 30, 0.94, 0.63),
}


@pytest.mark.parametrize("name", MULTICLASS)
def test_multiclass(name):
    load, epochs, bound, _ = MULTICLASS[name]
    x, y = load(return_X_y=True)
    (x, y), (tx, ty) = split(x, y)
    x, tx = scaled(x, tx)
    model = network(x.shape[1], (32,), y.max() + 1, "softmax")
    model.compile(
        optimizer=optimizers.Adam(0.01),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    history = model.fit(x, y, epochs=epochs, verbose=0, validation_split=0.1).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    loss, accuracy = model.evaluate(tx, ty, verbose=0)
    assert accuracy >= bound
    assert accuracy == pytest.approx((model.predict(tx, verbose=0).argmax(axis=1) == ty).mean())
    assert loss < 0.35


@pytest.mark.parametrize("head", ["sigmoid", None])
def test_binary(head):
    """Breast cancer with one output; the larger class is 63 %."""
    x, y = datasets.load_breast_cancer(return_X_y=True)
    (x, y), (tx, ty) = split(x, y)
    x, tx = scaled(x, tx)
    model = network(x.shape[1], (16,), 1, head)
    model.compile(
        optimizer=optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(x, y, epochs=30, verbose=0)
    _, accuracy = model.evaluate(tx, ty, verbose=0)
    assert accuracy >= 0.94
    p = model.predict(tx, verbose=0)[:, 0]
    assert accuracy == pytest.approx(((p > (0.5 if head else 0)) == ty).mean())


def test_regression():
    """Diabetes: R^2 of 0.45 or so is what is in the data; the mean alone has 0."""
    x, y = datasets.load_diabetes(return_X_y=True)
    (x, y), (tx, ty) = split(x, y)
    x, tx = scaled(x, tx)
    mean, spread = y.mean(), y.std()
    model = network(x.shape[1], (16,), 1, None)
    model.compile(optimizer=optimizers.Adam(0.01, weight_decay=0.01), loss="mse", metrics=["mae"])
    history = model.fit(x, (y - mean) / spread, epochs=30, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert set(history) == {"loss", "mae"}
    residual = ty - (model.predict(tx, verbose=0)[:, 0] * spread + mean)
    assert 1 - (residual**2).mean() / ty.var() > 0.35


def test_multilabel():
    """Digits, ten labels at once, a third of the labels missing."""
    x, y = datasets.load_digits(return_X_y=True)
    (x, y), (tx, ty) = split(x / 16, y)
    hot = np.eye(10)[y]
    hot[np.random.default_rng(1).random(hot.shape) < 0.33] = np.nan
    model = network(64, (64,), 10, "sigmoid")
    model.compile(optimizer=optimizers.Adam(0.01), loss="binary_crossentropy", metrics=["accuracy"])
    model.fit(x, hot, epochs=20, verbose=0)
    p = model.predict(tx, verbose=0)
    assert (p.argmax(axis=1) == ty).mean() > 0.93  # guessing: 0.1
    assert model.evaluate(tx, np.eye(10)[ty], verbose=0)[1] > 0.97  # all "no": 0.9


def test_float64_reaches_the_same():
    x, y = datasets.load_iris(return_X_y=True)
    accuracies = []
    for dtype in ("float32", "float64"):
        fastnn.utils.set_random_seed(1)
        model = fastnn.Sequential(
            [layers.Input((4,)), layers.Dense(10, "relu"), layers.Dense(3, "softmax")], dtype=dtype
        )
        model.compile(
            optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        model.fit(x, y, epochs=60, verbose=0)
        accuracies.append(model.evaluate(x, y, verbose=0)[1])
    assert min(accuracies) > 0.95


def idx(path):
    """An array in the IDX format of MNIST: two zeros, type, dimensions, sizes, bytes."""
    with gzip.open(path) as file:
        raw = file.read()
    dimensions = raw[3]
    shape = np.frombuffer(raw, ">u4", dimensions, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def fashion(part):
    paths = [FASHION / f"{part}-{what}-ubyte.gz" for what in ("images-idx3", "labels-idx1")]
    if not all(p.exists() for p in paths):
        pytest.skip("Fashion-MNIST is absent; Debian's package dataset-fashion-mnist has it")
    return [idx(p) for p in paths]


def test_fashion_mnist():
    """Two epochs of 784-128-10 from bytes: 0.83 and more; guessing is 0.1."""
    (x, y), (tx, ty) = fashion("train"), fashion("t10k")
    model = fastnn.Sequential(
        [
            layers.Input((28, 28)),
            layers.Flatten(),
            layers.Rescaling(1 / 255),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=2, verbose=0).history
    assert history["accuracy"][-1] > 0.85
    assert model.evaluate(tx, ty, verbose=0)[1] > 0.83
