"""`model.predictor()` of models with several inputs and outputs: what `predict` answers, to the bit."""

from __future__ import annotations

import collections
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cases
import numpy as np
import pytest

import fastnn
from fastnn import layers

pytestmark = pytest.mark.cpu


def inputs_of(count: int = 3) -> list[Any]:
    shapes = ((5,), (2, 3), (1,))
    return [
        fastnn.Input(shape, name=name)
        for shape, name in zip(shapes[:count], ("numbers", "picture", "age"), strict=False)
    ]


def joined(inputs: list[Any]) -> Any:
    flat = [layers.Flatten()(one) if len(one.shape) > 2 else one for one in inputs]
    return layers.Dense(16, "relu")(layers.Concatenate()(flat) if len(flat) > 1 else flat[0])


def outputs_of(h: Any) -> dict[str, Any]:
    """Ends of every kind: probabilities, logits and probabilities of them, numbers in two axes."""
    logits = layers.Dense(4)(h)
    return {
        "kind": layers.Dense(3, "softmax")(h),
        "tags": layers.Dense(2, "sigmoid")(h),
        "logits": logits,
        "of logits": layers.Activation("softmax")(logits),
        "again": layers.Softmax()(logits),
        "squashed": layers.Activation("sigmoid")(logits),
        "grid": layers.Reshape((2, 3))(layers.Dense(6, "tanh")(h)),
        "softmax rescaled": layers.Rescaling(2.0)(layers.Dense(3, "softmax")(h)),
        "one": layers.Dense(1, "softplus")(h),
    }


def list_of(parts: dict[str, Any]) -> Any:
    return list(parts.values())


def tuple_of(parts: dict[str, Any]) -> Any:
    return tuple(parts.values())


def first_of(parts: dict[str, Any]) -> Any:
    return next(iter(parts.values()))


def in_dict(parts: dict[str, Any]) -> Any:
    return dict(parts)


def only(parts: dict[str, Any]) -> Any:
    return {"kind": parts["kind"]}


FORMS = {
    "list": list_of,
    "tuple": tuple_of,
    "dict": in_dict,
    "single": first_of,
    "dict of one": only,
}
INPUTS = ("single", "list", "dict")


def made(inputs: str, outputs: str, dtype: str = "float32") -> fastnn.Model:
    entries = inputs_of(1 if inputs == "single" else 3)
    ends = FORMS[outputs](outputs_of(joined(entries)))
    given: Any = {str(i): entry for i, entry in enumerate(entries)} if inputs == "dict" else entries
    return fastnn.Model(given[0] if inputs == "single" else given, ends, dtype=dtype, seed=3)


def rows_of(inputs: str, n: int, rng: np.random.Generator) -> Any:
    """Arrays of three types, one of which is not contiguous."""
    x = rng.normal(size=(n, 5))
    if inputs == "single":
        return x
    found = [
        x,
        rng.integers(0, 9, (n, 3, 2), np.uint8).swapaxes(1, 2),
        rng.random((n, 1), np.float32),
    ]
    return {str(i): part for i, part in enumerate(found)} if inputs == "dict" else found


def row_at(x: Any, i: int) -> Any:
    if isinstance(x, dict):
        return {name: part[i] for name, part in x.items()}
    return [part[i] for part in x] if isinstance(x, (list, tuple)) else x[i]


def same(actual: Any, expected: Any, row: int | None = None) -> None:
    """The same structure of the same bits, or those of one row."""
    if isinstance(expected, dict):
        assert list(actual) == list(expected)
        for name, part in expected.items():
            same(actual[name], part, row)
        return
    if isinstance(expected, (list, tuple)):
        assert type(actual) is type(expected)
        assert len(actual) == len(expected)
        for a, b in zip(actual, expected, strict=True):
            same(a, b, row)
        return
    np.testing.assert_array_equal(actual, expected if row is None else expected[row], strict=True)


CASES = [(i, o) for i in INPUTS for o in FORMS]


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize(("inputs", "outputs"), CASES)
def test_the_bits_of_predict(inputs, outputs, dtype, rng):
    model = made(inputs, outputs, dtype)
    predict = model.predictor()
    for n in (1, 2, 17, 3000):
        x = rows_of(inputs, n, rng)
        expected = model.predict(x)
        same(predict(x), expected)
        for row in {0, n - 1}:
            same(predict(row_at(x, row)), expected, row)


