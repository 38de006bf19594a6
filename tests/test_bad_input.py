"""Bad input gives an exception that prints the name and the value, and changes nothing."""

from __future__ import annotations

import contextlib
import math

import networks
import numpy as np
import pytest

import fastnn
from fastnn import _core, layers, losses, metrics, optimizers

NAN, INF = np.nan, np.inf
CATEGORICAL = "sparse_categorical_crossentropy"


def classifier():
    """Trained for a moment, so that optimizer and counts have a state to lose."""
    fastnn.utils.set_random_seed(1)
    model = networks.sequential((4, 5, 3), ("relu", "softmax"))
    model.compile(optimizer="adam", loss=CATEGORICAL, metrics=["accuracy"])
    model.fit(*data(), epochs=2, verbose=0)
    return model


def data(n=12):
    rng = np.random.default_rng(2)
    return rng.normal(size=(n, 4)), rng.integers(0, 3, n)


@contextlib.contextmanager
def unchanged(model):
    """Weights now, and after a further fit: optimizer state and counts show there."""
    before = model.get_weights()
    yield
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    twin = classifier()
    for one in (model, twin):
        one.fit(*data(), epochs=2, verbose=0)
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def with_value(row, column, value):
    x, _ = data()
    x[row, column] = value
    return x


def labels_with(row, value, dtype=np.int64):
    y = data()[1].astype(dtype)
    y[row] = value
    return y


