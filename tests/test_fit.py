"""`fit`, `evaluate`, `predict`, `train_on_batch`: what they return, and that it is exact.

With a learning rate of 0 nothing moves, so what an epoch reports can be computed in NumPy.
"""

from __future__ import annotations

import cases
import networks
import numpy as np
import pytest
import reference
from tolerances import check

import fastnn
from fastnn import metrics, optimizers
from fastnn.training import loops


def still(widths, activations, loss, *, dtype="float64", **options):
    """A model that does not move, with weights that are not trivial."""
    model = networks.sequential(widths, activations, dtype=dtype)
    model.compile(optimizer=optimizers.SGD(0.0), loss=loss, **options)
    model.set_weights(cases.glorot(np.random.default_rng(5), widths))
    return model


# -- history ------------------------------------------------------------------------------


def test_history(rng):
    model = still((4, 3), ("softmax",), "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = rng.normal(size=(20, 4)), rng.integers(0, 3, 20)
    history = model.fit(x, y, epochs=3, batch_size=8, verbose=0, validation_split=0.2)
    assert isinstance(history, fastnn.callbacks.History)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(v) == 3 for v in history.history.values())
    assert all(type(number) is float for v in history.history.values() for number in v)
    assert history.epoch == [0, 1, 2]
    assert history.params["epochs"] == 3
    assert history.params["steps"] == 2
    assert history.model is model
    assert model.history is history


@pytest.mark.parametrize(
    ("loss", "head", "names"),
    [
        ("sparse_categorical_crossentropy", "softmax", ["acc", "sparse_categorical_accuracy"]),
        ("categorical_crossentropy", None, ["accuracy", "categorical_crossentropy"]),
        ("binary_crossentropy", "sigmoid", ["accuracy", "binary_accuracy", "bce"]),
        ("mse", None, ["mae", "mean_squared_error", "root_mean_squared_error"]),
    ],
)
def test_keys_are_the_words_of_the_user(loss, head, names, rng):
    model = still((4, 3), (head,), loss, metrics=names)
    y = np.eye(3)[rng.integers(0, 3, 10)]
    if loss.startswith("sparse"):
        y = y.argmax(axis=1)
    history = model.fit(rng.normal(size=(10, 4)), y, verbose=0)
    assert list(history.history) == ["loss", *names]


def test_weighted_metrics_have_their_own_keys(rng):
    model = still(
        (4, 3),
        ("softmax",),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        weighted_metrics=["accuracy"],
    )
    x, y, w = rng.normal(size=(30, 4)), rng.integers(0, 3, 30), rng.random(30)
    history = model.fit(x, y, sample_weight=w, verbose=0).history
    right = model.predict(x).argmax(axis=1) == y
    assert history["accuracy"][0] == pytest.approx(right.mean(), rel=1e-12)
    assert history["weighted_accuracy"][0] == pytest.approx((right * w).sum() / w.sum(), rel=1e-6)


# -- exact over the rows of an epoch ----------------------------------------------------------


def top_k(k):
    def metric(p, y):
        y = y if y.ndim == 1 else y.argmax(axis=1)
        return ((p > p[np.arange(len(y)), y][:, None]).sum(axis=1) < k).mean()

    return metric


def label_accuracy(p, y):
    return (p.argmax(axis=1) == (y if y.ndim == 1 else y.argmax(axis=1))).mean()


# loss: (metrics to ask for, each as NumPy on what predict returns)
METRICS = {
    "sparse_categorical_crossentropy": {
        "accuracy": label_accuracy,
        "sparse_categorical_accuracy": label_accuracy,
        "sparse_top_k": top_k(2),
        "sparse_categorical_crossentropy": lambda p, y: -np.log(p[np.arange(len(y)), y]).mean(),
    },
    "categorical_crossentropy": {
        "accuracy": label_accuracy,
        "categorical_accuracy": label_accuracy,
        "top_k": top_k(3),
        "mae": lambda p, y: np.abs(p - y).mean(),
        "mse": lambda p, y: ((p - y) ** 2).mean(),
    },
    "binary_crossentropy": {
        "accuracy": lambda p, y: ((p > 0.5) == (y > 0.5)).mean(),
        "binary_accuracy": lambda p, y: ((p > 0.5) == (y > 0.5)).mean(),
        "strict": lambda p, y: ((p > 0.7) == (y > 0.5)).mean(),
        "binary_crossentropy": lambda p, y: -np.log(np.where(y > 0.5, p, 1 - p)).mean(),
        "mae": lambda p, y: np.abs(p - y).mean(),
    },
    "mean_squared_error": {
        "mae": lambda p, y: np.abs(p - y).mean(),
        "mse": lambda p, y: ((p - y) ** 2).mean(),
        "rmse": lambda p, y: np.sqrt(((p - y) ** 2).mean()),
    },
}
OBJECTS = {
    "sparse_top_k": lambda: metrics.SparseTopKCategoricalAccuracy(k=2, name="sparse_top_k"),
    "top_k": lambda: metrics.TopKCategoricalAccuracy(k=3, name="top_k"),
    "strict": lambda: metrics.BinaryAccuracy(threshold=0.7, name="strict"),
}
HEADS = {
    "sparse_categorical_crossentropy": "softmax",
    "categorical_crossentropy": "softmax",
    "binary_crossentropy": "sigmoid",
    "mean_squared_error": "linear",
}


