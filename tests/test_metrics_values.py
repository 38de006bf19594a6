"""Mean and Sum: numbers of a training loop of one's own. Expected values are worked out by hand."""

from __future__ import annotations

import math

import networks
import numpy as np
import pytest

import fastnn
from fastnn import metrics
from fastnn.metrics import Mean, Sum


def test_mean_of_losses():
    mean = Mean(name="train_loss")
    assert mean.name == "train_loss"
    assert math.isnan(mean.result().numpy())
    for loss in (1.0, fastnn.constant(2.0), np.float32(6.0)):
        mean.update_state(loss)
    assert isinstance(mean.result(), fastnn.Tensor)
    assert mean.result().numpy() == 3.0
    assert f"{mean.result():.2f}" == "3.00"
    assert mean([5.0, 7.0]).numpy() == 21 / 5
    mean.reset_state()
    assert math.isnan(mean.result().numpy())
    assert mean(4).numpy() == 4


# values, weights, the mean, the sum: those that Keras 3 has.
VALUES = {
    "a number": (2.0, None, 2.0, 2.0),
    "a weighed number": (2.0, 0.5, 2.0, 1.0),
    "rows": ([1.0, 3.0, 5.0, 7.0], None, 4.0, 16.0),
    "weighed rows": ([1.0, 3.0, 5.0, 7.0], [1, 1, 0, 0], 2.0, 4.0),
    "one weight": ([1.0, 3.0, 5.0, 7.0], 2.0, 4.0, 32.0),
    "rows of numbers": ([[1.0, 2.0, 3.0], [4.0, 8.0, 12.0]], None, 5.0, 10.0),
    "weighed rows of numbers": ([[1.0, 2.0, 3.0], [4.0, 8.0, 12.0]], [3, 1], 3.5, 14.0),
    "a column of weights": ([[2.0], [6.0]], [[3], [1]], 3.0, 12.0),
    "a column of weights of rows": ([2.0, 6.0], [[3], [1]], 3.0, 12.0),
    "weights of numbers": ([[1.0, 2.0], [4.0, 8.0]], [[1, 0], [1, 1]], 6.5 / 1.5, 6.5),
    "no weight": ([1.0, 2.0], [0, 0], math.nan, 0.0),
    "no rows": ([], None, math.nan, 0.0),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_and_weights(case):
    values, weights, mean, total = VALUES[case]
    np.testing.assert_allclose(Mean()(values, sample_weight=weights).numpy(), mean)
    np.testing.assert_allclose(Sum()(values, weights).numpy(), total)


def test_rows_of_several_calls_count_alike():
    """Three rows and one, whatever the number of columns; in float64."""
    mean = Mean()
    mean.update_state(np.ones((3, 2), np.float32))
    mean.update_state([[5.0, 5.0, 5.0]])
    assert mean.result().numpy() == 2.0
    total = Sum()
    for _ in range(3):
        total.update_state(np.float32(2**24) + np.ones(1))
    assert total.result().numpy() == 3 * (2**24 + 1)


@pytest.mark.parametrize("cls", [Mean, Sum])
def test_wrong_weights(cls):
    metric = cls()
    metric.update_state(1.0)
    before = metric.result().numpy()
    for values, weights, message in (
        ([1.0, 2.0], [1, 2, 3], r"shape \(3,\) does not go with values of shape \(2,\)"),
        ([1.0, 2.0], [1, -1], "at least 0, got -1"),
        ([1.0, 2.0], [1, math.nan], "finite numbers of at least 0, got nan"),
        (1.0, [1.0, 2.0], r"shape \(2,\) does not go with values of shape \(\)"),
    ):
        with pytest.raises(ValueError, match=f"sample_weight: .*{message}"):
            metric.update_state(values, weights)
    assert metric.result().numpy() == before


@pytest.mark.parametrize("given", ["mean", Mean, Mean(), "sum"])
def test_compile_says_what_they_are_for(given):
    model = networks.sequential((4, 3), ("linear",))
    with pytest.raises(
        ValueError, match=r"metrics: '(mean|sum)' is about the numbers of a loop of"
    ):
        model.compile("sgd", "mse", metrics=[given])


@pytest.mark.parametrize("name", ["reset_states", "update"])
def test_attributes_of_keras(name):
    for metric in (Mean(), metrics.BinaryAccuracy()):
        assert not hasattr(metric, name)
        with pytest.raises(AttributeError, match=rf"'{name}': it is not in fastnn; "):
            getattr(metric, name)
        with pytest.raises(AttributeError, match=r"has no attribute 'resutl'$"):
            _ = metric.resutl


def test_copies():
    import copy
    import pickle

    metric = Mean()
    metric.update_state(3.0)
    for other in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        other.update_state(5.0)
        assert (other.result().numpy(), metric.result().numpy()) == (4, 3)


def test_names():
    assert metrics.get("mean").name == "mean"
    assert isinstance(metrics.get("Mean"), Mean)
    assert Mean.from_config(Mean(name="a").get_config()).name == "a"
    with pytest.raises(ValueError, match="did you mean"):
        metrics.get("meen", "values")