X, Y = data()
# name: (x, y, options of fit, the exception, its message)
DATA = {
    "NaN": (with_value(7, 2, NAN), Y, {}, ValueError, r"x.*nan.*row 7|x.*row 7.*nan"),
    "infinity": (with_value(11, 0, INF), Y, {}, ValueError, r"x.*inf.*row 11|x.*row 11.*inf"),
    "minus infinity": (with_value(0, 3, -INF), Y, {}, ValueError, r"x.*-inf.*row 0|row 0.*-inf"),
    "too large for float32": (with_value(3, 1, 1e39), Y, {}, ValueError, r"x.*row 3"),
    "label too large": (X, labels_with(5, 3), {}, ValueError, r"\b3\b.*row 5|row 5.*\b3\b"),
    "label negative": (X, labels_with(9, -1), {}, ValueError, r"-1.*row 9|row 9.*-1"),
    "label fractional": (X, labels_with(2, 1.5, float), {}, ValueError, r"1\.5.*row 2|row 2.*1\.5"),
    "label NaN": (X, labels_with(2, NAN, float), {}, ValueError, r"nan.*row 2|row 2.*nan"),
    "label far too large": (X, labels_with(2, 2**40), {}, ValueError, r"1099511627776"),
    "labels are words": (X, np.array(["a"] * 12), {}, (TypeError, ValueError), r"\by\b"),
    "no rows": (X[:0], Y[:0], {}, ValueError, r"(?i)empty|\(0, 4\)"),
    "too few columns": (X[:, :3], Y, {}, ValueError, r"\(12, 3\).*4|4.*\(12, 3\)"),
    "one dimension": (X[0], Y[:4], {}, ValueError, r"\(4,\)"),
    "three dimensions": (X[:, :, None], Y, {}, ValueError, r"\(12, 4, 1\)"),
    "a number": (3.0, Y, {}, (TypeError, ValueError), r"\bx\b"),
    "complex": (X + 0j, Y, {}, TypeError, r"x.*complex"),
    "words": (np.array([["a"] * 4] * 12), Y, {}, (TypeError, ValueError), r"\bx\b"),
    "objects": (np.array([[None] * 4] * 12), Y, {}, (TypeError, ValueError), r"\bx\b"),
    "ragged": ([[1, 2, 3, 4], [1, 2]], [0, 1], {}, (TypeError, ValueError), r"\bx\b"),
    "dates": (np.zeros((12, 4), "M8[s]"), Y, {}, TypeError, r"x.*datetime"),
    "None": (None, Y, {}, (TypeError, ValueError), r"\bx\b"),
    "no y": (X, None, {}, (TypeError, ValueError), r"\by\b"),
    "fewer labels": (X, Y[:-1], {}, ValueError, r"11.*12|12.*11"),
    "weights negative": (X, Y, {"sample_weight": -np.ones(12)}, ValueError, r"weight.*-1"),
    "weights NaN": (X, Y, {"sample_weight": np.full(12, NAN)}, ValueError, r"weight.*nan"),
    "weights infinite": (X, Y, {"sample_weight": np.full(12, INF)}, ValueError, r"weight.*inf"),
    "weights per column": (X, Y, {"sample_weight": np.ones((12, 4))}, ValueError, r"\(12, 4\)"),
    "class_weight negative": (X, Y, {"class_weight": {0: -1.0}}, ValueError, r"class_weight.*-1"),
    "class_weight unknown": (X, Y, {"class_weight": {7: 1.0}}, ValueError, r"class_weight.*7"),
    "class_weight a set": (X, Y, {"class_weight": {1}}, TypeError, r"class_weight.*'balanced'"),
    "class_weight a word": (
        X,
        Y,
        {"class_weight": "balance"},
        ValueError,
        r"class_weight.*did you mean 'balanced'",
    ),
    "class_weight too short": (X, Y, {"class_weight": [1, 1]}, ValueError, r"class_weight.*\(2,\)"),
    "class_weight of a half": (X, Y, {"class_weight": {0.5: 1}}, TypeError, r"class_weight.*0\.5"),
    "class_weight NaN": (X, Y, {"class_weight": [1, np.nan, 1]}, ValueError, r"class_weight.*nan"),
    "class_weight of words": (X, Y, {"class_weight": {"0": 1}}, TypeError, r"class_weight.*'0'"),
    "batch_size 0": (X, Y, {"batch_size": 0}, ValueError, r"batch_size.*0"),
    "batch_size negative": (X, Y, {"batch_size": -4}, ValueError, r"batch_size.*-4"),
    "batch_size fractional": (X, Y, {"batch_size": 2.5}, TypeError, r"batch_size.*2\.5"),
    "epochs 0.5": (X, Y, {"epochs": 0.5}, TypeError, r"epochs.*0\.5"),
    "epochs negative": (X, Y, {"epochs": -1}, ValueError, r"epochs.*-1"),
    "initial_epoch negative": (X, Y, {"initial_epoch": -1}, ValueError, r"initial_epoch.*-1"),
    "split 1": (X, Y, {"validation_split": 1.0}, ValueError, r"validation_split.*1"),
    "split negative": (X, Y, {"validation_split": -0.1}, ValueError, r"validation_split.*-0\.1"),
    "validation of 3": (X, Y, {"validation_data": X}, (TypeError, ValueError), r"validation_data"),
    "validation NaN": (
        X,
        Y,
        {"validation_data": (with_value(4, 1, NAN), Y)},
        ValueError,
        r"nan.*row 4|row 4.*nan",
    ),
    "validation labels": (
        X,
        Y,
        {"validation_data": (X, labels_with(6, 8))},
        ValueError,
        r"\b8\b.*row 6|row 6.*\b8\b",
    ),
    "unknown argument": (X, Y, {"epoch": 3}, TypeError, r"epoch\b.*epochs"),
}


@pytest.mark.parametrize("case", DATA)
def test_fit(case):
    x, y, options, exception, message = DATA[case]
    model = classifier()
    with unchanged(model), pytest.raises(exception, match=f"(?is){message}"):
        model.fit(x, y, **{"verbose": 0, "batch_size": 4, "epochs": 2, **options})


@pytest.mark.parametrize("method", ["evaluate", "train_on_batch", "value_and_grad"])
@pytest.mark.parametrize(
    "case", ["NaN", "label too large", "no rows", "too few columns", "complex"]
)
def test_other_methods(method, case):
    x, y, _, exception, message = DATA[case]
    model = classifier()
    with unchanged(model), pytest.raises(exception, match=f"(?is){message}"):
        getattr(model, method)(x, y)


@pytest.mark.parametrize("case", ["NaN", "infinity", "no rows", "too few columns", "complex"])
def test_predict(case):
    x, _, _, exception, message = DATA[case]
    model = classifier()
    with unchanged(model), pytest.raises(exception, match=f"(?is){message}"):
        model.predict(x, verbose=0)


