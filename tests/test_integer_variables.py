"""Variables of integers and bools: counters, which no optimizer changes."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers


@pytest.mark.parametrize(
    ("value", "dtype", "kept"),
    [
        (3, None, "int32"),
        ([1, 2], None, "int32"),
        (np.arange(3), None, "int64"),
        (np.arange(3, dtype=np.int8), None, "int32"),
        (True, None, "bool"),
        (1.5, None, "float32"),
        (3, "int64", "int64"),
        (3.0, np.int32, "int32"),
        (3, fastnn.float64, "float64"),
    ],
)
def test_their_own_type_is_kept(value: Any, dtype: Any, kept: str) -> None:
    variable = fastnn.Variable(value, trainable=False, dtype=dtype)
    assert variable.dtype == variable.numpy().dtype.name == kept
    np.testing.assert_array_equal(variable, value)
    for again in (copy.deepcopy(variable), pickle.loads(pickle.dumps(variable))):
        assert again.dtype == kept
        assert not again.trainable
        np.testing.assert_array_equal(again, value)


def test_what_may_be_trained_is_of_floats() -> None:
    assert fastnn.Variable([1, 2]).dtype == "float32"
    assert not fastnn.Variable(1, dtype="int32").trainable


def test_counts_beyond_what_float32_tells_apart() -> None:
    steps = fastnn.Variable(2**24, trainable=False)
    steps.assign_add(1)
    assert steps.numpy() == 2**24 + 1
    assert (steps + 1).dtype == np.int32
    steps.assign_sub(steps)
    assert steps.numpy() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda _: fastnn.Variable(0.5, dtype="int32"), "initial_value: expected numbers of int32"),
        (lambda _: fastnn.Variable(2**40, dtype="int32"), "got 1099511627776"),
        (lambda _: fastnn.Variable(2.0**63, dtype="int64"), "expected numbers of int64"),
        (lambda _: fastnn.Variable(np.nan, dtype="int64"), "got nan"),
        (lambda _: fastnn.Variable(1, True, dtype="int32"), "trainable: variable holds int32"),
        (lambda v: setattr(v, "trainable", True), "which has no gradients"),
        (lambda v: v.assign([0.5]), "variable: expected numbers of int32, got 0.5"),
        (lambda _: fastnn.Variable(1, dtype="int8"), "dtype: unknown name 'int8'"),
    ],
)
def test_bad_values_are_named(call: Callable[[fastnn.Variable], Any], message: str) -> None:
    variable = fastnn.Variable([7], trainable=False)
    with pytest.raises(ValueError, match=re.escape(message)):
        call(variable)
    assert variable.numpy() == 7


def test_a_tape_finds_no_gradient() -> None:
    n, w = fastnn.Variable(2, trainable=False), fastnn.Variable([1.0, 2.0])
    with fastnn.GradientTape() as tape:
        loss = fastnn.reduce_sum(w * fastnn.cast(n, fastnn.float32))
    found = tape.gradient(loss, [w, n])
    np.testing.assert_array_equal(found[0], [2, 2])
    assert found[1] is None


@fastnn.register_serializable("tests.integer_variables")
class Counting(fastnn.Model):
    """A model that counts the steps of its training."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(1)
        self.count = fastnn.Variable(0, trainable=False, name="count")

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def train_step(self, data: Any) -> Any:
        self.count.assign_add(1)
        return super().train_step(data)


def test_a_model_keeps_its_counter(tmp_path: Path) -> None:
    model = Counting()
    model.compile("sgd", "mse")
    x, y = np.ones((8, 2)), np.ones(8)
    model.fit(x, y, batch_size=2, verbose=0)
    assert model.count.numpy() == 4
    assert [v.path for v in model.non_trainable_variables] == ["count"]
    model.save(tmp_path / "model.safetensors")
    for again in (fastnn.load_model(tmp_path / "model.safetensors"), copy.deepcopy(model)):
        assert again.count.numpy() == 4
        assert again.count.dtype == "int32"
        again.fit(x, y, batch_size=4, verbose=0)
        assert again.count.numpy() == 6
