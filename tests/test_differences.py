"""Where Keras is known to hurt its users and fastnn differs: one section per promise.

Numbers as such are tested elsewhere; here is what a word means.
"""

from __future__ import annotations

import math
import warnings

import cases
import networks
import numpy as np
import pytest
import reference

import fastnn
from fastnn import layers, losses, optimizers

CATEGORICAL = "sparse_categorical_crossentropy"
BINARY = "binary_crossentropy"


def chain(*activations, widths=(4, 5, 3), dtype="float64"):
    return networks.sequential(widths, activations, dtype=dtype)


# -- what the head means -------------------------------------------------------------------

# (loss, activation of the last layer, from_logits): all mean the same loss on true logits
SAME = [
    (losses.SparseCategoricalCrossentropy, "softmax", False),
    (losses.SparseCategoricalCrossentropy, None, True),
    (losses.SparseCategoricalCrossentropy, None, False),
    (losses.CategoricalCrossentropy, "softmax", False),
    (losses.CategoricalCrossentropy, None, False),
    (losses.BinaryCrossentropy, "sigmoid", False),
    (losses.BinaryCrossentropy, None, True),
    (losses.BinaryCrossentropy, None, False),
]


@pytest.mark.parametrize(("loss", "head", "from_logits"), SAME)
def test_head_is_folded_or_means_logits(loss, head, from_logits, rng):
    """Extreme logits show it: through probabilities the loss would be clipped or infinite."""
    model = chain("tanh", head)
    model.compile(optimizer=optimizers.SGD(0.0), loss=loss(from_logits=from_logits))
    weights = cases.glorot(rng, (4, 5, 3))
    weights[2] *= 2000
    model.set_weights(weights)
    x, y = rng.normal(size=(20, 4)), rng.integers(0, 3, 20)
    op = "sigmoid_cross_entropy" if loss is losses.BinaryCrossentropy else "softmax_cross_entropy"
    given = y if loss is losses.SparseCategoricalCrossentropy else np.eye(3)[y]
    target = np.eye(3)[y] if op == "sigmoid_cross_entropy" else y
    want, _ = reference.Network(("tanh", "linear"), op).value_and_grad(weights, x, target)
    assert want > 50
    for got in (
        model.value_and_grad(x, given)[0],
        model.evaluate(x, given, verbose=0),
        model.fit(x, given, verbose=0).history["loss"][0],
        model.train_on_batch(x, given),
    ):
        assert got == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize("head", ["softmax", "sigmoid", None])
def test_predict_returns_the_last_layers_output(head, rng):
    """Folded or not, and before and after compile."""
    model = chain("tanh", head)
    weights, x = cases.glorot(rng, (4, 5, 3)), rng.normal(size=(9, 4))
    model.set_weights(weights)
    want = reference.Network(("tanh", head or "linear"), CATEGORICAL).predict(weights, x)
    np.testing.assert_allclose(model.predict(x, verbose=0), want, rtol=1e-12)
    model.compile(optimizer="sgd", loss=BINARY if head == "sigmoid" else CATEGORICAL)
    np.testing.assert_allclose(model.predict(x, verbose=0), want, rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "head"),
    [
        (losses.SparseCategoricalCrossentropy, "softmax"),
        (losses.CategoricalCrossentropy, "softmax"),
        (losses.BinaryCrossentropy, "sigmoid"),
    ],
)
def test_from_logits_after_softmax_warns_and_trains_on_the_logits(loss, head, rng):
    model = fastnn.Sequential(
        [layers.Input((4,)), layers.Dense(3, activation=head, name="verdict")], dtype="float64"
    )
    with pytest.warns(UserWarning, match="verdict"):
        model.compile(optimizer="sgd", loss=loss(from_logits=True))
    weights = [100 * rng.normal(size=(4, 3)), np.zeros(3)]
    model.set_weights(weights)
    x, y = rng.normal(size=(9, 4)), rng.integers(0, 3, 9)
    op = "sigmoid_cross_entropy" if head == "sigmoid" else "softmax_cross_entropy"
    given = y if loss is losses.SparseCategoricalCrossentropy else np.eye(3)[y]
    target = np.eye(3)[y] if head == "sigmoid" else y
    want, _ = reference.Network(("linear",), op).value_and_grad(weights, x, target)
    assert model.value_and_grad(x, given)[0] == pytest.approx(want, rel=1e-10)