@pytest.mark.parametrize(
    ("method", "case"),
    [
        (method, case)
        for method in ("fit", "evaluate", "train_on_batch", "value_and_grad", "predict")
        for case in ("NaN", "label too large")
        if (method, case) != ("predict", "label too large")
    ],
)
@pytest.mark.parametrize("layer_built", [False, True])
def test_what_was_not_built_is_not_built(method, case, layer_built):
    """Data that are refused do not decide of which width the model is."""
    first, last = layers.Dense(5), layers.Dense(3)
    if layer_built:
        last.build((None, 5))
        last.bias.assign(np.arange(3))
    model = fastnn.Sequential([first, last])
    model.compile("adam", CATEGORICAL)
    x, y, _, exception, message = DATA[case]
    with pytest.raises(exception, match=f"(?is){message}"):
        getattr(model, method)(*((x,) if method == "predict" else (x, y)))
    assert not model.built
    assert not first.built
    assert last.built == layer_built
    assert layer_built == bool(model.get_weights())
    model.fit(np.ones((6, 7)), np.arange(6) % 3, epochs=2, verbose=0)
    assert model.get_weights()[0].shape == (7, 5)


def test_a_loss_that_does_not_fit_the_late_width():
    model = fastnn.Sequential([layers.Flatten()])
    model.compile("adam", losses.BinaryCrossentropy(pos_weight=[1, 2, 3]))
    with pytest.raises(ValueError, match="pos_weight"):
        model.fit(np.ones((6, 2)), np.ones((6, 2)), verbose=0)
    assert not model.built


def test_the_split_of_refused_data_is_forgotten():
    """Classes of data that could not be trained on do not decide which rows are held out."""
    models = classifier(), classifier()
    bad = np.where(np.arange(12) == 5, 7, 0)
    with pytest.raises(ValueError, match="7 at row 5"):
        models[0].fit(X, bad, validation_split=0.5, verbose=0)
    results = [m.fit(X, Y, validation_split=0.5, verbose=0).history["val_loss"] for m in models]
    assert results[0] == results[1]


@pytest.mark.parametrize("method", ["evaluate", "train_on_batch"])
def test_a_flag_is_looked_at_first(method):
    model = classifier()
    with unchanged(model), pytest.raises(TypeError, match="return_dict"):
        getattr(model, method)(X, Y, return_dict="yes")


BAD_COMPILE = {
    "pos_weight": {"loss": losses.BinaryCrossentropy(pos_weight=[1, 2])},
    "word": {"loss": CATEGORICAL, "metrics": ["acuracy"]},
    "device": {"loss": CATEGORICAL, "device": "gpu"},
    "native": {"loss": CATEGORICAL, "metrics": [metrics.SparseTopKCategoricalAccuracy()]},
}


@pytest.mark.parametrize("case", BAD_COMPILE)
def test_compile_is_all_or_nothing(case, monkeypatch):
    """The optimizer's state stays, and so does what is trained."""
    model = networks.sequential((4, 5, 3), ("relu", None))
    model.compile("adam", CATEGORICAL, metrics=["accuracy"])
    model.fit(X, Y, verbose=0)
    loss, names = model.loss, model.metrics_names
    model.layers[0].trainable = False
    if case == "native":
        # What native code refuses, whatever that is: here, a metric that it does not know.
        monkeypatch.setattr(metrics.SparseTopKCategoricalAccuracy, "counts", "no such metric")
    with pytest.raises((ValueError, RuntimeError)):
        model.compile("sgd", **BAD_COMPILE[case])
    assert model.loss is loss
    assert model.metrics_names == names
    # Where native code makes its plan anew it must find the old flags.
    model.network.set_output(2)
    assert model.value_and_grad(X, Y)[1][0].any()
    before = model.get_weights()[0]
    model.fit(X, Y, verbose=0)
    assert not np.array_equal(model.get_weights()[0], before)
    model.compile("sgd", CATEGORICAL)
    gradients = model.value_and_grad(X, Y)[1]
    assert [bool(g.any()) for g in gradients] == [False, False, True, True]


