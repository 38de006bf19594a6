"""Validation: which rows are held out, and that holding them out changes nothing else.

With a learning rate of 0, rows can be given losses that are powers of two, so that the
loss of an epoch tells which rows it is of.
"""

from __future__ import annotations

import networks
import numpy as np
import pytest

import fastnn
from fastnn import optimizers


def telling(n, labels, classes):
    """x for an identity softmax: row i's loss is 2**(i + 6), to the last bit."""
    x = np.zeros((n, classes))
    x[np.arange(n), (labels + 1) % classes] = 2.0 ** (np.arange(n) + 6)
    return x


def teller(classes):
    model = networks.sequential((classes, classes), ("softmax",), dtype="float64", use_bias=False)
    model.compile(optimizer=optimizers.SGD(0.0), loss="sparse_categorical_crossentropy")
    model.set_weights([np.eye(classes)])
    return model


def rows_of(mean, n):
    """Which rows a mean of `telling` losses is of; their number is tried out."""
    for count in range(1, n + 1):
        total = round(mean * count / 64)
        rows = [i for i in range(n) if total >> i & 1]
        if len(rows) == count and abs(total * 64 / count - mean) <= 4e-16 * mean:
            return rows
    raise AssertionError(f"{mean} is no mean of such losses")


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_validation_split(share):
    """Disjoint, complete, shuffled, stratified, and the same at every fit of the model."""
    n, classes = 40, 3
    labels = np.sort(np.random.default_rng(3).choice(classes, n, p=[0.5, 0.3, 0.2]))
    x, model = telling(n, labels, classes), teller(classes)
    seen = []
    for _ in range(2):
        history = model.fit(x, labels, epochs=2, verbose=0, validation_split=share).history
        for epoch in range(2):
            training = rows_of(history["loss"][epoch], n)
            held_out = rows_of(history["val_loss"][epoch], n)
            assert sorted(training + held_out) == list(range(n))
            seen.append(held_out)
    assert all(s == seen[0] for s in seen)
    assert len(seen[0]) == pytest.approx(n * share, abs=1)
    assert seen[0] != list(range(n - len(seen[0]), n)), "the last rows, as in Keras"
    for label in range(classes):
        rows = set(np.flatnonzero(labels == label))
        assert len(rows & set(seen[0])) == pytest.approx(share * len(rows), abs=1)


def test_validation_split_depends_on_the_seed():
    splits = []
    for seed in (1, 1, 2):
        fastnn.utils.set_random_seed(seed)
        labels = np.arange(40) % 3
        history = teller(3).fit(telling(40, labels, 3), labels, verbose=0, validation_split=0.3)
        splits.append(rows_of(history.history["val_loss"][0], 40))
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_validation_data_is_used_as_given(rng):
    model = networks.sequential((4, 3), ("softmax",), dtype="float64")
    model.compile(
        optimizer=optimizers.SGD(0.0),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    x, y = rng.normal(size=(12, 4)), rng.integers(0, 3, 12)
    vx, vy, vw = rng.normal(size=(7, 4)), rng.integers(0, 3, 7), rng.random(7)
    for given in ((vx, vy), (vx, vy, vw)):
        history = model.fit(x, y, verbose=0, validation_data=given, batch_size=4).history
        weight = None if len(given) == 2 else vw
        loss, accuracy = model.evaluate(vx, vy, sample_weight=weight, verbose=0)
        assert history["val_loss"][0] == pytest.approx(loss, rel=1e-12)
        assert history["val_accuracy"][0] == pytest.approx(accuracy, rel=1e-12)


def test_validation_changes_nothing(rng):
    """Neither the weights nor the order of later epochs depend on an evaluation between."""
    x, y = rng.normal(size=(30, 4)), rng.integers(0, 3, 30)
    results = []
    for given in ({}, {"validation_data": (x[:7], y[:7])}):
        fastnn.utils.set_random_seed(3)
        model = networks.sequential((4, 8, 3), ("relu", "softmax"))
        model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=4, epochs=3, verbose=0, **given)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(), (1,), (2,)], ids=str)