def answer(loss, n, o, rng):
    if loss == "sparse_categorical_crossentropy":
        return rng.integers(0, o, n)
    if loss == "categorical_crossentropy":
        return np.eye(o)[rng.integers(0, o, n)]
    if loss == "binary_crossentropy":
        return rng.integers(0, 2, (n, o)).astype(float)
    return rng.normal(size=(n, o))


@pytest.mark.parametrize("loss", METRICS)
@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("n", [1, 33, 70])
def test_metrics_are_exact(n, dtype, loss, rng):
    """The last batch is short; a mean of batch means would be off."""
    wanted = METRICS[loss]
    model = still(
        (6, 9, 5),
        ("tanh", HEADS[loss]),
        loss,
        dtype=dtype,
        metrics=[OBJECTS[m]() if m in OBJECTS else m for m in wanted],
    )
    x, y = rng.normal(size=(n, 6)).astype(dtype), answer(loss, n, 5, rng)
    p = model.predict(x).astype(np.float64)
    history = model.fit(x, y, batch_size=32, verbose=0).history
    for name, formula in wanted.items():
        check(history[name][0], formula(p, y), "network", dtype, what=name)
    op = {"softmax": "softmax_cross_entropy", "sigmoid": "sigmoid_cross_entropy"}
    network = reference.Network(("tanh", HEADS[loss]), op.get(HEADS[loss], loss))
    want, _ = network.value_and_grad(model.get_weights(), x, y)
    check(history["loss"][0], want, "network", dtype, what="loss")
    for batch_size in (1, 7, 32, 1000):
        values = model.evaluate(x, y, batch_size=batch_size, verbose=0, return_dict=True)
        assert list(values) == ["loss", *wanted]
        for name, value in values.items():
            check(value, history[name][0], "network", dtype, what=f"evaluate {name}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("c", [2, 3, 10, 16, 17, 128, 129])
def test_accuracy_of_any_width(c, dtype, rng):
    """Short rows are counted sixteen at a time; of equal outputs the first is the class."""
    n = 150
    x = rng.integers(0, 3, (n, c)).astype(dtype)
    y, w = rng.integers(0, min(c, 4), n), rng.integers(0, 3, n).astype(float)
    hit = x.argmax(axis=1) == y
    for name, labels in (
        ("sparse_categorical", y),
        ("categorical", np.eye(c, dtype=dtype)[y]),
    ):
        model = fastnn.Sequential(
            [fastnn.layers.Dense(c, use_bias=False, input_shape=(c,), dtype=dtype)]
        )
        model.compile(loss=f"{name}_crossentropy", weighted_metrics=["accuracy"])
        model.set_weights([np.eye(c)])
        got = model.evaluate(x, labels, sample_weight=w, verbose=0, return_dict=True)
        assert got["accuracy"] == pytest.approx((w * hit).sum() / w.sum(), rel=1e-12)


def test_weighted_loss_of_an_epoch(rng):
    """sum(w l) / sum(w) over the epoch, not a mean of the batches' means."""
    model = still((4, 3), ("softmax",), "sparse_categorical_crossentropy")
    x, y, w = rng.normal(size=(21, 4)), rng.integers(0, 3, 21), 10 ** rng.normal(size=21)
    network = reference.Network(("softmax",), "softmax_cross_entropy")
    want, _ = network.value_and_grad(model.get_weights(), x, y, w)
    got = model.fit(x, y, sample_weight=w, batch_size=4, verbose=0).history["loss"][0]
    assert got == pytest.approx(want, rel=1e-12)
    assert model.evaluate(x, y, sample_weight=w, verbose=0) == pytest.approx(want, rel=1e-12)


def test_evaluate_and_train_on_batch_return_what_keras_does(rng):
    x, y = rng.normal(size=(9, 4)), rng.integers(0, 3, 9)
    bare = still((4, 3), ("softmax",), "sparse_categorical_crossentropy")
    assert np.ndim(bare.evaluate(x, y, verbose=0)) == 0
    assert np.ndim(bare.train_on_batch(x, y)) == 0
    model = still(
        (4, 3), ("softmax",), "sparse_categorical_crossentropy", metrics=["accuracy", "acc"]
    )
    values = model.evaluate(x, y, verbose=0)
    assert isinstance(values, list)
    assert len(values) == 3
    np.testing.assert_allclose(model.train_on_batch(x, y), values, rtol=1e-12)
    named = model.train_on_batch(x, y, return_dict=True)
    assert list(named) == ["loss", "accuracy", "acc"]
    assert model.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(named, rel=1e-12)


def test_train_on_batch_reports_this_batch():
    """Not, as in Keras, a running mean over all earlier calls."""
    model = still((4, 1), (None,), "mse")
    losses = [float(model.train_on_batch(np.zeros((2, 4)), np.full(2, v))) for v in (10.0, 0.0)]
    bias = model.get_weights()[1][0]
    np.testing.assert_allclose(losses, [(bias - 10) ** 2, bias**2], rtol=1e-12)


def test_train_on_batch_with_weights(rng):
    x, y, w = rng.normal(size=(9, 4)), rng.integers(0, 3, 9), rng.random(9)
    model = still((4, 3), ("softmax",), "sparse_categorical_crossentropy")
    network = reference.Network(("softmax",), "softmax_cross_entropy")
    want, _ = network.value_and_grad(model.get_weights(), x, y, w)
    assert model.train_on_batch(x, y, sample_weight=w) == pytest.approx(want, rel=1e-12)
    weighted = w * np.array([1.0, 0.5, 3.0])[y]
    want, _ = network.value_and_grad(model.get_weights(), x, y, weighted)
    got = model.train_on_batch(x, y, sample_weight=w, class_weight={0: 1.0, 1: 0.5, 2: 3.0})
    assert got == pytest.approx(want, rel=1e-12)


# -- weights of rows and classes ------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("how", ["sample_weight", "class_weight", "both"])
def test_a_weight_is_that_many_rows(how, optimizer, rng):
    """Whole epochs in one batch: weights and copies of rows are the same training."""
    x, y = rng.normal(size=(12, 4)), rng.integers(0, 3, 12)
    w = rng.integers(0, 4, 12) if how != "class_weight" else np.ones(12, int)
    by_class = {0: 1, 1: 3, 2: 2} if how != "sample_weight" else None
    count = w if by_class is None else w * np.array([1, 3, 2])[y]
    results = []
    for weighted in (True, False):
        model = networks.sequential((4, 5, 3), ("tanh", "softmax"), dtype="float64")
        model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
        model.set_weights(cases.glorot(np.random.default_rng(1), (4, 5, 3)))
        if weighted:
            given = {"sample_weight": w, "class_weight": by_class}
            history = model.fit(x, y, batch_size=100, epochs=5, verbose=0, **given)
        else:
            rows = np.repeat(np.arange(12), count)
            history = model.fit(x[rows], y[rows], batch_size=100, epochs=5, verbose=0)
        results.append((history.history["loss"], model.get_weights()))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-10)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12)