def test_the_row_named_is_the_callers(rng):
    """Rows are counted as they were given, split and shuffled or not."""
    x = rng.normal(size=(500, 4))
    x[437, 1] = NAN
    y = rng.integers(0, 3, 500)
    for options in ({}, {"validation_split": 0.3}, {"shuffle": False}):
        with pytest.raises(ValueError, match=r"(?i)row 437"):
            classifier().fit(x, y, verbose=0, **options)
    labels = y.copy()
    labels[123] = 77
    with pytest.raises(ValueError, match=r"(?is)77.*row 123|row 123.*77"):
        classifier().fit(rng.normal(size=(500, 4)), labels, verbose=0, validation_split=0.3)


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        ("binary_crossentropy", np.full((12, 3), 2.0), r"\b2\b.*row 0|row 0.*\b2\b"),
        ("binary_crossentropy", np.full((12, 3), -1.0), r"-1.*row 0|row 0.*-1"),
        ("binary_crossentropy", np.full((12, 3), INF), r"inf.*row 0|row 0.*inf"),
        ("categorical_crossentropy", np.full((12, 3), -0.5), r"-0\.5.*row 0|row 0.*-0\.5"),
        ("categorical_crossentropy", np.full((12, 3), NAN), r"nan.*row 0|row 0.*nan"),
        ("mse", np.full((12, 3), NAN), r"nan.*row 0|row 0.*nan"),
        ("mse", np.full((12, 3), INF), r"inf.*row 0|row 0.*inf"),
    ],
)
def test_targets(loss, y, message):
    model = networks.sequential((4, 3), (None,))
    model.compile(optimizer="sgd", loss=loss)
    before = model.get_weights()
    with pytest.raises(ValueError, match=f"(?is){message}"):
        model.fit(X, y, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


# -- words -------------------------------------------------------------------------------------

WORDS = {
    "activation": (lambda: layers.Dense(3, activation="rleu"), r"rleu.*relu"),
    "activation layer": (lambda: layers.Activation("sofmax"), r"sofmax.*softmax"),
    "initializer": (
        lambda: layers.Dense(3, kernel_initializer="glorot"),
        r"'glorot'.*(?i:glorot_?(normal|uniform))",
    ),
    "loss": (lambda: classifier().compile("adam", "mean_square_error"), r"mean_squared_error"),
    "loss near": (
        lambda: classifier().compile("adam", "categorical_crosentropy"),
        r"categorical_crosentropy.*categorical_crossentropy",
    ),
    "optimizer": (lambda: classifier().compile("adm", CATEGORICAL), r"adm.*adam"),
    "metric": (
        lambda: classifier().compile("adam", CATEGORICAL, metrics=["acuracy"]),
        r"acuracy.*accuracy",
    ),
    "device": (lambda: classifier().compile("adam", CATEGORICAL, device="gpu"), r"gpu.*(cpu|cuda)"),
    "precision": (
        lambda: fastnn.set_float32_matmul_precision("highst"),
        r"highst.*highest",
    ),
    "dtype": (
        lambda: fastnn.Sequential([layers.Input((3,))], dtype="float46"),
        r"float46.*float64",
    ),
    "layer": (lambda: layers.Dens(3), r"Dens\b.*Dense|Dens"),
}


@pytest.mark.parametrize("case", WORDS)
def test_unknown_names(case):
    call, message = WORDS[case]
    with pytest.raises((ValueError, AttributeError), match=f"(?s){message}"):
        call()


ARGUMENTS = {
    "Dense": (lambda: layers.Dense(3, activaton="relu"), r"activaton.*activation"),
    "Adam": (lambda: optimizers.Adam(beta1=0.9), r"beta1.*beta_1"),
    "SGD": (lambda: optimizers.SGD(momentm=0.1), r"momentm.*momentum"),
    "compile": (
        lambda: classifier().compile("adam", CATEGORICAL, metric=["acc"]),
        r"metric.*metrics",
    ),
    "loss": (
        lambda: losses.SparseCategoricalCrossentropy(from_logit=True),
        r"from_logit.*from_logits",
    ),
}


def test_unknown_arguments_name_the_public_class():
    with pytest.raises(TypeError, match=r"^Sequential\.fit\(\).*'epoch'.*'epochs'"):
        classifier().fit(X, Y, epoch=3)
    with pytest.raises(TypeError, match=r"^Sequential\.compile\(\)"):
        classifier().compile(los="mse")


@pytest.mark.parametrize("case", ARGUMENTS)
def test_unknown_arguments(case):
    call, message = ARGUMENTS[case]
    with pytest.raises(TypeError, match=message):
        call()


# -- order of use ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "value_and_grad"])
def test_before_compile(method):
    model = networks.sequential((4, 3), ("softmax",))
    with pytest.raises(RuntimeError, match=r"compile"):
        getattr(model, method)(X, Y)


def test_empty_model():
    model = fastnn.Sequential()
    model.compile(optimizer="adam", loss="mse")
    with pytest.raises((RuntimeError, ValueError), match=r"(?i)layer"):
        model.fit(X, Y, verbose=0)


def test_weights_before_building():
    with pytest.raises((AttributeError, RuntimeError, ValueError), match=r"(?i)built|build|shape"):
        _ = layers.Dense(3).kernel.shape


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([np.ones((4, 5))], r"4.*1|1.*4"),
        ([np.ones((5, 4)), np.ones(5), np.ones((5, 3)), np.ones(3)], r"\(5, 4\)"),
        ([np.ones((4, 5)), np.ones(5), np.ones((5, 3)), np.ones((3, 1))], r"\(3, 1\)"),
        ([np.ones((4, 5)), np.ones(5), np.ones((5, 3)), np.ones(3) * 1j], r"complex"),
        ([np.ones((4, 5)), np.ones(5), np.ones((5, 3)), ["a"] * 3], r""),
    ],
    ids=["too few", "transposed", "the last one", "complex", "words"],
)
def test_set_weights_is_all_or_nothing(weights, message):
    model = classifier()
    with unchanged(model), pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        model.set_weights(weights)