def test_a_fitting_head_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for loss, head, from_logits in SAME:
            chain("relu", head).compile(optimizer="sgd", loss=loss(from_logits=from_logits))


def test_an_activation_layer_is_a_head_too(rng):
    weights, x, y = [200 * rng.normal(size=(4, 3)), np.zeros(3)], rng.normal(size=(9, 4)), None
    y = rng.integers(0, 3, 9)
    model = fastnn.Sequential(
        [layers.Input((4,)), layers.Dense(3), layers.Activation("softmax")], dtype="float64"
    )
    model.compile(optimizer="sgd", loss=CATEGORICAL)
    model.set_weights(weights)
    network = reference.Network(("softmax",), "softmax_cross_entropy")
    want, _ = network.value_and_grad(weights, x, y)
    assert model.value_and_grad(x, y)[0] == pytest.approx(want, rel=1e-10)


# (units, activation, loss, what the message names)
CANNOT_BE_MEANT = [
    (3, "relu", CATEGORICAL, "relu"),
    (3, "tanh", CATEGORICAL, "tanh"),
    (3, "sigmoid", CATEGORICAL, "sigmoid"),
    (3, "relu", "categorical_crossentropy", "relu"),
    (1, "relu", BINARY, "relu"),
    (3, "gelu", BINARY, "gelu"),
    (3, "softmax", BINARY, "softmax"),
    (1, "softmax", BINARY, "softmax"),
    (1, "softmax", CATEGORICAL, "one unit"),
    (1, None, CATEGORICAL, "one unit"),
    (1, "sigmoid", CATEGORICAL, "one unit|sigmoid"),
    (1, None, "categorical_crossentropy", "one unit"),
]


@pytest.mark.parametrize(("units", "activation", "loss", "word"), CANNOT_BE_MEANT)
def test_heads_that_cannot_be_meant(units, activation, loss, word):
    model = fastnn.Sequential(
        [layers.Input((4,)), layers.Dense(units, activation=activation, name="verdict")]
    )
    with pytest.raises(ValueError, match=f"verdict(?s:.*)({word})"):
        model.compile(optimizer="sgd", loss=loss)