# -- epochs, batches, predict --------------------------------------------------------------


def test_two_fits_are_one_long_one(rng):
    x, y = rng.normal(size=(30, 4)), rng.integers(0, 3, 30)
    results = []
    for parts in ((4,), (1, 3), (2, 2)):
        fastnn.utils.set_random_seed(3)
        model = networks.sequential((4, 8, 3), ("relu", "softmax"))
        model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
        losses = []
        for epochs in parts:
            losses += model.fit(x, y, batch_size=4, epochs=epochs, verbose=0).history["loss"]
        results.append((losses, model.get_weights()))
    for losses, weights in results[1:]:
        assert losses == results[0][0]
        for a, b in zip(weights, results[0][1], strict=True):
            np.testing.assert_array_equal(a, b)


def test_many_epochs_are_a_few_native_calls(rng, monkeypatch):
    """Their sums would not fit into memory otherwise; numbers and order are the same."""
    x, y = rng.normal(size=(20, 3)), rng.integers(0, 3, 20)
    results = []
    for at_once in (100, 2):
        monkeypatch.setattr(loops, "_AT_ONCE", at_once)
        fastnn.utils.set_random_seed(1)
        model = networks.sequential((3, 3), (None,))
        model.compile("adam", "sparse_categorical_crossentropy")
        history = model.fit(x, y, batch_size=4, epochs=6, initial_epoch=1, verbose=0)
        assert history.epoch == [1, 2, 3, 4, 5]
        results.append([np.array(history.history["loss"]), *model.get_weights()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_initial_epoch():
    model = still((4, 1), (None,), "mse")
    history = model.fit(np.ones((3, 4)), np.ones(3), epochs=5, initial_epoch=3, verbose=0)
    assert history.epoch == [3, 4]
    assert len(history.history["loss"]) == 2


def test_defaults_of_fit(rng):
    """One epoch, batches of 32, shuffled: 65 rows are three steps."""
    model = still((4, 1), (None,), "mse")
    history = model.fit(rng.normal(size=(65, 4)), rng.normal(size=65), verbose=0)
    assert history.params["steps"] == 3
    assert history.epoch == [0]


def test_shuffle_false_is_the_order_given(rng):
    x, y = rng.normal(size=(64, 4)), rng.normal(size=64)
    results = []
    for shuffle in (True, True, False, False):
        model = networks.sequential((4, 1), (None,), dtype="float64")
        model.compile(optimizer="sgd", loss="mse")
        model.set_weights([np.zeros((4, 1)), np.zeros(1)])
        model.fit(x, y, batch_size=4, shuffle=shuffle, verbose=0)
        results.append(model.get_weights()[0].ravel())
    assert not np.array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[2], results[3])


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("n", [1, 2, 31, 257])
def test_predict(n, dtype, rng):
    """As the oracle; the size of the batch changes no bit."""
    widths, activations = (17, 33, 9), ("gelu", "softmax")
    model = networks.sequential(widths, activations, dtype=dtype)
    model.set_weights(cases.glorot(rng, widths))
    x = rng.normal(size=(n, 17)).astype(dtype)
    p = model.predict(x, verbose=0)
    assert p.dtype == dtype
    network = reference.Network(activations, "softmax_cross_entropy")
    check(p, network.predict(model.get_weights(), x), "network", dtype)
    for batch_size in (1, 5, 32, 10**6):
        np.testing.assert_array_equal(model.predict(x, batch_size=batch_size, verbose=0), p)


def test_predict_needs_no_compile_and_calling_is_predicting(rng):
    model = networks.sequential((4, 3), ("softmax",))
    x = rng.normal(size=(5, 4)).astype(np.float32)
    assert model.predict(x, verbose=0).shape == (5, 3)


def test_dropout_acts_in_training_alone():
    model = fastnn.Sequential(
        [
            fastnn.layers.Input(shape=(50,)),
            fastnn.layers.Dropout(0.5),
            fastnn.layers.Dense(1, use_bias=False),
        ]
    )
    model.compile(optimizer=optimizers.SGD(0.0), loss="mse")
    model.set_weights([np.ones((50, 1))])
    x, y = np.ones((200, 50)), np.zeros(200)
    np.testing.assert_allclose(model.predict(x, verbose=0), 50)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(2500, rel=1e-6)
    # The sum of 50 inputs, each 0 or 2, has mean 50 and variance 50: E[s^2] = 2550.
    noisy = model.fit(x, y, verbose=0).history["loss"][0]
    assert noisy == pytest.approx(2550, rel=0.15)
    assert noisy != pytest.approx(2500, rel=1e-6)


@pytest.mark.parametrize(("verbose", "lines"), [(0, 0), (2, 3), (1, None), ("auto", None)], ids=str)
def test_verbose(verbose, lines, capsys, rng):
    model = still((4, 3), ("softmax",), "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = rng.normal(size=(20, 4)), rng.integers(0, 3, 20)
    model.fit(x, y, epochs=3, verbose=verbose, validation_split=0.2)
    text = capsys.readouterr().out
    if lines == 0:
        assert text == ""
        return
    for word in ("1/3", "3/3", "loss", "accuracy", "val_loss", "val_accuracy"):
        assert word in text
    if lines:
        assert len([line for line in text.splitlines() if "val_loss" in line]) == lines