@pytest.mark.parametrize("width", [10**9, 2**31, 10**15, 2**62])
def test_absurd_widths(width):
    """An exception at once, of either kind, that names a size; the process lives on."""
    with pytest.raises((MemoryError, OverflowError, ValueError), match=r"\d{6}"):
        fastnn.Sequential([layers.Input((100_000,)), layers.Dense(width)]).compile("sgd", "mse")
    model = classifier()
    model.fit(*data(), verbose=0)


@pytest.mark.parametrize("shape", [(2**40, 2**40), (2**62,), (2**31, 2**31)])
def test_absurd_inputs(shape):
    width = str(math.prod(shape))
    with pytest.raises(MemoryError, match=width):
        fastnn.Sequential([layers.Flatten(input_shape=shape)])
    with pytest.raises(MemoryError, match=width):
        layers.Flatten().build((None, *shape))


def test_absurd_kernel_of_a_layer():
    with pytest.raises(MemoryError, match=str(2**55)):
        layers.Dense(2**10).build((None, 2**55))


def test_absurd_buffer():
    for size in (2**45, 2**61, 2**63 - 1):
        with pytest.raises((MemoryError, OverflowError, ValueError), match=r"\d{6}"):
            _core.Parameters(size, "float64")


@pytest.mark.skipif(_core.cuda_state()["usable"], reason="there is one")
def test_no_such_device():
    with pytest.raises((RuntimeError, ValueError), match=r"(?i)cuda"):
        classifier().compile("adam", CATEGORICAL, device="cuda")


def test_layers_that_do_not_follow():
    with pytest.raises(ValueError, match=r"(?i)flatten|\(2, 3\)"):
        fastnn.Sequential([layers.Input((2, 3)), layers.Dense(3)])
    with pytest.raises((TypeError, ValueError), match=r"(?i)layer"):
        fastnn.Sequential(["relu"])


def test_metric_that_means_nothing():
    model = networks.sequential((4, 1), (None,))
    with pytest.raises(ValueError, match=r"accuracy"):
        model.compile(optimizer="sgd", loss="mse", metrics=["accuracy"])


def test_fewer_labels_than_rows():
    """Both counts are named, where shapes of outputs would only distract."""
    with pytest.raises(ValueError, match="y: expected 6 labels, one for each row of x, got 4"):
        classifier().fit(np.ones((6, 4)), [0, 1, 2, 0])
