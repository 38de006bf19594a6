"""The commonest mistakes of a first hour: each is told at once, in words that say what to do.

Messages about the values of options, names and layers in general are in the tests of these; here
are those that users of Keras, PyTorch and scikit-learn make first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import callbacks, layers, optimizers

pytestmark = pytest.mark.cpu
X, Y = np.linspace(0, 1, 120).reshape(30, 4), np.arange(30) % 3
GAP = X.copy()
GAP[2, 1] = np.nan


def net(
    units: int = 3, loss: str | None = "sparse_categorical_crossentropy", **options: Any
) -> Any:
    model = fastnn.Sequential([fastnn.Input((4,)), layers.Dense(units)])
    if loss is not None:
        model.compile("adam", loss, **options)
    return model


def fit(model: Any, x: Any = X, y: Any = Y, **options: Any) -> Any:
    return model.fit(x, y, verbose=0, **options)


def endless() -> Iterator[tuple[Any, Any]]:
    while True:
        yield X, Y


def two_inputs() -> Any:
    inputs = [fastnn.Input((4,)), fastnn.Input((4,))]
    model = fastnn.Model(inputs, layers.Dense(3)(layers.Concatenate()(inputs)))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def unready(units: int) -> Any:
    return net(units, loss=None)


def binary() -> Any:
    return net(1, "binary_crossentropy")


Case = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: dict[str, Case] = {
    # shapes
    "columns": (lambda: fit(net(), X[:, :3]), ValueError, "x: expected shape (n, 4), got (30, 3)"),
    "images": (
        lambda: fit(net(), X.reshape(30, 2, 2)),
        ValueError,
        "reshape it, or begin the model with Flatten",
    ),
    "a single row": (lambda: net().predict(X[0]), ValueError, "a single row is x[None]"),
    "rows of different lengths": (
        lambda: fit(net(), [[1, 2, 3, 4], [1, 2]], [0, 1]),
        ValueError,
        "x: not an array of numbers: row 0 has 4 entries, row 1 has 2",
    ),
    "fewer labels": (
        lambda: fit(net(), X, Y[:-1]),
        ValueError,
        "y: expected 30 labels, one for each row of x, got 29",
    ),
    "x and y as one": (
        lambda: net().fit((X, Y)),
        ValueError,
        "x is a tuple: give its parts one by one, fit(x, y)",
    ),
    "no y": (lambda: net().fit(X), ValueError, "fit: expected x and y, got None for y"),
    "one of two inputs": (
        lambda: fit(two_inputs()),
        ValueError,
        "x: expected a list of 2 inputs, or a dictionary of input_layer, input_layer_1, got ndarray of shape (30, 4)",
    ),
    "a dictionary of columns": (
        lambda: fit(net(), {"a": X[:, 0], "b": X[:, 1]}),
        TypeError,
        "np.column_stack(list(x.values()))",
    ),
    "input_shape as a number": (
        lambda: layers.Dense(3, input_shape=4),
        TypeError,
        "input_shape: expected a tuple (4,), got 4",
    ),
    # targets
    "one-hot with sparse": (
        lambda: fit(net(), y=np.eye(3)[Y]),
        ValueError,
        "use the loss categorical_crossentropy, or pass y.argmax(axis=1)",
    ),
    "labels with categorical": (
        lambda: fit(net(loss="categorical_crossentropy")),
        ValueError,
        "for integer labels use the loss sparse_categorical_crossentropy",
    ),
    "labels from 1": (
        lambda: fit(net(), y=Y + 1),
        ValueError,
        "y: expected integers in [0, 3), got 3 at row 2; there are 3 outputs, and labels count from 0",
    ),
    "strings": (
        lambda: fit(net(), y=Y.astype(str)),
        TypeError,
        "y = np.unique(y, return_inverse=True)",
    ),
    "-1 and 1": (
        lambda: fit(binary(), y=np.where(Y > 1, 1, -1)),
        ValueError,
        "got -1 at row 0, column 0; for labels -1 and 1 use (y + 1) / 2",
    ),
    "classes with binary": (
        lambda: fit(binary()),
        ValueError,
        "got 2 at row 2, column 0; for more than two classes use an output for each",
    ),
    "a softmax of one": (
        lambda: fastnn.Sequential([layers.Dense(1, "softmax", input_shape=(4,))]).compile(
            "adam", "binary_crossentropy"
        ),
        ValueError,
        "for two classes use Dense(1) with binary_crossentropy",
    ),
    # data
    "NaN": (
        lambda: fit(net(), GAP),
        ValueError,
        "x: expected finite numbers, got nan at row 2, column 1",
    ),
    "words": (lambda: fit(net(), X.astype(str)), TypeError, "x.astype(float) reads digits"),
    "a generator with y": (
        lambda: fit(net(), endless()),
        TypeError,
        "what makes batches (x, y) is given as x alone, without y",
    ),
    "a function of batches": (lambda: net().fit(endless), ValueError, "x is a function: call it"),
    "a function and y": (
        lambda: fit(net(), endless),
        TypeError,
        "call it, and give what it returns",
    ),
    "a split of batches": (
        lambda: net().fit(endless(), steps_per_epoch=1, validation_split=0.2),
        ValueError,
        "validation_split: x makes batches; give validation_data",
    ),
    "class weights by words": (
        lambda: fit(net(), class_weight={"0": 1.0}),
        TypeError,
        "class_weight: class: expected an integer, got '0'",
    ),
    "class weights beyond": (
        lambda: fit(net(), class_weight={3: 1.0}),
        ValueError,
        "class_weight: expected classes in [0, 3), got 3",
    ),
    # calls
    "not compiled": (
        lambda: fit(net(loss=None)),
        RuntimeError,
        "fit: the model is not compiled; call model.compile(...) first",
    ),
    "counted too early": (
        lambda: fastnn.Sequential([layers.Dense(3)]).count_params(),
        ValueError,
        "begin it with Input((columns,)), or call build or fit",
    ),
    "batch_size=0": (
        lambda: fit(net(), batch_size=0),
        ValueError,
        "batch_size: expected a positive integer, got 0",
    ),
    "epochs=-1": (lambda: fit(net(), epochs=-1), ValueError, "epochs: expected an integer in [0, "),
    "verbose": (
        lambda: net().fit(X, Y, verbose="yes"),
        ValueError,
        "verbose: expected 'auto', 'tqdm', 0, 1 or 2, got 'yes'",
    ),
    "a rate that diverges": (
        lambda: _diverging(),
        fastnn.TrainingDiverged,
        "Try a lower learning_rate",
    ),
    "nb_epoch": (
        lambda: fit(net(), nb_epoch=3),
        TypeError,
        "'nb_epoch' is not in fastnn; use 'epochs'",
    ),
    "fit_generator": (
        lambda: net().fit_generator(endless()),
        AttributeError,
        "use fit, which takes generators",
    ),
    "partial_fit": (lambda: net().partial_fit(X, Y), AttributeError, "use fit, which goes on"),
    # names
    "a loss of PyTorch": (
        lambda: net(loss="CrossEntropyLoss"),
        ValueError,
        "use 'sparse_categorical_crossentropy'",
    ),
    "a metric": (lambda: net(metrics=["acuracy"]), ValueError, "did you mean 'accuracy'?"),
    "a layer of the package": (lambda: fastnn.Dense(3), AttributeError, "use fastnn.layers.Dense"),
    "an estimator of the package": (
        lambda: fastnn.MLPClassifier(),
        AttributeError,
        "use fastnn.sklearn.MLPClassifier, after import fastnn.sklearn",
    ),
    "layers without brackets": (
        lambda: fastnn.Sequential(layers.Dense(3), layers.Dense(3)),
        TypeError,
        "put brackets around all: Sequential([...])",
    ),
    "a class of layers": (
        lambda: fastnn.Sequential([layers.Dense]),
        TypeError,
        "call the class, Dense(...)",
    ),
    "a class of callbacks": (
        lambda: fit(net(), callbacks=[callbacks.EarlyStopping]),
        TypeError,
        "call the class, EarlyStopping(...)",
    ),
    "a function among callbacks": (
        lambda: fit(net(), callbacks=[fit]),
        TypeError,
        "callbacks.LambdaCallback(on_epoch_end=f)",
    ),
    "a metric that is not compiled": (
        lambda: fit(
            net(), validation_split=0.2, callbacks=[callbacks.EarlyStopping("val_accuracy")]
        ),
        ValueError,
        "expected one of loss, val_loss and what compile(metrics=[...]) adds.",
    ),
    "no model": (
        lambda: fastnn.search(unready, {"units": [3]}, X, Y, trials=1, epochs=1),
        RuntimeError,
        "build: expected it to return a compiled model",
    ),
    # files
    "a suffix of Keras": (
        lambda: net().save("m.keras"),
        ValueError,
        "fastnn.interop.save_keras(model, path) writes; end the name in .safetensors",
    ),
    "weights of Keras": (
        lambda: net().save_weights("m.weights.h5"),
        ValueError,
        "fastnn.interop.save_keras_weights(model, path) writes",
    ),
    "a checkpoint of Keras": (
        lambda: callbacks.ModelCheckpoint("{epoch}.keras"),
        ValueError,
        "ModelCheckpoint: filepath: .keras is the suffix of another format",
    ),
    # what fit gives
    "acc": (
        lambda: fit(net(metrics=["accuracy"])).history["acc"],
        KeyError,
        "the name is 'accuracy'",
    ),
    "val_acc": (
        lambda: fit(net(metrics=["accuracy"]), validation_split=0.2)["val_acc"],
        KeyError,
        "the name is 'val_accuracy'",
    ),
    "no validation": (
        lambda: fit(net())["val_loss"],
        KeyError,
        "fit had no validation rows: give it validation_split or validation_data",
    ),
    "no metric": (
        lambda: fit(net())["accuracy"],
        KeyError,
        "there are loss; metrics of compile are kept beside the loss",
    ),
    "no epoch": (lambda: fit(net(), epochs=0)["loss"], KeyError, "no 'loss'; no epoch was run"),
}


def _diverging() -> Any:
    model = fastnn.Sequential([fastnn.Input((4,)), layers.Dense(1)])
    model.compile(optimizers.SGD(10.0), "mse")
    return fit(model, X * 100, Y, epochs=9)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told(mistake: str, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    call, error, message = MISTAKES[mistake]
    with pytest.raises(error, match=re.escape(message)) as caught:
        call()
    assert type(caught.value) is error
    assert not list(tmp_path.iterdir())


def test_words_of_a_regression() -> None:
    pytest.importorskip("sklearn")
    from fastnn.sklearn import MLPRegressor, TabularClassifier, TabularRegressor

    words = np.array(["a", "b"])[Y % 2]
    for estimator, name in ((MLPRegressor(), "MLP"), (TabularRegressor(), "Tabular")):
        for y in (words, words.astype(object), list(words)):
            with pytest.raises(
                ValueError, match=f"^y: expected numbers, got 'a' at row 0; {name}Classifier takes"
            ):
                estimator.fit(X, y)
    for estimator in (TabularRegressor(), TabularClassifier()):
        with pytest.raises(TypeError, match=r"give y=table\['price'\], and leave it out of X"):
            estimator.fit({"size": [1, 2, 3], "price": [1, 2, 3]}, "price")


def test_a_frame_with_words() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["u", "v"]})
    model = fastnn.Sequential([fastnn.Input((2,)), layers.Dense(2)])
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(TypeError, match=r"got column 'b' .*pandas.get_dummies.*TabularClassifier"):
        model.fit(frame, [0, 1])


def test_a_history_gives_its_values_by_name() -> None:
    history = fit(net(metrics=["accuracy"]), epochs=2)
    assert history["loss"] == history.history["loss"]
    assert len(history["loss"]) == 2
    assert list(history) == ["loss", "accuracy"]
    assert "accuracy" in history
    assert "val_loss" not in history
    assert history.history == dict(history.history)
    other = callbacks.History()
    other.put_state(history.saved_state())
    with pytest.raises(KeyError, match="there are loss, accuracy"):
        other["f1"]


def test_a_package_that_lacks_another_one(tmp_path: Any, monkeypatch: Any) -> None:
    """Keras without its backend is installed, and `pip install keras` would not help."""
    from fastnn.extras import needed

    (tmp_path / "half_a_package.py").write_text("import no_such_backend")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match="half_a_package, which cannot be imported: No module"):
        needed("half_a_package", "to_half")
    with pytest.raises(ImportError, match="to_half needs no_such_package: pip install no_such"):
        needed("no_such_package", "to_half")


def test_a_table_in_a_file_of_another_format(tmp_path: Any, monkeypatch: Any, capsys: Any) -> None:
    pytest.importorskip("sklearn")
    from fastnn.commands import train
    from fastnn.sklearn import TabularRegressor

    monkeypatch.chdir(tmp_path)
    net = TabularRegressor(members=1, max_epochs=1, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match=r"which export_onnx\(path\) of the estimator writes"):
        net.save("a.onnx")
    with pytest.raises(ValueError, match=r"\.keras is the suffix of another format; end the name"):
        net.save(tmp_path / "a.keras")
    (tmp_path / "data.csv").write_text("a,b\n" + "1,2\n" * 30)
    assert train.main(["data.csv", "--target", "b", "--out", "b.pkl"]) == 1
    assert (
        "--out: .pkl is the suffix of another format, which pickle writes"
        in capsys.readouterr().err
    )
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]
