"""`import fastnn as tf`: names of TensorFlow as docs/tensorflow.md lists them, and their values.

Derivatives are in test_tape.py.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

import fastnn
import fastnn as tf
from fastnn import metrics

PAGE = Path(__file__).parents[1] / "docs" / "tensorflow.md"
HERE, NOT_HERE = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]


def rows(part):
    """The cells of a table."""
    lines = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def found(path):
    place = tf
    for name in path.split(".")[1:]:
        place = getattr(place, name)
    return place


LISTED = {
    module: [name for row in rows(HERE) if re.match(rf"`{module}`", row[0]) for name in names(row)]
    for names in [lambda row: re.findall(r"`(\w+)`", row[1])]
    for module in {re.match(r"`([\w.]+)`", row[0])[1] for row in rows(HERE)}
}
MISSING = [name for row in rows(NOT_HERE) for name in re.findall(r"`([\w.]+)`", row[0])]


@pytest.mark.parametrize("module", sorted(LISTED))
def test_what_the_page_lists_is_here(module):
    for name in LISTED[module]:
        assert hasattr(found(module), name), f"{module}.{name}"
    assert len(LISTED[module]) == len(set(LISTED[module]))


@pytest.mark.parametrize("module", ["tf.math", "tf.nn", "tf.random", "tf.linalg", "tf.keras"])
def test_the_page_lists_what_is_here(module):
    """Functions of math that TensorFlow has elsewhere are listed there."""
    elsewhere = {*LISTED["tf"], *LISTED["tf.nn"], "power", "getitem", "__version__"}
    assert set(found(module).__all__) - set(LISTED[module]) - elsewhere == set()


def test_the_page_lists_every_function_of_the_root():
    own = {"Predictor", "Input", "Model", "Sequential", "load_model", "register_serializable"}
    own |= {"fit_many", "search", "Ranks"}
    own |= {
        name
        for name in tf.__all__
        if isinstance(getattr(tf, name), type) and issubclass(getattr(tf, name), Exception)
    }
    own |= {name for name in tf.__all__ if "thread" in name or "precision" in name}
    own |= {"__version__", "show_config", "data", "dtypes", "ops", "interop", *tf.interop.__all__}
    modules = {name.partition(".")[2].partition(".")[0] for name in LISTED}
    modules |= set(LISTED["tf.keras"]) - {"Variable"}
    assert set(tf.__all__) - own - modules == set(LISTED["tf"])


@pytest.mark.parametrize("path", MISSING)
def test_what_the_page_says_is_missing_is_answered(path):
    with pytest.raises(AttributeError, match=r"it is not in fastnn; .+"):
        found(path)
    module, _, name = path.replace("tf.", "fastnn.", 1).rpartition(".")
    with pytest.raises(ImportError, match=r"it is not in fastnn; .+"):
        exec(f"from {module} import {name}", {})  # noqa: S102


def test_modules_import_by_their_names():
    for name in [*LISTED["tf.keras"], "preprocessing.image"]:
        if name[0].islower():
            module = importlib.import_module(f"fastnn.keras.{name}")
            assert module is found(f"tf.keras.{name}")
    for line in (
        "from fastnn.keras.layers import Dense",
        "import fastnn.keras.models",
        "from fastnn.keras.preprocessing.image import load_img, img_to_array",
        "from fastnn.keras import backend as K",
        "from fastnn.models import Sequential",
        "from fastnn import keras",
        "from fastnn.nn import relu",
        "import fastnn.random",
        "import fastnn.keras.backend as K",
    ):
        exec(line, {})  # noqa: S102
    assert tf.keras.__version__ == tf.__version__


# -- values: those of TensorFlow, by NumPy -----------------------------------------------------------

X = np.array([[3.0, -1.0, 2.0], [0.0, 5.0, 5.0]], np.float32)
VALUES = {
    "range": (lambda: tf.range(5), np.arange(5, dtype=np.int32)),
    "range from": (lambda: tf.range(2, 11, 3), np.array([2, 5, 8], np.int32)),
    "range of floats": (lambda: tf.range(0, 1, 0.25), np.float32([0, 0.25, 0.5, 0.75])),
    "range down": (lambda: tf.range(3, 0, -1), np.array([3, 2, 1], np.int32)),
    "range of a type": (lambda: tf.range(3, dtype=tf.float64), np.arange(3.0)),
    "linspace": (lambda: tf.linspace(0, 1, 5), np.float32([0, 0.25, 0.5, 0.75, 1])),
    "fill": (lambda: tf.fill([2, 3], 7), np.full((2, 3), 7)),
    "eye": (lambda: tf.eye(2, 3), np.eye(2, 3, dtype=np.float32)),
    "shape": (lambda: tf.shape(X), np.array([2, 3], np.int32)),
    "rank": (lambda: tf.rank(X), np.array(2, np.int32)),
    "size": (lambda: tf.size([[1, 2], [3, 4]]), np.array(4, np.int32)),
    "shape as an argument": (lambda: tf.reshape(X, (tf.shape(X)[1], -1)), X.reshape(3, 2)),
    "newaxis": (lambda: tf.constant(X)[:, tf.newaxis], X[:, None]),
    "split": (lambda: tf.split(X, 3, axis=1)[1], X[:, 1:2]),
    "split of lengths": (lambda: tf.split(X, [1, -1], axis=1)[1], X[:, 1:]),
    "slice": (lambda: tf.slice(X, [0, 1], [-1, 2]), X[:, 1:]),
    "pad": (lambda: tf.pad(X, [[1, 0], [0, 2]]), np.pad(X, [[1, 0], [0, 2]])),
    "repeat": (lambda: tf.repeat(X, 2, axis=0), X.repeat(2, axis=0)),
    "repeat flat": (lambda: tf.repeat([1, 2], [2, 1]), np.array([1, 1, 2])),
    "roll": (lambda: tf.roll(X, 1, axis=1), np.roll(X, 1, axis=1)),
    "sort": (lambda: tf.sort(X), np.sort(X)),
    "sort down": (lambda: tf.sort(X, direction="DESCENDING"), -np.sort(-X)),
    "argsort keeps equals": (lambda: tf.argsort(X), np.argsort(X, kind="stable")),
    "argsort down keeps equals": (
        lambda: tf.argsort(X, direction="DESCENDING"),
        np.array([[0, 2, 1], [1, 2, 0]]),
    ),
    "top_k": (lambda: tf.math.top_k(X, 2).values, np.float32([[3, 2], [5, 5]])),
    "top_k places": (lambda: tf.nn.top_k(X, 2).indices, np.array([[0, 2], [1, 2]])),
    "add_n": (lambda: tf.add_n([X, X, 1 - X]), X + 1),
    "pow": (lambda: tf.pow(X, 2), X**2),
    "mod": (lambda: tf.math.mod(-7, 3), np.array(2)),
    "divide_no_nan": (
        lambda: tf.math.divide_no_nan(X, X - X[:1]),
        np.float32([[0, 0, 0], [0, 5 / 6, 5 / 3]]),
    ),
    "count_nonzero": (lambda: tf.math.count_nonzero(X, axis=1), np.array([3, 2])),
    "is_inf": (lambda: tf.math.is_inf([1.0, np.inf, np.nan]), np.array([False, True, False])),
    "logical_xor": (lambda: tf.logical_xor([True, False], [True, True]), np.array([False, True])),
    "confusion_matrix": (
        lambda: tf.math.confusion_matrix([1, 0, 2, 1], [1, 1, 2, 0]),
        np.array([[0, 1, 0], [1, 1, 0], [0, 0, 1]], np.int32),
    ),
    "confusion_matrix by weight": (
        lambda: tf.math.confusion_matrix([1, 0], [1, 1], 3, [0.5, 2.0], tf.float64),
        np.array([[0, 2, 0], [0, 0.5, 0], [0, 0, 0]]),
    ),
    "leaky_relu": (lambda: tf.nn.leaky_relu(X), np.where(X > 0, X, np.float32(0.2) * X)),
    "relu6": (lambda: tf.nn.relu6(X * 3), np.clip(X * 3, 0, 6)),
    "elu": (lambda: tf.nn.elu(X), np.where(X > 0, X, np.expm1(X))),
    "elu of integers": (lambda: tf.nn.elu([1, 0]), np.float32([1, 0])),
    "selu": (
        lambda: tf.nn.selu(X),
        np.float32(1.05070098) * np.where(X > 0, X, np.float32(1.67326324) * np.expm1(X)),
    ),
    "softsign": (lambda: tf.nn.softsign(X), X / (1 + np.abs(X))),
    "log_sigmoid": (
        lambda: tf.math.log_sigmoid([-1e4, 0.0, 1e4]),
        np.float32([-1e4, -np.log(2), 0]),
    ),
    "l2_normalize": (
        lambda: tf.math.l2_normalize(X, axis=1),
        X / np.linalg.norm(X, axis=1, keepdims=True),
    ),
    "l2_loss": (lambda: tf.nn.l2_loss(X), np.float32((X**2).sum() / 2)),
    "moments": (lambda: tf.nn.moments(X, 0)[1], X.var(axis=0)),
    "bias_add": (lambda: tf.nn.bias_add(X, [1.0, 2.0, 3.0]), X + np.float32([1, 2, 3])),
    "sparse cross-entropy": (
        lambda: tf.nn.sparse_softmax_cross_entropy_with_logits([0, 2], X * 1e4),
        np.zeros(2) + [0, np.log(2)],
    ),
    "cross-entropy": (
        lambda: tf.nn.softmax_cross_entropy_with_logits(labels=np.eye(3)[[1, 1]], logits=X),
        -np.log(np.exp(X)[:, 1] / np.exp(X).sum(axis=1)),
    ),
    "sigmoid cross-entropy": (
        lambda: tf.nn.sigmoid_cross_entropy_with_logits([0.0, 1.0, 1.0], [1e4, 0.0, -1e4]),
        np.float32([1e4, np.log(2), 1e4]),
    ),
    "log_softmax of large numbers": (
        lambda: tf.nn.log_softmax([[1e4, 1e4], [-np.inf, 0.0]]),
        np.float32([[-np.log(2), -np.log(2)], [-np.inf, 0]]),
    ),
    "Keras's mean": (lambda: tf.keras.backend.mean(X, axis=-1), X.mean(axis=1)),
    "Keras's clip": (lambda: tf.keras.backend.clip(X, 0.0, 2.0), np.clip(X, 0, 2)),
    "Keras's flatten": (lambda: tf.keras.backend.batch_flatten(X[None]), X.reshape(1, 6)),
}


@pytest.mark.parametrize("name", VALUES)
def test_values(name):
    call, want = VALUES[name]
    got = call()
    assert isinstance(got, tf.Tensor)
    assert got.shape == np.shape(want)
    assert got.dtype.kind == np.asarray(want).dtype.kind
    if name.startswith(("range", "eye", "linspace", "shape", "rank", "size", "confusion")):
        assert got.dtype == want.dtype
    np.testing.assert_allclose(got.numpy(), want, rtol=2e-6, atol=1e-6)


WRONG = {
    "no step": (lambda: tf.range(0, 3, 0), "delta: expected a number other than 0, got 0"),
    "unequal parts": (lambda: tf.split(X, 2, axis=1), "num_or_size_splits: 2 equal parts .* 3"),
    "wrong lengths": (lambda: tf.split(X, [1, 1], axis=1), r"num_or_size_splits: \[1, 1\] of .* 3"),
    "no axis": (lambda: tf.split(X, 1, axis=2), "axis: expected an axis of 2, got 2"),
    "paddings": (lambda: tf.pad(X, [[1, 1]]), "paddings: expected 2 pairs, got 1"),
    "direction": (lambda: tf.sort(X, direction="up"), "direction: unknown name 'up'"),
    "k": (lambda: tf.math.top_k(X, 4), r"k: .* got 4 of \(2, 3\)"),
    "no inputs": (lambda: tf.add_n([]), r"inputs: .* got \[\]"),
    "shapes": (lambda: tf.add_n([X, X[0]]), r"inputs: .* got \(2, 3\) and \(3,\)"),
    "a class": (lambda: tf.math.confusion_matrix([3], [0], 3), r"classes in \[0, 3\), got 3"),
    "a label": (
        lambda: tf.nn.sparse_softmax_cross_entropy_with_logits([0, 3], X),
        r"labels: expected integers in \[0, 3\), got 3",
    ),
    "labels": (
        lambda: tf.nn.sparse_softmax_cross_entropy_with_logits([0], X),
        r"labels: expected shape \(2,\) for logits \(2, 3\), got \(1,\)",
    ),
    "one-hot labels": (
        lambda: tf.nn.softmax_cross_entropy_with_logits([0.0, 1.0, 0.0], X),
        r"labels: expected the shape of logits, \(2, 3\), got \(3,\)",
    ),
    "rate": (lambda: tf.nn.dropout(X, 1.0), r"rate: .* got 1\.0"),
    "bounds": (lambda: tf.random.uniform(3, 2.0, 1.0), r"maxval: expected at least minval=2\.0"),
    "no bound": (lambda: tf.random.uniform(3, dtype=tf.int32), "maxval: integers need one"),
    "normal integers": (lambda: tf.random.normal(3, dtype=tf.int32), "dtype: .* got int32"),
    "floatx": (lambda: tf.keras.backend.set_floatx("float64"), "set_floatx: give dtype='float64'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use(name):
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        call()


ARGUMENTS = {
    "reduce_mean": (lambda: tf.reduce_mean(input_tensor=X, axis=1), X.mean(axis=1)),
    "argmax": (
        lambda: tf.argmax(input=X, axis=1, output_type=tf.int32),
        np.array([0, 1], np.int32),
    ),
    "argmin": (lambda: tf.argmin(X, axis=0), np.array([1, 0, 0])),
    "clip": (lambda: tf.clip_by_value(X, clip_value_min=0.0, clip_value_max=2.0), np.clip(X, 0, 2)),
    "where": (lambda: tf.where(X > 1, x=X, y=0.0), np.where(X > 1, X, 0)),
    "subtract": (lambda: tf.subtract(y=X, x=2 * X), X),
    "own names": (lambda: tf.subtract(b=X, a=2 * X), X),
    "expand_dims": (lambda: tf.expand_dims(input=X, axis=0), X[None]),
    "reshape": (lambda: tf.reshape(tensor=X, shape=[3, 2]), X.reshape(3, 2)),
    "transpose": (lambda: tf.transpose(a=X, perm=[1, 0]), X.T),
    "gather": (lambda: tf.gather(params=X, indices=[1], axis=1), X[:, [1]]),
    "one_hot": (lambda: tf.one_hot([1, 3, -1], 3), np.float32([[0, 1, 0], [0, 0, 0], [0, 0, 0]])),
    "one_hot of a type": (lambda: tf.one_hot([1], depth=2, dtype=tf.int32), np.array([[0, 1]])),
    "one_hot of values": (
        lambda: tf.one_hot([1, 0], 3, on_value=5.0, off_value=-1.0, axis=0),
        np.float32([[-1, 5], [5, -1], [-1, -1]]),
    ),
    "zeros_like": (lambda: tf.zeros_like(input=X, dtype=tf.int32), np.zeros((2, 3), np.int32)),
    "ones_like": (lambda: tf.ones_like(X), np.ones_like(X)),
    "softmax": (lambda: tf.softmax(logits=np.zeros((1, 4), np.float32)), np.full((1, 4), 0.25)),
    "pad": (lambda: tf.pad(tensor=X, paddings=[[0, 0], [1, 0]]), np.pad(X, [[0, 0], [1, 0]])),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_names_of_arguments(name):
    call, want = ARGUMENTS[name]
    got = call()
    assert got.dtype.kind == want.dtype.kind
    np.testing.assert_array_equal(got.numpy(), want)


def test_renamed_arguments_are_recorded_and_checked():
    x = tf.Variable(X)
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(input_tensor=tf.multiply(x=x, y=x))
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), 2 * X)
    with pytest.raises(TypeError, match="multiple values for argument 'x'"):
        tf.reduce_sum(X, input_tensor=X)
    with pytest.raises(TypeError, match="unexpected keyword argument 'axes'"):
        tf.reduce_sum(X, axes=1)
    assert tf.reduce_sum.__doc__ == tf.math.reduce_sum.__doc__


def test_random_numbers():
    """Repeatable after set_seed, or by a seed of the call; models of one seed do not change."""
    tf.random.set_seed(3)
    first = [
        tf.random.normal((4, 5)),
        tf.random.uniform([3], -1, 2),
        tf.random.shuffle(np.arange(9)),
    ]
    weights = tf.keras.Sequential([tf.keras.layers.Dense(3, input_shape=(4,))]).get_weights()[0]
    tf.random.set_seed(3)
    again = [
        tf.random.normal((4, 5)),
        tf.random.uniform([3], -1, 2),
        tf.random.shuffle(np.arange(9)),
    ]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    tf.random.set_seed(3)  # and no random Tensors in between
    model = tf.keras.Sequential([tf.keras.layers.Dense(3, input_shape=(4,))])
    np.testing.assert_array_equal(model.get_weights()[0], weights)
    assert sorted(first[2].numpy()) == list(range(9))
    a, b = tf.random.normal([8], seed=1), tf.random.normal([8], seed=1)
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert not np.array_equal(tf.random.normal([8]).numpy(), tf.random.normal([8]).numpy())


def test_distributions():
    x = tf.random.normal((20000,), mean=2.0, stddev=3.0, seed=0).numpy()
    assert x.dtype == np.float32
    np.testing.assert_allclose([x.mean(), x.std()], [2, 3], atol=0.1)
    t = tf.random.truncated_normal((20000,), 1.0, 0.5, seed=0).numpy()
    assert abs(t - 1).max() <= 1
    np.testing.assert_allclose([t.mean(), t.std()], [1, 0.5 * 0.8796], atol=0.02)
    u = tf.random.uniform((20000,), -1, 3, seed=0).numpy()
    assert u.min() >= -1
    assert u.max() < 3
    np.testing.assert_allclose(u.mean(), 1, atol=0.05)
    i = tf.random.uniform((500,), 2, 5, dtype=tf.int64, seed=0).numpy()
    assert set(i) == {2, 3, 4}
    assert tf.random.normal(()).shape == ()
    assert tf.random.normal([]).shape == ()
    dropped = tf.nn.dropout(np.ones(20000), 0.25, seed=0).numpy()
    assert set(dropped) == {0, 1 / 0.75}
    np.testing.assert_allclose(dropped.mean(), 1, atol=0.03)


def test_types():
    assert tf.cast([1.7], tf.int32).dtype == tf.int32
    assert tf.float32.name == "float32"
    assert tf.constant([1, 2], dtype=tf.float64).dtype == tf.double
    assert tf.cast([1, 0], tf.bool).numpy().tolist() == [True, False]


def test_programs(capsys):
    @tf.function
    def double(x):
        return 2 * x

    @tf.function(jit_compile=True)
    def halve(x):
        """Its doc."""
        return x / 2

    assert double(tf.constant(2.0)).numpy() == 4
    assert halve.__doc__ == "Its doc."
    with pytest.raises(TypeError, match="function: expected a function, got 3"):
        tf.function(3)
    tf.print("loss:", tf.constant([1.5, 2.0]), tf.Variable(3.0), end="!\n")
    assert capsys.readouterr().out == "loss: [1.5 2. ] 3.0!\n"
    assert tf.executing_eagerly()
    assert tf.is_tensor(tf.constant(1))
    assert tf.is_tensor(tf.Variable(1.0))
    assert not tf.is_tensor(np.ones(2))
    cpus = tf.config.list_physical_devices("CPU")
    assert [each.device_type for each in cpus] == ["CPU"]
    gpus = tf.config.list_physical_devices("GPU")
    assert len(gpus) == int(fastnn.show_config("dicts")["cuda"]["usable"])
    assert tf.config.list_physical_devices() == cpus + gpus
    assert tf.config.list_physical_devices("TPU") == []
    tf.keras.backend.clear_session()


def test_a_loss_of_ones_own_by_the_backend():
    """The functions record: the gradient of the root of the mean square."""
    from fastnn.keras import backend as K

    y, p = tf.constant(X), tf.Variable(X + 1)
    with tf.GradientTape() as tape:
        loss = K.sqrt(K.mean(K.square(p - y)))
    np.testing.assert_allclose(tape.gradient(loss, p).numpy(), 1 / 6, rtol=1e-6)
    K.set_value(p, X)
    np.testing.assert_array_equal(K.get_value(p), X)
    optimizer = tf.keras.optimizers.SGD(0.1)
    K.set_value(optimizer.learning_rate, 0.5)
    assert optimizer.learning_rate == 0.5
    with pytest.raises(TypeError, match="x: expected a Variable"):
        K.set_value(X, 1)
    assert (K.epsilon(), K.floatx(), K.ndim(X)) == (1e-7, "float32", 2)
    assert isinstance(metrics.get("mean"), tf.keras.metrics.Mean)


def test_names_of_operations_have_no_effect() -> None:
    x = tf.constant([[1.0, -2.0]], name="x")
    y = tf.add(tf.nn.relu(x, name="relu"), tf.zeros((2,), name="zeros"), name="sum")
    np.testing.assert_array_equal(tf.reduce_mean(y, axis=1, name=None), [0.5])
    entry = tf.keras.Input((2,))
    model = tf.keras.Model(entry, tf.exp(entry, name="exp"))
    np.testing.assert_allclose(model.predict(x), np.exp([[1.0, -2.0]]), rtol=1e-6)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nam'"):
        tf.exp(x, nam="exp")
    with pytest.raises(ValueError, match=r"matmul: shapes \(1, 2\) and \(1, 2\)"):
        tf.matmul(x, x, name="product")


def test_a_tensor_in_a_string_is_its_numbers() -> None:
    loss = tf.constant(0.1)
    assert f"{loss} {loss:.3f} {loss!s:.12}" == "0.1 0.100 <Tensor shap"
    assert "{} {}".format(tf.constant(3), tf.constant([1.0, 2.5])) == "3 [1.  2.5]"  # noqa: UP032


def test_unconnected_gradients() -> None:
    x, y = tf.Variable(1.0), tf.Variable(2.0)
    for given, expected in (
        (tf.UnconnectedGradients.NONE, None),
        (tf.UnconnectedGradients.ZERO, 0),
    ):
        with tf.GradientTape() as tape:
            z = x * x
        assert tape.gradient(z, y, unconnected_gradients=given) == expected
