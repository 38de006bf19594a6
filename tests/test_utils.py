"""`to_categorical` and `normalize`: the values of Keras, whose formulas are written out here."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import keras, utils


def keras_one_hot(x, num_classes=None):
    """As keras/src/utils/numerical_utils.py of Keras 3."""
    x = np.array(x, dtype="int64")
    shape = x.shape
    if shape and shape[-1] == 1 and len(shape) > 1:
        shape = shape[:-1]
    x = x.reshape(-1)
    num_classes = num_classes or np.max(x) + 1
    categorical = np.zeros((len(x), num_classes))
    categorical[np.arange(len(x)), x] = 1
    return categorical.reshape((*shape, num_classes))


def keras_normalized(x, axis, order):
    norm = np.atleast_1d(np.linalg.norm(x, order, axis))
    norm[norm == 0] = 1
    return x / np.expand_dims(norm, axis)


@pytest.mark.parametrize(
    "labels",
    [
        [0, 2, 1],
        np.array([0, 2, 1], np.uint8),
        [0.0, 2.0, 1.0],
        [[0], [2], [1]],
        [[0, 2, 1], [1, 1, 3]],
        [[[0], [1]], [[1], [2]]],
        [[4]],
        3,
        [True, False],
        fastnn.constant([1, 0]),
    ],
    ids=str,
)
@pytest.mark.parametrize("classes", [None, 6])
def test_to_categorical(labels, classes):
    want = keras_one_hot(np.asarray(labels), classes)
    got = keras.utils.to_categorical(labels, classes)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, want)
    assert utils.to_categorical is keras.utils.to_categorical


def test_to_categorical_of_older_programs():
    assert utils.to_categorical([0, 1], num_classes=2, dtype="float64").dtype == np.float64
    assert utils.to_categorical([0, 1], 2, "int32").dtype == np.int32
    with pytest.warns(DeprecationWarning, match=r"to_categorical\(\): y is the former name of x"):
        np.testing.assert_array_equal(utils.to_categorical(y=[1]), [[0, 1]])
    with pytest.raises(ValueError, match=r"x: expected integers in \[0, 2\), got 2 at place 1"):
        utils.to_categorical([0, 2], 2)


@pytest.mark.parametrize("order", [1, 2, 3, 2.0, np.inf])
@pytest.mark.parametrize("axis", [-1, 1, 0])
def test_normalize(axis, order):
    x = np.random.default_rng(0).normal(size=(4, 3, 2))
    x[1] = 0
    x[:, 1, 1] = 0
    np.testing.assert_allclose(utils.normalize(x, axis, order), keras_normalized(x, axis, order))
    whole = np.arange(6).reshape(2, 3)
    got = utils.normalize(whole, order=order)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, keras_normalized(whole, -1, order), rtol=1e-6)
    np.testing.assert_allclose(utils.normalize([3.0, 4.0], order=order)[0] > 0, True)


def test_normalize_refuses_orders_that_are_no_norms():
    for order in (0, -1, 0.5, np.nan):
        with pytest.raises(ValueError, match=rf"order: .* got {order}"):
            utils.normalize([1.0, 2.0], order=order)
    with pytest.raises(TypeError, match="order: expected a number, got 'l2'"):
        utils.normalize([1.0, 2.0], order="l2")