def test_rows_beyond_what_is_put_side_by_side_at_a_time(rng):
    """Whole pieces and a rest, in float64, whose pieces have as many rows but twice the bytes."""
    for dtype in cases.DTYPES:
        model = made("list", "list", dtype)
        x = rows_of("list", 20_001, rng)
        same(model.predictor()(x), model.predict(x))


@pytest.mark.parametrize("threads", [1, 3])
def test_many_threads(threads, rng):
    fastnn.set_num_threads(threads)
    model = made("dict", "dict")
    predict = model.predictor()
    questions = [rows_of("dict", n, rng) for n in (1, 7, 64, 900)]
    expected = [model.predict(x) for x in questions]

    def work(i: int) -> None:
        for _ in range(20):
            k = i % 4
            same(predict(questions[k]), expected[k])
            same(predict(row_at(questions[k], -1)), expected[k], -1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(16)))


def test_after_training_and_frozen(rng):
    model = made("list", "list")
    x = rows_of("list", 40, rng)
    y = [np.asarray(part) for part in model.predict(x)]
    model.compile("adam", ["mse"] * len(y))
    with pytest.warns(fastnn.TapeWarning):
        model.fit(x, [part + 1 for part in y], epochs=2, verbose=0)
    expected = model.predict(x)
    predict = model.predictor()
    same(predict(x), expected)
    model.set_weights([w + 1 for w in model.get_weights()])
    assert not np.array_equal(model.predict(x)[0], expected[0])
    same(predict(x), expected)