def test_split_of_a_regression(shape):
    """Without classes: random rows, disjoint and complete; squares of 2**i tell which."""
    n = 20
    outputs = shape[0] if shape else 1
    model = networks.sequential((3, outputs), (None,), dtype="float64")
    model.compile(optimizer=optimizers.SGD(0.0), loss="mse")
    model.set_weights([np.zeros((3, outputs)), np.zeros(outputs)])
    y = np.broadcast_to((2.0 ** np.arange(n)).reshape(-1, *(1 for _ in shape)), (n, *shape))
    history = model.fit(np.ones((n, 3)), y, epochs=2, verbose=0, validation_split=0.25).history
    held, training = round(history["val_loss"][0] * 5), round(history["loss"][0] * 15)
    assert held + training == (4**n - 1) // 3
    bits = [i for i in range(n) if held >> 2 * i & 3]
    assert held == sum(4**i for i in bits)
    assert len(bits) == 5
    assert bits != list(range(15, 20))
    assert history["val_loss"][0] == history["val_loss"][1]


@pytest.mark.parametrize(
    ("loss", "make"),
    [
        ("binary_crossentropy", lambda y: y[:, None]),
        ("binary_crossentropy", lambda y: y),
        ("categorical_crossentropy", lambda y: np.eye(2)[y]),
        ("sparse_categorical_crossentropy", lambda y: y),
    ],
)
def test_rare_classes_are_on_both_sides(loss, make):
    """Ten rows of a rare class among 200, half held out: five here and five there."""
    y = np.zeros(200, int)
    y[::20] = 1
    model = networks.sequential(
        (1, 1 if loss.startswith("binary") else 2), (None,), dtype="float64"
    )
    model.compile(optimizer=optimizers.SGD(0.0), loss=loss, metrics=["accuracy"])
    kernel = np.zeros_like(model.get_weights()[0])
    bias = np.zeros_like(model.get_weights()[1])
    bias[0] = -5.0 if bias.size == 1 else 5.0  # always says class 0
    model.set_weights([kernel, bias])
    history = model.fit(np.ones((200, 1)), make(y), verbose=0, validation_split=0.5).history
    assert history["accuracy"][0] == pytest.approx(0.95)
    assert history["val_accuracy"][0] == pytest.approx(0.95)


def test_weights_of_held_out_rows(rng):
    """Rows keep their sample_weight when they are held out; class_weight is for training."""
    n = 40
    labels = np.arange(n) % 3
    x, model = telling(n, labels, 3), teller(3)
    w = rng.random(n) + 0.1
    split = {"verbose": 0, "validation_split": 0.3}
    held = rows_of(model.fit(x, labels, **split).history["val_loss"][0], n)
    rest = np.setdiff1d(np.arange(n), held)
    losses = 2.0 ** (np.arange(n) + 6)
    by_class = {0: 1.0, 1: 5.0, 2: 0.0}
    history = model.fit(x, labels, sample_weight=w, class_weight=by_class, **split).history
    assert history["val_loss"][0] == pytest.approx(np.average(losses[held], weights=w[held]))
    both = w * np.array([1.0, 5.0, 0.0])[labels]
    assert history["loss"][0] == pytest.approx(np.average(losses[rest], weights=both[rest]))


# -- errors name validation_data ------------------------------------------------------------------

X, Y, HOT = np.ones((12, 3)), np.arange(12) % 3, np.eye(3)[np.arange(12) % 3]


def at(array, place, value):
    array = np.array(array, dtype=float)
    array[place] = value
    return array


