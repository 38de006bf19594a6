"""Metrics as functions: a number for each row, whose mean is that of the class."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import layers, metrics
from fastnn.metrics.of_rows import CLASS_OF

RNG = np.random.default_rng(4)
N, C = 60, 4
P = RNG.dirichlet(np.ones(C), N).round(2)  # with equal outputs
LABELS = RNG.integers(0, C, N)
BITS = RNG.integers(0, 2, (N, C)) * 1.0


def rows_of(function, y, **how):
    found = np.asarray(function(y, P, **how))
    assert found.shape == (N,)
    mean = float(CLASS_OF[function](**how)(y, P))
    assert found.mean() == pytest.approx(mean, rel=1e-6)
    return found


def test_the_mean_is_that_of_the_class():
    one_hot = np.eye(C)[LABELS]
    rows_of(metrics.binary_accuracy, BITS)
    rows_of(metrics.binary_accuracy, BITS, threshold=0.2)
    found = rows_of(metrics.categorical_accuracy, one_hot)
    np.testing.assert_array_equal(found, rows_of(metrics.sparse_categorical_accuracy, LABELS))
    np.testing.assert_array_equal(found, P.argmax(axis=1) == LABELS)
    for k in (1, 2, 4):
        found = rows_of(metrics.top_k_categorical_accuracy, one_hot, k=k)
        sparse = rows_of(metrics.sparse_top_k_categorical_accuracy, LABELS, k=k)
        np.testing.assert_array_equal(found, sparse)
    assert found.all()


def test_labels_of_a_column_and_more_axes():
    y, p = LABELS.reshape(5, 12, 1), P.reshape(5, 12, C)
    found = metrics.sparse_categorical_accuracy(y, p)
    assert found.shape == (5, 12)
    flat = metrics.sparse_categorical_accuracy(LABELS, P).numpy()
    np.testing.assert_array_equal(found.numpy().ravel(), flat)


def test_compile_counts_them_natively():
    model = fastnn.Sequential([layers.Dense(C, input_shape=(3,))])
    model.compile(
        "sgd",
        "sparse_categorical_crossentropy",
        metrics=[metrics.sparse_categorical_accuracy, metrics.sparse_top_k_categorical_accuracy],
    )
    history = model.fit(RNG.normal(size=(N, 3)), LABELS, verbose=0).history
    assert list(history) == [
        "loss",
        "sparse_categorical_accuracy",
        "sparse_top_k_categorical_accuracy",
    ]
    assert type(model.metrics[-1]) is metrics.SparseTopKCategoricalAccuracy


def test_functions_of_losses_are_there_too():
    assert metrics.mean_squared_error is fastnn.losses.mean_squared_error
    assert metrics.kl_divergence is fastnn.losses.kl_divergence


def test_logits_of_a_crossentropy():
    z = RNG.normal(size=(N, C))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    for cls, y in (
        (metrics.SparseCategoricalCrossentropy, LABELS),
        (metrics.CategoricalCrossentropy, np.eye(C)[LABELS]),
    ):
        assert float(cls(from_logits=True)(y, z)) == pytest.approx(float(cls()(y, p)), rel=1e-9)
    p = 1 / (1 + np.exp(-z))
    binary = metrics.BinaryCrossentropy
    assert float(binary(from_logits=True)(BITS, z)) == pytest.approx(float(binary()(BITS, p)))
    with pytest.raises(TypeError, match=r"^BinaryCrossentropy\(\) keyword argument: unknown name"):
        binary(from_logit=True)


def test_wrong_targets():
    with pytest.raises(
        ValueError, match=r"expected the shape of y_pred, got \(60,\) and \(60, 4\)"
    ):
        metrics.binary_accuracy(LABELS, P)
    with pytest.raises(ValueError, match=r"expected labels of shape \(60,\)"):
        metrics.sparse_categorical_accuracy(BITS, P)
    with pytest.raises(ValueError, match=r"expected integers in \[0, 4\), got 9"):
        metrics.sparse_categorical_accuracy(np.full(N, 9), P)
    with pytest.raises((TypeError, ValueError), match="k"):
        metrics.top_k_categorical_accuracy(BITS, P, k=0)
