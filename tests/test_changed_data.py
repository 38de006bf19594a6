"""Data that a callback changes while `fit` runs: seen from the next epoch on, labels and targets alike."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import callbacks, layers

LABELS, ONE_HOT = "sparse_categorical_crossentropy", "categorical_crossentropy"
X = np.random.default_rng(7).normal(size=(24, 3))
FIRST = np.random.default_rng(8).integers(0, 3, 24)
SECOND = (FIRST + 1) % 3

# The byte order of this machine, written out.
NATIVE = np.dtype("i4").newbyteorder("<" if sys.byteorder == "little" else ">")

pytestmark = pytest.mark.cpu  # a GPU gets the rows once


def model(loss):
    made = fastnn.Sequential([layers.Dense(4, "tanh", input_shape=(3,)), layers.Dense(3)], seed=5)
    made.compile("sgd", loss)
    return made


class Change(callbacks.Callback):
    """Calls `change` in one hook, in epoch 1 where the hook has an epoch."""

    def __init__(self, hook, change, at=1):
        super().__init__()

        def act(*arguments):
            if hook == "on_train_begin" or arguments[0] == at:
                change()

        setattr(self, hook, act)


def losses_of(loss, y, change, hook="on_epoch_begin", **options):
    made = model(loss)
    history = made.fit(
        X, y, epochs=3, batch_size=8, verbose=0, callbacks=[Change(hook, change)], **options
    )
    return history.history, made.get_weights()


def expected(loss, first, second, epochs=1, **options):
    """The same by two calls of fit, the second on the other data."""
    made = model(loss)
    logs: dict[str, list[Any]] = {}
    for y, begin, end in ((first, 0, epochs), (second, epochs, 3)):
        part = made.fit(
            X, y, initial_epoch=begin, epochs=end, batch_size=8, verbose=0, **options
        ).history
        for name, values in part.items():
            logs.setdefault(name, []).extend(values)
    return logs, made.get_weights()


def same(found, wanted):
    assert found[0] == wanted[0]
    for one, other in zip(found[1], wanted[1], strict=True):
        np.testing.assert_array_equal(one, other)


# How y is given: (loss, of integers (n,) what is passed to fit, where to write).
def strided(y):
    wide = np.repeat(y[:, None], 3, axis=1)
    return wide[:, 1]


GIVEN = {
    "int32": (LABELS, lambda y: y.astype(np.int32)),
    "int64": (LABELS, lambda y: y.astype(np.int64)),
    "uint8": (LABELS, lambda y: y.astype(np.uint8)),
    "float32": (LABELS, lambda y: y.astype(np.float32)),
    "a column": (LABELS, lambda y: y[:, None].copy()),
    "strided": (LABELS, strided),
    "order written out": (LABELS, lambda y: y.astype("i4").view(NATIVE)),
    "one-hot float32": (ONE_HOT, lambda y: np.eye(3, dtype=np.float32)[y]),
    "one-hot uint8": (ONE_HOT, lambda y: np.eye(3, dtype=np.uint8)[y]),
    "numbers": ("mse", lambda y: np.eye(3)[y]),
}


@pytest.mark.parametrize("case", GIVEN)
@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", "on_train_begin"])
def test_labels_and_targets_mean_the_same(hook, case):
    loss, given = GIVEN[case]
    y, second = given(FIRST), given(SECOND)

    def change():
        y[...] = second

    found = losses_of(loss, y, change, hook)
    epochs = {"on_epoch_begin": 1, "on_epoch_end": 2, "on_train_begin": 0}[hook]
    same(found, expected(loss, given(FIRST), given(SECOND), epochs))


@pytest.mark.parametrize("case", ["int64", "one-hot float32"])
def test_a_fit_without_epoch_hooks_sees_what_on_train_begin_wrote(case):
    loss, given = GIVEN[case]
    y, second = given(FIRST), given(SECOND)

    class Write(callbacks.Callback):
        def on_train_begin(self, *_):
            y[...] = second

    made, other = model(loss), model(loss)
    found = made.fit(X, y, epochs=2, verbose=0, callbacks=[Write()]).history
    assert found == other.fit(X, second, epochs=2, verbose=0).history


@pytest.mark.parametrize("case", ["int64", "numbers"])
def test_held_out_rows(case):
    """Of a split, and of validation_data, whose training rows stay."""
    loss, given = GIVEN[case]
    y, second = given(FIRST), given(SECOND)

    def change():
        y[...] = second

    found = losses_of(loss, y, change, validation_split=0.25)
    same(found, expected(loss, given(FIRST), given(SECOND), validation_split=0.25))
    y, training = given(FIRST), given(FIRST)
    found = losses_of(loss, training, change, validation_data=(X, y))
    wanted = model(loss)
    before = wanted.fit(X, training, validation_data=(X, given(FIRST)), batch_size=8, verbose=0)
    assert found[0]["val_loss"][0] == before.history["val_loss"][0]
    made = model(loss)
    made.set_weights(found[1])
    assert found[0]["val_loss"][2] == pytest.approx(made.evaluate(X, second, verbose=0), rel=1e-6)


@pytest.mark.parametrize("bad", [3, -1, 2**40])
@pytest.mark.parametrize("where", ["y", "validation_data"])
def test_labels_that_become_wrong(where, bad):
    """An error that names them, before the next step; the weights stay, and a later fit runs."""
    y, validation = FIRST.copy(), FIRST.copy()
    made = model(LABELS)
    kept = []

    def change():
        kept[:] = made.get_weights()
        (y if where == "y" else validation)[4] = bad

    given = {"validation_data": (X, validation), "callbacks": [Change("on_epoch_begin", change)]}
    name = "y" if where == "y" else "validation_data: y"
    with pytest.raises(ValueError, match=rf"^{name}: expected .*{bad} at row 4"):
        made.fit(X, y, epochs=3, verbose=0, **given)
    for one, other in zip(made.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(one, other)
    made.fit(X, FIRST, verbose=0)


def test_ignored_labels_may_come_and_go():
    loss = fastnn.losses.SparseCategoricalCrossentropy(ignore_class=-1)
    y = FIRST.copy()
    second = np.where(np.arange(24) % 2, FIRST, -1)

    def change():
        y[...] = second

    found, wanted = losses_of(loss, y, change)[0], expected(loss, FIRST, second)[0]
    assert found["loss"] == pytest.approx(wanted["loss"], rel=0.05)
    assert found["loss"][0] == wanted["loss"][0]


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64])
def test_weights_are_those_of_the_beginning(kind):
    weights = np.ones(24, kind)

    def change():
        weights[:] = 0

    found = losses_of(LABELS, FIRST.copy(), change, sample_weight=weights)
    same(found, losses_of(LABELS, FIRST.copy(), lambda: None, sample_weight=np.ones(24, kind)))


def test_a_list_is_read_once():
    y = FIRST.tolist()

    def change():
        y[:] = [7] * 24

    same(losses_of(LABELS, y, change), losses_of(LABELS, FIRST, lambda: None))