# name: (the layers after an Input of 4, the loss, what the message says)
HIDDEN = {
    "relu below softmax": (
        [layers.Dense(3, "relu", name="verdict"), layers.Activation("softmax")], CATEGORICAL, "relu"
    ),
    "tanh below dropout and sigmoid": (
        [layers.Dense(3, "tanh", name="verdict"), layers.Dropout(0.5), layers.Activation("sigmoid")],
        BINARY,
        "tanh",
    ),
    "an activation below flatten": (
        [
            layers.Dense(3),
            layers.Activation("elu", name="verdict"),
            layers.Flatten(),
            layers.Activation("softmax"),
        ],
        CATEGORICAL,
        "elu",
    ),
    "softmax, dropout, softmax": (
        [layers.Dense(3, "softmax"), layers.Dropout(0.5), layers.Activation("softmax", name="verdict")],
        "mse",
        "twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HIDDEN)
def test_heads_that_cannot_be_meant_do_not_hide(case):
    chained, loss, word = HIDDEN[case]
    model = fastnn.Sequential([layers.Input((4,)), *chained])
    with pytest.raises(ValueError, match=f"verdict(?s:.*)({word})"):
        model.compile("sgd", loss)
    assert not model.compiled


def test_heads_below_which_nothing_is_wrong():
    for below in ([layers.Dense(3)], [layers.Dense(3), layers.Rescaling(0.5)]):
        model = fastnn.Sequential([layers.Input((4,)), *below, layers.Activation("softmax")])
        model.compile("sgd", CATEGORICAL)


@pytest.mark.parametrize("activation", ["softmax", "linear"])
def test_one_output_without_a_dense_is_one_unit(activation):
    """Known at compile where the model is built, else at the first data."""

    def chained(*shape):
        return fastnn.Sequential([*shape, layers.Flatten(), layers.Activation(activation)])

    with pytest.raises(ValueError, match="one unit"):
        chained(layers.Input((1, 1))).compile("sgd", CATEGORICAL)
    model = chained()
    model.compile("sgd", CATEGORICAL)
    with pytest.raises(ValueError, match="one unit"):
        model.fit(np.ones((3, 1, 1)), np.zeros(3, int), verbose=0)
    assert not model.built


# (the last layers, the metric, what the message names)
NO_LOGITS = [
    ([layers.Dense(3, "softmax"), layers.Dropout(0.5, name="drop")], "categorical_crossentropy"),
    ([layers.Dense(3, "sigmoid"), layers.Rescaling(2.0, name="drop")], BINARY),
    ([layers.Dense(3, name="drop")], BINARY),
    ([layers.Dense(3, "relu", name="drop")], "categorical_crossentropy"),
]


@pytest.mark.parametrize(("chained", "metric"), NO_LOGITS)
def test_cross_entropy_metrics_want_logits(chained, metric):
    model = fastnn.Sequential([layers.Input((4,)), *chained])
    with pytest.raises(ValueError, match=rf"'{metric}'.*mean_squared_error.*drop"):
        model.compile("sgd", "mse", metrics=[metric])
    assert not model.compiled


@pytest.mark.parametrize(
    ("head", "loss", "metric"),
    [
        ("softmax", "mse", "categorical_crossentropy"),
        ("sigmoid", "mse", BINARY),
        (None, BINARY, BINARY),
        (None, "categorical_crossentropy", "categorical_crossentropy"),
    ],
)
def test_cross_entropy_metrics_that_have_logits(head, loss, metric):
    chain("tanh", head).compile("sgd", loss, metrics=[metric])


@pytest.mark.parametrize("head", ["sigmoid", None])
def test_accuracy_cuts_probabilities_in_the_middle_and_logits_at_zero(head):
    model = networks.sequential((1, 1), (head,), use_bias=False)
    model.compile(optimizer="sgd", loss=BINARY, metrics=["accuracy"])
    model.set_weights([np.ones((1, 1))])
    x = np.array([[-0.3], [-0.01], [0.01], [0.3]])  # 0.3 is a logit under 0.5, p = 0.57
    assert model.evaluate(x, np.array([0, 0, 1, 1]), verbose=0)[1] == 1.0
    assert model.evaluate(x, np.array([1, 0, 1, 1]), verbose=0)[1] == 0.75


# -- shapes are never broadcast into a wrong loss ----------------------------------------------

MISFITS = [
    (1, "mse", (6, 2)),
    (1, "mse", (6, 6)),
    (1, "mse", (1, 6)),
    (3, "mse", (6,)),
    (3, "mse", (6, 1)),
    (3, "mse", (6, 3, 1)),
    (3, "mse", (3, 6)),
    (1, BINARY, (6, 2)),
    (3, BINARY, (6,)),
    (3, "categorical_crossentropy", (6, 4)),
    (3, "categorical_crossentropy", (6, 1)),
    (3, CATEGORICAL, (6, 2)),
    (3, CATEGORICAL, (6, 3)),
    (3, CATEGORICAL, (6, 1, 1)),
]


@pytest.mark.parametrize(("units", "loss", "shape"), MISFITS, ids=str)
def test_targets_that_do_not_fit(units, loss, shape):
    """Both shapes stand in the message."""
    model = networks.sequential((4, units), (None,))
    model.compile(optimizer="sgd", loss=loss)
    x, y = np.ones((6, 4)), np.zeros(shape)
    before = model.get_weights()
    given = ", ".join(map(str, shape)).replace("(", "")
    for call in (model.fit, model.evaluate, model.train_on_batch, model.value_and_grad):
        with pytest.raises(ValueError, match=rf"\({given},?\)") as caught:
            call(x, y)
        assert f"{units})" in str(caught.value) or "(6,)" in str(caught.value)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_another_number_of_rows():
    model = networks.sequential((4, 1), (None,))
    model.compile(optimizer="sgd", loss="mse")
    with pytest.raises(ValueError, match=r"(?s)5.*6|6.*5"):
        model.fit(np.ones((6, 4)), np.ones(5), verbose=0)
    with pytest.raises(ValueError, match=r"sample_weight"):
        model.fit(np.ones((6, 4)), np.ones(6), sample_weight=np.ones(5), verbose=0)


# -- a loss that is no number stops training -----------------------------------------------------


def diverging(**fit):
    model = chain(None, widths=(3, 1))
    model.compile(optimizer=optimizers.SGD(1e30), loss="mse")
    model.set_weights([np.ones((3, 1)), np.zeros(1)])
    x = np.arange(60.0).reshape(20, 3)
    with pytest.raises(fastnn.TrainingDiverged) as caught:
        model.fit(x, np.ones(20), batch_size=2, epochs=100, verbose=0, **fit)
    return model, caught.value


def test_divergence_stops_and_says_where():
    model, error = diverging(shuffle=False)
    assert isinstance(error, ArithmeticError)
    # float64 overflows when the loss passes 1e308: a few steps of 1e30 and more each
    text = str(error)
    assert "epoch" in text
    assert "step" in text
    assert "learning_rate" in text or "learning rate" in text
    assert not math.isfinite(error.loss)
    assert str(error.epoch) in text
    assert str(error.step) in text
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_divergence_keeps_a_recent_good_state_and_the_model_goes_on():
    model, _ = diverging()
    x = np.arange(60.0).reshape(20, 3)
    assert math.isfinite(model.evaluate(x, np.ones(20), verbose=0))
    model.compile(optimizer=optimizers.SGD(1e-6), loss="mse")
    model.fit(x, np.ones(20), verbose=0)


def test_divergence_is_seen_with_callbacks_and_on_a_batch():
    class Watch(fastnn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass

    diverging(callbacks=[Watch()])
    model = chain(None, widths=(3, 1))
    model.compile(optimizer=optimizers.SGD(1e30), loss="mse")
    x, y = np.ones((2, 3)), np.zeros(2)
    with pytest.raises(fastnn.TrainingDiverged):
        _ = [model.train_on_batch(x, y) for _ in range(100)]


def test_a_loss_that_is_only_large_goes_on():
    model = chain(None, widths=(3, 1))
    model.compile(optimizer=optimizers.SGD(0.0), loss="mse")
    history = model.fit(np.full((5, 3), 1e100), np.zeros(5), verbose=0)
    assert math.isfinite(history.history["loss"][0])


# -- small things that are as in Keras ---------------------------------------------------------


def test_input_shape_and_input_dim():
    for dense in (layers.Dense(3, input_shape=(4,)), layers.Dense(3, input_dim=4)):
        assert fastnn.Sequential([dense]).predict(np.ones((2, 4)), verbose=0).shape == (2, 3)


def test_built_at_the_first_fit(rng):
    """Without an input shape the data tell it, as in Keras."""
    model = fastnn.Sequential([layers.Dense(5, activation="relu"), layers.Dense(3)])
    model.compile(optimizer="adam", loss=CATEGORICAL)
    model.fit(rng.normal(size=(9, 4)), rng.integers(0, 3, 9), verbose=0)
    assert [w.shape for w in model.get_weights()] == [(4, 5), (5,), (5, 3), (3,)]


def test_the_issue_of_the_readme(rng, capsys):
    """The example of the design runs as it stands there."""
    model = fastnn.Sequential(
        [layers.Dense(128, activation="relu", input_shape=(784,)), layers.Dense(10)]
    )
    model.compile(optimizer="adam", loss=CATEGORICAL, metrics=["accuracy"])
    x, y = rng.integers(0, 255, (100, 784)).astype(np.uint8), rng.integers(0, 10, 100)
    history = model.fit(x, y, batch_size=32, epochs=2, validation_split=0.1, verbose="auto")
    assert len(history.history["val_accuracy"]) == 2
    model.summary()
    text = capsys.readouterr().out
    for word in ("784", "128", "100,480", "1,290", "101,770"):
        assert word in text
