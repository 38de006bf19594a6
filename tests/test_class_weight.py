"""`class_weight` and `sample_weight` in every form in which users have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

import fastnn
from fastnn import layers, losses

Array = NDArray[Any]

X = np.random.default_rng(8).normal(size=(40, 4))
Y = np.arange(40) % 5 // 2  # 16, 16 and 8 rows
BINARY = (np.arange(40) % 5 == 0).astype(float)

LOSSES: dict[str, tuple[losses.Loss | str, int, Array]] = {
    "sparse": ("sparse_categorical_crossentropy", 3, Y),
    "one-hot": ("categorical_crossentropy", 3, np.eye(3)[Y]),
    "binary": ("binary_crossentropy", 1, BINARY),
}


def model_of(name: str) -> fastnn.Sequential:
    loss, outputs, _ = LOSSES[name]
    fastnn.utils.set_random_seed(3)
    model = fastnn.Sequential([fastnn.Input((4,)), layers.Dense(outputs)])
    model.compile("sgd", loss, weighted_metrics=["accuracy"])
    return model


def trained(name: str, y: Any = None, **given: Any) -> tuple[dict[str, list[float]], list[bytes]]:
    """The history and weights of `fit`, and the loss and gradient of `value_and_grad`."""
    model = model_of(name)
    y = LOSSES[name][2] if y is None else y
    history = model.fit(X, y, batch_size=16, epochs=2, verbose=0, **given).history
    return history, [w.tobytes() for w in model.get_weights()]


def plain(name: str) -> tuple[dict[int, float], Any]:
    """Weights of classes, and what training with them gives."""
    weights = {0: 0.5, 1: 2.0} if name == "binary" else {0: 0.5, 1: 2.0, 2: 3.0}
    rows = np.array([weights[int(c)] for c in (BINARY if name == "binary" else Y)])
    return weights, trained(name, sample_weight=rows)


# By form: the dictionary of ints and floats as users have it.
FORMS = {
    "dictionary": lambda w: w,
    "float keys": lambda w: {float(k): v for k, v in w.items()},
    "float32 keys": lambda w: {np.float32(k): v for k, v in w.items()},
    "int8 keys": lambda w: {np.int8(k): v for k, v in w.items()},
    "uint64 keys": lambda w: {np.uint64(k): v for k, v in w.items()},
    "keys of unique": lambda w: dict(
        zip(np.unique(np.array(list(w), float)), w.values(), strict=True)
    ),
    "float16 values": lambda w: {k: np.float16(v) for k, v in w.items()},
    "values without axes": lambda w: {k: np.array(v) for k, v in w.items()},
    "list": lambda w: list(w.values()),
    "tuple": lambda w: tuple(w.values()),
    "array": lambda w: np.array(list(w.values())),
    "float32 array": lambda w: np.array(list(w.values()), np.float32),
    "big-endian array": lambda w: np.array(list(w.values()), ">f8"),
    "list of arrays without axes": lambda w: [np.array(v) for v in w.values()],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", LOSSES)
def test_forms_of_class_weights(name: str, form: str) -> None:
    weights, expected = plain(name)
    assert trained(name, class_weight=FORMS[form](weights)) == expected
    found = model_of(name).value_and_grad(X, LOSSES[name][2], class_weight=FORMS[form](weights))[0]
    wanted = model_of(name).value_and_grad(X, LOSSES[name][2], class_weight=weights)[0]
    assert found == wanted


@pytest.mark.parametrize("kind", [bool, np.bool_])
def test_keys_that_are_bools(kind: Any) -> None:
    """As `np.unique(y)` of bools, or `y == positive`, gives them."""
    weights, expected = plain("binary")
    given = {kind(k): v for k, v in weights.items()}
    assert trained("binary", class_weight=given) == expected
    assert trained("binary", BINARY.astype(bool), class_weight=given) == expected


def test_a_class_without_a_weight_weighs_1() -> None:
    for given in ({2: 3}, {2.0: 3}):
        rows = np.where(Y == 2, 3.0, 1.0)
        assert trained("sparse", class_weight=given) == trained("sparse", sample_weight=rows)


@pytest.mark.parametrize("name", LOSSES)
def test_balanced_is_as_in_scikit_learn(name: str) -> None:
    labels = BINARY if name == "binary" else Y
    found = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    by_hand = trained(name, class_weight=dict(enumerate(found)))
    assert trained(name, class_weight="balanced") == by_hand
    extra = np.linspace(0, 2, 40)
    history, weights = trained(name, class_weight="balanced", sample_weight=extra)
    assert (history, weights) == trained(name, sample_weight=extra * found[labels.astype(int)])


def test_balanced_counts_the_rows_to_train_on() -> None:
    """After the split, in the classes that are there, and without rows that are ignored."""
    labels = np.r_[np.zeros(30, int), np.full(10, 2)]
    loss = losses.SparseCategoricalCrossentropy(ignore_class=1)
    labels[::7] = 1
    split: Any = None
    results = []
    for by_hand in (False, True):
        fastnn.utils.set_random_seed(3)
        model = fastnn.Sequential([fastnn.Input((4,)), layers.Dense(4)])
        model.compile("sgd", loss)
        given: Any = "balanced"
        if by_hand:
            counts = np.bincount(labels[split.training], minlength=4)
            n = counts[0] + counts[2]
            given = {0: n / (2 * counts[0]), 1: 9.0, 2: n / (2 * counts[2])}
        model.fit(X, labels, validation_split=0.3, class_weight=given, verbose=0)
        split = model._splits.find(len(X), 0.3)
        results.append([w.tobytes() for w in model.get_weights()])
    assert results[0] == results[1]


def test_balanced_with_missing_labels() -> None:
    labels = BINARY.copy()
    labels[3:9] = np.nan
    zeros, ones = np.sum(labels == 0), np.sum(labels == 1)
    n = zeros + ones
    by_hand = trained("binary", labels, class_weight=[n / (2 * zeros), n / (2 * ones)])
    assert trained("binary", labels, class_weight="balanced") == by_hand


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "too few": ([1, 2], ValueError, r"3 numbers, one for each class, got shape \(2,\)"),
    "too many": (np.ones(4), ValueError, r"got shape \(4,\)"),
    "a column": (np.ones((3, 1)), ValueError, r"got shape \(3, 1\)"),
    "a number": (2.0, TypeError, "got 2.0"),
    "a number in an array": (np.array(2.0), ValueError, r"got shape \(\)"),
    "a class of a half": ({0.5: 1}, TypeError, r"expected an integer, got 0\.5"),
    "a class NaN": ({np.nan: 1}, TypeError, "expected an integer, got nan"),
    "a class beyond": ({3.0: 1}, ValueError, r"classes in \[0, 3\), got 3\.0"),
    "a class below": ({-1: 1}, ValueError, r"classes in \[0, 3\), got -1"),
    "a negative weight": ([1, 1, -2], ValueError, r"\[2\].*-2"),
    "a weight in a list": ({0: [1]}, TypeError, r"\[0\].*\[1\]"),
    "an infinite weight": ({0: np.inf}, ValueError, r"\[0\].*inf"),
    "strings": (["a", "b", "c"], TypeError, "strings"),
    "another word": ("balancd", ValueError, "did you mean 'balanced'"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case: str) -> None:
    given, error, message = BAD[case]
    model = model_of("sparse")
    for call in (
        lambda: model.fit(X, Y, class_weight=given, verbose=0),
        lambda: model.train_on_batch(X, Y, class_weight=given),
        lambda: model.value_and_grad(X, Y, class_weight=given),
    ):
        with pytest.raises(error, match=f"^class_weight.*?{message}"):
            call()


def test_series_of_pandas() -> None:
    """Indexed by class, as `1 / y.value_counts()` is; and one weight a row."""
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    weights, expected = plain("sparse")
    for index in (list(weights), [2, 0, 1], [0.0, 1.0, 2.0], np.array([1, 2, 0], np.int8)):
        series = pd.Series([weights[int(c)] for c in index], index=index)
        assert trained("sparse", class_weight=series) == expected
        assert trained("sparse", class_weight=series.astype("Float32")) == expected
    some = pd.Series([3.0], index=[2])
    assert trained("sparse", class_weight=some) == trained("sparse", class_weight={2: 3.0})
    counts = pd.Series(Y).value_counts()
    by_hand = {c: 40 / (3 * n) for c, n in zip(*np.unique(Y, return_counts=True), strict=True)}
    assert trained("sparse", class_weight=40 / (3 * counts)) == trained(
        "sparse", class_weight=by_hand
    )
    bools, of_bools = plain("binary")
    assert trained("binary", class_weight=pd.Series(bools).rename({0: False, 1: True})) == of_bools
    for wrong, message in (
        (pd.Series([1.0, 2.0], index=[0, 0]), "class 0 has two weights"),
        (pd.Series([1.0], index=["a"]), "expected an integer, got 'a'"),
        (pd.Series([None], index=[1], dtype="Float64"), r"\[1\]"),
        (pd.DataFrame({"w": [1.0, 2.0, 3.0]}), r"got shape \(3, 1\)"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"class_weight.*{message}"):
            trained("sparse", class_weight=wrong)
    rows = np.linspace(0, 2, 40)
    wanted = trained("sparse", sample_weight=rows)
    shuffled = np.random.default_rng(0).permutation(40)
    for kind in ("float64", "Float64"):
        series = pd.Series(rows, index=shuffled, dtype=kind)
        assert trained("sparse", sample_weight=series) == wanted  # by place, not by index
    assert trained("sparse", sample_weight=pd.DataFrame({"w": rows})) == wanted


ROWS = {
    "list": list,
    "list of arrays without axes": lambda w: [np.array(v) for v in w],
    "list of NumPy numbers": lambda w: [np.float64(v) for v in w],
    "column": lambda w: w[:, None],
    "big-endian": lambda w: w.astype(">f8"),
    "every other": lambda w: np.repeat(w, 2)[::2],
}


@pytest.mark.parametrize("form", ROWS)
def test_forms_of_sample_weights(form: str) -> None:
    rows = np.linspace(0, 2, 40)
    given = ROWS[form](rows)
    assert trained("sparse", sample_weight=given) == trained("sparse", sample_weight=rows)