# name: (loss, x, y, weights, what follows "validation_data")
CROSSENTROPY = "sparse_categorical_crossentropy"
BAD = {
    "NaN in x": (CROSSENTROPY, at(X, (7, 2), np.nan), Y, None, ": x: .*nan at row 7, column 2"),
    "infinity in x": (CROSSENTROPY, at(X, (7, 2), np.inf), Y, None, ": x: .*inf at row 7"),
    "columns": (CROSSENTROPY, X[:, :2], Y, None, r": x: expected shape \(n, 3\), got \(12, 2\)"),
    "no rows": (CROSSENTROPY, X[:0], Y[:0], None, r": x is empty: .*\(0, 3\)"),
    "words": (CROSSENTROPY, np.full((12, 3), "a"), Y, None, ": x: expected numbers, got .*strings"),
    "masked": (CROSSENTROPY, np.ma.masked_array(X, X == 1), Y, None, ": x: masked .* row 0"),
    "no x": (CROSSENTROPY, None, Y, None, ": expected x and y, got None for x"),
    "no y": (CROSSENTROPY, X, None, None, ": expected x and y, got None for y"),
    "label": (CROSSENTROPY, X, at(Y, 6, 8).astype(int), None, ": y: .*got 8 at row 6"),
    "fraction": (CROSSENTROPY, X, at(Y, 6, 0.5), None, ": y: .*got 0.5 at row 6"),
    "labels' NaN": (CROSSENTROPY, X, at(Y, 6, np.nan), None, ": y: .*got nan at row 6"),
    "fewer labels": (CROSSENTROPY, X, Y[:5], None, ": y: expected 12 labels.*, got 5"),
    "strings": (CROSSENTROPY, X, ["a"] * 12, None, ": y: expected numbers.*encode them"),
    "missing": (CROSSENTROPY, X, [0, None] * 6, None, ": y: .*None at row 1"),
    "target NaN": ("mse", X, at(HOT, (4, 1), np.nan), None, ": y: .*nan at row 4, column 1"),
    "target shape": ("mse", X, Y, None, r": y: shape \(12,\) does not fit"),
    "distribution": ("categorical_crossentropy", X, 2 * HOT, None, ": y: .*add up to 1.*row 0"),
    "beyond 1": ("binary_crossentropy", X, 2 * HOT, None, r": y: .*\[0, 1\].*got 2 at row 0"),
    "negative": ("poisson", X, -HOT, None, ": y: .*at least 0, got -1 at row 0"),
    "weight": (CROSSENTROPY, X, Y, at(np.ones(12), 3, -1), ": sample_weight: .*-1 at row 3"),
    "weight NaN": (
        CROSSENTROPY,
        X,
        Y,
        at(np.ones(12), 3, np.nan),
        ": sample_weight: .*nan at row 3",
    ),
    "weights": (CROSSENTROPY, X, Y, np.ones(5), r": sample_weight: .*\(12,\), got \(5,\)"),
    "weights of 0": (CROSSENTROPY, X, Y, np.zeros(12), ": nothing counts"),
    "nothing known": ("binary_crossentropy", X, HOT * np.nan, None, ": nothing counts"),
}


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("case", BAD)
def test_errors_of_validation_data_say_so(case, built):
    loss, x, y, weights, message = BAD[case]
    model = fastnn.Sequential([fastnn.layers.Dense(3, **({"input_shape": (3,)} if built else {}))])
    model.compile("sgd", loss)
    good = Y if loss == CROSSENTROPY else HOT
    with pytest.raises((TypeError, ValueError), match=f"^validation_data{message}"):
        model.fit(X, good, validation_data=(x, y, weights), verbose=0)
    assert model.built == built
    if case == "columns" and not built:
        return  # as x they would decide the width
    with pytest.raises((TypeError, ValueError)) as told:
        model.fit(x, y, sample_weight=weights, verbose=0)
    assert "validation" not in str(told.value)


def test_what_validation_data_is():
    for given, told in (
        ((X,), "a tuple of 1"),
        ([X] * 4, "a list of 4"),
        (X, "a ndarray"),
        (3, "a int"),
    ):
        with pytest.raises(
            ValueError, match=rf"^validation_data: expected \(x, y\) or .*got {told}$"
        ):
            teller(3).fit(X, Y, validation_data=given, verbose=0)


def test_errors_of_rows_that_a_split_holds_out():
    """They are rows of x, y and sample_weight, and numbered as there."""
    for row in range(12):
        with pytest.raises(ValueError, match=rf"^x: .*nan at row {row}, column 1$"):
            teller(3).fit(at(X, (row, 1), np.nan), Y, validation_split=0.5, verbose=0)
        weights = at(np.ones(12), row, -2)
        with pytest.raises(ValueError, match=rf"^sample_weight: .*-2 at row {row}$"):
            teller(3).fit(X, Y, sample_weight=weights, validation_split=0.5, verbose=0)
    told = set()
    for row in range(12):  # the only one that counts lies on either side
        weights = at(np.zeros(12), row, 1)
        with pytest.raises(ValueError, match=r"nothing counts") as error:
            teller(3).fit(X, Y, sample_weight=weights, validation_split=0.5, verbose=0)
        told.add(str(error.value).partition(":")[0])
    assert told == {"fit", "validation_split"}