def test_a_traced_call(rng):
    class Net(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.kind = layers.Dense(8, "relu"), layers.Dense(3, "softmax")
            self.size = layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            h = self.hidden(inputs)
            return {"kind": self.kind(h), "size": self.size(h)}

    model = Net()
    model.build((None, 5))
    x = rng.normal(size=(20, 5))
    same(model.predictor()(x), model.predict(x))


def test_an_output_twice_and_an_input_as_an_output(rng):
    entries = inputs_of(2)
    h = joined(entries)
    kind = layers.Dense(3, "softmax")(h)
    model = fastnn.Model(entries, [kind, kind, entries[1]])
    x = rows_of("list", 9, rng)[:2]
    same(model.predictor()(x), model.predict(x))


def test_words():
    predict = made("dict", "dict").predictor()
    assert predict.input_shape == {"0": (5,), "1": (2, 3), "2": (1,)}
    assert predict.output_shape["grid"] == (2, 3)
    assert "'grid': (2, 3)" in repr(predict)
    assert made("list", "tuple").predictor().input_shape == [(5,), (2, 3), (1,)]
    assert isinstance(made("list", "tuple").predictor().output_shape, tuple)
    assert made("single", "list").predictor().input_shape == (5,)


def test_names_stand_for_places(rng):
    """Of a list of inputs, by the names of the Inputs; mappings of other classes, too."""
    model = made("list", "single")
    x = rows_of("list", 4, rng)
    expected = model.predict(x)
    predict = model.predictor()
    named = dict(zip(("age", "numbers", "picture"), (x[2], x[0], x[1]), strict=True))
    same(predict(named), expected)
    same(predict(types.MappingProxyType(named)), expected)
    same(predict(tuple(x)), expected)
    by_key = rows_of("dict", 4, rng)
    ordered = collections.OrderedDict(reversed(by_key.items()))
    same(made("dict", "single").predictor()(ordered), made("dict", "single").predict(by_key))


def test_one_input_in_a_list_or_by_its_name(rng):
    model = made("single", "single")
    x = rng.normal(size=(4, 5))
    expected = model.predict(x)
    predict = model.predictor()
    same(predict([x]), expected)
    same(predict({"numbers": x}), expected)
    same(predict({"numbers": x[0]}), expected, 0)
    same(predict([x[0]]), expected[:1])


def test_results_are_new_arrays(rng):
    model = made("single", "list")
    predict = model.predictor()
    x = rng.normal(size=(3, 5))
    found = [*predict(x), *predict(x), *predict(x[0])]
    for i, part in enumerate(found):
        assert part.flags.owndata
        assert part.flags.c_contiguous
        assert not any(np.shares_memory(part, other) for other in found[:i])


def changed(part: int, place: Any, value: float) -> list[Any]:
    x = [np.ones((4, 5)), np.ones((4, 2, 3)), np.ones((4, 1))]
    x[part][place] = value
    return x


ONES = changed(0, 0, 1.0)
# name: (inputs, x, the exception, its message)
BAD: dict[str, Any] = {
    "NaN": ("list", changed(1, (3, 1, 2), np.nan), ValueError, r"x\[1\]: .*nan at row 3, column 5"),
    "too large": ("list", changed(0, (2, 4), 1e39), ValueError, r"x\[0\]: .*1e\+39 at row 2, col"),
    "infinity in a row": (
        "list",
        [part[0] for part in changed(2, (0, 0), -np.inf)],
        ValueError,
        r"x\[2\]: .*-inf at row 0, column 0",
    ),
    "rows that differ": ("list", [*ONES[:2], ONES[2][:3]], ValueError, "x: inputs of 4 and 3 rows"),
    "a row beside rows": (
        "list",
        [*ONES[:2], ONES[2][0]],
        ValueError,
        r"x: expected a row in each input, or rows in each, got shapes \(4, 5\) and \(1,\)",
    ),
    "no rows": ("list", [part[:0] for part in ONES], ValueError, r"x\[0\] is empty: .*\(0, 5\)"),
    "a shape": (
        "list",
        [ONES[0], ONES[0], ONES[2]],
        ValueError,
        r"x\[1\]: expected shape \(2, 3\) or \(n, 2, 3\), got \(4, 5\)",
    ),
    "too few": (
        "list",
        ONES[:2],
        ValueError,
        "x: expected a list of 3 inputs, or a dictionary of numbers, picture, age, got list of 2",
    ),
    "an array": ("list", ONES[0], ValueError, "x: expected a list of 3 inputs.* got numpy.ndarray"),
    "a list for a dictionary": (
        "dict",
        ONES,
        ValueError,
        "x: expected a dictionary of 0, 1, 2, got list of 3",
    ),
    "an unknown name": (
        "dict",
        {"0": ONES[0], "1": ONES[1], "3": ONES[2]},
        ValueError,
        "x: expected a dictionary of 0, 1, 2, got a dictionary of 0, 1, 3",
    ),
    "one name too many": (
        "dict",
        {"0": ONES[0], "1": ONES[1], "2": ONES[2], "3": 1},
        ValueError,
        "got a dictionary of 0, 1, 2, 3",
    ),
    "words": ("list", [ONES[0], ONES[1], [["a"]] * 4], TypeError, r"x\[2\]: .*strings"),
    "None": ("list", [ONES[0], None, ONES[2]], TypeError, r"x\[1\]: expected numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    inputs, x, error, message = BAD[case]
    predict = made(inputs, "dict").predictor()
    with pytest.raises(error, match=message):
        predict(x)
    good = ONES if inputs == "list" else {str(i): part for i, part in enumerate(ONES)}
    assert predict(good)["kind"].shape == (4, 3)


def test_models_that_no_predictor_can_be_made_of():
    class Steps(fastnn.Model):
        def predict_step(self, data: Any) -> Any:
            return data

    inputs = fastnn.Input((4,))
    model = Steps(inputs, layers.Dense(2)(inputs))
    with pytest.raises(
        RuntimeError, match="predictor: Steps predicts by a predict_step of its own"
    ):
        model.predictor()

    class Free(fastnn.Model):
        def call(self, x: Any) -> Any:
            return x * fastnn.math.reduce_sum(x)

    free = Free()
    free.predict(np.ones((2, 3)))
    with pytest.raises(RuntimeError, match="not built"):
        free.predictor()


def test_long_calls_release_the_gil(rng):
    """While one thread answers for many rows, another goes on."""
    inputs = [fastnn.Input((300,)), fastnn.Input((212,))]
    h = layers.Dense(1024, "relu")(layers.Concatenate()(inputs))
    model = fastnn.Model(inputs, [layers.Dense(512)(h), layers.Dense(10, "softmax")(h)])
    predict = model.predictor()
    x = [rng.normal(size=(20_000, 300)), rng.normal(size=(20_000, 212))]
    over = threading.Event()
    turns = 0

    def answer() -> None:
        predict(x)
        over.set()

    worker = threading.Thread(target=answer)
    worker.start()
    while not over.wait(0.001):
        turns += 1
    worker.join()
    assert turns > 10
